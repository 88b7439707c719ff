/**
 * A virtio device as a PCI function (virtio 1.4, 4.1), for an emulator that has a PCI bus and I/O ports or a
 * memory window for BAR 0. Interrupts are INTx: one level-triggered line, asserted until the driver reads the
 * ISR status. There is no MSI-X; the vector registers say so (4.1.4.3.1, 4.1.5.1.2).
 */
import { type DeviceRegisters, QUEUE_DESC, QUEUE_DEVICE, QUEUE_DRIVER } from "../registers.ts";
import * as pci from "./pci-layout.ts";

/** 1, 2 or 4 bytes. */
export type Width = 1 | 2 | 4;

export class PciTransport {
  readonly #registers: DeviceRegisters;
  readonly #setLine: (asserted: boolean) => void;
  readonly #notify: (value: number) => void;
  #deviceFeatureSelect = 0;
  #driverFeatureSelect = 0;
  #queueSelect = 0;
  #isr = 0;

  /**
   * @param setLine The emulator's interrupt line: asserted, or not.
   * @param notify Where kicks go, when an adapter has a policy of its own; default: straight to the device.
   */
  constructor(
    registers: DeviceRegisters,
    setLine: (asserted: boolean) => void,
    notify: (value: number) => void = (value) => registers.notify(value),
  ) {
    this.#registers = registers;
    this.#setLine = setLine;
    this.#notify = notify;
  }

  /** Used buffer notification: 4.1.5.3. */
  usedBuffers(): void {
    this.#raise(pci.ISR_QUEUE);
  }

  /** Configuration change notification: 4.1.5.4. */
  configChange(): void {
    this.#raise(pci.ISR_CONFIG);
  }

  /** The driver reads BAR 0. What isn't a register reads as 0. */
  read(offset: number, width: Width): number {
    if (offset >= pci.CONFIG) return this.#registers.readConfig(offset - pci.CONFIG, width);
    if (offset < pci.COMMON + pci.COMMON_BYTES) return this.#readCommon(offset, width);
    return offset === pci.ISR ? this.#readIsr() : 0;
  }

  /** The driver writes BAR 0. What isn't a register is left alone. */
  write(offset: number, width: Width, value: number): void {
    const unsigned = value >>> 0;
    if (offset >= pci.CONFIG) this.#registers.writeConfig(offset - pci.CONFIG, width, unsigned);
    else if (offset >= pci.NOTIFY) this.#notify(unsigned);
    else if (offset < pci.COMMON + pci.COMMON_BYTES) this.#writeCommon(offset, width, unsigned);
  }

  /**
   * The driver reads `pci_cfg_data` (4.1.4.9.1): what lies in the BAR where the window `space`, the 20 bytes of the
   * capability in the configuration space, points. 0 for a window that points nowhere.
   */
  readWindow(space: DataView): number {
    const window = windowOf(space);
    return window === null ? 0 : this.read(window.offset, window.width);
  }

  /** The driver writes `pci_cfg_data`. */
  writeWindow(space: DataView, value: number): void {
    const window = windowOf(space);
    if (window !== null) this.write(window.offset, window.width, value & (2 ** (8 * window.width) - 1));
  }

  /** Device reset (2.4): nothing is pending any more, and the selectors start anew. */
  reset(): void {
    this.#registers.writeStatus(0);
    this.#deviceFeatureSelect = 0;
    this.#driverFeatureSelect = 0;
    this.#queueSelect = 0;
    this.#readIsr();
  }

  /** The transport's own registers, for a snapshot. */
  get state(): number[] {
    return [this.#deviceFeatureSelect, this.#driverFeatureSelect, this.#queueSelect, this.#isr];
  }
  set state(state: readonly number[]) {
    [this.#deviceFeatureSelect, this.#driverFeatureSelect, this.#queueSelect, this.#isr] = state;
  }

  #raise(cause: number): void {
    this.#isr |= cause;
    this.#setLine(true);
  }

  /** 4.1.4.5.1: reading resets it and takes the line back. */
  #readIsr(): number {
    const isr = this.#isr;
    this.#isr = 0;
    if (isr !== 0) this.#setLine(false);
    return isr;
  }

