/** One driver policy at work on real frames: an engine of its own, the queues, the wire, and exact counters. */
import * as abi from "../../assembly/abi.ts";
import type { DeviceQueue } from "../device-queue.ts";
import type { DriverQueue } from "../driver-queue.ts";
import { Engine, type EngineOptions } from "../engine.ts";
import { VringError } from "../errors.ts";
import { DEFAULT_FEATURES, Features } from "../features.ts";
import type { EngineLimits } from "../layout.ts";
import {
  NOTHING_COUNTED,
  type PathCounters,
  portCounters,
  sumCounters,
  withRate,
} from "./driver-counters.ts";
import { driverLimits, PortWriter } from "./driver-layout.ts";
import { type DriverBenchOptions, type DriverSettings, resolveOptions } from "./driver-options.ts";
import { type Operation, readOperations } from "./operations.ts";
import { MAPPED_BY_RING } from "./receive-buffers.ts";

export type { PathCounters } from "./driver-counters.ts";
export type { DriverBenchOptions, DriverSettings } from "./driver-options.ts";
export type { Operation } from "./operations.ts";
export { MAX_RX_FRAME, mostReceived } from "./receive-buffers.ts";

export interface LeakReport {
  ok: boolean;
  /** One line for each thing that did not come back. */
  leaks: string[];
}

/** More packets than a pass can have: the whole of it. */
const WHOLE_PASS = 0x7fff_ffff;

/** What `portsCheck` found, by its code. */
const UNSOUND: Readonly<Record<number, string>> = {
  [abi.PAGES_ALLOCATOR]: "the page allocator is damaged",
  [abi.PAGES_REFERENCES]: "a page has other references than its holders say",
  [abi.PAGES_COUNT]: "pages allocated are not pages freed and pages taken",
  [abi.PAGES_UNDERFLOW]: "more references to a page were put than taken",
  [abi.PAGES_PLACE]: "a page is in two places, or in none",
  [abi.PAGES_IN_RING]: "the rings have other buffers than the pages say",
};

export class DriverBench {
  readonly engine: Engine;
  readonly settings: DriverSettings;
  /** Packets of a pass, over all queues. */
  readonly packetsPerPass: number;
  /** The ports' places, and that of the list of them. */
  readonly ports: readonly number[];
  readonly #drivers: DriverQueue[] = [];
  readonly #devices: DeviceQueue[] = [];
  readonly #list: number;
  readonly #move: (ports: number, count: number, most: number) => number;
  readonly #tablesAtStart: readonly number[];
  /** Mappings of an IOMMU domain that stay: what driver and device share. */
  readonly #coherent: number;
  /** What the device moves of a frame when no digest is made (TOUCH_*). */
  readonly #touch: number;

