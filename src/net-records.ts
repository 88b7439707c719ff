/** Frames where host and engine meet: records of `NET_FRAME` bytes (assembly/abi.ts), and comfortable calls over them. */
import * as abi from "../assembly/abi.ts";
import * as spec from "../assembly/spec.ts";
import type { Engine } from "./engine.ts";

/** 32-bit words of a record. */
export const NET_FRAME_WORDS = abi.NET_FRAME / 4;

/** virtio_net_hdr (5.1.9) in its longest form; fields that are left out are 0. */
export interface NetHeader {
  flags: number;
  gsoType: number;
  hdrLen: number;
  gsoSize: number;
  csumStart: number;
  csumOffset: number;
  numBuffers: number;
  hashValue: number;
  hashReport: number;
  outerTransport: number;
  innerNetwork: number;
  outerNetwork: number;
}

/** Offset and bytes of each field. */
const FIELDS: Readonly<Record<keyof NetHeader, readonly [number, number]>> = {
  flags: [spec.VIRTIO_NET_HDR_FLAGS, 1],
  gsoType: [spec.VIRTIO_NET_HDR_GSO_TYPE, 1],
  hdrLen: [spec.VIRTIO_NET_HDR_HDR_LEN, 2],
  gsoSize: [spec.VIRTIO_NET_HDR_GSO_SIZE, 2],
  csumStart: [spec.VIRTIO_NET_HDR_CSUM_START, 2],
  csumOffset: [spec.VIRTIO_NET_HDR_CSUM_OFFSET, 2],
  numBuffers: [spec.VIRTIO_NET_HDR_NUM_BUFFERS, 2],
  hashValue: [spec.VIRTIO_NET_HDR_HASH_VALUE, 4],
  hashReport: [spec.VIRTIO_NET_HDR_HASH_REPORT, 2],
  outerTransport: [spec.VIRTIO_NET_HDR_OUTER_TH, 2],
  innerNetwork: [spec.VIRTIO_NET_HDR_INNER_NH, 2],
  outerNetwork: [spec.VIRTIO_NET_HDR_OUTER_NH, 2],
};
const NAMES = Object.keys(FIELDS) as (keyof NetHeader)[];

/** A frame with what is known of it, and with what is asked for. */
export interface NetFrame {
  bytes: Uint8Array;
  /** The queue pair that it came from or goes to. Default 0; a device chooses for itself. */
  pair?: number;
  header?: Partial<NetHeader>;
  /** To send: fill in the checksum, and with a `gsoSize` segment. Received: the checksum is wrong. */
  checksum?: boolean;
  badChecksum?: boolean;
}

/** The header at `at`, as far as `bytes` reach; fields behind are 0. Allocates. */
export function readNetHeader(memory: DataView, at: number, bytes = spec.VIRTIO_NET_HDR_MAX_SIZE): NetHeader {
  const header = {} as NetHeader;
  for (const name of NAMES) {
    const [offset, width] = FIELDS[name];
    if (offset + width > bytes) header[name] = 0;
    else if (width === 1) header[name] = memory.getUint8(at + offset);
    else
      header[name] = width === 2 ? memory.getUint16(at + offset, true) : memory.getUint32(at + offset, true);
  }
  return header;
}

/** Writes a header at `at`, and 0 for what is left out, as far as `bytes` reach. */
export function writeNetHeader(
  memory: DataView,
  at: number,
  header: Partial<NetHeader>,
  bytes = spec.VIRTIO_NET_HDR_MAX_SIZE,
): void {
  for (let k = 0; k < bytes; k++) memory.setUint8(at + k, 0);
  for (const name of NAMES) {
    const [offset, width] = FIELDS[name];
    const value = header[name] ?? 0;
    if (offset + width > bytes) continue;
    if (width === 1) memory.setUint8(at + offset, value);
    else if (width === 2) memory.setUint16(at + offset, value, true);
    else memory.setUint32(at + offset, value, true);
  }
}

/** Copies of the first `count` frames of the records at `records`. Allocates. */
export function readFrames(engine: Engine, records: number, count: number): NetFrame[] {
  const memory = new DataView(engine.memory.buffer);
  return Array.from({ length: count }, (_, i) => {
    const at = records + i * abi.NET_FRAME;
    const ptr = memory.getUint32(at, true);
    const frame: NetFrame = {
      bytes: engine.bytes(ptr, memory.getUint32(at + abi.NET_FRAME_BYTES, true)).slice(),
      pair: memory.getUint16(at + abi.NET_FRAME_PAIR, true),
      header: readNetHeader(memory, at + abi.NET_FRAME_HDR),
    };
    if (memory.getUint16(at + abi.NET_FRAME_FLAGS, true) & abi.NET_FRAME_F_BAD_CHECKSUM)
      frame.badChecksum = true;
    return frame;
  });
}

/** Writes the record of a frame that lies at `ptr`. */
export function writeRecord(engine: Engine, at: number, frame: NetFrame, ptr: number, token: number): void {
  const memory = new DataView(engine.memory.buffer);
  memory.setUint32(at, ptr, true);
  memory.setUint32(at + abi.NET_FRAME_BYTES, frame.bytes.length, true);
  memory.setUint16(at + abi.NET_FRAME_PAIR, frame.pair ?? 0, true);
  memory.setUint16(at + abi.NET_FRAME_FLAGS, frame.checksum ? abi.NET_FRAME_F_CHECKSUM : 0, true);
  memory.setUint32(at + abi.NET_FRAME_TOKEN, token, true);
  writeNetHeader(memory, at + abi.NET_FRAME_HDR, frame.header ?? {});
}
