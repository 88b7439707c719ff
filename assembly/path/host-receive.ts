// What a host does with a frame that the wire sends, by the kind of its path, before it is in the guest's buffers.

import { countCpuCopy } from "./copies";
import { copySource } from "./host-copy";
import { Port } from "./port";

/** Where the last copy takes the frame from that the wire left at `ptr`. */
export function hostSource(port: Port, ptr: u32, frameBytes: u32): u32 {
  return copySource(port, ptr, frameBytes);
}

/** The frame is in the guest's buffers. */
export function hostPlaced(port: Port, frameBytes: u32): void {
  countCpuCopy(port.host, frameBytes);
}
