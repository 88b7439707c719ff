// What a queue asks of its kind of receive buffer. `kind` is a constant where these are inlined into the
// loops that run once a packet (path/receive.ts), so each kind has its own copy of them.

import { RX_ALLOC_PER_PACKET, RX_PAGE_POOL, RX_PAGE_REUSE, RX_PAGE_REUSE_BUILD } from "../abi";
import { allocDrop, allocReceive, allocReturn, allocTake } from "./alloc-per-packet";
import { poolClose, poolDrop, poolReceive, poolRecycled, poolReturn, poolTake } from "./page-pool";
import { reuseClose, reuseDrop, reuseReceive, reuseReturn, reuseTake } from "./page-reuse";
import { buildDrop, buildReceive } from "./page-reuse-build";
import {
  premappedClose,
  premappedDrop,
  premappedOpen,
  premappedReceive,
  premappedReturn,
  premappedTake,
} from "./premapped";
import { Packet, RxRing, waitingInOrder, waitingOnStack } from "./rx-ring";

/** Makes ready what is made before the first buffer is posted; false when it could not be had. */
export function rxOpen(rx: RxRing): bool {
  rx.records = rx.pages.recordsAt0;
  rx.trace = rx.space.trace;
  switch (rx.kind) {
    case RX_ALLOC_PER_PACKET:
    case RX_PAGE_REUSE:
    case RX_PAGE_REUSE_BUILD:
    case RX_PAGE_POOL:
      return true;
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
    default:
      return premappedTake(rx);
  }
}

/** The device wrote a frame of `frameBytes` into `buffer`: makes a packet of it. */
@inline
export function rxReceive(rx: RxRing, kind: u32, buffer: u32, frameBytes: u32, packet: Packet): void {
  switch (kind) {
    case RX_ALLOC_PER_PACKET:
      allocReceive(rx, buffer, frameBytes, packet);
      break;
    case RX_PAGE_REUSE:
      reuseReceive(rx, buffer, frameBytes, packet);
      break;
    case RX_PAGE_REUSE_BUILD:
      buildReceive(rx, buffer, frameBytes, packet);
      break;
    case RX_PAGE_POOL:
      poolReceive(rx, buffer, frameBytes, packet);
      break;
    default:
      premappedReceive(rx, buffer, frameBytes, packet);
  }
}

/** The consumer is done with a packet. */
@inline
export function rxDrop(rx: RxRing, kind: u32, packet: Packet): void {
  switch (kind) {
    case RX_ALLOC_PER_PACKET:
      allocDrop(rx, packet);
      break;
    case RX_PAGE_REUSE:
      reuseDrop(rx, packet);
      break;
    case RX_PAGE_REUSE_BUILD:
      buildDrop(rx, packet);
      break;
    case RX_PAGE_POOL:
      poolDrop(rx, packet);
      break;
    default:
      premappedDrop(rx, packet);
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
    default:
      premappedReturn(rx, buffer);
  }
}

/** Unmaps and gives back every buffer that waits. */
export function rxClose(rx: RxRing): void {
  switch (rx.kind) {
    case RX_ALLOC_PER_PACKET:
      break;
    case RX_PAGE_REUSE:
    case RX_PAGE_REUSE_BUILD:
      reuseClose(rx);
      break;
    case RX_PAGE_POOL:
      poolClose(rx);
      break;
    default:
      premappedClose(rx);
  }
}

/** For a check: buffer number `at` of those that wait, or 0 behind the last. */
export function rxWaiting(rx: RxRing, at: u32): u32 {
  switch (rx.kind) {
    case RX_ALLOC_PER_PACKET:
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
