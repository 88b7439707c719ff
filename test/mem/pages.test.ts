/** The page allocator against a model that keeps a list of what is out, and its check against damage. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as abi from "../../assembly/abi.ts";
import type { Engine } from "../../src/engine.ts";
import { createEngine } from "../support/engine.ts";

const PAGES = 64;

class Rig {
  readonly engine: Engine;
  readonly control: number;
  readonly first: number;
  readonly nodes: number;

  constructor(engine: Engine) {
    this.engine = engine;
    this.control = engine.region("page control").ptr;
    this.first = engine.region("pages").ptr;
    this.nodes = engine.limits.nodes;
  }

  static async create(nodes: number): Promise<Rig> {
    return new Rig(await createEngine({ queueSize: 1, bufferBytes: 0, pages: PAGES, nodes }));
  }

  /** All pages free again. */
  reset(): void {
    const at = (name: string): number => this.engine.region(name).ptr;
    this.engine.wasm.pagesInit(
      this.control,
      at("page descriptors"),
      at("page records"),
      this.first,
      PAGES,
      this.nodes,
    );
  }

  take(node = 0, count = 1): number {
    return this.engine.wasm.pagesTake(this.control, node, count) >>> 0;
  }
  get(page: number, count = 1): void {
    this.engine.wasm.pagesGet(this.control, page, count);
  }
  /** Whether the last reference was put. */
  put(page: number, count = 1): boolean {
    return this.engine.wasm.pagesPut(this.control, page, count) !== 0;
  }
  check(): number {
    return this.engine.wasm.pagesCheck(this.control);
  }
  word(offset: { value: number }): number {
    return this.engine.u32[(this.control + offset.value) >>> 2];
  }
  setWord(offset: { value: number }, value: number): void {
    this.engine.u32[(this.control + offset.value) >>> 2] = value;
  }
  counter(offset: { value: number }): number {
    return this.engine.readU64(this.control + offset.value);
  }
  /** The index in the memory's words of a field of a page's record. */
  field(page: number, offset: { value: number }): number {
    const record =
      this.engine.region("page records").ptr + ((page - this.first) / abi.PAGE_SIZE) * abi.PAGE_RECORD;
    return (record + offset.value) >>> 2;
  }
  nodeOf(page: number): number {
    return Math.floor((page - this.first) / abi.PAGE_SIZE / (PAGES / this.nodes));
  }
}

interface Taken {
  page: number;
  count: number;
  refs: number;
}

type Step =
  | { op: "take"; node: number; count: number; fails: boolean }
  | { op: "get" | "put"; which: number; count: number };

const steps = (nodes: number): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      fc.record({
        op: fc.constant("take" as const),
        node: fc.nat(nodes - 1),
        count: fc.oneof(
          { weight: 5, arbitrary: fc.constant(1) },
          { weight: 1, arbitrary: fc.integer({ min: 2, max: 9 }) },
        ),
        fails: fc.oneof(
          { weight: 9, arbitrary: fc.constant(false) },
          { weight: 1, arbitrary: fc.constant(true) },
        ),
      }),
      fc.record({
        op: fc.constantFrom("get" as const, "put" as const, "put" as const),
        which: fc.nat(),
        count: fc.integer({ min: 1, max: 3 }),
      }),
    ),
    { maxLength: 200 },
  );

/** Does as told; every rule is checked after every step. */
function run(rig: Rig, list: readonly Step[]): void {
  const { wasm } = rig.engine;
  rig.reset();
  const out: Taken[] = [];
  let underflows = 0;
  for (const step of list) {
    const free = PAGES - out.reduce((sum, { count }) => sum + count, 0);
    if (step.op === "take") {
      if (step.fails) rig.setWord(wasm.PAGES_FAIL_IN, 1);
      const page = rig.take(step.node, step.count);
      if (step.fails) expect(page).toBe(0);
      // Single pages are never lost to fragmentation.
      else if (step.count === 1) expect(page === 0).toBe(free === 0);
      if (page === 0) continue;
      expect(page % abi.PAGE_SIZE).toBe(0);
      expect(page).toBeGreaterThanOrEqual(rig.first);
      expect(page + step.count * abi.PAGE_SIZE).toBeLessThanOrEqual(rig.first + PAGES * abi.PAGE_SIZE);
      const end = page + step.count * abi.PAGE_SIZE;
      expect(out.find((other) => page < other.page + other.count * abi.PAGE_SIZE && other.page < end)).toBe(
        undefined,
      );
      expect(rig.engine.u32[rig.field(page, wasm.PAGE_HOME)]).toBe(rig.nodeOf(page));
      out.push({ page, count: step.count, refs: 1 });
    } else if (out.length > 0) {
      const index = step.which % out.length;
      const one = out[index];
      if (step.op === "get") {
        rig.get(one.page, step.count);
        one.refs += step.count;
      } else if (step.count > one.refs) {
        expect(rig.put(one.page, step.count)).toBe(false);
        underflows++;
      } else {
        one.refs -= step.count;
        expect(rig.put(one.page, step.count)).toBe(one.refs === 0);
        if (one.refs === 0) out.splice(index, 1);
      }
    }
    for (const { page, refs } of out) expect(rig.engine.u32[rig.field(page, wasm.PAGE_REFS)]).toBe(refs);
    const taken = out.reduce((sum, { count }) => sum + count, 0);
    expect(rig.word(wasm.PAGES_FREE)).toBe(PAGES - taken);
    expect(rig.counter(wasm.PAGES_ALLOCATED) - rig.counter(wasm.PAGES_FREED)).toBe(taken);
    expect(rig.check()).toBe(underflows ? abi.PAGES_UNDERFLOW : abi.PAGES_SOUND);
  }
  for (const { page, refs } of out) expect(rig.put(page, refs)).toBe(true);
  // Whatever the order, all neighbours have been merged: the largest piece can be had again.
  const most = PAGES / rig.nodes;
  expect(rig.word(wasm.PAGES_FREE)).toBe(PAGES);
  for (let node = 0; node < rig.nodes; node++) expect(rig.take(node, most)).not.toBe(0);
}

