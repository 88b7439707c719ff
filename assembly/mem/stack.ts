// A free list as a LIFO stack of pointers in private memory: take and put at the head, one word
// an entry, no link inside what is listed, because a device could write there (H-D-04).
//
//   Stack | top | capacity | entry 0 | entry 1 | ... | newest entry | (free) ...
//                                                                   ^ top
//
// A burst that takes or puts many keeps `top` in a local: through the memory each step would wait
// for the one before it.

@unmanaged
export class Stack {
  /** One past the newest entry. */
  top: u32;
  capacity: u32;
}

/** Bytes for a stack of `capacity` pointers. */
export function stackBytes(capacity: u32): u32 {
  return offsetof<Stack>() + (capacity << 2);
}

export function stackInit(stack: Stack, capacity: u32): void {
  stack.top = stackBottom(stack);
  stack.capacity = capacity;
}

/** The place of the oldest entry; an empty stack has its top here. */
@inline
export function stackBottom(stack: Stack): u32 {
  return changetype<u32>(stack) + offsetof<Stack>();
}

@inline
export function stackCount(stack: Stack): u32 {
  return (stack.top - stackBottom(stack)) >> 2;
}

@inline
export function stackEntry(stack: Stack, index: u32): u32 {
  return load<u32>(stackBottom(stack) + (index << 2));
}

/** The newest entry, or 0. */
@inline
export function stackTake(stack: Stack): u32 {
  const top = stack.top;
  if (top == stackBottom(stack)) return 0;
  stack.top = top - 4;
  return load<u32>(top - 4);
}

/** The caller never puts more than `capacity` entries: what is listed was taken before. */
@inline
export function stackPut(stack: Stack, entry: u32): void {
  const top = stack.top;
  assert(stackCount(stack) < stack.capacity);
  store<u32>(top, entry);
  stack.top = top + 4;
}
