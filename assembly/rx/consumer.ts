// Who gets the packets: a socket queue that holds back none, k or all of them, and drops them in order or
// at random. The generator is seeded and lies in the control block, so a run can be repeated.

import { PACKET_HEAD, PACKET_RECORD, SEGMENT } from "../abi";
import { FNV_BASIS, fnv1a, fnv1aWord } from "../mem/digest";
import { Numbers, numberEnds, numbersTakeEnds } from "../mem/numbers";
import { xorshift } from "../mem/random";
import { Stack, stackInit, stackPut, stackTake } from "../mem/stack";
import { rxDrop } from "./kinds";
import { fragmentBytes, fragmentData, Packet, RxRing } from "./rx-ring";

@unmanaged
export class Consumer {
  rx: RxRing;
  /** Packet records that are free. */
  free: Stack;
  /** Packets held, oldest at `head`, in a ring of mask + 1. */
  queue: u32;
  mask: u32;
  head: u32;
  tail: u32;
  /** Most packets that it holds back. */
  hold: u32;
  /** 1: drops any, else the oldest. */
  random: u32;
  /** State of the generator (xorshift, 32 bits), never 0. */
  generator: u32;
  /** 1: each packet goes into the digest, and is read again when it is dropped. */
  digests: u32;
  /** Then its number is looked at here, and nothing else of it; or 0. */
  numbers: Numbers;
  /** Packets that had changed while they were held. */
  corrupted: u32;
  digest: u64;

  // Counters
  packets: u64;
  bytes: u64;
}

/**
 * Makes `count` free packets of records at `records`, each with the place for its head at `heads`, and at `more`
 * for `fragments` behind the first.
 */
export function consumerInit(
  ptr: u32,
  free: u32,
  records: u32,
  heads: u32,
  more: u32,
  fragments: u32,
  count: u32,
): void {
  const consumer = changetype<Consumer>(ptr);
  consumer.free = changetype<Stack>(free);
  stackInit(consumer.free, count);
  for (let k = count; k > 0; k--) {
    const packet = records + (k - 1) * PACKET_RECORD;
    changetype<Packet>(packet).head = heads + (k - 1) * PACKET_HEAD;
    changetype<Packet>(packet).more = more + (k - 1) * fragments * SEGMENT;
    stackPut(consumer.free, packet);
  }
}

/** A packet to fill; 0 when too many are held, which the memory map rules out. */
@inline
export function consumerPacket(consumer: Consumer): u32 {
  return stackTake(consumer.free);
}

/** Hands a packet of a frame of `bytes` over, and drops what is more than it holds. */
@inline
export function consumerTakes(consumer: Consumer, kind: u32, packet: Packet, bytes: u32): void {
  consumer.packets++;
  consumer.bytes += bytes;
  if (consumer.digests) digestPacket(consumer, packet, bytes);
  if (!consumer.hold && consumer.head == consumer.tail) {
    dropPacket(consumer, kind, packet);
    return;
  }
  store<u32>(consumer.queue + ((consumer.tail++ & consumer.mask) << 2), changetype<u32>(packet));
  while (consumer.tail - consumer.head > consumer.hold) dropOne(consumer, kind);
}

/** Drops everything that is held. */
export function consumerDropAll(consumer: Consumer): void {
  while (consumer.tail != consumer.head) dropOne(consumer, consumer.rx.kind);
}

@inline
function dropOne(consumer: Consumer, kind: u32): void {
  const first = consumer.queue + ((consumer.head & consumer.mask) << 2);
  const packet = load<u32>(first);
  if (!consumer.random) {
    consumer.head++;
    dropPacket(consumer, kind, changetype<Packet>(packet));
    return;
  }
  const count = consumer.tail - consumer.head;
  consumer.generator = xorshift(consumer.generator);
  const chosen = consumer.queue + (((consumer.head + (consumer.generator % count)) & consumer.mask) << 2);
  const other = load<u32>(chosen);
  // The oldest takes its place in the ring.
  store<u32>(chosen, packet);
  consumer.head++;
  dropPacket(consumer, kind, changetype<Packet>(other));
}

@inline
function dropPacket(consumer: Consumer, kind: u32, packet: Packet): void {
  if (consumer.digests && packetCheck(consumer, packet) != packet.check) consumer.corrupted++;
  consumerReleases(consumer, kind, packet);
}

/** Gives up a packet that nobody holds. */
@inline
export function consumerReleases(consumer: Consumer, kind: u32, packet: Packet): void {
  if (packet.bytes) rxDrop(consumer.rx, kind, packet.data);
  if (packet.fragments) dropFragments(consumer.rx, packet);
  stackPut(consumer.free, changetype<u32>(packet));
}

/** No part of the hot loops: a frame that needs several buffers has the time for a switch each. */
function dropFragments(rx: RxRing, packet: Packet): void {
  for (let k: u32 = 0; k < packet.fragments; k++) rxDrop(rx, rx.kind, fragmentData(packet, k));
  packet.fragments = 0;
}

function digestPacket(consumer: Consumer, packet: Packet, bytes: u32): void {
  packet.check = packetCheck(consumer, packet);
  if (changetype<u32>(consumer.numbers)) numbersTakeEnds(consumer.numbers, packet.check);
  else consumer.digest = digestParts(fnv1aWord(consumer.digest, bytes), packet);
}

/** What must be the same when the packet is dropped. */
function packetCheck(consumer: Consumer, packet: Packet): u64 {
  return changetype<u32>(consumer.numbers) ? packetEnds(packet) : packetDigest(packet);
}

/** The first word of a packet, which lies in one part, and above it its last byte. */
function packetEnds(packet: Packet): u64 {
  const first = packet.headBytes ? packet.head : packet.data;
  let end = packet.bytes ? packet.data + packet.bytes : packet.head + packet.headBytes;
  if (packet.fragments) {
    const last = packet.fragments - 1;
    end = fragmentData(packet, last) + fragmentBytes(packet, last);
  }
  return numberEnds(first, end);
}

export function packetDigest(packet: Packet): u64 {
  return digestParts(FNV_BASIS, packet);
}

function digestParts(digest: u64, packet: Packet): u64 {
  digest = fnv1a(fnv1a(digest, packet.head, packet.headBytes), packet.data, packet.bytes);
  for (let k: u32 = 0; k < packet.fragments; k++) {
    digest = fnv1a(digest, fragmentData(packet, k), fragmentBytes(packet, k));
  }
  return digest;
}
