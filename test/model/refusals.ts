/** Calls that are refused because of how the queue is, or would be, set up. */
import * as abi from "../../assembly/abi.ts";
import { VringError } from "../../src/errors.ts";
import { same } from "./common.ts";
import type { Pair } from "./pair.ts";

/** Calls on a stopped queue, each of which breaks one rule. */
export function refusedCalls(pair: Pair, kind: number): void {
  const { engine } = pair;
  const { queueSize } = engine.limits;
  const [virtio] = engine.devices;
  const at = (ptr: number): bigint => virtio.busAddress(ptr);
  const [desc, driverArea, deviceArea] = pair.areas.map(({ ptr }) => ptr);
  const places = { size: 1, desc: at(desc), driverArea: at(driverArea), deviceArea: at(deviceArea) };
  const device = (change: object) => () => engine.deviceQueue(0, { ...places, ...change });
  const outside = virtio.window.base + virtio.window.length;
  const calls: [string, () => unknown][] = [
    ["queue-size", device({ size: queueSize + 1 })],
    ["queue-size", device({ size: 3 })],
    ["queue-size", device({ size: 0, format: "packed" })],
    ["ring-alignment", device({ desc: places.desc + 8n })],
    ["ring-alignment", device({ deviceArea: places.deviceArea + 2n })],
    ["ring-alignment", device({ driverArea: places.driverArea + 2n, format: "packed" })],
    ["ring-address", device({ deviceArea: outside & ~15n })],
    ["ring-overlap", device({ driverArea: places.desc + 8n })],
    ["ring-overlap", device({ deviceArea: places.driverArea, format: "packed" })],
    ["space-overlap", () => virtio.setWindow({ base: 0n, length: 128n, offset: engine.sharedBase - 64 })],
  ];
  if (pair.enginesDriver) {
    calls.push(
      ["queue-size", () => engine.driverQueue(0, { size: 3 })],
      ["queue-size", () => engine.driverQueue(0, { size: queueSize * 2 })],
      ["table-source", () => engine.driverQueue(0, { threshold: abi.MAX_THRESHOLD + 1 })],
    );
  }
  const queue = pair.deviceEngine;
  // A queue that was broken says so, even when it is stopped.
  if (queue !== null && queue.violation === null) calls.push(["queue-not-live", () => queue.markUsed(0, 0)]);
  if (kind >= calls.length) return;
  refused(pair, ...calls[kind]);
}

/** The call is refused with this code. */
export function refused(pair: Pair, code: string, call: () => unknown): void {
  let thrown: unknown = null;
  try {
    call();
  } catch (error) {
    if (!(error instanceof VringError)) throw error;
    thrown = error.code;
  }
  same("refusal", thrown, code);
  pair.cover.hit(`refused ${code}`);
}
