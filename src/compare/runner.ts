/** Runs a comparison: all cases prepared and checked, then timed in interleaved rounds, then checked for leaks. */
import type { Engine, EngineOptions } from "../engine.ts";
import { type Traffic, trafficDigest } from "../net/traffic.ts";
import type { Operation } from "../system/operations.ts";
import { CaseBench, type CasePlan, type Counted, macrotask } from "./bench.ts";
import { CompareFailure } from "./errors.ts";
import { chosenOf, memorySizes, parts } from "./parts.ts";
import { besideOurs, type Chosen, type PublishedFigure, publishedPairs } from "./published.ts";
import {
  type CaseResult,
  type Comparison,
  type Environment,
  type LeftOut,
  type PublishedPair,
  RESULT_SCHEMA,
  type Workload,
} from "./result.ts";
import { type Dimensions, nameRingDimensions, planRingArms } from "./ring-arms.ts";
import { planRingCase } from "./ring-loop.ts";
import { type Interval, pairedRatio, summarize } from "./statistics.ts";
import { nameSystemDimensions, planSystemArms, type SystemDimensions } from "./system-arms.ts";
import { planSystemCases } from "./system-loop.ts";

/** How a comparison is run, whatever its cases are. */
export interface RunOptions {
  /** Rounds in which every case is timed once; at least 1. */
  rounds: number;
  /** Milliseconds for each case and round; at least 1. */
  timeMs: number;
  /** Every buffer starts at a 4 KiB boundary, so that all alias in the cache. */
  align: boolean;
  /** Bytes of each case's engine memory; default: as many as the case needs. */
  memoryBytes?: number;
}

/** What the cases are combined from: bare rings, or systems. */
export type CompareOptions = RunOptions & (Dimensions | SystemDimensions);

/** What only the host knows: on what the comparison runs, and where the engine's code is. */
export interface CompareHost {
  machine: Pick<Environment, "node" | "v8" | "cpu" | "cores">;
  /** Needed where the code cannot be loaded from beside this file. */
  module?: EngineOptions["module"];
}

export interface CompareHooks {
  /** Before the first step: how many there will be. */
  onStart?(steps: number): void;
  /** One more step is done. */
  onStep?(label: string): void;
  /** Ends the run at the next opportunity; what is complete is returned. */
  signal?: AbortSignal;
  /** For tests: called when a case's packets lie in its engine's memory, before any has moved. */
  tamper?(engine: Engine, id: string): void;
}

/**
 * Times every combination of the options on every traffic. A case has been timed in as many rounds as its
 * baseline; `complete` is false when the signal fired before the last.
 *
 * @throws CompareInputError for options that cannot be run, also when the memory is too small, and CompareFailure
 * when a case delivered other bytes, leaked, stalled, or did something else when timed than when counted.
 */
export async function compare(
  traffics: readonly Traffic[],
  options: CompareOptions,
  host: CompareHost,
  hooks: CompareHooks = {},
): Promise<Comparison> {
  const workloads = traffics.map(describe);
  const digests = new Map(traffics.map((traffic, i) => [traffic, workloads[i].digest]));
  const { plans, leftOut } = planCases(traffics, options, digests);
  const sizes = await memorySizes(plans, options.memoryBytes, host.module);
  hooks.onStart?.(plans.length * (1 + options.rounds));
  const run: Run = { ...options, hooks, module: host.module };
  const cases: CaseResult[] = [];
  const published: PublishedRatio[] = [];
  let complete = true;
  for (const part of parts(plans, sizes)) {
    const { rounds, results, pairs } = await runPart(part, run);
    cases.push(...results);
    published.push(...pairs);
    complete = rounds === options.rounds;
    if (!complete) break;
  }
  return {
    schema: RESULT_SCHEMA,
    environment: {
      ...host.machine,
      placement: options.align ? "aligned" : "skewed",
      memoryBytes: Math.max(...sizes.values()),
    },
    workload: workloads[0],
    ...(workloads.length > 1 ? { workloads } : {}),
    options: nameOptions(options),
    ...("systems" in options && options.as === "systems" ? { systems: [...options.systems] } : {}),
    ...(published.length > 0 ? { published: besideOurs(published) } : {}),
    ...(leftOut.length > 0 ? { leftOut } : {}),
    complete,
    cases,
  };
}

function planCases(
  traffics: readonly Traffic[],
  options: CompareOptions,
  digests: Map<Traffic, string>,
): { plans: CasePlan[]; leftOut: LeftOut[] } {
  if ("systems" in options) return planSystemCases(planSystemArms(traffics, options), options);
  const plans = planRingArms(traffics, options).map((arm) =>
    planRingCase(arm, digests.get(arm.traffic) as string, options.align),
  );
  return { plans, leftOut: [] };
}

/** The options under the names that they have on the command line. */
function nameOptions(options: CompareOptions): Record<string, unknown> {
  return {
    ...("systems" in options ? nameSystemDimensions(options) : nameRingDimensions(options)),
    rounds: options.rounds,
    time: options.timeMs,
    align: options.align,
    ...(options.baseline === undefined ? {} : { baseline: options.baseline }),
    ...(options.memoryBytes === undefined ? {} : { memory: options.memoryBytes }),
  };
}

function describe(traffic: Traffic): Workload {
  const { kind, file, packets, bytes, notes } = traffic;
  return {
    ...{ kind, file, packets: packets.length, bytes, digest: trafficDigest(traffic) },
    ...(notes === undefined ? {} : { notes: [...notes] }),
  };
}

