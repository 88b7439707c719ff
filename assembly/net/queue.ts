// A queue of a network half: the ring's half that it works, in whichever format, and its counters.
// Device halves keep the buffers that they have popped and not used yet, so that a packet takes as
// many of them as it needs, and none before there are enough.

import { NET_COUNTERS, POP_HEADER, SEGMENT, USED_RECORD } from "../abi";
import { bufferRead, bufferWrite } from "../ring/access";
import { DeviceQueue, POP_WRITABLE } from "../ring/device";
import {
  packedDeviceArm,
  packedDeviceInterrupt,
  packedDeviceMarkUsed,
  packedDevicePop,
  packedDeviceShowUsed,
} from "../ring/packed-device";
import { isLive } from "../ring/queue";
import {
  splitDeviceArm,
  splitDeviceInterrupt,
  splitDeviceMarkUsed,
  splitDevicePop,
  splitDeviceShowUsed,
} from "../ring/split-device";

@unmanaged
export class NetQueue {
  /** The ring's half; 0 while the queue is not enabled. */
  half: u32;
  /** 1 for the packed format. */
  packed: u32;

  // Device halves: popped records (abi.ts) in [area, area + areaBytes), of which those from `next` to `tail`
  // are still to be used, `left` of them; and the completions that are not marked used yet
  area: u32;
  areaBytes: u32;
  next: u32;
  tail: u32;
  left: u32;
  used: u32;
  usedMost: u32;
  usedCount: u32;
  /** Packets of the burst that runs. */
  packets: u32;

  // Notification coalescing (5.1.9.5.10): the limits, packets and buffers since the last decision, the time of the
  // first of them, and whether an interrupt waits for the host to deliver it
  maxPackets: u32;
  maxUsecs: u32;
  waitingPackets: u32;
  waitingBuffers: u32;
  waitingSince: u32;
  interrupt: u32;
}

/** Bytes of a queue's block with the counters behind it. */
export const NET_QUEUE_BYTES: u32 = (offsetof<NetQueue>() + (NET_COUNTERS << 3) + 63) & ~63;

/** Adds to the counter of this number. */
@inline
export function count(queue: NetQueue, counter: u32, n: u32): void {
  const at = changetype<u32>(queue) + offsetof<NetQueue>() + (counter << 3);
  store<u64>(at, load<u64>(at) + n);
}

/** Whether the ring may be worked. */
@inline
export function queueWorks(queue: NetQueue): bool {
  return queue.half != 0 && isLive(changetype<DeviceQueue>(queue.half));
}

/** Puts a network queue on the ring's device half at `half`, with staging areas for popped and used records. */
export function netQueueStart(
  queue: NetQueue,
  half: u32,
  packed: u32,
  area: u32,
  areaBytes: u32,
  used: u32,
  usedBytes: u32,
): void {
  queue.half = half;
  queue.packed = packed;
  queue.area = area;
  queue.areaBytes = areaBytes;
  queue.used = used;
  queue.usedMost = usedBytes / USED_RECORD;
  netQueueForget(queue);
}

/** Device or queue reset: what was popped is the driver's again. */
export function netQueueStop(queue: NetQueue): void {
  queue.half = 0;
  netQueueForget(queue);
}

function netQueueForget(queue: NetQueue): void {
  queue.next = queue.area;
  queue.tail = queue.area;
  queue.left = 0;
  queue.usedCount = 0;
  queue.packets = 0;
  queue.waitingPackets = 0;
  queue.waitingBuffers = 0;
  queue.interrupt = 0;
}

/** Pops up to `most` buffers behind those that are left; how many. */
export function popMore(queue: NetQueue, most: u32): u32 {
  const kept = queue.tail - queue.next;
  if (queue.next != queue.area) {
    memory.copy(queue.area, queue.next, kept);
    queue.next = queue.area;
    queue.tail = queue.area + kept;
  }
  const half = queue.half;
  const room = queue.areaBytes - kept;
  const popped = queue.packed
    ? packedDevicePop(half, queue.tail, room, most)
    : splitDevicePop(half, queue.tail, room, most);
  if (popped) queue.tail = changetype<DeviceQueue>(half).cursor;
  queue.left += popped;
  return popped;
}

/** One past the popped record at `record`. */
@inline
export function recordAfter(record: u32): u32 {
  const counts = load<u32>(record, 4);
  return record + POP_HEADER + ((counts & 0xffff) + (counts >> 16)) * SEGMENT;
}

/** Marks the first buffer that is left used, with `bytes` written. */
export function useNext(queue: NetQueue, bytes: u32): void {
  if (queue.usedCount == queue.usedMost) markUsed(queue);
  const at = queue.used + queue.usedCount++ * USED_RECORD;
  store<u32>(at, load<u32>(queue.next));
  store<u32>(at, bytes, 4);
  queue.next = recordAfter(queue.next);
  queue.left--;
  queue.waitingBuffers++;
}

function markUsed(queue: NetQueue): void {
  const count = queue.usedCount;
  queue.usedCount = 0;
  if (queue.packed) packedDeviceMarkUsed(queue.half, queue.used, count);
  else splitDeviceMarkUsed(queue.half, queue.used, count);
}

/** Shows the driver what was used; only ever between packets (N-V-07). */
export function showUsed(queue: NetQueue): void {
  if (!queue.usedCount) return;
  markUsed(queue);
  if (queue.packed) packedDeviceShowUsed(queue.half);
  else splitDeviceShowUsed(queue.half);
}

/** Whether the driver wants an interrupt for what was shown since the last decision. */
export function interruptWanted(queue: NetQueue): u32 {
  return queue.packed ? packedDeviceInterrupt(queue.half) : splitDeviceInterrupt(queue.half);
}

/** Asks for a kick at the next buffer; whether one is there already. */
export function armQueue(queue: NetQueue): bool {
  return (queue.packed ? packedDeviceArm(queue.half, 0) : splitDeviceArm(queue.half, 0)) != 0;
}

/** The device reads `bytes` of a popped buffer's readable part, from byte `skip` on; false when a page may not be read. */
export function gather(queue: NetQueue, record: u32, skip: u32, to: u32, bytes: u32): bool {
  const half = changetype<DeviceQueue>(queue.half);
  let segment = record + POP_HEADER;
  while (bytes) {
    const length = load<u32>(segment, 4);
    if (skip < length) {
      const part = min(length - skip, bytes);
      if (!bufferRead(half, load<u32>(segment) + skip, to, part)) return false;
      to += part;
      bytes -= part;
      skip = 0;
    } else {
      skip -= length;
    }
    segment += SEGMENT;
  }
  return true;
}

/** The device writes `bytes` into a popped buffer's writable part, from byte `skip` on; false when a page may not be written. */
export function scatter(queue: NetQueue, record: u32, skip: u32, from: u32, bytes: u32): bool {
  const half = changetype<DeviceQueue>(queue.half);
  let segment = record + POP_HEADER + (load<u32>(record, 4) & 0xffff) * SEGMENT;
  while (bytes) {
    const length = load<u32>(segment, 4);
    if (skip < length) {
      const part = min(length - skip, bytes);
      if (!bufferWrite(half, load<u32>(segment) + skip, from, part)) return false;
      from += part;
      bytes -= part;
      skip = 0;
    } else {
      skip -= length;
    }
    segment += SEGMENT;
  }
  return true;
}

/** Bytes that may be written into a popped buffer. */
@inline
export function writableBytes(record: u32): u32 {
  return load<u32>(record, POP_WRITABLE);
}
