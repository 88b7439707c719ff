// Copies by size: up to 128 bytes in a few moves without a loop, `memory.copy` above, where its call
// is paid for (measured in bench/copies.bench.ts). Regions must not overlap.

/** Copies `bytes` from `from` to `to`. */
export function copyBytes(to: u32, from: u32, bytes: u32): void {
  if (bytes > 128) {
    memory.copy(to, from, bytes);
    return;
  }
  // The moves from the end overlap those from the start, so that no rest is left.
  if (bytes >= 16) {
    const last = bytes - 16;
    if (bytes > 64) {
      v128.store(to, v128.load(from, 32), 32);
      v128.store(to, v128.load(from, 48), 48);
      v128.store(to + last - 48, v128.load(from + last - 48));
      v128.store(to + last - 32, v128.load(from + last - 32));
    }
    if (bytes > 32) {
      v128.store(to, v128.load(from, 16), 16);
      v128.store(to + last - 16, v128.load(from + last - 16));
    }
    v128.store(to, v128.load(from));
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
