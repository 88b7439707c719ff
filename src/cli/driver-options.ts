/** The options of `vring compare` that go with `--drivers`, and which of the others then make sense. */
import { DIRECTIONS, type Direction, type Hold, MOST_HELD, MOST_TRACED } from "../compare/driver-arms.ts";
import { DMA_BACKENDS, type DmaBackend } from "../names.ts";
import { QUEUE_COUNTS } from "../net/flows.ts";
import { DRIVER_RECORDS, RX_KINDS, type RxKind } from "../system/records.ts";
import type { AddOption, CompareFlags } from "./compare-options.ts";
import { UsageError } from "./errors.ts";
import { integer, list, name, nameOr, oneOf } from "./values.ts";

export interface DriverFlags {
  drivers?: string[];
  dma: DmaBackend[];
  rx?: RxKind[];
  hold: Hold[];
  drop: (typeof DROPS)[number];
  queues: number[];
  direction: Direction | "both";
  traceOps?: number;
}

const DRIVERS = Object.keys(DRIVER_RECORDS);
const BACKENDS = Object.keys(DMA_BACKENDS) as DmaBackend[];
const DROPS = ["in-order", "random"] as const;

/** What the options that every comparison has are when drivers are compared and nothing else is said. */
const DEFAULTS = { ring: ["split"], tables: ["heap"], sg: [2], touch: ["copy"] } as const;

/** With the defaults and three drivers the whole takes about a minute: 24 cases, 21 rounds of 0.1 s. */
export function addDriverOptions(add: AddOption): void {
  const held = list(nameOr("all", integer(0, MOST_HELD)));
  add("--drivers <list>", `compare buffer policies of drivers: ${DRIVERS.join(", ")}`, list(name(DRIVERS)));
  add("--dma <list>", "DMA backends (this and the next go with --drivers)", list(name(BACKENDS)), BACKENDS);
  const kinds = RX_KINDS.join(", ");
  add("--rx <list>", `receive buffers: ${kinds}; default: each driver's own`, list(name(RX_KINDS)));
  add("--hold <list>", "packets that a consumer holds back; or all, until the end of a pass", held, [0]);
  add("--drop <order>", `in which order it drops them: ${DROPS.join(", ")}`, name(DROPS), "in-order");
  add("--queues <list>", "queue pairs that flows are spread over", list(oneOf(QUEUE_COUNTS)), [1]);
  add("--direction <way>", "tx, rx or both", name([...DIRECTIONS, "both"] as const), "both");
  add("--trace-ops <n>", "record and print the first operations of each case", integer(1, MOST_TRACED));
}

/** Options by their names in {@link CompareFlags}, and what to call them. */
type Options = Partial<Record<keyof CompareFlags, string>>;

const WITH_DRIVERS: Options = {
  dma: "--dma",
  rx: "--rx",
  hold: "--hold",
  drop: "--drop",
  queues: "--queues",
  direction: "--direction",
  traceOps: "--trace-ops",
};
const ABOUT_RECEIVE: Options = { rx: "--rx", hold: "--hold", drop: "--drop" };
const ABOUT_TRANSMIT: Options = { sg: "--sg", tables: "--tables", threshold: "--threshold" };

/**
 * The flags with the defaults of the comparison that they ask for.
 * @param given whether an option stands on the command line
 * @throws UsageError for options that contradict each other
 */
export function settleFlags(
  flags: CompareFlags,
  given: (option: keyof CompareFlags) => boolean,
): CompareFlags {
  const first = (options: Options) =>
    Object.entries(options).find(([option]) => given(option as keyof CompareFlags))?.[1];
  const { drivers } = flags;
  if (drivers === undefined) {
    const lonely = first(WITH_DRIVERS);
    if (lonely === undefined) return flags;
    throw new UsageError(`${lonely} goes with --drivers; name drivers too, or leave it out`);
  }
  const settled = { ...flags };
  for (const [option, value] of Object.entries(DEFAULTS)) {
    if (!given(option as keyof CompareFlags)) Object.assign(settled, { [option]: [...value] });
  }
  const wrong = contradiction(settled, drivers, given, first);
  if (wrong !== undefined) throw new UsageError(wrong);
  return settled;
}

function contradiction(
  { direction, tables, sg, hold, drop }: CompareFlags,
  drivers: string[],
  given: (option: keyof CompareFlags) => boolean,
  first: (options: Options) => string | undefined,
): string | undefined {
  const receiving = first(ABOUT_RECEIVE);
  if (direction === "tx" && receiving !== undefined)
    return `${receiving} is about receiving, but --direction tx only transmits; leave one of them out`;
  const transmitting = first(ABOUT_TRANSMIT);
  if (direction === "rx" && transmitting !== undefined)
    return `${transmitting} is about transmitting, but --direction rx only receives; leave one of them out`;
  const askedTables = first({ tables: "--tables", threshold: "--threshold" });
  if (askedTables !== undefined && drivers.every((driver) => !DRIVER_RECORDS[driver].indirect))
    return `${askedTables}: ${drivers.join(", ")} take no indirect tables; add a driver that does, or leave it out`;
  if (askedTables !== undefined && sg.every((elements) => elements === 1))
    return `${askedTables}: a driver takes a table for two and more sgs; give --sg 2 or more, or leave it out`;
  if (given("threshold") && tables.every((source) => source === "heap" || source === "direct"))
    return "--threshold is about cached tables; give --tables freelist or another cache, or leave it out";
  if (drop === "random" && hold.every((packets) => packets === 0))
    return "--drop random needs packets that are held back; give --hold, or leave it out";
  if (given("align"))
    return "--align goes without --drivers, whose receive buffers lie in pages; leave it out";
  return undefined;
}
