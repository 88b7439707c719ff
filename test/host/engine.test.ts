/** Options, limits, the printed map and the engine's own lookups. */
import { describe, expect, it } from "vitest";
import { Engine, type EngineOptions } from "../../src/engine.ts";
import {
  ConfigError,
  MemoryTooSmallError,
  QueueBrokenError,
  RefusedError,
  VringError,
} from "../../src/errors.ts";
import { Features, queueFlags } from "../../src/features.ts";
import { createEngine, wasmBytes } from "../support/engine.ts";

const SMALL = { queueSize: 16, batch: 4, bufferBytes: 4096 };

describe("creating an engine", () => {
  it.each<[keyof EngineOptions, number[]]>([
    ["queues", [0, -1, 1.5, 65537, Number.NaN]],
    ["queueSize", [0, 32769, 2.5]],
    ["devices", [0, 65537]],
    ["batch", [0, 32769]],
    ["maxSgs", [0, 32769]],
    ["threshold", [-1, 20]],
    ["nodes", [0, 5]],
    ["heapBytes", [0, 63, 2 ** 32]],
    ["bufferBytes", [-1, 2 ** 32]],
    ["scratchBytes", [-1, 2 ** 32]],
  ])("refuses %s out of range, and says what would be right", async (name, values) => {
    for (const value of values) {
      const error = await createEngine({ ...SMALL, [name]: value }).catch((one: unknown) => one);
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as ConfigError).message).toMatch(
        new RegExp(`^${name} is ${value}, but must be a whole number from \\d+ to \\d+$`),
      );
    }
  });

  it("says how much is needed when that is more than any memory has", async () => {
    const error = await createEngine({ bufferBytes: 2 ** 31, scratchBytes: 2 ** 31 }).catch(
      (one: unknown) => one,
    );
    expect(error).toBeInstanceOf(MemoryTooSmallError);
    expect((error as MemoryTooSmallError).needed).toBeGreaterThan(2 ** 32);
  });

  it("takes the code as bytes, as an ArrayBuffer, or compiled", async () => {
    const bytes = await wasmBytes("vring");
    for (const module of [bytes, bytes.buffer, await WebAssembly.compile(bytes)]) {
      const engine = await Engine.create({ ...SMALL, module });
      expect(engine.connect(0).driver.state).toBe("live");
    }
  });

  it("appends its region to a memory that is in use, and leaves what was there", async () => {
    const memory = new WebAssembly.Memory({ initial: 3 });
    new Uint8Array(memory.buffer).fill(0xa5);
    const engine = await createEngine({ ...SMALL, memory, region: "append" });
    expect(engine.base).toBe(3 * 65536);
    expect(engine.end).toBeLessThanOrEqual(memory.buffer.byteLength);
    expect(memory.buffer.byteLength - engine.end).toBeLessThan(65536);
    expect(engine.connect(0).driver.state).toBe("live");
    expect(new Uint8Array(memory.buffer, 0, 3 * 65536).every((byte) => byte === 0xa5)).toBe(true);
  });

  it("says what it needs of a memory that can't be grown", async () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    const error = await createEngine({ ...SMALL, memory, region: "append" }).catch((one: unknown) => one);
    expect(error).toBeInstanceOf(MemoryTooSmallError);
    expect((error as MemoryTooSmallError).message).toMatch(
      /^these options need \d+ bytes of memory, but the memory can't be grown by as much$/,
    );
    expect(memory.buffer.byteLength).toBe(65536);
    await expect(createEngine({ ...SMALL, region: "append" })).rejects.toThrow(
      "region is given without the memory that it is a part of",
    );
  });

  it("holds a table of maxSgs elements for every ring entry by default", async () => {
    for (const maxSgs of [2, 19, 33, 34, 100]) {
      const engine = await createEngine({ queueSize: 128, batch: 1, maxSgs });
      const driver = engine.driverQueue(0, { tables: "heap" });
      const readable = new Array(maxSgs).fill({ ptr: engine.buffers.ptr, bytes: 1 });
      for (let token = 0; token < 128; token++)
        expect(driver.add({ readable, token }), `${maxSgs}`).toBe(true);
      expect(driver.counters()).toMatchObject({ directFalls: 0, liveTables: 128 });
    }
  });

  it("prints a map: both parts, every region with its place and bytes, and the end", async () => {
    const memory = new WebAssembly.Memory({ initial: 4 });
    const engine = await createEngine({ ...SMALL, memory, region: { offset: 65536, length: 131072 } });
    const lines = engine.memoryMap().split("\n");
    const hex = (value: number): string => value.toString(16).padStart(8, "0");
    expect(lines[0]).toBe(`${hex(65536)}  private part, ${engine.sharedBase - 65536} bytes`);
    expect(lines).toContain(
      `${hex(engine.sharedBase)}  shared part, ${engine.end - engine.sharedBase} bytes`,
    );
    expect(lines.at(-1)).toBe(`${hex(engine.end)}  end, ${65536 + 131072 - engine.end} bytes free`);
    const shown = engine.regions.filter(({ bytes }) => bytes > 0);
    expect(lines.length).toBe(shown.length + 3);
    for (const { name, ptr, bytes } of shown) {
      expect(lines).toContain(`  ${hex(ptr)}  ${bytes.toString().padStart(10)}  ${name}`);
    }
    const places = lines.map((line) => Number.parseInt(line.trim(), 16));
    expect(places).toEqual([...places].sort((a, b) => a - b));
  });

  it("knows its regions by name, its queues by index, and nothing else", async () => {
    const engine = await createEngine({ ...SMALL, queues: 2, scratchBytes: 128 });
    expect(engine.region("scratch")).toMatchObject({ bytes: 128, part: "private" });
    expect(() => engine.region("nothing")).toThrow('the memory map has no region "nothing"');
    for (const index of [-1, 2, 0.5, Number.NaN]) {
      expect(() => engine.connect(index)).toThrow(
        `queue ${index} is not among the 2 that memory is reserved for`,
      );
    }
    expect(engine.heapIsSound()).toBe(true);
    expect(engine.heapLiveBlocks()).toBe(0);
  });
});

