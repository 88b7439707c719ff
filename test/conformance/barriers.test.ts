/**
 * No notification is lost between the halves: the peer's two steps (publish and look at the wish, or
 * wish and look again) fall between every two accesses of our call. That our own accesses happen in
 * the order in which they are written, on every CPU, is what sequentially consistent atomics say:
 * the shared build uses them for every word that publishes or observes.
 */
import { describe, expect, it } from "vitest";
import { RING_FORMATS, type RingFormat } from "../../src/names.ts";
import type { Span } from "../support/canaries.ts";
import { createEngine } from "../support/engine.ts";
import { Position, type RawPackedDevice, type RawPackedDriver } from "../support/raw-packed.ts";
import type { RawSplitDevice, RawSplitDriver } from "../support/raw-split.ts";
import {
  bufferOf,
  elementsAt,
  enginePackedPlaces,
  engineSplitPlaces,
  features,
  packedDeviceRig,
  packedDriverRig,
  splitDeviceRig,
  splitDriverRig,
} from "../support/rig.ts";
import { loads, stores, Trace, within } from "../support/trace.ts";
import { Image } from "./image.ts";
import { sharedPart } from "./territory.ts";

const SIZE = 4;

interface Race {
  trace: Trace;
  image: Image;
  /** The call of our half; whether it says that there is work, or wants to notify. */
  call(): boolean;
  /** The peer's two steps; the second says whether the peer notifies, or sees work itself. */
  first(): void;
  second(): boolean;
}

/** How many ways there are for both sides to sleep, of all in which two steps can fall into the call. */
function lostWakeUps({ trace, image, call, first, second }: Race): { lost: number; all: number } {
  image.restore();
  trace.reset();
  call();
  const accesses = trace.steps;
  let lost = 0;
  let all = 0;
  for (let i = 0; i <= accesses; i++) {
    for (let j = i; j <= accesses; j++) {
      image.restore();
      trace.reset();
      let peerWakes = false;
      trace.before = (step) => {
        if (step === i) first();
        if (step === j) peerWakes = second();
      };
      const weWake = call();
      trace.before = null;
      if (i === accesses) first();
      if (j === accesses) peerWakes = second();
      all++;
      if (!weWake && !peerWakes) lost++;
    }
  }
  return { lost, all };
}

/** One buffer is there and one decision is made: is `event` entry 0 (2.7.7, by equality for one entry)? */
function splitWants(eventIdx: boolean, event: number, flags: number): boolean {
  return eventIdx ? event === 0 : flags === 0;
}

/** One slot from `(0, 1)`: by mode, and in mode 2 by equality (2.8.10). */
function packedWants(event: { offset: number; wrap: number; flags: number }): boolean {
  if (event.flags === 2) return event.offset === 0 && event.wrap === 1;
  return event.flags !== 1;
}

/** What a raw half writes to be told about the next buffer, from a state in which it wants nothing. */
function splitWish(
  eventIdx: boolean,
  set: (event: number | null, flags: number | null) => void,
  asks: boolean,
): void {
  if (eventIdx) set(asks ? 0 : 0xffff, null);
  else set(null, asks ? 0 : 1);
}

function packedWish(eventIdx: boolean, asks: boolean): { offset: number; wrap: number; flags: number } {
  if (!asks) return { offset: 0, wrap: 0, flags: 1 };
  return eventIdx ? { offset: 0, wrap: 1, flags: 2 } : { offset: 0, wrap: 0, flags: 0 };
}

type Side = "driver" | "device";
type Turn = "publish" | "arm";

