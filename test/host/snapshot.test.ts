/** Snapshots: taken in the middle of everything, restored elsewhere, and refused when they are not what they should be. */
import { describe, expect, it } from "vitest";
import type { Engine } from "../../src/engine.ts";
import { SnapshotError } from "../../src/errors.ts";
import { Features } from "../../src/features.ts";
import { TABLE_SOURCES, type TableSource } from "../../src/names.ts";
import { ALL_FEATURES, type EchoRig, type EchoRigOptions, echoRig, FAR } from "../support/echo.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";
import { Snapshot } from "../support/snapshot.ts";

/** The same pair in an engine of its own, with what `from` has in its memory and what its driver has counted. */
async function moved(from: EchoRig, options: EchoRigOptions): Promise<EchoRig> {
  const to = await echoRig(options);
  to.driverKind.plans = from.driverKind.plans;
  to.deviceKind.hold = from.deviceKind.hold;
  to.engine.restore(from.engine.snapshot());
  to.driverKind.done.unshift(...from.driverKind.done);
  to.driverKind.detached.unshift(...from.driverKind.detached);
  return to;
}

describe("a running device", () => {
  const formats = { split: Features.RING_PACKED, packed: 0n };
  const cases = Object.entries(formats).flatMap(([format, decline]) =>
    (Object.keys(TABLE_SOURCES) as TableSource[]).map((tables) => ({ format, decline, tables })),
  );

  it.each(cases)(
    "$format, $tables: goes on in a fresh engine from any packet boundary, with buffers in flight, and nothing is lost or doubled",
    async ({ decline, tables }) => {
      const random = new Random(tables.length);
      const options: EchoRigOptions = {
        queues: 2,
        hold: true,
        driverOptions: { decline: decline | (random.chance(50) ? Features.EVENT_IDX : 0n) },
        features: ALL_FEATURES & ~Features.IN_ORDER,
      };
      let rig = await echoRig(options);
      rig.driverKind.plans = [0, 1].map((index) => ({ index, tables, size: 16 }));
      rig.driver.start();
      let sent = 0;
      let inFlight = 0;
      for (let step = 0; step < 1500; step++) {
        const { driver, driverKind, deviceKind } = rig;
        const queue = random.int(0, 1);
        if (driverKind.send(queue, sent)) sent++;
        // Added and not published, published and not popped, popped and not used: all of it moves.
        if (random.chance(40)) driverKind.flush(queue);
        if (random.chance(40)) deviceKind.finish(random.int(1, 5), (held) => random.int(0, held - 1));
        if (random.chance(2)) driver.suspend();
        if (random.chance(2)) {
          inFlight += deviceKind.held;
          rig = await moved(rig, options);
        }
        if (rig.driver.status & 0x10) rig.driver.resume();
      }
      for (const queue of [0, 1]) {
        rig.driverKind.flush(queue);
        rig.device.notify(queue);
      }
      rig.deviceKind.finish(64);
      expect(rig.driverKind.done.sort((a, b) => a - b)).toEqual(
        Array.from({ length: sent }, (_, token) => token),
      );
      expect(inFlight).toBeGreaterThan(20);
      expect(rig.engine.heapIsSound()).toBe(true);
      expect([0, 1].map((queue) => rig.driver.queue(queue).counters().liveTables)).toEqual([0, 0]);
    },
  );

  it.each(["swiotlb", "iommu-strict", "iommu-lazy"] as const)(
    "behind %s: mappings, pool and page table move with it",
    async (backend) => {
      const random = new Random(6);
      const options: EchoRigOptions = {
        hold: true,
        features: ALL_FEATURES & ~Features.IN_ORDER,
        engine: { dma: { backends: [backend], poolBytes: 1 << 20 } },
        prepare: (engine) => engine.devices[0].setDma(backend),
      };
      let rig = await echoRig(options);
      rig.driver.start();
      expect(rig.driver.features & Features.ACCESS_PLATFORM).not.toBe(0n);
      const start = rig.engine.devices[0].dma.domainUse();
      const { addresses } = rig.driver.queue(0);
      let sent = 0;
      for (let step = 0; step < 400; step++) {
        if (rig.driverKind.send(0, sent)) sent++;
        if (random.chance(40)) rig.driverKind.flush(0);
        if (random.chance(40)) rig.deviceKind.finish(random.int(1, 5), (held) => random.int(0, held - 1));
        if (random.chance(3)) rig = await moved(rig, options);
      }
      rig.driverKind.flush(0);
      rig.device.notify(0);
      rig.deviceKind.finish(64);
      expect(rig.driverKind.done.sort((a, b) => a - b)).toEqual(
        Array.from({ length: sent }, (_, token) => token),
      );
      const { maps, unmaps } = rig.engine.devices[0].dma.counters();
      expect(maps).toBe(unmaps);
      expect(maps).toBeGreaterThan(sent);
      // The rings too: they are mapped once, wherever they were moved.
      expect(rig.engine.devices[0].dma.domainUse()).toEqual(start);
      expect(rig.driver.queue(0).addresses).toEqual(addresses);
      // An engine whose device has no such backend is another one.
      const direct = await echoRig({ ...options, prepare: undefined });
      expect(() => direct.engine.restore(rig.engine.snapshot())).toThrow(
        expect.objectContaining({ code: "snapshot-foreign" }),
      );
    },
  );

  it("takes along status, features, config space, registers, a queue in reset and a notification that is owed", async () => {
    const options: EchoRigOptions = { queues: 2, hold: true };
    const from = await echoRig(options);
    from.driver.start();
    from.deviceKind.answers.queueReset = "busy";
    from.device.writeQueueReset(1, 1);
    from.driver.suspend();
    from.device.changeConfig(0, Uint8Array.of(0x77));
    const to = await moved(from, options);
    expect(to.device.readStatus()).toBe(0x1b);
    expect(to.device.features).toBe(ALL_FEATURES);
    expect(to.driver.features).toBe(ALL_FEATURES);
    expect([to.device.readQueueEnable(1), to.device.readQueueReset(1)]).toEqual([1, 1]);
    expect(to.device.readConfig(0, 1)).toBe(1);
    to.device.queueResetDone(1);
    expect(to.device.readQueueEnable(1)).toBe(0);
    to.driver.resume();
    expect(to.device.readConfig(0, 1)).toBe(0x77);
    expect(to.driverKind.calls).toEqual(["restored", "configChange", "used 0", "used 1"]);
    // The first engine knows nothing of it.
    expect(from.device.readStatus()).toBe(0x1b);
  });

  it("goes back to where it was, in its own engine", async () => {
    const rig = await echoRig({ hold: true });
    rig.driver.start();
    for (let token = 0; token < 3; token++) rig.driverKind.send(0, token);
    rig.driverKind.flush(0);
    const snapshot = rig.engine.snapshot();
    rig.deviceKind.finish(2);
    rig.driver.reset();
    rig.engine.restore(snapshot);
    expect(rig.device.readStatus()).toBe(0x0f);
    rig.driverKind.done.length = 0;
    rig.deviceKind.finish(3);
    expect(rig.driverKind.done).toEqual([0, 1, 2]);
  });
});

