/** What the rounds of a comparison say: a summary of the samples, and the ratio of two arms with an interval. */
import {
  binomialDistribution,
  mean,
  median,
  min,
  quantile,
  sampleStandardDeviation,
} from "simple-statistics";

/** Nanoseconds in, nanoseconds out. */
export interface Summary {
  min: number;
  median: number;
  p95: number;
}

/** How many times the baseline, with a 95 % interval; `value` always lies within `[low, high]`. */
export interface Interval {
  value: number;
  low: number;
  high: number;
}

/** The confidence that every interval here aims at. */
export const CONFIDENCE = 0.95;

/**
 * The upper end of an interval that says nothing; its reciprocal is the lower end. Finite, because JSON knows no
 * infinity, and on either side of 1, so that a reader who only compares with 1 draws no conclusion from it.
 */
export const UNBOUNDED = 1e9;

/** Student's t at 97.5 %, for 1 to 4 degrees of freedom (from its closed forms; R: `qt(0.975, 1:4)`). */
const T_975 = [12.706204736, 4.30265273, 3.182446305, 2.776445105];

/** Fewest rounds in which the smallest and the largest enclose the median with 95 % confidence: 1 - 2 / 2^6. */
const ORDER_STATISTICS_FROM = T_975.length + 2;

/**
 * Minimum, median and 95th percentile of the samples.
 * @throws RangeError when there is no sample, or one that isn't a positive finite number.
 */
export function summarize(samples: readonly number[]): Summary {
  requireSamples("samples", samples);
  const values = [...samples];
  return { min: min(values), median: median(values), p95: quantile(values, 0.95) };
}

/**
 * How many times the baseline's throughput ours is: the median over the rounds of baseline ns / our ns, with a 95 %
 * interval. `ours[i]` and `baseline[i]` are ns per packet of round i, which ran next to each other (A B B A ...), so
 * that what slows the machine for a while slows both and leaves their ratio alone.
 *
 * The work is done on the logarithms, which makes it symmetric: swapping the arms gives the reciprocal, ends included.
 *
 * - From 6 rounds on the interval lies between two order statistics, interpolated as Hettmansperger and Sheather do
 *   (Statistics and Probability Letters 4, 1986). It is an interval for the median itself and assumes no shape: a
 *   round that was preempted moves it no further than any other round on that side, where it would stretch a t
 *   interval at will and a bootstrap of so few rounds would come out too short.
 * - With 2 to 5 rounds the extremes enclose the median with 50 to 93.75 % confidence only, so a Student's t interval
 *   about the mean of the logarithms takes their place, stretched to the median if that lies outside.
 * - With one round there is no interval: the ends are 1 / {@link UNBOUNDED} and {@link UNBOUNDED}.
 *
 * An arm against itself is exactly 1, 1, 1.
 * @throws RangeError when the two differ in length, are empty, or hold anything but positive finite numbers.
 */
export function pairedRatio(ours: readonly number[], baseline: readonly number[]): Interval {
  requireSamples("ours", ours);
  requireSamples("baseline", baseline);
  if (ours.length !== baseline.length) {
    throw new RangeError(
      `pairedRatio: ours has ${ours.length} rounds and the baseline ${baseline.length}; rounds are paired, so both need as many`,
    );
  }
  if (ours.every((ns, round) => ns === baseline[round])) return { value: 1, low: 1, high: 1 };
  const logs = ours.map((ns, round) => Math.log(baseline[round] / ns)).sort((a, b) => a - b);
  const middle = median(logs);
  if (logs.length === 1) return { value: Math.exp(middle), low: 1 / UNBOUNDED, high: UNBOUNDED };
  const [low, high] = logs.length < ORDER_STATISTICS_FROM ? studentInterval(logs) : orderInterval(logs);
  return {
    value: Math.exp(middle),
    low: Math.exp(Math.min(low, middle)),
    high: Math.exp(Math.max(high, middle)),
  };
}

/** Whether the rounds gave an interval that says anything; one round gives none. */
export function hasInterval(ratio: Interval): boolean {
  return ratio.high < UNBOUNDED;
}

/** What the interval allows to be said of this arm against its baseline. */
export function verdict(ratio: Interval): "faster" | "slower" | "undecided" {
  if (ratio.low > 1) return "faster";
  return ratio.high < 1 ? "slower" : "undecided";
}

function requireSamples(name: string, samples: readonly number[]): void {
  if (samples.length === 0) throw new RangeError(`${name} is empty; at least one round is needed`);
  const wrong = samples.findIndex((ns) => !(ns > 0 && Number.isFinite(ns)));
  if (wrong >= 0) {
    throw new RangeError(
      `${name}[${wrong}] is ${samples[wrong]}; ns per packet must be a positive finite number`,
    );
  }
}

function studentInterval(logs: number[]): [number, number] {
  const centre = mean(logs);
  const reach = (T_975[logs.length - 2] * sampleStandardDeviation(logs)) / Math.sqrt(logs.length);
  return [centre - reach, centre + reach];
}

/** The interval from the k-th smallest to the k-th largest covers the median with 1 - 2 P(Binomial(n, 1/2) < k). */
function orderInterval(sorted: number[]): [number, number] {
  const n = sorted.length;
  const heads = binomialDistribution(n, 0.5) as number[];
  let k = 0;
  let covered = 1;
  let next = 1 - 2 * heads[0];
  while (next >= CONFIDENCE) {
    k++;
    covered = next;
    next -= 2 * heads[k];
  }
  // Between depth k, which covers too much, and depth k + 1, which covers too little, the coverage is not linear in
  // the depth; lambda is Hettmansperger and Sheather's weight of the inner pair.
  const excess = (covered - CONFIDENCE) / (covered - next);
  const lambda = ((n - k) * excess) / (k + (n - 2 * k) * excess);
  const between = (outer: number, inner: number) => outer + lambda * (inner - outer);
  return [between(sorted[k - 1], sorted[k]), between(sorted[n - k], sorted[n - k - 1])];
}
