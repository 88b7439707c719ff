/** Numbers and words that the terminal table and the page share, so that both say the same. */
import type { CaseResult, Comparison, Counters, Ratio, Workload } from "../result.ts";
import { hasInterval } from "../statistics.ts";

const grouped = new Intl.NumberFormat("en-US");

/** A count with a comma between thousands. */
export function count(value: number): string {
  return grouped.format(value);
}

/** `1 packet`, `3,412 packets`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Three significant digits, but never fewer than the integer part has. */
export function measure(value: number): string {
  if (value === 0) return "0";
  return value >= 100 ? count(Math.round(value)) : value.toFixed(value >= 10 ? 1 : value >= 1 ? 2 : 3);
}

/** A counter per packet: `0`, `1`, `0.0313`. */
export function perPacket(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** Packets a second in millions. */
export function megapackets(pps: number): string {
  return measure(pps / 1e6);
}

/** `1.42 [1.38, 1.47]`; an end that isn't 1 is never rounded to look like 1. */
export function ratio({ value, low, high }: Ratio): string {
  if (low === 1 && high === 1) return "1";
  const digits = [2, 3, 4].find((n) => Number(low.toFixed(n)) !== 1 && Number(high.toFixed(n)) !== 1) ?? 4;
  if (!hasInterval({ value, low, high })) return `${value.toFixed(2)} (no interval)`;
  const from = low < 0.01 ? "<0.01" : low.toFixed(digits);
  const to = high > 100 ? ">100" : high.toFixed(digits);
  return `${value.toFixed(digits)} [${from}, ${to}]`;
}

/** The per-packet counters in the order in which the reports show them. */
export const COUNTERS: readonly { key: keyof Counters; short: string; long: string }[] = [
  { key: "tableTakes", short: "takes", long: "table takes" },
  { key: "tableHits", short: "hits", long: "table hits" },
  { key: "heapFalls", short: "heap", long: "falls to heap" },
  { key: "directFalls", short: "direct", long: "falls to direct" },
  { key: "localTakes", short: "local", long: "local takes" },
  { key: "remoteTakes", short: "remote", long: "remote takes" },
  { key: "doorbells", short: "bells", long: "doorbells" },
  { key: "interrupts", short: "irqs", long: "interrupts" },
];

/** Labelled facts about a run, as both reports print them above the results. */
export interface Fact {
  label: string;
  text: string;
}

/** What was run, on what, and how; one entry per line. */
export function facts(comparison: Comparison): Fact[] {
  const { environment: env, cases } = comparison;
  return [
    ...workloadsOf(comparison).map((workload) => ({ label: "workload", text: describeWorkload(workload) })),
    ...digestFacts(cases),
    { label: "machine", text: `${env.cpu}, ${plural(env.cores, "core")}, Node ${env.node}, V8 ${env.v8}` },
    { label: "memory", text: `${plural(env.memoryBytes, "byte")}, ${PLACEMENT[env.placement]}` },
    { label: "run", text: sharedDimensions(cases).concat(roundsOf(cases)).join(", ") },
  ]
    .filter(({ text }) => text !== "")
    .map(({ label, text }) => ({ label, text: printable(text) }));
}

/** A file's name may hold anything, a terminal's escape sequences too. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`);
}

const PLACEMENT = {
  skewed: "buffers skewed over the cache sets",
  aligned: "buffers all aligned to 4 KiB, so they alias in the cache",
};

function workloadsOf({ workload, workloads }: Comparison): Workload[] {
  return workloads !== undefined && workloads.length > 0 ? workloads : [workload];
}

function describeWorkload({ kind, file, packets, bytes }: Workload): string {
  const average = packets > 0 ? bytes / packets : 0;
  const name =
    file === null ? { capture: "capture", fixed: "fixed size", imix: "IMIX" }[kind] : `capture ${file}`;
  return `${name}: ${plural(packets, "packet")} and ${plural(bytes, "byte")} a pass, ${measure(average)} bytes a packet`;
}

/** One line when every case of a frame delivered the same bytes, else one per digest that names its cases. */
function digestFacts(cases: CaseResult[]): Fact[] {
  const frames = groupBy(cases, ({ frame }) => frame);
  return [...frames].flatMap(([frame, ofFrame]) => {
    const digests = [...groupBy(ofFrame, ({ digest }) => digest)];
    const where = frames.size === 1 ? "" : ` of ${describeFrame(frame)}`;
    if (digests.length === 1) {
      return [
        { label: "digest", text: `${digests[0][0]}, the same in ${everyCase(ofFrame.length)}${where}` },
      ];
    }
    return digests.map(([digest, same]) => ({
      label: "digest",
      text: `${digest} in ${same.map(({ id }) => id).join(", ")}${where}: THE CASES DIFFER`,
    }));
  });
}

function everyCase(n: number): string {
  return n === 1 ? "the one case" : `all ${n} cases`;
}

const TOUCH = { none: "payload not touched", header: "header read", copy: "payload copied" };

/** The dimensions that a case has beside ring and tables: what to call a value of each. */
const DIMENSIONS: readonly ((c: CaseResult) => string)[] = [
  ({ frame }) => describeFrame(frame),
  ({ sg }) => `${plural(sg, "sg")} a packet`,
  ({ batch }) => `bursts of ${batch}`,
  ({ ringSize }) => `ring ${ringSize}`,
  ({ threshold }) => `threshold ${threshold}`,
  ({ touch }) => TOUCH[touch],
];

/** What the title of a group of cases always names, also when there is one value only. */
const TITLED = DIMENSIONS.slice(0, 2);

function isShared(cases: CaseResult[], dimension: (c: CaseResult) => string): boolean {
  return new Set(cases.map(dimension)).size === 1;
}

function sharedDimensions(cases: CaseResult[]): string[] {
  return DIMENSIONS.filter((d) => !TITLED.includes(d) && isShared(cases, d)).map((d) => d(cases[0]));
}

function roundsOf(cases: CaseResult[]): string[] {
  if (cases.length === 0) return [];
  const rounds = cases.map((c) => c.rounds);
  const [fewest, most] = [Math.min(...rounds), Math.max(...rounds)];
  return [fewest === most ? plural(most, "round") : `${fewest} to ${most} rounds`];
}

/** Names a frame: `capture`, `IMIX` or `64-byte frames`. */
export function describeFrame(frame: string | number): string {
  if (typeof frame === "number") return `${frame}-byte frames`;
  return frame === "imix" ? "IMIX" : frame;
}

/** A group of cases that differ in ring and tables only. */
export interface Group {
  title: string;
  cases: CaseResult[];
}

/** Cases by frame, sgs and whatever else varies, in the order of their first appearance. */
export function groupCases(cases: CaseResult[]): Group[] {
  return groupUnder(
    DIMENSIONS.filter((d) => TITLED.includes(d) || !isShared(cases, d)),
    cases,
  );
}

/** The same without the sgs: a group is what one chart over sgs shows. */
export function groupCasesAcrossSgs(cases: CaseResult[]): Group[] {
  const [frame, sg] = TITLED;
  return groupUnder(
    DIMENSIONS.filter((d) => d === frame || (d !== sg && !isShared(cases, d))),
    cases,
  );
}

function groupUnder(named: typeof DIMENSIONS, cases: CaseResult[]): Group[] {
  const groups = groupBy(cases, (c) => named.map((d) => d(c)).join(", "));
  return [...groups].map(([title, inGroup]) => ({ title, cases: inGroup }));
}

/** The items by key, both in the order of first appearance. */
export function groupBy<T, K>(items: readonly T[], key: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}

/** A note, numbered from 1 for the footnotes, and the cases that carry it. */
export interface Note {
  number: number;
  text: string;
  ids: string[];
}

/** Each different note once, in the order of first appearance. */
export function notesOf(cases: CaseResult[]): Note[] {
  const pairs = cases.flatMap(({ id, notes }) => notes.map((text) => ({ id, text })));
  const byText = [...groupBy(pairs, ({ text }) => text)];
  return byText.map(([text, of], i) => ({ number: i + 1, text, ids: of.map(({ id }) => id) }));
}

/** The marks that refer from a case to its notes: ` (1,2)`, or nothing. */
export function marks(c: CaseResult, notes: Note[]): string {
  const numbers = notes.filter(({ ids }) => ids.includes(c.id)).map(({ number }) => number);
  return numbers.length === 0 ? "" : ` (${numbers.join(",")})`;
}
