import { Block } from "./block.ts";
import type { Engine } from "./engine.ts";
import { ConfigError, QueueBrokenError, RefusedError } from "./errors.ts";
import { DEFAULT_FEATURES, Features } from "./features.ts";
import { QUEUE_STATES, type QueueState, RING_FORMATS, type RingFormat } from "./names.ts";
import type { VirtioDevice } from "./virtio-device.ts";

/** One {ptr, bytes} element of a buffer, as a place in the memory. */
export interface Segment {
  ptr: number;
  bytes: number;
}

/** What a half speaks: by its features, by its format, or by both when they agree. @throws ConfigError */
export function ringOf(config: { format?: RingFormat; features?: bigint }): {
  format: RingFormat;
  features: bigint;
} {
  const format = config.format ?? ((config.features ?? 0n) & Features.RING_PACKED ? "packed" : "split");
  if (!RING_FORMATS.includes(format))
    throw new ConfigError(`format is "${format}", but must be split or packed`);
  const packed = format === "packed" ? Features.RING_PACKED : 0n;
  const features = config.features ?? DEFAULT_FEATURES | packed;
  if (format === "split" && features & Features.RING_PACKED) {
    throw new ConfigError('format is "split", but the features hold RING_PACKED: one of them must go');
  }
  return { format, features };
}

/** What a half is made with, in the memory: a handle that is made anew over its control block goes by it. */
export function madeWith(engine: Engine, queue: number, half: "driver" | "device"): MadeWith {
  const block = new Block(engine, engine.region(`queue ${queue} registers`).ptr);
  const { REGISTER_DRIVER_FEATURES, REGISTER_DEVICE_FEATURES } = engine.wasm;
  const at = (half === "driver" ? REGISTER_DRIVER_FEATURES : REGISTER_DEVICE_FEATURES).value;
  return {
    read: () => block.bits(at),
    write: (features, format) =>
      block.setBits(at, format === "packed" ? features | Features.RING_PACKED : features),
  };
}

interface MadeWith {
  read(): bigint;
  write(features: bigint, format: RingFormat): void;
}

/** What the handles of both halves have in common: a control block, its state, and its faults. */
export abstract class QueueHalf {
  readonly engine: Engine;
  readonly index: number;
  readonly device: VirtioDevice;
  /** The control block in the memory. */
  readonly ptr: number;
  abstract readonly format: RingFormat;

  /** @param device null: the one that the control block says. */
  protected constructor(engine: Engine, index: number, ptr: number, device: number | null) {
    this.engine = engine;
    this.index = index;
    this.ptr = ptr;
    this.device = device === null ? this.#restoredDevice() : engine.device(device);
  }

  /** @throws ConfigError when the half was never put to work. */
  #restoredDevice(): VirtioDevice {
    const block = this.word(this.engine.wasm.QUEUE_DEVICE.value);
    const device = this.engine.devices.find(({ ptr, driverView }) => block === ptr || block === driverView);
    if (device === undefined) throw new ConfigError(`this half of queue ${this.index} was never enabled`);
    return device;
  }

  get state(): QueueState {
    return QUEUE_STATES[this.word(this.engine.wasm.QUEUE_STATE.value)];
  }

  /** Entries of the ring. */
  get size(): number {
    return this.word(this.engine.wasm.QUEUE_SIZE.value);
  }

  /** What the peer did to break the queue, or null. */
  get violation(): QueueBrokenError | null {
    const { QUEUE_ERROR, QUEUE_ERROR_INDEX } = this.engine.wasm;
    const error = this.word(QUEUE_ERROR.value);
    return error === 0 ? null : new QueueBrokenError(error, this.index, this.word(QUEUE_ERROR_INDEX.value));
  }

  /** Why the last burst stopped before its end through the caller's fault, or null. */
  get refusal(): RefusedError | null {
    const { QUEUE_REFUSAL, QUEUE_REFUSAL_INDEX } = this.engine.wasm;
    const refusal = this.word(QUEUE_REFUSAL.value);
    return refusal === 0 ? null : new RefusedError(refusal, this.index, this.word(QUEUE_REFUSAL_INDEX.value));
  }

  /** Stops this half: queue or device reset, once the peer has confirmed it (2.6.1, 2.4). */
  stop(): void {
    this.engine.wasm.queueStop(this.ptr);
  }

  /** For the comfortable calls: @throws QueueBrokenError or RefusedError when there is one to report. */
  protected throwFaults(): void {
    const fault = this.violation ?? this.refusal;
    if (fault !== null) throw fault;
  }

  protected word(offset: number): number {
    return this.engine.u32[(this.ptr + offset) >>> 2];
  }

  protected setWord(offset: number, value: number): void {
    this.engine.u32[(this.ptr + offset) >>> 2] = value;
  }

  protected counter(offset: number): number {
    return this.engine.readU64(this.ptr + offset);
  }
}
