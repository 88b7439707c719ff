/**
 * Snapshots: a copy of the engine's region behind a header.
 *
 *   0         8         12       16         24       32        40          48
 *   | "vring snapshot" 8 bytes | version u32 | header bytes u32 | map u64 | base u64 | bytes u64 | digest u64 | region ...
 *
 * `map` is a digest of the memory map and of where every field lies: a snapshot of another version of the engine or
 * of other options has another. `digest` is of the header before it and of the region. Both are FNV-1a, against
 * damage and mistakes, not against malice: whoever can write a snapshot can write the digest, too.
 */
import type { Engine } from "./engine.ts";
import { SnapshotError } from "./errors.ts";
import { Fnv1a64 } from "./net/digest.ts";

/** Something that is more than its memory. */
export interface SnapshotPart {
  /** Places of words that say what it is: a snapshot in which one differs is of something else. */
  readonly identity: readonly number[];
  /** Another state is in the memory now. */
  restored(): void;
}

/** "vringsnp", little-endian. */
const MAGIC = 0x706e_7367_6e69_7276n;
const VERSION = 1;
const HEADER = 48;
const AT_VERSION = 8;
const AT_HEADER = 12;
const AT_MAP = 16;
const AT_BASE = 24;
const AT_BYTES = 32;
const AT_DIGEST = 40;

export function takeSnapshot(engine: Engine): Uint8Array {
  const bytes = engine.end - engine.base;
  const snapshot = new Uint8Array(HEADER + bytes);
  snapshot.set(engine.bytes(engine.base, bytes), HEADER);
  const header = new DataView(snapshot.buffer);
  header.setBigUint64(0, MAGIC, true);
  header.setUint32(AT_VERSION, VERSION, true);
  header.setUint32(AT_HEADER, HEADER, true);
  header.setBigUint64(AT_MAP, mapDigest(engine), true);
  header.setBigUint64(AT_BASE, BigInt(engine.base), true);
  header.setBigUint64(AT_BYTES, BigInt(bytes), true);
  header.setBigUint64(AT_DIGEST, digestOf(snapshot), true);
  return snapshot;
}

/** @throws SnapshotError unless it is whole, of this version, and of an engine like this one with parts like these. */
export function checkSnapshot(engine: Engine, snapshot: Uint8Array, parts: readonly SnapshotPart[]): void {
  const header = new DataView(snapshot.buffer, snapshot.byteOffset, snapshot.byteLength);
  if (snapshot.byteLength < HEADER || header.getBigUint64(0, true) !== MAGIC) {
    throw new SnapshotError("snapshot-damaged", "this is no snapshot: it doesn't start like one");
  }
  const version = header.getUint32(AT_VERSION, true);
  if (version !== VERSION || header.getUint32(AT_HEADER, true) !== HEADER) {
    throw new SnapshotError(
      "snapshot-version",
      `the snapshot has version ${version}, but must have ${VERSION}`,
    );
  }
  const bytes = header.getBigUint64(AT_BYTES, true);
  if (BigInt(snapshot.byteLength - HEADER) !== bytes) {
    throw new SnapshotError(
      "snapshot-damaged",
      `the snapshot has ${snapshot.byteLength - HEADER} bytes of memory, but its header says ${bytes}`,
    );
  }
  if (header.getBigUint64(AT_DIGEST, true) !== digestOf(snapshot)) {
    throw new SnapshotError("snapshot-damaged", "the snapshot's digest is not that of its bytes");
  }
  if (
    header.getBigUint64(AT_MAP, true) !== mapDigest(engine) ||
    header.getBigUint64(AT_BASE, true) !== BigInt(engine.base)
  ) {
    throw new SnapshotError(
      "snapshot-foreign",
      "the snapshot is of an engine with another memory map: other options, or another build",
    );
  }
  checkParts(engine, header, parts);
}

/** Puts the region of a checked snapshot into the memory. */
export function putSnapshot(engine: Engine, snapshot: Uint8Array): void {
  engine.bytes(engine.base, engine.end - engine.base).set(snapshot.subarray(HEADER));
}

function checkParts(engine: Engine, snapshot: DataView, parts: readonly SnapshotPart[]): void {
  for (const { identity } of [...engine.devices, ...parts]) {
    for (const place of identity) {
      const word = snapshot.getUint32(HEADER + place - engine.base, true);
      if (word === engine.u32[place >>> 2]) continue;
      const region = engine.regions.find(({ ptr, bytes }) => place >= ptr && place < ptr + bytes);
      throw new SnapshotError(
        "snapshot-foreign",
        `the snapshot is of something else: ${region?.name} has ${word} at byte ${place - (region?.ptr ?? 0)}, here it is ${engine.u32[place >>> 2]}`,
      );
    }
  }
}

/** All regions, and all sizes and offsets that the engine exports. */
function mapDigest(engine: Engine): bigint {
  const lines = engine.regions.map(({ name, ptr, bytes }) => `${name} ${ptr} ${bytes}`);
  for (const [name, value] of Object.entries(engine.wasm)) {
    if (value instanceof WebAssembly.Global) lines.push(`${name} ${value.value}`);
  }
  return BigInt(`0x${new Fnv1a64().addBytes(new TextEncoder().encode(lines.join("\n"))).hex()}`);
}

function digestOf(snapshot: Uint8Array): bigint {
  const digest = new Fnv1a64().addBytes(snapshot, 0, AT_DIGEST).addBytes(snapshot, HEADER);
  return BigInt(`0x${digest.hex()}`);
}
