// What the device does with the elements of a buffer that it has popped: every access to driver
// memory goes through the backend of its device, at the moment of the access.
//
// `dma` is an element's 32-bit handle as it stands in a popped record: under an IOMMU a bus address,
// else a place in the window, which pop has checked. A device is not trusted to stay inside of the
// element, or to be done with it in time.

import { ACCESS_SCATTERED, E_DMA_FAULT, FAULT_RANGE, IOMMU_FAULT, QUEUE_STOPPED } from "../abi";
import { iommuWalk } from "../dma/iommu";
import { copyBytes } from "../mem/copy";
import { pageLogMark } from "../mem/page-log";
import { DeviceQueue } from "./device";
import { breakQueue } from "./queue";
import { deviceFault, nextPage, reach } from "./translate";

/**
 * The device reads `bytes` at `dma` into `to`. False when the backend forbids it: then no byte was
 * moved, the fault is in the space's log, and the queue is broken.
 */
export function bufferRead(queue: DeviceQueue, dma: u32, to: u32, bytes: u32): bool {
  const place = accessPlace(queue, dma, bytes, false);
  if (place == IOMMU_FAULT) return false;
  if (place != ACCESS_SCATTERED) copyBytes(to, place, bytes);
  else copyPages(queue, dma, to, bytes, false);
  return true;
}

/** The device writes `bytes` from `from` to `dma`. False as for `bufferRead`. */
@inline
export function bufferWrite(queue: DeviceQueue, dma: u32, from: u32, bytes: u32): bool {
  const place = accessPlace(queue, dma, bytes, true);
  if (place == IOMMU_FAULT) return false;
  if (place != ACCESS_SCATTERED) write(queue, place, from, bytes);
  else copyPages(queue, dma, from, bytes, true);
  return true;
}

/** `bufferRead` for the host, to which a queue is a place in the memory. */
export function deviceBufferRead(ptr: u32, dma: u32, to: u32, bytes: u32): bool {
  return bufferRead(changetype<DeviceQueue>(ptr), dma, to, bytes);
}

/** `bufferWrite` for the host. */
export function deviceBufferWrite(ptr: u32, dma: u32, from: u32, bytes: u32): bool {
  return bufferWrite(changetype<DeviceQueue>(ptr), dma, from, bytes);
}

/**
 * Where the device finds `bytes` at `dma` if it may access all of them, which counts as doing so:
 * their place; ACCESS_SCATTERED, if each page has a place of its own; or IOMMU_FAULT, with the queue broken.
 */
export function bufferPlace(ptr: u32, dma: u32, bytes: u32, write: bool): u32 {
  return accessPlace(changetype<DeviceQueue>(ptr), dma, bytes, write);
}

/** The place of one byte of what `bufferPlace` called ACCESS_SCATTERED. */
export function bufferBytePlace(ptr: u32, dma: u32, write: bool): u32 {
  return iommuWalk(changetype<DeviceQueue>(ptr).domain, dma, write);
}

/** Logs what was written to a place that `bufferPlace` or `bufferBytePlace` gave. */
export function bufferWritten(ptr: u32, place: u32, bytes: u32): void {
  const log = changetype<DeviceQueue>(ptr).space.log;
  if (log) pageLogMark(log, place, bytes);
}

@inline
function accessPlace(queue: DeviceQueue, dma: u32, bytes: u32, write: bool): u32 {
  if (queue.domain) {
    const place = bytes ? reach(queue, dma, bytes, write) : 0;
    if (place == IOMMU_FAULT) broken(queue, dma);
    return place;
  }
  if (<u64>(dma - queue.windowPlace) + bytes <= queue.windowLength) return dma;
  deviceFault(queue, <u64>(dma - queue.windowPlace) + queue.windowBase, write, FAULT_RANGE);
  broken(queue, dma);
  return IOMMU_FAULT;
}

/** A queue that is stopped is left as it is: what comes after it has done nothing wrong. */
function broken(queue: DeviceQueue, dma: u32): void {
  if (queue.state != QUEUE_STOPPED) breakQueue(queue, E_DMA_FAULT, dma);
}

@inline
function write(queue: DeviceQueue, place: u32, from: u32, bytes: u32): void {
  copyBytes(place, from, bytes);
  bufferWritten(changetype<u32>(queue), place, bytes);
}

/** Moves `bytes` between `dma` and `other`, which `reach` has called ACCESS_SCATTERED. */
function copyPages(queue: DeviceQueue, dma: u32, other: u32, bytes: u32, writes: bool): void {
  for (let at: u64 = 0; at < bytes; ) {
    const end = min(nextPage(dma, at), <u64>bytes);
    const place = iommuWalk(queue.domain, dma + <u32>at, writes);
    if (writes) write(queue, place, other + <u32>at, <u32>(end - at));
    else copyBytes(other + <u32>at, place, <u32>(end - at));
    at = end;
  }
}
