// What an application and its kernel do with what a driver received, by kind. Frames that are the driver's buffers
// (RX_FRAMES) are posted and come back here; those of the kinds that copy get what is in the driver's own.
//
//   frame   | ...  device header | packet ...     at `frameAt`; the device writes from the header on

import {
  ADD_HEADER,
  APP_AF_PACKET,
  APP_AF_PACKET_ZC,
  APP_SOCKET,
  APP_XSK,
  DMA_FROM_DEVICE,
  OP_RECEIVE,
  RX_FRAMES,
  SEGMENT,
} from "../abi";
import { dmaSyncForCpu, dmaSyncForDevice } from "../dma/dma";
import { traceOp } from "../mem/trace";
import { ETHERNET_BYTES } from "../net/protocols";
import { consumerReleases } from "../rx/consumer";
import { gather, Packet, RxRing, takeFromTop, waitOnTop } from "../rx/rx-ring";
import { Application, Frame, lend, takeHome } from "./app";
import { framesInit, framesMap, framesUnmap } from "./app-frames";
import { packetNext, packetShows } from "./app-packet";
import { socketReads } from "./app-socket";
import { xskHasRoom, xskNext, xskShows, xskTurn } from "./app-xsk";
import { countCpuCopy } from "./copies";
import { packetProgramDropsAll, packetProgramReceives } from "./packet-program";
import { PacketApp, packetInit } from "./packet-ring";
import { Port } from "./port";
import { xskProgramBegins, xskProgramDropsAll, xskProgramReceives } from "./xsk-program";
import { ringsInit, setAsleep, XskApp } from "./xsk-ring";

@inline
function hasPacketRing(app: Application): bool {
  return app.kind == APP_AF_PACKET || app.kind == APP_AF_PACKET_ZC;
}

/** Stages up to `count` frames as receive buffers; how many there were. */
export function appPosts(port: Port, count: u32): u32 {
  const app = port.app;
  const rx = port.rx;
  const bytes = port.headerBytes + app.frameMost;
  let at = port.add;
  let staged: u32 = 0;
  rx.failure = 0;
  for (; staged < count; staged++) {
    // What came back without a packet is posted first.
    let frame = changetype<Frame>(takeFromTop(rx));
    if (!changetype<u32>(frame)) {
      frame = nextFree(app);
      if (!changetype<u32>(frame)) break;
      lend(app, frame);
    }
    const start = frame.handle + app.frameAt - port.headerBytes;
    if (rx.syncDevice) dmaSyncForDevice(rx.space, start, bytes, DMA_FROM_DEVICE);
    store<u32>(at, changetype<u32>(frame));
    store<u32>(at, 1 << 16, 4);
    store<u32>(at, start, ADD_HEADER);
    store<u32>(at, bytes, ADD_HEADER + 4);
    at += ADD_HEADER + SEGMENT;
  }
  if (app.kind == APP_XSK) xskTurn(changetype<XskApp>(app), staged < count);
  return staged;
}

/** The next frame that the program has given back, which is not lent yet; or 0. */
@inline
function nextFree(app: Application): Frame {
  return hasPacketRing(app) ? packetNext(changetype<PacketApp>(app)) : xskNext(changetype<XskApp>(app));
}

/** Shows the program a packet of `bytes` in `frame`; false when the ring that would has no room. */
@inline
function show(app: Application, frame: Frame, bytes: u32): bool {
  if (hasPacketRing(app)) {
    packetShows(app, frame, bytes);
    return true;
  }
  return xskShows(changetype<XskApp>(app), frame, bytes);
}

/** A frame came back from the device with `written` bytes in it. */
@inline
export function appReceives(port: Port, frame: Frame, written: u32): void {
  const app = port.app;
  const rx = port.rx;
  if (written < port.headerBytes + ETHERNET_BYTES) {
    port.dropsTooShort++;
    giveEmpty(app, rx, frame);
    return;
  }
  const bytes = written - port.headerBytes;
  if (!rx.physical) {
    dmaSyncForCpu(rx.space, frame.handle + app.frameAt - port.headerBytes, written, DMA_FROM_DEVICE);
  }
  if (!show(app, frame, bytes)) {
    waitOnTop(rx, changetype<u32>(frame));
    return;
  }
  takeHome(app, frame);
  traceOp(rx.trace, OP_RECEIVE, bytes, 0);
  port.consumer.packets++;
  port.consumer.bytes += bytes;
}

