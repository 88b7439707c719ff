/**
 * What each half loads and stores, access by access: rows about the order of stores, about who may
 * write what, and about looking once. The peer is a raw one, or the engine's own other half.
 */
import { describe, expect, it } from "vitest";
import type { DeviceQueue } from "../../src/device-queue.ts";
import type { DriverQueue } from "../../src/driver-queue.ts";
import { RING_FORMATS, TABLE_SOURCES, type TableSource } from "../../src/names.ts";
import type { Span } from "../support/canaries.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";
import { availBits } from "../support/raw-packed.ts";
import { INDIRECT, NEXT, splitPartBytes } from "../support/raw-split.ts";
import {
  bufferOf,
  deviceRig,
  elementsAt,
  engineSplitPlaces,
  features,
  packedDeviceRig,
  packedDriverRig,
  splitDeviceRig,
  splitDriverRig,
} from "../support/rig.ts";
import { type Access, loads, permits, stores, Trace, within } from "../support/trace.ts";
import { deviceTerritory, driverTerritory, sharedPart } from "./territory.ts";

const SIZE = 8;
const SOURCES = Object.keys(TABLE_SOURCES) as TableSource[];

/** A buffer of 1 to `most` elements from `ptr` on. */
function anyElements(random: Random, ptr: number, most: number) {
  const sizes = Array.from({ length: random.int(1, most) }, () => random.int(1, 20));
  const readable = random.int(0, sizes.length);
  return elementsAt(ptr, sizes.slice(0, readable), sizes.slice(readable));
}

