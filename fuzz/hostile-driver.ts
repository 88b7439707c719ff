/** The driver that means harm: it writes whatever a case says into the rings, tables and words of a device half. */
import { availBits, Position } from "../test/support/raw-packed.ts";
import { INDIRECT, NEXT, WRITE } from "../test/support/raw-split.ts";
import type { Bytes } from "./bytes.ts";
import type { PackedDeviceModel, Setup, SplitDeviceModel } from "./device-model.ts";
import { busOf, type Report } from "./target.ts";
import { HOSTILE_BYTES, type World } from "./world.ts";

// The hostile area:  desc | driver area | device area | tables | data
export const DESC = 0;
export const DRIVER_AREA = 320;
export const DEVICE_AREA = 448;
const TABLES = 640;
const TABLE_BYTES = 320;
const DATA = TABLES + 4 * TABLE_BYTES;
/** Eight of them are all that a buffer may describe (S-D-03). */
const HUGE = 2 ** 29;

/** Values at which something begins or ends. */
export function edge16(bytes: Bytes, size: number): number {
  const byte = bytes.u8();
  if (byte < 32) return byte;
  return [size - 1, size, size + 1, 0x7fff, 0x8000, 0xfffe, 0xffff, byte * 257][byte % 8];
}

interface Desc {
  addr: bigint;
  len: number;
  flags: number;
  /** `next` of a split descriptor, the buffer id of a packed one. */
  last: number;
}

export abstract class HostileDriver {
  readonly world: World;
  readonly setup: Setup;
  readonly report: Report;

  constructor(world: World, setup: Setup, report: Report) {
    this.world = world;
    this.setup = setup;
    this.report = report;
  }

  /** One step: what it is stands in the first byte. */
  step(bytes: Bytes): void {
    const step = bytes.below(16);
    if (step === 0) this.#desc(bytes);
    else if (step === 1) this.#entry(bytes);
    else if (step === 2) this.offer(bytes);
    else if (step === 3) this.publish(bytes);
    else if (step === 4) this.#events(bytes);
    else if (step === 5) this.#poke(bytes);
    else if (step === 6) this.#fill(bytes);
    else this.#submit(bytes);
  }

  protected abstract offer(bytes: Bytes): void;
  protected abstract publish(bytes: Bytes): void;
  /** Where the next list goes, and how many free entries it may have; null when the ring is full. */
  protected abstract room(bytes: Bytes): { first: number; free: number } | null;
  protected abstract writeRing(first: number, k: number, desc: Desc, more: boolean): void;
  /** Makes the list of this many entries available. */
  protected abstract handOver(first: number, count: number): void;
  /** The place of the k-th entry from `first`, and the flags that ownership adds to it. */
  protected abstract ringPlace(index: number): { at: number; owned: number };
  protected abstract writeAt(at: number, desc: Desc): void;

  table(index: number): number {
    return this.world.hostile.ptr + TABLES + (index % 4) * TABLE_BYTES;
  }

