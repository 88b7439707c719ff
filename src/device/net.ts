import * as abi from "../../assembly/abi.ts";
import * as spec from "../../assembly/spec.ts";
import { Block } from "../block.ts";
import type { Engine } from "../engine.ts";
import { ConfigError } from "../errors.ts";
import { Features } from "../features.ts";
import { macBytes } from "../net-address.ts";
import { NET_FEATURE_RULES, NetFeatures } from "../net-features.ts";
import { NET_MOST_PAIRS } from "../net-limits.ts";
import { addCounters, NET_COUNTER_NAMES, type NetDeviceStatistics } from "../net-names.ts";
import { NET_FRAME_WORDS, type NetFrame, readFrames, writeRecord } from "../net-records.ts";
import type { DeviceHost, DeviceKind } from "./kind.ts";
import { runControl } from "./net-control.ts";
import { NET_HASH_TYPES } from "./net-hash-types.ts";

const F = NetFeatures;

/** All that the device half can do (5.1.3, and section 6). */
export const NET_DEVICE_FEATURES =
  F.CSUM |
  F.GUEST_CSUM |
  F.CTRL_GUEST_OFFLOADS |
  F.MTU |
  F.MAC |
  F.GUEST_TSO4 |
  F.GUEST_TSO6 |
  F.GUEST_ECN |
  F.GUEST_UFO |
  F.HOST_TSO4 |
  F.HOST_TSO6 |
  F.HOST_ECN |
  F.HOST_UFO |
  F.MRG_RXBUF |
  F.STATUS |
  F.CTRL_VQ |
  F.CTRL_RX |
  F.CTRL_VLAN |
  F.CTRL_RX_EXTRA |
  F.GUEST_ANNOUNCE |
  F.MQ |
  F.CTRL_MAC_ADDR |
  F.VQ_NOTF_COAL |
  F.NOTF_COAL |
  F.GUEST_USO4 |
  F.GUEST_USO6 |
  F.HOST_USO |
  F.HASH_REPORT |
  F.GUEST_HDRLEN |
  F.RSS |
  F.SPEED_DUPLEX |
  F.GUEST_UDP_TUNNEL_GSO |
  F.GUEST_UDP_TUNNEL_GSO_CSUM |
  F.HOST_UDP_TUNNEL_GSO |
  F.HOST_UDP_TUNNEL_GSO_CSUM |
  F.OUT_NET_HEADER;

const RESERVED_FEATURES =
  Features.INDIRECT_DESC |
  Features.EVENT_IDX |
  Features.ACCESS_PLATFORM |
  Features.RING_PACKED |
  Features.IN_ORDER |
  Features.ORDER_PLATFORM |
  Features.NOTIFICATION_DATA |
  Features.RING_RESET |
  Features.SUSPEND;

export interface NetDeviceOptions {
  /** The engine's device, the same as the core's. Default 0. */
  device?: number;
  /** max_virtqueue_pairs; at most what `net.pairs` of the engine reserves. Default: that. */
  pairs?: number;
  /** What is offered at most; default: everything that the device half can do. */
  features?: bigint;
  /** "52:54:00:12:34:56", or six bytes. Default: none, and MAC is not offered. */
  mac?: string | Uint8Array;
  /** The largest packet, 68 to 65535; 0: MTU is not offered. Default 1500. */
  mtu?: number;
  /** In Mbit/s; default: unknown. */
  speed?: number;
  /** "full", "half" or "unknown", which is the default. */
  duplex?: "full" | "half" | "unknown";
  /** Whether the link is up at first. Default true. */
  link?: boolean;
  /** Frames for which the driver has no buffer stay the host's, instead of being dropped. Default false. */
  hold?: boolean;
  /** TCP segments of one flow that are received in a burst become one frame, where the driver takes such. Default false. */
  coalesce?: boolean;
  /** What the host takes from the device beside complete frames within the MTU. Default: nothing. */
  wire?: { csum?: boolean; gso?: boolean };
  /** Called when the driver has shown something to send; `transmit` may be called in it. */
  onTransmit?: () => void;
  /** Called when the driver has shown new receive buffers. */
  onBuffers?: () => void;
}