/** Our half's publish against the peer's wish and second look, or our arm against the peer's publish. */
async function race(format: RingFormat, side: Side, turn: Turn, eventIdx: boolean): Promise<Race> {
  const trace = await Trace.create();
  const options = {
    size: SIZE,
    features: eventIdx ? features(format, "EVENT_IDX") : features(format),
    engine: trace.options,
  };
  if (side === "driver") {
    const rig = format === "split" ? await splitDriverRig(options) : await packedDriverRig(options);
    const { engine, driver, peer, data } = rig;
    driver.suppress();
    driver.add({ ...bufferOf(elementsAt(data.ptr, [1])), token: 1 });
    const device =
      peer instanceof Object && "usedIdx" in peer
        ? splitDevice(peer, eventIdx)
        : packedDevice(peer as RawPackedDevice, eventIdx);
    device.wish(false);
    if (turn === "arm") {
      driver.publish();
      device.take();
    }
    const image = new Image(engine);
    return turn === "publish"
      ? {
          trace,
          image,
          call: () => driver.publish(),
          first: () => device.wish(true),
          second: () => device.seesWork(),
        }
      : {
          trace,
          image,
          call: () => driver.arm(),
          first: () => device.use(),
          second: () => device.interrupts(),
        };
  }
  const rig = format === "split" ? await splitDeviceRig(options) : await packedDeviceRig(options);
  const { engine, device, peer, data } = rig;
  device.suppress();
  const elements = elementsAt(data.ptr, [1]);
  const driver = "usedIdx" in peer ? splitDriver(peer, eventIdx) : packedDriver(peer, eventIdx);
  driver.wish(false);
  peer.add(elements);
  if (turn === "publish") {
    peer.publish();
    expect(device.popBurst(1)).toBe(1);
    expect(device.markPoppedUsed(1)).toBe(1);
  }
  const image = new Image(engine);
  return turn === "publish"
    ? {
        trace,
        image,
        call: () => device.publishUsed(),
        first: () => driver.wish(true),
        second: () => driver.seesWork(),
      }
    : { trace, image, call: () => device.arm(), first: () => driver.offer(), second: () => driver.kicks() };
}

function splitDevice(peer: RawSplitDevice, eventIdx: boolean) {
  const set = (event: number | null, flags: number | null): void => {
    if (event !== null) peer.availEvent = event;
    if (flags !== null) peer.usedFlags = flags;
  };
  return {
    wish: (asks: boolean) => splitWish(eventIdx, set, asks),
    take: () => peer.setUsedEntry(0, { id: peer.heads()[0], len: 0 }),
    seesWork: () => peer.availIdx !== 0,
    use: () => {
      peer.usedIdx = 1;
    },
    interrupts: () => splitWants(eventIdx, peer.usedEvent, peer.availFlags),
  };
}

function packedDevice(peer: RawPackedDevice, eventIdx: boolean) {
  return {
    wish: (asks: boolean) => {
      peer.deviceEvent = packedWish(eventIdx, asks);
    },
    take: () => peer.use(peer.take()[0], 0),
    seesWork: () => (peer.flagsOf(0) & 0x8080) === 0x80,
    use: () => peer.setFlags(0, 0x8080),
    interrupts: () => packedWants(peer.driverEvent),
  };
}

function splitDriver(peer: RawSplitDriver, eventIdx: boolean) {
  const set = (event: number | null, flags: number | null): void => {
    if (event !== null) peer.usedEvent = event;
    if (flags !== null) peer.availFlags = flags;
  };
  return {
    wish: (asks: boolean) => splitWish(eventIdx, set, asks),
    seesWork: () => peer.usedIdx !== 0,
    offer: () => {
      peer.availIdx = 1;
    },
    kicks: () => splitWants(eventIdx, peer.availEvent, peer.usedFlags),
  };
}

function packedDriver(peer: RawPackedDriver, eventIdx: boolean) {
  return {
    wish: (asks: boolean) => {
      peer.driverEvent = packedWish(eventIdx, asks);
    },
    seesWork: () => (peer.flagsOf(0) & 0x8080) === 0x8080,
    offer: () => peer.setFlags(0, 0x80),
    kicks: () => packedWants(peer.deviceEvent),
  };
}

const ROWS: Record<RingFormat, Record<Side, Record<Turn, string>>> = {
  split: { driver: { publish: "S-D-17", arm: "S-D-18" }, device: { publish: "S-V-15", arm: "S-V-15" } },
  packed: { driver: { publish: "P-D-14", arm: "P-D-17" }, device: { publish: "P-V-09", arm: "P-V-09" } },
};

