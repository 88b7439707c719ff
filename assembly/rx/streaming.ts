// Receive buffers, kind `rx-streaming` (ours, after the striding receive queues of some NICs): a few large buffers
// of many strides, all mapped when the queue is set up. A frame takes one stride or more that follow each other, so
// it is in one piece whatever its length. A buffer is one entry of the ring; what the device put where it says in
// completions, which lie in coherent memory like the rings:
//
//   buffer       | stride 0: frame | stride 1: a long frame ... | stride 3: ... goes on | ... | stride 63 |
//   completion   bytes u32 (0: filler, strides that nothing is in) | first stride u16 | strides, phase << 15 u16
//
// The phase is 1 in the first lap of the completions, 0 in the second, and so on. Each stride is completed once
// and in order, so no more can wait than the strides of what is posted, for which there is room.
//
// A buffer is posted again once all of its strides are completed, the ring has given it back, and no packet holds
// one. Its pages are one piece, of which the first has the references: the driver's one while the buffer is in the
// ring or waits, and one for each packet. In the records of the others `home` is the place of the first; and
// `pages` of the second is 1 once all strides are completed.

import {
  COMPLETION,
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  OP_PAGE_ALLOC,
  OP_PAGE_FREE,
  PAGE_SIZE,
  STREAM_PAGES,
  STREAM_STRIDES,
  STRIDE_BYTES,
} from "../abi";
import { dmaMap, dmaMapCoherent, dmaUnmap, dmaUnmapCoherent } from "../dma/dma";
import { acquire64 } from "../mem/fence";
import { Page, pagePut, pagesTake, recordOf } from "../mem/pages";
import { traceOp } from "../mem/trace";
import { Packet, packetInPage, RxRing, rxSyncForCpu, takeFromTop, traceReuse, waitOnTop } from "./rx-ring";

/** No completion is there. */
export const NOTHING_COMPLETED: u64 = 0xffff_ffff_ffff_ffff;

/** Maps the buffers and the completions; false when they could not all be had. */
export function streamOpen(rx: RxRing): bool {
  const bytes = (rx.completionMask + 1) * COMPLETION;
  memory.fill(rx.completions, 0, bytes);
  rx.completionNext = 0;
  rx.stride = 0;
  rx.postedNext = 0;
  rx.postedEnd = 0;
  rx.completionsDma = rx.physical ? rx.completions : dmaMapCoherent(rx.space, rx.completions, bytes);
  if (rx.completionsDma == DMA_MAPPING_ERROR) return false;
  for (let k: u32 = 0; k < rx.fixedPages; k++) if (!newBuffer(rx)) return false;
  return true;
}

function newBuffer(rx: RxRing): bool {
  const buffer = pagesTake(changetype<u32>(rx.pages), rx.node, STREAM_PAGES);
  if (!buffer) return false;
  rx.pagesAllocated += STREAM_PAGES;
  traceOp(rx.trace, OP_PAGE_ALLOC, buffer, 1);
  const dma = rx.physical
    ? buffer
    : dmaMap(rx.space, buffer, STREAM_PAGES * PAGE_SIZE, DMA_FROM_DEVICE, rx.attrs);
  if (dma == DMA_MAPPING_ERROR) {
    putBuffer(rx, buffer);
    return false;
  }
  for (let k: u32 = 0; k < STREAM_PAGES; k++) {
    const page = recordOf(rx.records, buffer + k * PAGE_SIZE);
    page.dma = dma + k * PAGE_SIZE;
    if (k) page.home = buffer;
  }
  recordOf(rx.records, buffer).bias = 1;
  waitOnTop(rx, buffer);
  return true;
}

function putBuffer(rx: RxRing, buffer: u32): void {
  if (!pagePut(rx.pages, buffer, 1)) return;
  rx.pagesFreed += STREAM_PAGES;
  traceOp(rx.trace, OP_PAGE_FREE, buffer, 0);
}

/** The record of the first page of the buffer that `data` lies in: no other page of it has references. */
@inline
export function streamPage(rx: RxRing, data: u32): Page {
  const page = recordOf(rx.records, data);
  return page.refs ? page : recordOf(rx.records, page.home);
}

/** 1 once all strides of a buffer are completed. */
@inline
function setCompleted(rx: RxRing, buffer: u32, completed: u32): void {
  recordOf(rx.records, buffer + PAGE_SIZE).pages = completed;
}

