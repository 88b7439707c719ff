/** A case that moves its packets through a bare ring: both halves of one queue, driven by the engine's own loop. */
import { CACHE_LINE, TOUCH_COPY, TOUCH_DIGEST, TOUCH_HEADER, TOUCH_NONE } from "../../assembly/abi.ts";
import { VIRTQ_DESC_SIZE } from "../../assembly/spec.ts";
import type { DeviceQueue } from "../device-queue.ts";
import type { DriverQueue } from "../driver-queue.ts";
import { Engine } from "../engine.ts";
import { DEFAULT_FEATURES, Features } from "../features.ts";
import { alignUp, resolveLimits } from "../layout.ts";
import { type CaseLoop, type CasePlan, type Counted, expectNoLeak, perPacket } from "./bench.ts";
import { CompareFailure } from "./errors.ts";
import type { Counters } from "./result.ts";
import type { RingArm } from "./ring-arms.ts";
import { HEADER_BYTES, layOutTrace, planTrace, type TracePlan } from "./trace.ts";

/** Nodes that a queue is moved between. */
const NODES = 2;
/** FNV-1a 64: the digest of nothing. */
const FNV_BASIS = 0xcbf29ce484222325n;
const TOUCH_CODES = { none: TOUCH_NONE, header: TOUCH_HEADER, copy: TOUCH_COPY };

/** `digest` is the traffic's, which is the same for all cases. */
export function planRingCase(arm: RingArm, digest: string, align: boolean): CasePlan {
  const { ring, tables, sg, frame, batch, batchRun, ringSize, threshold, touch, moves } = arm;
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
  return {
    arm,
    fields: { ring, tables, sg, frame, batch, batchRun, ringSize, threshold, touch },
    published: false,
    limits,
    bytesPerPacket: arm.traffic.bytes / arm.traffic.packets.length,
    digest,
    start: async (options) => new RingLoop(await Engine.create({ ...limits, ...options }), arm, trace),
  };
}

/** What walking the free lists and the heap finds. */
interface Inventory {
  tablesListed: number;
  heapBlocks: number;
}

class RingLoop implements CaseLoop {
  readonly engine: Engine;
  readonly packets: number;
  readonly #arm: RingArm;
  readonly #trace: TracePlan;
  readonly #driver: DriverQueue;
  readonly #device: DeviceQueue;
  readonly #loop: number;
  readonly #call: (ptr: number, count: number) => number;
  readonly #atStart: Inventory;
  #node = 0;

  constructor(engine: Engine, arm: RingArm, trace: TracePlan) {
    this.#arm = arm;
    this.engine = engine;
    this.#trace = trace;
    this.packets = trace.packets;
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
    this.#atStart = this.#inventory();
    layOutTrace(engine, trace, engine.scratch.ptr);
    this.#setUpLoop();
  }

  slack(): number {
    return 0;
  }

  run(passes: number): void {
    for (let pass = 0; pass < passes; pass++) this.#pass(this.packets);
  }

  runSome(packets: number): void {
    this.#pass(packets);
  }

  rewind(): void {
    this.#node = 0;
  }

