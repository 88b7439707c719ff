import * as abi from "../assembly/abi.ts";
import * as spec from "../assembly/spec.ts";
import { Dma, type DmaSettings } from "./dma.ts";
import type { Engine } from "./engine.ts";
import { ConfigError, RefusedError } from "./errors.ts";
import type { DmaBackend } from "./names.ts";

/** Status of a device that runs: what `connect` assumes when nobody negotiates. */
const RUNNING =
  spec.STATUS_ACKNOWLEDGE | spec.STATUS_DRIVER | spec.STATUS_FEATURES_OK | spec.STATUS_DRIVER_OK;

/** The device around the queues, as far as rings need one: status, features, address space. */
export class VirtioDevice {
  readonly engine: Engine;
  readonly index: number;
  /** Control blocks in the memory: the device itself, and what a driver behind a transport knows of it. */
  readonly ptr: number;
  readonly driverView: number;
  readonly space: number;
  /** What a driver calls for the memory that it lends to this device. */
  readonly dma: Dma;
  #window: { base: bigint; length: bigint; offset: number };

  /** @internal Made by the engine. */
  constructor(engine: Engine, index: number) {
    this.engine = engine;
    this.index = index;
    this.ptr = engine.region(`device ${index}`).ptr;
    this.driverView = engine.region(`device ${index} seen by its driver`).ptr;
    this.space = engine.region(`device ${index} address space`).ptr;
    this.dma = new Dma(engine, index, this.space);
    this.status = RUNNING;
    // Bus addresses are places in the memory until a window says otherwise.
    const base = engine.sharedBase;
    this.#window = { base: BigInt(base), length: BigInt(engine.end - base), offset: base };
    this.setWindow(this.#window);
  }

  /**
   * The identity window through which this device's half reaches memory: bus addresses
   * [base, base + length) are the bytes from `offset` on. Set it before queues are enabled.
   * @throws RefusedError when it would show the engine's private part, ConfigError outside the memory
   * or behind another DMA backend than `direct`.
   */
  setWindow(window: { base: bigint; length: bigint; offset: number }): void {
    const { base, length, offset } = window;
    if (this.dma.backend !== "direct")
      throw new ConfigError(`the window is ${this.dma.backend}'s now: setDma("direct") first`);
    const end = BigInt(offset) + length;
    if (offset < 0 || length < 0n || end > BigInt(this.engine.memory.buffer.byteLength)) {
      throw new ConfigError(
        `the window ends at byte ${end}, but the memory has ${this.engine.memory.buffer.byteLength} bytes`,
      );
    }
    if (base < 0n || base + length > 1n << 64n)
      throw new ConfigError("the window's bus addresses do not fit 64 bits");
    const refusal = this.engine.wasm.spaceInit(this.space, this.engine.base, base, length, offset);
    if (refusal !== abi.OK) throw new RefusedError(refusal, 0, 0);
    this.#window = { base, length, offset };
  }

  /**
   * What stands between this device and the memory for queues with ACCESS_PLATFORM; its counters
   * and fault log start anew. `direct` until it is called.
   * @throws ConfigError while a queue of the device is live or memory is mapped, and for a backend
   * that nothing is reserved for (`EngineOptions.dma`).
   */
  setDma(backend: DmaBackend, settings: DmaSettings = {}): void {
    this.dma.use(backend, settings, this.#window);
  }

  get window(): { base: bigint; length: bigint; offset: number } {
    return { ...this.#window };
  }

  /** The bus address of a place in the memory. */
  busAddress(ptr: number): bigint {
    return BigInt.asUintN(64, BigInt(ptr) - BigInt(this.#window.offset) + this.#window.base);
  }

  /**
   * Whether pages that this device's half writes are logged from here on: payload, used rings and event words. What
   * was logged is taken with `Engine.takeWrittenPages`. @throws ConfigError without the engine's `pageLog`
   */
  get logsPages(): boolean {
    return this.engine.u32[(this.space + this.engine.wasm.SPACE_LOG.value) >>> 2] !== 0;
  }
  set logsPages(on: boolean) {
    const log = on ? this.engine.region("page log").ptr : 0;
    this.engine.u32[(this.space + this.engine.wasm.SPACE_LOG.value) >>> 2] = log;
  }

  /** Words that a snapshot must agree in: how the device reaches memory. @internal */
  get identity(): readonly number[] {
    const { SPACE_BASE, SPACE_LENGTH, SPACE_OFFSET, SPACE_KIND } = this.engine.wasm;
    const wide = [SPACE_BASE, SPACE_LENGTH].flatMap(({ value }) => [value, value + 4]);
    return [...wide, SPACE_OFFSET.value, SPACE_KIND.value].map((offset) => this.space + offset);
  }

  /** 2.1 Device Status Field. Queues are worked while it has DRIVER_OK and not DEVICE_NEEDS_RESET. */
  get status(): number {
    return this.#word(this.engine.wasm.DEVICE_STATUS.value);
  }
  set status(value: number) {
    this.#setWord(this.engine.wasm.DEVICE_STATUS.value, value);
  }

  /** Whether a violated rule has raised DEVICE_NEEDS_RESET. */
  get needsReset(): boolean {
    return (this.status & spec.STATUS_DEVICE_NEEDS_RESET) !== 0;
  }

  /** Configuration change notifications sent so far. */
  get configNotifications(): number {
    return this.#word(this.engine.wasm.DEVICE_CONFIG_NOTIFICATIONS.value);
  }

  /** Negotiated features, 128 bits. */
  get features(): bigint {
    const at = this.engine.wasm.DEVICE_FEATURES_0.value;
    let features = 0n;
    for (let i = 3; i >= 0; i--) features = (features << 32n) | BigInt(this.#word(at + 4 * i));
    return features;
  }
  set features(value: bigint) {
    const at = this.engine.wasm.DEVICE_FEATURES_0.value;
    for (let i = 0; i < 4; i++) this.#setWord(at + 4 * i, Number((value >> BigInt(32 * i)) & 0xffff_ffffn));
  }

  #word(offset: number): number {
    return this.engine.u32[(this.ptr + offset) >>> 2];
  }
  #setWord(offset: number, value: number): void {
    this.engine.u32[(this.ptr + offset) >>> 2] = value;
  }
}