/** A frame without a packet: a chunk is posted again; a ring's frames have an order, in which the program gets it empty. */
function giveEmpty(app: Application, rx: RxRing, frame: Frame): void {
  if (!hasPacketRing(app)) {
    waitOnTop(rx, changetype<u32>(frame));
    return;
  }
  packetShows(app, frame, 0);
  takeHome(app, frame);
}

/** A packet of `bytes` is in the driver's buffers: whether that is all, and no consumer gets it. */
export function appTakes(port: Port, kind: u32, packet: Packet, bytes: u32): bool {
  const app = port.app;
  if (app.kind == APP_SOCKET) {
    socketReads(port, app, packet, bytes);
    return false;
  }
  const frame = frameFor(port, app, bytes);
  if (changetype<u32>(frame)) {
    gather(frame.place + app.frameAt, packet);
    countCpuCopy(app, bytes);
    show(app, frame, bytes);
    port.consumer.packets++;
    port.consumer.bytes += bytes;
  }
  consumerReleases(port.consumer, kind, packet);
  return true;
}

/** The frame that a packet of `bytes` is copied into; 0 when it is dropped. */
function frameFor(port: Port, app: Application, bytes: u32): Frame {
  const none = changetype<Frame>(0);
  if (bytes > app.frameMost) {
    port.dropsTooLong++;
    return none;
  }
  if (!hasPacketRing(app) && !xskHasRoom(changetype<XskApp>(app))) return none;
  const frame = nextFree(app);
  if (!changetype<u32>(frame)) app.dropsNoFrame++;
  return frame;
}

/** What was received is shown, and the program takes it: whether it woke a driver that ran out of frames. */
export function appReceiveTurn(port: Port): bool {
  const app = port.app;
  if (app.kind == APP_SOCKET) return false;
  if (hasPacketRing(app)) {
    if (app.plays) packetProgramReceives(port.consumer, changetype<PacketApp>(app));
    return false;
  }
  xskTurn(changetype<XskApp>(app), false);
  return app.plays ? xskProgramReceives(port.consumer, changetype<XskApp>(app)) : false;
}

/** The program gives back all that it holds. */
export function appDropsAll(port: Port): void {
  const app = port.app;
  if (!app.plays) return;
  if (hasPacketRing(app)) packetProgramDropsAll(port.consumer, changetype<PacketApp>(app));
  else xskProgramDropsAll(port.consumer, changetype<XskApp>(app));
}

/** Makes frames and rings ready; false when what is mapped at set-up could not be. */
export function appReceiveOpen(port: Port): bool {
  const app = port.app;
  if (app.kind == APP_SOCKET) return true;
  framesInit(app);
  if (hasPacketRing(app)) {
    packetInit(changetype<PacketApp>(app));
  } else {
    ringsInit(changetype<XskApp>(app));
    setAsleep(changetype<XskApp>(app), changetype<XskApp>(app).fill, false);
    if (app.plays) xskProgramBegins(changetype<XskApp>(app));
  }
  return !isMapped(port) || framesMap(port.rx.space, app, 0, DMA_FROM_DEVICE);
}

/** With both halves stopped and everything detached. */
export function appReceiveClose(port: Port): void {
  if (port.rx.kind != RX_FRAMES) return;
  for (;;) {
    const frame = takeFromTop(port.rx);
    if (!frame) break;
    takeHome(port.app, changetype<Frame>(frame));
  }
  if (isMapped(port)) framesUnmap(port.rx.space, port.app, 0, DMA_FROM_DEVICE);
}

@inline
function isMapped(port: Port): bool {
  return port.rx.kind == RX_FRAMES && !port.rx.physical;
}
