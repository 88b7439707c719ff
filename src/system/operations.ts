/** The operation trace (assembly/mem/trace.ts) as records and as text. */
import * as abi from "../../assembly/abi.ts";
import type { Engine } from "../engine.ts";

/** One recorded operation; what `a` and `b` are depends on `op`: place or handle, and bytes, for most. */
export interface Operation {
  op: string;
  queue: number;
  a: number;
  b: number;
}

const NAMES: Readonly<Record<number, string>> = {
  [abi.OP_MAP]: "map",
  [abi.OP_UNMAP]: "unmap",
  [abi.OP_SYNC_CPU]: "sync-cpu",
  [abi.OP_SYNC_DEVICE]: "sync-device",
  [abi.OP_PAGE_ALLOC]: "page-alloc",
  [abi.OP_PAGE_FREE]: "page-free",
  [abi.OP_PAGE_REUSE]: "page-reuse",
  [abi.OP_REFILL]: "refill",
  [abi.OP_TRANSMIT]: "transmit",
  [abi.OP_RECLAIM]: "reclaim",
  [abi.OP_RECEIVE]: "receive",
};

/** What the two numbers of an operation are, in words; every other operation has a handle and bytes. */
const MEANINGS: Readonly<Record<string, (a: number, b: number) => string>> = {
  "page-alloc": (page, references) => `${place(page)}  ${references} reference${references === 1 ? "" : "s"}`,
  "page-free": (page) => place(page),
  "page-reuse": (page, offset) => `${place(page)}  next at byte ${offset}`,
  refill: (posted, free) => `${posted} posted, ${free} descriptors free`,
  transmit: (added, free) => `${added} added, ${free} descriptors free`,
  reclaim: (taken, free) => `${taken} taken back, ${free} descriptors free`,
  receive: (bytes, copied) => `${bytes} bytes, ${copied} of them copied`,
};

const RECORD_WORDS = 4;

export function readOperations(engine: Engine): Operation[] {
  const { wasm } = engine;
  const words = engine.words("operation trace");
  const [capacity, count] = words;
  const first = wasm.opTraceBytes(0) >>> 2;
  return Array.from({ length: Math.min(capacity, count) }, (_, k) => {
    const [op, queue, a, b] = words.subarray(first + k * RECORD_WORDS);
    return { op: NAMES[op], queue, a, b };
  });
}

/** One line for each: queue, operation, and what its two numbers say; places and handles in hex. */
export function operationLines(operations: readonly Operation[]): string[] {
  return operations.map(({ op, queue, a, b }) => {
    const meaning = MEANINGS[op]?.(a, b) ?? `${place(a)}  ${b} bytes`;
    return `queue ${queue}  ${op.padEnd(11)}  ${meaning}`;
  });
}

function place(at: number): string {
  return at.toString(16).padStart(8, "0");
}
