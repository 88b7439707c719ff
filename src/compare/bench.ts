/** One case of a comparison in an engine of its own: warmed up, counted, timed, and looked over at the end. */
import { Bench } from "tinybench";
import type { Engine, EngineOptions } from "../engine.ts";
import type { EngineLimits } from "../layout.ts";
import type { Operation } from "../system/operations.ts";
import type { Arm } from "./arms.ts";
import { CompareFailure, CompareInputError } from "./errors.ts";
import type { CaseFields, Counters, QueueResult } from "./result.ts";

/** Least packets of the counted run. */
const COUNTED_PACKETS = 100_000;
/** Least packets of one timed iteration: enough for a coarse clock, few enough for many samples. */
const ITERATION_PACKETS = 32_768;
/** Passes after which the caches and lists of a case hold what they hold after every pass. */
const SETTLING_PASSES = 2;
/** No timer fires, and nobody can interrupt, while tinybench runs; so it runs for at most this long at a time. */
const SLICE_MS = 200;

/**
 * Warming up, V8 counts calls and loops of a function, then compiles it again beside the run, and takes the
 * better code at a later call: many short calls, with pauses.
 */
const WARM = { turns: 4, calls: 200, packets: 64, ms: 10 };

/** A case before it has an engine: what it takes of one, and how to start in it. */
export interface CasePlan {
  arm: Arm;
  /** By what the result says which case it is. */
  fields: CaseFields;
  /** Whether published figures about such a case are set beside it; it is a system's then. */
  published: boolean;
  limits: EngineLimits;
  /** Mean bytes of the packets that it moves. */
  bytesPerPacket: number;
  /** What `CaseLoop.digest` gives when every packet arrives as it was sent. */
  digest: string;
  /** Makes an engine, puts the packets into its memory, and makes everything ready to move them. */
  start(options: EngineSource): Promise<CaseLoop>;
}

/** Where the engine's code is, and how much memory it gets. */
export type EngineSource = Pick<EngineOptions, "module" | "memoryBytes">;

/** What moves the packets of a case, in an engine that nothing else uses. */
export interface CaseLoop {
  readonly engine: Engine;
  /** Packets of a whole pass. */
  readonly packets: number;
  /** How far a counter of timed rounds may be from `expected`: 0, but for what carries over from pass to pass. */
  slack(counter: string, expected: number): number;
  /** Moves whole passes. @throws CompareFailure when not all of their packets arrived. */
  run(passes: number): void;
  /** Moves some packets, at most `packets` of each queue. */
  runSome(packets: number): void;
  /** Makes the passes to come like the first. */
  rewind(): void;
  /** FNV-1a 64 over length and bytes of every packet, as the far side gets it. Moves them, untimed. */
  digest(): string;
  /** The first operations of the first pass, where they were asked for. */
  operations?(): Operation[] | undefined;
  /** Starts to count; what it returns says what was counted since then. */
  counting(): () => Counted;
  /** @throws CompareFailure when something is not where it was at the start. Ends the case. */
  checkLeaks(): void;
}

/** What was counted over so many packets, per packet: over all queues, and for each where there are several kinds of work. */
export interface Counted {
  packets: number;
  counters: Counters;
  perQueue?: QueueResult[];
}

export class CaseBench {
  readonly plan: CasePlan;
  readonly #loop: CaseLoop;
  /** Passes of a timed iteration: an even number, so that a queue that moves is on each node as often. */
  readonly #passes: number;

  private constructor(plan: CasePlan, loop: CaseLoop) {
    this.plan = plan;
    this.#loop = loop;
    this.#passes = evenPasses(ITERATION_PACKETS, loop.packets);
  }

  /** @throws CompareInputError when the system has no memory left. */
  static async create(plan: CasePlan, options: EngineSource): Promise<CaseBench> {
    try {
      return new CaseBench(plan, await plan.start(options));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new CompareInputError(
        `the system has no memory for case ${plan.arm.id} (${error.message}); compare fewer cases or packets`,
      );
    }
  }

  get id(): string {
    return this.plan.arm.id;
  }

  get engine(): Engine {
    return this.#loop.engine;
  }

  /** FNV-1a 64 over length and bytes of every packet, read at the far side. */
  digest(): string {
    return this.#loop.digest();
  }

