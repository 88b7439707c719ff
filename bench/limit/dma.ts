/** The IOMMU: a map and unmap against the general allocator, translations, and both by what else is mapped. */
import { type DomainCase, openDomains, REPEATS, TRANSLATIONS } from "../domains.ts";
import {
  type Arm,
  arm,
  detailLine,
  type Found,
  medianOf,
  takeTurns,
  timesOf,
  verdictLine,
} from "./rounds.ts";

const ROUNDS = 30;
const BYTES = 64;
/** Other mappings that are live: for the bar, and for the curve. */
const LIVE = 256;
const MAPPED = [0, 16, LIVE, 4096, 65536];
const TRANSLATED = [16, 64, 256, 1024, 4096];
/** An IOTLB as devices have them. */
const IOTLB = { entries: 64, ways: 4 };
const MOST_NS = 3;

const STRICT: Omit<DomainCase, "name" | "live"> = { lazy: false, levels: 3, ...IOTLB };

export async function dmaLines(): Promise<string[]> {
  return [...(await mapLines()), ...(await translationLines())];
}

async function mapLines(): Promise<string[]> {
  const cases: DomainCase[] = [
    ...MAPPED.map((live): DomainCase => ({ ...STRICT, name: `strict ${live}`, live })),
    { ...STRICT, name: "lazy", lazy: true, live: LIVE },
    { ...STRICT, name: "strict, read", live: LIVE },
    { ...STRICT, name: "lazy, read", lazy: true, live: LIVE },
  ];
  const domains = await openDomains(cases);
  const [{ engine }] = domains;
  const control = engine.region("heap control").ptr;
  const figures = await takeTurns(
    [
      arm("TLSF", REPEATS, () => engine.wasm.tlsfTakeGive(control, BYTES, REPEATS), 4),
      ...domains.map((domain): Arm => {
        const { name } = domain.domainCase;
        return arm(
          name,
          REPEATS,
          () => (name.endsWith("read") ? domain.mapReadUnmap() : domain.mapUnmap()),
          4,
        );
      }),
    ],
    ROUNDS,
  );
  const where = `${LIVE} others live`;
  return [
    verdictLine(
      `iommu-strict, map and unmap of 4 KiB with invalidation against TLSF's take and give of ${BYTES} bytes`,
      { atMost: 1 },
      [{ where, interval: timesOf(figures, `strict ${LIVE}`, "TLSF") }],
    ),
    detailLine("TLSF, ns", figures, ["TLSF"]),
    detailLine(
      `iommu-strict, ns, ${MAPPED.join(", ")} others live`,
      figures,
      MAPPED.map((live) => `strict ${live}`),
    ),
    detailLine(`iommu-lazy, ns, ${where}`, figures, ["lazy"]),
    detailLine("with a read by the device in between, bursts of 32, strict and lazy, ns", figures, [
      "strict, read",
      "lazy, read",
    ]),
  ];
}

async function translationLines(): Promise<string[]> {
  const names = { hit: "IOTLB that holds all", miss: "IOTLB of 64", walk: "walk", deep: "walk of 4 levels" };
  const cases = TRANSLATED.flatMap((live): DomainCase[] => [
    { ...STRICT, name: `${names.hit} ${live}`, live, entries: Math.max(live, IOTLB.entries) },
    { ...STRICT, name: `${names.miss} ${live}`, live },
    { ...STRICT, name: `${names.walk} ${live}`, live },
    { ...STRICT, name: `${names.deep} ${live}`, live, levels: 4 },
  ]);
  const arms = (await openDomains(cases)).map((domain): Arm => {
    const { name } = domain.domainCase;
    return arm(name, TRANSLATIONS, () => (name.startsWith("walk") ? domain.walk() : domain.translate()), 3);
  });
  const figures = await takeTurns(arms, ROUNDS);
  const found = (name: string): Found => ({
    where: `${LIVE} live`,
    interval: medianOf(figures, `${name} ${LIVE}`),
  });
  const pays = TRANSLATED.filter((live) => {
    const [hit, walk] = [names.hit, names.walk].map((name) => medianOf(figures, `${name} ${live}`).value);
    return hit < walk;
  });
  return [
    verdictLine("translation with an IOTLB hit", { atMost: MOST_NS }, [found(names.hit)], "ns"),
    verdictLine("bare walk of a hot page table", { atMost: MOST_NS }, [found(names.walk)], "ns"),
    ...Object.values(names).map((name) =>
      detailLine(
        `${name}, ns, ${TRANSLATED.join(", ")} live`,
        figures,
        TRANSLATED.map((live) => `${name} ${live}`),
      ),
    ),
    pays.length > 0
      ? `    a hit costs less than the walk from ${pays[0]} live mappings on`
      : `    the IOTLB never pays up to ${TRANSLATED.at(-1)} live mappings: the walk finds its tables in the cache`,
  ];
}
