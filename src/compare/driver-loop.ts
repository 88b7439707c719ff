/** A case that moves its packets as a driver does: under its policy for buffers, through a DMA backend. */
import type { Engine } from "../engine.ts";
import { ConfigError, VringError } from "../errors.ts";
import { queueOf } from "../net/flows.ts";
import { Fnv1a64, MAX_FRAME_BYTES, type Traffic } from "../net/traffic.ts";
import {
  DriverBench,
  type DriverBenchOptions,
  mostReceived,
  type Operation,
  type PathCounters,
} from "../system/driver-bench.ts";
import type { CaseLoop, CasePlan, Counted } from "./bench.ts";
import type { DriverArm } from "./driver-arms.ts";
import { CompareFailure, CompareInputError } from "./errors.ts";
import type { Counters, DmaCounters, DriverFields, QueueResult } from "./result.ts";
import { PACKETS_A_PASS } from "./trace.ts";

/** The frames of a pass, spread over queues. */
interface Spread {
  queues: Uint8Array[][];
  packets: number;
  bytes: number;
  /** What the queues' frames arrive as. */
  digest: string;
  /** The longest frame that is taken, and frames of the traffic that are longer. */
  most: number;
  tooLong: number;
}

export function planDriverCases(arms: readonly DriverArm[], traceOps: number): CasePlan[] {
  const spreads = new Map<string, Spread>();
  const traffics = [...new Set(arms.map(({ traffic }) => traffic))];
  return arms.map((arm) => {
    const { direction, queues } = arm.settings;
    const most = mostTaken(arm);
    const key = [traffics.indexOf(arm.traffic), direction, queues, most].join();
    const spread = spreads.get(key) ?? spreadFrames(arm.traffic, most, queues);
    spreads.set(key, spread);
    return planDriverCase(arm, spread, traceOps);
  });
}

function planDriverCase(arm: DriverArm, spread: Spread, traceOps: number): CasePlan {
  const { record, settings, drop, frame } = arm;
  const { direction, dma, ring, ringSize, batch, touch } = settings;
  const transmits = settings.direction === "tx";
  const options: DriverBenchOptions = {
    ...{ record, direction, dma, drop, traceOps, ringSize, batch, touch },
    format: ring,
    queues: spread.queues,
    ...(transmits
      ? { sg: settings.sg, tables: settings.tables, threshold: settings.threshold }
      : { hold: settings.hold, rx: settings.kind ?? record.rx.kind }),
  };
  const own: DriverFields = {
    driver: record.name,
    dma,
    rx: transmits ? null : (settings.kind ?? record.rx.kind),
    hold: transmits ? null : settings.hold,
    queues: settings.queues,
    direction,
  };
  const { limits, batchRun } = attempt(arm.id, () => ({
    limits: DriverBench.limits(options),
    batchRun: DriverBench.batchOf(options),
  }));
  return {
    arm: spread.tooLong === 0 ? arm : { ...arm, notes: [...arm.notes, leftOut(arm, spread)] },
    fields: {
      ...own,
      ring,
      tables: transmits && record.indirect ? settings.tables : "direct",
      sg: transmits ? settings.sg : record.rx.sgs,
      ...{ frame, batch, batchRun, ringSize },
      threshold: transmits ? settings.threshold : 0,
      touch,
    },
    limits,
    bytesPerPacket: spread.bytes / spread.packets,
    digest: spread.digest,
    start: async (source) =>
      new DriverLoop(arm, await DriverBench.create({ ...options, ...source }), spread, traceOps > 0),
  };
}

/** @throws CompareInputError for what a driver bench says of its options. */
function attempt<T>(id: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CompareInputError(`${id}: ${error.message}`);
  }
}

/** The longest frame that the far side of a case can take. */
function mostTaken({ record, settings }: DriverArm): number {
  if (settings.direction === "tx") return MAX_FRAME_BYTES;
  return mostReceived({ ...record.rx, kind: settings.kind ?? record.rx.kind });
}

function leftOut({ traffic }: DriverArm, { tooLong, most }: Spread): string {
  return `${tooLong} of ${traffic.packets.length} frames are left out, because a receive buffer takes ${most} bytes`;
}

/** @throws CompareInputError when no frame is left. */
function spreadFrames({ kind, packets, name }: Traffic, most: number, count: number): Spread {
  const all = packets.map(({ data }) => data);
  const frames = all.filter(({ length }) => length <= most);
  if (frames.length === 0) {
    throw new CompareInputError(
      `${kind === "fixed" ? `${name}-byte frames` : name}: there is no frame of at most ${most} bytes, ` +
        "which is what a receive buffer takes",
    );
  }
  const repeats = Math.ceil(PACKETS_A_PASS / frames.length);
  const once = Array.from({ length: count }, (): Uint8Array[] => []);
  for (const frame of frames) once[queueOf(frame, count)].push(frame);
  const queues = once.map((list) => Array.from({ length: repeats }, () => list).flat());
  return {
    queues,
    packets: repeats * frames.length,
    bytes: repeats * frames.reduce((sum, { length }) => sum + length, 0),
    digest: digestOf(queues.map(frameDigest)),
    most,
    tooLong: all.length - frames.length,
  };
}

function frameDigest(frames: readonly Uint8Array[]): string {
  const digest = new Fnv1a64();
  for (const frame of frames) digest.addPacket(frame);
  return digest.hex();
}

/** Queues have an order of their own and no common one: the digest of several is that of their digests. */
function digestOf(queues: readonly string[]): string {
  if (queues.length === 1) return queues[0];
  return new Fnv1a64().addBytes(new TextEncoder().encode(queues.join("\n"))).hex();
}

