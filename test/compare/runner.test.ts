import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { CaseResult, Comparison, Counters } from "../../src/compare/result.ts";
import { type CompareHooks, type CompareOptions, compare } from "../../src/compare/runner.ts";
import type { Engine } from "../../src/engine.ts";
import { TABLE_SOURCES, type TableSource } from "../../src/names.ts";
import { fixedTraffic, imixTraffic, type Traffic, trafficDigest } from "../../src/net/traffic.ts";

const module = readFileSync(new URL("../../build/vring.wasm", import.meta.url));
const SOURCES = Object.keys(TABLE_SOURCES) as TableSource[];
const SGS = [1, 2, 3, 4, 8, 19];

/** A pass replays what is shorter until it has 1024 packets: these 120 nine times. */
const IMIX = imixTraffic({ count: 120, seed: 7 });
const IMIX_PASS = 1080;

function run(
  changes: Partial<CompareOptions> = {},
  hooks: CompareHooks = {},
  traffics: Traffic[] = [IMIX],
): Promise<Comparison> {
  const options: CompareOptions = {
    rings: ["split"],
    tables: ["heap", "slot"],
    sgs: [2],
    batches: [32],
    ringSizes: [256],
    thresholds: [4],
    touches: ["none"],
    rounds: 2,
    timeMs: 1,
    align: false,
    ...changes,
  };
  return compare(traffics, options, { machine: { node: "n", v8: "v", cpu: "c", cores: 1 }, module }, hooks);
}

/** FNV-1a 64 as its authors describe it, over length and bytes of each packet: nothing of ours is used. */
function digestOf(traffic: Traffic): string {
  let hash = 0xcbf29ce484222325n;
  for (const { data } of traffic.packets) {
    const length = data.length;
    for (const byte of [length & 255, (length >> 8) & 255, (length >> 16) & 255, length >> 24, ...data])
      hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, "0");
}

function countersOf(tables: TableSource, sg: number, batchRun: number): Counters {
  const takes = tables === "direct" ? 0 : 1;
  const cached = tables !== "direct" && tables !== "heap";
  const hits = cached && sg <= 4 ? 1 : 0;
  // A table of the heap belongs to the first node, and so do all of the free list.
  const remote = tables === "freelist" || (tables === "per-node" && hits === 0) ? 0.5 : 0;
  const bursts = Math.ceil(IMIX_PASS / batchRun) / IMIX_PASS;
  return {
    tableTakes: takes,
    tableHits: hits,
    heapFalls: cached ? 1 - hits : 0,
    directFalls: 0,
    localTakes: takes - remote,
    remoteTakes: remote,
    doorbells: bursts,
    interrupts: bursts,
  };
}

describe("every table source on both rings, with 1 to 19 sgs a packet,", () => {
  let all: Comparison;
  const cases = async (): Promise<CaseResult[]> => {
    all ??= await run({ rings: ["split", "packed"], tables: SOURCES, sgs: SGS, rounds: 1 });
    return all.cases;
  };

  test("delivers the bytes that were sent", async () => {
    const results = await cases();
    expect(results).toHaveLength(SOURCES.length * 2 * SGS.length);
    expect(new Set(results.map(({ digest }) => digest))).toEqual(new Set([digestOf(IMIX)]));
    expect(all.workload).toEqual({
      kind: "imix",
      file: null,
      packets: 120,
      bytes: IMIX.bytes,
      digest: trafficDigest(IMIX),
    });
  });

  test("counts what it does per packet exactly", async () => {
    for (const c of await cases()) {
      expect([c.id, c.counters]).toEqual([
        c.id,
        countersOf(c.tables as TableSource, c.sg, c.tables === "direct" && c.sg === 19 ? 13 : 32),
      ]);
    }
  });

  test("says how long a packet took, and how many were measured", async () => {
    for (const c of await cases()) {
      const { min, median, p95 } = c.nsPerPacket;
      expect(min).toBeGreaterThan(0);
      expect(median).toBeGreaterThanOrEqual(min);
      expect(p95).toBeGreaterThanOrEqual(median);
      expect(c.pps).toBeCloseTo(1e9 / median, 3);
      expect(c.packets % IMIX_PASS).toBe(0);
      expect(c.bytes).toBe((c.packets / 120) * IMIX.bytes);
      expect(c.rounds).toBe(1);
    }
  });
});

