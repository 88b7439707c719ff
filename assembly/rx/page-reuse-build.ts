// Receive buffers, kind `page-reuse-build`: half pages that flip as in page-reuse, but a packet is built
// around the data where it lies, and its owner may write there: 192 bytes of head room (in which a packet
// program can push headers), 1536 of data, and 320 behind for the packet's own structure. So mapping and
// unmapping skip the CPU sync, and only what was written is synced. Nothing is copied.
//
//   half page   | 192 head room | 1536 data | 320 |

import { recordOf } from "../mem/pages";
import { giveHalf } from "./page-reuse";
import { Packet, packetInPage, RxRing, rxPutPage, rxSyncForCpu } from "./rx-ring";

export function buildReceive(rx: RxRing, buffer: u32, frameBytes: u32, packet: Packet): void {
  const page = recordOf(rx.records, buffer);
  rxSyncForCpu(rx, page, buffer, rx.frameOffset + frameBytes);
  packetInPage(packet, buffer + rx.frameOffset, frameBytes);
  giveHalf(rx, page, buffer);
}

export function buildDrop(rx: RxRing, packet: Packet): void {
  rxPutPage(rx, packet.data, 1);
}
