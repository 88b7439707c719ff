// Where the fields lie that the host reads or writes: only the compiler knows. To show the host
// another field, add a line.

import { Device, DeviceCore, QueueRegisters } from "./device";
import { FaultLog } from "./dma/faults";
import { FlushQueue } from "./dma/flush-queue";
import { FLUSH_QUEUE_AT, IOTLB_AT, IOVA_AT, IommuDomain, MAGAZINES_AT, PAGE_TABLE_AT } from "./dma/iommu";
import { Iotlb } from "./dma/iotlb";
import { Iova } from "./dma/iova";
import { PageTable } from "./dma/page-table";
import { AddressSpace } from "./dma/space";
import { BouncePool } from "./dma/swiotlb";
import { Arena } from "./mem/arena";
import { Numbers } from "./mem/numbers";
import { Page, Pages } from "./mem/pages";
import { Pins } from "./mem/pins";

import { Coalesced, Coalescer } from "./net/coalescer";

import { CONTROL_BYTES, NetDevice, RSS_KEY_BYTES, RSS_TABLE_ENTRIES } from "./net/device";
import { NET_DRIVER_QUEUE_BYTES, NetDriver, NetDriverQueue, SLOT_HEADER } from "./net/driver";

import { FrameInfo } from "./net/parse";
import { NET_QUEUE_BYTES, NetQueue } from "./net/queue";
import { Segmenter, SEGMENTER_BYTES as segmenterBytes } from "./net/segmenter";
import { Application } from "./path/app";
import { HostEngine } from "./path/host-engine";
import { HostPath } from "./path/host-path";
import { InFlight } from "./path/in-flight";
import { PacketApp } from "./path/packet-ring";
import { DONE_READS, DONE_WRITES, Passthru } from "./path/passthru";
import { Port } from "./path/port";
import { XskApp } from "./path/xsk-ring";
import { DeviceQueue } from "./ring/device";
import { DriverQueue } from "./ring/driver";
import { Loop } from "./ring/loop";
import { PackedDevice } from "./ring/packed-device";
import { PackedDriver } from "./ring/packed-driver";
import { Queue } from "./ring/queue";
import { SplitDevice } from "./ring/split-device";
import { SplitDriver } from "./ring/split-driver";
import { Consumer } from "./rx/consumer";
import { RxRing } from "./rx/rx-ring";

// Bytes of the control blocks
export const ARENA_BYTES: u32 = offsetof<Arena>();
export const DEVICE_BYTES: u32 = offsetof<Device>();
export const DEVICE_CORE_BYTES: u32 = offsetof<DeviceCore>();
export const QUEUE_REGISTERS_BYTES: u32 = offsetof<QueueRegisters>();
export const SPACE_BYTES: u32 = offsetof<AddressSpace>();
export const SPLIT_DRIVER_BYTES: u32 = offsetof<SplitDriver>();
export const PACKED_DRIVER_BYTES: u32 = offsetof<PackedDriver>();
export const SPLIT_DEVICE_BYTES: u32 = offsetof<SplitDevice>();
export const PACKED_DEVICE_BYTES: u32 = offsetof<PackedDevice>();
export const LOOP_BYTES: u32 = offsetof<Loop>();
export const SEGMENTER_BYTES: u32 = segmenterBytes;
export const FRAME_INFO_BYTES: u32 = offsetof<FrameInfo>();

// Queue
export const QUEUE_STATE: u32 = offsetof<Queue>("state");
export const QUEUE_FLAGS: u32 = offsetof<Queue>("flags");
export const QUEUE_SIZE: u32 = offsetof<Queue>("size");
export const QUEUE_CAPACITY: u32 = offsetof<Queue>("capacity");
export const QUEUE_INDEX: u32 = offsetof<Queue>("index");
export const QUEUE_NOTIFY_ID: u32 = offsetof<Queue>("notifyId");
export const QUEUE_ERROR: u32 = offsetof<Queue>("error");
export const QUEUE_ERROR_INDEX: u32 = offsetof<Queue>("errorIndex");
export const QUEUE_ERRORS: u32 = offsetof<Queue>("errors");
export const QUEUE_REFUSAL: u32 = offsetof<Queue>("refusal");
export const QUEUE_REFUSAL_INDEX: u32 = offsetof<Queue>("refusalIndex");
export const QUEUE_CURSOR: u32 = offsetof<Queue>("cursor");
export const QUEUE_DEVICE: u32 = offsetof<Queue>("device");
export const QUEUE_SPACE: u32 = offsetof<Queue>("space");
export const QUEUE_DESC: u32 = offsetof<Queue>("desc");
export const QUEUE_DRIVER_AREA: u32 = offsetof<Queue>("driverArea");
export const QUEUE_DEVICE_AREA: u32 = offsetof<Queue>("deviceArea");
export const QUEUE_RECORDS: u32 = offsetof<Queue>("records");

