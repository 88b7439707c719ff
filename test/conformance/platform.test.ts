/**
 * The same promises with ACCESS_PLATFORM: behind an IOMMU the device half loads nothing but what is mapped for it, and the
 * driver half's mappings stand where no device can write them.
 */
import { describe, expect, it } from "vitest";
import { Features } from "../../src/features.ts";
import { RING_FORMATS, type RingFormat, TABLE_SOURCES, type TableSource } from "../../src/names.ts";
import type { Span } from "../support/canaries.ts";
import { engineBehind, IOMMUS, PAGE, pageAt, pairBehind } from "../support/dma.ts";
import { Random } from "../support/random.ts";
import { RawPackedDriver } from "../support/raw-packed.ts";
import { RawSplitDriver, splitPartBytes } from "../support/raw-split.ts";
import { defaultFeatures, engineSplitPlaces, features } from "../support/rig.ts";
import { permits, Trace } from "../support/trace.ts";
import { Image } from "./image.ts";
import { changedOutside, Scribbler } from "./scribble.ts";
import { deviceTerritory, driverTerritory, regions } from "./territory.ts";

const SIZE = 8;

function areasAt(format: RingFormat, [desc, second, third]: readonly number[]): Span[] {
  const bytes = splitPartBytes(SIZE);
  return [
    { ptr: desc, bytes: bytes.desc },
    { ptr: second, bytes: format === "split" ? bytes.avail : 4 },
    { ptr: third, bytes: format === "split" ? bytes.used : 4 },
  ];
}

describe.each(RING_FORMATS.flatMap((format) => IOMMUS.map((backend) => [format, backend] as const)))(
  "a %s device half behind %s",
  (format, backend) => {
    it("H-V-01, H-V-05, H-V-06, H-V-09: stays inside of what is mapped, and ends, whatever the driver scribbles between any two accesses", async () => {
      const trace = await Trace.create();
      const engine = await engineBehind(backend, {
        ...trace.options,
        queueSize: SIZE,
        bufferBytes: 12 * PAGE,
        batch: 4,
      });
      const [owner] = engine.devices;
      // Rings, a page of tables and one of buffers that are mapped, each with a page between that is not.
      const pages = [0, 2, 4, 6, 8].map((k) => pageAt(engine, k));
      const handles = pages.map((ptr, k) =>
        owner.dma.map(ptr, PAGE, k < 3 ? "bidirectional" : k === 3 ? "to-device" : "from-device"),
      );
      const [desc, second, third] = pages;
      const peer =
        format === "split"
          ? new RawSplitDriver(engine.memory, { size: SIZE, desc, avail: second, used: third })
          : new RawPackedDriver(engine.memory, { size: SIZE, desc, driverArea: second, deviceArea: third });
      const device = engine.deviceQueue(0, {
        format,
        size: SIZE,
        features: features(format, "ACCESS_PLATFORM", "INDIRECT_DESC", "EVENT_IDX"),
        desc: BigInt(handles[0]),
        driverArea: BigInt(handles[1]),
        deviceArea: BigInt(handles[2]),
      });
      peer.add([{ ptr: handles[4], bytes: 40, write: true }]);
      peer.indirect(pages[3], [
        { ptr: handles[3] + 512, bytes: 7 },
        { ptr: handles[4], bytes: 9, write: true },
      ]);
      peer.setU64(desc + 16, BigInt(handles[3]));
      peer.add([{ ptr: handles[3] + 600, bytes: 40 }]);
      peer.publish();
      expect(device.popBurst(1)).toBe(1);

      const areas = areasAt(format, pages);
      const territory = deviceTerritory(engine, format, areas);
      const own = regions(engine, "device 0 domain", "device 0 fault log", "device 0 address space");
      const table: Span = { ptr: pages[3], bytes: PAGE };
      // A table may lie in any page that is mapped for reading, the rings' own included.
      const mapped = pages.slice(0, 4).map((ptr) => ({ ptr, bytes: PAGE }));
      const shared = (span: Span): boolean => span.ptr >= engine.sharedBase;
      const allowed = permits(engine, {
        read: [...territory.read.filter((span) => !shared(span)), ...own, ...mapped],
        write: [...territory.write, ...own],
      });
      const image = new Image(engine);
      const codes = new Map<string, number>();
      for (let seed = 0; seed < 250; seed++) {
        image.restore();
        const expected = image.bytes();
        const random = new Random(seed);
        const scribbler = new Scribbler(random, engine, expected, {
          size: SIZE,
          flagsAt: format === "split" ? 12 : 14,
          tables: [areas[0], areas[0], { ptr: table.ptr, bytes: 256 }],
          words: format === "split" ? [areas[1], areas[1], areas[2]] : areas,
          all: [...areas, { ptr: table.ptr, bytes: 256 }],
          busDelta: 0n,
          places: [...handles, handles[3] + 16, handles[4] + PAGE - 16, handles[0] - 16, 0, PAGE, ...pages],
        });
        trace.reset();
        trace.limit = 20_000;
        trace.guard(engine, allowed);
        const rate = random.pick([1, 5, 30]);
        trace.before = () => {
          if (random.chance(rate)) scribbler.strike();
        };
        for (let call = 0; call < 4; call++) {
          device.popBurst(4);
          device.markPoppedUsed(1);
          device.publishUsed();
          if (random.chance(50)) device.arm(random.int(0, 3));
          else device.suppress();
        }
        trace.before = null;
        trace.guard(engine, null);
        expect(trace.trespasses).toEqual([]);
        expect(changedOutside(engine, expected, [...territory.write, ...own])).toBe(-1);
        const { faults } = owner.dma.counters();
        expect(owner.dma.faults().length).toBe(Math.min(64, faults));
        const code = device.violation?.code ?? "none";
        if (code === "table-address") expect(faults).toBe(1);
        codes.set(code, (codes.get(code) ?? 0) + 1);
      }
      trace.limit = Number.POSITIVE_INFINITY;
      for (const code of ["buffer-address", "table-address", "none"])
        expect(codes.get(code)).toBeGreaterThan(0);
      // Control: the guard sees a table that lies where nothing is mapped for reading.
      image.restore();
      trace.guard(engine, permits(engine, { read: [], write: [] }));
      device.popBurst(1);
      expect(trace.trespasses.length).toBeGreaterThan(0);
    });
  },
);

