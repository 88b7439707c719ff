// Split virtqueue, device half: pop, mark used, publish used. The driver is hostile: whatever it
// can write is loaded once, checked, and then used (H rows).

import {
  E_AVAIL_IDX,
  E_BUFFER_ADDRESS,
  E_CHAIN_BYTES,
  E_CHAIN_TOO_LONG,
  E_HEAD_IN_FLIGHT,
  E_HEAD_RANGE,
  E_INDIRECT_NOT_NEGOTIATED,
  E_INDIRECT_WITH_NEXT,
  E_NESTED_INDIRECT,
  E_NEXT_RANGE,
  E_READABLE_AFTER_WRITABLE,
  E_TABLE_ADDRESS,
  E_TABLE_LENGTH,
  OK,
  POP_HEADER,
  QUEUE_F_EVENT_IDX,
  QUEUE_F_IN_ORDER,
  QUEUE_F_INDIRECT,
  QUEUE_LIVE,
  R_LEN_OVER_CAPACITY,
  R_NOT_IN_FLIGHT,
  R_NOT_IN_ORDER,
  R_QUEUE_SIZE,
  R_STAGING_SIZE,
  SEGMENT,
  USED_RECORD,
} from "../abi";
import { deviceRuns } from "../device";
import { busDelta, inWindow } from "../dma/space";
import { acquire16, release16 } from "../mem/fence";
import {
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_USED_F_NO_NOTIFY,
} from "../spec";
import { DeviceQueue, HANDLE_RECORD, HANDLE_SHIFT, placeRings } from "./device";
import { splitEventCrossed } from "./event";
import { breakQueue, clearFaults, isLive, refuse } from "./queue";
import { ahead } from "./serial";
import {
  availEventPtr,
  RING_ENTRIES,
  RING_FLAGS,
  RING_IDX,
  SPLIT_AVAIL_ALIGN,
  SPLIT_DESC_ALIGN,
  SPLIT_USED_ALIGN,
  splitAvailBytes,
  splitDescBytes,
  splitSizeIsLegal,
  splitUsedBytes,
  usedEventPtr,
} from "./split-layout";

// A shadow record, one for each descriptor that can be a head:
//
//   0 capacity u32: bytes that may be written | 4 in flight u32: 1 from pop to mark used
const RECORD_BITS: u32 = 3;
const RECORD_IN_FLIGHT: u32 = 4;

/** Bytes of shadow records and, behind them, of the pop order that IN_ORDER keeps: u16 for each entry. */
export function splitDeviceShadowBytes(capacity: u32): u32 {
  return (capacity << RECORD_BITS) + (capacity << 1);
}

@unmanaged
export class SplitDevice extends DeviceQueue {
  mask: u32;
  /** avail.idx up to which buffers were popped. */
  lastAvail: u32;
  /** used.idx as the next publish will store it, and as the last one did. */
  usedIdx: u32;
  published: u32;
  /** used.idx at the last interrupt decision. */
  interruptIdx: u32;
  /** IN_ORDER: slot of the used element that a following buffer may still take over, and whether it may. */
  batchSlot: u32;
  batchOpen: u32;
  /** IN_ORDER: heads in pop order, u16 each, by used index. */
  order: u32;
}

/** Puts a stopped queue to work on rings at the three bus addresses in its control block. */
export function splitDeviceEnable(ptr: u32): u32 {
  const queue = changetype<SplitDevice>(ptr);
  const size = queue.size;
  if (!splitSizeIsLegal(size) || size > queue.capacity) return R_QUEUE_SIZE;
  const refusal = placeRings(
    queue,
    SPLIT_DESC_ALIGN,
    SPLIT_AVAIL_ALIGN,
    SPLIT_USED_ALIGN,
    splitDescBytes(size),
    splitAvailBytes(size),
    splitUsedBytes(size),
  );
  if (refusal) return refusal;
  clearFaults(queue);
  queue.mask = size - 1;
  queue.lastAvail = 0;
  queue.usedIdx = 0;
  queue.published = 0;
  queue.interruptIdx = 0;
  queue.batchOpen = 0;
  queue.order = queue.records + (queue.capacity << RECORD_BITS);
  memory.fill(queue.records, 0, splitDeviceShadowBytes(queue.capacity));
  queue.state = QUEUE_LIVE;
  return OK;
}

