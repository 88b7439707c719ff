import * as spec from "../../assembly/spec.ts";
import { ConfigError, DriverError } from "../errors.ts";
import { macBytes } from "../net-address.ts";
import { NetFeatures as F } from "../net-features.ts";
import type { NetDriver } from "./net.ts";

/** Notification coalescing (5.1.9.5.10): due after so many packets or microseconds; with a 0 after each packet. */
export interface NetCoalescing {
  maxPackets: number;
  maxUsecs: number;
}

/** RSS (5.1.9.5.7.1). */
export interface NetRss {
  /** VIRTIO_NET_HASH_TYPE_* bits. */
  hashTypes: number;
  /** Receive queues by the low bits of the hash, as pairs: a power of two of entries. */
  table: readonly number[];
  /** Where packets without a hash go. Default 0. */
  unclassified?: number;
  /** Transmit queues that are used from then on. Default: all pairs. */
  pairs?: number;
  key: Uint8Array;
}

/** Receive modes (5.1.9.5.1) by their command. */
export const NET_RECEIVE_MODES = {
  promiscuous: spec.VIRTIO_NET_CTRL_RX_PROMISC,
  allMulticast: spec.VIRTIO_NET_CTRL_RX_ALLMULTI,
  allUnicast: spec.VIRTIO_NET_CTRL_RX_ALLUNI,
  noMulticast: spec.VIRTIO_NET_CTRL_RX_NOMULTI,
  noUnicast: spec.VIRTIO_NET_CTRL_RX_NOUNI,
  noBroadcast: spec.VIRTIO_NET_CTRL_RX_NOBCAST,
} as const;
export type NetReceiveMode = keyof typeof NET_RECEIVE_MODES;

/**
 * The driver half of the control queue: one command at a time, which is waited for. Allocates.
 *
 * Every command @throws DriverError `not-negotiated` without its feature, `command-failed` when the device says so,
 * `command-timeout` when it says nothing, ConfigError for what can't be.
 */
export class NetCommands {
  readonly #driver: NetDriver;
  #at = 0;
  #commandBytes = 0;
  #answerBytes = 0;
  #outstanding = false;

  /** @internal */
  constructor(driver: NetDriver) {
    this.#driver = driver;
  }

  /** @internal Shared memory for a command and its answer. */
  place(at: number, commandBytes: number, answerBytes: number): void {
    this.#at = at;
    this.#commandBytes = commandBytes;
    this.#answerBytes = answerBytes;
  }

  /** @internal The control queue was stopped: a command that was out is taken back. */
  stopped(): void {
    const { host, controlQueue } = this.#driver;
    host.queue(controlQueue).detach();
    this.#outstanding = false;
  }

  /** @internal Another state is in the memory: a command is out if its queue says so. */
  restored(): void {
    const { host, controlQueue } = this.#driver;
    this.#outstanding = (host.features & F.CTRL_VQ) !== 0n && host.queue(controlQueue).outstanding > 0;
  }

  /** [CTRL_RX, CTRL_RX_EXTRA] (C-D-01). */
  setReceiveMode(mode: NetReceiveMode, on: boolean): void {
    const command = NET_RECEIVE_MODES[mode];
    this.#needs(command <= spec.VIRTIO_NET_CTRL_RX_ALLMULTI ? F.CTRL_RX : F.CTRL_RX_EXTRA);
    this.#run(spec.VIRTIO_NET_CTRL_RX, command, Uint8Array.of(on ? 1 : 0));
  }

  /** [CTRL_RX] Which destinations are received besides the card's own address (C-D-02). */
  setMacTable(unicast: readonly (string | Uint8Array)[], multicast: readonly (string | Uint8Array)[]): void {
    this.#needs(F.CTRL_RX);
    const data = new Uint8Array(8 + 6 * (unicast.length + multicast.length));
    const view = new DataView(data.buffer);
    let at = 0;
    for (const list of [unicast, multicast]) {
      view.setUint32(at, list.length, true);
      at += 4;
      for (const mac of list) {
        data.set(macBytes(mac), at);
        at += 6;
      }
    }
    this.#run(spec.VIRTIO_NET_CTRL_MAC, spec.VIRTIO_NET_CTRL_MAC_TABLE_SET, data);
  }

  /** [CTRL_MAC_ADDR] The card's own address. */
  setMac(mac: string | Uint8Array): void {
    this.#needs(F.CTRL_MAC_ADDR);
    this.#run(spec.VIRTIO_NET_CTRL_MAC, spec.VIRTIO_NET_CTRL_MAC_ADDR_SET, macBytes(mac));
  }

