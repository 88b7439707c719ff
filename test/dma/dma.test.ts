/** The DMA API as a driver calls it: what it counts, what it refuses, and when a backend may change. */
import { describe, expect, it } from "vitest";
import { BOUNCE_SLOT, DMA_MAPPING_ERROR, DMA_TO_DEVICE } from "../../assembly/abi.ts";
import type { Engine, EngineOptions } from "../../src/engine.ts";
import { DEFAULT_FEATURES, Features } from "../../src/features.ts";
import { DMA_BACKENDS, type DmaBackend } from "../../src/names.ts";
import { createEngine } from "../support/engine.ts";

const SMALL: EngineOptions = {
  queueSize: 8,
  bufferBytes: 16384,
  dma: { backends: ["swiotlb", "iommu-strict", "iommu-lazy"], poolBytes: 64 * BOUNCE_SLOT },
};
const refused = (code: string): unknown => expect.objectContaining({ code });

async function behind(backend: DmaBackend, options: EngineOptions = {}): Promise<Engine> {
  const engine = await createEngine({ ...SMALL, ...options });
  for (const device of engine.devices) device.setDma(backend);
  return engine;
}

describe.each(Object.keys(DMA_BACKENDS) as DmaBackend[])("the DMA API behind %s", (backend) => {
  it("refuses what no backend can map, by name, and counts it", async () => {
    const engine = await behind(backend);
    const { dma } = engine.devices[0];
    const end = engine.memory.buffer.byteLength;
    for (const [ptr, bytes, code] of [
      [engine.buffers.ptr, 0, "dma-empty"],
      [end - 1, 2, "dma-range"],
      [end, 1, "dma-range"],
      [2 ** 32 - 1, 1, "dma-range"],
      [2 ** 32 - 1, 2 ** 32 - 1, "dma-range"],
      [engine.sharedBase - 1, 1, "dma-range"],
      [engine.sharedBase - 1, 2, "dma-range"],
      [engine.base, 1, "dma-range"],
      [0, end, "dma-range"],
    ] as const) {
      expect(() => dma.map(ptr, bytes, "to-device")).toThrow(refused(code));
      expect(dma.tryMap(ptr, bytes, DMA_TO_DEVICE, 0)).toBe(DMA_MAPPING_ERROR);
    }
    expect(dma.counters()).toMatchObject({ maps: 0, mapFailures: 18 });
    dma.map(engine.sharedBase, 1, "to-device");
    dma.map(end - 1, 1, "to-device");
    expect(dma.liveMappings).toBe(2);
  });

  it("counts calls, bytes that are asked for, and weak ordering, which asks for nothing", async () => {
    const engine = await behind(backend);
    const { dma } = engine.devices[0];
    const handle = dma.map(engine.buffers.ptr, 100, "bidirectional", { weakOrdering: true });
    dma.syncForCpu(handle, 60, "bidirectional");
    dma.syncForDevice(handle + 7, 5, "bidirectional");
    dma.syncForDevice(handle, 1, "bidirectional");
    dma.unmap(handle, 100, "bidirectional");
    const bounced = backend === "swiotlb";
    expect(dma.counters()).toEqual({
      maps: 1,
      unmaps: 1,
      mapFailures: 0,
      syncsCpu: 1,
      syncsDevice: 2,
      syncBytesAsked: 66,
      syncBytesCopied: bounced ? 66 : 0,
      bounceBytes: bounced ? 266 : 0,
      weakOrderings: 1,
      faults: 0,
      iotlbHits: 0,
      iotlbMisses: 0,
      invalidations: backend === "iommu-strict" ? 1 : 0,
      flushes: 0,
      staleAccesses: 0,
    });
    dma.tick();
    expect(dma.counters().flushes).toBe(backend === "iommu-lazy" ? 1 : 0);
  });

  it("maps a list whole or not at all, whichever element fails, and gives the pointers back", async () => {
    const engine = await behind(backend);
    const { dma } = engine.devices[0];
    const list = [30, 5000, 1, 2048, 700].map((bytes, k) => ({ ptr: engine.buffers.ptr + 3000 * k, bytes }));
    for (let failing = 1; failing <= list.length; failing++) {
      const before = dma.counters();
      dma.failIn(failing);
      expect(() => dma.mapSg(list, "to-device")).toThrow(refused("dma-injected"));
      const { maps, unmaps, mapFailures } = dma.counters();
      expect([maps - before.maps, unmaps - before.unmaps, mapFailures - before.mapFailures]).toEqual([
        failing - 1,
        failing - 1,
        1,
      ]);
      expect(dma.liveMappings).toBe(0);
    }
    const mapped = dma.mapSg(list, "to-device");
    expect(mapped.map(({ ptr }) => dma.place(ptr))).toEqual(list.map(({ ptr }) => ptr));
    expect(dma.liveMappings).toBe(5);
    expect(dma.unmapSg(mapped, "to-device")).toEqual(list);
    expect(dma.liveMappings).toBe(0);
  });

  it("changes only between queues and mappings, and counts from 0 then", async () => {
    const engine = await behind(backend);
    const [device] = engine.devices;
    const handle = device.dma.map(engine.buffers.ptr, 8, "to-device");
    expect(() => device.setDma("direct")).toThrow(/1 mappings of device 0 are live/);
    device.dma.unmap(handle, 8, "to-device");
    const { driver, device: half } = engine.connect(0);
    expect(() => device.setDma("direct")).toThrow(/the driver half of queue 0 is live/);
    driver.stop();
    expect(() => device.setDma("direct")).toThrow(/the device half of queue 0 is live/);
    half.stop();
    device.setDma("direct");
    expect(device.dma.counters().maps).toBe(0);
  });

  it("maps rings once, whoever asks, and ends that when the queue becomes another device's or the backend changes", async () => {
    const engine = await behind(backend, { devices: 2 });
    const features = DEFAULT_FEATURES | Features.ACCESS_PLATFORM;
    const mappings = (): (number | undefined)[] => engine.devices.map(({ dma }) => dma.domainUse()?.mappings);
    const none = backend.startsWith("iommu") ? 0 : undefined;
    const one = none === 0 ? 1 : none;
    for (const device of [0, 0, 1, 1, 0]) {
      const { driver, device: half } = engine.connect(0, { features, device });
      expect(mappings()).toEqual(device === 0 ? [one, none] : [none, one]);
      // Not while it runs.
      expect(() => engine.driverQueue(0, { features, device: 1 - device })).toThrow(refused("queue-live"));
      expect(mappings()).toEqual(device === 0 ? [one, none] : [none, one]);
      driver.stop();
      half.stop();
    }
    const before = engine.devices[0].dma.counters();
    expect(before).toMatchObject({ maps: 0, unmaps: 0 });
    engine.devices[0].setDma("direct");
    engine.devices[0].setDma(backend);
    expect(mappings()).toEqual([none, none]);
  });

  it("records map, unmap and sync in their order, as many as there is room for", async () => {
    const engine = await behind(backend, {
      dma: { ...SMALL.dma, backends: [backend], poolBytes: 64 * BOUNCE_SLOT, traceOps: 3 },
    });
    const { dma } = engine.devices[0];
    const handle = dma.map(engine.buffers.ptr, 100, "bidirectional");
    dma.syncForCpu(handle, 60, "bidirectional");
    dma.syncForDevice(handle + 7, 5, "bidirectional");
    dma.unmap(handle, 100, "bidirectional");
    const [capacity, count, , ...records] = engine.words("operation trace");
    expect([capacity, count]).toEqual([3, 4]);
    expect(records).toEqual([1, 0, handle, 100, 3, 0, handle, 60, 4, 0, handle + 7, 5]);
  });
});