// DriverQueue
export const DRIVER_NUM_FREE: u32 = offsetof<DriverQueue>("numFree");
export const DRIVER_OUTSTANDING: u32 = offsetof<DriverQueue>("outstanding");
export const DRIVER_SOURCE: u32 = offsetof<DriverQueue>("source");
export const DRIVER_TABLE_MIN: u32 = offsetof<DriverQueue>("tableMin");
export const DRIVER_THRESHOLD: u32 = offsetof<DriverQueue>("threshold");
export const DRIVER_TABLES: u32 = offsetof<DriverQueue>("tables");
export const DRIVER_TABLES_RESERVED: u32 = offsetof<DriverQueue>("tablesReserved");
export const DRIVER_HEAP: u32 = offsetof<DriverQueue>("heap");
export const DRIVER_STACK_0: u32 = offsetof<DriverQueue>("stack0");
export const DRIVER_NODES: u32 = offsetof<DriverQueue>("nodes");
export const DRIVER_NODE: u32 = offsetof<DriverQueue>("node");
export const DRIVER_CACHE_OFF: u32 = offsetof<DriverQueue>("cacheOff");
export const DRIVER_LIVE_TABLES: u32 = offsetof<DriverQueue>("liveTables");
export const DRIVER_HIGH_WATER: u32 = offsetof<DriverQueue>("highWater");
export const DRIVER_MAPPINGS: u32 = offsetof<DriverQueue>("mappings");
export const DRIVER_MAPPING_STRIDE: u32 = offsetof<DriverQueue>("mappingStride");
export const DRIVER_RINGS: u32 = offsetof<DriverQueue>("rings");
export const DRIVER_MAPPED_BYTES: u32 = offsetof<DriverQueue>("mappedBytes");
export const DRIVER_ADDED: u32 = offsetof<DriverQueue>("added");
export const DRIVER_RECLAIMED: u32 = offsetof<DriverQueue>("reclaimed");
export const DRIVER_PUBLISHES: u32 = offsetof<DriverQueue>("publishes");
export const DRIVER_DOORBELLS: u32 = offsetof<DriverQueue>("doorbells");
export const DRIVER_TABLE_TAKES: u32 = offsetof<DriverQueue>("tableTakes");
export const DRIVER_TABLE_MISSES: u32 = offsetof<DriverQueue>("tableMisses");
export const DRIVER_HEAP_FALLS: u32 = offsetof<DriverQueue>("heapFalls");
export const DRIVER_DIRECT_FALLS: u32 = offsetof<DriverQueue>("directFalls");
export const DRIVER_REMOTE_TAKES: u32 = offsetof<DriverQueue>("remoteTakes");
export const DRIVER_CLAMPED_LENGTHS: u32 = offsetof<DriverQueue>("clampedLengths");

// PackedDevice
export const PACKED_DEVICE_NEXT_USED: u32 = offsetof<PackedDevice>("nextUsed");
export const PACKED_DEVICE_USED_WRAP: u32 = offsetof<PackedDevice>("usedWrap");

// DeviceQueue
export const DEVICE_QUEUE_GENERATION: u32 = offsetof<DeviceQueue>("generation");
export const DEVICE_QUEUE_MAX_CHAIN: u32 = offsetof<DeviceQueue>("maxChain");
export const DEVICE_QUEUE_DESC_ADDR: u32 = offsetof<DeviceQueue>("descAddr");
export const DEVICE_QUEUE_DRIVER_ADDR: u32 = offsetof<DeviceQueue>("driverAddr");
export const DEVICE_QUEUE_DEVICE_ADDR: u32 = offsetof<DeviceQueue>("deviceAddr");
export const DEVICE_QUEUE_POPPED: u32 = offsetof<DeviceQueue>("popped");
export const DEVICE_QUEUE_USED: u32 = offsetof<DeviceQueue>("used");
export const DEVICE_QUEUE_PUBLISHES: u32 = offsetof<DeviceQueue>("publishes");
export const DEVICE_QUEUE_INTERRUPTS: u32 = offsetof<DeviceQueue>("interrupts");

// Device
export const DEVICE_STATUS: u32 = offsetof<Device>("status");
export const DEVICE_FEATURES_0: u32 = offsetof<Device>("features0");
export const DEVICE_FEATURES_1: u32 = offsetof<Device>("features1");
export const DEVICE_FEATURES_2: u32 = offsetof<Device>("features2");
export const DEVICE_FEATURES_3: u32 = offsetof<Device>("features3");
export const DEVICE_CONFIG_NOTIFICATIONS: u32 = offsetof<Device>("configNotifications");

// DeviceCore; of the 128 bits of features, the first window
export const DEVICE_OFFERED: u32 = offsetof<DeviceCore>("offered0");
export const DEVICE_ACKED: u32 = offsetof<DeviceCore>("acked0");
export const DEVICE_CONFIG_GENERATION: u32 = offsetof<DeviceCore>("configGeneration");
export const DEVICE_CONFIG_DELIVERED: u32 = offsetof<DeviceCore>("configDelivered");
export const DEVICE_CONFIG_OWED: u32 = offsetof<DeviceCore>("configOwed");
export const DEVICE_TRANSITION: u32 = offsetof<DeviceCore>("transition");
export const DEVICE_FAULT: u32 = offsetof<DeviceCore>("fault");
export const DEVICE_FAULTS: u32 = offsetof<DeviceCore>("faults");
export const DEVICE_ID: u32 = offsetof<DeviceCore>("deviceId");
export const DEVICE_QUEUE_COUNT: u32 = offsetof<DeviceCore>("queueCount");
export const DEVICE_FIRST_QUEUE: u32 = offsetof<DeviceCore>("firstQueue");
export const DEVICE_CONFIG_BYTES: u32 = offsetof<DeviceCore>("configBytes");

