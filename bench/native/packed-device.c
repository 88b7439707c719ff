// Packed virtqueue, device half: pop, mark used, publish used. The driver is hostile: whatever it can
// write is loaded once, checked, and then used.

#include "registers.h"

#include "packed.h"
#include "walk.h"

INLINE PackedRecord *packedRecord(u32 records, u32 index) { return AT(PackedRecord, records + (index << 4)); }

void packedDeviceEnable(u32 ptr) {
  PackedDevice *queue = AT(PackedDevice, ptr);
  const u32 size = queue->d.q.size;
  queue->availWrap = 1;
  queue->usedWrap = 1;
  for (u32 i = 0; i < size; i++) {
    *packedRecord(queue->d.q.records, i) = (PackedRecord){.next = i + 1 == size ? 0 : i + 1};
  }
  queue->d.generation = (queue->d.generation + 1) & 0xffff;
  queue->d.maxChain = size;
  queue->d.q.state = QUEUE_LIVE;
}

/** Walks an indirect table: entries in memory order, and no flag but WRITE counts there. */
INLINE Fault walkTable(Walk *walk, u32 table, u32 entries) {
  const PackedDesc *entry = packedDesc(table, 0);
  const PackedDesc *end = entry + entries;
  for (; entry != end; entry++) {
    const u32 flags = fetch16(&entry->flags);
    const Fault error = walkElement(walk, fetch64(&entry->addr), fetch32(&entry->len), flags);
    if (error) return error;
  }
  return OK;
}

/** Walks a list or a table from the descriptor `high` at `*next` on, which ends up behind it. */
INLINE Fault walkList(const PackedDevice *queue, Walk *walk, Position *next, u64 high, u32 *slots, u32 *id) {
  const Queue *q = &queue->d.q;
  const PackedDesc *desc = packedDesc(q->desc, next->slot);
  u64 addr = fetch64(&desc->addr);
  u32 len = (u32)high;
  u32 flags = flagsOf(high);
  step(next, q->size);
  *slots = 1;
  *id = idOf(high);
  if (flags & DESC_F_INDIRECT) {
    if (!(q->flags & QUEUE_F_INDIRECT)) return E_INDIRECT_NOT_NEGOTIATED;
    if (flags & DESC_F_NEXT) return E_INDIRECT_IN_LIST;
    const Fault error = tableError(q, addr, len);
    if (error) return error;
    if (len >> 4 > queue->d.maxChain) return E_CHAIN_TOO_LONG;
    return walkTable(walk, placeOf(&q->space, addr), len >> 4);
  }
  for (;;) {
    const Fault error = walkElement(walk, addr, len, flags);
    if (error) return error;
    if (!(flags & DESC_F_NEXT)) return OK;
    // A list has at most as many elements as slots that are not in flight.
    if (*slots == queue->d.maxChain) return E_CHAIN_TOO_LONG;
    if (FULL && queue->slotsInFlight + *slots >= q->size) return E_RING_OVERRUN;
    desc = packedDesc(q->desc, next->slot);
    addr = fetch64(&desc->addr);
    len = fetch32(&desc->len);
    // The id of a list is that of its last descriptor.
    *id = fetch16(&desc->id);
    flags = fetch16(&desc->flags);
    ++*slots;
    step(next, q->size);
    if (flags & DESC_F_INDIRECT) return E_INDIRECT_IN_LIST;
  }
}

BURST u32 packedDevicePop(u32 ptr, u32 out, u32 bytes, u32 max) {
  PackedDevice *queue = AT(PackedDevice, ptr);
  Queue *q = &queue->d.q;
  q->refusal = OK;
  if (q->state != QUEUE_LIVE || !deviceRuns(q)) return 0;
  Position position = {queue->nextAvail, availableBits(queue->availWrap)};
  Walk walk = {.space = &q->space, .record = AT(PopRecord, out)};
  const PopRecord *lastFit = lastRecord(out, bytes, queue->d.maxChain);
  Fault error = OK;
  // One lap bounds a burst, whatever the flags say.
  max = min32(max, q->size);

  u32 done = 0;
  for (; done < max; done++) {
    // Flags, id and len as one snapshot, before addr.
    const u64 high = acquire64(&packedDesc(q->desc, position.slot)->high);
    if ((flagsOf(high) & OWNER_BITS) != position.bits) break;
    if (FULL && queue->slotsInFlight >= q->size) {
      error = E_RING_OVERRUN;
      break;
    }
    Position next = position;
    u32 slots;
    u32 id;
    if (walk.record > lastFit) {
      error = R_STAGING_SIZE;
      break;
    }
    walkStart(&walk);
    error = walkList(queue, &walk, &next, high, &slots, &id);
    if (error) break;
    error = walkEnd(&walk);
    if (error) break;
    if (FULL) {
      const u32 index = queue->freeRecord;
      PackedRecord *record = packedRecord(q->records, index);
      queue->freeRecord = record->next;
      record->capacity = walk.record->writableBytes;
      record->slots = (u16)slots;
      record->id = (u16)id;
      walk.record->handle = index | (queue->d.generation << HANDLE_SHIFT);
      queue->slotsInFlight += slots;
    } else {
      // Without records a handle carries what they would hold.
      walk.record->handle = id | (slots << HANDLE_SHIFT);
    }
    walk.record = (PopRecord *)walk.segment;
    position = next;
  }

  queue->nextAvail = position.slot;
  queue->availWrap = position.bits == availableBits(1);
  q->cursor = ptrOf(walk.record);
  queue->d.popped += done;
  walkFault(q, error, position.slot, done);
  return done;
}

