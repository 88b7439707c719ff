/**
 * A small machine with total store order, the memory model of x86: each thread has a first-in first-out
 * buffer of stores that become visible to the others some time later, and reads its own stores from it. So a
 * store may be delayed past later loads of its thread, unless a fence stands between. All interleavings
 * are explored, of the threads' accesses and of the moments at which stores become visible. What no other
 * thread can notice (to put a store into one's own buffer, to pick, to pass a fence with nothing to wait
 * for) is done at once: in which order that falls among the steps of others makes no difference.
 */

/** What a thread knows: numbers by name. */
export type Locals = Record<string, number>;

type Step =
  | { kind: "load"; name: string; at: (locals: Locals) => number; to: string }
  | { kind: "store"; name: string; at: (locals: Locals) => number; value: (locals: Locals) => number }
  /** Waits until all stores of this thread are visible. */
  | { kind: "fence" }
  /** Goes on with every number of a choice, in turn. */
  | { kind: "pick"; to: string; from: (locals: Locals) => readonly number[] }
  /** Sleeps until the cell is 1, and sets it back to 0: a notification that waits for the sleeper. */
  | { kind: "sleep"; cell: number }
  /** Computes, and goes to a label when it returns one. Throws when the thread sees what must not be. */
  | { kind: "run"; run: (locals: Locals) => string | undefined };

/** The steps of a thread, put together in order; `section` names the part of it that follows. */
export class Program {
  readonly steps: Step[] = [];
  readonly labels = new Map<string, number>();
  readonly #sections: string[] = [];
  #section = "";

  section(name: string): this {
    this.#section = name;
    return this;
  }
  label(name: string): this {
    this.labels.set(name, this.steps.length);
    return this;
  }
  load(name: string, at: (locals: Locals) => number, to: string): this {
    return this.#add({ kind: "load", name, at, to });
  }
  store(name: string, at: (locals: Locals) => number, value: (locals: Locals) => number): this {
    return this.#add({ kind: "store", name, at, value });
  }
  fence(): this {
    return this.#add({ kind: "fence" });
  }
  pick(to: string, from: (locals: Locals) => readonly number[]): this {
    return this.#add({ kind: "pick", to, from });
  }
  sleep(cell: number): this {
    return this.#add({ kind: "sleep", cell });
  }
  run(run: (locals: Locals) => string | undefined): this {
    return this.#add({ kind: "run", run });
  }
  goto(label: string): this {
    return this.run(() => label);
  }

  /** The accesses of a section in order: `store avail.idx`, `load avail_event`. */
  accesses(section: string): string[] {
    return this.steps.flatMap((step, at) =>
      this.#sections[at] === section && "name" in step ? [`${step.kind} ${step.name}`] : [],
    );
  }

  #add(step: Step): this {
    this.steps.push(step);
    this.#sections.push(this.#section);
    return this;
  }
}

export interface Thread {
  name: string;
  program: Program;
  locals: Locals;
}

export interface Outcome {
  states: number;
  /** What went wrong, and the shortest way there; undefined when nothing does in any interleaving. */
  fault?: { what: string; way: string[] };
}

interface State {
  memory: number[];
  pcs: number[];
  locals: number[][];
  /** Address and value, oldest first, for each thread. */
  buffers: number[][];
}

interface Link {
  from: Link | undefined;
  does: () => string;
}

