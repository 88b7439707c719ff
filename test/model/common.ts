/** What the models of both halves and both formats share. */
import type { RingFormat } from "../../src/names.ts";
import type { Span } from "../support/canaries.ts";
import { RawMemory } from "../support/raw-memory.ts";

/** The model and the engine differ, or something is that must not be. */
export class Mismatch extends Error {}

export function must(truth: boolean, claim: string): asserts truth {
  if (!truth) throw new Mismatch(claim);
}

export function same(what: string, engine: unknown, model: unknown): void {
  if (engine !== model) throw new Mismatch(`${what}: the engine has ${engine}, the model ${model}`);
}

/** An element of a buffer: a place in the memory. */
export interface Element {
  ptr: number;
  bytes: number;
  write: boolean;
}

/** What is wrong, by the engine's code, and where. */
export interface Fault {
  code: number;
  index: number;
}

export type State = "stopped" | "live" | "broken";

/** What both halves of a queue agree on. */
export interface Ring {
  format: RingFormat;
  size: number;
  desc: number;
  driverArea: number;
  deviceArea: number;
  indirect: boolean;
  eventIdx: boolean;
  inOrder: boolean;
}

/** The device around the queue. */
export interface World {
  /** DRIVER_OK is set. */
  driverOk: boolean;
  needsReset: boolean;
  configNotifications: number;
  /** The address space: bus addresses [base, base + length). */
  base: bigint;
  length: bigint;
}

export function runs(world: World): boolean {
  return world.driverOk && !world.needsReset;
}

/** The memory as the model says that it should be; it remembers what was stored since it last forgot. */
export class Image extends RawMemory {
  stored: Span[] = [];

  override setU16(ptr: number, value: number): void {
    super.setU16(ptr, value);
    this.stored.push({ ptr, bytes: 2 });
  }
  override setU32(ptr: number, value: number): void {
    super.setU32(ptr, value);
    this.stored.push({ ptr, bytes: 4 });
  }
  override setU64(ptr: number, value: bigint): void {
    super.setU64(ptr, value);
    this.stored.push({ ptr, bytes: 8 });
  }
}

export const BYTES_LIMIT = 2 ** 32;

export function sum(elements: readonly Element[], write?: boolean): number {
  let total = 0;
  for (const element of elements) {
    if (write === undefined || element.write === write) total += element.bytes;
  }
  return total;
}

/** Indices of the split ring run modulo 2^16 (S-B-07). */
export function next16(index: number): number {
  return (index + 1) % 65536;
}

/** 3.5 in words: one of the entries `from` .. `to` - 1 is `event`. */
export function splitEventMet(event: number, from: number, to: number): boolean {
  for (let index = from; index !== to; index = next16(index)) {
    if (index === event) return true;
  }
  return false;
}
