/** Which features may stand together (virtio 1.4, 2.2, 5.x.3.1, 6), for an offer, an ack, and the check at FEATURES_OK alike. */
import * as spec from "../assembly/spec.ts";
import { Features, featureBit } from "./features.ts";

/** `feature` needs at least one bit of every mask in `needs`. */
export interface FeatureRule {
  readonly feature: bigint;
  readonly needs: readonly bigint[];
  /** A SHOULD: our halves obey it, but a peer that doesn't is not refused. */
  readonly advised?: boolean;
}

/** How a driver reaches a device. */
export type TransportType = "pci" | "mmio" | "ccw" | "in-process";

/** The reserved feature bits (section 6) that both halves implement. */
export const IMPLEMENTED_FEATURES = Object.values(Features).reduce((all, feature) => all | feature, 0n);

/** Bits 0 to 23, 42 and 50 to 127 are a device type's own (2.2); 41 too, but it means ADMIN_VQ now. */
export const DEVICE_TYPE_FEATURES = range(0, 23) | range(42, 42) | range(50, 127);

/** Bits that mean something only where a transport has what they are about. */
const TRANSPORT_BOUND =
  featureBit(spec.VIRTIO_F_SR_IOV) |
  Features.NOTIF_CONFIG_DATA |
  Features.RING_RESET |
  featureBit(spec.VIRTIO_F_ADMIN_VQ);

/**
 * Of those, what each transport has: only PCI has a register for notification config data and SR-IOV
 * and admin queues (4.1.4.3), PCI and MMIO have one for queue reset, channel I/O has none (4.3.4).
 */
const ON_TRANSPORT: Readonly<Record<TransportType, bigint>> = {
  pci: TRANSPORT_BOUND,
  mmio: Features.RING_RESET,
  ccw: 0n,
  "in-process": Features.NOTIF_CONFIG_DATA | Features.RING_RESET,
};

/** F-B-03: `features` without the bits that are not for this transport. */
export function featuresOnTransport(features: bigint, transport: TransportType): bigint {
  return features & ~(TRANSPORT_BOUND & ~ON_TRANSPORT[transport]);
}

/** The first rule that `features` break, or undefined. What is only advised breaks nothing. */
export function brokenRule(features: bigint, rules: readonly FeatureRule[]): FeatureRule | undefined {
  return rules.find((rule) => !rule.advised && !isMet(features, rule));
}

/** `features` less everything that needs what isn't there. */
export function closedFeatures(features: bigint, rules: readonly FeatureRule[]): bigint {
  for (;;) {
    let closed = features;
    for (const rule of rules) if (!isMet(closed, rule)) closed &= ~rule.feature;
    if (closed === features) return closed;
    features = closed;
  }
}

function isMet(features: bigint, { feature, needs }: FeatureRule): boolean {
  return (features & feature) === 0n || needs.every((mask) => (features & mask) !== 0n);
}

function range(from: number, to: number): bigint {
  return (1n << BigInt(to + 1)) - (1n << BigInt(from));
}
