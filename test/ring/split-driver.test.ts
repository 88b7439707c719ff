/** The split driver half against a raw device: what 2.7 asks for alone. */
import { describe, expect, it } from "vitest";
import { Random } from "../support/random.ts";
import { bufferOf, elementsAt, features, splitDriverRig } from "../support/rig.ts";
import { Snapshot } from "../support/snapshot.ts";

describe("the split driver half", () => {
  it("S-B-04: a direct chain, a table and both index words have exactly these bytes", async () => {
    const { engine, driver, peer } = await splitDriverRig({
      size: 4,
      tables: "slot",
    });
    // Places differ from build to build, so bus addresses are moved to where the dump can name them.
    driver.stop();
    const { offset, length } = engine.devices[0].window;
    const tables = engine.region("queue 0 tables").ptr;
    const base = 0x1122_3344_5566_0000n - BigInt(tables - offset);
    engine.devices[0].setWindow({ base, length, offset });
    const moved = engine.driverQueue(0, { size: 4, tables: "slot" });
    const at = (addr: bigint): number => Number(addr - base) + offset;
    const data = at(0x1122_3344_5566_7788n);
    moved.add({ readable: [{ ptr: data, bytes: 0x0102_0304 }], token: 1 });
    moved.add({ readable: [{ ptr: data, bytes: 12 }], writable: [{ ptr: data + 12, bytes: 64 }], token: 2 });
    moved.publish();
    expect(peer.dump(peer.places.desc, 32)).toBe(
      "88 77 66 55 44 33 22 11 04 03 02 01 00 00 01 00 40 00 66 55 44 33 22 11 20 00 00 00 04 00 00 00",
    );
    // The last next is left out: without NEXT it means nothing.
    expect(peer.dump(tables + 64, 30)).toBe(
      "88 77 66 55 44 33 22 11 0c 00 00 00 01 00 01 00 94 77 66 55 44 33 22 11 40 00 00 00 02 00",
    );
    expect(peer.dump(peer.places.avail, 14)).toBe("00 00 02 00 00 00 01 00 00 00 00 00 00 00");
  });

  it("S-D-04: with IN_ORDER descriptors are taken in ring order, and next goes to x+1 and from the last to 0", async () => {
    const random = new Random(5);
    const size = 8;
    const { driver, peer, data } = await splitDriverRig({ size, features: features("split", "IN_ORDER") });
    let expected = 0;
    for (let round = 0; round < 5 * size; round++) {
      const count = random.int(1, size);
      const sizes = Array.from({ length: count }, () => 8);
      expect(driver.add({ ...bufferOf(elementsAt(data.ptr, sizes)), token: round })).toBe(true);
      driver.publish();
      const [head] = peer.heads();
      expect(head).toBe(expected);
      for (let k = 0; k + 1 < count; k++)
        expect(peer.readDesc((head + k) % size).next).toBe((head + k + 1) % size);
      expected = (expected + count) % size;
      peer.use({ id: head }, 0);
      peer.publish();
      expect(driver.reclaim()).toEqual([{ token: round, len: 0 }]);
    }
  });

  it("S-D-08: table entry k links to k+1, the last to nothing, and the length is 16 n", async () => {
    for (const inOrder of [false, true]) {
      const { driver, peer, data } = await splitDriverRig({
        size: 32,
        tables: "freelist",
        features: inOrder ? features("split", "INDIRECT_DESC", "IN_ORDER") : undefined,
      });
      for (const count of [2, 4, 5, 19]) {
        driver.add({
          ...bufferOf(elementsAt(data.ptr, [1], new Array(count - 1).fill(5))),
          token: count,
        });
        driver.publish();
        const [head] = peer.heads();
        const referrer = peer.readDesc(head);
        expect(referrer).toMatchObject({ len: 16 * count, flags: 4 });
        const table = peer.place(referrer.addr);
        expect(table % 16).toBe(0);
        for (let k = 0; k < count; k++) {
          const { flags, next } = peer.readDesc(k, table);
          expect(flags).toBe((k ? 2 : 0) | (k + 1 < count ? 1 : 0));
          if (k + 1 < count) expect(next).toBe(k + 1);
        }
        peer.use({ id: head }, 0);
        peer.publish();
        expect(driver.reclaim().length).toBe(1);
      }
    }
  });

  it("S-D-06: no descriptor has INDIRECT with NEXT, and no table has INDIRECT, in a random run", async () => {
    const random = new Random(6);
    const size = 16;
    for (const directHead of [false, true]) {
      const { driver, peer, data } = await splitDriverRig({ size, directHead, tables: "freelist" });
      for (let round = 0; round < 300; round++) {
        const sizes = Array.from({ length: random.int(1, 6) }, () => 9);
        driver.add({ ...bufferOf(elementsAt(data.ptr, sizes)), token: round });
        driver.publish();
        for (let index = 0; index < size; index++) {
          const { addr, len, flags } = peer.readDesc(index);
          expect(flags & 5).not.toBe(5);
          if (!(flags & 4)) continue;
          for (let k = 0; k < len / 16; k++) expect(peer.readDesc(k, peer.place(addr)).flags & 4).toBe(0);
        }
        for (const buffer of random.shuffle(peer.take())) peer.use(buffer, 0);
        if (random.chance(70)) peer.publish();
        driver.reclaim();
      }
      expect(driver.violation).toBeNull();
    }
  });

  it("S-V-05: a driver that keeps the first element direct puts the rest into a table, for every source", async () => {
    for (const tables of ["heap", "freelist", "grow", "slot", "per-node"] as const) {
      const { driver, peer, data } = await splitDriverRig({ size: 8, directHead: true, tables });
      for (let round = 0; round < 50; round++) {
        const elements = elementsAt(data.ptr, round % 2 ? [10, 20, 30] : [], [40, 50, 60]);
        driver.add({ ...bufferOf(elements), token: round });
        driver.publish();
        const [head] = peer.heads();
        const first = peer.readDesc(head);
        expect(first.flags).toBe(round % 2 ? 1 : 3);
        expect(peer.readDesc(first.next)).toMatchObject({ flags: 4, len: 16 * (elements.length - 1) });
        expect(peer.walk(head).map(({ len }) => len)).toEqual(elements.map(({ bytes }) => bytes));
        expect(driver.numFree).toBe(6);
        peer.use({ id: head }, 3);
        peer.publish();
        expect(driver.reclaim()).toEqual([{ token: round, len: 3 }]);
      }
      expect(driver.numFree).toBe(8);
      expect(driver.counters().liveTables).toBe(0);
    }
  });

  it("S-D-07: with the first element direct, a buffer of the ring's size still fits and one more is refused", async () => {
    const { driver, peer, data } = await splitDriverRig({ size: 8, directHead: true });
    driver.add({ ...bufferOf(elementsAt(data.ptr, new Array(8).fill(4))), token: 1 });
    driver.publish();
    expect(peer.take()[0].elements.length).toBe(8);
    expect(() => driver.add({ ...bufferOf(elementsAt(data.ptr, new Array(9).fill(4))), token: 2 })).toThrow(
      expect.objectContaining({ code: "too-many-elements" }),
    );
  });

  it("S-D-20: k buffers are shown by one store of avail.idx + k, with their heads in consecutive slots", async () => {
    const { driver, peer, data } = await splitDriverRig({ size: 16 });
    const heads: number[] = [];
    for (const burst of [1, 3, 7, 2]) {
      const before = peer.availIdx;
      for (let k = 0; k < burst; k++) driver.add({ readable: [{ ptr: data.ptr, bytes: 4 }], token: k });
      expect(peer.availIdx).toBe(before);
      driver.publish();
      expect(peer.availIdx).toBe(before + burst);
      heads.push(...peer.heads());
    }
    expect(new Set(heads).size).toBe(13);
  });

  it("S-D-12: from one used element the driver derives the batch, whatever its size from 1 to Q", async () => {
    const random = new Random(7);
    for (const size of [1, 2, 8, 64]) {
      const { driver, peer, data } = await splitDriverRig({
        size,
        features: features("split", "IN_ORDER", "INDIRECT_DESC"),
        tables: "freelist",
        engine: { batch: 5 },
      });
      const out: { id: number; token: number; capacity: number }[] = [];
      const expected: { token: number; len: number }[] = [];
      const back: { token: number; len: number }[] = [];
      let token = 0;
      for (let round = 0; round < 600; round++) {
        const capacities: number[] = [];
        for (let k = random.int(1, size); k > 0; k--) {
          const writable = random.chance(60) ? [random.int(1, 99)] : [];
          const elements = elementsAt(data.ptr, writable.length ? [] : [5], writable);
          if (!driver.add({ ...bufferOf(elements), token: token + capacities.length })) break;
          capacities.push(writable[0] ?? 0);
        }
        driver.publish();
        peer.heads().forEach((id, k) => {
          out.push({ id, token: token + k, capacity: capacities[k] });
        });
        token += capacities.length;
        const batch = out.splice(0, random.pick([1, out.length, random.int(1, Math.max(1, out.length))]));
        if (batch.length > 0) {
          const last = batch[batch.length - 1];
          const len = random.int(0, last.capacity);
          peer.useBatch(batch, len);
          peer.publish();
          for (const one of batch)
            expected.push({ token: one.token, len: one === last ? len : one.capacity });
        }
        back.push(...driver.reclaim());
      }
      for (let more = driver.reclaim(); more.length > 0; more = driver.reclaim()) back.push(...more);
      expect(back).toEqual(expected);
      expect(driver.violation).toBeNull();
      expect(driver.outstanding).toBe(out.length);
    }
  });

  it("S-B-06: next fields without NEXT may hold anything", async () => {
    const { driver, peer, data } = await splitDriverRig({ size: 4, tables: "direct" });
    for (let round = 0; round < 20; round++) {
      driver.add({ ...bufferOf(elementsAt(data.ptr, [1, 2])), token: round });
      driver.publish();
      const [head] = peer.heads();
      const last = peer.readDesc(head).next;
      peer.setU16(peer.places.desc + 16 * last + 14, 0xffff);
      peer.use({ id: head }, 0);
      peer.publish();
      expect(driver.reclaim()).toEqual([{ token: round, len: 0 }]);
    }
    expect(driver.numFree).toBe(4);
  });

  it("S-D-10, S-D-18: avail.flags asks for silence and back without EVENT_IDX; arming reports work that is there already", async () => {
    const { driver, peer, data } = await splitDriverRig({ size: 4, features: features("split") });
    driver.suppress();
    expect(peer.availFlags).toBe(1);
    expect(driver.arm()).toBe(false);
    expect(peer.availFlags).toBe(0);
    driver.suppress();
    driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token: 1 });
    driver.publish();
    const [head] = peer.heads();
    peer.use({ id: head }, 0);
    peer.publish();
    expect(driver.arm()).toBe(true);
  });

  it("S-D-10, S-B-08: with EVENT_IDX avail.flags stays 0, and used_event is the entry after which to be told", async () => {
    const { driver, peer, data } = await splitDriverRig({ size: 8 });
    for (let round = 0; round < 20; round++) {
      driver.suppress();
      expect(peer.availFlags).toBe(0);
      expect(peer.usedEvent).toBe((round * 4 - 1) & 0xffff);
      for (const after of [0, 1, 3]) {
        expect(driver.arm(after)).toBe(false);
        expect(peer.usedEvent).toBe(round * 4 + after);
      }
      for (let k = 0; k < 4; k++) driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token: k });
      driver.publish();
      for (const id of peer.heads()) peer.use({ id }, 0);
      peer.publish();
      expect(driver.arm(3)).toBe(true);
      expect(driver.arm(4)).toBe(false);
      expect(peer.availFlags).toBe(0);
      driver.reclaim();
    }
  });

  it("V-D-04, V-D-05: a kick carries the index in 16 bits, or with NOTIFICATION_DATA avail.idx above it", async () => {
    const plain = await splitDriverRig({ size: 4 });
    plain.driver.add({ readable: [{ ptr: plain.data.ptr, bytes: 1 }], token: 1 });
    plain.driver.publish();
    expect(plain.driver.notificationData()).toBe(0);

    const { driver, peer, data } = await splitDriverRig({
      size: 32768,
      tables: "direct",
      features: features("split", "NOTIFICATION_DATA", "NOTIF_CONFIG_DATA"),
      notifyId: 0xbeef,
      engine: { batch: 4096 },
    });
    const seen = new Map<number, number>();
    for (let k = 0; k < 4096; k++) driver.staged.set([k, 1, data.ptr, 1], 4 * k);
    for (let idx = 0; idx < 0x10001; ) {
      const target = [0x7fff, 0x8000, 0xffff, 0x10000, 0x10001].find((stop) => stop > idx) ?? 0;
      const burst = Math.min(4096, target - idx);
      expect(driver.addBurst(burst)).toBe(burst);
      driver.publish();
      for (const id of peer.heads()) peer.use({ id }, 0);
      peer.publish();
      driver.reclaimBurst(4096);
      idx += burst;
      seen.set(idx, driver.notificationData());
      // V-D-07: a second kick with nothing new says the same.
      expect(driver.notificationData()).toBe(seen.get(idx));
      expect(peer.availIdx).toBe(idx & 0xffff);
    }
    expect(seen.get(0x7fff)).toBe(0x7fff_beef);
    expect(seen.get(0x8000)).toBe(0x8000_beef);
    expect(seen.get(0xffff)).toBe(0xffff_beef);
    expect(seen.get(0x10000)).toBe(0x0000_beef);
    expect(seen.get(0x10001)).toBe(0x0001_beef);
  });

  it("S-B-03: the driver half writes the descriptor table, the available ring and tables, and never the used ring", async () => {
    const random = new Random(8);
    const { engine, driver, peer, data } = await splitDriverRig({ size: 8, tables: "freelist" });
    const allowed = ["queue 0 descriptor area", "queue 0 driver area", "queue 0 tables"];
    for (let round = 0; round < 50; round++) {
      const before = new Snapshot(engine);
      driver.add({ ...bufferOf(elementsAt(data.ptr, [8], [8])), token: round });
      driver.publish();
      driver.reclaim();
      if (random.chance(50)) driver.arm();
      else driver.suppress();
      const shared = before.regions().filter((name) => engine.region(name).part === "shared");
      expect(allowed).toEqual(expect.arrayContaining(shared));
      for (const buffer of peer.take()) peer.use(buffer, 0);
      peer.publish();
    }
  });

  it("G-D-15: what belongs to an outstanding buffer is not written again before it comes back", async () => {
    const random = new Random(9);
    const { engine, driver, peer, data } = await splitDriverRig({ size: 32, tables: "freelist" });
    const frozen = new Map<number, { head: number; dump: string }>();
    const dumpOf = (head: number): string => {
      const desc = peer.readDesc(head);
      const table = desc.flags & 4 ? peer.dump(peer.place(desc.addr), desc.len) : "";
      return peer.dump(peer.places.desc + 16 * head, 16) + table;
    };
    for (let round = 0; round < 400; round++) {
      const count = random.int(1, 5);
      if (driver.add({ ...bufferOf(elementsAt(data.ptr, new Array(count).fill(7))), token: round })) {
        driver.publish();
        for (const head of peer.heads()) frozen.set(round, { head, dump: dumpOf(head) });
      }
      for (const { head, dump } of frozen.values()) expect(dumpOf(head)).toBe(dump);
      for (const token of random.shuffle([...frozen.keys()]).slice(0, random.int(0, 2))) {
        const one = frozen.get(token);
        if (one) peer.use({ id: one.head }, 0);
        frozen.delete(token);
      }
      peer.publish();
      driver.reclaim();
    }
    expect(engine.heapIsSound()).toBe(true);
  });
});
