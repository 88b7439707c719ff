// The device half behind an IOMMU: where its bus addresses lie in the memory, and what happens when
// they lie nowhere.
//
// Tables and buffers are translated when they are accessed, through the IOTLB; rings by a bare walk when
// the queue is enabled, and again when their translation has ended, as vhost keeps its metadata (place.ts).

import {
  ACCESS_SCATTERED,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  FAULT_DIRECTION,
  FAULT_RANGE,
  FAULT_SCATTERED,
  FAULT_UNMAPPED,
  IOMMU_FAULT,
  IOMMU_PAGE_BITS,
} from "../abi";
import { faultLogPut } from "../dma/faults";
import { iommuTranslate, iommuWalk, iommuWatch } from "../dma/iommu";
import { DeviceQueue } from "./device";

const PAGE_BYTES: u32 = 1 << IOMMU_PAGE_BITS;
const PAGE_MASK: u32 = PAGE_BYTES - 1;

/** Counts and records an access that was refused. */
export function deviceFault(queue: DeviceQueue, addr: u64, write: bool, reason: u32): void {
  const space = queue.space;
  space.faults++;
  faultLogPut(space.faultLog, addr, queue.index, write ? DMA_FROM_DEVICE : DMA_TO_DEVICE, reason);
}

/**
 * The place of `bytes`, not 0, at `addr`, each page of which is translated once; ACCESS_SCATTERED; or
 * IOMMU_FAULT, once the fault is told. Whoever moves the bytes has heard of every page before.
 */
export function reach(queue: DeviceQueue, addr: u32, bytes: u32, write: bool): u32 {
  if (<u64>addr + bytes > 1 << 32) return refused(queue, addr, write, FAULT_RANGE);
  const place = translated(queue, addr, bytes, write, true);
  if (place != ACCESS_SCATTERED) return place;
  // Page by page it is moved by the bare walk, which an entry that leaves the IOTLB meanwhile can't stop.
  for (let at: u64 = 0; at < bytes; at = nextPage(addr, at)) {
    if (iommuWalk(queue.domain, addr + <u32>at, write) == IOMMU_FAULT)
      return refused(queue, addr + <u32>at, write, FAULT_UNMAPPED);
  }
  return ACCESS_SCATTERED;
}

/** The place of an indirect table of `bytes` at `addr`, or IOMMU_FAULT, once the fault is told. */
export function tablePlace(queue: DeviceQueue, addr: u64, bytes: u32): u32 {
  if (addr + bytes > 1 << 32 || addr >> 32) {
    deviceFault(queue, addr, false, FAULT_RANGE);
    return IOMMU_FAULT;
  }
  const place = translated(queue, <u32>addr, bytes, false, true);
  return place == ACCESS_SCATTERED ? refused(queue, <u32>addr, false, FAULT_SCATTERED) : place;
}

/** The same for a part of a ring, whose pages are watched from here on. */
export function ringPlace(queue: DeviceQueue, addr: u64, bytes: u32, write: bool): u32 {
  const place = translated(queue, <u32>addr, bytes, write, false);
  if (place == ACCESS_SCATTERED) return refused(queue, <u32>addr, write, FAULT_SCATTERED);
  if (place != IOMMU_FAULT) iommuWatch(queue.domain, <u32>addr, bytes);
  return place;
}

/** Through the IOTLB and counted, or by the bare walk. */
@inline
function translated(queue: DeviceQueue, addr: u32, bytes: u32, write: bool, counted: bool): u32 {
  const domain = queue.domain;
  const first = counted ? iommuTranslate(domain, addr, write) : iommuWalk(domain, addr, write);
  if (first == IOMMU_FAULT) return refused(queue, addr, write, reasonOf(domain, addr, write));
  let inOnePiece = true;
  for (let at = nextPage(addr, 0); at < bytes; at = nextPage(addr, at)) {
    const page = addr + <u32>at;
    const place = counted ? iommuTranslate(domain, page, write) : iommuWalk(domain, page, write);
    if (place == IOMMU_FAULT) return refused(queue, page, write, reasonOf(domain, page, write));
    if (place != first + <u32>at) inOnePiece = false;
  }
  return inOnePiece ? first : ACCESS_SCATTERED;
}

/** How far behind `addr` the page starts that follows the one of `addr + at`. */
@inline
export function nextPage(addr: u32, at: u64): u64 {
  return ((addr + at) | PAGE_MASK) + 1 - addr;
}

function reasonOf(domain: u32, addr: u32, write: bool): u32 {
  return iommuWalk(domain, addr, !write) == IOMMU_FAULT ? FAULT_UNMAPPED : FAULT_DIRECTION;
}

function refused(queue: DeviceQueue, addr: u32, write: bool, reason: u32): u32 {
  deviceFault(queue, addr, write, reason);
  return IOMMU_FAULT;
}