describe("errors", () => {
  it("have a code, a one-line message and the name of their class", () => {
    for (const error of [
      new ConfigError("x is 1, but must be 2"),
      new MemoryTooSmallError(10, 5),
      new RefusedError(64, 3, 7),
      new QueueBrokenError(1, 3, 7),
    ]) {
      expect(error).toBeInstanceOf(VringError);
      expect(error).toBeInstanceOf(Error);
      expect(error.code).toMatch(/^[a-z-]+$/);
      expect(error.message).not.toContain("\n");
      expect(error.name).toBe(error.constructor.name);
    }
    expect(new RefusedError(64, 3, 7)).toMatchObject({ queue: 3, index: 7, requirement: "S-D-19" });
    expect(new QueueBrokenError(1, 3, 7)).toMatchObject({ queue: 3, index: 7, requirement: "H-V-01" });
  });
});

describe("features", () => {
  it("are the bits of the specification", () => {
    expect(Features).toEqual({
      INDIRECT_DESC: 1n << 28n,
      EVENT_IDX: 1n << 29n,
      VERSION_1: 1n << 32n,
      ACCESS_PLATFORM: 1n << 33n,
      RING_PACKED: 1n << 34n,
      IN_ORDER: 1n << 35n,
      ORDER_PLATFORM: 1n << 36n,
      NOTIFICATION_DATA: 1n << 38n,
      NOTIF_CONFIG_DATA: 1n << 39n,
      RING_RESET: 1n << 40n,
      SUSPEND: 1n << 43n,
    });
    expect(queueFlags(0n)).toBe(0);
    expect(queueFlags((1n << 28n) | (1n << 29n) | (1n << 35n))).toBe(7);
  });

  it("F-B-04: a device holds 128 of them", async () => {
    const engine = await createEngine(SMALL);
    const [device] = engine.devices;
    for (const features of [0n, 1n << 69n, (1n << 128n) - 1n, Features.VERSION_1 | 1n]) {
      device.features = features;
      expect(device.features).toBe(features);
    }
  });

  it("F-D-02: the negotiated bit decides the format", async () => {
    const engine = await createEngine({ ...SMALL, queues: 2 });
    const split = engine.connect(0, { features: Features.VERSION_1 });
    const packed = engine.connect(1, { features: Features.VERSION_1 | Features.RING_PACKED });
    expect([split.driver.format, split.device.format]).toEqual(["split", "split"]);
    expect([packed.driver.format, packed.device.format]).toEqual(["packed", "packed"]);
  });
});
