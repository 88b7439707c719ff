// FNV-1a, 64 bits: small, published, and easy to compute again elsewhere. It is only run untimed.

const FNV_PRIME: u64 = 0x100000001b3;

/** The offset basis: the digest of nothing. */
export const FNV_BASIS: u64 = 0xcbf29ce484222325;

export function fnv1a(digest: u64, ptr: u32, bytes: u32): u64 {
  for (const end = ptr + bytes; ptr < end; ptr++) digest = (digest ^ load<u8>(ptr)) * FNV_PRIME;
  return digest;
}

/** The four little-endian bytes of a word. */
export function fnv1aWord(digest: u64, word: u32): u64 {
  for (let shift: u32 = 0; shift < 32; shift += 8) digest = (digest ^ ((word >> shift) & 0xff)) * FNV_PRIME;
  return digest;
}
