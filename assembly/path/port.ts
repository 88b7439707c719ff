// A port: one queue with its driver's policy and what is at the far end of it. Everything that a run of
// packets needs has a place here, so that one call moves a pass of packets through all queues, and the
// policy of a driver (src/system/records.ts) is nothing but words in this block.
//
// A host's path between the device half and the wire is a block of its own (host-path.ts), and so is an application
// above the driver half (app.ts).

import { OP_RECLAIM, USED_RECORD } from "../abi";
import { AddressSpace } from "../dma/space";
import { Numbers } from "../mem/numbers";
import { OpTrace, traceOp } from "../mem/trace";
import { DeviceQueue } from "../ring/device";
import { DriverQueue } from "../ring/driver";
import {
  packedDeviceArm,
  packedDeviceMarkAllUsed,
  packedDeviceMarkUsed,
  packedDevicePop,
  packedDevicePublishUsed,
} from "../ring/packed-device";
import {
  packedDriverAdd,
  packedDriverArm,
  packedDriverDetach,
  packedDriverPublish,
  packedDriverReclaim,
} from "../ring/packed-driver";
import {
  splitDeviceArm,
  splitDeviceMarkAllUsed,
  splitDeviceMarkUsed,
  splitDevicePop,
  splitDevicePublishUsed,
} from "../ring/split-device";
import {
  splitDriverAdd,
  splitDriverArm,
  splitDriverDetach,
  splitDriverPublish,
  splitDriverReclaim,
} from "../ring/split-driver";
import { Consumer } from "../rx/consumer";
import { RxRing } from "../rx/rx-ring";
import { Application } from "./app";
import { HostPath } from "./host-path";

@unmanaged
export class Port {
  driver: DriverQueue;
  device: DeviceQueue;
  /** 1 for a packed ring. */
  packed: u32;
  /** The port's number in traces. */
  index: u32;
  /** Most packets of a burst, and buffers that the staging areas hold. */
  batch: u32;
  staging: u32;
  /** Staging areas of the queue (abi.ts). */
  add: u32;
  popped: u32;
  poppedBytes: u32;
  used: u32;
  reclaimed: u32;

  // A pass: `frames` of them from `stream` on, of which `done` went; the next is at `cursor`.
  // Transmit: records for add. Receive: {ptr, bytes} of each frame, the device header in front of it.
  stream: u32;
  cursor: u32;
  frames: u32;
  done: u32;
  /** Packets still to go in this call. */
  left: u32;
  /** Bytes in front of each frame that are a device header, not packet. */
  headerBytes: u32;
  /** What the device moves of a frame: TOUCH_*. */
  touch: u32;
  /** Where the device reads to, or an application from its socket, with room for the longest packet. */
  target: u32;
  /** TOUCH_HEADER: what was read, so that it has to be. */
  sum: u32;
  /** What lies between the device half and the wire, or 0. */
  host: HostPath;
  /** What stands above the driver half, or 0. */
  app: Application;

  // Transmit policy
  /** RECLAIM_*, and below how many free descriptors RECLAIM_THRESHOLD does. */
  reclaimAt: u32;
  reclaimBelow: u32;
  /** A burst ends with less than that free, unless nothing is under way. */
  stopBelow: u32;
  /** Descriptors of a packet. */
  descriptors: u32;
  /** 1: the buffers are mapped, a packet costs one sync. */
  premapped: u32;
  /** Packets of more elements are copied into one buffer of `flat`, a stack of them; 0: never. */
  flattenAbove: u32;
  flat: u32;
  /** After how many packets the driver shows what it added; 0: once a burst. */
  publishEvery: u32;
  /** Packets of one element that share a buffer, at most, and the bytes of a frame up to which they do; 1: none. */
  packTo: u32;
  packBytes: u32;
  /** Packets of the buffer that could not be added (multi-packet.ts). */
  refusedPackets: u32;

  // Receive policy
  rx: RxRing;
  consumer: Consumer;
  /** Elements of a buffer, and descriptors that one takes. */
  sgs: u32;
  /** Free descriptors from which on everything free is posted. */
  refillAt: u32;
  /** 1: asked after each packet, else after each poll. */
  refillInPoll: u32;
  /** The longest frame that the wire hands over. */
  frameMost: u32;
  /** 1: a frame may span buffers (VIRTIO_NET_F_MRG_RXBUF), at most so many, for which packets have room. */
  mergeable: u32;
  buffersMost: u32;
  /** Popped buffers that wait for a frame: the first one, the end of them, and how many (place-frame.ts). */
  placeNext: u32;
  placeTail: u32;
  placeLeft: u32;
  /** Buffers that the burst filled. */
  usedCount: u32;
  /** Streaming buffers: the first free stride of the one that waits first, and the number of the next completion. */
  placeStride: u32;
  placeCompletion: u32;
  /** 1: the consumer drops what it holds at the end of a pass. */
  dropAtEnd: u32;

  /** TOUCH_DIGEST, transmit: FNV-1a so far. */
  digest: u64;
  /** TOUCH_DIGEST: the far side looks at the packets' numbers here, instead of making a digest; or 0. */
  numbers: Numbers;
  /** The completion that the device writes. */
  completion: u64;

  // Counters
  packets: u64;
  bytes: u64;
  flattened: u64;
  flattenedBytes: u64;
  refills: u64;
  /** Times that transmit paused for want of descriptors. */
  ringFull: u64;
  // Lost packets by cause
  dropsNoBuffer: u64;
  dropsTooLong: u64;
  dropsTooShort: u64;
  dropsNumBuffers: u64;
  dropsNoPacket: u64;
  dropsMapFailed: u64;
  // Refills that ended early, by cause
  refillsNoPage: u64;
  refillsMapFailed: u64;
  // The queue's part of the address space's counters, from `maps` on, and what they were when it was last
  // worked out: as many words of 64 bits as the space has (SPACE_COUNTERS).
  charged: u64;
}