/**
 * Continues a ring in the middle: `availIdx` is the next available index to pop, `usedIdx` the
 * next used index to write, and nothing between them is in flight.
 */
export function splitDeviceResume(ptr: u32, availIdx: u32, usedIdx: u32): void {
  const queue = changetype<SplitDevice>(ptr);
  queue.lastAvail = availIdx & 0xffff;
  queue.usedIdx = usedIdx & 0xffff;
  queue.published = queue.usedIdx;
  queue.interruptIdx = queue.usedIdx;
}

/**
 * Pops up to `max` buffers as records (abi.ts) at [out, out + bytes); how many. A broken rule
 * ends the burst before the buffer that broke it, with the queue broken. `bytes` holds at least
 * one buffer of maxChain elements.
 */
export function splitDevicePop(ptr: u32, out: u32, bytes: u32, max: u32): u32 {
  const queue = changetype<SplitDevice>(ptr);
  queue.refusal = 0;
  if (!isLive(queue) || !deviceRuns(queue.device)) return 0;
  const size = queue.size;
  const mask = queue.mask;
  const avail = queue.driverArea;
  let lastAvail = queue.lastAvail;
  const pending = ahead(acquire16(avail + RING_IDX), lastAvail);
  // H-V-01.
  if (pending > size) {
    breakQueue(queue, E_AVAIL_IDX, lastAvail);
    return 0;
  }
  max = min(max, pending);
  const desc = queue.desc;
  const records = queue.records;
  const order = queue.order;
  const base = queue.space.base;
  const length = queue.space.length;
  const delta = <u32>busDelta(queue.space);
  const flags = queue.flags;
  const maxChain = queue.maxChain;
  const generation = queue.generation << HANDLE_SHIFT;
  const end = out + bytes;
  let error: u32 = OK;
  let errorIndex: u32 = 0;

  let done: u32 = 0;
  for (; done < max; done++) {
    const head: u32 = load<u16>(avail + ((lastAvail & mask) << 1), RING_ENTRIES);
    errorIndex = head;
    // H-V-02.
    if (head >= size) {
      error = E_HEAD_RANGE;
      break;
    }
    const record = records + (head << RECORD_BITS);
    if (load<u32>(record, RECORD_IN_FLIGHT)) {
      error = E_HEAD_IN_FLIGHT;
      break;
    }

    // H-V-03: the bound is set here and nothing in the chain, a table least of all, sets it again.
    let budget = maxChain;
    let table = desc;
    let limit = size;
    let nested = false;
    let at = desc + (head << 4);
    let segment = out + POP_HEADER;
    let readable: u32 = 0;
    let writable: u32 = 0;
    let readableBytes: u64 = 0;
    let writableBytes: u64 = 0;
    for (;;) {
      // H-V-06: two loads, each field fetched once.
      const addr = load<u64>(at);
      const high = load<u64>(at, 8);
      const len = <u32>high;
      const descFlags = <u32>(high >> 32);
      if (descFlags & VIRTQ_DESC_F_INDIRECT) {
        // S-V-04: WRITE says nothing here. S-V-05: direct descriptors may have come before.
        error = indirectError(flags, descFlags, nested, len, size);
        if (error) break;
        if (!inWindow(base, length, addr, len)) {
          error = E_TABLE_ADDRESS;
          break;
        }
        table = <u32>addr + delta;
        limit = len >> 4;
        nested = true;
        at = table;
        continue;
      }
      if (!budget) {
        error = E_CHAIN_TOO_LONG;
        break;
      }
      budget--;
      // H-V-07: an element without bytes is skipped.
      if (len) {
        // H-V-05.
        if (!inWindow(base, length, addr, len)) {
          error = E_BUFFER_ADDRESS;
          break;
        }
        if (descFlags & VIRTQ_DESC_F_WRITE) {
          writable++;
          writableBytes += len;
        } else {
          // H-V-08.
          if (writable) {
            error = E_READABLE_AFTER_WRITABLE;
            break;
          }
          readable++;
          readableBytes += len;
        }
        if (segment + SEGMENT > end) {
          error = R_STAGING_SIZE;
          break;
        }
        store<u64>(segment, <u64>(<u32>addr + delta) | ((<u64>len) << 32));
        segment += SEGMENT;
      }
      if (!(descFlags & VIRTQ_DESC_F_NEXT)) break;
      const next = <u32>(high >> 48);
      // H-V-02.
      if (next >= limit) {
        error = E_NEXT_RANGE;
        break;
      }
      at = table + (next << 4);
    }
    if (error) break;
    if (segment > end) {
      error = R_STAGING_SIZE;
      break;
    }
    if (readableBytes + writableBytes > 0x1_0000_0000) {
      error = E_CHAIN_BYTES;
      break;
    }
    const capacity = min<u64>(writableBytes, u32.MAX_VALUE) as u32;
    store<u64>(record, <u64>capacity | (1 << 32));
    store<u64>(out, <u64>(head | generation) | ((<u64>(readable | (writable << 16))) << 32));
    store<u64>(out, <u64>(<u32>readableBytes) | ((<u64>capacity) << 32), 8);
    if (flags & QUEUE_F_IN_ORDER) store<u16>(order + ((lastAvail & mask) << 1), <u16>head);
    out = segment;
    lastAvail++;
  }

  queue.lastAvail = lastAvail & 0xffff;
  queue.cursor = out;
  queue.popped += done;
  if (error == R_STAGING_SIZE) {
    // What does not fit any more waits for the next burst; what never fits is the caller's mistake.
    if (!done) refuse(queue, R_STAGING_SIZE, errorIndex);
  } else if (error) {
    breakQueue(queue, error, errorIndex);
  }
  return done;
}

