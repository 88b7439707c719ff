/**
 * What a burst has to give, said slowly and only from the words that the engine loaded: each is
 * handed out once, so a result that needs a word twice, or a word that was loaded and not needed,
 * is a difference (H-V-06). Whatever the peer does meanwhile, the result follows from one look.
 */
import { AVAIL, type PackedPlaces, USED } from "../support/raw-packed.ts";
import { INDIRECT, NEXT, type SplitPlaces, WRITE } from "../support/raw-split.ts";
import type { Access } from "../support/trace.ts";

/** What was loaded of shared memory, handed out byte by byte, in order, place by place. */
export class Looks {
  readonly #byPlace = new Map<number, bigint[]>();

  constructor(loads: readonly Access[]) {
    for (const { ptr, bytes, value } of loads) {
      for (let k = 0; k < bytes; k++) {
        const byte = (value >> BigInt(8 * k)) & 0xffn;
        const at = this.#byPlace.get(ptr + k);
        if (at === undefined) this.#byPlace.set(ptr + k, [byte]);
        else at.push(byte);
      }
    }
  }

  take(ptr: number, bytes: number): bigint {
    let value = 0n;
    for (let k = bytes - 1; k >= 0; k--) {
      const byte = this.#byPlace.get(ptr + k)?.shift();
      if (byte === undefined) throw new Error(`the byte at ${ptr + k} was not loaded, or not so often`);
      value = (value << 8n) | byte;
    }
    return value;
  }

  /** Hands out bytes that mean nothing here, if they were loaded. */
  skip(ptr: number, bytes: number): void {
    for (let k = 0; k < bytes; k++) this.#byPlace.get(ptr + k)?.shift();
  }

  /** Bytes that were loaded and that nobody needed. */
  get left(): number {
    let left = 0;
    for (const { length } of this.#byPlace.values()) left += length;
    return left;
  }
}

export interface DeviceView {
  size: number;
  maxChain: number;
  indirect: boolean;
  window: { base: bigint; length: bigint; offset: number };
}

export interface WalkedSegment {
  ptr: number;
  bytes: number;
  write: boolean;
}

export interface WalkedBuffer {
  /** Head, or buffer id. */
  id: number;
  slots: number;
  segments: WalkedSegment[];
}

/** Buffers from before the fault, and what the fault may be called; no name when there is none. */
export interface Walked {
  buffers: WalkedBuffer[];
  faults: string[];
}

/** One descriptor of either format. */
interface Descriptor {
  addr: bigint;
  len: bigint;
  /** Packed: id. */
  third: number;
  /** Packed: flags. Split has flags third and next last. */
  fourth: number;
}

function descriptor(looks: Looks, ptr: number): Descriptor {
  return split(looks.take(ptr, 8), looks.take(ptr + 8, 8));
}

function split(addr: bigint, high: bigint): Descriptor {
  return {
    addr,
    len: high & 0xffff_ffffn,
    third: Number((high >> 32n) & 0xffffn),
    fourth: Number(high >> 48n),
  };
}

class Chain {
  readonly segments: WalkedSegment[] = [];
  elements = 0;
  total = 0n;
  readonly #view: DeviceView;

  constructor(view: DeviceView) {
    this.#view = view;
  }

  inWindow(addr: bigint, len: bigint): boolean {
    const { base, length } = this.#view.window;
    return addr >= base && addr + len <= base + length;
  }

  place(addr: bigint): number {
    const { base, offset } = this.#view.window;
    return Number(addr - base) + offset;
  }

  /** Takes an element; what is wrong with it. */
  add(addr: bigint, len: bigint, write: boolean): string[] {
    const faults: string[] = [];
    this.elements++;
    if (len === 0n) return faults;
    if (!this.inWindow(addr, len)) faults.push("buffer-address");
    if (!write && this.segments.some((segment) => segment.write)) faults.push("readable-after-writable");
    this.total += len;
    this.segments.push({ ptr: this.place(addr), bytes: Number(len), write });
    return faults;
  }