/** Whether a host's path lies below the device half. */
@inline
export function hostOf(port: Port): bool {
  return changetype<u32>(port.host) != 0;
}

/** Whether an application stands above the driver half. */
@inline
export function appOf(port: Port): bool {
  return changetype<u32>(port.app) != 0;
}

/** Bytes of the counters at the end of an address space. */
@inline
export function spaceCounterBytes(): u32 {
  return offsetof<AddressSpace>() - offsetof<AddressSpace>("maps");
}

/** Bytes of a port with the place for its part of the address space's counters. */
export function portBytes(): u32 {
  return offsetof<Port>("charged") + spaceCounterBytes();
}

/** Notes what the address space counts now, before the queue's turn. */
export function chargeFrom(port: Port): void {
  charge(port, false);
  const trace = port.driver.space.trace;
  if (trace) changetype<OpTrace>(trace).queue = port.index;
}

/** What the address space counted since is the queue's. */
export function chargeTo(port: Port): void {
  charge(port, true);
}

/** A difference is made in two steps, so that no copy of the counters has to be kept. */
@inline
function charge(port: Port, after: bool): void {
  const space = changetype<u32>(port.driver.space) + offsetof<AddressSpace>("maps");
  const own = changetype<u32>(port) + offsetof<Port>("charged");
  for (let at: u32 = 0; at < spaceCounterBytes(); at += 8) {
    const now = load<u64>(space + at);
    store<u64>(own + at, load<u64>(own + at) + (after ? now : 0 - now));
  }
}

// The ring's calls, by format: one branch a burst

export function driverAdd(port: Port, stream: u32, count: u32): u32 {
  const driver = changetype<u32>(port.driver);
  return port.packed ? packedDriverAdd(driver, stream, count) : splitDriverAdd(driver, stream, count);
}

export function driverPublish(port: Port): u32 {
  const driver = changetype<u32>(port.driver);
  return port.packed ? packedDriverPublish(driver) : splitDriverPublish(driver);
}

/** Takes back up to a burst, and asks for an interrupt for the next. */
export function driverReclaim(port: Port): u32 {
  const driver = changetype<u32>(port.driver);
  if (port.packed) {
    const done = packedDriverReclaim(driver, port.reclaimed, port.staging);
    packedDriverArm(driver, 0);
    return done;
  }
  const done = splitDriverReclaim(driver, port.reclaimed, port.staging);
  splitDriverArm(driver, 0);
  return done;
}

export function driverDetach(port: Port): u32 {
  const driver = changetype<u32>(port.driver);
  return port.packed
    ? packedDriverDetach(driver, port.reclaimed, port.staging)
    : splitDriverDetach(driver, port.reclaimed, port.staging);
}

/** Pops up to `count` buffers, and asks for a kick for the next. */
export function devicePop(port: Port, count: u32): u32 {
  return devicePopBehind(port, 0, count);
}

/** The same behind the first `kept` bytes of the staging area. */
export function devicePopBehind(port: Port, kept: u32, count: u32): u32 {
  const device = changetype<u32>(port.device);
  const out = port.popped + kept;
  const bytes = port.poppedBytes - kept;
  if (port.packed) {
    const got = packedDevicePop(device, out, bytes, count);
    packedDeviceArm(device, 0);
    return got;
  }
  const got = splitDevicePop(device, out, bytes, count);
  splitDeviceArm(device, 0);
  return got;
}

/** Marks what was popped used, all of it, and shows it to the driver. */
export function deviceFinishAll(port: Port, count: u32): void {
  const device = changetype<u32>(port.device);
  if (port.packed) {
    packedDeviceMarkAllUsed(device, port.popped, count);
    packedDevicePublishUsed(device);
  } else {
    splitDeviceMarkAllUsed(device, port.popped, count);
    splitDevicePublishUsed(device);
  }
}

/** Marks `count` buffers of the staging area used, and shows them to the driver. */
export function deviceFinish(port: Port, count: u32): void {
  const device = changetype<u32>(port.device);
  if (port.packed) {
    packedDeviceMarkUsed(device, port.used, count);
    packedDevicePublishUsed(device);
  } else {
    splitDeviceMarkUsed(device, port.used, count);
    splitDevicePublishUsed(device);
  }
}

/** Shows the driver what was marked used. */
export function devicePublishUsed(port: Port): void {
  const device = changetype<u32>(port.device);
  if (port.packed) packedDevicePublishUsed(device);
  else splitDevicePublishUsed(device);
}

/** Makes room in the staging area for `buffers` that are to be shown together. */
@inline
export function stageRoom(port: Port, buffers: u32): void {
  if (port.host.staged + buffers > port.staging) showStaged(port);
}

/** A host gives a popped buffer back with `bytes` written; it is shown with the others of the call. */
export function stageUsed(port: Port, handle: u32, bytes: u32): void {
  const host = port.host;
  const record = port.used + host.staged++ * USED_RECORD;
  store<u32>(record, handle);
  store<u32>(record, bytes, 4);
  host.shown++;
}

/** Shows the driver what was staged. */
export function showStaged(port: Port): void {
  const staged = port.host.staged;
  if (!staged) return;
  port.host.staged = 0;
  deviceFinish(port, staged);
}

/** Packets of the next burst: none goes past the end of the stream, where a pass begins anew. */
@inline
export function burstPackets(port: Port): u32 {
  return min(min(port.batch, port.left), port.frames - port.done);
}

/** Records that a burst was taken back. */
@inline
export function traceReclaim(port: Port, count: u32): void {
  traceOp(port.driver.space.trace, OP_RECLAIM, count, port.driver.numFree);
}
