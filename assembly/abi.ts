// What the engine and the host agree on: limits, codes and the layouts of the staging areas.
// Both import this file, so that nothing is typed twice. Struct offsets, which only the
// compiler knows, are exported by index.ts.

// Limits

/** Most NUMA nodes a `per-node` table source can have: a node fits the tag bits of a table pointer. */
export const MAX_NODES: u32 = 4;
/** As in Linux: header, linear part and the 17 fragments that a packet may have. */
export const MAX_THRESHOLD: u32 = 19;
/** What control blocks and areas are aligned to. */
export const CACHE_LINE: u32 = 64;

// State of a queue half

export const QUEUE_STOPPED: u32 = 0;
export const QUEUE_LIVE: u32 = 1;
export const QUEUE_BROKEN: u32 = 2;
/** Live, but its device is suspended (3.4): nothing moves until it resumes. */
export const QUEUE_SUSPENDED: u32 = 3;

// What a queue half has negotiated, as bits of its `flags`

export const QUEUE_F_INDIRECT: u32 = 1;
export const QUEUE_F_EVENT_IDX: u32 = 2;
export const QUEUE_F_IN_ORDER: u32 = 4;
/** A buffer with a table keeps its first element direct (S-V-05 from the driver's side; split only). */
export const QUEUE_F_DIRECT_HEAD: u32 = 16;

/** VIRTIO_F_ACCESS_PLATFORM: the driver half maps what it lends, the device half goes through its backend. */
export const QUEUE_F_ACCESS_PLATFORM: u32 = 32;
/** With QUEUE_F_ACCESS_PLATFORM: staged elements are mapped by the caller; only tables are mapped here. */
export const QUEUE_F_PREMAPPED: u32 = 64;
/** With QUEUE_F_ACCESS_PLATFORM: cached tables are mapped once, when the queue is enabled (ours). */
export const QUEUE_F_TABLES_MAPPED: u32 = 128;

// What a device's status is on the way to (3.4)

export const DEVICE_STEADY: u32 = 0;
export const DEVICE_SUSPENDING: u32 = 1;
export const DEVICE_RESUMING: u32 = 2;

// What a driver did wrong with a device's registers: dropped, counted and remembered, nothing more

export const F_STATUS_BITS_DROPPED: u32 = 1;
export const F_STATUS_ORDER: u32 = 2;
export const F_STATUS_UNKNOWN_BITS: u32 = 3;
export const F_FEATURES_LATE: u32 = 4;
export const F_FEATURES_WINDOW: u32 = 5;
export const F_FEATURES_NOT_OFFERED: u32 = 6;
export const F_FEATURES_DEPENDENCY: u32 = 7;
export const F_FEATURES_REQUIRED: u32 = 8;
export const F_FEATURES_KIND: u32 = 9;
export const F_CONFIG_EARLY: u32 = 10;
export const F_CONFIG_SUSPENDED: u32 = 11;
export const F_CONFIG_READ_ONLY: u32 = 12;
export const F_CONFIG_RANGE: u32 = 13;
export const F_QUEUE_UNKNOWN: u32 = 14;
export const F_QUEUE_EARLY: u32 = 15;
export const F_QUEUE_ENABLED: u32 = 16;
export const F_QUEUE_REGISTERS: u32 = 17;
export const F_QUEUE_NOT_ENABLED: u32 = 18;
export const F_QUEUE_RESET_FEATURE: u32 = 19;
export const F_QUEUE_DISABLE: u32 = 20;
export const F_REGISTER_VALUE: u32 = 21;
export const F_KICK_UNKNOWN: u32 = 22;
export const F_KICK_EARLY: u32 = 23;
export const F_SUSPEND_EARLY: u32 = 24;
export const F_SUSPEND_FEATURE: u32 = 25;

// DMA backends (dma/)

