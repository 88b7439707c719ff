/** Streaming buffers: what a packet costs, what the consumer gets, and a device that completes what it can't have. */
import { describe, expect, it } from "vitest";
import { DMA_BACKENDS, type DmaBackend, RING_FORMATS } from "../../src/names.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";
import { DRIVER_RECORDS, type DriverRecord, SYSTEM_RECORDS } from "../../src/system/records.ts";
import {
  type BenchOptions,
  digestOf,
  driverBench,
  framesOf,
  Knobs,
  ratesWhile,
} from "../support/driver-bench.ts";
import { Random } from "../support/random.ts";

const BACKENDS = Object.keys(DMA_BACKENDS) as DmaBackend[];
const LENGTHS = [64, 255, 256, 1518, 9000, 65_550];
const STRIDE = 2048;
const STRIDES = 64;
const BUFFER = STRIDE * STRIDES;

/** A bench that receives; whatever it did, everything comes back when it is closed. */
async function received<T>(
  options: Omit<BenchOptions, "direction" | "driver"> & { driver?: string | DriverRecord },
  look: (bench: DriverBench) => T,
): Promise<T> {
  const bench = await driverBench({ driver: "rx-streaming", ...options, direction: "rx" });
  const seen = look(bench);
  expect(bench.check()).toBeNull();
  expect(bench.close()).toEqual({ ok: true, leaks: [] });
  return seen;
}

/** Buffers that are filled by a pass: strides that follow each other, and none of a frame in two buffers. */
function buffersOf(strides: number, frames: number): number {
  return frames / Math.floor(STRIDES / strides);
}

describe.each(RING_FORMATS)("on a %s ring", (format) => {
  it.each(LENGTHS)(
    "%i bytes cost one sync for the CPU, and a part of one for the device; no map, no page",
    async (bytes) => {
      const strides = Math.ceil((12 + bytes) / STRIDE);
      // Whole buffers a pass.
      const count = strides === 1 ? 128 : Math.floor(STRIDES / strides) * 4;
      for (const hold of [0, 3, "all"] as const) {
        await received({ format, bytes, count, hold }, (bench) => {
          const { maps, pagesAllocated } = bench.counters();
          expect(pagesAllocated).toBe(32 * maps);
          bench.run(4);
          const rates = ratesWhile(bench, () => bench.run(4));
          const reposts = buffersOf(strides, 1);
          expect(rates).toMatchObject({
            packets: 1,
            bytes,
            syncsCpu: 1,
            syncsDevice: reposts,
            pagesReused: reposts,
          });
          expect(rates.syncBytesAsked).toBeCloseTo(12 + bytes + reposts * BUFFER, 6);
          for (const name of ["maps", "unmaps", "pagesAllocated", "pagesFreed", "dropsNoBuffer"] as const) {
            expect(rates).not.toHaveProperty(name);
          }
        });
      }
    },
  );
});

describe.each(BACKENDS)("through %s", (dma) => {
  it("frames of all lengths arrive as they were sent, in one piece, held and dropped at random", async () => {
    const frames = LENGTHS.flatMap((length) => framesOf(length, 4, length));
    const queues = [frames, framesOf(700, 40), []];
    for (const format of RING_FORMATS) {
      for (const drop of ["in-order", "random"] as const) {
        await received({ dma, format, queues, hold: 5, drop, poolBytes: 32 << 20 }, (bench) => {
          bench.run(3);
          expect(bench.digests()).toEqual(queues.map(digestOf));
          expect(bench.counters()).toMatchObject({ packets: 4 * (frames.length + 40), dropsNoBuffer: 0 });
        });
      }
    }
  });

  it("a mapping or an allocation that fails at set-up is told of, and one later on costs nothing", async () => {
    const frames = framesOf(2000, 32);
    await received({ dma, queues: [frames] }, (bench) => {
      for (const turn of ["failPage", "failMap"] as const) new Knobs(bench)[turn](1);
      bench.run(3);
      expect(bench.digests()).toEqual([digestOf(frames)]);
    });
    const few = driverBench({ driver: "rx-streaming", direction: "rx", dma, pages: 40 });
    await expect(few).rejects.toMatchObject({ code: "set-up" });
  });
});

it("after any step every page is free, in one place of the driver's, or held", async () => {
  const frames = LENGTHS.flatMap((length) => framesOf(length, 5, length));
  const random = new Random(11);
  for (const format of RING_FORMATS) {
    await received({ format, queues: [frames], hold: 12, drop: "random" }, (bench) => {
      const knobs = new Knobs(bench);
      for (let step = 0; step < 200; step++) {
        if (random.chance(30)) knobs.hold(random.int(0, 12));
        bench.runSome(random.int(1, 20));
        expect(bench.check()).toBeNull();
      }
      expect(bench.digests()).toEqual([digestOf(frames)]);
    });
  }
});

it("a driver without a device header can have them, too", async () => {
  const { i40e } = DRIVER_RECORDS;
  const frames = [...framesOf(65_550, 3), ...framesOf(60, 50)];
  await received({ driver: i40e, rx: "rx-streaming", queues: [frames] }, (bench) => {
    bench.run(5);
    expect(bench.digests()).toEqual([digestOf(frames)]);
  });
});

