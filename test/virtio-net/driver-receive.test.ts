/** What our driver half makes of received packets, from devices that follow the rules (5.1.9.4) and from those that don't. */
import { describe, expect, it } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import type { NetHeader } from "../../src/net-records.ts";
import { Canaries } from "../support/canaries.ts";
import { Random } from "../support/random.ts";
import { headersOf, otherFrame, packet } from "./packets.ts";
import { F, type RawDeviceRig, rawDeviceRig } from "./rig.ts";

const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const RSC_INFO = 4;
const TUNNEL_CSUM = 8;
const LARGE = F.GUEST_CSUM | F.GUEST_TSO4 | F.GUEST_TSO6 | F.GUEST_USO4 | F.GUEST_USO6;

/** Cuts bytes into pieces of these sizes, the rest at the end. */
function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const size of sizes) {
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  if (at < bytes.length) pieces.push(bytes.subarray(at));
  return pieces;
}

describe("N-D-12: receive buffers", () => {
  it.each([
    [0n, 1526],
    [F.HASH_REPORT | F.CTRL_VQ, 1534],
    [F.GUEST_CSUM, 1526],
    [F.OUT_NET_HEADER, 1546],
    [F.GUEST_CSUM | F.GUEST_TSO4, 65601],
    [F.GUEST_CSUM | F.GUEST_TSO6 | F.HASH_REPORT | F.CTRL_VQ, 65609],
    [F.GUEST_CSUM | F.GUEST_UFO, 65601],
    [F.GUEST_CSUM | F.GUEST_USO4, 65601],
    [LARGE | F.GUEST_UDP_TUNNEL_GSO, 65613],
    [LARGE | F.OUT_NET_HEADER, 65621],
    [F.MRG_RXBUF, 2048],
    [F.MRG_RXBUF | LARGE, 2048],
  ] as const)("with features %#x have at least %i bytes", async (features, bytes) => {
    const rig = await rawDeviceRig({ features, driver: { receiveBuffers: 4 } });
    const chains = rig.queue(0).pop(8);
    expect(chains).toHaveLength(4);
    for (const chain of chains) expect([chain.readableBytes, chain.writableBytes]).toEqual([0, bytes]);
  });

  it("of less than a header are not to be had with MRG_RXBUF either", async () => {
    const refused = rawDeviceRig({ features: F.MRG_RXBUF, driver: { receiveBytes: 11 } });
    await expect(refused).rejects.toThrow("N-D-12");
    const least = await rawDeviceRig({
      features: F.MRG_RXBUF,
      driver: { receiveBytes: 12, receiveBuffers: 2 },
    });
    expect(least.queue(0).pop(1)[0].writableBytes).toBe(12);
  });

  it("hold a frame of the device's MTU, a VLAN tag included", async () => {
    const rig = await rawDeviceRig({ features: F.MTU, driver: { receiveBuffers: 1 } });
    expect(rig.queue(0).pop(1)[0].writableBytes).toBe(12 + 14 + 4 + 1500);
  });
});

it("N-D-13: every receive queue that will be used is stocked before the command that uses it", async () => {
  const stocked: number[] = [];
  const rig = await rawDeviceRig({
    pairs: 4,
    features: F.MQ | F.CTRL_VQ,
    start: false,
    driver: { receiveBuffers: 8 },
    onKick: (raw, queue) => {
      if (queue !== 8) return;
      for (let pair = 0; pair < 4; pair++) stocked.push(raw.core.queue(2 * pair)?.pop(16).length ?? -1);
    },
  });
  // The device does not answer, and the driver gives up on it.
  expect(() => rig.driver.start()).toThrow(expect.objectContaining({ code: "command-timeout" }));
  expect(stocked.slice(-4)).toEqual([8, 8, 8, 8]);
});

