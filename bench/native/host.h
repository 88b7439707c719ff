// A host between a ring and the wire, with one copy of each payload: what vhost-net does, in C.

#ifndef HOST_H
#define HOST_H

#include "loop.h"

enum { HOST_RING = 1024, HOST_LENGTHS = 2, HOSTS = FORMATS * 2 * HOST_LENGTHS };

/** One queue with its frames. */
typedef struct {
  Loop loop;
  bool receives;
  /** Of a frame and the device header in front of it. */
  u32 bytes;
  /** Where copies come from and go to, and the bytes from one to the next: frames and the host's few buffers, or a guest's pages. */
  u32 from;
  u32 fromStride;
  u32 to;
  u32 toStride;
  u32 toCount;
  u32 toNext;
} Host;

/** Number of a set-up; HOSTS and more for a length that there is none for. */
u32 hostIndex(Format format, bool receives, u32 bytes);

Host hostInit(u32 index, Format format, bool receives, u32 bytes);

/** One pass in bursts: add, publish, pop, copy, mark used, publish, reclaim; how many packets came back. */
u32 hostPass(Host *host);

/** The copies of a pass, without the ring. */
u32 hostCopies(Host *host);

/** Whether every packet came back, and the last ones as they were sent. NULL, or what is wrong. */
const char *hostCheck(const Host *host, u64 packets);

#endif
