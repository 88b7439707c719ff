// Packed virtqueue (2.8): one ring that both halves write in turn, and an event structure each.
//
//   desc[Q]        both     16 bytes each: addr le64, len le32, id le16, flags le16
//   driver area    driver   Driver Event Suppression: desc le16, flags le16
//   device area    device   Device Event Suppression: desc le16, flags le16

#ifndef PACKED_H
#define PACKED_H

#include "ring.h"

enum { EVENT_FLAGS_ENABLE, EVENT_FLAGS_DISABLE, EVENT_FLAGS_DESC };
enum { EVENT_BYTES = 4 };

/** Both ownership bits; flipping a wrap counter flips both in what it marks. */
enum { OWNER_BITS = DESC_F_AVAIL | DESC_F_USED };

/** The ownership bits of a descriptor that is available, or used, in a lap with this wrap counter. */
INLINE u32 availableBits(u32 wrap) { return wrap ? DESC_F_AVAIL : DESC_F_USED; }
INLINE u32 usedBits(u32 wrap) { return wrap ? OWNER_BITS : 0; }

/** A descriptor, in the ring or in a table. */
typedef struct VIEW {
  u64 addr;
  union {
    struct {
      u32 len;
      u16 id;
      u16 flags;
    };
    /** All but the address, stored as one: the flags hand the descriptor over. */
    u64 high;
  };
} PackedDesc;

INLINE PackedDesc *packedDesc(u32 table, u32 index) { return AT(PackedDesc, table + (index << 4)); }

INLINE u64 packedHigh(u64 len, u64 id, u64 flags) { return len | (id << 32) | (flags << 48); }

// What is in a high word that was loaded as one.
INLINE u32 flagsOf(u64 high) { return (u32)(high >> 48); }
INLINE u32 idOf(u64 high) { return (u32)(high >> 32) & 0xffff; }

/** A place in the ring, and the ownership bits of a descriptor that is available there. */
typedef struct {
  u32 slot;
  u32 bits;
} Position;

/** On to the next slot, or to the first of the next lap. */
INLINE void step(Position *position, u32 size) {
  if (++position->slot == size) {
    position->slot = 0;
    position->bits ^= OWNER_BITS;
  }
}

/**
 * The `covered` slots before (slot, wrap) were made available or used since the last decision;
 * whether the peer, who asked with `event`, wants to be told.
 */
INLINE u32 packedNotifies(const Queue *queue, u32 event, u32 slot, u32 wrap, u32 covered) {
  const u32 mode = (event >> 16) & 3;
  if (mode == EVENT_FLAGS_DISABLE) return 0;
  if (mode != EVENT_FLAGS_DESC || !(queue->flags & QUEUE_F_EVENT_IDX)) return covered != 0;
  const u32 offset = event & 0x7fff;
  const u32 back = ((event >> 15) & 1) == wrap ? slot - offset : slot + queue->size - offset;
  // As unsigned, 0 and every negative value end up above any `covered`.
  return back - 1 < covered;
}

/** The event structure that asks to be told `after` slots past (slot, wrap). */
INLINE u32 packedEvent(const Queue *queue, u32 slot, u32 wrap, u32 after) {
  if (!(queue->flags & QUEUE_F_EVENT_IDX)) return EVENT_FLAGS_ENABLE << 16;
  u32 event = slot + min32(after, queue->size - 1);
  if (event >= queue->size) {
    event -= queue->size;
    wrap ^= 1;
  }
  return event | (wrap << 15) | (EVENT_FLAGS_DESC << 16);
}

typedef struct VIEW {
  DriverQueue d;
  /** Next slot to be made available, and the wrap counter of its lap. */
  u32 nextAvail;
  u32 availWrap;
  /** Next slot in which a used descriptor is looked for, and the wrap counter of its lap. */
  u32 nextUsed;
  u32 usedWrap;
  /** Slots made available since the last kick decision. */
  u32 covered;
  /**
   * The first head since the last publish, 0 for none, and the high word that makes it available: as
   * the device looks at one slot only, holding this one back holds the batch back.
   */
  u32 held;
  u64 heldHigh;
} PackedDriver;

// The device's shadow record, one for each buffer in flight, from a free list of their own, because
// a driver's buffer ids are any 16 bits.
typedef struct VIEW {
  u32 capacity;
  /** 0 when free. */
  u16 slots;
  u16 id;
  u32 next;
  u32 pad;
} PackedRecord;

typedef struct VIEW {
  DeviceQueue d;
  /** Next slot to pop, and the wrap counter of its lap. */
  u32 nextAvail;
  u32 availWrap;
  /** Next slot for a used descriptor, and the wrap counter of its lap. */
  u32 nextUsed;
  u32 usedWrap;
  /** Slots popped and not yet used again: never more than the ring has. */
  u32 slotsInFlight;
  u32 freeRecord;
  /** Slots used since the last interrupt decision. */
  u32 covered;
  /** The first used descriptor since the last publish, 0 for none, and its high word. */
  u32 held;
  u64 heldHigh;
} PackedDevice;

/** Puts a half to work on cleared rings at the places in its control block. */
void packedDriverEnable(u32 ptr);
void packedDeviceEnable(u32 ptr);

/** Adds up to `count` buffers staged at `stream` without publishing them; how many. */
u32 packedDriverAdd(u32 ptr, u32 stream, u32 count);

/** Shows the device what was added; whether it wants a kick. */
u32 packedDriverPublish(u32 ptr);

/** Takes back up to `max` used buffers as {token, len} records at `out`; how many. */
u32 packedDriverReclaim(u32 ptr, u32 out, u32 max);

/** Asks for an interrupt once `after` more slots are used; whether the next one is already. */
u32 packedDriverArm(u32 ptr, u32 after);

/** Pops up to `max` buffers as records at [out, out + bytes); how many. */
u32 packedDevicePop(u32 ptr, u32 out, u32 bytes, u32 max);

/** Marks `count` popped buffers at `popped` used, each with its whole writable capacity; how many. */
u32 packedDeviceMarkAllUsed(u32 ptr, u32 popped, u32 count);

/** Shows the driver what was used; whether it wants an interrupt. */
u32 packedDevicePublishUsed(u32 ptr);

/** Asks for a kick once `after` more slots are available; whether the next one is already. */
u32 packedDeviceArm(u32 ptr, u32 after);

#endif
