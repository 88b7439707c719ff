// A host's memory, behind that of the loops:
//
//   rings and control blocks of each set-up | a pass of frames | the host's buffers | pages of a guest
//
// Transmit reads the guest's frames and writes the host's buffers in turn; receive reads the frames that the wire has left
// with the host, and writes the guest's pages. Frames lie an odd number of cache lines apart, as the engine has them.

#include "host.h"

#include <string.h>

#include "packed.h"
#include "split.h"

enum {
  LONGEST = 1518,
  QUEUE_BYTES = 256 << 10,
  FRAMES_BYTES = PASS * 2048,
  SLOTS = 2 * BATCH,
  SLOT_BYTES = 2048,
  PAGE_BYTES = 4096,
};

static const u32 lengths[HOST_LENGTHS] = {64, LONGEST};

static u32 framesAt(void) { return hostRegion + HOSTS * QUEUE_BYTES; }
static u32 slotsAt(void) { return framesAt() + FRAMES_BYTES; }
static u32 pagesAt(void) { return (slotsAt() + SLOTS * SLOT_BYTES + PAGE_BYTES - 1) & ~(u32)(PAGE_BYTES - 1); }

u32 hostIndex(Format format, bool receives, u32 bytes) {
  u32 k = 0;
  while (k < HOST_LENGTHS && lengths[k] != bytes) k++;
  return k == HOST_LENGTHS ? HOSTS : ((u32)format * 2 + receives) * HOST_LENGTHS + k;
}

/** An odd number of cache lines, so that equal frames don't alias in the cache. */
static u32 strideOf(u32 bytes) { return (((bytes + 63) / 64) | 1) * 64; }

static void stage(const Host *host) {
  AddRecord *record = AT(AddRecord, host->loop.stream);
  for (u32 i = 0; i < PASS; i++) {
    record->token = i;
    record->readable = !host->receives;
    record->writable = host->receives;
    const u32 ptr = host->receives ? host->to + i * host->toStride : host->from + i * host->fromStride;
    record->sg[0] = (Segment){ptr, host->bytes};
    record = (AddRecord *)&record->sg[1];
  }
}

Host hostInit(u32 index, Format format, bool receives, u32 bytes) {
  const u32 start = hostRegion + index * QUEUE_BYTES;
  memset(memory + start, 0, QUEUE_BYTES);
  const u32 whole = HEADER_BYTES + bytes;
  const u32 stride = strideOf(whole);
  const Host host = {
      .loop = loopLay(start, format, TABLES_DIRECT, 1, HOST_RING),
      .receives = receives,
      .bytes = whole,
      .from = framesAt(),
      .fromStride = stride,
      .to = receives ? pagesAt() : slotsAt(),
      .toStride = receives ? PAGE_BYTES : stride,
      .toCount = receives ? PASS : SLOTS,
  };
  for (u32 i = 0; i < FRAMES_BYTES; i++) memory[host.from + i] = (u8)(i * 167 + (i >> 8) * 13);
  stage(&host);
  return host;
}

/** The next place of the host's; a guest's buffers say themselves where they are. */
INLINE u32 nextSlot(Host *host) {
  const u32 next = host->toNext;
  host->toNext = next + 1 == host->toCount ? 0 : next + 1;
  return host->to + next * host->toStride;
}

/** Moves what was popped: out of the guest's elements, or frames from number `first` on into them. */
INLINE void copyBurst(Host *host, u32 count, u32 first) {
  PopRecord *record = AT(PopRecord, host->loop.popped);
  for (u32 i = 0; i < count; i++) {
    const Segment at = record->segment[0];
    if (host->receives) memcpy(memory + at.ptr, memory + host->from + (first + i) * host->fromStride, at.len);
    else memcpy(memory + nextSlot(host), memory + at.ptr, at.len);
    record = afterPop(record);
  }
}

INLINE u32 pass(Host *host, Format format) {
  const Loop *loop = &host->loop;
  u32 stream = loop->stream;
  u32 back = 0;
  for (u32 first = 0; first < PASS; first += BATCH) {
    if (format == SPLIT) {
      splitDriverAdd(loop->driver, stream, BATCH);
      stream = AT(Queue, loop->driver)->cursor;
      splitDriverPublish(loop->driver);
      const u32 popped = splitDevicePop(loop->device, loop->popped, loop->poppedBytes, BATCH);
      splitDeviceArm(loop->device, 0);
      copyBurst(host, popped, first);
      splitDeviceMarkAllUsed(loop->device, loop->popped, popped);
      splitDevicePublishUsed(loop->device);
      back += splitDriverReclaim(loop->driver, loop->reclaimed, BATCH);
      splitDriverArm(loop->driver, 0);
    } else {
      packedDriverAdd(loop->driver, stream, BATCH);
      stream = AT(Queue, loop->driver)->cursor;
      packedDriverPublish(loop->driver);
      const u32 popped = packedDevicePop(loop->device, loop->popped, loop->poppedBytes, BATCH);
      packedDeviceArm(loop->device, 0);
      copyBurst(host, popped, first);
      packedDeviceMarkAllUsed(loop->device, loop->popped, popped);
      packedDevicePublishUsed(loop->device);
      back += packedDriverReclaim(loop->driver, loop->reclaimed, BATCH);
      packedDriverArm(loop->driver, 0);
    }
  }
  return back;
}

u32 hostPass(Host *host) { return host->loop.format == SPLIT ? pass(host, SPLIT) : pass(host, PACKED); }

u32 hostCopies(Host *host) {
  for (u32 i = 0; i < PASS; i++) {
    const u32 from = host->from + i * host->fromStride;
    const u32 to = host->receives ? host->to + i * host->toStride : nextSlot(host);
    memcpy(memory + to, memory + from, host->bytes);
    // Without this the compiler knows which copies are the same.
    __asm__ volatile("" ::: "memory");
  }
  return PASS;
}

const char *hostCheck(const Host *host, u64 packets) {
  const DriverQueue *driver = AT(DriverQueue, host->loop.driver);
  const DeviceQueue *device = AT(DeviceQueue, host->loop.device);
  if (driver->q.state != QUEUE_LIVE || device->q.state != QUEUE_LIVE) return "a queue is broken";
  if (driver->added != packets || driver->reclaimed != packets) return "the driver lost packets";
  if (device->popped != packets || device->used != packets) return "the device lost packets";
  if (driver->outstanding || driver->numFree != HOST_RING) return "descriptors are still outstanding";
  const u32 last = host->receives ? PASS - 1 : SLOTS - 1;
  const u8 *sent = memory + host->from + (PASS - 1) * host->fromStride;
  if (memcmp(memory + host->to + last * host->toStride, sent, host->bytes)) return "the last packet differs";
  return NULL;
}
