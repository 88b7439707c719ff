/** What the lists and diagrams say of a system is what the engine counts when it runs it. */
import { beforeAll, describe, expect, test } from "vitest";
import { fixedTraffic } from "../../src/net/traffic.ts";
import { DriverBench } from "../../src/system/driver-bench.ts";
import { type Direction, directionsOf, SYSTEM_RECORDS } from "../../src/system/records.ts";
import { copiesOf, wayOf } from "../../src/system/way.ts";
import { wasmModule } from "../support/engine.ts";

let module: WebAssembly.Module;
beforeAll(async () => {
  module = await wasmModule("vring");
});

const WAYS = Object.values(SYSTEM_RECORDS).flatMap((record) =>
  directionsOf(record).map((direction): [string, Direction] => [record.name, direction]),
);

async function counted(name: string, direction: Direction, bytes: number) {
  const record = SYSTEM_RECORDS[name];
  const frames = fixedTraffic(bytes, { count: 64, seed: 1 }).packets.map(({ data }) => data);
  const bench = await DriverBench.create({
    ...{ record, direction, dma: record.dma, queues: [frames], module, touch: "none", sg: 2 },
    poolBytes: 8 << 20,
  });
  bench.run(1);
  bench.settle();
  const { packets, cpuCopies, engineCopies, headerCopyBytes } = bench.counters();
  expect(bench.close()).toEqual({ ok: true, leaks: [] });
  return { cpu: cpuCopies / packets, engine: engineCopies / packets, header: headerCopyBytes > 0 };
}

describe.each(WAYS)("the way through %s, %s,", (name, direction) => {
  const way = wayOf(SYSTEM_RECORDS[name], direction);
  const { cpu, engine, header, copiedBelow } = copiesOf(way);

  test("has the copies that are counted", async () => {
    expect(await counted(name, direction, 1024)).toEqual({ cpu, engine, header });
    if (copiedBelow === 0) return;
    expect(await counted(name, direction, copiedBelow)).toMatchObject({ cpu, engine });
    expect(await counted(name, direction, copiedBelow - 1)).toMatchObject({ cpu: cpu + 1, engine });
  });

  test("goes from stop to stop, and ends at the wire or starts there", () => {
    expect(way.slice(1).map(({ from }) => from)).toEqual(way.slice(0, -1).map(({ to }) => to));
    const wire = direction === "tx" ? way.at(-1)?.to : way[0].from;
    expect(wire).toBe("wire");
    const stops = new Set(way.flatMap(({ from, to }) => [from, to]));
    expect(stops.size).toBe(way.length + 1);
  });
});

test("a direction that a system doesn't have has no way", () => {
  const record = { ...SYSTEM_RECORDS["vhost-net"], directions: ["tx"] as const };
  expect(() => wayOf(record, "rx")).toThrow("vhost-net has no rx");
});
