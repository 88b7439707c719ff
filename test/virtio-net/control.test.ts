/** The control queue of both halves (5.1.9.5): commands as bytes, what they change, and those that must change nothing. */
import { describe, expect, it } from "vitest";
import { NET_RECEIVE_MODES } from "../../src/driver/net-commands.ts";
import { RING_FORMATS } from "../../src/names.ts";
import { macBytes } from "../../src/net-address.ts";
import { Random } from "../support/random.ts";
import { otherFrame, packet } from "./packets.ts";
import { ALL_NET, F, MAC, netRig, type RawDriverRig, rawDeviceRig, rawDriverRig } from "./rig.ts";

const OK = [0];
const ERR = [1];
const CTRL = F.CTRL_VQ | F.CTRL_RX | F.CTRL_RX_EXTRA | F.CTRL_VLAN | F.CTRL_MAC_ADDR | F.MRG_RXBUF;

function le16(...values: number[]): number[] {
  return values.flatMap((value) => [value & 0xff, value >> 8]);
}
function le32(...values: number[]): number[] {
  return values.flatMap((value) => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24]);
}

/** The answer's bytes, of a command that is not cut. */
function run(rig: RawDriverRig, ...bytes: number[]): number[] {
  const { answer, len } = rig.command(bytes);
  expect(len).toBe(1);
  return [...answer];
}

/** Whether the device delivers a frame, with buffers enough. */
function passes(rig: RawDriverRig, frame: Uint8Array, queue = 0): boolean {
  rig.post(queue, [2000]);
  const before = rig.net.statistics().rx_packets;
  rig.net.giveFrames([{ bytes: frame }]);
  rig.driver.queue(queue).reclaim();
  return rig.net.statistics().rx_packets === before + 1;
}

describe.each(RING_FORMATS)("%s", (format) => {
  it("C-B-01: a command may be cut in any way; the answer is one byte, behind which nothing is written", async () => {
    const rig = await rawDriverRig({ format, features: CTRL, reserved: 0n });
    const random = new Random(3);
    const command = [
      1,
      0,
      ...le32(1),
      ...macBytes("02:00:00:00:00:01"),
      ...le32(1),
      ...macBytes("33:33:00:00:00:01"),
    ];
    for (let round = 0; round < 30; round++) {
      const cuts = Array.from({ length: random.int(0, 5) }, () => random.int(1, command.length - 1));
      const { answer, len } = rig.command(
        command,
        4,
        [...new Set(cuts)].sort((a, b) => a - b),
      );
      expect([[...answer], len]).toEqual([[0, 0xff, 0xff, 0xff], 1]);
    }
    expect(rig.interrupts[2]).toBeGreaterThan(0);
  });
});

