/** Where the headers of a frame lie: against frames that were built, against a plain reader, and cut at every byte. */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import * as abi from "../../assembly/abi.ts";
import { readCapture } from "../../src/net/pcap.ts";
import { buildFrame } from "../support/frames.ts";
import { Offloads, type ParsedFrame } from "../support/offloads.ts";
import { Random } from "../support/random.ts";

let offloads: Offloads;
beforeAll(async () => {
  offloads = await Offloads.create();
});

const KINDS = abi.FRAME_IPV4 | abi.FRAME_IPV6 | abi.FRAME_TCP | abi.FRAME_UDP;

/** The frame's last byte is that of the memory: one byte too far is a trap. */
function parseAtEnd(frame: Uint8Array): ParsedFrame {
  return offloads.parse(frame, offloads.end - frame.length - offloads.frame);
}

const padding = [6, 0, 1, 4, 0, 0, 0, 0];
const samples = {
  "TCP over IPv4": buildFrame({ payload: Uint8Array.of(1, 2, 3) }),
  "UDP over IPv4": buildFrame({ protocol: "udp", payload: Uint8Array.of(1) }),
  "TCP over IPv6": buildFrame({ version: 6, payload: Uint8Array.of(1, 2) }),
  "UDP over IPv6": buildFrame({ version: 6, protocol: "udp" }),
  "two tags": buildFrame({ tags: [1, 2], payload: Uint8Array.of(9) }),
  "all options": buildFrame({ ipOptions: new Array(40).fill(1), tcp: { options: new Array(40).fill(1) } }),
  "an extension header": buildFrame({ version: 6, extensions: padding, nextHeader: 60 }),
  padding: buildFrame({ payload: Uint8Array.of(1), padding: 5 }),
};

describe("a frame of its own making", () => {
  it.each(Object.entries(samples))("%s: every header is found", (what, built) => {
    const parsed = parseAtEnd(built.bytes);
    const end = built.bytes.length - (what === "padding" ? 5 : 0);
    const { network, transport, payload } = built;
    expect(parsed).toMatchObject({ isIp: true, network, transport, payload, end });
    expect(parsed.protocol).toBe(what.includes("UDP") ? 17 : 6);
    const expected =
      (what.includes("IPv6") || what.includes("extension") ? abi.FRAME_IPV6 : abi.FRAME_IPV4) |
      (what.includes("UDP") ? abi.FRAME_UDP : abi.FRAME_TCP) |
      (what === "two tags" ? abi.FRAME_VLAN : 0) |
      (/options|extension/.test(what) ? abi.FRAME_OPTIONS : 0);
    expect(parsed.flags).toBe(expected);
    expect(parsed.etherType).toBe(expected & abi.FRAME_IPV6 ? 0x86dd : 0x0800);
  });

  it.each(Object.entries(samples))("%s: cut at any byte, nothing is found that isn't there", (_, built) => {
    for (let bytes = 0; bytes < built.bytes.length; bytes++) {
      const parsed = parseAtEnd(built.bytes.subarray(0, bytes));
      expect(parsed.end).toBeLessThanOrEqual(bytes);
      expect(parsed.network).toBeLessThanOrEqual(bytes);
      if (parsed.transport !== 0) expect(parsed.payload).toBeLessThanOrEqual(parsed.end);
      // A header is all there, or it isn't told.
      if (bytes < built.payload) expect(parsed.transport, `${bytes} bytes`).toBe(0);
      if (bytes < built.network + 20) expect(parsed.isIp, `${bytes} bytes`).toBe(false);
    }
  });
});

