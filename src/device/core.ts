import * as abi from "../../assembly/abi.ts";
import * as spec from "../../assembly/spec.ts";
import { Block } from "../block.ts";
import type { DeviceQueue } from "../device-queue.ts";
import type { Engine } from "../engine.ts";
import { ConfigError } from "../errors.ts";
import {
  brokenRule,
  closedFeatures,
  DEVICE_TYPE_FEATURES,
  featuresOnTransport,
  IMPLEMENTED_FEATURES,
  type TransportType,
} from "../feature-rules.ts";
import { Features } from "../features.ts";
import type { Region } from "../layout.ts";
import { PendingQueues } from "../pending-queues.ts";
import type { DeviceEvents, DeviceRegisters } from "../registers.ts";
import { ConfigSpace } from "./config-space.ts";
import { DEVICE_FAULTS, type DeviceFault } from "./faults.ts";
import type { DeviceHost, DeviceKind } from "./kind.ts";
import { QueueFile } from "./queue-file.ts";

const { STATUS_ACKNOWLEDGE, STATUS_DRIVER, STATUS_FEATURES_OK, STATUS_DRIVER_OK } = spec;
const { STATUS_SUSPEND, STATUS_DEVICE_NEEDS_RESET, STATUS_FAILED } = spec;

/** The bits that a driver may set. */
const DRIVER_BITS =
  STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK | STATUS_SUSPEND | STATUS_FAILED;

const FIELDS = [
  "DEVICE_STATUS",
  "DEVICE_TRANSITION",
  "DEVICE_CONFIG_NOTIFICATIONS",
  "DEVICE_CONFIG_DELIVERED",
  "DEVICE_CONFIG_GENERATION",
  "DEVICE_CONFIG_OWED",
  "DEVICE_FAULT",
  "DEVICE_FAULTS",
  "DEVICE_ID",
  "DEVICE_QUEUE_COUNT",
  "DEVICE_FIRST_QUEUE",
  "DEVICE_CONFIG_BYTES",
] as const;
type DeviceField = (typeof FIELDS)[number];

export interface DeviceCoreOptions {
  /** The engine's device: status, address space, config space. Default 0. */
  device?: number;
  /** The engine's queue that is queue 0 of the device. Default 0. */
  firstQueue?: number;
  /** What the driver reaches the device through: some features belong to some transports (F-B-03). Default `in-process`. */
  transport?: TransportType;
  /**
   * Whether the device's access to memory is translated or limited: then ACCESS_PLATFORM is offered, and FEATURES_OK
   * withheld without it (F-V-01). Default: whether the device has a DMA backend other than `direct`.
   */
  accessLimited?: boolean;
}

/**
 * The transport-neutral device side of virtio 1.4: status, negotiation, configuration space, queue registers, resets
 * and suspension. An adapter drives it through `DeviceRegisters` and is told through `DeviceEvents`; a `DeviceKind`
 * makes it a network card or another device.
 *
 * What a driver does wrong is state and never an exception: see `fault`. All of the state lies in the engine's
 * memory, so that a snapshot of the engine holds it.
 */
export class DeviceCore implements DeviceRegisters, DeviceHost {
  readonly deviceId: number;
  readonly queueCount: number;
  readonly configBytes: number;
  readonly state: Region;
  readonly transport: TransportType;
  readonly engine: Engine;
  readonly #kind: DeviceKind;
  readonly #options: DeviceCoreOptions;
  readonly #space: Block;
  readonly #block: Block;
  /** Where the fields lie in the block. */
  readonly #at: Readonly<Record<DeviceField, number>>;
  readonly #config: ConfigSpace;
  readonly #queues: QueueFile;
  readonly #kicks: PendingQueues;
  #events: DeviceEvents | null = null;