  /** [CTRL_VLAN] Whether frames with this VLAN id are received. */
  setVlan(id: number, on: boolean): void {
    this.#needs(F.CTRL_VLAN);
    check("the VLAN id", id, 0, 4095);
    const command = on ? spec.VIRTIO_NET_CTRL_VLAN_ADD : spec.VIRTIO_NET_CTRL_VLAN_DEL;
    this.#run(spec.VIRTIO_NET_CTRL_VLAN, command, words16(id));
  }

  /** [GUEST_ANNOUNCE] */
  acknowledgeAnnounce(): void {
    this.#needs(F.GUEST_ANNOUNCE);
    this.#run(spec.VIRTIO_NET_CTRL_ANNOUNCE, spec.VIRTIO_NET_CTRL_ANNOUNCE_ACK, new Uint8Array(0));
  }

  /** [MQ] How many queue pairs are used, with a flow on the pair on which it was sent last (5.1.9.5.6). */
  setPairs(pairs: number): void {
    this.#needs(F.MQ);
    // M-D-01.
    check("the number of queue pairs", pairs, 1, this.#driver.pairs);
    this.#withPairs(pairs, () =>
      this.#run(spec.VIRTIO_NET_CTRL_MQ, spec.VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, words16(pairs)),
    );
  }

  /** [RSS] Receive queues by the hash (R-D-01). */
  setRss(rss: NetRss): void {
    this.#needs(F.RSS);
    const { hashTypes, table, unclassified = 0, pairs = this.#driver.pairs, key } = rss;
    const { config } = this.#driver;
    this.#checkHash(hashTypes, key);
    const entries = table.length;
    if (entries === 0 || entries & (entries - 1))
      throw new ConfigError(
        `the indirection table has ${entries} entries, but must have a power of two (R-D-01)`,
      );
    check("the length of the indirection table", entries, 1, config.rssMaxTable);
    for (const pair of [...table, unclassified]) check("a receive queue", pair, 0, this.#driver.pairs - 1);
    check("the number of transmit queues", pairs, 1, this.#driver.pairs);
    const types = words32(hashTypes);
    const middle = words16(entries - 1, unclassified, ...table, pairs);
    const data = Uint8Array.of(...types, ...middle, key.length, ...key);
    this.#withPairs(pairs, () =>
      this.#run(spec.VIRTIO_NET_CTRL_MQ, spec.VIRTIO_NET_CTRL_MQ_RSS_CONFIG, data),
    );
  }

  /** [HASH_REPORT, without RSS] What received frames report a hash of. */
  setHash(hashTypes: number, key: Uint8Array): void {
    this.#needs(F.HASH_REPORT);
    this.#checkHash(hashTypes, key);
    const data = Uint8Array.of(...words32(hashTypes), ...words16(0, 0, 0, 0), key.length, ...key);
    this.#run(spec.VIRTIO_NET_CTRL_MQ, spec.VIRTIO_NET_CTRL_MQ_HASH_CONFIG, data);
  }

  /** [CTRL_GUEST_OFFLOADS] Which of the negotiated receive offloads are on, as a mask of feature bits (C-B-03). */
  setOffloads(offloads: bigint): void {
    this.#needs(F.CTRL_GUEST_OFFLOADS);
    const { features } = this.#driver.host;
    const { wasm } = this.#driver.engine;
    const low = BigInt.asUintN(64, features);
    const able = BigInt.asUintN(64, wasm.offloadsOf(low, features >> 64n));
    if (offloads & ~able)
      throw new ConfigError("an offload that was not negotiated can't be turned on (C-B-03)");
    const data = new Uint8Array(8);
    new DataView(data.buffer).setBigUint64(0, offloads, true);
    this.#run(spec.VIRTIO_NET_CTRL_GUEST_OFFLOADS, spec.VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, data);
  }

  /** [NOTF_COAL] For all transmit, or all receive queues (Q-D-01). */
  setCoalescing(direction: "transmit" | "receive", { maxPackets, maxUsecs }: NetCoalescing): void {
    this.#needs(F.NOTF_COAL);
    const command =
      direction === "transmit"
        ? spec.VIRTIO_NET_CTRL_NOTF_COAL_TX_SET
        : spec.VIRTIO_NET_CTRL_NOTF_COAL_RX_SET;
    this.#run(spec.VIRTIO_NET_CTRL_NOTF_COAL, command, words32(maxPackets, maxUsecs));
  }

  /** [VQ_NOTF_COAL] For one receive or transmit queue, by its index in the device. */
  setQueueCoalescing(queue: number, { maxPackets, maxUsecs }: NetCoalescing): void {
    this.#needsQueue(queue);
    const data = Uint8Array.of(...words16(queue, 0), ...words32(maxPackets, maxUsecs));
    this.#run(spec.VIRTIO_NET_CTRL_NOTF_COAL, spec.VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET, data);
  }

  /** [VQ_NOTF_COAL] What a queue has. */
  queueCoalescing(queue: number): NetCoalescing {
    this.#needsQueue(queue);
    const kind = spec.VIRTIO_NET_CTRL_NOTF_COAL;
    const result = this.#run(kind, spec.VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET, words16(queue, 0), 8);
    const view = new DataView(result.buffer);
    return { maxPackets: view.getUint32(0, true), maxUsecs: view.getUint32(4, true) };
  }

  #needs(feature: bigint): void {
    if (!(this.#driver.host.features & feature)) {
      throw new DriverError("not-negotiated", `0x${feature.toString(16)}`);
    }
  }

  #needsQueue(queue: number): void {
    this.#needs(F.VQ_NOTF_COAL);
    check("the queue", queue, 0, 2 * this.#driver.pairs - 1);
  }

  #checkHash(hashTypes: number, key: Uint8Array): void {
    const { config } = this.#driver;
    if (hashTypes & ~config.hashTypes)
      throw new ConfigError(`the device has no hash types 0x${(hashTypes & ~config.hashTypes).toString(16)}`);
    check("the length of the key", key.length, 0, config.rssMaxKey);
  }

  /** M-D-02: fewer pairs are used before the command is placed, more once it is done. */
  #withPairs(pairs: number, run: () => void): void {
    const before = this.#driver.activePairs;
    this.#driver.activePairs = Math.min(before, pairs);
    run();
    this.#driver.activePairs = pairs;
  }

