// The program at a packet socket's ring, as the engine plays it. The packets that it sends lie in their frames
// from the start: there are as many frames as packets of a pass, or a multiple, so that only statuses and lengths
// are written.

import {
  TP_LEN,
  TP_MAC,
  TP_STATUS_AVAILABLE,
  TP_STATUS_KERNEL,
  TP_STATUS_SEND_REQUEST,
  TP_STATUS_USER,
} from "../abi";
import { Consumer } from "../rx/consumer";
import { nextFrame } from "./app";
import { handOver, PacketApp, setStatus, statusOf } from "./packet-ring";
import { Port } from "./port";
import { checkFrame, digestFrame } from "./program-digest";

/** Hands up to `count` packets over, and calls send() if there is anything to send. */
export function packetProgramSends(port: Port, app: PacketApp, count: u32): void {
  let length = port.stream + ((port.done + app.pending) << 2);
  for (; count; count--) {
    const frame = app.frames + app.programAt * app.frameStride;
    if (statusOf(frame) != TP_STATUS_AVAILABLE) break;
    handOver(frame, load<u32>(length), TP_STATUS_SEND_REQUEST);
    length += 4;
    app.programAt = nextFrame(app, app.programAt);
    app.pending++;
  }
  if (app.pending) app.wakeups++;
}

/** Takes the packets that were received, and gives back the oldest of those that are more than it holds. */
export function packetProgramReceives(consumer: Consumer, app: PacketApp): void {
  while (app.held > app.hold) giveBack(consumer, app);
  while (app.held < app.frameCount) {
    const frame = app.frames + app.programAt * app.frameStride;
    if (statusOf(frame) != TP_STATUS_USER) return;
    const bytes = load<u32>(frame, TP_LEN);
    // An empty frame is skipped.
    if (consumer.digests && bytes) digestFrame(consumer, app, app.programAt, dataOf(frame), bytes);
    app.programAt = nextFrame(app, app.programAt);
    app.held++;
    if (app.held > app.hold) giveBack(consumer, app);
  }
}

/** Takes what there is, and gives back everything. */
export function packetProgramDropsAll(consumer: Consumer, app: PacketApp): void {
  packetProgramReceives(consumer, app);
  while (app.held) giveBack(consumer, app);
}

/** The oldest frame is the kernel's again. */
@inline
function giveBack(consumer: Consumer, app: PacketApp): void {
  const frame = app.frames + app.heldAt * app.frameStride;
  const bytes = load<u32>(frame, TP_LEN);
  if (consumer.digests && bytes) checkFrame(consumer, app, app.heldAt, dataOf(frame), bytes);
  app.heldAt = nextFrame(app, app.heldAt);
  app.held--;
  setStatus(frame, TP_STATUS_KERNEL);
}

@inline
function dataOf(frame: u32): u32 {
  return frame + load<u16>(frame, TP_MAC);
}
