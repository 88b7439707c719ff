import type { RandomGenerator } from "pure-rand/types/RandomGenerator";

/** An Ethernet header and nothing else. */
export const MIN_FRAME_BYTES = 14;
/** The largest frame of a capture with segmentation offload: 14 bytes of Ethernet and 64 KiB of IP. */
export const MAX_FRAME_BYTES = 65_550;

const ETHERNET_BYTES = 14;
const IPV4_BYTES = 20;
const UDP_BYTES = 8;
const MAX_IPV4_BYTES = 65_535;

const ETHERTYPE_IPV4 = 0x0800;
/** For local experiments (IEEE 802): no receiver takes these frames for a protocol. */
const ETHERTYPE_EXPERIMENT = 0x88b5;
const PROTOCOL_UDP = 17;
const TIME_TO_LIVE = 64;

// Locally administered, and the addresses that are set aside for benchmarks (RFC 2544, C.2.2).
const DESTINATION_MAC = [0x02, 0, 0, 0, 0, 0x02];
const SOURCE_MAC = [0x02, 0, 0, 0, 0, 0x01];
const SOURCE_ADDRESS = 0xc612_0001; // 198.18.0.1
const DESTINATION_ADDRESS = 0xc613_0001; // 198.19.0.1
const DESTINATION_PORT = 9; // discard
const FIRST_SOURCE_PORT = 49_152;

/**
 * Makes a frame of `bytes` bytes without FCS: Ethernet, IPv4 and UDP with random payload, or, where those
 * 42 bytes do not fit, Ethernet with random payload. IPv4 ends at 65,535 bytes: a longer frame has the rest
 * as Ethernet padding. The UDP checksum is 0, which IPv4 defines as "none". `id` is the IPv4 identification.
 */
export function makeFrame(bytes: number, id: number, random: RandomGenerator): Uint8Array {
  const frame = new Uint8Array(bytes);
  const view = new DataView(frame.buffer);
  frame.set(DESTINATION_MAC, 0);
  frame.set(SOURCE_MAC, 6);
  if (bytes < ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES) {
    view.setUint16(12, ETHERTYPE_EXPERIMENT);
    fillRandom(view, ETHERNET_BYTES, random);
    return frame;
  }
  view.setUint16(12, ETHERTYPE_IPV4);
  const ipv4Bytes = Math.min(bytes - ETHERNET_BYTES, MAX_IPV4_BYTES);
  const ipv4 = ETHERNET_BYTES;
  view.setUint8(ipv4, 0x45); // version 4, a header of 5 words
  view.setUint16(ipv4 + 2, ipv4Bytes);
  view.setUint16(ipv4 + 4, id);
  view.setUint8(ipv4 + 8, TIME_TO_LIVE);
  view.setUint8(ipv4 + 9, PROTOCOL_UDP);
  view.setUint32(ipv4 + 12, SOURCE_ADDRESS);
  view.setUint32(ipv4 + 16, DESTINATION_ADDRESS);
  view.setUint16(ipv4 + 10, internetChecksum(view, ipv4, IPV4_BYTES));
  const udp = ipv4 + IPV4_BYTES;
  view.setUint16(udp, FIRST_SOURCE_PORT + (random.next() & 0x3fff));
  view.setUint16(udp + 2, DESTINATION_PORT);
  view.setUint16(udp + 4, ipv4Bytes - IPV4_BYTES);
  fillRandom(view, udp + UDP_BYTES, random);
  return frame;
}

/** RFC 1071: the complement of the ones' complement sum of 16-bit words; an even number of bytes. */
function internetChecksum(view: DataView, offset: number, bytes: number): number {
  let sum = 0;
  for (let i = 0; i < bytes; i += 2) {
    sum += view.getUint16(offset + i);
  }
  while (sum > 0xffff) {
    sum = (sum & 0xffff) + (sum >>> 16);
  }
  return ~sum & 0xffff;
}

function fillRandom(view: DataView, from: number, random: RandomGenerator): void {
  let offset = from;
  for (; offset + 4 <= view.byteLength; offset += 4) {
    view.setInt32(offset, random.next());
  }
  for (; offset < view.byteLength; offset++) {
    view.setUint8(offset, random.next() & 0xff);
  }
}
