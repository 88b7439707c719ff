/** A driver that runs: kicks, config reads, queue resets, suspension, and devices that go wrong. */
import { describe, expect, it } from "vitest";
import { DeviceCore } from "../../src/device/core.ts";
import { DriverCore, type DriverCoreOptions } from "../../src/driver/core.ts";
import { Features } from "../../src/features.ts";
import type { DeviceRegisters } from "../../src/registers.ts";
import {
  ALL_FEATURES,
  ECHO_CONFIG_BYTES,
  EchoDevice,
  EchoDriver,
  type EchoOptions,
  echoEngine,
  FANCY,
  PLAIN,
} from "../support/echo.ts";
import { Random } from "../support/random.ts";
import { recorded, statusWrites } from "../support/recorded.ts";
import { Snapshot } from "../support/snapshot.ts";

/** What the device answers in the place of its own registers; empty until a test says something. */
type Answers = Partial<DeviceRegisters>;

async function running(options: EchoOptions & { driver?: DriverCoreOptions; late?: boolean } = {}) {
  const queues = options.queues ?? 2;
  const engine = await echoEngine(queues);
  const deviceKind = new EchoDevice(engine, { ...options, queues });
  const device = new DeviceCore(engine, deviceKind);
  const driverKind = new EchoDriver(engine, { queues });
  const answers: Answers = {};
  const { registers, log } = recorded(device, answers);
  const driver = new DriverCore(engine, registers, driverKind, { pollLimit: 20, ...options.driver });
  device.connect(driver);
  if (!options.late) {
    driver.start();
    log.length = 0;
  }
  return { engine, deviceKind, device, driverKind, driver, answers, log };
}

function code(code: string): Error {
  return expect.objectContaining({ code, name: "DriverError" }) as unknown as Error;
}

describe("a kick", () => {
  it.each([
    [0n, 3],
    [Features.NOTIF_CONFIG_DATA, 0xbeef],
    [Features.NOTIFICATION_DATA, (1 << 16) | 3],
    [Features.NOTIFICATION_DATA | Features.NOTIF_CONFIG_DATA, (1 << 16) | 0xbeef],
  ])(
    "V-D-04, F-D-03: with features %s queue 3 of a device that names it 0xBEEF is kicked by %i",
    async (features, value) => {
      const { driver, driverKind, deviceKind, log } = await running({ queues: 4, features, late: true });
      deviceKind.notifyData = (queue) => (queue === 3 ? 0xbeef : 0x1000 + queue);
      driver.start();
      driverKind.send(3, 1);
      log.length = 0;
      driver.publish(3);
      const [kick] = log.filter(({ name }) => name === "notify");
      expect(kick.args).toEqual([value]);
      expect(driverKind.done).toEqual([1]);
    },
  );

  it("V-D-07: is harmless when there is nothing new, and says the same again", async () => {
    const { driver, driverKind, log } = await running({ features: Features.NOTIFICATION_DATA });
    for (const queue of [0, 0, 1, 0]) driver.kick(queue);
    driverKind.send(0, 1);
    driver.publish(0);
    for (let k = 0; k < 3; k++) driver.kick(0);
    const values = log.filter(({ name }) => name === "notify").map(({ args }) => args[0]);
    expect(values).toEqual([0, 0, 1, 0, ...Array(4).fill(1 << 16)]);
    expect(driverKind.done).toEqual([1]);
  });

  it("V-B-03: notifications that are lost, doubled and made up change nothing but the time", async () => {
    const random = new Random(8);
    const { driver, driverKind, deviceKind, device, answers } = await running({
      hold: true,
      features: ALL_FEATURES & ~Features.IN_ORDER,
    });
    answers.notify = (value) => {
      if (random.chance(40)) return;
      for (let k = random.int(1, 3); k > 0; k--) device.notify(value);
    };
    device.connect({
      usedBuffers: (queue) => {
        if (random.chance(60)) driver.usedBuffers(queue);
      },
      configChange: () => driver.configChange(),
    });
    let sent = 0;
    for (let step = 0; step < 3000; step++) {
      const queue = random.int(0, 1);
      if (driverKind.send(queue, sent)) sent++;
      driverKind.flush(queue);
      if (random.chance(30)) deviceKind.finish(random.int(1, 8), (held) => random.int(0, held - 1));
      if (random.chance(20)) driver.usedBuffers(random.int(0, 3));
      if (random.chance(20)) device.notify(random.int(0, 1));
    }
    for (let round = 0; round < 4; round++) {
      for (const queue of [0, 1]) device.notify(queue);
      deviceKind.finish(64);
      for (const queue of [0, 1]) driver.usedBuffers(queue);
    }
    expect(driverKind.done.sort((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, token) => token));
    expect(device.faults).toBe(0);
  });

  it("of a queue that was not set up is the caller's mistake", async () => {
    const { driver } = await running();
    for (const queue of [2, -1, 0.5]) {
      expect(() => driver.kick(queue)).toThrow(code("no-queue"));
      expect(() => driver.publish(queue)).toThrow(code("no-queue"));
    }
  });
});