// QueueRegisters; of the six words of addresses and of features, the first
export const REGISTER_SIZE: u32 = offsetof<QueueRegisters>("size");
export const REGISTER_ENABLE: u32 = offsetof<QueueRegisters>("enable");
export const REGISTER_RESET: u32 = offsetof<QueueRegisters>("reset");
export const REGISTER_NOTIFY_DATA: u32 = offsetof<QueueRegisters>("notifyData");
export const REGISTER_ADDRESSES: u32 = offsetof<QueueRegisters>("descLow");
export const REGISTER_DRIVER_FEATURES: u32 = offsetof<QueueRegisters>("driverFeatures0");
export const REGISTER_DEVICE_FEATURES: u32 = offsetof<QueueRegisters>("deviceFeatures0");

// AddressSpace
export const SPACE_BASE: u32 = offsetof<AddressSpace>("base");
export const SPACE_LENGTH: u32 = offsetof<AddressSpace>("length");
export const SPACE_OFFSET: u32 = offsetof<AddressSpace>("offset");
export const SPACE_KIND: u32 = offsetof<AddressSpace>("kind");
export const SPACE_LOG: u32 = offsetof<AddressSpace>("log");

// Loop
export const LOOP_DRIVER: u32 = offsetof<Loop>("driver");
export const LOOP_DEVICE: u32 = offsetof<Loop>("device");
export const LOOP_STREAM: u32 = offsetof<Loop>("stream");
export const LOOP_BATCH: u32 = offsetof<Loop>("batch");
export const LOOP_POPPED: u32 = offsetof<Loop>("popped");
export const LOOP_POPPED_BYTES: u32 = offsetof<Loop>("poppedBytes");
export const LOOP_RECLAIMED: u32 = offsetof<Loop>("reclaimed");
export const LOOP_TOUCH: u32 = offsetof<Loop>("touch");
export const LOOP_TARGET: u32 = offsetof<Loop>("target");
export const LOOP_REARM: u32 = offsetof<Loop>("rearm");
export const LOOP_HEADER_BYTES: u32 = offsetof<Loop>("headerBytes");
export const LOOP_SUM: u32 = offsetof<Loop>("sum");
export const LOOP_DIGEST: u32 = offsetof<Loop>("digest");

// AddressSpace
export const SPACE_DELTA: u32 = offsetof<AddressSpace>("delta");
export const SPACE_COPY_READ_ONLY: u32 = offsetof<AddressSpace>("copyReadOnly");
export const SPACE_FAULT_LOG: u32 = offsetof<AddressSpace>("faultLog");
export const SPACE_TRACE: u32 = offsetof<AddressSpace>("trace");
export const SPACE_FAILURE: u32 = offsetof<AddressSpace>("failure");
export const SPACE_FAIL_IN: u32 = offsetof<AddressSpace>("failIn");
export const SPACE_MAPS: u32 = offsetof<AddressSpace>("maps");
export const SPACE_UNMAPS: u32 = offsetof<AddressSpace>("unmaps");
export const SPACE_MAP_FAILURES: u32 = offsetof<AddressSpace>("mapFailures");
export const SPACE_SYNCS_CPU: u32 = offsetof<AddressSpace>("syncsCpu");
export const SPACE_SYNCS_DEVICE: u32 = offsetof<AddressSpace>("syncsDevice");
export const SPACE_SYNC_BYTES_ASKED: u32 = offsetof<AddressSpace>("syncBytesAsked");
export const SPACE_SYNC_BYTES_COPIED: u32 = offsetof<AddressSpace>("syncBytesCopied");
export const SPACE_BOUNCE_BYTES: u32 = offsetof<AddressSpace>("bounceBytes");
export const SPACE_WEAK_ORDERINGS: u32 = offsetof<AddressSpace>("weakOrderings");
export const SPACE_FAULTS: u32 = offsetof<AddressSpace>("faults");

// BouncePool
export const POOL_SLOTS: u32 = offsetof<BouncePool>("slots");
export const POOL_USED: u32 = offsetof<BouncePool>("used");
export const POOL_HIGH_WATER: u32 = offsetof<BouncePool>("highWater");

// IommuDomain
export const DOMAIN_LIVE_MAPPINGS: u32 = offsetof<IommuDomain>("liveMappings");
export const DOMAIN_LIVE_PAGES: u32 = offsetof<IommuDomain>("livePages");
export const DOMAIN_RING_EPOCH: u32 = offsetof<IommuDomain>("ringEpoch");
export const DOMAIN_FLUSHES: u32 = offsetof<IommuDomain>("flushes");
export const DOMAIN_STALE_ACCESSES: u32 = offsetof<IommuDomain>("staleAccesses");
export const DOMAIN_TABLES_LIVE: u32 = PAGE_TABLE_AT + offsetof<PageTable>("tablesLive");
export const DOMAIN_IOTLB_HITS: u32 = IOTLB_AT + offsetof<Iotlb>("hits");
export const DOMAIN_IOTLB_MISSES: u32 = IOTLB_AT + offsetof<Iotlb>("misses");
export const DOMAIN_INVALIDATIONS: u32 = IOTLB_AT + offsetof<Iotlb>("invalidations");
export const DOMAIN_FAILURE: u32 = offsetof<IommuDomain>("failure");
export const DOMAIN_WAITING: u32 = FLUSH_QUEUE_AT + offsetof<FlushQueue>("waiting");
export const DOMAIN_ROOT: u32 = PAGE_TABLE_AT + offsetof<PageTable>("root");
export const DOMAIN_MAGAZINES: u32 = MAGAZINES_AT;
export const DOMAIN_IOVA: u32 = IOVA_AT;
export const DOMAIN_IOVA_FREE_PAGES: u32 = IOVA_AT + offsetof<Iova>("freePages");
export const DOMAIN_IOVA_TAKES: u32 = IOVA_AT + offsetof<Iova>("takes");
export const DOMAIN_IOVA_GIVES: u32 = IOVA_AT + offsetof<Iova>("gives");

