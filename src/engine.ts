import { instantiate } from "@assemblyscript/loader";
import { TLSF_SOUND } from "../assembly/abi.ts";
import { DeviceQueue, type DeviceQueueConfig } from "./device-queue.ts";
import { initDma } from "./dma.ts";
import { IOMMU_PAGE } from "./dma-options.ts";
import { DriverQueue, type DriverQueueConfig } from "./driver-queue.ts";
import { ConfigError, MemoryTooSmallError } from "./errors.ts";
import {
  defaultHeapBytes,
  type EngineLimits,
  type LimitOptions,
  placeParts,
  planRegions,
  printMap,
  type Region,
  type RegionRequest,
  resolveLimits,
} from "./layout.ts";
import { checkSnapshot, putSnapshot, type SnapshotPart, takeSnapshot } from "./snapshot.ts";
import { VirtioDevice } from "./virtio-device.ts";
import type { VringExports } from "./wasm.ts";

const PAGE = 65536;

export interface EngineOptions extends LimitOptions {
  /** A memory to live in, private or shared; default: one of the engine's own, exactly as large as needed. */
  memory?: WebAssembly.Memory;
  /**
   * The part of `memory` that is the engine's, in bytes; default: all of it. Nothing outside is touched but rings and
   * buffers. "append": the memory, which is in use already, is grown by a region at its end.
   */
  region?: { offset: number; length: number } | "append";
  /** Bytes of the engine's own memory, when more than needed is wanted. */
  memoryBytes?: number;
  /** The engine's code, where it can't be loaded from beside this file (workers, strict CSP). */
  module?: WebAssembly.Module | BufferSource;
  /** @internal What an instrumented module imports beside its memory: the recorder of the tests. */
  imports?: Record<string, WebAssembly.ImportValue>;
}

export interface QueuePairConfig extends Omit<DriverQueueConfig, "size"> {
  /** Entries of the ring; default: the most that were reserved. */
  size?: number;
  /** Most elements of a buffer that the device half accepts; default: the ring's size. */
  maxChain?: number;
}

/** The engine: one WebAssembly instance in one memory, whose map is sealed when `create` returns. */
export class Engine {
  readonly memory: WebAssembly.Memory;
  readonly limits: EngineLimits;
  /** Raw exports: what the handles call on the hot path. */
  readonly wasm: VringExports;
  readonly devices: readonly VirtioDevice[];
  readonly regions: readonly Region[];
  /** Packet data, where peers can reach it. */
  readonly buffers: Region;
  /** The host's own, where peers can't. */
  readonly scratch: Region;
  /** First byte of the arena, of its shared part, and one past its last. */
  readonly base: number;
  readonly sharedBase: number;
  readonly end: number;
  readonly #limit: number;
  readonly #byName = new Map<string, Region>();
  readonly #parts: SnapshotPart[] = [];
  #u32: Uint32Array;

