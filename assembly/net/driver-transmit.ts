// The driver half sends: each frame gets a header that asks for what was negotiated, and what was not is
// done here in software (5.1.9.2.1).

import {
  ADD_HEADER,
  FRAME_IPV4,
  FRAME_TCP,
  NET_FRAME,
  NET_FRAME_BYTES,
  NET_FRAME_F_CHECKSUM,
  NET_FRAME_FLAGS,
  NET_FRAME_HDR,
  NET_FRAME_MAX,
  NET_FRAME_PAIR,
  NET_FRAME_TOKEN,
  NET_NO_TOKEN,
  NET_XMIT_BYTES,
  NET_XMIT_CSUM_OFFLOAD,
  NET_XMIT_CSUM_SOFTWARE,
  NET_XMIT_DROP_RESET,
  NET_XMIT_ERRORS,
  NET_XMIT_GSO_OFFLOAD,
  NET_XMIT_GSO_SEGMENTS,
  NET_XMIT_GSO_SOFTWARE,
  NET_XMIT_PACKETS,
  OK,
  R_NET_CSUM,
  R_NET_GSO,
  R_NET_HEADER,
  R_NET_LENGTH,
  R_NET_MTU,
  R_NET_PAIR,
  RECLAIM_RECORD,
  SEGMENT,
} from "../abi";
import { stackCount, stackPut, stackTake } from "../mem/stack";
import { DriverQueue } from "../ring/driver";
import {
  VIRTIO_NET_F_OUT_NET_HEADER,
  VIRTIO_NET_HDR_CSUM_OFFSET,
  VIRTIO_NET_HDR_CSUM_START,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM,
  VIRTIO_NET_HDR_GSO_ECN,
  VIRTIO_NET_HDR_GSO_NONE,
  VIRTIO_NET_HDR_GSO_SIZE,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
  VIRTIO_NET_HDR_GSO_TYPE,
  VIRTIO_NET_HDR_GSO_UDP_L4,
  VIRTIO_NET_HDR_HDR_LEN,
  VIRTIO_NET_HDR_MAX_SIZE,
  VIRTIO_NET_HDR_OUTER_NH,
  VIRTIO_NET_HDR_OUTER_TH,
} from "../spec";
import { checksumComplete, checksumOffset, checksumSeed } from "./checksum";
import {
  addStaged,
  armUsed,
  countOf,
  detachStopped,
  driverQueueWorks,
  NetDriver,
  NetDriverQueue,
  reclaimUsed,
  SLOT_HEADER,
  sendQueue,
} from "./driver";
import { linkBytes } from "./filter";
import { GSO_TUNNEL, hasFeature, kindsAsked, tunnelBitsContradict } from "./header";
import { startLarge } from "./large";
import { parseFrame } from "./parse";
import { ETHERNET_BYTES, TCP_FLAG_CWR } from "./protocols";
import { segmentNext } from "./segment";
import { packetOf } from "./segmenter";

/** A header and a frame. */
const ELEMENTS: u32 = 2;
const RECORD_BYTES: u32 = ADD_HEADER + ELEMENTS * SEGMENT;

/**
 * Sends the first `count` frames of `outgoing`; how many. It stops early where the ring has no room, or at a frame
 * that can't be sent (`refusal`). Until a frame's token is back its bytes are lent: they must not change, and of
 * one whose checksum was open they may have been completed.
 */
export function netDriverTransmit(ptr: u32, count: u32): u32 {
  const net = changetype<NetDriver>(ptr);
  net.refusal = OK;
  let record = net.outgoing;
  let done: u32 = 0;
  for (; done < count; done++) {
    const pair: u32 = load<u16>(record, NET_FRAME_PAIR);
    // M-D-02.
    if (pair >= net.activePairs) {
      net.refusal = R_NET_PAIR;
      break;
    }
    const queue = sendQueue(net, pair);
    if (!driverQueueWorks(queue) || !sendFrame(net, queue, record)) break;
    record += NET_FRAME;
  }
  net.refusalIndex = done;
  for (let pair: u32 = 0; pair < net.activePairs; pair++) flush(sendQueue(net, pair));
  return done;
}

