/** A system in words, from its record: who copies what, and what it is made of. */
import { type Direction, directionsOf, driverOf, type SystemRecord } from "../../system/records.ts";
import { copiesOf, wayOf } from "../../system/way.ts";

/** `1`, `2`, `0`, `1 by an engine`, `0 + header`, `0 + header (below 256 B 1)`; `-` for what the system doesn't do. */
export function copiesText(record: SystemRecord, direction: Direction): string {
  if (!directionsOf(record).includes(direction)) return "-";
  const { cpu, engine, header, copiedBelow } = copiesOf(wayOf(record, direction));
  const whole = engine > 0 ? [...(cpu > 0 ? [String(cpu)] : []), `${engine} by an engine`] : [String(cpu)];
  const small = copiedBelow > 0 ? ` (below ${copiedBelow} B ${cpu + 1})` : "";
  return whole.concat(header ? ["header"] : []).join(" + ") + small;
}

/** What a system is made of: a part and what it is, in the order of a packet that is sent. */
export function madeOf(record: SystemRecord): { part: string; text: string }[] {
  const { application, host, rx, dma, accessPlatform } = record;
  const receives = directionsOf(record).includes("rx");
  const hosts = directionsOf(record).map((way) => ({ way, text: kindText(host[way]) }));
  const same = new Set(hosts.map(({ text }) => text)).size === 1;
  return [
    ...(application.kind === "none" ? [] : [{ part: "application", text: kindText(application) }]),
    { part: "driver", text: driverOf(record) },
    ...(receives ? [{ part: "receive buffers", text: rx.kind }] : []),
    { part: "dma", text: accessPlatform ? dma : "none, physical addresses" },
    {
      part: "host",
      text: same ? hosts[0].text : hosts.map(({ way, text }) => `${way} ${text}`).join(", "),
    },
  ];
}

/** `copy (hops 2)`; the wire is no host. */
function kindText({ kind, ...fields }: { kind: string }): string {
  if (kind === "wire") return "none";
  const texts = fieldTexts(fields);
  return texts.length === 0 ? kind : `${kind} (${texts.join(", ")})`;
}

/** `hops 2`, and of what has fields of its own `nic (headroom 64, packetSplit true)`. */
function fieldTexts(fields: object): string[] {
  return Object.entries(fields).map(([name, value]) =>
    typeof value === "object" ? `${name} (${fieldTexts(value).join(", ")})` : `${name} ${value}`,
  );
}
