/**
 * Queues with one half of the engine's and one played by hand, in either format. What a test does
 * not care about has a default; places are given back so that it can look at every byte.
 */
import type { DeviceQueue } from "../../src/device-queue.ts";
import type { DriverQueue, DriverQueueConfig } from "../../src/driver-queue.ts";
import type { Engine, EngineOptions } from "../../src/engine.ts";
import { DEFAULT_FEATURES, Features } from "../../src/features.ts";
import type { RingFormat } from "../../src/names.ts";
import type { Segment } from "../../src/queue.ts";
import type { Span } from "./canaries.ts";
import { createEngine } from "./engine.ts";
import type { Element } from "./raw-memory.ts";
import { type PackedPlaces, RawPackedDevice, RawPackedDriver } from "./raw-packed.ts";
import { RawSplitDevice, RawSplitDriver, type SplitPlaces, splitPartBytes } from "./raw-split.ts";

/** Features of a queue: the defaults, without or with some more. */
export function features(format: RingFormat, ...more: (keyof typeof Features)[]): bigint {
  const base = format === "packed" ? Features.VERSION_1 | Features.RING_PACKED : Features.VERSION_1;
  return more.reduce((mask, name) => mask | Features[name], base);
}

export function defaultFeatures(format: RingFormat): bigint {
  return format === "packed" ? DEFAULT_FEATURES | Features.RING_PACKED : DEFAULT_FEATURES;
}

interface RigOptions {
  size: number;
  features?: bigint;
  /** Bytes for packet data. Default 64 KiB. */
  dataBytes?: number;
  engine?: EngineOptions;
  /** The window of device 0, set before the queue is enabled; default: the shared part as it lies. */
  window?: (engine: Engine) => { base: bigint; length: bigint; offset: number };
}

export interface DriverRigOptions extends RigOptions, Omit<DriverQueueConfig, "size" | "format"> {}

export interface DriverRig<Peer> {
  engine: Engine;
  driver: DriverQueue;
  peer: Peer;
  /** The queue's three areas, and where packet data may lie. */
  areas: Span[];
  data: Span;
}

async function rigEngine(options: RigOptions, extraBytes = 0): Promise<Engine> {
  const engine = await createEngine({
    queueSize: options.size,
    bufferBytes: (options.dataBytes ?? 65536) + extraBytes,
    ...options.engine,
  });
  if (options.window !== undefined) engine.devices[0].setWindow(options.window(engine));
  return engine;
}

/** Where the engine keeps the rings of queue `index`. */
export function engineSplitPlaces(engine: Engine, size: number, index = 0): SplitPlaces {
  const at = (name: string): number => engine.region(`queue ${index} ${name} area`).ptr;
  return { size, desc: at("descriptor"), avail: at("driver"), used: at("device") };
}
export function enginePackedPlaces(engine: Engine, size: number, index = 0): PackedPlaces {
  const { desc, avail, used } = engineSplitPlaces(engine, size, index);
  return { size, desc, driverArea: avail, deviceArea: used };
}

/** The engine's driver half of queue 0 and a raw device on its rings. */
export async function splitDriverRig(options: DriverRigOptions): Promise<DriverRig<RawSplitDevice>> {
  const engine = await rigEngine(options);
  const driver = engine.driverQueue(0, driverConfig("split", options));
  const places = engineSplitPlaces(engine, options.size);
  const bytes = splitPartBytes(options.size);
  return {
    engine,
    driver,
    peer: new RawSplitDevice(engine.memory, places, busDelta(engine)),
    areas: [
      { ptr: places.desc, bytes: bytes.desc },
      { ptr: places.avail, bytes: bytes.avail },
      { ptr: places.used, bytes: bytes.used },
    ],
    data: engine.buffers,
  };
}

export async function packedDriverRig(options: DriverRigOptions): Promise<DriverRig<RawPackedDevice>> {
  const engine = await rigEngine(options);
  const driver = engine.driverQueue(0, driverConfig("packed", options));
  const places = enginePackedPlaces(engine, options.size);
  return {
    engine,
    driver,
    peer: new RawPackedDevice(engine.memory, places, busDelta(engine)),
    areas: [
      { ptr: places.desc, bytes: 16 * options.size },
      { ptr: places.driverArea, bytes: 4 },
      { ptr: places.deviceArea, bytes: 4 },
    ],
    data: engine.buffers,
  };
}

