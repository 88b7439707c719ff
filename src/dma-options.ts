/** What the DMA backends of an engine's devices are given, checked before there is a memory. */
import * as abi from "../assembly/abi.ts";
import { ConfigError } from "./errors.ts";
import { DMA_BACKENDS, type DmaBackend } from "./names.ts";

export interface DmaOptions {
  /** Backends that `setDma` can choose from, beside `direct`, which is always there. */
  backends: readonly DmaBackend[];
  /** `swiotlb`: bytes of the pool that all devices share, a multiple of 2048. Default 64 MiB. */
  poolBytes?: number;
  /** IOMMU: bytes of bus addresses that a device has, a multiple of 4096. Default 4 GiB. */
  apertureBytes?: number;
  /** IOMMU: page tables that a device has besides the root; each covers 2 MiB of bus addresses. Default 128. */
  pageTables?: number;
  /** IOMMU: levels of the page table. Default 4. */
  levels?: 3 | 4;
  /** IOMMU: translations that a device's IOTLB holds, and how many of them share a set; powers of two. Default 64 and 4. */
  iotlb?: { entries: number; ways: number };
  /** `iommu-lazy`: slots of the flush queue, which is full with one free. Default 256. */
  flushQueue?: number;
  /** Faults that a device's log has room for. Default 64. */
  faultLog?: number;
  /** Operations that are recorded, of all devices. Default 0. */
  traceOps?: number;
}

/** The same with nothing left open; 0 is what isn't reserved. */
export interface DmaLimits {
  backends: readonly DmaBackend[];
  poolBytes: number;
  /** Whether a backend is an IOMMU, and what each device's domain has. */
  iommu: boolean;
  apertureBytes: number;
  pageTables: number;
  levels: 3 | 4;
  iotlb: { entries: number; ways: number };
  flushQueue: number;
  faultLog: number;
  traceOps: number;
}

const DEFAULT_POOL = 64 << 20;
export const IOMMU_PAGE = 1 << abi.IOMMU_PAGE_BITS;

/** @throws ConfigError */
export function resolveDma(options: DmaOptions): DmaLimits {
  for (const backend of options.backends) checkBackend(backend);
  const limits: DmaLimits = {
    backends: options.backends,
    poolBytes: options.backends.includes("swiotlb") ? (options.poolBytes ?? DEFAULT_POOL) : 0,
    iommu: options.backends.some((backend) => DMA_BACKENDS[backend] >= abi.DMA_IOMMU_STRICT),
    apertureBytes: options.apertureBytes ?? 2 ** 32,
    pageTables: options.pageTables ?? 128,
    levels: options.levels ?? 4,
    iotlb: options.iotlb ?? { entries: 64, ways: 4 },
    flushQueue: options.flushQueue ?? 256,
    faultLog: options.faultLog ?? 64,
    traceOps: options.traceOps ?? 0,
  };
  if (options.backends.includes("swiotlb")) {
    check("poolBytes", limits.poolBytes, abi.BOUNCE_SLOT, 2 ** 32 - 65536);
    checkMultiple("poolBytes", limits.poolBytes, abi.BOUNCE_SLOT);
  }
  if (limits.iommu) checkIommu(limits);
  check("faultLog", limits.faultLog, 0, 65536);
  check("traceOps", limits.traceOps, 0, 2 ** 24);
  return limits;
}

/** @throws ConfigError for a name that is no backend's. */
export function checkBackend(backend: DmaBackend): void {
  if (!Object.hasOwn(DMA_BACKENDS, backend)) {
    throw new ConfigError(
      `"${backend}" is no DMA backend, but must be one of ${Object.keys(DMA_BACKENDS).join(", ")}`,
    );
  }
}

function checkIommu({ apertureBytes, pageTables, levels, iotlb, flushQueue }: DmaLimits): void {
  check("apertureBytes", apertureBytes, 2 * IOMMU_PAGE, 2 ** 32);
  checkMultiple("apertureBytes", apertureBytes, IOMMU_PAGE);
  check("pageTables", pageTables, 1, 2 ** 20);
  check("levels", levels, 3, 4);
  check("iotlb.entries", iotlb.entries, 1, 65536);
  check("iotlb.ways", iotlb.ways, 1, Math.min(64, iotlb.entries));
  for (const [name, value] of Object.entries(iotlb)) {
    if (value & (value - 1))
      throw new ConfigError(`dma.iotlb.${name} is ${value}, but must be a power of two`);
  }
  check("flushQueue", flushQueue, 2, 65536);
}

function checkMultiple(name: string, value: number, step: number): void {
  if (value % step !== 0) throw new ConfigError(`dma.${name} is ${value}, but must be a multiple of ${step}`);
}

function check(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ConfigError(`dma.${name} is ${value}, but must be a whole number from ${least} to ${most}`);
  }
}
