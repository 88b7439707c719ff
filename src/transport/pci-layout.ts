/**
 * Names and numbers of virtio over PCI (virtio 1.4, 4.1), and where this device puts what.
 *
 *   BAR 0, I/O space, 512 bytes
 *   000  common configuration   4.1.4.3
 *   040  ISR status             4.1.4.5
 *   080  notification           4.1.4.4, four bytes a queue
 *   100  device configuration   4.1.4.6
 */

// 4.1.2 PCI Device Discovery
export const VENDOR = 0x1af4;
export const FIRST_DEVICE = 0x1040;

// 4.1.4 Virtio Structure PCI Capabilities: cfg_type
export const CAP_COMMON_CFG = 1;
export const CAP_NOTIFY_CFG = 2;
export const CAP_ISR_CFG = 3;
export const CAP_DEVICE_CFG = 4;
export const CAP_PCI_CFG = 5;

export const BAR_BYTES = 512;
export const COMMON = 0x00;
export const COMMON_BYTES = 64;
export const ISR = 0x40;
export const NOTIFY = 0x80;
export const NOTIFY_MULTIPLIER = 4;
export const NOTIFY_BYTES = 128;
export const CONFIG = 0x100;
export const CONFIG_BYTES = 256;

// 4.1.4.3 Common configuration structure layout
export const DEVICE_FEATURE_SELECT = 0;
export const DEVICE_FEATURE = 4;
export const DRIVER_FEATURE_SELECT = 8;
export const DRIVER_FEATURE = 12;
export const CONFIG_MSIX_VECTOR = 16;
export const NUM_QUEUES = 18;
export const DEVICE_STATUS = 20;
export const CONFIG_GENERATION = 21;
export const QUEUE_SELECT = 22;
export const QUEUE_SIZE = 24;
export const QUEUE_MSIX_VECTOR = 26;
export const QUEUE_ENABLE = 28;
export const QUEUE_NOTIFY_OFF = 30;
export const QUEUE_DESC = 32;
export const QUEUE_DRIVER = 40;
export const QUEUE_DEVICE = 48;
export const QUEUE_NOTIF_CONFIG_DATA = 56;
export const QUEUE_RESET = 58;

// 4.1.4.3: what a vector register reads without MSI-X
export const NO_VECTOR = 0xffff;

// 4.1.4.5 ISR status capability
export const ISR_QUEUE = 1;
export const ISR_CONFIG = 2;

/** A capability in the configuration space, with its place in BAR 0. */
interface Capability {
  type: number;
  offset: number;
  bytes: number;
  /** What follows the 16 bytes that every capability has. */
  extra?: number;
}

const CAPABILITIES: readonly Capability[] = [
  { type: CAP_COMMON_CFG, offset: COMMON, bytes: COMMON_BYTES },
  { type: CAP_NOTIFY_CFG, offset: NOTIFY, bytes: NOTIFY_BYTES, extra: NOTIFY_MULTIPLIER },
  { type: CAP_ISR_CFG, offset: ISR, bytes: 1 },
  { type: CAP_DEVICE_CFG, offset: CONFIG, bytes: CONFIG_BYTES },
  // Where the window looks is the driver's to say.
  { type: CAP_PCI_CFG, offset: 0, bytes: 0, extra: 0 },
];

const CAPABILITY_ID = 9;
const FIRST_CAPABILITY = 0x40;
const CAPABILITY_SPACING = 0x14;

/** Where the window of 4.1.4.9 lies in the configuration space: its capability, and its data. */
export const PCI_CFG = FIRST_CAPABILITY + CAPABILITY_SPACING * (CAPABILITIES.length - 1);
export const PCI_CFG_DATA = PCI_CFG + 16;

/** The 256 bytes of configuration space of a device of this virtio kind, its BAR at I/O port `port`. */
export function configurationSpace(kind: number, classCode: number, port: number): Uint8Array<ArrayBuffer> {
  const space = new DataView(new ArrayBuffer(256));
  space.setUint16(0x00, VENDOR, true);
  space.setUint16(0x02, FIRST_DEVICE + kind, true);
  space.setUint16(0x04, 0x0007, true); // command: I/O space, memory space, bus master
  space.setUint16(0x06, 0x0010, true); // status: has a list of capabilities
  space.setUint32(0x08, (classCode << 8) | 1, true); // revision 1 or higher is not transitional (4.1.2.1)
  space.setUint32(0x10, port | 1, true); // BAR 0, I/O space
  space.setUint16(0x2c, VENDOR, true);
  space.setUint16(0x2e, FIRST_DEVICE + kind, true); // 0x40 or higher (4.1.2.1)
  space.setUint8(0x34, FIRST_CAPABILITY);
  space.setUint8(0x3d, 1); // interrupt pin A
  for (const [index, { type, offset, bytes, extra }] of CAPABILITIES.entries()) {
    const at = FIRST_CAPABILITY + index * CAPABILITY_SPACING;
    space.setUint8(at, CAPABILITY_ID);
    space.setUint8(at + 1, index + 1 < CAPABILITIES.length ? at + CAPABILITY_SPACING : 0);
    space.setUint8(at + 2, extra === undefined ? 16 : 20);
    space.setUint8(at + 3, type);
    space.setUint32(at + 8, offset, true);
    space.setUint32(at + 12, bytes, true);
    if (extra !== undefined) space.setUint32(at + 16, extra, true);
  }
  return new Uint8Array(space.buffer);
}
