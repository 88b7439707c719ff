import type { V86 } from "v86";
import { afterEach, describe, expect, test } from "vitest";
import { attach, EmulatorMismatchError } from "../../src/adapter/v86.ts";
import type { NetDeviceSlot } from "../../src/adapter/v86-internals.ts";
import { ConfigError, MemoryTooSmallError, SnapshotError } from "../../src/errors.ts";
import { Features } from "../../src/features.ts";
import { NetFeatures } from "../../src/net-features.ts";
import * as pci from "../../src/transport/pci-layout.ts";
import { wasmBytes } from "../support/engine.ts";
import { type Area, Guest, guestWithCard, loadEmulator } from "./machine.ts";

const RECEIVE: Area = { size: 4, desc: 0x10000, driver: 0x11000, device: 0x12000 };
const TRANSMIT: Area = { size: 4, desc: 0x14000, driver: 0x15000, device: 0x16000 };
const BUFFERS = 0x20000;
const HEADER = 12;
const FRAME = Uint8Array.from({ length: 60 }, (_, k) => (k < 6 ? 0xff : k));

const emulators: V86[] = [];
afterEach(async () => {
  for (const emulator of emulators.splice(0)) await emulator.destroy();
});

async function machine(...args: Parameters<typeof guestWithCard>) {
  const made = await guestWithCard(...args);
  emulators.push(made.emulator);
  return made;
}

/** A driver that runs with two split queues, and frames that the card has sent. */
async function running(features = 0n) {
  const made = await machine();
  const { guest, emulator } = made;
  guest.negotiate(Features.VERSION_1 | features);
  guest.enable(0, RECEIVE);
  guest.enable(1, TRANSMIT);
  guest.start();
  const sent: Uint8Array[] = [];
  emulator.add_listener("net0-send" as never, ((frame: Uint8Array) => sent.push(frame)) as never);
  return { ...made, sent };
}

/** Lends the card a frame to send. */
function offer(guest: Guest, slot: number, frame = FRAME): void {
  const at = BUFFERS + 0x1000 * slot;
  for (let k = 0; k < HEADER; k++) guest.ram.setUint8(at + k, 0);
  frame.forEach((byte, k) => {
    guest.ram.setUint8(at + HEADER + k, byte);
  });
  guest.lend(TRANSMIT, slot, at, HEADER + frame.length, false);
}

function send(emulator: V86, frame: Uint8Array): void {
  (emulator as unknown as { bus: { send(event: string, value: unknown): void } }).bus.send(
    "net0-receive",
    frame,
  );
}

describe("attach", () => {
  test("wants an emulator that is loaded", async () => {
    const error = await attach({ run: () => {} }).catch((one: unknown) => one);
    expect(error).toBeInstanceOf(EmulatorMismatchError);
    expect((error as Error).message).toContain("emulator-loaded");
  });

  test("puts in one card and no second", async () => {
    const { emulator } = await machine();
    const error = await attach(emulator).catch((one: unknown) => one);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toContain("already");
  });

  test("names what an emulator of another version lacks, and what was expected", async () => {
    const emulator = await loadEmulator();
    emulators.push(emulator);
    const { cpu } = new Guest(emulator);
    Object.assign(cpu, { jit_dirty_cache: undefined });
    const error = await attach(emulator).catch((one: unknown) => one);
    expect(error).toBeInstanceOf(EmulatorMismatchError);
    expect((error as Error).message).toMatch(/cpu\.jit_dirty_cache that is a function.*v86 0\.5/);
  });

  test("comes before the guest", async () => {
    const emulator = await loadEmulator();
    emulators.push(emulator);
    Object.defineProperty(new Guest(emulator).cpu, "instruction_counter", { value: [1] });
    await expect(attach(emulator)).rejects.toThrow("attach() must come before run()");
  });

  test("says how much memory it needs of an emulator that has no more, and may be tried again", async () => {
    const emulator = await loadEmulator();
    emulators.push(emulator);
    const { wasm_memory: memory } = new Guest(emulator).cpu;
    const module = await wasmBytes("vring");
    Object.defineProperty(memory, "grow", {
      configurable: true,
      value: () => {
        throw new RangeError("no more memory");
      },
    });
    const error = await attach(emulator, { module }).catch((one: unknown) => one);
    expect(error).toBeInstanceOf(MemoryTooSmallError);
    expect((error as Error).message).toMatch(/need \d+ bytes/);
    Reflect.deleteProperty(memory, "grow");
    await expect(attach(emulator, { module })).resolves.toBeDefined();
  });

  test("puts v86's own card out of action", async () => {
    const emulator = await loadEmulator();
    emulators.push(emulator);
    const { cpu } = new Guest(emulator);
    const own = cpu.devices.virtio_net as unknown as { virtio: { queues: Record<string, () => void>[] } };
    await attach(emulator, { module: await wasmBytes("vring") });
    const methods = ["has_request", "count_requests", "pop_request", "push_reply", "flush_replies"];
    for (const queue of own.virtio.queues)
      for (const method of methods) expect(() => queue[method]()).toThrow(`${method} of v86's own queue`);
    // Nor does anybody but us listen to frames.
    expect(cpu.bus.listeners["net0-receive"]).toHaveLength(1);
  });

  test("names its events after v86's ne2k, when that is there", async () => {
    const emulator = await loadEmulator(false);
    emulators.push(emulator);
    await attach(emulator, { module: await wasmBytes("vring") });
    expect(new Guest(emulator).cpu.bus.listeners["net1-receive"]).toHaveLength(1);
  });
});

