// A guest kernel's socket above a driver: the one copy between the application's buffer and the driver's, counted apart.

import { RECLAIM_RECORD, SEGMENT } from "../abi";
import { copyBytes } from "../mem/copy";
import { FNV_BASIS, fnv1a } from "../mem/digest";
import { stackPut, stackTake } from "../mem/stack";
import { packetDigest } from "../rx/consumer";
import { gather, Packet } from "../rx/rx-ring";
import { Application, Frame } from "./app";
import { stagePacket } from "./app-frames";
import { Port } from "./port";

/** Copies up to `count` packets of the pass out of the application's buffers, and stages them; how many. */
@inline
export function socketStages(port: Port, app: Application, count: u32): u32 {
  let to = port.add;
  let staged: u32 = 0;
  for (; staged < count; staged++) {
    const packet = changetype<Frame>(stackTake(app.free));
    if (!changetype<u32>(packet)) break;
    const bytes = load<u32>(port.cursor, 4);
    socketCopy(app, packet.place + port.headerBytes, load<u32>(port.cursor), bytes);
    port.cursor += SEGMENT;
    to = stagePacket(port, to, packet, port.headerBytes, bytes);
  }
  return staged;
}

/** A socket copies `bytes` between an application's buffer and the driver's. */
@inline
export function socketCopy(app: Application, to: u32, from: u32, bytes: u32): void {
  copyBytes(to, from, bytes);
  app.socketCopies++;
  app.socketBytes += bytes;
}

@inline
export function socketDone(app: Application, tokens: u32, count: u32): void {
  for (; count; count--) {
    stackPut(app.free, load<u32>(tokens));
    tokens += RECLAIM_RECORD;
  }
}

/** An application reads a packet of `bytes` out of the socket's queue. */
export function socketReads(port: Port, app: Application, packet: Packet, bytes: u32): void {
  const consumer = port.consumer;
  gather(port.target, packet);
  app.socketCopies++;
  app.socketBytes += bytes;
  if (consumer.digests && fnv1a(FNV_BASIS, port.target, bytes) != packetDigest(packet)) consumer.corrupted++;
}
