/** What the reports ask of a kind of case: what its cases are called, grouped by, and counted. */
import { groupBy } from "../group.ts";
import type { CaseResult } from "../result.ts";

/** Something in which cases may differ: in words, or an empty text for a case that doesn't have it. */
export interface Dimension {
  text(c: CaseResult): string;
  /**
   * Where it stands. `title`: in the title of a group, always. `title if it varies`: there, but in the facts above the
   * results when all cases agree. `row if it varies`: the same with the name of a row.
   */
  stands: "title" | "title if it varies" | "row if it varies";
}

/** A column of the terminal's table, or a line below it when all cases agree. */
export interface Figure {
  short: string;
  long: string;
  text(c: CaseResult): string;
  /** Never a column: it says nothing that those beside it don't. */
  folded: boolean;
}

/** A column of the page's table of counters. */
export interface CounterColumn {
  long: string;
  value(c: CaseResult): number;
}

/** How an arm is drawn: never by colour alone. */
export interface Series {
  name: string;
  color: string;
  symbol: string;
  dash: string;
}

export interface View {
  dimensions: readonly Dimension[];
  /** Cases with the same answer should have delivered the same bytes; in words. */
  sameBytes(c: CaseResult): string;
  /** The name of a case's row, under the title of its group. */
  row(c: CaseResult): string;
  /** Whether the terminal's table has room for the spread of the nanoseconds and for Gbit/s. */
  roomy: boolean;
  figures: readonly Figure[];
  counters: readonly CounterColumn[];
  /** What the ratios of these cases are to. */
  baselineName(all: CaseResult[], cases: CaseResult[]): string;
  /** The arm that the conclusion has a sentence about, or null if it has none about this case. */
  concludes(c: CaseResult): string | null;
  /** Whether a case says anything about its arm. */
  telling(c: CaseResult): boolean;
  /** The case among those of its arm. */
  shortId(c: CaseResult): string;
  /** A published figure to set beside ours, if these cases have a counterpart of it. */
  published(cases: CaseResult[]): string | undefined;
  charts: ChartView;
}

/** The charts of the page: a figure for each group of cases, with a panel for each facet. */
export interface ChartView {
  /** What the figures with ratios are of. */
  ratioGroups(cases: CaseResult[]): Group[];
  facet(c: CaseResult): string;
  /** What a point belongs to, and how the known ones are drawn. */
  series(c: CaseResult): string;
  known: readonly Series[];
  /** Where a case stands on an axis of cases. */
  place(c: CaseResult): string;
  /** What a packet costs: by sgs, as lines, or by place. */
  cost: { head: string; by: "sgs" | "place"; groups(cases: CaseResult[]): Group[] };
}

/** Cases that stand together under a title. */
export interface Group {
  title: string;
  cases: CaseResult[];
}

/** Cases by what the titles name, in the order of their first appearance. */
export function groupCases(cases: CaseResult[], { dimensions }: View): Group[] {
  return groupUnder(
    dimensions.filter((d) => d.stands === "title" || (d.stands === "title if it varies" && varies(cases, d))),
    cases,
  );
}

export function groupUnder(named: readonly Dimension[], cases: CaseResult[]): Group[] {
  const groups = groupBy(cases, (c) => describe(named, c).join(", "));
  return [...groups].map(([title, inGroup]) => ({ title, cases: inGroup }));
}

/** What all cases agree in, apart from what the titles name anyway. */
export function sharedDimensions(cases: CaseResult[], { dimensions }: View): string[] {
  const shared = dimensions.filter((d) => d.stands !== "title" && !varies(cases, d));
  return cases.length === 0 ? [] : describe(shared, cases[0]);
}

export function varies(cases: CaseResult[], { text }: { text(c: CaseResult): string }): boolean {
  return new Set(cases.map(text)).size > 1;
}

function describe(dimensions: readonly Dimension[], c: CaseResult): string[] {
  return dimensions.map(({ text }) => text(c)).filter((text) => text !== "");
}
