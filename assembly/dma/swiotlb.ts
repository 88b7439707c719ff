// A bounce pool, after Linux's swiotlb: a device that can only see the pool gets copies, made at
// map, unmap and sync. A mapping takes contiguous slots of 2 KiB, at most a segment of 128.
//
//   private   BouncePool | runs u8[slots] | places {place u32, bytes u32}[slots]
//   shared    slot 0 | slot 1 | ... | slot 127 || slot 128 | ...          || = a segment's end
//
// runs     free slots from this one on, up to the segment's end; 0 for one that is taken
// place    the driver's own memory for this slot's first byte
// bytes    bytes of the mapping from this slot on, with FIRST in its first slot; 0 when free
//
// A device can write all of the pool, so nothing that is needed to find the way back lies there.

import {
  BOUNCE_SEGMENT,
  BOUNCE_SLOT,
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_E_POOL_FULL,
  DMA_E_TOO_LONG,
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  DMA_TO_DEVICE,
} from "../abi";
import { copyBytes } from "../mem/copy";
import { AddressSpace } from "./space";

/** BOUNCE_SLOT is 1 << SLOT_SHIFT. */
const SLOT_SHIFT: u32 = 11;
const SEGMENT_MASK: u32 = BOUNCE_SEGMENT - 1;
/** In a slot's bytes, of which there are at most 2^18: a mapping starts here. */
const FIRST: u32 = 1 << 31;
const NO_SLOT: u32 = 0xffffffff;

@unmanaged
export class BouncePool {
  /** Slot 0, and how many there are. */
  base: u32;
  slots: u32;
  /** Where the search starts: behind the mapping that was made last. */
  next: u32;
  /** Slots that are taken, and the most that ever were. */
  used: u32;
  highWater: u32;
  runs: u32;
  places: u32;
}

/** Bytes of the private part of a pool. */
export function swiotlbBytes(slots: u32): u32 {
  return placesAt(slots) + (slots << 3);
}

@inline
function placesAt(slots: u32): u32 {
  return (offsetof<BouncePool>() + slots + 7) & ~7;
}

/** Makes a pool of `slots` slots at `base`, all free. */
export function swiotlbInit(ptr: u32, base: u32, slots: u32): void {
  const pool = changetype<BouncePool>(ptr);
  pool.base = base;
  pool.slots = slots;
  pool.next = 0;
  pool.used = 0;
  pool.highWater = 0;
  pool.runs = ptr + offsetof<BouncePool>();
  pool.places = ptr + placesAt(slots);
  for (let slot: u32 = 0; slot < slots; slot++) {
    const rest = min(BOUNCE_SEGMENT - (slot & SEGMENT_MASK), slots - slot);
    store<u8>(pool.runs + slot, <u8>rest);
  }
  memory.fill(pool.places, 0, slots << 3);
}

/**
 * Maps `bytes` at `ptr`: their place in the pool, or DMA_MAPPING_ERROR with `space.failure` set. Copies
 * in the whole length, whatever the direction and also without CPU sync: what the device leaves
 * unwritten must not be what somebody else's mapping left there (6.1). Before 5.18 only what the
 * device reads was copied, unless the CPU sync was skipped.
 */
export function swiotlbMap(space: AddressSpace, ptr: u32, bytes: u32, direction: u32, attrs: u32): u32 {
  if (bytes > BOUNCE_SEGMENT * BOUNCE_SLOT) {
    space.failure = DMA_E_TOO_LONG;
    return DMA_MAPPING_ERROR;
  }
  const pool = changetype<BouncePool>(space.backend);
  const need = slotsOf(bytes);
  const slot = takeSlots(pool, need);
  if (slot == NO_SLOT) {
    space.failure = DMA_E_POOL_FULL;
    return DMA_MAPPING_ERROR;
  }
  for (let k: u32 = 0; k < need; k++) {
    const at = k << SLOT_SHIFT;
    store<u64>(placeOf(pool, slot + k), <u64>(ptr + at) | ((<u64>(bytes - at)) << 32));
  }
  store<u32>(placeOf(pool, slot), bytes | FIRST, 4);
  const dma = pool.base + (slot << SLOT_SHIFT);
  const skips = attrs & DMA_ATTR_SKIP_CPU_SYNC || direction == DMA_FROM_DEVICE;
  if (!space.copyReadOnly || !skips) bounce(space, dma, ptr, bytes);
  return dma;
}

/**
 * Ends the mapping at `dma`, copying out its whole length if the device wrote it, unless CPU sync is
 * skipped. False when no mapping starts there: then nothing happens.
 */
