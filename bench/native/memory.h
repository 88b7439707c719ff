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

/** The u32 offset of a place. */
INLINE u32 ptrOf(const void *place) { return (u32)((const u8 *)place - memory); }

// What the peer may write is fetched once: an atomic load, because from a plain one the compiler may
// make two, and the peer could change the value between them.
INLINE u32 fetch16(const U16View *field) { return __atomic_load_n(field, __ATOMIC_RELAXED); }
INLINE u32 fetch32(const U32View *field) { return __atomic_load_n(field, __ATOMIC_RELAXED); }
INLINE u64 fetch64(const U64View *field) { return __atomic_load_n(field, __ATOMIC_RELAXED); }

// Publishing and observing across halves. One thread runs both here, as in the engine's private
// memory, so there is no full barrier between publishing and asking whether the peer wants to know.
INLINE void release16(U16View *field, u32 value) { __atomic_store_n(field, (u16)value, __ATOMIC_RELEASE); }
INLINE void release32(U32View *field, u32 value) { __atomic_store_n(field, value, __ATOMIC_RELEASE); }
INLINE void release64(U64View *field, u64 value) { __atomic_store_n(field, value, __ATOMIC_RELEASE); }
INLINE u32 acquire16(const U16View *field) { return __atomic_load_n(field, __ATOMIC_ACQUIRE); }
INLINE u32 acquire32(const U32View *field) { return __atomic_load_n(field, __ATOMIC_ACQUIRE); }
INLINE u64 acquire64(const U64View *field) { return __atomic_load_n(field, __ATOMIC_ACQUIRE); }

/**
 * `value`, for which `guess` is a good guess. Where each element of a list says how far it is to the next, a
 * burst is one chain of dependent loads; with a branch that is predicted well the processor goes on with
 * the guess instead. The compiler must neither make a conditional move of it nor see that both are equal.
 */
INLINE u32 predicted(u32 guess, u32 value) {
  u32 same = guess;
  __asm__("" : "+r"(same));
  if (same != value) {
    guess = value;
    __asm__("" : "+r"(guess));
  }
  return guess;
}

INLINE u32 min32(u32 a, u32 b) { return a < b ? a : b; }

/** Sums of 32-bit lengths are exact in 64 bits; a capacity of 4 GiB and more counts as 4 GiB - 1. */
INLINE u32 saturate32(u64 value) { return value > UINT32_MAX ? UINT32_MAX : (u32)value; }

#endif
