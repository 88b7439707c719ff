import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { conclude, publishedElsewhere } from "../../src/compare/report/conclusion.ts";
import { toJson } from "../../src/compare/report/json.ts";
import { toTable } from "../../src/compare/report/table.ts";
import type { CaseResult, Comparison, Ratio } from "../../src/compare/result.ts";
import { fixtureComparison } from "./fixture.ts";

const ALL_TABLES = ["heap", "freelist", "grow", "slot", "per-node", "direct"];
const ALL_SGS = [1, 2, 3, 4, 8, 19];

function plain(comparison: Comparison): string {
  return toTable(comparison, { color: false });
}

function withCase(comparison: Comparison, id: string, change: Partial<CaseResult>): Comparison {
  return { ...comparison, cases: comparison.cases.map((c) => (c.id === id ? { ...c, ...change } : c)) };
}

function withRatio(id: string, ratio: Partial<Ratio>): Comparison {
  const comparison = fixtureComparison();
  const found = comparison.cases.find((c) => c.id === id) as CaseResult;
  return withCase(comparison, id, { ratio: { ...found.ratio, ...ratio } });
}

describe("the terminal table", () => {
  test("names workload, digest, machine, versions, placement and rounds above the results", () => {
    const head = plain(fixtureComparison()).split("case ")[0];
    expect(head).toContain("captures/web.pcapng: 3,412 packets and 1,914,233 bytes a pass");
    expect(head).toContain("8c1f3a5be2907d46, the same in all 8 cases");
    expect(head).toContain("Intel(R) Xeon(R) Processor @ 2.60GHz, 2 cores, Node v20.20.2, V8 11.3");
    expect(head).toContain("buffers skewed over the cache sets");
    expect(head).toContain("bursts of 32, ring 256, threshold 4, payload not touched, 15 rounds");
  });

  test("gives one row per case, with its ratio and interval", () => {
    const comparison = fixtureComparison();
    const text = plain(comparison);
    for (const { id } of comparison.cases) {
      expect(text.split("\n").filter((line) => line.startsWith(`${id} `))).toHaveLength(1);
    }
    expect(text).toMatch(/split\/freelist\/sg2 .* \d\.\d\d \[\d\.\d\d, \d\.\d\d\] /);
  });

  test("stays within 110 columns with every table source and number of sgs", () => {
    const comparison = fixtureComparison({ tables: ALL_TABLES, sgs: ALL_SGS });
    const longest = Math.max(
      ...plain(comparison)
        .split("\n")
        .map((line) => line.length),
    );
    expect(longest).toBeLessThanOrEqual(110);
  });

  test("groups the cases by frame and sgs", () => {
    const text = plain(fixtureComparison({ sgs: [1, 2], frames: [64, "imix"] }));
    const titles = text.split("\n").filter((line) => /\d sgs? a packet$/.test(line));
    expect(titles).toEqual([
      "64-byte frames, 1 sg a packet",
      "64-byte frames, 2 sgs a packet",
      "IMIX, 1 sg a packet",
      "IMIX, 2 sgs a packet",
    ]);
  });

  test("says a counter once that is the same in every case, instead of a column", () => {
    const text = plain(fixtureComparison());
    const heads = text.split("\n").find((line) => line.startsWith("case "));
    expect(heads?.split(/\s{2,}/)).toEqual([
      "case",
      "Mpps",
      "ns/pkt (min, p95)",
      "Gbit/s",
      "against heap",
      "takes",
      "hits",
      "remote",
    ]);
    expect(text).toContain(
      "the same in every case: falls to heap 0, falls to direct 0, doorbells 0.0313, interrupts 0.0313.",
    );
  });

  test("puts notes under the table and refers to them from the rows", () => {
    const text = plain(fixtureComparison({ rings: ["split"], sgs: [8] }));
    expect(text).toContain("split/freelist/sg8 (1) ");
    expect(text).toContain("\n(1) every packet has more than 4 sgs");
    expect(text).not.toContain("split/slot/sg8 (1)");
  });

  test("shows each digest with its cases when they differ", () => {
    const text = plain(withCase(fixtureComparison(), "split/slot/sg2", { digest: "deadbeefdeadbeef" }));
    expect(text).toContain("deadbeefdeadbeef in split/slot/sg2: THE CASES DIFFER");
    expect(text).toContain("8c1f3a5be2907d46 in split/heap/sg2, split/freelist/sg2,");
  });

  test("says that a run was interrupted, and when nothing was complete", () => {
    expect(plain({ ...fixtureComparison(), complete: false })).toContain(
      "Interrupted: only what was complete",
    );
    expect(plain({ ...fixtureComparison(), complete: false, cases: [] })).toContain("No case was completed.");
  });

  test("is coloured only when asked, without any other difference", () => {
    const comparison = fixtureComparison();
    const colored = toTable(comparison, { color: true });
    expect(colored).toContain("\u001b[32m");
    expect(plain(comparison)).not.toContain("\u001b");
    expect(stripVTControlCharacters(colored)).toBe(plain(comparison));
  });

  test("shows the control characters of a file's name instead of obeying them", () => {
    const text = plain(fixtureComparison({ file: "a\u001b[2Jb\n.pcap" }));
    expect(text).toContain("capture a\\u{1b}[2Jb\\u{a}.pcap:");
  });

  test("names the one baseline that was asked for instead of heap", () => {
    const comparison = fixtureComparison({ tables: ["direct", "freelist", "slot"] });
    const cases = comparison.cases.map((c) => ({
      ...c,
      ratio: { ...c.ratio, baseline: "split/direct/sg2" },
    }));
    expect(plain({ ...comparison, cases })).toContain("against split/direct/sg2");
  });
});

