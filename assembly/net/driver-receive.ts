// The driver half receives: packets are put together from the buffers that the device has used, copied out
// of its reach, their headers checked, and the buffers posted again (5.1.9.4.2).

import {
  ADD_HEADER,
  CHECKSUM_NONE,
  CHECKSUM_VALID,
  E_NET_NUM_BUFFERS,
  NET_FRAME,
  NET_FRAME_BYTES,
  NET_FRAME_F_BAD_CHECKSUM,
  NET_FRAME_FLAGS,
  NET_FRAME_HDR,
  NET_FRAME_MAX,
  NET_FRAME_PAIR,
  NET_RECV_BUFFERS,
  NET_RECV_BYTES,
  NET_RECV_CSUM_BAD,
  NET_RECV_CSUM_NONE,
  NET_RECV_CSUM_PARTIAL,
  NET_RECV_CSUM_VALID,
  NET_RECV_DROP_NUM_BUFFERS,
  NET_RECV_DROP_OVERSIZE,
  NET_RECV_DROP_RESET,
  NET_RECV_FRAME_ERRORS,
  NET_RECV_GSO_BYTES,
  NET_RECV_GSO_PACKETS,
  NET_RECV_HASH_UNKNOWN,
  NET_RECV_LENGTH_ERRORS,
  NET_RECV_PACKETS,
  NET_VERIFY,
  RECLAIM_RECORD,
  SEGMENT,
} from "../abi";
import { copyBytes } from "../mem/copy";
import { breakQueue, Queue } from "../ring/queue";
import {
  VIRTIO_NET_HASH_REPORT_UDPv6_EX,
  VIRTIO_NET_HDR_CSUM_OFFSET,
  VIRTIO_NET_HDR_CSUM_START,
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_F_RSC_INFO,
  VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM,
  VIRTIO_NET_HDR_GSO_SIZE,
  VIRTIO_NET_HDR_GSO_TYPE,
  VIRTIO_NET_HDR_GSO_UDP_L4,
  VIRTIO_NET_HDR_HASH_REPORT,
  VIRTIO_NET_HDR_HASH_VALUE,
  VIRTIO_NET_HDR_HDR_LEN,
  VIRTIO_NET_HDR_NUM_BUFFERS,
  VIRTIO_NET_HDR_OUTER_TH,
} from "../spec";
import { checksumVerify } from "./checksum";
import {
  addStaged,
  armUsed,
  countOf,
  detachStopped,
  driverQueueWorks,
  NetDriver,
  NetDriverQueue,
  reclaimUsed,
  recvQueue,
} from "./driver";
import { GSO_TUNNEL, KIND_USO6, kindsAsked, tunnelBitsContradict } from "./header";
import { parseFrame } from "./parse";
import { ETHERNET_BYTES } from "./protocols";

const RECORD_BYTES: u32 = ADD_HEADER + SEGMENT;

/** Posts all buffers of a receive queue, which has none outstanding. */
export function netDriverFill(ptr: u32, pair: u32): void {
  const queue = recvQueue(changetype<NetDriver>(ptr), pair);
  for (let index: u32 = 0; index < queue.bufferCount; index++) post(queue, index);
  addStaged(queue);
}

/** Stages a buffer, which is the device's again from the next add on. */
function post(queue: NetDriverQueue, index: u32): void {
  if (queue.stagedEnd - queue.stagedNext < RECORD_BYTES) addStaged(queue);
  const at = queue.stagedNext;
  store<u32>(at, index);
  store<u32>(at, 1 << 16, 4);
  store<u32>(at + ADD_HEADER, bufferOf(queue, index));
  store<u32>(at + ADD_HEADER, queue.bufferBytes, 4);
  queue.stagedNext = at + RECORD_BYTES;
  queue.stagedCount++;
}

@inline
function bufferOf(queue: NetDriverQueue, index: u32): u32 {
  return queue.buffers + index * queue.bufferStride;
}

/**
 * Takes up to `most` packets of each receive queue; how many frames are in `incoming`, in place of those of the
 * last call. 0 says that there is nothing. It ends early when the areas are full: call it again.
 */
export function netDriverReceive(ptr: u32, most: u32): u32 {
  const net = changetype<NetDriver>(ptr);
  net.incomingCount = 0;
  net.incomingDataUsed = 0;
  for (let k: u32 = 0; k < net.pairs; k++) {
    const pair = net.turn;
    const room = receivePair(net, pair, most);
    addStaged(recvQueue(net, pair));
    if (!room) break;
    net.turn = pair + 1 == net.pairs ? 0 : pair + 1;
  }
  return net.incomingCount;
}

/** Takes what one queue has; false when the areas are full. */
function receivePair(net: NetDriver, pair: u32, most: u32): bool {
  const queue = recvQueue(net, pair);
  if (!driverQueueWorks(queue)) return true;
  for (let handled: u32 = 0; handled < most; handled++) {
    if (!hasRoom(net)) return false;
    if (!usedLeft(queue)) {
      // One that was used before the request was seen.
      if (!armUsed(queue) || !usedLeft(queue)) break;
    }
    const dropped = receivePacket(net, queue, pair);
    if (dropped) countOf(queue, dropped, 1);
  }
  return true;
}

