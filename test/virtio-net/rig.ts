/** Network cards for tests: both halves of ours, or one of them and a peer that is played by hand. */

import { DeviceCore } from "../../src/device/core.ts";
import type { DeviceHost, DeviceKind } from "../../src/device/kind.ts";
import { NetDevice, type NetDeviceOptions } from "../../src/device/net.ts";
import type { DeviceQueue } from "../../src/device-queue.ts";
import { DriverCore } from "../../src/driver/core.ts";
import type { DriverHost, DriverKind, QueuePlan } from "../../src/driver/kind.ts";
import { NetDriver, type NetDriverOptions } from "../../src/driver/net.ts";
import type { Engine, EngineOptions } from "../../src/engine.ts";
import { Features } from "../../src/features.ts";
import type { DmaBackend, RingFormat } from "../../src/names.ts";
import { NetFeatures as F, NET_FEATURE_RULES } from "../../src/net-features.ts";
import { type NetHeader, readNetHeader, writeNetHeader } from "../../src/net-records.ts";
import { connectInProcess } from "../../src/transport/in-process.ts";
import { createEngine } from "../support/engine.ts";

export { F };

export const MAC = "52:54:00:12:34:56";

/** What a test leaves out has a default here. */
export interface NetRigOptions {
  format?: RingFormat;
  pairs?: number;
  /** Of the device type; the reserved ones are VERSION_1, INDIRECT_DESC, EVENT_IDX and RING_RESET, unless said. */
  features?: bigint;
  reserved?: bigint;
  engine?: EngineOptions;
  device?: NetDeviceOptions;
  driver?: NetDriverOptions;
  /** The DMA backend of the device; then ACCESS_PLATFORM is among the features. Default: none. */
  backend?: DmaBackend;
  /** Whether the pair is brought up. Default true. */
  start?: boolean;
}

const RESERVED = Features.INDIRECT_DESC | Features.EVENT_IDX | Features.RING_RESET | Features.SUSPEND;

/** Everything of the device type that both halves know. */
export const ALL_NET = (1n << 128n) - 1n - ((1n << 50n) - (1n << 24n));

function featuresOf(options: NetRigOptions): bigint {
  const { format = "split", features = ALL_NET, reserved = RESERVED, backend } = options;
  const platform = backend === undefined ? 0n : Features.ACCESS_PLATFORM;
  return features | reserved | platform | (format === "packed" ? Features.RING_PACKED : 0n);
}

export async function netEngine(options: NetRigOptions): Promise<Engine> {
  const { pairs = 1, backend } = options;
  const engine = await createEngine({
    queues: 2 * pairs + 1,
    queueSize: 64,
    net: { pairs },
    bufferBytes: pairs * (6 << 20) + (2 << 20),
    dma: backend === undefined ? undefined : { backends: [backend], poolBytes: 8 << 20 },
    ...options.engine,
  });
  if (backend !== undefined) engine.devices[0].setDma(backend);
  return engine;
}

export interface NetRig {
  engine: Engine;
  net: NetDevice;
  drv: NetDriver;
  device: DeviceCore;
  driver: DriverCore;
}

/** Both halves of ours, brought up unless said otherwise. */
export async function netRig(options: NetRigOptions = {}): Promise<NetRig> {
  const engine = await netEngine(options);
  const { pairs = 1 } = options;
  const features = featuresOf(options);
  const net = new NetDevice(engine, { pairs, features, mac: MAC, ...options.device });
  const drv = new NetDriver(engine, { pairs, features, ...options.driver });
  const { device, driver } = connectInProcess(engine, net, drv);
  if (options.start ?? true) driver.start();
  return { engine, net, drv, device, driver };
}

/** A driver that only sets its queues up: what is in them is the test's business. */
class RawDriver implements DriverKind {
  readonly deviceId = 1;
  readonly features: bigint;
  readonly rules = NET_FEATURE_RULES;
  readonly #queues: readonly number[];
  readonly #premapped: boolean;
  constructor(features: bigint, queues: readonly number[], premapped: boolean) {
    this.features = features;
    this.#queues = queues;
    this.#premapped = premapped;
  }
  configBytes(): number {
    return 0;
  }
  #core: DriverHost | null = null;
  queues(core: DriverHost): readonly QueuePlan[] {
    this.#core = core;
    return this.#queues.map((index) => ({ index, tables: "direct", premapped: this.#premapped }));
  }
  usedBuffers(): void {}
  queueStopped(queue: number): void {
    this.#core?.queue(queue).detach();
  }
}

