/** The cases of drivers' buffer policies: every combination of the options, transmitting and receiving apart. */
import { MAX_THRESHOLD } from "../../assembly/abi.ts";
import { VIRTQ_MAX_SIZE } from "../../assembly/spec.ts";
import type { DmaBackend, RingFormat, TableSource } from "../names.ts";
import { QUEUE_COUNTS } from "../net/flows.ts";
import type { Traffic } from "../net/traffic.ts";
import { DRIVER_RECORDS, type DriverRecord, type RxKind } from "../system/records.ts";
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

export const DIRECTIONS = ["tx", "rx"] as const;
export type Direction = (typeof DIRECTIONS)[number];
/** Packets that a consumer holds back, or all until the end of a pass. */
export type Hold = number | "all";

/** The most packets that a consumer can be asked to hold, each with a page of its own. */
export const MOST_HELD = 65_536;
/** The most operations of a case that are recorded. */
export const MOST_TRACED = 100_000;

/** What drivers' cases are combined from; every list but `rxKinds` has at least one entry, and none has one twice. */
export interface DriverDimensions {
  /** Names of DRIVER_RECORDS. The others are compared with the first. */
  drivers: readonly string[];
  dmas: readonly DmaBackend[];
  directions: readonly Direction[];
  /** Receive buffers; empty: each driver's own. */
  rxKinds: readonly RxKind[];
  holds: readonly Hold[];
  /** In which order consumers drop what they hold. */
  drop: "in-order" | "random";
  queueCounts: readonly number[];
  rings: readonly RingFormat[];
  /** Entries of the ring, for split rings a power of two. */
  ringSizes: readonly number[];
  batches: readonly number[];
  touches: readonly Touch[];
  /** For transmit: elements of a packet, the device header's included, where its table comes from, and most of its elements. */
  sgs: readonly number[];
  tables: readonly TableSource[];
  thresholds: readonly number[];
  /** The id of the case that every other is compared with; default: the first driver's beside each. */
  baseline?: string;
  /** Operations of each case that are recorded. */
  traceOps: number;
}

interface CommonSettings {
  traffic: Traffic;
  ringSize: number;
  batch: number;
  touch: Touch;
  ring: RingFormat;
  queues: number;
  dma: DmaBackend;
}

interface TxSettings extends CommonSettings {
  direction: "tx";
  sg: number;
  tables: TableSource;
  threshold: number;
}

interface RxSettings extends CommonSettings {
  direction: "rx";
  hold: Hold;
  /** Null for the driver's own. */
  kind: RxKind | null;
}

type Settings = TxSettings | RxSettings;

/** One case before it is run; its id is `i40e/direct/rx` and what else has several values. */
export interface DriverArm extends Arm {
  record: DriverRecord;
  settings: Settings;
  drop: "in-order" | "random";
}

/**
 * All cases, those that transmit first, and those with the same baseline next to each other.
 * @throws CompareInputError for a value that no case can have, a combination that cannot be run, and a
 * baseline that is no case.
 */
export function planDriverArms(traffics: readonly Traffic[], dimensions: DriverDimensions): DriverArm[] {
  checkValues(traffics, dimensions);
  const settings = [...txSettings(traffics, dimensions), ...rxSettings(traffics, dimensions)];
  const nameOf = naming(traffics, dimensions);
  const { drivers, drop, baseline } = dimensions;
  const arms = settings.flatMap((one) =>
    drivers.map((driver): DriverArm => {
      const record = DRIVER_RECORDS[driver];
      return {
        id: nameOf(one, driver),
        traffic: one.traffic,
        frame: frameOf(one.traffic),
        baseline: nameOf(one, drivers[0]),
        notes: notesFor(one, record),
        record,
        settings: one,
        drop,
      };
    }),
  );
  return baseline === undefined ? arms : withBaseline(arms, baseline);
}

/** The dimensions under the names that they have on the command line. */
export function nameDriverDimensions(dimensions: DriverDimensions): Record<string, unknown> {
  const { rxKinds, traceOps } = dimensions;
  return {
    drivers: dimensions.drivers,
    dma: dimensions.dmas,
    direction: dimensions.directions,
    rx: rxKinds.length === 0 ? "each driver's own" : rxKinds,
    hold: dimensions.holds,
    drop: dimensions.drop,
    queues: dimensions.queueCounts,
    ring: dimensions.rings,
    "ring-size": dimensions.ringSizes,
    batch: dimensions.batches,
    touch: dimensions.touches,
    sg: dimensions.sgs,
    tables: dimensions.tables,
    threshold: dimensions.thresholds,
    ...(traceOps === 0 ? {} : { "trace-ops": traceOps }),
  };
}

