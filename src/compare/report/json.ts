/** The comparison as JSON, in the shape of {@link Comparison}. */
import type { Comparison } from "../result.ts";

/** More than this no clock and no count of rounds supports; fractions are cut to it, whole numbers are kept. */
const SIGNIFICANT_DIGITS = 6;

/**
 * Two spaces of indent and a newline at the end. Counts, seeds and digests are kept to the last digit, other numbers
 * are rounded to six significant digits.
 * @throws RangeError when a number isn't finite: JSON would turn it into null without a word.
 */
export function toJson(comparison: Comparison): string {
  return `${JSON.stringify(comparison, round, 2)}\n`;
}

function round(key: string, value: unknown): unknown {
  if (typeof value !== "number" || Number.isInteger(value)) return value;
  if (!Number.isFinite(value)) {
    throw new RangeError(`cannot write "${key}" as JSON: it is ${value}, and JSON only knows finite numbers`);
  }
  return Number(value.toPrecision(SIGNIFICANT_DIGITS));
}
