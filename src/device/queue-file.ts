import { Block } from "../block.ts";
import type { DeviceQueue } from "../device-queue.ts";
import type { Engine } from "../engine.ts";
import { RefusedError } from "../errors.ts";
import { Features } from "../features.ts";
import type { DeviceKind } from "./kind.ts";

/** Words of a queue's three addresses. */
const ADDRESS_WORDS = 6;

/**
 * The queue registers of a device (virtio 1.4, 4.1.4.3, 4.2.2), and the device half behind each enabled queue.
 *
 *           enable 1                       reset 1                    done
 *   0, 0  ------------>  enable 1, 0  ------------>  enable 1, reset 1 ------> 0, 0
 *
 * Everything that a driver can write here is stored as it is written and looked at when the queue is enabled.
 */
export class QueueFile {
  readonly count: number;
  readonly #engine: Engine;
  readonly #kind: DeviceKind;
  readonly #device: number;
  readonly #first: number;
  readonly #blocks: Block[];
  readonly #queues: (DeviceQueue | null)[];

  constructor(engine: Engine, kind: DeviceKind, device: number, first: number) {
    this.count = kind.queueCount;
    this.#engine = engine;
    this.#kind = kind;
    this.#device = device;
    this.#first = first;
    this.#blocks = Array.from(
      { length: this.count },
      (_, queue) => new Block(engine, engine.region(`queue ${first + queue} registers`).ptr),
    );
    this.#queues = new Array(this.count).fill(null);
  }

  has(queue: number): boolean {
    return this.#blocks[queue] !== undefined;
  }

  /** The device half, while the queue is enabled and not being reset. */
  live(queue: number): DeviceQueue | null {
    return this.isResetting(queue) ? null : this.enabled(queue);
  }

  /** The device half, while the queue is enabled. */
  enabled(queue: number): DeviceQueue | null {
    return this.#queues[queue] ?? null;
  }

  isEnabled(queue: number): boolean {
    return this.#register(queue, this.#engine.wasm.REGISTER_ENABLE.value) === 1;
  }

  isResetting(queue: number): boolean {
    return this.#register(queue, this.#engine.wasm.REGISTER_RESET.value) === 1;
  }

  /** Entries: what the driver has written, or else the most there may be, which is legal for the format (V-V-04). */
  size(queue: number, features: bigint): number {
    if (!this.has(queue)) return 0;
    const written = this.#register(queue, this.#engine.wasm.REGISTER_SIZE.value);
    return written === 0 ? this.#maxSize(queue, features) : written;
  }

  setSize(queue: number, size: number): void {
    this.#blocks[queue].set(this.#engine.wasm.REGISTER_SIZE.value, size);
  }

  address(queue: number, word: number): number {
    return hasWord(word) ? this.#register(queue, this.#engine.wasm.REGISTER_ADDRESSES.value + 4 * word) : 0;
  }

  /** Whether there is such a word. */
  setAddress(queue: number, word: number, value: number): boolean {
    if (!hasWord(word)) return false;
    this.#blocks[queue].set(this.#engine.wasm.REGISTER_ADDRESSES.value + 4 * word, value);
    return true;
  }

  notifyData(queue: number): number {
    return this.#register(queue, this.#engine.wasm.REGISTER_NOTIFY_DATA.value);
  }

  /** The queue that a kick with this value means under NOTIF_CONFIG_DATA; -1 for none. */
  byNotifyData(data: number): number {
    if (this.has(data) && this.notifyData(data) === data) return data;
    return this.#blocks.findIndex((_, queue) => this.notifyData(queue) === data);
  }

  /** Puts a device half to work on what the registers say; false when that can't be. */
  enable(queue: number, features: bigint): boolean {
    const size = this.size(queue, features);
    if (size > this.#maxSize(queue, features)) return false;
    const address = (word: number): bigint =>
      BigInt(this.address(queue, word)) | (BigInt(this.address(queue, word + 1)) << 32n);
    const config = {
      size,
      features,
      device: this.#device,
      maxChain: this.#kind.maxChain?.(queue),
      desc: address(0),
      driverArea: address(2),
      deviceArea: address(4),
    };
    try {
      this.#queues[queue] = this.#engine.deviceQueue(this.#first + queue, config);
    } catch (error) {
      if (error instanceof RefusedError) return false;
      throw error;
    }
    this.#blocks[queue].set(this.#engine.wasm.REGISTER_ENABLE.value, 1);
    return true;
  }

  startReset(queue: number): void {
    this.#blocks[queue].set(this.#engine.wasm.REGISTER_RESET.value, 1);
  }

  /** The device half leaves its rings alone, and the registers are as they were at first (V-V-02, V-V-03). */
  reset(queue: number): void {
    this.#queues[queue]?.stop();
    this.#queues[queue] = null;
    const { REGISTER_SIZE, REGISTER_ENABLE, REGISTER_RESET, REGISTER_NOTIFY_DATA } = this.#engine.wasm;
    const block = this.#blocks[queue];
    for (const { value } of [REGISTER_SIZE, REGISTER_ENABLE, REGISTER_RESET]) block.set(value, 0);
    for (let word = 0; word < ADDRESS_WORDS; word++) this.setAddress(queue, word, 0);
    block.set(REGISTER_NOTIFY_DATA.value, (this.#kind.notifyData?.(queue) ?? queue) & 0xffff);
  }

  /** Every queue stands still (3.4). */
  suspend(): void {
    for (const queue of this.#queues) if (queue !== null) this.#engine.wasm.queueSuspend(queue.ptr);
  }

  resume(): void {
    for (const queue of this.#queues) if (queue !== null) this.#engine.wasm.queueResume(queue.ptr);
  }

  /** Makes the handles again that the registers in the memory speak of. */
  restored(): void {
    for (let queue = 0; queue < this.count; queue++) {
      this.#queues[queue] = this.isEnabled(queue)
        ? this.#engine.restoredDeviceQueue(this.#first + queue)
        : null;
    }
  }

  #maxSize(queue: number, features: bigint): number {
    const reserved = this.#engine.limits.queueSize;
    const most = Math.min(this.#kind.maxQueueSize?.(queue) ?? reserved, reserved);
    return features & Features.RING_PACKED || most === 0 ? most : 2 ** Math.floor(Math.log2(most));
  }

  #register(queue: number, offset: number): number {
    return this.#blocks[queue]?.get(offset) ?? 0;
  }
}

function hasWord(word: number): boolean {
  return word >= 0 && word < ADDRESS_WORDS && Number.isInteger(word);
}