describe("on the PCI bus", () => {
  test("is a virtio network card whose BAR has a size and can be moved", async () => {
    const { guest } = await machine();
    expect(guest.config(0)).toBe(0x1041_1af4);
    expect(guest.config(8) >>> 8).toBe(0x020000);
    guest.setConfig(0x10, 0xffff_ffff);
    expect(guest.config(0x10)).toBe((~(pci.BAR_BYTES - 1) | 1) >>> 0);
    guest.setConfig(0x10, 0xd000);
    guest.findBar();
    expect(guest.port).toBe(0xd000);
    expect(guest.read(pci.NUM_QUEUES, 2)).toBe(3);
    expect(guest.in(0xc400 + pci.NUM_QUEUES, 2)).toBe(0xffff);
  });

  test("can be reached through the window in the configuration space (4.1.4.9)", async () => {
    const { guest } = await machine();
    const point = (offset: number, width: number) => {
      guest.setConfig(pci.PCI_CFG + 4, 0, 1);
      guest.setConfig(pci.PCI_CFG + 8, offset);
      guest.setConfig(pci.PCI_CFG + 12, width);
    };
    point(pci.NUM_QUEUES, 2);
    expect(guest.config(pci.PCI_CFG_DATA)).toBe(3);
    point(pci.QUEUE_SELECT, 2);
    guest.setConfig(pci.PCI_CFG_DATA, 2, 2);
    expect(guest.read(pci.QUEUE_SELECT, 2)).toBe(2);
  });

  test("offers packed rings where they are asked for, and all that goes with either, less what is left out", async () => {
    expect((await machine()).guest.offered() & Features.RING_PACKED).toBe(0n);
    const all = await machine({ format: "packed" });
    const wanted = Features.VERSION_1 | Features.RING_PACKED | Features.INDIRECT_DESC | Features.EVENT_IDX;
    const net =
      NetFeatures.MRG_RXBUF | NetFeatures.CTRL_VQ | NetFeatures.MAC | NetFeatures.MTU | NetFeatures.STATUS;
    expect(all.guest.offered() & (wanted | net)).toBe(wanted | net);
    const less = await machine({ without: Features.EVENT_IDX | NetFeatures.MRG_RXBUF });
    expect(less.guest.offered() & (Features.EVENT_IDX | NetFeatures.MRG_RXBUF)).toBe(0n);
  });

  test("shows its address and MTU", async () => {
    const { guest, card } = await machine({ mac: [2, 1, 2, 3, 4, 5], mtu: 9000 });
    expect(Array.from(card.mac)).toEqual([2, 1, 2, 3, 4, 5]);
    expect([0, 1, 2, 3, 4, 5].map((k) => guest.read(pci.CONFIG + k, 1))).toEqual([2, 1, 2, 3, 4, 5]);
    expect(guest.read(pci.CONFIG + 10, 2)).toBe(9000);
  });
});

