/** Where indirect tables come from, what the counters say about it, and that nothing leaks. */
import { describe, expect, it } from "vitest";
import { RING_FORMATS, TABLE_SOURCES, type TableSource } from "../../src/names.ts";
import { Random } from "../support/random.ts";
import type { TakenBuffer } from "../support/raw-memory.ts";
import { bufferOf, driverRig, elementsAt } from "../support/rig.ts";

const SOURCES = Object.keys(TABLE_SOURCES) as TableSource[];
const CACHED: TableSource[] = ["freelist", "grow", "slot", "per-node"];

type Rig = Awaited<ReturnType<typeof driverRig>>;

function add({ driver, data }: Rig, count: number, token = 0): boolean {
  return driver.add({ ...bufferOf(elementsAt(data.ptr, new Array(count).fill(8))), token });
}

/** Publishes, uses everything that is out, and takes it back. */
function settle({ driver, peer }: Rig): void {
  driver.publish();
  for (const buffer of peer.take()) peer.use(buffer, 0);
  peer.publish();
  driver.reclaim();
}

/** Places of the tables that ring entries refer to, in the order in which the buffers were added. */
function tablesOf({ driver, peer }: Rig, count: number): (number | null)[] {
  driver.publish();
  const first = "avail" in peer ? peer.avail.slot : 0;
  const heads =
    "heads" in peer ? peer.heads() : Array.from({ length: count }, (_, k) => (first + k) % peer.size);
  if ("lastAvail" in peer) peer.lastAvail = (peer.lastAvail - heads.length) & 0xffff;
  return heads.map((head) => {
    const { addr, flags } = peer.readDesc(head);
    return flags & 4 ? peer.place(addr) : null;
  });
}

