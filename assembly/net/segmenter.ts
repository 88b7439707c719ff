// What is known of a frame while it is cut into segments: what its header asks for, where its headers lie,
// and a private copy of them, so that whoever lent the frame can't change them any more.
//
//   | Segmenter | FrameInfo: the packet that is cut | FrameInfo: the tunnel's | headers, MAX_HEADER_BYTES |

import {
  FRAME_FRAGMENT,
  FRAME_IPV4,
  FRAME_IPV6,
  FRAME_OPTIONS,
  FRAME_TCP,
  FRAME_UDP,
  NET_E_GSO_BYTES,
  NET_E_GSO_CSUM,
  NET_E_GSO_FRAGMENT,
  NET_E_GSO_HEADER,
  NET_E_GSO_SIZE,
  NET_E_GSO_TUNNEL,
  NET_E_GSO_TYPE,
  OK,
} from "../abi";
import {
  VIRTIO_NET_HDR_GSO_ECN,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
  VIRTIO_NET_HDR_GSO_UDP,
  VIRTIO_NET_HDR_GSO_UDP_L4,
  VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4,
  VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV6,
} from "../spec";
import { checksumFold, checksumOffset } from "./checksum";
import { FrameInfo, parseFrame, parseNetwork } from "./parse";
import {
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  IPV6_FRAGMENT_BYTES,
  load16,
  load32,
  MAX_PACKET_BYTES,
  swap16,
} from "./protocols";
import { checksumAdd } from "./sum";

/** Ethernet, two tags, and IPv4 and TCP with all options, twice, and a Geneve header with most of its own. */
const MAX_HEADER_BYTES: u32 = 512;

@unmanaged
export class Segmenter {
  // The caller says with each frame: the fields of its virtio_net_hdr (5.1.9).
  gsoType: u32;
  gsoSize: u32;
  csumStart: u32;
  csumOffset: u32;
  /** outer_th_offset and inner_nh_offset; only read with a tunnel's bit in the type. */
  outerTransport: u32;
  innerNetwork: u32;
  /** Whether the outer UDP checksum is to be completed (VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM). */
  outerCsum: u32;
  /** Whether all segments keep the identification of the frame: they came that way, and don't fragment. */
  fixedId: u32;
  /** The identification of fragments, where the protocol has none before it is fragmented (IPv6). */
  fragmentId: u32;

  // What a start finds.
  /** Frames that will come, and bytes of the longest. */
  segments: u32;
  segmentBytes: u32;
  /** Payload that goes into each but the last. */
  size: u32;
  /** Bytes before the payload of each segment. */
  headerBytes: u32;
  /** The payload that is left, in the frame. */
  payload: u32;
  payloadBytes: u32;
  /** Segments that were written. */
  done: u32;
  isTunnel: u32;
  isFragments: u32;
  /** Sums of what is the same in all segments: the network headers, the transport header with its seed. */
  networkSum: u32;
  outerNetworkSum: u32;
  transportSum: u32;
  /** Fields of the frame that differ from segment to segment. */
  id: u32;
  outerId: u32;
  /** What takes the frame's length out of the outer checksum's seed. */
  outerLength: u32;
  sequence: u32;
  /** The word with the header's length and the flags (TCP). */
  tcpFlags: u32;
}

export const SEGMENTER_BYTES: u32 = offsetof<Segmenter>() + 2 * offsetof<FrameInfo>() + MAX_HEADER_BYTES;

/** The packet that is cut: inside of a tunnel the inner one. */
@inline
export function packetOf(segmenter: Segmenter): FrameInfo {
  return changetype<FrameInfo>(changetype<u32>(segmenter) + offsetof<Segmenter>());
}

@inline
export function tunnelOf(segmenter: Segmenter): FrameInfo {
  return changetype<FrameInfo>(changetype<u32>(segmenter) + offsetof<Segmenter>() + offsetof<FrameInfo>());
}

@inline
export function headersOf(segmenter: Segmenter): u32 {
  return changetype<u32>(segmenter) + offsetof<Segmenter>() + 2 * offsetof<FrameInfo>();
}

/**
 * Looks at the frame at `ptr`, about which the caller has filled in the fields of the Segmenter. OK, and `segmentNext` gives
 * `segments` frames; or why it can't be cut (NET_E_*). hdr_len is not asked: it is a hint (N-V-03).
 */
export function segmentStart(segmenter: Segmenter, ptr: u32, bytes: u32): u32 {
  segmenter.payloadBytes = 0;
  segmenter.segments = 0;
  segmenter.done = 0;
  const headers = headersOf(segmenter);
  const kept = min(bytes, MAX_HEADER_BYTES);
  memory.copy(headers, ptr, kept);
  const error = findHeaders(segmenter, headers, kept);
  if (error) return error;

  const isUfo = kindOf(segmenter) == VIRTIO_NET_HDR_GSO_UDP;
  const packet = packetOf(segmenter);
  // What is fragmented is the IP packet, UDP's header with it, in units of 8 bytes.
  const size = isUfo ? segmenter.gsoSize & ~7 : segmenter.gsoSize;
  if (!size) return NET_E_GSO_SIZE;
  if (bytes <= packet.payload) return NET_E_GSO_BYTES;
  const isFragments = isUfo && bytes - packet.transport > segmenter.gsoSize;
  const isIpv6Fragments = isFragments && (packet.flags & FRAME_IPV6) != 0;
  const payload = isFragments ? packet.transport : packet.payload;
  segmenter.isFragments = isFragments;
  segmenter.size = size;
  segmenter.headerBytes = payload + (isIpv6Fragments ? IPV6_FRAGMENT_BYTES : 0);
  segmenter.segmentBytes = segmenter.headerBytes + min(size, bytes - payload);
  const network = segmenter.isTunnel ? tunnelOf(segmenter).network : packet.network;
  if (segmenter.segmentBytes - network > MAX_PACKET_BYTES) return NET_E_GSO_BYTES;
  if (isFragments && bytes - payload > MAX_PACKET_BYTES) return NET_E_GSO_BYTES;

  segmenter.payload = ptr + payload;
  segmenter.payloadBytes = bytes - payload;
  segmenter.segments = (bytes - payload + size - 1) / size;
  sumHeaders(segmenter, headers, bytes);
  return OK;
}

