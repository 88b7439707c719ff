/** What receiving a packet costs each driver, to the unit, and what its consumer gets. */
import { describe, expect, it } from "vitest";
import type { DmaBackend } from "../../src/names.ts";
import { RING_FORMATS } from "../../src/names.ts";
import type { PathCounters } from "../../src/system/driver-bench.ts";
import type { RxKind } from "../../src/system/records.ts";
import {
  type BenchOptions,
  digestOf,
  driverBench,
  driversOf,
  framesOf,
  PLAIN_KINDS,
  ratesOf,
  ratesWhile,
} from "../support/driver-bench.ts";

const BACKENDS: readonly DmaBackend[] = ["direct", "swiotlb", "iommu-strict", "iommu-lazy"];
const RING = 256;

/** A bench that receives; whatever it did, everything comes back when it is closed. */
async function received<T>(
  options: Omit<BenchOptions, "direction">,
  look: (bench: Awaited<ReturnType<typeof driverBench>>) => T,
): Promise<T> {
  const bench = await driverBench({ ...options, direction: "rx" });
  const seen = look(bench);
  expect(bench.check()).toBeNull();
  expect(bench.close()).toEqual({ ok: true, leaks: [] });
  return seen;
}

describe.each(BACKENDS)("receive through %s", (dma) => {
  describe.each(RING_FORMATS)("on a %s ring", (format) => {
    const at = { dma, format };

    it("virtio-net: one page, one map and one unmap a packet", async () => {
      const rates = await received({ ...at, driver: "virtio-net" }, (bench) => ratesOf(bench));
      expect(rates).toMatchObject({ pagesAllocated: 1, pagesFreed: 1, maps: 1, unmaps: 1 });
      expect(rates).not.toHaveProperty("syncsCpu");
      expect(rates).not.toHaveProperty("syncsDevice");
    });

    it("virtio-net with header and data apart: three maps with a table, two without", async () => {
      const apart = { ...at, driver: "virtio-net", rxSgs: 2 as const };
      const rates = await received(apart, (bench) => ratesOf(bench));
      expect(rates).toMatchObject({ maps: 3, unmaps: 3, tableTakes: 1, pagesAllocated: 1 });
      const direct = await received({ ...apart, tables: "direct" }, (bench) => ratesOf(bench));
      expect(direct).toMatchObject({ maps: 2, unmaps: 2, pagesAllocated: 1 });
    });

    it.each(PLAIN_KINDS)("header and data apart, %s: the longest frame fits", async (rx) => {
      const frames = framesOf(1518, 300);
      for (const driver of ["virtio-net", "premapped"]) {
        await received({ ...at, driver, rx, rxSgs: 2, queues: [frames] }, (bench) => {
          expect(bench.digests()).toEqual([digestOf(frames)]);
        });
      }
    });

    it("i40e with a prompt consumer: one sync for the CPU of 2048 bytes and one page reference, nothing else", async () => {
      const rates = await received({ ...at, driver: "i40e" }, (bench) => ratesOf(bench));
      for (const name of ["maps", "unmaps", "pagesAllocated", "pagesFreed", "syncsDevice"] as const) {
        expect(rates).not.toHaveProperty(name);
      }
      expect(rates).toMatchObject({ syncsCpu: 1, syncBytesAsked: 2048, pageReferences: 1 });
      expect(rates).toMatchObject({ pagesReused: 1, reuseRate: 1, refills: 1 / 16, doorbells: 1 / 16 });
    });

    it("i40e-6.1: one sync for the CPU of the packet's length, one for the device of the buffer, no shared write", async () => {
      const rates = await received({ ...at, driver: "i40e-6.1" }, (bench) => ratesOf(bench));
      for (const name of ["maps", "unmaps", "pagesAllocated", "pagesFreed", "pageReferences"] as const) {
        expect(rates).not.toHaveProperty(name);
      }
      expect(rates).toMatchObject({ syncsCpu: 1, syncsDevice: 1, syncBytesAsked: 1518 + 1536 });
      expect(rates).toMatchObject({ pagesReused: 1, reuseRate: 1, refills: 1 / 32 });
      expect(rates).not.toHaveProperty("headerCopyBytes");
    });

    it("i40e-6.1 with page-reuse (legacy-rx): the same syncs, of half a page for the device, and headers copied", async () => {
      const rates = await received({ ...at, driver: "i40e-6.1", rx: "page-reuse" }, (bench) =>
        ratesOf(bench),
      );
      expect(rates).toMatchObject({
        syncsCpu: 1,
        syncsDevice: 1,
        syncBytesAsked: 1518 + 2048,
        headerCopyBytes: 48,
      });
      expect(rates).not.toHaveProperty("pageReferences");
    });

    it("premapped: no map after set-up; one sync for the CPU and one for the device on repost", async () => {
      const rates = await received({ ...at, driver: "premapped" }, (bench) => {
        const { maps, pagesAllocated } = bench.counters();
        expect(maps).toBe(pagesAllocated);
        expect(maps).toBeGreaterThanOrEqual(RING);
        return ratesWhile(bench, () => bench.run(4));
      });
      for (const name of ["maps", "unmaps", "pagesAllocated", "pagesFreed"] as const) {
        expect(rates).not.toHaveProperty(name);
      }
      expect(rates).toMatchObject({
        syncsCpu: 1,
        syncsDevice: 1,
        syncBytesAsked: 2 * (12 + 1518),
        reuseRate: 1,
      });
    });

    it("page-pool with a prompt consumer: pages go round mapped", async () => {
      const rates = await received({ ...at, driver: "virtio-net", rx: "page-pool" }, (bench) =>
        ratesOf(bench),
      );
      for (const name of ["maps", "unmaps", "pagesAllocated", "pagesFreed", "pageReferences"] as const) {
        expect(rates).not.toHaveProperty(name);
      }
      expect(rates).toMatchObject({
        syncsCpu: 1,
        syncsDevice: 1,
        syncBytesAsked: 2 * (12 + 1518),
        reuseRate: 1,
      });
    });

    it.each(["page-reuse", "page-reuse-build"] as const)(
      "%s, packets over 256 bytes held for ever: 0.5 allocations, maps and unmaps a packet",
      async (rx) => {
        const rates = await received({ ...at, driver: "i40e", rx, hold: "all", count: 4 * RING }, (bench) =>
          ratesOf(bench),
        );
        expect(rates).toMatchObject({
          pagesAllocated: 0.5,
          pagesFreed: 0.5,
          maps: 0.5,
          unmaps: 0.5,
          reuseRate: 0.5,
        });
      },
    );

    it.each([
      [256, { headerCopyBytes: 256 }],
      [257, { headerCopyBytes: 48, pageReferences: 1 }],
    ])("page-reuse: of a packet of %i bytes so much is copied: %o", async (bytes, copied) => {
      const rates = await received({ ...at, driver: "i40e", bytes }, (bench) => ratesOf(bench));
      const { headerCopyBytes, pageReferences } = rates;
      expect({ headerCopyBytes, ...(pageReferences && { pageReferences }) }).toEqual(copied);
    });

    it("small packets are copied whole and hold nothing: the same half goes back, however long they are held", async () => {
      const rates = await received(
        { ...at, driver: "i40e", bytes: 250, hold: "all", count: 4 * RING },
        (bench) => ratesOf(bench),
      );
      for (const name of ["maps", "unmaps", "pagesAllocated", "pagesFreed", "pageReferences"] as const) {
        expect(rates).not.toHaveProperty(name);
      }
      expect(rates).toMatchObject({ headerCopyBytes: 256, reuseRate: 1, syncsCpu: 1 });
    });

    it.each(PLAIN_KINDS)(
      "%s: what the consumer gets is what was sent, held and dropped at random",
      async (rx) => {
        const frames = framesOf(600, 700);
        const queues = [frames.slice(0, 400), frames.slice(400), []];
        for (const driver of driversOf("rx")) {
          await received({ ...at, driver, rx, queues, hold: 300, drop: "random", ringSize: 64 }, (bench) => {
            bench.run(2);
            expect(bench.digests()).toEqual(queues.map(digestOf));
            expect(bench.digests()).toEqual(queues.map(digestOf));
          });
        }
      },
    );
  });

  it.each<[number, number]>([
    [0, 1],
    [64, 1],
    [RING - 1, 1],
    [RING, 0.5],
    [RING + 100, 0.5],
  ])("page-reuse: a consumer that holds %i packets leaves a reuse rate of %f", async (hold, rate) => {
    for (const driver of ["i40e", "i40e-6.1", "virtio-net"]) {
      const rates = await received({ dma, driver, rx: "page-reuse", hold, count: 4 * RING }, (bench) =>
        ratesOf(bench),
      );
      expect(rates.reuseRate).toBe(rate);
    }
  });

  it("counts each queue apart, and their sum", async () => {
    const frames = framesOf(600, 1000);
    const queues = [frames.slice(0, 700), frames.slice(700), []];
    await received({ dma, driver: "i40e", queues }, (bench) => {
      bench.run(3);
      const each = queues.map((_, queue) => bench.queueCounters(queue));
      expect(each.map(({ packets, bytes }) => [packets, bytes])).toEqual([
        [2100, 2100 * 600],
        [900, 900 * 600],
        [0, 0],
      ]);
      expect(each.map(({ syncsCpu, syncBytesAsked }) => [syncsCpu, syncBytesAsked])).toEqual([
        [2100, 2100 * 2048],
        [900, 900 * 2048],
        [0, 0],
      ]);
      expect(each.map(({ maps }) => maps)).toEqual([RING, RING, RING]);
      const { maps, syncsCpu } = bench.counters();
      expect([maps, syncsCpu]).toEqual([3 * RING, 3000]);
      expect(bench.engine.devices[0].dma.counters()).toMatchObject({ maps, syncsCpu });
    });
  });
});

