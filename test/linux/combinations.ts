/** What the guest's driver is offered: every combination of these four. */
import { Features } from "../../src/features.ts";
import type { RingFormat } from "../../src/names.ts";
import { NetFeatures } from "../../src/net-features.ts";

export interface Combination {
  name: string;
  packed: boolean;
  eventIdx: boolean;
  indirect: boolean;
  mergeable: boolean;
  /** What `attach` is called with. */
  options: { format: RingFormat; without: bigint };
}

export const COMBINATIONS: readonly Combination[] = Array.from({ length: 16 }, (_, bits) => {
  const [packed, eventIdx, indirect, mergeable] = [8, 4, 2, 1].map((bit) => (bits & bit) !== 0);
  const without =
    (eventIdx ? 0n : Features.EVENT_IDX) |
    (indirect ? 0n : Features.INDIRECT_DESC) |
    (mergeable ? 0n : NetFeatures.MRG_RXBUF);
  const format = packed ? "packed" : "split";
  const parts = [format, eventIdx && "EVENT_IDX", indirect && "INDIRECT", mergeable && "MRG_RXBUF"];
  return {
    name: parts.filter(Boolean).join("+"),
    packed,
    eventIdx,
    indirect,
    mergeable,
    options: { format, without },
  };
});

/** Four that between them have every option on and off, in both formats. */
const FEW = ["split", "split+EVENT_IDX+INDIRECT+MRG_RXBUF", "packed+EVENT_IDX+INDIRECT", "packed+MRG_RXBUF"];

/** On which the long tests run: all with --full. */
export const LONG =
  process.env.VRING_LINUX_FULL === "1" ? COMBINATIONS : COMBINATIONS.filter(({ name }) => FEW.includes(name));
