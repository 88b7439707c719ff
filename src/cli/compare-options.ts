/** The options of `vring compare`: names, defaults, and what values they take. */
import { type Command, Option } from "commander";
import { MAX_THRESHOLD } from "../../assembly/abi.ts";
import { VIRTQ_MAX_SIZE } from "../../assembly/spec.ts";
import { TOUCHES, type Touch } from "../compare/arms.ts";
import { RING_FORMATS, type RingFormat, TABLE_SOURCES, type TableSource } from "../names.ts";
import { MAX_FRAME_BYTES, MIN_FRAME_BYTES } from "../net/traffic.ts";
import { addSystemOptions, type SystemFlags } from "./system-options.ts";
import { anything, integer, list, name, nameOr, type Parser } from "./values.ts";

export interface CompareFlags extends SystemFlags {
  ring: RingFormat[];
  tables: TableSource[];
  sg: number[];
  frames?: (number | "imix")[];
  pcap?: string;
  batch: number[];
  ringSize: number[];
  threshold: number[];
  touch: Touch[];
  rounds: number;
  time: number;
  baseline?: string;
  align?: boolean;
  memory?: number;
  seed: number;
  lenient?: boolean;
  quiet?: boolean;
  json?: string;
  html?: string;
}

const SOURCES = Object.keys(TABLE_SOURCES) as TableSource[];
/** The uncached arm first, because the others are compared with it, and the arm without tables last. */
const DEFAULT_SOURCES: TableSource[] = ["heap", "freelist", "grow", "slot", "per-node", "direct"];

/** Generous; far above them a run would take years, and a number would lose digits. */
const MOST_ROUNDS = 1_000_000;
const MOST_MS = 86_400_000;

const ringSizes = list(integer(1, VIRTQ_MAX_SIZE));

/** Adds an option whose value is parsed, with its default if it has one. */
export type AddOption = <T>(flags: string, description: string, parse: Parser<T>, value?: T) => void;

/** Adds an option that may be given several times; its value is the list of theirs. */
export function addRepeated(command: Command, flags: string, description: string): Command {
  return command.addOption(
    new Option(flags, description).argParser((text, before: string[] = []) => [...before, text]),
  );
}

/** With the defaults the whole takes about a minute on two slow cores: 24 cases, 21 rounds of 0.1 s. */
export function addCompareOptions(command: Command): Command {
  const add: AddOption = (flags, description, parse, value) => {
    const option = new Option(flags, description).argParser((text) => parse(text, flags.split(" ")[0]));
    command.addOption(value === undefined ? option : option.default(value, String(value)));
  };
  const frames = nameOr("imix", integer(MIN_FRAME_BYTES, MAX_FRAME_BYTES));
  add("--ring <list>", "ring formats", list(name(RING_FORMATS)), [...RING_FORMATS]);
  add("--tables <list>", "where indirect tables come from", list(name(SOURCES)), DEFAULT_SOURCES);
  add("--sg <list>", "scatter-gather entries per packet", ringSizes, [2, 4]);
  add("--frames <list>", "generate frames of so many bytes, without FCS; or imix", list(frames));
  add("--pcap <file>", "replay this capture; default: captures/web.pcapng of the package", anything);
  add("--batch <list>", "packets of a burst", ringSizes, [32]);
  add("--ring-size <list>", "entries of the ring", ringSizes, [256]);
  add("--threshold <list>", "most sgs that a cached table holds", list(integer(0, MAX_THRESHOLD)), [4]);
  add("--touch <list>", `what the device does to the payload: ${TOUCHES.join(", ")}`, list(name(TOUCHES)), [
    "none",
  ]);
  addSystemOptions(add);
  add("--rounds <n>", "rounds, in each of which every case is timed once", integer(1, MOST_ROUNDS), 21);
  add("--time <ms>", "milliseconds for each case and round", integer(1, MOST_MS), 100);
  add("--baseline <id>", "compare every case with this one; default: the heap case beside it", anything);
  add("--memory <bytes>", "memory of each case; default: what it needs", integer(1, 2 ** 32));
  add("--seed <n>", "seed of generated frames", integer(0, 2 ** 32 - 1), 1);
  add("--json <file>", "write the result as JSON, also what is complete when interrupted", anything);
  add("--html <file>", "write the result as a page with charts, also when interrupted", anything);
  addRepeated(
    command,
    "--system-file <file>",
    "a record of your own, compared beside the others; repeatable",
  );
  return command
    .option("--align", "start every buffer at a 4 KiB boundary, which aliases in the cache")
    .option("--socket", "let a guest kernel's socket copy payloads too, counted apart (with --systems)")
    .option("--lenient", "use what is whole of a capture that ends too early")
    .option("--quiet", "show no progress");
}
