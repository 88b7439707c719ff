/** Names for the engine's codes: what a user types, reads in a report, or catches. */
import * as abi from "../assembly/abi.ts";

/** Ring formats (virtio 1.4, 2.7 and 2.8). */
export const RING_FORMATS = ["split", "packed"] as const;
export type RingFormat = (typeof RING_FORMATS)[number];

/** Where indirect tables come from; `direct` uses none. */
export const TABLE_SOURCES = {
  direct: abi.TABLES_DIRECT,
  heap: abi.TABLES_HEAP,
  freelist: abi.TABLES_FREELIST,
  grow: abi.TABLES_GROW,
  slot: abi.TABLES_SLOT,
  "per-node": abi.TABLES_PER_NODE,
} as const;
export type TableSource = keyof typeof TABLE_SOURCES;

/** What stands between a device and the memory once ACCESS_PLATFORM is negotiated. */
export const DMA_BACKENDS = {
  direct: abi.DMA_DIRECT,
  swiotlb: abi.DMA_SWIOTLB,
  "iommu-strict": abi.DMA_IOMMU_STRICT,
  "iommu-lazy": abi.DMA_IOMMU_LAZY,
} as const;
export type DmaBackend = keyof typeof DMA_BACKENDS;

/** Who moves the bytes of a mapping. */
export const DMA_DIRECTIONS = {
  bidirectional: abi.DMA_BIDIRECTIONAL,
  "to-device": abi.DMA_TO_DEVICE,
  "from-device": abi.DMA_FROM_DEVICE,
} as const;
export type DmaDirection = keyof typeof DMA_DIRECTIONS;

/** Why a mapping could not be made, by the engine's DMA_E_* code. */
export const DMA_FAILURES: Readonly<Record<number, { readonly code: string; readonly text: string }>> = {
  [abi.DMA_E_EMPTY]: { code: "dma-empty", text: "a mapping needs at least one byte" },
  [abi.DMA_E_RANGE]: {
    code: "dma-range",
    text: "a mapping must lie in the memory, and outside of the engine's private part",
  },
  [abi.DMA_E_TOO_LONG]: {
    code: "dma-too-long",
    text: `a bounce pool holds at most ${abi.BOUNCE_SEGMENT * abi.BOUNCE_SLOT} bytes in one piece`,
  },
  [abi.DMA_E_POOL_FULL]: { code: "dma-pool-full", text: "the bounce pool has no free slots in one piece" },
  [abi.DMA_E_NO_IOVA]: { code: "dma-no-iova", text: "the aperture has no free range of this size" },
  [abi.DMA_E_NO_TABLE]: { code: "dma-no-table", text: "no page table is left" },
  [abi.DMA_E_INJECTED]: { code: "dma-injected", text: "the failure was asked for" },
};

/** Why a request of a passthru interface was refused or came back undone, by the engine's PASSTHRU_E_* code. */
export const PASSTHRU_FAILURES: Readonly<Record<number, { readonly code: string; readonly text: string }>> = {
  [abi.PASSTHRU_E_UNBOUND]: { code: "unbound", text: "no NIC is bound to the interface" },
  [abi.PASSTHRU_E_FULL]: { code: "full", text: "as many requests as are reserved are outstanding" },
  [abi.PASSTHRU_E_ELEMENTS]: {
    code: "elements",
    text: "a request has elements of one direction, at least one and no more than are reserved",
  },
  [abi.PASSTHRU_E_TOO_SHORT]: {
    code: "too-short",
    text: "a frame has at least 14 bytes behind its device header, and a buffer more than that header",
  },
  [abi.PASSTHRU_E_TOO_LONG]: { code: "too-long", text: "the frame is longer than the interface carries" },
  [abi.PASSTHRU_E_RANGE]: { code: "range", text: "an element lies outside of the memory that can be pinned" },
  [abi.PASSTHRU_E_LOCKED_PAGES]: {
    code: "locked-pages",
    text: "the limit of locked pages would be exceeded",
  },
  [abi.PASSTHRU_E_PIN_FAILED]: { code: "pin-failed", text: "a page could not be pinned" },
  [abi.PASSTHRU_E_HEADROOM]: { code: "headroom", text: "a buffer lacks room in front" },
  [abi.PASSTHRU_E_TAILROOM]: { code: "tailroom", text: "a buffer lacks room behind" },
  [abi.PASSTHRU_E_ALIGNMENT]: { code: "alignment", text: "a buffer does not start where it must" },
  [abi.PASSTHRU_E_CANCELED]: { code: "canceled", text: "no frame came before the request was withdrawn" },
  [abi.PASSTHRU_E_WIRE]: { code: "wire", text: "the NIC could not send the frame" },
};