export const DMA_DIRECT: u32 = 0;
export const DMA_SWIOTLB: u32 = 1;
export const DMA_IOMMU_STRICT: u32 = 2;
export const DMA_IOMMU_LAZY: u32 = 3;

// Directions and attributes of a mapping, with Linux's values (enum dma_data_direction, DMA_ATTR_*)

export const DMA_BIDIRECTIONAL: u32 = 0;
export const DMA_TO_DEVICE: u32 = 1;
export const DMA_FROM_DEVICE: u32 = 2;
export const DMA_ATTR_WEAK_ORDERING: u32 = 1 << 1;
export const DMA_ATTR_SKIP_CPU_SYNC: u32 = 1 << 5;

/** What a map call returns when it failed; the space's `failure` says why (DMA_E_*). */
export const DMA_MAPPING_ERROR: u32 = 0xffffffff;

// IOMMU domains (dma/iommu.ts)

/** Mappings are made of pages of 2^12 bytes. */
export const IOMMU_PAGE_BITS: u32 = 12;
/** What a translation returns when the device may not do that there. */
export const IOMMU_FAULT: u32 = 0xffffffff;
/** In place of a buffer's place: all of its pages may be accessed, but they are not one piece of the memory. */
export const ACCESS_SCATTERED: u32 = 0xfffffffe;

// Why a mapping could not be made

export const DMA_E_EMPTY: u32 = 1;
export const DMA_E_RANGE: u32 = 2;
export const DMA_E_TOO_LONG: u32 = 3;
export const DMA_E_POOL_FULL: u32 = 4;
export const DMA_E_NO_IOVA: u32 = 5;
export const DMA_E_NO_TABLE: u32 = 6;
/** A test asked for it (`failIn`). */
export const DMA_E_INJECTED: u32 = 7;

// The bounce pool (dma/swiotlb.ts), with Linux's figures: IO_TLB_SHIFT and IO_TLB_SEGSIZE

export const BOUNCE_SLOT: u32 = 2048;
export const BOUNCE_SEGMENT: u32 = 128;

// Why an access was refused, in a fault log (dma/faults.ts): its records have {addr u64, queue u32,
// direction u16, reason u16}

export const FAULT_RECORD: u32 = 16;
/** Nothing is mapped there. */
export const FAULT_UNMAPPED: u32 = 1;
/** Mapped, but for the other direction. */
export const FAULT_DIRECTION: u32 = 2;
/** Outside of what the device's addresses can be at all: a window, a pool, an aperture. */
export const FAULT_RANGE: u32 = 3;
/** A ring's part or a table, each byte of which is mapped, but not in one piece. */
export const FAULT_SCATTERED: u32 = 4;

// Receive buffers (rx/)

export const PAGE_SIZE: u32 = 4096;
/** Bytes of the private word block of a page, and of the allocator's descriptor of one. */
export const PAGE_RECORD: u32 = 32;
export const PAGE_DESCRIPTOR: u32 = 16;

export const RX_ALLOC_PER_PACKET: u32 = 0;
export const RX_PAGE_REUSE: u32 = 1;
export const RX_PAGE_REUSE_BUILD: u32 = 2;
export const RX_PAGE_POOL: u32 = 3;
export const RX_PREMAPPED: u32 = 4;
export const RX_MERGEABLE: u32 = 5;
export const RX_BIG: u32 = 6;
export const RX_STREAMING: u32 = 7;
/** Frames of an application (path/app-receive.ts), which lie in no page. */
export const RX_FRAMES: u32 = 64;

/** Pages of a `big` buffer (MAX_SKB_FRAGS + 1), and its elements: the first page has the device header apart. */
export const BIG_PAGES: u32 = 18;
export const BIG_ELEMENTS: u32 = BIG_PAGES + 1;

/** A streaming buffer: its strides, its pages, its bytes, and the bytes of a completion. The longest frame fits. */
export const STRIDE_BYTES: u32 = 2048;
export const STREAM_STRIDES: u32 = 64;
export const STREAM_BYTES: u32 = STREAM_STRIDES * STRIDE_BYTES;
export const STREAM_PAGES: u32 = STREAM_BYTES / PAGE_SIZE;
export const COMPLETION: u32 = 8;

