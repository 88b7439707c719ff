/** What the suites and the limit drive: rings of the engine, from inside or from JavaScript, and plain ones. */
import { readFile } from "node:fs/promises";
import { POP_HEADER, RECLAIM_RECORD, SEGMENT } from "../assembly/abi.ts";
import { VIRTQ_DESC_SIZE } from "../assembly/spec.ts";
import type { DeviceQueue } from "../src/device-queue.ts";
import type { DriverQueue } from "../src/driver-queue.ts";
import { Engine, type EngineOptions } from "../src/engine.ts";
import type { RingFormat, TableSource } from "../src/names.ts";
import {
  BATCH,
  bufferBytes,
  DATA_BYTES,
  HEADER_BYTES,
  MAX_SGS,
  PACKETS,
  RING_SIZE,
  RingDigest,
  STRIDE,
  stage,
  streamBytes,
  tokenOf,
} from "./packets.ts";
import { PlainRing, type PlainStaging, plainLoop } from "./plain-ring.ts";

let compiled: Promise<WebAssembly.Module> | undefined;

async function compile(): Promise<WebAssembly.Module> {
  const bytes = await readFile("build/vring.wasm").catch(() => {
    throw new Error("build/vring.wasm can't be read: npm run build makes it");
  });
  return WebAssembly.compile(bytes);
}

/** The build's code, compiled once. */
export function compileEngine(): Promise<WebAssembly.Module> {
  compiled ??= compile();
  return compiled;
}

/** The engine over the build's code, which lies beside no bundle; run in the repository's folder. */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  return Engine.create({ module: await compileEngine(), ...options });
}

export interface RingCase {
  format: RingFormat;
  tables: TableSource;
  /** Elements of a packet. */
  n: number;
}

/** What the rings of one engine have in common. */
export interface RingShape {
  size: number;
  batch: number;
  packets: number;
}

const SHAPE: RingShape = { size: RING_SIZE, batch: BATCH, packets: PACKETS };

/** One engine with a queue for each case, each with a pass of packets staged. */
export async function openRings(cases: RingCase[], shape: Partial<RingShape> = {}): Promise<EngineRing[]> {
  const { size, batch, packets } = { ...SHAPE, ...shape };
  const engine = await openEngine({
    queues: cases.length,
    queueSize: size,
    batch,
    maxSgs: MAX_SGS,
    threshold: MAX_SGS,
    scratchBytes: cases.length * (streamBytes(MAX_SGS, packets) + 256),
    bufferBytes: bufferBytes(MAX_SGS, packets),
  });
  let next = engine.scratch.ptr;
  const take = (bytes: number): number => {
    const ptr = next;
    next += (bytes + 63) & ~63;
    return ptr;
  };
  return cases.map((ringCase, index) => {
    const loop = take(engine.wasm.LOOP_BYTES.value);
    const stream = take(streamBytes(ringCase.n, packets));
    return new EngineRing(engine, index, ringCase, { size, batch, packets }, loop, stream);
  });
}

/** A queue of the engine that is driven by the engine's own loop. */
export class EngineRing {
  readonly name: string;
  readonly engine: Engine;
  readonly index: number;
  readonly ringCase: RingCase;
  readonly shape: RingShape;
  driver!: DriverQueue;
  device!: DeviceQueue;
  readonly #loop: number;
  readonly #stream: number;
  readonly #run: (loop: number, count: number) => number;

  constructor(
    engine: Engine,
    index: number,
    ringCase: RingCase,
    shape: RingShape,
    loop: number,
    stream: number,
  ) {
    const { format, tables, n } = ringCase;
    this.name = `${format}/${tables}/sg${n}`;
    this.engine = engine;
    this.index = index;
    this.ringCase = ringCase;
    this.shape = shape;
    this.#loop = loop;
    this.#stream = stream;
    this.#run = format === "split" ? engine.wasm.splitLoop : engine.wasm.packedLoop;
    stage(engine.u32, stream, engine.buffers.ptr, n, shape.packets);
    this.#connect();
  }

  /** Drives one pass through the queue. */
  pass(): void {
    this.#drive(this.shape.packets);
  }

