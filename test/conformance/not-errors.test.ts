/**
 * What looks wrong and is not: the specification allows it, or says nothing and the engine's policy
 * is to take it. Strictness in the wrong place breaks honest peers.
 */
import { describe, expect, it } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { Random } from "../support/random.ts";
import { RawPackedDriver } from "../support/raw-packed.ts";
import { INDIRECT, RawSplitDriver, WRITE } from "../support/raw-split.ts";
import {
  bufferOf,
  deviceRig,
  driverRig,
  elementsAt,
  features,
  packedDeviceRig,
  splitDeviceRig,
} from "../support/rig.ts";
import { Snapshot } from "../support/snapshot.ts";
import { sharedPart } from "./territory.ts";

const SIZE = 8;

describe.each(RING_FORMATS)("a %s device half takes", (format) => {
  const split = format === "split";

  it(`${split ? "S-V-04" : "P-V-03"}, H-V-04: a table at any place, aligned or not, with WRITE on its referrer or not`, async () => {
    for (let skew = 0; skew < 17; skew++) {
      const { device, peer, data } = await deviceRig(format, { size: SIZE });
      const elements = elementsAt(data.ptr, [4, 5], [6]);
      peer.indirect(data.ptr + 1024 + skew, elements, { flags: skew & 1 ? WRITE : 0 });
      peer.publish();
      const chains = device.pop().map(({ readable, writable }) => ({ readable, writable }));
      expect(chains).toEqual([bufferOf(elements)]);
      expect(device.violation).toBeNull();
    }
  });

  it("H-V-05, H-V-04: a buffer or a table that ends with the window, and not one byte more", async () => {
    for (const [over, table] of [
      [0, false],
      [0, true],
      [1, false],
      [1, true],
    ] as const) {
      const { engine, device, peer, data } = await deviceRig(format, { size: SIZE });
      if (table) peer.indirect(engine.end - 32 + over, elementsAt(data.ptr, [4, 5]));
      else peer.add([{ ptr: engine.end - 9 + over, bytes: 9 }]);
      peer.publish();
      expect(device.popBurst(1)).toBe(1 - over);
      expect(device.violation?.code).toBe(over ? (table ? "table-address" : "buffer-address") : undefined);
    }
  });

  it("H-V-04: a table inside another one's memory, and two buffers that share one table", async () => {
    const { device, peer, data } = await deviceRig(format, { size: SIZE });
    const elements = elementsAt(data.ptr, [1, 2, 3, 4]);
    peer.indirect(data.ptr + 1024, elements);
    if (peer instanceof RawSplitDriver) {
      // The first entry leads to the last, and descriptor 1 refers to the same table.
      peer.writeDesc(0, { ...peer.readDesc(0, data.ptr + 1024), next: 3 }, data.ptr + 1024);
      peer.writeDesc(1, { addr: peer.bus(data.ptr + 1024), len: 64, flags: INDIRECT });
      peer.offer(1);
      // Entries 2 and 3 as a table of their own, in which 3 would be out of range.
      peer.writeDesc(2, { ...peer.readDesc(2, data.ptr + 1024), next: 1 }, data.ptr + 1024);
      peer.writeDesc(2, { addr: peer.bus(data.ptr + 1024 + 32), len: 32, flags: INDIRECT });
      peer.offer(2);
    } else if (peer instanceof RawPackedDriver) {
      peer.addDescriptors([{ addr: peer.bus(data.ptr + 1024), len: 64, flags: INDIRECT }]);
      peer.addDescriptors([{ addr: peer.bus(data.ptr + 1024 + 32), len: 32, flags: INDIRECT }]);
    }
    peer.publish();
    const chains = device.pop();
    expect(chains.map(({ readable }) => readable.map(({ bytes }) => bytes))).toEqual(
      split
        ? [
            [1, 4],
            [1, 4],
            [3, 4],
          ]
        : [
            [1, 2, 3, 4],
            [1, 2, 3, 4],
            [3, 4],
          ],
    );
    expect(device.violation).toBeNull();
  });

  it("H-V-07: elements without bytes, which are skipped, wherever they stand and point", async () => {
    for (const sizes of [
      [0, 5],
      [5, 0, 6],
      [5, 0],
      [0, 0],
    ]) {
      const { device, peer, data } = await deviceRig(format, { size: SIZE });
      const elements = elementsAt(data.ptr, sizes).map((one) =>
        one.bytes === 0 ? { ...one, ptr: 2 ** 40 } : one,
      );
      peer.add(elements);
      peer.indirect(data.ptr + 1024, elements);
      peer.publish();
      const bytes = sizes.filter((size) => size > 0);
      for (const { readable } of device.pop()) expect(readable.map((one) => one.bytes)).toEqual(bytes);
      expect(device.counters().popped).toBe(2);
    }
  });

  it("S-V-01: a message cut at any two places, direct or in a table, gives the same bytes and the same used length", async () => {
    const message = Array.from({ length: 14 }, (_, k) => k + 1);
    for (let first = 0; first <= 14; first++) {
      for (let second = 0; second <= 10; second++) {
        for (const table of [false, true]) {
          const { engine, device, peer, data } = await cutRig(format);
          engine.bytes(data.ptr, 14).set(message);
          // Cuts at the ends leave elements without bytes, which say nothing either.
          const elements = elementsAt(data.ptr, [first, 14 - first], [second, 10 - second]);
          const id = table ? peer.indirect(data.ptr + 1024, elements) : peer.add(elements);
          peer.publish();
          const [chain] = device.pop();
          expect(chain.readable.flatMap(({ ptr, bytes }) => [...engine.bytes(ptr, bytes)])).toEqual(message);
          expect([chain.readableBytes, chain.writableBytes]).toEqual([14, 10]);
          let next = 0;
          for (const { ptr, bytes } of chain.writable)
            for (let k = 0; k < bytes; k++) engine.bytes(ptr + k, 1)[0] = 100 + next++;
          device.markUsed(chain.handle, 10);
          device.publishUsed();
          expect(peer.used().slice(-1)).toEqual([{ id: split ? id : expect.any(Number), len: 10 }]);
          expect([...engine.bytes(data.ptr + 14, 10)]).toEqual(Array.from({ length: 10 }, (_, k) => 100 + k));
        }
      }
    }
  });
});