/** The page pool's cache, how many pages fill it at once, and its recycle ring. */
export const PAGE_POOL_CACHE: u32 = 128;
export const PAGE_POOL_FILL: u32 = 64;
export const PAGE_POOL_RING: u32 = 1024;

/** A packet record, and the room for what is copied out of its buffer. */
export const PACKET_RECORD: u32 = 32;
export const PACKET_HEAD: u32 = 256;

// What a check of pages found (mem/pages.ts, path/check.ts)

export const PAGES_SOUND: u32 = 0;
/** The allocator's own structure is broken. */
export const PAGES_ALLOCATOR: u32 = 1;
/** A page is free and has references, or is taken and has none. */
export const PAGES_REFERENCES: u32 = 2;
/** Pages taken are not pages allocated less pages freed, or free pages are miscounted. */
export const PAGES_COUNT: u32 = 3;
/** More references were put than there were. */
export const PAGES_UNDERFLOW: u32 = 4;
/** A page is in two places, or in none. */
export const PAGES_PLACE: u32 = 5;
/** The ring has another number of buffers than the pages that are lent say. */
export const PAGES_IN_RING: u32 = 6;

// When transmitted buffers are taken back (path/)

export const RECLAIM_NEXT_TRANSMIT: u32 = 0;
export const RECLAIM_COMPLETION: u32 = 1;
export const RECLAIM_THRESHOLD: u32 = 2;

// Where an indirect table comes from (ring/tables.ts)

export const TABLES_DIRECT: u32 = 0;
export const TABLES_HEAP: u32 = 1;
export const TABLES_FREELIST: u32 = 2;
export const TABLES_GROW: u32 = 3;
export const TABLES_SLOT: u32 = 4;
export const TABLES_PER_NODE: u32 = 5;

// Why a queue broke: what the driver did to our device half ...

export const OK: u32 = 0;
export const E_AVAIL_IDX: u32 = 1;
export const E_HEAD_RANGE: u32 = 2;
export const E_HEAD_IN_FLIGHT: u32 = 3;
export const E_NEXT_RANGE: u32 = 4;
export const E_CHAIN_TOO_LONG: u32 = 5;
export const E_CHAIN_BYTES: u32 = 6;
export const E_TABLE_LENGTH: u32 = 7;
export const E_TABLE_ADDRESS: u32 = 8;
export const E_BUFFER_ADDRESS: u32 = 9;
export const E_READABLE_AFTER_WRITABLE: u32 = 10;
export const E_INDIRECT_WITH_NEXT: u32 = 11;
export const E_NESTED_INDIRECT: u32 = 12;
export const E_INDIRECT_NOT_NEGOTIATED: u32 = 13;
export const E_INDIRECT_IN_LIST: u32 = 14;
export const E_RING_OVERRUN: u32 = 15;
export const E_DMA_FAULT: u32 = 16;
export const E_RING_FAULT: u32 = 17;
/** A receive buffer that does not hold the header of a network packet. */
export const E_NET_BUFFER: u32 = 24;
// ... and what the device did to our driver half
export const E_USED_IDX: u32 = 32;
export const E_USED_ID_RANGE: u32 = 33;
export const E_USED_ID_NOT_OUTSTANDING: u32 = 34;
/** num_buffers is 0, or counts more buffers than were used with it. */
export const E_NET_NUM_BUFFERS: u32 = 40;
/** A completion of a streaming buffer, or one that was given back, that does not follow those before. */
export const E_STREAM_COMPLETION: u32 = 41;

// Why a call was refused: the caller's mistake, which leaves the queue as it was

