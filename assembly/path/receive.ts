// A burst of frames from the wire to a consumer: the device writes them into posted buffers and marks those
// used; the driver's poll takes them, makes packets of them by its kind of receive buffer, and posts
// buffers again, at the threshold and in the batches of its policy.

import {
  ADD_HEADER,
  OP_RECEIVE,
  OP_REFILL,
  PAGE_SIZE,
  R_DMA_MAP_FAILED,
  RECLAIM_RECORD,
  RX_ALLOC_PER_PACKET,
  RX_BIG,
  RX_FRAMES,
  RX_MERGEABLE,
  RX_PAGE_POOL,
  RX_PAGE_REUSE,
  RX_PAGE_REUSE_BUILD,
  RX_PREMAPPED,
  RX_STREAMING,
  SEGMENT,
} from "../abi";
import { traceOp } from "../mem/trace";
import { ETHERNET_BYTES } from "../net/protocols";
import { isLive } from "../ring/queue";
import { bigNext } from "../rx/big";
import { consumerDropAll, consumerPacket, consumerTakes } from "../rx/consumer";
import { rxClose, rxKeep, rxOpen, rxReceive, rxReturn, rxShow, rxTake } from "../rx/kinds";
import { bufferHandle, Packet, packetAddFragment, rxSyncForDevice } from "../rx/rx-ring";
import { VIRTIO_NET_HDR_NUM_BUFFERS } from "../spec";
import { Frame } from "./app";
import {
  appDropsAll,
  appPosts,
  appReceiveClose,
  appReceiveOpen,
  appReceives,
  appReceiveTurn,
  appTakes,
} from "./app-receive";
import { hostPlaces, hostPlacesFirst, hostPolls, hostSends } from "./host-receive";
import { MOVE_WIRE, placeBegin, placeBuffers, placeEnd, placeForget, placeFrame } from "./place-frame";
import {
  appOf,
  burstPackets,
  chargeFrom,
  chargeTo,
  driverAdd,
  driverPublish,
  driverReclaim,
  hostOf,
  Port,
  traceReclaim,
} from "./port";
import { pollStream, streamSends } from "./stream";

/** One burst of at most `port.left` frames; how many the wire sent, and 0 once the queue is broken. */
export function receiveBurst(port: Port): u32 {
  if (!bothLive(port)) return 0;
  const count = burstPackets(port);
  chargeFrom(port);
  if (hostOf(port)) hostPolls(port);
  const dealt = wireSends(port, count);
  poll(port);
  if (appOf(port)) appTurn(port);
  // What was under way in a broken queue stays to be moved, so that nobody takes it for received.
  const received = bothLive(port);
  if (received) {
    port.left -= dealt;
    advance(port, dealt);
  }
  chargeTo(port);
  return received ? dealt + (hostOf(port) ? port.host.shown : 0) : 0;
}

/** A device can break the driver half, too. */
@inline
function bothLive(port: Port): bool {
  return isLive(port.device) && isLive(port.driver);
}

/** A pass begins anew behind its last frame. */
function advance(port: Port, count: u32): void {
  port.done += count;
  if (port.done < port.frames) return;
  port.done = 0;
  port.cursor = port.stream;
  if (port.dropAtEnd) dropAll(port);
}

/** Whoever holds packets back lets go of them. */
export function dropAll(port: Port): void {
  consumerDropAll(port.consumer);
  if (appOf(port)) appDropsAll(port);
}

/** The program's turn; if it wakes the driver, that posts what it was given. */
function appTurn(port: Port): void {
  if (appReceiveTurn(port)) refill(port);
}

/** The device's side: `count` frames into as many buffers as there are; how many are dealt with, placed or dropped. */
function wireSends(port: Port, count: u32): u32 {
  if (port.rx.kind == RX_STREAMING) return streamSends(port, count);
  if (hostOf(port) && hostSends(port, count)) return count;
  placeBegin(port, count);
  let left = count;
  if (hostOf(port)) left -= hostPlacesFirst(port, count);
  for (; left; left--) {
    const ptr = load<u32>(port.cursor);
    const bytes = load<u32>(port.cursor, 4);
    if (bytes > port.frameMost) port.dropsTooLong++;
    else if (hostOf(port)) {
      if (!hostPlaces(port, ptr, bytes)) break;
    } else {
      const total = port.headerBytes + bytes;
      const buffers = placeBuffers(port, total);
      if (buffers && !placeFrame(port, MOVE_WIRE, ptr, total, buffers)) break;
    }
    port.cursor += SEGMENT;
  }
  placeEnd(port);
  return count - left;
}

