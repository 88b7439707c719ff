/** The identity window: bus addresses to places, what is refused, and what is never reached. */
import { describe, expect, it } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { createEngine } from "../support/engine.ts";
import { RawPackedDriver } from "../support/raw-packed.ts";
import { RawSplitDriver } from "../support/raw-split.ts";
import { bufferOf, deviceRig, elementsAt } from "../support/rig.ts";

const SMALL = { queueSize: 8, bufferBytes: 4096 };

describe("the identity window", () => {
  it("shows the shared part and nothing else unless told otherwise", async () => {
    const engine = await createEngine({ ...SMALL, devices: 2 });
    for (const device of engine.devices) {
      expect(device.window).toEqual({
        base: BigInt(engine.sharedBase),
        length: BigInt(engine.end - engine.sharedBase),
        offset: engine.sharedBase,
      });
      expect(device.busAddress(engine.buffers.ptr)).toBe(BigInt(engine.buffers.ptr));
    }
  });

  it("is refused when it overlaps the private part by one byte, and taken when it touches it", async () => {
    const memory = new WebAssembly.Memory({ initial: 4 });
    const engine = await createEngine({ ...SMALL, memory, region: { offset: 65536, length: 2 * 65536 } });
    const [device] = engine.devices;
    const before = device.window;
    const refused = expect.objectContaining({ code: "space-overlap", requirement: "H-V-05" });
    for (const [offset, length] of [
      [engine.sharedBase - 1, 1],
      [engine.sharedBase - 1, 100],
      [engine.base, 1],
      [engine.base - 1, 2],
      [0, engine.base + 1],
      [0, 4 * 65536],
      [engine.base + 64, 64],
    ]) {
      expect(() => device.setWindow({ base: 0n, length: BigInt(length), offset })).toThrow(refused);
      expect(device.window).toEqual(before);
    }
    for (const [offset, length] of [
      [engine.sharedBase, 1],
      [engine.sharedBase, 4 * 65536 - engine.sharedBase],
      [0, engine.base],
      [engine.base - 1, 1],
      [engine.base, 0],
      [3 * 65536, 65536],
    ]) {
      device.setWindow({ base: 0n, length: BigInt(length), offset });
      expect(device.window).toEqual({ base: 0n, length: BigInt(length), offset });
    }
  });

  it("must lie in the memory, and its bus addresses in 64 bits", async () => {
    const engine = await createEngine({ ...SMALL, memoryBytes: 65536 });
    const [device] = engine.devices;
    const offset = engine.sharedBase;
    const config = expect.objectContaining({ code: "config" });
    for (const window of [
      { base: 0n, length: BigInt(65536 - offset + 1), offset },
      { base: 0n, length: 1n, offset: 65536 },
      { base: 0n, length: -1n, offset },
      { base: 0n, length: 16n, offset: -16 },
      { base: -1n, length: 16n, offset },
      { base: (1n << 64n) - 15n, length: 16n, offset },
    ]) {
      expect(() => device.setWindow(window)).toThrow(config);
    }
    device.setWindow({ base: (1n << 64n) - 16n, length: 16n, offset });
    expect(device.busAddress(offset)).toBe((1n << 64n) - 16n);
  });
});

describe.each(RING_FORMATS)("a %s device behind a window that is not where it seems", (format) => {
  it.each([
    ["low", () => 0n],
    ["above 2^32", () => 0x12_3456_7000n],
    ["at the top of 64 bits", (length: bigint) => (1n << 64n) - length],
  ])("F-V-01, H-V-05: translates every address, bases %s", async (_, baseOf) => {
    const { engine, device, peer, areas, data } = await deviceRig(format, {
      size: 8,
      window: ({ sharedBase, end }) => ({
        base: baseOf(BigInt(end - sharedBase)),
        length: BigInt(end - sharedBase),
        offset: sharedBase,
      }),
    });
    expect(peer.bus(engine.sharedBase)).toBe(baseOf(BigInt(engine.end - engine.sharedBase)));
    expect(areas.length).toBe(3);
    const elements = elementsAt(data.ptr + 512, [10, 20], [30]);
    for (let round = 0; round < 20; round++) {
      if (round % 2) peer.add(elements);
      else peer.indirect(data.ptr, elements);
      peer.publish();
      const [chain] = device.pop();
      expect(chain).toMatchObject(bufferOf(elements));
      device.markUsed(chain.handle, 30);
      device.publishUsed();
      expect(peer.used().map(({ len }) => len)).toEqual([30]);
    }
    expect(device.violation).toBeNull();
  });

  it("H-V-05: places in the memory are no bus addresses", async () => {
    const { engine, device, peer, data } = await deviceRig(format, {
      size: 8,
      window: ({ sharedBase, end }) => ({
        base: 1n << 40n,
        length: BigInt(end - sharedBase),
        offset: sharedBase,
      }),
    });
    const real = peer.busDelta;
    peer.busDelta = 0n;
    peer.add(elementsAt(data.ptr, [10]));
    peer.busDelta = real;
    peer.publish();
    expect(device.popBurst(1)).toBe(0);
    expect(device.violation).toMatchObject({ code: "buffer-address" });
    expect(engine.devices[0].needsReset).toBe(true);
  });

  it.each([
    ["in the middle", 4096],
    ["at the very start", 0],
  ])("works over rings outside the engine's region, %s of the memory that both are in", async (_, desc) => {
    // An emulator's guest RAM with the engine behind it.
    const memory = new WebAssembly.Memory({ initial: 4 });
    const region = { offset: 2 * 65536, length: 2 * 65536 };
    const ram = { base: 0x8000_0000n, length: BigInt(region.offset), offset: 0 };
    const engine = await createEngine({ ...SMALL, memory, region });
    engine.devices[0].setWindow(ram);
    const [second, third] = [desc + 256, desc + 512];
    const peer =
      format === "split"
        ? new RawSplitDriver(memory, { size: 8, desc, avail: second, used: third }, ram.base)
        : new RawPackedDriver(memory, { size: 8, desc, driverArea: second, deviceArea: third }, ram.base);
    const device = engine.deviceQueue(0, {
      format,
      size: 8,
      desc: peer.bus(desc),
      driverArea: peer.bus(second),
      deviceArea: peer.bus(third),
    });
    const elements = elementsAt(65536, [100], [200]);
    for (let round = 0; round < 20; round++) {
      const id = peer.add(elements);
      peer.publish();
      const [chain] = device.pop();
      expect(chain).toMatchObject(bufferOf(elements));
      device.markUsed(chain.handle, 200);
      device.publishUsed();
      expect(peer.used()).toEqual([{ id, len: 200 }]);
    }
  });

  it("S-D-01: areas whose places in the memory are not aligned are refused, where atomics would trap", async () => {
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
    const engine = await createEngine({ ...SMALL, memory });
    const [device] = engine.devices;
    device.setWindow({ base: 0n, length: 4096n, offset: engine.buffers.ptr + 1 });
    expect(() =>
      engine.deviceQueue(0, { format, size: 8, desc: 0n, driverArea: 1024n, deviceArea: 2048n }),
    ).toThrow(expect.objectContaining({ code: "ring-alignment", requirement: "S-D-01" }));
  });
});
