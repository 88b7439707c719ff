/** IOMMU domains against a map of the mappings that are live: whatever is done, in whatever order. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import {
  DMA_BIDIRECTIONAL,
  DMA_E_NO_IOVA,
  DMA_E_NO_TABLE,
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  DMA_TO_DEVICE,
  IOMMU_FAULT,
  IOMMU_SOUND,
} from "../../assembly/abi.ts";
import type { Engine } from "../../src/engine.ts";
import { Canaries } from "../support/canaries.ts";
import { Domain, type DomainSettings, PAGE } from "../support/domain.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ queueSize: 1, bufferBytes: 8 << 20 });
});

interface Mapping {
  place: number;
  bytes: number;
  direction: number;
}

const DIRECTIONS = [DMA_BIDIRECTIONAL, DMA_TO_DEVICE, DMA_FROM_DEVICE];

/** A domain and the mappings that it should have. */
class Checked {
  readonly domain: Domain;
  readonly live = new Map<number, Mapping>();
  /** Under iommu-lazy: first pages and page counts of what waits for the flush. */
  #waiting: { page: number; size: number }[] = [];
  #flushes = 0n;

  constructor(domain: Domain) {
    this.domain = domain;
  }

  map(mapping: Mapping): boolean {
    const { place, bytes, direction } = mapping;
    const before = this.domain.counts;
    const iova = this.domain.map(place, bytes, direction);
    if (iova === DMA_MAPPING_ERROR) {
      expect([DMA_E_NO_IOVA, DMA_E_NO_TABLE]).toContain(this.domain.failure);
      expect(this.domain.counts).toEqual(before);
      return false;
    }
    const size = sizeOf(iova, bytes);
    const page = Math.floor(iova / PAGE);
    expect(iova % PAGE).toBe(place % PAGE);
    expect(page).toBeGreaterThan(0);
    expect(page % size).toBe(0);
    expect(page + size).toBeLessThanOrEqual(this.domain.settings.aperturePages);
    for (const [other, { bytes: length }] of this.live) {
      this.#apart(page, size, Math.floor(other / PAGE), sizeOf(other, length));
    }
    for (const waiting of this.#waiting) this.#apart(page, size, waiting.page, waiting.size);
    this.live.set(iova, mapping);
    return true;
  }

  unmap(iova: number): void {
    const mapping = this.live.get(iova);
    if (mapping === undefined) throw new Error(`nothing is mapped at ${iova}`);
    expect(this.domain.unmap(iova, mapping.bytes)).toBe(true);
    this.live.delete(iova);
    this.#flushed();
    if (this.domain.settings.lazy) {
      this.#waiting.push({ page: Math.floor(iova / PAGE), size: sizeOf(iova, mapping.bytes) });
    }
    expect(this.domain.counts.waiting).toBe(this.#waiting.length);
  }

  tick(): void {
    this.domain.tick();
    this.#flushed();
    expect(this.#waiting).toEqual([]);
  }

  /** Every edge of a mapping, from both sides, through the IOTLB and without. */
  edges(iova: number): void {
    const mapping = this.live.get(iova);
    if (mapping === undefined) throw new Error(`nothing is mapped at ${iova}`);
    const { place, bytes, direction } = mapping;
    const last = iova + bytes - 1;
    for (const at of [iova, last, iova - (iova % PAGE), last - (last % PAGE) + PAGE - 1]) {
      const there = place + at - iova;
      const expected = [
        direction === DMA_FROM_DEVICE ? IOMMU_FAULT : there,
        direction === DMA_TO_DEVICE ? IOMMU_FAULT : there,
      ];
      expect([this.domain.read(at), this.domain.write(at)]).toEqual(expected);
      expect([this.domain.walk(at, false), this.domain.walk(at, true)]).toEqual(expected);
      expect(this.domain.place(at)).toBe(there);
    }
    for (const at of [iova - (iova % PAGE) - 1, last - (last % PAGE) + PAGE]) {
      if (this.#pages().has(Math.floor(at / PAGE))) continue;
      expect(this.domain.walk(at, false)).toBe(IOMMU_FAULT);
      expect(this.domain.walk(at, true)).toBe(IOMMU_FAULT);
    }
  }

  sound(): void {
    expect(this.domain.check()).toBe(IOMMU_SOUND);
    expect(this.domain.counts).toMatchObject({
      liveMappings: this.live.size,
      livePages: this.#pages().size,
    });
  }

  #pages(): Set<number> {
    const pages = new Set<number>();
    for (const [iova, { bytes }] of this.live) {
      for (let page = Math.floor(iova / PAGE); page * PAGE < iova + bytes; page++) pages.add(page);
    }
    return pages;
  }

  #apart(page: number, size: number, other: number, otherSize: number): void {
    if (page < other + otherSize && other < page + size) {
      throw new Error(`pages ${page} + ${size} overlap ${other} + ${otherSize}`);
    }
  }

  #flushed(): void {
    const { flushes } = this.domain.counts;
    if (flushes > this.#flushes) this.#waiting = [];
    this.#flushes = flushes;
  }
}

/** Pages of a mapping's range, rounded up to a power of two. */
function sizeOf(iova: number, bytes: number): number {
  const pages = Math.ceil(((iova % PAGE) + bytes) / PAGE);
  return 2 ** Math.ceil(Math.log2(pages));
}

const step = fc.record({
  kind: fc.nat(9),
  pick: fc.nat(),
  place: fc.oneof(
    fc.nat(0xffff_0000),
    fc.nat(0xf_ffff).map((page) => page * PAGE),
  ),
  bytes: fc.oneof(
    fc.integer({ min: 1, max: PAGE }),
    fc.integer({ min: 1, max: 3 * PAGE }),
    fc.integer({ min: 1, max: 70 }).map((pages) => pages * PAGE),
  ),
  direction: fc.constantFrom(...DIRECTIONS),
});

describe.each([
  ["iommu-strict", false],
  ["iommu-lazy", true],
])("a domain of %s", (_, lazy) => {
  it.each<[string, Partial<DomainSettings>]>([
    ["with room", {}],
    ["with 4 levels", { levels: 4, aperturePages: 2000 }],
    ["with few addresses", { aperturePages: 100, slots: 7 }],
    ["with few tables", { aperturePages: 2048, tables: 3, slots: 3 }],
    ["with a small IOTLB", { aperturePages: 700, entries: 4, ways: 2, slots: 20 }],
  ])("%s: no ranges overlap, every edge is exact, nothing is lost", (_, settings) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const checked = new Checked(new Domain(engine, { lazy, ...settings }));
        for (const { kind, pick, place, bytes, direction } of steps) {
          const handles = [...checked.live.keys()];
          const one = handles[pick % handles.length];
          if (kind < 4 || handles.length === 0) {
            if (place + bytes <= 2 ** 32) checked.map({ place, bytes, direction });
          } else if (kind < 7) checked.unmap(one);
          else if (kind < 9) checked.edges(one);
          else checked.tick();
          checked.sound();
        }
        for (const iova of checked.live.keys()) {
          checked.edges(iova);
          checked.unmap(iova);
        }
        checked.tick();
        checked.sound();
        expect(checked.domain.counts.tablesLive).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  it("loses nothing in long runs, whatever fails on the way", () => {
    for (const [seed, settings] of [
      {},
      { aperturePages: 600, tables: 3 },
      { aperturePages: 8192, tables: 4, levels: 4, slots: 64 } as const,
    ].entries()) {
      const random = new Random(seed);
      const checked = new Checked(new Domain(engine, { lazy, ...settings }));
      let failures = 0;
      for (let turn = 0; turn < 4000; turn++) {
        const handles = [...checked.live.keys()];
        // Longer and longer, then shorter and shorter.
        const wanted = 60 + 60 * Math.sin(turn / 300);
        if (handles.length < wanted || random.chance(10)) {
          const pages = random.chance(70) ? 1 : random.int(1, 40);
          const bytes = random.int((pages - 1) * PAGE + 1, pages * PAGE);
          const place = random.int(0, 0xfff0_0000);
          if (!checked.map({ place, bytes, direction: random.pick(DIRECTIONS) })) {
            failures++;
            if (handles.length > 0) checked.unmap(random.pick(handles));
          }
        } else {
          checked.unmap(random.pick(handles));
        }
        if (turn % 50 === 0) checked.sound();
        if (random.chance(1)) checked.tick();
      }
      if (settings.tables !== undefined) expect(failures).toBeGreaterThan(10);
      for (const iova of checked.live.keys()) checked.unmap(iova);
      checked.tick();
      checked.sound();
      expect(checked.domain.counts).toMatchObject({
        liveMappings: 0,
        livePages: 0,
        tablesLive: 0,
        waiting: 0,
      });
    }
  });

  it("comes to the same addresses and counters in every run", () => {
    const runs = [1, 2].map(() => {
      const random = new Random(3);
      const checked = new Checked(new Domain(engine, { lazy, entries: 8, ways: 2 }));
      const seen: unknown[] = [];
      for (let turn = 0; turn < 600; turn++) {
        const handles = [...checked.live.keys()];
        if (handles.length < 20 || random.chance(40)) {
          checked.map({
            place: turn * PAGE,
            bytes: random.int(1, 9 * PAGE),
            direction: random.pick(DIRECTIONS),
          });
        } else checked.unmap(random.pick(handles));
        for (const iova of checked.live.keys()) seen.push(checked.domain.read(iova));
      }
      return [...seen, checked.domain.counts];
    });
    expect(runs[0]).toEqual(runs[1]);
  });

  it("stays within its bytes, the last table and the last slot included", () => {
    for (const settings of [
      { aperturePages: 2, tables: 2, entries: 1, ways: 1, slots: 2 },
      { aperturePages: 65, tables: 3, entries: 8, ways: 8, slots: 5 },
      { aperturePages: 3000, tables: 7, entries: 32, ways: 2, slots: 255 },
    ]) {
      const domain = new Domain(engine, { lazy, ...settings });
      const whole = { ptr: domain.ptr - 256, bytes: domain.end - domain.ptr + 512 };
      const bytes = engine.wasm.iommuDomainBytes(
        settings.aperturePages,
        settings.tables,
        settings.entries,
        settings.ways,
        settings.slots,
      );
      const canaries = new Canaries(engine.memory, whole, [{ ptr: domain.ptr, bytes }]);
      expect(canaries.bytes).toBeGreaterThan(512);
      const handles: number[] = [];
      for (let round = 0; round < 3; round++) {
        for (let iova = domain.map(0, PAGE); iova !== DMA_MAPPING_ERROR; iova = domain.map(0, PAGE)) {
          handles.push(iova);
          domain.read(iova);
        }
        for (const iova of handles.splice(0)) domain.unmap(iova, PAGE);
        domain.tick();
      }
      expect(canaries.dead()).toEqual([]);
      expect(domain.check()).toBe(IOMMU_SOUND);
    }
  });
});

describe("two domains", () => {
  it("never see each other's memory, though their addresses are the same", () => {
    const one = new Domain(engine, { aperturePages: 512 });
    const two = new Domain(engine, { aperturePages: 512, lazy: true }, one.end);
    const places = new Map<Domain, Map<number, number>>([
      [one, new Map()],
      [two, new Map()],
    ]);
    const random = new Random(5);
    for (let turn = 0; turn < 5000; turn++) {
      const [domain, own] = random.pick([...places]);
      // Whose memory it is can be told from the place.
      const base = domain === one ? 0x1000_0000 : 0x2000_0000;
      if (own.size < 30 || random.chance(30)) {
        const place = base + turn * PAGE;
        const iova = domain.map(place, PAGE);
        if (iova !== DMA_MAPPING_ERROR) own.set(iova, place);
      } else {
        const iova = random.pick([...own.keys()]);
        domain.unmap(iova, PAGE);
        own.delete(iova);
      }
      const [other, theirs] = random.pick([...places]);
      const iova = random.int(0, 511) * PAGE;
      for (const reached of [other.read(iova), other.write(iova)]) {
        if (theirs.has(iova)) expect(reached).toBe(theirs.get(iova));
        else if (reached !== IOMMU_FAULT) {
          expect(other).toBe(two);
          expect(reached).toBeGreaterThanOrEqual(0x2000_0000);
        }
      }
    }
    expect(two.counts.staleAccesses).toBeGreaterThan(0n);
    expect(one.counts.staleAccesses).toBe(0n);
    expect([one.check(), two.check()]).toEqual([IOMMU_SOUND, IOMMU_SOUND]);
  });
});
