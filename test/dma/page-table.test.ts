/** The page table: its bytes walked by hand, permissions, and tables that come and go with the ranges. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  DMA_BIDIRECTIONAL,
  DMA_E_EMPTY,
  DMA_E_NO_TABLE,
  DMA_E_RANGE,
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  DMA_TO_DEVICE,
  IOMMU_BAD_COUNT,
  IOMMU_BAD_IOTLB,
  IOMMU_BAD_MAPPING,
  IOMMU_BAD_SETS,
  IOMMU_BAD_TABLE,
  IOMMU_FAULT,
  IOMMU_LOST_RANGE,
  IOMMU_SOUND,
  IOMMU_TWO_PLACES,
} from "../../assembly/abi.ts";
import type { Engine } from "../../src/engine.ts";
import { Domain, PAGE } from "../support/domain.ts";
import { createEngine } from "../support/engine.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ queueSize: 1, bufferBytes: 8 << 20 });
});

function word(ptr: number): number {
  return engine.u32[ptr >>> 2];
}

/** The places of the entries on the way to a bus address, highest first, as far as there are tables. */
function path(domain: Domain, iova: number): number[] {
  const shifts = domain.settings.levels === 4 ? [39, 30, 21, 12] : [30, 21, 12];
  const places: number[] = [];
  let table = domain.word(engine.wasm.DOMAIN_ROOT);
  for (const shift of shifts) {
    if (table === 0) break;
    const place = table + 8 * (Math.floor(iova / 2 ** shift) % 512);
    places.push(place);
    table = word(place);
  }
  return places;
}

