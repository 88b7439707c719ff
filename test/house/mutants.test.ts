/** The list of the mutation check fits the source of today; whether the bugs are caught is `npm run mutants`. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { fits, mutants, mutate, table, withTable } from "../../scripts/mutants/mutants.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (file: string): string => readFileSync(`${root}${file}`, "utf8");
const HALVES = [
  "split driver",
  "split device",
  "packed driver",
  "packed device",
  "both",
  "memory",
  "dma",
  "offloads",
  "buffers",
  "hosts",
  "applications",
];

describe("the list of mutants", () => {
  test("each one's text stands in the source exactly once, so none has gone stale", () => {
    const stale = mutants.flatMap((mutant) => {
      const fault = fits(mutant, read);
      return fault === undefined ? [] : [`${mutant.name}: ${fault}`];
    });
    expect(stale).toEqual([]);
  });

  test("each one changes its file, has a name of its own and says what it breaks", () => {
    expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
    for (const mutant of mutants) {
      const text = read(mutant.file);
      expect(mutate(mutant, text), mutant.name).not.toBe(text);
      expect(HALVES, mutant.name).toContain(mutant.half);
      expect(mutant.mechanism, mutant.name).toMatch(/^[a-z][a-z -]+$/);
      expect(mutant.tests.length, mutant.name).toBeGreaterThan(0);
    }
  });

  test("there are some for each half, and barriers, order and re-checks in every one of them", () => {
    for (const half of HALVES) {
      expect(mutants.filter((mutant) => mutant.half === half).length, half).toBeGreaterThan(4);
    }
    for (const mechanism of ["barrier", "order", "re-check", "suppression"]) {
      for (const half of HALVES.slice(0, 4)) {
        const some = mutants.some((mutant) => mutant.half === half && mutant.mechanism === mechanism);
        expect(some, `${mechanism}, ${half}`).toBe(true);
      }
    }
  });
});

describe("a mutant", () => {
  const mutant = { file: "a.ts", edits: [{ find: "x < y", replace: "x <= y" }] };

  test("whose text is gone, or stands there twice, is an error that says so", () => {
    expect(fits(mutant, () => "if (x < y)")).toBeUndefined();
    expect(fits(mutant, () => "if (x > y)")).toBe('stands 0 times in a.ts, not once: "x < y"');
    expect(fits(mutant, () => "x < y; x < y")).toBe('stands 2 times in a.ts, not once: "x < y"');
  });
});

describe("the table of results", () => {
  const killed = { name: "a | b", mechanism: "wrap", half: "both", killedBy: "ring/x: a list<3>" };
  const survived = { name: "c", mechanism: "wrap", half: "both", why: "no test fails" };

  test("names the test that killed each, and who survived", () => {
    const lines = table([killed, survived]).split("\n");
    expect(lines[0]).toBe("2 deliberate bugs, 1 caught.");
    expect(lines.at(-2)).toBe("| a \\| b | wrap | both | ring/x: a list&lt;3> |");
    expect(lines.at(-1)).toBe("| c | wrap | both | **survived**: no test fails |");
  });

  test("goes between the markers, and nowhere when there are none", () => {
    const text = "a\n<!-- mutation:start -->\nold\n<!-- mutation:end -->\nb\n";
    const expected = "a\n<!-- mutation:start -->\n\nnew\n\n<!-- mutation:end -->\nb\n";
    expect(withTable(text, "new")).toBe(expected);
    expect(withTable(expected, "new")).toBe(expected);
    expect(() => withTable("a\n", "new")).toThrow("docs/conformance.md needs the lines");
  });
});
