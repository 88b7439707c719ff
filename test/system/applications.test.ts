/** What stands above a driver: who copies what of a packet, exactly, and that everything comes back. */
import { describe, expect, test } from "vitest";
import { QueueBrokenError } from "../../src/errors.ts";
import { RING_FORMATS } from "../../src/names.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";
import { SYSTEM_RECORDS } from "../../src/system/records.ts";
import { XskSocket } from "../../src/system/xsk-socket.ts";
import { type BenchOptions, digestOf, driverBench, framesOf, ratesOf } from "../support/driver-bench.ts";

const FRAMES = [64, 255, 256, 1518, 9000, 65_550];

/** Copies of the payload, by systems.md's table of paths. */
const COPIES = { "af-packet": 1, "af-packet-zc": 0, xsk: 0, "xsk-copy": 1 } as const;

const WAYS = (["tx", "rx"] as const).flatMap((direction) =>
  RING_FORMATS.map((format) => ({ direction, format })),
);

describe.each(Object.entries(COPIES))("%s", (name, copies) => {
  describe.each(WAYS)("$direction on a $format ring", (way) => {
    test.each(FRAMES)("frames of %d bytes, each copied as often as its path says", async (bytes) => {
      const frames = framesOf(bytes, 20);
      const bench = await driverBench({
        ...{ driver: SYSTEM_RECORDS[name], ...way, queues: [frames], ringSize: 128, batch: 3 },
      });
      expect(bench.digests()).toEqual([digestOf(frames)]);
      const rates = ratesOf(bench);
      expect(rates).toMatchObject({ packets: 1, bytes });
      expect(rates.cpuCopies ?? 0).toBe(copies);
      expect(rates.cpuBytes ?? 0).toBe(copies * bytes);
      expect(rates.interconnectBytes ?? 0).toBe(copies * bytes);
      for (const none of [
        "maps",
        "unmaps",
        "headerCopyBytes",
        "engineCopies",
        "pinnedPages",
        "socketCopies",
      ] as const) {
        expect(rates, none).not.toHaveProperty(none);
      }
      expect(bench.digests()).toEqual([digestOf(frames)]);
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    });
  });
});

const NAMES = Object.keys(COPIES);
const FRAMES_OF_300 = framesOf(300, 64);

/** A bench of 64 frames of 300 bytes on a ring of 64. */
function small(
  name: string,
  direction: "tx" | "rx",
  options: Partial<BenchOptions> = {},
): Promise<DriverBench> {
  return driverBench({
    ...{ driver: SYSTEM_RECORDS[name], direction, queues: [FRAMES_OF_300], ringSize: 64, ...options },
  });
}

function appOf(bench: DriverBench): number {
  return bench.engine.u32[(bench.ports[0] + bench.engine.wasm.PORT_APP.value) >>> 2];
}

describe("what a burst of 32 packets costs above the driver", () => {
  test("an xsk program wakes its kernel once a burst, and rings one doorbell; every packet takes a table", async () => {
    const bench = await small("xsk", "tx", { ringSize: 128 });
    expect(ratesOf(bench)).toMatchObject({ wakeups: 1 / 32, doorbells: 1 / 32, tableTakes: 1 });
    expect(bench.close().ok).toBe(true);
    const heap = await small("xsk", "tx", { ringSize: 128, tables: "heap", sg: 4 });
    expect(heap.digests()).toEqual([digestOf(FRAMES_OF_300)]);
    expect(ratesOf(heap)).toMatchObject({ tableTakes: 1 });
    expect(heap.close().ok).toBe(true);
  });

  test("a packet socket's program calls send() once a burst, and a packet of one element takes no table", async () => {
    for (const name of ["af-packet", "af-packet-zc"]) {
      const bench = await small(name, "tx", { ringSize: 128 });
      const rates = ratesOf(bench);
      expect(rates).toMatchObject({ wakeups: 1 / 32, doorbells: 1 / 32, syncsDevice: 1 });
      expect(rates).not.toHaveProperty("tableTakes");
      expect(bench.close().ok).toBe(true);
    }
  });

  test("a kernel that has more to send than its ring takes stays awake: no further wakeup", async () => {
    const bench = await small("xsk", "tx", { program: "caller", batch: 8 });
    const socket = new XskSocket(bench);
    for (let k = 0; k < 40; k++) socket.tx.write(k, k * socket.chunkBytes, 300);
    socket.tx.submit(40);
    expect(socket.tx.needsWakeup).toBe(true);
    expect(bench.moveSome(40)).toBe(40);
    socket.wake();
    expect(socket.tx.needsWakeup).toBe(false);
    expect(bench.moveSome(39)).toBe(0);
    expect(socket.tx.needsWakeup).toBe(false);
    expect(bench.moveSome(1)).toBe(0);
    expect(socket.tx.needsWakeup).toBe(true);
    expect(bench.counters()).toMatchObject({ packets: 40, wakeups: 1 });
    expect(bench.close().ok).toBe(true);
  });
});