describe("what an engine reserves for DMA", () => {
  it("nothing, unless it is asked: then only direct is to be had", async () => {
    const engine = await createEngine({ queueSize: 8 });
    expect(engine.regions.filter(({ name }) => /bounce|fault|mapping|domain|sg list/.test(name))).toEqual([]);
    expect(() => engine.devices[0].setDma("swiotlb")).toThrow(/no memory is reserved for swiotlb/);
    engine.devices[0].setDma("direct");
    expect(engine.devices[0].dma.faults()).toEqual([]);
    expect(engine.devices[0].dma.domainUse()).toBeNull();
  });

  it("all rings and the pool behind them in one piece, which is all that a bounced device sees", async () => {
    const engine = await createEngine({ ...SMALL, queues: 3 });
    const shared = engine.regions.filter(({ part }) => part === "shared").map(({ name }) => name);
    expect(shared.indexOf("bounce pool")).toBe(9);
    expect(shared.slice(0, 9).every((name) => name.endsWith("area"))).toBe(true);
  });

  it("whole pages where an IOMMU maps them: no page holds rings and something else, or what is private", async () => {
    const engine = await createEngine({
      ...SMALL,
      queues: 3,
      devices: 2,
      dma: { backends: ["iommu-strict"] },
    });
    const page = (at: number): number => Math.floor(at / 4096);
    expect([engine.sharedBase % 4096, engine.end % 4096]).toEqual([0, 0]);
    const shared = engine.regions.filter(({ part, bytes }) => part === "shared" && bytes > 0);
    for (const [k, region] of shared.entries()) {
      if (k === 0) continue;
      const before = shared[k - 1];
      const queue = (name: string): string | undefined => /^queue (\d+) .* area$/.exec(name)?.[1];
      const touch = page(before.ptr + before.bytes - 1) === page(region.ptr);
      if (touch) expect(queue(before.name)).toBe(queue(region.name));
    }
    const memory = new WebAssembly.Memory({ initial: 100 });
    await expect(
      createEngine({
        ...SMALL,
        memory,
        region: { offset: 64, length: 64 * 65536 },
        dma: { backends: ["iommu-lazy"] },
      }),
    ).rejects.toThrow(/region.offset is 64, but must be a multiple of 4096/);
  });

  it("takes no backend of another name, and no pool that is not made of slots", async () => {
    const engine = await createEngine(SMALL);
    expect(() => engine.devices[0].setDma("iommu" as DmaBackend)).toThrow(/"iommu" is no DMA backend/);
    for (const dma of [
      { backends: ["bounce" as DmaBackend] },
      { backends: ["swiotlb"], poolBytes: 0 },
      { backends: ["swiotlb"], poolBytes: 2047 },
      { backends: ["swiotlb"], faultLog: -1 },
      { backends: [], traceOps: 1.5 },
      { backends: ["iommu-lazy"], apertureBytes: 4096 },
      { backends: ["iommu-lazy"], apertureBytes: 2 ** 32 + 4096 },
      { backends: ["iommu-strict"], apertureBytes: 8193 },
      { backends: ["iommu-strict"], pageTables: 0 },
      { backends: ["iommu-strict"], levels: 5 as 4 },
      { backends: ["iommu-strict"], iotlb: { entries: 48, ways: 4 } },
      { backends: ["iommu-strict"], iotlb: { entries: 64, ways: 128 } },
      { backends: ["iommu-strict"], iotlb: { entries: 4, ways: 8 } },
      { backends: ["iommu-lazy"], flushQueue: 1 },
    ] as const) {
      await expect(createEngine({ ...SMALL, dma })).rejects.toThrow(refused("config"));
    }
  });

  it("needs a window that holds the rings and the pool, and keeps it while the pool is in front", async () => {
    const engine = await createEngine(SMALL);
    const [device] = engine.devices;
    const whole = device.window;
    const pool = engine.region("bounce pool");
    device.setWindow({ ...whole, length: BigInt(pool.ptr + pool.bytes - engine.sharedBase - 1) });
    expect(() => device.setDma("swiotlb")).toThrow(/does not hold the rings and the bounce pool/);
    device.setWindow({ ...whole, length: BigInt(pool.ptr + pool.bytes - engine.sharedBase) });
    device.setDma("swiotlb");
    expect(() => device.setWindow(whole)).toThrow(/the window is swiotlb's now/);
    device.setDma("direct");
    device.setWindow(whole);
  });
});
