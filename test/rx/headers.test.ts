/** How much of a frame is headers: known frames, frames cut anywhere, and random bytes. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../src/engine.ts";
import { createEngine } from "../support/engine.ts";

let engine: Engine;

beforeAll(async () => {
  engine = await createEngine({ queueSize: 1, bufferBytes: 4096 });
});

function headers(frame: readonly number[] | Uint8Array, most = 256): number {
  engine.bytes(engine.buffers.ptr, 4096).fill(0xee);
  engine.bytes(engine.buffers.ptr, frame.length).set(frame);
  return engine.wasm.headersBytes(engine.buffers.ptr, Math.min(most, frame.length));
}

const bytes = (count: number, value = 0): number[] => Array.from({ length: count }, () => value);
const type = (value: number): number[] => [value >> 8, value & 0xff];
const ethernet = (value: number): number[] => [...bytes(12, 2), ...type(value)];
const vlan = (value: number): number[] => [0, 1, ...type(value)];
const ipv4 = (protocol: number, words = 5, fragment = 0): number[] => [
  ...[0x40 | words, 0, 0, 100, 0, 0, ...type(fragment), 64, protocol],
  ...bytes(words * 4 - 10),
];
const ipv6 = (next: number): number[] => [0x60, 0, 0, 0, 0, 60, next, 64, ...bytes(32)];
const tcp = (words = 5): number[] => [...bytes(12), words << 4, ...bytes(words * 4 - 13)];
const PAYLOAD = bytes(300, 7);
const IPV4 = 0x0800;
const IPV6 = 0x86dd;

describe("the headers of a frame", () => {
  it.each<[string, number[], number]>([
    ["UDP over IPv4", [...ethernet(IPV4), ...ipv4(17), ...bytes(8)], 42],
    ["TCP over IPv4", [...ethernet(IPV4), ...ipv4(6), ...tcp()], 54],
    ["TCP with options", [...ethernet(IPV4), ...ipv4(6), ...tcp(8)], 66],
    ["TCP that claims less than its fixed part", [...ethernet(IPV4), ...ipv4(6), ...bytes(20)], 54],
    ["IPv4 with options", [...ethernet(IPV4), ...ipv4(17, 8), ...bytes(8)], 54],
    ["ICMP", [...ethernet(IPV4), ...ipv4(1), ...bytes(8)], 42],
    ["SCTP", [...ethernet(IPV4), ...ipv4(132), ...bytes(12)], 46],
    ["a protocol that isn't known", [...ethernet(IPV4), ...ipv4(99)], 34],
    ["the first fragment", [...ethernet(IPV4), ...ipv4(17, 5, 0x2000), ...bytes(8)], 42],
    ["a later fragment", [...ethernet(IPV4), ...ipv4(17, 5, 0x2001)], 34],
    ["one VLAN tag", [...ethernet(0x8100), ...vlan(IPV4), ...ipv4(17), ...bytes(8)], 46],
    ["two VLAN tags", [...ethernet(0x88a8), ...vlan(0x8100), ...vlan(IPV4), ...ipv4(17), ...bytes(8)], 50],
    ["TCP over IPv6", [...ethernet(IPV6), ...ipv6(6), ...tcp()], 74],
    ["ICMPv6", [...ethernet(IPV6), ...ipv6(58), ...bytes(8)], 62],
    ["hop-by-hop options", [...ethernet(IPV6), ...ipv6(0), 17, 1, ...bytes(14), ...bytes(8)], 78],
    ["a first IPv6 fragment", [...ethernet(IPV6), ...ipv6(44), 17, 0, 0, 1, ...bytes(4), ...bytes(8)], 70],
    ["a later IPv6 fragment", [...ethernet(IPV6), ...ipv6(44), 17, 0, 0, 8, ...bytes(4)], 62],
    ["ARP", ethernet(0x0806), 14],
    ["an IPv4 header shorter than it can be", [...ethernet(IPV4), 0x41, ...bytes(19)], 14],
  ])("%s", (_, frame, expected) => {
    expect(headers([...frame, ...PAYLOAD])).toBe(expected);
  });

  it("end where what may be read ends", () => {
    const whole = [...ethernet(0x8100), ...vlan(IPV4), ...ipv4(6, 7), ...tcp(9)];
    const found = whole.map((_, length) => headers(whole, length));
    // Nothing of a header is taken that isn't there as a whole, but for the transport's.
    expect(found.every((count, length) => count <= length)).toBe(true);
    expect([13, 14, 17, 18, 45, 46, 47, 65, 66, 81].map((length) => found[length])).toEqual([
      13, 14, 14, 18, 18, 46, 47, 65, 66, 81,
    ]);
    expect(headers(whole)).toBe(82);
  });

  it("never are more than what may be read, whatever the bytes", () => {
    const ip = fc.constantFrom(ethernet(IPV4), ethernet(IPV6), [...ethernet(0x8100), ...vlan(IPV6)]);
    fc.assert(
      fc.property(
        ip,
        fc.uint8Array({ maxLength: 300 }),
        fc.integer({ min: 0, max: 256 }),
        (start, rest, most) => {
          const frame = [...start, ...rest];
          const limit = Math.min(most, frame.length);
          const count = headers(frame, most);
          expect(count).toBeLessThanOrEqual(limit);
          expect(count).toBeGreaterThanOrEqual(Math.min(14, limit));
          // What lies behind the limit makes no difference.
          expect(
            headers([...frame.slice(0, limit), ...frame.slice(limit).map((byte) => byte ^ 0xff)], most),
          ).toBe(count);
        },
      ),
      { numRuns: 2000, seed: 5 },
    );
  });
});
