// Split virtqueue (2.7): three parts, each with one writer (S-B-03).
//
//   desc[Q]      driver   16 bytes each: addr le64, len le32, flags le16, next le16
//   avail        driver   flags le16, idx le16, ring[Q] le16, used_event le16
//   used         device   flags le16, idx le16, ring[Q] { id le32, len le32 }, avail_event le16

import { VIRTQ_DESC_SIZE, VIRTQ_MAX_SIZE } from "../spec";

export const SPLIT_DESC_ALIGN: u32 = 16;
export const SPLIT_AVAIL_ALIGN: u32 = 2;
export const SPLIT_USED_ALIGN: u32 = 4;

// Offsets in avail and in used; the event words lie behind the ring, whatever was negotiated (S-B-01).
export const RING_FLAGS: u32 = 0;
export const RING_IDX: u32 = 2;
export const RING_ENTRIES: u32 = 4;

@inline
export function splitDescBytes(size: u32): u32 {
  return size * VIRTQ_DESC_SIZE;
}

@inline
export function splitAvailBytes(size: u32): u32 {
  return 6 + 2 * size;
}

@inline
export function splitUsedBytes(size: u32): u32 {
  return 6 + 8 * size;
}

@inline
export function usedEventPtr(avail: u32, size: u32): u32 {
  return avail + RING_ENTRIES + 2 * size;
}

@inline
export function availEventPtr(used: u32, size: u32): u32 {
  return used + RING_ENTRIES + 8 * size;
}

/** S-B-02: a power of two, 1 to 32768. */
export function splitSizeIsLegal(size: u32): bool {
  return size != 0 && size <= VIRTQ_MAX_SIZE && !(size & (size - 1));
}

/** The low word of a descriptor is addr; this is the high one. */
@inline
export function splitDescHigh(len: u64, flags: u64, next: u64): u64 {
  return len | (flags << 32) | (next << 48);
}
