// The receive buffers of a queue: what all kinds of them have in common. A buffer is named by the place
// of its first byte, which lies in a page of the engine's (mem/pages.ts); the device gets the handle that
// the page is mapped at, and the buffer's place in it.
//
//   page   | headroom | buffer: device header | frame ...      | rest          one buffer a page
//   page   | half: buffer, as above           | half: buffer, as above |       the page-reuse kinds
//
// A kind is a file beside this one with the functions that kinds.ts calls. To add a kind: an RX_* code in
// abi.ts, the file, a case in each function of kinds.ts, a line in the switch of path/receive.ts, its name in
// src/system/records.ts, and what its buffers are in src/system/driver-layout.ts.

import {
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  OP_PAGE_ALLOC,
  OP_PAGE_FREE,
  OP_PAGE_REUSE,
  PAGE_SIZE,
  SEGMENT,
} from "../abi";
import { dmaMap, dmaSyncForCpu, dmaSyncForDevice, dmaUnmap } from "../dma/dma";
import { AddressSpace } from "../dma/space";
import { copyBytes } from "../mem/copy";
import { Page, Pages, pagePut, pageStart, pagesTake, recordOf } from "../mem/pages";
import { traceOp } from "../mem/trace";

@unmanaged
export class RxRing {
  pages: Pages;
  space: AddressSpace;
  /** RX_*. */
  kind: u32;
  /** The NUMA node that the queue runs on. */
  node: u32;
  /** Where a buffer starts in its page or half page, and the bytes that the device may write there. */
  headroom: u32;
  bufferBytes: u32;
  /** Where the frame starts in the buffer: behind the device header. */
  frameOffset: u32;
  /** What the kind maps with: DMA_ATTR_* bits. */
  attrs: u32;
  /** 1: only what was written is shown to the CPU, else the whole buffer (page-reuse). */
  syncWritten: u32;
  /** 1: a buffer is shown to the device before it is posted. */
  syncDevice: u32;
  /** 1: the device gets physical addresses, so that nothing is mapped or synced (no ACCESS_PLATFORM). */
  physical: u32;
  /** 1: references are taken ahead (page-reuse kinds). */
  takesAhead: u32;
  /** Pages of the premapped kind. */
  fixedPages: u32;
  /** Why `take` had no buffer: DMA_E_* of the mapping, or 0 for want of pages. */
  failure: u32;
  /** Copies of what never changes, nearer: `pages.recordsAt0` and `space.trace`. */
  records: u32;
  trace: u32;

  // Buffers that wait to be posted. page-reuse: a queue in the order in which they came, of listMask + 1, from
  // `retaken` to `pagesReused`. The others: a stack of `depth`; page-pool: and the ring that others recycle into, likewise.
  list: u32;
  listMask: u32;
  depth: u32;
  recycled: u32;
  retaken: u64;

  // Streaming buffers: the completions, their handle and the number of the next; posted buffers in their order in
  // `recycled`, from the one that is being completed on, and its first stride that is not.
  completions: u32;
  completionMask: u32;
  completionsDma: u32;
  completionNext: u32;
  postedNext: u32;
  postedEnd: u32;
  postedMask: u32;
  stride: u32;

  // Counters
  pagesAllocated: u64;
  pagesFreed: u64;
  /** Buffers that were kept or came back for another packet. */
  pagesReused: u64;
  /** Of those packets that were copied whole, so that their buffer was kept as it was. */
  copiedWhole: u64;
  /** Times that references to a page were filled up again. */
  referenceTopUps: u64;
  /** Bytes copied out of buffers. */
  headerCopyBytes: u64;
}

// A packet as its consumer gets it: what was copied out of the buffer, then what lies in pages. Records are
// PACKET_RECORD bytes apart.
@unmanaged
export class Packet {
  /** The copied part, in a place of the packet's own, and its bytes. */
  head: u32;
  headBytes: u32;
  /** The first byte in the page and the bytes there; the packet holds a reference to the page if there are any. */
  data: u32;
  bytes: u32;
  /** While a digest is made: that of the packet as it was delivered. */
  check: u64;
  /** What lies in further pages: {data, bytes} each, in a place of the packet's own, and how many there are: none in a free packet. */
  more: u32;
  fragments: u32;
}

/** The handle that a mapped buffer is posted with. */
@inline
export function bufferHandle(rx: RxRing, buffer: u32): u32 {
  return recordOf(rx.records, buffer).dma + (buffer & (PAGE_SIZE - 1));
}

/** Takes a page for the queue; 0 when there is none. */
export function rxTakePage(rx: RxRing): u32 {
  const page = pagesTake(changetype<u32>(rx.pages), rx.node, 1);
  if (!page) {
    rx.failure = 0;
    return 0;
  }
  recordOf(rx.records, page).bias = 1;
  rx.pagesAllocated++;
  traceOp(rx.trace, OP_PAGE_ALLOC, page, 1);
  return page;
}

/** Puts references to the page that `ptr` lies in. */
@inline
export function rxPutPage(rx: RxRing, ptr: u32, count: u32): void {
  if (!putShared(recordOf(rx.records, ptr), count)) putLast(rx, pageStart(ptr), count);
}

/** Puts references that are not the last; false when they would be. */
@inline
export function putShared(page: Page, count: u32): bool {
  const refs = page.refs;
  if (refs <= count) return false;
  page.refs = refs - count;
  return true;
}

