/** The queue registers (4.1.4.3, 4.2.2) and queue reset (2.6.1), with values that can't be. */
import { describe, expect, it } from "vitest";
import * as spec from "../../assembly/spec.ts";
import type { DeviceCore } from "../../src/device/core.ts";
import { Features } from "../../src/features.ts";
import { QUEUE_DESC, QUEUE_DEVICE, QUEUE_DRIVER } from "../../src/registers.ts";
import { Canaries } from "../support/canaries.ts";
import { echoDevice } from "../support/echo.ts";
import { Random } from "../support/random.ts";
import { negotiate, RawDriver } from "../support/raw-registers.ts";
import { Snapshot } from "../support/snapshot.ts";

/** enable and reset, as a driver reads them. */
function read(core: DeviceCore, queue: number): [number, number] {
  return [core.readQueueEnable(queue), core.readQueueReset(queue)];
}

function addresses(core: DeviceCore, queue: number): number[] {
  return [0, 1, 2, 3, 4, 5].map((word) => core.readQueueAddress(queue, word));
}

describe("the register state machine", () => {
  it("V-V-03: reset reads 1 while busy, then reset and enable read 0; 0 after enable and after a device reset", async () => {
    const { core, engine, kind, told } = await echoDevice({ queues: 2 });
    const raw = new RawDriver(engine, core);
    expect(read(core, 0)).toEqual([0, 0]);
    raw.start(Features.RING_RESET);
    expect([read(core, 0), read(core, 1)]).toEqual([
      [1, 0],
      [1, 0],
    ]);
    kind.answers.queueReset = "busy";
    core.writeQueueReset(0, 1);
    expect(read(core, 0)).toEqual([1, 1]);
    expect(read(core, 1)).toEqual([1, 0]);
    // Meanwhile it is neither kicked nor tells of anything, nor changes its registers.
    const registers = addresses(core, 0);
    core.notify(0);
    core.notifyUsed(0);
    core.writeQueueReset(0, 1);
    core.writeQueueEnable(0, 1);
    core.writeQueueSize(0, 2);
    core.writeQueueAddress(0, QUEUE_DESC, 0x10);
    expect(addresses(core, 0)).toEqual(registers);
    expect(told).toEqual([]);
    expect(read(core, 0)).toEqual([1, 1]);
    core.queueResetDone(0);
    expect(read(core, 0)).toEqual([0, 0]);
    expect(addresses(core, 0)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(raw.enable(0)).toBe(true);
    expect(read(core, 0)).toEqual([1, 0]);

    core.writeQueueReset(1, 1);
    expect(read(core, 1)).toEqual([1, 1]);
    core.writeStatus(0);
    expect([read(core, 0), read(core, 1)]).toEqual([
      [0, 0],
      [0, 0],
    ]);
    // What ends later than the device reset is of no queue that is there now.
    raw.start(Features.RING_RESET);
    core.queueResetDone(1);
    expect(read(core, 1)).toEqual([1, 0]);
    expect(raw.enable(0)).toBe(true);
  });

  it("V-V-01: a queue that is reset runs nothing and notifies nobody, late completions or not, and the others go on", async () => {
    const { core, engine, kind, told } = await echoDevice({ queues: 2, hold: true });
    const raw = new RawDriver(engine, core);
    raw.start(Features.RING_RESET);
    for (const queue of [0, 1]) {
      raw.addEcho(queue, 3);
      core.notify(queue);
    }
    const half = core.queue(0);
    const handle = half?.popped[0] ?? 0;
    core.writeQueueReset(0, 1);
    expect(core.queue(0)).toBeNull();
    const { ptr, bytes } = engine.region("queue 0 device area");
    const after = new Snapshot(engine);
    if (half !== null) {
      half.completions.set([handle, 0]);
      expect(half.markUsedBurst(1)).toBe(0);
    }
    core.notify(0);
    kind.finish(6);
    expect(after.changed({ ptr, bytes })).toEqual([]);
    expect(raw.used(1)).toBe(3);
    expect(told).toEqual(["used 1"]);
  });

  it("V-V-02, V-B-04: set up again at other addresses and with another size a queue starts at 0, and leaves the old memory alone", async () => {
    const { core, engine } = await echoDevice({ queues: 2 });
    const raw = new RawDriver(engine, core);
    raw.start(Features.RING_RESET);
    raw.addEcho(0, 5);
    core.notify(0);
    expect(raw.used(0)).toBe(5);
    core.writeQueueReset(0, 1);
    expect(core.readQueueSize(0)).toBe(16);
    // The memory of queue 1, which is reset too, is queue 0's now.
    core.writeQueueReset(1, 1);
    const old = ["descriptor", "driver", "device"].map((name) => engine.region(`queue 0 ${name} area`));
    const kept = engine.regions.filter((region) => !old.includes(region));
    const canaries = new Canaries(engine.memory, { ptr: engine.base, bytes: engine.end - engine.base }, kept);
    raw.writeRegisters(0, raw.places(1, 8));
    engine.bytes(raw.places(1, 8).avail, 6 + 16).fill(0);
    engine.bytes(raw.places(1, 8).used, 6 + 64).fill(0);
    core.writeQueueEnable(0, 1);
    expect(core.readQueueSize(0)).toBe(8);
    const { ptr } = engine.buffers;
    const view = new DataView(engine.memory.buffer);
    const { desc, avail, used } = raw.places(1, 8);
    view.setBigUint64(desc, BigInt(ptr), true);
    view.setUint32(desc + 8, 8, true);
    view.setUint16(desc + 12, spec.VIRTQ_DESC_F_WRITE, true);
    view.setUint16(avail + 2, 1, true);
    core.notify(0);
    expect(view.getUint16(used + 2, true)).toBe(1);
    expect(canaries.dead()).toEqual([]);
  });

  it("V-D-01: a queue reset needs RING_RESET, an enabled queue and the value 1", async () => {
    const { core, engine, kind } = await echoDevice({ queues: 2 });
    const raw = new RawDriver(engine, core);
    const refused = (queue: number, value: number, code: string): void => {
      const before = core.faults;
      core.writeQueueReset(queue, value);
      expect(core.fault?.code).toBe(code);
      expect(core.faults).toBe(before + 1);
    };
    refused(0, 1, "queue-reset-feature");
    raw.start();
    refused(0, 1, "queue-reset-feature");
    raw.negotiate(Features.RING_RESET);
    refused(0, 1, "queue-not-enabled");
    raw.start(Features.RING_RESET);
    refused(0, 0, "register-value");
    refused(0, 2, "register-value");
    refused(2, 1, "queue-unknown");
    refused(0xffff, 1, "queue-unknown");
    expect(read(core, 0)).toEqual([1, 0]);
    expect(kind.calls.filter((call) => call.startsWith("queueReset"))).toEqual([]);
  });

  it("V-V-04: on MMIO a queue is stopped by writing 0 to its ready register, and not accessed from then on", async () => {
    const { core, engine } = await echoDevice({ core: { transport: "mmio" } });
    const raw = new RawDriver(engine, core);
    raw.start();
    core.writeQueueEnable(0, 0);
    expect(read(core, 0)).toEqual([0, 0]);
    raw.addEcho(0, 2);
    const { ptr, bytes } = engine.region("queue 0 device area");
    const after = new Snapshot(engine);
    core.notify(0);
    expect(core.fault?.code).toBe("queue-not-enabled");
    expect(after.changed({ ptr, bytes })).toEqual([]);
    core.writeQueueEnable(0, 0);
    expect(raw.enable(0)).toBe(true);

    const pci = await echoDevice({ core: { transport: "pci" } });
    const driver = new RawDriver(pci.engine, pci.core);
    driver.start();
    pci.core.writeQueueEnable(0, 0);
    expect(pci.core.fault?.code).toBe("queue-disable");
    expect(pci.core.readQueueEnable(0)).toBe(1);
  });
});

describe("registers that can't be", () => {
  it("V-B-01: queues that don't exist read as 0 and are not written", async () => {
    const { core } = await echoDevice({ queues: 2 });
    for (const queue of [2, 0xffff, 0xffff_ffff, -1, 0.5, Number.NaN]) {
      const before = core.faults;
      core.writeQueueSize(queue, 4);
      core.writeQueueAddress(queue, QUEUE_DESC, 16);
      core.writeQueueEnable(queue, 1);
      core.writeQueueReset(queue, 1);
      expect(core.faults).toBe(before + 4);
      expect(core.fault?.code).toBe("queue-unknown");
      expect([core.readQueueSize(queue), core.readQueueNotifyData(queue), ...read(core, queue)]).toEqual([
        0, 0, 0, 0,
      ]);
      expect(addresses(core, queue)).toEqual([0, 0, 0, 0, 0, 0]);
    }
    for (const word of [6, -1, 0.5, 0xffff_ffff]) {
      core.writeQueueAddress(0, word, 1);
      expect(core.fault?.code).toBe("register-value");
      expect(core.readQueueAddress(0, word)).toBe(0);
    }
  });

  it("V-V-04: the size shown is 0 or a power of two without RING_PACKED", async () => {
    const { core, kind } = await echoDevice({ queues: 4 });
    kind.maxQueueSize = (queue) => [0, 3, 13, 500][queue];
    const shown = (): number[] => [0, 1, 2, 3].map((queue) => core.readQueueSize(queue));
    expect(shown()).toEqual([0, 2, 8, 16]);
    negotiate(core, Features.RING_PACKED);
    expect(shown()).toEqual([0, 3, 13, 16]);
  });

  it("G-D-01: no queue is enabled before FEATURES_OK", async () => {
    const { core, engine, kind } = await echoDevice();
    const raw = new RawDriver(engine, core);
    for (const status of [0, 1, 3]) {
      core.writeStatus(status);
      expect(raw.enable(0)).toBe(false);
      expect(core.fault?.code).toBe("queue-early");
    }
    core.writeDriverFeatures(1, 1);
    core.writeStatus(0x0b);
    expect(kind.calls).not.toContain("queueEnabled 0");
    core.writeQueueEnable(0, 1);
    expect(kind.calls).toContain("queueEnabled 0");
  });

  it("V-D-03: a queue that is enabled with a size or an address that can't be raises DEVICE_NEEDS_RESET", async () => {
    const { core, engine, told } = await echoDevice();
    const raw = new RawDriver(engine, core);
    const good = raw.places(0, 16);
    const bad = [
      { ...good, size: 3 },
      { ...good, size: 17 },
      { ...good, size: 32 },
      { ...good, size: 0x8000 },
      { ...good, size: 0xffff_ffff },
      { ...good, desc: good.desc + 8 },
      { ...good, avail: good.avail + 1 },
      { ...good, used: good.used + 2 },
      { ...good, used: good.desc },
      { ...good, desc: 0 },
      { ...good, desc: engine.base + 64 },
      { ...good, desc: engine.end },
      { ...good, used: 0xffff_fff0 },
    ];
    for (const places of bad) {
      raw.negotiate();
      const before = new Snapshot(engine);
      raw.writeRegisters(0, places);
      core.writeQueueEnable(0, 1);
      expect(read(core, 0)).toEqual([0, 0]);
      expect(core.fault?.code).toBe("queue-registers");
      expect(core.readStatus()).toBe(0x4b);
      expect(
        before.regions().filter((name) => !/^(device 0|queue 0 (registers|device))$/.test(name)),
      ).toEqual([]);
      // DRIVER_OK was not set: nobody is told, and it can't be set any more.
      core.writeStatus(0x4f);
      expect(core.readStatus()).toBe(0x4b);
    }
    expect(told).toEqual([]);
    raw.start();
    expect(core.readStatus()).toBe(0x0f);
    // A whole address of 64 bits.
    raw.negotiate();
    raw.writeRegisters(0, good);
    core.writeQueueAddress(0, QUEUE_DRIVER + 1, 1);
    core.writeQueueEnable(0, 1);
    expect(core.readStatus()).toBe(0x4b);
    // While it runs, the notification comes, too.
    raw.start(Features.RING_RESET);
    core.writeQueueReset(0, 1);
    raw.writeRegisters(0, { ...good, size: 5 });
    core.writeQueueEnable(0, 1);
    expect(core.readStatus()).toBe(0x4f);
    expect(told).toEqual(["config"]);
  });

  it("a register of an enabled queue is not written", async () => {
    const { core, engine } = await echoDevice();
    const raw = new RawDriver(engine, core);
    raw.start();
    const before = [...addresses(core, 0), core.readQueueSize(0)];
    core.writeQueueSize(0, 2);
    for (const word of [QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE + 1]) core.writeQueueAddress(0, word, 0x1000);
    core.writeQueueEnable(0, 1);
    core.writeQueueEnable(0, 7);
    expect([...addresses(core, 0), core.readQueueSize(0)]).toEqual(before);
    raw.addEcho(0, 1);
    core.notify(0);
    expect(raw.used(0)).toBe(1);
  });

  it("any order of any writes throws nothing, and a reset makes it good", async () => {
    const { core, engine, kind } = await echoDevice({ queues: 2, hold: true });
    const random = new Random(77);
    const raw = new RawDriver(engine, core);
    const wild = (): number =>
      random.pick([0, 1, 2, 16, 0xffff, 0x1_0000, 0xffff_fff0, 0xffff_ffff, random.int(0, 0x7fff_ffff)]);
    for (let life = 0; life < 200; life++) {
      if (random.chance(50)) raw.start(Features.RING_RESET | Features.SUSPEND);
      for (let write = 0; write < 60; write++) {
        const queue = random.pick([0, 1, 2, wild()]);
        switch (random.int(0, 9)) {
          case 0:
            core.writeStatus(random.int(1, 255));
            break;
          case 1:
            core.writeDriverFeatures(
              random.int(0, 5),
              random.chance(50) ? core.readDeviceFeatures(random.int(0, 3)) : wild(),
            );
            break;
          case 2:
            core.writeQueueSize(queue, wild());
            break;
          case 3:
            core.writeQueueAddress(queue, random.int(0, 6), wild());
            break;
          case 4:
            core.writeQueueEnable(queue, random.pick([0, 1, 2]));
            break;
          case 5:
            core.writeQueueReset(queue, random.pick([0, 1, 2]));
            break;
          case 6:
            core.writeConfig(wild(), random.pick([1, 2, 4, 8, wild()]), wild());
            break;
          case 7:
            core.notify(wild());
            break;
          case 8:
            core.notify(queue);
            break;
          default:
            core.readConfig(wild(), random.pick([0, 1, 2, 4, wild()]));
        }
      }
      core.writeStatus(0);
      expect(core.readStatus()).toBe(0);
    }
    kind.hold = false;
    raw.start();
    raw.addEcho(1, 3);
    core.notify(1);
    expect(raw.used(1)).toBe(3);
    expect(core.faults).toBe(0);
  });
});
