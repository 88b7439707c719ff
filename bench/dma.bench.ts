/** What an IOMMU costs: mapping and unmapping by size and by backend, and translations by what the IOTLB has. */
import { Fnv1a64 } from "../src/net/digest.ts";
import { type DomainCase, type OpenDomain, openDomains, REPEATS, TRANSLATIONS } from "./domains.ts";
import type { Suite, Task } from "./suite.ts";

const LIVE = 256;
const SMALL = { levels: 3, live: LIVE, entries: 64, ways: 4 } as const;

const CASES: DomainCase[] = [
  { ...SMALL, name: "iommu-strict", lazy: false },
  { ...SMALL, name: "iommu-lazy", lazy: true },
  { ...SMALL, name: "iommu-strict in bursts", lazy: false },
  { ...SMALL, name: "iommu-lazy in bursts", lazy: true },
  { ...SMALL, name: "64 entries", lazy: false },
  { ...SMALL, name: "256 entries", lazy: false, entries: LIVE },
  { ...SMALL, name: "4 levels", lazy: false, levels: 4 },
];

export const suite: Suite = {
  name: "dma",
  about: `IOMMU domains with ${LIVE} pages mapped: map and unmap, with a read in between, and translations alone`,
  operation: "map and unmap, or translation",
  async open() {
    const [strict, lazy, strictBursts, lazyBursts, small, large, deep] = await openDomains(CASES);
    return [
      ...[strict, lazy].flatMap((domain) =>
        [1, 4, 16].map((pages) =>
          task("map and unmap", `${domain.domainCase.name}, ${4 * pages} KiB`, domain, REPEATS, () =>
            domain.mapUnmap(pages << 12),
          ),
        ),
      ),
      ...[strictBursts, lazyBursts].map((domain) =>
        task("map, read, unmap", `${domain.domainCase.name}, with a read`, domain, REPEATS, () =>
          domain.mapReadUnmap(),
        ),
      ),
      ...[large, small].map((domain) =>
        task("translation", `IOTLB of ${domain.domainCase.name}`, domain, TRANSLATIONS, () =>
          domain.translate(),
        ),
      ),
      task("translation", "walk of 3 levels", small, TRANSLATIONS, () => small.walk()),
      task("translation", "walk of 4 levels", deep, TRANSLATIONS, () => deep.walk()),
    ];
  },
};

function task(group: string, name: string, domain: OpenDomain, operations: number, run: () => number): Task {
  return {
    name,
    operations,
    run: () => {
      run();
    },
    digest: () => {
      domain.renew();
      return new Fnv1a64().addLength(run()).hex();
    },
    // Every translation comes to the same places, whoever makes it.
    work: group === "translation" ? group : name,
    group,
  };
}
