/** Feature bits of the network device (virtio 1.4, 5.1.3) by name, and what each of them needs (5.1.3.1). */
import * as spec from "../assembly/spec.ts";
import type { FeatureRule } from "./feature-rules.ts";
import { featureBit } from "./features.ts";

export const NetFeatures = {
  CSUM: featureBit(spec.VIRTIO_NET_F_CSUM),
  GUEST_CSUM: featureBit(spec.VIRTIO_NET_F_GUEST_CSUM),
  CTRL_GUEST_OFFLOADS: featureBit(spec.VIRTIO_NET_F_CTRL_GUEST_OFFLOADS),
  MTU: featureBit(spec.VIRTIO_NET_F_MTU),
  MAC: featureBit(spec.VIRTIO_NET_F_MAC),
  GUEST_TSO4: featureBit(spec.VIRTIO_NET_F_GUEST_TSO4),
  GUEST_TSO6: featureBit(spec.VIRTIO_NET_F_GUEST_TSO6),
  GUEST_ECN: featureBit(spec.VIRTIO_NET_F_GUEST_ECN),
  GUEST_UFO: featureBit(spec.VIRTIO_NET_F_GUEST_UFO),
  HOST_TSO4: featureBit(spec.VIRTIO_NET_F_HOST_TSO4),
  HOST_TSO6: featureBit(spec.VIRTIO_NET_F_HOST_TSO6),
  HOST_ECN: featureBit(spec.VIRTIO_NET_F_HOST_ECN),
  HOST_UFO: featureBit(spec.VIRTIO_NET_F_HOST_UFO),
  MRG_RXBUF: featureBit(spec.VIRTIO_NET_F_MRG_RXBUF),
  STATUS: featureBit(spec.VIRTIO_NET_F_STATUS),
  CTRL_VQ: featureBit(spec.VIRTIO_NET_F_CTRL_VQ),
  CTRL_RX: featureBit(spec.VIRTIO_NET_F_CTRL_RX),
  CTRL_VLAN: featureBit(spec.VIRTIO_NET_F_CTRL_VLAN),
  CTRL_RX_EXTRA: featureBit(spec.VIRTIO_NET_F_CTRL_RX_EXTRA),
  GUEST_ANNOUNCE: featureBit(spec.VIRTIO_NET_F_GUEST_ANNOUNCE),
  MQ: featureBit(spec.VIRTIO_NET_F_MQ),
  CTRL_MAC_ADDR: featureBit(spec.VIRTIO_NET_F_CTRL_MAC_ADDR),
  DEVICE_STATS: featureBit(spec.VIRTIO_NET_F_DEVICE_STATS),
  HASH_TUNNEL: featureBit(spec.VIRTIO_NET_F_HASH_TUNNEL),
  VQ_NOTF_COAL: featureBit(spec.VIRTIO_NET_F_VQ_NOTF_COAL),
  NOTF_COAL: featureBit(spec.VIRTIO_NET_F_NOTF_COAL),
  GUEST_USO4: featureBit(spec.VIRTIO_NET_F_GUEST_USO4),
  GUEST_USO6: featureBit(spec.VIRTIO_NET_F_GUEST_USO6),
  HOST_USO: featureBit(spec.VIRTIO_NET_F_HOST_USO),
  HASH_REPORT: featureBit(spec.VIRTIO_NET_F_HASH_REPORT),
  GUEST_HDRLEN: featureBit(spec.VIRTIO_NET_F_GUEST_HDRLEN),
  RSS: featureBit(spec.VIRTIO_NET_F_RSS),
  RSC_EXT: featureBit(spec.VIRTIO_NET_F_RSC_EXT),
  STANDBY: featureBit(spec.VIRTIO_NET_F_STANDBY),
  SPEED_DUPLEX: featureBit(spec.VIRTIO_NET_F_SPEED_DUPLEX),
  RSS_CONTEXT: featureBit(spec.VIRTIO_NET_F_RSS_CONTEXT),
  GUEST_UDP_TUNNEL_GSO: featureBit(spec.VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO),
  GUEST_UDP_TUNNEL_GSO_CSUM: featureBit(spec.VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM),
  HOST_UDP_TUNNEL_GSO: featureBit(spec.VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO),
  HOST_UDP_TUNNEL_GSO_CSUM: featureBit(spec.VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM),
  OUT_NET_HEADER: featureBit(spec.VIRTIO_NET_F_OUT_NET_HEADER),
  IPSEC: featureBit(spec.VIRTIO_NET_F_IPSEC),
} as const;

const F = NetFeatures;

function needs(feature: bigint, ...masks: bigint[]): FeatureRule {
  return { feature, needs: masks };
}

/** 5.1.3.1, and what 5.1.4.1 and 5.1.4.2 only advise. */
export const NET_FEATURE_RULES: readonly FeatureRule[] = [
  needs(F.GUEST_TSO4, F.GUEST_CSUM),
  needs(F.GUEST_TSO6, F.GUEST_CSUM),
  needs(F.GUEST_UFO, F.GUEST_CSUM),
  needs(F.GUEST_USO4, F.GUEST_CSUM),
  needs(F.GUEST_USO6, F.GUEST_CSUM),
  needs(F.GUEST_ECN, F.GUEST_TSO4 | F.GUEST_TSO6),
  needs(F.GUEST_UDP_TUNNEL_GSO, F.GUEST_TSO4, F.GUEST_TSO6, F.GUEST_USO4, F.GUEST_USO6),
  needs(F.GUEST_UDP_TUNNEL_GSO_CSUM, F.GUEST_UDP_TUNNEL_GSO),
  needs(F.HOST_TSO4, F.CSUM),
  needs(F.HOST_TSO6, F.CSUM),
  needs(F.HOST_UFO, F.CSUM),
  needs(F.HOST_USO, F.CSUM),
  needs(F.HOST_ECN, F.HOST_TSO4 | F.HOST_TSO6),
  needs(F.HOST_UDP_TUNNEL_GSO, F.HOST_TSO4, F.HOST_TSO6, F.HOST_USO),
  needs(F.HOST_UDP_TUNNEL_GSO_CSUM, F.HOST_UDP_TUNNEL_GSO),
  needs(F.CTRL_RX, F.CTRL_VQ),
  needs(F.CTRL_VLAN, F.CTRL_VQ),
  needs(F.GUEST_ANNOUNCE, F.CTRL_VQ),
  needs(F.MQ, F.CTRL_VQ),
  needs(F.CTRL_MAC_ADDR, F.CTRL_VQ),
  needs(F.NOTF_COAL, F.CTRL_VQ),
  needs(F.VQ_NOTF_COAL, F.CTRL_VQ),
  needs(F.RSS, F.CTRL_VQ),
  needs(F.RSC_EXT, F.HOST_TSO4 | F.HOST_TSO6),
  needs(F.HASH_TUNNEL, F.CTRL_VQ, F.RSS | F.HASH_REPORT),
  needs(F.RSS_CONTEXT, F.CTRL_VQ, F.RSS),
  { ...needs(F.HASH_REPORT, F.CTRL_VQ), advised: true },
  { ...needs(F.CTRL_RX_EXTRA, F.CTRL_VQ), advised: true },
];
