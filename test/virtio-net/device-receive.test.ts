/** What our device half puts into a driver's receive buffers, and in front of it (5.1.9.4). */
import { describe, expect, it } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { type NetHeader, readNetHeader } from "../../src/net-records.ts";
import { Random } from "../support/random.ts";
import { checksumIsRight, headersOf, otherFrame, packet } from "./packets.ts";
import { F, type RawDriverRig, rawDriverRig } from "./rig.ts";

const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const CSUM_AT = { csumStart: headersOf({}).transport, csumOffset: 16 };
const GUEST = F.GUEST_CSUM | F.GUEST_TSO4 | F.GUEST_TSO6 | F.GUEST_USO4 | F.GUEST_USO6;

interface Received {
  header: NetHeader;
  frame: Uint8Array;
  lengths: number[];
}

/** Puts buffers of these sizes into receive queue `queue`, and reads what comes, packet by packet. */
class Reader {
  readonly #rig: RawDriverRig;
  readonly #queue: number;
  readonly #posted: { ptr: number; bytes: number }[][] = [];
  constructor(rig: RawDriverRig, queue = 0) {
    this.#rig = rig;
    this.#queue = queue;
  }
  post(...buffers: readonly (readonly number[])[]): void {
    for (const sizes of buffers) this.#posted.push(this.#rig.post(this.#queue, sizes));
  }
  /** Buffers come back in the order in which they were posted. */
  read(headerBytes = 12): Received[] {
    const { engine, driver } = this.#rig;
    const used = driver.queue(this.#queue).reclaim();
    const packets: Received[] = [];
    while (used.length > 0) {
      let buffers = 1;
      const pieces: number[] = [];
      const lengths: number[] = [];
      for (let k = 0; k < buffers; k++) {
        const taken = used.shift();
        const elements = this.#posted.shift();
        if (taken === undefined || elements === undefined) throw new Error("a packet's buffer is missing");
        const bytes = elements.flatMap(({ ptr, bytes: count }) => [...engine.bytes(ptr, count)]);
        // Bytes past the reported length are as they were.
        expect(bytes.slice(taken.len).every((byte) => byte === 0xee)).toBe(true);
        pieces.push(...bytes.slice(0, taken.len));
        lengths.push(taken.len);
        if (k === 0) buffers = pieces[10] | (pieces[11] << 8);
      }
      const header = readNetHeader(new DataView(Uint8Array.from(pieces).buffer), 0, headerBytes);
      packets.push({ header, frame: Uint8Array.from(pieces.slice(headerBytes)), lengths });
    }
    return packets;
  }
}

describe.each(RING_FORMATS)("%s", (format) => {
  it("N-V-05, N-V-06: a packet fills its buffers to the end but for the last, and num_buffers counts them", async () => {
    const rig = await rawDriverRig({ format, features: F.MRG_RXBUF });
    const reader = new Reader(rig);
    const random = new Random(5);
    const sizes = Array.from({ length: 60 }, () => random.pick([13, 64, 200, 2048]));
    reader.post(...sizes.map((size) => [size]));
    const frames = Array.from({ length: 8 }, (_, k) => otherFrame(random.int(14, 300), undefined, k));
    expect(rig.net.giveFrames(frames.map((bytes) => ({ bytes })))).toBe(8);
    let at = 0;
    const packets = reader.read();
    expect(packets.map(({ frame }) => frame)).toEqual(frames);
    for (const { header, lengths } of packets) {
      expect(header.numBuffers).toBe(lengths.length);
      expect(lengths.slice(0, -1)).toEqual(sizes.slice(at, at + lengths.length - 1));
      at += lengths.length;
    }
  });

  it.each([-1, 0, 1])(
    "N-V-05: a packet of k buffers and %i byte takes as many as it needs",
    async (extra) => {
      const rig = await rawDriverRig({ format, features: F.MRG_RXBUF });
      const reader = new Reader(rig);
      for (let k = 1; k <= 5; k++) {
        reader.post(...new Array(k + 1).fill([100]));
        rig.net.giveFrames([{ bytes: otherFrame(100 * k - 12 + extra) }]);
        const [{ lengths, header }] = reader.read();
        expect(header.numBuffers).toBe(extra > 0 ? k + 1 : k);
        expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(100 * k + extra);
        // The buffer that is left over is used up before the next round.
        if (extra <= 0) {
          rig.net.giveFrames([{ bytes: otherFrame(20) }]);
          expect(reader.read()).toHaveLength(1);
        }
      }
    },
  );

  it("N-V-05: without MRG_RXBUF a packet takes one buffer, however it is cut, or is dropped", async () => {
    const rig = await rawDriverRig({ format, features: 0n, reserved: 0n });
    const reader = new Reader(rig);
    reader.post([5, 7, 100, 1], [113], [112], [113]);
    expect(rig.net.giveFrames([101, 102, 101, 101].map((bytes) => ({ bytes: otherFrame(bytes) })))).toBe(4);
    // The third buffer is too small for what comes then, and stays for a packet that it holds.
    expect(rig.net.statistics()).toMatchObject({ rx_packets: 2, rx_drop_oversize: 2, rx_drops: 2 });
    rig.net.giveFrames([{ bytes: otherFrame(100) }]);
    const packets = reader.read();
    expect(packets.map(({ frame, header }) => [frame.length, header.numBuffers])).toEqual([
      [101, 1],
      [101, 1],
      [100, 1],
    ]);
  });

  it("N-V-07: the buffers of a packet become visible together", async () => {
    const rig = await rawDriverRig({ format, features: F.MRG_RXBUF });
    const reader = new Reader(rig);
    reader.post(...new Array(40).fill([64]));
    // More buffers than are marked used at once: the batch of the engine is 32.
    rig.net.giveFrames([{ bytes: otherFrame(64 * 36 - 12) }]);
    expect(rig.driver.queue(0).counters().reclaimed).toBe(0);
    const device = rig.device.queue(0);
    expect(device?.counters()).toMatchObject({ used: 36, publishes: 1 });
    expect(rig.driver.queue(0).reclaimBurst(40)).toBe(32);
    expect(rig.driver.queue(0).reclaimBurst(40)).toBe(4);
  });

  it("N-V-08: without GUEST_CSUM the flags are 0 and an open checksum is completed, in a copy", async () => {
    const rig = await rawDriverRig({ format, features: 0n });
    const reader = new Reader(rig);
    reader.post([2000], [2000], [2000]);
    const open = packet({ checksum: "seeded" });
    const header = { flags: NEEDS_CSUM, ...CSUM_AT };
    rig.net.giveFrames([
      { bytes: open, header },
      { bytes: packet() },
      { bytes: packet({ checksum: "wrong" }) },
    ]);
    const packets = reader.read();
    expect(packets.map(({ header: { flags } }) => flags)).toEqual([0, 0, 0]);
    expect(packets.map(({ frame }) => frame)).toEqual([packet(), packet(), packet({ checksum: "wrong" })]);
    expect(rig.engine.bytes(rig.net.receiveArea.ptr, open.length)).toEqual(open);
  });

  it("N-V-13: DATA_VALID comes after a real check only", async () => {
    const rig = await rawDriverRig({ format, features: F.GUEST_CSUM });
    const reader = new Reader(rig);
    const shapes = [
      {},
      { version: 6 },
      { protocol: "udp" },
      { version: 6, protocol: "udp", vlan: 3 },
    ] as const;
    for (const shape of shapes) {
      reader.post([2000], [2000]);
      rig.net.giveFrames([{ bytes: packet(shape) }, { bytes: packet({ ...shape, checksum: "wrong" }) }]);
      expect(reader.read().map(({ header }) => header.flags)).toEqual([DATA_VALID, 0]);
    }
    reader.post([2000]);
    rig.net.giveFrames([{ bytes: otherFrame() }]);
    expect(reader.read().map(({ header }) => header.flags)).toEqual([0]);
    expect(rig.net.statistics()).toMatchObject({ rx_csum_valid: 4, rx_csum_bad: 4, rx_csum_none: 1 });
  });

  it("N-V-10: an open checksum is passed on with its seed and place; one that can't be is refused", async () => {
    const rig = await rawDriverRig({ format, features: F.GUEST_CSUM });
    const reader = new Reader(rig);
    const bytes = packet({ checksum: "seeded" });
    reader.post([2000]);
    rig.net.giveFrames([
      { bytes, header: { flags: NEEDS_CSUM, csumStart: 0xffff, csumOffset: 16 } },
      { bytes, header: { flags: NEEDS_CSUM, csumStart: 34, csumOffset: bytes.length } },
      { bytes, header: { flags: NEEDS_CSUM, ...CSUM_AT } },
    ]);
    const [{ header, frame }] = reader.read();
    expect(header).toMatchObject({ flags: NEEDS_CSUM, gsoType: 0, ...CSUM_AT });
    expect(frame).toEqual(bytes);
    expect(rig.net.statistics()).toMatchObject({ rx_drop_header: 2, rx_needs_csum: 1 });
  });
});

describe("segmentation", () => {
  const KINDS = [
    [{ version: 4, protocol: "tcp" }, F.GUEST_TSO4, 1],
    [{ version: 6, protocol: "tcp" }, F.GUEST_TSO6, 4],
    [{ version: 4, protocol: "udp" }, F.GUEST_USO4, 5],
    [{ version: 6, protocol: "udp" }, F.GUEST_USO6, 5],
  ] as const;

  it("N-V-09, N-V-11, N-B-08: kinds that were negotiated are passed on whole, the others are segmented", async () => {
    for (const features of [
      0n,
      F.GUEST_CSUM,
      F.GUEST_CSUM | F.GUEST_TSO4,
      F.GUEST_CSUM | F.GUEST_USO6,
      GUEST,
    ]) {
      const rig = await rawDriverRig({ features: features | F.MRG_RXBUF });
      for (const [shape, feature, gsoType] of KINDS) {
        const reader = new Reader(rig);
        reader.post(...new Array(12).fill([1600]));
        const { transport, payload, checksumOffset } = headersOf(shape);
        const bytes = packet({ ...shape, payload: 4200, checksum: "seeded" });
        const header = {
          flags: NEEDS_CSUM,
          gsoType,
          gsoSize: 1000,
          csumStart: transport,
          csumOffset: checksumOffset,
        };
        rig.net.giveFrames([{ bytes, header }]);
        const packets = reader.read();
        if (features & feature) {
          expect(packets).toHaveLength(1);
          expect(packets[0].header).toMatchObject({ ...header, hdrLen: payload, numBuffers: 3 });
          expect(packets[0].frame).toEqual(bytes);
        } else {
          expect(packets).toHaveLength(5);
          for (const { header: plain, frame } of packets) {
            expect(plain).toMatchObject({
              flags: features & F.GUEST_CSUM ? DATA_VALID : 0,
              gsoType: 0,
              gsoSize: 0,
            });
            expect(checksumIsRight(frame, shape)).toBe(true);
          }
          expect(packets.flatMap(({ frame }) => [...frame.subarray(payload)])).toEqual([
            ...bytes.subarray(payload),
          ]);
        }
        // What is left of the buffers goes back with a reset.
        rig.driver.start();
      }
    }
  });

  it("N-V-09: ECN is passed on with GUEST_ECN only", async () => {
    for (const features of [GUEST, GUEST | F.GUEST_ECN]) {
      const rig = await rawDriverRig({ features: features | F.MRG_RXBUF });
      const reader = new Reader(rig);
      reader.post(...new Array(12).fill([1600]));
      const bytes = packet({ payload: 3000, checksum: "seeded", tcpFlags: 0x90 });
      rig.net.giveFrames([
        { bytes, header: { flags: NEEDS_CSUM, gsoType: 0x81, gsoSize: 1000, ...CSUM_AT } },
      ]);
      const types = reader.read().map(({ header }) => header.gsoType);
      expect(types).toEqual(features & F.GUEST_ECN ? [0x81] : [0, 0, 0]);
    }
  });

  it("N-V-11, N-V-12: a large frame of the host's has NEEDS_CSUM and a gso_size, and RSC_INFO is never set", async () => {
    const rig = await rawDriverRig({ features: GUEST | F.MRG_RXBUF | F.HOST_TSO4 | F.CSUM | F.RSC_EXT });
    expect(rig.driver.features & F.RSC_EXT).toBe(0n);
    const reader = new Reader(rig);
    reader.post(...new Array(12).fill([4000]));
    const bytes = packet({ payload: 3000, checksum: "seeded" });
    const large = { gsoType: 1, gsoSize: 1000, ...CSUM_AT };
    rig.net.giveFrames([
      { bytes, header: large },
      { bytes, header: { ...large, flags: NEEDS_CSUM, gsoSize: 0 } },
      { bytes, header: { ...large, flags: NEEDS_CSUM, csumStart: 33 } },
      { bytes, header: { ...large, flags: NEEDS_CSUM, gsoType: 4 } },
      { bytes, header: { ...large, flags: NEEDS_CSUM | 4 } },
    ]);
    const packets = reader.read();
    expect(packets.map(({ header }) => header.flags)).toEqual([NEEDS_CSUM]);
    expect(rig.net.statistics()).toMatchObject({ rx_drop_header: 2, rx_drop_gso: 2, rx_gso_packets: 1 });
  });

  it("N-V-14: a tunnel is passed on with its features and offsets, and segmented without", async () => {
    const inner = packet({ payload: 3000, checksum: "seeded" });
    const payload = Uint8Array.of(8, 0, 0, 0, 0, 0, 1, 0, ...inner);
    const bytes = packet({ protocol: "udp", payload, destinationPort: 4789, checksum: "seeded" });
    const header = {
      flags: NEEDS_CSUM | 8,
      gsoType: 0x21,
      gsoSize: 1000,
      csumStart: 84,
      csumOffset: 16,
      outerTransport: 34,
      innerNetwork: 64,
    };
    const tunnels = GUEST | F.GUEST_UDP_TUNNEL_GSO;
    for (const features of [tunnels | F.GUEST_UDP_TUNNEL_GSO_CSUM, tunnels, GUEST]) {
      const rig = await rawDriverRig({ features: features | F.MRG_RXBUF });
      const reader = new Reader(rig);
      reader.post(...new Array(6).fill([4000]));
      rig.net.giveFrames([{ bytes, header }]);
      const packets = reader.read(features & F.GUEST_UDP_TUNNEL_GSO ? 24 : 12);
      if (features & F.GUEST_UDP_TUNNEL_GSO_CSUM) {
        expect(packets).toHaveLength(1);
        expect(packets[0].header).toMatchObject({ ...header, hdrLen: 104 });
        expect(packets[0].frame).toEqual(bytes);
      } else {
        expect(packets.map((one) => [one.header.gsoType, one.header.flags])).toEqual([
          [0, DATA_VALID],
          [0, DATA_VALID],
          [0, DATA_VALID],
        ]);
        for (const { frame } of packets) {
          expect(checksumIsRight(frame.slice(50), {})).toBe(true);
          expect(checksumIsRight(frame, { protocol: "udp" })).toBe(true);
        }
      }
    }
  });

  it("puts segments of one flow together where the driver takes that, and leaves other frames in their order", async () => {
    const rig = await rawDriverRig({ features: GUEST | F.MRG_RXBUF, device: { coalesce: true } });
    const reader = new Reader(rig);
    reader.post(...new Array(40).fill([2000]));
    const segment = (k: number, sourcePort = 40000): Uint8Array =>
      packet({ payload: 1000, sequence: 1000 + 1000 * k, id: 100 + k, sourcePort });
    const frames = [
      segment(0),
      segment(1),
      segment(0, 50000),
      segment(2),
      otherFrame(),
      segment(9),
      segment(3),
    ];
    expect(rig.net.giveFrames(frames.map((bytes) => ({ bytes })))).toBe(7);
    const packets = reader.read();
    const large = packets.filter(({ header }) => header.gsoType === 1);
    expect(large).toHaveLength(1);
    expect(large[0].header).toMatchObject({ flags: NEEDS_CSUM, gsoSize: 1000, hdrLen: 54, ...CSUM_AT });
    const bytes = packets.reduce(
      (sum, { frame, header }) => sum + frame.length - (header.gsoType ? 54 : 0),
      0,
    );
    expect(bytes).toBe(3 * 1000 + 3 * 1054 + 60);
    expect(rig.net.statistics()).toMatchObject({ rx_gso_packets_coalesced: 1, rx_drops: 0 });
  });
});

it("N-B-04: a frame of mtu + 14 bytes is delivered, one byte more is not", async () => {
  const rig = await rawDriverRig({ features: F.MTU, device: { mtu: 1000 } });
  const reader = new Reader(rig);
  reader.post([1100], [1100]);
  rig.net.giveFrames([{ bytes: otherFrame(1014) }, { bytes: otherFrame(1015) }]);
  expect(reader.read().map(({ frame }) => frame.length)).toEqual([1014]);
  expect(rig.net.statistics()).toMatchObject({ rx_drop_mtu: 1 });
});

it("drops by cause: too short, too long, link down, no buffer; with hold, what has no buffer waits", async () => {
  const rig = await rawDriverRig({ features: F.STATUS });
  const reader = new Reader(rig);
  rig.net.giveFrames([{ bytes: otherFrame().subarray(0, 13) }, { bytes: otherFrame() }]);
  rig.net.link = false;
  rig.net.giveFrames([{ bytes: otherFrame() }]);
  expect(rig.net.statistics()).toMatchObject({
    rx_drop_length: 1,
    rx_drop_overruns: 1,
    rx_drop_link_down: 1,
    rx_drops: 3,
  });
  expect(rig.configChanges()).toBe(1);

  const holding = await rawDriverRig({ features: F.MRG_RXBUF, device: { hold: true } });
  const patient = new Reader(holding);
  patient.post([100]);
  const frames = [1, 2, 3].map((k) => ({ bytes: otherFrame(60, undefined, k) }));
  expect(holding.net.giveFrames(frames)).toBe(1);
  expect(holding.net.giveFrames(frames.slice(1))).toBe(0);
  patient.post([40], [40], [100]);
  expect(holding.net.giveFrames(frames.slice(1))).toBe(2);
  expect(patient.read().map(({ frame }) => frame)).toEqual(frames.map(({ bytes }) => bytes));
  expect(holding.net.statistics()).toMatchObject({ rx_packets: 3, rx_drops: 0 });
  expect(reader.read()).toEqual([]);
});

describe("a hostile driver", () => {
  it.each([
    ["smaller than the header", [11]],
    ["without a writable part", []],
  ])("with a receive buffer %s breaks its queue, and recovers by a reset", async (_name, sizes) => {
    const rig = await rawDriverRig({ features: F.MRG_RXBUF });
    if (sizes.length > 0) new Reader(rig).post(sizes);
    else rig.send(0, [otherFrame()]);
    rig.net.giveFrames([{ bytes: otherFrame() }]);
    expect(rig.device.queue(0)?.violation).toMatchObject({ code: "net-buffer" });
    expect(rig.device.readStatus() & 64).toBe(64);
    expect(rig.configChanges()).toBe(1);
    expect(rig.net.giveFrames([{ bytes: otherFrame() }])).toBe(0);
    rig.driver.start();
    const reader = new Reader(rig);
    reader.post([200]);
    rig.net.giveFrames([{ bytes: otherFrame() }]);
    expect(reader.read().map(({ frame }) => frame)).toEqual([otherFrame()]);
  });

  it("with buffers that together never hold a frame loses the frame, not the buffers", async () => {
    const rig = await rawDriverRig({ features: F.MRG_RXBUF, device: { hold: true } });
    const reader = new Reader(rig);
    reader.post(...new Array(64).fill([14]));
    expect(rig.net.giveFrames([{ bytes: otherFrame(1500) }])).toBe(1);
    expect(rig.net.statistics()).toMatchObject({ rx_drop_oversize: 1, rx_packets: 0 });
    expect(rig.device.readStatus() & 64).toBe(0);
    expect(rig.net.giveFrames([{ bytes: otherFrame(100) }])).toBe(1);
    expect(reader.read()[0].frame).toEqual(otherFrame(100));
  });
});
