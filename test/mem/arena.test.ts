/** The memory map: what is taken, how it lies, the seal, and what is never touched. */
import { describe, expect, it } from "vitest";
import type { Engine } from "../../src/engine.ts";
import { MemoryTooSmallError } from "../../src/errors.ts";
import { type EngineLimits, planRegions, stagingBytes } from "../../src/layout.ts";
import { Canaries } from "../support/canaries.ts";
import { createEngine, wasmModule } from "../support/engine.ts";

const PAGE = 65536;
const SMALL = { queueSize: 16, batch: 4, bufferBytes: 4096 };

/** A few buffers through a queue of each format. */
function exercise(engine: Engine, rounds = 30): void {
  for (const format of ["split", "packed"] as const) {
    const { driver, device } = engine.connect(0, { format, tables: "grow" });
    const segment = { ptr: engine.buffers.ptr, bytes: 64 };
    for (let token = 0; token < rounds; token++) {
      driver.add({ readable: [segment], writable: [segment, segment], token });
      driver.publish();
      const [chain] = device.pop();
      device.markUsed(chain.handle, 100);
      device.publishUsed();
      expect(driver.reclaim()).toEqual([{ token, len: 100 }]);
    }
    driver.stop();
    device.stop();
    driver.detach();
  }
}

describe("the arena", () => {
  it("gives every region a place of its own, aligned, in its part, and in the order of the map", async () => {
    for (const limits of [SMALL, { queues: 3, devices: 2, nodes: 4, queueSize: 7, scratchBytes: 100 }]) {
      const engine = await createEngine(limits);
      const placed = engine.regions.filter(({ bytes }) => bytes > 0);
      for (const part of ["private", "shared"] as const) {
        let next = part === "private" ? engine.base + 1 : engine.sharedBase;
        for (const region of placed.filter((one) => one.part === part)) {
          expect(region.ptr % region.align).toBe(0);
          expect(region.ptr).toBeGreaterThanOrEqual(next);
          next = region.ptr + region.bytes;
        }
        expect(next).toBeLessThanOrEqual(part === "private" ? engine.sharedBase : engine.end);
      }
      expect(new Set(engine.regions.map(({ name }) => name)).size).toBe(engine.regions.length);
    }
  });

  it("hands out nothing after the seal", async () => {
    const { wasm, base } = await createEngine({ ...SMALL, memoryBytes: 4 * PAGE });
    for (const bytes of [0, 1, 64, 4096]) {
      expect(wasm.arenaTakePrivate(base, bytes, 64)).toBe(0);
      expect(wasm.arenaTakeShared(base, bytes, 64)).toBe(0);
    }
  });

  it("hands out aligned places from each part until it is full, and nothing beyond its end", async () => {
    const { wasm, memory } = await createEngine({ ...SMALL, memoryBytes: 4 * PAGE });
    const [base, shared, end] = [PAGE * 2, PAGE * 2 + 4096, PAGE * 2 + 8192];
    wasm.arenaInit(base, shared, end);
    for (const take of [wasm.arenaTakePrivate, wasm.arenaTakeShared]) {
      const limit = take === wasm.arenaTakePrivate ? shared : end;
      let next = take === wasm.arenaTakePrivate ? base : shared;
      for (const [bytes, align] of [
        [1, 64],
        [3, 16],
        [100, 1],
        [0, 64],
        [1000, 512],
      ]) {
        const ptr = take(base, bytes, align);
        expect(ptr % align).toBe(0);
        expect(ptr).toBeGreaterThanOrEqual(next);
        next = ptr + bytes;
      }
      const rest = limit - next;
      expect(take(base, rest + 1, 1)).toBe(0);
      expect(take(base, 0xffff_ffff, 64)).toBe(0);
      expect(take(base, rest, 1)).toBe(next);
      expect(take(base, 1, 1)).toBe(0);
    }
    expect(memory.buffer.byteLength).toBe(4 * PAGE);
  });

  it("says exactly how many bytes are needed: one less fails, that many are enough", async () => {
    const limitsOf: (Partial<EngineLimits> & { queueSize: number })[] = [
      SMALL,
      { queueSize: 256 },
      { queueSize: 128, queues: 2, nodes: 2, devices: 2, scratchBytes: 5000 },
    ];
    for (const limits of limitsOf) {
      const error = await createEngine({ ...limits, memoryBytes: 1 }).catch((one: unknown) => one);
      if (!(error instanceof MemoryTooSmallError)) throw new Error("one byte was enough");
      const { needed, given } = error;
      expect(given).toBe(1);
      expect(error.code).toBe("memory-too-small");
      expect(error.message).toBe(`these options need ${needed} bytes of memory, but only 1 are given`);
      await expect(createEngine({ ...limits, memoryBytes: needed - 1 })).rejects.toMatchObject({ needed });
      const engine = await createEngine({ ...limits, memoryBytes: needed });
      expect(engine.end - engine.base).toBe(needed);
      exercise(engine, 3);
      const memory = new WebAssembly.Memory({ initial: Math.ceil(needed / PAGE) + 1 });
      const at = (length: number): Promise<Engine> =>
        createEngine({ ...limits, memory, region: { offset: 64, length } });
      await expect(at(needed - 1)).rejects.toMatchObject({ needed, given: needed - 1 });
      exercise(await at(needed), 3);
    }
  });

  it("is no larger than the sum of its regions and their alignment", async () => {
    const engine = await createEngine(SMALL);
    const requests = planRegions(engine.wasm, engine.limits);
    const bytes = requests.reduce((sum, region) => sum + region.bytes, 0);
    expect(engine.end - engine.base).toBeLessThan(bytes + 64 * (requests.length + 3));
    expect(requests.map(({ name }) => name)).toEqual(engine.regions.map(({ name }) => name));
    expect(stagingBytes(engine.limits).reclaimed).toBe(4 * 8);
  });

  it("has an end: its own memory can't grow", async () => {
    const { memory } = await createEngine(SMALL);
    expect(() => memory.grow(1)).toThrow(RangeError);
  });
});