  private constructor(engine: Engine, settings: DriverSettings) {
    this.engine = engine;
    this.settings = settings;
    const { wasm, devices } = engine;
    const { queues, receives, dma } = settings;
    this.packetsPerPass = queues.reduce((sum, frames) => sum + frames.length, 0);
    this.#move = receives ? wasm.portsReceive : wasm.portsTransmit;
    devices[0].setDma(dma);
    this.#connect();
    this.#tablesAtStart = this.drivers.map((driver) => driver.tablesListed());
    this.#coherent = this.#domainMappings();
    if (receives) {
      engine.u32[(engine.region("page control").ptr + wasm.PAGES_RESERVE.value) >>> 2] = settings.reserve;
    }
    const writer = new PortWriter(engine, settings);
    this.ports = this.drivers.map(({ ptr }, index) => writer.write(index, ptr, this.devices[index].ptr));
    this.#touch = this.#word(this.ports[0], wasm.PORT_TOUCH);
    this.#list = engine.region("ports").ptr;
    engine.u32.set(this.ports, this.#list >>> 2);
    this.#open();
  }

  /** The queues' halves. */
  get drivers(): readonly DriverQueue[] {
    return this.#drivers;
  }

  get devices(): readonly DeviceQueue[] {
    return this.#devices;
  }

  /**
   * @throws ConfigError for options that can't be, MemoryTooSmallError, and VringError `set-up` when what has to be
   * mapped or allocated before the first packet can't be.
   */
  static async create(options: DriverBenchOptions): Promise<DriverBench> {
    const { module, memoryBytes } = options;
    const settings = resolveOptions(options);
    const limits: EngineOptions = driverLimits(settings);
    return new DriverBench(await Engine.create({ ...limits, module, memoryBytes }), settings);
  }

  /** What an engine for these options reserves. @throws ConfigError */
  static limits(options: DriverBenchOptions): EngineLimits {
    return driverLimits(resolveOptions(options));
  }

  /** Packets of a burst as it will be run. @throws ConfigError */
  static batchOf(options: DriverBenchOptions): number {
    return resolveOptions(options).batch;
  }

  /** Runs whole passes, one engine call each; allocates nothing. @throws VringError when a queue stalls or breaks. */
  run(passes: number): void {
    for (let pass = 0; pass < passes; pass++) this.runSome(WHOLE_PASS);
  }

  /** Runs at most `packets` of each queue and goes on there next time; allocates nothing. @throws VringError */
  runSome(packets: number): void {
    if (this.#move(this.#list, this.ports.length, packets) !== 0) throw this.#stalled();
  }

  /**
   * The same where a program of the caller's may have handed over less: how many packets of all queues stayed behind.
   * @throws VringError when a queue broke
   */
  moveSome(packets: number): number {
    const behind = this.#move(this.#list, this.ports.length, packets);
    if (behind !== 0) this.#throwViolation();
    return behind;
  }

  /** Begins anew with the first frame of every queue; consumers drop what they hold. */
  rewind(): void {
    for (const port of this.ports) this.engine.wasm.portDigest(port, 0, this.#touch);
  }

  /** Posts every receive buffer that the rings have room for, so that counts are of the packets between two calls. */
  settle(): void {
    for (const port of this.ports) this.engine.wasm.portSettle(port);
  }

  /** Summed over the queues, with what belongs to the device. Allocates. */
  counters(): PathCounters {
    const { dma } = this.engine.devices[0];
    const { iotlbHits, iotlbMisses, invalidations, flushes, staleAccesses } = dma.counters();
    const queues = this.ports.map((_, queue) => this.queueCounters(queue));
    return { ...sumCounters(queues), iotlbHits, iotlbMisses, invalidations, flushes, staleAccesses };
  }

  /** Of one queue. Allocates. */
  queueCounters(queue: number): PathCounters {
    const { tableTakes, tableHits, heapFalls, directFalls, doorbells } = this.drivers[queue].counters();
    const { interrupts } = this.devices[queue].counters();
    return withRate({
      ...NOTHING_COUNTED,
      ...portCounters(this.engine, this.ports[queue], this.settings),
      ...{ tableTakes, tableHits, heapFalls, directFalls, doorbells, interrupts },
    });
  }

  /**
   * FNV-1a 64 for each queue over length and bytes of every packet that the far side gets in one pass, as 16 hex digits:
   * what `Fnv1a64.addPacket` makes of the queue's frames. Runs that pass, untimed, from the start of the frames.
   * @throws VringError when a packet changed while its consumer held it.
   */
  digests(): string[] {
    const { wasm, memory } = this.engine;
    const { receives } = this.settings;
    for (const port of this.ports) wasm.portDigest(port, 1, this.#touch);
    this.run(1);
    const view = new DataView(memory.buffer);
    return this.ports.map((port, queue) => {
      wasm.portDigest(port, 0, this.#touch);
      const consumer = this.#word(port, wasm.PORT_CONSUMER);
      const place = receives ? consumer + wasm.CONSUMER_DIGEST.value : port + wasm.PORT_DIGEST.value;
      if (receives && this.#word(consumer, wasm.CONSUMER_CORRUPTED) > 0) {
        throw new VringError("corrupted", `queue ${queue}: a packet changed while its consumer held it`);
      }
      return view.getBigUint64(place, true).toString(16).padStart(16, "0");
    });
  }

  /** Conservation, by walking: null when every page is where its references say, else what is wrong. */
  check(): string | null {
    const { wasm } = this.engine;
    if (!this.settings.receives) return null;
    const code = wasm.portsCheck(this.engine.region("page control").ptr, this.#list, this.ports.length);
    return code === abi.PAGES_SOUND ? null : UNSOUND[code];
  }

  /** Records from now on, and forgets what was. */
  restartTrace(): void {
    const { ptr } = this.engine.region("operation trace");
    this.engine.wasm.opTraceInit(ptr, this.settings.traceOps);
  }

  /** What was recorded, up to `traceOps`. Allocates. */
  operations(): Operation[] {
    return this.settings.traceOps > 0 ? readOperations(this.engine) : [];
  }

  /** Stops the queues, drops what consumers hold, unmaps and frees everything, and says what did not come back. */
  close(): LeakReport {
    const leaks: string[] = [];
    const expect = (what: string, found: number, right = 0): void => {
      if (found !== right) leaks.push(`${found} ${what}, but ${right} would be right`);
    };
    const running = this.ports.filter((_, queue) => this.drivers[queue].state !== "stopped");
    const unsound = running.length < this.ports.length ? null : this.check();
    if (unsound !== null) leaks.push(unsound);
    for (const port of running) this.engine.wasm.portClose(port);
    for (const [queue, driver] of this.drivers.entries()) {
      expect(`buffers outstanding in queue ${queue}`, driver.outstanding);
      const { liveTables } = driver.counters();
      expect(`live tables of queue ${queue}`, liveTables);
      if (this.settings.tables !== "grow") {
        expect(`listed tables of queue ${queue}`, driver.tablesListed(), this.#tablesAtStart[queue]);
      }
    }
    expect("live blocks of the heap", this.engine.heapLiveBlocks());
    expect("live mappings", this.engine.devices[0].dma.liveMappings);
    expect("mappings of the IOMMU domain that nobody counts", this.#domainMappings(), this.#coherent);
    if (this.settings.dma === "swiotlb") {
      const { wasm } = this.engine;
      expect(
        "slots of the bounce pool",
        this.#word(this.engine.region("bounce pool slots").ptr, wasm.POOL_USED),
      );
    }
    if (this.settings.application.kind !== "none") {
      for (const [queue, port] of this.ports.entries()) {
        const out = this.engine.wasm.framesOut(this.#word(port, this.engine.wasm.PORT_APP));
        expect(`frames and packets of the application that did not come back to queue ${queue}`, out);
      }
    }
    if (this.settings.receives) this.#expectPages(leaks, expect);
    if (this.engine.limits.pins) this.#expectPins(expect);
    if (this.engine.limits.copyJobs > 0) this.#expectJobs(expect);
    return { ok: leaks.length === 0, leaks };
  }

  /**
   * A device reset with whatever is under way: gives everything back as `close` does, says what did not come back, and
   * begins anew with the first frame of every queue. Also after `close`.
   * @throws VringError `set-up` as `create` does; then the queues stay stopped, and it can be called again.
   */
  reset(): LeakReport {
    const report = this.close();
    this.#connect();
    this.#open();
    return report;
  }

  #connect(): void {
    const { queues, format, ringSize, tables, threshold, tablesMapped } = this.settings;
    for (const index of queues.keys()) {
      const { driver, device } = this.engine.connect(index, {
        ...{ format, size: ringSize, tables, threshold, tablesMapped },
        features: featuresOf(this.settings),
        premapped: isPremapped(this.settings),
      });
      this.#drivers[index] = driver;
      this.#devices[index] = device;
    }
  }

  #open(): void {
    for (const [index, port] of this.ports.entries()) {
      if (this.engine.wasm.portOpen(port) !== 0) continue;
      // Those behind it have nothing to give back.
      for (const half of [...this.#drivers.slice(index), ...this.#devices.slice(index)]) half.stop();
      this.close();
      throw new VringError("set-up", this.#setUpFailure(index));
    }
  }

  #expectPages(leaks: string[], expect: (what: string, found: number, right?: number) => void): void {
    const { wasm } = this.engine;
    const control = this.engine.region("page control").ptr;
    const { pages, nodes } = this.settings;
    expect("free pages", this.#word(control, wasm.PAGES_FREE), nodes * Math.floor(pages / nodes));
    for (const [queue, port] of this.ports.entries()) {
      const consumer = this.#word(port, wasm.PORT_CONSUMER);
      const held = this.#word(consumer, wasm.CONSUMER_TAIL) - this.#word(consumer, wasm.CONSUMER_HEAD);
      expect(`packets held in queue ${queue}`, held);
    }
    const unsound = this.check();
    if (unsound !== null) leaks.push(`after the end: ${unsound}`);
  }

  #expectPins(expect: (what: string, found: number, right?: number) => void): void {
    const { wasm } = this.engine;
    const pins = this.engine.region("pins").ptr;
    expect("pinned pages", this.#word(pins, wasm.PINS_LIVE));
    expect("pins of pages, counted one by one", wasm.pinsSum(pins));
    expect("pins that were put and not taken", this.#word(pins, wasm.PINS_UNDERFLOWS));
    for (const [queue, port] of this.ports.entries()) {
      const host = this.#word(port, wasm.PORT_HOST);
      if (this.settings.host.kind === "passthru") {
        const ptr = this.#word(host, wasm.HOST_PASSTHRU_AT);
        expect(`requests of the interface of queue ${queue}`, wasm.passthruOutstanding(ptr));
        expect(`lost requests of the interface of queue ${queue}`, wasm.passthruLost(ptr));
        continue;
      }
      const flight = this.#word(host, wasm.HOST_FLIGHT);
      expect(`packets that the wire of queue ${queue} has`, this.#word(flight, wasm.IN_FLIGHT_COUNT));
    }
  }

  #expectJobs(expect: (what: string, found: number, right?: number) => void): void {
    const { wasm } = this.engine;
    for (const [queue, port] of this.ports.entries()) {
      const engine = this.#word(this.#word(port, wasm.PORT_HOST), wasm.HOST_COPY_ENGINE);
      const jobs =
        this.#word(engine, wasm.COPY_ENGINE_SUBMITTED) - this.#word(engine, wasm.COPY_ENGINE_POLLED);
      expect(`copy jobs of queue ${queue}`, jobs | 0);
      expect(
        `packets that the copy engine of queue ${queue} has`,
        this.#word(engine, wasm.COPY_ENGINE_PACKETS),
      );
    }
  }

  /** Mappings of the IOMMU domain that the DMA API's counters don't know. */
  #domainMappings(): number {
    const { dma } = this.engine.devices[0];
    const use = dma.domainUse();
    return use === null ? 0 : use.mappings - dma.liveMappings;
  }

  #throwViolation(): void {
    for (const half of [...this.devices, ...this.drivers]) {
      if (half.violation !== null) throw half.violation;
    }
  }

  #stalled(): VringError {
    this.#throwViolation();
    return new VringError("stalled", "no queue moved any more, with packets left to move");
  }

  #setUpFailure(index: number): string {
    const { mapFailures } = this.engine.devices[0].dma.counters();
    const why = mapFailures > 0 ? "the DMA backend could not map them" : "there are too few pages";
    return `queue ${index} could not be given its buffers: ${why}`;
  }

  #word(ptr: number, offset: { value: number }): number {
    return this.engine.u32[(ptr + offset.value) >>> 2];
  }
}

function featuresOf({ record, format }: DriverSettings): bigint {
  let features = DEFAULT_FEATURES;
  if (record.accessPlatform) features |= Features.ACCESS_PLATFORM;
  if (!record.indirect) features &= ~Features.INDIRECT_DESC;
  if (!record.eventIdx) features &= ~Features.EVENT_IDX;
  if (format === "packed") features |= Features.RING_PACKED;
  return features;
}

/** Whether what is staged is mapped by its kind of buffer, or at set-up, instead of by the ring. */
function isPremapped({ receives, postsFrames, record, rx, tx }: DriverSettings): boolean {
  if (!record.accessPlatform) return false;
  if (postsFrames) return true;
  return receives ? !MAPPED_BY_RING.includes(rx.kind) : tx.mapAt === "set-up";
}
