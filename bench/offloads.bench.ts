/** The network offloads: checksums and hashes by length, in the engine and in plain JavaScript, and segmentation. */
import { Fnv1a64 } from "../src/net/digest.ts";
import { LARGE_FRAME, OffloadBench, SEGMENTS } from "./offload-frames.ts";
import type { Suite, Task } from "./suite.ts";

const LENGTHS = [20, 64, 256, 1500, 9000, 65_535];
const HASH_INPUTS = [8, 12, 32, 36];
const HASHES = 4096;

export const suite: Suite = {
  name: "offloads",
  about:
    "checksum in the engine and in JavaScript, by length; Toeplitz hash; a frame of 64 KiB into segments",
  operation: "packet",
  async open() {
    const bench = await OffloadBench.open();
    return [
      ...LENGTHS.flatMap((bytes) => checksums(bench, bytes)),
      ...HASH_INPUTS.map((bytes) => hashes(bench, bytes)),
      segmentation(bench),
    ];
  },
};

function checksums(bench: OffloadBench, bytes: number): Task[] {
  const count = Math.max(4, Math.ceil(65_536 / bytes));
  const frame = bench.engine.bytes(bench.frame, LARGE_FRAME);
  const common = { operations: count, work: `${bytes} bytes`, group: `${bytes} bytes` };
  return [
    {
      ...common,
      name: `checksum, ${bytes} bytes`,
      run: () => bench.checksum(bytes, count),
      digest: () => new Fnv1a64().addLength(bench.checksum(bytes, 1)).hex(),
    },
    {
      ...common,
      name: `checksum in JavaScript, ${bytes} bytes`,
      run: () => {
        for (let i = 0; i < count; i++) plainChecksum(frame, bytes);
      },
      digest: () => new Fnv1a64().addLength(plainChecksum(frame, bytes)).hex(),
    },
  ];
}

/** The folded sum of little-endian words. */
function plainChecksum(frame: Uint8Array, bytes: number): number {
  let sum = 0;
  const even = bytes & ~1;
  for (let i = 0; i < even; i += 2) sum += frame[i] | (frame[i + 1] << 8);
  if (bytes > even) sum += frame[even];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

function hashes(bench: OffloadBench, bytes: number): Task {
  return {
    name: `Toeplitz, ${bytes} bytes`,
    operations: HASHES,
    run: () => bench.toeplitz(bytes, HASHES),
    digest: () => new Fnv1a64().addLength(bench.toeplitz(bytes, 1)).hex(),
    work: `hash of ${bytes} bytes`,
    group: "hash",
  };
}

function segmentation(bench: OffloadBench): Task {
  return {
    name: `segmentation, ${LARGE_FRAME} bytes into ${SEGMENTS}`,
    operations: 8,
    run: () => bench.segment(8),
    digest: () => {
      bench.segment(1);
      const digest = new Fnv1a64();
      for (const segment of bench.cut()) digest.addBytes(segment, 0, segment.length);
      return digest.hex();
    },
    work: "segmentation",
    group: "segmentation",
  };
}
