// v86 with nothing but its devices, and a driver that a test plays over the I/O ports as a guest's would.
import { createRequire } from "node:module";
import { V86 } from "v86";
import { type AttachOptions, attach, type NetworkCard } from "../../src/adapter/v86.ts";
import { type Cpu, internalsOf } from "../../src/adapter/v86-internals.ts";
import * as pci from "../../src/transport/pci-layout.ts";
import { wasmBytes } from "../support/engine.ts";

const wasmPath = createRequire(import.meta.url)
  .resolve("v86")
  .replace("libv86.mjs", "v86.wasm");
const MEMORY = 4 << 20;
/** Device 10 of bus 0. */
const FUNCTION = 0x8000_0000 | (10 << 11);

/** An emulator that is loaded; `own`: with v86's own virtio-net card. */
export async function loadEmulator(own = true): Promise<V86> {
  const emulator = new V86({
    wasm_path: wasmPath,
    memory_size: MEMORY,
    autostart: false,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    net_device: { type: own ? "virtio" : "ne2k" },
  });
  await new Promise<void>((resolve) => emulator.add_listener("emulator-loaded", () => resolve()));
  return emulator;
}

export interface Area {
  size: number;
  desc: number;
  driver: number;
  device: number;
}

type Ports = Record<string, (port: number, value?: number) => number>;

/** The ports of a PC, and guest RAM. */
export class Guest {
  readonly cpu: Cpu;
  readonly #io: Ports;
  /** Where BAR 0 lies. */
  port = 0;

  constructor(emulator: V86) {
    this.cpu = internalsOf(emulator);
    this.#io = (this.cpu as unknown as { io: Ports }).io;
  }

  get ram(): DataView {
    const { wasm_memory, mem8 } = this.cpu;
    return new DataView(wasm_memory.buffer, mem8.byteOffset, mem8.length);
  }

  /** 1, 2 or 4 bytes of the configuration space of device 10. */
  config(offset: number, width = 4): number {
    this.#io.port_write32(0xcf8, FUNCTION | (offset & 0xfc));
    return this.in(0xcfc + (offset & 3), width);
  }
  setConfig(offset: number, value: number, width = 4): void {
    this.#io.port_write32(0xcf8, FUNCTION | (offset & 0xfc));
    this.out(0xcfc + (offset & 3), value, width);
  }

  in(port: number, width: number): number {
    return this.#io[`port_read${8 * width}`](port) >>> 0;
  }
  out(port: number, value: number, width: number): void {
    this.#io[`port_write${8 * width}`](port, value);
  }

  /** A register of BAR 0. */
  read(offset: number, width: number): number {
    return this.in(this.port + offset, width);
  }
  write(offset: number, width: number, value: number): void {
    this.out(this.port + offset, value, width);
  }

  /** What a BIOS does to every device: writes to BARs, which v86 clears where there is none. */
  assignBars(): void {
    for (const device of this.cpu.devices.pci.devices) {
      if (device === undefined) continue;
      for (const [bar, there] of device.pci_bars.entries()) {
        if (there) continue;
        this.#io.port_write32(0xcf8, 0x8000_0000 | (device.pci_id << 8) | (0x10 + 4 * bar));
        this.out(0xcfc, 0, 4);
      }
    }
  }

  findBar(): void {
    this.port = this.config(0x10) & ~3;
  }

  /** The offer, 64 bits of it. */
  offered(): bigint {
    return [0, 1].reduce((bits, window) => {
      this.write(pci.DEVICE_FEATURE_SELECT, 4, window);
      return bits | (BigInt(this.read(pci.DEVICE_FEATURE, 4)) << BigInt(32 * window));
    }, 0n);
  }

  /** 3.1.1, up to FEATURES_OK. */
  negotiate(features: bigint): void {
    this.findBar();
    this.write(pci.DEVICE_STATUS, 1, 0);
    this.write(pci.DEVICE_STATUS, 1, 1);
    this.write(pci.DEVICE_STATUS, 1, 3);
    for (const window of [0, 1]) {
      this.write(pci.DRIVER_FEATURE_SELECT, 4, window);
      this.write(pci.DRIVER_FEATURE, 4, Number((features >> BigInt(32 * window)) & 0xffff_ffffn));
    }
    this.write(pci.DEVICE_STATUS, 1, 11);
  }

  enable(queue: number, { size, desc, driver, device }: Area): void {
    this.write(pci.QUEUE_SELECT, 2, queue);
    this.write(pci.QUEUE_SIZE, 2, size);
    for (const [offset, address] of [
      [pci.QUEUE_DESC, desc],
      [pci.QUEUE_DRIVER, driver],
      [pci.QUEUE_DEVICE, device],
    ]) {
      this.write(offset, 4, address);
      this.write(offset + 4, 4, 0);
    }
    this.write(pci.QUEUE_ENABLE, 2, 1);
  }

  start(): void {
    this.write(pci.DEVICE_STATUS, 1, 15);
  }

  kick(queue: number): void {
    this.write(pci.NOTIFY + queue * pci.NOTIFY_MULTIPLIER, 2, queue);
  }

  /** A descriptor of a split queue, and its place in the available ring. */
  lend({ size, desc, driver }: Area, slot: number, address: number, bytes: number, write: boolean): void {
    const { ram } = this;
    ram.setBigUint64(desc + 16 * slot, BigInt(address), true);
    ram.setUint32(desc + 16 * slot + 8, bytes, true);
    ram.setUint16(desc + 16 * slot + 12, write ? 2 : 0, true);
    const index = ram.getUint16(driver + 2, true);
    ram.setUint16(driver + 4 + 2 * (index % size), slot, true);
    ram.setUint16(driver + 2, (index + 1) & 0xffff, true);
  }

  usedIndex({ device }: Area): number {
    return this.ram.getUint16(device + 2, true);
  }
}

/** A guest with a card, its engine from the build as the tests have it. */
export async function guestWithCard(
  options: AttachOptions = {},
): Promise<{ emulator: V86; guest: Guest; card: NetworkCard }> {
  const emulator = await loadEmulator();
  const card = await attach(emulator, { module: await wasmBytes("vring"), ...options });
  const guest = new Guest(emulator);
  guest.findBar();
  return { emulator, guest, card };
}
