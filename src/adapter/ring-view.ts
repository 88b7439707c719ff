/** A ring as it lies in guest memory, for people who want to watch it. */
import * as spec from "../../assembly/spec.ts";
import type { DeviceQueue } from "../device-queue.ts";
import type { RingFormat } from "../names.ts";

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
  const { format, size, addresses } = queue;
  const { base, offset } = queue.device.window;
  const memory = new DataView(queue.engine.memory.buffer);
  const place = (address: bigint) => Number(address - base) + offset;
  const ring =
    format === "split"
      ? split(memory, size, place(addresses.driverArea), place(addresses.deviceArea))
      : packed(memory, size, place(addresses.desc));
  return { format, size, ...ring };
}

type Positions = Pick<RingView, "avail" | "used" | "available">;

function split(memory: DataView, size: number, availRing: number, usedRing: number): Positions {
  const avail = memory.getUint16(availRing + 2, true);
  const used = memory.getUint16(usedRing + 2, true);
  const outstanding = Math.min((avail - used) & 0xffff, size);
  const available = Array.from({ length: size }, (_, slot) => ((slot - used) & 0xffff) % size < outstanding);
  return { avail: avail % size, used: used % size, available };
}

/** A slot is the device's while its two ownership bits differ (2.8.1); those slots lie in one piece. */
function packed(memory: DataView, size: number, desc: number): Positions {
  const flags = (slot: number) =>
    memory.getUint16(desc + ((slot + size) % size) * spec.VIRTQ_DESC_SIZE + 14, true);
  const has = (slot: number, bit: number) => (flags(slot) & bit) !== 0;
  const isAvailable = (slot: number) =>
    has(slot, spec.VIRTQ_DESC_F_AVAIL) !== has(slot, spec.VIRTQ_DESC_F_USED);
  const slots = Array.from({ length: size }, (_, slot) => slot);
  const available = slots.map(isAvailable);
  const used = slots.find((slot) => isAvailable(slot) && !isAvailable(slot - 1));
  const avail = slots.find((slot) => !isAvailable(slot) && isAvailable(slot - 1));
  if (used !== undefined && avail !== undefined) return { avail, used, available };
  // All or none: the laps meet where the bit of the availability turns over.
  const turn = slots.find(
    (slot) => slot > 0 && has(slot, spec.VIRTQ_DESC_F_AVAIL) !== has(0, spec.VIRTQ_DESC_F_AVAIL),
  );
  return { avail: turn ?? 0, used: turn ?? 0, available };
}
