/** The burst calls allocate nothing: no garbage collection in 10 million packets from JavaScript. */
import { describe, expect, it } from "vitest";
import { garbageChild } from "../support/garbage.ts";

const PACKETS_A_FORMAT = 5_000_000;

const run = garbageChild<{ packets: number; complete: boolean; collections: number }>(
  new URL("./garbage-child.ts", import.meta.url),
  PACKETS_A_FORMAT,
);

describe("garbage", () => {
  it("is not collected once while 10 million packets pass through the burst calls of both formats", () => {
    expect(run("nothing")).toMatchObject({
      packets: 2 * PACKETS_A_FORMAT,
      complete: true,
      collections: 0,
    });
  });

  it("is seen when it is there: the control makes one object a burst", () => {
    const { collections, complete } = run("allocate");
    expect(complete).toBe(true);
    expect(collections).toBeGreaterThan(0);
  });
});
