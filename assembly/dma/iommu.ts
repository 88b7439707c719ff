// An IOMMU domain: the address space of one device behind an IOMMU. Its addresses, its page table, its
// IOTLB and its flush queue are its own, in private memory, so that two domains have nothing in common.
//
//   IommuDomain | Iova | Magazines | PageTable | Iotlb | FlushQueue       control blocks
//   | sets of free blocks | magazines | IOTLB | flush queue | free tables | pad | root | tables ...
//
// A mapping covers whole pages, from the one of its first byte to the one of its last; its handle is
// the bus address of the first byte, with the offset in the page. What a driver does for each packet,
// one page with its table at hand, is inlined where it is called; everything else is a call.
//
// The tables of pages that are freed may be used again at once, because an IOTLB holds translations
// of pages only.

import {
  CACHE_LINE,
  DMA_E_EMPTY,
  DMA_E_NO_IOVA,
  DMA_E_NO_TABLE,
  DMA_E_RANGE,
  DMA_MAPPING_ERROR,
  IOMMU_FAULT,
  IOMMU_PAGE_BITS,
} from "../abi";
import {
  FlushQueue,
  flushQueueAdd,
  flushQueueBytes,
  flushQueueGive,
  flushQueueInit,
  flushQueueIsFull,
} from "./flush-queue";
import {
  entryServes,
  Iotlb,
  iotlbBytes,
  iotlbDrop,
  iotlbFill,
  iotlbGlance,
  iotlbInit,
  iotlbInvalidate,
  iotlbInvalidateAll,
  iotlbLookup,
  iotlbMarkStale,
  needsOf,
  TLB_STALE,
} from "./iotlb";
import { IOVA_BYTES, iovaInit, iovaOrder, iovaSetBytes } from "./iova";
import {
  MAGAZINE_SIZE,
  MAGAZINES_BYTES,
  magazineBytes,
  magazineCount,
  magazineEntry,
  magazinePush,
  magazinesGive,
  magazinesInit,
  magazinesTake,
  rcacheOf,
} from "./magazines";
import {
  leafEntry,
  ONE_ENTRY,
  PAGE_BYTES,
  PAGE_MASK,
  PageTable,
  pagePtr,
  pageTableBytes,
  pageTableInit,
  pageTableLength,
  pageTableListBytes,
  pageTableMap,
  pageTableUnmap,
  pageTableWatch,
  permissionsOf,
  walk,
} from "./page-table";

@unmanaged
export class IommuDomain {
  /** Mappings that are live, and their pages: the map calls count both with one addition. */
  liveMappings: u32;
  livePages: u32;
  /** Whether ended mappings wait for a flush (iommu-lazy), or are invalidated at once (iommu-strict). */
  lazy: u32;
  /** Why the last `iommuMap` failed (DMA_E_*). */
  failure: u32;
  /** Goes up when the translation of a watched page has ended for good. */
  ringEpoch: u32;
  _pad: u32;
  /** Whole-domain invalidations by the flush queue. */
  flushes: u64;
  /** Accesses through a translation whose mapping had ended. */
  staleAccesses: u64;
}

// Where the parts are in a domain.
export const IOVA_AT: u32 = offsetof<IommuDomain>();
export const MAGAZINES_AT: u32 = IOVA_AT + IOVA_BYTES;
export const PAGE_TABLE_AT: u32 = MAGAZINES_AT + MAGAZINES_BYTES;
export const IOTLB_AT: u32 = PAGE_TABLE_AT + ((offsetof<PageTable>() + 7) & ~7);
export const FLUSH_QUEUE_AT: u32 = IOTLB_AT + ((offsetof<Iotlb>() + 7) & ~7);
const CONTROL_BYTES: u32 = (FLUSH_QUEUE_AT + offsetof<FlushQueue>() + CACHE_LINE - 1) & ~(CACHE_LINE - 1);

const ONE_MAPPING: u64 = 1;
const ONE_PAGE: u64 = 1 << 32;

