// Where an indirect table comes from and goes back to. A taken table is a 16-byte aligned pointer
// with tag bits. `source` is a constant where these are inlined.

#ifndef TABLES_H
#define TABLES_H

#include "ring.h"

/** Goes back to the heap, whatever the source. */
enum { TABLE_FROM_HEAP = 1, TABLE_MISS = 2, TABLE_TAGS = 15 };

// A free list as a LIFO stack in private memory, because the device could write a link inside what
// is listed.
typedef struct VIEW {
  u32 count;
  u32 capacity;
  u32 entry[];
} Stack;

INLINE u32 tablePtr(u32 table) { return table & ~(u32)TABLE_TAGS; }

INLINE u32 stackTake(Stack *stack) {
  const u32 count = stack->count;
  if (!count) return 0;
  stack->count = count - 1;
  return stack->entry[count - 1];
}

/** The caller never puts more than the capacity: what is listed was taken before. */
INLINE void stackPut(Stack *stack, u32 entry) {
  const u32 count = stack->count;
  stack->entry[count] = entry;
  stack->count = count + 1;
}

/** A table for `n` elements, for the buffer in ring slot or with buffer id `slot`; 0 for none. */
INLINE u32 tableTake(const DriverQueue *queue, Source source, u32 n, u32 slot) {
  if (source != TABLES_HEAP && n <= queue->threshold) {
    if (source == TABLES_SLOT) return queue->tables + slot * queue->tableBytes;
    const u32 table = stackTake(AT(Stack, queue->stack));
    if (table) return table;
  }
  const u32 table = tlsfTake(queue->heap, n * (u32)sizeof(Desc));
  return table ? table | (TABLE_FROM_HEAP | TABLE_MISS) : 0;
}

INLINE void tableGive(const DriverQueue *queue, Source source, u32 table) {
  if (source == TABLES_HEAP || table & TABLE_FROM_HEAP) {
    tlsfGive(queue->heap, tablePtr(table));
  } else if (source == TABLES_FREELIST) {
    stackPut(AT(Stack, queue->stack), table);
  }
}

/** What a burst of adds did with tables, until it is added to the queue's counters. */
typedef struct {
  u32 takes;
  u32 misses;
  u32 heapFalls;
  u32 directFalls;
} TableCounts;

INLINE void countTake(TableCounts *counts, Source source, u32 table) {
  counts->takes++;
  counts->misses += table & TABLE_MISS;
  if (source != TABLES_HEAP) counts->heapFalls += table & TABLE_FROM_HEAP;
}

INLINE void countTables(DriverQueue *queue, const TableCounts *counts) {
  queue->tableTakes += counts->takes;
  queue->tableHits += counts->takes - counts->misses / TABLE_MISS;
  queue->heapFalls += counts->heapFalls;
  queue->directFalls += counts->directFalls;
  queue->liveTables += counts->takes;
  if (queue->liveTables > queue->highWater) queue->highWater = queue->liveTables;
}

/** Fills the cache of a queue that is being enabled, last table first, so that the first is taken first. */
INLINE void tablesEnable(DriverQueue *queue) {
  queue->tableBytes = queue->threshold * (u32)sizeof(Desc);
  if (queue->source != TABLES_FREELIST) return;
  Stack *stack = AT(Stack, queue->stack);
  stack->count = 0;
  stack->capacity = queue->q.size;
  for (u32 at = queue->q.size; at > 0; at--) stackPut(stack, queue->tables + (at - 1) * queue->tableBytes);
}

#endif