// FaultLog
export const FAULT_LOG_COUNT: u32 = offsetof<FaultLog>("count");
export const FAULT_LOG_RECORDS: u32 = offsetof<FaultLog>();

// Arena
export const ARENA_PRIVATE_NEXT: u32 = offsetof<Arena>("privateNext");
export const ARENA_SHARED_NEXT: u32 = offsetof<Arena>("sharedNext");

// FrameInfo
export const FRAME_INFO_FLAGS: u32 = offsetof<FrameInfo>("flags");
export const FRAME_INFO_ETHER_TYPE: u32 = offsetof<FrameInfo>("etherType");
export const FRAME_INFO_NETWORK: u32 = offsetof<FrameInfo>("network");
export const FRAME_INFO_TRANSPORT: u32 = offsetof<FrameInfo>("transport");
export const FRAME_INFO_PAYLOAD: u32 = offsetof<FrameInfo>("payload");
export const FRAME_INFO_END: u32 = offsetof<FrameInfo>("end");
export const FRAME_INFO_PROTOCOL: u32 = offsetof<FrameInfo>("protocol");
export const FRAME_INFO_HOME_ADDRESS: u32 = offsetof<FrameInfo>("homeAddress");
export const FRAME_INFO_ROUTE_ADDRESS: u32 = offsetof<FrameInfo>("routeAddress");

// Segmenter
export const SEGMENTER_GSO_TYPE: u32 = offsetof<Segmenter>("gsoType");
export const SEGMENTER_GSO_SIZE: u32 = offsetof<Segmenter>("gsoSize");
export const SEGMENTER_CSUM_START: u32 = offsetof<Segmenter>("csumStart");
export const SEGMENTER_CSUM_OFFSET: u32 = offsetof<Segmenter>("csumOffset");
export const SEGMENTER_OUTER_TRANSPORT: u32 = offsetof<Segmenter>("outerTransport");
export const SEGMENTER_INNER_NETWORK: u32 = offsetof<Segmenter>("innerNetwork");
export const SEGMENTER_OUTER_CSUM: u32 = offsetof<Segmenter>("outerCsum");
export const SEGMENTER_FIXED_ID: u32 = offsetof<Segmenter>("fixedId");
export const SEGMENTER_FRAGMENT_ID: u32 = offsetof<Segmenter>("fragmentId");
export const SEGMENTER_SEGMENTS: u32 = offsetof<Segmenter>("segments");
export const SEGMENTER_SEGMENT_BYTES: u32 = offsetof<Segmenter>("segmentBytes");

// Pages
export const PAGES_RESERVE: u32 = offsetof<Pages>("reserve");
export const PAGES_FREE: u32 = offsetof<Pages>("free");
export const PAGES_FAIL_IN: u32 = offsetof<Pages>("failIn");
export const PAGES_ALLOCATED: u32 = offsetof<Pages>("allocated");
export const PAGES_FREED: u32 = offsetof<Pages>("freed");
export const PAGES_FAILURES: u32 = offsetof<Pages>("failures");
export const PAGES_REMOTE: u32 = offsetof<Pages>("remote");
export const PAGE_REFS: u32 = offsetof<Page>("refs");
export const PAGE_HOME: u32 = offsetof<Page>("home");

// Host path
export const HOST_PATH_BYTES: u32 = offsetof<HostPath>();
export const HOST_KIND: u32 = offsetof<HostPath>("kind");
export const HOST_HOPS: u32 = offsetof<HostPath>("hops");
export const HOST_SLOTS: u32 = offsetof<HostPath>("slots");
export const HOST_SLOT_BYTES: u32 = offsetof<HostPath>("slotBytes");
export const HOST_SLOT_COUNT: u32 = offsetof<HostPath>("slotCount");
export const HOST_PASSTHRU_AT: u32 = offsetof<HostPath>("passthru");
export const HOST_WIRE: u32 = offsetof<HostPath>("wire");
export const HOST_PINS: u32 = offsetof<HostPath>("pins");
export const HOST_FLIGHT: u32 = offsetof<HostPath>("flight");
export const HOST_CPU_COPIES: u32 = offsetof<HostPath>("cpuCopies");
export const HOST_CPU_BYTES: u32 = offsetof<HostPath>("cpuBytes");
export const HOST_HEADER_COPY_BYTES: u32 = offsetof<HostPath>("headerCopyBytes");
export const HOST_ENGINE_COPIES: u32 = offsetof<HostPath>("engineCopies");
export const HOST_ENGINE_BYTES: u32 = offsetof<HostPath>("engineBytes");
export const HOST_PINNED_PAGES: u32 = offsetof<HostPath>("pinnedPages");
export const PINS_BASE: u32 = offsetof<Pins>("base");
export const PINS_PAGES: u32 = offsetof<Pins>("pages");
export const PINS_DIRTY: u32 = offsetof<Pins>("dirty");
export const PINS_LIMIT: u32 = offsetof<Pins>("limit");
export const PINS_LIVE: u32 = offsetof<Pins>("live");
export const PINS_FAIL_IN: u32 = offsetof<Pins>("failIn");
export const PINS_UNDERFLOWS: u32 = offsetof<Pins>("underflows");
export const PINS_FAILURES: u32 = offsetof<Pins>("failures");
export const HOST_COPY_ENGINE: u32 = offsetof<HostPath>("engine");
export const HOST_ERRORS: u32 = offsetof<HostPath>("errors");
export const COPY_ENGINE_SUBMITTED: u32 = offsetof<HostEngine>("submitted");
export const COPY_ENGINE_DONE: u32 = offsetof<HostEngine>("done");
export const COPY_ENGINE_POLLED: u32 = offsetof<HostEngine>("polled");
export const COPY_ENGINE_FAIL_IN: u32 = offsetof<HostEngine>("failIn");
export const COPY_ENGINE_PACKETS: u32 = offsetof<HostEngine>("count");
export const IN_FLIGHT_COUNT: u32 = offsetof<InFlight>("count");
export const IN_FLIGHT_OPEN: u32 = offsetof<InFlight>("open");
export const IN_FLIGHT_LENT: u32 = offsetof<InFlight>("lent");
export const IN_FLIGHT_FAIL_IN: u32 = offsetof<InFlight>("failIn");