describe.each([3, 4] as const)("a page table of %i levels", (levels) => {
  it("is what the picture shows: counts on the way, then place, permissions and length", () => {
    const domain = new Domain(engine, { levels });
    const one = domain.map(0x54321, 10, DMA_TO_DEVICE);
    const three = domain.map(0x98765, 2 * PAGE + 1, DMA_FROM_DEVICE);
    const way = path(domain, one);
    expect(way.length).toBe(levels);
    const counts = way.slice(0, -1).map((place) => word(place + 4));
    expect(counts).toEqual([...Array(levels - 2).fill(1), 4]);
    const entry = way[levels - 1];
    expect([word(entry), word(entry + 4)]).toEqual([0x54000 | 1, 1]);
    const pages = [0, 1, 2].map((k) => path(domain, three + k * PAGE)[levels - 1]);
    expect(pages.map(word)).toEqual([0x98000 | 2, 0x99000 | 2, 0x9a000 | 2]);
    expect(pages.map((place) => word(place + 4))).toEqual([3, 0, 0]);
    expect(domain.unmap(one, 10)).toBe(true);
    expect([word(entry), word(entry + 4)]).toEqual([0, 0]);
    expect(word(way[levels - 2] + 4)).toBe(3);
    domain.unmap(three, 2 * PAGE + 1);
    expect(word(way[0])).toBe(0);
  });

  it("has the tables that its ranges need, no more, and gives them back with the last", () => {
    const domain = new Domain(engine, { levels, aperturePages: 2 ** 20, tables: 600 });
    const above = levels - 2;
    expect(domain.counts.tablesLive).toBe(0);
    const mapped: [iova: number, bytes: number][] = [];
    const map = (pages: number): number => {
      const iova = domain.map(0, pages * PAGE);
      mapped.push([iova, pages * PAGE]);
      return domain.counts.tablesLive - above;
    };
    // The last page of the aperture is not used, so that the first page comes to lie below it.
    expect(map(1)).toBe(1);
    expect(map(256)).toBe(1);
    expect(map(512)).toBe(2);
    expect(map(513)).toBe(4);
    // More than 1 GiB: all tables of the first half, and those above them.
    expect(map(2 ** 18 - 5)).toBe(4 + 512 + 1);
    expect(domain.check()).toBe(IOMMU_SOUND);
    for (const [iova, bytes] of mapped.splice(3)) expect(domain.unmap(iova, bytes)).toBe(true);
    expect(domain.counts.tablesLive - above).toBe(2);
    for (const [iova, bytes] of mapped) expect(domain.unmap(iova, bytes)).toBe(true);
    expect(domain.counts).toMatchObject({ tablesLive: 0, liveMappings: 0, livePages: 0 });
    expect(domain.check()).toBe(IOMMU_SOUND);
  });

  it.each([
    ["for reading", DMA_TO_DEVICE, true, false],
    ["for writing", DMA_FROM_DEVICE, false, true],
    ["for both", DMA_BIDIRECTIONAL, true, true],
  ])("lets the device in %s, whether its IOTLB has the page or not", (_, direction, reads, writes) => {
    const domain = new Domain(engine, { levels });
    const iova = domain.map(0x12345, 100, direction);
    const expected = [reads ? 0x12345 : IOMMU_FAULT, writes ? 0x12345 : IOMMU_FAULT];
    expect([domain.walk(iova, false), domain.walk(iova, true)]).toEqual(expected);
    for (let again = 0; again < 3; again++) {
      expect([domain.read(iova), domain.write(iova)]).toEqual(expected);
    }
    expect(domain.counts).toMatchObject({ misses: 1n, hits: 5n });
    expect(domain.place(iova)).toBe(0x12345);
  });

  it("translates every byte of the pages that a mapping touches, and not one beyond", () => {
    for (const [place, bytes, pages] of [
      [0x20000, PAGE, 1],
      [0x20fff, 1, 1],
      [0x20fff, 2, 2],
      [0x20001, PAGE, 2],
      [0x20800, 5 * PAGE, 6],
      [0, 1, 1],
      [0xffff_efff, 1, 1],
    ]) {
      const domain = new Domain(engine, { levels });
      const iova = domain.map(place, bytes);
      expect(iova % PAGE).toBe(place % PAGE);
      const first = iova - (iova % PAGE);
      const behind = place - (place % PAGE);
      for (const at of [0, 1, place % PAGE, pages * PAGE - 1]) {
        expect(domain.read(first + at)).toBe(behind + at);
        expect(domain.write(first + at)).toBe(behind + at);
        expect(domain.walk(first + at, false)).toBe(behind + at);
        expect(domain.place(first + at)).toBe(behind + at);
      }
      for (const outside of [first - 1, first + pages * PAGE]) {
        expect(domain.read(outside)).toBe(IOMMU_FAULT);
        expect(domain.write(outside)).toBe(IOMMU_FAULT);
        expect(domain.walk(outside, false)).toBe(IOMMU_FAULT);
      }
      expect(domain.counts).toMatchObject({ liveMappings: 1, livePages: pages });
    }
  });

  it("is a named failure when it runs out of tables, at every table, and nothing is left behind", () => {
    // One range of 1100 pages needs three tables of pages.
    for (let tables = 1; tables < levels + 1; tables++) {
      const domain = new Domain(engine, { levels, tables });
      const before = domain.allocator.freePages;
      for (let again = 0; again < 3; again++) {
        expect(domain.map(0x1000, 1100 * PAGE)).toBe(DMA_MAPPING_ERROR);
        expect(domain.failure).toBe(DMA_E_NO_TABLE);
        expect(domain.counts).toMatchObject({ liveMappings: 0, livePages: 0, tablesLive: 0 });
        expect(domain.allocator.freePages).toBe(before);
        expect(domain.check()).toBe(IOMMU_SOUND);
      }
    }
    const enough = new Domain(engine, { levels, tables: levels + 1 });
    expect(enough.map(0x1000, 1100 * PAGE)).not.toBe(DMA_MAPPING_ERROR);
    expect(enough.check()).toBe(IOMMU_SOUND);
  });

  it("fails no mapping that is there when another finds no table", () => {
    const domain = new Domain(engine, { levels, tables: levels - 1 });
    const iova = domain.map(0x7000, PAGE);
    expect(domain.map(0, 1024 * PAGE)).toBe(DMA_MAPPING_ERROR);
    expect(domain.map(0, 512 * PAGE)).toBe(DMA_MAPPING_ERROR);
    expect(domain.read(iova)).toBe(0x7000);
    expect(domain.check()).toBe(IOMMU_SOUND);
    domain.unmap(iova, PAGE);
    expect(domain.counts.tablesLive).toBe(0);
  });
});

