/**
 * A hostile device that scribbles over everything that it can write, between any two calls of our
 * driver half and between any two loads or stores inside one. What is published does not depend on
 * it (H-D-04); what is reclaimed, and how it ends, is compared with a slow look at exactly the words
 * that were loaded; and every token comes back once, whatever happens.
 */
import { expect, it } from "vitest";
import type { DriverQueue, DriverQueueConfig } from "../../src/driver-queue.ts";
import type { Engine } from "../../src/engine.ts";
import { RING_FORMATS, type RingFormat, TABLE_SOURCES, type TableSource } from "../../src/names.ts";
import type { Span } from "../support/canaries.ts";
import { Random } from "../support/random.ts";
import { Position, RawPackedDevice } from "../support/raw-packed.ts";
import { RawSplitDevice } from "../support/raw-split.ts";
import { bufferOf, elementsAt, features, packedDriverRig, splitDriverRig } from "../support/rig.ts";
import { type Access, loads, type Permits, permits, stores, Trace, within } from "../support/trace.ts";
import { Image } from "./image.ts";
import { changedOutside, Scribbler, type Targets } from "./scribble.ts";
import { driverTerritory, regions, sharedPart } from "./territory.ts";
import { Looks, type Outstanding, reclaimPacked, reclaimSplit } from "./walk.ts";

const BATCH = 8;
const NODES = 2;
const SOURCES = Object.keys(TABLE_SOURCES) as TableSource[];
/** Loads and stores that hold whatever the rings say: so many a call, a buffer, an element of the ring. */
const CALL = 64;
const BUFFER = 160;
const ELEMENT = 16;

interface Fixture {
  format: RingFormat;
  config: DriverQueueConfig;
  inOrder: boolean;
  engine: Engine;
  driver: DriverQueue;
  peer: RawSplitDevice | RawPackedDevice;
  trace: Trace;
  image: Image;
  areas: Span[];
  data: Span;
  /** What is out when the calls start, and what the first of them adds. */
  out: Outstanding[];
  added: Outstanding[];
  /** used.idx, or the slot where the next used descriptor is looked for. */
  usedIdx: number;
  usedSlot: Position;
  /** Shared stores of the first add and publish when nobody disturbs them. */
  honest: { add: Access[]; publish: Access[] };
  allowed: Permits;
  targets: Targets;
  ours: Span[];
}

async function fixture(format: RingFormat, tables: TableSource, inOrder: boolean): Promise<Fixture> {
  const size = format === "split" ? 8 : 9;
  const trace = await Trace.create();
  const wanted = features(format, "INDIRECT_DESC", inOrder ? "IN_ORDER" : "EVENT_IDX");
  const config: DriverQueueConfig = { format, size, tables, features: wanted };
  const options = {
    ...config,
    size,
    dataBytes: 2048,
    engine: {
      ...trace.options,
      queues: 2,
      devices: 2,
      nodes: NODES,
      heapBytes: 1024,
      batch: BATCH,
      maxSgs: 4,
    },
  };
  const rig = format === "split" ? await splitDriverRig(options) : await packedDriverRig(options);
  const { engine, driver, peer, areas, data } = rig;
  const usesHeap = tables === "heap" || tables === "grow";

  let token = 100;
  const out: Outstanding[] = [];
  const add = (readable: number[], writable: number[]): Outstanding => {
    const elements = elementsAt(data.ptr + 64 * (token % 16), readable, writable);
    expect(driver.add({ ...bufferOf(elements), token })).toBe(true);
    const capacity = writable.reduce((sum, bytes) => sum + bytes, 0);
    return { id: -1, slots: 0, token: token++, capacity };
  };
  const learn = (buffers: Outstanding[]): void => {
    for (const [k, { id, slots }] of peer.take().entries()) Object.assign(buffers[k], { id, slots });
  };
  const usedSlot = new Position(size);
  let usedIdx = 0;
  // The positions have moved, and wrap while the calls run.
  for (let round = 0; round < 5; round++) {
    const buffer = add([1], [2]);
    driver.publish();
    learn([buffer]);
    peer.use(buffer, 2);
    peer.publish();
    expect(driver.reclaim()).toEqual([{ token: buffer.token, len: 2 }]);
    usedIdx++;
    usedSlot.advance(buffer.slots);
  }
  for (const [readable, writable] of [
    [[4], []],
    [[5, 6], [7]],
    [[], [8]],
  ])
    out.push(add(readable, writable));
  driver.publish();
  learn(out);
  peer.use(out[0], 0);
  peer.use(out[1], 5);
  peer.publish();

  const image = new Image(engine);
  const added: Outstanding[] = [];
  const shared = sharedPart(engine);
  const addLog = trace.record(() => {
    added.push(add([1, 2], []), add([], [3]));
  });
  const publishLog = trace.record(() => driver.publish());
  learn(added);
  const { base, offset } = engine.devices[0].window;
  const [desc, driverArea, deviceArea] = areas;
  const caches = regions(engine, "queue 0 tables").filter(({ bytes }) => bytes > 0);
  // The allocator's headers lie among its blocks: whoever can write there must be trusted.
  const heap = engine.region("heap");
  const reach: Span[] = [
    { ptr: engine.sharedBase, bytes: heap.ptr - engine.sharedBase },
    ...(usesHeap ? [] : [heap]),
    engine.buffers,
  ];
  const words =
    format === "split"
      ? [driverArea, deviceArea, deviceArea, deviceArea]
      : [desc, desc, driverArea, deviceArea];
  const territory = driverTerritory(engine, format, areas, usesHeap);
  return {
    format,
    config,
    inOrder,
    engine,
    driver,
    peer,
    trace,
    image,
    areas,
    data,
    out,
    added,
    usedIdx,
    usedSlot,
    honest: { add: within(stores(addLog), shared), publish: within(stores(publishLog), shared) },
    allowed: permits(engine, territory),
    targets: {
      size,
      flagsAt: format === "split" ? 12 : 14,
      tables: [desc, desc, ...caches.slice(0, 1)],
      words,
      all: [...reach, ...areas],
      busDelta: base - BigInt(offset),
      places: [data.ptr, desc.ptr, engine.end - 16, engine.sharedBase, engine.sharedBase - 16, 0],
    },
    ours: [...territory.write, ...regions(engine, "queue 0 staging add")],
  };
}

