/** A copy engine beside the CPU: what each moves, in which order, and what happens when jobs fail or their queue is full. */
import { describe, expect, test } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";
import { SYSTEM_RECORDS, type SystemRecord } from "../../src/system/records.ts";
import {
  type BenchOptions,
  digestOf,
  driverBench,
  framesOf,
  Knobs,
  ratesWhile,
} from "../support/driver-bench.ts";

const record = SYSTEM_RECORDS["dma-engine"];
const HEADER = record.headerBytes;

/** The record with another engine, and with buffers that frames can span. */
function engineOf(jobs: number, jobsPerTurn: number): SystemRecord {
  const path = { kind: "engine", jobs, jobsPerTurn } as const;
  return { ...record, host: { tx: path, rx: path } };
}

function merging(driver: SystemRecord): SystemRecord {
  return { ...driver, rx: { ...driver.rx, mergeable: true } };
}

function engineBench(options: Partial<BenchOptions> & { direction: "tx" | "rx" }): Promise<DriverBench> {
  return driverBench({ driver: record, count: 300, ...options });
}

const word = ({ engine }: DriverBench, ptr: number, { value }: { value: number }): number =>
  engine.u32[(ptr + value) >>> 2];
const hostOf = (bench: DriverBench): number => word(bench, bench.ports[0], bench.engine.wasm.PORT_HOST);
const jobsOf = (bench: DriverBench): number => word(bench, hostOf(bench), bench.engine.wasm.HOST_COPY_ENGINE);
/** Jobs that are submitted and not polled. */
const jobsUnderWay = (bench: DriverBench): number =>
  word(bench, jobsOf(bench), bench.engine.wasm.COPY_ENGINE_SUBMITTED) -
  word(bench, jobsOf(bench), bench.engine.wasm.COPY_ENGINE_POLLED);

function expectNothingLeft(bench: DriverBench): void {
  expect(bench.close()).toEqual({ ok: true, leaks: [] });
  expect(jobsUnderWay(bench)).toBe(0);
}

const NONE = [
  "cpuCopies",
  "cpuBytes",
  "headerCopyBytes",
  "pinnedPages",
  "hostErrors",
  "dropsNoBuffer",
] as const;

