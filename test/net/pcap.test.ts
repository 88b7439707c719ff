import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CapturedPacket, CaptureError, readCapture, writePcap } from "../../src/net/pcap.ts";
import { concat, frame, ORDERS, type Order, pcapHeader, pcapPacket } from "./vectors.ts";

function errorOf(action: () => unknown): CaptureError {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(CaptureError);
    return error as CaptureError;
  }
  throw new Error("it did not throw");
}

const SECONDS = 4_000_000_000;
const first = frame(60);
const second = frame(61, 3);

function twoPackets(order: Order, nanoseconds: boolean): Uint8Array {
  return concat(
    pcapHeader(order, { nanoseconds }),
    pcapPacket(order, SECONDS, 123_456, first),
    pcapPacket(order, SECONDS + 1, 999_999, second, 1514),
  );
}

for (const { name, order } of ORDERS) {
  for (const nanoseconds of [false, true]) {
    const unit = nanoseconds ? 1n : 1000n;

    describe(`a classic capture, ${name}, in ${nanoseconds ? "nanoseconds" : "microseconds"}`, () => {
      it("gives the packets with their bytes, original lengths and times", () => {
        const capture = readCapture(twoPackets(order, nanoseconds));
        expect(capture.cut).toBeNull();
        expect(capture.packets).toEqual([
          { data: first, originalLength: 60, timestamp: 4_000_000_000_000_000_000n + 123_456n * unit },
          { data: second, originalLength: 1514, timestamp: 4_000_000_001_000_000_000n + 999_999n * unit },
        ]);
      });

      it("is written byte by byte as the format says", () => {
        const { packets } = readCapture(twoPackets(order, nanoseconds));
        const written = writePcap(packets, { nanoseconds, littleEndian: order.littleEndian });
        const expected = twoPackets(order, nanoseconds);
        expected.set(order.u32(262_144), 16);
        expect(written).toEqual(expected);
      });

      it("is cut somewhere in packet 2 or before for every length that ends early", () => {
        const whole = twoPackets(order, nanoseconds);
        const [firstEnd, secondData] = [24 + 16 + 60, 24 + 16 + 60 + 16];
        for (let length = 0; length < whole.length; length++) {
          const bytes = whole.subarray(0, length);
          const lenient = () => readCapture(bytes, { lenient: true });
          if (length === firstEnd) {
            expect(readCapture(bytes).packets).toHaveLength(1);
            expect(lenient().cut).toBeNull();
            continue;
          }
          const error = errorOf(() => readCapture(bytes));
          if (length < 24) {
            expect(error.code).toBe(length < 4 ? "not-a-capture" : "truncated");
            expect(errorOf(lenient).code).toBe(error.code);
          } else if (length === 24) {
            expect(error.code).toBe("empty");
          } else if (length < firstEnd) {
            expect(error.code).toBe("truncated");
            expect(error.message).toMatch(/packet 1 is cut: its (header|data) at byte (24|40) /);
            expect(errorOf(lenient).code).toBe("empty");
          } else {
            const at = length < secondData ? `header at byte ${firstEnd}` : `data at byte ${secondData}`;
            expect(error.code).toBe("truncated");
            expect(error.message).toContain(`packet 2 is cut: its ${at} `);
            expect(lenient().packets.map(({ data }) => data)).toEqual([first]);
            expect(lenient().cut).toEqual({ packet: 2 });
          }
        }
      });
    });
  }
}

