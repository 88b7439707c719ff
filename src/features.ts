/** Reserved feature bits (virtio 1.4, section 6) by name, as masks for a negotiated feature word. */
import * as abi from "../assembly/abi.ts";
import * as spec from "../assembly/spec.ts";

/** The mask of one feature bit. */
export function featureBit(number: number): bigint {
  return 1n << BigInt(number);
}

export const Features = {
  INDIRECT_DESC: featureBit(spec.VIRTIO_F_INDIRECT_DESC),
  EVENT_IDX: featureBit(spec.VIRTIO_F_EVENT_IDX),
  VERSION_1: featureBit(spec.VIRTIO_F_VERSION_1),
  ACCESS_PLATFORM: featureBit(spec.VIRTIO_F_ACCESS_PLATFORM),
  RING_PACKED: featureBit(spec.VIRTIO_F_RING_PACKED),
  IN_ORDER: featureBit(spec.VIRTIO_F_IN_ORDER),
  ORDER_PLATFORM: featureBit(spec.VIRTIO_F_ORDER_PLATFORM),
  NOTIFICATION_DATA: featureBit(spec.VIRTIO_F_NOTIFICATION_DATA),
  NOTIF_CONFIG_DATA: featureBit(spec.VIRTIO_F_NOTIF_CONFIG_DATA),
  RING_RESET: featureBit(spec.VIRTIO_F_RING_RESET),
  SUSPEND: featureBit(spec.VIRTIO_F_SUSPEND),
} as const;

/** What a queue does unless told otherwise: tables and event indices, as every current peer has them. */
export const DEFAULT_FEATURES = Features.VERSION_1 | Features.INDIRECT_DESC | Features.EVENT_IDX;

/** The engine's QUEUE_F_* bits for a negotiated feature word. */
export function queueFlags(features: bigint): number {
  let flags = 0;
  if (features & Features.INDIRECT_DESC) flags |= abi.QUEUE_F_INDIRECT;
  if (features & Features.EVENT_IDX) flags |= abi.QUEUE_F_EVENT_IDX;
  if (features & Features.IN_ORDER) flags |= abi.QUEUE_F_IN_ORDER;
  if (features & Features.ACCESS_PLATFORM) flags |= abi.QUEUE_F_ACCESS_PLATFORM;
  return flags;
}
