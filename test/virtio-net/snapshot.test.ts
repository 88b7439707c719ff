/** Snapshots of a running card, put into a fresh engine whose halves know nothing of what was before. */
import { describe, expect, it } from "vitest";
import { SnapshotError } from "../../src/errors.ts";
import { RING_FORMATS } from "../../src/names.ts";
import { Snapshot } from "../support/snapshot.ts";
import { packet } from "./packets.ts";
import { ALL_NET, F, MAC, type NetRig, type NetRigOptions, netRig } from "./rig.ts";
import { TrafficRun } from "./traffic-run.ts";

/** The same pair in an engine of its own. */
async function moved(from: NetRig, options: NetRigOptions): Promise<NetRig> {
  const to = await netRig({ ...options, start: false });
  to.engine.restore(from.engine.snapshot());
  return to;
}

function sent(count: number): { bytes: Uint8Array; pair: number }[] {
  return Array.from({ length: count }, (_, k) => ({
    bytes: packet({ payload: 40 + 17 * k, sourcePort: 3000 + k }),
    pair: k % 2,
  }));
}

describe.each(RING_FORMATS)("%s", (format) => {
  it("frames go on in fresh engines with buffers in flight, through resets and suspends: none lost, doubled or reordered", async () => {
    const run = await TrafficRun.create(format, 11);
    const { frames, inFlight } = await run.runMoving(20_000, 12);
    expect(frames).toBeGreaterThanOrEqual(20_000);
    expect(inFlight).toBeGreaterThan(12);
  });

  it("moves while it is suspended: areas and control queue are known when it goes on", async () => {
    const options: NetRigOptions = { format, pairs: 2, driver: { receiveBuffers: 32 } };
    const from = await netRig(options);
    from.driver.suspend();
    const to = await moved(from, options);
    expect(to.drv.sendArea).toEqual(from.drv.sendArea);
    to.driver.resume();
    const before = new Snapshot(to.engine);
    to.drv.commands.setReceiveMode("promiscuous", true);
    // The command lies where the driver's area is, not at the start of the memory.
    const { ptr, bytes } = to.engine.buffers;
    expect(before.changed({ ptr: 0, bytes: to.engine.base })).toEqual([]);
    expect(before.changed({ ptr, bytes }).length).toBeGreaterThan(0);
    expect(to.drv.sendFrames(sent(4))).toBe(4);
    expect(to.net.takeFrames()).toHaveLength(4);
  });

  it("goes on by what bring-up decided, whatever the config space has become", async () => {
    const options: NetRigOptions = { format, pairs: 2, driver: { receiveBuffers: 32 } };
    const from = await netRig(options);
    // As many pairs and as long frames as nobody has negotiated.
    from.device.changeConfig(8, Uint8Array.of(1, 0, 0xdc, 0x23));
    const to = await moved(from, options);
    expect([to.drv.pairs, to.drv.activePairs, to.drv.headerBytes]).toEqual([2, 2, from.drv.headerBytes]);
    expect(to.drv.sendArea).toEqual(from.drv.sendArea);
    expect(to.drv.sendFrames(sent(6))).toBe(6);
    expect(
      to.net
        .takeFrames()
        .map(({ pair }) => pair)
        .sort(),
    ).toEqual([0, 0, 0, 1, 1, 1]);
    to.drv.commands.setPairs(1);
    expect(to.drv.activePairs).toBe(1);
  });

  it("takes along a large frame that is half segmented, a queue in reset, filters, link, counters and an announcement", async () => {
    const options: NetRigOptions = {
      format,
      pairs: 2,
      engine: { net: { pairs: 2, records: 32, frameBytes: 1 << 17 } },
      driver: { receiveBuffers: 32 },
    };
    const from = await netRig(options);
    const large = packet({ payload: 60_000, checksum: "none" });
    expect(from.drv.sendFrames([{ bytes: large, checksum: true, header: { gsoSize: 1000 } }])).toBe(1);
    // The first call has room for a part of the segments only.
    const first = from.net.transmit();
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(60);
    from.drv.commands.setMacTable(["02:00:00:00:00:07"], []);
    from.drv.resetQueue(2);
    from.net.announce();
    const to = await moved(from, options);
    expect(to.net.statistics()).toEqual(from.net.statistics());
    expect(to.drv.statistics()).toEqual(from.drv.statistics());
    expect(first + to.net.takeFrames().length).toBe(60);
    to.drv.restartQueue(2);
    const given = ["02:00:00:00:00:07", "02:00:00:00:00:08", MAC].map((address) => ({
      bytes: packet({ to: address }),
    }));
    expect(to.net.giveFrames(given)).toBe(3);
    expect(to.drv.receiveFrames()).toHaveLength(2);
    expect(to.net.statistics()).toMatchObject({ rx_drop_mac: 1 });
    expect(to.drv.reclaim()).toBe(1);
    expect(to.drv.outstanding).toBe(0);
  });

  it("a failed or a fresh pair moves, too, and can be brought up", async () => {
    const options: NetRigOptions = { format, pairs: 2, driver: { receiveBuffers: 16 } };
    for (const [start, failed] of [
      [false, false],
      [true, true],
    ]) {
      const from = await netRig({ ...options, start });
      if (failed) from.driver.fail();
      const to = await moved(from, options);
      expect(to.driver.status).toBe(from.driver.status);
      to.driver.start();
      expect(to.drv.sendFrames(sent(4))).toBe(4);
      expect(to.net.takeFrames()).toHaveLength(4);
    }
  });
});

describe("a snapshot of a card that is refused", () => {
  it("is one of another version, damaged, or of a card with other pairs, features or areas; and changes nothing", async () => {
    const options: NetRigOptions = { pairs: 2, driver: { receiveBuffers: 16 } };
    const from = await netRig(options);
    from.drv.sendFrames(sent(5));
    const snapshot = from.engine.snapshot();
    const refuses = ({ engine }: NetRig, bytes: Uint8Array, code: string): void => {
      const before = new Snapshot(engine);
      const error = expect.objectContaining({ code, name: "SnapshotError" });
      expect(() => engine.restore(bytes)).toThrow(error);
      expect(before.changed()).toEqual([]);
    };
    const to = await netRig({ ...options, start: false });
    const older = snapshot.slice();
    new DataView(older.buffer).setUint32(8, 0, true);
    refuses(to, older, "snapshot-version");
    const damaged = snapshot.slice();
    damaged[48 + from.net.ptr - from.engine.base + 20] ^= 1;
    refuses(to, damaged, "snapshot-damaged");
    refuses(to, snapshot.subarray(0, snapshot.length - 4096), "snapshot-damaged");
    for (const other of [
      { pairs: 1 },
      { engine: { net: { pairs: 2, records: 96 } } },
      { engine: { net: { pairs: 3 } } },
      { features: ALL_NET & ~F.MRG_RXBUF },
      { device: { pairs: 1 } },
    ]) {
      refuses(await netRig({ ...options, ...other, start: false }), snapshot, "snapshot-foreign");
    }
    expect(() => to.engine.restore(new Uint8Array(7))).toThrow(SnapshotError);
    to.engine.restore(snapshot);
    expect(to.net.takeFrames()).toHaveLength(5);
  });
});
