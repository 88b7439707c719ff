/** Packets that pass the host by: what is copied and pinned of each, and that nothing stays behind. */
import { describe, expect, test } from "vitest";
import { PassthruError } from "../../src/errors.ts";
import { RING_FORMATS } from "../../src/names.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";
import { parseSystem } from "../../src/system/parse-record.ts";
import { type PassthruPath, SYSTEM_RECORDS, type SystemRecord } from "../../src/system/records.ts";
import { type BenchOptions, digestOf, driverBench, framesOf, ratesWhile } from "../support/driver-bench.ts";
import { failPin, pinsLive } from "../support/passthru.ts";

const WAYS = ["passthru-direct", "passthru-split"] as const;
const SIZES = [64, 255, 256, 1518, 9000, 65_550];
const HEADER = 12;
const HEADERS = 128;

function passthruBench(name: string, options: Partial<BenchOptions> = {}): Promise<DriverBench> {
  return driverBench({ driver: SYSTEM_RECORDS[name], direction: "tx", count: 100, ...options });
}

/** The record with another NIC, or another wire. */
function changed(name: string, change: Partial<PassthruPath>): SystemRecord {
  const record = SYSTEM_RECORDS[name];
  const path = { ...(record.host.tx as PassthruPath), ...change };
  return { ...record, host: { tx: path, rx: path } };
}

/** Pages that the payloads of a pass touch, each packet's in one element. */
function payloadPages({ engine, ports, settings }: DriverBench): number {
  const { wasm, u32 } = engine;
  let at = u32[(ports[0] + wasm.PORT_STREAM.value) >>> 2] >>> 2;
  let pages = 0;
  for (const { length } of settings.queues[0]) {
    const first = u32[at + 2] + HEADER + Math.min(HEADERS, length);
    const last = u32[at + 2] + u32[at + 3] - 1;
    if (first <= last) pages += (last >>> 12) - (first >>> 12) + 1;
    at += 4;
  }
  return pages;
}

