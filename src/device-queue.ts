import * as abi from "../assembly/abi.ts";
import { IOMMU_PAGE } from "./dma-options.ts";
import type { Engine } from "./engine.ts";
import { RefusedError } from "./errors.ts";
import { queueFlags } from "./features.ts";
import type { RingFormat } from "./names.ts";
import { madeWith, QueueHalf, ringOf, type Segment } from "./queue.ts";

export interface DeviceQueueConfig {
  /** Default `split`; RING_PACKED in `features` says the same. */
  format?: RingFormat;
  size: number;
  /** Negotiated features; default VERSION_1, INDIRECT_DESC and EVENT_IDX. */
  features?: bigint;
  /** Bus addresses of the descriptor area, driver area and device area, as the driver gave them. */
  desc: bigint;
  driverArea: bigint;
  deviceArea: bigint;
  /** Most elements of a buffer that are accepted (S-B-05); default: the ring's size. */
  maxChain?: number;
  /** The virtio device that the queue belongs to. Default 0. */
  device?: number;
}

/**
 * A popped buffer: what the device reads, then what it may write. Behind an IOMMU the `ptr` of a segment is a bus
 * address: `DeviceQueue.read` and `write` go through it, and are the only way; elsewhere it is a place in the memory.
 */
export interface Chain {
  /** Names the buffer until it is marked used. */
  handle: number;
  readable: Segment[];
  writable: Segment[];
  /** Bytes in each part. */
  readableBytes: number;
  writableBytes: number;
}

export interface DeviceCounters {
  popped: number;
  used: number;
  publishes: number;
  interrupts: number;
}

/**
 * The device half of a virtqueue, over rings that its driver has placed anywhere in the device's
 * address space. Everything that the driver can write is read once and checked.
 *
 * Burst calls (`popBurst`, `markUsedBurst`, `publishUsed`) allocate nothing: the caller reads
 * records from `popped` and writes them into `completions`. `pop` and `markUsed` are the
 * comfortable way to do the same; `pop` allocates.
 */
export class DeviceQueue extends QueueHalf {
  readonly format: RingFormat;
  readonly features: bigint;
  readonly #calls: DeviceCalls;
  readonly #popped: number;
  readonly #poppedBytes: number;
  readonly #used: number;
  #poppedView: Uint32Array;
  #usedView: Uint32Array;

  /**
   * @internal Made by `Engine.deviceQueue` and `Engine.connect`; without a config by `Engine.restoredDeviceQueue`,
   * over a control block as it stands.
   */
  constructor(engine: Engine, index: number, config: DeviceQueueConfig | null) {
    super(engine, index, engine.region(`queue ${index} device`).ptr, config && (config.device ?? 0));
    const stored = madeWith(engine, index, "device");
    const { format, features } = ringOf(config ?? { features: stored.read() });
    this.format = format;
    this.features = features;
    this.#calls = deviceCalls(engine.wasm, format);
    this.#poppedView = engine.words(`queue ${index} staging popped`);
    this.#usedView = engine.words(`queue ${index} staging used`);
    this.#popped = this.#poppedView.byteOffset;
    this.#poppedBytes = this.#poppedView.byteLength;
    this.#used = this.#usedView.byteOffset;
    if (config === null) return;
    if (this.state !== "stopped") throw new RefusedError(abi.R_QUEUE_LIVE, index, 0);
    stored.write(features, format);
    this.#configure(config);
    const refusal = this.#calls.enable(this.ptr);
    if (refusal !== abi.OK) throw new RefusedError(refusal, index, 0);
  }

