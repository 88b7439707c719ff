// The control queue (5.1.9.5): a command's bytes are copied out of the driver's reach, the host decides
// what it means, and the answer goes back. Commands are few: each is two calls.

import { deviceRuns } from "../device";
import { POP_READABLE } from "../ring/device";
import { CONTROL_BYTES, controlQueue, NetDevice } from "./device";
import {
  armQueue,
  gather,
  interruptWanted,
  popMore,
  queueWorks,
  scatter,
  showUsed,
  useNext,
  writableBytes,
} from "./queue";

/**
 * Takes the next command to `net.control`; whether there is one. `controlBytes` is its whole length: of one that
 * is longer than any legal command nothing is copied. `controlAnswer` bytes may be written.
 */
export function netControlNext(ptr: u32): u32 {
  const net = changetype<NetDevice>(ptr);
  const queue = controlQueue(net);
  if (!deviceRuns(net.device) || !queueWorks(queue)) return 0;
  if (!queue.left && !popMore(queue, 1)) {
    if (!armQueue(queue) || !popMore(queue, 1)) return 0;
  }
  const bytes = load<u32>(queue.next, POP_READABLE);
  net.controlBytes = bytes;
  net.controlAnswer = writableBytes(queue.next);
  if (bytes <= CONTROL_BYTES && !gather(queue, queue.next, 0, net.control, bytes)) return 0;
  return 1;
}

/** Answers the command that was taken with the first `bytes` bytes of `net.control`, as many as it has room for. */
export function netControlAnswer(ptr: u32, bytes: u32): void {
  const net = changetype<NetDevice>(ptr);
  const queue = controlQueue(net);
  if (!queueWorks(queue) || !queue.left) return;
  const written = min(bytes, writableBytes(queue.next));
  if (!scatter(queue, queue.next, 0, net.control, written)) return;
  useNext(queue, written);
  showUsed(queue);
  queue.waitingBuffers = 0;
  if (interruptWanted(queue)) queue.interrupt = 1;
}
