/** What transmitting a packet costs each driver, to the unit, and what the wire gets. */
import { describe, expect, it } from "vitest";
import type { DmaBackend } from "../../src/names.ts";
import { RING_FORMATS } from "../../src/names.ts";
import type { DriverBench, PathCounters } from "../../src/system/driver-bench.ts";
import { DRIVER_RECORDS } from "../../src/system/records.ts";
import {
  type BenchOptions,
  digestOf,
  driverBench,
  driversOf,
  framesOf,
  ratesOf,
  ratesWhile,
} from "../support/driver-bench.ts";

const BACKENDS: readonly DmaBackend[] = ["direct", "swiotlb", "iommu-strict", "iommu-lazy"];

/** A bench that transmits; whatever it did, everything comes back when it is closed. */
async function sent<T>(
  options: Omit<BenchOptions, "direction">,
  look: (bench: DriverBench) => T,
): Promise<T> {
  const bench = await driverBench({ ...options, direction: "tx" });
  const seen = look(bench);
  expect(bench.close()).toEqual({ ok: true, leaks: [] });
  return seen;
}

describe.each(BACKENDS)("transmit through %s", (dma) => {
  describe.each(RING_FORMATS)("on a %s ring", (format) => {
    const at = { dma, format };

    it.each([1, 2, 3, 4, 7])(
      "virtio-net, %i sgs: one map and unmap for each, and one for the table",
      async (sg) => {
        const rates = await sent({ ...at, driver: "virtio-net", sg }, (bench) => ratesOf(bench));
        const maps = sg === 1 ? 1 : sg + 1;
        expect(rates).toMatchObject({ packets: 1, bytes: 1518, maps, unmaps: maps });
        expect(rates.tableTakes).toBe(sg === 1 ? undefined : 1);
        const direct = await sent({ ...at, driver: "virtio-net", sg, tables: "direct" }, (bench) =>
          ratesOf(bench),
        );
        expect(direct).toMatchObject({ maps: sg, unmaps: sg });
        for (const name of ["syncsCpu", "syncsDevice", "mapFailures"] as const)
          expect(rates).not.toHaveProperty(name);
      },
    );

    it.each([1, 2, 8])("i40e, %i sgs: one map and unmap for each", async (sg) => {
      for (const driver of ["i40e", "i40e-6.1"]) {
        const rates = await sent({ ...at, driver, sg }, (bench) => ratesOf(bench));
        expect(rates).toMatchObject({ packets: 1, maps: sg, unmaps: sg });
        expect(rates).not.toHaveProperty("tableTakes");
        expect(rates).not.toHaveProperty("flattened");
      }
    });

    it("i40e: a packet of more than 8 elements is copied flat first, and mapped once", async () => {
      const frames = framesOf(1000, 300);
      await sent({ ...at, driver: "i40e", sg: 9, queues: [frames] }, (bench) => {
        const rates = ratesOf(bench);
        expect(rates).toMatchObject({ maps: 1, unmaps: 1, flattened: 1, flattenedBytes: 1000 });
        expect(bench.digests()).toEqual([digestOf(frames)]);
      });
    });

    it.each([1, 2, 4])(
      "premapped, %i sgs: one sync for the device; a table still costs a map and an unmap",
      async (sg) => {
        const rates = await sent({ ...at, driver: "premapped", sg }, (bench) => {
          const { maps } = bench.counters();
          expect(maps).toBe(bench.packetsPerPass);
          return ratesWhile(bench, () => bench.run(4));
        });
        expect(rates).toMatchObject({ syncsDevice: 1, syncBytesAsked: 12 + 1518 });
        expect(rates.maps).toBe(sg === 1 ? undefined : 1);
      },
    );

    it("premapped: cached tables that are mapped once cost a sync", async () => {
      const rates = await sent({ ...at, driver: "premapped", sg: 2, tablesMapped: true }, (bench) =>
        ratesOf(bench),
      );
      expect(rates).not.toHaveProperty("maps");
      expect(rates).not.toHaveProperty("unmaps");
      expect(rates).toMatchObject({ syncsDevice: 2, syncBytesAsked: 12 + 1518 + 2 * 16 });
    });

    it("what the wire gets is what was sent, however it is cut", async () => {
      const frames = framesOf(600, 500);
      const queues = [frames.slice(0, 300), frames.slice(300), []];
      for (const driver of driversOf("tx")) {
        for (const sg of [1, 2, 5]) {
          for (const ringSize of [32, 256]) {
            await sent({ ...at, driver, sg, queues, ringSize }, (bench) => {
              bench.run(2);
              expect(bench.digests()).toEqual(queues.map(digestOf));
              const each = queues.map((_, queue) => bench.queueCounters(queue));
              expect(each.map(({ packets }) => packets)).toEqual([900, 600, 0]);
            });
          }
        }
      }
    });

    it("virtio-net: a lone last buffer stays mapped until the next transmit begins", async () => {
      const bench = await driverBench({
        ...at,
        driver: "virtio-net",
        direction: "tx",
        count: 3,
        traceOps: 100,
      });
      const { dma: api } = bench.engine.devices[0];
      bench.runSome(1);
      // The device is done with it, the driver has not looked.
      expect(bench.drivers[0].outstanding).toBe(1);
      expect(api.liveMappings).toBe(1);
      bench.runSome(1);
      expect(api.liveMappings).toBe(1);
      const names = bench.operations().map(({ op }) => op);
      expect(names).toEqual(["map", "transmit", "unmap", "reclaim", "map", "transmit"]);
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
      expect(api.liveMappings).toBe(0);
    });

    it("virtio-net: no packet of a burst is unmapped before the next burst begins", async () => {
      const bench = await driverBench({
        ...at,
        driver: "virtio-net",
        direction: "tx",
        sg: 2,
        traceOps: 5000,
      });
      bench.runSome(96);
      const operations = bench.operations();
      const short = operations.map(({ op, a }) =>
        op === "transmit" || op === "reclaim" ? `${op} ${a}` : op,
      );
      const maps = Array.from({ length: 3 * 32 }, () => "map");
      const unmaps = maps.map(() => "unmap");
      const first = [...maps, "transmit 32"];
      const later = [...unmaps, "reclaim 32", ...first];
      expect(short).toEqual([...first, ...later, ...later]);
      expect(bench.close().ok).toBe(true);
    });

    it("i40e: unmaps at completion, so that nothing stays mapped between bursts", async () => {
      const bench = await driverBench({ ...at, driver: "i40e", direction: "tx", sg: 3, traceOps: 1000 });
      bench.runSome(32);
      expect(bench.engine.devices[0].dma.liveMappings).toBe(0);
      const names = [...new Set(bench.operations().map(({ op }) => op))];
      expect(names).toEqual(["map", "transmit", "unmap", "reclaim"]);
      expect(bench.close().ok).toBe(true);
    });

    it("a packet that can't be mapped is dropped and counted, whichever of its elements failed; nothing leaks", async () => {
      const frames = framesOf(700, 64);
      for (const [driver, maps] of [
        ["virtio-net", 4],
        ["i40e", 3],
      ] as const) {
        for (let failing = 1; failing <= 3 * maps; failing++) {
          await sent({ ...at, driver, sg: 3, queues: [frames] }, (bench) => {
            const { dma: api } = bench.engine.devices[0];
            bench.run(1);
            api.failIn(failing);
            // The wire gets all others, in their order.
            const lost = Math.floor((failing - 1) / maps);
            expect(bench.digests()).toEqual([digestOf(frames.toSpliced(lost, 1))]);
            expect(bench.counters()).toMatchObject({ packets: 127, dropsMapFailed: 1, mapFailures: 1 });
            // What is mapped is what is outstanding, whole packets of it.
            expect(api.liveMappings).toBe(maps * bench.drivers[0].outstanding);
            expect(bench.digests()).toEqual([digestOf(frames)]);
          });
        }
      }
    });
  });

  it("a table that can't be had falls to direct descriptors, and everything comes back", async () => {
    const rates = await sent({ dma, driver: "virtio-net", sg: 6, tables: "heap", threshold: 0 }, (bench) =>
      ratesOf(bench),
    );
    expect(rates).toMatchObject({ maps: 7, unmaps: 7, tableTakes: 1 });
  });
});