type Call = "add" | "publish" | "reclaim" | "arm" | "suppress";
const SCRIPT: readonly Call[] = ["add", "publish", "reclaim", "arm", "reclaim", "suppress", "reclaim"];

interface Stand {
  out: Outstanding[];
  usedIdx: number;
  usedSlot: Position;
  returned: number[];
  fault: boolean;
}

interface Outcome {
  accesses: number;
  code: string | null;
  reclaimed: number;
}

function run(
  f: Fixture,
  seed: number,
  strikesAt: (access: number) => boolean,
  strikesBefore: (call: number) => boolean,
): Outcome {
  const { engine, driver, trace, image } = f;
  image.restore();
  const expected = image.bytes();
  const random = new Random(seed);
  const scribbler = new Scribbler(random, engine, expected, f.targets);
  const stand: Stand = {
    out: [...f.out],
    usedIdx: f.usedIdx,
    usedSlot: f.usedSlot.copy(),
    returned: [],
    fault: false,
  };
  let accesses = 0;
  trace.before = () => {
    if (strikesAt(accesses++)) scribbler.strike();
  };
  trace.guard(engine, f.allowed);
  trace.limit = CALL + BATCH * BUFFER + ELEMENT * f.targets.size;
  const trespasses: string[] = [];
  for (const [at, call] of SCRIPT.entries()) {
    if (strikesBefore(at)) scribbler.strike();
    checked(f, stand, call, random);
    trespasses.push(...trace.trespasses);
  }
  trace.before = null;
  trace.limit = Number.POSITIVE_INFINITY;
  trace.guard(engine, null);
  expect(trespasses).toEqual([]);
  expect(changedOutside(engine, expected, f.ours)).toBe(-1);
  const code = driver.violation?.code ?? null;
  recovers(f, stand);
  return { accesses, code, reclaimed: stand.returned.length };
}

function checked(f: Fixture, stand: Stand, call: Call, random: Random): void {
  const { driver, trace, engine, data } = f;
  const shared = sharedPart(engine);
  if (call === "add") {
    const log = trace.record(() => {
      for (const [k, [readable, writable]] of [
        [[1, 2], []],
        [[], [3]],
      ].entries()) {
        const { token } = f.added[k];
        driver.add({ ...bufferOf(elementsAt(data.ptr + 64 * (token % 16), readable, writable)), token });
      }
    });
    expect(within(stores(log), shared)).toEqual(f.honest.add);
    stand.out.push(...f.added);
    return;
  }
  if (call === "publish") {
    const log = trace.record(() => driver.publish());
    expect(within(stores(log), shared)).toEqual(f.honest.publish);
    return;
  }
  if (call === "reclaim") {
    let count = 0;
    const log = trace.record(() => {
      count = driver.reclaimBurst(BATCH);
    });
    const heap = engine.region("heap");
    const seen = within(loads(log), shared).filter(
      ({ ptr }) => ptr < heap.ptr || ptr >= heap.ptr + heap.bytes,
    );
    reclaimed(f, stand, count, seen);
    return;
  }
  const log = trace.record(() => (call === "arm" ? driver.arm(random.int(0, 3)) : driver.suppress()));
  if (stand.fault) expect(within(log, shared)).toEqual([]);
}

