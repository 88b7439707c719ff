// The device half receives: frames that the host hands in are filtered, steered, and written into the
// driver's buffers behind a header that says what is known about them (5.1.9.4).

import {
  CHECKSUM_INVALID,
  CHECKSUM_VALID,
  COALESCE_HELD,
  FRAME_IPV4,
  FRAME_IPV6,
  NET_FRAME,
  NET_FRAME_BYTES,
  NET_FRAME_HDR,
  NET_FRAME_MAX,
  NET_HOLD,
  NET_RX_CSUM_BAD,
  NET_RX_CSUM_NONE,
  NET_RX_CSUM_VALID,
  NET_RX_DROP_GSO,
  NET_RX_DROP_HEADER,
  NET_RX_DROP_LENGTH,
  NET_RX_DROP_LINK_DOWN,
  NET_RX_DROP_MTU,
  NET_RX_DROP_OVERRUNS,
  NET_RX_DROP_OVERSIZE,
  NET_RX_DROP_QUEUE,
  NET_RX_DROP_RESET,
  NET_RX_GSO_BYTES,
  NET_RX_GSO_PACKETS,
  NET_RX_GSO_PACKETS_COALESCED,
  NET_RX_GSO_SEGMENTED,
  NET_RX_NEEDS_CSUM,
  NET_RX_NOTIFICATIONS,
} from "../abi";
import { deviceRuns } from "../device";
import { copyBytes } from "../mem/copy";
import {
  VIRTIO_NET_HDR_CSUM_OFFSET,
  VIRTIO_NET_HDR_CSUM_START,
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM,
  VIRTIO_NET_HDR_GSO_NONE,
  VIRTIO_NET_HDR_GSO_SIZE,
  VIRTIO_NET_HDR_GSO_TYPE,
  VIRTIO_NET_HDR_GSO_UDP_L4,
  VIRTIO_NET_HDR_HASH_REPORT,
  VIRTIO_NET_HDR_HASH_VALUE,
  VIRTIO_NET_HDR_HDR_LEN,
  VIRTIO_NET_HDR_MAX_SIZE,
  VIRTIO_NET_HDR_OUTER_NH,
  VIRTIO_NET_HDR_OUTER_TH,
} from "../spec";
import { checksumComplete, checksumVerify } from "./checksum";
import { coalesceAdd } from "./coalesce";
import { Coalesced, coalesceFlush, coalesceReady, coalesceRelease } from "./coalescer";
import { BUFFERS_NONE, BUFFERS_TOO_SMALL, buffersFor, deliver } from "./deliver";
import { countDevice, NetDevice, receiveQueue } from "./device";
import { filterFrame, linkBytes } from "./filter";
import { GSO_TUNNEL, KIND_USO6, kindsAsked, tunnelBitsContradict } from "./header";
import { startLarge } from "./large";
import { usedPackets } from "./notify";
import { parseFrame } from "./parse";
import { ETHERNET_BYTES } from "./protocols";
import { count, NetQueue, queueWorks } from "./queue";
import { segmentNext } from "./segment";
import { packetOf } from "./segmenter";
import { hashReceived, NO_PAIR, steer } from "./steer";

/** Behind the headers in `net.header` and `net.receiveHeader`: that of a frame that was put together. */
const HEADERS: u32 = 64;
/** What is not known yet of a checksum (CHECKSUM_* else). */
const CHECKSUM_UNKNOWN: u32 = 0xffffffff;

/**
 * Takes the first `count` frames of `received`, in order; how many. All of them, unless the device does not run,
 * or one that has to wait for a buffer may wait (NET_HOLD): then it and those behind it stay the host's.
 */
