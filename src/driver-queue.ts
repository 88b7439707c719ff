import * as abi from "../assembly/abi.ts";
import type { Engine } from "./engine.ts";
import { ConfigError, RefusedError } from "./errors.ts";
import { Features, queueFlags } from "./features.ts";
import type { Region } from "./layout.ts";
import { type RingFormat, TABLE_SOURCES, type TableSource } from "./names.ts";
import { madeWith, QueueHalf, ringOf, type Segment } from "./queue.ts";

export interface DriverQueueConfig {
  /** Default `split`; RING_PACKED in `features` says the same. */
  format?: RingFormat;
  /** Entries of the ring; default: the most that were reserved. */
  size?: number;
  /** Negotiated features; default VERSION_1, INDIRECT_DESC and EVENT_IDX. */
  features?: bigint;
  /** Where indirect tables come from; default `freelist`. */
  tables?: TableSource;
  /** Most elements of a cached table, 0 to 19; default: what was reserved. Larger packets use the heap. */
  threshold?: number;
  /** Take a table for one element too, as the table arms of a comparison do. Default false. */
  tableAlways?: boolean;
  /** Keep the first element of a buffer with a table direct (split only). Default false. */
  directHead?: boolean;
  /**
   * With ACCESS_PLATFORM: the elements of staged buffers are handles of `device.dma`, mapped and unmapped by the
   * caller; only tables are mapped here. Default false.
   */
  premapped?: boolean;
  /** With ACCESS_PLATFORM: cached tables are mapped once, and synced at each use (ours). Default false. */
  tablesMapped?: boolean;
  /** The virtio device that the queue belongs to. Default 0. */
  device?: number;
  /** What a kick carries in place of the queue's index under NOTIF_CONFIG_DATA. */
  notifyId?: number;
  /**
   * Whether the half goes by what its driver knows of the device (`VirtioDevice.driverView`) and not by the device's
   * own block, as behind a transport. Default false.
   */
  behindTransport?: boolean;
}

const DEFAULT_TABLES: TableSource = "freelist";

/** A buffer that came back: the token given at add, and the bytes that the device wrote. */
export interface UsedBuffer {
  token: number;
  len: number;
}

export interface DriverCounters {
  added: number;
  reclaimed: number;
  publishes: number;
  doorbells: number;
  /** Indirect tables taken, and how many of them a cache served. */
  tableTakes: number;
  tableHits: number;
  /** Tables that a cache could not serve and the heap did; buffers that got none and went direct. */
  heapFalls: number;
  directFalls: number;
  /** Tables from the node that the queue runs on, and from another. */
  localTakes: number;
  remoteTakes: number;
  liveTables: number;
  highWater: number;
  /** Used lengths above what the buffer could hold (H-D-03). */
  clampedLengths: number;
}

/**
 * The driver half of a virtqueue.
 *
 * Burst calls (`addBurst`, `publish`, `reclaimBurst`) allocate nothing: the caller writes records
 * into `staged`, and reads them from `reclaimed`. `add` and `reclaim` are the comfortable way to
 * do the same; they allocate.
 */
export class DriverQueue extends QueueHalf {
  readonly format: RingFormat;
  readonly features: bigint;
  /** Places of the descriptor, driver and device area, as bus addresses for the device. */
  readonly addresses: { desc: bigint; driverArea: bigint; deviceArea: bigint };
  /** Lines to show the user: the cache that could not be had. */
  readonly warnings: string[] = [];
  readonly #staged: number;
  readonly #reclaimed: number;
  readonly #calls: DriverCalls;
  /** What of the notification data a kick carries: asked for at each kick, a feature word or a choice made garbage. */
  readonly #kickMask: number;
  #stagedView: Uint32Array;
  #reclaimedView: Uint32Array;

