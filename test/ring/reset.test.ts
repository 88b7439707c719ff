/** Stopping, detaching, and putting a queue to work again. */
import { describe, expect, it } from "vitest";
import { RING_FORMATS, TABLE_SOURCES, type TableSource } from "../../src/names.ts";
import { Canaries } from "../support/canaries.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";
import { bufferOf, deviceRig, driverRig, elementsAt, features } from "../support/rig.ts";
import { Snapshot } from "../support/snapshot.ts";

const SOURCES = Object.keys(TABLE_SOURCES) as TableSource[];

describe.each(RING_FORMATS)("a %s queue that is stopped", (format) => {
  it.each(SOURCES)(
    "G-D-16, V-D-02: yields every outstanding token exactly once, published or not, and leaks nothing, tables from %s",
    async (tables) => {
      const random = new Random(50);
      for (let round = 0; round < 20; round++) {
        const { engine, driver, peer, data } = await driverRig(format, {
          size: 64,
          tables,
          features: round % 4 === 3 ? features(format, "INDIRECT_DESC", "IN_ORDER") : undefined,
          engine: { batch: 5, heapBytes: 2048, nodes: 2 },
        });
        const listed = driver.tablesListed();
        const out = new Set<number>();
        let token = 0;
        for (let step = 0; step < 10; step++) {
          for (let k = random.int(0, 9); k > 0; k--) {
            const sizes = new Array(random.int(1, 7)).fill(8);
            if (driver.add({ ...bufferOf(elementsAt(data.ptr, sizes)), token })) out.add(token++);
          }
          if (step === 9) break;
          driver.publish();
          const taken = peer.take();
          for (const buffer of taken.slice(0, random.int(0, taken.length))) peer.use(buffer, 0);
          if (step === 8) break;
          peer.publish();
          if (round % 4 === 3) break;
          for (const used of driver.reclaim()) out.delete(used.token);
        }
        expect(driver.detachBurst()).toBe(0);
        expect(driver.refusal).toMatchObject({ code: "queue-live", requirement: "G-D-16" });
        expect(() => driver.detach()).toThrow(expect.objectContaining({ code: "queue-live" }));
        expect(driver.outstanding).toBe(out.size);
        driver.stop();
        const tokens = driver.detach();
        expect(tokens.length).toBe(out.size);
        expect(new Set(tokens)).toEqual(out);
        expect(driver.detach()).toEqual([]);
        expect(driver.outstanding).toBe(0);
        expect(driver.counters().liveTables).toBe(0);
        expect(driver.tablesListed()).toBe(tables === "grow" ? 0 : listed);
        expect(engine.heapLiveBlocks()).toBe(0);
        expect(engine.heapIsSound()).toBe(true);
      }
    },
  );

  it("V-V-01: does nothing and writes nothing until it is enabled again", async () => {
    const { engine, driver, peer, data } = await driverRig(format, { size: 8 });
    driver.add({ readable: [{ ptr: data.ptr, bytes: 4 }], token: 1 });
    driver.publish();
    const [buffer] = peer.take();
    driver.add({ readable: [{ ptr: data.ptr, bytes: 4 }], token: 2 });
    driver.stop();
    peer.use(buffer, 0);
    peer.publish();
    const before = new Snapshot(engine);
    expect(driver.publish()).toBe(false);
    expect(driver.reclaimBurst(8)).toBe(0);
    expect(driver.arm()).toBe(false);
    driver.suppress();
    expect(driver.addBurst(1)).toBe(0);
    expect(before.regions().filter((name) => name !== "queue 0 driver")).toEqual([]);
    expect(driver.state).toBe("stopped");
  });

  it("V-V-01: a stopped device half drops late completions, and leaves its rings alone", async () => {
    const { engine, device, peer, data } = await deviceRig(format, { size: 8 });
    peer.add(elementsAt(data.ptr, [], [4]));
    peer.add(elementsAt(data.ptr, [], [4]));
    peer.publish();
    const [first, second] = device.pop();
    device.markUsed(first.handle, 4);
    device.stop();
    const before = new Snapshot(engine);
    device.completions.set([second.handle, 4]);
    expect(device.markUsedBurst(1)).toBe(0);
    expect(device.publishUsed()).toBe(false);
    expect(device.popBurst(1)).toBe(0);
    expect(device.arm()).toBe(false);
    device.suppress();
    expect(before.regions()).not.toContain("buffers");
    expect(peer.used()).toEqual([]);
  });

  it("V-V-01: marking a buffer used on a stopped queue is refused by name", async () => {
    const { device, peer, data } = await deviceRig(format, { size: 8 });
    peer.add(elementsAt(data.ptr, [], [4]));
    peer.publish();
    const [{ handle }] = device.pop();
    device.stop();
    expect(() => device.markUsed(handle, 4)).toThrow(expect.objectContaining({ code: "queue-not-live" }));
  });

  it("V-B-04, V-V-02: is enabled again with half the size, starts from the beginning, and leaves what it had behind alone", async () => {
    const size = 16;
    const engine = await createEngine({ queueSize: size, bufferBytes: 4096 });
    const segment = { ptr: engine.buffers.ptr, bytes: 8 };
    const traffic = ({ driver, device }: ReturnType<typeof engine.connect>, count: number): void => {
      for (let k = 0; k < count; k++) {
        expect(driver.add({ readable: [segment, segment], token: k })).toBe(true);
        driver.publish();
        const [chain] = device.pop();
        device.markUsed(chain.handle, 0);
        device.publishUsed();
        expect(driver.reclaim()).toEqual([{ token: k, len: 0 }]);
      }
    };
    const first = engine.connect(0, { format, size });
    traffic(first, 21);
    first.driver.stop();
    first.device.stop();
    first.driver.detach();
    const area = (name: string) => engine.region(`queue 0 ${name} area`);
    const bytes =
      format === "split"
        ? { descriptor: 16 * 8, driver: 6 + 2 * 8, device: 6 + 8 * 8 }
        : { descriptor: 16 * 8, driver: 4, device: 4 };
    const canaries = (["descriptor", "driver", "device"] as const).map((name) => {
      const region = area(name);
      return new Canaries(engine.memory, region, [{ ptr: region.ptr, bytes: bytes[name] }]);
    });
    const again = engine.connect(0, { format, size: 8 });
    expect(again.driver.numFree).toBe(8);
    traffic(again, 1);
    // The first used entry is in slot 0, with the flags or the index of a first lap.
    if (format === "split") expect(engine.bytes(area("device").ptr, 4)).toEqual(Uint8Array.of(0, 0, 1, 0));
    else expect(engine.bytes(area("descriptor").ptr + 14, 2)).toEqual(Uint8Array.of(0x80, 0x80));
    traffic(again, 30);
    for (const guard of canaries) expect(guard.dead()).toEqual([]);
    expect(again.device.violation).toBeNull();
  });

  it("V-B-04: is enabled again in the other format and with another table source", async () => {
    const engine = await createEngine({ queueSize: 8, bufferBytes: 4096 });
    const segment = { ptr: engine.buffers.ptr, bytes: 8 };
    for (const [other, tables] of [
      ["split", "grow"],
      ["packed", "slot"],
      ["packed", "heap"],
      ["split", "slot"],
      ["split", "freelist"],
      [format, "per-node"],
    ] as const) {
      const { driver, device } = engine.connect(0, { format: other, tables });
      for (let k = 0; k < 20; k++) {
        driver.add({ readable: [segment], writable: [segment], token: k });
        driver.publish();
        device.markPoppedUsed(device.popBurst(1));
        device.publishUsed();
        expect(driver.reclaim()).toEqual([{ token: k, len: 8 }]);
      }
      driver.add({ readable: [segment], writable: [segment], token: 99 });
      driver.stop();
      device.stop();
      expect(driver.detach()).toEqual([99]);
      expect(engine.heapLiveBlocks()).toBe(0);
    }
  });

  it("V-V-01: one queue's stop leaves the others alone", async () => {
    const engine = await createEngine({ queues: 2, queueSize: 8, bufferBytes: 4096 });
    const pairs = [0, 1].map((index) => engine.connect(index, { format }));
    const segment = { ptr: engine.buffers.ptr, bytes: 8 };
    for (const { driver } of pairs) {
      driver.add({ readable: [segment], token: 1 });
      driver.publish();
    }
    pairs[0].driver.stop();
    pairs[0].device.stop();
    expect(pairs[0].device.popBurst(1)).toBe(0);
    expect(pairs[1].device.popBurst(1)).toBe(1);
    pairs[1].device.markPoppedUsed(1);
    pairs[1].device.publishUsed();
    expect(pairs[1].driver.reclaim().length).toBe(1);
    expect(pairs[0].driver.detach()).toEqual([1]);
  });

  it("V-B-04: a live queue is not enabled again", async () => {
    const engine = await createEngine({ queueSize: 8, bufferBytes: 4096 });
    const { driver, device } = engine.connect(0, { format });
    const live = expect.objectContaining({ code: "queue-live" });
    expect(() => engine.driverQueue(0, { format })).toThrow(live);
    const { features } = driver;
    expect(() => engine.deviceQueue(0, { format, size: 8, features, ...driver.addresses })).toThrow(live);
    expect([driver.state, device.state]).toEqual(["live", "live"]);
  });

  it("G-D-16: with buffers out it is not enabled again, or nothing that they hold is lost", async () => {
    for (const tables of ["heap", "grow"] as const) {
      const engine = await createEngine({ queueSize: 8, bufferBytes: 4096 });
      const driver = engine.driverQueue(0, { format, tables });
      const segment = { ptr: engine.buffers.ptr, bytes: 8 };
      driver.add({ readable: [segment, segment], token: 1 });
      driver.stop();
      try {
        engine.driverQueue(0, { format, tables });
      } catch {
        expect(driver.detach()).toEqual([1]);
      }
      expect(engine.heapLiveBlocks()).toBe(0);
    }
  });
});
