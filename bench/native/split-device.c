// Split virtqueue, device half: pop, mark used, publish used. The driver is hostile: whatever it can
// write is loaded once, checked, and then used.

#include "registers.h"

#include <string.h>

#include "split.h"
#include "walk.h"

INLINE SplitRecord *splitRecord(u32 records, u32 index) { return AT(SplitRecord, records + (index << 3)); }

void splitDeviceEnable(u32 ptr) {
  SplitDevice *queue = AT(SplitDevice, ptr);
  const u32 size = queue->d.q.size;
  memset(memory + queue->d.q.records, 0, size * sizeof(SplitRecord));
  queue->mask = size - 1;
  queue->d.generation = (queue->d.generation + 1) & 0xffff;
  queue->d.maxChain = size;
  queue->d.q.state = QUEUE_LIVE;
}

/** Walks the entries of an indirect table, `budget` of them at the most. */
INLINE Fault walkTable(Walk *walk, u32 table, u32 limit, u32 budget) {
  const SplitDesc *entry = AT(SplitDesc, table);
  for (;; budget--) {
    const u32 flags = fetch16(&entry->flags);
    if (flags & DESC_F_INDIRECT) return E_NESTED_INDIRECT;
    if (!budget) return E_CHAIN_TOO_LONG;
    const Fault error = walkElement(walk, fetch64(&entry->addr), fetch32(&entry->len), flags);
    if (error) return error;
    if (!(flags & DESC_F_NEXT)) return OK;
    const u32 next = fetch16(&entry->next);
    if (next >= limit) return E_NEXT_RANGE;
    entry = splitDesc(table, next);
  }
}

/** Walks the chain that starts at `head` in the ring, and may end in a table. */
INLINE Fault walkChain(const Queue *q, Walk *walk, u32 head, u32 budget) {
  const SplitDesc *desc = splitDesc(q->desc, head);
  for (;; budget--) {
    const u32 flags = fetch16(&desc->flags);
    const u64 addr = fetch64(&desc->addr);
    const u32 len = fetch32(&desc->len);
    if (flags & DESC_F_INDIRECT) {
      if (!(q->flags & QUEUE_F_INDIRECT)) return E_INDIRECT_NOT_NEGOTIATED;
      if (flags & DESC_F_NEXT) return E_INDIRECT_WITH_NEXT;
      const Fault error = tableError(q, addr, len);
      if (error) return error;
      // Nothing in the chain, a table least of all, sets the budget again.
      return walkTable(walk, placeOf(&q->space, addr), len >> 4, budget);
    }
    if (!budget) return E_CHAIN_TOO_LONG;
    const Fault error = walkElement(walk, addr, len, flags);
    if (error) return error;
    if (!(flags & DESC_F_NEXT)) return OK;
    const u32 next = fetch16(&desc->next);
    if (next >= q->size) return E_NEXT_RANGE;
    desc = splitDesc(q->desc, next);
  }
}

