/** Canaries: a pattern in every byte that nobody may write, and a check that it is still there. */

/** Some bytes of a memory. */
export interface Span {
  ptr: number;
  bytes: number;
}

/** No byte that depends on its place can be moved or copied into another canary unseen. */
function canary(at: number): number {
  return (at * 167 + (at >>> 8) * 13 + 0xa5) & 0xff;
}

export class Canaries {
  readonly #memory: WebAssembly.Memory;
  readonly #planted: Span[] = [];

  /** Fills what of `within` lies in none of the `kept` spans. */
  constructor(memory: WebAssembly.Memory, within: Span, kept: readonly Span[]) {
    this.#memory = memory;
    let from = within.ptr;
    const end = within.ptr + within.bytes;
    for (const span of [...kept].sort((a, b) => a.ptr - b.ptr)) {
      if (span.ptr > from) this.#planted.push({ ptr: from, bytes: Math.min(span.ptr, end) - from });
      from = Math.max(from, span.ptr + span.bytes);
    }
    if (from < end) this.#planted.push({ ptr: from, bytes: end - from });
    for (const { ptr, bytes } of this.#planted) {
      const view = new Uint8Array(memory.buffer, ptr, bytes);
      for (let k = 0; k < bytes; k++) view[k] = canary(ptr + k);
    }
  }

  /** Bytes that are guarded. */
  get bytes(): number {
    return this.#planted.reduce((sum, span) => sum + span.bytes, 0);
  }

  /** Places that were written; empty when all canaries live. At most `most` of them. */
  dead(most = 8): number[] {
    const dead: number[] = [];
    for (const { ptr, bytes } of this.#planted) {
      const view = new Uint8Array(this.#memory.buffer, ptr, bytes);
      for (let k = 0; k < bytes && dead.length < most; k++) {
        if (view[k] !== canary(ptr + k)) dead.push(ptr + k);
      }
    }
    return dead;
  }
}
