/** Who copies what: the table of a packet's ways between guest and wire, to the unit, for frames of all lengths. */
import { describe, expect, test } from "vitest";
import { RING_FORMATS, type RingFormat } from "../../src/names.ts";
import type { PathCounters } from "../../src/system/driver-bench.ts";
import {
  type Direction,
  directionsOf,
  isDriver,
  SYSTEM_RECORDS,
  type SystemRecord,
} from "../../src/system/records.ts";
import { type BenchOptions, digestOf, driverBench, framesOf } from "../support/driver-bench.ts";

type Copies = Pick<PathCounters, "cpuCopies" | "engineCopies" | "headerCopyBytes">;

/** What is copied of a frame of so many bytes. */
type Row = (bytes: number) => Copies;

const NONE: Copies = { cpuCopies: 0, engineCopies: 0, headerCopyBytes: 0 };
const nothing: Row = () => NONE;
const cpu =
  (times: number): Row =>
  () => ({ ...NONE, cpuCopies: times });
const engine: Row = () => ({ ...NONE, engineCopies: 1 });
/** Of hdr_len nothing is said, so it is the usual 128 bytes. */
const headers: Row = (bytes) => ({ ...NONE, headerCopyBytes: Math.min(128, bytes) });
const headersFrom256: Row = (bytes) => (bytes < 256 ? cpu(1)(bytes) : headers(bytes));

const TABLE: Readonly<Record<string, Readonly<Record<Direction, Row>>>> = {
  "qemu-virtio-net": { tx: cpu(1), rx: cpu(2) },
  "vhost-net": { tx: cpu(1), rx: cpu(1) },
  "vhost-net-dedicated": { tx: cpu(1), rx: nothing },
  "vhost-zerocopy": { tx: headersFrom256, rx: cpu(1) },
  "passthru-direct": { tx: headers, rx: nothing },
  "passthru-split": { tx: headers, rx: headers },
  "sriov-vf": { tx: nothing, rx: nothing },
  "dma-engine": { tx: engine, rx: engine },
  "af-packet": { tx: cpu(1), rx: cpu(1) },
  "af-packet-zc": { tx: nothing, rx: nothing },
  xsk: { tx: nothing, rx: nothing },
  "xsk-copy": { tx: cpu(1), rx: cpu(1) },
};

/** Those whose pages are pinned while a NIC has them. */
const PINS: Readonly<Record<string, readonly Direction[]>> = {
  "vhost-zerocopy": ["tx"],
  "passthru-direct": ["tx", "rx"],
  "passthru-split": ["tx", "rx"],
};

const FRAMES = [64, 255, 256, 1518, 9000, 65_550];
const COUNT = 20;

test("every system with a host's path or an application has a row, and every row is a system's", () => {
  const systems = Object.values(SYSTEM_RECORDS).filter((record) => !isDriver(record));
  const names = systems.map(({ name }) => name);
  // Whose device half is the NIC, too, but by way of an IOMMU.
  expect(Object.keys(TABLE).toSorted()).toEqual([...names, "sriov-vf"].toSorted());
});

// The formats in turn, so that each way of half of the systems has one, and of the other half the other.
const CASES = Object.keys(TABLE).flatMap((name, index) =>
  directionsOf(SYSTEM_RECORDS[name]).map((direction, way) => {
    const format: RingFormat = RING_FORMATS[(index + way) % RING_FORMATS.length];
    return { name, direction, format };
  }),
);

describe.each(CASES)("$name, $direction, $format", ({ name, direction, format }) => {
  test(`copies of frames of ${FRAMES.join(", ")} bytes what its row says`, async () => {
    const record = SYSTEM_RECORDS[name];
    // A queue for each length. The ring is so long that the wire has less than a quarter of it.
    const queues = FRAMES.map((bytes) => framesOf(bytes, COUNT));
    const ringSize = record.application.kind === "none" ? 256 : 64;
    const bench = await driverBench({
      ...{ driver: record, direction, dma: record.dma, format, queues, ringSize },
    });
    expect(bench.digests()).toEqual(queues.map(digestOf));
    const counted = (): PathCounters[] => {
      bench.settle();
      return queues.map((_, queue) => bench.queueCounters(queue));
    };
    const before = counted();
    bench.run(2);
    const after = counted();
    for (const [queue, bytes] of FRAMES.entries()) {
      const each = (counter: keyof PathCounters): number =>
        (after[queue][counter] - before[queue][counter]) / (2 * COUNT);
      const copies = TABLE[name][direction](bytes);
      const { cpuCopies, engineCopies, headerCopyBytes } = copies;
      expect(
        {
          ...{ packets: each("packets"), bytes: each("bytes") },
          ...{ cpuCopies: each("cpuCopies"), cpuBytes: each("cpuBytes") },
          ...{ engineCopies: each("engineCopies"), engineBytes: each("engineBytes") },
          ...{ interconnectBytes: each("interconnectBytes"), headerCopyBytes: each("headerCopyBytes") },
          // Neither physical addresses nor buffers that were mapped at set-up cost a mapping for each packet.
          ...{ maps: each("maps"), socketCopies: each("socketCopies"), hostErrors: each("hostErrors") },
        },
        `${bytes} bytes`,
      ).toEqual({
        ...{ packets: 1, bytes, maps: 0, socketCopies: 0, hostErrors: 0, cpuCopies, engineCopies },
        ...{ cpuBytes: cpuCopies * bytes, engineBytes: engineCopies * bytes },
        ...{ interconnectBytes: (cpuCopies + engineCopies) * bytes, headerCopyBytes },
      });
      const pins = PINS[name]?.includes(direction) && cpuCopies === 0 && (direction === "rx" || bytes > 128);
      expect(each("pinnedPages") > 0, `${bytes} bytes: pinned`).toBe(pins === true);
    }
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });
});

describe.each(RING_FORMATS)("vhost-net, rx, %s", (format) => {
  const record = SYSTEM_RECORDS["vhost-net"];
  const unmerged: SystemRecord = {
    ...record,
    rx: { ...record.rx, kind: "alloc-per-packet", mergeable: false, sgs: 2 },
  };
  const receiving = (options: Partial<BenchOptions>) =>
    driverBench({ driver: unmerged, direction: "rx", format, ...options });

  test("copies a frame into a buffer of two elements", async () => {
    const queues = [framesOf(64, COUNT), framesOf(1518, COUNT)];
    const bench = await receiving({ queues });
    expect(bench.digests()).toEqual(queues.map(digestOf));
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  test("drops frames that are longer than the interface has them, and copies those between them", async () => {
    const long = framesOf(1600, COUNT);
    const short = framesOf(1518, COUNT);
    const queues = [long.flatMap((frame, k) => [short[k], frame])];
    const bench = await receiving({ queues });
    expect(bench.digests()).toEqual([digestOf(short)]);
    const before = bench.counters();
    bench.run(1);
    const after = bench.counters();
    expect(after.dropsTooLong - before.dropsTooLong).toBe(COUNT);
    expect(after.cpuCopies - before.cpuCopies).toBe(COUNT);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });
});
