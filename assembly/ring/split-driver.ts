// Split virtqueue, driver half (2.7.13, 2.7.14): add, publish, reclaim.

import {
  ADD_HEADER,
  DMA_MAPPING_ERROR,
  E_USED_ID_NOT_OUTSTANDING,
  E_USED_ID_RANGE,
  E_USED_IDX,
  OK,
  QUEUE_F_ACCESS_PLATFORM,
  QUEUE_F_DIRECT_HEAD,
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
import { acquire16, release16 } from "../mem/fence";
import { stackBottom, stackPut } from "../mem/stack";
import {
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_USED_F_NO_NOTIFY,
} from "../spec";
import {
  DriverQueue,
  deltaOf,
  MAX_BUFFER_BYTES,
  NOT_A_HEAD,
  RECORD_BITS,
  RECORD_CAPACITY,
  RECORD_LAST,
  RECORD_NEXT,
  RECORD_TABLE,
  setEntries,
  stagedRefusal,
} from "./driver";
import { splitEventCrossed } from "./event";
import { mapCachedTables, mapElements, mapTable, unmapBuffer, unmapCachedTables } from "./mappings";
import { breakQueue, clearFaults, isLive, refuse, saturate32 } from "./queue";
import { ahead } from "./serial";
import {
  availEventPtr,
  RING_ENTRIES,
  RING_FLAGS,
  RING_IDX,
  splitAvailBytes,
  splitDescBytes,
  splitDescHigh,
  splitSizeIsLegal,
  splitUsedBytes,
  usedEventPtr,
} from "./split-layout";
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
export class SplitDriver extends DriverQueue {
  mask: u32;
  /** avail.idx as the next publish will store it, and as the last one did. */
  availIdx: u32;
  published: u32;
  /** avail.idx at the last kick decision. */
  kickIdx: u32;
  /** used.idx up to which buffers were reclaimed. */
  lastUsed: u32;
  /** IN_ORDER: oldest outstanding head, and buffers of the current used element still to return. */
  oldest: u32;
  batchLeft: u32;
  /** IN_ORDER: what the device wrote into the last buffer of the current used element. */
  batchLen: u32;
}

/**
 * Puts a stopped queue to work on rings that lie at `queue.desc`, `driverArea` and `deviceArea`,
 * which it clears (S-D-13). R_QUEUE_LIVE, R_QUEUE_SIZE or a refusal of the table source.
 */
export function splitDriverEnable(ptr: u32): u32 {
  const queue = changetype<SplitDriver>(ptr);
  const size = queue.size;
  if (queue.state != QUEUE_STOPPED) return R_QUEUE_LIVE;
  if (queue.outstanding) return R_OUTSTANDING;
  if (!splitSizeIsLegal(size) || size > queue.capacity) return R_QUEUE_SIZE;
  unmapCachedTables(queue);
  const refusal = tablesEnable(queue);
  if (refusal) return refusal;
  mapCachedTables(queue);
  memory.fill(queue.desc, 0, splitDescBytes(size));
  memory.fill(queue.driverArea, 0, splitAvailBytes(size));
  memory.fill(queue.deviceArea, 0, splitUsedBytes(size));
  clearFaults(queue);
  // S-D-08: entry k links to k + 1.
  setEntries(queue, splitDescHigh(0, VIRTQ_DESC_F_NEXT, 1), 1 << 48, (<u64>VIRTQ_DESC_F_WRITE) << 32);
  queue.mask = size - 1;
  queue.freeHead = 0;
  queue.numFree = size;
  queue.outstanding = 0;
  queue.liveTables = 0;
  queue.availIdx = 0;
  queue.published = 0;
  queue.kickIdx = 0;
  queue.lastUsed = 0;
  queue.oldest = 0;
  queue.batchLeft = 0;
  for (let i: u32 = 0; i < size; i++) {
    const record = queue.records + (i << RECORD_BITS);
    store<u64>(record, 0);
    store<u32>(record, 0, RECORD_TABLE);
    // S-D-04: in ring order from 0, the last entry linked to the first. With IN_ORDER buffers
    // come back as they went, and these links never change.
    store<u16>(record, <u16>((i + 1) & (size - 1)), RECORD_NEXT);
    store<u16>(record, <u16>NOT_A_HEAD, RECORD_LAST);
  }
  queue.state = QUEUE_LIVE;
  return OK;
}

/**
 * Adds up to `count` buffers staged at `stream` (abi.ts) without publishing them; how many. It
 * stops early at a full ring, or at a record that breaks a rule, which `refusal` then names.
 */
export function splitDriverAdd(ptr: u32, stream: u32, count: u32): u32 {
  const queue = changetype<SplitDriver>(ptr);
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
function addBurst(queue: SplitDriver, stream: u32, count: u32): u32 {
  queue.wanted = 0;
  if (!(queue.flags & QUEUE_F_INDIRECT)) return add(queue, stream, count, TABLES_DIRECT, 0, false, false);
  if (queue.flags & QUEUE_F_DIRECT_HEAD) return addAny(queue, stream, count);
  switch (queue.source) {
    case TABLES_HEAP:
      return add(queue, stream, count, TABLES_HEAP, 0, false, false);
    case TABLES_FREELIST:
      return add(queue, stream, count, TABLES_FREELIST, 0, false, false);
    case TABLES_GROW:
      return add(queue, stream, count, TABLES_GROW, 0, false, false);
    case TABLES_SLOT:
      return add(queue, stream, count, TABLES_SLOT, 0, false, false);
    case TABLES_PER_NODE:
      return add(queue, stream, count, TABLES_PER_NODE, 0, false, false);
    default:
      return add(queue, stream, count, TABLES_DIRECT, 0, false, false);
  }
}

/** Adds from any source, with its falls inside the loop, until the ring is full. */
function addAny(queue: SplitDriver, stream: u32, count: u32): u32 {
  queue.wanted = 0;
  return add(queue, stream, count, queue.source, queue.flags & QUEUE_F_DIRECT_HEAD ? 1 : 0, true, false);
}

/** Adds from any source, and maps what it adds. */
function addMapped(queue: SplitDriver, stream: u32, count: u32): u32 {
  queue.wanted = 0;
  const source = queue.flags & QUEUE_F_INDIRECT ? queue.source : TABLES_DIRECT;
  return add(queue, stream, count, source, queue.flags & QUEUE_F_DIRECT_HEAD ? 1 : 0, true, true);
}

// The loops below keep few locals: what only changes from burst to burst is loaded from the
// control block where it is needed, which costs no more than a register that has to be spilled.
// They only stop at what they can't add, and leave it to `stagedRefusal` to say why.

/**
 * `prefix` elements stay direct in front of the table (S-V-05 from this side). Where the source
 * `falls`, the heap is asked in its stead; a loop that never does is spared the call. Where it is `mapped`,
 * elements are taken from the buffer's mapping record, in which handles stand for pointers.
 */
@inline
function add(
  queue: SplitDriver,
  stream: u32,
  count: u32,
  source: u32,
  prefix: u32,
  falls: bool,
  mapped: bool,
): u32 {
  const stack = stackOf(queue, source == TABLES_PER_NODE ? queue.node : 0);
  const bottom = stackBottom(stack);
  let top = stack.top;
  const first = queue.availIdx;
  const end = first + count;
  let head = queue.freeHead;
  let numFree = queue.numFree;
  let directs: u32 = 0;
  let availIdx = first;
  for (; availIdx != end; availIdx++) {
    const counts = load<u32>(stream, 4);
    const readable = counts & 0xffff;
    const n = readable + (counts >> 16);
    // S-D-19 and S-D-07 in one comparison: n - 1 wraps for an empty buffer.
    if (n - 1 >= queue.size) break;
    let table: u32 = 0;
    if (source != TABLES_DIRECT && n >= queue.tableMin + prefix) {
      if (numFree > prefix) {
        if (source == TABLES_HEAP) {
          table = tableTakeHeap(queue, n - prefix);
        } else if (n - prefix <= queue.threshold) {
          if (source == TABLES_SLOT) {
            table = queue.tables + head * queue.tableBytes;
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
          table = tableFallBack(queue, n - prefix);
        }
      }
    }

    const record = queue.records + (head << RECORD_BITS);
    const at = queue.desc + (head << 4);
    let next: u32 = load<u16>(record, RECORD_NEXT);
    let last = head;
    let sg = stream + ADD_HEADER;
    if (mapped && (table > NO_TABLE || numFree >= n)) {
      sg = mapElements(queue, stream, head);
      if (!sg) {
        queue.unused = table;
        break;
      }
    }
    let k: u32 = 0;
    if (table > NO_TABLE) {
      // Bytes of a direct head.
      let headBytes: u64 = 0;
      let entry = tablePtr(table);
      // S-D-08: entry k links to k + 1, the last to nothing.
      let fields = queue.entryFirst;
      if (prefix) {
        const len = <u64>load<u32>(sg, 4);
        const flags: u32 = readable ? VIRTQ_DESC_F_NEXT : VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE;
        storeDesc(at, load<u32>(sg) + deltaOf(queue), splitDescHigh(len, flags, next));
        k = 1;
        sg += SEGMENT;
        headBytes = len;
        if (!readable) fields = i64x2.add(fields, queue.entryWrite);
        last = next;
        const link = queue.records + (last << RECORD_BITS);
        next = load<u16>(link, RECORD_NEXT);
        // A chain's length stands in the record of its last descriptor.
        store<u32>(link, 2);
        storeDesc(
          queue.desc + (last << 4),
          entry + deltaOf(queue),
          splitDescHigh((n - 1) << 4, VIRTQ_DESC_F_INDIRECT, 0),
        );
      } else {
        // The address of a slot's own table stays in the ring from one use to the next.
        if (source != TABLES_SLOT || load<u32>(record, RECORD_TABLE) != table)
          store<u64>(at, entry + deltaOf(queue));
        store<u64>(at, splitDescHigh(n << 4, VIRTQ_DESC_F_INDIRECT, 0), 8);
      }
      let bytes = i64x2.splat(0);
      let bytesBefore = bytes;
      for (;;) {
        if (k == readable) {
          bytesBefore = bytes;
          fields = i64x2.add(fields, queue.entryWrite);
        }
        const element = v128.load_ext<u32>(sg);
        sg += SEGMENT;
        bytes = i64x2.add(bytes, element);
        v128.store(entry, i64x2.add(element, fields));
        entry += 16;
        if (++k == n) break;
        fields = i64x2.add(fields, queue.entryStep);
      }
      const total = headBytes + <u64>i64x2.extract_lane(bytes, 1);
      let flags: u32 = 0;
      let capacity: u64 = 0;
      if (readable < n) {
        flags = VIRTQ_DESC_F_WRITE;
        capacity = total - i64x2.extract_lane(bytesBefore, 1);
        if (readable) capacity -= headBytes;
      }
      store<u32>(entry - 4, flags);
      // S-D-03: nothing that was written so far is in use.
      if (total > MAX_BUFFER_BYTES) {
        queue.unused = table;
        break;
      }
      if (mapped) {
        const dma = mapTable(queue, head, table, n - prefix);
        if (dma == DMA_MAPPING_ERROR) {
          queue.unused = table;
          break;
        }
        store<u64>(queue.desc + (last << 4), dma + deltaOf(queue));
      }
      storeRecord(record, stream, capacity, last);
      if (source != TABLES_DIRECT) store<u32>(record, table, RECORD_TABLE);
      numFree -= 1 + prefix;
    } else {
      if (numFree < n) break;
      if (source == TABLES_SLOT) store<u32>(record, 0, RECORD_TABLE);
      let to = at;
      let flags: u32 = VIRTQ_DESC_F_NEXT;
      let total: u64 = 0;
      let readableBytes: u64 = 0;
      for (;;) {
        if (k == readable) {
          readableBytes = total;
          flags = VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE;
        }
        const len = <u64>load<u32>(sg, 4);
        const addr = load<u32>(sg) + deltaOf(queue);
        sg += SEGMENT;
        total += len;
        if (++k == n) {
          storeDesc(to, addr, splitDescHigh(len, flags & VIRTQ_DESC_F_WRITE, next));
          break;
        }
        storeDesc(to, addr, splitDescHigh(len, flags, next));
        last = next;
        const link = queue.records + (last << RECORD_BITS);
        next = load<u16>(link, RECORD_NEXT);
        if (source == TABLES_SLOT) store<u32>(link, 0, RECORD_TABLE);
        to = queue.desc + (last << 4);
      }
      if (readable == n) readableBytes = total;
      // A chain's length stands in the record of its last descriptor; a chain of one needs none.
      if (n > 1) store<u32>(queue.records + (last << RECORD_BITS), n);
      if (total > MAX_BUFFER_BYTES) break;
      storeRecord(record, stream, total - readableBytes, last);
      numFree -= n;
      if (source != TABLES_DIRECT) {
        store<u32>(record, 0, RECORD_TABLE);
        directs++;
        if (table) queue.directFalls++;
      }
    }
    store<u16>(queue.driverArea + ((availIdx & queue.mask) << 1), <u16>head, RING_ENTRIES);
    head = next;
    stream = mapped ? stream + ADD_HEADER + n * SEGMENT : sg;
  }

  const done = availIdx - first;
  queue.freeHead = head;
  queue.availIdx = availIdx & 0xffff;
  queue.cursor = stream;
  queue.outstanding += done;
  queue.added += done;
  queue.numFree = numFree;
  if (source != TABLES_DIRECT) {
    stack.top = top;
    tablesTaken(queue, source, done - directs);
  }
  if (done != count) addStopped(queue, stream, done);
  return done;
}

/** Two stores for a descriptor that nobody looks at yet. */
@inline
function storeDesc(ptr: u32, addr: u64, high: u64): void {
  store<u64>(ptr, addr);
  store<u64>(ptr, high, 8);
}

/** What the driver remembers of the buffer staged at `stream`. */
@inline
function storeRecord(record: u32, stream: u32, capacity: u64, last: u32): void {
  store<u32>(record, load<u32>(stream));
  store<u32>(record, saturate32(capacity), RECORD_CAPACITY);
  store<u16>(record, <u16>last, RECORD_LAST);
}

/** Shows the device what was added (2.7.13.3). */
@inline
function show(queue: SplitDriver, now: u32): void {
  if (now == queue.published) return;
  // S-D-16: what the index covers is stored before it.
  release16(queue.driverArea + RING_IDX, now);
  queue.published = now;
  queue.publishes++;
}

/** Shows the device what was added, and decides whether it wants a kick (2.7.13.4). */
export function splitDriverPublish(ptr: u32): u32 {
  const queue = changetype<SplitDriver>(ptr);
  if (!isLive(queue)) return 0;
  const now = queue.availIdx;
  show(queue, now);
  // G-D-14: a kick that is due before DRIVER_OK stays due.
  if (!deviceRuns(queue.device)) return 0;
  // S-D-17: the peer's wish is loaded after the index is stored.
  const old = queue.kickIdx;
  let kick: u32;
  if (queue.flags & QUEUE_F_EVENT_IDX) {
    const event = acquire16(availEventPtr(queue.deviceArea, queue.size));
    kick = <u32>splitEventCrossed(event, now, old);
  } else {
    const flags = acquire16(queue.deviceArea + RING_FLAGS);
    kick = <u32>(now != old) & ~(flags & VIRTQ_USED_F_NO_NOTIFY);
  }
  queue.kickIdx = now;
  queue.doorbells += kick;
  return kick;
}

/**
 * Takes back up to `max` used buffers as {token, len} records at `out`; how many. What was added is
 * shown first: a device that names a buffer which it has not seen must not get it back halfway.
 */
export function splitDriverReclaim(ptr: u32, out: u32, max: u32): u32 {
  const queue = changetype<SplitDriver>(ptr);
  if (!isLive(queue)) return 0;
  show(queue, queue.availIdx);
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
function reclaimMapped(queue: SplitDriver, out: u32, max: u32): u32 {
  if (queue.flags & QUEUE_F_IN_ORDER) return reclaimInOrder(queue, out, max, true);
  return reclaim(queue, out, max, queue.source, true);
}

@inline
function reclaim(queue: SplitDriver, out: u32, max: u32, source: u32, mapped: bool): u32 {
  const first = queue.lastUsed;
  const pending = ahead(acquire16(queue.deviceArea + RING_IDX), first);
  // H-D-02.
  if (pending > queue.outstanding) {
    breakQueue(queue, E_USED_IDX, first);
    return 0;
  }
  const end = first + min(max, pending);
  let freeHead = queue.freeHead;
  let numFree = queue.numFree;
  let directs: u32 = 0;
  let heapTables: u32 = 0;
  let top = queue.stack0.top;
  let error: u32 = OK;
  let id: u32 = 0;
  let lastUsed = first;
  for (; lastUsed != end; lastUsed++) {
    const element = queue.deviceArea + ((lastUsed & queue.mask) << 3);
    id = load<u32>(element, RING_ENTRIES);
    // H-D-01.
    if (id >= queue.size) {
      error = E_USED_ID_RANGE;
      break;
    }
    const record = queue.records + (id << RECORD_BITS);
    const last: u32 = load<u16>(record, RECORD_LAST);
    if (last == NOT_A_HEAD) {
      error = E_USED_ID_NOT_OUTSTANDING;
      break;
    }
    // H-D-03.
    let len = load<u32>(element, RING_ENTRIES + 4);
    const capacity = load<u32>(record, RECORD_CAPACITY);
    if (len > capacity) {
      len = capacity;
      queue.clampedLengths++;
    }
    store<u32>(out, load<u32>(record));
    store<u32>(out, len, 4);
    out += RECLAIM_RECORD;
    if (mapped) unmapBuffer(queue, id);

    // What the record says of a table stays: a slot's next use finds its own preset.
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
    if (last == id) {
      numFree++;
      store<u32>(record, freeHead | (NOT_A_HEAD << 16), RECORD_NEXT);
    } else {
      store<u16>(record, <u16>NOT_A_HEAD, RECORD_LAST);
      const tail = queue.records + (last << RECORD_BITS);
      numFree += load<u32>(tail);
      store<u16>(tail, <u16>freeHead, RECORD_NEXT);
    }
    freeHead = id;
  }

  const done = lastUsed - first;
  queue.freeHead = freeHead;
  queue.numFree = numFree;
  queue.lastUsed = lastUsed & 0xffff;
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
 * 2.7.9: one used element can stand for a batch, from the oldest outstanding buffer to the one it
 * names; those in between were used completely (S-D-12).
 */
@inline
function reclaimInOrder(queue: SplitDriver, out: u32, max: u32, mapped: bool): u32 {
  const size = queue.size;
  const records = queue.records;
  const source = queue.source;
  const pending = ahead(acquire16(queue.deviceArea + RING_IDX), queue.lastUsed);
  if (pending > queue.outstanding) {
    breakQueue(queue, E_USED_IDX, queue.lastUsed);
    return 0;
  }
  max = min(max, pending);
  let done: u32 = 0;
  for (; done < max; done++) {
    if (!queue.batchLeft) {
      const element = load<u64>(queue.deviceArea + RING_ENTRIES + ((queue.lastUsed & queue.mask) << 3));
      const id = <u32>element;
      if (id >= size) {
        breakQueue(queue, E_USED_ID_RANGE, id);
        break;
      }
      // Walk from the oldest to the one named; the used index says how many it can be at the most.
      let head = queue.oldest;
      let batch: u32 = 1;
      while (head != id && batch < pending - done) {
        head = (head + chainLength(records, head)) & queue.mask;
        batch++;
      }
      if (head != id) {
        breakQueue(queue, E_USED_ID_NOT_OUTSTANDING, id);
        break;
      }
      queue.batchLeft = batch;
      queue.batchLen = <u32>(element >> 32);
    }
    const head = queue.oldest;
    const record = records + (head << RECORD_BITS);
    const capacity = load<u32>(record, RECORD_CAPACITY);
    let len = capacity;
    if (queue.batchLeft == 1) {
      len = min(queue.batchLen, capacity);
      queue.clampedLengths += <u64>(queue.batchLen > capacity);
    }
    store<u64>(out, <u64>load<u32>(record) | ((<u64>len) << 32));
    out += RECLAIM_RECORD;
    if (mapped) unmapBuffer(queue, head);
    const table = load<u32>(record, RECORD_TABLE);
    if (table) giveTable(queue, source, record, table);
    const length = chainLength(records, head);
    store<u16>(record, <u16>NOT_A_HEAD, RECORD_LAST);
    queue.oldest = (head + length) & queue.mask;
    queue.numFree += length;
    queue.batchLeft--;
    queue.lastUsed = (queue.lastUsed + 1) & 0xffff;
  }
  queue.cursor = out;
  queue.outstanding -= done;
  queue.reclaimed += done;
  return done;
}

/** Descriptors of the outstanding chain that starts at `head`. */
@inline
function chainLength(records: u32, head: u32): u32 {
  const last: u32 = load<u16>(records + (head << RECORD_BITS), RECORD_LAST);
  return last == head ? 1 : load<u32>(records + (last << RECORD_BITS));
}

/** Gives a table back where the source is not a constant. */
function giveTable(queue: SplitDriver, source: u32, record: u32, table: u32): void {
  queue.liveTables--;
  if (source != TABLES_SLOT || table & TABLE_FROM_HEAP) store<u32>(record, 0, RECORD_TABLE);
  tableGive(queue, table);
}

/**
 * Asks for an interrupt once `after` more buffers than were reclaimed are used; whether so many
 * are already, which the device may have decided before it saw the request (S-D-18).
 */
export function splitDriverArm(ptr: u32, after: u32): u32 {
  const queue = changetype<SplitDriver>(ptr);
  if (!isLive(queue)) return 0;
  if (queue.flags & QUEUE_F_EVENT_IDX) {
    // S-D-10: the flags stay 0.
    release16(usedEventPtr(queue.driverArea, queue.size), queue.lastUsed + after);
  } else {
    release16(queue.driverArea + RING_FLAGS, 0);
  }
  return <u32>(ahead(acquire16(queue.deviceArea + RING_IDX), queue.lastUsed) > after);
}

/** Asks for no interrupts; the device may still send some. */
export function splitDriverSuppress(ptr: u32): void {
  const queue = changetype<SplitDriver>(ptr);
  if (!isLive(queue)) return;
  if (queue.flags & QUEUE_F_EVENT_IDX) {
    // An entry that was used already: the furthest away that the index can be.
    release16(usedEventPtr(queue.driverArea, queue.size), queue.lastUsed - 1);
  } else {
    release16(queue.driverArea + RING_FLAGS, VIRTQ_AVAIL_F_NO_INTERRUPT);
  }
}

/** 2.9: the upper half of a kick under NOTIFICATION_DATA is avail.idx (V-D-05). */
export function splitDriverNotificationData(ptr: u32): u32 {
  const queue = changetype<SplitDriver>(ptr);
  return queue.notifyId | (queue.published << 16);
}

/**
 * Takes back up to `max` outstanding buffers of a stopped queue as {token, 0} records at `out`,
 * with their tables; how many. Call until it returns 0. A queue that still runs is refused (G-D-16).
 */
export function splitDriverDetach(ptr: u32, out: u32, max: u32): u32 {
  const queue = changetype<SplitDriver>(ptr);
  if (queue.state != QUEUE_STOPPED) {
    refuse(queue, R_QUEUE_LIVE, 0);
    return 0;
  }
  let done: u32 = 0;
  for (let head: u32 = 0; head < queue.size && done < max && queue.outstanding; head++) {
    const record = queue.records + (head << RECORD_BITS);
    if (<u32>load<u16>(record, RECORD_LAST) == NOT_A_HEAD) continue;
    store<u64>(out, <u64>load<u32>(record));
    out += RECLAIM_RECORD;
    if (queue.flags & QUEUE_F_ACCESS_PLATFORM) unmapBuffer(queue, head);
    const table = load<u32>(record, RECORD_TABLE);
    if (table) giveTable(queue, queue.source, record, table);
    store<u16>(record, <u16>NOT_A_HEAD, RECORD_LAST);
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
