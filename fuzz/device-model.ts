/**
 * What a device half has to do with the bytes that lie in its rings, said a second time: slowly, from the
 * specification and the H rows, with no word shared with the engine. The peer wrote those bytes, so every
 * outcome has its place here, and both must agree on which one it is.
 */
import * as abi from "../assembly/abi.ts";
import { availBits, usedBits } from "../test/support/raw-packed.ts";
import { INDIRECT, NEXT, WRITE } from "../test/support/raw-split.ts";
import { inWindow, placeOf, type Window } from "./target.ts";
import type { World } from "./world.ts";

const OWNER = availBits(0) | availBits(1);
/** No fault: there is nothing there yet. */
const NOT_READY = -1;

export interface Setup {
  size: number;
  maxChain: number;
  window: Window;
  indirect: boolean;
  eventIdx: boolean;
  inOrder: boolean;
  /** Places of the three areas. */
  desc: number;
  driverArea: number;
  deviceArea: number;
}

export interface Buffer {
  /** {ptr, bytes} pairs, readable ones first. */
  segments: { ptr: number; bytes: number }[];
  readable: number;
  readableBytes: number;
  writableBytes: number;
  /** Ring entries that it takes back (packed), its head or id. */
  slots: number;
  id: number;
}

interface Element {
  addr: bigint;
  len: number;
  flags: number;
}

/** Collects the elements of one buffer; the first rule that one breaks is the buffer's. */
class Walk {
  readonly #setup: Setup;
  readonly buffer: Buffer;
  #bytes = 0;

  constructor(setup: Setup) {
    this.#setup = setup;
    this.buffer = { segments: [], readable: 0, readableBytes: 0, writableBytes: 0, slots: 1, id: 0 };
  }

  element({ addr, len, flags }: Element): number {
    if (len === 0) return abi.OK;
    const { window } = this.#setup;
    const { buffer } = this;
    if (!inWindow(window, addr, BigInt(len))) return abi.E_BUFFER_ADDRESS;
    if (flags & WRITE) {
      buffer.writableBytes += len;
    } else {
      if (buffer.segments.length > buffer.readable) return abi.E_READABLE_AFTER_WRITABLE;
      buffer.readable++;
      buffer.readableBytes += len;
    }
    this.#bytes += len;
    buffer.segments.push({ ptr: placeOf(window, addr), bytes: len });
    return abi.OK;
  }