describe("queues without a device core", () => {
  it.each(["split", "packed"] as const)(
    "%s: handles are made again over what is restored",
    async (format) => {
      const options = { queues: 2, queueSize: 8 };
      const from = await createEngine(options);
      const { driver, device } = from.connect(1, { format, tables: "slot" });
      const buffer = (engine: Engine, token: number) => ({
        readable: [{ ptr: engine.buffers.ptr + 64 * token, bytes: 64 }],
        token,
      });
      for (let token = 0; token < 5; token++) driver.add(buffer(from, token));
      driver.publish();
      const [first, second] = device.pop(2);
      device.markUsed(second.handle, 0);

      const to = await createEngine(options);
      to.restore(from.snapshot());
      const restored = { driver: to.restoredDriverQueue(1), device: to.restoredDeviceQueue(1) };
      expect([restored.driver.format, restored.driver.features]).toEqual([format, driver.features]);
      expect([restored.device.format, restored.device.features]).toEqual([format, device.features]);
      expect(restored.driver.addresses).toEqual(driver.addresses);
      restored.device.markUsed(first.handle, 0);
      for (const { handle } of restored.device.pop()) restored.device.markUsed(handle, 0);
      restored.device.publishUsed();
      expect(restored.driver.reclaim().map(({ token }) => token)).toEqual([1, 0, 2, 3, 4]);
      expect(() => to.restoredDriverQueue(0)).toThrow(expect.objectContaining({ code: "config" }));
      expect(() => to.restoredDeviceQueue(2)).toThrow(expect.objectContaining({ code: "config" }));
    },
  );
});

