/** The log of pages that a device half writes, against a byte comparison of the memory. */
import { describe, expect, it } from "vitest";
import type { EngineOptions } from "../../src/engine.ts";
import { Features } from "../../src/features.ts";
import { ALL_FEATURES, echoRig } from "../support/echo.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";

const PAGE = 4096;

/** Numbers of the pages in which a byte from `from` on is another. */
function changedPages(before: Uint8Array, after: Uint8Array, from: number): number[] {
  const pages: number[] = [];
  for (let at = from; at < before.length; at = (Math.floor(at / PAGE) + 1) * PAGE) {
    const end = (Math.floor(at / PAGE) + 1) * PAGE;
    if (Buffer.compare(before.subarray(at, end), after.subarray(at, end)) !== 0)
      pages.push(Math.floor(at / PAGE));
  }
  return pages;
}

const cases = ["split", "packed"].flatMap((format) =>
  [false, true].flatMap((inOrder) => [false, true].map((event) => ({ format, inOrder, event }))),
);

function shared(): EngineOptions {
  return { memory: new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true }) };
}

describe.each([
  ["private memory", (): EngineOptions => ({})],
  ["shared memory", shared],
])("%s", (_, memory) => {
  it.each(cases)(
    "$format, IN_ORDER $inOrder, EVENT_IDX $event: holds every page that a device call has changed, and none that it can't have",
    async ({ format, inOrder, event }) => {
      let decline = format === "split" ? Features.RING_PACKED : 0n;
      if (!inOrder) decline |= Features.IN_ORDER;
      if (!event) decline |= Features.EVENT_IDX;
      const { engine, device, deviceKind, driver, driverKind } = await echoRig({
        queues: 2,
        hold: true,
        features: ALL_FEATURES,
        driverOptions: { decline },
        // Rings of several pages, which a lap crosses.
        engine: { queueSize: 1024, pageLog: true, bufferBytes: 1 << 18, heapBytes: 1 << 16, ...memory() },
      });
      driver.start();
      engine.devices[0].logsPages = true;
      // The driver is told nothing, so that a device call changes what the device changes.
      device.connect({ usedBuffers: () => {}, configChange: () => {} });
      const random = new Random(4);
      const mayWrite = engine.regions.filter(({ name }) => /buffers|(device|descriptor) area/.test(name));
      const compare = (call: () => void): void => {
        const before = engine.bytes(0, engine.end).slice();
        call();
        const changed = changedPages(before, engine.bytes(0, engine.end), engine.sharedBase);
        const written = engine.takeWrittenPages();
        expect(written).toEqual([...written].sort((a, b) => a - b));
        expect(written).toEqual(expect.arrayContaining(changed));
        const stray = written.filter(
          (page) => !mayWrite.some(({ ptr, bytes }) => ptr < (page + 1) * PAGE && ptr + bytes > page * PAGE),
        );
        expect(stray).toEqual([]);
      };
      let token = 0;
      for (let step = 0; step < 60; step++) {
        const queue = random.int(0, 1);
        for (let k = random.int(1, 24); k > 0; k--) if (driverKind.send(queue, token)) token++;
        driver.queue(queue).publish();
        compare(() => device.notify(queue));
        compare(() => {
          const half = device.queue(queue);
          if (random.chance(30)) half?.suppress();
          else half?.arm(random.int(0, 3));
        });
        compare(() =>
          deviceKind.finish(random.int(0, 20), (held) => (inOrder ? 0 : random.int(0, held - 1))),
        );
        driverKind.reap(driver.queue(queue));
      }
      expect(token).toBeGreaterThan(250);
    },
  );
});

