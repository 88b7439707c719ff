// Publishing and observing across halves. In a private memory one thread runs both, and plain
// accesses are enough; in a shared memory every such access is atomic and sequentially
// consistent, which also is the store-to-load barrier that S-D-17 and P-D-14 ask for: wasm has no
// weaker order, and `atomic.fence` does not validate in this compiler.

/** Stores a 16-bit index or flags word after everything stored before it. */
@inline
export function release16(ptr: u32, value: u32): void {
  if (ASC_FEATURE_THREADS) atomic.store<u16>(ptr, <u16>value);
  else store<u16>(ptr, <u16>value);
}

/** Loads a 16-bit index or flags word before everything loaded after it. */
@inline
export function acquire16(ptr: u32): u32 {
  if (ASC_FEATURE_THREADS) return atomic.load<u16>(ptr);
  return load<u16>(ptr);
}

/** Stores the len, id and flags of a packed descriptor as one: the flags are last by being at once. */
@inline
export function release64(ptr: u32, value: u64): void {
  if (ASC_FEATURE_THREADS) atomic.store<u64>(ptr, value);
  else store<u64>(ptr, value);
}

/** Loads the len, id and flags of a packed descriptor as one snapshot. */
@inline
export function acquire64(ptr: u32): u64 {
  if (ASC_FEATURE_THREADS) return atomic.load<u64>(ptr);
  return load<u64>(ptr);
}

/** Loads a 32-bit event structure before everything loaded after it. */
@inline
export function acquire32(ptr: u32): u32 {
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(ptr);
  return load<u32>(ptr);
}

/** Stores a 32-bit event structure after everything stored before it. */
@inline
export function release32(ptr: u32, value: u32): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(ptr, value);
  else store<u32>(ptr, value);
}
