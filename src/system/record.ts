/**
 * The shape of a system's record, field by field: what each says, and what it may be. The types are made from it, and a
 * record from outside is held against it.
 */
import * as v from "valibot";
import { PAGE_SIZE } from "../../assembly/abi.ts";
import { VIRTIO_NET_HDR_SIZE, VIRTQ_MAX_SIZE } from "../../assembly/spec.ts";
import { DMA_BACKENDS, type DmaBackend } from "../names.ts";
import { MAX_FRAME_BYTES } from "../net/frame.ts";
import { PASSTHRU_MOST_HEADER_BYTES } from "../passthru-limits.ts";
import { DIRECTIONS, RECLAIM_AT, RX_KINDS } from "./records.ts";
import { line, nameOrWhole, number, object, oneKind, oneOf, someOf, whole, yesOrNo } from "./schema.ts";

const txPolicy = object({
  /** `transmit`: every element of every packet. `set-up`: buffers once; a packet costs one sync for device. */
  mapAt: oneOf("transmit", "set-up"),
  reclaim: oneOf(...RECLAIM_AT),
  /** `set-up`: whether the cached tables are mapped then, too (ours); else a table costs a mapping a packet. Default false. */
  tablesMapped: v.optional(yesOrNo()),
  /** Transmit pauses while fewer descriptors than that are free. */
  stopBelow: whole(0, VIRTQ_MAX_SIZE),
  /** A packet of more elements is copied into one buffer first; 0: never. */
  flattenAbove: whole(0, VIRTQ_MAX_SIZE),
  /**
   * After how many packets the driver shows the device what it added, and rings if the device wants that: 1 is each
   * packet on its own; `burst` is "more to come" until the last one (netdev_xmit_more).
   */
  publish: nameOrWhole("burst", 1, VIRTQ_MAX_SIZE),
  /**
   * Packets of one element that share a buffer, an element each (ours, after multi-packet descriptors): so many at the
   * most, and of at most so many bytes. 1: each packet has a buffer of its own.
   */
  pack: object({ packets: whole(1, VIRTQ_MAX_SIZE), bytes: whole(0, MAX_FRAME_BYTES) }),
});

/** BufferRoom, of src/passthru-limits.ts. */
const room = {
  headroom: whole(0, PAGE_SIZE - 1),
  tailroom: whole(0, PAGE_SIZE - 1),
  align: number(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, PAGE_SIZE),
};

const rxPolicy = object({
  kind: oneOf(...RX_KINDS),
  /** Elements of a posted buffer: 2 has the device header in one of its own. A `big` buffer has 19 whatever stands here. */
  sgs: number(1, 2),
  /**
   * Whether a frame may span several buffers (VIRTIO_NET_F_MRG_RXBUF, 5.1.9.3.2), which then are as large as their page
   * allows. Needs a device header, and buffers of one element. The kind `mergeable` always does.
   */
  mergeable: yesOrNo(),
  /** Room that buffers have in front and behind in their pages, for a NIC that asks for it; default: none. */
  room: v.optional(object(room)),
  refill: object({
    /** After every packet that was taken, or after all of a poll. */
    check: oneOf("packet", "poll"),
    /** Free descriptors from which on everything free is posted; `half`: more than half the ring. */
    at: nameOrWhole("half", 1, VIRTQ_MAX_SIZE),
  }),
  /** References to a page: one by one, or 65,535 at once, of which the driver gives away its own (page-reuse kinds). */
  references: oneOf("plain", "bias"),
  /** What is shown to the CPU of a received buffer, and whether it is shown to the device before it is posted again. */
  sync: object({ cpu: oneOf("buffer", "packet"), device: yesOrNo() }),
});

/** The CPU copies every payload: `hops` times, and no way through a host has more. */
const copy = { hops: whole(1, 8) };

/** A copy engine moves every payload: from a queue of `jobs`, a power of two, at most `jobsPerTurn` in each of its turns. */
const engine = { jobs: whole(1, VIRTQ_MAX_SIZE), jobsPerTurn: whole(1, VIRTQ_MAX_SIZE) };

/** The NIC reads and writes the guest's own pages: `direct` or `split`, as its wishes and the driver's buffers agree. */
const passthru = {
  nic: object({ ...room, packetSplit: yesOrNo() }),
  /** Most bytes of a frame that count as headers, which are copied wherever they are apart from the payload. */
  headerBytes: whole(14, PASSTHRU_MOST_HEADER_BYTES),
  /** Packets that the wire keeps before it reads the first. */
  wireHolds: whole(1, VIRTQ_MAX_SIZE),
};

/** What a host does with a packet between the device half and the wire (assembly/path/host-*.ts, one file a kind). */
const hostTx = oneKind({
  /** The device half is the NIC. */
  wire: {},
  copy,
  /** Payloads of larger packets stay in the guest's pages until the wire, which keeps `wireHolds` packets, is done with them. */
  zerocopy: { wireHolds: whole(1, VIRTQ_MAX_SIZE) },
  engine,
  passthru,
});
const hostRx = oneKind({ wire: {}, copy, engine, passthru });

/** The entries of each ring of an AF_XDP socket. */
const rings = { entries: whole(1, VIRTQ_MAX_SIZE) };

/** What stands above the driver half (assembly/path/app-*.ts). */
const application = oneKind({
  /** The frames are the driver's own. */
  none: {},
  /** The mapped ring of a packet socket; `-zc`: its frames are the driver's buffers. */
  "af-packet": {},
  "af-packet-zc": {},
  /** An AF_XDP socket in zero-copy mode or in copy mode. */
  xsk: rings,
  "xsk-copy": rings,
});

const driver = {
  name: name(),
  /** The driver whose policy it is; default: the name. */
  driver: v.optional(line()),
  /** One line for lists. */
  about: line(),
  /** The directions that it is about; default: both. */
  directions: v.optional(someOf(...DIRECTIONS)),
  /** Bytes in front of every frame that the device reads or writes (5.1.9, virtio_net_hdr), or none. */
  headerBytes: number(0, VIRTIO_NET_HDR_SIZE),
  /** Whether packets of two and more elements take an indirect table. */
  indirect: yesOrNo(),
  /** Whether the halves say from which entry on they want a notification (EVENT_IDX). Without, each publish notifies. */
  eventIdx: yesOrNo(),
  tx: txPolicy,
  rx: rxPolicy,
};
const driverRecord = object(driver);

export const systemRecord = object({
  ...driver,
  /** Whether the driver maps (VIRTIO_F_ACCESS_PLATFORM). Without, it hands out physical addresses. */
  accessPlatform: yesOrNo(),
  /** The backend that the system is known with. */
  dma: oneOf(...(Object.keys(DMA_BACKENDS) as DmaBackend[])),
  application,
  host: object({ tx: hostTx, rx: hostRx }),
});

export type TxPolicy = v.InferOutput<typeof txPolicy>;
export type RxPolicy = v.InferOutput<typeof rxPolicy>;
export type HostTx = v.InferOutput<typeof hostTx>;
export type HostRx = v.InferOutput<typeof hostRx>;
export type PassthruPath = Extract<HostTx, { kind: "passthru" }>;
export type Application = v.InferOutput<typeof application>;
export type DriverRecord = v.InferOutput<typeof driverRecord>;
/** A driver, and what is around it. */
export type SystemRecord = v.InferOutput<typeof systemRecord>;

/** A part of ids, of lists with commas, and of lines. */
function name() {
  const right = "letters, digits, dots and dashes are, of which all is taken";
  return v.pipe(v.string(right), v.regex(/^(?!all$)[A-Za-z0-9][A-Za-z0-9.-]*$/, right));
}
