import type { CaptureReader } from "./capture.ts";

/*
 * pcapng (draft-ietf-opsawg-pcapng): a file is a row of blocks, each padded to 4 bytes.
 *
 *   block      0 type | 4 total length | 8 body | total length again
 *   section    8 byte-order magic | 12 major.u16 minor.u16 | 16 section length.i64 | 24 options
 *   interface  8 link type.u16 reserved.u16 | 12 snap length | 16 options
 *   enhanced   8 interface | 12 time, upper half | 16 lower half | 20 captured | 24 original | 28 data
 *   simple     8 original | 12 data, as much as the first interface's snap length lets through
 *   old packet 8 interface.u16 drops.u16 | 12 on: as in the enhanced packet block
 *
 * A section header sets the byte order and forgets the interfaces of the section before.
 */
export const SECTION_HEADER_BLOCK = 0x0a0d0d0a;
const INTERFACE_BLOCK = 1;
const OLD_PACKET_BLOCK = 2;
const SIMPLE_PACKET_BLOCK = 3;
const ENHANCED_PACKET_BLOCK = 6;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const BLOCK_HEADER_BYTES = 8;
const BLOCK_TRAILER_BYTES = 4;
/** Far above any packet with its options; a longer block is damage (Wireshark draws the same line). */
const MAX_BLOCK_BYTES = 16 * 1024 * 1024;

const OPTION_END = 0;
const OPTION_IF_TSRESOL = 9;
const OPTION_IF_TSOFFSET = 14;

const NANOSECONDS_PER_SECOND = 1_000_000_000n;

interface Interface {
  linkType: number;
  /** Bytes kept of a packet; 0 means all of it. */
  snapLength: number;
  ticksPerSecond: bigint;
  /** Seconds to add to every timestamp. */
  offsetSeconds: bigint;
}

/** From the block's first byte to behind its last, checked to lie in the file. */
interface Block {
  type: number;
  start: number;
  end: number;
}

/** What the three packet blocks say in different layouts. */
interface PacketFields {
  interfaceId: number;
  dataOffset: number;
  capturedLength: number;
  originalLength: number;
  ticks: bigint;
}

/** The least that the body of a known block has, without options and data. */
const BODY_BYTES = new Map([
  [SECTION_HEADER_BLOCK, 16],
  [INTERFACE_BLOCK, 8],
  [OLD_PACKET_BLOCK, 20],
  [SIMPLE_PACKET_BLOCK, 4],
  [ENHANCED_PACKET_BLOCK, 20],
]);

const PACKET_BLOCKS = new Set([OLD_PACKET_BLOCK, SIMPLE_PACKET_BLOCK, ENHANCED_PACKET_BLOCK]);

/** Reads all packets of all sections. */
export function readPcapng(reader: CaptureReader): void {
  let interfaces: Interface[] = [];
  let offset = 0;
  while (offset < reader.length) {
    const block = nextBlock(reader, offset);
    if (block === null) {
      return;
    }
    switch (block.type) {
      case SECTION_HEADER_BLOCK:
        checkVersion(reader, block);
        interfaces = [];
        break;
      case INTERFACE_BLOCK:
        interfaces.push(readInterface(reader, block));
        break;
      case ENHANCED_PACKET_BLOCK:
        addPacket(reader, block, interfaces, timedFields(reader, block, reader.u32(block.start + 8)));
        break;
      case OLD_PACKET_BLOCK:
        addPacket(reader, block, interfaces, timedFields(reader, block, reader.u16(block.start + 8)));
        break;
      case SIMPLE_PACKET_BLOCK:
        addPacket(reader, block, interfaces, simpleFields(reader, block, interfaces[0]));
        break;
    }
    offset = block.end;
  }
}

/** The block at `offset` with its lengths checked; null when the file ends in it and the reader is lenient. */
function nextBlock(reader: CaptureReader, offset: number): Block | null {
  if (offset + BLOCK_HEADER_BYTES > reader.length) {
    reader.endsEarly(offset, "a block's header", BLOCK_HEADER_BYTES);
    return null;
  }
  const type = reader.u32(offset);
  if (type === SECTION_HEADER_BLOCK && !readByteOrder(reader, offset)) {
    return null;
  }
  const length = reader.u32(offset + 4);
  const least = BLOCK_HEADER_BYTES + (BODY_BYTES.get(type) ?? 0) + BLOCK_TRAILER_BYTES;
  if (length < least || length > MAX_BLOCK_BYTES || length % 4 !== 0) {
    throw reader.error(
      "corrupt",
      `the block at byte ${offset} (type ${type}) claims ${length} bytes; ` +
        `a multiple of 4 from ${least} to ${MAX_BLOCK_BYTES} would be right`,
    );
  }
  const end = offset + length;
  if (end > reader.length) {
    reader.endsEarly(offset, "a block", length, PACKET_BLOCKS.has(type));
    return null;
  }
  const trailer = reader.u32(end - BLOCK_TRAILER_BYTES);
  if (trailer !== length) {
    throw reader.error(
      "corrupt",
      `the block at byte ${offset} says ${length} bytes at its start and ${trailer} at its end; ` +
        "both should be the same",
    );
  }
  return { type, start: offset, end };
}

