/** The cases that move packets through bare rings: every combination of the options, and what to know of each. */
import { MAX_THRESHOLD } from "../../assembly/abi.ts";
import { VIRTQ_MAX_SIZE } from "../../assembly/spec.ts";
import type { RingFormat, TableSource } from "../names.ts";
import type { Traffic } from "../net/traffic.ts";
import {
  type Arm,
  checkNotEmpty,
  checkRange,
  checkRingSize,
  frameOf,
  framePart,
  product,
  type Touch,
  withBaseline,
} from "./arms.ts";
import { CompareInputError } from "./errors.ts";

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

/** One case before it is run; its id is `split/freelist/sg2` and what else has several values. */
export interface RingArm extends Arm {
  ring: RingFormat;
  tables: TableSource;
  sg: number;
  /** Packets of a burst, as asked for and as run. */
  batch: number;
  batchRun: number;
  ringSize: number;
  threshold: number;
  touch: Touch;
  /** Whether the queue changes its NUMA node every pass. */
  moves: boolean;
}

type Settings = Pick<RingArm, "traffic" | "ringSize" | "batch" | "threshold" | "touch" | "sg" | "ring">;

/**
 * All cases, those with the same baseline next to each other.
 * @throws CompareInputError for a value that no case can have, a combination that cannot be run, and a
 * baseline that is no case.
 */
export function planRingArms(traffics: readonly Traffic[], dimensions: Dimensions): RingArm[] {
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

/** The dimensions under the names that they have on the command line. */
export function nameRingDimensions(dimensions: Dimensions): Record<string, unknown> {
  return {
    ring: dimensions.rings,
    tables: dimensions.tables,
    sg: dimensions.sgs,
    batch: dimensions.batches,
    "ring-size": dimensions.ringSizes,
    threshold: dimensions.thresholds,
    touch: dimensions.touches,
  };
}

/** The cases that differ in their tables only, with the `heap` case as their baseline, or else the first. */
function group(settings: Settings, tables: readonly TableSource[], nameOf: Naming): RingArm[] {
  const heap = tables.find((source) => source === "heap");
  const baseline = nameOf(settings, heap ?? tables[0]);
  return tables.map((source, place) => {
    const arm = planArm(settings, source, nameOf(settings, source), baseline);
    if (heap === undefined && tables.length > 1 && place === 0)
      arm.notes.push("the baseline, because there is no heap case beside it");
    return arm;
  });
}

function planArm(settings: Settings, tables: TableSource, id: string, baseline: string): RingArm {
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

type Naming = (settings: Settings, tables: TableSource) => string;

/** Ids name ring, tables and sgs always, and of the rest what has several values. */
function naming(traffics: readonly Traffic[], dimensions: Dimensions): Naming {
  const several = (list: readonly unknown[]): boolean => list.length > 1;
  return ({ traffic, ring, sg, batch, ringSize, threshold, touch }, tables) => {
    const parts = [ring, tables, `sg${sg}`];
    if (several(traffics)) parts.push(framePart(traffic));
    if (several(dimensions.batches)) parts.push(`b${batch}`);
    if (several(dimensions.ringSizes)) parts.push(`r${ringSize}`);
    if (several(dimensions.thresholds)) parts.push(`t${threshold}`);
    if (several(dimensions.touches)) parts.push(touch);
    return parts.join("/");
  };
}

function checkValues(traffics: readonly Traffic[], dimensions: Dimensions): void {
  const { rings, tables, sgs, batches, ringSizes, thresholds, touches } = dimensions;
  checkNotEmpty({ traffics, rings, tables, sgs, batches, ringSizes, thresholds, touches });
  checkRange("sgs per packet", sgs, 1, VIRTQ_MAX_SIZE);
  checkRange("packets of a burst", batches, 1, VIRTQ_MAX_SIZE);
  checkRange("the ring's size", ringSizes, 1, VIRTQ_MAX_SIZE);
  checkRange("the threshold", thresholds, 0, MAX_THRESHOLD);
}

function checkCombination({ ring, ringSize, sg, traffic }: Settings): void {
  checkRingSize(ring, ringSize);
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
