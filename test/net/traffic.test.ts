import { describe, expect, it } from "vitest";
import { CaptureError, readCapture, writePcap } from "../../src/net/pcap.ts";
import {
  captureTraffic,
  Fnv1a64,
  fixedTraffic,
  imixTraffic,
  RFC2544_SIZES,
  trafficDigest,
} from "../../src/net/traffic.ts";

/** RFC 1071: over a header that carries its checksum, the sum is all ones. */
function onesComplementSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i] * 256 + bytes[i + 1];
    sum = (sum % 65_536) + Math.floor(sum / 65_536);
  }
  return sum;
}

function tally(values: number[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const value of values) {
    counts[value] = (counts[value] ?? 0) + 1;
  }
  return counts;
}

describe("traffic of one frame size", () => {
  it("has that many bytes in memory for every size of RFC 2544", () => {
    expect(RFC2544_SIZES).toEqual([64, 128, 256, 512, 1024, 1280, 1518]);
    for (const size of RFC2544_SIZES) {
      const traffic = fixedTraffic(size, { count: 5, seed: 1 });
      expect(traffic).toMatchObject({ kind: "fixed", name: String(size), file: null, bytes: 5 * size });
      expect(traffic.packets.map(({ data }) => data.length)).toEqual(Array(5).fill(size));
      expect(traffic.packets.map(({ originalLength }) => originalLength)).toEqual(Array(5).fill(size));
    }
  });

  it("is valid Ethernet, IPv4 and UDP from 42 bytes on", () => {
    for (const size of [42, 43, 60, 64, 1514, 9014, 65_549, 65_550]) {
      for (const { data } of fixedTraffic(size, { count: 3, seed: 2 }).packets) {
        const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
        const ipv4Bytes = Math.min(size - 14, 65_535);
        expect(view.getUint16(12)).toBe(0x0800);
        expect(view.getUint8(14)).toBe(0x45);
        expect(view.getUint16(16)).toBe(ipv4Bytes);
        expect(view.getUint8(23)).toBe(17);
        expect(onesComplementSum(data.subarray(14, 34))).toBe(0xffff);
        expect(view.getUint16(38)).toBe(ipv4Bytes - 20);
      }
    }
  });

  it("is Ethernet with the type for experiments below 42 bytes", () => {
    for (const size of [14, 15, 41]) {
      const [{ data }] = fixedTraffic(size, { count: 1, seed: 3 }).packets;
      expect(data).toHaveLength(size);
      expect([data[12], data[13]]).toEqual([0x88, 0xb5]);
    }
  });

  it("carries a payload that changes from packet to packet and with the seed", () => {
    const digests = [1, 2].flatMap((seed) =>
      fixedTraffic(128, { count: 20, seed }).packets.map(({ data }) =>
        new Fnv1a64().addBytes(data, 42).hex(),
      ),
    );
    expect(new Set(digests).size).toBe(40);
  });

  it("refuses frames, counts and seeds out of range and says what is possible", () => {
    const options = { count: 1, seed: 1 };
    for (const size of [0, 13, 65_551, 64.5, Number.NaN, -1]) {
      expect(() => fixedTraffic(size, options)).toThrow(RangeError);
      expect(() => fixedTraffic(size, options)).toThrow("14 to 65550 bytes are possible");
    }
    for (const count of [0, -1, 1.5, Number.NaN]) {
      expect(() => fixedTraffic(64, { count, seed: 1 })).toThrow("the count is a whole number from 1");
    }
    for (const seed of [-1, 0.5, 2 ** 32]) {
      expect(() => imixTraffic({ count: 1, seed })).toThrow(`${seed} is no seed`);
    }
  });
});

