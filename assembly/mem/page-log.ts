// The log of the pages that a device half has written: a bit for each 4 KiB of 4 GiB, in private memory, for
// whoever copies a running device's memory elsewhere. Page 0 is bit 0 of word 0.
//
// A page is marked after it was written: whoever takes the bits first and copies the pages then has missed nothing.
// Without a log a burst looks at one word of its address space.

const PAGE_BITS: u32 = 12;

export const PAGE_LOG_BYTES: u32 = 1 << (32 - PAGE_BITS - 3);

/** Marks the pages of [ptr, ptr + bytes). */
export function pageLogMark(log: u32, ptr: u32, bytes: u32): void {
  if (!bytes) return;
  const last = (ptr + (bytes - 1)) >> PAGE_BITS;
  for (let page = ptr >> PAGE_BITS; page <= last; page++) {
    const at = log + ((page >> 5) << 2);
    const bit: u32 = 1 << (page & 31);
    if (ASC_FEATURE_THREADS) atomic.or<u32>(at, bit);
    else store<u32>(at, load<u32>(at) | bit);
  }
}

/** Marks `count` entries of 1 << `shift` bytes from `first` on in a ring of `size` entries at `base`. */
export function pageLogMarkRing(log: u32, base: u32, first: u32, count: u32, size: u32, shift: u32): void {
  const tail = min(count, size - first);
  pageLogMark(log, base + (first << shift), tail << shift);
  pageLogMark(log, base, (count - tail) << shift);
}