describe.each(RING_FORMATS)("accesses of both halves of a %s queue", (format) => {
  it.each(SOURCES)(
    "S-B-03, H-D-04: in a long random run no half stores into what is the other's, nor loads what it must know itself, tables from %s",
    async (tables) => {
      const usesHeap = tables === "heap" || tables === "grow";
      const trace = await Trace.create();
      const engine = await createEngine({
        ...trace.options,
        queueSize: SIZE,
        bufferBytes: 4096,
        threshold: 6,
        nodes: 2,
      });
      const { driver, device } = engine.connect(0, {
        format,
        tables,
        features: features(format, "INDIRECT_DESC", "EVENT_IDX"),
      });
      const { desc, avail, used } = engineSplitPlaces(engine, SIZE);
      const bytes = splitPartBytes(SIZE);
      const areas: Span[] = [
        { ptr: desc, bytes: bytes.desc },
        { ptr: avail, bytes: format === "split" ? bytes.avail : 4 },
        { ptr: used, bytes: format === "split" ? bytes.used : 4 },
      ];
      const asDriver = permits(engine, driverTerritory(engine, format, areas, usesHeap));
      const asDevice = permits(engine, deviceTerritory(engine, format, areas));
      const random = new Random(3);
      const inFlight: { handle: number; capacity: number }[] = [];
      let reclaimed = 0;
      for (let step = 0; step < 600; step++) {
        trace.guard(engine, asDriver);
        if (random.chance(60))
          driver.add({ ...bufferOf(anyElements(random, engine.buffers.ptr, 6)), token: step });
        if (random.chance(50)) driver.publish();
        if (random.chance(20)) random.chance(50) ? driver.arm(random.int(0, 3)) : driver.suppress();
        trace.guard(engine, asDevice);
        for (const { handle, writableBytes } of device.pop(random.int(1, 3)))
          inFlight.push({ handle, capacity: writableBytes });
        if (random.chance(60) && inFlight.length > 0) {
          const [{ handle, capacity }] = inFlight.splice(random.int(0, inFlight.length - 1), 1);
          device.markUsed(handle, random.int(0, capacity));
        }
        if (random.chance(50)) device.publishUsed();
        if (random.chance(20)) random.chance(50) ? device.arm(random.int(0, 3)) : device.suppress();
        trace.guard(engine, asDriver);
        reclaimed += driver.reclaim().length;
      }
      expect(trace.trespasses).toEqual([]);
      expect(reclaimed).toBeGreaterThan(150);
      // Control: the guard sees a half that leaves its territory.
      trace.guard(engine, asDevice);
      driver.add({ readable: [{ ptr: engine.buffers.ptr, bytes: 1 }], token: 0 });
      driver.publish();
      expect(trace.trespasses.length).toBeGreaterThan(0);
    },
  );

  it("H-V-06: one burst of pops loads no byte of what the driver can write twice, direct and with tables", async () => {
    const trace = await Trace.create();
    const { engine, device, peer, data } = await deviceRig(format, { size: SIZE, engine: trace.options });
    const random = new Random(5);
    for (let round = 0; round < 40; round++) {
      const buffers = random.int(1, 2);
      for (let k = 0; k < buffers; k++) {
        const elements = anyElements(random, data.ptr, 4);
        if (random.chance(50)) peer.indirect(data.ptr + 2048 + 256 * k, elements);
        else peer.add(elements);
      }
      peer.publish();
      const seen = within(loads(trace.record(() => device.popBurst(8))), sharedPart(engine));
      const bytes = bytesOf(seen);
      expect(new Set(bytes).size).toBe(bytes.length);
      expect(seen.length).toBeGreaterThan(2);
      expect(device.markPoppedUsed(buffers)).toBe(buffers);
      device.publishUsed();
      expect(peer.used().length).toBe(buffers);
    }
  });

  it(`${format === "split" ? "S-V-02, S-V-03" : "P-V-06"}: no call of the device half loads or stores a byte of a buffer, or stores into a table`, async () => {
    const trace = await Trace.create();
    const { device, peer, data } = await deviceRig(format, { size: SIZE, engine: trace.options });
    const elements = elementsAt(data.ptr, [100], [200, 300]);
    const table: Span = { ptr: data.ptr + 2048, bytes: 48 };
    peer.indirect(table.ptr, elements);
    peer.add(elements);
    peer.publish();
    const log = trace.record(() => {
      expect(device.popBurst(8)).toBe(2);
      expect(device.markPoppedUsed(2)).toBe(2);
      expect(device.publishUsed()).toBe(true);
      device.arm();
      device.suppress();
    });
    expect(within(log, { ptr: data.ptr, bytes: 600 })).toEqual([]);
    // The control: the table is in the log.
    expect(within(loads(log), table).length).toBeGreaterThan(2);
    expect(within(stores(log), table)).toEqual([]);
  });

  it("V-V-04, V-V-01: a half that is stopped, or was never enabled, accesses no ring, however full it is", async () => {
    const trace = await Trace.create();
    const { engine, device, peer, data } = await deviceRig(format, {
      size: SIZE,
      engine: { ...trace.options, queues: 2 },
    });
    peer.add(elementsAt(data.ptr, [1], [1]));
    peer.publish();
    const shared = (call: () => void): Access[] => within(trace.record(call), sharedPart(engine));
    device.stop();
    expect(shared(() => pump(device))).toEqual([]);
    const { driver } = engine.connect(1, { format, size: SIZE });
    driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token: 1 });
    driver.stop();
    expect(
      shared(() => {
        driver.publish();
        driver.reclaimBurst(1);
        driver.addBurst(1);
        driver.arm();
        driver.suppress();
      }),
    ).toEqual([]);
    const fresh = await Trace.create();
    const other = await createEngine({ ...fresh.options, queueSize: SIZE, bufferBytes: 64 });
    const { wasm } = other;
    const never = other.region("queue 0 device").ptr;
    const [pop, use, publish, arm] =
      format === "split"
        ? [wasm.splitDevicePop, wasm.splitDeviceMarkUsed, wasm.splitDevicePublishUsed, wasm.splitDeviceArm]
        : [
            wasm.packedDevicePop,
            wasm.packedDeviceMarkUsed,
            wasm.packedDevicePublishUsed,
            wasm.packedDeviceArm,
          ];
    const log = fresh.record(() => {
      expect(pop(never, other.scratch.ptr, 0, 8)).toBe(0);
      expect(use(never, other.scratch.ptr, 1)).toBe(0);
      expect(publish(never)).toBe(0);
      expect(arm(never, 0)).toBe(0);
    });
    expect(within(log, sharedPart(other))).toEqual([]);
    expect(log.length).toBeGreaterThan(0);
  });

  it("G-V-01: before DRIVER_OK the device half accesses no ring to pop, use or publish", async () => {
    const trace = await Trace.create();
    const { engine, device, peer, data } = await deviceRig(format, { size: SIZE, engine: trace.options });
    const [virtio] = engine.devices;
    const running = virtio.status;
    virtio.status = 0x0b;
    peer.add(elementsAt(data.ptr, [1]));
    peer.publish();
    const log = trace.record(() => {
      expect(device.popBurst(8)).toBe(0);
      expect(device.publishUsed()).toBe(false);
    });
    expect(within(log, sharedPart(engine))).toEqual([]);
    virtio.status = running;
    expect(device.popBurst(8)).toBe(1);
  });
});

