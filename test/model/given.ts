/** Buffers for add: what a choice means in the state that the queue is in. */
import type { DriverQueue } from "../../src/driver-queue.ts";
import { MAX_TABLE } from "./choices.ts";
import type { Element } from "./common.ts";
import type { Given } from "./driver.ts";
import { type BufferChoice, MEMORIES } from "./operations.ts";
import { type Pair, TABLES } from "./pair.ts";

export function given(pair: Pair, choice: BufferChoice): Given {
  const { ring, numFree } = pair.driver;
  const small = ring.size <= 256 || choice.n === 0;
  let n = 1 + (choice.n % Math.min(6, ring.size));
  let bytes = (k: number): number => ((choice.bytes + 1) * (k + 1) * 2654435) % 3001;
  if (choice.kind === "long") n = pair.choice.threshold + (choice.n % 4);
  else if (choice.kind === "full" && small) n = Math.max(1, numFree + (choice.n % 3) - 1);
  else if (choice.kind === "ring" && small) n = ring.size + (choice.n % 2);
  else if (choice.kind === "empty") n = 0;
  else if (choice.kind === "bytes" && pair.enginesDriver) {
    n = 2 + (choice.n % 4) * Math.max(pair.choice.threshold, 1);
    bytes = (k) => [0xffff_ffff, 2][k] ?? 1;
  } else if (choice.kind === "exact" && pair.mode === "driver") {
    n = 2;
    bytes = () => 2 ** 31;
  } else if (choice.kind === "exact" && pair.setup.memory === "large") {
    n = 256;
    bytes = () => MEMORIES.large.bufferBytes;
  }
  const readable = choice.readable % (n + 1);
  const elements = n > ring.size ? [] : elementsOf(pair, n, readable, bytes, choice.bytes);
  pair.tokens++;
  return { token: Math.imul(pair.tokens, 0x9e3779b1) >>> 0, elements, announced: n };
}

function elementsOf(
  pair: Pair,
  n: number,
  readable: number,
  bytes: (k: number) => number,
  seed: number,
): Element[] {
  const { ptr, bytes: room } = pair.engine.buffers;
  return Array.from({ length: n }, (_, k) => {
    const length = bytes(k);
    const spare = room - TABLES * MAX_TABLE * 16 - length;
    // Now and then an element ends where the address space does.
    if (length <= room && k === 0 && seed % 32 === 0)
      return { ptr: pair.engine.end - length, bytes: length, write: k >= readable };
    const at = spare > 0 ? ptr + ((pair.tokens * 997 + k * 3001) % spare) : ptr;
    return { ptr: at, bytes: length, write: k >= readable };
  });
}

/** Writes the records that fit the staging area. */
export function stage(queue: DriverQueue, wanted: readonly Given[]): Given[] {
  const words = queue.staged;
  const fits: Given[] = [];
  let at = 0;
  for (const given of wanted) {
    if (at + 2 + 2 * given.elements.length > words.length) break;
    const readable = given.elements.filter(({ write }) => !write).length;
    // Elements that are announced but not there are never looked at.
    const writable = given.announced - readable;
    words[at++] = given.token;
    words[at++] = readable | (writable << 16);
    for (const { ptr, bytes } of given.elements) {
      words[at++] = ptr;
      words[at++] = bytes;
    }
    fits.push(given);
    if (given.elements.length < given.announced) break;
  }
  return fits;
}
