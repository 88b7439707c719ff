// The frames and packets of an application while a port runs: their records, and their mappings, which are made at
// set-up for a driver that maps nothing per packet. And how one of them is staged for the driver half.

import { ADD_HEADER, DMA_MAPPING_ERROR, DMA_TO_DEVICE, FRAME_RECORD, SEGMENT } from "../abi";
import { dmaMap, dmaSyncForDevice, dmaUnmap } from "../dma/dma";
import { AddressSpace } from "../dma/space";
import { stackInit, stackPut } from "../mem/stack";
import { Application, Frame } from "./app";
import { Port } from "./port";

/** All frames are the program's, all packets free, and nothing is mapped. */
export function framesInit(app: Application): void {
  recordsInit(app.records, app.frames, app.frameStride, app.frameCount);
  app.lent = 0;
  app.held = 0;
  app.staged = 0;
  app.pending = 0;
  app.headerHandle = app.header;
  if (!app.packetCount) return;
  recordsInit(app.packetRecords, app.packets, app.packetStride, app.packetCount);
  stackInit(app.free, app.packetCount);
  for (let k = app.packetCount; k > 0; k--) stackPut(app.free, app.packetRecords + (k - 1) * FRAME_RECORD);
}

function recordsInit(records: u32, first: u32, stride: u32, count: u32): void {
  for (let k: u32 = 0; k < count; k++) {
    const record = changetype<Frame>(records + k * FRAME_RECORD);
    record.place = first + k * stride;
    record.handle = record.place;
    record.from = 0;
    record.lent = 0;
  }
}

/** Maps what the driver's buffers are, one mapping each; false when one could not be mapped: then none is. */
export function framesMap(space: AddressSpace, app: Application, headerBytes: u32, direction: u32): bool {
  const copies = app.packetCount != 0;
  const records = copies ? app.packetRecords : app.records;
  const count = copies ? app.packetCount : app.frameCount;
  const bytes = copies ? app.packetStride : app.frameStride;
  for (let k: u32 = 0; k < count; k++) {
    const record = changetype<Frame>(records + k * FRAME_RECORD);
    const dma = dmaMap(space, record.place, bytes, direction, 0);
    if (dma == DMA_MAPPING_ERROR) {
      unmap(space, records, k, bytes, direction);
      return false;
    }
    record.handle = dma;
  }
  if (!app.header) return true;
  const dma = dmaMap(space, app.header, headerBytes, DMA_TO_DEVICE, 0);
  if (dma == DMA_MAPPING_ERROR) {
    unmap(space, records, count, bytes, direction);
    return false;
  }
  app.headerHandle = dma;
  return true;
}

/** Ends what `framesMap` began. */
export function framesUnmap(space: AddressSpace, app: Application, headerBytes: u32, direction: u32): void {
  if (app.packetCount) unmap(space, app.packetRecords, app.packetCount, app.packetStride, direction);
  else unmap(space, app.records, app.frameCount, app.frameStride, direction);
  if (app.header) dmaUnmap(space, app.headerHandle, headerBytes, DMA_TO_DEVICE, 0);
}

function unmap(space: AddressSpace, records: u32, count: u32, bytes: u32, direction: u32): void {
  for (let k: u32 = 0; k < count; k++) {
    dmaUnmap(space, changetype<Frame>(records + k * FRAME_RECORD).handle, bytes, direction, 0);
  }
}

/**
 * Stages a packet of `bytes` that starts at `at` of a frame or packet: header and packet in one element, or the header in
 * one and the packet cut evenly into the rest. Behind the record.
 */
@inline
export function stagePacket(port: Port, to: u32, record: Frame, at: u32, bytes: u32): u32 {
  const header = port.app.header;
  const headerBytes = header ? 0 : port.headerBytes;
  const start = record.handle + at - headerBytes;
  // One sync a packet, if it lies in a mapping that was made at set-up.
  if (port.premapped) dmaSyncForDevice(port.driver.space, start, headerBytes + bytes, DMA_TO_DEVICE);
  store<u32>(to, changetype<u32>(record));
  store<u32>(to, port.sgs, 4);
  to += ADD_HEADER;
  if (port.sgs == 1) {
    store<u32>(to, start);
    store<u32>(to, headerBytes + bytes, 4);
    return to + SEGMENT;
  }
  let pieces = port.sgs;
  if (port.headerBytes) {
    store<u32>(to, header ? port.app.headerHandle : start);
    store<u32>(to, port.headerBytes, 4);
    to += SEGMENT;
    pieces--;
  }
  if (pieces > 1) return stagePieces(to, record.handle + at, bytes, pieces);
  store<u32>(to, record.handle + at);
  store<u32>(to, bytes, 4);
  return to + SEGMENT;
}

function stagePieces(to: u32, from: u32, bytes: u32, pieces: u32): u32 {
  let cut: u32 = 0;
  for (let piece: u32 = 1; piece <= pieces; piece++) {
    const next = <u32>((<u64>bytes * piece) / pieces);
    store<u32>(to, from + cut);
    store<u32>(to, next - cut, 4);
    to += SEGMENT;
    cut = next;
  }
  return to;
}
