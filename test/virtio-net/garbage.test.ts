/** The burst calls of both halves of a network card allocate nothing: no garbage collection in 4 million frames. */
import { describe, expect, it } from "vitest";
import { garbageChild } from "../support/garbage.ts";

const FRAMES_A_DIRECTION = 2_000_000;

// Code that is still interpreted makes numbers on the heap: the warm-up ends it, where compiling does not lag behind.
const run = garbageChild<{ moved: number; drops: number; collections: number }>(
  new URL("./garbage-child.ts", import.meta.url),
  FRAMES_A_DIRECTION,
  ["--no-concurrent-recompilation"],
);

describe("garbage", () => {
  it("is not collected once while 4 million frames pass through the burst calls of both halves", () => {
    expect(run("nothing")).toMatchObject({ moved: 2 * FRAMES_A_DIRECTION, drops: 0, collections: 0 });
  }, 110_000);

  it("is seen when it is there: the control makes one object a burst", () => {
    const { collections, moved } = run("allocate");
    expect(moved).toBe(2 * FRAMES_A_DIRECTION);
    expect(collections).toBeGreaterThan(0);
  }, 110_000);
});
