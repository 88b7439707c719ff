/** One case of a comparison in an engine of its own: warmed up, counted, timed, and looked over at the end. */
import { Bench } from "tinybench";
import { Engine, type EngineOptions } from "../engine.ts";
import type { EngineLimits } from "../layout.ts";
import type { Arm } from "./arms.ts";
import { CompareFailure, CompareInputError } from "./errors.ts";
import type { CaseFields, Counters } from "./result.ts";

/** Least packets of the counted run. */
const COUNTED_PACKETS = 100_000;
/** Least packets of one timed iteration: enough for a coarse clock, few enough for many samples. */
const ITERATION_PACKETS = 32_768;
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
  limits: EngineLimits;
  /** Puts the packets into the engine's memory and makes everything ready to move them. */
  start(engine: Engine): CaseLoop;
}

/** What moves the packets of a case, in an engine that nothing else uses. */
export interface CaseLoop {
  /** Packets of a whole pass. */
  readonly packets: number;
  /** Moves the first `packets` of a pass. @throws CompareFailure when not all of them arrived. */
  pass(packets: number): void;
  /** Makes the next pass one like the first, where passes differ. */
  rewind(): void;
  /** FNV-1a 64 over length and bytes of every packet of the traffic, read where the device half or the consumer does. */
  digest(): string;
  /** Everything that is counted, since the start. */
  totals(): Totals;
  /** @throws CompareFailure when something is not where it was at the start. Ends the case. */
  checkLeaks(): void;
}

export type Totals = Counters & { packets: number };

export class CaseBench {
  readonly arm: Arm;
  readonly fields: CaseFields;
  readonly engine: Engine;
  readonly #loop: CaseLoop;
  /** Passes of a timed iteration: an even number, so that a queue that moves is on each node as often. */
  readonly #passes: number;

  private constructor(engine: Engine, { arm, fields }: CasePlan, loop: CaseLoop) {
    this.arm = arm;
    this.fields = fields;
    this.engine = engine;
    this.#loop = loop;
    this.#passes = evenPasses(ITERATION_PACKETS, loop.packets);
  }

  /** @throws CompareInputError when the system has no memory left. */
  static async create(
    plan: CasePlan,
    options: Pick<EngineOptions, "module" | "memoryBytes">,
  ): Promise<CaseBench> {
    try {
      const engine = await Engine.create({ ...plan.limits, ...options });
      return new CaseBench(engine, plan, plan.start(engine));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new CompareInputError(
        `the system has no memory for case ${plan.arm.id} (${error.message}); compare fewer cases or packets`,
      );
    }
  }

  /** Runs until the code is warm and the caches hold what they will hold. */
  async warmUp(): Promise<void> {
    const packets = Math.min(WARM.packets, this.#loop.packets);
    for (let turn = 0; turn < WARM.turns; turn++) {
      const end = performance.now() + WARM.ms;
      for (let call = 0; call < WARM.calls || performance.now() < end; call++) this.#loop.pass(packets);
      await macrotask();
    }
    this.#loop.rewind();
    this.#run(2);
  }

  /** FNV-1a 64 over length and bytes of every packet, read at the far side. */
  digest(): string {
    return this.#loop.digest();
  }

  /** The counters per packet of an untimed run of whole passes: exact, and the same every time. */
  count(): Counters {
    const before = this.#loop.totals();
    this.#run(evenPasses(COUNTED_PACKETS, this.#loop.packets));
    return perPacket(before, this.#loop.totals());
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
    this.#run(2);
    const before = this.#loop.totals();
    const nsPerPacket: number[] = [];
    for (let left = ms; left > 0; left -= SLICE_MS) {
      nsPerPacket.push(...this.#time(Math.min(left, SLICE_MS)));
      await macrotask();
      if (signal?.aborted) return null;
    }
    const after = this.#loop.totals();
    this.#compareCounters(perPacket(before, after), expected);
    return { nsPerPacket, packets: after.packets - before.packets };
  }

  /** Ends the case. @throws CompareFailure when something is not where it was at the start. */
  checkLeaks(): void {
    this.#loop.checkLeaks();
  }

  #run(passes: number): void {
    for (let pass = 0; pass < passes; pass++) this.#loop.pass(this.#loop.packets);
  }

  /** Time per packet of iterations that together take about `ms`. */
  #time(ms: number): number[] {
    const packets = this.#passes * this.#loop.packets;
    const bench = new Bench({ time: ms, iterations: 1, warmup: false, retainSamples: true, throws: true });
    // Told that the function is synchronous, tinybench does not call it to find out.
    bench.add(this.arm.id, () => this.#run(this.#passes), { async: false });
    const { result } = bench.runSync()[0];
    const samples = result.state === "completed" ? result.latency.samples : undefined;
    if (samples === undefined)
      throw new Error(`tinybench gave no samples for ${this.arm.id}: ${result.state}`);
    return samples.map((milliseconds) => (milliseconds * 1e6) / packets);
  }

  #compareCounters(timed: Counters, expected: Counters): void {
    for (const name of Object.keys(expected) as (keyof Counters)[]) {
      if (timed[name] === expected[name]) continue;
      throw new CompareFailure(
        "counters",
        `${this.arm.id}: ${name} per packet is ${timed[name]} in the timed round, but ${expected[name]} when counted`,
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

/** Both runs are whole passes, so equal quotients are equal as floating-point numbers, too. */
function perPacket(before: Totals, after: Totals): Counters {
  const packets = after.packets - before.packets;
  const { packets: _, ...counted } = after;
  const quotients = (Object.keys(counted) as (keyof Counters)[]).map((name) => [
    name,
    (after[name] - before[name]) / packets,
  ]);
  return Object.fromEntries(quotients);
}

/** Fails the case when `found` isn't what it should be at the end. */
export function expectNoLeak(id: string, what: string, found: number, right: number): void {
  if (found === right) return;
  throw new CompareFailure("leak", `${id} leaks: ${found} ${what}, but ${right} would be right`);
}
