/**
 * When work is done: some of it at once, the rest at the end of the turn of the event loop, together. An emulator runs
 * its guest in slices, each within one turn, and a guest that has nothing to do ends its slice. So what waits for the end
 * of a turn waits for a guest that is busy, or for nothing at all.
 */
export class Turn {
  readonly #work: () => void;
  #open = false;
  #more = false;

  /** @param work Must be fit to be called with nothing to do. */
  constructor(work: () => void) {
    this.#work = work;
  }

  /** There is work, which is done at once if it is the first of its turn; whether it was. */
  ask(): boolean {
    if (this.#open) {
      this.#more = true;
      return false;
    }
    this.#begin();
    this.#work();
    return true;
  }

  /** There is work, which is done at the turn's end. */
  wait(): void {
    this.#more = true;
    if (!this.#open) this.#begin();
  }

  /** What is asked for next is done at once, although the turn goes on. */
  renew(): void {
    this.#open = false;
  }

  /** What waits is done now. */
  end(): void {
    this.#open = false;
    if (!this.#more) return;
    this.#more = false;
    this.#work();
  }

  #begin(): void {
    this.#open = true;
    queueMicrotask(() => this.end());
  }
}
