/** Suspension (3.4): asked for at every moment, by drivers of every kind. */
import { describe, expect, it } from "vitest";
import { Features } from "../../src/features.ts";
import { echoDevice } from "../support/echo.ts";
import { negotiate, RawDriver } from "../support/raw-registers.ts";
import { Snapshot } from "../support/snapshot.ts";

async function running(features = Features.SUSPEND | Features.RING_RESET) {
  const rig = await echoDevice({ queues: 2, hold: true });
  const raw = new RawDriver(rig.engine, rig.core);
  raw.start(features);
  return { ...rig, raw };
}

describe("asking for it", () => {
  it("G-V-08: has no effect before the device is initialised, nor without the feature", async () => {
    const { core, kind } = await echoDevice();
    const ask = (code: string): void => {
      const before = core.readStatus();
      core.writeStatus(before | 0x10);
      expect(core.readStatus()).toBe(before);
      expect(core.fault?.code).toBe(code);
    };
    ask("suspend-feature");
    for (const status of [1, 3]) {
      core.writeStatus(status);
      ask("suspend-feature");
    }
    negotiate(core, Features.SUSPEND);
    ask("suspend-early");
    negotiate(core);
    core.writeStatus(0x0f);
    ask("suspend-feature");
    expect(kind.calls).not.toContain("suspend");
  });

  it("G-V-08: succeeds, or raises DEVICE_NEEDS_RESET; and so does resuming", async () => {
    const { core, kind, raw, told } = await running();
    kind.answers.suspend = "failed";
    core.writeStatus(0x1f);
    expect(core.readStatus()).toBe(0x4f);
    expect(told).toEqual(["config"]);
    raw.start(Features.SUSPEND);
    kind.answers.suspend = "done";
    core.writeStatus(0x1f);
    expect(core.readStatus()).toBe(0x1b);
    kind.answers.resume = "failed";
    core.writeStatus(0x1f);
    expect(core.readStatus()).toBe(0x5b);
    core.writeStatus(0x5f);
    expect(core.readStatus()).toBe(0x5b);
    expect(told).toEqual(["config"]);
  });

  it("G-V-08: what takes longer shows nothing before it is over, whatever is written meanwhile", async () => {
    const { core, kind, raw } = await running();
    kind.answers = { suspend: "busy", resume: "busy" };
    core.writeStatus(0x1f);
    core.writeStatus(0x1f);
    expect(core.readStatus()).toBe(0x0f);
    expect(core.running).toBe(false);
    core.notify(0);
    expect(core.fault?.code).toBe("kick-early");
    core.suspendDone(true);
    core.suspendDone(true);
    expect(core.readStatus()).toBe(0x1b);
    core.resumeDone(true);
    expect(core.readStatus()).toBe(0x1b);
    core.writeStatus(0x1f);
    core.writeStatus(0x1f);
    expect(core.readStatus()).toBe(0x1b);
    core.resumeDone(true);
    expect(core.readStatus()).toBe(0x0f);
    expect(kind.calls.filter((call) => call === "suspend" || call === "resume")).toEqual([
      "suspend",
      "resume",
    ]);
    // A reset in the middle: what ends later is of no device that is there now.
    core.writeStatus(0x1f);
    raw.start(Features.SUSPEND);
    core.suspendDone(true);
    core.suspendDone(false);
    expect(core.readStatus()).toBe(0x0f);
  });
});

describe("a suspended device", () => {
  it("G-V-09: has finished and told of everything that it had started; then it touches and tells nothing", async () => {
    const { core, engine, kind, raw, told } = await running();
    raw.addEcho(0, 4);
    core.notify(0);
    expect(kind.held).toBe(4);
    core.writeStatus(0x1f);
    expect(core.readStatus()).toBe(0x1b);
    expect(raw.used(0)).toBe(4);
    expect(told).toEqual(["used 0"]);

    // A driver that goes on regardless.
    raw.addEcho(1, 3);
    const after = new Snapshot(engine);
    const half = core.queue(1);
    for (const queue of [0, 1]) {
      core.notify(queue);
      core.notifyUsed(queue);
      expect(core.publishUsed(queue)).toBe(false);
    }
    expect(half?.state).toBe("suspended");
    expect([half?.popBurst(4), half?.arm(), half?.publishUsed(), half?.markUsedBurst(1)]).toEqual([
      0,
      false,
      false,
      0,
    ]);
    half?.suppress();
    core.writeQueueReset(1, 1);
    core.writeQueueEnable(1, 1);
    core.changeConfig(0, Uint8Array.of(0xcc));
    core.changeConfig(0, Uint8Array.of(0xcd));
    expect(
      after.regions().filter((name) => !/^(device 0( config)?|queue 1 (device|staging used))$/.test(name)),
    ).toEqual([]);
    expect(core.readConfig(0, 1)).toBe(1);
    expect(told).toEqual(["used 0"]);

    core.writeStatus(0x1f);
    expect(core.readStatus()).toBe(0x0f);
    expect(told).toEqual(["used 0", "config"]);
    // What was made available meanwhile is looked at without a kick.
    expect(kind.held).toBe(3);
    kind.finish(3);
    expect(raw.used(1)).toBe(3);
  });

  it("G-V-09: publishes what its kind has marked used and forgot to publish", async () => {
    const { core, kind, raw, told } = await running();
    raw.addEcho(0, 1);
    core.notify(0);
    const half = core.queue(0);
    kind.answers.suspend = "done";
    if (half !== null) {
      half.completions.set([half.popped[0], 64]);
      expect(half.markUsedBurst(1)).toBe(1);
    }
    core.writeStatus(0x1f);
    expect(raw.used(0)).toBe(1);
    expect(told).toEqual(["used 0"]);
  });

  it("is reset as any other", async () => {
    const { core, kind, raw } = await running();
    core.writeStatus(0x1f);
    core.writeStatus(0);
    expect(core.readStatus()).toBe(0);
    raw.start();
    raw.addEcho(0, 2);
    core.notify(0);
    kind.finish(2);
    expect(raw.used(0)).toBe(2);
  });

  it("a driver that resets it from within its last notification gets a reset device", async () => {
    const { core, raw } = await running();
    raw.addEcho(0, 1);
    core.notify(0);
    core.connect({ usedBuffers: () => core.writeStatus(0), configChange: () => {} });
    core.writeStatus(0x1f);
    expect(core.readStatus()).toBe(0);
    expect(raw.used(0)).toBe(1);
  });
});
