/** The network offloads against the same in C, which has vectors as wide as the machine's; ours have 16 bytes. */
import { GSO_SIZE, LARGE_FRAME, OffloadBench, SEGMENTS } from "../offload-frames.ts";
import type { Twin } from "./native.ts";
import { arm, detailLine, takeTurns, timesOf, verdictLine } from "./rounds.ts";

const FRAME = 1500;
/** Two IPv4 addresses and two ports. */
const HASH_INPUT = 12;
const ROUNDS = 60;
const MS = 4;
const COUNT = 1000;
const TWIN_CHECKSUMS = 100_000;
const TWIN_HASHES = 300_000;
const TWIN_COPIES = 1500;
const LARGE_COUNT = 10;

export async function offloadLines(twin: Twin): Promise<string[]> {
  const bench = await OffloadBench.open();
  if (bench.segment(1) !== SEGMENTS)
    throw new Error("the frame of the benchmark was not cut as it should be");
  const figures = await takeTurns(
    [
      arm("checksum", COUNT, () => bench.checksum(FRAME, COUNT), MS),
      { name: "C checksum", sample: () => twin.checksum(FRAME, TWIN_CHECKSUMS) },
      arm("hash", COUNT, () => bench.toeplitz(HASH_INPUT, COUNT), MS),
      { name: "C hash", sample: () => twin.toeplitz(HASH_INPUT, TWIN_HASHES) },
      arm("segmentation", LARGE_COUNT, () => bench.segment(LARGE_COUNT), MS),
      { name: "C copy and checksum", sample: () => twin.copyChecksum(LARGE_FRAME, TWIN_COPIES) },
    ],
    ROUNDS,
  );
  const line = (measure: string, atMost: number, where: string, ours: string, theirs: string) => [
    verdictLine(measure, { atMost }, [{ where, interval: timesOf(figures, ours, theirs) }]),
    detailLine("ns, engine and C", figures, [ours, theirs]),
  ];
  return [
    ...line("checksum against C's", 1.3, `${FRAME} bytes`, "checksum", "C checksum"),
    ...line("Toeplitz hash against C's", 1.5, `${HASH_INPUT} bytes`, "hash", "C hash"),
    ...line(
      "segmentation against C's memcpy and checksum of the same bytes",
      2,
      `${LARGE_FRAME} bytes into segments of ${GSO_SIZE}`,
      "segmentation",
      "C copy and checksum",
    ),
  ];
}
