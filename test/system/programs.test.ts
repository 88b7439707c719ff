/** Programs that hand over what they must not, and programs of the caller's own: nothing outside is touched, and nothing is lost. */
import { describe, expect, it, test } from "vitest";
import * as abi from "../../assembly/abi.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";
import { SYSTEM_RECORDS } from "../../src/system/records.ts";
import { XskSocket } from "../../src/system/xsk-socket.ts";
import { type BenchOptions, digestOf, driverBench, framesOf } from "../support/driver-bench.ts";

const BYTES = 300;
const MODES = ["xsk", "xsk-copy"] as const;

async function caller(
  name: string,
  direction: "tx" | "rx",
  options: Partial<BenchOptions> = {},
): Promise<DriverBench> {
  const queues = [framesOf(BYTES, 40)];
  return driverBench({
    ...{ driver: SYSTEM_RECORDS[name], direction, queues, ringSize: 64, program: "caller", ...options },
  });
}

/** A word of a block or ring, by its place and offset. */
function word(ptr: number, offset: { value: number } | number): number {
  return (ptr + (typeof offset === "number" ? offset : offset.value)) >>> 2;
}

function block(bench: DriverBench, offset: { value: number }): number {
  const { engine, ports } = bench;
  const app = engine.u32[word(ports[0], engine.wasm.PORT_APP)];
  return engine.u32[word(app, offset)];
}

