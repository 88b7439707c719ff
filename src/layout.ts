/**
 * The memory map: what the options ask for, as a list of regions that is known before any memory
 * is. The arena hands them out in this order, and is then sealed.
 */
import * as abi from "../assembly/abi.ts";
import * as spec from "../assembly/spec.ts";
import { type DmaLimits, type DmaOptions, IOMMU_PAGE, resolveDma } from "./dma-options.ts";
import { ConfigError } from "./errors.ts";
import { type NetLimits, type NetOptions, resolveNet } from "./net-limits.ts";
import { type PassthruLimits, type PassthruOptions, resolvePassthru } from "./passthru-limits.ts";
import type { VringExports } from "./wasm.ts";

export interface EngineLimits {
  /** Most queues; each has a driver half and a device half. Default 1. */
  queues: number;
  /** Most entries of a ring, 1 to 32768. Default 256. */
  queueSize: number;
  /** Virtio devices: each has a status, features and an address space. Default 1. */
  devices: number;
  /** Most buffers of a burst. Default 32. */
  batch: number;
  /** Most elements of a buffer that a whole burst of them may have. Default 19. */
  maxSgs: number;
  /** Most elements that a cached indirect table holds, 0 to 19. Default 4. */
  threshold: number;
  /** NUMA nodes that `per-node` tables are kept for, 1 to 4. Default 1. */
  nodes: number;
  /** Bytes of the general allocator. Default: a table of `maxSgs` for every ring entry. */
  heapBytes: number;
  /** Most bytes of a device's configuration space. Default 64. */
  configBytes: number;
  /** Bytes for each device's kind (src/device/), in the part that peers can't reach. Default 0. */
  stateBytes: number;
  /** Whether the pages that devices write can be logged (`Engine.takeWrittenPages`); takes 128 KiB. Default false. */
  pageLog: boolean;
  /** Bytes for packet data, in the part that peers can reach. Default 1 MiB. */
  bufferBytes: number;
  /** Bytes for the host's own use, in the part that peers can't reach. Default 0. */
  scratchBytes: number;
  /** Pages of 4 KiB for receive buffers, spread over the nodes. Default 0. */
  pages: number;
  /** Queues that the engine's own run loops can work: each has a port. Default 0. */
  ports: number;
  /** Packets that a port's consumer can have at a time. Default 0. */
  packets: number;
  /** Fragments that a packet can have behind its first. Default 0. */
  fragments: number;
  /** Packets that the host's path of a port can have under way (assembly/path/in-flight.ts). Default 0. */
  inFlight: number;
  /** Jobs that a port's copy engine can have at a time, a power of two (assembly/path/host-engine.ts). Default 0. */
  copyJobs: number;
  /** Completions of streaming buffers that each queue has room for, a power of two. Default 0. */
  completions: number;
  /** Whether a host can pin pages of the shared part (assembly/mem/pins.ts). Default false. */
  pins: boolean;
  /** What is reserved for interfaces whose packets pass the host by, or null. They pin pages, too. */
  passthru: PassthruLimits | null;
  /** What is reserved for DMA backends, or null: then no queue's driver half can have ACCESS_PLATFORM. */
  dma: DmaLimits | null;
  /** What is reserved for each device's network halves, or null: then it can't be a network card. */
  net: NetLimits | null;
}

/** The same as options: what is left out has its default. */
export interface LimitOptions extends Partial<Omit<EngineLimits, "dma" | "net" | "passthru">> {
  passthru?: PassthruOptions | null;
  dma?: DmaOptions | null;
  net?: NetOptions | null;
}

export type Part = "private" | "shared";

export interface RegionRequest {
  name: string;
  part: Part;
  bytes: number;
  align: number;
}

export interface Region extends RegionRequest {
  ptr: number;
}

const PAGE = 65536;

