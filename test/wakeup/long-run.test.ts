/**
 * A long run of both halves of the engine, each of which sleeps whenever arming told it that it may: bursts
 * and completion order are random, a notification arrives at any later moment, and some come for no reason.
 * Nothing may hang with work pending, and every buffer arrives once.
 */
import { describe, expect, test } from "vitest";
import type { DeviceQueue } from "../../src/device-queue.ts";
import type { DriverQueue } from "../../src/driver-queue.ts";
import type { Engine } from "../../src/engine.ts";
import { Features } from "../../src/features.ts";
import type { RingFormat } from "../../src/names.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";
import { engineSplitPlaces, features } from "../support/rig.ts";
import type { Suppression } from "./halves.ts";

const BATCH = 16;
const BUFFERS = 200_000;
const SEED = 20261120;
/** A ring of one, which always wraps, is there for the wraps, and gets fewer buffers. */
const SIZES: Record<RingFormat, number[]> = { split: [1, 16], packed: [1, 13] };
const BUFFERS_OF_ONE = 10_000;

interface Run {
  random: Random;
  engine: Engine;
  driver: DriverQueue;
  device: DeviceQueue;
  /** Whether `token` is with the device, and how many are to be added, were added and came back. */
  out: Uint8Array;
  buffers: number;
  added: number;
  returned: number;
  /** Writes junk where a half says when it wants to be told, while it is awake; null for none. */
  scribble: ((half: "driver" | "device") => void) | null;
  /** Popped buffers that are not used yet: handle and token. */
  held: number[];
  inOrder: boolean;
}

/** A half as the scheduler sees it. */
interface Half {
  /** Works a little; false when it may sleep. */
  work(): boolean;
  asleep: boolean;
  /** A notification is on its way. */
  notified: boolean;
  sleeps: number;
}

/** Token and length of a buffer: the device says in `len` which token it found. */
const lengthOf = (token: number): number => 4 + (token % 61);

function driverOf(run: Run, size: number): { work(kick: () => void): boolean } {
  const { random, driver, engine, out } = run;
  const { ptr } = engine.buffers;
  const free = Uint32Array.from({ length: size }, (_, token) => token);
  let count = size;
  return {
    work(kick) {
      if (random.chance(50)) driver.suppress();
      run.scribble?.("driver");
      const { reclaimed, staged } = driver;
      let back = driver.reclaimBurst(random.int(1, BATCH));
      for (let k = 0; k < back; k++) {
        const token = reclaimed[2 * k];
        if (out[token] !== 1) throw new Error(`token ${token} came back twice`);
        if (reclaimed[2 * k + 1] !== lengthOf(token)) throw new Error(`token ${token} has another's length`);
        out[token] = 0;
        free[count++] = token;
      }
      run.returned += back;
      let burst = Math.min(count, random.int(0, BATCH), run.buffers - run.added);
      // A driver that has room and nothing out adds something, or nobody would ever wake it.
      if (burst === 0 && driver.outstanding === 0) burst = Math.min(1, run.buffers - run.added);
      let at = 0;
      for (let k = 0; k < burst; k++) {
        const token = free[count - 1 - k];
        const bytes = lengthOf(token);
        const elements = 1 + (token % 3);
        staged[at++] = token;
        staged[at++] = elements << 16;
        for (let element = 0; element < elements; element++) {
          staged[at++] = ptr + 64 * token + element;
          staged[at++] = element === elements - 1 ? bytes - (elements - 1) : 1;
        }
      }
      const added = driver.addBurst(burst);
      for (let k = 0; k < added; k++) out[free[count - 1 - k]] = 1;
      count -= added;
      run.added += added;
      if ((added > 0 || random.chance(10)) && driver.publish()) kick();
      back += added;
      return back > 0 || driver.arm();
    },
  };
}

function deviceOf(run: Run): { work(interrupt: () => void): boolean } {
  const { random, device, engine, held, inOrder } = run;
  const first = engine.buffers.ptr;
  return {
    work(interrupt) {
      if (random.chance(50)) device.suppress();
      run.scribble?.("device");
      const { popped, completions } = device;
      const count = device.popBurst(random.int(1, BATCH));
      let at = 0;
      for (let k = 0; k < count; k++) {
        held.push(popped[at], (popped[at + 4] - first) >>> 6);
        at += 4 + 2 * (popped[at + 1] >>> 16);
      }
      const ready = held.length / 2;
      const burst = ready === 0 ? 0 : random.int(0, Math.min(ready, BATCH));
      for (let k = 0; k < burst; k++) {
        const pick = inOrder ? 0 : 2 * random.int(0, held.length / 2 - 1);
        const [handle, token] = held.splice(pick, 2);
        completions[2 * k] = handle;
        completions[2 * k + 1] = lengthOf(token);
      }
      if (device.markUsedBurst(burst) !== burst) throw new Error(`${device.refusal?.code}`);
      if ((burst > 0 || random.chance(10)) && device.publishUsed()) interrupt();
      return count > 0 || held.length > 0 || device.arm();
    },
  };
}