function driverConfig(format: RingFormat, options: DriverRigOptions): DriverQueueConfig {
  const { dataBytes: _data, engine: _engine, window: _window, ...config } = options;
  return { ...config, format, features: options.features ?? defaultFeatures(format) };
}

function busDelta(engine: Engine): bigint {
  const { base, offset } = engine.devices[0].window;
  return base - BigInt(offset);
}

export function driverRig(
  format: RingFormat,
  options: DriverRigOptions,
): Promise<DriverRig<RawSplitDevice> | DriverRig<RawPackedDevice>> {
  return format === "split" ? splitDriverRig(options) : packedDriverRig(options);
}

export interface DeviceRigOptions extends RigOptions {
  maxChain?: number;
}

export interface DeviceRig<Peer> {
  engine: Engine;
  device: DeviceQueue;
  peer: Peer;
  areas: Span[];
  data: Span;
}

/** Bytes that are kept free around each area, so that canaries have a place. */
const GAP = 64;

function placeAreas(at: number, bytes: readonly number[]): { areas: Span[]; end: number } {
  let next = at + GAP;
  const areas = bytes.map((count) => {
    const span = { ptr: next, bytes: count };
    next = Math.ceil((next + count + GAP) / 64) * 64;
    return span;
  });
  return { areas, end: next };
}

/** The engine's device half of queue 0, and a raw driver whose rings lie among the packet data. */
export async function splitDeviceRig(options: DeviceRigOptions): Promise<DeviceRig<RawSplitDriver>> {
  const bytes = splitPartBytes(options.size);
  const engine = await rigEngine(options, 26 * options.size + 8 * GAP);
  const { areas, end } = placeAreas(engine.buffers.ptr, [bytes.desc, bytes.avail, bytes.used]);
  const [desc, avail, used] = areas.map(({ ptr }) => ptr);
  const peer = new RawSplitDriver(engine.memory, { size: options.size, desc, avail, used }, busDelta(engine));
  const device = engine.deviceQueue(0, {
    format: "split",
    size: options.size,
    features: options.features ?? defaultFeatures("split"),
    maxChain: options.maxChain,
    desc: peer.bus(desc),
    driverArea: peer.bus(avail),
    deviceArea: peer.bus(used),
  });
  return { engine, device, peer, areas, data: rest(engine, end) };
}

export async function packedDeviceRig(options: DeviceRigOptions): Promise<DeviceRig<RawPackedDriver>> {
  const engine = await rigEngine(options, 16 * options.size + 8 * GAP);
  const { areas, end } = placeAreas(engine.buffers.ptr, [16 * options.size, 4, 4]);
  const [desc, driverArea, deviceArea] = areas.map(({ ptr }) => ptr);
  const places = { size: options.size, desc, driverArea, deviceArea };
  const peer = new RawPackedDriver(engine.memory, places, busDelta(engine));
  const device = engine.deviceQueue(0, {
    format: "packed",
    size: options.size,
    features: options.features ?? defaultFeatures("packed"),
    maxChain: options.maxChain,
    desc: peer.bus(desc),
    driverArea: peer.bus(driverArea),
    deviceArea: peer.bus(deviceArea),
  });
  return { engine, device, peer, areas, data: rest(engine, end) };
}

export function deviceRig(
  format: RingFormat,
  options: DeviceRigOptions,
): Promise<DeviceRig<RawSplitDriver> | DeviceRig<RawPackedDriver>> {
  return format === "split" ? splitDeviceRig(options) : packedDeviceRig(options);
}

function rest(engine: Engine, from: number): Span {
  const { ptr, bytes } = engine.buffers;
  return { ptr: from, bytes: ptr + bytes - from };
}

/** Elements of these sizes one behind the other from `ptr` on: device-readable ones, then writable ones. */
export function elementsAt(
  ptr: number,
  readable: readonly number[],
  writable: readonly number[] = [],
): Element[] {
  let at = ptr;
  return [...readable, ...writable].map((bytes, k) => {
    const element = { ptr: at, bytes, write: k >= readable.length };
    at += bytes;
    return element;
  });
}

/** The same elements as the comfortable calls take and give them. */
export function bufferOf(elements: readonly Element[]): { readable: Segment[]; writable: Segment[] } {
  const part = (write: boolean): Segment[] =>
    elements
      .filter((element) => (element.write ?? false) === write)
      .map(({ ptr, bytes }) => ({ ptr, bytes }));
  return { readable: part(false), writable: part(true) };
}