export const R_EMPTY_BUFFER: u32 = 64;
export const R_TOO_MANY_SGS: u32 = 65;
export const R_BUFFER_BYTES: u32 = 66;
export const R_NOT_IN_FLIGHT: u32 = 67;
export const R_NOT_IN_ORDER: u32 = 68;
export const R_LEN_OVER_CAPACITY: u32 = 69;
export const R_QUEUE_LIVE: u32 = 70;
export const R_QUEUE_NOT_LIVE: u32 = 71;
export const R_QUEUE_SIZE: u32 = 72;
export const R_RING_ALIGNMENT: u32 = 73;
export const R_RING_ADDRESS: u32 = 74;
export const R_RING_OVERLAP: u32 = 75;
export const R_STAGING_SIZE: u32 = 76;
export const R_SPACE_OVERLAP: u32 = 77;
export const R_TABLE_SOURCE: u32 = 78;
export const R_OUTSTANDING: u32 = 79;
export const R_DMA_MAP_FAILED: u32 = 80;
export const R_TOO_MANY_MAPPINGS: u32 = 81;
/** Of frames that are to be sent (net/). */
export const R_NET_PAIR: u32 = 96;
export const R_NET_LENGTH: u32 = 97;
export const R_NET_MTU: u32 = 98;
export const R_NET_HEADER: u32 = 99;
export const R_NET_CSUM: u32 = 100;
export const R_NET_GSO: u32 = 101;

// Staging areas: records of u32 words, all 8-byte aligned, written and read in bursts.

/** add: token, readable count | writable count << 16, then {ptr, len} for each sg. */
export const ADD_HEADER: u32 = 8;
/** pop: handle, readable | writable << 16, readable bytes, writable bytes, then {ptr, len} each. */
export const POP_HEADER: u32 = 16;
/** One {ptr, len} element. */
export const SEGMENT: u32 = 8;
/** mark used: {handle, bytes written}. */
export const USED_RECORD: u32 = 8;
/** reclaim and detach: {token, bytes written by the device}. */
export const RECLAIM_RECORD: u32 = 8;

// What the in-engine loop does to the payload on the device's side

export const TOUCH_NONE: u32 = 0;
export const TOUCH_HEADER: u32 = 1;
export const TOUCH_COPY: u32 = 2;
/** Untimed: feeds every readable byte, with the length of each packet, to FNV-1a. */
export const TOUCH_DIGEST: u32 = 3;

// What lies between a device half and the wire (path/host-path.ts)

/** Every payload is copied by the CPU: from a guest's buffers into the host's, or the other way. */
export const HOST_COPY: u32 = 1;
/** Transmit: the wire takes payloads from the guest's own pages, which are pinned meanwhile. */
export const HOST_ZEROCOPY: u32 = 2;
/** Bytes of the shortest frame whose payload it leaves there (VHOST_GOODCOPY_LEN). */
export const ZEROCOPY_LEAST: u32 = 256;
/** The NIC reads and writes the guest's own pages (path/passthru.ts). */
export const HOST_PASSTHRU: u32 = 4;

// Why pages could not be pinned (mem/pins.ts)

/** A test asked for it (`failIn`). */
export const PIN_E_INJECTED: u32 = 1;
/** Not in the memory that can be pinned. */
export const PIN_E_RANGE: u32 = 2;
/** More than may be pinned at a time. */
export const PIN_E_LIMIT: u32 = 3;

// Requests of a passthru interface (path/passthru.ts): {token, readable count | writable count << 16, {ptr, bytes} each},
// as for add; and what comes back of one: {token, bytes written, 0 or PASSTHRU_E_*, buffers of the same frame that follow}

export const PASSTHRU_COMPLETION: u32 = 16;
/** What a NIC has sent, or failed to: {handle, 0 or 1 for an error}. */
export const PASSTHRU_SENT: u32 = 8;

// Why a request was refused, or came back undone

