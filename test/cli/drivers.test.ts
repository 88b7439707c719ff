import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { main } from "../../src/cli/program.ts";
import type { Comparison, SystemCaseResult } from "../../src/compare/result.ts";
import type { Engine } from "../../src/engine.ts";
import { vring } from "./command.ts";

const module = readFileSync(new URL("../../build/vring.wasm", import.meta.url));
/** A comparison of drivers that is over soon. */
const QUICK = ["--frames", "64", "--rounds", "2", "--time", "2", "--quiet"];
const TWO = ["compare", "--drivers", "virtio-net,i40e", ...QUICK];

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vring-drivers-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

type DriverComparison = Omit<Comparison, "cases"> & { cases: SystemCaseResult[] };

async function jsonOf(...args: string[]): Promise<DriverComparison> {
  const path = join(folder, "a.json");
  const { code, stderr } = await inProcess([...args, "--json", path]);
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(readFileSync(path, "utf8"));
}

test("drivers are compared on every backend, in both directions, when nothing else is said", async () => {
  const { code, stdout, stderr } = await vring(...TWO, "--rounds", "1");
  expect([code, stderr]).toEqual([0, ""]);
  for (const dma of ["direct", "swiotlb", "iommu-strict", "iommu-lazy"])
    for (const way of ["transmit", "receive"]) expect(stdout).toContain(`\n64-byte frames, ${way}, ${dma}\n`);
  expect(stdout).toContain("the driver's own receive buffers: page-reuse");
});

test("the JSON has what a driver's case is and what it counts, beside all that other cases have", async () => {
  const { schema, options, cases } = await jsonOf(...TWO, "--dma", "iommu-strict", "--queues", "2");
  const number = expect.any(Number);
  expect(schema).toBe(1);
  expect(options).toMatchObject({
    ...{ drivers: ["virtio-net", "i40e"], dma: ["iommu-strict"], direction: ["tx", "rx"], hold: [0] },
    ...{ rx: "each driver's own", drop: "in-order", queues: [2], ring: ["split"], tables: ["heap"], sg: [2] },
  });
  expect(cases.map(({ id }) => id)).toEqual([
    "virtio-net/iommu-strict/tx",
    "i40e/iommu-strict/tx",
    "virtio-net/iommu-strict/rx",
    "i40e/iommu-strict/rx",
  ]);
  const counters = {
    ...{ maps: 1, unmaps: 1, syncsCpu: 0, syncsDevice: 0, syncBytesAsked: 0, syncBytesCopied: 0 },
    ...{ pagesAllocated: 1, pagesFreed: 1, pagesReused: 0, reuseRate: 0 },
    ...{ bounceBytes: 0, headerCopyBytes: 0, faults: 0, cpuCopies: 0, cpuBytes: 0 },
    ...{ engineCopies: 0, engineBytes: 0, interconnectBytes: 0, pinnedPages: 0 },
    ...{ socketCopies: 0, socketBytes: 0, wakeups: 0 },
    ...{ tableTakes: 0, tableHits: 0, heapFalls: 0, directFalls: 0, localTakes: 0, remoteTakes: 0 },
    ...{ doorbells: number, interrupts: number },
  };
  const device = { iotlbHits: number, iotlbMisses: number, invalidations: 1, flushes: 0 };
  expect(cases[2]).toEqual({
    id: "virtio-net/iommu-strict/rx",
    ...{
      system: "virtio-net",
      driver: "virtio-net",
      dma: "iommu-strict",
      rx: "alloc-per-packet",
      hold: 0,
      queues: 2,
    },
    ...{ direction: "rx", ring: "split", tables: "direct", sg: 1, frame: 64, batch: 32, batchRun: 32 },
    ...{ ringSize: 256, threshold: 0, touch: "copy", packets: number, bytes: number, rounds: 2 },
    nsPerPacket: { min: number, median: number, p95: number },
    ...{ pps: number, gbps: number },
    counters: { ...counters, ...device },
    perQueue: [0, 1].map((queue) => ({ queue, packets: number, counters })),
    digest: expect.stringMatching(/^[0-9a-f]{16}$/),
    ratio: { baseline: "virtio-net/iommu-strict/rx", value: 1, low: 1, high: 1 },
    notes: ["the driver's own receive buffers: alloc-per-packet"],
  });
  expect(cases[0]).toMatchObject({ rx: null, hold: null, tables: "heap", threshold: 4 });
});

