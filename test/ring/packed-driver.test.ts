/** The packed driver half against a raw device: what 2.8 asks for alone. */
import { describe, expect, it } from "vitest";
import { Random } from "../support/random.ts";
import type { TakenBuffer } from "../support/raw-memory.ts";
import { AVAIL, Position, USED, usedBits } from "../support/raw-packed.ts";
import { bufferOf, elementsAt, features, packedDriverRig } from "../support/rig.ts";
import { Snapshot } from "../support/snapshot.ts";

const OWNER = AVAIL | USED;

describe("the packed driver half", () => {
  it("S-B-04: a list and a table have exactly these bytes", async () => {
    const { engine, driver, peer } = await packedDriverRig({ size: 5, tables: "slot" });
    driver.stop();
    const { offset, length } = engine.devices[0].window;
    const tables = engine.region("queue 0 tables").ptr;
    const base = 0x1122_3344_5566_0000n - BigInt(tables - offset);
    engine.devices[0].setWindow({ base, length, offset });
    const moved = engine.driverQueue(0, { format: "packed", size: 5, tables: "slot" });
    const data = Number(0x1122_3344_5566_7788n - base) + offset;
    moved.add({ writable: [{ ptr: data, bytes: 0x0102_0304 }], token: 1 });
    moved.add({ readable: [{ ptr: data, bytes: 12 }], writable: [{ ptr: data + 12, bytes: 64 }], token: 2 });
    moved.publish();
    expect(peer.dump(peer.places.desc, 32)).toBe(
      "88 77 66 55 44 33 22 11 04 03 02 01 00 00 82 00 40 00 66 55 44 33 22 11 20 00 00 00 01 00 84 00",
    );
    expect(peer.dump(tables + 64, 32)).toBe(
      "88 77 66 55 44 33 22 11 0c 00 00 00 00 00 00 00 94 77 66 55 44 33 22 11 40 00 00 00 00 00 02 00",
    );
  });

  it("P-B-03, P-B-02: flags of one-descriptor buffers on a ring of 3 are the golden ones of both laps", async () => {
    const { driver, peer, data } = await packedDriverRig({ size: 3 });
    const golden = [
      [0, 0x0080],
      [1, 0x0080],
      [2, 0x0080],
      [0, 0x8000],
      [1, 0x8000],
      [2, 0x8000],
      [0, 0x0080],
    ];
    golden.forEach(([slot, flags], k) => {
      driver.add({ readable: [{ ptr: data.ptr, bytes: 9 }], token: k });
      driver.publish();
      expect(peer.flagsOf(slot)).toBe(flags);
      const [buffer] = peer.take();
      peer.use(buffer, 0);
      peer.publish();
      expect(peer.flagsOf(slot)).toBe(flags === 0x0080 ? 0x8080 : 0);
      expect(driver.reclaim()).toEqual([{ token: k, len: 0 }]);
    });
  });

  it("P-D-05: a list over the end of the ring has the flipped polarity behind it", async () => {
    const { driver, peer, data } = await packedDriverRig({ size: 7, tables: "direct" });
    let token = 0;
    const pass = (count: number): number[] => {
      const { slot } = peer.avail;
      const sizes = new Array(count).fill(8);
      driver.add({ ...bufferOf(elementsAt(data.ptr, sizes.slice(1), sizes.slice(0, 1))), token: token++ });
      driver.publish();
      const flags = sizes.map((_, k) => peer.flagsOf((slot + k) % 7));
      for (const buffer of peer.take()) peer.use(buffer, 0);
      peer.publish();
      driver.reclaim();
      return flags;
    };
    expect(pass(5)).toEqual([0x81, 0x81, 0x81, 0x81, 0x82]);
    expect(pass(4)).toEqual([0x81, 0x81, 0x8001, 0x8002]);
    expect(pass(5)).toEqual([0x8001, 0x8001, 0x8001, 0x8001, 0x8002]);
    expect(pass(7)).toEqual([0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x82]);
    expect(pass(7)).toEqual([0x8001, 0x8001, 0x8001, 0x8001, 0x8001, 0x8001, 0x8002]);
  });

  it("P-D-04, P-D-13: the flags of the batch's first head are stored last, everything else lies there before", async () => {
    const { engine, driver, peer, data } = await packedDriverRig({ size: 8, tables: "direct" });
    for (let lap = 0; lap < 5; lap++) {
      const { slot, wrap } = peer.avail;
      driver.add({ ...bufferOf(elementsAt(data.ptr, [1, 2])), token: 1 });
      driver.add({ ...bufferOf(elementsAt(data.ptr, [3])), token: 2 });
      expect(peer.flagsOf(slot) & OWNER).not.toBe(wrap ? AVAIL : USED);
      const before = new Snapshot(engine);
      driver.publish();
      const high = peer.places.desc + 16 * slot + 8;
      const ring = before.changed({ ptr: peer.places.desc, bytes: 16 * 8 });
      expect(ring.every((at) => at >= high && at < high + 8)).toBe(true);
      const taken = peer.take();
      expect(taken.map(({ elements }) => elements.length)).toEqual([2, 1]);
      for (const buffer of taken) peer.use(buffer, 0);
      peer.publish();
      expect(driver.reclaim().length).toBe(2);
    }
  });

  it("P-B-06: no two outstanding buffers have the same id, and ids are below the ring's size", async () => {
    const random = new Random(10);
    const size = 13;
    const { driver, peer, data } = await packedDriverRig({ size });
    const out = new Map<number, TakenBuffer>();
    for (let round = 0; round < 2000; round++) {
      driver.add({ ...bufferOf(elementsAt(data.ptr, new Array(random.int(1, 4)).fill(3))), token: round });
      driver.publish();
      for (const buffer of peer.take()) {
        expect(buffer.id).toBeLessThan(size);
        expect(out.has(buffer.id)).toBe(false);
        out.set(buffer.id, buffer);
      }
      for (const buffer of random.shuffle([...out.values()]).slice(0, random.int(0, 3))) {
        out.delete(buffer.id);
        peer.use(buffer, 0);
        peer.publish();
      }
      driver.reclaim();
    }
    expect(driver.violation).toBeNull();
  });

  it("P-D-06: lists of 3, 1 and 2 completed as the second, third, first, for ten laps and more on a ring of 7", async () => {
    const { driver, peer, data } = await packedDriverRig({ size: 7, tables: "direct" });
    const position = new Position(7);
    for (let round = 0; round < 35; round++) {
      [3, 1, 2].forEach((count, k) => {
        driver.add({ ...bufferOf(elementsAt(data.ptr, new Array(count).fill(5))), token: 10 * round + k });
      });
      driver.publish();
      const [a, b, c] = peer.take();
      for (const buffer of [b, c, a]) {
        const { slot } = peer.nextUsed;
        peer.use(buffer, 0);
        peer.publish();
        expect(slot).toBe(position.slot);
        position.advance(buffer.slots);
      }
      expect(driver.reclaim().map(({ token }) => token - 10 * round)).toEqual([1, 2, 0]);
    }
    expect(driver.numFree).toBe(7);
  });

  it("P-D-03: in a used descriptor len counts only with WRITE, and NEXT and addr mean nothing", async () => {
    const { driver, peer, data } = await packedDriverRig({ size: 4 });
    const slotOf = (): number => peer.places.desc + 16 * peer.nextUsed.slot;
    for (let round = 0; round < 10; round++) {
      driver.add({ writable: [{ ptr: data.ptr, bytes: 100 }], token: round });
      driver.publish();
      const [buffer] = peer.take();
      const at = slotOf();
      const { slot, wrap } = peer.nextUsed;
      peer.use(buffer, round % 2 ? 60 : 0);
      peer.publish();
      peer.setU64(at, 0xffff_ffff_ffff_ffffn);
      if (round % 2 === 0) peer.setU32(at + 8, 0xffff_ffff);
      peer.setFlags(slot, usedBits(wrap) | 1 | (round % 2 ? 2 : 0));
      expect(driver.reclaim()).toEqual([{ token: round, len: round % 2 ? 60 : 0 }]);
    }
    expect(driver.counters().clampedLengths).toBe(0);
  });

  it("P-D-11: with 2 slots free a list of 3 is refused as full and changes no byte of the ring", async () => {
    const { engine, driver, data } = await packedDriverRig({ size: 5, tables: "direct" });
    driver.add({ ...bufferOf(elementsAt(data.ptr, [1, 2, 3])), token: 1 });
    driver.publish();
    const before = new Snapshot(engine);
    expect(driver.add({ ...bufferOf(elementsAt(data.ptr, [1, 2, 3])), token: 2 })).toBe(false);
    expect(before.regions()).not.toContain("queue 0 descriptor area");
    expect(driver.add({ ...bufferOf(elementsAt(data.ptr, [1, 2])), token: 3 })).toBe(true);
    expect(driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token: 4 })).toBe(false);
  });

  it("P-D-12: a slot is written only after its used descriptor was seen, and left alone once available", async () => {
    const random = new Random(11);
    const size = 9;
    const { engine, driver, peer, data } = await packedDriverRig({ size, tables: "freelist" });
    const out: TakenBuffer[] = [];
    for (let round = 0; round < 400; round++) {
      // From the next used slot to the next available one lies what the driver has given away.
      const owned = size - driver.numFree;
      const first = peer.places.desc;
      const from = (peer.avail.slot - owned + size) % size;
      const frozen = Array.from({ length: owned }, (_, k) => first + 16 * ((from + k) % size));
      const before = new Snapshot(engine);
      driver.add({ ...bufferOf(elementsAt(data.ptr, new Array(random.int(1, 3)).fill(4))), token: round });
      driver.publish();
      for (const ptr of frozen) expect(before.changed({ ptr, bytes: 16 })).toEqual([]);
      out.push(...peer.take());
      if (random.chance(60)) for (const buffer of random.shuffle(out.splice(0))) peer.use(buffer, 0);
      peer.publish();
      const reclaimed = new Snapshot(engine);
      driver.reclaim();
      expect(reclaimed.changed({ ptr: first, bytes: 16 * size })).toEqual([]);
    }
    expect(driver.violation).toBeNull();
  });

  it("P-B-04, P-B-05: only the next slot counts, and only with the bits of the expected lap", async () => {
    for (const lap of [0, 1, 2, 3]) {
      for (const flags of [0, AVAIL, USED, OWNER]) {
        const { driver, peer, data } = await packedDriverRig({ size: 2, tables: "direct" });
        const segment = { ptr: data.ptr, bytes: 4 };
        for (let k = 0; k < lap * 2; k++) {
          driver.add({ readable: [segment], token: k });
          driver.publish();
          for (const buffer of peer.take()) peer.use(buffer, 0);
          peer.publish();
          driver.reclaim();
        }
        driver.add({ readable: [segment], token: 100 });
        driver.add({ readable: [segment], token: 101 });
        driver.publish();
        const { wrap } = peer.nextUsed;
        peer.setFlags(1, usedBits(wrap));
        expect(driver.reclaim()).toEqual([]);
        peer.setFlags(0, flags);
        expect(driver.reclaim().length).toBe(flags === usedBits(wrap) ? 2 : 0);
      }
    }
  });

  it("P-D-18: with IN_ORDER one used descriptor stands for all up to its id, whatever the batch, across the wrap", async () => {
    const random = new Random(12);
    for (const size of [1, 2, 3, 7, 64]) {
      const { driver, peer, data } = await packedDriverRig({
        size,
        features: features("packed", "IN_ORDER", "INDIRECT_DESC"),
        tables: "freelist",
        engine: { batch: 5 },
      });
      const out: { buffer: TakenBuffer; token: number; capacity: number }[] = [];
      const expected: { token: number; len: number }[] = [];
      const back: { token: number; len: number }[] = [];
      let token = 0;
      for (let round = 0; round < 600; round++) {
        const capacities: number[] = [];
        for (let k = random.int(1, size); k > 0; k--) {
          const writable = random.chance(60) ? [random.int(1, 99)] : [];
          const elements = elementsAt(data.ptr, writable.length ? [] : [5], writable);
          if (!driver.add({ ...bufferOf(elements), token: token + capacities.length })) break;
          capacities.push(writable[0] ?? 0);
        }
        driver.publish();
        peer.take().forEach((buffer, k) => {
          out.push({ buffer, token: token + k, capacity: capacities[k] });
        });
        token += capacities.length;
        const batch = out.splice(0, random.pick([1, out.length, random.int(1, Math.max(1, out.length))]));
        if (batch.length > 0) {
          const last = batch[batch.length - 1];
          const len = random.int(0, last.capacity);
          peer.useBatch(
            batch.map(({ buffer }) => buffer),
            len,
          );
          peer.publish();
          for (const one of batch)
            expected.push({ token: one.token, len: one === last ? len : one.capacity });
        }
        back.push(...driver.reclaim());
      }
      for (let more = driver.reclaim(); more.length > 0; more = driver.reclaim()) back.push(...more);
      expect(back).toEqual(expected);
      expect(driver.violation).toBeNull();
      expect(driver.outstanding).toBe(out.length);
    }
  });

  it("P-B-08, P-D-17: driver events are enable or disable without EVENT_IDX, and arming reports work that is there already", async () => {
    const { driver, peer, data } = await packedDriverRig({ size: 4, features: features("packed") });
    driver.suppress();
    expect(peer.driverEvent).toEqual({ offset: 0, wrap: 0, flags: 1 });
    expect(driver.arm()).toBe(false);
    expect(peer.driverEvent.flags).toBe(0);
    driver.suppress();
    driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token: 1 });
    driver.publish();
    for (const buffer of peer.take()) peer.use(buffer, 0);
    peer.publish();
    expect(driver.arm()).toBe(true);
  });

  it("P-B-08: with EVENT_IDX the driver names the slot and the lap after which it wants to be told", async () => {
    const size = 5;
    const { driver, peer, data } = await packedDriverRig({ size });
    const next = new Position(size);
    for (let round = 0; round < 25; round++) {
      for (let after = 0; after < size + 2; after++) {
        expect(driver.arm(after)).toBe(false);
        const event = next.copy();
        event.advance(Math.min(after, size - 1));
        expect(peer.driverEvent).toEqual({ offset: event.slot, wrap: event.wrap, flags: 2 });
      }
      const count = 1 + (round % 3);
      driver.add({ ...bufferOf(elementsAt(data.ptr, new Array(count).fill(2))), token: round });
      driver.publish();
      for (const buffer of peer.take()) {
        peer.use(buffer, 0);
        next.advance(buffer.slots);
      }
      peer.publish();
      expect(driver.arm()).toBe(true);
      driver.reclaim();
      driver.suppress();
      expect(peer.driverEvent.flags).toBe(1);
    }
  });

  it("V-D-06: the kick names the slot to be made available next and its wrap counter", async () => {
    const { driver, peer, data } = await packedDriverRig({
      size: 3,
      tables: "direct",
      features: features("packed", "NOTIFICATION_DATA"),
    });
    const next = new Position(3);
    const payload = (): number => ((next.slot << 16) | (next.wrap << 31)) >>> 0;
    expect(driver.notificationData()).toBe(payload());
    for (let round = 0; round < 30; round++) {
      const count = 1 + (round % 3);
      driver.add({ ...bufferOf(elementsAt(data.ptr, new Array(count).fill(2))), token: round });
      driver.publish();
      next.advance(count);
      expect(driver.notificationData()).toBe(payload());
      // V-D-07: a second kick with nothing new says the same.
      expect(driver.notificationData()).toBe(payload());
      for (const buffer of peer.take()) peer.use(buffer, 0);
      peer.publish();
      driver.reclaim();
    }
  });

  it("V-D-06: what is added and not published is not named by a kick", async () => {
    const { driver, data } = await packedDriverRig({
      size: 4,
      features: features("packed", "NOTIFICATION_DATA"),
    });
    const before = driver.notificationData();
    driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token: 1 });
    expect(driver.notificationData()).toBe(before);
    driver.publish();
    expect(driver.notificationData()).not.toBe(before);
  });
});
