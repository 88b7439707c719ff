/** ACCESS_PLATFORM: the driver half maps what it lends, exactly once, and unmaps it when it comes back. */
import { describe, expect, it } from "vitest";
import type { QueuePairConfig } from "../../src/engine.ts";
import { Features } from "../../src/features.ts";
import {
  DMA_FAILURES,
  type DmaBackend,
  RING_FORMATS,
  type RingFormat,
  TABLE_SOURCES,
  type TableSource,
} from "../../src/names.ts";
import type { Segment } from "../../src/queue.ts";
import { Canaries } from "../support/canaries.ts";
import { BACKENDS, type DmaPair, pairBehind } from "../support/dma.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";
import { RawPackedDevice } from "../support/raw-packed.ts";
import { RawSplitDevice } from "../support/raw-split.ts";
import { defaultFeatures, enginePackedPlaces, engineSplitPlaces, features } from "../support/rig.ts";

const SOURCES = Object.keys(TABLE_SOURCES) as TableSource[];
const CASES = RING_FORMATS.flatMap((format) => BACKENDS.map((backend) => [format, backend] as const));

/** Elements at odd places, far enough from each other that no two of them share a page. */
function elements(
  pair: DmaPair,
  readable: number,
  writable: number,
): { readable: Segment[]; writable: Segment[] } {
  const at = (k: number): Segment => ({ ptr: pair.engine.buffers.ptr + 4096 * k + 5 + k, bytes: 70 + 3 * k });
  return {
    readable: Array.from({ length: readable }, (_, k) => at(k)),
    writable: Array.from({ length: writable }, (_, k) => at(readable + k)),
  };
}

/** The device answers every byte that it reads, in order, and 0 beyond those; how many bytes it wrote. */
function answer({ device }: DmaPair): number[] {
  return device.pop().map(({ handle, readable, writable, writableBytes }) => {
    const question = readable.flatMap((segment) => [...device.read(segment)]);
    let from = 0;
    for (const segment of writable) {
      const bytes = new Uint8Array(segment.bytes);
      bytes.set(question.slice(from, from + segment.bytes).map((byte) => byte ^ 0xff));
      device.write(segment, bytes);
      from += segment.bytes;
    }
    device.markUsed(handle, writableBytes);
    return writableBytes;
  });
}

