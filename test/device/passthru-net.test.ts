import { describe, expect, test } from "vitest";
import * as abi from "../../assembly/abi.ts";
import type { PassthruState } from "../../src/device/passthru.ts";
import { PassthruNetDevice, type PassthruNetOptions } from "../../src/device/passthru-net.ts";
import { NetDriver, type NetDriverOptions } from "../../src/driver/net.ts";
import type { EngineOptions } from "../../src/engine.ts";
import { Features } from "../../src/features.ts";
import { RING_FORMATS, type RingFormat } from "../../src/names.ts";
import { NetFeatures } from "../../src/net-features.ts";
import { connectInProcess } from "../../src/transport/in-process.ts";
import { framesOf } from "../support/driver-bench.ts";
import { createEngine } from "../support/engine.ts";
import { failPin, Nic, PLAIN, pinsLive, SPLITTING } from "../support/passthru.ts";
import { Random } from "../support/random.ts";

const HEADER = 12;

interface GuestOptions {
  format?: RingFormat;
  device?: PassthruNetOptions;
  driver?: NetDriverOptions;
  engine?: EngineOptions;
}

/** A guest whose card is passed through, with its driver running, and the host's NIC. */
async function guestRig({ format = "split", device, driver, engine: limits }: GuestOptions = {}) {
  const engine = await createEngine({
    ...{ queues: 2, queueSize: 64, passthru: { requests: 128 }, net: { pairs: 1 }, pageLog: true },
    ...{ bufferBytes: 2 << 20, scratchBytes: 1 << 18 },
    ...limits,
  });
  const packed = format === "packed" ? 0n : Features.RING_PACKED;
  const features = ((1n << 128n) - 1n) & ~packed;
  const card = new PassthruNetDevice(engine, { mac: "52:54:00:12:34:56", mtu: 9000, ...device });
  const guest = new NetDriver(engine, { features, ...driver });
  const pair = connectInProcess(engine, card, guest);
  pair.driver.start();
  return { engine, card, guest, face: card.interface, nic: new Nic(engine, card.interface), ...pair };
}

