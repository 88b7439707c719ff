/** What a driver bench is told, checked, and what follows from it. */
import * as abi from "../../assembly/abi.ts";
import type { EngineOptions } from "../engine.ts";
import { ConfigError } from "../errors.ts";
import { powerOfTwo } from "../layout.ts";
import type { DmaBackend, RingFormat, TableSource } from "../names.ts";
import { negotiateRoom } from "../passthru-limits.ts";
import {
  bufferBytes,
  elementsOf,
  framesOfStream,
  merges,
  mostReceived,
  pagesOf,
  roomOf,
} from "./receive-buffers.ts";
import {
  type Application,
  atNic,
  type DriverRecord,
  type HostRx,
  type HostTx,
  RX_KINDS,
  type RxKind,
  type RxPolicy,
  type SystemRecord,
  type TxPolicy,
} from "./records.ts";

/** ETH_HLEN: an application's packet is no shorter. */
export const ETHERNET_HEADER = 14;

export interface DriverBenchOptions {
  /** A record of DRIVER_RECORDS or SYSTEM_RECORDS, or one of the caller's own. */
  record: DriverRecord | SystemRecord;
  direction: "tx" | "rx";
  dma: DmaBackend;
  /** The frames of each queue, in order: what a pass transmits, or what the wire sends. A queue may have none. */
  queues: readonly (readonly Uint8Array[])[];
  /** Receive buffers other than the record's. */
  rx?: RxKind;
  /** Packets that the consumer of a queue holds back; `all`: until the end of the pass. Default 0. */
  hold?: number | "all";
  /** In which order the consumer drops what it holds. Default `in-order`; a program gives its frames back in order always. */
  drop?: "in-order" | "random";
  /** Seeds random drops, from 1 on. Default 1. */
  seed?: number;
  /** Default `split`. */
  format?: RingFormat;
  /** Default 256. */
  ringSize?: number;
  /**
   * A guest kernel's own copy between the application's buffer and the driver's, counted apart. Default false. Not for
   * records with an application, which have buffers of their own.
   */
  socket?: boolean;
  /**
   * Who plays the program of a record with an application: the engine, or the caller, who has the frames and rings and
   * hands packets over between calls of `moveSome` (`XskSocket`). Default `engine`.
   */
  program?: "engine" | "caller";
  /** Packets of a burst, cut to what the ring takes (`DriverBench.batchOf`). Default 32. */
  batch?: number;
  /**
   * Transmit: elements of a packet. With 2 and more the device header, if there is one, has an element of its own. Default
   * 1; at least 2 where a header has no room in front of its packet (`leastElements`).
   */
  sg?: number;
  /** Receive: elements of a posted buffer. Default: the record's. */
  rxSgs?: 1 | 2;
  /** Receive: free descriptors from which on buffers are posted. Default: the record's. */
  refillAt?: number | "half";
  /** Where tables come from, if the record takes any. Default `freelist`. */
  tables?: TableSource;
  /** Most elements of a cached table. Default 4. */
  threshold?: number;
  /** Buffers mapped at set-up, transmit: their cached tables are, too (ours). Default: the record's. */
  tablesMapped?: boolean;
  /** What the device moves of a frame: what the driver reads itself, the header, or all. Default `copy`. */
  touch?: "none" | "header" | "copy";
  /** Operations that are recorded, from set-up on. Default 0. */
  traceOps?: number;
  /** `swiotlb`: bytes of the pool; default: 64 MiB, or what can be mapped at a time if that is more. */
  poolBytes?: number;
  /** Pages for receive buffers; default: as many as rings, consumers and caches can have at once. */
  pages?: number;
  /** Nodes that the pages are spread over, and the one that the queues run on. Default 1, 0. */
  nodes?: number;
  node?: number;
  /** Free pages from which on what is handed out belongs to the emergency reserve. Default 0. */
  reserve?: number;
  module?: EngineOptions["module"];
  memoryBytes?: number;
}

