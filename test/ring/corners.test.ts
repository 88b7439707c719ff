/** Corners that deliberate bugs (`npm run mutants`) got through before there was a test for them. */
import { describe, expect, it } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { expectDriverBroken } from "../support/hostile.ts";
import {
  bufferOf,
  driverRig,
  elementsAt,
  features,
  packedDriverRig,
  splitDriverRig,
} from "../support/rig.ts";

describe("where indirect tables come from", () => {
  it("S-D-19: a slot whose descriptor was in a direct chain writes its table's address again", async () => {
    // A heap without room for a table: three elements go direct, two take the slot's own table.
    const rig = await splitDriverRig({ size: 4, tables: "slot", threshold: 2, engine: { heapBytes: 64 } });
    const { driver, peer, data } = rig;
    const round = (lists: readonly number[][]): void => {
      for (const [token, sizes] of lists.entries()) {
        expect(driver.add({ ...bufferOf(elementsAt(data.ptr + 64 * token, sizes)), token })).toBe(true);
      }
      driver.publish();
      const taken = peer.take();
      expect(taken.map(({ elements }) => elements.map(({ len }) => len))).toEqual(lists);
      for (const [token, { elements }] of taken.entries()) {
        expect(elements[0].addr).toBe(peer.bus(data.ptr + 64 * token));
      }
      for (const buffer of taken) peer.use(buffer, 0);
      peer.publish();
      expect(driver.reclaim().length).toBe(lists.length);
    };
    const tables = [
      [1, 2],
      [3, 4],
      [5, 6],
      [7, 8],
    ];
    round(tables);
    round([[1, 2, 3]]);
    expect(driver.counters().directFalls).toBe(1);
    round(tables);
    round(tables);
  });
});

describe.each(RING_FORMATS)("a cache for the nodes of a %s queue", (format) => {
  it("is switched off with a warning when the tables of all nodes together do not fit their reserve", async () => {
    for (const [threshold, warnings] of [
      [2, 0],
      [3, 1],
    ]) {
      const engine = { nodes: 2, threshold: 2 };
      const { driver } = await driverRig(format, { size: 8, tables: "per-node", threshold, engine });
      expect(driver.warnings.length).toBe(warnings);
      expect(driver.tablesListed()).toBe(warnings ? 0 : 16);
    }
  });
});

describe.each(RING_FORMATS)("a refusal on a %s queue", (format) => {
  it("names the record of the burst, also behind one whose table fell to the heap", async () => {
    const { driver, data } = await driverRig(format, { size: 16, threshold: 2 });
    const list = [data.ptr, 4, data.ptr, 4, data.ptr, 4];
    driver.staged.set([...[1, 3, ...list], ...[2, 3, ...list], ...[3, 0]]);
    expect(driver.addBurst(3)).toBe(2);
    expect(driver.counters().heapFalls).toBe(2);
    expect(driver.refusal).toMatchObject({ code: "empty-buffer", index: 2 });
  });
});

describe.each(RING_FORMATS)("a buffer of 4 GiB on a %s queue", (format) => {
  it.each(["direct", "freelist"] as const)(
    "S-D-03: is accepted, one byte more is refused, tables: %s",
    async (tables) => {
      const { driver, peer, data } = await driverRig(format, { size: 4, tables });
      const elements = (more: number) => [
        { ptr: data.ptr, bytes: 0x8000_0000 },
        { ptr: data.ptr, bytes: 0x8000_0000 + more },
      ];
      expect(driver.add({ readable: elements(0), token: 1 })).toBe(true);
      expect(() => driver.add({ readable: elements(1), token: 2 })).toThrow(
        expect.objectContaining({ code: "buffer-bytes" }),
      );
      driver.publish();
      expect(peer.take().map(({ elements }) => elements.map(({ len }) => len))).toEqual([
        [0x8000_0000, 0x8000_0000],
      ]);
    },
  );
});

describe.each(RING_FORMATS)("a kick's value on a %s queue", (format) => {
  it("V-D-05, V-D-06: is that of the last publish, whatever was added since", async () => {
    const { driver, data } = await driverRig(format, {
      size: 4,
      features: features(format, "NOTIFICATION_DATA"),
    });
    const add = (token: number): void => {
      expect(driver.add({ token, readable: [{ ptr: data.ptr, bytes: 1 }] })).toBe(true);
    };
    add(0);
    driver.publish();
    const published = driver.notificationData();
    add(1);
    expect(driver.notificationData()).toBe(published);
    driver.publish();
    expect(driver.notificationData()).toBe(published + 0x10000);
  });
});

describe("a device that uses buffers in order", () => {
  const sizes = [4, 5, 6];

  it.each(RING_FORMATS)(
    "H-D-03: may not claim more than fits the last buffer of a %s batch",
    async (format) => {
      const { driver, peer, data } = await driverRig(format, {
        size: 8,
        features: features(format, "IN_ORDER"),
      });
      for (const [token, bytes] of sizes.entries()) {
        driver.add({ ...bufferOf(elementsAt(data.ptr, [], [bytes])), token });
      }
      driver.publish();
      peer.useBatch(peer.take(), 7);
      peer.publish();
      expect(driver.reclaim().map(({ len }) => len)).toEqual(sizes);
      expect(driver.counters().clampedLengths).toBe(1);
    },
  );

  it("P-D-03: len means nothing without WRITE, in the last descriptor of a batch too", async () => {
    const { driver, peer, data } = await packedDriverRig({
      size: 8,
      features: features("packed", "IN_ORDER"),
    });
    for (const [token, bytes] of sizes.entries()) {
      driver.add({ ...bufferOf(elementsAt(data.ptr, [], [bytes])), token });
    }
    driver.publish();
    const taken = peer.take();
    peer.useBatch(taken, 0);
    peer.setU32(peer.places.desc + 8, 6);
    peer.publish();
    expect(driver.reclaim()).toEqual([
      { token: 0, len: 4 },
      { token: 1, len: 5 },
      { token: 2, len: 0 },
    ]);
  });

  it("H-D-01: may not name the id behind the last that is outstanding, in the first descriptor or a later one", async () => {
    for (const honest of [0, 1]) {
      const { engine, driver, peer, data } = await packedDriverRig({
        size: 8,
        features: features("packed", "IN_ORDER"),
      });
      for (const [token, bytes] of sizes.entries()) {
        driver.add({ ...bufferOf(elementsAt(data.ptr, [], [bytes])), token });
      }
      driver.publish();
      const taken = peer.take();
      if (honest) peer.use(taken[0], 4);
      peer.use({ id: taken[2].id + 1, slots: 1 }, 0);
      peer.publish();
      expectDriverBroken(engine, driver, "used-id-not-outstanding", [0, 1, 2].slice(honest), { honest });
    }
  });

  it("H-D-01, H-D-02: may not name a buffer that used.idx does not cover", async () => {
    for (const honest of [0, 1]) {
      const { engine, driver, peer, data } = await splitDriverRig({
        size: 8,
        features: features("split", "IN_ORDER"),
      });
      for (const [token, bytes] of sizes.entries()) {
        driver.add({ ...bufferOf(elementsAt(data.ptr, [], [bytes])), token });
      }
      driver.publish();
      const taken = peer.take();
      if (honest) peer.use(taken[0], 4);
      peer.use(taken[honest + 1], 0);
      peer.publish();
      expectDriverBroken(engine, driver, "used-id-not-outstanding", [0, 1, 2].slice(honest), { honest });
    }
  });
});
