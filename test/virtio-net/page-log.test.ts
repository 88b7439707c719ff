/** The log of written pages for a card: rings, headers, payload and the answers of control commands, against a byte comparison. */
import { describe, expect, it } from "vitest";
import type { Engine } from "../../src/engine.ts";
import { RING_FORMATS } from "../../src/names.ts";
import type { NetFrame } from "../../src/net-records.ts";
import { Random } from "../support/random.ts";
import { otherFrame, packet } from "./packets.ts";
import { type NetRig, netRig } from "./rig.ts";

const PAGE = 4096;
const BACKENDS = [undefined, "swiotlb", "iommu-strict"] as const;
const CASES = RING_FORMATS.flatMap((format) =>
  BACKENDS.flatMap((backend) => [true, false].map((event) => ({ format, backend, event }))),
);
const EVENT_IDX = 1n << 29n;
const RESERVED = (1n << 28n) | (1n << 40n) | (1n << 42n);

function pagesOf(engine: Engine, names: RegExp): Set<number> {
  const pages = new Set<number>();
  for (const { name, ptr, bytes } of engine.regions) {
    if (!names.test(name)) continue;
    for (let page = Math.floor(ptr / PAGE); page * PAGE < ptr + bytes; page++) pages.add(page);
  }
  return pages;
}

/** Does `call`, and holds the log to what has changed in the shared part of the memory; the pages that have. */
function compare({ engine }: NetRig, mayWrite: Set<number>, call: () => void): number[] {
  const before = engine.bytes(0, engine.end).slice();
  call();
  const after = engine.bytes(0, engine.end);
  const changed: number[] = [];
  for (let at = engine.sharedBase; at < engine.end; at = (Math.floor(at / PAGE) + 1) * PAGE) {
    const end = Math.min((Math.floor(at / PAGE) + 1) * PAGE, engine.end);
    if (Buffer.compare(before.subarray(at, end), after.subarray(at, end)) !== 0)
      changed.push(Math.floor(at / PAGE));
  }
  const written = engine.takeWrittenPages();
  expect(written).toEqual(expect.arrayContaining(changed));
  expect(written.filter((page) => !mayWrite.has(page))).toEqual([]);
  return changed;
}

describe("the log of written pages", () => {
  it.each(CASES)(
    "$format, $backend, EVENT_IDX $event: holds every page that a call of the card has changed, and none that it can't have",
    async ({ format, backend, event }) => {
      const rig = await netRig({
        format,
        backend,
        pairs: 2,
        reserved: RESERVED | (event ? EVENT_IDX : 0n),
        engine: { pageLog: true, bufferBytes: 1 << 20, queueSize: 64 },
        driver: { receiveBuffers: 48, receiveBytes: 1500, pollLimit: 1 },
      });
      const { engine, net, drv, device } = rig;
      engine.devices[0].logsPages = true;
      // The driver is told nothing, so that a call of the device changes what the device changes.
      device.connect({ usedBuffers: () => {}, configChange: () => {} });
      const mayWrite = pagesOf(engine, /buffers|(device|descriptor) area|bounce pool/);
      const rings = pagesOf(engine, /(device|descriptor) area/);
      const random = new Random(9);
      let inRings = 0;
      let elsewhere = 0;
      for (let step = 0; step < 25; step++) {
        const frames = Array.from(
          { length: random.int(1, 6) },
          (): NetFrame => ({
            bytes: random.chance(50)
              ? otherFrame(random.int(60, 1500), undefined, step)
              : packet({ payload: random.int(1, 1400), sourcePort: random.int(1, 60_000) }),
            pair: random.int(0, 1),
          }),
        );
        drv.sendFrames(frames);
        const taken = compare(rig, mayWrite, () => expect(net.takeFrames().length).toBe(frames.length));
        inRings += taken.filter((page) => rings.has(page)).length;
        frames.push({
          bytes: packet({ payload: 9000, checksum: "seeded" }),
          header: { flags: 1, csumStart: 34, csumOffset: 16, gsoType: 1, gsoSize: 1448, hdrLen: 54 },
        });
        // Frames over several pages and buffers, headers of their own, and one that finds no buffer.
        const received = compare(rig, mayWrite, () => net.giveFrames(frames));
        elsewhere += received.filter((page) => !rings.has(page)).length;
        compare(rig, mayWrite, () => net.tick(step * 100));
        if (random.chance(70)) drv.receiveFrames();
      }
      expect(inRings).toBeGreaterThan(20);
      expect(elsewhere).toBeGreaterThan(40);
      const { rx_packets, rx_buffers } = net.statistics();
      expect(rx_buffers).toBeGreaterThan(rx_packets);
    },
  );

  it.each(RING_FORMATS)(
    "%s: holds the pages of a control command's answer and of its ring",
    async (format) => {
      const rig = await netRig({
        format,
        pairs: 2,
        engine: { pageLog: true },
        driver: { receiveBuffers: 16 },
      });
      const { engine, drv, device } = rig;
      const queue = drv.controlQueue;
      engine.devices[0].logsPages = true;
      const notify = device.notify.bind(device);
      const answers: number[] = [];
      const mayWrite = pagesOf(engine, /buffers|(device|descriptor) area/);
      const [{ ptr }] = [engine.buffers];
      // The device's part of each command is the call that the kick is.
      device.notify = (value: number): void => {
        expect(value & 0xffff).toBe(queue);
        answers.push(...compare(rig, mayWrite, () => notify(value)));
      };
      drv.commands.setReceiveMode("promiscuous", true);
      drv.commands.setQueueCoalescing(1, { maxPackets: 9, maxUsecs: 33 });
      expect(drv.commands.queueCoalescing(1)).toEqual({ maxPackets: 9, maxUsecs: 33 });
      expect(() => drv.commands.setVlan(5, true)).not.toThrow();
      const answerPage = Math.floor((ptr + 4096) / PAGE);
      expect(answers.filter((page) => Math.abs(page - answerPage) <= 1).length).toBe(4);
      const rings = pagesOf(engine, new RegExp(`queue ${queue} (device|descriptor) area`));
      expect(answers.filter((page) => rings.has(page)).length).toBeGreaterThanOrEqual(4);
    },
  );
});
