// A port whose host is an interface that packets pass by (passthru.ts): the guest's queue is its user, and the NIC is
// here. What is to be sent the NIC reads in order, after a while, and says that it is done in any order:
//
//   wire   | read, done is not said yet: any may be next | taken, not read yet: in order |      a ring of mask + 1
//          ^ first                                       ^ first + read                  ^ first + taken

import { IN_FLIGHT_REORDER, OK, PACKET_HEAD, SEGMENT, TOUCH_COPY, TOUCH_DIGEST, TOUCH_NONE } from "../abi";
import { copyBytes } from "../mem/copy";
import { xorshift } from "../mem/random";
import { isLive } from "../ring/queue";
import {
  DONE_READS,
  DONE_WRITES,
  isRequest,
  line,
  Passthru,
  passthruForget,
  READS,
  Request,
  segmentsOf,
} from "./passthru";
import { guestGives, guestTakes } from "./passthru-guest";
import { NO_BUFFER, nicAsks, passFrame, splitBytes, splitHead, TOO_LONG } from "./passthru-read";
import { nicSent, nicTakes, retryWrites } from "./passthru-write";
import { devicePop, devicePublishUsed, Port } from "./port";
import { wireReadsHosts } from "./wire";

@unmanaged
export class PassthruWire {
  requests: u32;
  mask: u32;
  first: u32;
  /** Packets that are the NIC's, and those of them that it has read. */
  taken: u32;
  read: u32;
  /** Packets that it takes before it reads the first of them. */
  holds: u32;
  /** State of the generator, never 0. */
  generator: u32;
}

@inline
function interfaceOf(port: Port): Passthru {
  return changetype<Passthru>(port.host.passthru);
}

@inline
function wireOf(port: Port): PassthruWire {
  return changetype<PassthruWire>(port.host.wire);
}

/** Transmit: the interface takes `count` popped packets. False once the queue is no more. */
export function passthruTakes(port: Port, count: u32): bool {
  const p = interfaceOf(port);
  guestTakes(p, false, port.popped, count);
  retryWrites(p);
  nicSends(port, p);
  // With nothing new the wire goes on all the same.
  if (!count) while (wireGoesOn(port, p) && !line(p, DONE_WRITES).count) {}
  port.host.shown = gives(port, p, DONE_WRITES);
  return isLive(port.device);
}

/** Waits for the wire, and shows the guest what it is done with. */
export function passthruDrain(port: Port): void {
  const p = interfaceOf(port);
  do {
    retryWrites(p);
    nicSends(port, p);
  } while (wireGoesOn(port, p));
  port.host.shown = gives(port, p, DONE_WRITES);
}

/** The queue is to be stopped: nothing of it stays pinned, here or at the NIC. */
export function passthruClose(port: Port): void {
  passthruForget(port.host.passthru, true);
  passthruForget(port.host.passthru, false);
  wireOf(port).taken = 0;
  wireOf(port).read = 0;
}

function nicSends(port: Port, p: Passthru): void {
  const wire = wireOf(port);
  for (;;) {
    const request = nicTakes(p);
    if (!isRequest(request)) return;
    store<u32>(entryAt(wire, wire.taken++), changetype<u32>(request));
    port.packets++;
    port.bytes += request.headBytes - p.headerBytes + request.bytes;
    while (wire.taken - wire.read > wire.holds) wireGoesOn(port, p);
  }
}

@inline
function entryAt(wire: PassthruWire, k: u32): u32 {
  return wire.requests + (((wire.first + k) & wire.mask) << 2);
}

/** The wire reads a packet, or is done with one; false with nothing under way. */
function wireGoesOn(port: Port, p: Passthru): bool {
  const wire = wireOf(port);
  if (!wire.taken) return false;
  if (wire.read < wire.taken) {
    wireReads(port, p, changetype<Request>(load<u32>(entryAt(wire, wire.read++))));
    if (wire.read <= IN_FLIGHT_REORDER) return true;
  }
  wire.generator = xorshift(wire.generator);
  const chosen = entryAt(wire, wire.generator % min(wire.read, IN_FLIGHT_REORDER));
  const request = changetype<Request>(load<u32>(chosen));
  // The first one takes its place.
  store<u32>(chosen, load<u32>(entryAt(wire, 0)));
  wire.first++;
  wire.taken--;
  wire.read--;
  nicSent(p, request, OK);
  return true;
}

/** The NIC's DMA: a head of the host's, and the user's pages. */
function wireReads(port: Port, p: Passthru, request: Request): void {
  if (port.touch == TOUCH_NONE) return;
  const head = request.head + p.headerBytes;
  const headers = request.headBytes - p.headerBytes;
  if (port.touch < TOUCH_COPY) {
    wireReadsHosts(port, head, headers);
    return;
  }
  let to = port.target;
  copyBytes(to, head, headers);
  to += headers;
  const segments = segmentsOf(request);
  for (let k: u32 = 0; k < request.segments; k++) {
    const at = segments + k * SEGMENT;
    copyBytes(to, load<u32>(at), load<u32>(at, 4));
    to += load<u32>(at, 4);
  }
  if (port.touch == TOUCH_DIGEST) wireReadsHosts(port, port.target, to - port.target);
}

/** Receive: `count` frames of the stream, into buffers that the NIC has asked for ahead of them. */
export function passthruSends(port: Port, count: u32): void {
  const p = interfaceOf(port);
  asks(port, p);
  for (; count; count--) {
    const ptr = load<u32>(port.cursor);
    const bytes = load<u32>(port.cursor, 4);
    port.cursor += SEGMENT;
    if (bytes > port.frameMost) {
      port.dropsTooLong++;
      continue;
    }
    const frame = ptr + port.headerBytes;
    let headersAt = frame;
    let moved: u32 = min(bytes, PACKET_HEAD);
    if (port.touch >= TOUCH_COPY) {
      moved = bytes;
      headersAt = splitHead(p);
      copyBytes(headersAt, frame, splitBytes(p, bytes));
    }
    const passed = passFrame(p, ptr, headersAt, frame, bytes, moved);
    if (passed == NO_BUFFER) port.dropsNoBuffer++;
    else if (passed == TOO_LONG) port.dropsTooLong++;
  }
  gives(port, p, DONE_READS);
}

/** Buffers that the guest has posted become the NIC's. */
function asks(port: Port, p: Passthru): void {
  nicAsks(p);
  while (line(p, READS).count < p.ahead) {
    const got = devicePop(port, port.batch);
    if (!got) return;
    guestTakes(p, true, port.popped, got);
    nicAsks(p);
  }
}

function gives(port: Port, p: Passthru, done: u32): u32 {
  const given = guestGives(p, done, changetype<u32>(port.device), port.packed, port.used, port.staging);
  if (given) devicePublishUsed(port);
  return given;
}

/** Bytes of a NIC that has at most `most` packets. */
export function passthruWireBytes(most: u32): u32 {
  return offsetof<PassthruWire>() + (most << 2);
}

/** The NIC of a port, with room for `most` packets, a power of two; it reads the first one when it has `holds` and another. */
export function passthruWireInit(ptr: u32, most: u32, holds: u32, generator: u32): void {
  const wire = changetype<PassthruWire>(ptr);
  memory.fill(ptr, 0, offsetof<PassthruWire>());
  wire.requests = ptr + offsetof<PassthruWire>();
  wire.mask = most - 1;
  wire.holds = holds;
  wire.generator = generator;
}
