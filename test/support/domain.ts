/** An IOMMU domain by itself, in the buffers of an engine: what the engine can do with it, with numbers unsigned. */
import { DMA_BIDIRECTIONAL, IOMMU_PAGE_BITS } from "../../assembly/abi.ts";
import type { Engine } from "../../src/engine.ts";

export const PAGE = 1 << IOMMU_PAGE_BITS;

export interface DomainSettings {
  lazy: boolean;
  aperturePages: number;
  tables: number;
  levels: 3 | 4;
  /** Entries and ways of the IOTLB. */
  entries: number;
  ways: number;
  /** Slots of the flush queue. */
  slots: number;
}

const SETTINGS: DomainSettings = {
  lazy: false,
  aperturePages: 4096,
  tables: 32,
  levels: 3,
  entries: 64,
  ways: 4,
  slots: 256,
};

/** Counters and live counts of a domain. */
export interface DomainCounts {
  liveMappings: number;
  livePages: number;
  tablesLive: number;
  hits: bigint;
  misses: bigint;
  invalidations: bigint;
  flushes: bigint;
  staleAccesses: bigint;
  ringEpoch: number;
  waiting: number;
}

export class Domain {
  readonly ptr: number;
  readonly settings: DomainSettings;
  /** One past what the domain and its check use. */
  readonly end: number;
  readonly #engine: Engine;
  readonly #scratch: number;

  /** Makes a domain at the first page boundary from `from` on. */
  constructor(engine: Engine, settings: Partial<DomainSettings> = {}, from = engine.buffers.ptr) {
    const { lazy, aperturePages, tables, levels, entries, ways, slots } = { ...SETTINGS, ...settings };
    const { wasm } = engine;
    this.settings = { lazy, aperturePages, tables, levels, entries, ways, slots };
    this.#engine = engine;
    this.ptr = Math.ceil(from / PAGE) * PAGE;
    this.#scratch = this.ptr + wasm.iommuDomainBytes(aperturePages, tables, entries, ways, slots);
    this.end = this.#scratch + wasm.iommuCheckBytes(aperturePages);
    if (this.end > engine.end) throw new Error(`the domain ends at ${this.end}, the engine at ${engine.end}`);
    // What was there before must not matter.
    engine.bytes(this.ptr, this.end - this.ptr).fill(0xee);
    wasm.iommuInit(this.ptr, lazy, aperturePages, tables, levels, entries, ways, slots);
  }

  map(place: number, bytes: number, direction = DMA_BIDIRECTIONAL): number {
    return this.#engine.wasm.iommuMap(this.ptr, place, bytes, direction) >>> 0;
  }
  unmap(iova: number, bytes: number): boolean {
    return !!this.#engine.wasm.iommuUnmap(this.ptr, iova, bytes);
  }
  tick(): void {
    this.#engine.wasm.iommuTick(this.ptr);
  }
  watch(iova: number, bytes: number): void {
    this.#engine.wasm.iommuWatch(this.ptr, iova, bytes);
  }
  /** Where the device's read of a byte, or its write, ends up. */
  read(iova: number): number {
    return this.#engine.wasm.iommuTranslate(this.ptr, iova, false) >>> 0;
  }
  write(iova: number): number {
    return this.#engine.wasm.iommuTranslate(this.ptr, iova, true) >>> 0;
  }
  walk(iova: number, write: boolean): number {
    return this.#engine.wasm.iommuWalk(this.ptr, iova, write) >>> 0;
  }
  place(iova: number): number {
    return this.#engine.wasm.iommuPlace(this.ptr, iova) >>> 0;
  }
  /** What does not add up (IOMMU_BAD_* and so on). */
  check(): number {
    return this.#engine.wasm.iommuCheck(this.ptr, this.#scratch);
  }

  /** A word of the control block, by one of the DOMAIN_* offsets. */
  word(offset: { value: number }): number {
    return this.#engine.u32[(this.ptr + offset.value) >>> 2];
  }
  #long(offset: { value: number }): bigint {
    return new DataView(this.#engine.memory.buffer).getBigUint64(this.ptr + offset.value, true);
  }
  /** Why the last map failed. */
  get failure(): number {
    return this.word(this.#engine.wasm.DOMAIN_FAILURE);
  }
  /** Ranges that were asked of the allocator, and given back to it, past the magazines. */
  get allocator(): { takes: number; gives: number; freePages: number } {
    const { wasm } = this.#engine;
    return {
      takes: this.word(wasm.DOMAIN_IOVA_TAKES),
      gives: this.word(wasm.DOMAIN_IOVA_GIVES),
      freePages: this.word(wasm.DOMAIN_IOVA_FREE_PAGES),
    };
  }
  get counts(): DomainCounts {
    const { wasm } = this.#engine;
    return {
      liveMappings: this.word(wasm.DOMAIN_LIVE_MAPPINGS),
      livePages: this.word(wasm.DOMAIN_LIVE_PAGES),
      tablesLive: this.word(wasm.DOMAIN_TABLES_LIVE),
      hits: this.#long(wasm.DOMAIN_IOTLB_HITS),
      misses: this.#long(wasm.DOMAIN_IOTLB_MISSES),
      invalidations: this.#long(wasm.DOMAIN_INVALIDATIONS),
      flushes: this.#long(wasm.DOMAIN_FLUSHES),
      staleAccesses: this.#long(wasm.DOMAIN_STALE_ACCESSES),
      ringEpoch: this.word(wasm.DOMAIN_RING_EPOCH),
      waiting: this.word(wasm.DOMAIN_WAITING),
    };
  }
}
