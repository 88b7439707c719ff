import { beforeAll, describe, expect, test } from "vitest";
import { CHECKSUM_INVALID } from "../../assembly/abi.ts";
import { CompareInputError } from "../../src/compare/errors.ts";
import { atMtu } from "../../src/compare/mtu.ts";
import { fixedTraffic, type Traffic } from "../../src/net/traffic.ts";
import { wasmModule } from "../support/engine.ts";
import { buildFrame, type FrameFields } from "../support/frames.ts";
import { Offloads } from "../support/offloads.ts";

let module: WebAssembly.Module;
let offloads: Offloads;
beforeAll(async () => {
  module = await wasmModule("vring");
  offloads = await Offloads.create();
});

function trafficOf(...frames: Uint8Array[]): Traffic {
  const packets = frames.map((data) => ({ data, originalLength: data.length, timestamp: 0n }));
  const bytes = frames.reduce((sum, { length }) => sum + length, 0);
  return { kind: "capture", name: "a.pcap", file: "a.pcap", packets, bytes };
}

function framed(fields: Partial<FrameFields>): { frame: Uint8Array; payload: Uint8Array } {
  const payload = Uint8Array.from({ length: 8000 }, (_, i) => i * 7 + (i >>> 8));
  return { frame: buildFrame({ ...fields, payload }).bytes, payload };
}

const cut = (traffic: Traffic, mtu = 1500) => atMtu(traffic, { mtu, offloads: false, module });
const small = fixedTraffic(64, { count: 3, seed: 1 });

describe("without offloads", () => {
  test.each([4, 6] as const)(
    "TCP over IPv%i is cut into segments that fit and are right",
    async (version) => {
      const { frame, payload } = framed({ version, protocol: "tcp" });
      const { packets, bytes, notes } = await cut(trafficOf(small.packets[0].data, frame));
      const segments = packets.slice(1).map(({ data }) => data);
      expect(segments).toHaveLength(6);
      expect(Math.max(...segments.map(({ length }) => length))).toBe(1514);
      const payloads = segments.flatMap((segment) => {
        expect(offloads.verify(segment)).not.toBe(CHECKSUM_INVALID);
        const { payload: from, end } = offloads.parse(segment);
        return [...segment.subarray(from, end)];
      });
      expect(Uint8Array.from(payloads)).toEqual(payload);
      expect(bytes).toBe(packets.reduce((sum, { data }) => sum + data.length, 0));
      expect(notes).toEqual(["1 of 2 frames are longer than an MTU of 1500; software cut them into 6"]);
    },
  );

  test.each([4, 6] as const)("UDP over IPv%i is cut into fragments that fit", async (version) => {
    const { frame } = framed({ version, protocol: "udp" });
    const { packets } = await cut(trafficOf(frame), 1280);
    expect(packets.length).toBe(7);
    for (const { data } of packets) expect(data.length).toBeLessThanOrEqual(14 + 1280);
  });

  test("generated frames of any length are cut, without the padding that IPv4 has no room for", async () => {
    const { packets } = await cut(fixedTraffic(65_550, { count: 1, seed: 1 }));
    const payload = packets.reduce((sum, { data }) => sum + data.length - 34, 0);
    expect(payload).toBe(65_535 - 20);
  });

  test("what fits stays as it is, behind a VLAN's tag too", async () => {
    const tagged = buildFrame({ protocol: "tcp", tags: [7], payload: new Uint8Array(1460) }).bytes;
    expect(tagged).toHaveLength(1518);
    const traffic = trafficOf(tagged);
    expect(await cut(traffic)).toBe(traffic);
  });

  test("what can't be cut is left out, and said so; nothing left is an error", async () => {
    const other = new Uint8Array(3000).fill(0x88);
    const { packets, notes } = await cut(trafficOf(other, small.packets[0].data));
    expect(packets).toHaveLength(1);
    expect(notes?.[1]).toMatch(/^1 of them are left out, because only whole TCP and UDP/);
    await expect(cut(trafficOf(other))).rejects.toThrow(CompareInputError);
    await expect(cut(trafficOf(other))).rejects.toThrow("a larger --mtu or --offloads on is needed");
  });
});

test("with offloads longer frames pass whole, and a note says how many they are", async () => {
  const { frame } = framed({ protocol: "tcp" });
  const traffic = trafficOf(frame, small.packets[0].data);
  const passing = await atMtu(traffic, { mtu: 1500, offloads: true, module });
  expect(passing.packets).toBe(traffic.packets);
  expect(passing.notes).toEqual([
    "1 of 2 frames are longer than an MTU of 1500 and pass whole, as with offloads",
  ]);
});
