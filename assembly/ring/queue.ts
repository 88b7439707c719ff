// What all four queue halves have in common: a control block in private memory.
//
// The classes here and in the *-driver and *-device files are views of memory, laid over a
// pointer with `changetype`; nothing is ever allocated. Fields that the peer may write are never
// kept here: what it wrote is read once, checked, and then lives in a local or a shadow record.

import { E_USED_IDX, QUEUE_BROKEN, QUEUE_LIVE, QUEUE_STOPPED, QUEUE_SUSPENDED } from "../abi";
import { Device, deviceNeedsReset } from "../device";
import { AddressSpace } from "../dma/space";

@unmanaged
export class Queue {
  state: u32;
  /** QUEUE_F_* bits. */
  flags: u32;
  /** Entries of the ring now, and the most that memory was reserved for. */
  size: u32;
  capacity: u32;
  /** Queue index, and what a kick carries in its place under NOTIF_CONFIG_DATA. */
  index: u32;
  notifyId: u32;
  /** First violation (E_*), the ring index or id it was seen at, and how many there were. */
  error: u32;
  errorIndex: u32;
  errors: u32;
  /** Why the last burst stopped at the caller's record `refusalIndex` (R_*). */
  refusal: u32;
  refusalIndex: u32;
  /** One past the last staged record that the last burst read or wrote. */
  cursor: u32;
  device: Device;
  space: AddressSpace;
  /** Descriptor area, driver area and device area (2.6), as places in the memory. */
  desc: u32;
  driverArea: u32;
  deviceArea: u32;
  /** Shadow records, one for each descriptor or buffer id. */
  records: u32;
}

/** Marks the queue broken; its peer's device is told when `error` is a driver's doing. */
export function breakQueue(queue: Queue, error: u32, index: u32): void {
  queue.errors++;
  if (queue.state == QUEUE_BROKEN) return;
  queue.state = QUEUE_BROKEN;
  queue.error = error;
  queue.errorIndex = index;
  // Only a device raises DEVICE_NEEDS_RESET; a driver that was lied to just stops.
  if (error < E_USED_IDX) deviceNeedsReset(queue.device);
}

/** Remembers the caller's mistake at record `index`; the queue stays as it was. */
export function refuse(queue: Queue, refusal: u32, index: u32): void {
  queue.refusal = refusal;
  queue.refusalIndex = index;
}

/** Forgets what went wrong, when the queue is enabled anew. */
export function clearFaults(queue: Queue): void {
  queue.error = 0;
  queue.errorIndex = 0;
  queue.refusal = 0;
  queue.refusalIndex = 0;
}

/** Queue or device reset, once the peer has confirmed it: the half leaves its rings alone from here on. */
export function queueStop(ptr: u32): void {
  changetype<Queue>(ptr).state = QUEUE_STOPPED;
}

/** The half's device is suspended (3.4): a live queue stands still where it is. */
export function queueSuspend(ptr: u32): void {
  const queue = changetype<Queue>(ptr);
  if (queue.state == QUEUE_LIVE) queue.state = QUEUE_SUSPENDED;
}

/** The half's device runs again: what stood still goes on. */
export function queueResume(ptr: u32): void {
  const queue = changetype<Queue>(ptr);
  if (queue.state == QUEUE_SUSPENDED) queue.state = QUEUE_LIVE;
}

@inline
export function isLive(queue: Queue): bool {
  return queue.state == QUEUE_LIVE;
}

/** Of 4 GiB and less: in 32 bits 4 GiB itself counts as 4 GiB - 1. */
@inline
export function saturate32(bytes: u64): u32 {
  return <u32>(bytes - (bytes >> 32));
}
