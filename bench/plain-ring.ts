/**
 * A split ring in plain typed arrays: the honest alternative to WebAssembly. The same algorithm, the same
 * records and the same checks as assembly/ring/split-driver.ts and split-device.ts with EVENT_IDX, tables from
 * a free list or none, and nothing in the hot path that allocates.
 *
 * What it leaves out: IN_ORDER, flag suppression, the other table sources, address spaces (a bus address is a
 * place in the buffer) and indirect tables that are not aligned to 4 bytes, which no typed array can read.
 */
import * as abi from "../assembly/abi.ts";
import * as spec from "../assembly/spec.ts";

/** Where the parts of the ring lie in its buffer, in bytes; all are multiples of 16. */
export interface PlainRingPlaces {
  /** Ring memory, which both halves share (2.7), and the tables: `size` of `threshold` entries each. */
  desc: number;
  avail: number;
  used: number;
  tables: number;
  /** Private: 16 bytes a descriptor for the driver, 8 for the device, and 4 for the list of free tables. */
  driverRecords: number;
  deviceRecords: number;
  freeTables: number;
  /** First byte, and bytes, of what the device half may reach: bus addresses outside are refused. */
  windowBase: number;
  windowBytes: number;
}

export interface PlainRingOptions {
  buffer: ArrayBuffer;
  places: PlainRingPlaces;
  /** Entries of the ring: a power of two. */
  size: number;
  /** `freelist` takes a table for every buffer of at most `threshold` elements, `direct` for none. */
  tables: "freelist" | "direct";
  threshold: number;
  /** Upper half of the handles, counted up at each reset: a completion from before it is refused. Default 1. */
  generation?: number;
}

export interface PlainRingCounters {
  added: number;
  reclaimed: number;
  popped: number;
  used: number;
  doorbells: number;
  interrupts: number;
  tableTakes: number;
  directFalls: number;
  highWater: number;
  clampedLengths: number;
}

// A driver's record, one for each descriptor, as words: token (in the last descriptor of a direct chain the chain's
// length instead), capacity, table, and in the last one the free list's next in the low half and the last descriptor
// of the chain that starts here, or NOT_A_HEAD, in the high half. A device's record: capacity, and 1 while in flight.

/** One writable element, in the count of both kinds. */
const WRITABLE = 1 << 16;
const NOT_A_HEAD = 0xffff;
const MAX_BYTES = 2 ** 32;
const NEXT = spec.VIRTQ_DESC_F_NEXT;
const WRITE = spec.VIRTQ_DESC_F_WRITE;
const INDIRECT = spec.VIRTQ_DESC_F_INDIRECT;

/** Both halves of one split queue. Staged records are those of assembly/abi.ts; `ptr`s are in bytes. */
export class PlainRing {
  readonly size: number;
  readonly counters: PlainRingCounters = {
    added: 0,
    reclaimed: 0,
    popped: 0,
    used: 0,
    doorbells: 0,
    interrupts: 0,
    tableTakes: 0,
    directFalls: 0,
    highWater: 0,
    clampedLengths: 0,
  };
  /** Why a half is broken (E_*) and where, and why the last burst stopped (R_*) and at which record. */
  driverError = 0;
  deviceError = 0;
  errorIndex = 0;
  refusal = 0;
  refusalIndex = 0;
  /** One past the last staged record that the last burst read or wrote. */
  cursor = 0;
  /** Buffers that the device has, and descriptors that are free. */
  outstanding = 0;
  numFree: number;

  readonly #words: Int32Array;
  readonly #halves: Uint16Array;
  // Places as indices: of words, or of halves where a field has 16 bits.
  readonly #desc: number;
  readonly #availIdx16: number;
  readonly #availRing16: number;
  readonly #usedEvent16: number;
  readonly #usedIdx16: number;
  readonly #usedRing: number;
  readonly #availEvent16: number;
  readonly #driverRecords: number;
  readonly #deviceRecords: number;
  readonly #freeTables: number;
  readonly #windowBase: number;
  readonly #windowBytes: number;
  /** Most elements that take a table; 0 for direct. */
  readonly #threshold: number;
  readonly #generation: number;

