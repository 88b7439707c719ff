/**
 * A hostile driver that scribbles over everything that it can write, between any two calls of our
 * device half and between any two loads or stores inside one. What each burst gives, and how it
 * ends, is compared with a slow walk over exactly the words that were loaded.
 */
import { expect, it } from "vitest";
import type { DeviceQueue } from "../../src/device-queue.ts";
import type { Engine } from "../../src/engine.ts";
import { RING_FORMATS, type RingFormat, VIOLATIONS } from "../../src/names.ts";
import type { Span } from "../support/canaries.ts";
import { Random } from "../support/random.ts";
import { type PackedPlaces, RawPackedDriver, usedBits } from "../support/raw-packed.ts";
import { RawSplitDriver, type SplitPlaces, WRITE } from "../support/raw-split.ts";
import { type DeviceRig, elementsAt, features, packedDeviceRig, splitDeviceRig } from "../support/rig.ts";
import { type Access, loads, type Permits, permits, stores, Trace, within } from "../support/trace.ts";
import { Image } from "./image.ts";
import { changedOutside, Scribbler, type Targets } from "./scribble.ts";
import { deviceTerritory, regions, sharedPart } from "./territory.ts";
import { type DeviceView, Looks, walkPacked, walkSplit } from "./walk.ts";

const BATCH = 8;
const RUNNING = 0x0f;
/** Loads and stores of a burst that hold whatever the rings say: so many a call, a buffer, an element. */
const CALL = 64;
const BUFFER = 32;
const ELEMENT = 16;

interface Options {
  eventIdx?: boolean;
  inOrder?: boolean;
  indirect?: boolean;
  maxChain?: number;
}

/** Where the device half stands, as its caller knows it. */
interface Stand {
  /** Available and used position: split indices, or slots from slot 0 of lap 1. */
  avail: number;
  used: number;
  inFlight: { handle: number; id: number; slots: number; capacity: number }[];
  fault: boolean;
}

interface Fixture {
  format: RingFormat;
  options: Options;
  engine: Engine;
  device: DeviceQueue;
  peer: RawSplitDriver | RawPackedDriver;
  trace: Trace;
  image: Image;
  start: Stand;
  view: DeviceView;
  areas: Span[];
  data: Span;
  allowed: Permits;
  targets: Targets;
  /** What may change without the peer's doing. */
  ours: Span[];
}

async function fixture(format: RingFormat, options: Options): Promise<Fixture> {
  const size = format === "split" ? 8 : 7;
  const trace = await Trace.create();
  const negotiated = features(format, ...(options.eventIdx ? ["EVENT_IDX" as const] : []));
  const more = features(format, ...(options.inOrder ? ["IN_ORDER" as const] : []));
  const indirect = options.indirect ?? true;
  const rigOptions = {
    size,
    features: negotiated | more | (indirect ? features(format, "INDIRECT_DESC") : 0n),
    maxChain: options.maxChain,
    dataBytes: 2048,
    engine: { ...trace.options, queues: 2, devices: 2, heapBytes: 1024, batch: BATCH },
  };
  const rig: DeviceRig<RawSplitDriver> | DeviceRig<RawPackedDriver> =
    format === "split" ? await splitDeviceRig(rigOptions) : await packedDeviceRig(rigOptions);
  const { engine, device, peer, areas, data } = rig;
  // A neighbour on another device, with a buffer on its way, must not notice anything.
  const other = engine.connect(1, { format, size, device: 1 });
  other.driver.add({ readable: [{ ptr: data.ptr, bytes: 3 }], token: 77 });
  other.driver.publish();

  const start: Stand = { avail: 0, used: 0, inFlight: [], fault: false };
  if (peer instanceof RawSplitDriver) {
    // The indices wrap on the way.
    start.avail = start.used = 0xfffd;
    engine.wasm.splitDeviceResume(device.ptr, 0xfffd, 0xfffd);
    peer.startAt(0xfffd);
  } else {
    start.avail = start.used = size - 2;
    engine.wasm.packedDeviceResume(device.ptr, size - 2, 1, size - 2, 1);
    peer.startAt(size - 2, 1);
  }
  const table = data.ptr + 1024;
  for (const sizes of [[4], [5]]) peer.add(elementsAt(data.ptr, [], sizes));
  peer.publish();
  for (const chain of device.pop()) {
    // A raw driver takes heads, or ids, from 0 on.
    const id = start.inFlight.length;
    start.inFlight.push({ handle: chain.handle, id, slots: 1, capacity: chain.writableBytes });
    start.avail = format === "split" ? (start.avail + 1) & 0xffff : start.avail + 1;
  }
  peer.add(elementsAt(data.ptr + 64, [7], [8]));
  if (indirect) peer.indirect(table, elementsAt(data.ptr + 128, [1, 2], [3]));
  peer.add(elementsAt(data.ptr + 256, [], [9, 10]));
  peer.publish();

  const shared = sharedPart(engine);
  const { base, length, offset } = engine.devices[0].window;
  const [desc, driverArea, deviceArea] = areas;
  const words = format === "split" ? [driverArea, driverArea, deviceArea] : [desc, driverArea, deviceArea];
  const territory = deviceTerritory(engine, format, areas);
  return {
    format,
    options,
    engine,
    device,
    peer,
    trace,
    image: new Image(engine),
    start,
    view: { size, maxChain: options.maxChain ?? size, indirect, window: { base, length, offset } },
    areas,
    data,
    allowed: permits(engine, territory),
    targets: {
      size,
      flagsAt: format === "split" ? 12 : 14,
      tables: [desc, desc, { ptr: table, bytes: 16 * size }],
      words,
      all: [shared, ...areas, { ptr: table, bytes: 256 }],
      busDelta: base - BigInt(offset),
      places: [
        data.ptr,
        data.ptr + 64,
        table,
        table + 16,
        desc.ptr,
        deviceArea.ptr,
        engine.end - 16,
        engine.end - 4,
        engine.sharedBase - 16,
        engine.sharedBase,
        0,
      ],
    },
    ours: [...territory.write, ...regions(engine, "queue 0 staging used")],
  };
}

