/** A peer that breaks one rule: the model's half writes it, and the engine's half has to notice what the model does. */
import { VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE } from "../../assembly/spec.ts";
import type { Random } from "../support/random.ts";
import { availBits, usedBits } from "../support/raw-packed.ts";
import { compare } from "./compare.ts";
import type { Lockstep } from "./lockstep.ts";
import { MEMORIES } from "./operations.ts";
import { PackedDeviceModel } from "./packed-device.ts";
import { PackedDriverModel } from "./packed-driver.ts";
import { SplitDeviceModel } from "./split-device.ts";
import { SplitDriverModel } from "./split-driver.ts";

const NEXT = VIRTQ_DESC_F_NEXT;
const WRITE = VIRTQ_DESC_F_WRITE;
const INDIRECT = VIRTQ_DESC_F_INDIRECT;

/** A descriptor to be written: `next` is the number of another in the same list, or any index beyond. */
interface Bad {
  addr: bigint;
  len: number;
  flags: number;
  next?: number;
}

/** Direct descriptors that break a rule, with a table that they may refer to. */
interface BadList {
  direct: Bad[];
  table?: Bad[];
}

function badList(run: Lockstep, kind: number, random: Random): BadList {
  const { ring, world } = run.driver;
  const { ptr } = run.engine.buffers;
  const good = run.image.bus(ptr);
  const end = world.base + world.length;
  const table = run.image.bus(ptr + 4096);
  const entry = { addr: good, len: 1, flags: 0 };
  const refer = { addr: table, len: 16, flags: INDIRECT };
  const outside = random.pick([end - 7n, end, world.base - 1n, (1n << 64n) - 4n]) & 0xffff_ffff_ffff_ffffn;
  switch (kind) {
    case 0:
      return { direct: [{ ...entry, flags: NEXT, next: random.pick([ring.size, 0xffff]) }] };
    case 1:
      // A loop of one, and of two steps.
      return { direct: [{ ...entry, flags: NEXT, next: 0 }] };
    case 2:
      return {
        direct: [
          { ...entry, flags: NEXT, next: 1 },
          { ...entry, flags: NEXT, next: 0 },
        ],
      };
    case 3:
      return {
        direct: [{ ...refer, len: random.pick([0, 8, 24, 16 * (ring.size + 1), 0xffff_fff0]) }],
        table: [entry],
      };
    case 4:
      return { direct: [{ ...refer, addr: outside }] };
    case 5:
      return { direct: [{ ...entry, addr: outside, len: 8 }] };
    case 6:
      return { direct: [{ ...entry, flags: NEXT | WRITE, next: 1 }, entry] };
    case 7:
      return { direct: [{ ...refer, len: 32 }], table: [{ ...entry, flags: NEXT | WRITE, next: 1 }, entry] };
    case 8:
      return { direct: [{ ...refer, flags: INDIRECT | NEXT, next: 0 }], table: [entry] };
    case 9:
      return { direct: [refer], table: [{ ...refer, addr: table }] };
    case 10:
      return {
        direct: [{ ...entry, flags: NEXT, next: 1 }, refer],
        table: [{ ...entry, flags: NEXT, next: 0 }],
      };
    default:
      return { direct: [refer], table: [entry] };
  }
}

/** Faults of a list, and four others: the last is one of bytes, for which only a large memory is enough. */
const LISTS = 12;

/** A jump of an index: more than `most`, by one or by any number. */
function farFrom(most: number, random: Random): number {
  return random.pick([most + 1, random.int(most + 1, 0xffff)]);
}

function whichFault(run: Lockstep, kind: number): number {
  return run.setup.memory === "large" && kind >= LISTS + 4 ? LISTS + 3 : kind % (LISTS + 4);
}

/** The model's driver offers something that the engine's device should refuse; false where it can't. */
export function breakDevice(run: Lockstep, kind: number, random: Random): boolean {
  const { driver, device } = run;
  run.publish();
  // A list that is too long runs into used descriptors, which must not be held back then.
  run.publishUsed();
  const done =
    driver instanceof SplitDriverModel && device instanceof SplitDeviceModel
      ? breakSplitDevice(run, driver, device, kind, random)
      : driver instanceof PackedDriverModel && breakPackedDevice(run, driver, kind, random);
  run.send();
  if (!done) return false;
  for (let calls = 0; device.state === "live" && calls <= driver.ring.size; calls++) {
    const { popped } = device.counts;
    run.pop(64, 0);
    compare(run);
    // Some lists break a rule under some features only.
    if (device.counts.popped === popped) break;
  }
  return true;
}

function breakSplitDevice(
  run: Lockstep,
  driver: SplitDriverModel,
  device: SplitDeviceModel,
  kind: number,
  random: Random,
): boolean {
  const { image } = run;
  const { ring } = driver;
  const offer = (head: number): boolean => {
    image.setU16(ring.driverArea + 4 + 2 * (driver.published % ring.size), head);
    image.setU16(ring.driverArea + 2, driver.published + 1);
    return true;
  };
  const which = whichFault(run, kind);
  if (which === LISTS) {
    image.setU16(ring.driverArea + 2, device.lastAvail + farFrom(ring.size, random));
    return true;
  }
  // One more must not look like a jump.
  if ((driver.published - device.lastAvail + 65536) % 65536 >= ring.size) return false;
  if (which === LISTS + 1) return offer(random.pick([ring.size, 0xffff]));
  if (which === LISTS + 2) {
    const [head] = [...device.inFlight.values()];
    return head !== undefined && offer(head.id);
  }
  const free: number[] = [];
  for (let entry = 0; entry < ring.size && free.length < 300; entry++) {
    if (!driver.owned.has(entry)) free.push(entry);
  }
  const list = which === LISTS + 3 ? tooManyBytes(run) : badList(run, which, random);
  if (list === null || free.length < list.direct.length) return false;
  const write = (
    ptr: number,
    { addr, len, flags, next = 0 }: Bad,
    number: (next: number) => number,
  ): void => {
    image.setU64(ptr, addr);
    image.setU32(ptr + 8, len);
    image.setU16(ptr + 12, flags);
    image.setU16(ptr + 14, flags & NEXT ? number(next) : random.int(0, 0xffff));
  };
  list.direct.forEach((bad, k) => {
    write(ring.desc + 16 * free[k], bad, (next) => free[next] ?? next);
  });
  list.table?.forEach((bad, k) => {
    write(run.engine.buffers.ptr + 4096 + 16 * k, bad, (next) => next);
  });
  return offer(free[0]);
}

