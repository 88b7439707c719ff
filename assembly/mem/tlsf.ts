// A general-purpose allocator: two-level segregated fit (Masmano, Ripoll, Crespo, Real 2004),
// over a region of its own. It is the uncached arm of every comparison, so it is a good one:
// constant time, immediate and full coalescing.
//
// A block, 16-byte aligned at its payload; sizes count the header and are multiples of 16:
//
//   | size, FREE | previous block | payload ...            |   taken
//   | size, FREE | previous block | next free | prev free ..|   free
//   8 bytes of header              16-byte aligned
//
// The region starts with a block and ends with a taken block of size 0, so that neither
// neighbour of a block ever needs a special case. Headers lie next to what is handed out: a peer
// that can write the region can break the allocator (docs/security.md).

import {
  TLSF_BAD_LIST,
  TLSF_BAD_MAP,
  TLSF_BAD_PREVIOUS,
  TLSF_BAD_SIZE,
  TLSF_SOUND,
  TLSF_UNMERGED,
} from "../abi";

const ALIGN_BITS: u32 = 4;
const ALIGN: u32 = 1 << ALIGN_BITS;
const ALIGN_MASK: u32 = ALIGN - 1;
const HEADER: u32 = 8;
const FREE: u32 = 1;

// The first level halves the sizes by powers of two, the second cuts each into 16. Below 256
// bytes the first level is one list for each multiple of 16.
const SL_BITS: u32 = 4;
const SL_SIZE: u32 = 1 << SL_BITS;
const SMALL_BITS: u32 = SL_BITS + ALIGN_BITS;
const SMALL: u32 = 1 << SMALL_BITS;
const FL_SIZE: u32 = 32 - SMALL_BITS + 1;
/** Larger requests could not be rounded up to a list in 32 bits. */
const MAX_SIZE: u32 = 1 << 30;

@unmanaged
class Block {
  /** Bytes of the block, header included; bit 0 says that it is free. */
  sizeAndFree: u32;
  /** The block just below, whatever its state; 0 for the first. */
  previous: u32;
  nextFree: u32;
  prevFree: u32;
}

@unmanaged
export class Tlsf {
  first: u32;
  end: u32;
  /** Bit f: some second-level list of first level f is not empty. */
  flMap: u32;
  /** Followed by FL_SIZE second-level maps and FL_SIZE x SL_SIZE list heads. */
  _pad: u32;
}

/** Bytes of the private control block. */
export function tlsfControlBytes(): u32 {
  return offsetof<Tlsf>() + FL_SIZE * 4 + FL_SIZE * SL_SIZE * 4;
}

/**
 * A region in which `count` blocks of `bytes` each can live at once: the last is only found in a
 * free block as large as the smallest of its list, which `rounded` says.
 */
export function tlsfRegionBytes(count: u32, bytes: u32): u32 {
  const size = blockSize(bytes);
  return (count - 1) * size + rounded(size) + 4 * ALIGN;
}

/** The size from which on every list holds blocks of at least `size`. */
@inline
function rounded(size: u32): u32 {
  return size < SMALL ? size : size + ((1 << (31 - clz(size) - SL_BITS)) - 1);
}

@inline
function blockSize(bytes: u32): u32 {
  return (bytes + HEADER + ALIGN_MASK) & ~ALIGN_MASK;
}

@inline
function slMapPtr(tlsf: Tlsf, fl: u32): u32 {
  return changetype<u32>(tlsf) + offsetof<Tlsf>() + (fl << 2);
}

@inline
function headPtr(tlsf: Tlsf, fl: u32, sl: u32): u32 {
  return changetype<u32>(tlsf) + offsetof<Tlsf>() + FL_SIZE * 4 + (((fl << SL_BITS) + sl) << 2);
}

@inline
function flOf(size: u32): u32 {
  return size < SMALL ? 0 : 31 - clz(size) - (SMALL_BITS - 1);
}

@inline
function slOf(size: u32, fl: u32): u32 {
  return fl == 0 ? size >> ALIGN_BITS : (size >> (fl + (ALIGN_BITS - 1))) ^ SL_SIZE;
}

