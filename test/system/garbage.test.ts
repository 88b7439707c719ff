/** Runs of packets under every policy leave nothing for the garbage collector. */
import { describe, expect, it } from "vitest";
import { DRIVER_RECORDS, directionsOf, RX_KINDS, SYSTEM_RECORDS } from "../../src/system/records.ts";
import { garbageChild } from "../support/garbage.ts";

const PACKETS_A_BENCH = 320_000;

interface Outcome {
  packets: number;
  benches: number;
  leaks: string[];
  collections: number;
}

const run = garbageChild<Outcome>(new URL("./garbage-child.ts", import.meta.url), PACKETS_A_BENCH);

describe("garbage", () => {
  it("is not collected once while packets pass under every policy, every kind of buffer and every system", () => {
    const { packets, benches, leaks, collections } = run("nothing");
    const ways = Object.values(SYSTEM_RECORDS)
      .filter(({ name }) => !Object.hasOwn(DRIVER_RECORDS, name))
      .reduce((sum, record) => sum + directionsOf(record).length, 0);
    // And one whose program is the child's own.
    expect(benches).toBe(2 * (Object.keys(DRIVER_RECORDS).length + RX_KINDS.length) + ways + 1);
    expect(packets).toBe(benches * PACKETS_A_BENCH);
    expect(leaks).toEqual([]);
    expect(collections).toBe(0);
  });

  it("is seen when it is there: the control makes one object a burst", () => {
    const { collections, leaks } = run("allocate");
    expect(leaks).toEqual([]);
    expect(collections).toBeGreaterThan(0);
  });
});
