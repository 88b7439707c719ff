/** The driver half of a virtqueue as the specification tells it: what both formats share. */
import * as abi from "../../assembly/abi.ts";
import {
  BYTES_LIMIT,
  type Element,
  type Fault,
  type Image,
  must,
  type Ring,
  type State,
  sum,
  type World,
} from "./common.ts";
import type { Coverage } from "./coverage.ts";
import type { Origin } from "./tables.ts";

/** What a caller gives to add. */
export interface Given {
  token: number;
  elements: Element[];
  /** Elements that the record announces, where they are too many to be looked at. */
  announced: number;
}

/** How a buffer lies in the ring: its first elements direct, the others in a table. */
export interface Layout {
  direct: number;
  inTable: number;
  origin: Origin | null;
  /** It should have had a table. */
  fell: boolean;
}

export interface Buffer extends Given, Layout {
  /** Ring entries that it takes. */
  slots: number;
  capacity: number;
  /** What names it in the used ring: the head descriptor, or the buffer id. */
  id: number;
  /** Descriptors (split) or slots (packed), head first. */
  entries: number[];
  /** Place of the table, 0 without. */
  table: number;
  /** What the device said that it wrote, once it did. */
  written: number | null;
}

export interface Completion {
  token: number;
  len: number;
}

/** What the specification leaves to a driver. */
export interface DriverChoices {
  layout(given: Given, numFree: number): Layout | "full";
  give(buffer: Buffer): void;
  /**
   * Split: the descriptors of the buffer whose head is to stand at available index `index`; none of
   * them is `owned`, and in order they follow each other from `first` on.
   */
  descriptors(buffer: Buffer, index: number, owned: ReadonlyMap<number, Buffer>, first: number): number[];
  /** Packed: the id of the buffer whose last descriptor is in `slot`. */
  id(buffer: Buffer, slot: number): number;
  /** Where the table is that the descriptor at `ptr` is to refer to. */
  table(buffer: Buffer, ptr: number): number;
  /** Split: the table entry of each element; the first is 0. */
  order(count: number): number[];
  /** The value of a 16-bit field at `ptr` that says nothing. */
  idle(ptr: number): number;
  /** Flags that say nothing: on a descriptor that refers to a table, and in a packed table. */
  idleFlags(where: "referrer" | "entry"): number;
}

export interface DriverCounts {
  added: number;
  reclaimed: number;
  publishes: number;
  doorbells: number;
  tableTakes: number;
  tableHits: number;
  heapFalls: number;
  directFalls: number;
  localTakes: number;
  remoteTakes: number;
  liveTables: number;
  highWater: number;
  clampedLengths: number;
}

export const NO_DRIVER_COUNTS: DriverCounts = {
  added: 0,
  reclaimed: 0,
  publishes: 0,
  doorbells: 0,
  tableTakes: 0,
  tableHits: 0,
  heapFalls: 0,
  directFalls: 0,
  localTakes: 0,
  remoteTakes: 0,
  liveTables: 0,
  highWater: 0,
  clampedLengths: 0,
};

export abstract class DriverModel {
  readonly ring: Ring;
  readonly world: World;
  readonly image: Image;
  readonly counts: DriverCounts;
  readonly choices: DriverChoices;
  readonly cover: Coverage;
  state: State = "live";
  violation: Fault | null = null;
  refusal: Fault | null = null;
  node = 0;
  numFree: number;
  /** Added and not given back, oldest first; those at the end may be unpublished. */
  readonly outstanding = new Set<Buffer>();
  unpublished: Buffer[] = [];
  /** What the device can see: buffers by the name that it knows, and the owner of each ring entry. */
  readonly visible = new Map<number, Buffer>();
  readonly owned = new Map<number, Buffer>();
  /** Used buffers that are known of, but not asked for yet. */
  protected ready: { buffer: Buffer; len: number }[] = [];

