/** The bounce pool: which call copies what, which slots are taken, and what is refused. */
import { beforeEach, describe, expect, it } from "vitest";
import { BOUNCE_SEGMENT, BOUNCE_SLOT } from "../../assembly/abi.ts";
import type { DmaCounters } from "../../src/dma.ts";
import type { Engine } from "../../src/engine.ts";
import { DMA_DIRECTIONS, type DmaDirection } from "../../src/names.ts";
import type { VirtioDevice } from "../../src/virtio-device.ts";
import { Canaries } from "../support/canaries.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";

const DIRECTIONS = Object.keys(DMA_DIRECTIONS) as DmaDirection[];
const LARGEST = BOUNCE_SEGMENT * BOUNCE_SLOT;

function poolEngine(slots: number, bufferBytes = 1 << 20): Promise<Engine> {
  return createEngine({
    queueSize: 8,
    bufferBytes,
    dma: { backends: ["swiotlb"], poolBytes: slots * BOUNCE_SLOT },
  });
}

function fill(engine: Engine, ptr: number, bytes: number, seed: number): Uint8Array {
  const view = engine.bytes(ptr, bytes);
  new Random(seed).fill(view);
  return view;
}

describe.each(["always", "device-reads"] as const)("a bounce pool that copies in: %s", (copyIn) => {
  let engine: Engine;
  let device: VirtioDevice;
  let pool: number;
  let data: number;
  const BYTES = 3000;

  beforeEach(async () => {
    engine = await poolEngine(256);
    device = engine.devices[0];
    device.setDma("swiotlb", { copyIn });
    pool = engine.region("bounce pool").ptr;
    data = engine.buffers.ptr + 100;
  });

  it.each(DIRECTIONS)("map of a mapping %s copies in what it has to, and its canaries live", (direction) => {
    for (const [round, skipCpuSync] of [false, true].entries()) {
      device.setDma("swiotlb", { copyIn });
      const lent = fill(engine, data, BYTES, 1);
      const canaries = new Canaries(engine.memory, engine.region("bounce pool"), []);
      const dma = device.dma.map(data, BYTES, direction, { skipCpuSync });
      expect(dma).toBe(pool + round * 2 * BOUNCE_SLOT);
      const copies = copyIn === "always" || (direction !== "from-device" && !skipCpuSync);
      expect(Buffer.compare(engine.bytes(dma, BYTES), lent) === 0).toBe(copies);
      expect(canaries.dead(1)).toEqual(copies ? [dma] : []);
      expect(canaries.dead(BYTES + 1).every((at) => at < dma + BYTES)).toBe(true);
      expect(device.dma.counters()).toMatchObject({
        maps: 1,
        bounceBytes: copies ? BYTES : 0,
        syncBytesCopied: 0,
      });
      device.dma.unmap(dma, BYTES, direction, { skipCpuSync: true });
      expect(device.dma.counters()).toMatchObject({ unmaps: 1, bounceBytes: copies ? BYTES : 0 });
    }
  });

  it.each(DIRECTIONS)(
    "unmap of a mapping %s copies out the whole length if the device wrote it",
    (direction) => {
      for (const skipCpuSync of [false, true]) {
        const before = fill(engine, data - 8, BYTES + 16, 2).slice();
        const dma = device.dma.map(data, BYTES, direction);
        const written = fill(engine, dma, BYTES, 3).slice();
        const { bounceBytes } = device.dma.counters();
        device.dma.unmap(dma, BYTES, direction, { skipCpuSync });
        const copies = direction !== "to-device" && !skipCpuSync;
        const now = engine.bytes(data - 8, BYTES + 16);
        expect(now.subarray(0, 8)).toEqual(before.subarray(0, 8));
        expect(now.subarray(8, 8 + BYTES)).toEqual(copies ? written : before.subarray(8, 8 + BYTES));
        expect(now.subarray(8 + BYTES)).toEqual(before.subarray(8 + BYTES));
        expect(device.dma.counters().bounceBytes - bounceBytes).toBe(copies ? BYTES : 0);
      }
    },
  );

  it.each(DIRECTIONS)(
    "syncs of a mapping %s copy the range that was asked for, where they copy at all",
    (direction) => {
      const dma = device.dma.map(data, BYTES, direction);
      // A range over the boundary of two slots, with an odd offset.
      const [offset, bytes] = [2041, 517];
      const lent = fill(engine, data, BYTES, 4).slice();
      const seen = fill(engine, dma, BYTES, 5).slice();
      const start = device.dma.counters();
      device.dma.syncForCpu(dma + offset, bytes, direction);
      const toCpu = direction === "to-device" ? 0 : bytes;
      if (toCpu) lent.set(seen.subarray(offset, offset + bytes), offset);
      expect(engine.bytes(data, BYTES)).toEqual(lent);
      expect(engine.bytes(dma, BYTES)).toEqual(seen);
      fill(engine, data, BYTES, 6);
      device.dma.syncForDevice(dma + offset, bytes, direction);
      const toDevice = direction === "from-device" ? 0 : bytes;
      if (toDevice) seen.set(engine.bytes(data + offset, bytes), offset);
      expect(engine.bytes(dma, BYTES)).toEqual(seen);
      expect(device.dma.counters()).toMatchObject({
        syncsCpu: 1,
        syncsDevice: 1,
        syncBytesAsked: 2 * bytes,
        syncBytesCopied: toCpu + toDevice,
        bounceBytes: start.bounceBytes + toCpu + toDevice,
      } satisfies Partial<DmaCounters>);
    },
  );

  it("a sync copies nothing beyond the mapping's end, and nothing where nothing is mapped", () => {
    const dma = device.dma.map(data, BYTES, "bidirectional");
    fill(engine, data, BYTES + 5000, 7);
    const canaries = new Canaries(engine.memory, { ptr: dma, bytes: 3 * BOUNCE_SLOT }, []);
    device.dma.syncForDevice(dma + 2900, 5000, "bidirectional");
    expect(canaries.dead(200).filter((at) => at < dma + 2900 || at >= dma + BYTES)).toEqual([]);
    expect(device.dma.counters()).toMatchObject({ syncBytesAsked: 5000, syncBytesCopied: 100 });
    device.dma.unmap(dma, BYTES, "bidirectional", { skipCpuSync: true });
    for (const at of [dma, dma + 100, dma + BYTES, pool + 256 * BOUNCE_SLOT, pool - 1, 0])
      device.dma.syncForDevice(at, 100, "bidirectional");
    expect(device.dma.counters()).toMatchObject({
      syncsDevice: 7,
      syncBytesAsked: 5600,
      syncBytesCopied: 100,
    });
  });

  it("gives every byte of a mapping its place, and the places back at the end", () => {
    const dma = device.dma.map(data, BYTES, "to-device");
    for (const at of [0, 1, 2047, 2048, 2999]) expect(device.dma.place(dma + at)).toBe(data + at);
    device.dma.unmap(dma, BYTES, "to-device");
    expect(device.dma.liveMappings).toBe(0);
  });
});

