// Walks a domain and finds what does not add up, for tests and for leak checks: it trusts no counter.
//
// Every page of the aperture is in one place: in a mapping (with what rounds its range up), waiting for a
// flush, in a magazine, or free. Every table is in the page table once or in the list of free ones.
//
//   Check | a bit for each page of the aperture: seen

import {
  IOMMU_BAD_COUNT,
  IOMMU_BAD_IOTLB,
  IOMMU_BAD_MAPPING,
  IOMMU_BAD_SETS,
  IOMMU_BAD_TABLE,
  IOMMU_LOST_RANGE,
  IOMMU_PAGE_BITS,
  IOMMU_SOUND,
  IOMMU_TWO_PLACES,
} from "../abi";
import { bitmapHas, bitmapIsEmpty, bitmapIsSound } from "../mem/bitmap";
import { Stack, stackCount, stackEntry } from "../mem/stack";
import { FlushQueue, flushQueueOrder, flushQueuePfn } from "./flush-queue";
import { FLUSH_QUEUE_AT, IOTLB_AT, IOVA_AT, IommuDomain, MAGAZINES_AT, PAGE_TABLE_AT } from "./iommu";
import { Iotlb, iotlbSets, iotlbTag, iotlbWayEntry, TLB_STALE } from "./iotlb";
import { IOVA_ORDERS, Iova, iovaBlocks, iovaEnd, iovaFree, iovaOrder } from "./iova";
import {
  DEPOT_SIZE,
  depotPtr,
  MAGAZINE_ORDERS,
  MAGAZINE_SIZE,
  magazineCount,
  magazineEntry,
  rcacheOf,
} from "./magazines";
import {
  DIRECTORY_ENTRIES,
  ENTRIES,
  INDEX_BITS,
  LEAF_SHIFT,
  PAGE_BYTES,
  PAGE_MASK,
  PageTable,
  PTE_WATCHED,
  walk,
} from "./page-table";

@unmanaged
class Check {
  /** The first thing that was found wrong. */
  found: u32;
  mappings: u32;
  mappedPages: u32;
  tables: u32;
  leaves: u32;
  /** Pages of the aperture that were seen. */
  seen: u32;
  /** What the next page has to be, while a mapping's pages are not all seen: how many are missing ... */
  missing: u32;
  /** ... where, and with what in the lower half of its entry. */
  nextPfn: u32;
  nextEntry: u32;
  _pad: u32;
}

/** Bytes that `iommuCheck` needs for a domain with this aperture. */
export function iommuCheckBytes(aperturePages: u32): u32 {
  return offsetof<Check>() + ((aperturePages + 63) >> 6) * 8;
}

/** Checks the domain at `ptr` with `scratch` at hand, 8-byte aligned: IOMMU_SOUND, or what was found. */
export function iommuCheck(ptr: u32, scratch: u32): u32 {
  const iova = changetype<Iova>(ptr + IOVA_AT);
  memory.fill(scratch, 0, iommuCheckBytes(iova.pages));
  const check = changetype<Check>(scratch);
  checkPageTable(check, ptr);
  checkFreeTables(check, changetype<PageTable>(ptr + PAGE_TABLE_AT));
  checkMagazines(check, ptr);
  checkFlushQueue(check, ptr);
  checkSets(check, ptr);
  if (check.seen != iovaEnd(iova.pages) - 1) wrong(check, IOMMU_LOST_RANGE);
  checkIotlb(check, ptr);
  return check.found;
}

function wrong(check: Check, what: u32): void {
  if (check.found == IOMMU_SOUND) check.found = what;
}

/** Sees a block of the aperture; none may be seen twice. */
function see(check: Check, iova: Iova, pfn: u32, order: u32): void {
  const pages: u32 = 1 << order;
  if (pfn == 0 || pfn & (pages - 1) || pfn >= iovaEnd(iova.pages) || pages > iovaEnd(iova.pages) - pfn) {
    wrong(check, IOMMU_TWO_PLACES);
    return;
  }
  const bits = changetype<u32>(check) + offsetof<Check>();
  for (let k = pfn; k < pfn + pages; k++) {
    const at = bits + (k >> 3);
    const bit: u32 = 1 << (k & 7);
    if (load<u8>(at) & bit) wrong(check, IOMMU_TWO_PLACES);
    store<u8>(at, load<u8>(at) | bit);
  }
  check.seen += pages;
}

