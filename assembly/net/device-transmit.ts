// The device half sends: buffers are popped, header and frame copied out of the driver's reach, checked,
// completed or cut into segments, and laid down as frames for the host (5.1.9.2).

import {
  NET_FRAME,
  NET_FRAME_BYTES,
  NET_FRAME_HDR,
  NET_FRAME_MAX,
  NET_FRAME_PAIR,
  NET_TX_BYTES,
  NET_TX_CSUM_NONE,
  NET_TX_DROP_ADDRESS,
  NET_TX_DROP_CSUM,
  NET_TX_DROP_GSO,
  NET_TX_DROP_HEADER,
  NET_TX_DROP_OVERSIZE,
  NET_TX_DROP_RESET,
  NET_TX_DROP_SHORT,
  NET_TX_GSO_BYTES,
  NET_TX_GSO_PACKETS,
  NET_TX_GSO_SEGMENTS,
  NET_TX_GSO_SEGMENTS_BYTES,
  NET_TX_NEEDS_CSUM,
  NET_TX_NOTIFICATIONS,
  NET_TX_PACKETS,
  NET_WIRE_CSUM,
  NET_WIRE_GSO,
} from "../abi";
import { deviceRuns } from "../device";
import { POP_READABLE } from "../ring/device";
import {
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_HDR_CSUM_OFFSET,
  VIRTIO_NET_HDR_CSUM_START,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM,
  VIRTIO_NET_HDR_GSO_SIZE,
  VIRTIO_NET_HDR_GSO_TYPE,
  VIRTIO_NET_HDR_HASH_VALUE,
  VIRTIO_NET_HDR_MAX_SIZE,
  VIRTIO_NET_HDR_NUM_BUFFERS,
} from "../spec";
import { checksumComplete } from "./checksum";
import { NetDevice, transmitQueue } from "./device";
import { linkBytes } from "./filter";
import { hasFeature, kindsAsked, tunnelBitsContradict } from "./header";
import { startLarge } from "./large";
import { usedPackets } from "./notify";
import { parseFrame } from "./parse";
import { ETHERNET_BYTES } from "./protocols";
import { armQueue, count, gather, NetQueue, popMore, queueWorks, useNext } from "./queue";
import { segmentNext } from "./segment";
import { learnFlow } from "./steer";

/** Frames start on a cache line. */
@inline
function placeAfter(bytes: u32): u32 {
  return (bytes + 63) & ~63;
}

/**
 * Takes up to `most` buffers of each transmit queue; how many frames are in `sent` now, in place of those of the
 * last call. 0 says that there is nothing to send. It ends early when the areas are full: call it again.
 */
export function netDeviceTransmit(ptr: u32, most: u32): u32 {
  const net = changetype<NetDevice>(ptr);
  net.sentCount = 0;
  net.sentDataUsed = 0;
  if (!deviceRuns(net.device)) return 0;
  if (net.segmenting && !sendSegments(net)) return net.sentCount;
  for (let k: u32 = 0; k < net.pairs; k++) {
    const pair = net.turn;
    if (!transmitPair(net, pair, most)) break;
    net.turn = pair + 1 == net.pairs ? 0 : pair + 1;
  }
  return net.sentCount;
}

/** Sends what one queue has; false when the areas are full. */
function transmitPair(net: NetDevice, pair: u32, most: u32): bool {
  const queue = transmitQueue(net, pair);
  if (!queueWorks(queue)) return true;
  let handled: u32 = 0;
  let room = true;
  while (handled < most) {
    room = hasRoom(net);
    if (!room) break;
    if (!queue.left && !popMore(queue, most - handled)) {
      // A buffer that became available before the request was seen.
      if (!armQueue(queue) || !popMore(queue, most - handled)) break;
    }
    const dropped = transmitBuffer(net, queue, pair, queue.next);
    if (dropped) count(queue, dropped, 1);
    // N-V-04.
    useNext(queue, 0);
    handled++;
    if (net.segmenting && !sendSegments(net)) {
      room = false;
      break;
    }
  }
  if (handled) usedPackets(queue, handled, net.now, NET_TX_NOTIFICATIONS);
  return room;
}

/** Whether one more frame of any length fits. */
@inline
function hasRoom(net: NetDevice): bool {
  return net.sentCount < net.sentMost && net.sentDataBytes - net.sentDataUsed >= NET_FRAME_MAX;
}

/** Sends the frame of one popped buffer, or starts to segment it; 0, or the counter of what it is dropped for. */
function transmitBuffer(net: NetDevice, queue: NetQueue, pair: u32, record: u32): u32 {
  const readable = load<u32>(record, POP_READABLE);
  const headerBytes = net.headerBytes;
  if (readable < headerBytes + ETHERNET_BYTES) return NET_TX_DROP_SHORT;
  const bytes = readable - headerBytes;
  if (bytes > NET_FRAME_MAX) return NET_TX_DROP_OVERSIZE;
  const header = net.header;
  if (!gather(queue, record, 0, header, headerBytes)) return NET_TX_DROP_ADDRESS;
  const flags: u32 = load<u8>(header);
  const gsoType: u32 = load<u8>(header, VIRTIO_NET_HDR_GSO_TYPE);
  const needsCsum = flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
  const asked = kindsAsked(flags, gsoType);
  if (tunnelBitsContradict(flags, gsoType, false)) return NET_TX_DROP_HEADER;
  // N-D-05: what was not negotiated is not asked for.
  if (asked & ~net.transmitKinds) return NET_TX_DROP_HEADER;
  if (needsCsum && !hasFeature(net.featuresLow, 0, VIRTIO_NET_F_CSUM)) return NET_TX_DROP_HEADER;
  // N-D-07.
  if (asked && (!needsCsum || !load<u16>(header, VIRTIO_NET_HDR_GSO_SIZE))) return NET_TX_DROP_GSO;
  const frame = asked ? net.frame : net.sentData + net.sentDataUsed;
  if (!gather(queue, record, headerBytes, frame, bytes)) return NET_TX_DROP_ADDRESS;
  if (net.activePairs > 1 && !net.steersByHash) {
    parseFrame(frame, bytes, net.info);
    learnFlow(net, frame, pair);
  }
  if (asked) return transmitLarge(net, queue, pair, frame, bytes);
  return transmitPlain(net, queue, pair, frame, bytes, needsCsum);
}

