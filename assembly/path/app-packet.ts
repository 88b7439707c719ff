// A packet socket's ring above a driver. Transmit (af_packet.c, tpacket_snd): either the kernel copies each frame into
// a packet of its own, or the frame itself is the driver's buffer. A frame is the program's again when the device is
// done with the packet (tpacket_destruct_skb).

import {
  RECLAIM_RECORD,
  TP_LEN,
  TP_MAC,
  TP_SNAPLEN,
  TP_STATUS_AVAILABLE,
  TP_STATUS_KERNEL,
  TP_STATUS_SEND_REQUEST,
  TP_STATUS_SENDING,
  TP_STATUS_USER,
} from "../abi";
import { stackPut, stackTake } from "../mem/stack";
import { Application, Frame, frameRecord, lend, nextFrame, takeHome } from "./app";
import { stagePacket } from "./app-frames";
import { cpuCopy } from "./copies";
import { handOver, PacketApp, setStatus, statusOf } from "./packet-ring";
import { Port } from "./port";

/** Stages what the next frames ask for, up to `count`; how many. Frames that can't be sent are dealt with. */
@inline
export function packetStages(port: Port, app: PacketApp, count: u32, copies: bool): u32 {
  let to = port.add;
  let staged: u32 = 0;
  for (; count; count--) {
    const frame = frameRecord(app, app.kernelAt);
    if (statusOf(frame.place) != TP_STATUS_SEND_REQUEST) break;
    // The program asks for a frame again before it has it back: not before the device is done with it.
    if (frame.lent) {
      app.invalidReuses++;
      break;
    }
    const bytes = load<u32>(frame.place, TP_LEN);
    if (bytes < app.frameLeast || bytes > app.frameMost) {
      // As with PACKET_LOSS: skipped, and the program's again.
      app.invalidLengths++;
      app.dealt++;
      setStatus(frame.place, TP_STATUS_AVAILABLE);
      app.kernelAt = nextFrame(app, app.kernelAt);
      continue;
    }
    if (copies) {
      const packet = changetype<Frame>(stackTake(app.free));
      if (!changetype<u32>(packet)) break;
      cpuCopy(app, packet.place + port.headerBytes, frame.place + app.frameAt, bytes);
      packet.from = changetype<u32>(frame);
      to = stagePacket(port, to, packet, port.headerBytes, bytes);
    } else {
      // The device header is the driver's to write, whatever the program left there.
      if (!app.header) clear(frame.place + app.frameAt - port.headerBytes, port.headerBytes);
      to = stagePacket(port, to, frame, app.frameAt, bytes);
    }
    setStatus(frame.place, TP_STATUS_SENDING);
    lend(app, frame);
    app.kernelAt = nextFrame(app, app.kernelAt);
    staged++;
  }
  return staged;
}

/** Zeroes a device header, which is whole words. */
@inline
function clear(ptr: u32, bytes: u32): void {
  for (let at: u32 = 0; at < bytes; at += 4) store<u32>(ptr + at, 0);
}

/** The `count` packets whose tokens are at `tokens` are done with. */
@inline
export function packetDone(app: PacketApp, tokens: u32, count: u32, copies: bool): void {
  for (; count; count--) {
    let frame = changetype<Frame>(load<u32>(tokens));
    tokens += RECLAIM_RECORD;
    if (copies) {
      stackPut(app.free, changetype<u32>(frame));
      frame = changetype<Frame>(frame.from);
    }
    takeHome(app, frame);
    setStatus(frame.place, TP_STATUS_AVAILABLE);
  }
}

// Receive (tpacket_rcv)

/** The next frame, if it is the kernel's and not lent; or 0. */
@inline
export function packetNext(app: PacketApp): Frame {
  const frame = frameRecord(app, app.kernelAt);
  if (frame.lent || statusOf(frame.place) != TP_STATUS_KERNEL) return changetype<Frame>(0);
  app.kernelAt = nextFrame(app, app.kernelAt);
  return frame;
}

/** Hands a frame with a packet of `bytes` to the program. */
@inline
export function packetShows(app: Application, frame: Frame, bytes: u32): void {
  store<u32>(frame.place, bytes, TP_SNAPLEN);
  store<u16>(frame.place, <u16>app.frameAt, TP_MAC);
  handOver(frame.place, bytes, TP_STATUS_USER);
}
