/** Comparisons of drivers with plausible numbers, made from a seed, for the tests of the reports. */
import type { Comparison, SystemCaseResult, SystemCounters } from "../../src/compare/result.ts";
import { pairedRatio, summarize } from "../../src/compare/statistics.ts";
import { fixtureComparison, normal, seeded } from "./fixture.ts";

export interface DriverFixtureOptions {
  drivers?: string[];
  dmas?: string[];
  directions?: ("tx" | "rx")[];
  kinds?: string[];
  holds?: (number | "all")[];
  queues?: number[];
  rounds?: number;
  traced?: boolean;
}

const OWN_KIND: Record<string, string> = { "virtio-net": "alloc-per-packet", i40e: "page-reuse" };
const DMA_NS: Record<string, number> = { direct: 0, swiotlb: 60, "iommu-strict": 40, "iommu-lazy": 25 };
const DIGESTS = { tx: "8c1f3a5be2907d46", rx: "03ae7fb1c9d8e265" };

/** A finished comparison: every combination, the first driver of each the baseline. */
export function fixtureDrivers(options: DriverFixtureOptions = {}): Comparison {
  const {
    drivers = ["virtio-net", "i40e", "premapped"],
    dmas = ["direct", "swiotlb", "iommu-strict", "iommu-lazy"],
    directions = ["tx", "rx"],
    kinds = [],
    holds = [0],
    queues = [1],
    rounds = 15,
    traced = false,
  } = options;
  const random = seeded(7);
  const cases: SystemCaseResult[] = [];
  const group = (
    direction: "tx" | "rx",
    dma: string,
    kind: string | null,
    hold: number | "all",
    n: number,
  ) => {
    let baseline: { id: string; samples: number[] } | undefined;
    for (const driver of drivers) {
      const maps = driver === "virtio-net" ? (direction === "tx" ? 3 : 1) : direction === "tx" ? 1 : 0;
      const ns = 30 + maps * (5 + DMA_NS[dma]);
      const samples = Array.from({ length: rounds }, () => ns * Math.exp(0.02 * normal(random)));
      const parts = [driver, dma, direction];
      if (direction === "rx" && kinds.length > 1) parts.push(String(kind));
      if (direction === "rx" && holds.length > 1) parts.push(`hold${hold}`);
      if (queues.length > 1) parts.push(`q${n}`);
      const id = parts.join("/");
      baseline ??= { id, samples };
      const summary = summarize(samples);
      const counters = countersOf(maps, dma, direction === "rx");
      cases.push({
        id,
        system: driver,
        driver,
        dma,
        rx: direction === "tx" ? null : (kind ?? OWN_KIND[driver] ?? "premapped"),
        hold: direction === "tx" ? null : hold,
        queues: n,
        direction,
        ring: "split",
        tables: direction === "tx" && driver !== "i40e" ? "heap" : "direct",
        sg: direction === "tx" ? 2 : 1,
        frame: "capture",
        batch: 32,
        batchRun: 32,
        ringSize: 256,
        threshold: 4,
        touch: "copy",
        packets: 1000 * rounds,
        bytes: 300_000 * rounds,
        rounds,
        nsPerPacket: summary,
        pps: 1e9 / summary.median,
        gbps: 2400 / summary.median,
        counters,
        perQueue: Array.from({ length: n }, (_, queue) => ({ queue, packets: 1000 / n, counters })),
        ...(traced ? { operations: OPERATIONS } : {}),
        digest: DIGESTS[direction],
        ratio: { baseline: baseline.id, ...pairedRatio(samples, baseline.samples) },
        notes: direction === "rx" ? ["31 of 2660 frames are left out"] : [],
      });
    }
  };
  for (const direction of directions)
    for (const n of queues)
      for (const dma of dmas)
        for (const kind of direction === "rx" && kinds.length > 0 ? kinds : [null])
          for (const hold of direction === "rx" ? holds : [0]) group(direction, dma, kind, hold, n);
  return { ...fixtureComparison(), options: { drivers, dma: dmas }, cases };
}

const OPERATIONS = [
  { op: "page-alloc", queue: 0, a: 0x12000, b: 1 },
  { op: "map", queue: 0, a: 0x12000, b: 4096 },
  { op: "refill", queue: 0, a: 256, b: 0 },
  { op: "sync-cpu", queue: 1, a: 0x12800, b: 2048 },
  { op: "receive", queue: 1, a: 1514, b: 64 },
];

function countersOf(maps: number, dma: string, receives: boolean): SystemCounters {
  const iommu = dma.startsWith("iommu");
  return {
    maps,
    unmaps: maps,
    syncsCpu: receives && maps === 0 ? 1 : 0,
    syncsDevice: 0,
    syncBytesAsked: receives && maps === 0 ? 2048 : 0,
    syncBytesCopied: 0,
    pagesAllocated: receives ? maps : 0,
    pagesFreed: receives ? maps : 0,
    pagesReused: receives && maps === 0 ? 1 : 0,
    reuseRate: receives && maps === 0 ? 1 : 0,
    iotlbHits: iommu ? 3 : 0,
    iotlbMisses: iommu ? 1 : 0,
    invalidations: dma === "iommu-strict" ? maps : 0,
    flushes: dma === "iommu-lazy" ? maps / 255 : 0,
    bounceBytes: dma === "swiotlb" ? 308 : 0,
    headerCopyBytes: receives ? 71 : 0,
    faults: 0,
    cpuCopies: 0,
    cpuBytes: 0,
    engineCopies: 0,
    engineBytes: 0,
    interconnectBytes: 0,
    pinnedPages: 0,
    socketCopies: 0,
    socketBytes: 0,
    wakeups: 0,
    tableTakes: receives ? 0 : maps > 1 ? 1 : 0,
    tableHits: 0,
    heapFalls: 0,
    directFalls: 0,
    localTakes: 0,
    remoteTakes: 0,
    doorbells: 0.03125,
    interrupts: 0.03125,
  };
}
