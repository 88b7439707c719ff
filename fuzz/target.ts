/** What the fuzzer's loop knows of a target. */
import { REFUSALS, type RingFormat, VIOLATIONS } from "../src/names.ts";
import type { World } from "./world.ts";

/** What a case tells while it runs. */
export interface Report {
  /** A named outcome: the code of a violation or a refusal, or a word of the target's own. */
  reached(outcome: string): void;
  /** What the last operation led to, in a few numbers: a combination that is new makes a case worth keeping. */
  signal(...parts: number[]): void;
  /** The operation in words. */
  say(words: () => string): void;
}

interface Named {
  readonly name: string;
  /** Outcomes that it can reach: none of them is missing after half a minute. */
  readonly outcomes: readonly string[];
}

/** A target that runs its cases in a world of rings. */
export interface RingTarget extends Named {
  readonly format: RingFormat;
  /** Runs one case from its bytes. @throws when a rule does not hold. */
  run(world: World, bytes: Uint8Array, report: Report): void;
}

/** A target that is put to work: one engine for many cases. */
export interface Runner {
  /** Everything as it was before the first case. */
  reset(): void;
  /** Runs one case from its bytes. @throws when a rule does not hold. */
  run(bytes: Uint8Array, report: Report): void;
}

export interface Target extends Named {
  start(module: WebAssembly.Module): Promise<Runner>;
}

export function nameOf(code: number): string {
  return (VIOLATIONS[code] ?? REFUSALS[code]).code;
}

/** 0, 1, 2, 3 or 4, 5 to 8, ... as 0, 1, 2, 3, 4. */
export function bucket(count: number): number {
  return count === 0 ? 0 : 33 - Math.clz32(count - 1);
}

/** An address space: bus addresses from `base` on are the bytes from `offset` on. */
export interface Window {
  base: bigint;
  length: bigint;
  offset: number;
}

export function inWindow({ base, length }: Window, addr: bigint, bytes: bigint): boolean {
  const from = BigInt.asUintN(64, addr - base);
  return from + bytes <= length;
}

export function placeOf({ base, offset }: Window, addr: bigint): number {
  return Number(BigInt.asUintN(64, addr - base)) + offset;
}

export function busOf({ base, offset }: Window, ptr: number): bigint {
  return BigInt.asUintN(64, BigInt(ptr - offset) + base);
}
