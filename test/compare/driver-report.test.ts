import { parseHTML } from "linkedom";
import { describe, expect, test } from "vitest";
import { conclude, publishedElsewhere } from "../../src/compare/report/conclusion.ts";
import { toHtml } from "../../src/compare/report/html.ts";
import { toJson } from "../../src/compare/report/json.ts";
import { toTable } from "../../src/compare/report/table.ts";
import type { Comparison, SystemCaseResult } from "../../src/compare/result.ts";
import { fixtureDrivers } from "./driver-fixture.ts";

const ALL = {
  kinds: ["alloc-per-packet", "page-reuse", "page-pool"],
  holds: [0, 64, "all"],
  queues: [1, 8],
} as const;
const everything = (): Comparison =>
  fixtureDrivers({ kinds: [...ALL.kinds], holds: [...ALL.holds], queues: [...ALL.queues] });

const lines = (comparison: Comparison): string[] => toTable(comparison, { color: false }).split("\n");

function parse(html: string): Document {
  return parseHTML(html).document;
}

describe("the terminal table of drivers", () => {
  test("groups by frame, direction and backend, with the drivers beside each other", () => {
    const text = lines(fixtureDrivers());
    const titles = text.filter((line) => line.startsWith("capture, "));
    expect(titles.slice(0, 2)).toEqual(["capture, transmit, direct", "capture, transmit, swiotlb"]);
    expect(titles).toHaveLength(8);
    const first = text.indexOf(titles[0]);
    expect(text.slice(first + 1, first + 4).map((line) => line.split(" ")[0])).toEqual([
      "virtio-net",
      "i40e",
      "premapped",
    ]);
  });

  test("says in the title which receive buffers were asked for, and in the row what else varies", () => {
    const text = lines(everything());
    expect(text).toContain("capture, receive, iommu-lazy, page-pool");
    expect(text.some((line) => line.startsWith("i40e/holdall/q8 "))).toBe(true);
    expect(text.some((line) => line.startsWith("i40e/q8 "))).toBe(true);
  });

  test("has a column for what varies, and one line for what doesn't", () => {
    const text = lines(fixtureDrivers());
    const heads = text.find((line) => line.startsWith("case "))?.split(/\s{2,}/);
    expect(heads?.slice(0, 4)).toEqual(["case", "Mpps", "ns/pkt", "against virtio-net"]);
    expect(heads?.slice(4)).toEqual([
      ...["maps", "unmaps", "syncs", "pages", "reuse", "copied", "iotlb", "inval"],
    ]);
    expect(text.join("\n")).toContain("the same in every case: faults 0.");
    const row = text.filter((line) => line.startsWith("i40e ")).at(-1) as string;
    expect(
      row
        .trim()
        .split(/\s{2,}/)
        .slice(-8),
    ).toEqual(["0", "0", "1+0", "0", "100%", "71", "75.0%", "0"]);
  });

  test("stays within 120 columns with every kind, hold and number of queues", () => {
    expect(Math.max(...lines(everything()).map((line) => line.length))).toBeLessThanOrEqual(120);
  });

  test("names a digest for each set of frames that should be the same, and says when they aren't", () => {
    const comparison = fixtureDrivers();
    const head = lines(comparison).filter((line) => line.startsWith("digest"));
    expect(head).toEqual([
      "digest    8c1f3a5be2907d46, the same in all 12 cases of capture, transmit, 1 queue",
      "digest    03ae7fb1c9d8e265, the same in all 12 cases of capture, receive, 1 queue",
    ]);
    comparison.cases[4].digest = "deadbeefdeadbeef";
    expect(lines(comparison).join("\n")).toContain(`deadbeefdeadbeef in ${comparison.cases[4].id}`);
  });

  test("ends with the recorded operations of each case, one a line", () => {
    const text = lines(fixtureDrivers({ drivers: ["i40e"], dmas: ["direct"], traced: true }));
    const first = text.indexOf("The first operations of i40e/direct/tx:");
    expect(text.slice(first + 1, first + 6)).toEqual([
      "  queue 0  page-alloc   00012000  1 reference",
      "  queue 0  map          00012000  4096 bytes",
      "  queue 0  refill       256 posted, 0 descriptors free",
      "  queue 1  sync-cpu     00012800  2048 bytes",
      "  queue 1  receive      1514 bytes, 64 of them copied",
    ]);
    expect(text).toContain("The first operations of i40e/direct/rx:");
  });

  test("shows no operations when none were recorded", () => {
    expect(lines(fixtureDrivers()).join("\n")).not.toContain("operations of");
  });
});