/**
 * The device half of a network card (5.1): what plugs into the device core. The host calls `transmit` for the
 * frames that the driver sends, and `receive` for those that it gets; both move a burst and allocate nothing.
 *
 * All of its state lies in the engine's memory, so that a snapshot holds it.
 */
export class NetDevice implements DeviceKind {
  readonly deviceId = 1;
  readonly engine: Engine;
  readonly pairs: number;
  readonly queueCount: number;
  readonly features: bigint;
  readonly rules = NET_FEATURE_RULES;
  readonly configBytes = spec.VIRTIO_NET_CONFIG_SIZE;
  /** The control block in the memory. */
  readonly ptr: number;
  readonly #options: NetDeviceOptions;
  readonly #block: Block;
  #core: DeviceHost | null = null;
  /** Whether MQ or RSS was negotiated, which decides what the queues are (N-B-01). */
  #isMulti = false;

  /** @throws ConfigError for options that can't be, or for which nothing is reserved. */
  constructor(engine: Engine, options: NetDeviceOptions = {}) {
    const { net } = engine.limits;
    if (net === null)
      throw new ConfigError("no memory is reserved for network halves: see EngineOptions.net");
    const pairs = options.pairs ?? net.pairs;
    check("pairs", pairs, 1, Math.min(net.pairs, NET_MOST_PAIRS));
    // N-V-01.
    if (options.mtu) check("mtu", options.mtu, 68, 65535);
    if (options.speed !== undefined) check("speed", options.speed, 0, 0x7fffffff);
    this.engine = engine;
    this.pairs = pairs;
    this.queueCount = 2 * pairs + 1;
    let features = options.features ?? NET_DEVICE_FEATURES | RESERVED_FEATURES;
    features &= NET_DEVICE_FEATURES | RESERVED_FEATURES;
    if (options.mac === undefined) features &= ~F.MAC;
    if (options.mtu === 0) features &= ~F.MTU;
    if (pairs === 1) features &= ~F.MQ;
    this.features = features;
    this.#options = options;
    this.ptr = engine.region(`device ${options.device ?? 0} net device`).ptr;
    this.#block = new Block(engine, this.ptr);
    const { wasm } = engine;
    wasm.netDeviceInit(this.ptr, engine.device(options.device ?? 0).ptr, pairs, net.records, net.frameBytes);
    const flags = (options.hold ? abi.NET_HOLD : 0) | (options.coalesce ? abi.NET_COALESCE : 0);
    const wire = (options.wire?.csum ? abi.NET_WIRE_CSUM : 0) | (options.wire?.gso ? abi.NET_WIRE_GSO : 0);
    this.#block.set(wasm.NET_DEVICE_OPTIONS.value, flags);
    // Whoever segments completes checksums, too.
    this.#block.set(wasm.NET_DEVICE_WIRE.value, wire & abi.NET_WIRE_GSO ? wire | abi.NET_WIRE_CSUM : wire);
    this.#block.set(wasm.NET_DEVICE_LINK_UP.value, (options.link ?? true) ? 1 : 0);
  }

  // What the core calls

  attach(core: DeviceHost): void {
    this.#core = core;
  }

  restored(): void {
    this.#learn();
  }