function checkPageTable(check: Check, ptr: u32): void {
  const table = changetype<PageTable>(ptr + PAGE_TABLE_AT);
  const domain = changetype<IommuDomain>(ptr);
  checkTable(check, ptr, table.root, 0, table.rootShift);
  if (check.missing) wrong(check, IOMMU_BAD_MAPPING);
  if (check.tables != table.tablesLive) wrong(check, IOMMU_BAD_COUNT);
  if (check.mappings != domain.liveMappings || check.mappedPages != domain.livePages)
    wrong(check, IOMMU_BAD_COUNT);
  let known: u32 = 0;
  for (let k: u32 = 0; k < DIRECTORY_ENTRIES; k++) if (load<u32>(table.directory + (k << 2))) known++;
  if (known != check.leaves) wrong(check, IOMMU_BAD_TABLE);
}

/** Checks the table at `at`, whose first entry covers 2^shift bytes from `base`: its live entries. */
function checkTable(check: Check, ptr: u32, at: u32, base: u64, shift: u32): u32 {
  const table = changetype<PageTable>(ptr + PAGE_TABLE_AT);
  let live: u32 = 0;
  for (let k: u32 = 0; k < ENTRIES; k++) {
    const entry = at + k * 8;
    if (!load<u64>(entry)) continue;
    live++;
    const iova = base + ((<u64>k) << shift);
    if (iova >> 32) {
      wrong(check, IOMMU_BAD_TABLE);
    } else if (shift == IOMMU_PAGE_BITS) {
      checkPage(
        check,
        ptr,
        <u32>(iova >> IOMMU_PAGE_BITS),
        load<u32>(entry),
        load<u32>(entry, 4) & ~PTE_WATCHED,
      );
    } else {
      const below = load<u32>(entry);
      if (
        below < table.pool ||
        (below - table.pool) >> IOMMU_PAGE_BITS >= table.tables ||
        below & PAGE_MASK
      ) {
        wrong(check, IOMMU_BAD_TABLE);
        continue;
      }
      check.tables++;
      if (shift == LEAF_SHIFT) {
        check.leaves++;
        if (load<u32>(table.directory + ((<u32>(iova >> LEAF_SHIFT)) << 2)) != entry)
          wrong(check, IOMMU_BAD_TABLE);
      }
      const count = checkTable(check, ptr, below, iova, shift - INDEX_BITS);
      if (!count || count != load<u32>(entry, 4)) wrong(check, IOMMU_BAD_COUNT);
    }
  }
  return live;
}

/** Checks that the pages of a mapping follow each other, and sees its range with its first page. */
function checkPage(check: Check, ptr: u32, pfn: u32, entry: u32, length: u32): void {
  const goesOn = check.missing != 0;
  if (goesOn != (length == 0) || (goesOn && (pfn != check.nextPfn || entry != check.nextEntry))) {
    wrong(check, IOMMU_BAD_MAPPING);
  }
  if (length) {
    check.mappings++;
    check.missing = length;
    see(check, changetype<Iova>(ptr + IOVA_AT), pfn, iovaOrder(length));
  }
  if (check.missing) check.missing--;
  check.mappedPages++;
  check.nextPfn = pfn + 1;
  check.nextEntry = entry + PAGE_BYTES;
}

/** Checks that every table that is free is zero, is listed once, and that none is lost. */
function checkFreeTables(check: Check, table: PageTable): void {
  const stack = changetype<Stack>(table.free);
  const count = stackCount(stack);
  if (count + check.tables != table.tables) {
    wrong(check, IOMMU_BAD_TABLE);
    return;
  }
  for (let k: u32 = 0; k < count; k++) {
    const at = stackEntry(stack, k);
    if (at < table.pool || (at - table.pool) >> IOMMU_PAGE_BITS >= table.tables || at & PAGE_MASK) {
      wrong(check, IOMMU_BAD_TABLE);
      return;
    }
    // What is listed twice is not zero the second time.
    for (let entry: u32 = 0; entry < ENTRIES; entry++) {
      if (load<u64>(at + entry * 8)) wrong(check, IOMMU_BAD_TABLE);
    }
    store<u32>(at, 1);
  }
  for (let k: u32 = 0; k < count; k++) store<u32>(stackEntry(stack, k), 0);
}

