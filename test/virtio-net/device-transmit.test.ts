/** What our device half makes of what a driver sends (5.1.9.2), and of what a hostile one does. */
import { describe, expect, it } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { type NetHeader, writeNetHeader } from "../../src/net-records.ts";
import { Random } from "../support/random.ts";
import { checksumIsRight, headersOf, otherFrame, packet } from "./packets.ts";
import { F, MAC, rawDriverRig } from "./rig.ts";

const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const TUNNEL_CSUM = 8;

function header(values: Partial<NetHeader>, bytes = 12): Uint8Array {
  const header = new Uint8Array(bytes);
  writeNetHeader(new DataView(header.buffer), 0, values, bytes);
  return header;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const CSUM_AT = { csumStart: headersOf({}).transport, csumOffset: 16 };
const TSO = F.CSUM | F.HOST_TSO4 | F.HOST_TSO6 | F.HOST_USO;

describe.each(RING_FORMATS)("%s", (format) => {
  it("S-V-01, N-V-04: takes a buffer cut in any way, and reports that nothing was written", async () => {
    const rig = await rawDriverRig({ format, features: F.CSUM, reserved: 0n });
    const random = new Random(1);
    for (let round = 0; round < 60; round++) {
      const frame = packet({ payload: random.int(1, 1400), checksum: "none" });
      const whole = joined(header({}), frame);
      const cuts = [
        ...new Set(Array.from({ length: random.int(0, 12) }, () => random.int(1, whole.length - 1))),
      ].sort((a, b) => a - b);
      const ends = [...cuts, whole.length];
      rig.send(
        1,
        ends.map((end, k) => whole.subarray(k === 0 ? 0 : ends[k - 1], end)),
      );
      expect(rig.net.takeFrames().map(({ bytes }) => bytes)).toEqual([frame]);
      expect(rig.driver.queue(1).reclaim()).toEqual([{ token: 1, len: 0 }]);
    }
  });

  it("completes the checksum that NEEDS_CSUM leaves open, and marks the frame as complete", async () => {
    const rig = await rawDriverRig({ format, features: F.CSUM });
    for (const shape of [{ version: 4 }, { version: 6 }, { protocol: "udp" }, { vlan: 9 }] as const) {
      const { transport, checksumOffset } = headersOf(shape);
      const values = { flags: NEEDS_CSUM, csumStart: transport, csumOffset: checksumOffset };
      rig.send(1, [header(values), packet({ ...shape, checksum: "seeded" })]);
      const [frame] = rig.net.takeFrames();
      expect(frame.bytes).toEqual(packet(shape));
      expect(frame.header?.flags).toBe(0);
    }
    expect(rig.net.statistics()).toMatchObject({ tx_needs_csum: 4, tx_csum_none: 0 });
  });

  it("N-V-02: without NEEDS_CSUM the two fields mean nothing, and the frame goes on as it is", async () => {
    const rig = await rawDriverRig({ format, features: F.CSUM });
    const values = {
      csumStart: 0xffff,
      csumOffset: 0xffff,
      gsoSize: 0xffff,
      hdrLen: 0xffff,
      numBuffers: 0xffff,
    };
    rig.send(1, [header(values), packet({ checksum: "wrong" })]);
    expect(rig.net.takeFrames().map(({ bytes }) => bytes)).toEqual([packet({ checksum: "wrong" })]);
  });

  it("N-V-03: hdr_len is a hint: the segments are the same whatever it says", async () => {
    const rig = await rawDriverRig({ format, features: TSO });
    const frame = packet({ payload: 5000, checksum: "seeded" });
    const results = [0, 1, 54, 0xffff].map((hdrLen) => {
      rig.send(1, [header({ flags: NEEDS_CSUM, gsoType: 1, gsoSize: 1448, hdrLen, ...CSUM_AT }), frame]);
      return rig.net.takeFrames().map(({ bytes }) => bytes);
    });
    expect(results[0].map(({ length }) => length)).toEqual([1502, 1502, 1502, 54 + 656]);
    for (const segment of results[0]) expect(checksumIsRight(segment, {})).toBe(true);
    for (const other of results) expect(other).toEqual(results[0]);
    expect(rig.net.statistics()).toMatchObject({
      tx_gso_packets: 4,
      tx_gso_segments: 16,
      tx_gso_bytes: 4 * 5054,
    });
  });

  it("N-B-06: flags that are unknown change nothing", async () => {
    const rig = await rawDriverRig({ format, features: F.CSUM });
    for (const unknown of [0x10, 0x20, 0x40, 0x80]) {
      rig.send(1, [header({ flags: NEEDS_CSUM | unknown, ...CSUM_AT }), packet({ checksum: "seeded" })]);
      rig.send(1, [header({ flags: unknown }), packet()]);
      expect(rig.net.takeFrames().map(({ bytes }) => bytes)).toEqual([packet(), packet()]);
    }
  });

  it("goes on with a frame of many segments in the next call when the area is full", async () => {
    const rig = await rawDriverRig({
      format,
      features: TSO,
      engine: { net: { records: 32, frameBytes: 65600 } },
    });
    const frame = packet({ payload: 60_000, checksum: "seeded" });
    rig.send(1, [header({ flags: NEEDS_CSUM, gsoType: 1, gsoSize: 100, ...CSUM_AT }), frame]);
    rig.send(1, [header({}), otherFrame()]);
    let calls = 0;
    const sizes: number[] = [];
    for (let count = rig.net.transmit(); count > 0; count = rig.net.transmit(), calls++)
      for (let k = 0; k < count; k++) sizes.push(rig.engine.u32[rig.net.sentAt + 12 * k + 1]);
    expect(calls).toBeGreaterThan(600);
    expect(sizes).toEqual([...new Array(600).fill(154), 60]);
  });
});

it("N-B-07: of all flags and gso_types the device takes just those that don't contradict each other", async () => {
  const features = TSO | F.HOST_ECN | F.HOST_UFO | F.HOST_UDP_TUNNEL_GSO | F.HOST_UDP_TUNNEL_GSO_CSUM;
  const rig = await rawDriverRig({ features, reserved: 0n });
  const bytes = packet({ checksum: "seeded" });
  const wrong: string[] = [];
  let before = 0;
  for (let flags = 0; flags < 256; flags++) {
    for (let gsoType = 0; gsoType < 256; gsoType++) {
      rig.send(1, [header({ flags, gsoType, gsoSize: 500, ...CSUM_AT }, 24), bytes]);
      rig.net.transmit();
      rig.driver.queue(1).reclaim();
      const now = rig.net.statistics().tx_drop_header;
      const refused = now > before;
      before = now;
      const tunnel = gsoType & 0x60;
      const kind = gsoType & 0x1f;
      const tcp = kind === 1 || kind === 4;
      let sound = kind === 0 || tcp || kind === 3 || kind === 5;
      if (tunnel === 0x60) sound = false;
      if (tunnel !== 0 && (!(flags & NEEDS_CSUM) || flags & DATA_VALID || kind === 0)) sound = false;
      if (flags & TUNNEL_CSUM && tunnel === 0) sound = false;
      if (gsoType & 0x80 && !tcp) sound = false;
      if (refused === sound) wrong.push(`${flags.toString(16)} ${gsoType.toString(16)}: ${refused}`);
    }
  }
  expect(wrong).toEqual([]);
}, 60_000);

it("N-B-05: outer_nh_offset has no effect, whatever it says, with OUT_NET_HEADER and without", async () => {
  for (const [features, bytes] of [
    [F.OUT_NET_HEADER, 32],
    [F.CSUM, 12],
  ] as const) {
    const rig = await rawDriverRig({ features });
    for (const outerNetwork of [0, 14, 0xffff]) {
      rig.send(1, [header({ outerNetwork }, bytes), otherFrame()]);
      expect(rig.net.takeFrames().map(({ bytes: sent }) => sent)).toEqual([otherFrame()]);
    }
  }
});

it("N-B-04: forwards frames of mtu + 14 bytes whole, and nothing longer that is not to be segmented", async () => {
  const rig = await rawDriverRig({ features: F.MTU | TSO, device: { mtu: 1000 } });
  rig.send(1, [header({}), otherFrame(1014)]);
  rig.send(1, [header({}), otherFrame(1015)]);
  rig.send(1, [
    header({ flags: NEEDS_CSUM, gsoType: 1, gsoSize: 900, ...CSUM_AT }),
    packet({ payload: 1800, checksum: "seeded" }),
  ]);
  expect(rig.net.takeFrames().map(({ bytes }) => bytes.length)).toEqual([1014, 954, 954]);
  expect(rig.net.statistics()).toMatchObject({ tx_drop_oversize: 1 });
});

it("hands checksums and segmentation on to a host that takes them", async () => {
  const rig = await rawDriverRig({ features: TSO, device: { wire: { gso: true } } });
  const plain = { flags: NEEDS_CSUM, ...CSUM_AT };
  const large = { ...plain, gsoType: 1, gsoSize: 1000, hdrLen: 54 };
  rig.send(1, [header(plain), packet({ checksum: "seeded" })]);
  rig.send(1, [header(large), packet({ payload: 3000, checksum: "seeded" })]);
  const frames = rig.net.takeFrames();
  expect(frames.map(({ bytes }) => bytes)).toEqual([
    packet({ checksum: "seeded" }),
    packet({ payload: 3000, checksum: "seeded" }),
  ]);
  expect(frames[0].header).toMatchObject({ ...plain, gsoType: 0 });
  expect(frames[1].header).toMatchObject(large);
});

describe("a hostile driver", () => {
  it.each<[string, Partial<NetHeader>, number, string]>([
    [
      "csum_start past the end",
      { flags: NEEDS_CSUM, csumStart: 0xffff, csumOffset: 16 },
      100,
      "tx_drop_csum",
    ],
    [
      "csum_offset past the end",
      { flags: NEEDS_CSUM, csumStart: 34, csumOffset: 0xffff },
      100,
      "tx_drop_csum",
    ],
    [
      "a checksum one byte past the end",
      { flags: NEEDS_CSUM, csumStart: 34, csumOffset: 119 },
      100,
      "tx_drop_csum",
    ],
    ["gso_size 0", { flags: NEEDS_CSUM, gsoType: 1, gsoSize: 0, ...CSUM_AT }, 3000, "tx_drop_gso"],
    ["segmentation without NEEDS_CSUM", { gsoType: 1, gsoSize: 100, ...CSUM_AT }, 3000, "tx_drop_gso"],
    [
      "csum_start in the middle of a large frame",
      { flags: NEEDS_CSUM, gsoType: 1, gsoSize: 99, csumStart: 40, csumOffset: 16 },
      3000,
      "tx_drop_gso",
    ],
    [
      "the wrong version of IP",
      { flags: NEEDS_CSUM, gsoType: 4, gsoSize: 100, ...CSUM_AT },
      3000,
      "tx_drop_gso",
    ],
    ["an unknown kind", { flags: NEEDS_CSUM, gsoType: 2, gsoSize: 100, ...CSUM_AT }, 3000, "tx_drop_header"],
    [
      "a kind that was not negotiated",
      { flags: NEEDS_CSUM, gsoType: 3, gsoSize: 100, ...CSUM_AT },
      3000,
      "tx_drop_header",
    ],
    [
      "ECN that was not negotiated",
      { flags: NEEDS_CSUM, gsoType: 0x81, gsoSize: 100, ...CSUM_AT },
      3000,
      "tx_drop_header",
    ],
    [
      "a tunnel that was not negotiated",
      { flags: NEEDS_CSUM, gsoType: 0x21, gsoSize: 100, ...CSUM_AT },
      3000,
      "tx_drop_header",
    ],
  ])("with %s loses that frame, and the next one goes through", async (_name, values, payload, counter) => {
    const rig = await rawDriverRig({ features: TSO });
    rig.send(1, [header(values), packet({ payload, checksum: "seeded" })]);
    rig.send(1, [header({}), otherFrame()]);
    expect(rig.net.takeFrames().map(({ bytes }) => bytes)).toEqual([otherFrame()]);
    expect(rig.net.statistics()).toMatchObject({ [counter]: 1, tx_drops: 1, tx_packets: 1 });
    expect(rig.driver.queue(1).reclaim()).toHaveLength(2);
    expect(rig.device.readStatus() & 64).toBe(0);
  });

  it("with buffers that hold no frame, or too long a one, loses those", async () => {
    const rig = await rawDriverRig({ features: F.CSUM });
    for (const bytes of [1, 11, 12, 25]) rig.send(1, [new Uint8Array(bytes)]);
    rig.send(1, [new Uint8Array(12 + 65590)]);
    rig.send(1, [header({}), otherFrame(14)]);
    expect(rig.net.takeFrames().map(({ bytes }) => bytes)).toEqual([otherFrame(14)]);
    expect(rig.net.statistics()).toMatchObject({ tx_drop_short: 4, tx_drop_oversize: 1, tx_drops: 5 });
  });

  it("without CSUM that asks for it loses that frame", async () => {
    const rig = await rawDriverRig({ features: 0n });
    rig.send(1, [header({ flags: NEEDS_CSUM, ...CSUM_AT }), packet()]);
    expect(rig.net.takeFrames()).toEqual([]);
    expect(rig.net.statistics()).toMatchObject({ tx_drop_header: 1 });
  });

  it("that resets in the middle of a large frame loses what was not sent yet, and that is counted", async () => {
    const rig = await rawDriverRig({ features: TSO, engine: { net: { records: 32, frameBytes: 65600 } } });
    const large = header({ flags: NEEDS_CSUM, gsoType: 1, gsoSize: 100, ...CSUM_AT });
    rig.send(1, [large, packet({ payload: 6000, checksum: "seeded" })]);
    expect(rig.net.transmit()).toBeGreaterThan(0);
    rig.driver.start();
    rig.send(1, [header({}), otherFrame()]);
    expect(rig.net.takeFrames().map(({ bytes }) => bytes)).toEqual([otherFrame()]);
    expect(rig.net.statistics()).toMatchObject({ tx_drop_reset: 1 });
  });
});

it("N-V-01: options outside of the specification's ranges are refused", async () => {
  for (const device of [
    { mtu: 67 },
    { mtu: 65536 },
    { pairs: 0 },
    { pairs: 2 },
    { speed: 0x80000000 },
    { mac: "1" },
  ])
    await expect(rawDriverRig({ device })).rejects.toMatchObject({ code: "config" });
  const rig = await rawDriverRig({ device: { mtu: 68 }, engine: {} });
  const config = (): number[] => Array.from({ length: 28 }, (_, at) => rig.device.readConfig(at, 1));
  const before = config();
  expect(before.slice(0, 6)).toEqual(MAC.split(":").map((byte) => Number.parseInt(byte, 16)));
  expect(before[10] | (before[11] << 8)).toBe(68);
  expect(before[17]).toBeGreaterThanOrEqual(40);
  expect(before[18] | (before[19] << 8)).toBeGreaterThanOrEqual(128);
  rig.driver.start();
  expect(config()).toEqual(before);
});
