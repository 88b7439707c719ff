import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { main } from "../../src/cli/program.ts";
import type { CaseResult, Comparison } from "../../src/compare/result.ts";
import type { Engine } from "../../src/engine.ts";
import { QUICK, start, vring } from "./command.ts";

const TWO = [...QUICK, "--tables", "heap,slot"];

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vring-compare-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("a comparison", () => {
  test("shows a table on stdout and its progress as plain lines on stderr", async () => {
    const { code, stdout, stderr } = await vring("compare", ...TWO);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^split\/heap\/sg2 .*\nsplit\/slot\/sg2 /m);
    expect(stdout).not.toContain("\u001b");
    const lines = stderr.trimEnd().split("\n");
    for (const line of lines) expect(line).toMatch(/^\d+\/6 (warm-up|round \d) {2}split\/(heap|slot)\/sg2$/);
    expect(lines.at(-1)).toMatch(/^6\/6 /);
  });

  test("shows no progress when quiet", async () => {
    expect((await vring("compare", ...TWO, "--quiet")).stderr).toBe("");
  });

  test("replays the capture of the package when nothing else is said", async () => {
    const { code, stdout } = await vring("compare", ...QUICK.slice(2), "--tables", "slot", "--quiet");
    expect(code).toBe(0);
    expect(stdout).toContain("capture captures/web.pcapng: 2,660 packets and 819,573 bytes a pass");
  });

  test("writes a page of its own, and names the files", async () => {
    const [json, html] = [join(folder, "a.json"), join(folder, "a.html")];
    const { code, stdout } = await vring("compare", ...TWO, "--quiet", "--json", json, "--html", html);
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n").at(-1)).toBe(`Written: ${json}, ${html}`);
    const page = readFileSync(html, "utf8");
    expect(page).toMatch(/^<!doctype html>/i);
    expect(page).toContain("split/slot/sg2");
    expect(page).toContain("</svg>");
    expect(readdirSync(folder).sort()).toEqual(["a.html", "a.json"]);
  });

  test("ends quietly when nobody reads what it says", async () => {
    const { child, outcome } = start("compare", ...TWO);
    child.stdout.destroy();
    child.stderr.destroy();
    expect((await outcome).code).toBe(0);
  });

  test("says so, shows the table and exits with 2 when a report's folder is gone at the end", async () => {
    const gone = join(folder, "gone");
    mkdirSync(gone);
    const { saw, outcome } = start("compare", ...TWO, "--time", "100", "--json", join(gone, "a.json"));
    await saw(/^1\/6/m);
    rmSync(gone, { recursive: true });
    const { code, stdout, stderr } = await outcome;
    expect(code).toBe(2);
    expect(stdout).toContain("split/slot/sg2");
    expect(stderr).toMatch(/^vring: cannot write .*a\.json: the folder .*gone doesn't exist/m);
  });
});

describe("the JSON of a comparison", () => {
  const number = expect.any(Number);
  const text = expect.any(String);
  const digest = expect.stringMatching(/^[0-9a-f]{16}$/);
  const shape: CaseResult = {
    id: text,
    ring: "split",
    tables: text,
    sg: 2,
    frame: 64,
    batch: 32,
    batchRun: 32,
    ringSize: 256,
    threshold: 4,
    touch: "none",
    packets: number,
    bytes: number,
    rounds: 2,
    nsPerPacket: { min: number, median: number, p95: number },
    pps: number,
    gbps: number,
    counters: {
      tableTakes: 1,
      tableHits: number,
      heapFalls: 0,
      directFalls: 0,
      localTakes: 1,
      remoteTakes: 0,
      doorbells: 0.0313725,
      interrupts: 0.0313725,
    },
    digest,
    ratio: { baseline: "split/heap/sg2", value: number, low: number, high: number },
    notes: [],
  };

  test("has every field of its shape, and replaces the file as a whole", async () => {
    const path = join(folder, "a.json");
    writeFileSync(path, "old");
    await vring("compare", ...TWO, "--quiet", "--json", path);
    const json: Comparison = JSON.parse(readFileSync(path, "utf8"));
    expect(json).toEqual({
      schema: 1,
      environment: {
        node: process.version,
        v8: process.versions.v8,
        cpu: text,
        cores: number,
        placement: "skewed",
        memoryBytes: number,
      },
      workload: { kind: "fixed", file: null, packets: 1020, bytes: 1020 * 64, digest },
      options: {
        frames: [64],
        seed: 1,
        ring: ["split"],
        tables: ["heap", "slot"],
        sg: [2],
        batch: [32],
        "ring-size": [256],
        threshold: [4],
        touch: ["none"],
        rounds: 2,
        time: 5,
        align: false,
      },
      complete: true,
      cases: [shape, shape],
    });
    const [heap, slot] = json.cases;
    expect(json.cases.map(({ id }) => id)).toEqual(["split/heap/sg2", "split/slot/sg2"]);
    expect(heap.ratio).toEqual({ baseline: heap.id, value: 1, low: 1, high: 1 });
    expect(slot.ratio.value).toBeCloseTo(slot.pps / heap.pps, 3);
    expect(new Set([json.workload.digest, heap.digest, slot.digest]).size).toBe(1);
  });
});

