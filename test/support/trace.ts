/**
 * A recorder of every load and store of the engine, and the moment between any two of them.
 *
 * Binaryen's instrument-memory pass goes over the very bytes that are shipped, so what is recorded
 * is the optimised code itself. It puts a call before each load and store, but not before
 * `memory.fill` and `memory.copy`, which no burst call of the rings uses.
 */
import binaryen from "assemblyscript/binaryen";
import type { Engine, EngineOptions } from "../../src/engine.ts";
import type { Span } from "./canaries.ts";
import { type Build, wasmBytes } from "./engine.ts";

export interface Access {
  store: boolean;
  /** Sequentially consistent: the shared build's way to publish and to observe. */
  atomic: boolean;
  ptr: number;
  bytes: number;
  /** What was loaded or stored, unsigned; 0 for a vector, whose value no hook is told. */
  value: bigint;
}

interface Instrumented {
  module: WebAssembly.Module;
  /** Sites of atomic accesses. */
  atomics: ReadonlySet<number>;
}

const modules = new Map<Build, Promise<Instrumented>>();

/** The shipped module with a hook at each access. */
function instrumented(build: Build): Promise<Instrumented> {
  let module = modules.get(build);
  if (module === undefined) {
    module = instrument(build);
    modules.set(build, module);
  }
  return module;
}

