// Set-up, loop and checks: what the measurements have in common.

#include "registers.h"

#include <string.h>

#include "loop.h"
#include "packed.h"
#include "split.h"
#include "tables.h"

// The memory, all from the start: at offset 0 nothing, because 0 means none.
//
//   0 | queue 0 | queue 1 | ... | spare | buffers of PASS packets | a host's (host.c)
//
// Each queue's part is laid out the same, so that a measurement does not depend on which came before:
//
//   control blocks, records, staging | rings, tables, heap
enum {
  QUEUES = FORMATS * 4 * MAX_SGS * 2,
  QUEUE_BYTES = 192 << 10,
  QUEUES_PTR = 4096,
  SPARE_PTR = QUEUES_PTR + QUEUES * QUEUE_BYTES,
  // Each buffer starts on another line of the page than the one before.
  SKEWED_BYTES = DATA_BYTES + 64,
  ALIGNED_BYTES = 4096,
  BUFFERS_PTR = (SPARE_PTR + 2 * SPARE_BYTES + 4095) & ~4095,
};
_Static_assert(BUFFERS_PTR + PASS * MAX_SGS * ALIGNED_BYTES <= MEMORY_BYTES, "the buffers fit the memory");

enum {
  CACHE_LINE = 64,
  // The device wants room for the longest chain there is before it pops a buffer.
  POPPED_BYTES = BATCH * (sizeof(PopRecord) + MAX_SGS * sizeof(Segment)) + RING_SIZE * sizeof(Segment),
};

u8 memory[MEMORY_BYTES] __attribute__((aligned(4096)));

const u32 spareControl = SPARE_PTR;
const u32 spareRegion = SPARE_PTR + SPARE_BYTES;
const u32 hostRegion = BUFFERS_PTR + PASS * MAX_SGS * ALIGNED_BYTES;

/** Takes `bytes` from the next cache line on. */
static u32 take(u32 *next, u32 bytes) {
  const u32 ptr = (*next + CACHE_LINE - 1) & ~(u32)(CACHE_LINE - 1);
  *next = ptr + bytes;
  return ptr;
}

/** The i-th buffer: element `i % sgs` of packet `i / sgs`. */
static Segment bufferAt(u32 i, u32 sgs, bool aligned) {
  return (Segment){
    BUFFERS_PTR + i * (aligned ? ALIGNED_BYTES : SKEWED_BYTES),
    i % sgs ? DATA_BYTES : HEADER_BYTES,
  };
}

static u32 tokenOf(u32 packet) { return 0x9e3779b9u * (packet + 1); }

static void stage(u32 stream, u32 sgs, bool aligned) {
  AddRecord *record = AT(AddRecord, stream);
  for (u32 i = 0; i < PASS; i++) {
    record->token = tokenOf(i);
    record->readable = 1;
    record->writable = (u16)(sgs - 1);
    for (u32 k = 0; k < sgs; k++) record->sg[k] = bufferAt(i * sgs + k, sgs, aligned);
    record = (AddRecord *)&record->sg[sgs];
  }
}

Loop loopInit(u32 index, Format format, Source source, u32 sgs, bool aligned) {
  const u32 start = QUEUES_PTR + index * QUEUE_BYTES;
  memset(memory + start, 0, QUEUE_BYTES);
  const Loop loop = loopLay(start, format, source, sgs, RING_SIZE);
  stage(loop.stream, sgs, aligned);
  return loop;
}

