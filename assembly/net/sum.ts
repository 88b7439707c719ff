// One's complement sums with SIMD: of bytes where they lie, and of bytes on their way to another place.
//
// Widening every vector of 16-bit words to 32 bits before it is added costs three operations and more.
// Here a block of eight vectors a..h is reduced twice, at two operations a vector together:
//
//   low    the sum of the words modulo 2^16
//   high   the upper byte of avg(avg(avg(a, b), avg(c, d)), avg(avg(e, f), avg(g, h)))
//
// Eight times the average is the sum and, as avg rounds up, at most 12 more; without its lower byte it is up to
// 2040 less. So 2048 * high is the sum but for a rest from -12 to 2040 a block, and as long as the rests of all
// blocks stay within 2^16 together, `low` tells what they are.

const BLOCK: u32 = 128;
/** Bytes that are summed at once. */
const MAX_PIECE: u32 = 31 * BLOCK;
/** More than 31 * 12, so that no rest is negative, and with it 31 * 2040 is still below 2^16. */
const MARGIN: i16 = 512;

/** `sum` and the one's complement sum of `bytes` at `ptr`, which start at an even offset of what is summed. */
export function checksumAdd(sum: u64, ptr: u32, bytes: u32): u64 {
  if (bytes > MAX_PIECE) return addLong(sum, ptr, bytes);
  return addPiece(sum, 0, ptr, bytes, false);
}

// A loop around the piece would keep its constants in registers that the vectors need.
function addLong(sum: u64, ptr: u32, bytes: u32): u64 {
  for (; bytes > MAX_PIECE; bytes -= MAX_PIECE) {
    sum = checksumAdd(sum, ptr, MAX_PIECE);
    ptr += MAX_PIECE;
  }
  return checksumAdd(sum, ptr, bytes);
}

/** As `checksumAdd` for the bytes at `from`, which are copied to `to` at the same time; the two don't overlap. */
export function checksumCopy(sum: u64, to: u32, from: u32, bytes: u32): u64 {
  if (bytes > MAX_PIECE) return copyLong(sum, to, from, bytes);
  return addPiece(sum, to, from, bytes, true);
}

function copyLong(sum: u64, to: u32, from: u32, bytes: u32): u64 {
  for (; bytes > MAX_PIECE; bytes -= MAX_PIECE) {
    sum = checksumCopy(sum, to, from, MAX_PIECE);
    to += MAX_PIECE;
    from += MAX_PIECE;
  }
  return checksumCopy(sum, to, from, bytes);
}

@inline
function addPiece(sum: u64, to: u32, ptr: u32, bytes: u32, copy: bool): u64 {
  let lanes = i32x4.splat(0);
  if (bytes >= BLOCK) {
    const inBlocks = bytes & ~(BLOCK - 1);
    lanes = addBlocks(to, ptr, inBlocks, copy);
    sum -= 8 * MARGIN;
    ptr += inBlocks;
    if (copy) to += inBlocks;
  }
  if (bytes & 64) {
    const left = i32x4.add(widened(to, ptr, 0, copy), widened(to, ptr, 16, copy));
    const right = i32x4.add(widened(to, ptr, 32, copy), widened(to, ptr, 48, copy));
    lanes = i32x4.add(lanes, i32x4.add(left, right));
    ptr += 64;
    if (copy) to += 64;
  }
  if (bytes & 32) {
    lanes = i32x4.add(lanes, i32x4.add(widened(to, ptr, 0, copy), widened(to, ptr, 16, copy)));
    ptr += 32;
    if (copy) to += 32;
  }
  if (bytes & 16) {
    lanes = i32x4.add(lanes, widened(to, ptr, 0, copy));
    ptr += 16;
    if (copy) to += 16;
  }
  // Lanes stay below 2^26, so that the two in a half can be added to those in the other at once.
  const lanesSum = <u64>(i64x2.extract_lane(lanes, 0) + i64x2.extract_lane(lanes, 1));
  return sum + (lanesSum & 0xffffffff) + (lanesSum >> 32) + addRest(to, ptr, bytes, copy);
}

