/** What goes through the rings: a capture, frames of one size, or a mix; the same for the same seed. */

import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { type Capture, type CapturedPacket, CaptureError } from "./capture.ts";
import { Fnv1a64 } from "./digest.ts";
import { MAX_FRAME_BYTES, MIN_FRAME_BYTES, makeFrame } from "./frame.ts";

export { Fnv1a64 } from "./digest.ts";
export { MAX_FRAME_BYTES, MIN_FRAME_BYTES } from "./frame.ts";

/** The frame sizes of RFC 2544, section 9.1, which counts the 4 bytes of FCS in; `fixedTraffic` does not. */
export const RFC2544_SIZES: readonly number[] = [64, 128, 256, 512, 1024, 1280, 1518];

/** Packets of at least 14 bytes each, so that every one has an Ethernet header. */
export interface Traffic {
  kind: "capture" | "fixed" | "imix";
  /** For people: the capture's file name without folders, the frame size in bytes, or "imix". */
  name: string;
  /** The capture's path as given, or null for generated traffic. */
  file: string | null;
  packets: CapturedPacket[];
  /** The sum of the packets' captured bytes. */
  bytes: number;
  /** What was done to the packets since they were read or made, a sentence each. */
  notes?: readonly string[];
}

export interface TrafficOptions {
  /** Number of packets, at least 1. */
  count: number;
  /** Any 32-bit unsigned integer. */
  seed: number;
}

const FCS_BYTES = 4;

/** Simple IMIX: in every 12 packets, 7 of 64 bytes, 4 of 594 and 1 of 1518, FCS counted in. */
const IMIX_WIRE_SIZES = [64, 64, 64, 64, 64, 64, 64, 594, 594, 594, 594, 1518];

/** Generated packets are that far apart, so that a written capture has increasing times from 1970 on. */
const NANOSECONDS_APART = 1000n;

/**
 * Frames of `frameBytes` bytes in memory, from 14 to 65,550, without FCS. RFC 2544 counts the 4 bytes of FCS:
 * what it calls a 64-byte frame has 60 bytes in memory, and 64 here is a 68-byte frame there.
 * Frames of 42 bytes and more are UDP over IPv4. Throws RangeError for a size, count or seed out of range.
 */
export function fixedTraffic(frameBytes: number, options: TrafficOptions): Traffic {
  if (!Number.isInteger(frameBytes) || frameBytes < MIN_FRAME_BYTES || frameBytes > MAX_FRAME_BYTES) {
    throw new RangeError(
      `a frame of ${frameBytes} bytes cannot be made; ${MIN_FRAME_BYTES} to ${MAX_FRAME_BYTES} bytes are possible`,
    );
  }
  return generate("fixed", String(frameBytes), options, () => frameBytes);
}

/**
 * Simple IMIX, 7:4:1 of frames of 64, 594 and 1518 bytes on the wire. Those sizes count the FCS (they are IP
 * packets of 40, 576 and 1500 bytes with 14 bytes of Ethernet and 4 of FCS, the first padded to the minimum),
 * so the frames in memory have 60, 590 and 1514 bytes. Every 12 packets hold the exact proportions in a
 * seeded random order. Throws RangeError for a count or seed out of range.
 */
export function imixTraffic(options: TrafficOptions): Traffic {
  let round: number[] = [];
  return generate("imix", "imix", options, (index, below) => {
    const place = index % IMIX_WIRE_SIZES.length;
    if (place === 0) {
      round = [...IMIX_WIRE_SIZES];
    }
    // Fisher-Yates: what is left of the round starts at `place`.
    const chosen = place + below(round.length - place);
    const size = round[chosen];
    round[chosen] = round[place];
    return size - FCS_BYTES;
  });
}

/**
 * The packets of a capture, their bytes not copied. Throws CaptureError ("corrupt") for a packet that is too
 * short for an Ethernet header.
 */
export function captureTraffic(capture: Capture, file: string): Traffic {
  const { packets } = capture;
  const short = packets.findIndex(({ data }) => data.length < MIN_FRAME_BYTES);
  if (short >= 0) {
    throw new CaptureError(
      "corrupt",
      `${file}: packet ${short + 1} has ${packets[short].data.length} bytes; ` +
        `an Ethernet frame has at least ${MIN_FRAME_BYTES}`,
    );
  }
  const name = file.split(/[/\\]/).at(-1) ?? file;
  return { kind: "capture", name, file, packets, bytes: totalBytes(packets) };
}

/**
 * FNV-1a 64 over, for every packet in order, its length as 4 little-endian bytes and then its bytes; as 16
 * lowercase hex digits. `Fnv1a64.addPacket` does the same packet by packet.
 */
export function trafficDigest(traffic: Traffic): string {
  const digest = new Fnv1a64();
  for (const { data } of traffic.packets) {
    digest.addPacket(data);
  }
  return digest.hex();
}

/** Random integers from 0 to, not including, `limit`. */
type Below = (limit: number) => number;

function generate(
  kind: "fixed" | "imix",
  name: string,
  { count, seed }: TrafficOptions,
  frameBytes: (index: number, below: Below) => number,
): Traffic {
  if (!Number.isInteger(count) || count < 1) {
    throw new RangeError(`${count} packets cannot be made; the count is a whole number from 1`);
  }
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffff_ffff) {
    throw new RangeError(`${seed} is no seed; a whole number from 0 to 4294967295 is`);
  }
  const random = xoroshiro128plus(seed);
  const below: Below = (limit) => Math.floor(((random.next() >>> 0) / 2 ** 32) * limit);
  const packets: CapturedPacket[] = [];
  for (let index = 0; index < count; index++) {
    const data = makeFrame(frameBytes(index, below), index & 0xffff, random);
    packets.push({ data, originalLength: data.length, timestamp: BigInt(index) * NANOSECONDS_APART });
  }
  return { kind, name, file: null, packets, bytes: totalBytes(packets) };
}

function totalBytes(packets: CapturedPacket[]): number {
  return packets.reduce((sum, { data }) => sum + data.length, 0);
}
