/** Segmentation against frames that are built one by one, what is refused by name, and drivers that lie. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import * as abi from "../../assembly/abi.ts";
import * as spec from "../../assembly/spec.ts";
import { type BuiltFrame, buildFrame, type FrameFields, TCP, type TcpFields } from "../support/frames.ts";
import { type NetHeader, Offloads, ROOM } from "../support/offloads.ts";
import { Random } from "../support/random.ts";

const FIN = 1;
const PSH = 8;
const CWR = 128;

type Fields = Partial<Omit<FrameFields, "tcp">> & { tcp?: Partial<TcpFields> };

let offloads: Offloads;
beforeAll(async () => {
  offloads = await Offloads.create();
});

function kindOf({ version, protocol }: Fields): number {
  if (protocol === "udp") return spec.VIRTIO_NET_HDR_GSO_UDP_L4;
  return version === 6 ? spec.VIRTIO_NET_HDR_GSO_TCPV6 : spec.VIRTIO_NET_HDR_GSO_TCPV4;
}

/** A frame as a driver hands it over, and what its header says. */
function largeFrame(fields: Fields, gsoSize: number): { built: BuiltFrame; header: NetHeader } {
  const built = buildFrame({ ...fields, checksum: "seeded" });
  const { transport, checksumOffset } = built;
  const header = { gsoType: kindOf(fields), gsoSize, csumStart: transport, csumOffset: checksumOffset };
  return { built, header };
}

/** Each segment built by itself, as a sender without offload would send it. */
function expectedSegments(fields: Fields, gsoSize: number, fixedId = false): Uint8Array[] {
  const payload = fields.payload ?? new Uint8Array(0);
  const tcp = { ...TCP, ...fields.tcp };
  const segments: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += gsoSize) {
    const isLast = at + gsoSize >= payload.length;
    const index = at / gsoSize;
    const flags = tcp.flags & ~(isLast ? 0 : FIN | PSH) & ~(index === 0 ? 0 : CWR);
    segments.push(
      buildFrame({
        ...fields,
        id: ((fields.id ?? 0xfffe) + (fixedId ? 0 : index)) & 0xffff,
        payload: payload.subarray(at, at + gsoSize),
        tcp: { ...tcp, flags, sequence: (tcp.sequence + at) >>> 0 },
      }).bytes,
    );
  }
  return segments;
}

function hex(frames: readonly Uint8Array[]): string[] {
  return frames.map((frame) => Buffer.from(frame).toString("hex"));
}

const fieldsOf = fc.record({
  version: fc.constantFrom(4 as const, 6 as const),
  protocol: fc.constantFrom("tcp" as const, "udp" as const),
  tags: fc.array(fc.nat(0xffff), { maxLength: 3 }),
  id: fc.nat(0xffff),
  fragment: fc.constantFrom(0, 0x4000),
  service: fc.nat(255),
  timeToLive: fc.nat(255),
  ipOptions: fc.constantFrom([], [1, 1, 1, 0], new Array(40).fill(1)),
  tcp: fc.record({
    sequence: fc.nat(0xffffffff),
    flags: fc.nat(0xfff).map((flags) => flags | 0x10),
    window: fc.nat(0xffff),
    urgent: fc.nat(0xffff),
    options: fc.constantFrom([], [1, 1, 1, 1], [1, 1, 8, 10, 0, 1, 2, 3, 4, 5, 6, 7], new Array(40).fill(1)),
  }),
});

it("any frame comes out as its segments built one by one, whatever their size and place", () => {
  fc.assert(
    fc.property(
      fieldsOf,
      fc.integer({ min: 1, max: 4000 }),
      fc.integer({ min: 1, max: 1500 }),
      fc.boolean(),
      (fields, length, gsoSize, fixedId) => {
        const payload = Uint8Array.from({ length }, (_, i) => i * 7 + (i >>> 8));
        const { built, header } = largeFrame({ ...fields, payload }, gsoSize);
        const segments = offloads.segment(built.bytes, { ...header, fixedId });
        expect(hex(segments)).toEqual(hex(expectedSegments({ ...fields, payload }, gsoSize, fixedId)));
      },
    ),
    { numRuns: 300 },
  );
});

