// Two-level segregated fit (Masmano, Ripoll, Crespo, Real 2004), as assembly/mem/tlsf.ts has it.
//
// A block, 16-byte aligned at its payload; sizes count the header and are multiples of 16:
//
//   | size, FREE | previous block | payload ...            |   taken
//   | size, FREE | previous block | next free | prev free ..|   free
//   8 bytes of header              16-byte aligned
//
// The region starts with a block and ends with a taken block of size 0, so that neither
// neighbour of a block ever needs a special case.

#include "registers.h"

#include <string.h>

#include "tlsf.h"

enum {
  ALIGN_BITS = 4,
  ALIGN = 1 << ALIGN_BITS,
  ALIGN_MASK = ALIGN - 1,
  HEADER = 8,
  FREE = 1,
  // The first level halves the sizes by powers of two, the second cuts each into 16. Below 256
  // bytes the first level is one list for each multiple of 16.
  SL_BITS = 4,
  SL_SIZE = 1 << SL_BITS,
  SMALL_BITS = SL_BITS + ALIGN_BITS,
  SMALL = 1 << SMALL_BITS,
  FL_SIZE = 32 - SMALL_BITS + 1,
  // Larger requests could not be rounded up to a list in 32 bits.
  MAX_SIZE = 1 << 30,
};

typedef struct VIEW {
  /** Bytes of the block, header included; bit 0 says that it is free. */
  u32 sizeAndFree;
  /** The block just below, whatever its state; 0 for the first. */
  u32 previous;
  u32 nextFree;
  u32 prevFree;
} Block;

typedef struct VIEW {
  u32 first;
  u32 end;
  /** Bit f: some second-level list of first level f is not empty. */
  u32 flMap;
  u32 pad;
  u32 slMap[FL_SIZE];
  u32 head[FL_SIZE][SL_SIZE];
} Tlsf;

INLINE Block *blockAt(u32 ptr) { return AT(Block, ptr); }
INLINE u32 clz(u32 value) { return (u32)__builtin_clz(value); }
INLINE u32 ctz(u32 value) { return (u32)__builtin_ctz(value); }

INLINE u32 blockSize(u32 bytes) { return (bytes + HEADER + ALIGN_MASK) & ~(u32)ALIGN_MASK; }

INLINE u32 flOf(u32 size) { return size < SMALL ? 0 : 31 - clz(size) - (SMALL_BITS - 1); }

INLINE u32 slOf(u32 size, u32 fl) {
  return fl == 0 ? size >> ALIGN_BITS : (size >> (fl + (ALIGN_BITS - 1))) ^ SL_SIZE;
}

INLINE void insert(Tlsf *tlsf, u32 ptr, u32 size) {
  const u32 fl = flOf(size);
  const u32 sl = slOf(size, fl);
  const u32 next = tlsf->head[fl][sl];
  Block *block = blockAt(ptr);
  block->sizeAndFree = size | FREE;
  block->nextFree = next;
  block->prevFree = 0;
  if (next) blockAt(next)->prevFree = ptr;
  tlsf->head[fl][sl] = ptr;
  tlsf->flMap |= 1u << fl;
  tlsf->slMap[fl] |= 1u << sl;
}

INLINE void unlinkBlock(Tlsf *tlsf, const Block *block, u32 fl, u32 sl) {
  const u32 next = block->nextFree;
  const u32 prev = block->prevFree;
  if (next) blockAt(next)->prevFree = prev;
  if (prev) {
    blockAt(prev)->nextFree = next;
    return;
  }
  tlsf->head[fl][sl] = next;
  if (next) return;
  const u32 slMap = tlsf->slMap[fl] & ~(1u << sl);
  tlsf->slMap[fl] = slMap;
  if (!slMap) tlsf->flMap &= ~(1u << fl);
}

