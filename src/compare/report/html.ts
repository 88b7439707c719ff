/**
 * The comparison as one self-contained page. It pulls in a plotting library and a DOM, so import it when it is needed
 * and not before.
 */
import { parseHTML } from "linkedom";
import type { CaseResult, Comparison } from "../result.ts";
import { costChart, legend, ratioChart } from "./charts.ts";
import { conclude, publishedElsewhere } from "./conclusion.ts";
import { count, facts, marks, measure, megapackets, type Note, notesOf, perPacket, ratio } from "./format.ts";
import { operationBlocks } from "./operations.ts";
import { PAGE_STYLE } from "./page-style.ts";
import { PUBLISHED_TITLE, publishedBlocks } from "./published.ts";
import { madeOf } from "./system-words.ts";
import { groupCases, type View } from "./view.ts";
import { viewOf } from "./views.ts";
import { wayDiagram } from "./way-diagram.ts";

/** A page without script and without any request: charts as SVG, every number as a table, light, dark and printed. */
export function toHtml(comparison: Comparison): string {
  const { document } = parseHTML(
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
      `<title>vring compare</title><style>${PAGE_STYLE}</style></head><body><main></main></body></html>`,
  );
  const page = new Page(document);
  const { cases } = comparison;
  const view = viewOf(comparison);
  page.add("h1", "vring compare");
  if (!comparison.complete) page.add("p", "Interrupted: only what was complete is shown.");
  if (cases.length === 0) page.add("p", "No case was completed.");
  else addResults(page, comparison, view);
  page.add("h2", "What was run");
  page.addFacts(facts(comparison, view).concat(optionFacts(comparison)));
  return document.toString();
}

function addResults(page: Page, comparison: Comparison, view: View): void {
  const { cases } = comparison;
  page.addList("ul", conclude(comparison));
  const published = publishedElsewhere(comparison);
  if (published !== undefined) page.add("p", published, "aside");
  for (const [k, { title, facts: about }] of publishedBlocks(comparison).entries()) {
    if (k === 0) page.add("h2", PUBLISHED_TITLE);
    page.add("h3", title);
    page.addFacts(about);
  }
  addWays(page, comparison);
  addCharts(page, cases, view);
  const notes = notesOf(cases);
  page.add("h2", "Results");
  page.addTable(RESULT_HEADS(view.baselineName(cases, cases)), grouped(cases, view, notes, resultCells));
  page.add("h2", "Counters per packet");
  const counters = (c: CaseResult): string[] => view.counters.map(({ value }) => perPacket(value(c)));
  page.addTable(["case", ...view.counters.map(({ long }) => long)], grouped(cases, view, notes, counters));
  if (notes.length > 0) page.add("h2", "Notes");
  page.addList(
    "ol",
    notes.map(({ text }) => text),
  );
  for (const { title, lines } of operationBlocks(cases)) {
    page.add("h2", title);
    page.add("pre", lines.join("\n"));
  }
}

/** A diagram for each of the systems that were compared. */
function addWays(page: Page, { systems = [] }: Comparison): void {
  if (systems.length === 0) return;
  page.add("h2", "Where bytes are copied");
  page.add(
    "p",
    "Each arrow says how a packet gets on: a copy by the CPU or by an engine, or a reference to where it lies.",
    "aside",
  );
  for (const record of systems) {
    const made = madeOf(record).map(({ part, text }) => `${part} ${text}`);
    page.addFigure(`${record.name}: ${record.about}`, [wayDiagram(page.document, record)], made.join("; "));
  }
}

