/**
 * Bounded time, counted in loads and stores: the worst rings that we could think of, on sizes where
 * a bound that is missing would show. What each case must give besides (canaries, names, reset) is
 * in test/ring/hostile-*.test.ts and in the scribbling tests beside this file.
 */
import { describe, expect, it } from "vitest";
import type { Engine } from "../../src/engine.ts";
import { RING_FORMATS } from "../../src/names.ts";
import { AVAIL, type RawPackedDriver, usedBits } from "../support/raw-packed.ts";
import { INDIRECT, NEXT, type RawSplitDriver, WRITE } from "../support/raw-split.ts";
import {
  elementsAt,
  features,
  packedDeviceRig,
  packedDriverRig,
  splitDeviceRig,
  splitDriverRig,
} from "../support/rig.ts";
import { type Access, loads, permits, StepsExceeded, Trace, within } from "../support/trace.ts";
import { deviceTerritory, driverTerritory, sharedPart } from "./territory.ts";

/** So many loads and stores a call, a buffer, an element. */
const CALL = 64;
const BUFFER = 32;
const ELEMENT = 16;

interface Places {
  buffer: number;
  table: number;
}

interface Attack<Peer> {
  name: string;
  code: string;
  /** Buffers without a fault that come before the attack, each as long as the ring. */
  honest?: number;
  act(peer: Peer, places: Places): void;
}

/** All entries of a table one after the other, the last linked to `end`. */
function chainOf(
  peer: RawSplitDriver,
  { buffer }: Places,
  table: number,
  entries: number,
  end: number,
  len = 1,
): void {
  for (let k = 0; k < entries; k++) {
    const next = k + 1 < entries ? k + 1 : end;
    peer.writeDesc(k, { addr: peer.bus(buffer), len, flags: NEXT, next }, table);
  }
}

/** Bytes loaded of what the driver can write. */
function looks(log: readonly Access[], engine: Engine): number {
  return within(loads(log), sharedPart(engine)).reduce((sum, { bytes }) => sum + bytes, 0);
}

const SPLIT: Attack<RawSplitDriver>[] = [
  {
    name: "a chain that is linked to itself",
    code: "chain-too-long",
    act: (peer, { buffer }) => {
      peer.writeDesc(0, { addr: peer.bus(buffer), len: 1, flags: NEXT, next: 0 });
      peer.offer(0);
    },
  },
  {
    name: "a loop of two",
    code: "chain-too-long",
    act: (peer, places) => {
      chainOf(peer, places, peer.places.desc, 2, 0);
      peer.offer(0);
    },
  },
  {
    name: "a loop of all Q",
    code: "chain-too-long",
    act: (peer, places) => {
      chainOf(peer, places, peer.places.desc, peer.size, 0);
      peer.offer(0);
    },
  },
  {
    name: "a loop of elements without bytes",
    code: "chain-too-long",
    act: (peer, places) => {
      chainOf(peer, places, peer.places.desc, peer.size, 0, 0);
      peer.offer(0);
    },
  },
  {
    name: "a table that is linked to its own start",
    code: "chain-too-long",
    act: (peer, places) => {
      chainOf(peer, places, places.table, peer.size, 0);
      peer.writeDesc(0, { addr: peer.bus(places.table), len: 16 * peer.size, flags: INDIRECT });
      peer.offer(0);
    },
  },
  {
    name: "Q - 1 direct elements, then a table of Q that loops: the table sets no bound anew",
    code: "chain-too-long",
    act: (peer, places) => {
      chainOf(peer, places, peer.places.desc, peer.size - 1, peer.size - 1);
      chainOf(peer, places, places.table, peer.size, 0);
      peer.writeDesc(peer.size - 1, { addr: peer.bus(places.table), len: 16 * peer.size, flags: INDIRECT });
      peer.offer(0);
    },
  },
  {
    name: "Q - 1 direct elements, then an honest table of Q: the table sets no bound anew",
    code: "chain-too-long",
    act: (peer, places) => {
      chainOf(peer, places, peer.places.desc, peer.size - 1, peer.size - 1);
      chainOf(peer, places, places.table, peer.size, 0);
      peer.writeDesc(peer.size - 1, { addr: peer.bus(places.buffer), len: 1 }, places.table);
      peer.writeDesc(peer.size - 1, { addr: peer.bus(places.table), len: 16 * peer.size, flags: INDIRECT });
      peer.offer(0);
    },
  },
  {
    name: "Q - 1 direct elements, then the descriptor table itself as a table",
    code: "nested-indirect",
    // What is walked again is cut off by the bound or by the second INDIRECT, whichever comes first.
    act: (peer, places) => {
      chainOf(peer, places, peer.places.desc, 2, peer.size - 1);
      peer.writeDesc(peer.size - 1, {
        addr: peer.bus(peer.places.desc),
        len: 16 * peer.size,
        flags: INDIRECT,
      });
      peer.offer(0);
    },
  },
  {
    name: "seven heads in one burst that all lead into one long chain, and an eighth into a loop",
    code: "chain-too-long",
    honest: 7,
    act: (peer, places) => {
      chainOf(peer, places, peer.places.desc, peer.size, 0);
      peer.writeDesc(7, { addr: peer.bus(places.buffer), len: 1, flags: NEXT, next: 7 });
      const last = peer.size > 8 ? peer.size - 1 : 6;
      if (peer.size > 8) peer.writeDesc(6, { addr: peer.bus(places.buffer), len: 1, flags: NEXT, next: 8 });
      peer.writeDesc(last, { addr: peer.bus(places.buffer), len: 1 });
      for (let head = 0; head < 8; head++) peer.offer(head);
    },
  },
];

