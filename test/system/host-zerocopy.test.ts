/** vhost's zero-copy transmit: what is copied, what is pinned, when it falls back, and that nobody reuses a buffer early. */
import { describe, expect, test } from "vitest";
import * as abi from "../../assembly/abi.ts";
import { RING_FORMATS } from "../../src/names.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";
import { SYSTEM_RECORDS, type SystemRecord } from "../../src/system/records.ts";
import {
  type BenchOptions,
  digestOf,
  driverBench,
  framesOf,
  Knobs,
  ratesWhile,
} from "../support/driver-bench.ts";

const record = SYSTEM_RECORDS["vhost-zerocopy"];
const HEADER = record.headerBytes;
/** virtio_net_hdr.hdr_len. */
const HDR_LEN = 2;

function wireThatHolds(wireHolds: number): SystemRecord {
  return { ...record, host: { ...record.host, tx: { kind: "zerocopy", wireHolds } } };
}

async function zerocopyBench(options: Partial<BenchOptions> & { hdrLen?: number }): Promise<DriverBench> {
  const { hdrLen = 0, ...rest } = options;
  const bench = await driverBench({ driver: record, direction: "tx", count: 300, ...rest });
  for (const elements of packetsOf(bench)) {
    bench.engine.bytes(elements[0].ptr + HDR_LEN, 1)[0] = hdrLen & 0xff;
    bench.engine.bytes(elements[0].ptr + HDR_LEN + 1, 1)[0] = hdrLen >> 8;
  }
  return bench;
}

/** The elements of each packet of the first queue's pass. */
function packetsOf({ engine, ports, settings }: DriverBench): { ptr: number; bytes: number }[][] {
  const { wasm, u32 } = engine;
  let at = u32[(ports[0] + wasm.PORT_STREAM.value) >>> 2] >>> 2;
  return settings.queues[0].map(() => {
    const count = u32[at + 1];
    const elements = Array.from({ length: count }, (_, k) => ({
      ptr: u32[at + 2 + 2 * k],
      bytes: u32[at + 3 + 2 * k],
    }));
    at += 2 + 2 * count;
    return elements;
  });
}

/** Pages that a packet has behind its first `behind` bytes, those that elements share counted for each. */
function pagesBehind(elements: { ptr: number; bytes: number }[], behind: number): number {
  let left = behind;
  let pages = 0;
  for (const { ptr, bytes } of elements) {
    const skipped = Math.min(left, bytes);
    left -= skipped;
    if (skipped < bytes) pages += ((ptr + bytes - 1) >>> 12) - ((ptr + skipped) >>> 12) + 1;
  }
  return pages;
}

/** Everything comes back, pins included. */
function expectNothingLeft(bench: DriverBench): void {
  expect(bench.close()).toEqual({ ok: true, leaks: [] });
  const { wasm, u32 } = bench.engine;
  const pins = bench.engine.region("pins").ptr;
  expect(u32[(pins + wasm.PINS_LIVE.value) >>> 2]).toBe(0);
  expect(wasm.pinsSum(pins)).toBe(0);
}

const word = ({ engine }: DriverBench, ptr: number, offset: { value: number }): number =>
  engine.u32[(ptr + offset.value) >>> 2];
const hostOf = (bench: DriverBench): number => word(bench, bench.ports[0], bench.engine.wasm.PORT_HOST);

