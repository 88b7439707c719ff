/**
 * vring: split and packed virtqueues in one fixed WebAssembly memory, driver and device half.
 *
 * Start with {@link Engine}.
 */
export { DeviceCore, type DeviceCoreOptions } from "./device/core.ts";
export type { DeviceFault } from "./device/faults.ts";
export type { DeviceHost, DeviceKind } from "./device/kind.ts";
export { NET_DEVICE_FEATURES, NetDevice, type NetDeviceOptions } from "./device/net.ts";
export {
  Passthru,
  type PassthruCounters,
  type PassthruSettings,
  type PassthruState,
} from "./device/passthru.ts";
export { PassthruNetDevice, type PassthruNetOptions } from "./device/passthru-net.ts";
export { type Chain, type DeviceCounters, DeviceQueue, type DeviceQueueConfig } from "./device-queue.ts";
export {
  Dma,
  type DmaAttributes,
  type DmaCounters,
  type DmaFault,
  type DmaSettings,
  type DomainUse,
} from "./dma.ts";
export type { DmaLimits, DmaOptions } from "./dma-options.ts";
export { DriverCore, type DriverCoreOptions } from "./driver/core.ts";
export type { ConfigField, DriverHost, DriverKind, QueuePlan } from "./driver/kind.ts";
export { NET_DRIVER_FEATURES, type NetConfig, NetDriver, type NetDriverOptions } from "./driver/net.ts";
export {
  NET_RECEIVE_MODES,
  type NetCoalescing,
  NetCommands,
  type NetReceiveMode,
  type NetRss,
} from "./driver/net-commands.ts";
export { type DriverCounters, DriverQueue, type DriverQueueConfig, type UsedBuffer } from "./driver-queue.ts";
export { Engine, type EngineOptions, type QueuePairConfig } from "./engine.ts";
export {
  ConfigError,
  DmaMapError,
  DriverError,
  MemoryTooSmallError,
  PassthruError,
  QueueBrokenError,
  RefusedError,
  SnapshotError,
  VringError,
} from "./errors.ts";
export type { FeatureRule, TransportType } from "./feature-rules.ts";
export { DEFAULT_FEATURES, Features } from "./features.ts";
export type { EngineLimits, Part, Region } from "./layout.ts";
export {
  DMA_BACKENDS,
  DMA_DIRECTIONS,
  type DmaBackend,
  type DmaDirection,
  type FaultReason,
  type QueueState,
  RING_FORMATS,
  type RingFormat,
  TABLE_SOURCES,
  type TableSource,
} from "./names.ts";
export { QUEUE_COUNTS, queueOf } from "./net/flows.ts";
export * from "./net/pcap.ts";
export * from "./net/traffic.ts";
export { NET_FEATURE_RULES, NetFeatures } from "./net-features.ts";
export type { NetLimits, NetOptions } from "./net-limits.ts";
export type { NetDeviceStatistics, NetDriverStatistics } from "./net-names.ts";
export { NET_FRAME_WORDS, type NetFrame, type NetHeader } from "./net-records.ts";
export {
  type BufferRoom,
  negotiateRoom,
  type PassthruLimits,
  type PassthruMode,
  type PassthruNic,
  type PassthruOptions,
} from "./passthru-limits.ts";
export type { Segment } from "./queue.ts";
export {
  type DeviceEvents,
  type DeviceRegisters,
  QUEUE_DESC,
  QUEUE_DEVICE,
  QUEUE_DRIVER,
} from "./registers.ts";
export {
  DriverBench,
  type DriverBenchOptions,
  type DriverSettings,
  type LeakReport,
  MAX_RX_FRAME,
  type PathCounters,
} from "./system/driver-bench.ts";
export { type Operation, operationLines } from "./system/operations.ts";
export { parseSystem } from "./system/parse-record.ts";
export {
  type Application,
  atNic,
  type Direction,
  DRIVER_RECORDS,
  type DriverRecord,
  directionsOf,
  type HostRx,
  type HostTx,
  isDriver,
  type ReclaimAt,
  RX_KINDS,
  type RxKind,
  type RxPolicy,
  SYSTEM_RECORDS,
  type SystemRecord,
  type TxPolicy,
} from "./system/records.ts";
export { copiesOf, type Leg, type Step, type WayCopies, wayOf } from "./system/way.ts";
export { XskRing, XskSocket } from "./system/xsk-socket.ts";
export { connectInProcess, type InProcessOptions } from "./transport/in-process.ts";
export { VirtioDevice } from "./virtio-device.ts";