/** Frames for the guest, by the address that they go to. */
function toGuest(bytes: number, count: number, seed = 1): Uint8Array[] {
  const frames = framesOf(bytes, count, seed);
  for (const frame of frames) frame.set([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
  return frames;
}

const bytesOf = (frames: readonly { bytes: Uint8Array }[]): Uint8Array[] => frames.map(({ bytes }) => bytes);
const withoutHeader = (packets: readonly Uint8Array[]): Uint8Array[] =>
  packets.map((p) => p.subarray(HEADER));

describe.each(RING_FORMATS)("a guest behind a NIC that is passed through, %s", (format) => {
  test.each([
    { name: "direct", asked: PLAIN },
    { name: "split", asked: SPLITTING },
  ])("gets and sends frames of all sizes, $name", async ({ asked }) => {
    const { engine, guest, face, nic } = await guestRig({ format, driver: { receiveBytes: 2048 } });
    face.bind(asked);
    let headers = 0;
    for (const bytes of [64, 255, 256, 1500, 9000, 9014]) {
      const [frame] = toGuest(bytes, 1, bytes);
      expect(nic.receive(frame)).toEqual([]);
      expect(bytesOf(guest.receiveFrames())).toEqual([frame]);
      guest.sendFrames([{ bytes: frame }]);
      expect(withoutHeader(nic.send())).toEqual([frame]);
      headers += Math.min(128, bytes) * (asked.packetSplit ? 2 : 1);
    }
    expect(face.counters()).toMatchObject({
      cpuCopies: 0,
      headerCopyBytes: headers,
      writes: 6,
      stackPackets: 0,
    });
    // What the guest has posted is the NIC's; what was sent is not.
    expect(pinsLive(engine)).toBeGreaterThan(0);
    face.unbind();
    expect([pinsLive(engine), face.lost()]).toEqual([0, 0]);
  });

  test("keeps the order of what it is sent, loses nothing and leaves nothing while NICs come and go under traffic", async () => {
    const states: PassthruState[] = [];
    const link: boolean[] = [];
    const { engine, card, guest, face, nic, device } = await guestRig({
      format,
      device: { onState: (state) => states.push(state) },
      driver: { onConfig: () => link.push(guest.config.linkUp) },
    });
    const random = new Random(11);
    const frames = toGuest(700, 400, 3).map((frame, k) => {
      new DataView(frame.buffer, frame.byteOffset).setUint32(20, k);
      return frame.subarray(0, random.int(64, 700));
    });
    const sent: Uint8Array[] = [];
    const departed: Uint8Array[] = [];
    const forGuest: Uint8Array[] = [];
    const received: Uint8Array[] = [];
    const stack: Uint8Array[] = [];
    let taken: { handle: number; pieces: readonly (readonly [number, number])[] }[] = [];
    let next = 0;
    while (next < frames.length) {
      if (face.state === "unbound" && random.chance(30)) face.bind(random.chance(50) ? SPLITTING : PLAIN);
      else if (random.chance(8)) face.unbind();
      const burst = frames.slice(next, next + random.int(1, 8));
      next += burst.length;
      if (random.chance(50)) {
        // As many as its ring takes, while nobody takes anything out of it.
        sent.push(...burst.slice(0, guest.sendFrames(burst.map((bytes) => ({ bytes })))));
      } else {
        const left = nic.receive(...burst);
        stack.push(...left);
        forGuest.push(...burst.slice(0, burst.length - left.length));
      }
      const more = nic.take(random.int(0, 6));
      // The wire reads in order, and the NIC is done in any.
      departed.push(...more.map(({ pieces }) => nic.read(pieces as [number, number][])));
      taken.push(...more);
      taken.sort(() => random.int(0, 2) - 1);
      const done = taken.splice(0, random.int(0, taken.length));
      nic.done(done.map(({ handle }) => handle));
      received.push(...bytesOf(guest.receiveFrames()));
      expect(face.lost()).toBe(0);
      if (face.state === "unbound") expect(pinsLive(engine)).toBe(0);
    }
    nic.done(taken.map(({ handle }) => handle));
    taken = [];
    // What the guest sent while there was no NIC waits in its ring for the next one.
    if (face.state !== "bound") {
      if (face.state === "stopping") departed.push(...nic.send());
      face.bind(PLAIN);
    }
    departed.push(...nic.send());
    expect(face.unbind()).toBe("done");
    expect(withoutHeader(departed)).toEqual(sent);
    expect(received).toEqual(forGuest);
    expect(face.counters()).toMatchObject({ cpuCopies: 0, dropsNoBuffer: 0, stackPackets: stack.length });
    expect([pinsLive(engine), face.lost()]).toEqual([0, 0]);
    expect(stack.length).toBeGreaterThan(10);
    // The guest hears of it as of its link, which is down from the moment that the interface is stopped.
    const ups = states.filter((state) => state !== "unbound").map((state) => state === "bound");
    expect(link).toEqual(ups);
    expect(states.filter((state) => state === "bound").length).toBeGreaterThan(3);
    expect([device.faults, device.engine.devices[0].needsReset]).toEqual([0, false]);
    expect(card.interface.outstanding).toBe(64);
  });

  test("fills buffers in the order in which they were posted, though a NIC that had some ahead was unbound", async () => {
    const used = async (rebinds: boolean): Promise<number[]> => {
      const { engine, face, nic } = await guestRig({ format, device: { ahead: 4 } });
      face.bind(SPLITTING);
      if (rebinds) {
        face.unbind();
        face.bind(SPLITTING);
      }
      const written: number[] = [];
      for (const frame of toGuest(300, 8)) {
        nic.receive(frame);
        written.push(Buffer.from(engine.bytes(engine.buffers.ptr, engine.buffers.bytes)).indexOf(frame));
      }
      return written;
    };
    const places = await used(false);
    expect([new Set(places).size, places.includes(-1)]).toEqual([8, false]);
    expect(await used(true)).toEqual(places);
  });

  test("a reset of the device in the middle leaves nothing pinned, and the guest starts again", async () => {
    const { engine, guest, face, nic, driver } = await guestRig({ format });
    face.bind(SPLITTING);
    guest.sendFrames(toGuest(1000, 5).map((bytes) => ({ bytes })));
    const [first] = nic.take(2);
    driver.reset();
    expect([pinsLive(engine), face.outstanding, face.lost(), face.atNic]).toEqual([0, 0, 0, 0]);
    expect(nic.done([first.handle])).toBe(0);
    driver.start();
    const [frame] = toGuest(1500, 1);
    nic.receive(frame);
    expect(bytesOf(guest.receiveFrames())).toEqual([frame]);
    guest.sendFrames([{ bytes: frame }]);
    expect(withoutHeader(nic.send())).toEqual([frame]);
  });

  test("the reset of a queue waits until the NIC is done with what it has", async () => {
    const { engine, guest, face, nic, device } = await guestRig({ format });
    face.bind(SPLITTING);
    guest.sendFrames(toGuest(1000, 5).map((bytes) => ({ bytes })));
    const [first, second] = nic.take(2);
    const before = pinsLive(engine);
    device.writeQueueReset(1, 1);
    expect(device.readQueueReset(1)).toBe(1);
    nic.done([second.handle]);
    expect(device.readQueueReset(1)).toBe(1);
    nic.done([first.handle]);
    expect([device.readQueueReset(1), device.readQueueEnable(1)]).toEqual([0, 0]);
    expect(pinsLive(engine)).toBeLessThan(before);
    expect(nic.take()).toEqual([]);
    device.writeQueueReset(0, 1);
    expect([pinsLive(engine), face.outstanding, face.lost()]).toEqual([0, 0, 0]);
  });

  test("pages that can't be pinned make frames wait, and nothing is lost", async () => {
    const { engine, guest, face, nic } = await guestRig({ format, device: { ahead: 16 } });
    face.lockedPagesMost = 40;
    face.bind(SPLITTING);
    const sent = toGuest(1000, 20);
    failPin(engine, 3);
    guest.sendFrames(sent.map((bytes) => ({ bytes })));
    expect(face.counters().pinWaits).toBeGreaterThan(0);
    expect(pinsLive(engine)).toBeLessThanOrEqual(40);
    expect(withoutHeader(nic.send())).toEqual(sent);
    const frames = toGuest(1000, 30);
    const received: Uint8Array[] = [];
    for (const frame of frames) {
      nic.receive(frame);
      received.push(...bytesOf(guest.receiveFrames()));
    }
    expect(received).toEqual(frames);
    expect(face.counters()).toMatchObject({ cpuCopies: 0, refused: 0, dropsNoBuffer: 0 });
  });
});

test("a packet of more pages than may ever be pinned comes back, and those behind it go", async () => {
  const { engine, face, nic, driver } = await guestRig({ device: { ahead: 1 } });
  face.lockedPagesMost = 4;
  face.bind(SPLITTING);
  const queue = driver.queue(1);
  if (queue === null) throw new Error("the queue is there");
  const at = Math.ceil(engine.buffers.ptr / 4096) * 4096;
  const pages = Array.from({ length: 5 }, (_, k) => ({ ptr: at + k * 4096, bytes: 1000 }));
  queue.add({ token: 1, readable: pages });
  queue.add({ token: 2, readable: pages.slice(0, 1) });
  driver.publish(1);
  expect(queue.reclaim().map(({ token }) => token)).toEqual([1]);
  expect(nic.send()).toHaveLength(1);
  expect(queue.reclaim().map(({ token }) => token)).toEqual([2]);
  expect(face.counters()).toMatchObject({ refused: 1, headerCopyBytes: 128 });
});

describe("the log of written pages", () => {
  test.each([
    { name: "direct", asked: PLAIN },
    { name: "split", asked: SPLITTING },
  ])("is complete when buffers were posted before it was switched on, $name", async ({ asked }) => {
    const { engine, guest, face, nic } = await guestRig({ driver: { receiveBytes: 2048 } });
    // Everything that the guest has to receive into is submitted, and pinned, while nobody listens.
    face.bind(asked);
    nic.receive(...toGuest(300, 3));
    engine.devices[0].logsPages = true;
    expect(engine.takeWrittenPages()).toEqual([]);
    const shared = () => engine.bytes(0, engine.end).slice();
    for (const bytes of [64, 1500, 9000]) {
      const before = shared();
      nic.receive(...toGuest(bytes, 1, bytes));
      const after = shared();
      const changed: number[] = [];
      for (let at = Math.ceil(engine.sharedBase / 4096) * 4096; at < engine.end; at += 4096) {
        const end = Math.min(at + 4096, engine.end);
        if (Buffer.compare(before.subarray(at, end), after.subarray(at, end)) !== 0) changed.push(at / 4096);
      }
      const written = engine.takeWrittenPages();
      expect(written).toEqual(expect.arrayContaining(changed));
      expect(changed.length).toBeGreaterThan(Math.floor(bytes / 4096));
      // Beside payload a device half writes its rings, and nothing else.
      expect(written.length).toBeLessThan(changed.length + 3);
    }
    guest.receiveFrames();
  });
});

describe("a hostile guest", () => {
  test("is not followed outside, and gets back what can't be", async () => {
    const { engine, card, driver, face } = await guestRig({ driver: { receiveBuffers: 4 } });
    face.bind(SPLITTING);
    const queue = driver.queue(1);
    if (queue === null) throw new Error("the queue is there");
    const at = engine.buffers.ptr;
    const before = face.outstanding;
    // Shorter than a header, longer than any frame, both directions, and too many elements.
    queue.add({ token: 1, readable: [{ ptr: at, bytes: 11 }] });
    queue.add({ token: 2, readable: [{ ptr: at, bytes: 100_000 }] });
    queue.add({ token: 3, readable: [{ ptr: at, bytes: 100 }], writable: [{ ptr: at, bytes: 100 }] });
    queue.add({ token: 4, readable: Array.from({ length: 20 }, () => ({ ptr: at, bytes: 100 })) });
    driver.publish(1);
    expect(queue.reclaim().map(({ token }) => token)).toEqual([1, 2, 3, 4]);
    expect(face.counters()).toMatchObject({ refused: 4, headerCopyBytes: 0 });
    expect([face.outstanding, card.interface.atNic]).toEqual([before, 0]);
  });

  test("that promised room and posts none is not written to", async () => {
    const room = { headroom: 64, tailroom: 128, align: 64 };
    const { engine, face, nic, driver } = await guestRig({
      device: { room },
      driver: { receiveBytes: 1984 },
    });
    expect(face.bind({ packetSplit: false, ...room })).toBe("direct");
    // The driver's buffers lie one behind the other: some have the room by chance, the others come back empty.
    expect(face.counters().refused).toBeGreaterThan(0);
    nic.receive(...toGuest(1400, 1));
    expect(face.lost()).toBe(0);
    driver.reset();
    expect(pinsLive(engine)).toBe(0);
  });
});

describe("a card that is passed through", () => {
  test("does not take a driver whose addresses are not physical", async () => {
    const rig = guestRig({ engine: { dma: { backends: ["swiotlb"], poolBytes: 1 << 20 } } });
    const { card } = await rig;
    expect(card.acceptFeatures(Features.ACCESS_PLATFORM | NetFeatures.MAC)).toBe(false);
    expect(card.acceptFeatures(NetFeatures.MAC)).toBe(true);
  });

  test("needs requests for both of its queues", async () => {
    const engine = await createEngine({ queues: 2, queueSize: 64, passthru: { requests: 100 } });
    expect(() => new PassthruNetDevice(engine)).toThrow(
      "passthru.requests is 100, but two queues of 64 need 128",
    );
    expect(abi.HOST_PASSTHRU).toBeGreaterThan(0);
  });
});
