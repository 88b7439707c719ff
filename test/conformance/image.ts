/** A moment of an engine's memory to which a test can return: the engine has no other state. */
import type { Engine } from "../../src/engine.ts";

export class Image {
  readonly #engine: Engine;
  readonly #bytes: Uint8Array;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#bytes = new Uint8Array(engine.memory.buffer).slice();
  }

  restore(): void {
    new Uint8Array(this.#engine.memory.buffer).set(this.#bytes);
  }

  /** A copy to compare with. */
  bytes(): Uint8Array {
    return this.#bytes.slice();
  }
}
