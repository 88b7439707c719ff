import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CompareFlags } from "../../src/cli/compare-options.ts";
import { main } from "../../src/cli/program.ts";
import { settleFlags } from "../../src/cli/system-options.ts";
import type { Comparison, SystemCaseResult } from "../../src/compare/result.ts";
import { directionsOf, SYSTEM_RECORDS } from "../../src/system/records.ts";

const module = readFileSync(new URL("../../build/vring.wasm", import.meta.url));
/** A comparison of systems that is over soon. */
const QUICK = ["--frames", "256", "--rounds", "2", "--time", "1", "--quiet"];

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vring-systems-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function vring(...args: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const code = await main(args, { version: "0", stdout, stderr, color: false, module });
  const read = (stream: PassThrough): string => String(stream.read() ?? "");
  return { code, stdout: read(stdout), stderr: read(stderr) };
}

type SystemComparison = Omit<Comparison, "cases"> & { cases: SystemCaseResult[]; stdout: string };

async function compared(...args: string[]): Promise<SystemComparison> {
  const path = join(folder, "a.json");
  const { code, stdout, stderr } = await vring("compare", ...QUICK, ...args, "--json", path);
  expect([code, stderr]).toEqual([0, ""]);
  return { ...JSON.parse(readFileSync(path, "utf8")), stdout };
}

test("--systems all runs every system of the registry in its directions, against vhost-net", async () => {
  const { cases, options, systems, stdout } = await compared("--systems", "all");
  const records = Object.values(SYSTEM_RECORDS);
  const ids = records.flatMap((record) => directionsOf(record).map((way) => `${record.name}/${way}`));
  expect(cases.map(({ id }) => id).sort()).toEqual(ids.sort());
  for (const { id, direction, ratio } of cases)
    expect([id, ratio.baseline]).toEqual([id, `vhost-net/${direction}`]);
  expect(systems).toEqual(expect.arrayContaining(records));
  expect(options).toMatchObject({
    ...{ ring: ["split"], tables: ["freelist"], touch: ["none"] },
    ...{ dma: "each system's own", rx: "each system's own" },
  });
  expect(stdout).toContain("the wire's own DMA is left out");
});

test("a case of a system says what it is and who copied what, per packet", async () => {
  const { cases } = await compared("--systems", "qemu-virtio-net,sriov-vf");
  expect(cases.map(({ id }) => id)).toEqual([
    "qemu-virtio-net/tx",
    "sriov-vf/tx",
    "qemu-virtio-net/rx",
    "sriov-vf/rx",
  ]);
  expect(cases[2]).toMatchObject({
    ...{ system: "qemu-virtio-net", driver: "virtio-net", dma: "direct", direction: "rx", frame: 256 },
    counters: {
      ...{ cpuCopies: 2, cpuBytes: 512, engineCopies: 0, engineBytes: 0, interconnectBytes: 512 },
      ...{ headerCopyBytes: 0, pinnedPages: 0, doorbells: expect.any(Number), maps: 0 },
    },
    ratio: { baseline: "qemu-virtio-net/rx" },
  });
  expect(cases[3]).toMatchObject({
    ...{ system: "sriov-vf", driver: "premapped", dma: "iommu-strict" },
    counters: { cpuCopies: 0, cpuBytes: 0, interconnectBytes: 0 },
    notes: ["sriov-vf is behind iommu-strict"],
  });
  const perQueue = cases[2].perQueue.map(({ counters }) => counters.cpuCopies);
  expect(perQueue).toEqual([2]);
});

