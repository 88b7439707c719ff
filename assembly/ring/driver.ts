// What both driver halves have in common: shadow records, counters, and the table source.

import {
  ADD_HEADER,
  OK,
  QUEUE_F_ACCESS_PLATFORM,
  R_BUFFER_BYTES,
  R_EMPTY_BUFFER,
  R_TOO_MANY_SGS,
  SEGMENT,
} from "../abi";
import { busDelta } from "../dma/space";
import { Stack } from "../mem/stack";
import { Queue } from "./queue";

// A shadow record, one for each split descriptor or packed buffer id. The driver never reads back
// from a ring or a table what it needs to know (H-D-04).
//
//   0 token u32 | 4 capacity u32 | 8 table u32 | 12 next u16 | 14 last u16 (split), count u16 (packed)
//
// token     the caller's, returned at reclaim; in the last descriptor of a direct split chain it
//           holds the chain's length instead
// capacity  bytes of the writable elements, which bounds what the device may claim (H-D-03)
// table     the indirect table with its tag bits (tables.ts), 0 for none
// next      the free list's link
// last      split: last descriptor of the chain that starts here, or NOT_A_HEAD
// count     packed: slots of the buffer with this id, 0 when it is not outstanding
export const RECORD_BITS: u32 = 4;
export const RECORD_CAPACITY: u32 = 4;
export const RECORD_TABLE: u32 = 8;
export const RECORD_NEXT: u32 = 12;
export const RECORD_LAST: u32 = 14;
export const RECORD_COUNT: u32 = 14;
/** No index of a ring of at most 32768 entries. */
export const NOT_A_HEAD: u32 = 0xffff;

@unmanaged
export class DriverQueue extends Queue {
  /** First free descriptor (split) or buffer id (packed), and how many descriptors are free. */
  freeHead: u32;
  numFree: u32;
  /** Buffers that the device has and has not given back. */
  outstanding: u32;

  // Table source (tables.ts)
  source: u32;
  /** Fewest sgs that take a table: 1 or 2, or more than any packet has. */
  tableMin: u32;
  /** Most sgs that a cached table holds; a packet with more takes one from the heap. */
  threshold: u32;
  /** Bytes of a cached table. */
  tableBytes: u32;
  /** Cached tables of all nodes, and the bytes reserved for them. */
  tables: u32;
  tablesReserved: u32;
  /** The general allocator's control block. */
  heap: u32;
  /** One stack of free tables for each node; all but `per-node` use the first only. */
  stack0: Stack;
  stack1: Stack;
  stack2: Stack;
  stack3: Stack;
  nodes: u32;
  /** The node that the queue runs on. */
  node: u32;
  /** 1 when the cache was asked for and could not be preallocated. */
  cacheOff: u32;
  /** 1 while the first stack holds tables that are the heap's, whatever the source is set to next. */
  cacheGrows: u32;
  /** A table that was taken for the buffer that a burst refused; 0 if none. */
  unused: u32;
  liveTables: u32;
  highWater: u32;
  /** 1 when a burst stopped at a buffer whose table the source can't serve. */
  wanted: u32;

  // ACCESS_PLATFORM (mappings.ts)
  /** Mapping records, bytes of one, and why the last buffer could not be mapped (R_*). */
  mappings: u32;
  mappingStride: u32;
  unmappable: u32;
  /** The handle of the cached tables while they are mapped as a whole, and how many bytes they are; 0 while they are not. */
  mappedTables: u32;
  mappedBytes: u32;
  /** The handle of the ring areas, which the host maps as coherent memory; 0 while they are not. */
  rings: u32;

  // A table's entry is the sum of {ptr, len}, widened to u64, and a template {bus delta, flags}. They are
  // kept here because in a loop a constant vector takes three instructions, and a load one.
  /** Template of the first entry. */
  entryFirst: v128;
  /** What is added to it for each further entry (split: the link). */
  entryStep: v128;
  /** What makes it one of a writable entry. */
  entryWrite: v128;

  // Counters, since the queue was enabled first
  added: u64;
  reclaimed: u64;
  publishes: u64;
  doorbells: u64;
  tableTakes: u64;
  tableMisses: u64;
  heapFalls: u64;
  directFalls: u64;
  remoteTakes: u64;
  clampedLengths: u64;
}

/** Sets the templates of table entries, of which only the upper halves differ between the formats. */
export function setEntries(queue: DriverQueue, first: u64, step: u64, write: u64): void {
  const space = queue.space;
  const delta = queue.flags & QUEUE_F_ACCESS_PLATFORM ? space.delta : busDelta(space);
  queue.entryFirst = i64x2.replace_lane(i64x2.splat(delta), 1, first);
  queue.entryStep = i64x2.replace_lane(i64x2.splat(0), 1, step);
  queue.entryWrite = i64x2.replace_lane(i64x2.splat(0), 1, write);
}

/** The bus address of a place, or of a handle with ACCESS_PLATFORM, is so much more. */
@inline
export function deltaOf(queue: DriverQueue): u64 {
  return load<u64>(changetype<u32>(queue), offsetof<DriverQueue>("entryFirst"));
}

/** S-D-03: elements of 32-bit lengths are summed up in 64 bits, and then compared with this. */
export const MAX_BUFFER_BYTES: u64 = 0x1_0000_0000;

/** Which rule the staged buffer at `stream` breaks, if it is more than the ring that is full. */
export function stagedRefusal(queue: DriverQueue, stream: u32): u32 {
  const counts = load<u32>(stream, 4);
  const n = (counts & 0xffff) + (counts >> 16);
  if (!n) return R_EMPTY_BUFFER;
  if (n > queue.size) return R_TOO_MANY_SGS;
  let bytes: u64 = 0;
  for (let k: u32 = 0; k < n; k++) bytes += load<u32>(stream + ADD_HEADER + k * SEGMENT, 4);
  return bytes > MAX_BUFFER_BYTES ? R_BUFFER_BYTES : OK;
}
