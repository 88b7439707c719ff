/**
 * When work is done: the first piece of a turn of the event loop at once, so that a lone packet waits for nothing;
 * everything after it at the turn's end, together. An emulator runs its guest in slices, and a guest that has nothing
 * to do ends its slice, so what waits for the end of a turn waits for a guest that is busy.
 */
export class Turn {
  readonly #work: () => void;
  #open = false;
  #more = false;

  /** @param work Must be fit to be called with nothing to do. */
  constructor(work: () => void) {
    this.#work = work;
  }

  /** Whether work was done in this turn already, so that more of it will wait. */
  get busy(): boolean {
    return this.#open;
  }

  /** There is something to do; whether it was done at once. */
  ask(): boolean {
    if (this.#open) {
      this.#more = true;
      return false;
    }
    this.#open = true;
    queueMicrotask(() => this.end());
    this.#work();
    return true;
  }

  /** What waits is done now. */
  end(): void {
    this.#open = false;
    if (!this.#more) return;
    this.#more = false;
    this.#work();
  }
}
