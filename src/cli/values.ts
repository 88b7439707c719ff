/** What the values of options mean: numbers, names and lists, or a line that says what would be right. */
import { UsageError } from "./errors.ts";

/** Makes a value of what stands behind `option`; the error names `other`, which would be right as well. @throws UsageError */
export type Parser<T> = (text: string, option: string, other?: string) => T;

/** A whole number from `least` to `most`. */
export function integer(least: number, most: number): Parser<number> {
  return (text, option, other) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    const right = `a whole number from ${least} to ${most}`;
    throw wrong(option, text, other === undefined ? `${right} is` : `${right} and ${other} are`);
  };
}

/** One of the numbers. */
export function oneOf(numbers: readonly number[]): Parser<number> {
  return (text, option) => {
    const found = numbers.find((known) => String(known) === text);
    if (found !== undefined) return found;
    throw wrong(option, text, `${numbers.join(", ")} are`);
  };
}

/** One of the names. */
export function name<T extends string>(names: readonly T[]): Parser<T> {
  return (text, option) => {
    const found = names.find((known) => known === text);
    if (found !== undefined) return found;
    throw wrong(option, text, `${names.join(", ")} are`);
  };
}

/** The name, or else what `parse` makes of it. */
export function nameOr<T extends string, U>(known: T, parse: Parser<U>): Parser<T | U> {
  return (text, option) => (text === known ? known : parse(text, option, known));
}

/** Values with commas between them; one that stands there twice counts once. */
export function list<T>(parse: Parser<T>): Parser<T[]> {
  return (text, option) => {
    const parts = text.split(",").map((part) => part.trim());
    if (parts.includes("")) throw wrong(option, text, "values with one comma between them are");
    return [...new Set(parts.map((part) => parse(part, option)))];
  };
}

/** Any text at all, such as a path. */
export const anything: Parser<string> = (text) => text;

/** The value is quoted and escaped, so that it stays on its line. */
function wrong(option: string, text: string, right: string): UsageError {
  return new UsageError(`${option}: ${JSON.stringify(text)} is not possible; ${right}`);
}
