import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { fixedTraffic } from "../../src/net/traffic.ts";
import { DriverBench, type DriverBenchOptions, type Operation } from "../../src/system/driver-bench.ts";
import { DRIVER_RECORDS } from "../../src/system/records.ts";

const module = readFileSync(new URL("../../build/vring.wasm", import.meta.url));
/** No multiple of a burst, so that a pass ends within one. */
const FRAMES = fixedTraffic(100, { count: 77, seed: 1 }).packets.map(({ data }) => data);

function open(direction: "tx" | "rx", changes: Partial<DriverBenchOptions> = {}): Promise<DriverBench> {
  const record = DRIVER_RECORDS["virtio-net"];
  return DriverBench.create({ record, direction, dma: "direct", queues: [FRAMES], module, ...changes });
}

describe.each(["tx", "rx"] as const)("a bench in direction %s", (direction) => {
  test("goes on with the first frame behind the last, in a burst of its own", async () => {
    const bench = await open(direction);
    for (let call = 0; call < 50; call++) bench.runSome(33);
    expect(bench.counters()).toMatchObject({ packets: 50 * 33, bytes: 50 * 33 * 100 });
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  test("begins anew when it is rewound, with the passes of one that has just been made", async () => {
    const [bench, fresh] = [await open(direction), await open(direction)];
    bench.runSome(40);
    bench.rewind();
    const before = bench.counters();
    bench.run(1);
    fresh.run(1);
    const { packets, bytes } = fresh.counters();
    expect(bench.counters()).toMatchObject({
      packets: before.packets + packets,
      bytes: before.bytes + bytes,
    });
    expect(bench.digests()).toEqual(fresh.digests());
  });
});

describe.each(["tx", "rx"] as const)("a queue that breaks in direction %s", (direction) => {
  test.each(RING_FORMATS)("is told of, in whichever burst of a pass that was: %s", async (format) => {
    for (const count of [10, 77]) {
      const bench = await open(direction, {
        ...{ format, record: DRIVER_RECORDS.premapped, dma: "iommu-strict", traceOps: 1000 },
        queues: [FRAMES.slice(0, count), FRAMES],
      });
      const { dma } = bench.engine.devices[0];
      const mapped = bench.operations().filter(({ op, queue }) => op === "map" && queue === 0);
      // The packet that is sent third, or the buffer that is posted third, which is the third from the top.
      const { a, b } = mapped.at(direction === "tx" ? 2 : -3) as Operation;
      dma.unmap(a, b, direction === "tx" ? "to-device" : "from-device");
      expect(() => bench.run(1)).toThrow(expect.objectContaining({ code: "dma-fault" }));
      expect(dma.counters().faults).toBe(1);
      const { maps } = dma.counters();
      expect(() => bench.run(1)).toThrow(expect.objectContaining({ code: "dma-fault" }));
      expect(dma.counters()).toMatchObject({ maps, faults: 1 });
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    }
  });
});

test("a settled bench has posted every buffer, so that pages allocated are packets received", async () => {
  const bench = await open("rx");
  bench.run(3);
  bench.settle();
  expect(bench.drivers[0].numFree).toBe(0);
  const before = bench.counters();
  bench.run(7);
  bench.settle();
  const after = bench.counters();
  expect(after.pagesAllocated - before.pagesAllocated).toBe(7 * FRAMES.length);
  expect(after.pagesFreed - before.pagesFreed).toBe(7 * FRAMES.length);
  expect(bench.close()).toEqual({ ok: true, leaks: [] });
});