function addCharts(page: Page, cases: CaseResult[], view: View): void {
  const { document } = page;
  const { charts } = view;
  page.add("h2", `Throughput against ${view.baselineName(cases, cases)}`);
  page.add(
    "p",
    "Packets a second over the baseline's, with the 95 % interval that the rounds give. " +
      "An interval that crosses the line at 1 shows no difference.",
    "aside",
  );
  for (const { title, cases: inGroup } of charts.ratioGroups(cases)) {
    const compared = inGroup.filter(({ id, ratio }) => ratio.baseline !== id);
    if (compared.length === 0) continue;
    const chart = ratioChart(document, `Ratio to the baseline, ${title}`, compared, charts);
    page.addFigure(title, [legend(document, compared, charts), chart]);
  }
  const costs = charts.cost.groups(cases);
  if (costs.length > 0) page.add("h2", charts.cost.head);
  for (const { title, cases: inGroup } of costs) {
    const chart = costChart(document, title, inGroup, charts);
    page.addFigure(title, [legend(document, inGroup, charts), chart]);
  }
}

const RESULT_HEADS = (baseline: string) => [
  "case",
  "Mpps",
  "ns/packet",
  "min",
  "p95",
  "Gbit/s",
  `against ${baseline}`,
  "burst",
  "packets",
  "rounds",
];

function resultCells(c: CaseResult): string[] {
  const { nsPerPacket: ns } = c;
  return [
    megapackets(c.pps),
    measure(ns.median),
    measure(ns.min),
    measure(ns.p95),
    measure(c.gbps),
    c.ratio.baseline === c.id ? "1" : ratio(c.ratio),
    String(c.batchRun),
    count(c.packets),
    String(c.rounds),
  ];
}

/** A table's body: a row of cells, or the title of the rows that follow. */
type Row = string[] | { title: string };

function grouped(cases: CaseResult[], view: View, notes: Note[], cells: (c: CaseResult) => string[]): Row[] {
  return groupCases(cases, view).flatMap(({ title, cases: inGroup }): Row[] => [
    { title },
    ...inGroup.map((c) => [c.id + marks(c, notes), ...cells(c)]),
  ]);
}

function optionFacts({ options }: Comparison): { label: string; text: string }[] {
  return Object.entries(options).map(([label, value]) => ({
    label: `--${label}`,
    text: typeof value === "string" ? value : JSON.stringify(value),
  }));
}

/** Appends to the page through the DOM, whose serializer escapes whatever text comes from outside. */
class Page {
  readonly document: Document;
  readonly #main: HTMLElement;

  constructor(document: Document) {
    this.document = document;
    this.#main = document.querySelector("main") as HTMLElement;
  }

  add(tag: string, text: string, className = ""): void {
    this.#main.append(this.#element(tag, text, className));
  }

  addList(tag: "ul" | "ol", items: string[]): void {
    if (items.length === 0) return;
    const list = this.#element(tag);
    list.append(...items.map((item) => this.#element("li", item)));
    this.#main.append(list);
  }

  addFacts(entries: { label: string; text: string }[]): void {
    const list = this.#element("dl");
    for (const { label, text } of entries) list.append(this.#element("dt", label), this.#element("dd", text));
    this.#main.append(list);
  }

  addFigure(caption: string, drawings: Element[], below = ""): void {
    const figure = this.#element("figure");
    figure.append(this.#element("figcaption", caption), ...drawings);
    if (below !== "") figure.append(this.#element("div", below, "aside"));
    this.#main.append(figure);
  }

  addTable(heads: string[], rows: Row[]): void {
    const head = this.#element("tr");
    head.append(...heads.map((text) => this.#element("th", text)));
    const table = this.#element("table");
    const thead = this.#element("thead");
    thead.append(head);
    const tbody = this.#element("tbody");
    tbody.append(...rows.map((row) => this.#row(row, heads.length)));
    table.append(thead, tbody);
    const scroll = this.#element("div", "", "scroll");
    scroll.append(table);
    this.#main.append(scroll);
  }

  #row(row: Row, columns: number): HTMLElement {
    const tr = this.#element("tr");
    if (Array.isArray(row)) tr.append(...row.map((text) => this.#element("td", text)));
    else {
      const title = this.#element("th", row.title, "group");
      title.setAttribute("colspan", String(columns));
      tr.append(title);
    }
    return tr;
  }

  #element(tag: string, text = "", className = ""): HTMLElement {
    const element = this.document.createElement(tag);
    if (text !== "") element.textContent = text;
    if (className !== "") element.className = className;
    return element;
  }
}
