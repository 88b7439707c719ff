// What a host does with the packets that its device half has popped, by the kind of its path.

import { HOST_COPY } from "../abi";
import { copyTakes } from "./host-copy";
import { zerocopyDrain, zerocopyTakes } from "./host-zerocopy";
import { Port } from "./port";

/** Takes `count` popped packets over; what is done with is marked used and shown. False after a fault. */
export function hostTakes(port: Port, count: u32): bool {
  return port.host.kind == HOST_COPY ? copyTakes(port, count) : zerocopyTakes(port, count);
}

/** Waits for what the host has not given back yet, and shows it to the driver. */
export function hostDrain(port: Port): void {
  port.host.shown = 0;
  if (port.host.kind != HOST_COPY) zerocopyDrain(port);
}
