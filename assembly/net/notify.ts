// Notification coalescing of the device half (5.1.9.5.10): what was used is shown at once, the decision
// about an interrupt waits for a number of packets or for a time, whichever comes first. There is no
// clock here: the time is what the host last said it is.

import { count, interruptWanted, NetQueue, queueWorks, showUsed } from "./queue";

/** The split event test counts modulo 2^16: a decision may not wait for more buffers than this. */
const MOST_UNDECIDED: u32 = 16384;

/** Shows what was used for `packets` more packets, and decides about an interrupt if one is due. */
export function usedPackets(queue: NetQueue, packets: u32, now: u32, notifications: u32): void {
  showUsed(queue);
  if (!queue.waitingPackets) queue.waitingSince = now;
  queue.waitingPackets += packets;
  decideIfDue(queue, now, notifications);
}

/** Q-V-03: decides if `maxPackets` are there, or `maxUsecs` have passed, or either of them is 0. */
export function decideIfDue(queue: NetQueue, now: u32, notifications: u32): void {
  if (queue.maxPackets && queue.maxUsecs && queue.waitingBuffers < MOST_UNDECIDED) {
    if (queue.waitingPackets < queue.maxPackets && now - queue.waitingSince < queue.maxUsecs) return;
  }
  decide(queue, notifications);
}

/** Decides about an interrupt for what was shown since the last decision, if there is something. */
export function decide(queue: NetQueue, notifications: u32): void {
  if (!queue.waitingBuffers || !queueWorks(queue)) return;
  queue.waitingPackets = 0;
  queue.waitingBuffers = 0;
  // Q-V-04: what the ring says about notifications has the last word.
  if (!interruptWanted(queue)) return;
  queue.interrupt = 1;
  count(queue, notifications, 1);
}

/** The parameters of a queue, evaluated at once for what waits. */
export function setCoalescing(
  queue: NetQueue,
  maxPackets: u32,
  maxUsecs: u32,
  now: u32,
  notifications: u32,
): void {
  queue.maxPackets = maxPackets;
  queue.maxUsecs = maxUsecs;
  decideIfDue(queue, now, notifications);
}
