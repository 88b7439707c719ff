// Split virtqueue, device half: pop, mark used, publish used. The driver is hostile: whatever it
// can write is loaded once, checked, and then used (H rows).

import {
  E_AVAIL_IDX,
  E_BUFFER_ADDRESS,
  E_CHAIN_TOO_LONG,
  E_HEAD_IN_FLIGHT,
  E_HEAD_RANGE,
  E_INDIRECT_NOT_NEGOTIATED,
  E_INDIRECT_WITH_NEXT,
  E_NESTED_INDIRECT,
  E_NEXT_RANGE,
  E_READABLE_AFTER_WRITABLE,
  E_TABLE_ADDRESS,
  FAULT_RANGE,
  IOMMU_FAULT,
  OK,
  POP_HEADER,
  QUEUE_F_EVENT_IDX,
  QUEUE_F_IN_ORDER,
  QUEUE_LIVE,
  R_QUEUE_SIZE,
  R_STAGING_SIZE,
  SEGMENT,
  USED_RECORD,
} from "../abi";
import { deviceRuns } from "../device";
import { acquire16, release16 } from "../mem/fence";
import { pageLogMark, pageLogMarkRing } from "../mem/page-log";
import {
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_USED_F_NO_NOTIFY,
} from "../spec";
import {
  bytesError,
  DeviceQueue,
  fault,
  finishRecord,
  POP_WRITABLE,
  popError,
  popFits,
  tableEntriesOf,
  tableLengthError,
  turnWritable,
  usedRefusal,
} from "./device";
import { splitEventCrossed } from "./event";
import { placeRings, ringsFound, ringsStand } from "./place";
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
import { deviceFault, tablePlace } from "./translate";

// A shadow record, one for each descriptor that can be a head, is a u64: while its buffer is in flight,
// from pop to mark used, the bytes that may be written plus 1, else 0.
const RECORD_BITS: u32 = 3;

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
    false,
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
  if (!queue.domain) return pop(queue, out, bytes, max, false);
  return holds(queue) ? pop(queue, out, bytes, max, true) : 0;
}

/** Whether the ring may be worked as far as its memory is concerned. */
@inline
function holds(queue: SplitDevice): bool {
  return ringsStand(queue) || ringsFound(queue);
}

