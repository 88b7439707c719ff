// virtio_net_hdr (5.1.9): one layout, of which a set of features shows the first 12, 20, 24 or 32 bytes.
//
//   0 flags u8 | 1 gso_type u8 | 2 hdr_len | 4 gso_size | 6 csum_start | 8 csum_offset | 10 num_buffers
//   12 hash_value u32 | 16 hash_report | 18 padding
//   20 outer_th_offset | 22 inner_nh_offset
//   24 outer_nh_offset | 26 padding, 6 bytes                            u16 where nothing else is said
//
// A header that a peer wrote is copied once into private memory, in whole, and only looked at there.

import {
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_ECN,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO,
  VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM,
  VIRTIO_NET_F_GUEST_UFO,
  VIRTIO_NET_F_GUEST_USO4,
  VIRTIO_NET_F_GUEST_USO6,
  VIRTIO_NET_F_HASH_REPORT,
  VIRTIO_NET_F_HOST_ECN,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_HOST_TSO6,
  VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO,
  VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM,
  VIRTIO_NET_F_HOST_UFO,
  VIRTIO_NET_F_HOST_USO,
  VIRTIO_NET_F_IPSEC,
  VIRTIO_NET_F_OUT_NET_HEADER,
  VIRTIO_NET_GUEST_OFFLOAD_UDP_TUNNEL_GSO,
  VIRTIO_NET_GUEST_OFFLOAD_UDP_TUNNEL_GSO_CSUM,
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM,
  VIRTIO_NET_HDR_GSO_ECN,
  VIRTIO_NET_HDR_GSO_NONE,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
  VIRTIO_NET_HDR_GSO_UDP,
  VIRTIO_NET_HDR_GSO_UDP_L4,
  VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4,
  VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV6,
  VIRTIO_NET_HDR_MAX_SIZE,
  VIRTIO_NET_HDR_SIZE,
} from "../spec";

/** Both bits of a gso_type that say "in a UDP tunnel". */
export const GSO_TUNNEL: u32 = VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4 | VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV6;
/** What of a gso_type is the kind. */
export const GSO_KIND: u32 = 0x1f;

/** Whether a set of features, in two words of 64 bits, has the bit of this number. */
@inline
export function hasFeature(low: u64, high: u64, bit: u32): bool {
  return (((bit < 64 ? low : high) >> (bit & 63)) & 1) != 0;
}

/** N-B-03: the length of the header in both directions; a field is there as soon as a later one is. */
export function netHeaderBytes(low: u64, high: u64): u32 {
  if (hasFeature(low, high, VIRTIO_NET_F_OUT_NET_HEADER)) return VIRTIO_NET_HDR_MAX_SIZE;
  if (hasFeature(low, high, VIRTIO_NET_F_IPSEC)) return VIRTIO_NET_HDR_MAX_SIZE;
  if (hasFeature(low, high, VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO)) return 24;
  if (hasFeature(low, high, VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO)) return 24;
  if (hasFeature(low, high, VIRTIO_NET_F_HASH_REPORT)) return 20;
  return VIRTIO_NET_HDR_SIZE;
}

/**
 * N-B-07: whether flags and gso_type contradict each other about a tunnel, seen by the device (5.1.9.2.2)
 * or, of what it `received`, by the driver (5.1.9.4.2).
 */