  constructor(
    ring: Ring,
    world: World,
    image: Image,
    counts: DriverCounts,
    choices: DriverChoices,
    cover: Coverage,
  ) {
    this.ring = ring;
    this.world = world;
    this.image = image;
    this.counts = counts;
    this.choices = choices;
    this.cover = cover;
    this.numFree = ring.size;
  }

  /** How many of `given` fit, up to the first that breaks a rule. */
  add(given: readonly Given[]): number {
    this.refusal = null;
    if (this.state !== "live") return 0;
    let done = 0;
    for (const one of given) {
      const fault = this.#addOne(one);
      if (fault === "full") {
        this.cover.hit("ring full");
        break;
      }
      if (fault !== 0) {
        this.refusal = { code: fault, index: done };
        if (done > 0) this.cover.hit("a bad record inside a burst");
        break;
      }
      done++;
    }
    this.counts.added += done;
    return done;
  }

  #addOne(given: Given): number | "full" {
    const { elements, announced } = given;
    if (announced === 0) return abi.R_EMPTY_BUFFER;
    if (announced > this.ring.size) return abi.R_TOO_MANY_SGS;
    if (sum(elements) > BYTES_LIMIT) return abi.R_BUFFER_BYTES;
    const layout = this.choices.layout(given, this.numFree);
    if (layout === "full") return "full";
    const slots = layout.direct + (layout.inTable > 0 ? 1 : 0);
    if (sum(elements) === BYTES_LIMIT) this.cover.hit("a buffer of exactly 2^32 bytes");
    const capacity = Math.min(sum(elements, true), BYTES_LIMIT - 1);
    const buffer = { ...given, ...layout, slots, capacity, id: -1, entries: [], table: 0, written: null };
    this.numFree -= slots;
    this.outstanding.add(buffer);
    this.unpublished.push(buffer);
    this.#count(layout);
    return 0;
  }

  #count({ origin, fell, inTable, direct }: Layout): void {
    const { counts, cover, ring } = this;
    cover.hit(
      `${ring.format} ${inTable === 0 ? "direct" : direct === 0 ? "indirect" : "direct, then indirect"}`,
    );
    if (fell) {
      counts.directFalls++;
      cover.hit("falls to direct");
    }
    if (origin === null) return;
    counts.tableTakes++;
    counts.liveTables++;
    counts.highWater = Math.max(counts.highWater, counts.liveTables);
    if (!origin.missed) counts.tableHits++;
    if (origin.fell) counts.heapFalls++;
    // Every table lies on node 0, except those that are kept for a node.
    const nodeOfTable = origin.kind === "listed" ? origin.node : 0;
    if (nodeOfTable === this.node) counts.localTakes++;
    else counts.remoteTakes++;
  }

  /** Shows the device what was added; whether it is to be kicked. */
  publish(): boolean {
    if (this.state !== "live") return false;
    this.showAll();
    if (!this.world.driverOk || this.world.needsReset) return false;
    const kick = this.wantsKick();
    if (kick) this.counts.doorbells++;
    return kick;
  }

  protected showAll(): void {
    for (const buffer of this.unpublished) {
      this.show(buffer);
      must(!this.visible.has(buffer.id), `buffer id ${buffer.id} is outstanding already`);
      this.visible.set(buffer.id, buffer);
    }
    if (this.unpublished.length > 0) this.counts.publishes++;
    if (this.unpublished.length > 1) this.cover.hit("batches published");
    this.unpublished = [];
    this.expose();
  }

  /** Writes a buffer, and everything of it but what makes the device look. */
  protected abstract show(buffer: Buffer): void;
  protected abstract expose(): void;
  protected abstract wantsKick(): boolean;

  /** Takes an entry of the ring that nobody owns. */
  protected own(buffer: Buffer, entry: number): void {
    must(entry < this.ring.size, `ring entry ${entry} is not below ${this.ring.size}`);
    must(!this.owned.has(entry), `ring entry ${entry} belongs to a buffer that the device has`);
    this.owned.set(entry, buffer);
  }

  protected writeTable(
    buffer: Buffer,
    flagsOfEntry: (k: number, entries: number[]) => [number, number],
  ): void {
    const entries = this.choices.order(buffer.inTable);
    buffer.elements.slice(buffer.direct).forEach((element, k) => {
      const at = buffer.table + 16 * entries[k];
      const [twelve, fourteen] = flagsOfEntry(k, entries);
      this.image.setU64(at, this.image.bus(element.ptr));
      this.image.setU32(at + 8, element.bytes);
      this.image.setU16(at + 12, twelve);
      this.image.setU16(at + 14, fourteen);
    });
  }

  /** Takes back up to `max` used buffers; what was added is shown first. */
  reclaim(max: number): Completion[] {
    if (this.state !== "live") return [];
    // A device that names a buffer which it has not seen must not get back what is shown later.
    if (this.unpublished.length > 0) this.cover.hit("shown by a reclaim");
    this.showAll();
    const back: Completion[] = [];
    let fault = this.refusesUsed();
    while (fault === null && back.length < max) {
      if (this.ready.length === 0) {
        fault = this.look();
        if (fault !== null || this.ready.length === 0) break;
      }
      const { buffer, len } = this.ready.splice(0, 1)[0];
      if (this.ready.length > 0 && back.length + 1 === max) this.cover.hit("a batch reclaimed in parts");
      back.push(this.#giveBack(buffer, len));
    }
    if (fault !== null) {
      this.state = "broken";
      this.violation = fault;
    }
    this.counts.reclaimed += back.length;
    return back;
  }

  #giveBack(buffer: Buffer, claimed: number): Completion {
    let len = claimed;
    if (len > buffer.capacity) {
      len = buffer.capacity;
      this.counts.clampedLengths++;
    }
    if (buffer.written !== null) {
      must(
        len === buffer.written,
        `token ${buffer.token}: ${len} bytes came back, ${buffer.written} were written`,
      );
    }
    this.visible.delete(buffer.id);
    for (const entry of this.freed(buffer)) this.owned.delete(entry);
    this.outstanding.delete(buffer);
    this.numFree += buffer.slots;
    if (buffer.origin !== null) this.counts.liveTables--;
    this.choices.give(buffer);
    this.advance(buffer);
    return { token: buffer.token, len };
  }

  /** What is wrong with the used ring as a whole. */
  protected abstract refusesUsed(): Fault | null;
  /** Looks for the next used element, and adds its buffers to `ready`. */
  protected abstract look(): Fault | null;
  /** The ring entries that a buffer frees when it is given back. */
  protected abstract freed(buffer: Buffer): number[];
  /** Steps over a buffer that is given back. */
  protected abstract advance(buffer: Buffer): void;

  /** In order, an element stands for every buffer from the oldest to the one that it names, at most `most`. */
  protected batch(id: number, most: number): Buffer[] | null {
    const batch: Buffer[] = [];
    for (const buffer of this.outstanding) {
      if (batch.length === most) return null;
      batch.push(buffer);
      if (buffer.id === id) {
        if (batch.length > 1) this.cover.hit("in-order batches");
        return batch;
      }
    }
    return null;
  }

  protected isReady(batch: Buffer[], len: number): void {
    batch.forEach((buffer, k) => {
      const last = k + 1 === batch.length;
      this.ready.push({ buffer, len: last ? len : buffer.capacity });
    });
  }

  /** Asks for an interrupt; whether there is work already. */
  abstract arm(after: number): boolean;
  abstract suppress(): void;
  /** The upper half of a kick under NOTIFICATION_DATA. */
  abstract get notificationData(): number;

  /** The tokens of a stopped queue, whose tables go back. */
  detach(): number[] {
    const tokens = [...this.outstanding].map((buffer) => {
      this.choices.give(buffer);
      return buffer.token;
    });
    this.outstanding.clear();
    this.counts.liveTables = 0;
    return tokens;
  }

  /** Continues an idle queue after `count` buffers of one element. */
  abstract skip(count: number): void;
}
