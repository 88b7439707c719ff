/** The general allocator against a model that keeps a list of what is out. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import * as abi from "../../assembly/abi.ts";
import type { Engine } from "../../src/engine.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";

const HEADER = 8;

let engine: Engine;
/** Places for a control block and a region of at most 128 KiB, in the buffers of an engine. */
let control: number;
let region: number;

beforeAll(async () => {
  engine = await createEngine({ queueSize: 1, bufferBytes: 300_000 });
  control = engine.buffers.ptr;
  region = control + 8192;
});

/** Lays an allocator over `bytes` bytes; how many of them are free. */
function init(bytes: number, at = region): number {
  engine.wasm.tlsfInit(control, at, bytes);
  return engine.wasm.tlsfFreeBytes(control);
}

function word(ptr: number): number {
  return engine.u32[ptr >>> 2];
}
function setWord(ptr: number, value: number): void {
  engine.u32[ptr >>> 2] = value;
}

/** Takes and gives as told; every rule is checked after every step. */
function run(bytes: number, steps: readonly (readonly [give: boolean, value: number])[]): void {
  const { wasm } = engine;
  const start = init(bytes);
  const out: { ptr: number; bytes: number; fill: number }[] = [];
  for (const [give, value] of steps) {
    if (give && out.length > 0) {
      const [one] = out.splice(value % out.length, 1);
      const view = engine.bytes(one.ptr, one.bytes);
      if (!view.every((byte) => byte === one.fill)) throw new Error(`the block at ${one.ptr} was written`);
      wasm.tlsfGive(control, one.ptr);
    } else {
      const ptr = wasm.tlsfTake(control, value) >>> 0;
      if (ptr !== 0) {
        if (ptr % 16 !== 0) throw new Error(`${ptr} is not a multiple of 16`);
        if (ptr < region || ptr + value > region + bytes) throw new Error(`${ptr} is outside the region`);
        const overlap = out.find((other) => ptr < other.ptr + other.bytes && other.ptr < ptr + value);
        if (overlap) throw new Error(`${ptr} overlaps the block at ${overlap.ptr}`);
        const fill = out.length & 0xff;
        engine.bytes(ptr, value).fill(fill);
        out.push({ ptr, bytes: value, fill });
      }
    }
    if (wasm.tlsfCheck(control) !== abi.TLSF_SOUND) throw new Error("the check found damage");
    if (wasm.tlsfLiveBlocks(control) !== out.length) throw new Error("live blocks are not what is out");
  }
  for (const { ptr } of out) wasm.tlsfGive(control, ptr);
  if (wasm.tlsfFreeBytes(control) !== start) throw new Error("bytes were lost");
  // One free block of the start size: whatever the order, all neighbours have been merged.
  const first = word(control);
  if (word(first) !== (start | 1)) throw new Error("the free block is in pieces");
}

