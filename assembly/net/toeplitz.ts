// The Toeplitz hash of receive-side scaling: for every 1 in the input, the 32 bits of the key that start
// at that bit are xored. A prepared table has the xors for each byte of the input at each position:
//
//   table[position][byte], a u32 each: 36 positions, as IPv6 addresses and ports have, of 1024 bytes

import {
  FRAME_FRAGMENT,
  FRAME_IPV4,
  FRAME_IPV6,
  FRAME_OPTIONS,
  FRAME_TCP,
  FRAME_UDP,
  TOEPLITZ_INPUT_BYTES,
} from "../abi";
import {
  VIRTIO_NET_HASH_REPORT_NONE,
  VIRTIO_NET_HASH_TYPE_IP_EX,
  VIRTIO_NET_HASH_TYPE_IPv4,
  VIRTIO_NET_HASH_TYPE_IPv6,
  VIRTIO_NET_HASH_TYPE_TCP_EX,
  VIRTIO_NET_HASH_TYPE_TCPv4,
  VIRTIO_NET_HASH_TYPE_TCPv6,
  VIRTIO_NET_HASH_TYPE_UDP_EX,
  VIRTIO_NET_HASH_TYPE_UDPv4,
  VIRTIO_NET_HASH_TYPE_UDPv6,
} from "../spec";
import { FrameInfo } from "./parse";
import { IPV6_ADDRESS_BYTES } from "./protocols";

/** A position's part of the table, as a shift. */
const POSITION: u32 = 10;

/** Prepares the table for a key; the bits after a key's end are 0. */
export function toeplitzPrepare(key: u32, keyBytes: u32, table: u32): void {
  for (let at: u32 = 0; at < TOEPLITZ_INPUT_BYTES; at++) {
    // The key's bits from here on: 32 and the 7 that the later bits of a byte reach.
    let window: u64 = 0;
    for (let i: u32 = at; i < at + 5; i++) window = (window << 8) | (i < keyBytes ? load<u8>(key + i) : 0);
    const part = table + (at << POSITION);
    store<u32>(part, 0);
    for (let byte: u32 = 1; byte < 256; byte++) {
      const rest = load<u32>(part + ((byte & (byte - 1)) << 2));
      store<u32>(part + (byte << 2), rest ^ <u32>(window >> (1 + ctz(byte))));
    }
  }
}

/** The hash of `bytes` of input, at most TOEPLITZ_INPUT_BYTES. */
export function toeplitzHash(table: u32, input: u32, bytes: u32): u32 {
  return toeplitzPart(table, 0, input, bytes);
}

/** The part of a hash that the bytes at `input` have, when they stand at `position` of what is hashed. */
@inline
function toeplitzPart(table: u32, position: u32, input: u32, bytes: u32): u32 {
  let part = table + (position << POSITION);
  let hash: u32 = 0;
  const end = input + bytes;
  for (; end - input >= 4; input += 4) {
    const word = load<u32>(input);
    hash ^= load<u32>(part + ((word & 0xff) << 2));
    hash ^= load<u32>(part + (((word >> 8) & 0xff) << 2), 1 << POSITION);
    hash ^= load<u32>(part + (((word >> 16) & 0xff) << 2), 2 << POSITION);
    hash ^= load<u32>(part + ((word >> 24) << 2), 3 << POSITION);
    part += 4 << POSITION;
  }
  for (; input < end; input++) {
    hash ^= load<u32>(part + ((<u32>load<u8>(input)) << 2));
    part += 1 << POSITION;
  }
  return hash;
}

/**
 * Hashes a parsed frame by the first of the enabled `types` (VIRTIO_NET_HASH_TYPE_*) that it has (5.1.9.4.3):
 * what the header reports in the high half, the value in the low half; 0 when no type fits.
 */
export function hashFrame(ptr: u32, info: FrameInfo, types: u32, table: u32): u64 {
  const type = hashType(info, types);
  if (!type) return VIRTIO_NET_HASH_REPORT_NONE;
  const ip = ptr + info.network;
  let bytes: u32 = 8;
  let hash: u32;
  if (info.flags & FRAME_IPV4) {
    hash = toeplitzPart(table, 0, ip + 12, bytes);
  } else {
    const isEx =
      type & (VIRTIO_NET_HASH_TYPE_IP_EX | VIRTIO_NET_HASH_TYPE_TCP_EX | VIRTIO_NET_HASH_TYPE_UDP_EX);
    const source = isEx && info.homeAddress ? ptr + info.homeAddress : ip + 8;
    const destination = isEx && info.routeAddress ? ptr + info.routeAddress : ip + 24;
    hash = toeplitzPart(table, 0, source, IPV6_ADDRESS_BYTES);
    hash ^= toeplitzPart(table, IPV6_ADDRESS_BYTES, destination, IPV6_ADDRESS_BYTES);
    bytes = 2 * IPV6_ADDRESS_BYTES;
  }
  const isIp = type & (VIRTIO_NET_HASH_TYPE_IPv4 | VIRTIO_NET_HASH_TYPE_IPv6 | VIRTIO_NET_HASH_TYPE_IP_EX);
  if (!isIp) hash ^= toeplitzPart(table, bytes, ptr + info.transport, 4);
  return ((<u64>ctz(type) + 1) << 32) | hash;
}

/** TCP before UDP before IP. A fragment has no ports: all of a packet's must come to the same queue. */
function hashType(info: FrameInfo, types: u32): u32 {
  const hasPorts = info.transport != 0 && !(info.flags & FRAME_FRAGMENT);
  const isTcp = hasPorts && (info.flags & FRAME_TCP) != 0;
  const isUdp = hasPorts && (info.flags & FRAME_UDP) != 0;
  if (info.flags & FRAME_IPV4) {
    if (isTcp && types & VIRTIO_NET_HASH_TYPE_TCPv4) return VIRTIO_NET_HASH_TYPE_TCPv4;
    if (isUdp && types & VIRTIO_NET_HASH_TYPE_UDPv4) return VIRTIO_NET_HASH_TYPE_UDPv4;
    return types & VIRTIO_NET_HASH_TYPE_IPv4;
  }
  if (!(info.flags & FRAME_IPV6)) return 0;
  if (info.flags & FRAME_OPTIONS) {
    if (isTcp && types & VIRTIO_NET_HASH_TYPE_TCP_EX) return VIRTIO_NET_HASH_TYPE_TCP_EX;
    if (isUdp && types & VIRTIO_NET_HASH_TYPE_UDP_EX) return VIRTIO_NET_HASH_TYPE_UDP_EX;
    if (types & VIRTIO_NET_HASH_TYPE_IP_EX) return VIRTIO_NET_HASH_TYPE_IP_EX;
  }
  if (isTcp && types & VIRTIO_NET_HASH_TYPE_TCPv6) return VIRTIO_NET_HASH_TYPE_TCPv6;
  if (isUdp && types & VIRTIO_NET_HASH_TYPE_UDPv6) return VIRTIO_NET_HASH_TYPE_UDPv6;
  return types & VIRTIO_NET_HASH_TYPE_IPv6;
}
