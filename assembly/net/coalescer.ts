// The frames that are being put together from received ones: one for each flow, in a table that is bounded.
//
//   | Coalescer | FrameInfo: the frame that comes | Coalesced, one for each flow |     buffers, elsewhere
//
//   free --first frame--> held --whole, interrupted, evicted, flushed--> ready --released--> free
//
// A frame that is ready stays until the caller releases it, and its turn is that of its becoming ready.

import { FRAME_IPV4 } from "../abi";
import { VIRTIO_NET_HDR_GSO_ECN, VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6 } from "../spec";
import { checksumFold, checksumOf } from "./checksum";
import { FrameInfo } from "./parse";
import {
  IPPROTO_TCP,
  IPV4_BYTES,
  IPV6_ADDRESS_BYTES,
  IPV6_BYTES,
  load16,
  store16,
  swap16,
  TCP_CHECKSUM,
  TCP_FLAG_CWR,
} from "./protocols";
import { checksumAdd } from "./sum";

export const SLOT_FREE: u32 = 0;
export const SLOT_HELD: u32 = 1;
export const SLOT_READY: u32 = 2;

@unmanaged
export class Coalescer {
  /** Kinds that may be put together, as bits `1 << VIRTIO_NET_HDR_GSO_*`, and bit 7 for ECN (GUEST_ECN). */
  kinds: u32;
  /** Frames that one may be put together from, at most. */
  maxSegments: u32;
  flows: u32;
  bufferBytes: u32;
  /** The turn that is given out next. */
  turn: u32;
}

/** A frame with what its virtio_net_hdr has to say. */
@unmanaged
export class Coalesced {
  /** Where it lies. */
  frame: u32;
  bytes: u32;
  /** 0 (NONE) for a frame that no other came for: that one is as it was, its checksums found valid. */
  gsoType: u32;
  gsoSize: u32;
  hdrLen: u32;
  csumStart: u32;
  csumOffset: u32;
  /** Frames that it was put together from. */
  segments: u32;
  /** Whether these all had one identification. */
  fixedId: u32;

  state: u32;
  /** When it was taken, and when it became ready. */
  turn: u32;
  flags: u32;
  network: u32;
  /** What the next frame must have. */
  sequence: u32;
  /** The first frame's identification. */
  id: u32;
}

/** Bytes of a Coalescer for so many flows. */
export function coalescerBytes(flows: u32): u32 {
  return offsetof<Coalescer>() + offsetof<FrameInfo>() + flows * offsetof<Coalesced>();
}

/** Sets up an empty table; `buffers` has `bufferBytes` for each flow. The caller then says what it wants coalesced. */
export function coalescerInit(coalescer: Coalescer, flows: u32, buffers: u32, bufferBytes: u32): void {
  memory.fill(changetype<u32>(coalescer), 0, coalescerBytes(flows));
  coalescer.flows = flows;
  coalescer.bufferBytes = bufferBytes;
  coalescer.maxSegments = u16.MAX_VALUE;
  for (let i: u32 = 0; i < flows; i++) slotOf(coalescer, i).frame = buffers + i * bufferBytes;
}

@inline
export function infoOf(coalescer: Coalescer): FrameInfo {
  return changetype<FrameInfo>(changetype<u32>(coalescer) + offsetof<Coalescer>());
}

@inline
export function slotOf(coalescer: Coalescer, index: u32): Coalesced {
  const first = changetype<u32>(coalescer) + offsetof<Coalescer>() + offsetof<FrameInfo>();
  return changetype<Coalesced>(first + index * offsetof<Coalesced>());
}

/** The slot in a state whose turn is first; null when none is. */
export function firstIn(coalescer: Coalescer, state: u32): Coalesced | null {
  let first: Coalesced | null = null;
  for (let i: u32 = 0; i < coalescer.flows; i++) {
    const slot = slotOf(coalescer, i);
    if (slot.state != state) continue;
    // Turns wrap around, but those in the table are near each other.
    if (!first || <i32>(slot.turn - first.turn) < 0) first = slot;
  }
  return first;
}

/** The place of the Coalesced whose turn it is, or 0 when none is ready. */
export function coalesceReady(coalescer: Coalescer): u32 {
  return changetype<u32>(firstIn(coalescer, SLOT_READY));
}

/** Gives back what `coalesceReady` said; without one, nothing happens. */
export function coalesceRelease(coalescer: Coalescer): void {
  const slot = firstIn(coalescer, SLOT_READY);
  if (slot) slot.state = SLOT_FREE;
}

/** Makes ready all that is held: at the end of a burst, say, because nobody knows when the next one comes. */
export function coalesceFlush(coalescer: Coalescer): void {
  for (;;) {
    const slot = firstIn(coalescer, SLOT_HELD);
    if (!slot) return;
    makeReady(coalescer, slot);
  }
}

/** Forgets everything. */
export function coalesceReset(coalescer: Coalescer): void {
  for (let i: u32 = 0; i < coalescer.flows; i++) slotOf(coalescer, i).state = SLOT_FREE;
}

/** Ends a frame: its lengths are those of the whole, and its checksum is seeded for whoever completes it. */
export function makeReady(coalescer: Coalescer, slot: Coalesced): void {
  slot.state = SLOT_READY;
  slot.turn = coalescer.turn++;
  if (slot.segments == 1) return;
  const ip = slot.frame + slot.network;
  const packetBytes = slot.bytes - slot.network;
  if (slot.flags & FRAME_IPV4) {
    slot.gsoType = VIRTIO_NET_HDR_GSO_TCPV4;
    store16(ip + 2, packetBytes);
    store<u16>(ip, 0, 10);
    store<u16>(ip, checksumOf(checksumAdd(0, ip, IPV4_BYTES)), 10);
  } else {
    slot.gsoType = VIRTIO_NET_HDR_GSO_TCPV6;
    store16(ip + 4, packetBytes - IPV6_BYTES);
  }
  if (load16(slot.frame + slot.csumStart + 12) & TCP_FLAG_CWR) slot.gsoType |= VIRTIO_NET_HDR_GSO_ECN;
  const addresses = ip + (slot.flags & FRAME_IPV4 ? 12 : 8);
  const seed: u64 = (IPPROTO_TCP << 8) + swap16(slot.bytes - slot.csumStart);
  const sum = checksumAdd(seed, addresses, slot.flags & FRAME_IPV4 ? 8 : 2 * IPV6_ADDRESS_BYTES);
  store<u16>(slot.frame + slot.csumStart, checksumFold(sum), TCP_CHECKSUM);
}
