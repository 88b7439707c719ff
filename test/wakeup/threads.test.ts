/** The same with each half in a thread of its own, over a shared memory, asleep in Atomics.wait. */
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import { Features } from "../../src/features.ts";
import type { RingFormat } from "../../src/names.ts";
import { createEngine, wasmModule } from "../support/engine.ts";
import { features } from "../support/rig.ts";
import type { Half, Suppression } from "./halves.ts";

const SIZE = 8;
const BATCH = 8;
const BUFFERS = 40_000;

interface Done {
  sleeps: number;
  sent: number;
}

async function inThreads(format: RingFormat, suppression: Suppression): Promise<Record<Half, Done>> {
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
  const engine = await createEngine({
    memory,
    queueSize: SIZE,
    batch: BATCH,
    bufferBytes: 64 * SIZE,
    heapBytes: 4096,
  });
  const base = features(format, "INDIRECT_DESC");
  const queue = engine.connect(0, {
    format,
    features: suppression === "EVENT_IDX" ? base | Features.EVENT_IDX : base,
  });
  const region = (name: string): number => engine.region(`queue 0 staging ${name}`).ptr;
  const common = {
    module: await wasmModule("vring-shared"),
    memory,
    bells: new Int32Array(new SharedArrayBuffer(8)),
    format,
    staging: {
      add: region("add"),
      reclaimed: region("reclaimed"),
      popped: region("popped"),
      poppedBytes: engine.region("queue 0 staging popped").bytes,
      used: region("used"),
    },
    buffers: BUFFERS,
    size: SIZE,
    batch: BATCH,
    data: engine.buffers.ptr,
  };
  const workers: Worker[] = [];
  const start = (half: Half, seed: number): Promise<Done> =>
    new Promise((resolve, reject) => {
      const workerData = { ...common, half, queue: queue[half].ptr, seed };
      const worker = new Worker(new URL("./half-worker.mjs", import.meta.url), { workerData });
      workers.push(worker);
      worker.once("message", resolve).once("error", reject);
    });
  try {
    const [driver, device] = await Promise.all([start("driver", 1), start("device", 2)]);
    expect(queue.driver.counters()).toMatchObject({ added: BUFFERS, reclaimed: BUFFERS, liveTables: 0 });
    expect(queue.device.counters()).toMatchObject({ popped: BUFFERS, used: BUFFERS });
    return { driver, device };
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

const ROWS: Record<RingFormat, string> = {
  split: "S-D-17, S-D-18, S-V-15, H-B-01",
  packed: "P-D-14, P-D-17, P-V-09, H-B-01",
};

describe.each<RingFormat>(["split", "packed"])("two threads with a %s queue", (format) => {
  test.each<Suppression>(["flags", "EVENT_IDX"])(
    `${ROWS[format]}: ${BUFFERS} buffers arrive once with their bytes, asleep whenever they may, with %s`,
    async (suppression) => {
      const { driver, device } = await inThreads(format, suppression);
      expect(driver.sent + device.sent).toBeLessThan(BUFFERS);
      expect(driver.sleeps + device.sleeps).toBeGreaterThan(100);
    },
  );
});
