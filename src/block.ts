import type { Engine } from "./engine.ts";

/** A control block in the engine's memory, by words. */
export class Block {
  readonly #engine: Engine;
  readonly ptr: number;

  constructor(engine: Engine, ptr: number) {
    this.#engine = engine;
    this.ptr = ptr;
  }

  get(offset: number): number {
    return this.#engine.u32[(this.ptr + offset) >>> 2];
  }

  set(offset: number, value: number): void {
    this.#engine.u32[(this.ptr + offset) >>> 2] = value;
  }

  /** Four words, the lowest first: 128 bits of features. */
  bits(offset: number): bigint {
    let bits = 0n;
    for (let k = 3; k >= 0; k--) bits = (bits << 32n) | BigInt(this.get(offset + 4 * k));
    return bits;
  }

  setBits(offset: number, bits: bigint): void {
    for (let k = 0; k < 4; k++) this.set(offset + 4 * k, Number((bits >> BigInt(32 * k)) & 0xffff_ffffn));
  }
}
