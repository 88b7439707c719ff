/** The page of a received packet: the other half of the one before, or a new one from the page allocator. */
import { Fnv1a64 } from "../src/net/digest.ts";
import { openPages, type PageQueue } from "./pages.ts";
import type { Suite, Task } from "./suite.ts";

const PACKETS = 4096;

export const suite: Suite = {
  name: "pages",
  about: "half pages that flip, against a page allocated and freed for each packet, with 256 buffers live",
  operation: "page of a packet",
  async open() {
    return [
      task("page flip", await openPages(false), "pageFlipRepeat"),
      task("page allocator", await openPages(false), "pageAllocRepeat"),
      task("page allocator, cut up", await openPages(true), "pageAllocRepeat"),
    ];
  },
};

function task(name: string, { engine, ptr }: PageQueue, call: "pageFlipRepeat" | "pageAllocRepeat"): Task {
  const run = (): number => engine.wasm[call](ptr, PACKETS);
  return {
    name,
    operations: PACKETS,
    run: () => {
      run();
    },
    // Where pages lie depends on what came before; how many were used does not.
    digest: () => new Fnv1a64().addLength(run() === 0 ? 0 : PACKETS).hex(),
    work: name,
    group: "all",
  };
}
