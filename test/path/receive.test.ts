/** The receive loop: when it posts buffers, what it does without memory, and that every page is somewhere. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DmaBackend } from "../../src/names.ts";
import { RING_FORMATS } from "../../src/names.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";
import { operationLines } from "../../src/system/operations.ts";
import type { RxKind } from "../../src/system/records.ts";
import {
  digestOf,
  driverBench,
  framesOf,
  Knobs,
  PLAIN_KINDS,
  perPacket,
  ratesWhile,
} from "../support/driver-bench.ts";

const BACKENDS: readonly DmaBackend[] = ["direct", "swiotlb", "iommu-strict", "iommu-lazy"];

/** The operations without mappings, syncs and pages: in short form, and runs of the same as a number. */
function order(bench: DriverBench): string[] {
  const seen: string[] = [];
  let receives = 0;
  for (const { op, a } of bench.operations()) {
    if (op === "receive") receives++;
    if (op !== "refill" && op !== "reclaim") continue;
    if (receives > 0) seen.push(`receive x${receives}`);
    receives = 0;
    seen.push(`${op} ${a}`);
  }
  if (receives > 0) seen.push(`receive x${receives}`);
  return seen;
}

function closeClean(bench: DriverBench): void {
  expect(bench.check()).toBeNull();
  expect(bench.close()).toEqual({ ok: true, leaks: [] });
}

describe("the order of operations", () => {
  it("i40e posts 16 buffers whenever 16 were taken, within the poll", async () => {
    const bench = await driverBench({ driver: "i40e", direction: "rx", count: 96, traceOps: 2000 });
    bench.run(1);
    const burst = ["reclaim 32", "receive x16", "refill 16", "receive x16", "refill 16"];
    expect(order(bench)).toEqual(["refill 256", ...burst, ...burst, ...burst]);
    closeClean(bench);
  });

  it("i40e with another batch posts so many, and what a poll leaves over waits for the next", async () => {
    const bench = await driverBench({
      driver: "i40e",
      direction: "rx",
      count: 96,
      refillAt: 24,
      traceOps: 2000,
    });
    bench.runSome(64);
    expect(order(bench)).toEqual([
      ...["refill 256", "reclaim 32", "receive x24", "refill 24", "receive x8"],
      ...["reclaim 32", "receive x16", "refill 24", "receive x16"],
    ]);
    closeClean(bench);
  });

  it("virtio-net fills the ring once more than half of it is free, behind the poll", async () => {
    const bench = await driverBench({ driver: "virtio-net", direction: "rx", count: 1000, traceOps: 20_000 });
    bench.runSome(320);
    const polls = Array.from({ length: 5 }, () => ["reclaim 32", "receive x32"]).flat();
    expect(order(bench)).toEqual(["refill 256", ...polls, "refill 160", ...polls, "refill 160"]);
    closeClean(bench);
  });

  it("virtio-net with the later threshold fills it once min(budget, ring) / 2 are free", async () => {
    const later = { driver: "virtio-net", direction: "rx", refillAt: Math.min(64, 256) / 2 + 1 } as const;
    const bench = await driverBench({ ...later, count: 1000, traceOps: 20_000 });
    bench.runSome(128);
    const polls = Array.from({ length: 2 }, () => ["reclaim 32", "receive x32"]).flat();
    expect(order(bench)).toEqual(["refill 256", ...polls, "refill 64", ...polls, "refill 64"]);
    closeClean(bench);
  });

  it("of a packet: it is synced, then its page goes on, then it is delivered", async () => {
    const ofPacket = async (driver: string, rx?: RxKind): Promise<string[]> => {
      const bench = await driverBench({ driver, rx, direction: "rx", ringSize: 8, count: 64, traceOps: 400 });
      bench.runSome(32);
      const names = bench.operations().map(({ op }) => op);
      const last = names.lastIndexOf("receive");
      const before = names.lastIndexOf("receive", last - 1);
      closeClean(bench);
      return names.slice(before + 1, last + 1).filter((op) => op !== "reclaim" && op !== "refill");
    };
    expect(await ofPacket("i40e")).toEqual(["sync-cpu", "page-reuse", "receive"]);
    expect((await ofPacket("i40e-6.1")).slice(-3)).toEqual(["sync-cpu", "page-reuse", "receive"]);
    // The page comes back when the consumer is done, that of the packet before.
    expect((await ofPacket("i40e", "page-pool")).slice(-4)).toEqual([
      ...["sync-device", "page-reuse", "sync-cpu", "receive"],
    ]);
  });

  it("is recorded up to the end of the trace, and printed with names", async () => {
    const bench = await driverBench({
      driver: "i40e",
      direction: "rx",
      ringSize: 8,
      count: 64,
      traceOps: 20,
    });
    bench.run(3);
    expect(bench.operations()).toHaveLength(20);
    const lines = operationLines(bench.operations());
    expect(lines).toHaveLength(20);
    expect(lines[0]).toMatch(/^queue 0 {2}page-alloc {3}[0-9a-f]{8} {2}1 reference$/);
    expect(lines[1]).toMatch(/^queue 0 {2}map {10}[0-9a-f]{8} {2}4096 bytes$/);
    expect(lines[16]).toBe("queue 0  refill       8 posted, 0 descriptors free");
    closeClean(bench);
  });
});

