import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readCapture, writePcap } from "../../src/net/pcap.ts";
import { captureTraffic, trafficDigest } from "../../src/net/traffic.ts";

const folder = new URL("../../captures/", import.meta.url);
const file = readFileSync(new URL("web.pcapng", folder));
const { packets, cut } = readCapture(file, { name: "captures/web.pcapng" });
const traffic = captureTraffic({ packets, cut }, "captures/web.pcapng");

const IPV4 = 0x0800;
const ARP = 0x0806;
const IPV6 = 0x86dd;
const TCP = 6;
const UDP = 17;

function etherType({ data }: { data: Uint8Array }): number {
  return data[12] * 256 + data[13];
}

describe("the capture in the repository", () => {
  it("has at most 1 MB and is whole", () => {
    expect(file.length).toBeLessThanOrEqual(1_000_000);
    expect(cut).toBeNull();
  });

  it("has the packets and bytes that its note says", () => {
    // Counted by capinfos and tshark when it was recorded; the digest by a program in another language.
    expect(packets).toHaveLength(2660);
    expect(traffic.bytes).toBe(819_573);
    expect(trafficDigest(traffic)).toBe("5ccadbee8c416aac");
    const note = readFileSync(new URL("README.md", folder), "utf8");
    const largest = Math.max(...packets.map(({ data }) => data.length));
    for (const number of [packets.length, traffic.bytes, file.length, largest]) {
      expect(note).toContain(number.toLocaleString("en-US"));
    }
  });

  it("has small frames, full ones and some of segmentation offload up to more than 60,000 bytes", () => {
    const lengths = packets.map(({ data }) => data.length);
    expect(Math.max(...lengths)).toBeGreaterThan(60_000);
    expect(lengths.filter((length) => length > 1514).length).toBeGreaterThan(24);
    expect(lengths.filter((length) => length === 1514).length).toBeGreaterThan(50);
    expect(lengths.filter((length) => length < 128).length).toBeGreaterThan(1000);
  });

  it("has whole Ethernet frames of IPv4, IPv6 and ARP, TCP as well as UDP, between the two ends", () => {
    expect(packets.filter(({ data, originalLength }) => data.length !== originalLength)).toEqual([]);
    expect(new Set(packets.map(etherType))).toEqual(new Set([IPV4, IPV6, ARP]));
    const ipv4 = packets.filter((packet) => etherType(packet) === IPV4).map(({ data }) => data[23]);
    const ipv6 = packets.filter((packet) => etherType(packet) === IPV6).map(({ data }) => data[20]);
    for (const protocol of [TCP, UDP]) {
      expect(ipv4).toContain(protocol);
      expect(ipv6).toContain(protocol);
    }
    const sources = packets.map(({ data }) => Buffer.from(data.subarray(6, 12)).toString("hex"));
    expect(new Set(sources)).toEqual(new Set(["020000000001", "020000000002"]));
  });

  it("has times that increase", () => {
    const times = packets.map(({ timestamp }) => timestamp);
    expect(times.every((time, i) => i === 0 || time >= times[i - 1])).toBe(true);
  });

  it("is the same after writing and reading, with nanoseconds and without, in both byte orders", () => {
    for (const nanoseconds of [true, false]) {
      for (const littleEndian of [true, false]) {
        const again = readCapture(writePcap(packets, { nanoseconds, littleEndian }));
        const equal = again.packets.every(
          ({ data, originalLength, timestamp }, i) =>
            Buffer.compare(data, packets[i].data) === 0 &&
            originalLength === packets[i].originalLength &&
            timestamp === packets[i].timestamp,
        );
        expect(equal).toBe(true);
        expect(again.packets).toHaveLength(packets.length);
      }
    }
  });

  it("gives the packets before the cut when it is cut in half", () => {
    const half = file.subarray(0, file.length / 2 + 1);
    expect(() => readCapture(half)).toThrow(/packet \d+ is cut/);
    const lenient = readCapture(half, { lenient: true });
    expect(lenient.cut).toEqual({ packet: lenient.packets.length + 1 });
    expect(lenient.packets).toEqual(packets.slice(0, lenient.packets.length));
  });
});