export const PASSTHRU_E_UNBOUND: u32 = 1;
export const PASSTHRU_E_FULL: u32 = 2;
/** Elements of both directions, or none, or more than a request has room for. */
export const PASSTHRU_E_ELEMENTS: u32 = 3;
export const PASSTHRU_E_TOO_SHORT: u32 = 4;
export const PASSTHRU_E_TOO_LONG: u32 = 5;
export const PASSTHRU_E_RANGE: u32 = 6;
export const PASSTHRU_E_LOCKED_PAGES: u32 = 7;
export const PASSTHRU_E_PIN_FAILED: u32 = 8;
/** A buffer without the room or the alignment that the NIC asked for. */
export const PASSTHRU_E_HEADROOM: u32 = 9;
export const PASSTHRU_E_TAILROOM: u32 = 10;
export const PASSTHRU_E_ALIGNMENT: u32 = 11;
/** Given back before a frame came, because the interface was unbound or the request withdrawn. */
export const PASSTHRU_E_CANCELED: u32 = 12;
/** The NIC could not send it. */
export const PASSTHRU_E_WIRE: u32 = 13;

/** A copy engine moves payloads, both ways, in a turn of its own. */
export const HOST_ENGINE: u32 = 3;

/** A job of a copy engine (path/copy-engine.ts). */
export const COPY_JOB: u32 = 16;

// What the wire has and is not done with (path/in-flight.ts)

/** Packets from the one on that it has had longest, among which it is done with any next. */
export const IN_FLIGHT_REORDER: u32 = 8;
/** Most pages of a packet that are handed over where they are (MAX_SKB_FRAGS). */
export const IN_FLIGHT_PAGES: u32 = 17;

// What stands above a driver half (path/app.ts)

/** A guest kernel's socket: a copy between an application's buffer and the driver's. */
export const APP_SOCKET: u32 = 1;
/** The mapped ring of a packet socket: copies, or its frames as the driver's buffers. */
export const APP_AF_PACKET: u32 = 2;
export const APP_AF_PACKET_ZC: u32 = 3;
/** An AF_XDP socket: its chunks as the driver's buffers, or copies. */
export const APP_XSK: u32 = 4;
export const APP_XSK_COPY: u32 = 5;

/** Bytes of the kernel's private record of a frame. */
export const FRAME_RECORD: u32 = 16;

// A frame of a packet socket's ring, with the names and values of Linux's include/uapi/linux/if_packet.h
// (struct tpacket2_hdr)

export const TP_STATUS: u32 = 0;
export const TP_LEN: u32 = 4;
export const TP_SNAPLEN: u32 = 8;
export const TP_MAC: u32 = 12;
export const TP_STATUS_KERNEL: u32 = 0;
export const TP_STATUS_USER: u32 = 1;
export const TP_STATUS_AVAILABLE: u32 = 0;
export const TP_STATUS_SEND_REQUEST: u32 = 1;
export const TP_STATUS_SENDING: u32 = 2;
export const TP_STATUS_WRONG_FORMAT: u32 = 4;
/** Where a packet starts in its frame: behind the frame's header and the room for a device header. */
export const TP_DATA: u32 = 64;

// The rings of an AF_XDP socket, with the names of include/uapi/linux/if_xdp.h; a fill or completion ring has addresses
// (u64), an rx or tx ring descriptors: addr u64, len u32, options u32

export const XDP_RING_PRODUCER: u32 = 0;
export const XDP_RING_CONSUMER: u32 = 64;
export const XDP_RING_FLAGS: u32 = 128;
export const XDP_RING_ENTRIES: u32 = 192;
export const XDP_RING_NEED_WAKEUP: u32 = 1;
export const XDP_ADDRESS: u32 = 8;
export const XDP_DESC: u32 = 16;
/** Room in front of a received packet in its chunk (XDP_PACKET_HEADROOM). */
export const XDP_PACKET_HEADROOM: u32 = 256;

// What the general allocator's check found wrong

