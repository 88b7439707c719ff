// Conservation, proved by walking, with no counter trusted: every page is free, or a driver has it in one
// place (where a page has several buffers, each of them), or packets hold it, and its references are exactly those.

import { PAGES_IN_RING, PAGES_PLACE, PAGES_REFERENCES, PAGES_SOUND } from "../abi";
import { Pages, pageAt, pageOf, pagesCheck } from "../mem/pages";
import { Consumer } from "../rx/consumer";
import { rxPageOf, rxPagesPosted, rxSharesPages, rxWaiting } from "../rx/kinds";
import { fragmentData, Packet, RxRing } from "../rx/rx-ring";
import { portAt, receives } from "./run";

/** In a page's mark: it stands in a list. Below that: packets that hold it. */
const LISTED: u32 = 1 << 31;

/** Checks the allocator at `ptr` and all that `count` ports have of its pages. PAGES_SOUND, or what is wrong. */
export function portsCheck(ptr: u32, ports: u32, count: u32): u32 {
  const wrong = pagesCheck(ptr);
  if (wrong) return wrong;
  const pages = changetype<Pages>(ptr);
  const total = pages.perNode * pages.nodes;
  for (let k: u32 = 0; k < total; k++) pageAt(pages, k).mark = 0;

  // What drivers have, in pages or in the buffers that share them: in rings and in lists, and as pages say.
  let known: u32 = 0;
  let shares = false;
  for (let k: u32 = 0; k < count; k++) {
    const port = portAt(ports, k);
    if (!receives(port)) continue;
    known += port.driver.outstanding * rxPagesPosted(port.rx);
    shares = rxSharesPages(port.rx);
    markHeld(port.rx, port.consumer);
    for (let at: u32 = 0; ; at++) {
      const buffer = rxWaiting(port.rx, at);
      if (!buffer) break;
      const page = pageOf(pages, buffer);
      if (!page.bias || (!shares && page.mark & LISTED)) return PAGES_PLACE;
      page.mark |= LISTED;
      known++;
    }
  }

  let had: u32 = 0;
  for (let k: u32 = 0; k < total; k++) {
    const page = pageAt(pages, k);
    if (page.bias) had += shares ? page.bias : 1;
    if (page.refs != (page.mark & ~LISTED) + page.bias) return PAGES_REFERENCES;
  }
  return had == known ? PAGES_SOUND : PAGES_IN_RING;
}

function markHeld(rx: RxRing, consumer: Consumer): void {
  for (let at = consumer.head; at != consumer.tail; at++) {
    const packet = changetype<Packet>(load<u32>(consumer.queue + ((at & consumer.mask) << 2)));
    if (packet.bytes) rxPageOf(rx, packet.data).mark++;
    for (let k: u32 = 0; k < packet.fragments; k++) rxPageOf(rx, fragmentData(packet, k)).mark++;
  }
}