/** The options with nothing left open. */
export interface DriverSettings {
  record: SystemRecord;
  /** What lies between the device half and the wire in this direction. */
  host: HostTx | HostRx;
  /** What stands above the driver half. */
  application: Application | { kind: "socket" };
  program: "engine" | "caller";
  /** Whether the frames of a pass lie where no device reaches them: the wire's, or an application's. */
  privateFrames: boolean;
  receives: boolean;
  /** Whether the posted buffers are frames of the application, whatever the record says of receive buffers. */
  postsFrames: boolean;
  dma: DmaBackend;
  queues: readonly (readonly Uint8Array[])[];
  tx: TxPolicy;
  rx: RxPolicy;
  /** Packets that each queue's consumer holds back, and whether it drops them at the end of a pass. */
  hold: number;
  /** Receive: the longest frame that the posted buffers take, the most buffers of one, and fragments of a packet. */
  frameMost: number;
  buffersMost: number;
  fragmentsMost: number;
  /** Streaming buffers of a queue; 0 with other kinds. */
  streams: number;
  /** Buffers of a burst. */
  staging: number;
  dropAtEnd: boolean;
  random: boolean;
  seed: number;
  format: RingFormat;
  ringSize: number;
  batch: number;
  /** Elements of a packet or a posted buffer; packets of a buffer; its elements at the most, and descriptors that it takes. */
  sgs: number;
  packets: number;
  elements: number;
  descriptors: number;
  /** Transmit: elements that are staged, which is 1 when packets are copied flat. */
  flattens: boolean;
  refillAt: number;
  tables: TableSource;
  threshold: number;
  tablesMapped: boolean;
  touch: "none" | "header" | "copy";
  traceOps: number;
  /** 0: as large as is needed. */
  poolBytes: number;
  pages: number;
  nodes: number;
  node: number;
  reserve: number;
}

