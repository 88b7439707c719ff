// A packet goes into the driver's receive buffers: one, or with MRG_RXBUF as many as it needs (5.1.9.3.2).
// Nothing is written before there are enough of them, so that no packet is begun and taken back.

import { E_NET_BUFFER, NET_RX_BUFFERS, NET_RX_BYTES, NET_RX_DROP_ADDRESS, NET_RX_PACKETS } from "../abi";
import { breakQueue, Queue } from "../ring/queue";
import { VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_HDR_NUM_BUFFERS } from "../spec";
import { NetDevice } from "./device";
import { hasFeature } from "./header";
import {
  armQueue,
  count,
  NetQueue,
  popMore,
  queueWorks,
  recordAfter,
  scatter,
  useNext,
  writableBytes,
} from "./queue";

/** There are no buffers yet; there will never be enough. */
export const BUFFERS_NONE: u32 = 0;
export const BUFFERS_TOO_SMALL: u32 = 0xffffffff;
/** Buffers that are popped at once. */
const POP_BATCH: u32 = 32;

/** How many buffers a packet of `total` bytes takes, header included; BUFFERS_NONE or BUFFERS_TOO_SMALL. */
export function buffersFor(net: NetDevice, queue: NetQueue, total: u32): u32 {
  if (!queue.left && !popAvailable(queue)) return BUFFERS_NONE;
  const first = writableBytes(queue.next);
  // N-D-12: the least that a driver must give.
  if (first < net.headerBytes) {
    breakQueue(changetype<Queue>(queue.half), E_NET_BUFFER, load<u32>(queue.next) & 0xffff);
    return BUFFERS_NONE;
  }
  if (first >= total) return 1;
  if (!hasFeature(net.featuresLow, 0, VIRTIO_NET_F_MRG_RXBUF)) return BUFFERS_TOO_SMALL;
  return buffersTogether(queue, total);
}

/** How many of the next buffers hold `total` bytes together. */
function buffersTogether(queue: NetQueue, total: u32): u32 {
  let offset: u32 = 0;
  let buffers: u32 = 0;
  let rest = total;
  while (buffers < queue.left || popAvailable(queue)) {
    const record = queue.next + offset;
    const room = writableBytes(record);
    buffers++;
    if (room >= rest) return buffers;
    rest -= room;
    offset = recordAfter(record) - queue.next;
  }
  // A ring or a staging area full of buffers that are too small together is no reason to wait.
  const full = queue.left == changetype<Queue>(queue.half).size || areaIsFull(queue);
  return queueWorks(queue) && full ? BUFFERS_TOO_SMALL : BUFFERS_NONE;
}

/** Pops behind what is left; with none available asks for a kick, and looks once more. */
function popAvailable(queue: NetQueue): bool {
  if (popMore(queue, POP_BATCH)) return true;
  return queueWorks(queue) && armQueue(queue) && popMore(queue, POP_BATCH) != 0;
}

/** Whether the last pop ended for want of staging room. */
@inline
function areaIsFull(queue: NetQueue): bool {
  return changetype<Queue>(queue.half).refusal != 0;
}

/** Writes the header in `net.receiveHeader` and a frame into the next `buffers` buffers, and uses them. */
export function deliver(net: NetDevice, queue: NetQueue, frame: u32, bytes: u32, buffers: u32): void {
  // N-V-05.
  store<u16>(net.receiveHeader, <u16>buffers, VIRTIO_NET_HDR_NUM_BUFFERS);
  if (!write(net, queue, frame, bytes)) {
    count(queue, NET_RX_DROP_ADDRESS, 1);
    return;
  }
  queue.packets++;
  count(queue, NET_RX_PACKETS, 1);
  count(queue, NET_RX_BYTES, bytes);
  count(queue, NET_RX_BUFFERS, buffers);
}

/** False when the driver's memory could not be written; then the queue is broken. */
function write(net: NetDevice, queue: NetQueue, frame: u32, bytes: u32): bool {
  const headerBytes = net.headerBytes;
  let part = min(writableBytes(queue.next) - headerBytes, bytes);
  if (!scatter(queue, queue.next, 0, net.receiveHeader, headerBytes)) return false;
  if (!scatter(queue, queue.next, headerBytes, frame, part)) return false;
  useNext(queue, headerBytes + part);
  // N-V-06: all but the last are filled to the end.
  for (let rest = bytes - part; rest; rest -= part) {
    frame += part;
    part = min(writableBytes(queue.next), rest);
    if (!scatter(queue, queue.next, 0, frame, part)) return false;
    useNext(queue, part);
  }
  return true;
}