const PACKED: Attack<RawPackedDriver>[] = [
  {
    name: "a whole lap of NEXT",
    code: "chain-too-long",
    act: (peer, { buffer }) => {
      for (let slot = 0; slot < peer.size; slot++) {
        peer.writeDesc(slot, { addr: peer.bus(buffer), len: 1, flags: NEXT | AVAIL });
      }
    },
  },
  {
    name: "a whole lap of NEXT without bytes",
    code: "chain-too-long",
    act: (peer) => {
      for (let slot = 0; slot < peer.size; slot++) peer.writeDesc(slot, { flags: NEXT | AVAIL });
    },
  },
  {
    name: "a list of Q - 1, then INDIRECT to a table of Q",
    code: "indirect-in-list",
    act: (peer, { buffer, table }) => {
      for (let slot = 0; slot < peer.size; slot++) {
        peer.writeDesc(slot, { addr: peer.bus(buffer), len: 1, flags: NEXT | AVAIL });
      }
      peer.writeDesc(peer.size - 1, { addr: peer.bus(table), len: 16 * peer.size, flags: INDIRECT | AVAIL });
    },
  },
  {
    name: "a table of Q whose last entry is nowhere",
    code: "buffer-address",
    act: (peer, { buffer, table }) => {
      for (let k = 0; k < peer.size; k++)
        peer.writeDesc(k, { addr: peer.bus(buffer), len: 1, flags: WRITE }, table);
      peer.writeDesc(peer.size - 1, { addr: 0n, len: 1, flags: WRITE }, table);
      peer.writeDesc(0, { addr: peer.bus(table), len: 16 * peer.size, flags: INDIRECT | AVAIL });
    },
  },
];

describe.each([8, 256, 32768])("a burst of pops on a ring of %i", (size) => {
  for (const { name, code, honest = 0, act } of SPLIT) {
    it(`H-V-03, S-D-03: split, ${name}, breaks the queue within a number of steps that follows from Q`, async () => {
      const trace = await Trace.create();
      const rig = await splitDeviceRig({
        size,
        dataBytes: 16 * size + 1024,
        engine: { ...trace.options, heapBytes: 64, batch: 8, maxSgs: size },
      });
      const { engine, device, peer, areas, data } = rig;
      const places = { buffer: data.ptr, table: data.ptr + 512 };
      act(peer, places);
      peer.publish();
      trace.guard(engine, permits(engine, deviceTerritory(engine, "split", areas)));
      trace.limit = CALL + (honest + 1) * (BUFFER + ELEMENT * (size + 1));
      const log = trace.record(() => expect(device.popBurst(32)).toBe(honest));
      // avail.idx, and for each buffer its head, Q elements, a referrer, and the one that is too many.
      expect(looks(log, engine)).toBeLessThanOrEqual(2 + (honest + 1) * (2 + 16 * (size + 2)));
      expect(device.violation?.code).toBe(code);
      expect(engine.devices[0].configNotifications).toBe(1);
      expect(trace.trespasses).toEqual([]);
    });
  }

  for (const { name, code, act } of PACKED) {
    it(`H-V-03, P-D-09: packed, ${name}, breaks the queue within a number of steps that follows from Q`, async () => {
      const trace = await Trace.create();
      const rig = await packedDeviceRig({
        size,
        dataBytes: 16 * size + 1024,
        engine: { ...trace.options, heapBytes: 64 },
      });
      const { engine, device, peer, areas, data } = rig;
      act(peer, { buffer: data.ptr, table: data.ptr + 512 });
      trace.guard(engine, permits(engine, deviceTerritory(engine, "packed", areas)));
      trace.limit = CALL + BUFFER + ELEMENT * (size + 1);
      const log = trace.record(() => expect(device.popBurst(32)).toBe(0));
      expect(looks(log, engine)).toBeLessThanOrEqual(16 * (size + 2));
      expect(device.violation?.code).toBe(code);
      expect(engine.devices[0].configNotifications).toBe(1);
      expect(trace.trespasses).toEqual([]);
    });
  }
});

