/**
 * A device kind that is as small as one can be: what a buffer's readable part holds is written into its writable part.
 * Buffers can be held back and finished later in any order, as a device with work elsewhere would. And its driver.
 */

import { DeviceCore, type DeviceCoreOptions } from "../../src/device/core.ts";
import type { DeviceHost, DeviceKind } from "../../src/device/kind.ts";
import type { Chain, DeviceQueue } from "../../src/device-queue.ts";
import type { DriverCore, DriverCoreOptions } from "../../src/driver/core.ts";
import type { DriverHost, DriverKind, QueuePlan } from "../../src/driver/kind.ts";
import type { DriverQueue } from "../../src/driver-queue.ts";
import type { Engine, EngineOptions } from "../../src/engine.ts";
import { QueueBrokenError } from "../../src/errors.ts";
import type { FeatureRule } from "../../src/feature-rules.ts";
import { Features } from "../../src/features.ts";
import { connectInProcess } from "../../src/transport/in-process.ts";
import { createEngine } from "./engine.ts";

export const ECHO_ID = 0x4242;
/** Bits of its own: FANCY needs PLAIN, and brings a config field; FAR lies in the third window. */
export const PLAIN = 1n << 0n;
export const FANCY = 1n << 1n;
export const FAR = 1n << 69n;
export const ECHO_RULES: readonly FeatureRule[] = [{ feature: FANCY, needs: [PLAIN] }];
/** le64 counter 0 | le32 value 8 | with FANCY le16 12 | u8 that a driver may write 14 | u8 15. */
export const ECHO_CONFIG_BYTES = 16;
export const WRITABLE_AT = 14;

/** Everything that both halves implement, and the kind's own. */
export const ALL_FEATURES = Object.values(Features).reduce((all, bit) => all | bit, PLAIN | FANCY | FAR);

/** Words of a held job in the device's state, behind their number. */
const JOB = 3;
export const ECHO_STATE_BYTES = 4 + 256 * 4 * JOB;

export interface EchoOptions {
  queues?: number;
  features?: bigint;
  required?: bigint;
  /** Buffers wait for `finish`. */
  hold?: boolean;
}

export class EchoDevice implements DeviceKind {
  readonly deviceId = ECHO_ID;
  readonly queueCount: number;
  readonly features: bigint;
  readonly rules = ECHO_RULES;
  readonly required: bigint | undefined;
  readonly configBytes = ECHO_CONFIG_BYTES;
  hold: boolean;
  host!: DeviceHost;
  /** What the hooks answer, for tests that need another answer. */
  answers: {
    accept?: boolean;
    queueReset?: "done" | "busy";
    suspend?: "done" | "busy" | "failed";
    resume?: "done" | "busy" | "failed";
  } = {};
  /** Which hooks were called, in order. */
  readonly calls: string[] = [];
  maxQueueSize?: (queue: number) => number;
  notifyData?: (queue: number) => number;
  readonly #engine: Engine;

  constructor(engine: Engine, options: EchoOptions = {}) {
    this.#engine = engine;
    this.queueCount = options.queues ?? 1;
    this.features = options.features ?? ALL_FEATURES;
    this.required = options.required;
    this.hold = options.hold ?? false;
  }

  attach(host: DeviceHost): void {
    this.host = host;
  }

