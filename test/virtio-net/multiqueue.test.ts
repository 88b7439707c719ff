/** Several queue pairs (5.1.9.5.5): which receive queue a frame comes to, by its flow or by its hash, and what is reported. */
import { describe, expect, it } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { toeplitz } from "../../src/net/flows.ts";
import { readNetHeader } from "../../src/net-records.ts";
import { otherFrame, type PacketShape, packet } from "./packets.ts";
import { ALL_NET, F, netRig, type RawDriverRig, rawDriverRig } from "./rig.ts";

/** The key of the vendors' verification suite. */
const KEY = Uint8Array.from(
  "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa".match(/../g) ?? [],
  (byte) => Number.parseInt(byte, 16),
);
const TYPES = { IPv4: 1, TCPv4: 2, UDPv4: 4, IPv6: 8, TCPv6: 16, UDPv6: 32 };

function le16(...values: number[]): number[] {
  return values.flatMap((value) => [value & 0xff, value >> 8]);
}

function rssConfig(types: number, table: readonly number[], unclassified: number, pairs: number): number[] {
  return [4, 1, types, 0, 0, 0, ...le16(table.length - 1, unclassified, ...table, pairs), 40, ...KEY];
}

/** The receive queues that frames come to, as pairs; -1 for one that comes to none. */
function pairsOf(rig: RawDriverRig, frames: readonly Uint8Array[]): number[] {
  return frames.map((bytes) => {
    const before = received(rig);
    rig.net.giveFrames([{ bytes }]);
    const after = received(rig);
    return after.findIndex((count, pair) => count !== before[pair]);
  });
}

function received(rig: RawDriverRig): number[] {
  return Array.from({ length: rig.net.pairs }, (_, pair) => rig.net.queueStatistics(2 * pair).rx_packets);
}

function stock(rig: RawDriverRig, buffers = 60): void {
  for (let pair = 0; pair < rig.net.pairs; pair++)
    for (let k = 0; k < buffers; k++) rig.post(2 * pair, [2000]);
}

/** What a Toeplitz hash of these types is, by a reading of our own of 5.1.9.4.3. */
function hashOf(frame: Uint8Array, shape: PacketShape, types: number): [number, number] {
  const v6 = shape.version === 6;
  const [ip, tcp, udp] = v6 ? [TYPES.IPv6, TYPES.TCPv6, TYPES.UDPv6] : [TYPES.IPv4, TYPES.TCPv4, TYPES.UDPv4];
  const withPorts = (shape.protocol ?? "tcp") === "tcp" ? tcp : udp;
  const type = types & withPorts ? withPorts : types & ip ? ip : 0;
  if (type === 0) return [0, 0];
  const addresses = v6 ? frame.subarray(22, 54) : frame.subarray(26, 34);
  const transport = v6 ? 54 : 34;
  const ports = type === ip ? new Uint8Array(0) : frame.subarray(transport, transport + 4);
  return [toeplitz(Uint8Array.of(...addresses, ...ports)), Math.log2(type) + 1];
}

const SHAPES: PacketShape[] = [4, 6].flatMap((version) =>
  ["tcp", "udp"].flatMap((protocol) =>
    [1, 2, 3].map((sourcePort) => ({ version, protocol, sourcePort, payload: 50 }) as PacketShape),
  ),
);

