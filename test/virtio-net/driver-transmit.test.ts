/** What our driver half puts in front of a frame, and what it does itself where the device can't be asked (5.1.9.2.1). */
import { describe, expect, it } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { checksumIsRight, headersOf, otherFrame, type PacketShape, packet, sum16 } from "./packets.ts";
import { F, MAC, netConfig, netRig, type RawDeviceRig, rawDeviceRig } from "./rig.ts";

/** Every shape with a checksum. */
const SHAPES: PacketShape[] = [4, 6].flatMap((version) =>
  ["tcp", "udp"].flatMap((protocol) =>
    [undefined, 5].map((vlan) => ({ version, protocol, vlan }) as PacketShape),
  ),
);
const CSUM = 1;
const DATA_VALID = 2;
const RSC_INFO = 4;
const TCPV4 = 1;
const TCPV6 = 4;
const UDP_L4 = 5;
const ECN = 0x80;

/** Finishes the checksum as a device would, from what the header says: an independent reading of 5.1.9.2.1. */
function complete(frame: Uint8Array, start: number, offset: number): Uint8Array {
  const done = frame.slice();
  const sum = sum16(done, start) ^ 0xffff;
  new DataView(done.buffer).setUint16(start + offset, sum || 0xffff);
  return done;
}

function takeAll({ takeSent }: RawDeviceRig, queue = 1): NonNullable<ReturnType<RawDeviceRig["takeSent"]>>[] {
  const taken = [];
  for (let sent = takeSent(queue); sent !== null; sent = takeSent(queue)) taken.push(sent);
  return taken;
}

const GSO = F.CSUM | F.HOST_TSO4 | F.HOST_TSO6 | F.HOST_USO;

describe.each(RING_FORMATS)("%s", (format) => {
  it("N-D-06: with NEEDS_CSUM the field is seeded, and summing from csum_start to the end completes it", async () => {
    const rig = await rawDeviceRig({ format, features: F.CSUM });
    for (const shape of SHAPES) {
      const whole = packet(shape);
      expect(rig.drv.sendFrames([{ bytes: packet({ ...shape, checksum: "none" }), checksum: true }])).toBe(1);
      const [{ header, frame }] = takeAll(rig);
      const { transport, checksumOffset } = headersOf(shape);
      expect(header).toMatchObject({
        flags: CSUM,
        gsoType: 0,
        csumStart: transport,
        csumOffset: checksumOffset,
      });
      expect(complete(frame, header.csumStart, header.csumOffset)).toEqual(whole);
    }
  });

  it("N-D-04: without CSUM the flags are 0 and the frame carries its whole checksum", async () => {
    const rig = await rawDeviceRig({ format, features: 0n });
    for (const shape of SHAPES) {
      const { transport, checksumOffset } = headersOf(shape);
      const asked = [
        { bytes: packet({ ...shape, checksum: "none" }), checksum: true },
        {
          bytes: packet({ ...shape, checksum: "seeded" }),
          header: { flags: CSUM, csumStart: transport, csumOffset: checksumOffset },
        },
      ];
      for (const frame of asked) {
        expect(rig.drv.sendFrames([frame])).toBe(1);
        const [{ headerBytes, frame: sent }] = takeAll(rig);
        expect(headerBytes).toEqual(new Uint8Array(12));
        expect(sent).toEqual(packet(shape));
      }
    }
    expect(rig.drv.statistics()).toMatchObject({ tx_csum_software: 2 * SHAPES.length, tx_csum_offload: 0 });
  });

  it("N-D-03: num_buffers is 0 in every header, whatever lay there", async () => {
    const rig = await rawDeviceRig({ format, features: GSO | F.MRG_RXBUF });
    const { ptr, bytes } = rig.engine.buffers;
    rig.engine.bytes(ptr + bytes - 4096, 4096).fill(0xa5);
    for (let round = 0; round < 3; round++) {
      rig.drv.sendFrames([
        { bytes: packet(), header: { numBuffers: 0xffff } },
        { bytes: packet({ payload: 4000 }), checksum: true, header: { gsoSize: 1000, numBuffers: 7 } },
      ]);
      for (const { headerBytes } of takeAll(rig)) expect([...headerBytes.slice(10, 12)]).toEqual([0, 0]);
    }
  });

  it("N-D-09: what a received header said is not sent on", async () => {
    const rig = await rawDeviceRig({ format, features: F.CSUM | F.HASH_REPORT | F.CTRL_VQ });
    rig.drv.sendFrames([
      {
        bytes: packet(),
        header: {
          flags: DATA_VALID | RSC_INFO,
          csumStart: 9,
          csumOffset: 9,
          hashValue: 0x1234,
          hashReport: 2,
        },
      },
    ]);
    const [{ headerBytes, frame }] = takeAll(rig);
    expect(headerBytes).toEqual(new Uint8Array(20));
    expect(frame).toEqual(packet());
  });
});

