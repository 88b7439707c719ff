// The device half of a network card (5.1): its block, the areas behind it, and what set-up and reset do.
//
//   NetDevice | queues, two a pair, control | filter | indirection table | hash table | key | flows | parsed frame
//   | headers | segmentations | coalescer | large frames | command | sent: records, frames | received: records, frames
//
// All of it is private memory, and whatever the device remembers is in it: copying it is a snapshot.

import {
  NET_COALESCE,
  NET_FRAME,
  NET_FRAME_MAX,
  NET_RX_NOTIFICATIONS,
  NET_TX_NOTIFICATIONS,
  TOEPLITZ_TABLE_BYTES,
} from "../abi";
import { Device } from "../device";
import {
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_VLAN,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_HASH_REPORT,
  VIRTIO_NET_HDR_GSO_ECN,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
} from "../spec";
import { Coalescer, coalescerBytes, coalescerInit } from "./coalescer";
import { filterReset, filterSetTable, filterSetVlan, loadMac, NET_FILTER_BYTES, NetFilter } from "./filter";
import { hasFeature, KIND_ECN, netHeaderBytes, offloadsOf, receiveKinds, transmitKinds } from "./header";
import { decide, decideIfDue, setCoalescing } from "./notify";
import { FrameInfo } from "./parse";
import { NET_QUEUE_BYTES, NetQueue, netQueueStart, netQueueStop } from "./queue";
import { SEGMENTER_BYTES, Segmenter } from "./segmenter";
import { toeplitzPrepare } from "./toeplitz";

/** Entries of the table that remembers where flows were sent, each {hash u32, pair + 1 u32}. */
export const FLOWS: u32 = 1024;
/** N-V-01: bytes of a hash key, and entries of the indirection table. */
export const RSS_KEY_BYTES: u32 = 40;
export const RSS_TABLE_ENTRIES: u32 = 128;
/** Bytes of a control command that can be legal; and of its answer. */
export const CONTROL_BYTES: u32 = 8192;
/** What is put together: TCP over either version of IP. */
const COALESCED_KINDS: u32 = (1 << VIRTIO_NET_HDR_GSO_TCPV4) | (1 << VIRTIO_NET_HDR_GSO_TCPV6);
/** Flows of which segments are put together at a time. */
const COALESCED_FLOWS: u32 = 8;
/** Room for the longest frame, on the next multiple of 64. */
const FRAME_AREA: u32 = (NET_FRAME_MAX + 127) & ~63;
const COUNTERS_BYTES: u32 = 16 << 3;

@unmanaged
export class NetDevice {
  device: Device;
  /** Queue pairs that there is room for, and those that receive (5.1.9.5.5). */
  pairs: u32;
  activePairs: u32;
  /** NET_HOLD and NET_COALESCE, NET_WIRE_*: the host's choice. */
  options: u32;
  wire: u32;
  linkUp: u32;
  /** The largest packet without its Ethernet header; 0 when none was negotiated. */
  mtu: u32;
  /** The time in microseconds, as the host last said it is. */
  now: u32;

  // Negotiated, and what follows from it
  featuresLow: u64;
  featuresHigh: u64;
  offloads: u64;
  headerBytes: u32;
  transmitKinds: u32;
  receiveKinds: u32;
  /** Whether the driver takes frames whose checksum is open, and hash reports. */
  takesPartial: u32;
  reportsHash: u32;

  // RSS and hash report (5.1.9.5.7): enabled types, whether the hash chooses the queue, and how
  hashTypes: u32;
  steersByHash: u32;
  tableMask: u32;
  unclassifiedPair: u32;

  // What a queue's coalescing starts with when it is enabled (5.1.9.5.10)
  receivePackets: u32;
  receiveUsecs: u32;
  transmitPackets: u32;
  transmitUsecs: u32;

  // Places
  queues: u32;
  filter: NetFilter;
  table: u32;
  toeplitz: u32;
  key: u32;
  flows: u32;
  info: FrameInfo;
  /** Headers and segmentations of the two directions; a large frame of each; one segment that was cut off. */
  header: u32;
  receiveHeader: u32;
  segments: Segmenter;
  pendingSegments: Segmenter;
  frame: u32;
  pendingFrame: u32;
  segment: u32;
  coalescer: Coalescer;
  control: u32;

