/** One driver policy at work on real frames: an engine of its own, the queues, the wire, and exact counters. */
import type { EngineOptions } from "../engine.ts";
import type { RingFormat, TableSource } from "../names.ts";
import type { DriverRecord, RxKind } from "./records.ts";

export type DmaBackendName = "direct" | "swiotlb" | "iommu-strict" | "iommu-lazy";

/** The longest frame that every receive buffer kind takes: Ethernet with a VLAN tag and 1500 bytes. */
export const MAX_RX_FRAME = 1518;

export interface DriverBenchOptions {
  /** A record of DRIVER_RECORDS, or one of the caller's own. */
  record: DriverRecord;
  direction: "tx" | "rx";
  dma: DmaBackendName;
  /** The frames of each queue, in order: what a pass transmits, or what the wire sends. A queue may have none. */
  queues: readonly (readonly Uint8Array[])[];
  /** Receive buffers other than the record's. */
  rx?: RxKind;
  /** Packets that the consumer of a queue holds back; `all`: until the end of the pass. Default 0. */
  hold?: number | "all";
  /** In which order the consumer drops what it holds. Default `in-order`. */
  drop?: "in-order" | "random";
  /** Seeds random drops. Default 1. */
  seed?: number;
  /** Default `split`. */
  format?: RingFormat;
  /** Default 256. */
  ringSize?: number;
  /** Packets of a burst, cut to what the ring takes (see `batch` of the bench). Default 32. */
  batch?: number;
  /** Transmit: elements of a packet, device header included. Default 1; 2 and more have the header in one of its own. */
  sg?: number;
  /** Receive: elements of a posted buffer. Default: the record's. */
  rxSgs?: 1 | 2;
  /** Where tables come from if the record takes any. Default `freelist`. */
  tables?: TableSource;
  threshold?: number;
  /** What the device moves of a frame: nothing that the driver doesn't read itself, the header, all. Default `copy`. */
  touch?: "none" | "header" | "copy";
  /** Operations that are recorded, from the first pass on. Default 0. */
  traceOps?: number;
  /** Pages of the engine; default: what rings, consumers and caches can hold at once. */
  pages?: number;
  module?: EngineOptions["module"];
  memoryBytes?: number;
}

/** What was done since the bench was made; totals, not per packet. */
export interface PathCounters {
  /** Packets that the consumer got, or that the wire got; their frames' bytes. */
  packets: number;
  bytes: number;
  maps: number;
  unmaps: number;
  mapFailures: number;
  syncsCpu: number;
  syncsDevice: number;
  syncBytesAsked: number;
  syncBytesCopied: number;
  bounceBytes: number;
  weakOrderings: number;
  pagesAllocated: number;
  pagesFreed: number;
  /** Buffers posted again without a page allocation. */
  pagesReused: number;
  /** pagesReused / (pagesReused + pagesAllocated), or 0. */
  reuseRate: number;
  /** References to pages that were taken for packets one by one, and times that many were taken at once. */
  pageReferences: number;
  referenceTopUps: number;
  /** Bytes that the driver copied out of receive buffers: small packets and parsed headers. */
  headerCopyBytes: number;
  /** Packets that were copied into one buffer before transmit, and their bytes. */
  flattened: number;
  flattenedBytes: number;
  iotlbHits: number;
  iotlbMisses: number;
  invalidations: number;
  flushes: number;
  staleAccesses: number;
  faults: number;
  tableTakes: number;
  tableHits: number;
  heapFalls: number;
  directFalls: number;
  refills: number;
  doorbells: number;
  interrupts: number;
  /** Times that transmit paused for want of descriptors; the packets went later. */
  ringFull: number;
  /** Lost packets by cause. */
  dropsNoBuffer: number;
  dropsTooLong: number;
  dropsMapFailed: number;
  /** Refills that ended early, by cause; what they lacked is posted later. */
  refillsNoPage: number;
  refillsMapFailed: number;
}

export interface LeakReport {
  ok: boolean;
  /** One line for each thing that did not come back. */
  leaks: string[];
}

/** One recorded operation: `map`, `unmap`, `sync-cpu`, `sync-device`, `page-alloc`, `page-free`, `page-reuse`, `refill` ... */
export interface Operation {
  op: string;
  queue: number;
  /** What the two numbers are depends on `op` (OP_* in assembly/abi.ts). */
  a: number;
  b: number;
}

/** The interface that DriverBench, a class, will have; made by `await DriverBench.create(options)`. */
export interface DriverBenchHandle {
  /** Packets of a burst as run. */
  readonly batch: number;
  /** Packets of a pass, over all queues. */
  readonly packetsPerPass: number;
  /** Runs whole passes, one engine call each; allocates nothing. @throws when a queue stalls or breaks. */
  run(passes: number): void;
  /** Runs at most `packets` of each queue and goes on there next time: for warming up. */
  runSome(packets: number): void;
  /** Summed over the queues. Allocates. */
  counters(): PathCounters;
  /** Of one queue; IOTLB counters are the device's, and stand in the sum alone. Allocates. */
  queueCounters(queue: number): PathCounters;
  /**
   * FNV-1a 64 for each queue over length and bytes of every packet that the far side gets in one pass, as 16 hex digits.
   * Runs a pass, untimed, from the start of the frames. Equal to `Fnv1a64.addPacket` over the queue's frames.
   */
  digests(): string[];
  /** All names are OP_* codes as words. */
  operations(): Operation[];
  /** The trace as lines of text, for `--trace-ops`. */
  printOperations(): string;
  /** Stops the queues, drops what consumers hold, unmaps and frees everything, and says what did not come back. */
  close(): LeakReport;
}
