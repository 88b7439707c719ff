/**
 * What a driver half has to make of the bytes that its device wrote, said a second time: slowly, and with
 * nothing but its own notes of which buffers are out.
 */
import * as abi from "../assembly/abi.ts";
import { availBits, usedBits } from "../test/support/raw-packed.ts";
import { INDIRECT, NEXT, WRITE } from "../test/support/raw-split.ts";
import { placeOf, type Window } from "./target.ts";
import type { World } from "./world.ts";

export interface DriverSetup {
  size: number;
  window: Window;
  eventIdx: boolean;
  inOrder: boolean;
  /** Places of the three areas. */
  desc: number;
  driverArea: number;
  deviceArea: number;
}

export interface Element {
  ptr: number;
  bytes: number;
  write: boolean;
}

/** A buffer that the device has. */
export interface Given {
  token: number;
  capacity: number;
  /** Ring entries that it takes. */
  slots: number;
  tabled: boolean;
  elements: Element[];
}

/** A list as it stands in the ring. */
export interface Listed {
  elements: Element[];
  slots: number;
  id: number;
  tabled: boolean;
}

const OWNER = availBits(0) | availBits(1);

export abstract class DriverModel {
  readonly world: World;
  readonly setup: DriverSetup;
  /** By id (packed) or head (split), the oldest first. */
  readonly outstanding = new Map<number, Given>();
  protected batchLeft = 0;
  protected batchLen = 0;

  constructor(world: World, setup: DriverSetup) {
    this.world = world;
    this.setup = setup;
  }

  add(id: number, given: Given): void {
    this.outstanding.set(id, given);
  }

  /** Records and the code, if any, that end a burst of `max`. */
  reclaim(max: number): { records: { token: number; len: number }[]; code: number } {
    const records: { token: number; len: number }[] = [];
    let pending = this.pending();
    if (pending < 0) return { records, code: abi.E_USED_IDX };
    for (pending = Math.min(pending, this.outstanding.size); records.length < max && pending > 0; pending--) {
      let id: number | null;
      let len = 0;
      if (this.setup.inOrder) {
        if (this.batchLeft === 0) {
          const used = this.used();
          if (used === null) break;
          const code = this.#open(used, pending);
          if (code !== abi.OK) return { records, code };
        }
        id = this.outstanding.keys().next().value as number;
        len = this.batchLeft-- === 1 ? this.batchLen : 0xffff_ffff;
      } else {
        const used = this.used();
        if (used === null) break;
        if (used.id >= this.setup.size) return { records, code: abi.E_USED_ID_RANGE };
        if (!this.outstanding.has(used.id)) return { records, code: abi.E_USED_ID_NOT_OUTSTANDING };
        ({ id, len } = used);
      }
      const given = this.outstanding.get(id) as Given;
      this.outstanding.delete(id);
      this.step(given.slots);
      records.push({ token: given.token, len: Math.min(len, given.capacity) });
    }
    return { records, code: abi.OK };
  }

