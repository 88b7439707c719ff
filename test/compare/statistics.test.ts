import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hasInterval, pairedRatio, summarize, UNBOUNDED, verdict } from "../../src/compare/statistics.ts";
import { normal, seeded } from "./fixture.ts";

const ns = fc.double({ min: 0.1, max: 1e6, noNaN: true });
const rounds = fc.array(fc.tuple(ns, ns), { minLength: 2, maxLength: 40 });

describe("summary of the samples", () => {
  test("gives minimum, median and 95th percentile", () => {
    const samples = Array.from({ length: 101 }, (_, i) => 200 - i);
    expect(summarize(samples)).toEqual({ min: 100, median: 150, p95: 195 });
  });

  test("is in order and does not disturb the samples", () => {
    fc.assert(
      fc.property(fc.array(ns, { minLength: 1 }), (samples) => {
        const before = [...samples];
        const { min, median, p95 } = summarize(samples);
        expect(samples).toEqual(before);
        expect(min).toBeLessThanOrEqual(median);
        expect(median).toBeLessThanOrEqual(p95);
      }),
    );
  });

  test("refuses no samples and samples that are no times, naming them", () => {
    expect(() => summarize([])).toThrow("samples is empty");
    expect(() => summarize([1, 0])).toThrow("samples[1] is 0");
  });
});

describe("paired ratio", () => {
  test("is the baseline's time over ours", () => {
    expect(pairedRatio([10, 11, 12, 13, 14, 15], [20, 22, 24, 26, 28, 30])).toEqual({
      value: expect.closeTo(2, 12),
      low: expect.closeTo(2, 12),
      high: expect.closeTo(2, 12),
    });
  });

  test("of an arm against itself is exactly 1, 1, 1, in one round too", () => {
    fc.assert(
      fc.property(fc.array(ns, { minLength: 1, maxLength: 40 }), (samples) => {
        expect(pairedRatio(samples, [...samples])).toEqual({ value: 1, low: 1, high: 1 });
      }),
    );
  });

  test("lies within its interval, whatever the rounds", () => {
    fc.assert(
      fc.property(rounds, (pairs) => {
        const { value, low, high } = pairedRatio(...arms(pairs));
        expect(low).toBeGreaterThan(0);
        expect(low).toBeLessThanOrEqual(value);
        expect(value).toBeLessThanOrEqual(high);
      }),
    );
  });

  test("does not depend on the unit of time, nor on a drift that both arms of a round share", () => {
    fc.assert(
      fc.property(
        rounds,
        fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 40 }),
        (pairs, scale) => {
          const plain = pairedRatio(...arms(pairs));
          const drifted = pairedRatio(...arms(pairs.map(([a, b], i) => [a * scale[i], b * scale[i]])));
          expectClose(drifted, plain);
        },
      ),
    );
  });

  test("becomes its reciprocal when the arms are swapped, ends included", () => {
    fc.assert(
      fc.property(rounds, (pairs) => {
        const [ours, baseline] = arms(pairs);
        const { value, low, high } = pairedRatio(baseline, ours);
        expectClose(pairedRatio(ours, baseline), { value: 1 / value, low: 1 / high, high: 1 / low });
      }),
    );
  });

  test("has an interval that says nothing after one round, in finite numbers", () => {
    const one = pairedRatio([10], [20]);
    expect(one).toEqual({ value: expect.closeTo(2, 12), low: 1 / UNBOUNDED, high: UNBOUNDED });
    expect(hasInterval(one)).toBe(false);
    expect(verdict(one)).toBe("undecided");
  });

  test("is not moved by one round in which the machine did something else", () => {
    const baseline = Array.from({ length: 15 }, (_, i) => 20 + 0.01 * i);
    const ours = baseline.map((b) => b / 1.5);
    ours[7] *= 30;
    const { value, low, high } = pairedRatio(ours, baseline);
    expect([value, low, high]).toEqual([1.5, 1.5, 1.5].map((x) => expect.closeTo(x, 9)));
  });

  test("is called faster or slower only when the interval leaves out 1", () => {
    expect(verdict({ value: 1.2, low: 1.01, high: 1.4 })).toBe("faster");
    expect(verdict({ value: 0.9, low: 0.8, high: 0.99 })).toBe("slower");
    expect(verdict({ value: 1.2, low: 1, high: 1.4 })).toBe("undecided");
  });

  test("refuses rounds that are not paired and times that are none", () => {
    expect(() => pairedRatio([1, 2], [1])).toThrow("ours has 2 rounds and the baseline 1");
    expect(() => pairedRatio([1, Number.NaN], [1, 2])).toThrow("ours[1] is NaN");
    expect(() => pairedRatio([1], [Number.POSITIVE_INFINITY])).toThrow("baseline[0] is Infinity");
    expect(() => pairedRatio([], [])).toThrow("ours is empty");
  });
});

/** Shapes of the noise of a round; each has its median at 0, and those that a t interval needs symmetric are. */
const NOISE: Record<string, (random: () => number) => number> = {
  normal: (random) => 0.03 * normal(random),
  "normal, one round in ten ten times as noisy": (random) => (random() < 0.1 ? 0.3 : 0.03) * normal(random),
};

describe("coverage of the 95 % interval on simulated rounds", () => {
  for (const [shape, noise] of Object.entries(NOISE)) {
    test.each([2, 3, 5, 6, 8, 11, 15, 30])(`is about 95 %% with ${shape} noise and %i rounds`, (n) => {
      const covered = coverage(n, noise);
      expect(covered).toBeGreaterThan(0.935);
      // Few rounds with outliers: the interval errs on the careful side.
      expect(covered).toBeLessThan(shape === "normal" ? 0.965 : 0.985);
    });
  }

  test.each([6, 11, 30])("is about 95 %% with skewed noise too, from 6 rounds on: %i rounds", (n) => {
    const covered = coverage(n, (random) => 0.05 * (-Math.log(random()) - Math.LN2));
    expect(covered).toBeGreaterThan(0.935);
    expect(covered).toBeLessThan(0.97);
  });
});

function coverage(n: number, noise: (random: () => number) => number): number {
  const random = seeded(20_240_501 + n);
  const trials = 8000;
  const truth = 1.16;
  let hits = 0;
  for (let trial = 0; trial < trials; trial++) {
    const baseline = Array.from({ length: n }, () => 30 * (1 + random()));
    const ours = baseline.map((b) => b / (truth * Math.exp(noise(random))));
    const { low, high } = pairedRatio(ours, baseline);
    if (low <= truth && truth <= high) hits++;
  }
  return hits / trials;
}

function arms(pairs: [number, number][]): [number[], number[]] {
  return [pairs.map(([ours]) => ours), pairs.map(([, baseline]) => baseline)];
}

type Triple = { value: number; low: number; high: number };

/** Equal but for rounding; compared as logarithms, because an interval of two wild rounds spans many magnitudes. */
function expectClose(actual: Triple, expected: Triple): void {
  for (const key of ["value", "low", "high"] as const) {
    const [a, b] = [Math.log(actual[key]), Math.log(expected[key])];
    if (a !== b) expect(a).toBeCloseTo(b, 8);
  }
}
