// Where a device half's rings lie in the memory: looked for when the queue is enabled, and behind an
// IOMMU again when what was found may have ended.

import {
  DMA_IOMMU_STRICT,
  E_RING_FAULT,
  IOMMU_FAULT,
  OK,
  QUEUE_F_ACCESS_PLATFORM,
  QUEUE_F_INDIRECT,
  QUEUE_STOPPED,
  R_QUEUE_LIVE,
  R_RING_ADDRESS,
  R_RING_ALIGNMENT,
  R_RING_OVERLAP,
} from "../abi";
import { IommuDomain } from "../dma/iommu";
import { inWindow } from "../dma/space";
import { DeviceQueue, HANDLE_SHIFT } from "./device";
import { breakQueue } from "./queue";
import { ringPlace } from "./translate";

/** Finds the three areas in the queue's address space; checks alignment, bounds and overlap. */
export function placeRings(
  queue: DeviceQueue,
  descAlign: u32,
  areaAlign: u32,
  usedAlign: u32,
  descBytes: u32,
  driverBytes: u32,
  deviceBytes: u32,
  descWritten: bool,
): u32 {
  if (queue.state != QUEUE_STOPPED) return R_QUEUE_LIVE;
  const desc = queue.descAddr;
  const driver = queue.driverAddr;
  const device = queue.deviceAddr;
  if (desc & (descAlign - 1) || driver & (areaAlign - 1) || device & (usedAlign - 1)) return R_RING_ALIGNMENT;
  const space = queue.space;
  const platform = (queue.flags & QUEUE_F_ACCESS_PLATFORM) != 0;
  const base = platform ? space.seenBase : space.base;
  const length = platform ? space.seenLength : space.length;
  const offset = platform ? space.seenOffset : space.offset;
  if (!inWindow(base, length, desc, descBytes)) return R_RING_ADDRESS;
  if (!inWindow(base, length, driver, driverBytes)) return R_RING_ADDRESS;
  if (!inWindow(base, length, device, deviceBytes)) return R_RING_ADDRESS;
  if (overlap(desc, descBytes, driver, driverBytes)) return R_RING_OVERLAP;
  if (overlap(desc, descBytes, device, deviceBytes)) return R_RING_OVERLAP;
  if (overlap(driver, driverBytes, device, deviceBytes)) return R_RING_OVERLAP;
  queue.windowBase = base;
  queue.windowLength = length;
  queue.windowPlace = offset;
  queue.windowDelta = offset - <u32>base;
  queue.domain = platform && space.kind >= DMA_IOMMU_STRICT ? space.backend : 0;
  queue.descBytes = descBytes;
  queue.driverBytes = driverBytes;
  queue.deviceBytes = deviceBytes;
  queue.descWritten = <u32>descWritten;
  if (!queue.domain) {
    queue.desc = <u32>desc + queue.windowDelta;
    queue.driverArea = <u32>driver + queue.windowDelta;
    queue.deviceArea = <u32>device + queue.windowDelta;
  } else if (!translateRings(queue)) {
    return R_RING_ADDRESS;
  }
  // A window may turn an aligned bus address into a place that is not, where atomics would trap.
  if (queue.desc & (descAlign - 1)) return R_RING_ALIGNMENT;
  if (queue.driverArea & (areaAlign - 1)) return R_RING_ALIGNMENT;
  if (queue.deviceArea & (usedAlign - 1)) return R_RING_ALIGNMENT;
  // A completion that still carries an older generation is refused.
  queue.generation = (queue.generation + 1) & 0xffff;
  queue.handleBase = queue.generation << HANDLE_SHIFT;
  queue.tableEntries = queue.flags & QUEUE_F_INDIRECT ? queue.size : 0;
  if (queue.maxChain == 0 || queue.maxChain > queue.size) queue.maxChain = queue.size;
  return OK;
}

/** Finds the areas behind an IOMMU, from here on until their translation ends; whether all are there. */
function translateRings(queue: DeviceQueue): bool {
  queue.ringEpoch = changetype<IommuDomain>(queue.domain).ringEpoch;
  const desc = ringPlace(queue, queue.descAddr, queue.descBytes, false);
  if (desc == IOMMU_FAULT) return false;
  if (queue.descWritten && ringPlace(queue, queue.descAddr, queue.descBytes, true) == IOMMU_FAULT)
    return false;
  const driverArea = ringPlace(queue, queue.driverAddr, queue.driverBytes, false);
  if (driverArea == IOMMU_FAULT) return false;
  const deviceArea = ringPlace(queue, queue.deviceAddr, queue.deviceBytes, true);
  if (deviceArea == IOMMU_FAULT) return false;
  queue.desc = desc;
  queue.driverArea = driverArea;
  queue.deviceArea = deviceArea;
  return true;
}

/** Whether the rings lie where they were found: what a call of the device half asks before it looks at them. */
@inline
export function ringsStand(queue: DeviceQueue): bool {
  return !queue.domain || changetype<IommuDomain>(queue.domain).ringEpoch == queue.ringEpoch;
}

/** Finds the rings again; without them the queue breaks. */
export function ringsFound(queue: DeviceQueue): bool {
  if (translateRings(queue)) return true;
  breakQueue(queue, E_RING_FAULT, <u32>queue.descAddr);
  return false;
}

/** Distances, not ends: an area may end at the very end of the bus addresses. */
function overlap(a: u64, aBytes: u64, b: u64, bBytes: u64): bool {
  return b - a < aBytes || a - b < bBytes;
}
