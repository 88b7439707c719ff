/** A network card whose queues are a guest's and whose NIC is the host's: what the guest posts, the NIC reads and writes. */
import * as spec from "../../assembly/spec.ts";
import type { Engine } from "../engine.ts";
import { ConfigError } from "../errors.ts";
import { Features } from "../features.ts";
import { macBytes } from "../net-address.ts";
import { NET_FEATURE_RULES, NetFeatures } from "../net-features.ts";
import type { DeviceHost, DeviceKind } from "./kind.ts";
import { Passthru, type PassthruSettings, type PassthruState } from "./passthru.ts";

const F = NetFeatures;
/** Offloads are the NIC's business: headers pass through, and none are offered. */
const FEATURES =
  F.MAC |
  F.MTU |
  F.STATUS |
  F.MRG_RXBUF |
  Features.INDIRECT_DESC |
  Features.EVENT_IDX |
  Features.RING_PACKED |
  Features.RING_RESET |
  Features.NOTIFICATION_DATA;
const RECEIVE = 0;
const TRANSMIT = 1;

export interface PassthruNetOptions extends Omit<PassthruSettings, "mac" | "onComplete" | "mergeable"> {
  /** The engine's device, the same as the core's. Default 0. */
  device?: number;
  /** What is offered at most; default: everything. */
  features?: bigint;
  /** The card's address; with it the receive hook takes only frames to that and to groups. */
  mac?: string | Uint8Array;
  /** The largest packet. Default 65535. */
  mtu?: number;
}

/**
 * A network card (5.1) for the device core, with one pair of queues. While no NIC is bound to its `interface` the link is
 * down and what the guest posts stays in the rings; bind and unbind as often as wanted, under traffic. The guest's
 * addresses must be physical ones: a device behind an IOMMU can't be passed through.
 */
export class PassthruNetDevice implements DeviceKind {
  readonly deviceId = 1;
  readonly queueCount = 2;
  readonly rules = NET_FEATURE_RULES;
  readonly configBytes = spec.VIRTIO_NET_CONFIG_SIZE;
  readonly features: bigint;
  /** What the host's NIC is bound to. */
  readonly interface: Passthru;
  readonly #engine: Engine;
  readonly #options: PassthruNetOptions;
  #core: DeviceHost | null = null;
  /** The transmit queue is reset once the NIC is done with it. */
  #resetting = false;

  /** @throws ConfigError for options that can't be, or for which nothing is reserved. */
  constructor(engine: Engine, options: PassthruNetOptions = {}) {
    const { queueSize, passthru } = engine.limits;
    if (passthru !== null && passthru.requests < 2 * queueSize) {
      throw new ConfigError(
        `passthru.requests is ${passthru.requests}, but two queues of ${queueSize} need ${2 * queueSize}`,
      );
    }
    this.#engine = engine;
    this.#options = options;
    let features = (options.features ?? FEATURES) & FEATURES;
    if (options.mac === undefined) features &= ~F.MAC;
    this.features = features;
    this.interface = new Passthru(engine, {
      ...options,
      onComplete: () => this.#give(),
      onState: (state) => this.#changed(state),
    });
    const { wasm } = engine;
    this.#set(wasm.PASSTHRU_KEEPS, 1);
    this.#set(wasm.PASSTHRU_HEADER_BYTES, spec.VIRTIO_NET_HDR_SIZE);
    this.#set(wasm.PASSTHRU_SPACE, engine.device(options.device ?? 0).space);
  }

  // What the core calls

  attach(core: DeviceHost): void {
    this.#core = core;
  }

  reset(): void {
    this.#resetting = false;
    this.interface.forget();
    this.#host.changeConfig(0, this.#configAtReset());
  }

  acceptFeatures(features: bigint): boolean {
    return (features & Features.ACCESS_PLATFORM) === 0n;
  }

