/** The cases of a comparison: every combination of the options, its name, its baseline, and what to know of it. */
import { MAX_THRESHOLD } from "../../assembly/abi.ts";
import { VIRTQ_MAX_SIZE } from "../../assembly/spec.ts";
import type { RingFormat, TableSource } from "../names.ts";
import type { Traffic } from "../net/traffic.ts";
import { CompareInputError } from "./errors.ts";

/** What the device half does to the payload. */
export const TOUCHES = ["none", "header", "copy"] as const;
export type Touch = (typeof TOUCHES)[number];

/** What the cases are combined from; every list has at least one entry and none twice. */
export interface Dimensions {
  rings: readonly RingFormat[];
  tables: readonly TableSource[];
  /** Elements of a packet, at least 1 and at most the ring's size. */
  sgs: readonly number[];
  /** Packets of a burst, 1 to 32768. */
  batches: readonly number[];
  /** Entries of the ring, 1 to 32768, for split rings a power of two. */
  ringSizes: readonly number[];
  /** Most elements of a cached table, 0 to 19. */
  thresholds: readonly number[];
  touches: readonly Touch[];
  /** The id of the case that every other is compared with; default: the `heap` case beside each. */
  baseline?: string;
}

/** One case before it is run. */
export interface Arm {
  /** `split/freelist/sg2`, with a part for every further dimension that has several values. */
  id: string;
  ring: RingFormat;
  tables: TableSource;
  sg: number;
  traffic: Traffic;
  /** `capture`, `imix`, or the frame's length in bytes. */
  frame: string | number;
  /** Packets of a burst, as asked for and as run. */
  batch: number;
  batchRun: number;
  ringSize: number;
  threshold: number;
  touch: Touch;
  /** Whether the queue changes its NUMA node every pass. */
  moves: boolean;
  /** The id of the case that this one is compared with. */
  baseline: string;
  notes: string[];
}

type Settings = Pick<Arm, "traffic" | "ringSize" | "batch" | "threshold" | "touch" | "sg" | "ring">;

/**
 * All cases, those with the same baseline next to each other.
 * @throws CompareInputError for a value that no case can have, a combination that cannot be run, and a
 * baseline that is no case.
 */
export function planArms(traffics: readonly Traffic[], dimensions: Dimensions): Arm[] {
  checkValues(traffics, dimensions);
  const settings = product<Settings>({
    traffic: traffics,
    ringSize: dimensions.ringSizes,
    batch: dimensions.batches,
    threshold: dimensions.thresholds,
    touch: dimensions.touches,
    sg: dimensions.sgs,
    ring: dimensions.rings,
  });
  for (const one of settings) checkCombination(one);
  const nameOf = naming(traffics, dimensions);
  const arms = settings.flatMap((one) => group(one, dimensions.tables, nameOf));
  return dimensions.baseline === undefined ? arms : withBaseline(arms, dimensions.baseline);
}

/** Every combination of one value from each list; the last list changes fastest. */
function product<T extends object>(lists: { [K in keyof T]: readonly T[K][] }): T[] {
  return Object.entries<readonly unknown[]>(lists).reduce<object[]>(
    (rows, [key, values]) => rows.flatMap((row) => values.map((value) => ({ ...row, [key]: value }))),
    [{}],
  ) as T[];
}

/** The cases that differ in their tables only, with the `heap` case as their baseline, or else the first. */
function group(settings: Settings, tables: readonly TableSource[], nameOf: Naming): Arm[] {
  const heap = tables.find((source) => source === "heap");
  const baseline = nameOf(settings, heap ?? tables[0]);
  return tables.map((source, place) => {
    const arm = planArm(settings, source, nameOf(settings, source), baseline);
    if (heap === undefined && tables.length > 1 && place === 0)
      arm.notes.push("the baseline, because there is no heap case beside it");
    return arm;
  });
}

