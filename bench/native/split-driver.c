// Split virtqueue, driver half (2.7.13, 2.7.14): add, publish, reclaim.

#include "registers.h"

#include <string.h>

#include "split.h"
#include "tables.h"

void splitDriverEnable(u32 ptr) {
  SplitDriver *queue = AT(SplitDriver, ptr);
  const u32 size = queue->d.q.size;
  tablesEnable(&queue->d);
  memset(memory + queue->d.q.desc, 0, size * DESC_BYTES);
  memset(memory + queue->d.q.driverArea, 0, splitAvailBytes(size));
  memset(memory + queue->d.q.deviceArea, 0, splitUsedBytes(size));
  queue->mask = size - 1;
  queue->d.numFree = size;
  for (u32 i = 0; i < size; i++) {
    const u16 next = (u16)((i + 1) & (size - 1));
    *driverRecord(queue->d.q.records, i) = (DriverRecord){.next = next, .last = NOT_A_HEAD};
  }
  queue->d.q.state = QUEUE_LIVE;
}

/** Writes a table: entry k links to k + 1, the last to nothing. */
INLINE void fillTable(SplitDesc *entry, const AddRecord *staged, u32 n, u64 delta) {
  const u32 readable = staged->readable;
  u32 k = 0;
  for (; k < readable; k++) {
    entry[k].addr = staged->sg[k].ptr + delta;
    entry[k].high = splitHigh(staged->sg[k].len, DESC_F_NEXT, k + 1);
  }
  for (; k < n; k++) {
    entry[k].addr = staged->sg[k].ptr + delta;
    entry[k].high = splitHigh(staged->sg[k].len, DESC_F_NEXT | DESC_F_WRITE, k + 1);
  }
  entry[n - 1].flags = readable < n ? DESC_F_WRITE : 0;
}

INLINE u32 add(SplitDriver *queue, u32 stream, u32 count, Source source) {
  DriverQueue *driver = &queue->d;
  Queue *q = &driver->q;
  const AddRecord *staged = AT(AddRecord, stream);
  Avail *avail = availOf(q);
  const u32 desc = q->desc;
  const u32 records = q->records;
  const u64 delta = q->space.delta;
  const u64 heapFalls = driver->heapFalls;
  u32 freeHead = driver->freeHead;
  u32 numFree = driver->numFree;
  u32 availIdx = queue->availIdx;
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

    const u32 head = freeHead;
    DriverRecord *record = driverRecord(records, head);
    u32 table = 0;
    if (source != TABLES_DIRECT && n >= driver->tableMin && numFree) {
      table = tableTake(driver, source, &listed, n, head);
      if (!table) {
        if (numFree < n) break;
        driver->directFalls++;
      }
    } else if (numFree < n) {
      break;
    }

    u32 last = head;
    if (table) {
      SplitDesc *at = splitDesc(desc, head);
      at->high = splitHigh(n << 4, DESC_F_INDIRECT, 0);
      // The address of a slot's own table stays in the ring from one use to the next.
      if (source != TABLES_SLOT || record->table != table) {
        at->addr = tablePtr(table) + delta;
        record->table = table;
      }
      fillTable(splitDesc(tablePtr(table), 0), staged, n, delta);
      freeHead = record->next;
      numFree--;
    } else {
      u32 flags = DESC_F_NEXT;
      u32 next = head;
      for (u32 k = 0; k < n; k++) {
        last = next;
        DriverRecord *link = driverRecord(records, last);
        next = link->next;
        if (source != TABLES_DIRECT) link->table = 0;
        if (k == staged->readable) flags |= DESC_F_WRITE;
        if (k == n - 1) flags ^= DESC_F_NEXT;
        SplitDesc *at = splitDesc(desc, last);
        at->addr = staged->sg[k].ptr + delta;
        at->high = splitHigh(staged->sg[k].len, flags, next);
      }
      freeHead = next;
      numFree -= n;
      driverRecord(records, last)->token = n;
      direct++;
    }
    // A chain of one is told by last == head, so the token may overwrite the length.
    record->token = staged->token;
    if (FULL) record->capacity = capacity;
    record->last = (u16)last;
    avail->ring[availIdx & queue->mask] = (u16)head;
    availIdx++;
    staged = afterAdd(staged, n);
  }

  driver->freeHead = freeHead;
  driver->numFree = numFree;
  queue->availIdx = availIdx & 0xffff;
  q->cursor = ptrOf(staged);
  driver->outstanding += done;
  driver->added += done;
  tablesList(driver, source, listed);
  if (source != TABLES_DIRECT) countTables(driver, source, done - direct, heapFalls);
  return done;
}