describe.each(RING_FORMATS)("vhost-zerocopy on a %s ring", (format) => {
  test.each(
    [64, 255, 256, 1518, 9000, 65550].flatMap((bytes) =>
      [1, 2].flatMap((sg) => [0, 54, 65535].map((hdrLen) => ({ bytes, sg, hdrLen }))),
    ),
  )("sends $bytes bytes in $sg elements with an hdr_len of $hdrLen", async ({ bytes, sg, hdrLen }) => {
    const frames = framesOf(bytes, bytes > 9000 ? 40 : 100);
    const bench = await zerocopyBench({ format, sg, hdrLen, queues: [frames] });
    expect(bench.digests()).toEqual([digestOf(frames)]);
    const before = bench.counters();
    bench.run(2);
    const after = bench.counters();
    const rate = (name: keyof typeof after): number => (after[name] - before[name]) / (2 * frames.length);
    const copied = bytes < 256;
    const head = Math.min(hdrLen || 128, bytes);
    expect(rate("packets")).toBe(1);
    expect(rate("bytes")).toBe(bytes);
    expect(rate("cpuCopies")).toBe(copied ? 1 : 0);
    expect(rate("cpuBytes")).toBe(copied ? bytes : 0);
    expect(rate("interconnectBytes")).toBe(copied ? bytes : 0);
    expect(rate("headerCopyBytes")).toBe(copied ? 0 : head);
    const pages = packetsOf(bench).reduce((sum, elements) => sum + pagesBehind(elements, HEADER + head), 0);
    expect(rate("pinnedPages")).toBe(copied ? 0 : pages / frames.length);
    for (const none of ["engineCopies", "engineBytes", "hostErrors", "maps", "syncsDevice"] as const) {
      expect(after[none], none).toBe(0);
    }
    expectNothingLeft(bench);
  });

  test("behind an IOMMU it pins what the bus addresses stand for", async () => {
    const frames = framesOf(9000, 100);
    const driver = { ...record, accessPlatform: true };
    const bench = await zerocopyBench({ format, driver, dma: "iommu-strict", sg: 3, queues: [frames] });
    const rates = ratesWhile(bench, () => expect(bench.digests()).toEqual([digestOf(frames)]));
    expect(rates).toMatchObject({ headerCopyBytes: 128, maps: 4, unmaps: 4 });
    expect(rates).not.toHaveProperty("cpuCopies");
    const pages = packetsOf(bench).reduce((sum, elements) => sum + pagesBehind(elements, HEADER + 128), 0);
    expect(rates.pinnedPages).toBe(pages / frames.length);
    expectNothingLeft(bench);
  });

  test("what spans more than 17 pages is copied whole, and 17 pages are not", async () => {
    const frames = framesOf(62000, 40);
    const bench = await zerocopyBench({ format, sg: 3, queues: [frames] });
    const long = packetsOf(bench).map((elements) => pagesBehind(elements, HEADER + 128));
    // Where a packet starts in its page decides; there are some of both.
    const copied = long.filter((pages) => pages > 17).length;
    expect(copied).toBeGreaterThan(0);
    expect(copied).toBeLessThan(40);
    expect(long).toContain(17);
    const rates = ratesWhile(bench, () => expect(bench.digests()).toEqual([digestOf(frames)]));
    expect(rates.cpuCopies).toBe(copied / 40);
    expect(rates.cpuBytes).toBe((copied * 62000) / 40);
    expect(rates.headerCopyBytes).toBe(((40 - copied) * 128) / 40);
    expect(rates).not.toHaveProperty("hostErrors");
    expectNothingLeft(bench);
  });

  test.each([
    { ringSize: 64, wireHolds: 32, limit: 16, why: "the ring is small" },
    { ringSize: 256, wireHolds: 200, limit: 64, why: "the wire is slow" },
    { ringSize: 1024, wireHolds: 400, limit: 128, why: "the wire is slow and the ring is large" },
  ])("copies while more than $limit packets are pending, because $why", async (at) => {
    const { ringSize, wireHolds, limit } = at;
    const frames = framesOf(1518, 800);
    const bench = await zerocopyBench({
      format,
      ringSize,
      driver: wireThatHolds(wireHolds),
      queues: [frames],
    });
    const { wasm } = bench.engine;
    const flight = word(bench, hostOf(bench), wasm.HOST_FLIGHT);
    let most = 0;
    for (let packet = 0; packet < 800; packet++) {
      bench.runSome(1);
      most = Math.max(most, word(bench, flight, wasm.IN_FLIGHT_LENT));
    }
    expect(most).toBe(limit + 1);
    const { cpuCopies, cpuBytes, headerCopyBytes, hostErrors } = bench.counters();
    expect(cpuCopies).toBeGreaterThan(100);
    expect(cpuCopies).toBeLessThan(800);
    expect(cpuBytes).toBe(cpuCopies * 1518);
    expect(headerCopyBytes).toBe((800 - cpuCopies) * 128);
    expect(hostErrors).toBe(0);
    expect(bench.digests()).toEqual([digestOf(frames)]);
    expectNothingLeft(bench);
  });

  test("the wire is done out of order, and buffers come back in order", async () => {
    const bench = await zerocopyBench({ format, queues: [framesOf(1518, 300)] });
    const { wasm, u32 } = bench.engine;
    const reclaimed = bench.engine.region("queue 0 staging reclaimed").ptr >>> 2;
    let next = 0;
    let overtaken = 0;
    for (let packet = 0; packet < 300; packet++) {
      const before = bench.drivers[0].counters().reclaimed;
      bench.runSome(1);
      const got = bench.drivers[0].counters().reclaimed - before;
      for (let k = 0; k < got; k++) expect(u32[reclaimed + 2 * k]).toBe(next++);
      const flight = word(bench, hostOf(bench), wasm.HOST_FLIGHT);
      overtaken += word(bench, flight, wasm.IN_FLIGHT_COUNT) - word(bench, flight, wasm.IN_FLIGHT_OPEN);
    }
    expect(next).toBeGreaterThan(200);
    expect(overtaken).toBeGreaterThan(100);
    expectNothingLeft(bench);
  });

  test("a driver that overwrites what it gets back spoils nothing that the wire still reads", async () => {
    const frames = [256, 1518, 4000, 9000].flatMap((bytes) => framesOf(bytes, 100));
    const bench = await zerocopyBench({ format, sg: 2, queues: [frames] });
    const { engine, ports } = bench;
    const elements = packetsOf(bench);
    engine.wasm.portDigest(ports[0], 1, abi.TOUCH_NONE);
    let spoiled = 0;
    for (let packet = 0; packet < frames.length; packet++) {
      bench.runSome(1);
      for (const back = bench.drivers[0].counters().reclaimed; spoiled < back; spoiled++) {
        for (const { ptr, bytes } of elements[spoiled]) engine.bytes(ptr, bytes).fill(0xee);
      }
    }
    expect(spoiled).toBeGreaterThan(300);
    bench.settle();
    const view = new DataView(engine.memory.buffer);
    const digest = view.getBigUint64(ports[0] + engine.wasm.PORT_DIGEST.value, true);
    expect(digest.toString(16).padStart(16, "0")).toBe(digestOf(frames));
    expectNothingLeft(bench);
  });
});

