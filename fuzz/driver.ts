/** Targets `split-driver` and `packed-driver`: our driver half, an honest caller, and a device that means harm. */
import * as abi from "../assembly/abi.ts";
import { DriverQueue, type DriverQueueConfig } from "../src/driver-queue.ts";
import { Features } from "../src/features.ts";
import { type RingFormat, TABLE_SOURCES, type TableSource } from "../src/names.ts";
import type { Span } from "../test/support/canaries.ts";
import { Bytes } from "./bytes.ts";
import {
  type DriverModel,
  type DriverSetup,
  type Element,
  type Given,
  type Listed,
  PackedDriverModel,
  SplitDriverModel,
} from "./driver-model.ts";
import { HostileDevice } from "./hostile-device.ts";
import { bucket, nameOf, type Report, type RingTarget, type Window } from "./target.ts";
import { BATCH, CAPACITY, codeOf, equal, must, RUNNING, same, type World } from "./world.ts";

const SIZES = { split: [8, 4, 1, 2, 16], packed: [8, 4, 1, 2, 3, 5, 7, 16] } as const;
const SOURCES = Object.keys(TABLE_SOURCES) as TableSource[];
const FIRST_TOKEN = 0x1000_0000;

/** A buffer to add, and what must become of it. */
interface Staged {
  token: number;
  elements: Element[];
  code: number;
}

class DriverCase {
  readonly #world: World;
  readonly #report: Report;
  readonly #bytes: Bytes;
  readonly #private: Span[];
  /** What enabling may write of the engine's own: what the half was made with stands in the registers' block. */
  readonly #setUp: Span[];
  readonly #taking: Span[];
  readonly #all: Span[];
  readonly #window: Window;
  #config: DriverQueueConfig = {};
  #driver: DriverQueue;
  #model: DriverModel;
  #device: HostileDevice;
  #state = "live";
  #status = RUNNING;
  #token = FIRST_TOKEN;
  /** Buffers added and not published yet, by id. */
  #pending: number[] = [];
  /** The device has written into the ring since then; ever. */
  #touched = false;
  #scribbled = false;