describe.each(CASES)("a %s queue behind %s", (format, backend) => {
  it.each(SOURCES)(
    "F-D-01: n elements cost n maps, one more with a table, and as many unmaps when they come back: tables %s",
    async (tables) => {
      const pair = await pairBehind(format, backend, { tables, threshold: 4 });
      const { engine, owner, driver, device } = pair;
      const start = owner.dma.domainUse();
      for (const [readable, writable] of [
        [1, 0],
        [0, 1],
        [2, 1],
        [1, 3],
        [4, 3],
      ]) {
        const n = readable + writable;
        const buffer = elements(pair, readable, writable);
        for (const { ptr, bytes } of buffer.readable) new Random(ptr).fill(engine.bytes(ptr, bytes));
        const before = owner.dma.counters();
        const takes = driver.counters().tableTakes;
        driver.add({ ...buffer, token: n });
        const table = driver.counters().tableTakes - takes;
        expect(table).toBe(tables === "direct" || n === 1 ? 0 : 1);
        expect(owner.dma.counters().maps - before.maps).toBe(n + table);
        expect(owner.dma.counters().unmaps).toBe(before.unmaps);
        driver.publish();
        const [len] = answer(pair);
        device.publishUsed();
        expect(owner.dma.counters().unmaps).toBe(before.unmaps);
        expect(driver.reclaim()).toEqual([{ token: n, len }]);
        expect(owner.dma.counters().unmaps - before.unmaps).toBe(n + table);
        const question = buffer.readable.flatMap(({ ptr, bytes }) => [...engine.bytes(ptr, bytes)]);
        const said = buffer.writable.flatMap(({ ptr, bytes }) => [...engine.bytes(ptr, bytes)]);
        expect(said).toEqual(said.map((_, k) => (k < question.length ? question[k] ^ 0xff : 0)));
      }
      expect(owner.dma.counters()).toMatchObject({ mapFailures: 0, syncsCpu: 0, syncsDevice: 0, faults: 0 });
      expect(owner.dma.domainUse()).toEqual(start);
      expect(driver.violation ?? device.violation).toBeNull();
    },
  );

  it("F-D-01: without ACCESS_PLATFORM addresses are places in the window, and every count is 0", async () => {
    const pair = await pairBehind(format, backend);
    pair.driver.stop();
    pair.device.stop();
    const { driver, device } = pair.engine.connect(0, { format, features: defaultFeatures(format) });
    const bus = pair.owner.busAddress(pair.engine.region("queue 0 descriptor area").ptr);
    expect(driver.addresses.desc).toBe(bus);
    const buffer = elements(pair, 2, 2);
    driver.add({ ...buffer, token: 1 });
    driver.publish();
    const [chain] = device.pop();
    expect(chain).toMatchObject(buffer);
    device.markUsed(chain.handle, 0);
    device.publishUsed();
    driver.reclaim();
    expect(pair.owner.dma.counters()).toMatchObject({
      maps: 0,
      unmaps: 0,
      bounceBytes: 0,
      iotlbMisses: 0,
      faults: 0,
    });
  });

  it("F-D-01, F-V-01: the window's base is added to places, and not to an IOMMU's addresses", async () => {
    const pair = await pairBehind(format, backend, { tables: "freelist" });
    const { engine, owner } = pair;
    pair.driver.stop();
    pair.device.stop();
    owner.setDma("direct");
    owner.setWindow({ ...owner.window, base: 1n << 40n });
    owner.setDma(backend);
    const moved: DmaPair = { ...pair, ...engine.connect(0, { format, features: pair.driver.features }) };
    const iommu = backend.startsWith("iommu");
    expect(moved.driver.addresses.desc >= 1n << 40n).toBe(!iommu);
    for (const [readable, writable] of [
      [1, 1],
      [1, 0],
    ]) {
      const buffer = elements(moved, readable, writable);
      engine.bytes(buffer.readable[0].ptr, 70).fill(3);
      moved.driver.add({ ...buffer, token: 1 });
      moved.driver.publish();
      const desc = new DataView(engine.memory.buffer).getBigUint64(
        engine.region("queue 0 descriptor area").ptr,
        true,
      );
      expect(desc >= 1n << 40n).toBe(!iommu);
      const [len] = answer(moved);
      moved.device.publishUsed();
      expect(moved.driver.reclaim()).toEqual([{ token: 1, len }]);
      for (const { ptr } of buffer.writable)
        expect(engine.bytes(ptr, 70)).toEqual(new Uint8Array(70).fill(3 ^ 0xff));
    }
    expect(moved.driver.violation ?? moved.device.violation).toBeNull();
  });

  it.each(["used in order", "used out of order", "IN_ORDER, in batches"])(
    "random buffers keep their bytes and leave nothing mapped behind: %s",
    async (order) => {
      const inOrder = order.startsWith("IN_ORDER");
      const more = inOrder ? Features.IN_ORDER : 0n;
      const pair = await pairBehind(
        format,
        backend,
        { features: defaultFeatures(format) | more, tables: "freelist", threshold: 3 },
        { queueSize: 16, bufferBytes: 1 << 20 },
      );
      const { engine, owner, driver, device } = pair;
      const random = new Random(order.length);
      const start = owner.dma.domainUse();
      const out = new Map<number, { readable: Segment[]; writable: Segment[]; sent: Uint8Array[] }>();
      const popped: { handle: number; token: number; written: number }[] = [];
      const answers = new Map<number, Uint8Array[]>();
      let next = 0;
      let done = 0;
      let expected = 0;
      for (let step = 0; step < 500; step++) {
        const what = random.int(0, 3);
        if (what === 0) {
          const list = Array.from({ length: random.int(1, 5) }, (_, k) => ({
            ptr: engine.buffers.ptr + ((next * 5 + k) % 200) * 5000 + random.int(0, 63),
            bytes: random.chance(20) ? random.int(3000, 4900) : random.int(1, 300),
          }));
          const cut = random.int(0, list.length);
          const buffer = { readable: list.slice(0, cut), writable: list.slice(cut) };
          for (const { ptr, bytes } of list) engine.bytes(ptr, bytes).fill(random.int(0, 255))[0] = next;
          const takes = driver.counters().tableTakes;
          if (out.size === 16 || !driver.add({ ...buffer, token: next })) continue;
          expected += list.length + driver.counters().tableTakes - takes;
          const sent = buffer.readable.map(({ ptr, bytes }) => engine.bytes(ptr, bytes).slice());
          out.set(next++, { ...buffer, sent });
        } else if (what === 1) {
          driver.publish();
          for (const chain of device.pop()) {
            const token = popped.length + done;
            const { sent } = out.get(token) as { sent: Uint8Array[] };
            expect(chain.readable.map((segment) => device.read(segment))).toEqual(sent);
            const written = chain.writable.map(({ bytes }) => new Uint8Array(bytes).fill(token * 7 + 1));
            for (const [k, data] of written.entries()) device.write(chain.writable[k], data);
            answers.set(token, written);
            popped.push({ handle: chain.handle, token, written: chain.writableBytes });
          }
        } else if (what === 2 && popped.length > 0) {
          // All that are popped, so that tokens can be told by their order.
          const used = order === "used out of order" ? random.shuffle(popped) : [...popped];
          for (const { handle, written } of used) device.markUsed(handle, written);
          done += popped.length;
          popped.length = 0;
          device.publishUsed();
        } else {
          for (const { token } of driver.reclaim()) {
            const buffer = out.get(token) as { writable: Segment[] };
            const now = buffer.writable.map(({ ptr, bytes }) => engine.bytes(ptr, bytes));
            expect(now).toEqual(answers.get(token));
            out.delete(token);
          }
        }
        expect(owner.dma.counters().maps).toBe(expected);
        const { liveTables } = driver.counters();
        const lent = [...out.values()].reduce(
          (sum, { readable, writable }) => sum + readable.length + writable.length,
          0,
        );
        expect(owner.dma.liveMappings).toBe(lent + liveTables);
      }
      expect(driver.violation ?? device.violation).toBeNull();
      expect(done).toBeGreaterThan(60);
      driver.stop();
      device.stop();
      expect(driver.detach().length).toBe(out.size);
      expect(owner.dma.liveMappings).toBe(0);
      expect(owner.dma.domainUse()).toEqual(start);
    },
  );

  it.each(SOURCES)(
    "detach unmaps everything that is out, published or not, used or not: tables %s",
    async (tables) => {
      const pair = await pairBehind(format, backend, { tables });
      const { owner, driver, device } = pair;
      const start = owner.dma.domainUse();
      for (let token = 0; token < 2; token++) driver.add({ ...elements(pair, 1, 1), token });
      driver.publish();
      const [chain] = device.pop();
      device.markUsed(chain.handle, 1);
      device.publishUsed();
      driver.add({ ...elements(pair, 2, 1), token: 2 });
      expect(owner.dma.liveMappings).toBe(7 + driver.counters().liveTables);
      driver.stop();
      device.stop();
      expect(driver.detach().sort()).toEqual([0, 1, 2]);
      expect(owner.dma.liveMappings).toBe(0);
      expect(owner.dma.domainUse()).toEqual(start);
      expect(driver.counters().liveTables).toBe(0);
      owner.setDma(backend);
      expect(owner.dma.domainUse()?.mappings ?? 0).toBe(0);
    },
  );

  it("with premapped elements only tables are mapped, and handles reach the device as they are", async () => {
    const pair = await pairBehind(format, backend, { premapped: true, tables: "freelist" });
    const { engine, owner, driver, device } = pair;
    const { dma } = owner;
    const page = engine.buffers.ptr;
    const handle = dma.map(page, 4096, "bidirectional");
    for (let round = 0; round < 20; round++) {
      engine.bytes(page, 100).fill(round + 1);
      dma.syncForDevice(handle, 100, "bidirectional");
      driver.add({
        readable: [{ ptr: handle, bytes: 100 }],
        writable: round % 2 ? [{ ptr: handle + 2048, bytes: 200 }] : [],
        token: round,
      });
      expect(dma.counters().maps).toBe(1 + Math.ceil(round / 2));
      driver.publish();
      const [chain] = device.pop();
      expect(device.read(chain.readable[0])).toEqual(new Uint8Array(100).fill(round + 1));
      if (round % 2) device.write(chain.writable[0], new Uint8Array(200).fill(round));
      device.markUsed(chain.handle, chain.writableBytes);
      device.publishUsed();
      driver.reclaim();
      if (round % 2) {
        dma.syncForCpu(handle + 2048, 200, "bidirectional");
        expect(engine.bytes(page + 2048, 200)).toEqual(new Uint8Array(200).fill(round));
      }
      expect(dma.liveMappings).toBe(1);
    }
    expect(dma.counters()).toMatchObject({ maps: 11, unmaps: 10, syncsCpu: 10, syncsDevice: 20 });
  });

  it.each(["freelist", "slot", "per-node"] as const)(
    "with mapped tables a cached one costs a sync, and they are unmapped as a whole at the end: %s",
    async (tables) => {
      const pair = await pairBehind(
        format,
        backend,
        { tables, threshold: 3, tablesMapped: true },
        { nodes: 2 },
      );
      const { owner, driver, device } = pair;
      expect(driver.warnings).toEqual([]);
      expect(owner.dma.counters().maps).toBe(1);
      for (let round = 0; round < 30; round++) {
        driver.moveToNode(round % 2);
        const before = owner.dma.counters();
        const n = round % 5 === 4 ? 4 : 3;
        driver.add({ ...elements(pair, 2, n - 2), token: round });
        const { maps, syncsDevice, syncBytesAsked } = owner.dma.counters();
        // A table above the threshold is the heap's, and mapped with its buffer.
        expect(maps - before.maps).toBe(n === 4 ? 5 : 3);
        expect(syncsDevice - before.syncsDevice).toBe(n === 4 ? 0 : 1);
        expect(syncBytesAsked - before.syncBytesAsked).toBe(n === 4 ? 0 : 48);
        driver.publish();
        expect(answer(pair).length).toBe(1);
        device.publishUsed();
        expect(driver.reclaim().length).toBe(1);
        expect(owner.dma.liveMappings).toBe(1);
      }
      driver.stop();
      device.stop();
      driver.detach();
      expect(owner.dma.liveMappings).toBe(0);
    },
  );
});

