/**
 * The engine in lockstep with a model that was written from the specification.
 *
 * A failure prints the shortest list of operations that shows it, and the variables that replay it:
 * VRING_SEED and VRING_PATH. VRING_SEED alone runs other operations than every day's.
 */
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { RING_FORMATS, TABLE_SOURCES } from "../../src/names.ts";
import { createEngine } from "../support/engine.ts";
import { Mismatch } from "./common.ts";
import { Coverage } from "./coverage.ts";
import { Lockstep } from "./lockstep.ts";
import { MEMORIES, MODES, type Operation, operation, type Setup, SIZES, setup } from "./operations.ts";

/** Operations of a run at the most, half of them in the mean; runs for each division of the halves. */
const MOST_OPERATIONS = 800;
const RUNS = 90;
const SEED = Number(process.env.VRING_SEED ?? 20260408);

const TITLES = {
  both: "agrees with both halves of the engine at every step",
  driver: "is the device of the engine's driver half, and agrees with it at every step",
  device: "is the driver of the engine's device half, and agrees with it at every step",
} as const;

const cover = new Coverage();
let operations = 0;

/** Every case that has to be met. */
function cases(): string[] {
  const names = [
    "ring full",
    "falls to the heap",
    "falls to direct",
    "table hits",
    "remote tables",
    "local tables on a node above 0",
    "caches that do not fit",
    "moves to another node",
    "batches published",
    "a bad record inside a burst",
    "a buffer of exactly 2^32 bytes",
    "elements without bytes",
    "a burst ends where the staging area does",
    "partial pops",
    "partial reclaims",
    "used out of order",
    "shown by a reclaim",
    "split uses of what was not seen",
    "packed uses of what was not seen",
    "in-order batches",
    "a batch reclaimed in parts",
    "lengths that were clamped",
    "stale handles",
    "work when the driver arms",
    "work when the device arms",
    "junk event words of a driver",
    "junk event words of a device",
    "resets with buffers outstanding",
    "resets with buffers unpublished",
    "resets to another format",
    "resets to another size",
    "resets to another source",
    "split avail.idx wraps",
    "split used.idx wraps",
    "split kick: event inside a batch",
    "split direct, then indirect",
    "split avail-idx-jump",
    "split head-out-of-range",
    "split head-in-flight",
    "split next-out-of-range",
    "split indirect-with-next",
    "split nested-indirect",
    "split used-idx-jump",
    "packed indirect-in-list",
    "packed ring-overrun",
    "packed available wrap 0 ends",
    "packed available wrap 1 ends",
    "packed used wrap 0 ends",
    "packed used wrap 1 ends",
  ];
  for (const format of RING_FORMATS) {
    for (const sizes of Object.values(SIZES[format])) {
      for (const size of sizes) names.push(`${format} size ${size}`);
    }
    for (const source of Object.keys(TABLE_SOURCES)) names.push(`${format} tables from ${source}`);
    for (const order of ["", " in order"]) {
      for (const event of ["with", "without"]) names.push(`${format}${order} ${event} EVENT_IDX`);
    }
    for (const shape of ["direct", "indirect"]) names.push(`${format} ${shape}`);
    for (const error of [
      "chain-too-long",
      "chain-bytes",
      "table-length",
      "table-address",
      "buffer-address",
      "readable-after-writable",
      "indirect-not-negotiated",
      "used-id-out-of-range",
      "used-id-not-outstanding",
    ]) {
      names.push(`${format} ${error}`);
    }
  }
  for (const notified of ["kick", "interrupt"]) {
    for (const answer of ["for", "not for"]) {
      names.push(`split ${notified} ${answer} an event index`, `split ${notified} ${answer} flags`);
      names.push(`packed ${notified} ${answer} an event`);
    }
    for (const mode of [0, 1, 2, 3]) names.push(`packed ${notified}, mode ${mode}`);
  }
  for (const code of [
    "empty-buffer",
    "too-many-elements",
    "buffer-bytes",
    "not-in-flight",
    "not-in-order",
    "length-over-capacity",
    "queue-live",
    "queue-not-live",
    "outstanding",
    "queue-size",
    "ring-alignment",
    "ring-address",
    "ring-overlap",
    "staging-size",
    "space-overlap",
    "table-source",
  ]) {
    names.push(`refused ${code}`);
  }
  return names;
}

async function play(mode: (typeof MODES)[number], given: Setup, list: readonly Operation[]): Promise<void> {
  const { memory, nodes, threshold, heapBytes } = given;
  const engine = await createEngine({ ...MEMORIES[memory], batch: 64, nodes, threshold, heapBytes });
  const run = new Lockstep(engine, mode, given, cover);
  list.forEach((one, k) => {
    try {
      run.run(one);
    } catch (error) {
      if (error instanceof Mismatch) error.message = `operation ${k}, ${one.do}: ${error.message}`;
      throw error;
    }
    operations++;
  });
}

describe("the reference model", () => {
  it.each(MODES.map((mode) => [TITLES[mode], mode] as const))("%s", async (title, mode) => {
    const path = process.env.VRING_PATH;
    const property = fc.asyncProperty(
      setup,
      fc.noBias(fc.array(operation, { maxLength: MOST_OPERATIONS, size: "max" })),
      (given, list) => play(mode, given, list),
    );
    const result = await fc.check(property, {
      seed: SEED,
      numRuns: RUNS,
      interruptAfterTimeLimit: 60_000,
      ...(path !== undefined && { path, endOnFailure: true }),
    });
    if (!result.failed) return;
    const [given, list] = result.counterexample ?? [null, []];
    throw new Error(
      [
        `${result.errorInstance instanceof Error ? result.errorInstance.message : "interrupted"}`,
        `replay: VRING_SEED=${result.seed} VRING_PATH=${result.counterexamplePath} npx vitest run test/model -t "${title}"`,
        `set-up ${JSON.stringify(given)}`,
        ...list.map((one, k) => `${k} ${JSON.stringify(one)}`),
      ].join("\n"),
      { cause: result.errorInstance },
    );
  });

  it.runIf(process.env.VRING_PATH === undefined)(
    "has done over 100,000 operations, and no case is left out",
    () => {
      expect(cover.missing(cases())).toEqual([]);
      expect(operations).toBeGreaterThanOrEqual(100_000);
    },
  );

  afterAll(() => {
    if (process.env.VRING_PATH === undefined) {
      console.log(`reference model: ${operations} operations, seed ${SEED}\n${cover.table(cases())}`);
    }
  });
});
