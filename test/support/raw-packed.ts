/**
 * A packed ring by hand: its fields at their places (virtio 1.4, 2.8), and a driver and a device
 * that play one half on the bytes. They are honest unless told otherwise, and check nothing.
 */
import * as spec from "../../assembly/spec.ts";
import { type Element, RawMemory, type RawUsed, type TakenBuffer, type WalkedElement } from "./raw-memory.ts";
import { INDIRECT, NEXT, WRITE } from "./raw-split.ts";

export const AVAIL = spec.VIRTQ_DESC_F_AVAIL;
export const USED = spec.VIRTQ_DESC_F_USED;

/** Ownership bits of a descriptor that is available, or used, in a lap with this wrap counter (3.4). */
export function availBits(wrap: number): number {
  return wrap ? AVAIL : USED;
}
export function usedBits(wrap: number): number {
  return wrap ? AVAIL | USED : 0;
}

export interface PackedDescriptor {
  addr: bigint;
  len: number;
  id: number;
  flags: number;
}

/** An event suppression structure (2.8.14). */
export interface PackedEvent {
  offset: number;
  wrap: number;
  /** 0 enable, 1 disable, 2 one descriptor, 3 reserved. */
  flags: number;
}

/** Where the three parts lie in the memory. */
export interface PackedPlaces {
  size: number;
  desc: number;
  driverArea: number;
  deviceArea: number;
}

export class PackedRing extends RawMemory {
  readonly places: PackedPlaces;
  readonly size: number;

  constructor(memory: WebAssembly.Memory, places: PackedPlaces, busDelta = 0n) {
    super(memory, busDelta);
    this.places = places;
    this.size = places.size;
  }

  /** Any entry of any table: the ring's own, or an indirect one at `table`. */
  readDesc(index: number, table = this.places.desc): PackedDescriptor {
    const at = table + 16 * index;
    return { addr: this.u64(at), len: this.u32(at + 8), id: this.u16(at + 12), flags: this.u16(at + 14) };
  }
  writeDesc(index: number, desc: Partial<PackedDescriptor>, table = this.places.desc): void {
    const at = table + 16 * index;
    this.setU64(at, BigInt.asUintN(64, desc.addr ?? 0n));
    this.setU32(at + 8, desc.len ?? 0);
    this.setU16(at + 12, desc.id ?? 0);
    this.setU16(at + 14, desc.flags ?? 0);
  }
  flagsOf(index: number): number {
    return this.u16(this.places.desc + 16 * index + 14);
  }
  setFlags(index: number, flags: number): void {
    this.setU16(this.places.desc + 16 * index + 14, flags);
  }

  /** What the driver wants to be told, in the driver area. */
  get driverEvent(): PackedEvent {
    return this.#event(this.places.driverArea);
  }
  set driverEvent(event: PackedEvent) {
    this.#setEvent(this.places.driverArea, event);
  }
  /** What the device wants to be told, in the device area. */
  get deviceEvent(): PackedEvent {
    return this.#event(this.places.deviceArea);
  }
  set deviceEvent(event: PackedEvent) {
    this.#setEvent(this.places.deviceArea, event);
  }

  #event(at: number): PackedEvent {
    const desc = this.u16(at);
    return { offset: desc & 0x7fff, wrap: desc >>> 15, flags: this.u16(at + 2) };
  }
  #setEvent(at: number, { offset, wrap, flags }: PackedEvent): void {
    this.setU16(at, offset | (wrap << 15));
    this.setU16(at + 2, flags);
  }
}

/** A position in the ring: the slot that comes next, and the wrap counter of its lap. */
export class Position {
  readonly size: number;
  slot: number;
  wrap: number;

  constructor(size: number, slot = 0, wrap = 1) {
    this.size = size;
    this.slot = slot;
    this.wrap = wrap;
  }

  advance(slots: number): void {
    this.slot += slots;
    if (this.slot >= this.size) {
      this.slot -= this.size;
      this.wrap ^= 1;
    }
  }

  copy(): Position {
    return new Position(this.size, this.slot, this.wrap);
  }
}

export class RawPackedDriver extends PackedRing {
  readonly avail: Position;
  readonly nextUsed: Position;
  /** Ids that no buffer has: taken from the front, put at the back. */
  readonly #ids: number[] = [];
  readonly #slots = new Map<number, number>();
  #pending: { slot: number; flags: number }[] = [];

  constructor(memory: WebAssembly.Memory, places: PackedPlaces, busDelta = 0n) {
    super(memory, places, busDelta);
    this.avail = new Position(this.size);
    this.nextUsed = new Position(this.size);
    for (let id = 0; id < this.size; id++) this.#ids.push(id);
  }

  /** Goes on at a slot other than 0, on an idle ring. */
  startAt(slot: number, wrap: number): void {
    for (const position of [this.avail, this.nextUsed]) {
      position.slot = slot;
      position.wrap = wrap;
    }
  }

  /**
   * Writes one list; its id. The head's flags are held back until `publish`. `flags` are added to
   * every descriptor, `junkIds` stand in all but the last (P-B-06).
   */
  add(
    elements: readonly Element[],
    options: { id?: number; flags?: number; junkIds?: readonly number[] } = {},
  ): number {
    const descs = elements.map(({ ptr, bytes, write }, k) => ({
      addr: this.bus(ptr),
      len: bytes,
      flags: (k + 1 < elements.length ? NEXT : 0) | (write ? WRITE : 0) | (options.flags ?? 0),
    }));
    return this.addDescriptors(descs, options);
  }

