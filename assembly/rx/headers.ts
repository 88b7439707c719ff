// How much of a frame is headers, as Linux asks before it copies them out of a receive buffer
// (eth_get_headlen): Ethernet with its tags, IPv4 or IPv6, the transport's header; what isn't known ends the
// walk. One number for each packet is all that is wanted here, of frames cut anywhere, so this is not
// net/parse.ts, which finds what the offloads need. Nothing outside of the bytes given is read, whatever
// lengths the headers claim, and every loop is bounded.

import {
  DESTINATION_OPTIONS,
  ETHERNET_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_QINQ,
  ETHERTYPE_VLAN,
  HOP_BY_HOP,
  ICMP_BYTES,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPV4_BYTES,
  IPV6_BYTES,
  IPV6_FRAGMENT,
  IPV6_ROUTING,
  load16,
  SCTP_BYTES,
  TCP_BYTES,
  UDP_BYTES,
  VLAN_TAG_BYTES,
} from "../net/protocols";

const MOST_TAGS: u32 = 2;
const MOST_EXTENSIONS: u32 = 8;
/** IPv6 extension headers come in multiples of this. */
const EXTENSION_BYTES: u32 = 8;

/** Bytes of headers at the front of the frame at `ptr`, of which `bytes` may be read; at most `bytes`. */
export function headersBytes(ptr: u32, bytes: u32): u32 {
  if (bytes < ETHERNET_BYTES) return bytes;
  let at = ETHERNET_BYTES;
  let type = load16(ptr + at - 2);
  for (let tags: u32 = 0; tags < MOST_TAGS && (type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ); tags++) {
    if (at + VLAN_TAG_BYTES > bytes) return at;
    at += VLAN_TAG_BYTES;
    type = load16(ptr + at - 2);
  }
  if (type == ETHERTYPE_IPV4) return ipv4End(ptr, at, bytes);
  if (type == ETHERTYPE_IPV6) return ipv6End(ptr, at, bytes);
  return at;
}

function ipv4End(ptr: u32, at: u32, bytes: u32): u32 {
  if (at + IPV4_BYTES > bytes) return at;
  const length = (<u32>load<u8>(ptr + at) & 15) << 2;
  if (length < IPV4_BYTES || at + length > bytes) return at;
  const transport = at + length;
  // Only the first fragment has the transport's header.
  if (load16(ptr + at + 6) & 0x1fff) return transport;
  return transportEnd(ptr, transport, bytes, load<u8>(ptr + at + 9));
}

function ipv6End(ptr: u32, at: u32, bytes: u32): u32 {
  if (at + IPV6_BYTES > bytes) return at;
  let protocol: u32 = load<u8>(ptr + at + 6);
  at += IPV6_BYTES;
  for (let k: u32 = 0; k < MOST_EXTENSIONS && isExtension(protocol); k++) {
    if (at + EXTENSION_BYTES > bytes) return at;
    const next: u32 = load<u8>(ptr + at);
    let length = EXTENSION_BYTES;
    if (protocol == IPV6_FRAGMENT) {
      if (load16(ptr + at + 2) & 0xfff8) return at + length;
    } else {
      length += (<u32>load<u8>(ptr + at + 1)) << 3;
      if (at + length > bytes) return at;
    }
    at += length;
    protocol = next;
  }
  return transportEnd(ptr, at, bytes, protocol);
}

@inline
function isExtension(protocol: u32): bool {
  return (
    protocol == HOP_BY_HOP ||
    protocol == IPV6_ROUTING ||
    protocol == IPV6_FRAGMENT ||
    protocol == DESTINATION_OPTIONS
  );
}

/** Where the header of the transport ends that starts at `at`. */
function transportEnd(ptr: u32, at: u32, bytes: u32, protocol: u32): u32 {
  let length: u32 = 0;
  if (protocol == IPPROTO_TCP) {
    length = TCP_BYTES;
    if (at + length <= bytes) length = max(length, (<u32>(load<u8>(ptr + at + 12) >> 4)) << 2);
  } else if (protocol == IPPROTO_UDP) length = UDP_BYTES;
  else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) length = ICMP_BYTES;
  else if (protocol == IPPROTO_SCTP) length = SCTP_BYTES;
  return min(at + length, bytes);
}