export const TLSF_SOUND: u32 = 0;
export const TLSF_BAD_SIZE: u32 = 1;
export const TLSF_BAD_PREVIOUS: u32 = 2;
export const TLSF_UNMERGED: u32 = 3;
export const TLSF_BAD_LIST: u32 = 4;
export const TLSF_BAD_MAP: u32 = 5;

// What the check of an IOMMU domain found wrong

export const IOMMU_SOUND: u32 = 0;
/** A count of live entries, tables, mappings or pages. */
export const IOMMU_BAD_COUNT: u32 = 1;
/** A table outside of the pool, in two places, lost, or free and not zero. */
export const IOMMU_BAD_TABLE: u32 = 2;
/** The pages of a mapping don't follow each other. */
export const IOMMU_BAD_MAPPING: u32 = 3;
/** A page of the aperture is where it can't be, or in two places, ... */
export const IOMMU_TWO_PLACES: u32 = 4;
/** ... or in none. */
export const IOMMU_LOST_RANGE: u32 = 5;
/** What the allocator, a magazine or the flush queue says of itself. */
export const IOMMU_BAD_SETS: u32 = 6;
/** An IOTLB entry that no mapping has and that waits for no flush. */
export const IOMMU_BAD_IOTLB: u32 = 7;

// Operations of a trace (mem/trace.ts), with what their two numbers are

/** handle, bytes */
export const OP_MAP: u32 = 1;
/** handle, bytes */
export const OP_UNMAP: u32 = 2;
/** handle, bytes */
export const OP_SYNC_CPU: u32 = 3;
/** handle, bytes */
export const OP_SYNC_DEVICE: u32 = 4;
/** place, page reference count */
export const OP_PAGE_ALLOC: u32 = 5;
/** place, 0 */
export const OP_PAGE_FREE: u32 = 6;
/** place, offset of the buffer that is used next */
export const OP_PAGE_REUSE: u32 = 7;
/** buffers posted, free descriptors left */
export const OP_REFILL: u32 = 8;
/** buffers added, free descriptors left */
export const OP_TRANSMIT: u32 = 9;
/** buffers taken back, free descriptors left */
export const OP_RECLAIM: u32 = 10;
/** bytes of the packet, bytes of it that were copied */
export const OP_RECEIVE: u32 = 11;

// What a parsed frame is, as bits of its `flags` (net/parse.ts)

export const FRAME_IPV4: u32 = 1;
export const FRAME_IPV6: u32 = 2;
export const FRAME_TCP: u32 = 4;
export const FRAME_UDP: u32 = 8;
/** A fragment, be it the first: its transport header, if it has one, does not stand for the whole packet. */
export const FRAME_FRAGMENT: u32 = 16;
export const FRAME_VLAN: u32 = 32;
/** IPv4 options or IPv6 extension headers. */
export const FRAME_OPTIONS: u32 = 64;
/** The frame ends before the IP packet in it does. */
export const FRAME_CUT: u32 = 128;
/** A source route is not at its end: the destination that checksums cover stands elsewhere. */
export const FRAME_ROUTED: u32 = 256;

// What carries a frame inside of another (net/parse.ts)

export const TUNNEL_NONE: u32 = 0;
export const TUNNEL_VXLAN: u32 = 1;
export const TUNNEL_GENEVE: u32 = 2;

// What a check of a checksum found (net/checksum.ts)

/** Nothing to check: neither TCP nor UDP, a fragment, or UDP over IPv4 without a checksum. */
export const CHECKSUM_NONE: u32 = 0;
export const CHECKSUM_VALID: u32 = 1;
export const CHECKSUM_INVALID: u32 = 2;

// Why an offload that a frame's header asks for can't be done: the peer's mistake, which costs the frame (net/)