function transmitPlain(
  net: NetDevice,
  queue: NetQueue,
  pair: u32,
  frame: u32,
  bytes: u32,
  needsCsum: u32,
): u32 {
  if (net.mtu && bytes > net.mtu + linkBytes(frame)) return NET_TX_DROP_OVERSIZE;
  const start: u32 = load<u16>(net.header, VIRTIO_NET_HDR_CSUM_START);
  const offset: u32 = load<u16>(net.header, VIRTIO_NET_HDR_CSUM_OFFSET);
  if (!needsCsum) {
    count(queue, NET_TX_CSUM_NONE, 1);
    emit(net, queue, pair, bytes);
    return 0;
  }
  if (start + offset + 2 > bytes) return NET_TX_DROP_CSUM;
  if (net.wire & NET_WIRE_CSUM) {
    emit(net, queue, pair, bytes);
    const header = lastHeader(net);
    store<u8>(header, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    store<u16>(header, <u16>start, VIRTIO_NET_HDR_CSUM_START);
    store<u16>(header, <u16>offset, VIRTIO_NET_HDR_CSUM_OFFSET);
  } else {
    if (checksumComplete(frame, bytes, start, offset)) return NET_TX_DROP_CSUM;
    emit(net, queue, pair, bytes);
  }
  count(queue, NET_TX_NEEDS_CSUM, 1);
  return 0;
}

/** A frame that is to be segmented, which lies in `net.frame`. */
function transmitLarge(net: NetDevice, queue: NetQueue, pair: u32, frame: u32, bytes: u32): u32 {
  const header = net.header;
  // What a later call goes on with is all that is kept of the driver's header.
  store<u16>(header, 0, VIRTIO_NET_HDR_NUM_BUFFERS);
  store<u64>(header, 0, VIRTIO_NET_HDR_HASH_VALUE);
  if (startLarge(net.segments, frame, bytes, header)) return NET_TX_DROP_GSO;
  count(queue, NET_TX_GSO_PACKETS, 1);
  count(queue, NET_TX_GSO_BYTES, bytes);
  count(queue, NET_TX_NEEDS_CSUM, 1);
  if (!(net.wire & NET_WIRE_GSO)) {
    net.segmenting = 1;
    net.segmentingPair = pair;
    return 0;
  }
  memory.copy(net.sentData + net.sentDataUsed, frame, bytes);
  emit(net, queue, pair, bytes);
  // Without the flag for an outer checksum unless a tunnel bit gives it a meaning, which was checked.
  memory.copy(lastHeader(net), header, VIRTIO_NET_HDR_MAX_SIZE);
  store<u8>(
    lastHeader(net),
    load<u8>(header) & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM),
  );
  return 0;
}

/** Lays down segments of the frame in `net.frame` until it is done; false when there is no room for the next. */
function sendSegments(net: NetDevice): bool {
  const queue = transmitQueue(net, net.segmentingPair);
  while (hasRoom(net)) {
    const bytes = segmentNext(net.segments, net.sentData + net.sentDataUsed);
    if (!bytes) {
      net.segmenting = 0;
      return true;
    }
    emit(net, queue, net.segmentingPair, bytes);
    count(queue, NET_TX_GSO_SEGMENTS, 1);
    count(queue, NET_TX_GSO_SEGMENTS_BYTES, bytes);
  }
  return false;
}

/** Makes a record of the frame that lies where the next one is to lie, with an empty header. */
function emit(net: NetDevice, queue: NetQueue, pair: u32, bytes: u32): void {
  const record = net.sent + net.sentCount * NET_FRAME;
  memory.fill(record, 0, NET_FRAME);
  store<u32>(record, net.sentData + net.sentDataUsed);
  store<u32>(record, bytes, NET_FRAME_BYTES);
  store<u32>(record, pair, NET_FRAME_PAIR);
  net.sentDataUsed = placeAfter(net.sentDataUsed + bytes);
  net.sentCount++;
  count(queue, NET_TX_PACKETS, 1);
  count(queue, NET_TX_BYTES, bytes);
}

@inline
function lastHeader(net: NetDevice): u32 {
  return net.sent + (net.sentCount - 1) * NET_FRAME + NET_FRAME_HDR;
}

/** Queue or device reset: segments that are not sent yet are lost, and counted as one frame. */
export function netDeviceForgetSegments(ptr: u32, pair: u32): void {
  const net = changetype<NetDevice>(ptr);
  if (!net.segmenting || net.segmentingPair != pair) return;
  net.segmenting = 0;
  count(transmitQueue(net, pair), NET_TX_DROP_RESET, 1);
}