for (const format of RING_FORMATS) {
  for (const side of ["driver", "device"] as const) {
    for (const turn of ["publish", "arm"] as const) {
      for (const eventIdx of [false, true]) {
        const peer = turn === "publish" ? "asks and looks again" : "publishes and looks whether it is asked";
        it(`${ROWS[format][side][turn]}: the ${format} ${side} half's ${turn} loses no wake-up to a peer that ${peer} between any two accesses; EVENT_IDX: ${eventIdx}`, async () => {
          const found = await race(format, side, turn, eventIdx);
          const { lost, all } = lostWakeUps(found);
          expect(all).toBeGreaterThan(30);
          expect(lost).toBe(0);
          // Control: a peer that looks before it stores does lose some, so the race is a real one.
          const { first, second } = found;
          let seen = false;
          const swapped = {
            ...found,
            first: () => {
              seen = second();
            },
            second: () => {
              first();
              return seen;
            },
          };
          expect(lostWakeUps(swapped).lost).toBeGreaterThan(0);
        });
      }
    }
  }
}

describe.each(RING_FORMATS)("the shared build's accesses to a %s queue", (format) => {
  it(`H-B-01, ${format === "split" ? "S-D-16, S-D-17, S-V-09, S-V-15" : "P-D-13, P-D-14, P-D-15, P-V-09"}: every word that publishes or observes is accessed by a sequentially consistent atomic, and what is published by one goes before`, async () => {
    for (const eventIdx of [false, true]) {
      const trace = await Trace.create("vring-shared");
      const limits = { queueSize: 8, bufferBytes: 4096, heapBytes: 2048 };
      const pages = 2;
      const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
      const engine = await createEngine({ ...trace.options, ...limits, memory });
      const wanted = eventIdx
        ? features(format, "EVENT_IDX", "INDIRECT_DESC")
        : features(format, "INDIRECT_DESC");
      const { driver, device } = engine.connect(0, { format, features: wanted });
      const words = format === "split" ? splitWords(engine) : packedWords(engine);
      let published = 0;
      let observed = 0;
      for (let round = 0; round < 40; round++) {
        const count = 1 + (round % 3);
        const add = trace.record(() => {
          for (let k = 0; k < count; k++)
            driver.add({ ...bufferOf(elementsAt(engine.buffers.ptr, [4], [5])), token: k });
        });
        const publishes = [trace.record(() => driver.publish())];
        const pop = trace.record(() => expect(device.popBurst(8)).toBe(count));
        const mark = trace.record(() => expect(device.markPoppedUsed(count)).toBe(count));
        publishes.push(trace.record(() => device.publishUsed()));
        const reclaim = trace.record(() => expect(driver.reclaimBurst(8)).toBe(count));
        const arms = [
          trace.record(() => driver.arm()),
          trace.record(() => device.arm()),
          trace.record(() => driver.suppress()),
          trace.record(() => device.suppress()),
        ];
        // Looking: the first load of a burst that decides whether there is anything to load.
        for (const burst of [pop, reclaim]) {
          const [first] = within(loads(burst), sharedPart(engine));
          expect(first.atomic).toBe(true);
          observed++;
        }
        for (const log of [...publishes, ...arms]) {
          const shared = within(log, sharedPart(engine));
          expect(shared.every(({ atomic }) => atomic)).toBe(true);
          // The store is first, the look at the other side's word second: a full barrier lies between.
          expect(shared[0].store).toBe(true);
          expect(shared.slice(1).every(({ store }) => !store)).toBe(true);
          published++;
        }
        for (const log of publishes) expect(within(log, sharedPart(engine)).length).toBe(2);
        for (const log of arms.slice(0, 2)) expect(within(log, sharedPart(engine)).length).toBe(2);
        // Nothing that publishes is stored anywhere else.
        for (const log of [add, mark]) expect(words.flatMap((word) => within(stores(log), word))).toEqual([]);
        for (const log of [pop, reclaim, ...publishes, ...arms]) {
          for (const word of words) for (const one of within(log, word)) expect(one.atomic).toBe(true);
        }
        // P-D-15: the used descriptors of the driver's burst are loaded as one snapshot each.
        if (format === "packed") {
          for (const one of within(loads(reclaim), sharedPart(engine)))
            expect([one.atomic, one.bytes]).toEqual([true, 8]);
        }
      }
      expect([published, observed]).toEqual([240, 80]);
    }
  });
});

