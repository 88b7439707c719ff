// Whether packets came all, once each, and in order: a check that a million packets can bear. Their sender goes round
// a stream of them, and each carries its number there, from 0 on.
//
//   packet   | number u32 | ................................ | its lowest byte |
//
// `steps` is how far the numbers went on, round the stream: a packet that was lost is one step more than packets, and
// one that came twice, or too late, a whole round.

@unmanaged
export class Numbers {
  /** Packets of a round. */
  count: u32;
  /** The number that came last. */
  last: u32;
  /** Packets that begin with no number of a round, or end with another one. */
  damaged: u32;
  steps: u64;
}

/** Nothing came yet, of a round of `count` packets. */
export function numbersInit(ptr: u32, count: u32): void {
  const numbers = changetype<Numbers>(ptr);
  numbers.count = count;
  numbers.last = count - 1;
  numbers.damaged = 0;
  numbers.steps = 0;
}

/** What is looked at of a packet from `first` to before `end`, wherever its middle is: its number, and above it the last byte. */
@inline
export function numberEnds(first: u32, end: u32): u64 {
  return load<u32>(first) | ((<u64>load<u8>(end - 1)) << 32);
}

/** A packet came. */
export function numbersTakeEnds(numbers: Numbers, ends: u64): void {
  const number = <u32>ends;
  if (number >= numbers.count || (number & 0xff) != <u32>(ends >> 32)) {
    numbers.damaged++;
    return;
  }
  numbers.steps += number > numbers.last ? number - numbers.last : number + numbers.count - numbers.last;
  numbers.last = number;
}
