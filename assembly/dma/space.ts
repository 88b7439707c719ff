// Address spaces: how the device half reaches memory. A descriptor's address is a bus
// address; nothing else in the engine turns one into a place in the memory.
//
// There is one backend so far, the identity window:
//
//   bus address   base ........................ base + length
//                  |                             |
//   memory        offset ...................... offset + length
//
// A mapping backend adds a kind here, and a case to `translate` and `busAddress`.

import { OK, R_SPACE_OVERLAP } from "../abi";
import { arenaOverlapsPrivate } from "../mem/arena";

@unmanaged
export class AddressSpace {
  /** First bus address and bytes of the window. */
  base: u64;
  length: u64;
  /** Where the window starts in the memory. */
  offset: u32;
  _pad: u32;
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
  return OK;
}

/** Whether [addr, addr + bytes) lies in the window; neither the sum nor the difference can wrap. */
@inline
export function inWindow(base: u64, length: u64, addr: u64, bytes: u64): bool {
  const from = addr - base;
  return from <= length && bytes <= length - from;
}

/** What to add to a pointer to get its bus address. */
@inline
export function busDelta(space: AddressSpace): u64 {
  return space.base - space.offset;
}
