/** How the reports show cases of whole systems: who copies what of a packet, and what that costs. */
import type { CaseResult, CopyCounters, SystemCaseResult } from "../result.ts";
import {
  baselineNameIn,
  counterColumns,
  DIRECTION,
  DRIVER_COUNTERS,
  direction,
  figure,
  frame,
  kind,
  others,
  own,
  queues,
  sameBytes,
  without,
} from "./driver-view.ts";
import { perPacket } from "./format.ts";
import { type Group, groupUnder, type Series, type View, varies } from "./view.ts";

const COPY_COUNTERS: Record<keyof CopyCounters, string> = {
  cpuCopies: "CPU copies",
  cpuBytes: "CPU bytes",
  engineCopies: "engine copies",
  engineBytes: "engine bytes",
  interconnectBytes: "interconnect bytes",
  headerCopyBytes: "header copy bytes",
  pinnedPages: "pinned pages",
  socketCopies: "socket copies",
  socketBytes: "socket bytes",
  wakeups: "wakeups",
};

/** The wire's DMA is nobody's CPU work, so a comparison of paths leaves it out unless it is asked for. */
const TOUCH = {
  none: "the wire's own DMA is left out",
  header: "the wire moves headers",
  copy: "the wire moves payloads",
};

/** Who copies the payload of a packet. */
const SERIES: readonly Series[] = [
  { name: "CPU copies", color: "var(--heap)", symbol: "square", dash: "none" },
  { name: "engine copies", color: "var(--grow)", symbol: "triangle", dash: "6 3" },
  { name: "no copy", color: "var(--freelist)", symbol: "circle", dash: "12 3" },
];

export const systemView: View = {
  dimensions: [
    frame,
    direction,
    kind,
    queues,
    ...others,
    { text: ({ touch }) => TOUCH[touch], stands: "title if it varies" },
  ],
  sameBytes,
  row: own(rowName),
  roomy: false,
  figures: [
    figure("copies", "payload copies by the CPU", ({ counters }) => perPacket(counters.cpuCopies)),
    figure("CPU B", "bytes of them", ({ counters }) => perPacket(counters.cpuBytes)),
    figure("eng B", "payload bytes copied by an engine", ({ counters }) => perPacket(counters.engineBytes)),
    figure("hdr B", "header bytes copied", ({ counters }) => perPacket(counters.headerCopyBytes)),
    figure("pins", "pages pinned", ({ counters }) => perPacket(counters.pinnedPages)),
    figure("maps", "maps", ({ counters }) => perPacket(counters.maps)),
    figure("bells", "doorbells", ({ counters }) => perPacket(counters.doorbells)),
  ],
  counters: counterColumns({ ...COPY_COUNTERS, ...DRIVER_COUNTERS }),
  baselineName: baselineNameIn([direction]),
  concludes: own((c) => `${DIRECTION[c.direction]}, ${c.system}`),
  telling: () => true,
  shortId: own((c) => without(rowName(c), c.system) || String(c.frame)),
  published: () => undefined,
  charts: {
    ratioGroups: byDirection,
    facet: queues.text,
    series: own(copier),
    known: SERIES,
    place: own(placeName),
    cost: { head: "Cost of a packet", by: "place", groups: byDirection },
  },
};

/** The id without what the title of its group says. */
function rowName(c: SystemCaseResult): string {
  const { id, direction: way, frame: of } = c;
  const named = without(without(id, way), typeof of === "number" ? `f${of}` : of);
  return without(named, kind.text(c));
}

/** The id without what the titles of its figure and of its panel say. */
function placeName(c: SystemCaseResult): string {
  return without(rowName(c), `q${c.queues}`);
}

function copier({ counters }: SystemCaseResult): string {
  if (counters.engineCopies > counters.cpuCopies) return "engine copies";
  return counters.cpuCopies > 0 ? "CPU copies" : "no copy";
}

function byDirection(cases: CaseResult[]): Group[] {
  return groupUnder(varies(cases, frame) ? [direction, frame] : [direction], cases);
}
