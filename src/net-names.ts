/** What the counters of network halves are called: as `ethtool -S` does, and the specification's statistics (5.1.9.5.11). */

/** Names in the order of the engine's NET_* numbers (assembly/abi.ts). */
export const NET_COUNTER_NAMES = {
  /** Device half, of a transmit queue: what the driver sends. */
  deviceTransmit: [
    "tx_packets",
    "tx_bytes",
    "tx_notifications",
    "tx_csum_none",
    "tx_needs_csum",
    "tx_gso_packets",
    "tx_gso_bytes",
    "tx_gso_segments",
    "tx_gso_segments_bytes",
    "tx_drop_short",
    "tx_drop_oversize",
    "tx_drop_header",
    "tx_drop_csum",
    "tx_drop_gso",
    "tx_drop_address",
    "tx_drop_reset",
  ],
  /** Device half, of a receive queue: what the driver gets. */
  deviceReceive: [
    "rx_packets",
    "rx_bytes",
    "rx_notifications",
    "rx_buffers",
    "rx_csum_none",
    "rx_csum_valid",
    "rx_csum_bad",
    "rx_needs_csum",
    "rx_gso_packets",
    "rx_gso_bytes",
    "rx_drop_overruns",
    "rx_drop_oversize",
    "rx_drop_address",
  ],
  /** Device half, before a receive queue is chosen. */
  device: [
    "rx_drop_length",
    "rx_drop_link_down",
    "rx_drop_mac",
    "rx_drop_vlan",
    "rx_drop_mtu",
    "rx_drop_header",
    "rx_drop_gso",
    "rx_drop_queue",
    "rx_gso_packets_coalesced",
    "rx_gso_packets_segmented",
    "rx_drop_reset",
  ],
  /** Driver half, of a transmit queue. */
  driverTransmit: [
    "tx_packets",
    "tx_bytes",
    "tx_csum_offload",
    "tx_csum_software",
    "tx_gso_offload",
    "tx_gso_software",
    "tx_gso_segments",
    "tx_drop_reset",
    "tx_errors",
  ],
  /** Driver half, of a receive queue. */
  driverReceive: [
    "rx_packets",
    "rx_bytes",
    "rx_buffers",
    "rx_csum_none",
    "rx_csum_valid",
    "rx_csum_partial",
    "rx_csum_bad",
    "rx_gso_packets",
    "rx_gso_bytes",
    "rx_hash_unknown",
    "rx_length_errors",
    "rx_frame_errors",
    "rx_drop_num_buffers",
    "rx_drop_oversize",
    "rx_drop_reset",
  ],
} as const;

type Names = typeof NET_COUNTER_NAMES;

/** Of a device half: sums over its queues, and what it counts before a queue is chosen. */
export type NetDeviceStatistics = Record<
  | Names["deviceTransmit"][number]
  | Names["deviceReceive"][number]
  | Names["device"][number]
  | "tx_drops"
  | "rx_drops",
  number
>;

/** Of a driver half: sums over its queues. */
export type NetDriverStatistics = Record<
  | Names["driverTransmit"][number]
  | Names["driverReceive"][number]
  | "tx_kicks"
  | "rx_kicks"
  | "tx_dropped"
  | "rx_dropped",
  number
>;

/** Adds the counters at `at` to `sums`, by their names. */
export function addCounters(
  read: (ptr: number) => number,
  at: number,
  names: readonly string[],
  sums: Record<string, number>,
): void {
  names.forEach((name, k) => {
    sums[name] = (sums[name] ?? 0) + read(at + 8 * k);
  });
}