  #freeHead = 0;
  #freeTableCount = 0;
  #availIdx = 0;
  #published = 0;
  #kickIdx = 0;
  #lastUsed = 0;
  #lastAvail = 0;
  #usedIdx = 0;
  #usedPublished = 0;
  #interruptIdx = 0;

  constructor({ buffer, places, size, tables, threshold, generation = 1 }: PlainRingOptions) {
    if (size < 1 || size > spec.VIRTQ_MAX_SIZE || (size & (size - 1)) !== 0) {
      throw new RangeError(`size is ${size}, but a split ring has a power of two from 1 to 32768 (S-B-02)`);
    }
    this.size = size;
    this.numFree = size;
    this.#words = new Int32Array(buffer);
    this.#halves = new Uint16Array(buffer);
    this.#desc = places.desc >>> 2;
    this.#availIdx16 = (places.avail >>> 1) + 1;
    this.#availRing16 = (places.avail >>> 1) + 2;
    this.#usedEvent16 = this.#availRing16 + size;
    this.#usedIdx16 = (places.used >>> 1) + 1;
    this.#usedRing = (places.used >>> 2) + 1;
    this.#availEvent16 = (places.used >>> 1) + 2 + 4 * size;
    this.#driverRecords = places.driverRecords >>> 2;
    this.#deviceRecords = places.deviceRecords >>> 2;
    this.#freeTables = places.freeTables >>> 2;
    this.#windowBase = places.windowBase;
    this.#windowBytes = places.windowBytes;
    this.#generation = generation << 16;
    this.#threshold = tables === "direct" ? 0 : threshold;
    for (let i = 0; i < size; i++) {
      this.#words[this.#driverRecords + 4 * i + 3] = ((i + 1) & (size - 1)) | (NOT_A_HEAD << 16);
    }
    if (tables === "direct") return;
    for (let i = size - 1; i >= 0; i--) {
      this.#words[this.#freeTables + this.#freeTableCount++] = places.tables + i * threshold * 16;
    }
  }