/**
 * Bytes of a domain: `aperturePages` (2 to 2^20) of bus addresses, a pool of `tables` besides the root,
 * an IOTLB of `entries` in `ways` (powers of two, at most 64 ways), a flush queue of `slots` (2 and more).
 */
export function iommuDomainBytes(aperturePages: u32, tables: u32, entries: u32, ways: u32, slots: u32): u32 {
  return tablesAt(0, aperturePages, tables, entries, ways, slots) + pageTableBytes(tables);
}

/** Makes an empty domain at `ptr`, aligned to a page, in that many bytes. `levels` is 3 or 4. */
export function iommuInit(
  ptr: u32,
  lazy: bool,
  aperturePages: u32,
  tables: u32,
  levels: u32,
  entries: u32,
  ways: u32,
  slots: u32,
): void {
  memory.fill(ptr, 0, CONTROL_BYTES);
  changetype<IommuDomain>(ptr).lazy = <u32>lazy;
  let at = ptr + CONTROL_BYTES;
  iovaInit(ptr + IOVA_AT, at, aperturePages);
  at += iovaSetBytes(aperturePages);
  magazinesInit(ptr + MAGAZINES_AT, at, ptr + IOVA_AT);
  at += magazineBytes();
  iotlbInit(ptr + IOTLB_AT, at, entries, ways);
  at += iotlbBytes(entries, ways);
  flushQueueInit(ptr + FLUSH_QUEUE_AT, at, slots);
  at += flushQueueBytes(slots);
  pageTableInit(
    ptr + PAGE_TABLE_AT,
    levels,
    tablesAt(ptr, aperturePages, tables, entries, ways, slots),
    tables,
    at,
  );
}

function tablesAt(ptr: u32, aperturePages: u32, tables: u32, entries: u32, ways: u32, slots: u32): u32 {
  const end =
    ptr +
    CONTROL_BYTES +
    iovaSetBytes(aperturePages) +
    magazineBytes() +
    iotlbBytes(entries, ways) +
    flushQueueBytes(slots) +
    pageTableListBytes(tables);
  return (end + PAGE_MASK) & ~PAGE_MASK;
}

@inline
function iotlbOf(ptr: u32): Iotlb {
  return changetype<Iotlb>(ptr + IOTLB_AT);
}
@inline
function pageTableOf(ptr: u32): PageTable {
  return changetype<PageTable>(ptr + PAGE_TABLE_AT);
}
@inline
function flushQueueOf(ptr: u32): FlushQueue {
  return changetype<FlushQueue>(ptr + FLUSH_QUEUE_AT);
}

/** Whether `bytes` at `addr` are one to a page's, and all in one page. */
@inline
function inOnePage(addr: u32, bytes: u32): bool {
  return bytes - 1 < PAGE_BYTES - (addr & PAGE_MASK);
}

/** Pages that `bytes`, not 0, at `addr` touch. */
@inline
function pagesOf(addr: u32, bytes: u32): u32 {
  return <u32>((<u64>(addr & PAGE_MASK) + bytes + PAGE_MASK) >> IOMMU_PAGE_BITS);
}

/** Mappings and pages that are live, as one word. */
@inline
function countLive(ptr: u32, change: u64): void {
  store<u64>(
    ptr,
    load<u64>(ptr, offsetof<IommuDomain>("liveMappings")) + change,
    offsetof<IommuDomain>("liveMappings"),
  );
}

/**
 * Maps `bytes` at `place` for the device of the domain at `ptr`: the bus address, or
 * DMA_MAPPING_ERROR with `failure` set and nothing changed.
 */
