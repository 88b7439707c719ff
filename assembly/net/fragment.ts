// IP fragmentation of a UDP packet (UFO): the checksum is that of the whole packet, and each fragment has
// a part of it, in units of 8 bytes. All have one identification.

import { FRAME_IPV4 } from "../abi";
import { checksumOf, unlessZero } from "./checksum";
import {
  IPV4_MORE_FRAGMENTS,
  IPV6_BYTES,
  IPV6_FRAGMENT,
  store16,
  store32,
  swap16,
  UDP_BYTES,
  UDP_CHECKSUM,
} from "./protocols";
import { headersOf, packetOf, Segmenter } from "./segmenter";
import { checksumAdd } from "./sum";

/** Writes the next fragment to `to`, and counts it; there is one. */
export function fragmentNext(segmenter: Segmenter, to: u32): u32 {
  const packet = packetOf(segmenter);
  const headers = headersOf(segmenter);
  const headerBytes = segmenter.headerBytes;
  const payloadBytes = min(segmenter.size, segmenter.payloadBytes);
  const more = segmenter.payloadBytes > payloadBytes;
  memory.copy(to, headers, packet.transport);
  memory.copy(to + headerBytes, segmenter.payload, payloadBytes);
  if (!segmenter.done) writeUdpHeader(segmenter, headers + packet.transport, to + headerBytes);

  const offset = segmenter.done * segmenter.size;
  const ip = to + packet.network;
  if (packet.flags & FRAME_IPV4) {
    const flags = (offset >> 3) | (more ? IPV4_MORE_FRAGMENTS : 0);
    writeIpv4(segmenter, ip, headerBytes + payloadBytes - packet.network, flags);
  } else {
    store16(ip + 4, headerBytes + payloadBytes - packet.network - IPV6_BYTES);
    writeFragmentHeader(ip, to + packet.transport, offset | (more ? 1 : 0), segmenter.fragmentId);
  }
  segmenter.payload += payloadBytes;
  segmenter.payloadBytes -= payloadBytes;
  segmenter.done++;
  return headerBytes + payloadBytes;
}

/** UDP's header from the private copy, completed over the packet, of which the first fragment isn't the whole. */
function writeUdpHeader(segmenter: Segmenter, header: u32, to: u32): void {
  const sum = checksumAdd(0, segmenter.payload + UDP_BYTES, segmenter.payloadBytes - UDP_BYTES);
  store<u64>(to, load<u64>(header));
  store<u16>(to, unlessZero(checksumOf(checksumAdd(sum, header, UDP_BYTES))), UDP_CHECKSUM);
}

/** The length, the word of the fragment's offset, and the checksum that both change. */
@inline
function writeIpv4(segmenter: Segmenter, ip: u32, bytes: u32, flags: u32): void {
  const bytesWord = swap16(bytes);
  const flagsWord = swap16(flags);
  const idWord = swap16(segmenter.id);
  const before: u32 = load<u16>(ip, 6);
  store<u16>(ip, bytesWord, 2);
  store<u16>(ip, flagsWord, 6);
  store<u16>(ip, checksumOf(segmenter.networkSum + bytesWord + idWord + (before ^ 0xffff) + flagsWord), 10);
}

/** RFC 8200, 4.5: the next header, a reserved byte, the offset with the flag for more, the identification. */
@inline
function writeFragmentHeader(ip: u32, header: u32, offsetAndMore: u32, id: u32): void {
  store<u8>(header, load<u8>(ip, 6));
  store<u8>(ip, IPV6_FRAGMENT, 6);
  store<u8>(header, 0, 1);
  store16(header + 2, offsetAndMore);
  store32(header + 4, id);
}