  /** An indirect table at `ptr`, in memory order. */
  writeTable(ptr: number, elements: readonly Element[]): void {
    elements.forEach(({ ptr: at, bytes, write }, k) => {
      this.writeDesc(k, { addr: this.bus(at), len: bytes, flags: write ? WRITE : 0 }, ptr);
    });
  }

  /** One descriptor that refers to a table at `ptr`; its id. */
  indirect(
    ptr: number,
    elements: readonly Element[],
    options: { id?: number; flags?: number; len?: number } = {},
  ): number {
    this.writeTable(ptr, elements);
    const len = options.len ?? 16 * elements.length;
    return this.addDescriptors(
      [{ addr: this.bus(ptr), len, flags: INDIRECT | (options.flags ?? 0) }],
      options,
    );
  }

  /** Descriptors with any fields; ownership bits and the id are added. */
  addDescriptors(
    descs: readonly { addr: bigint; len: number; flags: number }[],
    options: { id?: number; junkIds?: readonly number[] } = {},
  ): number {
    const id = options.id ?? this.#ids.shift();
    if (id === undefined) throw new Error("the raw driver has no free id");
    this.#slots.set(id, descs.length);
    descs.forEach(({ addr, len, flags }, k) => {
      const { slot, wrap } = this.avail;
      const last = k + 1 === descs.length;
      const owned = flags | availBits(wrap);
      // The head keeps the flags that the slot had, so that it stays unseen.
      const shown = k === 0 ? this.flagsOf(slot) : owned;
      this.writeDesc(slot, { addr, len, id: last ? id : (options.junkIds?.[k] ?? id), flags: shown });
      if (k === 0) this.#pending.push({ slot, flags: owned });
      this.avail.advance(1);
    });
    return id;
  }

  /** Stores the head flags, the last list's first, so that all are seen at once. */
  publish(): void {
    for (const { slot, flags } of this.#pending.reverse()) this.setFlags(slot, flags);
    this.#pending = [];
  }

  /** Frees the ids of buffers that came back in a batch (2.8.8). */
  forget(ids: readonly number[]): void {
    for (const id of ids) {
      this.#slots.delete(id);
      this.#ids.push(id);
    }
  }

  /** New used descriptors, each of which frees the slots of its list; without WRITE the length is 0. */
  used(): RawUsed[] {
    const found: RawUsed[] = [];
    for (;;) {
      const { id, len, flags } = this.readDesc(this.nextUsed.slot);
      const slots = this.#slots.get(id);
      if ((flags & (AVAIL | USED)) !== usedBits(this.nextUsed.wrap) || slots === undefined) return found;
      found.push({ id, len: flags & WRITE ? len : 0 });
      this.#slots.delete(id);
      this.#ids.push(id);
      this.nextUsed.advance(slots);
    }
  }
}

export class RawPackedDevice extends PackedRing {
  readonly avail: Position;
  readonly nextUsed: Position;
  #pending: { slot: number; flags: number }[] = [];

  constructor(memory: WebAssembly.Memory, places: PackedPlaces, busDelta = 0n) {
    super(memory, places, busDelta);
    this.avail = new Position(this.size);
    this.nextUsed = new Position(this.size);
  }

  /** Buffers that were made available since the last look, in ring order. */
  take(): TakenBuffer[] {
    const taken: TakenBuffer[] = [];
    for (;;) {
      const { slot, wrap } = this.avail;
      if ((this.flagsOf(slot) & (AVAIL | USED)) !== availBits(wrap) || taken.length === this.size)
        return taken;
      const elements: WalkedElement[] = [];
      let desc: PackedDescriptor;
      let slots = 0;
      do {
        desc = this.readDesc(this.avail.slot);
        if (desc.flags & INDIRECT) elements.push(...this.#table(desc));
        else elements.push({ addr: desc.addr, len: desc.len, write: (desc.flags & WRITE) !== 0 });
        this.avail.advance(1);
        slots++;
      } while (desc.flags & NEXT && slots < this.size);
      taken.push({ id: desc.id, slots, elements });
    }
  }

  /** Writes a used descriptor, its flags held back until `publish`. */
  use(buffer: { id: number; slots: number }, len: number): void {
    this.useBatch([buffer], len);
  }

  /** 2.8.8: one descriptor for several buffers, in the slot of the first with the id of the last. */
  useBatch(buffers: readonly { id: number; slots: number }[], len: number): void {
    const { slot, wrap } = this.nextUsed;
    const at = this.places.desc + 16 * slot;
    this.setU32(at + 8, len);
    this.setU16(at + 12, buffers[buffers.length - 1].id);
    this.#pending.push({ slot, flags: usedBits(wrap) | (len > 0 ? WRITE : 0) });
    for (const { slots } of buffers) this.nextUsed.advance(slots);
  }

  /** Stores the flags, the first descriptor's last, so that all are seen at once. */
  publish(): void {
    for (const { slot, flags } of this.#pending.reverse()) this.setFlags(slot, flags);
    this.#pending = [];
  }

  #table({ addr, len }: PackedDescriptor): WalkedElement[] {
    const table = this.place(addr);
    return Array.from({ length: len / 16 }, (_, k) => {
      const entry = this.readDesc(k, table);
      return { addr: entry.addr, len: entry.len, write: (entry.flags & WRITE) !== 0 };
    });
  }
}