describe("the config space", () => {
  it("G-D-09: several fields are of one generation, whenever it changes", async () => {
    const { driver, device, answers } = await running();
    for (let change = 0; change < 40; change++) {
      device.changeConfig(0, new Uint8Array(12).fill(1));
      let reads = 0;
      answers.readConfig = (offset, width) => {
        // The device changes everything in the middle of a read, once.
        if (reads++ === change) device.changeConfig(0, new Uint8Array(12).fill(2));
        return device.readConfig(offset, width);
      };
      const fields = driver.readConfigFields([
        { offset: 0, bytes: 8 },
        { offset: 8, bytes: 4 },
        { offset: 0, bytes: 1 },
        { offset: 2, bytes: 2 },
        { offset: 1, bytes: 6 },
      ]);
      expect(fields.map(({ length }) => length)).toEqual([8, 4, 1, 2, 6]);
      const bytes = new Set(fields.flatMap((field) => [...field]));
      expect(bytes.size).toBe(1);
    }
  });

  it("G-D-09: one that changes under every read is an error after a bounded number of them", async () => {
    const { driver, answers, log } = await running();
    let generation = 0;
    answers.readConfigGeneration = () => generation++;
    expect(() => driver.readConfigFields([{ offset: 0, bytes: 8 }])).toThrow(code("config-unstable"));
    expect(log).toHaveLength(20 * 4);
  });

  it("G-D-10: an optional field counts only where its feature is offered, and any larger space is fine", async () => {
    for (const [features, bytes, good] of [
      [PLAIN | FANCY, ECHO_CONFIG_BYTES, true],
      [PLAIN | FANCY, ECHO_CONFIG_BYTES + 1, true],
      [PLAIN | FANCY, 4096, true],
      [PLAIN | FANCY, ECHO_CONFIG_BYTES - 1, false],
      [PLAIN, 12, true],
      [PLAIN, 11, false],
    ] as [bigint, number, boolean][]) {
      const { driver, answers } = await running({ features, late: true });
      Object.assign(answers, { configBytes: bytes });
      if (good) driver.start();
      else expect(() => driver.start()).toThrow(code("config-too-small"));
    }
  });

  it("is looked at again when it may have changed", async () => {
    const { device, driverKind } = await running();
    device.changeConfig(0, Uint8Array.of(99));
    expect(driverKind.calls.filter((call) => call === "configChange")).toHaveLength(1);
  });
});

describe("a device that needs a reset", () => {
  it("G-D-04: nobody waits for it: calls end at once, and buffers come back through reset and detach only", async () => {
    const { driver, driverKind, deviceKind, device, log } = await running({ hold: true });
    for (let token = 0; token < 5; token++) driverKind.send(0, token);
    driverKind.flush(0);
    expect(deviceKind.held).toBe(5);
    device.needsReset();
    expect(driverKind.calls.at(-1)).toBe("needsReset");
    expect(driver.running).toBe(false);
    log.length = 0;
    expect(driver.publish(0)).toBe(false);
    driver.kick(0);
    driver.usedBuffers(0);
    driver.configChange();
    for (const call of [
      () => driver.suspend(),
      () => driver.resetQueue(0),
      () => driver.enableQueue({ index: 0 }),
    ]) {
      expect(call).toThrow(code("needs-reset"));
    }
    expect(log).toEqual([]);
    expect([driverKind.done, driverKind.detached]).toEqual([[], []]);
    driver.reset();
    expect([driverKind.done, driverKind.detached]).toEqual([[], [0, 1, 2, 3, 4]]);
    driver.start();
    driverKind.send(0, 7);
    driverKind.flush(0);
    deviceKind.finish(1);
    expect(driverKind.done).toEqual([7]);
  });
});