interface Run extends RunOptions {
  hooks: CompareHooks;
  module: EngineOptions["module"];
}

/** A case between its preparation and its result. */
interface Prepared {
  bench: CaseBench;
  digest: string;
  counted: Counted;
  operations: Operation[] | undefined;
  /** ns per packet of every iteration, one list for each round. */
  rounds: number[][];
  /** Packets of each round. */
  packets: number[];
}

/** A ratio of ours beside a published figure. */
type PublishedRatio = { figure: PublishedFigure; pair: PublishedPair };

/** The complete rounds, and a result for every case when there is one. */
async function runPart(
  plans: CasePlan[],
  run: Run,
): Promise<{ rounds: number; results: CaseResult[]; pairs: PublishedRatio[] }> {
  const prepared: Prepared[] = [];
  for (const plan of plans) {
    prepared.push(await prepare(plan, run));
    await macrotask();
    if (run.hooks.signal?.aborted) return { rounds: 0, results: [], pairs: [] };
  }
  checkDigests(prepared);
  let rounds = 0;
  while (rounds < run.rounds && (await runRound(prepared, rounds, run))) rounds++;
  for (const { bench } of prepared) bench.checkLeaks();
  if (rounds === 0) return { rounds, results: [], pairs: [] };
  const summaries = new Map(prepared.map((one) => [one.bench.id, summarizeCase(one, rounds)]));
  const results = prepared.map((one) => {
    const ours = summaries.get(one.bench.id) as CaseSummary;
    const baseline = summaries.get(one.bench.plan.arm.baseline) as CaseSummary;
    return toResult(one, ours, baseline, rounds);
  });
  const pairs = publishedPairs(plans, chosenOf).map(({ figure, ours, against }): PublishedRatio => {
    const [mine, other] = [ours, against].map(({ arm }) => summaries.get(arm.id) as CaseSummary);
    const ratio = { baseline: against.arm.id, ...ratioOf(mine, other) };
    const differs = figure.differs(ours.fields as Chosen, against.fields as Chosen);
    return { figure, pair: { id: ours.arm.id, ratio, differs } };
  });
  return { rounds, results, pairs };
}

async function prepare(plan: CasePlan, { hooks, memoryBytes, module }: Run): Promise<Prepared> {
  const bench = await CaseBench.create(plan, { memoryBytes, module });
  hooks.tamper?.(bench.engine, plan.arm.id);
  const digest = bench.digest();
  const operations = bench.operations();
  // Counted before it is warmed up, which goes by the clock: the counters are the same in every run.
  const counted = bench.count();
  await bench.warmUp();
  hooks.onStep?.(`warm-up  ${plan.arm.id}`);
  return { bench, digest, operations, counted, rounds: [], packets: [] };
}

function checkDigests(prepared: Prepared[]): void {
  const wrong = prepared.filter(({ bench, digest }) => digest !== bench.plan.digest);
  if (wrong.length === 0) return;
  const named = wrong.map(({ bench, digest }) => `${bench.id} (${digest})`).join(", ");
  const right = [...new Set(wrong.map(({ bench }) => bench.plan.digest))].join(", ");
  throw new CompareFailure("digest", `other bytes arrived than were sent (${right}): ${named}`);
}

/** Times every case once, every other round backwards (A B B A); false when it was interrupted. */
async function runRound(prepared: Prepared[], round: number, run: Run): Promise<boolean> {
  const { hooks, timeMs } = run;
  for (const one of round % 2 === 0 ? prepared : prepared.toReversed()) {
    const sample = await one.bench.measure(timeMs, one.counted.counters, hooks.signal);
    if (sample === null) return false;
    one.rounds.push(sample.nsPerPacket);
    one.packets.push(sample.packets);
    hooks.onStep?.(`round ${round + 1}  ${one.bench.id}`);
  }
  return true;
}

interface CaseSummary {
  nsPerPacket: CaseResult["nsPerPacket"];
  /** ns per packet of each round: the median of its iterations. */
  medians: number[];
}

function summarizeCase({ rounds }: Prepared, complete: number): CaseSummary {
  const counted = rounds.slice(0, complete);
  return {
    nsPerPacket: summarize(counted.flat()),
    medians: counted.map((samples) => summarize(samples).median),
  };
}

function toResult(
  { bench, digest, operations, counted, packets }: Prepared,
  ours: CaseSummary,
  baseline: CaseSummary,
  rounds: number,
): CaseResult {
  const { nsPerPacket } = ours;
  const { arm, fields, bytesPerPacket } = bench.plan;
  const measured = packets.slice(0, rounds).reduce((sum, n) => sum + n, 0);
  return {
    id: arm.id,
    ...fields,
    packets: measured,
    bytes: Math.round(measured * bytesPerPacket),
    rounds,
    nsPerPacket,
    pps: 1e9 / nsPerPacket.median,
    gbps: (8 * bytesPerPacket) / nsPerPacket.median,
    counters: counted.counters,
    ...(counted.perQueue === undefined ? {} : { perQueue: counted.perQueue }),
    ...(operations === undefined ? {} : { operations }),
    digest,
    ratio: { baseline: arm.baseline, ...ratioOf(ours, baseline) },
    notes: arm.notes,
  };
}

/** Packets a second over the other's, as the reader can divide them himself; the rounds say how sure it is. */
function ratioOf(ours: CaseSummary, other: CaseSummary): Interval {
  const { low, high } = pairedRatio(ours.medians, other.medians);
  const value = other.nsPerPacket.median / ours.nsPerPacket.median;
  return { value, low: Math.min(low, value), high: Math.max(high, value) };
}
