/** Where a hostile driver may put its rings, and what it can't reach with them. */
import { expect, it } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { Canaries } from "../support/canaries.ts";
import { createEngine } from "../support/engine.ts";
import { RawPackedDriver } from "../support/raw-packed.ts";
import { RawSplitDriver } from "../support/raw-split.ts";
import { elementsAt } from "../support/rig.ts";
import { Snapshot } from "../support/snapshot.ts";

const SIZE = 8;

it("H-V-05, S-B-03: rings in the engine's private part, or reaching into it, are refused, whichever area it is, and nothing is written", async () => {
  for (const format of RING_FORMATS) {
    const engine = await createEngine({ queueSize: SIZE, bufferBytes: 4096 });
    const good = [0, 1024, 2048].map((at) => BigInt(engine.buffers.ptr + at));
    const snapshot = new Snapshot(engine);
    for (let area = 0; area < 3; area++) {
      for (const place of [
        0,
        engine.sharedBase - 16,
        engine.sharedBase - 1024,
        engine.end - 16,
        engine.end,
        2 ** 32 - 16,
      ]) {
        const [desc, driverArea, deviceArea] = good.map((addr, at) => (at === area ? BigInt(place) : addr));
        // The event structures of a packed ring have 4 bytes, so the last 16 of the window hold one.
        if (format === "packed" && area > 0 && place === engine.end - 16) continue;
        expect(() => engine.deviceQueue(0, { format, size: SIZE, desc, driverArea, deviceArea })).toThrow(
          expect.objectContaining({ code: "ring-address" }),
        );
      }
    }
    const own = ["queue 0 device", "queue 0 registers"];
    expect(snapshot.regions().filter((name) => !own.includes(name))).toEqual([]);
  }
});

it("S-B-03, H-V-05: two queues whose driver gave them the same rings harm nobody but that driver", async () => {
  for (const format of RING_FORMATS) {
    const engine = await createEngine({ queues: 3, devices: 2, queueSize: SIZE, bufferBytes: 4096 });
    const { buffers, memory } = engine;
    const [desc, area, other] = [0, 512, 1024].map((at) => buffers.ptr + at);
    const places = { size: SIZE, desc, avail: area, used: other, driverArea: area, deviceArea: other };
    const peer =
      format === "split" ? new RawSplitDriver(memory, places) : new RawPackedDriver(memory, places);
    const addresses = { desc: BigInt(desc), driverArea: BigInt(area), deviceArea: BigInt(other) };
    const twins = [0, 1].map((index) => engine.deviceQueue(index, { format, size: SIZE, ...addresses }));
    const neighbour = engine.connect(2, { format, device: 1 });
    neighbour.driver.add({ readable: [{ ptr: buffers.ptr + 2048, bytes: 4 }], token: 3 });
    neighbour.driver.publish();
    const areas = [desc, area, other].map((ptr) => ({ ptr, bytes: 16 * SIZE }));
    const canaries = new Canaries(memory, buffers, areas);
    for (let round = 0; round < 5 * SIZE; round++) {
      if (twins.every(({ violation }) => violation === null)) {
        peer.add(elementsAt(buffers.ptr + 2048, [1], [2]));
        peer.publish();
      }
      for (const twin of twins) {
        twin.markPoppedUsed(twin.popBurst(8));
        twin.publishUsed();
      }
      peer.used();
    }
    expect(canaries.dead()).toEqual([]);
    for (const { violation, state } of twins) expect(state).toBe(violation === null ? "live" : "broken");
    expect(engine.devices[1].needsReset).toBe(false);
    expect(neighbour.device.pop()).toMatchObject([{ readableBytes: 4 }]);
  }
});