describe("the options of systems reach the comparison:", () => {
  test("--direction both is two cases, and one direction is one", async () => {
    const ids = async (way: string) =>
      (await compared("--systems", "vhost-net", "--direction", way)).cases.map(({ id }) => id);
    expect(await ids("both")).toEqual(["vhost-net/tx", "vhost-net/rx"]);
    expect(await ids("rx")).toEqual(["vhost-net/rx"]);
  });

  test("--tables are an arm of each system", async () => {
    const { cases } = await compared(
      ...["--systems", "vhost-net", "--direction", "tx", "--tables", "heap,freelist"],
    );
    expect(cases.map(({ id, tables }) => [id, tables])).toEqual([
      ["vhost-net/tx/heap", "heap"],
      ["vhost-net/tx/freelist", "freelist"],
    ]);
  });

  test("--dma stands in the place of each system's own, but for those that map nothing", async () => {
    const { cases } = await compared(
      ...["--systems", "vhost-net,premapped", "--direction", "tx", "--dma", "iommu-lazy,swiotlb"],
    );
    expect(cases.map(({ id }) => id)).toEqual([
      "vhost-net/direct/tx",
      "premapped/iommu-lazy/tx",
      "premapped/swiotlb/tx",
    ]);
    for (const { ratio } of cases) expect(ratio.baseline).toBe("vhost-net/direct/tx");
  });

  test("--offloads off has software cut to --mtu what is longer, and on passes it whole", async () => {
    const args = ["--systems", "vhost-net", "--direction", "tx", "--frames", "4000", "--mtu", "1000"];
    const frames = async (offloads: string) => {
      const { options, workload } = await compared(...args, "--offloads", offloads);
      expect(options).toMatchObject({ mtu: 1000, offloads });
      expect(workload.notes?.[0]).toMatch(/^1020 of 1020 frames are longer than an MTU of 1000/);
      return workload.packets;
    };
    expect([await frames("on"), await frames("off")]).toEqual([1020, 5 * 1020]);
  });

  test("--socket adds the guest kernel's own copy, counted apart", async () => {
    const { cases } = await compared("--systems", "vhost-net,xsk", "--direction", "tx", "--socket");
    const socket = { socketCopies: 1, socketBytes: 256 };
    expect(cases[0].counters).toMatchObject({ cpuCopies: 1, cpuBytes: 256, ...socket });
    // Its program fills the driver's buffers itself.
    expect(cases[1].counters).toMatchObject({ cpuCopies: 0, socketCopies: 0 });
  });

  test("those that are named before `all` come first, so that all are compared with them", () => {
    const flags = { systems: ["sriov-vf", "all"] } as CompareFlags;
    const { compared } = settleFlags(flags, () => false);
    const names = compared?.systems.map(({ name }) => name) ?? [];
    expect(names[0]).toBe("sriov-vf");
    expect(names.toSorted()).toEqual(Object.keys(SYSTEM_RECORDS).toSorted());
  });
});

describe("a system of the user's", () => {
  const EXAMPLE = "examples/system.json";
  const fileOf = (name: string, content: unknown): string => {
    const path = join(folder, name);
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  };

  test("is compared beside the others, and the result holds it as it was run", async () => {
    const { cases, systems } = await compared(
      ...["--systems", "vhost-net", "--direction", "rx", "--system-file", EXAMPLE],
    );
    expect(cases.map(({ id, rx, ratio }) => [id, rx, ratio.baseline])).toEqual([
      ["vhost-net/rx", "alloc-per-packet", "vhost-net/rx"],
      ["vhost-net-pooled/rx", "page-pool", "vhost-net/rx"],
    ]);
    expect(cases[1].counters).toMatchObject({ cpuCopies: 1, pagesAllocated: 0 });
    expect(systems?.[1]).toMatchObject({ name: "vhost-net-pooled", rx: { kind: "page-pool" } });
  });

  test("may be named, may be the baseline, and may extend one of another file", async () => {
    const own = fileOf("own.json", { extends: "vhost-net-pooled", name: "own", directions: ["rx"] });
    const { cases } = await compared(
      ...["--systems", "own,vhost-net-pooled", "--system-file", EXAMPLE, "--system-file", own],
    );
    expect(cases.map(({ id, ratio }) => [id, ratio.baseline])).toEqual([
      ["vhost-net-pooled/tx", "vhost-net-pooled/tx"],
      ["own/rx", "own/rx"],
      ["vhost-net-pooled/rx", "own/rx"],
    ]);
  });

  test.each<[string, unknown, RegExp]>([
    ["no JSON", "{", /a\.json: it is no JSON: /],
    [
      "an unknown field",
      { extends: "vhost-net", name: "a", speed: 1 },
      /a\.json: speed: 1 is not possible; there is/,
    ],
    [
      "a contradiction",
      { extends: "vhost-net", name: "a", dma: "swiotlb" },
      /a\.json: dma: "swiotlb" goes with acc/,
    ],
    [
      "what the engine can't run",
      { extends: "vhost-net", name: "a", rx: { kind: "page-reuse", mergeable: true, sgs: 2 } },
      /a\.json: /,
    ],
  ])("in a file with %s is one line, and nothing is run", async (_, content, message) => {
    const path = fileOf("a.json", content);
    const { code, stdout, stderr } = await vring("compare", "--systems", "vhost-net", "--system-file", path);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^vring: [^\n]+\n$/);
    expect(stderr.trimEnd()).toMatch(message);
  });
});