  /** With IN_ORDER a used entry ends a batch, which starts at the oldest buffer. */
  #open(used: { id: number; len: number }, pending: number): number {
    if (used.id >= this.setup.size) return abi.E_USED_ID_RANGE;
    const place = [...this.outstanding.keys()].indexOf(used.id);
    if (place < 0 || place >= pending) return abi.E_USED_ID_NOT_OUTSTANDING;
    this.batchLeft = place + 1;
    this.batchLen = used.len;
    return abi.OK;
  }

  get liveTables(): number {
    return [...this.outstanding.values()].filter(({ tabled }) => tabled).length;
  }

  get slotsOut(): number {
    return [...this.outstanding.values()].reduce((sum, { slots }) => sum + slots, 0);
  }

  /** Most used entries that may be there; negative when the index says more than is out. */
  protected abstract pending(): number;
  /** The next used entry, if there is one. */
  protected abstract used(): { id: number; len: number } | null;
  protected abstract step(slots: number): void;
  /** What `add` has just written of its k-th buffer, or null when it cannot be seen before the publish. */
  abstract added(k: number): Listed | null;
  /** Takes note of a reclaim, which first shows what was added. */
  show(): void {
    this.publish(false);
  }

  /** Takes note of a publish; whether the device wants a kick. `runs`: the device may be kicked. */
  abstract publish(runs: boolean): boolean;
  /** The lists that a publish has just shown. */
  abstract shown(count: number): Listed[];
  abstract armed(after: number): boolean;
  /** The word in which the driver half says whether it wants interrupts; and what a publish writes. */
  abstract wish(): { ptr: number; bytes: number };
  abstract index(): { ptr: number; bytes: number }[];

  protected table(addr: bigint, entries: number, follow: boolean): Element[] {
    const at = placeOf(this.setup.window, addr);
    const elements: Element[] = [];
    // What is no table of the driver's is no list of its elements either.
    if (at + 16 * entries > this.world.engine.end) return [{ ptr: at, bytes: -1, write: false }];
    for (let k = 0; elements.length < entries; ) {
      elements.push(this.element(at + 16 * k));
      const flags = this.world.u16(at + 16 * k + (follow ? 12 : 14));
      if (follow && !(flags & NEXT)) break;
      k = follow ? this.world.u16(at + 16 * k + 14) : k + 1;
      if (k >= entries) break;
    }
    return elements;
  }

  protected element(at: number): Element {
    const { world } = this;
    const flags = world.u16(at + (world.format === "split" ? 12 : 14));
    return {
      ptr: placeOf(this.setup.window, world.u64(at)),
      bytes: world.u32(at + 8),
      write: (flags & WRITE) !== 0,
    };
  }
}

export class SplitDriverModel extends DriverModel {
  lastUsed = 0;
  #availIdx = 0;
  #published = 0;
  #decided = 0;

  protected pending(): number {
    const ahead = (this.world.u16(this.setup.deviceArea + 2) - this.lastUsed) & 0xffff;
    return ahead > this.outstanding.size ? -1 : ahead;
  }

  protected used(): { id: number; len: number } {
    const at = this.setup.deviceArea + 4 + 8 * (this.lastUsed % this.setup.size);
    return { id: this.world.u32(at), len: this.world.u32(at + 4) };
  }

  protected step(): void {
    this.lastUsed = (this.lastUsed + 1) & 0xffff;
  }

