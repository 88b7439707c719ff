// A free list as a LIFO stack of pointers in private memory: take and put at the head, one word
// an entry, no link inside what is listed, because a device could write there (H-D-04).
//
//   Stack | count | capacity | entry 0 | entry 1 | ... | entry count-1 | (free) ...

@unmanaged
export class Stack {
  count: u32;
  capacity: u32;
}

/** Bytes for a stack of `capacity` pointers. */
export function stackBytes(capacity: u32): u32 {
  return offsetof<Stack>() + (capacity << 2);
}

export function stackInit(stack: Stack, capacity: u32): void {
  stack.count = 0;
  stack.capacity = capacity;
}

@inline
export function stackEntry(stack: Stack, index: u32): u32 {
  return load<u32>(changetype<u32>(stack) + (index << 2), offsetof<Stack>());
}

/** The newest entry, or 0. */
@inline
export function stackTake(stack: Stack): u32 {
  const count = stack.count;
  if (!count) return 0;
  stack.count = count - 1;
  return stackEntry(stack, count - 1);
}

/** The caller never puts more than `capacity` entries: what is listed was taken before. */
@inline
export function stackPut(stack: Stack, entry: u32): void {
  const count = stack.count;
  assert(count < stack.capacity);
  store<u32>(changetype<u32>(stack) + (count << 2), entry, offsetof<Stack>());
  stack.count = count + 1;
}
