// The DMA API, with Linux's names: what a driver calls for the memory that it lends to a device. A
// mapping's handle is 32 bits: the bus address less the space's `delta`, which is the place in the
// memory (direct), the place in the pool (swiotlb), or the bus address itself (IOMMU). So staged
// records hold handles where they held pointers, and the rings add `delta` to either.
//
// Each backend is a case in each function here.

import {
  DMA_ATTR_WEAK_ORDERING,
  DMA_E_EMPTY,
  DMA_E_INJECTED,
  DMA_E_RANGE,
  DMA_MAPPING_ERROR,
  OP_MAP,
  OP_SYNC_CPU,
  OP_SYNC_DEVICE,
  OP_UNMAP,
  SEGMENT,
} from "../abi";
import { traceOp } from "../mem/trace";
import { AddressSpace } from "./space";

/**
 * Maps `bytes` at `ptr` for the device: the handle, or DMA_MAPPING_ERROR with `space.failure` set.
 * `direction` and `attrs` are Linux's (abi.ts).
 */
export function dmaMap(space: AddressSpace, ptr: u32, bytes: u32, direction: u32, attrs: u32): u32 {
  if (space.failIn && --space.failIn == 0) return mapFailed(space, DMA_E_INJECTED);
  if (!bytes) return mapFailed(space, DMA_E_EMPTY);
  if (<u64>ptr + bytes > 1 << 32) return mapFailed(space, DMA_E_RANGE);
  const dma = ptr;
  space.maps++;
  if (attrs & DMA_ATTR_WEAK_ORDERING) space.weakOrderings++;
  traceOp(space.trace, OP_MAP, dma, bytes);
  return dma;
}

/** Ends the mapping of `bytes` that `dmaMap` returned as `dma`, with the same direction. */
export function dmaUnmap(space: AddressSpace, dma: u32, bytes: u32, direction: u32, attrs: u32): void {
  space.unmaps++;
  traceOp(space.trace, OP_UNMAP, dma, bytes);
}

/** Shows the CPU what the device wrote to `bytes` at `dma`, a part of a mapping. */
export function dmaSyncForCpu(space: AddressSpace, dma: u32, bytes: u32, direction: u32): void {
  space.syncsCpu++;
  space.syncBytesAsked += bytes;
  traceOp(space.trace, OP_SYNC_CPU, dma, bytes);
}

/** Shows the device what the CPU wrote to `bytes` at `dma`, a part of a mapping. */
export function dmaSyncForDevice(space: AddressSpace, dma: u32, bytes: u32, direction: u32): void {
  space.syncsDevice++;
  space.syncBytesAsked += bytes;
  traceOp(space.trace, OP_SYNC_DEVICE, dma, bytes);
}

/**
 * Maps `count` {ptr, bytes} elements at `elements`, writing each handle over its pointer. All or
 * nothing: when one fails those before it are unmapped, the pointers are back, and it returns false.
 */
export function dmaMapSg(space: AddressSpace, elements: u32, count: u32, direction: u32, attrs: u32): bool {
  for (let k: u32 = 0; k < count; k++) {
    const at = elements + k * SEGMENT;
    const dma = dmaMap(space, load<u32>(at), load<u32>(at, 4), direction, attrs);
    if (dma == DMA_MAPPING_ERROR) {
      dmaUnmapSg(space, elements, k, direction, attrs);
      return false;
    }
    store<u32>(at, dma);
  }
  return true;
}

/** Unmaps `count` {handle, bytes} elements at `elements`, writing each pointer back over its handle. */
export function dmaUnmapSg(space: AddressSpace, elements: u32, count: u32, direction: u32, attrs: u32): void {
  for (let k: u32 = 0; k < count; k++) {
    const at = elements + k * SEGMENT;
    const dma = load<u32>(at);
    const ptr = dmaPlace(space, dma);
    dmaUnmap(space, dma, load<u32>(at, 4), direction, attrs);
    store<u32>(at, ptr);
  }
}

/** The driver's own memory behind a handle that is mapped. */
export function dmaPlace(space: AddressSpace, dma: u32): u32 {
  return dma;
}

function mapFailed(space: AddressSpace, failure: u32): u32 {
  space.failure = failure;
  space.mapFailures++;
  return DMA_MAPPING_ERROR;
}