@inline
function hasRoom(net: NetDriver): bool {
  return (
    net.incomingCount < net.incomingMost && net.incomingDataBytes - net.incomingDataUsed >= NET_FRAME_MAX
  );
}

/** Whether a used buffer is at `queue.next`. */
function usedLeft(queue: NetDriverQueue): bool {
  if (queue.left) return true;
  queue.left = reclaimUsed(queue, queue.reclaimedMost);
  queue.next = queue.reclaimed;
  return queue.left != 0;
}

/** Copies the frame part of the used buffer at `queue.next` to `to`, behind `skip` bytes, and posts it again. */
function takeBuffer(queue: NetDriverQueue, skip: u32, to: u32, room: u32): u32 {
  const index = load<u32>(queue.next);
  const bytes = load<u32>(queue.next, 4) - skip;
  // What does not fit is counted by the caller, which then drops the packet.
  copyBytes(to, bufferOf(queue, index) + skip, min(bytes, room));
  queue.next += RECLAIM_RECORD;
  queue.left--;
  post(queue, index);
  return bytes;
}

/** Takes one packet, of one or more buffers, and makes a frame of it; 0, or the counter of what it is dropped for. */
function receivePacket(net: NetDriver, queue: NetDriverQueue, pair: u32): u32 {
  const headerBytes = net.headerBytes;
  const header = net.header;
  const place = net.incomingData + net.incomingDataUsed;
  if (load<u32>(queue.next, 4) < headerBytes) {
    takeBuffer(queue, 0, place, 0);
    return NET_RECV_LENGTH_ERRORS;
  }
  // The device may still write to the buffer: the header is read here, and nowhere else.
  copyBytes(header, bufferOf(queue, load<u32>(queue.next)), headerBytes);
  const buffers: u32 = net.merges ? load<u16>(header, VIRTIO_NET_HDR_NUM_BUFFERS) : 1;
  if (!buffers) return breakPacket(queue, buffers);
  let bytes: u64 = takeBuffer(queue, headerBytes, place, NET_FRAME_MAX);
  // N-D-16: the loop ends with what was used, at most the ring's size.
  for (let k: u32 = 1; k < buffers; k++) {
    if (!usedLeft(queue)) return breakPacket(queue, buffers);
    const at = <u32>min<u64>(bytes, NET_FRAME_MAX);
    bytes += takeBuffer(queue, 0, place + at, NET_FRAME_MAX - at);
  }
  countOf(queue, NET_RECV_BUFFERS, buffers);
  if (bytes > NET_FRAME_MAX) return NET_RECV_DROP_OVERSIZE;
  if (bytes < ETHERNET_BYTES) return NET_RECV_LENGTH_ERRORS;
  if (!headerIsSound(net, <u32>bytes)) return NET_RECV_FRAME_ERRORS;
  describe(net, queue, pair, place, <u32>bytes);
  return 0;
}

/** After a num_buffers that can't be, nobody knows where a packet starts. */
function breakPacket(queue: NetDriverQueue, buffers: u32): u32 {
  breakQueue(changetype<Queue>(queue.half), E_NET_NUM_BUFFERS, buffers);
  queue.left = 0;
  return NET_RECV_DROP_NUM_BUFFERS;
}

/** N-D-14: with RSC_INFO the two fields say something else. */
@inline
function isPartial(flags: u32): bool {
  return (flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_RSC_INFO)) == VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

/** Whether the header in `net.header` says what a device may say of a frame of `bytes` (5.1.9.4.1). */
function headerIsSound(net: NetDriver, bytes: u32): bool {
  const header = net.header;
  const flags: u32 = load<u8>(header);
  const gsoType: u32 = load<u8>(header, VIRTIO_NET_HDR_GSO_TYPE);
  const asked = kindsAsked(flags, gsoType);
  if (tunnelBitsContradict(flags, gsoType, true) || asked & ~kindsTaken(net)) return false;
  const partial = isPartial(flags);
  if (partial && (!net.takesPartial || csumEnd(header) > bytes)) return false;
  return !asked || (partial && load<u16>(header, VIRTIO_NET_HDR_GSO_SIZE) != 0);
}

