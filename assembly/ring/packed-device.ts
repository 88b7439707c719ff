// Packed virtqueue, device half: pop, mark used, publish used. The driver is hostile: whatever it
// can write is loaded once, checked, and then used (H rows).

import {
  E_BUFFER_ADDRESS,
  E_CHAIN_TOO_LONG,
  E_INDIRECT_IN_LIST,
  E_READABLE_AFTER_WRITABLE,
  E_RING_OVERRUN,
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
import { inWindow } from "../dma/space";
import { acquire32, acquire64, release32, release64 } from "../mem/fence";
import { pageLogMark, pageLogMarkRing } from "../mem/page-log";
import {
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  RING_EVENT_FLAGS_ENABLE,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
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
import { packedEventCrossed } from "./event";
import {
  availableBits,
  OWNER_BITS,
  PACKED_DESC_ALIGN,
  PACKED_EVENT_ALIGN,
  PACKED_EVENT_BYTES,
  packedDescBytes,
  packedSizeIsLegal,
  packedSlotsBetween,
  usedBits,
} from "./packed-layout";
import { placeRings, ringsFound, ringsStand } from "./place";
import { clearFaults, isLive, refuse } from "./queue";
import { deviceFault, tablePlace } from "./translate";

// A shadow record, one for each buffer in flight. A driver's buffer ids are any 16 bits (P-B-06)
// and a start slot can be made available again while its first buffer is still in flight, so
// records come from a free list of their own.
//
//   0 bytes that may be written plus 1, u64: 0 when free | 8 buffer id u16 | 10 slots u16
//   12 next u32: link of the free list, or of the pop order that IN_ORDER keeps
const RECORD_BITS: u32 = 4;
const RECORD_ID_SLOTS: u32 = 8;
const RECORD_NEXT: u32 = 12;

// Flags where the upper half of a descriptor's last word has them.
const NEXT: u32 = VIRTQ_DESC_F_NEXT << 16;
const WRITE: u32 = VIRTQ_DESC_F_WRITE << 16;
const INDIRECT: u32 = VIRTQ_DESC_F_INDIRECT << 16;
const OWNER: u32 = OWNER_BITS << 16;

export function packedDeviceShadowBytes(capacity: u32): u32 {
  return capacity << RECORD_BITS;
}

@unmanaged
export class PackedDevice extends DeviceQueue {
  /** Next slot to pop, and the wrap counter of its lap (P-B-02). */
  nextAvail: u32;
  availWrap: u32;
  /** Next slot for a used descriptor, and the wrap counter of its lap. */
  nextUsed: u32;
  usedWrap: u32;
  /** Slots popped and not yet used again: never more than the ring has. */
  slotsInFlight: u32;
  freeRecord: u32;
  /** Behind the last entry of the table that is being walked. */
  tableEnd: u32;
  _pad1: u32;
  /** Slots used since the last interrupt decision. */
  covered: u32;
  /**
   * Where the high word of the first used descriptor since the last publish goes, 0 for none, and
   * that word: as the driver looks at one slot only (P-B-05), holding this one back holds the batch
   * back (P-V-12).
   */
  held: u32;
  /** IN_ORDER: the same of a run of buffers that a following one may still join. */
  batch: u32;
  /** IN_ORDER: the record whose buffer is to be used next. */
  oldest: u32;
  heldHigh: u64;
  batchHigh: u64;
}

/** Puts a stopped queue to work on areas at the three bus addresses in its control block. */
export function packedDeviceEnable(ptr: u32): u32 {
  const queue = changetype<PackedDevice>(ptr);
  const size = queue.size;
  if (!packedSizeIsLegal(size) || size > queue.capacity) return R_QUEUE_SIZE;
  const refusal = placeRings(
    queue,
    PACKED_DESC_ALIGN,
    PACKED_EVENT_ALIGN,
    PACKED_EVENT_ALIGN,
    packedDescBytes(size),
    PACKED_EVENT_BYTES,
    PACKED_EVENT_BYTES,
    true,
  );
  if (refusal) return refusal;
  clearFaults(queue);
  queue.slotsInFlight = 0;
  queue.covered = 0;
  queue.held = 0;
  queue.batch = 0;
  queue.oldest = 0;
  queue.freeRecord = 0;
  for (let i: u32 = 0; i < size; i++) {
    const record = queue.records + (i << RECORD_BITS);
    store<u64>(record, 0);
    // The last record links to the first: with IN_ORDER records come back as they went.
    store<u32>(record, i + 1 == size ? 0 : i + 1, RECORD_NEXT);
  }
  packedDeviceResume(ptr, 0, 1, 0, 1);
  queue.state = QUEUE_LIVE;
  return OK;
}

/** Continues a ring in the middle, with nothing in flight: next slots and wrap counters. */
export function packedDeviceResume(
  ptr: u32,
  nextAvail: u32,
  availWrap: u32,
  nextUsed: u32,
  usedWrap: u32,
): void {
  const queue = changetype<PackedDevice>(ptr);
  queue.nextAvail = nextAvail;
  queue.availWrap = availWrap;
  queue.nextUsed = nextUsed;
  queue.usedWrap = usedWrap;
}

/**
 * Pops up to `max` buffers as records (abi.ts) at [out, out + bytes); how many. A broken rule
 * ends the burst before the buffer that broke it, with the queue broken. `bytes` holds at least
 * one buffer of maxChain elements.
 */
export function packedDevicePop(ptr: u32, out: u32, bytes: u32, max: u32): u32 {
  const queue = changetype<PackedDevice>(ptr);
  queue.refusal = 0;
  if (!isLive(queue) || !deviceRuns(queue.device)) return 0;
  if (!queue.domain) return pop(queue, out, bytes, max, false);
  return holds(queue) ? pop(queue, out, bytes, max, true) : 0;
}

/** Whether the ring may be worked as far as its memory is concerned. */
@inline
function holds(queue: PackedDevice): bool {
  return ringsStand(queue) || found(queue);
}

/** Finds the ring again; what is held back moves with it. */
function found(queue: PackedDevice): bool {
  const before = queue.desc;
  if (!ringsFound(queue)) return false;
  if (queue.held) queue.held += queue.desc - before;
  if (queue.batch) queue.batch += queue.desc - before;
  return true;
}

/** Where every bus address is `translated`, records get it as it is: buffers are translated when they are accessed. */
@inline
function pop(queue: PackedDevice, out: u32, bytes: u32, max: u32, translated: bool): u32 {
  if (!popFits(queue, out, bytes)) return 0;
  // The next slot, and above it the ownership bits that it has when it is available.
  let position = queue.nextAvail | (availableBits(queue.availWrap) << 16);
  let freeRecord = queue.freeRecord;
  let error: u32 = OK;
  // H-V-01's twin: one lap bounds a burst, whatever the flags say.
  max = min(max, queue.size);

  // What only changes from one buffer to the next stays in the control block: a local that lives
  // through both loops costs a spill where a field costs a load.
  let left = max;
  for (; left; left--) {
    let at = queue.desc + ((position & 0xffff) << 4);
    // P-V-07: flags, id and len as one snapshot, before addr.
    let high = acquire64(at + 8);
    let word = <u32>(high >> 32);
    if ((word ^ position) & OWNER) break;
    if (queue.slotsInFlight >= queue.size) {
      error = E_RING_OVERRUN;
      break;
    }
    if (out > queue.lastOut) {
      error = R_STAGING_SIZE;
      break;
    }
    let addr = load<u64>(at);
    let slots: u32 = 1;
    let next = after(queue, position);
    let segment = out + POP_HEADER;
    // WRITE from the first writable element on.
    let direction: u32 = 0;
    let total: u64 = 0;

    if (word & INDIRECT) {
      // P-V-03: entries in memory order, and no flag but WRITE counts there.
      const wrong = indirectError(queue, addr, <u32>high, word, translated);
      if (wrong) {
        error = wrong;
        break;
      }
      at = translated ? tablePlace(queue, addr, <u32>high) : <u32>addr + queue.windowDelta;
      if (translated && at == IOMMU_FAULT) {
        error = E_TABLE_ADDRESS;
        break;
      }
      queue.tableEnd = at + <u32>high;
      do {
        addr = load<u64>(at);
        const len = load<u32>(at, 8);
        const flags = load<u32>(at, 12);
        at += 16;
        // H-V-07: an element without bytes is skipped.
        if (!len) continue;
        const from = addr - queue.windowBase;
        if (from > queue.windowLength) {
          if (translated) deviceFault(queue, addr, (flags & WRITE) != 0, FAULT_RANGE);
          total = fault(E_BUFFER_ADDRESS);
          break;
        }
        if (<u64>len > queue.windowLength - from) {
          if (translated) deviceFault(queue, addr, (flags & WRITE) != 0, FAULT_RANGE);
          total = fault(E_BUFFER_ADDRESS);
          break;
        }
        if ((flags ^ direction) & WRITE) {
          // H-V-08.
          if (direction) {
            total = fault(E_READABLE_AFTER_WRITABLE);
            break;
          }
          direction = WRITE;
          turnWritable(out, segment, total);
        }
        total += len;
        store<u32>(segment, translated ? <u32>addr : <u32>addr + queue.windowDelta);
        store<u32>(segment, len, 4);
        segment += SEGMENT;
      } while (at != queue.tableEnd);
    } else {
      for (;;) {
        const len = <u32>high;
        // H-V-07: an element without bytes is skipped.
        if (len) {
          // H-V-05.
          const from = addr - queue.windowBase;
          if (from > queue.windowLength) {
            if (translated) deviceFault(queue, addr, (word & WRITE) != 0, FAULT_RANGE);
            total = fault(E_BUFFER_ADDRESS);
            break;
          }
          if (<u64>len > queue.windowLength - from) {
            if (translated) deviceFault(queue, addr, (word & WRITE) != 0, FAULT_RANGE);
            total = fault(E_BUFFER_ADDRESS);
            break;
          }
          if ((word ^ direction) & WRITE) {
            // H-V-08.
            if (direction) {
              total = fault(E_READABLE_AFTER_WRITABLE);
              break;
            }
            direction = WRITE;
            turnWritable(out, segment, total);
          }
          total += len;
          store<u32>(segment, translated ? <u32>addr : <u32>addr + queue.windowDelta);
          store<u32>(segment, len, 4);
          segment += SEGMENT;
        }
        if (!(word & NEXT)) break;
        // H-V-03: a list has at most as many elements as slots that are not in flight.
        if (slots == queue.maxChain) {
          total = fault(E_CHAIN_TOO_LONG);
          break;
        }
        if (queue.slotsInFlight + slots >= queue.size) {
          total = fault(E_RING_OVERRUN);
          break;
        }
        at = queue.desc + ((next & 0xffff) << 4);
        high = load<u64>(at, 8);
        addr = load<u64>(at);
        word = <u32>(high >> 32);
        slots++;
        next = after(queue, next);
        // P-D-08.
        if (word & INDIRECT) {
          total = fault(E_INDIRECT_IN_LIST);
          break;
        }
      }
    }
    if (<u32>(total >> 32)) {
      const wrong = bytesError(total);
      if (wrong) {
        error = wrong;
        break;
      }
    }
    const capacity = finishRecord(out, segment, direction, total);
    const handle = freeRecord;
    const record = queue.records + (handle << RECORD_BITS);
    freeRecord = load<u32>(record, RECORD_NEXT);
    // P-B-06: the id is that of the last descriptor of the list.
    store<u64>(record, capacity + 1);
    store<u32>(record, (word & 0xffff) | (slots << 16), RECORD_ID_SLOTS);
    store<u32>(out, handle | queue.handleBase);
    out = segment;
    position = next;
    queue.slotsInFlight += slots;
  }

  const done = max - left;
  // Not the masks of the loop, which would keep their results there for this.
  queue.nextAvail = position & ~OWNER;
  queue.availWrap = (position >> 31) ^ 1;
  queue.freeRecord = freeRecord;
  queue.cursor = out;
  queue.popped += done;
  if (error) popError(queue, error, queue.nextAvail);
  return done;
}

/** The position behind `position`: in the next lap the ownership bits are the other way round. */
@inline
function after(queue: PackedDevice, position: u32): u32 {
  const next = position + 1;
  return (next & 0xffff) == queue.size ? (position & OWNER) ^ OWNER : next;
}

/** What is wrong with a descriptor that refers to a table, where the table lies included if it is not `translated`. */
@inline
function indirectError(queue: PackedDevice, addr: u64, len: u32, word: u32, translated: bool): u32 {
  // H-V-04; the subtraction turns 0 into the largest length.
  const entries = tableEntriesOf(len);
  if (entries - 1 >= queue.tableEntries || word & NEXT) {
    if (queue.tableEntries && word & NEXT) return E_INDIRECT_IN_LIST;
    return tableLengthError(queue);
  }
  if (entries > queue.maxChain) return E_CHAIN_TOO_LONG;
  if (!translated && !inWindow(queue.windowBase, queue.windowLength, addr, len)) return E_TABLE_ADDRESS;
  return OK;
}

/** Marks the buffers of `count` staged {handle, len} records used, without publishing; how many. */
export function packedDeviceMarkUsed(ptr: u32, stream: u32, count: u32): u32 {
  const queue = changetype<PackedDevice>(ptr);
  if (queue.flags & QUEUE_F_IN_ORDER) return markUsed(queue, stream, count, false, true);
  return markUsed(queue, stream, count, false, false);
}

/** Marks `count` popped buffers at `popped` used, each with its whole writable capacity. */
export function packedDeviceMarkAllUsed(ptr: u32, popped: u32, count: u32): u32 {
  const queue = changetype<PackedDevice>(ptr);
  if (queue.flags & QUEUE_F_IN_ORDER) return markUsed(queue, popped, count, true, true);
  return markUsed(queue, popped, count, true, false);
}

/** `records` are popped ones, or {handle, len}. */
@inline
function markUsed(queue: PackedDevice, records: u32, count: u32, popped: bool, inOrder: bool): u32 {
  queue.refusal = 0;
  if (!isLive(queue) || !holds(queue)) return 0;
  let slot = queue.nextUsed;
  let bits = usedBits(queue.usedWrap) << 16;
  let counts: u32 = 0;
  let stride = popped ? POP_HEADER : USED_RECORD;
  let left = count;
  for (; left; left--) {
    // Another generation leaves bits above any index.
    const index = load<u32>(records) ^ queue.handleBase;
    if (index >= queue.size) break;
    const record = queue.records + (index << RECORD_BITS);
    const len = load<u32>(popped ? records + POP_WRITABLE : records + 4);
    // S-V-10: a length may understate, never overstate. Nothing is below the 0 of a free record.
    if (<u64>len >= load<u64>(record)) break;
    const word = load<u32>(record, RECORD_ID_SLOTS);
    const at = queue.desc + (slot << 4) + 8;
    // P-V-01: WRITE says whether anything was written.
    let last = (word & 0xffff) | bits;
    if (len) last |= WRITE;
    const high = <u64>len | ((<u64>last) << 32);
    if (inOrder) {
      // F-V-02.
      if (index != queue.oldest) break;
      queue.oldest = load<u32>(record, RECORD_NEXT);
      joinBatch(queue, at, high);
      if (<u64>len + 1 != load<u64>(record)) closeBatch(queue);
    } else {
      store<u32>(record, queue.freeRecord, RECORD_NEXT);
      queue.freeRecord = index;
      place(queue, at, high);
    }
    store<u64>(record, 0);
    // P-V-02.
    slot += word >> 16;
    if (slot >= queue.size) {
      slot -= queue.size;
      bits ^= OWNER;
    }
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
  const done = count - left;
  const wrap = <u32>(bits != 0);
  const freed = packedSlotsBetween(queue.nextUsed, slot, wrap != queue.usedWrap, queue.size);
  const log = queue.space.log;
  if (log) pageLogMarkRing(log, queue.desc, queue.nextUsed, freed, queue.size, 4);
  queue.nextUsed = slot;
  queue.usedWrap = wrap;
  queue.slotsInFlight -= freed;
  queue.covered += freed;
  queue.cursor = records;
  queue.used += done;
  if (done != count) refuse(queue, usedRefusal(queue, records, popped, RECORD_BITS), done);
  return done;
}

/**
 * P-V-11: a run of completely used buffers has one descriptor, in the slot of the first with the
 * id of the last; its ownership bits are those of the slot's lap.
 */
function joinBatch(queue: PackedDevice, at: u32, high: u64): void {
  if (queue.batch) {
    const owner: u64 = (<u64>OWNER_BITS) << 48;
    queue.batchHigh = (high & ~owner) | (queue.batchHigh & owner);
  } else {
    queue.batch = at;
    queue.batchHigh = high;
  }
}

/** Stores a used descriptor, or holds it back when it is the first since the last publish. */
@inline
function place(queue: PackedDevice, at: u32, high: u64): void {
  if (queue.held) {
    store<u64>(at, high);
  } else {
    queue.held = at;
    queue.heldHigh = high;
  }
}

function closeBatch(queue: PackedDevice): void {
  place(queue, queue.batch, queue.batchHigh);
  logWrite(queue, queue.batch, 8);
  queue.batch = 0;
}

/** Shows the driver what was used (2.8.22), and decides whether it wants an interrupt (2.8.10). */
export function packedDevicePublishUsed(ptr: u32): u32 {
  packedDeviceShowUsed(ptr);
  return packedDeviceInterrupt(ptr);
}

/** Shows the driver what was used. A decision about an interrupt may follow later. */
export function packedDeviceShowUsed(ptr: u32): void {
  const queue = changetype<PackedDevice>(ptr);
  if (!isLive(queue) || !deviceRuns(queue.device) || !holds(queue)) return;
  if (queue.batch) closeBatch(queue);
  if (!queue.held) return;
  // P-V-09, P-V-12: the first descriptor's flags are stored after everything else of the batch.
  release64(queue.held, queue.heldHigh);
  logWrite(queue, queue.held, 8);
  queue.held = 0;
  queue.publishes++;
}

/** Whether the driver wants an interrupt for what was shown since this was asked last. */
export function packedDeviceInterrupt(ptr: u32): u32 {
  const queue = changetype<PackedDevice>(ptr);
  if (!isLive(queue) || !deviceRuns(queue.device) || !holds(queue)) return 0;
  // P-V-09: the peer's wish is loaded after the flags are stored.
  const event = acquire32(queue.driverArea);
  const mode = (event >> 16) & 3;
  const covered = queue.covered;
  let interrupt: u32;
  if (mode == RING_EVENT_FLAGS_DISABLE) {
    interrupt = 0;
  } else if (mode == RING_EVENT_FLAGS_DESC && queue.flags & QUEUE_F_EVENT_IDX) {
    interrupt = <u32>packedEventCrossed(event & 0xffff, queue.nextUsed, queue.usedWrap, queue.size, covered);
  } else {
    interrupt = <u32>(covered != 0);
  }
  queue.covered = 0;
  queue.interrupts += interrupt;
  return interrupt;
}

/**
 * Asks for a kick once `after` (less than the ring's size) more slots than were popped are
 * available; whether the next one is available already, which the driver may have decided before
 * it saw the request (P-V-09).
 */
export function packedDeviceArm(ptr: u32, after: u32): u32 {
  const queue = changetype<PackedDevice>(ptr);
  if (!isLive(queue) || !holds(queue)) return 0;
  const slot = queue.nextAvail;
  const wrap = queue.availWrap;
  if (queue.flags & QUEUE_F_EVENT_IDX) {
    let event = slot + min(after, queue.size - 1);
    let eventWrap = wrap;
    if (event >= queue.size) {
      event -= queue.size;
      eventWrap ^= 1;
    }
    release32(queue.deviceArea, event | (eventWrap << 15) | (RING_EVENT_FLAGS_DESC << 16));
  } else {
    release32(queue.deviceArea, RING_EVENT_FLAGS_ENABLE << 16);
  }
  logWrite(queue, queue.deviceArea, 4);
  const flags = <u32>(acquire64(queue.desc + (slot << 4) + 8) >> 48);
  return <u32>((flags & OWNER_BITS) == availableBits(wrap));
}

/** Asks for no kicks; the driver may still send some. */
export function packedDeviceSuppress(ptr: u32): void {
  const queue = changetype<PackedDevice>(ptr);
  if (!isLive(queue) || !holds(queue)) return;
  release32(queue.deviceArea, RING_EVENT_FLAGS_DISABLE << 16);
  logWrite(queue, queue.deviceArea, 4);
}

/** Logs a word of the ring or the event structure that was stored. */
@inline
function logWrite(queue: PackedDevice, ptr: u32, bytes: u32): void {
  if (queue.space.log) pageLogMark(queue.space.log, ptr, bytes);
}
