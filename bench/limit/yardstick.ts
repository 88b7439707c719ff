/** Whether the C twin is no strawman: built without its further checks, it keeps up with an independent ring. */
import { spawnSync } from "node:child_process";
import { median } from "simple-statistics";
import type { RingFormat, TableSource } from "../../src/names.ts";
import { Twin } from "./native.ts";

/** The yardstick's names: mode 0 is direct, 2 a free list, 3 a table for each slot. */
const MODES: Record<string, TableSource> = { m0: "direct", m2: "freelist", m3: "slot" };
const TURNS = 2;
const TWIN_ROUNDS = 11;
const TWIN_PASSES = 300;
const WITHIN = 1.05;

interface Case {
  format: RingFormat;
  tables: TableSource;
  n: number;
  ns: number;
}

/** Compares medians of the two programs, which run in turn. */
export async function yardstickLines(bare: string, yardstick: string | null): Promise<string[]> {
  if (yardstick === null)
    return ["yardstick: ../shared/native-ring/ring.c is not there, so the C twin is not checked"];
  const twin = new Twin(bare);
  const times = new Map<string, number[]>();
  for (let turn = 0; turn < TURNS; turn++) {
    for (const theirs of runYardstick(yardstick)) {
      const ours: number[] = [];
      for (let round = 0; round < TWIN_ROUNDS; round++) {
        ours.push(await twin.round(theirs.format, theirs.tables, theirs.n, TWIN_PASSES));
      }
      const name = `${theirs.format} ${theirs.tables} N=${theirs.n}`;
      times.set(name, [...(times.get(name) ?? []), median(ours) / theirs.ns]);
    }
  }
  twin.close();
  const ratios = [...times].map(([name, list]) => ({ name, ratio: median(list) }));
  const slow = ratios.filter(({ ratio }) => ratio > WITHIN);
  const worst = ratios.reduce((a, b) => (b.ratio > a.ratio ? b : a));
  const verdict =
    slow.length === 0
      ? "within 5 % everywhere"
      : `more than 5 % slower at ${slow.map(({ name, ratio }) => `${name} (${ratio.toFixed(2)})`).join(", ")}`;
  return [
    `C twin, bare build, against the yardstick: worst ${worst.ratio.toFixed(2)} times at ${worst.name}, ${verdict}`,
  ];
}

/** Runs the yardstick once; its lines are `<path> split m2  batch 32 N=1,2,3,4:  9.6/9.7  12.6/12.9 ...`. */
function runYardstick(program: string): Case[] {
  const { stdout } = spawnSync(program, { encoding: "utf8" });
  const cases: Case[] = [];
  for (const line of stdout.split("\n")) {
    const found = /(split|packed) +(m\d) +batch 32 N=1,2,3,4: +(.*)$/.exec(line);
    if (found === null) continue;
    const [, format, mode, figures] = found;
    for (const [i, pair] of figures.trim().split(/ +/).entries()) {
      const ns = Number(pair.split("/")[1]);
      cases.push({ format: format as RingFormat, tables: MODES[mode], n: i + 1, ns });
    }
  }
  if (cases.length === 0) throw new Error(`the yardstick printed no figures:\n${stdout}`);
  return cases;
}
