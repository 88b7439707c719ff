/** The hash of receive-side scaling: the published verification suite, a plain loop over bits, and which hash is used. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import * as abi from "../../assembly/abi.ts";
import * as spec from "../../assembly/spec.ts";
import { buildFrame } from "../support/frames.ts";
import { Offloads } from "../support/offloads.ts";

/** The key of the verification suite ("Verifying the RSS Hash Calculation", Microsoft). */
const KEY = Uint8Array.from(
  Buffer.from("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa", "hex"),
);

const SUITE_IPV4 = [
  ["161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178],
  ["65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea],
  ["12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a],
  ["209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f],
  ["202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2],
] as const;

const SUITE_IPV6 = [
  ["3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc18cd5, 0x40207d3d],
  ["ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c461c, 0xdde51bbf],
  [
    ...(["fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251] as const),
    ...([0x4b61e985, 0x02d1feef] as const),
  ],
] as const;

const ALL = 0x1ff;

let offloads: Offloads;
beforeAll(async () => {
  offloads = await Offloads.create();
});

function ipv4(text: string): number[] {
  return text.split(".").map(Number);
}

function ipv6(text: string): number[] {
  const [head, tail = ""] = text.split("::");
  const groups = (part: string) => part.split(":").filter((group) => group !== "");
  const zeros = new Array(8 - groups(head).length - groups(tail).length).fill("0");
  return [...groups(head), ...zeros, ...groups(tail)].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >>> 8, value & 0xff];
  });
}

function port(value: number): number[] {
  return [value >>> 8, value & 0xff];
}

function prepare(key: Uint8Array): void {
  const ptr = offloads.put(key);
  offloads.wasm.toeplitzPrepare(ptr, key.length, offloads.table);
}

function hash(input: ArrayLike<number>): number {
  return offloads.wasm.toeplitzHash(offloads.table, offloads.put(Uint8Array.from(input)), input.length) >>> 0;
}

/** As it is defined: the key's 32 bits from each 1 of the input on. */
function plainHash(key: Uint8Array, input: Uint8Array): number {
  const bit = (at: number) => ((key[at >>> 3] ?? 0) >>> (7 - (at & 7))) & 1;
  let value = 0;
  for (let at = 0; at < input.length * 8; at++) {
    if (!((input[at >>> 3] >>> (7 - (at & 7))) & 1)) continue;
    for (let i = 0; i < 32; i++) value ^= bit(at + i) << (31 - i);
  }
  return value >>> 0;
}

describe("the verification suite", () => {
  it.each(SUITE_IPV4)("IPv4 to %s:%i from %s:%i", (to, toPort, from, fromPort, addresses, ports) => {
    prepare(KEY);
    const input = [...ipv4(from), ...ipv4(to)];
    expect(hash(input)).toBe(addresses);
    expect(hash([...input, ...port(fromPort), ...port(toPort)])).toBe(ports);
  });

  it.each(SUITE_IPV6)("IPv6 to %s:%i from %s:%i", (to, toPort, from, fromPort, addresses, ports) => {
    prepare(KEY);
    const input = [...ipv6(from), ...ipv6(to)];
    expect(hash(input)).toBe(addresses);
    expect(hash([...input, ...port(fromPort), ...port(toPort)])).toBe(ports);
  });
});

it("is the definition's for any key and any input up to two IPv6 addresses and ports", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 52 }), fc.uint8Array({ maxLength: 36 }), (key, input) => {
      prepare(key);
      expect(hash(input)).toBe(plainHash(key, input));
    }),
  );
});

it("preparing writes the table and nothing beside it", () => {
  const { table } = offloads;
  const around = offloads.bytes(table - 16, abi.TOEPLITZ_TABLE_BYTES + 32).fill(0xa5);
  prepare(KEY);
  expect([...around.subarray(0, 16), ...around.subarray(-16)]).toEqual(new Array(32).fill(0xa5));
});

describe("R-V-02: which hash a frame has", () => {
  /** What is reported, and the bytes that are hashed. */
  function hashed(frame: Uint8Array, types: number): { report: number; value: number } {
    prepare(KEY);
    offloads.parse(frame);
    const { wasm, info, table } = offloads;
    const both = BigInt.asUintN(64, wasm.hashFrame(offloads.frame, info, types, table));
    return { report: Number(both >> 32n), value: Number(both & 0xffffffffn) };
  }

  const addresses4 = [192, 0, 2, 2, 192, 0, 2, 1];
  const host = (last: number) => [0x20, 1, 0x0d, 0xb8, ...new Array(11).fill(0), last];
  const addresses6 = [...host(2), ...host(1)];
  const ports = [...port(4000), ...port(5000)];
  const home = host(77);
  const route = host(88);
  const destinationOptions = [43, 2, 1, 2, 0, 0, 0xc9, 16, ...home];
  const routing = [6, 2, 2, 1, 0, 0, 0, 0, ...route];

  const frames = {
    tcp4: buildFrame({}).bytes,
    udp4: buildFrame({ protocol: "udp" }).bytes,
    icmp4: withProtocol(buildFrame({}).bytes, 1),
    fragment4: buildFrame({ fragment: 0x2000 }).bytes,
    later4: buildFrame({ fragment: 0x0010 }).bytes,
    tcp6: buildFrame({ version: 6 }).bytes,
    udp6: buildFrame({ version: 6, protocol: "udp" }).bytes,
    icmp6: buildFrame({ version: 6, nextHeader: 58 }).bytes,
    tcpEx: buildFrame({ version: 6, extensions: [...destinationOptions, ...routing], nextHeader: 60 }).bytes,
    udpEx: buildFrame({
      version: 6,
      protocol: "udp",
      extensions: [...destinationOptions, 17, ...routing.slice(1)],
      nextHeader: 60,
    }).bytes,
    ipEx: buildFrame({ version: 6, extensions: [58, 0, 1, 4, 0, 0, 0, 0], nextHeader: 0 }).bytes,
    arp: Uint8Array.from([...new Array(12).fill(2), 8, 6, ...new Array(46).fill(0)]),
  };

  function withProtocol(frame: Uint8Array, protocol: number): Uint8Array {
    frame[23] = protocol;
    return frame;
  }

  const plain6 = addresses6;
  const ex = [...home, ...route];
  const cases: [frame: keyof typeof frames, order: [report: number, input: number[]][]][] = [
    [
      "tcp4",
      [
        [2, [...addresses4, ...ports]],
        [1, addresses4],
      ],
    ],
    [
      "udp4",
      [
        [3, [...addresses4, ...ports]],
        [1, addresses4],
      ],
    ],
    ["icmp4", [[1, addresses4]]],
    ["fragment4", [[1, addresses4]]],
    ["later4", [[1, addresses4]]],
    [
      "tcp6",
      [
        [5, [...plain6, ...ports]],
        [4, plain6],
      ],
    ],
    [
      "udp6",
      [
        [6, [...plain6, ...ports]],
        [4, plain6],
      ],
    ],
    ["icmp6", [[4, plain6]]],
    [
      "tcpEx",
      [
        [8, [...ex, ...ports]],
        [7, ex],
        [5, [...plain6, ...ports]],
        [4, plain6],
      ],
    ],
    [
      "udpEx",
      [
        [9, [...ex, ...ports]],
        [7, ex],
        [6, [...plain6, ...ports]],
        [4, plain6],
      ],
    ],
    [
      "ipEx",
      [
        [7, plain6],
        [4, plain6],
      ],
    ],
    ["arp", []],
  ];

  it.each(cases)("%s, by every mask of types", (name, order) => {
    for (let types = 0; types <= ALL; types++) {
      const first = order.find(([report]) => types & (1 << (report - 1)));
      const expected = first
        ? { report: first[0], value: plainHash(KEY, Uint8Array.from(first[1])) }
        : { report: spec.VIRTIO_NET_HASH_REPORT_NONE, value: 0 };
      expect(hashed(frames[name], types), `types ${types.toString(16)}`).toEqual(expected);
    }
  });

  it("the report is the number of the type's bit, and one more", () => {
    expect(hashed(frames.tcp4, spec.VIRTIO_NET_HASH_TYPE_TCPv4).report).toBe(2);
    expect(hashed(frames.udpEx, spec.VIRTIO_NET_HASH_TYPE_UDP_EX).report).toBe(9);
  });
});