  reset(): void {
    this.calls.push("reset");
    this.#jobs.fill(0);
    this.host.changeConfig(0, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0, 15));
  }

  acceptFeatures(): boolean {
    return this.answers.accept ?? true;
  }

  driverOk(): void {
    this.calls.push("driverOk");
  }

  queueEnabled(queue: number): void {
    this.calls.push(`queueEnabled ${queue}`);
  }

  queueReset(queue: number): "done" | "busy" {
    this.calls.push(`queueReset ${queue}`);
    this.#forget(queue);
    return this.answers.queueReset ?? "done";
  }

  writeConfig(offset: number, width: number): boolean {
    return offset === WRITABLE_AT && width === 1;
  }

  suspend(): "done" | "busy" | "failed" {
    this.calls.push("suspend");
    if (this.answers.suspend === undefined) this.finish(this.held);
    return this.answers.suspend ?? "done";
  }

  resume(): "done" | "busy" | "failed" {
    this.calls.push("resume");
    return this.answers.resume ?? "done";
  }

  restored(): void {
    this.calls.push("restored");
  }

  kicked(index: number): void {
    const queue = this.host.queue(index);
    if (queue === null) return;
    for (;;) {
      const room = (ECHO_STATE_BYTES - 4) / (4 * JOB) - this.held;
      if (room === 0 || this.#pop(index, queue, Math.min(room, 8)) === 0) break;
      if (!this.hold) this.finish(this.held);
    }
    queue.arm();
  }

  /** Buffers that wait. */
  get held(): number {
    return this.#jobs[0];
  }

  /** Finishes `count` of the buffers that wait: those that `pick` says, or the oldest. */
  finish(count: number, pick: (held: number) => number = () => 0): void {
    const jobs = this.#jobs;
    const touched = new Set<number>();
    for (let k = 0; k < count && jobs[0] > 0; k++) {
      const at = 1 + JOB * pick(jobs[0]);
      const [queue, handle, len] = jobs.subarray(at, at + JOB);
      jobs.copyWithin(at, at + JOB, 1 + JOB * jobs[0]);
      jobs[0]--;
      const half = this.host.queue(queue);
      if (half?.state !== "live") continue;
      half.completions[0] = handle;
      half.completions[1] = len;
      half.markUsedBurst(1);
      touched.add(queue);
    }
    for (const queue of touched) this.host.publishUsed(queue);
  }

  #pop(index: number, queue: DeviceQueue, max: number): number {
    const chains = popUpTo(queue, max);
    for (const { handle, readable, writable, readableBytes, writableBytes } of chains) {
      const bytes = new Uint8Array(readableBytes);
      let at = 0;
      for (const segment of readable) {
        bytes.set(queue.read(segment), at);
        at += segment.bytes;
      }
      const len = Math.min(readableBytes, writableBytes);
      at = 0;
      for (const segment of writable) {
        const part = bytes.subarray(at, Math.min(at + segment.bytes, len));
        if (part.length > 0) queue.write(segment, part);
        at += segment.bytes;
      }
      const jobs = this.#jobs;
      jobs.set([index, handle, len], 1 + JOB * jobs[0]);
      jobs[0]++;
    }
    return chains.length;
  }

  /** Buffers of a queue that is reset never come back. */
  #forget(queue: number): void {
    const jobs = this.#jobs;
    const kept: number[] = [];
    for (let at = 1; at < 1 + JOB * jobs[0]; at += JOB) {
      if (jobs[at] !== queue) kept.push(...jobs.subarray(at, at + JOB));
    }
    jobs.set(kept, 1);
    jobs[0] = kept.length / JOB;
  }

  get #jobs(): Uint32Array {
    const { ptr, bytes } = this.host.state;
    return new Uint32Array(this.#engine.memory.buffer, ptr, bytes >>> 2);
  }
}

/** A driver that broke a rule gives nothing: the queue is broken, and the core tells. */
function popUpTo(queue: DeviceQueue, max: number): Chain[] {
  try {
    return queue.pop(max);
  } catch (error) {
    if (error instanceof QueueBrokenError) return [];
    throw error;
  }
}

/** Bytes of a request, and of an answer. */
export const REQUEST = 64;

export class EchoDriver implements DriverKind {
  readonly deviceId = ECHO_ID;
  readonly rules = ECHO_RULES;
  features: bigint;
  required: bigint | undefined;
  host!: DriverHost;
  plans: QueuePlan[];
  /** Tokens that came back with the right answer, in order; and those that a stopped queue gave back. */
  readonly done: number[] = [];
  readonly detached: number[] = [];
  readonly calls: string[] = [];
  /** What `fill` does, besides. */
  onFill: (host: DriverHost) => void = () => {};
  needed = ECHO_CONFIG_BYTES;
  readonly #engine: Engine;

  constructor(engine: Engine, options: { queues?: number; features?: bigint; required?: bigint } = {}) {
    this.#engine = engine;
    this.features = options.features ?? ALL_FEATURES;
    this.required = options.required;
    this.plans = Array.from({ length: options.queues ?? 1 }, (_, index) => ({ index }));
  }

  configBytes(offered: bigint): number {
    return offered & FANCY ? this.needed : Math.min(this.needed, 12);
  }

  queues(host: DriverHost): readonly QueuePlan[] {
    this.host = host;
    this.calls.push("queues");
    return this.plans;
  }

  fill(host: DriverHost): void {
    this.calls.push("fill");
    this.onFill(host);
  }

  driverOk(): void {
    this.calls.push("driverOk");
  }

