/** Whether a run through the burst calls makes garbage: V8 says how often it collected. */
import { PerformanceObserver } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { PACKETS } from "./packets.ts";
import { DrivenRing, openRings } from "./support.ts";

export const COLLECTION_PACKETS = 10_000_000;
const PASSES = Math.ceil(COLLECTION_PACKETS / PACKETS);
const WARM_PASSES = 2000;
/** Milliseconds that are enough for what the observer has to say. */
const SOME_TURNS = 20;

export interface Collections {
  /** Garbage collections in 10 million packets. */
  ours: number;
  /** The same with one object a burst, which shows that they would have been seen. */
  control: number;
}

export async function countCollections(): Promise<Collections> {
  const [ring] = await openRings([{ format: "split", tables: "freelist", n: 2 }]);
  const { driver, device } = ring;
  const driven = new DrivenRing(ring);
  const kept: { sum: number; last: { count: number } | null } = { sum: 0, last: null };
  // A memory may grow at any time, so who follows the documentation asks for the views in each burst.
  const look = (): void => {
    const words = driver.staged[0] ^ device.popped[0] ^ device.completions[0] ^ driver.reclaimed[0];
    kept.sum = (kept.sum ^ words) & 0xffff;
  };
  const lookAndAllocate = (count: number): void => {
    look();
    kept.last = { count };
  };
  return {
    ours: await collectionsDuring((passes) => {
      for (let i = 0; i < passes; i++) driven.pass(look);
    }),
    control: await collectionsDuring((passes) => {
      for (let i = 0; i < passes; i++) driven.pass(lookAndAllocate);
    }),
  };
}

/** Garbage collections in a synchronous run. The observer hears of them a turn later, so turns are awaited round it. */
async function collectionsDuring(run: (passes: number) => void): Promise<number> {
  let seen = 0;
  const observer = new PerformanceObserver((list) => {
    seen += list.getEntries().length;
  });
  observer.observe({ entryTypes: ["gc"] });
  // Code that is not optimised yet may allocate numbers.
  run(WARM_PASSES);
  // What is there already may not fill the young generation up while this runs.
  collectYoung();
  await sleep(SOME_TURNS);
  const before = seen;
  run(PASSES);
  await sleep(SOME_TURNS);
  observer.disconnect();
  return seen - before;
}

/** Empties the young generation. A full collection would also throw optimised code away. */
function collectYoung(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")({ type: "minor" });
}
