/** The handles: comfortable calls, burst calls, what they throw, and what they count. */
import { describe, expect, it } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { createEngine } from "../support/engine.ts";
import { defaultFeatures } from "../support/rig.ts";

const SMALL = { queueSize: 16, batch: 4, bufferBytes: 4096 };

describe.each(RING_FORMATS)("handles of a %s queue", (format) => {
  it("move a buffer there and back with the comfortable calls", async () => {
    const engine = await createEngine(SMALL);
    const { driver, device } = engine.connect(0, { format });
    const { ptr } = engine.buffers;
    const buffer = {
      readable: [{ ptr, bytes: 10 }],
      writable: [
        { ptr: ptr + 10, bytes: 20 },
        { ptr: ptr + 30, bytes: 5 },
      ],
    };
    expect(driver.add({ ...buffer, token: 0xffff_fffe })).toBe(true);
    expect(driver.publish()).toBe(true);
    expect(driver.outstanding).toBe(1);
    const [chain] = device.pop();
    expect(chain).toEqual({ handle: chain.handle, ...buffer, readableBytes: 10, writableBytes: 25 });
    device.markUsed(chain.handle, 25);
    expect(device.publishUsed()).toBe(true);
    expect(driver.reclaim()).toEqual([{ token: 0xffff_fffe, len: 25 }]);
    expect(driver.reclaim()).toEqual([]);
    expect(device.pop()).toEqual([]);
    expect(driver.outstanding).toBe(0);
    expect(driver.state).toBe("live");
    expect([driver.violation, driver.refusal, device.violation, device.refusal]).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });

  it("take a burst larger than the engine's batch in several calls", async () => {
    const engine = await createEngine(SMALL);
    const { driver, device } = engine.connect(0, { format });
    const segment = { ptr: engine.buffers.ptr, bytes: 1 };
    for (let token = 0; token < 10; token++) driver.add({ readable: [segment], token });
    driver.publish();
    expect([4, 4, 2].map(() => device.pop().length)).toEqual([4, 4, 2]);
    expect(driver.reclaim()).toEqual([]);
    driver.stop();
    device.stop();
    expect(driver.detach().length).toBe(10);
    const again = engine.connect(0, { format });
    for (let token = 0; token < 10; token++) again.driver.add({ readable: [segment], token });
    again.driver.publish();
    for (let left = 10; left > 0; ) {
      const count = again.device.popBurst(4);
      again.device.markPoppedUsed(count);
      left -= count;
      expect(count).toBeGreaterThan(0);
    }
    again.device.publishUsed();
    expect([4, 4, 2].map(() => again.driver.reclaim().length)).toEqual([4, 4, 2]);
  });

  it("say what was wrong with the configuration", async () => {
    const engine = await createEngine({ ...SMALL, nodes: 2 });
    const bad = (config: object, message: string): void => {
      expect(() => engine.driverQueue(0, config)).toThrow(
        expect.objectContaining({ code: "config", message: expect.stringContaining(message) }),
      );
    };
    bad({ format: "square" }, 'format is "square", but must be split or packed');
    bad({ format, tables: "magic" }, 'tables is "magic", but must be one of direct, heap, freelist');
    bad({ format, tables: "toString" }, 'tables is "toString"');
    if (format === "packed") bad({ format, directHead: true }, "P-D-08");
    const { driver } = engine.connect(0, { format });
    for (const node of [-1, 2, 0.5]) expect(() => driver.moveToNode(node)).toThrow("must be below 2");
    driver.moveToNode(1);
    const { addresses } = driver;
    expect(() => engine.deviceQueue(0, { format: "square" as "split", size: 16, ...addresses })).toThrow(
      'format is "square"',
    );
  });

  it("refuse a device that is not there", async () => {
    const engine = await createEngine(SMALL);
    for (const device of [1, -1, 0.5]) {
      expect(() => engine.driverQueue(0, { format, device })).toThrow(
        expect.objectContaining({ code: "config" }),
      );
    }
  });

  it("reclaim throws for a broken queue only, whatever was refused before", async () => {
    const engine = await createEngine(SMALL);
    const { driver } = engine.connect(0, { format });
    expect(() => driver.add({ token: 1 })).toThrow(expect.objectContaining({ code: "empty-buffer" }));
    expect(driver.reclaim()).toEqual([]);
  });

  it("say that a stopped queue takes nothing, which is not a full ring", async () => {
    const engine = await createEngine(SMALL);
    const { driver } = engine.connect(0, { format });
    driver.stop();
    expect(() => driver.add({ readable: [{ ptr: engine.buffers.ptr, bytes: 1 }], token: 1 })).toThrow(
      expect.objectContaining({ code: "queue-not-live" }),
    );
  });

  it("count what passes, and go on counting over a reset", async () => {
    const engine = await createEngine(SMALL);
    const segment = { ptr: engine.buffers.ptr, bytes: 1 };
    for (let round = 1; round <= 3; round++) {
      const { driver, device } = engine.connect(0, { format });
      for (let token = 0; token < 3; token++) {
        driver.add({ readable: [segment, segment], token });
        driver.publish();
        device.arm();
        device.markPoppedUsed(device.popBurst(4));
        device.publishUsed();
        driver.reclaim();
        driver.arm();
      }
      driver.stop();
      device.stop();
      expect(driver.counters()).toMatchObject({
        added: 3 * round,
        reclaimed: 3 * round,
        publishes: 3 * round,
        tableTakes: 3 * round,
        tableHits: 3 * round,
        localTakes: 3 * round,
        highWater: 1,
      });
      expect(device.counters()).toMatchObject({ popped: 3 * round, used: 3 * round, publishes: 3 * round });
    }
  });

  it("count doorbells and interrupts only when they are due", async () => {
    const engine = await createEngine(SMALL);
    const { driver, device } = engine.connect(0, { format });
    const segment = { ptr: engine.buffers.ptr, bytes: 1 };
    driver.suppress();
    device.suppress();
    for (let token = 0; token < 20; token++) {
      driver.add({ readable: [segment], token });
      expect(driver.publish()).toBe(false);
      device.markPoppedUsed(device.popBurst(1));
      expect(device.publishUsed()).toBe(false);
      driver.reclaim();
    }
    expect(driver.counters().doorbells).toBe(0);
    expect(device.counters().interrupts).toBe(0);
    expect([device.arm(), driver.arm()]).toEqual([false, false]);
    driver.add({ readable: [segment], token: 1 });
    expect(driver.publish()).toBe(true);
    device.markPoppedUsed(device.popBurst(1));
    expect(device.publishUsed()).toBe(true);
    expect(driver.counters().doorbells).toBe(1);
    expect(device.counters().interrupts).toBe(1);
  });

  it(`${format === "split" ? "S-B-08" : "P-B-08"}: arm with a number of buffers is told after exactly so many more`, async () => {
    const engine = await createEngine(SMALL);
    const { driver, device } = engine.connect(0, { format, features: defaultFeatures(format) });
    const segment = { ptr: engine.buffers.ptr, bytes: 1 };
    for (let round = 0; round < 40; round++) {
      const after = round % 4;
      driver.arm(after);
      device.arm(after);
      const kicks: boolean[] = [];
      const interrupts: boolean[] = [];
      for (let k = 0; k <= after + 2; k++) {
        driver.add({ readable: [segment], token: k });
        kicks.push(driver.publish());
        device.markPoppedUsed(device.popBurst(1));
        interrupts.push(device.publishUsed());
      }
      const expected = Array.from({ length: after + 3 }, (_, k) => k === after);
      expect(kicks).toEqual(expected);
      expect(interrupts).toEqual(expected);
      expect(driver.reclaimBurst(4) + driver.reclaimBurst(4)).toBe(after + 3);
    }
  });

  it("G-D-04: a device that needs a reset is seen at once, and its tokens come back through one", async () => {
    const engine = await createEngine(SMALL);
    const { driver, device } = engine.connect(0, { format });
    const [virtio] = engine.devices;
    driver.add({ readable: [{ ptr: engine.buffers.ptr, bytes: 1 }], token: 5 });
    driver.publish();
    virtio.status |= 0x40;
    expect(virtio.needsReset).toBe(true);
    expect(device.popBurst(4)).toBe(0);
    driver.stop();
    device.stop();
    expect(driver.detach()).toEqual([5]);
    virtio.status = 0;
    virtio.status = 0x0f;
    const again = engine.connect(0, { format });
    again.driver.add({ readable: [{ ptr: engine.buffers.ptr, bytes: 1 }], token: 6 });
    again.driver.publish();
    expect(again.device.popBurst(4)).toBe(1);
  });
});