/** csum_start and csum_offset point outside of the frame. */
export const NET_E_CSUM_RANGE: u32 = 128;
/** The gso_type is unknown, or not one by which the frame's protocol can be segmented. */
export const NET_E_GSO_TYPE: u32 = 129;
/** A gso_size of 0, or below 8 for fragments. */
export const NET_E_GSO_SIZE: u32 = 130;
/** A header is cut or longer than the frame, or the headers are longer than what is kept of them. */
export const NET_E_GSO_HEADER: u32 = 131;
/** csum_start or csum_offset isn't where the transport header has its checksum. */
export const NET_E_GSO_CSUM: u32 = 132;
/** A fragment can't be segmented. */
export const NET_E_GSO_FRAGMENT: u32 = 133;
/** The tunnel's offsets don't fit the frame. */
export const NET_E_GSO_TUNNEL: u32 = 134;
/** The frame has no payload, or a packet of it would not fit its 16-bit length. */
export const NET_E_GSO_BYTES: u32 = 135;

// What became of a received frame (net/coalesce.ts)

/** The frame is to be delivered as it is, after those that are ready. */
export const COALESCE_PASS: u32 = 0;
/** The frame was taken in. */
export const COALESCE_HELD: u32 = 1;

// The Toeplitz hash (net/toeplitz.ts)

/** The longest input: two IPv6 addresses and two ports. */
export const TOEPLITZ_INPUT_BYTES: u32 = 36;
/** Bytes of the table that a key is prepared into. */
export const TOEPLITZ_TABLE_BYTES: u32 = TOEPLITZ_INPUT_BYTES << 10;
// Network halves (net/)

/** No token of a frame: of all but the last of the segments that one frame was cut into. */
export const NET_NO_TOKEN: u32 = 0xffffffff;
/** The longest frame that either half moves: what a receive buffer of 5.1.9.3.1 holds besides its header. */
export const NET_FRAME_MAX: u32 = 65589;

// A frame where host and engine meet, NET_FRAME bytes:
//
//   0 ptr | 4 bytes | 8 queue pair u16, NET_FRAME_F_* u16 | 12 token | 16 virtio_net_hdr in its longest form
export const NET_FRAME: u32 = 48;
export const NET_FRAME_BYTES: u32 = 4;
export const NET_FRAME_PAIR: u32 = 8;
export const NET_FRAME_FLAGS: u32 = 10;
export const NET_FRAME_TOKEN: u32 = 12;
export const NET_FRAME_HDR: u32 = 16;
/** To send: fill in the checksum, or with a gso_size segment, by whatever was negotiated or in software. */
export const NET_FRAME_F_CHECKSUM: u32 = 1;
/** Received, and checked in software: the checksum is wrong. */
export const NET_FRAME_F_BAD_CHECKSUM: u32 = 2;

// What the host's side of a device half takes beside complete frames of at most the MTU

/** Frames whose checksum is still to be completed. */
export const NET_WIRE_CSUM: u32 = 1;
/** Frames that are still to be segmented. */
export const NET_WIRE_GSO: u32 = 2;

// What a network half does beside what was negotiated

/** Device half: a frame without a buffer waits at the host, instead of being dropped. */
export const NET_HOLD: u32 = 1;
/** Device half: TCP segments of one flow in a burst become one frame, where the driver takes such frames. */
export const NET_COALESCE: u32 = 2;
/** Driver half: what the device has not checked is checked in software. */
export const NET_VERIFY: u32 = 4;

// Counters of a network half's queue: u64 each, behind the queue's block. Those of one direction and half share
// names with nobody else, so each list starts at 0.

// Device half, transmit queue
export const NET_TX_PACKETS: u32 = 0;
export const NET_TX_BYTES: u32 = 1;
export const NET_TX_NOTIFICATIONS: u32 = 2;
export const NET_TX_CSUM_NONE: u32 = 3;
export const NET_TX_NEEDS_CSUM: u32 = 4;
export const NET_TX_GSO_PACKETS: u32 = 5;
export const NET_TX_GSO_BYTES: u32 = 6;
export const NET_TX_GSO_SEGMENTS: u32 = 7;
export const NET_TX_GSO_SEGMENTS_BYTES: u32 = 8;
export const NET_TX_DROP_SHORT: u32 = 9;
export const NET_TX_DROP_OVERSIZE: u32 = 10;
export const NET_TX_DROP_HEADER: u32 = 11;
export const NET_TX_DROP_CSUM: u32 = 12;
export const NET_TX_DROP_GSO: u32 = 13;
export const NET_TX_DROP_ADDRESS: u32 = 14;
export const NET_TX_DROP_RESET: u32 = 15;