/** The driver's side, with a loop for each kind. */
export function poll(port: Port): void {
  switch (port.rx.kind) {
    case RX_ALLOC_PER_PACKET:
      pollKind(port, RX_ALLOC_PER_PACKET);
      break;
    case RX_PAGE_REUSE:
      pollKind(port, RX_PAGE_REUSE);
      break;
    case RX_PAGE_REUSE_BUILD:
      pollKind(port, RX_PAGE_REUSE_BUILD);
      break;
    case RX_PAGE_POOL:
      pollKind(port, RX_PAGE_POOL);
      break;
    case RX_MERGEABLE:
      pollKind(port, RX_MERGEABLE);
      break;
    case RX_BIG:
      pollKind(port, RX_BIG);
      break;
    case RX_STREAMING:
      pollStream(port);
      if (port.rx.depth) refill(port);
      break;
    case RX_FRAMES:
      pollKind(port, RX_FRAMES);
      break;
    default:
      pollKind(port, RX_PREMAPPED);
  }
}

@inline
function pollKind(port: Port, kind: u32): void {
  const inPoll = port.refillInPoll;
  // What an earlier refill could not post is tried again first.
  let cleaned = port.driver.numFree;
  if (inPoll && cleaned >= port.refillAt) {
    refill(port);
    cleaned = 0;
  }
  for (;;) {
    const got = driverReclaim(port);
    if (!got) break;
    traceReclaim(port, got);
    for (let k: u32 = 0; k < got; ) {
      const buffers = receive(port, kind, port.reclaimed + k * RECLAIM_RECORD, got - k);
      k += buffers;
      cleaned += buffers * port.descriptors;
      if (inPoll && cleaned >= port.refillAt) {
        refillSome(port, cleaned / port.descriptors);
        cleaned = 0;
      }
    }
    if (got < port.staging) break;
  }
  if (!inPoll && port.driver.numFree >= port.refillAt) refill(port);
}

/** The buffer of `record`, behind which `left` with it came back, begins a frame: how many of them are dealt with. */
@inline
function receive(port: Port, kind: u32, record: u32, left: u32): u32 {
  const rx = port.rx;
  const buffer = load<u32>(record);
  const written = load<u32>(record, 4);
  if (kind == RX_FRAMES) {
    appReceives(port, changetype<Frame>(buffer), written);
    return 1;
  }
  if (written < port.headerBytes + ETHERNET_BYTES) {
    port.dropsTooShort++;
    rxReturn(rx, buffer);
    return 1;
  }
  let frameBytes = written - port.headerBytes;
  rxShow(rx, kind, buffer, rx.frameOffset + frameBytes);
  let buffers: u32 = 1;
  if (port.mergeable) {
    // The device may still write to the buffer: the count is read here, and nowhere else.
    buffers = load<u16>(buffer, VIRTIO_NET_HDR_NUM_BUFFERS);
    if (buffers != 1 && !canMerge(port, record, buffers, left))
      return returnMerged(port, record, buffers, left);
  }
  const packet = consumerPacket(port.consumer);
  if (!packet) {
    port.dropsNoPacket++;
    return returnMerged(port, record, buffers, left);
  }
  const filled = changetype<Packet>(packet);
  rxReceive(rx, kind, buffer, frameBytes, filled);
  if (buffers > 1) frameBytes += receiveMore(port, record, buffers, filled);
  traceOp(rx.space.trace, OP_RECEIVE, frameBytes, filled.headBytes);
  if (!appOf(port) || !appTakes(port, kind, filled, frameBytes)) {
    consumerTakes(port.consumer, kind, filled, frameBytes);
  }
  return buffers;
}

/** Whether a frame can have `buffers`, of which `left` are there; counts why not. */
function canMerge(port: Port, record: u32, buffers: u32, left: u32): bool {
  if (!buffers || buffers > left || buffers > port.buffersMost) {
    port.dropsNumBuffers++;
    return false;
  }
  for (let k: u32 = 1; k < buffers; k++) {
    if (load<u32>(record + k * RECLAIM_RECORD, 4)) continue;
    port.dropsTooShort++;
    return false;
  }
  return true;
}

/** What belongs to a dropped frame goes back to where it came from: how many buffers that were. */
function returnMerged(port: Port, record: u32, buffers: u32, left: u32): u32 {
  const count = max(1, min(buffers, left));
  for (let k: u32 = 0; k < count; k++) rxReturn(port.rx, load<u32>(record + k * RECLAIM_RECORD));
  return count;
}

/** The buffers behind the first become fragments of the packet: the bytes in them. */
function receiveMore(port: Port, record: u32, buffers: u32, packet: Packet): u32 {
  const rx = port.rx;
  let bytes: u32 = 0;
  for (let k: u32 = 1; k < buffers; k++) {
    record += RECLAIM_RECORD;
    const buffer = load<u32>(record);
    const written = load<u32>(record, 4);
    rxShow(rx, rx.kind, buffer, written);
    rxKeep(rx, rx.kind, buffer);
    packetAddFragment(packet, buffer, written);
    bytes += written;
  }
  return bytes;
}

