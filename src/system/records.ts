/**
 * The systems that can be compared, as data: what each chooses, and where that is known from. A driver at a NIC is a
 * system, and so is a guest's driver with a host's path between its device and the wire. To add one, add a record; the
 * engine implements the choices once (assembly/path/, assembly/rx/).
 *
 * "4.7" and "6.1" are Linux versions; file names are Linux's.
 */

import { VIRTIO_NET_HDR_SIZE } from "../../assembly/spec.ts";
import { type BufferRoom, PASSTHRU_HEADER_BYTES } from "../passthru-limits.ts";
import type { DriverRecord, PassthruPath, RxPolicy, SystemRecord } from "./record.ts";

export type {
  Application,
  DriverRecord,
  HostRx,
  HostTx,
  PassthruPath,
  RxPolicy,
  SystemRecord,
  TxPolicy,
} from "./record.ts";

/** How a driver keeps its receive buffers (assembly/rx/, one file a kind). */
export const RX_KINDS = [
  "alloc-per-packet",
  "page-reuse",
  "page-reuse-build",
  "page-pool",
  "premapped",
  "mergeable",
  "big",
  "rx-streaming",
] as const;
export type RxKind = (typeof RX_KINDS)[number];

/** When the driver takes transmitted buffers back, and with that unmaps them. */
export const RECLAIM_AT = ["next-transmit", "completion", "threshold"] as const;
export type ReclaimAt = (typeof RECLAIM_AT)[number];

export const DIRECTIONS = ["tx", "rx"] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** Transmit stops with less than a packet's worst case free: header, linear part, and 17 fragments (2 + MAX_SKB_FRAGS). */
const WORST_PACKET = 19;
/** Each packet has a buffer of its own. */
const UNPACKED = { packets: 1, bytes: 0 };

const virtioNet: DriverRecord = {
  name: "virtio-net",
  driver: "virtio-net",
  about: "maps and unmaps every buffer of every packet, as a virtio driver with ACCESS_PLATFORM does",
  headerBytes: VIRTIO_NET_HDR_SIZE,
  indirect: true,
  eventIdx: true,
  tx: {
    // virtio_ring.c: virtqueue_add maps, detach_buf unmaps. virtio_net.c: start_xmit calls free_old_xmit_skbs first.
    mapAt: "transmit",
    reclaim: "next-transmit",
    stopBelow: WORST_PACKET,
    flattenAbove: 0,
    publish: "burst",
    pack: UNPACKED,
  },
  rx: {
    kind: "alloc-per-packet",
    // 6.1: receive_small has header and frame in one; 4.7 had two elements.
    sgs: 1,
    mergeable: false,
    // 4.7, virtnet_receive: vq->num_free > virtqueue_get_vring_size(vq) / 2, then try_fill_recv until it is full.
    refill: { check: "poll", at: "half" },
    references: "plain",
    sync: { cpu: "buffer", device: false },
  },
};

const i40e: DriverRecord = {
  name: "i40e",
  driver: "i40e",
  about: "Linux 4.7's driver of the XL710: half pages that stay mapped and flip",
  headerBytes: 0,
  indirect: false,
  // Every write of the tail register is a doorbell (writel(i, tx_ring->tail), i40e_release_rx_desc).
  eventIdx: false,
  tx: {
    // i40e_txrx.c: i40e_tx_map maps the head and each fragment; i40e_clean_tx_irq unmaps.
    mapAt: "transmit",
    reclaim: "completion",
    // The same bound as virtio-net's, so that it makes no difference; i40e's own, DESC_NEEDED, is a few more.
    stopBelow: WORST_PACKET,
    // The hardware fetches at most 8 descriptors a packet (i40e_chk_linearize, then skb_linearize).
    flattenAbove: 8,
    publish: "burst",
    pack: UNPACKED,
  },
  rx: {
    kind: "page-reuse",
    sgs: 1,
    mergeable: false,
    // I40E_RX_BUFFER_WRITE, checked in the loop of i40e_clean_rx_irq.
    refill: { check: "packet", at: 16 },
    // i40e_add_rx_frag: page_count() != 1 ends the reuse, get_page() goes on with it.
    references: "plain",
    // i40e_fetch_rx_buffer syncs I40E_RXBUFFER_2048; i40e_alloc_rx_buffers doesn't sync.
    sync: { cpu: "buffer", device: false },
  },
};

const premapped: DriverRecord = {
  ...virtioNet,
  name: "premapped",
  driver: "premapped",
  about: "a later virtio driver: all buffers mapped at set-up, after that only syncs",
  tx: { ...virtioNet.tx, mapAt: "set-up" },
  rx: { ...virtioNet.rx, kind: "premapped", sync: { cpu: "packet", device: true } },
};

