// What the device does with the elements of a buffer that it has popped: every access to driver
// memory goes through the backend of its device, at the moment of the access.
//
// `dma` is an element's 32-bit handle as it stands in a popped record: under an IOMMU a bus address,
// else a place in the window, which pop has checked. A device is not trusted to stay inside of the
// element, or to be done with it in time.

import { DMA_FROM_DEVICE, DMA_TO_DEVICE, E_DMA_FAULT, FAULT_RANGE, QUEUE_STOPPED } from "../abi";
import { faultLogPut } from "../dma/faults";
import { copyBytes } from "../mem/copy";
import { pageLogMark } from "../mem/page-log";
import { DeviceQueue } from "./device";
import { breakQueue } from "./queue";

/**
 * The device reads `bytes` at `dma` into `to`. False when the backend forbids it: then no byte was
 * moved, the fault is in the space's log, and the queue is broken.
 */
export function bufferRead(queue: DeviceQueue, dma: u32, to: u32, bytes: u32): bool {
  if (!inReach(queue, dma, bytes)) return accessFault(queue, dma, false, FAULT_RANGE);
  copyBytes(to, dma, bytes);
  return true;
}

/** The device writes `bytes` from `from` to `dma`. False as for `bufferRead`. */
export function bufferWrite(queue: DeviceQueue, dma: u32, from: u32, bytes: u32): bool {
  if (!inReach(queue, dma, bytes)) return accessFault(queue, dma, true, FAULT_RANGE);
  copyBytes(dma, from, bytes);
  if (queue.space.log) pageLogMark(queue.space.log, dma, bytes);
  return true;
}

/** Whether places [place, place + bytes) lie in the window. */
@inline
function inReach(queue: DeviceQueue, place: u32, bytes: u32): bool {
  return <u64>(place - queue.windowPlace) + bytes <= queue.windowLength;
}

/** Tells of a refused access to `dma`; false. */
function accessFault(queue: DeviceQueue, dma: u32, write: bool, reason: u32): bool {
  const space = queue.space;
  const addr = <u64>(dma - queue.windowPlace) + queue.windowBase;
  space.faults++;
  faultLogPut(space.faultLog, addr, queue.index, write ? DMA_FROM_DEVICE : DMA_TO_DEVICE, reason);
  // A queue that is stopped has no peer to be told; its next one has done nothing wrong.
  if (queue.state != QUEUE_STOPPED) breakQueue(queue, E_DMA_FAULT, dma);
  return false;
}
