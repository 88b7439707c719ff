/** Rows about queues and their notifications that need neither a transport nor a device model. */
import { describe, expect, it } from "vitest";
import { resolveLimits } from "../../src/layout.ts";
import { RING_FORMATS } from "../../src/names.ts";
import { createEngine } from "../support/engine.ts";
import { RawPackedDevice } from "../support/raw-packed.ts";
import type { RawSplitDevice } from "../support/raw-split.ts";
import { bufferOf, driverRig, elementsAt, features } from "../support/rig.ts";
import { Trace, within } from "../support/trace.ts";
import { sharedPart } from "./territory.ts";

it("V-B-01: a queue's index has 16 bits: 65536 queues may be asked for, no more, and a kick can name the last", async () => {
  expect(resolveLimits({ queues: 65536 }).queues).toBe(65536);
  expect(() => resolveLimits({ queues: 65537 })).toThrow(/queues is 65537/);
  const engine = await createEngine({ queues: 3, queueSize: 4, bufferBytes: 64, heapBytes: 64 });
  for (const index of [0, 2]) {
    const { driver, device } = engine.connect(index);
    driver.add({ readable: [{ ptr: engine.buffers.ptr, bytes: 1 }], token: index });
    driver.publish();
    expect(driver.notificationData()).toBe(index);
    device.markUsed(device.pop()[0].handle, 0);
    device.publishUsed();
    expect(driver.reclaim()).toEqual([{ token: index, len: 0 }]);
  }
  for (const index of [3, -1, 65536]) expect(() => engine.driverQueue(index)).toThrow(/not among the 3/);
  expect(engine.driverQueue(1, { notifyId: 0xffff }).notificationData()).toBe(0xffff);
});

describe.each(RING_FORMATS)("kicks of a %s queue", (format) => {
  it("V-D-07: an extra kick repeats the payload, whatever was taken back since, and completes nothing more", async () => {
    const { driver, peer, data } = await driverRig(format, {
      size: 4,
      features: features(format, "NOTIFICATION_DATA"),
    });
    const payloads = new Set<number>();
    for (let token = 0; token < 9; token++) {
      driver.add({ ...bufferOf(elementsAt(data.ptr, [1])), token });
      driver.publish();
      const payload = driver.notificationData();
      payloads.add(payload);
      expect(driver.publish()).toBe(false);
      expect(driver.notificationData()).toBe(payload);
      for (const buffer of peer.take()) peer.use(buffer, 0);
      peer.publish();
      expect(peer.take()).toEqual([]);
      expect(driver.reclaim()).toEqual([{ token, len: 0 }]);
      expect(driver.reclaim()).toEqual([]);
      expect(driver.notificationData()).toBe(payload);
    }
    expect(payloads.size).toBe(format === "split" ? 9 : 8);
  });

  it("F-D-03: with NOTIF_CONFIG_DATA the low half of a kick is the value that the device gave, otherwise the queue's index", async () => {
    const engine = await createEngine({ queues: 4, queueSize: 4, bufferBytes: 64, heapBytes: 64 });
    const kick = (notifyId: number | undefined, ...names: Parameters<typeof features>[1][]): number => {
      const driver = engine.driverQueue(3, { format, features: features(format, ...names), notifyId });
      driver.add({ readable: [{ ptr: engine.buffers.ptr, bytes: 1 }], token: 1 });
      driver.publish();
      const data = driver.notificationData();
      driver.stop();
      driver.detach();
      return data;
    };
    expect(kick(undefined)).toBe(3);
    expect(kick(0xbeef, "NOTIF_CONFIG_DATA")).toBe(0xbeef);
    const both = kick(0xbeef, "NOTIF_CONFIG_DATA", "NOTIFICATION_DATA");
    expect(both & 0xffff).toBe(0xbeef);
    // The upper half says what it says without the feature (V-D-05, V-D-06).
    expect(both >>> 16).toBe(format === "split" ? 1 : 1 | (1 << 15));
  });

  it("H-D-01, G-D-16: what was added is shown before the used ring is looked at, so a device gets no buffer back that it was not shown", async () => {
    for (const inOrder of [false, true]) {
      const trace = await Trace.create();
      const wanted = features(format, ...(inOrder ? ["IN_ORDER" as const] : ["EVENT_IDX" as const]));
      const rig = { size: 4, features: wanted, engine: trace.options };
      const { engine, driver, peer, data } = await driverRig(format, rig);
      const given = new Map([[data.ptr, 1000]]);
      driver.add({ readable: [{ ptr: data.ptr, bytes: 1000 }], token: 1 });
      // Descriptors lie in shared memory before they are published: the device knows the id.
      peer.use({ id: 0, slots: 1 }, 0);
      peer.publish();
      let back: number[] = [];
      const log = within(
        trace.record(() => {
          back = driver.reclaim().map(({ token }) => token);
        }),
        sharedPart(engine),
      );
      const shown = format === "split" ? rigPlace(peer) + 2 : rigPlace(peer) + 8;
      expect(log[0]).toMatchObject({ store: true, ptr: shown });
      expect(log.length).toBeGreaterThan(1);
      for (const one of log.slice(1)) expect(one.store).toBe(false);
      // On a packed ring the same word shows the buffer, and what the device wrote there is gone.
      expect(back).toEqual(format === "split" ? [1] : []);
      const used = back.length;
      // There the device has to begin anew.
      if (peer instanceof RawPackedDevice) Object.assign(peer.nextUsed, { slot: 0, wrap: 1 });

      // And nothing of it is left in what comes next.
      let token = 2;
      while (driver.numFree > 0) {
        const ptr = data.ptr + 1000 * token;
        given.set(ptr, token);
        expect(driver.add({ readable: [{ ptr, bytes: token }], token: token++ })).toBe(true);
      }
      driver.publish();
      const taken = peer.take();
      for (const { elements } of taken.slice(used)) {
        expect(elements.map(({ len }) => len)).toEqual(
          elements.map(({ addr }) => given.get(peer.place(addr))),
        );
      }
      expect(new Set(taken.slice(used).map(({ id }) => id)).size).toBe(4);
      for (const buffer of taken.slice(used)) peer.use(buffer, 0);
      peer.publish();
      back.push(...driver.reclaim().map((one) => one.token));
      expect(back.sort()).toEqual(Array.from({ length: token - 1 }, (_, k) => k + 1));
      expect(driver.violation).toBeNull();
    }
  });
});

/** Where the half shows what it has: the available ring, or the ring itself. */
function rigPlace(peer: RawSplitDevice | RawPackedDevice): number {
  return "avail" in peer.places ? peer.places.avail : peer.places.desc;
}