describe("an engine in a memory that somebody else owns", () => {
  it("touches nothing outside its region, whatever it does", async () => {
    for (const offset of [0, 64, 3 * PAGE + 4096]) {
      const memory = new WebAssembly.Memory({ initial: 8 });
      const { end } = await createEngine(SMALL);
      const span = { ptr: offset, bytes: end };
      const canaries = new Canaries(memory, { ptr: 0, bytes: 8 * PAGE }, [span]);
      const engine = await createEngine({ ...SMALL, memory, region: { offset, length: end } });
      expect(engine.base).toBe(offset);
      expect(engine.end).toBe(offset + end);
      expect(canaries.bytes).toBe(8 * PAGE - end);
      exercise(engine);
      expect(canaries.dead()).toEqual([]);
    }
  });

  it("clears what lay in its region before", async () => {
    const memory = new WebAssembly.Memory({ initial: 2 });
    new Uint8Array(memory.buffer).fill(0xee);
    const engine = await createEngine({ ...SMALL, memory });
    expect(engine.bytes(engine.buffers.ptr, 4096).every((byte) => byte === 0)).toBe(true);
    exercise(engine);
  });

  it("goes on when the memory grows, with views that are made again", async () => {
    const memory = new WebAssembly.Memory({ initial: 2 });
    const engine = await createEngine({ ...SMALL, memory });
    const { driver, device } = engine.connect(0);
    const segment = { ptr: engine.buffers.ptr, bytes: 64 };
    const staged = driver.staged;
    for (let token = 0; token < 60; token++) {
      if (token % 10 === 5) memory.grow(1);
      expect(driver.add({ readable: [segment], writable: [segment], token })).toBe(true);
      if (token % 10 === 6) memory.grow(1);
      driver.publish();
      const [chain] = device.pop();
      if (token % 10 === 7) memory.grow(1);
      device.markUsed(chain.handle, 10);
      device.publishUsed();
      if (token % 10 === 8) memory.grow(1);
      expect(driver.reclaim()).toEqual([{ token, len: 10 }]);
    }
    expect(staged.length).toBe(0);
    expect(driver.staged.length).toBeGreaterThan(0);
    expect(driver.counters().reclaimed).toBe(60);
    expect(engine.u32.length * 4).toBe(memory.buffer.byteLength);
  });

  it("shares the memory with another engine in another region", async () => {
    const memory = new WebAssembly.Memory({ initial: 8 });
    const length = 3 * PAGE;
    const first = await createEngine({ ...SMALL, memory, region: { offset: 0, length } });
    const second = await createEngine({ ...SMALL, memory, region: { offset: 4 * PAGE, length } });
    exercise(first);
    exercise(second);
    exercise(first);
  });

  it("runs over a shared memory with the shared build, and refuses the other one there", async () => {
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 8, shared: true });
    const engine = await createEngine({ ...SMALL, memory });
    exercise(engine);
    memory.grow(1);
    exercise(engine);
    const module = await wasmModule("vring");
    await expect(createEngine({ ...SMALL, memory, module })).rejects.toThrow(WebAssembly.LinkError);
  });

  it.each([-64, 1, 32, 100, 0.5, Number.NaN])(
    "refuses a region at %d: a place is a multiple of 64",
    async (offset) => {
      const memory = new WebAssembly.Memory({ initial: 4 });
      await expect(
        createEngine({ ...SMALL, memory, region: { offset, length: 3 * PAGE } }),
      ).rejects.toMatchObject({ code: "config", message: expect.stringContaining(`${offset}`) });
    },
  );

  it("refuses a region that ends past the memory, and one without a memory", async () => {
    const memory = new WebAssembly.Memory({ initial: 4 });
    await expect(
      createEngine({ ...SMALL, memory, region: { offset: PAGE, length: 4 * PAGE } }),
    ).rejects.toMatchObject({ code: "config", message: expect.stringContaining("262144 bytes") });
    await expect(createEngine({ ...SMALL, region: { offset: 0, length: PAGE } })).rejects.toMatchObject({
      code: "config",
    });
  });
});
