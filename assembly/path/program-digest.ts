// While digests are made: what a program found in its frames, and whether that is still there when it gives them back.

import { FNV_BASIS, fnv1a, fnv1aWord } from "../mem/digest";
import { Consumer } from "../rx/consumer";
import { Application } from "./app";

/** The packet of `bytes` at `data`, in frame `k`, goes into the digest. */
export function digestFrame(consumer: Consumer, app: Application, k: u32, data: u32, bytes: u32): void {
  consumer.digest = fnv1a(fnv1aWord(consumer.digest, bytes), data, bytes);
  store<u64>(app.checks + (k << 3), fnv1a(FNV_BASIS, data, bytes));
}

/** The same packet is read again. */
export function checkFrame(consumer: Consumer, app: Application, k: u32, data: u32, bytes: u32): void {
  if (load<u64>(app.checks + (k << 3)) != fnv1a(FNV_BASIS, data, bytes)) consumer.corrupted++;
}