const rigs = new Map<string, Awaited<ReturnType<typeof deviceRig>>>();

/** One rig for all cuts: a buffer goes round and leaves nothing behind. */
async function cutRig(format: "split" | "packed"): Promise<Awaited<ReturnType<typeof deviceRig>>> {
  let rig = rigs.get(format);
  if (rig === undefined) {
    rig = await deviceRig(format, { size: SIZE });
    rigs.set(format, rig);
  }
  return rig;
}

describe.each(RING_FORMATS)("a %s queue under notifications", (format) => {
  it("S-B-09, V-B-03: that nobody asked for, doubled or dropped gives what it would give undisturbed, and an idle ring does not change", async () => {
    const results: unknown[] = [];
    for (const disturbed of [false, true]) {
      const random = new Random(31);
      const noise = new Random(37);
      const driverSide = await driverRig(format, { size: SIZE, features: features(format, "INDIRECT_DESC") });
      const { driver, peer, data } = driverSide;
      const seen: unknown[] = [];
      // A notification says: look. Looking once more than needed is what a spurious one causes.
      const interrupt = (): void => {
        for (let times = disturbed ? noise.int(1, 3) : 1; times > 0; times--) seen.push(...driver.reclaim());
      };
      for (let token = 0; token < 300; token++) {
        if (random.chance(70))
          driver.add({ ...bufferOf(elementsAt(data.ptr, [1], [random.int(1, 9)])), token });
        driver.publish();
        if (disturbed && noise.chance(50)) driver.publish();
        for (const buffer of random.shuffle(peer.take())) peer.use(buffer, random.int(0, 9));
        peer.publish();
        interrupt();
      }
      results.push(seen);
      const before = new Snapshot(driverSide.engine);
      for (let k = 0; k < 10; k++) {
        expect(driver.reclaim()).toEqual([]);
        expect(driver.publish()).toBe(false);
      }
      expect(before.changed(sharedPart(driverSide.engine))).toEqual([]);
    }
    expect(results[1]).toEqual(results[0]);
    expect((results[0] as unknown[]).length).toBeGreaterThan(150);
  });

  it("H-B-02, H-V-09: whose event words hold junk loses no buffer, because a half that arms is told of work that is there", async () => {
    const random = new Random(41);
    for (const eventIdx of [false, true]) {
      const options = { size: SIZE, features: features(format, ...(eventIdx ? ["EVENT_IDX" as const] : [])) };
      // Our device half sleeps whenever it may; the driver's words are junk.
      const rig = format === "split" ? await splitDeviceRig(options) : await packedDeviceRig(options);
      const { device, peer, data } = rig;
      let used = 0;
      for (let round = 0; round < 500; round++) {
        if (peer instanceof RawSplitDriver) {
          peer.usedEvent = random.int(0, 0xffff);
          peer.availFlags = random.int(0, 0xffff);
        } else {
          peer.driverEvent = {
            offset: random.int(0, 0x7fff),
            wrap: random.int(0, 1),
            flags: random.int(0, 0xffff),
          };
        }
        expect(device.arm(random.pick([0, 0, 0, 3]))).toBe(false);
        peer.add(elementsAt(data.ptr, [1]));
        peer.publish();
        expect(device.arm()).toBe(true);
        expect(device.popBurst(8)).toBe(1);
        device.markPoppedUsed(1);
        device.publishUsed();
        used += peer.used().length;
      }
      expect(used).toBe(500);
      expect(device.violation).toBeNull();

      // And the mirror: our driver half, with junk in the device's words.
      const { driver, peer: raw, data: place } = await driverRig(format, options);
      for (let token = 0; token < 500; token++) {
        if ("usedIdx" in raw) {
          raw.availEvent = random.int(0, 0xffff);
          raw.usedFlags = random.int(0, 0xffff);
        } else {
          raw.deviceEvent = {
            offset: random.int(0, 0x7fff),
            wrap: random.int(0, 1),
            flags: random.int(0, 0xffff),
          };
        }
        driver.add({ readable: [{ ptr: place.ptr, bytes: 1 }], token });
        driver.publish();
        expect(driver.arm()).toBe(false);
        for (const buffer of raw.take()) raw.use(buffer, 0);
        raw.publish();
        expect(driver.arm()).toBe(true);
        expect(driver.reclaim()).toEqual([{ token, len: 0 }]);
      }
      expect(driver.violation).toBeNull();
    }
  });

  it("H-D-03: and lengths above what a buffer holds gives the capacity and counts it, once for each", async () => {
    for (const len of [4, 5, 0xffff_ffff]) {
      const { driver, peer, data } = await driverRig(format, { size: SIZE });
      driver.add({ ...bufferOf(elementsAt(data.ptr, [9], [4])), token: 1 });
      driver.publish();
      for (const buffer of peer.take()) peer.use(buffer, len);
      peer.publish();
      expect(driver.reclaim()).toEqual([{ token: 1, len: 4 }]);
      expect(driver.counters().clampedLengths).toBe(len > 4 ? 1 : 0);
      expect(driver.state).toBe("live");
    }
  });
});