/** @throws ConfigError for what can't be, PassthruError when a NIC asks for more room than the buffers have. */
export function resolveOptions(options: DriverBenchOptions): DriverSettings {
  const { queues } = options;
  const record = "host" in options.record ? options.record : atNic(options.record);
  const receives = options.direction === "rx";
  const ringSize = whole("ringSize", options.ringSize ?? 256, 1, 32768);
  const frames = queues.reduce((most, list) => Math.max(most, list.length), 0);
  if (frames === 0) throw new ConfigError("queues has no frame; at least one is needed");
  const application = applicationOf(options, record);
  const postsFrames = receives && isZeroCopy(application);
  const rx = postsFrames ? framePolicy(options) : receivePolicy(options);
  if (receives && record.host.rx.kind === "passthru") negotiateRoom(record.host.rx.nic, roomOf(rx));
  const sgs = receives
    ? elementsOf(rx)
    : Math.max(leastElements(record), whole("sg", options.sg ?? 1, 1, ringSize));
  if (!receives) checkPieces(options, sgs, application.kind === "none" ? 0 : ETHERNET_HEADER);
  const flattens = !receives && record.tx.flattenAbove > 0 && sgs > record.tx.flattenAbove;
  if (flattens && application.kind !== "none") {
    throw new ConfigError(
      `sg is ${sgs}, but ${record.name} copies packets of more than ${record.tx.flattenAbove} elements, which those of ` +
        "an application are not made for",
    );
  }
  const tables = options.tables ?? "freelist";
  const packets = receives || sgs > 1 ? 1 : packetsOfBuffer(record, application);
  if (!receives) checkPublish(record, application);
  const elements = Math.max(sgs, packets);
  const descriptors = flattens || (record.indirect && tables !== "direct") ? 1 : elements;
  if (elements > ringSize) {
    // 2.7.5.3.1: a table is no longer than the ring either.
    throw new ConfigError(
      `ringSize is ${ringSize}, but a buffer has ${elements} elements, and a ring at least as many`,
    );
  }
  const hold = options.hold === "all" ? frames : whole("hold", options.hold ?? 0, 0, 2 ** 20);
  const refillAt = refillThreshold(rx, ringSize, descriptors);
  const posted = Math.floor((ringSize - refillAt + 1) / descriptors);
  const sent = Math.max(0, Math.floor((ringSize - record.tx.stopBelow) / descriptors)) + 1;
  const { packetPages, longest, ...frame } = postsFrames
    ? frameBuffers(queues)
    : frameLimits(rx, record.headerBytes, queues, posted);
  const total = record.headerBytes + longest;
  const streaming = receives && rx.kind === "rx-streaming";
  if (streaming) checkStreaming(record, application);
  // One streaming buffer may be filled in part when a burst begins.
  const received = streaming
    ? (ringSize - 1) * framesOfStream(total)
    : Math.floor(posted / frame.buffersMost);
  const most = receives ? Math.max(1, received) : sent * packets;
  const batch = Math.min(whole("batch", options.batch ?? 32, 1, 32768), most);
  const streams = streaming ? streamsNeeded(total, batch, hold, options.drop === "random") : 0;
  const nodes = options.nodes ?? 1;
  return {
    ...{ record, receives, queues, rx, hold, ringSize, batch, sgs, descriptors, flattens, refillAt, nodes },
    ...{ ...frame, packets, elements },
    program: options.program ?? "engine",
    ...{ postsFrames, application, privateFrames: receives || application.kind === "socket" },
    streams,
    staging: receives
      ? Math.min(Math.max(batch * frame.buffersMost, streams), Math.floor(ringSize / descriptors))
      : batch,
    tx: record.tx,
    host: checkedHost(receives ? record.host.rx : record.host.tx),
    dma: options.dma,
    dropAtEnd: options.hold === "all",
    random: options.drop === "random",
    seed: whole("seed", options.seed ?? 1, 1, 0xffff_ffff),
    format: options.format ?? "split",
    tables,
    threshold: options.threshold ?? 4,
    tablesMapped: options.tablesMapped ?? record.tx.tablesMapped ?? false,
    touch: options.touch ?? "copy",
    traceOps: options.traceOps ?? 0,
    poolBytes: options.poolBytes ?? 0,
    // Without packets in pages the allocator has one for each node, so that there is one to check.
    pages: !receives
      ? 0
      : postsFrames
        ? nodes
        : (options.pages ??
          nodes *
            queues.length *
            (streaming
              ? streams * abi.STREAM_PAGES
              : pagesNeeded(rx.kind, ringSize, (hold + batch) * packetPages))),
    node: whole("node", options.node ?? 0, 0, nodes - 1),
    reserve: options.reserve ?? 0,
  };
}

/** Frames are buffers of one element that are mapped at set-up and hold any packet of the run. @throws ConfigError */
function framePolicy({ record, rx, refillAt }: DriverBenchOptions): RxPolicy {
  if (rx !== undefined && rx !== record.rx.kind) {
    throw new ConfigError(`rx is "${rx}", but ${record.name} receives into the frames of its application`);
  }
  const refill = { ...record.rx.refill, at: refillAt ?? record.rx.refill.at };
  return { ...record.rx, kind: "premapped", sgs: 1, mergeable: false, refill };
}

function frameBuffers(queues: DriverBenchOptions["queues"]): ReturnType<typeof frameLimits> {
  const frameMost = queues.flat().reduce((most, { length }) => Math.max(most, length), 0);
  return { frameMost, buffersMost: 1, fragmentsMost: 1, packetPages: 1, longest: frameMost };
}

/** Who can fill and empty streaming buffers. @throws ConfigError */
function checkStreaming({ name, host }: SystemRecord, application: DriverSettings["application"]): void {
  if (!["wire", "copy"].includes(host.rx.kind)) {
    throw new ConfigError(
      `rx is "rx-streaming", but the host of ${name} (${host.rx.kind}) can't fill its strides`,
    );
  }
  if (application.kind !== "none") {
    throw new ConfigError(
      `rx is "rx-streaming", whose packets no application of ${name} (${application.kind}) takes`,
    );
  }
}