describe.each(RING_FORMATS)("%s", (format) => {
  it("N-D-16: a packet spans num_buffers buffers with a header in the first only", async () => {
    const rig = await rawDeviceRig({ format, features: F.MRG_RXBUF, driver: { receiveBytes: 600 } });
    const random = new Random(16);
    for (let buffers = 1; buffers <= 17; buffers++) {
      const sizes = Array.from({ length: buffers }, () => random.int(1, 588));
      const bytes = otherFrame(
        sizes.reduce((sum, size) => sum + size, 14),
        undefined,
        buffers,
      );
      rig.give(0, {}, cut(bytes, [Math.min(sizes[0] + 14, 588), ...sizes.slice(1, -1)]));
      const [frame] = rig.drv.receiveFrames();
      expect(frame.bytes).toEqual(bytes);
    }
    expect(rig.drv.statistics()).toMatchObject({ rx_packets: 17, rx_dropped: 0 });
  });

  it("N-D-14: csum_start and csum_offset are read with NEEDS_CSUM and without RSC_INFO only", async () => {
    const rig = await rawDeviceRig({ format, features: F.GUEST_CSUM, driver: { receiveBuffers: 8 } });
    for (const flags of [0, DATA_VALID, RSC_INFO, NEEDS_CSUM | RSC_INFO]) {
      rig.give(0, { flags, csumStart: 0xffff, csumOffset: 0xfffe }, [packet()]);
      const [{ header }] = rig.drv.receiveFrames();
      expect(header).toMatchObject({ csumStart: 0, csumOffset: 0, flags: flags & DATA_VALID });
    }
    rig.give(0, { flags: NEEDS_CSUM, csumStart: 34, csumOffset: 16 }, [packet({ checksum: "seeded" })]);
    expect(rig.drv.receiveFrames()[0].header).toMatchObject({
      flags: NEEDS_CSUM,
      csumStart: 34,
      csumOffset: 16,
    });
    rig.give(0, { flags: NEEDS_CSUM, csumStart: 0xffff, csumOffset: 0xfffe }, [packet()]);
    expect(rig.drv.receiveFrames()).toEqual([]);
    expect(rig.drv.statistics()).toMatchObject({ rx_packets: 5, rx_frame_errors: 1 });
  });

  it("N-D-15: without NEEDS_CSUM and DATA_VALID a checksum is unverified, and software finds a wrong one", async () => {
    const plain = await rawDeviceRig({ format, features: F.GUEST_CSUM });
    plain.give(0, {}, [packet({ checksum: "wrong" })]);
    expect(plain.drv.receiveFrames()[0].header?.flags).toBe(0);
    expect(plain.drv.statistics()).toMatchObject({ rx_csum_none: 1, rx_csum_valid: 0 });
    const checked = await rawDeviceRig({ format, features: F.GUEST_CSUM, driver: { verify: true } });
    checked.give(0, {}, [packet({ checksum: "wrong" })]);
    checked.give(0, {}, [packet()]);
    checked.give(0, {}, [otherFrame()]);
    const frames = checked.drv.receiveFrames();
    expect(frames.map(({ badChecksum, header }) => [badChecksum ?? false, header?.flags])).toEqual([
      [true, 0],
      [false, DATA_VALID],
      [false, 0],
    ]);
    expect(checked.drv.statistics()).toMatchObject({ rx_csum_bad: 1, rx_csum_valid: 1, rx_csum_none: 1 });
  });

  it("N-B-08: hdr_len is a hint, whatever it says", async () => {
    const rig = await rawDeviceRig({ format, features: LARGE | F.MRG_RXBUF });
    const bytes = packet({ payload: 3000, checksum: "seeded" });
    for (const hdrLen of [0, 1, 54, 0xffff]) {
      const header = { flags: NEEDS_CSUM, gsoType: 1, gsoSize: 1000, csumStart: 34, csumOffset: 16, hdrLen };
      rig.give(0, header, cut(bytes, [2036]));
      const [frame] = rig.drv.receiveFrames();
      expect(frame.bytes).toEqual(bytes);
      expect(frame.header).toMatchObject({ ...header, numBuffers: 0 });
    }
  });

  it("N-B-06: flags that are unknown change nothing", async () => {
    const rig = await rawDeviceRig({ format, features: F.GUEST_CSUM });
    for (const flags of [0, DATA_VALID, NEEDS_CSUM]) {
      for (const unknown of [0x10, 0x20, 0x40, 0x80]) {
        rig.give(0, { flags: flags | unknown, csumStart: 34, csumOffset: 16 }, [packet()]);
        const [frame] = rig.drv.receiveFrames();
        expect([frame.bytes, frame.header?.flags]).toEqual([packet(), flags]);
      }
    }
  });

  it("reports a hash, and none of a kind that is unknown", async () => {
    const rig = await rawDeviceRig({ format, features: F.HASH_REPORT | F.CTRL_VQ });
    for (const hashReport of [0, 1, 9, 10, 0xffff])
      rig.give(0, { hashValue: 0xdeadbeef, hashReport }, [packet()]);
    const frames = rig.drv.receiveFrames();
    expect(frames.map(({ header }) => [header?.hashReport, header?.hashValue])).toEqual([
      [0, 0],
      [1, 0xdeadbeef],
      [9, 0xdeadbeef],
      [0, 0],
      [0, 0],
    ]);
    expect(rig.drv.statistics()).toMatchObject({ rx_hash_unknown: 2, rx_packets: 5 });
  });
});