/** Checked limits; `heapBytes` is 0 when it is left to the engine, which knows the allocator. */
export function resolveLimits(options: LimitOptions): EngineLimits {
  const limits: EngineLimits = {
    queues: options.queues ?? 1,
    queueSize: options.queueSize ?? 256,
    devices: options.devices ?? 1,
    batch: options.batch ?? 32,
    maxSgs: options.maxSgs ?? 19,
    threshold: options.threshold ?? 4,
    nodes: options.nodes ?? 1,
    heapBytes: options.heapBytes ?? 0,
    configBytes: options.configBytes ?? 64,
    stateBytes: options.stateBytes ?? 0,
    pageLog: options.pageLog ?? false,
    bufferBytes: options.bufferBytes ?? 1 << 20,
    scratchBytes: options.scratchBytes ?? 0,
    dma: options.dma ? resolveDma(options.dma) : null,
    pages: options.pages ?? 0,
    ports: options.ports ?? 0,
    packets: options.packets ?? 0,
    fragments: options.fragments ?? 0,
    completions: options.completions ?? 0,
    pins: options.pins ?? Boolean(options.passthru),
    passthru: options.passthru ? resolvePassthru(options.passthru) : null,
    inFlight: options.inFlight ?? 0,
    copyJobs: options.copyJobs ?? 0,
    net: null,
  };
  check(limits, "queues", 1, 65536);
  check(limits, "queueSize", 1, spec.VIRTQ_MAX_SIZE);
  check(limits, "devices", 1, 65536);
  check(limits, "batch", 1, spec.VIRTQ_MAX_SIZE);
  check(limits, "maxSgs", 1, spec.VIRTQ_MAX_SIZE);
  check(limits, "threshold", 0, abi.MAX_THRESHOLD);
  check(limits, "nodes", 1, abi.MAX_NODES);
  if (options.heapBytes !== undefined) check(limits, "heapBytes", 64, 2 ** 32 - PAGE);
  check(limits, "configBytes", 0, 4096);
  check(limits, "stateBytes", 0, 2 ** 32 - PAGE);
  check(limits, "bufferBytes", 0, 2 ** 32 - PAGE);
  check(limits, "scratchBytes", 0, 2 ** 32 - PAGE);
  check(limits, "pages", 0, 2 ** 20 - 16);
  check(limits, "ports", 0, limits.queues);
  check(limits, "packets", 0, 2 ** 24);
  check(limits, "fragments", 0, 65535);
  check(limits, "completions", 0, 2 ** 24);
  check(limits, "inFlight", 0, 2 ** 16);
  check(limits, "copyJobs", 0, 2 ** 16);
  if (options.net) limits.net = resolveNet(options.net, limits.batch);
  return limits;
}

function check(
  limits: EngineLimits,
  name: Exclude<keyof EngineLimits, "dma" | "net" | "pageLog" | "pins" | "passthru">,
  least: number,
  most: number,
): void {
  const value = limits[name];
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ConfigError(`${name} is ${value}, but must be a whole number from ${least} to ${most}`);
  }
}

/** Bytes of the four staging areas of a queue (abi.ts). */
export function stagingBytes(limits: EngineLimits): {
  add: number;
  popped: number;
  used: number;
  reclaimed: number;
} {
  const { batch, maxSgs, queueSize } = limits;
  return {
    add: Math.max(batch * (abi.ADD_HEADER + maxSgs * abi.SEGMENT), abi.ADD_HEADER + queueSize * abi.SEGMENT),
    // The device half starts a buffer only where the longest would fit.
    popped: batch * (abi.POP_HEADER + maxSgs * abi.SEGMENT) + abi.POP_HEADER + queueSize * abi.SEGMENT,
    used: batch * abi.USED_RECORD,
    reclaimed: batch * abi.RECLAIM_RECORD,
  };
}

type Take = (part: Part, name: string, bytes: number, align?: number) => void;

