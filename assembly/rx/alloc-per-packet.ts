// Receive buffers, kind `alloc-per-packet`: a page is allocated for every buffer that is posted, and goes
// with the packet. The queue's driver half maps it when it is added and unmaps it when it comes back
// (ACCESS_PLATFORM without premapped elements). One allocation, one map, one unmap a packet.

import { recordOf } from "../mem/pages";
import { RxRing, rxGivePage, rxPutPage, rxTakePage } from "./rx-ring";

export function allocTake(rx: RxRing): u32 {
  const page = rxTakePage(rx);
  if (!page) return 0;
  // What is staged is a pointer; the ring makes the handle.
  recordOf(rx.records, page).dma = page;
  return page + rx.headroom;
}

export function allocKeep(rx: RxRing, buffer: u32): void {
  rxGivePage(rx, buffer);
}

export function allocDrop(rx: RxRing, data: u32): void {
  rxPutPage(rx, data, 1);
}

/** A buffer that no packet came in goes back to where it came from. */
export function allocReturn(rx: RxRing, buffer: u32): void {
  rxGivePage(rx, buffer);
  rxPutPage(rx, buffer, 1);
}
