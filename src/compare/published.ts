/**
 * What was published elsewhere, and which of our cases stand beside it. Published figures are shown, and never used as
 * ours: a pair of our cases gets its own ratio, and what differs between them and the published run is said.
 */
import { groupBy } from "./group.ts";
import type { CaseFields, PublishedPair, PublishedResult, SystemFields } from "./result.ts";

/** By what a system's case is chosen. */
export type Chosen = CaseFields & SystemFields;

export interface PublishedFigure {
  name: string;
  title: string;
  /** What was said, with its source, as near to its words as a line allows. */
  published: string;
  /** In one line, for comparisons of something less than what was measured. */
  inShort: string;
  /** Before and after, and the ratio of the two. */
  before: number;
  after: number;
  unit: string;
  /** The case that stands for `after`, and what it is compared with. */
  ours: (c: Chosen) => boolean;
  against: (c: Chosen) => boolean;
  /** What both cases of a pair have to have alike. */
  alike: readonly (keyof Chosen)[];
  /** What is another thing there than here, for the cases of a pair. */
  differs: (ours: Chosen, against: Chosen) => string[];
}

const ALIKE = [
  "direction",
  "ring",
  "frame",
  "batch",
  "ringSize",
  "threshold",
  "touch",
  "queues",
  "hold",
] as const;

/** True of every pair. */
const MACHINE =
  "ours is WebAssembly on one core that does both halves and the path between them, without a NIC, a kernel or another program";

export const PUBLISHED: readonly PublishedFigure[] = [
  {
    name: "table-cache",
    title: "Cached indirect tables (AF_XDP transmit)",
    published:
      "2.64-2.72 Mpps without and 3.03-3.19 Mpps with a cache, means 2.68 and 3.11, 16 % more, one core at 100 %: " +
      "third version of a patch series for Linux's virtio ring, never merged",
    inShort:
      "a table cache took AF_XDP transmit from 2.68 to 3.11 Mpps (+16 %), one core at 100 %; patch series v3 for " +
      "Linux's virtio ring, never merged",
    before: 2.68,
    after: 3.11,
    unit: "Mpps",
    ours: (c) => isXsk(c) && c.tables === "freelist",
    against: (c) => isXsk(c) && c.tables === "heap",
    alike: [...ALIKE, "system", "sg", "dma"],
    differs: () => [
      MACHINE,
      "a table costs them kmalloc and kfree in a running kernel, 9.67 % of the time, and us a TLSF block",
    ],
  },
  {
    name: "mapping-per-packet",
    title: "Mapping per packet (physical function against virtual function)",
    published:
      "a virtio-net physical function at 0.5 Mpps with 8 queues against more than 1 Mpps for a virtual function, " +
      "suspected to be map and unmap per packet",
    inShort:
      "a virtio-net physical function at 0.5 Mpps with 8 queues, against more than 1 Mpps for a virtual function; " +
      "map and unmap per packet were suspected",
    before: 0.5,
    after: 1,
    unit: "Mpps",
    ours: ({ system }) => system === "sriov-vf" || system === "premapped",
    against: ({ system }) => system === "virtio-net",
    alike: [...ALIKE, "tables", "sg"],
    differs: (ours, against) => [
      MACHINE,
      "theirs is a whole driver at its card, ours the driver's rings, buffers and mappings alone",
      ...(ours.queues === 8 ? [] : [`theirs has 8 queues, ${ours.queues} of ours`]),
      `${ours.system} is behind ${ours.dma}, ${against.system} behind ${against.dma}`,
    ],
  },
  {
    name: "passthru",
    title: "Mediated pass-through (way one against vhost)",
    published:
      "1.1 to 1.7 Gbit/s, CPU 120-140 % to 140-160 %, of a 10G NIC, without packet split and offloads, against vhost " +
      "over a raw socket",
    inShort: "1.1 to 1.7 Gbit/s against vhost over a raw socket",
    before: 1.1,
    after: 1.7,
    unit: "Gbit/s",
    ours: ({ system }) => system === "passthru-direct",
    against: ({ system }) => system === "vhost-net",
    alike: ALIKE,
    differs: () => [
      MACHINE,
      "theirs counts a whole guest with its protocols and interrupts, so that a copy is a small part of a packet",
    ],
  },
];

function isXsk({ system, direction }: Chosen): boolean {
  return system === "xsk" && direction === "tx";
}

/** One line about a figure. */
export function inShort(name: PublishedFigure["name"]): string {
  const [{ inShort: line }] = PUBLISHED.filter((figure) => figure.name === name);
  return `Published elsewhere: ${line}.`;
}

/** Two cases that stand beside a published figure. */
export interface Pair<T> {
  figure: PublishedFigure;
  ours: T;
  against: T;
}

/** Every pair among the cases; of several that it could be compared with, a case takes the one behind its own backend. */
export function publishedPairs<T>(cases: readonly T[], chosenOf: (one: T) => Chosen | undefined): Pair<T>[] {
  const all = cases.flatMap((one) => {
    const chosen = chosenOf(one);
    return chosen === undefined ? [] : [{ one, chosen }];
  });
  return PUBLISHED.flatMap((figure) =>
    all
      .filter(({ chosen }) => figure.ours(chosen))
      .flatMap((ours): Pair<T>[] => {
        const others = all.filter(
          ({ chosen }) =>
            figure.against(chosen) && figure.alike.every((field) => chosen[field] === ours.chosen[field]),
        );
        const against = others.find(({ chosen }) => chosen.dma === ours.chosen.dma) ?? others[0];
        return against === undefined ? [] : [{ figure, ours: ours.one, against: against.one }];
      }),
  );
}

/** The figures that have a pair, each with its pairs. */
export function besideOurs(
  pairs: readonly { figure: PublishedFigure; pair: PublishedPair }[],
): PublishedResult[] {
  return [...groupBy(pairs, ({ figure }) => figure)].map(([figure, of]) => {
    const { name, title, published, before, after, unit } = figure;
    return { ...{ name, title, published, before, after, unit }, ours: of.map(({ pair }) => pair) };
  });
}
