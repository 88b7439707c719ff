// Receive coalescing of TCP by Linux's rules (GRO), and one that is stricter: nothing of a frame may be lost, so
// that segmentation gives back just what came. A frame continues another when
//
//   - Ethernet, tags, addresses, ports and the flow label are the same, there are no IP options, extension
//     headers or fragments, and no padding behind the packet;
//   - time to live, type of service and don't-fragment are the same; identifications count up by one, or,
//     with don't-fragment, all are one;
//   - its sequence number is next, its acknowledgement number, window, options and flags are the same; FIN
//     and PSH may come, and end the frame, and CWR may be in the first;
//   - it has a payload, not longer than that of the first; a shorter one ends the frame;
//   - its checksums are valid, and the whole fits a 16-bit length.

import {
  CHECKSUM_VALID,
  COALESCE_HELD,
  COALESCE_PASS,
  FRAME_CUT,
  FRAME_FRAGMENT,
  FRAME_IPV4,
  FRAME_OPTIONS,
  FRAME_TCP,
} from "../abi";
import {
  VIRTIO_NET_HDR_GSO_ECN,
  VIRTIO_NET_HDR_GSO_NONE,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
} from "../spec";
import { checksumFold, checksumVerify, ipv4HeaderValid, pseudoHeaderSum } from "./checksum";
import { Coalesced, Coalescer, firstIn, infoOf, makeReady, SLOT_FREE, SLOT_HELD, slotOf } from "./coalescer";
import { FrameInfo, parseFrame } from "./parse";
import {
  IPV4_DONT_FRAGMENT,
  IPV6_ADDRESS_BYTES,
  IPV6_BYTES,
  load16,
  load32,
  MAX_PACKET_BYTES,
  TCP_BYTES,
  TCP_CHECKSUM,
  TCP_FLAG_ACK,
  TCP_FLAG_CWR,
  TCP_FLAG_FIN,
  TCP_FLAG_PSH,
  TCP_FLAG_RST,
  TCP_FLAG_SYN,
  TCP_FLAG_URG,
} from "./protocols";
import { checksumAdd, checksumCopy } from "./sum";

const ENDING: u32 = TCP_FLAG_FIN | TCP_FLAG_PSH;
const SPECIAL: u32 = TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_URG;

/**
 * Takes in a received frame that the caller owns. COALESCE_HELD: its bytes are in the table. COALESCE_PASS: the
 * caller delivers it as it is. Either way what is ready is to be delivered first, in its order: it came before.
 */
export function coalesceAdd(coalescer: Coalescer, ptr: u32, bytes: u32): u32 {
  const info = infoOf(coalescer);
  if (!parseFrame(ptr, bytes, info) || !(info.flags & FRAME_TCP)) return COALESCE_PASS;
  const held = findFlow(coalescer, ptr, info);
  const isPlain = isPlainTcp(coalescer, ptr, bytes, info);
  if (held) {
    if (isPlain && continues(coalescer, held, ptr, bytes, info) && append(held, ptr, bytes, info)) {
      if (isWhole(coalescer, held, bytes - info.payload)) makeReady(coalescer, held);
      return COALESCE_HELD;
    }
    makeReady(coalescer, held);
  }
  return isPlain && begin(coalescer, ptr, bytes, info) ? COALESCE_HELD : COALESCE_PASS;
}

/** What is held of the frame's flow; null when nothing is. */
function findFlow(coalescer: Coalescer, ptr: u32, info: FrameInfo): Coalesced | null {
  const network = info.network;
  const isIpv4 = info.flags & FRAME_IPV4;
  const ports = load<u32>(ptr + info.transport);
  const addresses = network + (isIpv4 ? 12 : 8);
  for (let i: u32 = 0; i < coalescer.flows; i++) {
    const slot = slotOf(coalescer, i);
    if (slot.state != SLOT_HELD || slot.network != network || (slot.flags & FRAME_IPV4) != isIpv4) continue;
    const frame = slot.frame;
    if (load<u32>(frame + slot.csumStart) != ports) continue;
    const addressBytes = isIpv4 ? 8 : 2 * IPV6_ADDRESS_BYTES;
    if (!sameBytes(frame + addresses, ptr + addresses, addressBytes)) continue;
    if (sameBytes(frame, ptr, network)) return slot;
  }
  return null;
}

/** Whether two places have the same `bytes`: none, or at least 4. */
function sameBytes(a: u32, b: u32, bytes: u32): bool {
  if (!bytes) return true;
  const last = bytes - 4;
  for (let at: u32 = 0; at < last; at += 4) {
    if (load<u32>(a + at) != load<u32>(b + at)) return false;
  }
  return load<u32>(a + last) == load<u32>(b + last);
}

/** Whether the frame is of a kind that is put together at all. */
function isPlainTcp(coalescer: Coalescer, ptr: u32, bytes: u32, info: FrameInfo): bool {
  const isIpv4 = (info.flags & FRAME_IPV4) != 0;
  const kind = isIpv4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
  if (!(coalescer.kinds & (1 << kind)) || info.flags & (FRAME_OPTIONS | FRAME_FRAGMENT | FRAME_CUT))
    return false;
  if (info.end != bytes || info.payload == bytes || bytes > coalescer.bufferBytes) return false;
  if ((tcpWord(ptr + info.transport) & (SPECIAL | TCP_FLAG_ACK)) != TCP_FLAG_ACK) return false;
  return !isIpv4 || ipv4HeaderValid(ptr + info.network);
}

