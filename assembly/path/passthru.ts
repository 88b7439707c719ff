// An interface of a host whose payloads the host never touches: the NIC reads and writes the pages of whoever uses it,
// a guest or a program. After the mediate passthru device that was proposed for Linux in 2010 (mp device, "a zero-copy
// method on KVM virtio-net").
//
//   user                                                                                     NIC
//   write   headers copied into a head, payload pinned -> SENDING ---------------> at the NIC --> DONE_WRITES
//   read    READS_WAITING -> [page constructor: pinned] -> READS: buffers that the NIC has ahead of frames
//                                                          a frame is placed -----------------> DONE_READS
//
// A write that can't be pinned yet waits in WRITES_WAITING, and holds up those behind it. Of the host's own there is
// but private memory:
//
//   Passthru | line 0 | line 1 | ... | request 0 | request 1 | ... | head of 0 | head of 1 | ... | head of a frame
//   request  | Request | {ptr, bytes} | {ptr, bytes} | ...
//   head     | device header | the first `headerMost` bytes of a frame |

import {
  OK,
  PASSTHRU_E_CANCELED,
  PASSTHRU_E_FULL,
  PASSTHRU_E_LOCKED_PAGES,
  PASSTHRU_E_PIN_FAILED,
  PIN_E_LIMIT,
  SEGMENT,
} from "../abi";
import { AddressSpace } from "../dma/space";
import { Fifo, fifoPut, fifoPutAllFirst, fifoTake } from "../mem/fifo";
import { pagesTouched, pin, unpin } from "../mem/pins";
import { VIRTIO_NET_HDR_MAX_SIZE } from "../spec";
import { HostPath } from "./host-path";

// Lines of requests: each stands in one of them, or is at the NIC.
export const FREE: u32 = 0;
export const READS_WAITING: u32 = 1;
export const READS: u32 = 2;
export const WRITES_WAITING: u32 = 3;
export const SENDING: u32 = 4;
export const DONE_READS: u32 = 5;
export const DONE_WRITES: u32 = 6;
const LINES: u32 = 7;
/** In place of a line. */
export const AT_NIC: u32 = 7;

@unmanaged
export class Passthru {
  /** Who counts copies, and pins. */
  host: HostPath;
  /** The address space whose log hears of pages that were written (mem/page-log.ts), or 0. */
  space: AddressSpace;
  requests: u32;
  requestStride: u32;
  requestCount: u32;
  /** Most elements of a request. */
  mostSegments: u32;
  heads: u32;
  headStride: u32;
  /** Bytes in front of every frame that are a device header, not packet. */
  headerBytes: u32;
  /** Most bytes of a frame that count as its headers, and are copied where they are apart from the payload. */
  headerMost: u32;
  /** The longest frame. */
  frameMost: u32;
  /** 1: a frame may take several reads (VIRTIO_NET_F_MRG_RXBUF). */
  mergeable: u32;
  /** 1: reads that are given back undone wait for the next NIC, as a guest's do; else they come back canceled. */
  keeps: u32;

  // The NIC, and what was agreed on with it
  /** 0: nothing is submitted to it, and the hook takes nothing. */
  bound: u32;
  packetSplit: u32;
  /** What a buffer must have in front and behind in its page, and the bits that must be 0 where it starts. */
  headroom: u32;
  tailroom: u32;
  alignMask: u32;
  /** Most buffers that it asks for ahead of frames. */
  ahead: u32;
  /** Packets that it has taken and not sent yet. */
  atNic: u32;

  // The hook: 1 in `filters` when only frames to this address are the user's, and those to groups
  filters: u32;
  macLow: u32;
  macHigh: u32;

  /** Why the last request was refused (PASSTHRU_E_*). */
  refusal: u32;

  // Counters
  reads: u64;
  writes: u64;
  canceled: u64;
  /** A guest's requests that can't be, which came back undone. */
  refused: u64;
  /** Times that pages could not be pinned, so that something waited. */
  pinWaits: u64;
  /** Frames that the hook left to the host's stack. */
  stackPackets: u64;
  stackBytes: u64;
  dropsNoBuffer: u64;
  dropsTooLong: u64;
  /** Of packets that are no more, because their queue was reset. */
  staleSent: u64;
}