// Application, and what two kinds of it have beside
export const PACKET_APP_BYTES: u32 = offsetof<PacketApp>();
export const XSK_APP_BYTES: u32 = offsetof<XskApp>();
export const APP_KIND: u32 = offsetof<Application>("kind");
export const APP_PLAYS: u32 = offsetof<Application>("plays");
export const APP_FRAMES: u32 = offsetof<Application>("frames");
export const APP_FRAME_STRIDE: u32 = offsetof<Application>("frameStride");
export const APP_FRAME_COUNT: u32 = offsetof<Application>("frameCount");
export const APP_FRAME_AT: u32 = offsetof<Application>("frameAt");
export const APP_FRAME_LEAST: u32 = offsetof<Application>("frameLeast");
export const APP_FRAME_MOST: u32 = offsetof<Application>("frameMost");
export const APP_RECORDS: u32 = offsetof<Application>("records");
export const APP_PACKETS: u32 = offsetof<Application>("packets");
export const APP_PACKET_STRIDE: u32 = offsetof<Application>("packetStride");
export const APP_PACKET_COUNT: u32 = offsetof<Application>("packetCount");
export const APP_PACKET_RECORDS: u32 = offsetof<Application>("packetRecords");
export const APP_FREE: u32 = offsetof<Application>("free");
export const APP_HEADER: u32 = offsetof<Application>("header");
export const APP_HOLD: u32 = offsetof<Application>("hold");
export const APP_CHECKS: u32 = offsetof<Application>("checks");
export const APP_LENT: u32 = offsetof<Application>("lent");
export const APP_CPU_COPIES: u32 = offsetof<Application>("cpuCopies");
export const APP_CPU_BYTES: u32 = offsetof<Application>("cpuBytes");
export const APP_SOCKET_COPIES: u32 = offsetof<Application>("socketCopies");
export const APP_SOCKET_BYTES: u32 = offsetof<Application>("socketBytes");
export const APP_WAKEUPS: u32 = offsetof<Application>("wakeups");
export const APP_DROPS_NO_FRAME: u32 = offsetof<Application>("dropsNoFrame");
export const APP_DROPS_RING_FULL: u32 = offsetof<Application>("dropsRingFull");
export const APP_INVALID_ADDRESSES: u32 = offsetof<Application>("invalidAddresses");
export const APP_INVALID_LENGTHS: u32 = offsetof<Application>("invalidLengths");
export const APP_INVALID_OPTIONS: u32 = offsetof<Application>("invalidOptions");
export const APP_INVALID_REUSES: u32 = offsetof<Application>("invalidReuses");
export const APP_INVALID_INDICES: u32 = offsetof<Application>("invalidIndices");
export const XSK_FILL: u32 = offsetof<XskApp>("fill");
export const XSK_RX: u32 = offsetof<XskApp>("rx");
export const XSK_TX: u32 = offsetof<XskApp>("tx");
export const XSK_COMPLETION: u32 = offsetof<XskApp>("completion");
export const XSK_ENTRIES: u32 = offsetof<XskApp>("entries");
export const XSK_CHUNK_SHIFT: u32 = offsetof<XskApp>("chunkShift");
export const XSK_HELD_LIST: u32 = offsetof<XskApp>("heldList");
export const XSK_HOME: u32 = offsetof<XskApp>("home");

