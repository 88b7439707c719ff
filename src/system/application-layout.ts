/** Where an application's frames, packets and rings lie, and the words that make it one (assembly/path/app.ts). */
import * as abi from "../../assembly/abi.ts";
import type { Engine } from "../engine.ts";
import { alignUp, powerOfTwo } from "../layout.ts";
import { type DriverSettings, ETHERNET_HEADER, isZeroCopy, piecesOf } from "./driver-options.ts";
import { type Bump, setWords, stride } from "./places.ts";

const KINDS = {
  socket: abi.APP_SOCKET,
  "af-packet": abi.APP_AF_PACKET,
  "af-packet-zc": abi.APP_AF_PACKET_ZC,
  xsk: abi.APP_XSK,
  "xsk-copy": abi.APP_XSK_COPY,
} as const;

/** A chunk is a power of two of bytes, from 2048 on (xdp_umem_reg); and, ours, as long as the longest packet. */
const LEAST_CHUNK = 2048;

/** What an application of these settings is made of, for one queue. */
export interface ApplicationPlan {
  /** Frames that the program and the kernel share: how many, from one to the next, and where a packet starts in one. */
  frames: { count: number; bytes: number; at: number };
  /** Whether the frames are the driver's buffers, so that a device reaches them. */
  zeroCopy: boolean;
  /** The kernel's own packets. */
  packets: { count: number; bytes: number };
  /** Entries of each of an AF_XDP socket's rings. */
  entries: number;
  /** Bytes of the device header that all packets share. */
  headerBytes: number;
  /** Bytes in the part that peers reach, and in the part that they can't reach. */
  bufferBytes: number;
  scratchBytes: number;
  /** Places in the memory, and bytes of each, that are mapped at set-up. */
  mapped: { count: number; bytes: number };
}

/** Of a queue whose pass has `frames`; the longest has `longest` bytes without its device header. */
export function planApplication(
  settings: DriverSettings,
  frames: number,
  longest: number,
): ApplicationPlan | null {
  const { application, record, receives, ringSize, batch, hold, sgs } = settings;
  if (application.kind === "none") return null;
  const none = { count: 0, bytes: 0 };
  // What is received is in the driver's own buffers where it is copied.
  const ownPackets = receives
    ? none
    : { count: ringSize + batch, bytes: stride(record.headerBytes + longest) };
  const plan: ApplicationPlan = {
    frames: { ...none, at: 0 },
    zeroCopy: false,
    packets: ownPackets,
    entries: 0,
    headerBytes: 0,
    bufferBytes: 0,
    scratchBytes: 0,
    mapped: none,
  };
  if (application.kind !== "socket") {
    plan.zeroCopy = isZeroCopy(application);
    if (plan.zeroCopy) {
      plan.packets = none;
      // A frame of a packet socket's ring has room for the device header in front of its packet.
      if (!receives && (sgs > 1 || application.kind === "xsk")) plan.headerBytes = record.headerBytes;
    }
    // What a ring and a burst have, and what the program holds back.
    const least = ringSize + batch + (receives ? hold : 0);
    // Every packet that is sent has a frame, or several, so that it is written once.
    const count = receives || frames === 0 ? least : frames * Math.ceil(least / frames);
    if (application.kind === "xsk" || application.kind === "xsk-copy") {
      // A program that receives has all of its chunks in the fill ring at first.
      plan.entries = receives ? Math.max(application.entries, powerOfTwo(count)) : application.entries;
      const at = abi.XDP_PACKET_HEADROOM;
      plan.frames = { count, bytes: powerOfTwo(Math.max(LEAST_CHUNK, at + longest)), at };
    } else {
      plan.frames = { count, bytes: stride(abi.TP_DATA + longest), at: abi.TP_DATA };
    }
  }
  const frameBytes = plan.frames.count * plan.frames.bytes + abi.PAGE_SIZE;
  const packetBytes = plan.packets.count * plan.packets.bytes;
  const header = alignUp(plan.headerBytes, abi.CACHE_LINE);
  plan.bufferBytes = (plan.zeroCopy ? frameBytes + header : packetBytes) + abi.CACHE_LINE;
  plan.scratchBytes = (plan.zeroCopy ? 0 : frameBytes) + privateBytes(plan);
  plan.mapped = plan.zeroCopy ? plan.frames : plan.packets;
  return plan;
}

function ringBytes(entries: number, entry: number): number {
  return alignUp(abi.XDP_RING_ENTRIES + entries * entry, abi.CACHE_LINE);
}

