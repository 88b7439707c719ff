/**
 * A split ring by hand: its fields at their places (virtio 1.4, 2.7), and a driver and a device
 * that play one half on the bytes. They are honest unless told otherwise, and check nothing.
 */
import * as spec from "../../assembly/spec.ts";
import { type Element, RawMemory, type RawUsed, type TakenBuffer, type WalkedElement } from "./raw-memory.ts";

export const NEXT = spec.VIRTQ_DESC_F_NEXT;
export const WRITE = spec.VIRTQ_DESC_F_WRITE;
export const INDIRECT = spec.VIRTQ_DESC_F_INDIRECT;

export interface SplitDescriptor {
  addr: bigint;
  len: number;
  flags: number;
  next: number;
}

/** Where the three parts lie in the memory. */
export interface SplitPlaces {
  size: number;
  desc: number;
  avail: number;
  used: number;
}

/** Bytes of the descriptor table, the available ring and the used ring (S-B-01). */
export function splitPartBytes(size: number): { desc: number; avail: number; used: number } {
  return { desc: 16 * size, avail: 6 + 2 * size, used: 6 + 8 * size };
}

export class SplitRing extends RawMemory {
  readonly places: SplitPlaces;
  readonly size: number;

  constructor(memory: WebAssembly.Memory, places: SplitPlaces, busDelta = 0n) {
    super(memory, busDelta);
    this.places = places;
    this.size = places.size;
  }

  /** Any entry of any table: the ring's own, or an indirect one at `table`. */
  readDesc(index: number, table = this.places.desc): SplitDescriptor {
    const at = table + 16 * index;
    return {
      addr: this.u64(at),
      len: this.u32(at + 8),
      flags: this.u16(at + 12),
      next: this.u16(at + 14),
    };
  }
  writeDesc(index: number, desc: Partial<SplitDescriptor>, table = this.places.desc): void {
    const at = table + 16 * index;
    this.setU64(at, BigInt.asUintN(64, desc.addr ?? 0n));
    this.setU32(at + 8, desc.len ?? 0);
    this.setU16(at + 12, desc.flags ?? 0);
    this.setU16(at + 14, desc.next ?? 0);
  }

  get availFlags(): number {
    return this.u16(this.places.avail);
  }
  set availFlags(value: number) {
    this.setU16(this.places.avail, value);
  }
  get availIdx(): number {
    return this.u16(this.places.avail + 2);
  }
  set availIdx(value: number) {
    this.setU16(this.places.avail + 2, value);
  }
  availEntry(index: number): number {
    return this.u16(this.places.avail + 4 + 2 * (index % this.size));
  }
  setAvailEntry(index: number, head: number): void {
    this.setU16(this.places.avail + 4 + 2 * (index % this.size), head);
  }
  get usedEvent(): number {
    return this.u16(this.places.avail + 4 + 2 * this.size);
  }
  set usedEvent(value: number) {
    this.setU16(this.places.avail + 4 + 2 * this.size, value);
  }

  get usedFlags(): number {
    return this.u16(this.places.used);
  }
  set usedFlags(value: number) {
    this.setU16(this.places.used, value);
  }
  get usedIdx(): number {
    return this.u16(this.places.used + 2);
  }
  set usedIdx(value: number) {
    this.setU16(this.places.used + 2, value);
  }
  usedEntry(index: number): RawUsed {
    const at = this.places.used + 4 + 8 * (index % this.size);
    return { id: this.u32(at), len: this.u32(at + 4) };
  }
  setUsedEntry(index: number, { id, len }: RawUsed): void {
    const at = this.places.used + 4 + 8 * (index % this.size);
    this.setU32(at, id);
    this.setU32(at + 4, len);
  }
  get availEvent(): number {
    return this.u16(this.places.used + 4 + 8 * this.size);
  }
  set availEvent(value: number) {
    this.setU16(this.places.used + 4 + 8 * this.size, value);
  }
}

export class RawSplitDriver extends SplitRing {
  /** avail.idx as the next `publish` stores it, and used.idx up to which `used` has looked. */
  nextAvail = 0;
  lastUsed = 0;
  readonly #free: number[] = [];
  readonly #chains = new Map<number, number[]>();

  constructor(memory: WebAssembly.Memory, places: SplitPlaces, busDelta = 0n) {
    super(memory, places, busDelta);
    for (let index = 0; index < this.size; index++) this.#free.push(index);
  }

  /** Goes on at ring indices other than 0, on an idle ring. */
  startAt(availIdx: number, usedIdx = availIdx): void {
    this.nextAvail = availIdx;
    this.availIdx = availIdx;
    this.lastUsed = usedIdx;
    this.usedIdx = usedIdx;
  }

