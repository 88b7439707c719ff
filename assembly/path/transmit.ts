// A burst of packets from a driver to the wire: add, publish, the device reads the payload and marks the
// buffers used, and the driver takes them back, when its policy says so. Who maps is the driver half under
// ACCESS_PLATFORM (map at add, unmap at reclaim), or nobody, when the buffers were mapped at set-up: then a
// packet costs one sync.

import {
  ADD_HEADER,
  DMA_MAPPING_ERROR,
  DMA_TO_DEVICE,
  OP_TRANSMIT,
  R_DMA_MAP_FAILED,
  RECLAIM_COMPLETION,
  RECLAIM_NEXT_TRANSMIT,
  RECLAIM_RECORD,
  RECLAIM_THRESHOLD,
  SEGMENT,
} from "../abi";
import { dmaMap, dmaPlace, dmaSyncForDevice, dmaUnmap } from "../dma/dma";
import { copyBytes } from "../mem/copy";
import { Stack, stackInit, stackPut, stackTake } from "../mem/stack";
import { traceOp } from "../mem/trace";
import { isLive } from "../ring/queue";
import { appBegins, appDone, appSends, appTransmitClose, appTransmitOpen } from "./app-transmit";
import { hostRoom, hostTakes } from "./host-transmit";
import { addMultiPacket, wireTakesEach } from "./multi-packet";
import {
  appOf,
  burstPackets,
  chargeFrom,
  chargeTo,
  devicePop,
  driverAdd,
  driverPublish,
  driverReclaim,
  hostOf,
  Port,
  traceReclaim,
} from "./port";
import { wireTakes } from "./wire";

/** One burst of at most `port.left`; how many packets are dealt with, sent or dropped, and 0 once the queue is broken. */
export function transmitBurst(port: Port): u32 {
  if (!isLive(port.device)) return 0;
  chargeFrom(port);
  if (port.reclaimAt == RECLAIM_NEXT_TRANSMIT) takeBack(port);
  else if (port.reclaimAt == RECLAIM_THRESHOLD && port.driver.numFree < port.reclaimBelow) takeBack(port);

  const count = room(port);
  if (appOf(port)) appBegins(port);
  const added = addAndShow(port, count);
  traceOp(port.driver.space.trace, OP_TRANSMIT, added, port.driver.numFree);
  let dealt = appOf(port) ? port.app.dealt : added;
  if (appOf(port)) {
    if (count < burstPackets(port)) port.ringFull++;
  } else if (added < count && port.driver.refusal == R_DMA_MAP_FAILED) {
    // What can't be mapped is dropped, as virtio-net and i40e both do, and what shares its buffer.
    const lost = port.packTo > 1 ? port.refusedPackets : 1;
    for (let k: u32 = 0; k < lost; k++) port.cursor = pastRecord(port.cursor);
    port.dropsMapFailed += lost;
    dealt += lost;
  } else if (added < burstPackets(port)) port.ringFull++;

  const got = devicePop(port, hostOf(port) ? hostRoom(port, port.batch) : port.batch);
  const sent = takes(port, got);
  if (port.reclaimAt == RECLAIM_COMPLETION) takeBack(port);
  chargeTo(port);
  // What a broken queue has of a burst stays to be moved, so that nobody takes it for sent.
  if (!sent) return 0;
  port.left -= dealt;
  advance(port, dealt);
  // What was popped or given back makes room for the next burst, even if this one added nothing.
  return dealt + got + (hostOf(port) ? port.host.shown : 0);
}

/** Adds up to `count` packets, and shows them to the device as often as the policy says. */
@inline
function addAndShow(port: Port, count: u32): u32 {
  const every = port.publishEvery || count;
  let added: u32 = 0;
  let wanted: u32;
  let now: u32;
  do {
    wanted = min(every, count - added);
    now = add(port, wanted);
    added += now;
    driverPublish(port);
  } while (now == wanted && added < count);
  return added;
}

@inline
function add(port: Port, count: u32): u32 {
  if (appOf(port)) return appSends(port, count);
  if (port.flattenAbove) return addFlat(port, count);
  if (port.premapped) syncStream(port, count);
  return port.packTo > 1 ? addMultiPacket(port, count) : addStream(port, count);
}

/** What is at the far end takes `count` popped buffers. */
@inline
function takes(port: Port, count: u32): bool {
  if (hostOf(port)) return hostTakes(port, count);
  return port.packTo > 1 ? wireTakesEach(port, count) : wireTakes(port, count);
}

/** Packets that a burst may add: it pauses when a packet of the worst case might not fit any more. */
@inline
function room(port: Port): u32 {
  const free = port.driver.numFree;
  const wanted = burstPackets(port);
  // With nothing under way no completion would wake the queue, so one packet is tried.
  if (free < port.stopBelow) return port.driver.outstanding ? 0 : min(wanted, 1);
  return min(wanted, ((free - port.stopBelow) / port.descriptors + 1) * port.packTo);
}

function addStream(port: Port, count: u32): u32 {
  const added = driverAdd(port, port.cursor, count);
  port.cursor = port.driver.cursor;
  return added;
}

