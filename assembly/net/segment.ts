// Segmentation of TCP and UDP as Linux's software does it (GSO), byte for byte: lengths and checksums of
// each segment are its own; identifications count up, unless the frame's is fixed; sequence numbers go on;
// FIN and PSH come with the last segment, CWR with the first.

import { FRAME_IPV4, FRAME_TCP } from "../abi";
import { checksumOf, unlessZero } from "./checksum";
import { fragmentNext } from "./fragment";
import { FrameInfo } from "./parse";
import {
  IPV6_BYTES,
  store16,
  swap16,
  TCP_CHECKSUM,
  TCP_FLAG_CWR,
  TCP_FLAG_FIN,
  TCP_FLAG_PSH,
  UDP_CHECKSUM,
} from "./protocols";
import { headersOf, packetOf, Segmenter, tunnelOf } from "./segmenter";
import { checksumAdd, checksumCopy } from "./sum";

/**
 * Writes up to `count` segments, the first at `to` and each `stride` bytes after the one before, and their lengths
 * as u32 to `lengths`. How many; fewer than `count` when there are no more. `stride` is at least `segmentBytes`.
 */
export function segmentBurst(segmenter: Segmenter, to: u32, stride: u32, lengths: u32, count: u32): u32 {
  let written: u32 = 0;
  for (; written < count; written++) {
    const bytes = segmentNext(segmenter, to);
    if (!bytes) break;
    store<u32>(lengths + (written << 2), bytes);
    to += stride;
  }
  return written;
}

/** Writes the next segment to `to`, where there is room for `segmentBytes`: its length, or 0 when all are written. */
export function segmentNext(segmenter: Segmenter, to: u32): u32 {
  if (!segmenter.payloadBytes) return 0;
  if (segmenter.isFragments) return fragmentNext(segmenter, to);
  const packet = packetOf(segmenter);
  const headerBytes = segmenter.headerBytes;
  const payloadBytes = min(segmenter.size, segmenter.payloadBytes);
  const bytes = headerBytes + payloadBytes;
  copyHeaders(to, headersOf(segmenter), headerBytes);
  const sum = checksumCopy(0, to + headerBytes, segmenter.payload, payloadBytes);
  segmenter.payload += payloadBytes;
  segmenter.payloadBytes -= payloadBytes;

  writeNetwork(
    to + packet.network,
    packet,
    bytes - packet.network,
    segmenter.networkSum,
    idOf(segmenter, segmenter.id),
  );
  writeTransport(segmenter, to + packet.transport, packet, bytes - packet.transport, sum);
  if (segmenter.isTunnel) writeTunnel(segmenter, to, bytes, sum);
  segmenter.done++;
  return bytes;
}

/** Whole vectors, the last of which overlaps the one before: headers have more than 16 bytes. */
@inline
export function copyHeaders(to: u32, from: u32, bytes: u32): void {
  const last = bytes - 16;
  for (let at: u32 = 0; at < last; at += 16) v128.store(to + at, v128.load(from + at));
  v128.store(to + last, v128.load(from + last));
}

@inline
function idOf(segmenter: Segmenter, first: u32): u32 {
  return segmenter.fixedId ? first : (first + segmenter.done) & 0xffff;
}

/** The fields of a network header that differ between segments; `sum` is of the others. */
@inline
export function writeNetwork(ip: u32, info: FrameInfo, bytes: u32, sum: u32, id: u32): void {
  if (info.flags & FRAME_IPV4) {
    const bytesWord = swap16(bytes);
    const idWord = swap16(id);
    store<u16>(ip, bytesWord, 2);
    store<u16>(ip, idWord, 4);
    store<u16>(ip, checksumOf(sum + bytesWord + idWord), 10);
  } else {
    store16(ip + 4, bytes - IPV6_BYTES);
  }
}

/** The fields of a transport header that differ; `sum` is of the payload. */
@inline
function writeTransport(segmenter: Segmenter, header: u32, packet: FrameInfo, bytes: u32, sum: u64): void {
  sum += segmenter.transportSum + swap16(bytes);
  if (packet.flags & FRAME_TCP) {
    const sequence = bswap<u32>(segmenter.sequence);
    let flags = segmenter.tcpFlags;
    if (segmenter.payloadBytes) flags &= ~(TCP_FLAG_FIN | TCP_FLAG_PSH);
    if (segmenter.done) flags &= ~TCP_FLAG_CWR;
    const flagsWord = swap16(flags);
    store<u32>(header, sequence, 4);
    store<u16>(header, flagsWord, 12);
    store<u16>(header, checksumOf(sum + sequence + flagsWord), TCP_CHECKSUM);
    segmenter.sequence += segmenter.size;
  } else {
    const bytesWord = swap16(bytes);
    store<u16>(header, bytesWord, 4);
    store<u16>(header, unlessZero(checksumOf(sum + bytesWord)), UDP_CHECKSUM);
  }
}

/** The headers around the packet: its checksum is there already, so that the outer one can cover it. */
function writeTunnel(segmenter: Segmenter, to: u32, bytes: u32, sum: u64): void {
  const tunnel = tunnelOf(segmenter);
  const transport = to + tunnel.transport;
  const transportBytes = bytes - tunnel.transport;
  const id = idOf(segmenter, segmenter.outerId);
  writeNetwork(to + tunnel.network, tunnel, bytes - tunnel.network, segmenter.outerNetworkSum, id);
  store16(transport + 4, transportBytes);
  if (!segmenter.outerCsum) return;
  // The seed has the length of the whole frame in it, which goes out, and that of the segment comes in.
  const outer = checksumAdd(sum, transport, segmenter.headerBytes - tunnel.transport);
  const lengths = swap16(transportBytes) + segmenter.outerLength;
  store<u16>(transport, unlessZero(checksumOf(outer + lengths)), UDP_CHECKSUM);
}
