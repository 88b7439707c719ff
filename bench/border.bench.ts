/** What it costs to drive a ring from JavaScript: by burst, against the loop that never leaves the engine. */
import { PACKETS, RingDigest, stage } from "./packets.ts";
import type { Suite, Task } from "./suite.ts";
import { DrivenRing, type EngineRing, openRings } from "./support.ts";

const BATCHES = [1, 8, 32, 128];
const N = 2;

export const suite: Suite = {
  name: "border",
  about:
    "2 sgs from a free list, by burst: the engine's own loop, calls alone, and calls with records by JavaScript",
  operation: "packet",
  async open() {
    const tasks: Task[] = [];
    for (const format of ["split", "packed"] as const) {
      for (const batch of BATCHES) {
        const ringCase = { format, tables: "freelist", n: N } as const;
        const [loop, calls, driven] = await openRings([ringCase, ringCase, ringCase], { batch });
        const name = `${format}, bursts of ${batch}`;
        tasks.push(
          task(`${name}: loop`, name, loop),
          callsAlone(`${name}: calls`, name, calls),
          task(`${name}: records`, name, new DrivenRing(driven)),
        );
      }
    }
    return tasks;
  },
};

function task(name: string, group: string, ring: EngineRing | DrivenRing): Task {
  return {
    name,
    operations: PACKETS,
    run: () => ring.pass(),
    digest: () => ring.digest(),
    work: `${PACKETS} packets of ${N}`,
    group,
  };
}

/** The burst calls over records that were written before: what is left is the calls, and nothing to read. */
function callsAlone(name: string, group: string, { driver, device, shape, engine }: EngineRing): Task {
  const { batch } = shape;
  stage(driver.staged, 0, engine.buffers.ptr, N, batch);
  const burst = (): void => {
    driver.addBurst(batch);
    driver.publish();
    const popped = device.popBurst(batch);
    device.arm();
    device.markPoppedUsed(popped);
    device.publishUsed();
    if (driver.reclaimBurst(batch) !== batch) throw new Error(`${name}: packets did not come back`);
    driver.arm();
  };
  return {
    name,
    operations: PACKETS,
    run: () => {
      for (let back = 0; back < PACKETS; back += batch) burst();
    },
    digest: () => {
      burst();
      const digest = new RingDigest();
      digest.addPopped(device.popped, 0, batch, engine.buffers.ptr);
      digest.addReclaimed(driver.reclaimed, 0, batch);
      return digest.hex();
    },
    work: `${batch} packets of ${N}`,
    group,
  };
}