Loop loopLay(u32 start, Format format, Source source, u32 sgs, u32 size) {
  u32 next = start;
  Loop loop = {.format = format, .source = source, .sgs = sgs};

  const u32 device = take(&next, sizeof(Device));
  loop.driver = take(&next, format == SPLIT ? sizeof(SplitDriver) : sizeof(PackedDriver));
  loop.device = take(&next, format == SPLIT ? sizeof(SplitDevice) : sizeof(PackedDevice));
  const u32 driverRecords = take(&next, size * sizeof(DriverRecord));
  const u32 deviceRecords = take(&next, size * sizeof(PackedRecord));
  const u32 stack = take(&next, sizeof(Stack) + size * 4);
  const u32 heapControl = take(&next, tlsfControlBytes());
  loop.stream = take(&next, PASS * (u32)(sizeof(AddRecord) + sgs * sizeof(Segment)));
  loop.poppedBytes = POPPED_BYTES + (size - RING_SIZE) * (u32)sizeof(Segment);
  loop.popped = take(&next, loop.poppedBytes);
  loop.reclaimed = take(&next, BATCH * sizeof(ReclaimRecord));
  const u32 desc = take(&next, size * DESC_BYTES);
  const u32 driverArea = take(&next, format == SPLIT ? splitAvailBytes(size) : EVENT_BYTES);
  const u32 deviceArea = take(&next, format == SPLIT ? splitUsedBytes(size) : EVENT_BYTES);
  const u32 tables = take(&next, size * MAX_SGS * DESC_BYTES);
  const u32 heapBytes = tlsfRegionBytes(size, MAX_SGS * DESC_BYTES);
  const u32 heapRegion = take(&next, heapBytes);
  loop.heap = heapControl;

  AT(Device, device)->status = STATUS_DRIVER_OK;
  tlsfInit(heapControl, heapRegion, heapBytes);

  const Queue common = {
    .flags = QUEUE_F_EVENT_IDX | (source == TABLES_DIRECT ? 0 : QUEUE_F_INDIRECT),
    .size = size,
    .device = device,
    .space = {.base = desc, .length = MEMORY_BYTES - desc, .delta = 0},
    .desc = desc,
    .driverArea = driverArea,
    .deviceArea = deviceArea,
  };
  DriverQueue *driver = AT(DriverQueue, loop.driver);
  driver->q = common;
  driver->q.records = driverRecords;
  driver->source = source;
  driver->tableMin = 1;
  driver->threshold = MAX_SGS;
  driver->tables = tables;
  driver->heap = heapControl;
  driver->stack = stack;
  AT(DeviceQueue, loop.device)->q = common;
  AT(DeviceQueue, loop.device)->q.records = deviceRecords;
  if (format == SPLIT) {
    splitDriverEnable(loop.driver);
    splitDeviceEnable(loop.device);
  } else {
    packedDriverEnable(loop.driver);
    packedDeviceEnable(loop.device);
  }
  return loop;
}

/** Buffers that a burst moved: added, popped, and reclaimed. */
typedef struct {
  u32 added;
  u32 popped;
  u32 reclaimed;
  /** One past the last staged buffer that was added. */
  u32 stream;
} Moved;

/** One burst of `count` buffers at `stream`; each half re-arms after it, as one that sleeps would. */
INLINE Moved burst(const Loop *loop, Format format, u32 stream, u32 count) {
  const u32 driver = loop->driver;
  const u32 device = loop->device;
  Moved moved;
  if (format == SPLIT) {
    moved.added = splitDriverAdd(driver, stream, count);
    moved.stream = AT(Queue, driver)->cursor;
    splitDriverPublish(driver);
    moved.popped = splitDevicePop(device, loop->popped, loop->poppedBytes, BATCH);
    if (FULL) splitDeviceArm(device, 0);
    splitDeviceMarkAllUsed(device, loop->popped, moved.popped);
    splitDevicePublishUsed(device);
    moved.reclaimed = splitDriverReclaim(driver, loop->reclaimed, BATCH);
    if (FULL) splitDriverArm(driver, 0);
  } else {
    moved.added = packedDriverAdd(driver, stream, count);
    moved.stream = AT(Queue, driver)->cursor;
    packedDriverPublish(driver);
    moved.popped = packedDevicePop(device, loop->popped, loop->poppedBytes, BATCH);
    if (FULL) packedDeviceArm(device, 0);
    packedDeviceMarkAllUsed(device, loop->popped, moved.popped);
    packedDevicePublishUsed(device);
    moved.reclaimed = packedDriverReclaim(driver, loop->reclaimed, BATCH);
    if (FULL) packedDriverArm(driver, 0);
  }
  return moved;
}

