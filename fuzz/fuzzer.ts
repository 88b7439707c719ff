/**
 * The loop: makes cases, runs them, keeps those that led somewhere new, and makes the next ones of them.
 * A case is a byte string, so that mutating, shrinking, keeping and replaying need to know nothing else.
 */
import { Random } from "../test/support/random.ts";
import { toHex } from "./bytes.ts";
import { deviceTarget } from "./device.ts";
import { driverTarget } from "./driver.ts";
import { netDeviceTarget } from "./net-device.ts";
import { netDriverTarget } from "./net-driver.ts";
import type { Report, RingTarget, Runner, Target } from "./target.ts";
import { World } from "./world.ts";

export const TARGETS: readonly Target[] = [
  inWorld(deviceTarget("split")),
  inWorld(driverTarget("split")),
  inWorld(deviceTarget("packed")),
  inWorld(driverTarget("packed")),
  netDeviceTarget,
  netDriverTarget,
];

function inWorld(target: RingTarget): Target {
  const { name, outcomes } = target;
  const start = async (module: WebAssembly.Module): Promise<Runner> => {
    const world = await World.create(target.format, module);
    return { reset: () => world.reset(), run: (bytes, report) => target.run(world, bytes, report) };
  };
  return { name, outcomes, start };
}

const MOST_BYTES = 400;
const MOST_KEPT = 2000;
const MOST_TRIES = 4000;

export interface Found {
  bytes: Uint8Array;
  message: string;
  /** Operations of the case, in words. */
  words: string[];
}

export interface Limits {
  cases?: number;
  /** Stops after the case during which this is true. */
  until?: () => boolean;
}

export class Fuzzer {
  readonly target: Target;
  /** How often each outcome was reached. */
  readonly outcomes = new Map<string, number>();
  cases = 0;
  readonly #runner: Runner;
  readonly #random: Random;
  readonly #kept: Uint8Array[] = [];
  readonly #seen = new Set<number>();
  #fresh = false;
  #last = 0;
  #words: string[] | null = null;

  private constructor(target: Target, runner: Runner, seed: number) {
    this.target = target;
    this.#runner = runner;
    this.#random = new Random(seed);
  }

  /** The same target, seed and limits give the same cases; `seeds` are what the first ones are made of. */
  static async create(
    target: Target,
    module: WebAssembly.Module,
    seed: number,
    seeds: readonly Uint8Array[] = [],
  ): Promise<Fuzzer> {
    const fuzzer = new Fuzzer(target, await target.start(module), seed);
    fuzzer.#kept.push(...seeds);
    return fuzzer;
  }

  /** Cases the loop goes on from. */
  get kept(): number {
    return this.#kept.length;
  }

  get combinations(): number {
    return this.#seen.size;
  }

