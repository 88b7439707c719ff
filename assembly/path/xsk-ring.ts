// The rings of an AF_XDP socket: one producer and one consumer each, of which one is the program and the other the
// kernel. Indices run freely; an entry's place is its index modulo the ring's entries, a power of two.
//
//   ring    | producer | consumer | flags | entry 0 | entry 1 | ...      a cache line each for the first three
//
//   fill         program -> kernel   chunks to receive into
//   rx           kernel -> program   what came in them
//   tx           program -> kernel   what is to be sent
//   completion   kernel -> program   chunks that were sent
//
// Whoever produces keeps its producer index, and whoever consumes its consumer index, also where the other can't write.

import {
  XDP_RING_CONSUMER,
  XDP_RING_ENTRIES,
  XDP_RING_FLAGS,
  XDP_RING_NEED_WAKEUP,
  XDP_RING_PRODUCER,
} from "../abi";
import { acquire32, release32 } from "../mem/fence";
import { Application } from "./app";

@unmanaged
export class XskApp extends Application {
  // Where the rings are
  fill: u32;
  rx: u32;
  tx: u32;
  completion: u32;
  /** Of each ring. */
  entries: u32;
  /** A chunk has 1 << chunkShift bytes. */
  chunkShift: u32;
  /** 1 while the kernel looks at the tx ring, or the fill ring, only when the program wakes it. */
  asleep: bool;

  // The kernel's own indices
  fillConsumer: u32;
  rxProducer: u32;
  txConsumer: u32;
  completionProducer: u32;

  // The program's, while the engine plays it
  fillProducer: u32;
  rxConsumer: u32;
  txProducer: u32;
  completionConsumer: u32;
  /** The chunk that is sent next. */
  chunkAt: u32;
  /** A byte for each chunk: 1 while it is the program's. */
  home: u32;
  /** Receive: addresses (u32) of the chunks that the program holds back, in the order in which they came, and where the oldest stands. */
  heldList: u32;
  heldAt: u32;
}

/** Entries that the producer has put, for the one that has consumed `consumer`. An index that it can't have is counted. */
@inline
export function ringReady(app: XskApp, ring: u32, consumer: u32): u32 {
  const count = acquire32(ring + XDP_RING_PRODUCER) - consumer;
  if (count <= app.entries) return count;
  app.invalidIndices++;
  return 0;
}

/** Entries that are free, for the one that has produced `producer`. */
@inline
export function ringRoom(app: XskApp, ring: u32, producer: u32): u32 {
  const used = producer - acquire32(ring + XDP_RING_CONSUMER);
  if (used <= app.entries) return app.entries - used;
  app.invalidIndices++;
  return 0;
}

@inline
export function produced(ring: u32, producer: u32): void {
  release32(ring + XDP_RING_PRODUCER, producer);
}

@inline
export function consumed(ring: u32, consumer: u32): void {
  release32(ring + XDP_RING_CONSUMER, consumer);
}

/** Where the address is that has this index. */
@inline
export function ringAddress(app: XskApp, ring: u32, index: u32): u32 {
  return ring + XDP_RING_ENTRIES + ((index & (app.entries - 1)) << 3);
}

/** Where the descriptor is that has this index. */
@inline
export function ringDesc(app: XskApp, ring: u32, index: u32): u32 {
  return ring + XDP_RING_ENTRIES + ((index & (app.entries - 1)) << 4);
}

/** Whether the kernel says that it sleeps. */
@inline
export function needsWakeup(ring: u32): bool {
  return (acquire32(ring + XDP_RING_FLAGS) & XDP_RING_NEED_WAKEUP) != 0;
}

/** The kernel goes to sleep, or is awake, and says so at the ring that it would look at. */
@inline
export function setAsleep(app: XskApp, ring: u32, asleep: bool): void {
  app.asleep = asleep;
  release32(ring + XDP_RING_FLAGS, asleep ? XDP_RING_NEED_WAKEUP : 0);
}

/** Empty rings, with the kernel asleep: to send, it has to be woken the first time. */
export function ringsInit(app: XskApp): void {
  ringInit(app.fill);
  ringInit(app.rx);
  ringInit(app.tx);
  ringInit(app.completion);
  app.fillConsumer = 0;
  app.rxProducer = 0;
  app.txConsumer = 0;
  app.completionProducer = 0;
  app.fillProducer = 0;
  app.rxConsumer = 0;
  app.txProducer = 0;
  app.completionConsumer = 0;
  app.chunkAt = 0;
  app.heldAt = 0;
  memory.fill(app.home, 1, app.frameCount);
  setAsleep(app, app.tx, true);
}

function ringInit(ring: u32): void {
  memory.fill(ring, 0, XDP_RING_ENTRIES);
}
