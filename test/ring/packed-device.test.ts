/** The packed device half against a raw driver: what 2.8 asks for alone. */
import { describe, expect, it } from "vitest";
import { AVAIL, availBits, Position, USED } from "../support/raw-packed.ts";
import { bufferOf, elementsAt, features, packedDeviceRig } from "../support/rig.ts";
import { Snapshot } from "../support/snapshot.ts";

const OWNER = AVAIL | USED;

describe("the packed device half", () => {
  it("P-V-03: entries of a table count in memory order, and only their WRITE flag does", async () => {
    const { device, peer, data } = await packedDeviceRig({ size: 8 });
    const elements = elementsAt(data.ptr + 1024, [10, 20], [30]);
    for (const flags of [0, 1, 4, AVAIL, USED, 0xfffd]) {
      // NEXT with INDIRECT on the referrer is another matter; here it is the entries that lie.
      peer.indirect(data.ptr, elements, { flags: flags & 2 });
      elements.forEach(({ write }, k) => {
        peer.setU16(data.ptr + 16 * k + 12, 0xbad0 + k);
        peer.setU16(data.ptr + 16 * k + 14, (flags & ~2) | (write ? 2 : 0));
      });
      peer.publish();
      const [chain] = device.pop();
      expect(chain).toMatchObject(bufferOf(elements));
      device.markUsed(chain.handle, 0);
      device.publishUsed();
      peer.used();
    }
  });

  it("P-V-03: WRITE on the descriptor that refers to a table carries no meaning", async () => {
    const { device, peer, data } = await packedDeviceRig({ size: 8 });
    const elements = elementsAt(data.ptr + 1024, [10, 20], [30]);
    peer.indirect(data.ptr, elements, { flags: 2 });
    peer.publish();
    expect(device.pop()[0]).toMatchObject(bufferOf(elements));
  });

  it("P-B-06: the id is that of the last descriptor, any 16 bits, and is echoed unchanged", async () => {
    const { device, peer, data } = await packedDeviceRig({ size: 5 });
    for (const id of [0xfffe, 0, 0x8000, 0xffff, 5]) {
      peer.add(elementsAt(data.ptr, [1, 2], [3]), { id, junkIds: [0x1111, 0x2222] });
      peer.publish();
      device.markUsed(device.pop()[0].handle, 2);
      device.publishUsed();
      expect(peer.used()).toEqual([{ id, len: 2 }]);
    }
  });

  it("P-V-02: lists of 3, 1 and 2 used as the second, third, first are stored at slots 0, 1 and 3, and nothing else changes", async () => {
    const { engine, device, peer, data } = await packedDeviceRig({ size: 8 });
    const ids = [3, 1, 2].map((count) => peer.add(elementsAt(data.ptr, [], new Array(count).fill(4))));
    peer.publish();
    const [a, b, c] = device.pop();
    const before = new Snapshot(engine);
    for (const { handle } of [b, c, a]) device.markUsed(handle, 4);
    device.publishUsed();
    const at = (slot: number): number => peer.places.desc + 16 * slot;
    const changed = before.changed({ ptr: at(0), bytes: 16 * 8 });
    const slots = new Set(changed.map((ptr) => (ptr - at(0)) >> 4));
    expect([...slots]).toEqual([0, 1, 3]);
    expect(changed.every((ptr) => (ptr - at(0)) % 16 >= 8)).toBe(true);
    expect([0, 1, 3].map((slot) => peer.readDesc(slot))).toMatchObject([
      { id: ids[1], len: 4, flags: 0x8082 },
      { id: ids[2], len: 4, flags: 0x8082 },
      { id: ids[0], len: 4, flags: 0x8082 },
    ]);
  });

  it("P-B-03, P-B-02: flags of used descriptors on a ring of 3 are the golden ones of both laps", async () => {
    const { device, peer, data } = await packedDeviceRig({ size: 3 });
    for (let k = 0; k < 7; k++) {
      peer.add(elementsAt(data.ptr, [9]));
      peer.publish();
      device.markUsed(device.pop()[0].handle, 0);
      device.publishUsed();
      expect(peer.flagsOf(k % 3)).toBe(Math.floor(k / 3) % 2 ? 0 : 0x8080);
      peer.used();
    }
  });

  it("P-B-02: a list that fills the ring, or ends on its last slot, flips the wrap counter once", async () => {
    for (const lists of [[5], [2, 3], [4, 1], [1, 4], [3, 3, 4]]) {
      const { device, peer, data } = await packedDeviceRig({ size: 5 });
      for (let round = 0; round < 15; round++) {
        const count = lists[round % lists.length];
        const id = peer.add(elementsAt(data.ptr, new Array(count).fill(2)));
        peer.publish();
        const [chain] = device.pop();
        expect(chain.readable.length).toBe(count);
        device.markUsed(chain.handle, 0);
        device.publishUsed();
        expect(peer.used()).toEqual([{ id, len: 0 }]);
      }
    }
  });

  it("P-V-07, P-B-04: a descriptor is taken only when its bits are those of the expected lap", async () => {
    for (let lap = 0; lap < 4; lap++) {
      for (const flags of [0, AVAIL, USED, OWNER]) {
        const { device, peer, data } = await packedDeviceRig({ size: 2 });
        for (let k = 0; k < 2 * lap; k++) {
          peer.add(elementsAt(data.ptr, [4]));
          peer.publish();
          device.markUsed(device.pop()[0].handle, 0);
          device.publishUsed();
          peer.used();
        }
        // Everything but the flags is there.
        peer.writeDesc(0, { addr: peer.bus(data.ptr), len: 4, id: 9, flags: peer.flagsOf(0) });
        expect(device.pop()).toEqual([]);
        peer.setFlags(0, flags);
        expect(device.pop().length).toBe(flags === availBits(peer.avail.wrap) ? 1 : 0);
      }
    }
  });

  it("P-B-05: a slot that is available before the one ahead of it waits", async () => {
    const { device, peer, data } = await packedDeviceRig({ size: 4 });
    for (const slot of [1, 2]) {
      peer.writeDesc(slot, { addr: peer.bus(data.ptr), len: 4, id: slot, flags: AVAIL });
    }
    expect(device.pop()).toEqual([]);
    peer.writeDesc(0, { addr: peer.bus(data.ptr), len: 4, id: 0, flags: AVAIL });
    expect(device.pop().length).toBe(3);
  });

  it("P-V-01: WRITE in a used descriptor says whether anything was written", async () => {
    const { device, peer, data } = await packedDeviceRig({ size: 4 });
    for (const len of [0, 60]) {
      const { slot, wrap } = peer.nextUsed;
      peer.add(elementsAt(data.ptr, [], [60]));
      peer.publish();
      device.markUsed(device.pop()[0].handle, len);
      device.publishUsed();
      expect(peer.readDesc(slot)).toMatchObject({ len, flags: (wrap ? OWNER : 0) | (len ? 2 : 0) });
      peer.used();
    }
  });

  it("P-V-11: with IN_ORDER lists of 2, 3 and 1 are one used descriptor at slot 0 with the third's id, and the next goes to slot 6", async () => {
    const { engine, device, peer, data } = await packedDeviceRig({
      size: 8,
      features: features("packed", "IN_ORDER"),
    });
    const ids = [2, 3, 1].map((count) => peer.add(elementsAt(data.ptr, [], new Array(count).fill(4))));
    peer.publish();
    const chains = device.pop();
    const before = new Snapshot(engine);
    device.markUsed(chains[0].handle, 8);
    device.markUsed(chains[1].handle, 12);
    device.markUsed(chains[2].handle, 3);
    device.publishUsed();
    const at = peer.places.desc;
    expect(before.changed({ ptr: at, bytes: 128 }).every((ptr) => ptr >= at + 8 && ptr < at + 16)).toBe(true);
    expect(peer.readDesc(0)).toMatchObject({ id: ids[2], len: 3, flags: 0x8082 });
    const next = peer.add(elementsAt(data.ptr, [1]));
    peer.publish();
    device.markUsed(device.pop()[0].handle, 0);
    device.publishUsed();
    expect(peer.readDesc(6)).toMatchObject({ id: next, flags: 0x8080 });
  });

  it("P-V-11: a short buffer ends a batch, and a batch over the end of the ring has the bits of its first slot's lap", async () => {
    const size = 5;
    const { device, peer, data } = await packedDeviceRig({ size, features: features("packed", "IN_ORDER") });
    const position = new Position(size);
    for (let round = 0; round < 40; round++) {
      const lens = [8, 8, round % 2 ? 3 : 8, 8];
      const ids = lens.map(() => peer.add(elementsAt(data.ptr, [], [8])));
      peer.publish();
      const chains = device.pop();
      lens.forEach((len, k) => {
        device.markUsed(chains[k].handle, len);
      });
      device.publishUsed();
      const batches = round % 2 ? [3, 1] : [4];
      let last = -1;
      for (const count of batches) {
        last += count;
        expect(peer.readDesc(position.slot)).toMatchObject({
          id: ids[last],
          len: lens[last],
          flags: (position.wrap ? OWNER : 0) | 2,
        });
        position.advance(count);
      }
      // The raw driver takes one buffer a descriptor, so it is told about the batch by hand.
      peer.nextUsed.slot = position.slot;
      peer.nextUsed.wrap = position.wrap;
      peer.forget(ids);
    }
    expect(device.violation).toBeNull();
  });

  it("P-V-12: the first used descriptor of a batch is stored last", async () => {
    const { engine, device, peer, data } = await packedDeviceRig({ size: 8 });
    for (let k = 0; k < 3; k++) peer.add(elementsAt(data.ptr, [], [5]));
    peer.publish();
    const start = new Snapshot(engine);
    for (const { handle } of device.pop()) device.markUsed(handle, 5);
    const at = peer.places.desc;
    expect(start.changed({ ptr: at, bytes: 16 })).toEqual([]);
    expect(start.changed({ ptr: at + 16, bytes: 32 })).not.toEqual([]);
    const marked = new Snapshot(engine);
    device.publishUsed();
    const changed = marked.changed({ ptr: at, bytes: 16 * 8 });
    expect(changed.every((ptr) => ptr >= at + 8 && ptr < at + 16)).toBe(true);
    expect(peer.used().length).toBe(3);
  });

  it("P-B-08: device events are enable or disable without EVENT_IDX, and arming reports work that is there already", async () => {
    const { device, peer, data } = await packedDeviceRig({ size: 4, features: features("packed") });
    device.suppress();
    expect(peer.deviceEvent).toEqual({ offset: 0, wrap: 0, flags: 1 });
    expect(device.arm()).toBe(false);
    expect(peer.deviceEvent.flags).toBe(0);
    peer.add(elementsAt(data.ptr, [1]));
    peer.publish();
    expect(device.arm()).toBe(true);
  });

  it("P-B-08, P-V-09: with EVENT_IDX the device names the slot and the lap after which it wants to be told", async () => {
    const size = 5;
    const { device, peer, data } = await packedDeviceRig({ size });
    const next = new Position(size);
    for (let round = 0; round < 25; round++) {
      for (let after = 0; after < size + 2; after++) {
        expect(device.arm(after)).toBe(false);
        const event = next.copy();
        event.advance(Math.min(after, size - 1));
        expect(peer.deviceEvent).toEqual({ offset: event.slot, wrap: event.wrap, flags: 2 });
      }
      const count = 1 + (round % 3);
      peer.add(elementsAt(data.ptr, new Array(count).fill(2)));
      peer.publish();
      expect(device.arm()).toBe(true);
      device.markUsed(device.pop()[0].handle, 0);
      device.publishUsed();
      peer.used();
      next.advance(count);
      device.suppress();
      expect(peer.deviceEvent.flags).toBe(1);
    }
  });

  it("V-V-02: a ring is continued from any slot and lap, and a new one starts at slot 0 of lap 1", async () => {
    for (const slot of [0, 3, 6]) {
      for (const wrap of [0, 1]) {
        const { engine, device, peer, data } = await packedDeviceRig({ size: 7 });
        peer.startAt(slot, wrap);
        // On a ring of zeros the first lap's available bits differ from the second's used bits.
        if (wrap === 0) for (let k = 0; k < 7; k++) peer.setFlags(k, OWNER);
        engine.wasm.packedDeviceResume(device.ptr, slot, wrap, slot, wrap);
        for (let round = 0; round < 20; round++) {
          const id = peer.add(elementsAt(data.ptr, [1, 2]));
          peer.publish();
          device.markUsed(device.pop()[0].handle, 0);
          device.publishUsed();
          expect(peer.used()).toEqual([{ id, len: 0 }]);
        }
      }
    }
  });
});
