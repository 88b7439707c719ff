/** Every code has a name, and every refusal can be met. */
import { describe, expect, it } from "vitest";
import * as abi from "../../assembly/abi.ts";
import { RefusedError } from "../../src/errors.ts";
import { REFUSALS, RING_FORMATS, VIOLATIONS } from "../../src/names.ts";
import { createEngine } from "../support/engine.ts";
import { deviceRig, driverRig, elementsAt, features } from "../support/rig.ts";
import { Snapshot } from "../support/snapshot.ts";

function codes(prefix: string): [string, number][] {
  return Object.entries(abi).filter(([name]) => name.startsWith(prefix)) as [string, number][];
}

/** Streaming receive buffers are in no specification. */
const OURS = ["E_STREAM_COMPLETION"];

describe("codes", () => {
  it("every E_* code has a name, a requirement and a text, and no two share a name", () => {
    expect(codes("E_").length).toBe(Object.keys(VIOLATIONS).length);
    for (const [name, code] of codes("E_")) {
      expect(VIOLATIONS[code], name).toMatchObject({
        code: expect.stringMatching(/^[a-z-]+$/),
        requirement: OURS.includes(name) ? "" : expect.stringMatching(/^[A-Z]-[DVB]-\d\d$/),
        text: expect.stringMatching(/^[^\n]+$/),
      });
    }
    const names = [...Object.values(VIOLATIONS), ...Object.values(REFUSALS)].map(({ code }) => code);
    expect(new Set(names).size).toBe(names.length);
  });

  it("every R_* code has a name and a text", () => {
    for (const [name, code] of codes("R_")) {
      expect(REFUSALS[code], name).toMatchObject({ code: expect.stringMatching(/^[a-z-]+$/) });
    }
  });
});

