/**
 * What a comparison produced: the shape of `--json`, and what every report is made from.
 *
 * The schema's number stays while fields are only added, and goes up when one goes away or comes to mean something
 * else; so whoever reads the JSON must not mind fields that it doesn't know.
 */
import type { Operation } from "../system/operations.ts";

export const RESULT_SCHEMA = 1;

export interface Environment {
  node: string;
  v8: string;
  cpu: string;
  cores: number;
  /** Where buffers start: `skewed` over the cache sets, or `aligned` to 4 KiB, which aliases. */
  placement: "skewed" | "aligned";
  /** Bytes of the largest case's engine memory; each case has one of its own. */
  memoryBytes: number;
}

export interface Workload {
  kind: "capture" | "fixed" | "imix";
  /** The capture's path as given, or null for generated traffic. */
  file: string | null;
  /** Packets and bytes of one pass; a packet is its captured bytes, without FCS. */
  packets: number;
  bytes: number;
  /** FNV-1a 64 over length and bytes of every packet, in order, as 16 hex digits. */
  digest: string;
}

/** Per packet, from an untimed run of whole passes through the function that is timed. */
export interface Counters {
  tableTakes: number;
  tableHits: number;
  heapFalls: number;
  directFalls: number;
  localTakes: number;
  remoteTakes: number;
  doorbells: number;
  interrupts: number;
}

/** What a driver's case counts beside that, per packet. */
export interface DmaCounters {
  maps: number;
  unmaps: number;
  syncsCpu: number;
  syncsDevice: number;
  syncBytesAsked: number;
  syncBytesCopied: number;
  pagesAllocated: number;
  pagesFreed: number;
  pagesReused: number;
  /** Not per packet: of the buffers that were posted, the share that took no page allocation; 0 when none was posted. */
  reuseRate: number;
  iotlbHits: number;
  iotlbMisses: number;
  invalidations: number;
  flushes: number;
  /** Bytes that a bounce pool copied, for whatever call. */
  bounceBytes: number;
  /** Bytes that the driver copied out of receive buffers: small packets and parsed headers. */
  headerCopyBytes: number;
  faults: number;
}

/** One queue of a driver's case: its packets in a pass, and what each cost. The IOTLB's counters are the device's. */
export interface QueueResult {
  queue: number;
  packets: number;
  counters: Omit<Counters & DmaCounters, (typeof DEVICE_COUNTERS)[number]>;
}

/** What belongs to a device and not to one of its queues. */
export const DEVICE_COUNTERS = ["iotlbHits", "iotlbMisses", "invalidations", "flushes"] as const;

/** Packets a second over the baseline's, with the 95 % interval that the rounds give. */
export interface Ratio {
  baseline: string;
  value: number;
  low: number;
  high: number;
}

/** By what a case says which one it is, beside its id. */
export interface CaseFields {
  ring: "split" | "packed";
  tables: string;
  sg: number;
  /** `capture`, `imix`, or the frame's length in bytes. */
  frame: string | number;
  /** Packets per burst, as asked for and as run (a burst is cut to what fits the ring). */
  batch: number;
  batchRun: number;
  ringSize: number;
  threshold: number;
  touch: "none" | "header" | "copy";
}

export interface CaseResult extends CaseFields {
  /** `split/freelist/sg2`, with a part for every further dimension that has several values. */
  id: string;
  /** Packets and bytes measured, over all rounds. */
  packets: number;
  bytes: number;
  rounds: number;
  /** Over all timed iterations of all rounds. */
  nsPerPacket: { min: number; median: number; p95: number };
  /** Packets a second, at the median. */
  pps: number;
  gbps: number;
  counters: Counters;
  digest: string;
  ratio: Ratio;
  /** What the reader should know of this case: a cut burst, all packets beyond the threshold. */
  notes: string[];
}

/** By what a driver's case says which one it is, before what every case says. */
export interface DriverFields {
  /** The record's name. */
  driver: string;
  dma: string;
  /** The receive buffers' kind; null for a case that transmits. */
  rx: string | null;
  /** Packets that a consumer holds, `all` until the end of a pass; null for a case that transmits. */
  hold: number | "all" | null;
  queues: number;
  direction: "tx" | "rx";
}

/** `virtio-net/direct/rx`, with a part for every further dimension that has several values. */
export interface DriverCaseResult extends CaseResult, DriverFields {
  counters: Counters & DmaCounters;
  perQueue: QueueResult[];
  /** With `--trace-ops`: the first ones of all queues, in their order. */
  operations?: Operation[];
}

export function isDriverCase(c: CaseResult): c is DriverCaseResult {
  return "driver" in c;
}

export interface Comparison {
  schema: typeof RESULT_SCHEMA;
  environment: Environment;
  /** The only workload, or the first; `workloads` has all when there are several. */
  workload: Workload;
  workloads?: Workload[];
  /** By the names of the command line, with values as they were used. */
  options: Record<string, unknown>;
  /** False when the run was interrupted: `cases` then holds what was complete. */
  complete: boolean;
  cases: CaseResult[];
}