export interface RawDriverRig {
  engine: Engine;
  net: NetDevice;
  device: DeviceCore;
  driver: DriverCore;
  /** Interrupts of each queue so far. */
  interrupts: number[];
  configChanges: () => number;
  /** Sends these pieces as one buffer on transmit queue `queue`. */
  send: (queue: number, pieces: readonly Uint8Array[]) => void;
  /** Posts a receive buffer of these sizes; where its elements lie. */
  post: (queue: number, sizes: readonly number[]) => { ptr: number; bytes: number }[];
  /** Runs a control command; the answer, and how long the device says it is. */
  command: (
    bytes: readonly number[] | Uint8Array,
    answerBytes?: number,
    cuts?: readonly number[],
  ) => { answer: Uint8Array; len: number };
}

/** Our device half, and a driver by hand whose queues are set up. */
export async function rawDriverRig(
  options: NetRigOptions & { queues?: readonly number[]; premapped?: boolean } = {},
): Promise<RawDriverRig> {
  const { pairs = 1 } = options;
  const engine = await netEngine(options);
  const features = featuresOf(options);
  const net = new NetDevice(engine, { pairs, features, mac: MAC, ...options.device });
  const device = new DeviceCore(engine, net);
  const all = Array.from({ length: 2 * pairs + 1 }, (_, index) => index);
  const control = features & F.CTRL_VQ & net.features;
  const queues = options.queues ?? (control ? all : all.slice(0, -1));
  const driver = new DriverCore(engine, device, new RawDriver(features, queues, options.premapped ?? false));
  const interrupts = new Array(2 * pairs + 1).fill(0);
  let changes = 0;
  device.connect({
    usedBuffers: (queue) => {
      interrupts[queue]++;
    },
    configChange: () => {
      changes++;
      driver.configChange();
    },
  });
  driver.start();
  // N-B-01.
  const controlQueue = features & net.features & (F.MQ | F.RSS) ? 2 * pairs : 2;
  let at = engine.buffers.ptr;
  const place = (bytes: number): number => {
    const ptr = at;
    at += bytes + 8;
    if (at > engine.buffers.ptr + engine.buffers.bytes) {
      at = engine.buffers.ptr + bytes + 8;
      return engine.buffers.ptr;
    }
    return ptr;
  };
  const put = (bytes: Uint8Array): { ptr: number; bytes: number } => {
    const ptr = place(bytes.length);
    engine.bytes(ptr, bytes.length).set(bytes);
    return { ptr, bytes: bytes.length };
  };
  return {
    engine,
    net,
    device,
    driver,
    interrupts,
    configChanges: () => changes,
    send: (queue, pieces) => {
      driver.queue(queue).add({ readable: pieces.map(put), token: 1 });
      driver.publish(queue);
    },
    post: (queue, sizes) => {
      const writable = sizes.map((bytes) => ({ ptr: place(bytes), bytes }));
      for (const { ptr, bytes } of writable) engine.bytes(ptr, bytes).fill(0xee);
      driver.queue(queue).add({ writable, token: 1 });
      driver.publish(queue);
      return writable;
    },
    command: (bytes, answerBytes = 1, cuts = []) => {
      const whole = Uint8Array.from(bytes);
      const ends = [...cuts, whole.length];
      const pieces = ends.map((end, k) => whole.subarray(k === 0 ? 0 : ends[k - 1], end));
      const answer = put(new Uint8Array(answerBytes).fill(0xff));
      const queue = driver.queue(controlQueue);
      queue.add({ readable: pieces.map(put), writable: answerBytes > 0 ? [answer] : [], token: 2 });
      driver.publish(controlQueue);
      const [used] = queue.reclaim();
      return { answer: engine.bytes(answer.ptr, answerBytes).slice(), len: used?.len ?? -1 };
    },
  };
}