describe("every option of drivers reaches the comparison:", () => {
  test.each<[string, Partial<SystemCaseResult>]>([
    ["--direction rx --rx page-pool", { id: "i40e/direct/rx", rx: "page-pool", reuseRate: 1 } as object],
    ["--direction rx --hold 8 --drop random", { hold: 8 }],
    ["--direction rx --hold all,0", { id: "i40e/direct/rx/holdall", hold: "all" }],
    ["--direction tx --queues 4,8", { id: "i40e/direct/tx/q4", queues: 4 }],
    ["--direction tx --ring packed --ring-size 100", { ring: "packed", ringSize: 100 }],
    ["--direction tx --batch 7", { batch: 7, batchRun: 7 }],
    ["--direction tx --sg 9", { sg: 9 }],
    ["--direction tx --touch none", { touch: "none" }],
    [
      "--direction tx --frames 64,128 --baseline i40e/direct/tx/f128",
      { id: "i40e/direct/tx/f64", frame: 64 },
    ],
  ])("%s", async (args, { reuseRate, ...expected }: Partial<SystemCaseResult> & { reuseRate?: number }) => {
    const base = ["compare", "--drivers", "i40e", "--dma", "direct", ...QUICK];
    const { cases } = await jsonOf(...base, ...args.split(" "));
    expect(cases[0]).toMatchObject(expected);
    if (reuseRate !== undefined) expect(cases[0].counters.reuseRate).toBe(reuseRate);
  });

  test("a packet of more than 8 elements is copied flat by i40e: one map", async () => {
    const args = ["compare", "--drivers", "i40e", "--dma", "direct", "--direction", "tx", ...QUICK];
    const { cases } = await jsonOf(...args, "--sg", "8,9");
    expect(cases.map(({ counters }) => counters.maps)).toEqual([8, 1]);
  });

  test("--tables and --threshold", async () => {
    const args = ["compare", "--drivers", "virtio-net", "--dma", "direct", "--direction", "tx", ...QUICK];
    const { cases } = await jsonOf(...args, "--tables", "freelist,direct", "--threshold", "2");
    expect(cases.map(({ tables, threshold, counters }) => [tables, threshold, counters.maps])).toEqual([
      ["freelist", 2, 3],
      ["direct", 2, 2],
    ]);
  });
});

test("--trace-ops prints the first operations of each case, and puts them into the JSON", async () => {
  const path = join(folder, "a.json");
  const { code, stdout } = await inProcess([
    ...["compare", "--drivers", "i40e", "--dma", "swiotlb", ...QUICK],
    ...["--trace-ops", "3", "--json", path],
  ]);
  expect(code).toBe(0);
  const blocks = stdout.split("The first operations of ").slice(1);
  expect(blocks.map((block) => block.split("\n").slice(0, 4))).toEqual([
    ["i40e/swiotlb/tx:", ...Array(3).fill(expect.stringMatching(/^ {2}queue 0 {2}map .* 32 bytes$/))],
    [
      "i40e/swiotlb/rx:",
      expect.stringMatching(/^ {2}queue 0 {2}reclaim +32 taken back, 32 descriptors free$/),
      expect.stringMatching(/^ {2}queue 0 {2}sync-cpu +[0-9a-f]{8} {2}2048 bytes$/),
      expect.stringMatching(/^ {2}queue 0 {2}page-reuse/),
    ],
  ]);
  const { cases } = JSON.parse(readFileSync(path, "utf8"));
  expect(cases[1].operations.map(({ op }: { op: string }) => op)).toEqual([
    "reclaim",
    "sync-cpu",
    "page-reuse",
  ]);
});

test("the page has every case and figure", async () => {
  const path = join(folder, "a.html");
  expect((await inProcess([...TWO, "--html", path])).code).toBe(0);
  const page = readFileSync(path, "utf8");
  expect(page).toMatch(/^<!doctype html>[\s\S]*<\/html>\s*$/i);
  expect(page).toContain("Ratio to the baseline, iommu-lazy, receive");
});

test("exit code 1, one line and no file are what one gets when a driver's case leaks", async () => {
  const tamper = (engine: Engine, id: string): void => {
    if (id === "i40e/iommu-lazy/tx") engine.devices[0].dma.map(engine.buffers.ptr, 64, "to-device");
  };
  const { code, stdout, stderr } = await inProcess([...TWO, "--json", join(folder, "a")], tamper);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^vring: i40e\/iommu-lazy\/tx leaks: 1 live mappings, but 0 would be right.*\n$/);
  expect(readdirSync(folder)).toEqual([]);
});

async function inProcess(args: string[], tamper?: (engine: Engine, id: string) => void) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const code = await main(args, { version: "0", stdout, stderr, color: false, tamper, module });
  const read = (stream: PassThrough): string => String(stream.read() ?? "");
  return { code, stdout: read(stdout), stderr: read(stderr) };
}
