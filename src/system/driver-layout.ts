/** Where the packets of a driver bench lie, and the words that make a port follow a policy. */
import * as abi from "../../assembly/abi.ts";
import { VIRTIO_NET_HDR_NUM_BUFFERS, VIRTQ_DESC_SIZE } from "../../assembly/spec.ts";
import type { Engine } from "../engine.ts";
import { alignUp, type EngineLimits, postedRing, powerOfTwo, resolveLimits } from "../layout.ts";
import { negotiateRoom, type PassthruLimits } from "../passthru-limits.ts";
import { type ApplicationPlan, planApplication, writeApplication } from "./application-layout.ts";
import { type DriverSettings, piecesOf } from "./driver-options.ts";
import { Bump, setWords, stride } from "./places.ts";
import {
  ATTRIBUTES,
  bufferBytes,
  frameOffset,
  headroomOf,
  roomOf,
  syncsForDevice,
} from "./receive-buffers.ts";
import { type PassthruPath, RECLAIM_AT, RX_KINDS } from "./records.ts";

const TOUCHES = { none: abi.TOUCH_NONE, header: abi.TOUCH_HEADER, copy: abi.TOUCH_COPY };

/** The frames of all queues without those that are the same object. */
function distinct(settings: DriverSettings): Set<Uint8Array> {
  return new Set(settings.queues.flat());
}

function longest(settings: DriverSettings): number {
  let most = 0;
  for (const { length } of distinct(settings)) most = Math.max(most, length);
  return settings.record.headerBytes + most;
}

function framesBytes(settings: DriverSettings): number {
  let bytes = 0;
  for (const { length } of distinct(settings)) bytes += stride(settings.record.headerBytes + length);
  return bytes;
}

/** What stands above the drivers, for each queue. */
function plansOf(settings: DriverSettings): (ApplicationPlan | null)[] {
  const frameBytes = longest(settings) - settings.record.headerBytes;
  return settings.queues.map((frames) => planApplication(settings, frames.length, frameBytes));
}

/** Whether a program's frames are all that there is of the packets that are sent. */
function sendsFrames({ receives, application }: DriverSettings): boolean {
  return !receives && application.kind !== "none" && application.kind !== "socket";
}

/** Whether somebody reads frames into a place of its own: the wire, or an application from its socket. */
function readsFrames({ receives, application }: DriverSettings): boolean {
  return !receives || application.kind === "socket";
}

function streamBytes(settings: DriverSettings, frames: number): number {
  const { receives, sgs, application } = settings;
  let record = abi.ADD_HEADER + sgs * abi.SEGMENT;
  if (receives || application.kind === "socket") record = abi.SEGMENT;
  else if (sendsFrames(settings)) record = 4;
  return alignUp(frames * record, abi.CACHE_LINE);
}

/** Bytes for one queue's flat buffers, and the stack of those that are free. */
function flatBytes(settings: DriverSettings): { buffers: number; stack: number } {
  if (!settings.flattens) return { buffers: 0, stack: 0 };
  const { ringSize } = settings;
  return { buffers: ringSize * stride(longest(settings)), stack: alignUp(8 + 4 * ringSize, abi.CACHE_LINE) };
}

const HOST_KINDS = {
  copy: abi.HOST_COPY,
  zerocopy: abi.HOST_ZEROCOPY,
  engine: abi.HOST_ENGINE,
  passthru: abi.HOST_PASSTHRU,
} as const;

/**
 * The buffers of a queue's host. The CPU's copies need two bursts, so that the wire has what was handed to it while the
 * next comes; what stays with the wire needs one for each packet.
 */
function hostSlots(settings: DriverSettings): { slots: number; bytes: number } {
  const { host, batch } = settings;
  const bytes = stride(longest(settings));
  if (host.kind === "wire" || host.kind === "passthru") return { slots: 0, bytes };
  if (host.kind === "copy") return { slots: 2 * batch, bytes };
  return { slots: host.kind === "engine" ? host.jobs : packetsInFlight(settings), bytes };
}

/** Packets that the wire has at a time beside the host's copies. */
function packetsInFlight({ host }: DriverSettings): number {
  return host.kind === "zerocopy" ? host.wireHolds + abi.IN_FLIGHT_REORDER : 0;
}

/** A passthru interface for each queue: as many requests as its ring can have buffers out, of as many elements. */
function passthruOf({ host, queues, ringSize, sgs }: DriverSettings): PassthruLimits | null {
  if (host.kind !== "passthru") return null;
  const segments = Math.max(sgs, abi.MAX_THRESHOLD);
  return { interfaces: queues.length, requests: ringSize, segments, headerBytes: host.headerBytes };
}

