/** Driver benches over generated frames, and what they count for a packet. */
import { Fnv1a64 } from "../../src/net/digest.ts";
import { fixedTraffic } from "../../src/net/traffic.ts";
import {
  DriverBench,
  type DriverBenchOptions,
  MAX_RX_FRAME,
  mostReceived,
  type PathCounters,
} from "../../src/system/driver-bench.ts";
import {
  type Direction,
  DRIVER_RECORDS,
  type DriverRecord,
  directionsOf,
  RX_KINDS,
  SYSTEM_RECORDS,
  type SystemRecord,
} from "../../src/system/records.ts";
import { wasmModule } from "./engine.ts";

/** Kinds of receive buffer that every driver can have: each buffer holds a frame. */
export const PLAIN_KINDS = RX_KINDS.filter(
  (kind) => mostReceived({ kind, mergeable: false }) === MAX_RX_FRAME,
);

/** Frames of one size, all different. */
export function framesOf(bytes: number, count: number, seed = 1): Uint8Array[] {
  return fixedTraffic(bytes, { count, seed }).packets.map(({ data }) => data);
}

export interface BenchOptions extends Partial<Omit<DriverBenchOptions, "record" | "queues">> {
  /** A record, or the name of one. */
  driver: string | DriverRecord | SystemRecord;
  direction: "tx" | "rx";
  /** Bytes of a frame; default 1518. */
  bytes?: number;
  /** Frames of a pass, on one queue; default 1024. */
  count?: number;
  queues?: readonly (readonly Uint8Array[])[];
}

export async function driverBench(options: BenchOptions): Promise<DriverBench> {
  const { driver, bytes = 1518, count = 1024, queues = [framesOf(bytes, count)], ...rest } = options;
  return DriverBench.create({
    dma: "direct",
    // Less than Linux's default, so that hundreds of benches are made quickly.
    poolBytes: 8 << 20,
    module: await wasmModule("vring"),
    ...rest,
    record: typeof driver === "string" ? DRIVER_RECORDS[driver] : driver,
    queues,
  });
}

/** What `passes` count for a packet, after as many to warm up; only what isn't 0. */
export function ratesOf(bench: DriverBench, passes = 4): Partial<PathCounters> {
  bench.run(passes);
  return ratesWhile(bench, () => bench.run(passes));
}

/** What `action` counts for a packet; only what isn't 0. */
export function ratesWhile(bench: DriverBench, action: () => void): Partial<PathCounters> {
  // Refills come in batches: between two moments at which all is posted the counts are those of the packets.
  bench.settle();
  const before = bench.counters();
  action();
  bench.settle();
  return perPacket(before, bench.counters());
}

export function perPacket(before: PathCounters, after: PathCounters): Partial<PathCounters> {
  const packets = after.packets - before.packets;
  const rates: Partial<PathCounters> = {};
  for (const name of Object.keys(after) as (keyof PathCounters)[]) {
    if (after[name] !== before[name]) rates[name] = (after[name] - before[name]) / packets;
  }
  const reused = after.pagesReused - before.pagesReused;
  const posted = reused + after.pagesAllocated - before.pagesAllocated;
  delete rates.reuseRate;
  if (reused > 0) rates.reuseRate = reused / posted;
  return rates;
}

export function digestOf(frames: readonly Uint8Array[]): string {
  const digest = new Fnv1a64();
  for (const frame of frames) digest.addPacket(frame);
  return digest.hex();
}

/** Words of a bench's control blocks, which tests turn while it runs. */
export class Knobs {
  readonly #bench: DriverBench;
  constructor(bench: DriverBench) {
    this.#bench = bench;
  }

  #set(ptr: number, { value: offset }: { value: number }, value: number): void {
    this.#bench.engine.u32[(ptr + offset) >>> 2] = value;
  }
  #of(port: number, { value: offset }: { value: number }): number {
    return this.#bench.engine.u32[(port + offset) >>> 2];
  }
  #eachConsumer(offset: { value: number }, value: number): void {
    const { engine, ports } = this.#bench;
    for (const port of ports) this.#set(this.#of(port, engine.wasm.PORT_CONSUMER), offset, value);
  }

  hold(packets: number): void {
    this.#eachConsumer(this.#bench.engine.wasm.CONSUMER_HOLD, packets);
  }
  random(on: boolean): void {
    this.#eachConsumer(this.#bench.engine.wasm.CONSUMER_RANDOM, Number(on));
  }
  node(node: number): void {
    const { engine, ports } = this.#bench;
    for (const port of ports) this.#set(this.#of(port, engine.wasm.PORT_RX), engine.wasm.RX_RING_NODE, node);
  }
  reserve(pages: number): void {
    const { engine } = this.#bench;
    this.#set(engine.region("page control").ptr, engine.wasm.PAGES_RESERVE, pages);
  }
  /** The `count`th page allocation from now fails. */
  failPage(count: number): void {
    const { engine } = this.#bench;
    this.#set(engine.region("page control").ptr, engine.wasm.PAGES_FAIL_IN, count);
  }
  /** The `count`th pin from now fails. */
  failPin(count: number): void {
    const { engine } = this.#bench;
    this.#set(engine.region("pins").ptr, engine.wasm.PINS_FAIL_IN, count);
  }
  /** The `count`th packet of a queue from now on that the wire is to take from the guest's pages can't be. */
  failInFlight(count: number, queue = 0): void {
    const { engine, ports } = this.#bench;
    const host = this.#of(ports[queue], engine.wasm.PORT_HOST);
    this.#set(this.#of(host, engine.wasm.HOST_FLIGHT), engine.wasm.IN_FLIGHT_FAIL_IN, count);
  }
  /** The `count`th job of a queue's copy engine from now fails. */
  failJob(count: number, queue = 0): void {
    const { engine, ports } = this.#bench;
    const host = this.#of(ports[queue], engine.wasm.PORT_HOST);
    this.#set(this.#of(host, engine.wasm.HOST_COPY_ENGINE), engine.wasm.COPY_ENGINE_FAIL_IN, count);
  }
  /** The `count`th mapping from now fails. */
  failMap(count: number): void {
    this.#bench.engine.devices[0].dma.failIn(count);
  }
}

/** Names of the drivers that are about a direction. */
export function driversOf(direction: Direction): string[] {
  return Object.keys(DRIVER_RECORDS).filter((name) => directionsOf(SYSTEM_RECORDS[name]).includes(direction));
}
