/**
 * No lost wake-up, in a model: every interleaving of a driver and a device that sleep whenever they may, with
 * stores that become visible late. Each barrier and each re-check is shown to be needed, too.
 */
import { describe, expect, test } from "vitest";
import type { RingFormat } from "../../src/names.ts";
import { exploreScene, type Half, type Mistakes, type Scene, type Suppression } from "./halves.ts";

const SUPPRESSIONS: Suppression[] = ["flags", "EVENT_IDX"];
const SIZES: Record<RingFormat, number[]> = { split: [1, 2], packed: [1, 2, 3] };

/** The rows about the barrier behind publishing, and about what comes after re-arming. */
const ROWS: Record<RingFormat, Record<Half, { publish: string; arm: string }>> = {
  split: {
    driver: { publish: "S-D-17", arm: "S-D-18" },
    device: { publish: "S-V-15", arm: "S-V-15" },
  },
  packed: {
    driver: { publish: "P-D-14", arm: "P-D-17" },
    device: { publish: "P-V-09", arm: "P-V-09" },
  },
};

describe.each<RingFormat>(["split", "packed"])("two halves of a %s ring that sleep", (format) => {
  const rows = Object.values(ROWS[format]).flatMap(({ publish, arm }) => [publish, arm]);
  const ids = [...new Set(rows)].join(", ");

  describe.each(SUPPRESSIONS)("with %s", (suppression) => {
    const scene = (more: Partial<Scene> & Mistakes = {}): Scene => ({
      format,
      suppression,
      size: 2,
      buffers: 3,
      ...more,
    });
    const find = (mistakes: Mistakes, more: Partial<Scene> = {}): string | undefined =>
      exploreScene(scene({ ...more, ...mistakes })).fault?.what;

    test.each(SIZES[format])(`${ids}: no interleaving loses a wake-up on a ring of %i`, (size) => {
      for (const awake of ["keep", "suppress"] as const) {
        const { states, fault } = exploreScene(scene({ size, buffers: size + 1, awake }));
        expect(fault).toBeUndefined();
        expect(states).toBeGreaterThan(100);
      }
    });

    test("H-B-02: junk in an event word of a half that is awake loses none", () => {
      const { states, fault } = exploreScene(
        scene({ size: format === "split" ? 2 : 1, buffers: 2, awake: "junk" }),
      );
      expect(fault).toBeUndefined();
      expect(states).toBeGreaterThan(400);
    });

    test("S-B-09, V-B-03: notifications without a reason lose none and complete nothing twice", () => {
      expect(exploreScene(scene({ buffers: 2, spurious: 1 })).fault).toBeUndefined();
    });

    describe.each<Half>(["driver", "device"])("the check finds the lost wake-up, when the %s", (half) => {
      const { publish, arm } = ROWS[format][half];

      test(`has no barrier between publishing and reading the wish (${publish})`, () => {
        expect(find({ noBarrierAtPublish: half })).toBe("lost wake-up");
      });

      test(`has no barrier between re-arming and looking again (${arm})`, () => {
        expect(find({ noBarrierAtArm: half })).toBe("lost wake-up");
      });

      test(`does not look again after re-arming (${arm})`, () => {
        expect(find({ noRecheck: half })).toBe("lost wake-up");
      });

      test(`reads the wish before it publishes (${publish})`, () => {
        expect(find({ decidesFirst: half })).toBe("lost wake-up");
      });

      if (suppression === "EVENT_IDX") {
        test(`compares the event by equality (${eventRow(format, half)})`, () => {
          expect(find({ equality: half })).toBe("lost wake-up");
        });
      }

      // The one slot of a packed ring that the peer looks at has no index that could come first.
      if (format === "split") {
        test(`shows an index before its entry (${half === "driver" ? "S-D-16" : "S-V-09"})`, () => {
          expect(find({ showsFirst: half })).toMatch(/^stale element/);
        });
      }

      test("loads an entry before what says that it is there, as without acquire (H-B-01)", () => {
        expect(find({ looksAhead: half })).toMatch(/^stale element/);
      });
    });
  });
});

function eventRow(format: RingFormat, half: Half): string {
  if (format === "split") return half === "driver" ? "S-D-15" : "S-V-08";
  return half === "driver" ? "P-D-16" : "P-V-10";
}

test("the way to a lost wake-up ends with both halves asleep, and is as short as can be", () => {
  const { fault } = exploreScene({
    format: "split",
    suppression: "flags",
    size: 1,
    buffers: 1,
    noBarrierAtPublish: "driver",
  });
  expect(fault?.way).toContain("driver: load used.flags = 1");
  expect(fault?.way.filter((step) => step.includes("woken"))).toEqual([]);
  expect(fault?.way.length).toBeLessThan(30);
});
