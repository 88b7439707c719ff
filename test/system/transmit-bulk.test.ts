/** Transmit in bulk: doorbells, descriptors and tables for a packet, to the unit, and what the wire gets. */
import { describe, expect, it } from "vitest";
import { DMA_BACKENDS, type DmaBackend, RING_FORMATS } from "../../src/names.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";
import { DRIVER_RECORDS, type DriverRecord, SYSTEM_RECORDS } from "../../src/system/records.ts";
import { type BenchOptions, digestOf, driverBench, framesOf, ratesOf } from "../support/driver-bench.ts";

const BACKENDS = Object.keys(DMA_BACKENDS) as DmaBackend[];
const multi = DRIVER_RECORDS["tx-multi-packet"];

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

/** [packets added, descriptors left] of each burst. */
function bursts(bench: DriverBench): number[][] {
  return bench.operations().flatMap(({ op, a, b }) => (op === "transmit" ? [[a, b]] : []));
}

function publishing(publish: number | "burst", eventIdx = false): DriverRecord {
  const record = DRIVER_RECORDS["tx-bulk"];
  return { ...record, eventIdx, tx: { ...record.tx, publish } };
}

describe.each(RING_FORMATS)("on a %s ring", (format) => {
  it.each<[number | "burst", number]>([
    [1, 1],
    [4, 1 / 4],
    [16, 1 / 16],
    [24, 2 / 32],
    [32, 1 / 32],
    ["burst", 1 / 32],
  ])("shown after %s packets of a burst of 32, a packet costs %d doorbells", async (publish, doorbells) => {
    const frames = framesOf(200, 1024);
    await sent({ format, driver: publishing(publish), queues: [frames] }, (bench) => {
      expect(ratesOf(bench)).toMatchObject({ packets: 1, doorbells, interrupts: 1 / 32, maps: 1, unmaps: 1 });
      expect(bench.digests()).toEqual([digestOf(frames)]);
    });
  });

  it("with EVENT_IDX a device that has not looked yet is not told again", async () => {
    const rates = await sent({ format, driver: publishing(1, true) }, (bench) => ratesOf(bench));
    expect(rates.doorbells).toBe(1 / 32);
  });

  it("the records: one at a time, in bulk, and eight to a buffer", async () => {
    const of = (driver: string): Promise<object> =>
      sent({ format, driver, bytes: 64 }, (bench) => ratesOf(bench));
    expect(await of("tx-single")).toMatchObject({ doorbells: 1, maps: 1, unmaps: 1 });
    expect(await of("tx-bulk")).toMatchObject({ doorbells: 1 / 32, maps: 1, unmaps: 1 });
    // A table for eight packets, which is mapped like each of them; it is no cached one.
    const packed = { tableTakes: 1 / 8, heapFalls: 1 / 8, maps: 9 / 8, unmaps: 9 / 8 };
    expect(await of("tx-multi-packet")).toMatchObject({
      packets: 1,
      bytes: 64,
      doorbells: 1 / 32,
      ...packed,
    });
  });

  it("eight packets take one descriptor with a table, and a list of eight without", async () => {
    const options = { format, driver: multi, bytes: 64, traceOps: 10_000 };
    const descriptors = (bench: DriverBench): number[][] => {
      bench.runSome(32);
      expect(bench.drivers[0].outstanding).toBe(4);
      return bursts(bench);
    };
    expect(await sent(options, descriptors)).toEqual([[32, 256 - 4]]);
    expect(await sent({ ...options, tables: "direct" }, descriptors)).toEqual([[32, 256 - 32]]);
    const direct = await sent({ ...options, tables: "direct" }, (bench) => ratesOf(bench));
    expect(direct).toMatchObject({ packets: 1, maps: 1, unmaps: 1, doorbells: 1 / 32 });
    expect(direct).not.toHaveProperty("tableTakes");
  });

  it("cached tables serve as many packets as they have entries", async () => {
    const rates = await sent({ format, driver: multi, bytes: 64, threshold: 8 }, (bench) => ratesOf(bench));
    expect(rates).toMatchObject({ tableTakes: 1 / 8, tableHits: 1 / 8 });
    expect(rates).not.toHaveProperty("heapFalls");
  });

  it("a packet above the limit has a buffer of its own, and ends the one before it", async () => {
    // 256 is the limit; 7 small ones, a large one, 3 small ones, two large ones, and 19 small ones.
    const sizes = [...Array(6).fill(64), 256, 257, 64, 64, 64, 1518, 1518, ...Array(19).fill(64)];
    const frames = sizes.flatMap((bytes, k) => framesOf(bytes, 1, k));
    await sent({ format, driver: multi, queues: [frames], traceOps: 1000 }, (bench) => {
      bench.run(1);
      // [7] [1] [3] [1] [1] [8] [8] [3]
      expect(bursts(bench)).toEqual([[32, 256 - 8]]);
      expect(bench.digests()).toEqual([digestOf(frames)]);
    });
  });
});

