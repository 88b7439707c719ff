/** Both halves of ours against each other: frames go through whole, in both formats, with headers of every length. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { Features } from "../../src/features.ts";
import { RING_FORMATS } from "../../src/names.ts";
import type { NetFrame } from "../../src/net-records.ts";
import { Random } from "../support/random.ts";
import { otherFrame, packet } from "./packets.ts";
import { ALL_NET, F, netRig } from "./rig.ts";

/** Sets of features by the header's length that they make (5.1.9.3.1). */
const LENGTHS = [
  [12, ALL_NET & ~(F.OUT_NET_HEADER | F.GUEST_UDP_TUNNEL_GSO | F.HOST_UDP_TUNNEL_GSO | F.HASH_REPORT)],
  [20, ALL_NET & ~(F.OUT_NET_HEADER | F.GUEST_UDP_TUNNEL_GSO | F.HOST_UDP_TUNNEL_GSO)],
  [24, ALL_NET & ~F.OUT_NET_HEADER],
  [32, ALL_NET],
] as const;

function frames(count: number, random: Random): Uint8Array[] {
  return Array.from({ length: count }, (_, k) =>
    random.chance(20)
      ? otherFrame(random.int(14, 1514), undefined, k)
      : packet({
          version: random.pick([4, 6]),
          protocol: random.pick(["tcp", "udp"]),
          payload: random.int(1, 1400),
          sequence: k * 2000,
          sourcePort: 1024 + k,
        }),
  );
}

function bytesOf(list: readonly NetFrame[]): string[] {
  return list.map(({ bytes }) => createHash("sha1").update(bytes).digest("hex")).sort();
}

describe.each(RING_FORMATS)("%s", (format) => {
  it.each(LENGTHS)(
    "N-B-03: with a header of %i bytes frames go through whole in both directions",
    async (length, features) => {
      for (const merges of [true, false]) {
        const mask = merges ? features : features & ~F.MRG_RXBUF;
        const { net, drv, device } = await netRig({ format, features: mask });
        expect(drv.headerBytes).toBe(length);
        const sent = frames(30, new Random(length));
        expect(drv.sendFrames(sent.map((bytes) => ({ bytes })))).toBe(30);
        expect(bytesOf(net.takeFrames())).toEqual(bytesOf(sent.map((bytes) => ({ bytes }))));
        expect(net.giveFrames(sent.map((bytes) => ({ bytes })))).toBe(30);
        expect(bytesOf(drv.receiveFrames())).toEqual(bytesOf(sent.map((bytes) => ({ bytes }))));
        expect(net.statistics()).toMatchObject({ tx_packets: 30, rx_packets: 30, tx_drops: 0, rx_drops: 0 });
        expect(drv.statistics()).toMatchObject({
          tx_packets: 30,
          rx_packets: 30,
          tx_dropped: 0,
          rx_dropped: 0,
        });
        expect(device.fault).toBeNull();
      }
    },
  );

  it.each([1, 2, 3, 5, 8])(
    "N-B-01: %i queue pairs all carry frames, and the control queue is behind them",
    async (pairs) => {
      const { net, drv, driver } = await netRig({
        format,
        pairs,
        device: { mtu: 1500 },
        driver: { receiveBuffers: 64 },
      });
      expect(drv.activePairs).toBe(pairs);
      expect(driver.queue(pairs === 1 && !(driver.features & F.RSS) ? 2 : 2 * pairs).state).toBe("live");
      const random = new Random(pairs);
      const sent = frames(40, random).map((bytes, k) => ({ bytes, pair: k % pairs }));
      expect(drv.sendFrames(sent)).toBe(40);
      const taken = net.takeFrames();
      for (let pair = 0; pair < pairs; pair++) {
        const own = (list: readonly NetFrame[]): string[] =>
          bytesOf(list.filter((frame) => frame.pair === pair));
        expect(own(taken)).toEqual(own(sent));
      }
      expect(net.giveFrames(sent)).toBe(40);
      expect(bytesOf(drv.receiveFrames())).toEqual(bytesOf(sent));
    },
  );

  it.each(["IN_ORDER", "NOTIFICATION_DATA"] as const)("carries frames with %s", async (name) => {
    const { net, drv } = await netRig({
      format,
      reserved: Features.INDIRECT_DESC | Features.EVENT_IDX | Features[name],
      driver: { receiveBytes: 600 },
    });
    for (let round = 0; round < 5; round++) {
      const sent = frames(30, new Random(round));
      expect(drv.sendFrames(sent.map((bytes) => ({ bytes })))).toBe(30);
      expect(net.takeFrames()).toHaveLength(30);
      expect(net.giveFrames(sent.map((bytes) => ({ bytes })))).toBe(30);
      expect(bytesOf(drv.receiveFrames())).toEqual(bytesOf(sent.map((bytes) => ({ bytes }))));
    }
  });
});

it("N-B-01: without MQ and RSS the control queue is queue 2, whatever the device has", async () => {
  const { driver, drv, net } = await netRig({
    pairs: 4,
    features: ALL_NET & ~(F.MQ | F.RSS),
    driver: { receiveBuffers: 8 },
  });
  expect(drv.pairs).toBe(1);
  expect(driver.queue(2).state).toBe("live");
  drv.commands.setReceiveMode("promiscuous", true);
  expect(net.giveFrames([{ bytes: otherFrame(60, "02:00:00:00:00:99") }])).toBe(1);
  expect(drv.receiveFrames()).toHaveLength(1);
});