it("H-V-01: a burst takes as many buffers as the ring holds at most, each once, in steps that follow from their number", async () => {
  for (const format of RING_FORMATS) {
    const size = 256;
    const trace = await Trace.create();
    const options = { size, engine: { ...trace.options, batch: 1024 } };
    const { device, peer, data } =
      format === "split" ? await splitDeviceRig(options) : await packedDeviceRig(options);
    for (let k = 0; k < size; k++) peer.add(elementsAt(data.ptr, [1]));
    peer.publish();
    trace.limit = CALL + size * (BUFFER + ELEMENT);
    trace.reset();
    expect(device.popBurst(1024)).toBe(size);
    trace.limit = CALL;
    trace.reset();
    expect(device.popBurst(1024)).toBe(0);
  }
});

it("H-D-01, H-D-02: whatever the used ring says, a burst of reclaims takes steps that follow from what is out", async () => {
  const size = 256;
  // Ids as the device writes them: the same one for ever, backwards, the newest first, and none at all.
  const lies: ((k: number) => number)[] = [
    () => 0,
    (k) => size - 1 - k,
    () => size - 1,
    () => 0xffff_ffff,
    (k) => k,
  ];
  for (const format of RING_FORMATS) {
    for (const inOrder of [false, true]) {
      for (const lie of lies) {
        const trace = await Trace.create();
        const options = {
          size,
          tables: "freelist" as const,
          features: features(format, "INDIRECT_DESC", ...(inOrder ? ["IN_ORDER" as const] : [])),
          engine: { ...trace.options, batch: 1024 },
        };
        const rig = format === "split" ? await splitDriverRig(options) : await packedDriverRig(options);
        const { engine, driver, peer, areas, data } = rig;
        for (let token = 0; token < size; token++)
          driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token });
        driver.publish();
        for (let k = 0; k < size; k++) {
          if ("usedIdx" in peer) peer.setUsedEntry(k, { id: lie(k), len: 0 });
          else peer.writeDesc(k, { id: lie(k) & 0xffff, flags: usedBits(1) });
        }
        if ("usedIdx" in peer) peer.usedIdx = size;
        trace.guard(engine, permits(engine, driverTerritory(engine, format, areas, false)));
        trace.limit = CALL + size * (BUFFER + ELEMENT);
        trace.reset();
        const honest = driver.reclaimBurst(1024);
        expect(trace.trespasses).toEqual([]);
        trace.guard(engine, null);
        trace.limit = Number.POSITIVE_INFINITY;
        driver.stop();
        expect(driver.detach().length).toBe(size - honest);
        expect(driver.counters().liveTables).toBe(0);
      }
    }
  }
});

it("a loop without a bound would be seen: a call that goes on beyond its steps ends in an error", async () => {
  const trace = await Trace.create();
  const { device, peer, data } = await splitDeviceRig({ size: 8, engine: trace.options });
  for (let k = 0; k < 8; k++) peer.add(elementsAt(data.ptr, [1]));
  peer.publish();
  trace.limit = CALL;
  trace.reset();
  expect(() => device.popBurst(8)).toThrow(StepsExceeded);
});
