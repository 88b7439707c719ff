/** The driver half of a packed virtqueue (virtio 1.4, 2.8). */
import * as abi from "../../assembly/abi.ts";
import { AVAIL, availBits, Position, USED, usedBits } from "../support/raw-packed.ts";
import { INDIRECT, NEXT, WRITE } from "../support/raw-split.ts";
import type { Fault } from "./common.ts";
import { type Buffer, DriverModel } from "./driver.ts";

/** Steps over a number of slots, one at a time, and says which wraps it saw. */
export function step(position: Position, slots: number, wrapped: (from: number) => void): void {
  for (let k = 0; k < slots; k++) {
    const { wrap } = position;
    position.advance(1);
    if (position.wrap !== wrap) wrapped(wrap);
  }
}

/** An event suppression structure (2.8.14). */
export interface PackedEvent {
  slot: number;
  wrap: number;
  mode: number;
}

export function readEvent(low: number, high: number): PackedEvent {
  return { slot: low & 0x7fff, wrap: low >> 15, mode: high & 3 };
}

/** 3.6 in words: one of the `slots` slots from `from` on is the event's. */
export function packedEventMet({ slot, wrap }: PackedEvent, from: Position, slots: number): boolean {
  const position = from.copy();
  for (let k = 0; k < slots; k++) {
    if (position.slot === slot && position.wrap === wrap) return true;
    position.advance(1);
  }
  return false;
}

export class PackedDriverModel extends DriverModel {
  /** The next slot to be made available, and where the last decision to kick was taken. */
  readonly published = new Position(this.ring.size);
  readonly #decided = new Position(this.ring.size);
  #covered = 0;
  /** The next slot to be given back. */
  readonly lastUsed = new Position(this.ring.size);
  /** The engine's answer, which counts where the peer named no slot of the ring (H-V-09), or a past one. */
  junkAnswer: (() => boolean) | null = null;

  protected override show(buffer: Buffer): void {
    const { ring, image, choices } = this;
    const at = this.published;
    const positions = Array.from({ length: buffer.slots }, () => {
      const position = at.copy();
      step(at, 1, (wrap) => this.cover.hit(`packed available wrap ${wrap} ends`));
      return position;
    });
    buffer.entries = positions.map(({ slot }) => slot);
    // P-B-06: the id stands in the last descriptor; it is opaque, but unique.
    buffer.id = choices.id(buffer, buffer.entries[buffer.slots - 1]);
    positions.forEach(({ slot, wrap }, k) => {
      this.own(buffer, slot);
      const ptr = ring.desc + 16 * slot;
      const more = k + 1 < buffer.slots;
      let flags = (more ? NEXT : 0) | availBits(wrap);
      if (buffer.inTable > 0) {
        buffer.table = choices.table(buffer, ptr);
        image.setU64(ptr, image.bus(buffer.table));
        image.setU32(ptr + 8, 16 * buffer.inTable);
        flags |= INDIRECT | choices.idleFlags("referrer");
      } else {
        const element = buffer.elements[k];
        image.setU64(ptr, image.bus(element.ptr));
        image.setU32(ptr + 8, element.bytes);
        if (element.write) flags |= WRITE;
      }
      image.setU16(ptr + 12, more ? choices.idle(ptr + 12) : buffer.id);
      image.setU16(ptr + 14, flags);
    });
    // P-D-07: consecutive entries, and no flag in them means anything but WRITE.
    this.writeTable(buffer, (k, entries) => [
      choices.idle(buffer.table + 16 * entries[k] + 12),
      (buffer.elements[k].write ? WRITE : 0) | choices.idleFlags("entry"),
    ]);
    this.#covered += buffer.slots;
  }

  protected override expose(): void {
    // The flags of the first head show the whole batch; the model writes it in one go.
  }

  protected override wantsKick(): boolean {
    const { ring, image, cover } = this;
    const covered = this.#covered;
    const from = this.#decided.copy();
    step(this.#decided, covered, () => {});
    this.#covered = 0;
    const event = readEvent(image.u16(ring.deviceArea), image.u16(ring.deviceArea + 2));
    if (covered > 0) cover.hit(`packed kick, mode ${event.mode}`);
    if (event.mode === 1) return false;
    if (event.mode !== 2 || !ring.eventIdx) return covered > 0;
    // An event of an earlier lap is stale: a device that had gone to sleep would have armed within the last.
    const lap = Math.min(covered, ring.size);
    step(from, covered - lap, () => {});
    const kick = packedEventMet(event, from, lap);
    const eitherWay = event.slot >= ring.size || covered > lap;
    if (!kick && eitherWay && this.junkAnswer !== null) return this.junkAnswer();
    if (covered > 0) cover.hit(`packed kick ${kick ? "for" : "not for"} an event`);
    return kick;
  }

  protected override refusesUsed(): Fault | null {
    return null;
  }

  protected override look(): Fault | null {
    const { ring, image, lastUsed } = this;
    // A zeroed slot looks used in an odd lap, so nothing is looked for when nothing is expected.
    if (this.outstanding.size === 0) return null;
    const ptr = ring.desc + 16 * lastUsed.slot;
    const flags = image.u16(ptr + 14);
    if ((flags & (AVAIL | USED)) !== usedBits(lastUsed.wrap)) return null;
    const id = image.u16(ptr + 12);
    // P-D-03: without WRITE the length says nothing.
    const len = flags & WRITE ? image.u32(ptr + 8) : 0;
    if (id >= ring.size && this.idsBelowSize) return { code: abi.E_USED_ID_RANGE, index: id };
    const named = this.visible.get(id);
    const batch = ring.inOrder ? this.batch(id, this.outstanding.size) : named && [named];
    if (!batch) return { code: abi.E_USED_ID_NOT_OUTSTANDING, index: id };
    this.isReady(batch, len);
    return null;
  }

  /** A driver may use any 16 bits as ids; the engine's are below the ring's size. */
  idsBelowSize = true;

  /** As many as it took, but from where its used descriptor stands: the ring frees its slots in order (P-V-02). */
  protected override freed(buffer: Buffer): number[] {
    return Array.from({ length: buffer.slots }, (_, k) => (this.lastUsed.slot + k) % this.ring.size);
  }

  protected override advance(buffer: Buffer): void {
    step(this.lastUsed, buffer.slots, (wrap) => this.cover.hit(`packed used wrap ${wrap} ends`));
  }

  get #hasUsed(): boolean {
    if (this.ready.length > 0) return true;
    const flags = this.image.u16(this.ring.desc + 16 * this.lastUsed.slot + 14);
    return this.visible.size > 0 && (flags & (AVAIL | USED)) === usedBits(this.lastUsed.wrap);
  }

  override arm(after: number): boolean {
    if (this.state !== "live") return false;
    const { ring, image } = this;
    const position = this.lastUsed.copy();
    position.advance(Math.min(after, ring.size - 1));
    image.setU16(ring.driverArea, ring.eventIdx ? position.slot | (position.wrap << 15) : 0);
    image.setU16(ring.driverArea + 2, ring.eventIdx ? 2 : 0);
    return this.#hasUsed;
  }

  override suppress(): void {
    if (this.state !== "live") return;
    this.image.setU16(this.ring.driverArea, 0);
    this.image.setU16(this.ring.driverArea + 2, 1);
  }

  override get notificationData(): number {
    return this.published.slot | (this.published.wrap << 15);
  }

  override skip(count: number): void {
    for (const position of [this.published, this.#decided, this.lastUsed]) step(position, count, () => {});
  }
}
