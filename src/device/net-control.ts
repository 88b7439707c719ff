/**
 * The device half of the control queue (5.1.9.5). A command is checked in whole before anything is changed: one that
 * is unknown, cut short, too long, not negotiated or out of range is answered with VIRTIO_NET_ERR and changes nothing.
 */
import * as spec from "../../assembly/spec.ts";
import type { Block } from "../block.ts";
import type { Engine } from "../engine.ts";
import { NetFeatures as F } from "../net-features.ts";
import { NET_HASH_TYPES } from "./net-hash-types.ts";

/** What a command may look at and change. */
export interface ControlContext {
  engine: Engine;
  /** The device's control block. */
  net: number;
  block: Block;
  features: bigint;
  pairs: number;
  /** The block of a receive or transmit queue. */
  queueAt(index: number): number;
  isEnabled(index: number): boolean;
  setMac(mac: Uint8Array): void;
  announced(): void;
}

/** A command's data, and where it lies in the memory. */
interface Command extends ControlContext {
  data: DataView;
  at: number;
}

/** Whether the command was done; or done with so many bytes of a result behind the answer. */
type Outcome = boolean | number;

/** Runs the command that was taken; how many bytes its answer has. */
export function runControl(context: ControlContext): number {
  const { engine, block } = context;
  const { wasm } = engine;
  const at = block.get(wasm.NET_DEVICE_CONTROL.value);
  const bytes = block.get(wasm.NET_DEVICE_CONTROL_BYTES.value);
  // Without a place for the answer nothing is done.
  if (block.get(wasm.NET_DEVICE_CONTROL_ANSWER.value) === 0) return 0;
  let outcome: Outcome = false;
  if (bytes >= 2 && bytes <= wasm.NET_CONTROL_BYTES.value) {
    const [kind, command] = engine.bytes(at, 2);
    const data = new DataView(engine.memory.buffer, at + 2, bytes - 2);
    outcome = run(kind, command, { ...context, data, at: at + 2 });
  }
  engine.bytes(at, 1)[0] = outcome === false ? spec.VIRTIO_NET_ERR : spec.VIRTIO_NET_OK;
  return typeof outcome === "number" ? 1 + outcome : 1;
}

function run(kind: number, number: number, command: Command): Outcome {
  switch (kind) {
    case spec.VIRTIO_NET_CTRL_RX:
      return setMode(number, command);
    case spec.VIRTIO_NET_CTRL_MAC:
      if (number === spec.VIRTIO_NET_CTRL_MAC_TABLE_SET) return setMacTable(command);
      return number === spec.VIRTIO_NET_CTRL_MAC_ADDR_SET && setMac(command);
    case spec.VIRTIO_NET_CTRL_VLAN:
      return setVlan(number, command);
    case spec.VIRTIO_NET_CTRL_ANNOUNCE:
      return number === spec.VIRTIO_NET_CTRL_ANNOUNCE_ACK && acknowledge(command);
    case spec.VIRTIO_NET_CTRL_MQ:
      return setMultiqueue(number, command);
    case spec.VIRTIO_NET_CTRL_GUEST_OFFLOADS:
      return number === spec.VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET && setOffloads(command);
    case spec.VIRTIO_NET_CTRL_NOTF_COAL:
      return coalesce(number, command);
    default:
      return false;
  }
}

/** C-V-01. */
function setMode(mode: number, { engine, net, data, features }: Command): boolean {
  const feature = mode <= spec.VIRTIO_NET_CTRL_RX_ALLMULTI ? F.CTRL_RX : F.CTRL_RX_EXTRA;
  if (mode > spec.VIRTIO_NET_CTRL_RX_NOBCAST || !(features & feature) || data.byteLength !== 1) return false;
  engine.wasm.netDeviceSetMode(net, mode, data.getUint8(0));
  return true;
}

/** C-D-02: two counted lists, the second right behind the first. */
function setMacTable({ engine, net, data, at, features }: Command): boolean {
  if (!(features & F.CTRL_RX) || data.byteLength < 8) return false;
  const unicast = data.getUint32(0, true);
  const second = 4 + 6 * unicast;
  if (second + 4 > data.byteLength) return false;
  const multicast = data.getUint32(second, true);
  if (second + 4 + 6 * multicast !== data.byteLength) return false;
  engine.wasm.netDeviceSetMacTable(net, 0, at + 4, unicast);
  engine.wasm.netDeviceSetMacTable(net, 1, at + second + 4, multicast);
  return true;
}

/** C-V-02: the config space has the new address before the command is used. */
function setMac({ engine, net, data, at, features, setMac: show }: Command): boolean {
  if (!(features & (F.CTRL_MAC_ADDR | F.CTRL_RX)) || data.byteLength !== 6) return false;
  engine.wasm.netDeviceSetMac(net, at);
  show(engine.bytes(at, 6).slice());
  return true;
}

/** C-V-03. */
function setVlan(number: number, { engine, net, data, features }: Command): boolean {
  if (!(features & F.CTRL_VLAN) || number > spec.VIRTIO_NET_CTRL_VLAN_DEL || data.byteLength !== 2)
    return false;
  const id = data.getUint16(0, true);
  if (id > 0xfff) return false;
  engine.wasm.netDeviceSetVlan(net, id, number === spec.VIRTIO_NET_CTRL_VLAN_ADD ? 1 : 0);
  return true;
}

/** C-B-02. */
function acknowledge({ data, features, announced }: Command): boolean {
  if (!(features & F.GUEST_ANNOUNCE) || data.byteLength !== 0) return false;
  announced();
  return true;
}

function setMultiqueue(number: number, command: Command): boolean {
  if (number === spec.VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET) return setPairs(command);
  if (number === spec.VIRTIO_NET_CTRL_MQ_RSS_CONFIG) return setRss(command);
  return number === spec.VIRTIO_NET_CTRL_MQ_HASH_CONFIG && setHash(command);
}

