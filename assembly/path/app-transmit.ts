// What an application and its kernel do in a transmit burst, by kind.

import {
  ADD_HEADER,
  APP_AF_PACKET,
  APP_AF_PACKET_ZC,
  APP_XSK,
  APP_XSK_COPY,
  DMA_TO_DEVICE,
  R_DMA_MAP_FAILED,
  SEGMENT,
} from "../abi";
import { Application } from "./app";
import { framesInit, framesMap, framesUnmap } from "./app-frames";
import { packetDone, packetStages } from "./app-packet";
import { socketDone, socketStages } from "./app-socket";
import { xskDone, xskStages } from "./app-xsk";
import { packetProgramSends } from "./packet-program";
import { PacketApp, packetInit } from "./packet-ring";
import { burstPackets, driverAdd, Port } from "./port";
import { xskProgramCollects, xskProgramSends } from "./xsk-program";
import { ringsInit, XskApp } from "./xsk-ring";

/** The program's turn, once a burst: it hands packets over. */
export function appBegins(port: Port): void {
  const app = port.app;
  app.dealt = 0;
  if (app.plays) programSends(port, app);
}

/**
 * The kernel adds up to `count` packets to the ring; how many were added. `app.dealt` says how many of the burst are
 * dealt with, those included that were dropped.
 */
export function appSends(port: Port, count: u32): u32 {
  const app = port.app;
  const before = app.dealt;
  // What was staged before and did not fit goes first.
  if (!app.staged && count) {
    app.stagedAt = port.add;
    app.staged = stages(port, app, count);
  }
  const offered = min(count, app.staged);
  const added = offered ? driverAdd(port, app.stagedAt, offered) : 0;
  app.staged -= added;
  if (added) app.stagedAt = port.driver.cursor;
  app.dealt += added;
  if (added < offered && port.driver.refusal == R_DMA_MAP_FAILED) {
    // What can't be mapped is dropped, and its frame is the program's again.
    unstage(port, app);
    port.dropsMapFailed++;
    app.dealt++;
  }
  app.pending -= min(app.pending, app.dealt - before);
  return added;
}

@inline
function programSends(port: Port, app: Application): void {
  const wanted = burstPackets(port);
  const count = wanted > app.pending ? wanted - app.pending : 0;
  switch (app.kind) {
    case APP_AF_PACKET:
    case APP_AF_PACKET_ZC:
      packetProgramSends(port, changetype<PacketApp>(app), count);
      break;
    default:
      xskProgramSends(port, changetype<XskApp>(app), count);
  }
}

@inline
function stages(port: Port, app: Application, count: u32): u32 {
  switch (app.kind) {
    case APP_AF_PACKET:
      return packetStages(port, changetype<PacketApp>(app), count, true);
    case APP_AF_PACKET_ZC:
      return packetStages(port, changetype<PacketApp>(app), count, false);
    case APP_XSK:
      return xskStages(port, changetype<XskApp>(app), count, false);
    case APP_XSK_COPY:
      return xskStages(port, changetype<XskApp>(app), count, true);
    default:
      return socketStages(port, app, count);
  }
}

/** The packets whose tokens stand RECLAIM_RECORD bytes apart at `tokens` are done with. */
export function appDone(app: Application, tokens: u32, count: u32): void {
  switch (app.kind) {
    case APP_AF_PACKET:
      packetDone(changetype<PacketApp>(app), tokens, count, true);
      break;
    case APP_AF_PACKET_ZC:
      packetDone(changetype<PacketApp>(app), tokens, count, false);
      break;
    case APP_XSK:
      xskDone(changetype<XskApp>(app), tokens, count, false);
      break;
    case APP_XSK_COPY:
      xskDone(changetype<XskApp>(app), tokens, count, true);
      break;
    default:
      socketDone(app, tokens, count);
  }
}

/** Gives up the first record that is staged. */
function unstage(port: Port, app: Application): void {
  appDone(app, app.stagedAt, 1);
  app.stagedAt += ADD_HEADER + port.sgs * SEGMENT;
  app.staged--;
}

/** Gives up all that is staged, for a pass that begins anew or ends; program and kernel begin with the first frame. */
export function appRewinds(port: Port): void {
  const app = port.app;
  while (app.staged) unstage(port, app);
  // With something still under way the order of the frames stays what it is.
  if (app.lent || app.pending) return;
  switch (app.kind) {
    case APP_AF_PACKET:
    case APP_AF_PACKET_ZC:
      changetype<PacketApp>(app).kernelAt = 0;
      changetype<PacketApp>(app).programAt = 0;
      break;
    case APP_XSK:
    case APP_XSK_COPY:
      if (app.plays) xskProgramCollects(changetype<XskApp>(app));
      changetype<XskApp>(app).chunkAt = 0;
  }
}

/** Makes frames, packets and rings ready; false when what is mapped at set-up could not be. */
export function appTransmitOpen(port: Port): bool {
  const app = port.app;
  framesInit(app);
  switch (app.kind) {
    case APP_AF_PACKET:
    case APP_AF_PACKET_ZC:
      packetInit(changetype<PacketApp>(app));
      break;
    case APP_XSK:
    case APP_XSK_COPY:
      ringsInit(changetype<XskApp>(app));
  }
  return !port.premapped || framesMap(port.driver.space, app, port.headerBytes, DMA_TO_DEVICE);
}

/** With both halves stopped and everything detached. */
export function appTransmitClose(port: Port): void {
  appRewinds(port);
  if (port.premapped) framesUnmap(port.driver.space, port.app, port.headerBytes, DMA_TO_DEVICE);
}