describe.each(CASES)("a device that lies to a %s queue behind %s", (format, backend) => {
  it("H-D-01: a buffer that it completes twice is unmapped once, and the rest at detach", async () => {
    const pair = await pairBehind(format, backend, { tables: "freelist" });
    const { engine, owner, driver, device } = pair;
    device.stop();
    const start = owner.dma.domainUse();
    for (let token = 0; token < 3; token++) driver.add({ ...elements(pair, 2, 1), token });
    driver.publish();
    const places = engineSplitPlaces(engine, 8);
    if (format === "split") {
      const peer = new RawSplitDevice(engine.memory, places);
      const [head] = peer.heads();
      for (let k = 0; k < 2; k++) peer.use({ id: head }, 5);
      peer.publish();
    } else {
      const peer = new RawPackedDevice(engine.memory, enginePackedPlaces(engine, 8));
      for (let k = 0; k < 2; k++) peer.use({ id: 0, slots: 1 }, 5);
      peer.publish();
    }
    expect(driver.reclaim()).toEqual([{ token: 0, len: 5 }]);
    expect(driver.reclaimBurst(4)).toBe(0);
    expect(driver.violation).toMatchObject({ code: "used-id-not-outstanding" });
    expect(owner.dma.counters()).toMatchObject({ maps: 12, unmaps: 4 });
    driver.stop();
    expect(driver.detach().sort()).toEqual([1, 2]);
    expect(owner.dma.counters()).toMatchObject({ maps: 12, unmaps: 12 });
    expect(owner.dma.domainUse()).toEqual(start);
  });

  it("H-D-04: junk in tables and descriptors changes nothing of what is unmapped", async () => {
    const pair = await pairBehind(format, backend, { tables: "freelist" });
    const { engine, owner, driver, device } = pair;
    const start = owner.dma.domainUse();
    const guarded = { ptr: engine.buffers.ptr + 9 * 4096, bytes: 4096 };
    const canaries = new Canaries(engine.memory, guarded, []);
    for (const [readable, writable] of [
      [2, 1],
      [1, 0],
    ])
      driver.add({ ...elements(pair, readable, writable), token: readable });
    driver.publish();
    device.pop();
    for (const name of ["tables", "descriptor area"]) {
      const { ptr, bytes } = engine.region(`queue 0 ${name}`);
      engine.bytes(ptr, bytes).fill(0xa7);
    }
    driver.stop();
    device.stop();
    expect(driver.detach().length).toBe(2);
    expect(owner.dma.counters()).toMatchObject({ maps: 5, unmaps: 5 });
    expect(owner.dma.domainUse()).toEqual(start);
    expect(canaries.dead()).toEqual([]);
  });
});

