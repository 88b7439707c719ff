// A page allocator: pages of 4 KiB from the shared part, everything about them in the private part.
// Its core is the general allocator (tlsf.ts), run over an array of 16-byte descriptors: a block of n
// descriptors stands for n pages, so splits and merges are real, several pages lie together, and no
// header lies in anything that a peer can reach.
//
//   private   descriptors of node 0 | of node 1 | ...     16 bytes a page, TLSF blocks
//             records                                     32 bytes a page, class Page
//   shared    pages of node 0       | of node 1 | ...     4 KiB each
//
// NUMA nodes are ranges of the pages, equally large. The last `reserve` free pages are the emergency
// reserve: what is taken of them is marked, so that a driver gives it back instead of keeping it.

import {
  PAGE_DESCRIPTOR,
  PAGE_RECORD,
  PAGES_ALLOCATOR,
  PAGES_COUNT,
  PAGES_REFERENCES,
  PAGES_SOUND,
  PAGES_UNDERFLOW,
} from "../abi";
import {
  tlsfCheck,
  tlsfControlBytes,
  tlsfEnd,
  tlsfFirst,
  tlsfGive,
  tlsfInit,
  tlsfSizeAndFree,
  tlsfTake,
} from "./tlsf";

const PAGE_BITS: u32 = 12;
const RECORD_BITS: u32 = 5;
const DESCRIPTOR_BITS: u32 = 4;
/** Of a block's bytes the allocator's header takes these. */
const BLOCK_HEADER: u32 = 8;

/** In a page's `home`, above the node: it came from the emergency reserve. */
export const PAGE_FROM_RESERVE: u32 = 1 << 31;

/** What is known of a page; records are PAGE_RECORD bytes apart. */
@unmanaged
export class Page {
  /** References; 0: the page is free. */
  refs: u32;
  /** What the page is mapped at: the handle of its first byte. */
  dma: u32;
  /** Of the references those of the driver that has the page, in its ring or in a list; the rest are packets'. */
  bias: u32;
  /** The node that it belongs to, and PAGE_FROM_RESERVE: one word, because they are asked together. */
  home: u32;
  /** Pages that were taken with it, itself included. */
  pages: u32;
  /** What a check has found of it so far. */
  mark: u32;
}

@unmanaged
export class Pages {
  /** First page, pages of a node, and nodes. */
  base: u32;
  perNode: u32;
  nodes: u32;
  descriptors: u32;
  records: u32;
  /** Where the record of a page at 0 would be: spares a subtraction for every record that is looked up. */
  recordsAt0: u32;
  /** Free pages from which on what is handed out is marked, and pages that are free. */
  reserve: u32;
  free: u32;
  /** A test's wish: the so-manieth allocation from now fails; 0 for none. */
  failIn: u32;
  /** Puts of references that weren't there, which did nothing. */
  underflows: u32;

  // Counters, in pages
  allocated: u64;
  freed: u64;
  /** Allocations that failed, and those that another node served. */
  failures: u64;
  remote: u64;
}

/** Bytes of the control block with the allocator's own, one a node. */
export function pagesControlBytes(nodes: u32): u32 {
  return offsetof<Pages>() + nodes * tlsfControlBytes();
}

/** Bytes of the descriptors of `count` pages on `nodes` nodes. */
export function pagesDescriptorBytes(count: u32, nodes: u32): u32 {
  return nodes * descriptorBytes(count / nodes);
}

/** A region of n descriptors starts with the 8 bytes that align a payload and ends with the allocator's sentinel. */
@inline
function descriptorBytes(perNode: u32): u32 {
  return (perNode + 1) * PAGE_DESCRIPTOR;
}

@inline
function controlOf(pages: Pages, node: u32): u32 {
  return changetype<u32>(pages) + offsetof<Pages>() + node * tlsfControlBytes();
}

/** All pages free. `base` is a multiple of 4 KiB, `descriptors` of 16; `count / nodes` pages are a node's. */
export function pagesInit(ptr: u32, descriptors: u32, records: u32, base: u32, count: u32, nodes: u32): void {
  const pages = changetype<Pages>(ptr);
  memory.fill(ptr, 0, offsetof<Pages>());
  const perNode = count / nodes;
  pages.base = base;
  pages.perNode = perNode;
  pages.nodes = nodes;
  pages.descriptors = descriptors;
  pages.records = records;
  pages.recordsAt0 = records - ((base >> PAGE_BITS) << RECORD_BITS);
  pages.free = perNode * nodes;
  memory.fill(records, 0, count * PAGE_RECORD);
  if (!perNode) return;
  const bytes = descriptorBytes(perNode);
  for (let node: u32 = 0; node < nodes; node++) {
    tlsfInit(controlOf(pages, node), descriptors + node * bytes, bytes);
  }
}

/** The record of the page that the byte at `ptr` lies in. */
@inline
export function pageOf(pages: Pages, ptr: u32): Page {
  return recordOf(pages.recordsAt0, ptr);
}

/** The same with the place where that of a page at 0 would be, `recordsAt0`. */
@inline
export function recordOf(recordsAt0: u32, ptr: u32): Page {
  return changetype<Page>(recordsAt0 + ((ptr >> PAGE_BITS) << RECORD_BITS));
}

