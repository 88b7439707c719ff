import { expect, test } from "vitest";
import { root, succeed } from "./packed.ts";

test("examples/loopback.mjs moves packets through both formats", () => {
  expect(succeed(root, process.execPath, "examples/loopback.mjs").trim().split("\n")).toEqual([
    "split: 1000 packets arrived and came back, 32 doorbells",
    "split: 1000 indirect tables taken, 1000 of them from the free list",
    "packed: 1000 packets arrived and came back, 32 doorbells",
    "packed: 1000 indirect tables taken, 1000 of them from the free list",
  ]);
});

test("examples/virtio-net.mjs sends a large packet in segments and gets it back in one", () => {
  expect(succeed(root, process.execPath, "examples/virtio-net.mjs").trim().split("\n")).toEqual([
    "up: 2 queue pairs, mtu 1500, a header of 32 bytes",
    "sent: 9054 bytes as 7 frames, 366 in the last",
    "received: 9054 bytes, segments of 1448, flags 1, on pair 0",
    "device: tx_gso_segments 7, rx_gso_packets_coalesced 1, rx_drops 0",
  ]);
});

test("examples/drivers.mjs counts what a packet costs under each policy, and shows the order of operations", () => {
  const lines = succeed(root, process.execPath, "examples/drivers.mjs").trim().split("\n");
  expect(lines).toHaveLength(4 * 5 + 9);
  expect(lines[0]).toBe(
    "direct, virtio-net: maps 1, unmaps 1, syncsCpu 0, syncsDevice 0, pagesAllocated 1, bounceBytes 0",
  );
  expect(lines[9]).toBe(
    "swiotlb, pooled: maps 0, unmaps 0, syncsCpu 1, syncsDevice 1, pagesAllocated 0, bounceBytes 1530",
  );
  expect(lines.at(-1)).toBe("queue 0  receive      1518 bytes, 42 of them copied");
});
