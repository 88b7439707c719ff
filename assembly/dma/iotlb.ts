// The IOTLB of a domain: a set-associative cache of translations. A set is found by the low bits of the
// page number, and in it a page has a way of its own by the next ones:
//
//   page number   ...           | way |   set    |
//   plane 0       | group of set 0 | group of set 1 | ...      ways 0 to 3 of every set
//   plane 1       | group of set 0 | ...                       ways 4 to 7, and so on
//   group         | tag 0 | tag 1 | tag 2 | tag 3 | entry 0 | entry 1 | entry 2 | entry 3 |
//   turns         | u8 a set: the way that is filled next
//
// A translation goes to its own way when that is empty, else to the lowest that is, else the ways of the
// set take turns: the same accesses always hit and miss alike. A lookup tries the page's own way first,
// then its set, the tags of a group at once. So runs of pages are found at the first try.
//
// A tag is a page number with TLB_VALID, or 0; page 0 is no exception. An entry is the place of the page with what the device may do
// (page-table.ts), and TLB_STALE when its mapping has ended.

import { PTE_READ, PTE_WRITE } from "./page-table";

/** In a tag. */
const TLB_VALID: u32 = 1 << 31;
/** In an entry. */
export const TLB_STALE: u32 = 4;

const GROUP_WAYS: u32 = 4;
const GROUP_SHIFT: u32 = 5;
const GROUP_BYTES: u32 = 1 << GROUP_SHIFT;
/** Where the entries of a group start. */
const GROUP_ENTRIES: u32 = GROUP_WAYS * 4;

@unmanaged
export class Iotlb {
  /** Lookups that found a translation, and those that did not. */
  hits: u64;
  misses: u64;
  /** Invalidation commands, for a range or for all. */
  invalidations: u64;
  groups: u32;
  /** The bits of a group's offset in its plane. */
  mask: u32;
  ways: u32;
  /** How a page's own way comes from its number: the offset of its tag in the group. */
  ownShift: u32;
  ownMask: u32;
  /** Where the planes end. */
  turns: u32;
}

@inline
function planesOf(ways: u32): u32 {
  return (ways + GROUP_WAYS - 1) / GROUP_WAYS;
}

/** Bytes of an IOTLB of `entries` in `ways`: powers of two, and no more than 128 ways. */
export function iotlbBytes(entries: u32, ways: u32): u32 {
  const sets = entries / ways;
  return sets * planesOf(ways) * GROUP_BYTES + ((sets + 7) & ~7);
}

/** Makes an empty IOTLB at `at`. */
export function iotlbInit(ptr: u32, at: u32, entries: u32, ways: u32): void {
  assert(popcnt(entries) == 1 && popcnt(ways) == 1 && ways <= entries && ways <= 128);
  memory.fill(at, 0, iotlbBytes(entries, ways));
  const tlb = changetype<Iotlb>(ptr);
  const sets = entries / ways;
  tlb.hits = 0;
  tlb.misses = 0;
  tlb.invalidations = 0;
  tlb.groups = at;
  tlb.mask = (sets - 1) << GROUP_SHIFT;
  tlb.ways = ways;
  tlb.ownShift = ctz(sets);
  tlb.ownMask = (min(ways, GROUP_WAYS) - 1) << 2;
  tlb.turns = at + sets * planesOf(ways) * GROUP_BYTES;
}

/** The group of a page's set in plane 0. */
@inline
function groupOf(tlb: Iotlb, pfn: u32): u32 {
  return tlb.groups + ((pfn << GROUP_SHIFT) & tlb.mask);
}

/** The place of a page's own way in the group of its set, by its tag. */
@inline
function ownWay(tlb: Iotlb, group: u32, pfn: u32): u32 {
  return group + (((pfn << 2) >> tlb.ownShift) & tlb.ownMask);
}

/** Bytes from a set's group in one plane to its group in the next. */
@inline
function planeBytes(tlb: Iotlb): u32 {
  return tlb.mask + GROUP_BYTES;
}

/** The place of a way of the set whose first group is `group`, by its tag. */
@inline
function wayPtr(tlb: Iotlb, group: u32, way: u32): u32 {
  return group + (way / GROUP_WAYS) * planeBytes(tlb) + ((way & (GROUP_WAYS - 1)) << 2);
}

