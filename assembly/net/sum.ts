// One's complement sums with SIMD: of bytes where they lie, and of bytes on their way to another place.
//
// Widening every vector of 16-bit words to 32 bits before it is added costs three operations and more.
// Here a block of eight vectors a..h is reduced twice, at two operations a vector together:
//
//   low    the sum of the words modulo 2^16, in 16-bit lanes
//   high   avg(avg(avg(a, b), avg(c, d)), avg(avg(e, f), avg(g, h))), widened to 32-bit lanes
//
// avg rounds up, so eight times `high` is the sum and at most 12 too much a lane: 8 * high - excess. As the
// excess of all blocks together stays below 2^16, `low` tells it exactly, and with it the exact sum.

const BLOCK: u32 = 128;
/** A 32-bit lane of 2048 blocks has an excess of at most 2048 * 24, and holds eight times `high`. */
const MAX_BLOCK_BYTES: u32 = 2048 * BLOCK;

/** `sum` and the one's complement sum of `bytes` at `ptr`, which start at an even offset of what is summed. */
export function checksumAdd(sum: u64, ptr: u32, bytes: u32): u64 {
  return add(sum, 0, ptr, bytes, false);
}

/** As `checksumAdd` for the bytes at `from`, which are copied to `to` at the same time; the two don't overlap. */
export function checksumCopy(sum: u64, to: u32, from: u32, bytes: u32): u64 {
  return add(sum, to, from, bytes, true);
}

@inline
function add(sum: u64, to: u32, ptr: u32, bytes: u32, copy: bool): u64 {
  for (; bytes > MAX_BLOCK_BYTES; bytes -= MAX_BLOCK_BYTES) {
    sum += sumOfLanes(addBlocks(to, ptr, MAX_BLOCK_BYTES, copy));
    ptr += MAX_BLOCK_BYTES;
    if (copy) to += MAX_BLOCK_BYTES;
  }
  let lanes = i32x4.splat(0);
  if (bytes >= BLOCK) {
    const inBlocks = bytes & ~(BLOCK - 1);
    lanes = addBlocks(to, ptr, inBlocks, copy);
    ptr += inBlocks;
    if (copy) to += inBlocks;
  }
  if (bytes & 64) {
    const low = i32x4.add(widened(to, ptr, 0, copy), widened(to, ptr, 16, copy));
    const high = i32x4.add(widened(to, ptr, 32, copy), widened(to, ptr, 48, copy));
    lanes = i32x4.add(lanes, i32x4.add(low, high));
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
  return sum + sumOfLanes(lanes) + addRest(to, ptr, bytes, copy);
}

/** `bytes` are a multiple of BLOCK, and at least one; the sum in 32-bit lanes. */
@inline
function addBlocks(to: u32, ptr: u32, bytes: u32, copy: bool): v128 {
  let low0 = i16x8.splat(0);
  let low1 = i16x8.splat(0);
  let high = i32x4.splat(0);
  const end = ptr + bytes;
  for (; ptr != end; ptr += BLOCK) {
    const a = moved(to, ptr, 0, copy);
    const b = moved(to, ptr, 16, copy);
    const c = moved(to, ptr, 32, copy);
    const d = moved(to, ptr, 48, copy);
    const e = moved(to, ptr, 64, copy);
    const f = moved(to, ptr, 80, copy);
    const g = moved(to, ptr, 96, copy);
    const h = moved(to, ptr, 112, copy);
    if (copy) to += BLOCK;
    low0 = i16x8.add(low0, i16x8.add(i16x8.add(a, b), i16x8.add(c, d)));
    low1 = i16x8.add(low1, i16x8.add(i16x8.add(e, f), i16x8.add(g, h)));
    const left = i16x8.avgr_u(i16x8.avgr_u(a, b), i16x8.avgr_u(c, d));
    const right = i16x8.avgr_u(i16x8.avgr_u(e, f), i16x8.avgr_u(g, h));
    high = i32x4.add(high, i32x4.extadd_pairwise_i16x8_u(i16x8.avgr_u(left, right)));
  }
  const low = i32x4.extadd_pairwise_i16x8_u(i16x8.add(low0, low1));
  const total = i32x4.shl(high, 3);
  const excess = v128.and(i32x4.sub(total, low), i32x4.splat(0xffff));
  return i32x4.sub(total, excess);
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

@inline
function sumOfLanes(lanes: v128): u64 {
  const sums = i64x2.add(i64x2.extend_low_i32x4_u(lanes), i64x2.extend_high_i32x4_u(lanes));
  return <u64>(i64x2.extract_lane(sums, 0) + i64x2.extract_lane(sums, 1));
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
