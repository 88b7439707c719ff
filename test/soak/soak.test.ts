/**
 * Every system of the registry for a long time, with failures at random moments wherever something can fail, and device
 * resets in the middle: nothing leaks, nothing is lost but what is counted, nothing comes twice or out of order.
 *
 * `VRING_SOAK=1000000` has a million packets pass through each; `npm test` has fewer.
 */
import { describe, expect, test } from "vitest";
import { RING_FORMATS, type RingFormat } from "../../src/names.ts";
import { DriverBench, type DriverBenchOptions, type PathCounters } from "../../src/system/driver-bench.ts";
import { type Direction, directionsOf, SYSTEM_RECORDS, type SystemRecord } from "../../src/system/records.ts";
import { Knobs } from "../support/driver-bench.ts";
import { wasmModule } from "../support/engine.ts";
import { Failures } from "../support/failures.ts";
import { Follower, numberedFrames } from "../support/numbered.ts";
import { Random } from "../support/random.ts";
import { longestFrame } from "../support/systems.ts";

const PACKETS = Number(process.env.VRING_SOAK ?? 100_000);
/** No multiple of a burst or of a ring. */
const FRAMES = 211;
/** More than a ring has, so that no page is free any more when its turn comes again. */
const MOST_HELD = 150;

/** Mostly short, with some at every border, and the longest. */
function lengthsOf(longest: number, random: Random): number[] {
  const borders = [60, 255, 256, 257, 1518, 4096, 9000, longest].filter((length) => length <= longest);
  const others = Array.from({ length: FRAMES - borders.length }, () =>
    Math.min(longest, random.chance(80) ? random.int(60, 600) : random.int(600, 2500)),
  );
  return random.shuffle([...borders, ...others]);
}

const dropsOf = (counters: PathCounters): number =>
  (Object.keys(counters) as (keyof PathCounters)[])
    .filter((name) => name.startsWith("drops"))
    .reduce((sum, name) => sum + counters[name], 0);

class Soak {
  readonly failures: Failures;
  readonly #bench: DriverBench;
  readonly #follower: Follower;
  readonly #random: Random;
  readonly #knobs: Knobs;
  #offered = 0;
  #sinceReset = 0;
  /** Packets that a reset left out, because a pass begins anew behind it. */
  #skipped = 0;
  #directFalls = 0;
  resets = 0;
  failedResets = 0;

  constructor(bench: DriverBench, random: Random) {
    this.#bench = bench;
    this.#random = random;
    this.#knobs = new Knobs(bench);
    this.#follower = new Follower(bench);
    this.failures = new Failures(bench);
  }

  /** Buffers that went without a table because there was none. */
  get directFalls(): number {
    return this.#directFalls + this.#bench.counters().directFalls;
  }

  get offered(): number {
    return this.#offered;
  }

