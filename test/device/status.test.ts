/** The status register (2.1, 3.1.1) and device reset (2.4), with a driver that does as it likes. */
import { describe, expect, it } from "vitest";
import * as spec from "../../assembly/spec.ts";
import { echoDevice } from "../support/echo.ts";
import { Random } from "../support/random.ts";
import { bringUp, RawDriver } from "../support/raw-registers.ts";
import { Snapshot } from "../support/snapshot.ts";

describe("the status register", () => {
  it("G-D-01: a bit holds only after those before it, whatever is written", async () => {
    const { core } = await echoDevice();
    const random = new Random(11);
    for (let life = 0; life < 300; life++) {
      core.writeStatus(0);
      core.writeDriverFeatures(1, 1);
      for (let write = 0; write < 8; write++) {
        const before = core.readStatus();
        core.writeStatus(random.int(1, 255));
        const now = core.readStatus();
        // Nothing that was set is lost but by suspension, which is not negotiated here.
        expect(now & before).toBe(before);
        if (now & spec.STATUS_DRIVER) expect(now & spec.STATUS_ACKNOWLEDGE).not.toBe(0);
        if (now & spec.STATUS_FEATURES_OK) expect(now & spec.STATUS_DRIVER).not.toBe(0);
        if (now & spec.STATUS_DRIVER_OK) expect(now & spec.STATUS_FEATURES_OK).not.toBe(0);
        expect(now & (spec.STATUS_SUSPEND | spec.STATUS_DEVICE_NEEDS_RESET | 32)).toBe(0);
      }
    }
  });

  it("G-D-02: a write that leaves out bits takes none away, and is remembered as a mistake", async () => {
    const { core } = await echoDevice();
    bringUp(core);
    expect(core.faults).toBe(0);
    for (const value of [1, 2, 4, 8, 3, 0x0b]) {
      core.writeStatus(value);
      expect(core.readStatus()).toBe(0x0f);
      expect(core.fault?.code).toBe("status-bits-dropped");
    }
    expect(core.faults).toBe(6);
    core.writeStatus(0);
    expect([core.readStatus(), core.faults, core.fault]).toEqual([0, 0, null]);
  });

  it("a driver can't raise DEVICE_NEEDS_RESET, nor bits that mean nothing", async () => {
    const { core, told } = await echoDevice();
    bringUp(core);
    for (const bit of [0x40, 0x20, 0x100, 0x8000_0000]) {
      core.writeStatus(0x0f | bit);
      expect(core.readStatus()).toBe(0x0f);
      expect(core.fault?.code).toBe("status-unknown-bits");
    }
    expect(told).toEqual([]);
  });

  it("all bits in one write are taken in their order", async () => {
    const { core, kind } = await echoDevice();
    core.writeDriverFeatures(1, 1);
    core.writeStatus(0x0f);
    expect(core.readStatus()).toBe(0x0f);
    expect(kind.calls).toEqual(["reset", "driverOk"]);
  });

  it("FAILED can always be set, and ends with a reset", async () => {
    const { core } = await echoDevice();
    core.writeStatus(0x83);
    expect(core.readStatus()).toBe(0x83);
    core.writeStatus(0);
    expect(core.readStatus()).toBe(0);
  });
});

describe("before DRIVER_OK and after an error", () => {
  it("G-V-01: buffers wait: at 0B nothing is consumed and nobody is notified, at 0F all are", async () => {
    const { core, engine, told } = await echoDevice({ queues: 2 });
    const raw = new RawDriver(engine, core);
    raw.negotiate();
    raw.enable(0);
    raw.addEcho(0, 3);
    const before = new Snapshot(engine);
    core.notify(0);
    expect(before.regions()).toEqual(["device 0"]);
    expect(core.fault?.code).toBe("kick-early");
    expect(told).toEqual([]);
    core.writeStatus(0x0f);
    expect(raw.used(0)).toBe(3);
    expect(told).toEqual(["used 0"]);
  });

  it("G-V-02: a driver that breaks a rule finds DEVICE_NEEDS_RESET and one configuration change notification", async () => {
    const { core, engine, told } = await echoDevice({ queues: 2 });
    const raw = new RawDriver(engine, core);
    raw.start();
    raw.breakRing(0);
    core.notify(0);
    expect(core.readStatus()).toBe(0x4f);
    expect(told).toEqual(["config"]);
    // The other queue stands still, too.
    raw.addEcho(1, 1);
    const broken = new Snapshot(engine);
    for (let k = 0; k < 3; k++) core.notify(k);
    core.settle();
    expect(broken.regions()).toEqual([]);
    expect(raw.used(1)).toBe(0);
    expect(told).toEqual(["config"]);
    // Only a reset helps; then everything works.
    core.writeStatus(0x4f);
    core.writeStatus(0);
    expect(core.readStatus()).toBe(0);
    raw.start();
    raw.addEcho(1, 1);
    core.notify(1);
    expect(raw.used(1)).toBe(1);
  });

  it("G-V-06: after a reset nothing is accessed or notified until the next bring-up, stale rings and late completions or not", async () => {
    const { core, engine, kind, told } = await echoDevice({ queues: 2, hold: true });
    const raw = new RawDriver(engine, core);
    raw.start();
    raw.addEcho(0, 4);
    core.notify(0);
    expect(kind.held).toBe(4);
    const half = core.queue(0);
    const handle = half?.popped[0] ?? 0;
    raw.addEcho(1, 2);
    told.length = 0;
    core.writeStatus(0);
    expect(core.readStatus()).toBe(0);
    const after = new Snapshot(engine);
    kind.finish(4);
    if (half !== null) {
      half.completions[0] = handle;
      half.completions[1] = 0;
      expect(half.markUsedBurst(1)).toBe(0);
      expect(half.publishUsed()).toBe(false);
    }
    for (let queue = 0; queue < 2; queue++) {
      core.notify(queue);
      core.notifyUsed(queue);
      expect(core.publishUsed(queue)).toBe(false);
      expect(core.queue(queue)).toBeNull();
    }
    expect(
      after.regions().filter((name) => !/^(device 0$|queue 0 staging used|queue 0 device$)/.test(name)),
    ).toEqual([]);
    expect(told).toEqual([]);
    raw.start();
    raw.addEcho(0, 1);
    core.notify(0);
    kind.finish(1);
    expect(raw.used(0)).toBe(1);
  });
});

describe("a kick", () => {
  it("V-B-01, V-D-04: names a queue by 16 bits; others are dropped and remembered", async () => {
    const { core, kind } = await echoDevice({ queues: 2 });
    bringUp(core, { queues: 0 });
    for (const value of [2, 77, 0xffff, 0x1_0000, 0xffff_ffff]) {
      core.notify(value);
      expect(core.fault?.code).toBe("kick-unknown");
    }
    core.notify(1);
    expect(core.fault?.code).toBe("queue-not-enabled");
    expect(kind.calls).toEqual(["reset", "reset", "driverOk"]);
  });
});
