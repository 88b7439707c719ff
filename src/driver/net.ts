import * as abi from "../../assembly/abi.ts";
import * as spec from "../../assembly/spec.ts";
import { Block } from "../block.ts";
import type { DriverQueue } from "../driver-queue.ts";
import type { Engine } from "../engine.ts";
import { ConfigError, DriverError, RefusedError } from "../errors.ts";
import { Features } from "../features.ts";
import { alignUp } from "../layout.ts";
import { macBytes } from "../net-address.ts";
import { NetFeatures as F, NET_FEATURE_RULES } from "../net-features.ts";
import { NET_MOST_PAIRS } from "../net-limits.ts";
import { addCounters, NET_COUNTER_NAMES, type NetDriverStatistics } from "../net-names.ts";
import { type NetFrame, readFrames, writeRecord } from "../net-records.ts";
import type { DriverHost, DriverKind, QueuePlan } from "./kind.ts";
import { NetCommands } from "./net-commands.ts";

/** All that the driver half can make use of (5.1.3, and section 6). */
export const NET_DRIVER_FEATURES =
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
  Features.NOTIF_CONFIG_DATA |
  Features.RING_RESET |
  Features.SUSPEND;

export interface NetDriverOptions {
  /** The engine's device, the same as the core's. Default 0. */
  device?: number;
  /** Most queue pairs that are used. Default: what `net.pairs` of the engine reserves. */
  pairs?: number;
  /** What is acked at most, of what is offered; default: everything that the driver half can make use of. */
  features?: bigint;
  /** Without these the driver gives up (2.2.1). */
  required?: bigint;
  /** The address to use where the device has none. Default: a locally administered one. */
  mac?: string | Uint8Array;
  /** Receive buffers of each queue; at most the ring's size, which is the default. */
  receiveBuffers?: number;
  /** Bytes of a receive buffer with MRG_RXBUF; default 2048. Without, the specification says how many (5.1.9.3.1). */
  receiveBytes?: number;
  /** Shared memory for buffers, headers and commands; default: the engine's `buffers`. What is left is `sendArea`. */
  area?: { ptr: number; bytes: number };
  /** Checks in software what the device has not checked. Default false. */
  verify?: boolean;
  /** How often the control queue is looked at for one answer. Default 1000. */
  pollLimit?: number;
  /** Called between two of those looks: to let the device go on, where it needs that. */
  wait?: () => void;
  /** Frames may have been received, or sent: `receive` and `reclaim` may be called in it. */
  onReceive?: () => void;
  onSent?: () => void;
  /** Link, speed or address may have changed. */
  onConfig?: () => void;
  /** The device asks the driver to make itself known (5.1.9.5.4): send something from its address now. */
  onAnnounce?: () => void;
  /** Only a reset, as `start` of the core begins with, leads on (2.1.1). */
  onNeedsReset?: () => void;
}

/** What the device's configuration space says (5.1.4), as far as it was negotiated. */
export interface NetConfig {
  mac: Uint8Array;
  linkUp: boolean;
  maxPairs: number;
  /** 0 when the device has none. */
  mtu: number;
  /** In Mbit/s, or null when unknown. */
  speed: number | null;
  duplex: "half" | "full" | null;
  rssMaxKey: number;
  rssMaxTable: number;
  hashTypes: number;
}

/** A slot's segment is as long as the longest frame without segmentation. */
const SEGMENT_BYTES = 1518;
/** A control command, and behind it the answer. */
const COMMAND_BYTES = 4096;
const ANSWER_BYTES = 64;

/**
 * The driver half of a network card (5.1): what plugs into the driver core. `transmit`, `reclaim` and `receive`
 * move a burst and allocate nothing; what was not negotiated is done in software.
 */
export class NetDriver implements DriverKind {
  readonly deviceId = 1;
  readonly engine: Engine;
  readonly features: bigint;
  readonly rules = NET_FEATURE_RULES;
  readonly required: bigint;
  /** Control commands (5.1.9.5). */
  readonly commands: NetCommands;
  /** The control block in the memory. */
  readonly ptr: number;
  readonly #options: NetDriverOptions;
  readonly #block: Block;
  /** Looked up once: words of a queue's block, and where the first one says whether anything was added. */
  readonly #queueWords: number;
  readonly #addedAt: number;
  #core: DriverHost | null = null;
  #pairs = 1;
  #controlQueue = 2;
  #config: NetConfig | null = null;
  #sendArea = { ptr: 0, bytes: 0 };
  #lost: number[] = [];

