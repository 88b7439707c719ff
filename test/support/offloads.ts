/** The engine's network offloads with places for one frame: what is put in and what comes out are plain arrays. */
import * as abi from "../../assembly/abi.ts";
import * as spec from "../../assembly/spec.ts";
import type { Engine } from "../../src/engine.ts";
import { createEngine } from "./engine.ts";

/** What a header says of its frame, as far as the engine asks. */
export interface NetHeader {
  gsoType: number;
  gsoSize: number;
  csumStart: number;
  csumOffset: number;
  outerTransport?: number;
  innerNetwork?: number;
  outerCsum?: boolean;
  fixedId?: boolean;
  fragmentId?: number;
}

export interface ParsedFrame {
  isIp: boolean;
  flags: number;
  etherType: number;
  network: number;
  transport: number;
  payload: number;
  end: number;
  protocol: number;
  homeAddress: number;
  routeAddress: number;
}

/** Bytes that a frame, and what comes out of it, may have. */
export const ROOM = 1 << 17;

export class Offloads {
  readonly engine: Engine;
  readonly wasm: Engine["wasm"];
  /** Places: the records, the Toeplitz table, the frame, and what is made of it. */
  readonly info: number;
  readonly inner: number;
  readonly segmenter: number;
  readonly table: number;
  readonly frame: number;
  readonly out: number;

  private constructor(engine: Engine) {
    this.engine = engine;
    this.wasm = engine.wasm;
    let next = engine.buffers.ptr;
    const take = (bytes: number) => {
      const ptr = next;
      next += (bytes + 127) & ~63;
      return ptr;
    };
    this.info = take(this.wasm.FRAME_INFO_BYTES.value);
    this.inner = take(this.wasm.FRAME_INFO_BYTES.value);
    this.segmenter = take(this.wasm.SEGMENTER_BYTES.value);
    this.table = take(abi.TOEPLITZ_TABLE_BYTES);
    this.frame = take(ROOM);
    this.out = take(ROOM);
  }

  /** `spare` bytes and more stay free at the end of the memory, where reading too far is a trap. */
  static async create(spare = 1 << 18): Promise<Offloads> {
    const memoryBytes = (1 << 20) + spare;
    return new Offloads(await createEngine({ queueSize: 1, bufferBytes: 1 << 19, memoryBytes }));
  }

  /** One past the last byte of the memory. */
  get end(): number {
    return this.engine.memory.buffer.byteLength;
  }

  bytes(ptr: number, count: number): Uint8Array {
    return this.engine.bytes(ptr, count);
  }

  /** Puts a frame at its place, or `offset` bytes behind it. */
  put(frame: Uint8Array, offset = 0): number {
    this.bytes(this.frame + offset, frame.length).set(frame);
    return this.frame + offset;
  }

  word(ptr: number): number {
    return this.engine.u32[ptr >>> 2];
  }

  parse(frame: Uint8Array, offset = 0): ParsedFrame {
    const isIp = Boolean(this.wasm.parseFrame(this.put(frame, offset), frame.length, this.info));
    return this.parsed(isIp, this.info);
  }

  parsed(isIp: boolean, ptr: number): ParsedFrame {
    const { wasm } = this;
    return {
      isIp,
      flags: this.word(ptr + wasm.FRAME_INFO_FLAGS.value),
      etherType: this.word(ptr + wasm.FRAME_INFO_ETHER_TYPE.value),
      network: this.word(ptr + wasm.FRAME_INFO_NETWORK.value),
      transport: this.word(ptr + wasm.FRAME_INFO_TRANSPORT.value),
      payload: this.word(ptr + wasm.FRAME_INFO_PAYLOAD.value),
      end: this.word(ptr + wasm.FRAME_INFO_END.value),
      protocol: this.word(ptr + wasm.FRAME_INFO_PROTOCOL.value),
      homeAddress: this.word(ptr + wasm.FRAME_INFO_HOME_ADDRESS.value),
      routeAddress: this.word(ptr + wasm.FRAME_INFO_ROUTE_ADDRESS.value),
    };
  }

  /** Checks the checksums of a frame: CHECKSUM_*. */
  verify(frame: Uint8Array): number {
    this.parse(frame);
    return this.wasm.checksumVerify(this.frame, this.info);
  }

  /** The frame with its checksum completed. */
  complete(frame: Uint8Array, { csumStart, csumOffset }: NetHeader): Uint8Array {
    const code = this.wasm.checksumComplete(this.put(frame), frame.length, csumStart, csumOffset);
    if (code !== abi.OK) throw new Error(`the checksum can't be completed: ${code}`);
    return this.bytes(this.frame, frame.length).slice();
  }

  /** Starts to segment a frame: OK, or why it can't be. */
  start(frame: Uint8Array, header: NetHeader, offset = 0): number {
    const { engine, wasm, segmenter } = this;
    const set = (field: { value: number }, value: number) => {
      engine.u32[(segmenter + field.value) >>> 2] = value;
    };
    set(wasm.SEGMENTER_GSO_TYPE, header.gsoType);
    set(wasm.SEGMENTER_GSO_SIZE, header.gsoSize);
    set(wasm.SEGMENTER_CSUM_START, header.csumStart);
    set(wasm.SEGMENTER_CSUM_OFFSET, header.csumOffset);
    set(wasm.SEGMENTER_OUTER_TRANSPORT, header.outerTransport ?? 0);
    set(wasm.SEGMENTER_INNER_NETWORK, header.innerNetwork ?? 0);
    set(wasm.SEGMENTER_OUTER_CSUM, header.outerCsum ? 1 : 0);
    set(wasm.SEGMENTER_FIXED_ID, header.fixedId ? 1 : 0);
    set(wasm.SEGMENTER_FRAGMENT_ID, header.fragmentId ?? 0);
    return wasm.segmentStart(segmenter, this.put(frame, offset), frame.length);
  }

  /** All segments of a frame. */
  segment(frame: Uint8Array, header: NetHeader): Uint8Array[] {
    const code = this.start(frame, header);
    if (code !== abi.OK) throw new Error(`the frame can't be segmented: ${code}`);
    const segments: Uint8Array[] = [];
    for (;;) {
      const bytes = this.wasm.segmentNext(this.segmenter, this.out);
      if (bytes === 0) return segments;
      segments.push(this.bytes(this.out, bytes).slice());
    }
  }

  /** What a frame that a driver handed over becomes on the wire. */
  send(frame: Uint8Array, header: NetHeader & { flags: number }): Uint8Array[] {
    if (header.gsoType !== spec.VIRTIO_NET_HDR_GSO_NONE) return this.segment(frame, header);
    return [header.flags & 1 ? this.complete(frame, header) : frame];
  }
}
