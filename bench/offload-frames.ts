/** Where the offloads' benchmarks have what they work on, and what that is. */
import { TOEPLITZ_TABLE_BYTES } from "../assembly/abi.ts";
import { VIRTIO_NET_HDR_GSO_TCPV4 } from "../assembly/spec.ts";
import type { Engine } from "../src/engine.ts";
import { openEngine } from "./support.ts";

/** A frame as long as IPv4 allows, and segments as Ethernet takes them, with timestamps in TCP's header. */
export const LARGE_FRAME = 14 + 65_535;
export const GSO_SIZE = 1448;
const NETWORK = 14;
const TRANSPORT = 34;
const HEADER_BYTES = TRANSPORT + 32;
export const SEGMENTS = Math.ceil((LARGE_FRAME - HEADER_BYTES) / GSO_SIZE);
/** Room for a segment of 1514 bytes; not a divisor of 4 KiB. */
const STRIDE = 1536 + 64;
const KEY_BYTES = 40;
/** Inputs for hashes lie 64 bytes apart, and there are 64 of them. */
const INPUTS_BYTES = 64 * 64;

export class OffloadBench {
  readonly engine: Engine;
  readonly segmenter: number;
  readonly table: number;
  readonly inputs: number;
  readonly frame: number;
  readonly segments: number;
  readonly lengths: number;

  private constructor(engine: Engine) {
    this.engine = engine;
    const { wasm } = engine;
    let next = engine.buffers.ptr;
    const take = (bytes: number) => {
      const ptr = next;
      next += (bytes + 63) & ~63;
      return ptr;
    };
    this.segmenter = take(wasm.SEGMENTER_BYTES.value);
    this.table = take(TOEPLITZ_TABLE_BYTES);
    const key = take(KEY_BYTES);
    this.inputs = take(INPUTS_BYTES);
    this.frame = take(LARGE_FRAME);
    this.lengths = take(4 * SEGMENTS);
    this.segments = take(STRIDE * SEGMENTS);
    const all = engine.bytes(engine.buffers.ptr, engine.buffers.bytes);
    for (let i = 0; i < all.length; i++) all[i] = (i * 167 + (i >>> 8) * 13) & 0xff;
    wasm.toeplitzPrepare(key, KEY_BYTES, this.table);
    this.#writeFrame();
  }

  static async open(): Promise<OffloadBench> {
    return new OffloadBench(await openEngine({ bufferBytes: 1 << 18 }));
  }

  /** TCP over IPv4, as a driver hands it over: what isn't set here is the payload's pattern. */
  #writeFrame(): void {
    const { engine, frame, segmenter } = this;
    const { wasm } = engine;
    const bytes = engine.bytes(frame, HEADER_BYTES);
    bytes.fill(0);
    bytes.set([0x08, 0x00, 0x45, 0, 0xff, 0xff, 0, 1, 0x40, 0, 64, 6], NETWORK - 2);
    bytes.set([0x80, 0x18], TRANSPORT + 12);
    const set = (field: { value: number }, value: number) => {
      engine.u32[(segmenter + field.value) >>> 2] = value;
    };
    set(wasm.SEGMENTER_GSO_TYPE, VIRTIO_NET_HDR_GSO_TCPV4);
    set(wasm.SEGMENTER_GSO_SIZE, GSO_SIZE);
    set(wasm.SEGMENTER_CSUM_START, TRANSPORT);
    set(wasm.SEGMENTER_CSUM_OFFSET, 16);
    set(wasm.SEGMENTER_FIXED_ID, 0);
    set(wasm.SEGMENTER_OUTER_CSUM, 0);
  }

  checksum(bytes: number, count: number): number {
    return this.engine.wasm.checksumRepeat(this.frame, bytes, count);
  }

  toeplitz(bytes: number, count: number): number {
    return this.engine.wasm.toeplitzRepeat(this.table, this.inputs, bytes, count) >>> 0;
  }

  /** Cuts the frame; how many segments came. */
  segment(count: number): number {
    const { segmenter, frame, segments, lengths } = this;
    return this.engine.wasm.segmentRepeat(segmenter, frame, LARGE_FRAME, segments, STRIDE, lengths, count);
  }

  /** Each segment of the last frame that was cut. */
  *cut(): Generator<Uint8Array> {
    for (let i = 0; i < SEGMENTS; i++) {
      yield this.engine.bytes(this.segments + i * STRIDE, this.engine.u32[(this.lengths >>> 2) + i]);
    }
  }
}
