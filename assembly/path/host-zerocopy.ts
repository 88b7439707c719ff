// vhost's zero-copy transmit (drivers/vhost/net.c, handle_tx_zerocopy; drivers/net/tun.c, tun_get_user): the wire
// takes the payload of a larger packet from the guest's own pages, which stay pinned until it is done with them.
//
//   guest    | device header | frame: head | rest ......................... |
//                                 | copied      | pinned, where it is
//   host     | device header | head |           v
//                     `----------------------> wire
//
// A packet is copied whole, and its buffer is done with at once, when it is short, when its rest lies in too many
// pages or can't be pinned, while too many are pending, and while too much went wrong of late.

import { IN_FLIGHT_PAGES, POP_HEADER, SEGMENT, ZEROCOPY_LEAST } from "../abi";
import { POP_READABLE } from "../ring/device";
import { isLive } from "../ring/queue";
import { VIRTIO_NET_HDR_HDR_LEN } from "../spec";
import { countCpuCopy } from "./copies";
import { countError } from "./host-path";
import {
  InFlightPacket,
  inFlightBuffer,
  inFlightFinish,
  inFlightGoesOn,
  inFlightNext,
  inFlightOf,
  inFlightPin,
  inFlightPut,
  inFlightUnpin,
} from "./in-flight";
import { Port, showStaged, stageRoom, stageUsed } from "./port";
import { walkFrom, walkPages, walkRead } from "./walk";

/** Bytes of a head of which the guest says nothing (GOODCOPY_LEN). */
const USUAL_HEAD: u32 = 128;
/** Most packets that may be pending for another, whatever the ring's size (VHOST_MAX_PEND). */
const MOST_PENDING: u32 = 128;
/** Errors are counted anew after so many packets, and may be one in so many of those (vhost_net_tx_packet, ..._select_zcopy). */
const COUNTED_ANEW: u32 = 1024;
const PACKETS_AN_ERROR: u32 = 64;

/** Takes `count` popped packets over. False after a fault. */
export function zerocopyTakes(port: Port, count: u32): bool {
  const host = port.host;
  host.shown = 0;
  let record = port.popped;
  for (let k: u32 = 0; k < count; k++) {
    const counts = load<u32>(record, 4);
    const elements = (counts & 0xffff) + (counts >> 16);
    const bytes = load<u32>(record, POP_READABLE) - port.headerBytes;
    // What a guest says is too long, or shorter than its header, is taken from nowhere and given back.
    if (bytes > host.slotBytes - port.headerBytes) {
      port.dropsTooLong++;
      stageRoom(port, 1);
      stageUsed(port, load<u32>(record), 0);
    } else if (!take(port, record, bytes)) break;
    record += POP_HEADER + elements * SEGMENT;
  }
  if (!count) inFlightGoesOn(port);
  showStaged(port);
  return isLive(port.device);
}

/** Waits for the wire. */
export function zerocopyDrain(port: Port): void {
  inFlightFinish(port);
  showStaged(port);
}

function take(port: Port, record: u32, bytes: u32): bool {
  const host = port.host;
  const packet = inFlightNext(inFlightOf(port));
  const buffer = inFlightBuffer(port, packet);
  packet.handle = load<u32>(record);
  packet.bytes = bytes;
  packet.pieces = 0;
  walkFrom(port, record);
  if (!walkRead(port, buffer, port.headerBytes)) return false;
  const selected = bytes >= ZEROCOPY_LEAST && selects(port);
  packet.lent = <u32>selected;
  packet.head = selected ? headBytes(port, buffer, bytes) : bytes;
  if (!walkRead(port, buffer + port.headerBytes, packet.head)) return false;
  if (selected && !pinRest(port, packet)) {
    if (!isLive(port.device)) return false;
    packet.lent = 0;
    const rest = buffer + port.headerBytes + packet.head;
    if (!walkRead(port, rest, bytes - packet.head)) return false;
    packet.head = bytes;
  }
  if (packet.lent) host.headerCopyBytes += packet.head;
  else {
    countCpuCopy(host, bytes);
    stageRoom(port, 1);
    stageUsed(port, packet.handle, 0);
  }
  inFlightPut(port, packet);
  countPacket(port);
  return true;
}

/** vhost_exceeds_maxpend, vhost_net_tx_select_zcopy. */
@inline
function selects(port: Port): bool {
  const host = port.host;
  const pending = min(MOST_PENDING, port.device.size >> 2);
  return inFlightOf(port).lent <= pending && host.recent / PACKETS_AN_ERROR >= host.recentErrors;
}

@inline
function countPacket(port: Port): void {
  const host = port.host;
  if (++host.recent < COUNTED_ANEW) return;
  host.recent = 0;
  host.recentErrors = 0;
}

/** What the guest says of its headers is read from the host's copy, and never more than there is. */
@inline
function headBytes(port: Port, buffer: u32, bytes: u32): u32 {
  const said: u32 = port.headerBytes ? load<u16>(buffer, VIRTIO_NET_HDR_HDR_LEN) : 0;
  return min(said ? said : USUAL_HEAD, bytes);
}

/** Pins what was not read yet: all of it, or none and false. */
function pinRest(port: Port, packet: InFlightPacket): bool {
  const rest = packet.bytes - packet.head;
  const pages = walkPages(port, rest);
  if (pages > IN_FLIGHT_PAGES) return false;
  let segment = port.host.walkSegment;
  let offset = port.host.walkOffset;
  for (let left = rest; left; ) {
    const now = load<u32>(segment, 4) - offset;
    if (!inFlightPin(port, packet, load<u32>(segment) + offset, now)) {
      inFlightUnpin(port, packet);
      countError(port.host);
      return false;
    }
    left -= now;
    segment += SEGMENT;
    offset = 0;
  }
  port.host.pinnedPages += pages;
  return true;
}
