/** How places in a bench's regions are handed out, and words of blocks there set. */
import * as abi from "../../assembly/abi.ts";
import type { Engine } from "../engine.ts";

/** Hands out a region from its start on. */
export class Bump {
  #next: number;
  constructor(ptr: number) {
    this.#next = ptr;
  }
  take(bytes: number): number {
    const ptr = this.#next;
    this.#next += bytes;
    return ptr;
  }
}

/** From one frame to the next: an odd number of cache lines, so that equal frames don't alias in the cache. */
export function stride(bytes: number): number {
  return (Math.ceil(bytes / abi.CACHE_LINE) | 1) * abi.CACHE_LINE;
}

/** Sets words of the block at `ptr`. */
export function setWords(
  engine: Engine,
  ptr: number,
  words: readonly [{ value: number }, number | boolean][],
): void {
  for (const [offset, value] of words) engine.u32[(ptr + offset.value) >>> 2] = Number(value);
}
