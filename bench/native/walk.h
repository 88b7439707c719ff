// What both device halves do with one element of a buffer: check it, and stage it.

#ifndef WALK_H
#define WALK_H

#include "ring.h"

/** One buffer on its way to the staging area. */
typedef struct {
  /** The window is compared from memory: registers are few. */
  const Space *space;
  PopRecord *record;
  /** Where the next Segment goes. */
  Segment *segment;
  /** DESC_F_WRITE from the first writable element on, where its Segment is, and the bytes before it. */
  u32 direction;
  Segment *writable;
  u64 readableBytes;
  /** Bytes of all elements. */
  u64 bytes;
} Walk;

/** Last place in [out, out + bytes) at which a record of the longest chain starts; none is before `out`. */
INLINE PopRecord *lastRecord(u32 out, u32 bytes, u32 maxChain) {
  const u32 longest = sizeof(PopRecord) + maxChain * (u32)sizeof(Segment);
  return AT(PopRecord, bytes < longest ? out - 1 : out + bytes - longest);
}

INLINE void walkStart(Walk *walk) {
  walk->segment = walk->record->segment;
  walk->direction = 0;
  walk->bytes = 0;
}

INLINE Fault walkElement(Walk *walk, u64 addr, u32 len, u32 flags) {
  // An element without bytes is skipped.
  if (!len) return OK;
  if (!inWindow(walk->space, addr, len)) return E_BUFFER_ADDRESS;
  if (FULL) {
    if ((flags ^ walk->direction) & DESC_F_WRITE) {
      if (walk->direction) return E_READABLE_AFTER_WRITABLE;
      walk->direction = DESC_F_WRITE;
      walk->writable = walk->segment;
      walk->readableBytes = walk->bytes;
    }
    walk->bytes += len;
  }
  *walk->segment++ = (Segment){placeOf(walk->space, addr), len};
  return OK;
}

/** Checks the buffer as a whole and stages the rest of its record. */
INLINE Fault walkEnd(Walk *walk) {
  PopRecord *record = walk->record;
  if (!FULL) {
    record->readable = (u16)(walk->segment - record->segment);
    record->writable = 0;
    return OK;
  }
  if (walk->bytes > MAX_BUFFER_BYTES) return E_CHAIN_BYTES;
  if (!walk->direction) {
    walk->writable = walk->segment;
    walk->readableBytes = walk->bytes;
  }
  record->readable = (u16)(walk->writable - record->segment);
  record->writable = (u16)(walk->segment - walk->writable);
  record->readableBytes = (u32)walk->readableBytes;
  record->writableBytes = saturate32(walk->bytes - walk->readableBytes);
  return OK;
}

/** What is wrong with a table, besides what refers to it. */
INLINE Fault tableError(const Queue *q, u64 addr, u32 len) {
  if (!len || len & 15 || len >> 4 > q->size) return E_TABLE_LENGTH;
  if (!inWindow(&q->space, addr, len)) return E_TABLE_ADDRESS;
  return OK;
}

/** Ends a burst: what broke a rule breaks the queue. */
INLINE void walkFault(Queue *q, Fault error, u32 index, u32 done) {
  if (error == R_STAGING_SIZE) {
    // What does not fit any more waits for the next burst; what never fits is the caller's mistake.
    if (!done) refuse(q, R_STAGING_SIZE, index);
  } else if (error) {
    breakQueue(q, error, index);
  }
}

#endif