/** Forgets the buffer with this handle, of which `len` bytes were written; its slots and id. */
INLINE Fault complete(PackedDevice *queue, u32 handle, u32 len, u32 *slots, u32 *id) {
  const u32 index = handle & HANDLE_RECORD;
  if (handle >> HANDLE_SHIFT != queue->d.generation || index >= queue->d.q.size) return R_NOT_IN_FLIGHT;
  PackedRecord *record = packedRecord(queue->d.q.records, index);
  *slots = record->slots;
  if (!*slots) return R_NOT_IN_FLIGHT;
  // A length may understate, never overstate.
  if (len > record->capacity) return R_LEN_OVER_CAPACITY;
  *id = record->id;
  record->slots = 0;
  record->next = queue->freeRecord;
  queue->freeRecord = index;
  return OK;
}

BURST u32 packedDeviceMarkAllUsed(u32 ptr, u32 popped, u32 count) {
  PackedDevice *queue = AT(PackedDevice, ptr);
  Queue *q = &queue->d.q;
  q->refusal = OK;
  if (q->state != QUEUE_LIVE) return 0;
  PopRecord *record = AT(PopRecord, popped);
  u32 slot = queue->nextUsed;
  u32 bits = usedBits(queue->usedWrap);
  u32 covered = 0;
  u32 elements = 1;

  u32 done = 0;
  for (; done < count; done++) {
    const u32 len = FULL ? record->writableBytes : record->segment[0].len;
    u32 slots = record->handle >> HANDLE_SHIFT;
    u32 id = record->handle & HANDLE_RECORD;
    const Fault refusal = FULL ? complete(queue, record->handle, len, &slots, &id) : OK;
    if (refusal) {
      refuse(q, refusal, done);
      break;
    }
    // WRITE says whether anything was written.
    const u64 high = packedHigh(len, id, (len ? DESC_F_WRITE : 0) | bits);
    PackedDesc *desc = packedDesc(q->desc, slot);
    // As the driver looks at one slot only, holding the first one back holds the batch back.
    if (queue->held) {
      desc->high = high;
    } else {
      queue->held = ptrOf(desc);
      queue->heldHigh = high;
    }
    covered += slots;
    slot += slots;
    if (slot >= q->size) {
      slot -= q->size;
      bits ^= OWNER_BITS;
    }
    elements = predicted(elements, (u32)record->readable + record->writable);
    record = (PopRecord *)&record->segment[elements];
  }

  queue->nextUsed = slot;
  queue->usedWrap = bits != 0;
  queue->covered += covered;
  if (FULL) queue->slotsInFlight -= covered;
  q->cursor = ptrOf(record);
  queue->d.used += done;
  return done;
}

BURST u32 packedDevicePublishUsed(u32 ptr) {
  PackedDevice *queue = AT(PackedDevice, ptr);
  Queue *q = &queue->d.q;
  if (q->state != QUEUE_LIVE || !deviceRuns(q)) return 0;
  if (queue->held) {
    // The first descriptor's flags are stored after everything else of the batch.
    release64(&AT(PackedDesc, queue->held)->high, queue->heldHigh);
    queue->held = 0;
    queue->d.publishes++;
  }
  if (!FULL) return 0;
  const u32 event = acquire32(AT(U32View, q->driverArea));
  const u32 interrupt = packedNotifies(q, event, queue->nextUsed, queue->usedWrap, queue->covered);
  queue->covered = 0;
  queue->d.interrupts += interrupt;
  return interrupt;
}

BURST u32 packedDeviceArm(u32 ptr, u32 after) {
  const PackedDevice *queue = AT(PackedDevice, ptr);
  const Queue *q = &queue->d.q;
  if (q->state != QUEUE_LIVE) return 0;
  release32(AT(U32View, q->deviceArea), packedEvent(q, queue->nextAvail, queue->availWrap, after));
  const u64 high = acquire64(&packedDesc(q->desc, queue->nextAvail)->high);
  return (flagsOf(high) & OWNER_BITS) == availableBits(queue->availWrap);
}
