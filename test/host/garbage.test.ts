/** The burst calls allocate nothing: no garbage collection in 10 million packets from JavaScript. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const PACKETS_A_FORMAT = 5_000_000;

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

function run(mode: "allocate" | "nothing"): { packets: number; complete: boolean; collections: number } {
  const code = fileURLToPath(new URL("../../build/vring.wasm", import.meta.url));
  // A young generation of 1 MiB shows an allocation of a few bytes a burst.
  const flags = ["--expose-gc", "--max-semi-space-size=1"];
  const output = execFileSync(
    process.execPath,
    [...flags, join(folder, "child.mjs"), code, String(PACKETS_A_FORMAT), mode],
    { encoding: "utf8", timeout: 100_000 },
  );
  return JSON.parse(output);
}

describe("garbage", () => {
  it("is not collected once while 10 million packets pass through the burst calls of both formats", () => {
    expect(run("nothing")).toMatchObject({
      packets: 2 * PACKETS_A_FORMAT,
      complete: true,
      collections: 0,
    });
  });

  it("is seen when it is there: the control makes one object a burst", () => {
    const { collections, complete } = run("allocate");
    expect(complete).toBe(true);
    expect(collections).toBeGreaterThan(0);
  });
});
