/** The card behind each DMA backend that stands between a device and memory: frames both ways, faults, and what stays mapped. */
import { describe, expect, it } from "vitest";
import { Features } from "../../src/features.ts";
import { RING_FORMATS } from "../../src/names.ts";
import type { NetFrame } from "../../src/net-records.ts";
import { IOMMUS, PAGE, pageAt } from "../support/dma.ts";
import { checksumIsRight, packet } from "./packets.ts";
import { F, type NetRig, type NetRigOptions, netRig, rawDriverRig } from "./rig.ts";
import { TrafficRun } from "./traffic-run.ts";

const GUARDED = ["swiotlb", ...IOMMUS] as const;
const CASES = RING_FORMATS.flatMap((format) => GUARDED.map((backend) => ({ format, backend })));
const NEEDS_CSUM = 1;
const TCPV4 = 1;
const NEEDS_RESET = 0x40;

/** A frame of `payload` bytes that asks for segments of 1000. */
function large(payload: number, sourcePort: number): NetFrame {
  return {
    bytes: packet({ payload, sourcePort, checksum: "none" }),
    checksum: true,
    header: { gsoSize: 1000 },
  };
}

function reclaimAll({ drv }: NetRig): void {
  while (drv.reclaim() > 0);
}

describe.each(CASES)("$format, $backend", ({ format, backend }) => {
  it("F-D-01: offloads and merged buffers both ways, and what is mapped is what is outstanding", async () => {
    const rig = await netRig({
      format,
      backend,
      driver: { receiveBuffers: 40, receiveBytes: 2048 },
    });
    const { engine, net, drv, driver } = rig;
    expect(driver.features & (Features.ACCESS_PLATFORM | F.MRG_RXBUF | F.HOST_TSO4)).toBe(
      Features.ACCESS_PLATFORM | F.MRG_RXBUF | F.HOST_TSO4,
    );
    const { dma } = engine.devices[0];
    const posted = dma.liveMappings;
    expect(posted).toBeGreaterThan(0);
    for (let round = 0; round < 8; round++) {
      const sourcePort = 1000 + round;
      const open = packet({ payload: 700, sourcePort, checksum: "none" });
      expect(drv.sendFrames([large(20_500, sourcePort), { bytes: open, checksum: true }])).toBe(2);
      const taken = net.takeFrames().map(({ bytes }) => bytes);
      expect(taken).toHaveLength(22);
      for (const bytes of taken) expect(checksumIsRight(bytes, {})).toBe(true);
      const payload = Buffer.concat(taken.slice(0, 21).map((bytes) => bytes.subarray(54)));
      expect(payload.equals(packet({ payload: 20_500 }).subarray(54))).toBe(true);
      // A packet of 30,000 bytes, which takes 15 buffers, and an open checksum.
      const whole = packet({ payload: 30_000, sourcePort, checksum: "seeded" });
      const csum = { flags: NEEDS_CSUM, csumStart: 34, csumOffset: 16 };
      const given = [
        { bytes: whole, header: { ...csum, gsoType: TCPV4, gsoSize: 1448, hdrLen: 54 } },
        { bytes: packet({ payload: 333, sourcePort, protocol: "udp" }) },
      ];
      expect(net.giveFrames(given)).toBe(2);
      const received = drv.receiveFrames();
      expect(received.map(({ bytes }, k) => Buffer.from(bytes).equals(given[k].bytes))).toEqual([true, true]);
      expect(received[0].header).toMatchObject({ ...csum, gsoType: TCPV4, gsoSize: 1448 });
      reclaimAll(rig);
      drv.commands.setReceiveMode("promiscuous", true);
      expect(drv.outstanding).toBe(0);
      expect(dma.liveMappings).toBe(posted);
    }
    expect(net.statistics()).toMatchObject({ tx_gso_packets: 8, tx_gso_segments: 168, rx_gso_packets: 8 });
    expect(net.statistics()).toMatchObject({ tx_drops: 0, rx_drops: 0 });
    expect(dma.counters()).toMatchObject({ faults: 0, mapFailures: 0 });
  });

  it("frames of many sizes go through resets, queue resets, suspends and moves to fresh engines: none lost or doubled", async () => {
    const run = await TrafficRun.create(format, 23, { backend });
    const { frames, inFlight, lost } = await run.runMoving(4_000, 4);
    expect(frames).toBeGreaterThanOrEqual(4_000);
    expect(inFlight).toBeGreaterThan(4);
    expect(lost).toBeGreaterThan(0);
  });

  it("G-D-16: after a reset as much is mapped as before bring-up, and after the next bring-up as after the first", async () => {
    const rig = await netRig({ format, backend, start: false, driver: { receiveBuffers: 40 } });
    const { dma } = rig.engine.devices[0];
    const atStart = dma.liveMappings;
    let up = -1;
    for (let round = 0; round < 4; round++) {
      rig.driver.start();
      expect(rig.drv.takeLost()).toHaveLength(round === 0 ? 0 : 6);
      if (up < 0) up = dma.liveMappings;
      expect(dma.liveMappings).toBe(up);
      const frames = Array.from({ length: 6 }, (_, k) => ({ bytes: packet({ payload: 100 * k }) }));
      rig.net.giveFrames(frames);
      if (round % 2) rig.drv.receiveFrames();
      rig.drv.sendFrames(frames);
      expect(dma.liveMappings).toBeGreaterThan(up);
    }
    rig.driver.reset();
    expect(dma.liveMappings).toBe(atStart);
  });

  it("rings are mapped once: back before bring-up, and in a fresh engine, too", async () => {
    const options: NetRigOptions = { format, backend, driver: { receiveBuffers: 16 } };
    let rig = await netRig({ ...options, start: false });
    const before = rig.engine.snapshot();
    rig.driver.start();
    const use = rig.engine.devices[0].dma.domainUse();
    rig.engine.restore(before);
    rig.driver.start();
    expect(rig.engine.devices[0].dma.domainUse()).toEqual(use);
    for (let move = 0; move < 3; move++) {
      const snapshot = rig.engine.snapshot();
      rig = await netRig({ ...options, start: false });
      rig.engine.restore(snapshot);
      rig.driver.start();
      expect(rig.engine.devices[0].dma.domainUse()).toEqual(use);
      expect(rig.drv.sendFrames([{ bytes: packet() }])).toBe(1);
      expect(rig.net.takeFrames()).toHaveLength(1);
      rig.driver.start();
    }
  });

  it("a mapping that fails costs the frame, which is counted, and its token comes back", async () => {
    const { engine, net, drv } = await netRig({ format, backend, driver: { receiveBuffers: 16 } });
    const { dma } = engine.devices[0];
    const before = dma.liveMappings;
    dma.failIn(1);
    expect(drv.sendFrames([{ bytes: packet() }])).toBe(1);
    expect(drv.statistics()).toMatchObject({ tx_errors: 1, tx_dropped: 1 });
    expect(net.takeFrames()).toEqual([]);
    expect(drv.reclaim()).toBe(1);
    expect(dma.counters().mapFailures).toBe(1);
    expect(dma.liveMappings).toBe(before);
    expect(drv.sendFrames([{ bytes: packet() }])).toBe(1);
    expect(net.takeFrames()).toHaveLength(1);
  });
});

