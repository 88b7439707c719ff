// What an interface sends: headers are copied into a head of the host's, so that nobody can change them any more; the
// payload stays where it is, pinned until the NIC is done with it. The NIC may be done in any order.
//
//   user's   | device header | headers | payload ........ | payload ... |
//              copied into the head      pinned

import {
  OK,
  PASSTHRU_E_RANGE,
  PASSTHRU_E_TOO_LONG,
  PASSTHRU_E_TOO_SHORT,
  PASSTHRU_E_WIRE,
  PASSTHRU_SENT,
  POP_HEADER,
  SEGMENT,
} from "../abi";
import { copyBytes } from "../mem/copy";
import { pinnable } from "../mem/pins";
import { ETHERNET_BYTES } from "../net/protocols";
import {
  AT_NIC,
  addSegment,
  DONE_WRITES,
  finishRequest,
  fromLine,
  handleOf,
  isRequest,
  line,
  Passthru,
  pinRequest,
  Request,
  requestOf,
  SENDING,
  segmentsOf,
  toLine,
  WRITES_WAITING,
} from "./passthru";

/** Takes the elements of a frame's payload: OK, or why the frame can't be. */
export function fillWrite(p: Passthru, request: Request, segment: u32, count: u32): u32 {
  let total: u64 = 0;
  for (let k: u32 = 0; k < count; k++) {
    const at = segment + k * SEGMENT;
    const bytes = load<u32>(at, 4);
    if (!pinnable(p.host.pins, load<u32>(at), bytes)) return PASSTHRU_E_RANGE;
    total += bytes;
  }
  if (total < p.headerBytes + ETHERNET_BYTES) return PASSTHRU_E_TOO_SHORT;
  if (total > <u64>p.headerBytes + p.frameMost) return PASSTHRU_E_TOO_LONG;
  const frameBytes = <u32>total - p.headerBytes;
  request.headBytes = p.headerBytes + min(p.headerMost, frameBytes);
  request.bytes = <u32>total - request.headBytes;
  let left = request.headBytes;
  for (let k: u32 = 0; k < count; k++, segment += SEGMENT) {
    const bytes = load<u32>(segment, 4);
    const headers = min(bytes, left);
    left -= headers;
    addSegment(request, load<u32>(segment) + headers, bytes - headers);
  }
  return OK;
}

/** A frame that is taken has its headers copied, from the elements that it was filled with. */
export function copyHeaders(p: Passthru, request: Request, segment: u32): void {
  let to = request.head;
  for (let left = request.headBytes; left; segment += SEGMENT) {
    const bytes = min(load<u32>(segment, 4), left);
    copyBytes(to, load<u32>(segment), bytes);
    to += bytes;
    left -= bytes;
  }
  p.host.headerCopyBytes += request.headBytes - p.headerBytes;
}

/** A filled write is to be sent, once its pages are pinned and those before it are. */
export function queueWrite(p: Passthru, request: Request): void {
  const waits = line(p, WRITES_WAITING).count != 0 || !p.bound || pinRequest(p, request) != OK;
  if (waits) toLine(p, request, WRITES_WAITING);
  else send(p, request);
}

@inline
function send(p: Passthru, request: Request): void {
  p.host.pinnedPages += request.pages;
  toLine(p, request, SENDING);
}

/** Pins what waited for that, in order, as far as it goes. */
export function retryWrites(p: Passthru): void {
  const waiting = line(p, WRITES_WAITING);
  while (waiting.count && p.bound) {
    if (pinRequest(p, changetype<Request>(waiting.first)) != OK) return;
    send(p, fromLine(p, WRITES_WAITING));
  }
}

/** The NIC takes the next packet; 0 when there is none. */
@inline
export function nicTakes(p: Passthru): Request {
  const request = fromLine(p, SENDING);
  if (!isRequest(request)) return request;
  request.line = AT_NIC;
  p.atNic++;
  return request;
}

/** The NIC is done with a packet of its own. */
@inline
export function nicSent(p: Passthru, request: Request, status: u32): void {
  p.atNic--;
  p.writes++;
  finishRequest(p, request, status, DONE_WRITES);
}

// What a NIC calls that is not in the engine

/**
 * Hands up to `most` packets over, as popped records (abi.ts) of readable elements in [out, out + bytes): the head
 * comes first. How many.
 */
export function passthruDepart(ptr: u32, out: u32, bytes: u32, most: u32): u32 {
  const p = changetype<Passthru>(ptr);
  const longest = POP_HEADER + (p.mostSegments + 1) * SEGMENT;
  const end = out + bytes;
  retryWrites(p);
  let taken: u32 = 0;
  for (; taken < most && end - out >= longest; taken++) {
    const request = nicTakes(p);
    if (!isRequest(request)) break;
    out = describe(p, request, out);
  }
  return taken;
}

function describe(p: Passthru, request: Request, out: u32): u32 {
  store<u32>(out, handleOf(p, request));
  store<u32>(out, request.segments + 1, 4);
  store<u32>(out, request.headBytes + request.bytes, 8);
  store<u32>(out, 0, 12);
  store<u32>(out, request.head, POP_HEADER);
  store<u32>(out, request.headBytes, POP_HEADER + 4);
  const behind = out + POP_HEADER + SEGMENT;
  memory.copy(behind, segmentsOf(request), request.segments * SEGMENT);
  return behind + request.segments * SEGMENT;
}

/** The NIC is done with the packets of `count` records {handle, 0 or 1 for an error}; how many were its. */
export function passthruSent(ptr: u32, records: u32, count: u32): u32 {
  const p = changetype<Passthru>(ptr);
  let known: u32 = 0;
  for (let k: u32 = 0; k < count; k++, records += PASSTHRU_SENT) {
    const request = requestOf(p, load<u32>(records));
    if (!isRequest(request)) {
      p.staleSent++;
      continue;
    }
    nicSent(p, request, load<u32>(records, 4) ? PASSTHRU_E_WIRE : OK);
    known++;
  }
  retryWrites(p);
  return known;
}
