// Both halves of one queue in one loop, for the cost of the rings alone.

#ifndef LOOP_H
#define LOOP_H

#include "ring.h"

enum { RING_SIZE = 256, BATCH = 32, PASS = 1024, MAX_SGS = 4, HEADER_BYTES = 12, DATA_BYTES = 1024 };

typedef enum { SPLIT, PACKED, FORMATS } Format;

/** One queue, set up and enabled, with a pass of packets staged for it. */
typedef struct {
  Format format;
  Source source;
  u32 sgs;
  u32 driver;
  u32 device;
  u32 stream;
  /** Staging areas: what was popped, its bytes, and what was reclaimed. */
  u32 popped;
  u32 poppedBytes;
  u32 reclaimed;
  /** The allocator's control block. */
  u32 heap;
} Loop;

/**
 * Lays queue number `index` and its packets of `sgs` elements: 12 readable bytes, then 1024 writable
 * bytes each. All buffers start on a 4 KiB boundary, or are skewed over the sets of the cache.
 */
Loop loopInit(u32 index, Format format, Source source, u32 sgs, bool aligned);

/** Lays a queue of `size` entries, and the place for a pass of packets, from `start` on, where all is 0. */
Loop loopLay(u32 start, Format format, Source source, u32 sgs, u32 size);

/** Drives one pass through the queue: add, publish, pop, mark used, publish, reclaim; how many came back. */
u32 loopPass(const Loop *loop);

/**
 * Drives one more pass, untimed, and compares what is popped and reclaimed with what was staged; then
 * looks for what is still in flight or taken. `packets` have been driven before. NULL, or what is wrong.
 */
const char *loopCheck(const Loop *loop, u64 packets);

/** A heap and two buffers for the other measures, clear of all queues. */
extern const u32 spareControl;
extern const u32 spareRegion;
enum { SPARE_BYTES = 1 << 20 };

/** From here to the end of the memory it is a host's. */
extern const u32 hostRegion;

#endif
