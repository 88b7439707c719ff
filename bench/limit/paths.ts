/** What a packet's way through a host costs: against the same in C, and beside the ways that copy nothing. */
import type { RingFormat } from "../../src/names.ts";
import { RING_FORMATS } from "../../src/names.ts";
import { fixedTraffic } from "../../src/net/traffic.ts";
import { DriverBench, type DriverBenchOptions } from "../../src/system/driver-bench.ts";
import { type Direction, directionsOf, SYSTEM_RECORDS, type SystemRecord } from "../../src/system/records.ts";
import { PACKETS } from "../packets.ts";
import { compileEngine } from "../support.ts";
import type { Twin } from "./native.ts";
import {
  type Arm,
  arm,
  detailLine,
  type Figures,
  type Found,
  medianOf,
  takeTurns,
  timesOf,
  verdictLine,
} from "./rounds.ts";

const DIRECTIONS: readonly Direction[] = ["tx", "rx"];
const RING = 1024;
const BURST = 32;
/** Lengths that the twin has. */
const LENGTHS = [64, 1518];
const ROUNDS = 40;
const TWIN_PASSES = 60;
const MS = 5;

/** Nanoseconds that a well-known user-space switch library needs for a transfer, of which how much is aimed at. */
const AIMS: Readonly<Record<RingFormat, readonly { bytes: number; ns: number; share: number }[]>> = {
  split: [
    { bytes: 64, ns: 44, share: 0.8 },
    { bytes: 1518, ns: 85, share: 1 },
  ],
  packed: [
    { bytes: 64, ns: 31, share: 0.8 },
    { bytes: 1518, ns: 73, share: 1 },
  ],
};

/** Those that copy nothing, each against the host's copy, and both ways of passing the host by. */
const AGAINST: readonly { ours: string; baseline: string; lengths: number[]; bar: boolean }[] = [
  { ours: "sriov-vf", baseline: "vhost-net", lengths: [1518, 9000, 65_550], bar: true },
  { ours: "af-packet-zc", baseline: "vhost-net", lengths: [1518, 9000, 65_550], bar: true },
  { ours: "xsk", baseline: "vhost-net", lengths: [1518], bar: true },
  { ours: "vhost-zerocopy", baseline: "vhost-net", lengths: [1518, 9000, 65_550], bar: false },
  { ours: "dma-engine", baseline: "vhost-net", lengths: [1518, 9000, 65_550], bar: false },
  { ours: "passthru-direct", baseline: "passthru-split", lengths: [1500], bar: false },
];
const PAIR_ROUNDS = 20;
const LONG_PACKETS = 128;

export async function pathLines(twin: Twin): Promise<string[]> {
  return [...(await copyLines(twin)), ...(await pairLines())];
}

/** vhost-net, driven from JavaScript, a call a burst; its receive buffers recycled as the twin's are, and as the record has them. */
async function copyLines(twin: Twin): Promise<string[]> {
  const arms: Arm[] = [];
  for (const format of RING_FORMATS) {
    for (const direction of DIRECTIONS) {
      for (const bytes of LENGTHS) {
        const name = `${format} ${direction} ${bytes}`;
        arms.push(await pathArm(`ours ${name}`, copying(format, direction, bytes, "premapped")));
        arms.push({
          name: `C ${name}`,
          sample: () => twin.host(format, direction, bytes, TWIN_PASSES),
        });
        arms.push({
          name: `memcpy ${name}`,
          sample: () => twin.hostCopies(format, direction, bytes, TWIN_PASSES),
        });
        if (direction === "rx") arms.push(await pathArm(`record ${name}`, copying(format, direction, bytes)));
      }
    }
  }
  const figures = await takeTurns(arms, ROUNDS);
  const lines = ["ring of 1024, one element a packet, whole frames copied"];
  for (const format of RING_FORMATS) {
    for (const direction of DIRECTIONS) lines.push(...copyVerdict(figures, format, direction));
  }
  return lines;
}

