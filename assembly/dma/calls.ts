// The DMA API for the host, to which a space is a place in the memory: an exported function with a
// class among its parameters would bring a runtime with it.

import {
  dmaMap,
  dmaMapCoherent,
  dmaMapSg,
  dmaPlace,
  dmaSyncForCpu,
  dmaSyncForDevice,
  dmaTick,
  dmaUnmap,
  dmaUnmapCoherent,
  dmaUnmapSg,
} from "./dma";
import { AddressSpace } from "./space";

export function spaceMap(space: u32, ptr: u32, bytes: u32, direction: u32, attrs: u32): u32 {
  return dmaMap(changetype<AddressSpace>(space), ptr, bytes, direction, attrs);
}

export function spaceUnmap(space: u32, dma: u32, bytes: u32, direction: u32, attrs: u32): void {
  dmaUnmap(changetype<AddressSpace>(space), dma, bytes, direction, attrs);
}

export function spaceSyncForCpu(space: u32, dma: u32, bytes: u32, direction: u32): void {
  dmaSyncForCpu(changetype<AddressSpace>(space), dma, bytes, direction);
}

export function spaceSyncForDevice(space: u32, dma: u32, bytes: u32, direction: u32): void {
  dmaSyncForDevice(changetype<AddressSpace>(space), dma, bytes, direction);
}

export function spaceMapSg(space: u32, elements: u32, count: u32, direction: u32, attrs: u32): bool {
  return dmaMapSg(changetype<AddressSpace>(space), elements, count, direction, attrs);
}

export function spaceUnmapSg(space: u32, elements: u32, count: u32, direction: u32, attrs: u32): void {
  dmaUnmapSg(changetype<AddressSpace>(space), elements, count, direction, attrs);
}

export function spacePlace(space: u32, dma: u32): u32 {
  return dmaPlace(changetype<AddressSpace>(space), dma);
}

export function spaceMapCoherent(space: u32, ptr: u32, bytes: u32): u32 {
  return dmaMapCoherent(changetype<AddressSpace>(space), ptr, bytes);
}

export function spaceUnmapCoherent(space: u32, dma: u32, bytes: u32): void {
  dmaUnmapCoherent(changetype<AddressSpace>(space), dma, bytes);
}

export function spaceTick(space: u32): void {
  dmaTick(changetype<AddressSpace>(space));
}
