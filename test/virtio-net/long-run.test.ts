/** A million frames, half of them in each format. */
import { describe, expect, it } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { TrafficRun } from "./traffic-run.ts";

const FRAMES = 500_000;

describe.each(RING_FORMATS)("%s", (format) => {
  it("500,000 frames of mixed sizes, both ways, through resets, suspends and snapshots: none lost, doubled or reordered", async () => {
    const run = await TrafficRun.create(format, 7);
    const { frames, ...events } = run.run(FRAMES);
    expect(frames).toBeGreaterThanOrEqual(FRAMES);
    for (const [kind, count] of Object.entries(events)) expect(count, kind).toBeGreaterThan(10);
  }, 120_000);
});
