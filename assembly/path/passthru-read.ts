// What an interface receives. The NIC asks for buffers ahead of the frames: the page constructor takes the user's next
// one, pins it and hands it over; the destructor takes back what stays empty. A frame goes into as many of them as it
// needs, or, where none is there for all of it, into none.
//
//   direct   the NIC writes headers and payload into the user's pages, which must have the room that it asks for
//   split    the NIC writes headers into the host's head, which is copied; the payload into the user's pages
//
// The device header is the host's to write. What was written is logged after it was, and marked dirty when the read
// completes, whenever it was submitted and whoever listened then.

import {
  OK,
  PAGE_SIZE,
  PASSTHRU_E_ALIGNMENT,
  PASSTHRU_E_HEADROOM,
  PASSTHRU_E_RANGE,
  PASSTHRU_E_TAILROOM,
  PASSTHRU_E_TOO_SHORT,
  SEGMENT,
} from "../abi";
import { copyBytes } from "../mem/copy";
import { pageLogMark } from "../mem/page-log";
import { pinnable, pinsMarkDirty } from "../mem/pins";
import { VIRTIO_NET_HDR_MAX_SIZE, VIRTIO_NET_HDR_NUM_BUFFERS } from "../spec";
import {
  addSegment,
  DONE_READS,
  finishRequest,
  frameHead,
  fromLine,
  isRequest,
  line,
  Passthru,
  pinRequest,
  READS,
  READS_WAITING,
  Request,
  segmentsOf,
  toLine,
} from "./passthru";

// What became of a frame
export const PASSED: u32 = 0;
export const NO_BUFFER: u32 = 1;
export const TOO_LONG: u32 = 2;

/** Takes the elements of a buffer: OK, or why the buffer can't be. */
export function fillRead(p: Passthru, request: Request, segment: u32, count: u32): u32 {
  let total: u64 = 0;
  for (let k: u32 = 0; k < count; k++) {
    const at = segment + k * SEGMENT;
    const ptr = load<u32>(at);
    const bytes = load<u32>(at, 4);
    if (!pinnable(p.host.pins, ptr, bytes)) return PASSTHRU_E_RANGE;
    const lacks = p.bound ? roomLacking(p, ptr, bytes) : OK;
    if (lacks) return lacks;
    addSegment(request, ptr, bytes);
    total += bytes;
  }
  if (total <= p.headerBytes) return PASSTHRU_E_TOO_SHORT;
  request.bytes = <u32>min(total, <u64>0xffffffff);
  return OK;
}

/** What an element lacks for a NIC that writes into it; one that splits packets asks for nothing. */
function roomLacking(p: Passthru, ptr: u32, bytes: u32): u32 {
  if (p.packetSplit || !bytes) return OK;
  if (ptr & p.alignMask) return PASSTHRU_E_ALIGNMENT;
  if ((ptr & (PAGE_SIZE - 1)) < p.headroom) return PASSTHRU_E_HEADROOM;
  // Bytes between the end of the element and that of its last page.
  const rest: u32 = (0 - (ptr + bytes)) & (PAGE_SIZE - 1);
  return rest < p.tailroom ? PASSTHRU_E_TAILROOM : OK;
}

/** What any element of a buffer lacks that was taken before this NIC came. */
function requestLacks(p: Passthru, request: Request): u32 {
  const segments = segmentsOf(request);
  for (let k: u32 = 0; k < request.segments; k++) {
    const at = segments + k * SEGMENT;
    const lacks = roomLacking(p, load<u32>(at), load<u32>(at, 4));
    if (lacks) return lacks;
  }
  return OK;
}

/** The page constructor: the user's next buffer is pinned and the NIC's; false when there is none, or no pin for it. */
function pageConstruct(p: Passthru): bool {
  const waiting = changetype<Request>(line(p, READS_WAITING).first);
  if (!isRequest(waiting)) return false;
  const lacks = requestLacks(p, waiting);
  if (lacks) {
    p.refused++;
    finishRequest(p, fromLine(p, READS_WAITING), lacks, DONE_READS);
    return true;
  }
  if (pinRequest(p, waiting) != OK) return false;
  toLine(p, fromLine(p, READS_WAITING), READS);
  return true;
}

/** The NIC asks for as many buffers as it wants ahead. */
export function nicAsks(p: Passthru): void {
  const posted = line(p, READS);
  while (p.bound && posted.count < p.ahead && pageConstruct(p)) {}
}

