/**
 * The packets that the benchmarks move, and a digest of what came out of a ring.
 *
 * They are those of the C twin (native/loop.c): a pass is 1024 of them, the first element is 12 readable bytes,
 * the others are 1024 writable ones, and each buffer starts one cache line further in its 4 KiB page than the
 * one before it, because buffers that all start on the same line alias in the cache.
 */
import { ADD_HEADER, POP_HEADER, SEGMENT } from "../assembly/abi.ts";
import { Fnv1a64 } from "../src/net/digest.ts";

export const PACKETS = 1024;
export const BATCH = 32;
export const RING_SIZE = 256;
export const MAX_SGS = 4;
export const HEADER_BYTES = 12;
export const DATA_BYTES = 1024;
/** From one buffer to the next: one cache line further in the page each time. */
export const STRIDE = DATA_BYTES + 64;

/** The token of packet `index`, as the C twin has it: all 32 bits matter. */
export function tokenOf(index: number): number {
  return Math.imul(0x9e3779b9, index + 1) >>> 0;
}

export function streamBytes(n: number, packets = PACKETS): number {
  return packets * (ADD_HEADER + n * SEGMENT);
}

export function bufferBytes(n: number, packets = PACKETS): number {
  return packets * n * STRIDE;
}

/** Writes the add records of a pass at `stream`, for buffers from `buffers` on; both in bytes. */
export function stage(
  words: Int32Array | Uint32Array,
  stream: number,
  buffers: number,
  n: number,
  packets: number,
): void {
  let at = stream >>> 2;
  for (let i = 0; i < packets; i++) {
    words[at++] = tokenOf(i);
    words[at++] = 1 | ((n - 1) << 16);
    for (let k = 0; k < n; k++) {
      words[at++] = buffers + (i * n + k) * STRIDE;
      words[at++] = k === 0 ? HEADER_BYTES : DATA_BYTES;
    }
  }
}

/** Digests what the device popped and what the driver got back, whatever the bursts and the places. */
export class RingDigest {
  readonly #popped = new Fnv1a64();
  readonly #reclaimed = new Fnv1a64();

  /** Adds `count` pop records at word `at`, without the handles, with places counted from `buffers`. */
  addPopped(words: Uint32Array, at: number, count: number, buffers: number): void {
    for (let i = 0; i < count; i++) {
      const counts = words[at + 1];
      for (let k = 1; k < POP_HEADER / 4; k++) this.#popped.addLength(words[at + k]);
      at += POP_HEADER / 4;
      const end = at + 2 * ((counts & 0xffff) + (counts >>> 16));
      for (; at < end; at += 2) this.#popped.addLength(words[at] - buffers).addLength(words[at + 1]);
    }
  }

  /** Adds `count` reclaim records at word `at`. */
  addReclaimed(words: Uint32Array, at: number, count: number): void {
    for (const end = at + 2 * count; at < end; at++) this.#reclaimed.addLength(words[at]);
  }

  hex(): string {
    const both = new TextEncoder().encode(this.#popped.hex() + this.#reclaimed.hex());
    return new Fnv1a64().addBytes(both).hex();
  }
}

/** What any ring comes to that delivers a pass of `n` elements a packet whole, in order, and gives it all back. */
export function digestOfStaged(n: number, packets = PACKETS): string {
  const digest = new RingDigest();
  for (let i = 0; i < packets; i++) {
    const capacity = (n - 1) * DATA_BYTES;
    const record = [0, 1 | ((n - 1) << 16), HEADER_BYTES, capacity];
    for (let k = 0; k < n; k++) record.push((i * n + k) * STRIDE, k === 0 ? HEADER_BYTES : DATA_BYTES);
    digest.addPopped(Uint32Array.from(record), 0, 1, 0);
    digest.addReclaimed(Uint32Array.of(tokenOf(i), capacity), 0, 1);
  }
  return digest.hex();
}
