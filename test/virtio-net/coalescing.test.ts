/** Notification coalescing of the device half (5.1.9.5.10), on a clock that the test moves. */
import { describe, expect, it } from "vitest";
import { RING_FORMATS } from "../../src/names.ts";
import { otherFrame } from "./packets.ts";
import { F, type RawDriverRig, rawDriverRig } from "./rig.ts";

const FEATURES = F.CTRL_VQ | F.NOTF_COAL | F.VQ_NOTF_COAL | F.MRG_RXBUF;

function le32(...values: number[]): number[] {
  return values.flatMap((value) => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24]);
}
const rxSet = (packets: number, usecs: number): number[] => [6, 1, ...le32(packets, usecs)];
const txSet = (packets: number, usecs: number): number[] => [6, 0, ...le32(packets, usecs)];
const vqSet = (queue: number, packets: number, usecs: number): number[] => [
  6,
  2,
  queue,
  0,
  0,
  0,
  ...le32(packets, usecs),
];

function vqGet(rig: RawDriverRig, queue: number): number[] {
  const { answer, len } = rig.command([6, 3, queue, 0, 0, 0], 9);
  if (answer[0] !== 0) return [];
  expect(len).toBe(9);
  const view = new DataView(answer.buffer);
  return [view.getUint32(1, true), view.getUint32(5, true)];
}

function receive(rig: RawDriverRig, frames: number): void {
  for (let k = 0; k < frames; k++) {
    rig.post(0, [100]);
    rig.net.giveFrames([{ bytes: otherFrame(60) }]);
  }
}

describe.each(RING_FORMATS)("%s", (format) => {
  it("Q-V-03: due after max_packets or max_usecs, whichever comes first; after each packet if either is 0", async () => {
    const rig = await rawDriverRig({ format, features: FEATURES, reserved: 0n });
    receive(rig, 2);
    expect(rig.interrupts[0]).toBe(2);
    expect(rig.command(rxSet(15, 10)).answer[0]).toBe(0);
    rig.net.tick(100);
    receive(rig, 14);
    expect(rig.interrupts[0]).toBe(2);
    // What was used is shown at once; only the interrupt waits.
    expect(rig.driver.queue(0).reclaim()).toHaveLength(16);
    receive(rig, 1);
    expect(rig.interrupts[0]).toBe(3);
    receive(rig, 1);
    rig.net.tick(109);
    expect(rig.interrupts[0]).toBe(3);
    rig.net.tick(110);
    expect(rig.interrupts[0]).toBe(4);
    rig.net.tick(1000);
    expect(rig.interrupts[0]).toBe(4);
    for (const [packets, usecs] of [
      [0, 10],
      [15, 0],
    ]) {
      rig.command(rxSet(packets, usecs));
      const before = rig.interrupts[0];
      receive(rig, 3);
      expect(rig.interrupts[0]).toBe(before + 3);
    }
  });

  it("Q-V-03: a change is evaluated at once, and the latest setter wins", async () => {
    const rig = await rawDriverRig({ format, features: FEATURES, reserved: 0n });
    rig.command(rxSet(15, 1000));
    receive(rig, 10);
    expect(rig.interrupts[0]).toBe(0);
    rig.command(rxSet(8, 1000));
    expect(rig.interrupts[0]).toBe(1);
    rig.command(vqSet(0, 3, 1000));
    receive(rig, 3);
    expect(rig.interrupts[0]).toBe(2);
    rig.command(rxSet(5, 1000));
    receive(rig, 4);
    expect(rig.interrupts[0]).toBe(2);
    receive(rig, 1);
    expect(rig.interrupts[0]).toBe(3);
  });

  it("Q-V-03: the clock may pass 2^32, and transmit queues have their own parameters", async () => {
    const rig = await rawDriverRig({ format, features: FEATURES, reserved: 0n });
    rig.command(txSet(100, 50));
    rig.net.tick(2 ** 32 - 20);
    rig.send(1, [new Uint8Array(12), otherFrame()]);
    rig.net.takeFrames();
    rig.net.tick(29);
    expect(rig.interrupts[1]).toBe(0);
    rig.net.tick(30);
    expect(rig.interrupts[1]).toBe(1);
  });

  it("Q-V-04: what the ring says has the last word", async () => {
    const rig = await rawDriverRig({ format, features: FEATURES, reserved: 0n });
    rig.command(rxSet(2, 1000));
    rig.driver.queue(0).suppress();
    receive(rig, 4);
    rig.net.tick(5000);
    expect(rig.interrupts[0]).toBe(0);
    rig.driver.queue(0).arm();
    receive(rig, 2);
    expect(rig.interrupts[0]).toBe(1);
    expect(rig.net.statistics()).toMatchObject({ rx_notifications: 1 });
  });

  it("Q-V-04: with EVENT_IDX an event that lies in what waited is enough, one that does not is none", async () => {
    const rig = await rawDriverRig({ format, features: FEATURES });
    rig.command(rxSet(4, 1000));
    rig.driver.queue(0).arm(10);
    receive(rig, 4);
    expect(rig.interrupts[0]).toBe(0);
    receive(rig, 7);
    expect(rig.interrupts[0]).toBe(0);
    receive(rig, 1);
    expect(rig.interrupts[0]).toBe(1);
  });

  it("Q-V-02: a queue reset restores the parameters of all its kind, a device reset zeroes them", async () => {
    const rig = await rawDriverRig({ format, features: FEATURES });
    rig.command(rxSet(7, 70));
    rig.command(txSet(9, 90));
    rig.command(vqSet(0, 1, 2));
    rig.command(vqSet(1, 3, 4));
    expect([vqGet(rig, 0), vqGet(rig, 1)]).toEqual([
      [1, 2],
      [3, 4],
    ]);
    for (const queue of [0, 1]) {
      rig.driver.resetQueue(queue);
      expect(vqGet(rig, queue)).toEqual([]);
      rig.driver.enableQueue({ index: queue });
    }
    expect([vqGet(rig, 0), vqGet(rig, 1)]).toEqual([
      [7, 70],
      [9, 90],
    ]);
    rig.driver.start();
    expect([vqGet(rig, 0), vqGet(rig, 1)]).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });
});

it("Q-V-01: anything but an enabled receive or transmit queue is an error; reserved words are ignored", async () => {
  const rig = await rawDriverRig({ pairs: 2, features: FEATURES | F.MQ, queues: [0, 1, 3, 4] });
  for (const queue of [2, 4, 5, 255]) {
    expect(rig.command(vqSet(queue, 1, 1)).answer[0]).toBe(1);
    expect(vqGet(rig, queue)).toEqual([]);
  }
  expect(rig.command([6, 2, 3, 0, 0xff, 0xff, ...le32(5, 6)]).answer[0]).toBe(0);
  expect(vqGet(rig, 3)).toEqual([5, 6]);
  const { answer } = rig.command([6, 3, 3, 0, 0, 0], 8);
  expect(answer[0]).toBe(1);
});

it("decides about everything that waits before it is suspended", async () => {
  const rig = await rawDriverRig({ features: FEATURES });
  rig.command(rxSet(100, 1000));
  receive(rig, 3);
  expect(rig.interrupts[0]).toBe(0);
  rig.driver.suspend();
  expect(rig.interrupts[0]).toBe(1);
  expect(rig.net.giveFrames([{ bytes: otherFrame() }])).toBe(0);
  rig.net.tick(5000);
  rig.driver.resume();
  receive(rig, 1);
  rig.net.tick(7000);
  expect(rig.interrupts[0]).toBe(1);
});
