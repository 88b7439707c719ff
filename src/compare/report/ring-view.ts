/** How the reports show cases that move packets through bare rings. */
import { inShort } from "../published.ts";
import type { CaseResult, Counters } from "../result.ts";
import { describeFrame, perPacket, plural } from "./format.ts";
import { type Dimension, type Group, groupUnder, type Series, type View, varies } from "./view.ts";

const COUNTERS: readonly { key: keyof Counters; short: string; long: string }[] = [
  { key: "tableTakes", short: "takes", long: "table takes" },
  { key: "tableHits", short: "hits", long: "table hits" },
  { key: "heapFalls", short: "heap", long: "falls to heap" },
  { key: "directFalls", short: "direct", long: "falls to direct" },
  { key: "localTakes", short: "local", long: "local takes" },
  { key: "remoteTakes", short: "remote", long: "remote takes" },
  { key: "doorbells", short: "bells", long: "doorbells" },
  { key: "interrupts", short: "irqs", long: "interrupts" },
];

/** Its column says nothing that those beside it don't. */
const WITHOUT_COLUMN: keyof Counters = "localTakes";

const SERIES: readonly Series[] = [
  { name: "heap", color: "var(--heap)", symbol: "square", dash: "none" },
  { name: "freelist", color: "var(--freelist)", symbol: "circle", dash: "12 3" },
  { name: "grow", color: "var(--grow)", symbol: "triangle", dash: "6 3" },
  { name: "slot", color: "var(--slot)", symbol: "diamond", dash: "2 3" },
  { name: "per-node", color: "var(--per-node)", symbol: "plus", dash: "8 3 2 3" },
  { name: "direct", color: "currentColor", symbol: "times", dash: "1 3" },
];

/** The table sources that the conclusion speaks of: the question is what they gain over the allocator. */
const CACHES = ["freelist", "slot"];

const TOUCH = { none: "payload not touched", header: "header read", copy: "payload copied" };

const frame: Dimension = { text: (c) => describeFrame(c.frame), stands: "title" };
const sgs: Dimension = { text: ({ sg }) => `${plural(sg, "sg")} a packet`, stands: "title" };
const others: readonly Dimension[] = [
  ({ batch }: CaseResult) => `bursts of ${batch}`,
  ({ ringSize }: CaseResult) => `ring ${ringSize}`,
  ({ threshold }: CaseResult) => `threshold ${threshold}`,
  ({ touch }: CaseResult) => TOUCH[touch],
].map((text) => ({ text, stands: "title if it varies" }));

export const ringView: View = {
  dimensions: [frame, sgs, ...others],
  sameBytes: frame.text,
  row: ({ id }) => id,
  roomy: true,
  figures: COUNTERS.map(({ key, short, long }) => ({
    short,
    long,
    text: ({ counters }) => perPacket(counters[key]),
    folded: key === WITHOUT_COLUMN,
  })),
  counters: COUNTERS.map(({ key, long }) => ({ long, value: ({ counters }) => counters[key] })),
  baselineName,
  concludes: ({ ring, tables }) => (CACHES.includes(tables) ? `${ring} ring, ${tables}` : null),
  telling: (c) => !fellBack(c),
  shortId: ({ id, ring, tables }) => withoutPrefix(id, `${ring}/${tables}/`),
  published,
  charts: {
    ratioGroups: acrossSgs,
    facet: ({ ring }) => ring,
    series: ({ tables }) => tables,
    known: SERIES,
    place: ({ id, ring }) => withoutPrefix(id, `${ring}/`),
    cost: {
      head: "Cost against scatter-gather entries",
      by: "sgs",
      groups: (cases) => acrossSgs(cases).filter((group) => varies(group.cases, sgs)),
    },
  },
};

/** `heap` when each has its own heap case, else the one case's id. */
function baselineName(all: CaseResult[], cases: CaseResult[]): string {
  const ids = [...new Set(cases.map((c) => c.ratio.baseline))];
  const sources = ids.map((id) => all.find((c) => c.id === id)?.tables);
  if (sources.length > 0 && sources.every((source) => source === "heap") && cases.every(isOwnHeap))
    return "heap";
  return ids.length === 1 ? ids[0] : "the baseline";

  function isOwnHeap(c: CaseResult): boolean {
    const baseline = all.find(({ id }) => id === c.ratio.baseline);
    return baseline?.ring === c.ring && baseline.sg === c.sg && baseline.frame === c.frame;
  }
}

/** A case in which hardly any packet got what its arm is about; 1 % is left for rounding and a first pass. */
function fellBack({ counters }: CaseResult): boolean {
  return counters.heapFalls + counters.directFalls > 0.99;
}

/** The published measurement of a table cache; only beside both arms that it compared. */
function published(cases: CaseResult[]): string | undefined {
  const tables = new Set(cases.map((c) => c.tables));
  if (!tables.has("heap") || !tables.has("freelist")) return undefined;
  return inShort("table-cache");
}

/** The groups of the tables, but with all sgs in one. */
function acrossSgs(cases: CaseResult[]): Group[] {
  return groupUnder([frame, ...others.filter((d) => varies(cases, d))], cases);
}

function withoutPrefix(id: string, prefix: string): string {
  return id.startsWith(prefix) ? id.slice(prefix.length) : id;
}
