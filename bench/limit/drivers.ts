/** What drivers' buffer policies cost beside each other: published, without a bar. */

import { readFile } from "node:fs/promises";
import { perPacket, ratio } from "../../src/compare/report/format.ts";
import { type CaseResult, isSystemCase, type SystemCounters } from "../../src/compare/result.ts";
import { type CompareOptions, compare } from "../../src/compare/runner.ts";
import { DMA_BACKENDS, type DmaBackend } from "../../src/names.ts";
import { fixedTraffic } from "../../src/net/traffic.ts";
import { type Direction, systemsNamed } from "../../src/system/records.ts";
import { ONE_DRIVER_CASE } from "../one-driver-case.ts";

const FRAMES = [64, 1518];
const PACKETS = 1020;
const BACKENDS = Object.keys(DMA_BACKENDS) as DmaBackend[];

/** What a packet costs in calls and bytes: where the gain comes from. */
const CAUSES: readonly (keyof SystemCounters)[] = [
  "maps",
  "unmaps",
  "syncsCpu",
  "syncsDevice",
  "pagesAllocated",
  "bounceBytes",
  "headerCopyBytes",
  "invalidations",
];

/** RX of both drivers on every backend, and lazy against strict invalidation in both directions. */
export async function driverLines(): Promise<string[]> {
  const drivers = await run({
    systems: systemsNamed("virtio-net", "i40e"),
    dmas: BACKENDS,
    directions: ["rx"],
  });
  const lines = drivers.flatMap((c) => {
    if (!isSystemCase(c) || c.ratio.baseline === c.id) return [];
    return lineOf(`RX ${c.frame} B, i40e against virtio-net, ${c.dma}`, c, drivers);
  });
  for (const frame of FRAMES) {
    for (const direction of ["tx", "rx"] as const) lines.push(...(await lazyLines(frame, direction)));
  }
  return lines;
}

async function lazyLines(frame: number, direction: Direction): Promise<string[]> {
  const cases = await run(
    {
      systems: systemsNamed("virtio-net"),
      dmas: ["iommu-strict", "iommu-lazy"],
      directions: [direction],
      baseline: `virtio-net/iommu-strict/${direction}`,
    },
    [frame],
  );
  return lineOf(
    `${direction.toUpperCase()} ${frame} B, virtio-net, iommu-lazy against iommu-strict`,
    cases[1],
    cases,
  );
}

async function run(changes: Partial<CompareOptions>, frames = FRAMES): Promise<CaseResult[]> {
  const options = {
    ...ONE_DRIVER_CASE,
    rounds: 21,
    timeMs: 20,
    align: false,
    ...changes,
  } as CompareOptions;
  const traffics = frames.map((bytes) => fixedTraffic(bytes, { count: PACKETS, seed: 1 }));
  const machine = { node: "", v8: "", cpu: "", cores: 0 };
  const module = await WebAssembly.compile(await readFile("build/vring.wasm"));
  return (await compare(traffics, options, { machine, module })).cases;
}

/** The ratio with its interval, and below it what of a packet differs. */
function lineOf(measure: string, c: CaseResult, all: readonly CaseResult[]): string[] {
  const baseline = all.find(({ id }) => id === c.ratio.baseline);
  if (baseline === undefined || !isSystemCase(baseline) || !isSystemCase(c))
    throw new Error(`${measure}: there is nothing to compare with`);
  const causes = CAUSES.filter((name) => c.counters[name] !== baseline.counters[name]).map(
    (name) => `${name} ${perPacket(c.counters[name])} against ${perPacket(baseline.counters[name])}`,
  );
  const ns = `${c.nsPerPacket.median.toFixed(1)} and ${baseline.nsPerPacket.median.toFixed(1)} ns a packet`;
  return [
    `${measure}, without a bar: ${ratio(c.ratio)} times the packets a second, ${ns}`,
    `    a packet: ${causes.length === 0 ? "the same in all counters" : causes.join(", ")}`,
  ];
}