// Passthru, and the lines of what is done
export const PASSTHRU_DONE_READS: u32 = DONE_READS;
export const PASSTHRU_DONE_WRITES: u32 = DONE_WRITES;
export const PASSTHRU_REQUEST_COUNT: u32 = offsetof<Passthru>("requestCount");
export const PASSTHRU_HEADER_BYTES: u32 = offsetof<Passthru>("headerBytes");
export const PASSTHRU_FRAME_MOST: u32 = offsetof<Passthru>("frameMost");
export const PASSTHRU_MERGEABLE: u32 = offsetof<Passthru>("mergeable");
export const PASSTHRU_KEEPS: u32 = offsetof<Passthru>("keeps");
export const PASSTHRU_BOUND: u32 = offsetof<Passthru>("bound");
export const PASSTHRU_PACKET_SPLIT: u32 = offsetof<Passthru>("packetSplit");
export const PASSTHRU_HEADROOM: u32 = offsetof<Passthru>("headroom");
export const PASSTHRU_TAILROOM: u32 = offsetof<Passthru>("tailroom");
export const PASSTHRU_ALIGN_MASK: u32 = offsetof<Passthru>("alignMask");
export const PASSTHRU_AHEAD: u32 = offsetof<Passthru>("ahead");
export const PASSTHRU_AT_NIC: u32 = offsetof<Passthru>("atNic");
export const PASSTHRU_FILTERS: u32 = offsetof<Passthru>("filters");
export const PASSTHRU_MAC_LOW: u32 = offsetof<Passthru>("macLow");
export const PASSTHRU_MAC_HIGH: u32 = offsetof<Passthru>("macHigh");
export const PASSTHRU_REFUSAL: u32 = offsetof<Passthru>("refusal");
export const PASSTHRU_SPACE: u32 = offsetof<Passthru>("space");
export const PASSTHRU_READS: u32 = offsetof<Passthru>("reads");
export const PASSTHRU_WRITES: u32 = offsetof<Passthru>("writes");
export const PASSTHRU_CANCELED: u32 = offsetof<Passthru>("canceled");
export const PASSTHRU_REFUSED: u32 = offsetof<Passthru>("refused");
export const PASSTHRU_PIN_WAITS: u32 = offsetof<Passthru>("pinWaits");
export const PASSTHRU_STACK_PACKETS: u32 = offsetof<Passthru>("stackPackets");
export const PASSTHRU_STACK_BYTES: u32 = offsetof<Passthru>("stackBytes");
export const PASSTHRU_DROPS_NO_BUFFER: u32 = offsetof<Passthru>("dropsNoBuffer");
export const PASSTHRU_DROPS_TOO_LONG: u32 = offsetof<Passthru>("dropsTooLong");
export const PASSTHRU_STALE_SENT: u32 = offsetof<Passthru>("staleSent");

// Port
export const PORT_DRIVER: u32 = offsetof<Port>("driver");
export const PORT_DEVICE: u32 = offsetof<Port>("device");
export const PORT_PACKED: u32 = offsetof<Port>("packed");
export const PORT_INDEX: u32 = offsetof<Port>("index");
export const PORT_BATCH: u32 = offsetof<Port>("batch");
export const PORT_STAGING: u32 = offsetof<Port>("staging");
export const PORT_ADD: u32 = offsetof<Port>("add");
export const PORT_POPPED: u32 = offsetof<Port>("popped");
export const PORT_POPPED_BYTES: u32 = offsetof<Port>("poppedBytes");
export const PORT_USED: u32 = offsetof<Port>("used");
export const PORT_RECLAIMED: u32 = offsetof<Port>("reclaimed");
export const PORT_STREAM: u32 = offsetof<Port>("stream");
export const PORT_FRAMES: u32 = offsetof<Port>("frames");
export const PORT_HEADER_BYTES: u32 = offsetof<Port>("headerBytes");
export const PORT_TOUCH: u32 = offsetof<Port>("touch");
export const PORT_TARGET: u32 = offsetof<Port>("target");
export const PORT_HOST: u32 = offsetof<Port>("host");
export const PORT_APP: u32 = offsetof<Port>("app");
export const PORT_RECLAIM_AT: u32 = offsetof<Port>("reclaimAt");
export const PORT_RECLAIM_BELOW: u32 = offsetof<Port>("reclaimBelow");
export const PORT_STOP_BELOW: u32 = offsetof<Port>("stopBelow");
export const PORT_DESCRIPTORS: u32 = offsetof<Port>("descriptors");
export const PORT_PREMAPPED: u32 = offsetof<Port>("premapped");
export const PORT_PUBLISH_EVERY: u32 = offsetof<Port>("publishEvery");
export const PORT_PACK_TO: u32 = offsetof<Port>("packTo");
export const PORT_PACK_BYTES: u32 = offsetof<Port>("packBytes");
export const PORT_FLATTEN_ABOVE: u32 = offsetof<Port>("flattenAbove");
export const PORT_RX: u32 = offsetof<Port>("rx");
export const PORT_CONSUMER: u32 = offsetof<Port>("consumer");
export const PORT_SGS: u32 = offsetof<Port>("sgs");
export const PORT_REFILL_AT: u32 = offsetof<Port>("refillAt");
export const PORT_REFILL_IN_POLL: u32 = offsetof<Port>("refillInPoll");
export const PORT_FRAME_MOST: u32 = offsetof<Port>("frameMost");
export const PORT_MERGEABLE: u32 = offsetof<Port>("mergeable");
export const PORT_PLACE_COMPLETION: u32 = offsetof<Port>("placeCompletion");
export const PORT_BUFFERS_MOST: u32 = offsetof<Port>("buffersMost");
export const PORT_DROP_AT_END: u32 = offsetof<Port>("dropAtEnd");
export const PORT_DIGEST: u32 = offsetof<Port>("digest");
export const PORT_PACKETS: u32 = offsetof<Port>("packets");
export const PORT_PACKET_BYTES: u32 = offsetof<Port>("bytes");
export const PORT_FLATTENED: u32 = offsetof<Port>("flattened");
export const PORT_FLATTENED_BYTES: u32 = offsetof<Port>("flattenedBytes");
export const PORT_REFILLS: u32 = offsetof<Port>("refills");
export const PORT_RING_FULL: u32 = offsetof<Port>("ringFull");
export const PORT_DROPS_NO_BUFFER: u32 = offsetof<Port>("dropsNoBuffer");
export const PORT_DROPS_TOO_LONG: u32 = offsetof<Port>("dropsTooLong");
export const PORT_DROPS_TOO_SHORT: u32 = offsetof<Port>("dropsTooShort");
export const PORT_DROPS_NUM_BUFFERS: u32 = offsetof<Port>("dropsNumBuffers");
export const PORT_DROPS_NO_PACKET: u32 = offsetof<Port>("dropsNoPacket");
export const PORT_DROPS_MAP_FAILED: u32 = offsetof<Port>("dropsMapFailed");
export const PORT_REFILLS_NO_PAGE: u32 = offsetof<Port>("refillsNoPage");
export const PORT_REFILLS_MAP_FAILED: u32 = offsetof<Port>("refillsMapFailed");
/** The queue's part of the address space's counters, from SPACE_MAPS on. */
export const PORT_CHARGED: u32 = offsetof<Port>("charged");

