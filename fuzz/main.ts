/** npm run fuzz: see README.md in this folder. */
import { existsSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { fromHex } from "./bytes.ts";
import { type Found, Fuzzer, TARGETS } from "./fuzzer.ts";
import { caseFile, keepCase, keptCases } from "./kept.ts";
import type { Target } from "./target.ts";

interface Options {
  targets: readonly Target[];
  seconds: number;
  cases: number;
  seed: number;
  replay: string | null;
  keep: boolean;
}

class UsageError extends Error {}

function options(args: string[]): Options | "list" {
  const { values } = parseArgs({
    args,
    options: {
      target: { type: "string", default: "all" },
      seconds: { type: "string" },
      cases: { type: "string" },
      seed: { type: "string", default: "1" },
      replay: { type: "string" },
      list: { type: "boolean", default: false },
      "no-save": { type: "boolean", default: false },
    },
  });
  if (values.list) return "list";
  const named = TARGETS.filter(({ name }) => values.target === "all" || name === values.target);
  if (named.length === 0) {
    throw new UsageError(
      `no target "${values.target}"; there are all, ${TARGETS.map(({ name }) => name).join(", ")}`,
    );
  }
  if (values.replay !== undefined && named.length !== 1) throw new UsageError("--replay needs one --target");
  if (values.replay !== undefined && !existsSync(values.replay)) {
    throw new UsageError(`--replay: there is no file ${values.replay}`);
  }
  return {
    targets: named,
    cases: values.cases === undefined ? Number.POSITIVE_INFINITY : whole("cases", values.cases, 1, 1e12),
    seconds: whole("seconds", values.seconds ?? (values.cases === undefined ? "10" : "1000000"), 1, 1e6),
    seed: whole("seed", values.seed, 0, 2 ** 31 - 1),
    replay: values.replay ?? null,
    keep: !values["no-save"],
  };
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new UsageError(`--${name} is "${text}", but must be a whole number from ${least} to ${most}`);
}

async function fuzz(target: Target, module: WebAssembly.Module, given: Options): Promise<boolean> {
  const seeds = keptCases(target.name).map(({ bytes }) => bytes);
  const fuzzer = await Fuzzer.create(target, module, given.seed, seeds);
  const start = performance.now();
  const end = start + 1000 * given.seconds;
  const found = fuzzer.run({ cases: given.cases, until: () => performance.now() >= end });
  const seconds = (performance.now() - start) / 1000;
  console.log(
    `${target.name}: ${fuzzer.cases} cases in ${seconds.toFixed(1)} s, ${Math.round(fuzzer.cases / seconds)} a second, ` +
      `seed ${given.seed}, ${fuzzer.kept} kept, ${fuzzer.combinations} combinations`,
  );
  for (const name of target.outcomes)
    console.log(`  ${String(fuzzer.outcomes.get(name) ?? 0).padStart(9)}  ${name}`);
  if (found !== null) tell(target, found, given);
  return found === null;
}

function tell(target: Target, found: Found, given: Options): void {
  console.log(`${target.name}: a rule does not hold, with seed ${given.seed}:`);
  for (const line of found.words) console.log(`  ${line}`);
  console.log(`  ${found.message}`);
  if (!given.keep) return;
  keepCase(target.name, found, `${target.name}, seed ${given.seed}: ${found.message}`);
  console.log(
    `replay: npm run fuzz -- --target ${target.name} --replay ${caseFile(target.name, found.bytes)}`,
  );
}

async function replay(target: Target, module: WebAssembly.Module, file: string): Promise<boolean> {
  const fuzzer = await Fuzzer.create(target, module, 0);
  let bytes: Uint8Array;
  try {
    bytes = fromHex(readFileSync(file, "utf8"));
  } catch (error) {
    throw new UsageError(`--replay: ${file}: ${(error as Error).message}`);
  }
  const { words, message } = fuzzer.describe(bytes);
  for (const line of words) console.log(line);
  console.log(message ?? "every rule holds");
  return message === null;
}

/** The exit code: 0, 1 when a rule does not hold, 2 when the command line says nothing that makes sense. */
export async function main(args: string[]): Promise<number> {
  try {
    const given = options(args);
    if (given === "list") {
      for (const { name } of TARGETS) console.log(name);
      return 0;
    }
    const module = await WebAssembly.compile(readFileSync("build/vring.wasm"));
    let sound = true;
    for (const target of given.targets) {
      const run = given.replay === null ? fuzz(target, module, given) : replay(target, module, given.replay);
      if (!(await run)) sound = false;
    }
    return sound ? 0 : 1;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (!(error instanceof UsageError) && !code?.startsWith("ERR_PARSE_ARGS")) throw error;
    console.error(`fuzz: ${message}`);
    return 2;
  }
}
