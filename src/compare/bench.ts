/** One case, ready to run: an engine of its own with the packets in it, and both halves of a queue. */
import { Bench } from "tinybench";
import { CACHE_LINE, TOUCH_COPY, TOUCH_DIGEST, TOUCH_HEADER, TOUCH_NONE } from "../../assembly/abi.ts";
import { VIRTQ_DESC_SIZE } from "../../assembly/spec.ts";
import type { DeviceQueue } from "../device-queue.ts";
import type { DriverQueue } from "../driver-queue.ts";
import { Engine, type EngineOptions } from "../engine.ts";
import { DEFAULT_FEATURES, Features } from "../features.ts";
import { alignUp, type EngineLimits, resolveLimits } from "../layout.ts";
import type { Arm } from "./arms.ts";
import { CompareFailure, CompareInputError } from "./errors.ts";
import type { Counters } from "./result.ts";
import { HEADER_BYTES, layOutTrace, planTrace, type TracePlan } from "./trace.ts";

/** Nodes that a queue is moved between. */
const NODES = 2;
/** Least packets of the counted run. */
const COUNTED_PACKETS = 100_000;
/** Least packets of one timed iteration: enough for a coarse clock, few enough for many samples. */
const ITERATION_PACKETS = 32_768;
/** No timer fires, and nobody can interrupt, while tinybench runs; so it runs for at most this long at a time. */
const SLICE_MS = 200;
/** FNV-1a 64: the digest of nothing. */
const FNV_BASIS = 0xcbf29ce484222325n;
const TOUCH_CODES = { none: TOUCH_NONE, header: TOUCH_HEADER, copy: TOUCH_COPY };

/**
 * Warming up, V8 counts calls and loops of a function, then compiles it again beside the run, and takes the
 * better code at a later call: many short calls, with pauses.
 */
const WARM = { turns: 4, calls: 200, packets: 64, ms: 10 };

/** A case and what it takes of an engine. */
export interface CasePlan {
  arm: Arm;
  trace: TracePlan;
  limits: EngineLimits;
}

export function planCase(arm: Arm, align: boolean): CasePlan {
  const { ringSize, batchRun, sg, threshold, moves, touch } = arm;
  const trace = planTrace(arm.traffic, sg, batchRun, align);
  // As many tables as can be out at once, each with the header and the alignment of its block.
  const block = alignUp(Math.max(sg, threshold) * VIRTQ_DESC_SIZE + 8, 16);
  const limits = resolveLimits({
    queueSize: ringSize,
    batch: batchRun,
    maxSgs: sg,
    threshold,
    nodes: moves ? NODES : 1,
    heapBytes: ringSize * block + 64,
    bufferBytes: trace.bufferBytes,
    scratchBytes: alignUp(trace.streamBytes, CACHE_LINE) + (touch === "copy" ? trace.longest : 0),
  });
  return { arm, trace, limits };
}

/** What walking the free lists and the heap finds. */
interface Inventory {
  tablesListed: number;
  heapBlocks: number;
}

type Totals = Counters & { packets: number };

export class CaseBench {
  readonly arm: Arm;
  readonly engine: Engine;
  readonly #trace: TracePlan;
  readonly #driver: DriverQueue;
  readonly #device: DeviceQueue;
  readonly #loop: number;
  readonly #call: (ptr: number, count: number) => number;
  readonly #atStart: Inventory;
  /** Passes of a timed iteration: an even number, so that a queue that moves is on each node as often. */
  readonly #passes: number;
  #node = 0;

  private constructor(engine: Engine, { arm, trace }: CasePlan) {
    this.arm = arm;
    this.engine = engine;
    this.#trace = trace;
    const { driver, device } = engine.connect(0, {
      format: arm.ring,
      features: arm.ring === "packed" ? DEFAULT_FEATURES | Features.RING_PACKED : DEFAULT_FEATURES,
      tables: arm.tables,
      tableAlways: arm.tables !== "direct",
    });
    this.#driver = driver;
    this.#device = device;
    this.#loop = engine.region("loop").ptr;
    this.#call = arm.ring === "split" ? engine.wasm.splitLoop : engine.wasm.packedLoop;
    this.#passes = evenPasses(ITERATION_PACKETS, trace.packets);
    this.#atStart = this.#inventory();
    layOutTrace(engine, trace, engine.scratch.ptr);
    this.#setUpLoop();
  }

