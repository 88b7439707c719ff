/** What a driver bench counts: for each queue, and summed. */
import type { DmaCounters } from "../dma.ts";
import type { Engine } from "../engine.ts";
import type { DriverSettings } from "./driver-options.ts";

/**
 * What was done since the bench was made; totals, not per packet. What an IOMMU counts is its device's, so it is in the
 * sum alone, and 0 for a queue.
 */
export interface PathCounters extends DmaCounters {
  /** Packets that the consumer got, or that the wire got, and their frames' bytes. */
  packets: number;
  bytes: number;
  pagesAllocated: number;
  pagesFreed: number;
  /** Buffers posted again without a page allocation. */
  pagesReused: number;
  /** pagesReused / (pagesReused + pagesAllocated), or 0. */
  reuseRate: number;
  /** References to pages that were taken for packets one by one, and times that many were taken ahead. */
  pageReferences: number;
  referenceTopUps: number;
  /** Payloads that the CPU copied on a host's path, once for each hop, and their bytes. */
  cpuCopies: number;
  cpuBytes: number;
  /** The same of a copy engine. */
  engineCopies: number;
  engineBytes: number;
  /** What both copied, and so what went over the interconnect: cpuBytes + engineBytes. */
  interconnectBytes: number;
  /** Pages of the guest that a host pinned for packets. */
  pinnedPages: number;
  /** Times that a host's pin, the wire's use of a guest's pages, or a copy engine's job failed: then the CPU copied. */
  hostErrors: number;
  /**
   * Bytes of headers that the CPU copied, small packets that are headers as a whole included: by the driver out of
   * receive buffers, or by the host of packets whose payload it doesn't copy.
   */
  headerCopyBytes: number;
  /** Payloads that a guest kernel's socket copied between an application's buffer and the driver's, and their bytes. */
  socketCopies: number;
  socketBytes: number;
  /** Calls with which a program woke its kernel. */
  wakeups: number;
  /** What a program handed over and must not, by cause: outside of its frames, of a wrong length, with options that nobody knows, ... */
  invalidAddresses: number;
  invalidLengths: number;
  invalidOptions: number;
  /** ... a frame that the kernel has already, and a ring's index that is further ahead than the ring is long. */
  invalidReuses: number;
  invalidIndices: number;
  /** Packets that were copied into one buffer before transmit, and their bytes. */
  flattened: number;
  flattenedBytes: number;
  tableTakes: number;
  tableHits: number;
  heapFalls: number;
  directFalls: number;
  refills: number;
  doorbells: number;
  interrupts: number;
  /** Times that transmit paused for want of descriptors; the packets went later. */
  ringFull: number;
  /** Packets lost, by cause. */
  dropsNoBuffer: number;
  dropsTooLong: number;
  dropsTooShort: number;
  /** A wrong num_buffers: what belongs to it is lost. */
  dropsNumBuffers: number;
  dropsNoPacket: number;
  dropsMapFailed: number;
  /** Of a program: it had given back no frame, or no room in the ring that would show the packet. */
  dropsNoFrame: number;
  dropsRingFull: number;
  /** Refills that ended early, by cause; what they lacked is posted later. */
  refillsNoPage: number;
  refillsMapFailed: number;
}

export const NOTHING_COUNTED: Readonly<PathCounters> = {
  packets: 0,
  bytes: 0,
  maps: 0,
  unmaps: 0,
  mapFailures: 0,
  syncsCpu: 0,
  syncsDevice: 0,
  syncBytesAsked: 0,
  syncBytesCopied: 0,
  bounceBytes: 0,
  weakOrderings: 0,
  faults: 0,
  pagesAllocated: 0,
  pagesFreed: 0,
  pagesReused: 0,
  reuseRate: 0,
  pageReferences: 0,
  referenceTopUps: 0,
  cpuCopies: 0,
  cpuBytes: 0,
  engineCopies: 0,
  engineBytes: 0,
  interconnectBytes: 0,
  pinnedPages: 0,
  hostErrors: 0,
  headerCopyBytes: 0,
  socketCopies: 0,
  socketBytes: 0,
  wakeups: 0,
  invalidAddresses: 0,
  invalidLengths: 0,
  invalidOptions: 0,
  invalidReuses: 0,
  invalidIndices: 0,
  flattened: 0,
  flattenedBytes: 0,
  iotlbHits: 0,
  iotlbMisses: 0,
  invalidations: 0,
  flushes: 0,
  staleAccesses: 0,
  tableTakes: 0,
  tableHits: 0,
  heapFalls: 0,
  directFalls: 0,
  refills: 0,
  doorbells: 0,
  interrupts: 0,
  ringFull: 0,
  dropsNoBuffer: 0,
  dropsTooLong: 0,
  dropsTooShort: 0,
  dropsNumBuffers: 0,
  dropsNoPacket: 0,
  dropsMapFailed: 0,
  dropsNoFrame: 0,
  dropsRingFull: 0,
  refillsNoPage: 0,
  refillsMapFailed: 0,
};