  /** @throws ConfigError when nothing is reserved */
  constructor(engine: Engine, options: NetDriverOptions = {}) {
    const { net } = engine.limits;
    if (net === null)
      throw new ConfigError("no memory is reserved for network halves: see EngineOptions.net");
    this.engine = engine;
    this.features =
      (options.features ?? NET_DRIVER_FEATURES | RESERVED_FEATURES) &
      (NET_DRIVER_FEATURES | RESERVED_FEATURES);
    this.required = options.required ?? 0n;
    this.#options = options;
    this.ptr = engine.region(`device ${options.device ?? 0} net driver`).ptr;
    this.#block = new Block(engine, this.ptr);
    const { wasm, limits } = engine;
    wasm.netDriverInit(this.ptr, net.pairs, limits.queueSize, net.records, net.frameBytes);
    this.#block.set(wasm.NET_DRIVER_OPTIONS.value, options.verify ? abi.NET_VERIFY : 0);
    this.#queueWords = wasm.NET_DRIVER_QUEUE_BLOCK_BYTES.value >>> 2;
    const queues = this.#block.get(wasm.NET_DRIVER_QUEUES.value);
    this.#addedAt = (queues + wasm.NET_DRIVER_QUEUE_ADDED.value) >>> 2;
    this.commands = new NetCommands(this);
  }

  // What the core calls

  configBytes(offered: bigint): number {
    if (offered & (F.RSS | F.HASH_REPORT)) return spec.VIRTIO_NET_CONFIG_TUNNEL_TYPES;
    if (offered & F.SPEED_DUPLEX) return spec.VIRTIO_NET_CONFIG_RSS_MAX_KEY;
    if (offered & F.MTU) return spec.VIRTIO_NET_CONFIG_SPEED;
    if (offered & F.MQ) return spec.VIRTIO_NET_CONFIG_MTU;
    if (offered & F.STATUS) return spec.VIRTIO_NET_CONFIG_MAX_PAIRS;
    return offered & F.MAC ? spec.VIRTIO_NET_CONFIG_STATUS : 0;
  }

