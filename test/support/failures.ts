/** Everything in a bench that can be told to fail, and what then did. */
import { RX_FRAMES } from "../../assembly/abi.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";
import type { Random } from "./random.ts";

/** What can fail: the so-manieth page, mapping, pin, packet that the wire is to take where it is, and job of a copy engine. */
export const FAILURES = ["page", "map", "pin", "wire", "job"] as const;
export type Failure = (typeof FAILURES)[number];

/** Tells a bench to fail, and counts what did. */
export class Failures {
  readonly #bench: DriverBench;
  /** Where each failure's countdown is, as an index of words; absent where the system has nothing of the kind. */
  readonly #countdowns = new Map<Failure, number>();
  readonly #armed = new Set<Failure>();
  readonly #happened = new Map<Failure, number>();
  readonly #hog: number[] = [];

  constructor(bench: DriverBench) {
    this.#bench = bench;
    const { engine, settings, ports } = bench;
    const { wasm, u32, devices } = engine;
    const put = (failure: Failure, ptr: number, { value }: { value: number }): void => {
      this.#countdowns.set(failure, (ptr + value) >>> 2);
      this.#happened.set(failure, 0);
    };
    const rx = u32[(ports[0] + wasm.PORT_RX.value) >>> 2];
    // Where frames are the buffers, no page is taken.
    if (settings.receives && u32[(rx + wasm.RX_RING_KIND.value) >>> 2] !== RX_FRAMES)
      put("page", engine.region("page control").ptr, wasm.PAGES_FAIL_IN);
    if (settings.record.accessPlatform) put("map", devices[0].space, wasm.SPACE_FAIL_IN);
    if (engine.limits.pins) put("pin", engine.region("pins").ptr, wasm.PINS_FAIL_IN);
    const host = u32[(ports[0] + wasm.PORT_HOST.value) >>> 2];
    const engineOfHost = host && u32[(host + wasm.HOST_COPY_ENGINE.value) >>> 2];
    if (engineOfHost) put("job", engineOfHost, wasm.COPY_ENGINE_FAIL_IN);
    const flight = host && u32[(host + wasm.HOST_FLIGHT.value) >>> 2];
    if (flight) put("wire", flight, wasm.IN_FLIGHT_FAIL_IN);
  }

  /** The failures that there are here. */
  get possible(): Failure[] {
    return [...this.#countdowns.keys()];
  }

  /** How many of a kind happened. */
  happened(failure: Failure): number {
    this.#look();
    return this.#happened.get(failure) ?? 0;
  }

  /** The `count`th from now fails. */
  arm(failure: Failure, count: number): void {
    this.#look();
    const at = this.#countdowns.get(failure);
    if (at === undefined) return;
    this.#bench.engine.u32[at] = count;
    this.#armed.add(failure);
  }

  armAny(random: Random, most: number): void {
    if (this.#countdowns.size > 0) this.arm(random.pick(this.possible), random.int(1, most));
  }

  /** What has not happened yet won't. */
  disarm(): void {
    this.#look();
    for (const failure of this.#armed) this.#bench.engine.u32[this.#countdowns.get(failure) as number] = 0;
    this.#armed.clear();
  }

  #look(): void {
    for (const failure of this.#armed) {
      if (this.#bench.engine.u32[this.#countdowns.get(failure) as number] !== 0) continue;
      this.#armed.delete(failure);
      this.#happened.set(failure, (this.#happened.get(failure) ?? 0) + 1);
    }
  }

  /** Takes all that the general allocator has, so that every allocation fails until `releaseHeap`. */
  takeHeap(): void {
    const { engine } = this.#bench;
    const control = engine.region("heap control").ptr;
    for (let bytes = engine.region("heap").bytes; bytes >= 8; ) {
      const block = engine.wasm.tlsfTake(control, bytes) >>> 0;
      if (block === 0) bytes = Math.floor(bytes / 2);
      else this.#hog.push(block);
    }
  }

  releaseHeap(): void {
    const { engine } = this.#bench;
    const control = engine.region("heap control").ptr;
    for (const block of this.#hog.splice(0)) engine.wasm.tlsfGive(control, block);
  }

  /** What the engine itself counted of a kind. */
  counted(failure: Failure): number {
    const { engine } = this.#bench;
    const { wasm } = engine;
    const u64 = (name: string, { value }: { value: number }): number =>
      engine.readU64(engine.region(name).ptr + value);
    switch (failure) {
      case "page":
        return u64("page control", wasm.PAGES_FAILURES);
      case "map":
        return engine.devices[0].dma.counters().mapFailures;
      case "pin":
        return u64("pins", wasm.PINS_FAILURES);
      case "wire":
        return this.happened("wire");
      case "job":
        return this.#bench.counters().hostErrors;
    }
  }
}
