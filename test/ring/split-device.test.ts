/** The split device half against a raw driver: what 2.7 asks for alone. */
import { describe, expect, it } from "vitest";
import { Random } from "../support/random.ts";
import { INDIRECT, WRITE } from "../support/raw-split.ts";
import { bufferOf, elementsAt, features, splitDeviceRig } from "../support/rig.ts";

describe("the split device half", () => {
  it("S-V-04: WRITE on the descriptor that refers to a table carries no meaning", async () => {
    const { device, peer, data } = await splitDeviceRig({ size: 8 });
    const elements = elementsAt(data.ptr + 1024, [10, 20], [30]);
    for (const flags of [0, WRITE]) peer.indirect(data.ptr + 512 * (flags ? 0 : 1), elements, { flags });
    peer.publish();
    const [without, withIt] = device.pop();
    expect(withIt).toEqual({ ...without, handle: withIt.handle });
    expect(withIt).toMatchObject(bufferOf(elements));
  });

  it("S-V-05: a chain of direct descriptors that ends in a table is one buffer, up to Q elements in all", async () => {
    const { device, peer, data } = await splitDeviceRig({ size: 8 });
    for (const [direct, indirect] of [
      [0, 8],
      [1, 1],
      [2, 4],
      [4, 4],
      [1, 7],
    ]) {
      const elements = elementsAt(data.ptr + 1024, new Array(direct + indirect).fill(10));
      peer.indirect(data.ptr, elements.slice(direct), { direct: elements.slice(0, direct) });
      peer.publish();
      const [chain] = device.pop();
      expect(chain).toMatchObject(bufferOf(elements));
      device.markUsed(chain.handle, 0);
      device.publishUsed();
      peer.used();
    }
  });

  it("S-V-06: inside a table next is followed, not the order in memory", async () => {
    const { device, peer, data } = await splitDeviceRig({ size: 8 });
    const elements = elementsAt(data.ptr + 1024, [10, 20], [30]);
    peer.writeList([0, 2, 1], elements, data.ptr);
    peer.writeDesc(0, { addr: peer.bus(data.ptr), len: 48, flags: INDIRECT });
    peer.offer(0);
    peer.publish();
    expect(device.pop()[0]).toMatchObject(bufferOf(elements));
  });

  it("S-B-06: next without NEXT may hold anything, in the ring and in tables", async () => {
    const { device, peer, data } = await splitDeviceRig({ size: 8 });
    const elements = elementsAt(data.ptr + 1024, [10], [20]);
    peer.writeList([0, 1], elements);
    peer.setU16(peer.places.desc + 16 + 14, 0xffff);
    peer.writeTable(data.ptr, elements);
    peer.setU16(data.ptr + 16 + 14, 0xffff);
    peer.writeDesc(2, { addr: peer.bus(data.ptr), len: 32, flags: INDIRECT, next: 0xffff });
    for (const head of [0, 2]) peer.offer(head);
    peer.publish();
    for (const chain of device.pop()) expect(chain).toMatchObject(bufferOf(elements));
    expect(device.counters().popped).toBe(2);
  });

  it("S-V-11: the id is the head in all 32 bits, in the slot of used.idx mod Q", async () => {
    const { device, peer, data } = await splitDeviceRig({ size: 4 });
    for (let round = 0; round < 11; round++) {
      peer.setUsedEntry(round, { id: 0xffff_ffff, len: 0xffff_ffff });
      const head = peer.add(elementsAt(data.ptr, [5], [9]));
      peer.publish();
      device.markUsed(device.pop()[0].handle, 9);
      device.publishUsed();
      expect(peer.usedEntry(round)).toEqual({ id: head, len: 9 });
      expect(peer.usedIdx).toBe(round + 1);
      peer.used();
    }
  });

  it("S-V-12, S-V-13: with IN_ORDER buffers used completely are returned with one element, and a short one ends the batch", async () => {
    const { device, peer, data } = await splitDeviceRig({
      size: 8,
      features: features("split", "IN_ORDER"),
    });
    const heads = Array.from({ length: 8 }, () => peer.add(elementsAt(data.ptr, [], [10])));
    peer.publish();
    for (let slot = 0; slot < 8; slot++) peer.setUsedEntry(slot, { id: 77, len: 77 });
    const chains = device.pop();
    [10, 10, 10, 4, 10, 0, 10, 10].forEach((len, k) => {
      device.markUsed(chains[k].handle, len);
    });
    device.publishUsed();
    expect(peer.usedIdx).toBe(8);
    const untouched = { id: 77, len: 77 };
    expect(Array.from({ length: 8 }, (_, slot) => peer.usedEntry(slot))).toEqual([
      { id: heads[3], len: 4 },
      untouched,
      untouched,
      untouched,
      { id: heads[5], len: 0 },
      untouched,
      { id: heads[7], len: 10 },
      untouched,
    ]);
  });

  it("S-V-12: a batch ends where it is published", async () => {
    const { device, peer, data } = await splitDeviceRig({ size: 8, features: features("split", "IN_ORDER") });
    const heads = Array.from({ length: 5 }, () => peer.add(elementsAt(data.ptr, [10])));
    peer.publish();
    const chains = device.pop();
    for (const { handle } of chains.slice(0, 2)) device.markUsed(handle, 0);
    device.publishUsed();
    expect([peer.usedIdx, peer.usedEntry(0).id]).toEqual([2, heads[1]]);
    for (const { handle } of chains.slice(2)) device.markUsed(handle, 0);
    device.publishUsed();
    expect([peer.usedIdx, peer.usedEntry(0).id, peer.usedEntry(2).id]).toEqual([5, heads[1], heads[4]]);
  });

  it("S-B-07: both indices run freely modulo 2^16, whatever the size, with batches across the wrap", async () => {
    const random = new Random(22);
    for (const size of [1, 2, 256, 32768]) {
      const { engine, device, peer, data } = await splitDeviceRig({ size });
      const start = 0x10000 - Math.min(size, 100) - 3;
      peer.startAt(start);
      engine.wasm.splitDeviceResume(device.ptr, start, start);
      let done = 0;
      while (done < Math.min(size, 100) * 3 + 20) {
        const burst = random.int(1, Math.min(size, 32));
        const heads = Array.from({ length: burst }, () => peer.add(elementsAt(data.ptr, [8])));
        peer.publish();
        const chains = device.pop();
        expect(chains.length).toBe(burst);
        for (const { handle } of chains) device.markUsed(handle, 0);
        device.publishUsed();
        expect(peer.used().map(({ id }) => id)).toEqual(heads);
        done += burst;
        expect(peer.usedIdx).toBe((start + done) & 0xffff);
      }
      expect(device.violation).toBeNull();
    }
  });

  it("S-V-14, S-V-15: used.flags asks for silence without EVENT_IDX, and arming reports work that is there already", async () => {
    const { device, peer, data } = await splitDeviceRig({ size: 4, features: features("split") });
    device.suppress();
    expect(peer.usedFlags).toBe(1);
    expect(device.arm()).toBe(false);
    expect(peer.usedFlags).toBe(0);
    peer.add(elementsAt(data.ptr, [1]));
    peer.publish();
    expect(device.arm()).toBe(true);
  });

  it("S-V-14, S-B-08: with EVENT_IDX used.flags stays 0, and avail_event is the entry after which to be told", async () => {
    const { device, peer, data } = await splitDeviceRig({ size: 8 });
    for (let round = 0; round < 20; round++) {
      device.suppress();
      expect(peer.availEvent).toBe((4 * round - 1) & 0xffff);
      for (const after of [0, 1, 5]) {
        expect(device.arm(after)).toBe(false);
        expect(peer.availEvent).toBe(4 * round + after);
      }
      for (let k = 0; k < 4; k++) peer.add(elementsAt(data.ptr, [1]));
      peer.publish();
      expect(device.arm(3)).toBe(true);
      expect(device.arm(4)).toBe(false);
      expect(peer.usedFlags).toBe(0);
      for (const { handle } of device.pop()) device.markUsed(handle, 0);
      device.publishUsed();
      peer.used();
    }
  });

  it("S-B-03: the device half writes the used ring and nothing else of what it shares", async () => {
    const { engine, device, peer, areas, data } = await splitDeviceRig({ size: 8 });
    const [desc, avail] = areas;
    for (let round = 0; round < 50; round++) {
      peer.add(elementsAt(data.ptr + 256, [8], [8]));
      peer.indirect(data.ptr, elementsAt(data.ptr + 256, [8], [8]));
      peer.publish();
      const before = [peer.dump(desc.ptr, desc.bytes), peer.dump(avail.ptr, avail.bytes)];
      for (const { handle } of device.pop()) device.markUsed(handle, 3);
      device.publishUsed();
      if (round % 2) device.arm();
      else device.suppress();
      expect([peer.dump(desc.ptr, desc.bytes), peer.dump(avail.ptr, avail.bytes)]).toEqual(before);
      peer.used();
    }
    expect(engine.devices[0].needsReset).toBe(false);
  });

  it("S-B-09: calls without work on an idle ring change nothing and complete nothing twice", async () => {
    const { device, peer, data } = await splitDeviceRig({ size: 4 });
    peer.add(elementsAt(data.ptr, [1]));
    peer.publish();
    device.markUsed(device.pop()[0].handle, 0);
    device.publishUsed();
    for (let k = 0; k < 10; k++) {
      expect(device.pop()).toEqual([]);
      expect(device.publishUsed()).toBe(false);
    }
    expect(peer.usedIdx).toBe(1);
  });
});
