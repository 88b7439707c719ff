/** A split ring's peer that means harm, on the bytes: every violation has its name, and nothing else happens. */
import { describe, expect, it } from "vitest";
import type { Engine } from "../../src/engine.ts";
import { Canaries } from "../support/canaries.ts";
import { expectDeviceBroken, expectDriverBroken } from "../support/hostile.ts";
import { INDIRECT, NEXT, type RawSplitDriver, WRITE } from "../support/raw-split.ts";
import {
  bufferOf,
  type DeviceRig,
  type DeviceRigOptions,
  elementsAt,
  features,
  splitDeviceRig,
  splitDriverRig,
} from "../support/rig.ts";

const SIZE = 8;
/** A bus address that no window of the tests holds. */
const NOWHERE = 0xffff_ffff_ffff_f000n;

interface Attack {
  name: string;
  code: string;
  index?: number;
  options?: Partial<DeviceRigOptions>;
  /** Makes the malicious buffer available; `buffer` is a place for 256 bytes, `table` one for tables. */
  act(peer: RawSplitDriver, places: { buffer: number; table: number; end: number; base: number }): void;
}

/** A head with one descriptor of these fields, offered. */
function offerDesc(
  peer: RawSplitDriver,
  index: number,
  desc: { addr?: bigint; len?: number; flags?: number; next?: number },
): void {
  peer.writeDesc(index, desc);
  peer.offer(index);
}