/** Packets that share a buffer, where packets have one element each. */
function packetsOfBuffer(
  { name, tx, host }: SystemRecord,
  application: DriverSettings["application"],
): number {
  const packets = whole("tx.pack.packets", tx.pack.packets, 1, 32768);
  if (packets > 1 && host.tx.kind !== "wire") {
    throw new ConfigError(
      `${name} puts ${packets} packets into a buffer, which the host below it takes for one`,
    );
  }
  if (packets > 1 && application.kind !== "none") {
    throw new ConfigError(
      `${name} puts ${packets} packets into a buffer, but an application's have one each`,
    );
  }
  return packets;
}

function checkPublish(
  { name, tx: { publish } }: SystemRecord,
  application: DriverSettings["application"],
): void {
  if (publish === "burst") return;
  whole("tx.publish", publish, 1, 32768);
  if (application.kind !== "none") {
    throw new ConfigError(
      `${name} shows ${publish} packets at a time, but an application's are shown a burst at a time`,
    );
  }
}

function checkedHost(host: HostTx | HostRx): HostTx | HostRx {
  if (host.kind === "engine" && powerOfTwo(host.jobs) !== host.jobs) {
    throw new ConfigError(`the host's copy engine has ${host.jobs} jobs, but must have a power of two`);
  }
  return host;
}

function receivePolicy({ record, rx, rxSgs, refillAt }: DriverBenchOptions): RxPolicy {
  const kind = rx ?? record.rx.kind;
  if (!RX_KINDS.includes(kind)) {
    throw new ConfigError(`rx is "${kind}", but must be one of ${RX_KINDS.join(", ")}`);
  }
  const { name, headerBytes } = record;
  const sgs = rxSgs ?? record.rx.sgs;
  if (sgs === 2 && headerBytes === 0) {
    throw new ConfigError(`rxSgs is 2, but ${name} has no device header to put into an element`);
  }
  const mergeable = merges({ kind, mergeable: record.rx.mergeable });
  if (mergeable && headerBytes === 0) {
    throw new ConfigError(
      `${name} has no device header, which says how many buffers a frame spans: it can't merge`,
    );
  }
  if (mergeable && sgs !== 1) {
    throw new ConfigError("rxSgs is 2, but a buffer that frames may span has one element");
  }
  if (kind === "rx-streaming" && sgs !== 1) {
    throw new ConfigError('rxSgs is 2, but a buffer of rx "rx-streaming" has one element');
  }
  if (kind === "big" && headerBytes === 0) {
    throw new ConfigError(`rx is "big", but ${name} has no device header to put into the first element`);
  }
  const refill = { ...record.rx.refill, at: refillAt ?? record.rx.refill.at };
  const policy = { ...record.rx, kind, sgs, mergeable, refill };
  checkRoom(policy, headerBytes);
  return policy;
}

/** @throws ConfigError when the room round a buffer leaves too little of its page, or half page. */
function checkRoom(rx: RxPolicy, headerBytes: number): void {
  if (rx.room === undefined) return;
  const { headroom, tailroom } = roomOf(rx);
  const bytes = bufferBytes(rx, headerBytes, elementsOf(rx));
  const least = headerBytes + ETHERNET_HEADER;
  if (bytes >= least && headroom + bytes + tailroom <= abi.PAGE_SIZE) return;
  throw new ConfigError(
    `rx.room has ${headroom} bytes in front and ${tailroom} behind, which leave too little for a buffer of ${least}`,
  );
}

function refillThreshold(rx: RxPolicy, ringSize: number, descriptors: number): number {
  const { at } = rx.refill;
  const free = at === "half" ? Math.floor(ringSize / 2) + 1 : whole("refillAt", at, 1, 32768);
  // A ring that is smaller than the threshold would never be filled again; one buffer has to stay posted.
  return Math.max(1, Math.min(free, ringSize - descriptors + 1));
}

