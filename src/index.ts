/**
 * vring: split and packed virtqueues in one fixed WebAssembly memory, driver and device half.
 *
 * Start with {@link Engine}.
 */
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
export { type DriverCounters, DriverQueue, type DriverQueueConfig, type UsedBuffer } from "./driver-queue.ts";
export { Engine, type EngineOptions, type QueuePairConfig } from "./engine.ts";
export {
  ConfigError,
  DmaMapError,
  MemoryTooSmallError,
  QueueBrokenError,
  RefusedError,
  VringError,
} from "./errors.ts";
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
export * from "./net/pcap.ts";
export * from "./net/traffic.ts";
export type { Segment } from "./queue.ts";
export { VirtioDevice } from "./virtio-device.ts";
