import { type CapturedPacket, type CaptureReader, LINK_TYPE_ETHERNET, MAX_PACKET_BYTES } from "./capture.ts";

/*
 * Classic pcap (draft-ietf-opsawg-pcap): one file header, then a header and the data of every packet.
 *
 *   file    0 magic | 4 major.u16 minor.u16 | 8 reserved | 12 reserved | 16 snap length | 20 link type
 *   packet  0 seconds | 4 fraction | 8 captured length | 12 original length | 16 data, not padded
 *
 * The magic tells the byte order and whether the fraction is in microseconds or nanoseconds.
 */
export const PCAP_MAGIC_MICROSECONDS = 0xa1b2c3d4;
export const PCAP_MAGIC_NANOSECONDS = 0xa1b23c4d;

const FILE_HEADER_BYTES = 24;
const PACKET_HEADER_BYTES = 16;
const VERSION_MAJOR = 2;
const VERSION_MINOR = 4;
const NANOSECONDS_PER_SECOND = 1_000_000_000n;

/** Reads all packets; `reader.littleEndian` is set by who recognized the magic. */
export function readPcap(reader: CaptureReader, nanoseconds: boolean): void {
  if (reader.length < FILE_HEADER_BYTES) {
    throw reader.error(
      "truncated",
      `the file header is cut: it should have ${FILE_HEADER_BYTES} bytes, the file has ${reader.length}`,
    );
  }
  const major = reader.u16(4);
  if (major !== VERSION_MAJOR) {
    throw reader.error(
      "corrupt",
      `the file header at byte 4 has pcap version ${major}.${reader.u16(6)}; ` +
        `${VERSION_MAJOR}.${VERSION_MINOR} would be right`,
    );
  }
  // The upper half of the field says how long the FCS is, not what the link is.
  reader.checkLinkType(reader.u32(20) & 0xffff, "the file header");

  const unit = nanoseconds ? 1 : 1000;
  let offset = FILE_HEADER_BYTES;
  while (offset < reader.length) {
    if (offset + PACKET_HEADER_BYTES > reader.length) {
      reader.endsEarly(offset, "its header", PACKET_HEADER_BYTES);
      return;
    }
    const capturedLength = reader.u32(offset + 8);
    reader.checkPacketLength(offset, capturedLength);
    const dataOffset = offset + PACKET_HEADER_BYTES;
    if (dataOffset + capturedLength > reader.length) {
      reader.endsEarly(dataOffset, "its data", capturedLength);
      return;
    }
    const fraction = BigInt(reader.u32(offset + 4) * unit);
    const timestamp = BigInt(reader.u32(offset)) * NANOSECONDS_PER_SECOND + fraction;
    reader.addPacket(dataOffset, capturedLength, reader.u32(offset + 12), timestamp);
    offset = dataOffset + capturedLength;
  }
}

export interface WriteOptions {
  /** Keep nanoseconds (the default); false rounds timestamps down to microseconds, for tools that need it. */
  nanoseconds?: boolean;
  /** Byte order of the headers; true is the default. */
  littleEndian?: boolean;
}

/**
 * Writes a classic pcap file of Ethernet frames that Wireshark and tcpdump open. `readCapture` gives back
 * the same bytes, original lengths and timestamps. Throws RangeError for a packet that the format cannot
 * hold: longer than 262,144 bytes, an original length beyond 32 bits, or a time outside 1970 to 2106.
 */
export function writePcap(packets: Iterable<CapturedPacket>, options: WriteOptions = {}): Uint8Array {
  const { nanoseconds = true, littleEndian = true } = options;
  const list = [...packets];
  let size = FILE_HEADER_BYTES;
  for (const [index, packet] of list.entries()) {
    checkWritable(packet, index + 1);
    size += PACKET_HEADER_BYTES + packet.data.length;
  }

  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, nanoseconds ? PCAP_MAGIC_NANOSECONDS : PCAP_MAGIC_MICROSECONDS, littleEndian);
  view.setUint16(4, VERSION_MAJOR, littleEndian);
  view.setUint16(6, VERSION_MINOR, littleEndian);
  view.setUint32(16, MAX_PACKET_BYTES, littleEndian);
  view.setUint32(20, LINK_TYPE_ETHERNET, littleEndian);

  const unit = nanoseconds ? 1n : 1000n;
  let offset = FILE_HEADER_BYTES;
  for (const { data, originalLength, timestamp } of list) {
    const fraction = (timestamp % NANOSECONDS_PER_SECOND) / unit;
    view.setUint32(offset, Number(timestamp / NANOSECONDS_PER_SECOND), littleEndian);
    view.setUint32(offset + 4, Number(fraction), littleEndian);
    view.setUint32(offset + 8, data.length, littleEndian);
    view.setUint32(offset + 12, originalLength, littleEndian);
    bytes.set(data, offset + PACKET_HEADER_BYTES);
    offset += PACKET_HEADER_BYTES + data.length;
  }
  return bytes;
}

function checkWritable({ data, originalLength, timestamp }: CapturedPacket, number: number): void {
  if (data.length > MAX_PACKET_BYTES) {
    throw new RangeError(
      `packet ${number} has ${data.length} bytes; at most ${MAX_PACKET_BYTES} can be written`,
    );
  }
  if (!Number.isInteger(originalLength) || originalLength < 0 || originalLength > 0xffff_ffff) {
    throw new RangeError(
      `packet ${number} has the original length ${originalLength}; 0 to 4294967295 is possible`,
    );
  }
  if (timestamp < 0n || timestamp >= (1n << 32n) * NANOSECONDS_PER_SECOND) {
    throw new RangeError(`packet ${number} has the timestamp ${timestamp} ns; 1970 to 2106 can be written`);
  }
}
