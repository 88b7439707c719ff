/**
 * What the specification leaves open. Where the engine plays a half, its choice is read from the
 * memory and the model checks that it is one of those allowed; where the model plays, it is random.
 */
import type { Random } from "../support/random.ts";
import type { RawMemory } from "../support/raw-memory.ts";
import { AVAIL, USED } from "../support/raw-packed.ts";
import { INDIRECT, NEXT, WRITE } from "../support/raw-split.ts";
import { must, type Ring } from "./common.ts";
import type { DeviceChoices, Marked } from "./device.ts";
import type { Buffer, DriverChoices, Given, Layout } from "./driver.ts";
import type { Heap, TablesModel } from "./tables.ts";

/** Where tables may lie. */
export interface TablePlaces {
  cached: { ptr: number; bytes: number };
  heap: { ptr: number; bytes: number };
}

export interface TableRule {
  tables: TablesModel;
  /** Fewest elements that get a table. */
  least: number;
  /** The first element stays direct. */
  directHead: boolean;
}

/** The engine's driver. */
export class ShadowDriver implements DriverChoices {
  node = 0;
  readonly #real: RawMemory;
  readonly #ring: Ring;
  readonly #rule: TableRule;
  readonly #heap: Heap;
  readonly #places: TablePlaces;
  /** Sixteen bytes each: which tables the device can see. */
  readonly #granules = new Set<number>();

  constructor(real: RawMemory, ring: Ring, rule: TableRule, heap: Heap, places: TablePlaces) {
    this.#real = real;
    this.#ring = ring;
    this.#rule = rule;
    this.#heap = heap;
    this.#places = places;
  }

