/** Copies of every size, and the digest. */
import { describe, expect, it } from "vitest";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";

describe("copyBytes", () => {
  it("copies every size from 0 to 1100 between any alignments, and writes no byte beside", async () => {
    const engine = await createEngine({ queueSize: 1, bufferBytes: 8192 });
    const { wasm, buffers } = engine;
    const random = new Random(80);
    const source = engine.bytes(buffers.ptr, 2048);
    const target = engine.bytes(buffers.ptr + 4096, 2048);
    random.fill(source);
    const before = source.slice();
    const wrong: string[] = [];
    for (let bytes = 0; bytes <= 1100; bytes++) {
      for (let round = 0; round < 6; round++) {
        const from = random.int(0, 63);
        const to = 64 + random.int(0, 63);
        target.fill(0xa5);
        wasm.copyBytes(buffers.ptr + 4096 + to, buffers.ptr + from, bytes);
        const expected = new Uint8Array(2048).fill(0xa5);
        expected.set(before.subarray(from, from + bytes), to);
        if (Buffer.compare(target, expected) !== 0) wrong.push(`${bytes} bytes from ${from} to ${to}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(Buffer.compare(source, before)).toBe(0);
  });

  it("copies between places that touch", async () => {
    const engine = await createEngine({ queueSize: 1, bufferBytes: 8192 });
    const { wasm, buffers } = engine;
    const bytes = engine.bytes(buffers.ptr, 4096);
    for (const size of [1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 512, 513, 1000]) {
      for (const forward of [true, false]) {
        new Random(size).fill(bytes);
        const [from, to] = forward ? [1000, 1000 + size] : [1000 + size, 1000];
        const expected = bytes.slice();
        expected.copyWithin(to, from, from + size);
        wasm.copyBytes(buffers.ptr + to, buffers.ptr + from, size);
        expect(Buffer.compare(bytes, expected), `${size}`).toBe(0);
      }
    }
  });
});

describe("fnv1a", () => {
  it.each([
    ["", 0xcbf29ce484222325n],
    ["a", 0xaf63dc4c8601ec8cn],
    ["b", 0xaf63df4c8601f1a5n],
    ["foobar", 0x85944171f73967e8n],
    ["chongo was here!\n", 0x46810940eff5f915n],
  ])("gives the published value for %j", async (text, published) => {
    const engine = await createEngine({ queueSize: 1, bufferBytes: 4096 });
    const bytes = new TextEncoder().encode(text);
    engine.bytes(engine.buffers.ptr, bytes.length).set(bytes);
    const digest = engine.wasm.fnv1a(0xcbf29ce484222325n, engine.buffers.ptr, bytes.length);
    expect(BigInt.asUintN(64, digest)).toBe(published);
  });

  it("of two pieces one after the other is that of the whole", async () => {
    const engine = await createEngine({ queueSize: 1, bufferBytes: 4096 });
    const { wasm, buffers } = engine;
    new Random(81).fill(engine.bytes(buffers.ptr, 200));
    const whole = wasm.fnv1a(1n, buffers.ptr, 200);
    for (const cut of [0, 1, 77, 200]) {
      const first = wasm.fnv1a(1n, buffers.ptr, cut);
      expect(wasm.fnv1a(first, buffers.ptr + cut, 200 - cut)).toBe(whole);
    }
  });
});