describe("the page allocator", () => {
  it.each([1, 2, 4])(
    "keeps pages apart, on their nodes and counted through any takes, gets and puts, %i nodes",
    async (nodes) => {
      const rig = await Rig.create(nodes);
      fc.assert(
        fc.property(steps(nodes), (list) => run(rig, list)),
        { numRuns: 200, seed: 11 },
      );
    },
  );

  it("keeps everything about pages in private memory, and pages on 4 KiB boundaries in the shared part", async () => {
    const { engine, first } = await Rig.create(2);
    for (const name of ["page control", "page descriptors", "page records"]) {
      expect(engine.region(name).ptr + engine.region(name).bytes).toBeLessThanOrEqual(engine.sharedBase);
    }
    expect(first % abi.PAGE_SIZE).toBe(0);
    expect(first).toBeGreaterThanOrEqual(engine.sharedBase);
    expect(engine.region("pages").bytes).toBe(PAGES * abi.PAGE_SIZE);
  });

  it("serves a node from another when its own has none, and says so", async () => {
    const rig = await Rig.create(2);
    const { wasm } = rig.engine;
    const own = Array.from({ length: PAGES / 2 }, () => rig.take(1));
    expect(own.map((page) => rig.nodeOf(page))).toEqual(own.map(() => 1));
    expect(rig.counter(wasm.PAGES_REMOTE)).toBe(0);
    const other = rig.take(1);
    expect(rig.nodeOf(other)).toBe(0);
    expect(rig.counter(wasm.PAGES_REMOTE)).toBe(1);
    // Freed pages go back to their own node.
    rig.put(own[3]);
    expect(rig.take(1)).toBe(own[3]);
  });

  it("marks what it hands out of the last pages as the reserve's, and a later user of the page finds no mark", async () => {
    const rig = await Rig.create(1);
    const { wasm } = rig.engine;
    rig.setWord(wasm.PAGES_RESERVE, 3);
    const pages = Array.from({ length: PAGES }, () => rig.take());
    const marks = pages.map((page) => rig.engine.u32[rig.field(page, wasm.PAGE_HOME)]);
    expect(marks).toEqual(pages.map((_, k) => (k < PAGES - 3 ? 0 : 2 ** 31)));
    expect(rig.take()).toBe(0);
    expect(rig.counter(wasm.PAGES_FAILURES)).toBe(1);
    for (const page of pages) rig.put(page);
    expect(rig.engine.u32[rig.field(rig.take(), wasm.PAGE_HOME)]).toBe(0);
  });

  it("the check finds a count that does not fit, and structure that is broken", async () => {
    const rig = await Rig.create(1);
    const { engine } = rig;
    const [a, b] = [rig.take(), rig.take(0, 3)];
    const damage = (index: number, value: number, found: number): void => {
      const before = engine.u32[index];
      engine.u32[index] = value;
      expect(rig.check()).toBe(found);
      engine.u32[index] = before;
      expect(rig.check()).toBe(abi.PAGES_SOUND);
    };
    const { wasm } = engine;
    damage(rig.field(a, wasm.PAGE_REFS), 0, abi.PAGES_REFERENCES);
    damage(rig.field(b + abi.PAGE_SIZE, wasm.PAGE_REFS), 1, abi.PAGES_REFERENCES);
    damage(rig.field(b + 5 * abi.PAGE_SIZE, wasm.PAGE_REFS), 1, abi.PAGES_REFERENCES);
    damage((rig.control + wasm.PAGES_FREE.value) >>> 2, PAGES, abi.PAGES_COUNT);
    damage((rig.control + wasm.PAGES_ALLOCATED.value) >>> 2, 3, abi.PAGES_COUNT);
    // The size of the first block, 8 bytes into the descriptors.
    damage((engine.region("page descriptors").ptr + 8) >>> 2, 24, abi.PAGES_ALLOCATOR);
  });

  it("an engine without pages has no region for them", async () => {
    const engine = await createEngine({ queueSize: 1, bufferBytes: 0 });
    expect(engine.regions.some(({ name }) => name.includes("page"))).toBe(false);
  });
});
