// While digests are made: what a program found in its frames, and whether that is still there when it gives them back.

import { FNV_BASIS, fnv1a, fnv1aWord } from "../mem/digest";
import { numberEnds, numbersTakeEnds } from "../mem/numbers";
import { Consumer } from "../rx/consumer";
import { Application } from "./app";

/** The packet of `bytes` at `data`, in frame `k`, goes into the digest. */
export function digestFrame(consumer: Consumer, app: Application, k: u32, data: u32, bytes: u32): void {
  const check = frameCheck(consumer, data, bytes);
  store<u64>(app.checks + (k << 3), check);
  if (changetype<u32>(consumer.numbers)) numbersTakeEnds(consumer.numbers, check);
  else consumer.digest = fnv1a(fnv1aWord(consumer.digest, bytes), data, bytes);
}

/** The same packet is read again. */
export function checkFrame(consumer: Consumer, app: Application, k: u32, data: u32, bytes: u32): void {
  if (load<u64>(app.checks + (k << 3)) != frameCheck(consumer, data, bytes)) consumer.corrupted++;
}

/** What must be the same when the frame is given back. */
function frameCheck(consumer: Consumer, data: u32, bytes: u32): u64 {
  return changetype<u32>(consumer.numbers) ? numberEnds(data, data + bytes) : fnv1a(FNV_BASIS, data, bytes);
}
