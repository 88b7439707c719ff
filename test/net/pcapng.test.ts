import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CaptureError, type CaptureErrorCode, readCapture } from "../../src/net/pcap.ts";
import {
  block,
  concat,
  enhanced,
  frame,
  networkInterface,
  ORDERS,
  type Order,
  oldPacket,
  option,
  pcapHeader,
  pcapPacket,
  section,
  simple,
  unknownBlock,
} from "./vectors.ts";

function expectError(bytes: Uint8Array, code: CaptureErrorCode, message: string, lenient = false): void {
  let thrown: unknown;
  try {
    readCapture(bytes, { lenient });
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(CaptureError);
  expect(thrown).toMatchObject({ code, message: expect.stringContaining(message) });
  expect((thrown as CaptureError).message).not.toContain("\n");
}

const a = frame(60);
const b = frame(61, 1);
const c = frame(62, 2);

for (const { name, order } of ORDERS) {
  const other = ORDERS.find((each) => each.order !== order)?.order as Order;
  const start = concat(section(order), networkInterface(order));

  describe(`a ${name} pcapng capture`, () => {
    it("gives packets from enhanced, simple and old packet blocks and skips the others", () => {
      const capture = readCapture(
        concat(
          start,
          unknownBlock(order),
          enhanced(order, 0, 1_700_000_000_123_456n, a, 1514),
          unknownBlock(order, 0),
          simple(order, b),
          oldPacket(order, 0, 1_700_000_000_123_457n, c),
          unknownBlock(order),
        ),
      );
      expect(capture).toEqual({
        packets: [
          { data: a, originalLength: 1514, timestamp: 1_700_000_000_123_456_000n },
          { data: b, originalLength: 61, timestamp: 0n },
          { data: c, originalLength: 62, timestamp: 1_700_000_000_123_457_000n },
        ],
        cut: null,
      });
    });

    it("takes the time resolution and offset of the packet's own interface", () => {
      const resolutions: [number | undefined, bigint, bigint][] = [
        [undefined, 7n, 7_000n],
        [0, 7n, 7_000_000_000n],
        [3, 7n, 7_000_000n],
        [6, 1n << 40n, (1n << 40n) * 1000n],
        [9, (5n << 32n) + 1n, (5n << 32n) + 1n],
        [12, 7_999n, 7n],
        [0x80, 3n, 3_000_000_000n],
        [0x8a, 512n, 500_000_000n],
        [0xff, 0xffff_ffff_ffff_ffffn, 0n],
      ];
      const capture = readCapture(
        concat(
          section(order),
          ...resolutions.map(([tsresol]) => networkInterface(order, { tsresol })),
          networkInterface(order, { tsresol: 9, tsoffset: 10n }),
          networkInterface(order, { tsoffset: -1n }),
          ...resolutions.map(([, ticks], i) => enhanced(order, i, ticks, a)),
          oldPacket(order, resolutions.length, 5n, a),
          oldPacket(order, resolutions.length + 1, 2_000_000n, a),
        ),
      );
      const times = resolutions.map(([, , nanoseconds]) => nanoseconds);
      expect(capture.packets.map(({ timestamp }) => timestamp)).toEqual([
        ...times,
        10_000_000_005n,
        1_000_000_000n,
      ]);
    });

    it("goes on in a next section with the other byte order and interfaces of its own", () => {
      const capture = readCapture(
        concat(
          start,
          enhanced(order, 0, 1n, a),
          section(other),
          networkInterface(other, { tsresol: 9 }),
          enhanced(other, 0, 1n, b),
          section(order),
          networkInterface(order, { tsresol: 3 }),
          enhanced(order, 0, 1n, c),
        ),
      );
      expect(capture.packets.map(({ data }) => data)).toEqual([a, b, c]);
      expect(capture.packets.map(({ timestamp }) => timestamp)).toEqual([1000n, 1n, 1_000_000n]);
      expectError(concat(start, section(other), enhanced(other, 0, 1n, a)), "corrupt", "interface 0");
    });

    it("cuts a simple packet at the snap length of the first interface", () => {
      const bytes = concat(
        section(order),
        networkInterface(order, { snapLength: 40 }),
        simple(order, a.subarray(0, 40), 60),
      );
      expect(readCapture(bytes).packets).toEqual([
        { data: a.subarray(0, 40), originalLength: 60, timestamp: 0n },
      ]);
    });

    it("refuses another link type only on an interface that a packet came from", () => {
      const mixed = concat(start, networkInterface(order, { linkType: 113 }), enhanced(order, 0, 1n, a));
      expect(readCapture(mixed).packets).toHaveLength(1);
      expectError(concat(mixed, enhanced(order, 1, 1n, a)), "link-type", "packet 2 at byte");
    });

    it("takes frames of 65,550 bytes and refuses more than 256 KiB", () => {
      const large = readCapture(concat(start, enhanced(order, 0, 1n, frame(65_550))));
      expect(large.packets[0].data).toEqual(frame(65_550));
      const tooLarge = concat(start, enhanced(order, 0, 1n, frame(262_145)));
      expectError(tooLarge, "corrupt", "packet 1 at byte");
    });

    it("is an error for every length at which a block is cut, and gives the whole packets to a lenient read", () => {
      const parts = [
        section(order),
        networkInterface(order),
        unknownBlock(order),
        enhanced(order, 0, 1n, a),
        simple(order, b),
        section(order),
        networkInterface(order),
        oldPacket(order, 0, 1n, c),
        unknownBlock(order),
      ];
      const packetsBefore = [0, 0, 0, 0, 1, 2, 2, 2, 3];
      let blockStart = 0;
      for (const [index, part] of parts.entries()) {
        for (let kept = 0; kept < part.length; kept++) {
          const bytes = concat(...parts).subarray(0, blockStart + kept);
          const whole = packetsBefore[index];
          if (blockStart + kept < 4) {
            expectError(bytes, "not-a-capture", "too few", true);
          } else if (kept === 0 && whole > 0) {
            expect(readCapture(bytes).packets).toHaveLength(whole);
          } else if (kept === 0) {
            expectError(bytes, "empty", "no packet");
          } else {
            expectError(bytes, "truncated", `packet ${whole + 1}`);
            expectError(bytes, "truncated", `at byte ${blockStart}`);
            if (whole > 0) {
              const lenient = readCapture(bytes, { lenient: true });
              expect(lenient.packets).toHaveLength(whole);
              expect(lenient.cut).toEqual({ packet: whole + 1 });
            } else {
              expectError(bytes, "empty", "packet 1 is cut", true);
            }
          }
        }
        blockStart += part.length;
      }
    });

    it("says whether it is a packet that is cut or something before the next one", () => {
      const packet = concat(start, enhanced(order, 0, 1n, a));
      expectError(packet.subarray(0, -1), "truncated", "packet 1 is cut: a block at byte");
      expectError(
        concat(packet, unknownBlock(order).subarray(0, 9)),
        "truncated",
        "the file is cut before packet 2",
      );
    });

    it("never believes a hostile length", () => {
      const withLength = (length: number) => concat(start, order.u32(0x0bad, length), new Uint8Array(64));
      for (const length of [0, 1, 4, 8, 11, 13, 14, 0x7fff_ffff, 0xffff_ffff, 0xffff_fffc]) {
        expectError(withLength(length), "corrupt", `claims ${length} bytes`, true);
      }
      const short = (type: number, bytes: number) => concat(start, block(order, type, new Uint8Array(bytes)));
      expectError(short(6, 16), "corrupt", "a multiple of 4 from 32");
      expectError(short(2, 16), "corrupt", "a multiple of 4 from 32");
      expectError(short(3, 0), "corrupt", "a multiple of 4 from 16");
      expectError(short(1, 4), "corrupt", "a multiple of 4 from 20");

      const room = (captured: number) =>
        concat(start, block(order, 6, order.u32(0, 0, 0, captured, captured), new Uint8Array(8)));
      expectError(room(9), "corrupt", "claims 9 bytes; its block has room for 8");
      expectError(room(0xffff_ffff), "corrupt", "claims 4294967295 bytes");
      expectError(concat(start, simple(order, a, 5000)), "corrupt", "its block has room for 60");
    });

    it("refuses a block whose two lengths differ", () => {
      const bytes = concat(start, enhanced(order, 0, 1n, a));
      bytes.set(order.u32(99), bytes.length - 4);
      expectError(bytes, "corrupt", "at its start and 99 at its end");
    });

    it("refuses a packet of an interface that nobody described", () => {
      expectError(concat(start, enhanced(order, 1, 1n, a)), "corrupt", "is of interface 1");
      expectError(concat(start, oldPacket(order, 0xffff, 1n, a)), "corrupt", "is of interface 65535");
      expectError(concat(section(order), simple(order, a)), "corrupt", "is of interface 0");
    });

    it("refuses interface options that lie about their length", () => {
      const described = (...options: Uint8Array[]) =>
        concat(section(order), block(order, 1, order.u16(1, 0), order.u32(0), ...options));
      expectError(described(order.u16(2, 9), new Uint8Array(8)), "corrupt", "option 2 at byte");
      expectError(
        described(option(order, 9, Uint8Array.of(9, 9))),
        "corrupt",
        "claims 2 bytes; 1 would be right",
      );
      expectError(described(option(order, 14, Uint8Array.of(9))), "corrupt", "claims 1 bytes");
    });

    it("refuses a version and a byte-order magic that it does not know", () => {
      expectError(section(order, 2), "corrupt", "version 2.0");
      const bytes = section(order);
      bytes.set(order.u32(0x1a2b3c4e), 8);
      expectError(bytes, "corrupt", "byte-order magic");
    });

    it("calls a capture without packets empty", () => {
      expectError(concat(start, unknownBlock(order)), "empty", "no packet");
    });
  });
}

it("Damage anywhere in a capture of either format gives packets or a CaptureError, and nothing else", () => {
  const captures = ORDERS.flatMap(({ order }) => [
    concat(pcapHeader(order, { nanoseconds: true }), pcapPacket(order, 1, 1, a), pcapPacket(order, 2, 2, b)),
    concat(
      section(order),
      networkInterface(order, { tsresol: 9, tsoffset: 1n }),
      enhanced(order, 0, 1n, a),
      oldPacket(order, 0, 1n, b),
      simple(order, c),
    ),
  ]);
  const damage = fc.array(fc.tuple(fc.nat({ max: 500 }), fc.constantFrom(0, 1, 4, 0x7f, 0x80, 0xff)), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(fc.constantFrom(...captures), damage, fc.boolean(), (bytes, changes, lenient) => {
      const damaged = bytes.slice();
      for (const [offset, value] of changes) {
        damaged[offset % damaged.length] = value;
      }
      try {
        expect(readCapture(damaged, { lenient }).packets.length).toBeGreaterThan(0);
      } catch (error) {
        expect(error).toBeInstanceOf(CaptureError);
      }
    }),
    { numRuns: 2000 },
  );
});
