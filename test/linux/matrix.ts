// One combination of features: it is negotiated, pings pass both ways, and every frame is counted.
import { afterEach, expect, test } from "vitest";
import { Features } from "../../src/features.ts";
import { NetFeatures } from "../../src/net-features.ts";
import { COMBINATIONS, type Combination } from "./combinations.ts";
import { expectEqualCounts, expectQuietLog, negotiated } from "./guest-state.ts";
import { Machine } from "./machine.ts";

const PINGS = 200;
const SIZES = [64, 1400, 9000];

let machine: Machine | undefined;
afterEach(() => {
  machine?.end();
  machine = undefined;
});

/** The tests of every second combination, so that two files share them. */
export function testMatrix(remainder: number): void {
  for (const combination of COMBINATIONS.filter((_, index) => index % 2 === remainder))
    test(`${combination.name}: negotiated, and ${PINGS} pings of each size both ways are answered`, () =>
      check(combination));
}

async function check({ packed, eventIdx, indirect, mergeable, options }: Combination): Promise<void> {
  machine = await Machine.boot({ options });
  const features = await negotiated(machine);
  const has = (feature: bigint) => (features & feature) !== 0n;
  expect({
    version1: has(Features.VERSION_1),
    packed: has(Features.RING_PACKED),
    eventIdx: has(Features.EVENT_IDX),
    indirect: has(Features.INDIRECT_DESC),
    mergeable: has(NetFeatures.MRG_RXBUF),
  }).toEqual({ version1: true, packed, eventIdx, indirect, mergeable });

  for (const bytes of SIZES) {
    const said = await machine.run(`ping -A -q -c ${PINGS} -s ${bytes} 10.0.0.1`);
    expect(said).toContain(`${PINGS} packets transmitted, ${PINGS} packets received, 0% packet loss`);
    const { lost } = await machine.ping(PINGS, bytes);
    expect(lost).toBe(0);
  }
  await expectEqualCounts(machine);
  await expectQuietLog(machine);
}
