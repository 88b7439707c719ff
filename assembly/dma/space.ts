// Address spaces: how the device half reaches memory. A descriptor's address is a bus
// address; nothing else in the engine turns one into a place in the memory.
//
// Every space has an identity window, which a device reaches directly:
//
//   bus address   base ........................ base + length
//                  |                             |
//   memory        offset ...................... offset + length
//
// With ACCESS_PLATFORM the space's DMA backend comes in between (`kind`, dma.ts). What the device
// then reaches is the seen window:
//
//   direct    the same
//   swiotlb   the part of it that holds the coherent ring areas and the bounce pool
//   IOMMU     the aperture, 2^32 bus addresses from 0, each of which is translated (iommu.ts)

import { DMA_DIRECT, DMA_IOMMU_STRICT, OK, R_SPACE_OVERLAP } from "../abi";
import { Arena, arenaOverlapsPrivate } from "../mem/arena";
import { faultLogClear } from "./faults";

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
  /** The same three of the seen window; its offset is 0 under an IOMMU. */
  seenBase: u64;
  seenLength: u64;
  seenOffset: u32;
  /** The backend's control block: the bounce pool or the IOMMU domain; 0 for direct. */
  backend: u32;
  /** 1: a bounce pool copies in at map only what the device reads, as Linux did before 5.18. */
  copyReadOnly: u32;
  /** The engine's private part, of which nothing is ever mapped. */
  privateBase: u32;
  privateEnd: u32;
  /** Faults are recorded here (faults.ts), unless it is 0. */
  faultLog: u32;
  /** Operations are recorded here (mem/trace.ts), unless it is 0. */
  trace: u32;
  /** Pages that a device half writes through this space are logged here (mem/page-log.ts), unless it is 0. */
  log: u32;
  /** Why the last map call failed (DMA_E_*). */
  failure: u32;
  /** A test's wish: the so-manieth map call from now fails; 0 for none. */
  failIn: u32;

  // Counters of the DMA API's calls, since the backend was chosen. Bytes that a call asks for and bytes
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
  /** Accesses of the device that were refused. */
  faults: u64;
}

/**
 * Makes an identity window with the direct backend; the caller has made sure that it lies in the memory.
 * R_SPACE_OVERLAP when it would show a peer the private part of the arena at `arena`.
 */
export function spaceInit(ptr: u32, arena: u32, base: u64, length: u64, offset: u32): u32 {
  if (arenaOverlapsPrivate(arena, offset, length)) return R_SPACE_OVERLAP;
  const space = changetype<AddressSpace>(ptr);
  space.base = base;
  space.length = length;
  space.offset = offset;
  space.privateBase = changetype<Arena>(arena).base;
  space.privateEnd = changetype<Arena>(arena).sharedBase;
  spaceSetBackend(ptr, DMA_DIRECT, 0, offset, length);
  return OK;
}

/**
 * Puts a backend in front of a space that nothing is mapped in, with its counters at 0. `seen`
 * and `bytes` are the part of the window that a device still reaches, as a place in the memory;
 * for an IOMMU 0 and 2^32.
 */
export function spaceSetBackend(ptr: u32, kind: u32, backend: u32, seen: u32, bytes: u64): void {
  const space = changetype<AddressSpace>(ptr);
  space.kind = kind;
  space.backend = backend;
  space.delta = kind >= DMA_IOMMU_STRICT ? 0 : busDelta(space);
  space.seenBase = seen + space.delta;
  space.seenLength = bytes;
  space.seenOffset = seen;
  space.failure = 0;
  space.failIn = 0;
  memory.fill(
    ptr + offsetof<AddressSpace>("maps"),
    0,
    offsetof<AddressSpace>() - offsetof<AddressSpace>("maps"),
  );
  faultLogClear(space.faultLog);
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