function pump(device: DeviceQueue): void {
  device.popBurst(8);
  device.markUsedBurst(1);
  device.markPoppedUsed(1);
  device.publishUsed();
  device.arm();
  device.suppress();
}

describe("stores of the split driver half", () => {
  it.each([false, true])(
    "S-D-09, S-D-10, S-D-16, S-D-20: avail.idx moves forward by one store a publish, which is its only shared store, through 2^16; EVENT_IDX: %s",
    async (eventIdx) => {
      const size = 256;
      const trace = await Trace.create();
      const { engine, driver, peer } = await splitDriverRig({
        size,
        features: eventIdx ? features("split", "EVENT_IDX") : features("split"),
        engine: { ...trace.options, batch: size },
      });
      const { avail } = peer.places;
      const idx: Span = { ptr: avail + 2, bytes: 2 };
      const flags: Span = { ptr: avail, bytes: 2 };
      const event: Span = { ptr: avail + 4 + 2 * size, bytes: 2 };
      const random = new Random(7);
      const flagValues = new Set<bigint>();
      let old = 0;
      let wraps = 0;
      while (wraps < 1 || old < 2 * size) {
        const count = random.chance(90) ? size : random.int(0, size);
        let at = 0;
        for (let k = 0; k < count; k++) {
          driver.staged.set([k, 1, engine.buffers.ptr, 1], at);
          at += 4;
        }
        const add = trace.record(() => expect(driver.addBurst(count)).toBe(count));
        expect(within(stores(add), idx)).toEqual([]);
        const publish = within(stores(trace.record(() => driver.publish())), sharedPart(engine));
        const now = (old + count) & 0xffff;
        expect(publish).toEqual(
          count === 0 ? [] : [{ store: true, atomic: false, ...idx, value: BigInt(now) }],
        );
        if (now < old) wraps++;
        old = now;
        for (const call of [() => driver.suppress(), () => driver.arm()]) {
          const told = within(stores(trace.record(call)), sharedPart(engine));
          expect(told.length).toBe(1);
          expect(told[0]).toMatchObject(eventIdx ? event : flags);
          if (!eventIdx) flagValues.add(told[0].value);
        }
        for (const id of peer.heads()) peer.use({ id }, 0);
        peer.publish();
        const reclaim = trace.record(() => expect(driver.reclaimBurst(size)).toBe(count));
        expect(within(stores(reclaim), sharedPart(engine))).toEqual([]);
      }
      expect(peer.availFlags).toBe(0);
      expect([...flagValues].sort()).toEqual(eventIdx ? [] : [0n, 1n]);
    },
  );

  it("G-D-15: no call stores into a descriptor, a table or a slot of a buffer that is out", async () => {
    for (const tables of SOURCES) {
      const trace = await Trace.create();
      const { engine, driver, peer, data } = await splitDriverRig({
        size: SIZE,
        tables,
        engine: { ...trace.options, threshold: 6 },
      });
      const random = new Random(11);
      const out = new Map<number, Span[]>();
      for (let step = 0; step < 300; step++) {
        const log = stores(
          trace.record(() => {
            driver.add({ ...bufferOf(anyElements(random, data.ptr, 6)), token: step });
            driver.publish();
            if (random.chance(30)) driver.arm();
          }),
        );
        for (const span of [...out.values()].flat()) expect(within(log, span)).toEqual([]);
        for (const id of peer.heads()) out.set(id, splitSpans(peer, id));
        while (out.size > 0 && random.chance(60)) {
          const id = random.pick([...out.keys()]);
          peer.use({ id }, 0);
          peer.publish();
          const reclaim = trace.record(() => expect(driver.reclaimBurst(8)).toBe(1));
          // The allocator writes headers beside a table that comes back, never into one that is out.
          out.delete(id);
          for (const span of [...out.values()].flat()) expect(within(stores(reclaim), span)).toEqual([]);
        }
      }
      expect(engine.devices[0].needsReset).toBe(false);
    }
  });
});

