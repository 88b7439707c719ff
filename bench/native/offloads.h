// The network offloads' yardsticks: what a checksum and a Toeplitz hash cost in C.

#ifndef OFFLOADS_H
#define OFFLOADS_H

#include "memory.h"

enum { TOEPLITZ_INPUT_BYTES = 36, TOEPLITZ_TABLE_BYTES = TOEPLITZ_INPUT_BYTES << 10 };

/** The one's complement sum of `bytes` at `ptr`, as 32-bit words and what is left; not folded. */
u64 checksumAdd(u64 sum, u32 ptr, u32 bytes);

/** The 16 bits of a sum; not inverted. */
u32 checksumFold(u64 sum);

/** Prepares the table for a key: for each of 36 positions and each byte there, what is xored. */
void toeplitzPrepare(u32 key, u32 keyBytes, u32 table);

/** The hash of `bytes` of input. */
u32 toeplitzHash(u32 table, u32 input, u32 bytes);

#endif
