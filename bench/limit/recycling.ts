/** Whether a packet costs the same in every ring and at every age: while the caches hold it, it should. */
import { readFileSync } from "node:fs";
import type { RingFormat } from "../../src/names.ts";
import { PACKETS } from "../packets.ts";
import { type EngineRing, openRings, type RingCase } from "../support.ts";
import {
  type Arm,
  arm,
  type Found,
  medianOf,
  nanoseconds,
  takeTurns,
  timesOf,
  verdictLine,
  warmUp,
} from "./rounds.ts";

const FORMATS: readonly RingFormat[] = ["split", "packed"];
const SIZES = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768];
const N = 2;
const SIZE_ROUNDS = 20;

/** Passes after which a queue is old, and that are timed; a young one has recycled the first of 1024 packets. */
const OLD_PASSES = Math.ceil(10_000_000 / PACKETS);
const AGE_PASSES = 2;
const AGE_ROUNDS = 100;

/** The second-level cache of the first processor, in bytes; 1 MiB where the system doesn't say. */
function secondLevelBytes(): number {
  try {
    const kibibytes = readFileSync("/sys/devices/system/cpu/cpu0/cache/index2/size", "utf8");
    return Number.parseInt(kibibytes, 10) * 1024;
  } catch {
    return 1 << 20;
  }
}

/** Bursts of 32 and bursts that fill the ring, for every size. */
export async function ringSizeLines(): Promise<string[]> {
  const rings = new Map<string, EngineRing>();
  for (const size of SIZES) {
    const cases = FORMATS.map((format): RingCase => ({ format, tables: "freelist", n: N }));
    for (const ring of await openRings(cases, { size })) rings.set(nameOf(ring, "32"), ring);
    const full = { size, batch: size, packets: Math.max(PACKETS, size) };
    for (const ring of await openRings(cases, full)) rings.set(nameOf(ring, "full"), ring);
  }
  const arms = [...rings].map(([name, ring]): Arm => arm(name, ring.shape.packets, () => ring.pass(), 5));
  const figures = await takeTurns(arms, SIZE_ROUNDS);

  const cache = secondLevelBytes();
  const found: Found[] = [];
  const curve: string[] = [];
  for (const [name, ring] of rings) {
    const { size, batch } = ring.shape;
    const bytes = ring.workingSet();
    const ns = medianOf(figures, name).value.toFixed(1);
    curve.push(`    ${name}: ${ns} ns a packet, working set ${Math.ceil(bytes / 1024)} KiB`);
    if (size === SIZES[0] || batch === size || bytes > cache) continue;
    const smallest = name.replace(`ring ${size}`, `ring ${SIZES[0]}`);
    found.push({ where: name, interval: timesOf(figures, name, smallest) });
  }
  const measure = `ring of up to ${SIZES[SIZES.length - 1]} against ring of ${SIZES[0]}, bursts of 32, working set below ${cache / 1024} KiB`;
  return [verdictLine(measure, { atMost: 1.3 }, found), ...curve.sort(byFormatAndBurst)];
}

function nameOf({ ringCase, shape }: EngineRing, burst: "32" | "full"): string {
  return `${ringCase.format}, ${burst === "full" ? "full bursts" : "bursts of 32"}, ring ${shape.size}`;
}

function byFormatAndBurst(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

/** A queue that has just been reset against one that has recycled ten million packets. */
export async function ageLines(): Promise<string[]> {
  const cases = FORMATS.flatMap((format) =>
    (["freelist", "slot", "heap"] as const).map((tables): RingCase => ({ format, tables, n: N })),
  );
  const young = await openRings(cases);
  const old = await openRings(cases);
  for (const ring of [...young, ...old]) warmUp(() => ring.pass());
  for (const ring of old) for (let i = 0; i < OLD_PASSES; i++) ring.pass();
  const arms = cases.flatMap((_, i): Arm[] => [
    {
      name: `young ${young[i].name}`,
      sample() {
        young[i].renew();
        return sampleOf(young[i]);
      },
    },
    { name: `old ${old[i].name}`, sample: () => sampleOf(old[i]) },
  ]);
  const figures = await takeTurns(arms, AGE_ROUNDS);
  const found = old.map(({ name }) => ({
    where: name,
    interval: timesOf(figures, `old ${name}`, `young ${name}`),
  }));
  return [verdictLine("after 10^7 against after 10^3 recycled packets", { atMost: 1.3 }, found)];
}

/** One pass to bring the queue back into the caches, and then the passes that count. */
function sampleOf(ring: EngineRing): number {
  ring.pass();
  return nanoseconds(() => ring.pass(), AGE_PASSES) / PACKETS;
}
