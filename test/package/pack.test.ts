import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Packed, pack, readmeExamples, root, run, succeed, temporaryFolder } from "./packed.ts";

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const folder = temporaryFolder();
const consumer = temporaryFolder();
let packed: Packed;

beforeAll(() => {
  packed = pack(folder.path);
  writeFileSync(join(consumer.path, "package.json"), '{ "private": true, "type": "module" }\n');
  succeed(consumer.path, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", packed.file);
});

afterAll(() => {
  folder.remove();
  consumer.remove();
});

describe("the tarball", () => {
  test("holds what is shipped and nothing else", () => {
    const expected =
      /^(dist\/(index|v86|vring-[\w-]+|cli|cli-[\w-]+)\.js|dist\/vring(-shared)?\.wasm|dist\/types\/src\/[\w/-]+\.d\.ts|dist\/types\/build\/vring\.d\.ts|captures\/web\.pcapng|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/;
    const paths = packed.files.map((file) => file.path);
    expect(paths.filter((path) => !expected.test(path))).toEqual([]);
    for (const path of [
      "dist/index.js",
      "dist/v86.js",
      "dist/cli.js",
      "dist/vring.wasm",
      "dist/vring-shared.wasm",
      "dist/types/src/index.d.ts",
      "dist/types/src/adapter/v86.d.ts",
      "captures/web.pcapng",
      "README.md",
      "LICENSE",
      "CHANGELOG.md",
    ]) {
      expect(paths).toContain(path);
    }
  });

  test("is below 2.5 MB, unpacked and with the capture", () => {
    expect(packed.unpackedSize).toBeLessThan(2_500_000);
  });

  test("passes publint", async () => {
    const tarball = readFileSync(packed.file);
    const { messages, pkg } = await publint({
      pack: { tarball: tarball.buffer.slice(tarball.byteOffset, tarball.byteOffset + tarball.byteLength) },
      strict: true,
    });
    expect(pkg?.name).toBe("vring");
    expect(messages.map((message) => formatMessage(message, pkg ?? {}))).toEqual([]);
  });

  test("passes are-the-types-wrong", () => {
    const options = ["--profile", "esm-only", "--no-definitely-typed", "--format", "json"];
    const excluded = ["--exclude-entrypoints", "vring.wasm", "vring-shared.wasm"];
    const attw = join(root, "node_modules/@arethetypeswrong/cli/dist/index.js");
    const { status, stdout, stderr } = run(
      folder.path,
      process.execPath,
      attw,
      packed.file,
      ...options,
      ...excluded,
    );
    const { analysis } = JSON.parse(stdout || stderr);
    expect(Object.keys(analysis.entrypoints)).toContain(".");
    expect(analysis.entrypoints["."].resolutions["node16-esm"].resolution.fileName).toContain("index.d.ts");
    expect(analysis.entrypoints["./v86"].resolutions["node16-esm"].resolution.fileName).toContain("v86.d.ts");
    expect({ status, problems: analysis.problems.filter(isOfEsm) }).toEqual({ status: 0, problems: [] });
  });
});

/** An ESM-only package has nothing to offer where only CommonJS is understood. */
function isOfEsm({ resolutionKind }: { resolutionKind?: string }): boolean {
  return resolutionKind !== "node10" && resolutionKind !== "node16-cjs";
}

describe("installed in an empty folder", () => {
  test("the README's first example has about twenty lines", () => {
    const [first] = readmeExamples();
    expect(first.heading).toBe("Embed it");
    expect(first.code.split("\n").filter((line) => line.trim() !== "").length).toBeLessThanOrEqual(22);
  });

  for (const [number, { heading, code, output }] of readmeExamples().entries()) {
    test(`the README's example under "${heading}" prints what the README says`, () => {
      const file = `example-${number}.mjs`;
      writeFileSync(join(consumer.path, file), code);
      expect(succeed(consumer.path, process.execPath, file)).toBe(output);
    });
  }

  test("the command says its version", () => {
    expect(succeed(consumer.path, "npx", "vring", "--version").trim()).toBe(manifest.version);
  });

  test("the command compares, on the capture that comes with it", () => {
    const options = [
      "--ring",
      "split",
      "--tables",
      "heap,freelist",
      "--sg",
      "2",
      "--rounds",
      "3",
      "--time",
      "10",
    ];
    succeed(consumer.path, "npx", "vring", "compare", "--quiet", ...options, "--json", "result.json");
    const result = JSON.parse(readFileSync(join(consumer.path, "result.json"), "utf8"));
    expect(result.workload.packets).toBe(2660);
    expect(result.cases.map((one: { id: string }) => one.id)).toEqual([
      "split/heap/sg2",
      "split/freelist/sg2",
    ]);
  });

  test("its types check with strict, and with those of its dependencies", () => {
    writeFileSync(
      join(consumer.path, "use.ts"),
      `import { type Chain, type DriverCounters, Engine, type EngineOptions, type RingFormat } from "vring";
import { attach, type NetworkCard } from "vring/v86";

const options: EngineOptions = { queues: 2, queueSize: 64 };
const engine: Engine = await Engine.create(options);
const format: RingFormat = "packed";
const { driver, device } = engine.connect(0, { format, tables: "per-node" });
const added: boolean = driver.add({ readable: [{ ptr: engine.buffers.ptr, bytes: 60 }], token: 1 });
const chains: Chain[] = device.pop();
const counters: DriverCounters = driver.counters();
const state: number = engine.wasm.QUEUE_STATE.value;
const card: NetworkCard = await attach({ run: () => {} }, { mtu: 9000 });
const received: number = card.counters().rx_packets;
// @ts-expect-error: there is no such source.
engine.connect(1, { tables: "shelf" });
export { added, chains, counters, received, state };
`,
    );
    // No types but the package's own and those it depends on: nothing that the project happens to have.
    const compilerOptions = {
      strict: true,
      skipLibCheck: false,
      target: "es2022",
      module: "nodenext",
      lib: ["es2022", "dom"],
      types: [],
      noEmit: true,
    };
    writeFileSync(
      join(consumer.path, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["use.ts"] }),
    );
    const compiler = join(root, "node_modules/typescript/bin/tsc");
    const { status, stdout } = run(consumer.path, process.execPath, compiler);
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
  });
});