describe("a queue reset", () => {
  it("V-D-01: is over when the register reads 0; meanwhile nothing is added, kicked or taken back", async () => {
    for (const reads of [0, 1, 9, 19]) {
      const { driver, driverKind, device, answers, log } = await running({ hold: true });
      for (let token = 0; token < 4; token++) driverKind.send(0, token);
      driverKind.flush(0);
      let left = reads;
      let during = 0;
      answers.readQueueReset = (queue) => {
        if (left-- === 0) return device.readQueueReset(queue);
        expect(driverKind.send(0, 50)).toBe(false);
        expect(driver.publish(0)).toBe(false);
        driver.kick(0);
        driver.usedBuffers(0);
        expect(driver.queue(0).state).toBe("suspended");
        expect(driver.queue(0).outstanding).toBe(4);
        during++;
        return 1;
      };
      driver.resetQueue(0);
      expect(during).toBe(reads);
      expect(log.filter(({ name }) => name === "notify")).toHaveLength(1);
      expect(driverKind.detached).toEqual([0, 1, 2, 3]);
      expect(driver.queue(0).state).toBe("stopped");
    }
  });

  it("V-D-01: a register that never reads 0 is an error after a bounded number of reads, and nothing is taken back", async () => {
    const { driver, driverKind, answers, log } = await running({ hold: true });
    driverKind.send(0, 1);
    driverKind.flush(0);
    answers.readQueueReset = () => 1;
    log.length = 0;
    expect(() => driver.resetQueue(0)).toThrow(code("queue-reset-timeout"));
    expect(log).toHaveLength(21);
    expect(driverKind.detached).toEqual([]);
    expect(driverKind.send(0, 2)).toBe(false);
    // The other queue goes on; a device reset gives the buffer back.
    expect(driverKind.send(1, 3)).toBe(true);
    driver.reset();
    expect(driverKind.detached.sort()).toEqual([1, 3]);
  });

  it("V-D-02: what it confirmed may be reused: the device does not look there again", async () => {
    const { engine, driver, driverKind, deviceKind, device } = await running({ hold: true });
    for (let token = 0; token < 4; token++) driverKind.send(0, token);
    driverKind.flush(0);
    driver.resetQueue(0);
    const names = ["descriptor area", "driver area", "device area", "tables"];
    const freed = names.map((name) => engine.region(`queue 0 ${name}`));
    for (const { ptr, bytes } of freed) engine.bytes(ptr, bytes).fill(0xff);
    deviceKind.finish(8);
    device.notify(0);
    for (const { ptr, bytes } of freed)
      expect(engine.bytes(ptr, bytes).every((byte) => byte === 0xff)).toBe(true);
    expect(driver.status).toBe(0x0f);
  });

  it("V-B-04: repeats the set-up with another size, and traffic passes", async () => {
    const { driver, driverKind } = await running();
    for (const size of [4, 16, 8]) {
      driver.resetQueue(1);
      expect(driver.enableQueue({ index: 1, size }).size).toBe(size);
      driverKind.done.length = 0;
      for (let token = 0; token < 20; token++) {
        driverKind.send(1, token);
        driverKind.flush(1);
      }
      expect(driverKind.done).toHaveLength(20);
    }
    expect(() => driver.enableQueue({ index: 1 })).toThrow(code("queue-busy"));
  });

  it("needs RING_RESET and a device that runs", async () => {
    const { driver } = await running({ features: 0n });
    expect(() => driver.resetQueue(0)).toThrow(code("not-negotiated"));
    const reset = await running();
    reset.driver.reset();
    expect(() => reset.driver.resetQueue(0)).toThrow(code("not-negotiated"));
    const suspended = await running();
    suspended.driver.suspend();
    expect(() => suspended.driver.resetQueue(0)).toThrow(code("suspended"));
  });
});