  /**
   * @internal Made by `Engine.driverQueue` and `Engine.connect`; without a config by `Engine.restoredDriverQueue`,
   * over a control block as it stands.
   */
  constructor(engine: Engine, index: number, config: DriverQueueConfig | null) {
    super(engine, index, engine.region(`queue ${index} driver`).ptr, config && (config.device ?? 0));
    const stored = madeWith(engine, index, "driver");
    const { format, features } = ringOf(config ?? { features: stored.read() });
    this.format = format;
    this.features = features;
    this.#kickMask = this.features & Features.NOTIFICATION_DATA ? -1 : 0xffff;
    if (config !== null) checkConfig(config, format, this.#maps);
    this.#calls = driverCalls(engine.wasm, format);
    this.#stagedView = engine.words(`queue ${index} staging add`);
    this.#reclaimedView = engine.words(`queue ${index} staging reclaimed`);
    this.#staged = this.#stagedView.byteOffset;
    this.#reclaimed = this.#reclaimedView.byteOffset;
    // Nothing of a queue that runs, or whose buffers are out, is overwritten.
    if (config !== null) {
      if (this.state !== "stopped") throw new RefusedError(abi.R_QUEUE_LIVE, index, 0);
      if (this.outstanding !== 0) throw new RefusedError(abi.R_OUTSTANDING, index, 0);
    }
    const bus = this.#busAddresses();
    this.addresses = { desc: bus("descriptor"), driverArea: bus("driver"), deviceArea: bus("device") };
    if (config === null) return;
    stored.write(features, format);
    this.#configure(config);
    this.#configureTables(config);
    const refusal = this.#calls.enable(this.ptr);
    if (refusal !== abi.OK) throw new RefusedError(refusal, index, 0);
    this.#warn(config);
  }

  #warn({
    tables = DEFAULT_TABLES,
    threshold = this.engine.limits.threshold,
    tablesMapped,
  }: DriverQueueConfig): void {
    const { engine, index } = this;
    const off = this.word(engine.wasm.DRIVER_CACHE_OFF.value) !== 0;
    if (off) {
      this.warnings.push(
        `queue ${index}: ${engine.region(`queue ${index} tables`).bytes} bytes are reserved for tables, too few for ` +
          `a ${tables} of ${this.size} x ${threshold} entries; it runs with the cache off`,
      );
    }
    const cached = !off && threshold > 0 && ["freelist", "slot", "per-node"].includes(tables);
    if (tablesMapped && cached && this.word(engine.wasm.DRIVER_MAPPED_BYTES.value) === 0) {
      this.warnings.push(
        `queue ${index}: its tables can't be mapped in one piece; each is mapped with its buffer`,
      );
    }
  }

  #configure(config: DriverQueueConfig): void {
    const { engine, index, device } = this;
    const { wasm, limits } = engine;
    const place = (name: string): number => engine.region(`queue ${index} ${name}`).ptr;
    let flags = queueFlags(this.#maps ? this.features : this.features & ~Features.ACCESS_PLATFORM);
    if (config.directHead) flags |= abi.QUEUE_F_DIRECT_HEAD;
    if (config.premapped) flags |= abi.QUEUE_F_PREMAPPED;
    if (config.tablesMapped) flags |= abi.QUEUE_F_TABLES_MAPPED;
    this.setWord(wasm.QUEUE_FLAGS.value, flags);
    this.setWord(wasm.QUEUE_SIZE.value, config.size ?? limits.queueSize);
    this.setWord(wasm.QUEUE_CAPACITY.value, limits.queueSize);
    this.setWord(wasm.QUEUE_INDEX.value, index);
    this.setWord(wasm.QUEUE_NOTIFY_ID.value, config.notifyId ?? index);
    this.setWord(wasm.QUEUE_DEVICE.value, config.behindTransport ? device.driverView : device.ptr);
    this.setWord(wasm.QUEUE_SPACE.value, device.space);
    this.setWord(wasm.QUEUE_DESC.value, place("descriptor area"));
    this.setWord(wasm.QUEUE_DRIVER_AREA.value, place("driver area"));
    this.setWord(wasm.QUEUE_DEVICE_AREA.value, place("device area"));
    this.setWord(wasm.QUEUE_RECORDS.value, place("driver records"));
    if (!this.#maps) return;
    this.setWord(wasm.DRIVER_MAPPINGS.value, place("driver mappings"));
    this.setWord(wasm.DRIVER_MAPPING_STRIDE.value, wasm.mappingBytes(limits.maxSgs));
  }

  #configureTables(config: DriverQueueConfig): void {
    const { engine, index } = this;
    const { wasm, limits } = engine;
    const tables = engine.region(`queue ${index} tables`);
    this.setWord(wasm.DRIVER_SOURCE.value, TABLE_SOURCES[config.tables ?? DEFAULT_TABLES]);
    this.setWord(wasm.DRIVER_TABLE_MIN.value, config.tableAlways ? 1 : 2);
    this.setWord(wasm.DRIVER_THRESHOLD.value, config.threshold ?? limits.threshold);
    this.setWord(wasm.DRIVER_TABLES.value, tables.ptr);
    this.setWord(wasm.DRIVER_TABLES_RESERVED.value, tables.bytes);
    this.setWord(wasm.DRIVER_HEAP.value, engine.region("heap control").ptr);
    this.setWord(wasm.DRIVER_NODES.value, limits.nodes);
    this.setWord(wasm.DRIVER_NODE.value, 0);
    for (let node = 0; node < limits.nodes; node++) {
      this.setWord(
        wasm.DRIVER_STACK_0.value + 4 * node,
        engine.region(`queue ${index} free tables, node ${node}`).ptr,
      );
    }
  }

  /** Records for `addBurst`: token, readable count | writable count << 16, then {ptr, bytes} for each element. */
  get staged(): Uint32Array {
    if (this.#stagedView.length === 0)
      this.#stagedView = this.engine.words(`queue ${this.index} staging add`);
    return this.#stagedView;
  }

  /** Records of `reclaimBurst` and `detachBurst`: {token, bytes written}. */
  get reclaimed(): Uint32Array {
    if (this.#reclaimedView.length === 0) {
      this.#reclaimedView = this.engine.words(`queue ${this.index} staging reclaimed`);
    }
    return this.#reclaimedView;
  }

  /**
   * Adds up to `count` staged buffers; how many. It stops early at a full ring, at a record that
   * breaks a rule (see `refusal`), or when the queue is broken (see `violation`). Nothing is seen
   * by the device before `publish` or the next reclaim, which shows it but decides on no kick.
   */
  addBurst(count: number): number {
    return this.#calls.add(this.ptr, this.#staged, count);
  }

  /**
   * Shows the device what was added; whether it wants a kick. Decide at least once in 32768 buffers:
   * the split event test counts modulo 2^16.
   */
  publish(): boolean {
    return this.#calls.publish(this.ptr) !== 0;
  }

  /** Takes back up to `max` used buffers, at most the batch of the engine, into `reclaimed`; how many. */
  reclaimBurst(max: number): number {
    return this.#calls.reclaim(this.ptr, this.#reclaimed, Math.min(max, this.engine.limits.batch));
  }

  /**
   * Adds one buffer. Allocates. False when the ring is full.
   * @throws RefusedError for a buffer that breaks a rule, QueueBrokenError on a broken queue.
   */
  add(buffer: { readable?: readonly Segment[]; writable?: readonly Segment[]; token: number }): boolean {
    const readable = buffer.readable ?? [];
    const writable = buffer.writable ?? [];
    const words = this.staged;
    const room = (words.length * 4 - abi.ADD_HEADER) / abi.SEGMENT;
    if (readable.length + writable.length > room) throw new RefusedError(abi.R_TOO_MANY_SGS, this.index, 0);
    let at = 0;
    words[at++] = buffer.token;
    words[at++] = readable.length | (writable.length << 16);
    for (const { ptr, bytes } of [...readable, ...writable]) {
      words[at++] = ptr;
      words[at++] = bytes;
    }
    if (this.addBurst(1) === 1) return true;
    this.throwFaults();
    if (this.state !== "live") throw new RefusedError(abi.R_QUEUE_NOT_LIVE, this.index, 0);
    return false;
  }

  /** Takes back what is used, at most one batch of the engine. Allocates. @throws QueueBrokenError */
  reclaim(): UsedBuffer[] {
    const count = this.reclaimBurst(this.engine.limits.batch);
    if (count === 0 && this.violation !== null) throw this.violation;
    return this.#records(count);
  }

  /** Asks for an interrupt after `after` further used buffers (split) or slots (packed); whether there is work already. */
  arm(after = 0): boolean {
    return this.#calls.arm(this.ptr, after) !== 0;
  }

  /** Asks for no interrupts. */
  suppress(): void {
    this.#calls.suppress(this.ptr);
  }

  /** The value of a kick (2.9): 16 bits, or 32 with NOTIFICATION_DATA. */
  notificationData(): number {
    return (this.#calls.notificationData(this.ptr) & this.#kickMask) >>> 0;
  }

  /** Takes back up to a batch of the outstanding buffers of a stopped queue into `reclaimed`; how many. */
  detachBurst(): number {
    return this.#calls.detach(this.ptr, this.#reclaimed, this.engine.limits.batch);
  }

  /** All outstanding tokens of a stopped queue. Allocates. @throws RefusedError on a queue that runs (G-D-16). */
  detach(): number[] {
    const tokens: number[] = [];
    for (;;) {
      const count = this.detachBurst();
      if (count === 0) break;
      for (const { token } of this.#records(count)) tokens.push(token);
    }
    if (this.state !== "stopped") throw new RefusedError(abi.R_QUEUE_LIVE, this.index, 0);
    return tokens;
  }

  /** Moves the queue to another NUMA node; at any time. */
  moveToNode(node: number): void {
    if (!Number.isInteger(node) || node < 0 || node >= this.engine.limits.nodes) {
      throw new ConfigError(`node is ${node}, but must be below ${this.engine.limits.nodes}`);
    }
    this.setWord(this.engine.wasm.DRIVER_NODE.value, node);
  }

  /** Buffers that the device has. */
  get outstanding(): number {
    return this.word(this.engine.wasm.DRIVER_OUTSTANDING.value);
  }

  /** Free descriptors. */
  get numFree(): number {
    return this.word(this.engine.wasm.DRIVER_NUM_FREE.value);
  }

  /** Tables in the free lists, counted by walking them. */
  tablesListed(): number {
    return this.engine.wasm.tablesListed(this.ptr);
  }

  /** All counters. Allocates. */
  counters(): DriverCounters {
    const { wasm } = this.engine;
    const tableTakes = this.counter(wasm.DRIVER_TABLE_TAKES.value);
    const remoteTakes = this.counter(wasm.DRIVER_REMOTE_TAKES.value);
    return {
      added: this.counter(wasm.DRIVER_ADDED.value),
      reclaimed: this.counter(wasm.DRIVER_RECLAIMED.value),
      publishes: this.counter(wasm.DRIVER_PUBLISHES.value),
      doorbells: this.counter(wasm.DRIVER_DOORBELLS.value),
      tableTakes,
      tableHits: tableTakes - this.counter(wasm.DRIVER_TABLE_MISSES.value),
      heapFalls: this.counter(wasm.DRIVER_HEAP_FALLS.value),
      directFalls: this.counter(wasm.DRIVER_DIRECT_FALLS.value),
      localTakes: tableTakes - remoteTakes,
      remoteTakes,
      liveTables: this.word(wasm.DRIVER_LIVE_TABLES.value),
      highWater: this.word(wasm.DRIVER_HIGH_WATER.value),
      clampedLengths: this.counter(wasm.DRIVER_CLAMPED_LENGTHS.value),
    };
  }

  /**
   * Whether buffers are mapped for the device. An engine without `dma` has only devices that reach memory directly:
   * there is nothing to map then, whatever was negotiated.
   */
  get #maps(): boolean {
    return (this.features & Features.ACCESS_PLATFORM) !== 0n && this.engine.limits.dma !== null;
  }

  /** What the device calls the areas of the ring: with ACCESS_PLATFORM its backend has a say. */
  #busAddresses(): (area: string) => bigint {
    const { engine, index, device } = this;
    const area = (name: string): Region => engine.region(`queue ${index} ${name} area`);
    if (!this.#maps) return (name) => device.busAddress(area(name).ptr);
    const { ptr } = area("descriptor");
    const handle = device.dma.rings(index);
    return (name) => device.dma.busAddress(handle + (area(name).ptr - ptr));
  }

  #records(count: number): UsedBuffer[] {
    const words = this.reclaimed;
    return Array.from({ length: count }, (_, i) => ({ token: words[2 * i], len: words[2 * i + 1] }));
  }
}

