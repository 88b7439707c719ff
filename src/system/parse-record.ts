/** A record that somebody wrote: looked over field by field, and for what contradicts itself. */
import * as v from "valibot";
import { ConfigError, PassthruError } from "../errors.ts";
import { negotiateRoom, type PassthruNic } from "../passthru-limits.ts";
import { DriverBench } from "./driver-bench.ts";
import { ROOMY, roomOf } from "./receive-buffers.ts";
import { systemRecord } from "./record.ts";
import { directionsOf, type RxPolicy, SYSTEM_RECORDS, type SystemRecord } from "./records.ts";

type Fields = Record<string, unknown>;

/** What stands in a record as a whole: fields of one kind make no sense in another. */
const WHOLE = ["application", "host.tx", "host.rx"];

/**
 * A system's record from what a JSON file holds. `extends` names a known system whose fields it has but for those that
 * it gives itself.
 * @throws ConfigError, one line that names field and value, and what would be right
 */
export function parseSystem(
  value: unknown,
  known: Readonly<Record<string, SystemRecord>> = SYSTEM_RECORDS,
): SystemRecord {
  if (!isFields(value)) throw new ConfigError(`${show(value)} is no record; an object with its fields is`);
  const { extends: base, ...own } = value;
  const whole = base === undefined ? own : merge(baseOf(base, known), own, "");
  // A name is nobody else's.
  const record = { ...whole, name: own.name };
  const { success, output, issues } = v.safeParse(systemRecord, record, { abortEarly: true });
  if (!success) throw new ConfigError(lineOf(issues[0], record));
  if (Object.hasOwn(known, output.name)) {
    throw new ConfigError(`name: ${show(output.name)} is a system already; another name is needed`);
  }
  checkContradictions(output);
  return output;
}

function baseOf(name: unknown, known: Readonly<Record<string, SystemRecord>>): Fields {
  if (typeof name === "string" && Object.hasOwn(known, name)) return { ...known[name] };
  throw new ConfigError(`extends: ${show(name)} is not possible; ${Object.keys(known).join(", ")} are`);
}

function merge(base: Fields, own: Fields, place: string): Fields {
  const merged = { ...base };
  for (const [field, value] of Object.entries(own)) {
    const path = place + field;
    const before = merged[field];
    const joins = isFields(value) && isFields(before) && !WHOLE.includes(path);
    merged[field] = joins ? merge(before, value, `${path}.`) : value;
  }
  return merged;
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function lineOf(issue: v.BaseIssue<unknown>, record: unknown): string {
  const path = v.getDotPath(issue) ?? "the record";
  const value = (issue.path ?? []).reduce<unknown>((at, { key }) => (at as Fields)?.[key as string], record);
  if (value === undefined)
    return `${path}: it is missing${issue.message === "it is missing" ? "" : `; ${issue.message} needed`}`;
  return `${path}: ${show(value)} is not possible; ${issue.message}`;
}

/** Short enough for a line. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}

/** A field that can't be what it is beside another; undefined when they go together. */
type Rule = (record: SystemRecord) => string | false;

const RULES: readonly Rule[] = [
  ({ rx, headerBytes }) =>
    rx.mergeable &&
    headerBytes === 0 &&
    "rx.mergeable: true goes with a device header, which says how many buffers a frame has; headerBytes 12 is needed",
  ({ rx, headerBytes }) =>
    rx.sgs === 2 &&
    headerBytes === 0 &&
    "rx.sgs: 2 gives the device header an element of its own, but headerBytes is 0; sgs 1 is right",
  ({ rx }) =>
    rx.references === "bias" &&
    !rx.kind.startsWith("page-reuse") &&
    `rx.references: "bias" is about pages that are reused, but rx.kind is ${show(rx.kind)}; "plain" is right`,
  ({ dma, accessPlatform }) =>
    !accessPlatform &&
    dma !== "direct" &&
    `dma: ${show(dma)} goes with accessPlatform true; a driver that hands out physical addresses has "direct"`,
  ({ host, accessPlatform }) =>
    accessPlatform &&
    PINNING.includes(host.tx.kind) &&
    `host.tx.kind: ${show(host.tx.kind)} pins pages by the physical addresses that a guest hands out; accessPlatform false is right`,
  ({ host, accessPlatform }) =>
    accessPlatform &&
    PINNING.includes(host.rx.kind) &&
    `host.rx.kind: ${show(host.rx.kind)} pins pages by the physical addresses that a guest hands out; accessPlatform false is right`,
  ({ rx }) =>
    rx.room !== undefined &&
    !ROOMY.includes(rx.kind) &&
    `rx.room: buffers of the kind ${show(rx.kind)} have no place for it; ${ROOMY.join(", ")} have`,
  ({ host, rx }) => host.rx.kind === "passthru" && roomLacking(host.rx.nic, rx),
];

/** What a NIC asks for that the driver's buffers don't have. */
function roomLacking(nic: PassthruNic, rx: RxPolicy): string | false {
  try {
    negotiateRoom(nic, roomOf(rx));
    return false;
  } catch (error) {
    if (!(error instanceof PassthruError)) throw error;
    return `host.rx.nic: ${error.message}; rx.room as large, or packetSplit true, is right`;
  }
}

/** Hosts that pin the guest's pages: they reach what it hands out without its mappings. */
const PINNING = ["zerocopy", "passthru"];

/** @throws ConfigError */
function checkContradictions(record: SystemRecord): void {
  for (const rule of RULES) {
    const wrong = rule(record);
    if (wrong !== false) throw new ConfigError(wrong);
  }
  // What the engine has to say of it: nothing is run.
  for (const direction of directionsOf(record))
    DriverBench.limits({ record, direction, dma: record.dma, queues: [[new Uint8Array(64)]] });
}