  /** Adds up to `count` buffers staged at `stream` without publishing them; how many. */
  add(stream: number, count: number): number {
    const words = this.#words;
    const halves = this.#halves;
    const size = this.size;
    const mask = size - 1;
    const desc = this.#desc;
    const records = this.#driverRecords;
    const ring = this.#availRing16;
    const threshold = this.#threshold;
    const freeTables = this.#freeTables;
    let freeTableCount = this.#freeTableCount;
    let freeHead = this.#freeHead;
    let numFree = this.numFree;
    let at = stream >>> 2;
    this.refusal = 0;
    if (this.driverError !== 0) return 0;

    const first = this.#availIdx;
    const last = first + count;
    let availIdx = first;
    for (; availIdx !== last; availIdx++) {
      const counts = words[at + 1];
      const readable = counts & 0xffff;
      const n = readable + (counts >>> 16);
      if ((n - 1) >>> 0 >= size) {
        this.#refuse(n === 0 ? abi.R_EMPTY_BUFFER : abi.R_TOO_MANY_SGS, availIdx - first);
        break;
      }
      const firstWritable = at + 2 + (readable << 1);
      const end = at + 2 + (n << 1);
      const head = freeHead;
      const record = records + (head << 2);
      let table = 0;
      if (n <= threshold && freeTableCount > 0 && numFree > 0) {
        table = words[freeTables + freeTableCount - 1];
      } else if (numFree < n) {
        break;
      }

      // What is written here is in free descriptors and in a free table, which nobody reads before they are taken.
      let sg = at + 2;
      let readableBytes = 0;
      let capacity = 0;
      const link = words[record + 3] & 0xffff;
      let tail = head;
      let next = link;
      if (table !== 0) {
        let entry = table >>> 2;
        let flags = NEXT | (1 << 16);
        for (; sg < firstWritable; sg += 2, entry += 4, flags += 1 << 16) {
          const len = words[sg + 1];
          words[entry] = words[sg];
          words[entry + 1] = 0;
          words[entry + 2] = len;
          words[entry + 3] = flags;
          readableBytes += len >>> 0;
        }
        flags |= WRITE;
        for (; sg < end; sg += 2, entry += 4, flags += 1 << 16) {
          const len = words[sg + 1];
          words[entry] = words[sg];
          words[entry + 1] = 0;
          words[entry + 2] = len;
          words[entry + 3] = flags;
          capacity += len >>> 0;
        }
        words[entry - 1] &= WRITE;
        const slot = desc + (head << 2);
        words[slot] = table;
        words[slot + 1] = 0;
        words[slot + 2] = n << 4;
        words[slot + 3] = INDIRECT;
      } else {
        let slot = 0;
        next = head;
        for (; sg < firstWritable; sg += 2) {
          const len = words[sg + 1];
          tail = next;
          slot = desc + (tail << 2);
          next = words[records + (tail << 2) + 3] & 0xffff;
          words[slot] = words[sg];
          words[slot + 1] = 0;
          words[slot + 2] = len;
          words[slot + 3] = NEXT | (next << 16);
          readableBytes += len >>> 0;
        }
        for (; sg < end; sg += 2) {
          const len = words[sg + 1];
          tail = next;
          slot = desc + (tail << 2);
          next = words[records + (tail << 2) + 3] & 0xffff;
          words[slot] = words[sg];
          words[slot + 1] = 0;
          words[slot + 2] = len;
          words[slot + 3] = NEXT | WRITE | (next << 16);
          capacity += len >>> 0;
        }
        words[slot + 3] &= ~NEXT;
      }
      if (tooMany(readableBytes + capacity)) {
        this.#refuse(abi.R_BUFFER_BYTES, availIdx - first);
        break;
      }
      if (table !== 0) {
        freeTableCount--;
        numFree--;
      } else {
        if (n <= threshold) this.counters.directFalls++;
        words[records + (tail << 2)] = n;
        numFree -= n;
      }
      freeHead = next;
      // A chain of one is told by tail === head, so the token may overwrite the length.
      words[record] = words[at];
      words[record + 1] = saturate(capacity);
      words[record + 2] = table;
      words[record + 3] = link | (tail << 16);
      halves[ring + (availIdx & mask)] = head;
      at = end;
    }

    this.#freeHead = freeHead;
    this.counters.tableTakes += this.#freeTableCount - freeTableCount;
    this.#freeTableCount = freeTableCount;
    this.numFree = numFree;
    this.#availIdx = availIdx & 0xffff;
    this.cursor = at << 2;
    const done = availIdx - first;
    this.outstanding += done;
    this.counters.added += done;
    if (threshold > 0) {
      const live = size - freeTableCount;
      if (live > this.counters.highWater) this.counters.highWater = live;
    }
    return done;
  }