  #configure(config: DeviceQueueConfig): void {
    const { engine, index } = this;
    const { wasm, limits } = engine;
    this.setWord(wasm.QUEUE_FLAGS.value, queueFlags(this.features));
    this.setWord(wasm.QUEUE_SIZE.value, config.size);
    this.setWord(wasm.QUEUE_CAPACITY.value, limits.queueSize);
    this.setWord(wasm.QUEUE_INDEX.value, index);
    this.setWord(wasm.QUEUE_DEVICE.value, this.device.ptr);
    this.setWord(wasm.QUEUE_SPACE.value, this.device.space);
    this.setWord(wasm.QUEUE_RECORDS.value, engine.region(`queue ${index} device records`).ptr);
    this.setWord(wasm.DEVICE_QUEUE_MAX_CHAIN.value, config.maxChain ?? 0);
    this.#setAddress(wasm.DEVICE_QUEUE_DESC_ADDR.value, config.desc);
    this.#setAddress(wasm.DEVICE_QUEUE_DRIVER_ADDR.value, config.driverArea);
    this.#setAddress(wasm.DEVICE_QUEUE_DEVICE_ADDR.value, config.deviceArea);
  }

  /** Bus addresses of the descriptor, driver and device area, as the driver gave them. Allocates. */
  get addresses(): { desc: bigint; driverArea: bigint; deviceArea: bigint } {
    const { DEVICE_QUEUE_DESC_ADDR, DEVICE_QUEUE_DRIVER_ADDR, DEVICE_QUEUE_DEVICE_ADDR } = this.engine.wasm;
    return {
      desc: this.#address(DEVICE_QUEUE_DESC_ADDR.value),
      driverArea: this.#address(DEVICE_QUEUE_DRIVER_ADDR.value),
      deviceArea: this.#address(DEVICE_QUEUE_DEVICE_ADDR.value),
    };
  }

  /** Records of `popBurst`: handle, readable | writable << 16, readable bytes, writable bytes, then {ptr, bytes} each. */
  get popped(): Uint32Array {
    if (this.#poppedView.length === 0)
      this.#poppedView = this.engine.words(`queue ${this.index} staging popped`);
    return this.#poppedView;
  }

  /** Records for `markUsedBurst`: {handle, bytes written}. */
  get completions(): Uint32Array {
    if (this.#usedView.length === 0) this.#usedView = this.engine.words(`queue ${this.index} staging used`);
    return this.#usedView;
  }

  /**
   * Pops up to `max` buffers into `popped`; how many. It ends early at a rule that the driver
   * broke (see `violation`), and does nothing before DRIVER_OK or after DEVICE_NEEDS_RESET.
   */
  popBurst(max: number): number {
    return this.#calls.pop(this.ptr, this.#popped, this.#poppedBytes, max);
  }

  /** Marks the buffers of `count` records in `completions` used; how many. See `refusal` when fewer. */
  markUsedBurst(count: number): number {
    return this.#calls.markUsed(this.ptr, this.#used, count);
  }

  /** Marks the first `count` buffers in `popped` used, with their whole writable part; how many. */
  markPoppedUsed(count: number): number {
    return this.#calls.markAllUsed(this.ptr, this.#popped, count);
  }

  /** Shows the driver what was used; whether it wants an interrupt. */
  publishUsed(): boolean {
    return this.#calls.publishUsed(this.ptr) !== 0;
  }

  /** Pops up to `max` buffers. Allocates. @throws QueueBrokenError once nothing is left from before the fault. */
  pop(max = this.engine.limits.batch): Chain[] {
    const count = this.popBurst(max);
    if (count === 0) this.throwFaults();
    const words = this.popped;
    let at = 0;
    return Array.from({ length: count }, () => {
      const counts = words[at + 1];
      const chain: Chain = {
        handle: words[at],
        readable: [],
        writable: [],
        readableBytes: words[at + 2],
        writableBytes: words[at + 3],
      };
      at += abi.POP_HEADER / 4;
      const readable = counts & 0xffff;
      const total = readable + (counts >>> 16);
      for (let k = 0; k < total; k++, at += 2) {
        (k < readable ? chain.readable : chain.writable).push({ ptr: words[at], bytes: words[at + 1] });
      }
      return chain;
    });
  }

  /**
   * The device reads `bytes` at a popped record's `ptr` into the memory at `to`. False when its DMA backend forbids it:
   * then no byte was moved, the queue is broken, and the fault is in `device.dma.faults()`.
   */
  readTo(dma: number, to: number, bytes: number): boolean {
    return Boolean(this.engine.wasm.deviceBufferRead(this.ptr, dma, to, bytes));
  }

  /** The device writes `bytes` of the memory at `from` to a popped record's `ptr`. False as for `readTo`. */
  writeFrom(dma: number, from: number, bytes: number): boolean {
    return Boolean(this.engine.wasm.deviceBufferWrite(this.ptr, dma, from, bytes));
  }

  /**
   * What the device reads at `segment`, or of its bytes from `offset` on, as far as its DMA backend lets it. Allocates.
   * Where there is a window, `segment.ptr` is the place of the same bytes.
   * @throws QueueBrokenError when it may not: then the queue is broken, and the fault in `device.dma.faults()`.
   */
  read(segment: Segment, offset = 0, bytes = segment.bytes - offset): Uint8Array {
    const data = new Uint8Array(bytes);
    this.#access(segment.ptr + offset, bytes, false, (at, view) => data.set(view, at));
    return data;
  }

  /** The device writes `data` at `segment`, from its byte `offset` on. Allocates. @throws QueueBrokenError as `read` */
  write(segment: Segment, data: Uint8Array, offset = 0): void {
    this.#access(segment.ptr + offset, data.length, true, (at, view) =>
      view.set(data.subarray(at, at + view.length)),
    );
  }

  /** Marks one popped buffer used, with `len` bytes written. @throws RefusedError, QueueBrokenError */
  markUsed(handle: number, len: number): void {
    const words = this.completions;
    words[0] = handle;
    words[1] = len;
    if (this.markUsedBurst(1) === 1) return;
    this.throwFaults();
    throw new RefusedError(abi.R_QUEUE_NOT_LIVE, this.index, 0);
  }

  /** Asks for a kick after `after` further available buffers (split) or slots (packed); whether there is work already. */
  arm(after = 0): boolean {
    return this.#calls.arm(this.ptr, after) !== 0;
  }

  /** Asks for no kicks. */
  suppress(): void {
    this.#calls.suppress(this.ptr);
  }

  /** All counters. Allocates. */
  counters(): DeviceCounters {
    const { wasm } = this.engine;
    return {
      popped: this.counter(wasm.DEVICE_QUEUE_POPPED.value),
      used: this.counter(wasm.DEVICE_QUEUE_USED.value),
      publishes: this.counter(wasm.DEVICE_QUEUE_PUBLISHES.value),
      interrupts: this.counter(wasm.DEVICE_QUEUE_INTERRUPTS.value),
    };
  }

  /** Calls `move` for each piece of the memory that `bytes` at `dma` lie in, once all of them are known to be allowed. */
  #access(dma: number, bytes: number, write: boolean, move: (at: number, view: Uint8Array) => void): void {
    const { engine, ptr } = this;
    const { wasm } = engine;
    const whole = wasm.bufferPlace(ptr, dma, bytes, write) >>> 0;
    if (whole === abi.IOMMU_FAULT) {
      this.throwFaults();
      throw new RefusedError(abi.R_QUEUE_NOT_LIVE, this.index, 0);
    }
    for (let at = 0; at < bytes; ) {
      const scattered = whole === abi.ACCESS_SCATTERED;
      const piece = scattered ? Math.min(IOMMU_PAGE - ((dma + at) % IOMMU_PAGE), bytes - at) : bytes;
      const place = scattered ? wasm.bufferBytePlace(ptr, dma + at, write) >>> 0 : whole;
      move(at, engine.bytes(place, piece));
      if (write) wasm.bufferWritten(ptr, place, piece);
      at += piece;
    }
  }

  #address(offset: number): bigint {
    return new DataView(this.engine.memory.buffer).getBigUint64(this.ptr + offset, true);
  }

  #setAddress(offset: number, address: bigint): void {
    new DataView(this.engine.memory.buffer).setBigUint64(this.ptr + offset, address, true);
  }
}