const ATTACKS: Attack[] = [
  ...[SIZE + 1, 0x7fff, 0xffff].map((jump) => ({
    name: `H-V-01: avail.idx jumps by ${jump}`,
    code: "avail-idx-jump",
    act: (peer: RawSplitDriver) => {
      peer.nextAvail = jump;
    },
  })),
  ...[SIZE, 0xffff].map((head) => ({
    name: `H-V-02: head ${head}`,
    code: "head-out-of-range",
    index: head,
    act: (peer: RawSplitDriver) => peer.offer(head),
  })),
  {
    name: "G-D-15: a head that is in flight",
    code: "head-in-flight",
    act: (peer) => peer.offer(0),
  },
  ...[SIZE, 0xffff].map((next) => ({
    name: `H-V-02: next ${next}`,
    code: "next-out-of-range",
    act: (peer: RawSplitDriver, { buffer }: { buffer: number }) =>
      offerDesc(peer, 1, { addr: peer.bus(buffer), len: 4, flags: NEXT, next }),
  })),
  ...[3, 7, 0xffff].map((next) => ({
    name: `H-V-02: next ${next} in a table of 3`,
    code: "next-out-of-range",
    act: (peer: RawSplitDriver, { buffer, table }: { buffer: number; table: number }) => {
      peer.indirect(table, elementsAt(buffer, [1, 2, 3]));
      peer.setU16(table + 16 + 14, next);
    },
  })),
  {
    name: "H-V-03: a chain that links to itself",
    code: "chain-too-long",
    index: 1,
    act: (peer, { buffer }) => offerDesc(peer, 1, { addr: peer.bus(buffer), len: 4, flags: NEXT, next: 1 }),
  },
  {
    name: "H-V-03: a chain that runs in a circle of two",
    code: "chain-too-long",
    act: (peer, { buffer }) => {
      peer.writeDesc(2, { addr: peer.bus(buffer), len: 4, flags: NEXT, next: 1 });
      offerDesc(peer, 1, { addr: peer.bus(buffer), len: 4, flags: NEXT, next: 2 });
    },
  },
  {
    name: "H-V-03: a circle of elements without bytes",
    code: "chain-too-long",
    act: (peer) => offerDesc(peer, 1, { flags: NEXT, next: 1 }),
  },
  {
    name: "H-V-03: a table whose entries run in a circle",
    code: "chain-too-long",
    act: (peer, { buffer, table }) => {
      peer.indirect(table, elementsAt(buffer, [1, 2]));
      peer.writeDesc(1, { addr: peer.bus(buffer), len: 2, flags: NEXT, next: 0 }, table);
    },
  },
  {
    name: "S-D-07: a direct chain whose table would set the bound again",
    code: "chain-too-long",
    act: (peer, { buffer, table }) => {
      peer.indirect(table, elementsAt(buffer, new Array(SIZE).fill(1)), {
        direct: elementsAt(buffer, [1]),
      });
    },
  },
  {
    name: "S-D-05: INDIRECT that was not negotiated",
    code: "indirect-not-negotiated",
    options: { features: features("split", "EVENT_IDX") },
    act: (peer, { buffer, table }) => {
      peer.indirect(table, elementsAt(buffer, [1]));
    },
  },
  {
    name: "H-V-08: INDIRECT together with NEXT",
    code: "indirect-with-next",
    act: (peer, { buffer, table }) => {
      peer.indirect(table, elementsAt(buffer, [1]), { flags: NEXT });
    },
  },
  {
    name: "H-V-08: a table that holds an INDIRECT descriptor",
    code: "nested-indirect",
    act: (peer, { buffer, table }) => {
      peer.indirect(table, elementsAt(buffer, [1, 2]));
      peer.writeDesc(1, { addr: peer.bus(table), len: 16, flags: INDIRECT }, table);
    },
  },
  {
    name: "H-V-03: a table that is the descriptor table itself",
    code: "nested-indirect",
    act: (peer) =>
      offerDesc(peer, 1, {
        addr: peer.bus(peer.places.desc + 16),
        len: 16 * (SIZE - 1),
        flags: INDIRECT,
      }),
  },
  {
    name: "H-V-03: a table that is the descriptor table, whose entries run in a circle",
    code: "chain-too-long",
    act: (peer, { buffer }) => {
      peer.writeDesc(2, { addr: peer.bus(buffer), len: 1, flags: NEXT, next: 0 });
      offerDesc(peer, 1, { addr: peer.bus(peer.places.desc + 32), len: 16 * 4, flags: INDIRECT });
    },
  },
  ...[0, 8, 24, 16 * (SIZE + 1), 2 ** 20, 2 ** 32 - 16].map((len) => ({
    name: `H-V-04: a table of ${len} bytes`,
    code: "table-length",
    act: (peer: RawSplitDriver, { table }: { table: number }) =>
      offerDesc(peer, 1, { addr: peer.bus(table), len, flags: INDIRECT }),
  })),
  {
    name: "H-V-04: a table that crosses the end of the window",
    code: "table-address",
    act: (peer, { end }) => offerDesc(peer, 1, { addr: peer.bus(end - 16), len: 32, flags: INDIRECT }),
  },
  {
    name: "H-V-04: a table that starts before the window",
    code: "table-address",
    act: (peer, { base }) => offerDesc(peer, 1, { addr: peer.bus(base - 16), len: 32, flags: INDIRECT }),
  },
  {
    name: "H-V-04: a table near 2^64",
    code: "table-address",
    act: (peer) => offerDesc(peer, 1, { addr: 0xffff_ffff_ffff_fff0n, len: 32, flags: INDIRECT }),
  },
  ...[
    ["near 2^64", NOWHERE, 16],
    ["that wraps 2^64", 0xffff_ffff_ffff_fff0n, 32],
    ["that ends at 2^64", 0xffff_ffff_ffff_fff0n, 16],
    ["at 2^32", 1n << 32n, 1],
  ].map(([where, addr, len]) => ({
    name: `H-V-05: a buffer ${where}`,
    code: "buffer-address",
    act: (peer: RawSplitDriver) => offerDesc(peer, 1, { addr: addr as bigint, len: len as number }),
  })),
  {
    name: "H-V-05: a buffer that ends one byte past the window",
    code: "buffer-address",
    act: (peer, { end }) => offerDesc(peer, 1, { addr: peer.bus(end - 10), len: 11 }),
  },
  {
    name: "H-V-05: a buffer that starts one byte before the window, in the engine's private part",
    code: "buffer-address",
    act: (peer, { base }) => offerDesc(peer, 1, { addr: peer.bus(base - 1), len: 2, flags: WRITE }),
  },
  {
    name: "H-V-05: a buffer of 2^32 - 1 bytes",
    code: "buffer-address",
    act: (peer, { base }) => offerDesc(peer, 1, { addr: peer.bus(base), len: 0xffff_ffff }),
  },
  {
    name: "H-V-05: a buffer nowhere, in a table",
    code: "buffer-address",
    act: (peer, { buffer, table }) => {
      peer.indirect(table, elementsAt(buffer, [1, 2]));
      peer.writeDesc(1, { addr: NOWHERE, len: 2 }, table);
    },
  },
  {
    name: "H-V-08: a readable element behind a writable one",
    code: "readable-after-writable",
    act: (peer, { buffer }) => {
      peer.writeDesc(2, { addr: peer.bus(buffer), len: 4 });
      offerDesc(peer, 1, { addr: peer.bus(buffer), len: 4, flags: NEXT | WRITE, next: 2 });
    },
  },
  {
    name: "H-V-08: a readable element in a table behind a writable direct one",
    code: "readable-after-writable",
    act: (peer, { buffer, table }) => {
      peer.indirect(table, elementsAt(buffer, [4]), { direct: elementsAt(buffer, [], [4]) });
    },
  },
];