/** By name. */
export const DRIVER_RECORDS: Readonly<Record<string, DriverRecord>> = {
  "virtio-net": virtioNet,
  i40e,
  "i40e-6.1": {
    ...i40e,
    name: "i40e-6.1",
    driver: "i40e-6.1",
    about: "Linux 6.1's: packets built in place, syncs of what was written, references taken ahead",
    rx: {
      // Without the private flag legacy-rx: i40e_build_skb.
      kind: "page-reuse-build",
      sgs: 1,
      mergeable: false,
      refill: { check: "packet", at: 32 },
      // i40e_alloc_mapped_page takes USHRT_MAX, i40e_can_reuse_rx_page adds USHRT_MAX - 1 when 1 is left.
      references: "bias",
      // i40e_get_rx_buffer syncs the packet's size, i40e_alloc_rx_buffers the buffer for the device.
      sync: { cpu: "packet", device: true },
    },
  },
  premapped,
  mergeable: {
    ...virtioNet,
    name: "mergeable",
    driver: "mergeable",
    directions: ["rx"],
    about: "virtio-net with MRG_RXBUF: buffers of half a page, of which a long frame takes several",
    rx: { ...virtioNet.rx, kind: "mergeable", mergeable: true },
  },
  big: {
    ...virtioNet,
    name: "big",
    driver: "big",
    directions: ["rx"],
    about: "virtio-net that takes 64 KiB without MRG_RXBUF: 18 pages in 19 elements for each buffer",
    // virtio_net.c: add_recvbuf_big.
    rx: { ...virtioNet.rx, kind: "big" },
  },
  "rx-streaming": {
    ...premapped,
    name: "rx-streaming",
    driver: "rx-streaming",
    directions: ["rx"],
    about:
      "large buffers of 64 strides, mapped at set-up, of which a frame takes one or more: a rule of ours",
    rx: { ...premapped.rx, kind: "rx-streaming" },
  },
  "tx-single": {
    ...virtioNet,
    name: "tx-single",
    driver: "tx-single",
    directions: ["tx"],
    about: "virtio-net without EVENT_IDX that shows each packet on its own: a doorbell for each",
    eventIdx: false,
    tx: { ...virtioNet.tx, publish: 1 },
  },
  "tx-bulk": {
    ...virtioNet,
    name: "tx-bulk",
    driver: "tx-bulk",
    directions: ["tx"],
    about: 'virtio-net without EVENT_IDX, with "more to come" until the last: a doorbell for a burst',
    eventIdx: false,
  },
  "tx-multi-packet": {
    ...virtioNet,
    name: "tx-multi-packet",
    driver: "tx-multi-packet",
    directions: ["tx"],
    about: "the same with up to 8 packets of at most 256 bytes in one buffer, a rule of ours",
    eventIdx: false,
    tx: { ...virtioNet.tx, pack: { packets: 8, bytes: 256 } },
  },
};

/** Where frames may span buffers, the longest arrive, too. */
function anyFrame(rx: RxPolicy): RxPolicy {
  return { ...rx, mergeable: true };
}

/** A guest's own driver: physical addresses, and buffers that the host's path copies from and to. */
const guest = {
  ...virtioNet,
  rx: anyFrame(virtioNet.rx),
  accessPlatform: false,
  dma: "direct",
  application: { kind: "none" },
} as const;

/** A driver on the machine itself, or in a guest, whose device is the NIC: what applications stand above. */
const atWire = { tx: { kind: "wire" }, rx: { kind: "wire" } } as const;
/** XSK_RING_PROD__DEFAULT_NUM_DESCS, XSK_RING_CONS__DEFAULT_NUM_DESCS. */
const XSK_ENTRIES = 2048;

/**
 * What a NIC asks for that can't split packets: NET_SKB_PAD in front of a buffer, which starts on a cache line, and behind
 * it what describes the packet. A frame of 9000 bytes still takes five buffers of half a page.
 */
const NIC_ROOM: BufferRoom = { headroom: 64, tailroom: 128, align: 64 };
/** How long a NIC keeps a packet is its own; as for vhost-zerocopy. */
const passthru = { kind: "passthru", headerBytes: PASSTHRU_HEADER_BYTES, wireHolds: 32 } as const;
const direct: PassthruPath = { ...passthru, nic: { ...NIC_ROOM, packetSplit: false } };
const split: PassthruPath = { ...passthru, nic: { ...NIC_ROOM, packetSplit: true } };

