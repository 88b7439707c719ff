/** The options of `vring compare` that go with `--drivers` and `--systems`, and which of the others then make sense. */

import { DEFAULT_MTU, LEAST_MTU, MOST_MTU } from "../compare/mtu.ts";
import { type Hold, MOST_HELD, MOST_TRACED, type SystemDimensions } from "../compare/system-arms.ts";
import { DMA_BACKENDS, type DmaBackend } from "../names.ts";
import { QUEUE_COUNTS } from "../net/flows.ts";
import {
  DIRECTIONS,
  type Direction,
  directionsOf,
  isDriver,
  RX_KINDS,
  type RxKind,
  SYSTEM_RECORDS,
  type SystemRecord,
  systemsNamed,
} from "../system/records.ts";
import type { AddOption, CompareFlags } from "./compare-options.ts";
import { UsageError } from "./errors.ts";
import { readSystems } from "./system-files.ts";
import { anything, integer, list, name, nameOr, oneOf } from "./values.ts";

export interface SystemFlags {
  drivers?: string[];
  systems?: string[];
  systemFile?: string[];
  dma: DmaBackend[];
  rx?: RxKind[];
  hold: Hold[];
  drop: (typeof DROPS)[number];
  queues: number[];
  direction: Direction | "both";
  traceOps?: number;
  mtu?: number;
  offloads?: (typeof SWITCH)[number];
  socket?: boolean;
}

/** What `--drivers` or `--systems` names. */
export type Compared = Pick<SystemDimensions, "systems" | "as" | "leaveOut">;

const DRIVERS = Object.values(SYSTEM_RECORDS)
  .filter(isDriver)
  .map((record) => record.name);
const BACKENDS = Object.keys(DMA_BACKENDS) as DmaBackend[];
const DROPS = ["in-order", "random"] as const;
const SWITCH = ["on", "off"] as const;
/** Every system, compared with this one unless others are named before. */
const ALL = "all";
const USUAL_BASELINE = "vhost-net";

/** What the options that every comparison has are when nothing else is said. */
const DEFAULTS = {
  drivers: { ring: ["split"], tables: ["heap"], sg: [2], touch: ["copy"] },
  // The wire's DMA is not the CPU's work, and each system has its backend.
  systems: {
    ...{ ring: ["split"], tables: ["freelist"], sg: [2], touch: ["none"], dma: [] },
    ...{ mtu: DEFAULT_MTU, offloads: "on" },
  },
} as const;

/** With the defaults and three drivers the whole takes about a minute: 24 cases, 21 rounds of 0.1 s. */
export function addSystemOptions(add: AddOption): void {
  const held = list(nameOr(ALL, integer(0, MOST_HELD)));
  add("--drivers <list>", `compare buffer policies of drivers: ${DRIVERS.join(", ")}`, list(name(DRIVERS)));
  add("--systems <list>", "compare whole systems, by names that vring systems lists; or all", list(anything));
  add(
    "--dma <list>",
    "DMA backends (this and the next go with --drivers and --systems); default of --systems: each system's own",
    list(name(BACKENDS)),
    BACKENDS,
  );
  const kinds = RX_KINDS.join(", ");
  add("--rx <list>", `receive buffers: ${kinds}; default: each system's own`, list(name(RX_KINDS)));
  add("--hold <list>", "packets that a consumer holds back; or all, until the end of a pass", held, [0]);
  add("--drop <order>", `in which order it drops them: ${DROPS.join(", ")}`, name(DROPS), "in-order");
  add("--queues <list>", "queue pairs that flows are spread over", list(oneOf(QUEUE_COUNTS)), [1]);
  add("--direction <way>", "tx, rx or both", name([...DIRECTIONS, "both"] as const), "both");
  add("--mtu <bytes>", "most bytes of a packet; default: 1500", integer(LEAST_MTU, MOST_MTU));
  add(
    "--offloads <switch>",
    "on: longer frames pass whole, as with segmentation and coalescing by NICs; off: software cuts them",
    name(SWITCH),
  );
  add("--trace-ops <n>", "record and print the first operations of each case", integer(1, MOST_TRACED));
}

/** Options by their names in {@link CompareFlags}, and what to call them. */
type Options = Partial<Record<keyof CompareFlags, string>>;
type Given = (option: keyof CompareFlags) => boolean;

const WITH_SYSTEMS: Options = {
  dma: "--dma",
  rx: "--rx",
  hold: "--hold",
  drop: "--drop",
  queues: "--queues",
  direction: "--direction",
  traceOps: "--trace-ops",
  systemFile: "--system-file",
  mtu: "--mtu",
  offloads: "--offloads",
  socket: "--socket",
};
const ABOUT_RECEIVE: Options = { rx: "--rx", hold: "--hold", drop: "--drop" };
const ABOUT_TRANSMIT: Options = { sg: "--sg", tables: "--tables", threshold: "--threshold" };

