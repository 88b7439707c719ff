// The DMA API, with Linux's names: what a driver calls for the memory that it lends to a device. A
// mapping's handle is 32 bits: the bus address less the space's `delta`, which is the place in the
// memory (direct), the place in the pool (swiotlb), or the bus address itself (IOMMU). So staged
// records hold handles where they held pointers, and the rings add `delta` to either.
//
// Each backend is a case in each function here.

import {
  DMA_ATTR_WEAK_ORDERING,
  DMA_BIDIRECTIONAL,
  DMA_DIRECT,
  DMA_E_EMPTY,
  DMA_E_INJECTED,
  DMA_E_RANGE,
  DMA_IOMMU_STRICT,
  DMA_MAPPING_ERROR,
  DMA_SWIOTLB,
  OK,
  OP_MAP,
  OP_SYNC_CPU,
  OP_SYNC_DEVICE,
  OP_UNMAP,
  SEGMENT,
} from "../abi";
import { traceOp } from "../mem/trace";
import { IommuDomain, iommuMap, iommuPlace, iommuTick, iommuUnmap } from "./iommu";
import { AddressSpace } from "./space";
import {
  BouncePool,
  swiotlbMap,
  swiotlbPlace,
  swiotlbSyncForCpu,
  swiotlbSyncForDevice,
  swiotlbUnmap,
} from "./swiotlb";

/**
 * Maps `bytes` at `ptr` for the device: the handle, or DMA_MAPPING_ERROR with `space.failure` set.
 * `direction` and `attrs` are Linux's (abi.ts).
 */
export function dmaMap(space: AddressSpace, ptr: u32, bytes: u32, direction: u32, attrs: u32): u32 {
  const failure = space.failIn && --space.failIn == 0 ? DMA_E_INJECTED : mapError(space, ptr, bytes);
  let dma = DMA_MAPPING_ERROR;
  if (failure) {
    space.failure = failure;
  } else {
    switch (space.kind) {
      case DMA_SWIOTLB:
        dma = swiotlbMap(space, ptr, bytes, direction, attrs);
        break;
      case DMA_DIRECT:
        dma = ptr;
        break;
      default:
        dma = iommuMap(space.backend, ptr, bytes, direction);
        if (dma == DMA_MAPPING_ERROR) space.failure = changetype<IommuDomain>(space.backend).failure;
    }
  }
  if (dma == DMA_MAPPING_ERROR) {
    space.mapFailures++;
    return dma;
  }
  space.maps++;
  if (attrs & DMA_ATTR_WEAK_ORDERING) space.weakOrderings++;
  traceOp(space.trace, OP_MAP, dma, bytes);
  return dma;
}

/** Why [ptr, ptr + bytes) can't be mapped, whatever the backend. */
@inline
function mapError(space: AddressSpace, ptr: u32, bytes: u32): u32 {
  if (!bytes) return DMA_E_EMPTY;
  const end = <u64>ptr + bytes;
  if (end > (<u64>memory.size()) << 16) return DMA_E_RANGE;
  return end > space.privateBase && ptr < space.privateEnd ? DMA_E_RANGE : OK;
}

/** Ends the mapping of `bytes` that `dmaMap` returned as `dma`, with the same direction. */
export function dmaUnmap(space: AddressSpace, dma: u32, bytes: u32, direction: u32, attrs: u32): void {
  switch (space.kind) {
    case DMA_SWIOTLB:
      if (!swiotlbUnmap(space, dma, direction, attrs)) return;
      break;
    case DMA_DIRECT:
      break;
    default:
      if (!iommuUnmap(space.backend, dma, bytes)) return;
  }
  space.unmaps++;
  traceOp(space.trace, OP_UNMAP, dma, bytes);
}

/** Shows the CPU what the device wrote to `bytes` at `dma`, a part of a mapping. */
export function dmaSyncForCpu(space: AddressSpace, dma: u32, bytes: u32, direction: u32): void {
  if (space.kind == DMA_SWIOTLB) swiotlbSyncForCpu(space, dma, bytes, direction);
  space.syncsCpu++;
  space.syncBytesAsked += bytes;
  traceOp(space.trace, OP_SYNC_CPU, dma, bytes);
}

/** Shows the device what the CPU wrote to `bytes` at `dma`, a part of a mapping. */
export function dmaSyncForDevice(space: AddressSpace, dma: u32, bytes: u32, direction: u32): void {
  if (space.kind == DMA_SWIOTLB) swiotlbSyncForDevice(space, dma, bytes, direction);
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
  switch (space.kind) {
    case DMA_SWIOTLB:
      return swiotlbPlace(changetype<BouncePool>(space.backend), dma);
    case DMA_DIRECT:
      return dma;
    default:
      return iommuPlace(space.backend, dma);
  }
}

/**
 * Maps what a driver and its device share for as long as the queue lives, rings above all: the
 * handle, or DMA_MAPPING_ERROR. It is dma_alloc_coherent's part of the work, and not counted: only an
 * IOMMU has something to do, since a bounce pool's device sees the rings as they are.
 */
export function dmaMapCoherent(space: AddressSpace, ptr: u32, bytes: u32): u32 {
  const failure = mapError(space, ptr, bytes);
  if (failure) {
    space.failure = failure;
    return DMA_MAPPING_ERROR;
  }
  if (space.kind < DMA_IOMMU_STRICT) return ptr;
  const dma = iommuMap(space.backend, ptr, bytes, DMA_BIDIRECTIONAL);
  if (dma == DMA_MAPPING_ERROR) space.failure = changetype<IommuDomain>(space.backend).failure;
  return dma;
}

/** Ends what `dmaMapCoherent` returned. */
export function dmaUnmapCoherent(space: AddressSpace, dma: u32, bytes: u32): void {
  if (space.kind >= DMA_IOMMU_STRICT) iommuUnmap(space.backend, dma, bytes);
}

/** The host's tick, which stands in for a timer: what waits for a flush is flushed. */
export function dmaTick(space: AddressSpace): void {
  if (space.kind >= DMA_IOMMU_STRICT) iommuTick(space.backend);
}