interface DeviceCalls {
  enable(ptr: number): number;
  pop(ptr: number, out: number, bytes: number, max: number): number;
  markUsed(ptr: number, stream: number, count: number): number;
  markAllUsed(ptr: number, popped: number, count: number): number;
  publishUsed(ptr: number): number;
  arm(ptr: number, after: number): number;
  suppress(ptr: number): void;
}

function deviceCalls(wasm: Engine["wasm"], format: RingFormat): DeviceCalls {
  return format === "split"
    ? {
        enable: wasm.splitDeviceEnable,
        pop: wasm.splitDevicePop,
        markUsed: wasm.splitDeviceMarkUsed,
        markAllUsed: wasm.splitDeviceMarkAllUsed,
        publishUsed: wasm.splitDevicePublishUsed,
        arm: wasm.splitDeviceArm,
        suppress: wasm.splitDeviceSuppress,
      }
    : {
        enable: wasm.packedDeviceEnable,
        pop: wasm.packedDevicePop,
        markUsed: wasm.packedDeviceMarkUsed,
        markAllUsed: wasm.packedDeviceMarkAllUsed,
        publishUsed: wasm.packedDevicePublishUsed,
        arm: wasm.packedDeviceArm,
        suppress: wasm.packedDeviceSuppress,
      };
}
