/** A suite of benchmarks: tasks that tinybench runs in interleaved rounds, and that say what they did. */
import { setImmediate as nextTurn } from "node:timers/promises";
import Table from "cli-table3";
import { Bench } from "tinybench";
import { type Interval, pairedRatio, type Summary, summarize } from "../src/compare/statistics.ts";

export interface Task {
  name: string;
  /** Operations in one call of `run`. */
  operations: number;
  /** Whole passes of the work, long enough to be timed by themselves: 10 microseconds and more. */
  run(): void;
  /** Does the work once more, untimed, and digests what came of it. */
  digest(): string;
  /** What is done: tasks of a suite that do the same work come to the same digest. */
  work: string;
  /** Tasks that are compared with each other, against the first of them. */
  group: string;
}

export interface Suite {
  name: string;
  /** One line for the list of suites. */
  about: string;
  /** What one operation is. */
  operation: string;
  /** Sets everything up anew. */
  open(): Promise<Task[]>;
}

export interface Pace {
  rounds: number;
  /** Milliseconds for a task in a round, and before the first. */
  time: number;
  warmup: number;
}

export interface TaskResult {
  name: string;
  digest: string;
  nsPerOperation: Summary;
  /** Operations a second over those of its group's first task. */
  ratio: Interval;
}

const PACE: Pace = { rounds: 10, time: 10, warmup: 60 };

/** Runs the tasks in rounds, A B C and then C B A, so that what slows the machine for a while slows them all. */
export async function runSuite(tasks: Task[], pace: Partial<Pace> = {}): Promise<TaskResult[]> {
  const { rounds, time, warmup } = { ...PACE, ...pace };
  const digests = tasks.map((task) => task.digest());
  for (const task of tasks) await sample(task, warmup);
  const all = tasks.map((): number[] => []);
  const medians = tasks.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    const order = tasks.map((_, i) => (round % 2 === 0 ? i : tasks.length - 1 - i));
    for (const i of order) {
      const samples = await sample(tasks[i], time);
      for (const ns of samples) all[i].push(ns);
      medians[i].push(summarize(samples).median);
    }
  }
  return tasks.map(({ name, group }, i) => ({
    name,
    digest: digests[i],
    nsPerOperation: summarize(all[i]),
    ratio: pairedRatio(medians[i], medians[tasks.findIndex((task) => task.group === group)]),
  }));
}

/** Nanoseconds an operation, one figure for each call. A Bench that ran before would keep its old figures. */
async function sample(task: Task, time: number): Promise<number[]> {
  // Timers and collections get their turn between the tasks, because they get none while one runs.
  await nextTurn();
  const bench = new Bench({ time, iterations: 1, warmup: false, retainSamples: true, throws: true });
  bench.add(task.name, () => task.run());
  bench.runSync();
  const [{ result }] = bench.tasks;
  if (result.state !== "completed") throw new Error(`${task.name} did not complete: ${result.state}`);
  return (result.latency.samples ?? []).map((ms) => (ms * 1e6) / task.operations);
}

/** The results as a table for a terminal. Ends with a newline. */
export function formatSuite(suite: Suite, results: TaskResult[]): string {
  const table = new Table({
    head: [suite.operation, "ns median", "p95", "speed", "digest"],
    colAligns: ["left", "right", "right", "right", "left"],
    style: { head: [], border: [], compact: true },
  });
  for (const { name, nsPerOperation, ratio, digest } of results) {
    table.push([name, figure(nsPerOperation.median), figure(nsPerOperation.p95), interval(ratio), digest]);
  }
  const key = "speed: operations a second over those of the last 1.00 above it, with a 95 % interval";
  return `${suite.name}: ${suite.about}\n${table.toString()}\n${key}\n`;
}

/** A figure with three digits that mean something. */
export function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** A ratio and its 95 % interval. */
export function interval({ value, low, high }: Interval): string {
  return `${value.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
}
