/** The shape of a system's record, for records that come from outside. */
import * as v from "valibot";
import { PAGE_SIZE } from "../../assembly/abi.ts";
import { VIRTIO_NET_HDR_SIZE, VIRTQ_MAX_SIZE } from "../../assembly/spec.ts";
import { DMA_BACKENDS, type DmaBackend } from "../names.ts";
import { MAX_FRAME_BYTES } from "../net/frame.ts";
import { PASSTHRU_MOST_HEADER_BYTES } from "../passthru-limits.ts";
import { DIRECTIONS, RECLAIM_AT, RX_KINDS, type SystemRecord } from "./records.ts";
import { line, nameOrWhole, number, object, oneKind, oneOf, someOf, whole, yesOrNo } from "./schema.ts";

/** More than any way through a host has. */
const MOST_HOPS = 8;

const txPolicy = object({
  mapAt: oneOf("transmit", "set-up"),
  reclaim: oneOf(...RECLAIM_AT),
  stopBelow: whole(0, VIRTQ_MAX_SIZE),
  flattenAbove: whole(0, VIRTQ_MAX_SIZE),
  publish: nameOrWhole("burst", 1, VIRTQ_MAX_SIZE),
  pack: object({ packets: whole(1, VIRTQ_MAX_SIZE), bytes: whole(0, MAX_FRAME_BYTES) }),
});

const room = {
  headroom: whole(0, PAGE_SIZE - 1),
  tailroom: whole(0, PAGE_SIZE - 1),
  align: number(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, PAGE_SIZE),
};

const rxPolicy = object({
  kind: oneOf(...RX_KINDS),
  sgs: number(1, 2),
  mergeable: yesOrNo(),
  room: v.optional(object(room)),
  refill: object({ check: oneOf("packet", "poll"), at: nameOrWhole("half", 1, VIRTQ_MAX_SIZE) }),
  references: oneOf("plain", "bias"),
  sync: object({ cpu: oneOf("buffer", "packet"), device: yesOrNo() }),
});

const ring = { entries: whole(1, VIRTQ_MAX_SIZE) };

const application = oneKind({
  none: {},
  "af-packet": {},
  "af-packet-zc": {},
  xsk: ring,
  "xsk-copy": ring,
});

const engine = { jobs: whole(1, VIRTQ_MAX_SIZE), jobsPerTurn: whole(1, VIRTQ_MAX_SIZE) };
const passthru = {
  nic: object({ ...room, packetSplit: yesOrNo() }),
  headerBytes: whole(14, PASSTHRU_MOST_HEADER_BYTES),
  wireHolds: whole(1, VIRTQ_MAX_SIZE),
};

const hostTx = oneKind({
  wire: {},
  copy: { hops: whole(1, MOST_HOPS) },
  zerocopy: { wireHolds: whole(1, VIRTQ_MAX_SIZE) },
  engine,
  passthru,
});
const hostRx = oneKind({ wire: {}, copy: { hops: whole(1, MOST_HOPS) }, engine, passthru });

export const systemRecord = object({
  name: name(),
  driver: v.optional(line()),
  about: line(),
  headerBytes: number(0, VIRTIO_NET_HDR_SIZE),
  indirect: yesOrNo(),
  eventIdx: yesOrNo(),
  tx: txPolicy,
  rx: rxPolicy,
  accessPlatform: yesOrNo(),
  directions: v.optional(someOf(...DIRECTIONS)),
  dma: oneOf(...(Object.keys(DMA_BACKENDS) as DmaBackend[])),
  application,
  host: object({ tx: hostTx, rx: hostRx }),
});

/** A part of ids, of lists with commas, and of lines. */
function name() {
  const right = "letters, digits, dots and dashes are, of which all is taken";
  return v.pipe(v.string(right), v.regex(/^(?!all$)[A-Za-z0-9][A-Za-z0-9.-]*$/, right));
}

/** Neither side knows of a field, or a value, that the other doesn't. */
type Same<A, B> = [A, B] extends [B, A] ? true : false;
const agrees: Same<v.InferOutput<typeof systemRecord>, SystemRecord> = true;
void agrees;
