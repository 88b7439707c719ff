// I/O virtual addresses: an allocator of page ranges whose sizes are rounded up to a power of two
// and that are aligned to it, over an aperture of up to 4 GiB. Buddies, with a set of the free blocks
// of each order; the highest address first, as Linux does. What is in front of it is magazines.ts.
//
//   page   0   1   2   3   4   5   6   7   8
//        | - | 0 |   1   |       2       | ...   the free blocks of a new aperture, by order
//
// Page 0 is never given out, so that it can say "none" here and in an IOTLB; nor is the last page
// below 2^32, in which DMA_MAPPING_ERROR lies.

import {
  Bitmap,
  bitmapAdd,
  bitmapBytes,
  bitmapHas,
  bitmapHighest,
  bitmapInit,
  bitmapIsEmpty,
  bitmapRemove,
} from "../mem/bitmap";

/** Pages of 4 GiB. */
const SPACE_PAGES: u32 = 1 << 20;
/** Orders of the largest aperture: a block is at most half of it, because page 0 is never free. */
export const IOVA_ORDERS: u32 = 20;

@unmanaged
export class Iova {
  /** Pages of the aperture, page 0 among them. */
  pages: u32;
  /** Bit k: some block of 2^k pages is free. */
  orderMap: u32;
  freePages: u32;
  /** Blocks that were taken and given back, so far: what the magazines had to ask for. */
  takes: u32;
  /** Followed by IOVA_ORDERS bitmaps of free blocks, by their number in their order. */
  gives: u32;
}

/** Bytes of the control block. */
export const IOVA_BYTES: u32 = (offsetof<Iova>() + IOVA_ORDERS * offsetof<Bitmap>() + 7) & ~7;

/** The order of the block that holds `pages`, not 0. */
@inline
export function iovaOrder(pages: u32): u32 {
  return 32 - clz(pages - 1);
}

/** The set of the free blocks of 2^order pages. */
@inline
export function iovaFree(iova: Iova, order: u32): Bitmap {
  return changetype<Bitmap>(changetype<u32>(iova) + offsetof<Iova>() + order * offsetof<Bitmap>());
}

/** Blocks of 2^order pages that an aperture of `pages` is cut into. */
@inline
export function iovaBlocks(pages: u32, order: u32): u32 {
  return (pages >> order) + 1;
}

/** One past the last page that an aperture of `pages` gives out. */
@inline
export function iovaEnd(pages: u32): u32 {
  return min(pages, SPACE_PAGES - 1);
}

/** Bytes of the sets of an aperture of `pages`. */
export function iovaSetBytes(pages: u32): u32 {
  let bytes: u32 = 0;
  for (let order: u32 = 0; order < IOVA_ORDERS; order++) bytes += bitmapBytes(iovaBlocks(pages, order));
  return bytes;
}

/** Makes an aperture of `pages`, 2 to 2^20, with its sets at `at`, 8-byte aligned. */
export function iovaInit(ptr: u32, at: u32, pages: u32): void {
  assert(pages >= 2 && pages <= SPACE_PAGES);
  const iova = changetype<Iova>(ptr);
  iova.pages = pages;
  iova.orderMap = 0;
  iova.freePages = 0;
  for (let order: u32 = 0; order < IOVA_ORDERS; order++) {
    at = bitmapInit(iovaFree(iova, order), at, iovaBlocks(pages, order));
  }
  const end = iovaEnd(pages);
  for (let pfn: u32 = 1; pfn < end; ) {
    const order = min(ctz(pfn), 31 - clz(end - pfn));
    iovaGive(ptr, pfn, order);
    pfn += 1 << order;
  }
  iova.takes = 0;
  iova.gives = 0;
}

/** Takes 2^order pages: the first page's number, or 0 when no block is large enough. */
export function iovaTake(ptr: u32, order: u32): u32 {
  const iova = changetype<Iova>(ptr);
  let orders = order < IOVA_ORDERS ? iova.orderMap >> order : 0;
  if (!orders) return 0;
  // Not the smallest block that fits, as buddies usually do, but the highest: so that what is taken lies
  // together, in few tables.
  let have: u32 = 0;
  let block: u32 = 0;
  let highest: u32 = 0;
  for (; orders; orders &= orders - 1) {
    const other = order + ctz(orders);
    const candidate = bitmapHighest(iovaFree(iova, other));
    const end = (candidate + 1) << other;
    if (end > highest) {
      highest = end;
      have = other;
      block = candidate;
    }
  }
  remove(iova, have, block);
  while (have > order) {
    have--;
    block = (block << 1) | 1;
    add(iova, have, block ^ 1);
  }
  iova.freePages -= 1 << order;
  iova.takes++;
  return block << order;
}

/** Gives back what `iovaTake` returned, with the same order. */
export function iovaGive(ptr: u32, pfn: u32, order: u32): void {
  const iova = changetype<Iova>(ptr);
  iova.freePages += 1 << order;
  iova.gives++;
  let block = pfn >> order;
  while (bitmapHas(iovaFree(iova, order), block ^ 1)) {
    remove(iova, order, block ^ 1);
    block >>= 1;
    order++;
  }
  add(iova, order, block);
}

@inline
function add(iova: Iova, order: u32, block: u32): void {
  bitmapAdd(iovaFree(iova, order), block);
  iova.orderMap |= 1 << order;
}

@inline
function remove(iova: Iova, order: u32, block: u32): void {
  const free = iovaFree(iova, order);
  bitmapRemove(free, block);
  if (bitmapIsEmpty(free)) iova.orderMap &= ~(1 << order);
}