describe("what can't be mapped or unmapped", () => {
  it("a length of 0, and what crosses the top of the address space, are refused by name", () => {
    const domain = new Domain(engine);
    for (const [place, bytes, failure] of [
      [0x5000, 0, DMA_E_EMPTY],
      [0x5fff, 0, DMA_E_EMPTY],
      [0xffff_ffff, 0, DMA_E_EMPTY],
      [0xffff_ffff, 2, DMA_E_RANGE],
      [0xffff_f000, PAGE + 1, DMA_E_RANGE],
      [2, 0xffff_ffff, DMA_E_RANGE],
    ]) {
      expect(domain.map(place, bytes)).toBe(DMA_MAPPING_ERROR);
      expect(domain.failure).toBe(failure);
    }
    expect(domain.counts).toMatchObject({ liveMappings: 0, livePages: 0, tablesLive: 0 });
    expect(domain.allocator.takes).toBe(0);
  });

  it("an unmap of another length, in the middle, or of nothing changes nothing and says so", () => {
    const domain = new Domain(engine);
    const iova = domain.map(0x5010, 3 * PAGE);
    const one = domain.map(0x9000, 100);
    const before = domain.counts;
    for (const [at, bytes] of [
      [iova, 0],
      [iova, 1],
      [iova, 3 * PAGE - 16],
      [iova, 4 * PAGE],
      [iova + PAGE, PAGE],
      [iova + PAGE, 3 * PAGE],
      [one, PAGE + 1],
      [one, 0],
      [one + PAGE, 1],
      [0, 1],
      [0xffff_ffff, 1],
      [0xffff_f000, PAGE],
      [one, 0xffff_ffff],
    ]) {
      expect(domain.unmap(at, bytes)).toBe(false);
    }
    expect(domain.counts).toEqual(before);
    expect(domain.unmap(iova, 3 * PAGE)).toBe(true);
    expect(domain.unmap(iova, 3 * PAGE)).toBe(false);
    expect(domain.unmap(one, 100)).toBe(true);
    expect(domain.unmap(one, 100)).toBe(false);
    expect(domain.check()).toBe(IOMMU_SOUND);
  });
});

describe("the check of a domain", () => {
  it("finds damage to any word of the tables", () => {
    const domain = new Domain(engine, { lazy: true });
    const iova = domain.map(0x40000, 3 * PAGE);
    const other = domain.map(0x80000, PAGE);
    expect(domain.check()).toBe(IOMMU_SOUND);
    const [root, middle, page] = path(domain, iova);
    const single = path(domain, other)[2];
    const damaged = (at: number, value: number): number => {
      const old = word(at);
      engine.u32[at >>> 2] = value;
      const found = domain.check();
      engine.u32[at >>> 2] = old;
      expect(domain.check()).toBe(IOMMU_SOUND);
      return found;
    };
    expect(damaged(root + 4, 2)).toBe(IOMMU_BAD_COUNT);
    expect(damaged(middle + 4, 3)).toBe(IOMMU_BAD_COUNT);
    expect(damaged(middle, word(middle) + 8)).toBe(IOMMU_BAD_TABLE);
    expect(damaged(root, domain.ptr)).toBe(IOMMU_BAD_TABLE);
    expect(damaged(page + 4, 2)).toBe(IOMMU_BAD_MAPPING);
    expect(damaged(page + 8, word(page + 8) + PAGE)).toBe(IOMMU_BAD_MAPPING);
    expect(damaged(page + 12, 1)).toBe(IOMMU_BAD_MAPPING);
    expect(damaged(single + 4, 0)).toBe(IOMMU_BAD_MAPPING);
    expect(damaged(domain.ptr + engine.wasm.DOMAIN_LIVE_PAGES.value, 5)).toBe(IOMMU_BAD_COUNT);
    expect(damaged(domain.ptr + engine.wasm.DOMAIN_LIVE_MAPPINGS.value, 1)).toBe(IOMMU_BAD_COUNT);
    expect(damaged(domain.ptr + engine.wasm.DOMAIN_TABLES_LIVE.value, 3)).toBe(IOMMU_BAD_COUNT);
    expect(damaged(domain.ptr + engine.wasm.DOMAIN_IOVA_FREE_PAGES.value, 1)).toBe(IOMMU_BAD_SETS);
    // The second free table is zero no more.
    expect(damaged(domain.word(engine.wasm.DOMAIN_ROOT) + 4 * PAGE, 1)).toBe(IOMMU_BAD_TABLE);
    expect(damaged(domain.ptr + engine.wasm.DOMAIN_WAITING.value, 300)).toBe(IOMMU_BAD_SETS);
    domain.read(other);
    expect(domain.check()).toBe(IOMMU_SOUND);
    expect(damaged(single, word(single) + PAGE)).toBe(IOMMU_BAD_IOTLB);
  });

  it("finds a range that is in two places, and one that is lost", () => {
    const { wasm } = engine;
    const twice = new Domain(engine);
    const iova = twice.map(0x40000, PAGE);
    wasm.iovaGive(twice.ptr + wasm.DOMAIN_IOVA.value, iova / PAGE, 0);
    expect(twice.check()).toBe(IOMMU_TWO_PLACES);
    const lost = new Domain(engine);
    wasm.iovaTake(lost.ptr + wasm.DOMAIN_IOVA.value, 3);
    expect(lost.check()).toBe(IOMMU_LOST_RANGE);
  });
});
