/** Where a driver's indirect tables come from: numbers of tables, and for each buffer an origin. */
import type { TableSource } from "../../src/names.ts";

/** The general allocator, which has tests of its own: whether it has so many bytes left. */
export interface Heap {
  take(bytes: number): boolean;
}

/** What a buffer's table is: from a node's list, a slot's own, one that `grow` keeps, or the heap's. */
export interface Origin {
  kind: "listed" | "slot" | "grown" | "heap";
  node: number;
  /** The cache could not serve it; and the heap had to, in place of the source. */
  missed: boolean;
  fell: boolean;
}

export interface TableChoice {
  source: TableSource;
  size: number;
  threshold: number;
  nodes: number;
  /** Bytes that were reserved for tables; a cache that needs more is off. */
  reserved: number;
}

export class TablesModel {
  readonly source: TableSource;
  readonly threshold: number;
  readonly #size: number;
  /** Free tables of each node. */
  readonly #listed: number[];
  /** Tables that buffers have from the heap. */
  #fromHeap = 0;
  readonly #grown = { all: 0, free: 0 };

  constructor(choice: TableChoice) {
    const { source, size, threshold, nodes, reserved } = choice;
    const lists = source === "per-node" ? nodes : 1;
    const cached = source === "freelist" || source === "slot" || source === "per-node";
    this.source = source;
    this.threshold = cached && lists * size * threshold * 16 > reserved ? 0 : threshold;
    this.#size = size;
    const full = (source === "freelist" || source === "per-node") && this.threshold > 0;
    this.#listed = Array.from({ length: lists }, () => (full ? size : 0));
  }

  /** A table for `n` elements, or null when the buffer has to go direct. */
  take(n: number, node: number, heap: Heap): Origin | null {
    const cached = n <= this.threshold;
    switch (this.source) {
      case "freelist":
      case "per-node": {
        const list = this.source === "per-node" ? node : 0;
        if (!cached || this.#listed[list] === 0) break;
        this.#listed[list]--;
        return { kind: "listed", node: list, missed: false, fell: false };
      }
      case "slot":
        if (cached) return { kind: "slot", node: 0, missed: false, fell: false };
        break;
      case "grow":
        if (!cached) break;
        if (this.#grown.free > 0) {
          this.#grown.free--;
          return { kind: "grown", node: 0, missed: false, fell: false };
        }
        if (!heap.take(16 * this.threshold)) return null;
        this.#grown.all++;
        return { kind: "grown", node: 0, missed: true, fell: false };
    }
    if (!heap.take(16 * n)) return null;
    this.#fromHeap++;
    return { kind: "heap", node: 0, missed: true, fell: this.source !== "heap" };
  }

  give(origin: Origin): void {
    if (origin.kind === "listed") this.#listed[origin.node]++;
    else if (origin.kind === "heap") this.#fromHeap--;
    else if (origin.kind === "grown") this.#grown.free++;
  }

  /** Free tables in the lists. */
  get listed(): number {
    return this.#grown.free + this.#listed.reduce((all, count) => all + count, 0);
  }

  /** Blocks that the heap has handed out. */
  get heapBlocks(): number {
    return this.#fromHeap + this.#grown.all;
  }

  /** Tables that `grow` keeps when nothing is outstanding. */
  keeps(grown: number): void {
    this.#grown.all = grown;
    this.#grown.free = grown;
  }

  /** Where a table of this origin lies: a list of places by index, or anywhere in the heap. */
  place(origin: Origin, slot: number): { first: number; count: number } | null {
    if (origin.kind === "slot") return { first: slot, count: 1 };
    return origin.kind === "listed" ? { first: origin.node * this.#size, count: this.#size } : null;
  }
}
