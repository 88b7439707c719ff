/** `vring systems`: every system that can be compared, and what it is made of. */
import { copiesText, madeOf } from "../compare/report/system-words.ts";
import { DIRECTIONS, directionsOf, driverOf, SYSTEM_RECORDS, type SystemRecord } from "../system/records.ts";
import { copiesOf, wayOf } from "../system/way.ts";
import type { Context } from "./context.ts";
import { readSystems } from "./system-files.ts";

export interface SystemsFlags {
  systemFile?: string[];
  json?: boolean;
}

/** @throws UsageError for a file that holds no record */
export function runSystems({ systemFile = [], json = false }: SystemsFlags, { stdout }: Context): void {
  const records = [...Object.values(SYSTEM_RECORDS), ...readSystems(systemFile)];
  stdout.write(json ? `${JSON.stringify(records.map(toJson), undefined, 2)}\n` : toLines(records));
}

/** The record with nothing left open, and for each direction the copies and the way that they are on. */
function toJson(record: SystemRecord): object {
  const directions = directionsOf(record);
  const each = <T>(of: (direction: (typeof DIRECTIONS)[number]) => T) =>
    Object.fromEntries(directions.map((direction) => [direction, of(direction)]));
  return {
    ...record,
    ...{ driver: driverOf(record), directions },
    copies: each((direction) => copiesOf(wayOf(record, direction))),
    way: each((direction) => wayOf(record, direction)),
  };
}

function toLines(records: readonly SystemRecord[]): string {
  const rows = records.map((record) => [
    record.name,
    directionsOf(record).join(", "),
    DIRECTIONS.map((direction) => copiesText(record, direction)).join(" / "),
    record.about,
  ]);
  const all = [["system", "directions", "copies TX / RX", "about"], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => row[column].length)));
  const [head, ...lines] = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const made = records.map((record) =>
    madeOf(record)
      .map(({ part, text }) => `${part} ${text}`)
      .join("; "),
  );
  return `${[head, ...lines.flatMap((line, k) => [line, `    ${made[k]}`])].join("\n")}\n`;
}