  reset(): void {
    this.#learn();
    const { wasm } = this.engine;
    for (let index = 0; index < 2 * this.pairs + 1; index++) this.#stopQueue(index);
    wasm.netDeviceForgetReceived(this.ptr);
    wasm.netDeviceReset(this.ptr);
    this.#host.changeConfig(0, this.#configAtReset());
    wasm.netDeviceSetMac(this.ptr, this.#putMac(macBytes(this.#options.mac ?? new Uint8Array(6))));
  }

  driverOk(): void {
    const { features } = this.#host;
    const mtu = features & F.MTU ? (this.#options.mtu ?? 1500) : 0;
    this.engine.wasm.netDeviceNegotiated(this.ptr, BigInt.asUintN(64, features), features >> 64n, mtu);
  }

  queueEnabled(queue: number): void {
    this.#learn();
    const half = this.#host.queue(queue);
    const index = this.#indexOf(queue);
    if (half === null || index < 0) return;
    this.engine.wasm.netDeviceQueueStart(
      this.ptr,
      index,
      half.ptr,
      half.format === "packed" ? 1 : 0,
      half.popped.byteOffset,
      half.popped.byteLength,
      half.completions.byteOffset,
      half.completions.byteLength,
    );
  }

  queueReset(queue: number): "done" {
    const index = this.#indexOf(queue);
    if (index >= 0) this.#stopQueue(index);
    return "done";
  }

  kicked(queue: number): void {
    const index = this.#indexOf(queue);
    if (index < 0) return;
    if (index === 2 * this.pairs) this.#control();
    else if (index & 1) this.#options.onTransmit?.();
    else this.#options.onBuffers?.();
  }

  suspend(): "done" {
    // What was used is signalled before the device is quiet (3.4.2), whatever the driver has asked to wait for.
    this.engine.wasm.netDeviceDecide(this.ptr);
    this.#notify();
    return "done";
  }

  // What the host calls

  /**
   * Moves what the driver sends: up to `most` buffers of each queue; how many frames are in `sent`. Call it again
   * until it is 0: it ends early when the areas are full.
   */
  transmit(most = this.engine.limits.batch): number {
    const frames = this.engine.wasm.netDeviceTransmit(this.ptr, most);
    this.#notify();
    return frames;
  }

  /** Frames of the last `transmit`: records of NET_FRAME_WORDS words, from this word of the memory on (see `Engine.u32`). */
  get sentAt(): number {
    return this.#block.get(this.engine.wasm.NET_DEVICE_SENT.value) >>> 2;
  }

  /** Records for `receive`, likewise; a frame may lie anywhere in the memory, `receiveArea` is a place for some. */
  get receivedAt(): number {
    return this.#block.get(this.engine.wasm.NET_DEVICE_RECEIVED.value) >>> 2;
  }

  get receiveArea(): { ptr: number; bytes: number } {
    const ptr = this.#block.get(this.engine.wasm.NET_DEVICE_RECEIVED_DATA.value);
    return { ptr, bytes: this.engine.limits.net?.frameBytes ?? 0 };
  }

  /**
   * Hands the first `count` records to the driver; how many were taken, delivered or dropped. With `hold` it stops
   * at one that has to wait for a buffer; while the device does not run it takes none.
   */
  receive(count: number): number {
    const taken = this.engine.wasm.netDeviceReceive(this.ptr, count);
    this.#notify();
    return taken;
  }

  /** Copies of all frames that the driver sends. Allocates. */
  takeFrames(): NetFrame[] {
    const frames: NetFrame[] = [];
    for (let count = this.transmit(); count > 0; count = this.transmit()) {
      frames.push(...readFrames(this.engine, 4 * this.sentAt, count));
    }
    return frames;
  }

  /** Hands frames to the driver; how many were taken. Allocates. @throws ConfigError for a frame that no area holds. */
  giveFrames(frames: readonly NetFrame[]): number {
    const most = this.engine.limits.net?.records ?? 0;
    const area = this.receiveArea;
    let given = 0;
    while (given < frames.length) {
      let staged = 0;
      let used = 0;
      for (; staged < most && given + staged < frames.length; staged++) {
        const frame = frames[given + staged];
        if (frame.bytes.length > area.bytes - used) break;
        this.engine.bytes(area.ptr + used, frame.bytes.length).set(frame.bytes);
        const record = 4 * (this.receivedAt + staged * NET_FRAME_WORDS);
        writeRecord(this.engine, record, frame, area.ptr + used, 0);
        used = Math.ceil((used + frame.bytes.length) / 64) * 64;
      }
      if (staged === 0) {
        throw new ConfigError(
          `a frame of ${frames[given].bytes.length} bytes, but net.frameBytes is ${area.bytes}`,
        );
      }
      const taken = this.receive(staged);
      given += taken;
      if (taken < staged) break;
    }
    return given;
  }

  /** The host's clock in microseconds, modulo 2^32: decides about notifications that have waited long enough. */
  tick(now: number): void {
    this.engine.wasm.netDeviceTick(this.ptr, now);
    this.#notify();
  }

  /** [STATUS] Whether the link is up; frames are not received while it is down. */
  get link(): boolean {
    return this.#block.get(this.engine.wasm.NET_DEVICE_LINK_UP.value) !== 0;
  }
  set link(up: boolean) {
    this.#block.set(this.engine.wasm.NET_DEVICE_LINK_UP.value, up ? 1 : 0);
    this.#setStatus(spec.VIRTIO_NET_S_LINK_UP, up);
  }

  /** [GUEST_ANNOUNCE] Asks the driver to make itself known (5.1.9.5.4); whether it was negotiated. */
  announce(): boolean {
    if (!(this.#host.features & F.GUEST_ANNOUNCE)) return false;
    this.#setStatus(spec.VIRTIO_NET_S_ANNOUNCE, true);
    return true;
  }

  /** All counters by name: sums over the queues. Allocates. */
  statistics(): NetDeviceStatistics {
    const { wasm } = this.engine;
    const read = (ptr: number): number => this.engine.readU64(ptr);
    const sums: Record<string, number> = {};
    addCounters(read, this.ptr + wasm.NET_DEVICE_COUNTERS.value, NET_COUNTER_NAMES.device, sums);
    for (let index = 0; index < 2 * this.pairs; index++) {
      const names = index & 1 ? NET_COUNTER_NAMES.deviceTransmit : NET_COUNTER_NAMES.deviceReceive;
      addCounters(read, this.#queueAt(index) + wasm.NET_QUEUE_COUNTERS.value, names, sums);
    }
    for (const side of ["tx", "rx"]) {
      const drops = Object.keys(sums).filter((name) => name.startsWith(`${side}_drop_`));
      sums[`${side}_drops`] = drops.reduce((sum, name) => sum + sums[name], 0);
    }
    return sums as NetDeviceStatistics;
  }

  /** Counters of one queue by name, by its index in the device. Allocates. */
  queueStatistics(index: number): Record<string, number> {
    check("queue", index, 0, 2 * this.pairs - 1);
    const names = index & 1 ? NET_COUNTER_NAMES.deviceTransmit : NET_COUNTER_NAMES.deviceReceive;
    const sums: Record<string, number> = {};
    const at = this.#queueAt(index) + this.engine.wasm.NET_QUEUE_COUNTERS.value;
    addCounters((ptr) => this.engine.readU64(ptr), at, names, sums);
    return sums;
  }

  get #host(): DeviceHost {
    if (this.#core === null) throw new ConfigError("the network device is not attached to a device core");
    return this.#core;
  }

  #learn(): void {
    this.#isMulti = (this.#host.features & (F.MQ | F.RSS)) !== 0n;
  }

  /** N-B-01: a queue's place here, where the control queue is behind all pairs; -1 for one that means nothing. */
  #indexOf(queue: number): number {
    if (this.#isMulti || queue < 2) return queue;
    return queue === 2 ? 2 * this.pairs : -1;
  }

  #queueAt(index: number): number {
    const { wasm } = this.engine;
    const queues = this.#block.get(wasm.NET_DEVICE_QUEUES.value);
    return queues + index * wasm.NET_QUEUE_BLOCK_BYTES.value;
  }

  #stopQueue(index: number): void {
    const { wasm } = this.engine;
    if (index & 1) wasm.netDeviceForgetSegments(this.ptr, index >> 1);
    wasm.netDeviceQueueStop(this.ptr, index);
  }

  /** Delivers the interrupts that the engine has decided on. */
  #notify(): void {
    const { wasm, u32 } = this.engine;
    const queues = this.#isMulti ? 2 * this.pairs : 2;
    const stride = wasm.NET_QUEUE_BLOCK_BYTES.value >>> 2;
    let at = (this.#queueAt(0) + wasm.NET_QUEUE_INTERRUPT.value) >>> 2;
    for (let queue = 0; queue < queues; queue++, at += stride) {
      if (u32[at] === 0) continue;
      u32[at] = 0;
      this.#host.notifyUsed(queue);
    }
    this.#host.settle();
  }

  /** Runs the commands that wait in the control queue, each to its end before the next (5.1.9.5). */
  #control(): void {
    const { wasm } = this.engine;
    const at = this.#queueAt(2 * this.pairs) + wasm.NET_QUEUE_INTERRUPT.value;
    const queue = this.#isMulti ? 2 * this.pairs : 2;
    // A ring's worth of commands: those that come while they are run come with a kick of their own.
    for (let left = this.engine.limits.queueSize; left > 0 && wasm.netControlNext(this.ptr); left--) {
      const answer = runControl({
        engine: this.engine,
        net: this.ptr,
        block: this.#block,
        features: this.#host.features,
        pairs: this.pairs,
        queueAt: (index) => this.#queueAt(index),
        isEnabled: (index) => this.#host.queue(index) !== null,
        setMac: (mac) => this.#host.changeConfig(spec.VIRTIO_NET_CONFIG_MAC, mac),
        announced: () => this.#setStatus(spec.VIRTIO_NET_S_ANNOUNCE, false),
      });
      wasm.netControlAnswer(this.ptr, answer);
      const interrupt = at >>> 2;
      if (this.engine.u32[interrupt] !== 0) {
        this.engine.u32[interrupt] = 0;
        this.#host.notifyUsed(queue);
      }
    }
    this.#notify();
  }

  #setStatus(bit: number, on: boolean): void {
    const config = this.#host.readConfigBytes();
    const status = config[spec.VIRTIO_NET_CONFIG_STATUS];
    const next = on ? status | bit : status & ~bit;
    this.#host.changeConfig(spec.VIRTIO_NET_CONFIG_STATUS, Uint8Array.of(next));
  }

