// Receive buffers, kind `page-reuse-build`: half pages that flip as in page-reuse, but a packet is built
// around the data where it lies, and its owner may write there: 192 bytes of head room (in which a packet
// program can push headers), 1536 of data, and 320 behind for the packet's own structure. So mapping and
// unmapping skip the CPU sync, and only what was written is synced. Nothing is copied.
//
//   half page   | 192 head room | 1536 data | 320 |

import { recordOf } from "../mem/pages";
import { giveHalf } from "./page-reuse";
import { RxRing, rxPutPage } from "./rx-ring";

export function buildKeep(rx: RxRing, buffer: u32): void {
  giveHalf(rx, recordOf(rx.records, buffer), buffer);
}

export function buildDrop(rx: RxRing, data: u32): void {
  rxPutPage(rx, data, 1);
}