describe.each(NAMES)("%s", (name) => {
  test.each([0, 10, "all"] as const)(
    "a program that holds %s packets gets all of them, in their order",
    async (hold) => {
      const bench = await small(name, "rx", { hold, batch: 16 });
      expect(bench.digests()).toEqual([digestOf(FRAMES_OF_300)]);
      bench.run(3);
      bench.runSome(20);
      // In the middle of a pass, too, a new one begins with its first frame.
      expect(bench.digests()).toEqual([digestOf(FRAMES_OF_300)]);
      expect(bench.counters()).toMatchObject({ dropsNoFrame: 0, dropsNoBuffer: 0, dropsRingFull: 0 });
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    },
  );

  test("a program that holds everything is sent no more than it has frames for, and goes on when it lets go", async () => {
    const bench = await small(name, "rx");
    const { engine } = bench;
    const frames = engine.u32[(appOf(bench) + engine.wasm.APP_FRAME_COUNT.value) >>> 2];
    const hold = (appOf(bench) + engine.wasm.APP_HOLD.value) >>> 2;
    engine.u32[hold] = frames;
    bench.run(3);
    const { packets, dropsNoFrame, dropsNoBuffer } = bench.counters();
    expect(packets).toBe(frames);
    expect(dropsNoFrame + dropsNoBuffer).toBe(3 * 64 - frames);
    engine.u32[hold] = 0;
    bench.runSome(1);
    bench.settle();
    bench.rewind();
    const before = bench.counters();
    expect(bench.digests()).toEqual([digestOf(FRAMES_OF_300)]);
    expect(bench.counters().packets - before.packets).toBe(64);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  test("a packet that is shorter than its Ethernet header is dropped, and its buffer comes again", async () => {
    const frames = FRAMES_OF_300.map((frame, k) => (k % 4 === 0 ? frame.subarray(0, 13) : frame));
    const bench = await small(name, "rx", { queues: [frames], batch: 16 });
    expect(bench.digests()).toEqual([digestOf(frames.filter(({ length }) => length === 300))]);
    bench.run(7);
    expect(bench.counters()).toMatchObject({ packets: 8 * 48, dropsTooShort: 8 * 16, dropsNoBuffer: 0 });
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  test.each(["tx", "rx"] as const)(
    "a reset in the middle of a pass loses no frame, and it runs again, %s",
    async (direction) => {
      const bench = await small(name, direction, { hold: 5, batch: 16 });
      const { engine, ports, settings, drivers } = bench;
      const mapped = engine.devices[0].dma.liveMappings;
      bench.runSome(40);
      engine.wasm.portClose(ports[0]);
      expect(engine.wasm.framesOut(appOf(bench))).toBe(0);
      expect(engine.devices[0].dma.liveMappings).toBe(0);
      const { features, format, size } = drivers[0];
      const premapped = settings.record.accessPlatform;
      engine.connect(0, {
        features,
        format,
        size,
        tables: settings.tables,
        threshold: settings.threshold,
        premapped,
      });
      expect(engine.wasm.portOpen(ports[0])).toBe(1);
      expect(engine.devices[0].dma.liveMappings).toBe(mapped);
      expect(bench.digests()).toEqual([digestOf(FRAMES_OF_300)]);
      bench.run(2);
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    },
  );

  test.each(["tx", "rx"] as const)("a queue that breaks leaves no frame behind, %s", async (direction) => {
    const bench = await small(name, direction, { hold: 5 });
    bench.runSome(40);
    // An index that the other half can't have: of the used ring, or of the available ring.
    const area = bench.engine.region(`queue 0 ${direction === "tx" ? "device" : "driver"} area`).ptr;
    new Uint16Array(bench.engine.memory.buffer)[(area + 2) >>> 1] += 3000;
    expect(() => bench.run(2)).toThrow(QueueBrokenError);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });
});

describe("what is mapped at set-up", () => {
  const MAPPED = ["af-packet", "af-packet-zc", "xsk"].flatMap((name) =>
    (["direct", "swiotlb", "iommu-strict", "iommu-lazy"] as const).flatMap((dma) =>
      (["tx", "rx"] as const).map((direction) => ({ name, dma, direction })),
    ),
  );

  test.each(MAPPED)(
    "is never mapped again: $name, $direction through $dma",
    async ({ name, dma, direction }) => {
      const record = SYSTEM_RECORDS[name];
      const driver = { ...record, accessPlatform: true, tx: { ...record.tx, mapAt: "set-up" as const } };
      const bench = await small(name, direction, { driver, dma, tablesMapped: true });
      expect(bench.digests()).toEqual([digestOf(FRAMES_OF_300)]);
      const rates = ratesOf(bench);
      // The copying kinds receive into the driver's own pages. A table that is mapped with all others is synced, too.
      const own = name === "af-packet" && direction === "rx";
      for (const none of ["maps", "unmaps"] as const) expect(rates, none).not.toHaveProperty(none);
      expect(rates).toMatchObject(
        direction === "rx" ? { syncsCpu: 1, syncsDevice: 1 } : { syncsDevice: name === "xsk" ? 2 : 1 },
      );
      expect(own || bench.engine.devices[0].dma.liveMappings >= 64).toBe(true);
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    },
  );

  test.each(["af-packet", "af-packet-zc", "xsk"])(
    "%s: one mapping that fails at set-up leaves none",
    async (name) => {
      const record = SYSTEM_RECORDS[name];
      const driver = { ...record, accessPlatform: true, tx: { ...record.tx, mapAt: "set-up" as const } };
      for (const direction of name === "af-packet" ? (["tx"] as const) : (["tx", "rx"] as const)) {
        const bench = await small(name, direction, { driver });
        const { engine, ports, drivers, settings } = bench;
        const { dma } = engine.devices[0];
        const all = dma.liveMappings;
        engine.wasm.portClose(ports[0]);
        const { features, format, size } = drivers[0];
        // None fails last, so that there is something to close.
        for (const failing of [1, 2, all, 0]) {
          engine.connect(0, {
            features,
            format,
            size,
            tables: settings.tables,
            threshold: 4,
            premapped: true,
          });
          dma.failIn(failing);
          expect(engine.wasm.portOpen(ports[0]), `${direction} ${failing}`).toBe(Number(failing === 0));
          expect(dma.liveMappings, `${direction} ${failing}`).toBe(failing === 0 ? all : 0);
          if (failing === 0) break;
          expect(engine.wasm.framesOut(appOf(bench))).toBe(0);
          engine.wasm.queueStop(drivers[0].ptr);
          engine.wasm.queueStop(bench.devices[0].ptr);
        }
        expect(bench.close()).toEqual({ ok: true, leaks: [] });
      }
    },
  );

  test("without that, a packet that can't be mapped is dropped, and its frame is the program's again", async () => {
    for (const name of NAMES) {
      const record = SYSTEM_RECORDS[name];
      const driver = { ...record, accessPlatform: true, tx: { ...record.tx, mapAt: "transmit" as const } };
      const maps = name === "xsk" ? 3 : 1;
      for (let failing = 1; failing <= 2 * maps; failing++) {
        const bench = await small(name, "tx", { driver });
        bench.run(1);
        bench.engine.devices[0].dma.failIn(failing);
        const lost = Math.floor((failing - 1) / maps);
        expect(bench.digests(), `${name} ${failing}`).toEqual([digestOf(FRAMES_OF_300.toSpliced(lost, 1))]);
        expect(bench.counters()).toMatchObject({ packets: 127, dropsMapFailed: 1 });
        expect(bench.digests()).toEqual([digestOf(FRAMES_OF_300)]);
        expect(bench.close(), `${name} ${failing}`).toEqual({ ok: true, leaks: [] });
      }
    }
  });
});

describe("a guest's socket", () => {
  const SYSTEMS = ["vhost-net", "sriov-vf", "virtio-net", "i40e"].flatMap((name) =>
    (["tx", "rx"] as const).map((direction) => ({ name, direction })),
  );

  test.each(SYSTEMS)(
    "copies once between application and driver, and counts that apart: $name, $direction",
    async (way) => {
      const record = SYSTEM_RECORDS[way.name];
      const options = { dma: record.dma, hold: 7 };
      const plain = await small(way.name, way.direction, options);
      // Where pages happen to lie decides what an IOTLB finds.
      const { iotlbHits, iotlbMisses, ...without } = ratesOf(plain);
      expect(without).not.toHaveProperty("socketCopies");
      expect(plain.close().ok).toBe(true);
      const bench = await small(way.name, way.direction, { ...options, socket: true });
      expect(bench.digests()).toEqual([digestOf(FRAMES_OF_300)]);
      expect(ratesOf(bench)).toMatchObject({ ...without, socketCopies: 1, socketBytes: 300 });
      bench.runSome(11);
      expect(bench.digests()).toEqual([digestOf(FRAMES_OF_300)]);
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    },
  );

  test("of a record whose application has buffers of its own is refused", async () => {
    for (const name of NAMES) {
      await expect(small(name, "tx", { socket: true })).rejects.toThrow(
        /socket is true, but .* has an application/,
      );
    }
    const odd = { ...SYSTEM_RECORDS.xsk, application: { kind: "xsk" as const, entries: 100 } };
    await expect(small("xsk", "tx", { driver: odd })).rejects.toThrow(
      /100 entries, but must have a power of two/,
    );
    await expect(small("xsk", "rx", { rx: "page-pool" })).rejects.toThrow(/receives into the frames/);
    await expect(
      small("af-packet", "tx", { queues: [framesOf(64, 3).map((f) => f.subarray(0, 13))] }),
    ).rejects.toThrow(/needs 14/);
  });
});
