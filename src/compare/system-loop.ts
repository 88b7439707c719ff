/** A case that moves its packets as a system does: its driver's policy for buffers, its backend, its host's path. */
import type { Engine } from "../engine.ts";
import { ConfigError, VringError } from "../errors.ts";
import {
  DriverBench,
  type DriverBenchOptions,
  type Operation,
  type PathCounters,
} from "../system/driver-bench.ts";
import { leastElements } from "../system/driver-options.ts";
import { elementsOf, servesMany } from "../system/receive-buffers.ts";
import { driverOf } from "../system/records.ts";
import type { CaseLoop, CasePlan, Counted } from "./bench.ts";
import { CompareFailure, CompareInputError } from "./errors.ts";
import { groupBy } from "./group.ts";
import type { LeftOut, QueueResult, SystemCounters, SystemFields } from "./result.ts";
import { digestOf, type Spread, spreading } from "./spread.ts";
import type { SystemArm, SystemDimensions } from "./system-arms.ts";

/**
 * The cases that can be run, and those that were left out because they can't.
 * @throws CompareInputError for the first that can't, unless such are to be left out, or when none is left
 */
export function planSystemCases(
  arms: readonly SystemArm[],
  { traceOps, leaveOut }: Pick<SystemDimensions, "traceOps" | "leaveOut">,
): { plans: CasePlan[]; leftOut: LeftOut[] } {
  const spreadOf = spreading(arms);
  const leftOut: LeftOut[] = [];
  const plans: CasePlan[] = [];
  for (const arm of arms) {
    try {
      plans.push(planSystemCase(arm, spreadOf(arm), traceOps));
    } catch (error) {
      if (!leaveOut || !(error instanceof CompareInputError)) throw error;
      leftOut.push({ id: arm.id, why: error.message.replace(`${arm.id}: `, "") });
    }
  }
  if (plans.length === 0) throw new CompareInputError(leftOut[0].why);
  return { plans: withBaselines(plans), leftOut };
}

/** Where a baseline is among those left out, the first of its group takes its place. */
function withBaselines(plans: readonly CasePlan[]): CasePlan[] {
  const ids = new Set(plans.map(({ arm }) => arm.id));
  return [...groupBy(plans, ({ arm }) => arm.baseline)].flatMap(([baseline, group]) =>
    ids.has(baseline)
      ? group
      : group.map((plan) => ({ ...plan, arm: { ...plan.arm, baseline: group[0].arm.id } })),
  );
}

function planSystemCase(arm: SystemArm, spread: Spread, traceOps: number): CasePlan {
  const { record, settings, dma, drop, socket, frame } = arm;
  const { direction, ring, ringSize, batch, touch } = settings;
  const kind = settings.direction === "tx" ? null : (settings.kind ?? record.rx.kind);
  const sg =
    settings.direction === "tx"
      ? Math.max(settings.sg, leastElements(record))
      : elementsOf({ ...record.rx, kind: kind ?? record.rx.kind });
  // Receive buffers of several elements, which few drivers have, take a table for each like packets that are sent.
  const tables = settings.direction === "tx" ? settings.tables : sg > 1 ? "heap" : "direct";
  const options: DriverBenchOptions = {
    ...{ record, direction, dma, drop, socket, traceOps, ringSize, batch, touch },
    format: ring,
    queues: spread.queues,
    ...(settings.direction === "tx"
      ? { sg, tables, threshold: settings.threshold }
      : { ...(sg > 1 && { tables }), hold: settings.hold, rx: kind ?? record.rx.kind }),
  };
  const own: SystemFields = {
    system: record.name,
    driver: driverOf(record),
    dma,
    rx: kind,
    hold: settings.direction === "tx" ? null : settings.hold,
    queues: settings.queues,
    direction,
  };
  const { limits, batchRun } = attempt(arm.id, () => ({
    limits: DriverBench.limits(options),
    batchRun: DriverBench.batchOf(options),
  }));
  return {
    arm: { ...arm, notes: [...arm.notes, ...spread.notes] },
    fields: {
      ...own,
      ring,
      tables: record.indirect ? tables : "direct",
      sg,
      ...{ frame, batch, batchRun, ringSize },
      threshold: settings.direction === "tx" ? settings.threshold : 0,
      touch,
    },
    published: arm.as === "systems",
    limits,
    bytesPerPacket: spread.bytes / spread.packets,
    digest: spread.digest,
    start: async (source) =>
      new SystemLoop(arm, await DriverBench.create({ ...options, ...source }), spread, traceOps > 0),
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

/** Words for what can become of a packet that the far side doesn't get; what is counted without is named as it is. */
const DROPS: Readonly<Partial<Record<keyof PathCounters, string>>> = {
  dropsNoBuffer: "for want of a buffer",
  dropsTooLong: "because they are too long",
  dropsTooShort: "because they are too short",
  dropsNumBuffers: "because the number of their buffers was wrong",
  dropsNoPacket: "for want of a packet to put them in",
  dropsMapFailed: "because they could not be mapped",
};

/** What comes when enough has gathered: flushes, and the doorbells of refills. */
const GATHERED = ["flushes", "invalidations", "doorbells", "interrupts"];
/** How a translation was found goes by the addresses that the pages happen to have. */
const BY_PLACE = ["iotlbHits", "iotlbMisses"];
/** How far counts that carry over may differ: a share of what is expected, and so much more. */
const ABOUT = { share: 0.1, more: 0.01 };

class SystemLoop implements CaseLoop {
  readonly packets: number;
  readonly #arm: SystemArm;
  readonly #bench: DriverBench;
  readonly #spread: Spread;
  readonly #traces: boolean;

  constructor(arm: SystemArm, bench: DriverBench, spread: Spread, traces: boolean) {
    this.#arm = arm;
    this.#bench = bench;
    this.#spread = spread;
    this.#traces = traces;
    this.packets = bench.packetsPerPass;
  }

  get engine(): Engine {
    return this.#bench.engine;
  }

  /**
   * When a consumer holds packets, which pages are free goes by the passes before, and all else by that. A buffer that
   * serves many frames is posted again when it is used up, whatever pass that is in. What a host does with a packet goes by
   * what the wire still has, which isn't the same at the start of every pass.
   */
  slack(counter: string, expected: number): number {
    const { settings, record } = this.#arm;
    if (BY_PLACE.includes(counter)) return Number.POSITIVE_INFINITY;
    const goesOn =
      settings.direction === "rx" && (settings.hold !== 0 || servesMany(settings.kind ?? record.rx.kind));
    const waits = "wireHolds" in record.host[settings.direction];
    return goesOn || waits || GATHERED.includes(counter) ? ABOUT.share * expected + ABOUT.more : 0;
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
    for (const [name, dropped] of Object.entries<number>({ ...counted })) {
      if (!/^(drops|invalid(?!ations))/.test(name) || dropped === 0) continue;
      const why = DROPS[name as keyof PathCounters] ?? `(${name})`;
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

function ratesOf(counted: PathCounters): SystemCounters {
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
    cpuCopies: per(counted.cpuCopies),
    cpuBytes: per(counted.cpuBytes),
    engineCopies: per(counted.engineCopies),
    engineBytes: per(counted.engineBytes),
    interconnectBytes: per(counted.interconnectBytes),
    pinnedPages: per(counted.pinnedPages),
    socketCopies: per(counted.socketCopies),
    socketBytes: per(counted.socketBytes),
    wakeups: per(counted.wakeups),
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
