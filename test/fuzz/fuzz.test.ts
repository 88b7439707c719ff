/** The fuzzers of the four halves: a fixed number of cases each, and their command line. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it, test } from "vitest";
import { Fuzzer, TARGETS } from "../../fuzz/fuzzer.ts";
import { keptCases } from "../../fuzz/kept.ts";
import { main } from "../../fuzz/main.ts";
import { wasmModule } from "../support/engine.ts";

const CASES = 1000;
const SEED = 20_251_120;

describe.each(TARGETS)("$name", (target) => {
  it(`holds every rule over ${CASES} cases`, async () => {
    const seeds = keptCases(target.name).map(({ bytes }) => bytes);
    const fuzzer = await Fuzzer.create(target, await wasmModule("vring"), SEED, seeds);
    expect(fuzzer.run({ cases: CASES })).toBeNull();
    expect(fuzzer.cases).toBe(CASES);
  });

  it("does the same from the same seed", async () => {
    const runs = [];
    for (let k = 0; k < 2; k++) {
      const fuzzer = await Fuzzer.create(target, await wasmModule("vring"), 7);
      expect(fuzzer.run({ cases: 100 })).toBeNull();
      runs.push([fuzzer.kept, fuzzer.combinations, [...fuzzer.outcomes]]);
    }
    expect(runs[0]).toEqual(runs[1]);
  });
});

describe("the command", () => {
  test("lists its targets", () => {
    const run = spawnSync(process.execPath, ["scripts/fuzz.mjs", "--list"], {
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
      encoding: "utf8",
    });
    expect(run).toMatchObject({ status: 0, stderr: "" });
    expect(run.stdout.trim().split("\n")).toEqual(TARGETS.map(({ name }) => name));
  });

  test.each([
    ["an unknown target", ["--target", "ring"], 'no target "ring"; there are all, split-device'],
    ["no number", ["--seconds", "soon"], '--seconds is "soon", but must be a whole number from 1 to'],
    ["seconds below 1", ["--seconds", "0"], '--seconds is "0"'],
    ["a negative seed", ["--seed=-1"], '--seed is "-1"'],
    ["cases that are no whole number", ["--cases", "1.5"], '--cases is "1.5"'],
    ["an unknown option", ["--turbo"], "--turbo"],
    ["a file that is not there", ["--target", "split-device", "--replay", "no.hex"], "no file no.hex"],
    ["a replay without its target", ["--replay", "package.json"], "--replay needs one --target"],
    ["a file that is no case", ["--target", "split-device", "--replay", "package.json"], "hexadecimal"],
  ])("says in one line what is wrong with %s", async (_, args, message) => {
    const { status, said } = await run(args);
    expect(status).toBe(2);
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(message);
  });
});

async function run(args: string[]): Promise<{ status: number; said: string[] }> {
  const said: string[] = [];
  const error = console.error;
  console.error = (line: string) => said.push(...line.split("\n"));
  try {
    return { status: await main(args), said };
  } finally {
    console.error = error;
  }
}
