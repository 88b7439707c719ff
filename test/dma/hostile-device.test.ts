/**
 * A device that touches what it was lent early, late, twice, or with wrong lengths, and addresses that are not its
 * own: what each backend makes of it. Canaries stand in everything that was not lent.
 */
import { describe, expect, it } from "vitest";
import type { DmaFault } from "../../src/dma.ts";
import type { EngineOptions } from "../../src/engine.ts";
import { RING_FORMATS } from "../../src/names.ts";
import { Canaries } from "../support/canaries.ts";
import { BACKENDS, type DmaPair, faultOf, IOMMUS, PAGE, pageAt, pairBehind } from "../support/dma.ts";
import { Snapshot } from "../support/snapshot.ts";

const LENT = 300;

/** Moves bytes as a device model would, by either kind of call. */
const ACCESS = {
  comfortable: {
    read({ device }: DmaPair, dma: number, bytes: number): Uint8Array | null {
      return attempt(() => device.read({ ptr: dma, bytes }));
    },
    write({ device }: DmaPair, dma: number, data: Uint8Array): boolean {
      return attempt(() => device.write({ ptr: dma, bytes: data.length }, data)) !== null;
    },
  },
  raw: {
    read({ engine, device }: DmaPair, dma: number, bytes: number): Uint8Array | null {
      const { ptr } = engine.scratch;
      engine.bytes(ptr, bytes).fill(0xee);
      const canaries = new Canaries(engine.memory, { ptr: ptr + bytes, bytes: 64 }, []);
      const done = device.readTo(dma, ptr, bytes);
      expect(canaries.dead()).toEqual([]);
      const data = engine.bytes(ptr, bytes).slice();
      if (!done) expect(data).toEqual(new Uint8Array(bytes).fill(0xee));
      return done ? data : null;
    },
    write({ engine, device }: DmaPair, dma: number, data: Uint8Array): boolean {
      engine.bytes(engine.scratch.ptr, data.length).set(data);
      return device.writeFrom(dma, engine.scratch.ptr, data.length);
    },
  },
} as const;
type Access = (typeof ACCESS)[keyof typeof ACCESS];

function attempt<T>(call: () => T): T | null {
  try {
    return call();
  } catch (error) {
    expect(error).toMatchObject({ code: "dma-fault", requirement: "H-V-05" });
    return null;
  }
}

const OPTIONS: EngineOptions = { bufferBytes: 17 * PAGE, scratchBytes: 4 * PAGE };

/** Bytes none of which is what stands there now. */
function against({ engine }: DmaPair, ptr: number, bytes: number): Uint8Array {
  return engine.bytes(ptr, bytes).map((byte) => byte ^ 0xff);
}

function span(ptr: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, k) => ptr + k);
}

function expectBroken({ owner, device }: DmaPair, faults: DmaFault[]): void {
  expect(owner.dma.faults()).toEqual(faults);
  expect(owner.dma.counters().faults).toBe(faults.length);
  expect(device.state).toBe("broken");
  expect(device.violation).toMatchObject({
    code: "dma-fault",
    index: Number(BigInt.asUintN(32, faults[0].addr)),
  });
  expect(owner.needsReset).toBe(true);
}

/** Regions in which a fault, and what led to it, may leave something. */
const TOLD = [
  "device 0",
  "device 0 address space",
  "device 0 fault log",
  "device 0 domain",
  "queue 0 device",
  "scratch",
];

function expectUntold({ owner, device }: DmaPair): void {
  expect(owner.dma.faults()).toEqual([]);
  expect(owner.dma.counters().faults).toBe(0);
  expect(device.state).toBe("live");
}

/** Lends the page at `page` of the buffers for reading and the next but one for writing; the handles that the device got. */
function lend(
  pair: DmaPair,
  page = 1,
): { question: number; answer: number; readable: number; writable: number } {
  const { engine, driver, device } = pair;
  const readable = pageAt(engine, page) + 100;
  const writable = readable + 2 * PAGE;
  expect(
    driver.add({
      readable: [{ ptr: readable, bytes: LENT }],
      writable: [{ ptr: writable, bytes: LENT }],
      token: page,
    }),
  ).toBe(true);
  driver.publish();
  const [chain] = device.pop();
  return { question: chain.readable[0].ptr, answer: chain.writable[0].ptr, readable, writable };
}

