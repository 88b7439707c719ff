// Where an indirect table comes from and goes back to. A taken table is a 16-byte aligned pointer
// with a tag bit. `source` is a constant where these are inlined.

#ifndef TABLES_H
#define TABLES_H

#include "ring.h"

/** A table with TABLE_FROM_HEAP goes back to the heap, whatever the source. */
enum { TABLE_FROM_HEAP = 1, TABLE_TAGS = 15 };

// A free list as a LIFO stack in private memory, because the device could write a link inside what
// is listed.
typedef struct VIEW {
  u32 count;
  u32 capacity;
  u32 entry[];
} Stack;

INLINE u32 tablePtr(u32 table) { return table & ~(u32)TABLE_TAGS; }

/** A table for `n` elements, for the buffer in ring slot or with buffer id `slot`; 0 for none. */
INLINE u32 tableTake(DriverQueue *queue, Source source, u32 *listed, u32 n, u32 slot) {
  if (source != TABLES_HEAP && n <= queue->threshold) {
    if (source == TABLES_SLOT) return queue->tables + slot * queue->tableBytes;
    if (*listed) return AT(Stack, queue->stack)->entry[--*listed];
  }
  const u32 table = tlsfTake(queue->heap, n * DESC_BYTES);
  if (!table) return 0;
  if (source != TABLES_HEAP) queue->heapFalls++;
  return table | TABLE_FROM_HEAP;
}

/** What is listed was taken before, so there is always room for it. */
INLINE void tableGive(const DriverQueue *queue, Source source, u32 *listed, u32 table) {
  if (source == TABLES_HEAP || table & TABLE_FROM_HEAP) {
    tlsfGive(queue->heap, tablePtr(table));
  } else if (source == TABLES_FREELIST) {
    AT(Stack, queue->stack)->entry[(*listed)++] = table;
  }
}

// A burst keeps the number of listed tables in a register.
INLINE u32 tablesListed(const DriverQueue *queue, Source source) {
  return source == TABLES_FREELIST ? AT(Stack, queue->stack)->count : 0;
}

INLINE void tablesList(const DriverQueue *queue, Source source, u32 listed) {
  if (source == TABLES_FREELIST) AT(Stack, queue->stack)->count = listed;
}

/** Counts `takes` tables, of which those from the heap were no hits. */
INLINE void countTables(DriverQueue *queue, Source source, u32 takes, u64 heapFallsBefore) {
  queue->tableTakes += takes;
  if (source != TABLES_HEAP) queue->tableHits += takes - (queue->heapFalls - heapFallsBefore);
  queue->liveTables += takes;
  if (queue->liveTables > queue->highWater) queue->highWater = queue->liveTables;
}

/** Fills the cache of a queue that is being enabled, last table first, so that the first is taken first. */
INLINE void tablesEnable(DriverQueue *queue) {
  queue->tableBytes = queue->threshold * DESC_BYTES;
  if (queue->source != TABLES_FREELIST) return;
  Stack *stack = AT(Stack, queue->stack);
  stack->count = 0;
  stack->capacity = queue->q.size;
  for (u32 at = queue->q.size; at > 0; at--) {
    stack->entry[stack->count++] = queue->tables + (at - 1) * queue->tableBytes;
  }
}

#endif