it("64 KiB of IPv4 and IPv6 come out whole, and hdr_len is never asked", () => {
  for (const version of [4, 6] as const) {
    const payload = new Uint8Array(65_535 - 60).map((_, i) => i * 3);
    const fields: Fields = { version, payload, tcp: { options: [1, 1, 8, 10, 0, 1, 2, 3, 4, 5, 6, 7] } };
    const { built, header } = largeFrame(fields, 1448);
    const segments = offloads.segment(built.bytes, header);
    expect(hex(segments)).toEqual(hex(expectedSegments(fields, 1448)));
    expect(segments).toHaveLength(Math.ceil(payload.length / 1448));
  }
});

it("a payload that fits one segment comes out as one, with its flags and its identification", () => {
  for (const protocol of ["tcp", "udp"] as const) {
    const fields: Fields = {
      protocol,
      payload: Uint8Array.of(1, 2, 3),
      tcp: { flags: 0x10 | FIN | PSH | CWR },
    };
    for (const gsoSize of [3, 4, 0xffff]) {
      const { built, header } = largeFrame(fields, gsoSize);
      expect(hex(offloads.segment(built.bytes, header))).toEqual(hex([buildFrame(fields).bytes]));
    }
  }
});

it("a burst has the same segments at their places, says how long each is, and writes nothing between them", () => {
  const { wasm, segmenter, out, frame } = offloads;
  const fields: Fields = { payload: new Uint8Array(1000).fill(5) };
  const { built, header } = largeFrame(fields, 130);
  const expected = expectedSegments(fields, 130);
  expect(offloads.start(built.bytes, header)).toBe(abi.OK);
  expect(offloads.word(segmenter + wasm.SEGMENTER_SEGMENTS.value)).toBe(8);
  expect(offloads.word(segmenter + wasm.SEGMENTER_SEGMENT_BYTES.value)).toBe(expected[0].length);
  const stride = 256;
  const lengths = frame + 65_536;
  const area = offloads.bytes(out, 8 * stride).fill(0xa5);
  expect(wasm.segmentBurst(segmenter, out, stride, lengths, 3)).toBe(3);
  expect(wasm.segmentBurst(segmenter, out + 3 * stride, stride, lengths + 12, 99)).toBe(5);
  expect(wasm.segmentBurst(segmenter, out, stride, lengths, 99)).toBe(0);
  expect(wasm.segmentNext(segmenter, out)).toBe(0);
  const wanted = new Uint8Array(8 * stride).fill(0xa5);
  for (const [i, segment] of expected.entries()) {
    wanted.set(segment, i * stride);
    expect(offloads.word(lengths + 4 * i)).toBe(segment.length);
  }
  expect(Buffer.compare(area, wanted)).toBe(0);
});

it("headers come from a copy: a driver that changes the frame afterwards changes payload at most", () => {
  const fields: Fields = { payload: new Uint8Array(300).fill(5) };
  const { built, header } = largeFrame(fields, 100);
  expect(offloads.start(built.bytes, header)).toBe(abi.OK);
  offloads.bytes(offloads.frame, built.payload).fill(0xff);
  for (const expected of expectedSegments(fields, 100)) {
    const bytes = offloads.wasm.segmentNext(offloads.segmenter, offloads.out);
    expect(offloads.bytes(offloads.out, bytes)).toEqual(expected);
  }
});

