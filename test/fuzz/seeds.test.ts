/** Every kept case once more: its rules hold, and it still reaches what it was kept for. */
import { beforeAll, describe, expect, it } from "vitest";
import { Fuzzer, TARGETS } from "../../fuzz/fuzzer.ts";
import { keptCases } from "../../fuzz/kept.ts";
import { VIOLATIONS } from "../../src/names.ts";
import { wasmModule } from "../support/engine.ts";

const violations = Object.values(VIOLATIONS).map(({ code }) => code);

describe.each(TARGETS)("$name", (target) => {
  const cases = keptCases(target.name);
  let fuzzer: Fuzzer;

  beforeAll(async () => {
    fuzzer = await Fuzzer.create(target, await wasmModule("vring"), 0);
  });

  it.each(cases)("$name", ({ name, bytes, expected }) => {
    const { message, outcomes } = fuzzer.describe(bytes);
    expect(message).toBeNull();
    expect(outcomes).toEqual(expect.arrayContaining(expected));
    if (name.startsWith("no-fault")) expect(outcomes.filter((one) => violations.includes(one))).toEqual([]);
  });

  it("each violation that it can reach is among them", () => {
    const expected = cases.flatMap((one) => one.expected);
    expect(expected).toEqual(
      expect.arrayContaining(target.outcomes.filter((one) => violations.includes(one))),
    );
  });
});
