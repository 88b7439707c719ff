// Receive buffers, kind `page-pool`: a pool of pages for each queue. The driver takes from a LIFO cache
// of 128, which is filled 64 at a time: from a ring of 1024 that consumers recycle into, or by allocating
// 64 at once. A page stays mapped while it goes round; it is unmapped when it leaves the pool: because
// others hold references to it, because it is another node's or of the reserve, or because the ring is full.

import { OP_PAGE_ALLOC, PAGE_POOL_CACHE, PAGE_POOL_FILL, PAGE_POOL_RING } from "../abi";
import { PAGE_FROM_RESERVE, Page, pageIsReusable, pageStart, pagesTakeBulk, recordOf } from "../mem/pages";
import { traceOp } from "../mem/trace";
import {
  RxRing,
  rxGivePage,
  rxMapPage,
  rxPutPage,
  rxSyncForDevice,
  rxUnmapPage,
  takeFromTop,
  traceReuse,
  waitOnTop,
} from "./rx-ring";

export function poolTake(rx: RxRing): u32 {
  if (!rx.depth) {
    fillFromRing(rx);
    if (!rx.depth) fillFromAllocator(rx);
  }
  const page = takeFromTop(rx);
  if (!page) return 0;
  return page + rx.headroom;
}

export function poolKeep(rx: RxRing, buffer: u32): void {
  rxGivePage(rx, buffer);
}

/** The consumer recycles the page, if nobody else holds it and the ring has room. */
export function poolDrop(rx: RxRing, data: u32): void {
  recycle(rx, recordOf(rx.records, data), pageStart(data));
}

/** What the driver itself gives back goes into the cache. */
export function poolReturn(rx: RxRing, buffer: u32): void {
  const page = recordOf(rx.records, buffer);
  const ptr = pageStart(buffer);
  if (rx.depth < PAGE_POOL_CACHE && page.refs == 1 && !(page.home & PAGE_FROM_RESERVE)) waitOnTop(rx, ptr);
  else recycle(rx, page, ptr);
}

export function poolClose(rx: RxRing): void {
  for (;;) {
    let page = takeFromTop(rx);
    if (!page) page = nextRecycled(rx);
    if (!page) return;
    leave(rx, recordOf(rx.records, page), page);
  }
}

function recycle(rx: RxRing, page: Page, ptr: u32): void {
  const end = rx.pagesReused;
  const full = end - rx.retaken == PAGE_POOL_RING;
  if (page.refs != 1 || page.home & PAGE_FROM_RESERVE || full) {
    leave(rx, page, ptr);
    return;
  }
  rxSyncForDevice(rx, ptr + rx.headroom);
  page.bias = 1;
  store<u32>(rx.recycled + ((<u32>end & (PAGE_POOL_RING - 1)) << 2), ptr);
  rx.pagesReused = end + 1;
  traceReuse(rx, ptr + rx.headroom);
}

@inline
function nextRecycled(rx: RxRing): u32 {
  const first = rx.retaken;
  if (first == rx.pagesReused) return 0;
  rx.retaken = first + 1;
  return load<u32>(rx.recycled + ((<u32>first & (PAGE_POOL_RING - 1)) << 2));
}

/** For a check: page number `at` of the recycle ring, or 0 behind the last. */
export function poolRecycled(rx: RxRing, at: u32): u32 {
  if (<u64>at >= rx.pagesReused - rx.retaken) return 0;
  return load<u32>(rx.recycled + (((<u32>rx.retaken + at) & (PAGE_POOL_RING - 1)) << 2));
}

/** As long as what comes is this node's; a page of another leaves, and the allocator is asked. */
function fillFromRing(rx: RxRing): void {
  while (rx.depth < PAGE_POOL_FILL) {
    const page = nextRecycled(rx);
    if (!page) return;
    const record = recordOf(rx.records, page);
    if (!pageIsReusable(record, rx.node)) {
      leave(rx, record, page);
      return;
    }
    waitOnTop(rx, page);
  }
}

/** Pages of the bulk are put where the cache will have them, and those that can't be mapped leave again. */
function fillFromAllocator(rx: RxRing): void {
  const count = pagesTakeBulk(changetype<u32>(rx.pages), rx.node, rx.list, PAGE_POOL_FILL);
  if (!count) rx.failure = 0;
  rx.pagesAllocated += count;
  for (let k: u32 = 0; k < count; k++) {
    const page = load<u32>(rx.list + (k << 2));
    recordOf(rx.records, page).bias = 1;
    traceOp(rx.trace, OP_PAGE_ALLOC, page, 1);
    if (!rxMapPage(rx, page)) continue;
    rxSyncForDevice(rx, page + rx.headroom);
    waitOnTop(rx, page);
  }
}

function leave(rx: RxRing, page: Page, ptr: u32): void {
  page.bias = 0;
  rxUnmapPage(rx, page);
  rxPutPage(rx, ptr, 1);
}
