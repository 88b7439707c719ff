/** Arms that take turns, so that what slows the machine for a while slows them all, and what to say of them. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Interval, pairedRatio } from "../../src/compare/statistics.ts";
import { figure } from "../suite.ts";

export interface Arm {
  /** Names the arm's figures. */
  name: string;
  /** Runs for a while: nanoseconds an operation. */
  sample(): number | Promise<number>;
}

/** Nanoseconds an operation, a figure for each round. */
export type Figures = ReadonlyMap<string, number[]>;

/** Lets the arms take turns, A B C and then C B A: those that are compared stand next to each other. */
export async function takeTurns(arms: readonly Arm[], rounds: number): Promise<Figures> {
  const figures = new Map<string, number[]>(arms.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const arm of round % 2 === 0 ? arms : arms.toReversed()) {
      await nextTurn();
      figures.get(arm.name)?.push(await arm.sample());
    }
  }
  return figures;
}

/**
 * An arm that calls `run`, which does `operations`, for about `ms` milliseconds. It is called many times before,
 * because WebAssembly and JavaScript change to faster code between calls.
 */
export function arm(name: string, operations: number, run: () => void, ms = 10): Arm {
  warmUp(run);
  const start = performance.now();
  for (let i = 0; i < PROBE_CALLS; i++) run();
  const calls = Math.max(1, Math.ceil((ms * PROBE_CALLS) / (performance.now() - start)));
  return {
    name,
    sample() {
      for (let i = 0; i < 3; i++) run();
      return nanoseconds(run, calls) / operations;
    },
  };
}

const PROBE_CALLS = 50;
const WARM_CALLS = 2000;

export function warmUp(run: () => void): void {
  for (let i = 0; i < WARM_CALLS; i++) run();
}

/** Nanoseconds for one of `calls` calls. */
export function nanoseconds(run: () => void, calls: number): number {
  const start = performance.now();
  for (let i = 0; i < calls; i++) run();
  return ((performance.now() - start) * 1e6) / calls;
}

/** How many times the nanoseconds of `baseline` those of `ours` are, with a 95 % interval. */
export function timesOf(figures: Figures, ours: string, baseline: string): Interval {
  return pairedRatio(of(figures, baseline), of(figures, ours));
}

/** Median nanoseconds of an arm, with a 95 % interval. */
export function medianOf(figures: Figures, name: string): Interval {
  const ours = of(figures, name);
  return pairedRatio(
    ours.map(() => 1),
    ours,
  );
}

function of(figures: Figures, name: string): number[] {
  const found = figures.get(name);
  if (found === undefined) throw new Error(`no arm is called ${name}`);
  return found;
}

/** A bar from above or from below. */
export type Bar = { atMost: number } | { atLeast: number };

/** A ratio, and where it was found: `N=3`, say. */
export interface Found {
  where: string;
  interval: Interval;
}

/** The line of a measure: its worst case, the bar, and as the last word or words whether it is met. */
export function verdictLine(measure: string, bar: Bar, found: readonly Found[], unit = "times"): string {
  const worst = found.toSorted((a, b) => a.interval.value - b.interval.value).at("atMost" in bar ? -1 : 0);
  if (worst === undefined) throw new Error(`${measure}: nothing was measured`);
  const { value, low, high } = worst.interval;
  const meets = "atMost" in bar ? value <= bar.atMost : value >= bar.atLeast;
  const wanted = "atMost" in bar ? `at most ${bar.atMost.toFixed(2)}` : `at least ${bar.atLeast.toFixed(2)}`;
  return (
    `${measure}: worst at ${worst.where}, ${value.toFixed(2)} ${unit} ` +
    `[${low.toFixed(2)}, ${high.toFixed(2)}], bar ${wanted}: ${meets ? "meets" : "falls short"}`
  );
}

/** A line below a verdict: median nanoseconds of some arms. */
export function detailLine(label: string, figures: Figures, names: readonly string[]): string {
  return `    ${label}: ${names.map((name) => figure(medianOf(figures, name).value)).join(" ")}`;
}
