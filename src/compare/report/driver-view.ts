/** How the reports show cases in which a driver's buffer policy moves packets through a DMA backend. */
import { inShort } from "../published.ts";
import type { CaseResult, Counters, DmaCounters, SystemCaseResult, SystemCounters } from "../result.ts";
import { isSystemCase } from "../result.ts";
import { describeFrame, perPacket, plural } from "./format.ts";
import { type Dimension, type Group, groupUnder, type Series, type View, varies } from "./view.ts";

/** What a driver's case has counted that isn't 0 by its nature. */
export const DRIVER_COUNTERS: Record<keyof (Counters & DmaCounters) | "headerCopyBytes", string> = {
  maps: "maps",
  unmaps: "unmaps",
  syncsCpu: "syncs for CPU",
  syncsDevice: "syncs for device",
  syncBytesAsked: "sync bytes asked",
  syncBytesCopied: "sync bytes copied",
  bounceBytes: "bounce bytes",
  headerCopyBytes: "header copy bytes",
  pagesAllocated: "pages allocated",
  pagesFreed: "pages freed",
  pagesReused: "pages reused",
  reuseRate: "reuse rate",
  iotlbHits: "IOTLB hits",
  iotlbMisses: "IOTLB misses",
  invalidations: "invalidations",
  flushes: "flushes",
  faults: "faults",
  tableTakes: "table takes",
  tableHits: "table hits",
  heapFalls: "falls to heap",
  directFalls: "falls to direct",
  localTakes: "local takes",
  remoteTakes: "remote takes",
  doorbells: "doorbells",
  interrupts: "interrupts",
};

const SERIES: readonly Series[] = [
  { name: "virtio-net", color: "var(--heap)", symbol: "square", dash: "none" },
  { name: "i40e", color: "var(--freelist)", symbol: "circle", dash: "12 3" },
  { name: "i40e-6.1", color: "var(--slot)", symbol: "diamond", dash: "2 3" },
  { name: "premapped", color: "var(--grow)", symbol: "triangle", dash: "6 3" },
];

export const DIRECTION = { tx: "transmit", rx: "receive" };
const TOUCH = {
  none: "payload not touched by the device",
  header: "header touched by the device",
  copy: "payload moved by the device",
};

/** A system's own fields. */
export const own = (text: (c: SystemCaseResult) => string) => (c: CaseResult) =>
  isSystemCase(c) ? text(c) : "";

export const frame: Dimension = { text: (c) => describeFrame(c.frame), stands: "title" };
export const direction: Dimension = { text: own((c) => DIRECTION[c.direction]), stands: "title" };
/** Only a kind that was asked for is part of a case's id; else each has its own. */
export const kind: Dimension = {
  text: own(({ id, rx }) => (rx !== null && id.split("/").includes(rx, 1) ? rx : "")),
  stands: "title if it varies",
};
export const queues: Dimension = { text: own((c) => plural(c.queues, "queue")), stands: "row if it varies" };
const dma: Dimension = { text: own((c) => c.dma), stands: "title" };

/** Bytes that the CPU copied beside the device's own work: at the bounce pool, and out of receive buffers. */
const copied = own(({ counters }) => perPacket(counters.bounceBytes + counters.headerCopyBytes));

export const figure = (short: string, long: string, text: (c: SystemCaseResult) => string) => ({
  short,
  long,
  text: own(text),
  folded: false,
});

export const others: readonly Dimension[] = [
  { text: own(({ hold }) => holding(hold)), stands: "row if it varies" },
  { text: ({ ring }) => `${ring} ring`, stands: "title if it varies" },
  { text: ({ batch }) => `bursts of ${batch}`, stands: "title if it varies" },
  { text: ({ ringSize }) => `ring ${ringSize}`, stands: "title if it varies" },
];

