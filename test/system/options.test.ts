/** What a driver bench refuses, what it works out, and that the records are whole. */
import { describe, expect, it } from "vitest";
import { DriverBench, type DriverBenchOptions } from "../../src/system/driver-bench.ts";
import { DRIVER_RECORDS, RECLAIM_AT, RX_KINDS, type RxKind } from "../../src/system/records.ts";
import { driverBench, framesOf } from "../support/driver-bench.ts";
import { wasmModule } from "../support/engine.ts";

const FRAMES = framesOf(100, 10);

function options(changes: Partial<DriverBenchOptions>): DriverBenchOptions {
  const record = DRIVER_RECORDS.i40e;
  return { record, direction: "rx", dma: "direct", queues: [FRAMES], ...changes };
}

describe("a driver bench", () => {
  it.each<[string, Partial<DriverBenchOptions>, RegExp]>([
    ["no frame", { queues: [[], []] }, /queues has no frame/],
    ["a ring of nothing", { ringSize: 0 }, /ringSize is 0/],
    ["a burst of nothing", { batch: 0 }, /batch is 0/],
    ["holding less than nothing", { hold: -1 }, /hold is -1/],
    ["a seed of 0, which xorshift stays at", { seed: 0 }, /seed is 0/],
    ["a node that isn't there", { nodes: 2, node: 2 }, /node is 2/],
    ["a kind of buffer that isn't there", { rx: "heap" as RxKind }, /rx is "heap"/],
    ["a header apart where there is none", { rxSgs: 2 }, /i40e has no device header/],
    ["a threshold of no descriptor", { refillAt: 0 }, /refillAt is 0/],
    ["more elements than a ring has", { direction: "tx", sg: 257 }, /sg is 257/],
    [
      "pieces without bytes",
      { direction: "tx", sg: 101, queues: [framesOf(100, 1)] },
      /frame 0 of queue 0 has 100 bytes/,
    ],
    ["a DMA backend that isn't there", { dma: "none" as "direct" }, /"none" is no DMA backend/],
    ["a split ring of no power of two", { ringSize: 100 }, /powers of two/],
  ])("refuses %s, in one line", async (_, changes, message) => {
    const made = DriverBench.create({ ...options(changes), module: await wasmModule("vring") });
    await expect(made).rejects.toThrow(message);
    await expect(made).rejects.not.toThrow(/\n/);
  });

  it("cuts a burst to what is posted between refills, and to what transmit may add", () => {
    const batchOf = (driver: string, changes: Partial<DriverBenchOptions>): number =>
      DriverBench.batchOf(options({ record: DRIVER_RECORDS[driver], batch: 1000, ...changes }));
    // A ring of 256 is filled again from 16 free descriptors on, or from more than 128.
    expect(batchOf("i40e", {})).toBe(256 - 15);
    expect(batchOf("i40e-6.1", {})).toBe(256 - 31);
    expect(batchOf("virtio-net", {})).toBe(128);
    expect(batchOf("virtio-net", { rxSgs: 2, tables: "direct" })).toBe(64);
    expect(batchOf("i40e", { ringSize: 8 })).toBe(1);
    // A packet is begun while 19 descriptors are free.
    expect(batchOf("virtio-net", { direction: "tx", sg: 4 })).toBe(256 - 19 + 1);
    expect(batchOf("virtio-net", { direction: "tx", sg: 4, tables: "direct" })).toBe(60);
    expect(batchOf("i40e", { direction: "tx", sg: 4 })).toBe(60);
    expect(batchOf("i40e", { direction: "tx", sg: 9 })).toBe(256 - 19 + 1);
  });

  it("says what its engine reserves, and reserves no more", async () => {
    const bench = await driverBench({ driver: "i40e", direction: "rx", hold: "all", count: 300 });
    const { engine, settings } = bench;
    expect(settings.hold).toBe(300);
    expect(DriverBench.limits({ ...options({ hold: "all", queues: [framesOf(1518, 300)] }) })).toMatchObject({
      pages: engine.limits.pages,
      packets: 301,
      ports: 1,
    });
    expect(bench.close().ok).toBe(true);
    // What is closed stays closed.
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  it("finds what does not come back", async () => {
    const bench = await driverBench({ driver: "i40e", direction: "rx", count: 100 });
    const control = bench.engine.region("page control").ptr;
    bench.run(1);
    bench.engine.wasm.pagesTake(control, 0, 2);
    bench.engine.devices[0].dma.map(bench.engine.buffers.ptr, 64, "to-device");
    const { ok, leaks } = bench.close();
    expect(ok).toBe(false);
    expect(leaks).toEqual([
      "a page has other references than its holders say",
      "1 live mappings, but 0 would be right",
      expect.stringMatching(/^\d+ free pages, but \d+ would be right$/),
      "after the end: a page has other references than its holders say",
    ]);
  });

  it("finds a packet that changed while its consumer held it", async () => {
    const bench = await driverBench({ driver: "i40e", direction: "rx", count: 100, hold: 50 });
    const { engine } = bench;
    const pages = engine.region("pages");
    // While a digest is made, somebody writes into every page.
    engine.wasm.portDigest(bench.ports[0], 1, 2);
    bench.runSome(60);
    engine.bytes(pages.ptr, pages.bytes).fill(7);
    bench.runSome(40);
    expect(() => bench.digests()).toThrow(/a packet changed while its consumer held it/);
  });
});

describe.each(Object.entries(DRIVER_RECORDS))("the record %s", (name, record) => {
  it("is plain data with choices that the engine has", () => {
    expect(structuredClone(record)).toEqual(record);
    expect(record.name).toBe(name);
    expect(RX_KINDS).toContain(record.rx.kind);
    expect(RECLAIM_AT).toContain(record.tx.reclaim);
    expect([0, 12]).toContain(record.headerBytes);
    expect(record.about).not.toBe("");
  });
});
