// The cache in front of the address allocator, with the rules of Linux's: for one CPU, magazines of
// 127 ranges of one size (Bonwick and Adams, Magazines and Vmem, 2001), for the sizes of 1 to 32 pages.
//
//            loaded        previous       depot (full magazines)     spare (empty ones)
//          | n | pfn ...|  | n | pfn ...|  | m | m | ...            | m | m | ...
//   take:  pop loaded; else swap it with previous; else one of the depot; else the allocator
//   give:  push loaded; else swap it with previous; else loaded goes to the depot. When that has its
//          32, the loaded magazine is emptied into the allocator.

import { iovaGive, iovaTake } from "./iova";

/** Sizes that are cached: 2^0 to 2^5 pages. */
export const MAGAZINE_ORDERS: u32 = 6;
export const MAGAZINE_SIZE: u32 = 127;
export const DEPOT_SIZE: u32 = 32;
/** A count and the ranges. */
const MAGAZINE_BYTES: u32 = 4 + MAGAZINE_SIZE * 4;
/** Magazines of an order: loaded, previous, and what the depot has or lacks. */
const PER_ORDER: u32 = 2 + DEPOT_SIZE;

/** The magazines of one order. */
@unmanaged
export class Rcache {
  loaded: u32;
  previous: u32;
  /** Followed by DEPOT_SIZE magazines: the full ones first, then spare ones. */
  depotSize: u32;
}
const RCACHE_BYTES: u32 = offsetof<Rcache>() + DEPOT_SIZE * 4;

@unmanaged
export class Magazines {
  /** Followed by an Rcache for each order. */
  allocator: u32;
}

/** Bytes of the control block. */
export const MAGAZINES_BYTES: u32 = (offsetof<Magazines>() + MAGAZINE_ORDERS * RCACHE_BYTES + 7) & ~7;

/** Bytes of all magazines. */
export function magazineBytes(): u32 {
  return MAGAZINE_ORDERS * PER_ORDER * MAGAZINE_BYTES;
}

@inline
export function rcacheOf(magazines: u32, order: u32): Rcache {
  return changetype<Rcache>(magazines + offsetof<Magazines>() + order * RCACHE_BYTES);
}

@inline
export function depotPtr(rcache: Rcache, index: u32): u32 {
  return changetype<u32>(rcache) + offsetof<Rcache>() + (index << 2);
}

@inline
export function magazineCount(magazine: u32): u32 {
  return load<u32>(magazine);
}

/** A range in a magazine; the newest has the highest index. */
@inline
export function magazineEntry(magazine: u32, index: u32): u32 {
  return load<u32>(magazine + (index << 2), 4);
}

/** Writes a range behind the `count` that are there; the count itself is left to the caller. */
@inline
export function magazinePush(magazine: u32, count: u32, pfn: u32): void {
  store<u32>(magazine + (count << 2), pfn, 4);
}

/** Sets out empty magazines at `at` in front of `allocator`. */
export function magazinesInit(ptr: u32, at: u32, allocator: u32): void {
  changetype<Magazines>(ptr).allocator = allocator;
  memory.fill(at, 0, magazineBytes());
  for (let order: u32 = 0; order < MAGAZINE_ORDERS; order++) {
    const rcache = rcacheOf(ptr, order);
    rcache.loaded = at;
    rcache.previous = at + MAGAZINE_BYTES;
    rcache.depotSize = 0;
    for (let k: u32 = 0; k < DEPOT_SIZE; k++) store<u32>(depotPtr(rcache, k), at + (2 + k) * MAGAZINE_BYTES);
    at += PER_ORDER * MAGAZINE_BYTES;
  }
}

/**
 * Takes 2^order pages: the first page's number, or 0 when there are none, though every magazine has
 * been emptied into the allocator.
 */
export function magazinesTake(ptr: u32, order: u32): u32 {
  const allocator = changetype<Magazines>(ptr).allocator;
  if (order < MAGAZINE_ORDERS) {
    const rcache = rcacheOf(ptr, order);
    if (loadFull(rcache)) {
      const magazine = rcache.loaded;
      const count = magazineCount(magazine);
      store<u32>(magazine, count - 1);
      return magazineEntry(magazine, count - 1);
    }
  }
  const pfn = iovaTake(allocator, order);
  if (pfn) return pfn;
  magazinesEmpty(ptr);
  return iovaTake(allocator, order);
}

/** Gives back what `magazinesTake` returned, with the same order. */
export function magazinesGive(ptr: u32, pfn: u32, order: u32): void {
  const allocator = changetype<Magazines>(ptr).allocator;
  if (order >= MAGAZINE_ORDERS) {
    iovaGive(allocator, pfn, order);
    return;
  }
  const rcache = rcacheOf(ptr, order);
  if (!loadRoom(rcache)) drain(rcache.loaded, allocator, order);
  const magazine = rcache.loaded;
  const count = magazineCount(magazine);
  magazinePush(magazine, count, pfn);
  store<u32>(magazine, count + 1);
}

/** Empties every magazine into the allocator. */
export function magazinesEmpty(ptr: u32): void {
  const allocator = changetype<Magazines>(ptr).allocator;
  for (let order: u32 = 0; order < MAGAZINE_ORDERS; order++) {
    const rcache = rcacheOf(ptr, order);
    drain(rcache.loaded, allocator, order);
    drain(rcache.previous, allocator, order);
    while (rcache.depotSize) drain(load<u32>(depotPtr(rcache, --rcache.depotSize)), allocator, order);
  }
}

/** Loads a magazine that has something, if there is one. */
function loadFull(rcache: Rcache): bool {
  if (magazineCount(rcache.loaded)) return true;
  if (magazineCount(rcache.previous)) {
    swap(rcache);
    return true;
  }
  if (!rcache.depotSize) return false;
  exchange(rcache, --rcache.depotSize);
  return true;
}

/** Loads a magazine that has room, if there is one. */
function loadRoom(rcache: Rcache): bool {
  if (magazineCount(rcache.loaded) < MAGAZINE_SIZE) return true;
  if (magazineCount(rcache.previous) < MAGAZINE_SIZE) {
    swap(rcache);
    return true;
  }
  if (rcache.depotSize == DEPOT_SIZE) return false;
  exchange(rcache, rcache.depotSize++);
  return true;
}

@inline
function swap(rcache: Rcache): void {
  const loaded = rcache.loaded;
  rcache.loaded = rcache.previous;
  rcache.previous = loaded;
}

/** Puts the loaded magazine into the depot for the one that lies there. */
@inline
function exchange(rcache: Rcache, index: u32): void {
  const at = depotPtr(rcache, index);
  const loaded = rcache.loaded;
  rcache.loaded = load<u32>(at);
  store<u32>(at, loaded);
}

function drain(magazine: u32, allocator: u32, order: u32): void {
  const count = magazineCount(magazine);
  for (let k: u32 = 0; k < count; k++) iovaGive(allocator, magazineEntry(magazine, k), order);
  store<u32>(magazine, 0);
}
