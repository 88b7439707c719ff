import * as spec from "../../assembly/spec.ts";
import { DriverError } from "../errors.ts";
import type { DeviceRegisters } from "../registers.ts";
import type { ConfigField } from "./kind.ts";

/**
 * The driver's end of a device's registers, with the rules for it: no status bit is ever cleared but by a reset, waiting
 * has a bound, and several config fields are read under one generation. Whatever the device answers, a call ends.
 */
export class DeviceLink {
  readonly registers: DeviceRegisters;
  readonly #pollLimit: number;
  readonly #wait: () => void;

  constructor(registers: DeviceRegisters, pollLimit: number, wait: () => void) {
    this.registers = registers;
    this.#pollLimit = pollLimit;
    this.#wait = wait;
  }

  /** G-D-08: nothing else is written before the status reads 0. @throws DriverError `reset-timeout` */
  reset(): void {
    this.registers.writeStatus(0);
    if (!this.poll(() => this.registers.readStatus() === 0)) throw new DriverError("reset-timeout");
  }

  /** Reads until `done`, at most as often as the limit says; whether it was. */
  poll(done: () => boolean): boolean {
    for (let reads = 0; reads < this.#pollLimit; reads++) {
      if (done()) return true;
      this.#wait();
    }
    return false;
  }

  offered(): bigint {
    let offered = 0n;
    for (let window = spec.FEATURE_WINDOWS - 1; window >= 0; window--) {
      offered = (offered << 32n) | BigInt(this.registers.readDeviceFeatures(window) >>> 0);
    }
    return offered;
  }

  ack(features: bigint): void {
    for (let window = 0; window < spec.FEATURE_WINDOWS; window++) {
      const value = Number((features >> BigInt(32 * window)) & 0xffff_ffffn);
      this.registers.writeDriverFeatures(window, value);
    }
  }

  /** G-D-09. @throws DriverError `config-unstable` */
  readConfigFields(fields: readonly ConfigField[]): Uint8Array[] {
    let read: Uint8Array[] = [];
    const stable = this.poll(() => {
      const before = this.registers.readConfigGeneration();
      read = fields.map((field) => this.#readField(field));
      return this.registers.readConfigGeneration() === before;
    });
    if (!stable) throw new DriverError("config-unstable");
    return read;
  }

  /** 2.5.1: 8-bit fields by 8-bit accesses, 16-bit ones by 16-bit ones, everything else by 32-bit ones. */
  #readField({ offset, bytes }: ConfigField): Uint8Array {
    const field = new Uint8Array(bytes);
    const width = bytes === 1 || bytes === 2 ? bytes : bytes % 4 === 0 ? 4 : 1;
    for (let at = 0; at < bytes; at += width) {
      const value = this.registers.readConfig(offset + at, width);
      for (let k = 0; k < width; k++) field[at + k] = value >>> (8 * k);
    }
    return field;
  }
}