describe.each(RING_FORMATS)("a %s driver half that maps", (format) => {
  it.each(Object.keys(TABLE_SOURCES) as TableSource[])(
    "S-B-03, H-D-04: loads nothing back of what a device can write, and stores only its own, tables from %s",
    async (tables) => {
      for (const backend of ["direct", "iommu-strict"] as const) {
        const usesHeap = tables === "heap" || tables === "grow";
        const trace = await Trace.create();
        const { engine, driver, device } = await pairBehind(
          format,
          backend,
          { tables, features: defaultFeatures(format) | Features.ACCESS_PLATFORM },
          { ...trace.options, queueSize: SIZE, threshold: 6, nodes: 2 },
        );
        const { desc, avail, used } = engineSplitPlaces(engine, SIZE);
        const areas = areasAt(format, [desc, avail, used]);
        const territory = driverTerritory(engine, format, areas, usesHeap);
        const own = regions(engine, "queue 0 driver mappings", "device 0 domain", "device 0 address space");
        const asDriver = permits(engine, {
          read: [...territory.read, ...own],
          write: [...territory.write, ...own],
        });
        const random = new Random(3);
        const inFlight: { handle: number; capacity: number }[] = [];
        let reclaimed = 0;
        for (let step = 0; step < 200; step++) {
          trace.guard(engine, asDriver);
          const list = Array.from({ length: random.int(1, 6) }, (_, k) => ({
            ptr: engine.buffers.ptr + 5000 * k + random.int(0, 99),
            bytes: random.int(1, 5000),
          }));
          const cut = random.int(0, list.length);
          if (random.chance(60))
            driver.add({ readable: list.slice(0, cut), writable: list.slice(cut), token: step });
          if (random.chance(50)) driver.publish();
          trace.guard(engine, null);
          for (const { handle, writableBytes } of device.pop(random.int(1, 3)))
            inFlight.push({ handle, capacity: writableBytes });
          if (random.chance(60) && inFlight.length > 0) {
            const [{ handle, capacity }] = inFlight.splice(random.int(0, inFlight.length - 1), 1);
            device.markUsed(handle, random.int(0, capacity));
          }
          if (random.chance(50)) device.publishUsed();
          trace.guard(engine, asDriver);
          reclaimed += driver.reclaim().length;
        }
        driver.stop();
        const out = driver.outstanding;
        expect(driver.detach().length).toBe(out);
        expect(trace.trespasses).toEqual([]);
        expect(reclaimed).toBeGreaterThan(40);
        expect(engine.devices[0].dma.liveMappings).toBe(0);
      }
    },
  );
});
