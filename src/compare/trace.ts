/** The packets of a case in an engine's memory: the frames, and the add records that a pass replays. */
import { ADD_HEADER, CACHE_LINE, SEGMENT } from "../../assembly/abi.ts";
import type { Engine } from "../engine.ts";
import { alignUp } from "../layout.ts";
import type { Traffic } from "../net/traffic.ts";

/** The device header in front of every frame (5.1.6, `virtio_net_hdr`): all zero, for no offload. */
export const HEADER_BYTES = 12;

/** A call of the engine's loop moves at least as many, so that the call itself costs next to nothing. */
export const PACKETS_A_PASS = 1024;
const PAGE = 4096;

/** How a case lays out its packets, and what that takes. */
export interface TracePlan {
  traffic: Traffic;
  /** Elements of every packet. */
  sg: number;
  /** Every buffer starts at a 4 KiB boundary, which makes all of them alias in the cache. */
  align: boolean;
  /** How many times a pass replays the packets. */
  repeats: number;
  /** Packets of a pass. */
  packets: number;
  bufferBytes: number;
  streamBytes: number;
  /** Bytes of the longest packet, device header included. */
  longest: number;
}

export function planTrace(traffic: Traffic, sg: number, batch: number, align: boolean): TracePlan {
  const count = traffic.packets.length;
  const repeats = Math.ceil(Math.max(PACKETS_A_PASS, batch) / count);
  const lengths = traffic.packets.map(({ data }) => HEADER_BYTES + data.length);
  return {
    traffic,
    sg,
    align,
    repeats,
    packets: count * repeats,
    bufferBytes: lengths.reduce((sum, bytes) => sum + stride(bytes, align), align ? PAGE : 0),
    streamBytes: count * repeats * (ADD_HEADER + sg * SEGMENT),
    longest: lengths.reduce((most, bytes) => Math.max(most, bytes), 0),
  };
}

/**
 * From one buffer to the next. An odd number of cache lines takes the starts of equal frames round all 64 sets
 * of a 4 KiB page, so that none is crowded.
 */
function stride(bytes: number, align: boolean): number {
  return align ? alignUp(bytes, PAGE) : (Math.ceil(bytes / CACHE_LINE) | 1) * CACHE_LINE;
}

/** Copies the frames into `engine.buffers`, and writes the records of a pass (abi.ts) at `stream`. */
export function layOutTrace(engine: Engine, plan: TracePlan, stream: number): void {
  const { traffic, sg, align, repeats } = plan;
  const buffers = engine.bytes(engine.buffers.ptr, engine.buffers.bytes);
  let ptr = align ? alignUp(engine.buffers.ptr, PAGE) : engine.buffers.ptr;
  const starts = traffic.packets.map(({ data }) => {
    const start = ptr;
    buffers.set(data, start + HEADER_BYTES - engine.buffers.ptr);
    ptr += stride(HEADER_BYTES + data.length, align);
    return start;
  });
  const words = engine.u32;
  let at = stream >>> 2;
  let token = 0;
  for (let pass = 0; pass < repeats; pass++) {
    for (const [index, { data }] of traffic.packets.entries()) {
      words[at++] = token++;
      // The driver transmits: all elements are for the device to read.
      words[at++] = sg;
      at = writeElements(words, at, starts[index], data.length, sg);
    }
  }
}

/** Header and frame in one element, or the header and the frame cut evenly into the rest. */
function writeElements(words: Uint32Array, at: number, start: number, bytes: number, sg: number): number {
  words[at++] = start;
  words[at++] = sg === 1 ? HEADER_BYTES + bytes : HEADER_BYTES;
  const pieces = sg - 1;
  let from = 0;
  for (let piece = 1; piece <= pieces; piece++) {
    const to = Math.floor((bytes * piece) / pieces);
    words[at++] = start + HEADER_BYTES + from;
    words[at++] = to - from;
    from = to;
  }
  return at;
}