function takeBack({ driver, device }: DmaPair, written = 0): void {
  device.markUsed(device.popped[0], written);
  device.publishUsed();
  expect(driver.reclaim().length).toBe(1);
}

/** Canaries in all of the packet data. */
function guard({ engine }: DmaPair): Canaries {
  return new Canaries(engine.memory, engine.buffers, []);
}

const DATA = new Uint8Array(LENT).fill(0x5a);

describe.each(Object.keys(ACCESS) as (keyof typeof ACCESS)[])("a hostile device, by %s calls", (kind) => {
  const access: Access = ACCESS[kind];
  describe.each(RING_FORMATS)("on a %s ring", (format) => {
    it("late: a buffer that was unmapped faults at once behind iommu-strict, and no byte moves", async () => {
      for (const direction of ["to-device", "from-device"] as const) {
        const pair = await pairBehind(format, "iommu-strict", {}, OPTIONS);
        const { question, answer } = lend(pair);
        // It knows the place well.
        expect(access.read(pair, question, LENT)?.length).toBe(LENT);
        expect(access.write(pair, answer, DATA)).toBe(true);
        takeBack(pair, LENT);
        const canaries = guard(pair);
        if (direction === "to-device") expect(access.read(pair, question, LENT)).toBeNull();
        else expect(access.write(pair, answer, DATA)).toBe(false);
        expect(canaries.dead()).toEqual([]);
        const addr = direction === "to-device" ? question : answer;
        expectBroken(pair, [faultOf(addr, direction, "unmapped")]);
        expect(pair.owner.dma.counters().staleAccesses).toBe(0);
      }
    });

    it("late behind iommu-lazy: a cached translation reaches the buffer until the flush, which is counted", async () => {
      const pair = await pairBehind(format, "iommu-lazy", {}, OPTIONS);
      const { answer, question, writable } = lend(pair);
      access.write(pair, answer, DATA);
      access.read(pair, question, LENT);
      takeBack(pair, LENT);
      const canaries = guard(pair);
      expect(access.write(pair, answer, against(pair, writable, LENT))).toBe(true);
      expect(canaries.dead(1000)).toEqual(span(writable, LENT));
      expect(pair.owner.dma.counters()).toMatchObject({ staleAccesses: 1, flushes: 0, faults: 0 });
      expect(access.read(pair, question, LENT)?.length).toBe(LENT);
      expect(pair.owner.dma.counters()).toMatchObject({ staleAccesses: 2, faults: 0 });
      expectUntold(pair);
      pair.owner.dma.tick();
      const after = guard(pair);
      expect(access.write(pair, answer, DATA)).toBe(false);
      expect(after.dead()).toEqual([]);
      expectBroken(pair, [faultOf(answer, "from-device", "unmapped")]);
      expect(pair.owner.dma.counters()).toMatchObject({ staleAccesses: 2, flushes: 1 });
    });

    it("late behind iommu-lazy: what was never cached faults at once", async () => {
      const pair = await pairBehind(format, "iommu-lazy", {}, OPTIONS);
      const { answer } = lend(pair);
      takeBack(pair);
      const canaries = guard(pair);
      expect(access.write(pair, answer, DATA)).toBe(false);
      expect(canaries.dead()).toEqual([]);
      expectBroken(pair, [faultOf(answer, "from-device", "unmapped")]);
      expect(pair.owner.dma.counters()).toMatchObject({ staleAccesses: 0, flushes: 0 });
    });

    it("late behind swiotlb: it writes into the pool, harms nobody, and reads nobody's", async () => {
      const pair = await pairBehind(format, "swiotlb", {}, OPTIONS);
      const { question, answer, readable } = lend(pair);
      pair.engine.bytes(readable, LENT).fill(7);
      takeBack(pair);
      const canaries = guard(pair);
      expect(access.write(pair, answer, DATA)).toBe(true);
      expect(canaries.dead()).toEqual([]);
      expect(access.read(pair, question, LENT)?.includes(7)).toBe(false);
      expectUntold(pair);
      // Whoever gets those slots next gets his own bytes.
      pair.engine.bytes(pair.engine.buffers.ptr, 16 * PAGE).fill(9);
      for (let round = 0; round < 150; round++) {
        const again = lend(pair, 5);
        expect(pair.engine.bytes(again.answer, LENT)).toEqual(new Uint8Array(LENT).fill(9));
        takeBack(pair);
      }
      expect(pair.engine.bytes(pair.engine.buffers.ptr, 16 * PAGE).every((byte) => byte === 9)).toBe(true);
    });

    it("late behind direct: nothing catches it", async () => {
      const pair = await pairBehind(format, "direct", {}, OPTIONS);
      const { answer, writable } = lend(pair);
      expect(answer).toBe(writable);
      takeBack(pair);
      const canaries = guard(pair);
      expect(access.write(pair, answer, against(pair, writable, LENT))).toBe(true);
      expect(canaries.dead(1000)).toEqual(span(writable, LENT));
      expectUntold(pair);
    });

    it.each(IOMMUS)(
      "early: the place that it will get next faults until it is mapped: %s",
      async (backend) => {
        const pair = await pairBehind(format, backend, {}, OPTIONS);
        const { answer } = lend(pair);
        takeBack(pair);
        pair.owner.dma.tick();
        const canaries = guard(pair);
        expect(access.write(pair, answer, DATA)).toBe(false);
        expect(canaries.dead()).toEqual([]);
        expectBroken(pair, [faultOf(answer, "from-device", "unmapped")]);
        // The same in time, on a queue that has recovered.
        pair.driver.stop();
        pair.device.stop();
        pair.driver.detach();
        pair.owner.status = 0x0f;
        const features = pair.driver.features;
        const again: DmaPair = { ...pair, ...pair.engine.connect(0, { format, features }) };
        const next = lend(again);
        expect(access.write(again, next.answer, DATA)).toBe(true);
      },
    );

    it.each(IOMMUS)(
      "the wrong way: no write to what it may read, no read of what it may write: %s",
      async (backend) => {
        for (const direction of ["to-device", "from-device"] as const) {
          const pair = await pairBehind(format, backend, {}, OPTIONS);
          const { question, answer } = lend(pair);
          const canaries = guard(pair);
          const writes = direction === "from-device";
          if (writes) expect(access.write(pair, question, DATA)).toBe(false);
          else expect(access.read(pair, answer, LENT)).toBeNull();
          expect(canaries.dead()).toEqual([]);
          expectBroken(pair, [faultOf(writes ? question : answer, direction, "direction")]);
        }
      },
    );

    it("the wrong way behind swiotlb: what it writes over a question never reaches the driver", async () => {
      const pair = await pairBehind(format, "swiotlb", {}, OPTIONS);
      const { question, readable } = lend(pair);
      pair.engine.bytes(readable, LENT).fill(7);
      expect(access.write(pair, question, DATA)).toBe(true);
      takeBack(pair);
      expect(pair.engine.bytes(readable, LENT)).toEqual(new Uint8Array(LENT).fill(7));
      expectUntold(pair);
    });

    it.each(IOMMUS)(
      "too long: an access into the next page faults there, and nothing of it moves: %s",
      async (backend) => {
        const pair = await pairBehind(format, backend, {}, OPTIONS);
        const { answer } = lend(pair);
        const canaries = guard(pair);
        const toPageEnd = PAGE - (answer % PAGE);
        const next = answer + toPageEnd;
        expect(access.write(pair, answer, new Uint8Array(toPageEnd + 1))).toBe(false);
        expect(canaries.dead()).toEqual([]);
        expect(pair.owner.dma.faults()).toHaveLength(1);
        const [{ addr }] = pair.owner.dma.faults();
        expect(addr).toBe(BigInt(next));
      },
    );

    it.each(IOMMUS)("too long, within a page: that is as fine as an IOMMU looks: %s", async (backend) => {
      const pair = await pairBehind(format, backend, {}, OPTIONS);
      const { answer, writable } = lend(pair);
      const canaries = guard(pair);
      expect(access.write(pair, answer + LENT, against(pair, writable + LENT, 1))).toBe(true);
      expect(canaries.dead()).toEqual([writable + LENT]);
      expectUntold(pair);
    });

    it("too long behind swiotlb: bytes behind the mapping's end stay in the pool", async () => {
      const pair = await pairBehind(format, "swiotlb", {}, OPTIONS);
      const canaries = guard(pair);
      const { answer, writable } = lend(pair);
      expect(access.write(pair, answer, against(pair, writable, 2 * PAGE))).toBe(true);
      takeBack(pair, LENT);
      expect(canaries.dead(1000)).toEqual(span(writable, LENT));
    });

    it.each(BACKENDS)("beyond everything that it has: %s", async (backend) => {
      const { sharedBase, end } = (await pairBehind(format, backend, {}, OPTIONS)).engine;
      for (const [dma, bytes] of [
        [sharedBase - 1, 1],
        [end - 10, 11],
        [0xffff_ffff, 1],
        [0xffff_fff0, 0x20],
        [64, 8],
      ]) {
        const pair = await pairBehind(format, backend, {}, OPTIONS);
        const canaries = guard(pair);
        const before = new Snapshot(pair.engine);
        expect(access.write(pair, dma, DATA.subarray(0, bytes))).toBe(false);
        expect(canaries.dead()).toEqual([]);
        expect(pair.owner.dma.counters().faults).toBe(1);
        const inAperture = backend.startsWith("iommu") && dma + bytes <= 2 ** 32;
        expect(pair.owner.dma.faults()[0].reason).toBe(inAperture ? "unmapped" : "range");
        expect(pair.device.violation?.code).toBe("dma-fault");
        // The engine's own memory knows of the fault, and of nothing else.
        expect(TOLD).toEqual(expect.arrayContaining(before.regions()));
      }
    });

    it.each(IOMMUS)(
      "foreign: a handle of another device's means nothing in its own domain: %s",
      async (backend) => {
        const pair = await pairBehind(format, backend, { device: 1 }, { ...OPTIONS, devices: 2 });
        const { engine } = pair;
        const [other] = engine.devices;
        // Both domains begin at the same addresses: enough are taken that one of the other's is not there.
        const theirs = Array.from({ length: 20 }, (_, k) =>
          other.dma.map(pageAt(engine, k % 16), PAGE, "bidirectional"),
        );
        const { question, answer } = lend(pair);
        const mine = [question, answer].map((dma) => Math.floor(dma / PAGE));
        const foreign = theirs.filter((dma) => !mine.includes(dma / PAGE)).at(-1) as number;
        const canaries = guard(pair);
        expect(access.write(pair, foreign, DATA)).toBe(false);
        expect(canaries.dead()).toEqual([]);
        expectBroken(pair, [faultOf(foreign, "from-device", "unmapped")]);
        expect(other.dma.counters()).toMatchObject({ faults: 0, iotlbMisses: 0 });
        expect(other.needsReset).toBe(false);
      },
    );

    it("foreign: the same address is another place in each domain", async () => {
      const pair = await pairBehind(format, "iommu-strict", { device: 1 }, { ...OPTIONS, devices: 2 });
      const { engine } = pair;
      const theirs = Array.from({ length: 40 }, (_, k) =>
        engine.devices[0].dma.map(pageAt(engine, 10 + (k % 4)), PAGE, "bidirectional"),
      );
      const { answer, writable } = lend(pair);
      expect(theirs).toContain(answer - (answer % PAGE));
      const canaries = guard(pair);
      expect(access.write(pair, answer, against(pair, writable, LENT))).toBe(true);
      expect(canaries.dead(1000)).toEqual(span(writable, LENT));
    });

    it.each(IOMMUS)(
      "in pieces: two mappings side by side are one element to a device that may have both: %s",
      async (backend) => {
        const pair = await pairBehind(format, backend, {}, OPTIONS);
        const { engine, owner } = pair;
        const handles = Array.from({ length: 8 }, (_, k) =>
          owner.dma.map(pageAt(engine, 14 - 2 * k), PAGE, k === 5 ? "to-device" : "bidirectional"),
        );
        const at = (dma: number): number => owner.dma.place(dma);
        const pairs = handles.filter(
          (dma) => handles.includes(dma + PAGE) && at(dma + PAGE) !== at(dma) + PAGE,
        );
        const both = pairs.find((dma) => dma !== handles[5] && dma + PAGE !== handles[5]) as number;
        const canaries = guard(pair);
        const crossing = both + PAGE - 250;
        const data = Uint8Array.from({ length: 600 }, (_, k) => engine.bytes(at(crossing + k), 1)[0] ^ 0xff);
        expect(access.write(pair, crossing, data)).toBe(true);
        const places = Array.from(data, (_, k) => at(crossing + k));
        expect(canaries.dead(1000)).toEqual([...places].sort((a, b) => a - b));
        expect(access.read(pair, crossing, 600)).toEqual(data);
        // Where one of them is for reading only, neither is written.
        const half = pairs.find((dma) => dma === handles[5] || dma + PAGE === handles[5]) as number;
        const before = guard(pair);
        expect(access.write(pair, half + PAGE - 250, data)).toBe(false);
        expect(before.dead()).toEqual([]);
        const refused = half === handles[5] ? half + PAGE - 250 : half + PAGE;
        expectBroken(pair, [faultOf(refused, "from-device", "direction")]);
      },
    );
  });
});

