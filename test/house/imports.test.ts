import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cruise, type ICruiseResult } from "dependency-cruiser";
import { afterEach, expect, test } from "vitest";
import configuration, { rooms } from "../../.dependency-cruiser.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

async function check(baseDir: string): Promise<ICruiseResult> {
  const { forbidden, options, ...rest } = configuration;
  expect(rest).toEqual({});
  const { output } = await cruise(["assembly", "src"], {
    ...options,
    baseDir,
    validate: true,
    ruleSet: { forbidden },
  });
  if (typeof output === "string") throw new Error(output);
  return output;
}

/** What the rules say about a tree of files, one line each: the rule, from where, to where. */
async function violations(files: Record<string, string>): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "vring-imports-"));
  folders.push(folder);
  for (const [name, text] of Object.entries({ "assembly/abi.ts": "", "src/errors.ts": "", ...files })) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return lines(await check(folder));
}

function lines(result: ICruiseResult): string[] {
  return result.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`);
}

test("every import in assembly and src points downward", async () => {
  const result = await check(root);
  const seen = result.modules.map((module) => module.source).filter((path) => /^(assembly|src)\//.test(path));
  const there = ["assembly", "src"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .map((path) => `${folder}/${path}`),
  );
  // A check that saw no modules, or no imports between them, would find nothing wrong either.
  expect(seen.sort()).toEqual(there.sort());
  expect(there.length).toBeGreaterThan(50);
  const engine = result.modules.find((module) => module.source === "src/engine.ts");
  expect(engine?.dependencies.map((dependency) => dependency.resolved)).toContain("assembly/abi.ts");
  expect(lines(result)).toEqual([]);
});

test("every file of assembly and src is in exactly one room", () => {
  const patterns = rooms.map((room) => new RegExp(room.path));
  for (const folder of ["assembly", "src"]) {
    for (const path of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (!path.endsWith(".ts")) continue;
      const found = patterns.filter((pattern) => pattern.test(`${folder}/${path}`));
      expect(found, `${folder}/${path}`).toHaveLength(1);
    }
  }
});

test("imports that point downward are fine", async () => {
  const said = await violations({
    "assembly/mem/arena.ts": 'import { A } from "../abi";\nexport const a = A;\n',
    "assembly/ring/split.ts": 'import { a } from "../mem/arena";\nexport const b = a;\n',
    "src/queue.ts": 'import * as abi from "../assembly/abi.ts";\nexport const q = abi;\n',
    "src/compare/runner.ts": 'import { q } from "../queue.ts";\nexport const r = q;\n',
    "src/cli/main.ts": 'import "node:fs";\nimport { r } from "../compare/runner.ts";\nexport const m = r;\n',
  });
  expect(said).toEqual([]);
});

const planted: [what: string, file: string, text: string, target: string, rule: string][] = [
  [
    "mem that imports from ring",
    "assembly/mem/a.ts",
    'export { b } from "../ring/b";\n',
    "assembly/ring/b.ts",
    "upward from assembly: mem",
  ],
  [
    "dma that imports from ring",
    "assembly/dma/a.ts",
    'import { b } from "../ring/b";\nb();\n',
    "assembly/ring/b.ts",
    "upward from assembly: device, dma",
  ],
  [
    "abi that imports from mem",
    "assembly/abi.ts",
    'import { b } from "./mem/b";\nb();\n',
    "assembly/mem/b.ts",
    "upward from assembly: abi, spec",
  ],
  [
    "ring that imports from path",
    "assembly/ring/a.ts",
    'import { b } from "../path/b";\nb();\n',
    "assembly/path/b.ts",
    "upward from assembly: ring",
  ],
  [
    "assembly that imports from src",
    "assembly/mem/a.ts",
    'import { b } from "../../src/b";\nb();\n',
    "src/b.ts",
    "out of assembly",
  ],
  [
    "src that imports the engine's code",
    "src/a.ts",
    'import { b } from "../assembly/ring/b.ts";\nb();\n',
    "assembly/ring/b.ts",
    "into assembly",
  ],
  [
    "net that imports the core",
    "src/net/a.ts",
    'import type { b } from "../b.ts";\nexport type A = b;\n',
    "src/b.ts",
    "upward from src: net",
  ],
  [
    "the core that imports compare",
    "src/a.ts",
    'import { b } from "./compare/b.ts";\nb();\n',
    "src/compare/b.ts",
    "upward from src: core",
  ],
  [
    "the core that imports it only when it runs",
    "src/a.ts",
    'export const b = await import("./compare/b.ts");\n',
    "src/compare/b.ts",
    "upward from src: core",
  ],
  [
    "compare that imports the command line",
    "src/compare/a.ts",
    'import { b } from "../cli/b.ts";\nb();\n',
    "src/cli/b.ts",
    "upward from src: compare",
  ],
  [
    "src that imports a test helper",
    "src/a.ts",
    'import { b } from "../test/b.ts";\nb();\n',
    "test/b.ts",
    "out of src",
  ],
  [
    "compare that imports node:fs",
    "src/compare/a.ts",
    'import { b } from "node:fs";\nb();\n',
    "fs",
    "Node outside of the command line",
  ],
  [
    "the core that imports types of node:fs",
    "src/a.ts",
    'import type { b } from "node:fs";\nexport type A = b;\n',
    "fs",
    "Node outside of the command line",
  ],
  [
    "the engine that imports node:fs",
    "src/engine.ts",
    'import { b } from "node:fs";\nb();\n',
    "fs",
    "Node in the engine, but for types",
  ],
  ["an import of nothing", "src/a.ts", 'import { b } from "./b.ts";\nb();\n', "./b.ts", "not found"],
];

for (const [what, file, text, target, rule] of planted) {
  test(`${what} is found`, async () => {
    const exists = rule !== "not found" && !builtinModules.includes(target);
    const said = await violations({ [file]: text, ...(exists && { [target]: "export function b() {}\n" }) });
    expect(said).toContain(`${rule}: ${file} -> ${target}`);
  });
}

test("a cycle is found, and one of types is not one", async () => {
  const code = (other: string) => `import { ${other} } from "./${other}.ts";\nexport const x = ${other};\n`;
  const type = (other: string) =>
    `import type { ${other} } from "./${other}.ts";\nexport type X = ${other};\n`;
  expect(await violations({ "src/a.ts": code("b"), "src/b.ts": code("a") })).toContain(
    "cycle: src/a.ts -> src/b.ts",
  );
  expect(await violations({ "src/a.ts": code("b"), "src/b.ts": type("a") })).toEqual([]);
});

test("the engine may name the types of node:fs", async () => {
  const text = 'export const fs = globalThis as unknown as typeof import("node:fs");\n';
  expect(await violations({ "src/engine.ts": text })).toEqual([]);
});