  /** Runs a command to its end; `resultBytes` of the device's result. */
  #run(kind: number, command: number, data: Uint8Array, resultBytes = 0): Uint8Array {
    this.#needs(F.CTRL_VQ);
    const { engine, host, controlQueue } = this.#driver;
    if (!host.running) throw new DriverError("not-running");
    if (this.#outstanding) throw new DriverError("command-timeout", "the one before is still out");
    const bytes = 2 + data.length;
    if (bytes > this.#commandBytes || 1 + resultBytes > this.#answerBytes)
      throw new ConfigError(`a command of ${bytes} bytes, but only ${this.#commandBytes} are reserved`);
    const answerAt = this.#at + this.#commandBytes;
    engine.bytes(this.#at, bytes).set([kind, command, ...data]);
    // C-B-01: an answer that nobody gives is no success.
    engine.bytes(answerAt, 1 + resultBytes).fill(0xff);
    const queue = host.queue(controlQueue);
    const added = queue.add({
      readable: [{ ptr: this.#at, bytes }],
      writable: [{ ptr: answerAt, bytes: 1 + resultBytes }],
      token: 0,
    });
    if (!added) throw new DriverError("command-timeout", "the control queue is full");
    this.#outstanding = true;
    host.publish(controlQueue);
    const { limit, wait } = this.#driver.polling;
    for (let looks = 0; looks < limit; looks++) {
      const [used] = queue.reclaim();
      if (used === undefined) {
        wait();
        continue;
      }
      this.#outstanding = false;
      const answer = engine.bytes(answerAt, 1 + resultBytes).slice();
      // Q-D-01: what came with a failure, or is not all there, is not looked at.
      if (used.len < 1 + resultBytes || answer[0] !== spec.VIRTIO_NET_OK)
        throw new DriverError("command-failed", `class ${kind}, command ${command}`);
      return answer.slice(1);
    }
    throw new DriverError("command-timeout", `class ${kind}, command ${command}`);
  }
}

function check(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ConfigError(`${name} is ${value}, but must be a whole number from ${least} to ${most}`);
  }
}

function words16(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(2 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [k, value] of values.entries()) view.setUint16(2 * k, value, true);
  return bytes;
}

function words32(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [k, value] of values.entries()) view.setUint32(4 * k, value, true);
  return bytes;
}
