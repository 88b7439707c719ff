// An AF_XDP socket above a driver. Transmit: either a chunk is the driver's buffer (xsk_tx_peek_desc), or the kernel
// copies what is in it into a packet of its own (xsk_generic_xmit), which it does only when it is woken. A chunk is the
// program's again once its address is in the completion ring, in which a place is kept for each that is sent.

import { APP_XSK, RECLAIM_RECORD } from "../abi";
import { stackCount, stackPut, stackTake } from "../mem/stack";
import { Frame, frameAtAddress, lend, takeHome } from "./app";
import { stagePacket } from "./app-frames";
import { cpuCopy } from "./copies";
import { Port } from "./port";
import {
  consumed,
  produced,
  ringAddress,
  ringDesc,
  ringReady,
  ringRoom,
  setAsleep,
  XskApp,
} from "./xsk-ring";

/** Stages what the tx ring has, up to `count`; how many. Descriptors that break a rule are dropped. */
@inline
export function xskStages(port: Port, app: XskApp, count: u32, copies: bool): u32 {
  if (app.asleep) return 0;
  const ready = ringReady(app, app.tx, app.txConsumer);
  const room = ringRoom(app, app.completion, app.completionProducer);
  // What is under way has its places already.
  let most = min(min(count, ready), room > app.lent ? room - app.lent : 0);
  if (copies) most = min(most, stackCount(app.free));
  let index = app.txConsumer;
  const end = index + most;
  let to = port.add;
  let staged: u32 = 0;
  for (; index != end; index++) {
    const desc = ringDesc(app, app.tx, index);
    const addr = load<u64>(desc);
    const bytes = load<u32>(desc, 8);
    const frame = checked(app, addr, bytes, load<u32>(desc, 12));
    if (!changetype<u32>(frame)) {
      app.dealt++;
      continue;
    }
    const at = <u32>addr & (app.frameStride - 1);
    frame.from = <u32>addr;
    if (copies) {
      const packet = changetype<Frame>(stackTake(app.free));
      cpuCopy(app, packet.place + port.headerBytes, frame.place + at, bytes);
      packet.from = changetype<u32>(frame);
      to = stagePacket(port, to, packet, port.headerBytes, bytes);
    } else {
      to = stagePacket(port, to, frame, at, bytes);
    }
    lend(app, frame);
    staged++;
  }
  app.txConsumer = index;
  consumed(app.tx, index);
  // With nothing left to do it sleeps, if nothing came before the program could see that.
  if (copies || !ringReady(app, app.tx, index)) setAsleep(app, app.tx, true);
  if (!copies && ringReady(app, app.tx, index)) setAsleep(app, app.tx, false);
  return staged;
}

/** The program wakes the kernel. Where it copies it only works in the program's own calls, so there it goes on asking for them. */
@inline
export function xskWakes(app: XskApp, ring: u32): void {
  app.wakeups++;
  if (app.kind == APP_XSK) setAsleep(app, ring, false);
  else app.asleep = false;
}

/** The record of the chunk of a descriptor that may be sent, or 0 (xp_aligned_validate_desc). */
@inline
function checked(app: XskApp, addr: u64, bytes: u32, options: u32): Frame {
  const none = changetype<Frame>(0);
  if (options) {
    app.invalidOptions++;
    return none;
  }
  const frame = frameAtAddress(app, addr, app.chunkShift);
  if (!changetype<u32>(frame)) return none;
  const chunk = app.frameStride;
  // The frame may not reach over its chunk's end.
  if (bytes < app.frameLeast || bytes > app.frameMost || bytes > chunk - (<u32>addr & (chunk - 1))) {
    app.invalidLengths++;
    return none;
  }
  if (frame.lent) {
    app.invalidReuses++;
    return none;
  }
  return frame;
}

/** The packets whose tokens are at `tokens` are done with: their addresses go into the completion ring. */
@inline
export function xskDone(app: XskApp, tokens: u32, count: u32, copies: bool): void {
  let producer = app.completionProducer;
  for (; count; count--) {
    let frame = changetype<Frame>(load<u32>(tokens));
    tokens += RECLAIM_RECORD;
    if (copies) {
      stackPut(app.free, changetype<u32>(frame));
      frame = changetype<Frame>(frame.from);
    }
    takeHome(app, frame);
    store<u64>(ringAddress(app, app.completion, producer++), <u64>frame.from);
  }
  app.completionProducer = producer;
  produced(app.completion, producer);
}

// Receive (xp_alloc, xsk_rcv)

/** The record of the next chunk that the fill ring names and that is not lent; 0 when it names none, or nobody looks. */
@inline
export function xskNext(app: XskApp): Frame {
  if (app.asleep) return changetype<Frame>(0);
  for (let ready = ringReady(app, app.fill, app.fillConsumer); ready; ready--) {
    const addr = load<u64>(ringAddress(app, app.fill, app.fillConsumer++));
    const frame = frameAtAddress(app, addr, app.chunkShift);
    if (!changetype<u32>(frame)) continue;
    if (!frame.lent) return frame;
    app.invalidReuses++;
  }
  return changetype<Frame>(0);
}

/** Whether the rx ring can show another packet; counts if not. */
@inline
export function xskHasRoom(app: XskApp): bool {
  if (ringRoom(app, app.rx, app.rxProducer)) return true;
  app.dropsRingFull++;
  return false;
}

/** Puts a packet of `bytes` in a chunk into the rx ring; false when that is full. */
@inline
export function xskShows(app: XskApp, frame: Frame, bytes: u32): bool {
  if (!xskHasRoom(app)) return false;
  const desc = ringDesc(app, app.rx, app.rxProducer++);
  store<u64>(desc, <u64>(frame.place - app.frames + app.frameAt));
  store<u64>(desc, <u64>bytes, 8);
  return true;
}

/** Shows the program how far the kernel is; where it is `dry`, it sleeps until the program has given something back and wakes it. */
@inline
export function xskTurn(app: XskApp, dry: bool): void {
  consumed(app.fill, app.fillConsumer);
  produced(app.rx, app.rxProducer);
  if (dry && !app.asleep) setAsleep(app, app.fill, true);
}
