/** The frames of a case: which of the traffic's go, in which queue, and what they arrive as. */
import { queueOf } from "../net/flows.ts";
import { Fnv1a64, MAX_FRAME_BYTES, type Traffic } from "../net/traffic.ts";
import { mostReceived } from "../system/driver-bench.ts";
import { CompareInputError } from "./errors.ts";
import type { SystemArm } from "./system-arms.ts";
import { PACKETS_A_PASS } from "./trace.ts";

/** The frames of a pass, spread over queues. */
export interface Spread {
  queues: Uint8Array[][];
  packets: number;
  bytes: number;
  /** What the queues' frames arrive as. */
  digest: string;
  /** What was left out of the traffic, for the reader. */
  notes: string[];
}

/**
 * Gives each of the arms its frames: those that are compared have the same, so a frame that one of them can't take goes
 * in none. An arm that takes no frame at all has no say in that; for it, what this returns throws CompareInputError.
 */
export function spreading(arms: readonly SystemArm[]): (arm: SystemArm) => Spread {
  const spreads = new Map<Traffic, Map<string, Spread>>();
  const limits = new Map<Traffic, number>();
  for (const arm of arms) {
    const most = mostTaken(arm);
    if (hasFrame(arm.traffic, most))
      limits.set(arm.traffic, Math.min(most, limits.get(arm.traffic) ?? MAX_FRAME_BYTES));
  }
  return (arm) => {
    const { traffic, settings } = arm;
    const { direction, queues } = settings;
    const own = mostTaken(arm);
    if (!hasFrame(traffic, own)) throw noFrame(traffic, own);
    const most = direction === "tx" ? MAX_FRAME_BYTES : (limits.get(traffic) ?? own);
    const ofTraffic = spreads.get(traffic) ?? new Map<string, Spread>();
    spreads.set(traffic, ofTraffic);
    const key = [most, queues].join();
    const spread = ofTraffic.get(key) ?? spreadFrames(traffic, most, queues);
    ofTraffic.set(key, spread);
    return spread;
  };
}

/** The longest frame that the far side of a case can take. */
function mostTaken({ record, settings }: SystemArm): number {
  if (settings.direction === "tx") return MAX_FRAME_BYTES;
  return mostReceived({ ...record.rx, kind: settings.kind ?? record.rx.kind });
}

function hasFrame({ packets }: Traffic, most: number): boolean {
  return packets.some(({ data }) => data.length <= most);
}

function noFrame({ kind, name }: Traffic, most: number): CompareInputError {
  return new CompareInputError(
    `${kind === "fixed" ? `${name}-byte frames` : name}: there is no frame of at most ${most} bytes, ` +
      "which is what a receive buffer takes; some kinds take more",
  );
}

function spreadFrames({ packets }: Traffic, most: number, count: number): Spread {
  const frames = packets.map(({ data }) => data).filter(({ length }) => length <= most);
  const repeats = Math.ceil(PACKETS_A_PASS / frames.length);
  const once = Array.from({ length: count }, (): Uint8Array[] => []);
  for (const frame of frames) once[queueOf(frame, count)].push(frame);
  const queues = once.map((list) => Array.from({ length: repeats }, () => list).flat());
  const tooLong = packets.length - frames.length;
  return {
    queues,
    packets: repeats * frames.length,
    bytes: repeats * frames.reduce((sum, { length }) => sum + length, 0),
    digest: digestOf(queues.map(frameDigest)),
    notes:
      tooLong === 0
        ? []
        : [
            `${tooLong} of ${packets.length} frames are left out, because a receive buffer takes ${most} bytes`,
          ],
  };
}

function frameDigest(frames: readonly Uint8Array[]): string {
  const digest = new Fnv1a64();
  for (const frame of frames) digest.addPacket(frame);
  return digest.hex();
}

/** Queues have an order of their own and no common one: the digest of several is that of their digests. */
export function digestOf(queues: readonly string[]): string {
  if (queues.length === 1) return queues[0];
  return new Fnv1a64().addBytes(new TextEncoder().encode(queues.join("\n"))).hex();
}