describe("frames that can't be received", () => {
  it("are dropped and counted by cause: too long for any buffer, too short for a frame", async () => {
    const [good, long, short] = [
      framesOf(900, 40),
      framesOf(1519, 40, 2),
      Array.from({ length: 40 }, () => new Uint8Array(13)),
    ];
    const mixed = good.flatMap((frame, k) => [long[k], frame, short[k]]);
    for (const driver of ["i40e", "virtio-net", "premapped"]) {
      const bench = await driverBench({ driver, direction: "rx", queues: [mixed] });
      bench.run(2);
      expect(bench.counters()).toMatchObject({
        packets: 80,
        dropsTooLong: 80,
        dropsTooShort: 80,
        dropsNoBuffer: 0,
      });
      expect(bench.digests()).toEqual([digestOf(good)]);
      closeClean(bench);
    }
  });

  it.each(PLAIN_KINDS.filter((kind) => kind !== "premapped"))(
    "%s: are dropped for want of a buffer when there is no page, and not any more when there is",
    async (rx) => {
      const frames = framesOf(1000, 640);
      // A consumer that holds more than there are pages.
      const bench = await driverBench({
        driver: "i40e",
        rx,
        direction: "rx",
        queues: [frames],
        hold: 300,
        pages: 200,
      });
      bench.run(2);
      const { packets, dropsNoBuffer, refillsNoPage } = bench.counters();
      expect(packets + dropsNoBuffer).toBe(2 * 640);
      expect(dropsNoBuffer).toBeGreaterThan(0);
      expect(refillsNoPage).toBeGreaterThan(0);
      expect(bench.check()).toBeNull();
      new Knobs(bench).hold(0);
      bench.rewind();
      bench.run(1);
      const before = bench.counters();
      bench.run(1);
      expect(perPacket(before, bench.counters())).toMatchObject({ packets: 1, bytes: 1000 });
      expect(bench.counters().dropsNoBuffer).toBe(before.dropsNoBuffer);
      expect(bench.digests()).toEqual([digestOf(frames)]);
      closeClean(bench);
    },
  );

  it("premapped: is refused at set-up when the pages are not there", async () => {
    const few = driverBench({ driver: "premapped", direction: "rx", pages: 100 });
    await expect(few).rejects.toMatchObject({ code: "set-up" });
  });
});

describe("pages of another node, or of the emergency reserve", () => {
  it.each(["page-reuse", "page-reuse-build", "page-pool"] as const)(
    "%s: are never used again",
    async (rx) => {
      const bench = await driverBench({
        driver: "i40e-6.1",
        rx,
        direction: "rx",
        ringSize: 64,
        count: 512,
        nodes: 2,
        pages: 8000,
      });
      const knobs = new Knobs(bench);
      bench.run(200);
      expect(ratesWhile(bench, () => bench.run(1))).not.toHaveProperty("pagesAllocated");
      knobs.node(1);
      bench.run(200);
      // All that the queue has is the new node's by now.
      expect(ratesWhile(bench, () => bench.run(1))).not.toHaveProperty("pagesAllocated");
      const { wasm } = bench.engine;
      const control = bench.engine.region("page control").ptr;
      expect(bench.engine.readU64(control + wasm.PAGES_REMOTE.value)).toBe(0);
      const records = bench.engine.region("page records");
      for (let at = records.ptr; at < records.ptr + records.bytes; at += 32) {
        const word = (offset: { value: number }): number => bench.engine.u32[(at + offset.value) >>> 2];
        if (word(wasm.PAGE_REFS) > 0) expect(word(wasm.PAGE_HOME)).toBe(1);
      }
      // What the queue has stays unmarked; it is another node's now, so that new pages come.
      knobs.reserve(bench.settings.pages);
      knobs.node(0);
      bench.run(200);
      const rates = ratesWhile(bench, () => bench.run(1));
      expect(rates).toMatchObject({ pagesAllocated: 1, pagesFreed: 1, maps: 1, unmaps: 1 });
      expect(rates).not.toHaveProperty("pagesReused");
      knobs.reserve(0);
      bench.run(200);
      expect(ratesWhile(bench, () => bench.run(1))).not.toHaveProperty("pagesAllocated");
      closeClean(bench);
    },
  );

  it("page-reuse: a small packet's buffer does not go back either", async () => {
    const bench = await driverBench({
      driver: "i40e",
      direction: "rx",
      bytes: 100,
      ringSize: 64,
      reserve: 10_000,
    });
    bench.run(1);
    expect(ratesWhile(bench, () => bench.run(1))).toMatchObject({
      pagesAllocated: 1,
      pagesFreed: 1,
      unmaps: 1,
    });
    closeClean(bench);
  });
});

