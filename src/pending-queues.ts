/**
 * Queues that were notified and not looked at yet. A notification that arrives while another is served waits for its
 * turn: two halves that answer each other in one program don't nest. Serving makes no garbage.
 */
export class PendingQueues {
  readonly #serve: (queue: number) => void;
  /** A ring of queue numbers; each stands there once. */
  readonly #waiting: Uint32Array;
  readonly #isWaiting: Uint8Array;
  #first = 0;
  #count = 0;
  #serving = false;

  constructor(queues: number, serve: (queue: number) => void) {
    this.#serve = serve;
    this.#waiting = new Uint32Array(queues);
    this.#isWaiting = new Uint8Array(queues);
  }

  /** Serves `queue`, now or after what is being served. */
  add(queue: number): void {
    if (!this.#isWaiting[queue]) {
      this.#isWaiting[queue] = 1;
      this.#waiting[(this.#first + this.#count++) % this.#waiting.length] = queue;
    }
    if (this.#serving) return;
    this.#serving = true;
    try {
      while (this.#count > 0) {
        const next = this.#waiting[this.#first];
        this.#first = (this.#first + 1) % this.#waiting.length;
        this.#count--;
        this.#isWaiting[next] = 0;
        this.#serve(next);
      }
    } finally {
      this.#serving = false;
    }
  }

  /** Forgets what waits. */
  clear(): void {
    this.#isWaiting.fill(0);
    this.#count = 0;
  }
}