describe.each(RING_FORMATS)("refusals of a %s queue", (format) => {
  const split = format === "split";

  it("S-D-19: an empty buffer is refused and nothing changes", async () => {
    const { engine, driver } = await driverRig(format, { size: 4 });
    driver.add({ readable: [{ ptr: 0, bytes: 1 }], token: 1 });
    const before = new Snapshot(engine);
    expect(() => driver.add({ token: 2 })).toThrow(
      expect.objectContaining({ code: "empty-buffer", requirement: "S-D-19", queue: 0, index: 0 }),
    );
    expect(["queue 0 driver", "queue 0 staging add"]).toEqual(expect.arrayContaining(before.regions()));
  });

  it.each(split ? [0, 3, 24, 16, 32769, 65535, 65536] : [0, 16, 32769, 65536])(
    `${split ? "S-B-02" : "P-B-01"}, V-D-03: size %i is refused where 8 are reserved, on both halves`,
    async (size) => {
      const engine = await createEngine({ queueSize: 8, bufferBytes: 4096 });
      const refused = expect.objectContaining({ code: "queue-size", requirement: "V-D-03" });
      expect(() => engine.driverQueue(0, { format, size })).toThrow(refused);
      const { driver } = engine.connect(0, { format, size: 8 });
      driver.stop();
      const other = await createEngine({ queueSize: 8, bufferBytes: 4096 });
      expect(() => other.deviceQueue(0, { format, size, ...driver.addresses })).toThrow(refused);
    },
  );

  it(`${split ? "S-D-01" : "P-D-01"}: misaligned areas are refused, and every aligned place is taken`, async () => {
    const aligns = split ? [16, 2, 4] : [16, 4, 4];
    const names = ["desc", "driverArea", "deviceArea"] as const;
    for (let part = 0; part < 3; part++) {
      for (let offset = 0; offset < 16; offset++) {
        const engine = await createEngine({ queueSize: 8, bufferBytes: 4096 });
        const at = engine.buffers.ptr;
        const places = { desc: at, driverArea: at + 1024, deviceArea: at + 2048 };
        places[names[part]] += offset;
        const config = {
          format,
          size: 8,
          desc: BigInt(places.desc),
          driverArea: BigInt(places.driverArea),
          deviceArea: BigInt(places.deviceArea),
        };
        if (offset % aligns[part] === 0) expect(engine.deviceQueue(0, config).state).toBe("live");
        else
          expect(() => engine.deviceQueue(0, config)).toThrow(
            expect.objectContaining({ code: "ring-alignment" }),
          );
      }
    }
  });

  it("H-V-05: an area that is not wholly in the window is refused, and one that ends with it is taken", async () => {
    const size = 8;
    const bytes = split ? [128, 22, 70] : [128, 4, 4];
    const names = ["desc", "driverArea", "deviceArea"] as const;
    for (let part = 0; part < 3; part++) {
      const engine = await createEngine({ queueSize: size, bufferBytes: 4096 });
      const at = engine.buffers.ptr;
      const end = engine.end;
      const fits = end - Math.ceil(bytes[part] / 16) * 16;
      for (const [place, code] of [
        [fits + 16, "ring-address"],
        [end, "ring-address"],
        [engine.sharedBase - 16, "ring-address"],
        [0, "ring-address"],
        [0xffff_ffff_fff0, "ring-address"],
        [fits, null],
      ] as const) {
        const places = { desc: at, driverArea: at + 1024, deviceArea: at + 2048 };
        places[names[part]] = place;
        const config = {
          format,
          size,
          desc: BigInt(places.desc),
          driverArea: BigInt(places.driverArea),
          deviceArea: BigInt(places.deviceArea),
        };
        if (code === null) expect(engine.deviceQueue(0, config).state).toBe("live");
        else expect(() => engine.deviceQueue(0, config)).toThrow(expect.objectContaining({ code }));
      }
      const wrapping = { format, size, desc: 0xffff_ffff_ffff_fff0n, driverArea: 0n, deviceArea: 0n };
      expect(() => engine.deviceQueue(0, { ...wrapping })).toThrow(RefusedError);
    }
  });

  it("S-B-03: areas that overlap are refused, and areas that touch are taken", async () => {
    const size = 8;
    const [desc, driver] = split ? [128, 22] : [128, 4];
    for (const [places, code] of [
      [[0, 112, 512], "ring-overlap"],
      [[0, 512, 124], "ring-overlap"],
      [[0, 512, 512], "ring-overlap"],
      [[0, 0, 512], "ring-overlap"],
      [[0, 128, 128 + Math.ceil(driver / 4) * 4], null],
      [[512, 512 + desc, 256], null],
    ] as const) {
      const engine = await createEngine({ queueSize: size, bufferBytes: 4096 });
      const [a, b, c] = places.map((place) => BigInt(engine.buffers.ptr + place));
      const config = { format, size, desc: a, driverArea: b, deviceArea: c };
      if (code === null) expect(engine.deviceQueue(0, config).state).toBe("live");
      else expect(() => engine.deviceQueue(0, config)).toThrow(expect.objectContaining({ code }));
    }
  });

  it("S-B-03: areas that overlap at the very end of the bus addresses are refused", async () => {
    const size = 8;
    const engine = await createEngine({ queueSize: size, bufferBytes: 4096 });
    const length = BigInt(engine.end - engine.sharedBase);
    const base = (1n << 64n) - length;
    engine.devices[0].setWindow({ base, length, offset: engine.sharedBase });
    const top = 1n << 64n;
    const config = { format, size, desc: top - 128n, driverArea: top - 64n, deviceArea: top - 1024n };
    expect(() => engine.deviceQueue(0, config)).toThrow(expect.objectContaining({ code: "ring-overlap" }));
  });

  it("a threshold that no cache can have is refused", async () => {
    const engine = await createEngine({ queueSize: 8, threshold: 19, bufferBytes: 4096 });
    expect(engine.driverQueue(0, { format, threshold: 19 }).warnings).toEqual([]);
    const other = await createEngine({ queueSize: 8, threshold: 19, bufferBytes: 4096 });
    expect(() => other.driverQueue(0, { format, threshold: 20 })).toThrow(
      expect.objectContaining({ code: "table-source" }),
    );
  });

  it("S-B-05: a staging area that does not hold one buffer is refused, and holds what it can", async () => {
    const { engine, device, peer, data } = await deviceRig(format, { size: 4 });
    for (let k = 0; k < 2; k++) peer.add(elementsAt(data.ptr, [1, 2]));
    peer.publish();
    // Past all regions that matter, so that what does not fit would show.
    const out = engine.end - 1024;
    const pop = split ? engine.wasm.splitDevicePop : engine.wasm.packedDevicePop;
    engine.bytes(out, 1024).fill(0xaa);
    expect(pop(device.ptr, out, 16 + 3 * 8, 2)).toBe(0);
    expect(device.refusal).toMatchObject({ code: "staging-size", requirement: "S-B-05" });
    expect(engine.bytes(out, 1024).every((byte) => byte === 0xaa)).toBe(true);
    expect(pop(device.ptr, out, 16 + 4 * 8, 2)).toBe(1);
    expect(device.refusal).toBeNull();
    expect(pop(device.ptr, out, 16 + 4 * 8, 2)).toBe(1);
    expect(device.state).toBe("live");
  });

  it("S-B-05: a burst that fills the staging area goes on with the next one", async () => {
    const { device, peer, data } = await deviceRig(format, {
      size: 64,
      engine: { batch: 4, maxSgs: 1 },
    });
    for (let k = 0; k < 12; k++) peer.add(elementsAt(data.ptr, [1, 2, 3, 4, 5]));
    peer.publish();
    let popped = 0;
    for (let bursts = 0; popped < 12; bursts++) {
      const count = device.popBurst(64);
      expect(count).toBeGreaterThan(0);
      expect(device.refusal).toBeNull();
      device.markPoppedUsed(count);
      popped += count;
      expect(bursts).toBeLessThan(12);
    }
    device.publishUsed();
    expect(peer.used().length).toBe(12);
  });

  it("V-V-01, F-V-02, S-V-10: a burst of completions stops at the first that is refused and names it", async () => {
    for (const [handleOf, lenOf, code, more] of [
      [(handle: number) => handle + 7, () => 4, "not-in-flight", {}],
      [(handle: number) => handle ^ 0x1_0000, () => 4, "not-in-flight", {}],
      [(handle: number) => handle, () => 5, "length-over-capacity", {}],
      [(handle: number) => handle + 1, () => 4, "not-in-order", { inOrder: true }],
    ] as const) {
      const { device, peer, data } = await deviceRig(format, {
        size: 8,
        features: "inOrder" in more ? features(format, "IN_ORDER") : undefined,
      });
      for (let k = 0; k < 4; k++) peer.add(elementsAt(data.ptr, [], [4]));
      peer.publish();
      const handles = device.pop().map(({ handle }) => handle);
      device.completions.set([handles[0], 4, handles[1], 4, handleOf(handles[2]), lenOf(), handles[3], 4]);
      expect(device.markUsedBurst(4)).toBe(2);
      expect(device.refusal).toMatchObject({ code, index: 2, queue: 0 });
      expect(device.state).toBe("live");
      device.completions.set([handles[2], 4]);
      expect(device.markUsedBurst(1)).toBe(1);
      expect(device.refusal).toBeNull();
    }
  });
});
