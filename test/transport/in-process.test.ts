/** Both halves through the in-process transport: whole lives, with everything that can happen in them. */
import { describe, expect, it } from "vitest";
import { Features } from "../../src/features.ts";
import { ALL_FEATURES, echoRig } from "../support/echo.ts";
import { Random } from "../support/random.ts";

describe("a pair in one engine", () => {
  it("comes up with everything that both halves implement, and moves buffers", async () => {
    const { device, driver, driverKind } = await echoRig();
    driver.start();
    expect(device.faults).toBe(0);
    expect(driver.status).toBe(0x0f);
    expect(device.readStatus()).toBe(0x0f);
    expect(driver.features).toBe(ALL_FEATURES);
    expect(device.features).toBe(driver.features);
    for (let token = 0; token < 100; token++) {
      expect(driverKind.send(0, token)).toBe(true);
      driverKind.flush(0);
    }
    expect(driverKind.done).toEqual(Array.from({ length: 100 }, (_, token) => token));
  });
});

const formats = { split: Features.RING_PACKED, packed: 0n };

describe.each(Object.entries(formats))("%s", (_, decline) => {
  it("a life with resets, queue resets and suspensions: every buffer comes back once, as used or as detached", async () => {
    const random = new Random(5);
    const { device, deviceKind, driver, driverKind } = await echoRig({
      queues: 3,
      hold: true,
      driverOptions: { decline: decline | Features.IN_ORDER },
    });
    driver.start();
    let sent = 0;
    for (let step = 0; step < 4000; step++) {
      const queue = random.int(0, 2);
      const what = random.int(0, 99);
      if (what < 60) {
        if (driverKind.send(queue, sent)) sent++;
        if (random.chance(50)) driverKind.flush(queue);
      } else if (what < 92) {
        deviceKind.finish(random.int(1, 6), (held) => random.int(0, held - 1));
      } else if (what < 95) {
        driver.suspend();
        expect(device.readStatus()).toBe(0x1b);
        deviceKind.finish(5);
        expect(driverKind.send(queue, sent)).toBe(false);
        driver.resume();
        expect(device.readStatus()).toBe(0x0f);
      } else if (what < 98) {
        driver.resetQueue(queue);
        driver.enableQueue({ index: queue, size: random.pick([4, 8, 16]) });
      } else {
        driver.start();
      }
    }
    driver.reset();
    const back = [...driverKind.done, ...driverKind.detached].sort((a, b) => a - b);
    expect(back).toEqual(Array.from({ length: sent }, (_, token) => token));
    expect(driverKind.done.length).toBeGreaterThan(1000);
    expect(driverKind.detached.length).toBeGreaterThan(100);
    expect(device.fault).toBeNull();
  });
});
