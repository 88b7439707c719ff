/** The device halves against a raw driver: what is the same in both formats. */
import { describe, expect, it } from "vitest";
import type { Chain } from "../../src/device-queue.ts";
import { RING_FORMATS } from "../../src/names.ts";
import { Canaries } from "../support/canaries.ts";
import { Random } from "../support/random.ts";
import type { Element, RawUsed } from "../support/raw-memory.ts";
import { bufferOf, deviceRig, elementsAt, features } from "../support/rig.ts";
import { Snapshot } from "../support/snapshot.ts";

const SIZES = {
  split: [1, 2, 256, 1024, 32768],
  packed: [1, 2, 3, 7, 256, 1000, 1024, 32768],
} as const;

/** A buffer of random sizes and directions. */
function randomElements(random: Random, ptr: number, most: number): Element[] {
  const total = random.int(1, most);
  const sizes = Array.from({ length: total }, () => random.int(1, 2000));
  const readable = random.int(0, total);
  return elementsAt(ptr, sizes.slice(0, readable), sizes.slice(readable));
}

describe.each(RING_FORMATS)("the %s device half", (format) => {
  const split = format === "split";

  it(`${split ? "S-V-01, S-V-05, S-V-06" : "P-V-03, P-V-05, P-B-07"}: a raw driver's buffers arrive element by element, direct and with tables`, async () => {
    const random = new Random(20);
    const size = split ? 32 : 29;
    const { device, peer, data } = await deviceRig(format, { size });
    const tables = data.ptr;
    const payload = data.ptr + size * 16 * 20;
    for (let round = 0; round < 600; round++) {
      const given: Element[][] = [];
      for (let k = random.int(1, 4); k > 0; k--) {
        const elements = randomElements(random, payload, 7);
        // Table places need no alignment.
        if (random.chance(50)) peer.indirect(tables + k * 320 + random.int(0, 15), elements);
        else peer.add(elements);
        given.push(elements);
      }
      peer.publish();
      const chains = device.pop();
      expect(chains.map(({ readable, writable }) => ({ readable, writable }))).toEqual(given.map(bufferOf));
      for (const chain of chains) device.markUsed(chain.handle, 0);
      device.publishUsed();
      expect(peer.used().length).toBe(given.length);
    }
  });

  it(`${split ? "S-V-10, S-V-11" : "P-V-01"}: the used length is what was written, 0 for a buffer without writable elements`, async () => {
    const { device, peer, data } = await deviceRig(format, { size: 8 });
    const cases: [number[], number[], number][] = [
      [[60], [], 0],
      [[100], [200], 50],
      [[], [30, 30], 60],
      [[100], [200], 0],
    ];
    const ids = cases.map(([readable, writable]) => peer.add(elementsAt(data.ptr, readable, writable)));
    peer.publish();
    const chains = device.pop();
    chains.forEach(({ handle }, k) => {
      device.markUsed(handle, cases[k][2]);
    });
    device.publishUsed();
    expect(peer.used()).toEqual(cases.map(([, , len], k) => ({ id: ids[k], len })));
  });

  it("S-V-10: more than the writable part is refused, and the buffer can still be marked used", async () => {
    const { device, peer, data } = await deviceRig(format, { size: 8 });
    peer.add(elementsAt(data.ptr, [10], [20, 20]));
    peer.publish();
    const [{ handle }] = device.pop();
    expect(() => device.markUsed(handle, 41)).toThrow(
      expect.objectContaining({ code: "length-over-capacity", requirement: "S-V-10" }),
    );
    device.markUsed(handle, 40);
    device.publishUsed();
    expect(peer.used().map(({ len }) => len)).toEqual([40]);
  });

  it(`V-B-02${split ? "" : ", P-V-04, P-D-06"}: buffers are popped in ring order and used in any order, each once`, async () => {
    const random = new Random(21);
    const size = split ? 64 : 61;
    const { device, peer, data } = await deviceRig(format, { size });
    const started: number[] = [];
    const added: number[] = [];
    const held: { chain: Chain; id: number }[] = [];
    const out = new Set<number>();
    let expected: RawUsed[] = [];
    let slots = 0;
    for (let round = 0; round < 3000; round++) {
      for (let k = random.int(0, 5); k > 0; k--) {
        const elements = randomElements(random, data.ptr, 4);
        if (slots + elements.length > size || out.size >= size) break;
        const id = peer.add(elements);
        out.add(id);
        added.push(id);
        slots += elements.length;
      }
      peer.publish();
      for (const chain of device.pop(random.int(1, 32))) {
        const id = added[started.length];
        started.push(id);
        held.push({ chain, id });
      }
      for (const { chain, id } of random.shuffle(held).slice(0, random.int(0, held.length))) {
        const len = random.int(0, chain.writableBytes);
        device.markUsed(chain.handle, len);
        expected.push({ id, len });
        slots -= chain.readable.length + chain.writable.length;
        held.splice(
          held.findIndex((one) => one.chain === chain),
          1,
        );
      }
      expect(peer.used()).toEqual([]);
      device.publishUsed();
      const used = peer.used();
      expect(used).toEqual(expected);
      for (const { id } of used) out.delete(id);
      expected = [];
    }
    expect(started.length).toBeGreaterThan(3000);
    expect(device.violation).toBeNull();
  });

  it.each(SIZES[format])(
    `${split ? "S-B-02, S-B-07, S-B-01" : "P-B-01, P-B-02"}: a ring of %i is filled and emptied lap after lap, and no byte beside it is written`,
    async (size) => {
      const { engine, device, peer, areas, data } = await deviceRig(format, {
        size,
        engine: { batch: 1024, maxSgs: 2 },
      });
      const { ptr, bytes } = engine.buffers;
      const canaries = new Canaries(engine.memory, { ptr, bytes }, areas);
      const laps = size > 1024 ? 3 : Math.max(5, Math.ceil(2000 / size));
      const element = [{ ptr: data.ptr, bytes: 16, write: true }];
      for (let lap = 0; lap < laps; lap++) {
        for (let k = 0; k < size; k++) peer.add(element);
        peer.publish();
        let popped = 0;
        for (let count = device.popBurst(1024); count > 0; count = device.popBurst(1024)) {
          popped += count;
          expect(device.markPoppedUsed(count)).toBe(count);
          device.publishUsed();
        }
        expect(popped).toBe(size);
        expect(peer.used().length).toBe(size);
      }
      expect(device.violation).toBeNull();
      expect(canaries.dead()).toEqual([]);
    },
  );

  it(`${split ? "S-D-07, S-V-05" : "P-D-09"}: a buffer of exactly the ring's size is taken, direct and with a table`, async () => {
    const size = split ? 8 : 7;
    const { device, peer, data } = await deviceRig(format, { size });
    const elements = elementsAt(data.ptr + 1024, [1, 2, 3], [4, 5, 6, 7].slice(0, size - 3));
    const all = elements.concat(elementsAt(data.ptr + 2048, [], new Array(size - elements.length).fill(9)));
    peer.add(all);
    peer.publish();
    device.pop().forEach(({ handle, readable, writable }) => {
      expect(readable.length + writable.length).toBe(size);
      device.markUsed(handle, 0);
    });
    device.publishUsed();
    peer.used();
    peer.indirect(data.ptr, all);
    peer.publish();
    expect(device.pop()[0]).toMatchObject(bufferOf(all));
  });

  it("H-V-07: an element without bytes is skipped, at the head, in the middle and at the tail, wherever it points", async () => {
    const { device, peer, data } = await deviceRig(format, { size: 8 });
    const full = elementsAt(data.ptr + 512, [10, 20], [30]);
    const none = { ptr: 0xffff_fff0, bytes: 0 };
    for (const at of [0, 1, 2, 3]) {
      const elements = [...full];
      elements.splice(at, 0, { ...none, write: at > 2 });
      for (const indirect of [false, true]) {
        if (indirect) peer.indirect(data.ptr, elements);
        else peer.add(elements);
        peer.publish();
        const [chain] = device.pop();
        expect(chain).toMatchObject({ ...bufferOf(full), readableBytes: 30, writableBytes: 30 });
        device.markUsed(chain.handle, 0);
        device.publishUsed();
        peer.used();
      }
    }
  });

  it("H-V-07: a buffer of nothing but empty elements has no segments and can be used", async () => {
    const { device, peer } = await deviceRig(format, { size: 8 });
    const id = peer.add([{ ptr: 0, bytes: 0 }]);
    peer.publish();
    const [chain] = device.pop();
    expect(chain).toMatchObject({ readable: [], writable: [], readableBytes: 0, writableBytes: 0 });
    device.markUsed(chain.handle, 0);
    device.publishUsed();
    expect(peer.used()).toEqual([{ id, len: 0 }]);
  });

  it("H-V-05: a buffer and a table that end exactly where the window ends are fine", async () => {
    const { engine, device, peer } = await deviceRig(format, { size: 4 });
    const end = engine.end;
    peer.add([{ ptr: end - 1, bytes: 1 }]);
    peer.indirect(end - 32, elementsAt(end - 100, [10], [58]));
    peer.publish();
    const chains = device.pop();
    expect(chains.map(({ readable }) => readable)).toEqual([
      [{ ptr: end - 1, bytes: 1 }],
      [{ ptr: end - 100, bytes: 10 }],
    ]);
    expect(device.state).toBe("live");
  });

  it("G-V-01: before DRIVER_OK nothing is popped, used or notified, and afterwards everything is", async () => {
    const { engine, device, peer, data, areas } = await deviceRig(format, { size: 4 });
    const [virtio] = engine.devices;
    const running = virtio.status;
    virtio.status = 0x0b;
    peer.add(elementsAt(data.ptr, [], [10]));
    peer.publish();
    const before = new Snapshot(engine);
    expect(device.pop()).toEqual([]);
    expect(device.publishUsed()).toBe(false);
    for (const area of areas) expect(before.changed(area)).toEqual([]);
    virtio.status = running;
    const [{ handle }] = device.pop();
    device.markUsed(handle, 10);
    device.publishUsed();
    expect(peer.used().map(({ len }) => len)).toEqual([10]);
  });

  it(`${split ? "S-V-03, S-V-02" : "P-V-06"}: popping and using change no descriptor table, no indirect table and no payload`, async () => {
    const { engine, device, peer, areas, data } = await deviceRig(format, { size: 8 });
    const elements = elementsAt(data.ptr + 1024, [100, 100], [100]);
    peer.add(elements);
    peer.indirect(data.ptr, elements);
    peer.publish();
    const before = new Snapshot(engine);
    const chains = device.pop();
    expect(before.regions().filter((name) => engine.region(name).part === "shared")).toEqual([]);
    for (const { handle } of chains) device.markUsed(handle, 100);
    device.publishUsed();
    expect(before.changed(data)).toEqual([]);
    // In a packed ring a used descriptor is written into the ring itself.
    if (split) expect(before.changed(areas[0])).toEqual([]);
    expect(before.changed(areas[1])).toEqual([]);
  });

  it(`${split ? "S-V-09" : "P-V-12, P-V-09"}: nothing of a batch is seen before it is published, and then all of it`, async () => {
    const { device, peer, data } = await deviceRig(format, { size: 8 });
    for (let lap = 0; lap < 7; lap++) {
      for (let k = 0; k < 5; k++) peer.add(elementsAt(data.ptr, [], [10]));
      peer.publish();
      for (const { handle } of device.pop()) {
        device.markUsed(handle, 10);
        expect(peer.used()).toEqual([]);
      }
      device.publishUsed();
      expect(peer.used().length).toBe(5);
    }
    expect(device.counters()).toMatchObject({ popped: 35, used: 35, publishes: 7 });
  });

  it("S-B-05, P-V-05: a buffer of maxChain elements passes, and one more is an error with a name", async () => {
    for (const indirect of [false, true]) {
      const { device, peer, data } = await deviceRig(format, { size: 16, maxChain: 4 });
      for (const count of [4, 5]) {
        const elements = elementsAt(data.ptr + 1024, new Array(count).fill(5));
        if (indirect) peer.indirect(data.ptr + 256 * count, elements);
        else peer.add(elements);
      }
      peer.publish();
      expect(device.popBurst(8)).toBe(1);
      expect(device.violation).toMatchObject({ code: "chain-too-long" });
    }
  });

  it("V-V-01: a handle from before a reset is refused, whatever is in flight now", async () => {
    const { engine, device, peer, data } = await deviceRig(format, { size: 4 });
    peer.add(elementsAt(data.ptr, [], [10]));
    peer.publish();
    const [{ handle }] = device.pop();
    device.stop();
    const { driver, device: again } = engine.connect(0, { format, size: 4 });
    driver.add({ writable: [{ ptr: data.ptr, bytes: 10 }], token: 1 });
    driver.publish();
    const [chain] = again.pop();
    expect(chain.handle).not.toBe(handle);
    expect(() => again.markUsed(handle, 0)).toThrow(expect.objectContaining({ code: "not-in-flight" }));
    again.markUsed(chain.handle, 0);
    expect(() => again.markUsed(chain.handle, 0)).toThrow(expect.objectContaining({ code: "not-in-flight" }));
    expect(() => again.markUsed(chain.handle + 100, 0)).toThrow(
      expect.objectContaining({ code: "not-in-flight" }),
    );
  });

  it("F-V-02: with IN_ORDER a buffer is refused until those before it are used", async () => {
    const { device, peer, data } = await deviceRig(format, {
      size: 8,
      features: features(format, "IN_ORDER", "INDIRECT_DESC"),
    });
    for (let k = 0; k < 3; k++) peer.add(elementsAt(data.ptr, [], [10]));
    peer.publish();
    const [a, b, c] = device.pop();
    for (const { handle } of [b, c]) {
      expect(() => device.markUsed(handle, 10)).toThrow(
        expect.objectContaining({ code: "not-in-order", requirement: "F-V-02" }),
      );
    }
    for (const { handle } of [a, b, c]) device.markUsed(handle, 10);
    expect(device.publishUsed()).toBe(true);
    expect(device.state).toBe("live");
  });
});
