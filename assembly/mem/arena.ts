// The arena: one region of the memory, handed out once by two bumps and then sealed.
//
//   base                     sharedBase                       end
//   | Arena | private ...    | shared ...                     |
//
// The private part holds what a peer must never reach (control blocks, shadow state, free-list
// links, counters, staging); the shared part holds what it must (rings, tables, packet data).
// An address space that overlaps the private part is refused (dma/space.ts).

import { CACHE_LINE } from "../abi";

@unmanaged
export class Arena {
  /** First byte of the region, where this block lies. */
  base: u32;
  /** First byte of the shared part, and one past the last of the private part. */
  sharedBase: u32;
  /** One past the last byte of the region. */
  end: u32;
  /** Next free byte of each part. */
  privateNext: u32;
  sharedNext: u32;
  sealed: u32;
}

/** Lays an arena over [base, end); the caller has made sure that it lies in the memory. */
export function arenaInit(base: u32, sharedBase: u32, end: u32): void {
  memory.fill(base, 0, end - base);
  const arena = changetype<Arena>(base);
  arena.base = base;
  arena.sharedBase = sharedBase;
  arena.end = end;
  arena.privateNext = base + ((offsetof<Arena>() + (CACHE_LINE - 1)) & ~(CACHE_LINE - 1));
  arena.sharedNext = sharedBase;
  arena.sealed = 0;
}

/** Takes private bytes during set-up; 0 when sealed or when they don't fit. `align` is a power of two. */
export function arenaTakePrivate(base: u32, bytes: u32, align: u32): u32 {
  const arena = changetype<Arena>(base);
  const ptr = take(arena, arena.privateNext, arena.sharedBase, bytes, align);
  if (ptr) arena.privateNext = ptr + bytes;
  return ptr;
}

/** Takes shared bytes during set-up; 0 when sealed or when they don't fit. `align` is a power of two. */
export function arenaTakeShared(base: u32, bytes: u32, align: u32): u32 {
  const arena = changetype<Arena>(base);
  const ptr = take(arena, arena.sharedNext, arena.end, bytes, align);
  if (ptr) arena.sharedNext = ptr + bytes;
  return ptr;
}

/** From here on nothing is taken any more, only recycled. */
export function arenaSeal(base: u32): void {
  changetype<Arena>(base).sealed = 1;
}

/** Whether [ptr, ptr + bytes) touches the private part. */
export function arenaOverlapsPrivate(base: u32, ptr: u64, bytes: u64): bool {
  const arena = changetype<Arena>(base);
  return bytes != 0 && ptr < <u64>arena.sharedBase && ptr + bytes > <u64>arena.base;
}

function take(arena: Arena, next: u32, end: u32, bytes: u32, align: u32): u32 {
  if (arena.sealed) return 0;
  const ptr = (<u64>next + (align - 1)) & ~(<u64>align - 1);
  if (ptr + bytes > <u64>end) return 0;
  return <u32>ptr;
}