it("a host's copy goes into strides, too; what can't fill or take them is refused in one line", async () => {
  const vhost = SYSTEM_RECORDS["vhost-net"];
  const frames = [...framesOf(65_550, 3), ...framesOf(60, 50)];
  await received({ driver: vhost, rx: "rx-streaming", queues: [frames] }, (bench) => {
    bench.run(2);
    const { cpuCopies, cpuBytes, maps } = bench.counters();
    expect([cpuCopies, cpuBytes, maps]).toEqual([106, 2 * (3 * 65_550 + 50 * 60), 0]);
    expect(bench.digests()).toEqual([digestOf(frames)]);
  });
  const refused = (driver: DriverRecord, options = {}) =>
    expect(driverBench({ driver, rx: "rx-streaming", direction: "rx", ...options })).rejects;
  await refused(vhost, { socket: true }).toThrow(/rx is "rx-streaming", whose packets no application/);
  await refused(SYSTEM_RECORDS["dma-engine"]).toThrow(
    'rx is "rx-streaming", but the host of dma-engine (engine)',
  );
  await refused(DRIVER_RECORDS["virtio-net"], { rxSgs: 2 }).toThrow("rxSgs is 2");
});

describe("the strides of a buffer", () => {
  /** {bytes, first stride, strides} of every completion there is room for. */
  function completions(bench: DriverBench): number[][] {
    const { ptr, bytes } = bench.engine.region("queue 0 completions");
    const view = new DataView(bench.engine.memory.buffer, ptr, bytes);
    return Array.from({ length: bytes / 8 }, (_, k) => [
      view.getUint32(8 * k, true),
      view.getUint16(8 * k + 4, true),
      view.getUint16(8 * k + 6, true) & 0x7fff,
    ]);
  }

  it("are taken one after the other, and filler takes the rest where the next frame doesn't fit", async () => {
    // 33 strides, 5, 1, and 33 again, for which 25 are too few.
    const frames = [65_550, 9000, 64, 65_550].flatMap((bytes, k) => framesOf(bytes, 1, k));
    await received({ queues: [frames] }, (bench) => {
      bench.run(1);
      expect(completions(bench).slice(0, 6)).toEqual([
        ...[
          [65_562, 0, 33],
          [9012, 33, 5],
          [76, 38, 1],
        ],
        ...[
          [0, 39, 25],
          [65_562, 0, 33],
          [0, 0, 0],
        ],
      ]);
    });
  });

  it("keep a buffer from being posted for as long as a packet holds one of them", async () => {
    // A pass fills two buffers; the consumer holds the last packet of the first one and all of the second.
    await received({ bytes: 2000, count: 128, hold: 65 }, (bench) => {
      const posted = bench.drivers[0].outstanding;
      bench.run(1);
      bench.settle();
      expect(bench.drivers[0].outstanding).toBe(posted - 2);
      expect(bench.counters().pagesReused).toBe(0);
      new Knobs(bench).hold(64);
      bench.runSome(1);
      bench.settle();
      expect(bench.counters().pagesReused).toBe(1);
    });
  });

  it("are left for a shorter frame when there is no other buffer for a long one", async () => {
    const frames = [65_550, 65_550, 64, 65_550, 64].flatMap((bytes, k) => framesOf(bytes, 1, k));
    // One buffer is all there is, and the consumer holds on to it.
    const bench = await driverBench({
      ...{ driver: "rx-streaming", direction: "rx", queues: [frames] },
      ...{ ringSize: 1, hold: "all" },
    });
    expect(bench.digests()).toEqual([digestOf([frames[0], frames[2], frames[4]])]);
    expect(bench.counters()).toMatchObject({ packets: 3, dropsNoBuffer: 2 });
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });
});

describe("a device that completes what can't be", () => {
  const frames = framesOf(3000, 64);
  it.each<[string, number, number, number]>([
    ["strides that are not the next ones", 100, 4, 1],
    ["no stride", 100, 2, 0],
    ["more strides than the buffer has", 100, 2, 63],
    ["a frame longer than its strides", 2 * STRIDE + 1, 2, 2],
  ])("%s: the queue breaks, and all comes back", async (_, bytes, first, strides) => {
    const bench = await driverBench({ driver: "rx-streaming", direction: "rx", queues: [frames], hold: 5 });
    bench.runSome(1);
    // The second completion, of the first lap, written by hand; what the wire does then comes too late.
    const { ptr } = bench.engine.region("queue 0 completions");
    const view = new DataView(bench.engine.memory.buffer, ptr + 8, 8);
    const poll = (): void => bench.runSome(1);
    const { wasm } = bench.engine;
    const place = (bench.ports[0] + wasm.PORT_PLACE_COMPLETION.value) >>> 2;
    bench.engine.u32[place] = 2;
    view.setUint32(0, bytes, true);
    view.setUint16(4, first, true);
    view.setUint16(6, strides | 0x8000, true);
    expect(poll).toThrow(expect.objectContaining({ code: "stream-completion" }));
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  it("gives back a buffer before its strides are completed: the queue breaks", async () => {
    for (const format of RING_FORMATS) {
      const bench = await driverBench({ driver: "rx-streaming", direction: "rx", format, queues: [frames] });
      const [device] = bench.devices;
      const [{ handle }] = device.pop(1);
      device.markUsed(handle, BUFFER);
      device.publishUsed();
      expect(() => bench.runSome(1)).toThrow(expect.objectContaining({ code: "stream-completion" }));
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    }
  });
});
