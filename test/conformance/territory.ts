/** Where each half may load and store, to the byte: what a guarded trace holds it to. */
import type { Engine } from "../../src/engine.ts";
import type { RingFormat } from "../../src/names.ts";
import type { Span } from "../support/canaries.ts";

export interface Territory {
  read: Span[];
  write: Span[];
}

/** Regions by name; those that the engine has none of are left out. */
export function regions(engine: Engine, ...names: (string | RegExp)[]): Span[] {
  return engine.regions.filter(({ name }) =>
    names.some((wanted) => (typeof wanted === "string" ? name === wanted : wanted.test(name))),
  );
}

/** All that peers can reach. */
export function sharedPart(engine: Engine): Span {
  return { ptr: engine.sharedBase, bytes: engine.end - engine.sharedBase };
}

/** The part of each packed descriptor that changes hands: len, id and flags, but not addr. */
export function handoverWords({ ptr, bytes }: Span): Span[] {
  return Array.from({ length: bytes / 16 }, (_, slot) => ({ ptr: ptr + 16 * slot + 8, bytes: 8 }));
}

/**
 * The device half of queue 0 with its rings in `areas`. It may load from all of its window,
 * because a table may lie anywhere there, and stores what 2.7.8, 2.8.6 and 2.8.10 give it.
 */
export function deviceTerritory(engine: Engine, format: RingFormat, areas: readonly Span[]): Territory {
  const own = regions(engine, /^queue 0 (device|staging (popped|used))/, "device 0");
  const [desc, , deviceArea] = areas;
  const shared = format === "split" ? [deviceArea] : [...handoverWords(desc), deviceArea];
  return {
    read: [...own, ...regions(engine, "device 0 address space"), sharedPart(engine)],
    write: [...own.filter(({ ptr }) => ptr !== engine.region("queue 0 staging used").ptr), ...shared],
  };
}

/**
 * The driver half of queue 0. What it needs to know it keeps in private memory (H-D-04), so of what
 * a device can write it loads the used ring and the device's wish, and nothing else. The general
 * allocator alone has its headers among what it hands out.
 */
export function driverTerritory(
  engine: Engine,
  format: RingFormat,
  areas: readonly Span[],
  usesHeap: boolean,
): Territory {
  const own = regions(engine, "queue 0 driver", "queue 0 driver records", /^queue 0 free tables/);
  const heap = usesHeap ? regions(engine, "heap control", "heap") : [];
  const [desc, driverArea, deviceArea] = areas;
  const seen = format === "split" ? [deviceArea] : [...handoverWords(desc), deviceArea];
  return {
    read: [
      ...own,
      ...heap,
      ...seen,
      ...regions(engine, "queue 0 staging add", "device 0", "device 0 address space"),
    ],
    write: [
      ...own,
      ...heap,
      desc,
      driverArea,
      ...regions(engine, "queue 0 staging reclaimed", "queue 0 tables"),
    ],
  };
}