/** A device that only shows a config space and takes its queues: what happens to buffers is the test's business. */
class RawDevice implements DeviceKind {
  readonly deviceId = 1;
  readonly queueCount: number;
  readonly features: bigint;
  readonly rules = NET_FEATURE_RULES;
  readonly configBytes: number;
  readonly #config: Uint8Array;
  core!: DeviceHost;
  onKick: (queue: number) => void = () => {};
  constructor(features: bigint, pairs: number, config: Uint8Array) {
    this.features = features;
    this.queueCount = 2 * pairs + 1;
    this.configBytes = config.length;
    this.#config = config;
  }
  attach(core: DeviceHost): void {
    this.core = core;
  }
  reset(): void {
    this.core.changeConfig(0, this.#config);
  }
  driverOk(): void {}
  kicked(queue: number): void {
    this.onKick(queue);
  }
}

export interface RawDeviceRig {
  engine: Engine;
  drv: NetDriver;
  driver: DriverCore;
  device: DeviceCore;
  raw: RawDevice;
  queue: (index: number) => DeviceQueue;
  /** Takes one buffer from a transmit queue: its header and its frame, read from the memory. */
  takeSent: (queue: number) => { header: NetHeader; headerBytes: Uint8Array; frame: Uint8Array } | null;
  /** Puts a packet of these buffers' bytes into receive buffers, the first with this header in front; then publishes. */
  give: (queue: number, header: Partial<NetHeader>, parts: readonly Uint8Array[]) => void;
}

/** virtio_net_config (5.1.4). */
export function netConfig(
  values: {
    mac?: readonly number[];
    status?: number;
    pairs?: number;
    mtu?: number;
    speed?: number;
    duplex?: number;
    key?: number;
    table?: number;
    types?: number;
  } = {},
): Uint8Array {
  const bytes = new Uint8Array(28);
  const view = new DataView(bytes.buffer);
  bytes.set(values.mac ?? [0x52, 0x54, 0, 1, 2, 3], 0);
  view.setUint16(6, values.status ?? 1, true);
  view.setUint16(8, values.pairs ?? 1, true);
  view.setUint16(10, values.mtu ?? 1500, true);
  view.setUint32(12, values.speed ?? 10000, true);
  view.setUint8(16, values.duplex ?? 1);
  view.setUint8(17, values.key ?? 40);
  view.setUint16(18, values.table ?? 128, true);
  view.setUint32(20, values.types ?? 0x1ff, true);
  return bytes;
}

/** Our driver half, and a device by hand. */
export async function rawDeviceRig(
  options: NetRigOptions & {
    config?: Uint8Array;
    onKick?: (raw: RawDevice, queue: number) => void;
  } = {},
): Promise<RawDeviceRig> {
  const { pairs = 1 } = options;
  const engine = await netEngine(options);
  const features = featuresOf(options);
  const raw = new RawDevice(features, pairs, options.config ?? netConfig({ pairs }));
  if (options.onKick) raw.onKick = (queue) => options.onKick?.(raw, queue);
  const drv = new NetDriver(engine, { pairs, features, pollLimit: 3, ...options.driver });
  const { device, driver } = connectInProcess(engine, raw, drv);
  if (options.start ?? true) driver.start();
  const queue = (index: number): DeviceQueue => {
    const half = device.queue(index);
    if (half === null) throw new Error(`queue ${index} is not enabled`);
    return half;
  };
  return {
    engine,
    drv,
    driver,
    device,
    raw,
    queue,
    takeSent: (index) => {
      const half = queue(index);
      const [chain] = half.pop(1);
      if (chain === undefined) return null;
      const bytes = Uint8Array.from(
        chain.readable.flatMap(({ ptr, bytes: count }) => [...engine.bytes(ptr, count)]),
      );
      half.markUsed(chain.handle, 0);
      device.publishUsed(index);
      const header = readNetHeader(new DataView(bytes.buffer), 0, drv.headerBytes);
      return { header, headerBytes: bytes.slice(0, drv.headerBytes), frame: bytes.slice(drv.headerBytes) };
    },
    give: (index, header, parts) => {
      const half = queue(index);
      const chains = half.pop(parts.length);
      if (chains.length < parts.length) throw new Error(`only ${chains.length} receive buffers`);
      const memory = new DataView(engine.memory.buffer);
      for (const [k, part] of parts.entries()) {
        const [{ ptr }] = chains[k].writable;
        const skip = k === 0 ? drv.headerBytes : 0;
        if (k === 0) writeNetHeader(memory, ptr, { numBuffers: parts.length, ...header }, drv.headerBytes);
        engine.bytes(ptr + skip, part.length).set(part);
        half.markUsed(chains[k].handle, skip + part.length);
      }
      device.publishUsed(index);
    },
  };
}