test("the counters are the same in every run, whatever the ring's size and the burst", async () => {
  const odd = {
    rings: ["packed"],
    tables: ["direct", "per-node"],
    sgs: [3],
    ringSizes: [3, 7],
    batches: [2, 5],
    rounds: 1,
  } as const;
  const [first, second] = [await run(odd), await run(odd)];
  expect(first.cases.map(({ counters }) => counters)).toEqual(second.cases.map(({ counters }) => counters));
});

test("a ratio is packets a second over the baseline's, and the interval holds it", async () => {
  const { cases } = await run({ tables: ["heap", "slot", "direct"], rounds: 6 });
  const [heap, ...others] = cases;
  expect(heap.ratio).toEqual({ baseline: heap.id, value: 1, low: 1, high: 1 });
  for (const { ratio, pps } of others) {
    expect(ratio.baseline).toBe(heap.id);
    expect(ratio.value).toBeCloseTo(pps / heap.pps, 9);
    expect(ratio.low).toBeLessThanOrEqual(ratio.value);
    expect(ratio.high).toBeGreaterThanOrEqual(ratio.value);
  }
});

test("rounds run every case once, every other round backwards", async () => {
  const steps: string[] = [];
  let total = 0;
  await run(
    { tables: ["heap", "slot", "direct"], rounds: 3 },
    {
      onStart: (n) => (total = n),
      onStep: (label) => steps.push(label.replace(/ +split\/(\w+)\/sg2/, " $1")),
    },
  );
  expect(steps).toEqual([
    "warm-up heap",
    "warm-up slot",
    "warm-up direct",
    "round 1 heap",
    "round 1 slot",
    "round 1 direct",
    "round 2 direct",
    "round 2 slot",
    "round 2 heap",
    "round 3 heap",
    "round 3 slot",
    "round 3 direct",
  ]);
  expect(total).toBe(steps.length);
});

test("several traffics are all named, and each case belongs to one", async () => {
  const traffics = [fixedTraffic(64, { count: 50, seed: 1 }), fixedTraffic(1518, { count: 50, seed: 1 })];
  const { workload, workloads, cases } = await run({ rounds: 1 }, {}, traffics);
  expect(workloads?.map(({ bytes }) => bytes)).toEqual([50 * 64, 50 * 1518]);
  expect(workload).toEqual(workloads?.[0]);
  expect(cases.map(({ id, digest }) => [id, digest])).toEqual([
    ["split/heap/sg2/f64", digestOf(traffics[0])],
    ["split/slot/sg2/f64", digestOf(traffics[0])],
    ["split/heap/sg2/f1518", digestOf(traffics[1])],
    ["split/slot/sg2/f1518", digestOf(traffics[1])],
  ]);
});

describe("a run is worthless", () => {
  test("when one byte of one packet of one case arrives changed, and the line names the case", async () => {
    const tamper = (engine: Engine, id: string): void => {
      if (id === "split/slot/sg2") engine.bytes(engine.buffers.ptr + 12 + 20, 1)[0] ^= 1;
    };
    const failed = run({}, { tamper });
    await expect(failed).rejects.toMatchObject({ code: "digest" });
    await expect(failed).rejects.toThrow(
      new RegExp(
        `^other bytes arrived than were sent \\(${digestOf(IMIX)}\\): split/slot/sg2 \\([0-9a-f]{16}\\)$`,
      ),
    );
  });

  test("when a block of the heap isn't given back", async () => {
    const tamper = (engine: Engine, id: string): void => {
      if (id === "split/slot/sg2") engine.wasm.tlsfTake(engine.region("heap control").ptr, 32);
    };
    const failed = run({}, { tamper });
    await expect(failed).rejects.toMatchObject({ code: "leak" });
    await expect(failed).rejects.toThrow(
      "split/slot/sg2 leaks: 1 live blocks of the heap, but 0 would be right",
    );
  });

  test("when a table is missing in a free list, which no counter shows", async () => {
    const tamper = (engine: Engine): void => {
      // Behind two words of header are the tables: one is listed twice now, and another is lost.
      const list = engine.region("queue 0 free tables, node 0").ptr >>> 2;
      engine.u32[list + 2] = engine.u32[list + 3];
    };
    await expect(run({ tables: ["freelist"] }, { tamper })).rejects.toThrow(
      "split/freelist/sg2 leaks: 255 tables in the free lists, but 256 would be right",
    );
  });

  test("when the timed rounds do something else than the counted run", async () => {
    let engine: Engine | undefined;
    const hooks: CompareHooks = {
      tamper: (one) => {
        engine = one;
      },
      onStep: (label) => {
        if (engine === undefined || !label.startsWith("warm-up")) return;
        engine.u32[(engine.region("loop").ptr + engine.wasm.LOOP_BATCH.value) >>> 2] = 16;
      },
    };
    const failed = run({ tables: ["slot"] }, hooks);
    await expect(failed).rejects.toMatchObject({ code: "counters" });
    await expect(failed).rejects.toThrow(
      /^split\/slot\/sg2: doorbells per packet is 0\.06.* in the timed round/,
    );
  });

  test("when a queue stops before all buffers are back", async () => {
    const tamper = (engine: Engine): void => {
      engine.devices[0].status = 0;
    };
    await expect(run({ tables: ["slot"] }, { tamper })).rejects.toThrow(
      "split/slot/sg2: 0 of 120 buffers came back: no half moved any more",
    );
  });
});