/** Explores everything that can happen, breadth first; it ends at the first fault. */
export function explore(memory: readonly number[], threads: readonly Thread[], limit = 2_000_000): Outcome {
  const names = threads.map(({ locals }) => Object.keys(locals));
  const seen = new Set<string>();
  let frontier: [State, Link | undefined][] = [];
  let next: [State, Link | undefined][] = [];
  let fault: Outcome["fault"];

  const unpack = (thread: number, values: readonly number[]): Locals => {
    const locals: Locals = {};
    for (let k = 0; k < values.length; k++) locals[names[thread][k]] = values[k];
    return locals;
  };

  /** `moved` is the thread whose next step may be one that nobody notices. */
  const reach = (state: State, moved: number, from: Link | undefined, does: () => string): void => {
    const link = { from, does };
    try {
      settle(state, moved);
    } catch (error) {
      fault ??= { what: (error as Error).message, way: wayTo(link) };
      return;
    }
    const key = keyOf(state);
    if (seen.has(key)) return;
    seen.add(key);
    next.push([state, link]);
  };

  /** Computes until the next step is one that another thread can notice. */
  const settle = (state: State, thread: number): void => {
    const { steps, labels } = threads[thread].program;
    let step = steps[state.pcs[thread]];
    if (step?.kind !== "run") return;
    const locals = unpack(thread, state.locals[thread]);
    while (step?.kind === "run") {
      const to = step.run(locals);
      if (to !== undefined && !labels.has(to)) throw new Error(`no label ${to}`);
      state.pcs[thread] = to === undefined ? state.pcs[thread] + 1 : (labels.get(to) as number);
      step = steps[state.pcs[thread]];
    }
    state.locals[thread] = names[thread].map((name) => locals[name]);
  };

  const expand = (state: State, link: Link | undefined): void => {
    for (let thread = 0; thread < threads.length; thread++) {
      if (alone(state, link, thread)) return;
    }
    let stuck = true;
    let asleep = false;
    for (const [thread, { name, program }] of threads.entries()) {
      const buffer = state.buffers[thread];
      if (buffer.length > 0) {
        stuck = false;
        const after = copy(state);
        after.memory[buffer[0]] = buffer[1];
        after.buffers[thread] = buffer.slice(2);
        reach(after, thread, link, () => `${name}'s oldest store is visible`);
      }
      const step = program.steps[state.pcs[thread]];
      if (step?.kind === "load") {
        stuck = false;
        const at = step.at(unpack(thread, state.locals[thread]));
        let value = state.memory[at];
        for (let k = 0; k < buffer.length; k += 2) if (buffer[k] === at) value = buffer[k + 1];
        learn(state, link, thread, step.to, value, () => `${name}: load ${step.name} = ${value}`);
      } else if (step?.kind === "sleep") {
        if (state.memory[step.cell] === 1) {
          stuck = false;
          const after = copy(state);
          after.pcs[thread]++;
          after.memory[step.cell] = 0;
          reach(after, thread, link, () => `${name}: is woken`);
        } else {
          asleep = true;
        }
      }
    }
    // A thread at its end does not sleep: all that there was to do is done.
    if (stuck && asleep) fault ??= { what: "lost wake-up", way: wayTo(link) };
  };

  /** Takes a step of a thread that no other can notice; whether its next step is one. */
  const alone = (state: State, link: Link | undefined, thread: number): boolean => {
    const { name, program } = threads[thread];
    const step = program.steps[state.pcs[thread]];
    const buffer = state.buffers[thread];
    if (step?.kind === "store") {
      const locals = unpack(thread, state.locals[thread]);
      const value = step.value(locals);
      const after = copy(state);
      after.pcs[thread]++;
      after.buffers[thread] = [...buffer, step.at(locals), value];
      reach(after, thread, link, () => `${name}: store ${step.name} = ${value}`);
      return true;
    }
    if (step?.kind === "pick") {
      for (const value of step.from(unpack(thread, state.locals[thread]))) {
        learn(state, link, thread, step.to, value, () => `${name}: ${step.to} = ${value}`);
      }
      return true;
    }
    if (step?.kind === "fence" && buffer.length === 0) {
      const after = copy(state);
      after.pcs[thread]++;
      reach(after, thread, link, () => `${name}: fence`);
      return true;
    }
    return false;
  };

  /** Goes on with a local set to a value. */
  const learn = (
    state: State,
    link: Link | undefined,
    thread: number,
    to: string,
    value: number,
    does: () => string,
  ): void => {
    const after = copy(state);
    after.pcs[thread]++;
    after.locals[thread] = state.locals[thread].with(names[thread].indexOf(to), value);
    reach(after, thread, link, does);
  };

  const start: State = {
    memory: [...memory],
    pcs: threads.map(() => 0),
    locals: threads.map(({ locals }) => Object.values(locals)),
    buffers: threads.map(() => []),
  };
  for (let thread = 1; thread < threads.length; thread++) settle(start, thread);
  reach(start, 0, undefined, () => "start");
  while (next.length > 0 && fault === undefined) {
    [frontier, next] = [next, []];
    for (const [state, link] of frontier) {
      expand(state, link);
      if (fault !== undefined) break;
    }
    if (seen.size > limit) throw new Error(`more than ${limit} states`);
  }
  return fault === undefined ? { states: seen.size } : { states: seen.size, fault };
}

function copy({ memory, pcs, locals, buffers }: State): State {
  // Rows are never changed in place, only replaced.
  return { memory: [...memory], pcs: [...pcs], locals: [...locals], buffers: [...buffers] };
}

function keyOf({ memory, pcs, locals, buffers }: State): string {
  let key = String.fromCharCode(...memory, ...pcs);
  for (const row of locals) key += String.fromCharCode(...row);
  for (const row of buffers) key += String.fromCharCode(row.length, ...row);
  return key;
}

function wayTo(link: Link | undefined): string[] {
  const way: string[] = [];
  for (let at = link; at !== undefined; at = at.from) way.push(at.does());
  return way.reverse();
}