  private constructor(
    wasm: VringExports,
    memory: WebAssembly.Memory,
    limits: EngineLimits,
    base: number,
    limit: number,
  ) {
    const requests = planRegions(wasm, limits);
    const { sharedBase, end } = placeParts(wasm, base, requests, limits);
    this.wasm = wasm;
    this.memory = memory;
    this.limits = limits;
    this.base = base;
    this.sharedBase = sharedBase;
    this.end = end;
    this.#limit = limit;
    this.#u32 = new Uint32Array(memory.buffer);
    wasm.arenaInit(base, sharedBase, end);
    this.regions = requests.map((request) => this.#take(request));
    wasm.arenaSeal(base);
    this.buffers = this.region("buffers");
    this.scratch = this.region("scratch");
    const heap = this.region("heap");
    wasm.tlsfInit(this.region("heap control").ptr, heap.ptr, heap.bytes);
    if (limits.dma !== null) initDma(this, limits.dma);
    if (limits.pages > 0) this.#initPages();
    if (limits.pins) wasm.pinsInit(this.region("pins").ptr, sharedBase, end - sharedBase, 0);
    this.devices = Array.from({ length: limits.devices }, (_, index) => new VirtioDevice(this, index));
  }

  /**
   * Loads the engine and lays out its memory.
   * @throws ConfigError for a limit out of range, MemoryTooSmallError with the bytes that are needed.
   */
  static async create(options: EngineOptions = {}): Promise<Engine> {
    const limits = resolveLimits(options);
    const shared = options.memory !== undefined && isShared(options.memory);
    const module = await compile(options.module, shared);
    // The sizes of the control blocks are the compiler's, so they are asked for before there is a memory.
    const probe = await start(
      module,
      new WebAssembly.Memory(shared ? { initial: 0, maximum: 1, shared } : { initial: 0 }),
      options.imports,
    );
    limits.heapBytes ||= defaultHeapBytes(probe, limits);
    const { region } = options;
    const base = region === "append" ? (options.memory?.buffer.byteLength ?? 0) : (region?.offset ?? 0);
    const step = limits.dma?.iommu ? IOMMU_PAGE : 64;
    if (!Number.isInteger(base) || base < 0 || base % step !== 0) {
      throw new ConfigError(`region.offset is ${base}, but must be a multiple of ${step}`);
    }
    const needed = placeParts(probe, base, planRegions(probe, limits), limits).end - base;
    if (needed > 2 ** 32 - PAGE) throw new MemoryTooSmallError(needed, 2 ** 32 - PAGE);

    let memory = options.memory;
    if (memory === undefined) {
      if (region !== undefined)
        throw new ConfigError("region is given without the memory that it is a part of");
      const bytes = options.memoryBytes ?? needed;
      if (bytes < needed) throw new MemoryTooSmallError(needed, bytes);
      const pages = Math.ceil(bytes / PAGE);
      memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    }
    if (region === "append") grow(memory, needed);
    const length = (region === "append" ? undefined : region?.length) ?? memory.buffer.byteLength - base;
    if (base + length > memory.buffer.byteLength) {
      throw new ConfigError(
        `the region ends at ${base + length}, but the memory has ${memory.buffer.byteLength} bytes`,
      );
    }
    if (length < needed) throw new MemoryTooSmallError(needed, length);
    const wasm = await start(module, memory, options.imports);
    return new Engine(wasm, memory, limits, base, base + length);
  }

  /**
   * Both halves of queue `index` over the ring memory that was reserved for it.
   * @throws RefusedError for a size or a source that is not to be had.
   */
  connect(index: number, config: QueuePairConfig = {}): { driver: DriverQueue; device: DeviceQueue } {
    const driver = this.driverQueue(index, config);
    const { size, format, features } = driver;
    const { desc, driverArea, deviceArea } = driver.addresses;
    const device = this.deviceQueue(index, {
      format,
      size,
      features,
      device: config.device,
      maxChain: config.maxChain,
      desc,
      driverArea,
      deviceArea,
    });
    return { driver, device };
  }

  /** The driver half of queue `index`, over the ring memory that was reserved for it. */
  driverQueue(index: number, config: DriverQueueConfig = {}): DriverQueue {
    this.#checkIndex(index);
    return new DriverQueue(this, index, config);
  }

  /** The device half of queue `index`, over rings at bus addresses that its driver has given. */
  deviceQueue(index: number, config: DeviceQueueConfig): DeviceQueue {
    this.#checkIndex(index);
    return new DeviceQueue(this, index, config);
  }

  /**
   * The driver half of queue `index` as the memory has it, after `restore`.
   * @throws ConfigError when it was never enabled.
   */
  restoredDriverQueue(index: number): DriverQueue {
    this.#checkIndex(index);
    return new DriverQueue(this, index, null);
  }

  /** The device half of queue `index`, likewise. @throws ConfigError */
  restoredDeviceQueue(index: number): DeviceQueue {
    this.#checkIndex(index);
    return new DeviceQueue(this, index, null);
  }

  /**
   * Everything that the engine's region holds, with a header that says of which engine: queues and devices in the
   * middle of their work included. Taken between calls. Allocates as much.
   */
  snapshot(): Uint8Array {
    return takeSnapshot(this);
  }

  /**
   * Puts a snapshot in the place of everything. The engine must have been made with the same options, and its devices
   * with the same windows, backends and kinds. Handles of queues are made again (`restoredDriverQueue`,
   * `restoredDeviceQueue`); device and driver cores do that by themselves.
   * @throws SnapshotError for one that is damaged, or of another version or engine; then nothing has changed.
   */
  restore(snapshot: Uint8Array): void {
    checkSnapshot(this, snapshot, this.#parts);
    putSnapshot(this, snapshot);
    for (const part of this.#parts) part.restored();
  }

  /**
   * The pages of 4 KiB that devices have written since they were asked for last, in order, by number; see
   * `VirtioDevice.logsPages`. Taken first and copied then, no write is missed. Allocates.
   * @throws ConfigError without `pageLog`
   */
  takeWrittenPages(): number[] {
    const words = this.words("page log");
    const pages: number[] = [];
    for (let at = 0; at < words.length; at++) {
      // A device half in another thread may be marking.
      for (let bits = words[at] === 0 ? 0 : Atomics.exchange(words, at, 0); bits !== 0; bits &= bits - 1) {
        pages.push(32 * at + 31 - Math.clz32(bits & -bits));
      }
    }
    return pages;
  }

  /** Names a part that has something outside the memory, and words by which a snapshot is known to be of its like. @internal */
  onRestore(part: SnapshotPart): void {
    this.#parts.push(part);
  }

  /** What lies where: one line a region. */
  memoryMap(): string {
    return printMap(this.base, this.sharedBase, this.end, this.#limit, [...this.regions]);
  }

  /** The region of this name in the memory map. */
  region(name: string): Region {
    const region = this.#byName.get(name);
    if (region === undefined) throw new ConfigError(`the memory map has no region "${name}"`);
    return region;
  }

  /** The whole memory as 32-bit words; rebuilt when the memory has grown. */
  get u32(): Uint32Array {
    if (this.#u32.length === 0) this.#u32 = new Uint32Array(this.memory.buffer);
    return this.#u32;
  }

  /**
   * A region of this name as 32-bit words. Allocates the view. A view of a memory that has grown
   * has the length 0 (a shared memory's stays good), and has to be made again.
   */
  words(name: string): Uint32Array {
    const { ptr, bytes } = this.region(name);
    return new Uint32Array(this.memory.buffer, ptr, bytes >>> 2);
  }

  /** A view of `bytes` bytes at `ptr`. Allocates the view. */
  bytes(ptr: number, bytes: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, ptr, bytes);
  }

  /** A 64-bit counter as a number. Allocates. */
  readU64(ptr: number): number {
    return Number(new DataView(this.memory.buffer).getBigUint64(ptr, true));
  }

  /** Blocks that the general allocator has handed out, counted by walking its region. */
  heapLiveBlocks(): number {
    return this.wasm.tlsfLiveBlocks(this.region("heap control").ptr);
  }

  /** Whether the general allocator's region, lists and maps agree. */
  heapIsSound(): boolean {
    return this.wasm.tlsfCheck(this.region("heap control").ptr) === TLSF_SOUND;
  }

  #initPages(): void {
    const { pages, nodes } = this.limits;
    const at = (name: string): number => this.region(name).ptr;
    this.wasm.pagesInit(
      at("page control"),
      at("page descriptors"),
      at("page records"),
      at("pages"),
      pages,
      nodes,
    );
  }

  #take(request: RegionRequest): Region {
    const take = request.part === "private" ? this.wasm.arenaTakePrivate : this.wasm.arenaTakeShared;
    const region = { ...request, ptr: take(this.base, request.bytes, request.align) >>> 0 };
    this.#byName.set(request.name, region);
    return region;
  }

  /** The virtio device of this index. @throws ConfigError */
  device(index: number): VirtioDevice {
    const device = this.devices[index];
    if (device === undefined) {
      throw new ConfigError(
        `device ${index} is not among the ${this.limits.devices} that memory is reserved for`,
      );
    }
    return device;
  }

  #checkIndex(index: number): void {
    if (!Number.isInteger(index) || index < 0 || index >= this.limits.queues) {
      throw new ConfigError(
        `queue ${index} is not among the ${this.limits.queues} that memory is reserved for`,
      );
    }
  }
}

function isShared(memory: WebAssembly.Memory): boolean {
  return typeof SharedArrayBuffer !== "undefined" && memory.buffer instanceof SharedArrayBuffer;
}

function grow(memory: WebAssembly.Memory, bytes: number): void {
  try {
    memory.grow(Math.ceil(bytes / PAGE));
  } catch {
    throw new MemoryTooSmallError(bytes, 0, "but the memory can't be grown by as much");
  }
}

async function start(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  imports?: Record<string, WebAssembly.ImportValue>,
): Promise<VringExports> {
  const { instance } = await instantiate(module, { env: { ...imports, memory } });
  return instance.exports as unknown as VringExports;
}

async function compile(
  given: WebAssembly.Module | BufferSource | undefined,
  shared: boolean,
): Promise<WebAssembly.Module> {
  if (given instanceof WebAssembly.Module) return given;
  if (given !== undefined) return WebAssembly.compile(given);
  const url = shared
    ? new URL("./vring-shared.wasm", import.meta.url)
    : new URL("./vring.wasm", import.meta.url);
  return WebAssembly.compile(await load(url));
}

/** The bytes at a URL: fetched, or read where a file: URL can't be fetched (Node). */
async function load(url: URL): Promise<BufferSource> {
  if (url.protocol === "file:") {
    const process = (globalThis as { process?: { getBuiltinModule?(id: string): unknown } }).process;
    const fs = process?.getBuiltinModule?.("node:fs") as typeof import("node:fs") | undefined;
    if (fs !== undefined) return fs.promises.readFile(url) as Promise<BufferSource>;
  }
  const response = await fetch(url);
  if (!response.ok)
    throw new ConfigError(`the engine could not be loaded from ${url.href}: status ${response.status}`);
  return response.arrayBuffer();
}
