/** A fuzz case is a byte string. It is read as numbers in small ranges, so that every string means something. */
export class Bytes {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** The next byte; 0 behind the end. */
  u8(): number {
    return this.#at < this.#bytes.length ? this.#bytes[this.#at++] : 0;
  }

  /** The next byte, brought below `count`. */
  below(count: number): number {
    return this.u8() % count;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

/** The hexadecimal text of a case: pairs of digits, spaces between them, and comments from `#` to the line's end. */
export function fromHex(text: string): Uint8Array {
  const digits = text.replace(/#.*$/gm, "").replace(/\s+/g, "");
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error("a case is pairs of hexadecimal digits");
  return Uint8Array.from({ length: digits.length / 2 }, (_, k) =>
    Number.parseInt(digits.slice(2 * k, 2 * k + 2), 16),
  );
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/** What comes behind `# expect:` in a kept case: names of the outcomes that it must reach. */
export function expectedOf(text: string): string[] {
  return [...text.matchAll(/^# expect: *(.+)$/gm)].flatMap(([, names]) => names.trim().split(/[ ,]+/));
}
