/** Every suite, in the order in which `npm run bench` runs them. To add one: a file beside this, a line here. */
import { suite as allocator } from "./allocator.bench.ts";
import { suite as border } from "./border.bench.ts";
import { suite as copies } from "./copies.bench.ts";
import { suite as dma } from "./dma.bench.ts";
import { suite as offloads } from "./offloads.bench.ts";
import { suite as pages } from "./pages.bench.ts";
import { suite as rings } from "./rings.bench.ts";
import type { Suite } from "./suite.ts";
import { suite as tables } from "./tables.bench.ts";

export const suites: readonly Suite[] = [rings, tables, allocator, copies, border, offloads, dma, pages];