  tableFaults(addr: bigint, len: bigint): string[] {
    const faults: string[] = [];
    if (!this.#view.indirect) faults.push("indirect-not-negotiated");
    if (len === 0n || len % 16n !== 0n || len > BigInt(16 * this.#view.size)) faults.push("table-length");
    if (!this.inWindow(addr, len)) faults.push("table-address");
    return faults;
  }

  get bytesFaults(): string[] {
    return this.total > 1n << 32n ? ["chain-bytes"] : [];
  }
}

/** Up to `max` buffers of an available ring (2.7.5, 2.7.6), from index `from`. */
export function walkSplit(
  looks: Looks,
  view: DeviceView,
  places: SplitPlaces,
  from: number,
  inFlight: ReadonlySet<number>,
  max: number,
): Walked {
  const busy = new Set(inFlight);
  const buffers: WalkedBuffer[] = [];
  const pending = (Number(looks.take(places.avail + 2, 2)) - from) & 0xffff;
  if (pending > view.size) return { buffers, faults: ["avail-idx-jump"] };
  for (let k = 0; k < Math.min(max, pending); k++) {
    const head = Number(looks.take(places.avail + 4 + 2 * ((from + k) % view.size), 2));
    if (head >= view.size) return { buffers, faults: ["head-out-of-range"] };
    if (busy.has(head)) return { buffers, faults: ["head-in-flight"] };
    const chain = new Chain(view);
    const faults = walkChain(looks, view, places, head, chain);
    if (faults.length > 0) return { buffers, faults };
    busy.add(head);
    buffers.push({ id: head, slots: 1, segments: chain.segments });
  }
  return { buffers, faults: [] };
}

function walkChain(
  looks: Looks,
  view: DeviceView,
  places: SplitPlaces,
  head: number,
  chain: Chain,
): string[] {
  let table = places.desc;
  let entries = view.size;
  let nested = false;
  let index = head;
  for (;;) {
    const { addr, len, third: flags, fourth: next } = descriptor(looks, table + 16 * index);
    if (flags & INDIRECT) {
      const faults = chain.tableFaults(addr, len);
      if (nested) faults.push("nested-indirect");
      if (flags & NEXT) faults.push("indirect-with-next");
      if (faults.length > 0) return faults;
      table = chain.place(addr);
      entries = Number(len) / 16;
      nested = true;
      index = 0;
      continue;
    }
    const faults = chain.add(addr, len, (flags & WRITE) !== 0);
    if (flags & NEXT) {
      // Whatever comes next, a table or an element, would be one too many.
      if (chain.elements === view.maxChain) faults.push("chain-too-long");
      if (next >= entries) faults.push("next-out-of-range");
    }
    if (faults.length > 0) return faults;
    if (!(flags & NEXT)) return chain.bytesFaults;
    index = next;
  }
}

/** Up to `max` buffers of a packed ring (2.8), from a slot and its lap, with so many slots in flight. */
export function walkPacked(
  looks: Looks,
  view: DeviceView,
  places: PackedPlaces,
  from: { slot: number; wrap: number },
  slotsInFlight: number,
  max: number,
): Walked {
  const buffers: WalkedBuffer[] = [];
  let { slot, wrap } = from;
  let busy = slotsInFlight;
  const word = (): bigint => looks.take(places.desc + 16 * slot + 8, 8);
  const addr = (): bigint => looks.take(places.desc + 16 * slot, 8);
  const step = (): void => {
    slot++;
    if (slot === view.size) {
      slot = 0;
      wrap ^= 1;
    }
  };
  while (buffers.length < Math.min(max, view.size)) {
    const high = word();
    if ((Number(high >> 48n) & (AVAIL | USED)) !== (wrap ? AVAIL : USED)) break;
    if (busy >= view.size) return { buffers, faults: ["ring-overrun"] };
    const chain = new Chain(view);
    let slots = 1;
    let one = split(addr(), high);
    if (one.fourth & INDIRECT) {
      const faults = walkPackedTable(looks, view, one, chain);
      if (faults.length > 0) return { buffers, faults };
    } else {
      for (;;) {
        const faults = chain.add(one.addr, one.len, (one.fourth & WRITE) !== 0);
        if (one.fourth & NEXT) {
          if (slots === view.maxChain) faults.push("chain-too-long");
          if (busy + slots >= view.size) faults.push("ring-overrun");
        }
        if (faults.length > 0) return { buffers, faults };
        if (!(one.fourth & NEXT)) break;
        step();
        slots++;
        const next = word();
        one = split(addr(), next);
        if (one.fourth & INDIRECT) return { buffers, faults: ["indirect-in-list"] };
      }
    }
    const faults = chain.bytesFaults;
    if (faults.length > 0) return { buffers, faults };
    step();
    busy += slots;
    buffers.push({ id: one.third, slots, segments: chain.segments });
  }
  return { buffers, faults: [] };
}

function walkPackedTable(
  looks: Looks,
  view: DeviceView,
  { addr, len, fourth }: Descriptor,
  chain: Chain,
): string[] {
  const faults = chain.tableFaults(addr, len);
  if (fourth & NEXT) faults.push("indirect-in-list");
  if (len > BigInt(16 * view.maxChain)) faults.push("chain-too-long");
  if (faults.length > 0) return faults;
  for (let entry = 0; entry < Number(len) / 16; entry++) {
    const at = chain.place(addr) + 16 * entry;
    const place = looks.take(at, 8);
    const bytes = looks.take(at + 8, 4);
    // An id means nothing in a table.
    looks.skip(at + 12, 2);
    const flags = Number(looks.take(at + 14, 2));
    const wrong = chain.add(place, bytes, (flags & WRITE) !== 0);
    if (wrong.length > 0) return wrong;
  }
  return [];
}

/** A buffer that the driver half has out, as its caller knows it. */
export interface Outstanding {
  id: number;
  slots: number;
  token: number;
  capacity: number;
}

export interface Reclaimed {
  used: { token: number; len: number; slots: number }[];
  faults: string[];
}

/** What reclaim has to give back of a used ring (2.7.8; in order: 2.7.9), from index `from`. */
export function reclaimSplit(
  looks: Looks,
  places: SplitPlaces,
  from: number,
  out: readonly Outstanding[],
  inOrder: boolean,
): Reclaimed {
  const used: Reclaimed["used"] = [];
  const left = [...out];
  const pending = (Number(looks.take(places.used + 2, 2)) - from) & 0xffff;
  if (pending > out.length) return { used, faults: ["used-idx-jump"] };
  while (used.length < pending) {
    const at = places.used + 4 + 8 * ((from + used.length) % places.size);
    const id = Number(looks.take(at, 4));
    const most = inOrder ? pending - used.length : 0;
    const faults = give(used, left, id, places.size, most);
    // Of an element whose id is wrong nobody needs the length.
    if (faults.length > 0) looks.skip(at + 4, 4);
    else written(used, Number(looks.take(at + 4, 4)));
    if (faults.length > 0) return { used, faults };
  }
  return { used, faults: [] };
}

/** What reclaim has to give back of a packed ring (2.8.22; in order: 2.8.8), from a slot and its lap. */
export function reclaimPacked(
  looks: Looks,
  places: PackedPlaces,
  from: { slot: number; wrap: number },
  out: readonly Outstanding[],
  inOrder: boolean,
): Reclaimed {
  const used: Reclaimed["used"] = [];
  const left = [...out];
  let { slot, wrap } = from;
  while (used.length < out.length) {
    const { len, third: id, fourth: flags } = split(0n, looks.take(places.desc + 16 * slot + 8, 8));
    if ((flags & (AVAIL | USED)) !== (wrap ? AVAIL | USED : 0)) break;
    const before = used.length;
    const faults = give(used, left, id, places.size, inOrder ? left.length : 0);
    if (faults.length > 0) return { used, faults };
    written(used, flags & WRITE ? Number(len) : 0);
    for (const one of used.slice(before)) slot += one.slots;
    if (slot >= places.size) {
      slot -= places.size;
      wrap ^= 1;
    }
  }
  return { used, faults: [] };
}

/** Takes the buffer `id` from those that are left; with a batch of at most `inOrder`, all before it too. */
function give(
  used: Reclaimed["used"],
  left: Outstanding[],
  id: number,
  size: number,
  inOrder: number,
): string[] {
  if (id >= size) return ["used-id-out-of-range"];
  const at = left.findIndex((one) => one.id === id);
  if (at < 0 || (inOrder > 0 && at >= inOrder)) return ["used-id-not-outstanding"];
  // What a batch skips was used completely.
  const taken = inOrder > 0 ? left.splice(0, at + 1) : left.splice(at, 1);
  for (const { token, capacity, slots } of taken) used.push({ token, len: capacity, slots });
  return [];
}

/** The length of the buffer that was named, which can't be above its capacity. */
function written(used: Reclaimed["used"], len: number): void {
  const named = used[used.length - 1];
  named.len = Math.min(len, named.len);
}