/** What is to be cut and how, without the bits beside it. */
@inline
export function kindOf(segmenter: Segmenter): u32 {
  return segmenter.gsoType & ~(VIRTIO_NET_HDR_GSO_ECN | TUNNEL_BITS);
}

const TUNNEL_BITS: u32 = VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4 | VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV6;

/** Parses the headers, of which `kept` bytes are there, and holds them against what the caller said. */
function findHeaders(segmenter: Segmenter, headers: u32, kept: u32): u32 {
  const packet = packetOf(segmenter);
  segmenter.isTunnel = segmenter.gsoType & TUNNEL_BITS;
  if (segmenter.isTunnel) {
    if (!findTunnel(segmenter, headers, kept)) return NET_E_GSO_TUNNEL;
  } else if (!parseFrame(headers, kept, packet)) {
    return NET_E_GSO_HEADER;
  }
  const flags = packet.flags;
  if (flags & FRAME_FRAGMENT) return NET_E_GSO_FRAGMENT;
  if (!packet.transport) return NET_E_GSO_HEADER;
  if (!isOfKind(kindOf(segmenter), flags, segmenter.isTunnel != 0)) return NET_E_GSO_TYPE;
  const isSeeded = segmenter.csumStart == packet.transport && segmenter.csumOffset == checksumOffset(packet);
  return isSeeded ? OK : NET_E_GSO_CSUM;
}

/** UDP in a frame, and in it a network header where the caller says. */
function findTunnel(segmenter: Segmenter, headers: u32, kept: u32): bool {
  const tunnel = tunnelOf(segmenter);
  if (!parseFrame(headers, kept, tunnel) || (tunnel.flags & (FRAME_UDP | FRAME_FRAGMENT)) != FRAME_UDP) {
    return false;
  }
  const network = segmenter.innerNetwork;
  if (segmenter.outerTransport != tunnel.transport || network < tunnel.payload || network >= kept)
    return false;
  // A packet starts with its version.
  const etherType = load<u8>(headers + network) >> 4 == 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
  return parseNetwork(headers, network, kept, etherType, packetOf(segmenter));
}

function isOfKind(kind: u32, flags: u32, isTunnel: bool): bool {
  if (kind == VIRTIO_NET_HDR_GSO_TCPV4) return (flags & FRAME_IPV4) != 0 && (flags & FRAME_TCP) != 0;
  if (kind == VIRTIO_NET_HDR_GSO_TCPV6) return (flags & FRAME_IPV6) != 0 && (flags & FRAME_TCP) != 0;
  if (!(flags & FRAME_UDP)) return false;
  if (kind == VIRTIO_NET_HDR_GSO_UDP_L4) return true;
  // A fragment header would have to go between the extension headers.
  const isPlain = !isTunnel && (flags & (FRAME_IPV6 | FRAME_OPTIONS)) != (FRAME_IPV6 | FRAME_OPTIONS);
  return kind == VIRTIO_NET_HDR_GSO_UDP && isPlain;
}

/** Sums up what all segments share; the frame's own lengths are taken out, those of segments come in later. */
function sumHeaders(segmenter: Segmenter, headers: u32, bytes: u32): void {
  const packet = packetOf(segmenter);
  const transport = headers + packet.transport;
  segmenter.id = load16(headers + packet.network + 4);
  segmenter.networkSum = ipv4Sum(headers + packet.network, packet);
  if (segmenter.isTunnel) {
    const tunnel = tunnelOf(segmenter);
    segmenter.outerId = load16(headers + tunnel.network + 4);
    segmenter.outerNetworkSum = ipv4Sum(headers + tunnel.network, tunnel);
    segmenter.outerLength = lessLength(bytes - tunnel.transport);
  }
  // The seed is in the field and counts like any other word, with the length of the whole packet in it.
  let sum = checksumAdd(0, transport, packet.payload - packet.transport);
  sum += lessLength(bytes - packet.transport);
  if (packet.flags & FRAME_TCP) {
    segmenter.sequence = load32(transport + 4);
    segmenter.tcpFlags = load16(transport + 12);
    sum += less(load16(transport + 4)) + less(load16(transport + 6)) + less(segmenter.tcpFlags);
  } else {
    sum += less(load16(transport + 4));
  }
  segmenter.transportSum = checksumFold(sum);
}

/** What to add to a sum to take a word out. */
@inline
function less(word: u32): u32 {
  return swap16(word) ^ 0xffff;
}

/** A length above 16 bits has two words in a pseudo-header. */
@inline
function lessLength(bytes: u32): u32 {
  return less(bytes & 0xffff) + less(bytes >> 16);
}

/** The sum of an IPv4 header without its length, identification and checksum; those of IPv6 have none. */
function ipv4Sum(ip: u32, info: FrameInfo): u32 {
  if (!(info.flags & FRAME_IPV4)) return 0;
  const sum = checksumAdd(0, ip, (<u32>load<u8>(ip) & 15) << 2);
  return checksumFold(sum + less(load16(ip + 2)) + less(load16(ip + 4)) + less(load16(ip + 10)));
}
