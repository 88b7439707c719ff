/** Copies by size: where assembly/mem/copy.ts changes from vectors to `memory.copy` was measured here. */
import type { Engine } from "../src/engine.ts";
import { Fnv1a64 } from "../src/net/digest.ts";
import type { Suite, Task } from "./suite.ts";
import { openEngine } from "./support.ts";

const SIZES = [16, 64, 128, 256, 512, 1024, 1518, 4096, 16384, 65536];
/** Not a multiple of 4 KiB from the target, or loads would wait for stores to the same set of the cache. */
const FROM = 65536 + 1088;

export const suite: Suite = {
  name: "copies",
  about:
    "the engine's copyBytes, memory.copy, and JavaScript's set of a subarray, between the same two places",
  operation: "copy",
  async open() {
    const engine = await openEngine({ bufferBytes: FROM + 65536 });
    return SIZES.flatMap((bytes) => copiesOf(engine, bytes));
  },
};

function copiesOf(engine: Engine, bytes: number): Task[] {
  const { wasm, buffers } = engine;
  const to = buffers.ptr;
  const from = to + FROM;
  const all = engine.bytes(0, engine.memory.buffer.byteLength);
  // About as many bytes a call at every size, with at least a few copies.
  const count = Math.max(8, 65536 / Math.max(bytes, 64));
  const task = (name: string, run: (count: number) => void): Task => ({
    name: `${name}, ${bytes} bytes`,
    operations: count,
    run: () => run(count),
    digest: () => {
      for (let i = 0; i < bytes; i++) all[from + i] = (i * 167 + (i >>> 8) * 13 + bytes) & 0xff;
      all.fill(0, to, to + bytes);
      run(1);
      return new Fnv1a64().addBytes(all, to, to + bytes).hex();
    },
    work: `${bytes} bytes`,
    group: `${bytes} bytes`,
  });
  return [
    task("copyBytes", (times) => wasm.copyBytesRepeat(to, from, bytes, times)),
    task("memory.copy", (times) => wasm.memoryCopyRepeat(to, from, bytes, times)),
    task("set", (times) => {
      for (let i = 0; i < times; i++) all.set(all.subarray(from, from + bytes), to);
    }),
  ];
}
