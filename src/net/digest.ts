/*
 * FNV-1a, 64 bits: hash = (hash ^ byte) * (2^40 + 0x1b3) mod 2^64. The hash is kept as two 32-bit halves, and
 * the multiplication goes through 16-bit limbs, because a BigInt for every byte would be garbage.
 */
const OFFSET_BASIS_HIGH = 0xcbf29ce4 | 0;
const OFFSET_BASIS_LOW = 0x84222325 | 0;
const PRIME_LOW = 0x1b3;

/** A digest that is fed piece by piece; how the pieces are cut makes no difference. */
export class Fnv1a64 {
  #high = OFFSET_BASIS_HIGH;
  #low = OFFSET_BASIS_LOW;

  /** Adds `bytes[from]` up to, not including, `bytes[to]`. */
  addBytes(bytes: Uint8Array, from = 0, to = bytes.length): this {
    let high = this.#high;
    let low = this.#low;
    for (let i = from; i < to; i++) {
      low ^= bytes[i];
      const limb0 = (low & 0xffff) * PRIME_LOW;
      const limb1 = (low >>> 16) * PRIME_LOW + (limb0 >>> 16);
      // 2^40 of the prime: the lower half, 8 bits further up, lands in the upper half.
      high = (Math.imul(high, PRIME_LOW) + (limb1 >>> 16) + (low << 8)) | 0;
      low = (limb1 << 16) | (limb0 & 0xffff);
    }
    this.#high = high;
    this.#low = low;
    return this;
  }

  /** Adds a packet's length as 4 little-endian bytes; its bytes follow with `addBytes`. */
  addLength(length: number): this {
    return this.addBytes(Uint8Array.of(length, length >>> 8, length >>> 16, length >>> 24));
  }

  /** Adds a whole packet: its length, then its bytes. */
  addPacket(data: Uint8Array): this {
    return this.addLength(data.length).addBytes(data);
  }

  /** The digest of everything added so far as 16 lowercase hex digits. */
  hex(): string {
    return hex32(this.#high) + hex32(this.#low);
  }
}

function hex32(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}