describe("IMIX traffic", () => {
  it("has 7 frames of 60, 4 of 590 and 1 of 1514 bytes in every 12: 64, 594 and 1518 with FCS", () => {
    const { packets, bytes } = imixTraffic({ count: 120, seed: 4 });
    const lengths = packets.map(({ data }) => data.length);
    for (let from = 0; from < lengths.length; from += 12) {
      expect(tally(lengths.slice(from, from + 12))).toEqual({ 60: 7, 590: 4, 1514: 1 });
    }
    expect(bytes).toBe(10 * (7 * 60 + 4 * 590 + 1514));
  });

  it("mixes the sizes differently from round to round and from seed to seed", () => {
    const order = (seed: number) => imixTraffic({ count: 48, seed }).packets.map(({ data }) => data.length);
    const rounds = [order(5), order(6)].flatMap((lengths) =>
      [0, 12, 24, 36].map((from) => lengths.slice(from, from + 12).join()),
    );
    expect(new Set(rounds).size).toBeGreaterThan(4);
  });

  it("has any number of packets", () => {
    for (const count of [1, 11, 13]) {
      expect(imixTraffic({ count, seed: 7 }).packets).toHaveLength(count);
    }
  });
});

describe("generated traffic", () => {
  const makers = [
    (seed: number) => fixedTraffic(300, { count: 30, seed }),
    (seed: number) => imixTraffic({ count: 30, seed }),
  ];

  it("is the same for the same seed and another for another", () => {
    for (const make of makers) {
      expect(make(8)).toEqual(make(8));
      expect(trafficDigest(make(8))).toBe(trafficDigest(make(8)));
      expect(trafficDigest(make(8))).not.toBe(trafficDigest(make(9)));
    }
  });

  it("stays the same from version to version", () => {
    expect(makers.map((make) => trafficDigest(make(42)))).toEqual(["8dc248ca83b29424", "c8eb0cbd1f51dc05"]);
  });

  it("can be written as a capture and read back", () => {
    for (const make of makers) {
      const { packets } = make(10);
      expect(readCapture(writePcap(packets)).packets).toEqual(packets);
      expect(readCapture(writePcap(packets, { nanoseconds: false })).packets).toEqual(packets);
    }
  });
});

describe("the traffic digest", () => {
  it("is over length and bytes of every packet, so that moving a border between packets shows", () => {
    const packet = (...bytes: number[]) => ({
      data: Uint8Array.from(bytes),
      originalLength: bytes.length,
      timestamp: 0n,
    });
    const head = Array.from({ length: 14 }, (_, i) => i);
    const traffic = (...packets: ReturnType<typeof packet>[]) =>
      captureTraffic({ packets, cut: null }, "a.pcap");
    const one = traffic(packet(...head, 1), packet(...head, 2));
    const flat = Uint8Array.of(15, 0, 0, 0, ...head, 1, 15, 0, 0, 0, ...head, 2);
    expect(trafficDigest(one)).toBe(new Fnv1a64().addBytes(flat).hex());
    const moved = traffic(packet(...head, 1, 0), packet(...head.slice(1), 2));
    expect(trafficDigest(moved)).not.toBe(trafficDigest(one));
  });

  it("changes with every byte", () => {
    const traffic = fixedTraffic(64, { count: 3, seed: 11 });
    const before = trafficDigest(traffic);
    for (let i = 0; i < 64; i++) {
      traffic.packets[1].data[i] ^= 1;
      expect(trafficDigest(traffic)).not.toBe(before);
      traffic.packets[1].data[i] ^= 1;
    }
    expect(trafficDigest(traffic)).toBe(before);
  });
});

describe("traffic from a capture", () => {
  const whole = { data: new Uint8Array(14), originalLength: 20, timestamp: 0n };

  it("keeps the path, names the file and adds up captured bytes", () => {
    const traffic = captureTraffic({ packets: [whole, whole], cut: null }, "some/where/a.pcap");
    expect(traffic).toMatchObject({ kind: "capture", name: "a.pcap", file: "some/where/a.pcap", bytes: 28 });
  });

  it("refuses a packet that is too short to be Ethernet", () => {
    const short = { ...whole, data: new Uint8Array(13) };
    const make = () => captureTraffic({ packets: [whole, short], cut: null }, "a.pcap");
    expect(make).toThrow(CaptureError);
    expect(make).toThrow("a.pcap: packet 2 has 13 bytes; an Ethernet frame has at least 14");
  });
});
