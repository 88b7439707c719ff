/** What changed in an engine's memory between two moments, by the names of its memory map. */
import type { Engine } from "../../src/engine.ts";
import type { Span } from "./canaries.ts";

export class Snapshot {
  readonly #engine: Engine;
  readonly #bytes: Uint8Array;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#bytes = new Uint8Array(engine.memory.buffer).slice();
  }

  /** Places whose byte is another now, in `span` or anywhere. */
  changed(span: Span = { ptr: 0, bytes: this.#bytes.length }): number[] {
    const now = new Uint8Array(this.#engine.memory.buffer);
    const places: number[] = [];
    for (let at = span.ptr; at < span.ptr + span.bytes; at++) {
      if (now[at] !== this.#bytes[at]) places.push(at);
    }
    return places;
  }

  /** Names of the regions with a changed byte, in map order; `outside` for bytes in none. */
  regions(): string[] {
    const names = new Set<string>();
    const { regions } = this.#engine;
    for (const at of this.changed()) {
      const region = regions.find(({ ptr, bytes }) => at >= ptr && at < ptr + bytes);
      names.add(region?.name ?? "outside");
    }
    const order = regions.map(({ name }) => name);
    return [...names].sort((a, b) => order.indexOf(a) - order.indexOf(b));
  }
}
