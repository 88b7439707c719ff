/** IOMMU domains with mappings in them, for the suite and the limit: they lie in an engine's scratch memory. */
import { DMA_TO_DEVICE, IOMMU_PAGE_BITS } from "../assembly/abi.ts";
import type { Engine } from "../src/engine.ts";
import { openEngine } from "./support.ts";

const PAGE = 1 << IOMMU_PAGE_BITS;
const APERTURE_PAGES = 2 ** 20;
const FLUSH_SLOTS = 256;

export interface DomainCase {
  /** Names the case's tasks. */
  name: string;
  lazy: boolean;
  levels: 3 | 4;
  /** Pages that are mapped, one by one. */
  live: number;
  /** The IOTLB. */
  entries: number;
  ways: number;
}

/** What is timed by the thousand. */
export const REPEATS = 1024;
/** Translations of a call: all that are live, as often as it takes. */
export const TRANSLATIONS = 4096;
/** Where what is mapped and unmapped lies: it is never touched. */
const PLACE = 0x50_0000;
const BURST = 32;

/** An engine with a domain for each case, and the heap for the general allocator. */
export async function openDomains(cases: readonly DomainCase[]): Promise<OpenDomain[]> {
  const scratchBytes = cases.reduce((sum, { live, entries }) => sum + PAGE + bytesOf(live, entries), PAGE);
  const engine = await openEngine({ heapBytes: 1 << 20, scratchBytes });
  let next = engine.scratch.ptr;
  return cases.map((domainCase) => {
    const domain = new OpenDomain(engine, domainCase, Math.ceil(next / PAGE) * PAGE);
    next = domain.end;
    return domain;
  });
}

/** More than a domain of this size and its list of handles take. */
function bytesOf(live: number, entries: number): number {
  return (1 << 20) + live * 16 + entries * 64;
}

export class OpenDomain {
  readonly engine: Engine;
  readonly domainCase: DomainCase;
  readonly ptr: number;
  readonly end: number;
  readonly #handles: number;

  constructor(engine: Engine, domainCase: DomainCase, ptr: number) {
    const { live, entries, ways } = domainCase;
    this.engine = engine;
    this.domainCase = domainCase;
    this.ptr = ptr;
    const tables = Math.ceil(live / 512) + 8;
    this.#handles = ptr + engine.wasm.iommuDomainBytes(APERTURE_PAGES, tables, entries, ways, FLUSH_SLOTS);
    this.end = this.#handles + 4 * Math.max(live, BURST);
    this.renew();
  }

  /** Makes the domain anew, with its mappings. */
  renew(): void {
    const { lazy, levels, live, entries, ways } = this.domainCase;
    const { wasm, u32 } = this.engine;
    const tables = Math.ceil(live / 512) + 8;
    wasm.iommuInit(this.ptr, lazy, APERTURE_PAGES, tables, levels, entries, ways, FLUSH_SLOTS);
    for (let k = 0; k < live; k++) {
      u32[(this.#handles >>> 2) + k] = wasm.iommuMap(this.ptr, (k + 1) * PAGE, PAGE, DMA_TO_DEVICE);
    }
    this.#shuffle(live);
  }

  /** In an order that no prefetcher guesses. */
  #shuffle(live: number): void {
    const { u32 } = this.engine;
    const first = this.#handles >>> 2;
    let seed = 1;
    for (let last = live - 1; last > 0; last--) {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      const other = Math.floor((seed / 2 ** 32) * (last + 1));
      const handle = u32[first + last];
      u32[first + last] = u32[first + other];
      u32[first + other] = handle;
    }
  }

  /** Maps and unmaps `bytes`, REPEATS times. */
  mapUnmap(bytes = PAGE): number {
    return this.engine.wasm.iommuMapUnmap(this.ptr, PLACE, bytes, REPEATS) >>> 0;
  }

  /** The same in bursts; the device reads each mapping once. The list of handles is overwritten. */
  mapReadUnmap(): number {
    const { wasm } = this.engine;
    return wasm.iommuMapReadUnmap(this.ptr, PLACE, PAGE, this.#handles, BURST, REPEATS / BURST) >>> 0;
  }

  translate(): number {
    const { live } = this.domainCase;
    return this.engine.wasm.iommuTranslateAll(this.ptr, this.#handles, live, TRANSLATIONS / live) >>> 0;
  }

  walk(): number {
    const { live } = this.domainCase;
    return this.engine.wasm.iommuWalkAll(this.ptr, this.#handles, live, TRANSLATIONS / live) >>> 0;
  }
}
