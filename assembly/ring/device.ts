// What both device halves have in common: their control block, and what they check before use.

import {
  E_CHAIN_BYTES,
  E_INDIRECT_NOT_NEGOTIATED,
  E_TABLE_LENGTH,
  OK,
  POP_HEADER,
  R_LEN_OVER_CAPACITY,
  R_NOT_IN_FLIGHT,
  R_NOT_IN_ORDER,
  R_STAGING_SIZE,
  SEGMENT,
} from "../abi";
import { breakQueue, Queue, refuse, saturate32 } from "./queue";

// A handle names a popped buffer until it is marked used: the index of its shadow record, and the
// queue's generation, so that a completion from before a reset does not meet a later buffer (V-V-01).
//
//   bits 0-15 record | bits 16-31 generation
export const HANDLE_SHIFT: u32 = 16;
export const HANDLE_RECORD: u32 = 0xffff;

/** Where a popped record has its two byte counts. */
export const POP_READABLE: u32 = 8;
export const POP_WRITABLE: u32 = 12;

// While a buffer is walked, a broken rule stands where the sum of its bytes would be: both are looked at
// once, at the end, and the loop keeps one local less.
const FAULT: u64 = 1 << 63;

/** In place of a sum of bytes: the rule `error` is broken. */
@inline
export function fault(error: u32): u64 {
  return FAULT | error;
}

/** What is wrong with a sum of bytes, which may be a fault. */
export function bytesError(total: u64): u32 {
  if (total >= FAULT) return <u32>total;
  return total > 0x1_0000_0000 ? E_CHAIN_BYTES : OK;
}

/** What is wrong with a table that has no entry, or more than `tableEntries`. */
export function tableLengthError(queue: DeviceQueue): u32 {
  return queue.tableEntries ? E_TABLE_LENGTH : E_INDIRECT_NOT_NEGOTIATED;
}

/** Entries of a table of `bytes`: for no multiple of an entry, more than any ring has. */
@inline
export function tableEntriesOf(bytes: u32): u32 {
  return rotr<u32>(bytes, 4);
}

@unmanaged
export class DeviceQueue extends Queue {
  generation: u32;
  /** Most elements of a buffer that are accepted (S-B-05, P-V-05); at most the ring's size. */
  maxChain: u32;
  /** What turns a bus address in the window into a place, and the place where the window starts. */
  windowDelta: u32;
  windowPlace: u32;
  /** Most entries of an indirect table; 0 when tables were not negotiated. */
  tableEntries: u32;
  /** Last place where the longest buffer would fit the staging area of the burst that pops. */
  lastOut: u32;
  /** The generation where a handle has it. */
  handleBase: u32;
  /** The IOMMU domain that every bus address goes through; 0 where there is a window. */
  domain: u32;
  /** What the device reaches: the space's identity window, or with ACCESS_PLATFORM what its backend shows. */
  windowBase: u64;
  windowLength: u64;
  /** Bus addresses of the three areas, as the driver gave them. */
  descAddr: u64;
  driverAddr: u64;
  deviceAddr: u64;
  /** Bytes of the three areas, and whether the device writes the first: they may have to be found again. */
  descBytes: u32;
  driverBytes: u32;
  deviceBytes: u32;
  descWritten: u32;
  /** The domain's `ringEpoch` when the areas were found. */
  ringEpoch: u32;
  _pad0: u32;

  // Counters, since the queue was enabled first
  popped: u64;
  used: u64;
  publishes: u64;
  interrupts: u64;
}

/** Prepares a burst that pops to [out, out + bytes); whether the longest buffer fits there. */
@inline
export function popFits(queue: DeviceQueue, out: u32, bytes: u32): bool {
  const longest = POP_HEADER + queue.maxChain * SEGMENT;
  queue.lastOut = out + bytes - longest;
  if (bytes >= longest) return true;
  refuse(queue, R_STAGING_SIZE, 0);
  return false;
}

/** The first writable element goes to `segment` of the record at `out`: remembers what came before. */
@inline
export function turnWritable(out: u32, segment: u32, bytes: u64): void {
  store<u32>(out, (segment - out - POP_HEADER) / SEGMENT, 4);
  store<u32>(out, <u32>bytes, POP_READABLE);
}

/** Completes the counts of the record at `out`, which ends at `segment`; how many bytes are writable. */
@inline
export function finishRecord(out: u32, segment: u32, turned: u32, bytes: u64): u64 {
  const elements = (segment - out - POP_HEADER) / SEGMENT;
  if (!turned) {
    store<u32>(out, elements, 4);
    store<u64>(out, saturate32(bytes), POP_READABLE);
    return 0;
  }
  const readable = load<u32>(out, 4);
  store<u32>(out, readable | ((elements - readable) << 16), 4);
  const capacity = saturate32(bytes - load<u32>(out, POP_READABLE));
  store<u32>(out, <u32>capacity, POP_WRITABLE);
  return capacity;
}

/** Which rule the completion at `records` breaks; a device record starts with its capacity plus 1, or 0. */
export function usedRefusal(queue: DeviceQueue, records: u32, popped: bool, recordBits: u32): u32 {
  const index = load<u32>(records) ^ queue.handleBase;
  if (index >= queue.size) return R_NOT_IN_FLIGHT;
  const limit = load<u64>(queue.records + (index << recordBits));
  if (!limit) return R_NOT_IN_FLIGHT;
  const len = load<u32>(popped ? records + POP_WRITABLE : records + 4);
  return <u64>len >= limit ? R_LEN_OVER_CAPACITY : R_NOT_IN_ORDER;
}

/** What does not fit any more waits for the next burst; everything else breaks the queue. */
export function popError(queue: DeviceQueue, error: u32, index: u32): void {
  if (error != R_STAGING_SIZE) breakQueue(queue, error, index);
}