// RxRing
export const RX_RING_BYTES: u32 = offsetof<RxRing>();
export const RX_RING_PAGES: u32 = offsetof<RxRing>("pages");
export const RX_RING_SPACE: u32 = offsetof<RxRing>("space");
export const RX_RING_KIND: u32 = offsetof<RxRing>("kind");
export const RX_RING_NODE: u32 = offsetof<RxRing>("node");
export const RX_RING_HEADROOM: u32 = offsetof<RxRing>("headroom");
export const RX_RING_BUFFER_BYTES: u32 = offsetof<RxRing>("bufferBytes");
export const RX_RING_FRAME_OFFSET: u32 = offsetof<RxRing>("frameOffset");
export const RX_RING_ATTRS: u32 = offsetof<RxRing>("attrs");
export const RX_RING_SYNC_WRITTEN: u32 = offsetof<RxRing>("syncWritten");
export const RX_RING_SYNC_DEVICE: u32 = offsetof<RxRing>("syncDevice");
export const RX_RING_PHYSICAL: u32 = offsetof<RxRing>("physical");
export const RX_RING_TAKES_AHEAD: u32 = offsetof<RxRing>("takesAhead");
export const RX_RING_FIXED_PAGES: u32 = offsetof<RxRing>("fixedPages");
export const RX_RING_LIST: u32 = offsetof<RxRing>("list");
export const RX_RING_LIST_MASK: u32 = offsetof<RxRing>("listMask");
export const RX_RING_RECYCLED: u32 = offsetof<RxRing>("recycled");
export const RX_RING_COMPLETIONS: u32 = offsetof<RxRing>("completions");
export const RX_RING_COMPLETION_MASK: u32 = offsetof<RxRing>("completionMask");
export const RX_RING_POSTED_MASK: u32 = offsetof<RxRing>("postedMask");
export const RX_RING_PAGES_ALLOCATED: u32 = offsetof<RxRing>("pagesAllocated");
export const RX_RING_PAGES_FREED: u32 = offsetof<RxRing>("pagesFreed");
export const RX_RING_PAGES_REUSED: u32 = offsetof<RxRing>("pagesReused");
export const RX_RING_COPIED_WHOLE: u32 = offsetof<RxRing>("copiedWhole");
export const RX_RING_REFERENCE_TOP_UPS: u32 = offsetof<RxRing>("referenceTopUps");
export const RX_RING_HEADER_COPY_BYTES: u32 = offsetof<RxRing>("headerCopyBytes");

// Consumer
export const CONSUMER_BYTES: u32 = offsetof<Consumer>();
export const CONSUMER_RX: u32 = offsetof<Consumer>("rx");
export const CONSUMER_QUEUE: u32 = offsetof<Consumer>("queue");
export const CONSUMER_MASK: u32 = offsetof<Consumer>("mask");
export const CONSUMER_HEAD: u32 = offsetof<Consumer>("head");
export const CONSUMER_TAIL: u32 = offsetof<Consumer>("tail");
export const CONSUMER_HOLD: u32 = offsetof<Consumer>("hold");
export const CONSUMER_RANDOM: u32 = offsetof<Consumer>("random");
export const CONSUMER_GENERATOR: u32 = offsetof<Consumer>("generator");
export const CONSUMER_CORRUPTED: u32 = offsetof<Consumer>("corrupted");
export const CONSUMER_DIGEST: u32 = offsetof<Consumer>("digest");
export const CONSUMER_PACKETS: u32 = offsetof<Consumer>("packets");
export const CONSUMER_PACKET_BYTES: u32 = offsetof<Consumer>("bytes");

// Numbers
export const NUMBERS_BYTES: u32 = offsetof<Numbers>();
export const NUMBERS_DAMAGED: u32 = offsetof<Numbers>("damaged");
export const NUMBERS_STEPS: u32 = offsetof<Numbers>("steps");

