import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { QUEUE_COUNTS, queueOf, toeplitz } from "../../src/net/flows.ts";
import { readCapture } from "../../src/net/pcap.ts";
import { fixedTraffic } from "../../src/net/traffic.ts";

const { packets } = readCapture(readFileSync(new URL("../../captures/web.pcapng", import.meta.url)));
const MACS = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
const [TCP, UDP, ICMP] = [6, 17, 1];

const u16 = (value: number): number[] => [value >>> 8, value & 255];
const dotted = (text: string): number[] => text.split(".").map(Number);
/** Eight groups of an IPv6 address, written out. */
const groups = (text: string): number[] => text.split(":").flatMap((part) => u16(Number.parseInt(part, 16)));

interface Ip {
  from: string;
  to: string;
  protocol: number;
  /** What follows the IP header. */
  payload: number[];
  /** Flags and fragment offset. */
  fragment?: number;
  /** Options in the IPv4 header, whole words. */
  options?: number[];
}

function ipv4({ from, to, protocol, payload, fragment = 0, options = [] }: Ip): number[] {
  const header = [0x45 + options.length / 4, 0, ...u16(20 + options.length + payload.length), 0, 0];
  return [
    ...header,
    ...u16(fragment),
    ...[64, protocol, 0, 0, ...dotted(from), ...dotted(to), ...options, ...payload],
  ];
}

function ipv6({ from, to, protocol, payload }: Ip): number[] {
  return [0x60, 0, 0, 0, ...u16(payload.length), protocol, 64, ...groups(from), ...groups(to), ...payload];
}

function frame(type: number[], ...parts: number[][]): Uint8Array {
  return Uint8Array.of(...MACS, ...type, ...parts.flat());
}

const IPV4 = [0x08, 0x00];
const IPV6 = [0x86, 0xdd];
const ports = (from: number, to: number): number[] => [...u16(from), ...u16(to), ...Array(16).fill(0)];

const A = { from: "192.0.2.1", to: "192.0.2.2" };
const B = { from: "2001:db8:0:0:0:0:0:1", to: "2001:db8:0:0:0:0:0:2" };

/** The whole hash shows only in its low bits; queueOf with 2^16 "queues" shows half of it. */
const half = (bytes: Uint8Array): number => queueOf(bytes, 65536);
const low = (...input: number[][]): number => toeplitz(Uint8Array.of(...input.flat())) & 0xffff;

describe("the Toeplitz hash", () => {
  test.each<[string, string, number, number, number, number]>([
    ["66.9.149.187", "161.142.100.80", 2794, 1766, 0x323e8fc2, 0x51ccc178],
    ["199.92.111.2", "65.69.140.83", 14230, 4739, 0xd718262a, 0xc626b0ea],
    ["24.19.198.95", "12.22.207.184", 12898, 38024, 0xd2d0a5de, 0x5c2b394a],
    ["38.27.205.30", "209.142.163.6", 48228, 2217, 0x82989176, 0xafc7327f],
    ["153.39.163.191", "202.188.127.2", 44251, 1303, 0x5d1809c5, 0x10e828a2],
  ])("of %s to %s is that of the verification suite", (from, to, port, toPort, bare, withPorts) => {
    const addresses = [...dotted(from), ...dotted(to)];
    expect(toeplitz(Uint8Array.of(...addresses))).toBe(bare);
    expect(toeplitz(Uint8Array.of(...addresses, ...u16(port), ...u16(toPort)))).toBe(withPorts);
  });

  test.each<[string, string, number, number, number, number]>([
    ["3ffe:2501:200:1fff:0:0:0:7", "3ffe:2501:200:3:0:0:0:1", 2794, 1766, 0x2cc18cd5, 0x40207d3d],
    ["3ffe:501:8:0:260:97ff:fe40:efab", "ff02:0:0:0:0:0:0:1", 14230, 4739, 0x0f0c461c, 0xdde51bbf],
  ])("of %s to %s is that of the verification suite", (from, to, port, toPort, bare, withPorts) => {
    const addresses = [...groups(from), ...groups(to)];
    expect(toeplitz(Uint8Array.of(...addresses))).toBe(bare);
    expect(toeplitz(Uint8Array.of(...addresses, ...u16(port), ...u16(toPort)))).toBe(withPorts);
  });
});

