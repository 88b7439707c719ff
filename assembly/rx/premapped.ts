// Receive buffers, kind `premapped`: a fixed number of pages, all mapped when the queue is set up, none
// after. A packet costs one sync for the CPU, and one for the device when a buffer is posted again.

import { pageStart, recordOf } from "../mem/pages";
import {
  RxRing,
  rxGivePage,
  rxMapPage,
  rxPutPage,
  rxTakePage,
  rxUnmapPage,
  takeFromTop,
  traceReuse,
  waitOnTop,
} from "./rx-ring";

/** Maps the buffers; false when they could not all be had. */
export function premappedOpen(rx: RxRing): bool {
  for (let k: u32 = 0; k < rx.fixedPages; k++) {
    const page = rxTakePage(rx);
    if (!page || !rxMapPage(rx, page)) return false;
    waitOnTop(rx, page);
  }
  return true;
}

export function premappedTake(rx: RxRing): u32 {
  const page = takeFromTop(rx);
  if (page) return page + rx.headroom;
  rx.failure = 0;
  return 0;
}

export function premappedKeep(rx: RxRing, buffer: u32): void {
  rxGivePage(rx, buffer);
}

@inline
export function premappedDrop(rx: RxRing, data: u32): void {
  const page = pageStart(data);
  recordOf(rx.records, page).bias = 1;
  waitOnTop(rx, page);
  rx.pagesReused++;
  traceReuse(rx, page + rx.headroom);
}

export function premappedReturn(rx: RxRing, buffer: u32): void {
  waitOnTop(rx, pageStart(buffer));
}

export function premappedClose(rx: RxRing): void {
  for (;;) {
    const page = takeFromTop(rx);
    if (!page) return;
    rxUnmapPage(rx, recordOf(rx.records, page));
    rxPutPage(rx, page, 1);
  }
}
