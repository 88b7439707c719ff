// The ordinary way through a host (vhost-net, a device half in a user process): the CPU copies each payload between
// the guest's buffers and the host's own. The guest's buffers are done with at once; the wire takes the host's.

import { POP_HEADER, SEGMENT, TOUCH_COPY, TOUCH_NONE, USED_RECORD } from "../abi";
import { copyBytes } from "../mem/copy";
import { recordAfter, writableBytes } from "../net/queue";
import { bufferRead } from "../ring/access";
import { POP_READABLE } from "../ring/device";
import { isLive } from "../ring/queue";
import { VIRTIO_NET_HDR_NUM_BUFFERS } from "../spec";
import { cpuCopy } from "./copies";
import { hostSlot } from "./host-path";
import { MOVE_CPU, scatter } from "./place-frame";
import { deviceFinishAll, Port } from "./port";
import { wireReadsHosts } from "./wire";

/** Transmit: guest's buffers to a buffer of the host's, which the wire takes. */
export function copyTakes(port: Port, count: u32): bool {
  const host = port.host;
  const header = port.headerBytes;
  const most = host.slotBytes - header;
  // A place of a window's, which pop has checked, is read as it is.
  const direct = !port.device.domain;
  const touches = port.touch != TOUCH_NONE;
  // What changes with every packet is in the memory once a burst: each would wait for the one before it.
  let next = host.slotNext;
  let copied: u32 = 0;
  let copiedBytes: u64 = 0;
  let record = port.popped;
  for (let k: u32 = 0; k < count; k++) {
    const counts = load<u32>(record, 4);
    const readable = counts & 0xffff;
    const total = load<u32>(record, POP_READABLE);
    const segment = record + POP_HEADER;
    record = segment + (readable + (counts >> 16)) * SEGMENT;
    // What a guest says is too long, or shorter than its header, is taken from nowhere and given back.
    if (total - header > most) {
      port.dropsTooLong++;
      continue;
    }
    const slot = host.slots + next * host.slotBytes;
    next = next + 1 == host.slotCount ? 0 : next + 1;
    if (direct && readable == 1) copyBytes(slot, load<u32>(segment), total);
    else if (!gather(port, segment, readable, slot)) break;
    copied++;
    copiedBytes += total - header;
    if (touches) wireReadsHosts(port, slot + header, total - header);
  }
  host.slotNext = next;
  host.cpuCopies += copied;
  host.cpuBytes += copiedBytes;
  port.packets += copied;
  port.bytes += copiedBytes;
  if (!isLive(port.device)) return false;
  deviceFinishAll(port, count);
  return true;
}

function gather(port: Port, segment: u32, readable: u32, to: u32): bool {
  for (; readable; readable--) {
    const bytes = load<u32>(segment, 4);
    if (!bufferRead(port.device, load<u32>(segment), to, bytes)) return false;
    to += bytes;
    segment += SEGMENT;
  }
  return true;
}

/**
 * Receive: copies as many of the next `count` frames as go, each into one buffer in the window; how many. What is behind
 * them goes the long way, and all of it if the device sees bus addresses.
 */
export function copySends(port: Port, count: u32): u32 {
  const host = port.host;
  if (port.device.domain) return 0;
  const atOnce = host.hops == 1 && port.touch < TOUCH_COPY;
  const header = port.headerBytes;
  const most = min(count, port.placeLeft);
  // As in transmit, what changes with every packet is in the memory once a burst.
  let record = port.placeNext;
  let used = port.used + port.usedCount * USED_RECORD;
  let cursor = port.cursor;
  let copied: u32 = 0;
  let copiedBytes: u64 = 0;
  for (; copied < most; copied++) {
    let from = load<u32>(cursor);
    const bytes = load<u32>(cursor, 4);
    const total = header + bytes;
    if (writableBytes(record) < total || bytes > port.frameMost) break;
    if (port.mergeable) store<u16>(from, 1, VIRTIO_NET_HDR_NUM_BUFFERS);
    if (!atOnce) from = copySource(port, from, bytes);
    if (!scatter(port, MOVE_CPU, record, from, total)) break;
    store<u32>(used, load<u32>(record));
    store<u32>(used, total, 4);
    copiedBytes += bytes;
    used += USED_RECORD;
    record = recordAfter(record);
    cursor += SEGMENT;
  }
  port.placeNext = record;
  port.placeLeft -= copied;
  port.usedCount += copied;
  port.cursor = cursor;
  host.cpuCopies += copied;
  host.cpuBytes += copiedBytes;
  return copied;
}

/**
 * Receive: where the host has the frame that the wire left at `ptr`, and that the last hop takes it from. Unless the
 * wire is to move payloads, what is at `ptr` is the host's buffer.
 */
export function copySource(port: Port, ptr: u32, frameBytes: u32): u32 {
  const host = port.host;
  const total = port.headerBytes + frameBytes;
  let from = ptr;
  if (port.touch >= TOUCH_COPY) {
    from = hostSlot(host);
    copyBytes(from, ptr, total);
  }
  for (let hop: u32 = 1; hop < host.hops; hop++) {
    const to = hostSlot(host);
    copyBytes(to, from, port.headerBytes);
    cpuCopy(host, to + port.headerBytes, from + port.headerBytes, frameBytes);
    from = to;
  }
  return from;
}