BURST u32 splitDriverAdd(u32 ptr, u32 stream, u32 count) {
  SplitDriver *queue = AT(SplitDriver, ptr);
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

BURST u32 splitDriverPublish(u32 ptr) {
  SplitDriver *queue = AT(SplitDriver, ptr);
  DriverQueue *driver = &queue->d;
  Queue *q = &driver->q;
  if (q->state != QUEUE_LIVE) return 0;
  const u32 now = queue->availIdx;
  if (now != queue->published) {
    release16(&availOf(q)->idx, now);
    queue->published = now;
    driver->publishes++;
  }
  if (!deviceRuns(q)) return 0;
  const u32 kick = splitEventCrossed(acquire16(availEvent(q)), now, queue->kickIdx);
  queue->kickIdx = now;
  driver->doorbells += kick;
  return kick;
}

INLINE u32 reclaim(SplitDriver *queue, u32 out, u32 max, Source source) {
  DriverQueue *driver = &queue->d;
  Queue *q = &driver->q;
  ReclaimRecord *reclaimed = AT(ReclaimRecord, out);
  const Used *used = usedOf(q);
  const u32 records = q->records;
  u32 lastUsed = queue->lastUsed;
  const u32 pending = ahead(acquire16(&used->idx), lastUsed);
  if (FULL && pending > driver->outstanding) {
    breakQueue(q, E_USED_IDX, lastUsed);
    return 0;
  }
  max = min32(max, pending);
  u32 freeHead = driver->freeHead;
  u32 numFree = driver->numFree;
  u32 listed = tablesListed(driver, source);
  u32 clamped = 0;
  u32 given = 0;

  u32 done = 0;
  for (; done < max; done++) {
    const UsedElement *element = &used->ring[lastUsed & queue->mask];
    const u32 id = fetch32(&element->id);
    u32 len = fetch32(&element->len);
    if (id >= q->size) {
      breakQueue(q, E_USED_ID_RANGE, id);
      break;
    }
    DriverRecord *record = driverRecord(records, id);
    const u32 last = record->last;
    if (FULL) {
      if (last == NOT_A_HEAD) {
        breakQueue(q, E_USED_ID_NOT_OUTSTANDING, id);
        break;
      }
      const u32 capacity = record->capacity;
      clamped += len > capacity;
      len = min32(len, capacity);
      record->last = NOT_A_HEAD;
    }
    *reclaimed++ = (ReclaimRecord){record->token, len};

    const u32 table = source != TABLES_DIRECT ? record->table : 0;
    if (table) {
      given++;
      tableGive(driver, source, &listed, table);
      // A slot's own table stays its own, so that the next use finds it preset.
      if (source != TABLES_SLOT || table & TABLE_FROM_HEAP) record->table = 0;
    }
    DriverRecord *tail = driverRecord(records, last);
    numFree += last == id ? 1 : tail->token;
    tail->next = (u16)freeHead;
    freeHead = id;
    lastUsed++;
  }

  driver->freeHead = freeHead;
  driver->numFree = numFree;
  queue->lastUsed = lastUsed & 0xffff;
  q->cursor = ptrOf(reclaimed);
  driver->outstanding -= done;
  driver->reclaimed += done;
  tablesList(driver, source, listed);
  driver->liveTables -= given;
  driver->clampedLengths += clamped;
  return done;
}

BURST u32 splitDriverReclaim(u32 ptr, u32 out, u32 max) {
  SplitDriver *queue = AT(SplitDriver, ptr);
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

BURST u32 splitDriverArm(u32 ptr, u32 after) {
  const SplitDriver *queue = AT(SplitDriver, ptr);
  const Queue *q = &queue->d.q;
  if (q->state != QUEUE_LIVE) return 0;
  release16(usedEvent(q), queue->lastUsed + after);
  return ahead(acquire16(&usedOf(q)->idx), queue->lastUsed) > after;
}
