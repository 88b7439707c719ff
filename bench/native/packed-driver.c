// Packed virtqueue, driver half (2.8.21, 2.8.22): add, publish, reclaim.

#include "registers.h"

#include <string.h>

#include "packed.h"
#include "tables.h"

void packedDriverEnable(u32 ptr) {
  PackedDriver *queue = AT(PackedDriver, ptr);
  const u32 size = queue->d.q.size;
  tablesEnable(&queue->d);
  memset(memory + queue->d.q.desc, 0, size * DESC_BYTES);
  memset(memory + queue->d.q.driverArea, 0, EVENT_BYTES);
  memset(memory + queue->d.q.deviceArea, 0, EVENT_BYTES);
  queue->availWrap = 1;
  queue->usedWrap = 1;
  queue->d.numFree = size;
  for (u32 id = 0; id < size; id++) {
    *driverRecord(queue->d.q.records, id) = (DriverRecord){.next = (u16)(id + 1 == size ? 0 : id + 1)};
  }
  queue->d.q.state = QUEUE_LIVE;
}

/** Writes a table: consecutive entries without any flag but WRITE. */
INLINE void fillTable(PackedDesc *entry, const AddRecord *staged, u32 n, u64 delta) {
  const u32 readable = staged->readable;
  u32 k = 0;
  for (; k < readable; k++) {
    entry[k].addr = staged->sg[k].ptr + delta;
    entry[k].high = packedHigh(staged->sg[k].len, 0, 0);
  }
  for (; k < n; k++) {
    entry[k].addr = staged->sg[k].ptr + delta;
    entry[k].high = packedHigh(staged->sg[k].len, 0, DESC_F_WRITE);
  }
}

INLINE u32 add(PackedDriver *queue, u32 stream, u32 count, Source source) {
  DriverQueue *driver = &queue->d;
  Queue *q = &driver->q;
  const AddRecord *staged = AT(AddRecord, stream);
  const u32 desc = q->desc;
  const u64 delta = q->space.delta;
  const u64 heapFalls = driver->heapFalls;
  const u32 before = driver->numFree;
  u32 freeHead = driver->freeHead;
  u32 numFree = before;
  u32 slot = queue->nextAvail;
  u32 bits = availableBits(queue->availWrap);
  u32 listed = tablesListed(driver, source);
  u32 direct = 0;

  u32 done = 0;
  for (; done < count; done++) {
    const u32 n = (u32)staged->readable + staged->writable;
    // n - 1 wraps for an empty buffer.
    if (n - 1 >= q->size) {
      refuse(q, n ? R_TOO_MANY_SGS : R_EMPTY_BUFFER, done);
      break;
    }
    u32 capacity = 0;
    if (FULL && !stagedCapacity(staged, n, &capacity)) {
      refuse(q, R_BUFFER_BYTES, done);
      break;
    }

    const u32 id = freeHead;
    DriverRecord *record = driverRecord(q->records, id);
    u32 table = 0;
    if (source != TABLES_DIRECT && n >= driver->tableMin && numFree) {
      table = tableTake(driver, source, &listed, n, id);
      if (!table) {
        if (numFree < n) break;
        driver->directFalls++;
      }
    } else if (numFree < n) {
      // Room for the whole list before its first descriptor.
      break;
    }

    PackedDesc *head = packedDesc(desc, slot);
    u64 headHigh;
    u32 slots = 1;
    if (table) {
      head->addr = tablePtr(table) + delta;
      headHigh = packedHigh(n << 4, id, DESC_F_INDIRECT | bits);
      record->table = table;
      fillTable(packedDesc(tablePtr(table), 0), staged, n, delta);
      if (++slot == q->size) {
        slot = 0;
        bits ^= OWNER_BITS;
      }
    } else {
      if (source != TABLES_DIRECT) record->table = 0;
      u32 flags = (n > 1 ? DESC_F_NEXT : 0) | (staged->readable == 0 ? DESC_F_WRITE : 0);
      head->addr = staged->sg[0].ptr + delta;
      headHigh = packedHigh(staged->sg[0].len, id, flags | bits);
      for (u32 k = 1;; k++) {
        if (++slot == q->size) {
          slot = 0;
          bits ^= OWNER_BITS;
        }
        if (k == n) break;
        if (k == staged->readable) flags |= DESC_F_WRITE;
        if (k == n - 1) flags ^= DESC_F_NEXT;
        PackedDesc *at = packedDesc(desc, slot);
        at->addr = staged->sg[k].ptr + delta;
        at->high = packedHigh(staged->sg[k].len, id, flags | bits);
      }
      slots = n;
      direct++;
    }
    freeHead = record->next;
    numFree -= slots;
    record->token = staged->token;
    if (FULL) record->capacity = capacity;
    record->last = (u16)slots;
    if (queue->held) {
      head->high = headHigh;
    } else {
      queue->held = ptrOf(head);
      queue->heldHigh = headHigh;
    }
    staged = afterAdd(staged, n);
  }

  driver->freeHead = freeHead;
  driver->numFree = numFree;
  queue->nextAvail = slot;
  queue->availWrap = bits == availableBits(1);
  queue->covered += before - numFree;
  q->cursor = ptrOf(staged);
  driver->outstanding += done;
  driver->added += done;
  tablesList(driver, source, listed);
  if (source != TABLES_DIRECT) countTables(driver, source, done - direct, heapFalls);
  return done;
}