describe.each(BACKENDS)("several packets to a buffer, through %s", (dma) => {
  it("what the wire gets is what was sent, whatever the limits, the ring and the driver", async () => {
    const frames = framesOf(100, 150).flatMap((frame, k) =>
      k % 7 ? [frame] : [frame, ...framesOf(700, 1, k)],
    );
    const queues = [frames.slice(0, 90), frames.slice(90), []];
    for (const format of RING_FORMATS) {
      for (const base of [multi, DRIVER_RECORDS.premapped, DRIVER_RECORDS.i40e]) {
        for (const packets of [2, 5, 8]) {
          const driver = { ...base, tx: { ...base.tx, pack: { packets, bytes: 100 }, publish: 3 } };
          for (const ringSize of [16, 256]) {
            await sent({ dma, format, driver, queues, ringSize }, (bench) => {
              bench.run(2);
              expect(bench.digests()).toEqual(queues.map(digestOf));
            });
          }
        }
      }
    }
  });

  it("a buffer that can't be mapped is dropped with all its packets, and nothing leaks", async () => {
    const frames = framesOf(64, 64);
    // Eight packets and their table are nine mappings.
    for (let failing = 1; failing <= 27; failing++) {
      await sent({ dma, driver: multi, queues: [frames] }, (bench) => {
        bench.run(1);
        bench.engine.devices[0].dma.failIn(failing);
        const lost = 8 * Math.floor((failing - 1) / 9);
        expect(bench.digests()).toEqual([digestOf(frames.toSpliced(lost, 8))]);
        expect(bench.counters()).toMatchObject({ packets: 120, dropsMapFailed: 8, mapFailures: 1 });
        expect(bench.digests()).toEqual([digestOf(frames)]);
      });
    }
  });

  it("premapped: each packet is synced, and none is mapped", async () => {
    const record = DRIVER_RECORDS.premapped;
    const driver = { ...record, tx: { ...record.tx, pack: multi.tx.pack } };
    const rates = await sent({ dma, driver, bytes: 64, tables: "direct" }, (bench) => ratesOf(bench));
    expect(rates).toMatchObject({ syncsDevice: 1, syncBytesAsked: 12 + 64 });
    expect(rates).not.toHaveProperty("maps");
  });
});

it("packets of several elements have a buffer each", async () => {
  const rates = await sent({ driver: multi, bytes: 64, sg: 2 }, (bench) => ratesOf(bench));
  expect(rates).toMatchObject({ tableTakes: 1, maps: 3, unmaps: 3 });
});

it("what can't be is refused in one line", async () => {
  const vhost = SYSTEM_RECORDS["vhost-net"];
  const hosted = { ...vhost, tx: { ...vhost.tx, pack: { packets: 8, bytes: 256 } } };
  await expect(driverBench({ driver: hosted, direction: "tx" })).rejects.toThrow(
    "vhost-net puts 8 packets into a buffer, which the host below it takes for one",
  );
  await expect(driverBench({ driver: multi, direction: "tx", ringSize: 4 })).rejects.toThrow(
    "ringSize is 4, but a buffer has 8 elements, and a ring at least as many",
  );
});