@inline
export function iommuMap(ptr: u32, place: u32, bytes: u32, direction: u32): u32 {
  if (inOnePage(place, bytes)) {
    const magazine = rcacheOf(ptr + MAGAZINES_AT, 0).loaded;
    const count = magazineCount(magazine);
    if (count) {
      const iova = magazineEntry(magazine, count - 1) << IOMMU_PAGE_BITS;
      const leaf = leafEntry(pageTableOf(ptr), iova);
      if (leaf) {
        const above = load<u64>(leaf);
        store<u64>(leaf, above + ONE_ENTRY);
        store<u64>(
          pagePtr(<u32>above, iova),
          ((<u64>1) << 32) | ((place & ~PAGE_MASK) | permissionsOf(direction)),
        );
        store<u32>(magazine, count - 1);
        countLive(ptr, ONE_MAPPING + ONE_PAGE);
        return iova | (place & PAGE_MASK);
      }
    }
  }
  return mapPages(ptr, place, bytes, direction);
}

function mapPages(ptr: u32, place: u32, bytes: u32, direction: u32): u32 {
  if (!bytes) return mapFailed(ptr, DMA_E_EMPTY);
  if (<u64>place + bytes > 1 << 32) return mapFailed(ptr, DMA_E_RANGE);
  const pages = pagesOf(place, bytes);
  const order = iovaOrder(pages);
  const pfn = magazinesTake(ptr + MAGAZINES_AT, order);
  if (!pfn) return mapFailed(ptr, DMA_E_NO_IOVA);
  const iova = pfn << IOMMU_PAGE_BITS;
  if (!pageTableMap(ptr + PAGE_TABLE_AT, iova, place & ~PAGE_MASK, pages, permissionsOf(direction))) {
    magazinesGive(ptr + MAGAZINES_AT, pfn, order);
    return mapFailed(ptr, DMA_E_NO_TABLE);
  }
  countLive(ptr, ONE_MAPPING + pages * ONE_PAGE);
  return iova | (place & PAGE_MASK);
}

function mapFailed(ptr: u32, failure: u32): u32 {
  changetype<IommuDomain>(ptr).failure = failure;
  return DMA_MAPPING_ERROR;
}

/**
 * Ends the mapping of `bytes` that `iommuMap` returned as `iova`. Strict: its translations are
 * invalidated and its addresses given back; lazy: they wait for the flush. False, with nothing changed,
 * when no mapping of that many pages starts there.
 */
@inline
export function iommuUnmap(ptr: u32, iova: u32, bytes: u32): bool {
  const leaf = leafEntry(pageTableOf(ptr), iova);
  if (inOnePage(iova, bytes) && leaf) {
    const above = load<u64>(leaf);
    const entry = pagePtr(<u32>above, iova);
    const pfn = iova >> IOMMU_PAGE_BITS;
    // A mapping of one page that nobody watches, and not the last one of its table.
    if (load<u32>(entry, 4) == 1 && above >= 2 * ONE_ENTRY) {
      if (changetype<IommuDomain>(ptr).lazy) {
        const queue = flushQueueOf(ptr);
        if (!flushQueueIsFull(queue)) {
          clear(ptr, leaf, above, entry);
          iotlbMarkStale(iotlbOf(ptr), pfn);
          flushQueueAdd(queue, pfn, 0);
          return true;
        }
      } else {
        const magazine = rcacheOf(ptr + MAGAZINES_AT, 0).loaded;
        const count = magazineCount(magazine);
        if (count < MAGAZINE_SIZE) {
          clear(ptr, leaf, above, entry);
          const tlb = iotlbOf(ptr);
          tlb.invalidations++;
          iotlbDrop(tlb, pfn);
          magazinePush(magazine, count, pfn);
          store<u32>(magazine, count + 1);
          return true;
        }
      }
    }
  }
  return unmapPages(ptr, iova, bytes);
}

/** Clears the entry of a mapping of one page. */
@inline
function clear(ptr: u32, leaf: u32, above: u64, entry: u32): void {
  store<u64>(entry, 0);
  store<u64>(leaf, above - ONE_ENTRY);
  countLive(ptr, -(ONE_MAPPING + ONE_PAGE));
}

