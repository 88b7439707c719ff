/** Frames that span receive buffers: what the consumer gets, and what a packet costs, to the unit. */
import { describe, expect, it } from "vitest";
import type { DmaBackend } from "../../src/names.ts";
import { RING_FORMATS } from "../../src/names.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";
import { DRIVER_RECORDS, type DriverRecord, type RxKind } from "../../src/system/records.ts";
import {
  type BenchOptions,
  digestOf,
  driverBench,
  framesOf,
  PLAIN_KINDS,
  ratesOf,
} from "../support/driver-bench.ts";

const BACKENDS: readonly DmaBackend[] = ["direct", "swiotlb", "iommu-strict", "iommu-lazy"];
const HEADER = 12;
const LENGTHS = [64, 255, 256, 1518, 9000, 65_550];

const merging: DriverRecord = {
  ...DRIVER_RECORDS["virtio-net"],
  rx: { ...DRIVER_RECORDS["virtio-net"].rx, mergeable: true },
};
/** Kinds through which frames can span buffers, with the bytes of one and whether they are mapped for each packet. */
const KINDS: readonly (readonly [RxKind, number, boolean])[] = [
  ["alloc-per-packet", 4096, true],
  ["page-reuse", 2048, false],
  ["page-reuse-build", 1536, false],
  ["page-pool", 4096 - 192, false],
  ["premapped", 4096, false],
  ["mergeable", 2048, true],
];

/** A bench that receives; whatever it did, everything comes back when it is closed. */
async function received<T>(
  options: Omit<BenchOptions, "direction">,
  look: (bench: DriverBench) => T,
): Promise<T> {
  const bench = await driverBench({ ...options, direction: "rx" });
  const seen = look(bench);
  expect(bench.check()).toBeNull();
  expect(bench.close()).toEqual({ ok: true, leaks: [] });
  return seen;
}

it("has a row for every kind that can merge", () => {
  expect(KINDS.map(([kind]) => kind).slice(0, -1)).toEqual(PLAIN_KINDS);
});

describe.each(BACKENDS)("through %s", (dma) => {
  it.each(KINDS)(
    "%s: frames of all lengths arrive as they were sent, held and dropped at random",
    async (rx) => {
      const frames = LENGTHS.flatMap((length) => framesOf(length, 4, length));
      for (const format of RING_FORMATS) {
        for (const drop of ["in-order", "random"] as const) {
          await received({ dma, format, driver: merging, rx, queues: [frames], hold: 5, drop }, (bench) => {
            bench.run(2);
            expect(bench.digests()).toEqual([digestOf(frames)]);
            const bytes = 3 * frames.reduce((sum, { length }) => sum + length, 0);
            expect(bench.counters()).toMatchObject({ packets: 3 * frames.length, bytes, dropsNoBuffer: 0 });
          });
        }
      }
    },
  );
});

describe.each(RING_FORMATS)("on a %s ring", (format) => {
  it.each(LENGTHS)(
    "mergeable: %i bytes take a map, an unmap and half a page for each 2 KiB",
    async (bytes) => {
      const buffers = Math.ceil((HEADER + bytes) / 2048);
      // A pass has an even number of buffers, so that its pages are whole.
      for (const hold of [0, 3, "all"] as const) {
        const options = { format, driver: "virtio-net", rx: "mergeable", bytes, count: 16, hold } as const;
        const rates = await received(options, (bench) => ratesOf(bench));
        expect(rates).toMatchObject({ packets: 1, bytes, maps: buffers, unmaps: buffers });
        expect(rates).toMatchObject({ pagesAllocated: buffers / 2, pagesFreed: buffers / 2 });
        for (const name of ["syncsCpu", "syncsDevice", "pagesReused"] as const)
          expect(rates).not.toHaveProperty(name);
      }
    },
  );

  it.each(KINDS)("%s: a frame costs what its buffers cost, %i bytes each", async (rx, each, mapped) => {
    for (const bytes of [1000, 9000, 65_550]) {
      const buffers = Math.ceil((HEADER + bytes) / each);
      const options = { format, driver: merging, rx, bytes, count: 16 };
      const { maps, unmaps, syncsCpu } = await received(options, (bench) => ratesOf(bench));
      const calls = mapped ? buffers : undefined;
      expect({ maps, unmaps, syncsCpu }).toEqual({
        ...{ maps: calls, unmaps: calls },
        syncsCpu: mapped ? undefined : buffers,
      });
    }
  });
});

it("mergeable: a ring has posted half as many pages as buffers", async () => {
  await received({ driver: "virtio-net", rx: "mergeable", count: 16 }, (bench) => {
    expect(bench.drivers[0].outstanding).toBe(256);
    expect(bench.counters().pagesAllocated).toBe(128);
  });
});