describe("frames", () => {
  test("of the guest come out as the emulator's events, and the guest is interrupted", async () => {
    const { guest, sent } = await running();
    offer(guest, 0);
    guest.kick(1);
    expect(sent).toEqual([FRAME]);
    expect(guest.usedIndex(TRANSMIT)).toBe(1);
    expect(guest.read(pci.ISR, 1)).toBe(pci.ISR_QUEUE);
    expect(guest.read(pci.ISR, 1)).toBe(0);
  });

  test("the first kick of a turn is served at once, those behind it together at its end", async () => {
    const { guest, sent } = await running();
    for (const slot of [0, 1, 2]) {
      offer(guest, slot);
      guest.kick(1);
    }
    expect(sent).toHaveLength(1);
    // The guest is told to kick no more.
    expect(guest.ram.getUint16(TRANSMIT.device, true)).toBe(1);
    await Promise.resolve();
    expect(sent).toHaveLength(3);
    expect(guest.ram.getUint16(TRANSMIT.device, true)).toBe(0);
    offer(guest, 3);
    guest.kick(1);
    expect(sent).toHaveLength(4);
  });

  test("with EVENT_IDX the guest is told to kick again when more than a quarter of the ring waits", async () => {
    const { guest, sent } = await running(Features.EVENT_IDX);
    const event = () => guest.ram.getUint16(TRANSMIT.device + 4 + 8 * TRANSMIT.size, true);
    offer(guest, 0);
    guest.kick(1);
    expect([sent.length, event()]).toEqual([1, 1]);
    offer(guest, 1);
    guest.kick(1);
    expect([sent.length, event()]).toEqual([1, 2]);
    offer(guest, 2);
    guest.kick(1);
    expect([sent.length, event()]).toEqual([3, 4]);
    offer(guest, 3);
    await Promise.resolve();
    expect([sent.length, event()]).toEqual([4, 4]);
  });

  test("for the guest land in its buffers, and code that was translated from there is forgotten", async () => {
    const { guest, emulator } = await running();
    const forgotten: [number, number][] = [];
    const forget = guest.cpu.jit_dirty_cache;
    guest.cpu.jit_dirty_cache = (start, end) => {
      forgotten.push([start, end]);
      forget.call(guest.cpu, start, end);
    };
    guest.lend(RECEIVE, 0, BUFFERS, 2048, true);
    send(emulator, FRAME);
    await Promise.resolve();
    expect(guest.usedIndex(RECEIVE)).toBe(1);
    expect(guest.ram.getUint32(RECEIVE.device + 8, true)).toBe(HEADER + FRAME.length);
    const { ram } = guest;
    expect(new Uint8Array(ram.buffer, ram.byteOffset + BUFFERS + HEADER, FRAME.length)).toEqual(FRAME);
    expect(guest.read(pci.ISR, 1)).toBe(pci.ISR_QUEUE);
    expect(forgotten.some(([start, end]) => start <= BUFFERS && end >= BUFFERS + HEADER + FRAME.length)).toBe(
      true,
    );
  });

  test("pass in both directions after the emulator's memory has grown", async () => {
    const { guest, emulator, sent } = await running();
    guest.cpu.wasm_memory.grow(1);
    offer(guest, 0);
    guest.kick(1);
    guest.lend(RECEIVE, 0, BUFFERS + 0x8000, 2048, true);
    send(emulator, FRAME);
    await Promise.resolve();
    expect(sent).toEqual([FRAME]);
    expect(guest.usedIndex(RECEIVE)).toBe(1);
  });

  test("that come in one turn are delivered together at its end, but answers to the guest at once", async () => {
    const { guest, emulator } = await running();
    for (const slot of [0, 1, 2, 3]) guest.lend(RECEIVE, slot, BUFFERS + 0x8000 + 0x1000 * slot, 2048, true);
    const answer = (() => send(emulator, FRAME)) as never;
    emulator.add_listener("net0-send" as never, answer);
    // A second request in the same turn, as of a guest that pings, has its answer at once as well.
    for (const slot of [0, 1]) {
      offer(guest, slot);
      guest.kick(1);
      expect(guest.usedIndex(RECEIVE)).toBe(slot + 1);
    }
    await Promise.resolve();
    for (let k = 0; k < 2; k++) send(emulator, FRAME);
    expect(guest.usedIndex(RECEIVE)).toBe(2);
    await Promise.resolve();
    expect(guest.usedIndex(RECEIVE)).toBe(4);
  });

  test("a buffer outside of RAM breaks the queue: DEVICE_NEEDS_RESET, and a reset mends it", async () => {
    const { guest, sent } = await running();
    const end = guest.ram.byteLength;
    guest.lend(TRANSMIT, 0, end - 4, 64, false);
    guest.kick(1);
    expect(sent).toEqual([]);
    expect(guest.read(pci.DEVICE_STATUS, 1) & 0x40).toBe(0x40);
    expect(guest.read(pci.ISR, 1)).toBe(pci.ISR_CONFIG);
    guest.write(pci.DEVICE_STATUS, 1, 0);
    expect(guest.read(pci.DEVICE_STATUS, 1)).toBe(0);
  });

  test("a ring outside of RAM is refused the same way", async () => {
    const { guest } = await machine();
    guest.negotiate(Features.VERSION_1);
    guest.enable(1, { ...TRANSMIT, device: guest.ram.byteLength });
    expect(guest.read(pci.DEVICE_STATUS, 1) & 0x40).toBe(0x40);
    expect(guest.read(pci.QUEUE_ENABLE, 2)).toBe(0);
  });
});