@unmanaged
export class Request {
  /** The next one in the line. */
  next: u32;
  line: u32;
  token: u32;
  segments: u32;
  /** Bytes of the elements; of a write, those behind what was copied. */
  bytes: u32;
  /** Bytes of the device header and of the headers that were copied, and their place. */
  headBytes: u32;
  head: u32;
  /** 1: its pages are pinned, so many. */
  pinned: u32;
  pages: u32;
  /** Goes up when it is free again: a handle of before is no handle. */
  generation: u32;
  /** What came of it: bytes written, 0 or PASSTHRU_E_*, and requests behind this one with the same frame. */
  written: u32;
  status: u32;
  more: u32;
  _pad: u32;
}

function headBytes(headerMost: u32): u32 {
  return (VIRTIO_NET_HDR_MAX_SIZE + headerMost + 63) & ~63;
}

function requestBytes(segments: u32): u32 {
  return offsetof<Request>() + segments * SEGMENT;
}

/** Bytes of an interface with `requests`, each of at most `segments`. */
export function passthruBytes(requests: u32, segments: u32, headerMost: u32): u32 {
  const each = requestBytes(segments) + headBytes(headerMost);
  return linesEnd() + requests * each + headBytes(headerMost);
}

@inline
function linesEnd(): u32 {
  return (offsetof<Passthru>() + LINES * offsetof<Fifo>() + 7) & ~7;
}

/** Nothing bound and nothing submitted; all else is words that the host sets. */
export function passthruInit(ptr: u32, host: u32, requests: u32, segments: u32, headerMost: u32): void {
  const p = changetype<Passthru>(ptr);
  memory.fill(ptr, 0, passthruBytes(requests, segments, headerMost));
  p.host = changetype<HostPath>(host);
  p.requests = ptr + linesEnd();
  p.requestStride = requestBytes(segments);
  p.requestCount = requests;
  p.mostSegments = segments;
  p.heads = p.requests + requests * p.requestStride;
  p.headStride = headBytes(headerMost);
  p.headerMost = headerMost;
  for (let k: u32 = 0; k < requests; k++) {
    const request = requestAt(p, k);
    request.head = p.heads + k * p.headStride;
    toLine(p, request, FREE);
  }
}

@inline
export function line(p: Passthru, which: u32): Fifo {
  return changetype<Fifo>(changetype<u32>(p) + offsetof<Passthru>() + which * offsetof<Fifo>());
}

@inline
export function toLine(p: Passthru, request: Request, which: u32): void {
  request.line = which;
  fifoPut(line(p, which), changetype<u32>(request));
}

/** The oldest request of a line, taken out of it, or 0. */
@inline
export function fromLine(p: Passthru, which: u32): Request {
  return changetype<Request>(fifoTake(line(p, which)));
}

@inline
export function isRequest(request: Request): bool {
  return changetype<u32>(request) != 0;
}

@inline
export function requestAt(p: Passthru, k: u32): Request {
  return changetype<Request>(p.requests + k * p.requestStride);
}

/** Where the elements of a request stand. */
@inline
export function segmentsOf(request: Request): u32 {
  return changetype<u32>(request) + offsetof<Request>();
}

/** The place for the head of a received frame, behind those of the requests. */
@inline
export function frameHead(p: Passthru): u32 {
  return p.heads + p.requestCount * p.headStride;
}

// A handle names a request while the NIC has it: its number, and above it its generation.

@inline
export function handleOf(p: Passthru, request: Request): u32 {
  return (changetype<u32>(request) - p.requests) / p.requestStride + (request.generation << 16);
}

/** The request of a handle that the NIC gave; 0 for one of before. */
export function requestOf(p: Passthru, handle: u32): Request {
  const k = handle & 0xffff;
  if (k >= p.requestCount) return changetype<Request>(0);
  const request = requestAt(p, k);
  return request.line == AT_NIC && handle == handleOf(p, request) ? request : changetype<Request>(0);
}

/** An empty request; 0 with the refusal set when there is none. */
export function freeRequest(p: Passthru, token: u32): Request {
  const request = fromLine(p, FREE);
  if (!isRequest(request)) {
    p.refusal = PASSTHRU_E_FULL;
    return request;
  }
  request.token = token;
  request.segments = 0;
  request.bytes = 0;
  request.headBytes = 0;
  request.pages = 0;
  request.written = 0;
  request.status = OK;
  request.more = 0;
  return request;
}

/** A request whose outcome is known to the user. */
export function releaseRequest(p: Passthru, request: Request): void {
  request.generation = (request.generation + 1) & 0xffff;
  toLine(p, request, FREE);
}