describe("suspension", () => {
  it("G-D-17: is asked for by SUSPEND and waited for; until the resume is confirmed nothing is added, kicked or written", async () => {
    for (const [suspendReads, resumeReads] of [
      [0, 0],
      [1, 7],
      [9, 1],
    ]) {
      const { engine, driver, driverKind, device, deviceKind, answers, log } = await running({ hold: true });
      for (let token = 0; token < 3; token++) driverKind.send(0, token);
      driverKind.flush(0);
      const shared = { ptr: engine.sharedBase, bytes: engine.end - engine.sharedBase };
      let quiet: Snapshot | null = null;
      const refuse = (): void => {
        quiet ??= new Snapshot(engine);
        expect(driver.running).toBe(false);
        expect(driverKind.send(1, 60)).toBe(false);
        expect(driver.publish(1)).toBe(false);
        driver.kick(1);
        expect(() => driver.writeConfig(14, 1, 1)).toThrow(code("suspended"));
        expect(() => driver.suspend()).toThrow(code("suspended"));
        const slots = { ptr: engine.region("queue 1 descriptor area").ptr, bytes: 0 };
        slots.bytes = engine.region("queue 1 device area").ptr - slots.ptr;
        expect(quiet.changed(slots)).toEqual([]);
      };
      let left = suspendReads;
      answers.readStatus = () => {
        const status = device.readStatus();
        if (left-- <= 0) return status;
        refuse();
        return 0x0f;
      };
      log.length = 0;
      driver.suspend();
      expect(statusWrites(log)).toEqual([0x1f]);
      expect(deviceKind.held).toBe(0);
      refuse();
      quiet = new Snapshot(engine);
      driver.usedBuffers(0);
      expect(quiet.changed(shared)).toEqual([]);
      left = resumeReads;
      answers.readStatus = () => {
        const status = device.readStatus();
        if (left-- <= 0) return status;
        refuse();
        return 0x1b;
      };
      driver.resume();
      expect(statusWrites(log)).toEqual([0x1f, 0x1f]);
      expect(log.filter(({ name }) => name === "notify" || name === "writeConfig")).toEqual([]);
      expect(driver.status).toBe(0x0f);
      // What was used before the suspension is seen now, and everything goes on.
      expect(driverKind.done.sort()).toEqual([0, 1, 2]);
      driver.writeConfig(14, 1, 1);
      driverKind.send(1, 5);
      driverKind.flush(1);
      deviceKind.finish(1);
      expect(driverKind.done).toContain(5);
    }
  });

  it("G-D-17: is only asked for when it was negotiated and the device runs", async () => {
    const { driver, log } = await running({ features: 0n });
    expect(() => driver.suspend()).toThrow(code("not-negotiated"));
    expect(() => driver.resume()).toThrow(code("not-running"));
    const early = await running({ late: true });
    expect(() => early.driver.suspend()).toThrow(code("not-negotiated"));
    expect(statusWrites(log)).toEqual([]);
  });

  it("G-D-17: a device that never says it is suspended, or that it runs again, is an error after a bounded number of reads", async () => {
    const { driver, driverKind, answers, log } = await running();
    answers.readStatus = () => 0x0f;
    log.length = 0;
    expect(() => driver.suspend()).toThrow(code("suspend-timeout"));
    expect(log.length).toBeLessThan(50);
    expect(driverKind.send(0, 1)).toBe(false);
    answers.readStatus = () => 0x1b;
    expect(() => driver.resume()).toThrow(code("resume-timeout"));
    expect(driverKind.send(0, 1)).toBe(false);
    answers.readStatus = undefined;
    driver.start();
    driverKind.send(0, 1);
    driverKind.flush(0);
    expect(driverKind.done).toEqual([1]);
  });

  it("G-D-17: a device that fails to suspend or to resume needs a reset, and the driver says so", async () => {
    const { driver, deviceKind } = await running();
    deviceKind.answers.suspend = "failed";
    expect(() => driver.suspend()).toThrow(code("needs-reset"));
    deviceKind.answers = { resume: "failed" };
    driver.start();
    driver.suspend();
    expect(() => driver.resume()).toThrow(code("needs-reset"));
    driver.start();
    expect(driver.running).toBe(true);
  });
});
