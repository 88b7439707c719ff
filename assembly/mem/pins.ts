// Pages of the memory that peers see which somebody has pinned: a host that hands a guest's pages to its own
// hardware must keep them where they are until the hardware is done (get_user_pages, put_page). A count a page, in
// private memory, and a limit for all of them together (RLIMIT_MEMLOCK); a page that is pinned twice counts twice.
//
//   base    | page 0        | page 1        | ...       4 KiB each, of what peers see
//   counts  | pins of 0 u32 | pins of 1 u32 | ...

import { PAGE_SIZE } from "../abi";

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

  // Counters: pins taken, and calls that failed
  taken: u64;
  failures: u64;
}

/** Bytes of the counts of what lies in `bytes` of memory, wherever it starts. */
export function pinsBytes(bytes: u32): u32 {
  return offsetof<Pins>() + (pagesTouched(PAGE_SIZE - 1, bytes) << 2);
}

/** Nothing pinned, of [ptr, ptr + bytes). */
export function pinsInit(at: u32, ptr: u32, bytes: u32, limit: u32): void {
  const pins = changetype<Pins>(at);
  memory.fill(at, 0, offsetof<Pins>());
  pins.base = ptr & ~(PAGE_SIZE - 1);
  pins.pages = pagesTouched(ptr, bytes);
  pins.counts = at + offsetof<Pins>();
  pins.limit = limit;
  memory.fill(pins.counts, 0, pins.pages << 2);
}

/** Pages that [ptr, ptr + bytes) touches. */
@inline
export function pagesTouched(ptr: u32, bytes: u32): u32 {
  return bytes ? ((ptr & (PAGE_SIZE - 1)) + bytes + (PAGE_SIZE - 1)) >> PAGE_BITS : 0;
}

/** Pins the pages of [ptr, ptr + bytes): all of them, or none and false: above the limit, or outside. */
export function pin(pins: Pins, ptr: u32, bytes: u32): bool {
  const count = pagesTouched(ptr, bytes);
  const first = (ptr - pins.base) >> PAGE_BITS;
  const refused = pins.failIn && --pins.failIn == 0;
  if (refused || !inside(pins, ptr, bytes) || (pins.limit && count > pins.limit - pins.live)) {
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
  if (!inside(pins, ptr, bytes)) {
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

@inline
function inside(pins: Pins, ptr: u32, bytes: u32): bool {
  return ptr >= pins.base && <u64>(ptr - pins.base) + bytes <= (<u64>pins.pages) << PAGE_BITS;
}

/** For a check: the sum of all counts, walked. */
export function pinsSum(at: u32): u32 {
  const pins = changetype<Pins>(at);
  let sum: u32 = 0;
  for (let k: u32 = 0; k < pins.pages; k++) sum += load<u32>(pins.counts + (k << 2));
  return sum;
}