/** The record of page number `index`. */
@inline
export function pageAt(pages: Pages, index: u32): Page {
  return changetype<Page>(pages.records + (index << RECORD_BITS));
}

/** The first byte of the page that `ptr` lies in. */
@inline
export function pageStart(ptr: u32): u32 {
  return ptr & ~((1 << PAGE_BITS) - 1);
}

/** Takes `count` pages that lie together, on `node` if it has them, with one reference; 0 when there are none. */
export function pagesTake(ptr: u32, node: u32, count: u32): u32 {
  const pages = changetype<Pages>(ptr);
  let at: u32 = 0;
  let from = node;
  if (!pages.failIn || --pages.failIn) {
    const bytes = (count << DESCRIPTOR_BITS) - BLOCK_HEADER;
    at = tlsfTake(controlOf(pages, node), bytes);
    for (let k: u32 = 1; !at && k < pages.nodes; k++) {
      from = (node + k) % pages.nodes;
      at = tlsfTake(controlOf(pages, from), bytes);
    }
  }
  if (!at) {
    pages.failures++;
    return 0;
  }
  const within = (at - pages.descriptors - from * descriptorBytes(pages.perNode)) >> DESCRIPTOR_BITS;
  const page = pages.base + ((from * pages.perNode + within - 1) << PAGE_BITS);
  const record = pageOf(pages, page);
  record.refs = 1;
  record.bias = 0;
  record.home = pages.free <= pages.reserve ? from | PAGE_FROM_RESERVE : from;
  record.pages = count;
  pages.free -= count;
  pages.allocated += count;
  if (from != node) pages.remote += count;
  return page;
}

/** Takes up to `count` single pages and writes them to `out`; how many. */
export function pagesTakeBulk(ptr: u32, node: u32, out: u32, count: u32): u32 {
  let done: u32 = 0;
  for (; done < count; done++) {
    const page = pagesTake(ptr, node, 1);
    if (!page) break;
    store<u32>(out + (done << 2), page);
  }
  return done;
}

/** Takes `count` more references to a page. */
@inline
export function pageGet(page: Page, count: u32): void {
  page.refs += count;
}

/** Puts `count` references to the page at `ptr`; whether that freed it. */
@inline
export function pagePut(pages: Pages, ptr: u32, count: u32): bool {
  const page = pageOf(pages, ptr);
  const refs = page.refs;
  if (refs <= count) return putLast(pages, page, ptr, count);
  page.refs = refs - count;
  return false;
}

/** Puts the last references, or refuses to put more than there are. */
function putLast(pages: Pages, page: Page, ptr: u32, count: u32): bool {
  if (page.refs != count) {
    pages.underflows++;
    return false;
  }
  page.refs = 0;
  page.bias = 0;
  const node = page.home & ~PAGE_FROM_RESERVE;
  const index = (ptr - pages.base) >> PAGE_BITS;
  pages.free += page.pages;
  pages.freed += page.pages;
  tlsfGive(
    controlOf(pages, node),
    pages.descriptors +
      node * descriptorBytes(pages.perNode) +
      ((index - node * pages.perNode + 1) << DESCRIPTOR_BITS),
  );
  return true;
}

// The same by address, for the host

export function pagesGet(ptr: u32, page: u32, count: u32): void {
  pageGet(pageOf(changetype<Pages>(ptr), page), count);
}

export function pagesPut(ptr: u32, page: u32, count: u32): u32 {
  return <u32>pagePut(changetype<Pages>(ptr), page, count);
}

/** Whether a driver may keep a page for another packet: neither another node's nor of the reserve. */
@inline
export function pageIsReusable(page: Page, node: u32): bool {
  return page.home == node;
}

/**
 * Walks the allocator: it is sound, each page that it has is without references and no other is, and
 * pages allocated are pages freed and pages taken. PAGES_SOUND, or what is wrong.
 */
export function pagesCheck(ptr: u32): u32 {
  const pages = changetype<Pages>(ptr);
  if (pages.underflows) return PAGES_UNDERFLOW;
  let taken: u32 = 0;
  for (let node: u32 = 0; pages.perNode && node < pages.nodes; node++) {
    const control = controlOf(pages, node);
    if (tlsfCheck(control)) return PAGES_ALLOCATOR;
    let record = pages.records + ((node * pages.perNode) << RECORD_BITS);
    for (let at = tlsfFirst(control); at < tlsfEnd(control); ) {
      const sizeAndFree = tlsfSizeAndFree(at);
      const free = sizeAndFree & 1;
      const bytes = sizeAndFree & ~1;
      const count = bytes >> DESCRIPTOR_BITS;
      const first = changetype<Page>(record);
      if (!free && (!first.refs || first.pages != count)) return PAGES_REFERENCES;
      for (let k: u32 = free ? 0 : 1; k < count; k++) {
        if (changetype<Page>(record + (k << RECORD_BITS)).refs) return PAGES_REFERENCES;
      }
      if (!free) taken += count;
      record += count << RECORD_BITS;
      at += bytes;
    }
  }
  if (<u64>taken != pages.allocated - pages.freed) return PAGES_COUNT;
  return taken + pages.free == pages.perNode * pages.nodes ? PAGES_SOUND : PAGES_COUNT;
}