  #readCommon(offset: number, width: Width): number {
    const registers = this.#registers;
    const queue = this.#queueSelect;
    // 4.1.3.1: a driver reads each field at its own width, and the 64-bit ones as two halves of 32.
    switch (offset * 8 + width) {
      case pci.DEVICE_FEATURE_SELECT * 8 + 4:
        return this.#deviceFeatureSelect;
      case pci.DEVICE_FEATURE * 8 + 4:
        return registers.readDeviceFeatures(this.#deviceFeatureSelect);
      case pci.DRIVER_FEATURE_SELECT * 8 + 4:
        return this.#driverFeatureSelect;
      case pci.DRIVER_FEATURE * 8 + 4:
        return registers.readDriverFeatures(this.#driverFeatureSelect);
      case pci.CONFIG_MSIX_VECTOR * 8 + 2:
      case pci.QUEUE_MSIX_VECTOR * 8 + 2:
        return pci.NO_VECTOR;
      case pci.NUM_QUEUES * 8 + 2:
        return registers.queueCount;
      case pci.DEVICE_STATUS * 8 + 1:
        return registers.readStatus();
      case pci.CONFIG_GENERATION * 8 + 1:
        return registers.readConfigGeneration() & 0xff;
      case pci.QUEUE_SELECT * 8 + 2:
        return queue;
      case pci.QUEUE_SIZE * 8 + 2:
        return registers.readQueueSize(queue);
      case pci.QUEUE_ENABLE * 8 + 2:
        return registers.readQueueEnable(queue);
      case pci.QUEUE_NOTIFY_OFF * 8 + 2:
        return queue < registers.queueCount ? queue : 0;
      case pci.QUEUE_NOTIF_CONFIG_DATA * 8 + 2:
        return registers.readQueueNotifyData(queue);
      case pci.QUEUE_RESET * 8 + 2:
        return registers.readQueueReset(queue);
      default: {
        const word = addressWord(offset);
        return word < 0 || width !== 4 ? 0 : registers.readQueueAddress(queue, word);
      }
    }
  }

  #writeCommon(offset: number, width: Width, value: number): void {
    const registers = this.#registers;
    const queue = this.#queueSelect;
    switch (offset * 8 + width) {
      case pci.DEVICE_FEATURE_SELECT * 8 + 4:
        this.#deviceFeatureSelect = value;
        break;
      case pci.DRIVER_FEATURE_SELECT * 8 + 4:
        this.#driverFeatureSelect = value;
        break;
      case pci.DRIVER_FEATURE * 8 + 4:
        registers.writeDriverFeatures(this.#driverFeatureSelect, value);
        break;
      case pci.DEVICE_STATUS * 8 + 1:
        if (value === 0) this.reset();
        else registers.writeStatus(value);
        break;
      case pci.QUEUE_SELECT * 8 + 2:
        this.#queueSelect = value;
        break;
      case pci.QUEUE_SIZE * 8 + 2:
        registers.writeQueueSize(queue, value);
        break;
      case pci.QUEUE_ENABLE * 8 + 2:
        // 4.1.4.3.2: a driver never writes 0 here; it resets the queue instead.
        if (value === 1) registers.writeQueueEnable(queue, 1);
        break;
      case pci.QUEUE_RESET * 8 + 2:
        registers.writeQueueReset(queue, value);
        break;
      default: {
        const word = addressWord(offset);
        if (word >= 0 && width === 4) registers.writeQueueAddress(queue, word, value);
      }
    }
  }
}

/** Which word of a queue's addresses lies at an offset of the common configuration; -1 for none. */
function addressWord(offset: number): number {
  if ((offset & 3) !== 0) return -1;
  const upper = (offset & 4) >>> 2;
  switch (offset - 4 * upper) {
    case pci.QUEUE_DESC:
      return QUEUE_DESC + upper;
    case pci.QUEUE_DRIVER:
      return QUEUE_DRIVER + upper;
    case pci.QUEUE_DEVICE:
      return QUEUE_DEVICE + upper;
    default:
      return -1;
  }
}

/** 4.1.4.9.2: `cap.length` is 1, 2 or 4, `cap.offset` a multiple of it, in a BAR that is there. */
function windowOf(space: DataView): { offset: number; width: Width } | null {
  const bar = space.getUint8(4);
  const offset = space.getUint32(8, true);
  const width = space.getUint32(12, true);
  if (width !== 1 && width !== 2 && width !== 4) return null;
  if (bar !== 0 || offset % width !== 0 || offset > pci.BAR_BYTES - width) return null;
  return { offset, width };
}