describe("what backends do for a packet that is received", () => {
  it("swiotlb copies what is mapped in and out again, or only what is synced", async () => {
    const bounced = (driver: string, rx?: RxKind): Promise<Partial<PathCounters>> =>
      received({ dma: "swiotlb", driver, rx }, (bench) => ratesOf(bench));
    // Header and the longest frame, in at the map and out at the unmap.
    expect((await bounced("virtio-net")).bounceBytes).toBe(2 * (12 + 1518));
    expect(await bounced("i40e")).toMatchObject({ bounceBytes: 2048, syncBytesCopied: 2048 });
    // A sync for the device copies nothing that the device only writes.
    expect(await bounced("i40e-6.1")).toMatchObject({ bounceBytes: 1518, syncBytesCopied: 1518 });
    expect(await bounced("premapped")).toMatchObject({ bounceBytes: 12 + 1518, syncBytesCopied: 12 + 1518 });
    expect(await bounced("i40e", "page-pool")).toMatchObject({ bounceBytes: 1518, syncBytesCopied: 1518 });
  });

  it("iommu-strict invalidates once a packet where every buffer is mapped for it, and never where none is", async () => {
    for (const [driver, invalidations] of [
      ["virtio-net", 1],
      ["i40e", undefined],
      ["premapped", undefined],
    ] as const) {
      const rates = await received({ dma: "iommu-strict", driver }, (bench) => ratesOf(bench));
      expect(rates.invalidations).toBe(invalidations);
      expect(rates).not.toHaveProperty("faults");
      expect(rates).not.toHaveProperty("staleAccesses");
    }
  });

  it("iommu-lazy flushes once for 255 unmaps", async () => {
    await received({ dma: "iommu-lazy", driver: "virtio-net", count: 1020 }, (bench) => {
      bench.run(2);
      const before = bench.counters();
      bench.run(10);
      const after = bench.counters();
      expect(after.unmaps - before.unmaps).toBe(10_200);
      expect(after.flushes - before.flushes).toBe(10_200 / 255);
    });
  });
});

describe("references that are taken ahead", () => {
  it("are 65,535 at once, and filled up by 65,534 when one is left", async () => {
    await received({ driver: "i40e-6.1", ringSize: 2, count: 1024 }, (bench) => {
      const { wasm } = bench.engine;
      const records = bench.engine.region("page records").ptr;
      const lent = (): number[] =>
        Array.from(
          { length: bench.settings.pages },
          (_, k) => bench.engine.u32[(records + k * 32 + wasm.PAGE_REFS.value) >>> 2],
        ).filter((refs) => refs > 0);
      expect(lent()).toEqual([65535, 65535]);
      // Each page has every other packet, and gives one of its own away for each.
      for (let packets = 0; packets < 2 * 65533; packets += 1024)
        bench.runSome(Math.min(1024, 2 * 65533 - packets));
      expect(bench.counters().referenceTopUps).toBe(0);
      expect(lent()).toEqual([2, 2]);
      bench.runSome(2);
      expect(bench.counters().referenceTopUps).toBe(2);
      expect(lent()).toEqual([65535, 65535]);
    });
  });
});