/** Stages one frame; false when it can't be sent, or not yet. */
function sendFrame(net: NetDriver, queue: NetDriverQueue, record: u32): bool {
  if (!hasRoom(queue, 1, ELEMENTS)) {
    // What is staged may take less of the ring than was reckoned with.
    flush(queue);
    if (!hasRoom(queue, 1, ELEMENTS)) return false;
  }
  const frame = load<u32>(record);
  const bytes = load<u32>(record, NET_FRAME_BYTES);
  const header = record + NET_FRAME_HDR;
  if (bytes < ETHERNET_BYTES || bytes > NET_FRAME_MAX) return refuse(net, R_NET_LENGTH);
  if (load<u16>(record, NET_FRAME_FLAGS) & NET_FRAME_F_CHECKSUM) {
    if (!describe(net, frame, bytes, header)) return refuse(net, R_NET_GSO);
    store<u16>(record, 0, NET_FRAME_FLAGS);
  }
  const flags: u32 = load<u8>(header);
  const gsoType: u32 = load<u8>(header, VIRTIO_NET_HDR_GSO_TYPE);
  const asked = kindsAsked(flags, gsoType);
  if (tunnelBitsContradict(flags, gsoType, true)) return refuse(net, R_NET_HEADER);
  const needsCsum = (flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
  if (needsCsum && csumEnd(header) > bytes) return refuse(net, R_NET_CSUM);
  if (asked) return sendLarge(net, queue, record, asked);
  // N-B-04.
  if (net.mtu && bytes > net.mtu + linkBytes(frame)) return refuse(net, R_NET_MTU);
  if (needsCsum && !net.sendsPartial) {
    // N-D-04.
    checksumComplete(
      frame,
      bytes,
      load<u16>(header, VIRTIO_NET_HDR_CSUM_START),
      load<u16>(header, VIRTIO_NET_HDR_CSUM_OFFSET),
    );
    store<u8>(header, 0);
    countOf(queue, NET_XMIT_CSUM_SOFTWARE, 1);
  } else if (needsCsum) {
    countOf(queue, NET_XMIT_CSUM_OFFLOAD, 1);
  }
  stageWhole(net, queue, record);
  return true;
}

function refuse(net: NetDriver, refusal: u32): bool {
  net.refusal = refusal;
  return false;
}

@inline
function csumEnd(header: u32): u32 {
  return (
    <u32>load<u16>(header, VIRTIO_NET_HDR_CSUM_START) + load<u16>(header, VIRTIO_NET_HDR_CSUM_OFFSET) + 2
  );
}

/**
 * Fills in what a frame asks for that is only to have the right checksum, or with a gso_size to be cut into
 * segments of so much payload (N-D-05 to N-D-08). False when it can't be cut.
 */
function describe(net: NetDriver, frame: u32, bytes: u32, header: u32): bool {
  const gsoSize: u32 = load<u16>(header, VIRTIO_NET_HDR_GSO_SIZE);
  memory.fill(header, 0, VIRTIO_NET_HDR_MAX_SIZE);
  const info = net.info;
  const found = parseFrame(frame, bytes, info) && checksumSeed(frame, info);
  if (!found) return !gsoSize;
  const payloadBytes = info.end - info.payload;
  if (info.end < bytes && (!gsoSize || payloadBytes <= gsoSize)) {
    // What fills the frame up is no part of the packet, but the device would sum it up.
    checksumComplete(frame, info.end, info.transport, checksumOffset(info));
    return true;
  }
  if (info.end < bytes) return false;
  store<u8>(header, VIRTIO_NET_HDR_F_NEEDS_CSUM);
  store<u16>(header, <u16>info.transport, VIRTIO_NET_HDR_CSUM_START);
  store<u16>(header, <u16>checksumOffset(info), VIRTIO_NET_HDR_CSUM_OFFSET);
  store<u16>(header, <u16>info.payload, VIRTIO_NET_HDR_HDR_LEN);
  if (!gsoSize || payloadBytes <= gsoSize) return true;
  let gsoType = VIRTIO_NET_HDR_GSO_UDP_L4;
  if (info.flags & FRAME_TCP) {
    gsoType = info.flags & FRAME_IPV4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
    if (load<u8>(frame + info.transport, 13) & TCP_FLAG_CWR) gsoType |= VIRTIO_NET_HDR_GSO_ECN;
  }
  store<u8>(header, gsoType, VIRTIO_NET_HDR_GSO_TYPE);
  store<u16>(header, <u16>gsoSize, VIRTIO_NET_HDR_GSO_SIZE);
  return true;
}

/** A frame that is to be segmented: by the device if it may be asked, else here. */
function sendLarge(net: NetDriver, queue: NetDriverQueue, record: u32, asked: u32): bool {
  const header = record + NET_FRAME_HDR;
  // N-D-07.
  if (!(load<u8>(header) & VIRTIO_NET_HDR_F_NEEDS_CSUM)) return refuse(net, R_NET_GSO);
  const segments = net.segments;
  if (startLarge(segments, load<u32>(record), load<u32>(record, NET_FRAME_BYTES), header))
    return refuse(net, R_NET_GSO);
  if (!(asked & ~net.transmitKinds)) {
    // N-D-08.
    store<u16>(header, <u16>packetOf(segments).payload, VIRTIO_NET_HDR_HDR_LEN);
    stageWhole(net, queue, record);
    countOf(queue, NET_XMIT_GSO_OFFLOAD, 1);
    return true;
  }
  // A segment and its header are one element.
  const most = min(queue.bufferCount, changetype<DriverQueue>(queue.half).size);
  if (segments.segmentBytes > queue.bufferBytes - SLOT_HEADER || segments.segments > most)
    return refuse(net, R_NET_GSO);
  if (!hasRoom(queue, segments.segments, 1)) return false;
  countOf(queue, NET_XMIT_GSO_SOFTWARE, 1);
  countOf(queue, NET_XMIT_GSO_SEGMENTS, segments.segments);
  while (segments.payloadBytes) {
    const slot = stackTake(queue.free) - 1;
    const place = slotPlace(queue, slot);
    const bytes = segmentNext(segments, place + SLOT_HEADER);
    memory.fill(place + SLOT_HEADER - net.headerBytes, 0, net.headerBytes);
    const token = segments.payloadBytes ? NET_NO_TOKEN : load<u32>(record, NET_FRAME_TOKEN);
    stage(net, queue, slot, token, place + SLOT_HEADER, bytes);
  }
  return true;
}

/** Whether the ring and the slots have room for so many frames of so many elements more. */
function hasRoom(queue: NetDriverQueue, frames: u32, elements: u32): bool {
  const ring = changetype<DriverQueue>(queue.half);
  const wanted = queue.stagedCount * ELEMENTS + frames * min(elements, ring.size);
  return ring.numFree >= wanted && stackCount(queue.free) >= frames;
}

@inline
function slotPlace(queue: NetDriverQueue, slot: u32): u32 {
  return queue.buffers + slot * queue.bufferStride;
}

/** Stages a frame where it lies, behind a header of what was negotiated. */
function stageWhole(net: NetDriver, queue: NetDriverQueue, record: u32): void {
  const slot = stackTake(queue.free) - 1;
  const from = record + NET_FRAME_HDR;
  const headerBytes = net.headerBytes;
  const header = net.header;
  memory.fill(header, 0, VIRTIO_NET_HDR_MAX_SIZE);
  const flags: u32 = load<u8>(from);
  // N-D-09: what came with the frame when it was received is not sent on. N-D-03: num_buffers stays 0.
  if (flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
    const gsoType: u32 = load<u8>(from, VIRTIO_NET_HDR_GSO_TYPE);
    store<u8>(header, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    store<u16>(header, load<u16>(from, VIRTIO_NET_HDR_CSUM_START), VIRTIO_NET_HDR_CSUM_START);
    store<u16>(header, load<u16>(from, VIRTIO_NET_HDR_CSUM_OFFSET), VIRTIO_NET_HDR_CSUM_OFFSET);
    store<u16>(header, load<u16>(from, VIRTIO_NET_HDR_HDR_LEN), VIRTIO_NET_HDR_HDR_LEN);
    if (gsoType != VIRTIO_NET_HDR_GSO_NONE) {
      store<u8>(header, gsoType, VIRTIO_NET_HDR_GSO_TYPE);
      store<u16>(header, load<u16>(from, VIRTIO_NET_HDR_GSO_SIZE), VIRTIO_NET_HDR_GSO_SIZE);
    }
    // N-D-10, N-D-11.
    if (gsoType & GSO_TUNNEL) {
      store<u8>(header, flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM));
      store<u32>(header, load<u32>(from, VIRTIO_NET_HDR_OUTER_TH), VIRTIO_NET_HDR_OUTER_TH);
    }
  }
  const frame = load<u32>(record);
  // N-B-05.
  if (hasFeature(net.featuresLow, net.featuresHigh, VIRTIO_NET_F_OUT_NET_HEADER))
    store<u16>(header, <u16>linkBytes(frame), VIRTIO_NET_HDR_OUTER_NH);
  const place = slotPlace(queue, slot) + SLOT_HEADER - headerBytes;
  memory.copy(place, header, headerBytes);
  stage(net, queue, slot, load<u32>(record, NET_FRAME_TOKEN), frame, load<u32>(record, NET_FRAME_BYTES));
}

/** Stages a slot's header and the frame behind it: one element where they touch. */
function stage(net: NetDriver, queue: NetDriverQueue, slot: u32, token: u32, frame: u32, bytes: u32): void {
  if (queue.stagedEnd - queue.stagedNext < RECORD_BYTES) flush(queue);
  const at = queue.stagedNext;
  const end = slotPlace(queue, slot) + SLOT_HEADER;
  const header = end - net.headerBytes;
  store<u32>(queue.tokens + (slot << 2), token);
  store<u32>(at, slot);
  store<u32>(at + ADD_HEADER, header);
  if (frame == end) {
    store<u32>(at, 1, 4);
    store<u32>(at + ADD_HEADER, net.headerBytes + bytes, 4);
    queue.stagedNext = at + ADD_HEADER + SEGMENT;
  } else {
    store<u32>(at, ELEMENTS, 4);
    store<u32>(at + ADD_HEADER, net.headerBytes, 4);
    store<u32>(at + ADD_HEADER + SEGMENT, frame);
    store<u32>(at + ADD_HEADER + SEGMENT, bytes, 4);
    queue.stagedNext = at + RECORD_BYTES;
  }
  queue.stagedCount++;
  countOf(queue, NET_XMIT_PACKETS, 1);
  countOf(queue, NET_XMIT_BYTES, bytes);
}

/** Adds what is staged. What the ring does not take (a mapping that failed, say) is dropped, and its token comes back. */
function flush(queue: NetDriverQueue): void {
  const left = addStaged(queue);
  if (!left) return;
  countOf(queue, NET_XMIT_ERRORS, left);
  let at = changetype<DriverQueue>(queue.half).cursor;
  for (let k: u32 = 0; k < left; k++) {
    stackPut(queue.failed, load<u32>(at) + 1);
    at += ADD_HEADER + (load<u32>(at, 4) & 0xffff) * SEGMENT;
  }
}

/** Takes back what the device has sent: how many tokens are in `done`, in place of those of the last call. */
export function netDriverReclaim(ptr: u32): u32 {
  const net = changetype<NetDriver>(ptr);
  net.doneCount = 0;
  for (let pair: u32 = 0; pair < net.pairs; pair++) {
    const queue = sendQueue(net, pair);
    returnFailed(net, queue);
    if (!driverQueueWorks(queue)) continue;
    for (;;) {
      const room = min(queue.reclaimedMost, net.doneMost - net.doneCount);
      if (!room) break;
      let count = reclaimUsed(queue, room);
      // One that was used before the request was seen.
      if (!count && armUsed(queue)) count = reclaimUsed(queue, room);
      if (!count) break;
      returnSlots(net, queue, count);
    }
  }
  return net.doneCount;
}

/** Gives the slots of `count` reclaimed records back, and their tokens to `done`. */
function returnSlots(net: NetDriver, queue: NetDriverQueue, count: u32): void {
  for (let k: u32 = 0; k < count; k++)
    returnSlot(net, queue, load<u32>(queue.reclaimed + k * RECLAIM_RECORD));
}

function returnSlot(net: NetDriver, queue: NetDriverQueue, slot: u32): void {
  const token = load<u32>(queue.tokens + (slot << 2));
  stackPut(queue.free, slot + 1);
  if (token == NET_NO_TOKEN) return;
  store<u32>(net.done + (net.doneCount << 2), token);
  net.doneCount++;
}

function returnFailed(net: NetDriver, queue: NetDriverQueue): void {
  if (!queue.tokens || !queue.bufferCount) return;
  while (net.doneCount < net.doneMost) {
    const entry = stackTake(queue.failed);
    if (!entry) break;
    returnSlot(net, queue, entry - 1);
  }
}

/**
 * Takes back what a stopped transmit queue still has, whose fate is unknown: how many tokens are in `done`, in
 * place of those of the last call; 0 when there are no more (G-D-16).
 */
export function netDriverDetach(ptr: u32, pair: u32): u32 {
  const net = changetype<NetDriver>(ptr);
  const queue = sendQueue(net, pair);
  net.doneCount = 0;
  returnFailed(net, queue);
  while (!net.doneCount) {
    const count = detachStopped(queue);
    if (!count) break;
    returnSlots(net, queue, count);
    countOf(queue, NET_XMIT_DROP_RESET, net.doneCount);
  }
  return net.doneCount;
}