type Call = "pop" | "use" | "publish" | "arm" | "suppress";
const SCRIPT: readonly Call[] = ["pop", "use", "publish", "arm", "pop", "use", "publish", "suppress"];

interface Outcome {
  /** Accesses of all calls together. */
  accesses: number;
  code: string | null;
  buffers: number;
}

/**
 * Runs the calls; the peer strikes before access `n` of them all, or before a call, when told.
 * Everything is checked after each call.
 */
function run(
  f: Fixture,
  seed: number,
  strikesAt: (access: number) => boolean,
  strikesBefore: (call: number) => boolean,
  script: readonly Call[] = SCRIPT,
): Outcome {
  const { engine, device, trace, image } = f;
  image.restore();
  const expected = image.bytes();
  const random = new Random(seed);
  const scribbler = new Scribbler(random, engine, expected, f.targets);
  const stand: Stand = { ...f.start, inFlight: [...f.start.inFlight] };
  const outcome: Outcome = { accesses: 0, code: null, buffers: 0 };
  trace.before = () => {
    if (strikesAt(outcome.accesses++)) scribbler.strike();
  };
  trace.guard(engine, f.allowed);
  const trespasses: string[] = [];
  for (const [at, call] of script.entries()) {
    if (strikesBefore(at)) scribbler.strike();
    trace.limit = CALL + BATCH * (BUFFER + ELEMENT * (f.view.maxChain + 1));
    const log = checked(f, stand, call, random);
    outcome.buffers += log;
    trespasses.push(...trace.trespasses);
  }
  trace.before = null;
  trace.limit = Number.POSITIVE_INFINITY;
  trace.guard(engine, null);
  expect(trespasses).toEqual([]);
  expect(changedOutside(engine, expected, f.ours)).toBe(-1);
  outcome.code = device.violation?.code ?? null;
  recovers(f, stand.fault);
  return outcome;
}

/** One call and what must be true of it; how many buffers it popped. */
function checked(f: Fixture, stand: Stand, call: Call, random: Random): number {
  const { device, trace, engine } = f;
  const shared = sharedPart(engine);
  if (call === "pop") {
    let count = 0;
    const log = trace.record(() => {
      count = device.popBurst(BATCH);
    });
    expect(within(stores(log), shared)).toEqual([]);
    popped(f, stand, count, within(loads(log), shared));
    return count;
  }
  if (call === "use") {
    const done = (f.options.inOrder ? stand.inFlight : random.shuffle(stand.inFlight)).slice(
      0,
      random.int(0, stand.inFlight.length),
    );
    const lens = done.map(({ capacity }) => random.int(0, capacity));
    for (const [k, { handle }] of done.entries()) device.completions.set([handle, lens[k]], 2 * k);
    let count = 0;
    const log = trace.record(() => {
      count = device.markUsedBurst(done.length);
    });
    expect(count).toBe(stand.fault ? 0 : done.length);
    // What the driver writes meanwhile is of no account: nothing that it can write is loaded.
    expect(within(loads(log), shared)).toEqual([]);
    if (stand.fault) return 0;
    if (!f.options.inOrder) usedElements(f, stand, done, lens, within(stores(log), shared));
    stand.used += f.format === "split" ? done.length : done.reduce((sum, { slots }) => sum + slots, 0);
    stand.inFlight = stand.inFlight.filter((one) => !done.includes(one));
    return 0;
  }
  const log = trace.record(() => {
    if (call === "publish") device.publishUsed();
    else if (call === "arm") device.arm(random.int(0, 3));
    else device.suppress();
  });
  if (stand.fault) expect(within(log, shared)).toEqual([]);
  return 0;
}

