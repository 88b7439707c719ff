/**
 * A memory as a peer without the engine sees it: numbers at places, and bus addresses that differ
 * from places by a constant.
 */

/** One element of a buffer: a place, its bytes, and whether the device may write there. */
export interface Element {
  ptr: number;
  bytes: number;
  write?: boolean;
}

/** An element as a descriptor says it: a bus address, which need not be anywhere. */
export interface WalkedElement {
  addr: bigint;
  len: number;
  write: boolean;
}

/** A used buffer as the ring says it. */
export interface RawUsed {
  id: number;
  len: number;
}

/** A buffer that a raw device has taken from the ring. */
export interface TakenBuffer {
  id: number;
  /** Ring entries that its list took (packed), or 1 (split). */
  slots: number;
  elements: WalkedElement[];
}

export class RawMemory {
  readonly memory: WebAssembly.Memory;
  /** What to add to a place to get its bus address. */
  busDelta: bigint;
  #view: DataView;

  constructor(memory: WebAssembly.Memory, busDelta = 0n) {
    this.memory = memory;
    this.busDelta = busDelta;
    this.#view = new DataView(memory.buffer);
  }

  get view(): DataView {
    if (this.#view.buffer !== this.memory.buffer) this.#view = new DataView(this.memory.buffer);
    return this.#view;
  }

  bus(ptr: number): bigint {
    return BigInt.asUintN(64, BigInt(ptr) + this.busDelta);
  }

  place(addr: bigint): number {
    return Number(BigInt.asUintN(64, addr - this.busDelta));
  }

  u16(ptr: number): number {
    return this.view.getUint16(ptr, true);
  }
  u32(ptr: number): number {
    return this.view.getUint32(ptr, true);
  }
  u64(ptr: number): bigint {
    return this.view.getBigUint64(ptr, true);
  }
  setU16(ptr: number, value: number): void {
    this.view.setUint16(ptr, value, true);
  }
  setU32(ptr: number, value: number): void {
    this.view.setUint32(ptr, value, true);
  }
  setU64(ptr: number, value: bigint): void {
    this.view.setBigUint64(ptr, value, true);
  }

  /** A view of the bytes, not a copy. */
  bytes(ptr: number, count: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, ptr, count);
  }

  /** The bytes in hexadecimal, as golden dumps are written: `00 01 02`. */
  dump(ptr: number, count: number): string {
    return Array.from(this.bytes(ptr, count), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  }
}
