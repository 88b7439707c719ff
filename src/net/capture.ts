/** What a capture is and what can be wrong with one; the file formats are in `pcap-classic.ts` and `pcapng.ts`. */

/** The only link type that is read and written (LINKTYPE_ETHERNET). */
export const LINK_TYPE_ETHERNET = 1;

/** The longest packet that is believed, in bytes; a longer one is damage, not a frame (Wireshark's limit, too). */
export const MAX_PACKET_BYTES = 256 * 1024;

export interface CapturedPacket {
  /** The frame as captured, from the destination MAC on, without FCS unless the capture has it. */
  data: Uint8Array;
  /** Bytes that the frame had on the wire; more than `data` holds when the capture cut it (snap length). */
  originalLength: number;
  /** Nanoseconds since 1970-01-01 UTC; 0 where the format stores none (pcapng's simple packet block). */
  timestamp: bigint;
}

export interface Capture {
  packets: CapturedPacket[];
  /** Where a file that ends too early ends: the first packet, counted from 1, that is cut or missing. */
  cut: { packet: number } | null;
}

export interface ReadOptions {
  /** Return the whole packets of a file that ends too early instead of throwing "truncated". */
  lenient?: boolean;
  /** What messages call the capture, usually its file name. */
  name?: string;
}

/**
 * - `not-a-capture`: the file starts like neither pcap nor pcapng.
 * - `truncated`: the file ends in the middle of a packet, a block or its header.
 * - `link-type`: the frames are not Ethernet.
 * - `empty`: no (whole) packet in it.
 * - `corrupt`: a length, a reference or a version that cannot be.
 */
export type CaptureErrorCode = "not-a-capture" | "truncated" | "link-type" | "empty" | "corrupt";

/** Its message is one line that says what is wrong, where, and what would be right. */
export class CaptureError extends Error {
  override readonly name = "CaptureError";
  readonly code: CaptureErrorCode;

  constructor(code: CaptureErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

const LINK_TYPE_NAMES = new Map([
  [0, "BSD loopback"],
  [9, "PPP"],
  [101, "raw IP"],
  [105, "Wi-Fi"],
  [113, "Linux cooked"],
  [127, "Wi-Fi with radiotap"],
  [276, "Linux cooked v2"],
]);

/** A capture that is being read: its bytes, its byte order, the packets so far, and its errors. */
export class CaptureReader {
  readonly packets: CapturedPacket[] = [];
  cut: { packet: number } | null = null;
  littleEndian = true;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #name: string;
  readonly #lenient: boolean;

  constructor(bytes: Uint8Array, options: ReadOptions) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#name = options.name ?? "the capture";
    this.#lenient = options.lenient ?? false;
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** The number, counted from 1, of the packet that comes next. */
  get nextPacket(): number {
    return this.packets.length + 1;
  }

  u8(offset: number): number {
    return this.#view.getUint8(offset);
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, this.littleEndian);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, this.littleEndian);
  }

  i64(offset: number): bigint {
    return this.#view.getBigInt64(offset, this.littleEndian);
  }

  /** The bytes are not copied: the packet is a view of what `readCapture` was given. */
  addPacket(offset: number, capturedLength: number, originalLength: number, timestamp: bigint): void {
    const data = this.#bytes.subarray(offset, offset + capturedLength);
    this.packets.push({ data, originalLength, timestamp });
  }

  error(code: CaptureErrorCode, message: string): CaptureError {
    return new CaptureError(code, `${this.#name}: ${message}`);
  }

  /**
   * Throws when the file ends too early; a lenient reader notes the cut and its caller stops reading.
   * `what` is what lies at `offset` and should have `needed` bytes.
   */
  endsEarly(offset: number, what: string, needed: number, isPacket = true): void {
    const next = this.nextPacket;
    if (!this.#lenient) {
      throw this.error(
        "truncated",
        `${isPacket ? `packet ${next} is cut` : `the file is cut before packet ${next}`}: ` +
          `${what} at byte ${offset} should have ${needed} bytes, but only ${this.length - offset} follow; ` +
          `a lenient read keeps the ${next - 1} whole packets before it`,
      );
    }
    this.cut = { packet: next };
  }

  checkPacketLength(offset: number, capturedLength: number): void {
    if (capturedLength > MAX_PACKET_BYTES) {
      throw this.error(
        "corrupt",
        `packet ${this.nextPacket} at byte ${offset} claims ${capturedLength} bytes; ` +
          `at most ${MAX_PACKET_BYTES} can be right`,
      );
    }
  }

  checkLinkType(linkType: number, where: string): void {
    if (linkType !== LINK_TYPE_ETHERNET) {
      const known = LINK_TYPE_NAMES.get(linkType);
      throw this.error(
        "link-type",
        `${where} has link type ${linkType}${known ? ` (${known})` : ""}; ` +
          `only Ethernet (${LINK_TYPE_ETHERNET}) can be read`,
      );
    }
  }

  finish(): Capture {
    if (this.packets.length === 0) {
      throw this.error(
        "empty",
        this.cut ? "packet 1 is cut and nothing whole is before it" : "there is no packet in it",
      );
    }
    return { packets: this.packets, cut: this.cut };
  }
}