  /** The first operations of the first pass, where they were asked for. */
  operations(): Operation[] | undefined {
    return this.#loop.operations?.();
  }

  /** The counters per packet of an untimed run of whole passes: exact, and the same every time. */
  count(): Counted {
    this.#loop.run(SETTLING_PASSES);
    const counted = this.#loop.counting();
    this.#loop.run(evenPasses(COUNTED_PACKETS, this.#loop.packets));
    return counted();
  }

  /** Runs until the code is warm and the caches hold what they will hold. */
  async warmUp(): Promise<void> {
    const packets = Math.min(WARM.packets, this.#loop.packets);
    for (let turn = 0; turn < WARM.turns; turn++) {
      const end = performance.now() + WARM.ms;
      for (let call = 0; call < WARM.calls || performance.now() < end; call++) this.#loop.runSome(packets);
      await macrotask();
    }
    this.#loop.rewind();
    this.#loop.run(SETTLING_PASSES);
  }

  /**
   * Times whole passes for about `ms` milliseconds: ns per packet of every iteration; or null when `signal`
   * fired on the way. What was counted on the way must be `expected`.
   */
  async measure(
    ms: number,
    expected: Counters,
    signal: AbortSignal | undefined,
  ): Promise<{ nsPerPacket: number[]; packets: number } | null> {
    // What the other cases pushed out of the caches comes back before the clock runs.
    this.#loop.run(SETTLING_PASSES);
    const counted = this.#loop.counting();
    const nsPerPacket: number[] = [];
    for (let left = ms; left > 0; left -= SLICE_MS) {
      nsPerPacket.push(...this.#time(Math.min(left, SLICE_MS)));
      await macrotask();
      if (signal?.aborted) return null;
    }
    const { packets, counters } = counted();
    this.#compareCounters(counters, expected);
    return { nsPerPacket, packets };
  }

  /** Ends the case. @throws CompareFailure when something is not where it was at the start. */
  checkLeaks(): void {
    this.#loop.checkLeaks();
  }

  /** Time per packet of iterations that together take about `ms`. */
  #time(ms: number): number[] {
    const packets = this.#passes * this.#loop.packets;
    const bench = new Bench({ time: ms, iterations: 1, warmup: false, retainSamples: true, throws: true });
    // Told that the function is synchronous, tinybench does not call it to find out.
    bench.add(this.id, () => this.#loop.run(this.#passes), { async: false });
    const { result } = bench.runSync()[0];
    const samples = result.state === "completed" ? result.latency.samples : undefined;
    if (samples === undefined) throw new Error(`tinybench gave no samples for ${this.id}: ${result.state}`);
    return samples.map((milliseconds) => (milliseconds * 1e6) / packets);
  }

  #compareCounters(timed: Counters, expected: Counters): void {
    for (const name of Object.keys(expected) as (keyof Counters)[]) {
      if (Math.abs(timed[name] - expected[name]) <= this.#loop.slack(name, expected[name])) continue;
      throw new CompareFailure(
        "counters",
        `${this.id}: ${name} per packet is ${timed[name]} in the timed round, but ${expected[name]} when counted`,
      );
    }
  }
}

/** The turn in which timers, signals and V8's compiler get a word in. */
export function macrotask(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** The least even number of passes with at least `packets` packets. */
function evenPasses(packets: number, perPass: number): number {
  return 2 * Math.ceil(packets / (2 * perPass));
}

/**
 * The difference of two sets of totals over the packets between them. Runs of whole passes that are alike give equal
 * quotients, as floating-point numbers, too.
 */
export function perPacket<T extends object>(before: T, after: T, packets: number): T {
  const earlier = Object.entries<number>(before as Record<string, number>);
  const later = after as Record<string, number>;
  // A queue that no flow is sent to has no packet.
  return Object.fromEntries(
    earlier.map(([name, value]) => [name, packets === 0 ? 0 : (later[name] - value) / packets]),
  ) as T;
}

/** Fails the case when `found` isn't what it should be at the end. */
export function expectNoLeak(id: string, what: string, found: number, right: number): void {
  if (found === right) return;
  throw new CompareFailure("leak", `${id} leaks: ${found} ${what}, but ${right} would be right`);
}
