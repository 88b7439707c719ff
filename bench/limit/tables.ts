/** Taking and giving memory: the general allocator by itself, and the table caches against it. */
import { cpus } from "node:os";
import { MAX_SGS } from "../packets.ts";
import { openEngine, openRings } from "../support.ts";
import type { Twin } from "./native.ts";
import { arm, detailLine, medianOf, takeTurns, timesOf, verdictLine } from "./rounds.ts";

const SGS = [1, 2, 3, 4];
const ROUNDS = 40;
const COUNT = 1024;
const TWIN_COUNT = 100_000;
const BYTES = 64;
const SOURCES = ["freelist", "slot", "heap"] as const;

export async function tableLines(twin: Twin): Promise<string[]> {
  const { wasm, ...engine } = await openEngineWithHeap();
  const rings = await openRings(SOURCES.map((tables) => ({ format: "split", tables, n: MAX_SGS })));
  const figures = await takeTurns(
    [
      arm("TLSF", COUNT, () => wasm.tlsfTakeGive(engine.control, BYTES, COUNT), 4),
      { name: "C TLSF", sample: () => twin.tlsf(BYTES, TWIN_COUNT) },
      ...SGS.flatMap((n) =>
        rings.map(({ engine: { wasm: ours }, driver, ringCase: { tables } }) =>
          arm(`${tables}/sg${n}`, COUNT, () => ours.tableTakeGive(driver.ptr, n, COUNT), 4),
        ),
      ),
    ],
    ROUNDS,
  );
  const lines = [
    verdictLine(
      `TLSF, take and give of ${BYTES} bytes with nothing else live, on ${cpus()[0].model.trim()}`,
      { atMost: 20 },
      [{ where: `${BYTES} bytes`, interval: medianOf(figures, "TLSF") }],
      "ns",
    ),
    detailLine("C, ns", figures, ["C TLSF"]),
  ];
  for (const cached of ["freelist", "slot"]) {
    lines.push(
      verdictLine(
        `${cached}, take and give against TLSF's`,
        { atMost: 0.25 },
        SGS.map((n) => ({
          where: `N=${n}`,
          interval: timesOf(figures, `${cached}/sg${n}`, `heap/sg${n}`),
        })),
      ),
      detailLine(
        "ns, N=1..4",
        figures,
        SGS.map((n) => `${cached}/sg${n}`),
      ),
    );
  }
  lines.push(
    detailLine(
      "TLSF, ns, N=1..4",
      figures,
      SGS.map((n) => `heap/sg${n}`),
    ),
  );
  return lines;
}

async function openEngineWithHeap() {
  const engine = await openEngine({ heapBytes: 1 << 20 });
  return { wasm: engine.wasm, control: engine.region("heap control").ptr };
}
