import type { Engine } from "../engine.ts";
import type { Region } from "../layout.ts";

/**
 * The device configuration space (virtio 1.4, 2.5), in two images: what the driver is shown, and what is to be shown.
 * They differ only while the device is suspended, when nothing may change (3.4.2).
 */
export class ConfigSpace {
  readonly bytes: number;
  readonly #engine: Engine;
  readonly #region: Region;

  constructor(engine: Engine, device: number, bytes: number) {
    this.#engine = engine;
    this.#region = engine.region(`device ${device} config`);
    this.bytes = bytes;
  }

  /** 1, 2 or 4 bytes at `offset`, little-endian, as they are shown; bytes that don't exist are 0. */
  read(offset: number, width: number): number {
    const shown = this.#view(0);
    let value = 0;
    for (let k = 0; k < width && k < 4; k++) value |= (shown[offset + k] ?? 0) << (8 * k);
    return value >>> 0;
  }

  /** Whether [offset, offset + width) is a field's place: inside, and 1, 2 or 4 bytes. */
  has(offset: number, width: number): boolean {
    return (width === 1 || width === 2 || width === 4) && offset >= 0 && offset + width <= this.bytes;
  }

  /** What the driver has written stands in both images. */
  write(offset: number, width: number, value: number): void {
    for (const view of [this.#view(0), this.#view(1)]) {
      for (let k = 0; k < width; k++) view[offset + k] = value >>> (8 * k);
    }
  }

  /** A copy of what is to be shown. */
  next(): Uint8Array {
    return this.#view(1).slice();
  }

  /** Changes what is to be shown; whether that makes a difference. */
  change(offset: number, bytes: Uint8Array): boolean {
    const next = this.#view(1);
    const differs = bytes.some((byte, k) => next[offset + k] !== byte);
    next.set(bytes, offset);
    return differs;
  }

  /** Shows what is to be shown; whether that makes a difference. */
  show(): boolean {
    const [shown, next] = [this.#view(0), this.#view(1)];
    const differs = next.some((byte, k) => shown[k] !== byte);
    shown.set(next);
    return differs;
  }

  /** All zeros. */
  clear(): void {
    this.#view(0).fill(0);
    this.#view(1).fill(0);
  }

  #view(image: 0 | 1): Uint8Array {
    return this.#engine.bytes(this.#region.ptr + (image * this.#region.bytes) / 2, this.bytes);
  }
}
