/** The burst calls of both halves of a network card allocate nothing: no garbage collection in 4 million frames. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const FRAMES_A_DIRECTION = 2_000_000;

let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "vring-net-garbage-"));
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

function run(mode: "allocate" | "nothing"): { moved: number; drops: number; collections: number } {
  const code = fileURLToPath(new URL("../../build/vring.wasm", import.meta.url));
  // A young generation of 1 MiB shows an allocation of a few bytes a burst.
  // Code that is still interpreted makes numbers on the heap: the warm-up ends it, where compiling does not lag behind.
  const flags = ["--expose-gc", "--max-semi-space-size=1", "--no-concurrent-recompilation"];
  const output = execFileSync(
    process.execPath,
    [...flags, join(folder, "child.mjs"), code, String(FRAMES_A_DIRECTION), mode],
    { encoding: "utf8", timeout: 100_000 },
  );
  return JSON.parse(output);
}

describe("garbage", () => {
  it("is not collected once while 4 million frames pass through the burst calls of both halves", () => {
    expect(run("nothing")).toMatchObject({ moved: 2 * FRAMES_A_DIRECTION, drops: 0, collections: 0 });
  }, 110_000);

  it("is seen when it is there: the control makes one object a burst", () => {
    const { collections, moved } = run("allocate");
    expect(moved).toBe(2 * FRAMES_A_DIRECTION);
    expect(collections).toBeGreaterThan(0);
  }, 110_000);
});
