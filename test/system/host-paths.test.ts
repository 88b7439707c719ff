import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { Fnv1a64, fixedTraffic } from "../../src/net/traffic.ts";
import { DriverBench } from "../../src/system/driver-bench.ts";
import { SYSTEM_RECORDS } from "../../src/system/records.ts";

/** Copies of the payload on a host's path, by systems.md's table of paths: transmit, receive. */
const COPIES = {
  "qemu-virtio-net": { tx: 1, rx: 2 },
  "vhost-net": { tx: 1, rx: 1 },
  "vhost-net-dedicated": { tx: 1, rx: 0 },
  "sriov-vf": { tx: 0, rx: 0 },
} as const;
const FRAMES = [64, 255, 256, 1518];

let module: WebAssembly.Module;
beforeAll(async () => {
  module = await WebAssembly.compile(readFileSync("build/vring.wasm"));
});

describe.each(Object.entries(COPIES))("%s copies", (name, copies) => {
  test.each(FRAMES.flatMap((bytes) => (["tx", "rx"] as const).map((direction) => ({ bytes, direction }))))(
    "a payload of $bytes bytes as often as its path says, $direction",
    async ({ bytes, direction }) => {
      const frames = fixedTraffic(bytes, { count: 100, seed: 3 }).packets.map(({ data }) => data);
      const record = SYSTEM_RECORDS[name];
      const bench = await DriverBench.create({
        ...{ record, direction, dma: record.dma, queues: [frames], module },
      });
      const sent = new Fnv1a64();
      for (const frame of frames) sent.addPacket(frame);
      expect(bench.digests()).toEqual([sent.hex()]);
      const before = bench.counters();
      bench.run(2);
      const after = bench.counters();
      const counted = copies[direction];
      expect(after.packets - before.packets).toBe(200);
      expect(after.cpuCopies - before.cpuCopies).toBe(200 * counted);
      expect(after.cpuBytes - before.cpuBytes).toBe(200 * counted * bytes);
      expect(after.interconnectBytes - before.interconnectBytes).toBe(200 * counted * bytes);
      for (const none of ["engineCopies", "engineBytes", "headerCopyBytes", "pinnedPages"] as const) {
        expect(after[none], none).toBe(0);
      }
      // Neither physical addresses nor buffers that were mapped at set-up cost a mapping per packet.
      expect(after.maps - before.maps).toBe(0);
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    },
  );
});