/** What is wrong with a descriptor that refers to a table, besides where the table lies. */
function indirectError(flags: u32, descFlags: u32, nested: bool, len: u32, size: u32): u32 {
  if (!(flags & QUEUE_F_INDIRECT)) return E_INDIRECT_NOT_NEGOTIATED;
  if (nested) return E_NESTED_INDIRECT;
  if (descFlags & VIRTQ_DESC_F_NEXT) return E_INDIRECT_WITH_NEXT;
  // H-V-04.
  if (!len || len & 15 || len >> 4 > size) return E_TABLE_LENGTH;
  return OK;
}

/** Marks the buffers of `count` staged {handle, len} records used, without publishing; how many. */
export function splitDeviceMarkUsed(ptr: u32, stream: u32, count: u32): u32 {
  const queue = changetype<SplitDevice>(ptr);
  queue.refusal = 0;
  if (!isLive(queue)) return 0;
  let done: u32 = 0;
  for (; done < count; done++) {
    const refusal = markUsed(queue, load<u32>(stream), load<u32>(stream, 4));
    if (refusal) {
      refuse(queue, refusal, done);
      break;
    }
    stream += USED_RECORD;
  }
  queue.cursor = stream;
  queue.used += done;
  return done;
}

/** Marks `count` popped buffers at `popped` used, each with its whole writable capacity. */
export function splitDeviceMarkAllUsed(ptr: u32, popped: u32, count: u32): u32 {
  const queue = changetype<SplitDevice>(ptr);
  queue.refusal = 0;
  if (!isLive(queue)) return 0;
  let done: u32 = 0;
  for (; done < count; done++) {
    const refusal = markUsed(queue, load<u32>(popped), load<u32>(popped, 12));
    if (refusal) {
      refuse(queue, refusal, done);
      break;
    }
    const counts = load<u32>(popped, 4);
    popped += POP_HEADER + ((counts & 0xffff) + (counts >> 16)) * SEGMENT;
  }
  queue.cursor = popped;
  queue.used += done;
  return done;
}

