// The ordinary way through a host (vhost-net, a device half in a user process): the CPU copies each payload between
// the guest's buffers and the host's own. The guest's buffers are done with at once; the wire takes the host's.

import { POP_HEADER, SEGMENT, TOUCH_COPY } from "../abi";
import { copyBytes } from "../mem/copy";
import { bufferRead } from "../ring/access";
import { isLive } from "../ring/queue";
import { countCpuCopy, cpuCopy } from "./copies";
import { hostSlot } from "./host-path";
import { deviceFinishAll, Port } from "./port";
import { wireTakesHosts } from "./wire";

/** Transmit: guest's buffers to a buffer of the host's, which the wire takes. */
export function copyTakes(port: Port, count: u32): bool {
  const host = port.host;
  const header = port.headerBytes;
  let record = port.popped;
  for (let k: u32 = 0; k < count; k++) {
    const counts = load<u32>(record, 4);
    const readable = counts & 0xffff;
    const bytes = load<u32>(record, 8) - header;
    // What a guest says is too long, or shorter than its header, is taken from nowhere and given back.
    if (bytes > host.slotBytes - header) {
      port.dropsTooLong++;
    } else {
      const slot = hostSlot(host);
      if (!gather(port, record + POP_HEADER, readable, slot)) return false;
      countCpuCopy(host, bytes);
      wireTakesHosts(port, slot + header, bytes);
    }
    record += POP_HEADER + (readable + (counts >> 16)) * SEGMENT;
  }
  if (!isLive(port.device)) return false;
  deviceFinishAll(port, count);
  return true;
}

@inline
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
