/** What the built modules are made of: nothing that would tie them to a place. */
import { describe, expect, it } from "vitest";
import { type Build, wasmBytes, wasmModule } from "../support/engine.ts";
import { readModule } from "../support/wasm-sections.ts";

describe.each<Build>(["vring", "vring-shared"])("build/%s.wasm", (build) => {
  it("has no data segment, no start function, no table and no element segment", async () => {
    const { sections } = readModule(await wasmBytes(build));
    expect(sections).toEqual(expect.arrayContaining(["type", "import", "function", "export", "code"]));
    for (const name of ["data", "data count", "start", "table", "element", "memory"]) {
      expect(sections).not.toContain(name);
    }
  });

  it("has no mutable global", async () => {
    const { globals } = readModule(await wasmBytes(build));
    expect(globals.length).toBeGreaterThan(10);
    expect(globals.filter(({ mutable }) => mutable)).toEqual([]);
  });

  it("imports nothing but env.memory", async () => {
    const { imports } = readModule(await wasmBytes(build));
    expect(imports).toEqual([{ module: "env", name: "memory", kind: "memory" }]);
    const module = await wasmModule(build);
    expect(WebAssembly.Module.imports(module)).toEqual([{ module: "env", name: "memory", kind: "memory" }]);
  });

  it("exports functions and constants only", async () => {
    const kinds = new Set(WebAssembly.Module.exports(await wasmModule(build)).map(({ kind }) => kind));
    expect([...kinds].sort()).toEqual(["function", "global"]);
  });
});

describe("the two builds", () => {
  it("export the same names", async () => {
    const [plain, shared] = await Promise.all([wasmModule("vring"), wasmModule("vring-shared")]);
    const names = (module: WebAssembly.Module): string[] =>
      WebAssembly.Module.exports(module).map(({ name }) => name);
    expect(names(shared)).toEqual(names(plain));
  });

  it("are told apart by the section reader from modules that break each rule", () => {
    // (module (global (mut i32) (i32.const 5)) (func) (start 0)), by hand.
    const bytes = Uint8Array.of(
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...[1, 4, 1, 0x60, 0, 0],
      ...[3, 2, 1, 0],
      ...[6, 6, 1, 0x7f, 1, 0x41, 5, 0x0b],
      ...[8, 1, 0],
      ...[10, 4, 1, 2, 0, 0x0b],
    );
    expect(WebAssembly.validate(bytes)).toBe(true);
    const { sections, globals } = readModule(bytes);
    expect(sections).toEqual(["type", "function", "global", "start", "code"]);
    expect(globals).toEqual([{ mutable: true }]);
  });
});
