/** A driver's mistakes with a device's registers: they are dropped and counted, and the last one is kept for whoever asks. */
import * as abi from "../../assembly/abi.ts";

export interface DeviceFault {
  /** Stable, for programs. */
  readonly code: string;
  /** The row of docs/conformance.md that the driver broke, where there is one. */
  readonly requirement: string;
  readonly text: string;
}

function fault(code: string, requirement: string, text: string): DeviceFault {
  return { code, requirement, text };
}

/** By the engine's F_* code. */
export const DEVICE_FAULTS: Readonly<Record<number, DeviceFault>> = {
  [abi.F_STATUS_BITS_DROPPED]: fault(
    "status-bits-dropped",
    "G-D-02",
    "a status write leaves out bits that are set; they stay set",
  ),
  [abi.F_STATUS_ORDER]: fault(
    "status-order",
    "G-D-01",
    "a status bit is set before those that come before it, or after DEVICE_NEEDS_RESET",
  ),
  [abi.F_STATUS_UNKNOWN_BITS]: fault(
    "status-unknown-bits",
    "G-D-01",
    "a status write has bits that mean nothing, or are the device's to set",
  ),
  [abi.F_FEATURES_LATE]: fault("features-late", "G-D-11", "features are written after FEATURES_OK"),
  [abi.F_FEATURES_WINDOW]: fault("features-window", "F-B-04", "no such window of feature bits"),
  [abi.F_FEATURES_NOT_OFFERED]: fault(
    "features-not-offered",
    "G-D-05",
    "FEATURES_OK with features that were not offered",
  ),
  [abi.F_FEATURES_DEPENDENCY]: fault(
    "features-dependency",
    "G-D-05",
    "FEATURES_OK with a feature that needs another",
  ),
  [abi.F_FEATURES_REQUIRED]: fault(
    "features-required",
    "F-B-01",
    "FEATURES_OK without a feature that this device can't do without",
  ),
  [abi.F_FEATURES_KIND]: fault("features-kind", "G-V-04", "the device's kind can't work with these features"),
  [abi.F_CONFIG_EARLY]: fault("config-early", "G-D-11", "the config space is written before FEATURES_OK"),
  [abi.F_CONFIG_SUSPENDED]: fault(
    "config-suspended",
    "G-D-17",
    "the config space is written while the device is suspended",
  ),
  [abi.F_CONFIG_READ_ONLY]: fault("config-read-only", "", "the field is not the driver's to write"),
  [abi.F_CONFIG_RANGE]: fault("config-range", "G-D-10", "no such bytes in the config space"),
  [abi.F_QUEUE_UNKNOWN]: fault("queue-unknown", "V-B-01", "no such queue"),
  [abi.F_QUEUE_EARLY]: fault(
    "queue-early",
    "G-D-01",
    "a queue is enabled before FEATURES_OK, after DEVICE_NEEDS_RESET, or while suspended",
  ),
  [abi.F_QUEUE_ENABLED]: fault(
    "queue-enabled",
    "V-D-03",
    "a register of a queue is written while it is enabled",
  ),
  [abi.F_QUEUE_REGISTERS]: fault(
    "queue-registers",
    "V-D-03",
    "a queue is enabled with a size or an address that can't be: the device needs a reset",
  ),
  [abi.F_QUEUE_NOT_ENABLED]: fault(
    "queue-not-enabled",
    "V-D-01",
    "the queue is not enabled, or is being reset",
  ),
  [abi.F_QUEUE_RESET_FEATURE]: fault(
    "queue-reset-feature",
    "V-D-01",
    "a queue reset without RING_RESET, or on a device that doesn't run",
  ),
  [abi.F_QUEUE_DISABLE]: fault("queue-disable", "V-D-03", "only MMIO disables a queue by writing 0"),
  [abi.F_REGISTER_VALUE]: fault("register-value", "", "the register doesn't take this value"),
  [abi.F_KICK_UNKNOWN]: fault("kick-unknown", "V-D-04", "a kick names no queue"),
  [abi.F_KICK_EARLY]: fault("kick-early", "G-D-14", "a kick before DRIVER_OK, or while suspended"),
  [abi.F_SUSPEND_EARLY]: fault("suspend-early", "G-V-08", "SUSPEND on a device that doesn't run"),
  [abi.F_SUSPEND_FEATURE]: fault("suspend-feature", "G-D-17", "SUSPEND without the feature"),
};