  /** Writes `elements` into these entries of a table, each linked to the one that comes next. */
  writeList(indices: readonly number[], elements: readonly Element[], table = this.places.desc): void {
    elements.forEach(({ ptr, bytes, write }, k) => {
      const more = k + 1 < elements.length;
      const flags = (more ? NEXT : 0) | (write ? WRITE : 0);
      const next = more ? indices[k + 1] : 0;
      this.writeDesc(indices[k], { addr: this.bus(ptr), len: bytes, flags, next }, table);
    });
  }

  /** A direct chain; its head. Nothing is offered yet. */
  chain(elements: readonly Element[]): number {
    const indices = this.#take(elements.length);
    this.writeList(indices, elements);
    return indices[0];
  }

  /** An indirect table at `ptr`, in memory order. */
  writeTable(ptr: number, elements: readonly Element[]): void {
    this.writeList([...elements.keys()], elements, ptr);
  }

  /** A chain of `direct` elements that ends in a table at `ptr`, offered; its head. */
  indirect(
    ptr: number,
    elements: readonly Element[],
    options: { direct?: readonly Element[]; flags?: number } = {},
  ): number {
    const direct = options.direct ?? [];
    const indices = this.#take(direct.length + 1);
    this.writeList(indices, direct);
    direct.forEach((_, k) => {
      const desc = this.readDesc(indices[k]);
      this.writeDesc(indices[k], { ...desc, flags: desc.flags | NEXT, next: indices[k + 1] });
    });
    this.writeTable(ptr, elements);
    this.writeDesc(indices[direct.length], {
      addr: this.bus(ptr),
      len: 16 * elements.length,
      flags: INDIRECT | (options.flags ?? 0),
    });
    this.offer(indices[0]);
    return indices[0];
  }

  /** Puts a head, whatever it is, into the next slot of the available ring. */
  offer(head: number): void {
    this.setAvailEntry(this.nextAvail, head);
    this.nextAvail = (this.nextAvail + 1) & 0xffff;
  }

  publish(): void {
    this.availIdx = this.nextAvail;
  }

  /** Chain and offer; the head, which is also the id. */
  add(elements: readonly Element[]): number {
    const head = this.chain(elements);
    this.offer(head);
    return head;
  }

  /** New used elements; their descriptors are free again. */
  used(): RawUsed[] {
    const found: RawUsed[] = [];
    for (const now = this.usedIdx; this.lastUsed !== now; this.lastUsed = (this.lastUsed + 1) & 0xffff) {
      const element = this.usedEntry(this.lastUsed);
      found.push(element);
      this.release(element.id);
    }
    return found;
  }

  /** Frees the descriptors of a chain. */
  release(head: number): void {
    this.#free.push(...(this.#chains.get(head) ?? []));
    this.#chains.delete(head);
  }

  #take(count: number): number[] {
    if (count > this.#free.length) throw new Error(`the raw driver has no ${count} free descriptors`);
    const indices = this.#free.splice(0, count);
    this.#chains.set(indices[0], indices);
    return indices;
  }
}

export class RawSplitDevice extends SplitRing {
  /** avail.idx up to which `take` has looked, and used.idx as the next `publish` stores it. */
  lastAvail = 0;
  nextUsed = 0;

  /** Heads that were made available since the last look. */
  heads(): number[] {
    const heads: number[] = [];
    for (const now = this.availIdx; this.lastAvail !== now; this.lastAvail = (this.lastAvail + 1) & 0xffff) {
      heads.push(this.availEntry(this.lastAvail));
    }
    return heads;
  }

  /** The elements of a chain, through one table at most; throws when it has more than the ring may hold. */
  walk(head: number): WalkedElement[] {
    const elements: WalkedElement[] = [];
    let table = this.places.desc;
    let index = head;
    let nested = false;
    for (;;) {
      const { addr, len, flags, next } = this.readDesc(index, table);
      if (flags & INDIRECT) {
        if (nested) throw new Error(`the chain at ${head} has a table in a table`);
        nested = true;
        table = this.place(addr);
        index = 0;
        continue;
      }
      elements.push({ addr, len, write: (flags & WRITE) !== 0 });
      if (elements.length > this.size) throw new Error(`the chain at ${head} is longer than the ring`);
      if (!(flags & NEXT)) return elements;
      index = next;
    }
  }

  take(): TakenBuffer[] {
    return this.heads().map((id) => ({ id, slots: 1, elements: this.walk(id) }));
  }

  /** Writes a used element; it is not visible before `publish`. */
  use(buffer: { id: number }, len: number): void {
    this.useBatch([buffer], len);
  }

  /** 2.7.9: one element for several buffers, in the slot of the first with the id of the last. */
  useBatch(buffers: readonly { id: number }[], len: number): void {
    this.setUsedEntry(this.nextUsed, { id: buffers[buffers.length - 1].id, len });
    this.nextUsed = (this.nextUsed + buffers.length) & 0xffff;
  }

  publish(): void {
    this.usedIdx = this.nextUsed;
  }
}