/** A guest that writes its own descriptors: {from, bytes} of each packet's elements, from the packet's start on. */
describe.each(RING_FORMATS)("a hostile guest on a %s ring", (format) => {
  const hostile = async (elements: (readonly [from: number, bytes: number])[]): Promise<DriverBench> => {
    const frames = framesOf(1000, 64);
    const bench = await zerocopyBench({ format, sg: elements.length, queues: [frames] });
    const { u32, wasm } = bench.engine;
    const [[{ ptr }]] = packetsOf(bench);
    // Every packet of the pass is made of the first one's bytes.
    let at = word(bench, bench.ports[0], wasm.PORT_STREAM) >>> 2;
    for (const _ of frames) {
      at += 2;
      for (const [from, bytes] of elements) {
        u32[at++] = ptr + from;
        u32[at++] = bytes;
      }
    }
    return bench;
  };
  const frameAt = (bench: DriverBench, from: number, bytes: number): Uint8Array =>
    bench.engine.bytes(packetsOf(bench)[0][0].ptr + from, bytes).slice();

  test.each([1, HEADER - 1])(
    "that sends %i bytes, less than a header, gets its buffers back",
    async (bytes) => {
      const bench = await hostile([[0, bytes]]);
      bench.run(2);
      bench.settle();
      expect(bench.counters()).toMatchObject({
        packets: 0,
        dropsTooShort: 0,
        dropsTooLong: 128,
        cpuCopies: 0,
      });
      expectNothingLeft(bench);
    },
  );

  test("that sends more than the host has room for gets its buffers back", async () => {
    const bench = await hostile([
      [0, HEADER + 1000],
      [0, 800],
    ]);
    expect(word(bench, hostOf(bench), bench.engine.wasm.HOST_SLOT_BYTES)).toBeLessThan(HEADER + 1800);
    bench.run(2);
    bench.settle();
    expect(bench.counters()).toMatchObject({ packets: 0, dropsTooLong: 128, cpuCopies: 0, pinnedPages: 0 });
    expectNothingLeft(bench);
  });

  test("that sends a header alone sends an empty frame", async () => {
    const bench = await hostile([[0, HEADER]]);
    expect(bench.digests()).toEqual([digestOf(Array.from({ length: 64 }, () => new Uint8Array()))]);
    expect(bench.counters()).toMatchObject({ packets: 64, bytes: 0, cpuCopies: 64, headerCopyBytes: 0 });
    expectNothingLeft(bench);
  });

  test("that cuts header and head into single bytes has them put together", async () => {
    const bench = await hostile([
      [0, 1],
      [1, 1],
      [2, 20],
      [22, 1],
      [23, HEADER + 1000 - 23],
    ]);
    const frame = frameAt(bench, HEADER, 1000);
    expect(bench.digests()).toEqual([digestOf(Array.from({ length: 64 }, () => frame))]);
    expect(bench.counters()).toMatchObject({ cpuCopies: 0, headerCopyBytes: 64 * 128 });
    expectNothingLeft(bench);
  });

  test("that sends more elements than can be pinned has them copied", async () => {
    const pieces = Array.from({ length: 40 }, (_, k): [number, number] => [HEADER + k * 20, 20]);
    const bench = await hostile([[0, HEADER], ...pieces]);
    const frame = frameAt(bench, HEADER, 800);
    expect(bench.digests()).toEqual([digestOf(Array.from({ length: 64 }, () => frame))]);
    expect(bench.counters()).toMatchObject({
      cpuCopies: 64,
      cpuBytes: 64 * 800,
      headerCopyBytes: 0,
      pinnedPages: 0,
    });
    expectNothingLeft(bench);
  });
});

