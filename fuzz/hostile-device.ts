/** The device that means harm: it writes whatever a case says into the rings, tables and words of a driver half. */

import type { Span } from "../test/support/canaries.ts";
import { usedBits } from "../test/support/raw-packed.ts";
import { WRITE } from "../test/support/raw-split.ts";
import type { Bytes } from "./bytes.ts";
import { type DriverModel, PackedDriverModel, SplitDriverModel } from "./driver-model.ts";
import { edge16 } from "./hostile-driver.ts";
import type { Report } from "./target.ts";
import type { World } from "./world.ts";

export class HostileDevice {
  readonly #world: World;
  readonly #model: DriverModel;
  readonly #report: Report;
  readonly #reach: Span[];
  /** Where its next used entry goes. */
  #next: [number, number];
  /** Ids that it has used and the driver has not taken back yet. */
  readonly #done = new Set<number>();
  #lastId = 0;

  /** `reach`: what it can write. The heap's headers are not among it: `heap` and `grow` trust their device. */
  constructor(world: World, model: DriverModel, report: Report, reach: Span[]) {
    this.#world = world;
    this.#model = model;
    this.#report = report;
    this.#reach = reach;
    this.#next = [0, 1];
  }

  step(bytes: Bytes): void {
    for (const id of this.#done) if (!this.#model.outstanding.has(id)) this.#done.delete(id);
    const step = bytes.below(16);
    if (step < 2) this.#lie(bytes);
    else if (step === 2) this.#index(bytes);
    else if (step === 3) this.#events(bytes);
    else if (step === 4) this.#poke(bytes);
    else if (step === 5) this.#fill(bytes);
    else this.#complete(bytes);
  }

  /** Uses a buffer, or with IN_ORDER a batch up to it, as a device should; only the length may be a lie. */
  #complete(bytes: Bytes): void {
    const { inOrder } = this.#model.setup;
    const left = [...this.#model.outstanding].filter(([id]) => !this.#done.has(id));
    if (left.length === 0) {
      this.#report.say(() => "device: has nothing to use");
      return;
    }
    const place = bytes.below(left.length);
    const [id, { capacity }] = left[place];
    const batch = inOrder ? left.slice(0, place + 1) : [left[place]];
    const len = this.#length(bytes, capacity);
    this.#use(
      id,
      len,
      batch.reduce((sum, [, { slots }]) => sum + slots, 0),
      batch.length,
    );
    for (const [one] of batch) this.#done.add(one);
    this.#report.say(
      () =>
        `device: uses ${id} with length ${len}${batch.length > 1 ? `, and ${batch.length - 1} before it` : ""}`,
    );
  }

  #lie(bytes: Bytes): void {
    const id = this.#id(bytes);
    const len = this.#length(bytes, bytes.u8());
    this.#use(id, len, 1 + bytes.below(2), 1);
    this.#report.say(() => `device: uses ${id} with length ${len}, whatever that is`);
  }

  #use(id: number, len: number, slots: number, buffers: number): void {
    const { deviceArea, desc, size } = this.#model.setup;
    this.#lastId = id;
    if (this.#model instanceof SplitDriverModel) {
      const at = deviceArea + 4 + 8 * (this.#next[0] % size);
      this.#world.setU32(at, id);
      this.#world.setU32(at + 4, len);
      this.#next[0] = (this.#next[0] + buffers) & 0xffff;
      this.#world.setU16(deviceArea + 2, this.#next[0]);
    } else if (this.#model instanceof PackedDriverModel) {
      const at = desc + 16 * this.#next[0];
      this.#world.setU32(at + 8, len);
      this.#world.setU16(at + 12, id & 0xffff);
      this.#world.setU16(at + 14, usedBits(this.#next[1]) | (len > 0 ? WRITE : 0));
      this.#next = this.#model.after(...this.#next, Math.min(slots, size));
    }
  }

  #id(bytes: Bytes): number {
    const { size } = this.#model.setup;
    const byte = bytes.u8();
    const out = [...this.#model.outstanding.keys()];
    const some = out[(byte >>> 3) % Math.max(out.length, 1)] ?? 0;
    const free = Array.from({ length: size }, (_, k) => k).find((k) => !out.includes(k)) ?? 0;
    return (
      [some, byte >>> 3, size, some + 0x10000, free, this.#lastId, 0xffff_ffff, some + 1][byte & 7] >>> 0
    );
  }

  #length(bytes: Bytes, capacity: number): number {
    return bytes.pick([
      capacity,
      0,
      capacity >>> 1,
      Math.min(capacity + 1, 0xffff_ffff),
      0xffff_ffff,
      1,
      capacity,
    ]);
  }

  /** used.idx, or the flags of a slot. */
  #index(bytes: Bytes): void {
    const { deviceArea, desc, size } = this.#model.setup;
    const byte = bytes.u8();
    const value = edge16(bytes, size);
    if (this.#model instanceof SplitDriverModel) {
      const idx = (this.#next[0] + (byte < 128 ? (byte % 9) - 4 : value)) & 0xffff;
      this.#world.setU16(deviceArea + 2, idx);
      this.#report.say(() => `device: used.idx is ${idx}`);
    } else {
      const flags = byte < 128 ? usedBits(byte & 1) : value;
      this.#world.setU16(desc + 16 * (byte % size) + 14, flags);
      this.#report.say(() => `device: flags of slot ${byte % size} are ${flags.toString(16)}`);
    }
  }

  /** The words in which a device says what it wants to be told. */
  #events(bytes: Bytes): void {
    const { deviceArea, size } = this.#model.setup;
    const [flags, event] = [edge16(bytes, size), edge16(bytes, size)];
    const split = this.#model instanceof SplitDriverModel;
    this.#world.setU16(split ? deviceArea : deviceArea + 2, flags);
    this.#world.setU16(split ? deviceArea + 4 + 8 * size : deviceArea, event);
    this.#report.say(() => `device: flags ${flags}, event word ${event}`);
  }

  #poke(bytes: Bytes): void {
    const { ptr, bytes: count } = bytes.pick(this.#reach);
    const at = ptr + ((bytes.u8() * 256 + bytes.u8()) % (count - 1));
    const value = edge16(bytes, this.#model.setup.size);
    this.#world.setU16(at, value);
    this.#report.say(() => `device: writes ${value} to byte ${this.#world.place(at)}`);
  }

  #fill(bytes: Bytes): void {
    const { ptr, bytes: count } = bytes.pick(this.#reach);
    const from = (bytes.u8() * 256 + bytes.u8()) % count;
    const to = Math.min(from + bytes.u8(), count);
    let junk = bytes.u8();
    for (let at = from; at < to; at++) {
      junk = (junk * 165 + 89) & 0xffff;
      this.#world.setU8(ptr + at, junk >>> 7);
    }
    this.#report.say(
      () => `device: writes ${to - from} bytes of junk from byte ${this.#world.place(ptr + from)} on`,
    );
  }
}
