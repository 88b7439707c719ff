/** Captures built byte by byte, independently of the readers and the writer under test. */

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

export function concat(...parts: Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}

/** Writes numbers in one byte order. */
export class Order {
  readonly littleEndian: boolean;

  constructor(littleEndian: boolean) {
    this.littleEndian = littleEndian;
  }

  u16(...values: number[]): Uint8Array {
    return concat(...values.map((value) => this.#inOrder([value >>> 8, value])));
  }

  u32(...values: number[]): Uint8Array {
    return concat(...values.map((v) => this.#inOrder([v >>> 24, v >>> 16, v >>> 8, v])));
  }

  u64(value: bigint): Uint8Array {
    const bytes = Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(56 - 8 * i)) & 0xffn));
    return this.#inOrder(bytes);
  }

  #inOrder(bigEndian: number[]): Uint8Array {
    return Uint8Array.from(this.littleEndian ? bigEndian.reverse() : bigEndian);
  }
}

/** `bytes` bytes that differ from place to place and from frame to frame. */
export function frame(bytes: number, first = 0): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (first + i * 7) & 0xff);
}

export interface PcapShape {
  nanoseconds: boolean;
  linkType?: number;
  major?: number;
}

export function pcapHeader(order: Order, { nanoseconds, linkType = 1, major = 2 }: PcapShape): Uint8Array {
  const magic = nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4;
  return concat(order.u32(magic), order.u16(major, 4), order.u32(0, 0, 65535, linkType));
}

export function pcapPacket(
  order: Order,
  seconds: number,
  fraction: number,
  data: Uint8Array,
  original = data.length,
): Uint8Array {
  return concat(order.u32(seconds, fraction, data.length, original), data);
}

function pad(data: Uint8Array): Uint8Array {
  return concat(data, new Uint8Array((4 - (data.length % 4)) % 4));
}

export function block(order: Order, type: number, ...body: Uint8Array[]): Uint8Array {
  const padded = pad(concat(...body));
  const length = order.u32(padded.length + 12);
  return concat(order.u32(type), length, padded, length);
}

export function option(order: Order, code: number, value: Uint8Array): Uint8Array {
  return concat(order.u16(code, value.length), pad(value));
}

export function section(order: Order, major = 1): Uint8Array {
  const application = option(order, 4, ascii("by hand"));
  const unknownLength = order.u64(0xffff_ffff_ffff_ffffn);
  return block(
    order,
    0x0a0d0d0a,
    order.u32(0x1a2b3c4d),
    order.u16(major, 0),
    unknownLength,
    application,
    order.u16(0, 0),
  );
}

export interface InterfaceShape {
  linkType?: number;
  snapLength?: number;
  tsresol?: number;
  tsoffset?: bigint;
}

export function networkInterface(order: Order, shape: InterfaceShape = {}): Uint8Array {
  const { linkType = 1, snapLength = 0, tsresol, tsoffset } = shape;
  const options = [option(order, 2, ascii("eth0"))];
  if (tsresol !== undefined) {
    options.push(option(order, 9, Uint8Array.of(tsresol)));
  }
  if (tsoffset !== undefined) {
    options.push(option(order, 14, order.u64(tsoffset)));
  }
  return block(order, 1, order.u16(linkType, 0), order.u32(snapLength), ...options, order.u16(0, 0));
}

function time(order: Order, ticks: bigint): Uint8Array {
  return order.u32(Number(ticks >> 32n), Number(ticks & 0xffff_ffffn));
}

export function enhanced(
  order: Order,
  interfaceId: number,
  ticks: bigint,
  data: Uint8Array,
  original = data.length,
): Uint8Array {
  const comment = option(order, 1, ascii("a comment"));
  return block(
    order,
    6,
    order.u32(interfaceId),
    time(order, ticks),
    order.u32(data.length, original),
    pad(data),
    comment,
    order.u16(0, 0),
  );
}

export function oldPacket(
  order: Order,
  interfaceId: number,
  ticks: bigint,
  data: Uint8Array,
  original = data.length,
): Uint8Array {
  const drops = 0xffff;
  return block(
    order,
    2,
    order.u16(interfaceId, drops),
    time(order, ticks),
    order.u32(data.length, original),
    pad(data),
  );
}

export function simple(order: Order, data: Uint8Array, original = data.length): Uint8Array {
  return block(order, 3, order.u32(original), pad(data));
}

export function unknownBlock(order: Order, bytes = 20): Uint8Array {
  return block(order, 0x0bad, new Uint8Array(bytes).fill(0xee));
}

export const ORDERS = [
  { name: "little-endian", order: new Order(true) },
  { name: "big-endian", order: new Order(false) },
];
