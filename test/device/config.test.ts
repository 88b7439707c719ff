/** The device configuration space (2.5): what is shown, when it changes, and who may write. */
import { describe, expect, it } from "vitest";
import { Features } from "../../src/features.ts";
import { ECHO_CONFIG_BYTES, echoDevice, WRITABLE_AT } from "../support/echo.ts";
import { Random } from "../support/random.ts";
import { bringUp, negotiate, RawDriver } from "../support/raw-registers.ts";

const FIRST = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0, 15];

function shown(core: { readConfig(offset: number, width: number): number }): number[] {
  return Array.from({ length: ECHO_CONFIG_BYTES }, (_, offset) => core.readConfig(offset, 1));
}

describe("reading", () => {
  it("G-V-07: every byte is there before FEATURES_OK, as it is later", async () => {
    const { core } = await echoDevice();
    expect(shown(core)).toEqual(FIRST);
    core.writeStatus(1);
    core.writeStatus(3);
    expect(shown(core)).toEqual(FIRST);
    bringUp(core);
    expect(shown(core)).toEqual(FIRST);
  });

  it("takes 1, 2 or 4 bytes at any offset, little-endian; what isn't there is 0", async () => {
    const { core } = await echoDevice();
    expect(core.readConfig(0, 4)).toBe(0x04030201);
    expect(core.readConfig(1, 2)).toBe(0x0302);
    expect(core.readConfig(15, 1)).toBe(15);
    expect(core.readConfig(15, 4)).toBe(15);
    core.changeConfig(12, Uint8Array.of(0xff, 0xff, 0xff, 0xff));
    expect(core.readConfig(12, 4)).toBe(0xffff_ffff);
    for (const offset of [16, 17, 4096, 0xffff_ffff, -4, 0.5, Number.NaN])
      expect(core.readConfig(offset, 4)).toBe(0);
    for (const width of [0, -1, Number.NaN]) expect(core.readConfig(0, width)).toBe(0);
    expect(core.readConfig(0, 8)).toBe(0x04030201);
  });
});

describe("a change", () => {
  it("G-D-09: is another generation, and one notification while the device runs; equal bytes are none", async () => {
    const { core, told } = await echoDevice();
    const generation = core.readConfigGeneration();
    core.changeConfig(0, Uint8Array.of(9));
    expect(core.readConfigGeneration()).toBe(generation + 1);
    expect(told).toEqual([]);
    bringUp(core);
    const running = core.readConfigGeneration();
    core.changeConfig(0, Uint8Array.of(7, 7));
    core.changeConfig(0, Uint8Array.of(7, 7));
    expect(core.readConfigGeneration()).toBe(running + 1);
    expect(told).toEqual(["config"]);
    expect(shown(core).slice(0, 3)).toEqual([7, 7, 3]);
  });

  it("outside of the config space is the kind's mistake", async () => {
    const { core } = await echoDevice();
    for (const [offset, bytes] of [
      [16, 1],
      [15, 2],
      [-1, 1],
    ]) {
      expect(() => core.changeConfig(offset, new Uint8Array(bytes))).toThrow(
        expect.objectContaining({ code: "config" }),
      );
    }
    expect(shown(core)).toEqual(FIRST);
  });
});

describe("writing", () => {
  it("G-D-11: is dropped before FEATURES_OK; then only what the kind takes is stored, and is no change", async () => {
    const { core, told } = await echoDevice();
    core.writeConfig(WRITABLE_AT, 1, 0x55);
    expect(core.fault?.code).toBe("config-early");
    core.writeStatus(3);
    core.writeConfig(WRITABLE_AT, 1, 0x55);
    expect(shown(core)).toEqual(FIRST);
    negotiate(core);
    const generation = core.readConfigGeneration();
    core.writeConfig(WRITABLE_AT, 1, 0x1ff);
    expect(core.readConfig(WRITABLE_AT, 1)).toBe(0xff);
    expect(core.readConfigGeneration()).toBe(generation);
    expect(told).toEqual([]);
    for (const [offset, width] of [
      [0, 1],
      [0, 4],
      [WRITABLE_AT, 2],
      [WRITABLE_AT - 1, 2],
      [12, 4],
    ]) {
      core.writeConfig(offset, width, 0x77777777);
      expect(core.fault?.code).toBe("config-read-only");
    }
    for (const [offset, width] of [
      [16, 1],
      [15, 2],
      [13, 4],
      [0, 3],
      [0, 8],
      [0, 0],
      [-1, 1],
      [0xffff_ffff, 4],
    ]) {
      core.writeConfig(offset, width, 0x77777777);
      expect(core.fault?.code).toBe("config-range");
    }
    expect(shown(core)).toEqual(FIRST.with(WRITABLE_AT, 0xff));
  });

  it("G-V-09: is dropped while suspended, and so is every change: both wait for the resume", async () => {
    const { core, engine, told } = await echoDevice();
    const raw = new RawDriver(engine, core);
    raw.start(Features.SUSPEND);
    core.writeStatus(0x1f);
    expect(core.readStatus()).toBe(0x1b);
    const generation = core.readConfigGeneration();
    core.writeConfig(WRITABLE_AT, 1, 0x55);
    expect(core.fault?.code).toBe("config-suspended");
    core.changeConfig(0, Uint8Array.of(0xaa));
    core.changeConfig(1, Uint8Array.of(0xbb));
    expect(core.readConfigBytes().subarray(0, 2)).toEqual(Uint8Array.of(0xaa, 0xbb));
    expect(shown(core)).toEqual(FIRST);
    expect(core.readConfigGeneration()).toBe(generation);
    expect(told).toEqual([]);
    core.writeStatus(0x1f);
    expect(core.readStatus()).toBe(0x0f);
    expect(shown(core).slice(0, 3)).toEqual([0xaa, 0xbb, 3]);
    expect(core.readConfigGeneration()).toBe(generation + 1);
    expect(told).toEqual(["config"]);
  });

  it("a reset shows what a suspension held back", async () => {
    const { core, engine, kind } = await echoDevice();
    const raw = new RawDriver(engine, core);
    raw.start(Features.SUSPEND);
    core.writeStatus(0x1f);
    core.changeConfig(0, Uint8Array.of(0xaa));
    kind.reset = () => {};
    core.writeStatus(0);
    expect(core.readConfig(0, 1)).toBe(0xaa);
    raw.start();
    expect(core.readConfig(0, 1)).toBe(0xaa);
  });

  it("at every wrong moment leaves what may not be written as it was", async () => {
    const { core, engine } = await echoDevice();
    const raw = new RawDriver(engine, core);
    const random = new Random(9);
    for (let step = 0; step < 3000; step++) {
      if (random.chance(5)) raw.start(Features.SUSPEND);
      else if (random.chance(20)) core.writeStatus(random.int(0, 255));
      core.writeConfig(random.int(-2, 18), random.pick([1, 2, 3, 4]), random.int(0, 0x7fffffff));
      expect(shown(core).with(WRITABLE_AT, 0)).toEqual(FIRST);
    }
  });
});