export type FaultReason = "unmapped" | "direction" | "range" | "scattered";

/** Why an access of a device was refused, by the engine's FAULT_* code. */
export const FAULT_REASONS: Readonly<Record<number, FaultReason>> = {
  [abi.FAULT_UNMAPPED]: "unmapped",
  [abi.FAULT_DIRECTION]: "direction",
  [abi.FAULT_RANGE]: "range",
  [abi.FAULT_SCATTERED]: "scattered",
};

export const QUEUE_STATES = ["stopped", "live", "broken", "suspended"] as const;
export type QueueState = (typeof QUEUE_STATES)[number];

interface Fault {
  readonly code: string;
  /** The row of docs/conformance.md that the fault breaks, where there is one. */
  readonly requirement: string;
  readonly text: string;
}

function fault(code: string, requirement: string, text: string): Fault {
  return { code, requirement, text };
}

/** Why a queue broke (what the peer did), by the engine's E_* code. */
export const VIOLATIONS: Readonly<Record<number, Fault>> = {
  [abi.E_AVAIL_IDX]: fault("avail-idx-jump", "H-V-01", "avail.idx is more than the ring's size ahead"),
  [abi.E_HEAD_RANGE]: fault("head-out-of-range", "H-V-02", "an available head is not below the ring's size"),
  [abi.E_HEAD_IN_FLIGHT]: fault(
    "head-in-flight",
    "G-D-15",
    "a head was made available again before it was used",
  ),
  [abi.E_NEXT_RANGE]: fault(
    "next-out-of-range",
    "H-V-02",
    "a next field is not below the length of its table",
  ),
  [abi.E_CHAIN_TOO_LONG]: fault(
    "chain-too-long",
    "H-V-03",
    "a chain has more elements than the limit, or loops",
  ),
  [abi.E_CHAIN_BYTES]: fault("chain-bytes", "S-D-03", "a chain describes more than 2^32 bytes"),
  [abi.E_TABLE_LENGTH]: fault(
    "table-length",
    "H-V-04",
    "an indirect table's length is 0, not a multiple of 16, or above 16 times the ring's size",
  ),
  [abi.E_TABLE_ADDRESS]: fault("table-address", "H-V-04", "an indirect table lies outside the address space"),
  [abi.E_BUFFER_ADDRESS]: fault("buffer-address", "H-V-05", "a buffer lies outside the address space"),
  [abi.E_READABLE_AFTER_WRITABLE]: fault(
    "readable-after-writable",
    "H-V-08",
    "a device-readable element comes after a device-writable one",
  ),
  [abi.E_INDIRECT_WITH_NEXT]: fault(
    "indirect-with-next",
    "H-V-08",
    "a descriptor has both INDIRECT and NEXT",
  ),
  [abi.E_NESTED_INDIRECT]: fault(
    "nested-indirect",
    "H-V-08",
    "an indirect table holds an INDIRECT descriptor",
  ),
  [abi.E_INDIRECT_NOT_NEGOTIATED]: fault(
    "indirect-not-negotiated",
    "S-D-05",
    "INDIRECT without VIRTIO_F_INDIRECT_DESC",
  ),
  [abi.E_INDIRECT_IN_LIST]: fault(
    "indirect-in-list",
    "H-V-08",
    "INDIRECT in a list of linked packed descriptors",
  ),
  [abi.E_RING_OVERRUN]: fault(
    "ring-overrun",
    "H-V-01",
    "more slots were made available than the ring has free",
  ),
  [abi.E_DMA_FAULT]: fault("dma-fault", "H-V-05", "the device was refused access to a buffer's bytes"),
  [abi.E_RING_FAULT]: fault("ring-fault", "H-V-05", "the ring's own memory is not mapped any more"),
  [abi.E_NET_BUFFER]: fault(
    "net-buffer",
    "N-D-12",
    "a receive buffer is smaller than the header of a packet",
  ),
  [abi.E_USED_IDX]: fault("used-idx-jump", "H-D-02", "used.idx is ahead by more than is outstanding"),
  [abi.E_USED_ID_RANGE]: fault("used-id-out-of-range", "H-D-01", "a used id is not below the ring's size"),
  [abi.E_USED_ID_NOT_OUTSTANDING]: fault(
    "used-id-not-outstanding",
    "H-D-01",
    "a used id names no outstanding buffer",
  ),
  [abi.E_NET_NUM_BUFFERS]: fault(
    "net-num-buffers",
    "N-V-05",
    "num_buffers is 0, or counts more buffers than were used with it",
  ),
  [abi.E_STREAM_COMPLETION]: fault(
    "stream-completion",
    "",
    "a completion, or a streaming buffer that came back, does not follow those before",
  ),
};