  queues(core: DriverHost): readonly QueuePlan[] {
    const config = this.#learn(core);
    // N-V-01: values that can't be are no ground to stand on.
    if (config.maxPairs < 1 || config.maxPairs > NET_MOST_PAIRS)
      throw new DriverError("config-value", `max_virtqueue_pairs is ${config.maxPairs}`);
    if (core.features & F.MTU && config.mtu < 68)
      throw new DriverError("config-value", `mtu is ${config.mtu}`);
    const low = BigInt.asUintN(64, core.features);
    this.engine.wasm.netDriverNegotiated(this.ptr, low, core.features >> 64n, config.mtu);
    const plans = Array.from({ length: 2 * this.#pairs }, (_, index) => ({ index }));
    return core.features & F.CTRL_VQ ? [...plans, { index: this.#controlQueue }] : plans;
  }

  fill(core: DriverHost): void {
    const { ptr, bytes } = this.#options.area ?? this.engine.buffers;
    let at = this.#placeCommands();
    for (let index = 0; index < 2 * this.#pairs; index++) at = this.#startQueue(index, core.queue(index), at);
    if (at > ptr + bytes) {
      throw new ConfigError(
        `the buffers of ${this.#pairs} queue pairs need ${at - ptr} bytes, but only ${bytes} are given`,
      );
    }
    this.#sendArea = { ptr: at, bytes: ptr + bytes - at };
    this.#block.set(this.engine.wasm.NET_DRIVER_SEND_AREA.value, at);
    this.#block.set(this.engine.wasm.NET_DRIVER_SEND_AREA_BYTES.value, ptr + bytes - at);
    // N-D-13: every receive queue that is to be used.
    for (let pair = 0; pair < this.#pairs; pair++) this.engine.wasm.netDriverFill(this.ptr, pair);
  }

  driverOk(core: DriverHost): void {
    // M-D-01: the queues are there before the command.
    if (this.#pairs > 1 && core.features & F.MQ) this.commands.setPairs(this.#pairs);
  }

  usedBuffers(queue: number): void {
    if (queue === this.#controlQueue) return;
    if (queue & 1) this.#options.onSent?.();
    else this.#options.onReceive?.();
  }

  configChange(): void {
    this.#config = this.#readConfig();
    this.#options.onConfig?.();
    if (!(this.#host.features & F.GUEST_ANNOUNCE)) return;
    // C-B-02.
    if (!(this.#host.readConfig(spec.VIRTIO_NET_CONFIG_STATUS, 2) & spec.VIRTIO_NET_S_ANNOUNCE)) return;
    this.#options.onAnnounce?.();
    this.commands.acknowledgeAnnounce();
  }

  needsReset(): void {
    this.#options.onNeedsReset?.();
  }

  queueStopped(queue: number): void {
    const { wasm } = this.engine;
    if (queue === this.#controlQueue) {
      this.commands.stopped();
      return;
    }
    if (queue >= 2 * this.#pairs) return;
    const pair = queue >>> 1;
    if (!(queue & 1)) wasm.netDriverDrain(this.ptr, pair);
    else {
      for (
        let count = wasm.netDriverDetach(this.ptr, pair);
        count > 0;
        count = wasm.netDriverDetach(this.ptr, pair)
      )
        for (let k = 0; k < count; k++) this.#lost.push(this.engine.u32[this.doneAt + k]);
    }
    this.#queueBlock(queue).set(wasm.NET_DRIVER_QUEUE_HALF.value, 0);
  }

  restored(core: DriverHost): void {
    const { wasm } = this.engine;
    this.#core = core;
    this.#config = this.#readConfig();
    this.#lost = [];
    // Bring-up's decisions, not what the config space would lead to now: it may be another than at bring-up.
    this.#pairs = this.#block.get(wasm.NET_DRIVER_SET_UP_PAIRS.value);
    this.#controlQueue = this.#block.get(wasm.NET_DRIVER_CONTROL_QUEUE.value);
    this.#sendArea = {
      ptr: this.#block.get(wasm.NET_DRIVER_SEND_AREA.value),
      bytes: this.#block.get(wasm.NET_DRIVER_SEND_AREA_BYTES.value),
    };
    this.commands.place(this.#block.get(wasm.NET_DRIVER_COMMANDS.value), COMMAND_BYTES, ANSWER_BYTES);
    this.commands.restored();
  }

  // What the host calls

  /**
   * Sends the first `count` records of `outgoing`; how many. It stops early where a ring has no room, or at a frame that
   * can't be sent: see `refusal`. A frame's bytes are lent until its token is back.
   */
  transmit(count: number): number {
    const sent = this.engine.wasm.netDriverTransmit(this.ptr, count);
    this.#publish(1);
    return sent;
  }

  /** Takes back what was sent; how many tokens stand from `doneAt` on. Call it again until it is 0. */
  reclaim(): number {
    return this.engine.wasm.netDriverReclaim(this.ptr);
  }

  /** Takes up to `most` packets of each queue; how many records are in `incoming`. Call it again until it is 0. */
  receive(most = this.engine.limits.batch): number {
    const frames = this.engine.wasm.netDriverReceive(this.ptr, most);
    this.#publish(0);
    return frames;
  }

  /** Words of the memory (see `Engine.u32`) from which records or tokens stand. */
  get outgoingAt(): number {
    return this.#block.get(this.engine.wasm.NET_DRIVER_OUTGOING.value) >>> 2;
  }
  get incomingAt(): number {
    return this.#block.get(this.engine.wasm.NET_DRIVER_INCOMING.value) >>> 2;
  }
  get doneAt(): number {
    return this.#block.get(this.engine.wasm.NET_DRIVER_DONE.value) >>> 2;
  }

  /** Shared memory for frames that are to be sent. */
  get sendArea(): { ptr: number; bytes: number } {
    return this.#sendArea;
  }

  /** Why the last `transmit` stopped at a frame, or null. */
  get refusal(): RefusedError | null {
    const { wasm } = this.engine;
    const refusal = this.#block.get(wasm.NET_DRIVER_REFUSAL.value);
    return refusal === 0
      ? null
      : new RefusedError(refusal, 0, this.#block.get(wasm.NET_DRIVER_REFUSAL_INDEX.value));
  }

  /**
   * Tokens of frames that a reset took back: nobody knows whether they were sent (2.1.1). A snapshot doesn't hold
   * them: take them before it is taken. Allocates.
   */
  takeLost(): number[] {
    const lost = this.#lost;
    this.#lost = [];
    return lost;
  }

  /**
   * Sends copies of frames, one after the other through `sendArea`, and waits for none of them: what was sent is taken back
   * first. How many. For a program that only uses this call, not `transmit`. Allocates.
   * @throws RefusedError for a frame that can't be sent
   */
  sendFrames(frames: readonly NetFrame[]): number {
    const { ptr, bytes } = this.#sendArea;
    const most = this.engine.limits.net?.records ?? 0;
    let sent = 0;
    while (sent < frames.length) {
      for (let done = 1; done > 0; ) done = this.reclaim();
      if (this.outstanding > 0) return sent;
      let staged = 0;
      let used = 0;
      for (; staged < most && sent + staged < frames.length; staged++) {
        const frame = frames[sent + staged];
        if (frame.bytes.length > bytes - used) break;
        this.engine.bytes(ptr + used, frame.bytes.length).set(frame.bytes);
        writeRecord(this.engine, 4 * this.outgoingAt + staged * abi.NET_FRAME, frame, ptr + used, staged);
        used = alignUp(used + frame.bytes.length, abi.CACHE_LINE);
      }
      if (staged === 0)
        throw new ConfigError(
          `a frame of ${frames[sent].bytes.length} bytes, but the send area has ${bytes}`,
        );
      const done = this.transmit(staged);
      sent += done;
      if (done === staged) continue;
      const { refusal } = this;
      if (refusal !== null) throw refusal;
      return sent;
    }
    return sent;
  }

  /** Copies of all frames that were received. Allocates. */
  receiveFrames(): NetFrame[] {
    const frames: NetFrame[] = [];
    for (let count = this.receive(); count > 0; count = this.receive())
      frames.push(...readFrames(this.engine, 4 * this.incomingAt, count));
    return frames;
  }

  /** Frames that the device has and has not given back. */
  get outstanding(): number {
    let outstanding = 0;
    for (let pair = 0; pair < this.#pairs; pair++) outstanding += this.#host.queue(2 * pair + 1).outstanding;
    return outstanding;
  }

  /** What the configuration space said when it was read last: at bring-up, and at each change of it. */
  get config(): NetConfig {
    if (this.#config === null) throw new DriverError("not-running");
    return this.#config;
  }

  /** Queue pairs that are set up, and those that frames may be sent on (M-D-02). */
  get pairs(): number {
    return this.#pairs;
  }
  get activePairs(): number {
    return this.#block.get(this.engine.wasm.NET_DRIVER_ACTIVE_PAIRS.value);
  }
  /** @internal For the control command that changes it. */
  set activePairs(pairs: number) {
    this.#block.set(this.engine.wasm.NET_DRIVER_ACTIVE_PAIRS.value, pairs);
  }

  /** The header's length in both directions (N-B-03). */
  get headerBytes(): number {
    return this.#block.get(this.engine.wasm.NET_DRIVER_HEADER_BYTES.value);
  }

  /** [RING_RESET] Resets the queue with this index in the device. @throws DriverError */
  resetQueue(index: number): void {
    this.#host.resetQueue(index);
  }

  /** [RING_RESET] Puts a queue to work again after its reset. @throws DriverError */
  restartQueue(index: number): void {
    const queue = this.#host.enableQueue({ index });
    const { wasm } = this.engine;
    const block = this.#queueBlock(index).ptr;
    this.#attachQueue(block, queue);
    if (index & 1) return;
    wasm.netDriverFill(this.ptr, index >>> 1);
    this.#publish(0);
  }

  /** All counters by name: sums over the queues. Allocates. */
  statistics(): NetDriverStatistics {
    const { wasm } = this.engine;
    const sums: Record<string, number> = { tx_kicks: 0, rx_kicks: 0 };
    for (let index = 0; index < 2 * this.#pairs; index++) {
      const names = index & 1 ? NET_COUNTER_NAMES.driverTransmit : NET_COUNTER_NAMES.driverReceive;
      const at = this.#queueBlock(index).ptr + wasm.NET_DRIVER_QUEUE_COUNTERS.value;
      addCounters((ptr) => this.engine.readU64(ptr), at, names, sums);
      sums[index & 1 ? "tx_kicks" : "rx_kicks"] += this.#host.queue(index).counters().doorbells;
    }
    sums.tx_dropped = sums.tx_drop_reset + sums.tx_errors;
    sums.rx_dropped =
      sums.rx_length_errors +
      sums.rx_frame_errors +
      sums.rx_drop_num_buffers +
      sums.rx_drop_oversize +
      sums.rx_drop_reset;
    return sums as NetDriverStatistics;
  }

  /** @internal The driver core, for commands. */
  get host(): DriverHost {
    return this.#host;
  }
  /** @internal */
  get controlQueue(): number {
    return this.#controlQueue;
  }
  /** @internal */
  get polling(): { limit: number; wait: () => void } {
    return { limit: this.#options.pollLimit ?? 1000, wait: this.#options.wait ?? (() => {}) };
  }

  get #host(): DriverHost {
    if (this.#core === null) throw new DriverError("not-running");
    return this.#core;
  }

  #queueBlock(index: number): Block {
    const { wasm } = this.engine;
    const queues = this.#block.get(wasm.NET_DRIVER_QUEUES.value);
    return new Block(this.engine, queues + index * wasm.NET_DRIVER_QUEUE_BLOCK_BYTES.value);
  }

  /** Reads the config space, and what follows from it. */
  #learn(core: DriverHost): NetConfig {
    this.#core = core;
    this.#config = this.#readConfig();
    const { maxPairs } = this.#config;
    const most = this.engine.limits.net?.pairs ?? 1;
    this.#pairs = Math.min(maxPairs, this.#options.pairs ?? most, most);
    this.#controlQueue = 2 * maxPairs;
    this.#block.set(this.engine.wasm.NET_DRIVER_SET_UP_PAIRS.value, this.#pairs);
    this.#block.set(this.engine.wasm.NET_DRIVER_CONTROL_QUEUE.value, this.#controlQueue);
    return this.#config;
  }

  /** At the start of the area; where the buffers may start. */
  #placeCommands(): number {
    const at = alignUp((this.#options.area ?? this.engine.buffers).ptr, abi.CACHE_LINE);
    this.commands.place(at, COMMAND_BYTES, ANSWER_BYTES);
    this.#block.set(this.engine.wasm.NET_DRIVER_COMMANDS.value, at);
    return at + COMMAND_BYTES + ANSWER_BYTES;
  }

  /** Gives a queue its buffers or slots from `at` on; where they end. */
  #startQueue(index: number, queue: DriverQueue, at: number): number {
    const block = this.#queueBlock(index).ptr;
    this.#attachQueue(block, queue);
    const { count, each, stride, bytes } = this.#buffersOf(index, queue);
    this.engine.wasm.netDriverQueueBuffers(block, at, stride, each, count);
    return at + bytes;
  }

  /** How many buffers or slots a queue has, the bytes of each, how far they are apart, and the bytes of all. */
  #buffersOf(
    index: number,
    queue: DriverQueue,
  ): { count: number; each: number; stride: number; bytes: number } {
    const isSend = (index & 1) !== 0;
    const count = isSend ? queue.size : Math.min(queue.size, this.#options.receiveBuffers ?? queue.size);
    const each = isSend ? this.#slotBytes() : this.#receiveBytes();
    const lines = alignUp(each, abi.CACHE_LINE);
    // Buffers that all start at the same offset of a page get into each other's way in the cache.
    const stride = lines % 4096 === 0 ? lines + abi.CACHE_LINE : lines;
    return { count, each, stride, bytes: count * stride };
  }

  #attachQueue(block: number, queue: DriverQueue): void {
    const { net } = this.engine.limits;
    this.engine.wasm.netDriverQueueStart(
      block,
      queue.ptr,
      queue.format === "packed" ? 1 : 0,
      queue.staged.byteOffset,
      queue.staged.byteLength,
      queue.reclaimed.byteOffset,
      Math.min(queue.reclaimed.byteLength / abi.RECLAIM_RECORD, net?.records ?? 0),
    );
  }

  #slotBytes(): number {
    const { mtu } = this.config;
    return this.engine.wasm.NET_SLOT_HEADER.value + Math.max(SEGMENT_BYTES, mtu + 18);
  }

  /** N-D-12. */
  #receiveBytes(): number {
    const { features } = this.#host;
    const low = BigInt.asUintN(64, features);
    const least = this.engine.wasm.netReceiveBytes(low, features >> 64n, this.config.mtu);
    if (!(features & F.MRG_RXBUF)) return least;
    const bytes = this.#options.receiveBytes ?? 2048;
    if (bytes < least)
      throw new ConfigError(`receiveBytes is ${bytes}, but a header alone has ${least} (N-D-12)`);
    return bytes;
  }

  /** Shows the device what was added to the transmit (1) or the receive (0) queues. */
  #publish(direction: 0 | 1): void {
    const { u32 } = this.engine;
    let at = this.#addedAt;
    for (let queue = 0; queue < 2 * this.#pairs; queue++, at += this.#queueWords) {
      if ((queue & 1) !== direction || u32[at] === 0) continue;
      u32[at] = 0;
      this.#host.publish(queue);
    }
  }

  /** G-D-10: only fields of features that were negotiated are touched. */
  #readConfig(): NetConfig {
    const { features } = this.#host;
    const fields: { offset: number; bytes: number }[] = [];
    const want = (feature: bigint, offset: number, bytes: number): number =>
      features & feature ? fields.push({ offset, bytes }) - 1 : -1;
    const mac = want(F.MAC, spec.VIRTIO_NET_CONFIG_MAC, 6);
    const status = want(F.STATUS, spec.VIRTIO_NET_CONFIG_STATUS, 2);
    const pairs = want(F.MQ | F.RSS, spec.VIRTIO_NET_CONFIG_MAX_PAIRS, 2);
    const mtu = want(F.MTU, spec.VIRTIO_NET_CONFIG_MTU, 2);
    const speed = want(F.SPEED_DUPLEX, spec.VIRTIO_NET_CONFIG_SPEED, 4);
    const duplex = want(F.SPEED_DUPLEX, spec.VIRTIO_NET_CONFIG_DUPLEX, 1);
    const key = want(F.RSS | F.HASH_REPORT, spec.VIRTIO_NET_CONFIG_RSS_MAX_KEY, 1);
    const table = want(F.RSS, spec.VIRTIO_NET_CONFIG_RSS_MAX_TABLE, 2);
    const types = want(F.RSS | F.HASH_REPORT, spec.VIRTIO_NET_CONFIG_HASH_TYPES, 4);
    const read = this.#host.readConfigFields(fields);
    const number = (index: number, otherwise: number): number =>
      index < 0 ? otherwise : read[index].reduceRight((value, byte) => value * 256 + byte, 0);
    // N-D-02.
    const speedValue = number(speed, 0xffffffff);
    const duplexValue = number(duplex, 0xff);
    return {
      // N-D-01: an address of our own is locally administered.
      mac:
        mac < 0
          ? macBytes(this.#options.mac ?? Uint8Array.of(2, 0, 0, 0, 0, this.#options.device ?? 0))
          : read[mac],
      linkUp: status < 0 || (number(status, 0) & spec.VIRTIO_NET_S_LINK_UP) !== 0,
      maxPairs: number(pairs, 1),
      mtu: number(mtu, 0),
      speed: speedValue > 0x7fffffff ? null : speedValue,
      duplex: duplexValue === 0 ? "half" : duplexValue === 1 ? "full" : null,
      rssMaxKey: number(key, 0),
      rssMaxTable: number(table, 0),
      hashTypes: number(types, 0),
    };
  }
}
