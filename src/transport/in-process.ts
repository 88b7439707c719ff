import { DeviceCore, type DeviceCoreOptions } from "../device/core.ts";
import type { DeviceKind } from "../device/kind.ts";
import { DriverCore, type DriverCoreOptions } from "../driver/core.ts";
import type { DriverKind } from "../driver/kind.ts";
import type { Engine } from "../engine.ts";

export interface InProcessOptions {
  /** The engine's device that both halves share, and its queue that is queue 0. Default 0. */
  device?: number;
  firstQueue?: number;
  /** What is the device's alone, and the driver's. */
  deviceOptions?: Pick<DeviceCoreOptions, "accessLimited">;
  driverOptions?: Pick<DriverCoreOptions, "decline" | "pollLimit" | "wait">;
}

/**
 * The transport without a bus: both halves in one engine, registers are calls, notifications are calls back. A
 * notification that comes while another is served waits for its turn. `driver.start()` brings the pair up.
 */
export function connectInProcess(
  engine: Engine,
  deviceKind: DeviceKind,
  driverKind: DriverKind,
  options: InProcessOptions = {},
): { device: DeviceCore; driver: DriverCore } {
  const { device: index, firstQueue, deviceOptions, driverOptions } = options;
  const common = { device: index, firstQueue, transport: "in-process" } as const;
  const device = new DeviceCore(engine, deviceKind, { ...deviceOptions, ...common });
  const driver = new DriverCore(engine, device, driverKind, { ...driverOptions, ...common });
  device.connect(driver);
  return { device, driver };
}
