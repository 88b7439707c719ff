import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Fnv1a64 } from "../../src/net/digest.ts";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The definition, word by word. */
function reference(bytes: Uint8Array): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffff_ffff_ffff_ffffn;
  }
  return hash.toString(16).padStart(16, "0");
}

describe("the digest", () => {
  it("gives the published FNV-1a 64 values", () => {
    const published = [
      ["", "cbf29ce484222325"],
      ["a", "af63dc4c8601ec8c"],
      ["b", "af63df4c8601f1a5"],
      ["foobar", "85944171f73967e8"],
    ];
    for (const [text, digest] of published) {
      expect(new Fnv1a64().addBytes(bytesOf(text)).hex()).toBe(digest);
    }
  });

  it("agrees with the definition in big integers on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(new Fnv1a64().addBytes(bytes).hex()).toBe(reference(bytes));
      }),
    );
  });

  it("does not depend on how the bytes are cut into pieces", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1 }), fc.nat(), (bytes, at) => {
        const middle = at % bytes.length;
        const pieces = new Fnv1a64().addBytes(bytes, 0, middle).addBytes(bytes, middle);
        expect(pieces.hex()).toBe(reference(bytes));
      }),
    );
  });

  it("puts the length of a packet as 4 little-endian bytes before it", () => {
    const packet = new Uint8Array(0x0102_03).fill(7);
    const flat = new Uint8Array(4 + packet.length);
    flat.set([0x03, 0x02, 0x01, 0x00]);
    flat.set(packet, 4);
    const expected = new Fnv1a64().addBytes(flat).hex();
    expect(new Fnv1a64().addPacket(packet).hex()).toBe(expected);
    expect(new Fnv1a64().addLength(packet.length).addBytes(packet).hex()).toBe(expected);
  });
});
