/** Numbers and words that the terminal table and the page share, so that both say the same. */
import { groupBy } from "../group.ts";
import type { CaseResult, Comparison, Ratio, Workload } from "../result.ts";
import { hasInterval } from "../statistics.ts";
import { sharedDimensions, type View } from "./view.ts";

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

/** A counter per packet, with three significant digits, but never fewer than the integer part has: `0`, `0.0313`, `2048`. */
export function perPacket(value: number): string {
  return String(value >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
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

/** Labelled facts about a run, as both reports print them above the results. */
export interface Fact {
  label: string;
  text: string;
}

/** What was run, on what, and how; one entry per line. */
export function facts(comparison: Comparison, view: View): Fact[] {
  const { environment: env, cases } = comparison;
  return [
    ...workloadsOf(comparison).map((workload) => ({ label: "workload", text: describeWorkload(workload) })),
    ...digestFacts(cases, view),
    { label: "machine", text: `${env.cpu}, ${plural(env.cores, "core")}, Node ${env.node}, V8 ${env.v8}` },
    { label: "memory", text: `${plural(env.memoryBytes, "byte")}, ${PLACEMENT[env.placement]}` },
    { label: "run", text: sharedDimensions(cases, view).concat(roundsOf(cases)).join(", ") },
    ...leftOutFacts(comparison),
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

function describeWorkload({ kind, file, packets, bytes, notes = [] }: Workload): string {
  const average = packets > 0 ? bytes / packets : 0;
  const name =
    file === null ? { capture: "capture", fixed: "fixed size", imix: "IMIX" }[kind] : `capture ${file}`;
  const size = `${plural(packets, "packet")} and ${plural(bytes, "byte")} a pass, ${measure(average)} bytes a packet`;
  return [`${name}: ${size}`, ...notes].join("; ");
}

/** One line when every case that should have delivered the same bytes did, else one per digest that names its cases. */
function digestFacts(cases: CaseResult[], view: View): Fact[] {
  const same = groupBy(cases, view.sameBytes);
  return [...same].flatMap(([what, alike]) => {
    const digests = [...groupBy(alike, ({ digest }) => digest)];
    const where = same.size === 1 ? "" : ` of ${what}`;
    if (digests.length === 1) {
      return [{ label: "digest", text: `${digests[0][0]}, the same in ${everyCase(alike.length)}${where}` }];
    }
    return digests.map(([digest, of]) => ({
      label: "digest",
      text: `${digest} in ${of.map(({ id }) => id).join(", ")}${where}: THE CASES DIFFER`,
    }));
  });
}

/** What can't be run as asked, by reason. */
function leftOutFacts({ leftOut = [] }: Comparison): Fact[] {
  return [...groupBy(leftOut, ({ why }) => why)].map(([why, of]) => ({
    label: "left out",
    text: `${of.map(({ id }) => id).join(", ")}: ${why}`,
  }));
}

function everyCase(n: number): string {
  return n === 1 ? "the one case" : `all ${n} cases`;
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
