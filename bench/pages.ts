/** Receive buffers without a ring: what the page of a packet costs, by how pages come and go. */
import type { Engine } from "../src/engine.ts";
import { openEngine } from "./support.ts";

/** Buffers that wait in a queue, as many as a ring has; pages of the allocator. */
export const LIVE = 256;
const PAGES = 4096;

export interface PageQueue {
  engine: Engine;
  /** The place of the control block that `pageFlipRepeat` and `pageAllocRepeat` take. */
  ptr: number;
}

/** A queue of LIVE pages; `cutUp` leaves the allocator with 1024 single free pages between 1024 taken ones. */
export async function openPages(cutUp: boolean): Promise<PageQueue> {
  const engine = await openEngine({ queueSize: LIVE, bufferBytes: 0, pages: PAGES, ports: 1, packets: 1 });
  const { wasm } = engine;
  const ptr = engine.region("port 0 receive buffers").ptr;
  const control = engine.region("page control").ptr;
  const list = engine.region("port 0 waiting buffers");
  const words: [{ value: number }, number][] = [
    [wasm.RX_RING_PAGES, control],
    [wasm.RX_RING_SPACE, engine.devices[0].space],
    [wasm.RX_RING_LIST, list.ptr],
    [wasm.RX_RING_LIST_MASK, 2 * LIVE - 1],
  ];
  for (const [offset, value] of words) engine.u32[(ptr + offset.value) >>> 2] = value;
  if (cutUp) {
    const taken = Array.from({ length: PAGES / 2 }, () => wasm.pagesTake(control, 0, 1));
    for (let k = 0; k < taken.length; k += 2) wasm.pagesPut(control, taken[k], 1);
  }
  const filled = wasm.pageQueueFill(ptr, LIVE);
  if (filled !== LIVE) throw new Error(`only ${filled} of ${LIVE} pages could be had`);
  return { engine, ptr };
}
