// What lies between a device half and the wire: a host's part of a packet's way. A port without one has the wire
// at the far end of its queue, as a NIC's own driver has.
//
// All that a path copies goes through the counted routines here, one for each kind of copy, so that the
// counts are of what was done. Bytes are a frame's, without the device header.
//
//   slots   | device header, frame | device header, frame | ...      `slotBytes` each, private: a host's buffers

import { copyBytes } from "../mem/copy";
import { Pins } from "../mem/pins";

@unmanaged
export class HostPath {
  /** HOST_*. */
  kind: u32;
  /** Times that a payload is copied on its way, where the CPU copies it whole. */
  hops: u32;
  /** Buffers of the host, used in turn: what the wire was handed longest ago is done with. */
  slots: u32;
  slotBytes: u32;
  slotCount: u32;
  slotNext: u32;
  /** Pages of guests that are pinned. */
  pins: Pins;
  /** Buffers that the call gave back to the driver beside those that it popped itself: a burst that moved nothing else went on. */
  shown: u32;

  // Counters
  /** Payloads that the CPU copied, once for each hop, and their bytes. */
  cpuCopies: u64;
  cpuBytes: u64;
  /** Bytes of headers that the CPU copied of packets whose payload it left where it was. */
  headerCopyBytes: u64;
  /** The same of a copy engine. */
  engineCopies: u64;
  engineBytes: u64;
  /** Pages pinned for packets. */
  pinnedPages: u64;
}

/** The next buffer of the host. */
@inline
export function hostSlot(host: HostPath): u32 {
  const next = host.slotNext;
  host.slotNext = next + 1 == host.slotCount ? 0 : next + 1;
  return host.slots + next * host.slotBytes;
}

/** A payload of `bytes` was copied whole by the CPU, in as many pieces as its buffers have. */
@inline
export function countCpuCopy(host: HostPath, bytes: u32): void {
  host.cpuCopies++;
  host.cpuBytes += bytes;
}

/** The CPU copies a payload from one of the host's buffers to another. */
@inline
export function cpuCopy(host: HostPath, to: u32, from: u32, bytes: u32): void {
  copyBytes(to, from, bytes);
  countCpuCopy(host, bytes);
}