/** Posts as many buffers as the ring has room for. */
export function refill(port: Port): void {
  const room = port.driver.numFree / port.descriptors;
  // Streaming buffers are few: there is no more to post than what waits.
  refillSome(port, port.rx.kind == RX_STREAMING ? min(room, port.rx.depth) : room);
}

/** Posts `count` buffers, or as many as can be had, and shows them to the device. */
function refillSome(port: Port, count: u32): void {
  let posted: u32 = 0;
  while (posted < count) {
    const wanted = min(count - posted, port.staging);
    const staged = stageBuffers(port, wanted);
    const added = driverAdd(port, port.add, staged);
    posted += added;
    if (added < staged) {
      if (port.driver.refusal == R_DMA_MAP_FAILED) port.refillsMapFailed++;
      returnStaged(port, added, staged);
      break;
    }
    if (staged < wanted) {
      if (port.rx.failure) port.refillsMapFailed++;
      else port.refillsNoPage++;
      break;
    }
  }
  if (posted) {
    port.refills++;
    driverPublish(port);
  }
  traceOp(port.driver.space.trace, OP_REFILL, posted, port.driver.numFree);
}

function stageBuffers(port: Port, count: u32): u32 {
  const rx = port.rx;
  const kind = rx.kind;
  if (kind == RX_FRAMES) return appPosts(port, count);
  let at = port.add;
  let staged: u32 = 0;
  for (; staged < count; staged++) {
    const buffer = rxTake(rx, kind);
    if (!buffer) break;
    if (rx.syncDevice) rxSyncForDevice(rx, buffer);
    at = stageBuffer(port, at, buffer);
  }
  return staged;
}

/** One element for header and frame, or one for each; or as many as there are pages, and one for the header. */
@inline
function stageBuffer(port: Port, at: u32, buffer: u32): u32 {
  const rx = port.rx;
  store<u32>(at, buffer);
  store<u32>(at, port.sgs << 16, 4);
  if (port.sgs > 2) return stagePages(port, at + ADD_HEADER, buffer);
  const dma = bufferHandle(rx, buffer);
  store<u32>(at, dma, ADD_HEADER);
  if (port.sgs == 1) {
    store<u32>(at, rx.bufferBytes, ADD_HEADER + 4);
    return at + ADD_HEADER + SEGMENT;
  }
  store<u32>(at, port.headerBytes, ADD_HEADER + 4);
  store<u32>(at, dma + rx.frameOffset, ADD_HEADER + SEGMENT);
  store<u32>(at, rx.bufferBytes - rx.frameOffset, ADD_HEADER + SEGMENT + 4);
  return at + ADD_HEADER + 2 * SEGMENT;
}

/** The header's element, what is behind it in its page, and the other pages. */
function stagePages(port: Port, sg: u32, buffer: u32): u32 {
  const offset = port.rx.frameOffset;
  sg = stageElement(sg, buffer, port.headerBytes);
  sg = stageElement(sg, buffer + offset, PAGE_SIZE - offset);
  for (let page = bigNext(port.rx, buffer); page; page = bigNext(port.rx, page)) {
    sg = stageElement(sg, page, PAGE_SIZE);
  }
  return sg;
}

@inline
function stageElement(sg: u32, ptr: u32, bytes: u32): u32 {
  store<u32>(sg, ptr);
  store<u32>(sg, bytes, 4);
  return sg + SEGMENT;
}

/** What the ring did not take goes back to where it came from. */
function returnStaged(port: Port, added: u32, staged: u32): void {
  const stride = ADD_HEADER + port.sgs * SEGMENT;
  for (let k = added; k < staged; k++) rxReturn(port.rx, load<u32>(port.add + k * stride));
}

/** Makes the buffers ready and fills the ring; false when none could be had: then nothing is left of it. */
export function receiveOpen(port: Port): bool {
  placeForget(port);
  if (!rxOpen(port.rx)) {
    rxClose(port.rx);
    return false;
  }
  if (appOf(port) && !appReceiveOpen(port)) {
    rxClose(port.rx);
    return false;
  }
  refill(port);
  // What is lacking is posted later; without any buffer nothing would ever come, if a program does not give them later.
  if (port.driver.outstanding || (appOf(port) && !port.app.plays && port.rx.kind == RX_FRAMES)) return true;
  receiveClose(port);
  return false;
}

/** With both halves stopped and everything detached: drops what is held and gives everything back. */
export function receiveClose(port: Port): void {
  dropAll(port);
  rxClose(port.rx);
  if (appOf(port)) appReceiveClose(port);
}
