// What a received packet costs under each driver's policy for its buffers, behind each DMA backend: exact counts, no clock.
// The last driver is made here: a policy is data.
//
//   node examples/drivers.mjs
import { DMA_BACKENDS, DRIVER_RECORDS, DriverBench, fixedTraffic, operationLines } from "vring";

const FRAMES = fixedTraffic(1518, { count: 1024, seed: 1 }).packets.map(({ data }) => data);
const { "virtio-net": virtioNet, i40e, "i40e-6.1": later, premapped } = DRIVER_RECORDS;
const pooled = { ...virtioNet, name: "pooled", rx: { ...virtioNet.rx, kind: "page-pool" } };

for (const dma of Object.keys(DMA_BACKENDS)) {
  for (const record of [virtioNet, i40e, later, premapped, pooled]) {
    const bench = await DriverBench.create({ record, dma, direction: "rx", queues: [FRAMES] });
    bench.run(2);
    bench.settle();
    const before = bench.counters();
    bench.run(4);
    bench.settle();
    const after = bench.counters();
    const per = (name) => (after[name] - before[name]) / (after.packets - before.packets);
    const counts = ["maps", "unmaps", "syncsCpu", "syncsDevice", "pagesAllocated", "bounceBytes"];
    console.log(`${dma}, ${record.name}: ${counts.map((name) => `${name} ${per(name)}`).join(", ")}`);
    const { ok, leaks } = bench.close();
    if (!ok) throw new Error(leaks.join("; "));
  }
}

// The first operations of a queue of two buffers.
const bench = await DriverBench.create({
  ...{ record: i40e, dma: "direct", direction: "rx", queues: [FRAMES] },
  ...{ ringSize: 2, traceOps: 9 },
});
bench.run(1);
console.log(operationLines(bench.operations()).join("\n"));
