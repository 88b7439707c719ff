// A general-purpose allocator: two-level segregated fit over a region of its own.

#ifndef TLSF_H
#define TLSF_H

#include "memory.h"

/** Bytes of the control block. */
u32 tlsfControlBytes(void);

/** Smallest region that holds `count` live blocks of `bytes` each. */
u32 tlsfRegionBytes(u32 count, u32 bytes);

/** Lays one free block over [ptr, ptr + bytes). */
void tlsfInit(u32 control, u32 ptr, u32 bytes);

/** Takes `bytes`; 0 when nothing of that size is left. The payload is 16-byte aligned. */
u32 tlsfTake(u32 control, u32 bytes);

/** Gives back what `tlsfTake` returned. */
void tlsfGive(u32 control, u32 ptr);

/** Blocks that are taken, counted by walking the region. */
u32 tlsfLiveBlocks(u32 control);

#endif
