// A trace of operations in their order: what a driver mapped, refilled, posted and completed, for
// `--trace-ops` and for tests of order. Off unless a place is given for it.
//
//   OpTrace | record 0 | record 1 | ...        each {op u32, queue u32, a u32, b u32}

@unmanaged
export class OpTrace {
  /** Records that have a place, and operations so far; those beyond are only counted. */
  capacity: u32;
  count: u32;
  /** The queue whose operations come next. */
  queue: u32;
}

/** Bytes of a trace of `capacity` operations. */
export function opTraceBytes(capacity: u32): u32 {
  return offsetof<OpTrace>() + (capacity << 4);
}

export function opTraceInit(ptr: u32, capacity: u32): void {
  const trace = changetype<OpTrace>(ptr);
  trace.capacity = capacity;
  trace.count = 0;
  trace.queue = 0;
}

/** Records one operation (OP_*) with its two numbers, if there is a trace. */
@inline
export function traceOp(ptr: u32, op: u32, a: u32, b: u32): void {
  if (ptr) record(ptr, op, a, b);
}

function record(ptr: u32, op: u32, a: u32, b: u32): void {
  const trace = changetype<OpTrace>(ptr);
  const at = trace.count++;
  if (at >= trace.capacity) return;
  const entry = ptr + offsetof<OpTrace>() + (at << 4);
  store<u32>(entry, op);
  store<u32>(entry, trace.queue, 4);
  store<u32>(entry, a, 8);
  store<u32>(entry, b, 12);
}
