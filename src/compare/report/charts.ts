/** The charts of the page, as static SVG whose colours are the page's CSS variables. */
import * as Plot from "@observablehq/plot";
import type { CaseResult } from "../result.ts";
import { hasInterval } from "../statistics.ts";
import type { ChartView, Series } from "./view.ts";

/** The series of these cases, in a fixed order, each with its own colour, symbol and dash. */
function seriesOf(cases: CaseResult[], { known, series }: ChartView): Series[] {
  const present = new Set(cases.map(series));
  const others = [...present].filter((name) => known.every((one) => one.name !== name));
  return [
    ...known.filter(({ name }) => present.has(name)),
    ...others.map((name) => ({ name, color: "currentColor", symbol: "star", dash: "none" })),
  ];
}

const WIDTH = 920;
const FACET = { label: null, padding: 0.06 };
const STYLE = { background: "none", fontSize: "12px" };

/** Scales that give every mark of a series its colour and symbol. */
function seriesScales(series: Series[]): Pick<Plot.PlotOptions, "color" | "symbol"> {
  const domain = series.map(({ name }) => name);
  return {
    color: { type: "ordinal", domain, range: series.map(({ color }) => color) },
    symbol: { domain, range: series.map(({ symbol }) => symbol) },
  };
}

type Drawing = SVGSVGElement | HTMLElement;

/** Ratio to the baseline per case (at least one), with its interval; one panel per facet. The line at 1 is the baseline. */
export function ratioChart(document: Document, label: string, cases: CaseResult[], view: ChartView): Drawing {
  const { facet, place, series } = view;
  const paired = cases.filter(({ ratio }) => hasInterval(ratio));
  return Plot.plot({
    document,
    ...placesFrame(cases, view),
    ariaLabel: label,
    x: {
      domain: ratioDomain(cases),
      label: "times the baseline's packets a second →",
      labelAnchor: "center",
      ticks: 6,
    },
    ...seriesScales(seriesOf(cases, view)),
    marks: [
      Plot.frame({ stroke: "var(--line)" }),
      Plot.gridX({ stroke: "var(--line)", strokeOpacity: 1, ticks: 6 }),
      Plot.ruleX([1], { stroke: "currentColor", strokeWidth: 1.5 }),
      Plot.ruleY(paired, {
        fx: facet,
        y: place,
        x1: ({ ratio }: CaseResult) => ratio.low,
        x2: ({ ratio }: CaseResult) => ratio.high,
        stroke: series,
        strokeWidth: 2,
        marker: "tick",
        clip: true,
      }),
      Plot.dot(cases, {
        fx: facet,
        x: ({ ratio }: CaseResult) => ratio.value,
        y: place,
        stroke: series,
        symbol: series,
        fill: "var(--paper)",
        strokeWidth: 1.8,
        r: 3.5,
      }),
    ],
  });
}

/** Room for 1, every value and every interval, but an interval far wider than its value is cut at the frame. */
function ratioDomain(cases: CaseResult[]): [number, number] {
  const low = Math.min(1, ...cases.map(({ ratio }) => Math.max(ratio.low, ratio.value * 0.6)));
  const high = Math.max(1, ...cases.map(({ ratio }) => Math.min(ratio.high, ratio.value * 1.6)));
  const margin = Math.max(0.04 * (high - low), 0.02);
  return [Math.max(0, low - margin), high + margin];
}

/** A chart with a row for each place and a panel for each facet. */
function placesFrame(cases: CaseResult[], { facet, place }: ChartView): Plot.PlotOptions {
  const places = [...new Set(cases.map(place))];
  return {
    width: WIDTH,
    height: 76 + 19 * places.length,
    marginLeft: 12 + 7 * Math.max(...places.map((name) => name.length)),
    marginRight: 16,
    marginTop: 34,
    marginBottom: 42,
    style: STYLE,
    fx: { ...FACET, domain: [...new Set(cases.map(facet))] },
    y: { type: "point", domain: places, label: null, padding: 0.6 },
  };
}

/** What a packet costs in each case of a group. */
export function costChart(document: Document, title: string, cases: CaseResult[], view: ChartView): Drawing {
  return view.cost.by === "sgs"
    ? sgsChart(document, `Nanoseconds per packet against sgs, ${title}`, cases, view)
    : placesChart(document, `Nanoseconds per packet, ${title}`, cases, view);
}

