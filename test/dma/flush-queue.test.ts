/** iommu-lazy: what waits for a flush, when there is one, and what a device can still reach until then. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  DMA_E_NO_IOVA,
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  IOMMU_FAULT,
  IOMMU_SOUND,
} from "../../assembly/abi.ts";
import type { Engine } from "../../src/engine.ts";
import { Domain, type DomainSettings, PAGE } from "../support/domain.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ queueSize: 1, bufferBytes: 4 << 20 });
});

function lazy(settings: Partial<DomainSettings> = {}): Domain {
  return new Domain(engine, { lazy: true, ...settings });
}

/** Maps `count` ranges of `pages`, and then unmaps them all. */
function churn(domain: Domain, count: number, pages = 1): void {
  const handles = Array.from({ length: count }, (_, k) => domain.map(k * PAGE, pages * PAGE));
  for (const handle of handles) expect(domain.unmap(handle, pages * PAGE)).toBe(true);
}

describe("the flush queue", () => {
  it.each([1, 3])("is full with 255 ranges waiting: the next one, of %i pages, flushes", (pages) => {
    const domain = lazy();
    churn(domain, 255, pages);
    expect(domain.counts).toMatchObject({ waiting: 255, flushes: 0n, invalidations: 0n, liveMappings: 0 });
    expect(domain.check()).toBe(IOMMU_SOUND);
    churn(domain, 1, pages);
    expect(domain.counts).toMatchObject({ waiting: 1, flushes: 1n, invalidations: 1n });
    churn(domain, 254, pages);
    expect(domain.counts).toMatchObject({ waiting: 255, flushes: 1n });
    churn(domain, 1, pages);
    expect(domain.counts).toMatchObject({ waiting: 1, flushes: 2n, invalidations: 2n });
    expect(domain.check()).toBe(IOMMU_SOUND);
  });

  it.each([2, 3, 33, 1024])("may have %i slots, of which one stays empty", (slots) => {
    const domain = lazy({ slots, aperturePages: 8192 });
    churn(domain, slots - 1);
    expect(domain.counts).toMatchObject({ waiting: slots - 1, flushes: 0n });
    churn(domain, 1);
    expect(domain.counts).toMatchObject({ waiting: 1, flushes: 1n });
    for (let k = 0; k < 10; k++) churn(domain, slots - 1);
    expect(domain.counts).toMatchObject({ waiting: 1, flushes: 11n });
  });

  it("gives no range out again before the flush, and asks the allocator for none after it", () => {
    const domain = lazy();
    const waiting = new Set<number>();
    for (let k = 0; k < 255; k++) {
      const iova = domain.map(k * PAGE, PAGE);
      expect(waiting.has(iova)).toBe(false);
      waiting.add(iova);
      domain.unmap(iova, PAGE);
    }
    expect(domain.allocator.takes).toBe(255);
    domain.tick();
    for (let k = 0; k < 255; k++) expect(waiting.has(domain.map(0, PAGE))).toBe(true);
    expect(domain.allocator.takes).toBe(255);
  });

  it("is flushed by the host's tick, which does nothing when nothing waits", () => {
    const domain = lazy();
    domain.tick();
    expect(domain.counts).toMatchObject({ flushes: 0n, invalidations: 0n });
    churn(domain, 7, 2);
    domain.tick();
    expect(domain.counts).toMatchObject({ waiting: 0, flushes: 1n, invalidations: 1n });
    domain.tick();
    expect(domain.counts.flushes).toBe(1n);
    expect(domain.check()).toBe(IOMMU_SOUND);
  });

  it("clears the page table at once and gives its tables back at once", () => {
    const domain = lazy();
    const iova = domain.map(0x5000, 5 * PAGE);
    domain.unmap(iova, 5 * PAGE);
    expect(domain.counts).toMatchObject({ livePages: 0, tablesLive: 0, waiting: 1 });
    expect(domain.walk(iova, false)).toBe(IOMMU_FAULT);
  });

  it("is not flushed because addresses run out: that is a failure, until the tick", () => {
    const domain = lazy({ aperturePages: 16 });
    churn(domain, 15);
    expect(domain.map(0, PAGE)).toBe(DMA_MAPPING_ERROR);
    expect(domain.failure).toBe(DMA_E_NO_IOVA);
    domain.tick();
    expect(domain.map(0, PAGE)).not.toBe(DMA_MAPPING_ERROR);
    expect(domain.check()).toBe(IOMMU_SOUND);
  });

  it("is not there under iommu-strict: every unmap invalidates, nothing waits, a tick does nothing", () => {
    const domain = new Domain(engine);
    churn(domain, 300);
    churn(domain, 10, 40);
    domain.tick();
    expect(domain.counts).toMatchObject({ waiting: 0, flushes: 0n, invalidations: 310n, staleAccesses: 0n });
  });
});