/** The place of the lowest way in a group that has `tag`, by its tag; 0 when none has. */
@inline
function findInGroup(group: u32, tag: u32): u32 {
  // Four bits a tag, so that the lowest bit set is the offset of its tag.
  const equal = i8x16.bitmask(i32x4.eq(v128.load(group), i32x4.splat(tag)));
  return equal ? group + ctz(equal) : 0;
}

/** The same in all of a page's set. */
@inline
function find(tlb: Iotlb, pfn: u32, tag: u32): u32 {
  const group = groupOf(tlb, pfn);
  const found = findInGroup(group, tag);
  return found || tlb.ways <= GROUP_WAYS ? found : findInPlanes(tlb, group, tag);
}

/** The same in all planes but the first. */
function findInPlanes(tlb: Iotlb, group: u32, tag: u32): u32 {
  for (let ways = tlb.ways; ways > GROUP_WAYS; ways -= GROUP_WAYS) {
    group += planeBytes(tlb);
    const found = findInGroup(group, tag);
    if (found) return found;
  }
  return 0;
}

/** The entry in a page's own way; 0 when that holds another page. The caller counts. */
@inline
export function iotlbGlance(tlb: Iotlb, pfn: u32): u32 {
  const at = ownWay(tlb, groupOf(tlb, pfn), pfn);
  return load<u32>(at) == (pfn | TLB_VALID) ? load<u32>(at, GROUP_ENTRIES) : 0;
}

/** The entry of a page, whichever way it is in; 0 when there is none. The caller counts. */
@inline
export function iotlbLookup(tlb: Iotlb, pfn: u32): u32 {
  const at = find(tlb, pfn, pfn | TLB_VALID);
  return at ? load<u32>(at, GROUP_ENTRIES) : 0;
}

/** Holds the translation of a page that it does not hold. */
@inline
export function iotlbFill(tlb: Iotlb, pfn: u32, entry: u32): void {
  const group = groupOf(tlb, pfn);
  let at = ownWay(tlb, group, pfn);
  if (load<u32>(at)) at = find(tlb, pfn, 0);
  // With fewer ways than a group has, the tags of the rest are 0 for ever.
  if (!at || (tlb.ways < GROUP_WAYS && at - group >= tlb.ways << 2)) {
    const turn = tlb.turns + ((group - tlb.groups) >> GROUP_SHIFT);
    const way = <u32>load<u8>(turn);
    store<u8>(turn, (way + 1) & (tlb.ways - 1));
    at = wayPtr(tlb, group, way);
  }
  store<u32>(at, pfn | TLB_VALID);
  store<u32>(at, entry, GROUP_ENTRIES);
}

/** Drops one page, as a part of an invalidation. */
@inline
export function iotlbDrop(tlb: Iotlb, pfn: u32): void {
  const at = find(tlb, pfn, pfn | TLB_VALID);
  if (at) store<u32>(at, 0);
}

/** Marks one page's entry, whose mapping has ended without an invalidation. */
@inline
export function iotlbMarkStale(tlb: Iotlb, pfn: u32): void {
  const at = find(tlb, pfn, pfn | TLB_VALID);
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
  memory.fill(tlb.groups, 0, tlb.turns - tlb.groups);
}

/** The sets, and what is in one of their ways: the number of a page, 0 for none, and its entry. */
export function iotlbSets(tlb: Iotlb): u32 {
  return (tlb.mask >> GROUP_SHIFT) + 1;
}
export function iotlbTag(tlb: Iotlb, set: u32, way: u32): u32 {
  return load<u32>(wayPtr(tlb, tlb.groups + (set << GROUP_SHIFT), way)) & ~TLB_VALID;
}
export function iotlbWayEntry(tlb: Iotlb, set: u32, way: u32): u32 {
  return load<u32>(wayPtr(tlb, tlb.groups + (set << GROUP_SHIFT), way), GROUP_ENTRIES);
}

/** Whether an entry lets the device do it, and its mapping has not ended. */
@inline
export function entryServes(entry: u32, needs: u32): bool {
  return (entry & (needs | TLB_STALE)) == needs;
}

/** What an access needs. */
@inline
export function needsOf(write: bool): u32 {
  return write ? PTE_WRITE : PTE_READ;
}