/** What the port at `ptr` counts; what its rings count is the caller's to add. */
export function portCounters(engine: Engine, ptr: number, settings: DriverSettings): Partial<PathCounters> {
  const { receives, rx: policy, host: path, application } = settings;
  // Then each page that goes on with its other half has one more.
  const takesOneByOne = policy.kind.startsWith("page-reuse") && policy.references === "plain";
  const { wasm } = engine;
  const reader = (from: number) => (offset: { value: number }) => engine.readU64(from + offset.value);
  const port = reader(ptr);
  const charged = reader(ptr + wasm.PORT_CHARGED.value - wasm.SPACE_MAPS.value);
  const rx = reader(engine.u32[(ptr + wasm.PORT_RX.value) >>> 2]);
  const host = reader(engine.u32[(ptr + wasm.PORT_HOST.value) >>> 2]);
  const hosts = (offset: { value: number }) => (path.kind === "wire" ? 0 : host(offset));
  const above = reader(engine.u32[(ptr + wasm.PORT_APP.value) >>> 2]);
  const app = (offset: { value: number }) => (application.kind === "none" ? 0 : above(offset));
  const consumer = reader(engine.u32[(ptr + wasm.PORT_CONSUMER.value) >>> 2]);
  const cpuBytes = hosts(wasm.HOST_CPU_BYTES) + app(wasm.APP_CPU_BYTES);
  const engineBytes = hosts(wasm.HOST_ENGINE_BYTES);
  const hostHeaders = hosts(wasm.HOST_HEADER_COPY_BYTES);
  return {
    cpuCopies: hosts(wasm.HOST_CPU_COPIES) + app(wasm.APP_CPU_COPIES),
    cpuBytes,
    engineCopies: hosts(wasm.HOST_ENGINE_COPIES),
    engineBytes,
    interconnectBytes: cpuBytes + engineBytes,
    pinnedPages: hosts(wasm.HOST_PINNED_PAGES),
    hostErrors: hosts(wasm.HOST_ERRORS),
    headerCopyBytes: hostHeaders,
    socketCopies: app(wasm.APP_SOCKET_COPIES),
    socketBytes: app(wasm.APP_SOCKET_BYTES),
    wakeups: app(wasm.APP_WAKEUPS),
    invalidAddresses: app(wasm.APP_INVALID_ADDRESSES),
    invalidLengths: app(wasm.APP_INVALID_LENGTHS),
    invalidOptions: app(wasm.APP_INVALID_OPTIONS),
    invalidReuses: app(wasm.APP_INVALID_REUSES),
    invalidIndices: app(wasm.APP_INVALID_INDICES),
    dropsNoFrame: app(wasm.APP_DROPS_NO_FRAME),
    dropsRingFull: app(wasm.APP_DROPS_RING_FULL),
    packets: receives ? consumer(wasm.CONSUMER_PACKETS) : port(wasm.PORT_PACKETS),
    bytes: receives ? consumer(wasm.CONSUMER_PACKET_BYTES) : port(wasm.PORT_PACKET_BYTES),
    maps: charged(wasm.SPACE_MAPS),
    unmaps: charged(wasm.SPACE_UNMAPS),
    mapFailures: charged(wasm.SPACE_MAP_FAILURES),
    syncsCpu: charged(wasm.SPACE_SYNCS_CPU),
    syncsDevice: charged(wasm.SPACE_SYNCS_DEVICE),
    syncBytesAsked: charged(wasm.SPACE_SYNC_BYTES_ASKED),
    syncBytesCopied: charged(wasm.SPACE_SYNC_BYTES_COPIED),
    bounceBytes: charged(wasm.SPACE_BOUNCE_BYTES),
    weakOrderings: charged(wasm.SPACE_WEAK_ORDERINGS),
    faults: charged(wasm.SPACE_FAULTS),
    flattened: port(wasm.PORT_FLATTENED),
    flattenedBytes: port(wasm.PORT_FLATTENED_BYTES),
    refills: port(wasm.PORT_REFILLS),
    ringFull: port(wasm.PORT_RING_FULL),
    dropsNoBuffer: port(wasm.PORT_DROPS_NO_BUFFER),
    dropsTooLong: port(wasm.PORT_DROPS_TOO_LONG),
    dropsTooShort: port(wasm.PORT_DROPS_TOO_SHORT),
    dropsNumBuffers: port(wasm.PORT_DROPS_NUM_BUFFERS),
    dropsNoPacket: port(wasm.PORT_DROPS_NO_PACKET),
    dropsMapFailed: port(wasm.PORT_DROPS_MAP_FAILED),
    refillsNoPage: port(wasm.PORT_REFILLS_NO_PAGE),
    refillsMapFailed: port(wasm.PORT_REFILLS_MAP_FAILED),
    ...(receives && {
      pagesAllocated: rx(wasm.RX_RING_PAGES_ALLOCATED),
      pagesFreed: rx(wasm.RX_RING_PAGES_FREED),
      pagesReused: rx(wasm.RX_RING_PAGES_REUSED),
      pageReferences: takesOneByOne ? rx(wasm.RX_RING_PAGES_REUSED) - rx(wasm.RX_RING_COPIED_WHOLE) : 0,
      referenceTopUps: rx(wasm.RX_RING_REFERENCE_TOP_UPS),
      headerCopyBytes: hostHeaders + rx(wasm.RX_RING_HEADER_COPY_BYTES),
    }),
  };
}

/** Sums, with the rate of the sums. */
export function sumCounters(all: readonly PathCounters[]): PathCounters {
  const sum = { ...NOTHING_COUNTED };
  for (const one of all) {
    for (const name of Object.keys(sum) as (keyof PathCounters)[]) sum[name] += one[name];
  }
  return withRate(sum);
}

export function withRate(counters: PathCounters): PathCounters {
  const { pagesReused, pagesAllocated } = counters;
  const posted = pagesReused + pagesAllocated;
  return { ...counters, reuseRate: posted === 0 ? 0 : pagesReused / posted };
}