  table({ addr, len }: Element): number {
    if (len === 0 || len % 16 !== 0 || len / 16 > this.#setup.size) return abi.E_TABLE_LENGTH;
    return inWindow(this.#setup.window, addr, BigInt(len)) ? abi.OK : abi.E_TABLE_ADDRESS;
  }

  end(): Buffer | number {
    return this.#bytes > 2 ** 32 ? abi.E_CHAIN_BYTES : this.buffer;
  }
}

export abstract class DeviceModel {
  readonly world: World;
  readonly setup: Setup;
  /** By handle, in the order they were popped. */
  readonly inFlight = new Map<number, Buffer>();
  /** What the device half has to write, by place: 8 bytes each. */
  readonly writes = new Map<number, bigint>();

  constructor(world: World, setup: Setup) {
    this.world = world;
    this.setup = setup;
  }

  /** Buffers of the burst that is being popped. */
  protected burst: Buffer[] = [];

  /** Buffers and the code, if any, that end a burst of `max` into `room` bytes. */
  pop(max: number, room: number): { buffers: Buffer[]; code: number } {
    this.burst = [];
    const popped = this.#pop(max, room);
    this.burst = [];
    return popped;
  }

  #pop(max: number, room: number): { buffers: Buffer[]; code: number } {
    const buffers = this.burst;
    let pending = this.pending();
    if (pending < 0) return { buffers, code: abi.E_AVAIL_IDX };
    let left = room - abi.POP_HEADER - this.setup.maxChain * abi.SEGMENT;
    if (left < 0) return { buffers, code: abi.R_STAGING_SIZE };
    for (pending = Math.min(pending, max); pending > 0; pending--) {
      const code = this.ready();
      if (code !== abi.OK) return { buffers, code: code === NOT_READY ? abi.OK : code };
      if (left < 0) return { buffers, code: abi.OK };
      const buffer = this.walk();
      if (typeof buffer === "number") return { buffers, code: buffer };
      left -= abi.POP_HEADER + buffer.segments.length * abi.SEGMENT;
      this.take(buffer);
      buffers.push(buffer);
    }
    return { buffers, code: abi.OK };
  }

  /** Marks records used as far as they go; the refusal that ends them. */
  use(records: readonly { handle: number; len: number }[]): { done: number; code: number } {
    this.writes.clear();
    for (const [done, { handle, len }] of records.entries()) {
      const buffer = this.inFlight.get(handle);
      if (buffer === undefined) return { done, code: abi.R_NOT_IN_FLIGHT };
      const capacity = Math.min(buffer.writableBytes, 0xffff_ffff);
      if (len > capacity) return { done, code: abi.R_LEN_OVER_CAPACITY };
      if (this.setup.inOrder && handle !== this.inFlight.keys().next().value) {
        return { done, code: abi.R_NOT_IN_ORDER };
      }
      this.inFlight.delete(handle);
      this.used(buffer, len, len === capacity);
    }
    return { done: records.length, code: abi.OK };
  }

  /** Most buffers that may be available; negative when the index says more than a ring holds. */
  protected abstract pending(): number;
  /** What is wrong with the next available entry before its descriptors are looked at. */
  protected abstract ready(): number;
  protected abstract walk(): Buffer | number;
  protected abstract take(buffer: Buffer): void;
  protected abstract used(buffer: Buffer, len: number, whole: boolean): void;
  /** Shows what was used; whether the driver wants an interrupt. */
  abstract publish(): boolean;
  abstract armed(after: number): boolean;
  /** The word in which the device half says whether it wants kicks, and its bytes. */
  abstract wish(): { ptr: number; bytes: number };
  /** Looks at what a publish has left in the ring; what is wrong there, or null. */
  abstract published(): string | null;
  /** Places that a publish may write. */
  abstract shown(): { ptr: number; bytes: number }[];
}

export class SplitDeviceModel extends DeviceModel {
  lastAvail = 0;
  #usedIdx = 0;
  #published = 0;
  #decided = 0;
  #batchSlot = -1;
  /** The last publish had something to show. */
  #fresh = false;

  /** Goes on in the middle, at this index on both sides. */
  resume(idx: number): void {
    this.lastAvail = idx;
    this.#usedIdx = idx;
    this.#published = idx;
    this.#decided = idx;
  }

  heads(): number[] {
    return [...this.inFlight.values(), ...this.burst].map(({ id }) => id);
  }

  protected pending(): number {
    const ahead = (this.world.u16(this.setup.driverArea + 2) - this.lastAvail) & 0xffff;
    return ahead > this.setup.size ? -1 : ahead;
  }

  protected ready(): number {
    const head = this.#head();
    if (head >= this.setup.size) return abi.E_HEAD_RANGE;
    return this.heads().includes(head) ? abi.E_HEAD_IN_FLIGHT : abi.OK;
  }

  protected walk(): Buffer | number {
    const { setup, world } = this;
    const walk = new Walk(setup);
    let table = setup.desc;
    let limit = setup.size;
    let nested = false;
    let elements = 0;
    let index = this.#head();
    walk.buffer.id = index;
    for (;;) {
      const at = table + 16 * index;
      const desc = { addr: world.u64(at), len: world.u32(at + 8), flags: world.u16(at + 12) };
      const next = world.u16(at + 14);
      if (desc.flags & INDIRECT) {
        if (!setup.indirect) return abi.E_INDIRECT_NOT_NEGOTIATED;
        if (nested) return abi.E_NESTED_INDIRECT;
        if (desc.flags & NEXT) return abi.E_INDIRECT_WITH_NEXT;
        const code = walk.table(desc);
        if (code !== abi.OK) return code;
        table = placeOf(setup.window, desc.addr);
        limit = desc.len / 16;
        nested = true;
        index = 0;
        continue;
      }
      const code = walk.element(desc);
      if (code !== abi.OK) return code;
      if (!(desc.flags & NEXT)) return walk.end();
      if (next >= limit) return abi.E_NEXT_RANGE;
      // One more, whatever it is, would be one too many.
      if (++elements === setup.maxChain) return abi.E_CHAIN_TOO_LONG;
      index = next;
    }
  }

