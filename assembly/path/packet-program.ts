// The program at a packet socket's ring, as the engine plays it. The packets that it sends lie in their frames
// from the start: there are as many frames as packets of a pass, or a multiple, so that only statuses and lengths
// are written.

import { TP_STATUS_AVAILABLE, TP_STATUS_SEND_REQUEST } from "../abi";
import { nextFrame } from "./app";
import { handOver, PacketApp, statusOf } from "./packet-ring";
import { Port } from "./port";

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