/** Lays one free block over [ptr, ptr + bytes). */
export function tlsfInit(control: u32, ptr: u32, bytes: u32): void {
  memory.fill(control, 0, tlsfControlBytes());
  const tlsf = changetype<Tlsf>(control);
  // A payload is 16-byte aligned, so a header is 8 bytes past a multiple of 16.
  const first = ((ptr + HEADER + ALIGN_MASK) & ~ALIGN_MASK) - HEADER;
  const end = ((ptr + bytes) & ~ALIGN_MASK) - HEADER;
  tlsf.first = first;
  tlsf.end = end;
  const block = changetype<Block>(first);
  const sentinel = changetype<Block>(end);
  block.previous = 0;
  sentinel.sizeAndFree = 0;
  sentinel.previous = first;
  insert(tlsf, block, end - first);
}

/** Takes `bytes`; 0 when nothing of that size is left. The payload is 16-byte aligned. */
export function tlsfTake(control: u32, bytes: u32): u32 {
  const tlsf = changetype<Tlsf>(control);
  if (bytes > MAX_SIZE) return 0;
  const size = blockSize(bytes);

  // Search from the first list in which every block is large enough.
  const from = rounded(size);
  let fl = flOf(from);
  let sl = slOf(from, fl);
  let slMap = load<u32>(slMapPtr(tlsf, fl)) & (~0 << sl);
  if (!slMap) {
    const flMap = tlsf.flMap & (~0 << (fl + 1));
    if (!flMap) return 0;
    fl = ctz(flMap);
    slMap = load<u32>(slMapPtr(tlsf, fl));
  }
  sl = ctz(slMap);
  const block = changetype<Block>(load<u32>(headPtr(tlsf, fl, sl)));
  const whole = block.sizeAndFree & ~FREE;
  unlink(tlsf, block, fl, sl);

  const rest = whole - size;
  if (rest >= ALIGN) {
    const tail = changetype<Block>(changetype<u32>(block) + size);
    tail.previous = changetype<u32>(block);
    changetype<Block>(changetype<u32>(tail) + rest).previous = changetype<u32>(tail);
    insert(tlsf, tail, rest);
    block.sizeAndFree = size;
  } else {
    block.sizeAndFree = whole;
  }
  return changetype<u32>(block) + HEADER;
}

/** Gives back what `tlsfTake` returned. */
export function tlsfGive(control: u32, ptr: u32): void {
  const tlsf = changetype<Tlsf>(control);
  let block = changetype<Block>(ptr - HEADER);
  let size = block.sizeAndFree;
  assert(!(size & FREE));

  const next = changetype<Block>(changetype<u32>(block) + size);
  const nextSize = next.sizeAndFree;
  if (nextSize & FREE) {
    const bytes = nextSize & ~FREE;
    remove(tlsf, next, bytes);
    size += bytes;
  }
  const previous = block.previous;
  if (previous) {
    const below = changetype<Block>(previous);
    const belowSize = below.sizeAndFree;
    if (belowSize & FREE) {
      const bytes = belowSize & ~FREE;
      remove(tlsf, below, bytes);
      size += bytes;
      block = below;
    }
  }
  changetype<Block>(changetype<u32>(block) + size).previous = changetype<u32>(block);
  insert(tlsf, block, size);
}

@inline
function insert(tlsf: Tlsf, block: Block, size: u32): void {
  const fl = flOf(size);
  const sl = slOf(size, fl);
  const head = headPtr(tlsf, fl, sl);
  const next = load<u32>(head);
  block.sizeAndFree = size | FREE;
  block.nextFree = next;
  block.prevFree = 0;
  if (next) changetype<Block>(next).prevFree = changetype<u32>(block);
  store<u32>(head, changetype<u32>(block));
  tlsf.flMap |= 1 << fl;
  const map = slMapPtr(tlsf, fl);
  store<u32>(map, load<u32>(map) | (1 << sl));
}

@inline
function remove(tlsf: Tlsf, block: Block, size: u32): void {
  const fl = flOf(size);
  unlink(tlsf, block, fl, slOf(size, fl));
}

