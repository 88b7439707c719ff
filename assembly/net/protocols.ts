// Names and numbers of the protocols in a frame, and loads in network order.

// IEEE 802.3, 802.1Q, 802.1ad, and Ethernet types
export const ETHERNET_BYTES: u32 = 14;
export const VLAN_TAG_BYTES: u32 = 4;
export const ETHERTYPE_IPV4: u32 = 0x0800;
export const ETHERTYPE_TRANSPARENT_BRIDGING: u32 = 0x6558;
export const ETHERTYPE_VLAN: u32 = 0x8100;
export const ETHERTYPE_IPV6: u32 = 0x86dd;
export const ETHERTYPE_QINQ: u32 = 0x88a8;

// RFC 791, RFC 8200, and protocol numbers
export const IPV4_BYTES: u32 = 20;
export const IPV6_BYTES: u32 = 40;
export const IPV6_ADDRESS_BYTES: u32 = 16;
export const IPV6_FRAGMENT_BYTES: u32 = 8;
/** What the 16-bit length of an IPv4 packet can say. */
export const MAX_PACKET_BYTES: u32 = 65535;
/** More fragments: a flag in the word of the fragment offset. */
export const IPV4_MORE_FRAGMENTS: u32 = 0x2000;
export const IPV4_DONT_FRAGMENT: u32 = 0x4000;
export const IPPROTO_ICMP: u32 = 1;
export const IPPROTO_TCP: u32 = 6;
export const IPPROTO_UDP: u32 = 17;
export const IPPROTO_AH: u32 = 51;
export const IPPROTO_ICMPV6: u32 = 58;
export const IPPROTO_SCTP: u32 = 132;
export const HOP_BY_HOP: u32 = 0;
export const IPV6_ROUTING: u32 = 43;
export const IPV6_FRAGMENT: u32 = 44;
export const DESTINATION_OPTIONS: u32 = 60;
export const OPTION_PAD1: u32 = 0;
/** RFC 6275, 6.3 and 6.4 */
export const OPTION_HOME_ADDRESS: u32 = 0xc9;
export const ROUTING_TYPE_2: u32 = 2;

// RFC 792 and RFC 4443, RFC 9260
export const ICMP_BYTES: u32 = 8;
export const SCTP_BYTES: u32 = 12;

// RFC 9293, RFC 768
export const TCP_BYTES: u32 = 20;
export const UDP_BYTES: u32 = 8;
export const TCP_CHECKSUM: u32 = 16;
export const UDP_CHECKSUM: u32 = 6;
export const TCP_FLAG_FIN: u32 = 1;
export const TCP_FLAG_SYN: u32 = 2;
export const TCP_FLAG_RST: u32 = 4;
export const TCP_FLAG_PSH: u32 = 8;
export const TCP_FLAG_ACK: u32 = 16;
export const TCP_FLAG_URG: u32 = 32;
export const TCP_FLAG_CWR: u32 = 128;

// RFC 7348, RFC 8926
export const VXLAN_PORT: u32 = 4789;
export const VXLAN_BYTES: u32 = 8;
export const GENEVE_PORT: u32 = 6081;
export const GENEVE_BYTES: u32 = 8;

@inline
export function swap16(value: u32): u32 {
  return ((value >> 8) | (value << 8)) & 0xffff;
}

@inline
export function load16(ptr: u32): u32 {
  return swap16(load<u16>(ptr));
}

@inline
export function store16(ptr: u32, value: u32): void {
  store<u16>(ptr, swap16(value));
}

@inline
export function load32(ptr: u32): u32 {
  return bswap<u32>(load<u32>(ptr));
}

@inline
export function store32(ptr: u32, value: u32): void {
  store<u32>(ptr, bswap<u32>(value));
}
