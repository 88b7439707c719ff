/** What the cases of every comparison have in common before they are run: names, baselines, and how they combine. */
import { VIRTQ_MAX_SIZE } from "../../assembly/spec.ts";
import type { RingFormat } from "../names.ts";
import type { Traffic } from "../net/traffic.ts";
import { CompareInputError } from "./errors.ts";

/** What the device half does to the payload. */
export const TOUCHES = ["none", "header", "copy"] as const;
export type Touch = (typeof TOUCHES)[number];

/** One case before it is run. */
export interface Arm {
  /** What the case is, part by part, with a part for every further dimension that has several values. */
  id: string;
  traffic: Traffic;
  /** `capture`, `imix`, or the frame's length in bytes. */
  frame: string | number;
  /** The id of the case that this one is compared with. */
  baseline: string;
  notes: string[];
}

/** Every combination of one value from each list; the last list changes fastest. */
export function product<T extends object>(lists: { [K in keyof T]: readonly T[K][] }): T[] {
  return Object.entries<readonly unknown[]>(lists).reduce<object[]>(
    (rows, [key, values]) => rows.flatMap((row) => values.map((value) => ({ ...row, [key]: value }))),
    [{}],
  ) as T[];
}

/**
 * The arms with one baseline for all.
 * @throws CompareInputError when it is none of them.
 */
export function withBaseline<A extends Arm>(arms: A[], baseline: string): A[] {
  if (!arms.some(({ id }) => id === baseline)) {
    const ids = arms.slice(0, 3).map(({ id }) => id);
    const rest = arms.length > ids.length ? ` and ${arms.length - ids.length} more` : "";
    throw new CompareInputError(
      `the baseline ${JSON.stringify(baseline)} is no case of this comparison; they are ${ids.join(", ")}${rest}`,
    );
  }
  return arms.map((arm) => ({ ...arm, baseline }));
}

export function frameOf({ kind, name }: Traffic): string | number {
  return kind === "fixed" ? Number(name) : kind;
}

/** The part of an id that names a frame: `f64`, `imix`, `capture`. */
export function framePart(traffic: Traffic): string {
  const frame = frameOf(traffic);
  return typeof frame === "number" ? `f${frame}` : frame;
}

/** @throws CompareInputError when one of the lists has no value. */
export function checkNotEmpty(lists: Record<string, readonly unknown[]>): void {
  for (const [name, list] of Object.entries(lists)) {
    if (list.length === 0) throw new CompareInputError(`${name} is empty; at least one value is needed`);
  }
}

/** @throws CompareInputError when a value is no whole number from `least` to `most`. */
export function checkRange(name: string, values: readonly number[], least: number, most: number): void {
  for (const value of values) {
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new CompareInputError(
        `${value} is not possible for ${name}; a whole number from ${least} to ${most} is`,
      );
    }
  }
}

/** @throws CompareInputError for a split ring whose size is no power of two. */
export function checkRingSize(ring: RingFormat, ringSize: number): void {
  if (ring === "packed" || Number.isInteger(Math.log2(ringSize))) return;
  throw new CompareInputError(
    `a split ring of ${ringSize} entries is not possible; a power of two from 1 to ${VIRTQ_MAX_SIZE} is`,
  );
}