describe.each(RING_FORMATS.flatMap((format) => IOMMUS.map((backend) => ({ format, backend }))))(
  "a payload that is not all mapped: $format, $backend",
  ({ format, backend }) => {
    /** Our device half, and a driver that maps for itself: a page of its buffers, and so not the one behind it. */
    async function rig() {
      const raw = await rawDriverRig({ format, backend, premapped: true, features: F.MRG_RXBUF | F.MAC });
      const { dma } = raw.engine.devices[0];
      const page = pageAt(raw.engine, 4);
      raw.engine.bytes(page - PAGE, 3 * PAGE).fill(0xee);
      // Addresses are given from the top down: what has been the page above is not mapped any more.
      const above = dma.map(page + PAGE, PAGE, "bidirectional");
      const handle = dma.map(page, PAGE, "bidirectional");
      expect(above).toBe(handle + PAGE);
      dma.unmap(above, PAGE, "bidirectional");
      dma.tick();
      return { ...raw, dma, page, handle };
    }

    it.each([
      ["header", PAGE - 5],
      ["frame", PAGE - 200],
    ])(
      "of which the %s is read breaks the queue and costs the frame, by name; a reset recovers",
      async (_, offset) => {
        const { engine, net, device, driver, dma, page, handle } = await rig();
        engine.bytes(page, PAGE).fill(0);
        driver.queue(1).add({ readable: [{ ptr: handle + offset, bytes: 1000 }], token: 1 });
        driver.publish(1);
        expect(net.takeFrames()).toEqual([]);
        expect(net.statistics()).toMatchObject({ tx_packets: 0, tx_drop_address: 1, tx_drops: 1 });
        expect(device.queue(1)?.state).toBe("broken");
        expect(device.queue(1)?.violation).toMatchObject({ code: "dma-fault" });
        expect(dma.faults()).toMatchObject([{ queue: 1, direction: "to-device" }]);
        expect(device.readStatus() & NEEDS_RESET).toBe(NEEDS_RESET);
        driver.start();
        driver.queue(1).add({ readable: [{ ptr: handle, bytes: 100 }], token: 1 });
        driver.publish(1);
        expect(net.takeFrames().map(({ bytes }) => bytes.length)).toEqual([88]);
        expect(device.queue(1)?.state).toBe("live");
      },
    );

    it.each([
      ["header", PAGE - 5],
      ["frame", PAGE - 200],
    ])(
      "of which the %s is written breaks the queue and costs the frame, by name; a reset recovers",
      async (_, offset) => {
        const { engine, net, device, driver, dma, page, handle } = await rig();
        driver.queue(0).add({ writable: [{ ptr: handle + offset, bytes: 2000 }], token: 1 });
        driver.publish(0);
        expect(net.giveFrames([{ bytes: packet({ payload: 900 }) }])).toBe(1);
        expect(net.statistics()).toMatchObject({ rx_packets: 0, rx_drop_address: 1, rx_drops: 1 });
        expect(device.queue(0)?.violation).toMatchObject({ code: "dma-fault" });
        expect(dma.faults()).toMatchObject([{ queue: 0, direction: "from-device" }]);
        // Neither before nor behind what is mapped has anything been written.
        for (const at of [page - PAGE, page + PAGE])
          expect(engine.bytes(at, PAGE).every((byte) => byte === 0xee)).toBe(true);
        expect(driver.queue(0).reclaim()).toEqual([]);
        driver.start();
        driver.queue(0).add({ writable: [{ ptr: handle, bytes: 2000 }], token: 1 });
        driver.publish(0);
        expect(net.giveFrames([{ bytes: packet({ payload: 900 }) }])).toBe(1);
        expect(driver.queue(0).reclaim()).toMatchObject([{ token: 1, len: 12 + 954 }]);
        expect(net.statistics()).toMatchObject({ rx_packets: 1, rx_drops: 1 });
      },
    );
  },
);
