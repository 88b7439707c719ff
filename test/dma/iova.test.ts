/** I/O virtual addresses: the allocator against a list of pages, the magazines against Linux's rules by hand. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { DMA_E_NO_IOVA, DMA_MAPPING_ERROR, IOMMU_SOUND } from "../../assembly/abi.ts";
import type { Engine } from "../../src/engine.ts";
import { Domain, PAGE } from "../support/domain.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";

const MAGAZINE = 127;
const DEPOT = 32;
const ORDERS = 6;

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ queueSize: 1, bufferBytes: 8 << 20 });
});

interface Range {
  pfn: number;
  order: number;
}

/** The allocator of a domain without its magazines. */
class Allocator {
  readonly domain: Domain;
  readonly #at: number;

  constructor(aperturePages: number) {
    this.domain = new Domain(engine, { aperturePages });
    this.#at = this.domain.ptr + engine.wasm.DOMAIN_IOVA.value;
  }
  take(order: number): number {
    return engine.wasm.iovaTake(this.#at, order);
  }
  give({ pfn, order }: Range): void {
    engine.wasm.iovaGive(this.#at, pfn, order);
  }
}

/** Pages as flags: the highest block that fits is found by looking at all of them. */
class Pages {
  readonly #taken: boolean[];

  constructor(pages: number) {
    this.#taken = Array.from({ length: pages }, (_, pfn) => pfn === 0 || pfn === 2 ** 20 - 1);
  }
  take(order: number): number {
    const size = 2 ** order;
    for (let pfn = (Math.ceil(this.#taken.length / size) - 1) * size; pfn > 0; pfn -= size) {
      if (pfn + size > this.#taken.length || this.#taken.slice(pfn, pfn + size).includes(true)) continue;
      this.#taken.fill(true, pfn, pfn + size);
      return pfn;
    }
    return 0;
  }
  give({ pfn, order }: Range): void {
    this.#taken.fill(false, pfn, pfn + 2 ** order);
  }
  get free(): number {
    return this.#taken.filter((taken) => !taken).length;
  }
}

describe("the address allocator", () => {
  it("gives out the highest range that fits, aligned to its size, whatever was taken and given", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 700 }),
        fc.array(fc.tuple(fc.boolean(), fc.nat(8), fc.nat()), { maxLength: 120 }),
        (aperturePages, steps) => {
          const allocator = new Allocator(aperturePages);
          const model = new Pages(aperturePages);
          const out: Range[] = [];
          for (const [give, order, which] of steps) {
            if (give && out.length > 0) {
              const [range] = out.splice(which % out.length, 1);
              allocator.give(range);
              model.give(range);
            } else {
              const pfn = allocator.take(order);
              expect(pfn).toBe(model.take(order));
              expect(pfn % 2 ** order).toBe(0);
              if (pfn !== 0) out.push({ pfn, order });
            }
            expect(allocator.domain.allocator.freePages).toBe(model.free);
          }
          for (const range of out) allocator.give(range);
          expect(allocator.domain.check()).toBe(IOMMU_SOUND);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("never gives out page 0, nor the page below 2^32 in which DMA_MAPPING_ERROR lies", () => {
    const allocator = new Allocator(2 ** 20);
    expect(allocator.domain.allocator.freePages).toBe(2 ** 20 - 2);
    expect(allocator.take(0)).toBe(2 ** 20 - 2);
    expect(allocator.take(19)).toBe(0);
    expect(allocator.take(18)).toBe(2 ** 19);
    expect(allocator.take(18)).toBe(2 ** 18);
    expect(allocator.take(18)).toBe(0);
    expect(allocator.take(31)).toBe(0);
    expect(allocator.take(32)).toBe(0);
  });

  it("gives out every page of an aperture once, and merges them all again", () => {
    for (const aperturePages of [2, 3, 64, 65, 4096, 4097, 300_000]) {
      const allocator = new Allocator(aperturePages);
      const pages = allocator.domain.allocator.freePages;
      expect(pages).toBe(Math.min(aperturePages, 2 ** 20 - 1) - 1);
      const misplaced = Array.from({ length: pages }, (_, k) => allocator.take(0) !== pages - k).indexOf(
        true,
      );
      expect(misplaced).toBe(-1);
      expect(allocator.take(0)).toBe(0);
      expect(allocator.domain.allocator.freePages).toBe(0);
      for (const pfn of new Random(aperturePages).shuffle(Array.from({ length: pages }, (_, k) => k + 1))) {
        allocator.give({ pfn, order: 0 });
      }
      expect(allocator.domain.check()).toBe(IOMMU_SOUND);
      const order = 31 - Math.clz32(pages);
      if (pages > 2) expect(allocator.take(order - 1)).not.toBe(0);
    }
  });
});

/** The magazines of one size, as Linux's rules say: loaded and previous, a depot of full ones. */
class MagazineModel {
  loaded: number[] = [];
  previous: number[] = [];
  depot: number[][] = [];
  /** Ranges that went back to the allocator. */
  readonly emptied: number[] = [];

  take(): number | undefined {
    if (this.loaded.length === 0 && this.previous.length > 0) this.#swap();
    if (this.loaded.length === 0) this.loaded = this.depot.pop() ?? [];
    return this.loaded.pop();
  }
  give(pfn: number): void {
    if (this.loaded.length === MAGAZINE && this.previous.length < MAGAZINE) this.#swap();
    if (this.loaded.length === MAGAZINE) {
      if (this.depot.length < DEPOT) this.depot.push(this.loaded);
      else this.emptied.push(...this.loaded);
      this.loaded = [];
    }
    this.loaded.push(pfn);
  }
  #swap(): void {
    [this.loaded, this.previous] = [this.previous, this.loaded];
  }
}

describe("the magazines in front of it", () => {
  /** A domain, and its magazines as functions. */
  function magazines(aperturePages: number) {
    const domain = new Domain(engine, { aperturePages });
    const at = domain.ptr + engine.wasm.DOMAIN_MAGAZINES.value;
    return {
      domain,
      take: (order: number): number => engine.wasm.magazinesTake(at, order),
      give: (pfn: number, order: number): void => engine.wasm.magazinesGive(at, pfn, order),
      empty: (): void => engine.wasm.magazinesEmpty(at),
    };
  }

  it("serve what was given back last, and ask the allocator for nothing while they have something", () => {
    const { domain, take, give } = magazines(1024);
    const taken = [take(0), take(0), take(0)];
    expect(domain.allocator.takes).toBe(3);
    for (const pfn of taken) give(pfn, 0);
    expect([take(0), take(0), take(0)]).toEqual(taken.toReversed());
    expect(domain.allocator).toMatchObject({ takes: 3, gives: 0 });
    take(0);
    expect(domain.allocator).toMatchObject({ takes: 4, gives: 0 });
  });

  it("hold 34 magazines of 127; the range that finds them full sends 127 to the allocator", () => {
    const { domain, take, give } = magazines(8192);
    const holds = (2 + DEPOT) * MAGAZINE;
    const taken = Array.from({ length: holds + MAGAZINE + 1 }, () => take(0));
    for (const pfn of taken.slice(0, holds)) give(pfn, 0);
    expect(domain.allocator.gives).toBe(0);
    give(taken[holds], 0);
    expect(domain.allocator.gives).toBe(MAGAZINE);
    for (const pfn of taken.slice(holds + 1, holds + MAGAZINE)) give(pfn, 0);
    expect(domain.allocator.gives).toBe(MAGAZINE);
    give(taken[holds + MAGAZINE], 0);
    expect(domain.allocator.gives).toBe(2 * MAGAZINE);
    expect(domain.check()).toBe(IOMMU_SOUND);

    const asked = domain.allocator.takes;
    for (let k = 0; k < holds - MAGAZINE + 1; k++) take(0);
    expect(domain.allocator.takes).toBe(asked);
    take(0);
    expect(domain.allocator.takes).toBe(asked + 1);
  });

  it("are there for 1 to 32 pages, each size by itself; larger ranges go straight to the allocator", () => {
    const { domain, take, give } = magazines(8192);
    const taken = Array.from({ length: 8 }, (_, order) => take(order));
    for (const [order, pfn] of taken.entries()) give(pfn, order);
    expect(domain.allocator).toMatchObject({ takes: 8, gives: 2 });
    for (let order = 0; order < ORDERS; order++) expect(take(order)).toBe(taken[order]);
    expect(domain.allocator.takes).toBe(8);
    take(6);
    take(7);
    expect(domain.allocator.takes).toBe(10);
  });

  it("are emptied when the allocator has nothing, before that is a failure", () => {
    const { domain, take, give } = magazines(64);
    const taken = Array.from({ length: 63 }, () => take(0));
    expect(take(0)).toBe(0);
    for (const pfn of taken) give(pfn, 0);
    expect(domain.allocator.freePages).toBe(0);
    expect(take(5)).toBe(32);
    expect(domain.allocator).toMatchObject({ gives: 63, freePages: 31 });
    expect(take(5)).toBe(0);
  });

  it("follow the rules of the real ones through long runs, range by range", () => {
    const random = new Random(7);
    for (const [order, most] of [
      [0, 6000],
      [2, 1500],
    ]) {
      const { domain, take, give } = magazines(2 ** 14);
      const model = new MagazineModel();
      const out: number[] = [];
      // Long rises and falls, so that the depot fills and empties.
      for (let phase = 0; phase < 12; phase++) {
        const rising = phase % 2 === 0;
        const steps = random.int(most / 2, most);
        for (let step = 0; step < steps; step++) {
          if (random.chance(rising ? 90 : 10)) {
            if (out.length === most) continue;
            const known = model.take();
            const before = domain.allocator.takes;
            const pfn = take(order);
            if (known === undefined) expect(domain.allocator.takes).toBe(before + 1);
            else expect(pfn).toBe(known);
            expect(pfn).not.toBe(0);
            out.push(pfn);
          } else if (out.length > 0) {
            const [pfn] = out.splice(random.int(0, out.length - 1), 1);
            model.give(pfn);
            give(pfn, order);
          }
        }
        expect(domain.allocator.gives).toBe(model.emptied.length);
      }
      for (const pfn of out) give(pfn, order);
      expect(domain.check()).toBe(IOMMU_SOUND);
    }
  });

  it("give all back when they are emptied", () => {
    const { domain, take, give, empty } = magazines(2048);
    const taken = Array.from({ length: 600 }, (_, k) => ({ order: k % 3, pfn: take(k % 3) }));
    for (const { pfn, order } of taken.filter(({ pfn }) => pfn !== 0)) give(pfn, order);
    empty();
    expect(domain.allocator.freePages).toBe(2047);
    expect(domain.check()).toBe(IOMMU_SOUND);
  });
});

describe("addresses of a domain", () => {
  it("come from the magazines in mappings, too: a map after an unmap asks the allocator for nothing", () => {
    const domain = new Domain(engine);
    for (const bytes of [1, PAGE, PAGE + 1, 5 * PAGE, 32 * PAGE]) {
      const first = domain.map(0x10000, bytes);
      domain.unmap(first, bytes);
      const { takes } = domain.allocator;
      for (let k = 0; k < 300; k++) {
        expect(domain.map(0x10000, bytes)).toBe(first);
        domain.unmap(first, bytes);
      }
      expect(domain.allocator.takes).toBe(takes);
    }
    expect(domain.allocator.gives).toBe(0);
  });

  it("are a named failure when there are none, which leaves nothing behind", () => {
    const domain = new Domain(engine, { aperturePages: 16 });
    const handles = Array.from({ length: 15 }, (_, k) => domain.map(k * PAGE, PAGE));
    expect(new Set(handles).size).toBe(15);
    expect(domain.map(0, 1)).toBe(DMA_MAPPING_ERROR);
    expect(domain.failure).toBe(DMA_E_NO_IOVA);
    expect(domain.map(0, 16 * PAGE)).toBe(DMA_MAPPING_ERROR);
    expect(domain.counts).toMatchObject({ liveMappings: 15, livePages: 15 });
    expect(domain.check()).toBe(IOMMU_SOUND);
    for (const handle of handles) expect(domain.unmap(handle, PAGE)).toBe(true);
    expect(domain.map(0, 8 * PAGE)).toBe(8 * PAGE);
    expect(domain.check()).toBe(IOMMU_SOUND);
  });
});