/** Makes a record of the frame at `place`, with what its header says. */
function describe(net: NetDriver, queue: NetDriverQueue, pair: u32, place: u32, bytes: u32): void {
  const header = net.header;
  const flags: u32 = load<u8>(header);
  const record = net.incoming + net.incomingCount * NET_FRAME;
  memory.fill(record, 0, NET_FRAME);
  store<u32>(record, place);
  store<u32>(record, bytes, NET_FRAME_BYTES);
  store<u16>(record, <u16>pair, NET_FRAME_PAIR);
  if (isPartial(flags)) {
    const gsoType: u32 = load<u8>(header, VIRTIO_NET_HDR_GSO_TYPE);
    const asked = kindsAsked(flags, gsoType);
    describePartial(header, record + NET_FRAME_HDR, flags, gsoType, asked);
    countOf(queue, NET_RECV_CSUM_PARTIAL, 1);
    if (asked) {
      countOf(queue, NET_RECV_GSO_PACKETS, 1);
      countOf(queue, NET_RECV_GSO_BYTES, bytes);
    }
  } else {
    countOf(queue, describeChecksum(net, record, flags), 1);
  }
  if (net.takesHash) describeHash(queue, header, record + NET_FRAME_HDR);
  net.incomingDataUsed = (net.incomingDataUsed + bytes + 63) & ~63;
  net.incomingCount++;
  countOf(queue, NET_RECV_PACKETS, 1);
  countOf(queue, NET_RECV_BYTES, bytes);
}

/** UDP_L4 is one kind with a feature for each version of IP. */
@inline
function kindsTaken(net: NetDriver): u32 {
  const kinds = net.receiveKinds;
  return kinds & KIND_USO6 ? kinds | (1 << VIRTIO_NET_HDR_GSO_UDP_L4) : kinds;
}

@inline
function csumEnd(header: u32): u32 {
  return (
    <u32>load<u16>(header, VIRTIO_NET_HDR_CSUM_START) + load<u16>(header, VIRTIO_NET_HDR_CSUM_OFFSET) + 2
  );
}

/** The fields of a checksum that is open, and of segmentation; N-B-08: hdr_len as the hint that it is. */
function describePartial(from: u32, to: u32, flags: u32, gsoType: u32, asked: u32): void {
  store<u8>(to, VIRTIO_NET_HDR_F_NEEDS_CSUM);
  store<u16>(to, load<u16>(from, VIRTIO_NET_HDR_CSUM_START), VIRTIO_NET_HDR_CSUM_START);
  store<u16>(to, load<u16>(from, VIRTIO_NET_HDR_CSUM_OFFSET), VIRTIO_NET_HDR_CSUM_OFFSET);
  if (!asked) return;
  store<u8>(to, gsoType, VIRTIO_NET_HDR_GSO_TYPE);
  store<u16>(to, load<u16>(from, VIRTIO_NET_HDR_GSO_SIZE), VIRTIO_NET_HDR_GSO_SIZE);
  store<u16>(to, load<u16>(from, VIRTIO_NET_HDR_HDR_LEN), VIRTIO_NET_HDR_HDR_LEN);
  if (!(gsoType & GSO_TUNNEL)) return;
  store<u8>(to, flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM));
  store<u32>(to, load<u32>(from, VIRTIO_NET_HDR_OUTER_TH), VIRTIO_NET_HDR_OUTER_TH);
}

/** N-D-15: unverified, unless the device has checked it, or we do; what is to be counted. */
function describeChecksum(net: NetDriver, record: u32, flags: u32): u32 {
  let checksum = CHECKSUM_NONE;
  if (net.takesPartial && flags & VIRTIO_NET_HDR_F_DATA_VALID) {
    checksum = CHECKSUM_VALID;
  } else if (net.options & NET_VERIFY) {
    const frame = load<u32>(record);
    parseFrame(frame, load<u32>(record, NET_FRAME_BYTES), net.info);
    checksum = checksumVerify(frame, net.info);
  }
  if (checksum == CHECKSUM_VALID) {
    store<u8>(record + NET_FRAME_HDR, VIRTIO_NET_HDR_F_DATA_VALID);
    return NET_RECV_CSUM_VALID;
  }
  if (checksum == CHECKSUM_NONE) return NET_RECV_CSUM_NONE;
  store<u16>(record, NET_FRAME_F_BAD_CHECKSUM, NET_FRAME_FLAGS);
  return NET_RECV_CSUM_BAD;
}

/** A report that is unknown says nothing. */
function describeHash(queue: NetDriverQueue, from: u32, to: u32): void {
  const report: u32 = load<u16>(from, VIRTIO_NET_HDR_HASH_REPORT);
  if (report > VIRTIO_NET_HASH_REPORT_UDPv6_EX) {
    countOf(queue, NET_RECV_HASH_UNKNOWN, 1);
  } else if (report) {
    store<u32>(to, load<u32>(from, VIRTIO_NET_HDR_HASH_VALUE), VIRTIO_NET_HDR_HASH_VALUE);
    store<u16>(to, <u16>report, VIRTIO_NET_HDR_HASH_REPORT);
  }
}

/** Takes the buffers of a stopped receive queue back; used ones that were not looked at yet are lost, and counted. */
export function netDriverDrain(ptr: u32, pair: u32): void {
  const queue = recvQueue(changetype<NetDriver>(ptr), pair);
  countOf(queue, NET_RECV_DROP_RESET, queue.left);
  queue.left = 0;
  let detached = detachStopped(queue);
  while (detached) detached = detachStopped(queue);
}
