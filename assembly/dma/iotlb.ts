// The IOTLB of a domain: a set-associative cache of translations. A set is found by the low bits of the
// page number; a way that holds nothing is filled first, the lowest; after that the ways of a set take
// turns. So the same accesses always hit and miss alike.
//
//   sets     | group | group | ... | a set has a group for every four ways, which are compared at once
//   group    | tag 0 | tag 1 | tag 2 | tag 3 | entry 0 | entry 1 | entry 2 | entry 3 |
//   turns    | u8 a set: the way that is filled next
//
// A tag is a page number, 0 for none. An entry is the place of the page with what the device may do
// (page-table.ts), and TLB_STALE when the page table has no such translation any more.

import { PTE_READ, PTE_WRITE } from "./page-table";

export const TLB_STALE: u32 = 4;

const GROUP_WAYS: u32 = 4;
const GROUP_BYTES: u32 = GROUP_WAYS * 8;
/** Where the entries of a group start. */
const GROUP_ENTRIES: u32 = GROUP_WAYS * 4;

@unmanaged
export class Iotlb {
  /** Lookups that found a translation, and those that did not. */
  hits: u64;
  misses: u64;
  /** Invalidation commands, for a range or for all. */
  invalidations: u64;
  sets: u32;
  /** log2 of a set's bytes, and the bits that choose the set once a page number is shifted by it. */
  setShift: u32;
  setMask: u32;
  ways: u32;
  turns: u32;
}

@inline
function groupsOf(ways: u32): u32 {
  return (ways + GROUP_WAYS - 1) / GROUP_WAYS;
}

/** Bytes of the sets. `entries` and `ways` are powers of two, and no more than 64 ways. */
export function iotlbBytes(entries: u32, ways: u32): u32 {
  const sets = entries / ways;
  return sets * groupsOf(ways) * GROUP_BYTES + ((sets + 7) & ~7);
}

/** Makes an empty IOTLB with its sets at `at`. */
export function iotlbInit(ptr: u32, at: u32, entries: u32, ways: u32): void {
  assert(popcnt(entries) == 1 && popcnt(ways) == 1 && ways <= entries && ways <= 64);
  memory.fill(at, 0, iotlbBytes(entries, ways));
  const tlb = changetype<Iotlb>(ptr);
  const setBytes = groupsOf(ways) * GROUP_BYTES;
  tlb.hits = 0;
  tlb.misses = 0;
  tlb.invalidations = 0;
  tlb.sets = at;
  tlb.setShift = ctz(setBytes);
  tlb.setMask = (entries / ways - 1) << tlb.setShift;
  tlb.ways = ways;
  tlb.turns = at + tlb.setMask + setBytes;
}

/** The first group of the set of a page. */
@inline
function setOf(tlb: Iotlb, pfn: u32): u32 {
  return tlb.sets + ((pfn << tlb.setShift) & tlb.setMask);
}

/** The place of the way that has `tag`, by its tag; 0 when none has. */
@inline
function find(tlb: Iotlb, pfn: u32, tag: u32): u32 {
  const wanted = i32x4.splat(tag);
  let at = setOf(tlb, pfn);
  for (let left: i32 = tlb.ways; left > 0; left -= GROUP_WAYS) {
    const equal = i32x4.bitmask(i32x4.eq(v128.load(at), wanted));
    if (equal) return at + (ctz(equal) << 2);
    at += GROUP_BYTES;
  }
  return 0;
}

/** The entry of a page; 0 when there is none. The caller counts. */
@inline
export function iotlbLookup(tlb: Iotlb, pfn: u32): u32 {
  const at = find(tlb, pfn, pfn);
  return at ? load<u32>(at, GROUP_ENTRIES) : 0;
}

/** Holds the translation of a page that it does not hold. */
export function iotlbFill(tlb: Iotlb, pfn: u32, entry: u32): void {
  let at = find(tlb, pfn, 0);
  const first = setOf(tlb, pfn);
  // With fewer ways than a group has, the tags of the rest are 0 for ever.
  if (!at || (tlb.ways < GROUP_WAYS && at - first >= tlb.ways << 2)) {
    const turn = tlb.turns + ((first - tlb.sets) >> tlb.setShift);
    const way = <u32>load<u8>(turn);
    store<u8>(turn, (way + 1) & (tlb.ways - 1));
    at = first + (way / GROUP_WAYS) * GROUP_BYTES + ((way & (GROUP_WAYS - 1)) << 2);
  }
  store<u32>(at, pfn);
  store<u32>(at, entry, GROUP_ENTRIES);
}

/** Drops one page, as a part of an invalidation. */
@inline
export function iotlbDrop(tlb: Iotlb, pfn: u32): void {
  const at = find(tlb, pfn, pfn);
  if (at) store<u32>(at, 0);
}

/** Marks one page's entry, whose translation has ended and was not invalidated. */
@inline
export function iotlbMarkStale(tlb: Iotlb, pfn: u32): void {
  const at = find(tlb, pfn, pfn);
  if (at) store<u32>(at, load<u32>(at, GROUP_ENTRIES) | TLB_STALE, GROUP_ENTRIES);
}

/** One invalidation of a range. */
export function iotlbInvalidate(tlb: Iotlb, pfn: u32, pages: u32): void {
  tlb.invalidations++;
  for (let k: u32 = 0; k < pages; k++) iotlbDrop(tlb, pfn + k);
}

/** One invalidation of the whole domain. */
export function iotlbInvalidateAll(tlb: Iotlb): void {
  tlb.invalidations++;
  memory.fill(tlb.sets, 0, tlb.turns - tlb.sets);
}

/** Whether an entry lets the device do it, and its translation has not ended. */
@inline
export function entryServes(entry: u32, needs: u32): bool {
  return (entry & (needs | TLB_STALE)) == needs;
}

/** What an access needs. */
@inline
export function needsOf(write: bool): u32 {
  return write ? PTE_WRITE : PTE_READ;
}