  /** A buffer list that is right in every respect, but for at most one field. */
  #submit(bytes: Bytes): void {
    const { window } = this.setup;
    const shape = bytes.u8();
    const elements = 1 + (shape & 3) + (shape >>> 7) * (shape & 15);
    const readable = bytes.below(elements + 1);
    const kind = (shape >>> 4) & 7;
    const room = this.room(bytes);
    const data = this.world.hostile.ptr + DATA + bytes.u8() * 8;
    const list: Desc[] = Array.from({ length: elements }, (_, k) => ({
      addr: kind === 7 ? window.base : busOf(window, data + 64 * k),
      len: kind === 7 ? HUGE : kind === 5 && k === 1 ? 0 : 16 + k,
      flags: k < readable ? 0 : WRITE,
      last: 0,
    }));
    // Direct elements, then those of a table.
    const direct = !this.setup.indirect || kind < 4 ? elements : this.mixed && kind === 6 ? 1 : 0;
    const tabled = list.splice(direct);
    const at = this.table(bytes.u8());
    tabled.forEach((desc, k) => {
      const more = k + 1 < tabled.length;
      this.writeTable(at, k, desc, more);
    });
    if (tabled.length > 0) {
      list.push({
        addr: busOf(window, at),
        len: 16 * tabled.length,
        flags: INDIRECT | (shape & 8 ? WRITE : 0),
        last: 0,
      });
    }
    if (room === null || list.length > room.free) {
      this.report.say(() => "driver: has no room");
      return;
    }
    const flaw = bytes.u8();
    if (flaw >= 192) this.#flaw(bytes, list);
    list.forEach((desc, k) => {
      this.writeRing(room.first, k, desc, k + 1 < list.length);
    });
    this.handOver(room.first, list.length);
    this.report.say(
      () =>
        `driver: offers ${readable} readable and ${elements - readable} writable elements at ${room.first}` +
        `${tabled.length > 0 ? `, ${tabled.length} of them in a table` : ""}${flaw >= 192 ? ", with a flaw" : ""}`,
    );
  }

  protected abstract readonly mixed: boolean;
  protected abstract writeTable(table: number, k: number, desc: Desc, more: boolean): void;

  #flaw(bytes: Bytes, list: Desc[]): void {
    const desc = list[bytes.below(list.length)];
    switch (bytes.below(3)) {
      case 0:
        desc.addr = this.address(bytes);
        break;
      case 1:
        desc.len = this.length(bytes, desc.addr);
        break;
      default:
        desc.flags ^= bytes.below(8);
    }
  }

  /** One ring descriptor, field by field. */
  #desc(bytes: Bytes): void {
    const index = bytes.u8();
    const { at, owned } = this.ringPlace(index);
    const desc = this.#fields(bytes, owned);
    this.writeAt(at, desc);
    this.report.say(() => `driver: descriptor ${index % this.setup.size} is ${words(desc)}`);
  }

  /** One entry of an indirect table, field by field. */
  #entry(bytes: Bytes): void {
    const table = bytes.below(4);
    const index = bytes.below(TABLE_BYTES / 16);
    const desc = this.#fields(bytes, 0);
    this.writeAt(this.table(table) + 16 * index, desc);
    this.report.say(() => `driver: entry ${index} of table ${table} is ${words(desc)}`);
  }

  #fields(bytes: Bytes, owned: number): Desc {
    const addr = this.address(bytes);
    const len = this.length(bytes, addr);
    const flags = bytes.u8();
    return { addr, len, flags: this.flags(flags, owned), last: edge16(bytes, this.setup.size) };
  }

  protected flags(byte: number, owned: number): number {
    const junk = byte & 0x10 ? 0x0878 : 0;
    return (byte & 7) | (junk & ~INDIRECT) | (byte & 8 ? owned ^ availBits(0) : owned);
  }

  /** A bus address: of packet data, or one at which something begins or ends. */
  address(bytes: Bytes): bigint {
    const { setup, world } = this;
    const { base, length } = setup.window;
    const byte = bytes.u8();
    if (byte < 96) return busOf(setup.window, world.hostile.ptr + DATA + byte * 32);
    const small = busOf(setup.window, world.hostile.ptr + HOSTILE_BYTES);
    const edges = [
      busOf(setup.window, this.table(0)),
      busOf(setup.window, this.table(1)),
      busOf(setup.window, this.table(0) + 16),
      busOf(setup.window, this.table(2) + 3),
      busOf(setup.window, setup.desc),
      busOf(setup.window, setup.driverArea),
      busOf(setup.window, setup.deviceArea),
      base,
      base - 1n,
      base - 16n,
      base + length,
      base + length + 1n,
      base + length - 1n,
      base + length - 16n,
      base + length - 32n,
      small - 16n,
      0n,
      0xffff_ffff_ffff_ffffn,
      0xffff_ffff_ffff_fff0n,
      busOf(setup.window, world.honestData),
      busOf(setup.window, world.engine.base),
      base + (1n << 32n),
      1n << 63n,
    ];
    return BigInt.asUintN(64, edges[(byte - 96) % edges.length]);
  }

  /** A length: a small one, or one at which something begins or ends. */
  length(bytes: Bytes, addr: bigint): number {
    const byte = bytes.u8();
    if (byte < 96) return byte;
    const { size, window } = this.setup;
    const all = clamp32(window.length);
    const rest = clamp32(BigInt.asUintN(64, window.base + window.length - addr));
    const edges = [
      [0, 8, 15, 16, 24, 32, 48],
      [16 * size, 16 * (size + 1), 16 * size - 1, 16 * this.setup.maxChain, 16 * (this.setup.maxChain + 1)],
      [2 ** 20, HUGE, 2 ** 32 - 16, 2 ** 32 - 1],
      [all, all - 1, all + 1, rest, rest + 1, rest - 1],
    ].flat();
    return edges[(byte - 96) % edges.length] >>> 0;
  }

  /** The words in which a driver says what it wants to be told. */
  #events(bytes: Bytes): void {
    const flags = edge16(bytes, this.setup.size);
    const event = edge16(bytes, this.setup.size);
    this.writeEvents(flags, event);
    this.report.say(() => `driver: flags ${flags}, event word ${event}`);
  }

  protected abstract writeEvents(flags: number, event: number): void;

  /** A value at any place that the driver can write. */
  #poke(bytes: Bytes): void {
    const offset = this.#offset(bytes);
    const value = edge16(bytes, this.setup.size);
    this.world.setU16(this.world.hostile.ptr + offset, value);
    this.report.say(() => `driver: writes ${value} to byte ${offset} of its memory`);
  }

  #offset(bytes: Bytes): number {
    // Rings, tables, anything: each as often as the others.
    const spans = [DRIVER_AREA, DEVICE_AREA, TABLES, DATA, HOSTILE_BYTES];
    const end = bytes.pick(spans) - 2;
    return (bytes.u8() * 256 + bytes.u8()) % end;
  }

  #fill(bytes: Bytes): void {
    const offset = this.#offset(bytes);
    const count = Math.min(bytes.u8(), HOSTILE_BYTES - offset);
    let junk = bytes.u8();
    for (let k = 0; k < count; k++) {
      junk = (junk * 165 + 89) & 0xffff;
      this.world.setU8(this.world.hostile.ptr + offset + k, junk >>> 7);
    }
    this.report.say(() => `driver: writes ${count} bytes of junk from byte ${offset} of its memory on`);
  }
}