/**
 * The flags with the defaults of the comparison that they ask for, and what they name.
 * @param given whether an option stands on the command line
 * @throws UsageError for options that contradict each other
 */
export function settleFlags(flags: CompareFlags, given: Given): { flags: CompareFlags; compared?: Compared } {
  const first = (options: Options) =>
    Object.entries(options).find(([option]) => given(option as keyof CompareFlags))?.[1];
  const compared = comparedOf(flags);
  if (compared === undefined) {
    const lonely = first(WITH_SYSTEMS);
    if (lonely === undefined) return { flags };
    throw new UsageError(`${lonely} goes with --drivers or --systems; name some too, or leave it out`);
  }
  const settled = { ...flags };
  for (const [option, value] of Object.entries(DEFAULTS[compared.as])) {
    if (!given(option as keyof CompareFlags)) Object.assign(settled, { [option]: structuredClone(value) });
  }
  const wrong = contradiction(settled, compared, given, first);
  if (wrong !== undefined) throw new UsageError(wrong);
  return { flags: settled, compared };
}

function comparedOf({ drivers, systems, systemFile }: CompareFlags): Compared | undefined {
  if (drivers !== undefined && systems !== undefined) {
    throw new UsageError("--drivers and --systems exclude each other; every driver is a system too");
  }
  if (systemFile !== undefined && systems === undefined) {
    throw new UsageError("--system-file goes with --systems; name what to compare it with, or leave it out");
  }
  if (drivers !== undefined) return { systems: systemsNamed(...drivers), as: "drivers", leaveOut: false };
  if (systems === undefined) return undefined;
  const own = readSystems(systemFile ?? []);
  const known = new Map([...Object.values(SYSTEM_RECORDS), ...own].map((record) => [record.name, record]));
  const named = systems.filter((one) => one !== ALL).map((one) => recordOf(one, known));
  const isAll = systems.includes(ALL);
  const start = isAll && named.length === 0 ? [recordOf(USUAL_BASELINE, known)] : named;
  const every = new Set([...start, ...(isAll ? known.values() : own)]);
  return { systems: [...every], as: "systems", leaveOut: isAll };
}

function recordOf(name: string, known: ReadonlyMap<string, SystemRecord>): SystemRecord {
  const found = known.get(name);
  if (found !== undefined) return found;
  throw new UsageError(
    `--systems: ${JSON.stringify(name)} is not possible; ${[ALL, ...known.keys()].join(", ")} are`,
  );
}

function contradiction(
  { direction, tables, sg, hold, drop }: CompareFlags,
  { systems, as, leaveOut }: Compared,
  given: Given,
  first: (options: Options) => string | undefined,
): string | undefined {
  const named = systems.map((record) => record.name).join(", ");
  const receiving = first(ABOUT_RECEIVE);
  if (direction === "tx" && receiving !== undefined)
    return `${receiving} is about receiving, but --direction tx only transmits; leave one of them out`;
  const transmitting = first(ABOUT_TRANSMIT);
  if (direction === "rx" && transmitting !== undefined)
    return `${transmitting} is about transmitting, but --direction rx only receives; leave one of them out`;
  const unable = leaveOut ? [] : systems.filter((record) => !isAble(record, direction));
  if (unable.length > 0)
    return `--direction ${direction}: ${unable[0].name} is about the other direction only; leave one of them out`;
  const askedTables = first({ tables: "--tables", threshold: "--threshold" });
  if (askedTables !== undefined && systems.every(({ indirect }) => !indirect))
    return `${askedTables}: ${named} take no indirect tables; add a ${as.slice(0, -1)} that does, or leave it out`;
  if (askedTables !== undefined && sg.every((elements) => elements === 1))
    return `${askedTables}: a driver takes a table for two and more sgs; give --sg 2 or more, or leave it out`;
  if (given("threshold") && tables.every((source) => source === "heap" || source === "direct"))
    return "--threshold is about cached tables; give --tables freelist or another cache, or leave it out";
  if (given("dma") && systems.every(({ accessPlatform }) => !accessPlatform))
    return `--dma: ${named} hand out physical addresses and map nothing; add a system that maps, or leave it out`;
  if (drop === "random" && hold.every((packets) => packets === 0))
    return "--drop random needs packets that are held back; give --hold, or leave it out";
  if (given("align")) return `--align goes without --${as}, whose receive buffers lie in pages; leave it out`;
  return undefined;
}

function isAble(record: SystemRecord, direction: Direction | "both"): boolean {
  return direction === "both" || directionsOf(record).includes(direction);
}
