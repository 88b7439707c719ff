// Which received frames a driver wants: by destination and receive mode (5.1.9.5.1, 5.1.9.5.2), and by
// VLAN (5.1.9.5.3). An address is the six bytes as they lie in a frame, in the low 48 bits of a u64.

import { NET_RX_DROP_MAC, NET_RX_DROP_VLAN } from "../abi";
import {
  VIRTIO_NET_CTRL_RX_ALLMULTI,
  VIRTIO_NET_CTRL_RX_ALLUNI,
  VIRTIO_NET_CTRL_RX_NOBCAST,
  VIRTIO_NET_CTRL_RX_NOMULTI,
  VIRTIO_NET_CTRL_RX_NOUNI,
  VIRTIO_NET_CTRL_RX_PROMISC,
} from "../spec";
import { ETHERNET_BYTES, ETHERTYPE_VLAN, load16, VLAN_TAG_BYTES } from "./protocols";

/** Addresses of each table; one that is set with more accepts every address of its kind. */
export const MAC_TABLE_ENTRIES: u32 = 64;
const VLAN_BYTES: u32 = 4096 >> 3;
const ADDRESS: u64 = 0xffff_ffff_ffff;
/** The first bit on the wire of a multicast address, broadcast among them. */
const GROUP: u64 = 1;

@unmanaged
export class NetFilter {
  /** Whether destinations and VLANs are looked at: CTRL_RX and CTRL_VLAN were negotiated. */
  byMode: u32;
  byVlan: u32;
  /** Receive modes, each the bit of its command's number. */
  modes: u32;
  /** Entries of the two tables; more than there is room for when all are accepted. */
  unicast: u32;
  multicast: u32;
  _pad: u32;
  /** The device's own address. */
  mac: u64;
}

/** Bytes of a filter with its two tables of addresses and its bits of VLANs. */
export const NET_FILTER_BYTES: u32 = offsetof<NetFilter>() + 2 * (MAC_TABLE_ENTRIES << 3) + VLAN_BYTES;

function unicastTable(filter: NetFilter): u32 {
  return changetype<u32>(filter) + offsetof<NetFilter>();
}

function multicastTable(filter: NetFilter): u32 {
  return unicastTable(filter) + (MAC_TABLE_ENTRIES << 3);
}

function vlanByte(filter: NetFilter, id: u32): u32 {
  return multicastTable(filter) + (MAC_TABLE_ENTRIES << 3) + (id >> 3);
}

/** C-V-02, C-V-03: at reset no mode is on and all tables are empty. */
export function filterReset(filter: NetFilter): void {
  memory.fill(changetype<u32>(filter), 0, NET_FILTER_BYTES);
}

/** The six bytes at `ptr`. */
@inline
export function loadMac(ptr: u32): u64 {
  return load<u32>(ptr) | ((<u64>load<u16>(ptr, 4)) << 32);
}

/** Sets one of the two tables to `entries` addresses of six bytes each at `list`. */
export function filterSetTable(filter: NetFilter, multicast: bool, list: u32, entries: u32): void {
  if (multicast) filter.multicast = entries;
  else filter.unicast = entries;
  const table = multicast ? multicastTable(filter) : unicastTable(filter);
  const kept = min(entries, MAC_TABLE_ENTRIES);
  for (let k: u32 = 0; k < kept; k++) store<u64>(table + (k << 3), loadMac(list + 6 * k));
}

/** Lets frames with this VLAN id pass, or no longer. */
export function filterSetVlan(filter: NetFilter, id: u32, pass: bool): void {
  const at = vlanByte(filter, id);
  const bit: u32 = 1 << (id & 7);
  store<u8>(at, pass ? load<u8>(at) | bit : load<u8>(at) & ~bit);
}

/** C-V-01: 0 when the frame at `frame` passes, else the counter of what it is dropped for, plus 1. */
export function filterFrame(filter: NetFilter, frame: u32): u32 {
  if (modeOf(filter, VIRTIO_NET_CTRL_RX_PROMISC)) return 0;
  if (filter.byVlan && load16(frame + 12) == ETHERTYPE_VLAN) {
    const id = load16(frame + 14) & 0xfff;
    if (!((load<u8>(vlanByte(filter, id)) >> (id & 7)) & 1)) return NET_RX_DROP_VLAN + 1;
  }
  if (filter.byMode && !destinationPasses(filter, loadMac(frame))) return NET_RX_DROP_MAC + 1;
  return 0;
}

@inline
function modeOf(filter: NetFilter, mode: u32): bool {
  return ((filter.modes >> mode) & 1) != 0;
}

/** A NO mode beats an ALL mode; NOMULTI spares broadcast (5.1.9.5.1). */
function destinationPasses(filter: NetFilter, mac: u64): bool {
  if (mac == ADDRESS) return !modeOf(filter, VIRTIO_NET_CTRL_RX_NOBCAST);
  if (mac & GROUP) {
    if (modeOf(filter, VIRTIO_NET_CTRL_RX_NOMULTI)) return false;
    if (modeOf(filter, VIRTIO_NET_CTRL_RX_ALLMULTI)) return true;
    return listed(multicastTable(filter), filter.multicast, mac);
  }
  if (modeOf(filter, VIRTIO_NET_CTRL_RX_NOUNI)) return false;
  if (modeOf(filter, VIRTIO_NET_CTRL_RX_ALLUNI) || mac == filter.mac) return true;
  return listed(unicastTable(filter), filter.unicast, mac);
}

function listed(table: u32, entries: u32, mac: u64): bool {
  if (entries > MAC_TABLE_ENTRIES) return true;
  for (let k: u32 = 0; k < entries; k++) if (load<u64>(table + (k << 3)) == mac) return true;
  return false;
}

/** Bytes before the packet that an MTU counts: Ethernet, and a VLAN tag if there is one. */
@inline
export function linkBytes(frame: u32): u32 {
  return load16(frame + 12) == ETHERTYPE_VLAN ? ETHERNET_BYTES + VLAN_TAG_BYTES : ETHERNET_BYTES;
}
