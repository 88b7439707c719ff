/** Both event tests (3.5, 3.6), exhaustively in small, through what the queues decide. */
import { describe, expect, it } from "vitest";
import { Random } from "../support/random.ts";
import { Position } from "../support/raw-packed.ts";
import {
  bufferOf,
  elementsAt,
  features,
  packedDeviceRig,
  packedDriverRig,
  splitDeviceRig,
  splitDriverRig,
} from "../support/rig.ts";

/** By the specification's words: one of the entries old .. old + written - 1 is number `event`. */
function written(old: number, count: number, event: number): boolean {
  for (let k = 0; k < count; k++) if (((old + k) & 0xffff) === event) return true;
  return false;
}

/** By the specification's words: one of the `count` slots from `from` on is the one named. */
function covered(from: Position, count: number, offset: number, wrap: number): boolean {
  const at = from.copy();
  for (let k = 0; k < count; k++, at.advance(1)) if (at.slot === offset && at.wrap === wrap) return true;
  return false;
}

describe("the split event test", () => {
  it("S-V-08: the device notifies when used_event is among the entries just written, for every start, count and event, and avail.flags mean nothing", async () => {
    const size = 8;
    const wrong: string[] = [];
    let told = 0;
    for (const start of [0, 1, 0x7ffc, 0xfff8, 0xfffc, 0xffff]) {
      for (const flags of [0, 1]) {
        const { engine, device, peer, data } = await splitDeviceRig({ size });
        const events = [0x8000];
        for (let near = -12; near <= 12; near++) events.push((start + near) & 0xffff);
        for (const event of events) {
          for (let count = 0; count <= size; count++) {
            peer.startAt(start);
            engine.wasm.splitDeviceResume(device.ptr, start, start);
            peer.availFlags = flags;
            peer.usedEvent = event;
            for (let k = 0; k < count; k++) peer.add(elementsAt(data.ptr, [1]));
            peer.publish();
            device.markPoppedUsed(device.popBurst(size));
            const interrupt = device.publishUsed();
            peer.used();
            told += Number(interrupt);
            if (interrupt !== written(start, count, event)) wrong.push(`${start} +${count} ${event}`);
          }
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(told).toBeGreaterThan(100);
  });

  it("S-V-08: a burst that steps over the event notifies, and one that was decided before does not do so again", async () => {
    const { device, peer, data } = await splitDeviceRig({ size: 8 });
    peer.usedEvent = 1;
    for (let k = 0; k < 5; k++) peer.add(elementsAt(data.ptr, [1]));
    peer.publish();
    const chains = device.pop();
    for (const { handle } of chains.slice(0, 4)) device.markUsed(handle, 0);
    expect(device.publishUsed()).toBe(true);
    expect(device.publishUsed()).toBe(false);
    device.markUsed(chains[4].handle, 0);
    expect(device.publishUsed()).toBe(false);
    expect(device.counters().interrupts).toBe(1);
  });

  it("S-V-07: without EVENT_IDX used_event is ignored, and avail.flags alone decides", async () => {
    const { device, peer, data } = await splitDeviceRig({ size: 4, features: features("split") });
    const random = new Random(30);
    for (let round = 0; round < 200; round++) {
      peer.usedEvent = random.int(0, 0xffff);
      peer.availFlags = round & 1;
      const count = random.int(0, 4);
      for (let k = 0; k < count; k++) peer.add(elementsAt(data.ptr, [1]));
      peer.publish();
      device.markPoppedUsed(device.popBurst(4));
      expect(device.publishUsed()).toBe(count > 0 && !(round & 1));
      peer.used();
    }
  });

  it("S-D-15: the driver kicks when avail_event is among the entries just published, all the way through 2^16, and used.flags mean nothing", async () => {
    const size = 16;
    const random = new Random(31);
    const { driver, peer, data } = await splitDriverRig({ size, tables: "direct" });
    const wrong: string[] = [];
    let idx = 0;
    let kicks = 0;
    for (let total = 0; total < 0x10000 + 500; ) {
      const count = random.int(0, size);
      for (let k = 0; k < count; k++) driver.staged.set([k, 1, data.ptr, 1], 4 * k);
      const event = (idx + random.int(-20, 20)) & 0xffff;
      peer.availEvent = event;
      peer.usedFlags = total & 1;
      driver.addBurst(count);
      const kick = driver.publish();
      kicks += Number(kick);
      if (kick !== written(idx, count, event)) wrong.push(`${idx} +${count} ${event}`);
      idx = (idx + count) & 0xffff;
      total += count;
      for (const id of peer.heads()) peer.use({ id }, 0);
      peer.publish();
      driver.reclaimBurst(size);
    }
    expect(wrong).toEqual([]);
    expect(driver.counters().doorbells).toBe(kicks);
    expect(kicks).toBeGreaterThan(1000);
  });

  it("S-D-15: every count and every event near it, from every index near the wrap", async () => {
    const size = 4;
    const { driver, peer, data } = await splitDriverRig({ size, tables: "direct" });
    for (let k = 0; k < size; k++) driver.staged.set([k, 1, data.ptr, 1], 4 * k);
    let idx = 0;
    const move = (count: number): boolean => {
      driver.addBurst(count);
      const kick = driver.publish();
      for (const id of peer.heads()) peer.use({ id }, 0);
      peer.publish();
      driver.reclaimBurst(size);
      idx = (idx + count) & 0xffff;
      return kick;
    };
    while (idx < 0xfff0) move(size);
    const wrong: string[] = [];
    for (let lap = 0; lap < 300; lap++) {
      const count = lap % (size + 1);
      for (let near = -6; near <= 6; near++) {
        // Decisions with nothing new come first, and must all be no.
        peer.availEvent = (idx + near) & 0xffff;
        if (move(0)) wrong.push(`${idx} +0 ${near}`);
      }
      const event = (idx + (lap % 13) - 6) & 0xffff;
      peer.availEvent = event;
      const from = idx;
      if (move(count) !== written(from, count, event)) wrong.push(`${from} +${count} ${event}`);
    }
    expect(wrong).toEqual([]);
  });

  it("S-D-14: without EVENT_IDX avail_event is ignored, and used.flags alone decides", async () => {
    const { driver, peer, data } = await splitDriverRig({ size: 4, features: features("split") });
    const random = new Random(32);
    for (let round = 0; round < 200; round++) {
      peer.availEvent = random.int(0, 0xffff);
      peer.usedFlags = round & 1;
      const count = random.int(0, 4);
      for (let k = 0; k < count; k++) driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token: k });
      expect(driver.publish()).toBe(count > 0 && !(round & 1));
      for (const id of peer.heads()) peer.use({ id }, 0);
      peer.publish();
      driver.reclaim();
    }
  });
});

describe("the packed event test", () => {
  it("P-V-10: the device notifies when the slot and lap named lie in the range just used, skipped slots included, for every Q up to 8", async () => {
    const wrong: string[] = [];
    let cases = 0;
    let told = 0;
    for (let size = 1; size <= 8; size++) {
      for (const asList of [false, true]) {
        const { engine, device, peer, data } = await packedDeviceRig({ size });
        for (let slot = 0; slot < size; slot++) {
          for (const wrap of [0, 1]) {
            for (let count = 0; count <= size; count++) {
              for (let offset = 0; offset < size; offset++) {
                for (const eventWrap of [0, 1]) {
                  peer.startAt(slot, wrap);
                  engine.wasm.packedDeviceResume(device.ptr, slot, wrap, slot, wrap);
                  peer.driverEvent = { offset, wrap: eventWrap, flags: 2 };
                  const from = peer.avail.copy();
                  const lists = asList ? [count] : new Array<number>(count).fill(1);
                  for (const length of lists) {
                    if (length > 0) peer.add(elementsAt(data.ptr, new Array(length).fill(1)));
                  }
                  peer.publish();
                  device.markPoppedUsed(device.popBurst(count === 0 ? 0 : lists.length));
                  const interrupt = device.publishUsed();
                  peer.used();
                  cases++;
                  told += Number(interrupt);
                  if (interrupt !== covered(from, count, offset, eventWrap)) {
                    wrong.push(`Q=${size} (${slot},${wrap}) +${count} event (${offset},${eventWrap})`);
                  }
                }
              }
            }
          }
        }
        if (device.violation) throw device.violation;
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(cases).toBeGreaterThan(10_000);
    expect(told).toBe(3000);
  });

  it("P-D-16: the driver kicks when the slot and lap named lie in the range just made available, for every Q up to 8", async () => {
    const wrong: string[] = [];
    let told = 0;
    for (let size = 1; size <= 8; size++) {
      for (const asList of [false, true]) {
        const { driver, peer, data } = await packedDriverRig({ size, tables: "direct" });
        const position = new Position(size);
        const move = (count: number): boolean => {
          const lists = asList ? [count] : new Array<number>(count).fill(1);
          const buffers = lists.filter((length) => length > 0);
          let at = 0;
          for (const length of buffers) {
            driver.staged.set([0, length], at);
            for (let k = 0; k < length; k++) driver.staged.set([data.ptr, 1], at + 2 + 2 * k);
            at += 2 + 2 * length;
          }
          if (driver.addBurst(buffers.length) !== buffers.length) throw new Error("the ring is full");
          const kick = driver.publish();
          for (const buffer of peer.take()) peer.use(buffer, 0);
          peer.publish();
          driver.reclaimBurst(size);
          position.advance(count);
          return kick;
        };
        for (let slot = 0; slot < size; slot++) {
          for (const wrap of [0, 1]) {
            for (let count = 0; count <= size; count++) {
              for (let offset = 0; offset < size; offset++) {
                for (const eventWrap of [0, 1]) {
                  while (position.wrap !== wrap || position.slot !== slot) {
                    move(
                      position.slot <= slot && position.wrap === wrap
                        ? slot - position.slot
                        : size - position.slot,
                    );
                  }
                  peer.deviceEvent = { offset, wrap: eventWrap, flags: 2 };
                  const from = position.copy();
                  const kick = move(count);
                  told += Number(kick);
                  if (kick !== covered(from, count, offset, eventWrap)) {
                    wrong.push(`Q=${size} (${slot},${wrap}) +${count} event (${offset},${eventWrap})`);
                  }
                }
              }
            }
          }
        }
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(told).toBe(3000);
  });

  it("P-D-16, P-B-08: modes enable, disable and the reserved one decide alone, and one descriptor needs EVENT_IDX", async () => {
    for (const eventIdx of [false, true]) {
      const { driver, peer, data } = await packedDriverRig({
        size: 4,
        features: eventIdx ? features("packed", "EVENT_IDX") : features("packed"),
      });
      for (const [flags, expected] of [
        [0, true],
        [1, false],
        [2, !eventIdx],
        [3, true],
      ] as const) {
        // An event in the past: only a mode that is not taken for one descriptor's kicks.
        const past = peer.avail.copy();
        past.advance(3);
        peer.deviceEvent = { offset: past.slot, wrap: past.wrap, flags };
        driver.add({ ...bufferOf(elementsAt(data.ptr, [1])), token: 1 });
        expect(driver.publish()).toBe(expected);
        expect(driver.publish()).toBe(false);
        for (const buffer of peer.take()) peer.use(buffer, 0);
        peer.publish();
        driver.reclaim();
      }
    }
  });

  it("P-V-10, P-B-08: the device's decision by mode, the same", async () => {
    for (const eventIdx of [false, true]) {
      const { device, peer, data } = await packedDeviceRig({
        size: 4,
        features: eventIdx ? features("packed", "EVENT_IDX") : features("packed"),
      });
      for (const [flags, expected] of [
        [0, true],
        [1, false],
        [2, !eventIdx],
        [3, true],
      ] as const) {
        const past = peer.avail.copy();
        past.advance(3);
        peer.driverEvent = { offset: past.slot, wrap: past.wrap, flags };
        peer.add(elementsAt(data.ptr, [1]));
        peer.publish();
        device.markPoppedUsed(device.popBurst(1));
        expect(device.publishUsed()).toBe(expected);
        expect(device.publishUsed()).toBe(false);
        peer.used();
      }
    }
  });
});