/** What stands at its start again once a refused buffer is forgotten. */
function inventory({ engine, owner, driver }: DmaPair): unknown {
  const { liveTables } = driver.counters();
  return [
    owner.dma.liveMappings,
    owner.dma.domainUse()?.mappings,
    owner.dma.domainUse()?.pages,
    liveTables,
    driver.tablesListed(),
    engine.heapLiveBlocks(),
    driver.numFree,
    driver.outstanding,
  ];
}

describe.each(CASES)("a buffer that can't be mapped, in a %s queue behind %s", (format, backend) => {
  it.each(SOURCES)(
    "is refused by name at whichever map fails, with all before it unmapped and its table back: tables %s",
    async (tables) => {
      const pair = await pairBehind(format, backend, { tables, threshold: 5 });
      const { owner, driver, device } = pair;
      // Something is out already, and a grow list is not empty.
      for (const token of [0, 1]) driver.add({ ...elements(pair, 2, 1), token });
      driver.publish();
      answer(pair);
      device.publishUsed();
      driver.reclaim();
      driver.add({ ...elements(pair, 1, 1), token: 2 });
      const start = inventory(pair);
      const maps = tables === "direct" ? 5 : 6;
      for (let failing = 1; failing <= maps; failing++) {
        const before = owner.dma.counters();
        const hits = driver.counters().tableHits;
        owner.dma.failIn(failing);
        expect(() => driver.add({ ...elements(pair, 3, 2), token: 3 })).toThrow(
          expect.objectContaining({ code: "dma-map-failed", requirement: "F-D-01" }),
        );
        const now = owner.dma.counters();
        expect([now.maps - before.maps, now.unmaps - before.unmaps]).toEqual([failing - 1, failing - 1]);
        expect(now.mapFailures - before.mapFailures).toBe(1);
        expect(inventory(pair)).toEqual(start);
        expect(driver.counters().tableHits).toBeGreaterThanOrEqual(hits);
      }
      // The queue goes on, and the device never saw any of them.
      driver.add({ ...elements(pair, 3, 2), token: 4 });
      driver.publish();
      expect(answer(pair).length).toBe(2);
      device.publishUsed();
      expect(driver.reclaim().map(({ token }) => token)).toEqual([2, 4]);
      expect(driver.violation ?? device.violation).toBeNull();
      expect(owner.dma.liveMappings).toBe(0);
    },
  );

  it("ends a burst there: what came before is added, what comes after can be tried again", async () => {
    const { engine, owner, driver } = await pairBehind(format, backend);
    const { staged } = driver;
    for (let k = 0, at = 0; k < 4; k++) {
      staged[at++] = k;
      staged[at++] = 1;
      staged[at++] = engine.buffers.ptr + 4096 * k;
      staged[at++] = 100;
    }
    owner.dma.failIn(3);
    expect(driver.addBurst(4)).toBe(2);
    expect(driver.refusal).toMatchObject({ code: "dma-map-failed", index: 2 });
    expect(driver.outstanding).toBe(2);
    expect(driver.addBurst(4)).toBe(4);
    expect(driver.refusal).toBeNull();
    expect(owner.dma.liveMappings).toBe(6);
  });

  it("is not even mapped when it breaks another rule, or when the ring is full", async () => {
    const pair = await pairBehind(format, backend, { tables: "direct" }, { maxSgs: 3 });
    const { engine, owner, driver } = pair;
    const at = (k: number, bytes: number): Segment => ({ ptr: engine.buffers.ptr + 4096 * k, bytes });
    const huge = [at(0, 2 ** 31), at(1, 2 ** 31), at(2, 1)];
    for (const [readable, code] of [
      [[], "empty-buffer"],
      [huge, "buffer-bytes"],
      [[0, 1, 2, 3].map((k) => at(k, 1)), "too-many-mappings"],
      [Array.from({ length: 9 }, (_, k) => at(k, 1)), "too-many-elements"],
    ] as const) {
      expect(() => driver.add({ readable, token: 0 })).toThrow(expect.objectContaining({ code }));
    }
    expect(owner.dma.counters()).toMatchObject({ maps: 0, mapFailures: 0 });
    for (let k = 0; k < 3; k++) expect(driver.add({ readable: [at(0, 1), at(1, 1)], token: k })).toBe(true);
    expect(driver.add({ readable: [at(0, 1), at(1, 1), at(2, 1)], token: 3 })).toBe(false);
    expect(owner.dma.counters()).toMatchObject({ maps: 6, mapFailures: 0 });
  });

  it("may have an element without bytes, or one outside of the memory", async () => {
    const pair = await pairBehind(format, backend);
    const { engine, owner, driver } = pair;
    for (const [bad, failure] of [
      [{ ptr: engine.buffers.ptr, bytes: 0 }, 1],
      [{ ptr: engine.memory.buffer.byteLength, bytes: 1 }, 2],
      [{ ptr: engine.sharedBase - 1, bytes: 1 }, 2],
    ] as const) {
      expect(() => driver.add({ readable: [{ ptr: engine.buffers.ptr, bytes: 9 }, bad], token: 0 })).toThrow(
        expect.objectContaining({ code: "dma-map-failed" }),
      );
      expect(owner.dma.failure).toBe(failure);
      expect(owner.dma.liveMappings).toBe(0);
    }
  });
});

