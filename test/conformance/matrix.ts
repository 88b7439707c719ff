/**
 * The conformance matrix as a function of two lists: the rows of the requirement list, and the
 * names of all tests. scripts/conformance.mjs collects the names and writes docs/conformance.md.
 */
import type { Area, Row } from "./rows.ts";

export interface TestName {
  /** Path from the project's folder. */
  file: string;
  /** Suites and test, joined by " > ". */
  name: string;
}

const ID = /\b[A-Z]-[DVB]-\d\d\b/g;

/** What another script fills; `render` keeps it as it stands. */
const MUTATION = /<!-- mutation:start -->[\s\S]*?<!-- mutation:end -->/;
const NO_MUTATION = "<!-- mutation:start -->\n<!-- mutation:end -->";

/** The IDs that a test's name carries, each once. */
export function idsOf(name: string): string[] {
  return [...new Set(name.match(ID))];
}

function testsById(tests: readonly TestName[]): Map<string, TestName[]> {
  const byId = new Map<string, TestName[]>();
  for (const test of tests) {
    for (const id of idsOf(test.name)) byId.set(id, [...(byId.get(id) ?? []), test]);
  }
  return byId;
}

/** What is wrong with the two lists: one line each, empty when every row has its place. */
export function problems(areas: readonly Area[], tests: readonly TestName[]): string[] {
  const byId = testsById(tests);
  const rows = areas.flatMap(({ rows }) => rows);
  const known = new Set(rows.map(({ id }) => id));
  const found: string[] = [];
  for (const [at, { id, notHere }] of rows.entries()) {
    const shown = byId.get(id);
    if (rows.findIndex((row) => row.id === id) !== at) found.push(`${id} stands twice in the rows`);
    if (shown === undefined && !notHere) found.push(`${id} has no test, and no reason why not`);
    if (shown !== undefined && notHere) {
      found.push(`${id} is listed as "not here", but ${shown[0].file} has "${shown[0].name}"`);
    }
  }
  for (const [id, [{ file, name }]] of byId) {
    if (!known.has(id)) found.push(`"${name}" in ${file} names ${id}, which is no row`);
  }
  return found;
}

/** docs/conformance.md as it should be; `current` is what it is, for the part that is not ours. */
export function render(areas: readonly Area[], tests: readonly TestName[], current: string): string {
  const byId = testsById(tests);
  const shown = (row: Row): boolean => byId.has(row.id);
  const lines = [
    "# Conformance",
    "",
    "Every row of the requirement list for virtio 1.4 (cs01, 8 April 2026), and the tests that show it. Written by",
    "`node scripts/conformance.mjs` from the names of the tests; `npm test` fails when a row has neither a test nor a reason,",
    "or when this page is not what the tests say. One row in detail: `npm test -- -t S-D-07`.",
    "",
    "An ID is area, side (D driver, V device, B both) and number. Levels: M must, MN must not, S should, SN should not, Y may,",
    "D needed though no keyword says so. The H rows are not in the specification: they say what a hostile peer must not achieve",
    "([security.md](security.md)).",
    "",
    "| area | rows | shown by tests | not here |",
    "| --- | --: | --: | --: |",
  ];
  let all = 0;
  let allShown = 0;
  for (const { area, title, rows } of areas) {
    const tested = rows.filter(shown).length;
    all += rows.length;
    allShown += tested;
    lines.push(`| ${area} ${title} | ${rows.length} | ${tested} | ${rows.length - tested} |`);
  }
  lines.push(`| all | ${all} | ${allShown} | ${all - allShown} |`, "");
  lines.push("## Mutation check", "", current.match(MUTATION)?.[0] ?? NO_MUTATION, "");
  for (const { area, title, rows } of areas) {
    lines.push(`## ${area}: ${title}`, "");
    lines.push("| ID | level | section | requirement | where tested, or why not |");
    lines.push("| --- | --- | --- | --- | --- |");
    for (const row of rows) {
      const where = byId.has(row.id) ? places(byId.get(row.id) ?? [], row) : `not here: ${row.notHere}`;
      lines.push(`| ${row.id} | ${row.level} | ${row.section} | ${cell(row.text)} | ${where} |`);
    }
    lines.push("");
  }
  return lines.join("\n");
}

/** One line a file: a test, and how many more there are. */
function places(tests: readonly TestName[], row: Row): string {
  const byFile = new Map<string, string[]>();
  for (const { file, name } of tests) byFile.set(file, [...(byFile.get(file) ?? []), name]);
  const parts = [...byFile]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, names]) => {
      const more = names.length > 1 ? ` (and ${names.length - 1} more)` : "";
      return `\`${file.replace(/^test\//, "")}\`: ${cell(names[0].split(" > ").join(": "))}${more}`;
    });
  if (row.partly !== undefined) parts.push(`not here: ${cell(row.partly)}`);
  return parts.join("<br>");
}

function cell(text: string): string {
  return text.replace(/[|<>*_`\\]/g, (character) => `\\${character}`);
}
