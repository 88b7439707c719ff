import { describe, expect, test } from "vitest";
import { ONE_DRIVER_CASE } from "../../bench/one-driver-case.ts";
import { CompareInputError } from "../../src/compare/errors.ts";
import { planSystemArms, type SystemArm, type SystemDimensions } from "../../src/compare/system-arms.ts";
import { fixedTraffic, imixTraffic, type Traffic } from "../../src/net/traffic.ts";
import { type SystemRecord, systemsNamed } from "../../src/system/records.ts";

const SMALL = fixedTraffic(64, { count: 3, seed: 1 });
const IMIX = imixTraffic({ count: 12, seed: 1 });

function plan(changes: Partial<SystemDimensions> = {}, traffics: Traffic[] = [SMALL]): SystemArm[] {
  return planSystemArms(traffics, {
    systems: systemsNamed("virtio-net", "i40e"),
    ...ONE_DRIVER_CASE,
    dmas: ["direct"],
    directions: ["tx", "rx"],
    ...changes,
  });
}

const ids = (arms: SystemArm[]): string[] => arms.map(({ id }) => id);

describe("the id of a driver's case", () => {
  test("names driver, backend and direction, also when each has one value only", () => {
    expect(ids(plan())).toEqual([
      "virtio-net/direct/tx",
      "i40e/direct/tx",
      "virtio-net/direct/rx",
      "i40e/direct/rx",
    ]);
  });

  test("has a part for every further dimension that has several values in its direction", () => {
    const arms = plan(
      {
        systems: systemsNamed("i40e"),
        rxKinds: ["page-reuse", "page-pool"],
        holds: [0, 64, "all"],
        queueCounts: [1, 8],
        rings: ["split", "packed"],
        ringSizes: [64, 256],
        batches: [8, 32],
        touches: ["none", "copy"],
        sgs: [1, 2],
        tables: ["heap", "slot"],
        thresholds: [0, 4],
      },
      [SMALL, IMIX],
    );
    const all = ids(arms);
    expect(all).toContain("i40e/direct/tx/slot/sg1/t0/q8/f64/packed/b8/r64/none");
    expect(all).toContain("i40e/direct/rx/page-pool/holdall/q1/imix/split/b32/r256/copy");
    expect(all).toHaveLength(2 ** 6 * (2 ** 3 + 2 * 3));
    expect(new Set(all).size).toBe(all.length);
  });

  test("is the same twice only for the same case: what is about the other direction makes none", () => {
    const arms = plan({ holds: [0, 64], sgs: [1, 2], rxKinds: ["page-pool"] });
    expect(ids(arms).filter((id) => id.startsWith("i40e"))).toEqual([
      "i40e/direct/tx/sg1",
      "i40e/direct/tx/sg2",
      "i40e/direct/rx/hold0",
      "i40e/direct/rx/hold64",
    ]);
  });
});

describe("the baseline of a driver's case", () => {
  test("is the first driver of the list, with all else the same", () => {
    const arms = plan({
      systems: systemsNamed("premapped", "virtio-net", "i40e"),
      dmas: ["direct", "iommu-lazy"],
      rxKinds: ["page-reuse", "page-pool"],
      holds: [0, "all"],
      queueCounts: [1, 8],
    });
    for (const { id, baseline } of arms) expect(baseline).toBe(id.replace(/^[^/]+/, "premapped"));
  });

  test("stands next to what is compared with it", () => {
    const arms = plan({ dmas: ["direct", "swiotlb"], holds: [0, 64] });
    const order = arms.map(({ baseline }) => baseline);
    expect(order).toEqual([...order].sort((a, b) => order.indexOf(a) - order.indexOf(b)));
  });

  test("is the one that is asked for, for all cases", () => {
    const arms = plan({ baseline: "i40e/direct/rx" });
    expect(new Set(arms.map(({ baseline }) => baseline))).toEqual(new Set(["i40e/direct/rx"]));
    expect(() => plan({ baseline: "i40e/direct" })).toThrow(
      'the baseline "i40e/direct" is no case of this comparison; they are virtio-net/direct/tx, i40e/direct/tx, ' +
        "virtio-net/direct/rx and 1 more",
    );
  });
});

