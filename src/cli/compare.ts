/** `vring compare`: runs the comparison that the options ask for, shows and writes what came out. */
import { realpathSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { atMtu, DEFAULT_MTU } from "../compare/mtu.ts";
import { toJson } from "../compare/report/json.ts";
import { toTable } from "../compare/report/table.ts";
import type { Comparison } from "../compare/result.ts";
import { type CompareOptions, compare } from "../compare/runner.ts";
import type { Traffic } from "../net/traffic.ts";
import { DIRECTIONS } from "../system/records.ts";
import type { CompareFlags } from "./compare-options.ts";
import { type Context, EXIT } from "./context.ts";
import { UsageError } from "./errors.ts";
import { checkWritable, OutputFileError, writeWhole } from "./files.ts";
import { createProgress, type Progress } from "./progress.ts";
import type { Compared } from "./system-options.ts";
import { openTraffic } from "./traffic.ts";

/**
 * The exit code: that of a whole or an interrupted run, or that of a report that could not be written.
 * @throws UsageError, OutputFileError, CaptureError, CompareInputError, CompareFailure
 */
export async function runCompare(
  flags: CompareFlags,
  compared: Compared | undefined,
  context: Context,
): Promise<number> {
  const { stdout, stderr, signal, module, tamper } = context;
  checkDistinct({ "--json": flags.json, "--html": flags.html, "--pcap": flags.pcap });
  for (const path of [flags.json, flags.html]) if (path !== undefined) await checkWritable(path);
  const { traffics, warnings } = await openTraffic({ ...flags, lenient: flags.lenient ?? false });
  for (const warning of warnings) stderr.write(`vring: ${warning}\n`);
  const passing = await Promise.all(traffics.map((traffic) => throughMtu(traffic, flags, module)));

  let progress: Progress | undefined;
  let comparison: Comparison;
  try {
    comparison = await compare(
      passing,
      toOptions(flags, compared),
      { machine: machine(), module },
      {
        signal,
        tamper,
        onStart: (total) => {
          progress = createProgress({ total, quiet: flags.quiet ?? false, stream: stderr });
        },
        onStep: (label) => progress?.step(label),
      },
    );
  } finally {
    progress?.stop();
  }
  comparison.options = { ...source(flags), ...comparison.options };
  stdout.write(toTable(comparison, { color: context.color }));
  return writeReports(flags, comparison, context);
}

/** Writes the files and names them. A comparison without a single result replaces nothing. */
async function writeReports(
  flags: CompareFlags,
  comparison: Comparison,
  { stdout, stderr }: Context,
): Promise<number> {
  let code: number = comparison.complete ? EXIT.ok : EXIT.interrupted;
  if (comparison.cases.length === 0) return code;
  const reports: [string | undefined, () => Promise<string>][] = [
    [flags.json, async () => toJson(comparison)],
    // The page needs a DOM and a plotting library, which are only loaded for it.
    [flags.html, async () => (await import("../compare/report/html.ts")).toHtml(comparison)],
  ];
  const written: string[] = [];
  for (const [path, content] of reports) {
    if (path === undefined) continue;
    try {
      await writeWhole(path, await content());
      written.push(path);
    } catch (error) {
      if (!(error instanceof OutputFileError)) throw error;
      stderr.write(`vring: ${error.message}\n`);
      code = EXIT.badInput;
    }
  }
  if (written.length > 0) stdout.write(`\nWritten: ${written.join(", ")}\n`);
  return code;
}

function toOptions(flags: CompareFlags, compared: Compared | undefined): CompareOptions {
  const run = {
    rounds: flags.rounds,
    timeMs: flags.time,
    align: flags.align ?? false,
    memoryBytes: flags.memory,
  };
  const rings = {
    rings: flags.ring,
    tables: flags.tables,
    sgs: flags.sg,
    batches: flags.batch,
    ringSizes: flags.ringSize,
    thresholds: flags.threshold,
    touches: flags.touch,
    baseline: flags.baseline,
  };
  if (compared === undefined) return { ...run, ...rings };
  return {
    ...run,
    ...rings,
    ...compared,
    dmas: flags.dma,
    directions: flags.direction === "both" ? DIRECTIONS : [flags.direction],
    rxKinds: flags.rx ?? [],
    holds: flags.hold,
    drop: flags.drop,
    socket: flags.socket ?? false,
    queueCounts: flags.queues,
    traceOps: flags.traceOps ?? 0,
  };
}

/** What goes through of the traffic, where an MTU or offloads were asked for. */
async function throughMtu(
  traffic: Traffic,
  { mtu, offloads }: CompareFlags,
  module: Context["module"],
): Promise<Traffic> {
  if (mtu === undefined && offloads === undefined) return traffic;
  return atMtu(traffic, { mtu: mtu ?? DEFAULT_MTU, offloads: offloads !== "off", module });
}

/** Where the packets came from, for the record, and what they went through. */
function source({ frames, seed, pcap, lenient, mtu, offloads }: CompareFlags): Record<string, unknown> {
  return {
    ...(frames === undefined ? {} : { frames, seed }),
    ...(pcap === undefined ? {} : { pcap, lenient: lenient ?? false }),
    ...(mtu === undefined ? {} : { mtu }),
    ...(offloads === undefined ? {} : { offloads }),
  };
}

function machine(): { node: string; v8: string; cpu: string; cores: number } {
  const cores = cpus();
  return {
    node: process.version,
    v8: process.versions.v8,
    cpu: cores.length > 0 ? cores[0].model.trim() : process.arch,
    cores: availableParallelism(),
  };
}

/** @throws UsageError when two options name one file, of which only one could survive. */
function checkDistinct(paths: Record<string, string | undefined>): void {
  const seen = new Map<string, string>();
  for (const [option, path] of Object.entries(paths)) {
    if (path === undefined) continue;
    const real = realPath(path);
    const other = seen.get(real);
    if (other !== undefined) throw new UsageError(`${other} and ${option} both name ${path}; give two files`);
    seen.set(real, option);
  }
}

/** The path without links, as far as it is there already. */
function realPath(path: string): string {
  const full = resolve(path);
  for (const [folder, rest] of [
    [full, ""],
    [dirname(full), basename(full)],
  ]) {
    try {
      return join(realpathSync(folder), rest);
    } catch {}
  }
  return full;
}
