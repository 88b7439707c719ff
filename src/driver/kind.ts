/** What makes a virtio driver that of a network card or another device: the part that plugs into the driver core. */
import type { DriverQueue, DriverQueueConfig } from "../driver-queue.ts";
import type { FeatureRule } from "../feature-rules.ts";

/** A queue that the driver wants: its index in the device, and how its half is to work. */
export interface QueuePlan
  extends Pick<DriverQueueConfig, "size" | "tables" | "threshold" | "tableAlways" | "directHead"> {
  index: number;
}

/** A kind's part of a driver. What it throws during bring-up ends in FAILED, and reaches the caller. */
export interface DriverKind {
  /** Section 5: 1 is a network card. */
  readonly deviceId: number;
  /** Everything that it can make use of, of the kind's bits and the reserved ones (section 6). */
  readonly features: bigint;
  readonly rules: readonly FeatureRule[];
  /** Without these the driver gives up (2.2.1). */
  readonly required?: bigint;

  /** Bytes of the config space that it touches when the device offers `offered`; a larger space is fine (2.5.1). */
  configBytes(offered: bigint): number;
  /** After FEATURES_OK: the queues to set up. The config space may be read. */
  queues(core: DriverHost): readonly QueuePlan[];
  /** Queues are enabled, DRIVER_OK is not yet set: buffers may be added and published; kicks go out after it. */
  fill?(core: DriverHost): void;
  /** DRIVER_OK is set. */
  driverOk?(core: DriverHost): void;
  /** A used buffer notification: buffers of this queue may have been used. */
  usedBuffers(queue: number): void;
  /** The configuration space may have changed. DEVICE_NEEDS_RESET has been looked for already. */
  configChange?(): void;
  /** The device has raised DEVICE_NEEDS_RESET: nothing that is out comes back but by a reset (2.1.1). */
  needsReset?(): void;
  /** A queue is stopped, by a device or a queue reset: what is outstanding is to be detached, or left. */
  queueStopped?(queue: number): void;
  /** A snapshot was put in place: everything that is kept outside the engine's memory is made again from it. */
  restored?(core: DriverHost): void;
}

/** Some bytes of the config space. */
export interface ConfigField {
  offset: number;
  /** 1, 2 or 4 for one access; a multiple of 4 for several. */
  bytes: number;
}

/** What the core gives its kind. */
export interface DriverHost {
  /** What the device offers, and what was acked of it. */
  readonly offered: bigint;
  readonly features: bigint;
  /** Whether the device runs, as far as the driver knows. */
  readonly running: boolean;

  /** The driver half of a queue that was set up. @throws DriverError `no-queue` */
  queue(index: number): DriverQueue;
  /** Shows the device what was added, and kicks it if it wants that; whether it was kicked. Before DRIVER_OK the kick waits. */
  publish(queue: number): boolean;
  /** Kicks in any case (2.9); before DRIVER_OK the kick waits, while suspended there is none. */
  kick(queue: number): void;

  /** One field of the config space, of 1, 2 or 4 bytes. */
  readConfig(offset: number, width: number): number;
  /** Several fields of the config space under one generation (2.5.1). Allocates. @throws DriverError `config-unstable` */
  readConfigFields(fields: readonly ConfigField[]): Uint8Array[];
  /** Writes the config space. @throws DriverError before FEATURES_OK (3.1.1) and while suspended (3.4.1) */
  writeConfig(offset: number, width: number, value: number): void;

  /** [RING_RESET] Resets a queue and stops its half (2.6.1). @throws DriverError */
  resetQueue(queue: number): void;
  /** [RING_RESET] Sets a queue up again after its reset, with any size. @throws DriverError, RefusedError */
  enableQueue(plan: QueuePlan): DriverQueue;
}
