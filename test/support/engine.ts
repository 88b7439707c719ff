/** Engines for tests: the code is read and compiled once for each build, then shared. */
import { readFile } from "node:fs/promises";
import { Engine, type EngineOptions } from "../../src/engine.ts";

/** The build for a private memory, and the one for a shared memory. */
export type Build = "vring" | "vring-shared";

const modules = new Map<Build, Promise<WebAssembly.Module>>();

export async function wasmBytes(build: Build): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await readFile(new URL(`../../build/${build}.wasm`, import.meta.url)));
}

export function wasmModule(build: Build): Promise<WebAssembly.Module> {
  let module = modules.get(build);
  if (module === undefined) {
    module = wasmBytes(build).then((bytes) => WebAssembly.compile(bytes));
    modules.set(build, module);
  }
  return module;
}

/**
 * An engine over the build that fits `options.memory`. The source runs unbundled under test, where
 * no code lies beside it, so the module is always given.
 */
export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  const shared = options.memory !== undefined && options.memory.buffer instanceof SharedArrayBuffer;
  return Engine.create({ module: await wasmModule(shared ? "vring-shared" : "vring"), ...options });
}
