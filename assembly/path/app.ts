// What stands above a driver half: an application, and the part of a kernel that lies between the two. A port
// without one has frames of the driver's own.
//
// A kind whose frames are the driver's buffers lends a frame to the device until that is done with it. A kind that
// copies has packets of the kernel's own for that, a stack of which are free.
//
//   frames    | frame | frame | ...            `frameStride` each; program and kernel share them
//   records   | Frame | Frame | ...            private, one a frame
//   packets   | device header, frame | ...     `packetStride` each, the kernel's own
//   packet records, stack of those that are free
//
// The program is another peer: the kernel's side reads a word of it once, checks it, and remembers in private
// records what it has. The engine can play the program (packet-program.ts, xsk-program.ts); another one has the same
// memory and nothing else.

import { FRAME_RECORD } from "../abi";
import { Stack, stackCount } from "../mem/stack";
import { Copies } from "./copies";

@unmanaged
export class Application extends Copies {
  /** APP_*. */
  kind: u32;
  /** 1: the engine plays the program. */
  plays: u32;
  frames: u32;
  frameStride: u32;
  frameCount: u32;
  /** Where the program puts a packet in a frame; and how long it may be, at least and at most. */
  frameAt: u32;
  frameLeast: u32;
  frameMost: u32;
  records: u32;
  packets: u32;
  packetStride: u32;
  packetCount: u32;
  packetRecords: u32;
  free: Stack;
  /** A device header that has an element of its own and is the same for all, if frames have no room for theirs; and its handle. */
  header: u32;
  headerHandle: u32;
  /** Frames that the kernel or the device has of the program. */
  lent: u32;
  /** Records that are staged and not added yet, and where they start. */
  staged: u32;
  stagedAt: u32;
  /** Packets that the program has handed over and that are not dealt with yet. */
  pending: u32;
  /** Packets of a burst that are dealt with: added or dropped. */
  dealt: u32;
  /** Receive: packets that the program has taken and whose frames it holds back, and the most of them. */
  held: u32;
  hold: u32;
  /** Receive: for each frame what was in it when the program took it (u64), while digests are made. */
  checks: u32;

  // Counters, beside those of copies
  socketCopies: u64;
  socketBytes: u64;
  /** Calls with which the program woke the kernel. */
  wakeups: u64;
  /** Received packets that were dropped for want of a frame, or of room in the ring that shows them. */
  dropsNoFrame: u64;
  dropsRingFull: u64;
  // What the program handed over and must not, by cause
  /** Outside of the frames. */
  invalidAddresses: u64;
  /** Too long, too short, or across the end of a frame. */
  invalidLengths: u64;
  invalidOptions: u64;
  /** A frame that the kernel has already. */
  invalidReuses: u64;
  /** An index that is further ahead than the ring is long. */
  invalidIndices: u64;
}

// The kernel's record of a frame, or of a packet of its own.
@unmanaged
export class Frame {
  /** Where it starts, for the CPU and for the driver half. */
  place: u32;
  handle: u32;
  /** Of a packet of the kernel's: the record of the frame that it was copied from. Of a chunk: the address it was sent with. */
  from: u32;
  /** 1 while the kernel or the device has the frame. */
  lent: u32;
}

/** The record of frame `k`. */
@inline
export function frameRecord(app: Application, k: u32): Frame {
  return changetype<Frame>(app.records + k * FRAME_RECORD);
}

/** The frame behind `k` in a ring of them. */
@inline
export function nextFrame(app: Application, k: u32): u32 {
  return k + 1 == app.frameCount ? 0 : k + 1;
}

@inline
export function lend(app: Application, frame: Frame): void {
  frame.lent = 1;
  app.lent++;
}

@inline
export function takeHome(app: Application, frame: Frame): void {
  frame.lent = 0;
  app.lent--;
}

/** The record of the frame that has the byte at `addr` of the frames, whatever it is; 0 if none has. */
@inline
export function frameAtAddress(app: Application, addr: u64, shift: u32): Frame {
  if (addr >= (<u64>app.frameCount) << shift) {
    app.invalidAddresses++;
    return changetype<Frame>(0);
  }
  return frameRecord(app, <u32>addr >> shift);
}

/** Frames that are lent or held back, and packets of the kernel's that are not free, by walking. */
export function framesOut(ptr: u32): u32 {
  const app = changetype<Application>(ptr);
  let out: u32 = app.held;
  for (let k: u32 = 0; k < app.frameCount; k++) out += frameRecord(app, k).lent;
  if (app.packetCount) out += app.packetCount - stackCount(app.free);
  return out;
}
