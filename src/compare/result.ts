/**
 * What a comparison produced: the shape of `--json`, and what every report is made from.
 *
 * The schema's number stays while fields are only added, and goes up when one goes away or comes to mean something
 * else; so whoever reads the JSON must not mind fields that it doesn't know.
 */
import type { Operation } from "../system/operations.ts";
import type { Direction, SystemRecord } from "../system/records.ts";

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
  /** What was done to the packets before: how many passed an MTU whole, or were cut to it. */
  notes?: string[];
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

/** What a system's driver counts beside that, per packet. */
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
  faults: number;
}

/** Who copies what of a packet between the guest and the wire, per packet; bytes are the frame's, without a device header. */
export interface CopyCounters {
  /** Payloads that the CPU copied, once for each hop, and their bytes. */
  cpuCopies: number;
  cpuBytes: number;
  /** The same of a copy engine. */
  engineCopies: number;
  engineBytes: number;
  /** cpuBytes + engineBytes. */
  interconnectBytes: number;
  /**
   * Bytes of headers that the CPU copied, small packets that are headers as a whole included: out of receive buffers, or
   * by a host of packets whose payload it leaves where it is.
   */
  headerCopyBytes: number;
  pinnedPages: number;
  /** What a guest kernel's own socket copied, which is in none of those above. */
  socketCopies: number;
  socketBytes: number;
  /** Calls with which a program woke its kernel. */
  wakeups: number;
}

export type SystemCounters = Counters & DmaCounters & CopyCounters;

/** One queue of a system's case: its packets in a pass, and what each cost. The IOTLB's counters are the device's. */
export interface QueueResult {
  queue: number;
  packets: number;
  counters: Omit<SystemCounters, (typeof DEVICE_COUNTERS)[number]>;
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

/** By what a system's case says which one it is, before what every case says. */
export interface SystemFields {
  /** The record's name, and that of the driver in it: the same where the device half is the NIC. */
  system: string;
  driver: string;
  dma: string;
  /** The receive buffers' kind; null for a case that transmits. */
  rx: string | null;
  /** Packets that a consumer holds, `all` until the end of a pass; null for a case that transmits. */
  hold: number | "all" | null;
  queues: number;
  direction: Direction;
}

/** `vhost-net/rx`, or `virtio-net/direct/rx` with backends, with a part for every further dimension that has several values. */
export interface SystemCaseResult extends CaseResult, SystemFields {
  counters: SystemCounters;
  perQueue: QueueResult[];
  /** With `--trace-ops`: the first ones of all queues, in their order. */
  operations?: Operation[];
}

export function isSystemCase(c: CaseResult): c is SystemCaseResult {
  return "system" in c;
}

/** A published figure, and what of ours stands beside it. */
export interface PublishedResult {
  name: string;
  title: string;
  /** What was said, and the figure's two ends in `unit`; never ours. */
  published: string;
  before: number;
  after: number;
  unit: string;
  ours: PublishedPair[];
}

/** Two of our cases: how many times the packets a second of `ratio.baseline` the case has, and what is another thing there. */
export interface PublishedPair {
  id: string;
  ratio: Ratio;
  differs: string[];
}

/** A case that can't be run as asked, and why. */
export interface LeftOut {
  id: string;
  why: string;
}

export interface Comparison {
  schema: typeof RESULT_SCHEMA;
  environment: Environment;
  /** The only workload, or the first; `workloads` has all when there are several. */
  workload: Workload;
  workloads?: Workload[];
  /** By the names of the command line, with values as they were used. */
  options: Record<string, unknown>;
  /** What was compared with `--systems`, as it is made. */
  systems?: SystemRecord[];
  /** With `--systems`: published figures beside ours, where what they compared is among the cases. */
  published?: PublishedResult[];
  /** With `--systems all`: what can't be run as asked. */
  leftOut?: LeftOut[];
  /** False when the run was interrupted: `cases` then holds what was complete. */
  complete: boolean;
  cases: CaseResult[];
}