describe("the conclusion", () => {
  test("gives one sentence per ring and cache, with ratio and interval", () => {
    const lines = conclude(fixtureComparison());
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(
      /^split ring, freelist: faster than heap: \d\.\d\d \[\d\.\d\d, \d\.\d\d\] times\.$/,
    );
    expect(lines.map((line) => line.split(":")[0])).toEqual([
      "split ring, freelist",
      "split ring, slot",
      "packed ring, freelist",
      "packed ring, slot",
    ]);
  });

  test("never calls a case faster whose interval includes 1", () => {
    const lines = conclude(withRatio("split/freelist/sg2", { value: 1.08, low: 0.99, high: 1.17 }));
    expect(lines[0]).toBe(
      "split ring, freelist: no difference from heap shown, the interval includes 1: 1.08 [0.99, 1.17] times.",
    );
  });

  test("says slower when it is slower", () => {
    const lines = conclude(withRatio("split/slot/sg2", { value: 0.9, low: 0.88, high: 0.93 }));
    expect(lines[1]).toBe("split ring, slot: slower than heap: 0.90 [0.88, 0.93] times.");
  });

  test("does not round an end of an interval to 1 when it isn't", () => {
    const lines = conclude(withRatio("split/slot/sg2", { value: 1.02, low: 1.003, high: 1.04 }));
    expect(lines[1]).toContain("faster than heap: 1.020 [1.003, 1.040] times");
  });

  test("spans several workloads and counts them by verdict", () => {
    const lines = conclude(fixtureComparison({ rings: ["split"], sgs: [1, 2, 4] }));
    expect(lines[0]).toMatch(
      /^split ring, freelist: faster than heap in 3 of 3 cases: .* times \(sg4\) to .* \(sg1\)\.$/,
    );
  });

  test("leaves out, by name, cases in which every packet fell back to the heap", () => {
    const [line] = conclude(fixtureComparison({ rings: ["split"], sgs: [2, 8] }));
    expect(line).toContain("faster than heap:");
    expect(line).toContain("Not counted, because every packet fell back: split/freelist/sg8.");
    const [only] = conclude(fixtureComparison({ rings: ["split"], sgs: [8] }));
    expect(only).toBe("split ring, freelist: nothing to say, every packet fell back to another source.");
  });

  test("says nothing about speed after a single round", () => {
    const comparison = fixtureComparison({ rounds: 1 });
    for (const line of conclude(comparison)) expect(line).toContain("nothing is called faster or slower");
    expect(plain(comparison)).toContain("(no interval)");
  });

  test("sets the published figure beside ours when heap and freelist were both run", () => {
    expect(publishedElsewhere(fixtureComparison())).toContain("2.68 to 3.11 Mpps (+16 %)");
    expect(publishedElsewhere(fixtureComparison({ tables: ["heap", "slot"] }))).toBeUndefined();
  });
});

describe("the JSON report", () => {
  test("parses back to the comparison, with fractions of six digits and everything else kept", () => {
    const comparison = fixtureComparison();
    const text = toJson(comparison);
    const parsed: Comparison = JSON.parse(text);
    expect(text).toMatch(/^\{\n {2}"schema": 1,[\s\S]*\}\n$/);
    expect(Object.keys(parsed)).toEqual(Object.keys(comparison));
    parsed.cases.forEach((c, i) => {
      const { nsPerPacket, pps, gbps, ratio, ...exact } = comparison.cases[i];
      expect(c).toMatchObject(exact);
      expect(c.nsPerPacket.median / nsPerPacket.median).toBeCloseTo(1, 5);
      expect(c.pps / pps).toBeCloseTo(1, 5);
      expect(c.gbps / gbps).toBeCloseTo(1, 5);
      expect(String(c.ratio.value).length).toBeLessThanOrEqual(7);
      expect(c.ratio.value / ratio.value).toBeCloseTo(1, 5);
    });
  });

  test("keeps the value within its interval, and stays finite after a single round", () => {
    for (const rounds of [1, 2, 15]) {
      const parsed: Comparison = JSON.parse(toJson(fixtureComparison({ rounds })));
      for (const { ratio } of parsed.cases) {
        expect(ratio.low).toBeLessThanOrEqual(ratio.value);
        expect(ratio.value).toBeLessThanOrEqual(ratio.high);
      }
    }
  });

  test("refuses a number that JSON would turn into null", () => {
    const broken = withCase(fixtureComparison(), "split/slot/sg2", { gbps: Number.NaN });
    expect(() => toJson(broken)).toThrow('cannot write "gbps" as JSON: it is NaN');
  });
});
