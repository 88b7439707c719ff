/** Which cases are alive at the same time: their engines have to fit the memory, and what is compared is timed in turn. */
import { Engine, type EngineOptions } from "../engine.ts";
import { bytesNeeded } from "../layout.ts";
import type { CasePlan } from "./bench.ts";
import { CompareInputError } from "./errors.ts";
import { groupBy } from "./group.ts";
import { type Chosen, publishedPairs } from "./published.ts";

/** Engines that are alive at once take at most this much, unless cases with one baseline need more. */
const ALIVE_BYTES = 2 ** 30;

/** A WebAssembly memory has 32-bit addresses, and the engine leaves the last 64 KiB alone. */
const MOST_BYTES = 2 ** 32 - 65536;

/** Bytes of the engine memory of every case. @throws CompareInputError when they are too few or too many. */
export async function memorySizes(
  plans: CasePlan[],
  given: number | undefined,
  module: EngineOptions["module"],
): Promise<Map<CasePlan, number>> {
  // The sizes of the control blocks are the compiler's; any engine can tell them.
  const { wasm } = await Engine.create({ queueSize: 1, batch: 1, maxSgs: 1, bufferBytes: 0, module });
  const needed = plans.map(({ limits }) => bytesNeeded(wasm, limits));
  const most = needed.reduce((a, b) => Math.max(a, b));
  const id = plans[needed.indexOf(most)].arm.id;
  const room = given ?? MOST_BYTES;
  if (most > room) {
    throw new CompareInputError(
      `case ${id} needs ${most} bytes of memory, but only ${room} are ${given === undefined ? "possible" : "given"}`,
    );
  }
  return new Map(plans.map((plan, i) => [plan, given ?? needed[i]]));
}

/** Cases that are alive at the same time: all that are compared with each other, and as many more as fit the memory. */
export function parts(plans: CasePlan[], sizes: Map<CasePlan, number>): CasePlan[][] {
  const result: CasePlan[][] = [];
  let room = 0;
  for (const group of compared(plans)) {
    const bytes = group.reduce((sum, plan) => sum + (sizes.get(plan) ?? 0), 0);
    if (bytes > room) {
      result.push([]);
      room = ALIVE_BYTES;
    }
    result[result.length - 1].push(...group);
    room -= bytes;
  }
  return result;
}

/** Groups whose cases are compared with no case of another: by a baseline, or beside a published figure. */
function compared(plans: CasePlan[]): CasePlan[][] {
  const groups = groupBy(plans, ({ arm }) => arm.baseline);
  const roots = new Map([...groups.keys()].map((baseline) => [baseline, baseline]));
  for (const { ours, against } of publishedPairs(plans, chosenOf)) {
    const [root, other] = [roots.get(ours.arm.baseline), roots.get(against.arm.baseline)] as string[];
    for (const [baseline, of] of roots) if (of === other) roots.set(baseline, root);
  }
  return [...groupBy([...groups], ([baseline]) => roots.get(baseline)).values()].map((joined) =>
    joined.flatMap(([, group]) => group),
  );
}

export function chosenOf({ published, fields }: CasePlan): Chosen | undefined {
  return published ? (fields as Chosen) : undefined;
}