/** Descriptors and table of a chain, where they lie. */
function splitSpans(peer: Awaited<ReturnType<typeof splitDriverRig>>["peer"], head: number): Span[] {
  const spans: Span[] = [];
  for (let index = head; ; ) {
    const { addr, len, flags, next } = peer.readDesc(index);
    spans.push({ ptr: peer.places.desc + 16 * index, bytes: 16 });
    if (flags & INDIRECT) spans.push({ ptr: peer.place(addr), bytes: len });
    if (!(flags & NEXT)) return spans;
    index = next;
  }
}

describe("stores of the split device half", () => {
  it.each([false, true])(
    "S-V-09, S-V-14, S-V-11: each byte of a used element is stored once, used.idx the only shared store of a publish, used.flags 0 or 1; EVENT_IDX: %s",
    async (eventIdx) => {
      const trace = await Trace.create();
      const { engine, device, peer, data } = await splitDeviceRig({
        size: SIZE,
        features: eventIdx ? features("split", "EVENT_IDX") : features("split"),
        engine: trace.options,
      });
      const { used } = peer.places;
      const flags: Span = { ptr: used, bytes: 2 };
      const event: Span = { ptr: used + 4 + 8 * SIZE, bytes: 2 };
      const flagValues = new Set<bigint>();
      const shared = (call: () => void): Access[] => within(stores(trace.record(call)), sharedPart(engine));
      const random = new Random(13);
      let usedIdx = 0;
      for (let round = 0; round < 50; round++) {
        const count = random.int(1, SIZE);
        for (let k = 0; k < count; k++) peer.add(elementsAt(data.ptr, [], [10]));
        peer.publish();
        expect(shared(() => device.popBurst(SIZE))).toEqual([]);
        const marked = shared(() => expect(device.markPoppedUsed(count)).toBe(count));
        const slots = Array.from({ length: count }, (_, k) => used + 4 + 8 * ((usedIdx + k) % SIZE));
        expect(bytesOf(marked)).toEqual(
          slots.flatMap((slot) => [0, 1, 2, 3, 4, 5, 6, 7].map((at) => slot + at)),
        );
        usedIdx = (usedIdx + count) & 0xffff;
        expect(shared(() => device.publishUsed())).toEqual([
          { store: true, atomic: false, ptr: used + 2, bytes: 2, value: BigInt(usedIdx) },
        ]);
        expect(shared(() => device.publishUsed())).toEqual([]);
        for (const call of [() => device.suppress(), () => device.arm()]) {
          const told = shared(call);
          expect(told.length).toBe(1);
          expect(told[0]).toMatchObject(eventIdx ? event : flags);
          if (!eventIdx) flagValues.add(told[0].value);
        }
        expect(peer.used().length).toBe(count);
      }
      expect([...flagValues].sort()).toEqual(eventIdx ? [] : [0n, 1n]);
    },
  );

  it("S-V-12: a batch with IN_ORDER is one used element, stored over again in the slot of its first buffer only", async () => {
    const trace = await Trace.create();
    const { engine, device, peer, data } = await splitDeviceRig({
      size: SIZE,
      features: features("split", "IN_ORDER"),
      engine: trace.options,
    });
    for (let k = 0; k < 5; k++) peer.add(elementsAt(data.ptr, [], [10]));
    peer.publish();
    expect(device.popBurst(SIZE)).toBe(5);
    const log = within(stores(trace.record(() => device.markPoppedUsed(5))), sharedPart(engine));
    expect(within(log, { ptr: peer.places.used + 4, bytes: 8 }).length).toBe(log.length);
    expect(log.length).toBeGreaterThan(0);
    device.publishUsed();
    expect(peer.usedIdx).toBe(5);
    expect(peer.usedEntry(0).id).toBe(4);
  });
});

