// What a host has handed to the wire, until the wire is done with it, which takes a while and happens out of order:
// a packet's head in a buffer of the host's, the rest where the guest has it, in pages that are pinned meanwhile.
//
//              first                             first + count
//   entries | ... | packet | packet | packet | packet | ...     a ring; entry k has buffer k of the host's
//                   open     done     open     open
//
// The wire keeps `holds` packets. With one more it is done with one of the IN_FLIGHT_REORDER that it has had longest,
// drawn by a seeded generator, and reads it only then: a buffer that is given back too early is caught by the digest.
// What is done leaves the ring in order, and with that goes back to the guest: used entries are in order.

import {
  ACCESS_SCATTERED,
  IN_FLIGHT_PAGES,
  IN_FLIGHT_REORDER,
  IOMMU_FAULT,
  PAGE_SIZE,
  SEGMENT,
  TOUCH_COPY,
  TOUCH_DIGEST,
} from "../abi";
import { copyBytes } from "../mem/copy";
import { pin, unpin } from "../mem/pins";
import { xorshift } from "../mem/random";
import { bufferBytePlace, bufferPlace } from "../ring/access";
import { countCpuCopy } from "./copies";
import { countError } from "./host-path";
import { Port, stageRoom, stageUsed } from "./port";
import { wireReadsHosts } from "./wire";

@unmanaged
export class InFlight {
  entries: u32;
  capacity: u32;
  first: u32;
  count: u32;
  /** Entries that the wire is not done with. */
  open: u32;
  /** Entries whose buffers are the guest's to get back. */
  lent: u32;
  /** Packets that the wire keeps. */
  holds: u32;
  /** State of the generator, never 0. */
  generator: u32;
  /** A test's wish: the so-manieth packet from now can't be taken where it is; 0 for none. */
  failIn: u32;
}

// What is known of a packet, and behind it {place, bytes} of each piece that is pinned.
@unmanaged
export class InFlightPacket {
  /** 0 while the wire has it. */
  done: u32;
  /** 1: the buffer goes back when the wire is done, else it has already. */
  lent: u32;
  handle: u32;
  /** Bytes of the frame, and those of them that lie in the host's buffer. */
  bytes: u32;
  head: u32;
  pieces: u32;
}

const ENTRY: u32 = offsetof<InFlightPacket>() + IN_FLIGHT_PAGES * SEGMENT;

/** Bytes of the block and its ring. */
export function inFlightBytes(capacity: u32): u32 {
  return offsetof<InFlight>() + capacity * ENTRY;
}

/** Nothing under way. A wire that keeps `holds` packets takes at least IN_FLIGHT_REORDER entries more. */
export function inFlightInit(at: u32, capacity: u32, holds: u32, generator: u32): void {
  const flight = changetype<InFlight>(at);
  memory.fill(at, 0, offsetof<InFlight>());
  flight.entries = at + offsetof<InFlight>();
  flight.capacity = capacity;
  flight.holds = holds;
  flight.generator = generator;
}

@inline
export function inFlightOf(port: Port): InFlight {
  return changetype<InFlight>(port.host.flight);
}

@inline
function indexAt(flight: InFlight, k: u32): u32 {
  const index = flight.first + k;
  return index < flight.capacity ? index : index - flight.capacity;
}

@inline
function packetAt(flight: InFlight, k: u32): InFlightPacket {
  return changetype<InFlightPacket>(flight.entries + indexAt(flight, k) * ENTRY);
}

/** The entry that is filled next; there is always one, because the wire is done with what is more than it keeps. */
@inline
export function inFlightNext(flight: InFlight): InFlightPacket {
  return packetAt(flight, flight.count);
}

/** Where the host has the packet of an entry: device header, then what was copied of the frame. */
@inline
export function inFlightBuffer(port: Port, packet: InFlightPacket): u32 {
  const host = port.host;
  return host.slots + ((changetype<u32>(packet) - inFlightOf(port).entries) / ENTRY) * host.slotBytes;
}