interface Options {
  format: RingFormat;
  suppression: Suppression;
  size: number;
  inOrder?: boolean;
  junk?: boolean;
}

async function longRun({ format, suppression, size, inOrder = false, junk = false }: Options) {
  const engine = await createEngine({ queueSize: size, bufferBytes: 64 * size, batch: BATCH, maxSgs: 3 });
  let wanted = features(format, "INDIRECT_DESC");
  if (suppression === "EVENT_IDX") wanted |= Features.EVENT_IDX;
  if (inOrder) wanted |= Features.IN_ORDER;
  const queue = engine.connect(0, { format, features: wanted });
  const random = new Random(SEED);
  const run: Run = {
    random,
    engine,
    ...queue,
    out: new Uint8Array(size),
    buffers: size === 1 ? BUFFERS_OF_ONE : BUFFERS,
    added: 0,
    returned: 0,
    scribble: junk ? scribbler(engine, format, size, random) : null,
    held: [],
    inOrder,
  };
  const driver: Half = { work: () => theDriver.work(kick), asleep: false, notified: false, sleeps: 0 };
  const device: Half = { work: () => theDevice.work(interrupt), asleep: false, notified: false, sleeps: 0 };
  const kick = (): void => {
    device.notified = true;
  };
  const interrupt = (): void => {
    driver.notified = true;
  };
  const theDriver = driverOf(run, size);
  const theDevice = deviceOf(run);
  const halves = [driver, device];
  let spurious = 0;
  while (run.returned < run.buffers) {
    if (driver.asleep && device.asleep && !driver.notified && !device.notified) {
      throw new Error(
        `both sleep with ${queue.driver.outstanding} out after ${run.returned} of ${run.buffers}`,
      );
    }
    const half = random.pick(halves);
    if (half.asleep) {
      // A notification takes its time; one in a thousand that nobody sent has none to wait for.
      if (half.notified && random.chance(50)) {
        half.asleep = false;
        half.notified = false;
      } else if (random.int(1, 1000) === 1) {
        spurious++;
        half.asleep = false;
      }
      continue;
    }
    if (half.work()) continue;
    half.asleep = true;
    half.sleeps++;
  }
  return { run, spurious, sleeps: [driver.sleeps, device.sleeps], queue };
}

/** Random bits where a half asks to be told: all of an event structure, or flags and event word. */
function scribbler(
  engine: Engine,
  format: RingFormat,
  size: number,
  random: Random,
): NonNullable<Run["scribble"]> {
  const { avail, used } = engineSplitPlaces(engine, size);
  const view = new DataView(engine.memory.buffer);
  const places =
    format === "split"
      ? { driver: [avail, avail + 4 + 2 * size], device: [used, used + 4 + 8 * size] }
      : { driver: [avail, avail + 2], device: [used, used + 2] };
  return (half) => {
    if (random.chance(50)) view.setUint16(random.pick(places[half]), random.int(0, 0xffff), true);
  };
}

const ROWS: Record<RingFormat, string> = {
  split: "S-D-17, S-D-18, S-V-15, S-B-09",
  packed: "P-D-14, P-D-17, P-V-09, S-B-09",
};

describe.each<RingFormat>(["split", "packed"])(
  "both halves of a %s queue asleep whenever they may",
  (format) => {
    describe.each<Suppression>(["flags", "EVENT_IDX"])("with %s", (suppression) => {
      const check = async (options: Partial<Options>): Promise<void> => {
        for (const size of SIZES[format]) {
          const { run, sleeps, queue } = await longRun({ format, suppression, size, ...options });
          expect(run.returned).toBe(run.buffers);
          expect(queue.driver.outstanding).toBe(0);
          expect(run.out.every((out) => out === 0)).toBe(true);
          const { doorbells, added } = queue.driver.counters();
          const { interrupts, used } = queue.device.counters();
          expect([added, used]).toEqual([run.buffers, run.buffers]);
          expect(Math.min(doorbells, interrupts, ...sleeps)).toBeGreaterThan(1000);
          // On a ring of one there is nothing to save: each buffer may need a kick and an interrupt.
          if (size > 1) expect(doorbells + interrupts).toBeLessThan(run.buffers);
        }
      };

      test(`${ROWS[format]}, V-B-02: ${BUFFERS} buffers in random order arrive once, and nothing hangs`, async () => {
        await check({});
      });

      test(`${ROWS[format]}, F-V-02: ${BUFFERS} buffers with IN_ORDER arrive once, and nothing hangs`, async () => {
        await check({ inOrder: true });
      });

      test(`H-B-02: ${BUFFERS} buffers arrive once though junk stands in the event words of a half that is awake`, async () => {
        await check({ junk: true });
      });
    });
  },
);