/** Sets the byte order of a section before its length is read; false when a lenient reader meets the end. */
function readByteOrder(reader: CaptureReader, offset: number): boolean {
  const magicEnd = offset + BLOCK_HEADER_BYTES + 4;
  if (magicEnd > reader.length) {
    reader.endsEarly(offset, "a section header", BLOCK_HEADER_BYTES + 4, false);
    return false;
  }
  reader.littleEndian = true;
  if (reader.u32(offset + 8) === BYTE_ORDER_MAGIC) {
    return true;
  }
  reader.littleEndian = false;
  if (reader.u32(offset + 8) === BYTE_ORDER_MAGIC) {
    return true;
  }
  throw reader.error(
    "corrupt",
    `the section header at byte ${offset} has the byte-order magic 0x${reader.u32(offset + 8).toString(16)}; ` +
      `0x${BYTE_ORDER_MAGIC.toString(16)} in either order would be right`,
  );
}

function checkVersion(reader: CaptureReader, { start }: Block): void {
  const major = reader.u16(start + 12);
  if (major !== 1) {
    throw reader.error(
      "corrupt",
      `the section at byte ${start} has pcapng version ${major}.${reader.u16(start + 14)}; 1.0 would be right`,
    );
  }
}

function readInterface(reader: CaptureReader, block: Block): Interface {
  const result: Interface = {
    linkType: reader.u16(block.start + 8),
    snapLength: reader.u32(block.start + 12),
    ticksPerSecond: 1_000_000n,
    offsetSeconds: 0n,
  };
  const end = block.end - BLOCK_TRAILER_BYTES;
  let offset = block.start + 16;
  while (offset + 4 <= end) {
    const code = reader.u16(offset);
    const length = reader.u16(offset + 2);
    const value = offset + 4;
    if (code === OPTION_END) {
      break;
    }
    const expected = code === OPTION_IF_TSRESOL ? 1 : code === OPTION_IF_TSOFFSET ? 8 : length;
    if (value + length > end || length !== expected) {
      throw reader.error(
        "corrupt",
        `the interface option ${code} at byte ${offset} claims ${length} bytes; ` +
          `${Math.min(expected, end - value)} would be right`,
      );
    }
    if (code === OPTION_IF_TSRESOL) {
      result.ticksPerSecond = ticksPerSecond(reader.u8(value));
    } else if (code === OPTION_IF_TSOFFSET) {
      result.offsetSeconds = reader.i64(value);
    }
    offset = value + padded(length);
  }
  return result;
}

/** The upper bit chooses between powers of ten and of two; the rest is the negative exponent. */
function ticksPerSecond(resolution: number): bigint {
  const exponent = BigInt(resolution & 0x7f);
  return resolution & 0x80 ? 2n ** exponent : 10n ** exponent;
}

function timedFields(reader: CaptureReader, { start }: Block, interfaceId: number): PacketFields {
  return {
    interfaceId,
    dataOffset: start + 28,
    capturedLength: reader.u32(start + 20),
    originalLength: reader.u32(start + 24),
    ticks: (BigInt(reader.u32(start + 12)) << 32n) | BigInt(reader.u32(start + 16)),
  };
}

function simpleFields(reader: CaptureReader, { start }: Block, first: Interface | undefined): PacketFields {
  const originalLength = reader.u32(start + 8);
  const snapLength = first?.snapLength || originalLength;
  return {
    interfaceId: 0,
    dataOffset: start + 12,
    capturedLength: Math.min(originalLength, snapLength),
    originalLength,
    ticks: 0n,
  };
}

function addPacket(reader: CaptureReader, block: Block, interfaces: Interface[], fields: PacketFields): void {
  const { interfaceId, dataOffset, capturedLength, originalLength, ticks } = fields;
  const from = interfaces[interfaceId];
  if (from === undefined) {
    throw reader.error(
      "corrupt",
      `packet ${reader.nextPacket} at byte ${block.start} is of interface ${interfaceId}; ` +
        `its section describes ${interfaces.length} before it, counted from 0`,
    );
  }
  reader.checkLinkType(from.linkType, `packet ${reader.nextPacket} at byte ${block.start}`);
  reader.checkPacketLength(block.start, capturedLength);
  const room = block.end - BLOCK_TRAILER_BYTES - dataOffset;
  if (capturedLength > room) {
    throw reader.error(
      "corrupt",
      `packet ${reader.nextPacket} at byte ${block.start} claims ${capturedLength} bytes; ` +
        `its block has room for ${room}`,
    );
  }
  const timestamp = block.type === SIMPLE_PACKET_BLOCK ? 0n : nanoseconds(ticks, from);
  reader.addPacket(dataOffset, capturedLength, originalLength, timestamp);
}

function nanoseconds(ticks: bigint, { ticksPerSecond, offsetSeconds }: Interface): bigint {
  return (ticks * NANOSECONDS_PER_SECOND) / ticksPerSecond + offsetSeconds * NANOSECONDS_PER_SECOND;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
