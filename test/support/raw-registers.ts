/**
 * A driver by hand: registers by their numbers, rings by their bytes. It does in order what 3.1.1 says unless it is
 * told otherwise, and is no part of what it tests.
 */
import type { Engine } from "../../src/engine.ts";
import { Features } from "../../src/features.ts";
import { type DeviceRegisters, QUEUE_DESC, QUEUE_DEVICE, QUEUE_DRIVER } from "../../src/registers.ts";
import { REQUEST } from "./echo.ts";
import { RawSplitDriver } from "./raw-split.ts";

/** Resets, acks VERSION_1 and `features`, enables `queues` (default none) and sets DRIVER_OK. */
export function bringUp(core: DeviceRegisters, options: { features?: bigint; queues?: number } = {}): void {
  negotiate(core, options.features);
  core.writeStatus(0x0f);
}

export function negotiate(core: DeviceRegisters, features = 0n): void {
  core.writeStatus(0);
  core.writeStatus(1);
  core.writeStatus(3);
  const acked = features | Features.VERSION_1;
  for (let window = 0; window < 4; window++) {
    core.writeDriverFeatures(window, Number((acked >> BigInt(32 * window)) & 0xffff_ffffn));
  }
  core.writeStatus(0x0b);
}

/** Where a queue's parts lie: in the engine's own ring memory, which no driver half uses in these tests. */
export interface RawPlaces {
  size: number;
  desc: number;
  avail: number;
  used: number;
}

export class RawDriver {
  readonly #engine: Engine;
  readonly #core: DeviceRegisters;
  readonly #rings = new Map<number, RawSplitDriver>();

  constructor(engine: Engine, core: DeviceRegisters) {
    this.#engine = engine;
    this.#core = core;
  }

  /** Everything up to and with DRIVER_OK, all queues enabled. */
  start(features = 0n): void {
    this.negotiate(features);
    for (let queue = 0; queue < this.#core.queueCount; queue++) this.enable(queue);
    this.#core.writeStatus(0x0f);
  }

  negotiate(features = 0n): void {
    negotiate(this.#core, features);
  }

  places(queue: number, size: number): RawPlaces {
    const at = (name: string): number => this.#engine.region(`queue ${queue} ${name} area`).ptr;
    return { size, desc: at("descriptor"), avail: at("driver"), used: at("device") };
  }

  /** Sets up a split queue on zeroed memory and enables it; whether it reads back enabled. */
  enable(queue: number, size = this.#core.readQueueSize(queue)): boolean {
    const places = this.places(queue, size);
    for (const name of ["descriptor", "driver", "device"]) {
      const { ptr, bytes } = this.#engine.region(`queue ${queue} ${name} area`);
      this.#engine.bytes(ptr, bytes).fill(0);
    }
    this.#rings.set(queue, new RawSplitDriver(this.#engine.memory, places));
    this.writeRegisters(queue, places);
    this.#core.writeQueueEnable(queue, 1);
    return this.#core.readQueueEnable(queue) === 1;
  }

  writeRegisters(queue: number, places: RawPlaces): void {
    const core = this.#core;
    core.writeQueueSize(queue, places.size);
    for (const [word, place] of [
      [QUEUE_DESC, places.desc],
      [QUEUE_DRIVER, places.avail],
      [QUEUE_DEVICE, places.used],
    ]) {
      core.writeQueueAddress(queue, word, place);
      core.writeQueueAddress(queue, word + 1, 0);
    }
  }

  ring(queue: number): RawSplitDriver {
    const ring = this.#rings.get(queue);
    if (ring === undefined) throw new Error(`queue ${queue} is not enabled`);
    return ring;
  }

  /** Makes `count` echo requests available, without a kick. */
  addEcho(queue: number, count: number): void {
    const { ptr } = this.#engine.buffers;
    const ring = this.ring(queue);
    for (let k = 0; k < count; k++) {
      const at = ptr + k * 2 * REQUEST;
      ring.add([
        { ptr: at, bytes: REQUEST },
        { ptr: at + REQUEST, bytes: REQUEST, write: true },
      ]);
    }
    ring.publish();
  }

  /** used.idx. */
  used(queue: number): number {
    return this.ring(queue).usedIdx;
  }

  /** Makes an available index that no driver may write. */
  breakRing(queue: number): void {
    this.ring(queue).availIdx = 0x4000;
  }
}