function checkMagazines(check: Check, ptr: u32): void {
  for (let order: u32 = 0; order < MAGAZINE_ORDERS; order++) {
    const rcache = rcacheOf(ptr + MAGAZINES_AT, order);
    seeMagazine(check, ptr, rcache.loaded, order);
    seeMagazine(check, ptr, rcache.previous, order);
    for (let k: u32 = 0; k < DEPOT_SIZE; k++) {
      const magazine = load<u32>(depotPtr(rcache, k));
      if (magazineCount(magazine) != (k < rcache.depotSize ? MAGAZINE_SIZE : 0)) wrong(check, IOMMU_BAD_SETS);
      seeMagazine(check, ptr, magazine, order);
    }
  }
}

function seeMagazine(check: Check, ptr: u32, magazine: u32, order: u32): void {
  const count = magazineCount(magazine);
  if (count > MAGAZINE_SIZE) {
    wrong(check, IOMMU_BAD_SETS);
    return;
  }
  const iova = changetype<Iova>(ptr + IOVA_AT);
  for (let k: u32 = 0; k < count; k++) see(check, iova, magazineEntry(magazine, k), order);
}

function checkFlushQueue(check: Check, ptr: u32): void {
  const queue = changetype<FlushQueue>(ptr + FLUSH_QUEUE_AT);
  if (queue.waiting > queue.capacity) {
    wrong(check, IOMMU_BAD_SETS);
    return;
  }
  const iova = changetype<Iova>(ptr + IOVA_AT);
  for (let k: u32 = 0; k < queue.waiting; k++) {
    see(check, iova, flushQueuePfn(queue, k), flushQueueOrder(queue, k));
  }
}

/** Checks the sets of free blocks: buddies are merged, and what is said of a set is so. */
function checkSets(check: Check, ptr: u32): void {
  const iova = changetype<Iova>(ptr + IOVA_AT);
  const before = check.seen;
  for (let order: u32 = 0; order < IOVA_ORDERS; order++) {
    const free = iovaFree(iova, order);
    const blocks = iovaBlocks(iova.pages, order);
    for (let block: u32 = 0; block < blocks; block++) {
      if (!bitmapHas(free, block)) continue;
      if (bitmapHas(free, block ^ 1)) wrong(check, IOMMU_BAD_SETS);
      see(check, iova, block << order, order);
    }
    const said = ((iova.orderMap >> order) & 1) != 0;
    if (said == bitmapIsEmpty(free) || !bitmapIsSound(free, blocks)) wrong(check, IOMMU_BAD_SETS);
  }
  if (check.seen - before != iova.freePages) wrong(check, IOMMU_BAD_SETS);
}

/** Checks that the IOTLB has what the page table has, or what waits for a flush, in its set, once. */
function checkIotlb(check: Check, ptr: u32): void {
  const tlb = changetype<Iotlb>(ptr + IOTLB_AT);
  const sets = iotlbSets(tlb);
  for (let set: u32 = 0; set < sets; set++) {
    for (let way: u32 = 0; way < tlb.ways; way++) {
      const pfn = iotlbTag(tlb, set, way);
      if (!pfn) continue;
      if ((pfn & (sets - 1)) != set) wrong(check, IOMMU_BAD_IOTLB);
      for (let other = way + 1; other < tlb.ways; other++) {
        if (iotlbTag(tlb, set, other) == pfn) wrong(check, IOMMU_BAD_IOTLB);
      }
      const entry = iotlbWayEntry(tlb, set, way);
      const now = walk(changetype<PageTable>(ptr + PAGE_TABLE_AT), pfn << IOMMU_PAGE_BITS);
      if (entry & TLB_STALE ? now != 0 || !waits(ptr, pfn) : now != entry) wrong(check, IOMMU_BAD_IOTLB);
    }
  }
}

/** Whether a page is in a range that waits for a flush. */
function waits(ptr: u32, pfn: u32): bool {
  const queue = changetype<FlushQueue>(ptr + FLUSH_QUEUE_AT);
  for (let k: u32 = 0; k < queue.waiting; k++) {
    if (pfn >> flushQueueOrder(queue, k) == flushQueuePfn(queue, k) >> flushQueueOrder(queue, k)) return true;
  }
  return false;
}
