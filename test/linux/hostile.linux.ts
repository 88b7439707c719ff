// A guest that misbehaves breaks its own queue and nothing else; and nothing passes our device by.
import { afterEach, expect, test } from "vitest";
import { Machine } from "./machine.ts";

const STATUS = "cat /sys/bus/virtio/devices/virtio0/status";
const NEEDS_RESET = 0x40;
/** Entries of a queue, more than the device half takes at once. */
const RING = 256;

let machine: Machine | undefined;
afterEach(() => {
  machine?.end();
  machine = undefined;
});

test("buffers outside of RAM break the queue; the driver sees DEVICE_NEEDS_RESET, and a new bind mends it", async () => {
  machine = await Machine.boot();
  expect((await machine.ping(5, 64)).lost).toBe(0);
  expect(Number(await machine.run(STATUS)) & NEEDS_RESET).toBe(0);
  await machine.spoilReceiveQueue();
  // The buffers that the device half has taken already are good: up to a batch of them.
  let answered = 0;
  while (answered < RING && (await machine.ping(1, 64)).lost === 0) answered++;
  expect(answered).toBeLessThan(RING);
  expect(Number(await machine.run(STATUS)) & NEEDS_RESET).toBe(NEEDS_RESET);
  const driver = "/sys/bus/virtio/drivers/virtio_net";
  await machine.run(`echo virtio0 > ${driver}/unbind && echo virtio0 > ${driver}/bind`);
  await machine.up();
  expect((await machine.ping(5, 64)).lost).toBe(0);
});

test("the methods of v86's own queues throw while our device is there", async () => {
  machine = await Machine.create();
  const said = await machine.ownQueues();
  expect(said.length).toBeGreaterThan(0);
  for (const one of said)
    expect(one).toMatch(/^\w+ of v86's own queue was called while vring's device is attached$/);
});