/** What both directions are combined from. */
function commonLists(traffics: readonly Traffic[], dimensions: DriverDimensions) {
  return {
    traffic: traffics,
    ringSize: dimensions.ringSizes,
    batch: dimensions.batches,
    touch: dimensions.touches,
    ring: dimensions.rings,
    queues: dimensions.queueCounts,
    dma: dimensions.dmas,
  };
}

function txSettings(traffics: readonly Traffic[], dimensions: DriverDimensions): TxSettings[] {
  const { directions, sgs, tables, thresholds } = dimensions;
  const direction = directions.filter((way) => way === "tx");
  return product<TxSettings>({
    direction,
    ...commonLists(traffics, dimensions),
    sg: sgs,
    threshold: thresholds,
    tables,
  });
}

function rxSettings(traffics: readonly Traffic[], dimensions: DriverDimensions): RxSettings[] {
  const { directions, holds, rxKinds } = dimensions;
  const direction = directions.filter((way) => way === "rx");
  const kind = rxKinds.length === 0 ? [null] : rxKinds;
  return product<RxSettings>({ direction, ...commonLists(traffics, dimensions), hold: holds, kind });
}

function notesFor(settings: Settings, { name, rx, indirect }: DriverRecord): string[] {
  if (settings.direction === "rx")
    return settings.kind === null ? [`the driver's own receive buffers: ${rx.kind}`] : [];
  return indirect ? [] : [`${name} takes no indirect tables`];
}

type Naming = (settings: Settings, driver: string) => string;

/** Ids name driver, backend and direction always, and of the rest what has several values in that direction. */
function naming(traffics: readonly Traffic[], dimensions: DriverDimensions): Naming {
  const { rxKinds, holds, queueCounts, rings, sgs, tables, batches, ringSizes, thresholds, touches } =
    dimensions;
  return (settings, driver) => {
    const parts = [driver, settings.dma, settings.direction];
    const add = (list: readonly unknown[], part: string): void => {
      if (list.length > 1) parts.push(part);
    };
    if (settings.direction === "rx") {
      add(rxKinds, String(settings.kind));
      add(holds, `hold${settings.hold}`);
    } else {
      add(tables, settings.tables);
      add(sgs, `sg${settings.sg}`);
      add(thresholds, `t${settings.threshold}`);
    }
    add(queueCounts, `q${settings.queues}`);
    add(traffics, framePart(settings.traffic));
    add(rings, settings.ring);
    add(batches, `b${settings.batch}`);
    add(ringSizes, `r${settings.ringSize}`);
    add(touches, settings.touch);
    return parts.join("/");
  };
}

function checkValues(traffics: readonly Traffic[], dimensions: DriverDimensions): void {
  const { drivers, dmas, directions, holds, queueCounts, rings, tables, sgs, batches, ringSizes } =
    dimensions;
  const { thresholds, touches } = dimensions;
  checkNotEmpty({ traffics, drivers, dmas, directions, holds, queueCounts, rings, tables, sgs, batches });
  checkNotEmpty({ ringSizes, thresholds, touches });
  const unknown = drivers.find((name) => !Object.hasOwn(DRIVER_RECORDS, name));
  if (unknown !== undefined) {
    const known = Object.keys(DRIVER_RECORDS).join(", ");
    throw new CompareInputError(`${JSON.stringify(unknown)} is no driver; ${known} are`);
  }
  const held = holds.filter((hold) => hold !== "all");
  checkRange("packets that a consumer holds", held, 0, MOST_HELD);
  checkRange("packets of a burst", batches, 1, VIRTQ_MAX_SIZE);
  checkRange("the ring's size", ringSizes, 1, VIRTQ_MAX_SIZE);
  checkRange("sgs per packet", sgs, 1, VIRTQ_MAX_SIZE);
  checkRange("the threshold", thresholds, 0, MAX_THRESHOLD);
  checkRange("operations to record", [dimensions.traceOps], 0, MOST_TRACED);
  const wrong = queueCounts.find((count) => !QUEUE_COUNTS.includes(count));
  if (wrong !== undefined)
    throw new CompareInputError(`${wrong} queues are not possible; ${QUEUE_COUNTS.join(", ")} are`);
  for (const ring of rings) for (const size of ringSizes) checkRingSize(ring, size);
}
