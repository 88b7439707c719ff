// Where an indirect table comes from and goes back to (docs/architecture.md). To add a source:
// a TABLES_* code in abi.ts, a case in each function here, a line in each driver's add and reclaim
// switch, and its name in src/names.ts.
//
// A taken table is a 16-byte aligned pointer with tag bits:

import {
  MAX_THRESHOLD,
  OK,
  R_TABLE_SOURCE,
  TABLES_DIRECT,
  TABLES_FREELIST,
  TABLES_GROW,
  TABLES_HEAP,
  TABLES_PER_NODE,
  TABLES_SLOT,
} from "../abi";
import { Stack, stackCount, stackEntry, stackInit, stackPut, stackTake } from "../mem/stack";
import { tlsfGive, tlsfTake } from "../mem/tlsf";
import { VIRTQ_DESC_SIZE } from "../spec";
import { DriverQueue, RECORD_BITS, stagedRefusal } from "./driver";
import { refuse } from "./queue";

/** Goes back to the heap, whatever the source. */
export const TABLE_FROM_HEAP: u32 = 1;
/** The node that its memory belongs to. */
export const TABLE_NODE_SHIFT: u32 = 2;
export const TABLE_NODE_MASK: u32 = 3;
const TAG_MASK: u32 = 15;

@inline
export function tablePtr(table: u32): u32 {
  return table & ~TAG_MASK;
}

@inline
export function tableNode(table: u32): u32 {
  return (table >> TABLE_NODE_SHIFT) & TABLE_NODE_MASK;
}

/** A table of the general allocator for `n` elements; tagged, or 0. */
@inline
export function tableTakeHeap(queue: DriverQueue, n: u32): u32 {
  const table = tlsfTake(queue.heap, n * VIRTQ_DESC_SIZE);
  return table ? table | TABLE_FROM_HEAP : 0;
}

/** What `tableFallBack` returns when no table can be had: the buffer goes direct. */
export const NO_TABLE: u32 = 2;

/**
 * What the source could not serve: `grow` makes another table of its size, everything else goes
 * to the heap, and when that has none the buffer goes direct (NO_TABLE). It is no part of the hot
 * loops, because a call in a loop costs every value that lives across it a place in memory.
 */
export function tableFallBack(queue: DriverQueue, n: u32): u32 {
  const grows = queue.source == TABLES_GROW && n <= queue.threshold;
  const table =
    queue.source == TABLES_HEAP ? 0 : tlsfTake(queue.heap, grows ? queue.tableBytes : n * VIRTQ_DESC_SIZE);
  if (!table) return NO_TABLE;
  queue.tableMisses++;
  // The heap lies on node 0, like every table but those of `per-node`, which tablesTaken counts.
  if (queue.source == TABLES_PER_NODE && queue.node) queue.remoteTakes++;
  if (grows) return table;
  queue.heapFalls++;
  return table | TABLE_FROM_HEAP;
}

/** Counts the tables that a burst took. */
@inline
export function tablesTaken(queue: DriverQueue, source: u32, takes: u32): void {
  queue.tableTakes += takes;
  if (source == TABLES_HEAP) queue.tableMisses += takes;
  if (source != TABLES_PER_NODE && queue.node) queue.remoteTakes += takes;
  const live = queue.liveTables + takes;
  queue.liveTables = live;
  if (live > queue.highWater) queue.highWater = live;
}

/** Gives a table back to where it came from. */
export function tableGive(queue: DriverQueue, table: u32): void {
  const source = queue.source;
  if (table & TABLE_FROM_HEAP) tlsfGive(queue.heap, tablePtr(table));
  else if (source == TABLES_PER_NODE) stackPut(stackOf(queue, tableNode(table)), table);
  else if (source != TABLES_SLOT) stackPut(queue.stack0, table);
}

/**
 * After a burst that stopped at the staged buffer at `stream`: refuses it if it breaks a rule, or if it
 * could not be mapped. A table that was taken for it goes back.
 */
export function addStopped(queue: DriverQueue, stream: u32, done: u32): void {
  const unmappable = queue.unmappable;
  queue.unmappable = 0;
  const refusal = stagedRefusal(queue, stream) || unmappable;
  if (!refusal) return;
  refuse(queue, refusal, done);
  queue.wanted = 0;
  const table = queue.unused;
  queue.unused = 0;
  if (table <= NO_TABLE) return;
  if (unmappable) tableWasted(queue);
  tableGive(queue, table);
}

