// How far a host has read a packet that its device half has popped: the element, and the bytes of it that are behind.
// The caller never asks for more than the record says there is.

import { POP_HEADER, SEGMENT } from "../abi";
import { pagesTouched } from "../mem/pins";
import { bufferRead } from "../ring/access";
import { Port } from "./port";

/** Begins with the packet of a popped record. */
@inline
export function walkFrom(port: Port, record: u32): void {
  port.host.walkSegment = record + POP_HEADER;
  port.host.walkOffset = 0;
}

/** Reads the next `bytes` into a buffer of the host's. False after a fault. */
export function walkRead(port: Port, to: u32, bytes: u32): bool {
  while (bytes) {
    const now = min(walkLeft(port), bytes);
    if (!bufferRead(port.device, walkAt(port), to, now)) return false;
    to += now;
    bytes -= now;
    walkOn(port, now);
  }
  return true;
}

/** The next byte, and how many follow in its element. */
@inline
export function walkAt(port: Port): u32 {
  return load<u32>(port.host.walkSegment) + port.host.walkOffset;
}

@inline
export function walkLeft(port: Port): u32 {
  return load<u32>(port.host.walkSegment, 4) - port.host.walkOffset;
}

/** Goes on by `bytes`, which are in the element. */
@inline
export function walkOn(port: Port, bytes: u32): void {
  const host = port.host;
  host.walkOffset += bytes;
  if (host.walkOffset < load<u32>(host.walkSegment, 4)) return;
  host.walkSegment += SEGMENT;
  host.walkOffset = 0;
}

/** Pages of the next `bytes`, those that elements share counted for each (iov_iter_npages). */
export function walkPages(port: Port, bytes: u32): u32 {
  let segment = port.host.walkSegment;
  let offset = port.host.walkOffset;
  let pages: u32 = 0;
  while (bytes) {
    const now = load<u32>(segment, 4) - offset;
    pages += pagesTouched(load<u32>(segment) + offset, now);
    bytes -= now;
    segment += SEGMENT;
    offset = 0;
  }
  return pages;
}