/** Linux's default pool, and the bytes of it that one mapping can have at most. */
const BOUNCE_POOL = 64 << 20;
const BOUNCE_RUN = abi.BOUNCE_SLOT * abi.BOUNCE_SEGMENT;
/** Page tables of an IOMMU that are always there, and the bus addresses that one covers. */
const PAGE_TABLES = 128;
const TABLE_REACH = 2 << 20;

/** Bytes that can be mapped at a time, beside what the rings have: pages, or the packets of a pass. */
function mappedBytes(settings: DriverSettings): number {
  const { receives, postsFrames, pages, queues, record, tx } = settings;
  if (receives && !postsFrames) return pages * abi.PAGE_SIZE;
  if (!receives && tx.mapAt !== "set-up") return 0;
  const plans = plansOf(settings).filter((plan) => plan !== null);
  if (plans.length > 0) {
    const each = (bytes: number): number => alignUp(bytes, abi.PAGE_SIZE) + abi.PAGE_SIZE;
    return plans.reduce((sum, { mapped }) => sum + mapped.count * each(mapped.bytes) + each(0), 0);
  }
  const packets = queues.flat();
  // A mapping has whole pages or slots of its own, one more where it starts within one.
  return packets.reduce(
    (sum, { length }) => sum + alignUp(record.headerBytes + length, abi.PAGE_SIZE) + abi.PAGE_SIZE,
    0,
  );
}

/** What an engine for these settings has to reserve. */
export function driverLimits(settings: DriverSettings): EngineLimits {
  const { queues, receives, ringSize, staging, elements, threshold, hold, pages, nodes, dma, traceOps } =
    settings;
  const frames = sendsFrames(settings) ? 0 : framesBytes(settings);
  const application = { buffers: 0, scratch: 0 };
  for (const plan of plansOf(settings)) {
    application.buffers += plan?.bufferBytes ?? 0;
    application.scratch += plan?.scratchBytes ?? 0;
  }
  const flat = flatBytes(settings);
  const host = hostSlots(settings);
  const streams = queues.reduce((sum, list) => sum + streamBytes(settings, list.length), 0);
  // As many tables as can be out at once, each with the header and the alignment of its block.
  const block = alignUp(Math.max(elements, threshold) * VIRTQ_DESC_SIZE + 8, 16);
  const target = readsFrames(settings) ? alignUp(longest(settings), abi.CACHE_LINE) : 0;
  const places = settings.privateFrames ? { scratch: frames, buffers: 0 } : { scratch: 0, buffers: frames };
  return resolveLimits({
    ...{ queueSize: ringSize, batch: staging, threshold, pages, nodes },
    maxSgs: elements,
    queues: queues.length,
    ports: queues.length,
    // What is held, and the one that comes.
    packets: receives ? hold + 1 : 0,
    completions: settings.streams && powerOfTwo(Math.min(settings.streams, ringSize) * abi.STREAM_STRIDES),
    fragments: receives ? settings.fragmentsMost - 1 : 0,
    inFlight: packetsInFlight(settings),
    copyJobs: settings.host.kind === "engine" ? settings.host.jobs : 0,
    pins: packetsInFlight(settings) > 0 || settings.host.kind === "passthru",
    passthru: passthruOf(settings),
    heapBytes: queues.length * ringSize * block + 2 * block + 64,
    bufferBytes: places.buffers + application.buffers + queues.length * flat.buffers,
    scratchBytes:
      streams +
      target +
      places.scratch +
      application.scratch +
      queues.length * (flat.stack + host.slots * host.bytes),
    dma: {
      backends: [dma],
      traceOps,
      // Room beyond what is usual where more is mapped at a time.
      poolBytes: settings.poolBytes || Math.max(BOUNCE_POOL, alignUp(2 * mappedBytes(settings), BOUNCE_RUN)),
      pageTables: PAGE_TABLES + 2 * Math.ceil(mappedBytes(settings) / TABLE_REACH),
    },
  });
}

/** Sets the words of every port: its policy, its frames, its places. */
export class PortWriter {
  readonly #engine: Engine;
  readonly #settings: DriverSettings;
  readonly #scratch: Bump;
  readonly #buffers: Bump;
  /** Where each frame's device header starts. */
  readonly #places = new Map<Uint8Array, number>();
  readonly #target: number;
  readonly #plans: readonly (ApplicationPlan | null)[];