function putLast(rx: RxRing, page: u32, count: u32): void {
  if (!pagePut(rx.pages, page, count)) return;
  rx.pagesFreed++;
  traceOp(rx.trace, OP_PAGE_FREE, page, 0);
}

/** Maps a whole page and remembers its handle; false when it could not be mapped: then the page is put. */
export function rxMapPage(rx: RxRing, page: u32): bool {
  if (rx.physical) {
    recordOf(rx.records, page).dma = page;
    return true;
  }
  const dma = dmaMap(rx.space, page, PAGE_SIZE, DMA_FROM_DEVICE, rx.attrs);
  if (dma == DMA_MAPPING_ERROR) {
    rx.failure = rx.space.failure;
    rxPutPage(rx, page, 1);
    return false;
  }
  recordOf(rx.records, page).dma = dma;
  return true;
}

/** Ends the mapping of a whole page. */
export function rxUnmapPage(rx: RxRing, page: Page): void {
  if (rx.physical) return;
  dmaUnmap(rx.space, page.dma, PAGE_SIZE, DMA_FROM_DEVICE, rx.attrs);
}

/** Shows `bytes` of a buffer to the CPU. */
@inline
export function rxSyncForCpu(rx: RxRing, page: Page, buffer: u32, bytes: u32): void {
  if (rx.physical) return;
  dmaSyncForCpu(rx.space, page.dma + (buffer & (PAGE_SIZE - 1)), bytes, DMA_FROM_DEVICE);
}

/** Shows a buffer to the device. */
@inline
export function rxSyncForDevice(rx: RxRing, buffer: u32): void {
  dmaSyncForDevice(rx.space, bufferHandle(rx, buffer), rx.bufferBytes, DMA_FROM_DEVICE);
}

/** The packet that came in `buffer` gets the driver's reference to its page. */
@inline
export function rxGivePage(rx: RxRing, buffer: u32): Page {
  const page = recordOf(rx.records, buffer);
  page.bias = 0;
  return page;
}

/** The packet gets `bytes` at `data` in the page. */
@inline
export function packetInPage(packet: Packet, data: u32, bytes: u32): void {
  packet.headBytes = 0;
  packet.data = data;
  packet.bytes = bytes;
}

/** The packet gets `bytes` at `data` behind what it has, which there is room for. */
@inline
export function packetAddFragment(packet: Packet, data: u32, bytes: u32): void {
  const fragment = packet.more + packet.fragments++ * SEGMENT;
  store<u32>(fragment, data);
  store<u32>(fragment, bytes, 4);
}

/** The bytes and the place of fragment number `k` behind the first. */
@inline
export function fragmentBytes(packet: Packet, k: u32): u32 {
  return load<u32>(packet.more + k * SEGMENT, 4);
}

@inline
export function fragmentData(packet: Packet, k: u32): u32 {
  return load<u32>(packet.more + k * SEGMENT);
}

/** Copies all parts of a packet to one place. */
export function gather(to: u32, packet: Packet): void {
  copyBytes(to, packet.head, packet.headBytes);
  to += packet.headBytes;
  copyBytes(to, packet.data, packet.bytes);
  to += packet.bytes;
  for (let k: u32 = 0; k < packet.fragments; k++) {
    copyBytes(to, fragmentData(packet, k), fragmentBytes(packet, k));
    to += fragmentBytes(packet, k);
  }
}

// Lists of buffers that wait. Each holds as many as its mask says and no caller puts more.

/** Puts a buffer at the end of the queue: it will be posted again. */
@inline
export function waitInOrder(rx: RxRing, buffer: u32): void {
  const end = rx.pagesReused;
  store<u32>(rx.list + ((<u32>end & rx.listMask) << 2), buffer);
  rx.pagesReused = end + 1;
}

/** Records that a buffer will be used again. */
@inline
export function traceReuse(rx: RxRing, buffer: u32): void {
  traceOp(rx.trace, OP_PAGE_REUSE, pageStart(buffer), buffer & (PAGE_SIZE - 1));
}

/** The buffer that has waited longest, or 0. */
@inline
export function nextInOrder(rx: RxRing): u32 {
  const first = rx.retaken;
  if (first == rx.pagesReused) return 0;
  rx.retaken = first + 1;
  return load<u32>(rx.list + ((<u32>first & rx.listMask) << 2));
}

/** Puts a page onto the stack. */
@inline
export function waitOnTop(rx: RxRing, buffer: u32): void {
  store<u32>(rx.list + (rx.depth++ << 2), buffer);
}

/** The newest page of the stack, or 0. */
@inline
export function takeFromTop(rx: RxRing): u32 {
  if (!rx.depth) return 0;
  return load<u32>(rx.list + (--rx.depth << 2));
}

// For a check: entry number `at`, or 0 behind the last.

export function waitingInOrder(rx: RxRing, at: u32): u32 {
  if (<u64>at >= rx.pagesReused - rx.retaken) return 0;
  return load<u32>(rx.list + (((<u32>rx.retaken + at) & rx.listMask) << 2));
}

export function waitingOnStack(rx: RxRing, at: u32): u32 {
  return at < rx.depth ? load<u32>(rx.list + (at << 2)) : 0;
}
