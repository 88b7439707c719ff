/** What makes a virtio device a network card or another kind: the part that plugs into the device core. */
import type { DeviceQueue } from "../device-queue.ts";
import type { FeatureRule } from "../feature-rules.ts";
import type { Region } from "../layout.ts";

/** A kind's part of a device. The core calls it; it never throws for what a driver did. */
export interface DeviceKind {
  /** Section 5: 1 is a network card. */
  readonly deviceId: number;
  /** The most queues that the device may have. */
  readonly queueCount: number;
  /**
   * Everything that it can do, of its own bits and the reserved ones (section 6). The core adds VERSION_1, takes
   * away what the transport or the engine hasn't, and then what `rules` forbid without it.
   */
  readonly features: bigint;
  readonly rules: readonly FeatureRule[];
  /** Features without which FEATURES_OK is withheld, VERSION_1 aside. */
  readonly required?: bigint;
  /** Bytes of the device configuration space; at most the engine's `configBytes`. */
  readonly configBytes: number;

  /** Largest size of a queue; default: what the engine reserved. */
  maxQueueSize?(queue: number): number;
  /** Most elements of a buffer that are accepted; default: the queue's size. */
  maxChain?(queue: number): number;
  /** [NOTIF_CONFIG_DATA] 16 bits that name the queue in a kick; default: its index. */
  notifyData?(queue: number): number;

  /** Once, before anything else: the core, through which the kind reaches its queues and its state. */
  attach(core: DeviceHost): void;
  /** Power-on and device reset: queues are stopped, everything starts anew, the config space is filled. */
  reset(): void;
  /** FEATURES_OK was written with this set, which obeys every rule: whether it works here too. */
  acceptFeatures?(features: bigint): boolean;
  /** The driver has set DRIVER_OK: the queues may be worked, and hold buffers already. */
  driverOk(): void;
  /** The driver has enabled a queue, at set-up or after a queue reset. */
  queueEnabled?(queue: number): void;
  /**
   * The driver resets a queue (2.6.1), which is still live: nothing more may be popped from it. "busy" while its
   * buffers are in use elsewhere; then `queueResetDone` ends it. Otherwise the queue is stopped on return.
   */
  queueReset?(queue: number): "done" | "busy";
  /** A kick (2.9): buffers of this queue may have become available. Only ever for a live queue of a running device. */
  kicked(queue: number): void;
  /** The driver writes the config space, after FEATURES_OK; whether it is taken. Default: never. */
  writeConfig?(offset: number, width: number, value: number): boolean;
  /**
   * [SUSPEND] Finish and publish what was popped, and pop nothing more (3.4.2): "busy" when that takes longer, then
   * `suspendDone` ends it; "failed" raises DEVICE_NEEDS_RESET. Default: "done".
   */
  suspend?(): "done" | "busy" | "failed";
  /** [SUSPEND] The queues may be worked again once this says so; ended by `resumeDone` when "busy". Default: "done". */
  resume?(): "done" | "busy" | "failed";
  /** A snapshot was put in place: everything that is kept outside the engine's memory is made again from it. */
  restored?(): void;
}

/** What the core gives its kind. */
export interface DeviceHost {
  /** Negotiated features; 0 before FEATURES_OK. */
  readonly features: bigint;
  /** Whether queues may be worked: DRIVER_OK, neither suspended nor DEVICE_NEEDS_RESET. */
  readonly running: boolean;
  /** The kind's own private memory: `stateBytes` of the engine, zero at first, part of every snapshot. */
  readonly state: Region;

  /** The device half of a queue that is enabled; null otherwise. */
  queue(index: number): DeviceQueue | null;
  /** Shows the driver what was used in a queue, and notifies it if it wants that; whether it was notified. */
  publishUsed(queue: number): boolean;
  /** A used buffer notification, when the kind publishes by itself. Dropped unless the device runs and the queue is live. */
  notifyUsed(queue: number): void;
  /**
   * Hands on what the engine has found while the kind called it on its own: a driver that broke a rule
   * is a configuration change notification. After `kicked` and the other calls of the core it happens by itself.
   */
  settle(): void;
  /** 2.1.2: an error that only a reset ends, with a configuration change notification if running. */
  needsReset(): void;

  /** A copy of the config space as it is to be shown; what isn't there yet is 0. Allocates. */
  readConfigBytes(): Uint8Array;
  /**
   * Changes bytes of the config space: a new generation and, if the device runs, one configuration change
   * notification. While suspended both wait for the resume (3.4.2). Bytes that are equal change nothing.
   */
  changeConfig(offset: number, bytes: Uint8Array): void;

  queueResetDone(queue: number): void;
  suspendDone(succeeded: boolean): void;
  resumeDone(succeeded: boolean): void;
}