describe("the general allocator", () => {
  it("keeps blocks apart, aligned and sound through any takes and gives, and merges all in the end", () => {
    const size = fc.oneof(fc.nat(64), fc.nat(600), fc.nat(5000), fc.constantFrom(0, 1, 8, 9, 255, 256, 257));
    fc.assert(
      fc.property(
        fc.integer({ min: 256, max: 40_000 }),
        fc.array(
          fc.oneof(
            size.map((value) => [false, value] as const),
            fc.nat().map((value) => [true, value] as const),
          ),
          {
            maxLength: 60,
          },
        ),
        run,
      ),
      { seed: 70, numRuns: 150 },
    );
  });

  it("does the same in a long run that keeps the region nearly full", () => {
    const random = new Random(71);
    const steps = Array.from({ length: 4000 }, () => {
      const give = random.chance(45);
      return [
        give,
        give ? random.int(0, 1000) : random.pick([16, 64, 100, 304, random.int(1, 2000)]),
      ] as const;
    });
    run(30_000, steps);
  });

  it.each([
    0, 1, 8, 9, 15, 16, 23, 24, 25, 239, 240, 247, 248, 249, 255, 256, 257, 511, 512, 513, 1023, 4095, 4096,
    65536,
  ])("serves %i bytes from a region that is large enough, again and again", (bytes) => {
    const { wasm } = engine;
    init(bytes + (bytes >>> 3) + 64);
    for (let round = 0; round < 3; round++) {
      const ptr = wasm.tlsfTake(control, bytes);
      expect(ptr).not.toBe(0);
      expect(wasm.tlsfTake(control, 100_000)).toBe(0);
      wasm.tlsfGive(control, ptr);
      expect(wasm.tlsfCheck(control)).toBe(abi.TLSF_SOUND);
      expect(wasm.tlsfLiveBlocks(control)).toBe(0);
    }
  });

  it.each([
    [1, 1],
    [7, 16],
    [100, 64],
    [30, 320],
    [5, 4096],
  ])("a region for %i blocks of %i bytes holds that many", (count, bytes) => {
    const { wasm } = engine;
    init(wasm.tlsfRegionBytes(count, bytes));
    const taken = Array.from({ length: count }, () => wasm.tlsfTake(control, bytes));
    expect(taken).not.toContain(0);
    expect(new Set(taken).size).toBe(count);
    for (const ptr of taken) wasm.tlsfGive(control, ptr);
    expect(wasm.tlsfCheck(control)).toBe(abi.TLSF_SOUND);
  });

  it("answers 0 for what is too large, also for 2^30 and 2^32 - 1, and goes on", () => {
    const { wasm } = engine;
    const free = init(10_000);
    for (const bytes of [
      free - HEADER + 1,
      10_000,
      1 << 30,
      (1 << 30) + 1,
      0x7fff_ffff,
      0xffff_fff0,
      0xffff_ffff,
    ]) {
      expect(wasm.tlsfTake(control, bytes)).toBe(0);
    }
    expect(wasm.tlsfCheck(control)).toBe(abi.TLSF_SOUND);
    // Of the largest block, what rounding up to the next list leaves can be had.
    expect(wasm.tlsfTake(control, free - (free >>> 4) - HEADER)).not.toBe(0);
  });

  it("recovers from being full", () => {
    const { wasm } = engine;
    const free = init(20_000);
    for (let lap = 0; lap < 5; lap++) {
      const taken: number[] = [];
      for (let ptr = wasm.tlsfTake(control, 100); ptr !== 0; ptr = wasm.tlsfTake(control, 100))
        taken.push(ptr);
      expect(taken.length).toBeGreaterThan(150);
      expect(wasm.tlsfTake(control, 100)).toBe(0);
      expect(wasm.tlsfCheck(control)).toBe(abi.TLSF_SOUND);
      wasm.tlsfGive(control, taken[lap * 7]);
      expect(wasm.tlsfTake(control, 100)).toBe(taken[lap * 7]);
      for (const ptr of new Random(lap).shuffle(taken)) wasm.tlsfGive(control, ptr);
      expect(wasm.tlsfFreeBytes(control)).toBe(free);
    }
  });

  it("works wherever its region starts and ends", () => {
    const { wasm } = engine;
    for (let offset = 0; offset < 16; offset++) {
      for (const bytes of [64, 65, 79, 500]) {
        const guard = engine.bytes(region, 600);
        guard.fill(0xcc);
        init(bytes, region + offset);
        const ptr = wasm.tlsfTake(control, 16);
        expect(ptr % 16).toBe(0);
        expect(ptr).toBeGreaterThanOrEqual(region + offset);
        expect(ptr + 16).toBeLessThanOrEqual(region + offset + bytes);
        expect(wasm.tlsfCheck(control)).toBe(abi.TLSF_SOUND);
        for (let at = 0; at < offset; at++) expect(guard[at]).toBe(0xcc);
        expect(guard.subarray(offset + bytes).every((byte) => byte === 0xcc)).toBe(true);
      }
    }
  });
});

