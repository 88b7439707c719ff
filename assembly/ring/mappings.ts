// What a driver half with ACCESS_PLATFORM maps: the elements of a buffer when it is added, then its table
// once it is filled, and with QUEUE_F_TABLES_MAPPED the cached tables once, when the queue is enabled.
// They are unmapped when the buffer comes back, be it used or detached.
//
// What was mapped is remembered in private memory, a record for each descriptor or buffer id: nothing is
// ever read back from a ring or a table (H-D-04).
//
//   record   readable u16, writable u16, table u32 | {handle, bytes} of element 0 | ... of element maxSgs - 1
//
// table    the table's handle, or DMA_MAPPING_ERROR when none was mapped for this buffer
//
// With QUEUE_F_PREMAPPED elements are handles already, and whoever staged them unmaps them.

import {
  ADD_HEADER,
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  DMA_TO_DEVICE,
  QUEUE_F_ACCESS_PLATFORM,
  QUEUE_F_DIRECT_HEAD,
  QUEUE_F_PREMAPPED,
  QUEUE_F_TABLES_MAPPED,
  R_DMA_MAP_FAILED,
  R_TOO_MANY_MAPPINGS,
  SEGMENT,
  TABLES_FREELIST,
  TABLES_GROW,
  TABLES_PER_NODE,
} from "../abi";
import { dmaMap, dmaSyncForDevice, dmaUnmap } from "../dma/dma";
import { VIRTQ_DESC_SIZE } from "../spec";
import { DriverQueue, MAX_BUFFER_BYTES } from "./driver";
import { TABLE_FROM_HEAP, tablePtr } from "./tables";

const MAPPING_TABLE: u32 = 4;
const MAPPING_ELEMENTS: u32 = 8;

/** Bytes of a record for buffers of up to `maxSgs` elements. */
export function mappingBytes(maxSgs: u32): u32 {
  return MAPPING_ELEMENTS + maxSgs * SEGMENT;
}

/**
 * Maps the elements of the buffer staged at `stream`, which gets the record `id`: where the same elements
 * lie with handles for pointers, or 0 with nothing mapped. `unmappable` then says why, if `stagedRefusal` doesn't.
 */
export function mapElements(queue: DriverQueue, stream: u32, id: u32): u32 {
  const counts = load<u32>(stream, 4);
  const readable = counts & 0xffff;
  const n = readable + (counts >> 16);
  const record = recordOf(queue, id);
  let from = stream + ADD_HEADER;
  store<u32>(record, counts);
  store<u32>(record, DMA_MAPPING_ERROR, MAPPING_TABLE);
  if (queue.flags & QUEUE_F_PREMAPPED) return from;
  if (mappingBytes(n) > queue.mappingStride) {
    queue.unmappable = R_TOO_MANY_MAPPINGS;
    return 0;
  }
  let bytes: u64 = 0;
  for (let k: u32 = 0; k < n; k++) bytes += load<u32>(from + k * SEGMENT, 4);
  if (bytes > MAX_BUFFER_BYTES) return 0;

  const elements = record + MAPPING_ELEMENTS;
  for (let k: u32 = 0; k < n; k++) {
    const to = elements + k * SEGMENT;
    const length = load<u32>(from, 4);
    const dma = dmaMap(
      queue.space,
      load<u32>(from),
      length,
      k < readable ? DMA_TO_DEVICE : DMA_FROM_DEVICE,
      0,
    );
    if (dma == DMA_MAPPING_ERROR) {
      unmapElements(queue, record, k);
      queue.unmappable = R_DMA_MAP_FAILED;
      return 0;
    }
    store<u32>(to, dma);
    store<u32>(to, length, 4);
    from += SEGMENT;
  }
  return elements;
}

/**
 * Maps the filled `table` of the buffer with the record `id`: its handle, or DMA_MAPPING_ERROR with the
 * buffer's elements unmapped too. A cached table that is mapped already is only synced.
 */
export function mapTable(queue: DriverQueue, id: u32, table: u32, entries: u32): u32 {
  const ptr = tablePtr(table);
  const bytes = entries * VIRTQ_DESC_SIZE;
  if (queue.mappedBytes && !(table & TABLE_FROM_HEAP)) {
    const dma = queue.mappedTables + (ptr - queue.tables);
    dmaSyncForDevice(queue.space, dma, bytes, DMA_TO_DEVICE);
    return dma;
  }
  const record = recordOf(queue, id);
  const dma = dmaMap(queue.space, ptr, bytes, DMA_TO_DEVICE, 0);
  if (dma == DMA_MAPPING_ERROR) {
    unmapBuffer(queue, id);
    queue.unmappable = R_DMA_MAP_FAILED;
  } else {
    store<u32>(record, dma, MAPPING_TABLE);
  }
  return dma;
}

/** Unmaps whatever was mapped for the buffer with the record `id`. */
export function unmapBuffer(queue: DriverQueue, id: u32): void {
  const record = recordOf(queue, id);
  const counts = load<u32>(record);
  const n = (counts & 0xffff) + (counts >> 16);
  if (!(queue.flags & QUEUE_F_PREMAPPED)) unmapElements(queue, record, n);
  const table = load<u32>(record, MAPPING_TABLE);
  if (table == DMA_MAPPING_ERROR) return;
  const entries = queue.flags & QUEUE_F_DIRECT_HEAD ? n - 1 : n;
  dmaUnmap(queue.space, table, entries * VIRTQ_DESC_SIZE, DMA_TO_DEVICE, 0);
}

/** The first `count` elements of a record. */
function unmapElements(queue: DriverQueue, record: u32, count: u32): void {
  const readable = load<u32>(record) & 0xffff;
  let element = record + MAPPING_ELEMENTS;
  for (let k: u32 = 0; k < count; k++) {
    const direction = k < readable ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
    dmaUnmap(queue.space, load<u32>(element), load<u32>(element, 4), direction, 0);
    element += SEGMENT;
  }
}

/**
 * Maps the cached tables of a queue that is being enabled, as one piece, if that is asked for. If it can't
 * be had, tables are mapped with their buffers, and `mappedBytes` stays 0.
 */
export function mapCachedTables(queue: DriverQueue): void {
  const flags = QUEUE_F_ACCESS_PLATFORM | QUEUE_F_TABLES_MAPPED;
  const source = queue.source;
  if ((queue.flags & flags) != flags || source < TABLES_FREELIST || source == TABLES_GROW) return;
  const nodes: u32 = source == TABLES_PER_NODE ? queue.nodes : 1;
  const bytes = nodes * queue.size * queue.threshold * VIRTQ_DESC_SIZE;
  if (!bytes) return;
  const dma = dmaMap(queue.space, queue.tables, bytes, DMA_TO_DEVICE, 0);
  if (dma == DMA_MAPPING_ERROR) return;
  queue.mappedTables = dma;
  queue.mappedBytes = bytes;
}

/** Ends that, when the queue is stopped with nothing outstanding. */
export function unmapCachedTables(queue: DriverQueue): void {
  if (!queue.mappedBytes) return;
  dmaUnmap(queue.space, queue.mappedTables, queue.mappedBytes, DMA_TO_DEVICE, 0);
  queue.mappedBytes = 0;
}

@inline
function recordOf(queue: DriverQueue, id: u32): u32 {
  return queue.mappings + id * queue.mappingStride;
}
