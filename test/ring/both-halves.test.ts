/** Both halves of the engine on one ring: every size, source, order and suppression scheme. */
import { describe, expect, it } from "vitest";
import * as abi from "../../assembly/abi.ts";
import type { EngineOptions, QueuePairConfig } from "../../src/engine.ts";
import { RING_FORMATS, type RingFormat, TABLE_SOURCES, type TableSource } from "../../src/names.ts";
import { createEngine } from "../support/engine.ts";
import { Random } from "../support/random.ts";
import { bufferOf, defaultFeatures, elementsAt, features } from "../support/rig.ts";

const SOURCES = Object.keys(TABLE_SOURCES) as TableSource[];
const SIZES = {
  split: [1, 2, 256, 1024, 32768],
  packed: [1, 2, 3, 7, 256, 1000, 1024, 32768],
} as const;

async function pair(
  format: RingFormat,
  size: number,
  config: QueuePairConfig = {},
  options: EngineOptions = {},
) {
  const engine = await createEngine({ queueSize: size, bufferBytes: 65536, ...options });
  const halves = engine.connect(0, { format, features: defaultFeatures(format), ...config });
  return { engine, ...halves };
}

describe.each(RING_FORMATS)("both halves of a %s ring", (format) => {
  it.each(SIZES[format])(
    `${format === "split" ? "S-B-07" : "P-B-01, P-B-02"}: 3 x 65536 + 5 buffers pass a ring of %i in batches, and each comes back once and in order`,
    async (size) => {
      const random = new Random(size);
      const batch = 64;
      const { engine, driver, device } = await pair(format, size, { tables: "direct" }, { batch, maxSgs: 2 });
      const { staged, reclaimed } = driver;
      const total = 3 * 65536 + 5;
      const ptr = engine.buffers.ptr;
      let added = 0;
      let back = 0;
      let wrong = 0;
      for (let round = 0; back < total; round++) {
        if (round > 2 * total) throw new Error(`only ${back} buffers came back`);
        const burst = Math.min(random.int(1, batch), total - added);
        for (let k = 0, at = 0; k < burst; k++) {
          staged[at++] = added + k;
          staged[at++] = 0x10000;
          staged[at++] = ptr;
          staged[at++] = 16;
        }
        added += driver.addBurst(burst);
        driver.publish();
        device.markPoppedUsed(device.popBurst(random.int(1, batch)));
        device.publishUsed();
        const count = driver.reclaimBurst(random.int(1, batch));
        for (let k = 0; k < count; k++, back++) {
          if (reclaimed[2 * k] !== back || reclaimed[2 * k + 1] !== 16) wrong++;
        }
      }
      expect(wrong).toBe(0);
      expect(driver.violation ?? device.violation).toBeNull();
      expect(driver.numFree).toBe(size);
      expect(driver.counters()).toMatchObject({ added: total, reclaimed: total, clampedLengths: 0 });
      expect(device.counters()).toMatchObject({ popped: total, used: total });
    },
  );

  it.each(SOURCES)(
    "bytes written by the device arrive, in any order and with any cut, tables from %s",
    async (tables) => {
      for (const directHead of format === "split" ? [false, true] : [false]) {
        const random = new Random(60);
        const { engine, driver, device } = await pair(format, 32, { tables, directHead, threshold: 3 });
        const expected = new Map<number, { elements: { ptr: number; bytes: number }[]; fill: number }>();
        const held: ReturnType<typeof device.pop> = [];
        for (let round = 0, token = 0; round < 400; round++) {
          for (let k = random.int(0, 4); k > 0; k--, token++) {
            const sizes = Array.from({ length: random.int(1, 6) }, () => random.int(1, 60));
            const at = engine.buffers.ptr + (token % 64) * 512;
            const cut = random.int(0, sizes.length);
            const buffer = bufferOf(elementsAt(at, sizes.slice(0, cut), sizes.slice(cut)));
            const busy = [...expected.keys()].some((out) => out % 64 === token % 64);
            if (busy || !driver.add({ ...buffer, token })) break;
            for (const { ptr, bytes } of buffer.readable) engine.bytes(ptr, bytes).fill(token);
            expected.set(token, { elements: buffer.writable, fill: token & 0xff });
          }
          driver.publish();
          held.push(...device.pop(random.int(1, 8)));
          for (const chain of random.shuffle(held).slice(0, random.int(0, held.length))) {
            held.splice(held.indexOf(chain), 1);
            const first = chain.readable[0];
            const fill = first ? engine.bytes(first.ptr, 1)[0] : 0x5a;
            for (const { ptr, bytes } of chain.writable) engine.bytes(ptr, bytes).fill(fill);
            device.markUsed(chain.handle, chain.writableBytes);
          }
          device.publishUsed();
          for (const { token, len } of driver.reclaim()) {
            const one = expected.get(token);
            if (!one) throw new Error(`token ${token} came back twice`);
            expected.delete(token);
            expect(len).toBe(one.elements.reduce((sum, { bytes }) => sum + bytes, 0));
            for (const { ptr, bytes } of one.elements) {
              const values = new Set(engine.bytes(ptr, bytes));
              expect(values.size).toBe(1);
              expect([one.fill, 0x5a]).toContain([...values][0]);
            }
          }
        }
        expect(driver.violation ?? device.violation).toBeNull();
        expect(driver.outstanding).toBe(expected.size);
        expect(engine.heapIsSound()).toBe(true);
      }
    },
  );

  it("S-D-12, S-V-12, P-D-18, P-V-11: with IN_ORDER on both sides batches of any size pass, lengths included", async () => {
    const random = new Random(61);
    for (const size of [1, 2, 8, 64]) {
      const { engine, driver, device } = await pair(format, size, {
        features: features(format, "IN_ORDER", "INDIRECT_DESC", "EVENT_IDX"),
        tables: "freelist",
      });
      const expected: { token: number; len: number }[] = [];
      const lens: number[] = [];
      const back: { token: number; len: number }[] = [];
      let token = 0;
      for (let round = 0; round < 2000; round++) {
        for (let k = random.int(0, 5); k > 0; k--) {
          const count = random.int(1, Math.min(size, 4));
          const writable = random.chance(70) ? random.int(0, count) : 0;
          const sizes = new Array(count).fill(10);
          const elements = elementsAt(engine.buffers.ptr, sizes.slice(writable), sizes.slice(0, writable));
          if (!driver.add({ ...bufferOf(elements), token })) break;
          const len = random.chance(70) ? 10 * writable : random.int(0, 10 * writable);
          lens.push(len);
          expected.push({ token: token++, len });
        }
        driver.publish();
        for (const { handle } of device.pop(random.int(1, 8))) device.markUsed(handle, lens.shift() ?? 0);
        if (random.chance(60)) device.publishUsed();
        back.push(...driver.reclaim());
      }
      expect(driver.violation ?? device.violation).toBeNull();
      expect(back).toEqual(expected.slice(0, back.length));
      expect(back.length).toBeGreaterThan(expected.length - size - 1);
    }
  });

  it.each([
    ["flags", false],
    ["event indices", true],
  ])(
    "V-B-03, S-D-18, P-D-17: halves that sleep whenever they may are always woken, with suppression by %s",
    async (_, eventIdx) => {
      const random = new Random(62);
      for (const size of [1, 2, 7, 64]) {
        if (format === "split" && size === 7) continue;
        const { engine, driver, device } = await pair(format, size, {
          features: eventIdx ? features(format, "EVENT_IDX") : features(format),
        });
        const segment = { ptr: engine.buffers.ptr, bytes: 4 };
        const total = 5000;
        let added = 0;
        let back = 0;
        let driverAwake = true;
        let deviceAwake = true;
        let kicks = 0;
        for (let step = 0; back < total; step++) {
          if (step > 40 * total)
            throw new Error(`both halves sleep after ${back} buffers on a ring of ${size}`);
          if (driverAwake && random.chance(50)) {
            for (let k = random.int(1, 4); k > 0 && added < total; k--) {
              if (!driver.add({ readable: [segment], token: added })) break;
              added++;
            }
            if (driver.publish()) {
              deviceAwake = true;
              kicks++;
            }
            const count = driver.reclaimBurst(random.int(1, 4));
            back += count;
            const full = driver.numFree === 0 || added === total;
            // It sleeps only when it can do nothing, has asked to be woken, and has looked again.
            if (count === 0 && full) driverAwake = driver.arm();
            else driver.suppress();
          }
          if (deviceAwake && random.chance(50)) {
            const count = device.popBurst(random.int(1, 4));
            device.markPoppedUsed(count);
            if (device.publishUsed()) driverAwake = true;
            if (count === 0) deviceAwake = device.arm();
            else device.suppress();
          }
          if (!driverAwake && !deviceAwake)
            throw new Error(`a lost wake-up after ${back} on a ring of ${size}`);
        }
        expect(kicks).toBeGreaterThan(0);
        expect(kicks).toBeLessThanOrEqual(total);
      }
    },
  );
});