/** Every place that was accessed, byte by byte, in order. */
function bytesOf(log: readonly Access[]): number[] {
  return log.flatMap(({ ptr, bytes }) => Array.from({ length: bytes }, (_, at) => ptr + at));
}

/** Ring slots of stores, with the offset in the descriptor. */
function slotStores(
  log: readonly Access[],
  desc: number,
  size: number,
): { slot: number; at: number; bytes: number }[] {
  return within(stores(log), { ptr: desc, bytes: 16 * size }).map(({ ptr, bytes }) => ({
    slot: (ptr - desc) >>> 4,
    at: (ptr - desc) & 15,
    bytes,
  }));
}

describe("stores of the packed driver half", () => {
  it("P-D-04, P-D-13: the flags of a burst's first head are stored by publish alone, as its only shared store, after all other words; no other word is stored twice", async () => {
    for (const size of [5, 7, 8]) {
      const trace = await Trace.create();
      const { engine, driver, peer, data } = await packedDriverRig({
        size,
        tables: "direct",
        engine: trace.options,
      });
      const random = new Random(size);
      let slot = 0;
      for (let round = 0; round < 60; round++) {
        const first = slot;
        let lists = 0;
        const add = trace.record(() => {
          for (let left = size; left > 0; ) {
            const elements = anyElements(random, data.ptr, Math.min(3, left));
            expect(driver.add({ ...bufferOf(elements), token: round })).toBe(true);
            lists++;
            slot = (slot + elements.length) % size;
            left -= elements.length;
          }
        });
        // A device polls one slot, so it reaches none of the lists before the first head is there.
        const words = slotStores(add, peer.places.desc, size);
        const head = words.filter((one) => one.slot === first);
        expect(head).toEqual([{ slot: first, at: 0, bytes: 8 }]);
        expect(new Set(words.map((one) => `${one.slot}+${one.at}`)).size).toBe(2 * size - 1);
        const publish = within(stores(trace.record(() => driver.publish())), sharedPart(engine));
        expect(publish.map(({ ptr, bytes }) => [ptr, bytes])).toEqual([
          [peer.places.desc + 16 * first + 8, 8],
        ]);
        for (const buffer of random.shuffle(peer.take())) peer.use(buffer, 0);
        peer.publish();
        expect(driver.reclaim().length).toBe(lists);
      }
    }
  });

  it("P-D-12, G-D-15: no slot is stored into between its AVAIL flip and the reclaim that saw its USED flip, nor a table that is out", async () => {
    for (const tables of SOURCES) {
      const size = 7;
      const trace = await Trace.create();
      const { driver, peer, data } = await packedDriverRig({
        size,
        tables,
        engine: { ...trace.options, threshold: 6 },
      });
      const random = new Random(17);
      const out: { buffer: ReturnType<typeof peer.take>[number]; tables: Span[] }[] = [];
      // Used descriptors go to the slots in order, whichever buffer they are for, and free them in order.
      let firstHeld = 0;
      for (let step = 0; step < 300; step++) {
        const count = out.reduce((sum, { buffer }) => sum + buffer.slots, 0);
        const held = new Set(Array.from({ length: count }, (_, k) => (firstHeld + k) % size));
        let from = peer.avail.slot;
        const log = trace.record(() => {
          driver.add({ ...bufferOf(anyElements(random, data.ptr, 6)), token: step });
          driver.publish();
          if (random.chance(30)) driver.arm();
        });
        for (const { slot } of slotStores(log, peer.places.desc, size)) expect(held.has(slot)).toBe(false);
        for (const span of out.flatMap((one) => one.tables)) expect(within(stores(log), span)).toEqual([]);
        for (const buffer of peer.take()) {
          const { addr, len, flags } = peer.readDesc(from);
          out.push({ buffer, tables: flags & INDIRECT ? [{ ptr: peer.place(addr), bytes: len }] : [] });
          from = (from + buffer.slots) % size;
        }
        while (out.length > 0 && random.chance(60)) {
          const [{ buffer }] = out.splice(random.int(0, out.length - 1), 1);
          firstHeld = (firstHeld + buffer.slots) % size;
          peer.use(buffer, 0);
          peer.publish();
          const reclaim = trace.record(() => expect(driver.reclaimBurst(8)).toBe(1));
          expect(slotStores(reclaim, peer.places.desc, size)).toEqual([]);
          for (const span of out.flatMap((one) => one.tables))
            expect(within(stores(reclaim), span)).toEqual([]);
        }
      }
    }
  });

  it("P-B-05, P-D-15: reclaim loads the flags, id and len of one slot at a time in one load, and nothing at all when nothing is out", async () => {
    const trace = await Trace.create();
    const { engine, driver, peer, data } = await packedDriverRig({ size: 7, engine: trace.options });
    const ring = (): [number, number][] =>
      within(loads(trace.record(() => driver.reclaimBurst(8))), sharedPart(engine)).map(({ ptr, bytes }) => [
        ptr,
        bytes,
      ]);
    expect(ring()).toEqual([]);
    for (let token = 0; token < 4; token++) driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token });
    driver.publish();
    const word = (slot: number): [number, number] => [peer.places.desc + 16 * slot + 8, 8];
    expect(ring()).toEqual([word(0)]);
    const taken = peer.take();
    peer.use(taken[2], 0);
    peer.use(taken[0], 0);
    peer.publish();
    expect(ring()).toEqual([word(0), word(1), word(2)]);
    expect(ring()).toEqual([word(2)]);
  });
});