function reclaimed(f: Fixture, stand: Stand, count: number, seen: readonly Access[]): void {
  const { driver, peer, engine, inOrder } = f;
  for (const { needsReset, configNotifications } of engine.devices) {
    expect([needsReset, configNotifications]).toEqual([false, 0]);
  }
  if (stand.fault) {
    expect([count, seen]).toEqual([0, []]);
    return;
  }
  const looks = new Looks(seen);
  const { used, faults } =
    peer instanceof RawSplitDevice
      ? reclaimSplit(looks, peer.places, stand.usedIdx, stand.out, inOrder)
      : reclaimPacked(looks, peer.places, stand.usedSlot, stand.out, inOrder);
  expect(looks.left).toBe(0);
  const words = driver.reclaimed;
  const got = Array.from({ length: count }, (_, k) => ({ token: words[2 * k], len: words[2 * k + 1] }));
  expect(got).toEqual(used.map(({ token, len }) => ({ token, len })));
  for (const { token, slots } of used) {
    stand.returned.push(token);
    stand.out = stand.out.filter((one) => one.token !== token);
    stand.usedIdx = (stand.usedIdx + 1) & 0xffff;
    stand.usedSlot.advance(slots);
  }
  stand.fault = faults.length > 0;
  if (stand.fault) {
    expect(faults).toEqual([driver.violation?.code]);
    expect(driver.state).toBe("broken");
  } else {
    expect([driver.state, driver.violation]).toEqual(["live", null]);
  }
}

/** Every token comes back once, no table is lost, and after a reset all is well again. */
function recovers({ engine, driver, config, format, peer, data, targets }: Fixture, stand: Stand): void {
  driver.stop();
  const rest = driver.detach();
  expect([...rest].sort()).toEqual(stand.out.map(({ token }) => token).sort());
  expect(new Set([...rest, ...stand.returned]).size).toBe(5);
  expect(driver.outstanding).toBe(0);
  expect(driver.counters().liveTables).toBe(0);
  // Where nothing came from the heap, the device has scribbled over it.
  if (config.tables === "heap" || config.tables === "grow") {
    expect(engine.heapLiveBlocks()).toBe(0);
    expect(engine.heapIsSound()).toBe(true);
  }
  const lists: Partial<Record<TableSource, number>> = { freelist: 1, "per-node": NODES };
  expect(driver.tablesListed()).toBe(targets.size * (lists[config.tables ?? "direct"] ?? 0));

  const again = engine.driverQueue(0, config);
  const device =
    format === "split"
      ? new RawSplitDevice(engine.memory, (peer as RawSplitDevice).places, peer.busDelta)
      : new RawPackedDevice(engine.memory, (peer as RawPackedDevice).places, peer.busDelta);
  expect(again.add({ ...bufferOf(elementsAt(data.ptr, [3, 4], [6])), token: 9 })).toBe(true);
  again.publish();
  const [buffer] = device.take();
  expect(buffer.elements.map(({ len }) => len)).toEqual([3, 4, 6]);
  device.use(buffer, 6);
  device.publish();
  expect(again.reclaim()).toEqual([{ token: 9, len: 6 }]);
}

const NEVER = (): boolean => false;
const REACHABLE: Record<RingFormat, string[]> = {
  split: ["used-id-not-outstanding", "used-id-out-of-range", "used-idx-jump"],
  packed: ["used-id-not-outstanding", "used-id-out-of-range"],
};

for (const format of RING_FORMATS) {
  for (const inOrder of [false, true]) {
    it(`H-D-01, H-D-02, H-D-03, H-D-04, G-D-16: a ${format} driver half publishes the same and returns each token once, or breaks alone and by name, when the device scribbles before any one access or call; IN_ORDER: ${inOrder}`, async () => {
      const codes = new Map<string | null, number>();
      let clamped = 0;
      let runs = 0;
      let reclaimed = 0;
      for (const tables of SOURCES) {
        const f = await fixture(format, tables, inOrder);
        const honest = run(f, 0, NEVER, NEVER);
        expect(honest).toMatchObject({ code: null, reclaimed: 2 });
        const count = (outcome: Outcome): void => {
          runs++;
          reclaimed += outcome.reclaimed;
          clamped += f.driver.counters().clampedLengths > 0 ? 1 : 0;
          codes.set(outcome.code, (codes.get(outcome.code) ?? 0) + 1);
        };
        for (let n = 0; n < honest.accesses; n++) {
          for (let seed = 0; seed < 2; seed++)
            count(run(f, 1000 * n + seed, (access) => access === n, NEVER));
        }
        for (let call = 0; call < SCRIPT.length; call++) {
          for (let seed = 0; seed < 10; seed++)
            count(run(f, 5_000_000 + 1000 * call + seed, NEVER, (at) => at === call));
        }
        for (let seed = 0; seed < 40; seed++) {
          const when = new Random(seed);
          count(
            run(
              f,
              seed,
              () => when.chance(4),
              () => when.chance(30),
            ),
          );
        }
      }
      expect([...codes.keys()].filter((code) => code !== null).sort()).toEqual(REACHABLE[format]);
      expect(codes.get(null) ?? 0).toBeGreaterThan(runs / 20);
      expect(reclaimed).toBeGreaterThan(runs);
      expect(clamped).toBeGreaterThan(0);
    });
  }
}
