/** What stands above a driver: who copies what of a packet, exactly, and that everything comes back. */
import { describe, expect, test } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { SYSTEM_RECORDS } from "../../src/system/records.ts";
import { digestOf, driverBench, framesOf, ratesOf } from "../support/driver-bench.ts";

const FRAMES = [64, 255, 256, 1518, 9000, 65_550];

/** Copies of the payload, by systems.md's table of paths. */
const COPIES = { "af-packet": 1, "af-packet-zc": 0, xsk: 0, "xsk-copy": 1 } as const;

const WAYS = (["tx", "rx"] as const).flatMap((direction) =>
  RING_FORMATS.map((format) => ({ direction, format })),
);

describe.each(Object.entries(COPIES))("%s", (name, copies) => {
  describe.each(WAYS)("$direction on a $format ring", (way) => {
    test.each(FRAMES)("frames of %d bytes, each copied as often as its path says", async (bytes) => {
      const frames = framesOf(bytes, 50);
      const bench = await driverBench({
        ...{ driver: SYSTEM_RECORDS[name], ...way, queues: [frames], ringSize: 128, batch: 3 },
      });
      expect(bench.digests()).toEqual([digestOf(frames)]);
      const rates = ratesOf(bench);
      expect(rates).toMatchObject({ packets: 1, bytes });
      expect(rates.cpuCopies ?? 0).toBe(copies);
      expect(rates.cpuBytes ?? 0).toBe(copies * bytes);
      expect(rates.interconnectBytes ?? 0).toBe(copies * bytes);
      for (const none of [
        "maps",
        "unmaps",
        "headerCopyBytes",
        "engineCopies",
        "pinnedPages",
        "socketCopies",
      ] as const) {
        expect(rates, none).not.toHaveProperty(none);
      }
      expect(bench.digests()).toEqual([digestOf(frames)]);
      expect(bench.close()).toEqual({ ok: true, leaks: [] });
    });
  });
});
