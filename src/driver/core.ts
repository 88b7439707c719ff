import * as spec from "../../assembly/spec.ts";
import { Block } from "../block.ts";
import type { DriverQueue } from "../driver-queue.ts";
import type { Engine } from "../engine.ts";
import { ConfigError, DriverError } from "../errors.ts";
import {
  closedFeatures,
  DEVICE_TYPE_FEATURES,
  featuresOnTransport,
  IMPLEMENTED_FEATURES,
  type TransportType,
} from "../feature-rules.ts";
import { Features } from "../features.ts";
import { PendingQueues } from "../pending-queues.ts";
import {
  type DeviceEvents,
  type DeviceRegisters,
  QUEUE_DESC,
  QUEUE_DEVICE,
  QUEUE_DRIVER,
} from "../registers.ts";
import type { ConfigField, DriverHost, DriverKind, QueuePlan } from "./kind.ts";
import { DeviceLink } from "./link.ts";

const { STATUS_ACKNOWLEDGE, STATUS_DRIVER, STATUS_FEATURES_OK, STATUS_DRIVER_OK } = spec;
const { STATUS_SUSPEND, STATUS_DEVICE_NEEDS_RESET, STATUS_FAILED } = spec;

/** Section 6.1: what a driver should ack whenever it is offered, whatever its kind. */
const ACKED_WHEN_OFFERED =
  Features.VERSION_1 |
  Features.ACCESS_PLATFORM |
  Features.RING_PACKED |
  Features.ORDER_PLATFORM |
  Features.NOTIF_CONFIG_DATA;

export interface DriverCoreOptions {
  /** The engine's device whose address space the queues lie in. Default 0. */
  device?: number;
  /** The engine's queue that is queue 0 of the device. Default 0. */
  firstQueue?: number;
  /** How the device is reached: some features belong to some transports (F-B-03). Default `in-process`. */
  transport?: TransportType;
  /** Features that are not to be acked although they are offered. */
  decline?: bigint;
  /** How often a register is read at most for one answer. Default 1000. */
  pollLimit?: number;
  /** Called between two of those reads: to let the device go on, where it needs that. */
  wait?: () => void;
}

/**
 * The transport-neutral driver side of virtio 1.4: bring-up (3.1.1), resets, suspension (3.4), notifications and
 * the configuration space, against a device's registers. A `DriverKind` makes it a network driver or another.
 *
 * The device is never trusted: waiting is bounded, and what goes wrong is a `DriverError` with a code. An adapter tells
 * it of the device's notifications through `DeviceEvents`.
 */
export class DriverCore implements DriverHost, DeviceEvents {
  readonly engine: Engine;
  readonly #kind: DriverKind;
  readonly #options: DriverCoreOptions;
  readonly #link: DeviceLink;
  readonly #first: number;
  /** What the driver knows of the device, where its queue halves look. */
  readonly #view: Block;
  readonly #queues: (DriverQueue | null)[];
  readonly #used: PendingQueues;
  /** Kicks that wait for DRIVER_OK. */
  readonly #owed = new Set<number>();
  #offered = 0n;

  /** @throws ConfigError for a device or queues that the engine has not. */
  constructor(engine: Engine, registers: DeviceRegisters, kind: DriverKind, options: DriverCoreOptions = {}) {
    this.engine = engine;
    this.#kind = kind;
    this.#options = options;
    this.#first = options.firstQueue ?? 0;
    const queues = Math.min(registers.queueCount, engine.limits.queues - this.#first);
    if (queues < 0)
      throw new ConfigError(`firstQueue is ${this.#first}, but there are ${engine.limits.queues}`);
    this.#link = new DeviceLink(registers, options.pollLimit ?? 1000, options.wait ?? (() => {}));
    this.#view = new Block(engine, engine.device(options.device ?? 0).driverView);
    this.#queues = new Array(queues).fill(null);
    this.#used = new PendingQueues(queues, (queue) => {
      if (this.#queues[queue]) this.#kind.usedBuffers(queue);
    });
    engine.onRestore(this);
  }

  /** The device's status as the driver knows it: what it wrote, and what it read since. */
  get status(): number {
    return this.#view.get(this.engine.wasm.DEVICE_STATUS.value);
  }

  get offered(): bigint {
    return this.#offered;
  }

