/** Frames over several buffers where something is wrong: too few buffers, a device that lies about them. */
import { describe, expect, it } from "vitest";
import { DMA_BACKENDS, type DmaBackend } from "../../src/names.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";
import { DRIVER_RECORDS, type DriverRecord, type RxKind } from "../../src/system/records.ts";
import { digestOf, driverBench, framesOf, Knobs, PLAIN_KINDS } from "../support/driver-bench.ts";

const KINDS: readonly RxKind[] = [...PLAIN_KINDS, "mergeable"];
const BACKENDS = Object.keys(DMA_BACKENDS) as DmaBackend[];
const HEADER = 12;
const NUM_BUFFERS = 10;

function merging(): DriverRecord {
  const record = DRIVER_RECORDS["virtio-net"];
  return { ...record, rx: { ...record.rx, mergeable: true } };
}

function closeClean(bench: DriverBench): void {
  expect(bench.check()).toBeNull();
  expect(bench.close()).toEqual({ ok: true, leaks: [] });
}

/** Plays the device: uses as many buffers as there are lengths, and writes `count` into the first one's num_buffers. */
function use(bench: DriverBench, count: number, lengths: readonly number[]): void {
  const [device] = bench.devices;
  const chains = device.pop(lengths.length);
  const [first] = chains[0].writable;
  const header = new Uint8Array(HEADER);
  new DataView(header.buffer).setUint16(NUM_BUFFERS, count, true);
  device.write(first, header);
  for (const [k, { handle }] of chains.entries()) device.markUsed(handle, lengths[k]);
  device.publishUsed();
}

describe("too few buffers for a frame", () => {
  it.each<[RxKind, number, number]>([
    ["alloc-per-packet", 4096, 32],
    ["page-pool", 4096 - 192, 32],
    ["mergeable", 2048, 16],
  ])("%s: it is dropped whole, and the buffers stay for the next that they hold", async (rx, each, pages) => {
    const [long, short] = [framesOf(18_000, 8), framesOf(1000, 8, 2)];
    const frames = long.flatMap((frame, k) => [frame, short[k]]);
    // All pages there are have been posted, and the consumer holds what it gets.
    const bench = await driverBench({
      ...{ driver: merging(), rx, direction: "rx", queues: [frames] },
      ...{ ringSize: 32, pages, hold: "all" },
    });
    expect(bench.drivers[0].outstanding).toBe(32);
    let left = 32;
    const delivered = frames.filter(({ length }) => {
      const buffers = Math.ceil((HEADER + length) / each);
      if (buffers > left) return false;
      left -= buffers;
      return true;
    });
    expect(delivered.at(-1)).toHaveLength(1000);
    expect(bench.digests()).toEqual([digestOf(delivered)]);
    expect(bench.counters()).toMatchObject({
      packets: delivered.length,
      dropsNoBuffer: frames.length - delivered.length,
      dropsNumBuffers: 0,
    });
    closeClean(bench);
  });
});

describe("a device that lies about num_buffers", () => {
  // One that spans buffers, so that packets have the room for it.
  const frames = [...framesOf(1000, 31), ...framesOf(65_550, 1)];

  it.each<[string, number, number[], object]>([
    ["0", 0, [1012], { dropsNumBuffers: 1 }],
    ["more than there are", 17, [1012, 500, 500], { dropsNumBuffers: 1 }],
    ["65535", 65535, [1012], { dropsNumBuffers: 1 }],
    ["a second buffer that it wrote nothing into", 2, [1012, 0], { dropsTooShort: 1 }],
    ["a first buffer without a frame", 2, [HEADER + 13, 1000], { dropsTooShort: 1 }],
  ])(
    "says %s: what belongs to it is dropped by that cause, and nothing else",
    async (_, count, lengths, dropped) => {
      for (const rx of KINDS) {
        const bench = await driverBench({
          driver: merging(),
          rx,
          direction: "rx",
          queues: [frames],
          hold: 3,
        });
        bench.run(1);
        use(bench, count, lengths);
        const before = bench.counters();
        // What the wire sends in the same call comes behind it.
        bench.runSome(1);
        const after = bench.counters();
        for (const [name, value] of Object.entries(dropped)) {
          const key = name as keyof typeof after;
          if (key !== "packets") expect([rx, name, after[key] - before[key]]).toEqual([rx, name, value]);
        }
        expect(bench.check()).toBeNull();
        new Knobs(bench).hold(0);
        bench.rewind();
        expect(bench.digests()).toEqual([digestOf(frames)]);
        closeClean(bench);
      }
    },
  );
});

describe("one allocation or mapping that fails", () => {
  it.each([...KINDS, "big"] as const)(
    "%s: leaks nothing, wherever it is, and costs frames at the most",
    async (rx) => {
      const frames = [9000, 300, 65_550, 64, 1518, 4000].flatMap((bytes) => framesOf(bytes, 4, bytes));
      for (const turn of ["failPage", "failMap"] as const) {
        for (let failing = 1; failing <= 40; failing += 3) {
          const dma = BACKENDS[failing % BACKENDS.length];
          const bench = await driverBench({
            ...{ driver: merging(), rx, dma, direction: "rx", queues: [frames] },
            ...{ ringSize: rx === "big" ? 32 : 128, hold: 4, drop: "random" },
          });
          new Knobs(bench)[turn](failing);
          for (let burst = 0; burst < 8; burst++) {
            bench.runSome(6);
            expect(bench.check()).toBeNull();
          }
          const { packets, dropsNoBuffer, refillsNoPage, refillsMapFailed } = bench.counters();
          expect(packets + dropsNoBuffer).toBe(48);
          expect(refillsNoPage + refillsMapFailed).toBeLessThanOrEqual(1);
          expect(bench.digests()).toEqual([digestOf(frames)]);
          closeClean(bench);
        }
      }
    },
  );
});
