/** A ring as it lies in guest memory, for people who want to watch it. */
import * as spec from "../../assembly/spec.ts";
import type { DeviceQueue } from "../device-queue.ts";
import type { RingFormat } from "../names.ts";
import type { VirtioDevice } from "../virtio-device.ts";

export interface RingView {
  format: RingFormat;
  size: number;
  /** Slots at which the driver makes the next buffer available, and the device the next one used. */
  avail: number;
  used: number;
  /** For each slot whether it holds something that is the device's: available, and not used yet. */
  available: boolean[];
}

/** Looks at the ring of a queue that is enabled. Allocates. */
export function viewRing(queue: DeviceQueue): RingView {
  const { format, size } = queue;
  return { format, size, ...(format === "split" ? split(queue) : packed(queue)) };
}

type Positions = Pick<RingView, "avail" | "used" | "available">;

function split({ engine, size, addresses, device }: DeviceQueue): Positions {
  const memory = new DataView(engine.memory.buffer);
  const avail = memory.getUint16(placeOf(device, addresses.driverArea) + 2, true);
  const used = memory.getUint16(placeOf(device, addresses.deviceArea) + 2, true);
  const outstanding = Math.min((avail - used) & 0xffff, size);
  const available = Array.from({ length: size }, (_, slot) => ((slot - used) & 0xffff) % size < outstanding);
  return { avail: avail % size, used: used % size, available };
}

/**
 * What is the device's lies in one piece from its next used slot on, and has the bits of its lap (2.8.1). Slots elsewhere
 * may have the like: of a used buffer only the first is written.
 */
function packed({ engine, ptr, size, addresses, device }: DeviceQueue): Positions {
  const memory = new DataView(engine.memory.buffer);
  const { wasm, u32 } = engine;
  const desc = placeOf(device, addresses.desc);
  const used = u32[(ptr + wasm.PACKED_DEVICE_NEXT_USED.value) >>> 2];
  const lap = u32[(ptr + wasm.PACKED_DEVICE_USED_WRAP.value) >>> 2] !== 0;
  const available = new Array<boolean>(size).fill(false);
  let end = used;
  for (; end < used + size; end++) {
    const wrap = end < size ? lap : !lap;
    const flags = memory.getUint16(desc + (end % size) * spec.VIRTQ_DESC_SIZE + 14, true);
    const isAvailable = ((flags & spec.VIRTQ_DESC_F_AVAIL) !== 0) === wrap;
    const isUsed = ((flags & spec.VIRTQ_DESC_F_USED) !== 0) === wrap;
    if (!isAvailable || isUsed) break;
    available[end % size] = true;
  }
  return { avail: end % size, used, available };
}

/** The place in the memory of an address in the device's window. */
function placeOf({ window }: VirtioDevice, address: bigint): number {
  return Number(address - window.base) + window.offset;
}
