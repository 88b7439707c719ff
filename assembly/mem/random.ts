// Marsaglia's xorshift of 32 bits with 13, 17, 5: for what has to look random and be the same in every run. The
// state lies with whoever draws, and is never 0.

/** The state after `x`, which is the next number, too. */
@inline
export function xorshift(x: u32): u32 {
  x ^= x << 13;
  x ^= x >> 17;
  return x ^ (x << 5);
}