/** Bytes of a frame that a NIC which splits packets writes into a head of the host's. */
@inline
export function splitBytes(p: Passthru, frameBytes: u32): u32 {
  return p.packetSplit ? min(p.headerMost, frameBytes) : 0;
}

/** The place in the host's memory for them. */
@inline
export function splitHead(p: Passthru): u32 {
  return frameHead(p) + VIRTIO_NET_HDR_MAX_SIZE;
}

/**
 * The NIC has a frame of `bytes` at `frame`, with its device header at `header` if there is one, and, where it splits
 * packets, has written the headers to `headersAt`. It moves the first `moved` bytes of the frame for real. What became
 * of the frame.
 */
export function passFrame(p: Passthru, header: u32, headersAt: u32, frame: u32, bytes: u32, moved: u32): u32 {
  const total = p.headerBytes + bytes;
  if (isTooLong(p, total)) {
    p.dropsTooLong++;
    return TOO_LONG;
  }
  const buffers = buffersFor(p, total);
  if (!buffers) {
    p.dropsNoBuffer++;
    return NO_BUFFER;
  }
  const head = frameHead(p);
  const headers = splitBytes(p, bytes);
  p.host.headerCopyBytes += headers;
  if (p.headerBytes) {
    if (header) copyBytes(head, header, p.headerBytes);
    else memory.fill(head, 0, p.headerBytes);
    store<u16>(head, <u16>buffers, VIRTIO_NET_HDR_NUM_BUFFERS);
  }
  let at: u32 = 0;
  for (let left = buffers; left; left--) {
    const request = fromLine(p, READS);
    const part = min(request.bytes, total - at);
    fillBuffer(p, request, at, part, headersAt, headers, frame, moved);
    request.written = part;
    request.more = left - 1;
    p.host.pinnedPages += request.pages;
    p.reads++;
    finishRequest(p, request, OK, DONE_READS);
    at += part;
  }
  return PASSED;
}

/** Whether a frame that must not span buffers is longer than the next one. */
@inline
function isTooLong(p: Passthru, total: u32): bool {
  const posted = line(p, READS);
  return !p.mergeable && posted.count != 0 && changetype<Request>(posted.first).bytes < total;
}

/** How many of the NIC's buffers `total` bytes take; 0 when there are too few. */
function buffersFor(p: Passthru, total: u32): u32 {
  let buffers: u32 = 0;
  let request = line(p, READS).first;
  for (let left = total; request; request = load<u32>(request)) {
    const room = changetype<Request>(request).bytes;
    buffers++;
    if (room >= left) return buffers;
    left -= room;
  }
  return 0;
}

/**
 * Writes the bytes [at, at + part) of a packet into a buffer's elements. A packet is the device header, `headers` bytes
 * from `headersAt`, and the rest of the frame, of which `moved` bytes are moved.
 */
function fillBuffer(
  p: Passthru,
  request: Request,
  at: u32,
  part: u32,
  headersAt: u32,
  headers: u32,
  frame: u32,
  moved: u32,
): void {
  const headerBytes = p.headerBytes;
  let segment = segmentsOf(request);
  let to = load<u32>(segment);
  let room = load<u32>(segment, 4);
  for (const end = at + part; at < end; ) {
    if (!room) {
      segment += SEGMENT;
      to = load<u32>(segment);
      room = load<u32>(segment, 4);
    }
    const own = headerBytes + headers;
    const edge = at < headerBytes ? headerBytes : at < own ? own : end;
    const bytes = min(room, min(edge, end) - at);
    if (at < headerBytes) copyBytes(to, frameHead(p) + at, bytes);
    else if (at < own) copyBytes(to, headersAt + (at - headerBytes), bytes);
    else payload(to, frame, at - headerBytes, bytes, moved);
    wrote(p, to, bytes);
    to += bytes;
    room -= bytes;
    at += bytes;
  }
}

/** The NIC writes `bytes` of a frame from its byte `at` on. */
@inline
function payload(to: u32, frame: u32, at: u32, bytes: u32, moved: u32): void {
  if (at < moved) copyBytes(to, frame + at, min(bytes, moved - at));
}

@inline
function wrote(p: Passthru, ptr: u32, bytes: u32): void {
  if (changetype<u32>(p.space) && p.space.log) pageLogMark(p.space.log, ptr, bytes);
  pinsMarkDirty(p.host.pins, ptr, bytes);
}