describe("the driver half", () => {
  /** A device that keeps what it is told, and answers. */
  async function recorder(
    features: bigint,
    answer = 0,
  ): Promise<{ drv: Awaited<ReturnType<typeof rawDeviceRig>>["drv"]; commands: number[][] }> {
    const commands: number[][] = [];
    const rig = await rawDeviceRig({
      pairs: 4,
      features,
      driver: { receiveBuffers: 4 },
      onKick: (raw, queue) => {
        if (queue !== (features & (F.MQ | F.RSS) ? 8 : 2)) return;
        const half = raw.core.queue(queue);
        for (const chain of half?.pop() ?? []) {
          commands.push(
            chain.readable.flatMap(({ ptr, bytes: count }) => [...(half?.engine.bytes(ptr, count) ?? [])]),
          );
          // The answer was no success before the device gave one.
          const [{ ptr, bytes: room }] = chain.writable;
          expect(half?.engine.bytes(ptr, room).every((byte) => byte === 0xff)).toBe(true);
          half?.engine.bytes(ptr, 1).set([answer]);
          half?.markUsed(chain.handle, room);
        }
        half?.arm();
        raw.core.publishUsed(queue);
      },
    });
    commands.length = 0;
    return { drv: rig.drv, commands };
  }

  it("C-D-02: MAC tables are two counted lists, either of which may be empty", async () => {
    const { drv, commands } = await recorder(CTRL);
    const [a, b, c] = ["02:00:00:00:00:01", "02:00:00:00:00:02", "33:33:00:00:00:03"];
    drv.commands.setMacTable([], []);
    drv.commands.setMacTable([a, b], []);
    drv.commands.setMacTable([], [c, c, c]);
    const mac = (text: string): number[] => [...macBytes(text)];
    expect(commands).toEqual([
      [1, 0, ...le32(0), ...le32(0)],
      [1, 0, ...le32(2), ...mac(a), ...mac(b), ...le32(0)],
      [1, 0, ...le32(0), ...le32(3), ...mac(c), ...mac(c), ...mac(c)],
    ]);
    drv.commands.setMac(a);
    expect(commands.at(-1)).toEqual([1, 1, ...mac(a)]);
  });

  it("C-D-01, Q-D-01: every command needs its feature, and is not sent without", async () => {
    const { drv, commands } = await recorder(F.CTRL_VQ);
    const calls = [
      () => drv.commands.setReceiveMode("promiscuous", true),
      () => drv.commands.setReceiveMode("noBroadcast", true),
      () => drv.commands.setMacTable([], []),
      () => drv.commands.setMac(MAC),
      () => drv.commands.setVlan(1, true),
      () => drv.commands.acknowledgeAnnounce(),
      () => drv.commands.setPairs(1),
      () => drv.commands.setRss({ hashTypes: 0, table: [0], key: new Uint8Array(40) }),
      () => drv.commands.setHash(0, new Uint8Array(40)),
      () => drv.commands.setOffloads(0n),
      () => drv.commands.setCoalescing("receive", { maxPackets: 1, maxUsecs: 1 }),
      () => drv.commands.setQueueCoalescing(0, { maxPackets: 1, maxUsecs: 1 }),
      () => drv.commands.queueCoalescing(0),
    ];
    for (const call of calls) expect(call).toThrow(expect.objectContaining({ code: "not-negotiated" }));
    const without = await recorder(ALL_NET & ~F.CTRL_VQ);
    expect(() => without.drv.commands.setReceiveMode("promiscuous", true)).toThrow(
      expect.objectContaining({ code: "not-negotiated" }),
    );
    expect(commands).toEqual([]);
  });

  it("Q-D-01: coalescing as bytes; a queue that is none is refused, and what comes with a failure is ignored", async () => {
    const { drv, commands } = await recorder(F.CTRL_VQ | F.NOTF_COAL | F.VQ_NOTF_COAL | F.MQ);
    drv.commands.setCoalescing("transmit", { maxPackets: 3, maxUsecs: 0x10000 });
    drv.commands.setCoalescing("receive", { maxPackets: 4, maxUsecs: 5 });
    drv.commands.setQueueCoalescing(7, { maxPackets: 6, maxUsecs: 7 });
    expect(drv.commands.queueCoalescing(1)).toEqual({ maxPackets: 0xffffffff, maxUsecs: 0xffffffff });
    expect(commands).toEqual([
      [6, 0, ...le32(3, 0x10000)],
      [6, 1, ...le32(4, 5)],
      [6, 2, ...le16(7, 0), ...le32(6, 7)],
      [6, 3, ...le16(1, 0)],
    ]);
    for (const queue of [8, 9, -1])
      expect(() => drv.commands.setQueueCoalescing(queue, { maxPackets: 1, maxUsecs: 1 })).toThrow("must be");
    expect(commands).toHaveLength(4);
    const failing = await recorder(F.CTRL_VQ | F.VQ_NOTF_COAL, 1);
    expect(() => failing.drv.commands.queueCoalescing(0)).toThrow(
      expect.objectContaining({ code: "command-failed" }),
    );
  });

  it("R-D-01: RSS as bytes, and what a driver must not ask for", async () => {
    const { drv, commands } = await recorder(F.CTRL_VQ | F.RSS | F.HASH_REPORT);
    const key = Uint8Array.from({ length: 40 }, (_, k) => k);
    drv.commands.setRss({ hashTypes: 0x3f, table: [0, 1, 2, 3], unclassified: 3, pairs: 4, key });
    expect(commands).toEqual([[4, 1, ...le32(0x3f), ...le16(3, 3, 0, 1, 2, 3, 4), 40, ...key]]);
    const good = { hashTypes: 1, table: [0], key };
    for (const wrong of [
      { ...good, table: [0, 1, 2] },
      { ...good, table: [] },
      { ...good, table: new Array(256).fill(0) },
      { ...good, table: [4] },
      { ...good, table: [0x8000] },
      { ...good, unclassified: 4 },
      { ...good, pairs: 5 },
      { ...good, hashTypes: 0x200 },
      { ...good, key: new Uint8Array(41) },
    ])
      expect(() => drv.commands.setRss(wrong)).toThrow(expect.objectContaining({ code: "config" }));
    expect(commands).toHaveLength(1);
    const hash = await recorder(F.CTRL_VQ | F.HASH_REPORT);
    hash.drv.commands.setHash(5, key);
    expect(hash.commands).toEqual([[4, 2, ...le32(5), ...le16(0, 0, 0, 0), 40, ...key]]);
  });

  it("M-D-01, C-B-03: queue pairs are within what is there, and offloads within what was negotiated", async () => {
    const { drv, commands } = await recorder(
      F.CTRL_VQ | F.MQ | F.CTRL_GUEST_OFFLOADS | F.GUEST_CSUM | F.GUEST_TSO4,
    );
    for (const pairs of [0, 5]) expect(() => drv.commands.setPairs(pairs)).toThrow("queue pairs");
    drv.commands.setPairs(3);
    drv.commands.setOffloads(F.GUEST_CSUM);
    expect(() => drv.commands.setOffloads(F.GUEST_TSO6)).toThrow("C-B-03");
    expect(commands).toEqual([
      [4, 0, ...le16(3)],
      [5, 0, 2, 0, 0, 0, 0, 0, 0, 0],
    ]);
  });

  it("M-D-02: a pair is sent on once the command is done, and no more when the one for fewer is placed", async () => {
    let answering = true;
    const seen: number[] = [];
    const rig = await rawDeviceRig({
      pairs: 4,
      features: F.CTRL_VQ | F.MQ,
      driver: { receiveBuffers: 4 },
      start: false,
      onKick: (raw, queue) => {
        if (queue !== 8) return;
        const half = raw.core.queue(8);
        for (const chain of half?.pop() ?? []) {
          seen.push(rig.drv.activePairs);
          half?.engine.bytes(chain.writable[0].ptr, 1).set([answering ? 0 : 1]);
          half?.markUsed(chain.handle, 1);
        }
        half?.arm();
        raw.core.publishUsed(8);
      },
    });
    rig.driver.start();
    expect([seen, rig.drv.activePairs]).toEqual([[1], 4]);
    rig.drv.commands.setPairs(2);
    expect([seen, rig.drv.activePairs]).toEqual([[1, 2], 2]);
    expect(() => rig.drv.sendFrames([{ bytes: otherFrame(), pair: 2 }])).toThrow(
      expect.objectContaining({ code: "net-pair" }),
    );
    answering = false;
    expect(() => rig.drv.commands.setPairs(4)).toThrow(expect.objectContaining({ code: "command-failed" }));
    expect(rig.drv.activePairs).toBe(2);
  });

  it("waits for an answer as long as it was told, then gives up, and takes no other command until a reset", async () => {
    const rig = await rawDeviceRig({ features: F.CTRL_VQ | F.CTRL_RX, driver: { receiveBuffers: 4 } });
    for (let k = 0; k < 2; k++)
      expect(() => rig.drv.commands.setReceiveMode("promiscuous", true)).toThrow(
        expect.objectContaining({ code: "command-timeout" }),
      );
    rig.driver.start();
    expect(() => rig.drv.commands.setReceiveMode("promiscuous", true)).toThrow("class 0");
  });
});