export function tunnelBitsContradict(flags: u32, gsoType: u32, received: bool): bool {
  const tunnel = gsoType & GSO_TUNNEL;
  if (!tunnel) {
    if (!(flags & VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM)) return false;
    return !received || (flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
  }
  if (tunnel == GSO_TUNNEL) return true;
  if (!(flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || flags & VIRTIO_NET_HDR_F_DATA_VALID) return true;
  return (gsoType & GSO_KIND) == VIRTIO_NET_HDR_GSO_NONE;
}

// What a header may ask for is a mask: bit k for the kind of segmentation with the number k, and these above.

/** UDP_L4 over IPv6, which has a feature of its own in the receive direction. */
export const KIND_USO6: u32 = 1 << 8;
/** ECN in a TCP segment. */
export const KIND_ECN: u32 = 1 << 9;
/** In a UDP tunnel, and with a checksum in the outer UDP header. */
export const KIND_TUNNEL: u32 = 1 << 10;
export const KIND_TUNNEL_CSUM: u32 = 1 << 11;
/** What no feature grants. */
const KIND_UNKNOWN: u32 = 1 << 31;

/** What a header asks for by its flags and gso_type; one that asks for nothing has 0. */
export function kindsAsked(flags: u32, gsoType: u32): u32 {
  const kind = gsoType & GSO_KIND;
  const tcp = kind == VIRTIO_NET_HDR_GSO_TCPV4 || kind == VIRTIO_NET_HDR_GSO_TCPV6;
  let asked: u32 = 0;
  if (tcp || kind == VIRTIO_NET_HDR_GSO_UDP || kind == VIRTIO_NET_HDR_GSO_UDP_L4) asked = 1 << kind;
  else if (kind != VIRTIO_NET_HDR_GSO_NONE) asked = KIND_UNKNOWN;
  // 5.1.9.2: ECN says something of TCP only.
  if (gsoType & VIRTIO_NET_HDR_GSO_ECN) asked |= tcp ? KIND_ECN : KIND_UNKNOWN;
  if (gsoType & GSO_TUNNEL) {
    asked |= KIND_TUNNEL;
    if (flags & VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM) asked |= KIND_TUNNEL_CSUM;
  }
  return asked;
}

/** What the driver may ask of the device (5.1.9.2.1). */
export function transmitKinds(low: u64, high: u64): u32 {
  let kinds = granted(low, high, VIRTIO_NET_F_HOST_TSO4, 1 << VIRTIO_NET_HDR_GSO_TCPV4);
  kinds |= granted(low, high, VIRTIO_NET_F_HOST_TSO6, 1 << VIRTIO_NET_HDR_GSO_TCPV6);
  kinds |= granted(low, high, VIRTIO_NET_F_HOST_UFO, 1 << VIRTIO_NET_HDR_GSO_UDP);
  kinds |= granted(low, high, VIRTIO_NET_F_HOST_USO, (1 << VIRTIO_NET_HDR_GSO_UDP_L4) | KIND_USO6);
  kinds |= granted(low, high, VIRTIO_NET_F_HOST_ECN, KIND_ECN);
  kinds |= granted(low, high, VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO, KIND_TUNNEL);
  return kinds | granted(low, high, VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM, KIND_TUNNEL_CSUM);
}

/** What the device may hand to the driver, by a mask of offloads as GUEST_OFFLOADS_SET has it (5.1.9.5.9). */
export function receiveKinds(offloads: u64): u32 {
  let kinds = granted(offloads, 0, VIRTIO_NET_F_GUEST_TSO4, 1 << VIRTIO_NET_HDR_GSO_TCPV4);
  kinds |= granted(offloads, 0, VIRTIO_NET_F_GUEST_TSO6, 1 << VIRTIO_NET_HDR_GSO_TCPV6);
  kinds |= granted(offloads, 0, VIRTIO_NET_F_GUEST_UFO, 1 << VIRTIO_NET_HDR_GSO_UDP);
  kinds |= granted(offloads, 0, VIRTIO_NET_F_GUEST_USO4, 1 << VIRTIO_NET_HDR_GSO_UDP_L4);
  kinds |= granted(offloads, 0, VIRTIO_NET_F_GUEST_USO6, KIND_USO6);
  kinds |= granted(offloads, 0, VIRTIO_NET_F_GUEST_ECN, KIND_ECN);
  kinds |= granted(offloads, 0, VIRTIO_NET_GUEST_OFFLOAD_UDP_TUNNEL_GSO, KIND_TUNNEL);
  return kinds | granted(offloads, 0, VIRTIO_NET_GUEST_OFFLOAD_UDP_TUNNEL_GSO_CSUM, KIND_TUNNEL_CSUM);
}

@inline
function granted(low: u64, high: u64, bit: u32, kinds: u32): u32 {
  return hasFeature(low, high, bit) ? kinds : 0;
}

/** C-B-03: the offloads that negotiated features stand for. */
export function offloadsOf(low: u64, high: u64): u64 {
  let offloads =
    low &
    ((1 << VIRTIO_NET_F_GUEST_CSUM) |
      (1 << VIRTIO_NET_F_GUEST_TSO4) |
      (1 << VIRTIO_NET_F_GUEST_TSO6) |
      (1 << VIRTIO_NET_F_GUEST_ECN) |
      (1 << VIRTIO_NET_F_GUEST_UFO) |
      ((<u64>1) << VIRTIO_NET_F_GUEST_USO4) |
      ((<u64>1) << VIRTIO_NET_F_GUEST_USO6));
  if (hasFeature(low, high, VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO))
    offloads |= (<u64>1) << VIRTIO_NET_GUEST_OFFLOAD_UDP_TUNNEL_GSO;
  if (hasFeature(low, high, VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM))
    offloads |= (<u64>1) << VIRTIO_NET_GUEST_OFFLOAD_UDP_TUNNEL_GSO_CSUM;
  return offloads;
}