/**
 * Streaming buffers of a queue: for a burst, with one that is filled in part, for what is held, and one on its way
 * back. A packet that is dropped at random may be the last that holds its buffer, or one of many.
 */
function streamsNeeded(total: number, batch: number, hold: number, random: boolean): number {
  const buffers = (frames: number): number => Math.ceil(frames / framesOfStream(total)) + 1;
  return buffers(batch) + (random ? hold : buffers(hold)) + 1;
}

/** What a queue's ring has, what its consumer holds, what a pool's cache may have ahead. */
function pagesNeeded(kind: RxKind, ringSize: number, held: number): number {
  return ringSize * pagesOf(kind) + held + abi.PAGE_POOL_CACHE;
}

/** What the buffers of one burst take, with `posted` buffers in the ring at the least. */
function frameLimits(
  rx: RxPolicy,
  headerBytes: number,
  queues: DriverBenchOptions["queues"],
  posted: number,
): Pick<DriverSettings, "frameMost" | "buffersMost" | "fragmentsMost"> & {
  packetPages: number;
  longest: number;
} {
  const each = bufferBytes(rx, headerBytes, elementsOf(rx));
  const frameMost = Math.min(mostReceived(rx), rx.mergeable ? posted * each - headerBytes : mostReceived(rx));
  let longest = 0;
  for (const { length } of queues.flat()) if (length <= frameMost) longest = Math.max(longest, length);
  if (rx.kind === "big") {
    // A page more, because the frame does not start where its page does. A device may claim all of a buffer.
    const packetPages = Math.ceil(longest / abi.PAGE_SIZE) + 1;
    return { frameMost, buffersMost: 1, fragmentsMost: abi.BIG_PAGES, packetPages, longest };
  }
  const buffersMost = rx.mergeable ? Math.max(1, Math.ceil((headerBytes + longest) / each)) : 1;
  return { frameMost, buffersMost, fragmentsMost: buffersMost, packetPages: buffersMost, longest };
}

/** @throws ConfigError when a frame is shorter than its pieces, or than `least` bytes. */
function checkPieces({ queues, record }: DriverBenchOptions, sgs: number, least: number): void {
  const pieces = Math.max(least, piecesOf(record.headerBytes, sgs));
  for (const [queue, frames] of queues.entries()) {
    const short = frames.findIndex(({ length }) => length < pieces);
    if (short < 0) continue;
    throw new ConfigError(
      `frame ${short} of queue ${queue} has ${frames[short].length} bytes, but sg ${sgs} needs ${pieces}`,
    );
  }
}

/** @throws ConfigError for a socket where an application has buffers of its own. */
function applicationOf({ socket }: DriverBenchOptions, record: SystemRecord): DriverSettings["application"] {
  const { application } = record;
  if ("entries" in application) {
    const entries = whole(`${record.name}'s entries of a ring`, application.entries, 1, 2 ** 20);
    if (powerOfTwo(entries) !== entries) {
      throw new ConfigError(`${record.name}'s rings have ${entries} entries, but must have a power of two`);
    }
  }
  if (!socket) return application;
  if (application.kind === "none") return { kind: "socket" };
  throw new ConfigError(
    `socket is true, but ${record.name} has an application of its own (${application.kind}), which makes no such copy`,
  );
}

/** Whether the frames of the application are the driver's buffers. */
export function isZeroCopy({ kind }: DriverSettings["application"]): boolean {
  return kind === "af-packet-zc" || kind === "xsk";
}

/** Elements that a packet takes at least: a chunk has no room for a device header, whose element then is its own. */
export function leastElements({ application, headerBytes }: SystemRecord): 1 | 2 {
  return application.kind === "xsk" && headerBytes > 0 ? 2 : 1;
}

/** Elements that the frame itself is cut into. */
export function piecesOf(headerBytes: number, sgs: number): number {
  return headerBytes > 0 && sgs > 1 ? sgs - 1 : sgs;
}

function whole(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new ConfigError(`${name} is ${value}, but must be a whole number from ${least} to ${most}`);
}