  /** Shows the device what was added; whether it wants a kick. */
  publish(): boolean {
    if (this.driverError !== 0) return false;
    const now = this.#availIdx;
    if (now !== this.#published) {
      this.#halves[this.#availIdx16] = now;
      this.#published = now;
    }
    if (this.deviceError !== 0) return false;
    const event = this.#halves[this.#availEvent16];
    const kick = ((now - 1 - event) & 0xffff) < ((now - this.#kickIdx) & 0xffff);
    this.#kickIdx = now;
    if (kick) this.counters.doorbells++;
    return kick;
  }

  /** Asks for an interrupt at the next used buffer; whether there is one already. */
  armDriver(): boolean {
    this.#halves[this.#usedEvent16] = this.#lastUsed;
    return this.#halves[this.#usedIdx16] !== this.#lastUsed;
  }

  /** Takes back up to `max` used buffers as {token, len} records at `out`; how many. */
  reclaim(out: number, max: number): number {
    if (this.driverError !== 0) return 0;
    const words = this.#words;
    const halves = this.#halves;
    const size = this.size;
    const mask = size - 1;
    const records = this.#driverRecords;
    const ring = this.#usedRing;
    const freeTables = this.#freeTables;
    let lastUsed = this.#lastUsed;
    const pending = (halves[this.#usedIdx16] - lastUsed) & 0xffff;
    if (pending > this.outstanding) {
      this.#breakDriver(abi.E_USED_IDX, lastUsed);
      return 0;
    }
    if (max > pending) max = pending;
    let freeTableCount = this.#freeTableCount;
    let freeHead = this.#freeHead;
    let numFree = this.numFree;
    let clamped = 0;
    let at = out >>> 2;

    let done = 0;
    for (; done < max; done++) {
      const element = ring + ((lastUsed & mask) << 1);
      const id = words[element];
      let len = words[element + 1];
      if (id >>> 0 >= size) {
        this.#breakDriver(abi.E_USED_ID_RANGE, id);
        break;
      }
      const record = records + (id << 2);
      const last = words[record + 3] >>> 16;
      if (last === NOT_A_HEAD) {
        this.#breakDriver(abi.E_USED_ID_NOT_OUTSTANDING, id);
        break;
      }
      const capacity = words[record + 1];
      if (len >>> 0 > capacity >>> 0) {
        len = capacity;
        clamped++;
      }
      words[at] = words[record];
      words[at + 1] = len;
      at += 2;
      const table = words[record + 2];
      if (table !== 0) words[freeTables + freeTableCount++] = table;
      if (last === id) {
        words[record + 3] = freeHead | (NOT_A_HEAD << 16);
        numFree++;
      } else {
        const tail = records + (last << 2);
        words[record + 3] |= NOT_A_HEAD << 16;
        words[tail + 3] = freeHead | (NOT_A_HEAD << 16);
        numFree += words[tail];
      }
      freeHead = id;
      lastUsed++;
    }

    this.#freeHead = freeHead;
    this.#freeTableCount = freeTableCount;
    this.numFree = numFree;
    this.#lastUsed = lastUsed & 0xffff;
    this.cursor = at << 2;
    this.outstanding -= done;
    this.counters.reclaimed += done;
    this.counters.clampedLengths += clamped;
    return done;
  }

  /** Pops up to `max` buffers as records at [out, out + bytes), each where a buffer of `size` elements would fit; how many. */
  pop(out: number, bytes: number, max: number): number {
    this.refusal = 0;
    if (this.deviceError !== 0) return 0;
    const words = this.#words;
    const halves = this.#halves;
    const size = this.size;
    const mask = size - 1;
    const ring = this.#availRing16;
    let lastAvail = this.#lastAvail;
    const pending = (halves[this.#availIdx16] - lastAvail) & 0xffff;
    if (pending > size) {
      this.#breakDevice(abi.E_AVAIL_IDX, lastAvail);
      return 0;
    }
    if (max > pending) max = pending;
    const desc = this.#desc;
    const records = this.#deviceRecords;
    const base = this.#windowBase;
    const length = this.#windowBytes;
    const indirect = this.#threshold > 0;
    const generation = this.#generation;
    const end = ((out + bytes) >>> 2) - 4 - 2 * size;
    let at = out >>> 2;
    let error = 0;
    let errorIndex = 0;

    let done = 0;
    for (; done < max; done++) {
      const head = halves[ring + (lastAvail & mask)];
      errorIndex = head;
      if (head >= size) {
        error = abi.E_HEAD_RANGE;
        break;
      }
      const record = records + (head << 1);
      if (words[record + 1] !== 0) {
        error = abi.E_HEAD_IN_FLIGHT;
        break;
      }
      if (at > end) {
        error = abi.R_STAGING_SIZE;
        break;
      }

      // The bound is set here, and nothing in the chain, a table least of all, sets it again.
      let budget = size;
      let table = desc;
      let limit = size;
      let nested = false;
      let entry = desc + (head << 2);
      let segment = at + 4;
      // Readable elements in the low half, writable ones in the high half.
      let elements = 0;
      let total = 0;
      let readableBytes = 0;
      for (;;) {
        const addr = words[entry];
        const high = words[entry + 1];
        const len = words[entry + 2];
        const flagsAndNext = words[entry + 3];
        const from = (addr - base) >>> 0;
        if ((flagsAndNext & INDIRECT) !== 0) {
          error = indirectError(indirect, flagsAndNext, nested, len, size);
          if (error !== 0) break;
          if (high !== 0 || from > length || len > length - from || (addr & 3) !== 0) {
            error = abi.E_TABLE_ADDRESS;
            break;
          }
          table = addr >>> 2;
          limit = len >>> 4;
          nested = true;
          entry = table;
          continue;
        }
        if (budget === 0) {
          error = abi.E_CHAIN_TOO_LONG;
          break;
        }
        budget--;
        if (len !== 0) {
          if (high !== 0 || from > length || len >>> 0 > length - from) {
            error = abi.E_BUFFER_ADDRESS;
            break;
          }
          total += len >>> 0;
          if ((flagsAndNext & WRITE) !== 0) {
            elements += WRITABLE;
          } else {
            if (elements >= WRITABLE) {
              error = abi.E_READABLE_AFTER_WRITABLE;
              break;
            }
            elements++;
            readableBytes = total;
          }
          words[segment] = addr;
          words[segment + 1] = len;
          segment += 2;
        }
        if ((flagsAndNext & NEXT) === 0) break;
        const next = flagsAndNext >>> 16;
        if (next >= limit) {
          error = abi.E_NEXT_RANGE;
          break;
        }
        entry = table + (next << 2);
      }
      if (error !== 0) break;
      if (tooMany(total)) {
        error = abi.E_CHAIN_BYTES;
        break;
      }
      const capacity = saturate(total - readableBytes);
      words[record] = capacity;
      words[record + 1] = 1;
      words[at] = head | generation;
      words[at + 1] = elements;
      words[at + 2] = readableBytes;
      words[at + 3] = capacity;
      at = segment;
      lastAvail++;
    }

    this.#lastAvail = lastAvail & 0xffff;
    this.cursor = at << 2;
    this.counters.popped += done;
    if (error === abi.R_STAGING_SIZE) {
      if (done === 0) this.#refuse(abi.R_STAGING_SIZE, errorIndex);
    } else if (error !== 0) {
      this.#breakDevice(error, errorIndex);
    }
    return done;
  }

  /** Marks `count` popped buffers at `popped` used, each with its whole writable capacity; how many. */
  markAllUsed(popped: number, count: number): number {
    this.refusal = 0;
    if (this.deviceError !== 0) return 0;
    const words = this.#words;
    const size = this.size;
    const mask = size - 1;
    const records = this.#deviceRecords;
    const ring = this.#usedRing;
    const generation = this.#generation;
    let usedIdx = this.#usedIdx;
    let at = popped >>> 2;
    let done = 0;
    for (; done < count; done++) {
      const handle = words[at];
      const counts = words[at + 1];
      const len = words[at + 3];
      const head = handle & 0xffff;
      const record = records + (head << 1);
      if ((handle ^ head) !== generation || head >= size || words[record + 1] === 0) {
        this.#refuse(abi.R_NOT_IN_FLIGHT, done);
        break;
      }
      if (len >>> 0 > words[record] >>> 0) {
        this.#refuse(abi.R_LEN_OVER_CAPACITY, done);
        break;
      }
      words[record + 1] = 0;
      const element = ring + ((usedIdx & mask) << 1);
      words[element] = head;
      words[element + 1] = len;
      usedIdx++;
      at += 4 + (((counts & 0xffff) + (counts >>> 16)) << 1);
    }
    this.#usedIdx = usedIdx & 0xffff;
    this.cursor = at << 2;
    this.counters.used += done;
    return done;
  }

  /** Shows the driver what was used; whether it wants an interrupt. */
  publishUsed(): boolean {
    if (this.deviceError !== 0) return false;
    const now = this.#usedIdx;
    if (now !== this.#usedPublished) {
      this.#halves[this.#usedIdx16] = now;
      this.#usedPublished = now;
    }
    const event = this.#halves[this.#usedEvent16];
    const interrupt = ((now - 1 - event) & 0xffff) < ((now - this.#interruptIdx) & 0xffff);
    this.#interruptIdx = now;
    if (interrupt) this.counters.interrupts++;
    return interrupt;
  }

  /** Asks for a kick at the next available buffer; whether there is one already. */
  armDevice(): boolean {
    this.#halves[this.#availEvent16] = this.#lastAvail;
    return this.#halves[this.#availIdx16] !== this.#lastAvail;
  }

  /** Free tables, counted in their list. */
  get tablesListed(): number {
    return this.#freeTableCount;
  }

  #refuse(refusal: number, index: number): void {
    this.refusal = refusal;
    this.refusalIndex = index;
  }

  #breakDriver(error: number, index: number): void {
    this.driverError = error;
    this.errorIndex = index >>> 0;
  }

  #breakDevice(error: number, index: number): void {
    this.deviceError = error;
    this.errorIndex = index;
  }
}

/** Whether a buffer has more than 4 GiB; the first comparison is all that small ones take, and it is one of integers. */
function tooMany(bytes: number): boolean {
  return bytes > 0x7fffffff && bytes > MAX_BYTES;
}

/** A capacity as a word: 4 GiB count as one byte less. */
function saturate(bytes: number): number {
  return bytes > 0x7fffffff && bytes >= MAX_BYTES ? -1 : bytes;
}

/** What is wrong with a descriptor that refers to a table, besides where the table lies. */
function indirectError(
  negotiated: boolean,
  flags: number,
  nested: boolean,
  len: number,
  size: number,
): number {
  if (!negotiated) return abi.E_INDIRECT_NOT_NEGOTIATED;
  if (nested) return abi.E_NESTED_INDIRECT;
  if ((flags & NEXT) !== 0) return abi.E_INDIRECT_WITH_NEXT;
  if (len === 0 || (len & 15) !== 0 || len >>> 4 > size) return abi.E_TABLE_LENGTH;
  return abi.OK;
}

/** Where a burst's records are staged, in bytes. */
export interface PlainStaging {
  popped: number;
  poppedBytes: number;
  reclaimed: number;
}

/** Drives `count` buffers staged at `stream` through the ring, as the engine's splitLoop does; how many came back. */
export function plainLoop(
  ring: PlainRing,
  stream: number,
  count: number,
  batch: number,
  staging: PlainStaging,
): number {
  const { popped, poppedBytes, reclaimed } = staging;
  let added = 0;
  let back = 0;
  while (back < count) {
    const now = ring.add(stream, Math.min(batch, count - added));
    stream = ring.cursor;
    added += now;
    ring.publish();
    const got = ring.pop(popped, poppedBytes, batch);
    ring.armDevice();
    ring.markAllUsed(popped, got);
    ring.publishUsed();
    const done = ring.reclaim(reclaimed, batch);
    ring.armDriver();
    back += done;
    // Nothing moved: a broken ring, or a buffer that never fits. The caller sees it in the count.
    if (now === 0 && got === 0 && done === 0) break;
  }
  return back;
}