  protected take(): void {
    this.lastAvail = (this.lastAvail + 1) & 0xffff;
  }

  protected used(buffer: Buffer, len: number, whole: boolean): void {
    let slot = this.#usedIdx % this.setup.size;
    if (this.setup.inOrder) {
      if (this.#batchSlot >= 0) slot = this.#batchSlot;
      this.#batchSlot = whole ? slot : -1;
    }
    this.writes.set(this.setup.deviceArea + 4 + 8 * slot, BigInt(buffer.id) | (BigInt(len) << 32n));
    this.#usedIdx = (this.#usedIdx + 1) & 0xffff;
  }

  publish(): boolean {
    const { driverArea, size, eventIdx } = this.setup;
    this.#fresh = this.#usedIdx !== this.#published;
    if (this.#fresh) this.#batchSlot = -1;
    this.#published = this.#usedIdx;
    const written = (this.#usedIdx - this.#decided) & 0xffff;
    const event = this.world.u16(driverArea + 4 + 2 * size);
    const crossed = ((event - this.#decided) & 0xffff) < written;
    this.#decided = this.#usedIdx;
    return eventIdx ? crossed : written > 0 && !(this.world.u16(driverArea) & 1);
  }

  published(): string | null {
    const idx = this.world.u16(this.setup.deviceArea + 2);
    return !this.#fresh || idx === this.#published ? null : `used.idx is ${idx}, and not ${this.#published}`;
  }

  shown(): { ptr: number; bytes: number }[] {
    return this.#fresh ? [{ ptr: this.setup.deviceArea + 2, bytes: 2 }] : [];
  }

  armed(after: number): boolean {
    return ((this.world.u16(this.setup.driverArea + 2) - this.lastAvail) & 0xffff) > after;
  }

  wish(): { ptr: number; bytes: number } {
    const { deviceArea, size, eventIdx } = this.setup;
    return { ptr: eventIdx ? deviceArea + 4 + 8 * size : deviceArea, bytes: 2 };
  }

  #head(): number {
    return this.world.u16(this.setup.driverArea + 4 + 2 * (this.lastAvail % this.setup.size));
  }
}

export class PackedDeviceModel extends DeviceModel {
  slot = 0;
  wrap = 1;
  slotsInFlight = 0;
  slotsPopped = 0;
  #usedSlot = 0;
  #usedWrap = 1;
  #covered = 0;
  /** First used descriptor since the last publish, and the run that IN_ORDER collects: place and word. */
  #held: [number, bigint] | null = null;
  #batch: [number, bigint] | null = null;

  /** Goes on in the middle, at this slot on both sides. */
  resume(slot: number, wrap: number): void {
    this.slot = this.#usedSlot = slot;
    this.wrap = this.#usedWrap = wrap;
  }

  protected pending(): number {
    return this.setup.size;
  }

  protected ready(): number {
    const flags = this.world.u16(this.setup.desc + 16 * this.slot + 14);
    if ((flags & OWNER) !== availBits(this.wrap)) return NOT_READY;
    return this.slotsInFlight >= this.setup.size ? abi.E_RING_OVERRUN : abi.OK;
  }

  protected walk(): Buffer | number {
    const { setup } = this;
    const walk = new Walk(setup);
    for (let slots = 1; ; slots++) {
      const desc = this.#desc(setup.desc + 16 * ((this.slot + slots - 1) % setup.size));
      walk.buffer.slots = slots;
      walk.buffer.id = desc.id;
      if (desc.flags & INDIRECT) {
        if (slots > 1) return abi.E_INDIRECT_IN_LIST;
        return this.#table(walk, desc);
      }
      const code = walk.element(desc);
      if (code !== abi.OK) return code;
      if (!(desc.flags & NEXT)) return walk.end();
      if (slots === setup.maxChain) return abi.E_CHAIN_TOO_LONG;
      if (this.slotsInFlight + slots >= setup.size) return abi.E_RING_OVERRUN;
    }
  }

  #table(walk: Walk, desc: Element): Buffer | number {
    if (!this.setup.indirect) return abi.E_INDIRECT_NOT_NEGOTIATED;
    if (desc.flags & NEXT) return abi.E_INDIRECT_IN_LIST;
    const entries = desc.len / 16;
    const code = walk.table(desc);
    if (code !== abi.E_TABLE_LENGTH && entries > this.setup.maxChain) return abi.E_CHAIN_TOO_LONG;
    if (code !== abi.OK) return code;
    const at = placeOf(this.setup.window, desc.addr);
    for (let k = 0; k < entries; k++) {
      const code = walk.element(this.#desc(at + 16 * k));
      if (code !== abi.OK) return code;
    }
    return walk.end();
  }

  #desc(at: number): Element & { id: number } {
    const { world } = this;
    return { addr: world.u64(at), len: world.u32(at + 8), id: world.u16(at + 12), flags: world.u16(at + 14) };
  }

  protected take(buffer: Buffer): void {
    [this.slot, this.wrap] = this.#after(this.slot, this.wrap, buffer.slots);
    this.slotsInFlight += buffer.slots;
    this.slotsPopped += buffer.slots;
  }

  #after(slot: number, wrap: number, slots: number): [number, number] {
    const next = slot + slots;
    return next >= this.setup.size ? [next - this.setup.size, wrap ^ 1] : [next, wrap];
  }

  protected used(buffer: Buffer, len: number, whole: boolean): void {
    const at = this.setup.desc + 16 * this.#usedSlot + 8;
    const flags = usedBits(this.#usedWrap) | (len > 0 ? WRITE : 0);
    const word = BigInt(len) | (BigInt(buffer.id) << 32n) | (BigInt(flags) << 48n);
    if (this.setup.inOrder) {
      const owner = BigInt(OWNER) << 48n;
      this.#batch =
        this.#batch === null ? [at, word] : [this.#batch[0], (word & ~owner) | (this.#batch[1] & owner)];
      if (!whole) this.#closeBatch();
    } else {
      this.#place([at, word]);
    }
    [this.#usedSlot, this.#usedWrap] = this.#after(this.#usedSlot, this.#usedWrap, buffer.slots);
    this.slotsInFlight -= buffer.slots;
    this.#covered += buffer.slots;
  }

  #place(word: [number, bigint]): void {
    if (this.#held === null) this.#held = word;
    else this.writes.set(...word);
  }

  #closeBatch(): void {
    if (this.#batch !== null) this.#place(this.#batch);
    this.#batch = null;
  }

  publish(): boolean {
    this.writes.clear();
    this.#closeBatch();
    if (this.#held !== null) this.writes.set(...this.#held);
    this.#held = null;
    const event = this.world.u16(this.setup.driverArea);
    const mode = this.world.u16(this.setup.driverArea + 2) & 3;
    const covered = this.#covered;
    this.#covered = 0;
    if (mode === 1) return false;
    if (mode !== 2 || !this.setup.eventIdx) return covered > 0;
    // Beyond a lap the event names no one slot of it.
    if (covered > this.setup.size) return true;
    const lap = event >>> 15 === this.#usedWrap ? 0 : this.setup.size;
    const back = this.#usedSlot + lap - (event & 0x7fff);
    return back >= 1 && back <= covered;
  }

  published(): string | null {
    return null;
  }

  shown(): { ptr: number; bytes: number }[] {
    return [...this.writes.keys()].map((ptr) => ({ ptr, bytes: 8 }));
  }

  armed(): boolean {
    return (this.world.u16(this.setup.desc + 16 * this.slot + 14) & OWNER) === availBits(this.wrap);
  }

  wish(): { ptr: number; bytes: number } {
    return { ptr: this.setup.deviceArea, bytes: 4 };
  }
}
