/** Kept cases: past failures, and what is known to have broken real implementations. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { expectedOf, fromHex } from "./bytes.ts";
import { caseText } from "./fuzzer.ts";

/** In the repository's folder, where both the command and the tests run. */
const SEEDS = "fuzz/seeds";

export interface Kept {
  name: string;
  bytes: Uint8Array;
  /** Outcomes that it must reach. */
  expected: string[];
}

export function keptCases(target: string): Kept[] {
  const folder = `${SEEDS}/${target}`;
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((name) => name.endsWith(".hex"));
  return files.sort().map((name) => {
    const text = readFileSync(`${folder}/${name}`, "utf8");
    return { name: name.slice(0, -4), bytes: fromHex(text), expected: expectedOf(text) };
  });
}

/** Where a case that failed is, or would be, kept. */
export function caseFile(target: string, bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return `${SEEDS}/${target}/found-${(hash >>> 0).toString(16).padStart(8, "0")}.hex`;
}

export function keepCase(
  target: string,
  found: { bytes: Uint8Array; words: readonly string[] },
  why: string,
): void {
  mkdirSync(`${SEEDS}/${target}`, { recursive: true });
  writeFileSync(caseFile(target, found.bytes), caseText(found, why));
}