/** Flags, index and event word of both rings. */
function splitWords(engine: Awaited<ReturnType<typeof createEngine>>): Span[] {
  const { avail, used, size } = engineSplitPlaces(engine, 8);
  return [avail, used].flatMap((area) => [
    { ptr: area, bytes: 4 },
    { ptr: area + 4 + (area === avail ? 2 : 8) * size, bytes: 2 },
  ]);
}

/** Both event structures; which words of the ring publish depends on where a batch starts. */
function packedWords(engine: Awaited<ReturnType<typeof createEngine>>): Span[] {
  const { driverArea, deviceArea } = enginePackedPlaces(engine, 8);
  return [driverArea, deviceArea].map((ptr) => ({ ptr, bytes: 4 }));
}

it("S-D-16, P-D-04, S-V-09, P-V-12: between any two accesses of our calls a peer that looks finds whole buffers only", async () => {
  for (const format of RING_FORMATS) {
    const trace = await Trace.create();
    const options = { size: SIZE, engine: trace.options };
    const lists = [[3], [5, 6], [7]];
    if (format === "split") {
      const { driver, peer, data } = await splitDriverRig(options);
      let seen = 0;
      trace.before = () => {
        if (peer.availIdx === 0) return;
        seen++;
        expect(peer.availIdx).toBe(3);
        expect([0, 1, 2].map((at) => peer.walk(peer.availEntry(at)).map(({ len }) => len))).toEqual(lists);
      };
      for (const sizes of lists) driver.add({ ...bufferOf(elementsAt(data.ptr, sizes)), token: 0 });
      driver.publish();
      expect(seen).toBeGreaterThan(2);
    } else {
      const { driver, peer, data } = await packedDriverRig({ ...options, size: 5 });
      let seen = 0;
      trace.before = () => {
        // A fresh look each time: from slot 0 of the first lap.
        const { slot, wrap } = new Position(5);
        peer.avail.slot = slot;
        peer.avail.wrap = wrap;
        const taken = peer.take();
        if (taken.length === 0) return;
        seen++;
        expect(taken.map(({ elements }) => elements.map(({ len }) => len))).toEqual(lists);
      };
      for (const sizes of lists) driver.add({ ...bufferOf(elementsAt(data.ptr, sizes)), token: 0 });
      driver.publish();
      expect(seen).toBeGreaterThan(2);
    }
    await usedSideIsWhole(format);
  }
});

async function usedSideIsWhole(format: RingFormat): Promise<void> {
  const trace = await Trace.create();
  const options = { size: SIZE, engine: trace.options };
  const lens = [3, 0, 7];
  const rig = format === "split" ? await splitDeviceRig(options) : await packedDeviceRig(options);
  const { device, peer, data } = rig;
  const ids = lens.map(() => peer.add(elementsAt(data.ptr, [], [7])));
  peer.publish();
  const chains = device.pop();
  let seen = 0;
  trace.before = () => {
    const found: { id: number; len: number }[] = [];
    if ("usedIdx" in peer) {
      for (let at = 0; at < peer.usedIdx; at++) found.push(peer.usedEntry(at));
    } else {
      for (let slot = 0; slot < 3 && (peer.flagsOf(slot) & 0x8080) === 0x8080; slot++) {
        const { id, len } = peer.readDesc(slot);
        found.push({ id, len });
      }
    }
    if (found.length === 0) return;
    seen++;
    expect(found).toEqual(ids.map((id, k) => ({ id, len: lens[k] })));
  };
  for (const [k, { handle }] of chains.entries()) device.markUsed(handle, lens[k]);
  device.publishUsed();
  expect(seen).toBeGreaterThan(2);
}
