/**
 * Flows over the queues of a device: as receive-side scaling does it, with a hash of the headers, so that the packets
 * of one flow stay in one queue and in order. Nothing is seeded; the same frame goes to the same queue everywhere.
 */

/** How many queue pairs flows can be spread over: as many as the low bits of a hash select. */
export const QUEUE_COUNTS: readonly number[] = [1, 2, 4, 8];

/** The key that the vendors' verification suite for the Toeplitz hash uses. */
const KEY = Uint8Array.of(
  ...[0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0],
  ...[0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c],
  ...[0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa],
);

const ETHERNET_BYTES = 14;
const VLAN_BYTES = 4;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const VLAN_TAGS = [0x8100, 0x88a8];

/** Protocols whose first four bytes are the ports: TCP, UDP, DCCP, SCTP, UDP-Lite. */
const WITH_PORTS = [6, 17, 33, 132, 136];
const PORTS_BYTES = 4;

/** Headers of IPv6 that stand before the protocol's: hop-by-hop, routing, destination options; and fragment. */
const IPV6_OPTIONS = [0, 43, 60];
const IPV6_FRAGMENT = 44;

/**
 * The queue, below `queues` (a power of two), that a frame belongs to: by addresses, protocol and ports; without ports
 * where there are none; by addresses only in a fragment, because only the first one has the ports; 0 for what isn't IP
 * or is cut within the IP header. The two directions of a connection are two flows.
 */
export function queueOf(frame: Uint8Array, queues: number): number {
  const fields = flowFields(frame);
  return fields === null ? 0 : toeplitz(fields) & (queues - 1);
}

/**
 * The Toeplitz hash, 32 bits: the key's bits from bit i on, for every bit i of the input that is set, added without
 * carry. An input longer than the key starts over in it.
 */
export function toeplitz(input: Uint8Array): number {
  let hash = 0;
  let window = new DataView(KEY.buffer).getUint32(0);
  for (let bit = 0; bit < 8 * input.length; bit++) {
    if (input[bit >> 3] & (0x80 >> (bit & 7))) hash ^= window;
    const next = (bit + 32) % (8 * KEY.length);
    window = (window << 1) | ((KEY[next >> 3] >> (7 - (next & 7))) & 1);
  }
  return hash >>> 0;
}

/** What of a frame's headers is hashed, or null when it isn't IP. */
function flowFields(frame: Uint8Array): Uint8Array | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  let at = ETHERNET_BYTES;
  // A tag stands where the type was, and the type behind it.
  while (at <= frame.length && VLAN_TAGS.includes(view.getUint16(at - 2))) at += VLAN_BYTES;
  if (at > frame.length) return null;
  const type = view.getUint16(at - 2);
  if (type === ETHERTYPE_IPV4) return ipv4Fields(frame, view, at);
  return type === ETHERTYPE_IPV6 ? ipv6Fields(frame, view, at) : null;
}

function ipv4Fields(frame: Uint8Array, view: DataView, at: number): Uint8Array | null {
  if (at + 20 > frame.length) return null;
  const headerBytes = 4 * (frame[at] & 15);
  const packetEnd = packetEndAt(frame, at, view.getUint16(at + 2));
  const addresses = frame.subarray(at + 12, at + 20);
  // More fragments, or an offset (RFC 791, 3.1).
  if (view.getUint16(at + 6) & 0x3fff) return addresses;
  return withProtocol(frame.subarray(0, packetEnd), addresses, frame[at + 9], at + headerBytes);
}

function ipv6Fields(frame: Uint8Array, view: DataView, at: number): Uint8Array | null {
  if (at + 40 > frame.length) return null;
  const packetEnd = packetEndAt(frame, at + 40, view.getUint16(at + 4));
  const addresses = frame.subarray(at + 8, at + 40);
  let protocol = frame[at + 6];
  let next = at + 40;
  while (next + 8 <= packetEnd) {
    if (protocol === IPV6_FRAGMENT) {
      // An offset, or more fragments (RFC 8200, 4.5); with neither it is the whole packet.
      if (view.getUint16(next + 2) & 0xfff9) return addresses;
      protocol = frame[next];
      next += 8;
    } else if (IPV6_OPTIONS.includes(protocol)) {
      protocol = frame[next];
      next += 8 + 8 * frame[next + 1];
    } else break;
  }
  return withProtocol(frame.subarray(0, packetEnd), addresses, protocol, next);
}

/** Padding may follow a short packet. A length of 0 is that of a segment whose bytes don't fit the field. */
function packetEndAt(frame: Uint8Array, from: number, bytes: number): number {
  return bytes === 0 ? frame.length : Math.min(from + bytes, frame.length);
}

/** Addresses, ports if the packet has them, and protocol: the order of the verification suite, and ours behind it. */
function withProtocol(
  packet: Uint8Array,
  addresses: Uint8Array,
  protocol: number,
  transport: number,
): Uint8Array {
  const hasPorts = WITH_PORTS.includes(protocol) && transport + PORTS_BYTES <= packet.length;
  const ports = hasPorts ? packet.subarray(transport, transport + PORTS_BYTES) : [];
  return Uint8Array.of(...addresses, ...ports, protocol);
}
