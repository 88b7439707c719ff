// What waits for the next flush under iommu-lazy: ranges whose entries are cleared, but whose
// translations an IOTLB may still have. None is given out again before that.
//
//   | range 0 | range 1 | ...          | -      |   one slot stays empty: 256 are full at 255
//     first page's number | order << 20

import { MAGAZINE_SIZE, magazineCount, magazinePush, magazinesGive, rcacheOf } from "./magazines";

const PFN_BITS: u32 = 20;
const PFN_MASK: u32 = (1 << PFN_BITS) - 1;

@unmanaged
export class FlushQueue {
  waiting: u32;
  /** How many may wait. */
  capacity: u32;
  entries: u32;
  /** Whether a watched page is among them. */
  watched: u32;
}

/** Bytes of the slots. */
export function flushQueueBytes(slots: u32): u32 {
  return ((slots << 2) + 7) & ~7;
}

/** Makes an empty queue of `slots`, at least 2, at `at`. */
export function flushQueueInit(ptr: u32, at: u32, slots: u32): void {
  assert(slots >= 2);
  const queue = changetype<FlushQueue>(ptr);
  queue.waiting = 0;
  queue.capacity = slots - 1;
  queue.entries = at;
  queue.watched = 0;
}

@inline
export function flushQueueIsFull(queue: FlushQueue): bool {
  return queue.waiting == queue.capacity;
}

/** Puts a range into a queue that is not full. */
@inline
export function flushQueueAdd(queue: FlushQueue, pfn: u32, order: u32): void {
  const waiting = queue.waiting;
  store<u32>(queue.entries + (waiting << 2), pfn | (order << PFN_BITS));
  queue.waiting = waiting + 1;
}

/** The first page and the order of a range that waits. */
@inline
export function flushQueuePfn(queue: FlushQueue, index: u32): u32 {
  return load<u32>(queue.entries + (index << 2)) & PFN_MASK;
}
@inline
export function flushQueueOrder(queue: FlushQueue, index: u32): u32 {
  return load<u32>(queue.entries + (index << 2)) >> PFN_BITS;
}

/** After a flush: gives every range back, the one that has waited longest first. */
export function flushQueueGive(queue: FlushQueue, magazines: u32): void {
  // Single pages go into the loaded magazine with its count in a local: through the memory each of
  // them would wait for the one before it.
  const rcache = rcacheOf(magazines, 0);
  let magazine = rcache.loaded;
  let count = magazineCount(magazine);
  const waiting = queue.waiting;
  for (let k: u32 = 0; k < waiting; k++) {
    const pfn = flushQueuePfn(queue, k);
    const order = flushQueueOrder(queue, k);
    if (order == 0 && count < MAGAZINE_SIZE) {
      magazinePush(magazine, count++, pfn);
    } else {
      store<u32>(magazine, count);
      magazinesGive(magazines, pfn, order);
      magazine = rcache.loaded;
      count = magazineCount(magazine);
    }
  }
  store<u32>(magazine, count);
  queue.waiting = 0;
}
