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
