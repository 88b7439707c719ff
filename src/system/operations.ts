/** The operation trace (assembly/mem/trace.ts) as records and as text. */
import * as abi from "../../assembly/abi.ts";
import type { Engine } from "../engine.ts";

/** One recorded operation; what `a` and `b` are depends on `op`. */
export interface Operation {
  op: string;
  queue: number;
  a: number;
  b: number;
}

/** What the two numbers of an operation are called. */
const OPERATIONS: Readonly<Record<number, readonly [name: string, a: string, b: string]>> = {
  [abi.OP_MAP]: ["map", "dma", "bytes"],
  [abi.OP_UNMAP]: ["unmap", "dma", "bytes"],
  [abi.OP_SYNC_CPU]: ["sync-cpu", "dma", "bytes"],
  [abi.OP_SYNC_DEVICE]: ["sync-device", "dma", "bytes"],
  [abi.OP_PAGE_ALLOC]: ["page-alloc", "page", "references"],
  [abi.OP_PAGE_FREE]: ["page-free", "page", "references"],
  [abi.OP_PAGE_REUSE]: ["page-reuse", "page", "offset"],
  [abi.OP_REFILL]: ["refill", "buffers", "free"],
  [abi.OP_TRANSMIT]: ["transmit", "buffers", "free"],
  [abi.OP_RECLAIM]: ["reclaim", "buffers", "free"],
  [abi.OP_RECEIVE]: ["receive", "bytes", "copied"],
};

const RECORD_WORDS = 4;

export function readOperations(engine: Engine): Operation[] {
  const { wasm } = engine;
  const words = engine.words("operation trace");
  const [capacity, count] = words;
  const first = wasm.opTraceBytes(0) >>> 2;
  return Array.from({ length: Math.min(capacity, count) }, (_, k) => {
    const [op, queue, a, b] = words.subarray(first + k * RECORD_WORDS);
    return { op: OPERATIONS[op][0], queue, a, b };
  });
}

/** One line each: number, queue, operation, and its two numbers by name; places and handles in hex. */
export function printOperations(operations: readonly Operation[]): string {
  const names = new Map(Object.values(OPERATIONS).map(([name, a, b]) => [name, [a, b]]));
  return operations
    .map(({ op, queue, a, b }, k) => {
      const [first, second] = names.get(op) ?? ["a", "b"];
      const value = first === "dma" || first === "page" ? `0x${a.toString(16)}` : a;
      return `${k} queue ${queue} ${op} ${first}=${value} ${second}=${b}`;
    })
    .join("\n");
}