describe("a snapshot that is refused", () => {
  async function pair() {
    const from = await echoRig();
    from.driver.start();
    const to = await echoRig();
    return { snapshot: from.engine.snapshot(), to };
  }

  function refuses(engine: Engine, snapshot: Uint8Array, code: string): void {
    const before = new Snapshot(engine);
    expect(() => engine.restore(snapshot)).toThrow(expect.objectContaining({ code, name: "SnapshotError" }));
    expect(before.changed()).toEqual([]);
  }

  it("with a changed byte anywhere in the header, or somewhere in the rest, changes nothing", async () => {
    const { snapshot, to } = await pair();
    const random = new Random(2);
    const places = [
      ...Array(48).keys(),
      ...Array.from({ length: 20 }, () => random.int(48, snapshot.length - 1)),
    ];
    for (const place of [...places, snapshot.length - 1]) {
      const damaged = snapshot.slice();
      damaged[place] ^= 1 << random.int(0, 7);
      const before = new Snapshot(to.engine);
      expect(() => to.engine.restore(damaged)).toThrow(SnapshotError);
      expect(before.changed()).toEqual([]);
    }
    to.engine.restore(snapshot);
    expect(to.device.readStatus()).toBe(0x0f);
  });

  it("is one that is empty, cut short, too long, or of another kind of file", async () => {
    const { snapshot, to } = await pair();
    const longer = new Uint8Array(snapshot.length + 1);
    longer.set(snapshot);
    for (const bytes of [
      new Uint8Array(0),
      snapshot.subarray(0, 47),
      snapshot.subarray(0, 48),
      snapshot.subarray(0, snapshot.length - 1),
      longer,
      new Uint8Array(snapshot.length),
    ]) {
      refuses(to.engine, bytes, "snapshot-damaged");
    }
    // A view into a larger buffer is as good as any.
    const inside = new Uint8Array(snapshot.length + 7);
    inside.set(snapshot, 3);
    to.engine.restore(inside.subarray(3, 3 + snapshot.length));
  });

  it("is one of an older or a newer version", async () => {
    const { snapshot, to } = await pair();
    for (const version of [0, 2, 0xffff_ffff]) {
      const other = snapshot.slice();
      new DataView(other.buffer).setUint32(8, version, true);
      refuses(to.engine, other, "snapshot-version");
    }
  });

  it("is one of an engine with other options, at another place, or behind another window", async () => {
    const { snapshot } = await pair();
    for (const engine of [
      { queueSize: 32 },
      { bufferBytes: 1 << 17 },
      { devices: 2 },
      { nodes: 2 },
      { pageLog: true },
    ]) {
      refuses((await echoRig({ engine })).engine, snapshot, "snapshot-foreign");
    }
    const memory = new WebAssembly.Memory({ initial: 16 });
    const elsewhere = await echoRig({ engine: { memory, region: { offset: 65536, length: 15 * 65536 } } });
    refuses(elsewhere.engine, snapshot, "snapshot-foreign");
    const windowed = await echoRig();
    const { offset, length } = windowed.engine.devices[0].window;
    windowed.engine.devices[0].setWindow({ base: 1n << 40n, offset, length });
    refuses(windowed.engine, snapshot, "snapshot-foreign");
  });

  it("is one of a device that offers something else", async () => {
    const { snapshot } = await pair();
    const other = await echoRig({ features: ALL_FEATURES & ~FAR });
    refuses(other.engine, snapshot, "snapshot-foreign");
    refuses((await echoRig({ deviceOptions: {}, features: 0n })).engine, snapshot, "snapshot-foreign");
  });
});
