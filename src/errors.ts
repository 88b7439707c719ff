import { DMA_FAILURES, REFUSALS, VIOLATIONS } from "./names.ts";

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
    super(code, `queue ${queue} is broken: ${text}, at ${index} (${requirement})`);
    this.queue = queue;
    this.index = index;
    this.requirement = requirement;
  }
}

/** A snapshot that is not to be had here: `snapshot-damaged`, `snapshot-version` or `snapshot-foreign`. Nothing has changed. */
export class SnapshotError extends VringError {}

/** A mapping that the device's DMA backend could not make; nothing is mapped that was not before. */
export class DmaMapError extends VringError {
  readonly device: number;
  constructor(failure: number, device: number) {
    const { code, text } = DMA_FAILURES[failure];
    super(code, `device ${device}: ${text}`);
    this.device = device;
  }
}
