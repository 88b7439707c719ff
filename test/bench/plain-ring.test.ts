/** The plain ring beside the engine's, over rings at the same places: what differs is a bug in one of them. */
import { beforeAll, describe, expect, it } from "vitest";
import * as abi from "../../assembly/abi.ts";
import { PlainRing } from "../../bench/plain-ring.ts";
import type { DeviceQueue } from "../../src/device-queue.ts";
import type { DriverQueue } from "../../src/driver-queue.ts";
import type { Engine } from "../../src/engine.ts";
import { Features } from "../../src/features.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";

const BATCH = 16;
const THRESHOLD = 4;
const RUNNING = 15;

interface Setup {
  tables: "freelist" | "direct";
  size: number;
  /** Most elements of a buffer; with tables no more than the threshold, where the engine would ask its heap. */
  most: number;
}

/** Both rings, driven alike; every call says what differed. */
class Pair {
  readonly engine: Engine;
  readonly setup: Setup;
  readonly buffer: ArrayBuffer;
  readonly words: Uint32Array;
  driver!: DriverQueue;
  device!: DeviceQueue;
  plain!: PlainRing;
  #generation = 0;

  constructor(engine: Engine, setup: Setup) {
    this.engine = engine;
    this.setup = setup;
    this.buffer = new ArrayBuffer(engine.memory.buffer.byteLength);
    this.words = new Uint32Array(this.buffer);
    this.connect();
  }

  /** Both rings anew. */
  connect(): void {
    const { engine, setup } = this;
    const { tables, size } = setup;
    if (this.driver) {
      this.driver.stop();
      this.device.stop();
      this.driver.detach();
    }
    engine.devices[0].status = RUNNING;
    const features = Features.VERSION_1 | Features.EVENT_IDX;
    const { driver, device } = engine.connect(0, {
      size,
      tables,
      tableAlways: true,
      features: tables === "direct" ? features : features | Features.INDIRECT_DESC,
    });
    this.driver = driver;
    this.device = device;
    // The tables keep what was in them, as far as either ring is concerned.
    new Uint8Array(this.buffer).set(new Uint8Array(engine.memory.buffer));
    this.clearPrivate();
    const at = (name: string): number => engine.region(`queue 0 ${name}`).ptr;
    this.plain = new PlainRing({
      buffer: this.buffer,
      size,
      tables,
      threshold: THRESHOLD,
      generation: ++this.#generation,
      places: {
        desc: at("descriptor area"),
        avail: at("driver area"),
        used: at("device area"),
        tables: at("tables"),
        driverRecords: at("driver records"),
        deviceRecords: at("device records"),
        freeTables: at("free tables, node 0"),
        windowBase: engine.sharedBase,
        windowBytes: engine.end - engine.sharedBase,
      },
    });
  }

  /** Stages `count` random buffers in both, adds and publishes them; how many fitted. */
  add(random: Random, count: number, firstToken: number): number {
    const { engine, driver, plain, words } = this;
    const staged = driver.staged;
    const { ptr } = this.place("staging add");
    let at = 0;
    for (let i = 0; i < count; i++) {
      const n = random.int(1, this.setup.most);
      const readable = random.int(0, n);
      staged[at++] = firstToken + i;
      staged[at++] = readable | ((n - readable) << 16);
      for (let k = 0; k < n; k++) {
        staged[at++] = engine.buffers.ptr + random.int(0, 65535);
        staged[at++] = random.chance(10) ? 0 : random.int(1, 65536);
      }
    }
    words.set(staged.subarray(0, at), ptr >>> 2);
    const added = driver.addBurst(count);
    expect(plain.add(ptr, count)).toBe(added);
    expect(plain.outstanding).toBe(driver.outstanding);
    expect(plain.numFree).toBe(driver.numFree);
    expect(plain.publish()).toBe(driver.publish());
    this.expectSameRing();
    return added;
  }

  /** Pops up to `max` buffers from both; how many, with the same records. */
  pop(max: number): number {
    const { device, plain } = this;
    const { ptr, bytes } = this.place("staging popped");
    const popped = device.popBurst(max);
    expect(plain.pop(ptr, bytes, max)).toBe(popped);
    if (popped > 0) this.expectSameBytes("popped", ptr, plain.cursor - ptr);
    return popped;
  }

