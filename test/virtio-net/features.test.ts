/** Features of a network card (5.1.3): what needs what, at the offer, at the ack, and at FEATURES_OK. */
import { describe, expect, it } from "vitest";
import { NET_DEVICE_FEATURES } from "../../src/device/net.ts";
import { NET_DRIVER_FEATURES } from "../../src/driver/net.ts";
import { Features } from "../../src/features.ts";
import { NET_FEATURE_RULES } from "../../src/net-features.ts";
import { ALL_NET, F, rawDeviceRig, rawDriverRig } from "./rig.ts";

function nameOf(mask: bigint): string {
  return Object.entries(F)
    .filter(([, bit]) => (bit & mask) !== 0n)
    .map(([name]) => name)
    .join(" or ");
}

/** Every feature with everything that it needs, one need at a time. */
const NEEDS = NET_FEATURE_RULES.flatMap(({ feature, needs, advised = false }) =>
  needs.map((need) => ({ name: `${nameOf(feature)} without ${nameOf(need)}`, feature, need, advised })),
);

/** Those that a driver can break: with features that the device has, and rules that are no mere advice. */
const REFUSED = NEEDS.filter(({ feature, advised }) => !advised && (feature & NET_DEVICE_FEATURES) !== 0n);

/** Rules of the table in the specification, counted by hand: 26 features that must, two that should. */
it("N-B-02: the table has a rule for every feature that needs another", () => {
  expect(NET_FEATURE_RULES.filter(({ advised }) => !advised)).toHaveLength(26);
  expect(
    NET_FEATURE_RULES.filter(({ advised }) => advised)
      .map(({ feature }) => nameOf(feature))
      .sort(),
  ).toEqual(["CTRL_RX_EXTRA", "HASH_REPORT"]);
});

describe.each(NEEDS)("N-B-02: $name", ({ feature, need }) => {
  it("is not offered", async () => {
    const { device } = await rawDriverRig({ features: ALL_NET & ~need, pairs: 2, queues: [0, 1] });
    expect(device.offered & feature).toBe(0n);
  });

  it("is not acked", async () => {
    const rig = await rawDeviceRig({
      features: ALL_NET,
      start: false,
      driver: { features: (1n << 128n) - 1n },
    });
    // The device's own offer is closed: what a broken one would say is put in its place.
    const offered = rig.device.offered;
    const broken = (offered | feature) & ~need;
    rig.device.readDeviceFeatures = (window) => Number((broken >> BigInt(32 * window)) & 0xffff_ffffn);
    try {
      rig.driver.start();
    } catch (error) {
      // No control queue answers here.
      expect(error).toMatchObject({ code: "command-timeout" });
    }
    expect(rig.driver.features & feature).toBe(0n);
  });
});

it.each(REFUSED)("N-B-02: FEATURES_OK does not stand with $name", async ({ feature, need }) => {
  const { device } = await rawDriverRig({ pairs: 2, queues: [0, 1] });
  const negotiate = (features: bigint): number => {
    device.writeStatus(0);
    device.writeStatus(1);
    device.writeStatus(3);
    for (let window = 0; window < 4; window++)
      device.writeDriverFeatures(window, Number((features >> BigInt(32 * window)) & 0xffff_ffffn));
    device.writeStatus(11);
    return device.readStatus();
  };
  const all = device.offered & ~Features.RING_PACKED;
  expect(negotiate(all)).toBe(11);
  // Nothing else that needs it may be there, so that it is this rule that is broken.
  const others = NET_FEATURE_RULES.filter(
    (rule) => rule.feature !== feature && rule.needs.some((mask) => mask & need),
  );
  const without = others.reduce((features, rule) => features & ~rule.feature, all & ~need);
  expect(negotiate(without | feature)).toBe(3);
  expect(device.fault).toMatchObject({ code: "features-dependency" });
  expect(negotiate(all)).toBe(11);
});

it("neither half offers or acks what it can't do", async () => {
  const missing = F.DEVICE_STATS | F.HASH_TUNNEL | F.RSC_EXT | F.STANDBY | F.RSS_CONTEXT | F.IPSEC;
  expect(nameOf(NET_DEVICE_FEATURES & missing)).toBe("");
  expect(nameOf(NET_DRIVER_FEATURES & missing)).toBe("");
  expect(NET_DEVICE_FEATURES | missing).toBe(Object.values(F).reduce((all, bit) => all | bit, 0n));
  const { device, driver } = await rawDriverRig({
    features: (1n << 128n) - 1n,
    reserved: 0n,
    queues: [0, 1],
  });
  expect(device.offered & missing).toBe(0n);
  expect(driver.features & ~device.offered).toBe(0n);
});
