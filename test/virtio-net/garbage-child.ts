/**
 * Runs alone in a process of its own (garbage.test.ts): moves frames both ways through the burst calls of both halves,
 * and prints how often the garbage collector ran meanwhile.
 *
 * Arguments: the engine's code, frames a direction, and `allocate` for the control, which makes one object a burst.
 */
import { readFileSync } from "node:fs";
import { type PerformanceEntry, PerformanceObserver } from "node:perf_hooks";
import { setImmediate as turn } from "node:timers/promises";
import { NetDevice } from "../../src/device/net.ts";
import { NetDriver } from "../../src/driver/net.ts";
import { Engine } from "../../src/engine.ts";
import { NET_FRAME_WORDS } from "../../src/net-records.ts";
import { connectInProcess } from "../../src/transport/in-process.ts";

const BURST = 32;
const STRIDE = 1600;

const [codePath, framesText, mode] = process.argv.slice(2);
const frames = Number(framesText);
const allocate = mode === "allocate";
const module = await WebAssembly.compile(readFileSync(codePath));
const collections: PerformanceEntry[] = [];
const observer = new PerformanceObserver((list) => collections.push(...list.getEntries()));

/** What the control leaves behind: reachable until the next burst, so that it has to be made. */
let last: { moved: number } | null = null;

const engine = await Engine.create({ module, queues: 5, net: { pairs: 2 }, bufferBytes: 4 << 20 });
const card = new NetDevice(engine, { mac: "52:54:00:12:34:56" });
const nic = new NetDriver(engine, { receiveBuffers: 128 });
const { driver } = connectInProcess(engine, card, nic);
driver.start();
nic.commands.setReceiveMode("promiscuous", true);

/** Records of a burst of frames that say nothing: where each lies, its bytes, its queue pair, its token. */
function stage(at: number, ptr: number): void {
  const u32 = engine.u32;
  for (let k = 0; k < BURST; k++, at += NET_FRAME_WORDS) {
    u32[at] = ptr + k * STRIDE;
    u32[at + 1] = 60 + k * 40;
    u32[at + 2] = k & 1;
    u32[at + 3] = k;
    for (let word = 4; word < NET_FRAME_WORDS; word++) u32[at + word] = 0;
  }
}

/** Moves so many frames each way; how many arrived. */
function move(total: number): number {
  const { ptr } = nic.sendArea;
  const area = card.receiveArea.ptr;
  let moved = 0;
  for (let sent = 0; sent < total; sent += BURST) {
    stage(nic.outgoingAt, ptr);
    if (nic.transmit(BURST) !== BURST) throw new Error("a burst was not sent");
    for (let count = card.transmit(); count > 0; count = card.transmit()) moved += count;
    for (let count = nic.reclaim(); count > 0; ) count = nic.reclaim();
    stage(card.receivedAt, area);
    if (card.receive(BURST) !== BURST) throw new Error("a burst was not taken");
    for (let count = nic.receive(); count > 0; count = nic.receive()) moved += count;
    if (allocate) last = { moved };
  }
  return moved;
}

// Warm until the compiler is done with the loop as well as with the calls: it makes objects, too.
for (let k = 0; k < 20; k++) move(frames / 40);
globalThis.gc?.();
// Entries arrive a turn later: those of the warm-up first, then those that count.
await turn();
await turn();
observer.observe({ entryTypes: ["gc"] });
const moved = move(frames);
await turn();
await turn();
observer.disconnect();
console.log(
  JSON.stringify({ moved, drops: card.statistics().rx_drops, collections: collections.length, last }),
);
