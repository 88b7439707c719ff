// What both formats and both halves share: names and numbers of virtio 1.4, the control blocks, the
// staging areas and the checks. The names are the engine's (assembly/), so that the two can be read
// side by side.

#ifndef RING_H
#define RING_H

#include "memory.h"
#include "tlsf.h"

// -DBARE leaves out what README.md lists; a constant rather than #ifdefs, so that both builds are compiled.
#ifdef BARE
enum { FULL = 0 };
#else
enum { FULL = 1 };
#endif

enum { DESC_F_NEXT = 1, DESC_F_WRITE = 2, DESC_F_INDIRECT = 4, DESC_F_AVAIL = 1 << 7, DESC_F_USED = 1 << 15 };
enum { STATUS_DRIVER_OK = 4, STATUS_NEEDS_RESET = 64 };
enum { QUEUE_STOPPED, QUEUE_LIVE, QUEUE_BROKEN };
enum { QUEUE_F_INDIRECT = 1, QUEUE_F_EVENT_IDX = 2 };

/** Where an indirect table comes from. */
typedef enum { TABLES_DIRECT, TABLES_HEAP, TABLES_FREELIST, TABLES_SLOT } Source;

/** Why a queue broke, or why a call was refused. */
typedef enum {
  OK,
  E_AVAIL_IDX,
  E_HEAD_RANGE,
  E_HEAD_IN_FLIGHT,
  E_NEXT_RANGE,
  E_CHAIN_TOO_LONG,
  E_CHAIN_BYTES,
  E_TABLE_LENGTH,
  E_TABLE_ADDRESS,
  E_BUFFER_ADDRESS,
  E_READABLE_AFTER_WRITABLE,
  E_INDIRECT_WITH_NEXT,
  E_NESTED_INDIRECT,
  E_INDIRECT_NOT_NEGOTIATED,
  E_INDIRECT_IN_LIST,
  E_RING_OVERRUN,
  E_USED_IDX,
  E_USED_ID_RANGE,
  E_USED_ID_NOT_OUTSTANDING,
  R_EMPTY_BUFFER,
  R_TOO_MANY_SGS,
  R_BUFFER_BYTES,
  R_NOT_IN_FLIGHT,
  R_LEN_OVER_CAPACITY,
  R_STAGING_SIZE,
} Fault;

/** Bytes of a descriptor, in the ring or in a table. */
enum { DESC_BYTES = 16 };

// Staging areas: records one after the other.
typedef struct VIEW {
  u32 ptr;
  u32 len;
} Segment;

/** A buffer to add. */
typedef struct VIEW {
  u32 token;
  u16 readable;
  u16 writable;
  Segment sg[];
} AddRecord;

/** A buffer that was popped. */
typedef struct VIEW {
  u32 handle;
  u16 readable;
  u16 writable;
  u32 readableBytes;
  u32 writableBytes;
  Segment segment[];
} PopRecord;

/** A buffer that was reclaimed. */
typedef struct VIEW {
  u32 token;
  /** Bytes that the device wrote. */
  u32 len;
} ReclaimRecord;

INLINE const AddRecord *afterAdd(const AddRecord *record, u32 n) { return (const AddRecord *)&record->sg[n]; }

INLINE PopRecord *afterPop(PopRecord *record) {
  return (PopRecord *)&record->segment[(u32)record->readable + record->writable];
}

/** The identity window through which the device half reaches memory. */
typedef struct VIEW {
  u64 base;
  u64 length;
  /** What to add to a place to get its bus address. */
  u64 delta;
} Space;

typedef struct VIEW {
  u32 status;
} Device;

/** What all four halves have in common. */
typedef struct VIEW {
  u32 state;
  u32 flags;
  u32 size;
  /** First violation, the ring index or id it was seen at, and how many there were. */
  u32 error;
  u32 errorIndex;
  u32 errors;
  /** Why the last burst stopped at the caller's record `refusalIndex`. */
  u32 refusal;
  u32 refusalIndex;
  /** One past the last staged record that the last burst read or wrote. */
  u32 cursor;
  Space space;
  u32 desc;
  u32 driverArea;
  u32 deviceArea;
  u32 device;
  u32 records;
} Queue;