function recordBytes(count: number): number {
  return alignUp(count * abi.FRAME_RECORD, abi.CACHE_LINE);
}

function stackBytes(count: number): number {
  return alignUp(8 + 4 * count, abi.CACHE_LINE);
}

function privateBytes({ frames, packets, entries }: ApplicationPlan): number {
  const rings =
    entries === 0 ? 0 : 2 * ringBytes(entries, abi.XDP_ADDRESS) + 2 * ringBytes(entries, abi.XDP_DESC);
  const records = recordBytes(frames.count) + recordBytes(packets.count);
  // For each frame: whether it is the program's, a check, and a place in the list of those held back.
  const each = (bytes: number): number => alignUp(frames.count * bytes, abi.CACHE_LINE);
  return rings + records + stackBytes(packets.count) + each(1) + each(8) + each(8);
}

/** Writes the block of queue `index`; where it is. The packets of a pass lie in their frames then. */
export function writeApplication(
  engine: Engine,
  settings: DriverSettings,
  index: number,
  plan: ApplicationPlan,
  { buffers, scratch }: { buffers: Bump; scratch: Bump },
): number {
  const { application, record, sgs, queues, receives } = settings;
  const { wasm } = engine;
  const ptr = engine.region(`port ${index} application`).ptr;
  if (application.kind === "none") return 0;
  const { frames, packets, entries } = plan;
  const packetsOfPass = queues[index];
  const longest = packetsOfPass.reduce((most, { length }) => Math.max(most, length), 0);
  const area = plan.zeroCopy ? buffers : scratch;
  const first =
    frames.count === 0 ? 0 : alignUp(area.take(frames.count * frames.bytes + abi.PAGE_SIZE), abi.PAGE_SIZE);
  setWords(engine, ptr, [
    [wasm.APP_KIND, KINDS[application.kind]],
    [wasm.APP_PLAYS, application.kind !== "socket" && settings.program === "engine"],
    [wasm.APP_FRAMES, first],
    [wasm.APP_FRAME_STRIDE, frames.bytes],
    [wasm.APP_FRAME_COUNT, frames.count],
    [wasm.APP_FRAME_AT, frames.at],
    [wasm.APP_FRAME_LEAST, Math.max(ETHERNET_HEADER, piecesOf(record.headerBytes, sgs))],
    [wasm.APP_FRAME_MOST, longest],
    [wasm.APP_RECORDS, scratch.take(recordBytes(frames.count))],
    [wasm.APP_PACKETS, packets.count === 0 ? 0 : buffers.take(packets.count * packets.bytes)],
    [wasm.APP_PACKET_STRIDE, packets.bytes],
    [wasm.APP_PACKET_COUNT, packets.count],
    [wasm.APP_PACKET_RECORDS, scratch.take(recordBytes(packets.count))],
    [wasm.APP_HOLD, settings.hold],
    [wasm.APP_CHECKS, scratch.take(alignUp(8 * frames.count, abi.CACHE_LINE))],
    [wasm.APP_FREE, scratch.take(stackBytes(packets.count))],
    [wasm.APP_HEADER, plan.headerBytes === 0 ? 0 : buffers.take(alignUp(plan.headerBytes, abi.CACHE_LINE))],
  ]);
  if (entries > 0) {
    setWords(engine, ptr, [
      [wasm.XSK_FILL, scratch.take(ringBytes(entries, abi.XDP_ADDRESS))],
      [wasm.XSK_COMPLETION, scratch.take(ringBytes(entries, abi.XDP_ADDRESS))],
      [wasm.XSK_RX, scratch.take(ringBytes(entries, abi.XDP_DESC))],
      [wasm.XSK_TX, scratch.take(ringBytes(entries, abi.XDP_DESC))],
      [wasm.XSK_ENTRIES, entries],
      [wasm.XSK_CHUNK_SHIFT, Math.log2(frames.bytes)],
      [wasm.XSK_HELD_LIST, scratch.take(alignUp(8 * frames.count, abi.CACHE_LINE))],
      [wasm.XSK_HOME, scratch.take(alignUp(frames.count, abi.CACHE_LINE))],
    ]);
  }
  if (receives || packetsOfPass.length === 0) return ptr;
  for (let k = 0; k < frames.count; k++) {
    const packet = packetsOfPass[k % packetsOfPass.length];
    engine.bytes(first + k * frames.bytes + frames.at, packet.length).set(packet);
  }
  return ptr;
}
