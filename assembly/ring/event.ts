// When the peer has asked to be told: the two event tests (2.7.7, 2.7.10, 2.8.10, 2.8.14).

import { ahead } from "./serial";

/**
 * Split: entries old .. now-1 were written since the last decision; the peer wants to be told
 * when entry `event` is among them. Not equality: a burst steps over the event (S-D-15, S-V-08).
 */
@inline
export function splitEventCrossed(event: u32, now: u32, old: u32): bool {
  return ahead(now - 1, event) < ahead(now, old);
}

/**
 * Packed: the `covered` slots before (slot, wrap) were made available or used since the last
 * decision, the skipped slots of lists among them; the peer named (event & 0x7fff, event >> 15).
 * An offset past the ring only makes the test say no or yes once too often (H-V-09).
 */
@inline
export function packedEventCrossed(event: u32, slot: u32, wrap: u32, size: u32, covered: u32): bool {
  // More than a lap: the event no longer names one slot of it.
  if (covered > size) return true;
  const offset = event & 0x7fff;
  const back = event >> 15 == wrap ? slot - offset : slot + size - offset;
  // back is signed; as unsigned, 0 and every negative value end up above any `covered`.
  return back - 1 < covered;
}
