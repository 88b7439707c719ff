/** Every row of the requirement list has a test or a reason, and docs/conformance.md says so. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { idsOf, problems, render, type TestName } from "./matrix.ts";
import { AREAS, type Area, ROWS } from "./rows.ts";

it("every row of the requirement list has a test that carries its ID or a reason why not, and the page is what the tests say", () => {
  const script = fileURLToPath(new URL("../../scripts/conformance.mjs", import.meta.url));
  const { stderr, status } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});

it("the rows are those of the requirement list, by area and side", () => {
  const counts: Record<string, number> = {};
  for (const { id } of ROWS) counts[id.slice(0, 3)] = (counts[id.slice(0, 3)] ?? 0) + 1;
  // Section 7 of the list, and its 16 rows about hardening.
  expect(counts).toEqual({
    ...{ "G-D": 17, "G-V": 9, "F-D": 3, "F-V": 2, "F-B": 4, "V-D": 7, "V-V": 4, "V-B": 4 },
    ...{ "S-D": 20, "S-V": 15, "S-B": 9, "P-D": 18, "P-V": 12, "P-B": 8 },
    ...{ "N-D": 16, "N-V": 14, "N-B": 8, "C-D": 2, "C-V": 3, "C-B": 4, "M-D": 2, "M-V": 2, "M-B": 1 },
    ...{ "R-D": 1, "R-V": 3, "R-B": 1, "Q-D": 1, "Q-V": 4, "H-V": 9, "H-D": 5, "H-B": 2 },
  });
  for (const { area, rows } of AREAS) {
    for (const { id, text, level, section } of rows) {
      expect(id[0]).toBe(area);
      expect(text).not.toBe("");
      expect([level === "", section === ""]).toEqual([area === "H", area === "H"]);
    }
  }
});

// Planted faults: what the check must find, on two made-up rows.

const [A, B] = ["A-D-01", "A-V-02"];

function area(notHere?: string): Area[] {
  const row = { level: "M", section: "1.2", text: "something" };
  return [
    {
      area: "A",
      title: "made up",
      rows: [
        { ...row, id: A },
        { ...row, id: B, notHere },
      ],
    },
  ];
}

function named(...names: string[]): TestName[] {
  return names.map((name) => ({ file: "test/made-up.test.ts", name }));
}

it("a row with neither a test nor a reason is found", () => {
  expect(problems(area(), named(`${A}: x`))).toEqual([`${B} has no test, and no reason why not`]);
  expect(problems(area("later"), named())).toEqual([`${A} has no test, and no reason why not`]);
});

it("a reason that a test has made stale is found", () => {
  expect(problems(area("later"), named(`${A}, ${B}: x`))).toEqual([
    `${B} is listed as "not here", but test/made-up.test.ts has "${A}, ${B}: x"`,
  ]);
});

it("a test that names no row is found, and a row that stands twice", () => {
  expect(problems(area("later"), named(`${A}: x`, "x (A-B-07)"))).toEqual([
    '"x (A-B-07)" in test/made-up.test.ts names A-B-07, which is no row',
  ]);
  const [{ rows }] = area("later");
  expect(problems([{ area: "A", title: "", rows: [...rows, rows[0]] }], named(`${A}: x`))).toEqual([
    `${A} stands twice in the rows`,
  ]);
});

it("nothing is found when each row has one place", () => {
  expect(problems(area("later"), named(`${A}: x`))).toEqual([]);
  expect(problems(area(), named(`${A}: x`, `a suite > y (${B})`))).toEqual([]);
});

it("an ID is found wherever it stands in a name, once, and no other letters and digits are", () => {
  expect(idsOf(`suite > ${A}, ${B}: x ${A}`)).toEqual([A, B]);
  expect(idsOf("XA-D-01 A-D-011 A-X-01 a-d-01 S-D 2^32")).toEqual([]);
});

it("the page shows tests, reasons and counts, and keeps the part that another script writes", () => {
  const tests = named(`suite > ${A}: a | b`, `suite > ${A}: c`);
  const page = render(area("later"), tests, "");
  expect(page).toContain("| A made up | 2 | 1 | 1 |");
  expect(page).toContain(
    `| ${A} | M | 1.2 | something | \`made-up.test.ts\`: suite: ${A}: a \\| b (and 1 more) |`,
  );
  expect(page).toContain(`| ${B} | M | 1.2 | something | not here: later |`);
  const filled = page.replace("<!-- mutation:start -->", "<!-- mutation:start -->\n| a bug | caught |");
  expect(render(area("later"), tests, filled)).toBe(filled);
  expect(render(area("later"), tests.slice(1), filled)).not.toBe(filled);
});