/** Words for what can become of a packet that the far side doesn't get. */
const DROPS = {
  dropsNoBuffer: "for want of a buffer",
  dropsTooLong: "because they are too long",
  dropsMapFailed: "because they could not be mapped",
} as const;

/** What comes when enough has gathered: flushes, and the doorbells of refills. */
const GATHERED = ["flushes", "invalidations", "doorbells", "interrupts"];
/** How a translation was found goes by the addresses that the pages happen to have. */
const BY_PLACE = ["iotlbHits", "iotlbMisses"];
/** How far counts that carry over may differ: a share of what is expected, and so much more. */
const ABOUT = { share: 0.1, more: 0.01 };

class DriverLoop implements CaseLoop {
  readonly packets: number;
  readonly #arm: DriverArm;
  readonly #bench: DriverBench;
  readonly #spread: Spread;
  readonly #traces: boolean;

  constructor(arm: DriverArm, bench: DriverBench, spread: Spread, traces: boolean) {
    this.#arm = arm;
    this.#bench = bench;
    this.#spread = spread;
    this.#traces = traces;
    this.packets = bench.packetsPerPass;
  }

  get engine(): Engine {
    return this.#bench.engine;
  }

  /** When a consumer holds packets, which pages are free goes by the passes before, and all else by that. */
  slack(counter: string, expected: number): number {
    const { settings } = this.#arm;
    if (BY_PLACE.includes(counter)) return Number.POSITIVE_INFINITY;
    const holds = settings.direction === "rx" && settings.hold !== 0;
    return holds || GATHERED.includes(counter) ? ABOUT.share * expected + ABOUT.more : 0;
  }

  run(passes: number): void {
    this.#attempt(() => this.#bench.run(passes));
  }

  runSome(packets: number): void {
    this.#attempt(() => this.#bench.runSome(packets));
  }

  rewind(): void {
    this.#bench.rewind();
  }

  /** The pass for the digest is the first one, and the one whose operations are recorded. */
  digest(): string {
    if (this.#traces) this.#bench.restartTrace();
    return digestOf(this.#attempt(() => this.#bench.digests()));
  }

  operations(): Operation[] | undefined {
    return this.#traces ? this.#bench.operations() : undefined;
  }

  counting(): () => Counted {
    // Buffers are posted in batches: between two moments when all are, the counts are those of the packets alone.
    this.#bench.settle();
    const before = this.#totals();
    return () => {
      this.#bench.settle();
      const [all, ...queues] = this.#totals().map((after, i) => since(before[i], after));
      this.#expectNoDrops(all);
      return {
        packets: all.packets,
        counters: ratesOf(all),
        perQueue: queues.map((of, queue) => queueResult(of, queue, this.#spread.queues[queue].length)),
      };
    };
  }

  checkLeaks(): void {
    const { ok, leaks } = this.#bench.close();
    if (!ok) throw new CompareFailure("leak", `${this.#arm.id} leaks: ${leaks.join("; ")}`);
  }

  /** Of all queues, and then of each. */
  #totals(): PathCounters[] {
    const queues = this.#spread.queues.map((_, queue) => this.#bench.queueCounters(queue));
    return [this.#bench.counters(), ...queues];
  }

  #expectNoDrops(counted: PathCounters): void {
    for (const [name, why] of Object.entries(DROPS)) {
      const dropped = counted[name as keyof typeof DROPS];
      if (dropped > 0)
        throw new CompareFailure("dropped", `${this.#arm.id}: ${dropped} packets were dropped ${why}`);
    }
  }

  /** @throws CompareFailure for what the engine has to say of a queue. */
  #attempt<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof VringError)) throw error;
      throw new CompareFailure("stalled", `${this.#arm.id}: ${error.message}`);
    }
  }
}

/** What was counted between two looks. */
function since(before: PathCounters, after: PathCounters): PathCounters {
  const differences = Object.entries(after).map(([name, value]) => [
    name,
    value - before[name as keyof PathCounters],
  ]);
  return Object.fromEntries(differences);
}

function ratesOf(counted: PathCounters): Counters & DmaCounters {
  const { packets, pagesReused, pagesAllocated } = counted;
  // A queue that no flow is sent to has no packet.
  const per = (total: number): number => (packets === 0 ? 0 : total / packets);
  const posted = pagesReused + pagesAllocated;
  return {
    maps: per(counted.maps),
    unmaps: per(counted.unmaps),
    syncsCpu: per(counted.syncsCpu),
    syncsDevice: per(counted.syncsDevice),
    syncBytesAsked: per(counted.syncBytesAsked),
    syncBytesCopied: per(counted.syncBytesCopied),
    pagesAllocated: per(pagesAllocated),
    pagesFreed: per(counted.pagesFreed),
    pagesReused: per(pagesReused),
    reuseRate: posted === 0 ? 0 : pagesReused / posted,
    iotlbHits: per(counted.iotlbHits),
    iotlbMisses: per(counted.iotlbMisses),
    invalidations: per(counted.invalidations),
    flushes: per(counted.flushes),
    bounceBytes: per(counted.bounceBytes),
    headerCopyBytes: per(counted.headerCopyBytes),
    faults: per(counted.faults),
    tableTakes: per(counted.tableTakes),
    tableHits: per(counted.tableHits),
    heapFalls: per(counted.heapFalls),
    directFalls: per(counted.directFalls),
    // There is one node, which every queue runs on.
    localTakes: per(counted.tableTakes),
    remoteTakes: 0,
    doorbells: per(counted.doorbells),
    interrupts: per(counted.interrupts),
  };
}

function queueResult(counted: PathCounters, queue: number, packets: number): QueueResult {
  const { iotlbHits: _, iotlbMisses: _1, invalidations: _2, flushes: _3, ...counters } = ratesOf(counted);
  return { queue, packets, counters };
}