describe.each(RING_FORMATS)("%s", (format) => {
  it("M-B-01: only the first pair moves at first, and the last of the two commands decides", async () => {
    const rig = await rawDriverRig({ format, pairs: 4, features: ALL_NET & ~F.HASH_REPORT });
    stock(rig);
    const frames = Array.from({ length: 16 }, (_, k) => packet({ payload: 20, sourcePort: 1000 + k }));
    rig.command([0, 0, 1]);
    expect(new Set(pairsOf(rig, frames))).toEqual(new Set([0]));
    expect(rig.command([4, 0, ...le16(4)]).answer[0]).toBe(0);
    expect(new Set(pairsOf(rig, frames)).size).toBeGreaterThan(2);
    expect(rig.command(rssConfig(TYPES.TCPv4, [3], 0, 4)).answer[0]).toBe(0);
    expect(new Set(pairsOf(rig, frames))).toEqual(new Set([3]));
    expect(rig.command([4, 0, ...le16(1)]).answer[0]).toBe(0);
    expect(new Set(pairsOf(rig, frames))).toEqual(new Set([0]));
    rig.driver.start();
    stock(rig, 20);
    rig.command([0, 0, 1]);
    expect(new Set(pairsOf(rig, frames))).toEqual(new Set([0]));
  });

  it("M-V-01: once the command for fewer pairs is used, no receive queue above them is", async () => {
    const rig = await rawDriverRig({ format, pairs: 4, features: ALL_NET & ~F.HASH_REPORT });
    stock(rig);
    rig.command([0, 0, 1]);
    const frames = Array.from({ length: 20 }, (_, k) => packet({ payload: 20, sourcePort: 2000 + k }));
    for (const pairs of [4, 2, 3, 1]) {
      rig.command([4, 0, ...le16(pairs)]);
      expect(Math.max(...pairsOf(rig, frames))).toBeLessThan(pairs);
    }
  });

  it("M-V-02: a flow is received where it was sent last; elsewhere while that queue is reset; nowhere when all are", async () => {
    const rig = await rawDriverRig({
      format,
      pairs: 4,
      features:
        ALL_NET & ~(F.HASH_REPORT | F.OUT_NET_HEADER | F.HOST_UDP_TUNNEL_GSO | F.GUEST_UDP_TUNNEL_GSO),
    });
    stock(rig);
    rig.command([0, 0, 1]);
    rig.command([4, 0, ...le16(4)]);
    const flow = { sourcePort: 7777, destinationPort: 80, source: 9, destination: 8 };
    const back = { sourcePort: 80, destinationPort: 7777, source: 8, destination: 9 };
    for (const pair of [3, 1, 2]) {
      rig.send(2 * pair + 1, [new Uint8Array(12), packet(flow)]);
      expect(rig.net.takeFrames()).toHaveLength(1);
      expect(pairsOf(rig, [packet(back)])).toEqual([pair]);
    }
    rig.driver.resetQueue(4);
    const [elsewhere] = pairsOf(rig, [packet(back)]);
    expect([0, 1, 3]).toContain(elsewhere);
    for (const queue of [0, 2, 6]) rig.driver.resetQueue(queue);
    expect(pairsOf(rig, [packet(back)])).toEqual([-1]);
    expect(rig.net.statistics()).toMatchObject({ rx_drop_queue: 1 });
  });

  it("R-V-01: the queue is the table's entry at hash & mask; what has no hash goes to the unclassified queue", async () => {
    const rig = await rawDriverRig({ format, pairs: 4, features: ALL_NET & ~F.HASH_REPORT });
    stock(rig);
    rig.command([0, 0, 1]);
    const table = [2, 0, 3, 1, 1, 3, 0, 2];
    rig.command(rssConfig(0x3f, table, 3, 4));
    const frames = SHAPES.map((shape) => packet(shape));
    const expected = SHAPES.map((shape, k) => table[hashOf(frames[k], shape, 0x3f)[0] & 7]);
    expect(pairsOf(rig, frames)).toEqual(expected);
    expect(pairsOf(rig, [otherFrame()])).toEqual([3]);
    rig.driver.resetQueue(6);
    expect(pairsOf(rig, [otherFrame()])).toEqual([-1]);
    expect(rig.net.statistics()).toMatchObject({ rx_drop_queue: 1 });
  });

  it("R-V-02, R-V-03: the header reports the hash of the enabled kind, and none before there is a configuration", async () => {
    const rig = await rawDriverRig({ format, features: F.CTRL_VQ | F.HASH_REPORT | F.MRG_RXBUF, pairs: 1 });
    const report = (frame: Uint8Array): [number, number] => {
      const [{ ptr }] = rig.post(0, [2000]);
      rig.net.giveFrames([{ bytes: frame }]);
      rig.driver.queue(0).reclaim();
      const header = readNetHeader(new DataView(rig.engine.memory.buffer), ptr, 20);
      return [header.hashValue, header.hashReport];
    };
    for (const shape of SHAPES) expect(report(packet(shape))).toEqual([0, 0]);
    for (const types of [0x3f, TYPES.IPv4 | TYPES.IPv6, TYPES.UDPv4 | TYPES.TCPv6, TYPES.TCPv4, 0]) {
      const hash = [4, 2, types, 0, 0, 0, ...le16(0, 0, 0, 0), 40, ...KEY];
      expect(rig.command(hash).answer[0]).toBe(0);
      for (const shape of SHAPES) {
        const frame = packet(shape);
        expect(report(frame)).toEqual(hashOf(frame, shape, types));
      }
      expect(report(otherFrame())).toEqual([0, 0]);
    }
  });
});

it("R-V-03: with RSS the report comes with RSS_CONFIG, and HASH_CONFIG is an error", async () => {
  const { net, drv } = await netRig({
    pairs: 2,
    features: ALL_NET & ~(F.OUT_NET_HEADER | F.GUEST_UDP_TUNNEL_GSO | F.HOST_UDP_TUNNEL_GSO),
    driver: { receiveBuffers: 32 },
  });
  expect(() => drv.commands.setHash(1, KEY)).toThrow(expect.objectContaining({ code: "command-failed" }));
  drv.commands.setRss({ hashTypes: 0x3f, table: [0, 1], key: KEY });
  const frames = SHAPES.map((shape) => packet(shape));
  net.giveFrames(frames.map((bytes) => ({ bytes })));
  const back = drv.receiveFrames();
  expect(back).toHaveLength(SHAPES.length);
  for (const { bytes, pair, header } of back) {
    const at = frames.findIndex((frame) => Buffer.from(frame).equals(bytes));
    const [hash, kind] = hashOf(frames[at], SHAPES[at], 0x3f);
    expect([header?.hashValue, header?.hashReport, pair]).toEqual([hash, kind, hash & 1]);
  }
});