describe.each(WAYS)("%s", (name) => {
  test.each(SIZES.flatMap((bytes) => RING_FORMATS.map((format) => ({ bytes, format }))))(
    "sends frames of $bytes bytes without a copy of the payload, $format",
    async ({ bytes, format }) => {
      const frames = framesOf(bytes, 60);
      const bench = await passthruBench(name, { format, queues: [frames] });
      expect(bench.digests()).toEqual([digestOf(frames)]);
      const before = bench.counters();
      bench.run(2);
      const after = bench.counters();
      const since = (counter: keyof typeof after): number => after[counter] - before[counter];
      expect(since("packets")).toBe(120);
      expect(since("headerCopyBytes")).toBe(120 * Math.min(HEADERS, bytes));
      expect(since("pinnedPages")).toBe(2 * payloadPages(bench));
      for (const none of ["cpuCopies", "cpuBytes", "engineCopies", "interconnectBytes", "maps"] as const) {
        expect(after[none], none).toBe(0);
      }
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    },
  );

  test.each(SIZES.flatMap((bytes) => RING_FORMATS.map((format) => ({ bytes, format }))))(
    "receives frames of $bytes bytes without a copy of the payload, $format",
    async ({ bytes, format }) => {
      const frames = framesOf(bytes, 60);
      const bench = await passthruBench(name, { format, direction: "rx", queues: [frames] });
      expect(bench.digests()).toEqual([digestOf(frames)]);
      const rates = ratesWhile(bench, () => bench.run(2));
      const room = name === "passthru-direct" ? 64 + 128 : 0;
      const buffers = Math.ceil((HEADER + bytes) / (2048 - room));
      // A jumbo frame takes five buffers of half a page, with the room and without.
      if (bytes === 9000) expect(buffers).toBe(5);
      expect(rates.bytes).toBe(bytes);
      expect(rates.pinnedPages).toBe(buffers);
      expect(rates.headerCopyBytes).toBe(name === "passthru-split" ? Math.min(HEADERS, bytes) : undefined);
      for (const none of ["cpuCopies", "cpuBytes", "engineCopies", "maps", "dropsNoBuffer"] as const) {
        expect(rates[none], none).toBeUndefined();
      }
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    },
  );

  test.each([1, 2, 5, 19])("sends packets of %i elements in one order and whole", async (sg) => {
    const frames = framesOf(1518, 200);
    const bench = await passthruBench(name, { sg, queues: [frames] });
    expect(bench.digests()).toEqual([digestOf(frames)]);
    bench.run(2);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  test.each(["tx", "rx"] as const)(
    "has several queues, each with an interface of its own, %s",
    async (direction) => {
      const queues = [framesOf(1518, 50, 1), framesOf(300, 70, 2)];
      const bench = await passthruBench(name, { direction, queues });
      expect(bench.digests()).toEqual(queues.map(digestOf));
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    },
  );

  test.each(["tx", "rx"] as const)(
    "leaves nothing when it is closed in the middle of a pass, %s",
    async (direction) => {
      const bench = await passthruBench(name, { direction, bytes: 9000, count: 90 });
      bench.runSome(41);
      expect(pinsLive(bench.engine)).toBeGreaterThan(0);
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    },
  );

  test.each(["tx", "rx"] as const)(
    "waits for pages that can't be pinned, and loses nothing, %s",
    async (direction) => {
      const frames = framesOf(1518, 150);
      const bench = await passthruBench(name, { direction, queues: [frames] });
      for (let nth = 1; nth < 60; nth += 7) {
        failPin(bench.engine, nth);
        expect(bench.digests()).toEqual([digestOf(frames)]);
      }
      const { pins } = { pins: bench.engine.region("pins").ptr };
      expect(bench.engine.readU64(pins + bench.engine.wasm.PINS_FAILURES.value)).toBe(9);
      expect(bench.counters()).toMatchObject({ cpuCopies: 0, dropsNoBuffer: 0, dropsTooShort: 0 });
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    },
  );

  test("goes on with fewer locked pages than the wire would keep", async () => {
    const frames = framesOf(1518, 150);
    const bench = await passthruBench(name, { queues: [frames] });
    const { engine } = bench;
    engine.u32[(engine.region("pins").ptr + engine.wasm.PINS_LIMIT.value) >>> 2] = 3;
    expect(bench.digests()).toEqual([digestOf(frames)]);
    expect(pinsLive(engine)).toBeLessThanOrEqual(3);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  test("has buffers that are overwritten as soon as they are back, and none is back too early", async () => {
    const frames = framesOf(1518, 300);
    // The guest's kernel copies each packet into the buffer that was free for the shortest time.
    const bench = await passthruBench(name, { socket: true, queues: [frames] });
    expect(bench.digests()).toEqual([digestOf(frames)]);
    expect(bench.counters().socketCopies).toBe(300);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  test("sends through a ring that the wire could fill", async () => {
    const frames = framesOf(700, 150);
    const driver = changed(name, { wireHolds: 200 });
    const bench = await driverBench({ driver, direction: "tx", ringSize: 32, queues: [frames] });
    expect(bench.digests()).toEqual([digestOf(frames)]);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  test("has its buffers back from a queue that broke, and nothing pinned", async () => {
    const bench = await passthruBench(name, { bytes: 1518 });
    bench.runSome(60);
    expect(pinsLive(bench.engine)).toBeGreaterThan(0);
    // The 80th packet's only element lies where no guest's memory is.
    const { wasm, u32 } = bench.engine;
    u32[(u32[(bench.ports[0] + wasm.PORT_STREAM.value) >>> 2] >>> 2) + 80 * 4 + 2] = bench.engine.base;
    expect(() => bench.run(1)).toThrow(/outside the address space/);
    expect(pinsLive(bench.engine)).toBeGreaterThan(0);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });
});

describe("what the NIC asks for", () => {
  test("must be what the guest's buffers have, unless it splits packets", async () => {
    const rx = SYSTEM_RECORDS["passthru-split"].rx;
    const bare = { ...SYSTEM_RECORDS["passthru-direct"], rx };
    await expect(driverBench({ driver: bare, direction: "rx", count: 4 })).rejects.toThrow(PassthruError);
    await expect(driverBench({ driver: bare, direction: "rx", count: 4 })).rejects.toMatchObject({
      code: "headroom",
    });
    const bench = await driverBench({ driver: bare, direction: "tx", count: 4 });
    expect(bench.close().ok).toBe(true);
  });

  test.each(["alloc-per-packet", "page-pool", "premapped"] as const)(
    "is there in buffers of %s, too",
    async (rx) => {
      const frames = framesOf(1518, 100);
      const bench = await passthruBench("passthru-direct", { direction: "rx", rx, queues: [frames] });
      expect(bench.digests()).toEqual([digestOf(frames)]);
      expect(ratesWhile(bench, () => bench.run(1))).toMatchObject({ pinnedPages: 1, bytes: 1518 });
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    },
  );
});

describe("a record with", () => {
  test.each([
    [
      { rx: { room: { headroom: 63 } } },
      "host.rx.nic: a buffer lacks room in front: the NIC asks for head room of 64 and the buffers have 63; rx.room as large, or packetSplit true, is right",
    ],
    [
      { rx: { kind: "page-reuse" } },
      'rx.room: buffers of the kind "page-reuse" have no place for it; alloc-per-packet, page-pool, premapped, mergeable have',
    ],
    [
      { rx: { room: { headroom: 1500, tailroom: 600 } } },
      "rx.room has 1500 bytes in front and 600 behind, which leave too little for a buffer of 26",
    ],
    [
      { accessPlatform: true },
      'host.tx.kind: "passthru" pins pages by the physical addresses that a guest hands out; accessPlatform false is right',
    ],
  ])("%j is told what is wrong", (change, line) => {
    expect(() => parseSystem({ name: "mine", extends: "passthru-direct", ...change })).toThrow(line);
  });

  test("a NIC and a room of its own can be written down", () => {
    const room = { headroom: 128, tailroom: 0, align: 128 };
    const path = { kind: "passthru", headerBytes: 96, wireHolds: 4, nic: { ...room, packetSplit: false } };
    const record = { name: "mine", extends: "passthru-direct", rx: { room }, host: { tx: path, rx: path } };
    expect(parseSystem(record)).toMatchObject({ rx: { room }, host: { rx: path } });
  });
});

test("the limit of header bytes is the record's", async () => {
  const driver = changed("passthru-split", { headerBytes: 64 });
  for (const direction of ["tx", "rx"] as const) {
    const bench = await driverBench({ driver, direction, bytes: 300, count: 50 });
    bench.run(1);
    expect(ratesWhile(bench, () => bench.run(1)).headerCopyBytes).toBe(64);
    expect(bench.close().ok).toBe(true);
  }
});
