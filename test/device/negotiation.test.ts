/** What a device offers and what it accepts (2.2, 6). */
import { describe, expect, it } from "vitest";
import * as spec from "../../assembly/spec.ts";
import type { DeviceCore } from "../../src/device/core.ts";
import { brokenRule, closedFeatures, type TransportType } from "../../src/feature-rules.ts";
import { Features, featureBit } from "../../src/features.ts";
import { NET_FEATURE_RULES, NetFeatures } from "../../src/net-features.ts";
import { ALL_FEATURES, ECHO_RULES, echoDevice, FANCY, FAR, PLAIN } from "../support/echo.ts";
import { Random } from "../support/random.ts";

const RESERVED = Object.values(Features);

/** Writes a set and FEATURES_OK; whether the bit held. */
function negotiate(core: DeviceCore, features: bigint): boolean {
  core.writeStatus(0);
  core.writeStatus(spec.STATUS_ACKNOWLEDGE);
  core.writeStatus(spec.STATUS_ACKNOWLEDGE | spec.STATUS_DRIVER);
  for (let window = 0; window < 4; window++) {
    core.writeDriverFeatures(window, Number((features >> BigInt(32 * window)) & 0xffff_ffffn));
  }
  core.writeStatus(spec.STATUS_ACKNOWLEDGE | spec.STATUS_DRIVER | spec.STATUS_FEATURES_OK);
  return (core.readStatus() & spec.STATUS_FEATURES_OK) !== 0;
}

function subsets(bits: readonly bigint[]): bigint[] {
  return Array.from({ length: 2 ** bits.length }, (_, set) =>
    bits.reduce((mask, bit, k) => (set & (1 << k) ? mask | bit : mask), 0n),
  );
}

describe("the offer", () => {
  it("G-V-03: only what is implemented is offered, of whatever the kind says, with VERSION_1 always", async () => {
    for (const features of [0n, ALL_FEATURES, (1n << 128n) - 1n]) {
      const { core } = await echoDevice({ features });
      // 24 to 41 and 43 (2.2); 42 may be a device type's own.
      const reserved = core.offered & ((1n << 44n) - (1n << 24n)) & ~featureBit(42);
      expect(reserved & ~RESERVED.reduce((all, bit) => all | bit, 0n)).toBe(0n);
      expect(core.offered & ((1n << 50n) - (1n << 44n))).toBe(0n);
      expect(core.offered & ~(features | Features.VERSION_1)).toBe(0n);
      expect(core.offered & Features.VERSION_1).not.toBe(0n);
    }
  });

  it("G-V-03: with any feature taken away the offer is closed under the rules", async () => {
    for (const taken of [PLAIN, FANCY, FAR, ...RESERVED]) {
      const { core } = await echoDevice({ features: ALL_FEATURES & ~taken });
      expect(closedFeatures(core.offered, ECHO_RULES)).toBe(core.offered);
      expect(core.offered & FANCY).toBe(taken === PLAIN || taken === FANCY ? 0n : FANCY);
    }
  });

  it("F-B-03: bits that belong to a transport are offered there only", async () => {
    const bound: Record<TransportType, number[]> = {
      pci: [39, 40],
      mmio: [40],
      ccw: [],
      "in-process": [39, 40],
    };
    for (const [transport, bits] of Object.entries(bound) as [TransportType, number[]][]) {
      const { core } = await echoDevice({ features: (1n << 128n) - 1n, core: { transport } });
      const offered = [37, 39, 40, 41].filter((bit) => core.offered & featureBit(bit));
      expect(offered).toEqual(bits);
      const refused = [37, 39, 40, 41].filter(
        (bit) => !negotiate(core, Features.VERSION_1 | featureBit(bit)),
      );
      expect(refused).toEqual([37, 39, 40, 41].filter((bit) => !bits.includes(bit)));
    }
  });

  it("F-B-04: features are shown in windows of 32 bits; other windows read 0 and stay 0", async () => {
    const { core } = await echoDevice();
    expect(core.readDeviceFeatures(2)).toBe(1 << 5);
    expect(negotiate(core, Features.VERSION_1 | FAR)).toBe(true);
    expect(core.features).toBe(Features.VERSION_1 | FAR);
    core.writeStatus(0);
    for (const window of [4, 5, 0xffff_ffff, -1, 0.5, Number.NaN]) {
      core.writeDriverFeatures(window, 0xffff_ffff);
      expect([core.readDeviceFeatures(window), core.readDriverFeatures(window)]).toEqual([0, 0]);
      expect(core.fault?.code).toBe("features-window");
    }
    for (let window = 0; window < 4; window++) expect(core.readDriverFeatures(window)).toBe(0);
  });

  it("F-V-01: a device whose access is limited offers ACCESS_PLATFORM and does not run without it", async () => {
    const free = await echoDevice({ features: 0n });
    expect(free.core.offered).toBe(Features.VERSION_1);
    const { core } = await echoDevice({ features: 0n, core: { accessLimited: true } });
    expect(core.offered).toBe(Features.VERSION_1 | Features.ACCESS_PLATFORM);
    expect(negotiate(core, Features.VERSION_1)).toBe(false);
    expect(core.fault?.code).toBe("features-required");
    expect(negotiate(core, Features.VERSION_1 | Features.ACCESS_PLATFORM)).toBe(true);
  });

  it("F-V-01: a DMA backend is such a limit, from the next reset on", async () => {
    const { core, engine } = await echoDevice({ features: 0n, engine: { dma: { backends: ["swiotlb"] } } });
    engine.devices[0].setDma("swiotlb");
    expect(core.offered).toBe(Features.VERSION_1);
    core.writeStatus(0);
    expect(core.offered).toBe(Features.VERSION_1 | Features.ACCESS_PLATFORM);
    expect(negotiate(core, Features.VERSION_1)).toBe(false);
  });
});