// Device half, receive queue
export const NET_RX_PACKETS: u32 = 0;
export const NET_RX_BYTES: u32 = 1;
export const NET_RX_NOTIFICATIONS: u32 = 2;
export const NET_RX_BUFFERS: u32 = 3;
export const NET_RX_CSUM_NONE: u32 = 4;
export const NET_RX_CSUM_VALID: u32 = 5;
export const NET_RX_CSUM_BAD: u32 = 6;
export const NET_RX_NEEDS_CSUM: u32 = 7;
export const NET_RX_GSO_PACKETS: u32 = 8;
export const NET_RX_GSO_BYTES: u32 = 9;
export const NET_RX_DROP_OVERRUNS: u32 = 10;
export const NET_RX_DROP_OVERSIZE: u32 = 11;
export const NET_RX_DROP_ADDRESS: u32 = 12;

// Device half, receive side before a queue is chosen
export const NET_RX_DROP_LENGTH: u32 = 0;
export const NET_RX_DROP_LINK_DOWN: u32 = 1;
export const NET_RX_DROP_MAC: u32 = 2;
export const NET_RX_DROP_VLAN: u32 = 3;
export const NET_RX_DROP_MTU: u32 = 4;
export const NET_RX_DROP_HEADER: u32 = 5;
export const NET_RX_DROP_GSO: u32 = 6;
export const NET_RX_DROP_QUEUE: u32 = 7;
export const NET_RX_GSO_PACKETS_COALESCED: u32 = 8;
export const NET_RX_GSO_SEGMENTED: u32 = 9;
export const NET_RX_DROP_RESET: u32 = 10;

// Driver half, transmit queue
export const NET_XMIT_PACKETS: u32 = 0;
export const NET_XMIT_BYTES: u32 = 1;
export const NET_XMIT_CSUM_OFFLOAD: u32 = 2;
export const NET_XMIT_CSUM_SOFTWARE: u32 = 3;
export const NET_XMIT_GSO_OFFLOAD: u32 = 4;
export const NET_XMIT_GSO_SOFTWARE: u32 = 5;
export const NET_XMIT_GSO_SEGMENTS: u32 = 6;
export const NET_XMIT_DROP_RESET: u32 = 7;
export const NET_XMIT_ERRORS: u32 = 8;

// Driver half, receive queue
export const NET_RECV_PACKETS: u32 = 0;
export const NET_RECV_BYTES: u32 = 1;
export const NET_RECV_BUFFERS: u32 = 2;
export const NET_RECV_CSUM_NONE: u32 = 3;
export const NET_RECV_CSUM_VALID: u32 = 4;
export const NET_RECV_CSUM_PARTIAL: u32 = 5;
export const NET_RECV_CSUM_BAD: u32 = 6;
export const NET_RECV_GSO_PACKETS: u32 = 7;
export const NET_RECV_GSO_BYTES: u32 = 8;
export const NET_RECV_HASH_UNKNOWN: u32 = 9;
export const NET_RECV_LENGTH_ERRORS: u32 = 10;
export const NET_RECV_FRAME_ERRORS: u32 = 11;
export const NET_RECV_DROP_NUM_BUFFERS: u32 = 12;
export const NET_RECV_DROP_OVERSIZE: u32 = 13;
export const NET_RECV_DROP_RESET: u32 = 14;

/** Counters that a queue has room for. */
export const NET_COUNTERS: u32 = 16;
