/**
 * Where one half publishes and the other observes, the shared build has an atomic access: sequentially
 * consistent, hence also the barrier between a store and a later load. An atomic access at an odd place
 * traps and a plain one doesn't, so an area that is moved to an odd place behind the engine's back shows
 * which of its accesses are atomic.
 */
import { describe, expect, it } from "vitest";
import { Engine } from "../../src/engine.ts";
import { DEFAULT_FEATURES, Features } from "../../src/features.ts";
import type { RingFormat } from "../../src/names.ts";
import { type Build, wasmModule } from "../support/engine.ts";

type Half = "driver" | "device";
type Area = "desc" | "driverArea" | "deviceArea";

interface Queue {
  engine: Engine;
  driver: ReturnType<Engine["connect"]>["driver"];
  device: ReturnType<Engine["connect"]>["device"];
}

async function connected(build: Build, format: RingFormat, event: boolean): Promise<Queue> {
  const memory =
    build === "vring-shared"
      ? new WebAssembly.Memory({ initial: 8, maximum: 8, shared: true })
      : new WebAssembly.Memory({ initial: 8 });
  const engine = await Engine.create({
    module: await wasmModule(build),
    memory,
    queueSize: 8,
    bufferBytes: 4096,
  });
  const base = event ? DEFAULT_FEATURES : DEFAULT_FEATURES & ~Features.EVENT_IDX;
  const features = format === "packed" ? base | Features.RING_PACKED : base;
  return { engine, ...engine.connect(0, { format, features, tables: "direct" }) };
}

/** Moves an area of one half, as its control block has it, one byte up. */
function shift({ engine, driver, device }: Queue, half: Half, area: Area): void {
  const { QUEUE_DESC, QUEUE_DRIVER_AREA, QUEUE_DEVICE_AREA } = engine.wasm;
  const field = { desc: QUEUE_DESC, driverArea: QUEUE_DRIVER_AREA, deviceArea: QUEUE_DEVICE_AREA }[area];
  engine.u32[((half === "driver" ? driver : device).ptr + field.value) >>> 2] += 1;
}

const add = ({ driver, engine }: Queue): void => {
  expect(driver.add({ token: 1, readable: [{ ptr: engine.buffers.ptr, bytes: 8 }] })).toBe(true);
};
const given = (queue: Queue): void => {
  add(queue);
  queue.driver.publish();
};
const taken = (queue: Queue): void => {
  given(queue);
  expect(queue.device.popBurst(1)).toBe(1);
};
const marked = (queue: Queue): void => {
  taken(queue);
  expect(queue.device.markPoppedUsed(1)).toBe(1);
};
const used = (queue: Queue): void => {
  marked(queue);
  queue.device.publishUsed();
};

/** [what, half, area, what comes before, the call] */
type Access = [string, Half, Area, (queue: Queue) => void, (queue: Queue) => unknown];

const nothing = (): void => {};
const publish = ({ driver }: Queue): unknown => driver.publish();
const publishUsed = ({ device }: Queue): unknown => device.publishUsed();
const arm: Record<Half, (queue: Queue) => unknown> = {
  driver: ({ driver }) => driver.arm(),
  device: ({ device }) => device.arm(),
};
const suppress: Record<Half, (queue: Queue) => unknown> = {
  driver: ({ driver }) => driver.suppress(),
  device: ({ device }) => device.suppress(),
};

const split: Access[] = [
  ["S-D-16, S-D-17: the driver stores avail.idx", "driver", "driverArea", add, publish],
  ["S-D-17: the driver then loads the device's wish", "driver", "deviceArea", add, publish],
  ["H-B-01: the driver loads used.idx", "driver", "deviceArea", used, ({ driver }) => driver.reclaimBurst(1)],
  ["S-D-18: the driver re-arms", "driver", "driverArea", nothing, arm.driver],
  ["S-D-18: the driver then loads used.idx again", "driver", "deviceArea", nothing, arm.driver],
  ["S-D-10: the driver suppresses", "driver", "driverArea", nothing, suppress.driver],
  ["H-B-01: the device loads avail.idx", "device", "driverArea", given, ({ device }) => device.popBurst(1)],
  ["S-V-09, S-V-15: the device stores used.idx", "device", "deviceArea", marked, publishUsed],
  ["S-V-15: the device then loads the driver's wish", "device", "driverArea", marked, publishUsed],
  ["S-V-15: the device re-arms", "device", "deviceArea", nothing, arm.device],
  ["S-V-15: the device then loads avail.idx again", "device", "driverArea", nothing, arm.device],
  ["S-V-14: the device suppresses", "device", "deviceArea", nothing, suppress.device],
];

const packed: Access[] = [
  ["P-D-13, P-D-14: the driver stores the head's flags", "driver", "desc", nothing, (queue) => given(queue)],
  ["P-D-14: the driver then loads the device's wish", "driver", "deviceArea", add, publish],
  [
    "P-D-15, H-B-01: the driver loads a used slot",
    "driver",
    "desc",
    used,
    ({ driver }) => driver.reclaimBurst(1),
  ],
  ["P-D-17: the driver re-arms", "driver", "driverArea", nothing, arm.driver],
  ["P-D-17: the driver then loads the next used slot again", "driver", "desc", nothing, arm.driver],
  ["P-B-08: the driver suppresses", "driver", "driverArea", nothing, suppress.driver],
  ["P-V-07, H-B-01: the device loads a slot", "device", "desc", given, ({ device }) => device.popBurst(1)],
  [
    "P-V-09: the device stores the first used descriptor's flags",
    "device",
    "desc",
    taken,
    ({ device }) => {
      device.markPoppedUsed(1);
      device.publishUsed();
    },
  ],
  ["P-V-09: the device then loads the driver's wish", "device", "driverArea", marked, publishUsed],
  ["P-V-09: the device re-arms", "device", "deviceArea", nothing, arm.device],
  ["P-V-09: the device then loads the next slot again", "device", "desc", nothing, arm.device],
  ["P-B-08: the device suppresses", "device", "deviceArea", nothing, suppress.device],
];

describe.each<[RingFormat, Access[]]>([
  ["split", split],
  ["packed", packed],
])("atomic accesses of a %s queue in shared memory", (format, accesses) => {
  for (const event of [false, true]) {
    it.each(accesses)(`%s atomically, ${event ? "with" : "without"} EVENT_IDX`, async (...access) => {
      const [, half, area, prepare, call] = access;
      const shared = await connected("vring-shared", format, event);
      prepare(shared);
      shift(shared, half, area);
      expect(() => call(shared)).toThrow("unaligned");

      const aligned = await connected("vring-shared", format, event);
      prepare(aligned);
      expect(() => call(aligned)).not.toThrow();

      const plain = await connected("vring", format, event);
      prepare(plain);
      shift(plain, half, area);
      expect(() => call(plain)).not.toThrow();
    });
  }
});
