/** A packed ring's peer that means harm, on the bytes: every violation has its name, and nothing else happens. */
import { describe, expect, it } from "vitest";
import { Canaries } from "../support/canaries.ts";
import { expectDeviceBroken, expectDriverBroken } from "../support/hostile.ts";
import { AVAIL, availBits, type RawPackedDriver, USED, usedBits } from "../support/raw-packed.ts";
import { INDIRECT, NEXT, WRITE } from "../support/raw-split.ts";
import {
  bufferOf,
  type DeviceRigOptions,
  elementsAt,
  features,
  packedDeviceRig,
  packedDriverRig,
} from "../support/rig.ts";

const SIZE = 7;
const NOWHERE = 0xffff_ffff_ffff_f000n;

interface Places {
  buffer: number;
  table: number;
  end: number;
  base: number;
}

interface Attack {
  name: string;
  code: string;
  options?: Partial<DeviceRigOptions>;
  act(peer: RawPackedDriver, places: Places): void;
}

type Desc = { addr: bigint; len: number; flags: number };

const ATTACKS: Attack[] = [
  {
    name: "H-V-03: a list whose every descriptor has NEXT",
    code: "ring-overrun",
    act: (peer, { buffer }) => {
      const desc = { addr: peer.bus(buffer), len: 1, flags: NEXT };
      peer.addDescriptors(new Array<Desc>(SIZE - 1).fill(desc));
      peer.setFlags(0, peer.flagsOf(0) | NEXT);
    },
  },
  {
    name: "H-V-03: a list of elements without bytes that has no end",
    code: "ring-overrun",
    act: (peer) => {
      peer.addDescriptors(new Array<Desc>(SIZE - 1).fill({ addr: 0n, len: 0, flags: NEXT }));
      peer.setFlags(0, peer.flagsOf(0) | NEXT);
    },
  },
  {
    name: "P-V-05: a list that is longer than the device accepts",
    code: "chain-too-long",
    options: { maxChain: 3 },
    act: (peer, { buffer }) => {
      peer.add(elementsAt(buffer, [1, 1, 1, 1]));
    },
  },
  {
    name: "P-D-09: a table that is longer than the device accepts",
    code: "chain-too-long",
    options: { maxChain: 3 },
    act: (peer, { buffer, table }) => {
      peer.indirect(table, elementsAt(buffer, [1, 1, 1, 1]));
    },
  },
  {
    name: "S-D-05: INDIRECT that was not negotiated",
    code: "indirect-not-negotiated",
    options: { features: features("packed", "EVENT_IDX") },
    act: (peer, { buffer, table }) => {
      peer.indirect(table, elementsAt(buffer, [1]));
    },
  },
  {
    name: "H-V-08: INDIRECT together with NEXT",
    code: "indirect-in-list",
    act: (peer, { buffer, table }) => {
      peer.indirect(table, elementsAt(buffer, [1]), { flags: NEXT });
    },
  },
  {
    name: "H-V-08: INDIRECT in a list",
    code: "indirect-in-list",
    act: (peer, { buffer, table }) => {
      peer.writeTable(table, elementsAt(buffer, [1]));
      peer.addDescriptors([
        { addr: peer.bus(buffer), len: 1, flags: NEXT },
        { addr: peer.bus(table), len: 16, flags: INDIRECT },
      ]);
    },
  },
  ...[0, 8, 24, 16 * (SIZE + 1), 2 ** 20, 2 ** 32 - 16].map((len) => ({
    name: `H-V-04: a table of ${len} bytes`,
    code: "table-length",
    act: (peer: RawPackedDriver, { buffer, table }: Places) => {
      peer.indirect(table, elementsAt(buffer, [1]), { len });
    },
  })),
  ...[
    ["crosses the end of the window", ({ end }: Places, peer: RawPackedDriver) => peer.bus(end - 16)],
    ["starts before the window", ({ base }: Places, peer: RawPackedDriver) => peer.bus(base - 16)],
    ["lies near 2^64", () => 0xffff_ffff_ffff_fff0n],
  ].map(([where, addr]) => ({
    name: `H-V-04: a table that ${where}`,
    code: "table-address",
    act: (peer: RawPackedDriver, places: Places) => {
      const at = (addr as (places: Places, peer: RawPackedDriver) => bigint)(places, peer);
      peer.addDescriptors([{ addr: at, len: 32, flags: INDIRECT }]);
    },
  })),
  ...(
    [
      ["near 2^64", () => NOWHERE, 16],
      ["that wraps 2^64", () => 0xffff_ffff_ffff_fff0n, 32],
      ["that ends at 2^64", () => 0xffff_ffff_ffff_fff0n, 16],
      ["at 2^32", () => 1n << 32n, 1],
      ["that ends one byte past the window", ({ end }, peer) => peer.bus(end - 10), 11],
      ["that starts in the engine's private part", ({ base }, peer) => peer.bus(base - 1), 2],
      ["of 2^32 - 1 bytes", ({ base }, peer) => peer.bus(base), 0xffff_ffff],
    ] as [string, (places: Places, peer: RawPackedDriver) => bigint, number][]
  ).flatMap(([where, addr, len]) => [
    {
      name: `H-V-05: a buffer ${where}`,
      code: "buffer-address",
      act: (peer: RawPackedDriver, places: Places) => {
        peer.addDescriptors([{ addr: addr(places, peer), len, flags: WRITE }]);
      },
    },
    {
      name: `H-V-05: a buffer ${where}, in a table`,
      code: "buffer-address",
      act: (peer: RawPackedDriver, places: Places) => {
        peer.indirect(places.table, elementsAt(places.buffer, [1, 1]));
        peer.writeDesc(1, { addr: addr(places, peer), len }, places.table);
      },
    },
  ]),
  {
    name: "H-V-08: a readable element behind a writable one",
    code: "readable-after-writable",
    act: (peer, { buffer }) => {
      peer.addDescriptors([
        { addr: peer.bus(buffer), len: 4, flags: NEXT | WRITE },
        { addr: peer.bus(buffer), len: 4, flags: 0 },
      ]);
    },
  },
  {
    name: "H-V-08: a readable element behind a writable one in a table",
    code: "readable-after-writable",
    act: (peer, { buffer, table }) => {
      peer.indirect(table, [
        { ptr: buffer, bytes: 4, write: true },
        { ptr: buffer, bytes: 4 },
      ]);
    },
  },
];