  /** virtio_net_config (5.1.4) as it is when the device is reset. */
  #configAtReset(): Uint8Array {
    const { mac, mtu = 1500, speed, duplex = "unknown" } = this.#options;
    const { wasm } = this.engine;
    const bytes = new Uint8Array(this.configBytes);
    const view = new DataView(bytes.buffer);
    if (mac !== undefined) bytes.set(macBytes(mac), spec.VIRTIO_NET_CONFIG_MAC);
    view.setUint16(spec.VIRTIO_NET_CONFIG_STATUS, this.link ? spec.VIRTIO_NET_S_LINK_UP : 0, true);
    view.setUint16(spec.VIRTIO_NET_CONFIG_MAX_PAIRS, this.pairs, true);
    view.setUint16(spec.VIRTIO_NET_CONFIG_MTU, mtu, true);
    view.setUint32(spec.VIRTIO_NET_CONFIG_SPEED, speed ?? 0xffffffff, true);
    view.setUint8(spec.VIRTIO_NET_CONFIG_DUPLEX, { half: 0, full: 1, unknown: 0xff }[duplex]);
    view.setUint8(spec.VIRTIO_NET_CONFIG_RSS_MAX_KEY, wasm.NET_RSS_KEY_BYTES.value);
    view.setUint16(spec.VIRTIO_NET_CONFIG_RSS_MAX_TABLE, wasm.NET_RSS_TABLE_ENTRIES.value, true);
    view.setUint32(spec.VIRTIO_NET_CONFIG_HASH_TYPES, NET_HASH_TYPES, true);
    return bytes;
  }

  /** Where the engine may read six bytes. */
  #putMac(mac: Uint8Array): number {
    const ptr = this.#block.get(this.engine.wasm.NET_DEVICE_CONTROL.value);
    this.engine.bytes(ptr, 6).set(mac);
    return ptr;
  }
}

function check(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ConfigError(`${name} is ${value}, but must be a whole number from ${least} to ${most}`);
  }
}