describe("the allocator's check", () => {
  /** Free, taken, free, taken, and the free rest: their payloads. */
  function layout(): number[] {
    const { wasm } = engine;
    init(20_000);
    const taken = [64, 64, 320, 64].map((bytes) => wasm.tlsfTake(control, bytes));
    wasm.tlsfGive(control, taken[0]);
    wasm.tlsfGive(control, taken[2]);
    expect(wasm.tlsfCheck(control)).toBe(abi.TLSF_SOUND);
    return taken;
  }

  it.each([
    ["the size of a block is 0", () => -HEADER, () => 0, abi.TLSF_BAD_SIZE],
    ["a size is not a multiple of 16", () => -HEADER, (old: number) => old + 8, abi.TLSF_BAD_SIZE],
    ["a size runs past the end", () => -HEADER, () => 0x7fff_fff0, abi.TLSF_BAD_SIZE],
    [
      "the link to the block below is wrong",
      () => -HEADER + 4,
      (old: number) => old + 16,
      abi.TLSF_BAD_PREVIOUS,
    ],
  ])("finds that %s, in every block", (_, offset, damage, found) => {
    for (let block = 0; block < 4; block++) {
      const at = layout()[block] + offset();
      const old = word(at);
      setWord(at, damage(old));
      expect(engine.wasm.tlsfCheck(control)).toBe(found);
      setWord(at, old);
      expect(engine.wasm.tlsfCheck(control)).toBe(abi.TLSF_SOUND);
    }
  });

  it("finds two free blocks side by side, and a free block that is in no list", () => {
    const taken = layout();
    setWord(taken[1] - HEADER, word(taken[1] - HEADER) | 1);
    expect(engine.wasm.tlsfCheck(control)).toBe(abi.TLSF_UNMERGED);
    const full = layout();
    // What was free is said to be taken: it is still in its list.
    setWord(full[0] - HEADER, word(full[0] - HEADER) & ~1);
    expect(engine.wasm.tlsfCheck(control)).toBe(abi.TLSF_BAD_LIST);
  });

  it("finds a list link that leads to a taken block, back to itself, or below or past the region", () => {
    for (const link of [
      (taken: number[]) => taken[1] - HEADER,
      (taken: number[]) => taken[0] - HEADER,
      () => region - 64,
      () => region + 40_000,
      () => 0x10,
      () => engine.memory.buffer.byteLength - 8,
      () => 0xffff_fff8,
    ]) {
      const taken = layout();
      setWord(taken[0], link(taken));
      expect(engine.wasm.tlsfCheck(control)).toBe(abi.TLSF_BAD_LIST);
    }
  });

  it("finds a list link back that is wrong, and a block that is in the list of another size", () => {
    const taken = layout();
    setWord(taken[0] + 4, taken[2] - HEADER);
    expect(engine.wasm.tlsfCheck(control)).toBe(abi.TLSF_BAD_LIST);
    const again = layout();
    setWord(again[2], again[0] - HEADER);
    setWord(again[0] + 4, again[2] - HEADER);
    expect(engine.wasm.tlsfCheck(control)).toBe(abi.TLSF_BAD_LIST);
  });

  it("finds every bit of the maps that is set or missing", () => {
    layout();
    // The first-level map is the third word; the second-level maps start behind the fourth.
    const maps = [control + 8, ...Array.from({ length: 25 }, (_, fl) => control + 16 + 4 * fl)];
    for (const map of maps) {
      const bits = map === maps[0] ? 25 : 16;
      for (let bit = 0; bit < bits; bit++) {
        setWord(map, word(map) ^ (1 << bit));
        expect(engine.wasm.tlsfCheck(control)).toBe(abi.TLSF_BAD_MAP);
        setWord(map, word(map) ^ (1 << bit));
      }
    }
    expect(engine.wasm.tlsfCheck(control)).toBe(abi.TLSF_SOUND);
  });
});