  constructor(world: World, bytes: Bytes, report: Report) {
    this.#world = world;
    this.#bytes = bytes;
    this.#report = report;
    this.#private = world.regions(/^queue 0 (driver|driver records|free tables, .*)$|^heap/);
    this.#taking = [...this.#private, ...world.regions(/^queue 0 staging reclaimed$/)];
    this.#setUp = [...this.#private, ...world.regions(/^queue 0 registers$/)];
    this.#all = [...this.#setUp, ...world.regions(/^queue 0 (descriptor|driver|device) area$/)];
    const { sharedBase, end } = world.engine;
    this.#window = {
      base: bytes.pick([BigInt(sharedBase), 0n, 1n << 40n, (1n << 64n) - BigInt(end - sharedBase)]),
      length: BigInt(end - sharedBase),
      offset: sharedBase,
    };
    world.engine.devices[0].setWindow(this.#window);
    world.sync();
    [this.#driver, this.#model, this.#device] = this.#start();
  }

  #start(): [DriverQueue, DriverModel, HostileDevice] {
    const { bytes, world } = { bytes: this.#bytes, world: this.#world };
    const { format } = world;
    const size = bytes.pick(SIZES[format]);
    const flags = bytes.u8();
    const source = bytes.pick(SOURCES);
    this.#config = {
      format,
      size,
      features:
        Features.VERSION_1 |
        (flags & 1 ? 0n : Features.INDIRECT_DESC) |
        (flags & 2 ? 0n : Features.EVENT_IDX) |
        (flags & 4 ? Features.IN_ORDER : 0n),
      tables: source,
      tableAlways: (flags & 8) !== 0,
      directHead: format === "split" && (flags & 0x30) === 0x30,
      threshold: [4, 4, 2, 0][flags >>> 6],
    };
    const driver = new DriverQueue(world.engine, 0, this.#config);
    world.onlyChanged(this.#all, "enable");
    this.#state = "live";
    this.#scribbled = false;
    this.#touched = false;
    this.#pending = [];
    const area = (name: string): number => world.engine.region(`queue 0 ${name} area`).ptr;
    const setup: DriverSetup = {
      size,
      window: this.#window,
      eventIdx: (flags & 2) === 0,
      inOrder: (flags & 4) !== 0,
      desc: area("descriptor"),
      driverArea: area("driver"),
      deviceArea: area("device"),
    };
    const model =
      format === "split" ? new SplitDriverModel(world, setup) : new PackedDriverModel(world, setup);
    const reach = [...world.regions(/^queue 0 ((descriptor|driver|device) area|tables)$/), world.hostile];
    const { tableAlways, directHead, threshold } = this.#config;
    this.#report.say(
      () =>
        `caller: ${format} ring of ${size}, tables from ${source}, ` +
        JSON.stringify({
          threshold,
          tableAlways,
          directHead,
          indirect: !(flags & 1),
          eventIdx: !(flags & 2),
          inOrder: !!(flags & 4),
        }),
    );
    return [driver, model, new HostileDevice(world, model, this.#report, reach)];
  }

  run(): void {
    while (this.#bytes.left > 0) this.#step();
    this.#finish();
  }

  #step(): void {
    const op = this.#bytes.below(32);
    if (op < 12) {
      this.#device.step(this.#bytes);
      this.#touched = true;
      this.#scribbled = true;
      this.#world.sync();
    } else if (op < 18) this.#add();
    else if (op < 21) this.#publish();
    else if (op < 27) this.#reclaim();
    else if (op === 27) this.#wish();
    else if (op === 28) this.#restart();
    else if (op === 29) this.#mistake();
    else this.#rare();
    this.#settled(op);
  }

  /** What holds between any two operations. */
  #settled(op: number): void {
    const { engine } = this.#world;
    const { wasm } = engine;
    const word = (offset: number): number => engine.u32[(this.#driver.ptr + offset) >>> 2];
    equal(this.#driver.state, this.#state, "state");
    equal(this.#driver.outstanding, this.#model.outstanding.size, "outstanding buffers");
    equal(word(wasm.DRIVER_LIVE_TABLES.value), this.#model.liveTables, "live tables");
    const [virtio] = engine.devices;
    equal(virtio.status, this.#status, "device status");
    equal(virtio.configNotifications, 0, "configuration notifications");
    if (this.#state !== "stopped") {
      equal(this.#driver.numFree, this.#model.setup.size - this.#model.slotsOut, "free entries");
    }
    const fault = word(wasm.QUEUE_ERROR.value) * 256 + word(wasm.QUEUE_REFUSAL.value);
    this.#report.signal(op, fault, bucket(this.#model.outstanding.size), this.#model.liveTables > 0 ? 1 : 0);
  }

  /** Buffers in the staging area, some of which break a rule. */
  #stage(): Staged[] {
    const { size } = this.#model.setup;
    const count = 1 + this.#bytes.below(4);
    const words = this.#driver.staged;
    const staged: Staged[] = [];
    let at = 0;
    for (let k = 0; k < count; k++) {
      const shape = this.#bytes.u8();
      const n =
        shape >= 248 ? [0, size + 1, size, 0][shape & 3] : 1 + (shape & 3) + (shape >>> 6 === 3 ? 3 : 0);
      if (at + 2 + 2 * n > words.length) break;
      const readable = this.#bytes.below(n + 1);
      const huge = (shape & 0x3c) === 0x3c;
      const data = this.#world.hostile.ptr + this.#bytes.u8() * 8;
      const elements = Array.from({ length: n }, (_, e) => ({
        ptr: data + 64 * e,
        bytes: huge ? 2 ** 31 + (shape & 1) : 16 + e,
        write: e >= readable,
      }));
      const token = this.#token++;
      words[at++] = token;
      words[at++] = readable | ((n - readable) << 16);
      for (const { ptr, bytes } of elements) {
        words[at++] = ptr;
        words[at++] = bytes;
      }
      staged.push({ token, elements, code: refusal(elements, size) });
    }
    return staged;
  }

  #add(): void {
    const staged = this.#stage();
    this.#world.sync();
    const live = this.#state === "live";
    const done = this.#driver.addBurst(staged.length);
    this.#report.say(
      () =>
        `caller: adds ${done} of buffers with ${staged.map(({ elements }) => elements.length).join(", ")} elements`,
    );
    this.#world.onlyChanged(live ? this.#adding() : this.#refusalWord, "add");
    if (!live) {
      equal(done, 0, "buffers added");
      return;
    }
    must(done <= staged.length, "more buffers added than staged");
    this.#noted(staged.slice(0, done));
    const next = staged[done];
    const code = next === undefined ? abi.OK : next.code;
    equal(this.#driver.refusal?.code ?? null, code === abi.OK ? null : nameOf(code), "refusal");
    if (code !== abi.OK) this.#report.reached(nameOf(code));
    else if (next !== undefined) {
      const left = this.#driver.numFree;
      must(
        left < next.elements.length,
        () => `${left} entries are free, and a buffer of ${next.elements.length} has no room`,
      );
      this.#report.reached("full");
    }
  }

  /** Where an add may write: never into what the device owns, or another queue's tables. */
  #adding(): Span[] {
    const { desc, driverArea, size } = this.#model.setup;
    const ring = { ptr: desc, bytes: 16 * size };
    const avail = this.#world.format === "split" ? [{ ptr: driverArea + 4, bytes: 2 * size }] : [];
    return [...this.#private, ...this.#world.regions(/^queue 0 tables$/), ring, ...avail];
  }

  get #refusalWord(): Span[] {
    return [{ ptr: this.#driver.ptr + this.#world.engine.wasm.QUEUE_REFUSAL.value, bytes: 4 }];
  }

  /** Each added buffer has an id of its own, and stands in the ring as it was staged. */
  #noted(staged: readonly Staged[]): void {
    if (this.#model.index().length === 0) this.#touched = false;
    for (const [k, { token, elements, code }] of staged.entries()) {
      equal(code, abi.OK, "code of a buffer that was added");
      const listed = this.#model.added(k) ?? this.#recorded(token);
      must(!this.#model.outstanding.has(listed.id), () => `two buffers are called ${listed.id}`);
      must(listed.id >= 0 && listed.id < this.#model.setup.size, () => `a buffer is called ${listed.id}`);
      if (listed.elements.length > 0) this.#stands(listed, elements);
      const capacity = elements.reduce((sum, { bytes, write }) => sum + (write ? bytes : 0), 0);
      const given: Given = { ...listed, token, elements, capacity: Math.min(capacity, 0xffff_ffff) };
      this.#model.add(listed.id, given);
      this.#pending.push(listed.id);
      if (given.tabled) this.#report.reached(`table-${this.#config.tables}`);
      if (this.#model instanceof PackedDriverModel) this.#model.hold(given.slots);
    }
    if (this.#model instanceof SplitDriverModel) this.#model.took(staged.length);
  }

  /** A packed buffer cannot be seen before it is published: the private record of its token says its id. */
  #recorded(token: number): Listed {
    const { ptr } = this.#world.engine.region("queue 0 driver records");
    for (let id = 0; id < this.#model.setup.size; id++) {
      const at = ptr + 16 * id;
      const slots = this.#world.u16(at + 14);
      if (slots > 0 && this.#world.u32(at) === token) {
        return { id, slots, tabled: this.#world.u32(at + 8) !== 0, elements: [] };
      }
    }
    return { id: -1, slots: 0, tabled: false, elements: [] };
  }

  #stands({ elements, tabled }: Listed, wanted: readonly Element[]): void {
    // The address of a slot's own table stays in the ring; a device that overwrites it finds its own bytes there.
    if (this.#config.tables === "slot" && tabled && this.#scribbled) return;
    same(elements, wanted, "elements in the ring");
  }

  #publish(): void {
    const live = this.#state === "live";
    const runs = (this.#status & 4) !== 0;
    const pending = this.#pending.map((id) => ({ ...(this.#model.outstanding.get(id) as Given), id }));
    const index = live ? this.#model.index() : [];
    const got = this.#driver.publish();
    this.#report.say(() => `caller: publishes ${pending.length}, ${got ? "with" : "without"} a kick`);
    this.#world.onlyChanged(live ? [...this.#private, ...index] : [], "publish");
    if (!live) {
      equal(got, false, "kick");
      return;
    }
    if (!this.#touched) {
      for (const [k, listed] of this.#model.shown(pending.length).entries()) {
        equal(listed.id, pending[k].id, "id in the ring");
        this.#stands(listed, pending[k].elements);
      }
    }
    equal(got, this.#model.publish(runs), "kick");
    this.#pending = [];
    if (got) this.#report.reached("kick");
  }

  #reclaim(): void {
    const max = 1 + this.#bytes.below(BATCH);
    const live = this.#state === "live";
    const clamped = this.#driver.counters().clampedLengths;
    const index = live ? this.#model.index() : [];
    // A reclaim first shows what was added, so that the device can't name what it has not seen.
    if (live) this.#model.show();
    const want = live ? this.#model.reclaim(max) : { records: [], code: abi.OK };
    const done = this.#driver.reclaimBurst(max);
    this.#report.say(() => `caller: reclaims ${done} of at most ${max}`);
    this.#world.onlyChanged(live ? [...this.#taking, ...index] : [], "reclaim");
    equal(done, want.records.length, "reclaimed buffers");
    this.#records(want.records);
    if (want.code !== abi.OK) {
      this.#state = "broken";
      this.#report.reached(nameOf(want.code));
    }
    if (live)
      equal(
        this.#driver.violation?.code ?? null,
        want.code === abi.OK ? null : nameOf(want.code),
        "violation",
      );
    if (live) this.#pending = [];
    if (this.#driver.counters().clampedLengths > clamped) this.#report.reached("clamped");
    if (done > 0) this.#report.reached("reclaimed");
  }

  #records(records: readonly { token: number; len: number }[]): void {
    const words = this.#driver.reclaimed;
    const got = records.map((_, k) => ({ token: words[2 * k], len: words[2 * k + 1] }));
    same(got, records, "reclaimed");
  }

  #wish(): void {
    const after = this.#bytes.u8();
    const live = this.#state === "live";
    if (after & 1) {
      this.#driver.suppress();
      this.#report.say(() => "caller: wants no interrupts");
    } else {
      const got = this.#driver.arm(after >>> 3);
      this.#report.say(() => `caller: wants an interrupt after ${after >>> 3} more`);
      equal(got, live && this.#model.armed(after >>> 3), "work at arm");
    }
    this.#world.onlyChanged(live ? [this.#model.wish()] : [], "arm");
  }

  #restart(): void {
    this.#recover();
    if (this.#bytes.below(4) === 3) return;
    [this.#driver, this.#model, this.#device] = this.#start();
  }

  /** Whatever the device did: stop and detach give every token back, once, and nothing leaks. */
  #recover(): void {
    const { engine } = this.#world;
    if (this.#state !== "stopped") {
      equal(this.#driver.detachBurst(), 0, "buffers detached from a queue that runs");
      equal(this.#driver.refusal?.code ?? null, "queue-live", "refusal");
    }
    this.#driver.stop();
    this.#state = "stopped";
    const tokens = this.#driver.detach();
    this.#report.say(() => `caller: stops, and detaches ${tokens.length}`);
    this.#world.onlyChanged(this.#taking, "detach");
    const out = [...this.#model.outstanding.values()].map(({ token }) => token);
    same(
      tokens.sort((a, b) => a - b),
      out.sort((a, b) => a - b),
      "detached tokens",
    );
    this.#model.outstanding.clear();
    this.#pending = [];
    equal(this.#driver.counters().liveTables, 0, "live tables");
    equal(engine.heapLiveBlocks(), 0, "blocks of the heap");
    must(engine.heapIsSound(), "the heap is not sound");
    equal(this.#driver.tablesListed(), this.#cached(), "tables in the free lists");
    this.#world.sync();
  }

  /** Tables that the caches hold when none is out. */
  #cached(): number {
    const { engine } = this.#world;
    const { tables, threshold } = this.#config;
    const off = engine.u32[(this.#driver.ptr + engine.wasm.DRIVER_CACHE_OFF.value) >>> 2];
    if (threshold === 0 || off !== 0) return 0;
    const { size } = this.#model.setup;
    return tables === "freelist" ? size : tables === "per-node" ? engine.limits.nodes * size : 0;
  }

  /** A caller's mistakes: refused by name, and without a trace. */
  #mistake(): void {
    const wrongs: [string, DriverQueueConfig][] = [
      ["queue-size", { size: 0 }],
      ["queue-size", { size: CAPACITY + 1 }],
      ["queue-size", { size: this.#world.format === "split" ? 3 : 32769 }],
      ["table-source", { threshold: abi.MAX_THRESHOLD + 1 }],
    ];
    const [code, wrong] = this.#bytes.pick(wrongs);
    const choice = this.#bytes.below(4);
    const stopped = this.#state === "stopped";
    if (choice === 0 && stopped) this.#late();
    else if (choice === 1 && this.#model.outstanding.size > 0) this.#early();
    else this.#wrong(wrong, stopped ? code : "queue-live");
  }

  #wrong(wrong: DriverQueueConfig, code: string): void {
    const got = codeOf(() => new DriverQueue(this.#world.engine, 0, { ...this.#config, ...wrong }));
    this.#report.say(() => `caller: enables with ${Object.keys(wrong).join(" and ")} wrong`);
    this.#world.onlyChanged(this.#state === "stopped" ? this.#setUp : [], "enable");
    equal(got, code, "refusal to enable");
    this.#report.reached(code);
  }

  /** A buffer for a queue that is stopped. */
  #late(): void {
    const buffer = { readable: [{ ptr: this.#world.hostile.ptr, bytes: 1 }], token: 0 };
    const code = codeOf(() => this.#driver.add(buffer));
    equal(code, this.#driver.violation?.code ?? "queue-not-live", "an add to a stopped queue");
    this.#report.reached(code as string);
    this.#world.sync();
  }

  /** Stopped, and enabled again before its buffers were detached. */
  #early(): void {
    this.#driver.stop();
    this.#world.sync();
    equal(
      codeOf(() => new DriverQueue(this.#world.engine, 0, this.#config)),
      "outstanding",
      "an early enable",
    );
    this.#report.reached("outstanding");
    this.#report.say(() => "caller: stops, and enables before it detaches");
    this.#world.onlyChanged([], "enable");
    this.#state = "stopped";
    this.#recover();
  }

  #rare(): void {
    const [virtio] = this.#world.engine.devices;
    const choice = this.#bytes.below(4);
    if (choice === 0) {
      this.#status ^= 4;
      virtio.status = this.#status;
      this.#report.say(() => `caller: device status is ${this.#status}`);
      this.#world.sync();
    } else if (choice === 1) {
      const node = this.#bytes.below(2);
      this.#driver.moveToNode(node);
      this.#report.say(() => `caller: moves to node ${node}`);
      this.#world.sync();
    } else {
      this.#report.say(() => "queue 1: two buffers go round");
      this.#world.honestRound();
    }
  }

  #finish(): void {
    this.#recover();
    this.#world.honestRound();
  }
}

/** The first rule that a buffer breaks. */
function refusal(elements: readonly Element[], size: number): number {
  if (elements.length === 0) return abi.R_EMPTY_BUFFER;
  if (elements.length > size) return abi.R_TOO_MANY_SGS;
  const bytes = elements.reduce((sum, element) => sum + element.bytes, 0);
  return bytes > 2 ** 32 ? abi.R_BUFFER_BYTES : abi.OK;
}

const REACHED: Record<RingFormat, string[]> = { split: ["used-idx-jump"], packed: [] };

export function driverTarget(format: RingFormat): RingTarget {
  return {
    name: `${format}-driver`,
    format,
    outcomes: [
      ...REACHED[format],
      "used-id-out-of-range",
      "used-id-not-outstanding",
      "empty-buffer",
      "too-many-elements",
      "buffer-bytes",
      "queue-live",
      "queue-not-live",
      "outstanding",
      "queue-size",
      "table-source",
      "full",
      "clamped",
      "reclaimed",
      "kick",
      ...SOURCES.filter((source) => source !== "direct").map((source) => `table-${source}`),
    ],
    run(world, bytes, report) {
      new DriverCase(world, new Bytes(bytes), report).run();
    },
  };
}