  /** Moves the first `packets` of a pass. @throws CompareFailure when not every buffer came back. */
  #pass(packets: number): void {
    if (this.#arm.moves) {
      this.#driver.moveToNode(this.#node);
      this.#node = (this.#node + 1) % NODES;
    }
    const back = this.#call(this.#loop, packets);
    if (back === packets) return;
    const fault = this.#device.violation ?? this.#driver.violation ?? this.#driver.refusal;
    throw new CompareFailure(
      "stalled",
      `${this.#arm.id}: ${back} of ${packets} buffers came back: ${fault?.message ?? "no half moved any more"}`,
    );
  }

  /** The bytes are read through the addresses that the device half walked. */
  digest(): string {
    const { wasm, memory } = this.engine;
    const place = this.#loop + wasm.LOOP_DIGEST.value;
    new DataView(memory.buffer).setBigUint64(place, FNV_BASIS, true);
    this.#set(wasm.LOOP_TOUCH.value, TOUCH_DIGEST);
    this.#pass(this.#trace.traffic.packets.length);
    this.#set(wasm.LOOP_TOUCH.value, TOUCH_CODES[this.#arm.touch]);
    this.rewind();
    return new DataView(memory.buffer).getBigUint64(place, true).toString(16).padStart(16, "0");
  }

  counting(): () => Counted {
    const [packets, before] = this.#totals();
    return () => {
      const [now, after] = this.#totals();
      return { packets: now - packets, counters: perPacket(before, after, now - packets) };
    };
  }

  /** Walks the free lists and the heap, stops the queue, and walks the heap again. */
  checkLeaks(): void {
    const engine = this.engine;
    const driver = this.#driver;
    const start = this.#atStart;
    const now = this.#inventory();
    const expect = (what: string, found: number, right: number): void =>
      expectNoLeak(this.#arm.id, what, found, right);
    // A `grow` cache takes its tables from the heap and keeps them: then each live block is a listed table.
    const listed = this.#arm.tables === "grow" ? now.heapBlocks : start.tablesListed;
    const blocks = this.#arm.tables === "grow" ? now.tablesListed : start.heapBlocks;
    expect("tables in the free lists", now.tablesListed, listed);
    expect("live blocks of the heap", now.heapBlocks, blocks);
    expect("buffers outstanding", driver.outstanding, 0);
    expect("free descriptors", driver.numFree, driver.size);
    driver.stop();
    this.#device.stop();
    expect("buffers to detach", driver.detach().length, 0);
    expect("live blocks of the heap after the queue's end", engine.heapLiveBlocks(), 0);
    if (!engine.heapIsSound()) throw new CompareFailure("leak", `${this.#arm.id}: the heap is damaged`);
  }

  #setUpLoop(): void {
    const engine = this.engine;
    const { wasm } = engine;
    const popped = engine.region("queue 0 staging popped");
    this.#set(wasm.LOOP_DRIVER.value, this.#driver.ptr);
    this.#set(wasm.LOOP_DEVICE.value, this.#device.ptr);
    this.#set(wasm.LOOP_STREAM.value, engine.scratch.ptr);
    this.#set(wasm.LOOP_BATCH.value, this.#arm.batchRun);
    this.#set(wasm.LOOP_POPPED.value, popped.ptr);
    this.#set(wasm.LOOP_POPPED_BYTES.value, popped.bytes);
    this.#set(wasm.LOOP_RECLAIMED.value, engine.region("queue 0 staging reclaimed").ptr);
    this.#set(wasm.LOOP_TARGET.value, engine.scratch.ptr + alignUp(this.#trace.streamBytes, CACHE_LINE));
    this.#set(wasm.LOOP_HEADER_BYTES.value, HEADER_BYTES);
    this.#set(wasm.LOOP_TOUCH.value, TOUCH_CODES[this.#arm.touch]);
    // Both halves ask for a notification after every burst, so that doorbells and interrupts are real.
    this.#set(wasm.LOOP_REARM.value, 1);
  }

  #set(offset: number, value: number): void {
    this.engine.u32[(this.#loop + offset) >>> 2] = value;
  }

  /** Packets, and what was counted, since the start. */
  #totals(): [number, Counters] {
    const driver = this.#driver.counters();
    const { reclaimed, tableTakes, tableHits, heapFalls, directFalls, localTakes, remoteTakes, doorbells } =
      driver;
    const { interrupts } = this.#device.counters();
    const counters = {
      tableTakes,
      tableHits,
      heapFalls,
      directFalls,
      localTakes,
      remoteTakes,
      doorbells,
      interrupts,
    };
    return [reclaimed, counters];
  }

  #inventory(): Inventory {
    return { tablesListed: this.#driver.tablesListed(), heapBlocks: this.engine.heapLiveBlocks() };
  }
}
