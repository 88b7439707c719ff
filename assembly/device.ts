// The device around the queues. One block serves a pair of halves in one memory; a half whose peer
// is elsewhere, or behind a transport, has a block of its own: what it knows of the device.
//
// Everything that a running device is lies in these blocks, so that a snapshot is a copy. The rules of
// registers and negotiation are the host's (src/device/): they are looked at once in a while, not once a packet.

import { STATUS_DEVICE_NEEDS_RESET, STATUS_DRIVER_OK } from "./spec";

@unmanaged
export class Device {
  /** 2.1 Device Status Field. */
  status: u32;
  /** Negotiated features, 128 bits in 32-bit windows. */
  features0: u32;
  features1: u32;
  features2: u32;
  features3: u32;
  /** Configuration change notifications sent (G-V-02). */
  configNotifications: u32;
}

/** The block of a device half: what its registers show, and what it owes. */
@unmanaged
export class DeviceCore extends Device {
  /** Features: offered, and acked so far; negotiated above once FEATURES_OK holds. */
  offered0: u32;
  offered1: u32;
  offered2: u32;
  offered3: u32;
  acked0: u32;
  acked1: u32;
  acked2: u32;
  acked3: u32;
  /** 2.5: changes of the configuration space. */
  configGeneration: u32;
  /** Of configNotifications, how many the adapter was told of. */
  configDelivered: u32;
  /** 1: the configuration space has changed while suspended (3.4.2). */
  configOwed: u32;
  /** DEVICE_STEADY, DEVICE_SUSPENDING or DEVICE_RESUMING. */
  transition: u32;
  /** The driver's last mistake (F_*), and how many there were since the last reset. */
  fault: u32;
  faults: u32;
  /** What the device is: a snapshot of another one is refused. */
  deviceId: u32;
  queueCount: u32;
  firstQueue: u32;
  configBytes: u32;
}

/** A queue's registers (4.1.4.3, 4.2.2) as its driver has written them; what works is in the queue's block. */
@unmanaged
export class QueueRegisters {
  size: u32;
  enable: u32;
  /** 1 while a reset of the queue is under way. */
  reset: u32;
  /** NOTIF_CONFIG_DATA: what a kick carries in place of the index. */
  notifyData: u32;
  descLow: u32;
  descHigh: u32;
  driverLow: u32;
  driverHigh: u32;
  deviceLow: u32;
  deviceHigh: u32;
  /** What each half was made with: a handle that is made anew over its control block goes by it. */
  driverFeatures0: u32;
  driverFeatures1: u32;
  driverFeatures2: u32;
  driverFeatures3: u32;
  deviceFeatures0: u32;
  deviceFeatures1: u32;
  deviceFeatures2: u32;
  deviceFeatures3: u32;
}

/** Whether queues may be worked: before DRIVER_OK (G-D-14, G-V-01) and after an error they may not. */
@inline
export function deviceRuns(device: Device): bool {
  return (device.status & (STATUS_DRIVER_OK | STATUS_DEVICE_NEEDS_RESET)) == STATUS_DRIVER_OK;
}

/** G-V-02: raises DEVICE_NEEDS_RESET once, with a configuration change notification if running. */
export function deviceNeedsReset(device: Device): void {
  if (device.status & STATUS_DEVICE_NEEDS_RESET) return;
  if (device.status & STATUS_DRIVER_OK) device.configNotifications++;
  device.status |= STATUS_DEVICE_NEEDS_RESET;
}

/** `deviceNeedsReset` for the host. */
export function deviceRaiseNeedsReset(ptr: u32): void {
  deviceNeedsReset(changetype<Device>(ptr));
}
