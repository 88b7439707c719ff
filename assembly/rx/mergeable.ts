// Receive buffers, kind `mergeable`: small buffers, two to a page, of which a long frame takes several. The
// queue's driver half maps each when it is added and unmaps it when it comes back. A page is allocated for
// two buffers, and freed when both were dropped: what a ring has posted is half as much memory.
//
//   page   | buffer: device header | frame ... | buffer: the frame goes on, or another one |
//
// The page's references are one for each of its buffers, wherever it is.

import { PAGE_SIZE } from "../abi";
import { pageGet, recordOf } from "../mem/pages";
import { RxRing, rxPutPage, rxTakePage, takeFromTop, waitOnTop } from "./rx-ring";

const HALF: u32 = PAGE_SIZE >> 1;

export function mergeableTake(rx: RxRing): u32 {
  const waiting = takeFromTop(rx);
  if (waiting) return waiting;
  const ptr = rxTakePage(rx);
  if (!ptr) return 0;
  const page = recordOf(rx.records, ptr);
  pageGet(page, 1);
  page.bias = 2;
  // What is staged is a pointer; the ring makes the handle.
  page.dma = ptr;
  waitOnTop(rx, ptr + HALF + rx.headroom);
  return ptr + rx.headroom;
}

export function mergeableKeep(rx: RxRing, buffer: u32): void {
  recordOf(rx.records, buffer).bias--;
}

export function mergeableDrop(rx: RxRing, data: u32): void {
  rxPutPage(rx, data, 1);
}

/** A buffer that no packet came in is posted again. */
export function mergeableReturn(rx: RxRing, buffer: u32): void {
  waitOnTop(rx, buffer);
}

export function mergeableClose(rx: RxRing): void {
  for (;;) {
    const buffer = takeFromTop(rx);
    if (!buffer) return;
    recordOf(rx.records, buffer).bias--;
    rxPutPage(rx, buffer, 1);
  }
}