describe("the device half", () => {
  it("C-V-01: receive modes, each alone and all together, by what kind of destination passes", async () => {
    const rig = await rawDriverRig({ features: CTRL });
    const destinations = {
      own: MAC,
      unicast: "02:00:00:00:00:09",
      multicast: "01:00:5e:00:00:01",
      broadcast: "ff:ff:ff:ff:ff:ff",
    };
    const bits = Object.values(NET_RECEIVE_MODES);
    const wrong: string[] = [];
    for (let modes = 0; modes < 64; modes++) {
      for (const bit of bits) expect(run(rig, 0, bit, (modes >> bit) & 1)).toEqual(OK);
      const [promisc, allMulti, allUni, noMulti, noUni, noBcast] = bits.map(
        (bit) => ((modes >> bit) & 1) === 1,
      );
      const expected = {
        own: promisc || !noUni,
        unicast: promisc || (!noUni && allUni),
        multicast: promisc || (!noMulti && allMulti),
        broadcast: promisc || !noBcast,
      };
      for (const [name, mac] of Object.entries(destinations)) {
        if (passes(rig, otherFrame(60, mac)) !== expected[name as keyof typeof expected])
          wrong.push(`${modes} ${name}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(rig.net.statistics().rx_drop_mac).toBeGreaterThan(0);
  });

  it("C-V-02: the tables and the address change with the command, and a reset empties them", async () => {
    const rig = await rawDriverRig({ features: CTRL | F.MAC });
    const [other, group, own] = ["02:00:00:00:00:09", "33:33:00:00:00:01", "02:00:00:00:00:77"];
    const through = (): boolean[] => [other, group, own, MAC].map((mac) => passes(rig, otherFrame(60, mac)));
    expect(through()).toEqual([false, false, false, true]);
    expect(run(rig, 1, 0, ...le32(1), ...macBytes(other), ...le32(1), ...macBytes(group))).toEqual(OK);
    expect(through()).toEqual([true, true, false, true]);
    expect(run(rig, 1, 1, ...macBytes(own))).toEqual(OK);
    expect(through()).toEqual([true, true, true, false]);
    expect(Array.from({ length: 6 }, (_, at) => rig.device.readConfig(at, 1))).toEqual([...macBytes(own)]);
    expect(run(rig, 1, 0, ...le32(0), ...le32(0))).toEqual(OK);
    expect(through()).toEqual([false, false, true, false]);
    rig.driver.start();
    expect(through()).toEqual([false, false, false, true]);
    // More than the device keeps: every address of that kind passes, and none is lost.
    const many = Array.from({ length: 65 }, (_, k) => [2, 0, 0, 0, 1, k]).flat();
    expect(run(rig, 1, 0, ...le32(65), ...many, ...le32(0))).toEqual(OK);
    expect(through()).toEqual([true, false, true, true]);
  });

  it("C-V-03: with CTRL_VLAN listed ids pass and no other; without it all tagged frames do", async () => {
    const rig = await rawDriverRig({ features: CTRL });
    const tagged = (vlan: number): Uint8Array => packet({ vlan });
    const through = (): boolean[] => [passes(rig, tagged(1)), passes(rig, tagged(2)), passes(rig, packet())];
    expect(through()).toEqual([false, false, true]);
    expect(run(rig, 2, 0, ...le16(2))).toEqual(OK);
    expect(through()).toEqual([false, true, true]);
    expect(run(rig, 2, 0, ...le16(1))).toEqual(OK);
    expect(run(rig, 2, 1, ...le16(2))).toEqual(OK);
    expect(through()).toEqual([true, false, true]);
    expect(rig.net.statistics().rx_drop_vlan).toBeGreaterThan(0);
    const without = await rawDriverRig({ features: CTRL & ~F.CTRL_VLAN });
    expect(passes(without, tagged(1))).toBe(true);
  });

  it("C-B-02: the announcement bit is shown, announced, and cleared before its acknowledgement is used", async () => {
    const announced: number[] = [];
    const { net, drv, device } = await netRig({
      features: F.CTRL_VQ | F.GUEST_ANNOUNCE | F.STATUS,
      driver: { onAnnounce: () => announced.push(device.readConfig(6, 1)) },
    });
    expect(net.announce()).toBe(true);
    // The bit was there when the driver was told, and is gone once its command is used.
    expect(announced).toEqual([3]);
    expect(device.readConfig(6, 1)).toBe(1);
    expect(drv.config.linkUp).toBe(true);
    const without = await netRig({ features: F.CTRL_VQ | F.STATUS });
    expect(without.net.announce()).toBe(false);
  });

  it("C-B-03: offloads start on, SET replaces them, and only negotiated ones can be turned on", async () => {
    const rig = await rawDriverRig({
      features: F.MRG_RXBUF | F.CTRL_VQ | F.CTRL_GUEST_OFFLOADS | F.GUEST_CSUM | F.GUEST_TSO4,
    });
    const large = packet({ payload: 3000, checksum: "seeded" });
    const header = { flags: 1, gsoType: 1, gsoSize: 1000, csumStart: 34, csumOffset: 16 };
    const headers = (): number[][] => {
      const posted = Array.from({ length: 4 }, () => rig.post(0, [3200])[0].ptr);
      rig.net.giveFrames([{ bytes: large, header }]);
      const used = rig.driver.queue(0).reclaim();
      const seen = posted.slice(0, used.length).map((ptr) => [...rig.engine.bytes(ptr, 2)]);
      // The rest of the buffers are used up by frames that say nothing.
      rig.net.giveFrames(Array.from({ length: 4 - used.length }, () => ({ bytes: otherFrame() })));
      rig.driver.queue(0).reclaim();
      return seen;
    };
    expect(headers()).toEqual([[1, 1]]);
    expect(run(rig, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0)).toEqual(OK);
    expect(headers()).toEqual([
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
    expect(run(rig, 5, 0, 2, 1, 0, 0, 0, 0, 0, 0)).toEqual(ERR);
    expect(headers()).toEqual([
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
    expect(run(rig, 5, 0, 0x82, 0, 0, 0, 0, 0, 0, 0)).toEqual(OK);
    expect(headers()).toEqual([[1, 1]]);
  });

  const KEY = Array.from({ length: 40 }, (_, k) => k);
  const GOOD: [string, number[]][] = [
    ["RX", [0, 0, 1]],
    ["MAC_TABLE_SET", [1, 0, ...le32(1), 2, 0, 0, 0, 0, 1, ...le32(0)]],
    ["MAC_ADDR_SET", [1, 1, 2, 0, 0, 0, 0, 1]],
    ["VLAN_ADD", [2, 0, ...le16(5)]],
    ["VQ_PAIRS_SET", [4, 0, ...le16(2)]],
    ["RSS_CONFIG", [4, 1, ...le32(1), ...le16(1, 0, 0, 1, 2), 40, ...KEY]],
    ["GUEST_OFFLOADS_SET", [5, 0, 2, 0, 0, 0, 0, 0, 0, 0]],
    ["NOTF_COAL_TX_SET", [6, 0, ...le32(1, 1)]],
    ["NOTF_COAL_VQ_SET", [6, 2, ...le16(0, 0), ...le32(1, 1)]],
    ["NOTF_COAL_VQ_GET", [6, 3, ...le16(0, 0)]],
  ];

  it.each(GOOD)(
    "C-B-01: %s cut short anywhere, or too long, is an error and changes nothing",
    async (_name, command) => {
      const rig = await rawDriverRig({ pairs: 2, features: ALL_NET & ~F.HASH_REPORT });
      const { ptr, bytes } = rig.engine.region("device 0 net device");
      const stable = (): Uint8Array => {
        const state = rig.engine.bytes(ptr, bytes).slice();
        return state;
      };
      const control = rig.engine.u32[(rig.net.ptr + rig.engine.wasm.NET_DEVICE_CONTROL.value) >>> 2] - ptr;
      const queues = rig.engine.u32[(rig.net.ptr + rig.engine.wasm.NET_DEVICE_QUEUES.value) >>> 2] - ptr;
      const blocks = 4 * rig.engine.wasm.NET_QUEUE_BLOCK_BYTES.value;
      // All but the command in hand and the control queue's own bookkeeping.
      const compared = (state: Uint8Array): string => {
        const at = rig.engine.wasm.NET_DEVICE_CONTROL_BYTES.value;
        state.fill(0, at, at + 8);
        state.fill(0, control, control + 8192);
        state.fill(0, queues + blocks, queues + blocks + rig.engine.wasm.NET_QUEUE_BLOCK_BYTES.value);
        return Buffer.from(state).toString("base64");
      };
      const before = compared(stable());
      for (let length = 1; length < command.length; length++) {
        expect(rig.command(command.slice(0, length), 9).answer[0], `${length} bytes`).toBe(1);
      }
      for (const longer of [
        [...command, 0],
        [...command, ...new Array(8192).fill(0)],
      ])
        expect(rig.command(longer, 9).answer[0]).toBe(1);
      expect(compared(stable()) === before).toBe(true);
      expect(rig.command(command, 9).answer[0]).toBe(0);
      // Without a place for the answer nothing is done, and the next command is.
      const { len } = rig.command(command, 0);
      expect(len).toBe(0);
      expect(rig.command(command, 9).answer[0]).toBe(0);
      expect(rig.device.readStatus() & 64).toBe(0);
    },
  );

  it.each<[string, number[]]>([
    ["an unknown class", [77, 0, 0]],
    ["statistics, which are not offered", [8, 0]],
    ["tunnel hashes, which are not offered", [7, 0, ...le32(0)]],
    ["an unknown receive mode", [0, 6, 1]],
    ["an unknown MAC command", [1, 2, 2, 0, 0, 0, 0, 1]],
    ["VLAN id 4096", [2, 0, ...le16(4096)]],
    ["an unknown VLAN command", [2, 2, ...le16(1)]],
    ["0 queue pairs", [4, 0, ...le16(0)]],
    ["3 queue pairs of 2", [4, 0, ...le16(3)]],
    ["65535 queue pairs", [4, 0, ...le16(65535)]],
    ["hash types that are not there", [4, 1, ...le32(0x200), ...le16(0, 0, 0, 1), 0]],
    ["a mask that is none", [4, 1, ...le32(1), ...le16(2, 0, 0, 0, 0, 1), 0]],
    ["a table that is too long", [4, 1, ...le32(1), ...le16(255, 0, ...new Array(256).fill(0), 1), 0]],
    ["a table entry that is no receive queue", [4, 1, ...le32(1), ...le16(1, 0, 0, 2, 1), 0]],
    ["an unclassified queue that is none", [4, 1, ...le32(1), ...le16(0, 0x8000, 0, 1), 0]],
    ["0 transmit queues", [4, 1, ...le32(1), ...le16(0, 0, 0, 0), 0]],
    ["a key that is too long", [4, 1, ...le32(1), ...le16(0, 0, 0, 1), 41, ...KEY, 0]],
    ["a MAC table with 2^32 - 1 entries", [1, 0, ...le32(0xffffffff), 2, 0, 0, 0, 0, 1]],
    ["a second MAC table that is longer than the command", [1, 0, ...le32(0), ...le32(0xffffffff)]],
    ["offloads that were not negotiated", [5, 0, 0, 0, 0, 0, 1, 0, 0, 0]],
    ["an unknown coalescing command", [6, 4, ...le32(1, 1)]],
  ])("C-B-01: answers %s with an error", async (_name, command) => {
    const rig = await rawDriverRig({ pairs: 2, features: ALL_NET & ~F.HASH_REPORT });
    expect(run(rig, ...command)).toEqual(ERR);
    expect(run(rig, 4, 0, ...le16(2))).toEqual(OK);
    expect(rig.device.fault).toBeNull();
  });

  it("C-D-01: answers commands whose feature was not negotiated with an error; ADDR_SET has two", async () => {
    const rig = await rawDriverRig({ features: F.CTRL_VQ });
    for (const [, command] of GOOD) expect(run(rig, ...command)).toEqual(ERR);
    expect(run(rig, 3, 0)).toEqual(ERR);
    for (const feature of [F.CTRL_RX, F.CTRL_MAC_ADDR]) {
      const either = await rawDriverRig({ features: F.CTRL_VQ | feature });
      expect(run(either, 1, 1, 2, 0, 0, 0, 0, 1)).toEqual(OK);
    }
  });
});