it("page-pool: a page that others hold leaves the pool unmapped, and is freed by the last of them", async () => {
  const bench = await driverBench({
    driver: "i40e",
    rx: "page-pool",
    direction: "rx",
    ringSize: 8,
    count: 8,
    hold: 4,
  });
  const { engine } = bench;
  const control = engine.region("page control").ptr;
  bench.run(1);
  // The oldest of the four that are held, by the consumer's queue.
  const consumer = engine.u32[(bench.ports[0] + engine.wasm.PORT_CONSUMER.value) >>> 2];
  const word = (offset: { value: number }): number => engine.u32[(consumer + offset.value) >>> 2];
  const packet =
    engine.u32[
      (word(engine.wasm.CONSUMER_QUEUE) >>> 2) +
        (word(engine.wasm.CONSUMER_HEAD) & word(engine.wasm.CONSUMER_MASK))
    ];
  const page = engine.u32[(packet >>> 2) + 2] & ~4095;
  engine.wasm.pagesGet(control, page, 1);
  const before = bench.counters();
  bench.run(1);
  const after = bench.counters();
  expect(after.unmaps - before.unmaps).toBe(1);
  expect(after.pagesFreed - before.pagesFreed).toBe(0);
  expect(engine.wasm.pagesPut(control, page, 1)).toBe(1);
  bench.run(3);
  expect(bench.check()).toBeNull();
  // The pool counts what it freed; this page was freed by somebody else.
  expect(bench.close()).toEqual({ ok: true, leaks: [] });
});

describe("a consumer that holds 16 packets", () => {
  /** Numbers of packets in the order in which they were dropped; each has a page of its own. */
  async function dropped(drop: "in-order" | "random", seed = 1): Promise<number[]> {
    const bench = await driverBench({
      ...{ driver: "virtio-net", direction: "rx", ringSize: 32, count: 256, traceOps: 5000 },
      ...{ hold: 16, drop, seed },
    });
    bench.run(1);
    const numbers = new Map<number, number>();
    let allocated = 0;
    let received = 0;
    const order: number[] = [];
    for (const { op, a } of bench.operations()) {
      if (op === "page-alloc") numbers.set(a, allocated++);
      if (op === "receive") received++;
      if (op !== "page-free") continue;
      order.push(numbers.get(a) as number);
      expect(received - order.length).toBe(16);
      expect(order.at(-1)).toBeLessThan(received);
    }
    closeClean(bench);
    return order;
  }

  it("drops the oldest", async () => {
    expect(await dropped("in-order")).toEqual(Array.from({ length: 240 }, (_, k) => k));
  });

  it("or any of them, the same ones in every run with the same seed", async () => {
    const order = await dropped("random");
    expect(new Set(order).size).toBe(240);
    // How long each was held: some for no time at all, some for much longer than in order.
    const held = order.map((number, k) => k + 16 - number);
    expect(Math.min(...held)).toBe(0);
    expect(Math.max(...held)).toBeGreaterThan(32);
    expect(await dropped("random")).toEqual(order);
    expect(await dropped("random", 2)).not.toEqual(order);
  });
});