BURST u32 splitDevicePop(u32 ptr, u32 out, u32 bytes, u32 max) {
  SplitDevice *queue = AT(SplitDevice, ptr);
  Queue *q = &queue->d.q;
  q->refusal = OK;
  if (q->state != QUEUE_LIVE || !deviceRuns(q)) return 0;
  const Avail *avail = availOf(q);
  u32 lastAvail = queue->lastAvail;
  const u32 pending = ahead(acquire16(&avail->idx), lastAvail);
  if (FULL && pending > q->size) {
    breakQueue(q, E_AVAIL_IDX, lastAvail);
    return 0;
  }
  max = min32(max, pending);
  Walk walk = {.space = &q->space, .record = AT(PopRecord, out)};
  const PopRecord *lastFit = lastRecord(out, bytes, queue->d.maxChain);
  Fault error = OK;
  u32 errorIndex = 0;

  u32 done = 0;
  for (; done < max; done++) {
    const u32 head = fetch16(&avail->ring[lastAvail & queue->mask]);
    errorIndex = head;
    if (head >= q->size) {
      error = E_HEAD_RANGE;
      break;
    }
    SplitRecord *record = splitRecord(q->records, head);
    if (FULL && record->inFlight) {
      error = E_HEAD_IN_FLIGHT;
      break;
    }
    if (walk.record > lastFit) {
      error = R_STAGING_SIZE;
      break;
    }
    walkStart(&walk);
    error = walkChain(q, &walk, head, queue->d.maxChain);
    if (error) break;
    error = walkEnd(&walk);
    if (error) break;
    walk.record->handle = head | (FULL ? queue->d.generation << HANDLE_SHIFT : 0);
    if (FULL) *record = (SplitRecord){walk.record->writableBytes, 1};
    walk.record = (PopRecord *)walk.segment;
    lastAvail++;
  }

  queue->lastAvail = lastAvail & 0xffff;
  q->cursor = ptrOf(walk.record);
  queue->d.popped += done;
  walkFault(q, error, errorIndex, done);
  return done;
}

/** Forgets the buffer with this handle; `len` bytes of it were written. */
INLINE Fault complete(SplitDevice *queue, u32 handle, u32 len) {
  const u32 head = handle & HANDLE_RECORD;
  if (handle >> HANDLE_SHIFT != queue->d.generation || head >= queue->d.q.size) return R_NOT_IN_FLIGHT;
  SplitRecord *record = splitRecord(queue->d.q.records, head);
  if (!record->inFlight) return R_NOT_IN_FLIGHT;
  // A length may understate, never overstate.
  if (len > record->capacity) return R_LEN_OVER_CAPACITY;
  record->inFlight = 0;
  return OK;
}

BURST u32 splitDeviceMarkAllUsed(u32 ptr, u32 popped, u32 count) {
  SplitDevice *queue = AT(SplitDevice, ptr);
  Queue *q = &queue->d.q;
  q->refusal = OK;
  if (q->state != QUEUE_LIVE) return 0;
  PopRecord *record = AT(PopRecord, popped);
  Used *used = usedOf(q);
  u32 usedIdx = queue->usedIdx;
  u32 elements = 1;

  u32 done = 0;
  for (; done < count; done++) {
    const u32 len = FULL ? record->writableBytes : record->segment[0].len;
    const Fault refusal = FULL ? complete(queue, record->handle, len) : OK;
    if (refusal) {
      refuse(q, refusal, done);
      break;
    }
    used->ring[usedIdx & queue->mask] = (UsedElement){record->handle & HANDLE_RECORD, len};
    usedIdx++;
    elements = predicted(elements, (u32)record->readable + record->writable);
    record = (PopRecord *)&record->segment[elements];
  }

  queue->usedIdx = usedIdx & 0xffff;
  q->cursor = ptrOf(record);
  queue->d.used += done;
  return done;
}

BURST u32 splitDevicePublishUsed(u32 ptr) {
  SplitDevice *queue = AT(SplitDevice, ptr);
  Queue *q = &queue->d.q;
  if (q->state != QUEUE_LIVE || !deviceRuns(q)) return 0;
  const u32 now = queue->usedIdx;
  if (now != queue->published) {
    release16(&usedOf(q)->idx, now);
    queue->published = now;
    queue->d.publishes++;
  }
  if (!FULL) return 0;
  const u32 interrupt = splitEventCrossed(acquire16(usedEvent(q)), now, queue->interruptIdx);
  queue->interruptIdx = now;
  queue->d.interrupts += interrupt;
  return interrupt;
}

BURST u32 splitDeviceArm(u32 ptr, u32 after) {
  const SplitDevice *queue = AT(SplitDevice, ptr);
  const Queue *q = &queue->d.q;
  if (q->state != QUEUE_LIVE) return 0;
  release16(availEvent(q), queue->lastAvail + after);
  return ahead(acquire16(&availOf(q)->idx), queue->lastAvail) > after;
}