describe("a hostile driver on a packed ring", () => {
  it.each(ATTACKS)("$name breaks the queue as $code, and nothing else", async ({ code, options, act }) => {
    const { engine, device, peer, areas, data } = await packedDeviceRig({ size: SIZE, ...options });
    const kept = [...areas, { ptr: data.ptr, bytes: 1024 }];
    const canaries = new Canaries(engine.memory, engine.buffers, kept);
    peer.add(elementsAt(data.ptr, [10]));
    act(peer, { buffer: data.ptr, table: data.ptr + 512, end: engine.end, base: engine.sharedBase });
    peer.publish();
    expectDeviceBroken(engine, device, code, { honest: 1, index: 1 });
    expect(peer.used()).toEqual([]);
    expect(canaries.bytes).toBeGreaterThan(0);
    expect(canaries.dead()).toEqual([]);
  });

  it("H-V-03: a list that fills an idle ring and has no end is longer than any may be", async () => {
    const { engine, device, peer, data } = await packedDeviceRig({ size: SIZE });
    const desc = { addr: peer.bus(data.ptr), len: 1, flags: NEXT };
    peer.addDescriptors(new Array<Desc>(SIZE).fill(desc));
    peer.publish();
    expectDeviceBroken(engine, device, "chain-too-long", { index: 0 });
  });

  it("H-V-01: slots that are made available again while all are in flight overrun the ring", async () => {
    const { engine, device, peer, data } = await packedDeviceRig({ size: SIZE });
    for (let k = 0; k < SIZE; k++) peer.add(elementsAt(data.ptr, [1]));
    peer.publish();
    expect(device.popBurst(SIZE)).toBe(SIZE);
    for (let slot = 0; slot < SIZE; slot++) peer.setFlags(slot, USED);
    expectDeviceBroken(engine, device, "ring-overrun", { index: 0 });
  });

  it("H-V-01: one burst takes one lap at most, whatever the flags say", async () => {
    const { device, peer, data } = await packedDeviceRig({ size: 3, engine: { batch: 64 } });
    for (let k = 0; k < 3; k++) peer.add(elementsAt(data.ptr, [1]));
    peer.publish();
    expect(device.popBurst(64)).toBe(3);
    expect(device.state).toBe("live");
  });

  it.each([false, true])(
    "S-D-03: a list of exactly 2^32 bytes is taken, and one byte more is chain-bytes, in a table: %s",
    async (indirect) => {
      const mebi = 2 ** 20;
      for (const last of [0, 1]) {
        const tables = 5000 * 16;
        const { engine, device, peer, data } = await packedDeviceRig({
          size: 4100,
          dataBytes: mebi + tables + 64,
        });
        const all = Array.from({ length: 4096 }, () => ({
          ptr: data.ptr + tables,
          bytes: mebi,
          write: true,
        }));
        if (last) all.push({ ptr: data.ptr, bytes: last, write: true });
        if (indirect) peer.indirect(data.ptr, all);
        else peer.add(all);
        peer.publish();
        if (last) {
          expectDeviceBroken(engine, device, "chain-bytes");
          continue;
        }
        expect(device.popBurst(1)).toBe(1);
        // Byte counts are words, so the capacity is one byte less than it could be.
        expect(device.popped[3]).toBe(0xffff_ffff);
      }
    },
  );

  it("H-V-06: what the driver writes after a pop changes nothing of what was popped", async () => {
    const { engine, device, peer, data } = await packedDeviceRig({ size: SIZE });
    const id = peer.add(elementsAt(data.ptr, [], [10, 20]));
    peer.publish();
    const [chain] = device.pop();
    for (let slot = 0; slot < SIZE; slot++) {
      peer.writeDesc(slot, { addr: NOWHERE, len: 0xffff_ffff, id: 0xeeee, flags: availBits(0) | NEXT });
    }
    device.markUsed(chain.handle, 30);
    device.publishUsed();
    expect(peer.used()).toEqual([{ id, len: 30 }]);
    expect(engine.devices[0].needsReset).toBe(false);
  });

  it("H-V-09, H-B-02: junk event structures break nothing, and are at worst an interrupt too many", async () => {
    for (const flags of [2, 3, 0xfffe, 0xffff]) {
      for (const offset of [SIZE, 0x7fff]) {
        const { device, peer, data } = await packedDeviceRig({ size: SIZE });
        for (let round = 0; round < 3 * SIZE; round++) {
          peer.driverEvent = { offset, wrap: round & 1, flags };
          const id = peer.add(elementsAt(data.ptr, [1]));
          peer.publish();
          device.markUsed(device.pop()[0].handle, 0);
          const interrupt = device.publishUsed();
          // P-B-08: the reserved mode counts as enabled.
          if ((flags & 3) === 3) expect(interrupt).toBe(true);
          expect(peer.used()).toEqual([{ id, len: 0 }]);
        }
        expect(device.violation).toBeNull();
      }
    }
  });
});

