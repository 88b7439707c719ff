/** What the DMA backends of an engine's devices are given, checked before there is a memory. */
import * as abi from "../assembly/abi.ts";
import { ConfigError } from "./errors.ts";
import { DMA_BACKENDS, type DmaBackend } from "./names.ts";

export interface DmaOptions {
  /** Backends that `setDma` can choose from, beside `direct`, which is always there. */
  backends: readonly DmaBackend[];
  /** `swiotlb`: bytes of the pool that all devices share, a multiple of 2048. Default 64 MiB. */
  poolBytes?: number;
  /** Faults that a device's log has room for. Default 64. */
  faultLog?: number;
  /** Operations that are recorded, of all devices. Default 0. */
  traceOps?: number;
}

/** The same with nothing left open; 0 is what isn't reserved. */
export interface DmaLimits {
  backends: readonly DmaBackend[];
  poolBytes: number;
  faultLog: number;
  traceOps: number;
}

const DEFAULT_POOL = 64 << 20;

/** @throws ConfigError */
export function resolveDma(options: DmaOptions): DmaLimits {
  for (const backend of options.backends) checkBackend(backend);
  const limits: DmaLimits = {
    backends: options.backends,
    poolBytes: options.backends.includes("swiotlb") ? (options.poolBytes ?? DEFAULT_POOL) : 0,
    faultLog: options.faultLog ?? 64,
    traceOps: options.traceOps ?? 0,
  };
  if (options.backends.includes("swiotlb")) {
    check("poolBytes", limits.poolBytes, abi.BOUNCE_SLOT, 2 ** 32 - 65536);
    if (limits.poolBytes % abi.BOUNCE_SLOT !== 0)
      throw new ConfigError(
        `dma.poolBytes is ${limits.poolBytes}, but must be a multiple of ${abi.BOUNCE_SLOT}`,
      );
  }
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

function check(name: keyof DmaLimits, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ConfigError(`dma.${name} is ${value}, but must be a whole number from ${least} to ${most}`);
  }
}
