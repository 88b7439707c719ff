/** Every system of the registry: whatever ends its work, and wherever, all of it comes back. */
import { describe, expect, test } from "vitest";
import { QUEUE_BROKEN } from "../../assembly/abi.ts";
import { RING_FORMATS } from "../../src/names.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";
import { directionsOf, SYSTEM_RECORDS } from "../../src/system/records.ts";
import { digestOf, driverBench } from "../support/driver-bench.ts";
import { Failures } from "../support/failures.ts";
import { numberedFrames } from "../support/numbered.ts";
import { longestFrame } from "../support/systems.ts";

const CASES = Object.values(SYSTEM_RECORDS).flatMap((record, index) =>
  directionsOf(record).map((direction, way) => ({
    ...{ name: record.name, record, direction },
    format: RING_FORMATS[(index + way) % RING_FORMATS.length],
  })),
);
const NTH = [1, 2, 3, 5, 8, 13, 40];

/** What somebody has at the moment, by kind, counted where it is kept. */
function outstanding({ engine, drivers, ports, settings }: DriverBench): Record<string, number> {
  const { wasm, u32, devices, limits } = engine;
  const word = (ptr: number, { value }: { value: number }): number => u32[(ptr + value) >>> 2];
  const sum = (each: (port: number, queue: number) => number): number =>
    ports.reduce((total, port, queue) => total + each(port, queue), 0);
  const control = limits.pages > 0 ? engine.region("page control").ptr : 0;
  return {
    buffers: sum((_, queue) => drivers[queue].outstanding),
    tables: sum((_, queue) => drivers[queue].counters().liveTables) + engine.heapLiveBlocks(),
    mappings: devices[0].dma.liveMappings,
    pages: limits.pages > 0 ? limits.pages - word(control, wasm.PAGES_FREE) : 0,
    pins: limits.pins ? wasm.pinsSum(engine.region("pins").ptr) : 0,
    frames:
      settings.application.kind === "none" ? 0 : sum((port) => wasm.framesOut(word(port, wasm.PORT_APP))),
    jobs: sum((port) => {
      const host = word(port, wasm.PORT_HOST);
      const copies = host && word(host, wasm.HOST_COPY_ENGINE);
      const flight = host && word(host, wasm.HOST_FLIGHT);
      return (
        (copies && word(copies, wasm.COPY_ENGINE_PACKETS)) + (flight && word(flight, wasm.IN_FLIGHT_COUNT))
      );
    }),
  };
}

const inAll = (bench: DriverBench): number => Object.values(outstanding(bench)).reduce((sum, k) => sum + k);

describe.each(CASES)("$name, $direction, $format", ({ record, direction, format }) => {
  const lengths = [60, 300, 1000, 1518, 9000, 200, 4000].filter(
    (bytes) => bytes <= longestFrame(record, direction),
  );
  const frames = numberedFrames(Array.from({ length: 90 }, (_, k) => lengths[k % lengths.length]));
  const begin = (): Promise<DriverBench> =>
    driverBench({
      ...{ driver: record, direction, format, dma: record.dma, queues: [frames, frames], ringSize: 64 },
      ...{ tables: "heap", ...(direction === "tx" ? { sg: 3 } : { hold: 11, drop: "random" }) },
    });
  const goesOn = (bench: DriverBench): void => {
    expect(bench.digests()).toEqual([digestOf(frames), digestOf(frames)]);
  };
  const ends = (bench: DriverBench): void => {
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
    expect(inAll(bench), JSON.stringify(outstanding(bench))).toBe(0);
  };

  test("leaves nothing at its end, nor closed or reset in the middle", async () => {
    const bench = await begin();
    goesOn(bench);
    ends(bench);
    expect(bench.reset()).toEqual({ ok: true, leaks: [] });
    for (const packets of [1, 41, 77]) {
      bench.runSome(packets);
      // A driver that takes everything back at completion has nothing between two bursts.
      const idle = direction === "tx" && record.tx.reclaim === "completion";
      if (!idle) expect(inAll(bench)).toBeGreaterThan(0);
      expect(bench.reset()).toEqual({ ok: true, leaks: [] });
    }
    goesOn(bench);
    bench.runSome(41);
    ends(bench);
  });

  test("leaves nothing when a half has broken with the rest under way, and goes on after the reset", async () => {
    const bench = await begin();
    for (const half of ["devices", "drivers"] as const) {
      bench.runSome(30);
      const { ptr } = bench[half][0];
      bench.engine.u32[(ptr + bench.engine.wasm.QUEUE_STATE.value) >>> 2] = QUEUE_BROKEN;
      // The other queue goes on, and this one is not taken for done.
      expect(() => bench.runSome(30)).toThrow();
      expect(bench.reset(), half).toEqual({ ok: true, leaks: [] });
      goesOn(bench);
    }
    ends(bench);
  });

  test("leaves nothing when it is reset with something failing, whichever and whenever", async () => {
    const bench = await begin();
    const failures = new Failures(bench);
    for (const failure of failures.possible) {
      for (const nth of NTH) {
        bench.runSome(20);
        failures.arm(failure, nth);
        bench.runSome(33);
        try {
          expect(bench.reset()).toEqual({ ok: true, leaks: [] });
        } catch (error) {
          expect(error).toMatchObject({ code: "set-up" });
          // Then nothing was set up at all.
          expect(inAll(bench), `${failure} ${nth}: ${JSON.stringify(outstanding(bench))}`).toBe(0);
          expect(bench.reset()).toEqual({ ok: true, leaks: [] });
        }
        failures.disarm();
      }
      expect(failures.happened(failure), failure).toBeGreaterThan(0);
    }
    failures.takeHeap();
    bench.runSome(50);
    failures.releaseHeap();
    expect(bench.reset()).toEqual({ ok: true, leaks: [] });
    goesOn(bench);
    ends(bench);
  });
});
