/** The charts of the page, as static SVG whose colours are the page's CSS variables. */
import * as Plot from "@observablehq/plot";
import type { CaseResult } from "../result.ts";
import { hasInterval } from "../statistics.ts";

/** How one table source is drawn: never by colour alone. */
interface Series {
  tables: string;
  color: string;
  symbol: string;
  dash: string;
}

const KNOWN: readonly Series[] = [
  { tables: "heap", color: "var(--heap)", symbol: "square", dash: "none" },
  { tables: "freelist", color: "var(--freelist)", symbol: "circle", dash: "12 3" },
  { tables: "grow", color: "var(--grow)", symbol: "triangle", dash: "6 3" },
  { tables: "slot", color: "var(--slot)", symbol: "diamond", dash: "2 3" },
  { tables: "per-node", color: "var(--per-node)", symbol: "plus", dash: "8 3 2 3" },
  { tables: "direct", color: "currentColor", symbol: "times", dash: "1 3" },
];

/** The table sources of these cases, in a fixed order, each with its own colour, symbol and dash. */
function seriesOf(cases: CaseResult[]): Series[] {
  const present = new Set(cases.map(({ tables }) => tables));
  const known = KNOWN.filter(({ tables }) => present.has(tables));
  const others = [...present].filter((tables) => KNOWN.every((series) => series.tables !== tables));
  return [
    ...known,
    ...others.map((tables) => ({ tables, color: "currentColor", symbol: "star", dash: "none" })),
  ];
}

const WIDTH = 920;
const FACET = { label: null, padding: 0.06 };
const STYLE = { background: "none", fontSize: "12px" };

/** Scales that give every mark of a table source its colour and symbol. */
function seriesScales(series: Series[]): Pick<Plot.PlotOptions, "color" | "symbol"> {
  const domain = series.map(({ tables }) => tables);
  return {
    color: { type: "ordinal", domain, range: series.map(({ color }) => color) },
    symbol: { domain, range: series.map(({ symbol }) => symbol) },
  };
}

type Drawing = SVGSVGElement | HTMLElement;

/** Ratio to the baseline per case (at least one), with its interval; one panel per ring. The line at 1 is the baseline. */
export function ratioChart(document: Document, label: string, cases: CaseResult[]): Drawing {
  const arm = ({ id, ring }: CaseResult) => (id.startsWith(`${ring}/`) ? id.slice(ring.length + 1) : id);
  const arms = [...new Set(cases.map(arm))];
  const paired = cases.filter(({ ratio }) => hasInterval(ratio));
  return Plot.plot({
    document,
    width: WIDTH,
    height: 76 + 19 * arms.length,
    marginLeft: 12 + 7 * Math.max(...arms.map((name) => name.length)),
    marginRight: 16,
    marginTop: 34,
    marginBottom: 42,
    style: STYLE,
    ariaLabel: label,
    fx: { ...FACET, domain: [...new Set(cases.map(({ ring }) => ring))] },
    x: {
      domain: ratioDomain(cases),
      label: "times the baseline's packets a second →",
      labelAnchor: "center",
      ticks: 6,
    },
    y: { type: "point", domain: arms, label: null, padding: 0.6 },
    ...seriesScales(seriesOf(cases)),
    marks: [
      Plot.frame({ stroke: "var(--line)" }),
      Plot.gridX({ stroke: "var(--line)", strokeOpacity: 1, ticks: 6 }),
      Plot.ruleX([1], { stroke: "currentColor", strokeWidth: 1.5 }),
      Plot.ruleY(paired, {
        fx: "ring",
        y: arm,
        x1: ({ ratio }: CaseResult) => ratio.low,
        x2: ({ ratio }: CaseResult) => ratio.high,
        stroke: "tables",
        strokeWidth: 2,
        marker: "tick",
        clip: true,
      }),
      Plot.dot(cases, {
        fx: "ring",
        x: ({ ratio }: CaseResult) => ratio.value,
        y: arm,
        stroke: "tables",
        symbol: "tables",
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

/** Median ns per packet against sgs per packet, one line per table source; one panel per ring. */
export function costChart(document: Document, label: string, cases: CaseResult[]): Drawing {
  const series = seriesOf(cases);
  const sgs = [...new Set(cases.map(({ sg }) => sg))].sort((a, b) => a - b);
  const at = { fx: "ring", x: "sg", y: ({ nsPerPacket }: CaseResult) => nsPerPacket.median };
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
    fx: { ...FACET, domain: [...new Set(cases.map(({ ring }) => ring))] },
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
      ...series.map(({ tables, dash }) =>
        Plot.line(
          cases.filter((c) => c.tables === tables),
          { ...at, sort: "sg", stroke: "tables", strokeWidth: 1.8, strokeDasharray: dash },
        ),
      ),
      Plot.dot(cases, {
        ...at,
        stroke: "tables",
        symbol: "tables",
        fill: "var(--paper)",
        strokeWidth: 1.8,
        r: 4,
      }),
    ],
  });
}

/** What the colours, symbols and dashes of both charts stand for. */
export function legend(document: Document, cases: CaseResult[]): Drawing {
  const series = seriesOf(cases);
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
        stroke: "tables",
        symbol: "tables",
        fill: "var(--paper)",
        strokeWidth: 1.8,
        r: 4,
      }),
      Plot.text(at, {
        x: ({ x }: { x: number }) => x + 40,
        y: 0,
        text: "tables",
        textAnchor: "start",
        fill: "currentColor",
      }),
    ],
  });
}