describe("the log", () => {
  it.each([
    ["split", 0n],
    ["split", Features.IN_ORDER],
    ["packed", Features.RING_PACKED],
    ["packed", Features.RING_PACKED | Features.IN_ORDER],
  ])("is complete after each step of a completion, %s with features %s", async (_format, features) => {
    const engine = await createEngine({ pageLog: true, queueSize: 1024, heapBytes: 4096, bufferBytes: 64 });
    const { driver, device } = engine.connect(0, { features: Features.VERSION_1 | features });
    engine.devices[0].logsPages = true;
    const random = new Random(12);
    let changes = 0;
    const step = (call: () => void): void => {
      const before = engine.bytes(0, engine.end).slice();
      call();
      const changed = changedPages(before, engine.bytes(0, engine.end), engine.sharedBase);
      expect(engine.takeWrittenPages()).toEqual(expect.arrayContaining(changed));
      changes += changed.length;
    };
    for (let round = 0; round < 200; round++) {
      const count = random.int(1, 31);
      for (let token = 0; token < count; token++) {
        driver.add({ writable: [{ ptr: engine.buffers.ptr, bytes: 8 }], token });
      }
      driver.publish();
      if (random.chance(50)) {
        // One call, which may lie across the ring's end.
        const popped = device.popBurst(count);
        step(() => device.markPoppedUsed(popped));
      }
      for (const { handle } of device.pop()) {
        step(() => device.markUsed(handle, random.chance(75) ? 8 : 7));
        if (random.chance(5)) step(() => device.publishUsed());
      }
      step(() => device.publishUsed());
      step(() => device.arm());
      step(() => device.suppress());
      driver.reclaim();
    }
    expect(changes).toBeGreaterThan(500);
  });

  it.each(["swiotlb", "iommu-strict"] as const)(
    "behind %s holds the pages of the memory that were really written",
    async (backend) => {
      const { engine, device, deviceKind, driver, driverKind } = await echoRig({
        hold: true,
        engine: { pageLog: true, dma: { backends: [backend], poolBytes: 1 << 20 } },
        prepare: ({ devices }) => devices[0].setDma(backend),
      });
      driver.start();
      engine.devices[0].logsPages = true;
      device.connect({ usedBuffers: () => {}, configChange: () => {} });
      for (let token = 0; token < 200; token += 2) {
        for (const next of [token, token + 1]) expect(driverKind.send(0, next)).toBe(true);
        driver.queue(0).publish();
        const before = engine.bytes(0, engine.end).slice();
        device.notify(0);
        deviceKind.finish(2);
        const changed = changedPages(before, engine.bytes(0, engine.end), engine.sharedBase);
        const written = engine.takeWrittenPages();
        expect(changed.length).toBeGreaterThan(0);
        expect(written).toEqual(expect.arrayContaining(changed));
        expect(written.length).toBeLessThan(changed.length + 4);
        driverKind.reap(driver.queue(0));
      }
    },
  );

  it("marks exactly the pages of what was written, at page boundaries, once", async () => {
    const engine = await createEngine({ pageLog: true, bufferBytes: 16 * PAGE });
    const { driver, device } = engine.connect(0);
    const page = Math.ceil(engine.buffers.ptr / PAGE) + 1;
    const at = page * PAGE;
    driver.add({ writable: [{ ptr: at - PAGE, bytes: 8 * PAGE }], token: 1 });
    driver.publish();
    const [segment] = device.pop()[0].writable;
    engine.devices[0].logsPages = true;
    const pagesOf = (ptr: number, bytes: number): number[] => {
      device.write(segment, new Uint8Array(bytes), ptr - segment.ptr);
      return engine.takeWrittenPages();
    };
    expect(pagesOf(at, 1)).toEqual([page]);
    expect(pagesOf(at, PAGE)).toEqual([page]);
    expect(pagesOf(at, PAGE + 1)).toEqual([page, page + 1]);
    expect(pagesOf(at - 1, 1)).toEqual([page - 1]);
    expect(pagesOf(at - 1, 2)).toEqual([page - 1, page]);
    expect(pagesOf(at - 1, 2 * PAGE + 2)).toEqual([page - 1, page, page + 1, page + 2]);
    expect(pagesOf(at, 0)).toEqual([]);
    device.read(segment, PAGE, PAGE);
    expect(engine.takeWrittenPages()).toEqual([]);
  });

  it("is off at first, again when it is switched off, and can't be switched on where none was reserved", async () => {
    const engine = await createEngine({ pageLog: true });
    const { driver, device } = engine.connect(0);
    const [virtio] = engine.devices;
    const echo = (token: number): void => {
      driver.add({ writable: [{ ptr: engine.buffers.ptr, bytes: 8 }], token });
      driver.publish();
      for (const { handle } of device.pop()) device.markUsed(handle, 8);
      device.publishUsed();
      driver.reclaim();
    };
    expect(virtio.logsPages).toBe(false);
    echo(1);
    expect(engine.takeWrittenPages()).toEqual([]);
    virtio.logsPages = true;
    expect(virtio.logsPages).toBe(true);
    echo(2);
    expect(engine.takeWrittenPages().length).toBeGreaterThan(0);
    virtio.logsPages = false;
    echo(3);
    expect(engine.takeWrittenPages()).toEqual([]);

    const without = await createEngine();
    expect(() => {
      without.devices[0].logsPages = true;
    }).toThrow(expect.objectContaining({ code: "config" }));
    expect(() => without.takeWrittenPages()).toThrow(expect.objectContaining({ code: "config" }));
    without.devices[0].logsPages = false;
  });
});
