// Receive buffers, kind `big`: a buffer holds any frame without merging (5.1.6.3.1): 18 pages in 19 elements, of
// which the device header and the first of the frame share a page. The queue's driver half maps each element
// when the buffer is added, and unmaps it when it comes back.
//
//   page 0   | header | unused up to a cache line | frame ...      two elements
//   page 1   | frame ...                                           one element, and so for each further page
//
// A packet keeps the pages that its frame reached; the others wait for the next buffer. Pages of a buffer are
// linked in private memory, in place of the handle that kinds which map for themselves keep there.

import { BIG_PAGES, PAGE_SIZE } from "../abi";
import { recordOf } from "../mem/pages";
import {
  Packet,
  packetAddFragment,
  packetInPage,
  RxRing,
  rxGivePage,
  rxPutPage,
  rxTakePage,
  takeFromTop,
  waitOnTop,
} from "./rx-ring";

/** The first of as many linked pages as a buffer has; when they can't all be had, those that could wait. */
export function bigTake(rx: RxRing): u32 {
  let first: u32 = 0;
  for (let k: u32 = 0; k < BIG_PAGES; k++) {
    let page = takeFromTop(rx);
    if (!page) page = rxTakePage(rx);
    if (!page) {
      bigReturn(rx, first);
      return 0;
    }
    recordOf(rx.records, page).dma = first;
    first = page;
  }
  return first;
}

/** The page behind `page` in its buffer, or 0. */
@inline
export function bigNext(rx: RxRing, page: u32): u32 {
  return recordOf(rx.records, page).dma;
}

/** The ring has clamped what the device says it wrote to what the elements hold. */
export function bigReceive(rx: RxRing, buffer: u32, frameBytes: u32, packet: Packet): void {
  const bytes = min(frameBytes, PAGE_SIZE - rx.frameOffset);
  packetInPage(packet, buffer + rx.frameOffset, bytes);
  let page = bigNext(rx, buffer);
  rxGivePage(rx, buffer);
  for (let rest = frameBytes - bytes; rest; ) {
    const part = min(rest, PAGE_SIZE);
    packetAddFragment(packet, page, part);
    rest -= part;
    const next = bigNext(rx, page);
    rxGivePage(rx, page);
    page = next;
  }
  bigReturn(rx, page);
}

export function bigDrop(rx: RxRing, data: u32): void {
  rxPutPage(rx, data, 1);
}

/** The pages from `page` on wait for another buffer. */
export function bigReturn(rx: RxRing, page: u32): void {
  while (page) {
    const next = bigNext(rx, page);
    waitOnTop(rx, page);
    page = next;
  }
}

export function bigClose(rx: RxRing): void {
  for (;;) {
    const page = takeFromTop(rx);
    if (!page) return;
    rxGivePage(rx, page);
    rxPutPage(rx, page, 1);
  }
}