/** The length of a TCP header and its flags. */
@inline
function tcpWord(header: u32): u32 {
  return load16(header + 12);
}

function continues(coalescer: Coalescer, held: Coalesced, ptr: u32, bytes: u32, info: FrameInfo): bool {
  const payloadBytes = bytes - info.payload;
  const all = held.bytes + payloadBytes;
  if (payloadBytes > held.gsoSize || all > coalescer.bufferBytes) return false;
  const outside = info.flags & FRAME_IPV4 ? held.network : held.network + IPV6_BYTES;
  if (all - outside > MAX_PACKET_BYTES) return false;
  return (
    sameNetwork(held, held.frame + held.network, ptr + info.network, info) && continuesTcp(held, ptr, info)
  );
}

/** Type of service, time to live, don't-fragment and the identification; or class, label and hop limit. */
function sameNetwork(held: Coalesced, theirs: u32, ours: u32, info: FrameInfo): bool {
  if (!(info.flags & FRAME_IPV4)) {
    return load<u32>(theirs) == load<u32>(ours) && load<u8>(theirs, 7) == load<u8>(ours, 7);
  }
  if (load<u8>(theirs, 1) != load<u8>(ours, 1) || load<u8>(theirs, 8) != load<u8>(ours, 8)) return false;
  const fragment = load16(ours + 6);
  if (load16(theirs + 6) != fragment) return false;
  const id = load16(ours + 4);
  const mayBeFixed = held.segments == 1 ? (fragment & IPV4_DONT_FRAGMENT) != 0 : held.fixedId != 0;
  if (mayBeFixed && id == held.id) return true;
  return !held.fixedId && id == ((held.id + held.segments) & 0xffff);
}

/** The sequence is next; acknowledgement, window, urgent pointer and options are the same, and most flags. */
function continuesTcp(held: Coalesced, ptr: u32, info: FrameInfo): bool {
  const theirs = held.frame + held.csumStart;
  const ours = ptr + info.transport;
  if (load32(ours + 4) != held.sequence || load<u32>(ours, 8) != load<u32>(theirs, 8)) return false;
  const word = tcpWord(ours);
  if (word & TCP_FLAG_CWR || (word ^ tcpWord(theirs)) & ~(ENDING | TCP_FLAG_CWR)) return false;
  if (load<u16>(ours, 14) != load<u16>(theirs, 14) || load<u16>(ours, 18) != load<u16>(theirs, 18))
    return false;
  return sameBytes(ours + TCP_BYTES, theirs + TCP_BYTES, info.payload - info.transport - TCP_BYTES);
}

/** Puts the frame's payload at the end of what is held. False when its checksum is wrong: then nothing counts. */
function append(held: Coalesced, ptr: u32, bytes: u32, info: FrameInfo): bool {
  const payloadBytes = bytes - info.payload;
  const header = ptr + info.transport;
  let sum = pseudoHeaderSum(ptr, info, bytes - info.transport);
  sum = checksumAdd(sum, header, info.payload - info.transport);
  sum = checksumCopy(sum, held.frame + held.bytes, ptr + info.payload, payloadBytes);
  if (checksumFold(sum) != 0xffff) return false;
  if (held.segments == 1 && info.flags & FRAME_IPV4) {
    held.fixedId = load16(ptr + info.network + 4) == held.id ? 1 : 0;
  }
  const flags = held.frame + held.csumStart + 13;
  store<u8>(flags, load<u8>(flags) | (load<u8>(header, 13) & ENDING));
  held.bytes += payloadBytes;
  held.sequence += payloadBytes;
  held.segments++;
  return true;
}

/** Whether no frame can come after one with such a payload. */
@inline
function isWhole(coalescer: Coalescer, held: Coalesced, payloadBytes: u32): bool {
  if (payloadBytes < held.gsoSize || held.segments >= coalescer.maxSegments) return true;
  return (tcpWord(held.frame + held.csumStart) & ENDING) != 0;
}

/** Takes the frame as the first of a new one. A full table gives up its oldest, and has room the next time. */
function begin(coalescer: Coalescer, ptr: u32, bytes: u32, info: FrameInfo): bool {
  const word = tcpWord(ptr + info.transport);
  if (word & ENDING || (word & TCP_FLAG_CWR && !(coalescer.kinds & VIRTIO_NET_HDR_GSO_ECN))) return false;
  if (checksumVerify(ptr, info) != CHECKSUM_VALID) return false;
  const slot = firstIn(coalescer, SLOT_FREE);
  if (!slot) {
    const oldest = firstIn(coalescer, SLOT_HELD);
    if (oldest) makeReady(coalescer, oldest);
    return false;
  }
  memory.copy(slot.frame, ptr, bytes);
  slot.state = SLOT_HELD;
  slot.turn = coalescer.turn++;
  slot.bytes = bytes;
  slot.gsoType = VIRTIO_NET_HDR_GSO_NONE;
  slot.gsoSize = bytes - info.payload;
  slot.hdrLen = info.payload;
  slot.csumStart = info.transport;
  slot.csumOffset = TCP_CHECKSUM;
  slot.segments = 1;
  slot.fixedId = 0;
  slot.flags = info.flags;
  slot.network = info.network;
  slot.sequence = load32(ptr + info.transport + 4) + slot.gsoSize;
  slot.id = load16(ptr + info.network + 4);
  return true;
}