/** Where every bus address is `translated`, records get it as it is: buffers are translated when they are accessed. */
@inline
function pop(queue: SplitDevice, out: u32, bytes: u32, max: u32, translated: bool): u32 {
  const first = queue.lastAvail;
  const pending = ahead(acquire16(queue.driverArea + RING_IDX), first);
  // H-V-01.
  if (pending > queue.size) {
    breakQueue(queue, E_AVAIL_IDX, first);
    return 0;
  }
  const last = first + min(max, pending);
  if (!popFits(queue, out, bytes)) return 0;
  let error: u32 = OK;
  let head: u32 = 0;
  let lastAvail = first;
  // What only changes from one buffer to the next stays in the control block: a local that lives
  // through both loops costs a spill where a field costs a load.
  for (; lastAvail != last; lastAvail++) {
    head = load<u16>(queue.driverArea + ((lastAvail & queue.mask) << 1), RING_ENTRIES);
    // H-V-02.
    if (head >= queue.size) {
      error = E_HEAD_RANGE;
      break;
    }
    const record = queue.records + (head << RECORD_BITS);
    if (load<u64>(record)) {
      error = E_HEAD_IN_FLIGHT;
      break;
    }
    if (out > queue.lastOut) {
      error = R_STAGING_SIZE;
      break;
    }

    let table = queue.desc;
    let limit = queue.size;
    // H-V-03: the bound is set here and nothing in the chain, a table least of all, sets it again.
    let left = queue.maxChain;
    // H-V-06: two loads, each field fetched once.
    const at = table + (head << 4);
    let addr = load<u64>(at);
    let high = load<u64>(at, 8);
    let segment = out + POP_HEADER;
    // VIRTQ_DESC_F_WRITE from the first writable element on, VIRTQ_DESC_F_INDIRECT in a table.
    let state: u32 = 0;
    let total: u64 = 0;
    for (;;) {
      const flags = <u32>(high >> 32);
      const from = addr - queue.windowBase;
      if (flags & VIRTQ_DESC_F_INDIRECT) {
        // S-V-04: WRITE says nothing here. S-V-05: direct descriptors may have come before.
        if (state & VIRTQ_DESC_F_INDIRECT) {
          total = fault(E_NESTED_INDIRECT);
          break;
        }
        if (flags & VIRTQ_DESC_F_NEXT) {
          total = fault(queue.tableEntries ? E_INDIRECT_WITH_NEXT : E_INDIRECT_NOT_NEGOTIATED);
          break;
        }
        // H-V-04; the subtraction turns 0 into the largest length.
        limit = tableEntriesOf(<u32>high);
        if (limit - 1 >= queue.tableEntries) {
          total = fault(tableLengthError(queue));
          break;
        }
        if (translated) {
          table = tablePlace(queue, addr, <u32>high);
          if (table == IOMMU_FAULT) {
            total = fault(E_TABLE_ADDRESS);
            break;
          }
        } else {
          if (from > queue.windowLength) {
            total = fault(E_TABLE_ADDRESS);
            break;
          }
          if (<u64>(<u32>high) > queue.windowLength - from) {
            total = fault(E_TABLE_ADDRESS);
            break;
          }
          table = <u32>addr + queue.windowDelta;
        }
        state |= VIRTQ_DESC_F_INDIRECT;
        addr = load<u64>(table);
        high = load<u64>(table, 8);
        continue;
      }
      const len = <u32>high;
      // H-V-07: an element without bytes is skipped.
      if (len) {
        // H-V-05.
        if (from > queue.windowLength) {
          if (translated) deviceFault(queue, addr, (flags & VIRTQ_DESC_F_WRITE) != 0, FAULT_RANGE);
          total = fault(E_BUFFER_ADDRESS);
          break;
        }
        if (<u64>len > queue.windowLength - from) {
          if (translated) deviceFault(queue, addr, (flags & VIRTQ_DESC_F_WRITE) != 0, FAULT_RANGE);
          total = fault(E_BUFFER_ADDRESS);
          break;
        }
        if ((flags ^ state) & VIRTQ_DESC_F_WRITE) {
          // H-V-08.
          if (state & VIRTQ_DESC_F_WRITE) {
            total = fault(E_READABLE_AFTER_WRITABLE);
            break;
          }
          state |= VIRTQ_DESC_F_WRITE;
          turnWritable(out, segment, total);
        }
        total += len;
        store<u32>(segment, translated ? <u32>addr : <u32>addr + queue.windowDelta);
        store<u32>(segment, len, 4);
        segment += SEGMENT;
      }
      if (!(flags & VIRTQ_DESC_F_NEXT)) break;
      const next = <u32>(high >> 48);
      // H-V-02.
      if (next >= limit) {
        total = fault(E_NEXT_RANGE);
        break;
      }
      if (!--left) {
        total = fault(E_CHAIN_TOO_LONG);
        break;
      }
      const link = table + (next << 4);
      addr = load<u64>(link);
      high = load<u64>(link, 8);
    }
    if (<u32>(total >> 32)) {
      const wrong = bytesError(total);
      if (wrong) {
        error = wrong;
        break;
      }
    }
    const capacity = finishRecord(out, segment, state & VIRTQ_DESC_F_WRITE, total);
    store<u64>(record, capacity + 1);
    store<u32>(out, head | queue.handleBase);
    if (queue.flags & QUEUE_F_IN_ORDER) store<u16>(queue.order + ((lastAvail & queue.mask) << 1), <u16>head);
    out = segment;
  }

  const done = lastAvail - first;
  queue.lastAvail = lastAvail & 0xffff;
  queue.cursor = out;
  queue.popped += done;
  if (error) popError(queue, error, head);
  return done;
}

/** Marks the buffers of `count` staged {handle, len} records used, without publishing; how many. */
export function splitDeviceMarkUsed(ptr: u32, stream: u32, count: u32): u32 {
  const queue = changetype<SplitDevice>(ptr);
  if (queue.flags & QUEUE_F_IN_ORDER) return markUsed(queue, stream, count, false, true);
  return markUsed(queue, stream, count, false, false);
}

/** Marks `count` popped buffers at `popped` used, each with its whole writable capacity. */
export function splitDeviceMarkAllUsed(ptr: u32, popped: u32, count: u32): u32 {
  const queue = changetype<SplitDevice>(ptr);
  if (queue.flags & QUEUE_F_IN_ORDER) return markUsed(queue, popped, count, true, true);
  return markUsed(queue, popped, count, true, false);
}

