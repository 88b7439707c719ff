/** Progress of a run whose number of steps is known. */
import { SingleBar } from "cli-progress";

/** Shows how far a run is; `stop` leaves the terminal as it was and may be called more than once. */
export interface Progress {
  /** One more step is done: the one that `label` names. */
  step(label: string): void;
  stop(): void;
}

export interface ProgressOptions {
  /** Number of steps, at least 1. */
  total: number;
  /** Shows nothing at all. */
  quiet: boolean;
  /** Where it is shown, usually stderr, so that the report on stdout can be piped. */
  stream: NodeJS.WritableStream & { isTTY?: boolean };
}

/** About as many lines as a log can take without drowning what stands around them. */
const PLAIN_LINES = 12;

/** A bar with the time that is left on a terminal, a dozen plain lines elsewhere, nothing when quiet. */
export function createProgress({ total, quiet, stream }: ProgressOptions): Progress {
  if (quiet) return { step() {}, stop() {} };
  return stream.isTTY === true ? terminalBar(total, stream) : plainLines(total, stream);
}

function terminalBar(total: number, stream: NodeJS.WritableStream): Progress {
  const bar = new SingleBar({
    stream,
    format: "{bar} {value}/{total}  {eta_formatted} left  {label}",
    barCompleteChar: "\u2588",
    barIncompleteChar: "\u2591",
    barsize: 30,
    clearOnComplete: true,
    hideCursor: true,
    // A step takes long enough that the last ten are a fair sample of what the rest will take.
    etaBuffer: 10,
  });
  bar.start(total, 0, { label: "" });
  return {
    step: (label) => bar.increment(1, { label }),
    stop: () => bar.stop(),
  };
}

function plainLines(total: number, stream: NodeJS.WritableStream): Progress {
  const every = Math.ceil(total / PLAIN_LINES);
  let done = 0;
  return {
    step(label) {
      done++;
      if (done % every === 0 || done === total) stream.write(`${done}/${total} ${label}\n`);
    },
    stop() {},
  };
}
