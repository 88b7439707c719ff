/**
 * Runs alone in a process of its own (garbage.test.ts): moves packets through driver benches, a burst a call, and
 * prints how often the garbage collector ran meanwhile.
 *
 * Arguments: the engine's code, packets for each bench, and `allocate` for the control, which makes one object a call.
 */
import { readFileSync } from "node:fs";
import { type PerformanceEntry, PerformanceObserver } from "node:perf_hooks";
import { setImmediate as turn } from "node:timers/promises";
import { fixedTraffic } from "../../src/net/traffic.ts";
import { DriverBench } from "../../src/system/driver-bench.ts";
import {
  DRIVER_RECORDS,
  directionsOf,
  RX_KINDS,
  type RxKind,
  SYSTEM_RECORDS,
} from "../../src/system/records.ts";
import { XskSocket } from "../../src/system/xsk-socket.ts";

const BURST = 32;

const [codePath, packetsText, mode] = process.argv.slice(2);
const packets = Number(packetsText);
const allocate = mode === "allocate";
const module = await WebAssembly.compile(readFileSync(codePath));
const frames = fixedTraffic(400, { count: 1024, seed: 1 }).packets.map(({ data }) => data);
const collections: PerformanceEntry[] = [];
const observer = new PerformanceObserver((list) => collections.push(...list.getEntries()));

/** What the control leaves behind: reachable until the next call, so that it has to be made. */
let last: { moved: number } | null = null;

function move(bench: DriverBench, total: number): void {
  for (let moved = 0; moved < total; moved += BURST) {
    bench.runSome(BURST);
    if (allocate) last = { moved };
  }
}

function make(
  driver: string,
  direction: "tx" | "rx",
  dma: "direct" | "iommu-lazy",
  rx?: RxKind,
): Promise<DriverBench> {
  const record = SYSTEM_RECORDS[driver];
  return DriverBench.create({
    record,
    direction,
    dma,
    rx,
    hold: 40,
    drop: "random",
    queues: [frames],
    module,
  });
}

const benches: DriverBench[] = [];
for (const dma of ["direct", "iommu-lazy"] as const) {
  for (const driver of Object.keys(DRIVER_RECORDS)) benches.push(await make(driver, "tx", dma));
  // Kinds that not every driver can have are those of a record with their name.
  for (const rx of RX_KINDS)
    benches.push(await make(Object.hasOwn(DRIVER_RECORDS, rx) ? rx : "i40e-6.1", "rx", dma, rx));
}
for (const record of Object.values(SYSTEM_RECORDS)) {
  if (Object.hasOwn(DRIVER_RECORDS, record.name)) continue;
  for (const direction of directionsOf(record)) benches.push(await make(record.name, direction, "direct"));
}

/** A program of the caller's: each burst is sent, and its chunks come back. */
const own = await DriverBench.create({
  record: SYSTEM_RECORDS.xsk,
  direction: "tx",
  dma: "direct",
  program: "caller",
  queues: [frames],
  module,
});
const socket = new XskSocket(own);
let chunk = 0;
function send(total: number): void {
  for (let sent = 0; sent < total; sent += BURST) {
    const count = socket.tx.reserve(BURST);
    for (let k = 0; k < count; k++) {
      socket.tx.write(k, chunk * socket.chunkBytes, 400);
      chunk = chunk + 1 === socket.chunks ? 0 : chunk + 1;
    }
    socket.tx.submit(count);
    if (socket.tx.needsWakeup) socket.wake();
    own.moveSome(count);
    socket.completion.release(socket.completion.peek(BURST));
  }
}

send(packets / 20);
for (const bench of benches) move(bench, packets / 20);
benches.push(own);
const before = benches.map((bench) => bench.counters().packets);
globalThis.gc?.();
// Entries arrive a turn later: those of the warm-up first, then those that count.
await turn();
await turn();
observer.observe({ entryTypes: ["gc"] });
for (const bench of benches) {
  if (bench === own) send(packets);
  else move(bench, packets);
}
await turn();
await turn();
observer.disconnect();
const moved = benches.map((bench, k) => bench.counters().packets - before[k]);
const leaks = benches.flatMap((bench) => bench.close().leaks);
console.log(
  JSON.stringify({
    packets: moved.reduce((sum, count) => sum + count, 0),
    benches: benches.length,
    leaks,
    collections: collections.length,
    last,
  }),
);