/** `records` are popped ones, or {handle, len}. */
@inline
function markUsed(queue: SplitDevice, records: u32, count: u32, popped: bool, inOrder: bool): u32 {
  queue.refusal = 0;
  if (!isLive(queue) || !holds(queue)) return 0;
  const first = queue.usedIdx;
  const end = first + count;
  const batchSlot = queue.batchSlot;
  let counts: u32 = 0;
  let stride = popped ? POP_HEADER : USED_RECORD;
  let usedIdx = first;
  for (; usedIdx != end; usedIdx++) {
    // Another generation leaves bits above any index.
    const head = load<u32>(records) ^ queue.handleBase;
    if (head >= queue.size) break;
    const record = queue.records + (head << RECORD_BITS);
    const len = load<u32>(popped ? records + POP_WRITABLE : records + 4);
    // S-V-10: a length may understate, never overstate. Nothing is below the 0 of a free record.
    if (<u64>len >= load<u64>(record)) break;
    let slot = usedIdx & queue.mask;
    if (inOrder) {
      // F-V-02.
      if (<u32>load<u16>(queue.order + (slot << 1)) != head) break;
      // S-V-12, S-V-13: the element of a run of completely used buffers is that of the last of them.
      if (queue.batchOpen) slot = queue.batchSlot;
      queue.batchSlot = slot;
      queue.batchOpen = <u32>(<u64>len + 1 == load<u64>(record));
    }
    store<u64>(record, 0);
    const element = queue.deviceArea + (slot << 3);
    store<u32>(element, head, RING_ENTRIES);
    store<u32>(element, len, RING_ENTRIES + 4);
    if (popped) {
      // A branch that is predicted well, so that no burst is one chain of dependent loads.
      const now = load<u32>(records, 4);
      if (now != counts) {
        counts = now;
        stride = POP_HEADER + ((counts & 0xffff) + (counts >> 16)) * SEGMENT;
      }
    }
    records += stride;
  }
  const done = usedIdx - first;
  const log = queue.space.log;
  if (log) {
    const elements = queue.deviceArea + RING_ENTRIES;
    pageLogMarkRing(log, elements, first & queue.mask, done, queue.size, 3);
    if (inOrder) pageLogMark(log, elements + (batchSlot << 3), 8);
  }
  queue.usedIdx = usedIdx & 0xffff;
  queue.cursor = records;
  queue.used += done;
  if (done != count) refuse(queue, usedRefusal(queue, records, popped, RECORD_BITS), done);
  return done;
}

/** Shows the driver what was used (2.7.8), and decides whether it wants an interrupt (2.7.7). */
export function splitDevicePublishUsed(ptr: u32): u32 {
  splitDeviceShowUsed(ptr);
  return splitDeviceInterrupt(ptr);
}

/** Shows the driver what was used. A decision about an interrupt follows within 32768 used buffers. */
export function splitDeviceShowUsed(ptr: u32): void {
  const queue = changetype<SplitDevice>(ptr);
  if (!isLive(queue) || !deviceRuns(queue.device) || !holds(queue)) return;
  const now = queue.usedIdx;
  if (now == queue.published) return;
  // S-V-09: the elements are complete before the index covers them.
  release16(queue.deviceArea + RING_IDX, now);
  logWrite(queue, RING_IDX);
  queue.published = now;
  queue.publishes++;
  queue.batchOpen = 0;
}

/** Whether the driver wants an interrupt for what was shown since this was asked last. */
export function splitDeviceInterrupt(ptr: u32): u32 {
  const queue = changetype<SplitDevice>(ptr);
  if (!isLive(queue) || !deviceRuns(queue.device) || !holds(queue)) return 0;
  const now = queue.published;
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
  if (!isLive(queue) || !holds(queue)) return 0;
  if (queue.flags & QUEUE_F_EVENT_IDX) {
    // S-V-14: the flags stay 0.
    release16(availEventPtr(queue.deviceArea, queue.size), queue.lastAvail + after);
  } else {
    release16(queue.deviceArea + RING_FLAGS, 0);
  }
  logWish(queue);
  return <u32>(ahead(acquire16(queue.driverArea + RING_IDX), queue.lastAvail) > after);
}

/** Asks for no kicks; the driver may still send some. */
export function splitDeviceSuppress(ptr: u32): void {
  const queue = changetype<SplitDevice>(ptr);
  if (!isLive(queue) || !holds(queue)) return;
  if (queue.flags & QUEUE_F_EVENT_IDX) {
    // An entry that was popped already: the furthest away that the index can be.
    release16(availEventPtr(queue.deviceArea, queue.size), queue.lastAvail - 1);
  } else {
    release16(queue.deviceArea + RING_FLAGS, VIRTQ_USED_F_NO_NOTIFY);
  }
  logWish(queue);
}

/** Logs a 16-bit word of the used ring that was stored. */
@inline
function logWrite(queue: SplitDevice, offset: u32): void {
  if (queue.space.log) pageLogMark(queue.space.log, queue.deviceArea + offset, 2);
}

/** Logs the word that says when a kick is wanted. */
@inline
function logWish(queue: SplitDevice): void {
  const event = queue.flags & QUEUE_F_EVENT_IDX;
  logWrite(queue, event ? availEventPtr(0, queue.size) : RING_FLAGS);
}
