// All queues of a device in turn, a burst each: one call moves a pass of packets.
//
//   ports   | place of port 0 | place of port 1 | ...    u32 each

import { RECLAIM_RECORD, TOUCH_DIGEST } from "../abi";
import { FNV_BASIS } from "../mem/digest";
import { Numbers } from "../mem/numbers";
import { queueStop } from "../ring/queue";
import { rxReturn } from "../rx/kinds";
import { appRewinds } from "./app-transmit";
import { xskWakes } from "./app-xsk";
import { hostClose, hostDrain, hostTurn } from "./host-transmit";
import { appOf, chargeFrom, chargeTo, driverDetach, hostOf, Port } from "./port";
import { dropAll, poll, receiveBurst, receiveClose, receiveOpen, refill } from "./receive";
import { giveBack, takeBack, transmitBurst, transmitClose, transmitOpen } from "./transmit";
import { XskApp } from "./xsk-ring";

/** Sends up to `most` packets of each queue; how many stayed behind because nothing moved any more. */
export function portsTransmit(ports: u32, count: u32, most: u32): u32 {
  return run(ports, count, most, false);
}

/** Receives up to `most` frames for each queue; how many stayed behind because nothing moved any more. */
export function portsReceive(ports: u32, count: u32, most: u32): u32 {
  return run(ports, count, most, true);
}

@inline
function run(ports: u32, count: u32, most: u32, receives: bool): u32 {
  for (let k: u32 = 0; k < count; k++) {
    const port = portAt(ports, k);
    port.left = min(most, port.frames);
  }
  let moved: u32;
  let left: u32;
  do {
    moved = 0;
    left = 0;
    for (let k: u32 = 0; k < count; k++) {
      const port = portAt(ports, k);
      if (!port.left) continue;
      moved += receives ? receiveBurst(port) : transmitBurst(port);
      if (hostOf(port)) moved += hostTurn(port);
      left += port.left;
    }
  } while (left && moved);
  return left;
}

@inline
export function portAt(ports: u32, k: u32): Port {
  return changetype<Port>(load<u32>(ports + (k << 2)));
}

@inline
export function receives(port: Port): bool {
  return changetype<u32>(port.rx) != 0;
}

/** With the queue enabled: maps what is mapped at set-up, and posts receive buffers; 0 if it can't be had: the queue is stopped then. */
export function portOpen(ptr: u32): u32 {
  const port = changetype<Port>(ptr);
  port.cursor = port.stream;
  port.done = 0;
  chargeFrom(port);
  const opened = receives(port) ? receiveOpen(port) : transmitOpen(port);
  if (!opened) stopHalves(port);
  chargeTo(port);
  return <u32>opened;
}

function stopHalves(port: Port): void {
  queueStop(changetype<u32>(port.device));
  queueStop(changetype<u32>(port.driver));
}

/** Has the host give back what it still holds, and the driver take it. */
function drain(port: Port): void {
  if (hostOf(port)) hostDrain(port);
  else if (!appOf(port)) return;
  if (receives(port)) poll(port);
  else takeBack(port);
}

/** Posts a buffer wherever there is room, whatever the policy waits for: what is counted from then on is the packets'. */
export function portSettle(ptr: u32): void {
  const port = changetype<Port>(ptr);
  chargeFrom(port);
  drain(port);
  if (receives(port)) refill(port);
  chargeTo(port);
}

/** A program that somebody else plays wakes its kernel (sendto, poll). */
export function portWakes(ptr: u32): void {
  const port = changetype<Port>(ptr);
  const app = changetype<XskApp>(port.app);
  chargeFrom(port);
  xskWakes(app, receives(port) ? app.fill : app.tx);
  if (receives(port)) refill(port);
  chargeTo(port);
}

/** Stops both halves and gives back everything: buffers, mappings, what the consumer holds. */
export function portClose(ptr: u32): void {
  const port = changetype<Port>(ptr);
  chargeFrom(port);
  drain(port);
  if (!receives(port)) takeBack(port);
  stopHalves(port);
  if (hostOf(port)) hostClose(port);
  for (;;) {
    const count = driverDetach(port);
    if (!count) break;
    if (!receives(port)) giveBack(port, count);
    else
      for (let k: u32 = 0; k < count; k++) rxReturn(port.rx, load<u32>(port.reclaimed + k * RECLAIM_RECORD));
  }
  if (receives(port)) receiveClose(port);
  else transmitClose(port);
  chargeTo(port);
}

/** Starts a pass anew that feeds what the far side gets to a digest, or ends that. Consumers drop what they hold. */
export function portDigest(ptr: u32, on: u32, touch: u32): void {
  const port = changetype<Port>(ptr);
  chargeFrom(port);
  drain(port);
  if (appOf(port) && !receives(port)) appRewinds(port);
  chargeTo(port);
  port.cursor = port.stream;
  port.done = 0;
  port.touch = on ? TOUCH_DIGEST : touch;
  if (on) port.digest = FNV_BASIS;
  if (!receives(port)) return;
  chargeFrom(port);
  dropAll(port);
  chargeTo(port);
  port.consumer.digests = on;
  if (on) port.consumer.digest = FNV_BASIS;
}

/** Starts a pass anew in which the far side looks at the packets' numbers at `numbers`, or with 0 ends that. */
export function portNumbers(ptr: u32, numbers: u32, touch: u32): void {
  const port = changetype<Port>(ptr);
  portDigest(ptr, <u32>(numbers != 0), touch);
  port.numbers = changetype<Numbers>(numbers);
  if (receives(port)) port.consumer.numbers = port.numbers;
}
