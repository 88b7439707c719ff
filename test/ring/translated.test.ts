/** The device half behind an IOMMU: where its rings are, and what a driver's addresses may be. */
import { describe, expect, it } from "vitest";
import type { DeviceQueue } from "../../src/device-queue.ts";
import type { Engine } from "../../src/engine.ts";
import { RING_FORMATS, type RingFormat } from "../../src/names.ts";
import { engineBehind, faultOf, type IOMMUS, PAGE, pageAt } from "../support/dma.ts";
import { RawPackedDriver } from "../support/raw-packed.ts";
import { RawSplitDriver } from "../support/raw-split.ts";
import { features } from "../support/rig.ts";

// A raw driver's rings behind an IOMMU, mapped by hand.

const SIZE = 8;

interface RawRig {
  engine: Engine;
  peer: RawSplitDriver | RawPackedDriver;
  device: DeviceQueue;
  /** Where the ring's three areas lie, a page each, and their handles. */
  places: number[];
  handles: number[];
}

/** Rings at the first three pages of the buffers, each mapped by itself. */
async function rawRig(format: RingFormat, backend: (typeof IOMMUS)[number]): Promise<RawRig> {
  const engine = await engineBehind(backend, { queueSize: SIZE, bufferBytes: 32 * PAGE });
  const { dma } = engine.devices[0];
  const places = [0, 1, 2].map((k) => pageAt(engine, k));
  const handles = places.map((ptr) => dma.map(ptr, PAGE, "bidirectional"));
  const peer = makePeer(format, engine, places);
  const [desc, driverArea, deviceArea] = handles.map(BigInt);
  const device = engine.deviceQueue(0, {
    format,
    size: SIZE,
    features: features(format, "ACCESS_PLATFORM", "INDIRECT_DESC"),
    desc,
    driverArea,
    deviceArea,
  });
  return { engine, peer, device, places, handles };
}

function makePeer(
  format: RingFormat,
  { memory }: Engine,
  [desc, second, third]: number[],
): RawSplitDriver | RawPackedDriver {
  return format === "split"
    ? new RawSplitDriver(memory, { size: SIZE, desc, avail: second, used: third })
    : new RawPackedDriver(memory, { size: SIZE, desc, driverArea: second, deviceArea: third });
}

const CALLS: Record<string, (device: DeviceQueue) => unknown> = {
  pop: (device) => device.popBurst(4),
  "mark used": (device) => device.markPoppedUsed(1),
  "publish used": (device) => device.publishUsed(),
  arm: (device) => device.arm(),
  suppress: (device) => device.suppress(),
};