describe("the cache and the ring of a page pool", () => {
  /** Numbers of pages by the order in which they were allocated, as they come back to the pool. */
  async function recycled(count: number): Promise<number[]> {
    const bench = await driverBench({
      ...{ driver: "i40e", rx: "page-pool", direction: "rx" },
      ...{ ringSize: 8, count, traceOps: 5000 },
    });
    bench.run(1);
    const operations = bench.operations();
    const pages = operations.flatMap(({ op, a }) => (op === "page-alloc" ? [a] : []));
    expect(pages).toHaveLength(64);
    closeClean(bench);
    return operations.flatMap(({ op, a }) => (op === "page-reuse" ? [pages.indexOf(a)] : []));
  }

  it("the cache gives out the newest first, and is filled with 64 from the ring, oldest first", async () => {
    const bulk = Array.from({ length: 64 }, (_, k) => k);
    expect(await recycled(3 * 64)).toEqual([...bulk.toReversed(), ...bulk, ...bulk.toReversed()]);
  });

  it.each([
    [8, 64],
    [64, 64],
    [128, 128],
    [256, 256],
  ])("for a ring of %i buffers %i pages are allocated, 64 at once", async (ringSize, pages) => {
    const bench = await driverBench({ driver: "i40e", rx: "page-pool", direction: "rx", ringSize, count: 8 });
    expect(bench.counters()).toMatchObject({ pagesAllocated: pages, maps: pages });
    closeClean(bench);
  });

  it("the ring takes 1024 pages; what comes then leaves the pool, unmapped", async () => {
    const bench = await driverBench({
      ...{ driver: "i40e", rx: "page-pool", direction: "rx" },
      ...{ count: 2048, hold: "all" },
    });
    bench.run(3);
    const rates = ratesWhile(bench, () => bench.run(1));
    const each = 1024 / 2048;
    expect(rates).toMatchObject({ pagesReused: each, unmaps: each, pagesFreed: each, pagesAllocated: each });
    closeClean(bench);
  });
});

type Step =
  | { op: "run" | "hold" | "failPage" | "failMap" | "reserve"; value: number }
  | { op: "random"; value: boolean }
  | { op: "node"; value: number };

const MOST_HELD = 40;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ op: fc.constant("run" as const), value: fc.integer({ min: 1, max: 60 }) }),
  },
  fc.record({ op: fc.constant("hold" as const), value: fc.nat(MOST_HELD) }),
  fc.record({ op: fc.constant("random" as const), value: fc.boolean() }),
  fc.record({
    op: fc.constantFrom("failPage" as const, "failMap" as const),
    value: fc.integer({ min: 1, max: 20 }),
  }),
  fc.record({ op: fc.constant("node" as const), value: fc.nat(1) }),
  fc.record({ op: fc.constant("reserve" as const), value: fc.constantFrom(0, 0, 20, 1000) }),
);

function apply(bench: DriverBench, knobs: Knobs, { op, value }: Step): void {
  if (op === "run") bench.runSome(value);
  else if (op === "random") knobs.random(value);
  else knobs[op](value);
}

it.each(PLAIN_KINDS)(
  "%s: any one allocation or mapping that fails costs no packet and leaks nothing",
  async (rx) => {
    const frames = framesOf(900, 96);
    for (let failing = 1; failing <= 24; failing++) {
      for (const turn of ["failPage", "failMap"] as const) {
        const bench = await driverBench({
          driver: "i40e",
          rx,
          direction: "rx",
          queues: [frames],
          ringSize: 64,
          hold: 40,
        });
        new Knobs(bench)[turn](failing);
        for (let burst = 0; burst < 6; burst++) {
          bench.runSome(32);
          expect(bench.check()).toBeNull();
        }
        const { packets, dropsNoBuffer, refillsNoPage, refillsMapFailed, mapFailures } = bench.counters();
        expect(packets).toBe(192);
        expect(dropsNoBuffer).toBe(0);
        expect(refillsNoPage + refillsMapFailed).toBeLessThanOrEqual(1);
        // A pool that can't map one page of a bulk still has the others.
        expect(refillsMapFailed).toBe(rx === "page-pool" ? 0 : mapFailures);
        expect(bench.digests()).toEqual([digestOf(frames)]);
        closeClean(bench);
      }
    }
  },
);

describe.each(BACKENDS)("conservation through %s", (dma) => {
  it.each(PLAIN_KINDS)(
    "%s: after any step every page is free, in one place of the driver's, or held, and all comes back",
    async (rx) => {
      const small = framesOf(120, 20);
      const frames = framesOf(900, 60, 2).flatMap((frame, k) => (k % 3 ? [frame] : [frame, small[k / 3]]));
      const queues = [frames.slice(0, 50), frames.slice(50)];
      const drivers = ["i40e", "i40e-6.1", "virtio-net"];
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { maxLength: 30 }),
          fc.constantFrom(...drivers),
          fc.constantFrom(...RING_FORMATS),
          async (steps, driver, format) => {
            const bench = await driverBench({
              ...{ driver, rx, format, dma, queues, direction: "rx" },
              ...{ ringSize: 16, hold: MOST_HELD, nodes: 2 },
            });
            const knobs = new Knobs(bench);
            for (const one of steps) {
              apply(bench, knobs, one);
              expect(bench.check()).toBeNull();
            }
            for (const turn of ["failPage", "failMap", "reserve"] as const) knobs[turn](0);
            bench.run(2);
            expect(bench.digests()).toEqual(queues.map(digestOf));
            closeClean(bench);
          },
        ),
        { numRuns: 15, seed: 3 },
      );
    },
  );
});
