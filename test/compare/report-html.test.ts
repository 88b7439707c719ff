import { parseHTML } from "linkedom";
import { describe, expect, test } from "vitest";
import { toHtml } from "../../src/compare/report/html.ts";
import { fixtureComparison } from "./fixture.ts";

const ALL_TABLES = ["heap", "freelist", "grow", "slot", "per-node", "direct"];

function parse(html: string): Document {
  return parseHTML(html).document;
}

describe("the page", () => {
  test("is one file that runs no script and asks for nothing else", () => {
    const html = toHtml(fixtureComparison({ sgs: [1, 2], tables: ALL_TABLES }));
    expect(html).not.toMatch(/https?:/i);
    expect(html).not.toMatch(/<(script|link|img|iframe|object)\b|@import|\burl\((?!#)|\bsrc=|\bon\w+=/i);
    expect(html.startsWith("<!DOCTYPE html>")).toBe(true);
  });

  test("has a row for every case in the results and in the counters", () => {
    const comparison = fixtureComparison({ sgs: [1, 2] });
    const [results, counters] = parse(toHtml(comparison)).querySelectorAll("table");
    for (const table of [results, counters]) {
      const ids = [...table.querySelectorAll("td:first-child")].map((cell) => cell.textContent);
      expect(ids.sort()).toEqual(comparison.cases.map(({ id }) => id).sort());
    }
  });

  test("draws a dot and an interval for every case that isn't a baseline", () => {
    const comparison = fixtureComparison({ tables: ALL_TABLES });
    const document = parse(toHtml(comparison));
    const chart = document.querySelector('svg[aria-label^="Ratio to the baseline"]') as Element;
    const compared = comparison.cases.filter(({ id, ratio }) => ratio.baseline !== id);
    expect(chart.querySelectorAll('[aria-label="dot"] path')).toHaveLength(compared.length);
    // Beside the intervals stand the ends' ticks, which are lines too, but in markers.
    expect(chart.querySelectorAll('[aria-label="rule"] line[marker-start]')).toHaveLength(compared.length);
  });

  test("draws dots without intervals after a single round", () => {
    const document = parse(toHtml(fixtureComparison({ rounds: 1 })));
    const chart = document.querySelector('svg[aria-label^="Ratio to the baseline"]') as Element;
    expect(chart.querySelectorAll('[aria-label="dot"] path')).toHaveLength(6);
    expect(chart.querySelectorAll("line[marker-start]")).toHaveLength(0);
  });

  test("plots cost against sgs only when there are several, once per frame", () => {
    const charts = (html: string) =>
      parse(html).querySelectorAll('svg[aria-label^="Nanoseconds per packet"]').length;
    expect(charts(toHtml(fixtureComparison({ sgs: [2] })))).toBe(0);
    expect(charts(toHtml(fixtureComparison({ sgs: [1, 2], frames: [64, 1518] })))).toBe(2);
  });

  test("tells the table sources apart by dash and symbol, not by colour alone", () => {
    const document = parse(toHtml(fixtureComparison({ sgs: [1, 2], tables: ALL_TABLES })));
    const legend = document.querySelectorAll('svg[aria-label="legend"]')[1];
    const shapes = [...legend.querySelectorAll('[aria-label="dot"] path')].map((path) =>
      path.getAttribute("d"),
    );
    expect(new Set(shapes).size).toBe(ALL_TABLES.length);
    const dashes = [...legend.querySelectorAll("[stroke-dasharray]")].map((g) =>
      g.getAttribute("stroke-dasharray"),
    );
    expect(new Set(dashes).size).toBeGreaterThanOrEqual(5);
  });

  test("has light and dark colours, and prints light", () => {
    const html = toHtml(fixtureComparison());
    expect(html).toContain("@media screen and (prefers-color-scheme: dark)");
    expect(html).toContain("@media print");
  });

  test("shows a file's name as text, whatever stands in it", () => {
    const file = `</title><script>alert("x")</script><img src=x onerror='y'>&amp;.pcap`;
    const html = toHtml(fixtureComparison({ file }));
    expect(html).not.toContain("<script");
    expect(html).not.toContain("<img");
    const shown = [...parse(html).querySelectorAll("dd")].map((dd) => dd.textContent);
    expect(shown).toContainEqual(expect.stringContaining(file));
  });

  test("escapes the names of options, cases and notes", () => {
    const comparison = fixtureComparison();
    comparison.options.pcap = "<b>&";
    comparison.cases[1].notes.push("<i>note</i>");
    comparison.cases[1].id = "split/<u>/sg2";
    const html = toHtml(comparison);
    expect(html).not.toMatch(/<(b|i|u)>/);
    expect(html).toContain("&lt;i&gt;note");
  });

  test("says that a run was interrupted, and stands without any case", () => {
    const html = toHtml({ ...fixtureComparison(), complete: false, cases: [] });
    expect(html).toContain("Interrupted: only what was complete is shown.");
    expect(html).toContain("No case was completed.");
  });
});