  constructor(engine: Engine, settings: DriverSettings) {
    this.#engine = engine;
    this.#settings = settings;
    this.#scratch = new Bump(engine.scratch.ptr);
    this.#buffers = new Bump(engine.buffers.ptr);
    const { receives, record, privateFrames } = settings;
    this.#plans = plansOf(settings);
    for (const frame of sendsFrames(settings) ? [] : distinct(settings)) {
      const bytes = record.headerBytes + frame.length;
      const ptr = (privateFrames ? this.#scratch : this.#buffers).take(stride(bytes));
      engine.bytes(ptr + record.headerBytes, frame.length).set(frame);
      // 5.1.9: num_buffers is there with VERSION_1, and says 1 without MRG_RXBUF.
      if (receives && record.headerBytes > 0) engine.bytes(ptr + VIRTIO_NET_HDR_NUM_BUFFERS, 1)[0] = 1;
      this.#places.set(frame, ptr);
    }
    this.#target = readsFrames(settings) ? this.#scratch.take(alignUp(longest(settings), abi.CACHE_LINE)) : 0;
  }

  /** The port of queue `index`, whose halves are at `driver` and `device`. */
  write(index: number, driver: number, device: number): number {
    const { wasm } = this.#engine;
    const { format, batch, staging, record, descriptors, sgs, touch, queues, receives } = this.#settings;
    const port = this.#at(`port ${index}`);
    const popped = this.#engine.region(`queue ${index} staging popped`);
    this.#set(port, [
      [wasm.PORT_DRIVER, driver],
      [wasm.PORT_DEVICE, device],
      [wasm.PORT_PACKED, format === "packed"],
      [wasm.PORT_INDEX, index],
      [wasm.PORT_BATCH, batch],
      [wasm.PORT_STAGING, staging],
      [wasm.PORT_ADD, this.#at(`queue ${index} staging add`)],
      [wasm.PORT_POPPED, popped.ptr],
      [wasm.PORT_POPPED_BYTES, popped.bytes],
      [wasm.PORT_USED, this.#at(`queue ${index} staging used`)],
      [wasm.PORT_RECLAIMED, this.#at(`queue ${index} staging reclaimed`)],
      [wasm.PORT_STREAM, this.#writeStream(queues[index])],
      [wasm.PORT_FRAMES, queues[index].length],
      [wasm.PORT_HEADER_BYTES, record.headerBytes],
      [wasm.PORT_TOUCH, TOUCHES[touch]],
      [wasm.PORT_TARGET, this.#target],
      [wasm.PORT_DESCRIPTORS, descriptors],
      [wasm.PORT_SGS, sgs],
      [wasm.PORT_HOST, this.#writeHost(index)],
      [wasm.PORT_APP, this.#writeApplication(index)],
    ]);
    if (receives) this.#writeReceive(port, index);
    else this.#writeTransmit(port);
    return port;
  }

  /** What lies between the device half and the wire, if anything does: 0 if not. */
  #writeHost(index: number): number {
    const { wasm } = this.#engine;
    const { host, seed, ringSize } = this.#settings;
    if (host.kind === "wire") return 0;
    const { slots, bytes } = hostSlots(this.#settings);
    const ptr = this.#at(`port ${index} host path`);
    if (host.kind === "passthru") this.#writePassthru(index, ptr, host);
    if (host.kind === "zerocopy") {
      const flight = this.#at(`port ${index} in flight`);
      wasm.inFlightInit(flight, slots, host.wireHolds, seed);
      this.#set(ptr, [
        [wasm.HOST_FLIGHT, flight],
        [wasm.HOST_PINS, this.#at("pins")],
      ]);
    }
    if (host.kind === "engine") {
      const engine = this.#at(`port ${index} copy engine`);
      wasm.hostEngineInit(engine, host.jobs, host.jobsPerTurn, powerOfTwo(ringSize));
      this.#set(ptr, [[wasm.HOST_COPY_ENGINE, engine]]);
    }
    this.#set(ptr, [
      [wasm.HOST_KIND, HOST_KINDS[host.kind]],
      [wasm.HOST_HOPS, host.kind === "copy" ? host.hops : 0],
      [wasm.HOST_SLOTS, this.#scratch.take(slots * bytes)],
      [wasm.HOST_SLOT_BYTES, bytes],
      [wasm.HOST_SLOT_COUNT, slots],
    ]);
    return ptr;
  }

  /** The interface of a queue, and its NIC. */
  #writePassthru(index: number, host: number, { nic, headerBytes, wireHolds }: PassthruPath): void {
    const { wasm, devices } = this.#engine;
    const { record, ringSize, rx, receives, seed, sgs } = this.#settings;
    const ptr = this.#at(`passthru ${index}`);
    const wire = this.#at(`passthru ${index} wire`);
    const mode = receives ? negotiateRoom(nic, roomOf(rx)) : "split";
    wasm.passthruInit(ptr, host, ringSize, Math.max(sgs, abi.MAX_THRESHOLD), headerBytes);
    wasm.passthruWireInit(wire, powerOfTwo(ringSize), wireHolds, seed);
    this.#set(host, [
      [wasm.HOST_PASSTHRU_AT, ptr],
      [wasm.HOST_WIRE, wire],
      [wasm.HOST_PINS, this.#at("pins")],
    ]);
    this.#set(ptr, [
      [wasm.PASSTHRU_SPACE, devices[0].space],
      [wasm.PASSTHRU_HEADER_BYTES, record.headerBytes],
      [wasm.PASSTHRU_FRAME_MOST, longest(this.#settings) - record.headerBytes],
      [wasm.PASSTHRU_MERGEABLE, rx.mergeable],
      [wasm.PASSTHRU_KEEPS, true],
      [wasm.PASSTHRU_PACKET_SPLIT, mode === "split"],
      [wasm.PASSTHRU_HEADROOM, nic.headroom],
      [wasm.PASSTHRU_TAILROOM, nic.tailroom],
      [wasm.PASSTHRU_ALIGN_MASK, nic.align - 1],
      [wasm.PASSTHRU_AHEAD, ringSize],
    ]);
    wasm.passthruBind(ptr);
  }

  /** What stands above the driver half, or 0. */
  #writeApplication(index: number): number {
    const plan = this.#plans[index];
    if (plan === null) return 0;
    const areas = { buffers: this.#buffers, scratch: this.#scratch };
    return writeApplication(this.#engine, this.#settings, index, plan, areas);
  }

  #writeTransmit(port: number): void {
    const { wasm } = this.#engine;
    const { tx, ringSize, packets, flattens, record } = this.#settings;
    this.#set(port, [
      [wasm.PORT_RECLAIM_AT, RECLAIM_AT.indexOf(tx.reclaim)],
      [wasm.PORT_RECLAIM_BELOW, Math.max(tx.stopBelow, Math.ceil(ringSize / 2))],
      [wasm.PORT_STOP_BELOW, tx.stopBelow],
      [wasm.PORT_PREMAPPED, record.accessPlatform && tx.mapAt === "set-up"],
      [wasm.PORT_PUBLISH_EVERY, tx.publish === "burst" ? 0 : tx.publish],
      [wasm.PORT_PACK_TO, packets],
      [wasm.PORT_PACK_BYTES, tx.pack.bytes],
      [wasm.PORT_FLATTEN_ABOVE, flattens ? tx.flattenAbove : 0],
    ]);
    if (!flattens) return;
    const { buffers, stack } = flatBytes(this.#settings);
    const first = this.#buffers.take(buffers);
    wasm.portFlat(port, this.#scratch.take(stack), first, buffers / ringSize, ringSize);
  }

  #writeReceive(port: number, index: number): void {
    const { wasm } = this.#engine;
    const { rx, refillAt, frameMost, buffersMost, dropAtEnd } = this.#settings;
    const buffers = this.#writeBuffers(index);
    this.#set(port, [
      [wasm.PORT_RX, buffers],
      [wasm.PORT_CONSUMER, this.#writeConsumer(index, buffers)],
      [wasm.PORT_REFILL_AT, refillAt],
      [wasm.PORT_REFILL_IN_POLL, rx.refill.check === "packet"],
      [wasm.PORT_FRAME_MOST, frameMost],
      [wasm.PORT_MERGEABLE, rx.mergeable],
      [wasm.PORT_BUFFERS_MOST, buffersMost],
      [wasm.PORT_DROP_AT_END, dropAtEnd],
    ]);
  }