/** The page allocator's private part, and what the run loops need for each port (assembly/path/, assembly/rx/). */
function planPorts(wasm: VringExports, limits: EngineLimits, take: Take): void {
  const { pages, ports, packets, fragments, nodes, queueSize } = limits;
  if (pages > 0) {
    take("private", "page control", wasm.pagesControlBytes(nodes));
    take("private", "page descriptors", wasm.pagesDescriptorBytes(pages, nodes));
    take("private", "page records", pages * abi.PAGE_RECORD);
  }
  if (ports > 0) take("private", "ports", ports * 4);
  for (let i = 0; i < ports; i++) {
    take("private", `port ${i}`, wasm.portBytes());
    take("private", `port ${i} host path`, wasm.HOST_PATH_BYTES.value);
    // Of any kind.
    const application = Math.max(wasm.PACKET_APP_BYTES.value, wasm.XSK_APP_BYTES.value);
    take("private", `port ${i} application`, application);
    take("private", `port ${i} numbers`, wasm.NUMBERS_BYTES.value);
    if (limits.copyJobs > 0)
      take(
        "private",
        `port ${i} copy engine`,
        wasm.hostEngineBytes(limits.copyJobs, powerOfTwo(limits.queueSize)),
      );
    if (limits.inFlight > 0) take("private", `port ${i} in flight`, wasm.inFlightBytes(limits.inFlight));
    if (pages === 0) continue;
    // As many buffers as a ring and one more half page, a pool's cache, or all pages.
    const waiting = Math.max(powerOfTwo(queueSize) + 1, abi.PAGE_POOL_CACHE, pages);
    take("private", `port ${i} receive buffers`, wasm.RX_RING_BYTES.value);
    take("private", `port ${i} waiting buffers`, waiting * 4);
    take("private", `port ${i} recycled pages`, postedRing(limits.completions) * 4);
    take("private", `port ${i} consumer`, wasm.CONSUMER_BYTES.value);
    take("private", `port ${i} held packets`, powerOfTwo(packets) * 4);
    take("private", `port ${i} free packets`, wasm.stackBytes(packets));
    take("private", `port ${i} packets`, packets * abi.PACKET_RECORD);
    take("private", `port ${i} packet heads`, packets * abi.PACKET_HEAD);
    take("private", `port ${i} packet fragments`, packets * fragments * abi.SEGMENT);
  }
}

/** For each passthru interface: its requests, who counts for it, and where bursts of it are staged (assembly/path/passthru.ts). */
function planPassthru(wasm: VringExports, limits: EngineLimits, take: Take): void {
  if (limits.passthru === null) return;
  const { interfaces, requests, segments, headerBytes } = limits.passthru;
  const { batch } = limits;
  for (let i = 0; i < interfaces; i++) {
    take("private", `passthru ${i}`, wasm.passthruBytes(requests, segments, headerBytes));
    // The NIC of a port is in the engine.
    if (limits.ports > 0) take("private", `passthru ${i} wire`, wasm.passthruWireBytes(powerOfTwo(requests)));
    take("private", `passthru ${i} host path`, wasm.HOST_PATH_BYTES.value);
    take("private", `passthru ${i} submissions`, batch * (abi.ADD_HEADER + segments * abi.SEGMENT));
    take("private", `passthru ${i} completions`, batch * abi.PASSTHRU_COMPLETION);
    take("private", `passthru ${i} arrivals`, batch * abi.SEGMENT);
    take("private", `passthru ${i} departures`, batch * (abi.POP_HEADER + (segments + 1) * abi.SEGMENT));
    take("private", `passthru ${i} sent`, batch * abi.PASSTHRU_SENT);
  }
}

/** Entries of the ring that a pool recycles into, or in which posted streaming buffers stand in order. */
export function postedRing(completions: number): number {
  return Math.max(abi.PAGE_POOL_RING, completions / abi.STREAM_STRIDES);
}

/** The least power of two that is not below `value`; 1 for 0. */
export function powerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, value)));
}