  layout(given: Given, numFree: number): Layout | "full" {
    const { tables, least, directHead } = this.#rule;
    const n = given.announced;
    const direct = directHead ? 1 : 0;
    const wants = this.#ring.indirect && tables.source !== "direct" && n - direct >= least;
    if (wants && numFree > direct) {
      const origin = tables.take(n - direct, this.node, this.#heap);
      if (origin !== null) return { direct, inTable: n - direct, origin, fell: false };
    }
    return numFree < n ? "full" : { direct: n, inTable: 0, origin: null, fell: wants };
  }

  give(buffer: Buffer): void {
    if (buffer.origin === null) return;
    this.#rule.tables.give(buffer.origin);
    for (const granule of granules(buffer)) this.#granules.delete(granule);
  }

  descriptors(buffer: Buffer, index: number): number[] {
    const { desc, driverArea, size } = this.#ring;
    const chain = [this.#real.u16(driverArea + 4 + 2 * (index % size))];
    while (chain.length < buffer.slots) chain.push(this.#real.u16(desc + 16 * chain[chain.length - 1] + 14));
    return chain;
  }

  id(_buffer: Buffer, slot: number): number {
    const id = this.#real.u16(this.#ring.desc + 16 * slot + 12);
    must(id < this.#ring.size, `buffer id ${id} is not below ${this.#ring.size}`);
    return id;
  }

  table(buffer: Buffer, ptr: number): number {
    const { origin } = buffer;
    const { tables } = this.#rule;
    must(origin !== null, `token ${buffer.token} has no table by the rule`);
    const table = this.#real.place(this.#real.u64(ptr));
    const step = 16 * tables.threshold;
    const range = tables.place(origin, buffer.id);
    const { cached, heap } = this.#places;
    const first = range === null ? heap.ptr : cached.ptr + range.first * step;
    const end = range === null ? heap.ptr + heap.bytes : first + range.count * step;
    const fits = table >= first && table + 16 * buffer.inTable <= end;
    must(fits, `token ${buffer.token}: its table is at ${table}, but must be in ${first} .. ${end}`);
    must(range === null || (table - first) % step === 0, `table ${table} is not one of its list`);
    for (const granule of granules({ ...buffer, table })) {
      must(!this.#granules.has(granule), `token ${buffer.token}: its table at ${table} overlaps another`);
      this.#granules.add(granule);
    }
    return table;
  }

  order(count: number): number[] {
    return Array.from({ length: count }, (_, k) => k);
  }

  idle(ptr: number): number {
    return this.#real.u16(ptr);
  }

  idleFlags(): number {
    return 0;
  }
}

function granules({ table, inTable }: Buffer): number[] {
  return table === 0 ? [] : Array.from({ length: inTable }, (_, k) => table + 16 * k);
}

/** A driver of our own, in no way like the engine's. */
export class PlayDriver implements DriverChoices {
  random: Random;
  readonly #ring: Ring;
  readonly #tables: number[];
  /** Tables that buffers were promised and have not got. */
  #promised = 0;
  readonly #ids = new Set<number>();

  /** `tables` are places with room for MAX_TABLE entries each. */
  constructor(ring: Ring, random: Random, tables: readonly number[]) {
    this.#ring = ring;
    this.random = random;
    this.#tables = [...tables];
  }

  layout(given: Given, numFree: number): Layout | "full" {
    const n = given.announced;
    const directs = [n];
    if (this.#ring.indirect && n <= MAX_TABLE && this.#tables.length > this.#promised) {
      directs.push(0);
      if (this.#ring.format === "split") directs.push(this.random.int(0, n - 1));
    }
    const fitting = directs.filter((direct) => direct + (direct < n ? 1 : 0) <= numFree);
    if (fitting.length === 0) return "full";
    const direct = this.random.pick(fitting);
    if (direct < n) this.#promised++;
    return { direct, inTable: n - direct, origin: null, fell: false };
  }

  give(buffer: Buffer): void {
    this.#ids.delete(buffer.id);
    if (buffer.table !== 0) this.#tables.push(buffer.table);
    else if (buffer.inTable > 0) this.#promised--;
  }

  descriptors(buffer: Buffer, _index: number, owned: ReadonlyMap<number, Buffer>, first: number): number[] {
    const { size, inOrder } = this.#ring;
    if (inOrder) return Array.from({ length: buffer.slots }, (_, k) => (first + k) % size);
    const chosen = new Set<number>();
    while (chosen.size < buffer.slots) {
      let at = this.random.int(0, size - 1);
      while (owned.has(at) || chosen.has(at)) at = (at + 1) % size;
      chosen.add(at);
    }
    return [...chosen];
  }

  id(): number {
    for (;;) {
      const id = this.random.pick([this.random.int(0, this.#ring.size), this.random.int(0, 0xffff), 0xfffe]);
      if (this.#ids.has(id)) continue;
      this.#ids.add(id);
      return id;
    }
  }

  table(): number {
    this.#promised--;
    const table = this.#tables.splice(this.random.int(0, this.#tables.length - 1), 1)[0];
    must(table !== undefined, "the model has promised a table that it has not");
    return table;
  }

  /** S-D-08: in order, the entries of a table follow each other; a packed table has no links at all. */
  order(count: number): number[] {
    const rest = Array.from({ length: Math.max(count - 1, 0) }, (_, k) => k + 1);
    const linked = this.#ring.format === "split" && !this.#ring.inOrder;
    return count === 0 ? [] : [0, ...(linked ? this.random.shuffle(rest) : rest)];
  }

  idle(): number {
    return this.random.pick([0, 0xffff, this.random.int(0, 0xffff)]);
  }

  idleFlags(where: "referrer" | "entry"): number {
    if (where === "referrer") return this.random.pick([0, WRITE]);
    return this.random.pick([0, NEXT, INDIRECT, AVAIL, USED, NEXT | INDIRECT | AVAIL | USED]);
  }
}

/** Most entries of a table that the model makes as a driver. */
export const MAX_TABLE = 20;

/** The engine's device. */
export class ShadowDevice implements DeviceChoices {
  readonly #real: RawMemory;
  readonly #ring: Ring;

  constructor(real: RawMemory, ring: Ring) {
    this.#real = real;
    this.#ring = ring;
  }

  batch(marked: readonly Marked[], at: number): number {
    const id = this.#ring.format === "split" ? this.#real.u32(at) : this.#real.u16(at + 12);
    return marked.findIndex(({ chain }) => chain.id === id) + 1;
  }

  idleLength(): number {
    return 0;
  }
}

/** A device of our own. */
export class PlayDevice implements DeviceChoices {
  random: Random;

  constructor(random: Random) {
    this.random = random;
  }

  batch(marked: readonly Marked[]): number {
    const short = marked.findIndex(({ chain, len }) => len !== chain.capacity);
    return this.random.int(1, short < 0 ? marked.length : short + 1);
  }

  idleLength(): number {
    return this.random.pick([0, 1, 0xffff_ffff]);
  }
}