  /** @throws ConfigError for a kind that needs more than the engine has reserved. */
  constructor(engine: Engine, kind: DeviceKind, options: DeviceCoreOptions = {}) {
    const device = engine.device(options.device ?? 0);
    const first = options.firstQueue ?? 0;
    if (first + kind.queueCount > engine.limits.queues) {
      throw new ConfigError(
        `the device has ${kind.queueCount} queues from ${first} on, but memory is reserved for ${engine.limits.queues}`,
      );
    }
    if (kind.configBytes > engine.limits.configBytes) {
      throw new ConfigError(
        `the config space has ${kind.configBytes} bytes, but configBytes is ${engine.limits.configBytes}`,
      );
    }
    this.engine = engine;
    this.deviceId = kind.deviceId;
    this.queueCount = kind.queueCount;
    this.configBytes = kind.configBytes;
    this.transport = options.transport ?? "in-process";
    this.state = engine.region(`device ${device.index} state`);
    this.#kind = kind;
    this.#options = options;
    this.#block = new Block(engine, device.ptr);
    this.#at = Object.fromEntries(FIELDS.map((name) => [name, engine.wasm[name].value])) as Record<
      DeviceField,
      number
    >;
    this.#space = new Block(engine, device.space);
    this.#config = new ConfigSpace(engine, device.index, kind.configBytes);
    this.#queues = new QueueFile(engine, kind, device.index, first);
    this.#kicks = new PendingQueues(kind.queueCount, (queue) => this.#kicked(queue));
    this.#setIdentity(first);
    engine.onRestore(this);
    kind.attach(this);
    this.#config.clear();
    this.#reset();
  }

  /** Who is told of notifications; an adapter connects itself before the driver starts. */
  connect(events: DeviceEvents): void {
    this.#events = events;
  }

  /** The driver's last mistake since the last reset, or null; it was dropped. */
  get fault(): DeviceFault | null {
    return DEVICE_FAULTS[this.#get("DEVICE_FAULT")] ?? null;
  }

  /** How many mistakes there were since the last reset. */
  get faults(): number {
    return this.#get("DEVICE_FAULTS");
  }

  /** What is offered: decided at every reset. */
  get offered(): bigint {
    return this.#block.bits(this.engine.wasm.DEVICE_OFFERED.value);
  }

  get features(): bigint {
    return this.#block.bits(this.engine.wasm.DEVICE_FEATURES_0.value);
  }

  get running(): boolean {
    return this.#runs && this.#get("DEVICE_TRANSITION") === abi.DEVICE_STEADY;
  }

  // Status (2.1)

  readStatus(): number {
    return this.#get("DEVICE_STATUS");
  }

  writeStatus(value: number): void {
    if (value === 0) {
      this.#reset();
      return;
    }
    const before = this.readStatus();
    if (value & ~(DRIVER_BITS | STATUS_DEVICE_NEEDS_RESET)) this.#fault(abi.F_STATUS_UNKNOWN_BITS);
    if (value & STATUS_DEVICE_NEEDS_RESET & ~before) this.#fault(abi.F_STATUS_UNKNOWN_BITS);
    // The device raises DEVICE_NEEDS_RESET behind the driver's back; everything else it has set itself.
    if (before & ~value & ~STATUS_DEVICE_NEEDS_RESET) this.#fault(abi.F_STATUS_BITS_DROPPED);
    const set = value & DRIVER_BITS & ~before;
    if (set & STATUS_FAILED) this.#setStatus(STATUS_FAILED);
    if (set & STATUS_ACKNOWLEDGE) this.#step(STATUS_ACKNOWLEDGE, 0);
    if (set & STATUS_DRIVER) this.#step(STATUS_DRIVER, STATUS_ACKNOWLEDGE);
    if (set & STATUS_FEATURES_OK) this.#step(STATUS_FEATURES_OK, STATUS_DRIVER);
    if (set & STATUS_DRIVER_OK) this.#step(STATUS_DRIVER_OK, STATUS_FEATURES_OK);
    if (set & STATUS_SUSPEND) this.#suspend();
    this.settle();
  }

  /** Sets a bit of the bring-up (3.1.1) once the one before it is set, and does what it means. */
  #step(bit: number, after: number): void {
    const status = this.readStatus();
    if (status & STATUS_DEVICE_NEEDS_RESET || (status & after) !== after) {
      this.#fault(abi.F_STATUS_ORDER);
    } else if (bit === STATUS_FEATURES_OK) {
      this.#acceptFeatures();
    } else if (bit === STATUS_DRIVER_OK) {
      if (status & STATUS_SUSPEND) this.#resume();
      else this.#start();
    } else {
      this.#setStatus(bit);
    }
  }

