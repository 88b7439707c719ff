import type { CompareHooks, CompareHost } from "../compare/runner.ts";

type Output = NodeJS.WritableStream & { isTTY?: boolean };

/** What the program gets from outside. */
export interface Context extends Pick<CompareHost, "module">, Pick<CompareHooks, "signal" | "tamper"> {
  version: string;
  stdout: Output;
  stderr: Output;
  /** Whether stdout may be coloured. */
  color: boolean;
}

export const EXIT = {
  ok: 0,
  /** The comparison is worthless: other bytes arrived, or something leaked. */
  failed: 1,
  /** Options, a file or a memory that cannot be, and reports that cannot be written. */
  badInput: 2,
  /** What shells say of a program that SIGINT ended. */
  interrupted: 130,
} as const;
