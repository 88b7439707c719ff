// A guest with our card talks to one with v86's own.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { expectEqualCounts, expectQuietLog } from "./guest-state.ts";
import { Machine } from "./machine.ts";
import { fetchFile, serveFile } from "./traffic.ts";

const folder = mkdtempSync(join(tmpdir(), "vring-linux-"));
let machines: Machine[] = [];
afterEach(() => {
  for (const machine of machines) machine.end();
  machines = [];
});
afterAll(() => rmSync(folder, { recursive: true }));

test("files of 20 MB over TCP to and from v86's own card", async () => {
  machines = await Promise.all([Machine.boot(), Machine.boot({ nic: "v86", ip: 3 })]);
  const [ours, own] = machines;
  await Machine.wire(ours, own, join(folder, "wire"));
  const [sum, ownSum] = await Promise.all([serveFile(ours), serveFile(own)]);
  expect(await fetchFile(ours, "10.0.0.3")).toBe(ownSum);
  expect(await fetchFile(own, "10.0.0.2")).toBe(sum);
  await expectEqualCounts(ours);
  await expectQuietLog(ours);
});
