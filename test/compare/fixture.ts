/** Comparisons with plausible numbers, made from a seed, for the tests of the reports. */
import type { CaseResult, Comparison, Counters } from "../../src/compare/result.ts";
import { pairedRatio, summarize } from "../../src/compare/statistics.ts";

export interface FixtureOptions {
  rings?: ("split" | "packed")[];
  tables?: string[];
  sgs?: number[];
  frames?: (string | number)[];
  rounds?: number;
  threshold?: number;
  seed?: number;
  file?: string | null;
}

/** A seeded generator of numbers in (0, 1): mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
}

/** A standard normal variate, by Box and Muller. */
export function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
}

const PACKETS_A_PASS = 3412;
const BYTES_A_PASS = 1_914_233;
const DIGEST = "8c1f3a5be2907d46";

const BASE_NS: Record<string, number> = {
  heap: 34,
  freelist: 0,
  grow: 1.5,
  slot: -1,
  "per-node": 2,
  direct: -3,
};

function nsPerPacket(ring: string, tables: string, sg: number, falls: boolean): number {
  const source = falls ? "heap" : tables;
  return 11 + 3.1 * sg + (ring === "packed" ? 2.5 - 0.4 * sg : 0) + (BASE_NS[source] ?? 5);
}

function countersOf(tables: string, falls: boolean): Counters {
  const takes = tables === "direct" ? 0 : 1;
  const hits = falls || tables === "heap" || tables === "direct" ? 0 : 1;
  return {
    tableTakes: takes,
    tableHits: hits,
    heapFalls: falls ? 1 : 0,
    directFalls: 0,
    localTakes: tables === "per-node" ? 1 : tables === "freelist" ? 0.5 : 0,
    remoteTakes: tables === "freelist" && !falls ? 0.5 : 0,
    doorbells: 0.03125,
    interrupts: 0.03125,
  };
}

/** A finished comparison: 15 rounds of noise of 2 %, with a drift of the machine that both arms of a round share. */
export function fixtureComparison(options: FixtureOptions = {}): Comparison {
  const {
    rings = ["split", "packed"],
    tables = ["heap", "freelist", "slot", "direct"],
    sgs = [2],
    frames = ["capture"],
    rounds = 15,
    threshold = 4,
    seed = 1,
    file = "captures/web.pcapng",
  } = options;
  const random = seeded(seed);
  const drift = Array.from({ length: rounds }, () => 1 + 0.1 * random());
  const cases: CaseResult[] = [];
  for (const frame of frames) {
    for (const ring of rings) {
      for (const sg of sgs) {
        let baseline: { id: string; samples: number[] } | undefined;
        for (const source of tables) {
          const falls = ["freelist", "grow", "per-node"].includes(source) && sg > threshold;
          const id = [ring, source, `sg${sg}`, ...(frames.length > 1 ? [`f${frame}`] : [])].join("/");
          const ns = nsPerPacket(ring, source, sg, falls);
          const samples = drift.map((d) => ns * d * Math.exp(0.02 * normal(random)));
          baseline ??= { id, samples };
          const summary = summarize(samples);
          const bytesPerPacket = typeof frame === "number" ? frame : BYTES_A_PASS / PACKETS_A_PASS;
          const packets = rounds * 100 * PACKETS_A_PASS;
          cases.push({
            id,
            ring,
            tables: source,
            sg,
            frame,
            batch: 32,
            batchRun: sg > 8 ? 13 : 32,
            ringSize: 256,
            threshold,
            touch: "none",
            packets,
            bytes: Math.round(packets * bytesPerPacket),
            rounds,
            nsPerPacket: summary,
            pps: 1e9 / summary.median,
            gbps: (8 * bytesPerPacket) / summary.median,
            counters: countersOf(source, falls),
            digest: typeof frame === "number" ? frame.toString(16).padStart(16, "0") : DIGEST,
            ratio: { baseline: baseline.id, ...pairedRatio(samples, baseline.samples) },
            notes: [
              ...(falls
                ? [
                    `every packet has more than ${threshold} sgs, the threshold: all tables come from the heap`,
                  ]
                : []),
              ...(sg > 8 ? ["bursts of 32 were cut to 13, which is what fits a ring of 256"] : []),
            ],
          });
        }
      }
    }
  }
  return {
    schema: 1,
    environment: {
      node: "v20.20.2",
      v8: "11.3.244.8-node.33",
      cpu: "Intel(R) Xeon(R) Processor @ 2.60GHz",
      cores: 2,
      placement: "skewed",
      memoryBytes: 64 * 2 ** 20,
    },
    workload: { kind: "capture", file, packets: PACKETS_A_PASS, bytes: BYTES_A_PASS, digest: DIGEST },
    options: { batch: 32, "ring-size": 256, rounds, seed },
    complete: true,
    cases,
  };
}