INLINE u32 pass(const Loop *loop, Format format) {
  u32 stream = loop->stream;
  u32 added = 0;
  u32 back = 0;
  while (back < PASS) {
    const Moved moved = burst(loop, format, stream, min32(BATCH, PASS - added));
    stream = moved.stream;
    added += moved.added;
    back += moved.reclaimed;
    // Nothing moved: a broken queue. The caller sees it in the count.
    if (!(moved.added | moved.popped | moved.reclaimed)) break;
  }
  return back;
}

u32 loopPass(const Loop *loop) { return loop->format == SPLIT ? pass(loop, SPLIT) : pass(loop, PACKED); }

/** Compares what the last burst staged on its way with the packets at `stream`. */
static const char *compareBurst(const Loop *loop, u32 stream) {
  const u32 sgs = loop->sgs;
  const u32 written = FULL ? (sgs - 1) * DATA_BYTES : HEADER_BYTES;
  const AddRecord *staged = AT(AddRecord, stream);
  PopRecord *popped = AT(PopRecord, loop->popped);
  const ReclaimRecord *reclaimed = AT(ReclaimRecord, loop->reclaimed);
  for (u32 i = 0; i < BATCH; i++) {
    if ((u32)popped->readable + popped->writable != sgs) return "a popped buffer has other counts";
    if (FULL && popped->readable != staged->readable) return "a popped buffer has other directions";
    if (memcmp(staged->sg, popped->segment, sgs * sizeof(Segment))) return "a popped buffer differs";
    if (reclaimed->token != staged->token) return "a reclaimed buffer has another token";
    if (reclaimed->len != written) return "a reclaimed buffer has another length";
    staged = afterAdd(staged, sgs);
    popped = afterPop(popped);
    reclaimed++;
  }
  return NULL;
}

/** Whether the device's shadow records know of a buffer that was not marked used. */
static bool anyInFlight(const Loop *loop) {
  const u32 records = AT(Queue, loop->device)->records;
  for (u32 i = 0; i < RING_SIZE; i++) {
    if (loop->format == SPLIT && AT(SplitRecord, records)[i].inFlight) return true;
    if (loop->format == PACKED && AT(PackedRecord, records)[i].slots) return true;
  }
  return false;
}

/** What is still in flight or taken, by the counters and by a walk over what they stand for. */
static const char *leaks(const Loop *loop, u64 packets) {
  const DriverQueue *driver = AT(DriverQueue, loop->driver);
  const DeviceQueue *device = AT(DeviceQueue, loop->device);
  if (driver->q.state != QUEUE_LIVE || device->q.state != QUEUE_LIVE) return "a queue is broken";
  if (driver->q.refusal || device->q.refusal) return "a call was refused";
  if (driver->added != packets || driver->reclaimed != packets) return "the driver lost packets";
  if (device->popped != packets || device->used != packets) return "the device lost packets";
  if (driver->outstanding || driver->numFree != RING_SIZE) return "descriptors are still outstanding";
  if (anyInFlight(loop)) return "a buffer is still in flight";
  const u64 takes = loop->source == TABLES_DIRECT ? 0 : packets;
  if (driver->tableTakes != takes || driver->directFalls) return "packets went without a table";
  if (driver->liveTables || tlsfLiveBlocks(loop->heap)) return "tables are still live";
  const u32 listed = tablesListed(driver, loop->source);
  if (loop->source == TABLES_FREELIST && listed != RING_SIZE) return "a table is missing";
  if (driver->clampedLengths) return "a used length was clamped";
  if (FULL && driver->doorbells != packets / BATCH) return "a kick is missing";
  if (FULL && device->interrupts != packets / BATCH) return "an interrupt is missing";
  return NULL;
}

const char *loopCheck(const Loop *loop, u64 packets) {
  u32 stream = loop->stream;
  for (u32 first = 0; first < PASS; first += BATCH) {
    const Moved moved = burst(loop, loop->format, stream, BATCH);
    if (moved.added != BATCH || moved.popped != BATCH || moved.reclaimed != BATCH) return "a burst is short";
    const char *wrong = compareBurst(loop, stream);
    if (wrong) return wrong;
    stream = moved.stream;
  }
  return leaks(loop, packets + PASS);
}