describe("a flow is hashed by", () => {
  test.each([TCP, UDP, 33, 132, 136])("addresses, ports and protocol with protocol %i", (protocol) => {
    const parts = [...dotted(A.from), ...dotted(A.to), ...u16(5000), ...u16(80), protocol];
    expect(half(frame(IPV4, ipv4({ ...A, protocol, payload: ports(5000, 80) })))).toBe(low(parts));
    const six = [...groups(B.from), ...groups(B.to), ...u16(5000), ...u16(80), protocol];
    expect(half(frame(IPV6, ipv6({ ...B, protocol, payload: ports(5000, 80) })))).toBe(low(six));
  });

  test("addresses and protocol where there are no ports", () => {
    const parts = [...dotted(A.from), ...dotted(A.to)];
    expect(half(frame(IPV4, ipv4({ ...A, protocol: ICMP, payload: ports(5000, 80) })))).toBe(
      low(parts, [ICMP]),
    );
    // Cut behind the addresses, and a packet of nothing but its header in a padded frame.
    const whole = frame(IPV4, ipv4({ ...A, protocol: UDP, payload: ports(5000, 80) }));
    expect(half(whole.subarray(0, 36))).toBe(low(parts, [UDP]));
    const bare = frame(IPV4, ipv4({ ...A, protocol: UDP, payload: [] }), Array(26).fill(7));
    expect(half(bare)).toBe(low(parts, [UDP]));
  });

  test("the same behind options, tags and extension headers", () => {
    const four = { ...A, protocol: TCP, payload: ports(5000, 80) };
    const plain = half(frame(IPV4, ipv4(four)));
    expect(half(frame(IPV4, ipv4({ ...four, options: [1, 1, 1, 1, 1, 1, 1, 0] })))).toBe(plain);
    expect(half(frame([0x81, 0, 0, 5], IPV4, ipv4(four)))).toBe(plain);
    expect(half(frame([0x88, 0xa8, 0, 9, 0x81, 0, 0, 5], IPV4, ipv4(four)))).toBe(plain);
    const six = half(frame(IPV6, ipv6({ ...B, protocol: TCP, payload: ports(5000, 80) })));
    const options = [60, 0, 0, 0, 0, 0, 0, 0];
    const longer = [TCP, 1, ...Array(14).fill(0)];
    const behind = [...options, ...longer, ...ports(5000, 80)];
    expect(half(frame(IPV6, ipv6({ ...B, protocol: 0, payload: behind })))).toBe(six);
  });

  test("the frame's own ports also when its length field is 0, as of a segment that it can't hold", () => {
    const bytes = frame(IPV4, ipv4({ ...A, protocol: TCP, payload: ports(5000, 80) }));
    const plain = half(bytes);
    bytes.set([0, 0], 16);
    expect(half(bytes)).toBe(plain);
  });

  test("addresses only in a fragment, so that all of a packet stay together", () => {
    const four = { ...A, protocol: UDP, payload: ports(5000, 80) };
    const addresses = low(dotted(A.from), dotted(A.to));
    for (const fragment of [0x2000, 0x20b9, 0x00b9])
      expect(half(frame(IPV4, ipv4({ ...four, fragment })))).toBe(addresses);
    // "Don't fragment" makes no fragment.
    expect(half(frame(IPV4, ipv4({ ...four, fragment: 0x4000 })))).not.toBe(addresses);
    const six = (offset: number[]): number => {
      const payload = [UDP, 0, ...offset, 0, 0, 0, 1, ...ports(5000, 80)];
      return half(frame(IPV6, ipv6({ ...B, protocol: 44, payload })));
    };
    const both = low(groups(B.from), groups(B.to));
    expect([six([0, 1]), six([5, 0xb9]), six([5, 0xb8])]).toEqual([both, both, both]);
    // An atomic fragment is a whole packet (RFC 6946).
    expect(six([0, 0])).toBe(half(frame(IPV6, ipv6({ ...B, protocol: UDP, payload: ports(5000, 80) }))));
  });
});

describe("queue 0 is that of", () => {
  test.each<[string, Uint8Array]>([
    ["ARP", frame([0x08, 0x06], Array(28).fill(255))],
    ["a bare Ethernet header", frame(IPV4)],
    ["a frame cut in the IPv4 header", frame(IPV4, Array(19).fill(0x45))],
    ["a frame cut in the IPv6 header", frame(IPV6, Array(39).fill(0x60))],
    ["a frame that ends in a tag", frame([0x81, 0, 0, 5])],
    ["tags without an end", frame(Array(40).fill([0x81, 0, 0x81, 0]).flat())],
    ["an unknown type", frame([0x88, 0xb5], Array(50).fill(255))],
    ["too few bytes", Uint8Array.of(1, 2, 3)],
  ])("%s", (_, bytes) => {
    expect(queueOf(bytes, 8)).toBe(0);
  });
});

describe("over the queues", () => {
  const tally = (frames: Uint8Array[], queues: number): number[] => {
    const counts = Array(queues).fill(0);
    for (const bytes of frames) counts[queueOf(bytes, queues)]++;
    return counts;
  };

  test("every packet of the capture goes to one that there is, and with one queue to that", () => {
    const frames = packets.map(({ data }) => data);
    for (const queues of QUEUE_COUNTS) {
      const counts = tally(frames, queues);
      expect(counts).toHaveLength(queues);
      expect(counts.reduce((sum, n) => sum + n)).toBe(frames.length);
      // A few flows are much longer than the rest, but no queue goes without.
      expect(Math.min(...counts)).toBeGreaterThan(0);
    }
  });

  test("a connection's packets stay in one queue in each direction", () => {
    const queueOfFlow = new Map<string, number>();
    let flows = 0;
    for (const { data } of packets) {
      const tcp = data[12] === 0x08 && data[13] === 0 && data[23] === TCP;
      if (!tcp) continue;
      const flow = data.subarray(26, 38).join();
      const queue = queueOf(data, 8);
      if (!queueOfFlow.has(flow)) flows++;
      expect(queueOfFlow.get(flow) ?? queue).toBe(queue);
      queueOfFlow.set(flow, queue);
    }
    expect(flows).toBeGreaterThan(50);
  });

  test("many flows are spread evenly", () => {
    const { packets: generated } = fixedTraffic(64, { count: 8000, seed: 3 });
    const counts = tally(
      generated.map(({ data }) => data),
      8,
    );
    for (const n of counts) expect(Math.abs(n - 1000)).toBeLessThan(150);
  });

  test("bytes that are no frame at all are spread without an error", () => {
    const { packets: generated } = fixedTraffic(600, { count: 64, seed: 5 });
    for (const { data } of generated)
      for (let cut = 0; cut < 80; cut++) {
        const twisted = data.slice(0, cut);
        if (cut > 20) twisted.set([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, cut % 61], 12);
        const queue = queueOf(twisted, 8);
        expect(queue).toBeGreaterThanOrEqual(0);
        expect(queue).toBeLessThan(8);
      }
  });
});