@inline
export function streamCompleted(rx: RxRing, buffer: u32): bool {
  return recordOf(rx.records, buffer + PAGE_SIZE).pages != 0;
}

/** A buffer to post; it will be completed after those that were taken before. */
export function streamTake(rx: RxRing): u32 {
  const buffer = takeFromTop(rx);
  if (!buffer) {
    rx.failure = 0;
    return 0;
  }
  setCompleted(rx, buffer, 0);
  store<u32>(rx.recycled + ((rx.postedEnd++ & rx.postedMask) << 2), buffer);
  return buffer;
}

/** The next completion, read once, or NOTHING_COMPLETED. */
@inline
export function streamNext(rx: RxRing): u64 {
  const completion = acquire64(rx.completions + (rx.completionNext & rx.completionMask) * COMPLETION);
  return <u32>(completion >> 63) == streamPhase(rx.completionNext, rx.completionMask)
    ? completion
    : NOTHING_COMPLETED;
}

/** The phase of completion number `index`. */
@inline
export function streamPhase(index: u32, mask: u32): u32 {
  return <u32>((index & (mask + 1)) == 0);
}

@inline
export function completedBytes(completion: u64): u32 {
  return <u32>completion;
}

@inline
export function completedStrides(completion: u64): u32 {
  return <u32>(completion >> 48) & 0x7fff;
}

/** Whether a device can have done that: the strides follow those completed before, and the frame fits into them. */
export function streamIsSound(rx: RxRing, completion: u64): bool {
  const strides = completedStrides(completion);
  return (
    rx.postedNext != rx.postedEnd &&
    <u32>((completion >> 32) & 0xffff) == rx.stride &&
    strides > 0 &&
    strides <= STREAM_STRIDES - rx.stride &&
    completedBytes(completion) <= strides * STRIDE_BYTES
  );
}

/** Where the strides are that a sound completion names. */
@inline
export function streamPlace(rx: RxRing): u32 {
  return load<u32>(rx.recycled + ((rx.postedNext & rx.postedMask) << 2)) + rx.stride * STRIDE_BYTES;
}

/** A sound completion is dealt with. */
@inline
export function streamAdvance(rx: RxRing, completion: u64): void {
  rx.completionNext++;
  const stride = rx.stride + completedStrides(completion);
  rx.stride = stride;
  if (stride < STREAM_STRIDES) return;
  rx.stride = 0;
  setCompleted(rx, load<u32>(rx.recycled + ((rx.postedNext++ & rx.postedMask) << 2)), 1);
}

/** Makes a packet of a frame of `frameBytes` behind its device header at `place`. */
@inline
export function streamReceive(rx: RxRing, place: u32, frameBytes: u32, packet: Packet): void {
  rxSyncForCpu(rx, recordOf(rx.records, place), place, rx.frameOffset + frameBytes);
  packetInPage(packet, place + rx.frameOffset, frameBytes);
  streamPage(rx, place).refs++;
}

/** The last packet that held a buffer which the ring has given back passes its reference to the driver. */
export function streamDrop(rx: RxRing, data: u32): void {
  const page = streamPage(rx, data);
  if (page.refs > 1) {
    page.refs--;
    return;
  }
  page.bias = 1;
  const own = recordOf(rx.records, data);
  again(rx, own.refs ? data & ~(PAGE_SIZE - 1) : own.home);
}

/** The ring gives a buffer back. */
export function streamReturn(rx: RxRing, buffer: u32): void {
  const page = recordOf(rx.records, buffer);
  if (page.refs == 1) {
    again(rx, buffer);
    return;
  }
  page.refs--;
  page.bias = 0;
}

@inline
function again(rx: RxRing, buffer: u32): void {
  waitOnTop(rx, buffer);
  rx.pagesReused++;
  traceReuse(rx, buffer);
}

export function streamClose(rx: RxRing): void {
  for (;;) {
    const buffer = takeFromTop(rx);
    if (!buffer) break;
    const page = recordOf(rx.records, buffer);
    if (!rx.physical) dmaUnmap(rx.space, page.dma, STREAM_PAGES * PAGE_SIZE, DMA_FROM_DEVICE, rx.attrs);
    page.bias = 0;
    putBuffer(rx, buffer);
  }
  if (!rx.physical && rx.completionsDma != DMA_MAPPING_ERROR)
    dmaUnmapCoherent(rx.space, rx.completionsDma, (rx.completionMask + 1) * COMPLETION);
}
