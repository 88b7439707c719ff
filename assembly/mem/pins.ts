// Pages of the memory that peers see which somebody has pinned: a host that hands a guest's pages to its own
// hardware must keep them where they are until the hardware is done (get_user_pages, put_page). A count a page, in
// private memory, and a limit for all of them together (RLIMIT_MEMLOCK); a page that is pinned twice counts twice.
//
//   base    | page 0        | page 1        | ...       4 KiB each, of what peers see
//   counts  | pins of 0 u32 | pins of 1 u32 | ...
//   dirty   | a bit for each page that hardware wrote while it was pinned (set_page_dirty), until somebody takes it

import { OK, PAGE_SIZE, PIN_E_INJECTED, PIN_E_LIMIT, PIN_E_RANGE } from "../abi";
import { pageLogMark } from "./page-log";

const PAGE_BITS: u32 = 12;

@unmanaged
export class Pins {
  /** Start of the first page, and how many pages there are. */
  base: u32;
  pages: u32;
  counts: u32;
  /** Most pins at a time; 0 for no limit. */
  limit: u32;
  /** Pins that are not put yet. */
  live: u32;
  /** A test's wish: the so-manieth call from now fails; 0 for none. */
  failIn: u32;
  /** Puts of pins that weren't there, which did nothing. */
  underflows: u32;
  /** Why the last call failed (PIN_E_*), or 0. */
  failure: u32;
  dirty: u32;

  // Counters: pins taken, and calls that failed
  taken: u64;
  failures: u64;
}

/** Bytes of the counts of what lies in `bytes` of memory, wherever it starts. */
export function pinsBytes(bytes: u32): u32 {
  const pages = pagesTouched(PAGE_SIZE - 1, bytes);
  return offsetof<Pins>() + (pages << 2) + dirtyBytes(pages);
}

/** Whole words. */
@inline
function dirtyBytes(pages: u32): u32 {
  return ((pages + 31) >> 5) << 2;
}

/** Nothing pinned, of [ptr, ptr + bytes). */
export function pinsInit(at: u32, ptr: u32, bytes: u32, limit: u32): void {
  const pins = changetype<Pins>(at);
  memory.fill(at, 0, offsetof<Pins>());
  pins.base = ptr & ~(PAGE_SIZE - 1);
  pins.pages = pagesTouched(ptr, bytes);
  pins.counts = at + offsetof<Pins>();
  pins.limit = limit;
  pins.dirty = pins.counts + (pins.pages << 2);
  memory.fill(pins.counts, 0, (pins.pages << 2) + dirtyBytes(pins.pages));
}

/** Pages that [ptr, ptr + bytes) touches. */
@inline
export function pagesTouched(ptr: u32, bytes: u32): u32 {
  return bytes ? ((ptr & (PAGE_SIZE - 1)) + bytes + (PAGE_SIZE - 1)) >> PAGE_BITS : 0;
}

/** Pins the pages of [ptr, ptr + bytes): all of them, or none and false, with `failure` set. */
export function pin(pins: Pins, ptr: u32, bytes: u32): bool {
  const count = pagesTouched(ptr, bytes);
  const first = (ptr - pins.base) >> PAGE_BITS;
  pins.failure = OK;
  if (pins.failIn && --pins.failIn == 0) pins.failure = PIN_E_INJECTED;
  else if (!pinnable(pins, ptr, bytes)) pins.failure = PIN_E_RANGE;
  else if (pins.limit && <u64>pins.live + count > pins.limit) pins.failure = PIN_E_LIMIT;
  if (pins.failure) {
    pins.failures++;
    return false;
  }
  for (let k: u32 = 0; k < count; k++) {
    const at = pins.counts + ((first + k) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  pins.live += count;
  pins.taken += count;
  return true;
}

/** Ends what `pin` began with the same range. */
export function unpin(pins: Pins, ptr: u32, bytes: u32): void {
  if (!pinnable(pins, ptr, bytes)) {
    pins.underflows++;
    return;
  }
  const count = pagesTouched(ptr, bytes);
  const first = (ptr - pins.base) >> PAGE_BITS;
  for (let k: u32 = 0; k < count; k++) {
    const at = pins.counts + ((first + k) << 2);
    const own = load<u32>(at);
    if (!own) {
      pins.underflows++;
      continue;
    }
    store<u32>(at, own - 1);
    pins.live--;
  }
}

/** Marks the pages of [ptr, ptr + bytes) dirty: pinned ones, once hardware has written to them. */
export function pinsMarkDirty(pins: Pins, ptr: u32, bytes: u32): void {
  if (pinnable(pins, ptr, bytes)) pageLogMark(pins.dirty, ptr - pins.base, bytes);
}

/** Whether [ptr, ptr + bytes) lies where pages can be pinned. */
@inline
export function pinnable(pins: Pins, ptr: u32, bytes: u32): bool {
  return ptr >= pins.base && <u64>(ptr - pins.base) + bytes <= (<u64>pins.pages) << PAGE_BITS;
}

/** For a check: the sum of all counts, walked. */
export function pinsSum(at: u32): u32 {
  const pins = changetype<Pins>(at);
  let sum: u32 = 0;
  for (let k: u32 = 0; k < pins.pages; k++) sum += load<u32>(pins.counts + (k << 2));
  return sum;
}
