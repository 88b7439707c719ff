// Where the headers of a frame lie, as far as the offloads ask. Nothing in a frame is believed: every
// header is bounds-checked before its first byte is read, and every loop has a bound of its own.
//
//   | Ethernet, VLAN tags | IPv4, options          | TCP or UDP  | payload | padding |
//                         | IPv6, extension headers|
//   ^ 0                   ^ network                ^ transport   ^ payload ^ end     ^ bytes
//
// All offsets count from the start of the frame, those of a frame inside of a tunnel as well. The caller
// parses a copy that the peer can't write, or reads each header only here.

import {
  FRAME_CUT,
  FRAME_FRAGMENT,
  FRAME_IPV4,
  FRAME_IPV6,
  FRAME_OPTIONS,
  FRAME_ROUTED,
  FRAME_TCP,
  FRAME_UDP,
  FRAME_VLAN,
  TUNNEL_GENEVE,
  TUNNEL_NONE,
  TUNNEL_VXLAN,
} from "../abi";
import {
  DESTINATION_OPTIONS,
  ETHERNET_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_QINQ,
  ETHERTYPE_TRANSPARENT_BRIDGING,
  ETHERTYPE_VLAN,
  GENEVE_BYTES,
  GENEVE_PORT,
  HOP_BY_HOP,
  IPPROTO_AH,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPV4_BYTES,
  IPV6_ADDRESS_BYTES,
  IPV6_BYTES,
  IPV6_FRAGMENT,
  IPV6_ROUTING,
  load16,
  OPTION_HOME_ADDRESS,
  OPTION_PAD1,
  ROUTING_TYPE_2,
  TCP_BYTES,
  UDP_BYTES,
  VLAN_TAG_BYTES,
  VXLAN_BYTES,
  VXLAN_PORT,
} from "./protocols";

/** As many tags as Linux follows. */
const MAX_VLAN_TAGS: u32 = 8;
const MAX_EXTENSION_HEADERS: u32 = 16;
const MAX_OPTIONS: u32 = 64;

@unmanaged
export class FrameInfo {
  /** FRAME_* bits. */
  flags: u32;
  /** What follows the VLAN tags. */
  etherType: u32;
  /** First byte after Ethernet and its tags. */
  network: u32;
  /** The transport header; 0 when there is none, or not the whole of it. */
  transport: u32;
  /** First byte after the transport header; 0 without one. */
  payload: u32;
  /** One past the last byte of the IP packet, or of the frame when that is cut or not IP. */
  end: u32;
  /** The IP protocol, behind all extension headers. */
  protocol: u32;
  /** The address in a home address option, or in a routing header of type 2; 0 when there is none (IPv6). */
  homeAddress: u32;
  routeAddress: u32;
}

/** Finds the headers of the frame at `ptr`. False when no whole IPv4 or IPv6 header stands behind Ethernet. */
export function parseFrame(ptr: u32, bytes: u32, out: FrameInfo): bool {
  return parseEthernet(ptr, 0, bytes, out);
}

/** Finds the headers of an Ethernet frame at `at` in the frame at `ptr`, of which `bytes` are there. */
export function parseEthernet(ptr: u32, at: u32, bytes: u32, out: FrameInfo): bool {
  clear(out, bytes);
  if (bytes < ETHERNET_BYTES || at > bytes - ETHERNET_BYTES) return false;
  let network = at + ETHERNET_BYTES;
  let etherType = load16(ptr + network - 2);
  for (let tags: u32 = 0; isVlan(etherType); tags++) {
    if (tags == MAX_VLAN_TAGS || bytes - network < VLAN_TAG_BYTES) return false;
    network += VLAN_TAG_BYTES;
    etherType = load16(ptr + network - 2);
    out.flags = FRAME_VLAN;
  }
  return parsePacket(ptr, network, bytes, etherType, out);
}

@inline
function isVlan(etherType: u32): bool {
  return etherType == ETHERTYPE_VLAN || etherType == ETHERTYPE_QINQ;
}

