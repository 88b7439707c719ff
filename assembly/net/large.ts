// Frames that are to be segmented: the segmenter gets what the frame's header says (5.1.9).

import {
  VIRTIO_NET_HDR_CSUM_OFFSET,
  VIRTIO_NET_HDR_CSUM_START,
  VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM,
  VIRTIO_NET_HDR_GSO_SIZE,
  VIRTIO_NET_HDR_GSO_TYPE,
  VIRTIO_NET_HDR_INNER_NH,
  VIRTIO_NET_HDR_OUTER_TH,
} from "../spec";
import { Segmenter, segmentStart } from "./segmenter";

/** Starts to segment the frame at `frame`, which stays where it is until the last segment: OK or NET_E_*. */
export function startLarge(segmenter: Segmenter, frame: u32, bytes: u32, header: u32): u32 {
  segmenter.gsoType = load<u8>(header, VIRTIO_NET_HDR_GSO_TYPE);
  segmenter.gsoSize = load<u16>(header, VIRTIO_NET_HDR_GSO_SIZE);
  segmenter.csumStart = load<u16>(header, VIRTIO_NET_HDR_CSUM_START);
  segmenter.csumOffset = load<u16>(header, VIRTIO_NET_HDR_CSUM_OFFSET);
  segmenter.outerTransport = load<u16>(header, VIRTIO_NET_HDR_OUTER_TH);
  segmenter.innerNetwork = load<u16>(header, VIRTIO_NET_HDR_INNER_NH);
  segmenter.outerCsum = load<u8>(header) & VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM;
  // One for each frame that is cut: IPv6 has none of its own to go on from.
  segmenter.fragmentId++;
  return segmentStart(segmenter, frame, bytes);
}