/** Whether a burst gave what one look at each word gives, and broke the queue just when a rule was. */
function popped(f: Fixture, stand: Stand, count: number, seen: readonly Access[]): void {
  const { device, peer, view } = f;
  const [virtio, neighbour] = f.engine.devices;
  expect(neighbour.needsReset).toBe(false);
  if (stand.fault) {
    expect([count, seen]).toEqual([0, []]);
    return;
  }
  const looks = new Looks(seen);
  const { buffers, faults } =
    peer instanceof RawSplitDriver
      ? walkSplit(looks, view, peer.places, stand.avail, new Set(stand.inFlight.map(({ id }) => id)), BATCH)
      : walkPacked(looks, view, peer.places, lap(stand.avail, view.size), busySlots(stand), BATCH);
  expect(looks.left).toBe(0);
  expect(count).toBe(buffers.length);
  const words = device.popped;
  let at = 0;
  for (const { id, slots, segments } of buffers) {
    const readable = segments.filter(({ write }) => !write);
    const writable = segments.filter(({ write }) => write);
    const sum = (list: typeof segments): number => list.reduce((total, { bytes }) => total + bytes, 0);
    expect([...words.subarray(at + 1, at + 4)]).toEqual([
      readable.length | (writable.length << 16),
      sum(readable),
      sum(writable),
    ]);
    const flat = [...words.subarray(at + 4, at + 4 + 2 * segments.length)];
    expect(flat).toEqual(segments.flatMap(({ ptr, bytes }) => [ptr, bytes]));
    expect(segments.length).toBeLessThanOrEqual(view.maxChain);
    for (const { ptr, bytes } of segments) {
      expect(ptr).toBeGreaterThanOrEqual(f.engine.sharedBase);
      expect(ptr + bytes).toBeLessThanOrEqual(f.engine.end);
    }
    stand.inFlight.push({ handle: words[at], id, slots, capacity: sum(writable) });
    stand.avail = f.format === "split" ? (stand.avail + 1) & 0xffff : stand.avail + slots;
    at += 4 + 2 * segments.length;
  }
  // Two buffers in flight never have one handle.
  expect(new Set(stand.inFlight.map(({ handle }) => handle)).size).toBe(stand.inFlight.length);
  stand.fault = faults.length > 0;
  if (stand.fault) {
    expect(faults).toContain(device.violation?.code);
    expect([device.state, virtio.needsReset, virtio.configNotifications]).toEqual(["broken", true, 1]);
  } else {
    expect([device.state, virtio.needsReset, virtio.configNotifications]).toEqual(["live", false, 0]);
    expect(device.violation).toBeNull();
  }
}

/** Ids, lengths and places of the stored used elements; the first of a packed batch waits for its publish. */
function usedElements(
  f: Fixture,
  stand: Stand,
  done: Stand["inFlight"],
  lens: readonly number[],
  log: readonly Access[],
): void {
  const { size } = f.view;
  const { peer } = f;
  if (peer instanceof RawSplitDriver) {
    const wanted = done.map(({ id }, k) => ({
      ptr: peer.places.used + 4 + 8 * ((stand.used + k) % size),
      value: BigInt(id) | (BigInt(lens[k]) << 32n),
    }));
    expect(storedBytes(log)).toEqual(bytesOf(wanted));
    return;
  }
  let position = stand.used;
  const wanted = done.map(({ id, slots }, k) => {
    const { slot, wrap } = lap(position, size);
    position += slots;
    const flags = usedBits(wrap) | (lens[k] > 0 ? WRITE : 0);
    const value = BigInt(lens[k]) | (BigInt(id) << 32n) | (BigInt(flags) << 48n);
    return { ptr: peer.places.desc + 16 * slot + 8, value };
  });
  expect(storedBytes(log)).toEqual(bytesOf(wanted.slice(1)));
}

/** Each byte that was stored, once. */
function storedBytes(log: readonly Access[]): Map<number, number> {
  const stored = new Map<number, number>();
  for (const { ptr, bytes, value } of log) {
    for (let k = 0; k < bytes; k++) {
      expect(stored.has(ptr + k)).toBe(false);
      stored.set(ptr + k, Number((value >> BigInt(8 * k)) & 0xffn));
    }
  }
  return stored;
}

function bytesOf(words: readonly { ptr: number; value: bigint }[]): Map<number, number> {
  const bytes = new Map<number, number>();
  for (const { ptr, value } of words) {
    for (let k = 0; k < 8; k++) bytes.set(ptr + k, Number((value >> BigInt(8 * k)) & 0xffn));
  }
  return bytes;
}

