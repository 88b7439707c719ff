// What both device halves have in common: where their rings are, and what they check before use.

import {
  OK,
  QUEUE_STOPPED,
  R_QUEUE_LIVE,
  R_RING_ADDRESS,
  R_RING_ALIGNMENT,
  R_RING_OVERLAP,
  R_STAGING_SIZE,
} from "../abi";
import { inWindow } from "../dma/space";
import { breakQueue, Queue, refuse } from "./queue";

// A handle names a popped buffer until it is marked used: the index of its shadow record, and the
// queue's generation, so that a completion from before a reset does not meet a later buffer (V-V-01).
//
//   bits 0-15 record | bits 16-31 generation
export const HANDLE_SHIFT: u32 = 16;
export const HANDLE_RECORD: u32 = 0xffff;

/** Where a popped record has its two byte counts, and one writable element in its element counts. */
export const POP_READABLE: u32 = 8;
export const POP_WRITABLE: u32 = 12;
export const WRITABLE: u32 = 0x10000;

@unmanaged
export class DeviceQueue extends Queue {
  generation: u32;
  /** Most elements of a buffer that are accepted (S-B-05, P-V-05); at most the ring's size. */
  maxChain: u32;
  /** The identity window of the address space, and what turns a bus address in it into a place. */
  windowDelta: u32;
  _pad: u32;
  windowBase: u64;
  windowLength: u64;
  /** Bus addresses of the three areas, as the driver gave them. */
  descAddr: u64;
  driverAddr: u64;
  deviceAddr: u64;

  // Counters, since the queue was enabled first
  popped: u64;
  used: u64;
  publishes: u64;
  interrupts: u64;
}

/** Finds the three areas in the queue's address space; checks alignment, bounds and overlap. */
export function placeRings(
  queue: DeviceQueue,
  descAlign: u32,
  areaAlign: u32,
  usedAlign: u32,
  descBytes: u32,
  driverBytes: u32,
  deviceBytes: u32,
): u32 {
  if (queue.state != QUEUE_STOPPED) return R_QUEUE_LIVE;
  const desc = queue.descAddr;
  const driver = queue.driverAddr;
  const device = queue.deviceAddr;
  if (desc & (descAlign - 1) || driver & (areaAlign - 1) || device & (usedAlign - 1)) return R_RING_ALIGNMENT;
  const base = queue.space.base;
  const length = queue.space.length;
  if (!inWindow(base, length, desc, descBytes)) return R_RING_ADDRESS;
  if (!inWindow(base, length, driver, driverBytes)) return R_RING_ADDRESS;
  if (!inWindow(base, length, device, deviceBytes)) return R_RING_ADDRESS;
  if (overlap(desc, descBytes, driver, driverBytes)) return R_RING_OVERLAP;
  if (overlap(desc, descBytes, device, deviceBytes)) return R_RING_OVERLAP;
  if (overlap(driver, driverBytes, device, deviceBytes)) return R_RING_OVERLAP;
  queue.desc = place(queue, desc);
  queue.driverArea = place(queue, driver);
  queue.deviceArea = place(queue, device);
  // A completion that still carries an older generation is refused.
  queue.windowBase = base;
  queue.windowLength = length;
  queue.windowDelta = queue.space.offset - <u32>base;
  queue.generation = (queue.generation + 1) & 0xffff;
  if (queue.maxChain == 0 || queue.maxChain > queue.size) queue.maxChain = queue.size;
  return OK;
}

function place(queue: DeviceQueue, addr: u64): u32 {
  return <u32>(addr - queue.space.base) + queue.space.offset;
}

/** Distances, not ends: an area may end at the very end of the bus addresses. */
function overlap(a: u64, aBytes: u64, b: u64, bBytes: u64): bool {
  return b - a < aBytes || a - b < bBytes;
}

/** What does not fit any more waits for the next burst; what never fits is the caller's mistake. */
export function popError(queue: DeviceQueue, error: u32, index: u32, done: u32): void {
  if (error != R_STAGING_SIZE) breakQueue(queue, error, index);
  else if (!done) refuse(queue, R_STAGING_SIZE, index);
}
