/** The driver halves against a raw device: what is the same in both formats. */
import { describe, expect, it } from "vitest";
import { RefusedError } from "../../src/errors.ts";
import { RING_FORMATS, TABLE_SOURCES, type TableSource } from "../../src/names.ts";
import { Random } from "../support/random.ts";
import type { Element, TakenBuffer } from "../support/raw-memory.ts";
import { bufferOf, driverRig, elementsAt, features } from "../support/rig.ts";
import { Snapshot } from "../support/snapshot.ts";

const SOURCES = Object.keys(TABLE_SOURCES) as TableSource[];

/** Sizes that each format has to work with (S-B-02, P-B-01). */
const SIZES = {
  split: [1, 2, 256, 1024, 32768],
  packed: [1, 2, 3, 7, 256, 1000, 1024, 32768],
} as const;

describe.each(RING_FORMATS)("the %s driver half", (format) => {
  const split = format === "split";

  it.each(SOURCES)(
    `${split ? "S-D-19, S-D-02, S-D-08" : "P-D-10, P-D-07, P-B-07"}: a raw device reads the elements that were given, tables from %s`,
    async (tables) => {
      const random = new Random(1);
      const size = 64;
      const { driver, peer, data } = await driverRig(format, { size, tables });
      let token = 0;
      for (let round = 0; round < 100; round++) {
        const given = new Map<number, unknown>();
        const taken: TakenBuffer[] = [];
        for (let k = random.int(1, 6); k > 0; k--) {
          const total = random.pick([1, 1, 2, 3, 4, 5, 9]);
          const readable = random.int(0, total);
          const sizes = Array.from({ length: total }, () => random.int(1, 3000));
          const elements = elementsAt(
            data.ptr + random.int(0, 500),
            sizes.slice(0, readable),
            sizes.slice(readable),
          );
          const ok = driver.add({ ...bufferOf(elements), token: ++token });
          expect(ok).toBe(true);
          given.set(
            token,
            elements.map(({ ptr, bytes, write }) => ({ addr: peer.bus(ptr), len: bytes, write })),
          );
        }
        driver.publish();
        taken.push(...peer.take());
        expect(taken.map(({ elements }) => elements)).toEqual([...given.values()]);
        for (const buffer of taken) peer.use(buffer, 0);
        peer.publish();
        expect(driver.reclaim().map((used) => used.token)).toEqual([...given.keys()]);
      }
      expect(driver.violation).toBeNull();
      expect(driver.numFree).toBe(size);
      expect(driver.counters().liveTables).toBe(0);
    },
  );

  it("V-B-02: without IN_ORDER completions come in any order, each token once and with its own length", async () => {
    const random = new Random(2);
    const size = split ? 64 : 61;
    const { driver, peer, data } = await driverRig(format, { size, tables: "freelist" });
    const lengths = new Map<number, number>();
    const held: { buffer: TakenBuffer; token: number; capacity: number }[] = [];
    const added: { token: number; capacity: number }[] = [];
    let token = 0;
    for (let round = 0; round < 4000; round++) {
      for (let k = random.int(0, 8); k > 0; k--) {
        const writable = Array.from({ length: random.int(0, 3) }, () => random.int(1, 200));
        const readable = writable.length === 0 || random.chance(50) ? [random.int(1, 200)] : [];
        const elements = elementsAt(data.ptr, readable, writable);
        if (!driver.add({ ...bufferOf(elements), token })) break;
        added.push({ token, capacity: writable.reduce((sum, bytes) => sum + bytes, 0) });
        token++;
      }
      driver.publish();
      for (const buffer of peer.take()) {
        const next = added.shift();
        if (next === undefined) throw new Error("the raw device took a buffer that was not added");
        held.push({ buffer, ...next });
      }
      const rest = random.shuffle(held);
      for (const { buffer, token, capacity } of rest.splice(0, random.int(0, rest.length))) {
        const len = random.int(0, capacity);
        peer.use(buffer, len);
        lengths.set(token, len);
        held.splice(
          held.findIndex((one) => one.buffer === buffer),
          1,
        );
      }
      peer.publish();
      for (const used of driver.reclaim()) {
        if (lengths.get(used.token) !== used.len)
          throw new Error(`token ${used.token}: ${used.len}, not ${lengths.get(used.token)}`);
        lengths.delete(used.token);
      }
    }
    for (let burst = 0; burst < size; burst++)
      for (const used of driver.reclaim()) lengths.delete(used.token);
    expect(lengths.size).toBe(0);
    expect(token).toBeGreaterThan(10_000);
    expect(driver.violation).toBeNull();
    expect(driver.outstanding).toBe(held.length);
  });

  it.each(SIZES[format])(
    `${split ? "S-B-02, S-B-07" : "P-B-01, P-B-02"}: a ring of %i is filled to the brim and emptied, lap after lap`,
    async (size) => {
      const random = new Random(size);
      const { engine, driver, peer, data } = await driverRig(format, {
        size,
        tables: "direct",
        engine: { batch: 1024, maxSgs: 2 },
      });
      const segment = { ptr: data.ptr, bytes: 16 };
      const laps = size > 1024 ? 3 : Math.max(5, Math.ceil(2000 / size));
      const staged = driver.staged;
      for (let lap = 0; lap < laps; lap++) {
        for (let added = 0; added < size; ) {
          const burst = Math.min(1024, size - added);
          for (let k = 0; k < burst; k++) staged.set([lap * size + added + k, 1, segment.ptr, 16], 4 * k);
          expect(driver.addBurst(burst)).toBe(burst);
          driver.publish();
          added += burst;
        }
        const before = new Snapshot(engine);
        expect(driver.add({ readable: [segment], token: 0 })).toBe(false);
        // No ring, no table and no shadow record: only what the caller staged, and how far it was read.
        expect(["queue 0 driver", "queue 0 staging add"]).toEqual(expect.arrayContaining(before.regions()));
        const taken = peer.take();
        expect(taken.length).toBe(size);
        for (const buffer of random.shuffle(taken)) peer.use(buffer, 0);
        peer.publish();
        const tokens = new Set<number>();
        for (let count = driver.reclaimBurst(1024); count > 0; count = driver.reclaimBurst(1024)) {
          for (let k = 0; k < count; k++) tokens.add(driver.reclaimed[2 * k]);
        }
        expect(tokens.size).toBe(size);
        expect(driver.numFree).toBe(size);
      }
      expect(driver.violation).toBeNull();
    },
  );

  it(`${split ? "S-D-07" : "P-D-09"}: a buffer of exactly the ring's size is accepted and one more element is refused, direct and with tables`, async () => {
    const size = split ? 8 : 7;
    const sizes = (count: number): number[] => Array.from({ length: count }, () => 10);
    for (const tables of SOURCES) {
      const { driver, peer, data } = await driverRig(format, { size, tables });
      const most = bufferOf(elementsAt(data.ptr, sizes(3), sizes(size - 3)));
      expect(driver.add({ ...most, token: 1 })).toBe(true);
      driver.publish();
      const [buffer] = peer.take();
      expect(buffer.elements.length).toBe(size);
      peer.use(buffer, 0);
      peer.publish();
      expect(driver.reclaim()).toEqual([{ token: 1, len: 0 }]);
      const over = bufferOf(elementsAt(data.ptr, sizes(3), sizes(size - 2)));
      expect(() => driver.add({ ...over, token: 2 })).toThrow(
        expect.objectContaining({ code: "too-many-elements", index: 0, queue: 0 }),
      );
      expect(driver.outstanding).toBe(0);
    }
  });

  it(`${split ? "S-D-07" : "P-D-09"}: the refusal of an add names the record, and what came before it stays added`, async () => {
    const { driver, peer, data } = await driverRig(format, { size: 4 });
    driver.staged.set([1, 1, data.ptr, 8, 2, 1, data.ptr, 8, 3, 0, 4, 1, data.ptr, 8]);
    expect(driver.addBurst(4)).toBe(2);
    expect(driver.refusal).toBeInstanceOf(RefusedError);
    expect(driver.refusal).toMatchObject({ code: "empty-buffer", index: 2, requirement: "S-D-19" });
    driver.publish();
    expect(peer.take().length).toBe(2);
    expect(driver.state).toBe("live");
  });

  it("S-D-07: the refused record is counted from the start of the burst, also behind a fall to the heap", async () => {
    const { driver, data } = await driverRig(format, { size: 16, tables: "freelist", threshold: 2 });
    const sg = [data.ptr, 8];
    driver.staged.set([1, 1, ...sg, 2, 3, ...sg, ...sg, ...sg, 3, 2, ...sg, ...sg, 4, 0]);
    expect(driver.addBurst(4)).toBe(3);
    expect(driver.refusal).toMatchObject({ code: "empty-buffer", index: 3 });
  });

  it.each(SOURCES)(
    "S-D-03: a refused buffer leaves nothing behind: the next one is seen alone and as it was given, tables from %s",
    async (tables) => {
      const { engine, driver, peer, data } = await driverRig(format, { size: 8, tables, threshold: 4 });
      const round = (elements: Element[], token: number): void => {
        expect(driver.add({ ...bufferOf(elements), token })).toBe(true);
        driver.publish();
        const taken = peer.take();
        expect(taken.map(({ elements }) => elements)).toEqual([
          elements.map(({ ptr, bytes, write }) => ({ addr: peer.bus(ptr), len: bytes, write })),
        ]);
        peer.use(taken[0], 0);
        peer.publish();
        expect(driver.reclaim()).toEqual([{ token, len: 0 }]);
      };
      // Every slot is used once, so that what a slot keeps is there.
      for (let k = 0; k < 8; k++) round(elementsAt(data.ptr, [1, 2, 3]), k);
      for (let k = 0; k < 40; k++) {
        const count = [2, 3, 5, 6][k % 4];
        const bytes = new Array(count).fill(0xffff_ffff);
        const readable = bytes.map((bytes) => ({ ptr: data.ptr, bytes }));
        expect(() => driver.add({ readable, token: 99 })).toThrow(
          expect.objectContaining({ code: "buffer-bytes" }),
        );
        round(elementsAt(data.ptr, k % 3 ? [4, 5, 6] : [7]), k);
      }
      expect(driver.numFree).toBe(8);
      expect(driver.counters().liveTables).toBe(0);
      driver.stop();
      driver.detach();
      expect(engine.heapLiveBlocks()).toBe(0);
    },
  );

  it.each(SOURCES)(
    "a buffer that was refused or did not fit is in no counter, tables from %s",
    async (tables) => {
      const { driver, data } = await driverRig(format, { size: 4, tables, engine: { heapBytes: 4096 } });
      driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token: 1 });
      const before = driver.counters();
      for (const count of [2, 4]) {
        const readable = new Array(count).fill({ ptr: data.ptr, bytes: 0xffff_ffff });
        try {
          expect(driver.add({ readable, token: 2 })).toBe(false);
        } catch (error) {
          expect(error).toMatchObject({ code: "buffer-bytes" });
        }
      }
      for (let k = 0; k < 3; k++) driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token: 3 });
      for (const count of [1, 2, 4]) {
        const readable = new Array(count).fill({ ptr: data.ptr, bytes: 1 });
        expect(driver.add({ readable, token: 4 })).toBe(false);
      }
      expect(driver.counters()).toEqual({ ...before, added: 4 });
    },
  );

  it("S-D-03: a buffer of exactly 2^32 bytes is accepted, one byte more is refused", async () => {
    const { driver, peer, data } = await driverRig(format, { size: 4 });
    const parts = (last: number): { ptr: number; bytes: number }[] => [
      { ptr: data.ptr, bytes: 0xffff_ffff },
      { ptr: data.ptr, bytes: last },
    ];
    expect(driver.add({ readable: parts(1), token: 1 })).toBe(true);
    expect(() => driver.add({ readable: parts(2), token: 2 })).toThrow(
      expect.objectContaining({ code: "buffer-bytes", requirement: "S-D-03" }),
    );
    driver.publish();
    expect(peer.take().length).toBe(1);
  });

  it(`${split ? "S-D-13" : "P-D-02"}: all areas are zero when the queue is enabled, whatever lay there`, async () => {
    for (const size of [1, 16]) {
      const { engine, driver, areas } = await driverRig(format, { size });
      driver.stop();
      for (const { ptr, bytes } of areas) engine.bytes(ptr, bytes).fill(0xff);
      engine.driverQueue(0, { format, size });
      for (const { ptr, bytes } of areas) expect(engine.bytes(ptr, bytes).every((b) => b === 0)).toBe(true);
    }
  });

  it(`${split ? "S-D-05" : "P-D-08"}: without INDIRECT_DESC no descriptor has INDIRECT, whatever the table source`, async () => {
    for (const tables of SOURCES) {
      const { driver, peer, data } = await driverRig(format, {
        size: 16,
        tables,
        tableAlways: true,
        features: features(format),
      });
      expect(
        driver.add({ ...bufferOf(elementsAt(data.ptr, [1, 2, 3], [4])), token: 1 }) &&
          driver.add({ ...bufferOf(elementsAt(data.ptr, [1])), token: 2 }),
      ).toBe(true);
      driver.publish();
      for (let slot = 0; slot < 16; slot++) expect(peer.readDesc(slot).flags & 4).toBe(0);
      const [first, second] = peer.take();
      expect([first.elements.length, second.elements.length]).toEqual([4, 1]);
      for (const buffer of [first, second]) peer.use(buffer, 0);
      peer.publish();
      expect(driver.reclaim().length).toBe(2);
      expect(driver.counters().tableTakes).toBe(0);
    }
  });

  it(`${split ? "S-D-20, S-D-16" : "P-D-13, P-D-04"}: nothing of a batch is seen before publish, and then all of it`, async () => {
    const { driver, peer, data } = await driverRig(format, { size: 16, tables: "freelist" });
    for (let lap = 0; lap < 7; lap++) {
      for (let k = 0; k < 5; k++) {
        const elements = elementsAt(data.ptr, k % 2 ? [8] : [8, 9], k % 3 ? [] : [10]);
        driver.add({ ...bufferOf(elements), token: k });
        expect(peer.take()).toEqual([]);
      }
      driver.publish();
      const taken = peer.take();
      expect(taken.length).toBe(5);
      for (const buffer of taken) peer.use(buffer, 0);
      expect(driver.reclaim()).toEqual([]);
      peer.publish();
      expect(driver.reclaim().length).toBe(5);
    }
    expect(driver.counters().publishes).toBe(7);
  });

  it("S-D-11: the length is what the device reported, however much room there was", async () => {
    const { driver, peer, data } = await driverRig(format, { size: 4 });
    driver.add({ writable: [{ ptr: data.ptr, bytes: 100 }], token: 7 });
    driver.publish();
    const [buffer] = peer.take();
    peer.use(buffer, 4);
    peer.publish();
    expect(driver.reclaim()).toEqual([{ token: 7, len: 4 }]);
  });

  it("H-D-03: a reported length above the writable capacity is clamped and counted, and no error", async () => {
    for (const [reported, len] of [
      [100, 100],
      [101, 100],
      [0xffff_ffff, 100],
    ]) {
      const { driver, peer, data } = await driverRig(format, { size: 4 });
      driver.add({ ...bufferOf(elementsAt(data.ptr, [50], [60, 40])), token: 7 });
      driver.publish();
      const [buffer] = peer.take();
      peer.use(buffer, reported);
      peer.publish();
      expect(driver.reclaim()).toEqual([{ token: 7, len }]);
      expect(driver.counters().clampedLengths).toBe(reported > 100 ? 1 : 0);
      expect(driver.state).toBe("live");
    }
  });

  it.each(SOURCES)(
    "H-D-04: a device that scribbles over descriptors and tables changes no token, no length and no free list, tables from %s",
    async (tables) => {
      const random = new Random(4);
      const size = 16;
      const { engine, driver, peer, data } = await driverRig(format, { size, tables });
      for (let round = 0; round < 200; round++) {
        const tokens: number[] = [];
        for (let k = random.int(1, 5); k > 0; k--) {
          const elements = elementsAt(data.ptr, [10, 20], random.chance(50) ? [30] : []);
          if (driver.add({ ...bufferOf(elements), token: 1000 * round + k })) tokens.push(1000 * round + k);
        }
        driver.publish();
        const taken = peer.take();
        // Everything in the tables, and all that the driver wrote for the buffers it has out.
        if (tables !== "heap" && tables !== "grow") {
          const { ptr, bytes } = engine.region("queue 0 tables");
          random.fill(engine.bytes(ptr, bytes));
        }
        for (let slot = 0; slot < size; slot++) peer.setU64(peer.places.desc + 16 * slot, 0xdead_beefn);
        if ("setAvailEntry" in peer) {
          for (let index = 0; index < size; index++) peer.setAvailEntry(index, random.int(0, 0xffff));
          for (let slot = 0; slot < size; slot++)
            peer.writeDesc(slot, { len: 5, flags: 7, next: random.int(0, 99) });
        }
        for (const buffer of random.shuffle(taken)) peer.use(buffer, 0);
        peer.publish();
        expect(
          driver
            .reclaim()
            .map(({ token }) => token)
            .sort((a, b) => a - b),
        ).toEqual(tokens.sort((a, b) => a - b));
        // The slot source keeps addresses in its descriptors, which are the driver's to keep.
        if (tables === "slot") return;
      }
      expect(driver.numFree).toBe(size);
      expect(driver.violation).toBeNull();
      expect(driver.counters().liveTables).toBe(0);
    },
  );

  it("G-D-14: a queue is filled before DRIVER_OK without a kick, and the kick that is due goes out with the next publish", async () => {
    const { engine, driver, peer, data } = await driverRig(format, { size: 8 });
    const [virtio] = engine.devices;
    const running = virtio.status;
    virtio.status = running & ~4;
    peer.take();
    driver.add({ readable: [{ ptr: data.ptr, bytes: 8 }], token: 1 });
    expect(driver.publish()).toBe(false);
    expect(driver.counters().doorbells).toBe(0);
    virtio.status = running;
    expect(driver.publish()).toBe(true);
    expect(driver.publish()).toBe(false);
    expect(peer.take().length).toBe(1);
  });

  it("F-D-01: addresses in descriptors, tables and queue registers are bus addresses", async () => {
    for (const tables of SOURCES) {
      const { engine, driver, data } = await driverRig(format, {
        size: 8,
        tables,
        window: ({ sharedBase, end }) => ({
          base: 1n << 40n,
          length: BigInt(end - sharedBase),
          offset: sharedBase,
        }),
      });
      expect(driver.addresses.desc >> 40n).toBe(1n);
      expect(driver.addresses.driverArea >> 40n).toBe(1n);
      expect(driver.addresses.deviceArea >> 40n).toBe(1n);
      driver.add({ ...bufferOf(elementsAt(data.ptr, [10, 20], [30])), token: 1 });
      driver.publish();
      const device = engine.deviceQueue(0, {
        format,
        size: 8,
        features: driver.features,
        ...driver.addresses,
      });
      const [chain] = device.pop();
      expect(chain.readable.map(({ ptr }) => ptr)).toEqual([data.ptr, data.ptr + 10]);
      expect(chain.writable).toEqual([{ ptr: data.ptr + 30, bytes: 30 }]);
    }
  });
});
