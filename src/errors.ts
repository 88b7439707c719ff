import { DMA_FAILURES, PASSTHRU_FAILURES, REFUSALS, VIOLATIONS } from "./names.ts";

/** Every error of the library: `code` is stable, `message` is one line. */
export class VringError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
  override get name(): string {
    return this.constructor.name;
  }
}

/** Options that contradict each other or a limit: what was wrong, and what would be right. */
export class ConfigError extends VringError {
  constructor(message: string) {
    super("config", message);
  }
}

/** The memory, or the region in it, is smaller than what the options need. */
export class MemoryTooSmallError extends VringError {
  /** Bytes that are needed and that were there. */
  readonly needed: number;
  readonly given: number;
  constructor(needed: number, given: number, but = `but only ${given} are given`) {
    super("memory-too-small", `these options need ${needed} bytes of memory, ${but}`);
    this.needed = needed;
    this.given = given;
  }
}

/** The caller's mistake: the call did nothing from record `index` on, and the queue is as it was. */
export class RefusedError extends VringError {
  readonly queue: number;
  readonly index: number;
  /** The row of docs/conformance.md that the call would have broken. */
  readonly requirement: string;
  constructor(refusal: number, queue: number, index: number) {
    const { code, requirement, text } = REFUSALS[refusal];
    super(code, `queue ${queue}, record ${index}: ${text}${requirement && ` (${requirement})`}`);
    this.queue = queue;
    this.index = index;
    this.requirement = requirement;
  }
}

/** The peer's doing: the queue is broken and does nothing more until it is reset. */
export class QueueBrokenError extends VringError {
  readonly queue: number;
  /** Ring index, slot or id at which the violation was seen. */
  readonly index: number;
  /** The row of docs/conformance.md that the peer broke. */
  readonly requirement: string;
  constructor(violation: number, queue: number, index: number) {
    const { code, requirement, text } = VIOLATIONS[violation];
    super(code, `queue ${queue} is broken: ${text}, at ${index}${requirement && ` (${requirement})`}`);
    this.queue = queue;
    this.index = index;
    this.requirement = requirement;
  }
}

/** A snapshot that is not to be had here: `snapshot-damaged`, `snapshot-version` or `snapshot-foreign`. Nothing has changed. */
export class SnapshotError extends VringError {}

/** Why a driver core could not do what it was asked for, in words. */
export const DRIVER_ERRORS = {
  "wrong-device": "the device is of another kind",
  "reset-timeout": "the status did not read 0 after a reset (G-D-08)",
  "feature-missing": "the device does not offer a feature that this driver can't do without (G-D-07)",
  "features-refused": "the device took FEATURES_OK back: it can't work with these features (G-D-12)",
  "config-too-small": "the config space is smaller than the fields that this driver reads (G-D-10)",
  "config-unstable": "the config space changed again and again while it was read (G-D-09)",
  "config-early": "the config space is not written before FEATURES_OK (G-D-11)",
  "queue-missing": "the device does not have a queue that this driver needs",
  "queue-busy": "the queue is enabled already",
  "queue-size": "the size is not one that the device and the format allow (V-D-03)",
  "queue-refused": "the device did not enable the queue",
  "no-queue": "the queue was not set up",
  "needs-reset": "the device has raised DEVICE_NEEDS_RESET (G-D-04)",
  "not-running": "the device does not run",
  "not-negotiated": "the feature was not negotiated",
  "queue-reset-timeout": "the queue's reset register did not read 0 (V-D-01)",
  suspended: "the device is suspended (G-D-17)",
  "suspend-timeout": "the device did not report that it is suspended (G-D-17)",
  "resume-timeout": "the device did not report that it runs again (G-D-17)",
  "config-value": "a field of the config space has a value that can't be (N-V-01)",
  "command-failed": "the device could not do what a control command asked for (C-B-01)",
  "command-timeout": "the device did not answer a control command (C-B-01)",
} as const;

/** What keeps a driver from working with its device. */
export class DriverError extends VringError {
  declare readonly code: keyof typeof DRIVER_ERRORS;
  constructor(code: keyof typeof DRIVER_ERRORS, detail = "") {
    super(code, detail === "" ? DRIVER_ERRORS[code] : `${DRIVER_ERRORS[code]}: ${detail}`);
  }
}

/** A mapping that the device's DMA backend could not make; nothing is mapped that was not before. */
export class DmaMapError extends VringError {
  readonly device: number;
  constructor(failure: number, device: number) {
    const { code, text } = DMA_FAILURES[failure];
    super(code, `device ${device}: ${text}`);
    this.device = device;
  }
}

/** Why a passthru interface refused a request or a NIC, or gave a request back undone; `code` is one of PASSTHRU_FAILURES. */
export class PassthruError extends VringError {
  constructor(failure: number, detail = "") {
    const { code, text } = PASSTHRU_FAILURES[failure];
    super(code, detail === "" ? text : `${text}: ${detail}`);
  }
}