describe("fragments of a UDP packet (UFO)", () => {
  it.each([4, 6] as const)("put together again they are the packet (IPv%i)", (version) => {
    for (const [length, gsoSize] of [
      [3000, 1480],
      [1001, 8],
      [65_000, 1472],
      [40, 47],
    ]) {
      const fields: Fields = {
        version,
        protocol: "udp",
        payload: new Uint8Array(length).map((_, i) => i * 5),
      };
      const { built, header } = largeFrame({ ...fields, fragment: 0 }, gsoSize);
      const gso = { ...header, gsoType: spec.VIRTIO_NET_HDR_GSO_UDP, fragmentId: 0x01020304 };
      const whole = buildFrame({ ...fields, fragment: 0 });
      const packet: number[] = [];
      const fragments = offloads.segment(built.bytes, gso);
      for (const [i, fragment] of fragments.entries()) {
        const isLast = i === fragments.length - 1;
        const view = new DataView(fragment.buffer);
        const offset = packet.length | (isLast ? 0 : version === 4 ? 0x2000 * 8 : 1);
        if (version === 4) {
          expect(view.getUint16(14 + 6)).toBe(offset >>> 3);
          expect(view.getUint16(14 + 4)).toBe(0xfffe);
          expect(offloads.verify(fragment)).toBe(abi.CHECKSUM_NONE);
        } else {
          expect([...fragment.subarray(54, 56), fragment[20]]).toEqual([17, 0, 44]);
          expect(view.getUint16(56)).toBe(offset);
          expect(view.getUint32(58)).toBe(0x01020304);
        }
        expect(view.getUint16(version === 4 ? 16 : 18)).toBe(fragment.length - (version === 4 ? 14 : 54));
        const body = fragment.subarray(version === 4 ? 34 : 62);
        if (!isLast) expect(body.length).toBe(gsoSize & ~7);
        packet.push(...body);
      }
      expect(Buffer.compare(Uint8Array.from(packet), whole.bytes.subarray(whole.transport))).toBe(0);
    }
  });

  it("a packet that needs no fragments comes out as it is", () => {
    for (const version of [4, 6] as const) {
      const fields: Fields = { version, protocol: "udp", payload: new Uint8Array(100) };
      const { built, header } = largeFrame(fields, 108);
      const gso = { ...header, gsoType: spec.VIRTIO_NET_HDR_GSO_UDP };
      expect(hex(offloads.segment(built.bytes, gso))).toEqual(hex([buildFrame(fields).bytes]));
    }
  });
});

