/** The burst calls of a passthru interface, and of a guest's card over one, leave nothing for the garbage collector. */
import { describe, expect, it } from "vitest";
import { garbageChild } from "../support/garbage.ts";

const PACKETS = 320_000;

const run = garbageChild<{ moved: number; collections: number }>(
  new URL("./garbage-child.ts", import.meta.url),
  PACKETS,
  ["--no-concurrent-recompilation"],
);

describe("garbage", () => {
  it("is not collected once while packets of a program and of a guest pass the host by, both ways", () => {
    expect(run("nothing")).toMatchObject({ moved: 4 * PACKETS, collections: 0 });
  });

  it("is seen when it is there: the control makes one object a burst", () => {
    const { moved, collections } = run("allocate");
    expect(moved).toBe(4 * PACKETS);
    expect(collections).toBeGreaterThan(0);
  });
});