function unmapPages(ptr: u32, iova: u32, bytes: u32): bool {
  const pages = bytes ? pagesOf(iova, bytes) : 0;
  if (!pages || pageTableLength(ptr + PAGE_TABLE_AT, iova) != pages) return false;
  const domain = changetype<IommuDomain>(ptr);
  const pfn = iova >> IOMMU_PAGE_BITS;
  const watched = pageTableUnmap(ptr + PAGE_TABLE_AT, iova, pages);
  countLive(ptr, -(ONE_MAPPING + pages * ONE_PAGE));
  const tlb = iotlbOf(ptr);
  if (domain.lazy) {
    const queue = flushQueueOf(ptr);
    if (flushQueueIsFull(queue)) flush(domain, queue);
    for (let k: u32 = 0; k < pages; k++) iotlbMarkStale(tlb, pfn + k);
    queue.watched |= watched;
    flushQueueAdd(queue, pfn, iovaOrder(pages));
  } else {
    iotlbInvalidate(tlb, pfn, pages);
    if (watched) domain.ringEpoch++;
    magazinesGive(ptr + MAGAZINES_AT, pfn, iovaOrder(pages));
  }
  return true;
}

/** The host's tick, which stands in for a timer: what waits is flushed. */
export function iommuTick(ptr: u32): void {
  const queue = flushQueueOf(ptr);
  if (queue.waiting) flush(changetype<IommuDomain>(ptr), queue);
}

/** Invalidates the whole domain; only after that are the ranges that wait given back. */
function flush(domain: IommuDomain, queue: FlushQueue): void {
  const ptr = changetype<u32>(domain);
  iotlbInvalidateAll(iotlbOf(ptr));
  domain.flushes++;
  if (queue.watched) domain.ringEpoch++;
  queue.watched = 0;
  flushQueueGive(queue, ptr + MAGAZINES_AT);
}

/** The place of a byte that the device reads or writes, or IOMMU_FAULT: through the IOTLB, counted. */
@inline
export function iommuTranslate(ptr: u32, iova: u32, write: bool): u32 {
  const tlb = iotlbOf(ptr);
  const entry = iotlbGlance(tlb, iova >> IOMMU_PAGE_BITS);
  if (entryServes(entry, needsOf(write))) {
    tlb.hits++;
    return (entry & ~PAGE_MASK) | (iova & PAGE_MASK);
  }
  return translate(ptr, iova, needsOf(write));
}

/** The same for what is not at its own place, not there at all, not allowed, or no longer mapped. */
function translate(ptr: u32, iova: u32, needs: u32): u32 {
  const domain = changetype<IommuDomain>(ptr);
  const tlb = iotlbOf(ptr);
  const pfn = iova >> IOMMU_PAGE_BITS;
  let entry = iotlbLookup(tlb, pfn);
  if (entry) {
    tlb.hits++;
  } else {
    tlb.misses++;
    entry = walk(pageTableOf(ptr), iova);
    if (entry) iotlbFill(tlb, pfn, entry);
  }
  if (!(entry & needs)) return IOMMU_FAULT;
  if (entry & TLB_STALE) domain.staleAccesses++;
  return (entry & ~PAGE_MASK) | (iova & PAGE_MASK);
}

/** The same by the bare walk of the page table, not counted. */
@inline
export function iommuWalk(ptr: u32, iova: u32, write: bool): u32 {
  const entry = walk(pageTableOf(ptr), iova);
  if (!(entry & needsOf(write))) return IOMMU_FAULT;
  return (entry & ~PAGE_MASK) | (iova & PAGE_MASK);
}

/** The driver's side: the place behind a bus address that is mapped, whatever the direction. */
export function iommuPlace(ptr: u32, iova: u32): u32 {
  return (walk(pageTableOf(ptr), iova) & ~PAGE_MASK) | (iova & PAGE_MASK);
}

/** Watches the pages of `bytes` that are mapped at `iova`: `ringEpoch` goes up when one of them ends. */
export function iommuWatch(ptr: u32, iova: u32, bytes: u32): void {
  if (bytes) pageTableWatch(ptr + PAGE_TABLE_AT, iova & ~PAGE_MASK, pagesOf(iova, bytes));
}
