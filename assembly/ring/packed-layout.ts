// Packed virtqueue (2.8): one ring that both halves write in turn, and an event structure each.
//
//   desc[Q]        both     16 bytes each: addr le64, len le32, id le16, flags le16
//   driver area    driver   Driver Event Suppression: desc le16, flags le16
//   device area    device   Device Event Suppression: desc le16, flags le16

import { VIRTQ_DESC_F_AVAIL, VIRTQ_DESC_F_USED, VIRTQ_DESC_SIZE, VIRTQ_MAX_SIZE } from "../spec";

export const PACKED_DESC_ALIGN: u32 = 16;
export const PACKED_EVENT_ALIGN: u32 = 4;
export const PACKED_EVENT_BYTES: u32 = 4;

/** Both ownership bits; flipping a counter flips both in what it marks. */
export const OWNER_BITS: u32 = VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;

@inline
export function packedDescBytes(size: u32): u32 {
  return size * VIRTQ_DESC_SIZE;
}

/** P-B-01: any integer, 1 to 32768. */
export function packedSizeIsLegal(size: u32): bool {
  return size - 1 < VIRTQ_MAX_SIZE;
}

/** P-B-03: the ownership bits of a descriptor that is available in a lap with this wrap counter. */
@inline
export function availableBits(wrap: u32): u32 {
  return wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
}

/** P-B-03: the ownership bits of a descriptor that is used in a lap with this wrap counter. */
@inline
export function usedBits(wrap: u32): u32 {
  return wrap ? OWNER_BITS : 0;
}

/** Slots from `first` to `slot`, between which the wrap counter changed once or not at all; at most one lap. */
@inline
export function packedSlotsBetween(first: u32, slot: u32, wrapped: bool, size: u32): u32 {
  return wrapped ? slot + size - first : slot - first;
}