describe("segmentation", () => {
  const large = (
    shape: PacketShape,
    gsoSize = 1000,
    tcpFlags = 0x10,
  ): { bytes: Uint8Array; checksum: boolean; header: { gsoSize: number } } => ({
    bytes: packet({ ...shape, payload: 4500, checksum: "none", tcpFlags }),
    checksum: true,
    header: { gsoSize },
  });
  const KINDS: [PacketShape, bigint, number][] = [
    [{ version: 4, protocol: "tcp" }, F.HOST_TSO4, TCPV4],
    [{ version: 6, protocol: "tcp" }, F.HOST_TSO6, TCPV6],
    [{ version: 4, protocol: "udp" }, F.HOST_USO, UDP_L4],
    [{ version: 6, protocol: "udp" }, F.HOST_USO, UDP_L4],
  ];

  it("N-D-05: gso_type names only kinds whose feature is there; the others are cut in software", async () => {
    for (const features of [
      0n,
      F.CSUM,
      F.CSUM | F.HOST_TSO4,
      F.CSUM | F.HOST_TSO6,
      F.CSUM | F.HOST_USO,
      GSO,
    ]) {
      const rig = await rawDeviceRig({ features });
      for (const [shape, feature, kind] of KINDS) {
        expect(rig.drv.sendFrames([large(shape)])).toBe(1);
        const sent = takeAll(rig);
        if (features & feature) {
          expect(sent).toHaveLength(1);
          expect(sent[0].header).toMatchObject({ flags: CSUM, gsoType: kind, gsoSize: 1000 });
          continue;
        }
        expect(sent).toHaveLength(5);
        for (const { header, frame } of sent) {
          expect(header).toMatchObject({ flags: 0, gsoType: 0, gsoSize: 0 });
          expect(checksumIsRight(frame, shape)).toBe(true);
        }
        const { payload } = headersOf(shape);
        const joined = sent.flatMap(({ frame }) => [...frame.subarray(payload)]);
        expect(joined).toEqual([...large(shape).bytes.subarray(payload)]);
      }
    }
  });

  it("N-D-05: ECN is asked for with HOST_ECN only, and then with its bit", async () => {
    const cwr = large({ version: 4 }, 1000, 0x90);
    const with_ = await rawDeviceRig({ features: GSO | F.HOST_ECN });
    with_.drv.sendFrames([cwr]);
    expect(takeAll(with_).map(({ header }) => header.gsoType)).toEqual([TCPV4 | ECN]);
    const without = await rawDeviceRig({ features: GSO });
    without.drv.sendFrames([cwr]);
    const sent = takeAll(without);
    expect(sent.map(({ header }) => header.gsoType)).toEqual([0, 0, 0, 0, 0]);
    // CWR goes out once.
    expect(sent.map(({ frame }) => frame[47] & 0x80)).toEqual([0x80, 0, 0, 0, 0]);
  });

  it("N-D-07: a frame to be segmented always has NEEDS_CSUM and a gso_size", async () => {
    const rig = await rawDeviceRig({ features: GSO });
    for (const [shape] of KINDS) {
      for (const gsoSize of [0, 1, 999, 4500, 65535]) rig.drv.sendFrames([large(shape, gsoSize)]);
      for (const { header } of takeAll(rig)) {
        expect(header.gsoType === 0 || (header.flags === CSUM && header.gsoSize > 0)).toBe(true);
      }
    }
    const { transport } = headersOf({});
    const bytes = packet({ payload: 3000 });
    const parts = { csumStart: transport, csumOffset: 16 };
    for (const header of [
      { flags: 0, gsoType: TCPV4, gsoSize: 1000, ...parts },
      { flags: CSUM, gsoType: TCPV4, gsoSize: 0, ...parts },
      { flags: CSUM, gsoType: TCPV6, gsoSize: 1000, ...parts },
      { flags: CSUM, gsoType: 2, gsoSize: 1000, ...parts },
      { flags: CSUM, gsoType: UDP_L4 | ECN, gsoSize: 1000, ...parts },
    ]) {
      expect(() => rig.drv.sendFrames([{ bytes, header }])).toThrow(
        expect.objectContaining({ code: "net-gso" }),
      );
      expect(takeAll(rig)).toEqual([]);
    }
  });

  it("N-D-08: hdr_len is the length of the headers, with GUEST_HDRLEN and without", async () => {
    for (const features of [GSO, GSO | F.GUEST_HDRLEN]) {
      const rig = await rawDeviceRig({ features });
      expect(rig.driver.features & F.GUEST_HDRLEN).toBe(features & F.GUEST_HDRLEN);
      for (const [shape] of KINDS) {
        for (const vlan of [undefined, 7]) {
          rig.drv.sendFrames([large({ ...shape, vlan })]);
          expect(takeAll(rig).map(({ header }) => header.hdrLen)).toEqual([
            headersOf({ ...shape, vlan }).payload,
          ]);
        }
      }
    }
  });

  it("refuses what can't be cut, and what has more segments than the ring has entries", async () => {
    const rig = await rawDeviceRig({ features: 0n });
    expect(() => rig.drv.sendFrames([large({}, 10)])).toThrow(expect.objectContaining({ code: "net-gso" }));
    expect(() =>
      rig.drv.sendFrames([{ bytes: otherFrame(), checksum: true, header: { gsoSize: 9 } }]),
    ).toThrow(expect.objectContaining({ code: "net-gso" }));
    expect(rig.drv.sendFrames([{ bytes: otherFrame(), checksum: true }])).toBe(1);
    expect(takeAll(rig).map(({ frame }) => frame)).toEqual([otherFrame()]);
  });
});