/** Counts the take of a table for a buffer that could not be mapped: misses and falls are counted already. */
function tableWasted(queue: DriverQueue): void {
  queue.tableTakes++;
  if (queue.source == TABLES_HEAP) queue.tableMisses++;
  if (queue.source != TABLES_PER_NODE && queue.node) queue.remoteTakes++;
}

/**
 * Gives tables back to the heap after a burst, for the reason that `tableFallBack` names. They are
 * chained through the first words of shadow records that are free again: {table, next}, by record
 * index plus 1.
 */
export function tablesGiveChain(queue: DriverQueue, chain: u32): void {
  while (chain) {
    const link = load<u64>(queue.records + ((chain - 1) << RECORD_BITS));
    tlsfGive(queue.heap, tablePtr(<u32>link));
    chain = <u32>(link >> 32);
  }
}

/** The free list of a node; every source but `per-node` has one, that of node 0. */
@inline
export function stackOf(queue: DriverQueue, node: u32): Stack {
  return changetype<Stack>(load<u32>(changetype<u32>(queue) + (node << 2), offsetof<DriverQueue>("stack0")));
}

/**
 * Fills the caches of a queue that is being enabled, with nothing outstanding. A cache that does
 * not fit its reserve is switched off: every packet then goes to the heap, and `cacheOff` says so.
 */
export function tablesEnable(queue: DriverQueue): u32 {
  const source = queue.source;
  const threshold = queue.threshold;
  if (source > TABLES_PER_NODE || threshold > MAX_THRESHOLD) return R_TABLE_SOURCE;
  tablesDisable(queue);
  queue.tableBytes = threshold * VIRTQ_DESC_SIZE;
  queue.cacheOff = 0;
  if (source == TABLES_DIRECT || source == TABLES_HEAP) return OK;

  const nodes: u32 = source == TABLES_PER_NODE ? queue.nodes : 1;
  const perNode = queue.size * queue.tableBytes;
  for (let node: u32 = 0; node < nodes; node++) stackInit(stackOf(queue, node), queue.size);
  queue.cacheGrows = <u32>(source == TABLES_GROW);
  if (source == TABLES_GROW || threshold == 0) return OK;
  if (<u64>perNode * nodes > <u64>queue.tablesReserved) {
    queue.cacheOff = 1;
    queue.threshold = 0;
    return OK;
  }
  if (source == TABLES_SLOT) return OK;
  for (let node: u32 = 0; node < nodes; node++) {
    const stack = stackOf(queue, node);
    // Last first, so that the first table is the first to be taken.
    for (let at = queue.size; at > 0; at--) {
      const table = queue.tables + node * perNode + (at - 1) * queue.tableBytes;
      stackPut(stack, table | (node << TABLE_NODE_SHIFT));
    }
  }
  return OK;
}

/** Gives what a `grow` cache holds back to the heap, when its queue is stopped with nothing outstanding. */
export function tablesDisable(queue: DriverQueue): void {
  if (!queue.cacheGrows) return;
  queue.cacheGrows = 0;
  for (;;) {
    const table = stackTake(queue.stack0);
    if (!table) return;
    tlsfGive(queue.heap, tablePtr(table));
  }
}

/** Free tables in the caches, counted by walking the lists: what a leak check may trust. */
export function tablesListed(ptr: u32): u32 {
  const queue = changetype<DriverQueue>(ptr);
  const source = queue.source;
  if (queue.threshold == 0 || source < TABLES_FREELIST || source == TABLES_SLOT) return 0;
  const nodes: u32 = source == TABLES_PER_NODE ? queue.nodes : 1;
  let listed: u32 = 0;
  for (let node: u32 = 0; node < nodes; node++) {
    const stack = stackOf(queue, node);
    // A listed table is free, so its first word can hold its place: what stands twice keeps one.
    for (let at: u32 = 0; at < stackCount(stack); at++) store<u32>(tablePtr(stackEntry(stack, at)), at);
    for (let at: u32 = 0; at < stackCount(stack); at++) {
      const table = stackEntry(stack, at);
      if (tableNode(table) == node && load<u32>(tablePtr(table)) == at) listed++;
    }
  }
  return listed;
}