@inline
function markUsed(queue: SplitDevice, handle: u32, len: u32): u32 {
  const head = handle & HANDLE_RECORD;
  if (handle >> HANDLE_SHIFT != queue.generation || head >= queue.size) return R_NOT_IN_FLIGHT;
  const record = queue.records + (head << RECORD_BITS);
  if (!load<u32>(record, RECORD_IN_FLIGHT)) return R_NOT_IN_FLIGHT;
  const capacity = load<u32>(record);
  // S-V-10: a length may understate, never overstate.
  if (len > capacity) return R_LEN_OVER_CAPACITY;
  let slot = queue.usedIdx & queue.mask;
  if (queue.flags & QUEUE_F_IN_ORDER) {
    // F-V-02.
    if (<u32>load<u16>(queue.order + (slot << 1)) != head) return R_NOT_IN_ORDER;
    // S-V-12, S-V-13: the element of a run of completely used buffers is that of the last of them.
    if (queue.batchOpen) slot = queue.batchSlot;
    queue.batchSlot = slot;
    queue.batchOpen = <u32>(len == capacity);
  }
  store<u32>(record, 0, RECORD_IN_FLIGHT);
  store<u64>(queue.deviceArea + (slot << 3), <u64>head | ((<u64>len) << 32), RING_ENTRIES);
  queue.usedIdx = (queue.usedIdx + 1) & 0xffff;
  return OK;
}

/** Shows the driver what was used (2.7.8), and decides whether it wants an interrupt (2.7.7). */
export function splitDevicePublishUsed(ptr: u32): u32 {
  const queue = changetype<SplitDevice>(ptr);
  if (!isLive(queue) || !deviceRuns(queue.device)) return 0;
  const now = queue.usedIdx;
  if (now != queue.published) {
    // S-V-09: the elements are complete before the index covers them.
    release16(queue.deviceArea + RING_IDX, now);
    queue.published = now;
    queue.publishes++;
    queue.batchOpen = 0;
  }
  // S-V-15: the peer's wish is loaded after the index is stored.
  const old = queue.interruptIdx;
  let interrupt: u32;
  if (queue.flags & QUEUE_F_EVENT_IDX) {
    const event = acquire16(usedEventPtr(queue.driverArea, queue.size));
    interrupt = <u32>splitEventCrossed(event, now, old);
  } else {
    const flags = acquire16(queue.driverArea + RING_FLAGS);
    interrupt = <u32>(now != old) & ~(flags & VIRTQ_AVAIL_F_NO_INTERRUPT);
  }
  queue.interruptIdx = now;
  queue.interrupts += interrupt;
  return interrupt;
}

/**
 * Asks for a kick once `after` more buffers than were popped are available; whether so many are
 * already, which the driver may have decided before it saw the request (S-V-15).
 */
export function splitDeviceArm(ptr: u32, after: u32): u32 {
  const queue = changetype<SplitDevice>(ptr);
  if (!isLive(queue)) return 0;
  if (queue.flags & QUEUE_F_EVENT_IDX) {
    // S-V-14: the flags stay 0.
    release16(availEventPtr(queue.deviceArea, queue.size), queue.lastAvail + after);
  } else {
    release16(queue.deviceArea + RING_FLAGS, 0);
  }
  return <u32>(ahead(acquire16(queue.driverArea + RING_IDX), queue.lastAvail) > after);
}

/** Asks for no kicks; the driver may still send some. */
export function splitDeviceSuppress(ptr: u32): void {
  const queue = changetype<SplitDevice>(ptr);
  if (!isLive(queue)) return;
  if (queue.flags & QUEUE_F_EVENT_IDX) {
    // An entry that was popped already: the furthest away that the index can be.
    release16(availEventPtr(queue.deviceArea, queue.size), queue.lastAvail - 1);
  } else {
    release16(queue.deviceArea + RING_FLAGS, VIRTQ_USED_F_NO_NOTIFY);
  }
}