it("N-B-07: of all flags and gso_types the driver takes just those that don't contradict each other", async () => {
  const features = LARGE | F.GUEST_ECN | F.GUEST_UFO | F.GUEST_UDP_TUNNEL_GSO | F.GUEST_UDP_TUNNEL_GSO_CSUM;
  const rig = await rawDeviceRig({ features, driver: { receiveBuffers: 1 } });
  const bytes = packet({ checksum: "seeded" });
  const wrong: string[] = [];
  for (let flags = 0; flags < 256; flags++) {
    for (let gsoType = 0; gsoType < 256; gsoType++) {
      rig.give(0, { flags, gsoType, gsoSize: 500, csumStart: 34, csumOffset: 16 }, [bytes]);
      const taken = rig.drv.receive() === 1;
      const tunnel = gsoType & 0x60;
      const kind = gsoType & 0x1f;
      const tcp = kind === 1 || kind === 4;
      const partial = (flags & NEEDS_CSUM) !== 0 && (flags & RSC_INFO) === 0;
      let sound = kind === 0 || tcp || kind === 3 || kind === 5;
      if (tunnel === 0x60) sound = false;
      if (tunnel !== 0 && (!(flags & NEEDS_CSUM) || flags & DATA_VALID || kind === 0)) sound = false;
      if (flags & TUNNEL_CSUM && flags & NEEDS_CSUM && tunnel === 0) sound = false;
      if (gsoType & 0x80 && !tcp) sound = false;
      if (kind !== 0 && !partial) sound = false;
      if (taken !== sound) wrong.push(`${flags.toString(16)} ${gsoType.toString(16)}: ${taken}`);
    }
  }
  expect(wrong).toEqual([]);
}, 30_000);

