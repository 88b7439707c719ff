// What a queue asks of its kind of receive buffer. `kind` is a constant where these are inlined into the
// loops that run once a packet (path/receive.ts), so each kind has its own copy of them.

import {
  BIG_PAGES,
  RX_ALLOC_PER_PACKET,
  RX_BIG,
  RX_FRAMES,
  RX_MERGEABLE,
  RX_PAGE_POOL,
  RX_PAGE_REUSE,
  RX_PAGE_REUSE_BUILD,
  RX_STREAMING,
} from "../abi";
import { Page, recordOf } from "../mem/pages";
import { allocDrop, allocKeep, allocReturn, allocTake } from "./alloc-per-packet";
import { bigClose, bigDrop, bigReceive, bigReturn, bigTake } from "./big";
import { mergeableClose, mergeableDrop, mergeableKeep, mergeableReturn, mergeableTake } from "./mergeable";
import { poolClose, poolDrop, poolKeep, poolRecycled, poolReturn, poolTake } from "./page-pool";
import { reuseClose, reuseDrop, reuseKeep, reuseReceive, reuseReturn, reuseTake } from "./page-reuse";
import { buildDrop, buildKeep } from "./page-reuse-build";
import {
  premappedClose,
  premappedDrop,
  premappedKeep,
  premappedOpen,
  premappedReturn,
  premappedTake,
} from "./premapped";
import {
  Packet,
  packetInPage,
  RxRing,
  rxSyncForCpu,
  waitingInOrder,
  waitingOnStack,
  waitOnTop,
} from "./rx-ring";
import { streamClose, streamDrop, streamOpen, streamPage, streamReturn, streamTake } from "./streaming";

/** Makes ready what is made before the first buffer is posted; false when it could not be had. */
export function rxOpen(rx: RxRing): bool {
  rx.records = rx.pages.recordsAt0;
  rx.trace = rx.space.trace;
  switch (rx.kind) {
    case RX_ALLOC_PER_PACKET:
    case RX_PAGE_REUSE:
    case RX_PAGE_REUSE_BUILD:
    case RX_PAGE_POOL:
    case RX_MERGEABLE:
    case RX_BIG:
    case RX_FRAMES:
      return true;
    case RX_STREAMING:
      return streamOpen(rx);
    default:
      return premappedOpen(rx);
  }
}

/** A mapped buffer to post, or 0 with `rx.failure` set. */
@inline
export function rxTake(rx: RxRing, kind: u32): u32 {
  switch (kind) {
    case RX_ALLOC_PER_PACKET:
      return allocTake(rx);
    case RX_PAGE_REUSE:
    case RX_PAGE_REUSE_BUILD:
      return reuseTake(rx);
    case RX_PAGE_POOL:
      return poolTake(rx);
    case RX_MERGEABLE:
      return mergeableTake(rx);
    case RX_BIG:
      return bigTake(rx);
    case RX_STREAMING:
      return streamTake(rx);
    default:
      return premappedTake(rx);
  }
}

/** Shows the CPU the first `bytes` of a buffer that came back, or all of it; what the ring has unmapped it sees already. */
@inline
export function rxShow(rx: RxRing, kind: u32, buffer: u32, bytes: u32): void {
  if (kind == RX_ALLOC_PER_PACKET || kind == RX_MERGEABLE || kind == RX_BIG) return;
  const shown = kind == RX_PAGE_REUSE && !rx.syncWritten ? rx.bufferBytes : bytes;
  rxSyncForCpu(rx, recordOf(rx.records, buffer), buffer, shown);
}

/** The device wrote a frame, or the first part of one, of `frameBytes` into `buffer`: makes a packet of it. */
@inline
export function rxReceive(rx: RxRing, kind: u32, buffer: u32, frameBytes: u32, packet: Packet): void {
  if (kind == RX_PAGE_REUSE) {
    reuseReceive(rx, buffer, frameBytes, packet);
    return;
  }
  if (kind == RX_BIG) {
    bigReceive(rx, buffer, frameBytes, packet);
    return;
  }
  packetInPage(packet, buffer + rx.frameOffset, frameBytes);
  rxKeep(rx, kind, buffer);
}