/** One honest buffer, then the attack, in one burst. */
async function attack({ code, index, options, act }: Attack): Promise<DeviceRig<RawSplitDriver>> {
  const rig = await splitDeviceRig({ size: SIZE, ...options });
  const { engine, device, peer, areas, data } = rig;
  const used = [...areas, { ptr: data.ptr, bytes: 1024 }];
  const canaries = new Canaries(engine.memory, engine.buffers, used);
  peer.add(elementsAt(data.ptr, [10], []));
  act(peer, { buffer: data.ptr, table: data.ptr + 512, end: engine.end, base: engine.sharedBase });
  peer.publish();
  const jumped = code === "avail-idx-jump";
  expectDeviceBroken(engine, device, code, { honest: jumped ? 0 : 1, index });
  expect(peer.usedIdx).toBe(0);
  expect(canaries.bytes).toBeGreaterThan(0);
  expect(canaries.dead()).toEqual([]);
  return rig;
}

describe("a hostile driver on a split ring", () => {
  it.each(ATTACKS)("$name breaks the queue as $code, and nothing else", async (one) => {
    await attack(one);
  });

  it.each([false, true])(
    "S-D-03: a chain of exactly 2^32 bytes is taken, and one byte more is chain-bytes, in a table: %s",
    async (indirect) => {
      const mebi = 2 ** 20;
      for (const last of [0, 1]) {
        const tables = 5000 * 16;
        const { engine, device, peer, data } = await splitDeviceRig({
          size: 8192,
          dataBytes: mebi + tables + 64,
        });
        const all = Array.from({ length: 4096 }, () => ({ ptr: data.ptr + tables, bytes: mebi }));
        if (last) all.push({ ptr: data.ptr, bytes: last });
        if (indirect) peer.indirect(data.ptr, all);
        else peer.add(all);
        peer.publish();
        if (last) {
          expectDeviceBroken(engine, device, "chain-bytes");
          continue;
        }
        expect(device.popBurst(1)).toBe(1);
        expect(device.popped[1]).toBe(4096);
        // Byte counts are words: the one total that needs 33 bits reads as one less.
        expect(device.popped[2]).toBe(0xffff_ffff);
      }
    },
  );

  it("H-V-01: avail.idx that goes back is a jump of nearly 2^16", async () => {
    const { engine, device, peer, data } = await splitDeviceRig({ size: SIZE });
    peer.add(elementsAt(data.ptr, [1]));
    peer.add(elementsAt(data.ptr, [1]));
    peer.publish();
    expect(device.popBurst(8)).toBe(2);
    peer.availIdx = 1;
    expectDeviceBroken(engine, device, "avail-idx-jump");
  });

  it("H-V-02: what a burst found before the fault can be read, and is not used any more", async () => {
    const { engine, device, peer, data } = await splitDeviceRig({ size: SIZE });
    for (const bytes of [10, 20, 30]) peer.add(elementsAt(data.ptr, [bytes]));
    peer.offer(999);
    peer.publish();
    const chains = device.pop();
    expect(chains.map(({ readableBytes }) => readableBytes)).toEqual([10, 20, 30]);
    expect(device.violation).toMatchObject({ code: "head-out-of-range", index: 999, requirement: "H-V-02" });
    expect(device.violation?.message).toMatch(/^queue 0 is broken: .*, at 999 \(H-V-02\)$/);
    expect(() => device.markUsed(chains[0].handle, 0)).toThrow(
      expect.objectContaining({ code: "head-out-of-range" }),
    );
    expect(engine.devices[0].configNotifications).toBe(1);
  });

  it("G-V-02: a fault before DRIVER_OK can't happen, and after one no other queue of the device is worked", async () => {
    const { engine, device, peer, data } = await splitDeviceRig({ size: SIZE, engine: { queues: 2 } });
    const { driver: other, device: otherDevice } = engine.connect(1, { size: SIZE });
    other.add({ readable: [{ ptr: data.ptr, bytes: 1 }], token: 1 });
    other.publish();
    const [virtio] = engine.devices;
    const running = virtio.status;
    virtio.status = 0x0b;
    peer.offer(999);
    peer.publish();
    expect(device.popBurst(1)).toBe(0);
    expect(device.state).toBe("live");
    virtio.status = running;
    expectDeviceBroken(engine, device, "head-out-of-range");
    expect(otherDevice.state).toBe("live");
    expect(otherDevice.popBurst(1)).toBe(0);
  });

  it("H-V-05: a window that ends or starts in the middle of the packet data is kept to the byte", async () => {
    for (const [from, bytes, honest] of [
      [0, 1, true],
      [4095, 1, true],
      [4095, 2, false],
      [4096, 1, false],
    ] as const) {
      const length = (engine: Engine): number => engine.buffers.ptr + 2048 + 4096 - engine.sharedBase;
      const { engine, device, peer } = await splitDeviceRig({
        size: SIZE,
        window: (engine) => ({
          base: 0x7_0000_0000n,
          length: BigInt(length(engine)),
          offset: engine.sharedBase,
        }),
      });
      const ptr = engine.buffers.ptr + 2048 + from;
      peer.add([{ ptr, bytes }]);
      peer.publish();
      if (honest) expect(device.pop()).toMatchObject([{ readable: [{ ptr, bytes }] }]);
      else expectDeviceBroken(engine, device, "buffer-address");
    }
  });
});

