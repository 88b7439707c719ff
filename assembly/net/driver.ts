// The driver half of a network card (5.1): its block, the areas behind it, and its queues.
//
//   private  NetDriver | queues, two a pair | of each queue: tokens, free slots, failed slots
//            | headers | segmentation | parsed frame | outgoing: records | incoming: records, frames | tokens that came back
//   shared   of each receive queue its buffers, of each transmit queue its slots
//
// A slot is a header, and room for a segment that was cut in software:   | ... header | segment ... |
//                                                                        0         SLOT_HEADER

import { NET_COUNTERS, NET_FRAME, NET_FRAME_MAX } from "../abi";
import { Stack, stackBytes, stackInit, stackPut } from "../mem/stack";
import { DriverQueue } from "../ring/driver";
import {
  packedDriverAdd,
  packedDriverArm,
  packedDriverDetach,
  packedDriverReclaim,
} from "../ring/packed-driver";
import { isLive } from "../ring/queue";
import { splitDriverAdd, splitDriverArm, splitDriverDetach, splitDriverReclaim } from "../ring/split-driver";
import {
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_GUEST_UFO,
  VIRTIO_NET_F_GUEST_USO4,
  VIRTIO_NET_F_GUEST_USO6,
  VIRTIO_NET_F_HASH_REPORT,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../spec";
import { hasFeature, netHeaderBytes, offloadsOf, receiveKinds, transmitKinds } from "./header";
import { FrameInfo } from "./parse";
import { SEGMENTER_BYTES, Segmenter } from "./segmenter";

/** Where in a slot a header ends and a segment starts. */
export const SLOT_HEADER: u32 = 64;
/** N-D-12: what a packet without segmentation has, and the VLAN tag that may come with it. */
const PACKET_BYTES: u32 = 1514;
const TAG_BYTES: u32 = 4;

@unmanaged
export class NetDriverQueue {
  /** The ring's half; 0 while the queue is not in use. */
  half: u32;
  /** 1 for the packed format. */
  packed: u32;
  /** Staging areas of the ring's half, and what is staged: where the next record goes, and how many there are. */
  staged: u32;
  stagedEnd: u32;
  stagedNext: u32;
  stagedCount: u32;
  reclaimed: u32;
  reclaimedMost: u32;
  /** Records in `reclaimed` that are not handled yet. */
  next: u32;
  left: u32;
  /** Buffers or slots in shared memory: where the first is, how far they are apart, and the bytes of each. */
  buffers: u32;
  bufferStride: u32;
  bufferBytes: u32;
  bufferCount: u32;
  /** 1 when the device is to be shown what was added. */
  added: u32;
  /** Transmit: the caller's token for each slot, the slots that are free, and those whose frame was dropped. */
  tokens: u32;
  free: Stack;
  failed: Stack;
}

/** Bytes of a queue's block with the counters behind it. */
export const NET_DRIVER_QUEUE_BYTES: u32 = (offsetof<NetDriverQueue>() + (NET_COUNTERS << 3) + 63) & ~63;

@unmanaged
export class NetDriver {
  pairs: u32;
  /** Pairs that the driver sends on (M-D-02). */
  activePairs: u32;
  /** NET_VERIFY. */
  options: u32;
  mtu: u32;

  // Negotiated, and what follows from it
  featuresLow: u64;
  featuresHigh: u64;
  headerBytes: u32;
  transmitKinds: u32;
  receiveKinds: u32;
  merges: u32;
  sendsPartial: u32;
  takesPartial: u32;
  takesHash: u32;

  // Places
  queues: u32;
  header: u32;
  segments: Segmenter;
  info: FrameInfo;
  /** What the host wants to be sent: records only. */
  outgoing: u32;
  outgoingMost: u32;
  /** What was received and the host has not taken yet: records, frames, and what of both is taken. */
  incoming: u32;
  incomingMost: u32;
  incomingCount: u32;
  incomingData: u32;
  incomingDataBytes: u32;
  incomingDataUsed: u32;
  /** Tokens of frames that were sent, or dropped. */
  done: u32;
  doneMost: u32;
  doneCount: u32;
  /** The queue that comes first in the next burst. */
  turn: u32;
  /** Why the last burst stopped at a record (R_NET_*), and at which. */
  refusal: u32;
  refusalIndex: u32;

  // What bring-up has decided, which the host goes by: pairs that are set up, the control queue, and the shared
  // memory for commands and for frames that are to be sent
  setUpPairs: u32;
  controlQueue: u32;
  commands: u32;
  sendArea: u32;
  sendAreaBytes: u32;
}

@inline
function aligned(bytes: u32): u32 {
  return (bytes + 63) & ~63;
}

/** Private bytes of a driver half: pairs, entries of a ring, records and bytes of frames a direction. */
export function netDriverBytes(pairs: u32, queueSize: u32, records: u32, dataBytes: u32): u32 {
  return (
    aligned(offsetof<NetDriver>()) +
    2 * pairs * NET_DRIVER_QUEUE_BYTES +
    pairs * (aligned(queueSize << 2) + 2 * aligned(stackBytes(queueSize))) +
    64 +
    aligned(SEGMENTER_BYTES) +
    aligned(offsetof<FrameInfo>()) +
    2 * aligned(records * NET_FRAME) +
    aligned(dataBytes) +
    aligned(records << 2)
  );
}

/** Lays a driver half out at `ptr`, in zeroed private memory of `netDriverBytes`. */
export function netDriverInit(ptr: u32, pairs: u32, queueSize: u32, records: u32, dataBytes: u32): void {
  const net = changetype<NetDriver>(ptr);
  net.pairs = pairs;
  net.setUpPairs = 1;
  net.controlQueue = 2;
  let at = ptr + aligned(offsetof<NetDriver>());
  net.queues = at;
  at += 2 * pairs * NET_DRIVER_QUEUE_BYTES;
  for (let pair: u32 = 0; pair < pairs; pair++) {
    const queue = sendQueue(net, pair);
    queue.tokens = at;
    at += aligned(queueSize << 2);
    queue.free = changetype<Stack>(at);
    at += aligned(stackBytes(queueSize));
    queue.failed = changetype<Stack>(at);
    at += aligned(stackBytes(queueSize));
  }
  net.header = at;
  at += 64;
  net.segments = changetype<Segmenter>(at);
  at += aligned(SEGMENTER_BYTES);
  net.info = changetype<FrameInfo>(at);
  at += aligned(offsetof<FrameInfo>());
  net.outgoing = at;
  net.outgoingMost = records;
  at += aligned(records * NET_FRAME);
  net.incoming = at;
  net.incomingMost = records;
  at += aligned(records * NET_FRAME);
  net.incomingData = at;
  net.incomingDataBytes = dataBytes;
  at += aligned(dataBytes);
  net.done = at;
  net.doneMost = records;
}

@inline
export function recvQueue(net: NetDriver, pair: u32): NetDriverQueue {
  return changetype<NetDriverQueue>(net.queues + 2 * pair * NET_DRIVER_QUEUE_BYTES);
}

@inline
export function sendQueue(net: NetDriver, pair: u32): NetDriverQueue {
  return changetype<NetDriverQueue>(net.queues + (2 * pair + 1) * NET_DRIVER_QUEUE_BYTES);
}

/** Adds to the counter of this number. */
@inline
export function countOf(queue: NetDriverQueue, counter: u32, n: u32): void {
  const at = changetype<u32>(queue) + offsetof<NetDriverQueue>() + (counter << 3);
  store<u64>(at, load<u64>(at) + n);
}

/** What bring-up has negotiated; the MTU is 0 when the device has none. */
export function netDriverNegotiated(ptr: u32, low: u64, high: u64, mtu: u32): void {
  const net = changetype<NetDriver>(ptr);
  net.activePairs = 1;
  net.turn = 0;
  net.featuresLow = low;
  net.featuresHigh = high;
  net.headerBytes = netHeaderBytes(low, high);
  net.transmitKinds = transmitKinds(low, high);
  net.receiveKinds = receiveKinds(offloadsOf(low, high));
  net.merges = <u32>hasFeature(low, high, VIRTIO_NET_F_MRG_RXBUF);
  net.sendsPartial = <u32>hasFeature(low, high, VIRTIO_NET_F_CSUM);
  net.takesPartial = <u32>hasFeature(low, high, VIRTIO_NET_F_GUEST_CSUM);
  net.takesHash = <u32>hasFeature(low, high, VIRTIO_NET_F_HASH_REPORT);
  net.mtu = mtu;
}

/** N-D-12: the least bytes of a receive buffer, for an MTU or 0. */
export function netReceiveBytes(low: u64, high: u64, mtu: u32): u32 {
  const headerBytes = netHeaderBytes(low, high);
  if (hasFeature(low, high, VIRTIO_NET_F_MRG_RXBUF)) return headerBytes;
  const large: u64 =
    (1 << VIRTIO_NET_F_GUEST_TSO4) |
    (1 << VIRTIO_NET_F_GUEST_TSO6) |
    (1 << VIRTIO_NET_F_GUEST_UFO) |
    ((<u64>1) << VIRTIO_NET_F_GUEST_USO4) |
    ((<u64>1) << VIRTIO_NET_F_GUEST_USO6);
  if (low & large) return headerBytes + NET_FRAME_MAX;
  return headerBytes + max(PACKET_BYTES, mtu + (PACKET_BYTES - 1500)) + (mtu ? TAG_BYTES : 0);
}

/** Puts a network queue on the ring's driver half at `half`, with its staging areas and its buffers or slots. */
export function netDriverQueueStart(
  ptr: u32,
  half: u32,
  packed: u32,
  staged: u32,
  stagedBytes: u32,
  reclaimed: u32,
  reclaimedMost: u32,
): void {
  const queue = changetype<NetDriverQueue>(ptr);
  queue.half = half;
  queue.packed = packed;
  queue.staged = staged;
  queue.stagedEnd = staged + stagedBytes;
  queue.stagedNext = staged;
  queue.stagedCount = 0;
  queue.reclaimed = reclaimed;
  queue.reclaimedMost = reclaimedMost;
  queue.left = 0;
  queue.added = 0;
}

/** Where the `count` buffers or slots of a queue lie; all slots are free. */
export function netDriverQueueBuffers(
  ptr: u32,
  buffers: u32,
  bufferStride: u32,
  bufferBytes: u32,
  count: u32,
): void {
  const queue = changetype<NetDriverQueue>(ptr);
  queue.buffers = buffers;
  queue.bufferStride = bufferStride;
  queue.bufferBytes = bufferBytes;
  queue.bufferCount = count;
  if (!queue.tokens) return;
  stackInit(queue.free, count);
  stackInit(queue.failed, count);
  // Slots are listed from 1 on, the last one first: 0 is an empty list's answer.
  for (let slot = count; slot; slot--) stackPut(queue.free, slot);
}

@inline
export function driverQueueWorks(queue: NetDriverQueue): bool {
  return queue.half != 0 && isLive(changetype<DriverQueue>(queue.half));
}

/** Adds what is staged; how many records the ring did not take. */
export function addStaged(queue: NetDriverQueue): u32 {
  const count = queue.stagedCount;
  if (!count) return 0;
  queue.stagedCount = 0;
  queue.stagedNext = queue.staged;
  const done = queue.packed
    ? packedDriverAdd(queue.half, queue.staged, count)
    : splitDriverAdd(queue.half, queue.staged, count);
  if (done) queue.added = 1;
  return count - done;
}

/** Takes back used buffers as records at `queue.reclaimed`, at most `most`. */
@inline
export function reclaimUsed(queue: NetDriverQueue, most: u32): u32 {
  return queue.packed
    ? packedDriverReclaim(queue.half, queue.reclaimed, most)
    : splitDriverReclaim(queue.half, queue.reclaimed, most);
}

/** Takes back buffers of a stopped queue as records at `queue.reclaimed`. */
@inline
export function detachStopped(queue: NetDriverQueue): u32 {
  return queue.packed
    ? packedDriverDetach(queue.half, queue.reclaimed, queue.reclaimedMost)
    : splitDriverDetach(queue.half, queue.reclaimed, queue.reclaimedMost);
}

/** Asks for an interrupt at the next used buffer; whether one is used already. */
export function armUsed(queue: NetDriverQueue): bool {
  return (queue.packed ? packedDriverArm(queue.half, 0) : splitDriverArm(queue.half, 0)) != 0;
}