describe("what can't be segmented is refused by name", () => {
  const fields: Fields = { payload: new Uint8Array(100) };

  function refused(
    given: Fields,
    change: Partial<NetHeader>,
    bytes?: (frame: BuiltFrame) => Uint8Array,
  ): number {
    const { built, header } = largeFrame(given, 50);
    const code = offloads.start(bytes ? bytes(built) : built.bytes, { ...header, ...change });
    // Whatever was refused, nothing comes of it.
    if (code !== abi.OK) expect(offloads.wasm.segmentNext(offloads.segmenter, offloads.out)).toBe(0);
    return code;
  }

  it("a gso_size of 0, and one below 8 for fragments", () => {
    expect(refused(fields, { gsoSize: 0 })).toBe(abi.NET_E_GSO_SIZE);
    const udp: Fields = { ...fields, protocol: "udp" };
    const ufo = { gsoType: spec.VIRTIO_NET_HDR_GSO_UDP };
    expect(refused(udp, { ...ufo, gsoSize: 7 })).toBe(abi.NET_E_GSO_SIZE);
    expect(refused(udp, { ...ufo, gsoSize: 8 })).toBe(abi.OK);
  });

  it("a type that is unknown, or not the packet's", () => {
    const own = new Map<string, number[]>([
      ["4 tcp", [1]],
      ["6 tcp", [4]],
      ["4 udp", [3, 5]],
      ["6 udp", [3, 5]],
    ]);
    for (const version of [4, 6] as const) {
      for (const protocol of ["tcp", "udp"] as const) {
        for (let type = 0; type < 256; type++) {
          const code = refused({ ...fields, version, protocol }, { gsoType: type });
          // The tunnels' bits ask for other headers first.
          const expected = own.get(`${version} ${protocol}`)?.includes(type & 0x7f)
            ? abi.OK
            : abi.NET_E_GSO_TYPE;
          expect(code, `${version} ${protocol} ${type}`).toBe(type & 0x60 ? abi.NET_E_GSO_TUNNEL : expected);
        }
      }
    }
    const extended: Fields = {
      version: 6,
      protocol: "udp",
      extensions: [17, 0, 1, 4, 0, 0, 0, 0],
      nextHeader: 0,
    };
    const ufo = { gsoType: spec.VIRTIO_NET_HDR_GSO_UDP };
    expect(refused({ ...fields, ...extended }, ufo)).toBe(abi.NET_E_GSO_TYPE);
  });

  it("offsets of the checksum that aren't the transport header's", () => {
    for (const csumStart of [0, 14, 33, 35, 0xffff]) {
      expect(refused(fields, { csumStart })).toBe(abi.NET_E_GSO_CSUM);
    }
    for (const csumOffset of [0, 6, 15, 17, 0xffff]) {
      expect(refused(fields, { csumOffset })).toBe(abi.NET_E_GSO_CSUM);
    }
  });

  it("fragments, whichever they are", () => {
    expect(refused({ ...fields, fragment: 0x2000 }, {})).toBe(abi.NET_E_GSO_FRAGMENT);
    expect(refused({ ...fields, fragment: 0x0001 }, {})).toBe(abi.NET_E_GSO_FRAGMENT);
    const header = [6, 0, 0, 1, 0, 0, 0, 9];
    expect(refused({ ...fields, version: 6, extensions: header, nextHeader: 44 }, {})).toBe(
      abi.NET_E_GSO_FRAGMENT,
    );
  });

  it("a frame without payload, and headers that are longer than the frame", () => {
    expect(refused({}, {})).toBe(abi.NET_E_GSO_BYTES);
    for (let bytes = 0; bytes < 54; bytes++) {
      const code = refused(fields, {}, (built) => built.bytes.subarray(0, bytes));
      expect(code, `${bytes} bytes`).toBe(abi.NET_E_GSO_HEADER);
    }
    expect(refused(fields, {}, (built) => built.bytes.subarray(0, 54))).toBe(abi.NET_E_GSO_BYTES);
    const tooLong = (offset: number, value: number) =>
      refused(fields, {}, ({ bytes }) => {
        bytes[offset] = value;
        return bytes;
      });
    // TCP's own length: below 20 bytes, and 60 of a header and payload of 40 bytes more.
    expect(tooLong(34 + 12, 0x40)).toBe(abi.NET_E_GSO_HEADER);
    expect(tooLong(34 + 12, 0xf0)).toBe(abi.OK);
    expect(tooLong(14, 0x44)).toBe(abi.NET_E_GSO_HEADER);
    expect(tooLong(14, 0x65)).toBe(abi.NET_E_GSO_HEADER);
  });

  it("headers that are longer than what is kept of them", () => {
    const extensions = [6, 62, ...new Array(502).fill(0)];
    const given: Fields = { ...fields, version: 6, extensions, nextHeader: 60 };
    expect(refused(given, {})).toBe(abi.NET_E_GSO_HEADER);
  });

  it("segments whose length would not fit 16 bits", () => {
    const { built, header } = largeFrame({ payload: new Uint8Array(65_495) }, 65_495);
    expect(offloads.start(built.bytes, header)).toBe(abi.OK);
    const longer = Uint8Array.from([...built.bytes, 0]);
    expect(offloads.start(longer, { ...header, gsoSize: 0xffff })).toBe(abi.NET_E_GSO_BYTES);
    expect(offloads.start(longer, { ...header, gsoSize: 65_495 })).toBe(abi.OK);
  });

  it("a tunnel whose offsets don't fit the frame", () => {
    const inner = buildFrame({ payload: new Uint8Array(100), checksum: "seeded" });
    const vxlan = Uint8Array.from([8, 0, 0, 0, 0, 0, 7, 0, ...inner.bytes]);
    const outer = buildFrame({ protocol: "udp", destinationPort: 4789, payload: vxlan });
    const inside = outer.payload + 8;
    const header: NetHeader = {
      gsoType: spec.VIRTIO_NET_HDR_GSO_TCPV4 | spec.VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4,
      gsoSize: 60,
      csumStart: inside + inner.transport,
      csumOffset: 16,
      outerTransport: outer.transport,
      innerNetwork: inside + inner.network,
    };
    expect(offloads.segment(outer.bytes, header)).toHaveLength(2);
    for (let at = 0; at < outer.bytes.length + 4; at++) {
      if (at !== outer.transport) {
        expect(offloads.start(outer.bytes, { ...header, outerTransport: at })).toBe(abi.NET_E_GSO_TUNNEL);
      }
      if (at !== inside + inner.network) {
        const code = offloads.start(outer.bytes, { ...header, innerNetwork: at });
        expect(code, `inner_nh_offset ${at}`).not.toBe(abi.OK);
      }
    }
    expect(offloads.start(outer.bytes, { ...header, gsoType: header.gsoType & ~0x20 })).toBe(
      abi.NET_E_GSO_TYPE,
    );
    const ufo = spec.VIRTIO_NET_HDR_GSO_UDP | spec.VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4;
    expect(offloads.start(outer.bytes, { ...header, gsoType: ufo })).toBe(abi.NET_E_GSO_TYPE);
  });
});