/** Pins [dma, dma + bytes) of a guest for a packet, whose pages have been counted; false if that fails. */
export function inFlightPin(port: Port, packet: InFlightPacket, dma: u32, bytes: u32): bool {
  const device = changetype<u32>(port.device);
  const place = bufferPlace(device, dma, bytes, false);
  if (place == IOMMU_FAULT) return false;
  if (place != ACCESS_SCATTERED) return pinPiece(port, packet, place, bytes);
  for (let at: u32 = 0; at < bytes; ) {
    const now = min(bytes - at, PAGE_SIZE - ((dma + at) & (PAGE_SIZE - 1)));
    if (!pinPiece(port, packet, bufferBytePlace(device, dma + at, false), now)) return false;
    at += now;
  }
  return true;
}

function pinPiece(port: Port, packet: InFlightPacket, place: u32, bytes: u32): bool {
  if (!pin(port.host.pins, place, bytes)) return false;
  const piece = pieceAt(packet, packet.pieces++);
  store<u32>(piece, place);
  store<u32>(piece, bytes, 4);
  return true;
}

@inline
function pieceAt(packet: InFlightPacket, k: u32): u32 {
  return changetype<u32>(packet) + offsetof<InFlightPacket>() + k * SEGMENT;
}

/** Ends the pins of a packet. */
export function inFlightUnpin(port: Port, packet: InFlightPacket): void {
  for (let k: u32 = 0; k < packet.pieces; k++) {
    const piece = pieceAt(packet, k);
    unpin(port.host.pins, load<u32>(piece), load<u32>(piece, 4));
  }
  packet.pieces = 0;
}

/** The wire has the packet of the entry that `inFlightNext` gave. */
export function inFlightPut(port: Port, packet: InFlightPacket): void {
  const flight = inFlightOf(port);
  port.packets++;
  port.bytes += packet.bytes;
  packet.done = 0;
  flight.count++;
  flight.open++;
  flight.lent += packet.lent;
  while (flight.open > flight.holds) wireIsDone(port, flight);
}

/** With nothing new the wire goes on, until something goes back to the guest or nothing is under way. */
export function inFlightGoesOn(port: Port): void {
  const flight = inFlightOf(port);
  const lent = flight.lent;
  while (flight.open && flight.lent == lent) wireIsDone(port, flight);
}

/** The wire is done with everything. */
export function inFlightFinish(port: Port): void {
  const flight = inFlightOf(port);
  while (flight.open) wireIsDone(port, flight);
}

/** The wire is done with a packet, any of the first few. */
function wireIsDone(port: Port, flight: InFlight): void {
  flight.generator = xorshift(flight.generator);
  let k = flight.generator % min(flight.count, IN_FLIGHT_REORDER);
  // The first is never done: it would have left.
  while (packetAt(flight, k).done) k--;
  const packet = packetAt(flight, k);
  const buffer = inFlightBuffer(port, packet) + port.headerBytes;
  if (packet.pieces && flight.failIn && --flight.failIn == 0) {
    // Who is below can't use the guest's pages: it copies them (skb_orphan_frags), and the packet goes its way.
    gather(packet, buffer + packet.head);
    countCpuCopy(port.host, packet.bytes - packet.head);
    countError(port.host);
    packet.head = packet.bytes;
    inFlightUnpin(port, packet);
  }
  if (port.touch == TOUCH_COPY) {
    copyBytes(port.target, buffer, packet.head);
    gather(packet, port.target + packet.head);
  } else if (port.touch == TOUCH_DIGEST) gather(packet, buffer + packet.head);
  inFlightUnpin(port, packet);
  packet.done = 1;
  flight.open--;
  leave(port, flight);
}

/** Reads what is pinned. */
function gather(packet: InFlightPacket, to: u32): void {
  for (let k: u32 = 0; k < packet.pieces; k++) {
    const piece = pieceAt(packet, k);
    copyBytes(to, load<u32>(piece), load<u32>(piece, 4));
    to += load<u32>(piece, 4);
  }
}

/** What is done leaves, in order. */
function leave(port: Port, flight: InFlight): void {
  while (flight.count) {
    const packet = packetAt(flight, 0);
    if (!packet.done) return;
    const frame = inFlightBuffer(port, packet) + port.headerBytes;
    if (port.touch != TOUCH_COPY) wireReadsHosts(port, frame, packet.bytes);
    flight.first = indexAt(flight, 1);
    flight.count--;
    flight.lent -= packet.lent;
    if (!packet.lent) continue;
    stageRoom(port, 1);
    stageUsed(port, packet.handle, 0);
  }
}