  get features(): bigint {
    return this.#view.bits(this.engine.wasm.DEVICE_FEATURES_0.value);
  }

  get running(): boolean {
    return (this.status & (STATUS_DRIVER_OK | STATUS_DEVICE_NEEDS_RESET)) === STATUS_DRIVER_OK;
  }

  /**
   * Resets the device and brings it up (3.1.1). What fails for good ends in FAILED, and is thrown.
   * @throws DriverError, and what the kind throws
   */
  start(): void {
    this.reset();
    this.#queues.fill(null);
    try {
      this.#negotiate();
      for (const plan of this.#kind.queues(this)) this.#setUp(plan);
      this.#kind.fill?.(this);
      this.#setStatus(STATUS_DRIVER_OK);
      for (let queue = 0; queue < this.#queues.length; queue++) {
        if (this.#queues[queue]) this.publish(queue);
      }
      for (const queue of this.#owed) this.kick(queue);
      this.#owed.clear();
      this.#kind.driverOk?.(this);
    } catch (error) {
      this.fail();
      throw error;
    }
  }

  /** Gives up on the device: FAILED (2.1.1). Only a reset, as `start` begins with, leads out of it. */
  fail(): void {
    this.#setStatus(STATUS_FAILED);
  }

  /**
   * Resets the device (2.4); when that is confirmed the queues are stopped, and what was outstanding can be detached.
   * @throws DriverError `reset-timeout`: the device may still be writing to its buffers
   */
  reset(): void {
    this.#setView(0);
    this.#link.reset();
    this.#view.setBits(this.engine.wasm.DEVICE_FEATURES_0.value, 0n);
    this.#used.clear();
    this.#owed.clear();
    for (let queue = 0; queue < this.#queues.length; queue++) this.#stopQueue(queue);
  }

  #negotiate(): void {
    const { registers } = this.#link;
    this.#setStatus(STATUS_ACKNOWLEDGE);
    if (registers.deviceId !== this.#kind.deviceId) {
      throw new DriverError("wrong-device", `${registers.deviceId}, not ${this.#kind.deviceId}`);
    }
    this.#setStatus(STATUS_DRIVER);
    this.#offered = this.#link.offered();
    const acked = this.#choose(this.#offered);
    const needed = this.#kind.configBytes(this.#offered);
    if (registers.configBytes < needed) {
      throw new DriverError("config-too-small", `${registers.configBytes} bytes, not ${needed}`);
    }
    this.#link.ack(acked);
    this.#setStatus(STATUS_FEATURES_OK);
    if (!(registers.readStatus() & STATUS_FEATURES_OK)) throw new DriverError("features-refused");
    this.#view.setBits(this.engine.wasm.DEVICE_FEATURES_0.value, acked);
  }

  /** G-D-05, G-D-06, G-D-07: of what is offered what both halves know, with all that it needs. */
  #choose(offered: bigint): bigint {
    const { transport = "in-process", decline = 0n } = this.#options;
    let able = (this.#kind.features | ACKED_WHEN_OFFERED) & (IMPLEMENTED_FEATURES | DEVICE_TYPE_FEATURES);
    // Halves that map what they lend need memory for what is mapped.
    if (this.engine.limits.dma === null) able &= ~Features.ACCESS_PLATFORM;
    const wanted = offered & featuresOnTransport(able, transport) & ~decline;
    const acked = closedFeatures(wanted, this.#kind.rules);
    const missing = (Features.VERSION_1 | (this.#kind.required ?? 0n)) & ~acked;
    if (missing !== 0n) throw new DriverError("feature-missing", `0x${missing.toString(16)}`);
    return acked;
  }

  // Queues (2.6, 4.1.5.1.3, 4.2.3.2)

  queue(index: number): DriverQueue {
    const queue = this.#queues[index];
    if (!queue) throw new DriverError("no-queue", `queue ${index}`);
    return queue;
  }

  enableQueue(plan: QueuePlan): DriverQueue {
    this.#mustRun(Features.RING_RESET);
    return this.#setUp(plan);
  }

  resetQueue(index: number): void {
    this.#mustRun(Features.RING_RESET);
    const { registers } = this.#link;
    const queue = this.queue(index);
    // V-D-01: until the device says that it is done, nothing is added, kicked or taken back.
    this.engine.wasm.queueSuspend(queue.ptr);
    registers.writeQueueReset(index, 1);
    if (!this.#link.poll(() => registers.readQueueReset(index) === 0)) {
      throw new DriverError("queue-reset-timeout", `queue ${index}`);
    }
    this.#stopQueue(index);
  }

  #setUp(plan: QueuePlan): DriverQueue {
    const { index, size: wanted, ...config } = plan;
    const { registers } = this.#link;
    const most = registers.readQueueSize(index);
    if (most === 0 || index >= this.#queues.length) throw new DriverError("queue-missing", `queue ${index}`);
    if (registers.readQueueEnable(index) !== 0) throw new DriverError("queue-busy", `queue ${index}`);
    const size = wanted ?? this.#sizeFor(most);
    if (!this.#isLegal(size, most)) throw new DriverError("queue-size", `queue ${index}: ${size} of ${most}`);
    const { features } = this;
    const queue = this.engine.driverQueue(this.#first + index, {
      ...config,
      size,
      features,
      device: this.#options.device,
      behindTransport: true,
      notifyId: features & Features.NOTIF_CONFIG_DATA ? registers.readQueueNotifyData(index) & 0xffff : index,
    });
    this.#queues[index] = queue;
    registers.writeQueueSize(index, size);
    this.#writeAddress(index, QUEUE_DESC, queue.addresses.desc);
    this.#writeAddress(index, QUEUE_DRIVER, queue.addresses.driverArea);
    this.#writeAddress(index, QUEUE_DEVICE, queue.addresses.deviceArea);
    registers.writeQueueEnable(index, 1);
    if (registers.readQueueEnable(index) !== 1) throw new DriverError("queue-refused", `queue ${index}`);
    return queue;
  }

  /** V-D-03. */
  #isLegal(size: number, most: number): boolean {
    if (!Number.isInteger(size) || size < 1 || size > most) return false;
    return (this.features & Features.RING_PACKED) !== 0n || (size & (size - 1)) === 0;
  }

  /** The largest legal size that the device and this engine have. */
  #sizeFor(most: number): number {
    const size = Math.min(most, this.engine.limits.queueSize);
    return this.features & Features.RING_PACKED ? size : 2 ** Math.floor(Math.log2(size));
  }

  #writeAddress(queue: number, word: number, address: bigint): void {
    this.#link.registers.writeQueueAddress(queue, word, Number(address & 0xffff_ffffn));
    this.#link.registers.writeQueueAddress(queue, word + 1, Number(address >> 32n));
  }

  #stopQueue(index: number): void {
    const queue = this.#queues[index];
    if (!queue) return;
    queue.stop();
    this.#kind.queueStopped?.(index);
  }

  // Notifications (2.3, 2.9)

  publish(index: number): boolean {
    const queue = this.queue(index);
    if (!queue.publish()) return false;
    this.#link.registers.notify(queue.notificationData());
    return true;
  }

  kick(index: number): void {
    const queue = this.queue(index);
    if (this.running && queue.state === "live") this.#link.registers.notify(queue.notificationData());
    else if (!(this.status & (STATUS_DRIVER_OK | STATUS_SUSPEND))) this.#owed.add(index);
  }

  usedBuffers(queue: number): void {
    if (this.running && this.#queues[queue]) this.#used.add(queue);
  }

  configChange(): void {
    const status = this.status;
    if (!(status & (STATUS_DRIVER_OK | STATUS_SUSPEND)) || status & STATUS_DEVICE_NEEDS_RESET) return;
    if (this.#sawNeedsReset()) this.#kind.needsReset?.();
    else this.#kind.configChange?.();
  }

  /** G-D-04: from then on no half waits for anything. */
  #sawNeedsReset(): boolean {
    const needs = this.#link.registers.readStatus() & STATUS_DEVICE_NEEDS_RESET;
    if (needs) this.#setView(this.status | STATUS_DEVICE_NEEDS_RESET);
    return needs !== 0;
  }

  // Configuration space (2.5)

  readConfig(offset: number, width: number): number {
    return this.#link.registers.readConfig(offset, width);
  }

  readConfigFields(fields: readonly ConfigField[]): Uint8Array[] {
    return this.#link.readConfigFields(fields);
  }

  writeConfig(offset: number, width: number, value: number): void {
    if (this.status & STATUS_SUSPEND) throw new DriverError("suspended");
    if (!(this.status & STATUS_FEATURES_OK)) throw new DriverError("config-early");
    this.#link.registers.writeConfig(offset, width, value);
  }

  // Suspension (3.4)

  /**
   * [SUSPEND] Suspends the device, and with it every queue half: nothing is added, kicked or taken back until `resume`.
   * @throws DriverError `suspend-timeout`: it stays asked for, and all stands still; `needs-reset` when the device fails
   */
  suspend(): void {
    this.#mustRun(Features.SUSPEND);
    const { registers } = this.#link;
    this.#eachQueue(this.engine.wasm.queueSuspend);
    registers.writeStatus(this.status | STATUS_SUSPEND);
    this.#setView((this.status & ~STATUS_DRIVER_OK) | STATUS_SUSPEND);
    this.#awaitStatus(STATUS_SUSPEND, "suspend-timeout");
  }

  /** [SUSPEND] Lets the device go on. @throws DriverError `resume-timeout`, `needs-reset` when the device fails */
  resume(): void {
    if (!(this.status & STATUS_SUSPEND)) throw new DriverError("not-running", "it is not suspended");
    const { registers } = this.#link;
    registers.writeStatus(this.status | STATUS_DRIVER_OK);
    this.#awaitStatus(STATUS_DRIVER_OK, "resume-timeout");
    this.#setView((this.status & ~STATUS_SUSPEND) | STATUS_DRIVER_OK);
    this.#eachQueue(this.engine.wasm.queueResume);
    this.#lookAtAll();
  }

  /** Waits until of SUSPEND and DRIVER_OK exactly `bit` is set. */
  #awaitStatus(bit: number, timeout: "suspend-timeout" | "resume-timeout"): void {
    const { registers } = this.#link;
    const both = STATUS_SUSPEND | STATUS_DRIVER_OK;
    const ended = this.#link.poll(() => this.#sawNeedsReset() || (registers.readStatus() & both) === bit);
    if (this.status & STATUS_DEVICE_NEEDS_RESET) throw new DriverError("needs-reset");
    if (!ended) throw new DriverError(timeout);
  }

  /** @throws DriverError unless the device runs with this feature. */
  #mustRun(feature: bigint): void {
    if (!(this.features & feature)) throw new DriverError("not-negotiated", `0x${feature.toString(16)}`);
    if (this.status & STATUS_DEVICE_NEEDS_RESET) throw new DriverError("needs-reset");
    if (!this.running) throw new DriverError(this.status & STATUS_SUSPEND ? "suspended" : "not-running");
  }

  /** A notification is only a hint (2.3): where one may have been lost, all queues are looked at. */
  #lookAtAll(): void {
    for (let queue = 0; queue < this.#queues.length; queue++) this.usedBuffers(queue);
  }

  #eachQueue(call: (ptr: number) => void): void {
    for (const queue of this.#queues) if (queue) call(queue.ptr);
  }

  // Snapshots

  /** Nothing in the memory says what the driver is; its device does. @internal */
  readonly identity: readonly number[] = [];

  /** A snapshot was put in place. @internal */
  restored(): void {
    this.#used.clear();
    this.#owed.clear();
    this.#offered = this.#link.offered();
    for (let queue = 0; queue < this.#queues.length; queue++) {
      this.#queues[queue] = this.#isOurs(queue) ? this.engine.restoredDriverQueue(this.#first + queue) : null;
    }
    this.#kind.restored?.(this);
    this.#lookAtAll();
  }

  /** Whether the driver half of this queue was put to work by a core for this device. */
  #isOurs(queue: number): boolean {
    const block = new Block(this.engine, this.engine.region(`queue ${this.#first + queue} driver`).ptr);
    return block.get(this.engine.wasm.QUEUE_DEVICE.value) === this.#view.ptr;
  }

  /** G-D-02: bits are only ever added. */
  #setStatus(bits: number): void {
    this.#setView(this.status | bits);
    this.#link.registers.writeStatus(this.status);
  }

  #setView(status: number): void {
    this.#view.set(this.engine.wasm.DEVICE_STATUS.value, status);
  }
}
