/** Random set-ups and operations. An operation fits any state, so that every part of a failing list can go. */
import fc from "fast-check";
import { RING_FORMATS, TABLE_SOURCES, type TableSource } from "../../src/names.ts";

/** Which halves are the engine's; the model plays the other on the bytes. */
export const MODES = ["both", "driver", "device"] as const;
export type Mode = (typeof MODES)[number];

/** Most entries of a ring, and what else the memory of a run is laid out for. */
export const MEMORIES = {
  small: { queueSize: 16, bufferBytes: 1 << 16 },
  middle: { queueSize: 256, bufferBytes: 1 << 16 },
  // 2^32 bytes in 256 elements.
  large: { queueSize: 1024, bufferBytes: 1 << 24 },
  largest: { queueSize: 32768, bufferBytes: 1 << 16 },
} as const;

/** Sizes that both halves are tried with (S-B-02, P-B-01). */
export const SIZES = {
  split: { small: [1, 2, 4, 8, 16], middle: [16, 64, 256], large: [512, 1024], largest: [32768] },
  packed: {
    small: [1, 2, 3, 5, 7, 16],
    middle: [13, 255, 256],
    large: [1000, 1024],
    largest: [32767, 32768],
  },
} as const;

const sources = Object.keys(TABLE_SOURCES) as TableSource[];

export interface QueueChoice {
  format: (typeof RING_FORMATS)[number];
  /** An index into SIZES. */
  size: number;
  source: TableSource;
  threshold: number;
  tableAlways: boolean;
  directHead: boolean;
  indirect: boolean;
  eventIdx: boolean;
  inOrder: boolean;
  notificationData: boolean;
  /** 0: no limit of its own. */
  maxChain: number;
  /** Where bus addresses start. */
  window: number;
  /** How many buffers pass before the first that is looked at, by index into STARTS. */
  start: number;
}

export interface Setup {
  memory: keyof typeof MEMORIES;
  nodes: number;
  /** Elements of the tables that memory is reserved for. */
  threshold: number;
  heapBytes: number;
  /** No peer breaks a rule, so that a queue lives longer. */
  calm: boolean;
  queue: QueueChoice;
}

export interface BufferChoice {
  kind: "plain" | "long" | "full" | "ring" | "empty" | "bytes" | "exact";
  n: number;
  readable: number;
  bytes: number;
}

export interface UseChoice {
  pick: number;
  len: "all" | "none" | "some" | "over";
  /** A handle that names no buffer, or not the oldest. */
  wrong: boolean;
}

export type Operation =
  | { do: "add"; buffers: BufferChoice[]; seed: number }
  | { do: "publish" | "publishUsed" | "suppressDriver" | "suppressDevice" | "usePopped" | "detachLive" }
  | { do: "pop"; max: number; room: number }
  | { do: "use"; uses: UseChoice[]; seed: number }
  | { do: "reclaim"; max: number }
  | { do: "armDriver" | "armDevice"; after: number }
  | { do: "move"; node: number }
  | { do: "junkEvents"; seed: number }
  | { do: "pause"; on: boolean }
  | { do: "reset"; queue: QueueChoice; refused: number }
  | { do: "fault"; kind: number; seed: number; queue: QueueChoice };

const bool = fc.boolean();
const seed = fc.nat(0xffff);

/** Buffers that pass before a split run, so that it starts just below the wrap of its indices. */
export const STARTS = [0, 65520, 65535, 65536] as const;

const queueChoice: fc.Arbitrary<QueueChoice> = fc.record({
  format: fc.constantFrom(...RING_FORMATS),
  size: fc.nat(5),
  source: fc.constantFrom(...sources),
  threshold: fc.constantFrom(4, 3, 0, 1, 2, 6, 19),
  tableAlways: bool,
  directHead: fc.constantFrom(false, false, true),
  indirect: fc.constantFrom(true, true, true, false),
  eventIdx: bool,
  inOrder: fc.constantFrom(false, false, true),
  notificationData: bool,
  maxChain: fc.constantFrom(0, 0, 0, 1, 3, 8),
  window: fc.nat(3),
  start: fc.constantFrom(0, 0, 0, 0, 1, 2, 3),
});

export const setup: fc.Arbitrary<Setup> = fc.record({
  memory: fc.oneof(
    { weight: 14, arbitrary: fc.constant("small" as const) },
    { weight: 8, arbitrary: fc.constant("middle" as const) },
    { weight: 3, arbitrary: fc.constant("large" as const) },
    { weight: 1, arbitrary: fc.constant("largest" as const) },
  ),
  nodes: fc.integer({ min: 1, max: 4 }),
  threshold: fc.constantFrom(4, 6, 1, 0),
  heapBytes: fc.constantFrom(1 << 16, 4096, 512, 64),
  calm: bool,
  queue: queueChoice,
});

const buffer: fc.Arbitrary<BufferChoice> = fc.record({
  kind: fc.oneof(
    { weight: 24, arbitrary: fc.constant("plain" as const) },
    { weight: 4, arbitrary: fc.constant("long" as const) },
    { weight: 3, arbitrary: fc.constant("full" as const) },
    { weight: 1, arbitrary: fc.constant("ring" as const) },
    { weight: 1, arbitrary: fc.constant("empty" as const) },
    { weight: 1, arbitrary: fc.constant("bytes" as const) },
    { weight: 1, arbitrary: fc.constant("exact" as const) },
  ),
  n: fc.nat(31),
  readable: fc.nat(31),
  bytes: seed,
});

const use: fc.Arbitrary<UseChoice> = fc.record({
  pick: fc.nat(1023),
  len: fc.constantFrom("all", "all", "all", "none", "some", "over"),
  wrong: fc.oneof({ weight: 20, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});

const plain = (
  name: "publish" | "publishUsed" | "suppressDriver" | "suppressDevice" | "usePopped" | "detachLive",
) => fc.constant<Operation>({ do: name });
const after = fc.constantFrom(0, 0, 1, 2, 3, 7, 40);

export const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      do: fc.constant("add" as const),
      buffers: fc.array(buffer, { minLength: 1, maxLength: 6 }),
      seed,
    }),
  },
  { weight: 14, arbitrary: plain("publish") },
  {
    weight: 13,
    arbitrary: fc.record({
      do: fc.constant("pop" as const),
      max: fc.constantFrom(1, 2, 5, 64),
      room: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 2, 3),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant("use" as const),
      uses: fc.array(use, { minLength: 1, maxLength: 6 }),
      seed,
    }),
  },
  { weight: 5, arbitrary: plain("usePopped") },
  { weight: 12, arbitrary: plain("publishUsed") },
  {
    weight: 14,
    arbitrary: fc.record({ do: fc.constant("reclaim" as const), max: fc.constantFrom(1, 2, 5, 64) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("armDriver" as const), after }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("armDevice" as const), after }) },
  { weight: 2, arbitrary: plain("suppressDriver") },
  { weight: 2, arbitrary: plain("suppressDevice") },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("move" as const), node: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("junkEvents" as const), seed }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("pause" as const), on: fc.constantFrom(true, false, false) }),
  },
  { weight: 1, arbitrary: plain("detachLive") },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("reset" as const), queue: queueChoice, refused: fc.nat(15) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("fault" as const), kind: fc.nat(31), seed, queue: queueChoice }),
  },
);
