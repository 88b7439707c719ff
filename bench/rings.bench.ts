/** The cost of the rings alone: both halves in one loop, no payload touched. */
import { PACKETS } from "./packets.ts";
import type { Suite, Task } from "./suite.ts";
import { type EngineRing, openRings, PlainCase, type RingCase } from "./support.ts";

const SGS = [1, 2, 3, 4];

export const suite: Suite = {
  name: "rings",
  about: "both halves in one loop, bursts of 32, ring of 256; plain is the same split ring in TypeScript",
  operation: "packet",
  async open() {
    const cases = (["split", "packed"] as const).flatMap((format) =>
      (["direct", "freelist", "slot", "heap"] as const).flatMap((tables) =>
        SGS.map((n): RingCase => ({ format, tables, n })),
      ),
    );
    const rings = await openRings(cases);
    const plain = (["direct", "freelist"] as const).flatMap((tables) =>
      SGS.map((n) => taskOf(new PlainCase(tables, n), n)),
    );
    const tasks = [...rings.map((ring) => taskOf(ring, ring.ringCase.n)), ...plain];
    return SGS.flatMap((n) => tasks.filter((task) => task.group === groupOf(n)));
  },
};

function taskOf(ring: EngineRing | PlainCase, n: number): Task {
  return {
    name: ring.name,
    operations: PACKETS,
    run: () => ring.pass(),
    digest: () => ring.digest(),
    work: `${PACKETS} packets of ${n}`,
    group: groupOf(n),
  };
}

function groupOf(n: number): string {
  return `${n} sgs`;
}