export const driverView: View = {
  dimensions: [
    frame,
    direction,
    dma,
    kind,
    queues,
    ...others,
    { text: ({ touch }) => TOUCH[touch], stands: "title if it varies" },
  ],
  sameBytes,
  row: own(rowName),
  roomy: false,
  figures: [
    figure("maps", "maps", ({ counters }) => perPacket(counters.maps)),
    figure("unmaps", "unmaps", ({ counters }) => perPacket(counters.unmaps)),
    figure("syncs", "syncs for CPU + for device", ({ counters }) => {
      return `${perPacket(counters.syncsCpu)}+${perPacket(counters.syncsDevice)}`;
    }),
    figure("pages", "pages allocated", ({ counters }) => perPacket(counters.pagesAllocated)),
    figure("reuse", "share of the posted buffers that took no page allocation", ({ counters }) => {
      return percent(counters.reuseRate);
    }),
    {
      short: "copied",
      long: "bytes copied to and from the bounce pool and out of receive buffers",
      text: copied,
      folded: false,
    },
    figure("iotlb", "share of the translations that the IOTLB had", hitRate),
    figure("inval", "invalidations", ({ counters }) => perPacket(counters.invalidations)),
    figure("faults", "faults", ({ counters }) => perPacket(counters.faults)),
  ],
  counters: counterColumns(DRIVER_COUNTERS),
  baselineName: baselineNameIn([dma, direction]),
  concludes: (c) => (isSystemCase(c) ? `${DIRECTION[c.direction]}, ${c.system}` : null),
  telling: () => true,
  shortId: own((c) => c.id.replace(`${c.system}/`, "").replace(`/${c.direction}`, "")),
  published,
  charts: {
    ratioGroups: byBackend,
    facet: queues.text,
    series: own((c) => c.system),
    known: SERIES,
    place: own(placeName),
    cost: { head: "Cost of a packet", by: "place", groups: byBackend },
  },
};

/** Frames that a receive buffer doesn't take are left out, and several queues have a digest of digests. */
export function sameBytes(c: CaseResult): string {
  if (!isSystemCase(c)) return "";
  return `${describeFrame(c.frame)}, ${DIRECTION[c.direction]}, ${plural(c.queues, "queue")}`;
}

export function counterColumns(names: Partial<Record<keyof SystemCounters, string>>): View["counters"] {
  return (Object.entries(names) as [keyof SystemCounters, string][]).map(([key, long]) => ({
    long,
    value: (c) => (isSystemCase(c) ? c.counters[key] : 0),
  }));
}

/** The id without what the title of its group says. */
function rowName(c: SystemCaseResult): string {
  return without(groupless(c), kind.text(c));
}

/** The id without what the titles of its figure and of its panel say. */
function placeName(c: SystemCaseResult): string {
  return without(groupless(c), `q${c.queues}`);
}

function groupless({ id, dma: backend, direction: way, frame: of }: SystemCaseResult): string {
  return without(id.replace(`/${backend}/${way}`, ""), typeof of === "number" ? `f${of}` : of);
}

/** The id without the one part that is `part`, if it has it. */
export function without(id: string, part: string): string {
  const parts = id.split("/");
  const at = parts.indexOf(part, 1);
  return at < 0 ? id : parts.toSpliced(at, 1).join("/");
}

function byBackend(cases: CaseResult[]): Group[] {
  return groupUnder(varies(cases, frame) ? [dma, direction, frame] : [dma, direction], cases);
}

/** The baseline's system when every case is compared with it in its own place, else the one case's id. */
export function baselineNameIn(places: readonly Dimension[]): View["baselineName"] {
  return (all, cases) => {
    const ids = [...new Set(cases.map((c) => c.ratio.baseline))];
    const found = all.filter(({ id }) => ids.includes(id));
    const systems = new Set(found.map(own(({ system }) => system)));
    const inPlace = cases.every((c) => {
      const baseline = found.find(({ id }) => id === c.ratio.baseline);
      return baseline !== undefined && places.every(({ text }) => text(baseline) === text(c));
    });
    if (systems.size === 1 && inPlace) return [...systems][0];
    return ids.length === 1 ? ids[0] : "the baseline";
  };
}

function hitRate({ counters: { iotlbHits, iotlbMisses } }: SystemCaseResult): string {
  return iotlbHits + iotlbMisses === 0 ? "-" : percent(iotlbHits / (iotlbHits + iotlbMisses));
}

/** `100%` and `0%` are exactly that. */
function percent(share: number): string {
  if (share === 0 || share === 1) return `${100 * share}%`;
  return `${Math.min(99.9, Math.max(0.1, 100 * share)).toFixed(1)}%`;
}

function holding(hold: number | "all" | null): string {
  if (hold === null) return "";
  return hold === "all" ? "consumers hold all" : `consumers hold ${hold}`;
}

/** The complaint that the drivers' policies are an answer to; only beside both kinds of driver. */
function published(cases: CaseResult[]): string | undefined {
  const drivers = new Set(cases.filter(isSystemCase).map(({ system }) => system));
  if (!drivers.has("virtio-net") || ![...drivers].some((name) => name.startsWith("i40e"))) return undefined;
  return inShort("mapping-per-packet");
}
