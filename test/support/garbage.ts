/** Counts garbage collections of a program that runs in a process of its own, where nothing else allocates. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll } from "vitest";

/**
 * Bundles `child` before the tests of a file. What comes back runs it with the engine's code, a number of packets and a
 * mode, and returns what it printed as JSON. `flags` are further ones of Node.
 */
export function garbageChild<Outcome>(
  child: URL,
  packets: number,
  flags: readonly string[] = [],
): (mode: "allocate" | "nothing") => Outcome {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "vring-garbage-"));
    await build({
      entryPoints: [fileURLToPath(child)],
      outfile: join(folder, "child.mjs"),
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20",
      logLevel: "silent",
    });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return (mode) => {
    const code = fileURLToPath(new URL("../../build/vring.wasm", import.meta.url));
    // A young generation of 1 MiB shows an allocation of a few bytes a burst. The memory reducer goes by the clock.
    const options = ["--expose-gc", "--max-semi-space-size=1", "--no-memory-reducer", ...flags];
    const output = execFileSync(
      process.execPath,
      [...options, join(folder, "child.mjs"), code, String(packets), mode],
      { encoding: "utf8", timeout: 100_000 },
    );
    return JSON.parse(output);
  };
}