  /** @throws CompareInputError when the system has no memory left. */
  static async create(
    plan: CasePlan,
    options: Pick<EngineOptions, "module" | "memoryBytes">,
  ): Promise<CaseBench> {
    try {
      return new CaseBench(await Engine.create({ ...plan.limits, ...options }), plan);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new CompareInputError(
        `the system has no memory for case ${plan.arm.id} (${error.message}); compare fewer cases or packets`,
      );
    }
  }

  /** Runs until the code is warm and the caches hold what they will hold. */
  async warmUp(): Promise<void> {
    const packets = Math.min(WARM.packets, this.#trace.packets);
    for (let turn = 0; turn < WARM.turns; turn++) {
      const end = performance.now() + WARM.ms;
      for (let call = 0; call < WARM.calls || performance.now() < end; call++) this.#pass(packets);
      await macrotask();
    }
    this.#node = 0;
    this.#run(2);
  }

  /** FNV-1a 64 over length and bytes of every packet, read through the addresses that the device half walked. */
  digest(): string {
    const { wasm, memory } = this.engine;
    const place = this.#loop + wasm.LOOP_DIGEST.value;
    new DataView(memory.buffer).setBigUint64(place, FNV_BASIS, true);
    this.#set(wasm.LOOP_TOUCH.value, TOUCH_DIGEST);
    this.#pass(this.arm.traffic.packets.length);
    this.#set(wasm.LOOP_TOUCH.value, TOUCH_CODES[this.arm.touch]);
    this.#node = 0;
    return new DataView(memory.buffer).getBigUint64(place, true).toString(16).padStart(16, "0");
  }

  /** The counters per packet of an untimed run of whole passes: exact, and the same every time. */
  count(): Counters {
    const before = this.#totals();
    this.#run(evenPasses(COUNTED_PACKETS, this.#trace.packets));
    return perPacket(before, this.#totals());
  }

  /**
   * Times whole passes for about `ms` milliseconds: ns per packet of every iteration; or null when `signal`
   * fired on the way. What the rings did must be `expected`.
   */
  async measure(
    ms: number,
    expected: Counters,
    signal: AbortSignal | undefined,
  ): Promise<{ nsPerPacket: number[]; packets: number } | null> {
    // What the other cases pushed out of the caches comes back before the clock runs.
    this.#run(2);
    const before = this.#totals();
    const nsPerPacket: number[] = [];
    for (let left = ms; left > 0; left -= SLICE_MS) {
      nsPerPacket.push(...this.#time(Math.min(left, SLICE_MS)));
      await macrotask();
      if (signal?.aborted) return null;
    }
    const after = this.#totals();
    this.#compareCounters(perPacket(before, after), expected);
    return { nsPerPacket, packets: after.packets - before.packets };
  }

  /**
   * Walks the free lists and the heap, stops the queue, and walks the heap again.
   * @throws CompareFailure when something is not where it was at the start.
   */
  checkLeaks(): void {
    const { engine } = this;
    const driver = this.#driver;
    const start = this.#atStart;
    const now = this.#inventory();
    // A `grow` cache takes its tables from the heap and keeps them: then each live block is a listed table.
    const listed = this.arm.tables === "grow" ? now.heapBlocks : start.tablesListed;
    const blocks = this.arm.tables === "grow" ? now.tablesListed : start.heapBlocks;
    this.#expect("tables in the free lists", now.tablesListed, listed);
    this.#expect("live blocks of the heap", now.heapBlocks, blocks);
    this.#expect("buffers outstanding", driver.outstanding, 0);
    this.#expect("free descriptors", driver.numFree, driver.size);
    driver.stop();
    this.#device.stop();
    this.#expect("buffers to detach", driver.detach().length, 0);
    this.#expect("live blocks of the heap after the queue's end", engine.heapLiveBlocks(), 0);
    if (!engine.heapIsSound()) throw new CompareFailure("leak", `${this.arm.id}: the heap is damaged`);
  }

  #expect(what: string, found: number, right: number): void {
    if (found === right) return;
    throw new CompareFailure("leak", `${this.arm.id} leaks: ${found} ${what}, but ${right} would be right`);
  }

  #setUpLoop(): void {
    const { engine } = this;
    const { wasm } = engine;
    const popped = engine.region("queue 0 staging popped");
    this.#set(wasm.LOOP_DRIVER.value, this.#driver.ptr);
    this.#set(wasm.LOOP_DEVICE.value, this.#device.ptr);
    this.#set(wasm.LOOP_STREAM.value, engine.scratch.ptr);
    this.#set(wasm.LOOP_BATCH.value, this.arm.batchRun);
    this.#set(wasm.LOOP_POPPED.value, popped.ptr);
    this.#set(wasm.LOOP_POPPED_BYTES.value, popped.bytes);
    this.#set(wasm.LOOP_RECLAIMED.value, engine.region("queue 0 staging reclaimed").ptr);
    this.#set(wasm.LOOP_TARGET.value, engine.scratch.ptr + alignUp(this.#trace.streamBytes, CACHE_LINE));
    this.#set(wasm.LOOP_HEADER_BYTES.value, HEADER_BYTES);
    this.#set(wasm.LOOP_TOUCH.value, TOUCH_CODES[this.arm.touch]);
    // Both halves ask for a notification after every burst, so that doorbells and interrupts are real.
    this.#set(wasm.LOOP_REARM.value, 1);
  }

  #set(offset: number, value: number): void {
    this.engine.u32[(this.#loop + offset) >>> 2] = value;
  }

  #run(passes: number): void {
    for (let pass = 0; pass < passes; pass++) this.#pass(this.#trace.packets);
  }

  /** @throws CompareFailure when not every buffer came back. */
  #pass(packets: number): void {
    if (this.arm.moves) {
      this.#driver.moveToNode(this.#node);
      this.#node = (this.#node + 1) % NODES;
    }
    const back = this.#call(this.#loop, packets);
    if (back === packets) return;
    const fault = this.#device.violation ?? this.#driver.violation ?? this.#driver.refusal;
    throw new CompareFailure(
      "stalled",
      `${this.arm.id}: ${back} of ${packets} buffers came back: ${fault?.message ?? "no half moved any more"}`,
    );
  }