describe("what the reader of a driver's case should know", () => {
  test("is which receive buffers it has, when it was not asked for any", () => {
    const notes = (arms: SystemArm[]) => arms.filter(({ id }) => id.includes("/rx")).map((arm) => arm.notes);
    expect(notes(plan())).toEqual([
      ["the driver's own receive buffers: alloc-per-packet"],
      ["the driver's own receive buffers: page-reuse"],
    ]);
    expect(notes(plan({ rxKinds: ["page-pool"] }))).toEqual([[], []]);
  });

  test("is that it takes no tables", () => {
    expect(plan({ directions: ["tx"] }).map(({ notes }) => notes)).toEqual([
      [],
      ["i40e takes no indirect tables"],
    ]);
  });
});

describe("a system that is about one direction", () => {
  const [virtio, i40e] = systemsNamed("virtio-net", "i40e");
  const sender: SystemRecord = { ...virtio, name: "sender", directions: ["tx"] };

  test("has no case of the other", () => {
    expect(ids(plan({ systems: [virtio, sender] }))).toEqual([
      "virtio-net/direct/tx",
      "sender/direct/tx",
      "virtio-net/direct/rx",
    ]);
  });

  test("is the baseline where it can be, and the next one elsewhere", () => {
    const arms = plan({ systems: [sender, virtio, i40e] });
    expect(arms.map(({ baseline }) => baseline)).toEqual([
      ...Array(3).fill("sender/direct/tx"),
      ...Array(2).fill("virtio-net/direct/rx"),
    ]);
  });
});

describe("a system without backends that were asked for", () => {
  const systems = systemsNamed("vhost-net", "sriov-vf");

  test("takes its own, and the id doesn't name it", () => {
    const arms = plan({ systems, as: "systems", dmas: [], directions: ["rx"] });
    expect(arms.map(({ id, dma, notes }) => [id, dma, notes])).toEqual([
      ["vhost-net/rx", "direct", []],
      ["sriov-vf/rx", "iommu-strict", ["sriov-vf is behind iommu-strict"]],
    ]);
  });

  test("and one that hands out physical addresses has one case whatever was asked for", () => {
    const arms = plan({ systems, as: "systems", dmas: ["swiotlb", "iommu-lazy"], directions: ["rx"] });
    expect(ids(arms)).toEqual(["vhost-net/direct/rx", "sriov-vf/swiotlb/rx", "sriov-vf/iommu-lazy/rx"]);
  });
});

test("one direction alone has no case of the other", () => {
  expect(ids(plan({ directions: ["rx"] }))).toEqual(["virtio-net/direct/rx", "i40e/direct/rx"]);
  expect(ids(plan({ directions: ["tx"] }))).toEqual(["virtio-net/direct/tx", "i40e/direct/tx"]);
});

describe("what no driver can run is refused with what would be right:", () => {
  test.each<[string, Partial<SystemDimensions>, string]>([
    ["three queues", { queueCounts: [3] }, "3 queues are not possible; 1, 2, 4, 8 are"],
    ["holding less than nothing", { holds: [-1] }, "-1 is not possible for packets that a consumer holds"],
    ["a split ring of 100", { ringSizes: [100] }, "a split ring of 100 entries is not possible"],
    ["a ring of 65536", { ringSizes: [65536] }, "65536 is not possible for the ring's size"],
    ["bursts of 0", { batches: [0] }, "0 is not possible for packets of a burst"],
    ["0 sgs", { sgs: [0] }, "0 is not possible for sgs per packet"],
    ["a threshold of 20", { thresholds: [20] }, "20 is not possible for the threshold"],
    ["no system", { systems: [] }, "systems is empty"],
    ["no direction", { directions: [] }, "directions is empty"],
  ])("%s", (_, changes, message) => {
    expect(() => plan(changes)).toThrow(CompareInputError);
    expect(() => plan(changes)).toThrow(message);
  });
});
