/** Runs of packets under every policy leave nothing for the garbage collector. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const PACKETS_A_BENCH = 320_000;

let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "vring-garbage-"));
  await build({
    entryPoints: [fileURLToPath(new URL("./garbage-child.ts", import.meta.url))],
    outfile: join(folder, "child.mjs"),
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "silent",
  });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  packets: number;
  benches: number;
  leaks: string[];
  collections: number;
}

function run(mode: "allocate" | "nothing"): Outcome {
  const code = fileURLToPath(new URL("../../build/vring.wasm", import.meta.url));
  // A young generation of 1 MiB shows an allocation of a few bytes a burst.
  const flags = ["--expose-gc", "--max-semi-space-size=1"];
  const output = execFileSync(
    process.execPath,
    [...flags, join(folder, "child.mjs"), code, String(PACKETS_A_BENCH), mode],
    { encoding: "utf8", timeout: 100_000 },
  );
  return JSON.parse(output);
}

describe("garbage", () => {
  it("is not collected once while packets pass under every policy and every kind of buffer", () => {
    const { packets, benches, leaks, collections } = run("nothing");
    expect(benches).toBe(18);
    expect(packets).toBe(benches * PACKETS_A_BENCH);
    expect(leaks).toEqual([]);
    expect(collections).toBe(0);
  });

  it("is seen when it is there: the control makes one object a burst", () => {
    const { collections, leaks } = run("allocate");
    expect(leaks).toEqual([]);
    expect(collections).toBeGreaterThan(0);
  });
});