describe("a driver that lies", () => {
  it("whatever bytes and headers come, segments stay in their room and no byte outside is read or written", () => {
    const random = new Random(11);
    const { wasm, segmenter, end } = offloads;
    const models = [
      largeFrame({ payload: new Uint8Array(400), tags: [1] }, 90),
      largeFrame(
        { version: 6, payload: new Uint8Array(400), extensions: [6, 0, 1, 4, 0, 0, 0, 0], nextHeader: 0 },
        90,
      ),
      largeFrame({ protocol: "udp", payload: new Uint8Array(400) }, 90),
    ];
    let started = 0;
    for (let round = 0; round < 6000; round++) {
      const { built, header } = random.pick(models);
      const bytes = built.bytes.slice(
        0,
        random.chance(50) ? built.bytes.length : random.int(0, built.bytes.length),
      );
      for (let i = random.int(0, 3); i > 0 && bytes.length > 0; i--) {
        bytes[random.int(0, Math.min(bytes.length - 1, 90))] = random.int(0, 255);
      }
      const odd = (value: number) => (random.chance(85) ? value : random.int(0, 0xffff));
      const given: NetHeader = {
        gsoType: random.chance(70) ? header.gsoType : random.int(0, 255),
        gsoSize: odd(header.gsoSize),
        csumStart: odd(header.csumStart),
        csumOffset: odd(header.csumOffset),
        outerTransport: odd(built.transport),
        innerNetwork: odd(built.payload),
        outerCsum: random.chance(50),
      };
      // The frame ends where the memory does, so that one byte too far is a trap.
      const offset = end - bytes.length - offloads.frame;
      if (offloads.start(bytes, given, offset) !== abi.OK) continue;
      started++;
      const most = offloads.word(segmenter + wasm.SEGMENTER_SEGMENT_BYTES.value);
      const segments = offloads.word(segmenter + wasm.SEGMENTER_SEGMENTS.value);
      expect(most).toBeLessThan(ROOM / 2);
      for (let i = 0; i < segments; i++) {
        const room = offloads.bytes(offloads.out, most + 64).fill(0xa5);
        const length = wasm.segmentNext(segmenter, offloads.out + 32);
        expect(length).toBeGreaterThan(0);
        expect(length).toBeLessThanOrEqual(most);
        expect([...room.subarray(0, 32), ...room.subarray(32 + length)].every((byte) => byte === 0xa5)).toBe(
          true,
        );
      }
      expect(wasm.segmentNext(segmenter, offloads.out)).toBe(0);
    }
    expect(started).toBeGreaterThan(500);
  });
});
