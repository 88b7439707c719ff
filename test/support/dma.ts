/** Queues with ACCESS_PLATFORM behind each DMA backend. */
import type { DeviceQueue } from "../../src/device-queue.ts";
import type { DmaFault } from "../../src/dma.ts";
import type { DriverQueue } from "../../src/driver-queue.ts";
import type { Engine, EngineOptions, QueuePairConfig } from "../../src/engine.ts";
import { Features } from "../../src/features.ts";
import { DMA_BACKENDS, type DmaBackend, type RingFormat } from "../../src/names.ts";
import type { VirtioDevice } from "../../src/virtio-device.ts";
import { createEngine } from "./engine.ts";
import { defaultFeatures } from "./rig.ts";

export const BACKENDS = Object.keys(DMA_BACKENDS) as DmaBackend[];
export const IOMMUS = ["iommu-strict", "iommu-lazy"] as const;

/** Room for a handful of mappings, and small enough that tests can fill it. */
export const SMALL_DMA = { poolBytes: 256 * 2048, pageTables: 16, apertureBytes: 64 << 20 };

/** An engine with all of its devices behind `backend`. */
export async function engineBehind(backend: DmaBackend, options: EngineOptions = {}): Promise<Engine> {
  const engine = await createEngine({
    queueSize: 8,
    bufferBytes: 65536,
    ...options,
    dma: { ...SMALL_DMA, backends: BACKENDS, ...options.dma },
  });
  for (const device of engine.devices) device.setDma(backend);
  return engine;
}

/** What an IOMMU maps as a whole. */
export const PAGE = 4096;

/** Page `k` of the packet data. */
export function pageAt(engine: Engine, k: number): number {
  return Math.ceil(engine.buffers.ptr / PAGE) * PAGE + k * PAGE;
}

/** A fault of queue 0. */
export function faultOf(
  addr: number | bigint,
  direction: DmaFault["direction"],
  reason: DmaFault["reason"],
): DmaFault {
  return { addr: BigInt(addr), direction, queue: 0, reason };
}

export interface DmaPair {
  engine: Engine;
  owner: VirtioDevice;
  driver: DriverQueue;
  device: DeviceQueue;
}

/** Both halves of queue 0 with ACCESS_PLATFORM behind `backend`. */
export async function pairBehind(
  format: RingFormat,
  backend: DmaBackend,
  config: QueuePairConfig = {},
  options: EngineOptions = {},
): Promise<DmaPair> {
  const engine = await engineBehind(backend, options);
  const features = (config.features ?? defaultFeatures(format)) | Features.ACCESS_PLATFORM;
  const halves = engine.connect(0, { format, ...config, features });
  return { engine, owner: engine.devices[config.device ?? 0], ...halves };
}
