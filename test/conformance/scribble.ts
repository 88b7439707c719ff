/**
 * A peer that writes what it likes, wherever it may, whenever it gets a moment. Half of what it
 * writes is nearly right: fields at their places with values near a limit, for noise alone would
 * seldom get past the first check.
 */
import type { Engine } from "../../src/engine.ts";
import type { Span } from "../support/canaries.ts";
import type { Random } from "../support/random.ts";

export interface Targets {
  size: number;
  /** Where a descriptor has its flags: 12 in a split ring, 14 in a packed one. */
  flagsAt: number;
  /** Tables of descriptors: the ring's own, and places where indirect tables lie. */
  tables: Span[];
  /** Ring indices, entries and event words. */
  words: Span[];
  /** Everything that the peer may write. */
  all: Span[];
  /** A bus address is a place plus this. */
  busDelta: bigint;
  /** Places that buffers may be at, and places that no buffer may be at. */
  places: number[];
}

export class Scribbler {
  readonly #random: Random;
  readonly #memory: DataView;
  /** The memory as it would be if nobody but the peer wrote to it. */
  readonly #expected: DataView;
  readonly #targets: Targets;

  constructor(random: Random, engine: Engine, expected: Uint8Array, targets: Targets) {
    this.#random = random;
    this.#memory = new DataView(engine.memory.buffer);
    this.#expected = new DataView(expected.buffer);
    this.#targets = targets;
  }

  strike(): void {
    const random = this.#random;
    for (let writes = random.int(1, 5); writes > 0; writes--) {
      const what = random.int(1, 100);
      if (what <= 35) this.#field();
      else if (what <= 50) this.#descriptor();
      else if (what <= 85) this.#word();
      else if (what <= 92) this.#noise();
      else if (what <= 96) this.#sweep();
      else this.#flood();
    }
  }

  #entry(): number {
    const { ptr, bytes } = this.#random.pick(this.#targets.tables);
    return ptr + 16 * this.#random.int(0, (bytes >>> 4) - 1);
  }

  /** One field of a descriptor: addr, len, and the two words whose order differs with the format. */
  #field(): void {
    const entry = this.#entry();
    const field = this.#random.int(0, 3);
    if (field === 0) this.#set64(entry, this.#address());
    else if (field === 1) this.#set32(entry + 8, this.#length());
    else this.#set16(entry + 8 + 2 * field, this.#half());
  }

  #descriptor(): void {
    const entry = this.#entry();
    this.#set64(entry, this.#address());
    this.#set32(entry + 8, this.#length());
    this.#set16(entry + 12, this.#half());
    this.#set16(entry + 14, this.#half());
  }

  #word(): void {
    const { ptr, bytes } = this.#random.pick(this.#targets.words);
    this.#set16(ptr + 2 * this.#random.int(0, (bytes >>> 1) - 1), this.#half());
  }

  #noise(): void {
    const { ptr, bytes } = this.#random.pick(this.#targets.all);
    const count = this.#random.int(1, 16);
    for (let k = 0; k < count; k++)
      this.#set8(ptr + this.#random.int(0, bytes - 1), this.#random.int(0, 255));
  }

  #flood(): void {
    const { ptr, bytes } = this.#random.pick([...this.#targets.tables, ...this.#targets.words]);
    const value = this.#random.pick([0, 0xff, 0x80, 1]);
    for (let at = ptr; at < ptr + bytes; at++) this.#set8(at, value);
  }

  /** The same flags in every entry: a list without end, or a whole lap that is available. */
  #sweep(): void {
    const { ptr, bytes } = this.#random.pick(this.#targets.tables);
    const flags = this.#random.pick([0, 1, 2, 3]) | this.#random.pick([0, 0x80, 0x8000, 0x8080]);
    for (let entry = ptr; entry < ptr + bytes; entry += 16) this.#set16(entry + this.#targets.flagsAt, flags);
  }

  /** A 16-bit field: an index, a head, a next, an id, flags. */
  #half(): number {
    const { size } = this.#targets;
    const random = this.#random;
    switch (random.int(0, 6)) {
      case 0:
        return random.int(0, size);
      case 1:
      case 4:
      case 5:
        return random.int(0, 7) | random.pick([0, 0x80, 0x8000, 0x8080]);
      case 2:
        return random.pick([0, 1, size - 1, size, size + 1, 0x7fff, 0x8000, 0xffff]);
      case 3:
        return random.int(0, 2 * size);
      default:
        return random.int(0, 0xffff);
    }
  }

  #length(): number {
    const { size } = this.#targets;
    const near = [
      0,
      1,
      8,
      16,
      24,
      32,
      48,
      64,
      16 * size,
      16 * (size + 1),
      2 ** 20,
      2 ** 32 - 16,
      2 ** 32 - 1,
    ];
    return this.#random.chance(80) ? this.#random.pick(near) : this.#random.int(0, 0xffff_ffff);
  }

  #address(): bigint {
    const { busDelta, places } = this.#targets;
    if (this.#random.chance(10)) return this.#random.pick([0n, (1n << 64n) - 16n, 1n << 63n, 1n << 32n]);
    return BigInt.asUintN(64, BigInt(this.#random.pick(places) + this.#random.int(0, 3) * 16) + busDelta);
  }

  #set8(ptr: number, value: number): void {
    for (const view of [this.#memory, this.#expected]) view.setUint8(ptr, value);
  }
  #set16(ptr: number, value: number): void {
    for (const view of [this.#memory, this.#expected]) view.setUint16(ptr, value, true);
  }
  #set32(ptr: number, value: number): void {
    for (const view of [this.#memory, this.#expected]) view.setUint32(ptr, value, true);
  }
  #set64(ptr: number, value: bigint): void {
    for (const view of [this.#memory, this.#expected]) view.setBigUint64(ptr, value, true);
  }
}

/** First place outside of `spans` at which both differ, or -1. */
export function changedOutside(engine: Engine, expected: Uint8Array, spans: readonly Span[]): number {
  const now = Buffer.from(engine.memory.buffer);
  const then = Buffer.from(expected.buffer);
  let from = 0;
  for (const { ptr, bytes } of [...spans].sort((a, b) => a.ptr - b.ptr)) {
    if (ptr > from && now.compare(then, from, ptr, from, ptr) !== 0) return differs(now, then, from);
    from = Math.max(from, ptr + bytes);
  }
  return now.compare(then, from, then.length, from, now.length) === 0 ? -1 : differs(now, then, from);
}

function differs(now: Buffer, then: Buffer, from: number): number {
  let at = from;
  while (now[at] === then[at]) at++;
  return at;
}
