import * as abi from "../assembly/abi.ts";
import { checkBackend, type DmaLimits, IOMMU_PAGE } from "./dma-options.ts";
import type { Engine } from "./engine.ts";
import { ConfigError, DmaMapError } from "./errors.ts";
import {
  DMA_BACKENDS,
  DMA_DIRECTIONS,
  type DmaBackend,
  type DmaDirection,
  FAULT_REASONS,
  type FaultReason,
  QUEUE_STATES,
} from "./names.ts";
import type { Segment } from "./queue.ts";

/** What can be set when a backend is chosen; what is left out has its default. */
export interface DmaSettings {
  /** `swiotlb`: what map copies in. Default `always`, as Linux does since 5.18; before, only what the device reads. */
  copyIn?: "always" | "device-reads";
}

/** Linux's attributes of a mapping (DMA_ATTR_*). */
export interface DmaAttributes {
  skipCpuSync?: boolean;
  weakOrdering?: boolean;
}

/** The DMA API's calls since the backend was chosen, and what they cost. */
export interface DmaCounters {
  maps: number;
  unmaps: number;
  mapFailures: number;
  syncsCpu: number;
  syncsDevice: number;
  /** Bytes that syncs asked for, and bytes that were copied for them. */
  syncBytesAsked: number;
  syncBytesCopied: number;
  /** Bytes that the bounce pool copied, for whatever call. */
  bounceBytes: number;
  weakOrderings: number;
  /** Accesses of the device that were refused, those beyond the log's end included. */
  faults: number;
  /** An IOMMU's; 0 behind other backends. Translations of the device's accesses that the IOTLB had, or had not. */
  iotlbHits: number;
  iotlbMisses: number;
  /** Invalidations of a range or of all, and those of all by the flush queue. */
  invalidations: number;
  flushes: number;
  /** Accesses through a translation whose mapping had ended. */
  staleAccesses: number;
}

/** What an IOMMU domain holds at the moment, coherent areas included. */
export interface DomainUse {
  mappings: number;
  pages: number;
  /** Page tables besides the root. */
  tables: number;
}

/** An access that the backend refused. */
export interface DmaFault {
  /** The bus address. */
  addr: bigint;
  /** `to-device` when the device was reading. */
  direction: DmaDirection;
  queue: number;
  reason: FaultReason;
}

/**
 * The DMA API of one device, with Linux's names: map what the device is lent, sync what both look at
 * meanwhile, unmap it. Queues with ACCESS_PLATFORM do that by themselves for what they are given;
 * premapped queues leave it to the caller.
 *
 * A mapping is named by its handle, a 32-bit number. `map` and its like are the comfortable calls;
 * `tryMap`, `unmapBytes`, `syncCpu` and `syncDevice` take codes (abi.ts) and allocate nothing.
 */
export class Dma {
  readonly #engine: Engine;
  readonly #index: number;
  readonly #space: number;
  #backend: DmaBackend = "direct";

  /** @internal Made by the device. */
  constructor(engine: Engine, index: number, space: number) {
    this.#engine = engine;
    this.#index = index;
    this.#space = space;
    if (engine.limits.dma === null) return;
    const log = engine.region(`device ${index} fault log`);
    engine.wasm.faultLogInit(log.ptr, engine.limits.dma.faultLog);
    this.#setWord(engine.wasm.SPACE_FAULT_LOG.value, log.ptr);
    if (engine.limits.dma.traceOps > 0)
      this.#setWord(engine.wasm.SPACE_TRACE.value, engine.region("operation trace").ptr);
  }

  get backend(): DmaBackend {
    return this.#backend;
  }

