// What a guest says of its network card, in sysfs and in the kernel's log.
import { expect } from "vitest";
import type { Machine } from "./machine.ts";

const STATISTICS = "/sys/class/net/eth0/statistics";

/** Negotiated features, from sysfs: one character a bit, bit 0 first. */
export async function negotiated(machine: Machine): Promise<bigint> {
  const bits = (await machine.run("cat /sys/class/net/eth0/device/features")).trim();
  return BigInt(`0b${[...bits].reverse().join("")}`);
}

/** The interface's counters. */
export async function statistics(machine: Machine): Promise<Record<string, number>> {
  const names = ["rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_dropped", "rx_errors", "tx_errors"];
  const output = await machine.run(`cd ${STATISTICS} && cat ${names.join(" ")}; cd /`);
  const values = output.trim().split("\n").map(Number);
  if (values.length !== names.length)
    throw new Error(`of ${names.length} counters the guest said:\n${output}`);
  return Object.fromEntries(names.map((name, index) => [name, values[index]]));
}

/** Fails when the kernel's log has a warning about virtio, or about anything at all that a driver can cause. */
export async function expectQuietLog(machine: Machine): Promise<void> {
  const log = await machine.run("dmesg");
  const pattern =
    /virtio.*(error|fail|bad|invalid|not a head|broken|unexpected)|WARNING:|BUG:|Oops|Call Trace|NETDEV WATCHDOG|hw csum failure|page allocation/i;
  expect(log.split("\n").filter((line) => pattern.test(line))).toEqual([]);
}

/**
 * What the guest's interface counted, what our device counted, and what passed on the bus is one and the same.
 * `unwanted`: frames of a type that nobody in the guest listens to, which the kernel counts as dropped.
 */
export async function expectEqualCounts(machine: Machine, unwanted = 0): Promise<void> {
  const { rx_packets, tx_packets, rx_dropped, rx_errors, tx_errors } = await statistics(machine);
  const counters = await machine.counters();
  expect({ received: counters.received, sent: counters.sent }).toEqual({
    received: rx_packets,
    sent: tx_packets,
  });
  expect({ rx_dropped, rx_errors, tx_errors }).toEqual({ rx_dropped: unwanted, rx_errors: 0, tx_errors: 0 });
  // A packet that the card segments is several frames; and several segments that came together are one packet.
  expect(counters.frames.fromGuest).toBe(counters.tx_packets);
  if (counters.rx_gso_packets_coalesced === 0) expect(counters.frames.toGuest).toBe(rx_packets);
  else expect(counters.frames.toGuest).toBeGreaterThan(rx_packets);
}
