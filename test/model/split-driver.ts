/** The driver half of a split virtqueue (virtio 1.4, 2.7). */
import * as abi from "../../assembly/abi.ts";
import { INDIRECT, NEXT, WRITE } from "../support/raw-split.ts";
import { type Fault, must, next16, splitEventMet } from "./common.ts";
import { type Buffer, DriverModel } from "./driver.ts";

export class SplitDriverModel extends DriverModel {
  /** avail.idx as the device sees it, and at the last decision to kick. */
  published = 0;
  #decided = 0;
  /** used.idx up to which buffers were given back. */
  lastUsed = 0;
  /** IN_ORDER: the descriptor that comes next (S-D-04). */
  #nextDescriptor = 0;

  protected override show(buffer: Buffer): void {
    const { ring, image, choices } = this;
    const index = this.published;
    buffer.entries = choices.descriptors(buffer, index, this.owned, this.#nextDescriptor);
    must(buffer.entries.length === buffer.slots, "the chain has another length");
    buffer.id = buffer.entries[0];
    buffer.entries.forEach((entry, k) => {
      if (ring.inOrder) {
        must(
          entry === this.#nextDescriptor,
          `descriptor ${entry} is used where ${this.#nextDescriptor} comes next`,
        );
        this.#nextDescriptor = (this.#nextDescriptor + 1) % ring.size;
      }
      this.own(buffer, entry);
      const at = ring.desc + 16 * entry;
      const more = k + 1 < buffer.slots;
      const next = more ? buffer.entries[k + 1] : choices.idle(at + 14);
      if (k < buffer.direct) {
        const element = buffer.elements[k];
        image.setU64(at, image.bus(element.ptr));
        image.setU32(at + 8, element.bytes);
        image.setU16(at + 12, (more ? NEXT : 0) | (element.write ? WRITE : 0));
      } else {
        buffer.table = choices.table(buffer, at);
        image.setU64(at, image.bus(buffer.table));
        image.setU32(at + 8, 16 * buffer.inTable);
        image.setU16(at + 12, INDIRECT | choices.idleFlags("referrer"));
      }
      image.setU16(at + 14, next);
    });
    // S-D-08: entry 0 comes first, and each entry links to the one that follows it.
    this.writeTable(buffer, (k, entries) => {
      const more = k + 1 < entries.length;
      const { write } = buffer.elements[buffer.direct + k];
      const next = more ? entries[k + 1] : choices.idle(buffer.table + 16 * entries[k] + 14);
      return [(more ? NEXT : 0) | (write ? WRITE : 0), next];
    });
    image.setU16(ring.driverArea + 4 + 2 * (index % ring.size), buffer.id);
    this.published = next16(index);
    if (this.published === 0) this.cover.hit("split avail.idx wraps");
  }

  protected override expose(): void {
    this.image.setU16(this.ring.driverArea + 2, this.published);
  }

  protected override wantsKick(): boolean {
    const { ring, image, cover } = this;
    const from = this.#decided;
    const to = this.published;
    this.#decided = to;
    if (ring.eventIdx) {
      const event = image.u16(ring.deviceArea + 4 + 8 * ring.size);
      const kick = splitEventMet(event, from, to);
      if (from !== to) cover.hit(`split kick ${kick ? "for" : "not for"} an event index`);
      if (kick && next16(event) !== to) cover.hit("split kick: event inside a batch");
      return kick;
    }
    const silent = (image.u16(ring.deviceArea) & 1) === 1;
    if (from !== to) cover.hit(`split kick ${silent ? "not for" : "for"} flags`);
    return from !== to && !silent;
  }

  /** Buffers that are used and not given back. */
  get #pending(): number {
    return (this.image.u16(this.ring.deviceArea + 2) - this.lastUsed + 65536) % 65536;
  }

  protected override refusesUsed(): Fault | null {
    return this.#pending > this.outstanding.size ? { code: abi.E_USED_IDX, index: this.lastUsed } : null;
  }

  protected override look(): Fault | null {
    if (this.#pending === 0) return null;
    const at = this.ring.deviceArea + 4 + 8 * (this.lastUsed % this.ring.size);
    const id = this.image.u32(at);
    const len = this.image.u32(at + 4);
    if (id >= this.ring.size) return { code: abi.E_USED_ID_RANGE, index: id };
    const named = this.visible.get(id);
    const batch = this.ring.inOrder ? this.batch(id, this.#pending) : named && [named];
    if (!batch) return { code: abi.E_USED_ID_NOT_OUTSTANDING, index: id };
    this.isReady(batch, len);
    return null;
  }

  protected override freed(buffer: Buffer): number[] {
    return buffer.entries;
  }

  protected override advance(): void {
    this.lastUsed = next16(this.lastUsed);
    if (this.lastUsed === 0) this.cover.hit("split used.idx wraps");
  }

  override arm(after: number): boolean {
    if (this.state !== "live") return false;
    const { ring } = this;
    // S-B-08: no interrupt is needed until used.idx reaches the event plus 1.
    if (ring.eventIdx)
      this.image.setU16(ring.driverArea + 4 + 2 * ring.size, (this.lastUsed + after) % 65536);
    else this.image.setU16(ring.driverArea, 0);
    return this.#pending > after;
  }

  override suppress(): void {
    if (this.state !== "live") return;
    const { ring } = this;
    // S-D-10: under EVENT_IDX the flags stay 0, so an entry of the past is named.
    if (ring.eventIdx)
      this.image.setU16(ring.driverArea + 4 + 2 * ring.size, (this.lastUsed + 65535) % 65536);
    else this.image.setU16(ring.driverArea, 1);
  }

  override get notificationData(): number {
    return this.published;
  }

  override skip(count: number): void {
    this.published = (this.published + count) % 65536;
    this.lastUsed = this.published;
    this.#decided = this.published;
    this.#nextDescriptor = (this.#nextDescriptor + count) % this.ring.size;
    this.expose();
  }
}
