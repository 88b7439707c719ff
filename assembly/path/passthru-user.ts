// Who uses an interface asks for reads and writes, and hears of them later; a NIC that is not in the engine has its
// frames looked at here before the host's own stack sees them. A burst a call.

import {
  ADD_HEADER,
  OK,
  PASSTHRU_COMPLETION,
  PASSTHRU_E_ELEMENTS,
  PASSTHRU_E_FULL,
  PASSTHRU_E_LOCKED_PAGES,
  PASSTHRU_E_UNBOUND,
  SEGMENT,
} from "../abi";
import { copyBytes } from "../mem/copy";
import { ETHERNET_BYTES } from "../net/protocols";
import {
  DONE_READS,
  DONE_WRITES,
  finishRequest,
  freeRequest,
  fromLine,
  isRequest,
  line,
  Passthru,
  pinRequest,
  READS_WAITING,
  Request,
  releaseRequest,
  SENDING,
  toLine,
  withdrawReads,
  withinLimit,
} from "./passthru";
import { fillRead, nicAsks, passFrame, splitBytes, splitHead } from "./passthru-read";
import { copyHeaders, fillWrite, queueWrite, retryWrites } from "./passthru-write";

/** Takes the elements of a request: OK, or why it can't be. */
function fill(p: Passthru, request: Request, reads: bool, counts: u32, segment: u32): u32 {
  const readable = counts & 0xffff;
  const writable = counts >> 16;
  // Of one direction, and as many elements as there is room for.
  if (!(reads ? writable : readable) || (reads ? readable : writable)) return PASSTHRU_E_ELEMENTS;
  if (readable + writable > p.mostSegments) return PASSTHRU_E_ELEMENTS;
  const wrong = reads ? fillRead(p, request, segment, writable) : fillWrite(p, request, segment, readable);
  if (wrong) return wrong;
  return withinLimit(p, request) ? OK : PASSTHRU_E_LOCKED_PAGES;
}

/**
 * A program's requests: takes those of `count` records as for add from `records` on; how many. The first that can't be
 * taken, or pinned at once, is refused as it is, with all behind it: nothing of them is kept.
 */
export function passthruSubmit(ptr: u32, records: u32, count: u32): u32 {
  const p = changetype<Passthru>(ptr);
  p.refusal = p.bound ? OK : PASSTHRU_E_UNBOUND;
  let taken: u32 = 0;
  while (taken < count && !p.refusal) {
    const counts = load<u32>(records, 4);
    p.refusal = submit(p, load<u32>(records), counts, records + ADD_HEADER);
    if (p.refusal) break;
    records += ADD_HEADER + ((counts & 0xffff) + (counts >> 16)) * SEGMENT;
    taken++;
  }
  nicAsks(p);
  return taken;
}

function submit(p: Passthru, token: u32, counts: u32, segment: u32): u32 {
  const request = freeRequest(p, token);
  if (!isRequest(request)) return PASSTHRU_E_FULL;
  const reads = counts >> 16 != 0;
  let wrong = fill(p, request, reads, counts, segment);
  if (!wrong) wrong = pinRequest(p, request);
  if (wrong) {
    releaseRequest(p, request);
    return wrong;
  }
  queue(p, request, reads, segment);
  return OK;
}

/**
 * A buffer of a guest's receive or transmit queue, of which it is known that its device can reach it. It can't be
 * refused: what can't be is done at once, with nothing written, and what can't be pinned yet waits. False when there is
 * no request free.
 */
export function takeBuffer(p: Passthru, reads: bool, token: u32, counts: u32, segment: u32): bool {
  const request = freeRequest(p, token);
  if (!isRequest(request)) return false;
  const wrong = fill(p, request, reads, counts, segment);
  if (wrong) {
    p.refused++;
    finishRequest(p, request, wrong, reads ? DONE_READS : DONE_WRITES);
  } else queue(p, request, reads, segment);
  return true;
}

/** A request that was filled from `segment` on is taken. */
function queue(p: Passthru, request: Request, reads: bool, segment: u32): void {
  if (reads) {
    toLine(p, request, READS_WAITING);
    return;
  }
  copyHeaders(p, request, segment);
  queueWrite(p, request);
}

/** Writes up to `most` records of what is done to `out`: reads first; how many. */
export function passthruComplete(ptr: u32, out: u32, most: u32): u32 {
  const p = changetype<Passthru>(ptr);
  const reads = collect(p, DONE_READS, out, most);
  return reads + collect(p, DONE_WRITES, out + reads * PASSTHRU_COMPLETION, most - reads);
}

function collect(p: Passthru, from: u32, out: u32, most: u32): u32 {
  let count: u32 = 0;
  for (; count < most; count++) {
    const request = fromLine(p, from);
    if (!isRequest(request)) break;
    store<u32>(out, request.token);
    store<u32>(out, request.written, 4);
    store<u32>(out, request.status, 8);
    store<u32>(out, request.more, 12);
    out += PASSTHRU_COMPLETION;
    releaseRequest(p, request);
  }
  return count;
}

/** Withdraws the reads that no frame has come for. */
export function passthruCancel(ptr: u32): void {
  withdrawReads(changetype<Passthru>(ptr));
}

/** A NIC is there, whose words are set: it asks for buffers. */
export function passthruBind(ptr: u32): void {
  const p = changetype<Passthru>(ptr);
  p.bound = 1;
  passthruAsk(ptr);
}

/** The NIC asks for buffers that have come since, and what could not be pinned is tried again. */
export function passthruAsk(ptr: u32): void {
  const p = changetype<Passthru>(ptr);
  retryWrites(p);
  nicAsks(p);
}

/** Nothing more goes to the NIC but what it has, or is to send already: how many packets that are. */
export function passthruStop(ptr: u32): u32 {
  const p = changetype<Passthru>(ptr);
  if (p.bound) {
    p.bound = 0;
    withdrawReads(p);
  }
  return line(p, SENDING).count + p.atNic;
}

/**
 * The receive hook. Takes the user's of the `count` frames {ptr, bytes} at `records`, which lie outside of what the
 * user reaches; what is left is moved to the front of the records, for the host's stack: how many.
 */
export function passthruArrive(ptr: u32, records: u32, count: u32): u32 {
  const p = changetype<Passthru>(ptr);
  let left: u32 = 0;
  nicAsks(p);
  for (let k: u32 = 0; k < count; k++) {
    const frame = load<u32>(records + k * SEGMENT);
    const bytes = load<u32>(records + k * SEGMENT, 4);
    if (takesFrame(p, frame, bytes)) {
      arrive(p, frame, bytes);
      continue;
    }
    store<u32>(records + left * SEGMENT, frame);
    store<u32>(records + left * SEGMENT, bytes, 4);
    p.stackPackets++;
    p.stackBytes += bytes;
    left++;
  }
  nicAsks(p);
  return left;
}

/** Whether a frame is the user's: while a NIC is bound, all are, or those to its address and to groups. */
function takesFrame(p: Passthru, frame: u32, bytes: u32): bool {
  if (!p.bound || bytes < ETHERNET_BYTES) return false;
  if (!p.filters || load<u8>(frame) & 1) return true;
  return load<u32>(frame) == p.macLow && <u32>load<u16>(frame, 4) == p.macHigh;
}

function arrive(p: Passthru, frame: u32, bytes: u32): void {
  if (bytes > p.frameMost) {
    p.dropsTooLong++;
    return;
  }
  // The NIC's own write, into memory of the host's.
  copyBytes(splitHead(p), frame, splitBytes(p, bytes));
  passFrame(p, 0, splitHead(p), frame, bytes, bytes);
}
