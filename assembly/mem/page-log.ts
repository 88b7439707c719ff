// The log of the pages that a device half has written: a bit for each 4 KiB of the memory, in private
// memory, for whoever copies a running device's memory elsewhere.
//
//   log           + 4                                + 4 + 4 ceil(pages / 32)
//   | pages u32   | page 0 is bit 0 of word 0 ...    |
//
// A page is marked after it was written: whoever takes the bits first and copies the pages then has missed nothing.
// Without a log a burst looks at one word of its address space.

export const LOG_PAGE_BITS: u32 = 12;

const LOG_BITS: u32 = 4;

/** Bytes of a log for the first `bytes` of a memory. */
export function pageLogBytes(bytes: u64): u32 {
  const pages = (bytes + ((1 << LOG_PAGE_BITS) - 1)) >> LOG_PAGE_BITS;
  return LOG_BITS + <u32>(((pages + 31) >> 5) << 2);
}

/** Lays an empty log for the first `bytes` of the memory over `log`. */
export function pageLogInit(log: u32, bytes: u64): void {
  const size = pageLogBytes(bytes);
  memory.fill(log, 0, size);
  store<u32>(log, (size - LOG_BITS) << 3);
}

/** Marks the pages of [ptr, ptr + bytes); what lies above the log's last page is left out. */
export function pageLogMark(log: u32, ptr: u32, bytes: u32): void {
  if (!bytes) return;
  const last = min((ptr + (bytes - 1)) >> LOG_PAGE_BITS, load<u32>(log) - 1);
  for (let page = ptr >> LOG_PAGE_BITS; page <= last; page++) {
    const at = log + LOG_BITS + ((page >> 5) << 2);
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