  run(packets: number): void {
    const random = this.#random;
    for (const end = this.#offered + packets; this.#offered < end; ) {
      const chosen = random.int(0, 999);
      if (chosen < 300) this.failures.armAny(random, 100);
      else if (chosen < 320) this.failures.takeHeap();
      else if (chosen < 400) this.failures.releaseHeap();
      else if (chosen < 410) this.check();
      else if (chosen < 440) this.reset();
      else if (chosen < 500 && this.#bench.settings.receives) this.#knobs.hold(random.int(0, MOST_HELD));
      this.move(random.int(1, FRAMES));
    }
  }

  move(packets: number): void {
    this.#bench.runSome(packets);
    this.#offered += packets;
    this.#sinceReset += packets;
  }

  /** Whatever was lost was counted, and whatever came was one step behind the last that came or was lost. */
  check(): void {
    this.#bench.settle();
    const counters = this.#bench.counters();
    const drops = dropsOf(counters);
    expect(counters.packets + drops).toBe(this.#offered);
    expect(this.#follower.damaged()).toBe(0);
    const missing = this.#offered + this.#skipped - this.#follower.steps();
    // What was lost last is behind the last one that came.
    expect(missing).toBeGreaterThanOrEqual(0);
    expect(missing).toBeLessThanOrEqual(Math.min(drops, FRAMES));
    expect(this.#bench.check()).toBeNull();
  }

  /** The same with a last packet that is known to have come. */
  checkExactly(): void {
    this.failures.disarm();
    this.failures.releaseHeap();
    // What could not be posted is posted by then; and with nothing that fails nothing is lost.
    this.move(FRAMES);
    const drops = dropsOf(this.#bench.counters());
    this.move(FRAMES);
    expect(dropsOf(this.#bench.counters())).toBe(drops);
    this.check();
    expect(this.#follower.steps()).toBe(this.#offered + this.#skipped);
  }

  reset(): void {
    this.failures.releaseHeap();
    this.checkExactly();
    this.#skipped += (FRAMES - (this.#sinceReset % FRAMES)) % FRAMES;
    this.#sinceReset = 0;
    this.#directFalls += this.#bench.counters().directFalls;
    // What fails in turn, and sometimes nothing: a system may take some things only when it is set up.
    const { possible } = this.failures;
    const turn = this.resets % (possible.length + 1);
    if (turn < possible.length) this.failures.arm(possible[turn], this.#random.int(1, 400));
    try {
      expect(this.#bench.reset()).toEqual({ ok: true, leaks: [] });
    } catch (error) {
      expect(error).toMatchObject({ code: "set-up" });
      this.failures.disarm();
      this.failedResets++;
      expect(this.#bench.reset()).toEqual({ ok: true, leaks: [] });
    }
    this.resets++;
  }
}

const CASES = Object.values(SYSTEM_RECORDS).flatMap((record) =>
  directionsOf(record).flatMap((direction) =>
    RING_FORMATS.map((format) => ({ name: record.name, record, direction, format })),
  ),
);

interface Case {
  record: SystemRecord;
  direction: Direction;
  format: RingFormat;
}

async function soakBench(
  { record, direction, format }: Case,
  queues: DriverBenchOptions["queues"],
  options: Partial<DriverBenchOptions> = {},
): Promise<DriverBench> {
  return DriverBench.create({
    ...{ record, direction, format, queues, module: await wasmModule("vring") },
    dma: format === "packed" && record.accessPlatform ? "iommu-strict" : record.dma,
    // Tables that have to be allocated, where there are any.
    ...{ tables: "heap", sg: direction === "tx" ? 3 : undefined },
    ...options,
  });
}

describe.each(CASES)("$name, $direction, $format", ({ record, direction, format }) => {
  test(`goes on through ${PACKETS / 2} packets with failures and resets`, async () => {
    const random = new Random(20 + CASES.findIndex((one) => one.record === record));
    const lengths = lengthsOf(longestFrame(record, direction), random);
    const bench = await soakBench({ record, direction, format }, [numberedFrames(lengths)], {
      ...(direction === "rx" && { ringSize: 128, hold: MOST_HELD, drop: "random" }),
    });
    const soak = new Soak(bench, random);
    soak.run(PACKETS / 2);
    soak.reset();
    soak.checkExactly();
    for (const failure of soak.failures.possible) {
      expect(soak.failures.happened(failure), failure).toBeGreaterThan(0);
      expect(soak.failures.counted(failure), failure).toBe(soak.failures.happened(failure));
    }
    const { settings } = bench;
    if (settings.record.indirect && settings.sgs > 1) expect(soak.directFalls).toBeGreaterThan(100);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });
});

describe("the far side sees, as the control has it,", () => {
  const numbers = Array.from({ length: 50 }, (_, k) => k);
  const doubled = numbers.toSpliced(20, 0, 19);
  const lost = numbers.toSpliced(20, 1);
  const swapped = numbers.toSpliced(20, 2, 21, 20);
  const WRONG = [numbers, doubled, lost, swapped, numbers, numbers];

  // The formats in turn: what looks at the packets doesn't know of them.
  const cases = CASES.filter((_, k) => k % 4 === 0 || k % 4 === 3);

  test.each(cases)("what is wrong: $name, $direction, $format", async ({ record, direction, format }) => {
    const queues = WRONG.map((wrong) =>
      numberedFrames(
        wrong.map(() => 100),
        wrong,
      ),
    );
    // Other bytes at the front than at the end, and a number that there is not.
    queues[4][20][99]++;
    queues[5][20][0] = 50;
    queues[5][20][99] = 50;
    const bench = await soakBench({ record, direction, format }, queues, { ringSize: 32 });
    const follower = new Follower(
      bench,
      WRONG.map(() => 50),
    );
    bench.run(1);
    bench.settle();
    const found = WRONG.map((_, queue) => [follower.steps(queue), follower.damaged(queue)]);
    expect(found).toEqual([
      [50, 0],
      [50 + 50, 0],
      [50, 0],
      [50 + 50, 0],
      [50, 1],
      [50, 1],
    ]);
    // One step a packet is what is right, and where it is not, too few or too many came.
    const packets = WRONG.map((_, queue) => bench.queueCounters(queue).packets);
    expect(packets).toEqual([50, 51, 49, 50, 50, 50]);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });
});