describe("an interrupted run", () => {
  async function interruptedAt(step: number): Promise<Comparison> {
    const controller = new AbortController();
    let done = 0;
    return run(
      { tables: ["heap", "slot", "direct"], rounds: 5 },
      {
        signal: controller.signal,
        onStep: () => {
          if (++done === step) controller.abort();
        },
      },
    );
  }

  test("has of every case the rounds that all cases completed", async () => {
    // 3 steps of warm-up, 2 rounds of 3, and one case of the third round.
    const { complete, cases } = await interruptedAt(10);
    expect(complete).toBe(false);
    expect(cases.map(({ rounds }) => rounds)).toEqual([2, 2, 2]);
  });

  test("has no case when no round was complete", async () => {
    for (const step of [1, 4]) {
      const { complete, cases } = await interruptedAt(step);
      expect([complete, cases]).toEqual([false, []]);
    }
  });
});

describe("in memory", () => {
  /** The places of the first `count` buffers, as the add records say. */
  async function starts(changes: Partial<CompareOptions>, count: number): Promise<number[]> {
    const places: number[] = [];
    const tamper = (engine: Engine): void => {
      const first = (engine.scratch.ptr >>> 2) + 2;
      for (let i = 0; i < count; i++) places.push(engine.u32[first + i * 4]);
    };
    const traffic = fixedTraffic(500, { count, seed: 1 });
    await run({ tables: ["heap"], sgs: [1], rounds: 1, ...changes }, { tamper }, [traffic]);
    return places;
  }

  test("buffers of equal frames go round all cache sets of a page", async () => {
    const sets = (await starts({}, 128)).map((place) => (place % 4096) / 64);
    const uses = Array.from({ length: 64 }, (_, set) => sets.filter((used) => used === set).length);
    expect(uses).toEqual(uses.map(() => 2));
  });

  test("aligned buffers all start at a page", async () => {
    for (const place of await starts({ align: true }, 10)) expect(place % 4096).toBe(0);
  });

  test("a device that copies has the whole packet", async () => {
    const traffic = fixedTraffic(700, { count: 1, seed: 3 });
    let engine: Engine | undefined;
    const tamper = (one: Engine): void => {
      engine = one;
    };
    await run({ tables: ["slot"], sgs: [4], touches: ["copy"], rounds: 1 }, { tamper }, [traffic]);
    const target = engine as Engine;
    const end = target.scratch.ptr + target.scratch.bytes;
    expect([...target.bytes(end - 712, 12)]).toEqual(Array(12).fill(0));
    expect(Buffer.compare(target.bytes(end - 700, 700), traffic.packets[0].data)).toBe(0);
  });

  test("a case gets as much as it needs, or the message says how much that is", async () => {
    const least = await run({ tables: ["heap"], rounds: 1 });
    const { memoryBytes } = least.environment;
    await expect(run({ tables: ["heap"], memoryBytes: memoryBytes - 1 })).rejects.toThrow(
      `case split/heap/sg2 needs ${memoryBytes} bytes of memory, but only ${memoryBytes - 1} are given`,
    );
    const more = await run({ tables: ["heap"], rounds: 1, memoryBytes: memoryBytes + 100_000 });
    expect(more.environment.memoryBytes).toBe(memoryBytes + 100_000);
  });
});