describe.each(RING_FORMATS)("what a backend lacks shows as such in a %s queue", (format) => {
  /** Adds buffers of 5 elements until one is refused; the failure's name. */
  function addUntilRefused(pair: DmaPair, bytes: number): string {
    for (let token = 0; token < 8; token++) {
      const readable = Array.from({ length: 5 }, (_, k) => ({
        ptr: pair.engine.buffers.ptr + 8192 * k,
        bytes,
      }));
      const start = inventory(pair);
      try {
        if (!pair.driver.add({ readable, token })) return "ring full";
      } catch (error) {
        expect(error).toMatchObject({ code: "dma-map-failed" });
        expect(inventory(pair)).toEqual(start);
        return DMA_FAILURES[pair.owner.dma.failure].code;
      }
    }
    return "none";
  }

  it.each<[DmaBackend, string, QueuePairConfig, object]>([
    ["swiotlb", "dma-pool-full", { tables: "freelist", threshold: 5 }, { poolBytes: 21 * 2048 }],
    ["iommu-strict", "dma-no-iova", { tables: "heap" }, { apertureBytes: 32 * 4096 }],
    ["iommu-lazy", "dma-no-iova", { tables: "slot", threshold: 5 }, { apertureBytes: 32 * 4096 }],
  ])("%s: %s", async (backend, failure, config, dma) => {
    const pair = await pairBehind(format, backend, config, {
      threshold: 5,
      dma: { backends: [backend], ...dma },
    });
    expect(addUntilRefused(pair, 5000)).toBe(failure);
    expect(pair.owner.dma.counters().mapFailures).toBe(1);
    const { outstanding } = pair.driver;
    expect(outstanding).toBeGreaterThan(0);
    pair.driver.publish();
    expect(pair.device.pop().length).toBe(outstanding);
    pair.driver.stop();
    pair.device.stop();
    expect(pair.driver.detach().length).toBe(outstanding);
    expect(pair.owner.dma.liveMappings).toBe(0);
  });

  it.each(["iommu-strict", "iommu-lazy"] as const)("%s: dma-no-table", async (backend) => {
    // Three levels below the root, of which the rings have taken theirs: one more leaf is not to be had.
    const pair = await pairBehind(
      format,
      backend,
      { tables: "freelist", threshold: 5 },
      { bufferBytes: 8 << 20, threshold: 5, dma: { backends: [backend], pageTables: 3 } },
    );
    const { engine, owner, driver } = pair;
    const start = inventory(pair);
    const large = { ptr: engine.buffers.ptr, bytes: 4 << 20 };
    const small = { ptr: engine.buffers.ptr, bytes: 100 };
    expect(() => driver.add({ readable: [small, small, large], token: 0 })).toThrow(
      expect.objectContaining({ code: "dma-map-failed" }),
    );
    expect(owner.dma.failure).toBe(6);
    expect(inventory(pair)).toEqual(start);
    expect(driver.add({ readable: [small, small], token: 1 })).toBe(true);
  });

  it("no memory for a table: the buffer goes direct, and has no table to map", async () => {
    const pair = await pairBehind(format, "iommu-strict", { tables: "heap" }, { heapBytes: 64 });
    const { owner, driver } = pair;
    driver.add({ ...elements(pair, 2, 1), token: 0 });
    expect(driver.counters()).toMatchObject({ tableTakes: 0, directFalls: 1 });
    expect(owner.dma.counters().maps).toBe(3);
    driver.publish();
    answer(pair);
    pair.device.publishUsed();
    expect(driver.reclaim().length).toBe(1);
    expect(owner.dma.counters().unmaps).toBe(3);
  });

  it("tables that can't be mapped in one piece are mapped with their buffers, and a warning says so", async () => {
    const pair = await pairBehind(
      format,
      "swiotlb",
      { tables: "freelist", threshold: 19, tablesMapped: true },
      { queueSize: 1024, threshold: 19, bufferBytes: 65536 },
    );
    const { owner, driver } = pair;
    expect(driver.warnings).toEqual([expect.stringMatching(/its tables can't be mapped in one piece/)]);
    expect(owner.dma.counters()).toMatchObject({ maps: 0, mapFailures: 1 });
    driver.add({ ...elements(pair, 2, 1), token: 0 });
    expect(owner.dma.counters()).toMatchObject({ maps: 4, syncsDevice: 0 });
  });
});

describe.each(RING_FORMATS)(
  "ACCESS_PLATFORM on a %s queue of an engine without dma",
  (format: RingFormat) => {
    it("F-D-01: hands over the places in the window, as nothing stands in between", async () => {
      const engine = await createEngine({ queueSize: 8 });
      const { driver, device } = engine.connect(0, { format, features: features(format, "ACCESS_PLATFORM") });
      const readable = [{ ptr: engine.buffers.ptr + 3, bytes: 10 }];
      driver.add({ readable, token: 1 });
      driver.publish();
      expect(device.pop()).toMatchObject([{ readable }]);
      expect(engine.devices[0].dma.counters().maps).toBe(0);
    });

    it("has no premapped buffers and no mapped tables", async () => {
      const engine = await createEngine({ queueSize: 8 });
      const [platform, none] = [features(format, "ACCESS_PLATFORM"), features(format)];
      for (const config of [{ premapped: true }, { tablesMapped: true }]) {
        expect(() => engine.driverQueue(0, { format, features: platform, ...config })).toThrow(
          /an engine with dma/,
        );
        expect(() => engine.driverQueue(0, { format, features: none, ...config })).toThrow(
          /needs ACCESS_PLATFORM/,
        );
      }
    });
  },
);
