// What lies between a device half and the wire: a host's part of a packet's way. A port without one has the wire
// at the far end of its queue, as a NIC's own driver has.
//
// All that a path copies goes through the counted routines of copies.ts.
//
//   slots   | device header, frame | device header, frame | ...      `slotBytes` each, private: a host's buffers

import { Pins } from "../mem/pins";
import { Copies } from "./copies";

@unmanaged
export class HostPath extends Copies {
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
  /** What the wire has and is not done with (in-flight.ts), or 0. */
  flight: u32;
  /** The copy engine, and what waits for it (host-engine.ts), or 0. */
  engine: u32;
  /** The interface that packets pass by through, and its NIC (host-passthru.ts), or 0. */
  passthru: u32;
  wire: u32;
  /** Buffers that the call gave back to the driver, and those of them that are staged: a burst that moved nothing else went on. */
  shown: u32;
  staged: u32;
  /** How far a packet is read (walk.ts): the element, and the bytes of it that are behind. */
  walkSegment: u32;
  walkOffset: u32;
  /** Packets, and what went wrong with them, since the back-off counted anew (host-zerocopy.ts). */
  recent: u32;
  recentErrors: u32;

  // Counters, beside those of copies
  /** Pages pinned for packets. */
  pinnedPages: u64;
  /** Times that something failed after which the CPU copied: a pin, the wire's use of a guest's pages, a copy engine's job. */
  errors: u64;
}

/** Something failed that a copy makes good. */
export function countError(host: HostPath): void {
  host.errors++;
  host.recentErrors++;
}

/** The next buffer of the host. */
@inline
export function hostSlot(host: HostPath): u32 {
  const next = host.slotNext;
  host.slotNext = next + 1 == host.slotCount ? 0 : next + 1;
  return host.slots + next * host.slotBytes;
}
