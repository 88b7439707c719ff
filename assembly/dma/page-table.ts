// The page table of a domain: 3 or 4 levels of 512 entries of 8 bytes, over pages of 4 KiB. Tables
// come from a pool of private memory when a range needs them, and go back with their last entry.
//
//   bits of a bus address   39 38     30 29     21 20     12 11        0
//                         4th  |  3rd    |  2nd    |  1st    |  offset
//
//   an entry of a table of tables    | table below, 0: none            | live entries below |
//   an entry of a table of pages     | place of the page | W | R       | WATCHED | pages    |
//                                     0                               32                   63
//
// So the count of a table is in the word that leads to it. `pages` is the length of the mapping in the
// entry of its first page, 0 in the others: whoever ends a mapping is held to it. WATCHED is for rings:
// whoever keeps the translation of such a page is told when it ends. The entry of a page that the
// device may neither read nor write is not 0 all the same.

import { IOMMU_PAGE_BITS } from "../abi";
import { Stack, stackBytes, stackInit, stackPut, stackTake } from "../mem/stack";

export const PTE_READ: u32 = 1;
export const PTE_WRITE: u32 = 2;
/** In the upper half of an entry. */
export const PTE_WATCHED: u32 = 1 << 31;

export const PAGE_BYTES: u32 = 1 << IOMMU_PAGE_BITS;
export const PAGE_MASK: u32 = PAGE_BYTES - 1;

export const INDEX_BITS: u32 = 9;
export const ENTRIES: u32 = 1 << INDEX_BITS;
const INDEX_MASK: u32 = ENTRIES - 1;
/** What one entry of the second level covers: the pages of one table. */
export const LEAF_SHIFT: u32 = IOMMU_PAGE_BITS + INDEX_BITS;
/** Tables of pages that the 32-bit addresses could have. */
export const DIRECTORY_ENTRIES: u32 = 1 << (32 - LEAF_SHIFT);
const DIRECTORY_BYTES: u32 = DIRECTORY_ENTRIES << 2;
/** One live entry more, in the word that leads to a table. */
export const ONE_ENTRY: u64 = 1 << 32;

@unmanaged
export class PageTable {
  /** By the upper bits of a bus address: the place of the entry that leads to its table of pages, or 0. */
  directory: u32;
  /** 3 or 4; the highest table, which is always there; the bits below its index. */
  levels: u32;
  root: u32;
  rootShift: u32;
  /** Tables below the root that are in use. */
  tablesLive: u32;
  /** First table of the pool, and how many there are. */
  pool: u32;
  tables: u32;
  /** The stack of free tables, all of which are zero. */
  free: u32;
}

/** Bytes of the root and a pool of `tables`. */
export function pageTableBytes(tables: u32): u32 {
  return (tables + 1) << IOMMU_PAGE_BITS;
}

/** Bytes of the directory, which has a word for every 32-bit address, and of the list of free tables. */
export function pageTableListBytes(tables: u32): u32 {
  return (DIRECTORY_BYTES + stackBytes(tables) + 7) & ~7;
}

/** Makes an empty table with root and pool at `at`, aligned to a page, and the lists at `lists`. */
export function pageTableInit(ptr: u32, levels: u32, at: u32, tables: u32, lists: u32): void {
  assert(levels == 3 || levels == 4);
  assert(!(at & PAGE_MASK));
  const table = changetype<PageTable>(ptr);
  memory.fill(at, 0, pageTableBytes(tables));
  memory.fill(lists, 0, pageTableListBytes(tables));
  table.levels = levels;
  table.root = at;
  table.rootShift = LEAF_SHIFT + (levels - 2) * INDEX_BITS;
  table.tablesLive = 0;
  table.pool = at + PAGE_BYTES;
  table.tables = tables;
  table.directory = lists;
  table.free = lists + DIRECTORY_BYTES;
  const stack = changetype<Stack>(table.free);
  stackInit(stack, tables);
  // Last first, so that the first table is the first to be taken.
  for (let k = tables; k > 0; k--) stackPut(stack, table.root + (k << IOMMU_PAGE_BITS));
}

/** What a device may do with a mapping of this direction: Linux's DMA_TO_DEVICE, DMA_FROM_DEVICE or both. */
@inline
export function permissionsOf(direction: u32): u32 {
  const BY_DIRECTION: u32 = (PTE_WRITE << 4) | (PTE_READ << 2) | (PTE_READ | PTE_WRITE);
  return (BY_DIRECTION >> (direction << 1)) & 3;
}

/** The place of the entry for `iova` in the table at `table`, whose entries cover 2^shift bytes each. */
@inline
function entryPtr(table: u32, iova: u32, shift: u32): u32 {
  return table + (<u32>(<u64>iova >> shift) & INDEX_MASK) * 8;
}

/** The place of a page's entry in a table of pages. */
@inline
export function pagePtr(table: u32, iova: u32): u32 {
  return table + ((iova >> (IOMMU_PAGE_BITS - 3)) & (INDEX_MASK << 3));
}

/**
 * The walk from the root, as the hardware does it: the table of pages for `iova`, or 0. A fourth
 * level covers what no 32-bit address has but for its first entry.
 */
@inline
export function walkToLeaf(table: PageTable, iova: u32): u32 {
  let at = table.root;
  if (table.levels == 4) {
    at = load<u32>(at);
    if (!at) return 0;
  }
  at = load<u32>(at + ((iova >> (LEAF_SHIFT + INDEX_BITS)) << 3));
  if (!at) return 0;
  return load<u32>(entryPtr(at, iova, LEAF_SHIFT));
}

