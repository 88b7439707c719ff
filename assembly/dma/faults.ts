// A device's fault log: the first accesses that its backend refused. Further ones are only counted,
// so that a device that never stops can't fill more than its log.
//
//   FaultLog | record 0 | record 1 | ...      each {addr u64, queue u32, direction u16, reason u16}

import { FAULT_RECORD } from "../abi";

@unmanaged
export class FaultLog {
  /** Records that have a place, and records that are there. */
  capacity: u32;
  count: u32;
}

/** Bytes of a log of `capacity` faults. */
export function faultLogBytes(capacity: u32): u32 {
  return offsetof<FaultLog>() + capacity * FAULT_RECORD;
}

export function faultLogInit(ptr: u32, capacity: u32): void {
  const log = changetype<FaultLog>(ptr);
  log.capacity = capacity;
  log.count = 0;
}

/** Forgets what is recorded, if there is a log. */
export function faultLogClear(ptr: u32): void {
  if (ptr) changetype<FaultLog>(ptr).count = 0;
}

/** Records that `queue` was refused `addr` (FAULT_*), if there is a log with room. */
export function faultLogPut(ptr: u32, addr: u64, queue: u32, direction: u32, reason: u32): void {
  if (!ptr) return;
  const log = changetype<FaultLog>(ptr);
  if (log.count == log.capacity) return;
  const record = ptr + offsetof<FaultLog>() + log.count++ * FAULT_RECORD;
  store<u64>(record, addr);
  store<u32>(record, queue, 8);
  store<u32>(record, direction | (reason << 16), 12);
}
