/**
 * Maps, syncs and unmaps at random, behind every backend, against a model that is a list of mappings and two copies of
 * the bytes: what the driver sees, and what the device sees of each mapping.
 */
import { describe, expect, it } from "vitest";
import type { DmaSettings } from "../../src/dma.ts";
import { Features } from "../../src/features.ts";
import { DMA_DIRECTIONS, type DmaBackend, type DmaDirection } from "../../src/names.ts";
import { engineBehind, PAGE, pageAt } from "../support/dma.ts";
import { Random } from "../support/random.ts";
import { defaultFeatures } from "../support/rig.ts";

const DIRECTIONS = Object.keys(DMA_DIRECTIONS) as DmaDirection[];
const PAGES = 40;

interface Mapping {
  dma: number;
  ptr: number;
  bytes: number;
  direction: DmaDirection;
  /** What the device sees where it has a copy of its own. */
  copy: Uint8Array | null;
}

/** Bus addresses that belong to a mapping: whole pages, whole slots, or just its bytes. */
function busRange(backend: DmaBackend, { dma, bytes }: { dma: number; bytes: number }): [number, number] {
  const unit = backend === "direct" ? 1 : backend === "swiotlb" ? 2048 : PAGE;
  return [Math.floor(dma / unit) * unit, Math.ceil((dma + bytes) / unit) * unit];
}

const CASES: [DmaBackend, DmaSettings][] = [
  ["direct", {}],
  ["swiotlb", { copyIn: "always" }],
  ["swiotlb", { copyIn: "device-reads" }],
  ["iommu-strict", {}],
  ["iommu-lazy", {}],
];

