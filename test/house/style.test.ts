import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A small project with this one's rules, and with files that are planted in it. */
function project(planted: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), "vring-style-"));
  folders.push(folder);
  for (const file of ["biome.json", ".gitignore"]) cpSync(join(root, file), join(folder, file));
  const files: Record<string, string> = {
    "tsconfig.json": '{ "compilerOptions": { "types": [] }, "include": ["src"] }\n',
    "assembly/ok.ts": "@inline\nexport function half(x: u32): u32 {\n  return x >> 1;\n}\n",
    "src/ok.ts": "export const two = 2;\n",
    ...planted,
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

function style(folder: string, ...options: string[]): { status: number | null; said: string[] } {
  const run = spawnSync(process.execPath, [join(root, "scripts/style.mjs"), ...options], {
    cwd: folder,
    encoding: "utf8",
  });
  return { status: run.status, said: (run.stdout + run.stderr).split("\n").filter((line) => line !== "") };
}

test("the project is formatted, linted and compiles", () => {
  expect(style(root)).toEqual({ status: 0, said: [] });
});

test("a decorator before a function is fine in assembly", () => {
  expect(style(project({}))).toEqual({ status: 0, said: [] });
});

test("every other fault is found, in assembly as in src", () => {
  const { status, said } = style(
    project({
      "assembly/parse.ts": "@inline\nexport function a(): void {\n",
      "assembly/error.ts": "export function a(): void {\n  debugger;\n}\n",
      "assembly/warning.ts": "const a: u32 = 1;\n\nexport const b: u32 = 2;\n",
      "assembly/format.ts": "@inline\nexport function a( x:u32 ): u32 {\n  return x;\n}\n",
      "src/decorator.ts": "@inline\nexport function a(): void {}\n",
      "src/error.ts": "export const a = <T>(x: any): T => x;\n",
      "src/format.ts": "export const a = 'a'\n",
      "src/imports.ts":
        'import { two } from "./ok";\nimport { a } from "./format";\n\nexport const b = a + two;\n',
      "src/type.ts": "export const a: string = 1;\n",
    }),
  );
  const faults = [
    /^assembly\/parse.ts:3:1: parse: expected `}`/,
    /^assembly\/error.ts:2:3: lint\/suspicious\/noDebugger: /,
    /^assembly\/warning.ts:1:7: lint\/correctness\/noUnusedVariables: /,
    /^assembly\/format.ts: format: /,
    /^src\/decorator.ts:1:1: parse: Decorators are not valid here/,
    /^src\/error.ts:1:25: lint\/suspicious\/noExplicitAny: /,
    /^src\/format.ts: format: /,
    /^src\/imports.ts:1:1: assist\/source\/organizeImports: /,
    /^src\/type.ts\(1,14\): error TS2322: /,
  ];
  for (const fault of faults) expect(said).toContainEqual(expect.stringMatching(fault));
  expect(said.filter((line) => line.includes("ok.ts"))).toEqual([]);
  expect(status).toBe(1);
});

test("a folder in which there is nothing to check does not pass", () => {
  const folder = mkdtempSync(join(tmpdir(), "vring-style-"));
  folders.push(folder);
  expect(style(folder).status).toBe(1);
});

test("--write formats assembly and leaves its code as it was", () => {
  // The linter's fixes stay out of it: a type-only import, for one, is not AssemblyScript.
  const code =
    'import { b } from "./b";\nimport { A } from "./a";\n\n@inline\nexport function c( a: A ): u32 {\n  let x=a.x;\n  return x == b ? 1 : 0;\n}\n';
  const folder = project({ "assembly/c.ts": code });
  expect(style(folder, "--write")).toEqual({ status: 0, said: [] });
  expect(readFileSync(join(folder, "assembly/c.ts"), "utf8")).toBe(
    'import { A } from "./a";\nimport { b } from "./b";\n\n@inline\nexport function c(a: A): u32 {\n  let x = a.x;\n  return x == b ? 1 : 0;\n}\n',
  );
});
