// Conservation, proved by walking, with no counter trusted: every page is free, or a driver has it in one
// place, or packets hold it, and its references are exactly those.

import { PAGES_IN_RING, PAGES_PLACE, PAGES_REFERENCES, PAGES_SOUND } from "../abi";
import { Pages, pageAt, pageOf, pagesCheck } from "../mem/pages";
import { Consumer } from "../rx/consumer";
import { rxWaiting } from "../rx/kinds";
import { Packet } from "../rx/rx-ring";
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

  let inRings: u32 = 0;
  for (let k: u32 = 0; k < count; k++) {
    const port = portAt(ports, k);
    if (!receives(port)) continue;
    inRings += port.driver.outstanding;
    markHeld(pages, port.consumer);
    for (let at: u32 = 0; ; at++) {
      const buffer = rxWaiting(port.rx, at);
      if (!buffer) break;
      const page = pageOf(pages, buffer);
      if (!page.bias || page.mark & LISTED) return PAGES_PLACE;
      page.mark |= LISTED;
    }
  }

  let lent: u32 = 0;
  for (let k: u32 = 0; k < total; k++) {
    const page = pageAt(pages, k);
    // What a driver has and no list names is in a ring.
    if (page.bias && !(page.mark & LISTED)) lent++;
    if (page.refs != (page.mark & ~LISTED) + page.bias) return PAGES_REFERENCES;
  }
  return lent == inRings ? PAGES_SOUND : PAGES_IN_RING;
}

function markHeld(pages: Pages, consumer: Consumer): void {
  for (let at = consumer.head; at != consumer.tail; at++) {
    const packet = changetype<Packet>(load<u32>(consumer.queue + ((at & consumer.mask) << 2)));
    if (packet.bytes) pageOf(pages, packet.data).mark++;
  }
}
