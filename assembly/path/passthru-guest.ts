// A guest's queue as the user of an interface: buffers that its device half pops are the requests, their handles the
// tokens, and what is done is marked used, in whatever order that is.

import { POP_HEADER, USED_RECORD } from "../abi";
import { recordAfter } from "../net/queue";
import { DeviceQueue } from "../ring/device";
import { packedDeviceMarkUsed, packedDevicePop } from "../ring/packed-device";
import { isLive } from "../ring/queue";
import { splitDeviceMarkUsed, splitDevicePop } from "../ring/split-device";
import { FREE, fromLine, isRequest, line, Passthru, Request, releaseRequest } from "./passthru";
import { takeBuffer } from "./passthru-user";

/** Takes over `count` popped records, for each of which a request is free. */
export function guestTakes(p: Passthru, reads: bool, popped: u32, count: u32): void {
  let record = popped;
  for (let k: u32 = 0; k < count; k++) {
    takeBuffer(p, reads, load<u32>(record), load<u32>(record, 4), record + POP_HEADER);
    record = recordAfter(record);
  }
}

/** Pops up to `most` buffers with the staging area [popped, popped + bytes) and takes them over; how many. */
export function guestPops(
  p: Passthru,
  reads: bool,
  device: u32,
  packed: u32,
  popped: u32,
  bytes: u32,
  most: u32,
): u32 {
  const room = min(most, line(p, FREE).count);
  if (!room) return 0;
  const got = packed
    ? packedDevicePop(device, popped, bytes, room)
    : splitDevicePop(device, popped, bytes, room);
  guestTakes(p, reads, popped, got);
  return got;
}

/**
 * Marks what is done in a line used, by way of the `most` records at `used`, and leaves it to the caller to show that:
 * then all buffers of a frame are seen together. How many.
 */
export function guestGives(p: Passthru, done: u32, device: u32, packed: u32, used: u32, most: u32): u32 {
  let given: u32 = 0;
  for (let count = stage(p, done, used, most); count; count = stage(p, done, used, most)) {
    given += count;
    // In a queue that is stopped or broken nothing is marked any more: its buffers are the driver's again.
    if (!isLive(changetype<DeviceQueue>(device))) continue;
    if (packed) packedDeviceMarkUsed(device, used, count);
    else splitDeviceMarkUsed(device, used, count);
  }
  return given;
}

function stage(p: Passthru, done: u32, used: u32, most: u32): u32 {
  let count: u32 = 0;
  for (; count < most; count++) {
    const request: Request = fromLine(p, done);
    if (!isRequest(request)) break;
    store<u32>(used, request.token);
    store<u32>(used, request.written, 4);
    used += USED_RECORD;
    releaseRequest(p, request);
  }
  return count;
}

// For a device half that is worked from outside of the engine

/** Pops and takes over what the guest has made available; how many buffers. */
export function passthruGuestPops(
  ptr: u32,
  reads: bool,
  device: u32,
  packed: u32,
  popped: u32,
  bytes: u32,
  most: u32,
): u32 {
  return guestPops(changetype<Passthru>(ptr), reads, device, packed, popped, bytes, most);
}

/** Marks finished reads or writes used; how many. */
export function passthruGuestGives(ptr: u32, done: u32, device: u32, packed: u32, used: u32, most: u32): u32 {
  return guestGives(changetype<Passthru>(ptr), done, device, packed, used, most);
}