  /** Marks what was popped used in both, and publishes it. */
  complete(count: number): void {
    const { device, plain } = this;
    expect(plain.markAllUsed(this.place("staging popped").ptr, count)).toBe(device.markPoppedUsed(count));
    expect(plain.publishUsed()).toBe(device.publishUsed());
    this.expectSameRing();
  }

  /** Takes up to `max` buffers back from both; the tokens. */
  reclaim(max: number): number[] {
    const { driver, plain } = this;
    const { ptr } = this.place("staging reclaimed");
    const done = driver.reclaimBurst(max);
    expect(plain.reclaim(ptr, max)).toBe(done);
    this.expectSameBytes("reclaimed", ptr, done * abi.RECLAIM_RECORD);
    return Array.from({ length: done }, (_, i) => driver.reclaimed[2 * i]);
  }

  /** Writes the same word into both memories. */
  poke(ptr: number, word: number): void {
    this.engine.u32[ptr >>> 2] = word;
    this.words[ptr >>> 2] = word;
  }

  place(name: string): { ptr: number; bytes: number } {
    return this.engine.region(`queue 0 ${name}`);
  }

  /** The descriptor, driver and device area and the tables. */
  expectSameRing(): void {
    for (const name of ["descriptor area", "driver area", "device area", "tables"]) {
      const { ptr, bytes } = this.place(name);
      this.expectSameBytes(name, ptr, bytes);
    }
  }

  /** Byte by byte only where they differ: the comparison of arrays would take most of the test's time. */
  private expectSameBytes(what: string, ptr: number, bytes: number): void {
    const ours = Buffer.from(this.buffer, ptr, bytes);
    const theirs = Buffer.from(this.engine.memory.buffer, ptr, bytes);
    if (!ours.equals(theirs)) expect([...ours], what).toEqual([...theirs]);
  }

  private clearPrivate(): void {
    for (const name of ["driver records", "device records", "free tables, node 0"]) {
      const { ptr, bytes } = this.place(name);
      new Uint8Array(this.buffer, ptr, bytes).fill(0);
    }
  }
}

const setups: Setup[] = [
  { tables: "freelist", size: 8, most: THRESHOLD },
  { tables: "freelist", size: 256, most: THRESHOLD },
  { tables: "direct", size: 8, most: 8 },
  { tables: "direct", size: 256, most: 19 },
];

