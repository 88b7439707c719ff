/**
 * One engine for many cases, and what must hold in it whatever a peer does: nothing changes but the
 * places that a call may write. Between cases all of its memory is put back, which makes a new engine
 * of it, because the code keeps no state of its own.
 */
import * as spec from "../assembly/spec.ts";
import type { DeviceQueue } from "../src/device-queue.ts";
import type { DriverQueue } from "../src/driver-queue.ts";
import { Engine } from "../src/engine.ts";
import { VringError } from "../src/errors.ts";
import { Features } from "../src/features.ts";
import type { RingFormat } from "../src/names.ts";
import type { Span } from "../test/support/canaries.ts";

/** Most entries of a ring, and most buffers of a burst. */
export const CAPACITY = 16;
export const BATCH = 8;
export const RUNNING =
  spec.STATUS_ACKNOWLEDGE | spec.STATUS_DRIVER | spec.STATUS_FEATURES_OK | spec.STATUS_DRIVER_OK;

// Packet data:  | canary | queue 1's | canary | the hostile peer's ......... | canary
const CANARY = 64;
const HONEST_BYTES = 512;
export const HOSTILE_BYTES = 6144;
const BUFFER_BYTES = 3 * CANARY + HONEST_BYTES + HOSTILE_BYTES;
/** Address space of which most bytes are never touched: chains of more than 2^32 bytes need wide windows (S-D-03). */
const MEMORY_BYTES = 2 ** 30;

/** A rule of the engine that does not hold. */
export class Failure extends Error {}

export class World {
  readonly engine: Engine;
  readonly format: RingFormat;
  /** What the hostile peer may use as it likes. */
  readonly hostile: Span;
  readonly #image: Uint8Array;
  readonly #was: Uint8Array;
  readonly #now: Uint8Array;
  readonly #view: DataView;
  readonly #honest: Span[];
  #honestPair: { driver: DriverQueue; device: DeviceQueue } | null = null;

  private constructor(engine: Engine, format: RingFormat) {
    this.engine = engine;
    this.format = format;
    const from = engine.buffers.ptr;
    const honest = { ptr: from + CANARY, bytes: HONEST_BYTES };
    this.hostile = { ptr: honest.ptr + HONEST_BYTES + CANARY, bytes: HOSTILE_BYTES };
    this.#now = new Uint8Array(engine.memory.buffer, 0, engine.end + CANARY);
    for (const start of [from, honest.ptr + HONEST_BYTES, this.hostile.ptr + HOSTILE_BYTES]) {
      this.#now.fill(0xa5, start, start + CANARY);
    }
    this.#now.fill(0xa5, engine.end);
    this.#image = this.#now.slice();
    this.#was = this.#now.slice();
    this.#view = new DataView(engine.memory.buffer);
    this.#honest = this.regions(/^queue 1 |^heap/);
  }

  static async create(format: RingFormat, module: WebAssembly.Module): Promise<World> {
    const engine = await Engine.create({
      module,
      queues: 2,
      devices: 2,
      queueSize: CAPACITY,
      batch: BATCH,
      maxSgs: 8,
      threshold: 4,
      nodes: 2,
      heapBytes: 1024,
      bufferBytes: BUFFER_BYTES,
      memoryBytes: MEMORY_BYTES,
    });
    return new World(engine, format);
  }

  /** A new engine, as far as anybody can tell. */
  reset(): void {
    this.#now.set(this.#image);
    this.#was.set(this.#image);
    this.#honestPair = null;
    const { sharedBase, end } = this.engine;
    const window = { base: BigInt(sharedBase), length: BigInt(end - sharedBase), offset: sharedBase };
    for (const device of this.engine.devices) device.setWindow(window);
  }

  /** Bytes of packet data that belong to queue 1. */
  get honestData(): number {
    return this.engine.buffers.ptr + CANARY;
  }

  /** The regions of these names, as spans. */
  regions(names: RegExp): Span[] {
    return this.engine.regions
      .filter(({ name, bytes }) => names.test(name) && bytes > 0)
      .map(({ ptr, bytes }) => ({ ptr, bytes }));
  }