  // What was sent and the host has not taken yet: records, frames, and what of both is taken
  sent: u32;
  sentMost: u32;
  sentCount: u32;
  sentData: u32;
  sentDataBytes: u32;
  sentDataUsed: u32;
  // What the host hands in
  received: u32;
  receivedMost: u32;
  receivedData: u32;
  receivedDataBytes: u32;

  // A frame of a transmit queue that is being segmented; and the queue that comes first in the next burst
  segmenting: u32;
  segmentingPair: u32;
  turn: u32;
  // A received frame that is being segmented, and the bytes of the segment that waits for buffers
  pending: u32;
  pendingBytes: u32;
  /** The hash of the frame in hand, and what it is reported as. */
  hashValue: u32;
  hashReport: u32;
  /** Bytes of the headers of a large frame in hand. */
  hdrLen: u32;
  /** The control command in hand: its bytes, and how many the answer may have. */
  controlBytes: u32;
  controlAnswer: u32;
}

@inline
function aligned(bytes: u32): u32 {
  return (bytes + 63) & ~63;
}

/** Bytes of a device half with so many pairs, records of frames a direction, and bytes of frames a direction. */
export function netDeviceBytes(pairs: u32, records: u32, dataBytes: u32): u32 {
  return (
    aligned(offsetof<NetDevice>() + COUNTERS_BYTES) +
    2 * pairs * NET_QUEUE_BYTES +
    NET_QUEUE_BYTES +
    aligned(NET_FILTER_BYTES) +
    aligned(RSS_TABLE_ENTRIES << 1) +
    aligned(TOEPLITZ_TABLE_BYTES) +
    aligned(RSS_KEY_BYTES) +
    (FLOWS << 3) +
    aligned(offsetof<FrameInfo>()) +
    128 +
    2 * aligned(SEGMENTER_BYTES) +
    aligned(coalescerBytes(COALESCED_FLOWS)) +
    (3 + COALESCED_FLOWS) * FRAME_AREA +
    CONTROL_BYTES +
    2 * (aligned(records * NET_FRAME) + aligned(dataBytes))
  );
}

/** Lays a device half out at `ptr`, in zeroed private memory of `netDeviceBytes`. */
export function netDeviceInit(ptr: u32, device: u32, pairs: u32, records: u32, dataBytes: u32): void {
  const net = changetype<NetDevice>(ptr);
  net.device = changetype<Device>(device);
  net.pairs = pairs;
  let at = ptr + aligned(offsetof<NetDevice>() + COUNTERS_BYTES);
  net.queues = at;
  at += (2 * pairs + 1) * NET_QUEUE_BYTES;
  net.filter = changetype<NetFilter>(at);
  at += aligned(NET_FILTER_BYTES);
  net.table = at;
  at += aligned(RSS_TABLE_ENTRIES << 1);
  net.toeplitz = at;
  at += aligned(TOEPLITZ_TABLE_BYTES);
  net.key = at;
  at += aligned(RSS_KEY_BYTES);
  net.flows = at;
  at += FLOWS << 3;
  net.info = changetype<FrameInfo>(at);
  at += aligned(offsetof<FrameInfo>());
  net.header = at;
  net.receiveHeader = at + 32;
  at += 128;
  net.segments = changetype<Segmenter>(at);
  at += aligned(SEGMENTER_BYTES);
  net.pendingSegments = changetype<Segmenter>(at);
  at += aligned(SEGMENTER_BYTES);
  net.frame = at;
  at += FRAME_AREA;
  net.pendingFrame = at;
  at += FRAME_AREA;
  net.segment = at;
  at += FRAME_AREA;
  net.coalescer = changetype<Coalescer>(at);
  at += aligned(coalescerBytes(COALESCED_FLOWS));
  coalescerInit(net.coalescer, COALESCED_FLOWS, at, FRAME_AREA);
  at += COALESCED_FLOWS * FRAME_AREA;
  net.control = at;
  at += CONTROL_BYTES;
  net.sent = at;
  net.sentMost = records;
  at += aligned(records * NET_FRAME);
  net.sentData = at;
  net.sentDataBytes = dataBytes;
  at += aligned(dataBytes);
  net.received = at;
  net.receivedMost = records;
  at += aligned(records * NET_FRAME);
  net.receivedData = at;
  net.receivedDataBytes = dataBytes;
}

