/** What must hold after a peer broke a rule, whatever the rule (H rows). */
import { expect } from "vitest";
import type { DeviceQueue } from "../../src/device-queue.ts";
import type { DriverQueue } from "../../src/driver-queue.ts";
import type { Engine } from "../../src/engine.ts";
import { Snapshot } from "./snapshot.ts";

/** Private regions that a device half may write while it pops. */
const DEVICE_OWN = ["queue 0 device", "queue 0 device records", "queue 0 staging popped", "device 0"];
const DRIVER_OWN = [
  "queue 0 driver",
  "queue 0 driver records",
  "queue 0 staging reclaimed",
  "queue 0 free tables, node 0",
];

/**
 * Pops until the fault shows: `honest` buffers come first, then the queue is broken with `code`,
 * its device needs a reset and says so once, no shared byte was written, and nothing moves any more.
 */
export function expectDeviceBroken(
  engine: Engine,
  device: DeviceQueue,
  code: string,
  options: { honest?: number; index?: number } = {},
): void {
  const [virtio] = engine.devices;
  const before = new Snapshot(engine);
  expect(device.popBurst(engine.limits.batch)).toBe(options.honest ?? 0);
  expect(device.violation).toMatchObject({ code, queue: 0 });
  if (options.index !== undefined) expect(device.violation?.index).toBe(options.index);
  expect(device.state).toBe("broken");
  expect(virtio.needsReset).toBe(true);
  expect(virtio.configNotifications).toBe(1);
  expect(DEVICE_OWN).toEqual(expect.arrayContaining(before.regions()));

  const broken = new Snapshot(engine);
  expect(device.popBurst(8)).toBe(0);
  expect(device.markPoppedUsed(options.honest ?? 0)).toBe(0);
  expect(device.publishUsed()).toBe(false);
  expect(device.arm()).toBe(false);
  device.suppress();
  expect(broken.regions()).toEqual([]);
  expect(virtio.configNotifications).toBe(1);
  expect(() => device.pop()).toThrow(expect.objectContaining({ code }));
}

/**
 * Reclaims until the fault shows: `honest` buffers come first, then the queue is broken with
 * `code`; its device is not, no shared byte was written, and `tokens` come back through a reset.
 */
export function expectDriverBroken(
  engine: Engine,
  driver: DriverQueue,
  code: string,
  tokens: readonly number[],
  options: { honest?: number; index?: number } = {},
): void {
  const [virtio] = engine.devices;
  const before = new Snapshot(engine);
  expect(driver.reclaimBurst(engine.limits.batch)).toBe(options.honest ?? 0);
  expect(driver.violation).toMatchObject({ code, queue: 0 });
  if (options.index !== undefined) expect(driver.violation?.index).toBe(options.index);
  expect(driver.state).toBe("broken");
  expect(virtio.needsReset).toBe(false);
  expect(virtio.configNotifications).toBe(0);
  // The tables of buffers that came back before the fault go back to the heap.
  const given = options.honest ? ["heap control", "heap"] : [];
  expect([...DRIVER_OWN, ...given]).toEqual(expect.arrayContaining(before.regions()));

  const broken = new Snapshot(engine);
  expect(driver.reclaimBurst(8)).toBe(0);
  expect(driver.addBurst(1)).toBe(0);
  expect(driver.publish()).toBe(false);
  expect(driver.arm()).toBe(false);
  driver.suppress();
  expect(broken.regions()).toEqual([]);
  expect(() => driver.reclaim()).toThrow(expect.objectContaining({ code }));
  expect(() => driver.add({ readable: [{ ptr: 0, bytes: 1 }], token: 0 })).toThrow(
    expect.objectContaining({ code }),
  );

  expect(() => driver.detach()).toThrow(expect.objectContaining({ code: "queue-live" }));
  driver.stop();
  expect(driver.detach().sort((a, b) => a - b)).toEqual([...tokens].sort((a, b) => a - b));
  expect(driver.outstanding).toBe(0);
  expect(driver.counters().liveTables).toBe(0);
  expect(engine.heapLiveBlocks()).toBe(0);
  expect(engine.heapIsSound()).toBe(true);
}