  get view(): DataView {
    return this.#view;
  }

  u16(ptr: number): number {
    return this.#view.getUint16(ptr, true);
  }
  u32(ptr: number): number {
    return this.#view.getUint32(ptr, true);
  }
  u64(ptr: number): bigint {
    return this.#view.getBigUint64(ptr, true);
  }
  setU16(ptr: number, value: number): void {
    this.#view.setUint16(ptr, value, true);
  }
  setU32(ptr: number, value: number): void {
    this.#view.setUint32(ptr, value, true);
  }
  setU64(ptr: number, value: bigint): void {
    this.#view.setBigUint64(ptr, value, true);
  }
  setU8(ptr: number, value: number): void {
    this.#now[ptr] = value;
  }

  /** What somebody other than the engine has written is the way things are now. */
  sync(): void {
    this.#was.set(this.#now);
  }

  /** Since the last look only bytes in the `allowed` spans have changed. */
  onlyChanged(allowed: readonly Span[], what: string): void {
    for (const { ptr, bytes } of allowed) this.#was.set(this.#now.subarray(ptr, ptr + bytes), ptr);
    if (Buffer.compare(this.#was, this.#now) === 0) return;
    const at = this.#now.findIndex((byte, k) => byte !== this.#was[k]);
    throw new Failure(`${what} wrote byte ${this.place(at)}`);
  }

  /** A byte's place by the names of the memory map. */
  place(at: number): string {
    const region = this.engine.regions.find(({ ptr, bytes }) => at >= ptr && at < ptr + bytes);
    return region === undefined ? `${at} outside of the map` : `${at - region.ptr} of "${region.name}"`;
  }

  /** Two buffers all the way through queue 1, whose peers are honest: nothing of queue 0 reaches it. */
  honestRound(): void {
    this.#honestPair ??= this.#connectHonest();
    const { driver, device } = this.#honestPair;
    const at = this.honestData;
    const token = driver.counters().added + 1;
    for (const [k, bytes] of [10, 100].entries()) {
      const readable = [{ ptr: at, bytes }];
      const writable = [{ ptr: at + 128, bytes: 200 }];
      must(driver.add({ token: token + k, readable, writable }), "queue 1 refuses a buffer");
    }
    driver.publish();
    const chains = device.pop();
    same(
      chains.map(({ readable, writable }) => [...readable, ...writable]),
      [10, 100].map((bytes) => [
        { ptr: at, bytes },
        { ptr: at + 128, bytes: 200 },
      ]),
      "queue 1 pops",
    );
    for (const [k, { handle }] of chains.entries()) device.markUsed(handle, 200 - k);
    device.publishUsed();
    same(
      driver.reclaim(),
      [0, 1].map((k) => ({ token: token + k, len: 200 - k })),
      "queue 1 reclaims",
    );
    this.onlyChanged(this.#honest, "queue 1");
  }

  #connectHonest(): { driver: DriverQueue; device: DeviceQueue } {
    const { format } = this;
    const base = Features.VERSION_1 | Features.INDIRECT_DESC | Features.EVENT_IDX;
    const features = format === "packed" ? base | Features.RING_PACKED : base;
    const pair = this.engine.connect(1, { format, features, size: 4, device: 1 });
    this.onlyChanged(this.#honest, "queue 1's set-up");
    return pair;
  }
}

export function must(holds: boolean, message: string | (() => string)): void {
  if (!holds) throw new Failure(typeof message === "string" ? message : message());
}

export function equal(got: number | string | bigint | boolean | null, want: unknown, what: string): void {
  if (got !== want) throw new Failure(`${what}: ${got}, and not ${want}`);
}

/** Equality of small structures. */
export function same(got: unknown, want: unknown, what: string): void {
  const [one, other] = [JSON.stringify(got), JSON.stringify(want)];
  if (one !== other) throw new Failure(`${what}: ${one}, and not ${other}`);
}

/** The code of the error that a call throws, or null. */
export function codeOf(call: () => unknown): string | null {
  try {
    call();
    return null;
  } catch (error) {
    if (error instanceof VringError) return error.code;
    throw error;
  }
}