/** Why a call was refused (what the caller did), by the engine's R_* code. */
export const REFUSALS: Readonly<Record<number, Fault>> = {
  [abi.R_EMPTY_BUFFER]: fault("empty-buffer", "S-D-19", "a buffer needs at least one element"),
  [abi.R_TOO_MANY_SGS]: fault(
    "too-many-elements",
    "S-D-07",
    "a buffer has more elements than the ring has entries",
  ),
  [abi.R_BUFFER_BYTES]: fault("buffer-bytes", "S-D-03", "a buffer describes more than 2^32 bytes"),
  [abi.R_NOT_IN_FLIGHT]: fault("not-in-flight", "V-V-01", "the handle names no buffer that is in flight"),
  [abi.R_NOT_IN_ORDER]: fault(
    "not-in-order",
    "F-V-02",
    "with IN_ORDER buffers are used in the order they came",
  ),
  [abi.R_LEN_OVER_CAPACITY]: fault(
    "length-over-capacity",
    "S-V-10",
    "more bytes than the buffer's writable part",
  ),
  [abi.R_QUEUE_LIVE]: fault("queue-live", "G-D-16", "the queue must be stopped first"),
  [abi.R_QUEUE_NOT_LIVE]: fault(
    "queue-not-live",
    "V-V-01",
    "the queue is stopped, or its device does not run",
  ),
  [abi.R_OUTSTANDING]: fault("outstanding", "G-D-16", "the outstanding buffers must be detached first"),
  [abi.R_QUEUE_SIZE]: fault(
    "queue-size",
    "V-D-03",
    "split sizes are powers of two, packed sizes any, 1 to 32768, at most what was reserved",
  ),
  [abi.R_RING_ALIGNMENT]: fault(
    "ring-alignment",
    "S-D-01",
    "split areas start at multiples of 16, 2 and 4, packed areas at multiples of 16, 4 and 4",
  ),
  [abi.R_RING_ADDRESS]: fault("ring-address", "H-V-05", "an area lies outside the address space"),
  [abi.R_RING_OVERLAP]: fault("ring-overlap", "S-B-03", "two areas of the queue overlap"),
  [abi.R_STAGING_SIZE]: fault("staging-size", "S-B-05", "the staging area does not hold one buffer"),
  [abi.R_SPACE_OVERLAP]: fault(
    "space-overlap",
    "H-V-05",
    "the address space would show the engine's private part",
  ),
  [abi.R_DMA_MAP_FAILED]: fault("dma-map-failed", "F-D-01", "the buffer could not be mapped for the device"),
  [abi.R_TOO_MANY_MAPPINGS]: fault(
    "too-many-mappings",
    "F-D-01",
    "the buffer has more elements than the engine's maxSgs, for which mapping records are reserved",
  ),
  [abi.R_TABLE_SOURCE]: fault("table-source", "", `a threshold is 0 to ${abi.MAX_THRESHOLD}`),
  [abi.R_NET_PAIR]: fault("net-pair", "M-D-02", "frames are sent on the queue pairs that are in use"),
  [abi.R_NET_LENGTH]: fault("net-length", "", `a frame has 14 to ${abi.NET_FRAME_MAX} bytes`),
  [abi.R_NET_MTU]: fault("net-mtu", "N-B-04", "the frame is longer than the device's MTU allows"),
  [abi.R_NET_HEADER]: fault("net-header", "N-B-07", "flags and gso_type contradict each other"),
  [abi.R_NET_CSUM]: fault("net-csum", "N-D-06", "csum_start and csum_offset point outside of the frame"),
  [abi.R_NET_GSO]: fault("net-gso", "N-D-07", "the frame can't be segmented as it asks to be"),
};