function copyVerdict(figures: Figures, format: RingFormat, direction: Direction): string[] {
  const name = (who: string, bytes: number) => `${who} ${format} ${direction} ${bytes}`;
  const names = (who: string) => LENGTHS.map((bytes) => name(who, bytes));
  const against = LENGTHS.map((bytes) => ({
    where: `${bytes} B`,
    interval: timesOf(figures, name("ours", bytes), name("C", bytes)),
  }));
  return [
    verdictLine(
      `vhost-net, ${format} ${direction}, driven from JavaScript, against C`,
      { atMost: 1.25 },
      against,
    ),
    detailLine("ours, ns a packet, 64 and 1518 B", figures, names("ours")),
    detailLine("C", figures, names("C")),
    detailLine("memcpy of the same bytes alone", figures, names("memcpy")),
    ...(direction === "rx"
      ? [detailLine("ours with a page allocated for each", figures, names("record"))]
      : []),
    ...AIMS[format].map(({ bytes, ns, share }) =>
      verdictLine(
        `    aim at ${bytes} B, ${share} times the ${ns} ns of a user-space switch library`,
        { atMost: ns * share },
        [{ where: direction, interval: medianOf(figures, name("ours", bytes)) }],
        "ns",
      ),
    ),
  ];
}

function copying(
  format: RingFormat,
  direction: Direction,
  bytes: number,
  rx?: DriverBenchOptions["rx"],
): Omit<DriverBenchOptions, "dma"> {
  const queues = [framesOf(bytes, PACKETS)];
  return { ...{ record: SYSTEM_RECORDS["vhost-net"], direction, format, rx, queues }, tables: "direct" };
}

function framesOf(bytes: number, count: number): Uint8Array[] {
  return fixedTraffic(bytes, { count, seed: 1 }).packets.map(({ data }) => data);
}

/** A pass in bursts of 32; the digest is checked once, before anything is timed. */
async function pathArm(name: string, options: Omit<DriverBenchOptions, "dma">): Promise<Arm> {
  const { dma } = options.record as SystemRecord;
  const bench = await DriverBench.create({
    ...{ ringSize: RING, batch: BURST, touch: "none", dma, module: await compileEngine() },
    ...options,
  });
  const packets = bench.packetsPerPass;
  const burst = DriverBench.batchOf({ ringSize: RING, batch: BURST, dma, ...options });
  const pass = (): void => {
    for (let left = packets; left > 0; left -= burst) bench.runSome(Math.min(burst, left));
  };
  return arm(name, packets, pass, MS);
}

/** Ways beside each other; a system that is not there, or can't have frames of a length, is left out. */
async function pairLines(): Promise<string[]> {
  const lines: string[] = [];
  for (const { ours, baseline, lengths, bar } of AGAINST) {
    if (!(ours in SYSTEM_RECORDS && baseline in SYSTEM_RECORDS)) continue;
    const [one, other] = [SYSTEM_RECORDS[ours], SYSTEM_RECORDS[baseline]];
    for (const direction of directionsOf(one)) {
      if (!directionsOf(other).includes(direction)) continue;
      lines.push(...(await pairOf(one, other, direction, lengths, bar)));
    }
  }
  return lines;
}

async function pairOf(
  ours: SystemRecord,
  baseline: SystemRecord,
  direction: Direction,
  lengths: readonly number[],
  bar: boolean,
): Promise<string[]> {
  const arms: Arm[] = [];
  for (const bytes of lengths) {
    const queues = [framesOf(bytes, bytes > 2048 ? LONG_PACKETS : PACKETS)];
    for (const record of [ours, baseline]) {
      arms.push(await pathArm(`${record.name} ${bytes}`, { record, direction, queues }));
    }
  }
  const figures = await takeTurns(arms, PAIR_ROUNDS);
  const found = lengths.map(
    (bytes): Found => ({
      where: `${bytes} B`,
      interval: timesOf(figures, `${baseline.name} ${bytes}`, `${ours.name} ${bytes}`),
    }),
  );
  const measure = `packets a second of ${ours.name}, ${direction}, against ${baseline.name}`;
  return [
    bar
      ? verdictLine(measure, { atLeast: 1 }, found)
      : `${measure}, without a bar: ${found.map(({ where, interval: { value, low, high } }) => `${where} ${value.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`).join(", ")}`,
    ...[ours, baseline].map(({ name }) =>
      detailLine(
        `${name}, ns a packet, ${lengths.join(", ")} B`,
        figures,
        lengths.map((bytes) => `${name} ${bytes}`),
      ),
    ),
  ];
}