  usedBuffers(index: number): void {
    this.calls.push(`used ${index}`);
    this.reap(this.host.queue(index));
  }

  configChange(): void {
    this.calls.push("configChange");
  }

  needsReset(): void {
    this.calls.push("needsReset");
  }

  queueStopped(index: number): void {
    this.calls.push(`stopped ${index}`);
    this.detached.push(...this.host.queue(index).detach());
  }

  restored(host: DriverHost): void {
    this.host = host;
    this.calls.push("restored");
  }

  /** Adds a request whose bytes tell its token; whether there was room. Publish it with `flush`. */
  send(index: number, token: number): boolean {
    const { request, answer } = this.#slot(token);
    const bytes = this.#engine.bytes(request, REQUEST);
    for (let k = 0; k < REQUEST; k++) bytes[k] = (token * 31 + k * 7) & 0xff;
    this.#engine.bytes(answer, REQUEST).fill(0xee);
    const queue = this.host.queue(index);
    if (queue.state !== "live") return false;
    return queue.add({
      readable: [
        { ptr: request, bytes: 20 },
        { ptr: request + 20, bytes: REQUEST - 20 },
      ],
      writable: [{ ptr: answer, bytes: REQUEST }],
      token,
    });
  }

  flush(index: number): boolean {
    return this.host.publish(index);
  }

  /** Takes back what is used, and asks for the next interrupt. @throws Error for a wrong answer */
  reap(queue: DriverQueue): void {
    for (;;) {
      for (const { token, len } of queue.reclaim()) {
        const { request, answer } = this.#slot(token);
        const same = this.#engine
          .bytes(answer, REQUEST)
          .every((byte, k) => byte === this.#engine.bytes(request + k, 1)[0]);
        if (len !== REQUEST || !same) throw new Error(`token ${token} came back with the wrong answer`);
        this.done.push(token);
      }
      if (!queue.arm()) break;
    }
  }

  #slot(token: number): { request: number; answer: number } {
    const { ptr, bytes } = this.#engine.buffers;
    const request = ptr + (token % Math.floor(bytes / (2 * REQUEST))) * 2 * REQUEST;
    return { request, answer: request + REQUEST };
  }
}

export interface EchoRig {
  engine: Engine;
  deviceKind: EchoDevice;
  driverKind: EchoDriver;
  device: DeviceCore;
  driver: DriverCore;
}

export interface EchoRigOptions extends EchoOptions {
  engine?: EngineOptions;
  /** What is set up in the engine before the halves are made. */
  prepare?: (engine: Engine) => void;
  driverFeatures?: bigint;
  driverRequired?: bigint;
  deviceOptions?: Pick<DeviceCoreOptions, "accessLimited">;
  driverOptions?: Pick<DriverCoreOptions, "decline" | "pollLimit" | "wait">;
}

export async function echoEngine(queues: number, options: EngineOptions = {}): Promise<Engine> {
  return createEngine({
    queues,
    queueSize: 16,
    stateBytes: ECHO_STATE_BYTES,
    bufferBytes: 1 << 16,
    // So that halves can have ACCESS_PLATFORM.
    dma: { backends: ["direct"] },
    ...options,
  });
}

/** Both halves in one engine, not yet brought up. */
export async function echoRig(options: EchoRigOptions = {}): Promise<EchoRig> {
  const queues = options.queues ?? 1;
  const engine = await echoEngine(queues, options.engine);
  options.prepare?.(engine);
  const deviceKind = new EchoDevice(engine, options);
  const driverKind = new EchoDriver(engine, {
    queues,
    features: options.driverFeatures,
    required: options.driverRequired,
  });
  const { deviceOptions, driverOptions } = options;
  const pair = connectInProcess(engine, deviceKind, driverKind, { deviceOptions, driverOptions });
  return { engine, deviceKind, driverKind, ...pair };
}

/** A device half alone, with a log of what it tells. */
export async function echoDevice(
  options: EchoOptions & { engine?: EngineOptions; core?: DeviceCoreOptions } = {},
): Promise<{ engine: Engine; kind: EchoDevice; core: DeviceCore; told: string[] }> {
  const engine = await echoEngine(options.queues ?? 1, options.engine);
  const kind = new EchoDevice(engine, options);
  const core = new DeviceCore(engine, kind, options.core);
  const told: string[] = [];
  core.connect({
    usedBuffers: (queue) => told.push(`used ${queue}`),
    configChange: () => told.push("config"),
  });
  return { engine, kind, core, told };
}