  /** @internal See `VirtioDevice.setDma`. */
  use(backend: DmaBackend, settings: DmaSettings, window: { length: bigint; offset: number }): void {
    const { wasm, limits } = this.#engine;
    checkBackend(backend);
    if (backend !== "direct" && !limits.dma?.backends.includes(backend))
      throw new ConfigError(`no memory is reserved for ${backend}: name it in dma.backends`);
    this.#checkIdle();
    for (let queue = 0; queue < limits.queues; queue++) this.#unmapRings(queue);
    this.#setWord(wasm.SPACE_COPY_READ_ONLY.value, settings.copyIn === "device-reads" ? 1 : 0);
    const kind = DMA_BACKENDS[backend];
    if (backend === "swiotlb") {
      const { from, end } = this.#poolWindow(window);
      wasm.spaceSetBackend(
        this.#space,
        kind,
        this.#engine.region("bounce pool slots").ptr,
        from,
        BigInt(end - from),
      );
    } else if (backend === "direct") {
      wasm.spaceSetBackend(this.#space, kind, 0, window.offset, window.length);
    } else {
      wasm.spaceSetBackend(this.#space, kind, this.#startDomain(backend === "iommu-lazy"), 0, 1n << 32n);
    }
    this.#backend = backend;
  }

  /**
   * Lends `bytes` at `ptr` to the device: the handle.
   * @throws DmaMapError when the backend can't.
   */
  map(ptr: number, bytes: number, direction: DmaDirection, attributes: DmaAttributes = {}): number {
    const dma = this.tryMap(ptr, bytes, DMA_DIRECTIONS[direction], attributeBits(attributes));
    if (dma === abi.DMA_MAPPING_ERROR) throw new DmaMapError(this.failure, this.#index);
    return dma;
  }

  /** Ends a mapping, with the bytes and the direction that it was made with. */
  unmap(dma: number, bytes: number, direction: DmaDirection, attributes: DmaAttributes = {}): void {
    this.unmapBytes(dma, bytes, DMA_DIRECTIONS[direction], attributeBits(attributes));
  }

  /** Shows the CPU what the device wrote to a part of a mapping. */
  syncForCpu(dma: number, bytes: number, direction: DmaDirection): void {
    this.syncCpu(dma, bytes, DMA_DIRECTIONS[direction]);
  }

  /** Shows the device what the CPU wrote to a part of a mapping. */
  syncForDevice(dma: number, bytes: number, direction: DmaDirection): void {
    this.syncDevice(dma, bytes, DMA_DIRECTIONS[direction]);
  }

  /**
   * Maps up to `maxSgs` elements, all or none: the same elements with handles for pointers. Allocates.
   * @throws DmaMapError
   */
  mapSg(elements: readonly Segment[], direction: DmaDirection, attributes: DmaAttributes = {}): Segment[] {
    const list = this.#stage(elements);
    const code = DMA_DIRECTIONS[direction];
    if (!this.#engine.wasm.spaceMapSg(this.#space, list, elements.length, code, attributeBits(attributes)))
      throw new DmaMapError(this.failure, this.#index);
    return this.#staged(list, elements.length);
  }

  /** Unmaps what `mapSg` returned: the same elements with their pointers again. Allocates. */
  unmapSg(elements: readonly Segment[], direction: DmaDirection, attributes: DmaAttributes = {}): Segment[] {
    const list = this.#stage(elements);
    const code = DMA_DIRECTIONS[direction];
    this.#engine.wasm.spaceUnmapSg(this.#space, list, elements.length, code, attributeBits(attributes));
    return this.#staged(list, elements.length);
  }

  /** The handle, or DMA_MAPPING_ERROR: then `failure` says why. */
  tryMap(ptr: number, bytes: number, direction: number, attributes: number): number {
    return this.#engine.wasm.spaceMap(this.#space, ptr, bytes, direction, attributes) >>> 0;
  }

  unmapBytes(dma: number, bytes: number, direction: number, attributes: number): void {
    this.#engine.wasm.spaceUnmap(this.#space, dma, bytes, direction, attributes);
  }

  syncCpu(dma: number, bytes: number, direction: number): void {
    this.#engine.wasm.spaceSyncForCpu(this.#space, dma, bytes, direction);
  }

  syncDevice(dma: number, bytes: number, direction: number): void {
    this.#engine.wasm.spaceSyncForDevice(this.#space, dma, bytes, direction);
  }

  /** The driver's own memory behind a handle that is mapped. */
  place(dma: number): number {
    return this.#engine.wasm.spacePlace(this.#space, dma) >>> 0;
  }

  /** The bus address that a descriptor has for a handle. */
  busAddress(dma: number): bigint {
    const view = new DataView(this.#engine.memory.buffer);
    const delta = view.getBigUint64(this.#space + this.#engine.wasm.SPACE_DELTA.value, true);
    return BigInt.asUintN(64, BigInt(dma) + delta);
  }

  /**
   * @internal The handle of a queue's ring areas, which lie one behind the other: mapped once, until the device's backend
   * changes or the queue becomes another device's. It stands in the driver half's block, so that a snapshot has it.
   * @throws DmaMapError
   */
  rings(queue: number): number {
    const { wasm, u32 } = this.#engine;
    const driver = this.#engine.region(`queue ${queue} driver`).ptr;
    const [space, handle] = [wasm.QUEUE_SPACE.value, wasm.DRIVER_RINGS.value].map(
      (at) => (driver + at) >>> 2,
    );
    const { ptr, bytes } = this.#ringAreas(queue);
    if (u32[handle] !== 0 && u32[space] !== this.#space) {
      wasm.spaceUnmapCoherent(u32[space], u32[handle], bytes);
      u32[handle] = 0;
    }
    if (u32[handle] === 0) {
      const mapped = wasm.spaceMapCoherent(this.#space, ptr, bytes) >>> 0;
      if (mapped === abi.DMA_MAPPING_ERROR) throw new DmaMapError(this.failure, this.#index);
      u32[space] = this.#space;
      u32[handle] = mapped;
    }
    return u32[handle];
  }

  /** Why the last mapping failed, a DMA_E_* code. */
  get failure(): number {
    return this.#word(this.#engine.wasm.SPACE_FAILURE.value);
  }

  /** For tests: the `count`th map call from now fails, whoever makes it; 0 for none. */
  failIn(count: number): void {
    this.#setWord(this.#engine.wasm.SPACE_FAIL_IN.value, count);
  }

  /** Mappings that are live: what was mapped and not unmapped yet. */
  get liveMappings(): number {
    const { SPACE_MAPS, SPACE_UNMAPS } = this.#engine.wasm;
    return this.#counter(SPACE_MAPS.value) - this.#counter(SPACE_UNMAPS.value);
  }

  /** All counters. Allocates. */
  counters(): DmaCounters {
    const { wasm } = this.#engine;
    return {
      maps: this.#counter(wasm.SPACE_MAPS.value),
      unmaps: this.#counter(wasm.SPACE_UNMAPS.value),
      mapFailures: this.#counter(wasm.SPACE_MAP_FAILURES.value),
      syncsCpu: this.#counter(wasm.SPACE_SYNCS_CPU.value),
      syncsDevice: this.#counter(wasm.SPACE_SYNCS_DEVICE.value),
      syncBytesAsked: this.#counter(wasm.SPACE_SYNC_BYTES_ASKED.value),
      syncBytesCopied: this.#counter(wasm.SPACE_SYNC_BYTES_COPIED.value),
      bounceBytes: this.#counter(wasm.SPACE_BOUNCE_BYTES.value),
      weakOrderings: this.#counter(wasm.SPACE_WEAK_ORDERINGS.value),
      faults: this.#counter(wasm.SPACE_FAULTS.value),
      iotlbHits: this.#domainCounter(wasm.DOMAIN_IOTLB_HITS.value),
      iotlbMisses: this.#domainCounter(wasm.DOMAIN_IOTLB_MISSES.value),
      invalidations: this.#domainCounter(wasm.DOMAIN_INVALIDATIONS.value),
      flushes: this.#domainCounter(wasm.DOMAIN_FLUSHES.value),
      staleAccesses: this.#domainCounter(wasm.DOMAIN_STALE_ACCESSES.value),
    };
  }

  /** What is mapped in the IOMMU domain, or null behind another backend. */
  domainUse(): DomainUse | null {
    const domain = this.#domain;
    if (domain === 0) return null;
    const { wasm, u32 } = this.#engine;
    const word = (offset: number): number => u32[(domain + offset) >>> 2];
    return {
      mappings: word(wasm.DOMAIN_LIVE_MAPPINGS.value),
      pages: word(wasm.DOMAIN_LIVE_PAGES.value),
      tables: word(wasm.DOMAIN_TABLES_LIVE.value),
    };
  }

  /** What Linux does every 10 ms: mappings that wait for a flush get it. */
  tick(): void {
    this.#engine.wasm.spaceTick(this.#space);
  }

  /** The first refused accesses since the backend was chosen, as many as the log holds. Allocates. */
  faults(): DmaFault[] {
    const { wasm, limits, memory } = this.#engine;
    if (limits.dma === null) return [];
    const log = this.#engine.region(`device ${this.#index} fault log`).ptr;
    const view = new DataView(memory.buffer);
    const records = log + wasm.FAULT_LOG_RECORDS.value;
    return Array.from({ length: view.getUint32(log + wasm.FAULT_LOG_COUNT.value, true) }, (_, k) => {
      const at = records + k * abi.FAULT_RECORD;
      return {
        addr: view.getBigUint64(at, true),
        queue: view.getUint32(at + 8, true),
        direction: view.getUint16(at + 12, true) === abi.DMA_TO_DEVICE ? "to-device" : "from-device",
        reason: FAULT_REASONS[view.getUint16(at + 14, true)],
      };
    });
  }

  /** @throws ConfigError while something would be pulled from under a queue. */
  #checkIdle(): void {
    const { wasm, limits, u32 } = this.#engine;
    for (let queue = 0; queue < limits.queues; queue++) {
      for (const half of ["driver", "device"]) {
        const { ptr } = this.#engine.region(`queue ${queue} ${half}`);
        const word = (offset: number): number => u32[(ptr + offset) >>> 2];
        if (word(wasm.QUEUE_SPACE.value) !== this.#space) continue;
        if (["live", "suspended"].includes(QUEUE_STATES[word(wasm.QUEUE_STATE.value)]))
          throw new ConfigError(
            `the ${half} half of queue ${queue} is live: stop it before its DMA backend changes`,
          );
      }
    }
    if (this.liveMappings > 0)
      throw new ConfigError(
        `${this.liveMappings} mappings of device ${this.#index} are live: unmap or detach them before its DMA backend changes`,
      );
  }

  /** Makes the device's domain anew, with nothing mapped. */
  #startDomain(lazy: boolean): number {
    const { wasm, limits } = this.#engine;
    const { apertureBytes, pageTables, levels, iotlb, flushQueue } = limits.dma as DmaLimits;
    const { ptr } = this.#engine.region(`device ${this.#index} domain`);
    const pages = apertureBytes / IOMMU_PAGE;
    wasm.iommuInit(ptr, lazy, pages, pageTables, levels, iotlb.entries, iotlb.ways, flushQueue);
    return ptr;
  }

  get #domain(): number {
    return this.#backend.startsWith("iommu") ? this.#engine.region(`device ${this.#index} domain`).ptr : 0;
  }
  #domainCounter(offset: number): number {
    return this.#domain === 0 ? 0 : this.#engine.readU64(this.#domain + offset);
  }

  /** Before the backend changes: the rings of a queue of this device are not mapped any more. */
  #unmapRings(queue: number): void {
    const { wasm, u32 } = this.#engine;
    const driver = this.#engine.region(`queue ${queue} driver`).ptr;
    const handle = (driver + wasm.DRIVER_RINGS.value) >>> 2;
    if (u32[handle] === 0 || u32[(driver + wasm.QUEUE_SPACE.value) >>> 2] !== this.#space) return;
    wasm.spaceUnmapCoherent(this.#space, u32[handle], this.#ringAreas(queue).bytes);
    u32[handle] = 0;
  }

  #ringAreas(queue: number): { ptr: number; bytes: number } {
    const { ptr } = this.#engine.region(`queue ${queue} descriptor area`);
    const last = this.#engine.region(`queue ${queue} device area`);
    return { ptr, bytes: last.ptr + last.bytes - ptr };
  }

  /** What a device behind the bounce pool sees: the coherent areas of all queues, and the pool. */
  #poolWindow(window: { length: bigint; offset: number }): { from: number; end: number } {
    const from = this.#engine.region("queue 0 descriptor area").ptr;
    const pool = this.#engine.region("bounce pool");
    const end = pool.ptr + pool.bytes;
    if (from < window.offset || BigInt(end) > BigInt(window.offset) + window.length) {
      throw new ConfigError(
        `the window of device ${this.#index} does not hold the rings and the bounce pool, from ${from} to ${end}`,
      );
    }
    return { from, end };
  }

  #stage(elements: readonly Segment[]): number {
    const { limits } = this.#engine;
    if (limits.dma === null)
      throw new ConfigError("no memory is reserved for sg lists: give the engine `dma`");
    if (elements.length > limits.maxSgs)
      throw new ConfigError(
        `${elements.length} elements are more than the engine's maxSgs of ${limits.maxSgs}`,
      );
    const { ptr } = this.#engine.region(`device ${this.#index} sg list`);
    const { u32 } = this.#engine;
    for (const [k, element] of elements.entries()) {
      u32[ptr / 4 + 2 * k] = element.ptr;
      u32[ptr / 4 + 2 * k + 1] = element.bytes;
    }
    return ptr;
  }

  #staged(list: number, count: number): Segment[] {
    const { u32 } = this.#engine;
    return Array.from({ length: count }, (_, k) => ({
      ptr: u32[list / 4 + 2 * k],
      bytes: u32[list / 4 + 2 * k + 1],
    }));
  }

  #word(offset: number): number {
    return this.#engine.u32[(this.#space + offset) >>> 2];
  }
  #setWord(offset: number, value: number): void {
    this.#engine.u32[(this.#space + offset) >>> 2] = value;
  }
  #counter(offset: number): number {
    return this.#engine.readU64(this.#space + offset);
  }
}

/** @internal Sets up what all devices of an engine share: the bounce pool and the trace. */
export function initDma(engine: Engine, dma: DmaLimits): void {
  const { wasm } = engine;
  if (dma.poolBytes) {
    const pool = engine.region("bounce pool");
    wasm.swiotlbInit(engine.region("bounce pool slots").ptr, pool.ptr, pool.bytes / abi.BOUNCE_SLOT);
  }
  if (dma.traceOps) wasm.opTraceInit(engine.region("operation trace").ptr, dma.traceOps);
}

function attributeBits({ skipCpuSync, weakOrdering }: DmaAttributes): number {
  return (skipCpuSync ? abi.DMA_ATTR_SKIP_CPU_SYNC : 0) | (weakOrdering ? abi.DMA_ATTR_WEAK_ORDERING : 0);
}
