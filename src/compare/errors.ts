import { VringError } from "../errors.ts";

/** What was asked for cannot be run: the message says what was wrong and what would be right. */
export class CompareInputError extends VringError {
  constructor(message: string) {
    super("compare-input", message);
  }
}

/**
 * - `digest`: a case delivered other bytes than it was given.
 * - `leak`: a case kept tables, heap blocks, descriptors, pages, mappings or packets.
 * - `counters`: the timed rounds did something else than the counted run.
 * - `stalled`: a queue stopped before all buffers of a pass had come back.
 * - `dropped`: packets were lost that the far side should have got.
 */
export type CompareFailureCode = "digest" | "leak" | "counters" | "stalled" | "dropped";

/** The run is worthless: the message names the cases and what they did. */
export class CompareFailure extends VringError {
  constructor(code: CompareFailureCode, message: string) {
    super(code, message);
  }
}