test("a ring can be watched: what is the device's, and where both are", async () => {
  const { guest, card } = await running();
  expect(card.ring(2)).toBeNull();
  expect(card.ring(1)).toMatchObject({ format: "split", size: 4, avail: 0, used: 0 });
  for (const slot of [0, 1, 2]) {
    offer(guest, slot);
    guest.kick(1);
  }
  expect(card.ring(1)).toMatchObject({ avail: 3, used: 1, available: [false, true, true, false] });
  card.settle();
  expect(card.ring(1)).toMatchObject({ avail: 3, used: 3, available: [false, false, false, false] });
});

test("a packed ring likewise, in any lap, with buffers of several slots", async () => {
  const { guest, card, emulator } = await machine({ format: "packed" });
  guest.negotiate(Features.VERSION_1 | Features.RING_PACKED);
  guest.enable(0, RECEIVE);
  guest.enable(1, TRANSMIT);
  guest.start();
  const [NEXT, WRITE, AVAIL, USED] = [1, 2, 0x80, 0x8000];
  /** Lends a slot, in lap 0 or 1. */
  const lend = (slot: number, lap: number, flags = 0) => {
    const at = RECEIVE.desc + 16 * slot;
    guest.ram.setBigUint64(at, BigInt(BUFFERS + 0x1000 * slot), true);
    guest.ram.setUint32(at + 8, 2048, true);
    guest.ram.setUint16(at + 12, slot, true);
    guest.ram.setUint16(at + 14, (lap === 0 ? AVAIL : USED) | WRITE | flags, true);
  };
  const shown = { format: "packed", size: 4 };
  const none = [false, false, false, false];
  expect(card.ring(0)).toEqual({ ...shown, avail: 0, used: 0, available: none });
  lend(1, 0);
  lend(0, 0, NEXT);
  lend(2, 0);
  expect(card.ring(0)).toEqual({ ...shown, avail: 3, used: 0, available: [true, true, true, false] });
  send(emulator, FRAME);
  await Promise.resolve();
  // Slot 1 still has the bits of what is available.
  expect(card.ring(0)).toEqual({ ...shown, avail: 3, used: 2, available: [false, false, true, false] });
  lend(3, 0);
  lend(0, 1);
  expect(card.ring(0)).toEqual({ ...shown, avail: 1, used: 2, available: [true, false, true, true] });
  lend(1, 1);
  expect(card.ring(0)).toEqual({ ...shown, avail: 2, used: 2, available: [true, true, true, true] });
});

describe("saved states", () => {
  test("hold the card: queues go on where they were, in another emulator", async () => {
    const before = await running();
    before.guest.assignBars();
    offer(before.guest, 0);
    before.guest.kick(1);
    // One frame waits for the turn's end, which comes before the machine is saved.
    offer(before.guest, 1);
    before.guest.kick(1);
    const state = await before.emulator.save_state();
    expect(before.sent).toHaveLength(2);

    const { emulator, guest } = await machine();
    const sent: Uint8Array[] = [];
    emulator.add_listener("net0-send" as never, ((frame: Uint8Array) => sent.push(frame)) as never);
    await emulator.restore_state(state);
    guest.findBar();
    expect(guest.read(pci.DEVICE_STATUS, 1)).toBe(15);
    expect(guest.read(pci.ISR, 1)).toBe(pci.ISR_QUEUE);
    expect(sent).toEqual([]);
    offer(guest, 2);
    guest.kick(1);
    expect(sent).toEqual([FRAME]);
    expect(guest.usedIndex(TRANSMIT)).toBe(3);
  });

  test("without a card are refused by name", async () => {
    const other = await loadEmulator();
    emulators.push(other);
    new Guest(other).assignBars();
    const state = await other.save_state();
    const { emulator } = await machine();
    await expect(emulator.restore_state(state)).rejects.toThrow(SnapshotError);
  });
});

test("a machine that is switched off and on has a card that is reset", async () => {
  const { guest } = await running();
  (guest.cpu.devices.virtio_net as NetDeviceSlot).reset();
  expect(guest.read(pci.DEVICE_STATUS, 1)).toBe(0);
});