/** Copies an element, which is checked by whoever fills the request; one without bytes is left out. */
@inline
export function addSegment(request: Request, ptr: u32, bytes: u32): void {
  if (!bytes) return;
  const at = segmentsOf(request) + request.segments++ * SEGMENT;
  store<u32>(at, ptr);
  store<u32>(at, bytes, 4);
  request.pages += pagesTouched(ptr, bytes);
}

/** Pins the pages of a request, all of them or none: OK, or why not. One that is pinned stays so. */
export function pinRequest(p: Passthru, request: Request): u32 {
  if (request.pinned) return OK;
  const pins = p.host.pins;
  const segments = segmentsOf(request);
  for (let k: u32 = 0; k < request.segments; k++) {
    const at = segments + k * SEGMENT;
    if (pin(pins, load<u32>(at), load<u32>(at, 4))) continue;
    const failure = pins.failure;
    unpinSegments(p, request, k);
    p.pinWaits++;
    return failure == PIN_E_LIMIT ? PASSTHRU_E_LOCKED_PAGES : PASSTHRU_E_PIN_FAILED;
  }
  request.pinned = 1;
  return OK;
}

/** Whether a request could be pinned if nothing else were. */
@inline
export function withinLimit(p: Passthru, request: Request): bool {
  return !p.host.pins.limit || request.pages <= p.host.pins.limit;
}

export function unpinRequest(p: Passthru, request: Request): void {
  if (!request.pinned) return;
  request.pinned = 0;
  unpinSegments(p, request, request.segments);
}

function unpinSegments(p: Passthru, request: Request, count: u32): void {
  const segments = segmentsOf(request);
  for (let k: u32 = 0; k < count; k++) {
    const at = segments + k * SEGMENT;
    unpin(p.host.pins, load<u32>(at), load<u32>(at, 4));
  }
}

/** Ends a request: nothing of it is pinned any more, and its user gets it back. */
@inline
export function finishRequest(p: Passthru, request: Request, status: u32, done: u32): void {
  unpinRequest(p, request);
  request.status = status;
  toLine(p, request, done);
}

// The end of an interface, or of a user

/** Gives back the reads that no frame came for: they wait, without pins, or are done, canceled. */
export function withdrawReads(p: Passthru): void {
  if (p.keeps) {
    keepReads(p);
    return;
  }
  cancelLine(p, READS, DONE_READS);
  cancelLine(p, READS_WAITING, DONE_READS);
}

function cancelLine(p: Passthru, from: u32, to: u32): void {
  for (;;) {
    const request = fromLine(p, from);
    if (!isRequest(request)) return;
    p.canceled++;
    finishRequest(p, request, PASSTHRU_E_CANCELED, to);
  }
}

/** In their order, in front of those that the NIC had not asked for. */
function keepReads(p: Passthru): void {
  const posted = line(p, READS);
  for (let request = posted.first; request; request = load<u32>(request)) {
    unpinRequest(p, changetype<Request>(request));
    changetype<Request>(request).line = READS_WAITING;
  }
  fifoPutAllFirst(line(p, READS_WAITING), posted);
}

/** A queue was reset: its requests are forgotten, wherever they are, and the NIC's handles of them with them. */
export function passthruForget(ptr: u32, reads: bool): void {
  const p = changetype<Passthru>(ptr);
  forgetLine(p, reads ? READS_WAITING : WRITES_WAITING);
  forgetLine(p, reads ? READS : SENDING);
  forgetLine(p, reads ? DONE_READS : DONE_WRITES);
  if (reads) return;
  for (let k: u32 = 0; k < p.requestCount; k++) {
    const request = requestAt(p, k);
    if (request.line != AT_NIC) continue;
    p.atNic--;
    unpinRequest(p, request);
    releaseRequest(p, request);
  }
}

function forgetLine(p: Passthru, which: u32): void {
  for (;;) {
    const request = fromLine(p, which);
    if (!isRequest(request)) return;
    unpinRequest(p, request);
    releaseRequest(p, request);
  }
}

/** For a check: requests that are neither free nor known to be somewhere; 0 when all is well. */
export function passthruLost(ptr: u32): u32 {
  const p = changetype<Passthru>(ptr);
  let listed: u32 = p.atNic;
  for (let which: u32 = 0; which < LINES; which++) {
    let request = line(p, which).first;
    for (let k = line(p, which).count; k && request; k--) {
      if (changetype<Request>(request).line == which) listed++;
      request = load<u32>(request);
    }
  }
  return p.requestCount - listed;
}

/** Requests that are not free. */
export function passthruOutstanding(ptr: u32): u32 {
  const p = changetype<Passthru>(ptr);
  return p.requestCount - line(p, FREE).count;
}
