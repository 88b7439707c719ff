// The program at an AF_XDP socket, as the engine plays it. The packets that it sends lie in their chunks from the
// start: there are as many chunks as packets of a pass, or a multiple, so that only descriptors are written.

import { Consumer } from "../rx/consumer";
import { nextFrame } from "./app";
import { xskWakes } from "./app-xsk";
import { Port } from "./port";
import { checkFrame, digestFrame } from "./program-digest";
import {
  consumed,
  needsWakeup,
  produced,
  ringAddress,
  ringDesc,
  ringReady,
  ringRoom,
  XskApp,
} from "./xsk-ring";

/** Puts up to `count` descriptors into the tx ring, and wakes the kernel if it sleeps. */
export function xskProgramSends(port: Port, app: XskApp, count: u32): void {
  xskProgramCollects(app);
  let length = port.stream + ((port.done + app.pending) << 2);
  let producer = app.txProducer;
  let chunk = app.chunkAt;
  const end = producer + min(count, ringRoom(app, app.tx, producer));
  for (; producer != end; producer++) {
    if (!load<u8>(app.home + chunk)) break;
    store<u8>(app.home + chunk, 0);
    const desc = ringDesc(app, app.tx, producer);
    store<u64>(desc, ((<u64>chunk) << app.chunkShift) + app.frameAt);
    store<u64>(desc, <u64>load<u32>(length), 8);
    length += 4;
    chunk = nextFrame(app, chunk);
    app.pending++;
  }
  app.chunkAt = chunk;
  app.txProducer = producer;
  produced(app.tx, producer);
  if (app.pending && needsWakeup(app.tx)) xskWakes(app, app.tx);
}

/** Takes back the chunks in the completion ring. */
export function xskProgramCollects(app: XskApp): void {
  let consumer = app.completionConsumer;
  const end = consumer + ringReady(app, app.completion, consumer);
  if (consumer == end) return;
  for (; consumer != end; consumer++) {
    const addr = load<u64>(ringAddress(app, app.completion, consumer));
    store<u8>(app.home + (<u32>addr >> app.chunkShift), 1);
  }
  app.completionConsumer = consumer;
  consumed(app.completion, consumer);
}

/** Puts all chunks into the fill ring, which has room for them. */
export function xskProgramBegins(app: XskApp): void {
  for (let chunk: u32 = 0; chunk < app.frameCount; chunk++) fill(app, chunk << app.chunkShift);
  produced(app.fill, app.fillProducer);
}

/** Takes the packets that were received, and gives back the oldest chunks of those that are more than it holds; whether it woke the driver. */
export function xskProgramReceives(consumer: Consumer, app: XskApp): bool {
  while (app.held > app.hold) giveBack(consumer, app);
  let index = app.rxConsumer;
  const end = index + ringReady(app, app.rx, index);
  for (; index != end; index++) {
    const desc = ringDesc(app, app.rx, index);
    const addr = <u32>load<u64>(desc);
    const bytes = load<u32>(desc, 8);
    if (consumer.digests) digestFrame(consumer, app, addr >> app.chunkShift, app.frames + addr, bytes);
    const last = heldEntry(app, app.held);
    store<u32>(last, addr);
    store<u32>(last, bytes, 4);
    app.held++;
    if (app.held > app.hold) giveBack(consumer, app);
  }
  app.rxConsumer = end;
  consumed(app.rx, end);
  return filled(app);
}

/** Takes what there is, and gives back everything. */
export function xskProgramDropsAll(consumer: Consumer, app: XskApp): void {
  xskProgramReceives(consumer, app);
  while (app.held) giveBack(consumer, app);
  filled(app);
}

/** Shows what was given back, and wakes the driver if it sleeps. */
@inline
function filled(app: XskApp): bool {
  produced(app.fill, app.fillProducer);
  if (!needsWakeup(app.fill) || app.fillProducer == app.fillConsumer) return false;
  xskWakes(app, app.fill);
  return true;
}

/** Place number `k` behind the oldest of the list of chunks held back. */
@inline
function heldEntry(app: XskApp, k: u32): u32 {
  const at = app.heldAt + k;
  return app.heldList + ((at < app.frameCount ? at : at - app.frameCount) << 3);
}

/** The oldest chunk goes into the fill ring. */
@inline
function giveBack(consumer: Consumer, app: XskApp): void {
  const entry = heldEntry(app, 0);
  const addr = load<u32>(entry);
  if (consumer.digests) {
    checkFrame(consumer, app, addr >> app.chunkShift, app.frames + addr, load<u32>(entry, 4));
  }
  app.heldAt = nextFrame(app, app.heldAt);
  app.held--;
  fill(app, addr & ~(app.frameStride - 1));
}

@inline
function fill(app: XskApp, addr: u32): void {
  store<u64>(ringAddress(app, app.fill, app.fillProducer++), addr);
}
