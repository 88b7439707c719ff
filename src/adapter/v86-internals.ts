/**
 * What this adapter uses of v86's inside, which is no public interface: names as in v86's source. `internalsOf`
 * looks whether it is all there, so that another version fails at once and by name, and not in the middle of a run.
 */
import { VringError } from "../errors.ts";

/** The emulator: an object of v86's class V86. */
export interface Emulator {
  run(): unknown;
}

/** v86's message bus: one end of a pair; what one sends the other's listeners get. */
export interface Bus {
  listeners: Record<string, { fn: (value: never) => void; this_value: unknown }[] | undefined>;
  register(event: string, listener: (value: never) => void, receiver: unknown): void;
  unregister(event: string, listener: (value: never) => void): void;
  send(event: string, value: unknown): void;
}

type PortRead = (port: number) => number;
type PortWrite = (value: number) => void;

export interface Io {
  ports: unknown[];
  create_empty_entry(): unknown;
  register_read(port: number, device: object, read8: PortRead, read16: PortRead, read32: PortRead): void;
  register_write(
    port: number,
    device: object,
    write8: PortWrite,
    write16: PortWrite,
    write32: PortWrite,
  ): void;
}

/** A device on the PCI bus: what `register_device` takes. */
export interface PciDevice {
  name: string;
  pci_id: number;
  pci_space: ArrayLike<number>;
  pci_bars: { size: number; original_bar?: number }[];
}

export interface Pci {
  /** By bus, device and function; each 64 words. */
  device_spaces: (Int32Array<ArrayBuffer> | undefined)[];
  devices: (PciDevice | undefined)[];
  pci_addr: Uint8Array;
  pci_response32: Int32Array;
  register_device(device: PciDevice): Int32Array<ArrayBuffer>;
  pci_query(): void;
  pci_write8(address: number, value: number): void;
  pci_write16(address: number, value: number): void;
  pci_write32(address: number, value: number): void;
  raise_irq(id: number): void;
  lower_irq(id: number): void;
}

/** v86's own virtio-net device, as far as it has to be put out of action. */
export interface OwnNetDevice {
  virtio: PciDevice & { queues: object[] };
}

/** What stands in `cpu.devices.virtio_net`: v86 saves, restores and resets it with the machine. */
export interface NetDeviceSlot {
  get_state(): unknown[];
  set_state(state: unknown[]): void;
  reset(): void;
}

export interface Cpu {
  wasm_memory: WebAssembly.Memory;
  /** Guest RAM in `wasm_memory`. */
  mem8: { byteOffset: number; length: number };
  memory_size: ArrayLike<number>;
  instruction_counter: ArrayLike<number>;
  bus: Bus;
  io: Io;
  devices: { pci: Pci; net?: object; virtio_net?: OwnNetDevice | NetDeviceSlot };
  get_state(): unknown[];
  set_state(state: unknown[]): void;
  /** Forgets code that was translated from these bytes of guest RAM. */
  jit_dirty_cache(start: number, end: number): void;
}

/** v86 is not as this adapter knows it. */
export class EmulatorMismatchError extends VringError {
  constructor(found: string, expected: string) {
    super("emulator-mismatch", `v86 has no ${found}: this adapter expects ${expected}`);
  }
}

/** The npm versions of v86 that the tests run with. */
export const KNOWN_VERSION = "v86 0.5.462";

/** Paths below `cpu` and what `typeof` says of them. */
const EXPECTED: Readonly<Record<string, string>> = {
  wasm_memory: "object",
  "mem8.byteOffset": "number",
  "memory_size.0": "number",
  "instruction_counter.0": "number",
  "bus.register": "function",
  "bus.unregister": "function",
  "bus.send": "function",
  "bus.listeners": "object",
  "io.ports": "object",
  "io.create_empty_entry": "function",
  "io.register_read": "function",
  "io.register_write": "function",
  "devices.pci.device_spaces": "object",
  "devices.pci.devices": "object",
  "devices.pci.pci_addr": "object",
  "devices.pci.pci_response32": "object",
  "devices.pci.register_device": "function",
  "devices.pci.pci_query": "function",
  "devices.pci.pci_write8": "function",
  "devices.pci.pci_write16": "function",
  "devices.pci.pci_write32": "function",
  "devices.pci.raise_irq": "function",
  "devices.pci.lower_irq": "function",
  get_state: "function",
  set_state: "function",
  jit_dirty_cache: "function",
};

/**
 * The emulator's CPU, when everything is there that is used of it.
 * @throws EmulatorMismatchError with the first thing that isn't.
 */
export function internalsOf(emulator: Emulator): Cpu {
  const cpu = at(emulator, "v86.cpu");
  if (cpu === undefined)
    throw new EmulatorMismatchError(
      "v86.cpu yet",
      "attach() after the event emulator-loaded, in an emulator with autostart: false",
    );
  for (const [path, type] of Object.entries(EXPECTED)) {
    const found = at(cpu, path);
    if (found === null || typeof found !== type)
      throw new EmulatorMismatchError(`cpu.${path} that is a ${type}`, `the inside of ${KNOWN_VERSION}`);
  }
  if (!((cpu as Cpu).wasm_memory instanceof WebAssembly.Memory))
    throw new EmulatorMismatchError("cpu.wasm_memory that is a WebAssembly.Memory", KNOWN_VERSION);
  return cpu as Cpu;
}

function at(value: unknown, path: string): unknown {
  let found = value;
  for (const name of path.split(".")) found = (found as Record<string, unknown> | undefined)?.[name];
  return found;
}
