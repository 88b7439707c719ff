// Packed virtqueue, driver half (2.8.21, 2.8.22): add, publish, reclaim.

import {
  ADD_HEADER,
  DMA_MAPPING_ERROR,
  E_USED_ID_NOT_OUTSTANDING,
  E_USED_ID_RANGE,
  OK,
  QUEUE_F_ACCESS_PLATFORM,
  QUEUE_F_EVENT_IDX,
  QUEUE_F_IN_ORDER,
  QUEUE_F_INDIRECT,
  QUEUE_LIVE,
  QUEUE_STOPPED,
  R_OUTSTANDING,
  R_QUEUE_LIVE,
  R_QUEUE_SIZE,
  RECLAIM_RECORD,
  SEGMENT,
  TABLES_DIRECT,
  TABLES_FREELIST,
  TABLES_GROW,
  TABLES_HEAP,
  TABLES_PER_NODE,
  TABLES_SLOT,
} from "../abi";
import { deviceRuns } from "../device";
import { acquire32, acquire64, release32, release64 } from "../mem/fence";
import { stackBottom, stackPut } from "../mem/stack";
import {
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  RING_EVENT_FLAGS_ENABLE,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "../spec";
import {
  DriverQueue,
  deltaOf,
  MAX_BUFFER_BYTES,
  RECORD_BITS,
  RECORD_CAPACITY,
  RECORD_COUNT,
  RECORD_NEXT,
  RECORD_TABLE,
  setEntries,
  stagedRefusal,
} from "./driver";
import { packedEventCrossed } from "./event";
import { mapCachedTables, mapElements, mapTable, unmapBuffer, unmapCachedTables } from "./mappings";
import {
  availableBits,
  OWNER_BITS,
  PACKED_EVENT_BYTES,
  packedDescBytes,
  packedSizeIsLegal,
  packedSlotsBetween,
  usedBits,
} from "./packed-layout";
import { breakQueue, clearFaults, isLive, refuse, saturate32 } from "./queue";
import {
  addStopped,
  NO_TABLE,
  stackOf,
  TABLE_FROM_HEAP,
  tableFallBack,
  tableGive,
  tableNode,
  tablePtr,
  tablesDisable,
  tablesEnable,
  tablesGiveChain,
  tablesTaken,
  tableTakeHeap,
} from "./tables";

@unmanaged
export class PackedDriver extends DriverQueue {
  /** Next slot to be made available, and the wrap counter of its lap (P-B-02). */
  nextAvail: u32;
  availWrap: u32;
  /** Next slot in which a used descriptor is looked for, and the wrap counter of its lap. */
  nextUsed: u32;
  usedWrap: u32;
  /** Slots made available since the last kick decision. */
  covered: u32;
  /**
   * Where the high word of the first head since the last publish goes, 0 for none, and that word:
   * as the device looks at one slot only (P-B-05), holding this one back holds the batch back.
   */
  held: u32;
  /** IN_ORDER: id of the oldest outstanding buffer. */
  oldest: u32;
  /** IN_ORDER: buffers of the current used descriptor still to return. */
  batchLeft: u32;
  batchLen: u32;
  /** Next slot to be made available after the last publish, with its wrap counter in bit 15. */
  published: u32;
  /** Slots of the buffer that was reclaimed last: a guess for the next one. */
  stride: u32;
  _pad1: u32;
  heldHigh: u64;
}

/** Puts a stopped queue to work on the areas that it is given, which it clears (P-D-02). */
export function packedDriverEnable(ptr: u32): u32 {
  const queue = changetype<PackedDriver>(ptr);
  const size = queue.size;
  if (queue.state != QUEUE_STOPPED) return R_QUEUE_LIVE;
  if (queue.outstanding) return R_OUTSTANDING;
  if (!packedSizeIsLegal(size) || size > queue.capacity) return R_QUEUE_SIZE;
  unmapCachedTables(queue);
  const refusal = tablesEnable(queue);
  if (refusal) return refusal;
  mapCachedTables(queue);
  memory.fill(queue.desc, 0, packedDescBytes(size));
  memory.fill(queue.driverArea, 0, PACKED_EVENT_BYTES);
  memory.fill(queue.deviceArea, 0, PACKED_EVENT_BYTES);
  clearFaults(queue);
  // P-D-07: no flag but WRITE.
  setEntries(queue, 0, 0, (<u64>VIRTQ_DESC_F_WRITE) << 48);
  queue.freeHead = 0;
  queue.numFree = size;
  queue.outstanding = 0;
  queue.liveTables = 0;
  queue.nextAvail = 0;
  queue.availWrap = 1;
  queue.nextUsed = 0;
  queue.usedWrap = 1;
  queue.covered = 0;
  queue.held = 0;
  queue.oldest = 0;
  queue.batchLeft = 0;
  queue.published = 1 << 15;
  for (let id: u32 = 0; id < size; id++) {
    const record = queue.records + (id << RECORD_BITS);
    store<u64>(record, 0);
    // The last id links to the first: with IN_ORDER ids come back as they went, and links never change.
    store<u64>(record, (<u64>(id + 1 == size ? 0 : id + 1)) << 32, RECORD_TABLE);
  }
  queue.state = QUEUE_LIVE;
  return OK;
}

/**
 * Adds up to `count` buffers staged at `stream` (abi.ts); how many. Nothing of them can be seen
 * by the device before the next publish. It stops early at a full ring, or at a record that
 * breaks a rule, which `refusal` then names.
 */
export function packedDriverAdd(ptr: u32, stream: u32, count: u32): u32 {
  const queue = changetype<PackedDriver>(ptr);
  queue.refusal = 0;
  if (!isLive(queue)) return 0;
  if (queue.flags & QUEUE_F_ACCESS_PLATFORM) return addMapped(queue, stream, count);
  const done = addBurst(queue, stream, count);
  if (!queue.wanted) return done;
  const rest = addAny(queue, queue.cursor, count - done);
  if (queue.refusal) queue.refusalIndex += done;
  return done + rest;
}

/** Adds until the ring is full, or a table is `wanted` that the source can't serve. */
function addBurst(queue: PackedDriver, stream: u32, count: u32): u32 {
  queue.wanted = 0;
  if (!(queue.flags & QUEUE_F_INDIRECT)) return add(queue, stream, count, TABLES_DIRECT, false, false);
  switch (queue.source) {
    case TABLES_HEAP:
      return add(queue, stream, count, TABLES_HEAP, false, false);
    case TABLES_FREELIST:
      return add(queue, stream, count, TABLES_FREELIST, false, false);
    case TABLES_GROW:
      return add(queue, stream, count, TABLES_GROW, false, false);
    case TABLES_SLOT:
      return add(queue, stream, count, TABLES_SLOT, false, false);
    case TABLES_PER_NODE:
      return add(queue, stream, count, TABLES_PER_NODE, false, false);
    default:
      return add(queue, stream, count, TABLES_DIRECT, false, false);
  }
}

/** Adds from any source, with its falls inside the loop, until the ring is full. */
function addAny(queue: PackedDriver, stream: u32, count: u32): u32 {
  queue.wanted = 0;
  return add(queue, stream, count, queue.source, true, false);
}

/** Adds from any source, and maps what it adds. */
function addMapped(queue: PackedDriver, stream: u32, count: u32): u32 {
  queue.wanted = 0;
  const source = queue.flags & QUEUE_F_INDIRECT ? queue.source : TABLES_DIRECT;
  return add(queue, stream, count, source, true, true);
}

// The loops below keep few locals: what only changes from burst to burst is loaded from the
// control block where it is needed, which costs no more than a register that has to be spilled.
// They only stop at what they can't add, and leave it to `stagedRefusal` to say why. Ownership bits
// stand where the upper half of a descriptor's last word has them.

/**
 * Where the source `falls`, the heap is asked in its stead; a loop that never does is spared the call.
 * Where it is `mapped`, elements are taken from the buffer's mapping record, in which handles stand for pointers.
 */
@inline
function add(queue: PackedDriver, stream: u32, count: u32, source: u32, falls: bool, mapped: bool): u32 {
  const stack = stackOf(queue, source == TABLES_PER_NODE ? queue.node : 0);
  const bottom = stackBottom(stack);
  let top = stack.top;
  let id = queue.freeHead;
  let numFree = queue.numFree;
  let slot = queue.nextAvail;
  let bits = availableBits(queue.availWrap) << 16;
  let directs: u32 = 0;
  let done: u32 = 0;
  for (; done != count; done++) {
    const counts = load<u32>(stream, 4);
    const readable = counts & 0xffff;
    const n = readable + (counts >> 16);
    // S-D-19 and P-D-09 in one comparison: n - 1 wraps for an empty buffer.
    if (n - 1 >= queue.size) break;
    let table: u32 = 0;
    if (source != TABLES_DIRECT && n >= queue.tableMin) {
      if (numFree) {
        if (source == TABLES_HEAP) {
          table = tableTakeHeap(queue, n);
        } else if (n <= queue.threshold) {
          if (source == TABLES_SLOT) {
            table = queue.tables + id * queue.tableBytes;
          } else if (top != bottom) {
            top -= 4;
            table = load<u32>(top);
          }
        }
        if (!table) {
          if (!falls) {
            queue.wanted = 1;
            break;
          }
          if (stagedRefusal(queue, stream)) break;
          table = tableFallBack(queue, n);
        }
      }
    }

    const head = queue.desc + (slot << 4);
    const record = queue.records + (id << RECORD_BITS);
    let sg = stream + ADD_HEADER;
    if (mapped && (table > NO_TABLE || numFree >= n)) {
      sg = mapElements(queue, stream, id);
      if (!sg) {
        queue.unused = table;
        break;
      }
    }
    let k: u32 = 0;
    if (table > NO_TABLE) {
      let entry = tablePtr(table);
      store<u64>(head, entry + deltaOf(queue));
      // P-D-07: consecutive entries without any flag but WRITE.
      let fields = queue.entryFirst;
      let bytes = i64x2.splat(0);
      let bytesBefore = bytes;
      do {
        if (k == readable) {
          bytesBefore = bytes;
          fields = i64x2.add(fields, queue.entryWrite);
        }
        const element = v128.load_ext<u32>(sg);
        sg += SEGMENT;
        bytes = i64x2.add(bytes, element);
        v128.store(entry, i64x2.add(element, fields));
        entry += 16;
      } while (++k != n);
      const total = <u64>i64x2.extract_lane(bytes, 1);
      // S-D-03: nothing that was written so far is in use.
      if (total > MAX_BUFFER_BYTES) {
        queue.unused = table;
        break;
      }
      const capacity: u64 = readable < n ? total - i64x2.extract_lane(bytesBefore, 1) : 0;
      if (mapped) {
        const dma = mapTable(queue, id, table, n);
        if (dma == DMA_MAPPING_ERROR) {
          queue.unused = table;
          break;
        }
        store<u64>(head, dma + deltaOf(queue));
      }
      storeRecord(record, stream, capacity, 1);
      if (source != TABLES_DIRECT) store<u32>(record, table, RECORD_TABLE);
      const word = id | (VIRTQ_DESC_F_INDIRECT << 16) | bits;
      storeHead(queue, head, <u64>(n << 4) | ((<u64>word) << 32));
      numFree--;
      if (++slot == queue.size) {
        slot = 0;
        bits ^= OWNER_BITS << 16;
      }
    } else {
      // P-D-11: room for the whole list before its first descriptor.
      if (numFree < n) break;
      // S-D-03, before anything is written that could be taken for available later.
      let total: u64 = 0;
      for (; k < readable; k++) total += load<u32>(sg + k * SEGMENT, 4);
      const readableBytes = total;
      for (; k < n; k++) total += load<u32>(sg + k * SEGMENT, 4);
      if (total > MAX_BUFFER_BYTES) break;
      storeRecord(record, stream, total - readableBytes, n);
      if (source != TABLES_DIRECT) {
        store<u32>(record, 0, RECORD_TABLE);
        directs++;
        if (table) queue.directFalls++;
      }
      let flags: u32 = readable ? 0 : VIRTQ_DESC_F_WRITE << 16;
      if (n > 1) flags |= VIRTQ_DESC_F_NEXT << 16;
      store<u64>(head, load<u32>(sg) + deltaOf(queue));
      storeHead(queue, head, <u64>load<u32>(sg, 4) | ((<u64>(id | flags | bits)) << 32));
      for (k = 1; ; k++) {
        sg += SEGMENT;
        if (++slot == queue.size) {
          slot = 0;
          bits ^= OWNER_BITS << 16;
        }
        if (k == n) break;
        if (k == readable) flags |= VIRTQ_DESC_F_WRITE << 16;
        if (k + 1 == n) flags ^= VIRTQ_DESC_F_NEXT << 16;
        const at = queue.desc + (slot << 4);
        store<u64>(at, load<u32>(sg) + deltaOf(queue));
        store<u64>(at, <u64>load<u32>(sg, 4) | ((<u64>(id | flags | bits)) << 32), 8);
      }
      numFree -= n;
    }
    id = load<u16>(record, RECORD_NEXT);
    stream = mapped ? stream + ADD_HEADER + n * SEGMENT : sg;
  }

  queue.covered += queue.numFree - numFree;
  queue.freeHead = id;
  queue.numFree = numFree;
  queue.nextAvail = slot;
  queue.availWrap = <u32>(bits == availableBits(1) << 16);
  queue.cursor = stream;
  queue.outstanding += done;
  queue.added += done;
  if (source != TABLES_DIRECT) {
    stack.top = top;
    tablesTaken(queue, source, done - directs);
  }
  if (done != count) addStopped(queue, stream, done);
  return done;
}

/** What the driver remembers of the buffer staged at `stream`. */
@inline
function storeRecord(record: u32, stream: u32, capacity: u64, slots: u32): void {
  store<u32>(record, load<u32>(stream));
  store<u32>(record, saturate32(capacity), RECORD_CAPACITY);
  store<u16>(record, <u16>slots, RECORD_COUNT);
}

/** Makes a head available, or holds it back when it is the first since the last publish. */
@inline
function storeHead(queue: PackedDriver, head: u32, high: u64): void {
  if (queue.held) {
    store<u64>(head, high, 8);
  } else {
    queue.held = head + 8;
    queue.heldHigh = high;
  }
}

/** Shows the device what was added (2.8.21.1). */
@inline
function show(queue: PackedDriver): void {
  if (!queue.held) return;
  // P-D-04, P-D-13: the head's flags are stored after everything else of the batch.
  release64(queue.held, queue.heldHigh);
  queue.held = 0;
  queue.published = queue.nextAvail | (queue.availWrap << 15);
  queue.publishes++;
}

/** Shows the device what was added, and decides whether it wants a kick (2.8.21.3). */
export function packedDriverPublish(ptr: u32): u32 {
  const queue = changetype<PackedDriver>(ptr);
  if (!isLive(queue)) return 0;
  show(queue);
  // G-D-14: a kick that is due before DRIVER_OK stays due.
  if (!deviceRuns(queue.device)) return 0;
  // P-D-14: the peer's wish is loaded after the flags are stored.
  const event = acquire32(queue.deviceArea);
  const mode = (event >> 16) & 3;
  const covered = queue.covered;
  let kick: u32;
  if (mode == RING_EVENT_FLAGS_DISABLE) {
    kick = 0;
  } else if (mode == RING_EVENT_FLAGS_DESC && queue.flags & QUEUE_F_EVENT_IDX) {
    kick = <u32>packedEventCrossed(event & 0xffff, queue.nextAvail, queue.availWrap, queue.size, covered);
  } else {
    kick = <u32>(covered != 0);
  }
  queue.covered = 0;
  queue.doorbells += kick;
  return kick;
}

/**
 * Takes back up to `max` used buffers as {token, len} records at `out`; how many. What was added is
 * shown first: a device that names a buffer which it has not seen must not get it back halfway.
 */
export function packedDriverReclaim(ptr: u32, out: u32, max: u32): u32 {
  const queue = changetype<PackedDriver>(ptr);
  if (!isLive(queue)) return 0;
  show(queue);
  if (queue.flags & QUEUE_F_ACCESS_PLATFORM) return reclaimMapped(queue, out, max);
  if (queue.flags & QUEUE_F_IN_ORDER) return reclaimInOrder(queue, out, max, false);
  switch (queue.source) {
    case TABLES_HEAP:
      return reclaim(queue, out, max, TABLES_HEAP, false);
    case TABLES_FREELIST:
      return reclaim(queue, out, max, TABLES_FREELIST, false);
    case TABLES_GROW:
      return reclaim(queue, out, max, TABLES_GROW, false);
    case TABLES_SLOT:
      return reclaim(queue, out, max, TABLES_SLOT, false);
    case TABLES_PER_NODE:
      return reclaim(queue, out, max, TABLES_PER_NODE, false);
    default:
      return reclaim(queue, out, max, TABLES_DIRECT, false);
  }
}

/** Takes back from any source, and unmaps what was mapped. */
function reclaimMapped(queue: PackedDriver, out: u32, max: u32): u32 {
  if (queue.flags & QUEUE_F_IN_ORDER) return reclaimInOrder(queue, out, max, true);
  return reclaim(queue, out, max, queue.source, true);
}

@inline
function reclaim(queue: PackedDriver, out: u32, max: u32, source: u32, mapped: bool): u32 {
  const most = min(max, queue.outstanding);
  let slot = queue.nextUsed;
  let bits = usedBits(queue.usedWrap) << 16;
  let freeHead = queue.freeHead;
  let stride = queue.stride;
  let directs: u32 = 0;
  let heapTables: u32 = 0;
  let top = queue.stack0.top;
  let error: u32 = OK;
  let id: u32 = 0;
  let left = most;
  for (; left; left--) {
    // P-B-05, P-D-15: one slot, its flags with its id and len.
    const high = acquire64(queue.desc + (slot << 4) + 8);
    const word = <u32>(high >> 32);
    if ((word & (OWNER_BITS << 16)) != bits) break;
    id = word & 0xffff;
    // H-D-01.
    if (id >= queue.size) {
      error = E_USED_ID_RANGE;
      break;
    }
    const record = queue.records + (id << RECORD_BITS);
    const slots: u32 = load<u16>(record, RECORD_COUNT);
    if (!slots) {
      error = E_USED_ID_NOT_OUTSTANDING;
      break;
    }
    // P-D-03: without WRITE nothing was written.
    let len = word & (VIRTQ_DESC_F_WRITE << 16) ? <u32>high : 0;
    // H-D-03.
    const capacity = load<u32>(record, RECORD_CAPACITY);
    if (len > capacity) {
      len = capacity;
      queue.clampedLengths++;
    }
    store<u32>(out, load<u32>(record));
    store<u32>(out, len, 4);
    out += RECLAIM_RECORD;
    if (mapped) unmapBuffer(queue, id);
    if (source != TABLES_DIRECT) {
      const table = load<u32>(record, RECORD_TABLE);
      if (!table) {
        directs++;
      } else if (source == TABLES_HEAP || table & TABLE_FROM_HEAP) {
        store<u64>(record, <u64>table | ((<u64>heapTables) << 32));
        heapTables = id + 1;
      } else if (source == TABLES_PER_NODE) {
        stackPut(stackOf(queue, tableNode(table)), table);
      } else if (source != TABLES_SLOT) {
        store<u32>(top, table);
        top += 4;
      }
    }
    // The count becomes 0.
    store<u32>(record, freeHead, RECORD_NEXT);
    freeHead = id;
    // P-D-06. A branch that is predicted well, so that the next slot does not wait for this record.
    if (slots != stride) {
      stride = slots;
      queue.stride = slots;
    }
    slot += stride;
    if (slot >= queue.size) {
      slot -= queue.size;
      bits ^= OWNER_BITS << 16;
    }
  }

  const done = most - left;
  const wrap = <u32>(bits != 0);
  queue.freeHead = freeHead;
  queue.numFree += packedSlotsBetween(queue.nextUsed, slot, wrap != queue.usedWrap, queue.size);
  queue.nextUsed = slot;
  queue.usedWrap = wrap;
  queue.cursor = out;
  queue.outstanding -= done;
  queue.reclaimed += done;
  if (source != TABLES_DIRECT) {
    if (source != TABLES_PER_NODE) queue.stack0.top = top;
    queue.liveTables -= done - directs;
    tablesGiveChain(queue, heapTables);
  }
  if (error) breakQueue(queue, error, id);
  return done;
}

/**
 * 2.8.8: one used descriptor can stand for a batch, from the oldest outstanding buffer to the one
 * whose id it names; those in between were used completely (P-D-18).
 */
@inline
function reclaimInOrder(queue: PackedDriver, out: u32, max: u32, mapped: bool): u32 {
  const size = queue.size;
  const records = queue.records;
  max = min(max, queue.outstanding);
  let done: u32 = 0;
  for (; done < max; done++) {
    if (!queue.batchLeft) {
      const high = acquire64(queue.desc + (queue.nextUsed << 4) + 8);
      const flags = <u32>(high >> 48);
      if ((flags & OWNER_BITS) != usedBits(queue.usedWrap)) break;
      const id = <u32>(high >> 32) & 0xffff;
      if (id >= size) {
        breakQueue(queue, E_USED_ID_RANGE, id);
        break;
      }
      // Ids of outstanding buffers follow each other, so the batch's length is a difference.
      const oldest = queue.oldest;
      const batch = (id >= oldest ? id - oldest : id + size - oldest) + 1;
      if (batch > queue.outstanding - done) {
        breakQueue(queue, E_USED_ID_NOT_OUTSTANDING, id);
        break;
      }
      queue.batchLeft = batch;
      queue.batchLen = flags & VIRTQ_DESC_F_WRITE ? <u32>high : 0;
    }
    const id = queue.oldest;
    const record = records + (id << RECORD_BITS);
    const capacity = load<u32>(record, RECORD_CAPACITY);
    let len = capacity;
    if (queue.batchLeft == 1) {
      len = min(queue.batchLen, capacity);
      queue.clampedLengths += <u64>(queue.batchLen > capacity);
    }
    store<u64>(out, <u64>load<u32>(record) | ((<u64>len) << 32));
    out += RECLAIM_RECORD;
    if (mapped) unmapBuffer(queue, id);
    const table = load<u32>(record, RECORD_TABLE);
    if (table) giveTable(queue, record, table);
    const count: u32 = load<u16>(record, RECORD_COUNT);
    store<u16>(record, 0, RECORD_COUNT);
    queue.oldest = load<u16>(record, RECORD_NEXT);
    queue.numFree += count;
    queue.batchLeft--;
    queue.nextUsed += count;
    if (queue.nextUsed >= size) {
      queue.nextUsed -= size;
      queue.usedWrap ^= 1;
    }
  }
  queue.cursor = out;
  queue.outstanding -= done;
  queue.reclaimed += done;
  return done;
}

/** Gives a table back where the source is not a constant. */
function giveTable(queue: PackedDriver, record: u32, table: u32): void {
  queue.liveTables--;
  store<u32>(record, 0, RECORD_TABLE);
  tableGive(queue, table);
}

/**
 * Asks for an interrupt once `after` (less than the ring's size) more slots than were reclaimed are
 * used; whether the next one is used already, which the device may have decided before it saw the request (P-D-17).
 */
export function packedDriverArm(ptr: u32, after: u32): u32 {
  const queue = changetype<PackedDriver>(ptr);
  if (!isLive(queue)) return 0;
  const slot = queue.nextUsed;
  const wrap = queue.usedWrap;
  if (queue.flags & QUEUE_F_EVENT_IDX) {
    let event = slot + min(after, queue.size - 1);
    let eventWrap = wrap;
    if (event >= queue.size) {
      event -= queue.size;
      eventWrap ^= 1;
    }
    release32(queue.driverArea, event | (eventWrap << 15) | (RING_EVENT_FLAGS_DESC << 16));
  } else {
    release32(queue.driverArea, RING_EVENT_FLAGS_ENABLE << 16);
  }
  const flags = <u32>(acquire64(queue.desc + (slot << 4) + 8) >> 48);
  return <u32>(queue.batchLeft != 0 || (queue.outstanding != 0 && (flags & OWNER_BITS) == usedBits(wrap)));
}

/** Asks for no interrupts; the device may still send some. */
export function packedDriverSuppress(ptr: u32): void {
  const queue = changetype<PackedDriver>(ptr);
  if (isLive(queue)) release32(queue.driverArea, RING_EVENT_FLAGS_DISABLE << 16);
}

/** 2.9: the upper half of a kick under NOTIFICATION_DATA is the next slot and its wrap counter (V-D-06). */
export function packedDriverNotificationData(ptr: u32): u32 {
  const queue = changetype<PackedDriver>(ptr);
  return queue.notifyId | (queue.published << 16);
}

/**
 * Takes back up to `max` outstanding buffers of a stopped queue as {token, 0} records at `out`,
 * with their tables; how many. Call until it returns 0. A queue that still runs is refused (G-D-16).
 */
export function packedDriverDetach(ptr: u32, out: u32, max: u32): u32 {
  const queue = changetype<PackedDriver>(ptr);
  if (queue.state != QUEUE_STOPPED) {
    refuse(queue, R_QUEUE_LIVE, 0);
    return 0;
  }
  let done: u32 = 0;
  for (let id: u32 = 0; id < queue.size && done < max && queue.outstanding; id++) {
    const record = queue.records + (id << RECORD_BITS);
    if (!load<u16>(record, RECORD_COUNT)) continue;
    store<u64>(out, <u64>load<u32>(record));
    out += RECLAIM_RECORD;
    if (queue.flags & QUEUE_F_ACCESS_PLATFORM) unmapBuffer(queue, id);
    const table = load<u32>(record, RECORD_TABLE);
    if (table) giveTable(queue, record, table);
    store<u16>(record, 0, RECORD_COUNT);
    queue.outstanding--;
    done++;
  }
  if (!queue.outstanding) {
    tablesDisable(queue);
    unmapCachedTables(queue);
  }
  queue.cursor = out;
  return done;
}