INLINE void removeBlock(Tlsf *tlsf, u32 ptr, u32 size) {
  const u32 fl = flOf(size);
  unlinkBlock(tlsf, blockAt(ptr), fl, slOf(size, fl));
}

u32 tlsfControlBytes(void) { return sizeof(Tlsf); }

u32 tlsfRegionBytes(u32 count, u32 bytes) { return count * blockSize(bytes) + 4 * ALIGN; }

void tlsfInit(u32 control, u32 ptr, u32 bytes) {
  Tlsf *tlsf = AT(Tlsf, control);
  memset(memory + control, 0, sizeof(Tlsf));
  // A payload is 16-byte aligned, so a header is 8 bytes past a multiple of 16.
  const u32 first = ((ptr + HEADER + ALIGN_MASK) & ~(u32)ALIGN_MASK) - HEADER;
  const u32 end = ((ptr + bytes) & ~(u32)ALIGN_MASK) - HEADER;
  tlsf->first = first;
  tlsf->end = end;
  blockAt(first)->previous = 0;
  blockAt(end)->sizeAndFree = 0;
  blockAt(end)->previous = first;
  insert(tlsf, first, end - first);
}

BURST u32 tlsfTake(u32 control, u32 bytes) {
  Tlsf *tlsf = AT(Tlsf, control);
  if (bytes > MAX_SIZE) return 0;
  const u32 size = blockSize(bytes);

  // Search from the first list in which every block is large enough.
  u32 fl = 0;
  u32 sl = size >> ALIGN_BITS;
  if (size >= SMALL) {
    const u32 rounded = size + ((1u << (31 - clz(size) - SL_BITS)) - 1);
    fl = flOf(rounded);
    sl = slOf(rounded, fl);
  }
  u32 slMap = tlsf->slMap[fl] & (~0u << sl);
  if (!slMap) {
    const u32 flMap = tlsf->flMap & (~0u << (fl + 1));
    if (!flMap) return 0;
    fl = ctz(flMap);
    slMap = tlsf->slMap[fl];
  }
  sl = ctz(slMap);
  const u32 ptr = tlsf->head[fl][sl];
  Block *block = blockAt(ptr);
  const u32 whole = block->sizeAndFree & ~(u32)FREE;
  unlinkBlock(tlsf, block, fl, sl);

  const u32 rest = whole - size;
  if (rest >= ALIGN) {
    const u32 tail = ptr + size;
    blockAt(tail)->previous = ptr;
    blockAt(tail + rest)->previous = tail;
    insert(tlsf, tail, rest);
    block->sizeAndFree = size;
  } else {
    block->sizeAndFree = whole;
  }
  return ptr + HEADER;
}

BURST void tlsfGive(u32 control, u32 payload) {
  Tlsf *tlsf = AT(Tlsf, control);
  u32 ptr = payload - HEADER;
  u32 size = blockAt(ptr)->sizeAndFree;

  const u32 next = ptr + size;
  const u32 nextSize = blockAt(next)->sizeAndFree;
  if (nextSize & FREE) {
    const u32 bytes = nextSize & ~(u32)FREE;
    removeBlock(tlsf, next, bytes);
    size += bytes;
  }
  const u32 below = blockAt(ptr)->previous;
  if (below) {
    const u32 belowSize = blockAt(below)->sizeAndFree;
    if (belowSize & FREE) {
      const u32 bytes = belowSize & ~(u32)FREE;
      removeBlock(tlsf, below, bytes);
      size += bytes;
      ptr = below;
    }
  }
  blockAt(ptr + size)->previous = ptr;
  insert(tlsf, ptr, size);
}

u32 tlsfLiveBlocks(u32 control) {
  const Tlsf *tlsf = AT(Tlsf, control);
  u32 live = 0;
  for (u32 at = tlsf->first; at < tlsf->end;) {
    const u32 word = blockAt(at)->sizeAndFree;
    live += !(word & FREE);
    at += word & ~(u32)FREE;
  }
  return live;
}