it("page-reuse: of a frame that spans buffers the headers are copied, and it holds the rest", async () => {
  const rates = await received({ driver: merging, rx: "page-reuse", bytes: 9000, count: 16 }, (bench) =>
    ratesOf(bench),
  );
  expect(rates).toMatchObject({ headerCopyBytes: 48, pageReferences: 5, pagesReused: 5, reuseRate: 1 });
});

it("without a copy of the payload a frame takes as many buffers, and its length arrives", async () => {
  for (const touch of ["none", "header"] as const) {
    const rates = await received({ driver: merging, bytes: 65_550, count: 16, touch }, (bench) =>
      ratesOf(bench),
    );
    expect(rates).toMatchObject({ packets: 1, bytes: 65_550, maps: 17, unmaps: 17 });
  }
});

it("a burst has as many frames as fit into what is posted between refills, and a ring has a longest frame", async () => {
  await received({ driver: merging, bytes: 65_550, count: 8 }, ({ settings }) => {
    // A ring of 256 is filled again once more than 128 are free.
    expect(settings).toMatchObject({ batch: Math.floor(128 / 17), buffersMost: 17, frameMost: 65_550 });
  });
  const frames = [...framesOf(3 * 4096 - HEADER, 3), ...framesOf(3 * 4096 - HEADER + 1, 3)];
  await received({ driver: merging, ringSize: 4, queues: [frames], refillAt: 2 }, (bench) => {
    bench.run(2);
    expect(bench.counters()).toMatchObject({ packets: 6, dropsTooLong: 6, dropsNoBuffer: 0 });
  });
});

describe("big", () => {
  const PAGE = 4096;
  /** The frame starts on a cache line of its own in the first page. */
  const pages = (bytes: number): number => 1 + Math.ceil(Math.max(0, bytes - (PAGE - 64)) / PAGE);

  describe.each(RING_FORMATS)("on a %s ring", (format) => {
    it.each(LENGTHS)(
      "%i bytes take 19 maps and unmaps, one more with a table, and the pages that they reach",
      async (bytes) => {
        for (const hold of [0, 3, "all"] as const) {
          const options = {
            format,
            driver: "virtio-net",
            rx: "big",
            bytes,
            count: 16,
            hold,
            ringSize: 32,
          } as const;
          const reached = { pagesAllocated: pages(bytes), pagesFreed: pages(bytes), packets: 1, bytes };
          const rates = await received(options, (bench) => ratesOf(bench));
          expect(rates).toMatchObject({ ...reached, maps: 20, unmaps: 20, tableTakes: 1 });
          const direct = await received({ ...options, tables: "direct" }, (bench) => ratesOf(bench));
          expect(direct).toMatchObject({ ...reached, maps: 19, unmaps: 19 });
          for (const name of ["syncsCpu", "syncsDevice", "tableTakes"] as const)
            expect(direct).not.toHaveProperty(name);
        }
      },
    );
  });

  it.each(BACKENDS)(
    "through %s: frames of all lengths arrive as they were sent, held and dropped at random",
    async (dma) => {
      const frames = LENGTHS.flatMap((length) => framesOf(length, 4, length));
      for (const tables of ["direct", "heap", "freelist"] as const) {
        const options = { driver: "virtio-net", rx: "big", queues: [frames], ringSize: 64, tables } as const;
        await received({ ...options, dma, threshold: 19, hold: 5, drop: "random" }, (bench) => {
          bench.run(2);
          expect(bench.digests()).toEqual([digestOf(frames)]);
          expect(bench.counters()).toMatchObject({ packets: 3 * frames.length, dropsNoBuffer: 0 });
        });
      }
    },
  );

  it("needs a ring of 19, and a device header", async () => {
    const options = { driver: "virtio-net", rx: "big", format: "packed", bytes: 9000, count: 4 } as const;
    for (const tables of ["direct", "heap"] as const) {
      const small = driverBench({ ...options, direction: "rx", ringSize: 18, tables });
      await expect(small).rejects.toThrow(
        "ringSize is 18, but a buffer has 19 elements, and a ring at least as many",
      );
      await received({ ...options, ringSize: 19, tables }, (bench) => {
        bench.run(3);
        expect(bench.counters()).toMatchObject({ packets: 12, dropsNoBuffer: 0 });
      });
    }
    const headless = driverBench({ ...options, direction: "rx", driver: "i40e" });
    await expect(headless).rejects.toThrow('rx is "big", but i40e has no device header');
  });
});
