/** The fuzzers can fail: an engine with a bug planted in each half, which each target finds and shrinks. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { main as asc } from "assemblyscript/asc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Fuzzer, TARGETS } from "../../fuzz/fuzzer.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** One check dropped, or off by one, in each half: what is replaced stands in its file once. */
const BUGS: Record<string, [string, string]> = {
  "ring/split-device": ["if (load<u64>(record)) {", "if (false) {"],
  "ring/packed-device": [
    "if (queue.slotsInFlight + slots >= queue.size) {",
    "if (queue.slotsInFlight + slots > queue.size) {",
  ],
  "ring/split-driver": ["if (last == NOT_A_HEAD) {", "if (false) {"],
  "ring/packed-driver": ["if (len > capacity) {", "if (len > capacity + 1) {"],
  "net/device-transmit": ["if (readable < headerBytes + ETHERNET_BYTES)", "if (readable < headerBytes)"],
  "net/driver-receive": ["if (bytes < ETHERNET_BYTES)", "if (false)"],
};

let folder: string;
let module: WebAssembly.Module;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "vring-planted-"));
  for (const name of ["assembly", "asconfig.json"])
    cpSync(join(root, name), join(folder, name), { recursive: true });
  for (const [half, [right, wrong]] of Object.entries(BUGS)) {
    const file = join(folder, `assembly/${half}.ts`);
    const parts = readFileSync(file, "utf8").split(right);
    expect(parts, half).toHaveLength(2);
    writeFileSync(file, parts.join(wrong));
  }
  const { error, stderr } = await asc([
    ...["--baseDir", folder, "--config", "asconfig.json", "--target", "release"],
    ...["--outFile", "planted.wasm"],
  ]);
  expect(error, stderr.toString()).toBeNull();
  module = await WebAssembly.compile(readFileSync(join(folder, "planted.wasm")));
});

afterAll(() => rmSync(folder, { recursive: true }));

describe.each(TARGETS)("$name", (target) => {
  it("finds what is wrong with its half, and shrinks it", async () => {
    const fuzzer = await Fuzzer.create(target, module, 1);
    const found = fuzzer.run({ cases: 20_000 });
    expect(found).not.toBeNull();
    expect(found?.words.length).toBeLessThan(20);
    // The same case again, and no failure of what is right.
    expect(fuzzer.explain(found?.bytes as Uint8Array)?.message).toBe(found?.message);
  });
});
