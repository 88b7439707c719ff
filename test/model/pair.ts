/**
 * A queue twice: the engine's halves in the engine's memory, and the model's in an image of it. Where
 * only one half is the engine's, the model plays the other on both.
 */
import * as spec from "../../assembly/spec.ts";
import type { DeviceQueue } from "../../src/device-queue.ts";
import type { DriverQueue } from "../../src/driver-queue.ts";
import type { Engine } from "../../src/engine.ts";
import { Features } from "../../src/features.ts";
import { Random } from "../support/random.ts";
import { RawMemory } from "../support/raw-memory.ts";
import { usedBits } from "../support/raw-packed.ts";
import { MAX_TABLE, PlayDevice, PlayDriver, ShadowDevice, ShadowDriver } from "./choices.ts";
import { Image, must, type Ring, same, type World } from "./common.ts";
import type { Coverage } from "./coverage.ts";
import { type DeviceCounts, type DeviceModel, NO_DEVICE_COUNTS } from "./device.ts";
import { type DriverCounts, type DriverModel, NO_DRIVER_COUNTS } from "./driver.ts";
import { type Mode, type QueueChoice, type Setup, SIZES, STARTS } from "./operations.ts";
import { PackedDeviceModel } from "./packed-device.ts";
import { PackedDriverModel } from "./packed-driver.ts";
import { SplitDeviceModel } from "./split-device.ts";
import { SplitDriverModel } from "./split-driver.ts";
import { type Heap, TablesModel } from "./tables.ts";

const RUNNING =
  spec.STATUS_ACKNOWLEDGE | spec.STATUS_DRIVER | spec.STATUS_FEATURES_OK | spec.STATUS_DRIVER_OK;

/** Tables of the model's own driver. */
export const TABLES = 64;

/** Asks the engine's heap itself, and leaves it as it was. */
export class HeapProbe implements Heap {
  readonly #engine: Engine;
  readonly #control: number;
  #taken: number[] = [];

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#control = engine.region("heap control").ptr;
  }

  take(bytes: number): boolean {
    const ptr = this.#engine.wasm.tlsfTake(this.#control, bytes);
    if (ptr !== 0) this.#taken.push(ptr);
    return ptr !== 0;
  }

  restore(): void {
    for (const ptr of this.#taken.reverse()) this.#engine.wasm.tlsfGive(this.#control, ptr);
    this.#taken = [];
  }
}

export interface Area {
  name: string;
  ptr: number;
  real: Uint8Array;
  image: Uint8Array;
}

export class Pair {
  readonly engine: Engine;
  readonly mode: Mode;
  readonly setup: Setup;
  readonly cover: Coverage;
  readonly real: RawMemory;
  readonly image: Image;
  readonly world: World;
  readonly driverCounts: DriverCounts = { ...NO_DRIVER_COUNTS };
  readonly deviceCounts: DeviceCounts = { ...NO_DEVICE_COUNTS };
  readonly heap: HeapProbe;
  readonly areas: Area[];
  driverEngine: DriverQueue | null = null;
  deviceEngine: DeviceQueue | null = null;
  driver!: DriverModel;
  device!: DeviceModel;
  shadow: ShadowDriver | null = null;
  play: PlayDriver | PlayDevice | null = null;
  tables!: TablesModel;
  choice!: QueueChoice;
  /** Handles of the buffers in the staging area of the last pop, and of the model's own device. */
  popped: number[] = [];
  /** Buffers that were made up, and comparisons. */
  tokens = 0;
  steps = 0;

  constructor(engine: Engine, mode: Mode, setup: Setup, cover: Coverage) {
    this.engine = engine;
    this.mode = mode;
    this.setup = setup;
    this.cover = cover;
    this.real = new RawMemory(engine.memory);
    this.image = new Image(new WebAssembly.Memory({ initial: engine.memory.buffer.byteLength >>> 16 }));
    this.world = { driverOk: true, needsReset: false, configNotifications: 0, base: 0n, length: 0n };
    this.heap = new HeapProbe(engine);
    this.areas = ["descriptor", "driver", "device"].map((name) => {
      const { ptr, bytes } = engine.region(`queue 0 ${name} area`);
      const real = this.real.bytes(ptr, bytes);
      const image = this.image.bytes(ptr, bytes);
      // Behind a ring that is smaller than its area nothing may change.
      for (let at = 0; at < bytes; at++) image[at] = real[at] = (at * 29 + 5) & 0xff;
      return { name, ptr, real, image };
    });
    this.enable(setup.queue);
  }