describe.each(setups)("the plain ring, $tables, size $size", (setup) => {
  let pair: Pair;

  beforeAll(async () => {
    const engine = await createEngine({
      queueSize: setup.size,
      batch: BATCH,
      threshold: THRESHOLD,
      bufferBytes: 1 << 18,
    });
    pair = new Pair(engine, setup);
  });

  it("moves the same buffers as the engine and leaves the same bytes in the ring, past the end of its indices", () => {
    const random = new Random(setup.size);
    let added = 0;
    let reclaimed = 0;
    let pops = 0;
    while (reclaimed < 70_000) {
      added += pair.add(random, random.int(1, BATCH), added);
      if (random.chance(70)) expect(pair.plain.armDevice()).toBe(pair.device.arm());
      const popped = pair.pop(random.int(1, BATCH));
      pops += popped;
      pair.complete(popped);
      for (const token of pair.reclaim(random.int(1, BATCH))) expect(token).toBe(reclaimed++);
      if (random.chance(70)) expect(pair.plain.armDriver()).toBe(pair.driver.arm());
    }
    const ours = pair.plain.counters;
    const driver = pair.driver.counters();
    const device = pair.device.counters();
    expect(ours.added).toBe(added);
    expect(ours.popped).toBe(pops);
    expect(ours).toEqual({
      added: driver.added,
      reclaimed: driver.reclaimed,
      popped: device.popped,
      used: device.used,
      doorbells: driver.doorbells,
      interrupts: device.interrupts,
      tableTakes: driver.tableTakes,
      directFalls: driver.directFalls,
      highWater: driver.highWater,
      clampedLengths: 0,
    });
    expect(pair.plain.tablesListed).toBe(pair.driver.tablesListed());
  });

  it("finds the same fault as the engine where the driver has changed a word of the ring", () => {
    const areas = ["descriptor area", "driver area", "tables"].map((name) => pair.place(name));
    const found = new Set<number>();
    for (let seed = 0; seed < 400; seed++) {
      const random = new Random(seed);
      pair.connect();
      pair.add(random, Math.min(4, setup.size / 2), 0);
      for (let i = random.int(1, 3); i > 0; i--) {
        const { ptr, bytes } = random.pick(areas.filter((area) => area.bytes >= 4));
        const at = ptr + 4 * random.int(0, Math.min(24, (bytes >>> 2) - 1));
        // Small changes meet more rules than random ones; a table at an odd place can't be read by typed arrays.
        const old = pair.words[at >>> 2];
        const low = (at - ptr) % 16 === 0 ? 4 : 0;
        pair.poke(
          at,
          (random.chance(50) ? old ^ (1 << random.int(low, 31)) : random.int(0, 2 ** 31)) & ~(low && 3),
        );
      }
      pair.pop(BATCH);
      expect(pair.plain.deviceError, `seed ${seed}`).toBe(codeOf(pair, pair.device.ptr));
      found.add(pair.plain.deviceError);
    }
    expect(found.size).toBeGreaterThan(3);
  });

  it("finds the same fault as the engine where the device has changed a word of the used ring", () => {
    const { ptr } = pair.place("device area");
    const found = new Set<number>();
    for (let seed = 0; seed < 400; seed++) {
      const random = new Random(seed);
      pair.connect();
      pair.add(random, Math.min(4, setup.size / 2), 0);
      pair.complete(pair.pop(BATCH));
      // The engine counts on when a queue is reset.
      const before = pair.driver.counters().clampedLengths;
      const at = ptr + 4 * random.int(0, 4);
      const old = pair.words[at >>> 2];
      pair.poke(at, random.chance(50) ? old ^ (1 << random.int(0, 31)) : random.int(0, 2 ** 31));
      pair.reclaim(BATCH);
      expect(pair.plain.driverError, `seed ${seed}`).toBe(codeOf(pair, pair.driver.ptr));
      expect(pair.plain.counters.clampedLengths).toBe(pair.driver.counters().clampedLengths - before);
      found.add(pair.plain.driverError);
    }
    expect(found).toContain(abi.E_USED_ID_RANGE);
    expect(found).toContain(abi.E_USED_IDX);
  });

  it("refuses the records that the engine refuses, and keeps the ring as it was", () => {
    const { ptr } = pair.place("staging add");
    const refuse = (record: number[]): void => {
      pair.connect();
      pair.driver.staged.set(record);
      pair.words.set(record, ptr >>> 2);
      expect(pair.driver.addBurst(1)).toBe(0);
      expect(pair.plain.add(ptr, 1)).toBe(0);
      expect(pair.plain.refusal).toBe(
        pair.engine.u32[(pair.driver.ptr + pair.engine.wasm.QUEUE_REFUSAL.value) >>> 2],
      );
      expect(pair.plain.refusal).not.toBe(0);
      expect(pair.plain.numFree).toBe(setup.size);
    };
    refuse([1, 0]);
    refuse([1, setup.size + 1]);
    refuse([1, 2, 4096, 0x80000001, 4096, 0x80000000]);
  });
});

/** The violation of the engine's half at `ptr`, as a number. */
function codeOf({ engine }: Pair, ptr: number): number {
  return engine.u32[(ptr + engine.wasm.QUEUE_ERROR.value) >>> 2];
}

it("a plain ring whose size is no power of two is refused", () => {
  const places = {
    ...{
      desc: 64,
      avail: 256,
      used: 320,
      tables: 448,
      driverRecords: 512,
      deviceRecords: 640,
      freeTables: 704,
    },
    windowBase: 0,
    windowBytes: 4096,
  };
  const options = { buffer: new ArrayBuffer(4096), places, tables: "direct", threshold: 4 } as const;
  expect(() => new PlainRing({ ...options, size: 3 })).toThrow(
    "size is 3, but a split ring has a power of two",
  );
});