describe.each(RING_FORMATS)("a hostile device, %s", (format) => {
  const start = (features: bigint): Promise<RawDeviceRig> =>
    rawDeviceRig({ format, features, driver: { receiveBuffers: 16, receiveBytes: 256 } });

  /** The driver goes on after a reset, as if nothing had been. */
  function recovers(rig: RawDeviceRig): void {
    rig.driver.start();
    rig.give(0, {}, [otherFrame()]);
    expect(rig.drv.receiveFrames().map(({ bytes }) => bytes)).toEqual([otherFrame()]);
    expect(rig.queue(0).pop(32)).toHaveLength(16);
  }

  it.each([
    ["0", 0, 1],
    ["65535", 65535, 1],
    ["one more than there are", 4, 3],
  ])("H-D-05: breaks the queue by a num_buffers of %s", async (_name, numBuffers, parts) => {
    const rig = await start(F.MRG_RXBUF);
    const { ptr, bytes } = rig.drv.sendArea;
    const canaries = new Canaries(rig.engine.memory, { ptr, bytes }, []);
    rig.give(
      0,
      { numBuffers },
      Array.from({ length: parts }, () => otherFrame(100)),
    );
    expect(rig.drv.receiveFrames()).toEqual([]);
    expect(rig.driver.queue(0).violation).toMatchObject({ code: "net-num-buffers" });
    expect(rig.drv.statistics()).toMatchObject({ rx_drop_num_buffers: 1, rx_packets: 0 });
    expect(rig.drv.receive()).toBe(0);
    expect(canaries.dead()).toEqual([]);
    // The driver was lied to: it stops, and the device's status is left alone.
    expect(rig.driver.status & 64).toBe(0);
    recovers(rig);
  });

  it("is told by its lengths: below the header, and above the buffer", async () => {
    const rig = await start(F.MRG_RXBUF);
    const half = rig.queue(0);
    for (const length of [0, 1, 11, 12, 25]) {
      const [chain] = half.pop(1);
      rig.engine.bytes(chain.writable[0].ptr, 256).fill(0);
      rig.engine.bytes(chain.writable[0].ptr + 10, 1)[0] = 1;
      half.markUsed(chain.handle, length);
    }
    rig.device.publishUsed(0);
    expect(rig.drv.receiveFrames()).toEqual([]);
    expect(rig.drv.statistics()).toMatchObject({ rx_length_errors: 5, rx_packets: 0 });
    // A length that is a lie is cut to what the buffer holds.
    rig.give(0, {}, [otherFrame(100)]);
    const used = rig.engine.region("queue 0 device area").ptr;
    if (format === "split") {
      const memory = new DataView(rig.engine.memory.buffer);
      memory.setUint32(used + 4 + 8 * 5 + 4, 0xffff_ffff, true);
      expect(rig.drv.receiveFrames().map(({ bytes }) => bytes.length)).toEqual([256 - 12]);
      expect(rig.driver.queue(0).counters().clampedLengths).toBe(1);
    }
    recovers(rig);
  });

  it("can't make a frame longer than there is room for", async () => {
    const rig = await rawDeviceRig({
      format,
      features: F.MRG_RXBUF,
      driver: { receiveBuffers: 40, receiveBytes: 2048 },
    });
    const part = new Uint8Array(2036).fill(1);
    rig.give(
      0,
      {},
      Array.from({ length: 33 }, () => part),
    );
    expect(rig.drv.receiveFrames()).toEqual([]);
    expect(rig.drv.statistics()).toMatchObject({ rx_drop_oversize: 1, rx_packets: 0 });
    rig.give(0, {}, [otherFrame()]);
    expect(rig.drv.receiveFrames().map(({ bytes }) => bytes)).toEqual([otherFrame()]);
  });

  it("is not believed where it was not asked: segmentation, checksums and hashes that were not negotiated", async () => {
    const rig = await start(0n);
    const csum = { csumStart: headersOf({}).transport, csumOffset: 16 };
    const headers: Partial<NetHeader>[] = [
      { flags: NEEDS_CSUM, ...csum },
      { flags: NEEDS_CSUM, gsoType: 1, gsoSize: 100, ...csum },
      { gsoType: 1, gsoSize: 100 },
      { gsoType: 0x1f },
    ];
    for (const header of headers) rig.give(0, header, [packet()]);
    rig.give(0, { flags: DATA_VALID }, [packet()]);
    expect(rig.drv.receiveFrames().map(({ header }) => header?.flags)).toEqual([0]);
    expect(rig.drv.statistics()).toMatchObject({ rx_frame_errors: 4, rx_csum_none: 1 });
    recovers(rig);
  });

  it("reads the header once: what the device changes afterwards changes nothing", async () => {
    const rig = await start(F.GUEST_CSUM);
    rig.give(0, { flags: DATA_VALID }, [otherFrame()]);
    rig.drv.receive();
    const { ptr, bytes } = rig.engine.buffers;
    const before = rig.engine.u32.slice(rig.drv.incomingAt, rig.drv.incomingAt + 12);
    const frame = rig.engine.bytes(rig.engine.u32[rig.drv.incomingAt], 60).slice();
    rig.engine.bytes(ptr, bytes).fill(0xff);
    expect(rig.engine.u32.slice(rig.drv.incomingAt, rig.drv.incomingAt + 12)).toEqual(before);
    expect(rig.engine.bytes(rig.engine.u32[rig.drv.incomingAt], 60)).toEqual(frame);
  });
});
