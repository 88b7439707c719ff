// Multi-packet transmit (ours, after the multi-packet descriptors of some NICs): one buffer for several small
// packets, each of which is one of its elements, device header and frame. So one indirect table, or one direct
// list, one available and one used entry serve them all; what is mapped is still each packet.
//
//   stream   | token, 1 element: packet 0 | token, 1 element: packet 1 | ...
//   staged   | token of packet 0, n elements: packet 0, packet 1, ... packet n - 1 | ...
//
// A packet longer than the policy's limit has a buffer of its own, and ends the one before it.

import { ADD_HEADER, POP_HEADER, SEGMENT, TOUCH_NONE } from "../abi";
import { isLive } from "../ring/queue";
import { deviceFinishAll, driverAdd, Port } from "./port";
import { wireReadsBuffer } from "./wire";

/** A packet of the stream: one element. */
const PACKET: u32 = ADD_HEADER + SEGMENT;

/**
 * Adds the next `count` packets of the stream, `packTo` to a buffer at the most; how many. `refusedPackets` is how many
 * the first buffer has that could not be added.
 */
export function addMultiPacket(port: Port, count: u32): u32 {
  const buffers = stage(port, count);
  const added = driverAdd(port, port.add, buffers);
  let packets: u32 = 0;
  let at = port.add;
  for (let k: u32 = 0; k < added; k++) {
    const elements = load<u32>(at, 4);
    packets += elements;
    at += ADD_HEADER + elements * SEGMENT;
  }
  port.refusedPackets = added < buffers ? load<u32>(at, 4) : 0;
  port.cursor += packets * PACKET;
  return packets;
}

/** Stages buffers for the next `count` packets of the stream; how many buffers. */
function stage(port: Port, count: u32): u32 {
  const end = port.cursor + count * PACKET;
  let packet = port.cursor;
  let to = port.add;
  let buffers: u32 = 0;
  for (; packet != end; buffers++) {
    const first = to;
    store<u32>(to, load<u32>(packet));
    to += ADD_HEADER;
    let room = port.packTo;
    let small: bool;
    do {
      small = isSmall(port, packet);
      // 8-byte aligned, like every record.
      store<u64>(to, load<u64>(packet, ADD_HEADER));
      to += SEGMENT;
      packet += PACKET;
    } while (--room && small && packet != end && isSmall(port, packet));
    store<u32>(first, port.packTo - room, 4);
  }
  return buffers;
}

@inline
function isSmall(port: Port, packet: u32): bool {
  return load<u32>(packet, ADD_HEADER + 4) - port.headerBytes <= port.packBytes;
}

/** The wire takes each element of the popped buffers as a packet, and gives the buffers back. False after a fault. */
export function wireTakesEach(port: Port, count: u32): bool {
  let record = port.popped;
  for (let k: u32 = 0; k < count; k++) {
    const counts = load<u32>(record, 4);
    let segment = record + POP_HEADER;
    for (let left = counts & 0xffff; left; left--) {
      if (!takePacket(port, segment)) return false;
      segment += SEGMENT;
    }
    record = segment + (counts >> 16) * SEGMENT;
  }
  if (!isLive(port.device)) return false;
  deviceFinishAll(port, count);
  return true;
}

@inline
function takePacket(port: Port, segment: u32): bool {
  const bytes = load<u32>(segment, 4);
  if (bytes < port.headerBytes) {
    port.dropsTooShort++;
    return true;
  }
  const frameBytes = bytes - port.headerBytes;
  if (port.touch != TOUCH_NONE && !wireReadsBuffer(port, segment, 1, frameBytes)) return false;
  port.packets++;
  port.bytes += frameBytes;
  return true;
}