describe("what a header says of itself", () => {
  function changed(
    given: Parameters<typeof buildFrame>[0],
    at: (frame: ReturnType<typeof buildFrame>) => [number, number],
  ) {
    const built = buildFrame(given);
    const [place, value] = at(built);
    built.bytes[place] = value;
    return parseAtEnd(built.bytes);
  }

  it("a version that isn't the Ethernet type's is no packet", () => {
    expect(changed({}, ({ network }) => [network, 0x65]).isIp).toBe(false);
    expect(changed({ version: 6 }, ({ network }) => [network, 0x40]).isIp).toBe(false);
  });

  it("an IPv4 header shorter than itself, or a packet shorter than its header, is no packet", () => {
    for (let words = 0; words < 5; words++) {
      expect(changed({}, ({ network }) => [network, 0x40 | words]).isIp).toBe(false);
    }
    expect(changed({}, ({ network }) => [network + 3, 19]).isIp).toBe(false);
    expect(changed({}, ({ network }) => [network + 3, 20])).toMatchObject({ isIp: true, transport: 0 });
  });

  it("a packet that says it is longer than the frame is told as cut", () => {
    const parsed = changed({}, ({ network }) => [network + 2, 1]);
    expect(parsed).toMatchObject({ isIp: true, end: 54, transport: 34 });
    expect(parsed.flags & abi.FRAME_CUT).not.toBe(0);
    const longer = changed({ version: 6 }, ({ network }) => [network + 4, 1]);
    expect(longer.flags & abi.FRAME_CUT).not.toBe(0);
  });

  it("a TCP header shorter than 20 bytes, or longer than the packet, is none", () => {
    for (let words = 0; words < 16; words++) {
      const parsed = changed({ payload: new Uint8Array(20) }, ({ transport }) => [
        transport + 12,
        words << 4,
      ]);
      expect(parsed.transport).toBe(words >= 5 && words <= 10 ? 34 : 0);
      expect(parsed.flags & abi.FRAME_TCP).toBe(words >= 5 && words <= 10 ? abi.FRAME_TCP : 0);
    }
  });

  it("fragments are told: the first has a transport header, the others have none", () => {
    const first = parseAtEnd(buildFrame({ fragment: 0x2000 }).bytes);
    expect(first.flags & abi.FRAME_FRAGMENT).not.toBe(0);
    expect(first.transport).toBe(34);
    const later = parseAtEnd(buildFrame({ fragment: 1 }).bytes);
    expect(later.flags & abi.FRAME_FRAGMENT).not.toBe(0);
    expect(later).toMatchObject({ transport: 0, protocol: 6 });
    for (const [offset, transport] of [
      [1, 62],
      [8, 0],
    ]) {
      const extensions = [6, 0, 0, offset, 0, 0, 0, 9];
      const parsed = parseAtEnd(buildFrame({ version: 6, extensions, nextHeader: 44 }).bytes);
      expect(parsed).toMatchObject({ isIp: true, transport, protocol: 6 });
      expect(parsed.flags & abi.FRAME_FRAGMENT).not.toBe(0);
    }
  });

  it("eight tags are followed, and a ninth is not", () => {
    expect(parseAtEnd(buildFrame({ tags: new Array(8).fill(7) }).bytes)).toMatchObject({
      isIp: true,
      network: 46,
    });
    expect(parseAtEnd(buildFrame({ tags: new Array(9).fill(7) }).bytes).isIp).toBe(false);
  });

  it("sixteen extension headers are followed, and a seventeenth is not", () => {
    const chain = (count: number) =>
      Array.from({ length: count }, (_, i) => [i === count - 1 ? 6 : 60, 0, 1, 4, 0, 0, 0, 0]).flat();
    const parse = (count: number) =>
      parseAtEnd(buildFrame({ version: 6, extensions: chain(count), nextHeader: 60 }).bytes);
    expect(parse(16)).toMatchObject({ isIp: true, transport: 54 + 16 * 8, protocol: 6 });
    expect(parse(17)).toMatchObject({ isIp: true, transport: 0 });
  });

  it("an extension header that is longer than the packet ends the search", () => {
    const parsed = parseAtEnd(
      buildFrame({ version: 6, extensions: [6, 9, 1, 4, 0, 0, 0, 0], nextHeader: 60 }).bytes,
    );
    expect(parsed).toMatchObject({ isIp: true, transport: 0, protocol: 60 });
  });

  it("an authentication header counts in words, and a routing header with segments left is told", () => {
    const authentication = [6, 4, 0, 0, ...new Array(20).fill(1)];
    const ah = parseAtEnd(buildFrame({ version: 6, extensions: authentication, nextHeader: 51 }).bytes);
    expect(ah).toMatchObject({ isIp: true, transport: 54 + 24, protocol: 6 });
    const routing = [6, 2, 0, 1, 0, 0, 0, 0, ...new Array(16).fill(1)];
    const routed = parseAtEnd(buildFrame({ version: 6, extensions: routing, nextHeader: 43 }).bytes);
    expect(routed.flags & abi.FRAME_ROUTED).not.toBe(0);
    expect(routed.routeAddress).toBe(0);
    const arrived = parseAtEnd(
      buildFrame({ version: 6, extensions: [...routing.slice(0, 3), 0, ...routing.slice(4)], nextHeader: 43 })
        .bytes,
    );
    expect(arrived.flags & abi.FRAME_ROUTED).toBe(0);
  });
});

