/** What the numbers of a comparison allow to be said, in plain words. */
import { groupBy } from "../group.ts";
import type { CaseResult, Comparison } from "../result.ts";
import { hasInterval, verdict } from "../statistics.ts";
import { plural, ratio } from "./format.ts";
import type { View } from "./view.ts";
import { viewOf } from "./views.ts";

const VERDICTS = ["faster", "slower", "undecided"] as const;

/**
 * One sentence per arm: how its throughput compares with the baseline's. A case whose interval includes 1 is never
 * called faster, and cases that say nothing about their arm are left out, by name.
 */
export function conclude(comparison: Comparison): string[] {
  const { cases } = comparison;
  const view = viewOf(comparison);
  const compared = cases.filter((c) => view.concludes(c) !== null && c.ratio.baseline !== c.id);
  const arms = groupBy(compared, (c) => view.concludes(c));
  return [...arms].map(([arm, ofArm]) => `${arm}: ${sentence(ofArm, view.baselineName(cases, ofArm), view)}`);
}

/** The published measurement to set beside ours; undefined unless what it compared is among the cases. */
export function publishedElsewhere(comparison: Comparison): string | undefined {
  return viewOf(comparison).published(comparison.cases);
}

function sentence(cases: CaseResult[], baseline: string, view: View): string {
  const telling = cases.filter((c) => view.telling(c));
  const left = cases.filter((c) => !view.telling(c)).map(({ id }) => id);
  const aside = left.length === 0 ? "" : ` Not counted, because every packet fell back: ${left.join(", ")}.`;
  if (telling.length === 0) return "nothing to say, every packet fell back to another source.";
  const unpaired = telling.filter((c) => !hasInterval(c.ratio));
  if (unpaired.length > 0)
    return `too few rounds for an interval, so nothing is called faster or slower.${aside}`;
  const parts = VERDICTS.flatMap((word) => {
    const of = telling.filter((c) => verdict(c.ratio) === word);
    return of.length === 0 ? [] : [part(word, of, telling.length, baseline, view)];
  });
  return `${parts.join("; ")}.${aside}`;
}

function part(
  word: (typeof VERDICTS)[number],
  cases: CaseResult[],
  of: number,
  baseline: string,
  view: View,
): string {
  const where = of === 1 ? "" : ` in ${cases.length} of ${plural(of, "case")}`;
  const span = describeSpan(cases, view);
  return word === "undecided"
    ? `no difference from ${baseline} shown${where}, the interval includes 1: ${span}`
    : `${word} than ${baseline}${where}: ${span}`;
}

function describeSpan(cases: CaseResult[], { shortId }: View): string {
  const sorted = [...cases].sort((a, b) => a.ratio.value - b.ratio.value);
  const [least, most] = [sorted[0], sorted[sorted.length - 1]];
  if (sorted.length === 1) return `${ratio(least.ratio)} times`;
  return `${ratio(least.ratio)} times (${shortId(least)}) to ${ratio(most.ratio)} (${shortId(most)})`;
}