describe("tunnels", () => {
  /** UDP over IPv4 that carries VXLAN, Ethernet and TCP over IPv4 or IPv6. */
  function vxlan(version: 4 | 6): {
    bytes: Uint8Array;
    outerTransport: number;
    innerNetwork: number;
    transport: number;
  } {
    const inner = packet({ version, payload: 3000, checksum: "seeded" });
    const payload = Uint8Array.of(8, 0, 0, 0, 0, 0, 1, 0, ...inner);
    const bytes = packet({ protocol: "udp", payload, destinationPort: 4789, checksum: "seeded" });
    return {
      bytes,
      outerTransport: 34,
      innerNetwork: 50 + 14,
      transport: 50 + headersOf({ version }).transport,
    };
  }
  const TUNNEL = GSO | F.HOST_UDP_TUNNEL_GSO | F.HOST_UDP_TUNNEL_GSO_CSUM;

  it.each([
    [4, TCPV4 | 0x20],
    [6, TCPV6 | 0x40],
  ] as const)(
    "N-D-10: IPv%i in a tunnel has one tunnel bit, both offsets, and csum_start at the inner transport",
    async (version, gsoType) => {
      const { bytes, outerTransport, innerNetwork, transport } = vxlan(version);
      const header = {
        flags: CSUM,
        gsoType,
        gsoSize: 1000,
        csumStart: transport,
        csumOffset: 16,
        outerTransport,
        innerNetwork,
      };
      const rig = await rawDeviceRig({ features: TUNNEL });
      rig.drv.sendFrames([{ bytes, header }]);
      const [sent] = takeAll(rig);
      expect(rig.drv.headerBytes).toBe(24);
      expect(sent.header).toMatchObject({ ...header, hdrLen: transport + 20, numBuffers: 0 });
      expect(sent.frame).toEqual(bytes);

      const without = await rawDeviceRig({ features: GSO });
      without.drv.sendFrames([{ bytes, header }]);
      const segments = takeAll(without);
      expect(segments.map((one) => [one.header.flags, one.header.gsoType])).toEqual([
        [0, 0],
        [0, 0],
        [0, 0],
      ]);
      for (const { frame } of segments) expect(checksumIsRight(frame.slice(50), { version })).toBe(true);
    },
  );

  it("N-D-11: UDP_TUNNEL_CSUM goes with a tunnel bit and the feature only; else the outer checksum is final", async () => {
    const { bytes, outerTransport, innerNetwork, transport } = vxlan(4);
    const header = {
      flags: CSUM | 8,
      gsoType: TCPV4 | 0x20,
      gsoSize: 1000,
      csumStart: transport,
      csumOffset: 16,
      outerTransport,
      innerNetwork,
    };
    const rig = await rawDeviceRig({ features: TUNNEL });
    rig.drv.sendFrames([{ bytes, header }]);
    expect(takeAll(rig)[0].header.flags).toBe(CSUM | 8);
    const without = await rawDeviceRig({ features: TUNNEL & ~F.HOST_UDP_TUNNEL_GSO_CSUM });
    without.drv.sendFrames([{ bytes, header }]);
    const segments = takeAll(without);
    expect(segments).toHaveLength(3);
    for (const { header: sent, frame } of segments) {
      expect(sent.flags).toBe(0);
      expect(checksumIsRight(frame, { protocol: "udp" })).toBe(true);
      expect(checksumIsRight(frame.slice(50), {})).toBe(true);
    }
    for (const wrong of [
      { ...header, gsoType: TCPV4 },
      { ...header, gsoType: TCPV4 | 0x60 },
      { ...header, gsoType: 0x20 },
    ]) {
      expect(() => rig.drv.sendFrames([{ bytes, header: wrong }])).toThrow(
        expect.objectContaining({ code: "net-header" }),
      );
    }
  });
});

