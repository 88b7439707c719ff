// The one memory: a static array, and u32 offsets into it for addresses, as in the engine.

#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define MEMORY_BYTES (64u << 20)

// Both halves, the allocator and the set-up look at the same bytes through different structures,
// so a view may alias any other.
#define VIEW __attribute__((may_alias))

// A function that the engine exports is called once a burst; what it is made of is part of it.
#define BURST __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))

// Hidden, because an access to a symbol that a library could replace takes one more load.
extern u8 memory[MEMORY_BYTES] __attribute__((visibility("hidden")));

typedef u16 VIEW U16View;
typedef u32 VIEW U32View;
typedef u64 VIEW U64View;

/** The place at `ptr` seen as a structure. */
#define AT(type, ptr) ((type *)(memory + (u32)(ptr)))

INLINE u32 load16(u32 ptr) { return *AT(U16View, ptr); }
INLINE u32 load32(u32 ptr) { return *AT(U32View, ptr); }
INLINE u64 load64(u32 ptr) { return *AT(U64View, ptr); }
INLINE void store16(u32 ptr, u32 value) { *AT(U16View, ptr) = (u16)value; }
INLINE void store32(u32 ptr, u32 value) { *AT(U32View, ptr) = value; }
INLINE void store64(u32 ptr, u64 value) { *AT(U64View, ptr) = value; }

// Publishing and observing across halves. One thread runs both here, as in the engine's private
// memory, so there is no full barrier between publishing and asking whether the peer wants to know.
INLINE void release16(u32 ptr, u32 value) { __atomic_store_n(AT(U16View, ptr), (u16)value, __ATOMIC_RELEASE); }
INLINE void release32(u32 ptr, u32 value) { __atomic_store_n(AT(U32View, ptr), value, __ATOMIC_RELEASE); }
INLINE void release64(u32 ptr, u64 value) { __atomic_store_n(AT(U64View, ptr), value, __ATOMIC_RELEASE); }
INLINE u32 acquire16(u32 ptr) { return __atomic_load_n(AT(U16View, ptr), __ATOMIC_ACQUIRE); }
INLINE u32 acquire32(u32 ptr) { return __atomic_load_n(AT(U32View, ptr), __ATOMIC_ACQUIRE); }
INLINE u64 acquire64(u32 ptr) { return __atomic_load_n(AT(U64View, ptr), __ATOMIC_ACQUIRE); }

INLINE u32 min32(u32 a, u32 b) { return a < b ? a : b; }

/** Sums of 32-bit lengths are exact in 64 bits; a capacity of 4 GiB and more counts as 4 GiB - 1. */
INLINE u32 saturate32(u64 value) { return value > UINT32_MAX ? UINT32_MAX : (u32)value; }

#endif