describe("reading a classic capture", () => {
  const { order } = ORDERS[0];
  const header = pcapHeader(order, { nanoseconds: false });

  it("takes frames of 65,550 bytes and up to 256 KiB, and no byte more", () => {
    for (const bytes of [65_550, 262_144]) {
      const capture = readCapture(concat(header, pcapPacket(order, 0, 0, frame(bytes))));
      expect(capture.packets[0].data).toHaveLength(bytes);
    }
    const error = errorOf(() => readCapture(concat(header, pcapPacket(order, 0, 0, frame(262_145)))));
    expect(error.code).toBe("corrupt");
    expect(error.message).toContain("packet 1 at byte 24 claims 262145 bytes");
  });

  it("calls a length of 4 GiB damage, also in a lenient read", () => {
    const bytes = concat(header, order.u32(0, 0, 0xffff_ffff, 0xffff_ffff), frame(60));
    expect(errorOf(() => readCapture(bytes)).code).toBe("corrupt");
    expect(errorOf(() => readCapture(bytes, { lenient: true })).code).toBe("corrupt");
  });

  it("refuses another link type and names it", () => {
    const bytes = concat(
      pcapHeader(order, { nanoseconds: false, linkType: 113 }),
      pcapPacket(order, 0, 0, first),
    );
    const error = errorOf(() => readCapture(bytes, { name: "any.pcap" }));
    expect(error.code).toBe("link-type");
    expect(error.message).toBe(
      "any.pcap: the file header has link type 113 (Linux cooked); only Ethernet (1) can be read",
    );
  });

  it("does not take the FCS length, which shares the field, for a link type", () => {
    const bytes = concat(
      pcapHeader(order, { nanoseconds: false, linkType: 0x2400_0001 }),
      pcapPacket(order, 0, 0, first),
    );
    expect(readCapture(bytes).packets).toHaveLength(1);
  });

  it("refuses a version that it does not know", () => {
    const error = errorOf(() => readCapture(pcapHeader(order, { nanoseconds: true, major: 3 })));
    expect(error.code).toBe("corrupt");
    expect(error.message).toContain("version 3.4");
  });

  it("calls a capture without packets empty", () => {
    expect(errorOf(() => readCapture(header)).code).toBe("empty");
  });

  it("says of a file that is no capture how it starts, and of a gzipped one what to do", () => {
    expect(errorOf(() => readCapture(new TextEncoder().encode("hello"))).message).toBe(
      "the capture: the file starts with 68 65 6c 6c, which is neither pcap nor pcapng",
    );
    const gzipped = errorOf(() => readCapture(Uint8Array.of(0x1f, 0x8b, 8, 0, 0)));
    expect(gzipped.code).toBe("not-a-capture");
    expect(gzipped.message).toContain("gzipped");
    expect(errorOf(() => readCapture(new Uint8Array())).code).toBe("not-a-capture");
  });

  it("reads a capture that does not start at the beginning of its buffer", () => {
    const shifted = concat(frame(5), twoPackets(order, true)).subarray(5);
    expect(readCapture(shifted).packets.map(({ data }) => data)).toEqual([first, second]);
  });

  it("gives every message on one line", () => {
    for (const bytes of [new Uint8Array(9), header, header.subarray(0, 9), concat(header, frame(9))]) {
      expect(errorOf(() => readCapture(bytes)).message).not.toContain("\n");
    }
  });
});

const packets = (nanoseconds: boolean) =>
  fc.array(
    fc.record({
      data: fc.uint8Array({ maxLength: 200 }),
      originalLength: fc.nat({ max: 0xffff_ffff }),
      timestamp: fc
        .bigInt({ min: 0n, max: (1n << 32n) * 1_000_000n - 1n })
        .map((microseconds) => microseconds * 1000n + (nanoseconds ? 789n : 0n)),
    }),
    { minLength: 1, maxLength: 8 },
  );

describe("writing a capture", () => {
  it("and reading it gives back what went in, in every shape of the format", () => {
    const shapes = fc.record({ nanoseconds: fc.boolean(), littleEndian: fc.boolean() });
    fc.assert(
      fc.property(
        shapes.chain((shape) => fc.tuple(fc.constant(shape), packets(shape.nanoseconds))),
        ([shape, list]) => {
          expect(readCapture(writePcap(list, shape))).toEqual({ packets: list, cut: null });
        },
      ),
    );
  });

  it("keeps nanoseconds unless told otherwise", () => {
    const list = [{ data: first, originalLength: 60, timestamp: 1_000_000_789n }];
    expect(readCapture(writePcap(list)).packets[0].timestamp).toBe(1_000_000_789n);
    expect(readCapture(writePcap(list, { nanoseconds: false })).packets[0].timestamp).toBe(1_000_000_000n);
  });

  it("takes its packets from any iterable", () => {
    function* generated(): Generator<CapturedPacket> {
      yield { data: first, originalLength: 60, timestamp: 0n };
      yield { data: second, originalLength: 61, timestamp: 1n };
    }
    expect(readCapture(writePcap(generated())).packets).toEqual([...generated()]);
  });

  it("refuses what the format cannot hold", () => {
    const good = { data: first, originalLength: 60, timestamp: 0n };
    const bad: [Partial<CapturedPacket>, string][] = [
      [{ timestamp: -1n }, "packet 2 has the timestamp -1 ns"],
      [{ timestamp: (1n << 32n) * 1_000_000_000n }, "1970 to 2106"],
      [{ originalLength: 2 ** 32 }, "packet 2 has the original length 4294967296"],
      [{ originalLength: 1.5 }, "original length 1.5"],
      [{ data: new Uint8Array(262_145) }, "packet 2 has 262145 bytes"],
    ];
    for (const [change, message] of bad) {
      const write = () => writePcap([good, { ...good, ...change }]);
      expect(write).toThrow(RangeError);
      expect(write).toThrow(message);
    }
  });
});