/** What the device wrote into `buffer` becomes a packet's, with a reference to the page. */
@inline
export function rxKeep(rx: RxRing, kind: u32, buffer: u32): void {
  switch (kind) {
    case RX_ALLOC_PER_PACKET:
      allocKeep(rx, buffer);
      break;
    case RX_PAGE_REUSE:
      reuseKeep(rx, buffer);
      break;
    case RX_PAGE_REUSE_BUILD:
      buildKeep(rx, buffer);
      break;
    case RX_PAGE_POOL:
      poolKeep(rx, buffer);
      break;
    case RX_MERGEABLE:
      mergeableKeep(rx, buffer);
      break;
    default:
      premappedKeep(rx, buffer);
  }
}

/** The consumer is done with what a packet has at `data`. */
@inline
export function rxDrop(rx: RxRing, kind: u32, data: u32): void {
  switch (kind) {
    case RX_ALLOC_PER_PACKET:
      allocDrop(rx, data);
      break;
    case RX_PAGE_REUSE:
      reuseDrop(rx, data);
      break;
    case RX_PAGE_REUSE_BUILD:
      buildDrop(rx, data);
      break;
    case RX_PAGE_POOL:
      poolDrop(rx, data);
      break;
    case RX_MERGEABLE:
      mergeableDrop(rx, data);
      break;
    case RX_BIG:
      bigDrop(rx, data);
      break;
    case RX_STREAMING:
      streamDrop(rx, data);
      break;
    default:
      premappedDrop(rx, data);
  }
}

/** A buffer that was lent comes back without a packet in it. */
export function rxReturn(rx: RxRing, buffer: u32): void {
  switch (rx.kind) {
    case RX_ALLOC_PER_PACKET:
      allocReturn(rx, buffer);
      break;
    case RX_PAGE_REUSE:
    case RX_PAGE_REUSE_BUILD:
      reuseReturn(rx, buffer);
      break;
    case RX_PAGE_POOL:
      poolReturn(rx, buffer);
      break;
    case RX_MERGEABLE:
      mergeableReturn(rx, buffer);
      break;
    case RX_BIG:
      bigReturn(rx, buffer);
      break;
    case RX_STREAMING:
      streamReturn(rx, buffer);
      break;
    case RX_FRAMES:
      waitOnTop(rx, buffer);
      break;
    default:
      premappedReturn(rx, buffer);
  }
}

/** Unmaps and gives back every buffer that waits. */
export function rxClose(rx: RxRing): void {
  switch (rx.kind) {
    case RX_ALLOC_PER_PACKET:
    case RX_FRAMES:
      break;
    case RX_PAGE_REUSE:
    case RX_PAGE_REUSE_BUILD:
      reuseClose(rx);
      break;
    case RX_PAGE_POOL:
      poolClose(rx);
      break;
    case RX_MERGEABLE:
      mergeableClose(rx);
      break;
    case RX_BIG:
      bigClose(rx);
      break;
    case RX_STREAMING:
      streamClose(rx);
      break;
    default:
      premappedClose(rx);
  }
}

/** For a check: buffer number `at` of those that wait, or 0 behind the last. */
export function rxWaiting(rx: RxRing, at: u32): u32 {
  switch (rx.kind) {
    case RX_ALLOC_PER_PACKET:
    case RX_FRAMES:
      return 0;
    case RX_PAGE_REUSE:
    case RX_PAGE_REUSE_BUILD:
      return waitingInOrder(rx, at);
    case RX_PAGE_POOL:
      return at < rx.depth ? waitingOnStack(rx, at) : poolRecycled(rx, at - rx.depth);
    default:
      return waitingOnStack(rx, at);
  }
}

/** For a check: whether a page's references of the driver's are one for each buffer in it, which may be in several places. */
export function rxSharesPages(rx: RxRing): bool {
  return rx.kind == RX_MERGEABLE;
}

/** For a check: pages of a buffer that is posted, as far as the driver has references to them. */
export function rxPagesPosted(rx: RxRing): u32 {
  if (rx.kind == RX_FRAMES) return 0;
  return rx.kind == RX_BIG ? BIG_PAGES : 1;
}

/** For a check: the record of the page that has the references of what lies at `data`. */
export function rxPageOf(rx: RxRing, data: u32): Page {
  return rx.kind == RX_STREAMING ? streamPage(rx, data) : recordOf(rx.records, data);
}
