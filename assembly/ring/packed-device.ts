// Packed virtqueue, device half: pop, mark used, publish used. The driver is hostile: whatever it
// can write is loaded once, checked, and then used (H rows).

import {
  E_BUFFER_ADDRESS,
  E_CHAIN_BYTES,
  E_CHAIN_TOO_LONG,
  E_INDIRECT_IN_LIST,
  E_INDIRECT_NOT_NEGOTIATED,
  E_READABLE_AFTER_WRITABLE,
  E_RING_OVERRUN,
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
import { inWindow } from "../dma/space";
import { acquire32, acquire64, release32, release64 } from "../mem/fence";
import {
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  RING_EVENT_FLAGS_ENABLE,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "../spec";
import {
  DeviceQueue,
  HANDLE_RECORD,
  HANDLE_SHIFT,
  POP_READABLE,
  POP_WRITABLE,
  placeRings,
  popError,
  WRITABLE,
} from "./device";
import { packedEventCrossed } from "./event";
import {
  availableBits,
  OWNER_BITS,
  PACKED_DESC_ALIGN,
  PACKED_EVENT_ALIGN,
  PACKED_EVENT_BYTES,
  packedDescBytes,
  packedDescHigh,
  packedSizeIsLegal,
  usedBits,
} from "./packed-layout";
import { clearFaults, isLive, refuse } from "./queue";

// A shadow record, one for each buffer in flight. A driver's buffer ids are any 16 bits (P-B-06)
// and a start slot can be made available again while its first buffer is still in flight, so
// records come from a free list of their own.
//
//   0 capacity u32 | 4 slots u16: 0 when free | 6 buffer id u16 | 8 next u16: link of the free
//   list, or of the pop order that IN_ORDER keeps
const RECORD_BITS: u32 = 4;
const RECORD_SLOTS: u32 = 4;
const RECORD_NEXT: u32 = 8;

// A descriptor's high word: len, id, flags.
const ID_BITS: u64 = 0xffff_0000_0000;
const NEXT: u64 = (<u64>VIRTQ_DESC_F_NEXT) << 48;
const WRITE: u64 = (<u64>VIRTQ_DESC_F_WRITE) << 48;
const INDIRECT: u64 = (<u64>VIRTQ_DESC_F_INDIRECT) << 48;

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
  /** Slots used since the last interrupt decision. */
  covered: u32;
  /**
   * Where the first used descriptor since the last publish goes, and its high word: as the driver
   * looks at one slot only (P-B-05), holding this one back holds the batch back (P-V-12).
   */
  held: u32;
  /** IN_ORDER: the used descriptor of a run that a following buffer may still join; 0 for none. */
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
  // A buffer is popped only where the longest would fit.
  const longest = POP_HEADER + queue.maxChain * SEGMENT;
  if (bytes < longest) {
    refuse(queue, R_STAGING_SIZE, 0);
    return 0;
  }
  const end = out + bytes - longest;
  let slot = queue.nextAvail;
  let bits = availableBits(queue.availWrap);
  let slotsInFlight = queue.slotsInFlight;
  let freeRecord = queue.freeRecord;
  let error: u32 = OK;
  // H-V-01's twin: one lap bounds a burst, whatever the flags say.
  max = min(max, queue.size);

  // What only changes from one buffer to the next stays in the control block: a local that lives
  // through both loops costs a spill where a field costs a load.
  let done: u32 = 0;
  for (; done < max; done++) {
    let at = queue.desc + (slot << 4);
    // P-V-07: flags, id and len as one snapshot, before addr.
    let high = acquire64(at + 8);
    if ((<u32>(high >> 48) & OWNER_BITS) != bits) break;
    if (slotsInFlight >= queue.size) {
      error = E_RING_OVERRUN;
      break;
    }
    if (out > end) {
      error = R_STAGING_SIZE;
      break;
    }
    let addr = load<u64>(at);
    let slots: u32 = 1;
    let nextSlot = slot + 1;
    let nextBits = bits;
    if (nextSlot == queue.size) {
      nextSlot = 0;
      nextBits ^= OWNER_BITS;
    }
    let segment = out + POP_HEADER;
    // Readable elements in the low half, writable ones in the high half.
    let counts: u32 = 0;
    let total: u64 = 0;

    if (high & INDIRECT) {
      // P-V-03: entries in memory order, and no flag but WRITE counts there.
      error = indirectError(queue, addr, high);
      if (error) break;
      let left = <u32>high >> 4;
      at = <u32>addr + queue.windowDelta;
      for (; left; left--) {
        addr = load<u64>(at);
        const entry = load<u64>(at, 8);
        at += 16;
        const len = entry & 0xffff_ffff;
        // H-V-07: an element without bytes is skipped.
        if (!len) continue;
        const from = addr - queue.windowBase;
        if (from > queue.windowLength) {
          error = E_BUFFER_ADDRESS;
          break;
        }
        if (len > queue.windowLength - from) {
          error = E_BUFFER_ADDRESS;
          break;
        }
        if (entry & WRITE) {
          if (counts < WRITABLE) store<u32>(out, <u32>total, POP_READABLE);
          counts += WRITABLE;
        } else {
          if (counts >= WRITABLE) {
            error = E_READABLE_AFTER_WRITABLE;
            break;
          }
          counts++;
        }
        total += len;
        store<u64>(segment, <u64>(<u32>addr + queue.windowDelta) | (len << 32));
        segment += SEGMENT;
      }
    } else {
      for (;;) {
        const len = high & 0xffff_ffff;
        // H-V-07: an element without bytes is skipped.
        if (len) {
          // H-V-05.
          const from = addr - queue.windowBase;
          if (from > queue.windowLength) {
            error = E_BUFFER_ADDRESS;
            break;
          }
          if (len > queue.windowLength - from) {
            error = E_BUFFER_ADDRESS;
            break;
          }
          if (high & WRITE) {
            if (counts < WRITABLE) store<u32>(out, <u32>total, POP_READABLE);
            counts += WRITABLE;
          } else {
            // H-V-08.
            if (counts >= WRITABLE) {
              error = E_READABLE_AFTER_WRITABLE;
              break;
            }
            counts++;
          }
          total += len;
          store<u64>(segment, <u64>(<u32>addr + queue.windowDelta) | (len << 32));
          segment += SEGMENT;
        }
        if (!(high & NEXT)) break;
        // H-V-03: a list has at most as many elements as slots that are not in flight.
        if (slots == queue.maxChain) {
          error = E_CHAIN_TOO_LONG;
          break;
        }
        if (slotsInFlight + slots >= queue.size) {
          error = E_RING_OVERRUN;
          break;
        }
        at = queue.desc + (nextSlot << 4);
        high = load<u64>(at, 8);
        addr = load<u64>(at);
        slots++;
        if (++nextSlot == queue.size) {
          nextSlot = 0;
          nextBits ^= OWNER_BITS;
        }
        // P-D-08.
        if (high & INDIRECT) {
          error = E_INDIRECT_IN_LIST;
          break;
        }
      }
    }
    if (error) break;
    if (total > 0x1_0000_0000) {
      error = E_CHAIN_BYTES;
      break;
    }

    let capacity: u32 = 0;
    if (counts >= WRITABLE) {
      capacity = min<u64>(total - load<u32>(out, POP_READABLE), u32.MAX_VALUE) as u32;
      store<u32>(out, capacity, POP_WRITABLE);
    } else {
      store<u64>(out, <u64>(<u32>total), POP_READABLE);
    }
    const handle = freeRecord;
    const record = queue.records + (handle << RECORD_BITS);
    freeRecord = load<u32>(record, RECORD_NEXT);
    // P-B-06: the id is that of the last descriptor of the list.
    store<u64>(record, <u64>capacity | ((<u64>slots) << 32) | ((high & ID_BITS) << 16));
    store<u64>(out, <u64>(handle | (queue.generation << HANDLE_SHIFT)) | ((<u64>counts) << 32));
    out = segment;
    slot = nextSlot;
    bits = nextBits;
    slotsInFlight += slots;
  }

  queue.nextAvail = slot;
  queue.availWrap = <u32>(bits == availableBits(1));
  queue.slotsInFlight = slotsInFlight;
  queue.freeRecord = freeRecord;
  queue.cursor = out;
  queue.popped += done;
  if (error) popError(queue, error, slot, done);
  return done;
}

/** What is wrong with a descriptor that refers to a table, where the table lies included. */
@inline
function indirectError(queue: PackedDevice, addr: u64, high: u64): u32 {
  const len = <u32>high;
  if (!(queue.flags & QUEUE_F_INDIRECT)) return E_INDIRECT_NOT_NEGOTIATED;
  // P-D-08.
  if (high & NEXT) return E_INDIRECT_IN_LIST;
  // H-V-04.
  if (!len) return E_TABLE_LENGTH;
  if (len & 15) return E_TABLE_LENGTH;
  if (len >> 4 > queue.size) return E_TABLE_LENGTH;
  if (len >> 4 > queue.maxChain) return E_CHAIN_TOO_LONG;
  if (!inWindow(queue.windowBase, queue.windowLength, addr, len)) return E_TABLE_ADDRESS;
  return OK;
}

/** Marks the buffers of `count` staged {handle, len} records used, without publishing; how many. */
export function packedDeviceMarkUsed(ptr: u32, stream: u32, count: u32): u32 {
  return markUsed(changetype<PackedDevice>(ptr), stream, count, false);
}

/** Marks `count` popped buffers at `popped` used, each with its whole writable capacity. */
export function packedDeviceMarkAllUsed(ptr: u32, popped: u32, count: u32): u32 {
  return markUsed(changetype<PackedDevice>(ptr), popped, count, true);
}

/** `records` are popped ones, or {handle, len}. */
@inline
function markUsed(queue: PackedDevice, records: u32, count: u32, popped: bool): u32 {
  queue.refusal = 0;
  if (!isLive(queue)) return 0;
  let slot = queue.nextUsed;
  let wrap = queue.usedWrap;
  let freed: u32 = 0;
  let refusal: u32 = OK;
  let done: u32 = 0;
  for (; done < count; done++) {
    const handle = load<u32>(records);
    const index = handle & HANDLE_RECORD;
    if (handle >> HANDLE_SHIFT != queue.generation) {
      refusal = R_NOT_IN_FLIGHT;
      break;
    }
    if (index >= queue.size) {
      refusal = R_NOT_IN_FLIGHT;
      break;
    }
    const record = queue.records + (index << RECORD_BITS);
    const word = load<u64>(record);
    const slots = <u32>(word >> 32) & 0xffff;
    if (!slots) {
      refusal = R_NOT_IN_FLIGHT;
      break;
    }
    const len = load<u32>(popped ? records + POP_WRITABLE : records + 4);
    // S-V-10: a length may understate, never overstate.
    if (len > <u32>word) {
      refusal = R_LEN_OVER_CAPACITY;
      break;
    }
    // P-V-01: WRITE says whether anything was written.
    const write: u32 = len ? VIRTQ_DESC_F_WRITE : 0;
    const high = packedDescHigh(len, word >> 48, write | usedBits(wrap));
    const at = queue.desc + (slot << 4);
    if (queue.flags & QUEUE_F_IN_ORDER) {
      // F-V-02.
      if (index != queue.oldest) {
        refusal = R_NOT_IN_ORDER;
        break;
      }
      queue.oldest = load<u32>(record, RECORD_NEXT);
      joinBatch(queue, at, high);
      if (len != <u32>word) closeBatch(queue);
    } else {
      store<u32>(record, queue.freeRecord, RECORD_NEXT);
      queue.freeRecord = index;
      place(queue, at, high);
    }
    store<u16>(record, 0, RECORD_SLOTS);
    freed += slots;
    // P-V-02.
    slot += slots;
    if (slot >= queue.size) {
      slot -= queue.size;
      wrap ^= 1;
    }
    if (popped) {
      const counts = load<u32>(records, 4);
      records += POP_HEADER + ((counts & 0xffff) + (counts >> 16)) * SEGMENT;
    } else {
      records += USED_RECORD;
    }
  }
  queue.nextUsed = slot;
  queue.usedWrap = wrap;
  queue.slotsInFlight -= freed;
  queue.covered += freed;
  queue.cursor = records;
  queue.used += done;
  if (refusal) refuse(queue, refusal, done);
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
    store<u64>(at, high, 8);
  } else {
    queue.held = at;
    queue.heldHigh = high;
  }
}

function closeBatch(queue: PackedDevice): void {
  place(queue, queue.batch, queue.batchHigh);
  queue.batch = 0;
}

/** Shows the driver what was used (2.8.22), and decides whether it wants an interrupt (2.8.10). */
export function packedDevicePublishUsed(ptr: u32): u32 {
  const queue = changetype<PackedDevice>(ptr);
  if (!isLive(queue) || !deviceRuns(queue.device)) return 0;
  if (queue.batch) closeBatch(queue);
  if (queue.held) {
    // P-V-09, P-V-12: the first descriptor's flags are stored after everything else of the batch.
    release64(queue.held + 8, queue.heldHigh);
    queue.held = 0;
    queue.publishes++;
  }
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
  if (!isLive(queue)) return 0;
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
  const flags = <u32>(acquire64(queue.desc + (slot << 4) + 8) >> 48);
  return <u32>((flags & OWNER_BITS) == availableBits(wrap));
}

/** Asks for no kicks; the driver may still send some. */
export function packedDeviceSuppress(ptr: u32): void {
  const queue = changetype<PackedDevice>(ptr);
  if (isLive(queue)) release32(queue.deviceArea, RING_EVENT_FLAGS_DISABLE << 16);
}