describe.each(RING_FORMATS)("dma-engine on a %s ring", (format) => {
  test.each([64, 255, 256, 1518, 9000, 65550].flatMap((bytes) => [1, 2, 5].map((sg) => ({ bytes, sg }))))(
    "sends $bytes bytes in $sg elements: one copy by the engine",
    async ({ bytes, sg }) => {
      const frames = framesOf(bytes, bytes > 9000 ? 40 : 100);
      const bench = await engineBench({ direction: "tx", format, sg, queues: [frames] });
      const rates = ratesWhile(bench, () => expect(bench.digests()).toEqual([digestOf(frames)]));
      expect(rates).toMatchObject({
        packets: 1,
        bytes,
        engineCopies: 1,
        engineBytes: bytes,
        interconnectBytes: bytes,
      });
      for (const none of NONE) expect(rates, none).not.toHaveProperty(none);
      expectNothingLeft(bench);
    },
  );

  test.each([64, 255, 256, 1518, 9000, 65550])("receives %i bytes: one copy by the engine", async (bytes) => {
    const frames = framesOf(bytes, bytes > 9000 ? 40 : 100);
    const driver = bytes > 1518 ? merging(record) : record;
    const bench = await engineBench({ direction: "rx", format, driver, queues: [frames] });
    const rates = ratesWhile(bench, () => expect(bench.digests()).toEqual([digestOf(frames)]));
    expect(rates).toMatchObject({
      packets: 1,
      bytes,
      engineCopies: 1,
      engineBytes: bytes,
      interconnectBytes: bytes,
    });
    for (const none of NONE) expect(rates, none).not.toHaveProperty(none);
    expectNothingLeft(bench);
  });

  test.each(["tx", "rx"] as const)(
    "behind an IOMMU it copies what bus addresses stand for, %s",
    async (direction) => {
      const frames = framesOf(9000, 100);
      const driver = merging({ ...record, accessPlatform: true });
      const bench = await engineBench({ direction, format, driver, dma: "iommu-strict", queues: [frames] });
      const rates = ratesWhile(bench, () => expect(bench.digests()).toEqual([digestOf(frames)]));
      expect(rates).toMatchObject({ engineCopies: 1, engineBytes: 9000 });
      expect(rates).not.toHaveProperty("cpuCopies");
      expectNothingLeft(bench);
    },
  );

  test.each([
    { direction: "tx", jobs: 8, turn: 3 },
    { direction: "tx", jobs: 1, turn: 1 },
    { direction: "rx", jobs: 8, turn: 3 },
    { direction: "rx", jobs: 16, turn: 1 },
  ] as const)(
    "goes on later when its $jobs jobs are taken, $direction",
    async ({ direction, jobs, turn }) => {
      // Small frames and large ones, of one piece and of several.
      const frames = framesOf(64, 60).flatMap((small, k) => [small, framesOf(1518 + 77 * k, 1, k + 1)[0]]);
      const driver = merging(engineOf(jobs, turn));
      const bench = await engineBench({ direction, format, driver, queues: [frames] });
      let most = 0;
      for (let packet = 0; packet < 2 * frames.length; packet++) {
        bench.runSome(7);
        most = Math.max(most, jobsUnderWay(bench));
      }
      expect(most).toBeLessThanOrEqual(jobs);
      expect(most).toBeGreaterThan(0);
      const rates = ratesWhile(bench, () => expect(bench.digests()).toEqual([digestOf(frames)]));
      expect(rates).toMatchObject({ packets: 1, engineCopies: 1 });
      for (const none of NONE) expect(rates, none).not.toHaveProperty(none);
      expectNothingLeft(bench);
    },
  );

  test("a packet of more pieces than the queue holds is copied by the CPU, in its turn", async () => {
    const frames = framesOf(1000, 100);
    const bench = await engineBench({
      direction: "tx",
      format,
      driver: engineOf(4, 4),
      sg: 5,
      queues: [frames],
    });
    const rates = ratesWhile(bench, () => expect(bench.digests()).toEqual([digestOf(frames)]));
    expect(rates).toMatchObject({ packets: 1, cpuCopies: 1, cpuBytes: 1000 });
    expect(rates).not.toHaveProperty("engineCopies");
    expectNothingLeft(bench);
    const long = framesOf(9000, 100);
    const driver = merging(engineOf(2, 2));
    const received = await engineBench({ direction: "rx", format, driver, queues: [long] });
    const counted = ratesWhile(received, () => expect(received.digests()).toEqual([digestOf(long)]));
    expect(counted).toMatchObject({ packets: 1, cpuCopies: 1, cpuBytes: 9000 });
    expect(counted).not.toHaveProperty("engineCopies");
    expectNothingLeft(received);
  });

  test.each(["tx", "rx"] as const)(
    "a job that fails is copied by the CPU and counted, %s",
    async (direction) => {
      const frames = framesOf(9000, 100);
      const driver = merging(record);
      const bench = await engineBench({ direction, format, driver, sg: 3, queues: [frames] });
      new Knobs(bench).failJob(40);
      const rates = ratesWhile(bench, () => expect(bench.digests()).toEqual([digestOf(frames)]));
      // The packet was moved by both, each its own part.
      expect(rates).toMatchObject({ packets: 1, hostErrors: 1 / 100, cpuCopies: 1 / 100, engineCopies: 1 });
      const { cpuBytes = 0, engineBytes = 0 } = rates;
      expect(cpuBytes).toBeGreaterThan(0);
      expect(cpuBytes + engineBytes).toBeCloseTo(9000, 9);
      expectNothingLeft(bench);
    },
  );

  test.each(["tx", "rx"] as const)(
    "closed with jobs to do, it has everything back, %s",
    async (direction) => {
      const bench = await engineBench({
        direction,
        format,
        driver: merging(engineOf(64, 2)),
        bytes: 4000,
        sg: 2,
      });
      bench.runSome(40);
      expect(jobsUnderWay(bench)).toBeGreaterThan(0);
      expectNothingLeft(bench);
    },
  );

  test("the engine does so many jobs in a turn, and has one turn a burst", async () => {
    const bench = await engineBench({ direction: "tx", format, driver: engineOf(64, 2), bytes: 4000, sg: 2 });
    for (let burst = 1; burst <= 3; burst++) {
      bench.runSome(8);
      expect(word(bench, jobsOf(bench), bench.engine.wasm.COPY_ENGINE_DONE)).toBe(2 * burst);
    }
    expectNothingLeft(bench);
  });

  test("a packet that meets a fault in the middle leaves no job", async () => {
    const driver = { ...record, accessPlatform: true, tx: { ...record.tx, mapAt: "set-up" as const } };
    const queues = [framesOf(9000, 1)];
    const bench = await engineBench({ direction: "tx", format, driver, dma: "iommu-strict", sg: 4, queues });
    const { wasm, u32 } = bench.engine;
    // The last element of the mapped packet lies at a bus address that nothing is mapped at.
    u32[(word(bench, bench.ports[0], wasm.PORT_STREAM) >>> 2) + 2 + 2 * 3] = 4096;
    expect(() => bench.run(1)).toThrow(expect.objectContaining({ code: "dma-fault" }));
    expect(word(bench, jobsOf(bench), wasm.COPY_ENGINE_SUBMITTED)).toBe(0);
    expectNothingLeft(bench);
  });

  test("broken by its driver with packets that wait, it has everything back", async () => {
    const bench = await engineBench({ direction: "tx", format, driver: engineOf(16, 2), sg: 2, bytes: 1000 });
    const { wasm, u32, base } = bench.engine;
    bench.runSome(40);
    // The 100th packet's second element lies where no guest's memory is.
    const stream = word(bench, bench.ports[0], wasm.PORT_STREAM) >>> 2;
    u32[stream + 100 * 6 + 4] = base;
    expect(() => bench.run(1)).toThrow(/outside the address space/);
    expectNothingLeft(bench);
  });

  test.each([HEADER - 1, 2000])("a guest that sends %i bytes in all gets its buffers back", async (bytes) => {
    const bench = await engineBench({ direction: "tx", format, queues: [framesOf(1000, 64)] });
    const { wasm, u32 } = bench.engine;
    const stream = word(bench, bench.ports[0], wasm.PORT_STREAM) >>> 2;
    // All of them start where the first does.
    for (let packet = 0; packet < 64; packet++) u32.set([u32[stream + 2], bytes], stream + packet * 4 + 2);
    bench.run(2);
    bench.settle();
    expect(bench.counters()).toMatchObject({ packets: 0, dropsTooLong: 128, engineCopies: 0, cpuCopies: 0 });
    expectNothingLeft(bench);
  });
});

test("an engine's queue holds a power of two of jobs", async () => {
  const bench = engineBench({ direction: "tx", driver: engineOf(100, 4) });
  await expect(bench).rejects.toThrow("the host's copy engine has 100 jobs, but must have a power of two");
});