  added(k: number): Listed {
    const { desc, driverArea, size } = this.setup;
    const head = this.world.u16(driverArea + 4 + 2 * ((this.#availIdx + k) % size));
    const elements: Element[] = [];
    for (let index = head, slots = 1; ; slots++) {
      const at = desc + 16 * index;
      const flags = this.world.u16(at + 12);
      if (flags & INDIRECT) {
        elements.push(...this.table(this.world.u64(at), this.world.u32(at + 8) / 16, true));
        return { elements, slots, id: head, tabled: true };
      }
      elements.push(this.element(at));
      if (!(flags & NEXT) || slots === size) return { elements, slots, id: head, tabled: false };
      index = this.world.u16(at + 14) % size;
    }
  }

  took(count: number): void {
    this.#availIdx = (this.#availIdx + count) & 0xffff;
  }

  publish(runs: boolean): boolean {
    const { deviceArea, size, eventIdx } = this.setup;
    this.#published = this.#availIdx;
    if (!runs) return false;
    const written = (this.#published - this.#decided) & 0xffff;
    const event = this.world.u16(deviceArea + 4 + 8 * size);
    const crossed = ((event - this.#decided) & 0xffff) < written;
    this.#decided = this.#published;
    return eventIdx ? crossed : written > 0 && !(this.world.u16(deviceArea) & 1);
  }

  shown(): Listed[] {
    return [];
  }

  armed(after: number): boolean {
    return ((this.world.u16(this.setup.deviceArea + 2) - this.lastUsed) & 0xffff) > after;
  }

  wish(): { ptr: number; bytes: number } {
    const { driverArea, size, eventIdx } = this.setup;
    return { ptr: eventIdx ? driverArea + 4 + 2 * size : driverArea, bytes: 2 };
  }

  index(): { ptr: number; bytes: number }[] {
    return this.#availIdx === this.#published ? [] : [{ ptr: this.setup.driverArea + 2, bytes: 2 }];
  }
}

export class PackedDriverModel extends DriverModel {
  slot = 0;
  wrap = 1;
  #availSlot = 0;
  #availWrap = 1;
  #covered = 0;
  /** Slot and wrap counter at which the next publish begins, when there is something to show. */
  #held: [number, number] | null = null;
  /** The slot whose head the reclaim that is about to look has shown, or -1. */
  #shownAt = -1;

  protected pending(): number {
    return this.setup.size;
  }

  protected used(): { id: number; len: number } | null {
    // A head that is held back is written when it is shown, whatever the device has put in its place.
    if (this.#shownAt === this.slot) return null;
    const at = this.setup.desc + 16 * this.slot;
    const flags = this.world.u16(at + 14);
    if ((flags & OWNER) !== usedBits(this.wrap)) return null;
    return { id: this.world.u16(at + 12), len: flags & WRITE ? this.world.u32(at + 8) : 0 };
  }

  protected step(slots: number): void {
    [this.slot, this.wrap] = this.after(this.slot, this.wrap, slots);
  }

  after(slot: number, wrap: number, slots: number): [number, number] {
    const next = slot + slots;
    return next >= this.setup.size ? [next - this.setup.size, wrap ^ 1] : [next, wrap];
  }

  added(): null {
    return null;
  }

  /** Slots that are made available and not shown yet. */
  hold(slots: number): void {
    this.#held ??= [this.#availSlot, this.#availWrap];
    [this.#availSlot, this.#availWrap] = this.after(this.#availSlot, this.#availWrap, slots);
    this.#covered += slots;
  }

  override show(): void {
    this.#shownAt = this.#held === null ? -1 : this.#held[0];
    super.show();
  }

  override reclaim(max: number): ReturnType<DriverModel["reclaim"]> {
    const taken = super.reclaim(max);
    this.#shownAt = -1;
    return taken;
  }

  publish(runs: boolean): boolean {
    this.#held = null;
    if (!runs) return false;
    const event = this.world.u16(this.setup.deviceArea);
    const mode = this.world.u16(this.setup.deviceArea + 2) & 3;
    const covered = this.#covered;
    this.#covered = 0;
    if (mode === 1) return false;
    if (mode !== 2 || !this.setup.eventIdx) return covered > 0;
    if (covered > this.setup.size) return true;
    const lap = event >>> 15 === this.#availWrap ? 0 : this.setup.size;
    const back = this.#availSlot + lap - (event & 0x7fff);
    return back >= 1 && back <= covered;
  }

  shown(count: number): Listed[] {
    let [slot, wrap] = this.#held ?? [0, 0];
    return Array.from({ length: count }, () => {
      const elements: Element[] = [];
      for (let slots = 1; ; slots++) {
        const at = this.setup.desc + 16 * slot;
        const flags = this.world.u16(at + 14);
        if ((flags & OWNER) !== availBits(wrap)) return { elements: [], slots, id: -1, tabled: false };
        [slot, wrap] = this.after(slot, wrap, 1);
        const tabled = (flags & INDIRECT) !== 0;
        if (tabled) elements.push(...this.table(this.world.u64(at), this.world.u32(at + 8) / 16, false));
        else elements.push(this.element(at));
        if (!(flags & NEXT) || slots === this.setup.size) {
          return { elements, slots, id: this.world.u16(at + 12), tabled };
        }
      }
    });
  }

  armed(): boolean {
    if (this.batchLeft > 0) return true;
    return this.outstanding.size > 0 && this.used() !== null;
  }

  wish(): { ptr: number; bytes: number } {
    return { ptr: this.setup.driverArea, bytes: 4 };
  }

  index(): { ptr: number; bytes: number }[] {
    return this.#held === null ? [] : [{ ptr: this.setup.desc + 16 * this.#held[0] + 8, bytes: 8 }];
  }
}