describe.each(CASES)("mappings behind %s, %o", (backend, settings) => {
  it.each([1, 2, 3, 4])("are what the model says, to the byte (seed %i)", async (seed) => {
    const engine = await engineBehind(backend, { bufferBytes: (PAGES + 1) * PAGE, scratchBytes: 3 * PAGE });
    const [owner] = engine.devices;
    owner.setDma(backend, settings);
    const { dma } = owner;
    // A stopped device half moves bytes all the same, and no fault breaks it.
    const features = defaultFeatures("split") | Features.ACCESS_PLATFORM;
    const { driver, device } = engine.connect(0, { features });
    driver.stop();
    device.stop();
    const start = dma.domainUse();
    const random = new Random(seed);
    const base = pageAt(engine, 0);
    const cpu = engine.bytes(base, PAGES * PAGE);
    random.fill(cpu);
    const model = cpu.slice();
    const live: Mapping[] = [];
    const waiting: [number, number][] = [];
    const expected = {
      maps: 0,
      unmaps: 0,
      mapFailures: 0,
      syncsCpu: 0,
      syncsDevice: 0,
      asked: 0,
      copied: 0,
      bounced: 0,
      faults: 0,
    };
    const iommu = backend.startsWith("iommu");
    const seen = (mapping: Mapping): Uint8Array =>
      mapping.copy ?? model.subarray(mapping.ptr - base, mapping.ptr - base + mapping.bytes);
    const read = (at: number, bytes: number): Uint8Array | null =>
      device.readTo(at, engine.scratch.ptr, bytes) ? engine.bytes(engine.scratch.ptr, bytes) : null;
    const bytesOf = (): number => (random.chance(70) ? random.int(1, 300) : random.int(1, 2.5 * PAGE));

    for (let step = 0; step < 600; step++) {
      const what = random.int(0, 9);
      const mapping = live.length > 0 ? random.pick(live) : null;
      if (what <= 2 || mapping === null) {
        if (live.length > 60) continue;
        const bytes = bytesOf();
        const ptr = base + random.int(0, PAGES * PAGE - bytes);
        const direction = random.pick(DIRECTIONS);
        const skipCpuSync = random.chance(20);
        const inject = random.chance(5);
        if (inject) dma.failIn(1);
        let handle: number;
        try {
          handle = dma.map(ptr, bytes, direction, { skipCpuSync });
          expect(inject).toBe(false);
        } catch (error) {
          expect(error).toMatchObject({
            code: inject ? "dma-injected" : expect.stringMatching(/pool-full|no-iova|no-table/),
          });
          expected.mapFailures++;
          continue;
        }
        expected.maps++;
        const made: Mapping = { dma: handle, ptr, bytes, direction, copy: null };
        if (backend === "swiotlb") {
          const copies = settings.copyIn === "always" || (direction !== "from-device" && !skipCpuSync);
          made.copy = copies
            ? model.slice(ptr - base, ptr - base + bytes)
            : engine.bytes(handle, bytes).slice();
          if (copies) expected.bounced += bytes;
        }
        const [from, end] = busRange(backend, made);
        expect(from).toBeGreaterThan(0);
        for (const other of backend === "direct"
          ? []
          : [...live.map((one) => busRange(backend, one)), ...waiting])
          expect(end <= other[0] || from >= other[1]).toBe(true);
        for (const at of [0, 1, Math.floor(bytes / 2), bytes - 1])
          expect(dma.place(handle + at)).toBe(ptr + at);
        live.push(made);
      } else if (what === 3) {
        live.splice(live.indexOf(mapping), 1);
        const skipCpuSync = random.chance(20);
        dma.unmap(mapping.dma, mapping.bytes, mapping.direction, { skipCpuSync });
        expected.unmaps++;
        if (mapping.copy !== null && mapping.direction !== "to-device" && !skipCpuSync) {
          model.set(mapping.copy, mapping.ptr - base);
          expected.bounced += mapping.bytes;
        }
        if (backend === "iommu-lazy") waiting.push(busRange(backend, mapping));
        if (backend === "iommu-strict") {
          expect(read(mapping.dma, 1)).toBeNull();
          expected.faults++;
        }
      } else if (what === 4 || what === 5) {
        const offset = random.int(0, mapping.bytes - 1);
        const bytes = random.int(1, mapping.bytes - offset);
        expected.asked += bytes;
        const place = mapping.ptr - base + offset;
        if (what === 4) {
          dma.syncForCpu(mapping.dma + offset, bytes, mapping.direction);
          expected.syncsCpu++;
          if (mapping.copy === null || mapping.direction === "to-device") continue;
          model.set(mapping.copy.subarray(offset, offset + bytes), place);
        } else {
          dma.syncForDevice(mapping.dma + offset, bytes, mapping.direction);
          expected.syncsDevice++;
          if (mapping.copy === null || mapping.direction === "from-device") continue;
          mapping.copy.set(model.subarray(place, place + bytes), offset);
        }
        expected.copied += bytes;
        expected.bounced += bytes;
      } else if (what === 6) {
        // The driver writes.
        const bytes = bytesOf();
        const at = random.int(0, PAGES * PAGE - bytes);
        const value = random.int(0, 255);
        cpu.fill(value, at, at + bytes);
        model.fill(value, at, at + bytes);
      } else {
        // The device reads or writes a part of a mapping, the whole, or its edges.
        const offset = random.chance(30) ? 0 : random.int(0, mapping.bytes - 1);
        const bytes = random.chance(30) ? mapping.bytes - offset : random.int(1, mapping.bytes - offset);
        if (what === 9) {
          engine.bytes(engine.scratch.ptr, bytes).fill(step);
          const allowed = !iommu || mapping.direction !== "to-device";
          expect(device.writeFrom(mapping.dma + offset, engine.scratch.ptr, bytes)).toBe(allowed);
          if (allowed) seen(mapping).fill(step, offset, offset + bytes);
          else expected.faults++;
        } else {
          const allowed = !iommu || mapping.direction !== "from-device";
          const data = read(mapping.dma + offset, bytes);
          if (allowed) expect(data).toEqual(seen(mapping).subarray(offset, offset + bytes));
          else expect(data).toBeNull();
          if (!allowed) expected.faults++;
        }
      }
      if (step % 50 === 0 && backend === "iommu-lazy") {
        dma.tick();
        waiting.length = 0;
      }
      if (step % 10 === 0) expect(Buffer.compare(cpu, model)).toBe(0);
      const counters = dma.counters();
      expect(counters).toMatchObject({
        maps: expected.maps,
        unmaps: expected.unmaps,
        mapFailures: expected.mapFailures,
        syncsCpu: expected.syncsCpu,
        syncsDevice: expected.syncsDevice,
        syncBytesAsked: expected.asked,
        syncBytesCopied: expected.copied,
        bounceBytes: expected.bounced,
        faults: expected.faults,
      });
      expect(dma.liveMappings).toBe(live.length);
    }

    if (iommu) {
      // Just outside of the pages of a mapping, rings included, nothing is, unless another mapping is there.
      dma.tick();
      const { desc, deviceArea } = driver.addresses;
      const rings = busRange(backend, { dma: Number(desc), bytes: Number(deviceArea - desc) + 1 });
      const ranges = [rings, ...live.map((one) => busRange(backend, one))];
      const mapped = (at: number): boolean => ranges.some(([from, end]) => at >= from && at < end);
      for (const [from, end] of ranges) {
        for (const at of [from - 1, end]) if (!mapped(at)) expect(read(at, 1)).toBeNull();
      }
    }
    expect(Buffer.compare(cpu, model)).toBe(0);
    for (const { dma: handle, bytes, direction } of live)
      dma.unmap(handle, bytes, direction, { skipCpuSync: true });
    expect(dma.liveMappings).toBe(0);
    expect(dma.domainUse()).toEqual(start);
  });
});
