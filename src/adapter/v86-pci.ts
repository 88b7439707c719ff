/** Puts a virtio device on v86's PCI bus, in the place of v86's own network device if there is one. */

import type { PciTransport, Width } from "../transport/pci.ts";
import { BAR_BYTES, configurationSpace, PCI_CFG, PCI_CFG_DATA } from "../transport/pci-layout.ts";
import type { Cpu, OwnNetDevice, PciDevice } from "./v86-internals.ts";

/** Device 10, function 0: where v86 has its own virtio-net device. */
const NET_SLOT = 0x0a << 3;
/** Where BAR 0 lies until the BIOS moves it. */
const FIRST_PORT = 0xc400;

/** Registers the device and its ports; its number on the bus. */
export function installPci(
  cpu: Cpu,
  transport: PciTransport,
  { kind, classCode }: { kind: number; classCode: number },
): number {
  const { pci } = cpu.devices;
  const device: PciDevice = {
    name: "vring virtio-net",
    pci_id: NET_SLOT,
    pci_space: configurationSpace(kind, classCode, FIRST_PORT),
    pci_bars: [{ size: BAR_BYTES }],
  };
  installPorts(cpu, transport, device);
  pci.register_device(device);
  installWindow(cpu, transport, NET_SLOT);
  return NET_SLOT;
}

/** One handler a port and width: v86 looks them up by port, and moves them when the BAR moves. */
function installPorts({ io }: Cpu, transport: PciTransport, device: PciDevice): void {
  for (let offset = 0; offset < BAR_BYTES; offset++) {
    const read = (width: Width) => () => transport.read(offset, width);
    const write = (width: Width) => (value: number) => transport.write(offset, width, value);
    // v86 wants a 32-bit port's value as a signed number.
    const read32 = () => transport.read(offset, 4) | 0;
    io.register_read(FIRST_PORT + offset, device, read(1), read(2), read32);
    io.register_write(FIRST_PORT + offset, device, write(1), write(2), write(4));
  }
}

/**
 * v86 keeps configuration space as plain words, so the window of 4.1.4.9 is put in front of its accesses: before
 * `pci_cfg_data` is read it gets what the window points at, and after it is written that is passed on.
 */
function installWindow({ devices: { pci } }: Cpu, transport: PciTransport, id: number): void {
  const space = pci.device_spaces[id] as Int32Array<ArrayBuffer>;
  const window = new DataView(space.buffer, PCI_CFG, 20);
  const isData = (address: number) => ((address >>> 8) & 0xffff) === id && (address & 0xfc) === PCI_CFG_DATA;
  const { pci_query: query, pci_write8: write8, pci_write16: write16, pci_write32: write32 } = pci;
  pci.pci_query = () => {
    const [low, middle, high] = pci.pci_addr;
    if (isData((high << 16) | (middle << 8) | low)) space[PCI_CFG_DATA >> 2] = transport.readWindow(window);
    query.call(pci);
  };
  const passOn = (write: (address: number, value: number) => void) => (address: number, value: number) => {
    write.call(pci, address, value);
    if (isData(address)) transport.writeWindow(window, window.getUint32(16, true));
  };
  pci.pci_write8 = passOn(write8);
  pci.pci_write16 = passOn(write16);
  pci.pci_write32 = passOn(write32);
}

/**
 * Takes v86's own network card, if there is one, off its ports and its event, and makes its queues throw: nothing may
 * pass ours by.
 */
export function displaceOwnCard(cpu: Cpu, receiveEvent: string): void {
  const { io, bus, devices } = cpu;
  const own = devices.virtio_net as OwnNetDevice | undefined;
  if (own === undefined) return;
  for (const { original_bar: bar, size } of own.virtio.pci_bars) {
    if (bar === undefined || (bar & 1) === 0) continue;
    const port = bar & 0xfffc;
    for (let k = 0; k < size; k++) io.ports[port + k] = io.create_empty_entry();
  }
  const listeners = bus.listeners[receiveEvent] ?? [];
  for (const { fn, this_value } of listeners) if (this_value === own) bus.unregister(receiveEvent, fn);
  for (const queue of own.virtio.queues) forbid(queue);
}

/** Every method of v86's queue that device code calls. */
const QUEUE_METHODS = [
  "has_request",
  "count_requests",
  "pop_request",
  "push_reply",
  "flush_replies",
  "notify_me_after",
];

function forbid(queue: object): void {
  for (const method of QUEUE_METHODS) {
    const throwing = () => {
      throw new Error(`${method} of v86's own queue was called while vring's device is attached`);
    };
    Object.defineProperty(queue, method, { value: throwing });
  }
}
