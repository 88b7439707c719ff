// The mapped ring of a packet socket (PACKET_MMAP, version 2 of its frames): program and kernel walk the frames in turn,
// and the status word says whose a frame is. Who hands one over writes the status last.
//
//   frame   | status | len | snaplen | mac u16 | ...  | room, with a device header at its end | packet ...
//           0        4     8         12            32                                       TP_DATA

import { TP_LEN, TP_STATUS } from "../abi";
import { acquire32, release32 } from "../mem/fence";
import { Application } from "./app";

@unmanaged
export class PacketApp extends Application {
  /** The next frame of the kernel and of the program. */
  kernelAt: u32;
  programAt: u32;
  /** Receive: the oldest frame that the program has and holds back, most that it does, and what each had in it when it came (u64). */
  heldAt: u32;
  held: u32;
  hold: u32;
  checks: u32;
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
