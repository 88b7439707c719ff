// The Internet checksum (RFC 1071): summing, completing what a driver left partial, and checking.
//
// Sums are of little-endian words, as bytes lie in memory: one's complement addition does not mind the
// order, so a folded sum is stored as it is. A sum is a u64 that is folded once, at the end.

import {
  CHECKSUM_INVALID,
  CHECKSUM_NONE,
  CHECKSUM_VALID,
  FRAME_CUT,
  FRAME_FRAGMENT,
  FRAME_IPV4,
  FRAME_ROUTED,
  FRAME_TCP,
  FRAME_UDP,
  NET_E_CSUM_RANGE,
  OK,
} from "../abi";
import { FrameInfo } from "./parse";
import {
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPV6_ADDRESS_BYTES,
  load16,
  swap16,
  TCP_CHECKSUM,
  UDP_BYTES,
  UDP_CHECKSUM,
} from "./protocols";
import { checksumAdd } from "./sum";

/** The 16 bits of a sum; not inverted. */
export function checksumFold(sum: u64): u32 {
  // Two halves added to each other both ways round: the upper one gets the carry of the lower one.
  const half = <u32>((sum + rotl<u64>(sum, 32)) >> 32);
  return (half + rotl<u32>(half, 16)) >> 16;
}

/** What a checksum field holds for a sum. */
@inline
export function checksumOf(sum: u64): u32 {
  return checksumFold(sum) ^ 0xffff;
}

/** Adds to a sum over an odd number of bytes the `bytes` at `ptr` that follow them. */
export function checksumAddOdd(sum: u64, ptr: u32, bytes: u32): u64 {
  return sum + ((<u64>checksumFold(checksumAdd(0, ptr, bytes))) << 8);
}

/**
 * Completes a checksum as a header with NEEDS_CSUM asks (5.1.9.2.1): the field at `start + offset` is seeded,
 * and the sum goes from `start` to the end. OK, or NET_E_CSUM_RANGE, and then nothing was written.
 */
export function checksumComplete(ptr: u32, bytes: u32, start: u32, offset: u32): u32 {
  if (bytes < 2 || start > bytes - 2 || offset > bytes - 2 - start) return NET_E_CSUM_RANGE;
  const sum = checksumOf(checksumAdd(0, ptr + start, bytes - start));
  store<u16>(ptr + start + offset, unlessZero(sum));
  return OK;
}

/** UDP says by 0 that there is no checksum, and both forms of zero mean the same in a sum (RFC 768). */
@inline
export function unlessZero(checksum: u32): u32 {
  return checksum ? checksum : 0xffff;
}

/** The sum of the pseudo-header before `transportBytes` of TCP or UDP (RFC 9293, 3.1; RFC 8200, 8.1). */
export function pseudoHeaderSum(ptr: u32, info: FrameInfo, transportBytes: u32): u64 {
  const protocol = info.flags & FRAME_TCP ? IPPROTO_TCP : IPPROTO_UDP;
  // A length above 16 bits has a second word in the pseudo-header of IPv6.
  const seed: u64 = (protocol << 8) + swap16(transportBytes & 0xffff) + swap16(transportBytes >> 16);
  const ip = ptr + info.network;
  if (info.flags & FRAME_IPV4) return checksumAdd(seed, ip + 12, 8);
  const source = info.homeAddress ? ptr + info.homeAddress : ip + 8;
  const destination = info.routeAddress ? ptr + info.routeAddress : ip + 24;
  return checksumAdd(checksumAdd(seed, source, IPV6_ADDRESS_BYTES), destination, IPV6_ADDRESS_BYTES);
}

/** Where the checksum lies in the transport header of a parsed TCP or UDP packet: csum_offset. */
@inline
export function checksumOffset(info: FrameInfo): u32 {
  return info.flags & FRAME_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
}

/**
 * Seeds the transport checksum of the frame at `ptr` with the sum of the pseudo-header, for somebody else to
 * complete: csum_start is then `info.transport`. False when there is nothing to seed (as CHECKSUM_NONE).
 */
export function checksumSeed(ptr: u32, info: FrameInfo): bool {
  if (!hasChecksum(info)) return false;
  const sum = checksumFold(pseudoHeaderSum(ptr, info, info.end - info.transport));
  store<u16>(ptr + info.transport + checksumOffset(info), sum);
  return true;
}

/** Whether a whole TCP or UDP packet is there, with a destination that is known. */
@inline
function hasChecksum(info: FrameInfo): bool {
  return info.transport != 0 && !(info.flags & (FRAME_FRAGMENT | FRAME_CUT | FRAME_ROUTED));
}

/** Checks the checksums of a parsed frame, that of IPv4 and that of TCP or UDP: CHECKSUM_*. */
export function checksumVerify(ptr: u32, info: FrameInfo): u32 {
  const isIpv4 = (info.flags & FRAME_IPV4) != 0;
  if (isIpv4 && !ipv4HeaderValid(ptr + info.network)) return CHECKSUM_INVALID;
  if (!hasChecksum(info)) return CHECKSUM_NONE;
  const header = ptr + info.transport;
  let bytes = info.end - info.transport;
  if (info.flags & FRAME_UDP) {
    const udpBytes = load16(header + 4);
    if (udpBytes < UDP_BYTES || udpBytes > bytes) return CHECKSUM_INVALID;
    // RFC 8200, 8.1: over IPv6 a checksum of zero is an error.
    if (!load<u16>(header, UDP_CHECKSUM)) return isIpv4 ? CHECKSUM_NONE : CHECKSUM_INVALID;
    bytes = udpBytes;
  }
  const sum = checksumAdd(pseudoHeaderSum(ptr, info, bytes), header, bytes);
  return checksumFold(sum) == 0xffff ? CHECKSUM_VALID : CHECKSUM_INVALID;
}

/** Whether the IPv4 header at `ip`, whose length was checked, sums up. */
@inline
export function ipv4HeaderValid(ip: u32): bool {
  return checksumFold(checksumAdd(0, ip, (<u32>load<u8>(ip) & 15) << 2)) == 0xffff;
}