export class HostileSplitDriver extends HostileDriver {
  readonly model: SplitDeviceModel;
  protected readonly mixed = true;
  #nextAvail: number;

  constructor(world: World, setup: Setup, report: Report, model: SplitDeviceModel) {
    super(world, setup, report);
    this.model = model;
    this.#nextAvail = model.lastAvail;
  }

  protected offer(bytes: Bytes): void {
    const head = edge16(bytes, this.setup.size);
    this.#put(head);
    this.report.say(() => `driver: puts head ${head} into the available ring`);
  }

  #put(head: number): void {
    this.world.setU16(this.setup.driverArea + 4 + 2 * (this.#nextAvail % this.setup.size), head);
    this.#nextAvail = (this.#nextAvail + 1) & 0xffff;
  }

  protected publish(bytes: Bytes): void {
    const byte = bytes.u8();
    const jump = byte < 128 ? 0 : byte < 160 ? byte - 128 - 16 : edge16(bytes, this.setup.size);
    const idx = (this.#nextAvail + jump) & 0xffff;
    this.world.setU16(this.setup.driverArea + 2, idx);
    this.report.say(() => `driver: avail.idx is ${idx}, ${jump} beside what it offered`);
  }

  protected room(bytes: Bytes): { first: number; free: number } | null {
    const wish = bytes.u8();
    const first = wish % this.setup.size;
    if (wish >= 240) return { first, free: this.setup.size };
    const taken = new Set(this.model.heads());
    for (
      let idx = this.model.lastAvail;
      idx !== this.#nextAvail && taken.size < 64;
      idx = (idx + 1) & 0xffff
    ) {
      taken.add(this.world.u16(this.setup.driverArea + 4 + 2 * (idx % this.setup.size)));
    }
    if (((this.#nextAvail - this.model.lastAvail) & 0xffff) >= this.setup.size) return null;
    for (let k = 0; k < this.setup.size; k++) {
      const index = (first + k) % this.setup.size;
      if (!taken.has(index)) return { first: index, free: this.setup.size };
    }
    return null;
  }

  protected writeRing(first: number, k: number, desc: Desc, more: boolean): void {
    const { size } = this.setup;
    const next = (first + k + 1) % size;
    const flags = desc.flags | (more ? NEXT : 0);
    this.writeAt(this.setup.desc + 16 * ((first + k) % size), { ...desc, flags, last: next });
  }

  protected writeTable(table: number, k: number, desc: Desc, more: boolean): void {
    this.writeAt(table + 16 * k, { ...desc, flags: desc.flags | (more ? NEXT : 0), last: k + 1 });
  }

  protected handOver(first: number): void {
    this.#put(first);
    this.world.setU16(this.setup.driverArea + 2, this.#nextAvail);
  }

  protected ringPlace(index: number): { at: number; owned: number } {
    return { at: this.setup.desc + 16 * (index % this.setup.size), owned: 0 };
  }

  protected override flags(byte: number): number {
    return (byte & 7) | (byte & 0x10 ? 0xfff8 : 0);
  }

  protected writeAt(at: number, { addr, len, flags, last }: Desc): void {
    this.world.setU64(at, addr);
    this.world.setU32(at + 8, len);
    this.world.setU16(at + 12, flags);
    this.world.setU16(at + 14, last);
  }

  protected writeEvents(flags: number, event: number): void {
    this.world.setU16(this.setup.driverArea, flags);
    this.world.setU16(this.setup.driverArea + 4 + 2 * this.setup.size, event);
  }
}

export class HostilePackedDriver extends HostileDriver {
  readonly model: PackedDeviceModel;
  protected readonly mixed = false;
  readonly #next: Position;
  /** Slots that were made available, one lap's and the next's. */
  #offered = 0;

  constructor(world: World, setup: Setup, report: Report, model: PackedDeviceModel) {
    super(world, setup, report);
    this.model = model;
    this.#next = new Position(setup.size, model.slot, model.wrap);
  }

  /** Goes on some slots further, whatever stands there. */
  protected offer(bytes: Bytes): void {
    const slots = bytes.below(this.setup.size + 1);
    this.#next.advance(slots);
    this.report.say(() => `driver: goes on to slot ${this.#next.slot}`);
  }

  /** Flips the flags of a slot to something else. */
  protected publish(bytes: Bytes): void {
    const slot = bytes.below(this.setup.size);
    const flags = edge16(bytes, this.setup.size);
    this.world.setU16(this.setup.desc + 16 * slot + 14, flags);
    this.report.say(() => `driver: flags of slot ${slot} are ${flags}`);
  }

  protected room(bytes: Bytes): { first: number; free: number } | null {
    const reckless = bytes.u8() >= 240;
    const pending = Math.max(0, this.#offered - this.model.slotsPopped);
    const free = this.setup.size - this.model.slotsInFlight - pending;
    return { first: this.#next.slot, free: reckless ? this.setup.size : free };
  }

  protected writeRing(first: number, k: number, desc: Desc, more: boolean): void {
    const { at, owned } = this.ringPlace(k);
    const flags = desc.flags | (more ? NEXT : 0) | owned;
    this.writeAt(at, { ...desc, flags, last: more ? 0xdead : first + 100 });
  }

  protected writeTable(table: number, k: number, desc: Desc): void {
    this.writeAt(table + 16 * k, { ...desc, last: 0xbeef });
  }

  protected handOver(_first: number, count: number): void {
    this.#next.advance(Math.min(count, this.setup.size));
    this.#offered += count;
  }

  protected ringPlace(index: number): { at: number; owned: number } {
    const position = this.#next.copy();
    position.advance(index % this.setup.size);
    return { at: this.setup.desc + 16 * position.slot, owned: availBits(position.wrap) };
  }

  protected writeAt(at: number, { addr, len, flags, last }: Desc): void {
    this.world.setU64(at, addr);
    this.world.setU32(at + 8, len);
    this.world.setU16(at + 12, last);
    this.world.setU16(at + 14, flags);
  }

  protected writeEvents(flags: number, event: number): void {
    this.world.setU16(this.setup.driverArea, event);
    this.world.setU16(this.setup.driverArea + 2, flags);
  }
}

function clamp32(value: bigint): number {
  return value > 0xffff_ffffn ? 0xffff_ffff : Number(value);
}

function words({ addr, len, flags, last }: Desc): string {
  return `addr ${addr.toString(16)}, len ${len}, flags ${flags.toString(16)}, ${last}`;
}