@inline
function clear(out: FrameInfo, bytes: u32): void {
  memory.fill(changetype<usize>(out), 0, offsetof<FrameInfo>());
  out.end = bytes;
}

/** Finds the headers of a packet whose network header starts at `network`, in a frame without Ethernet before it. */
export function parseNetwork(ptr: u32, network: u32, bytes: u32, etherType: u32, out: FrameInfo): bool {
  clear(out, bytes);
  return network <= bytes && parsePacket(ptr, network, bytes, etherType, out);
}

function parsePacket(ptr: u32, network: u32, bytes: u32, etherType: u32, out: FrameInfo): bool {
  out.etherType = etherType;
  out.network = network;
  if (etherType == ETHERTYPE_IPV4) return parseIpv4(ptr, network, bytes, out);
  if (etherType == ETHERTYPE_IPV6) return parseIpv6(ptr, network, bytes, out);
  return false;
}

function parseIpv4(ptr: u32, network: u32, bytes: u32, out: FrameInfo): bool {
  if (bytes - network < IPV4_BYTES) return false;
  const ip = ptr + network;
  const first: u32 = load<u8>(ip);
  const headerBytes = (first & 15) << 2;
  if (first >> 4 != 4 || headerBytes < IPV4_BYTES || headerBytes > bytes - network) return false;
  const totalBytes = load16(ip + 2);
  if (totalBytes < headerBytes) return false;
  out.flags |= FRAME_IPV4;
  if (headerBytes > IPV4_BYTES) out.flags |= FRAME_OPTIONS;
  setEnd(out, network, totalBytes, bytes);
  out.protocol = load<u8>(ip, 9);
  // MF, or an offset that is not 0.
  const fragment = load16(ip + 6) & 0x3fff;
  if (fragment) out.flags |= FRAME_FRAGMENT;
  if (!(fragment & 0x1fff)) parseTransport(ptr, network + headerBytes, out);
  return true;
}

function parseIpv6(ptr: u32, network: u32, bytes: u32, out: FrameInfo): bool {
  if (bytes - network < IPV6_BYTES) return false;
  const ip = ptr + network;
  if (load<u8>(ip) >> 4 != 6) return false;
  out.flags |= FRAME_IPV6;
  setEnd(out, network, IPV6_BYTES + load16(ip + 4), bytes);
  let next: u32 = load<u8>(ip, 6);
  let at = network + IPV6_BYTES;
  for (let headers: u32 = 0; isExtension(next); headers++) {
    out.flags |= FRAME_OPTIONS;
    out.protocol = next;
    if (headers == MAX_EXTENSION_HEADERS || out.end - at < 8) return true;
    const header = ptr + at;
    const headerBytes = extensionBytes(header, next);
    if (headerBytes > out.end - at) return true;
    if (next == IPV6_FRAGMENT) {
      out.flags |= FRAME_FRAGMENT;
      if (load16(header + 2) & 0xfff8) {
        out.protocol = load<u8>(header);
        return true;
      }
    } else if (next == IPV6_ROUTING) {
      parseRouting(ptr, at, headerBytes, out);
    } else if (next == DESTINATION_OPTIONS) {
      parseOptions(ptr, at, headerBytes, out);
    }
    next = load<u8>(header);
    at += headerBytes;
  }
  out.protocol = next;
  parseTransport(ptr, at, out);
  return true;
}

@inline
function isExtension(next: u32): bool {
  return (
    next == HOP_BY_HOP ||
    next == IPV6_ROUTING ||
    next == IPV6_FRAGMENT ||
    next == DESTINATION_OPTIONS ||
    next == IPPROTO_AH
  );
}

/** The length of an extension header; an authentication header counts in words, the others in double words. */
@inline
function extensionBytes(header: u32, kind: u32): u32 {
  if (kind == IPV6_FRAGMENT) return 8;
  const units: u32 = load<u8>(header, 1);
  return kind == IPPROTO_AH ? (units + 2) << 2 : (units + 1) << 3;
}