/**
 * The sum in 32-bit lanes, each with two margins; `bytes` are a multiple of BLOCK, at least one and at most
 * MAX_PIECE. Two blocks a turn: a turn costs a question whether to stop.
 */
@inline
function addBlocks(to: u32, ptr: u32, bytes: u32, copy: bool): v128 {
  let low = i16x8.splat(MARGIN);
  let high = i16x8.splat(0);
  const end = ptr + bytes;
  do {
    const a = moved(to, ptr, 0, copy);
    const b = moved(to, ptr, 16, copy);
    const c = moved(to, ptr, 32, copy);
    const d = moved(to, ptr, 48, copy);
    const e = moved(to, ptr, 64, copy);
    const f = moved(to, ptr, 80, copy);
    const g = moved(to, ptr, 96, copy);
    const h = moved(to, ptr, 112, copy);
    low = i16x8.add(low, lowOf(a, b, c, d, e, f, g, h));
    high = i16x8.add(high, highOf(a, b, c, d, e, f, g, h));
    ptr += BLOCK;
    if (copy) to += BLOCK;
    if (ptr == end) break;
    const i = moved(to, ptr, 0, copy);
    const j = moved(to, ptr, 16, copy);
    const k = moved(to, ptr, 32, copy);
    const l = moved(to, ptr, 48, copy);
    const m = moved(to, ptr, 64, copy);
    const n = moved(to, ptr, 80, copy);
    const o = moved(to, ptr, 96, copy);
    const p = moved(to, ptr, 112, copy);
    low = i16x8.add(low, lowOf(i, j, k, l, m, n, o, p));
    high = i16x8.add(high, highOf(i, j, k, l, m, n, o, p));
    ptr += BLOCK;
    if (copy) to += BLOCK;
  } while (ptr != end);
  const rests = i32x4.extadd_pairwise_i16x8_u(i16x8.sub(low, i16x8.shl(high, 11)));
  return i32x4.add(rests, i32x4.shl(i32x4.extadd_pairwise_i16x8_s(high), 11));
}

@inline
function lowOf(a: v128, b: v128, c: v128, d: v128, e: v128, f: v128, g: v128, h: v128): v128 {
  const left = i16x8.add(i16x8.add(a, b), i16x8.add(c, d));
  return i16x8.add(left, i16x8.add(i16x8.add(e, f), i16x8.add(g, h)));
}

@inline
function highOf(a: v128, b: v128, c: v128, d: v128, e: v128, f: v128, g: v128, h: v128): v128 {
  const left = i16x8.avgr_u(i16x8.avgr_u(a, b), i16x8.avgr_u(c, d));
  const right = i16x8.avgr_u(i16x8.avgr_u(e, f), i16x8.avgr_u(g, h));
  return i16x8.shr_u(i16x8.avgr_u(left, right), 8);
}

/** Loads a vector, and stores it where it goes. */
@inline
function moved(to: u32, ptr: u32, offset: u32, copy: bool): v128 {
  const vector = v128.load(ptr + offset);
  if (copy) v128.store(to + offset, vector);
  return vector;
}

@inline
function widened(to: u32, ptr: u32, offset: u32, copy: bool): v128 {
  return i32x4.extadd_pairwise_i16x8_u(moved(to, ptr, offset, copy));
}

/** The last 15 bytes or fewer; a last odd byte is the first of its word. */
@inline
function addRest(to: u32, ptr: u32, bytes: u32, copy: bool): u64 {
  let sum: u64 = 0;
  if (bytes & 8) {
    const words = load<u64>(ptr);
    if (copy) store<u64>(to, words);
    sum = (words & 0xffffffff) + (words >> 32);
    ptr += 8;
    if (copy) to += 8;
  }
  if (bytes & 4) {
    const words = load<u32>(ptr);
    if (copy) store<u32>(to, words);
    sum += words;
    ptr += 4;
    if (copy) to += 4;
  }
  if (bytes & 2) {
    const word = load<u16>(ptr);
    if (copy) store<u16>(to, word);
    sum += word;
    ptr += 2;
    if (copy) to += 2;
  }
  if (bytes & 1) {
    const byte = load<u8>(ptr);
    if (copy) store<u8>(to, byte);
    sum += byte;
  }
  return sum;
}
