// A set of small numbers as a hierarchical bitmap: a bit for each number, above them a bit for each
// word that isn't 0, and so on up to a single word. So the highest member is found in a step a level.
//
//   level 2   | word |                                   up to 64^3 numbers
//   level 1   | word | word | ...      bit w: word w below is not 0
//   level 0   | word | word | word | ...   bit n: n is a member
//
// Levels lie in memory of their own, lowest first; `Bitmap` says where.

const WORD_BITS: u32 = 6;
const WORD_MASK: u32 = 63;
/** Enough for 2^24 numbers. */
const MAX_LEVELS: u32 = 4;

@unmanaged
export class Bitmap {
  levels: u32;
  level0: u32;
  level1: u32;
  level2: u32;
  level3: u32;
}

/** Bytes of the levels of a set of numbers below `count`. */
export function bitmapBytes(count: u32): u32 {
  let bytes: u32 = 0;
  do {
    count = (count + WORD_MASK) >> WORD_BITS;
    bytes += count << 3;
  } while (count > 1);
  return bytes;
}

/** Makes an empty set of numbers below `count`, not 0, with its levels at `at`: the next free byte. */
export function bitmapInit(map: Bitmap, at: u32, count: u32): u32 {
  memory.fill(at, 0, bitmapBytes(count));
  map.levels = 0;
  do {
    assert(map.levels < MAX_LEVELS);
    count = (count + WORD_MASK) >> WORD_BITS;
    store<u32>(changetype<u32>(map) + (map.levels << 2), at, offsetof<Bitmap>("level0"));
    map.levels++;
    at += count << 3;
  } while (count > 1);
  return at;
}

/** The place of a word of a level. */
@inline
function wordPtr(map: Bitmap, level: u32, word: u32): u32 {
  return load<u32>(changetype<u32>(map) + (level << 2), offsetof<Bitmap>("level0")) + (word << 3);
}

export function bitmapAdd(map: Bitmap, n: u32): void {
  for (let level: u32 = 0; level < map.levels; level++) {
    const at = wordPtr(map, level, n >> WORD_BITS);
    const word = load<u64>(at);
    store<u64>(at, word | ((<u64>1) << (n & WORD_MASK)));
    if (word) return;
    n >>= WORD_BITS;
  }
}

export function bitmapRemove(map: Bitmap, n: u32): void {
  for (let level: u32 = 0; level < map.levels; level++) {
    const at = wordPtr(map, level, n >> WORD_BITS);
    const word = load<u64>(at) & ~((<u64>1) << (n & WORD_MASK));
    store<u64>(at, word);
    if (word) return;
    n >>= WORD_BITS;
  }
}

@inline
export function bitmapHas(map: Bitmap, n: u32): bool {
  return ((load<u64>(wordPtr(map, 0, n >> WORD_BITS)) >> (n & WORD_MASK)) & 1) != 0;
}

@inline
export function bitmapIsEmpty(map: Bitmap): bool {
  return load<u64>(wordPtr(map, map.levels - 1, 0)) == 0;
}

/** The highest member of a set that is not empty. */
export function bitmapHighest(map: Bitmap): u32 {
  let n: u32 = 0;
  for (let level = map.levels; level > 0; level--) {
    n = (n << WORD_BITS) | (WORD_MASK - <u32>clz<u64>(load<u64>(wordPtr(map, level - 1, n))));
  }
  return n;
}

/** Whether every bit above level 0 says what is below it, for numbers below `count`. */
export function bitmapIsSound(map: Bitmap, count: u32): bool {
  for (let level: u32 = 1; level < map.levels; level++) {
    const words = (count + WORD_MASK) >> WORD_BITS;
    for (let word: u32 = 0; word < words; word++) {
      const said = (load<u64>(wordPtr(map, level, word >> WORD_BITS)) >> (word & WORD_MASK)) & 1;
      if ((said != 0) != (load<u64>(wordPtr(map, level - 1, word)) != 0)) return false;
    }
    count = words;
  }
  return true;
}
