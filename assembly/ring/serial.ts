// Index arithmetic modulo 2^16 (S-B-07), in one place: nobody else compares ring indices.

/** How far `newer` is ahead of `older`. */
@inline
export function ahead(newer: u32, older: u32): u32 {
  return (newer - older) & 0xffff;
}
