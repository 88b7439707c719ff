// A frame goes from one place of the host's, or of the wire's, into the buffers that a driver has posted: one,
// or where the driver merges (VIRTIO_NET_F_MRG_RXBUF, 5.1.9.3.2) as many as it takes, of which num_buffers in
// the frame's header says the count. Nothing is written before there are enough of them, so no frame is begun
// and taken back; those that were popped and not needed wait for the next frame.
//
//   popped area   | of this burst's frames | wait: placeLeft of them | room
//                 ^ port.popped            ^ placeNext               ^ placeTail
//
// All that a burst filled is shown to the driver at once, so that it never sees a part of a frame.

import { PACKET_HEAD, POP_HEADER, SEGMENT, TOUCH_COPY, USED_RECORD } from "../abi";
import { pagesTouched } from "../mem/pins";
import { recordAfter, writableBytes } from "../net/queue";
import { bufferWrite } from "../ring/access";
import { DeviceQueue } from "../ring/device";
import { VIRTIO_NET_HDR_NUM_BUFFERS } from "../spec";
import { engineMoves, engineUses } from "./host-engine";
import { deviceFinish, devicePopBehind, Port } from "./port";

/** Who moves the bytes: a constant where a frame is placed, so that each mover has its own copy of the loop. */
export const MOVE_WIRE: u32 = 0;
/** Paths through a host move whole frames, whatever the port's `touch` says of the wire. */
export const MOVE_CPU: u32 = 1;
export const MOVE_ENGINE: u32 = 2;

/** Buffers that are popped at once when a frame needs more than wait. */
const POP_BATCH: u32 = 32;

/** Begins a burst of `count` frames, for each of which a buffer is popped if there is one. */
export function placeBegin(port: Port, count: u32): void {
  port.usedCount = 0;
  if (port.placeLeft < count) placePop(port, count - port.placeLeft);
}

/** No buffer waits: the queue begins anew. */
export function placeForget(port: Port): void {
  port.placeNext = port.popped;
  port.placeTail = port.popped;
  port.placeLeft = 0;
  port.placeStride = 0;
  port.placeCompletion = 0;
}

/** Marks what the burst filled used, and shows it to the driver. */
export function placeEnd(port: Port): void {
  deviceFinish(port, port.usedCount);
}

/** How many of the next buffers a frame of `total` bytes takes, device header included; 0: it is dropped, and counted. */
@inline
export function placeBuffers(port: Port, total: u32): u32 {
  if (port.placeLeft && writableBytes(port.placeNext) >= total) return 1;
  if (port.placeLeft && !port.mergeable) {
    port.dropsTooLong++;
    return 0;
  }
  const buffers = port.mergeable ? buffersTogether(port, total) : 0;
  if (!buffers) port.dropsNoBuffer++;
  return buffers;
}

/** Whether there are buffers for as much, without a drop if there aren't. */
export function placeFits(port: Port, total: u32): bool {
  return port.mergeable ? buffersTogether(port, total) != 0 : port.placeLeft != 0;
}

/** Pieces of the next `buffers` as they lie in the memory: at most as many as pages where a device sees bus addresses. */
export function placePieces(port: Port, buffers: u32): u32 {
  const device = changetype<DeviceQueue>(port.device);
  let pieces: u32 = 0;
  for (let record = port.placeNext; buffers; buffers--) {
    const counts = load<u32>(record, 4);
    const end = recordAfter(record);
    if (!device.domain) pieces += counts >> 16;
    else
      for (
        let segment = record + POP_HEADER + (counts & 0xffff) * SEGMENT;
        segment < end;
        segment += SEGMENT
      ) {
        pieces += pagesTouched(load<u32>(segment), load<u32>(segment, 4));
      }
    record = end;
  }
  return pieces;
}

/** Places the `total` bytes of device header and frame at `from` in the next `buffers`. False after a fault, which broke the queue. */
@inline
export function placeFrame(port: Port, move: u32, from: u32, total: u32, buffers: u32): bool {
  // Without a copy of the payload the driver still has to find what it reads itself.
  const moved =
    move != MOVE_WIRE || port.touch >= TOUCH_COPY ? total : min(total, port.headerBytes + PACKET_HEAD);
  if (port.mergeable) store<u16>(from, <u16>buffers, VIRTIO_NET_HDR_NUM_BUFFERS);
  if (buffers > 1) return placeMerged(port, move, from, total, moved);
  const record = port.placeNext;
  placeUse(port, move, record, total);
  return scatter(port, move, record, from, moved);
}

/** Places what is at `from` in as many buffers as it takes, the first `moved` bytes of it for real. */
function placeMerged(port: Port, move: u32, from: u32, total: u32, moved: u32): bool {
  // N-V-06: all but the last are filled to the end.
  while (total) {
    const record = port.placeNext;
    const part = min(writableBytes(record), total);
    const now = min(part, moved);
    placeUse(port, move, record, part);
    if (!scatter(port, move, record, from, now)) return false;
    total -= part;
    moved -= now;
    from += part;
  }
  return true;
}

/** How many of the next buffers hold `total` bytes together; 0 when all that there are don't. */
function buffersTogether(port: Port, total: u32): u32 {
  let offset: u32 = 0;
  let buffers: u32 = 0;
  let rest = total;
  while (buffers < port.placeLeft || placePop(port, POP_BATCH)) {
    const record = port.placeNext + offset;
    const room = writableBytes(record);
    buffers++;
    if (room >= rest) return buffers;
    rest -= room;
    offset = recordAfter(record) - port.placeNext;
  }
  return 0;
}

/** Pops up to `most` buffers behind those that wait; how many. */
export function placePop(port: Port, most: u32): u32 {
  const kept = port.placeTail - port.placeNext;
  if (kept) memory.copy(port.popped, port.placeNext, kept);
  port.placeNext = port.popped;
  const got = devicePopBehind(port, kept, most);
  port.placeTail = got ? changetype<DeviceQueue>(port.device).cursor : port.popped + kept;
  port.placeLeft += got;
  return got;
}

/** The first buffer that waits holds `bytes` now. */
@inline
export function placeUse(port: Port, move: u32, record: u32, bytes: u32): void {
  if (move == MOVE_ENGINE) engineUses(port, load<u32>(record), bytes);
  else {
    const used = port.used + port.usedCount++ * USED_RECORD;
    store<u32>(used, load<u32>(record));
    store<u32>(used, bytes, 4);
  }
  port.placeNext = recordAfter(record);
  port.placeLeft--;
}

/** Moves `bytes` from `from` into the writable elements of a popped buffer: the one place where bytes are moved. */
@inline
export function scatter(port: Port, move: u32, record: u32, from: u32, bytes: u32): bool {
  let segment = record + POP_HEADER + (load<u32>(record, 4) & 0xffff) * SEGMENT;
  while (bytes) {
    const part = min(load<u32>(segment, 4), bytes);
    if (move == MOVE_ENGINE) {
      if (!engineMoves(port, load<u32>(segment), from, part)) return false;
    } else if (!bufferWrite(port.device, load<u32>(segment), from, part)) return false;
    from += part;
    bytes -= part;
    segment += SEGMENT;
  }
  return true;
}
