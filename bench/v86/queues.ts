/**
 * What a packet costs at the device half alone, over v86's real memory: v86's own queue, and ours. The driver is played
 * by hand; timed is the kick, from the port that the guest writes to, up to the listener that gets the frame.
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { V86 } from "v86";
import { attach } from "../../src/adapter/v86.ts";
import { type Cpu, internalsOf } from "../../src/adapter/v86-internals.ts";
import {
  COMMON,
  NOTIFY,
  NOTIFY_MULTIPLIER,
  QUEUE_DESC,
  QUEUE_ENABLE,
  QUEUE_SELECT,
  QUEUE_SIZE,
} from "../../src/transport/pci-layout.ts";

const RING = 256;
const BURST = 32;
const HEADER = 12;
const FRAME = 64;
/** Where the played driver has its transmit queue and its buffers in guest RAM. */
const DESC = 0x10000;
const AVAIL = 0x12000;
const USED = 0x13000;
const BUFFERS = 0x20000;

export interface Queue {
  /** Sends `bursts` bursts; nanoseconds a packet of what the device half took for them. */
  run(bursts: number): Promise<number>;
}

type Ports = Record<string, (port: number, value?: number) => number>;

const wasmPath = createRequire(import.meta.url)
  .resolve("v86")
  .replace("libv86.mjs", "v86.wasm");

/** A machine without a guest, whose driver is played: with our card, or with v86's own. */
export async function openQueue(ours: boolean): Promise<Queue> {
  const emulator = new V86({
    wasm_path: wasmPath,
    memory_size: 4 << 20,
    autostart: false,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    net_device: { type: "virtio" },
  });
  await new Promise<void>((resolve) => emulator.add_listener("emulator-loaded", () => resolve()));
  const cpu = internalsOf(emulator);
  const card = ours ? await attach(emulator, { module: await readFile("build/vring.wasm") }) : undefined;
  let frames = 0;
  emulator.add_listener("net0-send" as never, (() => frames++) as never);
  const kick = ours ? startOurs(cpu) : startOwn(cpu);
  let index = 0;

  return {
    async run(bursts) {
      const before = frames;
      let milliseconds = 0;
      for (let burst = 0; burst < bursts; burst++) {
        index = lend(cpu, index);
        const start = performance.now();
        kick();
        milliseconds += performance.now() - start;
        // The next burst comes in a turn of its own, as a guest's next slice does.
        card?.settle();
        await null;
      }
      if (frames - before !== bursts * BURST)
        throw new Error(`${frames - before} frames came out, but ${bursts * BURST} went in`);
      return (milliseconds * 1e6) / (bursts * BURST);
    },
  };
}

/** BURST packets, each of two descriptors: the header, and the frame. */
function lend(cpu: Cpu, index: number): number {
  const ram = ramOf(cpu);
  let next = index;
  for (let k = 0; k < BURST; k++, next = (next + 1) & 0xffff) {
    const head = (2 * next) % RING;
    const buffer = BUFFERS + head * 1024;
    describe(ram, head, buffer, HEADER, 1, head + 1);
    describe(ram, head + 1, buffer + 512, FRAME, 0, 0);
    ram.setUint16(AVAIL + 4 + 2 * (next % RING), head, true);
  }
  ram.setUint16(AVAIL + 2, next, true);
  return next;
}

function describe(
  ram: DataView,
  slot: number,
  address: number,
  bytes: number,
  flags: number,
  next: number,
): void {
  const at = DESC + 16 * slot;
  ram.setBigUint64(at, BigInt(address), true);
  ram.setUint32(at + 8, bytes, true);
  ram.setUint16(at + 12, flags, true);
  ram.setUint16(at + 14, next, true);
}

function ramOf({ wasm_memory, mem8 }: Cpu): DataView {
  return new DataView(wasm_memory.buffer, mem8.byteOffset, mem8.length);
}

/** Brings our card up with split rings and nothing else; what kicks its transmit queue. */
function startOurs(cpu: Cpu): () => void {
  const io = cpu.io as unknown as Ports;
  const port = (cpu.devices.pci.device_spaces[0x0a << 3]?.[4] ?? 0) & ~3;
  const write = (offset: number, width: number, value: number) =>
    io[`port_write${8 * width}`](port + COMMON + offset, value);
  for (const status of [0, 1, 3]) write(20, 1, status);
  // VERSION_1.
  write(8, 4, 1);
  write(12, 4, 1);
  write(20, 1, 11);
  write(QUEUE_SELECT, 2, 1);
  write(QUEUE_SIZE, 2, RING);
  for (const [offset, address] of [
    [QUEUE_DESC, DESC],
    [QUEUE_DESC + 8, AVAIL],
    [QUEUE_DESC + 16, USED],
  ])
    write(offset, 4, address);
  write(QUEUE_ENABLE, 2, 1);
  write(20, 1, 15);
  return () => io.port_write16(port + NOTIFY + NOTIFY_MULTIPLIER, 1);
}

/** Puts the rings straight into v86's own queue. */
function startOwn(cpu: Cpu): () => void {
  const io = cpu.io as unknown as Ports;
  const { virtio } = cpu.devices.virtio_net as unknown as { virtio: { queues: Record<string, unknown>[] } };
  const queue = virtio.queues[1];
  (queue.set_size as (size: number) => void).call(queue, RING);
  Object.assign(queue, { desc_addr: DESC, avail_addr: AVAIL, used_addr: USED, enabled: true });
  // BAR 1 is that of notifications, two bytes a queue.
  const port = (cpu.devices.pci.device_spaces[0x0a << 3]?.[5] ?? 0) & ~3;
  return () => io.port_write16(port + 2, 1);
}
