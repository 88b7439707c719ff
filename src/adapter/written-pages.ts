import type { Engine } from "../engine.ts";

const PAGE_BITS = 12;

/**
 * The pages of guest RAM that the device has written, from the engine's log: whoever has translated code from them
 * must hear of it. It looks at the log's part for RAM only, and allocates nothing.
 */
export class WrittenPages {
  readonly #engine: Engine;
  readonly #first: number;
  readonly #last: number;
  #words: Uint32Array;

  /** RAM is the `bytes` bytes from `start` on, both multiples of a page. */
  constructor(engine: Engine, start: number, bytes: number) {
    this.#engine = engine;
    this.#first = start >>> (PAGE_BITS + 5);
    this.#last = (start + bytes - 1) >>> (PAGE_BITS + 5);
    this.#words = engine.words("page log");
  }

  /** Calls `each` with the first byte of every page that was written since the last call, as a place in the memory. */
  take(each: (ptr: number) => void): void {
    if (this.#words.length === 0) this.#words = this.#engine.words("page log");
    const words = this.#words;
    for (let at = this.#first; at <= this.#last; at++) {
      let bits = words[at];
      if (bits === 0) continue;
      words[at] = 0;
      for (; bits !== 0; bits &= bits - 1) {
        const page = 32 * at + 31 - Math.clz32(bits & -bits);
        each(page * 2 ** PAGE_BITS);
      }
    }
  }
}
