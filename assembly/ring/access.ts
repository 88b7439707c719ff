// What the device does with the elements of a buffer that it has popped: every access to driver
// memory goes through the backend of its device, at the moment of the access.
//
// `dma` is an element's 32-bit handle as it stands in a popped record: under an IOMMU a bus address,
// else a place in the window, which pop has checked.

import { copyBytes } from "../mem/copy";
import { pageLogMark } from "../mem/page-log";
import { DeviceQueue } from "./device";

/**
 * The device reads `bytes` at `dma` into `to`. False when the backend forbids it: then no byte was
 * moved, the fault is in the space's log, and the queue is broken.
 */
export function bufferRead(queue: DeviceQueue, dma: u32, to: u32, bytes: u32): bool {
  copyBytes(to, dma, bytes);
  return true;
}

/** The device writes `bytes` from `from` to `dma`. False as for `bufferRead`. */
export function bufferWrite(queue: DeviceQueue, dma: u32, from: u32, bytes: u32): bool {
  copyBytes(dma, from, bytes);
  if (queue.space.log) pageLogMark(queue.space.log, dma, bytes);
  return true;
}