describe("slots of a bounce pool", () => {
  it("a mapping has one segment at most, and is refused by name when it is longer", async () => {
    const engine = await poolEngine(300);
    const [device] = engine.devices;
    device.setDma("swiotlb");
    const dma = device.dma.map(engine.buffers.ptr, LARGEST, "to-device");
    expect(dma).toBe(engine.region("bounce pool").ptr);
    expect(() => device.dma.map(engine.buffers.ptr, LARGEST + 1, "to-device")).toThrow(
      expect.objectContaining({ code: "dma-too-long", device: 0 }),
    );
    // 172 slots are free, and 128 of them in one segment.
    const second = device.dma.map(engine.buffers.ptr, LARGEST, "to-device");
    expect(second).toBe(dma + LARGEST);
    expect(() => device.dma.map(engine.buffers.ptr, 45 * BOUNCE_SLOT, "to-device")).toThrow(
      expect.objectContaining({ code: "dma-pool-full" }),
    );
    expect(device.dma.map(engine.buffers.ptr, 44 * BOUNCE_SLOT, "to-device")).toBe(second + LARGEST);
    expect(device.dma.counters()).toMatchObject({ maps: 3, mapFailures: 2 });
  });

  it("no mapping crosses the end of a segment, though both sides of it are free", async () => {
    const engine = await poolEngine(256);
    const [device] = engine.devices;
    device.setDma("swiotlb");
    const pool = engine.region("bounce pool").ptr;
    const slots = (count: number): number =>
      (device.dma.map(engine.buffers.ptr, count * BOUNCE_SLOT, "to-device") - pool) / BOUNCE_SLOT;
    expect(slots(100)).toBe(0);
    expect(slots(60)).toBe(128);
    expect(slots(68)).toBe(188);
    expect(slots(28)).toBe(100);
    expect(() => slots(1)).toThrow(expect.objectContaining({ code: "dma-pool-full" }));
  });

  it("an unmap of what is not mapped, or of a mapping's middle, does nothing and is not counted", async () => {
    const engine = await poolEngine(128);
    const [device] = engine.devices;
    device.setDma("swiotlb");
    const dma = device.dma.map(engine.buffers.ptr, 5000, "bidirectional");
    for (const at of [dma + 2048, dma + 1, dma + 3 * 2048, dma - 2048, dma + 128 * 2048, 0])
      device.dma.unmap(at, 5000, "bidirectional");
    expect(device.dma.counters()).toMatchObject({ maps: 1, unmaps: 0 });
    device.dma.unmap(dma, 5000, "bidirectional");
    device.dma.unmap(dma, 5000, "bidirectional");
    expect(device.dma.counters()).toMatchObject({ maps: 1, unmaps: 1 });
  });

  it.each([
    [1, 1],
    [128, 2],
    [200, 3],
    [700, 4],
  ])(
    "of %i: never given twice, found whenever there are enough in one segment (seed %i)",
    async (slots, seed) => {
      const engine = await poolEngine(slots);
      const [device] = engine.devices;
      device.setDma("swiotlb");
      const pool = engine.region("bounce pool").ptr;
      const random = new Random(seed);
      const free = new Array<boolean>(slots).fill(true);
      const live: { first: number; count: number }[] = [];
      const fits = (count: number): boolean => {
        for (let from = 0, run = 0; from < slots; from++) {
          run = free[from] ? (from % BOUNCE_SEGMENT === 0 ? 1 : run + 1) : 0;
          if (run >= count) return true;
        }
        return false;
      };
      let refused = 0;
      for (let step = 0; step < 4000; step++) {
        if (live.length > 0 && random.chance(45)) {
          const [{ first, count }] = live.splice(random.int(0, live.length - 1), 1);
          device.dma.unmap(pool + first * BOUNCE_SLOT, count * BOUNCE_SLOT, "to-device");
          free.fill(true, first, first + count);
          continue;
        }
        const count = random.chance(80) ? random.int(1, 4) : random.int(1, BOUNCE_SEGMENT);
        if (!fits(count)) {
          refused++;
          expect(() => device.dma.map(engine.buffers.ptr, count * BOUNCE_SLOT, "to-device")).toThrow(
            expect.objectContaining({ code: "dma-pool-full" }),
          );
          continue;
        }
        const dma = device.dma.map(engine.buffers.ptr, count * BOUNCE_SLOT, "to-device");
        const first = (dma - pool) / BOUNCE_SLOT;
        expect(free.slice(first, first + count)).toEqual(new Array(count).fill(true));
        expect(Math.floor(first / BOUNCE_SEGMENT)).toBe(Math.floor((first + count - 1) / BOUNCE_SEGMENT));
        free.fill(false, first, first + count);
        live.push({ first, count });
      }
      expect(refused).toBeGreaterThan(0);
      for (const { first, count } of live)
        device.dma.unmap(pool + first * BOUNCE_SLOT, count * BOUNCE_SLOT, "to-device");
      expect(device.dma.liveMappings).toBe(0);
      // All of it is one run again, a segment at a time.
      for (let at = 0; at < slots; at += BOUNCE_SEGMENT) {
        const count = Math.min(BOUNCE_SEGMENT, slots - at);
        expect(free.fill(true, at, at + count).length).toBe(slots);
        device.dma.map(engine.buffers.ptr, count * BOUNCE_SLOT, "to-device");
      }
      expect(() => device.dma.map(engine.buffers.ptr, 1, "to-device")).toThrow(
        expect.objectContaining({ code: "dma-pool-full" }),
      );
    },
  );
});
