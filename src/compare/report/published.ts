/** Published figures beside ours: what was said, our own ratio, and what is another thing there. */
import type { Comparison, PublishedPair, PublishedResult } from "../result.ts";
import { type Fact, measure, ratio } from "./format.ts";

export const PUBLISHED_TITLE = "Published elsewhere, and ours";

/** A title for each figure that has a counterpart among the cases, and facts under it. */
export function publishedBlocks({ published = [], cases }: Comparison): { title: string; facts: Fact[] }[] {
  const pps = new Map(cases.map((c) => [c.id, c]));
  return published.map((figure) => ({
    title: figure.title,
    facts: [
      { label: "published", text: publishedText(figure) },
      ...figure.ours.map((pair) => ({ label: "ours", text: oursText(pair, figure.unit, pps) })),
      { label: "differs", text: [...new Set(figure.ours.flatMap(({ differs }) => differs))].join("; ") },
    ],
  }));
}

function publishedText({ published, before, after, unit }: PublishedResult): string {
  return `${(after / before).toFixed(2)} times (${before} and ${after} ${unit}): ${published}`;
}

function oursText({ id, ratio: ours }: PublishedPair, unit: string, cases: Map<string, CaseOf>): string {
  const [after, before] = [cases.get(id), cases.get(ours.baseline)].map((c) =>
    c === undefined ? "?" : inUnit(c, unit),
  );
  return `${ratio(ours)} times (${before} and ${after} ${unit}): ${id} against ${ours.baseline}`;
}

type CaseOf = Comparison["cases"][number];

function inUnit({ pps, gbps }: CaseOf, unit: string): string {
  return measure(unit === "Gbit/s" ? gbps : pps / 1e6);
}