/** Every region that the limits ask for, in the order in which the arena hands them out. */
export function planRegions(wasm: VringExports, limits: EngineLimits): RegionRequest[] {
  const { queueSize: size, nodes, threshold, dma } = limits;
  const line = abi.CACHE_LINE;
  const staging = stagingBytes(limits);
  const regions: RegionRequest[] = [];
  const take: Take = (part, name, bytes, align = line) => {
    regions.push({ name, part, bytes, align });
  };
  for (let i = 0; i < limits.devices; i++) {
    take("private", `device ${i}`, wasm.DEVICE_CORE_BYTES.value);
    take("private", `device ${i} seen by its driver`, wasm.DEVICE_BYTES.value);
    take("private", `device ${i} address space`, wasm.SPACE_BYTES.value);
    // What is shown, and what is to be shown once a suspended device resumes.
    take("private", `device ${i} config`, 2 * limits.configBytes);
    take("private", `device ${i} state`, limits.stateBytes);
    if (limits.net !== null) {
      const { pairs, records, frameBytes } = limits.net;
      take("private", `device ${i} net device`, wasm.netDeviceBytes(pairs, records, frameBytes));
      take("private", `device ${i} net driver`, wasm.netDriverBytes(pairs, size, records, frameBytes));
    }
    if (dma === null) continue;
    take("private", `device ${i} fault log`, wasm.faultLogBytes(dma.faultLog));
    take("private", `device ${i} sg list`, limits.maxSgs * abi.SEGMENT);
    if (dma.iommu) take("private", `device ${i} domain`, domainBytes(wasm, dma), IOMMU_PAGE);
  }
  if (dma?.poolBytes)
    take("private", "bounce pool slots", wasm.swiotlbBytes(dma.poolBytes / abi.BOUNCE_SLOT));
  if (dma?.traceOps) take("private", "operation trace", wasm.opTraceBytes(dma.traceOps));
  take("private", "heap control", wasm.tlsfControlBytes());
  take("private", "loop", wasm.LOOP_BYTES.value);
  for (let i = 0; i < limits.queues; i++) {
    const driver = Math.max(wasm.SPLIT_DRIVER_BYTES.value, wasm.PACKED_DRIVER_BYTES.value);
    const device = Math.max(wasm.SPLIT_DEVICE_BYTES.value, wasm.PACKED_DEVICE_BYTES.value);
    const shadow = Math.max(wasm.splitDeviceShadowBytes(size), wasm.packedDeviceShadowBytes(size));
    take("private", `queue ${i} registers`, wasm.QUEUE_REGISTERS_BYTES.value);
    take("private", `queue ${i} driver`, driver);
    take("private", `queue ${i} driver records`, size * 16);
    if (dma !== null) take("private", `queue ${i} driver mappings`, size * wasm.mappingBytes(limits.maxSgs));
    for (let node = 0; node < nodes; node++)
      take("private", `queue ${i} free tables, node ${node}`, wasm.stackBytes(size));
    take("private", `queue ${i} device`, device);
    take("private", `queue ${i} device records`, shadow);
    take("private", `queue ${i} staging add`, staging.add);
    take("private", `queue ${i} staging popped`, staging.popped);
    take("private", `queue ${i} staging used`, staging.used);
    take("private", `queue ${i} staging reclaimed`, staging.reclaimed);
  }
  if (limits.pageLog) take("private", "page log", wasm.PAGE_LOG_BYTES.value);
  planPorts(wasm, limits, take);
  planPassthru(wasm, limits, take);
  take("private", "scratch", limits.scratchBytes);
  const rings = (i: number): void => {
    // The larger of both formats (3.2, 3.4): the event words belong to the areas whatever is negotiated.
    // Nobody else's memory shares a page with them, which an IOMMU could only show as a whole.
    take("shared", `queue ${i} descriptor area`, size * spec.VIRTQ_DESC_SIZE, dma?.iommu ? IOMMU_PAGE : line);
    take("shared", `queue ${i} driver area`, 6 + 2 * size);
    take("shared", `queue ${i} device area`, 6 + 8 * size);
    if (limits.completions > 0) {
      const bytes = limits.completions * abi.COMPLETION;
      take("shared", `queue ${i} completions`, bytes, dma?.iommu ? IOMMU_PAGE : line);
    }
  };
  const tables = (i: number, align = line): void =>
    take("shared", `queue ${i} tables`, nodes * size * threshold * spec.VIRTQ_DESC_SIZE, align);
  if (dma === null) {
    for (let i = 0; i < limits.queues; i++) {
      rings(i);
      tables(i);
    }
  } else {
    // What a device sees that can only see the pool lies in one piece: coherent memory, then the pool.
    for (let i = 0; i < limits.queues; i++) rings(i);
    if (dma.poolBytes) take("shared", "bounce pool", dma.poolBytes, IOMMU_PAGE);
    for (let i = 0; i < limits.queues; i++) tables(i, i === 0 ? IOMMU_PAGE : line);
  }
  take("shared", "heap", limits.heapBytes);
  take("shared", "buffers", limits.bufferBytes);
  if (limits.pages > 0) take("shared", "pages", limits.pages * abi.PAGE_SIZE, abi.PAGE_SIZE);
  if (limits.pins) {
    const shared = regions.filter(({ part }) => part === "shared");
    take("private", "pins", wasm.pinsBytes(shared.reduce((sum, { bytes, align }) => sum + bytes + align, 0)));
  }
  return regions;
}