describe("tunnels", () => {
  const inner = buildFrame({ version: 6, payload: Uint8Array.of(1, 2, 3) });

  function tunnel(port: number, header: number[], carried: Uint8Array, bytes?: number) {
    const frame = buildFrame({
      protocol: "udp",
      destinationPort: port,
      payload: Uint8Array.from([...header, ...carried]),
    });
    const outer = parseAtEnd(frame.bytes.subarray(0, bytes));
    const ptr = offloads.end - (bytes ?? frame.bytes.length);
    const kind = offloads.wasm.parseTunnel(ptr, offloads.info, offloads.inner);
    return {
      kind,
      inside: frame.payload + header.length,
      outer,
      parsed: offloads.parsed(true, offloads.inner),
      frame,
    };
  }

  it("VXLAN carries a frame, whose offsets count from the outer one's start", () => {
    const { kind, inside, parsed } = tunnel(4789, [8, 0, 0, 0, 0, 0, 7, 0], inner.bytes);
    expect(kind).toBe(abi.TUNNEL_VXLAN);
    expect(parsed.network).toBe(inside + inner.network);
    expect(parsed.transport).toBe(inside + inner.transport);
    expect(parsed.flags & KINDS).toBe(abi.FRAME_IPV6 | abi.FRAME_TCP);
  });

  it("Geneve carries a frame or a packet, behind options of any length", () => {
    for (const words of [0, 1, 63]) {
      const header = [words, 0, 0x65, 0x58, 0, 0, 9, 0, ...new Array(4 * words).fill(0)];
      const { kind, inside, parsed } = tunnel(6081, header, inner.bytes);
      expect(kind).toBe(abi.TUNNEL_GENEVE);
      expect(parsed.transport).toBe(inside + inner.transport);
      const bare = [...header.slice(0, 2), 0x86, 0xdd, ...header.slice(4)];
      const packet = tunnel(6081, bare, inner.bytes.subarray(14));
      expect(packet.kind).toBe(abi.TUNNEL_GENEVE);
      expect(packet.parsed.network).toBe(packet.inside);
    }
  });

  it("without the flag, of another version, at another port, or with options past the end it is none", () => {
    expect(tunnel(4789, [0, 0, 0, 0, 0, 0, 7, 0], inner.bytes).kind).toBe(abi.TUNNEL_NONE);
    expect(tunnel(4790, [8, 0, 0, 0, 0, 0, 7, 0], inner.bytes).kind).toBe(abi.TUNNEL_NONE);
    expect(tunnel(6081, [0x40, 0, 0x65, 0x58, 0, 0, 9, 0], inner.bytes).kind).toBe(abi.TUNNEL_NONE);
    expect(tunnel(6081, [63, 0, 0x65, 0x58, 0, 0, 9, 0], inner.bytes).kind).toBe(abi.TUNNEL_NONE);
    expect(tunnel(6081, [0, 0, 0x12, 0x34, 0, 0, 9, 0], inner.bytes).kind).toBe(abi.TUNNEL_NONE);
  });

  it("cut at any byte it is read no further", () => {
    const header = [2, 0, 0x65, 0x58, 0, 0, 9, 0, ...new Array(8).fill(0)];
    const { frame } = tunnel(6081, header, inner.bytes);
    for (let bytes = 0; bytes < frame.bytes.length; bytes++) {
      const { kind, parsed } = tunnel(6081, header, inner.bytes, bytes);
      if (kind !== abi.TUNNEL_NONE) expect(parsed.end).toBeLessThanOrEqual(bytes);
    }
  });
});

it("any bytes at all leave every offset inside of the frame", () => {
  const random = new Random(5);
  const models = Object.values(samples);
  for (let round = 0; round < 20_000; round++) {
    const frame = random.pick(models).bytes.slice();
    for (let i = random.int(1, 6); i > 0; i--) frame[random.int(12, frame.length - 1)] = random.int(0, 255);
    const bytes = frame.subarray(0, random.chance(60) ? frame.length : random.int(0, frame.length));
    const parsed = parseAtEnd(bytes);
    expect(parsed.end).toBeLessThanOrEqual(bytes.length);
    expect(parsed.network).toBeLessThanOrEqual(bytes.length);
    if (parsed.transport !== 0) {
      expect(parsed.transport).toBeGreaterThan(parsed.network);
      expect(parsed.payload).toBeGreaterThan(parsed.transport);
      expect(parsed.payload).toBeLessThanOrEqual(parsed.end);
    }
    for (const address of [parsed.homeAddress, parsed.routeAddress]) {
      if (address !== 0) expect(address + 16).toBeLessThanOrEqual(parsed.end);
    }
    offloads.wasm.checksumVerify(offloads.end - bytes.length, offloads.info);
    offloads.wasm.hashFrame(offloads.end - bytes.length, offloads.info, 0x1ff, offloads.table);
    offloads.wasm.parseTunnel(offloads.end - bytes.length, offloads.info, offloads.inner);
  }
});

it("agrees with a plain reader over every frame of the captures", () => {
  for (const name of ["web.pcapng", "offload-received.pcapng"]) {
    const file = readFileSync(new URL(`../../captures/${name}`, import.meta.url));
    for (const { data } of readCapture(file, { name }).packets) {
      const parsed = parseAtEnd(data);
      const type = data[12] * 256 + data[13];
      expect(parsed.etherType).toBe(type);
      expect(parsed.isIp).toBe(type === 0x0800 || type === 0x86dd);
      if (type !== 0x0800) continue;
      const protocol = data[23];
      const isLater = (data[20] & 0x1f) + data[21] !== 0;
      expect(parsed.protocol).toBe(protocol);
      expect(parsed.end).toBe(14 + data[16] * 256 + data[17]);
      const start = 14 + (data[14] & 15) * 4;
      expect(parsed.transport).toBe(!isLater && (protocol === 6 || protocol === 17) ? start : 0);
    }
  }
});
