/** What the tests of all systems ask of their records. */
import { MAX_FRAME_BYTES } from "../../src/net/frame.ts";
import { mostReceived } from "../../src/system/driver-bench.ts";
import type { Direction, SystemRecord } from "../../src/system/records.ts";

/** The longest frame that a system can send, or receive. */
export function longestFrame({ rx }: SystemRecord, direction: Direction): number {
  return direction === "tx" ? MAX_FRAME_BYTES : mostReceived(rx);
}