describe("what backends do for a packet that is transmitted", () => {
  it("swiotlb copies in what is mapped, the table too, or what is synced", async () => {
    const bounced = (driver: string, sg: number): Promise<Partial<PathCounters>> =>
      sent({ dma: "swiotlb", driver, sg }, (bench) => ratesOf(bench));
    expect((await bounced("virtio-net", 1)).bounceBytes).toBe(12 + 1518);
    expect((await bounced("virtio-net", 3)).bounceBytes).toBe(12 + 1518 + 3 * 16);
    expect((await bounced("i40e", 3)).bounceBytes).toBe(1518);
    expect(await bounced("premapped", 1)).toMatchObject({
      bounceBytes: 12 + 1518,
      syncBytesCopied: 12 + 1518,
    });
  });

  it("iommu-strict invalidates once for each unmap", async () => {
    const rates = await sent({ dma: "iommu-strict", driver: "virtio-net", sg: 3 }, (bench) => ratesOf(bench));
    expect(rates).toMatchObject({ unmaps: 4, invalidations: 4 });
    expect(
      await sent({ dma: "iommu-strict", driver: "premapped" }, (bench) => ratesOf(bench)),
    ).not.toHaveProperty("invalidations");
  });
});

describe("when transmit pauses, and when buffers are taken back", () => {
  it("a burst begins no packet while fewer than 19 descriptors are free, unless nothing is under way", async () => {
    await sent({ driver: "i40e", sg: 4, ringSize: 64, traceOps: 1000 }, (bench) => {
      expect(bench.settings.batch).toBe(12);
      bench.runSome(60);
      const left = bench
        .operations()
        .filter(({ op }) => op === "transmit")
        .map(({ a, b }) => [a, b]);
      expect(left).toEqual(Array.from({ length: 5 }, () => [12, 64 - 48]));
    });
  });

  it("the last packet of a burst is begun with exactly 19 free", async () => {
    for (const driver of ["i40e", "virtio-net"]) {
      await sent({ driver, ringSize: 32, traceOps: 1000 }, (bench) => {
        bench.runSome(28);
        const left = bench.operations().filter(({ op }) => op === "transmit");
        expect(left.map(({ a, b }) => [a, b])).toEqual([
          [14, 18],
          [14, 18],
        ]);
      });
    }
  });

  it("a ring with less than that sends one packet at a time", async () => {
    await sent({ driver: "virtio-net", ringSize: 16, count: 100, traceOps: 1000 }, (bench) => {
      expect(bench.settings.batch).toBe(1);
      bench.run(2);
      expect(bench.counters().packets).toBe(200);
    });
  });

  it("a burst ends early when the next packet might find fewer, and the others go later", async () => {
    const record = DRIVER_RECORDS["virtio-net"];
    const lazy = { ...record, tx: { ...record.tx, reclaim: "threshold" as const } };
    await sent({ driver: lazy, bytes: 500, count: 96, ringSize: 64, traceOps: 1000 }, (bench) => {
      bench.run(1);
      const sizes = bench.operations().flatMap(({ op, a, b }) => (op === "transmit" ? [[a, b]] : []));
      // With 32 of 64 free nothing is taken back yet, and 14 packets leave 18.
      expect(sizes.slice(0, 3)).toEqual([
        [32, 32],
        [14, 18],
        [32, 32],
      ]);
      expect(bench.counters()).toMatchObject({ packets: 96, ringFull: 2 });
    });
  });

  it("at a threshold: only once fewer than half of the descriptors are free", async () => {
    const record = DRIVER_RECORDS["virtio-net"];
    const lazy = { ...record, tx: { ...record.tx, reclaim: "threshold" as const } };
    await sent({ driver: lazy, bytes: 500, count: 640, traceOps: 10_000 }, (bench) => {
      bench.run(1);
      const shown = bench
        .operations()
        .flatMap(({ op, a, b }) => (op === "transmit" || op === "reclaim" ? [`${op} ${a} ${b}`] : []));
      // Five bursts leave 96 of 256 free; the sixth takes all of them back before it adds its own.
      const adds = [224, 192, 160, 128, 96].map((free) => `transmit 32 ${free}`);
      const backs = [128, 160, 192, 224, 256].map((free) => `reclaim 32 ${free}`);
      expect(shown.slice(0, 15)).toEqual([...adds, ...backs, ...adds]);
    });
  });
});
