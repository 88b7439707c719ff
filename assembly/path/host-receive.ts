// What a host does with a frame that the wire sends, by the kind of its path, until it is in the guest's buffers.

import { HOST_ENGINE, HOST_PASSTHRU } from "../abi";
import { countCpuCopy } from "./copies";
import { copySends, copySource } from "./host-copy";
import { engineBegins, engineBusy, engineEnds, enginePolls } from "./host-engine";
import { passthruSends } from "./host-passthru";
import { MOVE_CPU, MOVE_ENGINE, placeBuffers, placeFits, placeFrame, placePieces } from "./place-frame";
import { Port, showStaged } from "./port";

/** Shows what has been done beside the CPU since the last burst. */
export function hostPolls(port: Port): void {
  port.host.shown = 0;
  if (port.host.kind != HOST_ENGINE) return;
  enginePolls(port);
  showStaged(port);
}

/** Whether the path has taken the next `count` frames of the stream, because it has the guest's buffers already. */
@inline
export function hostSends(port: Port, count: u32): bool {
  if (port.host.kind != HOST_PASSTHRU) return false;
  passthruSends(port, count);
  return true;
}

/** Places the first of `count` frames, as many as are alike enough for one loop; how many. The others go one by one. */
@inline
export function hostPlacesFirst(port: Port, count: u32): u32 {
  return port.host.kind == HOST_ENGINE ? 0 : copySends(port, count);
}

/** Places the frame that the wire left at `ptr`, or drops it, which is counted. False if it has to wait, or after a fault. */
@inline
export function hostPlaces(port: Port, ptr: u32, frameBytes: u32): bool {
  if (port.host.kind == HOST_ENGINE) return enginePlaces(port, ptr, frameBytes);
  const total = port.headerBytes + frameBytes;
  const buffers = placeBuffers(port, total);
  if (!buffers) return true;
  if (!placeFrame(port, MOVE_CPU, copySource(port, ptr, frameBytes), total, buffers)) return false;
  countCpuCopy(port.host, frameBytes);
  return true;
}

function enginePlaces(port: Port, ptr: u32, frameBytes: u32): bool {
  const total = port.headerBytes + frameBytes;
  // The guest gets buffers back when the engine is done with them, and posts others: no frame is lost for want of those.
  if ((engineBusy(port) || port.host.shown) && !placeFits(port, total)) return false;
  const buffers = placeBuffers(port, total);
  if (!buffers) return true;
  if (!engineBegins(port, placePieces(port, buffers))) return false;
  const whole = placeFrame(port, MOVE_ENGINE, copySource(port, ptr, frameBytes), total, buffers);
  engineEnds(port, whole);
  return whole;
}
