#include "offloads.h"

BURST u64 checksumAdd(u64 sum, u32 ptr, u32 bytes) {
  const u32 words = bytes / 4;
  const U32View *word = AT(U32View, ptr);
  // The compiler makes vectors of this loop, as wide as the machine has them.
  for (u32 i = 0; i < words; i++) sum += word[i];
  ptr += words * 4;
  if (bytes & 2) {
    sum += *AT(U16View, ptr);
    ptr += 2;
  }
  if (bytes & 1) sum += *AT(u8, ptr);
  return sum;
}

u32 checksumFold(u64 sum) {
  const u32 half = (u32)((sum + (sum >> 32 | sum << 32)) >> 32);
  return (half + (half >> 16 | half << 16)) >> 16;
}

void toeplitzPrepare(u32 key, u32 keyBytes, u32 table) {
  for (u32 at = 0; at < TOEPLITZ_INPUT_BYTES; at++) {
    u64 window = 0;
    for (u32 i = at; i < at + 5; i++) window = window << 8 | (i < keyBytes ? *AT(u8, key + i) : 0);
    U32View *part = AT(U32View, table + (at << 10));
    part[0] = 0;
    for (u32 byte = 1; byte < 256; byte++) {
      part[byte] = part[byte & (byte - 1)] ^ (u32)(window >> (1 + __builtin_ctz(byte)));
    }
  }
}

// Left to itself gcc gathers whole vectors from the table, which is slower than one word after the other.
__attribute__((optimize("no-tree-vectorize"))) BURST u32 toeplitzHash(u32 table, u32 input, u32 bytes) {
  u32 hash = 0;
  const U32View *part = AT(U32View, table);
  const u32 end = input + bytes;
  for (; end - input >= 4; input += 4) {
    const u32 word = *AT(U32View, input);
    hash ^= part[word & 0xff];
    hash ^= part[256 + (word >> 8 & 0xff)];
    hash ^= part[512 + (word >> 16 & 0xff)];
    hash ^= part[768 + (word >> 24)];
    part += 1024;
  }
  for (; input < end; input++) {
    hash ^= part[*AT(u8, input)];
    part += 256;
  }
  return hash;
}
