/** What the numbers of a comparison allow to be said, in plain words. */
import type { CaseResult, Comparison } from "../result.ts";
import { hasInterval, verdict } from "../statistics.ts";
import { groupBy, plural, ratio } from "./format.ts";

/** The table sources that the conclusion speaks of: the question is what they gain over the allocator. */
const CACHES = ["freelist", "slot"];

const VERDICTS = ["faster", "slower", "undecided"] as const;

/**
 * One sentence per ring and cache: how its throughput compares with the baseline's. A case whose interval includes 1
 * is never called faster, and cases in which (nearly) every packet fell back to another source say nothing about the
 * cache and are left out, by name.
 */
export function conclude(comparison: Comparison): string[] {
  const { cases } = comparison;
  const compared = cases.filter(({ id, tables, ratio: r }) => CACHES.includes(tables) && r.baseline !== id);
  const arms = groupBy(compared, ({ ring, tables }) => `${ring} ring, ${tables}`);
  return [...arms].map(([arm, ofArm]) => `${arm}: ${sentence(ofArm, baselineName(cases, ofArm))}`);
}

/**
 * The published measurement of a table cache, to set beside ours; undefined unless both arms that it compared are
 * among the cases.
 */
export function publishedElsewhere({ cases }: Comparison): string | undefined {
  const tables = new Set(cases.map((c) => c.tables));
  if (!tables.has("heap") || !tables.has("freelist")) return undefined;
  return (
    "Published elsewhere: a table cache took AF_XDP transmit from 2.68 to 3.11 Mpps (+16 %), " +
    "one core at 100 %; patch series v3 for Linux's virtio ring, never merged."
  );
}

/** What the ratios of these cases are to: `heap` when each has its own heap case, else the one case's id. */
export function baselineName(all: CaseResult[], cases: CaseResult[]): string {
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

function sentence(cases: CaseResult[], baseline: string): string {
  const telling = cases.filter((c) => !fellBack(c));
  const left = cases.filter(fellBack).map(({ id }) => id);
  const aside = left.length === 0 ? "" : ` Not counted, because every packet fell back: ${left.join(", ")}.`;
  if (telling.length === 0) return "nothing to say, every packet fell back to another source.";
  const unpaired = telling.filter((c) => !hasInterval(c.ratio));
  if (unpaired.length > 0)
    return `too few rounds for an interval, so nothing is called faster or slower.${aside}`;
  const parts = VERDICTS.flatMap((word) => {
    const of = telling.filter((c) => verdict(c.ratio) === word);
    return of.length === 0 ? [] : [part(word, of, telling.length, baseline)];
  });
  return `${parts.join("; ")}.${aside}`;
}

function part(word: (typeof VERDICTS)[number], cases: CaseResult[], of: number, baseline: string): string {
  const where = of === 1 ? "" : ` in ${cases.length} of ${plural(of, "case")}`;
  const span = describeSpan(cases);
  return word === "undecided"
    ? `no difference from ${baseline} shown${where}, the interval includes 1: ${span}`
    : `${word} than ${baseline}${where}: ${span}`;
}

function describeSpan(cases: CaseResult[]): string {
  const sorted = [...cases].sort((a, b) => a.ratio.value - b.ratio.value);
  const [least, most] = [sorted[0], sorted[sorted.length - 1]];
  if (sorted.length === 1) return `${ratio(least.ratio)} times`;
  return `${ratio(least.ratio)} times (${shortId(least)}) to ${ratio(most.ratio)} (${shortId(most)})`;
}

/** The id without ring and tables, which the sentence has named already. */
function shortId({ id, ring, tables }: CaseResult): string {
  const prefix = `${ring}/${tables}/`;
  return id.startsWith(prefix) ? id.slice(prefix.length) : id;
}
