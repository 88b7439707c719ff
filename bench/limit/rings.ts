/** Whole rounds: the engine's rings and the plain one against the C twin. */
import type { TableSource } from "../../src/names.ts";
import { PACKETS } from "../packets.ts";
import { DrivenRing, openRings, PlainCase, type RingCase } from "../support.ts";
import type { Twin } from "./native.ts";
import { type Arm, arm, detailLine, type Figures, takeTurns, timesOf, verdictLine } from "./rounds.ts";

const SGS = [1, 2, 3, 4];
const ROUNDS = 40;
/** About 10 ms of the C twin. */
const TWIN_PASSES = 500;

/** Bars on the engine's own loop. */
const IN_ENGINE: readonly { format: "split" | "packed"; tables: TableSource }[] = [
  { format: "split", tables: "freelist" },
  { format: "split", tables: "slot" },
  { format: "packed", tables: "direct" },
  { format: "packed", tables: "freelist" },
  { format: "packed", tables: "slot" },
];
/** Published without a bar. */
const UNCACHED = [
  { format: "split", tables: "heap" },
  { format: "packed", tables: "heap" },
] as const;

const CASES = [...IN_ENGINE, ...UNCACHED].flatMap(({ format, tables }) =>
  SGS.map((n): RingCase => ({ format, tables, n })),
);
const DRIVEN: RingCase = { format: "split", tables: "freelist", n: 2 };

/** Measures them all in the same rounds, and returns the lines to print. */
export async function ringLines(twin: Twin): Promise<string[]> {
  const figures = await takeTurns(await arms(twin), ROUNDS);
  const against = (ours: string, baseline: string) =>
    SGS.map((n) => ({
      where: `N=${n}`,
      interval: timesOf(figures, `${ours}/sg${n}`, `${baseline}/sg${n}`),
    }));
  const lines: string[] = [];
  for (const { format, tables } of IN_ENGINE) {
    const name = `${format}/${tables}`;
    lines.push(
      verdictLine(
        `in-engine ${format} ${tables} against C`,
        { atMost: 1.1 },
        against(`ours ${name}`, `C ${name}`),
      ),
      details(figures, { ours: `ours ${name}`, C: `C ${name}` }),
    );
  }
  const driven = {
    where: `N=${DRIVEN.n}`,
    interval: timesOf(figures, "driven", `C split/freelist/sg${DRIVEN.n}`),
  };
  const plain = "plain split/freelist";
  lines.push(
    verdictLine("split freelist driven from JavaScript against C", { atMost: 1.8 }, [driven]),
    detailLine("ns a packet", figures, ["driven"]),
    verdictLine(
      "plain TypeScript split freelist against C",
      { atMost: 2.7 },
      against(plain, "C split/freelist"),
    ),
    details(figures, { plain, C: "C split/freelist" }),
    verdictLine(
      "plain TypeScript split freelist against in-engine",
      { atLeast: 2.2 },
      against(plain, "ours split/freelist"),
    ),
  );
  for (const { format } of UNCACHED) {
    for (const cached of ["freelist", "slot"]) {
      const ratios = against(`ours ${format}/${cached}`, `ours ${format}/heap`);
      const all = ratios.map(({ where, interval }) => `${where} ${interval.value.toFixed(2)}`).join(", ");
      lines.push(`whole round, ${format} ${cached} against heap, without a bar: ${all}`);
    }
  }
  return lines;
}

/** Ours and the twin's stand next to each other; so do those that are compared with the same arm. */
async function arms(twin: Twin): Promise<Arm[]> {
  const rings = await openRings([...CASES, DRIVEN]);
  const driven = new DrivenRing(rings[CASES.length]);
  return CASES.flatMap(({ format, tables, n }, i) => {
    const name = `${format}/${tables}/sg${n}`;
    const list = [arm(`ours ${name}`, PACKETS, () => rings[i].pass())];
    if (tables === "heap") return list;
    list.push({ name: `C ${name}`, sample: () => twin.round(format, tables, n, TWIN_PASSES) });
    if (format === "split" && tables === "freelist") {
      const plain = new PlainCase("freelist", n);
      list.push(arm(plain.name, PACKETS, () => plain.pass()));
      if (n === DRIVEN.n) list.push(arm("driven", PACKETS, () => driven.pass()));
    }
    return list;
  });
}

function details(figures: Figures, sides: Record<string, string>): string {
  return Object.entries(sides)
    .map(([label, name]) =>
      detailLine(
        `${label}, ns a packet, N=1..4`,
        figures,
        SGS.map((n) => `${name}/sg${n}`),
      ),
    )
    .join("\n");
}
