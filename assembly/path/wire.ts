// The wire at the far end of a transmit queue: a NIC, whose DMA is nobody's CPU work. What it moves of a frame is
// the port's `touch`: nothing, the first bytes, all, or all of it into a digest.

import { POP_HEADER, SEGMENT, TOUCH_COPY, TOUCH_DIGEST, TOUCH_HEADER, TOUCH_NONE } from "../abi";
import { copyBytes } from "../mem/copy";
import { fnv1a, fnv1aWord } from "../mem/digest";
import { numberEnds, numbersTakeEnds } from "../mem/numbers";
import { bufferRead } from "../ring/access";
import { isLive } from "../ring/queue";
import { deviceFinishAll, Port } from "./port";

/** How much of a frame TOUCH_HEADER reads. */
const HEADER_TOUCH: u32 = 64;

/** Takes the popped packets where they are, and gives their buffers back. False after a fault. */
export function wireTakes(port: Port, count: u32): bool {
  let record = port.popped;
  for (let k: u32 = 0; k < count; k++) {
    const counts = load<u32>(record, 4);
    const readable = counts & 0xffff;
    const bytes = load<u32>(record, 8) - port.headerBytes;
    const segment = record + POP_HEADER;
    if (port.touch != TOUCH_NONE && !wireReadsBuffer(port, segment, readable, bytes)) return false;
    port.packets++;
    port.bytes += bytes;
    record = segment + (readable + (counts >> 16)) * SEGMENT;
  }
  if (!isLive(port.device)) return false;
  deviceFinishAll(port, count);
  return true;
}

/** Reads of a frame in the elements of a buffer what the port's touch says. False after a fault. */
export function wireReadsBuffer(port: Port, segment: u32, readable: u32, frameBytes: u32): bool {
  let to = port.target;
  let left: u32 = port.touch == TOUCH_HEADER ? port.headerBytes + HEADER_TOUCH : 0xffffffff;
  for (; readable && left; readable--) {
    const bytes = min(load<u32>(segment, 4), left);
    if (!bufferRead(port.device, load<u32>(segment), to, bytes)) return false;
    to += bytes;
    left -= bytes;
    segment += SEGMENT;
  }
  wireHas(port, port.target + port.headerBytes, frameBytes);
  return true;
}

/** The wire takes a frame that lies in a buffer of the host's. */
@inline
export function wireTakesHosts(port: Port, frame: u32, bytes: u32): void {
  port.packets++;
  port.bytes += bytes;
  wireReadsHosts(port, frame, bytes);
}

/** Reads of a frame in a buffer of the host's what the port's touch says. */
@inline
export function wireReadsHosts(port: Port, frame: u32, bytes: u32): void {
  if (port.touch == TOUCH_NONE) return;
  if (port.touch == TOUCH_COPY) copyBytes(port.target, frame, bytes);
  else wireHas(port, frame, bytes);
}

/** What is done with a frame, or its first bytes, once they are read. */
function wireHas(port: Port, frame: u32, bytes: u32): void {
  if (port.touch == TOUCH_DIGEST) {
    if (!changetype<u32>(port.numbers)) port.digest = fnv1a(fnv1aWord(port.digest, bytes), frame, bytes);
    else numbersTakeEnds(port.numbers, numberEnds(frame, frame + bytes));
  } else if (port.touch != TOUCH_COPY) port.sum += load<u32>(frame);
}
