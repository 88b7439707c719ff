/**
 * Runs alone in a process of its own (garbage.test.ts): packets pass the host by, of a program and of a guest, and it
 * prints how often the garbage collector ran meanwhile.
 *
 * Arguments: the engine's code, packets a direction and user, and `allocate` for the control, which makes one object a
 * burst.
 */
import { readFileSync } from "node:fs";
import { type PerformanceEntry, PerformanceObserver } from "node:perf_hooks";
import { setImmediate as turn } from "node:timers/promises";
import { Passthru } from "../../src/device/passthru.ts";
import { PassthruNetDevice } from "../../src/device/passthru-net.ts";
import { NetDriver } from "../../src/driver/net.ts";
import { Engine } from "../../src/engine.ts";
import { NET_FRAME_WORDS } from "../../src/net-records.ts";
import { connectInProcess } from "../../src/transport/in-process.ts";

const BURST = 8;
const BYTES = 600;
const NIC = { packetSplit: true, headroom: 0, tailroom: 0, align: 1 };

const [codePath, packetsText, mode] = process.argv.slice(2);
const packets = Number(packetsText);
const allocate = mode === "allocate";
const module = await WebAssembly.compile(readFileSync(codePath));
const collections: PerformanceEntry[] = [];
const observer = new PerformanceObserver((list) => collections.push(...list.getEntries()));

/** What the control leaves behind: reachable until the next burst, so that it has to be made. */
let last: { moved: number } | null = null;

/** The NIC sends what there is to be sent, and has a burst of frames; how many it sent. */
function wire(face: Passthru, frame: number): number {
  const { departures, sent, arrivals } = face;
  let total = 0;
  for (let count = face.depart(); count > 0; count = face.depart()) {
    for (let k = 0, at = 0; k < count; k++) {
      sent[2 * k] = departures[at];
      sent[2 * k + 1] = 0;
      at += 4 + 2 * departures[at + 1];
    }
    total += face.departed(count);
  }
  for (let k = 0; k < BURST; k++) {
    arrivals[2 * k] = frame;
    arrivals[2 * k + 1] = BYTES;
  }
  if (face.arrive(BURST) !== 0) throw new Error("the hook left frames to the stack");
  return total;
}

const own = await Engine.create({ module, passthru: { requests: 128 }, scratchBytes: 4096 });
const program = new Passthru(own);
program.bind(NIC);

/** Reads and writes of a program; how many were done. */
function moveProgram(total: number): number {
  const { submissions } = program;
  let done = 0;
  for (let moved = 0; moved < total; moved += BURST) {
    for (let direction = 0; direction < 2; direction++) {
      for (let k = 0, at = 0; k < BURST; k++) {
        submissions[at++] = k;
        submissions[at++] = direction === 0 ? 1 : 1 << 16;
        submissions[at++] = own.buffers.ptr + (direction * BURST + k) * 2048;
        submissions[at++] = direction === 0 ? BYTES : 2048;
      }
      if (program.submit(BURST) !== BURST) throw new Error("a request was refused");
    }
    wire(program, own.scratch.ptr);
    for (let count = program.complete(); count > 0; count = program.complete()) done += count;
    if (allocate) last = { moved };
  }
  return done;
}

const engine = await Engine.create({
  ...{ module, queues: 2, passthru: { requests: 512 }, net: { pairs: 1 } },
  ...{ bufferBytes: 4 << 20, scratchBytes: 4096 },
});
const card = new PassthruNetDevice(engine, { mtu: 1500 });
const guest = new NetDriver(engine, { receiveBuffers: 128 });
connectInProcess(engine, card, guest).driver.start();
card.interface.bind(NIC);

/** Frames that a guest sends and gets; how many. */
function moveGuest(total: number): number {
  const { ptr } = guest.sendArea;
  let done = 0;
  for (let moved = 0; moved < total; moved += BURST) {
    const { u32 } = engine;
    for (let k = 0, at = guest.outgoingAt; k < BURST; k++, at += NET_FRAME_WORDS) {
      u32[at] = ptr + k * 1024;
      u32[at + 1] = BYTES;
      u32[at + 2] = 0;
      u32[at + 3] = k;
      for (let word = 4; word < NET_FRAME_WORDS; word++) u32[at + word] = 0;
    }
    if (guest.transmit(BURST) !== BURST) throw new Error("a burst was not sent");
    done += wire(card.interface, engine.scratch.ptr);
    for (let count = guest.reclaim(); count > 0; ) count = guest.reclaim();
    for (let count = guest.receive(); count > 0; count = guest.receive()) done += count;
    if (allocate) last = { moved };
  }
  return done;
}

for (let k = 0; k < 20; k++) {
  moveProgram(packets / 40);
  moveGuest(packets / 40);
}
globalThis.gc?.();
// Entries arrive a turn later: those of the warm-up first, then those that count.
await turn();
await turn();
observer.observe({ entryTypes: ["gc"] });
const moved = moveProgram(packets) + moveGuest(packets);
await turn();
await turn();
observer.disconnect();
console.log(JSON.stringify({ moved, collections: collections.length, last }));
