/** A device's registers with a log of every call, and with answers that a test puts in the device's mouth. */
import type { DeviceRegisters } from "../../src/registers.ts";

export interface Access {
  name: keyof DeviceRegisters;
  args: number[];
  /** What was read; undefined for a write. */
  value: number | undefined;
}

type Answers = { [K in keyof DeviceRegisters]?: DeviceRegisters[K] };

/** `answers` take the place of the device's own registers; they may call it themselves. */
export function recorded(
  device: DeviceRegisters,
  answers: Answers = {},
): { registers: DeviceRegisters; log: Access[] } {
  const log: Access[] = [];
  const registers = new Proxy(device, {
    get(_, name: keyof DeviceRegisters) {
      const own = answers[name] ?? device[name];
      if (typeof own !== "function") return own;
      return (...args: number[]) => {
        const call = own as (...args: number[]) => number | undefined;
        const value = answers[name] === undefined ? call.apply(device, args) : call(...args);
        log.push({ name, args, value });
        return value;
      };
    },
  });
  return { registers, log };
}

/** The values written to the status register, in order. */
export function statusWrites(log: readonly Access[]): number[] {
  return log.filter(({ name }) => name === "writeStatus").map(({ args }) => args[0]);
}

export function isWrite({ name }: Access): boolean {
  return name.startsWith("write") || name === "notify";
}