/** Every system by name: those of section 5 of the list of systems, and the drivers. */
export const SYSTEM_RECORDS: Readonly<Record<string, SystemRecord>> = {
  ...Object.fromEntries(Object.values(DRIVER_RECORDS).map((record) => [record.name, atNic(record)])),
  "qemu-virtio-net": {
    ...guest,
    name: "qemu-virtio-net",
    about: "the device half in a user process: the tap copies what is sent, and receive copies twice",
    // hw/net/virtio-net.c: sendmsg from the guest's elements; receive reads into a buffer, and iov_from_buf copies on.
    host: { tx: { kind: "copy", hops: 1 }, rx: { kind: "copy", hops: 2 } },
  },
  "vhost-net": {
    ...guest,
    name: "vhost-net",
    about: "the device half in the host's kernel: one copy each way",
    // drivers/vhost/net.c: handle_tx_copy, and handle_rx through the socket's recvmsg.
    host: { tx: { kind: "copy", hops: 1 }, rx: { kind: "copy", hops: 1 } },
  },
  "vhost-net-dedicated": {
    ...guest,
    name: "vhost-net-dedicated",
    about: "a NIC that is one guest's alone fills the guest's own buffers; what is sent is still copied",
    host: { tx: { kind: "copy", hops: 1 }, rx: { kind: "wire" } },
  },
  "vhost-zerocopy": {
    ...guest,
    name: "vhost-zerocopy",
    about:
      "the wire takes what is sent from the guest's own pages, from 256 bytes on; receive is vhost's copy",
    // drivers/vhost/net.c: handle_tx_zerocopy, with the module parameter experimental_zcopytx. How long a NIC keeps a
    // packet is its own; 32 stay below the limit of min(VHOST_MAX_PEND, vq->num >> 2) in a ring of 256.
    host: { tx: { kind: "zerocopy", wireHolds: 32 }, rx: { kind: "copy", hops: 1 } },
  },
  "dma-engine": {
    ...guest,
    name: "dma-engine",
    about: "a copy engine moves what vhost would copy, each way, while the CPU goes on",
    // After the asynchronous data path of DPDK's vhost library (rte_vhost_async.h: submit a burst, poll its completions,
    // in order) and Linux's ioat; how many jobs a channel takes is its own.
    host: {
      tx: { kind: "engine", jobs: 128, jobsPerTurn: 64 },
      rx: { kind: "engine", jobs: 128, jobsPerTurn: 64 },
    },
  },
  "passthru-direct": {
    ...guest,
    name: "passthru-direct",
    about: "the NIC reads and writes the guest's buffers, which have the room that it asks for: way one",
    // The mediate passthru patches of 2010: the NIC's driver allocates its buffers with the guest's page constructor.
    rx: { ...DRIVER_RECORDS.mergeable.rx, room: NIC_ROOM },
    host: { tx: direct, rx: direct },
  },
  "passthru-split": {
    ...guest,
    name: "passthru-split",
    about: "the NIC splits packets: payload into the guest's buffers, headers by way of the host: way two",
    rx: DRIVER_RECORDS.mergeable.rx,
    host: { tx: split, rx: split },
  },
  "sriov-vf": {
    ...DRIVER_RECORDS.premapped,
    // All of the guest's memory is mapped before the guest runs, tables included.
    tx: { ...DRIVER_RECORDS.premapped.tx, tablesMapped: true },
    rx: anyFrame(DRIVER_RECORDS.premapped.rx),
    name: "sriov-vf",
    about: "a virtual function reads and writes the guest's memory itself, through the IOMMU",
    accessPlatform: true,
    dma: "iommu-strict",
    application: { kind: "none" },
    host: { tx: { kind: "wire" }, rx: { kind: "wire" } },
  },
  "af-packet": {
    ...atNic(DRIVER_RECORDS.premapped),
    rx: anyFrame(DRIVER_RECORDS.premapped.rx),
    name: "af-packet",
    about: "a program at a packet socket's mapped ring: the kernel copies each frame out of it, or into it",
    // net/packet/af_packet.c: tpacket_snd with tpacket_fill_skb, tpacket_rcv with skb_copy_bits.
    application: { kind: "af-packet" },
  },
  "af-packet-zc": {
    ...atNic(DRIVER_RECORDS.premapped),
    rx: anyFrame(DRIVER_RECORDS.premapped.rx),
    name: "af-packet-zc",
    about: "a proposal: the frames of that ring are the driver's own buffers, mapped at set-up",
    application: { kind: "af-packet-zc" },
  },
  xsk: {
    ...guest,
    name: "xsk",
    about: "an AF_XDP socket in zero-copy mode: the program's chunks are the driver's buffers",
    // net/xdp/xsk.c: xsk_tx_peek_desc; the header has an element of its own, so that every packet takes a table.
    application: { kind: "xsk", entries: XSK_ENTRIES },
    host: atWire,
  },
  "xsk-copy": {
    ...guest,
    name: "xsk-copy",
    about: "the same in copy mode: the kernel copies what is in a chunk",
    // net/xdp/xsk.c: xsk_generic_xmit, xsk_rcv.
    application: { kind: "xsk-copy", entries: XSK_ENTRIES },
    host: atWire,
  },
};

/** Records by their names. */
export function systemsNamed(...names: readonly string[]): SystemRecord[] {
  return names.map((name) => SYSTEM_RECORDS[name]);
}

/** A driver whose device half is the NIC. */
export function atNic(record: DriverRecord): SystemRecord {
  return {
    ...record,
    accessPlatform: true,
    dma: "direct",
    application: { kind: "none" },
    host: { tx: { kind: "wire" }, rx: { kind: "wire" } },
  };
}

/** What the system does of transmitting and receiving. */
export function directionsOf({ directions }: SystemRecord): readonly Direction[] {
  return directions ?? DIRECTIONS;
}

/** The name of the driver in a system. */
export function driverOf({ name, driver }: DriverRecord): string {
  return driver ?? name;
}

/** Whether it is a driver and nothing else: no application above, and its device half is the NIC. */
export function isDriver({ application, host }: SystemRecord): boolean {
  return application.kind === "none" && host.tx.kind === "wire" && host.rx.kind === "wire";
}
