/** The steps of the model are the engine's: its accesses to shared memory, recorded and compared. */
import { describe, expect, test } from "vitest";
import type { DeviceQueue } from "../../src/device-queue.ts";
import type { DriverQueue } from "../../src/driver-queue.ts";
import type { Engine } from "../../src/engine.ts";
import type { RingFormat } from "../../src/names.ts";
import { createEngine } from "../support/engine.ts";
import { enginePackedPlaces, engineSplitPlaces, features } from "../support/rig.ts";
import { Trace } from "../support/trace.ts";
import { build, type Half, type Suppression } from "./halves.ts";

const SIZE = 4;
const BURST = 3;

/** What the model calls the words of a ring; it has no descriptors of a split ring, and no addresses. */
function wordNames(engine: Engine, format: RingFormat): Map<number, string> {
  const names = new Map<number, string>();
  if (format === "split") {
    const { avail, used } = engineSplitPlaces(engine, SIZE);
    for (const [ring, ptr, entryBytes, event] of [
      ["avail", avail, 2, "used_event"],
      ["used", used, 8, "avail_event"],
    ] as const) {
      names.set(ptr, `${ring}.flags`).set(ptr + 2, `${ring}.idx`);
      for (let k = 0; k < SIZE; k++) names.set(ptr + 4 + entryBytes * k, `${ring}.ring ${k}`);
      names.set(ptr + 4 + entryBytes * SIZE, event);
    }
  } else {
    const { desc, driverArea, deviceArea } = enginePackedPlaces(engine, SIZE);
    names.set(driverArea, "driver area").set(deviceArea, "device area");
    for (let k = 0; k < SIZE; k++) names.set(desc + 16 * k + 8, `slot ${k}`);
  }
  return names;
}

interface Recorded {
  engine: Engine;
  driver: DriverQueue;
  device: DeviceQueue;
  /** `store avail.idx`, `load avail_event`: what a call does to the words that the model has. */
  record(call: () => void): string[];
}

async function recorded(format: RingFormat, suppression: Suppression): Promise<Recorded> {
  const trace = await Trace.create();
  const engine = await createEngine({ ...trace.options, queueSize: SIZE, bufferBytes: 4096 });
  const queue = engine.connect(0, {
    format,
    features: suppression === "EVENT_IDX" ? features(format, "EVENT_IDX") : features(format),
  });
  const names = wordNames(engine, format);
  const record = (call: () => void): string[] =>
    trace.record(call).flatMap(({ store, ptr }) => {
      const name = names.get(ptr);
      return name === undefined ? [] : [`${store ? "store" : "load"} ${name}`];
    });
  return { engine, ...queue, record };
}

/** The calls that the sections of the model stand for. */
function callsOf({ engine, driver, device }: Recorded) {
  return {
    driver: {
      suppress: () => driver.suppress(),
      give: () => {
        for (let token = 0; token < BURST; token++) {
          driver.add({ token, readable: [{ ptr: engine.buffers.ptr + 64 * token, bytes: 64 }] });
        }
        driver.publish();
      },
      take: () => expect(driver.reclaimBurst(SIZE)).toBe(BURST),
      arm: () => driver.arm(),
    },
    device: {
      suppress: () => device.suppress(),
      give: () => {
        expect(device.markPoppedUsed(BURST)).toBe(BURST);
        device.publishUsed();
      },
      take: () => expect(device.popBurst(SIZE)).toBe(BURST),
      arm: () => device.arm(),
    },
  };
}

describe.each<RingFormat>(["split", "packed"])("the accesses of a %s queue", (format) => {
  describe.each<Suppression>(["flags", "EVENT_IDX"])("with %s", (suppression) => {
    const { threads } = build({ format, suppression, size: SIZE, buffers: SIZE });
    const stepsOf = (half: Half, section: string): string[] =>
      (threads.find(({ name }) => name === half)?.program.accesses(section) ?? []).flatMap(inBurst);

    test(`by the driver are the model's, in its order (${driverRows(format)})`, async () => {
      const queue = await recorded(format, suppression);
      const { driver, device } = callsOf(queue);
      expect(queue.record(driver.suppress)).toEqual(stepsOf("driver", "suppress"));
      expect(queue.record(driver.arm)).toEqual(stepsOf("driver", "arm"));
      expect(queue.record(driver.give)).toEqual(stepsOf("driver", "give"));
      device.take();
      device.give();
      expect(queue.record(driver.take)).toEqual(stepsOf("driver", "take"));
    });

    test(`by the device are the model's, in its order (${deviceRows(format)})`, async () => {
      const queue = await recorded(format, suppression);
      const { driver, device } = callsOf(queue);
      expect(queue.record(device.suppress)).toEqual(stepsOf("device", "suppress"));
      expect(queue.record(device.arm)).toEqual(stepsOf("device", "arm"));
      driver.give();
      // The slot after the last one says that there is no more; a driver knows how many are out.
      const end = format === "packed" ? ["load slot 3"] : [];
      expect(queue.record(device.take)).toEqual([...stepsOf("device", "take"), ...end]);
      expect(queue.record(device.give)).toEqual(stepsOf("device", "give"));
    });
  });
});

/** A step of the model as the accesses of a burst of three from the start of the ring. */
function inBurst(step: string): string[] {
  const [kind, ...words] = step.split(" ");
  const name = words.join(" ");
  const places = ["slot", "avail.ring", "used.ring"].includes(name) ? [0, 1, 2] : undefined;
  if (places !== undefined) return places.map((k) => `${kind} ${name} ${k}`);
  if (name === "later slot") return [1, 2].map((k) => `${kind} slot ${k}`);
  if (name === "first slot" || name === "next slot") return [`${kind} slot 0`];
  return [step];
}

function driverRows(format: RingFormat): string {
  return format === "split" ? "S-D-16, S-D-17, S-D-18, H-B-01" : "P-D-13, P-D-14, P-D-15, P-D-17";
}
function deviceRows(format: RingFormat): string {
  return format === "split" ? "S-V-09, S-V-15, H-B-01" : "P-V-07, P-V-09, H-B-01";
}