describe.each(RING_FORMATS)("the rings of a %s queue behind an IOMMU", (format) => {
  const offered = (rig: RawRig): void => {
    const { dma } = rig.engine.devices[0];
    const ptr = rig.places[2] + 4 * PAGE;
    const handle = dma.map(ptr, 64, "from-device");
    for (let k = 0; k < 3; k++) rig.peer.add([{ ptr: handle, bytes: 64, write: true }]);
    rig.peer.publish();
  };

  describe.each([0, 1, 2])("area %i unmapped under a live queue", (area) => {
    it.each(Object.keys(CALLS))(
      "H-V-05: breaks it at the next %s, and nothing is written where it was",
      async (name) => {
        const rig = await rawRig(format, "iommu-strict");
        const { engine, device, places, handles } = rig;
        const [owner] = engine.devices;
        offered(rig);
        expect(device.popBurst(1)).toBe(1);
        owner.dma.unmap(handles[area], PAGE, "bidirectional");
        const before = engine.bytes(places[0], 3 * PAGE).slice();
        CALLS[name](device);
        expect(engine.bytes(places[0], 3 * PAGE)).toEqual(before);
        expect(device.state).toBe("broken");
        expect(device.violation).toMatchObject({
          code: "ring-fault",
          requirement: "H-V-05",
          index: handles[0],
        });
        const direction = area === 2 ? "from-device" : "to-device";
        expect(owner.dma.faults()).toEqual([faultOf(handles[area], direction, "unmapped")]);
        expect(owner.needsReset).toBe(true);
        for (const call of Object.values(CALLS)) call(device);
        expect(engine.bytes(places[0], 3 * PAGE)).toEqual(before);
        expect(owner.dma.counters().faults).toBe(1);
      },
    );

    it("goes on behind iommu-lazy until the flush, and breaks then", async () => {
      const rig = await rawRig(format, "iommu-lazy");
      const { engine, device, handles } = rig;
      const [owner] = engine.devices;
      offered(rig);
      owner.dma.unmap(handles[area], PAGE, "bidirectional");
      expect(device.popBurst(1)).toBe(1);
      expect(device.markPoppedUsed(1)).toBe(1);
      device.publishUsed();
      expect(rig.peer.used()).toHaveLength(1);
      owner.dma.tick();
      expect(device.popBurst(1)).toBe(0);
      expect(device.violation).toMatchObject({ code: "ring-fault" });
    });
  });

  it("is not disturbed by any other mapping that ends", async () => {
    const rig = await rawRig(format, "iommu-strict");
    const { engine, device } = rig;
    const { dma } = engine.devices[0];
    offered(rig);
    for (let k = 0; k < 300; k++)
      dma.unmap(dma.map(rig.places[2] + 5 * PAGE, 3 * PAGE, "to-device"), 3 * PAGE, "to-device");
    expect(device.popBurst(4)).toBe(3);
    expect(device.markPoppedUsed(3)).toBe(3);
    device.publishUsed();
    expect(rig.peer.used()).toHaveLength(3);
    expect(dma.counters().faults).toBe(0);
  });

  it("are found again where they are mapped now, with what was held back", async () => {
    const rig = await rawRig(format, "iommu-strict");
    const { engine, device, places, handles } = rig;
    const { dma } = engine.devices[0];
    offered(rig);
    expect(device.popBurst(2)).toBe(2);
    expect(device.markPoppedUsed(2)).toBe(2);
    // All three move to other memory, as an IOMMU's owner may have it.
    const moved = places.map((ptr) => ptr + 8 * PAGE);
    for (const [k, ptr] of places.entries()) engine.bytes(moved[k], PAGE).set(engine.bytes(ptr, PAGE));
    for (const handle of handles) dma.unmap(handle, PAGE, "bidirectional");
    const again = [...moved].reverse().map((ptr) => dma.map(ptr, PAGE, "bidirectional"));
    expect(again.reverse()).toEqual(handles);
    const before = engine.bytes(places[0], 3 * PAGE).slice();
    device.publishUsed();
    expect(device.popBurst(4)).toBe(1);
    device.markPoppedUsed(1);
    device.publishUsed();
    expect(engine.bytes(places[0], 3 * PAGE)).toEqual(before);
    expect(device.violation).toBeNull();
    for (const [k, ptr] of places.entries()) engine.bytes(ptr, PAGE).set(engine.bytes(moved[k], PAGE));
    expect(rig.peer.used()).toHaveLength(3);
  });

  it("R_RING_ADDRESS: an area that is not mapped, for the wrong direction, or in pieces is refused", async () => {
    const engine = await engineBehind("iommu-strict", { queueSize: SIZE, bufferBytes: 32 * PAGE });
    const [owner] = engine.devices;
    const { dma } = owner;
    const first = pageAt(engine, 0);
    const good = [0, 1, 2].map((k) => BigInt(dma.map(first + k * PAGE, PAGE, "bidirectional")));
    const config = { format, size: SIZE, features: features(format, "ACCESS_PLATFORM") };
    const refused = expect.objectContaining({ code: "ring-address" });
    const enable = (addresses: readonly bigint[]): DeviceQueue =>
      engine.deviceQueue(0, {
        ...config,
        desc: addresses[0],
        driverArea: addresses[1],
        deviceArea: addresses[2],
      });
    for (const area of [0, 1, 2]) {
      const wrong = dma.map(first + 3 * PAGE, PAGE, area === 2 ? "to-device" : "from-device");
      expect(() => enable(good.with(area, BigInt(wrong)))).toThrow(refused);
      expect(() => enable(good.with(area, 0x7000n))).toThrow(refused);
      expect(() => enable(good.with(area, 1n << 32n))).toThrow(refused);
    }
    expect(owner.dma.faults().map(({ reason }) => reason)).toEqual([
      "direction",
      "unmapped",
      "direction",
      "unmapped",
      "direction",
      "unmapped",
    ]);
    // Two pages side by side on the bus, and not in the memory.
    const single = Array.from({ length: 6 }, (_, k) =>
      dma.map(first + (20 - 2 * k) * PAGE, PAGE, "bidirectional"),
    );
    const low = single.find(
      (handle) => single.includes(handle + PAGE) && dma.place(handle + PAGE) !== dma.place(handle) + PAGE,
    );
    const scattered = BigInt((low as number) + PAGE - 16);
    expect(() => enable(good.with(0, scattered))).toThrow(refused);
    expect(owner.dma.faults().at(-1)).toMatchObject({ reason: "scattered", addr: scattered });
    enable(good).stop();
  });
});

