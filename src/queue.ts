import type { Engine } from "./engine.ts";
import { QueueBrokenError, RefusedError } from "./errors.ts";
import { QUEUE_STATES, type QueueState, type RingFormat } from "./names.ts";
import type { VirtioDevice } from "./virtio-device.ts";

/** One {ptr, bytes} element of a buffer, as a place in the memory. */
export interface Segment {
  ptr: number;
  bytes: number;
}

/** What the handles of both halves have in common: a control block, its state, and its faults. */
export abstract class QueueHalf {
  readonly engine: Engine;
  readonly index: number;
  readonly device: VirtioDevice;
  /** The control block in the memory. */
  readonly ptr: number;
  abstract readonly format: RingFormat;

  protected constructor(engine: Engine, index: number, ptr: number, device: number) {
    this.engine = engine;
    this.index = index;
    this.ptr = ptr;
    this.device = engine.device(device);
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
