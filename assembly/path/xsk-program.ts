// The program at an AF_XDP socket, as the engine plays it. The packets that it sends lie in their chunks from the
// start: there are as many chunks as packets of a pass, or a multiple, so that only descriptors are written.

import { nextFrame } from "./app";
import { xskWakes } from "./app-xsk";
import { Port } from "./port";
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
  if (app.pending && needsWakeup(app.tx)) xskWakes(app);
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
