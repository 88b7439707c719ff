import { describe, expect, test } from "vitest";
import { CompareInputError } from "../../src/compare/errors.ts";
import { type Dimensions, planRingArms } from "../../src/compare/ring-arms.ts";
import { fixedTraffic, imixTraffic, type Traffic } from "../../src/net/traffic.ts";

const SMALL = fixedTraffic(64, { count: 3, seed: 1 });
const IMIX = imixTraffic({ count: 12, seed: 1 });

function dimensions(changes: Partial<Dimensions> = {}): Dimensions {
  return {
    rings: ["split"],
    tables: ["heap", "freelist"],
    sgs: [2],
    batches: [32],
    ringSizes: [256],
    thresholds: [4],
    touches: ["none"],
    ...changes,
  };
}

function plan(changes: Partial<Dimensions> = {}, traffics: Traffic[] = [SMALL]) {
  return planRingArms(traffics, dimensions(changes));
}

describe("the id of a case", () => {
  test("names ring, tables and sgs, also when each has one value only", () => {
    expect(plan().map(({ id }) => id)).toEqual(["split/heap/sg2", "split/freelist/sg2"]);
  });

  test("has a part for every further dimension that has several values", () => {
    const arms = plan(
      {
        tables: ["slot"],
        batches: [8, 32],
        ringSizes: [64, 256],
        thresholds: [0, 4],
        touches: ["none", "copy"],
      },
      [SMALL, IMIX],
    );
    const ids = arms.map(({ id }) => id);
    expect(ids[0]).toBe("split/slot/sg2/f64/b8/r64/t0/none");
    expect(ids).toContain("split/slot/sg2/imix/b32/r256/t4/copy");
    expect(new Set(ids).size).toBe(32);
  });
});

describe("the baseline of a case", () => {
  test("is the heap case that has all else in common, wherever it stands in the list", () => {
    const arms = plan({ rings: ["split", "packed"], tables: ["slot", "heap", "direct"], sgs: [1, 2] });
    expect(arms).toHaveLength(12);
    for (const { id, baseline } of arms) expect(baseline).toBe(id.replace(/^(\w+)\/[\w-]+/, "$1/heap"));
    expect(arms.every(({ notes }) => !notes.join().includes("baseline"))).toBe(true);
  });

  test("is the first one that has all else in common, and says so, when there is no heap case", () => {
    const arms = plan({ tables: ["slot", "direct"], sgs: [1, 2] });
    expect(arms.map(({ baseline }) => baseline)).toEqual([
      "split/slot/sg1",
      "split/slot/sg1",
      "split/slot/sg2",
      "split/slot/sg2",
    ]);
    expect(arms[0].notes).toContain("the baseline, because there is no heap case beside it");
    expect(arms[1].notes).toEqual([]);
  });

  test("is the one that is asked for, for all cases", () => {
    const arms = plan({ rings: ["split", "packed"], baseline: "packed/heap/sg2" });
    expect(new Set(arms.map(({ baseline }) => baseline))).toEqual(new Set(["packed/heap/sg2"]));
  });

  test("must be a case", () => {
    expect(() => plan({ baseline: "split/slot/sg2" })).toThrow(
      'the baseline "split/slot/sg2" is no case of this comparison; they are split/heap/sg2, split/freelist/sg2',
    );
  });
});

describe("what the reader of a case should know", () => {
  test("is that its bursts were cut to what fits the ring", () => {
    const [heap, direct] = plan({ tables: ["heap", "direct"], sgs: [19] });
    expect([heap.batchRun, direct.batchRun]).toEqual([32, 13]);
    expect(heap.notes).toEqual([]);
    expect(direct.notes).toEqual(["bursts of 32 were cut to 13, which is what fits a ring of 256"]);
    expect(plan({ ringSizes: [16] })[0].batchRun).toBe(16);
  });

  test("is that all its tables come from the heap, when every packet exceeds the threshold", () => {
    const arms = plan({
      tables: ["heap", "freelist", "grow", "slot", "per-node", "direct"],
      sgs: [4, 5],
    });
    const heaped = arms.filter(({ notes }) => notes.some((note) => note.startsWith("all on the heap")));
    expect(heaped.map(({ tables, sg }) => `${tables} ${sg}`)).toEqual([
      "freelist 5",
      "grow 5",
      "slot 5",
      "per-node 5",
    ]);
    expect(plan({ tables: ["slot"], thresholds: [0] })[0].notes[0]).toMatch(/^all on the heap/);
  });

  test("is that a queue with per-node tables, and the free list beside it, move between two nodes", () => {
    const arms = plan({ tables: ["heap", "freelist", "grow", "slot", "per-node", "direct"] });
    const moving = arms.filter(({ moves }) => moves);
    expect(moving.map(({ tables }) => tables)).toEqual(["freelist", "per-node"]);
    for (const { notes } of moving)
      expect(notes).toEqual(["the queue moves to the other of two nodes every pass"]);
  });
});

describe("a combination that cannot be run is refused with what would be right", () => {
  const short = fixedTraffic(14, { count: 2, seed: 1 });
  const capture: Traffic = { ...IMIX, kind: "capture", name: "a.pcap" };
  capture.packets = [...IMIX.packets.slice(0, 3), short.packets[0]];

  test.each<[string, Partial<Dimensions>, Traffic[], string]>([
    ["more sgs than ring slots", { sgs: [8], ringSizes: [4] }, [SMALL], "at most 4 do"],
    ["a split ring of 3", { ringSizes: [3] }, [SMALL], "a split ring of 3 entries"],
    ["a ring of 65536", { ringSizes: [65536] }, [SMALL], "65536 is not possible for the ring's size"],
    ["a ring of 0", { ringSizes: [0] }, [SMALL], "0 is not possible for the ring's size"],
    ["0 sgs", { sgs: [0] }, [SMALL], "0 is not possible for sgs per packet"],
    ["bursts of 0", { batches: [0] }, [SMALL], "0 is not possible for packets of a burst"],
    ["half a packet", { batches: [0.5] }, [SMALL], "0.5 is not possible"],
    ["a threshold of 20", { thresholds: [20] }, [SMALL], "a whole number from 0 to 19 is"],
    ["an empty list", { tables: [] }, [SMALL], "tables is empty"],
    ["a frame with less than a byte a piece", { sgs: [19] }, [short], "a frame of 14 bytes cannot be cut"],
    ["such a packet", { sgs: [16] }, [capture], "packet 4 of a.pcap, which has 14 bytes, cannot be cut"],
  ])("%s", (_, changes, traffics, message) => {
    expect(() => plan(changes, traffics)).toThrow(CompareInputError);
    expect(() => plan(changes, traffics)).toThrow(message);
  });

  test("but a packed ring of 3 is possible, and as many sgs as a frame's bytes and one more", () => {
    expect(plan({ rings: ["packed"], ringSizes: [3] })).toHaveLength(2);
    expect(plan({ sgs: [15] }, [short])).toHaveLength(2);
  });
});
