import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { ONE_DRIVER_CASE } from "../../bench/one-driver-case.ts";
import type { Comparison, SystemCaseResult } from "../../src/compare/result.ts";
import { type CompareHooks, type CompareOptions, compare } from "../../src/compare/runner.ts";
import type { Engine } from "../../src/engine.ts";
import { DMA_BACKENDS, type DmaBackend } from "../../src/names.ts";
import { queueOf } from "../../src/net/flows.ts";
import { fixedTraffic, imixTraffic, type Traffic, trafficDigest } from "../../src/net/traffic.ts";
import { DRIVER_RECORDS, systemsNamed } from "../../src/system/records.ts";
import { PLAIN_KINDS } from "../support/driver-bench.ts";

const module = readFileSync(new URL("../../build/vring.wasm", import.meta.url));
const BACKENDS = Object.keys(DMA_BACKENDS) as DmaBackend[];
/** Those that differ in their policy for frames of one buffer; the others are these with one choice changed. */
const DRIVERS = ["virtio-net", "i40e", "i40e-6.1", "premapped"];

/** A multiple of 32, so that a pass is whole bursts; more than 1024, so that it is not replayed within a pass. */
const IMIX = imixTraffic({ count: 1056, seed: 7 });
const LARGE = fixedTraffic(1518, { count: 1056, seed: 7 });

type DriverComparison = Omit<Comparison, "cases"> & { cases: SystemCaseResult[] };

async function run(
  changes: Partial<CompareOptions> = {},
  hooks: CompareHooks = {},
  traffics: Traffic[] = [IMIX],
): Promise<DriverComparison> {
  const options = {
    systems: systemsNamed("virtio-net", "i40e"),
    ...ONE_DRIVER_CASE,
    dmas: ["direct"],
    directions: ["tx", "rx"],
    rounds: 1,
    timeMs: 1,
    align: false,
    ...changes,
  } as CompareOptions;
  const machine = { node: "n", v8: "v", cpu: "c", cores: 1 };
  return (await compare(traffics, options, { machine, module }, hooks)) as DriverComparison;
}

describe("every driver, backend and kind of receive buffer", () => {
  let cases: SystemCaseResult[];
  beforeAll(async () => {
    cases = (await run({ systems: systemsNamed(...DRIVERS), dmas: BACKENDS, rxKinds: PLAIN_KINDS })).cases;
  }, 300_000);

  test("has a case, and each delivers the bytes that were sent", () => {
    expect(cases).toHaveLength(DRIVERS.length * BACKENDS.length * (1 + PLAIN_KINDS.length));
    expect(new Set(cases.map(({ digest }) => digest))).toEqual(new Set([trafficDigest(IMIX)]));
  });

  test("says which one it is", () => {
    const [first] = cases;
    expect(first).toMatchObject({
      id: "virtio-net/direct/tx",
      ...{ driver: "virtio-net", dma: "direct", rx: null, hold: null, queues: 1, direction: "tx" },
      ...{ ring: "split", tables: "heap", sg: 2, frame: "imix", batch: 32, batchRun: 32, ringSize: 256 },
    });
    const last = cases.find(({ id }) => id === "premapped/swiotlb/rx/page-pool");
    expect(last).toMatchObject({ rx: "page-pool", hold: 0, direction: "rx", tables: "direct", sg: 1 });
  });

  test("maps, unmaps and syncs what its policy says in transmit, to the unit", () => {
    const expected: Record<string, object> = {
      "virtio-net": { maps: 3, unmaps: 3, syncsDevice: 0, tableTakes: 1 },
      i40e: { maps: 2, unmaps: 2, syncsDevice: 0, tableTakes: 0 },
      "i40e-6.1": { maps: 2, unmaps: 2, syncsDevice: 0, tableTakes: 0 },
      premapped: { maps: 1, unmaps: 1, syncsDevice: 1, tableTakes: 1 },
    };
    for (const { id, driver, direction, counters } of cases) {
      if (direction === "tx")
        expect({ id, ...counters }).toMatchObject({ id, ...expected[driver], syncsCpu: 0, faults: 0 });
    }
  });

  test("maps, syncs and allocates what its kind of buffer says with a prompt consumer, to the unit", () => {
    for (const { id, driver, rx, direction, counters } of cases) {
      if (direction === "tx") continue;
      const allocates = rx === "alloc-per-packet" ? 1 : 0;
      const reuses = rx === "page-reuse";
      const shows = reuses ? DRIVER_RECORDS[driver].rx.sync.device : allocates === 0;
      expect({ id, ...counters }).toMatchObject({
        id,
        ...{ maps: allocates, unmaps: allocates, pagesAllocated: allocates, pagesFreed: allocates },
        ...{ syncsCpu: 1 - allocates, syncsDevice: shows ? 1 : 0 },
        ...{ pagesReused: 1 - allocates, reuseRate: 1 - allocates, faults: 0 },
      });
      if (reuses) expect(counters.headerCopyBytes).toBeGreaterThan(0);
      else expect(counters.headerCopyBytes).toBe(0);
    }
  });

  test("copies through the pool and translates only where its backend does", () => {
    for (const { id, dma, counters } of cases) {
      const { bounceBytes, syncBytesCopied, iotlbHits, iotlbMisses, invalidations, flushes } = counters;
      if (dma !== "swiotlb") expect([id, bounceBytes, syncBytesCopied]).toEqual([id, 0, 0]);
      else expect(bounceBytes).toBeGreaterThan(0);
      if (!dma.startsWith("iommu")) {
        expect([id, iotlbHits, iotlbMisses, invalidations, flushes]).toEqual([id, 0, 0, 0, 0]);
      } else expect(iotlbHits + iotlbMisses).toBeGreaterThanOrEqual(1);
      // Strict invalidates what it unmaps; lazy does so 255 at a time.
      if (dma === "iommu-strict") expect([id, invalidations]).toEqual([id, counters.unmaps]);
      if (dma === "iommu-lazy") expect(flushes).toBeCloseTo(counters.unmaps / 255, 3);
    }
  });

  test("is compared with the first driver beside it", () => {
    for (const { id, ratio, pps } of cases) {
      const baseline = cases.find((c) => c.id === ratio.baseline);
      expect(ratio.baseline).toBe(id.replace(/^[^/]+/, "virtio-net"));
      expect(ratio.value).toBeCloseTo(pps / (baseline?.pps ?? 0), 9);
    }
  });
});