  #writeBuffers(index: number): number {
    const { wasm, devices } = this.#engine;
    const { rx, postsFrames, node, ringSize, hold, batch, buffersMost, streams, sgs, descriptors, record } =
      this.#settings;
    const { kind } = rx;
    const ptr = this.#at(`port ${index} receive buffers`);
    this.#set(ptr, [
      [wasm.RX_RING_PAGES, this.#at("page control")],
      [wasm.RX_RING_SPACE, devices[0].space],
      [wasm.RX_RING_KIND, postsFrames ? abi.RX_FRAMES : RX_KINDS.indexOf(kind)],
      [wasm.RX_RING_NODE, node],
      [wasm.RX_RING_HEADROOM, headroomOf(rx)],
      [wasm.RX_RING_BUFFER_BYTES, bufferBytes(rx, record.headerBytes, sgs)],
      [wasm.RX_RING_FRAME_OFFSET, frameOffset(kind, record.headerBytes, sgs)],
      [wasm.RX_RING_ATTRS, ATTRIBUTES[kind] ?? 0],
      [wasm.RX_RING_SYNC_WRITTEN, rx.sync.cpu === "packet"],
      [wasm.RX_RING_SYNC_DEVICE, record.accessPlatform && syncsForDevice(rx)],
      [wasm.RX_RING_PHYSICAL, !record.accessPlatform],
      [wasm.RX_RING_TAKES_AHEAD, rx.references === "bias"],
      [
        wasm.RX_RING_FIXED_PAGES,
        streams || Math.floor(ringSize / descriptors) + (hold + batch) * buffersMost,
      ],
      [wasm.RX_RING_LIST, this.#at(`port ${index} waiting buffers`)],
      [wasm.RX_RING_LIST_MASK, powerOfTwo(ringSize) - 1],
      [wasm.RX_RING_RECYCLED, this.#at(`port ${index} recycled pages`)],
    ]);
    const { completions } = this.#engine.limits;
    if (completions > 0) {
      this.#set(ptr, [
        [wasm.RX_RING_COMPLETIONS, this.#at(`queue ${index} completions`)],
        [wasm.RX_RING_COMPLETION_MASK, completions - 1],
        [wasm.RX_RING_POSTED_MASK, postedRing(completions) - 1],
      ]);
    }
    return ptr;
  }

  #writeConsumer(index: number, buffers: number): number {
    const { wasm, limits } = this.#engine;
    const { hold, random, seed } = this.#settings;
    const ptr = this.#at(`port ${index} consumer`);
    this.#set(ptr, [
      [wasm.CONSUMER_RX, buffers],
      [wasm.CONSUMER_QUEUE, this.#at(`port ${index} held packets`)],
      [wasm.CONSUMER_MASK, powerOfTwo(limits.packets) - 1],
      [wasm.CONSUMER_HOLD, hold],
      [wasm.CONSUMER_RANDOM, random],
      [wasm.CONSUMER_GENERATOR, seed],
    ]);
    wasm.consumerInit(
      ptr,
      this.#at(`port ${index} free packets`),
      this.#at(`port ${index} packets`),
      this.#at(`port ${index} packet heads`),
      this.#at(`port ${index} packet fragments`),
      limits.fragments,
      limits.packets,
    );
    return ptr;
  }

  /** The records or frame entries of a pass; where they start. */
  #writeStream(frames: readonly Uint8Array[]): number {
    const ptr = this.#scratch.take(streamBytes(this.#settings, frames.length));
    const words = this.#engine.u32;
    const { receives, record, sgs, application } = this.#settings;
    let at = ptr >>> 2;
    for (const [token, frame] of frames.entries()) {
      // A program knows where its frames are; it looks up how long they are.
      if (sendsFrames(this.#settings)) {
        words[at++] = frame.length;
        continue;
      }
      const start = this.#places.get(frame) as number;
      if (receives || application.kind === "socket") {
        // The frame alone is the application's, the header in front of it the wire's.
        words[at++] = receives ? start : start + record.headerBytes;
        words[at++] = frame.length;
        continue;
      }
      words[at++] = token;
      words[at++] = sgs;
      at = writeElements(words, at, start, record.headerBytes, frame.length, sgs);
    }
    return ptr;
  }

  #at(name: string): number {
    return this.#engine.region(name).ptr;
  }

  #set(ptr: number, words: readonly [{ value: number }, number | boolean][]): void {
    setWords(this.#engine, ptr, words);
  }
}

/** Header and frame in one element, or the header in one and the frame cut evenly into the rest. */
function writeElements(
  words: Uint32Array,
  at: number,
  start: number,
  headerBytes: number,
  bytes: number,
  sgs: number,
): number {
  const pieces = piecesOf(headerBytes, sgs);
  let from = start + headerBytes;
  if (pieces < sgs) {
    words[at++] = start;
    words[at++] = headerBytes;
  } else {
    // The first element takes the header along, if there is one.
    from = start;
  }
  const total = start + headerBytes + bytes - from;
  for (let piece = 0, cut = 0; piece < pieces; piece++) {
    const next = Math.floor((total * (piece + 1)) / pieces);
    words[at++] = from + cut;
    words[at++] = next - cut;
    cut = next;
  }
  return at;
}
