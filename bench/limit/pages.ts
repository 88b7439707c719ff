/** What a page costs a packet that is received: flipped, or from the general allocator. */
import { openPages, type PageQueue } from "../pages.ts";
import { type Arm, arm, detailLine, type Found, takeTurns, timesOf, verdictLine } from "./rounds.ts";

const PACKETS = 8192;
const ROUNDS = 15;
const FLIP = "flip";
const ALLOCATORS = { "whole allocator": false, "cut-up allocator": true };

export async function pageLines(): Promise<string[]> {
  const arms: Arm[] = [pages(FLIP, await openPages(false), "pageFlipRepeat")];
  for (const [name, cutUp] of Object.entries(ALLOCATORS)) {
    arms.push(pages(name, await openPages(cutUp), "pageAllocRepeat"));
  }
  const figures = await takeTurns(arms, ROUNDS);
  const found = Object.keys(ALLOCATORS).map(
    (where): Found => ({ where, interval: timesOf(figures, where, FLIP) }),
  );
  const measure = "a page from the general allocator against a page flip, per packet";
  return [
    verdictLine(measure, { atLeast: 8 }, found, "times the nanoseconds"),
    detailLine("ns: flip, allocator, cut-up allocator", figures, [FLIP, ...Object.keys(ALLOCATORS)]),
  ];
}

function pages(name: string, { engine, ptr }: PageQueue, call: "pageFlipRepeat" | "pageAllocRepeat"): Arm {
  return arm(name, PACKETS, () => {
    engine.wasm[call](ptr, PACKETS);
  });
}