describe("stores of the packed device half", () => {
  it("P-V-08, P-V-02: a used descriptor is one store of len, id and flags, and nothing is stored to it again", async () => {
    const size = 7;
    const trace = await Trace.create();
    const { device, peer, data } = await packedDeviceRig({ size, engine: trace.options });
    const random = new Random(19);
    const { desc } = peer.places;
    let position = 0;
    const inFlight: { handle: number; slots: number }[] = [];
    for (let round = 0; round < 200; round++) {
      const elements = anyElements(random, data.ptr, 3);
      const busy = inFlight.reduce((sum, { slots }) => sum + slots, 0);
      if (busy + elements.length <= size) {
        peer.add(elements);
        peer.publish();
        const pop = trace.record(() => {
          for (const { handle } of device.pop()) inFlight.push({ handle, slots: elements.length });
        });
        expect(slotStores(pop, desc, size)).toEqual([]);
      }
      if (random.chance(40)) continue;
      const done = random.shuffle(inFlight.splice(0, random.int(0, inFlight.length)));
      const log = slotStores(
        trace.record(() => {
          for (const { handle } of done) device.markUsed(handle, 0);
          device.publishUsed();
          device.publishUsed();
        }),
        desc,
        size,
      );
      const expected = done.map(({ slots }) => {
        const slot = position;
        position = (position + slots) % size;
        return { slot, at: 8, bytes: 8 };
      });
      // P-V-12: the first of a batch is stored last.
      expect(log).toEqual([...expected.slice(1), ...expected.slice(0, 1)]);
      expect(peer.used().length).toBe(done.length);
    }
  });

  it("P-B-05, P-V-07: an idle pop loads one word of the ring, the flags of the slot that comes next, and no address before them", async () => {
    const trace = await Trace.create();
    const { engine, device, peer, data } = await packedDeviceRig({ size: 7, engine: trace.options });
    const ring = (): number[] =>
      within(loads(trace.record(() => device.popBurst(8))), sharedPart(engine)).map(
        ({ ptr }) => ptr - peer.places.desc,
      );
    expect(ring()).toEqual([8]);
    // P-V-07: addr, len and id alone make nothing available.
    peer.writeDesc(0, { addr: peer.bus(data.ptr), len: 4, id: 1, flags: 0 });
    expect(ring()).toEqual([8]);
    peer.setFlags(0, availBits(1));
    expect(ring()).toEqual([8, 0, 24]);
    expect(ring()).toEqual([24]);
  });

  it.each([
    ["driver", false],
    ["driver", true],
    ["device", false],
    ["device", true],
  ] as const)(
    "P-B-08: what the %s half stores into its event structure; EVENT_IDX: %s",
    async (side, eventIdx) => {
      const size = 5;
      const trace = await Trace.create();
      const wanted = eventIdx ? features("packed", "EVENT_IDX") : features("packed");
      const rig = { size, features: wanted, engine: trace.options };
      const { engine, half, event, turn } =
        side === "driver" ? await eventDriver(rig) : await eventDevice(rig);
      const random = new Random(23);
      const values: bigint[] = [];
      for (let round = 0; round < 60; round++) {
        const log = within(
          stores(trace.record(() => (random.chance(40) ? half.suppress() : half.arm(random.int(0, 9))))),
          sharedPart(engine),
        );
        expect(log.map(({ ptr, bytes }) => [ptr, bytes])).toEqual([[event, 4]]);
        values.push(log[0].value);
        turn();
      }
      const modes = new Set(values.map((value) => Number(value >> 16n)));
      expect([...modes].sort()).toEqual(eventIdx ? [1, 2] : [0, 1]);
      for (const value of values) {
        const offset = Number(value & 0x7fffn);
        if (eventIdx) expect(offset).toBeLessThan(size);
        else expect(Number(value & 0xffffn)).toBe(0);
      }
    },
  );
});

interface EventRig {
  engine: Awaited<ReturnType<typeof createEngine>>;
  half: Pick<DriverQueue & DeviceQueue, "arm" | "suppress">;
  /** Where the half's event structure lies. */
  event: number;
  /** One buffer goes round. */
  turn(): void;
}

async function eventDriver(options: Parameters<typeof packedDriverRig>[0]): Promise<EventRig> {
  const { engine, driver, peer, data } = await packedDriverRig(options);
  const turn = (): void => {
    driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token: 0 });
    driver.publish();
    for (const buffer of peer.take()) peer.use(buffer, 0);
    peer.publish();
    expect(driver.reclaimBurst(1)).toBe(1);
  };
  return { engine, half: driver, event: peer.places.driverArea, turn };
}

async function eventDevice(options: Parameters<typeof packedDeviceRig>[0]): Promise<EventRig> {
  const { engine, device, peer, data } = await packedDeviceRig(options);
  const turn = (): void => {
    peer.add(elementsAt(data.ptr, [1]));
    peer.publish();
    expect(device.popBurst(1)).toBe(1);
    device.markPoppedUsed(1);
    device.publishUsed();
    expect(peer.used().length).toBe(1);
  };
  return { engine, half: device, event: peer.places.deviceArea, turn };
}
