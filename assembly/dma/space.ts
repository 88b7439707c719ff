// Address spaces: how the device half reaches memory. A descriptor's address is a bus
// address; nothing else in the engine turns one into a place in the memory.
//
// Every space has an identity window, which a device reaches directly:
//
//   bus address   base ........................ base + length
//                  |                             |
//   memory        offset ...................... offset + length
//
// With ACCESS_PLATFORM the space's DMA backend comes in between (`kind`, dma.ts): it may narrow the
// window to a bounce pool, or translate page by page. Without, the window is all there is.

import { OK, R_SPACE_OVERLAP } from "../abi";
import { arenaOverlapsPrivate } from "../mem/arena";

@unmanaged
export class AddressSpace {
  /** First bus address and bytes of the window. */
  base: u64;
  length: u64;
  /** Where the window starts in the memory. */
  offset: u32;
  /** DMA_DIRECT, DMA_SWIOTLB, DMA_IOMMU_STRICT or DMA_IOMMU_LAZY. */
  kind: u32;
  /** What a mapping's 32-bit handle lacks of its bus address: base - offset, or 0 under an IOMMU. */
  delta: u64;
  /** The backend's control block: the bounce pool or the IOMMU domain; 0 for direct. */
  backend: u32;
  /** Operations are recorded here (mem/trace.ts), unless it is 0. */
  trace: u32;
  /** Pages that a device half writes through this space are logged here (mem/page-log.ts), unless it is 0. */
  log: u32;
  /** Why the last map call failed (DMA_E_*). */
  failure: u32;
  /** A test's wish: the so-manieth map call from now fails; 0 for none. */
  failIn: u32;

  // Counters of the DMA API's calls, since the space was set up. Bytes that a call asks for and bytes
  // that were really copied are counted apart.
  maps: u64;
  unmaps: u64;
  mapFailures: u64;
  syncsCpu: u64;
  syncsDevice: u64;
  syncBytesAsked: u64;
  syncBytesCopied: u64;
  /** Bytes that a bounce pool copied, for whatever call. */
  bounceBytes: u64;
  /** DMA_ATTR_WEAK_ORDERING asks for nothing here; that it was asked is counted. */
  weakOrderings: u64;
}

/**
 * Makes an identity window; the caller has made sure that it lies in the memory.
 * R_SPACE_OVERLAP when it would show a peer the private part of the arena at `arena`.
 */
export function spaceInit(ptr: u32, arena: u32, base: u64, length: u64, offset: u32): u32 {
  if (arenaOverlapsPrivate(arena, offset, length)) return R_SPACE_OVERLAP;
  const space = changetype<AddressSpace>(ptr);
  space.base = base;
  space.length = length;
  space.offset = offset;
  space.delta = base - offset;
  return OK;
}

/** Whether [addr, addr + bytes) lies in the window; neither the sum nor the difference can wrap. */
@inline
export function inWindow(base: u64, length: u64, addr: u64, bytes: u64): bool {
  const from = addr - base;
  return from <= length && bytes <= length - from;
}

/** What to add to a pointer to get its bus address in the window. */
@inline
export function busDelta(space: AddressSpace): u64 {
  return space.base - space.offset;
}
