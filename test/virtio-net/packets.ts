/** Frames made and looked at by hand: what the halves do to them is held to this, which shares nothing with them. */
import { macBytes } from "../../src/net-address.ts";

export interface PacketShape {
  version?: 4 | 6;
  protocol?: "tcp" | "udp";
  payload?: number | Uint8Array;
  vlan?: number;
  to?: string;
  from?: string;
  source?: number;
  destination?: number;
  sourcePort?: number;
  destinationPort?: number;
  sequence?: number;
  tcpFlags?: number;
  id?: number;
  /** What stands in the checksum field of the transport header; default: the right one. */
  checksum?: "right" | "wrong" | "seeded" | "none";
}

export interface Headers {
  network: number;
  transport: number;
  payload: number;
  checksumOffset: number;
}

/** One's complement sum of 16-bit words, folded. */
export function sum16(bytes: Uint8Array, from = 0, to = bytes.length, start = 0): number {
  let sum = start;
  for (let at = from; at < to; at += 2) sum += (bytes[at] << 8) | (at + 1 < to ? bytes[at + 1] : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65536);
  return sum;
}

export function headersOf({ version = 4, protocol = "tcp", vlan }: PacketShape): Headers {
  const network = vlan === undefined ? 14 : 18;
  const transport = network + (version === 4 ? 20 : 40);
  return {
    network,
    transport,
    payload: transport + (protocol === "tcp" ? 20 : 8),
    checksumOffset: protocol === "tcp" ? 16 : 6,
  };
}

/** The sum of the pseudo-header of the packet in `frame`. */
export function pseudoSum(frame: Uint8Array, shape: PacketShape): number {
  const { network, transport } = headersOf(shape);
  const addresses = (shape.version ?? 4) === 4 ? [network + 12, network + 20] : [network + 8, network + 40];
  const protocol = (shape.protocol ?? "tcp") === "tcp" ? 6 : 17;
  return sum16(frame, addresses[0], addresses[1], protocol + (frame.length - transport));
}

/** Whether the transport checksum of the packet is right; 0 in UDP over IPv4 doesn't count as such. */
export function checksumIsRight(frame: Uint8Array, shape: PacketShape): boolean {
  return sum16(frame, headersOf(shape).transport, frame.length, pseudoSum(frame, shape)) === 0xffff;
}

/** A TCP or UDP packet over IPv4 or IPv6 in an Ethernet frame. */
export function packet(shape: PacketShape = {}): Uint8Array {
  const { version = 4, protocol = "tcp", vlan, checksum = "right" } = shape;
  const given = shape.payload ?? 100;
  const payload =
    typeof given === "number" ? Uint8Array.from({ length: given }, (_, k) => (k * 31 + 7) & 0xff) : given;
  const { network, transport, payload: at, checksumOffset } = headersOf(shape);
  const frame = new Uint8Array(at + payload.length);
  const view = new DataView(frame.buffer);
  frame.set(macBytes(shape.to ?? "52:54:00:12:34:56"), 0);
  frame.set(macBytes(shape.from ?? "52:54:00:ab:cd:ef"), 6);
  if (vlan !== undefined) {
    view.setUint16(12, 0x8100);
    view.setUint16(14, vlan);
  }
  view.setUint16(network - 2, version === 4 ? 0x0800 : 0x86dd);
  const source = shape.source ?? 1;
  const destination = shape.destination ?? 2;
  if (version === 4) {
    view.setUint8(network, 0x45);
    view.setUint16(network + 2, Math.min(frame.length - network, 65535));
    view.setUint16(network + 4, shape.id ?? 0x1234);
    view.setUint16(network + 6, 0x4000);
    view.setUint8(network + 8, 64);
    view.setUint8(network + 9, protocol === "tcp" ? 6 : 17);
    view.setUint32(network + 12, 0x0a000000 + source);
    view.setUint32(network + 16, 0x0a000000 + destination);
    view.setUint16(network + 10, sum16(frame, network, transport) ^ 0xffff);
  } else {
    view.setUint32(network, 0x60000000);
    view.setUint16(network + 4, frame.length - transport);
    view.setUint8(network + 6, protocol === "tcp" ? 6 : 17);
    view.setUint8(network + 7, 64);
    view.setUint16(network + 8, 0xfd00);
    view.setUint32(network + 20, source);
    view.setUint16(network + 24, 0xfd00);
    view.setUint32(network + 36, destination);
  }
  view.setUint16(transport, shape.sourcePort ?? 40000);
  view.setUint16(transport + 2, shape.destinationPort ?? 80);
  if (protocol === "tcp") {
    view.setUint32(transport + 4, shape.sequence ?? 1000);
    view.setUint32(transport + 8, 1);
    view.setUint8(transport + 12, 0x50);
    view.setUint8(transport + 13, shape.tcpFlags ?? 0x10);
    view.setUint16(transport + 14, 65535);
  } else {
    view.setUint16(transport + 4, frame.length - transport);
  }
  frame.set(payload, at);
  const seed = pseudoSum(frame, shape);
  const right = sum16(frame, transport, frame.length, seed) ^ 0xffff;
  const field = { right: right || 0xffff, wrong: right ^ 0x5555, seeded: seed, none: 0 }[checksum];
  view.setUint16(transport + checksumOffset, field);
  return frame;
}

/** A frame that is neither IPv4 nor IPv6. */
export function otherFrame(bytes = 60, to = "52:54:00:12:34:56", first = 1): Uint8Array {
  const frame = Uint8Array.from({ length: bytes }, (_, k) => (k + first) & 0xff);
  frame.set(macBytes(to), 0);
  frame.set(macBytes("52:54:00:ab:cd:ef"), 6);
  frame.set([0x88, 0xb5], 12);
  return frame;
}