describe("the configuration space", () => {
  it("N-B-04: frames up to mtu + 14 are sent, one byte more is refused; a VLAN tag does not count", async () => {
    const { drv, net } = await netRig({ device: { mtu: 1000 }, features: F.MTU });
    expect(drv.config.mtu).toBe(1000);
    expect(drv.sendFrames([{ bytes: otherFrame(1014) }, { bytes: packet({ vlan: 3, payload: 960 }) }])).toBe(
      2,
    );
    expect(net.takeFrames().map(({ bytes }) => bytes.length)).toEqual([1014, 1018]);
    for (const bytes of [otherFrame(1015), packet({ vlan: 3, payload: 961 })])
      expect(() => drv.sendFrames([{ bytes }])).toThrow(expect.objectContaining({ code: "net-mtu" }));
    expect(net.takeFrames()).toEqual([]);
  });

  it("N-B-05: outer_nh_offset is where the network header starts, with OUT_NET_HEADER only", async () => {
    const rig = await rawDeviceRig({ features: F.OUT_NET_HEADER });
    rig.drv.sendFrames([{ bytes: packet() }, { bytes: packet({ vlan: 1 }) }]);
    expect(takeAll(rig).map(({ header, headerBytes }) => [header.outerNetwork, headerBytes.length])).toEqual([
      [14, 32],
      [18, 32],
    ]);
    const without = await rawDeviceRig({ features: F.HASH_REPORT | F.CTRL_VQ });
    without.drv.sendFrames([{ bytes: packet() }]);
    expect(takeAll(without)[0].headerBytes).toEqual(new Uint8Array(20));
  });

  it("N-D-01: the address is the device's or a locally administered one; the link is up without STATUS", async () => {
    const config = netConfig({ mac: [0x52, 0x54, 0, 9, 8, 7], status: 0 });
    const all = await rawDeviceRig({ features: F.MAC | F.STATUS, config });
    expect([...all.drv.config.mac]).toEqual([0x52, 0x54, 0, 9, 8, 7]);
    expect(all.drv.config.linkUp).toBe(false);
    all.raw.core.changeConfig(6, Uint8Array.of(1));
    expect(all.drv.config.linkUp).toBe(true);
    const none = await rawDeviceRig({ features: 0n, config });
    expect(none.drv.config.mac[0] & 3).toBe(2);
    expect(none.drv.config.linkUp).toBe(true);
    const given = await rawDeviceRig({ features: 0n, config, driver: { mac: MAC } });
    expect([...given.drv.config.mac]).toEqual([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    // Nothing was written: a write would be the device's fault to remember.
    expect([all.device.fault, none.device.fault]).toEqual([null, null]);
  });

  it.each([
    [0, 0, 0, "half"],
    [0x7fffffff, 1, 0x7fffffff, "full"],
    [0x80000000, 2, null, null],
    [0xffffffff, 0xff, null, null],
  ] as const)(
    "N-D-02: speed %i and duplex %i are read as %s and %s, again after a change",
    async (speed, duplex, wanted, word) => {
      const { drv, raw } = await rawDeviceRig({
        features: F.SPEED_DUPLEX,
        config: netConfig({ speed, duplex }),
      });
      expect([drv.config.speed, drv.config.duplex]).toEqual([wanted, word]);
      raw.core.changeConfig(12, Uint8Array.of(100, 0, 0, 0, 1));
      expect([drv.config.speed, drv.config.duplex]).toEqual([100, "full"]);
    },
  );

  it.each([
    ["no queue pair", { pairs: 0 }, F.MQ | F.CTRL_VQ],
    ["too many queue pairs", { pairs: 0x8001 }, F.MQ | F.CTRL_VQ],
    ["an mtu of 67", { mtu: 67 }, F.MTU],
  ] as const)("N-V-01: gives up on a device with %s", async (_name, values, features) => {
    const { driver } = await rawDeviceRig({ features, config: netConfig(values), start: false });
    expect(() => driver.start()).toThrow(expect.objectContaining({ code: "config-value" }));
    expect(driver.status & 128).toBe(128);
  });
});