describe.each(RING_FORMATS)("addresses that a driver writes into a %s ring behind an IOMMU", (format) => {
  it.each([
    ["above the aperture", 1n << 32n, 16],
    ["that reach over its end", (1n << 32n) - 8n, 16],
    ["at the top of 64 bits", (1n << 64n) - 8n, 16],
  ])("H-V-05: of a buffer %s break the queue at pop, and are in the log", async (_, addr, bytes) => {
    for (const write of [false, true]) {
      const { engine, peer, device } = await rawRig(format, "iommu-strict");
      peer.busDelta = addr;
      peer.add([{ ptr: 0, bytes, write }]);
      peer.publish();
      expect(device.popBurst(1)).toBe(0);
      expect(device.violation).toMatchObject({ code: "buffer-address" });
      const direction = write ? "from-device" : "to-device";
      expect(engine.devices[0].dma.faults()).toEqual([faultOf(addr, direction, "range")]);
    }
  });

  it.each([
    ["not mapped", 0x9000n, "unmapped"],
    ["above the aperture", 1n << 32n, "range"],
    ["at the top of 64 bits", (1n << 64n) - 16n, "range"],
  ] as const)("H-V-04: of a table %s break the queue at pop, and are in the log", async (_, addr, reason) => {
    const rig = await rawRig(format, "iommu-strict");
    const { engine, peer, device, places } = rig;
    const table = places[2] + PAGE;
    peer.indirect(table, [{ ptr: 0x5000, bytes: 8 }]);
    const at = places[0];
    peer.setU64(at, addr);
    peer.publish();
    expect(device.popBurst(1)).toBe(0);
    expect(device.violation).toMatchObject({ code: "table-address" });
    expect(engine.devices[0].dma.faults()).toEqual([faultOf(addr, "to-device", reason)]);
  });

  it("H-V-04: of a table for the device to write, or in pieces", async () => {
    for (const reason of ["direction", "scattered"] as const) {
      const { engine, peer, device, places } = await rawRig(format, "iommu-strict");
      const { dma } = engine.devices[0];
      const first = places[2] + PAGE;
      let addr = dma.map(first, 64, reason === "direction" ? "from-device" : "bidirectional");
      if (reason === "scattered") {
        const pages = Array.from({ length: 6 }, (_, k) =>
          dma.map(first + (20 - 2 * k) * PAGE, PAGE, "to-device"),
        );
        const low = pages.find(
          (one) => pages.includes(one + PAGE) && dma.place(one + PAGE) !== dma.place(one) + PAGE,
        );
        addr = (low as number) + PAGE - 16;
      }
      peer.indirect(
        first,
        [1, 2, 3].map((k) => ({ ptr: 0x5000 * k, bytes: 8 })),
      );
      peer.setU64(places[0], BigInt(addr));
      peer.publish();
      expect(device.popBurst(1)).toBe(0);
      expect(device.violation).toMatchObject({ code: "table-address" });
      expect(dma.faults()).toEqual([faultOf(addr, "to-device", reason)]);
    }
  });

  it("a table is read through the IOTLB, and buffers that nobody touches are not looked up", async () => {
    const { engine, peer, device, places } = await rawRig(format, "iommu-strict");
    const { dma } = engine.devices[0];
    const table = dma.map(places[2] + PAGE, 64, "to-device");
    for (let round = 0; round < 5; round++) {
      peer.indirect(places[2] + PAGE, [{ ptr: 0x5000, bytes: 8 }]);
      peer.setU64(places[0] + 16 * round, BigInt(table));
      peer.publish();
      const [chain] = device.pop();
      expect(chain.readable).toEqual([{ ptr: 0x5000, bytes: 8 }]);
    }
    expect(dma.counters()).toMatchObject({ iotlbMisses: 1, iotlbHits: 4, faults: 0 });
  });
});