describe("a hostile device on a packed ring", () => {
  const tokens = [11, 12, 13];

  /** Three buffers out: one element, three elements in a list, two in a table. */
  async function out(inOrder = false) {
    const rig = await packedDriverRig({
      size: SIZE,
      tables: "heap",
      features: inOrder ? features("packed", "INDIRECT_DESC", "IN_ORDER") : undefined,
      engine: { heapBytes: 128 },
    });
    const { engine, driver, data } = rig;
    driver.add({ readable: [{ ptr: data.ptr, bytes: 4 }], token: 11 });
    driver.add({ ...bufferOf(elementsAt(data.ptr, [1, 2], [3])), token: 12 });
    driver.add({ ...bufferOf(elementsAt(data.ptr, [4], [5])), token: 13 });
    driver.publish();
    const taken = rig.peer.take();
    expect(taken.length).toBe(3);
    const canaries = new Canaries(engine.memory, engine.buffers, []);
    return { ...rig, taken, canaries };
  }

  it.each([SIZE, SIZE + 1, 0x8000, 0xffff])("H-D-01, P-D-15: used id %i is out of range", async (id) => {
    for (const inOrder of [false, true]) {
      const { engine, driver, peer, canaries } = await out(inOrder);
      peer.use({ id, slots: 1 }, 0);
      peer.publish();
      expectDriverBroken(engine, driver, "used-id-out-of-range", tokens, { index: id });
      expect(canaries.dead()).toEqual([]);
    }
  });

  it("H-D-01: an id that no buffer has is not outstanding", async () => {
    for (const inOrder of [false, true]) {
      const { engine, driver, peer } = await out(inOrder);
      peer.use({ id: SIZE - 1, slots: 1 }, 0);
      peer.publish();
      expectDriverBroken(engine, driver, "used-id-not-outstanding", tokens, { index: SIZE - 1 });
    }
  });

  it("H-D-01: an id that comes twice, in one burst or in two, is not outstanding the second time", async () => {
    for (const bursts of [1, 2]) {
      const { engine, driver, peer, taken } = await out();
      peer.use(taken[1], 3);
      if (bursts === 2) {
        peer.publish();
        expect(driver.reclaim()).toEqual([{ token: 12, len: 3 }]);
      }
      peer.use(taken[1], 3);
      peer.publish();
      expectDriverBroken(engine, driver, "used-id-not-outstanding", [11, 13], {
        honest: bursts === 1 ? 1 : 0,
        index: taken[1].id,
      });
    }
  });

  it("H-D-01: with IN_ORDER an id that lies behind the outstanding ones is an error", async () => {
    const { engine, driver, peer, taken } = await out(true);
    peer.useBatch(taken.slice(0, 2), 3);
    peer.publish();
    expect(driver.reclaim().map(({ token }) => token)).toEqual([11, 12]);
    peer.use(taken[0], 0);
    peer.publish();
    expectDriverBroken(engine, driver, "used-id-not-outstanding", [13]);
  });

  it("H-D-02: wrap bits that lie complete nothing that is not outstanding", async () => {
    const { engine, driver, peer } = await out();
    for (const flags of [0, AVAIL, USED]) {
      for (let slot = 0; slot < SIZE; slot++) peer.setFlags(slot, flags);
      expect(driver.reclaim()).toEqual([]);
    }
    // With every slot used, each id counts once and then the queue is done.
    for (let slot = 0; slot < SIZE; slot++) {
      peer.writeDesc(slot, { id: 0, flags: usedBits(1) });
    }
    expectDriverBroken(engine, driver, "used-id-not-outstanding", [12, 13], { honest: 1 });
  });

  it("H-V-09: a junk device event structure breaks nothing, and is at worst a kick too many", async () => {
    for (const flags of [2, 3, 0xfffe, 0xffff]) {
      const { driver, peer, data } = await packedDriverRig({ size: SIZE });
      for (let round = 0; round < 3 * SIZE; round++) {
        peer.deviceEvent = { offset: 0x7fff, wrap: round & 1, flags };
        driver.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token: round });
        const kick = driver.publish();
        if ((flags & 3) === 3) expect(kick).toBe(true);
        for (const buffer of peer.take()) peer.use(buffer, 0);
        peer.publish();
        expect(driver.reclaim()).toEqual([{ token: round, len: 0 }]);
      }
    }
  });
});
