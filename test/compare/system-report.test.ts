import { parseHTML } from "linkedom";
import { beforeAll, describe, expect, test } from "vitest";
import { ONE_DRIVER_CASE } from "../../bench/one-driver-case.ts";
import { conclude } from "../../src/compare/report/conclusion.ts";
import { toHtml } from "../../src/compare/report/html.ts";
import { toJson } from "../../src/compare/report/json.ts";
import { toTable } from "../../src/compare/report/table.ts";
import { inWords } from "../../src/compare/report/way-diagram.ts";
import type { Comparison } from "../../src/compare/result.ts";
import { compare } from "../../src/compare/runner.ts";
import { fixedTraffic } from "../../src/net/traffic.ts";
import { directionsOf, SYSTEM_RECORDS, systemsNamed } from "../../src/system/records.ts";
import { wayOf } from "../../src/system/way.ts";
import { wasmModule } from "../support/engine.ts";

const NAMES = ["vhost-net", "qemu-virtio-net", "vhost-zerocopy", "virtio-net", "sriov-vf", "xsk"];

/** A comparison of systems as the command runs it. */
async function comparisonOf(names: readonly string[], as: "systems" | "drivers" = "systems") {
  const tables = ["heap", "freelist"] as const;
  return compare(
    [fixedTraffic(256, { count: 64, seed: 1 })],
    {
      ...ONE_DRIVER_CASE,
      ...{ systems: systemsNamed(...names), as, leaveOut: true, dmas: [], directions: ["tx", "rx"] },
      ...{ touches: ["none"], tables },
      ...{ rounds: 3, timeMs: 1, align: false },
    },
    { machine: { node: "n", v8: "v", cpu: "c", cores: 1 }, module: await wasmModule("vring") },
  );
}

let comparison: Comparison;
beforeAll(async () => {
  comparison = await comparisonOf(NAMES);
});

const lines = (of: Comparison): string[] => toTable(of, { color: false }).split("\n");
const parse = (html: string): Document => parseHTML(html).document;

describe("the terminal table of systems", () => {
  test("has copies and bytes of the CPU beside each system, under its direction", () => {
    const text = lines(comparison);
    const heads = text.find((line) => line.startsWith("case "))?.split(/\s{2,}/);
    expect(heads?.slice(0, 6)).toEqual(["case", "Mpps", "ns/pkt", "against vhost-net", "copies", "CPU B"]);
    const receive = text.indexOf("256-byte frames, receive");
    const row = text.slice(receive).find((line) => line.startsWith("qemu-virtio-net "));
    expect(row?.split(/\s{2,}/).slice(4, 6)).toEqual(["2", "512"]);
    expect(text).toContain("256-byte frames, transmit");
    expect(Math.max(...text.map((line) => line.length))).toBeLessThanOrEqual(120);
  });

  test("says that an engine copied nothing where none did, and whose backend is which", () => {
    const text = lines(comparison).join("\n").replace(/\n/g, " ");
    expect(text).toMatch(/the same in every case: .*payload bytes copied by an engine 0/);
    expect(text).toContain("sriov-vf is behind iommu-strict");
  });

  test("concludes about each system and direction but the baseline's", () => {
    const heads = conclude(comparison).map((line) => line.split(":")[0]);
    const others = NAMES.slice(1);
    expect(heads).toEqual([
      ...others.map((name) => `transmit, ${name}`),
      ...others.map((name) => `receive, ${name}`),
    ]);
  });

  test("names what was left out, and why", () => {
    const leftOut = ["a/rx", "b/rx"].map((id) => ({ id, why: "there is no frame for it" }));
    expect(lines({ ...comparison, leftOut })).toContain("left out  a/rx, b/rx: there is no frame for it");
  });
});