async function instrument(build: Build): Promise<Instrumented> {
  const parsed = binaryen.readBinary(await wasmBytes(build));
  // Without garbage collection among the features the pass asks for no hooks of its instructions.
  const { Features } = binaryen;
  const used = Features.BulkMemory | Features.SIMD128 | Features.Atomics | Features.SignExt;
  parsed.setFeatures(used | Features.MutableGlobals | Features.NontrappingFPToInt);
  parsed.runPasses(["instrument-memory"]);
  // A hook is told its site's number; which sites are atomic stands in the code only.
  const site =
    /\.atomic\.(?:load|store)\S*(?: \w+=\d+)*\s+\(call \$(?:load|store)_ptr\s+\(i32\.const (\d+)\)/g;
  const atomics = new Set<number>();
  if (build === "vring-shared") {
    for (const [, number] of parsed.emitText().matchAll(site)) atomics.add(Number(number));
  }
  const module = await WebAssembly.compile(new Uint8Array(parsed.emitBinary()));
  parsed.dispose();
  return { module, atomics };
}

/** Bytes of a vector: the pass hooks its place, but not its value. */
const VECTOR = 16;

/** A call made more accesses than it was given: what a loop without a bound looks like. */
export class StepsExceeded extends Error {}

/** Where a half may load (1) and store (2), byte by byte; made by `permits`, used by `guard`. */
export type Permits = Uint8Array;

export function permits(
  engine: Engine,
  territory: { read: readonly Span[]; write: readonly Span[] },
): Permits {
  const allowed = new Uint8Array(engine.memory.buffer.byteLength);
  const allow = (spans: readonly Span[], bit: number): void => {
    for (const { ptr, bytes } of spans) {
      for (let at = ptr; at < ptr + bytes; at++) allowed[at] |= bit;
    }
  };
  allow(territory.read, 1);
  allow(territory.write, 2);
  return allowed;
}

interface Pending {
  site: number;
  ptr: number;
  bytes: number;
}

export class Trace {
  /** Accesses since `reset`. */
  steps = 0;
  /** An access beyond these throws StepsExceeded through the engine, so that nothing can hang a test. */
  limit = Number.POSITIVE_INFINITY;
  /** The peer's moment: called before each access happens, with the number of accesses before it. */
  before: ((step: number) => void) | null = null;
  /** Accesses to places that `guard` does not allow, at most 8. */
  readonly trespasses: string[] = [];
  readonly #instrumented: Instrumented;
  #log: Access[] | null = null;
  #permits: Permits | null = null;
  #engine: Engine | null = null;
  readonly #loads: Pending[] = [];
  readonly #stores: Pending[] = [];

  private constructor(instrumented: Instrumented) {
    this.#instrumented = instrumented;
  }

  static async create(build: Build = "vring"): Promise<Trace> {
    return new Trace(await instrumented(build));
  }

  /** What makes an engine one that is recorded here; a recorder has one engine. */
  get options(): EngineOptions {
    const load = (site: number, value: number | bigint): number | bigint => this.#loaded(site, value);
    const store = (site: number, value: number | bigint): number | bigint => this.#stored(site, value);
    const same = (_: number, value: number): number => value;
    return {
      module: this.#instrumented.module,
      imports: {
        load_ptr: (site: number, bytes: number, offset: number, ptr: number) => {
          this.#step(false, (ptr + offset) >>> 0, bytes);
          if (bytes === VECTOR) this.#log?.push(this.#access(false, site, (ptr + offset) >>> 0, bytes, 0));
          else if (this.#log !== null) this.#loads.push({ site, ptr: (ptr + offset) >>> 0, bytes });
          return ptr;
        },
        // The value may hold loads: the store itself comes only after `store_val`.
        store_ptr: (site: number, bytes: number, offset: number, ptr: number) => {
          this.#stores.push({ site, ptr: (ptr + offset) >>> 0, bytes });
          if (bytes === VECTOR) this.#stored(site, 0);
          return ptr;
        },
        load_val_i32: load as never,
        load_val_i64: load as never,
        load_val_f32: load as never,
        load_val_f64: load as never,
        store_val_i32: store as never,
        store_val_i64: store as never,
        store_val_f32: store as never,
        store_val_f64: store as never,
        memory_grow_pre: same,
        memory_grow_post: same,
      },
    };
  }

  /** Forgets what was recorded and counted. */
  reset(): void {
    this.steps = 0;
    this.trespasses.length = 0;
    this.#loads.length = 0;
    this.#stores.length = 0;
  }

  /** The accesses of one call, in order. */
  record(call: () => void): Access[] {
    const log: Access[] = [];
    this.reset();
    this.#log = log;
    try {
      call();
    } finally {
      this.#log = null;
    }
    return log;
  }

  /** From here on an access anywhere else is a trespass; null lifts that. */
  guard(engine: Engine, allowed: Permits | null): void {
    this.#permits = allowed;
    this.#engine = engine;
  }

  #step(store: boolean, ptr: number, bytes: number): void {
    if (this.steps >= this.limit) throw new StepsExceeded(`more than ${this.limit} loads and stores`);
    this.before?.(this.steps);
    this.steps++;
    const allowed = this.#permits;
    if (allowed === null) return;
    const needed = store ? 2 : 1;
    for (let at = ptr; at < ptr + bytes; at++) {
      if (!(allowed[at] & needed) && this.trespasses.length < 8) {
        this.trespasses.push(`${store ? "store" : "load"} of ${bytes} bytes at ${this.#name(ptr)}`);
        return;
      }
    }
  }

  #name(ptr: number): string {
    const region = this.#engine?.regions.find((one) => ptr >= one.ptr && ptr < one.ptr + one.bytes);
    return region === undefined ? `${ptr}` : `${region.name} + ${ptr - region.ptr}`;
  }

  #loaded<T extends number | bigint>(site: number, value: T): T {
    if (this.#log !== null) {
      const { ptr, bytes } = latest(this.#loads, site);
      this.#log.push(this.#access(false, site, ptr, bytes, value));
    }
    return value;
  }

  #stored<T extends number | bigint>(site: number, value: T): T {
    const { ptr, bytes } = latest(this.#stores, site);
    this.#step(true, ptr, bytes);
    this.#log?.push(this.#access(true, site, ptr, bytes, value));
    return value;
  }

  #access(store: boolean, site: number, ptr: number, bytes: number, value: number | bigint): Access {
    const atomic = this.#instrumented.atomics.has(site);
    return { store, atomic, ptr, bytes, value: BigInt.asUintN(8 * bytes, BigInt(value)) };
  }
}

/** The access of this site that waits for its value. */
function latest(pending: Pending[], site: number): Pending {
  for (;;) {
    const top = pending.pop();
    if (top === undefined) throw new Error(`no access of site ${site} waits for its value`);
    if (top.site === site) return top;
  }
}

/** Accesses with a byte in the span. */
export function within(accesses: readonly Access[], { ptr, bytes }: Span): Access[] {
  return accesses.filter((one) => one.ptr + one.bytes > ptr && one.ptr < ptr + bytes);
}

export function stores(accesses: readonly Access[]): Access[] {
  return accesses.filter(({ store }) => store);
}

export function loads(accesses: readonly Access[]): Access[] {
  return accesses.filter(({ store }) => !store);
}