/** M-V-01. */
function setPairs({ engine, net, data, features, pairs }: Command): boolean {
  if (!(features & F.MQ) || data.byteLength !== 2) return false;
  const wanted = data.getUint16(0, true);
  if (wanted < 1 || wanted > pairs) return false;
  engine.wasm.netDeviceSetPairs(net, wanted);
  return true;
}

/** R-D-01, 5.1.9.5.7.1: types, mask, unclassified queue, table, transmit queues, key. */
function setRss(command: Command): boolean {
  const { engine, net, block, data, at, features, pairs } = command;
  const { wasm } = engine;
  if (!(features & F.RSS) || data.byteLength < 8) return false;
  const types = data.getUint32(0, true);
  const mask = data.getUint16(4, true);
  const unclassified = data.getUint16(6, true);
  const entries = mask + 1;
  const tail = 8 + 2 * entries;
  if (types & ~NET_HASH_TYPES || entries & mask || entries > wasm.NET_RSS_TABLE_ENTRIES.value) return false;
  if (data.byteLength < tail + 3 || unclassified >= pairs) return false;
  for (let k = 0; k < entries; k++) if (data.getUint16(8 + 2 * k, true) >= pairs) return false;
  const transmitQueues = data.getUint16(tail, true);
  const keyBytes = data.getUint8(tail + 2);
  if (transmitQueues < 1 || transmitQueues > pairs) return false;
  if (keyBytes > wasm.NET_RSS_KEY_BYTES.value || data.byteLength !== tail + 3 + keyBytes) return false;
  engine.bytes(block.get(wasm.NET_DEVICE_TABLE.value), 2 * entries).set(engine.bytes(at + 8, 2 * entries));
  copyKey(command, tail + 3, keyBytes);
  wasm.netDeviceSetHash(net, types, 1, mask, unclassified, keyBytes);
  return true;
}

/** R-V-03: types, four reserved words, key; which queue a frame goes to stays as it was. */
function setHash(command: Command): boolean {
  const { engine, net, block, data, features } = command;
  const { wasm } = engine;
  if (!(features & F.HASH_REPORT) || features & F.RSS || data.byteLength < 13) return false;
  const types = data.getUint32(0, true);
  const keyBytes = data.getUint8(12);
  if (types & ~NET_HASH_TYPES || keyBytes > wasm.NET_RSS_KEY_BYTES.value) return false;
  if (data.byteLength !== 13 + keyBytes) return false;
  copyKey(command, 13, keyBytes);
  wasm.netDeviceSetHash(net, types, block.get(wasm.NET_DEVICE_STEERS_BY_HASH.value), 0, 0, keyBytes);
  return true;
}

function copyKey({ engine, block, at }: Command, offset: number, bytes: number): void {
  const key = block.get(engine.wasm.NET_DEVICE_KEY.value);
  engine.bytes(key, bytes).set(engine.bytes(at + offset, bytes));
}

/** C-B-03. */
function setOffloads({ engine, net, data, features }: Command): boolean {
  if (!(features & F.CTRL_GUEST_OFFLOADS) || data.byteLength !== 8) return false;
  const offloads = data.getBigUint64(0, true);
  const able = BigInt.asUintN(64, engine.wasm.offloadsOf(BigInt.asUintN(64, features), features >> 64n));
  if (offloads & ~able) return false;
  engine.wasm.netDeviceSetOffloads(net, offloads);
  return true;
}

/** Q-V-01. */
function coalesce(number: number, command: Command): Outcome {
  const { engine, net, data, features } = command;
  switch (number) {
    case spec.VIRTIO_NET_CTRL_NOTF_COAL_TX_SET:
    case spec.VIRTIO_NET_CTRL_NOTF_COAL_RX_SET: {
      if (!(features & F.NOTF_COAL) || data.byteLength !== 8) return false;
      const transmit = number === spec.VIRTIO_NET_CTRL_NOTF_COAL_TX_SET ? 1 : 0;
      engine.wasm.netDeviceSetAllCoalescing(net, transmit, data.getUint32(0, true), data.getUint32(4, true));
      return true;
    }
    case spec.VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET: {
      const queue = coalescedQueue(command, 12);
      if (queue < 0) return false;
      engine.wasm.netDeviceSetCoalescing(net, queue, data.getUint32(4, true), data.getUint32(8, true));
      return true;
    }
    case spec.VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET:
      return getCoalescing(command);
    default:
      return false;
  }
}

/** The enabled receive or transmit queue that a command names; -1 for anything else. */
function coalescedQueue({ data, features, pairs, isEnabled }: Command, bytes: number): number {
  if (!(features & F.VQ_NOTF_COAL) || data.byteLength !== bytes) return -1;
  const queue = data.getUint16(0, true);
  const queues = features & (F.MQ | F.RSS) ? 2 * pairs : 2;
  return queue < queues && isEnabled(queue) ? queue : -1;
}

function getCoalescing(command: Command): Outcome {
  const { engine, block, queueAt } = command;
  const { wasm } = engine;
  const queue = coalescedQueue(command, 4);
  if (queue < 0 || block.get(wasm.NET_DEVICE_CONTROL_ANSWER.value) < 9) return false;
  const result = new DataView(engine.memory.buffer, block.get(wasm.NET_DEVICE_CONTROL.value) + 1, 8);
  const word = (offset: number): number => engine.u32[(queueAt(queue) + offset) >>> 2];
  result.setUint32(0, word(wasm.NET_QUEUE_MAX_PACKETS.value), true);
  result.setUint32(4, word(wasm.NET_QUEUE_MAX_USECS.value), true);
  return 8;
}