/** The receive queue of a pair; the transmit queue is behind it. */
@inline
export function receiveQueue(net: NetDevice, pair: u32): NetQueue {
  return changetype<NetQueue>(net.queues + 2 * pair * NET_QUEUE_BYTES);
}

@inline
export function transmitQueue(net: NetDevice, pair: u32): NetQueue {
  return changetype<NetQueue>(net.queues + (2 * pair + 1) * NET_QUEUE_BYTES);
}

@inline
export function controlQueue(net: NetDevice): NetQueue {
  return changetype<NetQueue>(net.queues + 2 * net.pairs * NET_QUEUE_BYTES);
}

/** Adds to a counter of the device's own. */
@inline
export function countDevice(net: NetDevice, counter: u32, n: u32): void {
  const at = changetype<u32>(net) + offsetof<NetDevice>() + (counter << 3);
  store<u64>(at, load<u64>(at) + n);
}

/** Device reset: everything that a driver has set is forgotten. Counters and the host's choices stay. */
export function netDeviceReset(ptr: u32): void {
  const net = changetype<NetDevice>(ptr);
  // M-B-01: one pair at first.
  net.activePairs = 1;
  net.turn = 0;
  net.mtu = 0;
  net.hashTypes = 0;
  net.steersByHash = 0;
  memory.fill(net.flows, 0, FLOWS << 3);
  filterReset(net.filter);
  netDeviceNegotiated(ptr, 0, 0, 0);
  // Q-V-02.
  netDeviceSetAllCoalescing(ptr, 0, 0, 0);
  netDeviceSetAllCoalescing(ptr, 1, 0, 0);
}

/** What DRIVER_OK makes final: the features, and the MTU if it is one of them. */
export function netDeviceNegotiated(ptr: u32, low: u64, high: u64, mtu: u32): void {
  const net = changetype<NetDevice>(ptr);
  net.featuresLow = low;
  net.featuresHigh = high;
  net.headerBytes = netHeaderBytes(low, high);
  net.transmitKinds = transmitKinds(low, high);
  net.reportsHash = <u32>hasFeature(low, high, VIRTIO_NET_F_HASH_REPORT);
  net.mtu = mtu;
  net.filter.byMode = <u32>hasFeature(low, high, VIRTIO_NET_F_CTRL_RX);
  net.filter.byVlan = <u32>hasFeature(low, high, VIRTIO_NET_F_CTRL_VLAN);
  netDeviceSetOffloads(ptr, offloadsOf(low, high));
}

/** C-B-03: which offloads of the receive direction are on. */
export function netDeviceSetOffloads(ptr: u32, offloads: u64): void {
  const net = changetype<NetDevice>(ptr);
  net.offloads = offloads;
  net.takesPartial = <u32>hasFeature(offloads, 0, VIRTIO_NET_F_GUEST_CSUM);
  net.receiveKinds = receiveKinds(offloads);
  const kinds = net.receiveKinds & COALESCED_KINDS;
  const ecn = net.receiveKinds & KIND_ECN ? VIRTIO_NET_HDR_GSO_ECN : 0;
  net.coalescer.kinds = kinds && net.options & NET_COALESCE ? kinds | ecn : 0;
}

/**
 * R-D-01: which types are hashed, and whether the hash chooses the queue, by the first `mask` + 1 entries of the
 * table at `net.table`. The key lies at `net.key`.
 */
export function netDeviceSetHash(
  ptr: u32,
  types: u32,
  steers: u32,
  mask: u32,
  unclassifiedPair: u32,
  keyBytes: u32,
): void {
  const net = changetype<NetDevice>(ptr);
  net.hashTypes = types;
  net.steersByHash = steers;
  net.tableMask = mask;
  net.unclassifiedPair = unclassifiedPair;
  toeplitzPrepare(net.key, keyBytes, net.toeplitz);
}