function domainBytes(wasm: VringExports, dma: DmaLimits): number {
  const { entries, ways } = dma.iotlb;
  return wasm.iommuDomainBytes(dma.apertureBytes / IOMMU_PAGE, dma.pageTables, entries, ways, dma.flushQueue);
}

/** Bytes of a heap with room for a table of the longest buffer for every ring entry. */
export function defaultHeapBytes(wasm: VringExports, limits: EngineLimits): number {
  return wasm.tlsfRegionBytes(limits.queues * limits.queueSize, limits.maxSgs * spec.VIRTQ_DESC_SIZE);
}

/** Bytes of an engine with these limits that starts at 0. */
export function bytesNeeded(wasm: VringExports, limits: EngineLimits): number {
  const whole = { ...limits, heapBytes: limits.heapBytes || defaultHeapBytes(wasm, limits) };
  return placeParts(wasm, 0, planRegions(wasm, whole), whole).end;
}

/** Where the shared part starts and the arena ends, for an arena that starts at `base`. */
export function placeParts(
  wasm: VringExports,
  base: number,
  regions: RegionRequest[],
  limits: EngineLimits,
): { sharedBase: number; end: number } {
  // An IOMMU maps whole pages: none may hold something private, or somebody else's.
  const edge = limits.dma?.iommu ? IOMMU_PAGE : abi.CACHE_LINE;
  const sum = (from: number, part: Part): number => {
    let next = from;
    for (const region of regions) {
      if (region.part === part) next = alignUp(next, region.align) + region.bytes;
    }
    return next;
  };
  const sharedBase = alignUp(sum(base + alignUp(wasm.ARENA_BYTES.value, abi.CACHE_LINE), "private"), edge);
  return { sharedBase, end: alignUp(sum(sharedBase, "shared"), edge) };
}

export function alignUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

/** The map as text: one line a region, with the parts and the free rest. */
export function printMap(
  base: number,
  sharedBase: number,
  end: number,
  limit: number,
  regions: Region[],
): string {
  const hex = (value: number): string => value.toString(16).padStart(8, "0");
  const lines = [`${hex(base)}  private part, ${sharedBase - base} bytes`];
  for (const part of ["private", "shared"] as const) {
    if (part === "shared") lines.push(`${hex(sharedBase)}  shared part, ${end - sharedBase} bytes`);
    for (const region of regions) {
      if (region.part !== part || region.bytes === 0) continue;
      lines.push(`  ${hex(region.ptr)}  ${region.bytes.toString().padStart(10)}  ${region.name}`);
    }
  }
  lines.push(`${hex(end)}  end, ${limit - end} bytes free`);
  return lines.join("\n");
}
