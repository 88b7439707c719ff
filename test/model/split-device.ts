/** The device half of a split virtqueue (virtio 1.4, 2.7). */
import * as abi from "../../assembly/abi.ts";
import { INDIRECT, NEXT, WRITE } from "../support/raw-split.ts";
import { type Element, type Fault, next16, splitEventMet } from "./common.ts";
import { type Chain, DeviceModel, type Marked, type Walk } from "./device.ts";

export class SplitDeviceModel extends DeviceModel {
  /** avail.idx up to which buffers were popped. */
  lastAvail = 0;
  /** used.idx as the driver sees it, at the last decision to interrupt, and with what is marked. */
  published = 0;
  #decided = 0;
  #next = 0;

  get #pending(): number {
    return (this.image.u16(this.ring.driverArea + 2) - this.lastAvail + 65536) % 65536;
  }

  protected override refusesAvailable(): Fault | null {
    return this.#pending > this.ring.size ? { code: abi.E_AVAIL_IDX, index: this.lastAvail } : null;
  }

  protected override sees(): boolean {
    return this.#pending > 0;
  }

  protected override get position(): number {
    return this.image.u16(this.ring.driverArea + 4 + 2 * (this.lastAvail % this.ring.size));
  }

  protected override refusesHead(): Fault | null {
    const head = this.position;
    if (head >= this.ring.size) return { code: abi.E_HEAD_RANGE, index: head };
    const taken = this.#heads.has(head);
    return taken ? { code: abi.E_HEAD_IN_FLIGHT, index: head } : null;
  }

  /** Heads in flight. */
  readonly #heads = new Set<number>();

  protected override walk(): Walk {
    const { ring } = this;
    const elements: Element[] = [];
    let table = ring.desc;
    let entries = ring.size;
    let index = this.position;
    let direct = true;
    for (let seen = 0; ; ) {
      const desc = this.readDescriptor(table + 16 * index);
      const { twelve: flags, fourteen: next } = desc;
      if (flags & INDIRECT) {
        if (!ring.indirect) return { error: abi.E_INDIRECT_NOT_NEGOTIATED };
        if (!direct) return { error: abi.E_NESTED_INDIRECT };
        if (flags & NEXT) return { error: abi.E_INDIRECT_WITH_NEXT };
        const error = this.tableError(desc);
        if (error !== 0) return { error };
        // S-V-05: the elements so far stay, and so does their count (H-V-03).
        table = this.image.place(desc.addr);
        entries = desc.len / 16;
        index = 0;
        direct = false;
        continue;
      }
      if (seen === this.maxChain) return { error: abi.E_CHAIN_TOO_LONG };
      seen++;
      const error = this.addElement(elements, desc, (flags & WRITE) !== 0);
      if (error !== 0) return { error };
      if (!(flags & NEXT)) return this.chain(this.position, 1, elements);
      if (next >= entries) return { error: abi.E_NEXT_RANGE };
      index = next;
    }
  }

  protected override taken(chain: Chain): void {
    this.#heads.add(chain.id);
    this.lastAvail = next16(this.lastAvail);
  }

  protected override counted(chain: Chain): void {
    this.#heads.delete(chain.id);
    this.#next = next16(this.#next);
  }

  #usedAt(index: number): number {
    return this.ring.deviceArea + 4 + 8 * (index % this.ring.size);
  }

  protected override get nextElement(): number {
    return this.#usedAt(this.published);
  }

  protected override writeUsed(batch: readonly Marked[]): void {
    const { chain, len } = batch[batch.length - 1];
    this.image.setU32(this.nextElement, chain.id);
    this.image.setU32(this.nextElement + 4, len);
    this.published = (this.published + batch.length) % 65536;
  }

  protected override exposeUsed(): void {
    this.image.setU16(this.ring.deviceArea + 2, this.published);
  }

  protected override wantsInterrupt(): boolean {
    const { ring, image, cover } = this;
    const from = this.#decided;
    const to = this.published;
    this.#decided = to;
    if (ring.eventIdx) {
      const event = image.u16(ring.driverArea + 4 + 2 * ring.size);
      const interrupt = splitEventMet(event, from, to);
      if (from !== to) cover.hit(`split interrupt ${interrupt ? "for" : "not for"} an event index`);
      return interrupt;
    }
    const silent = (image.u16(ring.driverArea) & 1) === 1;
    if (from !== to) cover.hit(`split interrupt ${silent ? "not for" : "for"} flags`);
    return from !== to && !silent;
  }

  override arm(after: number): boolean {
    if (this.state !== "live") return false;
    const { ring } = this;
    if (ring.eventIdx) {
      this.image.setU16(ring.deviceArea + 4 + 8 * ring.size, (this.lastAvail + after) % 65536);
    } else {
      this.image.setU16(ring.deviceArea, 0);
    }
    return this.#pending > after;
  }

  override suppress(): void {
    if (this.state !== "live") return;
    const { ring } = this;
    if (ring.eventIdx) {
      this.image.setU16(ring.deviceArea + 4 + 8 * ring.size, (this.lastAvail + 65535) % 65536);
    } else {
      this.image.setU16(ring.deviceArea, 1);
    }
  }

  override skip(count: number): void {
    this.lastAvail = (this.lastAvail + count) % 65536;
    this.published = this.lastAvail;
    this.#decided = this.lastAvail;
    this.#next = this.lastAvail;
    this.exposeUsed();
  }

  override unseenUsed(): { ptr: number; bytes: number }[] {
    const unseen: { ptr: number; bytes: number }[] = [];
    for (let index = this.published; index !== this.#next; index = next16(index)) {
      unseen.push({ ptr: this.#usedAt(index), bytes: 8 });
    }
    return unseen;
  }
}
