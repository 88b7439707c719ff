// What the host calls of this room where a frame's description is a parameter: to the host it is a place
// in the memory, and an exported function with a class among its parameters would bring a runtime with it.

import { checksumSeed as seed, checksumVerify as verify } from "./checksum";
import { coalesceAdd as add } from "./coalesce";
import {
  Coalescer,
  coalesceFlush as flush,
  coalescerInit as init,
  coalesceReady as ready,
  coalesceRelease as release,
  coalesceReset as reset,
} from "./coalescer";
import { FrameInfo, parseFrame as parse, parseTunnel as tunnel } from "./parse";
import { segmentBurst as burst, segmentNext as next } from "./segment";
import { Segmenter, segmentStart as start } from "./segmenter";
import { hashFrame as hash } from "./toeplitz";

export function parseFrame(ptr: u32, bytes: u32, out: u32): bool {
  return parse(ptr, bytes, changetype<FrameInfo>(out));
}

export function parseTunnel(ptr: u32, outer: u32, inner: u32): u32 {
  return tunnel(ptr, changetype<FrameInfo>(outer), changetype<FrameInfo>(inner));
}

export function checksumSeed(ptr: u32, info: u32): bool {
  return seed(ptr, changetype<FrameInfo>(info));
}

export function checksumVerify(ptr: u32, info: u32): u32 {
  return verify(ptr, changetype<FrameInfo>(info));
}

export function hashFrame(ptr: u32, info: u32, types: u32, table: u32): u64 {
  return hash(ptr, changetype<FrameInfo>(info), types, table);
}

export function segmentStart(segmenter: u32, ptr: u32, bytes: u32): u32 {
  return start(changetype<Segmenter>(segmenter), ptr, bytes);
}

export function segmentNext(segmenter: u32, to: u32): u32 {
  return next(changetype<Segmenter>(segmenter), to);
}

export function segmentBurst(segmenter: u32, to: u32, stride: u32, lengths: u32, count: u32): u32 {
  return burst(changetype<Segmenter>(segmenter), to, stride, lengths, count);
}

export function coalescerInit(coalescer: u32, flows: u32, buffers: u32, bufferBytes: u32): void {
  init(changetype<Coalescer>(coalescer), flows, buffers, bufferBytes);
}

export function coalesceAdd(coalescer: u32, ptr: u32, bytes: u32): u32 {
  return add(changetype<Coalescer>(coalescer), ptr, bytes);
}

export function coalesceReady(coalescer: u32): u32 {
  return ready(changetype<Coalescer>(coalescer));
}

export function coalesceRelease(coalescer: u32): void {
  release(changetype<Coalescer>(coalescer));
}

export function coalesceFlush(coalescer: u32): void {
  flush(changetype<Coalescer>(coalescer));
}

export function coalesceReset(coalescer: u32): void {
  reset(changetype<Coalescer>(coalescer));
}
