import type { NetDevice } from "../device/net.ts";
import type { Engine } from "../engine.ts";
import { NET_FRAME_WORDS } from "../net-records.ts";

const ALIGN = 64;

/** Frames between a network card's device half and a host that has them one by one, as arrays. */
export class FramePort {
  readonly #engine: Engine;
  readonly #net: NetDevice;
  /** The place for frames that the driver gets; frames [0, staged) lie in its first `used` bytes. */
  readonly #ptr: number;
  readonly #bytes: number;
  readonly #most: number;
  /** Where the device's records of frames begin, in words of the memory. */
  readonly #receivedAt: number;
  readonly #sentAt: number;
  #staged = 0;
  #used = 0;
  #memory: Uint8Array;
  #lost = 0;

  constructor(engine: Engine, net: NetDevice) {
    this.#engine = engine;
    this.#net = net;
    const { ptr, bytes } = net.receiveArea;
    this.#ptr = ptr;
    this.#bytes = bytes;
    this.#most = engine.limits.net?.records ?? 0;
    this.#receivedAt = net.receivedAt;
    this.#sentAt = net.sentAt;
    this.#memory = new Uint8Array(engine.memory.buffer);
  }

  /** Frames that were lost because they found no room here, or a device that does not run. */
  get lost(): number {
    return this.#lost;
  }

  /** Copies a frame that the driver is to get at the next `deliver`. False when there is no room: deliver, and try again. */
  stage(frame: Uint8Array): boolean {
    if (this.#staged === this.#most || frame.length > this.#bytes - this.#used) return false;
    const place = this.#ptr + this.#used;
    this.#bytesOfMemory.set(frame, place);
    const { u32 } = this.#engine;
    const at = this.#receivedAt + this.#staged * NET_FRAME_WORDS;
    u32[at] = place;
    u32[at + 1] = frame.length;
    u32.fill(0, at + 2, at + NET_FRAME_WORDS);
    this.#staged++;
    this.#used = Math.min(Math.ceil((this.#used + frame.length) / ALIGN) * ALIGN, this.#bytes);
    return true;
  }

  /** A frame that `stage` had no room for, not even after a delivery. */
  lose(): void {
    this.#lost++;
  }

  /** Hands the driver what is staged. What has to wait for buffers stays, unless the device does not run. */
  deliver(running: boolean): void {
    const taken = this.#net.receive(this.#staged);
    if (taken < this.#staged && running) {
      this.#keepFrom(taken);
      return;
    }
    this.#lost += this.#staged - taken;
    this.#staged = 0;
    this.#used = 0;
  }

  /** Calls `each` with a copy of every frame that the driver sends. */
  take(each: (frame: Uint8Array) => void): void {
    const net = this.#net;
    for (let count = net.transmit(); count > 0; count = net.transmit()) {
      let at = this.#sentAt;
      for (let k = 0; k < count; k++, at += NET_FRAME_WORDS) {
        // Whoever gets a frame may make the memory grow.
        const { u32 } = this.#engine;
        each(this.#bytesOfMemory.slice(u32[at], u32[at] + u32[at + 1]));
      }
    }
  }

  get #bytesOfMemory(): Uint8Array {
    if (this.#memory.length === 0) this.#memory = new Uint8Array(this.#engine.memory.buffer);
    return this.#memory;
  }

  /** Moves the records from `first` on, and their frames, to the front. */
  #keepFrom(first: number): void {
    if (first === 0) return;
    const { u32 } = this.#engine;
    const start = this.#receivedAt;
    const from = start + first * NET_FRAME_WORDS;
    const end = start + this.#staged * NET_FRAME_WORDS;
    const shift = u32[from] - this.#ptr;
    this.#bytesOfMemory.copyWithin(this.#ptr, u32[from], this.#ptr + this.#used);
    u32.copyWithin(start, from, end);
    this.#staged -= first;
    this.#used -= shift;
    for (let k = 0; k < this.#staged; k++) u32[start + k * NET_FRAME_WORDS] -= shift;
  }
}
