/** What each source of indirect tables costs: in a whole round, and for taking and giving alone. */

import { Fnv1a64 } from "../src/net/digest.ts";
import { PACKETS } from "./packets.ts";
import type { Suite, Task } from "./suite.ts";
import { type EngineRing, openRings, type RingCase } from "./support.ts";

const SOURCES = ["heap", "freelist", "grow", "slot", "per-node"] as const;
const N = 2;

export const suite: Suite = {
  name: "tables",
  about: "indirect tables by source: a whole round of 2 sgs, and a take and give alone",
  operation: "packet, or take and give",
  async open() {
    const cases = (["split", "packed"] as const).flatMap((format) =>
      SOURCES.map((tables): RingCase => ({ format, tables, n: N })),
    );
    const rings = await openRings(cases);
    // A queue for itself, because tables are taken and given here without buffers around them.
    const alone = await openRings(SOURCES.map((tables): RingCase => ({ format: "split", tables, n: N })));
    return [...rings.map(wholeRound), ...alone.map(takeAndGive)];
  },
};

function wholeRound(ring: EngineRing): Task {
  return {
    name: ring.name,
    operations: PACKETS,
    run: () => ring.pass(),
    digest: () => ring.digest(),
    work: `${PACKETS} packets of ${N}`,
    group: "whole round",
  };
}

function takeAndGive(ring: EngineRing): Task {
  const { wasm } = ring.engine;
  const { tables } = ring.ringCase;
  return {
    name: `take and give ${tables}`,
    operations: PACKETS,
    run: () => {
      wasm.tableTakeGive(ring.driver.ptr, N, PACKETS);
    },
    digest: () => new Fnv1a64().addLength(wasm.tableTakeGive(ring.driver.ptr, N, PACKETS)).hex(),
    work: `${PACKETS} tables from ${tables}`,
    group: "take and give",
  };
}