  get enginesDriver(): boolean {
    return this.mode !== "device";
  }
  get enginesDevice(): boolean {
    return this.mode !== "driver";
  }

  #ring(choice: QueueChoice): Ring {
    const sizes: readonly number[] = SIZES[choice.format][this.setup.memory];
    const [desc, driverArea, deviceArea] = this.areas.map(({ ptr }) => ptr);
    const { format, indirect, eventIdx, inOrder } = choice;
    const size = sizes[choice.size % sizes.length];
    return { format, size, desc, driverArea, deviceArea, indirect, eventIdx, inOrder };
  }

  #features(choice: QueueChoice): bigint {
    let features: bigint = Features.VERSION_1;
    if (choice.format === "packed") features |= Features.RING_PACKED;
    if (choice.indirect) features |= Features.INDIRECT_DESC;
    if (choice.eventIdx) features |= Features.EVENT_IDX;
    if (choice.inOrder) features |= Features.IN_ORDER;
    if (choice.notificationData) features |= Features.NOTIFICATION_DATA;
    return features;
  }

  enable(choice: QueueChoice): void {
    const { engine, cover, image, real, world, setup } = this;
    const ring = this.#ring(choice);
    const [virtio] = engine.devices;
    virtio.status = RUNNING;
    Object.assign(world, { driverOk: true, needsReset: false });
    const offset = engine.sharedBase;
    world.length = BigInt(engine.end - offset);
    world.base = [BigInt(offset), 0n, 1n << 40n, (1n << 64n) - world.length][choice.window];
    virtio.setWindow({ base: world.base, length: world.length, offset });
    for (const memory of [image, real]) memory.busDelta = world.base - BigInt(offset);
    // The model's own device looks at addresses only, so that they may lead anywhere.
    if (!this.enginesDevice) Object.assign(world, { base: 0n, length: 1n << 65n });

    const features = this.#features(choice);
    const directHead = choice.directHead && choice.format === "split";
    if (this.enginesDriver) {
      this.driverEngine = engine.driverQueue(0, {
        format: choice.format,
        size: ring.size,
        features,
        tables: choice.source,
        threshold: choice.threshold,
        tableAlways: choice.tableAlways,
        directHead,
      });
    }
    const split = ring.format === "split";
    const bytes = split ? [16 * ring.size, 6 + 2 * ring.size, 6 + 8 * ring.size] : [16 * ring.size, 4, 4];
    this.areas.forEach(({ real: there, image: here }, k) => {
      here.fill(0, 0, bytes[k]);
      if (!this.enginesDriver) there.fill(0, 0, bytes[k]);
    });
    // A limit below the ring's size is only met by a driver that may exceed it.
    const maxChain = this.mode === "device" && !setup.calm ? choice.maxChain : 0;
    if (this.enginesDevice) {
      this.deviceEngine = engine.deviceQueue(0, {
        format: choice.format,
        size: ring.size,
        features,
        maxChain,
        desc: virtio.busAddress(ring.desc),
        driverArea: virtio.busAddress(ring.driverArea),
        deviceArea: virtio.busAddress(ring.deviceArea),
      });
    }

    const cached = engine.region("queue 0 tables");
    this.tables = new TablesModel({
      source: choice.source,
      size: ring.size,
      threshold: choice.threshold,
      nodes: setup.nodes,
      reserved: cached.bytes,
    });
    const cacheIsOff = this.tables.threshold < choice.threshold;
    if (this.enginesDriver) {
      same("warnings", this.driverEngine?.warnings.length, cacheIsOff ? 1 : 0);
      if (cacheIsOff) cover.hit("caches that do not fit");
    }
    const rule = { tables: this.tables, least: choice.tableAlways ? 1 : 2, directHead };
    const places = { cached, heap: engine.region("heap") };
    this.shadow = this.enginesDriver ? new ShadowDriver(real, ring, rule, this.heap, places) : null;
    const random = new Random(1);
    const playDriver = new PlayDriver(ring, random, this.#tablePlaces());
    const playDevice = new PlayDevice(random);
    this.play = this.shadow === null ? playDriver : this.enginesDevice ? null : playDevice;
    const Driver = split ? SplitDriverModel : PackedDriverModel;
    const Device = split ? SplitDeviceModel : PackedDeviceModel;
    this.driver = new Driver(ring, world, image, this.driverCounts, this.shadow ?? playDriver, cover);
    const deviceChoices = this.enginesDevice ? new ShadowDevice(real, ring) : playDevice;
    const limit = maxChain === 0 ? ring.size : Math.min(maxChain, ring.size);
    this.device = new Device(ring, world, image, this.deviceCounts, deviceChoices, cover, limit);
    if (this.driver instanceof PackedDriverModel) this.driver.idsBelowSize = this.enginesDriver;
    this.choice = choice;
    this.popped = [];
    image.stored = [];
    this.#skip(split ? STARTS[choice.start] : choice.start === 0 ? 0 : ring.size - choice.start);

    cover.hit(`${ring.format} size ${ring.size}`);
    cover.hit(
      `${ring.format}${ring.inOrder ? " in order" : ""}${ring.eventIdx ? " with" : " without"} EVENT_IDX`,
    );
  }

  /** Lets `count` buffers of one element pass, so that positions and indices are where they seldom are. */
  #skip(count: number): void {
    if (count <= 0) return;
    const { driver, device, engine, real } = this;
    const { ring } = driver;
    const queue = this.driverEngine;
    if (queue === null) {
      this.#skipWithResume(count);
    } else {
      const most = Math.min(ring.size, engine.limits.batch);
      for (let k = 0; k < most; k++) queue.staged.set([k, 1, engine.buffers.ptr, 1], 4 * k);
      for (let left = count; left > 0; ) {
        const burst = Math.min(left, most);
        must(queue.addBurst(burst) === burst, "a burst of single elements does not fit an empty ring");
        queue.publish();
        if (this.deviceEngine !== null) {
          must(this.deviceEngine.popBurst(burst) === burst, "a burst that was published is not popped");
          must(this.deviceEngine.markPoppedUsed(burst) === burst, "a burst that was popped is not marked");
          this.deviceEngine.publishUsed();
        } else {
          this.#useRaw(count - left, burst);
        }
        must(queue.reclaimBurst(burst) === burst, "a burst that was used does not come back");
        left -= burst;
      }
      const counters = queue.counters();
      same("added", counters.added, this.driverCounts.added + count);
      Object.assign(this.driverCounts, counters);
      if (this.deviceEngine !== null) Object.assign(this.deviceCounts, this.deviceEngine.counters());
      if (this.tables.source === "grow") this.tables.keeps(queue.tablesListed());
      for (const { real: there, image: here } of this.areas) here.set(there);
    }
    driver.skip(count);
    device.skip(count);
    this.send();
    same("avail.idx after a skip", real.u16(ring.driverArea + 2), this.image.u16(ring.driverArea + 2));
  }

  /** Uses what the engine's driver has published, straight on the bytes. */
  #useRaw(before: number, burst: number): void {
    const { ring } = this.driver;
    for (let k = before; k < before + burst; k++) {
      const slot = k % ring.size;
      if (ring.format === "split") {
        this.real.setU32(ring.deviceArea + 4 + 8 * slot, this.real.u16(ring.driverArea + 4 + 2 * slot));
        this.real.setU16(ring.deviceArea + 2, k + 1);
      } else {
        this.real.setU16(ring.desc + 16 * slot + 14, usedBits(Math.floor(k / ring.size) % 2 === 0 ? 1 : 0));
      }
    }
  }

  #skipWithResume(count: number): void {
    const { engine, image } = this;
    const { ring } = this.driver;
    const ptr = this.deviceEngine?.ptr ?? 0;
    if (ring.format === "split") {
      engine.wasm.splitDeviceResume(ptr, count, count);
      return;
    }
    const slot = count % ring.size;
    const wrap = Math.floor(count / ring.size) % 2 === 0 ? 1 : 0;
    for (let k = 0; k < ring.size; k++) {
      image.setU16(ring.desc + 16 * k + 14, usedBits(k < slot ? wrap : wrap ^ 1));
    }
    engine.wasm.packedDeviceResume(ptr, slot, wrap, slot, wrap);
  }

  /** Where the model's own driver keeps tables: behind the packet data. */
  #tablePlaces(): number[] {
    const { ptr, bytes } = this.engine.buffers;
    const first = ptr + bytes - TABLES * MAX_TABLE * 16;
    return Array.from({ length: TABLES }, (_, k) => first + k * MAX_TABLE * 16);
  }

  /** What the model stored as a player becomes real; what it stored as a shadow must be so already. */
  send(): void {
    for (const { ptr, bytes } of this.image.stored)
      this.real.bytes(ptr, bytes).set(this.image.bytes(ptr, bytes));
    this.image.stored = [];
  }

  afterDriver(): void {
    if (this.enginesDriver) this.image.stored = [];
    else this.send();
  }

  afterDevice(): void {
    if (this.enginesDevice) this.image.stored = [];
    else this.send();
  }
}