/** The host's clock: microseconds, modulo 2^32. Decides about notifications that have waited long enough. */
export function netDeviceTick(ptr: u32, now: u32): void {
  const net = changetype<NetDevice>(ptr);
  net.now = now;
  for (let pair: u32 = 0; pair < net.pairs; pair++) {
    decideIfDue(receiveQueue(net, pair), now, NET_RX_NOTIFICATIONS);
    decideIfDue(transmitQueue(net, pair), now, NET_TX_NOTIFICATIONS);
  }
}

/** Decides about every notification that waits, whatever it waits for: the device is about to be suspended (3.4.2). */
export function netDeviceDecide(ptr: u32): void {
  const net = changetype<NetDevice>(ptr);
  for (let pair: u32 = 0; pair < net.pairs; pair++) {
    decide(receiveQueue(net, pair), NET_RX_NOTIFICATIONS);
    decide(transmitQueue(net, pair), NET_TX_NOTIFICATIONS);
  }
}

/** Q-V-03: the parameters of the queue with this index in the device, which is no control queue. */
export function netDeviceSetCoalescing(ptr: u32, index: u32, maxPackets: u32, maxUsecs: u32): void {
  const net = changetype<NetDevice>(ptr);
  const queue = changetype<NetQueue>(net.queues + index * NET_QUEUE_BYTES);
  const notifications = index & 1 ? NET_TX_NOTIFICATIONS : NET_RX_NOTIFICATIONS;
  setCoalescing(queue, maxPackets, maxUsecs, net.now, notifications);
}

/** The same for all receive queues, or all transmit queues, and for those that are enabled later (Q-V-02). */
export function netDeviceSetAllCoalescing(ptr: u32, transmit: u32, maxPackets: u32, maxUsecs: u32): void {
  const net = changetype<NetDevice>(ptr);
  if (transmit) {
    net.transmitPackets = maxPackets;
    net.transmitUsecs = maxUsecs;
  } else {
    net.receivePackets = maxPackets;
    net.receiveUsecs = maxUsecs;
  }
  for (let index = transmit; index < 2 * net.pairs; index += 2)
    netDeviceSetCoalescing(ptr, index, maxPackets, maxUsecs);
}

/** A receive mode (5.1.9.5.1) by its command's number. */
export function netDeviceSetMode(ptr: u32, mode: u32, on: u32): void {
  const filter = changetype<NetDevice>(ptr).filter;
  filter.modes = on ? filter.modes | (1 << mode) : filter.modes & ~(1 << mode);
}

/** One of the two tables of addresses: `entries` of six bytes each at `list`. */
export function netDeviceSetMacTable(ptr: u32, multicast: u32, list: u32, entries: u32): void {
  filterSetTable(changetype<NetDevice>(ptr).filter, multicast != 0, list, entries);
}

/** The device's own address, six bytes at `mac`. */
export function netDeviceSetMac(ptr: u32, mac: u32): void {
  changetype<NetDevice>(ptr).filter.mac = loadMac(mac);
}

export function netDeviceSetVlan(ptr: u32, id: u32, pass: u32): void {
  filterSetVlan(changetype<NetDevice>(ptr).filter, id, pass != 0);
}

/** M-V-01: the pairs that receive from here on, by the flow (5.1.9.5.6). */
export function netDeviceSetPairs(ptr: u32, pairs: u32): void {
  const net = changetype<NetDevice>(ptr);
  net.activePairs = pairs;
  net.steersByHash = 0;
}

/** A queue of the device is enabled; index 2 `pairs` is the control queue here, wherever it is in the device. */
export function netDeviceQueueStart(
  ptr: u32,
  index: u32,
  half: u32,
  packed: u32,
  area: u32,
  areaBytes: u32,
  used: u32,
  usedBytes: u32,
): void {
  const net = changetype<NetDevice>(ptr);
  const queue = changetype<NetQueue>(net.queues + index * NET_QUEUE_BYTES);
  netQueueStart(queue, half, packed, area, areaBytes, used, usedBytes);
  queue.maxPackets = index & 1 ? net.transmitPackets : net.receivePackets;
  queue.maxUsecs = index & 1 ? net.transmitUsecs : net.receiveUsecs;
}

/** A queue of the device is reset: what was popped is the driver's again. */
export function netDeviceQueueStop(ptr: u32, index: u32): void {
  netQueueStop(changetype<NetQueue>(changetype<NetDevice>(ptr).queues + index * NET_QUEUE_BYTES));
}
