// A copy engine: a queue of jobs that the CPU leaves to it. It does them in its own turn, in order, and says how
// many are done; whoever submitted them polls that count.
//
//             polled          done               submitted
//   jobs   | ... | done | done | to do | to do | free ...     a ring of {from, to, bytes, owner}
//
// All of it is private. A job that failed has JOB_FAILED in its owner, and copied nothing.

import { COPY_JOB } from "../abi";
import { copyBytes } from "../mem/copy";

/** Owners lie at multiples of 4. */
export const JOB_FAILED: u32 = 1;

@unmanaged
export class CopyEngine {
  jobs: u32;
  mask: u32;
  /** Counts that wrap. */
  submitted: u32;
  done: u32;
  polled: u32;
  /** Most jobs of a turn. */
  turn: u32;
  /** A test's wish: the so-manieth job from now fails; 0 for none. */
  failIn: u32;
}

@unmanaged
export class CopyJob {
  from: u32;
  to: u32;
  bytes: u32;
  owner: u32;
}

/** The next job that was submitted and not polled, number `at`. */
@inline
export function jobAt(engine: CopyEngine, at: u32): CopyJob {
  return changetype<CopyJob>(engine.jobs + (at & engine.mask) * COPY_JOB);
}

/** Jobs that can be submitted. */
@inline
export function jobsFree(engine: CopyEngine): u32 {
  return engine.mask + 1 - (engine.submitted - engine.polled);
}

/** Submits a job, for which there is room. */
@inline
export function jobPut(engine: CopyEngine, from: u32, to: u32, bytes: u32, owner: u32): void {
  const job = jobAt(engine, engine.submitted++);
  job.from = from;
  job.to = to;
  job.bytes = bytes;
  job.owner = owner;
}

/** The engine's turn; how many jobs it did. */
export function copyEngineTurn(engine: CopyEngine): u32 {
  const count = min(engine.submitted - engine.done, engine.turn);
  for (let k: u32 = 0; k < count; k++) {
    const job = jobAt(engine, engine.done);
    if (engine.failIn && --engine.failIn == 0) job.owner |= JOB_FAILED;
    else copyBytes(job.to, job.from, job.bytes);
    engine.done++;
  }
  return count;
}
