// Receive buffers, kind `page-reuse`: half pages. A page is mapped once; a packet takes one half as a
// read-only fragment and a reference, and if nobody holds the other half by then, the page is posted
// again with that one. Otherwise it is unmapped, and the driver's references are dropped.
//
// A packet of at most 256 bytes is copied whole: no fragment, no reference, and the same half goes back.
// Of a larger one the headers are copied out.
//
// References are taken one by one (Linux 4.7), or 65,535 at once, of which the driver gives its own away
// without touching the shared count (6.1): `takesAhead`. A consumer's put is a shared write either way.

import { PACKET_HEAD, PAGE_SIZE } from "../abi";
import { copyBytes } from "../mem/copy";
import { Page, pageGet, pageIsReusable, recordOf } from "../mem/pages";
import { headersBytes } from "./headers";
import {
  nextInOrder,
  Packet,
  RxRing,
  rxMapPage,
  rxPutPage,
  rxTakePage,
  rxUnmapPage,
  traceReuse,
  waitInOrder,
} from "./rx-ring";

const HALF: u32 = PAGE_SIZE >> 1;
/** USHRT_MAX: references that a page starts with when they are taken ahead. */
const AHEAD: u32 = 65535;

@inline
export function reuseTake(rx: RxRing): u32 {
  const waiting = nextInOrder(rx);
  return waiting ? waiting : reuseNew(rx);
}

/** The first half of a new page, mapped. */
export function reuseNew(rx: RxRing): u32 {
  const page = rxTakePage(rx);
  if (!page || !rxMapPage(rx, page)) return 0;
  if (rx.takesAhead) takeAhead(recordOf(rx.records, page));
  return page + rx.headroom;
}

export function reuseReceive(rx: RxRing, buffer: u32, frameBytes: u32, packet: Packet): void {
  const page = recordOf(rx.records, buffer);
  const frame = buffer + rx.frameOffset;
  if (frameBytes <= PACKET_HEAD) {
    copyHead(rx, packet, frame, frameBytes);
    packet.data = frame;
    packet.bytes = 0;
    if (!pageIsReusable(page, rx.node)) {
      leavePage(rx, page, buffer);
      return;
    }
    waitInOrder(rx, buffer);
    traceReuse(rx, buffer);
    rx.copiedWhole++;
    return;
  }
  const headBytes = headersBytes(frame, PACKET_HEAD);
  copyHead(rx, packet, frame, headBytes);
  packet.data = frame + headBytes;
  packet.bytes = frameBytes - headBytes;
  giveHalf(rx, page, buffer);
}

export function reuseKeep(rx: RxRing, buffer: u32): void {
  giveHalf(rx, recordOf(rx.records, buffer), buffer);
}

/** A packet keeps the half that `buffer` is: the other one goes on, or the driver leaves the page. */
@inline
export function giveHalf(rx: RxRing, page: Page, buffer: u32): void {
  if (flipHalf(rx, page, buffer)) {
    traceReuse(rx, buffer ^ HALF);
    return;
  }
  page.bias--;
  leavePage(rx, page, buffer);
}

/**
 * Lets the page wait with its other half, with a reference for the packet that has this one; false when
 * the page can't be used again. It makes no call, which in a loop would cost every value a place in memory.
 */
@inline
export function flipHalf(rx: RxRing, page: Page, buffer: u32): bool {
  // Read before this packet's own reference: more than the driver's are those of packets with the other half.
  const refs = page.refs;
  const bias = page.bias;
  if (refs != bias) return false;
  if (!pageIsReusable(page, rx.node)) return false;
  // The driver has one reference, or with references taken ahead at least two.
  if (bias == 1) {
    page.refs = refs + 1;
  } else if (bias == 2) {
    takeAhead(page);
    rx.referenceTopUps++;
  } else {
    page.bias = bias - 1;
  }
  waitInOrder(rx, buffer ^ HALF);
  return true;
}

export function reuseDrop(rx: RxRing, data: u32): void {
  rxPutPage(rx, data, 1);
}

/** A buffer that no packet came in: its page is given up. */
export function reuseReturn(rx: RxRing, buffer: u32): void {
  leavePage(rx, recordOf(rx.records, buffer), buffer);
}

export function reuseClose(rx: RxRing): void {
  for (;;) {
    const buffer = nextInOrder(rx);
    if (!buffer) return;
    reuseReturn(rx, buffer);
  }
}

/** Fills the driver's own references up to 65,535 when one is left to it. */
@inline
function takeAhead(page: Page): void {
  pageGet(page, AHEAD - 1);
  page.bias = AHEAD;
}

/** Unmaps a page and puts the references that are the driver's. */
function leavePage(rx: RxRing, page: Page, buffer: u32): void {
  rxUnmapPage(rx, page);
  const own = page.bias;
  page.bias = 0;
  if (own) rxPutPage(rx, buffer, own);
}

/** Copies the first `bytes` of a frame, in whole words of 8 as memory copies go. */
@inline
function copyHead(rx: RxRing, packet: Packet, frame: u32, bytes: u32): void {
  const copied = (bytes + 7) & ~7;
  copyBytes(packet.head, frame, copied);
  packet.headBytes = bytes;
  rx.headerCopyBytes += copied;
}