/** One byte more than 2^32, where the memory is large enough. */
function tooManyBytes(run: Lockstep): BadList | null {
  const { bufferBytes } = MEMORIES.large;
  if (run.setup.memory !== "large") return null;
  const addr = run.image.bus(run.engine.buffers.ptr);
  const direct = Array.from({ length: 257 }, (_, k) => ({
    addr,
    len: k < 256 ? bufferBytes : 1,
    flags: k < 256 ? NEXT : 0,
    next: k + 1,
  }));
  return { direct };
}

function breakPackedDevice(run: Lockstep, driver: PackedDriverModel, kind: number, random: Random): boolean {
  const { image, device } = run;
  const { ring } = driver;
  const which = whichFault(run, kind);
  const write = (bad: readonly Bad[]): boolean => {
    const at = driver.published.copy();
    for (const { addr, len, flags } of bad) {
      const ptr = ring.desc + 16 * at.slot;
      image.setU64(ptr, addr);
      image.setU32(ptr + 8, len);
      image.setU16(ptr + 12, random.int(0, 0xffff));
      image.setU16(ptr + 14, flags | availBits(at.wrap));
      at.advance(1);
    }
    return true;
  };
  const one = { addr: image.bus(run.engine.buffers.ptr), len: 1, flags: 0 };
  if (which === LISTS || which === LISTS + 1) {
    // A list that never ends: too long, or longer than the ring has room.
    const slots = driver.numFree;
    return slots > 0 && slots <= 300 && write(Array.from({ length: slots }, () => ({ ...one, flags: NEXT })));
  }
  if (which === LISTS + 2) {
    // The next slot, while all are in flight.
    for (let calls = 0; device.state === "live" && calls < 8; calls++) run.pop(64, 0);
    let inFlight = 0;
    for (const { slots } of device.inFlight.values()) inFlight += slots;
    return inFlight === ring.size && write([one]);
  }
  const list = which === LISTS + 3 ? tooManyBytes(run) : badList(run, which, random);
  if (list === null || driver.numFree < list.direct.length) return false;
  list.table?.forEach(({ addr, len, flags }, k) => {
    const ptr = run.engine.buffers.ptr + 4096 + 16 * k;
    image.setU64(ptr, addr);
    image.setU32(ptr + 8, len);
    image.setU16(ptr + 12, random.int(0, 0xffff));
    image.setU16(ptr + 14, flags);
  });
  return write(list.direct);
}

/** The model's device returns what the engine's driver should refuse; false where it can't. */
export function breakDriver(run: Lockstep, kind: number, random: Random): boolean {
  const { driver, device, image } = run;
  const { ring } = driver;
  const which = kind % 4;
  // A device may also name a buffer that it has not seen.
  const unseen = which === 3;
  if (!unseen) run.publish();
  run.publishUsed();
  // Something has to be outstanding that is not used yet.
  const used = [...driver.visible.values()].filter(({ written }) => written !== null).length;
  if (driver.outstanding.size - used < 1 || (unseen && driver.unpublished.length === 0)) return false;
  const high = ring.format === "split" ? [ring.size, 0x10000, 0xffff_ffff] : [ring.size, 0xffff];
  let id = which === 1 ? random.pick(high) : random.int(0, ring.size - 1);
  if (which === 2 && driver.visible.has(id)) {
    if (!ring.inOrder) return false;
    // In order the newest buffer ends a batch, of which used.idx covers the oldest only.
    id = [...driver.visible.keys()][driver.visible.size - 1];
  }
  if (driver instanceof SplitDriverModel && device instanceof SplitDeviceModel) {
    if (which === 0) {
      image.setU16(ring.deviceArea + 2, driver.lastUsed + farFrom(driver.outstanding.size, random));
    } else {
      image.setU32(ring.deviceArea + 4 + 8 * (device.published % ring.size), id);
      image.setU16(ring.deviceArea + 2, device.published + 1);
    }
  } else if (device instanceof PackedDeviceModel) {
    if (which === 0) return false;
    const ptr = ring.desc + 16 * device.published.slot;
    image.setU16(ptr + 12, id);
    image.setU16(ptr + 14, usedBits(device.published.wrap) | (random.chance(50) ? WRITE : 0));
  }
  run.send();
  if (unseen) run.cover.hit(`${ring.format} uses of what was not seen`);
  for (let calls = 0; driver.state === "live" && calls <= ring.size; calls++) {
    const { reclaimed } = driver.counts;
    run.reclaim(64);
    compare(run);
    if (driver.counts.reclaimed === reclaimed) break;
  }
  return true;
}