function checkConfig(config: DriverQueueConfig, format: RingFormat, maps: boolean): void {
  const { tables = DEFAULT_TABLES, directHead, notifyId = 0 } = config;
  for (const name of ["premapped", "tablesMapped"] as const) {
    if (config[name] && !maps)
      throw new ConfigError(
        `${name} needs ACCESS_PLATFORM, and an engine with dma: without them nothing is mapped`,
      );
  }
  if (!Object.hasOwn(TABLE_SOURCES, tables)) {
    throw new ConfigError(
      `tables is "${tables}", but must be one of ${Object.keys(TABLE_SOURCES).join(", ")}`,
    );
  }
  if (directHead && format === "packed") {
    throw new ConfigError(
      "directHead is for split rings: a packed list must not hold an INDIRECT descriptor (P-D-08)",
    );
  }
  if (!Number.isInteger(notifyId) || notifyId < 0 || notifyId > 0xffff) {
    throw new ConfigError(`notifyId is ${notifyId}, but must be a whole number from 0 to 65535`);
  }
}

interface DriverCalls {
  enable(ptr: number): number;
  add(ptr: number, stream: number, count: number): number;
  publish(ptr: number): number;
  reclaim(ptr: number, out: number, max: number): number;
  arm(ptr: number, after: number): number;
  suppress(ptr: number): void;
  notificationData(ptr: number): number;
  detach(ptr: number, out: number, max: number): number;
}

function driverCalls(wasm: Engine["wasm"], format: RingFormat): DriverCalls {
  return format === "split"
    ? {
        enable: wasm.splitDriverEnable,
        add: wasm.splitDriverAdd,
        publish: wasm.splitDriverPublish,
        reclaim: wasm.splitDriverReclaim,
        arm: wasm.splitDriverArm,
        suppress: wasm.splitDriverSuppress,
        notificationData: wasm.splitDriverNotificationData,
        detach: wasm.splitDriverDetach,
      }
    : {
        enable: wasm.packedDriverEnable,
        add: wasm.packedDriverAdd,
        publish: wasm.packedDriverPublish,
        reclaim: wasm.packedDriverReclaim,
        arm: wasm.packedDriverArm,
        suppress: wasm.packedDriverSuppress,
        notificationData: wasm.packedDriverNotificationData,
        detach: wasm.packedDriverDetach,
      };
}