/** One sync a packet: its elements lie one behind the other in one mapping. */
function syncStream(port: Port, count: u32): void {
  let record = port.cursor;
  for (; count; count--) {
    const dma = load<u32>(record, ADD_HEADER);
    const next = pastRecord(record);
    dmaSyncForDevice(port.driver.space, dma, packetBytes(record), DMA_TO_DEVICE);
    record = next;
  }
}

/** Copies each packet into one buffer first (i40e_chk_linearize, skb_linearize). */
function addFlat(port: Port, count: u32): u32 {
  const stack = changetype<Stack>(port.flat);
  let record = port.cursor;
  let to = port.add;
  let staged: u32 = 0;
  for (; staged < count; staged++) {
    const slot = stackTake(stack);
    if (!slot) break;
    const bytes = flatten(record, slot);
    port.flattened++;
    port.flattenedBytes += bytes;
    store<u32>(to, slot);
    store<u32>(to, 1, 4);
    store<u32>(to, slot, ADD_HEADER);
    store<u32>(to, bytes, ADD_HEADER + 4);
    to += ADD_HEADER + SEGMENT;
    record = pastRecord(record);
  }
  const added = driverAdd(port, port.add, staged);
  for (let k: u32 = 0; k < added; k++) port.cursor = pastRecord(port.cursor);
  for (let k = added; k < staged; k++) stackPut(stack, load<u32>(port.add + k * (ADD_HEADER + SEGMENT)));
  return added;
}

function flatten(record: u32, to: u32): u32 {
  let sg = record + ADD_HEADER;
  const end = pastRecord(record);
  let at = to;
  for (; sg < end; sg += SEGMENT) {
    const bytes = load<u32>(sg, 4);
    copyBytes(at, load<u32>(sg), bytes);
    at += bytes;
  }
  return at - to;
}

@inline
function pastRecord(record: u32): u32 {
  const counts = load<u32>(record, 4);
  return record + ADD_HEADER + ((counts & 0xffff) + (counts >> 16)) * SEGMENT;
}

function packetBytes(record: u32): u32 {
  const end = pastRecord(record);
  let bytes: u32 = 0;
  for (let sg = record + ADD_HEADER; sg < end; sg += SEGMENT) bytes += load<u32>(sg, 4);
  return bytes;
}

/** A pass begins anew behind its last packet. */
@inline
function advance(port: Port, count: u32): void {
  port.done += count;
  if (port.done < port.frames) return;
  port.done = 0;
  port.cursor = port.stream;
}

/** Takes back whatever is used; the driver half unmaps it. */
export function takeBack(port: Port): void {
  for (;;) {
    const done = driverReclaim(port);
    if (!done) return;
    giveBack(port, done);
    traceReclaim(port, done);
    if (done < port.staging) return;
  }
}

/** Makes `count` free flat buffers from `first` on, listed in a stack at `stack`. */
export function portFlat(ptr: u32, stack: u32, first: u32, stride: u32, count: u32): void {
  changetype<Port>(ptr).flat = stack;
  stackInit(changetype<Stack>(stack), count);
  for (let k = count; k > 0; k--) stackPut(changetype<Stack>(stack), first + (k - 1) * stride);
}

/** What was taken back or detached goes to the application, or it is flat buffers, which are free again. */
export function giveBack(port: Port, count: u32): void {
  if (appOf(port)) appDone(port.app, port.reclaimed, count);
  if (!port.flattenAbove) return;
  for (let k: u32 = 0; k < count; k++) {
    stackPut(changetype<Stack>(port.flat), load<u32>(port.reclaimed + k * RECLAIM_RECORD));
  }
}

/**
 * Maps the buffers of a pass, one mapping a packet, and puts their handles into the stream in place of
 * pointers. False when one can't be mapped: then none is.
 */
export function transmitOpen(port: Port): bool {
  if (appOf(port)) return appTransmitOpen(port);
  if (!port.premapped) return true;
  let record = port.stream;
  for (let k: u32 = 0; k < port.frames; k++) {
    const ptr = load<u32>(record, ADD_HEADER);
    const dma = dmaMap(port.driver.space, ptr, packetBytes(record), DMA_TO_DEVICE, 0);
    if (dma == DMA_MAPPING_ERROR) {
      unmapStream(port, k);
      return false;
    }
    shift(record, dma - ptr);
    record = pastRecord(record);
  }
  return true;
}

/** With both halves stopped and everything detached: ends the mappings that were made at set-up. */
export function transmitClose(port: Port): void {
  if (appOf(port)) appTransmitClose(port);
  else if (port.premapped) unmapStream(port, port.frames);
}

function unmapStream(port: Port, count: u32): void {
  let record = port.stream;
  for (; count; count--) {
    const dma = load<u32>(record, ADD_HEADER);
    const ptr = dmaPlace(port.driver.space, dma);
    dmaUnmap(port.driver.space, dma, packetBytes(record), DMA_TO_DEVICE, 0);
    shift(record, ptr - dma);
    record = pastRecord(record);
  }
}

/** Moves every element of a record by `delta`. */
function shift(record: u32, delta: u32): void {
  const end = pastRecord(record);
  for (let sg = record + ADD_HEADER; sg < end; sg += SEGMENT) store<u32>(sg, load<u32>(sg) + delta);
}
