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
import { busDelta, inWindow } from "../dma/space";
import { acquire32, acquire64, release32, release64 } from "../mem/fence";
import {
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  RING_EVENT_FLAGS_ENABLE,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "../spec";
import { DeviceQueue, HANDLE_RECORD, HANDLE_SHIFT, placeRings } from "./device";
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
import { breakQueue, clearFaults, isLive, refuse } from "./queue";

// A shadow record, one for each buffer in flight. A driver's buffer ids are any 16 bits (P-B-06)
// and a start slot can be made available again while its first buffer is still in flight, so
// records come from a free list of their own.
//
//   0 capacity u32 | 4 slots u16: 0 when free | 6 buffer id u16 | 8 next u16: link of the free
//   list, or of the pop order that IN_ORDER keeps
const RECORD_BITS: u32 = 4;
const RECORD_SLOTS: u32 = 4;
const RECORD_ID: u32 = 6;
const RECORD_NEXT: u32 = 8;

/** The id in a descriptor's high word. */
const ID_MASK: u64 = 0xffff_0000_0000;

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
  const size = queue.size;
  const desc = queue.desc;
  const records = queue.records;
  const base = queue.space.base;
  const length = queue.space.length;
  const delta = <u32>busDelta(queue.space);
  const indirect = queue.flags & QUEUE_F_INDIRECT;
  const maxChain = queue.maxChain;
  const generation = queue.generation << HANDLE_SHIFT;
  const end = out + bytes;
  let slot = queue.nextAvail;
  let bits = availableBits(queue.availWrap);
  let slotsInFlight = queue.slotsInFlight;
  let freeRecord = queue.freeRecord;
  let error: u32 = OK;
  let errorIndex: u32 = 0;
  // H-V-01's twin: one lap bounds a burst, whatever the flags say.
  max = min(max, size);

  let done: u32 = 0;
  for (; done < max; done++) {
    let at = desc + (slot << 4);
    // P-V-07: flags, id and len as one snapshot, before addr.
    let high = acquire64(at + 8);
    let descFlags = <u32>(high >> 48);
    if ((descFlags & OWNER_BITS) != bits) break;
    errorIndex = slot;
    let segment = out + POP_HEADER;
    let readable: u32 = 0;
    let writable: u32 = 0;
    let readableBytes: u64 = 0;
    let writableBytes: u64 = 0;
    let slots: u32 = 1;
    let nextSlot = slot + 1;
    let nextBits = bits;
    if (nextSlot == size) {
      nextSlot = 0;
      nextBits ^= OWNER_BITS;
    }
    if (slotsInFlight >= size) {
      error = E_RING_OVERRUN;
      break;
    }

    // An element is (addr, high); it comes from the ring, or from a table whose bound is `entries`.
    let entries: u32 = 0;
    let addr = load<u64>(at);
    if (descFlags & VIRTQ_DESC_F_INDIRECT) {
      const len = <u32>high;
      if (!indirect) error = E_INDIRECT_NOT_NEGOTIATED;
      // P-D-08.
      else if (descFlags & VIRTQ_DESC_F_NEXT) error = E_INDIRECT_IN_LIST;
      // H-V-04.
      else if (!len || len & 15 || len >> 4 > size) error = E_TABLE_LENGTH;
      else if (len >> 4 > maxChain) error = E_CHAIN_TOO_LONG;
      else if (!inWindow(base, length, addr, len)) error = E_TABLE_ADDRESS;
      if (error) break;
      entries = len >> 4;
      at = <u32>addr + delta;
      // P-V-03: entries in memory order, and no flag but WRITE counts there.
      for (let left = entries; left; left--) {
        addr = load<u64>(at);
        const entryHigh = load<u64>(at, 8);
        const entryLen = <u32>entryHigh;
        at += 16;
        if (!entryLen) continue;
        if (!inWindow(base, length, addr, entryLen)) {
          error = E_BUFFER_ADDRESS;
          break;
        }
        if ((entryHigh >> 48) & VIRTQ_DESC_F_WRITE) {
          writable++;
          writableBytes += entryLen;
        } else {
          if (writable) {
            error = E_READABLE_AFTER_WRITABLE;
            break;
          }
          readable++;
          readableBytes += entryLen;
        }
        if (segment + SEGMENT > end) {
          error = R_STAGING_SIZE;
          break;
        }
        store<u64>(segment, <u64>(<u32>addr + delta) | ((<u64>entryLen) << 32));
        segment += SEGMENT;
      }
    } else {
      for (;;) {
        const len = <u32>high;
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
        // H-V-03: a list has at most as many elements as slots that are not in flight.
        if (slots == maxChain) {
          error = E_CHAIN_TOO_LONG;
          break;
        }
        if (slotsInFlight + slots >= size) {
          error = E_RING_OVERRUN;
          break;
        }
        at = desc + (nextSlot << 4);
        high = load<u64>(at, 8);
        addr = load<u64>(at);
        descFlags = <u32>(high >> 48);
        slots++;
        if (++nextSlot == size) {
          nextSlot = 0;
          nextBits ^= OWNER_BITS;
        }
        if (descFlags & VIRTQ_DESC_F_INDIRECT) {
          error = E_INDIRECT_IN_LIST;
          break;
        }
      }
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

    const handle = freeRecord;
    const record = records + (handle << RECORD_BITS);
    freeRecord = load<u32>(record, RECORD_NEXT);
    const capacity = min<u64>(writableBytes, u32.MAX_VALUE) as u32;
    // P-B-06: the id is that of the last descriptor of the list.
    store<u64>(record, <u64>capacity | ((<u64>slots) << 32) | ((high & ID_MASK) << 16));
    store<u64>(out, <u64>(handle | generation) | ((<u64>(readable | (writable << 16))) << 32));
    store<u64>(out, <u64>(<u32>readableBytes) | ((<u64>capacity) << 32), 8);
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
  if (error == R_STAGING_SIZE) {
    // What does not fit any more waits for the next burst; what never fits is the caller's mistake.
    if (!done) refuse(queue, R_STAGING_SIZE, errorIndex);
  } else if (error) {
    breakQueue(queue, error, errorIndex);
  }
  return done;
}

/** Marks the buffers of `count` staged {handle, len} records used, without publishing; how many. */
export function packedDeviceMarkUsed(ptr: u32, stream: u32, count: u32): u32 {
  const queue = changetype<PackedDevice>(ptr);
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
export function packedDeviceMarkAllUsed(ptr: u32, popped: u32, count: u32): u32 {
  const queue = changetype<PackedDevice>(ptr);
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
function markUsed(queue: PackedDevice, handle: u32, len: u32): u32 {
  const index = handle & HANDLE_RECORD;
  if (handle >> HANDLE_SHIFT != queue.generation || index >= queue.size) return R_NOT_IN_FLIGHT;
  const record = queue.records + (index << RECORD_BITS);
  const word = load<u64>(record);
  const slots = <u32>(word >> 32) & 0xffff;
  if (!slots) return R_NOT_IN_FLIGHT;
  const capacity = <u32>word;
  // S-V-10: a length may understate, never overstate.
  if (len > capacity) return R_LEN_OVER_CAPACITY;

  // P-V-01: WRITE says whether anything was written.
  const write = len ? VIRTQ_DESC_F_WRITE : 0;
  const high = packedDescHigh(len, word >> 48, write | usedBits(queue.usedWrap));
  const at = queue.desc + (queue.nextUsed << 4);
  if (queue.flags & QUEUE_F_IN_ORDER) {
    // F-V-02.
    if (index != queue.oldest) return R_NOT_IN_ORDER;
    queue.oldest = load<u32>(record, RECORD_NEXT);
    // P-V-11: a run of completely used buffers has one descriptor, in the slot of the first with
    // the id of the last; its ownership bits are those of the slot's lap.
    if (queue.batch) {
      const owner: u64 = (<u64>OWNER_BITS) << 48;
      queue.batchHigh = (high & ~owner) | (queue.batchHigh & owner);
    } else {
      queue.batch = at;
      queue.batchHigh = high;
    }
    if (len != capacity) closeBatch(queue);
  } else {
    store<u32>(record, queue.freeRecord, RECORD_NEXT);
    queue.freeRecord = index;
    place(queue, at, high);
  }
  store<u16>(record, 0, RECORD_SLOTS);
  queue.slotsInFlight -= slots;
  queue.covered += slots;
  // P-V-02.
  const next = queue.nextUsed + slots;
  if (next >= queue.size) {
    queue.nextUsed = next - queue.size;
    queue.usedWrap ^= 1;
  } else {
    queue.nextUsed = next;
  }
  return OK;
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