/** RFC 6275, 6.4: a routing header of type 2 has one address, the destination that is meant. */
function parseRouting(ptr: u32, at: u32, headerBytes: u32, out: FrameInfo): void {
  const left: u32 = load<u8>(ptr + at, 3);
  if (load<u8>(ptr + at, 2) == ROUTING_TYPE_2 && left == 1 && headerBytes == 8 + IPV6_ADDRESS_BYTES) {
    out.routeAddress = at + 8;
  } else if (left) {
    out.flags |= FRAME_ROUTED;
  }
}

/** RFC 6275, 6.3: looks for the home address among destination options. */
function parseOptions(ptr: u32, at: u32, headerBytes: u32, out: FrameInfo): void {
  const end = at + headerBytes;
  at += 2;
  for (let options: u32 = 0; options < MAX_OPTIONS && at < end; options++) {
    const type: u32 = load<u8>(ptr + at);
    if (type == OPTION_PAD1) {
      at++;
      continue;
    }
    if (end - at < 2) return;
    const bytes: u32 = load<u8>(ptr + at, 1);
    if (bytes > end - at - 2) return;
    if (type == OPTION_HOME_ADDRESS && bytes == IPV6_ADDRESS_BYTES) out.homeAddress = at + 2;
    at += 2 + bytes;
  }
}

@inline
function setEnd(out: FrameInfo, network: u32, packetBytes: u32, bytes: u32): void {
  if (packetBytes <= bytes - network) out.end = network + packetBytes;
  else out.flags |= FRAME_CUT;
}

/** `at` is not above `out.end`. */
function parseTransport(ptr: u32, at: u32, out: FrameInfo): void {
  const left = out.end - at;
  if (out.protocol == IPPROTO_TCP) {
    if (left < TCP_BYTES) return;
    const headerBytes: u32 = (load<u8>(ptr + at, 12) >> 4) << 2;
    if (headerBytes < TCP_BYTES || headerBytes > left) return;
    out.flags |= FRAME_TCP;
    out.transport = at;
    out.payload = at + headerBytes;
  } else if (out.protocol == IPPROTO_UDP) {
    if (left < UDP_BYTES) return;
    out.flags |= FRAME_UDP;
    out.transport = at;
    out.payload = at + UDP_BYTES;
  }
}

/**
 * Finds the frame that the frame at `ptr`, parsed into `outer`, carries over UDP: VXLAN or Geneve by their
 * ports. What carries it, or TUNNEL_NONE; then `inner` says nothing.
 */
export function parseTunnel(ptr: u32, outer: FrameInfo, inner: FrameInfo): u32 {
  if ((outer.flags & (FRAME_UDP | FRAME_FRAGMENT)) != FRAME_UDP) return TUNNEL_NONE;
  const header = ptr + outer.payload;
  const left = outer.end - outer.payload;
  const port = load16(ptr + outer.transport + 2);
  if (port == VXLAN_PORT) {
    // RFC 7348, 5: the flag says that the network identifier is valid.
    if (left < VXLAN_BYTES || !(load<u8>(header) & 8)) return TUNNEL_NONE;
    const carried = parseEthernet(ptr, outer.payload + VXLAN_BYTES, outer.end, inner);
    return carried ? TUNNEL_VXLAN : TUNNEL_NONE;
  }
  if (port != GENEVE_PORT || left < GENEVE_BYTES) return TUNNEL_NONE;
  // RFC 8926, 3.4: version 0, the length of the options in words, then what is carried.
  const first: u32 = load<u8>(header);
  const headerBytes = GENEVE_BYTES + ((first & 0x3f) << 2);
  if (first >> 6 || headerBytes > left) return TUNNEL_NONE;
  const type = load16(header + 2);
  const at = outer.payload + headerBytes;
  const carried =
    type == ETHERTYPE_TRANSPARENT_BRIDGING
      ? parseEthernet(ptr, at, outer.end, inner)
      : parseNetwork(ptr, at, outer.end, type, inner);
  return carried ? TUNNEL_GENEVE : TUNNEL_NONE;
}