describe("the in-engine loop", () => {
  /** FNV-1a, 64 bits, of a packet's length and bytes. */
  function digest(start: bigint, bytes: Uint8Array): bigint {
    let hash = start;
    const mix = (byte: number): void => {
      hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
    };
    for (let shift = 0; shift < 32; shift += 8) mix((bytes.length >>> shift) & 0xff);
    for (const byte of bytes) mix(byte);
    return hash;
  }

  async function loopRig(format: RingFormat, config: QueuePairConfig, headerBytes: number) {
    const rig = await pair(
      format,
      8,
      { tableAlways: true, ...config },
      { batch: 4, scratchBytes: 65536, bufferBytes: 65536 },
    );
    const { engine } = rig;
    const random = new Random(63);
    const { buffers, scratch, u32, wasm } = engine;
    random.fill(engine.bytes(buffers.ptr, 32768));
    const count = 50;
    let at = scratch.ptr >>> 2;
    let expected = 0xcbf29ce484222325n;
    for (let k = 0; k < count; k++) {
      const sizes = Array.from({ length: 1 + (k % 5) }, () => random.int(1, 200));
      let ptr = buffers.ptr + random.int(0, 30000);
      const bytes: number[] = [];
      u32[at++] = k;
      u32[at++] = sizes.length;
      for (const size of sizes) {
        u32[at++] = ptr;
        u32[at++] = size;
        bytes.push(...engine.bytes(ptr, size));
        ptr += size + 1;
      }
      expected = digest(expected, Uint8Array.from(bytes.slice(headerBytes)));
    }
    const loop = engine.region("loop").ptr;
    const set = (field: { value: number }, value: number): void => {
      engine.u32[(loop + field.value) >>> 2] = value;
    };
    const popped = engine.region("queue 0 staging popped");
    set(wasm.LOOP_DRIVER, rig.driver.ptr);
    set(wasm.LOOP_DEVICE, rig.device.ptr);
    set(wasm.LOOP_STREAM, scratch.ptr);
    set(wasm.LOOP_BATCH, 4);
    set(wasm.LOOP_POPPED, popped.ptr);
    set(wasm.LOOP_POPPED_BYTES, popped.bytes);
    set(wasm.LOOP_RECLAIMED, engine.region("queue 0 staging reclaimed").ptr);
    set(wasm.LOOP_TARGET, buffers.ptr + 32768);
    set(wasm.LOOP_HEADER_BYTES, headerBytes);
    const run = (touch: number, rearm = 1): number => {
      set(wasm.LOOP_TOUCH, touch);
      set(wasm.LOOP_REARM, rearm);
      return (format === "split" ? wasm.splitLoop : wasm.packedLoop)(loop, count);
    };
    const view = (): DataView => new DataView(engine.memory.buffer);
    const setDigest = (value: bigint): void =>
      view().setBigUint64(loop + wasm.LOOP_DIGEST.value, value, true);
    const getDigest = (): bigint => view().getBigUint64(loop + wasm.LOOP_DIGEST.value, true);
    return { ...rig, run, count, expected, setDigest, getDigest, loop };
  }

  it.each(RING_FORMATS)(
    "every arm of a %s ring reads the same bytes, which are those that were given",
    async (format) => {
      for (const tables of SOURCES) {
        for (const headerBytes of [0, 12]) {
          const { engine, driver, run, count, expected, setDigest, getDigest } = await loopRig(
            format,
            { tables },
            headerBytes,
          );
          setDigest(0xcbf29ce484222325n);
          expect(run(abi.TOUCH_DIGEST)).toBe(count);
          expect(getDigest()).toBe(expected);
          for (const touch of [abi.TOUCH_NONE, abi.TOUCH_HEADER, abi.TOUCH_COPY]) {
            for (const rearm of [0, 1]) expect(run(touch, rearm)).toBe(count);
          }
          expect(getDigest()).toBe(expected);
          expect(driver.counters()).toMatchObject({ liveTables: 0, added: 7 * count, reclaimed: 7 * count });
          expect(engine.heapLiveBlocks()).toBe(tables === "grow" ? driver.tablesListed() : 0);
        }
      }
    },
  );

  it("a digest sees one flipped byte, and a copy puts the packet's bytes where they were wanted", async () => {
    const { engine, run, count, expected, setDigest, getDigest } = await loopRig("split", {}, 0);
    const { buffers, scratch, u32 } = engine;
    run(abi.TOUCH_COPY);
    let at = scratch.ptr >>> 2;
    let last: number[] = [];
    for (let k = 0; k < count; k++) {
      const sgs = u32[at + 1];
      last = [];
      for (let sg = 0; sg < sgs; sg++) last.push(...engine.bytes(u32[at + 2 + 2 * sg], u32[at + 3 + 2 * sg]));
      at += 2 + 2 * sgs;
    }
    expect([...engine.bytes(buffers.ptr + 32768, last.length)]).toEqual(last);
    engine.bytes(u32[(scratch.ptr >>> 2) + 2], 1)[0] ^= 1;
    setDigest(0xcbf29ce484222325n);
    run(abi.TOUCH_DIGEST);
    expect(getDigest()).not.toBe(expected);
  });

  it.each(RING_FORMATS)(
    "a loop on a broken or stopped %s queue ends at once and says how many came back",
    async (format) => {
      const { driver, device, run } = await loopRig(format, {}, 0);
      device.stop();
      expect(run(abi.TOUCH_NONE)).toBe(0);
      driver.stop();
      expect(run(abi.TOUCH_NONE)).toBe(0);
    },
  );
});
