/** What the buffers of each kind look like: where they lie in their pages, what they hold, how they are mapped. */
import * as abi from "../../assembly/abi.ts";
import { MAX_FRAME_BYTES } from "../net/frame.ts";
import type { BufferRoom } from "../passthru-limits.ts";
import type { RxKind, RxPolicy } from "./records.ts";

/** The longest frame that a receive buffer takes where frames don't span several: Ethernet with a VLAN tag and 1500 bytes. */
export const MAX_RX_FRAME = 1518;

/** Bytes in front of a buffer in its page or half page; where a packet is built in place, 192 (I40E_SKB_PAD). */
const HEADROOM: Readonly<Record<RxKind, number>> = {
  "alloc-per-packet": 0,
  "page-reuse": 0,
  "page-reuse-build": 192,
  "page-pool": 192,
  premapped: 0,
  mergeable: 0,
  big: 0,
  "rx-streaming": 0,
};

/** Bytes that the device may write, if not what the longest frame takes: I40E_RXBUFFER_2048, I40E_RXBUFFER_1536. */
const BUFFER_BYTES: Readonly<Partial<Record<RxKind, number>>> = {
  "page-reuse": 2048,
  "page-reuse-build": 1536,
  mergeable: 2048,
  big: abi.BIG_PAGES * abi.PAGE_SIZE,
  "rx-streaming": abi.STREAM_BYTES,
};

/** What the kind maps its pages with: I40E_RX_DMA_ATTR, and page_pool_dma_map's. */
export const ATTRIBUTES: Readonly<Partial<Record<RxKind, number>>> = {
  "page-reuse-build": abi.DMA_ATTR_SKIP_CPU_SYNC | abi.DMA_ATTR_WEAK_ORDERING,
  "page-pool": abi.DMA_ATTR_SKIP_CPU_SYNC,
};

/** Kinds whose buffers the ring's driver half maps when they are added, and unmaps when they come back. */
export const MAPPED_BY_RING: readonly RxKind[] = ["alloc-per-packet", "mergeable", "big"];

/** Where the frame starts when the device header has an element of its own: on a cache line of its own. */
const SPLIT_HEADER_OFFSET = 64;

type Choice = Pick<RxPolicy, "kind" | "mergeable" | "room">;

/** Kinds whose pages have room round a buffer where that is wanted, and room that a kind always has. */
export const ROOMY: readonly RxKind[] = ["alloc-per-packet", "page-pool", "premapped", "mergeable"];
const BUILT_ROOM: BufferRoom = { headroom: 192, tailroom: 320, align: abi.CACHE_LINE };
const NO_ROOM: BufferRoom = { headroom: 0, tailroom: 0, align: abi.CACHE_LINE };

/** What a buffer has in front and behind, that nobody else uses. */
export function roomOf({ kind, room }: Pick<RxPolicy, "kind" | "room">): BufferRoom {
  if (kind === "page-reuse-build") return BUILT_ROOM;
  return room !== undefined && ROOMY.includes(kind) ? room : NO_ROOM;
}

/** Where a buffer starts in its page or half page. */
export function headroomOf(rx: Pick<RxPolicy, "kind" | "room">): number {
  return Math.max(HEADROOM[rx.kind], roomOf(rx).headroom);
}

/** Whether a buffer is for many frames. */
export function servesMany(kind: RxKind): boolean {
  return kind === "rx-streaming";
}

/** Kinds of which one buffer holds any frame. */
const HOLDS_ANY: readonly RxKind[] = ["big", "rx-streaming"];

/** Whether a frame may span buffers. */
export function merges({ kind, mergeable }: Choice): boolean {
  return (mergeable && !HOLDS_ANY.includes(kind)) || kind === "mergeable";
}

/** The longest frame that a driver can receive, on a ring that is large enough. */
export function mostReceived(rx: Choice): number {
  return merges(rx) || HOLDS_ANY.includes(rx.kind) ? MAX_FRAME_BYTES : MAX_RX_FRAME;
}

/** Elements of a posted buffer. */
export function elementsOf({ kind, sgs }: Pick<RxPolicy, "kind" | "sgs">): number {
  return kind === "big" ? abi.BIG_ELEMENTS : sgs;
}

/** Pages of a posted buffer. */
export function pagesOf(kind: RxKind): number {
  return kind === "big" ? abi.BIG_PAGES : 1;
}

/** Bytes of a buffer that the device may write; where frames span buffers, all that its page has room for. */
export function bufferBytes(rx: Choice, headerBytes: number, sgs: number): number {
  const room = rx.kind === "page-reuse-build" ? 0 : headroomOf(rx) + roomOf(rx).tailroom;
  const fixed = BUFFER_BYTES[rx.kind];
  if (fixed !== undefined) return fixed - room;
  if (merges(rx)) return abi.PAGE_SIZE - room;
  return frameOffset(rx.kind, headerBytes, sgs) + MAX_RX_FRAME;
}

/** Where a packet is built in place, header and frame have but 1536 bytes together, so that nothing lies between them. */
export function frameOffset(kind: RxKind, headerBytes: number, sgs: number): number {
  return sgs === 1 || kind === "page-reuse-build" ? headerBytes : SPLIT_HEADER_OFFSET;
}

/** page-reuse follows its record; a packet built in place, and a buffer that is never mapped again, always are. */
export function syncsForDevice({ kind, sync }: RxPolicy): boolean {
  return kind === "page-reuse" ? sync.device : SHOWN_TO_DEVICE.includes(kind);
}

const SHOWN_TO_DEVICE: readonly RxKind[] = ["page-reuse-build", "premapped", "rx-streaming"];

/** Frames of at most `total` bytes, device header included, that a streaming buffer takes before it is left for the next. */
export function framesOfStream(total: number): number {
  return Math.floor(abi.STREAM_STRIDES / Math.max(1, Math.ceil(total / abi.STRIDE_BYTES)));
}