// Coalescer, Coalesced
export const COALESCER_KINDS: u32 = offsetof<Coalescer>("kinds");
export const COALESCER_MAX_SEGMENTS: u32 = offsetof<Coalescer>("maxSegments");
export const COALESCED_FRAME: u32 = offsetof<Coalesced>("frame");
export const COALESCED_BYTES: u32 = offsetof<Coalesced>("bytes");
export const COALESCED_GSO_TYPE: u32 = offsetof<Coalesced>("gsoType");
export const COALESCED_GSO_SIZE: u32 = offsetof<Coalesced>("gsoSize");
export const COALESCED_HDR_LEN: u32 = offsetof<Coalesced>("hdrLen");
export const COALESCED_CSUM_START: u32 = offsetof<Coalesced>("csumStart");
export const COALESCED_CSUM_OFFSET: u32 = offsetof<Coalesced>("csumOffset");
export const COALESCED_SEGMENTS: u32 = offsetof<Coalesced>("segments");
export const COALESCED_FIXED_ID: u32 = offsetof<Coalesced>("fixedId");
// NetQueue, and the counters behind it
export const NET_QUEUE_BLOCK_BYTES: u32 = NET_QUEUE_BYTES;
export const NET_QUEUE_INTERRUPT: u32 = offsetof<NetQueue>("interrupt");
export const NET_QUEUE_MAX_PACKETS: u32 = offsetof<NetQueue>("maxPackets");
export const NET_QUEUE_MAX_USECS: u32 = offsetof<NetQueue>("maxUsecs");
export const NET_QUEUE_COUNTERS: u32 = offsetof<NetQueue>();

// NetDevice, and its own counters behind it
export const NET_DEVICE_QUEUES: u32 = offsetof<NetDevice>("queues");
export const NET_DEVICE_FILTER: u32 = offsetof<NetDevice>("filter");
export const NET_DEVICE_ACTIVE_PAIRS: u32 = offsetof<NetDevice>("activePairs");
export const NET_DEVICE_OPTIONS: u32 = offsetof<NetDevice>("options");
export const NET_DEVICE_WIRE: u32 = offsetof<NetDevice>("wire");
export const NET_DEVICE_LINK_UP: u32 = offsetof<NetDevice>("linkUp");
export const NET_DEVICE_STEERS_BY_HASH: u32 = offsetof<NetDevice>("steersByHash");
export const NET_DEVICE_COALESCE: u32 = offsetof<NetDevice>("receivePackets");
export const NET_DEVICE_TABLE: u32 = offsetof<NetDevice>("table");
export const NET_DEVICE_KEY: u32 = offsetof<NetDevice>("key");
export const NET_DEVICE_CONTROL: u32 = offsetof<NetDevice>("control");
export const NET_DEVICE_CONTROL_BYTES: u32 = offsetof<NetDevice>("controlBytes");
export const NET_DEVICE_CONTROL_ANSWER: u32 = offsetof<NetDevice>("controlAnswer");
export const NET_DEVICE_SENT: u32 = offsetof<NetDevice>("sent");
export const NET_DEVICE_RECEIVED: u32 = offsetof<NetDevice>("received");
export const NET_DEVICE_RECEIVED_DATA: u32 = offsetof<NetDevice>("receivedData");
export const NET_DEVICE_COUNTERS: u32 = offsetof<NetDevice>();
export const NET_CONTROL_BYTES: u32 = CONTROL_BYTES;
export const NET_RSS_KEY_BYTES: u32 = RSS_KEY_BYTES;
export const NET_RSS_TABLE_ENTRIES: u32 = RSS_TABLE_ENTRIES;

// NetDriverQueue, and the counters behind it
export const NET_DRIVER_QUEUE_BLOCK_BYTES: u32 = NET_DRIVER_QUEUE_BYTES;
export const NET_DRIVER_QUEUE_HALF: u32 = offsetof<NetDriverQueue>("half");
export const NET_DRIVER_QUEUE_ADDED: u32 = offsetof<NetDriverQueue>("added");
export const NET_DRIVER_QUEUE_COUNTERS: u32 = offsetof<NetDriverQueue>();

// NetDriver
export const NET_DRIVER_QUEUES: u32 = offsetof<NetDriver>("queues");
export const NET_DRIVER_ACTIVE_PAIRS: u32 = offsetof<NetDriver>("activePairs");
export const NET_DRIVER_OPTIONS: u32 = offsetof<NetDriver>("options");
export const NET_DRIVER_HEADER_BYTES: u32 = offsetof<NetDriver>("headerBytes");
export const NET_DRIVER_OUTGOING: u32 = offsetof<NetDriver>("outgoing");
export const NET_DRIVER_INCOMING: u32 = offsetof<NetDriver>("incoming");
export const NET_DRIVER_DONE: u32 = offsetof<NetDriver>("done");
export const NET_DRIVER_REFUSAL: u32 = offsetof<NetDriver>("refusal");
export const NET_DRIVER_REFUSAL_INDEX: u32 = offsetof<NetDriver>("refusalIndex");
export const NET_DRIVER_SET_UP_PAIRS: u32 = offsetof<NetDriver>("setUpPairs");
export const NET_DRIVER_CONTROL_QUEUE: u32 = offsetof<NetDriver>("controlQueue");
export const NET_DRIVER_COMMANDS: u32 = offsetof<NetDriver>("commands");
export const NET_DRIVER_SEND_AREA: u32 = offsetof<NetDriver>("sendArea");
export const NET_DRIVER_SEND_AREA_BYTES: u32 = offsetof<NetDriver>("sendAreaBytes");
export const NET_SLOT_HEADER: u32 = SLOT_HEADER;