export function netDeviceReceive(ptr: u32, count: u32): u32 {
  const net = changetype<NetDevice>(ptr);
  if (!deviceRuns(net.device)) return 0;
  let done: u32 = 0;
  if (deliverReady(net)) {
    let record = net.received;
    for (; done < count; done++) {
      if (!receiveFrame(net, load<u32>(record), load<u32>(record, NET_FRAME_BYTES), record + NET_FRAME_HDR))
        break;
      record += NET_FRAME;
      if (!deliverReady(net)) {
        done++;
        break;
      }
    }
    // Nobody knows when the next burst comes.
    coalesceFlush(net.coalescer);
    deliverReady(net);
  }
  for (let pair: u32 = 0; pair < net.pairs; pair++) {
    const queue = receiveQueue(net, pair);
    if (!queue.packets) continue;
    usedPackets(queue, queue.packets, net.now, NET_RX_NOTIFICATIONS);
    queue.packets = 0;
  }
  return done;
}

/** Drops the frame in hand, which counts as taken. */
function drop(net: NetDevice, counter: u32): bool {
  countDevice(net, counter, 1);
  return true;
}

/** Takes one frame with the header that the host gave it; false when it has to wait. */
function receiveFrame(net: NetDevice, frame: u32, bytes: u32, header: u32): bool {
  if (bytes < ETHERNET_BYTES || bytes > NET_FRAME_MAX) return drop(net, NET_RX_DROP_LENGTH);
  if (!net.linkUp) return drop(net, NET_RX_DROP_LINK_DOWN);
  const flags: u32 = load<u8>(header);
  const gsoType: u32 = load<u8>(header, VIRTIO_NET_HDR_GSO_TYPE);
  const needsCsum = (flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
  let asked = kindsAsked(flags, gsoType);
  if (tunnelBitsContradict(flags, gsoType, false)) return drop(net, NET_RX_DROP_HEADER);
  // N-V-10, N-V-11.
  if (needsCsum && csumEnd(header) > bytes) return drop(net, NET_RX_DROP_HEADER);
  if (asked && (!needsCsum || !load<u16>(header, VIRTIO_NET_HDR_GSO_SIZE)))
    return drop(net, NET_RX_DROP_HEADER);
  const refused = filterFrame(net.filter, frame);
  if (refused) return drop(net, refused - 1);
  parseFrame(frame, bytes, net.info);
  if (!asked) {
    // N-B-04.
    if (net.mtu && bytes > net.mtu + linkBytes(frame)) return drop(net, NET_RX_DROP_MTU);
    if (!needsCsum && net.coalescer.kinds) {
      if (coalesceAdd(net.coalescer, frame, bytes) == COALESCE_HELD) return true;
      // What was held of the frame's flow comes before it.
      if (!deliverReady(net)) return false;
      parseFrame(frame, bytes, net.info);
    }
    return place(net, frame, bytes, header, CHECKSUM_UNKNOWN);
  }
  if (startLarge(net.pendingSegments, frame, bytes, header)) return drop(net, NET_RX_DROP_GSO);
  if (asked & (1 << VIRTIO_NET_HDR_GSO_UDP_L4) && net.info.flags & FRAME_IPV6)
    asked ^= (1 << VIRTIO_NET_HDR_GSO_UDP_L4) | KIND_USO6;
  net.hdrLen = packetOf(net.pendingSegments).payload;
  // N-V-09.
  if (!(asked & ~net.receiveKinds)) return place(net, frame, bytes, header, CHECKSUM_UNKNOWN);
  startPending(net, frame, bytes, header, 0);
  return true;
}

/** Segments a frame that the driver does not take whole, from a copy: its memory is the owner's again. */
function startPending(net: NetDevice, frame: u32, bytes: u32, header: u32, fixedId: u32): void {
  copyBytes(net.pendingFrame, frame, bytes);
  net.pendingSegments.fixedId = fixedId;
  startLarge(net.pendingSegments, net.pendingFrame, bytes, header);
  countDevice(net, NET_RX_GSO_SEGMENTED, 1);
  net.pending = 1;
  net.pendingBytes = 0;
}

/** Delivers what came before: segments that are left, frames that were put together; false when one has to wait. */
function deliverReady(net: NetDevice): bool {
  for (let ready = coalesceReady(net.coalescer); ready; ready = coalesceReady(net.coalescer)) {
    if (!deliverPending(net)) return false;
    const slot = changetype<Coalesced>(ready);
    parseFrame(slot.frame, slot.bytes, net.info);
    if (slot.gsoType == VIRTIO_NET_HDR_GSO_NONE) {
      if (!place(net, slot.frame, slot.bytes, 0, CHECKSUM_VALID)) return false;
    } else if (!deliverCoalesced(net, slot)) {
      return false;
    }
    coalesceRelease(net.coalescer);
  }
  return deliverPending(net);
}

/** Delivers one frame of several segments, whole or, when the driver takes it no more, cut again. */
function deliverCoalesced(net: NetDevice, slot: Coalesced): bool {
  const header = net.header + HEADERS;
  memory.fill(header, 0, VIRTIO_NET_HDR_MAX_SIZE);
  store<u8>(header, VIRTIO_NET_HDR_F_NEEDS_CSUM);
  store<u8>(header, slot.gsoType, VIRTIO_NET_HDR_GSO_TYPE);
  store<u16>(header, <u16>slot.gsoSize, VIRTIO_NET_HDR_GSO_SIZE);
  store<u16>(header, <u16>slot.csumStart, VIRTIO_NET_HDR_CSUM_START);
  store<u16>(header, <u16>slot.csumOffset, VIRTIO_NET_HDR_CSUM_OFFSET);
  net.hdrLen = slot.hdrLen;
  if (kindsAsked(VIRTIO_NET_HDR_F_NEEDS_CSUM, slot.gsoType) & ~net.receiveKinds) {
    startPending(net, slot.frame, slot.bytes, header, slot.fixedId);
    return true;
  }
  if (!place(net, slot.frame, slot.bytes, header, CHECKSUM_VALID)) return false;
  countDevice(net, NET_RX_GSO_PACKETS_COALESCED, 1);
  return true;
}

@inline
function csumEnd(header: u32): u32 {
  return (
    <u32>load<u16>(header, VIRTIO_NET_HDR_CSUM_START) + load<u16>(header, VIRTIO_NET_HDR_CSUM_OFFSET) + 2
  );
}

/** Delivers what is left of a frame that is being segmented; false when the next segment has to wait. */
function deliverPending(net: NetDevice): bool {
  while (net.pending) {
    if (!net.pendingBytes) net.pendingBytes = segmentNext(net.pendingSegments, net.segment);
    const bytes = net.pendingBytes;
    if (!bytes) {
      net.pending = 0;
      break;
    }
    parseFrame(net.segment, bytes, net.info);
    if (!place(net, net.segment, bytes, 0, CHECKSUM_VALID)) return false;
    net.pendingBytes = 0;
  }
  return true;
}

/**
 * Puts the frame parsed into `net.info` into the receive queue that it belongs to. `header` is the host's, 0 for
 * a frame that asks for nothing; `checksum` what is known of it. False when it has to wait for a buffer.
 */
function place(net: NetDevice, frame: u32, bytes: u32, header: u32, checksum: u32): bool {
  hashReceived(net, frame);
  const pair = steer(net, frame);
  if (pair == NO_PAIR) return drop(net, NET_RX_DROP_QUEUE);
  const queue = receiveQueue(net, pair);
  const buffers = buffersFor(net, queue, net.headerBytes + bytes);
  if (buffers == BUFFERS_NONE) {
    if (net.options & NET_HOLD && queueWorks(queue)) return false;
    count(queue, NET_RX_DROP_OVERRUNS, 1);
    return true;
  }
  if (buffers == BUFFERS_TOO_SMALL) {
    count(queue, NET_RX_DROP_OVERSIZE, 1);
    return true;
  }
  clearHeader(net);
  if (header && load<u8>(header) & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
    frame = describePartial(net, queue, frame, bytes, header);
    if (!frame) return drop(net, NET_RX_DROP_HEADER);
  } else {
    describeChecksum(net, queue, frame, checksum);
  }
  deliver(net, queue, frame, bytes, buffers);
  return true;
}

/** Every field that the negotiated length shows, but for checksum and segmentation. */
function clearHeader(net: NetDevice): void {
  const header = net.receiveHeader;
  v128.store(header, i64x2.splat(0));
  v128.store(header, i64x2.splat(0), 16);
  // R-V-03.
  if (net.reportsHash && net.hashReport) {
    store<u32>(header, net.hashValue, VIRTIO_NET_HDR_HASH_VALUE);
    store<u16>(header, <u16>net.hashReport, VIRTIO_NET_HDR_HASH_REPORT);
  }
  if (net.headerBytes == VIRTIO_NET_HDR_MAX_SIZE && net.info.flags & (FRAME_IPV4 | FRAME_IPV6))
    store<u16>(header, <u16>net.info.network, VIRTIO_NET_HDR_OUTER_NH);
}

/** N-V-08, N-V-13: a whole checksum is checked where the driver may hear of it. */
function describeChecksum(net: NetDevice, queue: NetQueue, frame: u32, checksum: u32): void {
  let counter = NET_RX_CSUM_NONE;
  if (net.takesPartial) {
    if (checksum == CHECKSUM_UNKNOWN) checksum = checksumVerify(frame, net.info);
    if (checksum == CHECKSUM_INVALID) counter = NET_RX_CSUM_BAD;
    if (checksum == CHECKSUM_VALID) {
      counter = NET_RX_CSUM_VALID;
      store<u8>(net.receiveHeader, VIRTIO_NET_HDR_F_DATA_VALID);
    }
  }
  count(queue, counter, 1);
}

/**
 * A frame whose checksum the host left open, and which perhaps is to be segmented: said so where the driver
 * takes it, completed in a copy where not. Where the frame lies then; 0 when it can't be completed.
 */
function describePartial(net: NetDevice, queue: NetQueue, frame: u32, bytes: u32, source: u32): u32 {
  const header = net.receiveHeader;
  const start: u32 = load<u16>(source, VIRTIO_NET_HDR_CSUM_START);
  const offset: u32 = load<u16>(source, VIRTIO_NET_HDR_CSUM_OFFSET);
  if (!net.takesPartial) {
    copyBytes(net.segment, frame, bytes);
    if (checksumComplete(net.segment, bytes, start, offset)) return 0;
    count(queue, NET_RX_CSUM_NONE, 1);
    return net.segment;
  }
  let flags: u32 = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  store<u16>(header, <u16>start, VIRTIO_NET_HDR_CSUM_START);
  store<u16>(header, <u16>offset, VIRTIO_NET_HDR_CSUM_OFFSET);
  count(queue, NET_RX_NEEDS_CSUM, 1);
  const gsoType = load<u8>(source, VIRTIO_NET_HDR_GSO_TYPE);
  if (gsoType != VIRTIO_NET_HDR_GSO_NONE) {
    store<u8>(header, gsoType, VIRTIO_NET_HDR_GSO_TYPE);
    store<u16>(header, load<u16>(source, VIRTIO_NET_HDR_GSO_SIZE), VIRTIO_NET_HDR_GSO_SIZE);
    // N-B-08.
    store<u16>(header, <u16>net.hdrLen, VIRTIO_NET_HDR_HDR_LEN);
    if (gsoType & GSO_TUNNEL) {
      store<u32>(header, load<u32>(source, VIRTIO_NET_HDR_OUTER_TH), VIRTIO_NET_HDR_OUTER_TH);
      flags |= load<u8>(source) & VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM;
    }
    count(queue, NET_RX_GSO_PACKETS, 1);
    count(queue, NET_RX_GSO_BYTES, bytes);
  }
  store<u8>(header, flags);
  return frame;
}

/** Device reset: what waits in the receive direction is lost, and counted as one frame. */
export function netDeviceForgetReceived(ptr: u32): void {
  const net = changetype<NetDevice>(ptr);
  if (net.pending) countDevice(net, NET_RX_DROP_RESET, 1);
  net.pending = 0;
  net.pendingBytes = 0;
  for (let ready = coalesceReady(net.coalescer); ready; ready = coalesceReady(net.coalescer)) {
    countDevice(net, NET_RX_DROP_RESET, changetype<Coalesced>(ready).segments);
    coalesceRelease(net.coalescer);
  }
}
