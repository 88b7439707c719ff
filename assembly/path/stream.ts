// A burst through streaming buffers (rx/streaming.ts), both sides: the device fills strides of the buffer that it
// has popped and completes them; the driver makes packets of what is completed, and takes back what is full.

import {
  COMPLETION,
  E_STREAM_COMPLETION,
  OP_RECEIVE,
  PACKET_HEAD,
  POP_HEADER,
  RECLAIM_RECORD,
  RX_STREAMING,
  SEGMENT,
  STREAM_BYTES,
  STREAM_STRIDES,
  STRIDE_BYTES,
  TOUCH_COPY,
} from "../abi";
import { traceOp } from "../mem/trace";
import { ETHERNET_BYTES } from "../net/protocols";
import { writableBytes } from "../net/queue";
import { bufferWrite } from "../ring/access";
import { breakQueue } from "../ring/queue";
import { consumerPacket, consumerTakes } from "../rx/consumer";
import { Packet } from "../rx/rx-ring";
import {
  completedBytes,
  NOTHING_COMPLETED,
  streamAdvance,
  streamCompleted,
  streamIsSound,
  streamNext,
  streamPhase,
  streamPlace,
  streamReceive,
  streamReturn,
} from "../rx/streaming";
import { countCpuCopy } from "./copies";
import { copySource } from "./host-copy";
import { MOVE_WIRE, placeBegin, placeEnd, placePop, placeUse } from "./place-frame";
import { driverReclaim, hostOf, Port, traceReclaim } from "./port";

/** The device's side: `count` frames into as many strides as there are; how many are dealt with, placed or dropped. */
export function streamSends(port: Port, count: u32): u32 {
  placeBegin(port, 0);
  let left = count;
  for (; left; left--) {
    if (!sendFrame(port, load<u32>(port.cursor), load<u32>(port.cursor, 4))) break;
    port.cursor += SEGMENT;
  }
  placeEnd(port);
  return count - left;
}

/** False after a fault, which broke the queue. */
function sendFrame(port: Port, ptr: u32, bytes: u32): bool {
  const total = port.headerBytes + bytes;
  if (bytes > port.frameMost) {
    port.dropsTooLong++;
    return true;
  }
  const strides = (total + STRIDE_BYTES - 1) / STRIDE_BYTES;
  const rest = STREAM_STRIDES - port.placeStride;
  // The rest of a buffer is only given up for a next one.
  const wanted: u32 = strides > rest ? 2 : 1;
  if ((port.placeLeft < wanted && !placePop(port, 1)) || !isLarge(port, wanted)) {
    port.dropsNoBuffer++;
    return true;
  }
  if (strides > rest && !complete(port, 0, rest)) return false;
  const from = hostOf(port) ? copySource(port, ptr, bytes) : ptr;
  const whole = hostOf(port) || port.touch >= TOUCH_COPY;
  const moved = whole ? total : min(total, port.headerBytes + PACKET_HEAD);
  const to = load<u32>(elementOf(port.placeNext)) + port.placeStride * STRIDE_BYTES;
  if (!bufferWrite(port.device, to, from, moved)) return false;
  if (hostOf(port)) countCpuCopy(port.host, bytes);
  return complete(port, total, strides);
}

/** A streaming buffer is one writable element. */
@inline
function elementOf(record: u32): u32 {
  return record + POP_HEADER;
}

/** A driver that posts anything else gets nothing. */
function isLarge(port: Port, wanted: u32): bool {
  let record = port.placeNext;
  for (; wanted; wanted--) {
    if (load<u32>(record, 4) != 1 << 16 || writableBytes(record) < STREAM_BYTES) return false;
    record = elementOf(record) + SEGMENT;
  }
  return true;
}

/** Completes `strides` with a frame of `bytes`, header included, or with nothing in them. False after a fault. */
function complete(port: Port, bytes: u32, strides: u32): bool {
  const index = port.placeCompletion++;
  const phase = streamPhase(index, port.rx.completionMask);
  port.completion = bytes | ((<u64>port.placeStride) << 32) | ((<u64>strides) << 48) | ((<u64>phase) << 63);
  const to = port.rx.completionsDma + (index & port.rx.completionMask) * COMPLETION;
  const from = changetype<u32>(port) + offsetof<Port>("completion");
  if (!bufferWrite(port.device, to, from, COMPLETION)) return false;
  port.placeStride += strides;
  if (port.placeStride < STREAM_STRIDES) return true;
  port.placeStride = 0;
  placeUse(port, MOVE_WIRE, port.placeNext, STREAM_BYTES);
  return true;
}

/** The driver's side. A completion or a returned buffer that can't be breaks the queue: nobody knows what comes next. */
export function pollStream(port: Port): void {
  const rx = port.rx;
  for (let next = streamNext(rx); next != NOTHING_COMPLETED; next = streamNext(rx)) {
    if (!streamIsSound(rx, next)) {
      breakQueue(port.driver, E_STREAM_COMPLETION, rx.completionNext & rx.completionMask);
      return;
    }
    const bytes = completedBytes(next);
    if (bytes) receiveFrame(port, streamPlace(rx), bytes);
    streamAdvance(rx, next);
  }
  for (;;) {
    const got = driverReclaim(port);
    if (!got) return;
    traceReclaim(port, got);
    for (let k: u32 = 0; k < got; k++) {
      const buffer = load<u32>(port.reclaimed + k * RECLAIM_RECORD);
      if (!streamCompleted(rx, buffer)) breakQueue(port.driver, E_STREAM_COMPLETION, buffer);
      streamReturn(rx, buffer);
    }
    if (got < port.staging) return;
  }
}

/** The device completed a frame of `written` bytes, header included, at `place`. */
@inline
function receiveFrame(port: Port, place: u32, written: u32): void {
  if (written < port.headerBytes + ETHERNET_BYTES) {
    port.dropsTooShort++;
    return;
  }
  const packet = consumerPacket(port.consumer);
  if (!packet) {
    port.dropsNoPacket++;
    return;
  }
  const frameBytes = written - port.headerBytes;
  const filled = changetype<Packet>(packet);
  streamReceive(port.rx, place, frameBytes, filled);
  traceOp(port.driver.space.trace, OP_RECEIVE, frameBytes, 0);
  consumerTakes(port.consumer, RX_STREAMING, filled, frameBytes);
}
