/** The IOTLB against one that is written as its rules are said: what hits, what misses, what is replaced. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { DMA_TO_DEVICE, IOMMU_FAULT, IOMMU_SOUND } from "../../assembly/abi.ts";
import type { Engine } from "../../src/engine.ts";
import { Domain, PAGE } from "../support/domain.ts";
import { createEngine } from "../support/engine.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ queueSize: 1, bufferBytes: 4 << 20 });
});

/** Sets by the low bits of the page number; its own way first, then the lowest empty one, then in turn. */
class TlbModel {
  readonly #sets: { ways: (number | undefined)[]; turn: number }[];
  readonly #ways: number;

  constructor(entries: number, ways: number) {
    this.#ways = ways;
    this.#sets = Array.from({ length: entries / ways }, () => ({
      ways: Array(ways).fill(undefined),
      turn: 0,
    }));
  }
  /** Whether a page hits; if not it is put in. */
  access(pfn: number): boolean {
    const set = this.#sets[pfn % this.#sets.length];
    if (set.ways.includes(pfn)) return true;
    // Only the first four ways are anybody's own.
    const own = Math.floor(pfn / this.#sets.length) % Math.min(this.#ways, 4);
    let way = set.ways[own] === undefined ? own : set.ways.indexOf(undefined);
    if (way < 0) {
      way = set.turn;
      set.turn = (set.turn + 1) % this.#ways;
    }
    set.ways[way] = pfn;
    return false;
  }
  drop(pfn: number): void {
    const { ways } = this.#sets[pfn % this.#sets.length];
    const way = ways.indexOf(pfn);
    if (way >= 0) ways[way] = undefined;
  }
}

const SHAPES = [
  [1, 1],
  [2, 1],
  [2, 2],
  [4, 4],
  [8, 2],
  [16, 1],
  [16, 4],
  [32, 8],
  [32, 32],
  [64, 4],
  [128, 128],
] as const;

describe.each(SHAPES)("an IOTLB of %i entries in %i ways", (entries, ways) => {
  it("hits and misses as its rules say, access by access", () => {
    const step = fc.record({ kind: fc.nat(9), pick: fc.nat(299), pages: fc.integer({ min: 1, max: 6 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const domain = new Domain(engine, { entries, ways, aperturePages: 512 });
        const model = new TlbModel(entries, ways);
        const live: { iova: number; pages: number }[] = [];
        let [hits, misses, invalidations] = [0n, 0n, 0n];
        for (const { kind, pick, pages } of steps) {
          if (kind === 0 || live.length < 3) {
            live.push({ iova: domain.map(pick * PAGE, pages * PAGE), pages });
            if (live.length > 40) kill(0);
          } else if (kind === 1) {
            kill(pick % live.length);
          } else {
            const range = live[pick % live.length];
            const iova = range.iova + (pick % range.pages) * PAGE + pick;
            if (model.access(Math.floor(iova / PAGE))) hits++;
            else misses++;
            expect(domain.read(iova)).toBe(domain.walk(iova, false));
          }
          expect(domain.counts).toMatchObject({ hits, misses, invalidations });
        }
        expect(domain.check()).toBe(IOMMU_SOUND);

        function kill(index: number): void {
          const [range] = live.splice(index, 1);
          expect(domain.unmap(range.iova, range.pages * PAGE)).toBe(true);
          invalidations++;
          for (let k = 0; k < range.pages; k++) model.drop(range.iova / PAGE + k);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("holds as many pages in a row as it has entries, and after one more of each set misses them in turn", () => {
    const domain = new Domain(engine, { entries, ways, aperturePages: 1024 });
    const iova = domain.map(0, 256 * PAGE);
    const lap = (from: number, pages: number): bigint => {
      const before = domain.counts.misses;
      for (let k = from; k < from + pages; k++) expect(domain.read(iova + k * PAGE)).toBe(k * PAGE);
      return domain.counts.misses - before;
    };
    expect(lap(0, entries)).toBe(BigInt(entries));
    expect(lap(0, entries)).toBe(0n);
    const sets = entries / ways;
    expect(lap(entries, sets)).toBe(BigInt(sets));
    // The first way of every set was replaced; putting its page back replaces the second, and so on.
    expect(lap(0, entries)).toBe(BigInt(entries));
  });

  it("drops a range that is unmapped and nothing else", () => {
    const domain = new Domain(engine, { entries, ways });
    const pages = Math.max(1, entries / 2);
    const first = domain.map(0, pages * PAGE);
    const second = domain.map(pages * PAGE, pages * PAGE);
    for (let k = 0; k < pages; k++) domain.read(first + k * PAGE);
    domain.unmap(first, pages * PAGE);
    for (let k = 0; k < pages; k++) expect(domain.read(first + k * PAGE)).toBe(IOMMU_FAULT);
    expect(domain.counts).toMatchObject({ hits: 0n, misses: BigInt(2 * pages), invalidations: 1n });
    for (let k = 0; k < pages; k++) domain.read(second + k * PAGE);
    const other = domain.map(0, PAGE);
    domain.unmap(other, PAGE);
    for (let k = 0; k < pages; k++) domain.read(second + k * PAGE);
    expect(domain.counts).toMatchObject({
      hits: BigInt(pages),
      misses: BigInt(3 * pages),
      invalidations: 2n,
    });
  });
});

describe("what an IOTLB must not do", () => {
  it("takes an empty way for page 0, also when something was dropped from it", () => {
    for (const [entries, ways] of SHAPES) {
      const domain = new Domain(engine, { entries, ways, aperturePages: 1024 });
      const iova = domain.map(0x30000, 256 * PAGE);
      for (let k = 0; k < 256; k++) domain.read(iova + k * PAGE);
      domain.unmap(iova, 256 * PAGE);
      for (const at of [0, 1, PAGE - 1]) {
        expect(domain.read(at)).toBe(IOMMU_FAULT);
        expect(domain.write(at)).toBe(IOMMU_FAULT);
      }
      expect(domain.counts.hits).toBe(0n);
    }
  });

  it("keeps what is not mapped: the next access finds it once it is", () => {
    const domain = new Domain(engine);
    const iova = domain.map(0x30000, PAGE);
    domain.unmap(iova, PAGE);
    for (let k = 0; k < 3; k++) expect(domain.read(iova)).toBe(IOMMU_FAULT);
    expect(domain.counts).toMatchObject({ hits: 0n, misses: 3n });
    expect(domain.map(0x50000, PAGE)).toBe(iova);
    expect(domain.read(iova)).toBe(0x50000);
  });

  it("lets a write through that the mapping forbids, because a read was let through before", () => {
    const domain = new Domain(engine);
    const iova = domain.map(0x30000, PAGE, DMA_TO_DEVICE);
    expect(domain.read(iova)).toBe(0x30000);
    expect(domain.write(iova)).toBe(IOMMU_FAULT);
    expect(domain.read(iova + 1)).toBe(0x30001);
    expect(domain.counts).toMatchObject({ hits: 2n, misses: 1n });
  });
});