describe("between an unmap and the flush", () => {
  it("a translation that was cached still works, and each access through it is counted", () => {
    const domain = lazy();
    const iova = domain.map(0x5000, 3 * PAGE);
    domain.read(iova);
    domain.write(iova + PAGE);
    domain.unmap(iova, 3 * PAGE);
    expect(domain.read(iova + 5)).toBe(0x5005);
    expect(domain.write(iova + 6)).toBe(0x5006);
    expect(domain.read(iova + PAGE)).toBe(0x6000);
    // The third page was not cached.
    expect(domain.read(iova + 2 * PAGE)).toBe(IOMMU_FAULT);
    expect(domain.counts).toMatchObject({ staleAccesses: 3n, hits: 3n, misses: 3n });
    expect(domain.check()).toBe(IOMMU_SOUND);

    domain.tick();
    for (let k = 0; k < 3; k++) expect(domain.read(iova + k * PAGE)).toBe(IOMMU_FAULT);
    expect(domain.counts).toMatchObject({ staleAccesses: 3n, hits: 3n, misses: 6n });
  });

  it("it allows what the mapping allowed and no more", () => {
    const domain = lazy();
    const iova = domain.map(0x5000, PAGE, DMA_FROM_DEVICE);
    domain.write(iova);
    domain.unmap(iova, PAGE);
    expect(domain.read(iova)).toBe(IOMMU_FAULT);
    expect(domain.counts.staleAccesses).toBe(0n);
    expect(domain.write(iova)).toBe(0x5000);
    expect(domain.counts.staleAccesses).toBe(1n);
  });

  it("it is gone once another page has taken its place", () => {
    const domain = lazy({ entries: 1, ways: 1 });
    const [one, two] = [domain.map(0x5000, PAGE), domain.map(0x6000, PAGE)];
    domain.read(one);
    domain.unmap(one, PAGE);
    expect(domain.read(one)).toBe(0x5000);
    expect(domain.read(two)).toBe(0x6000);
    expect(domain.read(one)).toBe(IOMMU_FAULT);
    expect(domain.counts.staleAccesses).toBe(1n);
  });

  it("a page that is still mapped is not stale, whoever was unmapped beside it", () => {
    const domain = lazy();
    const [one, two] = [domain.map(0x5000, PAGE), domain.map(0x6000, PAGE)];
    domain.read(one);
    domain.read(two);
    domain.unmap(one, PAGE);
    for (let k = 0; k < 5; k++) expect(domain.read(two)).toBe(0x6000);
    expect(domain.counts.staleAccesses).toBe(0n);
  });

  it("the addresses lead to what is mapped there anew, after the flush and not to the old place", () => {
    const domain = lazy({ aperturePages: 2 });
    const iova = domain.map(0x5000, PAGE);
    domain.read(iova);
    domain.unmap(iova, PAGE);
    domain.tick();
    expect(domain.map(0x9000, PAGE)).toBe(iova);
    expect(domain.read(iova)).toBe(0x9000);
    expect(domain.counts.staleAccesses).toBe(0n);
  });

  it("as many are counted as go through, in a long run against a list", () => {
    const random = new Random(11);
    const domain = lazy({ slots: 20, entries: 16, ways: 2, aperturePages: 512 });
    const places = new Map<number, { place: number; live: boolean }>();
    let stale = 0n;
    for (let step = 0; step < 20_000; step++) {
      const { flushes } = domain.counts;
      const kind = random.int(0, 9);
      if (kind === 0 && places.size < 80) {
        places.set(domain.map(step * PAGE, PAGE), { place: step * PAGE, live: true });
      } else if (kind === 1 && places.size > 0) {
        const iova = random.pick([...places.keys()]);
        const range = places.get(iova);
        if (range?.live) domain.unmap(iova, PAGE);
        if (domain.counts.flushes > flushes) {
          for (const [at, { live }] of places) if (!live) places.delete(at);
        }
        if (range) range.live = false;
      } else if (places.size > 0) {
        const iova = random.pick([...places.keys()]);
        const range = places.get(iova);
        const reached = domain.read(iova);
        if (range?.live) expect(reached).toBe(range.place);
        else expect([range?.place, IOMMU_FAULT]).toContain(reached);
        if (!range?.live && reached !== IOMMU_FAULT) stale++;
      }
      expect(domain.counts.staleAccesses).toBe(stale);
    }
    expect(stale).toBeGreaterThan(100n);
    expect(domain.check()).toBe(IOMMU_SOUND);
  });
});

describe("ring pages that are watched", () => {
  it("move the ring's epoch when they are invalidated: at the unmap, or at the flush", () => {
    const strict = new Domain(engine);
    const behind = new Domain(engine, { lazy: true }, strict.end);
    for (const domain of [strict, behind]) {
      const ring = domain.map(0x5800, 2 * PAGE);
      const other = domain.map(0x9000, 4 * PAGE);
      const single = domain.map(0xe000, 10);
      domain.watch(ring + PAGE, 1);
      domain.watch(single, 10);
      domain.unmap(other, 4 * PAGE);
      domain.tick();
      expect(domain.counts.ringEpoch).toBe(0);
      expect(domain.check()).toBe(IOMMU_SOUND);
      domain.unmap(ring, 2 * PAGE);
      expect(domain.counts.ringEpoch).toBe(domain === strict ? 1 : 0);
      domain.unmap(single, 10);
      expect(domain.counts.ringEpoch).toBe(domain === strict ? 2 : 0);
      domain.tick();
      expect(domain.counts.ringEpoch).toBe(domain === strict ? 2 : 1);
      // What is mapped there next is not watched.
      const again = domain.map(0x5800, 2 * PAGE);
      domain.unmap(again, 2 * PAGE);
      domain.unmap(domain.map(0, 10), 10);
      domain.tick();
      expect(domain.counts.ringEpoch).toBe(domain === strict ? 2 : 1);
    }
  });

  it("are only those of the range that are mapped", () => {
    const domain = new Domain(engine, { aperturePages: 4096 });
    const iova = domain.map(0x5000, 2 * PAGE);
    domain.watch(iova + PAGE, 0);
    domain.watch(0, 100 * PAGE);
    domain.watch(iova - 20 * PAGE, 20 * PAGE);
    domain.watch(iova + 2 * PAGE, 1000 * PAGE);
    domain.unmap(iova, 2 * PAGE);
    expect(domain.counts.ringEpoch).toBe(0);
    const again = domain.map(0x5000, 2 * PAGE);
    domain.watch(again + 2 * PAGE - 1, 1);
    domain.unmap(again, 2 * PAGE);
    expect(domain.counts.ringEpoch).toBe(1);
  });
});
