/** The general allocator against a free list: a take and give by size, in an empty heap and in a cut-up one. */
import type { Engine } from "../src/engine.ts";
import { Fnv1a64 } from "../src/net/digest.ts";
import type { Suite, Task } from "./suite.ts";
import { openEngine, openRings } from "./support.ts";

const SIZES = [16, 64, 256, 1024, 2048, 4096, 16384];
const COUNT = 1024;
const LIVE = 1024;

export const suite: Suite = {
  name: "allocator",
  about: "TLSF with nothing else live, and with a heap cut up by 512 live blocks, against free list and slot",
  operation: "take and give",
  async open() {
    const [empty, cut] = [await heap(), await heap()];
    cutUp(cut);
    const [freelist, slot] = await openRings([
      { format: "split", tables: "freelist", n: 4 },
      { format: "split", tables: "slot", n: 4 },
    ]);
    const table = ({ engine, driver, ringCase }: typeof freelist): Task =>
      task(`${ringCase.tables}, 64 bytes`, () => engine.wasm.tableTakeGive(driver.ptr, 4, COUNT));
    return [
      ...SIZES.map((bytes) => task(`TLSF, ${bytes} bytes`, () => takeGive(empty, bytes))),
      ...SIZES.map((bytes) => task(`TLSF cut up, ${bytes} bytes`, () => takeGive(cut, bytes))),
      table(freelist),
      table(slot),
    ];
  },
};

function heap(): Promise<Engine> {
  return openEngine({ heapBytes: 8 << 20 });
}

function control(engine: Engine): number {
  return engine.region("heap control").ptr;
}

function takeGive(engine: Engine, bytes: number): number {
  return engine.wasm.tlsfTakeGive(control(engine), bytes, COUNT);
}

/** Takes blocks of all sizes and gives every other one back, so that no two free blocks can merge. */
function cutUp(engine: Engine): void {
  const { wasm } = engine;
  const taken = Array.from({ length: LIVE }, (_, i) =>
    wasm.tlsfTake(control(engine), SIZES[i % SIZES.length] + 16 * (i % 5)),
  );
  for (let i = 0; i < LIVE; i += 2) wasm.tlsfGive(control(engine), taken[i]);
}

function task(name: string, run: () => number): Task {
  return {
    name,
    operations: COUNT,
    run: () => {
      run();
    },
    digest: () => new Fnv1a64().addLength(run()).hex(),
    work: name,
    group: "all",
  };
}