describe("a published figure", () => {
  test("stands beside ours, with our ratio and interval and what differs, when its cases were run", () => {
    const { published = [] } = comparison;
    expect(published.map(({ name }) => name)).toEqual(["table-cache", "mapping-per-packet"]);
    const [cache, mapping] = published;
    expect(cache).toMatchObject({ before: 2.68, after: 3.11, unit: "Mpps" });
    expect(cache.ours.map(({ id, ratio }) => [id, ratio.baseline])).toEqual([
      ["xsk/tx/freelist", "xsk/tx/heap"],
    ]);
    expect(mapping.ours.map(({ id, ratio }) => [id, ratio.baseline])).toEqual([
      ["sriov-vf/tx/heap", "virtio-net/tx/heap"],
      ["sriov-vf/tx/freelist", "virtio-net/tx/freelist"],
      ["sriov-vf/rx", "virtio-net/rx"],
    ]);
    expect(mapping.ours[0].differs).toContain("sriov-vf is behind iommu-strict, virtio-net behind direct");
  });

  test("has the ratio of two cases whose own baselines are others", () => {
    const ppsOf = (id: string) => comparison.cases.find((c) => c.id === id)?.pps ?? Number.NaN;
    for (const { id, ratio } of comparison.published?.flatMap(({ ours }) => ours) ?? []) {
      expect(ratio.value).toBeCloseTo(ppsOf(id) / ppsOf(ratio.baseline), 9);
      expect(ratio.low).toBeLessThanOrEqual(ratio.value);
      expect(ratio.high).toBeGreaterThanOrEqual(ratio.value);
    }
  });

  test("is absent without its cases, and in a comparison of drivers", async () => {
    expect(await comparisonOf(["vhost-net", "sriov-vf"])).not.toHaveProperty("published");
    expect(await comparisonOf(["virtio-net", "premapped"], "drivers")).not.toHaveProperty("published");
  });

  test("is a block of the table and of the page: published, ours, what differs", () => {
    const text = lines(comparison);
    const start = text.indexOf("Cached indirect tables (AF_XDP transmit)");
    expect(text[start + 1]).toMatch(
      /^published 1\.16 times \(2\.68 and 3\.11 Mpps\): 2\.64-2\.72 Mpps without/,
    );
    const block = text.slice(start, text.indexOf("", start));
    expect(block.join("\n")).toMatch(
      /\nours +[\d.]+ .*times .*: xsk\/tx\/freelist against xsk\/tx\/heap\ndiffers /,
    );
    const document = parse(toHtml(comparison));
    const titles = [...document.querySelectorAll("h3")].map((title) => title.textContent);
    expect(titles).toEqual(comparison.published?.map(({ title }) => title));
    const labels = [...(document.querySelector("h3 + dl")?.querySelectorAll("dt") ?? [])].map(
      (dt) => dt.textContent,
    );
    expect(labels).toEqual(["published", "ours", "differs"]);
  });
});

describe("the page of systems", () => {
  test("is one file that runs no script and asks for nothing else", () => {
    const html = toHtml(comparison);
    expect(html).not.toMatch(/https?:/i);
    expect(html).not.toMatch(/<(script|link|img|iframe|object)\b|@import|\burl\((?!#)|\bsrc=|\bon\w+=/i);
  });

  test("has the copies of every case among the counters", () => {
    const [, counters] = parse(toHtml(comparison)).querySelectorAll("table");
    const heads = [...counters.querySelectorAll("thead th")].map((th) => th.textContent);
    expect(heads).toEqual(expect.arrayContaining(["CPU copies", "CPU bytes", "engine bytes", "doorbells"]));
  });

  test("draws the way through each system: a box for each stop, an arrow with words for each leg", () => {
    const document = parse(toHtml(comparison));
    for (const record of systemsNamed(...NAMES)) {
      const svg = document.querySelector(`svg[aria-label="${inWords(record)}"]`) as Element;
      const ways = directionsOf(record).map((direction) => wayOf(record, direction));
      const legs = ways.flat();
      expect(svg.getAttribute("role")).toBe("img");
      expect(svg.querySelectorAll("rect")).toHaveLength(legs.length + ways.length);
      expect(svg.querySelectorAll("line")).toHaveLength(legs.length);
      const words = [...svg.querySelectorAll("text")].map((text) => text.textContent);
      expect(words.filter((word) => word === "CPU copy")).toHaveLength(
        legs.filter(({ step }) => step === "cpu").length,
      );
      for (const color of svg.outerHTML.matchAll(/(?:fill|stroke)="([^"]+)"/g))
        expect(color[1]).toMatch(/^(none|currentColor|var\(--[\w-]+\))$/);
    }
  });

  test("says in words what a drawing shows", () => {
    expect(inWords(SYSTEM_RECORDS["vhost-net"])).toBe(
      "vhost-net, transmit: driver, by reference to device, CPU copy to host, DMA to wire; " +
        "receive: wire, DMA to host, CPU copy to device, by reference to driver",
    );
    expect(inWords(SYSTEM_RECORDS["vhost-zerocopy"])).toContain(
      "header copy, the rest pinned, below 256 B CPU copy to host",
    );
  });

  test("has no box or arrow outside of its drawing, however many stops there are", () => {
    const document = parse(toHtml({ ...comparison, systems: Object.values(SYSTEM_RECORDS) }));
    for (const svg of document.querySelectorAll("svg[role=img]")) {
      const [, , width, height] = (svg.getAttribute("viewBox") as string).split(" ").map(Number);
      for (const rect of svg.querySelectorAll("rect")) {
        const [x, y, w, h] = ["x", "y", "width", "height"].map((name) => Number(rect.getAttribute(name)));
        expect(x >= 0 && y >= 0 && x + w <= width && y + h <= height).toBe(true);
      }
      for (const line of svg.querySelectorAll("line"))
        expect(Math.abs(Number(line.getAttribute("x1")) - Number(line.getAttribute("x2")))).toBeGreaterThan(
          40,
        );
    }
  });
});

test("the JSON of systems parses back to the comparison", () => {
  const parsed: Comparison = JSON.parse(toJson(comparison));
  expect(parsed.systems).toEqual(comparison.systems);
  expect(parsed.published?.map(({ name }) => name)).toEqual(comparison.published?.map(({ name }) => name));
  expect(parsed.cases.map(({ id }) => id)).toEqual(comparison.cases.map(({ id }) => id));
});