describe.each(RING_FORMATS)("indirect tables on a %s ring", (format) => {
  it.each(SOURCES)("a buffer of one element takes no table unless told to, from %s", async (tables) => {
    for (const tableAlways of [false, true]) {
      const rig = await driverRig(format, { size: 8, tables, tableAlways });
      add(rig, 1);
      add(rig, 2);
      const expected = tables === "direct" ? 0 : tableAlways ? 2 : 1;
      expect(rig.driver.counters()).toMatchObject({ tableTakes: expected, liveTables: expected });
      settle(rig);
      expect(rig.driver.counters()).toMatchObject({ liveTables: 0, highWater: expected });
    }
  });

  it.each(CACHED)(
    "a table for up to the threshold comes from the cache, a larger one from the heap: %s",
    async (tables) => {
      for (const threshold of [2, 4, 19]) {
        const rig = await driverRig(format, { size: 32, tables, threshold, engine: { threshold: 19 } });
        const { engine, driver } = rig;
        for (let round = 0; round < 3; round++) {
          add(rig, threshold);
          add(rig, threshold + 1);
          expect(engine.heapLiveBlocks()).toBe(tables === "grow" ? 2 : 1);
          settle(rig);
        }
        const hits = tables === "grow" ? 2 : 3;
        expect(driver.counters()).toMatchObject({
          tableTakes: 6,
          tableHits: hits,
          heapFalls: 3,
          directFalls: 0,
          localTakes: 6,
          remoteTakes: 0,
        });
        expect(engine.heapLiveBlocks()).toBe(tables === "grow" ? 1 : 0);
      }
    },
  );

  it("heap: each table is allocated for its packet and given back with it", async () => {
    const rig = await driverRig(format, { size: 16, tables: "heap" });
    const { engine, driver } = rig;
    const free = engine.wasm.tlsfFreeBytes(engine.region("heap control").ptr);
    for (let round = 0; round < 50; round++) {
      for (const count of [2, 3, 5]) add(rig, count);
      expect(engine.heapLiveBlocks()).toBe(3);
      settle(rig);
      expect(engine.heapLiveBlocks()).toBe(0);
      expect(engine.wasm.tlsfFreeBytes(engine.region("heap control").ptr)).toBe(free);
    }
    expect(driver.counters()).toMatchObject({ tableTakes: 150, tableHits: 0, heapFalls: 0 });
    expect(engine.heapIsSound()).toBe(true);
  });

  it("freelist: all tables are there from the start, and the one given back last is taken first", async () => {
    const rig = await driverRig(format, { size: 8, tables: "freelist", threshold: 3 });
    const { driver, peer, engine } = rig;
    expect(driver.tablesListed()).toBe(8);
    const region = engine.region("queue 0 tables");
    for (let k = 0; k < 4; k++) add(rig, 2, k);
    expect(driver.tablesListed()).toBe(4);
    const places = tablesOf(rig, 4);
    expect(places).toEqual([0, 1, 2, 3].map((k) => region.ptr + 48 * k));
    const taken = peer.take();
    for (const k of [2, 0]) peer.use(taken[k], 0);
    peer.publish();
    driver.reclaim();
    expect(driver.tablesListed()).toBe(6);
    add(rig, 2);
    add(rig, 2);
    add(rig, 2);
    expect(tablesOf(rig, 3)).toEqual([places[0], places[2], region.ptr + 48 * 4]);
    expect(driver.counters()).toMatchObject({ tableTakes: 7, tableHits: 7, liveTables: 5, highWater: 5 });
  });

  it("grow: the cache fills as traffic runs, every table with room for the threshold, and empties into the heap", async () => {
    const rig = await driverRig(format, { size: 8, tables: "grow", threshold: 4 });
    const { engine, driver } = rig;
    expect(driver.tablesListed()).toBe(0);
    for (const burst of [1, 3, 2, 5, 4]) {
      for (let k = 0; k < burst; k++) add(rig, 2 + (k % 3));
      settle(rig);
    }
    expect(driver.counters()).toMatchObject({ tableTakes: 15, tableHits: 10, heapFalls: 0, highWater: 5 });
    expect(driver.tablesListed()).toBe(5);
    expect(engine.heapLiveBlocks()).toBe(5);
    driver.stop();
    expect(driver.detach()).toEqual([]);
    expect(engine.heapLiveBlocks()).toBe(0);
    expect(driver.tablesListed()).toBe(0);
  });

  it("slot: a buffer's table belongs to its ring entry or id, also after something else stood there", async () => {
    const random = new Random(40);
    const rig = await driverRig(format, { size: 4, tables: "slot", threshold: 3 });
    const { engine, driver, peer, data } = rig;
    const region = engine.region("queue 0 tables");
    for (let round = 0; round < 500; round++) {
      const counts: number[] = [];
      for (let k = random.int(1, 4); k > 0; k--) {
        const count = random.pick([1, 2, 3, 4]);
        if (add(rig, count, round)) counts.push(count);
      }
      driver.publish();
      const heads = "heads" in peer ? peer.heads() : null;
      if ("lastAvail" in peer && heads) peer.lastAvail = (peer.lastAvail - heads.length) & 0xffff;
      heads?.forEach((head, k) => {
        if (counts[k] === 1 || counts[k] > 3) return;
        expect(peer.readDesc(head)).toMatchObject({
          addr: peer.bus(region.ptr + 48 * head),
          len: 16 * counts[k],
          flags: 4,
        });
      });
      const taken = peer.take();
      taken.forEach(({ elements }, k) => {
        expect(elements).toEqual(
          elementsAt(data.ptr, new Array(counts[k]).fill(8)).map(({ ptr }) => ({
            addr: peer.bus(ptr),
            len: 8,
            write: false,
          })),
        );
      });
      for (const buffer of random.shuffle(taken)) peer.use(buffer, 0);
      peer.publish();
      driver.reclaim();
    }
    expect(driver.counters().liveTables).toBe(0);
    expect(engine.heapLiveBlocks()).toBe(0);
    expect(driver.violation).toBeNull();
  });

  it("per-node: a queue takes tables of the node it runs on, and each goes back to the node it came from", async () => {
    const rig = await driverRig(format, {
      size: 8,
      tables: "per-node",
      threshold: 2,
      engine: { nodes: 3, threshold: 2 },
    });
    const { engine, driver, peer } = rig;
    const region = engine.region("queue 0 tables");
    expect(driver.tablesListed()).toBe(24);
    const out: TakenBuffer[] = [];
    for (const node of [0, 1, 2, 1]) {
      driver.moveToNode(node);
      add(rig, 2);
      add(rig, 2);
      for (const place of tablesOf(rig, 2)) {
        expect(Math.floor(((place ?? 0) - region.ptr) / (8 * 32))).toBe(node);
      }
      out.push(...peer.take());
    }
    expect(driver.counters()).toMatchObject({ tableTakes: 8, tableHits: 8, localTakes: 8, remoteTakes: 0 });
    driver.moveToNode(0);
    for (const buffer of out) peer.use(buffer, 0);
    peer.publish();
    driver.reclaim();
    expect(driver.tablesListed()).toBe(24);
  });

  it("freelist: a queue that moved to another node takes remote tables, and the counters say so", async () => {
    for (const tables of ["freelist", "slot", "heap", "grow"] as const) {
      const rig = await driverRig(format, { size: 8, tables, engine: { nodes: 2 } });
      const { driver } = rig;
      add(rig, 2);
      driver.moveToNode(1);
      add(rig, 2);
      add(rig, 2);
      expect(driver.counters()).toMatchObject({ tableTakes: 3, localTakes: 1, remoteTakes: 2 });
      settle(rig);
    }
  });

  it("per-node: what falls to the heap is on node 0", async () => {
    const rig = await driverRig(format, { size: 16, tables: "per-node", engine: { nodes: 2 } });
    add(rig, 9);
    rig.driver.moveToNode(1);
    add(rig, 9);
    expect(rig.driver.counters()).toMatchObject({
      tableTakes: 2,
      heapFalls: 2,
      localTakes: 1,
      remoteTakes: 1,
    });
  });

  it.each(["heap", "freelist", "grow", "slot", "per-node"] as const)(
    "when the heap has nothing left a buffer goes direct, and when the ring has no room either it waits: %s",
    async (tables) => {
      const rig = await driverRig(format, { size: 16, tables, threshold: 2, engine: { heapBytes: 256 } });
      const { engine, driver, peer } = rig;
      let inHeap = 0;
      while (driver.counters().directFalls === 0) {
        expect(add(rig, 5)).toBe(true);
        inHeap++;
      }
      expect(inHeap).toBeLessThan(6);
      expect(driver.counters()).toMatchObject({
        directFalls: 1,
        liveTables: inHeap - 1,
        heapFalls: tables === "heap" ? 0 : inHeap - 1,
      });
      const free = driver.numFree;
      expect(free).toBe(16 - (inHeap - 1) - 5);
      while (driver.numFree >= 5) expect(add(rig, 5)).toBe(true);
      expect(add(rig, 5)).toBe(false);
      driver.publish();
      const taken = peer.take();
      expect(taken.every(({ elements }) => elements.length === 5)).toBe(true);
      for (const buffer of taken) peer.use(buffer, 0);
      peer.publish();
      driver.reclaim();
      expect(driver.numFree).toBe(16);
      expect(engine.heapLiveBlocks()).toBe(0);
      add(rig, 5);
      expect(driver.counters().liveTables).toBe(1);
    },
  );

  it("a table is taken as long as one entry is free, however many elements", async () => {
    const rig = await driverRig(format, { size: 4, tables: "freelist" });
    for (let k = 0; k < 4; k++) expect(add(rig, 4)).toBe(true);
    expect(rig.driver.numFree).toBe(0);
    for (const count of [1, 2, 4]) expect(add(rig, count)).toBe(false);
    expect(rig.driver.counters().tableTakes).toBe(4);
  });

  it("a cache that does not fit its reserve warns, and runs with the heap", async () => {
    for (const tables of ["freelist", "slot", "per-node"] as const) {
      const rig = await driverRig(format, { size: 8, tables, threshold: 5, engine: { threshold: 4 } });
      expect(rig.driver.warnings).toEqual([
        `queue 0: 512 bytes are reserved for tables, too few for a ${tables} of 8 x 5 entries; it runs with the cache off`,
      ]);
      add(rig, 2);
      expect(rig.driver.counters()).toMatchObject({ tableTakes: 1, tableHits: 0, heapFalls: 1 });
      settle(rig);
      expect(rig.engine.heapLiveBlocks()).toBe(0);
      expect(rig.driver.tablesListed()).toBe(0);
    }
  });

  it.each(CACHED)("threshold 0 switches the cache off: %s", async (tables) => {
    const rig = await driverRig(format, { size: 8, tables, threshold: 0 });
    expect(rig.driver.warnings).toEqual([]);
    add(rig, 2);
    expect(rig.driver.counters()).toMatchObject({ tableTakes: 1, tableHits: 0, heapFalls: 1 });
    settle(rig);
    expect(rig.engine.heapLiveBlocks()).toBe(0);
  });

  it.each(SOURCES)(
    "live tables are the outstanding buffers with a table, after every step of a random run: %s",
    async (tables) => {
      const random = new Random(41);
      const rig = await driverRig(format, {
        size: 32,
        tables,
        threshold: 3,
        engine: { nodes: 2, heapBytes: 1024 },
      });
      const { engine, driver, peer } = rig;
      const out: TakenBuffer[] = [];
      const total = driver.tablesListed();
      for (let round = 0; round < 1000; round++) {
        for (let k = random.int(0, 4); k > 0; k--) add(rig, random.int(1, 6));
        if (tables === "per-node") driver.moveToNode(random.int(0, 1));
        driver.publish();
        out.push(...peer.take());
        const done = random.shuffle(out).slice(0, random.int(0, out.length));
        for (const buffer of done) {
          peer.use(buffer, 0);
          out.splice(out.indexOf(buffer), 1);
        }
        peer.publish();
        driver.reclaim();
        const { liveTables } = driver.counters();
        const heap = engine.heapLiveBlocks();
        const listed = driver.tablesListed();
        if (tables === "heap") expect(heap).toBe(liveTables);
        else if (tables === "grow") expect(heap).toBe(liveTables + listed);
        else if (tables !== "slot") expect(heap + total - listed).toBe(liveTables);
        expect(liveTables).toBeLessThanOrEqual(driver.outstanding);
        if (round % 50 === 0) expect(engine.heapIsSound()).toBe(true);
      }
      for (const buffer of out) peer.use(buffer, 0);
      peer.publish();
      driver.reclaim();
      expect(driver.violation).toBeNull();
      expect(driver.counters().liveTables).toBe(0);
      expect(driver.tablesListed()).toBe(tables === "grow" ? engine.heapLiveBlocks() : total);
      if (tables !== "grow") expect(engine.heapLiveBlocks()).toBe(0);
    },
  );
});