describe("the conclusion about drivers", () => {
  test("has one sentence per direction and driver, with the backends at its ends", () => {
    const said = conclude(fixtureDrivers());
    expect(said.map((line) => line.split(":")[0])).toEqual([
      "transmit, i40e",
      "transmit, premapped",
      "receive, i40e",
      "receive, premapped",
    ]);
    expect(said[2]).toMatch(
      /^receive, i40e: faster than virtio-net in 4 of 4 cases: [\d.]+ \[.*\] times \(direct\) to [\d.]+ \[.*\] \(swiotlb\)\.$/,
    );
  });

  test("names the one case that all are compared with, when it was asked for", () => {
    const comparison = fixtureDrivers({ dmas: ["direct", "swiotlb"], directions: ["rx"] });
    for (const c of comparison.cases) c.ratio.baseline = "i40e/direct/rx";
    expect(lines(comparison).join("\n")).toContain("against i40e/direct/rx");
  });

  test("sets the published complaint beside ours when both kinds of driver are there", () => {
    expect(publishedElsewhere(fixtureDrivers())).toContain("0.5 Mpps with 8 queues");
    expect(publishedElsewhere(fixtureDrivers({ drivers: ["virtio-net", "premapped"] }))).toBeUndefined();
    expect(publishedElsewhere(fixtureDrivers({ drivers: ["i40e", "premapped"] }))).toBeUndefined();
  });
});

test("the JSON of drivers parses back to the comparison, per queue and with its operations", () => {
  const comparison = fixtureDrivers({ queues: [8], traced: true });
  const parsed: Comparison = JSON.parse(toJson(comparison));
  const [first] = parsed.cases as SystemCaseResult[];
  const [ours] = comparison.cases as SystemCaseResult[];
  expect(parsed.schema).toBe(1);
  expect(first).toMatchObject({ driver: "virtio-net", dma: "direct", rx: null, hold: null, queues: 8 });
  expect(first.perQueue).toHaveLength(8);
  expect(first.counters).toEqual(ours.counters);
  expect(first.operations).toEqual(ours.operations);
});

describe("the page of drivers", () => {
  test("is one file that runs no script and asks for nothing else", () => {
    const html = toHtml(everything());
    expect(html).not.toMatch(/https?:/i);
    expect(html).not.toMatch(/<(script|link|img|iframe|object)\b|@import|\burl\((?!#)|\bsrc=|\bon\w+=/i);
  });

  test("has a row for every case in the results and in the counters", () => {
    const comparison = everything();
    const [results, counters] = parse(toHtml(comparison)).querySelectorAll("table");
    for (const table of [results, counters]) {
      const ids = [...table.querySelectorAll("td:first-child")].map((cell) => cell.textContent);
      expect(ids.map((id) => id?.replace(" (1)", "")).sort()).toEqual(
        comparison.cases.map(({ id }) => id).sort(),
      );
    }
    const heads = [...counters.querySelectorAll("thead th")].map((th) => th.textContent);
    expect(heads).toEqual(expect.arrayContaining(["maps", "syncs for CPU", "reuse rate", "IOTLB hits"]));
  });

  test("has a figure with ratios and one with costs for each backend and direction", () => {
    const document = parse(toHtml(everything()));
    const labels = [...document.querySelectorAll("svg[aria-label]")].map((svg) =>
      svg.getAttribute("aria-label"),
    );
    for (const dma of ["direct", "swiotlb", "iommu-strict", "iommu-lazy"])
      for (const way of ["transmit", "receive"]) {
        expect(labels).toContain(`Ratio to the baseline, ${dma}, ${way}`);
        expect(labels).toContain(`Nanoseconds per packet, ${dma}, ${way}`);
      }
  });

  test("draws a dot and an interval for every case that isn't a baseline", () => {
    const comparison = everything();
    const charts = [...parse(toHtml(comparison)).querySelectorAll('svg[aria-label^="Ratio to"]')];
    const dots = charts.flatMap((chart) => [...chart.querySelectorAll('[aria-label="dot"] path')]);
    const compared = comparison.cases.filter(({ id, ratio }) => ratio.baseline !== id);
    expect(dots).toHaveLength(compared.length);
    const rules = charts.flatMap((chart) => [...chart.querySelectorAll("line[marker-start]")]);
    expect(rules).toHaveLength(compared.length);
  });

  test("lists the recorded operations", () => {
    const document = parse(toHtml(fixtureDrivers({ drivers: ["i40e"], dmas: ["direct"], traced: true })));
    const blocks = [...document.querySelectorAll("pre")].map((pre) => pre.textContent?.split("\n"));
    expect(blocks).toHaveLength(2);
    expect(blocks[0]).toHaveLength(5);
  });
});