describe("vring systems", () => {
  test("lists each system with its directions, its copies and what it is about, and below what it is made of", async () => {
    const { code, stdout } = await vring("systems", "--system-file", "examples/system.json");
    expect(code).toBe(0);
    for (const { name, about } of Object.values(SYSTEM_RECORDS))
      expect(stdout).toMatch(new RegExp(`^${name} +(tx|rx|tx, rx)  .*${about.slice(-20)}$`, "m"));
    expect(stdout).toMatch(/^qemu-virtio-net +tx, rx +1 \/ 2 /m);
    expect(stdout).toContain(
      "    driver virtio-net; receive buffers page-pool; dma none, physical addresses; host copy (hops 1)\n",
    );
    expect(stdout).toMatch(/^vhost-net-pooled /m);
  });

  test("has the same as JSON, with the whole records and the ways through them", async () => {
    const { stdout } = await vring("systems", "--json");
    const systems = JSON.parse(stdout);
    expect(systems.map(({ name }: { name: string }) => name)).toEqual(Object.keys(SYSTEM_RECORDS));
    const vhost = systems.find(({ name }: { name: string }) => name === "vhost-net");
    expect(vhost).toMatchObject({
      ...SYSTEM_RECORDS["vhost-net"],
      directions: ["tx", "rx"],
      copies: { tx: { cpu: 1, engine: 0, header: false, copiedBelow: 0 } },
    });
    expect(vhost.way.rx.map(({ step }: { step: string }) => step)).toEqual(["dma", "cpu", "reference"]);
  });
});

test("the copies in the README are what vring systems prints, and the file in docs/compare.md is the example", async () => {
  const words = (line: string) => line.trim().split(/\s+/).join(" ");
  const { stdout } = await vring("systems");
  const printed = stdout.split("\n").map(words);
  const rows = [...readFileSync("README.md", "utf8").matchAll(/^\| `([a-z0-9-]+)` +\| ([^|]+?) +\|/gm)];
  const systems = rows.filter(([, name]) => Object.hasOwn(SYSTEM_RECORDS, name));
  expect(systems).toHaveLength(5);
  for (const [, name, copies] of systems) {
    expect(
      printed.filter((line) => line.startsWith(`${name} `) && line.includes(` ${copies} `)),
    ).toHaveLength(1);
  }
  const file = /```json\n([^`]*)```/.exec(readFileSync("docs/compare.md", "utf8"))?.[1] ?? "";
  expect(JSON.parse(file)).toEqual(JSON.parse(readFileSync("examples/system.json", "utf8")));
});

describe("one line and exit code 2 are what one gets for", () => {
  test.each<[string, string, RegExp]>([
    ["an unknown system", "--systems vhost", /--systems: "vhost" is not possible; all, .*vhost-net.* are$/],
    ["systems and drivers", "--systems all --drivers i40e", /--drivers and --systems exclude each other/],
    [
      "a backend where nothing is mapped",
      "--systems vhost-net,qemu-virtio-net --dma swiotlb",
      /--dma: vhost-net, qemu-virtio-net hand out physical addresses and map nothing/,
    ],
    ["an MTU too small", "--systems all --mtu 67", /--mtu: "67" is not possible; .* from 68 to 65535 is/],
    [
      "offloads by halves",
      "--systems all --offloads half",
      /--offloads: "half" is not possible; on, off are/,
    ],
    ["a file without systems", "--system-file examples/system.json", /--system-file goes with --systems/],
    [
      "a file that isn't there",
      "--systems all --system-file gone.json",
      /cannot read gone\.json: there is no such/,
    ],
    ["an MTU of bare rings", "--mtu 1500", /--mtu goes with --drivers or --systems/],
    ["aligned buffers", "--systems all --align", /--align goes without --systems/],
    [
      "tables where nothing is transmitted",
      "--systems all --direction rx --tables heap",
      /--tables is about transmitting, but --direction rx only receives/,
    ],
  ])("%s", async (_, args, message) => {
    const { code, stdout, stderr } = await vring("compare", ...args.split(" "));
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^vring: [^\n]+\n$/);
    expect(stderr.trimEnd()).toMatch(message);
  });
});