describe("every option reaches the comparison:", () => {
  test.each<[string, Partial<CaseResult>]>([
    ["--ring packed", { id: "packed/slot/sg2", ring: "packed" }],
    ["--sg 4", { id: "split/slot/sg4", sg: 4 }],
    ["--frames imix", { frame: "imix" }],
    ["--frames 64,128 --baseline split/slot/sg2/f128", { id: "split/slot/sg2/f64", frame: 64 }],
    ["--batch 7", { batch: 7, batchRun: 7 }],
    ["--batch 7,300", { id: "split/slot/sg2/b7" }],
    ["--ring-size 16", { ringSize: 16, batch: 32, batchRun: 16 }],
    ["--threshold 1", { threshold: 1, notes: [expect.stringMatching(/^all on the heap/)] }],
    ["--touch copy", { touch: "copy" }],
    ["--rounds 1", { rounds: 1 }],
    ["--sg 2,2,02", { id: "split/slot/sg2" }],
  ])("%s", async (args, expected) => {
    const path = join(folder, "a.json");
    const base = [...QUICK, "--tables", "slot", "--quiet", "--json", path];
    const { code } = await inProcess(["compare", ...base, ...args.split(" ")]);
    expect(code).toBe(0);
    expect(JSON.parse(readFileSync(path, "utf8")).cases[0]).toMatchObject(expected);
  });

  test("--align, --memory and --seed", async () => {
    const path = join(folder, "a.json");
    const args = [...QUICK, "--tables", "slot", "--quiet", "--json", path];
    await inProcess(["compare", ...args]);
    const plain: Comparison = JSON.parse(readFileSync(path, "utf8"));
    await inProcess(["compare", ...args, "--align", "--memory", "8388608", "--seed", "2"]);
    const other: Comparison = JSON.parse(readFileSync(path, "utf8"));
    expect(other.environment).toMatchObject({ placement: "aligned", memoryBytes: 8388608 });
    expect(other.workload.digest).not.toBe(plain.workload.digest);
  });
});

describe("exit code 1 and one line is what one gets", () => {
  const one = [...QUICK, "--tables", "heap,slot", "--quiet"];

  test("when a byte changed on the way; nothing is written", async () => {
    const tamper = (engine: Engine): void => {
      engine.bytes(engine.buffers.ptr + 50, 1)[0] ^= 0x80;
    };
    const { code, stdout, stderr } = await inProcess(
      ["compare", ...one, "--json", join(folder, "a")],
      tamper,
    );
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^vring: other bytes arrived .*: split\/heap\/sg2 .*, split\/slot\/sg2 .*\n$/);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("when something leaked", async () => {
    const tamper = (engine: Engine): void => {
      engine.wasm.tlsfTake(engine.region("heap control").ptr, 64);
    };
    const { code, stdout, stderr } = await inProcess(["compare", ...one], tamper);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toBe("vring: split/heap/sg2 leaks: 1 live blocks of the heap, but 0 would be right\n");
  });
});

describe("Ctrl-C", () => {
  test("shows and writes what is complete, and exits with 130", async () => {
    const path = join(folder, "a.json");
    const { child, saw, outcome } = start(
      "compare",
      ...TWO,
      "--rounds",
      "200",
      "--time",
      "10",
      "--json",
      path,
    );
    await saw(/ round \d+ /);
    child.kill("SIGINT");
    const { code, stdout } = await outcome;
    expect(code).toBe(130);
    expect(stdout).toContain("Interrupted: only what was complete is shown.");
    expect(stdout).toMatch(/^split\/heap\/sg2 .*\nsplit\/slot\/sg2 /m);
    const { complete, cases }: Comparison = JSON.parse(readFileSync(path, "utf8"));
    expect([complete, cases.length]).toEqual([false, 2]);
    expect(cases[0].rounds).toBeLessThan(200);
    expect(cases[0].rounds).toBe(cases[1].rounds);
  });

  test("does not wait for the end of a long round, and leaves the file alone when nothing is complete", async () => {
    const path = join(folder, "a.json");
    writeFileSync(path, "old");
    const { child, saw, outcome } = start("compare", ...TWO, "--time", "60000", "--json", path);
    await saw(/^2\/6 warm-up/m);
    child.kill("SIGINT");
    const { code, stdout } = await outcome;
    expect(code).toBe(130);
    expect(stdout).toContain("No case was completed.");
    expect(readFileSync(path, "utf8")).toBe("old");
  });
});

test("help and version are on stdout, with exit code 0", async () => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  expect(await vring("--version")).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  for (const args of [["--help"], ["help"], ["compare", "--help"]]) {
    const { code, stdout, stderr } = await vring(...args);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^Usage: vring/);
  }
});

async function inProcess(args: string[], tamper?: (engine: Engine) => void) {
  const stdout = new PassThrough().setEncoding("utf8");
  const stderr = new PassThrough().setEncoding("utf8");
  const module = readFileSync(new URL("../../build/vring.wasm", import.meta.url));
  const code = await main(args, { version: "0", stdout, stderr, color: false, module, tamper });
  return { code, stdout: String(stdout.read() ?? ""), stderr: String(stderr.read() ?? "") };
}
