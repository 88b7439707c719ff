/** The comparison as a table for a terminal. */
import Table from "cli-table3";
import type { CaseResult, Comparison } from "../result.ts";
import { hasInterval, verdict } from "../statistics.ts";
import { conclude, publishedElsewhere } from "./conclusion.ts";
import { type Fact, facts, marks, measure, megapackets, notesOf, ratio } from "./format.ts";
import { operationBlocks } from "./operations.ts";
import { publishedBlocks } from "./published.ts";
import { type Figure, groupCases, type View, varies } from "./view.ts";
import { viewOf } from "./views.ts";

/** How the table is written; colours are ANSI escapes and only there when asked for. */
export interface TableOptions {
  color: boolean;
}

interface Column {
  head: string;
  cell: (c: CaseResult) => string;
  align: "left" | "right";
}

type Paint = (text: string) => string;

interface Paints {
  strong: Paint;
  faint: Paint;
  good: Paint;
  bad: Paint;
}

const GAP = "  ";
const WIDTH = 110;

/** What stands in the place of a fact's label on the lines that continue it. */
const LABEL = " ".repeat(10);

/**
 * Facts about the run, one row per case in groups, notes, and a conclusion in plain words. A counter that is the same
 * in every case stands in one line under the table instead of a column.
 * Ends with a newline.
 */
export function toTable(comparison: Comparison, { color }: TableOptions): string {
  const { cases } = comparison;
  const paints = makePaints(color);
  const view = viewOf(comparison);
  const blocks = [factLines(comparison, view, paints)];
  if (!comparison.complete) blocks.push([paints.bad("Interrupted: only what was complete is shown.")]);
  if (cases.length === 0) blocks.push(["No case was completed."]);
  else {
    blocks.push(resultLines(cases, view, paints), footLines(comparison, view));
    const said = conclude(comparison);
    if (said.length > 0) blocks.push(said.flatMap((line) => wrap(line, 2)));
    for (const { title, facts: about } of publishedBlocks(comparison)) {
      blocks.push([paints.strong(title), ...about.flatMap((fact) => labelled(fact, paints))]);
    }
    for (const { title, lines } of operationBlocks(cases)) {
      blocks.push([paints.strong(title), ...lines.map((line) => `  ${line}`)]);
    }
  }
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}

function makePaints(color: boolean): Paints {
  const paint = (code: number, off: number): Paint =>
    color ? (text) => `\u001b[${code}m${text}\u001b[${off}m` : (text) => text;
  return { strong: paint(1, 22), faint: paint(2, 22), good: paint(32, 39), bad: paint(31, 39) };
}

function factLines(comparison: Comparison, view: View, paints: Paints): string[] {
  return facts(comparison, view).flatMap((fact) => labelled(fact, paints));
}

function labelled({ label, text }: Fact, { faint }: Paints): string[] {
  const [first, ...rest] = wrap(text, 0, WIDTH - LABEL.length);
  return [faint(label.padEnd(LABEL.length)) + first, ...rest.map((line) => LABEL + line)];
}

function resultLines(cases: CaseResult[], view: View, paints: Paints): string[] {
  const columns = columnsFor(cases, view, paints);
  const table = new Table({
    head: columns.map(({ head }) => paints.strong(head)),
    colAligns: columns.map(({ align }) => align),
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0, compact: true },
    chars: PLAIN,
  });
  for (const { title, cases: inGroup } of groupCases(cases, view)) {
    table.push([{ content: `\n${paints.strong(title)}`, colSpan: columns.length }]);
    for (const c of inGroup) table.push(columns.map(({ cell }) => cell(c)));
  }
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd());
}

const NO_LINES = { top: "", "top-mid": "", "top-left": "", "top-right": "" };
const PLAIN = {
  ...NO_LINES,
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: GAP,
};

function columnsFor(cases: CaseResult[], view: View, { good, bad }: Paints): Column[] {
  const notes = notesOf(cases);
  const emphasis = { faster: good, slower: bad, undecided: (text: string) => text };
  const right = (head: string, cell: Column["cell"]): Column => ({ head, cell, align: "right" });
  const spread = right("ns/pkt (min, p95)", ({ nsPerPacket: ns }) => {
    return `${measure(ns.median)} (${measure(ns.min)}, ${measure(ns.p95)})`;
  });
  const costs = view.roomy
    ? [spread, right("Gbit/s", ({ gbps }) => measure(gbps))]
    : [right("ns/pkt", ({ nsPerPacket }) => measure(nsPerPacket.median))];
  return [
    { head: "case", cell: (c) => view.row(c) + marks(c, notes), align: "left" },
    right("Mpps", ({ pps }) => megapackets(pps)),
    ...costs,
    right(`against ${view.baselineName(cases, cases)}`, (c) => {
      if (c.ratio.baseline === c.id) return "1";
      return emphasis[hasInterval(c.ratio) ? verdict(c.ratio) : "undecided"](ratio(c.ratio));
    }),
    ...columnFigures(cases, view).map(({ short, text }) => right(short, text)),
  ];
}

function columnFigures(cases: CaseResult[], { figures }: View): Figure[] {
  return figures.filter((figure) => !figure.folded && varies(cases, figure));
}

function footLines(comparison: Comparison, view: View): string[] {
  const { cases } = comparison;
  const same = view.figures.filter((figure) => !varies(cases, figure));
  const shared = same.map(({ text, long }) => `${long} ${text(cases[0])}`);
  const named = columnFigures(cases, view).filter(({ short, long }) => short !== long);
  const legend = named.map(({ short, long }) => `${short} = ${long}`);
  const published = publishedElsewhere(comparison);
  return [
    ...(legend.length > 0 ? wrap(`Per packet: ${legend.join(", ")}.`) : []),
    ...(shared.length > 0 ? wrap(`Per packet, the same in every case: ${shared.join(", ")}.`) : []),
    "The ratio is packets a second over the baseline's, with the 95 % interval that the rounds give.",
    ...notesOf(cases).flatMap(({ number, text }) => wrap(`(${number}) ${text}`, 4)),
    ...(published === undefined ? [] : wrap(published)),
  ];
}

/** Breaks a line at spaces so that it fits the width; what follows the first is indented. */
function wrap(text: string, indent = 0, width = WIDTH): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line === "") line = word;
    else if (line.length + 1 + word.length <= width) line += ` ${word}`;
    else {
      lines.push(line);
      line = " ".repeat(indent) + word;
    }
  }
  return [...lines, line];
}