  /** Resets the queue, so that nothing has been recycled in it yet. */
  renew(): void {
    this.driver.stop();
    this.device.stop();
    this.#connect();
  }

  /** Drives one pass burst by burst, and digests what came out. */
  digest(): string {
    const { engine, index } = this;
    const { batch, packets } = this.shape;
    const digest = new RingDigest();
    const popped = engine.region(`queue ${index} staging popped`).ptr >>> 2;
    const reclaimed = engine.region(`queue ${index} staging reclaimed`).ptr >>> 2;
    for (let first = 0; first < packets; first += batch) {
      const count = Math.min(batch, packets - first);
      this.#set("LOOP_STREAM", this.#stream + streamBytes(this.ringCase.n, first));
      this.#drive(count);
      digest.addPopped(engine.u32, popped, count, engine.buffers.ptr);
      digest.addReclaimed(engine.u32, reclaimed, count);
    }
    this.#set("LOOP_STREAM", this.#stream);
    return digest.hex();
  }

  /** Bytes that a pass goes through: what the bursts reuse, and the parts of the ring that they wander over. */
  workingSet(): number {
    const { size, batch, packets } = this.shape;
    const { format, n } = this.ringCase;
    const wandering = format === "split" ? 2 + 8 : VIRTQ_DESC_SIZE;
    const records = 16 + 8 + 4 + MAX_SGS * VIRTQ_DESC_SIZE + (format === "split" ? VIRTQ_DESC_SIZE : 0);
    const staging = POP_HEADER + n * SEGMENT + RECLAIM_RECORD;
    return size * wandering + Math.min(batch, size) * (records + staging) + streamBytes(n, packets);
  }

  #drive(count: number): void {
    const back = this.#run(this.#loop, count);
    if (back === count) return;
    const why = this.device.violation ?? this.driver.violation ?? this.driver.refusal;
    throw new Error(`${this.name}: ${back} of ${count} packets came back${why ? `: ${why.message}` : ""}`);
  }

  #connect(): void {
    const { engine, index } = this;
    const { format, tables } = this.ringCase;
    const { size, batch } = this.shape;
    const { driver, device } = engine.connect(index, { format, tables, size, tableAlways: true });
    this.driver = driver;
    this.device = device;
    const popped = engine.region(`queue ${index} staging popped`);
    this.#set("LOOP_DRIVER", driver.ptr);
    this.#set("LOOP_DEVICE", device.ptr);
    this.#set("LOOP_STREAM", this.#stream);
    this.#set("LOOP_BATCH", batch);
    this.#set("LOOP_POPPED", popped.ptr);
    this.#set("LOOP_POPPED_BYTES", popped.bytes);
    this.#set("LOOP_RECLAIMED", engine.region(`queue ${index} staging reclaimed`).ptr);
    this.#set("LOOP_REARM", 1);
  }

  #set(field: LoopField, value: number): void {
    this.engine.u32[(this.#loop + this.engine.wasm[field].value) >>> 2] = value;
  }
}

type LoopField = Extract<keyof Engine["wasm"], `LOOP_${string}`>;

/** A ring of the engine that is driven from JavaScript, which writes every sg list and reads every completion. */
export class DrivenRing {
  readonly #ring: EngineRing;
  /** What the completions said, so that they have to be read. */
  tokens = 0;
  bytes = 0;

  constructor(ring: EngineRing) {
    this.#ring = ring;
  }

  /** Drives one pass through the burst calls; `afterBurst` hears what came back in each. */
  pass(afterBurst?: (count: number) => void): void {
    const { driver, device, engine, shape, ringCase } = this.#ring;
    const { batch, packets } = shape;
    const staged = driver.staged;
    const reclaimed = driver.reclaimed;
    const buffers = engine.buffers.ptr;
    for (let first = 0; first < packets; first += batch) {
      writeBurst(staged, buffers, ringCase.n, first, first + batch);
      driver.addBurst(batch);
      driver.publish();
      const popped = device.popBurst(batch);
      device.arm();
      device.markPoppedUsed(popped);
      device.publishUsed();
      const done = driver.reclaimBurst(batch);
      driver.arm();
      if (done !== batch) throw new Error(`${this.#ring.name}: ${done} of ${batch} packets came back`);
      let tokens = this.tokens;
      let bytes = 0;
      for (let at = 0; at < 2 * done; at += 2) {
        tokens = (tokens + reclaimed[at]) | 0;
        bytes += reclaimed[at + 1];
      }
      this.tokens = tokens;
      this.bytes = bytes;
      if (afterBurst !== undefined) afterBurst(done);
    }
  }

