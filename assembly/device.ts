// The device around the queues, as far as rings need one: status, negotiated features, and what
// was notified. One block serves a pair of halves in one memory; a half whose peer is elsewhere
// has a block of its own.

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