  /** Runs cases until one fails, which is returned shrunk, or until a limit is reached. */
  run({ cases = Number.POSITIVE_INFINITY, until = () => false }: Limits): Found | null {
    for (let done = 0; done < cases && !until(); done++) {
      const bytes = this.#make();
      if (this.try(bytes) !== null) return this.explain(this.#shrink(bytes));
      if (this.#fresh) this.#keep(bytes);
    }
    return null;
  }

  #keep(bytes: Uint8Array): void {
    if (this.#kept.length < MOST_KEPT) this.#kept.push(bytes);
    else this.#kept[this.#random.int(0, MOST_KEPT - 1)] = bytes;
  }

  /** Runs one case; what is wrong, or null. */
  try(bytes: Uint8Array): string | null {
    this.cases++;
    this.#fresh = false;
    this.#last = 0;
    this.#runner.reset();
    try {
      this.#runner.run(bytes, this.#report);
      return null;
    } catch (error) {
      // Also what no rule foresees: a trap of the engine, an exception of the host.
      return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    }
  }

  /** Runs one case once more, with its operations in words. */
  explain(bytes: Uint8Array): Found | null {
    this.#words = [];
    const message = this.try(bytes);
    const words = this.#words;
    this.#words = null;
    return message === null ? null : { bytes, message, words };
  }

  /** The operations of a case in words, and the outcomes that it reaches, whether or not it fails. */
  describe(bytes: Uint8Array): { words: string[]; outcomes: string[]; message: string | null } {
    this.#words = [];
    this.outcomes.clear();
    const message = this.try(bytes);
    const words = this.#words;
    this.#words = null;
    return { words, outcomes: [...this.outcomes.keys()], message };
  }

  readonly #report: Report = {
    reached: (outcome) => {
      this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
      this.#words?.push(`  -> ${outcome}`);
    },
    signal: (...parts) => {
      let hash = 0;
      for (const part of parts) hash = (Math.imul(hash, 31) + part) | 0;
      // Pairs of what followed each other: an outcome counts anew after another history.
      const pair = Math.imul(this.#last, 0x9e3779b1) ^ hash;
      this.#last = hash;
      if (this.#seen.has(pair)) return;
      this.#seen.add(pair);
      this.#fresh = true;
    },
    say: (words) => {
      this.#words?.push(words());
    },
  };

  #make(): Uint8Array {
    const random = this.#random;
    if (this.#kept.length === 0 || random.chance(10)) return this.#junk(random.int(8, MOST_BYTES >> 1));
    let bytes = random.pick(this.#kept);
    for (let k = random.int(1, 6); k > 0; k--) bytes = this.#mutate(bytes);
    return bytes;
  }

  #junk(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    this.#random.fill(bytes);
    return bytes;
  }

  #mutate(bytes: Uint8Array): Uint8Array {
    const random = this.#random;
    const at = random.int(0, bytes.length);
    const count = random.int(1, 16);
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
    switch (random.int(0, 6)) {
      case 0:
        return joined(before, this.#junk(count), after);
      case 1:
        return joined(before, after.subarray(count));
      case 2:
        return joined(before, after.subarray(0, count), after);
      case 3:
        return joined(before, random.pick(this.#kept).subarray(random.int(0, 32)));
      case 4:
        return joined(before, this.#junk(1), after.subarray(1));
      case 5:
        return joined(before, Uint8Array.of((after[0] ?? 0) + random.int(-2, 2)), after.subarray(1));
      default:
        return joined(bytes, this.#junk(count));
    }
  }

  /** Delta debugging: leaves out what the failure does not need, then makes bytes 0. */
  #shrink(bytes: Uint8Array): Uint8Array {
    let tries = 0;
    const fails = (tried: Uint8Array): boolean => tries++ < MOST_TRIES && this.try(tried) !== null;
    let least = bytes;
    for (let count = bytes.length >> 1; count > 0; count = least.length > 0 ? count >> 1 : 0) {
      for (let at = 0; at < least.length; ) {
        const shorter = joined(least.subarray(0, at), least.subarray(at + count));
        if (fails(shorter)) least = shorter;
        else at += count;
      }
    }
    for (let at = 0; at < least.length; at++) {
      if (least[at] === 0) continue;
      const simpler = least.slice();
      simpler[at] = 0;
      if (fails(simpler)) least = simpler;
    }
    return least;
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(
    Math.min(
      MOST_BYTES,
      parts.reduce((sum, part) => sum + part.length, 0),
    ),
  );
  let at = 0;
  for (const part of parts) {
    const rest = part.subarray(0, MOST_BYTES - at);
    bytes.set(rest, at);
    at += rest.length;
  }
  return bytes;
}

/** A case as it is kept: its words as comments, then its bytes. */
export function caseText(
  found: { bytes: Uint8Array; words: readonly string[] },
  ...header: string[]
): string {
  const lines = [...header, ...found.words].map((line) => `# ${line}`.trimEnd());
  const digits = toHex(found.bytes).match(/.{1,96}/g) ?? [];
  return [...lines, ...digits.map((line) => line.trim()), ""].join("\n");
}