  digest(): string {
    const { driver, device, engine } = this.#ring;
    const digest = new RingDigest();
    this.pass((count) => {
      digest.addPopped(device.popped, 0, count, engine.buffers.ptr);
      digest.addReclaimed(driver.reclaimed, 0, count);
    });
    return digest.hex();
  }
}

/** Writes the add records of packets `first` up to, not including, `end` at the start of `staged`. */
function writeBurst(staged: Uint32Array, buffers: number, n: number, first: number, end: number): void {
  const counts = 1 | ((n - 1) << 16);
  let ptr = buffers + first * n * STRIDE;
  let at = 0;
  for (let i = first; i < end; i++) {
    staged[at] = tokenOf(i);
    staged[at + 1] = counts;
    staged[at + 2] = ptr;
    staged[at + 3] = HEADER_BYTES;
    at += 4;
    ptr += STRIDE;
    for (let k = 1; k < n; k++) {
      staged[at] = ptr;
      staged[at + 1] = DATA_BYTES;
      at += 2;
      ptr += STRIDE;
    }
  }
}

/** The plain ring in a buffer of its own, with a pass of packets staged. */
export class PlainCase {
  readonly name: string;
  readonly ring: PlainRing;
  readonly #n: number;
  readonly #words: Uint32Array;
  readonly #stream: number;
  readonly #buffers: number;
  readonly #staging: PlainStaging;

  constructor(tables: "freelist" | "direct", n: number) {
    const size = RING_SIZE;
    let next = 64;
    const take = (bytes: number): number => {
      const ptr = next;
      next = (next + bytes + 63) & ~63;
      return ptr;
    };
    const driverRecords = take(16 * size);
    const deviceRecords = take(8 * size);
    const freeTables = take(4 * size);
    const stream = take(streamBytes(n));
    const poppedBytes = BATCH * (POP_HEADER + MAX_SGS * SEGMENT) + POP_HEADER + size * SEGMENT;
    const popped = take(poppedBytes);
    const reclaimed = take(BATCH * RECLAIM_RECORD);
    const desc = take(VIRTQ_DESC_SIZE * size);
    const avail = take(6 + 2 * size);
    const used = take(6 + 8 * size);
    const tablesPtr = take(size * MAX_SGS * VIRTQ_DESC_SIZE);
    const buffers = take(bufferBytes(n));
    const buffer = new ArrayBuffer(next);

    this.name = `plain split/${tables}/sg${n}`;
    this.#n = n;
    this.#words = new Uint32Array(buffer);
    this.#stream = stream;
    this.#buffers = buffers;
    this.#staging = { popped, poppedBytes, reclaimed };
    stage(this.#words, stream, buffers, n, PACKETS);
    this.ring = new PlainRing({
      buffer,
      size,
      tables,
      threshold: MAX_SGS,
      places: {
        ...{ desc, avail, used, tables: tablesPtr, driverRecords, deviceRecords, freeTables },
        windowBase: desc,
        windowBytes: next - desc,
      },
    });
  }

  /** Drives one pass through the ring. */
  pass(): void {
    this.#drive(this.#stream, PACKETS);
  }

  /** Drives one pass burst by burst, and digests what came out. */
  digest(): string {
    const digest = new RingDigest();
    for (let first = 0; first < PACKETS; first += BATCH) {
      this.#drive(this.#stream + streamBytes(this.#n, first), BATCH);
      digest.addPopped(this.#words, this.#staging.popped >>> 2, BATCH, this.#buffers);
      digest.addReclaimed(this.#words, this.#staging.reclaimed >>> 2, BATCH);
    }
    return digest.hex();
  }

  #drive(stream: number, count: number): void {
    const back = plainLoop(this.ring, stream, count, BATCH, this.#staging);
    if (back !== count) throw new Error(`${this.name}: ${back} of ${count} packets came back`);
  }
}
