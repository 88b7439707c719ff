/** The way of a packet through a system, drawn: where its bytes are copied, by whom, and where they are only referred to. */
import { type Direction, directionsOf, type SystemRecord } from "../../system/records.ts";
import { type Leg, type Step, wayOf } from "../../system/way.ts";

// One lane for each direction, stops from a socket on the left to the wire on the right:
//
//   transmit   [ driver ] - by reference -> [ device ] == CPU copy ==> [ host ] .. DMA ..> [ wire ]

const WIDTH = 920;
const LANE = 74;
const BOX = { width: 84, height: 30 };
/** Where the first box starts: behind the name of the lane. */
const LEFT = 76;
const HEAD = 7;

/** Never told apart by colour alone: the words stand beside each arrow, and lines differ in dash and strength. */
const ARROWS: Readonly<Record<Step, { words: string; color: string; dash: string; width: number }>> = {
  reference: { words: "by reference", color: "var(--faint)", dash: "4 3", width: 1.2 },
  cpu: { words: "CPU copy", color: "var(--grow)", dash: "none", width: 3 },
  engine: { words: "engine copy", color: "var(--per-node)", dash: "9 3", width: 3 },
  header: { words: "header copy", color: "var(--grow)", dash: "none", width: 1.2 },
  dma: { words: "DMA", color: "var(--freelist)", dash: "1.5 3", width: 1.8 },
};

const LANES: Readonly<Record<Direction, string>> = { tx: "transmit", rx: "receive" };

/** Static SVG in the page's colours, with the same in words for who can't see it. */
export function wayDiagram(document: Document, record: SystemRecord): Element {
  const lanes = directionsOf(record).map((direction) => ({ direction, way: wayOf(record, direction) }));
  const height = LANE * lanes.length;
  const svg = element(document, "svg", {
    ...{ role: "img", "aria-label": inWords(record), viewBox: `0 0 ${WIDTH} ${height}` },
    ...{ width: WIDTH, height, "font-size": 12 },
  });
  for (const [k, { direction, way }] of lanes.entries()) {
    const y = k * LANE + 34;
    svg.append(text(document, 0, y + 4, LANES[direction], { fill: "var(--faint)" }));
    drawLane(document, svg, direction === "tx" ? way : way.toReversed(), direction, y);
  }
  return svg;
}

/** `vhost-net, transmit: driver, by reference to device, CPU copy to host, DMA to wire; receive: ...` */
export function inWords(record: SystemRecord): string {
  const lanes = directionsOf(record).map((direction) => {
    const way = wayOf(record, direction);
    const legs = way.map((leg) => `${[ARROWS[leg.step].words, ...notesOf(leg)].join(", ")} to ${leg.to}`);
    return `${LANES[direction]}: ${[way[0].from, ...legs].join(", ")}`;
  });
  return `${record.name}, ${lanes.join("; ")}`;
}

/** `legs` from left to right, whatever way the packet takes. */
function drawLane(
  document: Document,
  svg: Element,
  legs: readonly Leg[],
  direction: Direction,
  y: number,
): void {
  const gap = (WIDTH - LEFT - BOX.width * (legs.length + 1)) / legs.length;
  const startOf = (stop: number) => LEFT + stop * (BOX.width + gap);
  const [near, far] = direction === "tx" ? (["from", "to"] as const) : (["to", "from"] as const);
  const stops = [legs[0][near], ...legs.map((leg) => leg[far])];
  for (const [k, stop] of stops.entries()) drawBox(document, svg, startOf(k), y, stop);
  for (const [k, leg] of legs.entries()) {
    const [left, right] = [startOf(k) + BOX.width + 3, startOf(k + 1) - 3];
    drawArrow(document, svg, leg, direction === "tx" ? [left, right] : [right, left], y);
  }
}

function drawBox(document: Document, svg: Element, x: number, y: number, name: string): void {
  const { width, height } = BOX;
  svg.append(
    element(document, "rect", {
      ...{ x, y: y - height / 2, width, height, rx: 4, fill: "none", stroke: "currentColor" },
    }),
    text(document, x + width / 2, y + 4, name, { "text-anchor": "middle" }),
  );
}

function drawArrow(
  document: Document,
  svg: Element,
  leg: Leg,
  [from, to]: readonly number[],
  y: number,
): void {
  const { words, color, dash, width } = ARROWS[leg.step];
  const back = to > from ? -HEAD : HEAD;
  const middle = (from + to) / 2;
  svg.append(
    element(document, "line", {
      ...{ x1: from, y1: y, x2: to + back, y2: y, stroke: color, "stroke-width": width },
      "stroke-dasharray": dash,
    }),
    element(document, "path", { d: `M${to} ${y}l${back} -4.5v9z`, fill: color }),
    text(document, middle, y - 8, words, { "text-anchor": "middle", "font-size": 11 }),
    ...notesOf(leg).map((note, k) =>
      text(document, middle, y + 16 + 12 * k, note, {
        ...{ "text-anchor": "middle", "font-size": 10, fill: "var(--faint)" },
      }),
    ),
  );
}

function notesOf({ note, copiedBelow }: Leg): string[] {
  return [...(note === "" ? [] : [note]), ...(copiedBelow === 0 ? [] : [`below ${copiedBelow} B CPU copy`])];
}

type Attributes = Record<string, string | number>;

function text(document: Document, x: number, y: number, words: string, attributes: Attributes): Element {
  const made = element(document, "text", { ...{ x, y, fill: "currentColor" }, ...attributes });
  made.textContent = words;
  return made;
}

function element(document: Document, name: string, attributes: Attributes): Element {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}
