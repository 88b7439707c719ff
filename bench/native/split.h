// Split virtqueue (2.7): three parts, each with one writer.
//
//   desc[Q]      driver   16 bytes each: addr le64, len le32, flags le16, next le16
//   avail        driver   flags le16, idx le16, ring[Q] le16, used_event le16
//   used         device   flags le16, idx le16, ring[Q] { id le32, len le32 }, avail_event le16

#ifndef SPLIT_H
#define SPLIT_H

#include "ring.h"

typedef struct VIEW {
  u16 flags;
  u16 idx;
  /** Behind the ring lies used_event. */
  u16 ring[];
} Avail;

typedef struct VIEW {
  u32 id;
  u32 len;
} UsedElement;

typedef struct VIEW {
  u16 flags;
  u16 idx;
  /** Behind the ring lies avail_event. */
  UsedElement ring[];
} Used;

INLINE u32 splitAvailBytes(u32 size) { return 6 + 2 * size; }
INLINE u32 splitUsedBytes(u32 size) { return 6 + 8 * size; }
INLINE Avail *availOf(const Queue *q) { return AT(Avail, q->driverArea); }
INLINE Used *usedOf(const Queue *q) { return AT(Used, q->deviceArea); }
INLINE U16View *usedEvent(const Queue *q) { return &availOf(q)->ring[q->size]; }
INLINE U16View *availEvent(const Queue *q) { return (U16View *)&usedOf(q)->ring[q->size]; }

/** A descriptor, in the ring or in a table. */
typedef struct VIEW {
  u64 addr;
  union {
    struct {
      u32 len;
      u16 flags;
      u16 next;
    };
    /** All but the address, stored as one. */
    u64 high;
  };
} SplitDesc;

INLINE SplitDesc *splitDesc(u32 table, u32 index) { return AT(SplitDesc, table + (index << 4)); }

INLINE u64 splitHigh(u64 len, u64 flags, u64 next) { return len | (flags << 32) | (next << 48); }

/** Entries old .. now-1 were written since the last decision; whether entry `event` is among them. */
INLINE bool splitEventCrossed(u32 event, u32 now, u32 old) { return ahead(now - 1, event) < ahead(now, old); }

typedef struct VIEW {
  DriverQueue d;
  u32 mask;
  /** avail.idx as the next publish will store it, and as the last one did. */
  u32 availIdx;
  u32 published;
  /** avail.idx at the last kick decision. */
  u32 kickIdx;
  /** used.idx up to which buffers were reclaimed. */
  u32 lastUsed;
} SplitDriver;

// The device's shadow record, one for each descriptor that can be a head.
typedef struct VIEW {
  /** Bytes that may be written. */
  u32 capacity;
  /** 1 from pop to mark used. */
  u32 inFlight;
} SplitRecord;

typedef struct VIEW {
  DeviceQueue d;
  u32 mask;
  /** avail.idx up to which buffers were popped. */
  u32 lastAvail;
  /** used.idx as the next publish will store it, and as the last one did. */
  u32 usedIdx;
  u32 published;
  /** used.idx at the last interrupt decision. */
  u32 interruptIdx;
} SplitDevice;

/** Puts a half to work on cleared rings at the places in its control block. */
void splitDriverEnable(u32 ptr);
void splitDeviceEnable(u32 ptr);

/** Adds up to `count` buffers staged at `stream` without publishing them; how many. */
u32 splitDriverAdd(u32 ptr, u32 stream, u32 count);

/** Shows the device what was added; whether it wants a kick. */
u32 splitDriverPublish(u32 ptr);

/** Takes back up to `max` used buffers as {token, len} records at `out`; how many. */
u32 splitDriverReclaim(u32 ptr, u32 out, u32 max);

/** Asks for an interrupt once `after` more buffers are used; whether so many are already. */
u32 splitDriverArm(u32 ptr, u32 after);

/** Pops up to `max` buffers as records at [out, out + bytes); how many. */
u32 splitDevicePop(u32 ptr, u32 out, u32 bytes, u32 max);

/** Marks `count` popped buffers at `popped` used, each with its whole writable capacity; how many. */
u32 splitDeviceMarkAllUsed(u32 ptr, u32 popped, u32 count);

/** Shows the driver what was used; whether it wants an interrupt. */
u32 splitDevicePublishUsed(u32 ptr);

/** Asks for a kick once `after` more buffers are available; whether so many are already. */
u32 splitDeviceArm(u32 ptr, u32 after);

#endif
