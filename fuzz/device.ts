/** Targets `split-device` and `packed-device`: our device half, an honest host, and a driver that means harm. */
import * as abi from "../assembly/abi.ts";
import { DeviceQueue, type DeviceQueueConfig } from "../src/device-queue.ts";
import { Features } from "../src/features.ts";
import type { RingFormat } from "../src/names.ts";
import type { Span } from "../test/support/canaries.ts";
import { Bytes } from "./bytes.ts";
import {
  type Buffer,
  type DeviceModel,
  PackedDeviceModel,
  type Setup,
  SplitDeviceModel,
} from "./device-model.ts";
import {
  DESC,
  DEVICE_AREA,
  DRIVER_AREA,
  type HostileDriver,
  HostilePackedDriver,
  HostileSplitDriver,
} from "./hostile-driver.ts";
import { bucket, busOf, nameOf, type Report, type RingTarget } from "./target.ts";
import { BATCH, CAPACITY, codeOf, equal, must, RUNNING, same, type World } from "./world.ts";

const SIZES = { split: [8, 4, 1, 2, 16], packed: [8, 4, 1, 2, 3, 5, 7, 16] } as const;
const NEEDS_RESET = 64;

class DeviceCase {
  readonly #world: World;
  readonly #report: Report;
  readonly #bytes: Bytes;
  readonly #own: Span[];
  readonly #popping: Span[];
  readonly #setup: Setup;
  #device: DeviceQueue;
  #model: DeviceModel;
  #driver: HostileDriver;
  #state = "live";
  #status = RUNNING;
  #notified = 0;
  /** Buffers of the last burst, which still lie in the staging area. */
  #staged: { handle: number; len: number }[] = [];
  /** Some handles that name nothing any more, and all that were in flight at the last reset. */
  #stale: number[] = [];
  #before = new Set<number>();