describe.each(RING_FORMATS)("what is told of faults, on a %s ring", (format) => {
  it("is bounded in the log, and counted beyond", async () => {
    const pair = await pairBehind(
      format,
      "iommu-strict",
      {},
      { ...OPTIONS, dma: { backends: ["iommu-strict"], faultLog: 3 } },
    );
    for (let k = 0; k < 10; k++) pair.device.writeFrom(0x10000 + 16 * k, pair.engine.scratch.ptr, 4);
    expect(pair.owner.dma.faults()).toEqual(
      [0, 1, 2].map((k) => faultOf(0x10000 + 16 * k, "from-device", "unmapped")),
    );
    expect(pair.owner.dma.counters().faults).toBe(10);
    expect(pair.device.violation).toMatchObject({ index: 0x10000 });
    // One notification, however many there were.
    expect(pair.owner.configNotifications).toBe(1);
    pair.driver.stop();
    pair.device.stop();
    pair.owner.setDma("iommu-strict");
    expect(pair.owner.dma.faults()).toEqual([]);
    expect(pair.owner.dma.counters().faults).toBe(0);
  });

  it("leaves a stopped queue as it is: who comes next has done nothing wrong", async () => {
    const pair = await pairBehind(format, "iommu-strict", {}, OPTIONS);
    pair.device.stop();
    expect(pair.device.writeFrom(0x10000, pair.engine.scratch.ptr, 4)).toBe(false);
    expect(pair.device.state).toBe("stopped");
    expect(pair.owner.dma.counters().faults).toBe(1);
    expect(pair.owner.needsReset).toBe(false);
    expect(() => pair.device.read({ ptr: 0x10000, bytes: 4 })).toThrow(
      expect.objectContaining({ code: "queue-not-live" }),
    );
  });

  it("of an access without bytes there is nothing to tell", async () => {
    const pair = await pairBehind(format, "iommu-strict", {}, OPTIONS);
    expect(pair.device.read({ ptr: 0x10000, bytes: 0 })).toEqual(new Uint8Array());
    expect(pair.device.writeFrom(0x10000, pair.engine.scratch.ptr, 0)).toBe(true);
    expectUntold(pair);
  });
});