// A driver's shadow record, one for each split descriptor or packed buffer id: it never reads back
// from a ring or a table what it needs to know.
//
//   token     the caller's; in the last descriptor of a direct split chain the chain's length instead
//   capacity  bytes of the writable elements, which bounds what the device may claim
//   table     the indirect table with its tag bits, 0 for none
//   next      the free list's link
//   last      split: last descriptor of the chain that starts here, or NOT_A_HEAD
//             packed: slots of the buffer with this id, 0 when it is not outstanding
typedef struct VIEW {
  u32 token;
  u32 capacity;
  u32 table;
  u16 next;
  u16 last;
} DriverRecord;

enum { NOT_A_HEAD = 0xffff };

INLINE DriverRecord *driverRecord(u32 records, u32 index) { return AT(DriverRecord, records + (index << 4)); }

typedef struct VIEW {
  Queue q;
  u32 freeHead;
  u32 numFree;
  u32 outstanding;
  u32 source;
  /** Fewest sgs that take a table. */
  u32 tableMin;
  /** Most sgs that a cached table holds; a packet with more takes one from the heap. */
  u32 threshold;
  u32 tableBytes;
  u32 tables;
  u32 heap;
  u32 stack;
  u32 liveTables;
  u32 highWater;
  u64 added;
  u64 reclaimed;
  u64 publishes;
  u64 doorbells;
  u64 tableTakes;
  u64 tableHits;
  u64 heapFalls;
  u64 directFalls;
  u64 clampedLengths;
} DriverQueue;

// A handle names a popped buffer until it is marked used: its shadow record, and the queue's
// generation in the upper half, so that a completion from before a reset meets no later buffer.
enum { HANDLE_SHIFT = 16, HANDLE_RECORD = 0xffff };

typedef struct VIEW {
  Queue q;
  u32 generation;
  /** Most elements of a buffer that are accepted. */
  u32 maxChain;
  u64 popped;
  u64 used;
  u64 publishes;
  u64 interrupts;
} DeviceQueue;

/** Whether queues may be worked: after DRIVER_OK, until an error. */
INLINE bool deviceRuns(const Queue *queue) {
  return (AT(Device, queue->device)->status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) == STATUS_DRIVER_OK;
}

/** Whether [addr, addr + bytes) lies in the window, for bytes > 0; a sum that wraps does not. */
INLINE bool inWindow(const Space *space, u64 addr, u64 bytes) {
  u64 end;
  return !__builtin_add_overflow(addr - space->base, bytes, &end) && end <= space->length;
}

/** The place of a bus address that lies in the window. */
INLINE u32 placeOf(const Space *space, u64 addr) { return (u32)addr - (u32)space->delta; }

/** Elements of 32-bit lengths are summed up in 64 bits, and then compared with this. */
#define MAX_BUFFER_BYTES 0x100000000

/** Writable bytes of the staged buffer of `n` elements; whether all its bytes are few enough. */
INLINE bool stagedCapacity(const AddRecord *staged, u32 n, u32 *capacity) {
  u64 readable = 0;
  u64 writable = 0;
  u32 k = 0;
  for (; k < staged->readable; k++) readable += staged->sg[k].len;
  for (; k < n; k++) writable += staged->sg[k].len;
  *capacity = saturate32(writable);
  return readable + writable <= MAX_BUFFER_BYTES;
}

/** How far index `newer` is ahead of `older`, modulo 2^16. */
INLINE u32 ahead(u32 newer, u32 older) { return (newer - older) & 0xffff; }

/** Marks the queue broken; its peer's device is told when `error` is a driver's doing. */
static __attribute__((noinline, cold, unused)) void breakQueue(Queue *queue, Fault error, u32 index) {
  queue->errors++;
  if (queue->state == QUEUE_BROKEN) return;
  queue->state = QUEUE_BROKEN;
  queue->error = error;
  queue->errorIndex = index;
  if (error < E_USED_IDX) AT(Device, queue->device)->status |= STATUS_NEEDS_RESET;
}

/** Remembers the caller's mistake at record `index`; the queue stays as it was. */
INLINE void refuse(Queue *queue, Fault refusal, u32 index) {
  queue->refusal = refusal;
  queue->refusalIndex = index;
}

#endif
