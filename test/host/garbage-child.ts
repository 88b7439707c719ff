/**
 * Runs alone in a process of its own (garbage.test.ts): moves packets through the burst calls the
 * way an application would, and prints how often the garbage collector ran meanwhile.
 *
 * Arguments: the engine's code, packets per ring format, and `allocate` for the control, which
 * makes one object a burst.
 */
import { readFileSync } from "node:fs";
import { type PerformanceEntry, PerformanceObserver } from "node:perf_hooks";
import { setImmediate as turn } from "node:timers/promises";
import { Engine } from "../../src/engine.ts";
import { RING_FORMATS } from "../../src/names.ts";

const BATCH = 32;

const [codePath, packetsText, mode] = process.argv.slice(2);
const packets = Number(packetsText);
const allocate = mode === "allocate";
const module = await WebAssembly.compile(readFileSync(codePath));
const collections: PerformanceEntry[] = [];
const observer = new PerformanceObserver((list) => collections.push(...list.getEntries()));

/** What the control leaves behind: reachable until the next burst, so that it has to be made. */
let last: { added: number } | null = null;

type Pair = ReturnType<Engine["connect"]> & { base: number };

/** Writes sg lists, moves them through both halves, and reads the completions; all tokens, exclusive-ored. */
function move({ driver, device, base }: Pair, total: number): number {
  const { staged, reclaimed } = driver;
  const { popped, completions } = device;
  let seen = 0;
  let back = 0;
  for (let added = 0, round = 0; back < total; round++) {
    if (round > total) throw new Error(`only ${back} of ${total} packets came back`);
    const burst = Math.min(BATCH, total - added);
    for (let k = 0, at = 0; k < burst; k++) {
      const ptr = base + (((added + k) & 255) << 11);
      staged[at++] = added + k;
      staged[at++] = 1 | (1 << 16);
      staged[at++] = ptr;
      staged[at++] = 12;
      staged[at++] = ptr + 64;
      staged[at++] = 1500;
    }
    added += driver.addBurst(burst);
    if (driver.publish()) device.arm();
    const count = device.popBurst(BATCH);
    for (let k = 0, at = 0; k < count; k++) {
      completions[2 * k] = popped[at];
      completions[2 * k + 1] = 1000;
      const counts = popped[at + 1];
      at += 4 + 2 * ((counts & 0xffff) + (counts >>> 16));
    }
    device.markUsedBurst(count);
    if (device.publishUsed()) driver.arm();
    const done = driver.reclaimBurst(BATCH);
    for (let k = 0; k < done; k++) seen ^= reclaimed[2 * k];
    back += done;
    if (allocate) last = { added };
  }
  return seen;
}

const pairs: Pair[] = [];
for (const format of RING_FORMATS) {
  const engine = await Engine.create({ module, batch: BATCH });
  pairs.push({ ...engine.connect(0, { format, tables: "freelist" }), base: engine.buffers.ptr });
}
for (const pair of pairs) move(pair, packets / 20);
globalThis.gc?.();
// Entries arrive a turn later: those of the warm-up first, then those that count.
await turn();
await turn();
observer.observe({ entryTypes: ["gc"] });
const seen = pairs.map((pair) => move(pair, packets));
await turn();
await turn();
observer.disconnect();
let expected = 0;
for (let token = 0; token < packets; token++) expected ^= token;
console.log(
  JSON.stringify({
    packets: pairs.length * packets,
    complete: seen.every((tokens) => tokens === expected),
    collections: collections.length,
    last,
  }),
);
