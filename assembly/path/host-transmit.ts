// What a host does with the packets that its device half has popped, by the kind of its path.

import { copyTakes } from "./host-copy";
import { Port } from "./port";

/** Takes `count` popped packets over; what is done with is marked used and shown. False after a fault. */
export function hostTakes(port: Port, count: u32): bool {
  return copyTakes(port, count);
}

/** Waits for what the host has not given back yet, and shows it to the driver. A path that holds nothing has nothing to do. */
export function hostDrain(port: Port): void {
  port.host.shown = 0;
}