describe("a consumer that holds packets", () => {
  test("costs half a page a packet when it holds all, and nothing when it holds few", async () => {
    const { cases } = await run(
      { systems: systemsNamed("i40e"), directions: ["rx"], holds: [0, 64, "all"] },
      {},
      [LARGE],
    );
    const [prompt, few, all] = cases;
    expect(cases.map(({ hold }) => hold)).toEqual([0, 64, "all"]);
    for (const { counters } of [prompt, few])
      expect(counters).toMatchObject({ maps: 0, unmaps: 0, pagesAllocated: 0, reuseRate: 1 });
    expect(all.counters.maps).toBeCloseTo(0.5, 1);
    expect(all.counters.pagesAllocated).toBe(all.counters.maps);
    expect(all.counters.reuseRate).toBeCloseTo(0.5, 1);
  });

  test.each(["in-order", "random"] as const)("gets the same bytes when it drops them %s", async (drop) => {
    const { cases } = await run({ directions: ["rx"], holds: [16], drop, rxKinds: PLAIN_KINDS });
    expect(new Set(cases.map(({ digest }) => digest))).toEqual(new Set([trafficDigest(IMIX)]));
  });
});

describe("several queues", () => {
  test("share the packets by flow, and their counters add up to the case's", async () => {
    const { cases } = await run({ dmas: ["iommu-strict"], queueCounts: [8] });
    const shares = Array(8).fill(0);
    for (const { data } of IMIX.packets) shares[queueOf(data, 8)]++;
    for (const { id, perQueue, counters, queues } of cases) {
      expect(queues).toBe(8);
      expect(perQueue.map(({ packets }) => packets)).toEqual(shares);
      const sum = perQueue.reduce((total, one) => total + one.packets * one.counters.maps, 0);
      expect([id, sum / IMIX.packets.length]).toEqual([id, expect.closeTo(counters.maps, 9)]);
    }
    expect(new Set(cases.map(({ digest }) => digest)).size).toBe(1);
  });

  test("may have one that no flow is sent to", async () => {
    const lonely = fixedTraffic(20, { count: 40, seed: 1 });
    const { cases } = await run({ queueCounts: [2] }, {}, [lonely]);
    for (const { perQueue } of cases) {
      const [used, unused] = perQueue;
      expect([used.packets > 0, unused.packets, unused.counters.maps]).toEqual([true, 0, 0]);
    }
  });
});

test("long frames arrive through buffers that they span, and through big ones: nothing is left out", async () => {
  const long = fixedTraffic(9000, { count: 32, seed: 7 });
  const { cases } = await run(
    { systems: systemsNamed("mergeable", "big"), directions: ["rx"], ringSizes: [64] },
    {},
    [long],
  );
  const [mergeable, big] = cases;
  expect(mergeable).toMatchObject({ sg: 1, tables: "direct" });
  expect(mergeable.counters).toMatchObject({ maps: 5, unmaps: 5, pagesAllocated: 2.5 });
  expect(big).toMatchObject({ sg: 19, tables: "heap" });
  expect(big.counters).toMatchObject({ maps: 20, unmaps: 20, tableTakes: 1, pagesAllocated: 3 });
  expect(big.digest).toBe(mergeable.digest);
  for (const { notes } of cases) expect(notes.join()).not.toContain("left out");
});