export function swiotlbUnmap(space: AddressSpace, dma: u32, direction: u32, attrs: u32): bool {
  const pool = changetype<BouncePool>(space.backend);
  const slot = (dma - pool.base) >> SLOT_SHIFT;
  if (slot >= pool.slots || dma & (BOUNCE_SLOT - 1)) return false;
  const record = placeOf(pool, slot);
  const word = load<u32>(record, 4);
  if (!(word & FIRST)) return false;
  const bytes = word & ~FIRST;
  if (direction != DMA_TO_DEVICE && !(attrs & DMA_ATTR_SKIP_CPU_SYNC))
    bounce(space, load<u32>(record), dma, bytes);
  const need = slotsOf(bytes);
  memory.fill(record, 0, need << 3);
  giveSlots(pool, slot, need);
  return true;
}

/** Copies out `bytes` at `dma`, a part of a mapping, if the device writes it. */
export function swiotlbSyncForCpu(space: AddressSpace, dma: u32, bytes: u32, direction: u32): void {
  if (direction == DMA_TO_DEVICE) return;
  const pool = changetype<BouncePool>(space.backend);
  const length = within(pool, dma, bytes);
  if (!length) return;
  bounce(space, swiotlbPlace(pool, dma), dma, length);
  space.syncBytesCopied += length;
}

/** Copies in `bytes` at `dma`, a part of a mapping, if the device reads it. */
export function swiotlbSyncForDevice(space: AddressSpace, dma: u32, bytes: u32, direction: u32): void {
  if (direction == DMA_FROM_DEVICE) return;
  const pool = changetype<BouncePool>(space.backend);
  const length = within(pool, dma, bytes);
  if (!length) return;
  bounce(space, dma, swiotlbPlace(pool, dma), length);
  space.syncBytesCopied += length;
}

/** The driver's own memory behind a place in the pool that is mapped. */
export function swiotlbPlace(pool: BouncePool, dma: u32): u32 {
  return load<u32>(placeOf(pool, (dma - pool.base) >> SLOT_SHIFT)) + (dma & (BOUNCE_SLOT - 1));
}

/** How much of [dma, dma + bytes) is mapped, from its start on. */
function within(pool: BouncePool, dma: u32, bytes: u32): u32 {
  const slot = (dma - pool.base) >> SLOT_SHIFT;
  if (slot >= pool.slots) return 0;
  const left = load<u32>(placeOf(pool, slot), 4) & ~FIRST;
  const offset = dma & (BOUNCE_SLOT - 1);
  return left > offset ? min(bytes, left - offset) : 0;
}

function bounce(space: AddressSpace, to: u32, from: u32, bytes: u32): void {
  copyBytes(to, from, bytes);
  space.bounceBytes += bytes;
}

@inline
function placeOf(pool: BouncePool, slot: u32): u32 {
  return pool.places + (slot << 3);
}

@inline
function slotsOf(bytes: u32): u32 {
  return (bytes + (BOUNCE_SLOT - 1)) >> SLOT_SHIFT;
}

/** The first of `need` free slots in one segment, which are taken; or NO_SLOT. */
function takeSlots(pool: BouncePool, need: u32): u32 {
  const runs = pool.runs;
  let slot = pool.next;
  // One lap, from run to run: none that starts inside of one is longer, nor does one start in a mapping.
  for (let left = <i32>pool.slots; left > 0; ) {
    const run: u32 = load<u8>(runs + slot);
    if (run >= need) {
      claim(pool, slot, need);
      return slot;
    }
    const step = run ? run : slotsOf(load<u32>(placeOf(pool, slot), 4) & ~FIRST);
    left -= step;
    slot += step;
    if (slot == pool.slots) slot = 0;
  }
  return NO_SLOT;
}

function claim(pool: BouncePool, slot: u32, need: u32): void {
  memory.fill(pool.runs + slot, 0, need);
  countRuns(pool, slot, 0);
  const next = slot + need;
  pool.next = next == pool.slots ? 0 : next;
  pool.used += need;
  pool.highWater = max(pool.highWater, pool.used);
}

function giveSlots(pool: BouncePool, slot: u32, need: u32): void {
  let run: u32 = 0;
  const behind = slot + need;
  if (behind & SEGMENT_MASK && behind < pool.slots) run = load<u8>(pool.runs + behind);
  for (let k = behind; k > slot; ) store<u8>(pool.runs + --k, <u8>++run);
  countRuns(pool, slot, run);
  pool.used -= need;
}

/** Counts the free run anew that ends before `slot`, where it goes on for `run` more. */
function countRuns(pool: BouncePool, slot: u32, run: u32): void {
  while (slot & SEGMENT_MASK) {
    const at = pool.runs + --slot;
    if (!load<u8>(at)) return;
    store<u8>(at, <u8>++run);
  }
}