describe("FEATURES_OK", () => {
  const bits = [28, 29, 32, 33, 34, 35, 36, 38, 40].map(featureBit);

  it.each([false, true])(
    "G-V-04, F-B-01: of all 512 sets of reserved bits it holds for exactly those with VERSION_1, and with ACCESS_PLATFORM where access is limited: %s",
    async (accessLimited) => {
      const { core } = await echoDevice({ core: { accessLimited } });
      for (const set of subsets(bits)) {
        const legal =
          (set & Features.VERSION_1) !== 0n && (!accessLimited || (set & Features.ACCESS_PLATFORM) !== 0n);
        expect(negotiate(core, set)).toBe(legal);
        expect(core.features).toBe(legal ? set : 0n);
        if (!legal) expect(core.fault?.code).toBe("features-required");
      }
    },
  );

  it("G-V-04: a feature without what it needs, or that was not offered, is refused, and the driver may try again", async () => {
    const { core } = await echoDevice({ features: PLAIN | FANCY });
    expect(negotiate(core, Features.VERSION_1 | FANCY)).toBe(false);
    expect(core.fault?.code).toBe("features-dependency");
    core.writeDriverFeatures(0, Number(PLAIN | FANCY));
    core.writeStatus(0x0b);
    expect(core.readStatus()).toBe(0x0b);
    for (const bit of [2, 24, 30, 36, 44, 69, 127]) {
      expect(negotiate(core, Features.VERSION_1 | featureBit(bit))).toBe(false);
      expect(core.fault?.code).toBe("features-not-offered");
    }
  });

  it("G-V-04: the kind has the last word", async () => {
    const { core, kind } = await echoDevice();
    kind.answers.accept = false;
    expect(negotiate(core, Features.VERSION_1)).toBe(false);
    expect(core.fault?.code).toBe("features-kind");
    const picky = await echoDevice({ required: FAR });
    expect(negotiate(picky.core, Features.VERSION_1)).toBe(false);
    expect(negotiate(picky.core, Features.VERSION_1 | FAR)).toBe(true);
  });

  it("G-V-05: what was accepted once is accepted again, 1000 resets later", async () => {
    const { core } = await echoDevice();
    const random = new Random(1);
    const set = subsets(bits).filter((mask) => mask & Features.VERSION_1)[random.int(0, 255)];
    for (let round = 0; round < 1000; round++) expect(negotiate(core, set)).toBe(true);
  });

  it("G-D-11: features written after it change nothing until a reset", async () => {
    const { core } = await echoDevice();
    expect(negotiate(core, Features.VERSION_1)).toBe(true);
    core.writeDriverFeatures(0, Number(PLAIN));
    expect(core.fault?.code).toBe("features-late");
    expect(core.readDriverFeatures(0)).toBe(0);
    expect(core.features).toBe(Features.VERSION_1);
    core.writeStatus(0);
    expect([core.readDriverFeatures(1), core.features]).toEqual([0, 0n]);
  });
});

describe("the rules of a network device", () => {
  const all = Object.values(NetFeatures).reduce((mask, bit) => mask | bit, 0n);

  it("hold for everything together, and each one is broken by what it needs going away", () => {
    expect(brokenRule(all, NET_FEATURE_RULES)).toBeUndefined();
    for (const { feature, needs, advised } of NET_FEATURE_RULES) {
      for (const mask of needs) {
        const without = all & ~mask;
        expect(closedFeatures(without, NET_FEATURE_RULES) & feature).toBe(0n);
        const alone = NET_FEATURE_RULES.filter((rule) => rule.feature === feature);
        expect(brokenRule(without, alone) === undefined).toBe(advised === true);
      }
    }
  });

  it("closing a set is taking away, ends, and breaks nothing", () => {
    const random = new Random(3);
    for (let round = 0; round < 2000; round++) {
      let set = 0n;
      for (const bit of Object.values(NetFeatures)) if (random.chance(60)) set |= bit;
      const closed = closedFeatures(set, NET_FEATURE_RULES);
      expect(closed & ~set).toBe(0n);
      expect(brokenRule(closed, NET_FEATURE_RULES)).toBeUndefined();
      expect(closedFeatures(closed, NET_FEATURE_RULES)).toBe(closed);
    }
  });
});
