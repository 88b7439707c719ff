// The mapped ring of a packet socket (PACKET_MMAP, version 2 of its frames): program and kernel walk the frames in turn,
// and the status word says whose a frame is. Who hands one over writes the status last.
//
//   frame   | status | len | snaplen | mac u16 | ...  | room, with a device header at its end | packet ...
//           0        4     8         12            32                                       TP_DATA

import { TP_LEN, TP_STATUS, TP_STATUS_KERNEL } from "../abi";
import { acquire32, release32 } from "../mem/fence";
import { Application } from "./app";

@unmanaged
export class PacketApp extends Application {
  /** The next frame of the kernel and of the program. */
  kernelAt: u32;
  programAt: u32;
  /** The oldest frame that the program holds back. */
  heldAt: u32;
}

@inline
export function statusOf(frame: u32): u32 {
  return acquire32(frame + TP_STATUS);
}

@inline
export function setStatus(frame: u32, status: u32): void {
  release32(frame + TP_STATUS, status);
}

/** Hands a frame with a packet of `bytes` over. */
@inline
export function handOver(frame: u32, bytes: u32, status: u32): void {
  store<u32>(frame, bytes, TP_LEN);
  setStatus(frame, status);
}

/** Every frame is the one's who fills it: TP_STATUS_KERNEL in receive, TP_STATUS_AVAILABLE in transmit. */
export function packetInit(app: PacketApp): void {
  for (let k: u32 = 0; k < app.frameCount; k++) setStatus(app.frames + k * app.frameStride, TP_STATUS_KERNEL);
  app.kernelAt = 0;
  app.programAt = 0;
  app.heldAt = 0;
}
