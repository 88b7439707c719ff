/** What an engine reserves for the halves of network cards, in the part that peers can't reach. */
import * as abi from "../assembly/abi.ts";
import { ConfigError } from "./errors.ts";

export interface NetLimits {
  /** Most queue pairs of a device. Default 1. */
  pairs: number;
  /** Most frames of a burst, each direction and half. Default 64. */
  records: number;
  /** Bytes of the frames of a burst, each direction and half; at least one of 65589. Default 256 KiB. */
  frameBytes: number;
}

export type NetOptions = Partial<NetLimits>;

/** N-V-01: most queue pairs. */
export const NET_MOST_PAIRS = 0x8000;

export function resolveNet(options: NetOptions, batch: number): NetLimits {
  const limits: NetLimits = {
    pairs: options.pairs ?? 1,
    records: options.records ?? Math.max(64, batch),
    frameBytes: options.frameBytes ?? 1 << 18,
  };
  check(limits, "pairs", 1, NET_MOST_PAIRS);
  // Everything that one call of a ring gives back has a place.
  check(limits, "records", batch, 1 << 16);
  check(limits, "frameBytes", abi.NET_FRAME_MAX, 2 ** 30);
  return limits;
}

function check(limits: NetLimits, name: keyof NetLimits, least: number, most: number): void {
  const value = limits[name];
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ConfigError(`net.${name} is ${value}, but must be a whole number from ${least} to ${most}`);
  }
}