  constructor(world: World, bytes: Bytes, report: Report) {
    this.#world = world;
    this.#bytes = bytes;
    this.#report = report;
    this.#own = world.regions(/^queue 0 device( records)?$/);
    this.#popping = [...this.#own, ...world.regions(/^queue 0 staging popped$|^device 0$/)];
    this.#setup = this.#choose();
    world.engine.devices[0].setWindow(this.#setup.window);
    const { indirect, eventIdx, inOrder, size, maxChain } = this.#setup;
    report.say(
      () =>
        `host: ${world.format} ring of ${size}, at most ${maxChain} elements, ${JSON.stringify({ indirect, eventIdx, inOrder })}`,
    );
    this.#device = this.#enable({});
    [this.#model, this.#driver] = this.#begin();
    this.#resume();
    world.sync();
  }

  #choose(): Setup {
    const bytes = this.#bytes;
    const { ptr, bytes: count } = this.#world.hostile;
    const size = bytes.pick(SIZES[this.#world.format]);
    const flags = bytes.u8();
    const wide = (bytes.below(4) & 3) === 3;
    const length = BigInt(wide ? this.#world.engine.memory.buffer.byteLength - ptr : count);
    const base = bytes.pick([BigInt(ptr), 0n, 1n << 40n, (1n << 64n) - length]);
    const maxChain = [size, size, Math.max(1, size >> 1), 3][flags >>> 6];
    return {
      size,
      maxChain: Math.min(maxChain, size),
      window: { base: base & ~15n, length, offset: ptr },
      indirect: (flags & 1) === 0,
      eventIdx: (flags & 2) === 0,
      inOrder: (flags & 4) !== 0,
      desc: ptr + DESC,
      driverArea: ptr + DRIVER_AREA,
      deviceArea: ptr + DEVICE_AREA,
    };
  }

  #enable(wrong: Partial<DeviceQueueConfig>): DeviceQueue {
    const { window, indirect, eventIdx, inOrder, ...setup } = this.#setup;
    const features =
      Features.VERSION_1 |
      (indirect ? Features.INDIRECT_DESC : 0n) |
      (eventIdx ? Features.EVENT_IDX : 0n) |
      (inOrder ? Features.IN_ORDER : 0n);
    return new DeviceQueue(this.#world.engine, 0, {
      format: this.#world.format,
      size: setup.size,
      maxChain: setup.maxChain,
      features,
      desc: busOf(window, setup.desc),
      driverArea: busOf(window, setup.driverArea),
      deviceArea: busOf(window, setup.deviceArea),
      ...wrong,
    });
  }

  #begin(): [DeviceModel, HostileDriver] {
    const { desc, driverArea } = this.#setup;
    for (let at = desc; at < driverArea + 64; at += 8) this.#world.setU64(at, 0n);
    if (this.#world.format === "split") {
      const model = new SplitDeviceModel(this.#world, this.#setup);
      return [model, new HostileSplitDriver(this.#world, this.#setup, this.#report, model)];
    }
    const model = new PackedDeviceModel(this.#world, this.#setup);
    return [model, new HostilePackedDriver(this.#world, this.#setup, this.#report, model)];
  }

  /** Starts half of the rings just below where their indices or wrap counters turn. */
  #resume(): void {
    const { wasm } = this.#world.engine;
    const near = this.#bytes.below(8);
    if (near >= 4) return;
    const { ptr } = this.#device;
    if (this.#model instanceof SplitDeviceModel) {
      const idx = 0xffff - near;
      this.#model.resume(idx);
      this.#driver = new HostileSplitDriver(this.#world, this.#setup, this.#report, this.#model);
      this.#world.setU16(this.#setup.driverArea + 2, idx);
      wasm.splitDeviceResume(ptr, idx, idx);
    } else if (this.#model instanceof PackedDeviceModel) {
      const slot = this.#setup.size - 1;
      this.#model.resume(slot, near & 1);
      this.#driver = new HostilePackedDriver(this.#world, this.#setup, this.#report, this.#model);
      for (let k = 0; k < this.#setup.size; k++) {
        // What an idle ring holds: used descriptors, of this lap and, from the slot on, of the one before.
        this.#world.setU16(
          this.#setup.desc + 16 * k + 14,
          (k < slot ? near & 1 : (near & 1) ^ 1) ? 0x8080 : 0,
        );
      }
      wasm.packedDeviceResume(ptr, slot, near & 1, slot, near & 1);
    }
  }

  run(): void {
    while (this.#bytes.left > 0) this.#step();
    this.#finish();
  }

  #step(): void {
    const op = this.#bytes.below(32);
    if (op < 14) {
      this.#driver.step(this.#bytes);
      this.#world.sync();
    } else if (op < 20) this.#pop();
    else if (op < 24) this.#markUsed();
    else if (op < 26) this.#publish();
    else if (op === 26) this.#markPopped();
    else if (op === 27) this.#wish();
    else if (op === 28) this.#touch();
    else if (op === 29) this.#restart();
    else if (op === 30) this.#mistake();
    else this.#rare();
    this.#settled(op);
  }

  /** What holds between any two operations. */
  #settled(op: number): void {
    const [virtio] = this.#world.engine.devices;
    equal(this.#device.state, this.#state, "state");
    equal(virtio.status, this.#status, "device status");
    equal(virtio.configNotifications, this.#notified, "configuration notifications");
    const { u32, wasm } = this.#world.engine;
    const word = (offset: number): number => u32[(this.#device.ptr + offset) >>> 2];
    const fault = word(wasm.QUEUE_ERROR.value) * 256 + word(wasm.QUEUE_REFUSAL.value);
    this.#report.signal(op, this.#state === "live" ? 1 : 0, fault, bucket(this.#model.inFlight.size));
  }

  get #runs(): boolean {
    return this.#state === "live" && (this.#status & (4 | NEEDS_RESET)) === 4;
  }

  #pop(): void {
    const max = 1 + this.#bytes.below(BATCH);
    const { engine } = this.#world;
    const all = engine.region("queue 0 staging popped").bytes;
    const one = abi.POP_HEADER + this.#setup.maxChain * abi.SEGMENT;
    const room = this.#bytes.pick([all, all, all, all, one, one + 64, all >> 1, one - 8]);
    const call = this.#world.format === "split" ? engine.wasm.splitDevicePop : engine.wasm.packedDevicePop;
    const before = this.#runs;
    const want = before ? this.#model.pop(max, room) : { buffers: [], code: abi.OK };
    // The comfortable call is this one with all the room.
    const staging = engine.region("queue 0 staging popped").ptr;
    const done = room === all ? this.#device.popBurst(max) : call(this.#device.ptr, staging, room, max);
    this.#report.say(() => `host: pops ${done} of at most ${max} into ${room} bytes`);
    this.#world.onlyChanged(before ? this.#popping : this.#refusalWord, "pop");
    equal(done, want.buffers.length, "popped buffers");
    if (before) this.#staged = [];
    this.#compare(want.buffers);
    this.#fault(want.code);
    for (const { segments } of want.buffers) this.#report.signal(64, segments.length, done);
  }

  get #refusalWord(): Span[] {
    return [{ ptr: this.#device.ptr + this.#world.engine.wasm.QUEUE_REFUSAL.value, bytes: 4 }];
  }

  /** Each record in the staging area says what the bytes in the ring said. */
  #compare(buffers: readonly Buffer[]): void {
    const words = this.#device.popped;
    let at = 0;
    for (const buffer of buffers) {
      const handle = words[at];
      const { segments, readable } = buffer;
      equal(words[at + 1] & 0xffff, readable, "readable elements");
      equal(words[at + 1] >>> 16, segments.length - readable, "writable elements");
      equal(words[at + 2], Math.min(buffer.readableBytes, 2 ** 32 - 1), "readable bytes");
      equal(words[at + 3], Math.min(buffer.writableBytes, 0xffff_ffff), "writable bytes");
      at += 4;
      for (const { ptr, bytes } of segments) {
        equal(words[at++], ptr, "place of an element");
        equal(words[at++], bytes, "bytes of an element");
      }
      must(!this.#model.inFlight.has(handle), "a handle is given twice");
      must(!this.#before.has(handle), "a handle from before the reset names a buffer (V-V-01)");
      must((handle & 0xffff) < this.#setup.size, "a handle is out of range");
      if (this.#world.format === "split") equal(handle & 0xffff, buffer.id, "a handle's head");
      this.#model.inFlight.set(handle, buffer);
      this.#staged.push({ handle, len: Math.min(buffer.writableBytes, 0xffff_ffff) });
    }
  }

  /** The queue must be broken, or have refused, for this reason and no other. */
  #fault(code: number): void {
    const broken = code !== abi.OK && code < abi.R_EMPTY_BUFFER;
    if (broken) {
      this.#state = "broken";
      if (!(this.#status & NEEDS_RESET)) this.#notified += 1;
      this.#status |= NEEDS_RESET;
    }
    if (code !== abi.OK) this.#report.reached(nameOf(code));
    if (this.#state === "live" || broken) {
      equal(this.#device.violation?.code ?? null, broken ? nameOf(code) : null, "violation");
      equal(this.#device.refusal?.code ?? null, code === abi.OK || broken ? null : nameOf(code), "refusal");
    }
  }

  #markUsed(): void {
    const count = this.#bytes.below(4) + 1;
    if (this.#model.inFlight.size === 0 && count < 4) return;
    const records = Array.from({ length: count }, () => this.#completion());
    const words = this.#device.completions;
    for (const [k, { handle, len }] of records.entries()) words.set([handle, len], 2 * k);
    this.#mark("marks", records, () => this.#device.markUsedBurst(count));
  }

  #markPopped(): void {
    if (this.#staged.length === 0) return;
    const count = 1 + this.#bytes.below(this.#staged.length);
    this.#mark("marks as popped", this.#staged.slice(0, count), () => this.#device.markPoppedUsed(count));
  }

  #mark(how: string, records: { handle: number; len: number }[], call: () => number): void {
    this.#world.sync();
    const before = this.#state === "live";
    const want = before ? this.#model.use(records) : { done: 0, code: abi.OK };
    const done = call();
    this.#report.say(() => `host: ${how} used ${done} of ${JSON.stringify(records)}`);
    const { writes } = this.#model;
    const ring = before ? [...writes.keys()].map((ptr) => ({ ptr, bytes: 8 })) : [];
    this.#world.onlyChanged(before ? [...this.#own, ...ring] : this.#refusalWord, "mark used");
    equal(done, want.done, "buffers marked used");
    this.#written(ring);
    this.#fault(want.code);
    for (const { handle } of records.slice(0, done)) if (this.#stale.length < 8) this.#stale.push(handle);
  }

  #written(ring: readonly Span[]): void {
    for (const { ptr } of ring.filter(({ bytes }) => bytes === 8)) {
      equal(this.#world.u64(ptr), this.#model.writes.get(ptr), `used word at ${this.#world.place(ptr)}`);
    }
  }

  /** A handle and a length: mostly of a buffer in flight, and within its capacity. */
  #completion(): { handle: number; len: number } {
    const byte = this.#bytes.u8();
    const handles = [...this.#model.inFlight.keys()];
    if (handles.length === 0 || byte >= 240) {
      return {
        handle: [0, 0xffff_ffff, (byte * 0x10001) >>> 0, this.#stale[byte & 7] ?? 0x20005][byte & 3],
        len: 0,
      };
    }
    const handle = handles[byte < 128 ? 0 : byte % handles.length];
    const { writableBytes } = this.#model.inFlight.get(handle) as Buffer;
    const capacity = Math.min(writableBytes, 0xffff_ffff);
    const len = this.#bytes.pick([
      capacity,
      capacity,
      0,
      Math.floor(capacity / 2),
      capacity,
      1,
      capacity + 1,
      2 ** 32 - 1,
    ]);
    return { handle, len: Math.min(len, 0xffff_ffff) };
  }

  #publish(): void {
    const before = this.#runs;
    const want = before && this.#model.publish();
    const got = this.#device.publishUsed();
    this.#report.say(() => `host: publishes, ${got ? "with" : "without"} an interrupt`);
    const ring = before ? this.#model.shown() : [];
    this.#world.onlyChanged(before ? [...this.#own, ...ring] : [], "publish used");
    equal(got, want, "interrupt");
    if (!before) return;
    this.#written(ring);
    equal(this.#model.published(), null, "publish used");
    if (got) this.#report.reached("interrupt");
  }

  #wish(): void {
    const after = this.#bytes.u8();
    const live = this.#state === "live";
    const allowed = live ? [this.#model.wish()] : [];
    if (after & 1) {
      this.#device.suppress();
      this.#report.say(() => "host: wants no kicks");
    } else {
      const got = this.#device.arm(after >>> 3);
      this.#report.say(() => `host: wants a kick after ${after >>> 3} more`);
      equal(got, live && this.#model.armed(after >>> 3), "work at arm");
    }
    this.#world.onlyChanged(allowed, "arm");
  }

  /** An honest device does its work: it writes into the buffers in flight, wherever the driver said they are. */
  #touch(): void {
    const { ptr, bytes } = this.#world.hostile;
    const value = this.#bytes.u8();
    for (const { segments, readable } of this.#model.inFlight.values()) {
      for (const segment of segments.slice(readable)) {
        const end = Math.min(segment.ptr + segment.bytes, ptr + bytes);
        for (let at = segment.ptr; at < end; at++) this.#world.setU8(at, value);
      }
    }
    this.#report.say(() => `host: fills what it may write with ${value}`);
    this.#world.sync();
  }

  /** Queue reset and re-enable, with everything at its start again. */
  #restart(): void {
    this.#device.stop();
    this.#world.onlyChanged(this.#own, "stop");
    equal(this.#device.state, "stopped", "state");
    const stay = this.#bytes.below(4);
    this.#state = "stopped";
    this.#report.say(() => "host: stops the queue");
    this.#before = new Set(this.#model.inFlight.keys());
    this.#stale = [...this.#before].slice(0, 8);
    this.#model.inFlight.clear();
    this.#staged = [];
    if (stay === 3) return;
    this.#world.engine.devices[0].status = RUNNING;
    this.#status = RUNNING;
    this.#setup.size = this.#bytes.pick(SIZES[this.#world.format]);
    this.#setup.maxChain = this.#setup.size;
    [this.#model, this.#driver] = this.#begin();
    this.#world.sync();
    this.#device = this.#enable({});
    this.#world.onlyChanged(this.#own, "enable");
    this.#state = "live";
    this.#report.say(() => `host: starts a ring of ${this.#setup.size}`);
  }

  /** A caller's mistakes: refused by name, and without a trace. */
  #mistake(): void {
    const { window, desc, driverArea, deviceArea } = this.#setup;
    const at = (ptr: number): bigint => BigInt.asUintN(64, busOf(window, ptr));
    const end = BigInt.asUintN(64, window.base + window.length);
    const wrongs: [string, Partial<DeviceQueueConfig>][] = [
      ["queue-size", { size: 0 }],
      ["queue-size", { size: CAPACITY + 1 }],
      ["queue-size", { size: this.#world.format === "split" ? 3 : 32769 }],
      ["ring-alignment", { desc: at(desc + 8) }],
      ["ring-alignment", { driverArea: at(driverArea + 1) }],
      ["ring-alignment", { deviceArea: at(deviceArea + 2) }],
      ["ring-address", { desc: BigInt.asUintN(64, end - 16n) & ~15n, size: 2 }],
      ["ring-address", { driverArea: BigInt.asUintN(64, window.base - 16n) }],
      ["ring-overlap", { driverArea: at(desc) }],
      ["ring-overlap", { deviceArea: at(driverArea) }],
      ["ring-overlap", { deviceArea: at(desc + 4) }],
    ];
    const [code, wrong] = this.#bytes.pick(wrongs);
    const live = this.#state !== "stopped";
    const got = codeOf(() => this.#enable(wrong));
    this.#report.say(() => `host: enables with ${Object.keys(wrong).join(" and ")} wrong`);
    // A queue that runs is not touched; a stopped one has only its control block written.
    this.#world.onlyChanged(live ? [] : this.#own, "enable");
    equal(got, live ? "queue-live" : code, "refusal to enable");
    this.#report.reached(live ? "queue-live" : code);
  }

  #rare(): void {
    const choice = this.#bytes.below(4);
    if (choice === 0) this.#toggle();
    else if (choice === 1) this.#peek();
    else if (choice === 2) this.#late();
    else {
      this.#world.honestRound();
      this.#report.say(() => "queue 1: two buffers go round");
    }
  }

  /** Sets or clears DRIVER_OK. */
  #toggle(): void {
    this.#status ^= 4;
    this.#world.engine.devices[0].status = this.#status;
    this.#report.say(() => `host: device status is ${this.#status}`);
    this.#world.sync();
  }

  /** A window that would show the peer the engine's own state. */
  #peek(): void {
    const { base, sharedBase, devices } = this.#world.engine;
    const offset = base + 64 * this.#bytes.u8();
    if (offset >= sharedBase) return;
    const code = codeOf(() => devices[0].setWindow({ base: 0n, length: 4096n, offset }));
    this.#world.onlyChanged([], "a refused window");
    equal(code, "space-overlap", "a window over the private part");
    this.#report.reached("space-overlap");
  }

  /** A completion for a queue that is stopped. */
  #late(): void {
    if (this.#state !== "stopped") return;
    const code = codeOf(() => this.#device.markUsed(0, 0));
    this.#world.sync();
    equal(code, this.#device.violation?.code ?? "queue-not-live", "a completion on a stopped queue");
    this.#report.reached(code as string);
  }

  /** What is in flight can still be used in the order it came, unless the queue broke; counters add up. */
  #finish(): void {
    if (this.#state === "live") {
      const left = [...this.#model.inFlight.keys()].map((handle) => ({ handle, len: 0 }));
      for (const record of left) {
        this.#device.completions.set([record.handle, 0]);
        this.#mark("marks", [record], () => this.#device.markUsedBurst(1));
      }
      equal(this.#model.inFlight.size, 0, "buffers in flight at the end");
    }
    this.#world.honestRound();
    same(this.#world.engine.heapIsSound(), true, "heap");
  }
}

const REACHED_BY_BOTH = [
  "chain-too-long",
  "chain-bytes",
  "table-length",
  "table-address",
  "buffer-address",
  "readable-after-writable",
  "indirect-not-negotiated",
  "not-in-flight",
  "not-in-order",
  "length-over-capacity",
  "queue-live",
  "queue-not-live",
  "queue-size",
  "ring-alignment",
  "ring-address",
  "ring-overlap",
  "staging-size",
  "space-overlap",
  "interrupt",
];

const REACHED: Record<RingFormat, string[]> = {
  split: [
    "avail-idx-jump",
    "head-out-of-range",
    "head-in-flight",
    "next-out-of-range",
    "indirect-with-next",
    "nested-indirect",
  ],
  packed: ["indirect-in-list", "ring-overrun"],
};

export function deviceTarget(format: RingFormat): RingTarget {
  return {
    name: `${format}-device`,
    format,
    outcomes: [...REACHED[format], ...REACHED_BY_BOTH],
    run(world, bytes, report) {
      new DeviceCase(world, new Bytes(bytes), report).run();
    },
  };
}
