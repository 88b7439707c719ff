/** The recorded operations of a case, one a line. */
import { type CaseResult, isDriverCase, type TracedOperation } from "../result.ts";

/** What the two numbers of an operation are, in words; every other operation has a handle and bytes. */
const MEANINGS: Record<string, (a: number, b: number) => string> = {
  "page-alloc": (page, references) => `${place(page)}  ${references} reference${references === 1 ? "" : "s"}`,
  "page-free": (page) => place(page),
  "page-reuse": (page, offset) => `${place(page)}  next at byte ${offset}`,
  refill: (posted, free) => `${posted} posted, ${free} descriptors free`,
  transmit: (added, free) => `${added} added, ${free} descriptors free`,
  reclaim: (taken, free) => `${taken} taken back, ${free} descriptors free`,
  receive: (bytes, copied) => `${bytes} bytes, ${copied} of them copied`,
};

/** Cases with recorded operations: a title each, and the operations as lines. */
export function operationBlocks(cases: readonly CaseResult[]): { title: string; lines: string[] }[] {
  return cases.filter(isDriverCase).flatMap(({ id, operations }) => {
    if (operations === undefined) return [];
    return [{ title: `The first operations of ${id}:`, lines: operations.map(line) }];
  });
}

function line({ op, queue, a, b }: TracedOperation): string {
  const meaning = MEANINGS[op]?.(a, b) ?? `${place(a)}  ${b} bytes`;
  return `queue ${queue}  ${op.padEnd(11)}  ${meaning}`;
}

function place(at: number): string {
  return at.toString(16).padStart(8, "0");
}
