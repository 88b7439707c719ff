// What a host does with the packets that its device half has popped, by the kind of its path.

import { HOST_COPY, HOST_ENGINE, HOST_PASSTHRU } from "../abi";
import { copyTakes } from "./host-copy";
import { engineDrain, engineRoom, engineTakes, engineTurn } from "./host-engine";
import { passthruClose, passthruDrain, passthruTakes } from "./host-passthru";
import { zerocopyDrain, zerocopyTakes } from "./host-zerocopy";
import { Port } from "./port";

/** How many packets may be popped for the host, of up to `most`. */
@inline
export function hostRoom(port: Port, most: u32): u32 {
  return port.host.kind == HOST_ENGINE ? engineRoom(port, most) : most;
}

/** Takes `count` popped packets over; what is done with is marked used and shown. False after a fault. */
export function hostTakes(port: Port, count: u32): bool {
  switch (port.host.kind) {
    case HOST_COPY:
      return copyTakes(port, count);
    case HOST_ENGINE:
      return engineTakes(port, count);
    case HOST_PASSTHRU:
      return passthruTakes(port, count);
    default:
      return zerocopyTakes(port, count);
  }
}

/** The turn of what works beside the CPU; how much it did. */
export function hostTurn(port: Port): u32 {
  return port.host.kind == HOST_ENGINE ? engineTurn(port) : 0;
}

/** Waits for what the host has not given back yet, and shows it to the driver. */
export function hostDrain(port: Port): void {
  port.host.shown = 0;
  switch (port.host.kind) {
    case HOST_COPY:
      break;
    case HOST_ENGINE:
      engineDrain(port);
      break;
    case HOST_PASSTHRU:
      passthruDrain(port);
      break;
    default:
      zerocopyDrain(port);
  }
}

/** The queue was stopped: forgets what the host still has of it. */
export function hostClose(port: Port): void {
  if (port.host.kind == HOST_PASSTHRU) passthruClose(port);
}
