/** What the engine and the model must have in common after each step. */
import { Buffer as NodeBuffer } from "node:buffer";
import type { DeviceQueue } from "../../src/device-queue.ts";
import type { DriverQueue } from "../../src/driver-queue.ts";
import { Mismatch, same } from "./common.ts";
import type { DeviceCounts, DeviceModel } from "./device.ts";
import type { Buffer, DriverCounts, DriverModel } from "./driver.ts";
import type { Area, Pair } from "./pair.ts";
import { SplitDriverModel } from "./split-driver.ts";

/** Everything that can be seen of the engine is as it is in the model. */
export function compare(pair: Pair): void {
  const { engine, driver, device, world } = pair;
  const [virtio] = engine.devices;
  pair.steps++;
  for (const area of pair.areas) compareArea(pair, area);
  if (driver.owned.size <= 64) {
    for (const buffer of driver.visible.values()) compareTable(pair, buffer);
  }
  same("DEVICE_NEEDS_RESET", virtio.needsReset, world.needsReset);
  same("configuration notifications", virtio.configNotifications, world.configNotifications);
  const queue = pair.driverEngine;
  if (queue !== null) {
    compareHalf(pair, "driver", queue, driver);
    same("free descriptors", queue.numFree, driver.numFree);
    same("outstanding", queue.outstanding, driver.outstanding.size);
    const position = pair.choice.notificationData ? driver.notificationData << 16 : 0;
    same("value of a kick", queue.notificationData(), position >>> 0);
    const counters = queue.counters();
    for (const [name, value] of Object.entries(pair.driverCounts)) {
      same(`driver counter ${name}`, counters[name as keyof DriverCounts], value);
    }
    // Walks are long in a long ring.
    if (driver.ring.size <= 256 || pair.steps % 16 === 0) {
      same("heap blocks", engine.heapLiveBlocks(), pair.tables.heapBlocks);
      same("listed tables", queue.tablesListed(), pair.tables.listed);
    }
    if (pair.steps % 16 === 0) same("the heap is sound", engine.heapIsSound(), true);
  }
  if (pair.deviceEngine !== null) {
    compareHalf(pair, "device", pair.deviceEngine, device);
    const counters = pair.deviceEngine.counters();
    for (const [name, value] of Object.entries(pair.deviceCounts)) {
      same(`device counter ${name}`, counters[name as keyof DeviceCounts], value);
    }
  }
}

function compareHalf(
  pair: Pair,
  name: string,
  queue: DriverQueue | DeviceQueue,
  model: DriverModel | DeviceModel,
): void {
  const { wasm, u32 } = pair.engine;
  const word = (offset: { value: number }): number => u32[(queue.ptr + offset.value) >>> 2];
  same(`${name} state`, queue.state, model.state);
  same(`${name} violation`, word(wasm.QUEUE_ERROR), model.violation?.code ?? 0);
  same(`${name} violation's place`, word(wasm.QUEUE_ERROR_INDEX), model.violation?.index ?? 0);
  same(`${name} refusal`, word(wasm.QUEUE_REFUSAL), model.refusal?.code ?? 0);
  if (model.refusal) same(`${name} refusal's place`, word(wasm.QUEUE_REFUSAL_INDEX), model.refusal.index);
}

export function compareTable(pair: Pair, { table: ptr, inTable: entries }: Buffer): void {
  if (entries === 0) return;
  const bytes = 16 * entries;
  if (NodeBuffer.compare(pair.real.bytes(ptr, bytes), pair.image.bytes(ptr, bytes)) === 0) return;
  throw new Mismatch(
    `the table at ${ptr} is\n${pair.real.dump(ptr, bytes)}\nbut must be\n${pair.image.dump(ptr, bytes)}`,
  );
}

function compareArea(pair: Pair, { name, ptr, real, image }: Area): void {
  if (NodeBuffer.compare(real, image) === 0) return;
  const hidden = unseen(pair);
  for (let from = 0; from < real.length; from += 256) {
    const to = Math.min(from + 256, real.length);
    if (NodeBuffer.compare(real.subarray(from, to), image.subarray(from, to)) === 0) continue;
    for (let at = from; at < to; at++) {
      if (real[at] === image[at] || hidden.has(ptr + at)) continue;
      const what = `byte ${at} of the ${name} area`;
      if (!isFree(pair, ptr + at)) same(what, real[at], image[at]);
      // What lies in a free entry says nothing to anybody.
      image[at] = real[at];
    }
  }
}

/** Whether a byte is in a ring entry that nobody looks at, and that the engine's driver may write. */
function isFree(pair: Pair, place: number): boolean {
  const { ring, owned, unpublished } = pair.driver;
  if (!pair.enginesDriver) return false;
  if (place < ring.desc + 16 * ring.size) return !owned.has((place - ring.desc) >> 4);
  if (!(pair.driver instanceof SplitDriverModel)) return false;
  const entry = (place - ring.driverArea - 4) >> 1;
  const ahead = (entry - (pair.driver.published % ring.size) + ring.size) % ring.size;
  return entry >= 0 && entry < ring.size && ahead < unpublished.length;
}

/** Used elements that the engine's device may have written, before it publishes them. */
export function unseen(pair: Pair): Set<number> {
  const places = new Set<number>();
  if (!pair.enginesDevice) return places;
  for (const { ptr, bytes } of pair.device.unseenUsed()) {
    for (let at = ptr; at < ptr + bytes; at++) places.add(at);
  }
  return places;
}
