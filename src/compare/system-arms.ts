/** The cases of systems, drivers among them: every combination of the options, transmitting and receiving apart. */
import { MAX_THRESHOLD } from "../../assembly/abi.ts";
import { VIRTQ_MAX_SIZE } from "../../assembly/spec.ts";
import type { DmaBackend, RingFormat, TableSource } from "../names.ts";
import { QUEUE_COUNTS } from "../net/flows.ts";
import type { Traffic } from "../net/traffic.ts";
import { type Direction, directionsOf, type RxKind, type SystemRecord } from "../system/records.ts";
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

/** Packets that a consumer holds back, or all until the end of a pass. */
export type Hold = number | "all";

/** The most packets that a consumer can be asked to hold, each with a page of its own. */
export const MOST_HELD = 65_536;
/** The most operations of a case that are recorded. */
export const MOST_TRACED = 100_000;

/** What systems' cases are combined from; no list has an entry twice. */
export interface SystemDimensions {
  /** At least one. The others are compared with the first that has their direction. */
  systems: readonly SystemRecord[];
  /** What the results call them: a driver stands at a NIC, behind each of the backends. */
  as: "systems" | "drivers";
  /** Whether what can't be run as asked is left out and named, instead of refused. */
  leaveOut: boolean;
  /** Backends; empty: each system's own. Who hands out physical addresses stays with that. */
  dmas: readonly DmaBackend[];
  directions: readonly Direction[];
  /** Receive buffers; empty: each system's own. */
  rxKinds: readonly RxKind[];
  holds: readonly Hold[];
  /** In which order consumers drop what they hold. */
  drop: "in-order" | "random";
  /** Whether a guest kernel's socket copies payloads too, where no application has buffers of its own. */
  socket: boolean;
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
  /** The id of the case that every other is compared with; default: the first system's beside each. */
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
  /** Null for the system's own. */
  dma: DmaBackend | null;
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
  /** Null for the system's own. */
  kind: RxKind | null;
}

type Settings = TxSettings | RxSettings;

/** One case before it is run; its id is `vhost-net/rx`, or `i40e/direct/rx` with backends, and what else has several values. */
export interface SystemArm extends Arm {
  record: SystemRecord;
  /** What it is compared as. */
  as: SystemDimensions["as"];
  settings: Settings;
  dma: DmaBackend;
  drop: "in-order" | "random";
  socket: boolean;
}

/**
 * All cases, those that transmit first, and those with the same baseline next to each other.
 * @throws CompareInputError for a value that no case can have, a combination that cannot be run, and a
 * baseline that is no case.
 */
export function planSystemArms(traffics: readonly Traffic[], dimensions: SystemDimensions): SystemArm[] {
  checkValues(traffics, dimensions);
  const settings = [...txSettings(traffics, dimensions), ...rxSettings(traffics, dimensions)];
  const nameOf = naming(traffics, dimensions);
  const { systems, baseline } = dimensions;
  const arms = settings.flatMap((one) => {
    const able = systems.filter((record) => directionsOf(record).includes(one.direction));
    return able.map((record) => planArm(one, record, able[0], nameOf, dimensions));
  });
  // Backends make no difference to who hands out physical addresses.
  const distinct = [...new Map(arms.map((arm) => [arm.id, arm])).values()];
  return baseline === undefined ? distinct : withBaseline(distinct, baseline);
}

function planArm(
  settings: Settings,
  record: SystemRecord,
  first: SystemRecord,
  nameOf: Naming,
  { as, drop, socket }: SystemDimensions,
): SystemArm {
  const { traffic } = settings;
  return {
    id: nameOf(settings, record),
    traffic,
    frame: frameOf(traffic),
    baseline: nameOf(settings, first),
    notes: notesFor(settings, record, as),
    record,
    as,
    settings,
    dma: backendOf(settings, record),
    drop,
    socket: socket && record.application.kind === "none",
  };
}

function backendOf({ dma }: Settings, record: SystemRecord): DmaBackend {
  return record.accessPlatform && dma !== null ? dma : record.dma;
}

/** The dimensions under the names that they have on the command line. */
export function nameSystemDimensions(dimensions: SystemDimensions): Record<string, unknown> {
  const { as, dmas, rxKinds, traceOps } = dimensions;
  const own = `each ${as.slice(0, -1)}'s own`;
  return {
    [as]: dimensions.systems.map(({ name }) => name),
    dma: dmas.length === 0 ? own : dmas,
    direction: dimensions.directions,
    rx: rxKinds.length === 0 ? own : rxKinds,
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
    ...(dimensions.socket ? { socket: true } : {}),
    ...(traceOps === 0 ? {} : { "trace-ops": traceOps }),
  };
}

/** What both directions are combined from. */
function commonLists(traffics: readonly Traffic[], dimensions: SystemDimensions) {
  return {
    traffic: traffics,
    ringSize: dimensions.ringSizes,
    batch: dimensions.batches,
    touch: dimensions.touches,
    ring: dimensions.rings,
    queues: dimensions.queueCounts,
    dma: dimensions.dmas.length === 0 ? [null] : dimensions.dmas,
  };
}

function txSettings(traffics: readonly Traffic[], dimensions: SystemDimensions): TxSettings[] {
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

function rxSettings(traffics: readonly Traffic[], dimensions: SystemDimensions): RxSettings[] {
  const { directions, holds, rxKinds } = dimensions;
  const direction = directions.filter((way) => way === "rx");
  const kind = rxKinds.length === 0 ? [null] : rxKinds;
  return product<RxSettings>({ direction, ...commonLists(traffics, dimensions), hold: holds, kind });
}

function notesFor(
  settings: Settings,
  { name, rx, indirect, dma }: SystemRecord,
  as: SystemDimensions["as"],
): string[] {
  const notes: string[] = [];
  if (settings.dma === null && dma !== "direct") notes.push(`${name} is behind ${dma}`);
  if (settings.direction === "tx" && !indirect) notes.push(`${name} takes no indirect tables`);
  // What else a system is made of stands in the list of systems.
  if (settings.direction === "rx" && settings.kind === null && as === "drivers")
    notes.push(`the driver's own receive buffers: ${rx.kind}`);
  return notes;
}

type Naming = (settings: Settings, record: SystemRecord) => string;

/** Ids name system, direction, and backend if one was asked for, and of the rest what has several values in that direction. */
function naming(traffics: readonly Traffic[], dimensions: SystemDimensions): Naming {
  const { rxKinds, holds, queueCounts, rings, sgs, tables, batches, ringSizes, thresholds, touches } =
    dimensions;
  return (settings, record) => {
    const backend = settings.dma === null ? [] : [backendOf(settings, record)];
    const parts = [record.name, ...backend, settings.direction];
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

function checkValues(traffics: readonly Traffic[], dimensions: SystemDimensions): void {
  const { systems, directions, holds, queueCounts, rings, tables, sgs, batches, ringSizes } = dimensions;
  const { thresholds, touches } = dimensions;
  checkNotEmpty({ traffics, systems, directions, holds, queueCounts, rings, tables, sgs, batches });
  checkNotEmpty({ ringSizes, thresholds, touches });
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
