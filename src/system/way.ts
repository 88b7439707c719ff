/**
 * The way of a packet through a system, from its record: stop by stop, and how its bytes get from one to the next. Lists
 * and diagrams are made from it; what the engine counts has to agree, and a test says so.
 *
 *   socket | driver | device | host ... | wire          transmit goes to the right, receive to the left
 */
import { ZEROCOPY_LEAST } from "../../assembly/abi.ts";
import {
  type Application,
  type Direction,
  directionsOf,
  type HostRx,
  type HostTx,
  type SystemRecord,
} from "./records.ts";

/**
 * - `reference`: where the bytes lie is handed on, and they stay.
 * - `cpu`, `engine`: the CPU, or a copy engine, copies the whole frame.
 * - `header`: the CPU copies the header; the payload stays, and is handed on.
 * - `dma`: a NIC reads or writes them, which is nobody's CPU work.
 */
export type Step = "reference" | "cpu" | "engine" | "header" | "dma";

export interface Leg {
  from: string;
  to: string;
  step: Step;
  /** Frames shorter than that are copied whole by the CPU; 0: none. */
  copiedBelow: number;
  /** What there is to know of it. */
  note: string;
}

/** What comes between two stops. */
type Crossing = Pick<Leg, "step"> & Partial<Pick<Leg, "copiedBelow" | "note">>;

/** Copies of a frame on the whole way. */
export interface WayCopies {
  cpu: number;
  engine: number;
  header: boolean;
  /** Frames shorter than that have one copy by the CPU more; 0: none. */
  copiedBelow: number;
}

const DMA: Crossing = { step: "dma" };

type Kinds<T extends { kind: string }> = {
  [K in T["kind"]]: (path: Extract<T, { kind: K }>, direction: Direction) => Crossing[];
};

/** From an application to its driver; none without one. */
const APPLICATION: Readonly<Record<Application["kind"], readonly Crossing[]>> = {
  none: [],
  "af-packet": [{ step: "cpu" }],
  "af-packet-zc": [{ step: "reference" }],
  xsk: [{ step: "reference" }],
  "xsk-copy": [{ step: "cpu" }],
};

/** From the device to the wire, with a host's buffers between each two crossings. */
const HOST: Kinds<HostTx | HostRx> = {
  wire: () => [DMA],
  copy: ({ hops }) => [...Array.from({ length: hops }, (): Crossing => ({ step: "cpu" })), DMA],
  engine: () => [{ step: "engine" }, DMA],
  zerocopy: () => [{ step: "header", copiedBelow: ZEROCOPY_LEAST, note: "the rest pinned" }, DMA],
  passthru: ({ nic }, direction) =>
    direction === "rx" && !nic.packetSplit
      ? [{ step: "dma", note: "into pinned pages" }]
      : [{ step: "header", note: "the rest pinned" }, DMA],
};

/** In the direction of the packet. @throws RangeError for a direction that the system doesn't have */
export function wayOf(record: SystemRecord, direction: Direction): Leg[] {
  if (!directionsOf(record).includes(direction)) throw new RangeError(`${record.name} has no ${direction}`);
  const host = record.host[direction];
  const crossingsOf = HOST[host.kind] as (path: HostTx | HostRx, direction: Direction) => Crossing[];
  const outside = crossingsOf(host, direction);
  const above = APPLICATION[record.application.kind];
  const crossings = [...above, ring(record, direction), ...outside];
  const hosts = outside.slice(1).map((_, k) => (outside.length > 2 ? `host ${k + 1}` : "host"));
  const stops = [...above.map(() => "socket"), "driver", "device", ...hosts, "wire"];
  const legs = crossings.map(
    ({ step, copiedBelow = 0, note = "" }, k): Leg => ({
      ...{ from: stops[k], to: stops[k + 1], step, copiedBelow, note },
    }),
  );
  if (direction === "tx") return legs;
  return legs.toReversed().map((leg) => ({ ...leg, from: leg.to, to: leg.from }));
}

/** Between driver and device: the ring refers to buffers; some drivers copy headers out of those received. */
function ring({ accessPlatform, dma, rx }: SystemRecord, direction: Direction): Crossing {
  const note = accessPlatform && dma !== "direct" ? `through ${dma}` : "";
  const copiesHeaders = direction === "rx" && rx.kind === "page-reuse";
  return { step: copiesHeaders ? "header" : "reference", note };
}

export function copiesOf(way: readonly Leg[]): WayCopies {
  const count = (wanted: Step) => way.filter(({ step }) => step === wanted).length;
  return {
    cpu: count("cpu"),
    engine: count("engine"),
    header: count("header") > 0,
    copiedBelow: Math.max(...way.map(({ copiedBelow }) => copiedBelow)),
  };
}
