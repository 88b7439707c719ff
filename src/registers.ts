/**
 * The registers of a virtio device, transport-neutral (virtio 1.4, 2.1 to 2.5, 2.9, 4.1.4.3, 4.2.2): what
 * the device core offers, what a PCI, MMIO or channel adapter maps its own layout onto, and what the driver
 * core drives. The selectors of a transport (which feature window, which queue) are the adapter's own:
 * here they are arguments.
 *
 * Nothing here throws for what a driver does, whatever it does: a value that can't be is dropped, counted,
 * and remembered as the device's last fault; windows, queues and offsets that don't exist read as 0.
 */

/** 32-bit words of a queue's three addresses, as in the PCI layout: low then high of each area. */
export const QUEUE_DESC = 0;
export const QUEUE_DRIVER = 2;
export const QUEUE_DEVICE = 4;

export interface DeviceRegisters {
  /** Section 5: 1 is a network card. */
  readonly deviceId: number;
  /** num_queues: the most that the device may have. */
  readonly queueCount: number;
  /** Bytes of the device configuration space. */
  readonly configBytes: number;

  /** 2.2, bits 32 * `window` and up: what is offered, and what the driver has acked so far. */
  readDeviceFeatures(window: number): number;
  readDriverFeatures(window: number): number;
  writeDriverFeatures(window: number, value: number): void;

  /** 2.1. Writing 0 resets the device; it is reset when this reads 0. */
  readStatus(): number;
  writeStatus(value: number): void;

  /** 2.5: counts changes of the configuration space, modulo 2^32; PCI shows its low 8 bits. */
  readConfigGeneration(): number;
  /** `width` is 1, 2 or 4 bytes, little-endian. */
  readConfig(offset: number, width: number): number;
  writeConfig(offset: number, width: number, value: number): void;

  /** Entries: until the driver has written a size, the largest one; 0 for a queue that isn't there. */
  readQueueSize(queue: number): number;
  writeQueueSize(queue: number, size: number): void;
  /** `word` is QUEUE_DESC, QUEUE_DRIVER or QUEUE_DEVICE, plus 1 for the upper half. */
  readQueueAddress(queue: number, word: number): number;
  writeQueueAddress(queue: number, word: number, value: number): void;
  /** queue_enable, QueueReady: 1 enables; 0 stops the queue, on MMIO only (4.2.2.2). */
  readQueueEnable(queue: number): number;
  writeQueueEnable(queue: number, value: number): void;
  /** [RING_RESET] queue_reset: 1 resets the queue, and reads as 1 while that lasts. */
  readQueueReset(queue: number): number;
  writeQueueReset(queue: number, value: number): void;
  /** [NOTIF_CONFIG_DATA] What a kick carries in place of the queue's index. */
  readQueueNotifyData(queue: number): number;

  /** A kick (2.9): 16 bits, or 32 with NOTIFICATION_DATA, as the driver wrote them. */
  notify(value: number): void;
}

/** What a device tells its driver, by whatever interrupt the transport has. */
export interface DeviceEvents {
  /** Used buffer notification (2.3): buffers of `queue` may have been used. */
  usedBuffers(queue: number): void;
  /** Configuration change notification: the configuration space, or DEVICE_NEEDS_RESET. */
  configChange(): void;
}