/** The entry for `iova`, its lower half: 0 when nothing is mapped there. */
@inline
export function walk(table: PageTable, iova: u32): u32 {
  const leaf = walkToLeaf(table, iova);
  if (!leaf) return 0;
  return load<u32>(pagePtr(leaf, iova));
}

/**
 * Enters `pages` at `place`, both not 0, for `iova`. False, with nothing changed, when the pool has too
 * few tables.
 */
export function pageTableMap(ptr: u32, iova: u32, place: u32, pages: u32, permissions: u32): bool {
  const table = changetype<PageTable>(ptr);
  let length = pages;
  for (let done: u32 = 0; done < pages; ) {
    const at = iova + (done << IOMMU_PAGE_BITS);
    const above = reachLeaf(table, at);
    if (!above) {
      pageTableUnmap(ptr, iova, done);
      return false;
    }
    let entry = pagePtr(load<u32>(above), at);
    const end = min(done + pagesToLeafEnd(at), pages);
    store<u64>(above, load<u64>(above) + <u64>(end - done) * ONE_ENTRY);
    for (; done < end; done++) {
      store<u32>(entry, (place + (done << IOMMU_PAGE_BITS)) | permissions);
      store<u32>(entry, length, 4);
      length = 0;
      entry += 8;
    }
  }
  return true;
}

/** Clears the entries of `pages` that are mapped at `iova`; PTE_WATCHED if any of them was watched. */
export function pageTableUnmap(ptr: u32, iova: u32, pages: u32): u32 {
  const table = changetype<PageTable>(ptr);
  let seen: u32 = 0;
  for (let done: u32 = 0; done < pages; ) {
    const at = iova + (done << IOMMU_PAGE_BITS);
    const above = leafEntry(table, at);
    assert(above);
    let entry = pagePtr(load<u32>(above), at);
    const end = min(done + pagesToLeafEnd(at), pages);
    const left = load<u64>(above) - <u64>(end - done) * ONE_ENTRY;
    store<u64>(above, left);
    for (; done < end; done++) {
      seen |= load<u32>(entry, 4);
      store<u64>(entry, 0);
      entry += 8;
    }
    if (left < ONE_ENTRY) prune(table, entryPtr(table.root, at, table.rootShift), at, table.rootShift);
  }
  return seen & PTE_WATCHED;
}

/** Marks those of `pages` at `iova` that are mapped. */
export function pageTableWatch(ptr: u32, iova: u32, pages: u32): void {
  const table = changetype<PageTable>(ptr);
  for (let k: u32 = 0; k < pages; k++) {
    const at = iova + (k << IOMMU_PAGE_BITS);
    const leaf = walkToLeaf(table, at);
    if (!leaf) continue;
    const entry = pagePtr(leaf, at);
    if (load<u64>(entry)) store<u32>(entry, load<u32>(entry, 4) | PTE_WATCHED, 4);
  }
}

/** How many pages the mapping has that starts at `iova`; 0 when none starts there. */
export function pageTableLength(ptr: u32, iova: u32): u32 {
  const leaf = walkToLeaf(changetype<PageTable>(ptr), iova);
  if (!leaf) return 0;
  return load<u32>(pagePtr(leaf, iova), 4) & ~PTE_WATCHED;
}

/** Pages from the one of `iova` to the end of its table. */
@inline
function pagesToLeafEnd(iova: u32): u32 {
  return ENTRIES - ((iova >> IOMMU_PAGE_BITS) & INDEX_MASK);
}

/** The place of the word that says where the entry is that leads to the table of pages for `iova`. */
@inline
function directoryPtr(table: PageTable, iova: u32): u32 {
  return table.directory + ((iova >> LEAF_SHIFT) << 2);
}

/**
 * The place of the entry that leads to the table of pages for `iova`, or 0 when there is none. This is the driver's short cut: a device walks from the root.
 */
@inline
export function leafEntry(table: PageTable, iova: u32): u32 {
  return load<u32>(directoryPtr(table, iova));
}

/** The same, but tables that are missing are made; 0, with none made, when the pool has too few. */
function reachLeaf(table: PageTable, iova: u32): u32 {
  const known = leafEntry(table, iova);
  if (known) return known;
  const free = changetype<Stack>(table.free);
  const root = entryPtr(table.root, iova, table.rootShift);
  let above: u32 = 0;
  let entry = root;
  for (let shift = table.rootShift; ; ) {
    if (!load<u32>(entry)) {
      const below = stackTake(free);
      if (!below) {
        prune(table, root, iova, table.rootShift);
        return 0;
      }
      store<u32>(entry, below);
      if (above) store<u64>(above, load<u64>(above) + ONE_ENTRY);
      table.tablesLive++;
    }
    if (shift == LEAF_SHIFT) break;
    shift -= INDEX_BITS;
    above = entry;
    entry = entryPtr(load<u32>(above), iova, shift);
  }
  store<u32>(directoryPtr(table, iova), entry);
  return entry;
}

/**
 * Gives back the tables on the way from `entry` to `iova` that have no live entry, lowest first;
 * whether `entry` itself is live no more. It calls itself once a level.
 */
function prune(table: PageTable, entry: u32, iova: u32, shift: u32): bool {
  const below = load<u32>(entry);
  if (!below) return false;
  if (shift > LEAF_SHIFT) {
    const next = shift - INDEX_BITS;
    if (prune(table, entryPtr(below, iova, next), iova, next))
      store<u64>(entry, load<u64>(entry) - ONE_ENTRY);
  }
  if (load<u32>(entry, 4)) return false;
  store<u64>(entry, 0);
  stackPut(changetype<Stack>(table.free), below);
  table.tablesLive--;
  if (shift == LEAF_SHIFT) store<u32>(directoryPtr(table, iova), 0);
  return true;
}
