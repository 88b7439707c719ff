/** Traffic as it goes through at an MTU: whole, where NICs cut and put together, or cut by software before it is sent. */
import { FRAME_IPV6, FRAME_TCP, OK } from "../../assembly/abi.ts";
import {
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
  VIRTIO_NET_HDR_GSO_UDP,
} from "../../assembly/spec.ts";
import { Engine, type EngineOptions } from "../engine.ts";
import type { CapturedPacket } from "../net/pcap.ts";
import { MAX_FRAME_BYTES, type Traffic } from "../net/traffic.ts";
import { CompareInputError } from "./errors.ts";

export const DEFAULT_MTU = 1500;
/** What every IPv4 link carries (RFC 791, 3.2), and what a length field says. */
export const LEAST_MTU = 68;
export const MOST_MTU = 65_535;

export interface MtuOptions {
  /** Most bytes of a packet, its IP header included and Ethernet's not. */
  mtu: number;
  /** Whether longer frames pass whole, as with segmentation and coalescing by NICs. */
  offloads: boolean;
  module?: EngineOptions["module"];
}

const ETHERNET_BYTES = 14;
const VLAN_BYTES = 4;
const VLAN_TAGS = [0x8100, 0x88a8];
/** Where the checksum stands in a TCP and in a UDP header. */
const CHECKSUM_OFFSET = { tcp: 16, udp: 6 };
const IPV6_FRAGMENT_BYTES = 8;

/**
 * The packets that go through. Without offloads TCP is cut into segments and UDP into fragments, as a host's software
 * does it; notes say how many were, and what can't be cut and is left out.
 * @throws CompareInputError when nothing is left
 */
export async function atMtu(traffic: Traffic, { mtu, offloads, module }: MtuOptions): Promise<Traffic> {
  const all = traffic.packets.length;
  const longer = traffic.packets.filter(({ data }) => isLonger(data, mtu)).length;
  if (longer === 0) return traffic;
  const said = `${longer} of ${all} frames are longer than an MTU of ${mtu}`;
  if (offloads) return { ...traffic, notes: [`${said} and pass whole, as with offloads`] };
  const cutter = await Cutter.create(module);
  const packets: CapturedPacket[] = [];
  let lost = 0;
  for (const packet of traffic.packets) {
    const frames = isLonger(packet.data, mtu) ? cutter.cut(packet.data, mtu) : [packet.data];
    if (frames.length === 0) lost++;
    for (const data of frames) packets.push({ ...packet, data, originalLength: data.length });
  }
  if (packets.length === 0) {
    throw new CompareInputError(
      `${traffic.name}: no frame goes through an MTU of ${mtu} or can be cut to it; a larger --mtu or --offloads on is needed`,
    );
  }
  const made = packets.length - (all - longer);
  const notes = [`${said}; software cut them into ${made}`];
  if (lost > 0)
    notes.push(`${lost} of them are left out, because only whole TCP and UDP packets can be cut to it`);
  return { ...traffic, packets, bytes: packets.reduce((sum, { data }) => sum + data.length, 0), notes };
}

function isLonger(frame: Uint8Array, mtu: number): boolean {
  let header = ETHERNET_BYTES;
  while (VLAN_TAGS.includes((frame[header - 2] << 8) | frame[header - 1])) header += VLAN_BYTES;
  return frame.length > header + mtu;
}

/** The engine's segmentation, with places for one frame and one segment. */
class Cutter {
  readonly #engine: Engine;
  readonly #frame: number;
  readonly #segment: number;
  readonly #info: number;
  readonly #segmenter: number;

  private constructor(engine: Engine) {
    const { wasm, buffers, scratch } = engine;
    this.#engine = engine;
    this.#frame = buffers.ptr;
    this.#segment = buffers.ptr + ROOM;
    this.#info = scratch.ptr;
    this.#segmenter = scratch.ptr + wasm.FRAME_INFO_BYTES.value;
  }

  static async create(module: EngineOptions["module"]): Promise<Cutter> {
    return new Cutter(
      await Engine.create({ module, queueSize: 1, bufferBytes: 2 * ROOM, scratchBytes: 4096 }),
    );
  }

  /** What the frame becomes; nothing when it can't be cut. */
  cut(frame: Uint8Array, mtu: number): Uint8Array[] {
    const { wasm } = this.#engine;
    this.#engine.bytes(this.#frame, frame.length).set(frame);
    if (!wasm.parseFrame(this.#frame, frame.length, this.#info)) return [];
    if (!this.#start(mtu)) return [];
    const frames: Uint8Array[] = [];
    for (;;) {
      const bytes = wasm.segmentNext(this.#segmenter, this.#segment);
      if (bytes === 0) return frames;
      frames.push(this.#engine.bytes(this.#segment, bytes).slice());
    }
  }

  #start(mtu: number): boolean {
    const { wasm } = this.#engine;
    const flags = this.#of(wasm.FRAME_INFO_FLAGS);
    const [network, transport] = [this.#of(wasm.FRAME_INFO_NETWORK), this.#of(wasm.FRAME_INFO_TRANSPORT)];
    // What isn't whole, is a fragment itself, or is neither TCP nor UDP has no checksum of its own.
    if (!wasm.checksumSeed(this.#frame, this.#info)) return false;
    const isTcp = (flags & FRAME_TCP) !== 0;
    const isIpv6 = (flags & FRAME_IPV6) !== 0;
    const headers = isTcp
      ? this.#of(wasm.FRAME_INFO_PAYLOAD) - network
      : transport - network + (isIpv6 ? IPV6_FRAGMENT_BYTES : 0);
    if (headers >= mtu) return false;
    const tcpType = isIpv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
    this.#set(wasm.SEGMENTER_GSO_TYPE, isTcp ? tcpType : VIRTIO_NET_HDR_GSO_UDP);
    this.#set(wasm.SEGMENTER_GSO_SIZE, mtu - headers);
    this.#set(wasm.SEGMENTER_CSUM_START, transport);
    this.#set(wasm.SEGMENTER_CSUM_OFFSET, isTcp ? CHECKSUM_OFFSET.tcp : CHECKSUM_OFFSET.udp);
    const end = this.#of(wasm.FRAME_INFO_END);
    return wasm.segmentStart(this.#segmenter, this.#frame, end) === OK;
  }

  #of({ value }: { value: number }): number {
    return this.#engine.u32[(this.#info + value) >>> 2];
  }

  #set({ value }: { value: number }, to: number): void {
    this.#engine.u32[(this.#segmenter + value) >>> 2] = to;
  }
}

/** A frame of any length that traffic may have, aligned. */
const ROOM = (MAX_FRAME_BYTES + 63) & ~63;
