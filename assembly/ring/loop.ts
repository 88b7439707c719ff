// Both halves of one queue in one loop, for the cost of the rings alone: add a burst, publish,
// pop it on the other side, touch the payload or not, mark it used, publish, reclaim.

import { POP_HEADER, SEGMENT, TOUCH_COPY, TOUCH_DIGEST, TOUCH_HEADER, TOUCH_NONE } from "../abi";
import { copyBytes } from "../mem/copy";
import { fnv1a, fnv1aWord } from "../mem/digest";
import {
  packedDeviceArm,
  packedDeviceMarkAllUsed,
  packedDevicePop,
  packedDevicePublishUsed,
} from "./packed-device";
import { packedDriverAdd, packedDriverArm, packedDriverPublish, packedDriverReclaim } from "./packed-driver";
import { Queue } from "./queue";
import {
  splitDeviceArm,
  splitDeviceMarkAllUsed,
  splitDevicePop,
  splitDevicePublishUsed,
} from "./split-device";
import { splitDriverAdd, splitDriverArm, splitDriverPublish, splitDriverReclaim } from "./split-driver";

@unmanaged
export class Loop {
  driver: u32;
  device: u32;
  /** Buffers staged for add, one after the other. */
  stream: u32;
  /** Buffers a burst. */
  batch: u32;
  /** Staging areas: what was popped, its bytes, and what was reclaimed. */
  popped: u32;
  poppedBytes: u32;
  reclaimed: u32;
  /** TOUCH_*. */
  touch: u32;
  /** TOUCH_COPY: where the bytes of a buffer go, with room for the largest. */
  target: u32;
  /** 1: each half asks for a notification after each burst, as halves that sleep would. */
  rearm: u32;
  /** TOUCH_DIGEST: bytes at the front of each buffer that are a device header, not packet. */
  headerBytes: u32;
  /** TOUCH_HEADER: what was read, so that it has to be. */
  sum: u32;
  /** TOUCH_DIGEST: FNV-1a so far. */
  digest: u64;
}

/** Drives `count` staged buffers through a split queue; how many came back. */
export function splitLoop(ptr: u32, count: u32): u32 {
  return loop(changetype<Loop>(ptr), count, false);
}

/** Drives `count` staged buffers through a packed queue; how many came back. */
export function packedLoop(ptr: u32, count: u32): u32 {
  return loop(changetype<Loop>(ptr), count, true);
}

@inline
function loop(state: Loop, count: u32, packed: bool): u32 {
  const driver = state.driver;
  const device = state.device;
  const batch = state.batch;
  const popped = state.popped;
  const reclaimed = state.reclaimed;
  const touch = state.touch;
  const rearm = state.rearm;
  let stream = state.stream;
  let added: u32 = 0;
  let back: u32 = 0;
  while (back < count) {
    const staged = min(batch, count - added);
    const now = packed ? packedDriverAdd(driver, stream, staged) : splitDriverAdd(driver, stream, staged);
    stream = changetype<Queue>(driver).cursor;
    added += now;
    if (packed) packedDriverPublish(driver);
    else splitDriverPublish(driver);

    const got = packed
      ? packedDevicePop(device, popped, state.poppedBytes, batch)
      : splitDevicePop(device, popped, state.poppedBytes, batch);
    if (rearm) {
      if (packed) packedDeviceArm(device, 0);
      else splitDeviceArm(device, 0);
    }
    if (touch != TOUCH_NONE) touchBuffers(state, popped, got);
    if (packed) packedDeviceMarkAllUsed(device, popped, got);
    else splitDeviceMarkAllUsed(device, popped, got);
    if (packed) packedDevicePublishUsed(device);
    else splitDevicePublishUsed(device);

    const done = packed
      ? packedDriverReclaim(driver, reclaimed, batch)
      : splitDriverReclaim(driver, reclaimed, batch);
    if (rearm) {
      if (packed) packedDriverArm(driver, 0);
      else splitDriverArm(driver, 0);
    }
    back += done;
    // Nothing moved: a broken queue, or a buffer that never fits. The caller sees it in the count.
    if (!(now | got | done)) break;
  }
  return back;
}

/** What the device does to the readable bytes of `count` popped buffers. */
function touchBuffers(state: Loop, popped: u32, count: u32): void {
  const touch = state.touch;
  for (; count; count--) {
    const counts = load<u32>(popped, 4);
    const readable = counts & 0xffff;
    const segment = popped + POP_HEADER;
    popped = segment + (readable + (counts >> 16)) * SEGMENT;
    if (touch == TOUCH_HEADER) state.sum += sumHeader(segment, readable);
    else if (touch == TOUCH_COPY) copySegments(state.target, segment, readable);
    else if (touch == TOUCH_DIGEST) state.digest = digestSegments(state, segment, readable);
  }
}

/** Reads the first 64 readable bytes, wherever the cuts are. */
function sumHeader(segment: u32, readable: u32): u32 {
  let left: u32 = 64;
  let sum: u32 = 0;
  for (; readable && left; readable--) {
    const ptr = load<u32>(segment);
    const bytes = min(load<u32>(segment, 4), left);
    let at: u32 = 0;
    for (; at + 8 <= bytes; at += 8) sum += <u32>load<u64>(ptr + at);
    for (; at < bytes; at++) sum += load<u8>(ptr + at);
    left -= bytes;
    segment += SEGMENT;
  }
  return sum;
}

function copySegments(target: u32, segment: u32, readable: u32): void {
  for (; readable; readable--) {
    const bytes = load<u32>(segment, 4);
    copyBytes(target, load<u32>(segment), bytes);
    target += bytes;
    segment += SEGMENT;
  }
}

/** Length and bytes of one packet, without the device header, wherever the cuts are. */
function digestSegments(state: Loop, segment: u32, readable: u32): u64 {
  let total: u32 = 0;
  for (let k: u32 = 0; k < readable; k++) total += load<u32>(segment + k * SEGMENT, 4);
  let skip = min(state.headerBytes, total);
  let digest = fnv1aWord(state.digest, total - skip);
  for (; readable; readable--) {
    const ptr = load<u32>(segment);
    const bytes = load<u32>(segment, 4);
    const skipped = min(skip, bytes);
    digest = fnv1a(digest, ptr + skipped, bytes - skipped);
    skip -= skipped;
    segment += SEGMENT;
  }
  return digest;
}