  driverOk(): void {
    const merges = (this.#host.features & F.MRG_RXBUF) !== 0n;
    this.#set(this.#engine.wasm.PASSTHRU_MERGEABLE, Number(merges));
  }

  kicked(queue: number): void {
    this.#pump(queue);
  }

  queueReset(queue: number): "done" | "busy" {
    if (queue === TRANSMIT && this.interface.atNic > 0) {
      this.#resetting = true;
      return "busy";
    }
    this.#forget(queue);
    return "done";
  }

  // What the host calls: on the interface

  /** Pops what the guest has made available, while there is a NIC for it. */
  #pump(queue: number): void {
    if (this.interface.state !== "bound" || (queue === TRANSMIT && this.#resetting)) return;
    const half = this.#host.queue(queue);
    if (half === null || !this.#host.running) return;
    const { wasm, limits } = this.#engine;
    const { popped } = half;
    const packed = Number(half.format === "packed");
    let taken = 0;
    do {
      for (;;) {
        const { byteOffset, byteLength } = popped;
        const got = wasm.passthruGuestPops(
          this.interface.ptr,
          queue === RECEIVE,
          half.ptr,
          packed,
          byteOffset,
          byteLength,
          limits.batch,
        );
        taken += got;
        if (got === 0) break;
      }
      // A buffer that became available before the request for a kick was seen.
    } while (half.arm() && half.state === "live" && taken < half.size);
    if (queue === RECEIVE) wasm.passthruAsk(this.interface.ptr);
    else if (taken > 0) this.#options.onSend?.();
    this.#give();
  }

  /** Shows the guest what is done. */
  #give(): void {
    const host = this.#core;
    if (host === null) return;
    const { wasm } = this.#engine;
    this.#giveLine(host, RECEIVE, wasm.PASSTHRU_DONE_READS.value);
    this.#giveLine(host, TRANSMIT, wasm.PASSTHRU_DONE_WRITES.value);
    if (this.#resetting && this.interface.atNic === 0) {
      this.#resetting = false;
      this.#forget(TRANSMIT);
      host.queueResetDone(TRANSMIT);
    }
  }

  #giveLine(host: DeviceHost, queue: number, done: number): void {
    const half = host.queue(queue);
    if (half === null) return;
    const { wasm, limits } = this.#engine;
    const packed = Number(half.format === "packed");
    const used = half.completions.byteOffset;
    if (wasm.passthruGuestGives(this.interface.ptr, done, half.ptr, packed, used, limits.batch) > 0) {
      host.publishUsed(queue);
    }
  }

  #forget(queue: number): void {
    this.#engine.wasm.passthruForget(this.interface.ptr, queue === RECEIVE);
  }

  /** Status goes to the guest as the link's, and to the host. */
  #changed(state: PassthruState): void {
    const up = state === "bound";
    this.#host.changeConfig(spec.VIRTIO_NET_CONFIG_STATUS, Uint8Array.of(up ? spec.VIRTIO_NET_S_LINK_UP : 0));
    if (up) for (const queue of [RECEIVE, TRANSMIT]) this.#pump(queue);
    this.#options.onState?.(state);
  }

  get #host(): DeviceHost {
    if (this.#core === null) throw new ConfigError("the network device is not attached to a device core");
    return this.#core;
  }

  #set(offset: { value: number }, value: number): void {
    this.#engine.u32[(this.interface.ptr + offset.value) >>> 2] = value;
  }

  /** virtio_net_config (5.1.4) as it is when the device is reset. */
  #configAtReset(): Uint8Array {
    const { mac, mtu = 65535 } = this.#options;
    const bytes = new Uint8Array(this.configBytes);
    const view = new DataView(bytes.buffer);
    if (mac !== undefined) bytes.set(macBytes(mac), spec.VIRTIO_NET_CONFIG_MAC);
    const up = this.interface.state === "bound";
    view.setUint16(spec.VIRTIO_NET_CONFIG_STATUS, up ? spec.VIRTIO_NET_S_LINK_UP : 0, true);
    view.setUint16(spec.VIRTIO_NET_CONFIG_MAX_PAIRS, 1, true);
    view.setUint16(spec.VIRTIO_NET_CONFIG_MTU, mtu, true);
    return bytes;
  }
}
