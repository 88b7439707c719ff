// What the suites in bench/ time by the thousand, because a call from JavaScript for each would cost
// more than the thing itself. Each returns what it did, so that the work can't be left out.

import {
  DMA_TO_DEVICE,
  TABLES_FREELIST,
  TABLES_GROW,
  TABLES_HEAP,
  TABLES_PER_NODE,
  TABLES_SLOT,
} from "./abi";
import { iommuMap, iommuTranslate, iommuUnmap, iommuWalk } from "./dma/iommu";
import { copyBytes } from "./mem/copy";
import { recordOf } from "./mem/pages";
import { stackPut, stackTake } from "./mem/stack";
import { tlsfGive, tlsfTake } from "./mem/tlsf";
import { checksumFold } from "./net/checksum";
import { segmentBurst } from "./net/segment";
import { Segmenter, segmentStart } from "./net/segmenter";
import { checksumAdd } from "./net/sum";
import { toeplitzHash } from "./net/toeplitz";
import { DriverQueue } from "./ring/driver";
import { stackOf, tableGive, tablePtr, tableTakeHeap } from "./ring/tables";
import { allocTake } from "./rx/alloc-per-packet";
import { rxOpen } from "./rx/kinds";
import { flipHalf, reuseNew } from "./rx/page-reuse";
import { nextInOrder, putShared, RxRing, rxPutPage, waitInOrder } from "./rx/rx-ring";

/** Takes `bytes` from the general allocator and gives them back, `count` times; the sum of the places. */
export function tlsfTakeGive(control: u32, bytes: u32, count: u32): u32 {
  let sum: u32 = 0;
  for (; count; count--) {
    const ptr = tlsfTake(control, bytes);
    sum += ptr;
    tlsfGive(control, ptr);
  }
  return sum;
}

/**
 * Takes a table for `n` elements from where the driver half at `driver` takes them, and gives it
 * back, `count` times, for one ring slot after the other; the sum of the places.
 */
export function tableTakeGive(driver: u32, n: u32, count: u32): u32 {
  const queue = changetype<DriverQueue>(driver);
  switch (queue.source) {
    case TABLES_HEAP:
      return takeGive(queue, TABLES_HEAP, n, count);
    case TABLES_FREELIST:
      return takeGive(queue, TABLES_FREELIST, n, count);
    case TABLES_GROW:
      return takeGive(queue, TABLES_GROW, n, count);
    case TABLES_SLOT:
      return takeGive(queue, TABLES_SLOT, n, count);
    case TABLES_PER_NODE:
      return takeGive(queue, TABLES_PER_NODE, n, count);
    default:
      return 0;
  }
}

@inline
function takeGive(queue: DriverQueue, source: u32, n: u32, count: u32): u32 {
  const size = queue.size;
  const stack = stackOf(queue, source == TABLES_PER_NODE ? queue.node : 0);
  let sum: u32 = 0;
  let slot: u32 = 0;
  for (; count; count--) {
    let table: u32;
    if (source == TABLES_HEAP) table = tableTakeHeap(queue, n);
    else if (source == TABLES_SLOT) table = queue.tables + slot * queue.tableBytes;
    else table = stackTake(stack);
    sum += tablePtr(table);
    if (source == TABLES_HEAP) tableGive(queue, table);
    else if (source != TABLES_SLOT) stackPut(stack, table);
    else if (++slot == size) slot = 0;
  }
  return sum;
}

/** `copyBytes`, `count` times. */
export function copyBytesRepeat(to: u32, from: u32, bytes: u32, count: u32): void {
  for (; count; count--) copyBytes(to, from, bytes);
}

/** `memory.copy`, `count` times. */
export function memoryCopyRepeat(to: u32, from: u32, bytes: u32, count: u32): void {
  for (; count; count--) memory.copy(to, from, bytes);
}

/** Maps `bytes` at `place` for a device to read, and unmaps them, `count` times; the sum of the handles. */
export function iommuMapUnmap(domain: u32, place: u32, bytes: u32, count: u32): u32 {
  let sum: u32 = 0;
  for (; count; count--) {
    const iova = iommuMap(domain, place, bytes, DMA_TO_DEVICE);
    sum += iova;
    iommuUnmap(domain, iova, bytes);
  }
  return sum;
}