BURST u32 packedDriverAdd(u32 ptr, u32 stream, u32 count) {
  PackedDriver *queue = AT(PackedDriver, ptr);
  queue->d.q.refusal = OK;
  if (queue->d.q.state != QUEUE_LIVE) return 0;
  if (!(queue->d.q.flags & QUEUE_F_INDIRECT)) return add(queue, stream, count, TABLES_DIRECT);
  switch (queue->d.source) {
    case TABLES_HEAP:
      return add(queue, stream, count, TABLES_HEAP);
    case TABLES_FREELIST:
      return add(queue, stream, count, TABLES_FREELIST);
    case TABLES_SLOT:
      return add(queue, stream, count, TABLES_SLOT);
    default:
      return add(queue, stream, count, TABLES_DIRECT);
  }
}

BURST u32 packedDriverPublish(u32 ptr) {
  PackedDriver *queue = AT(PackedDriver, ptr);
  DriverQueue *driver = &queue->d;
  Queue *q = &driver->q;
  if (q->state != QUEUE_LIVE) return 0;
  if (queue->held) {
    // The head's flags are stored after everything else of the batch.
    release64(&AT(PackedDesc, queue->held)->high, queue->heldHigh);
    queue->held = 0;
    driver->publishes++;
  }
  if (!deviceRuns(q)) return 0;
  const u32 event = acquire32(AT(U32View, q->deviceArea));
  const u32 kick = packedNotifies(q, event, queue->nextAvail, queue->availWrap, queue->covered);
  queue->covered = 0;
  driver->doorbells += kick;
  return kick;
}

INLINE u32 reclaim(PackedDriver *queue, u32 out, u32 max, Source source) {
  DriverQueue *driver = &queue->d;
  Queue *q = &driver->q;
  ReclaimRecord *reclaimed = AT(ReclaimRecord, out);
  const u32 desc = q->desc;
  u32 slot = queue->nextUsed;
  u32 bits = usedBits(queue->usedWrap);
  u32 freeHead = driver->freeHead;
  u32 numFree = driver->numFree;
  u32 listed = tablesListed(driver, source);
  u32 clamped = 0;
  u32 given = 0;
  u32 stride = 1;
  max = min32(max, driver->outstanding);

  u32 done = 0;
  for (; done < max; done++) {
    // One slot, its flags with its id and len.
    const u64 high = acquire64(&packedDesc(desc, slot)->high);
    if ((flagsOf(high) & OWNER_BITS) != bits) break;
    const u32 id = idOf(high);
    if (id >= q->size) {
      breakQueue(q, E_USED_ID_RANGE, id);
      break;
    }
    DriverRecord *record = driverRecord(q->records, id);
    const u32 slots = record->last;
    u32 len = (u32)high;
    if (FULL) {
      if (!slots) {
        breakQueue(q, E_USED_ID_NOT_OUTSTANDING, id);
        break;
      }
      // Without WRITE nothing was written.
      if (!(flagsOf(high) & DESC_F_WRITE)) len = 0;
      const u32 capacity = record->capacity;
      clamped += len > capacity;
      len = min32(len, capacity);
      record->last = 0;
    }
    *reclaimed++ = (ReclaimRecord){record->token, len};
    const u32 table = source != TABLES_DIRECT ? record->table : 0;
    if (table) {
      given++;
      tableGive(driver, source, &listed, table);
    }
    record->next = (u16)freeHead;
    freeHead = id;
    numFree += slots;
    stride = predicted(stride, slots);
    slot += stride;
    if (slot >= q->size) {
      slot -= q->size;
      bits ^= OWNER_BITS;
    }
  }

  driver->freeHead = freeHead;
  driver->numFree = numFree;
  queue->nextUsed = slot;
  queue->usedWrap = bits != 0;
  q->cursor = ptrOf(reclaimed);
  driver->outstanding -= done;
  driver->reclaimed += done;
  tablesList(driver, source, listed);
  driver->liveTables -= given;
  driver->clampedLengths += clamped;
  return done;
}

BURST u32 packedDriverReclaim(u32 ptr, u32 out, u32 max) {
  PackedDriver *queue = AT(PackedDriver, ptr);
  if (queue->d.q.state != QUEUE_LIVE) return 0;
  switch (queue->d.source) {
    case TABLES_HEAP:
      return reclaim(queue, out, max, TABLES_HEAP);
    case TABLES_FREELIST:
      return reclaim(queue, out, max, TABLES_FREELIST);
    case TABLES_SLOT:
      return reclaim(queue, out, max, TABLES_SLOT);
    default:
      return reclaim(queue, out, max, TABLES_DIRECT);
  }
}

BURST u32 packedDriverArm(u32 ptr, u32 after) {
  const PackedDriver *queue = AT(PackedDriver, ptr);
  const Queue *q = &queue->d.q;
  if (q->state != QUEUE_LIVE) return 0;
  release32(AT(U32View, q->driverArea), packedEvent(q, queue->nextUsed, queue->usedWrap, after));
  const u64 high = acquire64(&packedDesc(q->desc, queue->nextUsed)->high);
  return queue->d.outstanding != 0 && (flagsOf(high) & OWNER_BITS) == usedBits(queue->usedWrap);
}
