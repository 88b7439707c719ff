// Which receive queue a frame goes to: by its hash and the indirection table (5.1.9.5.7), or to the pair
// on which the driver last sent something of the same flow (5.1.9.5.6).

import { FRAME_FRAGMENT, FRAME_IPV4, FRAME_IPV6 } from "../abi";
import { FLOWS, NetDevice, receiveQueue } from "./device";
import { loadMac } from "./filter";
import { FrameInfo } from "./parse";
import { queueWorks } from "./queue";
import { hashFrame } from "./toeplitz";

/** No receive queue takes the frame. */
export const NO_PAIR: u32 = 0xffffffff;
/** R-D-01: an entry of the indirection table: half the index of a receive queue. */
const ENTRY: u32 = 0x7fff;

/** Computes the hash that the driver has asked for, of the frame parsed into `net.info`. */
export function hashReceived(net: NetDevice, frame: u32): void {
  const hash = net.hashTypes ? hashFrame(frame, net.info, net.hashTypes, net.toeplitz) : 0;
  net.hashValue = <u32>hash;
  net.hashReport = <u32>(hash >> 32);
}

/** The pair whose receive queue gets the frame in hand, or NO_PAIR. */
export function steer(net: NetDevice, frame: u32): u32 {
  if (net.steersByHash) {
    // R-V-01: a target that is reset is not replaced.
    const entry: u32 = load<u16>(net.table + ((net.hashValue & net.tableMask) << 1));
    const pair = net.hashReport ? entry & ENTRY : net.unclassifiedPair;
    return pair < net.pairs && queueWorks(receiveQueue(net, pair)) ? pair : NO_PAIR;
  }
  const active = net.activePairs;
  if (active == 1) return queueWorks(receiveQueue(net, 0)) ? 0 : NO_PAIR;
  const hash = flowHash(net.info, frame);
  const flow = flowOf(net, hash);
  const known = load<u32>(flow, 4);
  let pair = known && load<u32>(flow) == hash ? known - 1 : hash % active;
  if (pair >= active) pair = hash % active;
  // M-V-02: another queue stands in for one that is reset.
  for (let tried: u32 = 0; tried < active; tried++) {
    if (queueWorks(receiveQueue(net, pair))) return pair;
    if (++pair == active) pair = 0;
  }
  return NO_PAIR;
}

/** Remembers that the flow of the frame parsed into `net.info` was sent on this pair. */
export function learnFlow(net: NetDevice, frame: u32, pair: u32): void {
  const hash = flowHash(net.info, frame);
  const flow = flowOf(net, hash);
  store<u32>(flow, hash);
  store<u32>(flow, pair + 1, 4);
}

@inline
function flowOf(net: NetDevice, hash: u32): u32 {
  return net.flows + ((hash & (FLOWS - 1)) << 3);
}

/** The same for both directions of a flow: what differs by direction is exclusive-ored. */
export function flowHash(info: FrameInfo, frame: u32): u32 {
  let key: u64;
  const ip = frame + info.network;
  if (info.flags & FRAME_IPV4) {
    key = load<u32>(ip, 12) ^ load<u32>(ip, 16);
  } else if (info.flags & FRAME_IPV6) {
    key = load<u64>(ip, 8) ^ load<u64>(ip, 16) ^ load<u64>(ip, 24) ^ load<u64>(ip, 32);
  } else {
    key = loadMac(frame) ^ loadMac(frame + 6);
  }
  if (info.transport && !(info.flags & FRAME_FRAGMENT)) {
    const transport = frame + info.transport;
    key ^= ((<u64>load<u16>(transport) ^ load<u16>(transport, 2)) << 32) | ((<u64>info.protocol) << 56);
  }
  // Every bit of the key reaches the bits that choose an entry and a queue.
  key *= 0x9e3779b97f4a7c15;
  key ^= key >> 32;
  key *= 0xd6e8feb86659fd93;
  return <u32>(key >> 32);
}