/** The same for `batch` mappings at a time, each of which the device reads once in between. */
export function iommuMapReadUnmap(
  domain: u32,
  place: u32,
  bytes: u32,
  handles: u32,
  batch: u32,
  count: u32,
): u32 {
  let sum: u32 = 0;
  for (; count; count--) {
    for (let k: u32 = 0; k < batch; k++) {
      store<u32>(handles + (k << 2), iommuMap(domain, place, bytes, DMA_TO_DEVICE));
    }
    for (let k: u32 = 0; k < batch; k++) sum += iommuTranslate(domain, load<u32>(handles + (k << 2)), false);
    for (let k: u32 = 0; k < batch; k++) iommuUnmap(domain, load<u32>(handles + (k << 2)), bytes);
  }
  return sum;
}

/** Translates the `count` handles at `handles` for reading, `laps` times; the sum of the places. */
export function iommuTranslateAll(domain: u32, handles: u32, count: u32, laps: u32): u32 {
  let sum: u32 = 0;
  for (; laps; laps--) {
    for (let k: u32 = 0; k < count; k++) sum += iommuTranslate(domain, load<u32>(handles + (k << 2)), false);
  }
  return sum;
}

/** The same by the bare walk. */
export function iommuWalkAll(domain: u32, handles: u32, count: u32, laps: u32): u32 {
  let sum: u32 = 0;
  for (; laps; laps--) {
    for (let k: u32 = 0; k < count; k++) sum += iommuWalk(domain, load<u32>(handles + (k << 2)), false);
  }
  return sum;
}

/** Lets `count` new pages wait in a queue of half pages; how many there were. */
export function pageQueueFill(ptr: u32, count: u32): u32 {
  const rx = changetype<RxRing>(ptr);
  rxOpen(rx);
  let filled: u32 = 0;
  for (; filled < count; filled++) {
    const buffer = reuseNew(rx);
    if (!buffer) break;
    waitInOrder(rx, buffer);
  }
  return filled;
}

/**
 * The pages of `count` packets with a prompt consumer, from half pages that flip: the page that has waited
 * longest gives a half away, goes to the end of the queue, and the consumer puts its reference. The sum of the places.
 */
export function pageFlipRepeat(ptr: u32, count: u32): u32 {
  const rx = changetype<RxRing>(ptr);
  let sum: u32 = 0;
  for (; count; count--) {
    const buffer = nextInOrder(rx);
    const page = recordOf(rx.records, buffer);
    // Nobody else holds a page here, so neither ever fails.
    if (!flipHalf(rx, page, buffer)) break;
    if (!putShared(page, 1)) break;
    sum += buffer;
  }
  return sum;
}

/**
 * The same packets from the page allocator: a new page goes to the end of the queue, and the one that has waited longest
 * goes with its packet and is freed by the consumer. The sum of the places.
 */
export function pageAllocRepeat(ptr: u32, count: u32): u32 {
  const rx = changetype<RxRing>(ptr);
  let sum: u32 = 0;
  for (; count; count--) {
    const page = allocTake(rx);
    waitInOrder(rx, page);
    const oldest = nextInOrder(rx);
    rxPutPage(rx, oldest, 1);
    sum += oldest;
  }
  return sum;
}

/** A checksum of the same bytes, `count` times; the sum of the checksums. */
export function checksumRepeat(ptr: u32, bytes: u32, count: u32): u32 {
  let sum: u32 = 0;
  for (; count; count--) sum += checksumFold(checksumAdd(0, ptr, bytes));
  return sum;
}

/** Hashes of inputs that lie 64 bytes apart, 64 of them in turn, `count` in all; the xor of the hashes. */
export function toeplitzRepeat(table: u32, input: u32, bytes: u32, count: u32): u32 {
  let hash: u32 = 0;
  for (let i: u32 = 0; i < count; i++) hash ^= toeplitzHash(table, input + ((i & 63) << 6), bytes);
  return hash;
}

/** Cuts the same frame `count` times, into segments that lie `stride` bytes apart; how many segments. */
export function segmentRepeat(
  segmenter: u32,
  frame: u32,
  bytes: u32,
  to: u32,
  stride: u32,
  lengths: u32,
  count: u32,
): u32 {
  let segments: u32 = 0;
  for (; count; count--) {
    segmentStart(changetype<Segmenter>(segmenter), frame, bytes);
    segments += segmentBurst(changetype<Segmenter>(segmenter), to, stride, lengths, u16.MAX_VALUE);
  }
  return segments;
}
