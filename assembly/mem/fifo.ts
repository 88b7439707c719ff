// A list in the order of arrival, of entries that are linked by their first word. For what lies in private memory:
// a peer could write a link that it reaches.
//
//   Fifo | first | last | count |        entry | next or 0 | ...

@unmanaged
export class Fifo {
  first: u32;
  last: u32;
  count: u32;
}

@inline
export function fifoPut(fifo: Fifo, entry: u32): void {
  store<u32>(entry, 0);
  if (fifo.count) store<u32>(fifo.last, entry);
  else fifo.first = entry;
  fifo.last = entry;
  fifo.count++;
}

/** The oldest entry, or 0. */
@inline
export function fifoTake(fifo: Fifo): u32 {
  const entry = fifo.first;
  if (!entry) return 0;
  fifo.first = load<u32>(entry);
  fifo.count--;
  return entry;
}

/** Puts everything that `from` has in front of what `fifo` has. */
export function fifoPutAllFirst(fifo: Fifo, from: Fifo): void {
  if (!from.count) return;
  store<u32>(from.last, fifo.first);
  if (!fifo.count) fifo.last = from.last;
  fifo.first = from.first;
  fifo.count += from.count;
  from.first = 0;
  from.count = 0;
}