function planArm(settings: Settings, tables: TableSource, id: string, baseline: string): Arm {
  const { ringSize, batch, threshold, sg, traffic } = settings;
  const notes: string[] = [];
  const cached = tables !== "direct" && tables !== "heap";
  if (cached && threshold === 0) notes.push("all on the heap: the threshold of 0 switches the cache off");
  else if (cached && sg > threshold)
    notes.push(`all on the heap: every packet has more sgs than the threshold of ${threshold}`);
  // A table takes one slot of the ring, a direct chain one for each element.
  const fits = tables === "direct" ? Math.floor(ringSize / sg) : ringSize;
  if (batch > fits)
    notes.push(`bursts of ${batch} were cut to ${fits}, which is what fits a ring of ${ringSize}`);
  const moves = tables === "freelist" || tables === "per-node";
  if (moves) notes.push("the queue moves to the other of two nodes every pass");
  const batchRun = Math.min(batch, fits);
  return { ...settings, id, tables, frame: frameOf(traffic), batchRun, moves, baseline, notes };
}

function withBaseline(arms: Arm[], baseline: string): Arm[] {
  if (!arms.some(({ id }) => id === baseline)) {
    const ids = arms.slice(0, 3).map(({ id }) => id);
    const rest = arms.length > ids.length ? ` and ${arms.length - ids.length} more` : "";
    throw new CompareInputError(
      `the baseline ${JSON.stringify(baseline)} is no case of this comparison; they are ${ids.join(", ")}${rest}`,
    );
  }
  return arms.map((arm) => ({ ...arm, baseline }));
}

type Naming = (settings: Settings, tables: TableSource) => string;

/** Ids name ring, tables and sgs always, and of the rest what has several values. */
function naming(traffics: readonly Traffic[], dimensions: Dimensions): Naming {
  const several = (list: readonly unknown[]): boolean => list.length > 1;
  return ({ traffic, ring, sg, batch, ringSize, threshold, touch }, tables) => {
    const parts = [ring, tables, `sg${sg}`];
    const frame = frameOf(traffic);
    if (several(traffics)) parts.push(typeof frame === "number" ? `f${frame}` : frame);
    if (several(dimensions.batches)) parts.push(`b${batch}`);
    if (several(dimensions.ringSizes)) parts.push(`r${ringSize}`);
    if (several(dimensions.thresholds)) parts.push(`t${threshold}`);
    if (several(dimensions.touches)) parts.push(touch);
    return parts.join("/");
  };
}

function frameOf({ kind, name }: Traffic): string | number {
  return kind === "fixed" ? Number(name) : kind;
}

function checkValues(traffics: readonly Traffic[], dimensions: Dimensions): void {
  const { rings, tables, sgs, batches, ringSizes, thresholds, touches } = dimensions;
  const lists = { traffics, rings, tables, sgs, batches, ringSizes, thresholds, touches };
  for (const [name, list] of Object.entries(lists)) {
    if (list.length === 0) throw new CompareInputError(`${name} is empty; at least one value is needed`);
  }
  checkRange("sgs per packet", sgs, 1, VIRTQ_MAX_SIZE);
  checkRange("packets of a burst", batches, 1, VIRTQ_MAX_SIZE);
  checkRange("the ring's size", ringSizes, 1, VIRTQ_MAX_SIZE);
  checkRange("the threshold", thresholds, 0, MAX_THRESHOLD);
}

function checkRange(name: string, values: readonly number[], least: number, most: number): void {
  for (const value of values) {
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new CompareInputError(
        `${value} is not possible for ${name}; a whole number from ${least} to ${most} is`,
      );
    }
  }
}

function checkCombination({ ring, ringSize, sg, traffic }: Settings): void {
  if (ring === "split" && !Number.isInteger(Math.log2(ringSize))) {
    throw new CompareInputError(
      `a split ring of ${ringSize} entries is not possible; a power of two from 1 to ${VIRTQ_MAX_SIZE} is`,
    );
  }
  if (sg > ringSize) {
    throw new CompareInputError(
      `${sg} sgs per packet do not fit a ring of ${ringSize} entries; at most ${ringSize} do`,
    );
  }
  const pieces = sg - 1;
  const short = traffic.packets.findIndex(({ data }) => data.length < pieces);
  if (short >= 0) {
    const { length } = traffic.packets[short].data;
    const named =
      traffic.kind === "fixed"
        ? `a frame of ${length} bytes`
        : `packet ${short + 1} of ${traffic.name}, which has ${length} bytes,`;
    throw new CompareInputError(
      `${named} cannot be cut into ${pieces} pieces for ${sg} sgs per packet; at most ${length + 1} sgs are possible`,
    );
  }
}