describe("a hostile device on a split ring", () => {
  const tokens = [11, 12, 13];

  /** Three buffers out: one element, three elements in a chain, two in a table. */
  async function out(inOrder = false) {
    const rig = await splitDriverRig({
      size: SIZE,
      tables: "heap",
      features: inOrder ? features("split", "INDIRECT_DESC", "IN_ORDER") : undefined,
    });
    const { engine, driver, peer, data } = rig;
    driver.add({ readable: [{ ptr: data.ptr, bytes: 4 }], token: 11 });
    driver.add({ ...bufferOf(elementsAt(data.ptr, [1, 2], [3])), token: 12 });
    driver.add({ ...bufferOf(elementsAt(data.ptr, [4], [5])), token: 13 });
    driver.publish();
    const taken = peer.take();
    const canaries = new Canaries(engine.memory, engine.buffers, []);
    return { ...rig, taken, canaries };
  }

  it.each([4, 0x7fff, 0xffff])(
    "H-D-02: used.idx that jumps by %i with three buffers out is used-idx-jump",
    async (jump) => {
      for (const inOrder of [false, true]) {
        const { engine, driver, peer, canaries } = await out(inOrder);
        peer.usedIdx = jump;
        expectDriverBroken(engine, driver, "used-idx-jump", tokens);
        expect(canaries.dead()).toEqual([]);
      }
    },
  );

  it("H-D-02: used.idx that goes back is a jump", async () => {
    const { engine, driver, peer, taken } = await out();
    peer.use(taken[0], 0);
    peer.publish();
    expect(driver.reclaim()).toEqual([{ token: 11, len: 0 }]);
    peer.usedIdx = 0;
    expectDriverBroken(engine, driver, "used-idx-jump", [12, 13]);
  });

  it.each([SIZE, 0xffff, 0x1_0000, 0x1_0001, 0xffff_ffff])(
    "H-D-01: used id %i is out of range, also with low bits that are not",
    async (id) => {
      for (const inOrder of [false, true]) {
        const { engine, driver, peer, canaries } = await out(inOrder);
        peer.use({ id }, 0);
        peer.publish();
        expectDriverBroken(engine, driver, "used-id-out-of-range", tokens, { index: id });
        expect(canaries.dead()).toEqual([]);
      }
    },
  );

  it("H-D-01: a free descriptor as used id names no buffer", async () => {
    for (const inOrder of [false, true]) {
      const { engine, driver, peer } = await out(inOrder);
      peer.use({ id: SIZE - 1 }, 0);
      peer.publish();
      expectDriverBroken(engine, driver, "used-id-not-outstanding", tokens, { index: SIZE - 1 });
    }
  });

  it("H-D-01: a descriptor in the middle of a chain as used id names no buffer", async () => {
    const { engine, driver, peer, data } = await splitDriverRig({ size: SIZE, tables: "direct" });
    driver.add({ ...bufferOf(elementsAt(data.ptr, [1, 2, 3])), token: 1 });
    driver.publish();
    const [head] = peer.heads();
    peer.use({ id: peer.readDesc(head).next }, 0);
    peer.publish();
    expectDriverBroken(engine, driver, "used-id-not-outstanding", [1]);
  });

  it("H-D-01: the second descriptor of a buffer with a direct head names no buffer", async () => {
    const { engine, driver, peer, data } = await splitDriverRig({ size: SIZE, directHead: true });
    driver.add({ ...bufferOf(elementsAt(data.ptr, [1, 2, 3])), token: 1 });
    driver.publish();
    const [head] = peer.heads();
    peer.use({ id: peer.readDesc(head).next }, 0);
    peer.publish();
    expectDriverBroken(engine, driver, "used-id-not-outstanding", [1]);
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

  it("H-D-01: with IN_ORDER a used element that skips more buffers than used.idx says is an error", async () => {
    const { engine, driver, peer, taken } = await out(true);
    peer.use(taken[2], 0);
    peer.publish();
    expectDriverBroken(engine, driver, "used-id-not-outstanding", tokens);
  });
});