test("frames that no receive buffer takes are left out in receive, and said so", async () => {
  const mixed: Traffic = { ...IMIX, packets: [...IMIX.packets], bytes: IMIX.bytes + 9000 };
  mixed.packets.push(fixedTraffic(9000, { count: 1, seed: 1 }).packets[0]);
  const { cases } = await run({ systems: systemsNamed("i40e") }, {}, [mixed]);
  const [tx, rx] = cases;
  expect(tx.digest).toBe(trafficDigest(mixed));
  expect(rx.digest).toBe(trafficDigest(IMIX));
  expect(rx.notes).toContain("1 of 1057 frames are left out, because a receive buffer takes 1518 bytes");
  expect(tx.notes.join()).not.toContain("left out");
});

test("the counters are the same in every run", async () => {
  const odd = {
    systems: systemsNamed(...DRIVERS),
    dmas: BACKENDS,
    queueCounts: [4],
    holds: [5],
    rings: ["packed"],
    ringSizes: [100],
    batches: [7],
    tables: ["freelist"],
    sgs: [3],
  } as const;
  const [first, second] = [await run(odd), await run(odd)];
  const counted = ({ cases }: DriverComparison) =>
    cases.map(({ id, counters, perQueue }) => ({ id, counters, perQueue }));
  expect(counted(first)).toEqual(counted(second));
}, 300_000);

describe("recorded operations", () => {
  const traced = async (changes: Partial<CompareOptions>) =>
    (await run({ systems: systemsNamed("virtio-net"), traceOps: 2000, ...changes })).cases[0].operations ??
    [];

  test("show that virtio-net unmaps a packet before the next transmit, and not sooner", async () => {
    const operations = (await traced({ directions: ["tx"] })).map(({ op }) => op);
    const first = operations.indexOf("transmit");
    // 32 packets of two elements and a table.
    expect(operations.slice(0, first)).toEqual(Array(96).fill("map"));
    const rest = operations.slice(first + 1);
    expect(rest.slice(0, 96)).toEqual(Array(96).fill("unmap"));
    expect(rest.indexOf("map")).toBeGreaterThan(rest.lastIndexOf("unmap", 97));
  });

  test("show that i40e unmaps at completion", async () => {
    const operations = (await traced({ systems: systemsNamed("i40e"), directions: ["tx"] })).map(
      ({ op }) => op,
    );
    const first = operations.indexOf("transmit");
    expect(operations.slice(first + 1, first + 66)).toEqual([...Array(64).fill("unmap"), "reclaim"]);
  });

  test("show refills: virtio-net's once half the ring is free, i40e's 16 at a time", async () => {
    const refills = (operations: Awaited<ReturnType<typeof traced>>): number[] =>
      operations.filter(({ op }) => op === "refill").map(({ a }) => a);
    expect(refills(await traced({ directions: ["rx"] })).slice(0, 2)).toEqual([160, 160]);
    const i40e = refills(await traced({ systems: systemsNamed("i40e"), directions: ["rx"] }));
    expect(i40e.slice(0, 3)).toEqual([16, 16, 16]);
  });

  test("are as many as were asked for, and none unless they were", async () => {
    expect(await traced({ traceOps: 7 })).toHaveLength(7);
    const { cases } = await run();
    for (const c of cases) expect(c).not.toHaveProperty("operations");
  });
});

describe("a run of drivers is worthless", () => {
  test("when one byte of one packet arrives changed, and the line names the case", async () => {
    const tamper = (engine: Engine, id: string): void => {
      if (id === "i40e/direct/tx") engine.bytes(engine.buffers.ptr + 20, 1)[0] ^= 1;
    };
    const failed = run({}, { tamper });
    await expect(failed).rejects.toMatchObject({ code: "digest" });
    await expect(failed).rejects.toThrow(/^other bytes arrived .*: i40e\/direct\/tx \([0-9a-f]{16}\)$/);
  });

  test("when a block of the heap isn't given back", async () => {
    const tamper = (engine: Engine, id: string): void => {
      if (id === "virtio-net/direct/tx") engine.wasm.tlsfTake(engine.region("heap control").ptr, 32);
    };
    const failed = run({}, { tamper });
    await expect(failed).rejects.toMatchObject({ code: "leak" });
    await expect(failed).rejects.toThrow("virtio-net/direct/tx leaks: 1 live blocks of the heap");
  });

  test.each(["direct", "swiotlb", "iommu-lazy"] as const)("when a mapping on %s stays", async (dma) => {
    const tamper = (engine: Engine, id: string): void => {
      if (id.startsWith("i40e")) engine.devices[0].dma.map(engine.buffers.ptr, 64, "to-device");
    };
    await expect(run({ dmas: [dma], directions: ["tx"] }, { tamper })).rejects.toThrow(
      `i40e/${dma}/tx leaks: 1 live mappings, but 0 would be right`,
    );
  });

  test("when packets are lost", async () => {
    const tamper = (engine: Engine): void => {
      engine.u32[(engine.region("port 0").ptr + engine.wasm.PORT_FRAME_MOST.value) >>> 2] = 100;
    };
    await expect(run({ directions: ["rx"] }, { tamper })).rejects.toMatchObject({
      code: expect.stringMatching(/^(digest|dropped)$/),
    });
  });
});