describe("when something fails", () => {
  test("a pin that fails counts, and its packet is copied whole; others of the packet are ended", async () => {
    const frames = framesOf(9000, 100);
    const bench = await zerocopyBench({ sg: 3, queues: [frames] });
    // The second pin of the 64th packet: by then one error in 64 is allowed again.
    new Knobs(bench).failPin(3 * 64 + 2);
    const rates = ratesWhile(bench, () => expect(bench.digests()).toEqual([digestOf(frames)]));
    expect(rates.hostErrors).toBe(1 / 100);
    expect(rates.cpuBytes).toBe(9000 / 100);
    expectNothingLeft(bench);
  });

  test("the wire's own error counts: the rest of its packet is copied then, and nothing is lost", async () => {
    const frames = framesOf(1518, 200);
    const bench = await zerocopyBench({ queues: [frames] });
    new Knobs(bench).failInFlight(150);
    const rates = ratesWhile(bench, () => expect(bench.digests()).toEqual([digestOf(frames)]));
    expect(rates).toMatchObject({ hostErrors: 1 / 200, cpuCopies: 1 / 200, headerCopyBytes: 128 });
    expect(rates.cpuBytes).toBe((1518 - 128) / 200);
    expectNothingLeft(bench);
  });

  test("it copies while there are more errors than one in 64 packets, counted anew every 1024", async () => {
    const bench = await zerocopyBench({ driver: wireThatHolds(0), queues: [framesOf(1518, 1024)] });
    const knobs = new Knobs(bench);
    const copied = (packets: number): number => {
      const before = bench.counters().cpuCopies;
      bench.runSome(packets);
      return bench.counters().cpuCopies - before;
    };
    const copiedWhere = (runs: number[]): number[] => runs.map(copied);
    knobs.failPin(1);
    // 1 error: packets 0 to 63 are copied, and from 64 on none.
    expect(copiedWhere([1, 63, 1, 63])).toEqual([1, 63, 0, 0]);
    knobs.failPin(1);
    // The second at packet 128, where two are allowed.
    expect(copiedWhere([1, 10])).toEqual([1, 0]);
    for (let error = 0; error < 3; error++) {
      knobs.failPin(1);
      copied(1);
    }
    // The third closed the way until packet 192; nothing was tried to be pinned since.
    expect(bench.counters().hostErrors).toBe(3);
    knobs.failPin(0);
    expect(copied(192 - 142)).toBe(50);
    expect(copied(1024 - 192)).toBe(0);
    // Counted anew: an error right at the start closes the way for 64 packets again.
    knobs.failPin(1);
    expect(copiedWhere([64, 1])).toEqual([64, 0]);
    expectNothingLeft(bench);
  });
});

describe.each(RING_FORMATS)("a queue that ends in the middle, %s", (format) => {
  test("closed with packets under way, it has everything back", async () => {
    const bench = await zerocopyBench({ format, queues: [framesOf(9000, 200)] });
    bench.runSome(70);
    const { wasm } = bench.engine;
    expect(word(bench, bench.engine.region("pins").ptr, wasm.PINS_LIVE)).toBeGreaterThan(90);
    expectNothingLeft(bench);
  });

  test("broken by its driver, it has everything back", async () => {
    const bench = await zerocopyBench({ format, queues: [framesOf(4000, 200)] });
    const { wasm, u32 } = bench.engine;
    bench.runSome(70);
    // The 100th packet's only element lies where no guest's memory is.
    const stream = word(bench, bench.ports[0], wasm.PORT_STREAM) >>> 2;
    u32[stream + 100 * 4 + 2] = bench.engine.base;
    expect(() => bench.run(1)).toThrow(/outside the address space/);
    expect(word(bench, bench.engine.region("pins").ptr, wasm.PINS_LIVE)).toBeGreaterThan(0);
    expectNothingLeft(bench);
  });
});