function lap(position: number, size: number): { slot: number; wrap: number } {
  return { slot: position % size, wrap: Math.floor(position / size) % 2 === 0 ? 1 : 0 };
}

function busySlots({ inFlight }: Stand): number {
  return inFlight.reduce((sum, { slots }) => sum + slots, 0);
}

/** A reset, a new driver, and all is well again; the neighbour has its buffer. */
function recovers({ engine, device, format, areas, data, view }: Fixture, broken: boolean): void {
  const [virtio] = engine.devices;
  expect(virtio.needsReset).toBe(broken);
  device.stop();
  virtio.status = RUNNING;
  for (const { ptr, bytes } of areas) engine.bytes(ptr, bytes).fill(0);
  const [a, b, c] = areas.map(({ ptr }) => ptr);
  const { window } = virtio;
  const busDelta = window.base - BigInt(window.offset);
  const places: SplitPlaces & PackedPlaces = {
    size: view.size,
    desc: a,
    avail: b,
    used: c,
    driverArea: b,
    deviceArea: c,
  };
  const peer =
    format === "split"
      ? new RawSplitDriver(engine.memory, places, busDelta)
      : new RawPackedDriver(engine.memory, places, busDelta);
  const again = engine.deviceQueue(0, {
    format,
    size: view.size,
    desc: peer.bus(a),
    driverArea: peer.bus(b),
    deviceArea: peer.bus(c),
  });
  const id = peer.add(elementsAt(data.ptr, [3], [6]));
  peer.publish();
  expect(again.popBurst(BATCH)).toBe(1);
  expect(again.markPoppedUsed(1)).toBe(1);
  again.publishUsed();
  expect(peer.used()).toEqual([{ id, len: 6 }]);
}

const VARIANTS: Record<RingFormat, Options[]> = {
  split: [{ eventIdx: true }, { inOrder: true, maxChain: 3 }, { indirect: false }],
  packed: [{ eventIdx: true }, { inOrder: true, maxChain: 3 }, { indirect: false }],
};
const NEVER = (): boolean => false;

/** E_* codes that a driver's scribbling can reach. */
const REACHABLE: Record<RingFormat, string[]> = {
  split: [
    "avail-idx-jump",
    "head-out-of-range",
    "head-in-flight",
    "next-out-of-range",
    "chain-too-long",
    "table-length",
    "table-address",
    "buffer-address",
    "readable-after-writable",
    "indirect-with-next",
    "nested-indirect",
    "indirect-not-negotiated",
  ],
  packed: [
    "chain-too-long",
    "table-length",
    "table-address",
    "buffer-address",
    "readable-after-writable",
    "indirect-in-list",
    "ring-overrun",
    "indirect-not-negotiated",
  ],
};

for (const format of RING_FORMATS) {
  const ids = "H-V-01, H-V-02, H-V-03, H-V-04, H-V-05, H-V-06, H-V-08, H-V-09";
  it(`${ids}: a ${format} device half gives what one look gives, or breaks alone and by name, when the driver scribbles before any one access or call`, async () => {
    const codes = new Map<string | null, number>();
    let runs = 0;
    let buffers = 0;
    for (const options of VARIANTS[format]) {
      const f = await fixture(format, options);
      const honest = run(f, 0, NEVER, NEVER);
      expect(honest).toMatchObject({ code: null, buffers: options.indirect === false ? 2 : 3 });
      const count = (outcome: Outcome): void => {
        runs++;
        buffers += outcome.buffers;
        codes.set(outcome.code, (codes.get(outcome.code) ?? 0) + 1);
      };
      for (let n = 0; n < honest.accesses; n++) {
        for (let seed = 0; seed < 4; seed++) count(run(f, 1000 * n + seed, (access) => access === n, NEVER));
      }
      for (let call = 0; call < SCRIPT.length; call++) {
        for (let seed = 0; seed < 40; seed++)
          count(run(f, 5_000_000 + 1000 * call + seed, NEVER, (at) => at === call));
      }
      // Relentlessly: before every tenth access or so, and a longer script.
      for (let seed = 0; seed < 150; seed++) {
        const when = new Random(seed);
        const script = [...SCRIPT, ...SCRIPT, ...SCRIPT];
        count(
          run(
            f,
            seed,
            () => when.chance(3),
            () => when.chance(30),
            script,
          ),
        );
      }
    }
    expect([...codes.keys()].filter((code) => code !== null).sort()).toEqual([...REACHABLE[format]].sort());
    expect(codes.get(null) ?? 0).toBeGreaterThan(runs / 20);
    expect(buffers).toBeGreaterThan(runs);
    const named = Object.values(VIOLATIONS).map(({ code }) => code);
    expect(named).toEqual(expect.arrayContaining(REACHABLE[format]));
  });
}