@inline
function unlink(tlsf: Tlsf, block: Block, fl: u32, sl: u32): void {
  const next = block.nextFree;
  const prev = block.prevFree;
  if (next) changetype<Block>(next).prevFree = prev;
  if (prev) {
    changetype<Block>(prev).nextFree = next;
    return;
  }
  store<u32>(headPtr(tlsf, fl, sl), next);
  if (next) return;
  const map = slMapPtr(tlsf, fl);
  const slMap = load<u32>(map) & ~(1 << sl);
  store<u32>(map, slMap);
  if (!slMap) tlsf.flMap &= ~(1 << fl);
}

/** Calls for a walk: the first block, one past the last, and a block's bytes, whose bit 0 says that it is free. */
@inline
export function tlsfFirst(control: u32): u32 {
  return changetype<Tlsf>(control).first;
}
@inline
export function tlsfEnd(control: u32): u32 {
  return changetype<Tlsf>(control).end;
}
@inline
export function tlsfSizeAndFree(block: u32): u32 {
  return changetype<Block>(block).sizeAndFree;
}

/** Blocks that are taken, counted by walking the region: what a leak check may trust. */
export function tlsfLiveBlocks(control: u32): u32 {
  const tlsf = changetype<Tlsf>(control);
  let live: u32 = 0;
  for (let at = tlsf.first; at < tlsf.end; ) {
    const word = changetype<Block>(at).sizeAndFree;
    if (!(word & FREE)) live++;
    at += word & ~FREE;
  }
  return live;
}

/** Bytes in free blocks, headers included, counted by walking the region. */
export function tlsfFreeBytes(control: u32): u32 {
  const tlsf = changetype<Tlsf>(control);
  let free: u32 = 0;
  for (let at = tlsf.first; at < tlsf.end; ) {
    const word = changetype<Block>(at).sizeAndFree;
    if (word & FREE) free += word & ~FREE;
    at += word & ~FREE;
  }
  return free;
}

/**
 * Walks the region and the lists: sizes add up to the end, neighbours know each other, no two
 * free blocks touch, each free block is in its list once, and the maps say which lists are empty.
 */
export function tlsfCheck(control: u32): u32 {
  const tlsf = changetype<Tlsf>(control);
  let freeByWalk: u32 = 0;
  let previous: u32 = 0;
  let previousFree = false;
  let at = tlsf.first;
  while (at < tlsf.end) {
    const block = changetype<Block>(at);
    const size = block.sizeAndFree & ~FREE;
    const free = (block.sizeAndFree & FREE) != 0;
    if (size < ALIGN || size & ALIGN_MASK || size > tlsf.end - at) return TLSF_BAD_SIZE;
    if (block.previous != previous) return TLSF_BAD_PREVIOUS;
    if (free && previousFree) return TLSF_UNMERGED;
    if (free) freeByWalk++;
    previous = at;
    previousFree = free;
    at += size;
  }
  if (at != tlsf.end || changetype<Block>(at).previous != previous) return TLSF_BAD_PREVIOUS;

  let freeByList: u32 = 0;
  for (let fl: u32 = 0; fl < FL_SIZE; fl++) {
    const slMap = load<u32>(slMapPtr(tlsf, fl));
    if ((slMap != 0) != ((tlsf.flMap & (1 << fl)) != 0)) return TLSF_BAD_MAP;
    for (let sl: u32 = 0; sl < SL_SIZE; sl++) {
      let listed = load<u32>(headPtr(tlsf, fl, sl));
      if ((listed != 0) != ((slMap & (1 << sl)) != 0)) return TLSF_BAD_MAP;
      let prevFree: u32 = 0;
      while (listed) {
        if (listed < tlsf.first || listed >= tlsf.end) return TLSF_BAD_LIST;
        const block = changetype<Block>(listed);
        const size = block.sizeAndFree & ~FREE;
        if (!(block.sizeAndFree & FREE) || block.prevFree != prevFree) return TLSF_BAD_LIST;
        if (flOf(size) != fl || slOf(size, fl) != sl) return TLSF_BAD_LIST;
        // More listed blocks than the region holds means that a list runs in a circle.
        if (++freeByList > freeByWalk) return TLSF_BAD_LIST;
        prevFree = listed;
        listed = block.nextFree;
      }
    }
  }
  return freeByList == freeByWalk ? TLSF_SOUND : TLSF_BAD_LIST;
}