describe.each(MODES)("a program of the caller's at an %s socket", (name) => {
  it("sends from its chunks, and has them back from the completion ring", async () => {
    const frames = framesOf(BYTES, 40);
    const bench = await caller(name, "tx");
    const socket = new XskSocket(bench);
    const home = Array.from({ length: socket.chunks }, (_, k) => k * socket.chunkBytes);
    expect(bench.moveSome(10)).toBe(10);
    bench.engine.wasm.portDigest(bench.ports[0], 1, 0);
    for (let sent = 0; sent < frames.length; ) {
      const count = socket.tx.reserve(Math.min(7, frames.length - sent));
      for (let k = 0; k < count; k++) {
        const addr = home.pop() as number;
        socket.data(addr + k, BYTES).set(frames[sent + k]);
        socket.tx.write(k, addr + k, BYTES);
      }
      socket.tx.submit(count);
      if (socket.tx.needsWakeup) socket.wake();
      expect(bench.moveSome(count)).toBe(0);
      sent += count;
      const done = socket.completion.peek(1000);
      for (let k = 0; k < done; k++) home.push(socket.completion.address(k) & -socket.chunkBytes);
      socket.completion.release(done);
    }
    const { wasm } = bench.engine;
    expect(bench.counters()).toMatchObject({ packets: 40, wakeups: 6, cpuCopies: name === "xsk" ? 0 : 40 });
    const digest = new DataView(bench.engine.memory.buffer).getBigUint64(
      bench.ports[0] + wasm.PORT_DIGEST.value,
      true,
    );
    expect(digest.toString(16).padStart(16, "0")).toBe(digestOf(frames));
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  it("receives into the chunks that it gives, and no driver posts or fills any other", async () => {
    const frames = framesOf(BYTES, 40);
    const bench = await caller(name, "rx");
    const socket = new XskSocket(bench);
    // Nothing was given, so that everything is lost.
    bench.runSome(5);
    const nothing = bench.counters();
    expect(nothing.packets).toBe(0);
    expect(name === "xsk" ? nothing.dropsNoBuffer : nothing.dropsNoFrame).toBe(5);
    expect(socket.fill.needsWakeup).toBe(name === "xsk");
    for (let k = 0; k < 8; k++) socket.fill.write(k, (3 + k) * socket.chunkBytes + 17);
    socket.fill.submit(8);
    if (socket.fill.needsWakeup) socket.wake();
    bench.rewind();
    bench.runSome(10);
    const got = socket.rx.peek(1000);
    expect(got).toBe(8);
    for (let k = 0; k < got; k++) {
      expect(socket.rx.address(k)).toBe((3 + k) * socket.chunkBytes + socket.headroom);
      expect(socket.rx.bytes(k)).toBe(BYTES);
      expect(socket.data(socket.rx.address(k), BYTES)).toEqual(frames[k]);
    }
    socket.rx.release(got);
    const { packets, dropsNoBuffer, dropsNoFrame } = bench.counters();
    expect([packets, dropsNoBuffer + dropsNoFrame]).toEqual([8, 5 + 2]);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  it("hands over descriptors that break a rule: each is dropped and counted by its cause, and the others go", async () => {
    const bench = await caller(name, "tx");
    const socket = new XskSocket(bench);
    const { chunkBytes, chunks, tx } = socket;
    const end = chunks * chunkBytes;
    const good = [0, chunkBytes + 5, end - chunkBytes];
    const bad: [addr: number, bytes: number][] = [
      [end, BYTES],
      [0xffff_ffff, BYTES],
      [2 * chunkBytes, BYTES + 1],
      [2 * chunkBytes, 0xffff_ffff],
      [2 * chunkBytes, 13],
      [3 * chunkBytes - 100, 101],
      [chunkBytes + 9, BYTES],
    ];
    for (const [k, addr] of good.entries()) tx.write(k, addr, BYTES);
    for (const [k, [addr, bytes]] of bad.entries()) tx.write(good.length + k, addr, bytes);
    // An address above 4 GiB, and options that nobody knows.
    const entry = (k: number): number =>
      word(block(bench, bench.engine.wasm.XSK_TX), abi.XDP_RING_ENTRIES + k * abi.XDP_DESC);
    tx.write(10, 0, BYTES);
    bench.engine.u32[entry(10) + 1] = 1;
    tx.write(11, 4 * chunkBytes, BYTES);
    bench.engine.u32[entry(11) + 3] = 2;
    tx.submit(12);
    socket.wake();
    expect(bench.moveSome(12)).toBe(0);
    expect(bench.counters()).toMatchObject({
      ...{ packets: 3, invalidAddresses: 3, invalidLengths: 4, invalidReuses: 1, invalidOptions: 1 },
    });
    // A chunk that the device still has is not sent again; one that came back is.
    bench.settle();
    expect(socket.completion.peek(1000)).toBe(3);
    expect([0, 1, 2].map((k) => socket.completion.address(k))).toEqual(good);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  it("claims entries that no ring can have: nothing is taken, and the claim is counted", async () => {
    const bench = await caller(name, "tx");
    const socket = new XskSocket(bench);
    const { u32, wasm } = bench.engine;
    const producer = word(block(bench, wasm.XSK_TX), abi.XDP_RING_PRODUCER);
    u32[producer] = socket.tx.entries + 1;
    socket.wake();
    expect(bench.moveSome(5)).toBe(5);
    expect(bench.counters()).toMatchObject({ packets: 0 });
    expect(bench.counters().invalidIndices).toBeGreaterThan(0);
    u32[producer] = 0;
    // A completion ring of which more is consumed than was produced has no room.
    u32[word(block(bench, wasm.XSK_COMPLETION), abi.XDP_RING_CONSUMER)] = 1;
    socket.tx.write(0, 0, BYTES);
    socket.tx.submit(1);
    socket.wake();
    expect(bench.moveSome(1)).toBe(1);
    expect(bench.counters()).toMatchObject({ packets: 0 });
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  it("takes nothing from the completion ring: no more is sent than it has room for, and nothing is lost", async () => {
    const record = SYSTEM_RECORDS[name];
    const bench = await caller(name, "tx", {
      driver: { ...record, application: { kind: name, entries: 16 } },
    });
    const socket = new XskSocket(bench);
    for (let k = 0; k < 16; k++) socket.tx.write(k, k * socket.chunkBytes, BYTES);
    socket.tx.submit(16);
    socket.wake();
    expect(bench.moveSome(16)).toBe(0);
    for (let k = 0; k < 16; k++) socket.tx.write(k, (16 + k) * socket.chunkBytes, BYTES);
    socket.tx.submit(16);
    socket.wake();
    expect(bench.moveSome(16)).toBe(16);
    expect(socket.completion.peek(1000)).toBe(16);
    socket.completion.release(16);
    socket.wake();
    expect(bench.moveSome(16)).toBe(0);
    expect(bench.counters().packets).toBe(32);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  it("has more under way than the completion ring takes: the rest waits until it was read", async () => {
    const record = SYSTEM_RECORDS[name];
    const tx = { ...record.tx, reclaim: "threshold" as const };
    const driver = { ...record, tx, application: { kind: name, entries: 16 } };
    const bench = await caller(name, "tx", { driver });
    const socket = new XskSocket(bench);
    const behind = [0, 10].map((first) => {
      for (let k = 0; k < 10; k++) socket.tx.write(k, (first + k) * socket.chunkBytes, BYTES);
      socket.tx.submit(10);
      socket.wake();
      return bench.moveSome(10);
    });
    // Nothing was taken back yet, so that a place is kept for each.
    expect([behind, socket.completion.peek(1000)]).toEqual([[0, 4], 0]);
    bench.settle();
    expect(socket.completion.peek(1000)).toBe(16);
    socket.completion.release(16);
    if (socket.tx.needsWakeup) socket.wake();
    expect(bench.moveSome(4)).toBe(0);
    expect(bench.counters().packets).toBe(20);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  it("does not read its rx ring: packets are dropped by that cause, and their chunks are used again", async () => {
    const record = SYSTEM_RECORDS[name];
    const bench = await caller(name, "rx", {
      driver: { ...record, application: { kind: name, entries: 16 } },
    });
    const socket = new XskSocket(bench);
    const { entries } = socket.rx;
    for (let k = 0; k < entries; k++) socket.fill.write(k, k * socket.chunkBytes);
    socket.fill.submit(socket.fill.reserve(entries));
    if (socket.fill.needsWakeup) socket.wake();
    // Without a reader, and the rx ring claimed to be nearly full.
    const consumer = word(block(bench, bench.engine.wasm.XSK_RX), abi.XDP_RING_CONSUMER);
    bench.engine.u32[consumer] = 3 - entries;
    bench.runSome(10);
    expect(bench.counters()).toMatchObject({ packets: 3, dropsRingFull: 7 });
    bench.engine.u32[consumer] = 1;
    bench.runSome(10);
    expect(bench.counters().packets).toBe(13);
    bench.engine.u32[consumer] = 500;
    bench.runSome(2);
    expect(bench.counters()).toMatchObject({ packets: 13, dropsRingFull: 9 });
    expect(bench.counters().invalidIndices).toBeGreaterThan(0);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });
});

describe("an xsk program that gives chunks to receive into", () => {
  it("outside of its area, or twice: they are counted, and the device gets each once", async () => {
    const bench = await caller("xsk", "rx");
    const socket = new XskSocket(bench);
    const { chunkBytes, chunks, fill } = socket;
    const given = [5 * chunkBytes, chunks * chunkBytes, 5 * chunkBytes + 77, 0xffff_f000, 6 * chunkBytes];
    for (const [k, addr] of given.entries()) fill.write(k, addr);
    fill.submit(given.length);
    socket.wake();
    expect(bench.counters()).toMatchObject({ invalidAddresses: 2, invalidReuses: 1 });
    bench.runSome(5);
    expect(bench.counters()).toMatchObject({ packets: 2, dropsNoBuffer: 3 });
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });
});

describe.each(["af-packet", "af-packet-zc"])("a program of the caller's at an %s ring", (name) => {
  const frameOf = (bench: DriverBench, k: number): number =>
    block(bench, bench.engine.wasm.APP_FRAMES) + k * block(bench, bench.engine.wasm.APP_FRAME_STRIDE);
  const ask = (bench: DriverBench, k: number, bytes: number): void => {
    bench.engine.u32[word(frameOf(bench, k), abi.TP_LEN)] = bytes;
    bench.engine.u32[word(frameOf(bench, k), abi.TP_STATUS)] = abi.TP_STATUS_SEND_REQUEST;
  };
  const status = (bench: DriverBench, k: number): number =>
    bench.engine.u32[word(frameOf(bench, k), abi.TP_STATUS)];

  it("asks for lengths that no frame has: skipped, counted, and the program's again", async () => {
    const bench = await caller(name, "tx");
    for (const [k, bytes] of [BYTES, BYTES + 1, 0xffff_ffff, 13, BYTES].entries()) ask(bench, k, bytes);
    expect(bench.moveSome(5)).toBe(0);
    expect(bench.counters()).toMatchObject({ packets: 2, invalidLengths: 3 });
    expect([1, 2, 3].map((k) => status(bench, k))).toEqual([0, 0, 0]);
    bench.settle();
    expect([0, 4].map((k) => status(bench, k))).toEqual([0, 0]);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  it("asks for a frame again that the device still has: it is not sent before it came back", async () => {
    const record = SYSTEM_RECORDS[name];
    const late = { ...record, tx: { ...record.tx, reclaim: "threshold" as const } };
    const bench = await caller(name, "tx", { driver: late });
    // A ring of 8 frames, all of which are sent and not taken back yet.
    const app = bench.engine.u32[word(bench.ports[0], bench.engine.wasm.PORT_APP)];
    const count = word(app, bench.engine.wasm.APP_FRAME_COUNT);
    const all = bench.engine.u32[count];
    bench.engine.u32[count] = 8;
    for (let k = 0; k < 8; k++) ask(bench, k, BYTES);
    expect(bench.moveSome(8)).toBe(0);
    expect(status(bench, 0)).toBe(abi.TP_STATUS_SENDING);
    ask(bench, 0, BYTES);
    expect(bench.moveSome(1)).toBe(1);
    expect(bench.counters()).toMatchObject({ packets: 8, invalidReuses: 1 });
    bench.settle();
    expect(status(bench, 0)).toBe(abi.TP_STATUS_AVAILABLE);
    ask(bench, 0, BYTES);
    expect(bench.moveSome(1)).toBe(0);
    expect(bench.counters()).toMatchObject({ packets: 9, invalidReuses: 1 });
    bench.engine.u32[count] = all;
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });

  test("a ring whose frames nobody gives back is full: what comes is dropped, and counted", async () => {
    const bench = await caller(name, "rx");
    const frames = block(bench, bench.engine.wasm.APP_FRAME_COUNT);
    for (let sent = 0; sent < frames + 20; sent += 20) bench.runSome(20);
    const { packets, dropsNoFrame, dropsNoBuffer } = bench.counters();
    const sent = Math.ceil((frames + 20) / 20) * 20;
    expect(packets).toBe(frames);
    expect(name === "af-packet" ? dropsNoFrame : dropsNoBuffer).toBe(sent - frames);
    // One given back takes one more.
    bench.engine.u32[word(frameOf(bench, 0), abi.TP_STATUS)] = abi.TP_STATUS_KERNEL;
    bench.settle();
    bench.runSome(20);
    expect(bench.counters().packets).toBe(frames + 1);
    expect(bench.close()).toEqual({ ok: true, leaks: [] });
  });
});