  /** Time per packet of iterations that together take about `ms`. */
  #time(ms: number): number[] {
    const packets = this.#passes * this.#trace.packets;
    const bench = new Bench({ time: ms, iterations: 1, warmup: false, retainSamples: true, throws: true });
    // Told that the function is synchronous, tinybench does not call it to find out.
    bench.add(this.arm.id, () => this.#run(this.#passes), { async: false });
    const { result } = bench.runSync()[0];
    const samples = result.state === "completed" ? result.latency.samples : undefined;
    if (samples === undefined)
      throw new Error(`tinybench gave no samples for ${this.arm.id}: ${result.state}`);
    return samples.map((milliseconds) => (milliseconds * 1e6) / packets);
  }

  #totals(): Totals {
    const driver = this.#driver.counters();
    const { tableTakes, tableHits, heapFalls, directFalls, localTakes, remoteTakes, doorbells } = driver;
    const { interrupts } = this.#device.counters();
    return {
      packets: driver.reclaimed,
      tableTakes,
      tableHits,
      heapFalls,
      directFalls,
      localTakes,
      remoteTakes,
      doorbells,
      interrupts,
    };
  }

  #compareCounters(timed: Counters, expected: Counters): void {
    for (const name of Object.keys(expected) as (keyof Counters)[]) {
      if (timed[name] === expected[name]) continue;
      throw new CompareFailure(
        "counters",
        `${this.arm.id}: ${name} per packet is ${timed[name]} in the timed round, but ${expected[name]} when counted`,
      );
    }
  }

  #inventory(): Inventory {
    return { tablesListed: this.#driver.tablesListed(), heapBlocks: this.engine.heapLiveBlocks() };
  }
}

/** The turn in which timers, signals and V8's compiler get a word in. */
export function macrotask(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** The least even number of passes with at least `packets` packets. */
function evenPasses(packets: number, perPass: number): number {
  return 2 * Math.ceil(packets / (2 * perPass));
}

/** Both runs are whole passes, so equal quotients are equal as floating-point numbers, too. */
function perPacket(before: Totals, after: Totals): Counters {
  const packets = after.packets - before.packets;
  const quotient = (name: keyof Counters): number => (after[name] - before[name]) / packets;
  return {
    tableTakes: quotient("tableTakes"),
    tableHits: quotient("tableHits"),
    heapFalls: quotient("heapFalls"),
    directFalls: quotient("directFalls"),
    localTakes: quotient("localTakes"),
    remoteTakes: quotient("remoteTakes"),
    doorbells: quotient("doorbells"),
    interrupts: quotient("interrupts"),
  };
}
