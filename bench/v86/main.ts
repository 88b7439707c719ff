/** `npm run bench:v86`: our card in v86 beside v86's own, interleaved (A B B A), each ratio with a 95 % interval. */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { type Interval, pairedRatio, summarize } from "../../src/compare/statistics.ts";
import { type Guests, type Nic, openPairs, openSingle } from "./guests.ts";
import { openQueue } from "./queues.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "11" },
    packets: { type: "string", default: "50000" },
    "queues-only": { type: "boolean", default: false },
    "no-tcp": { type: "boolean", default: false },
  },
});
const rounds = Number(options.rounds);
/** Bursts of a round at the queue alone: some milliseconds. */
const BURSTS = 500;
/** Rounds before those that count: the emulator translates what the guest runs often, and V8 that again. */
const WARM_UP = 3;

console.log(`Node ${process.version}, ${cpus().length} cores, ${cpus()[0].model.trim()}, ${rounds} rounds\n`);
console.log(line(["", "unit", "vring", "v86's own", "times"]));

const queues = { vring: await openQueue(true), v86: await openQueue(false) };
const costs = await compare((nic) => queues[nic].run(BURSTS));
report("device half alone, 12 + 64 B, bursts of 32", "ns/packet", costs, (ns) => ns);

if (!options["queues-only"]) {
  await measure(await openSingle(Number(options.packets)));
  if (!options["no-tcp"]) await measure(await openPairs());
}
process.exit();

async function measure({ cases, end }: Guests): Promise<void> {
  try {
    for (const { name, unit, run } of cases) report(name, unit, await compare(run), (ns) => 1e9 / ns);
  } finally {
    end();
  }
}

/** Nanoseconds of each round, of both. */
async function compare(run: (nic: Nic) => Promise<number>): Promise<Record<Nic, number[]>> {
  const samples: Record<Nic, number[]> = { vring: [], v86: [] };
  for (let round = 0; round < WARM_UP; round++) {
    await run("vring");
    await run("v86");
  }
  for (let round = 0; round < rounds; round++) {
    const order: Nic[] = round % 2 === 0 ? ["vring", "v86"] : ["v86", "vring"];
    for (const nic of order) samples[nic].push(await run(nic));
  }
  return samples;
}

function report(
  name: string,
  unit: string,
  samples: Record<Nic, number[]>,
  show: (ns: number) => number,
): void {
  const shown = (nic: Nic) => Math.round(show(summarize(samples[nic]).median)).toLocaleString("en");
  const ratio = pairedRatio(samples.vring, samples.v86);
  console.log(line([name, unit, shown("vring"), shown("v86"), text(ratio)]));
}

function text({ value, low, high }: Interval): string {
  return `${value.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
}

function line([name, unit, ours, theirs, times]: string[]): string {
  return `${name.padEnd(44)}${unit.padEnd(12)}${ours.padStart(12)}${theirs.padStart(12)}  ${times}`;
}
