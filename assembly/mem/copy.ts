// Copies by size: vectors up to 512 bytes, where `memory.copy` pays for its call, and
// `memory.copy` above (measured in bench/copies.bench.ts). Regions must not overlap.

/** Copies `bytes` from `from` to `to`. */
export function copyBytes(to: u32, from: u32, bytes: u32): void {
  if (bytes > 512) {
    memory.copy(to, from, bytes);
    return;
  }
  if (bytes >= 16) {
    // The last vector overlaps the one before it, so that no byte loop is left.
    const last = bytes - 16;
    for (let at: u32 = 0; at < last; at += 16) v128.store(to + at, v128.load(from + at));
    v128.store(to + last, v128.load(from + last));
    return;
  }
  if (bytes >= 8) {
    const last = bytes - 8;
    const head = load<u64>(from);
    store<u64>(to + last, load<u64>(from + last));
    store<u64>(to, head);
    return;
  }
  if (bytes >= 4) {
    const last = bytes - 4;
    const head = load<u32>(from);
    store<u32>(to + last, load<u32>(from + last));
    store<u32>(to, head);
    return;
  }
  for (let at: u32 = 0; at < bytes; at++) store<u8>(to + at, load<u8>(from + at));
}