  #start(): void {
    this.#setStatus(STATUS_DRIVER_OK);
    this.#kind.driverOk();
    this.#kickAll();
  }

  #reset(): void {
    for (let queue = 0; queue < this.queueCount; queue++) this.#queues.reset(queue);
    this.#kicks.clear();
    for (const name of ["STATUS", "TRANSITION", "CONFIG_OWED", "FAULT", "FAULTS"] as const) {
      this.#set(`DEVICE_${name}`, 0);
    }
    this.#set("DEVICE_CONFIG_DELIVERED", this.#get("DEVICE_CONFIG_NOTIFICATIONS"));
    const { DEVICE_OFFERED, DEVICE_ACKED, DEVICE_FEATURES_0 } = this.engine.wasm;
    this.#block.setBits(DEVICE_OFFERED.value, this.#offer());
    this.#block.setBits(DEVICE_ACKED.value, 0n);
    this.#block.setBits(DEVICE_FEATURES_0.value, 0n);
    // A change that waited for a resume is shown after a reset, too.
    this.#showConfig();
    this.#kind.reset();
  }

  // Features (2.2)

  readDeviceFeatures(window: number): number {
    return hasWindow(window) ? this.#block.get(this.engine.wasm.DEVICE_OFFERED.value + 4 * window) : 0;
  }

  readDriverFeatures(window: number): number {
    return hasWindow(window) ? this.#block.get(this.engine.wasm.DEVICE_ACKED.value + 4 * window) : 0;
  }

  writeDriverFeatures(window: number, value: number): void {
    if (this.readStatus() & STATUS_FEATURES_OK) this.#fault(abi.F_FEATURES_LATE);
    else if (hasWindow(window)) this.#block.set(this.engine.wasm.DEVICE_ACKED.value + 4 * window, value);
    // A driver clears windows that it doesn't know the number of.
    else if (value !== 0) this.#fault(abi.F_FEATURES_WINDOW);
  }

  /** G-V-03, F-B-01, F-V-01, F-B-03: what works here, with all that it needs. */
  #offer(): bigint {
    let able = this.#kind.features & (IMPLEMENTED_FEATURES | DEVICE_TYPE_FEATURES);
    able |= Features.VERSION_1;
    if (this.#accessLimited) able |= Features.ACCESS_PLATFORM;
    return closedFeatures(featuresOnTransport(able, this.transport), this.#kind.rules);
  }

  get #accessLimited(): boolean {
    const kind = this.#space.get(this.engine.wasm.SPACE_KIND.value);
    return this.#options.accessLimited ?? kind !== abi.DMA_DIRECT;
  }

  #acceptFeatures(): void {
    const acked = this.#block.bits(this.engine.wasm.DEVICE_ACKED.value);
    const wrong = this.#whatIsWrongWith(acked);
    if (wrong !== abi.OK) {
      this.#fault(wrong);
      return;
    }
    this.#block.setBits(this.engine.wasm.DEVICE_FEATURES_0.value, acked);
    this.#setStatus(STATUS_FEATURES_OK);
  }

  #whatIsWrongWith(acked: bigint): number {
    let required = Features.VERSION_1 | (this.#kind.required ?? 0n);
    if (this.#accessLimited) required |= Features.ACCESS_PLATFORM;
    if (acked & ~this.offered) return abi.F_FEATURES_NOT_OFFERED;
    if (brokenRule(acked, this.#kind.rules)) return abi.F_FEATURES_DEPENDENCY;
    if ((acked & required) !== required) return abi.F_FEATURES_REQUIRED;
    return (this.#kind.acceptFeatures?.(acked) ?? true) ? abi.OK : abi.F_FEATURES_KIND;
  }

  // Configuration space (2.5)

  readConfigGeneration(): number {
    return this.#get("DEVICE_CONFIG_GENERATION");
  }

  readConfig(offset: number, width: number): number {
    return this.#config.read(offset, width);
  }

  writeConfig(offset: number, width: number, value: number): void {
    const status = this.readStatus();
    if (!(status & STATUS_FEATURES_OK)) this.#fault(abi.F_CONFIG_EARLY);
    else if (status & STATUS_SUSPEND || this.#get("DEVICE_TRANSITION") !== abi.DEVICE_STEADY)
      this.#fault(abi.F_CONFIG_SUSPENDED);
    else if (!this.#config.has(offset, width)) this.#fault(abi.F_CONFIG_RANGE);
    else if (this.#kind.writeConfig?.(offset, width, value)) this.#config.write(offset, width, value);
    else this.#fault(abi.F_CONFIG_READ_ONLY);
    this.settle();
  }

  readConfigBytes(): Uint8Array {
    return this.#config.next();
  }

  changeConfig(offset: number, bytes: Uint8Array): void {
    if (offset < 0 || offset + bytes.length > this.configBytes) {
      throw new ConfigError(
        `${bytes.length} bytes at ${offset} are outside of a config space of ${this.configBytes}`,
      );
    }
    if (!this.#config.change(offset, bytes)) return;
    if (this.readStatus() & STATUS_SUSPEND) {
      this.#set("DEVICE_CONFIG_OWED", 1);
      return;
    }
    this.#showConfig();
    if (this.#runs) this.#oweConfigChange();
    this.settle();
  }

  #showConfig(): void {
    if (this.#config.show()) this.#set("DEVICE_CONFIG_GENERATION", this.readConfigGeneration() + 1);
  }

  #oweConfigChange(): void {
    this.#set("DEVICE_CONFIG_NOTIFICATIONS", this.#get("DEVICE_CONFIG_NOTIFICATIONS") + 1);
  }

  // Queues (2.6, 4.1.4.3, 4.2.2)

  readQueueSize(queue: number): number {
    return this.#queues.size(queue, this.features);
  }

  writeQueueSize(queue: number, size: number): void {
    if (this.#mayWrite(queue)) this.#queues.setSize(queue, size);
  }

  readQueueAddress(queue: number, word: number): number {
    return this.#queues.address(queue, word);
  }

  writeQueueAddress(queue: number, word: number, value: number): void {
    if (!this.#mayWrite(queue)) return;
    if (!this.#queues.setAddress(queue, word, value)) this.#fault(abi.F_REGISTER_VALUE);
  }

  readQueueNotifyData(queue: number): number {
    return this.#queues.notifyData(queue);
  }

  readQueueEnable(queue: number): number {
    return Number(this.#queues.isEnabled(queue));
  }

  writeQueueEnable(queue: number, value: number): void {
    if (!this.#queues.has(queue)) this.#fault(abi.F_QUEUE_UNKNOWN);
    else if (value === 1) this.#enableQueue(queue);
    else if (value !== 0) this.#fault(abi.F_REGISTER_VALUE);
    else if (this.transport !== "mmio") this.#fault(abi.F_QUEUE_DISABLE);
    else if (this.#queues.live(queue) !== null) this.#resetQueue(queue);
    this.settle();
  }

  readQueueReset(queue: number): number {
    return Number(this.#queues.isResetting(queue));
  }

  writeQueueReset(queue: number, value: number): void {
    if (!this.#queues.has(queue)) this.#fault(abi.F_QUEUE_UNKNOWN);
    else if (value !== 1) this.#fault(abi.F_REGISTER_VALUE);
    else if (!(this.features & Features.RING_RESET) || this.readStatus() & STATUS_SUSPEND)
      this.#fault(abi.F_QUEUE_RESET_FEATURE);
    else if (this.#queues.live(queue) === null) this.#fault(abi.F_QUEUE_NOT_ENABLED);
    else this.#resetQueue(queue);
    this.settle();
  }

  queueResetDone(queue: number): void {
    if (this.#queues.isResetting(queue)) this.#queues.reset(queue);
  }

  queue(index: number): DeviceQueue | null {
    return this.#queues.enabled(index);
  }

  #mayWrite(queue: number): boolean {
    if (!this.#queues.has(queue)) this.#fault(abi.F_QUEUE_UNKNOWN);
    else if (this.#queues.isEnabled(queue)) this.#fault(abi.F_QUEUE_ENABLED);
    else return true;
    return false;
  }

  #enableQueue(queue: number): void {
    if (this.#queues.isEnabled(queue)) return;
    const stage = STATUS_FEATURES_OK | STATUS_DEVICE_NEEDS_RESET | STATUS_SUSPEND;
    if ((this.readStatus() & stage) !== STATUS_FEATURES_OK) {
      this.#fault(abi.F_QUEUE_EARLY);
    } else if (this.#queues.enable(queue, this.features)) {
      this.#kind.queueEnabled?.(queue);
    } else {
      // 2.1.2: the driver believes in a queue that can't be, which only a reset mends.
      this.#fault(abi.F_QUEUE_REGISTERS);
      this.needsReset();
    }
  }

  #resetQueue(queue: number): void {
    this.#queues.startReset(queue);
    if ((this.#kind.queueReset?.(queue) ?? "done") === "done") this.queueResetDone(queue);
  }

  // Notifications (2.3, 2.9)

  notify(value: number): void {
    const status = this.readStatus();
    if (status & STATUS_DEVICE_NEEDS_RESET) return;
    if (!this.running) {
      this.#fault(abi.F_KICK_EARLY);
      return;
    }
    const queue = this.#queueOf(value);
    if (!this.#queues.has(queue)) this.#fault(abi.F_KICK_UNKNOWN);
    else if (this.#queues.live(queue) === null) this.#fault(abi.F_QUEUE_NOT_ENABLED);
    else this.#kicks.add(queue);
    this.settle();
  }

  publishUsed(queue: number): boolean {
    const half = this.#queues.live(queue);
    const wanted = half?.publishUsed() ?? false;
    if (wanted) this.#events?.usedBuffers(queue);
    this.settle();
    return wanted;
  }

  notifyUsed(queue: number): void {
    if (this.#runs && this.#queues.live(queue) !== null) this.#events?.usedBuffers(queue);
    this.settle();
  }

  settle(): void {
    const sent = this.#get("DEVICE_CONFIG_NOTIFICATIONS");
    if (this.#get("DEVICE_CONFIG_DELIVERED") === sent) return;
    this.#set("DEVICE_CONFIG_DELIVERED", sent);
    this.#events?.configChange();
  }

  needsReset(): void {
    this.engine.wasm.deviceRaiseNeedsReset(this.#block.ptr);
    this.settle();
  }

  /** -1 for none. */
  #queueOf(kick: number): number {
    if (!this.#hasFeature(spec.VIRTIO_F_NOTIFICATION_DATA) && kick > 0xffff) return -1;
    const name = kick & 0xffff;
    return this.#hasFeature(spec.VIRTIO_F_NOTIF_CONFIG_DATA) ? this.#queues.byNotifyData(name) : name;
  }

  /** Whether the feature of this bit was negotiated; a mask of 128 bits would be garbage with every kick. */
  #hasFeature(bit: number): boolean {
    const window = this.#block.get(this.engine.wasm.DEVICE_FEATURES_0.value + 4 * (bit >>> 5));
    return ((window >>> (bit & 31)) & 1) !== 0;
  }

  #kicked(queue: number): void {
    if (this.running && this.#queues.live(queue) !== null) this.#kind.kicked(queue);
  }

  /** A notification is only a hint (2.3): where one may have been lost, all queues are looked at. */
  #kickAll(): void {
    for (let queue = 0; queue < this.queueCount; queue++) {
      if (this.#queues.live(queue) !== null) this.#kicks.add(queue);
    }
  }

  // Suspension (3.4)

  #suspend(): void {
    if (!(this.features & Features.SUSPEND)) {
      this.#fault(abi.F_SUSPEND_FEATURE);
    } else if (!this.#runs) {
      this.#fault(abi.F_SUSPEND_EARLY);
    } else if (this.running) {
      this.#set("DEVICE_TRANSITION", abi.DEVICE_SUSPENDING);
      const answer = this.#kind.suspend?.() ?? "done";
      if (answer !== "busy") this.suspendDone(answer === "done");
    }
  }

  suspendDone(succeeded: boolean): void {
    if (this.#get("DEVICE_TRANSITION") !== abi.DEVICE_SUSPENDING) return;
    if (succeeded) for (let queue = 0; queue < this.queueCount; queue++) this.publishUsed(queue);
    // A driver that is notified may reset the device there and then.
    if (this.#get("DEVICE_TRANSITION") !== abi.DEVICE_SUSPENDING) return;
    this.#set("DEVICE_TRANSITION", abi.DEVICE_STEADY);
    if (!succeeded) {
      this.needsReset();
      return;
    }
    this.#queues.suspend();
    this.#set("DEVICE_STATUS", (this.readStatus() & ~STATUS_DRIVER_OK) | STATUS_SUSPEND);
  }

  #resume(): void {
    if (this.#get("DEVICE_TRANSITION") !== abi.DEVICE_STEADY) return;
    this.#set("DEVICE_TRANSITION", abi.DEVICE_RESUMING);
    const answer = this.#kind.resume?.() ?? "done";
    if (answer !== "busy") this.resumeDone(answer === "done");
  }

  resumeDone(succeeded: boolean): void {
    if (this.#get("DEVICE_TRANSITION") !== abi.DEVICE_RESUMING) return;
    this.#set("DEVICE_TRANSITION", abi.DEVICE_STEADY);
    if (!succeeded) {
      this.needsReset();
      return;
    }
    this.#queues.resume();
    this.#set("DEVICE_STATUS", (this.readStatus() & ~STATUS_SUSPEND) | STATUS_DRIVER_OK);
    if (this.#get("DEVICE_CONFIG_OWED")) {
      this.#set("DEVICE_CONFIG_OWED", 0);
      this.#showConfig();
      this.#oweConfigChange();
    }
    this.#kickAll();
    this.settle();
  }

  // Snapshots

  /** Words that a snapshot must agree in: what the device is, not what it does. @internal */
  get identity(): readonly number[] {
    const { wasm } = this.engine;
    const { DEVICE_ID, DEVICE_QUEUE_COUNT, DEVICE_FIRST_QUEUE, DEVICE_CONFIG_BYTES, DEVICE_OFFERED } = wasm;
    const offered = [0, 4, 8, 12].map((at) => DEVICE_OFFERED.value + at);
    const offsets = [DEVICE_ID, DEVICE_QUEUE_COUNT, DEVICE_FIRST_QUEUE, DEVICE_CONFIG_BYTES];
    return [...offsets.map(({ value }) => value), ...offered].map((offset) => this.#block.ptr + offset);
  }

  /** A snapshot was put in place. @internal */
  restored(): void {
    this.#kicks.clear();
    this.#queues.restored();
    this.#kind.restored?.();
    this.#kickAll();
    this.settle();
  }

  #setIdentity(first: number): void {
    this.#set("DEVICE_ID", this.deviceId);
    this.#set("DEVICE_QUEUE_COUNT", this.queueCount);
    this.#set("DEVICE_FIRST_QUEUE", first);
    this.#set("DEVICE_CONFIG_BYTES", this.configBytes);
  }

  /** DRIVER_OK and no error: what the engine goes by. */
  get #runs(): boolean {
    return (this.readStatus() & (STATUS_DRIVER_OK | STATUS_DEVICE_NEEDS_RESET)) === STATUS_DRIVER_OK;
  }

  #setStatus(bits: number): void {
    this.#set("DEVICE_STATUS", this.readStatus() | bits);
  }

  #fault(fault: number): void {
    this.#set("DEVICE_FAULT", fault);
    this.#set("DEVICE_FAULTS", this.faults + 1);
  }

  #get(field: DeviceField): number {
    return this.#block.get(this.#at[field]);
  }

  #set(field: DeviceField, value: number): void {
    this.#block.set(this.#at[field], value);
  }
}

function hasWindow(window: number): boolean {
  return window >= 0 && window < spec.FEATURE_WINDOWS && Number.isInteger(window);
}