/** Median ns per packet against sgs per packet, one line per series; one panel per facet. */
function sgsChart(document: Document, label: string, cases: CaseResult[], view: ChartView): Drawing {
  const series = seriesOf(cases, view);
  const sgs = [...new Set(cases.map(({ sg }) => sg))].sort((a, b) => a - b);
  const at = { fx: view.facet, x: "sg", y: medianOf };
  return Plot.plot({
    document,
    width: WIDTH,
    height: 340,
    marginLeft: 48,
    marginRight: 16,
    marginTop: 34,
    marginBottom: 42,
    style: STYLE,
    ariaLabel: label,
    fx: { ...FACET, domain: [...new Set(cases.map(view.facet))] },
    x: {
      type: "log",
      ticks: sgs,
      tickFormat: "d",
      label: "sgs per packet →",
      labelAnchor: "center",
      insetLeft: 12,
      insetRight: 12,
    },
    y: { zero: true, label: "↑ ns per packet, median", grid: true, nice: true },
    ...seriesScales(series),
    marks: [
      Plot.frame({ stroke: "var(--line)" }),
      ...series.map(({ name, dash }) =>
        Plot.line(
          cases.filter((c) => view.series(c) === name),
          { ...at, sort: "sg", stroke: view.series, strokeWidth: 1.8, strokeDasharray: dash },
        ),
      ),
      Plot.dot(cases, {
        ...at,
        stroke: view.series,
        symbol: view.series,
        fill: "var(--paper)",
        strokeWidth: 1.8,
        r: 4,
      }),
    ],
  });
}

/** Median ns per packet of every case, with the samples' minimum and 95th percentile; one panel per facet. */
function placesChart(document: Document, label: string, cases: CaseResult[], view: ChartView): Drawing {
  const { facet, place, series } = view;
  return Plot.plot({
    document,
    ...placesFrame(cases, view),
    ariaLabel: label,
    x: {
      domain: [0, 1.05 * Math.max(...cases.map(({ nsPerPacket }) => nsPerPacket.p95))],
      label: "ns per packet: median, from minimum to 95th percentile →",
      labelAnchor: "center",
      ticks: 6,
    },
    ...seriesScales(seriesOf(cases, view)),
    marks: [
      Plot.frame({ stroke: "var(--line)" }),
      Plot.gridX({ stroke: "var(--line)", strokeOpacity: 1, ticks: 6 }),
      Plot.ruleY(cases, {
        fx: facet,
        y: place,
        x1: ({ nsPerPacket }: CaseResult) => nsPerPacket.min,
        x2: ({ nsPerPacket }: CaseResult) => nsPerPacket.p95,
        stroke: series,
        strokeWidth: 2,
      }),
      Plot.dot(cases, {
        fx: facet,
        x: medianOf,
        y: place,
        stroke: series,
        symbol: series,
        fill: "var(--paper)",
        strokeWidth: 1.8,
        r: 3.5,
      }),
    ],
  });
}

function medianOf({ nsPerPacket }: CaseResult): number {
  return nsPerPacket.median;
}

/** What the colours, symbols and dashes of both charts stand for. */
export function legend(document: Document, cases: CaseResult[], view: ChartView): Drawing {
  const series = seriesOf(cases, view);
  const step = 110;
  const at = series.map((s, i) => ({ ...s, x: i * step }));
  return Plot.plot({
    document,
    width: step * series.length,
    height: 26,
    margin: 0,
    style: STYLE,
    ariaLabel: "legend",
    axis: null,
    x: { domain: [-4, step * series.length - 4] },
    y: { domain: [-1, 1] },
    ...seriesScales(series),
    marks: [
      ...at.map((s) =>
        Plot.ruleY([s], {
          y: 0,
          x1: s.x,
          x2: s.x + 32,
          stroke: s.color,
          strokeWidth: 1.8,
          strokeDasharray: s.dash,
        }),
      ),
      Plot.dot(at, {
        x: ({ x }: { x: number }) => x + 16,
        y: 0,
        stroke: "name",
        symbol: "name",
        fill: "var(--paper)",
        strokeWidth: 1.8,
        r: 4,
      }),
      Plot.text(at, {
        x: ({ x }: { x: number }) => x + 40,
        y: 0,
        text: "name",
        textAnchor: "start",
        fill: "currentColor",
      }),
    ],
  });
}
